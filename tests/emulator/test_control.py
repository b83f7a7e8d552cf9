"""The emulator as a thing of its own: its process, its settings, its log, what it tells of what it holds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import launch, refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator, EmulatorError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ROOT = Path(__file__).resolve().parents[2]

# Starts an emulator, prints its URL and its process, and waits.
PARENT = """
import sys, time
from hfplugin.emulator import Emulator
with Emulator() as emulator:
    print(emulator.url, emulator._process.pid, flush=True)
    time.sleep(60)
"""

DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="module")
def other() -> Iterator[Emulator]:
    """A second emulator, whose machines take their time."""
    with Emulator(boot_seconds=30) as emulator:
        yield emulator


def has_ended(process_id: int) -> bool:
    """Wait until there is no such process, or it is a corpse nobody has buried."""
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_process_ends_with_its_standard_input() -> None:
    command = [sys.executable, "-m", "hfplugin.emulator"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(DEADLINE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_process_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        _, process_id = parent.stdout.readline().split()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert has_ended(int(process_id))


def test_two_emulators_know_nothing_of_each_other(emulator: Emulator, ec2: EC2Client, other: Emulator) -> None:
    assert other.url != emulator.url
    launch(ec2)
    assert not other.machines()
    assert not other.calls()


def test_it_starts_with_its_settings_and_resets_to_them(other: Emulator) -> None:
    for _ in range(2):
        launch(other.ec2())
        assert [each.state for each in other.machines()] == ["pending"]
        other.configure(boot_seconds=0)
        other.reset()


def test_a_wrong_setting_at_the_start_leaves_no_process() -> None:
    emulator = Emulator(boot_second=1)
    with pytest.raises(EmulatorError, match="boot_second"):
        emulator.__enter__()
    assert emulator._process is not None
    assert emulator._process.poll() is not None


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"boot_second": 1}, "boot_second"),
        ({"boot_seconds": -1}, "boot_seconds"),
        ({"boot_seconds": "soon"}, "boot_seconds"),
        ({"capacity": {"*": -1}}, "capacity"),
        ({"quotas": {"spot-vcpus": "many"}}, "quotas"),
        ({"prices": {"*": 0}}, "prices"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(
    settings: dict[str, Any], field: str, emulator: Emulator
) -> None:
    before = emulator.configure()
    with pytest.raises(EmulatorError, match=field):
        emulator.configure(**settings)
    assert emulator.configure() == before


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("explode", {}, "kind"),
        ("error", {}, "code"),
        ("delay", {}, "seconds"),
        ("throttle", {"share": 2}, "share"),
        ("throttle", {"times": 0}, "times"),
        ("throttle", {"actions": "RunInstances"}, "actions"),
    ],
)
def test_a_wrong_fault_is_named_and_not_set(
    kind: str, settings: dict[str, Any], field: str, emulator: Emulator, ec2: EC2Client
) -> None:
    with pytest.raises(EmulatorError, match=field):
        emulator.fault(kind, **settings)
    ec2.describe_instances()
    assert [each["outcome"] for each in emulator.calls()] == ["ok"]


def test_settings_that_are_not_named_stay(emulator: Emulator) -> None:
    emulator.configure(boot_seconds=7)
    assert emulator.configure(shutdown_seconds=8)["boot_seconds"] == 7


def test_time_does_not_go_back(emulator: Emulator) -> None:
    with pytest.raises(EmulatorError, match="back"):
        emulator.advance(-1)


def test_a_command_about_an_unknown_machine_is_refused_and_does_nothing(
    emulator: Emulator, ec2: EC2Client
) -> None:
    machines = launch(ec2)
    for command in (emulator.interrupt, emulator.rebalance, emulator.stop):
        with pytest.raises(EmulatorError, match="i-unknown"):
            command("i-unknown")
    with pytest.raises(EmulatorError, match="i-unknown"):
        emulator.terminate(*machines, "i-unknown")
    assert [each.state for each in emulator.machines()] == ["running"]


def test_an_event_in_a_region_that_aws_does_not_have_is_refused(emulator: Emulator) -> None:
    with pytest.raises(EmulatorError, match="mars-north-1"):
        emulator.event("aws.health", "AWS Health Event", {}, region="mars-north-1")


def test_an_unknown_command_is_refused_with_the_known_ones(emulator: Emulator) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(urllib.request.Request(f"{emulator.url}/emulator/explode", data=b"{}"))
    with caught.value as answer:
        assert answer.code == 404
        assert "configure" in json.load(answer)["message"]


def test_an_emulator_that_is_gone_is_said_to_be_gone() -> None:
    emulator = Emulator()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        emulator.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(EmulatorError, match="does not answer"):
        emulator.machines()


def test_the_log_has_who_asked_what_and_how_it_ended(emulator: Emulator, ec2: EC2Client) -> None:
    launch(ec2, 2)
    refusal(launch, ec2, KeyName="nobody")
    done, refused = emulator.calls("RunInstances")
    assert done["service"] == "ec2"
    assert (done["account"], done["region"]) == ("123456789012", "eu-central-1")
    assert (done["params"]["ImageId"], done["params"]["MaxCount"]) == (IMAGE_ID, 2)
    assert (done["outcome"], done["has_acted"]) == ("ok", True)
    assert (refused["outcome"], refused["has_acted"]) == ("InvalidKeyPair.NotFound", False)
    assert done["at"] <= refused["at"]
    emulator.forget_calls()
    assert emulator.calls() == []


def test_the_log_has_the_calls_of_other_services(emulator: Emulator) -> None:
    emulator.client("sts").get_caller_identity()
    emulator.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    calls = [(each["service"], each["action"], each["outcome"], each["has_acted"]) for each in emulator.calls()]
    assert calls == [("sts", "GetCallerIdentity", "ok", True), ("ssm", "PutParameter", "ok", True)]


def test_machines_are_told_with_all_that_an_accountant_needs(emulator: Emulator, ec2: EC2Client) -> None:
    tags: Any = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    [machine] = launch(ec2, TagSpecifications=tags, Placement={"AvailabilityZone": "eu-central-1b"})
    [known] = emulator.machines()
    assert (known.id, known.account, known.region, known.zone) == (
        machine,
        "123456789012",
        "eu-central-1",
        "eu-central-1b",
    )
    assert (known.type, known.purchase, known.state, known.reason) == ("m5.large", "on-demand", "running", "")
    assert (known.is_alive, known.is_vanished, known.tags) == (True, False, {"a": "b"})
    emulator.terminate(machine)
    [known] = emulator.machines()
    assert (known.is_alive, known.reason) == (False, "Client.UserInitiatedShutdown")


def test_what_else_may_cost_is_told(emulator: Emulator, ec2: EC2Client) -> None:
    data: Any = {"ImageId": IMAGE_ID}
    ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=data)
    [resource] = emulator.resources()
    assert (resource["kind"], resource["region"], resource["tags"]) == ("launch-template", "eu-central-1", {})


def test_a_reset_forgets_everything(emulator: Emulator, ec2: EC2Client) -> None:
    emulator.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    launch(ec2)
    emulator.configure(boot_seconds=60)
    emulator.fault("throttle")
    emulator.reset()
    assert not emulator.machines()
    assert not emulator.calls()
    assert emulator.configure()["boot_seconds"] == 0
    assert seen(ec2) == []
    assert emulator.client("ssm").describe_parameters()["Parameters"] == []
