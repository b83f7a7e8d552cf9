"""The simulated cloud's console, against a provider instance that HostFactory's scripts use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from player import SCRIPTS, HostFactory
from simulated_cloud import MACHINE_TYPES

README = SCRIPTS.parent / "README.md"
CONSOLE = [sys.executable, "-m", "hfplugin.providers.simulated"]

NOT_JUDGED = {
    "request.never-more-than-the-maximum",  # the template has room: a smaller one has none for the other checks
    "kill.what-a-killed-request-launched-is-given-back",  # a quarter of an hour
}


@pytest.fixture
def hostfactory(tmp_path: Path) -> HostFactory:
    player = HostFactory(tmp_path, "sim1")
    quick = {"bootSeconds": 0, "shutdownSeconds": 0, "places": ["north"], "noticeSeconds": 90}
    player.configure({"providerType": "simulated", "simulated": quick})
    player.offer({"templateId": "single", "maxNumber": 100, "machineTypes": MACHINE_TYPES})
    return player


def example() -> dict[str, Any]:
    """Give the suite's file as README shows it for this provider."""
    fenced = re.findall(r"^```json\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    [text] = [text for text in fenced if "hfplugin.providers.simulated list" in text]
    settings: dict[str, Any] = json.loads(text)
    return settings


def console(player: HostFactory, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CONSOLE, *arguments], env=player.environment, capture_output=True, text=True, check=False, timeout=60
    )


def said(player: HostFactory, *arguments: str) -> str:
    done = console(player, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_lists_what_runs_of_the_instance(hostfactory: HostFactory) -> None:
    assert said(hostfactory, "list") == ""
    request_id = hostfactory.request("single", 2)
    ids = [machine["machineId"] for machine in hostfactory.poll(request_id)[0]["machines"]]
    assert said(hostfactory, "list") == "".join(f"{each} running north large {request_id}\n" for each in ids)
    hostfactory.environment["HF_PROVIDER_NAME"] = "another"
    (hostfactory.conf / "sim1prov_config.json").rename(hostfactory.conf / "anotherprov_config.json")
    assert said(hostfactory, "list") == ""


def test_what_it_ends_is_gone_and_named_as_lost(hostfactory: HostFactory) -> None:
    ended, other = hostfactory.machines("single", 2)
    said(hostfactory, "end", ended["machineId"])
    assert [line.split()[0] for line in said(hostfactory, "list").splitlines()] == [other["machineId"]]
    assert [each["machine"] for each in hostfactory.lost(ended, other)] == [ended["name"]]


def test_what_it_interrupts_runs_on_until_the_notice_is_over(hostfactory: HostFactory) -> None:
    taken, other = hostfactory.machines("single", 2)
    said(hostfactory, "interrupt", taken["machineId"])
    [named] = hostfactory.lost(taken, other)
    assert named["machine"] == taken["name"]
    assert 0 < named["gracePeriod"] <= 90
    assert len(said(hostfactory, "list").splitlines()) == 2


def test_a_cloud_that_is_cut_off_answers_nobody_until_it_is_reconnected(hostfactory: HostFactory) -> None:
    machines = hostfactory.machines("single", 1)
    said(hostfactory, "cut-off")
    assert hostfactory.returned(*machines)["status"] == "running"
    said(hostfactory, "reconnect")
    said(hostfactory, "reconnect")
    assert hostfactory.returned(*machines)["status"] == "complete"


@pytest.mark.parametrize("command", ["end", "interrupt"])
def test_a_machine_that_there_is_not_is_named(hostfactory: HostFactory, command: str) -> None:
    done = console(hostfactory, command, "sim-0123456789abcdef-0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no machine 'sim-0123456789abcdef-0'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_instance_of_another_provider_has_no_such_cloud(hostfactory: HostFactory) -> None:
    hostfactory.configure({"providerType": "aws", "aws": {"region": "eu-central-1"}})
    done = console(hostfactory, "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("sim1prov_config.json: provider aws has no simulated cloud\n")


def test_its_commands_are_hooks_of_the_conformance_suite(hostfactory: HostFactory, tmp_path: Path) -> None:
    settings = example() | {
        "providerName": hostfactory.name,
        "confDir": str(hostfactory.conf),
        "workDir": str(hostfactory.work),
        "environment": {"HFPLUGIN_PYTHON": sys.executable, "PYTHON": sys.executable},
        "limits": {"pollSeconds": 0.1, "readySeconds": 60, "goneSeconds": 60, "noticeSeconds": 60},
    }
    file = tmp_path / "conformance.json"
    file.write_text(json.dumps(settings))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hfplugin",
            "conformance",
            "--scripts",
            SCRIPTS,
            "--config",
            file,
            "--yes",
            "--json",
        ],
        env=hostfactory.environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    verdict = json.loads(done.stdout)
    outcomes = {check["id"]: check["outcome"] for check in verdict["checks"]}
    assert [check for check in verdict["checks"] if check["outcome"] == "failed"] == []
    assert (done.returncode, verdict["left"]) == (0, [])
    assert {each for each, outcome in outcomes.items() if outcome == "skipped"} == NOT_JUDGED
    assert said(hostfactory, "list") == ""
