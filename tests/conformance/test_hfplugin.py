"""hfplugin's own scripts keep HostFactory's contract, as anybody's are held against it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from player import SCRIPTS, HostFactory, template

from conformance.right import HOOKS
from hfplugin.emulator import CREDENTIALS, Emulator

HOOK = Path(__file__).with_name("cloud_hook.py")

# A whole run has more calls than other tests, and outages take the retries of every one.
TIME_LIMIT = 300

NOT_JUDGED = {
    "request.never-more-than-the-maximum",  # the template has room: a smaller one has none for the other checks
    "kill.what-a-killed-request-launched-is-given-back",  # a quarter of an hour
}


@pytest.fixture
def file(hostfactory: HostFactory, emulator: Emulator, subnets: list[str], tmp_path: Path) -> Path:
    """What the suite is told of hfplugin on the emulated cloud."""
    hostfactory.offer(template(subnets[0]), template(subnets[0], templateId="spot", priceType="spot"))
    command = shlex.join([sys.executable, "-I", str(HOOK), emulator.url])
    settings = {
        "providerName": hostfactory.name,
        "confDir": str(hostfactory.conf),
        "environment": {**CREDENTIALS, "HFPLUGIN_PYTHON": sys.executable, "AWS_EC2_METADATA_DISABLED": "true"},
        "templateIds": ["small"],
        "interruptibleTemplateId": "spot",
        "machineCount": 6,
        "limits": {"pollSeconds": 0.1, "readySeconds": 60, "goneSeconds": 60, "noticeSeconds": 60},
        "hooks": {hook: f'{command} {hook} "$@"' for hook in HOOKS},
    }
    path = tmp_path / "conformance.json"
    path.write_text(json.dumps(settings))
    return path


def conformance(file: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "hfplugin", "conformance", "--scripts", str(SCRIPTS), "--config", str(file)]
    done = subprocess.run(
        [*command, "--yes", "--json", *arguments], capture_output=True, timeout=TIME_LIMIT, check=False
    )
    verdict: dict[str, Any] = json.loads(done.stdout)
    assert [check for check in verdict["checks"] if check["outcome"] == "failed"] == []
    assert (done.returncode, verdict["left"]) == (0, [])
    return verdict


def test_hfplugin_keeps_every_rule_while_the_cloud_is_there(file: Path, emulator: Emulator) -> None:
    groups = ("calls", "templates", "request", "status", "machines", "lost", "concurrency", "return", "kill")
    verdict = conformance(file, *(word for group in groups for word in ("--only", group)))
    assert {check["id"] for check in verdict["checks"] if check["outcome"] == "skipped"} == NOT_JUDGED
    assert not emulator.alive()


def test_hfplugin_keeps_every_rule_while_the_cloud_is_away(file: Path, emulator: Emulator) -> None:
    verdict = conformance(file, "--only", "outage")
    assert {check["outcome"] for check in verdict["checks"]} == {"passed"}
    assert not emulator.alive()
