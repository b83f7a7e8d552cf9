"""Launch templates: a call waits for one that AWS does not show yet, and no longer than it should."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from front_door import modules
from player import HostFactory, demand, template

from hfplugin.emulator import IMAGE_ID, REGION, Emulator
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch
from hfplugin.providers.aws import launch_templates
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context

CONTEXT = Context("prod1", "abc", Cache("/nonexistent"), Health())
NAME = "hf-prod1-abc-0123456789abcdef"
REFERENCE = launch_templates.reference(NAME)
LAUNCH = Launch(
    attempt=1,
    token="0" * 48,
    api="EC2Fleet",
    region=REGION,
    account="123456789012",
    place="anywhere",
    params={
        "LaunchTemplateName": NAME,
        "LaunchTemplateData": {"ImageId": IMAGE_ID, "InstanceType": "m5.large"},
    },
    units=1,
    planned_at=0.0,
)
FLEET: dict[str, Any] = {
    "ClientToken": LAUNCH.token,
    "Type": "instant",
    "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
    "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": REFERENCE}],
}
SPOT_FLEET: dict[str, Any] = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
    "TargetCapacity": 1,
    "Type": "request",
    "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": REFERENCE}],
}
GROUP: dict[str, Any] = {
    "AutoScalingGroupName": "a-group",
    "MinSize": 0,
    "MaxSize": 1,
    "LaunchTemplate": REFERENCE,
    "AvailabilityZones": [f"{REGION}a"],
}
NOT_FOUND = {
    "code": "InvalidLaunchTemplateName.NotFoundException",
    "message": "The specified launch template, with template name hf-x, does not exist.",
    "status": 400,
}


@pytest.fixture
def asked(emulator: Emulator, tmp_path: Path, credentials: None) -> Clients:
    """The AWS provider's own clients, asking the emulated AWS."""
    settings = AWSSettings(region=REGION, endpoint_url=emulator.url)
    return Clients(settings, "prod1", Cache(str(tmp_path)), Health())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait, in seconds, instead of waiting."""
    kept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=kept.append))
    return kept


def made(clients: Clients) -> Any:
    """Make the fleet, after its launch template."""
    ec2 = clients.ec2_for_launch(REGION)
    return launch_templates.call_with(clients, CONTEXT, LAUNCH, "", lambda: ec2.create_fleet(**FLEET))


CALLS: dict[str, Callable[[Clients], Any]] = {
    "CreateFleet": lambda clients: clients.ec2_for_launch(REGION).create_fleet(**FLEET),
    "RequestSpotFleet": lambda clients: clients.ec2_for_launch(REGION).request_spot_fleet(
        SpotFleetRequestConfig=SPOT_FLEET  # type: ignore[arg-type]
    ),
    "CreateAutoScalingGroup": lambda clients: clients.autoscaling_once(REGION).create_auto_scaling_group(**GROUP),
}


@pytest.mark.parametrize("action", CALLS)
def test_a_launch_template_that_is_not_shown_yet_is_waited_for(
    asked: Clients, emulator: Emulator, action: str
) -> None:
    for make in (asked.ec2_for_launch, asked.autoscaling_once):  # which takes time, too
        make(REGION)
    emulator.configure(launch_template_seconds=1.0)
    began = time.monotonic()
    launch_templates.call_with(asked, CONTEXT, LAUNCH, "", lambda: CALLS[action](asked))
    assert time.monotonic() - began >= 1.0
    *refused, done = emulator.calls(action)
    assert refused
    assert done["outcome"] == "ok"
    assert [each["kind"] for each in emulator.resources()].count("launch-template") == 1


def test_a_launch_template_that_is_never_shown_is_waited_for_seven_seconds_at_the_most(
    asked: Clients, emulator: Emulator, waits: list[float]
) -> None:
    emulator.fault("error", action="CreateFleet", **NOT_FOUND)
    with pytest.raises(ProviderError, match="does not exist") as caught:
        made(asked)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.NOT_FOUND, NOT_FOUND["code"])
    assert 5.75 <= sum(waits) <= 7
    assert waits[:4] == sorted(waits[:4])
    assert len(emulator.calls("CreateFleet")) == 7


def test_no_two_processes_wait_alike(asked: Clients, emulator: Emulator, waits: list[float]) -> None:
    emulator.fault("error", action="CreateFleet", **NOT_FOUND)
    for _ in range(2):
        with pytest.raises(ProviderError):
            made(asked)
    assert waits[:5] != waits[5:]


def test_slow_calls_end_the_waiting_earlier(
    asked: Clients, emulator: Emulator, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def call() -> Any:
        now[0] += 3
        return asked.ec2_for_launch(REGION).create_fleet(**FLEET)

    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: now[0]))
    emulator.fault("error", action="CreateFleet", **NOT_FOUND)
    with pytest.raises(ProviderError):
        launch_templates.call_with(asked, CONTEXT, LAUNCH, "", call)
    assert len(emulator.calls("CreateFleet")) == 4


def test_every_try_makes_the_launch_template_that_was_removed_meanwhile(
    asked: Clients, emulator: Emulator, waits: list[float]
) -> None:
    removals = [None, None, None]

    def call() -> Any:
        if removals:
            removals.pop()
            emulator.ec2().delete_launch_template(LaunchTemplateName=NAME)
        return asked.ec2_for_launch(REGION).create_fleet(**FLEET)

    assert launch_templates.call_with(asked, CONTEXT, LAUNCH, "", call)["FleetId"]
    assert len(emulator.calls("CreateLaunchTemplate")) == 4
    assert len(waits) == 2


def test_another_refusal_ends_the_waiting(asked: Clients, emulator: Emulator, waits: list[float]) -> None:
    emulator.fault("error", action="CreateFleet", times=2, **NOT_FOUND)
    emulator.fault("error", action="CreateFleet", code="MaxFleetCountExceeded", message="too many", status=400)
    with pytest.raises(ClientError, match="MaxFleetCountExceeded"):
        made(asked)
    assert len(emulator.calls("CreateFleet")) == 3


def test_a_launch_template_that_cannot_be_made_is_not_waited_for(
    asked: Clients, emulator: Emulator, waits: list[float]
) -> None:
    emulator.configure(quotas={"launch-templates": 0})
    with pytest.raises(ProviderError, match="quota for launch templates"):
        made(asked)
    assert (len(emulator.calls("CreateLaunchTemplate")), waits) == (1, [])


def test_a_launch_that_is_not_refused_loads_nothing_that_waits(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    hostfactory.offer(template(subnets[0], providerApi="EC2Fleet"))
    message = json.dumps(demand("small", 1))
    found = modules("requestMachines", environment=hostfactory.environment, stdin=message)
    assert len(emulator.alive()) == 1
    assert "tenacity" not in {module.partition(".")[0] for module in found}
