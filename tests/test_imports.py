"""A call imports only what it uses: start-up is most of what a call costs (see tests/benchmarks)."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from front_door import modules
from player import HostFactory, demand

from hfplugin.model import Phase, Request, RequestStatus, Template
from hfplugin.store import FileStore

# Each costs a call more than all its own work.
HEAVY = {"boto3", "botocore", "click", "moto", "pydantic", "rich", "structlog", "tenacity"}

# Each costs a call that only answers kept bytes as much as everything else that it does.
NOT_FOR_KEPT_BYTES = {"argparse", "dataclasses", "inspect", "json", "logging", "pathlib", "re", "typing"}


def roots(loaded: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in loaded}


def own(loaded: set[str]) -> set[str]:
    return {module.removeprefix("hfplugin.") for module in loaded if module.startswith("hfplugin.")}


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance that was called before, so that its files are compiled."""
    player = HostFactory(tmp_path)
    player.configure({"providerType": "aws"})
    player.offer({"templateId": "small", "maxNumber": 5, "imageId": "ami-1", "vmType": "m5.large"})
    player.templates()
    return player


def loaded(site: HostFactory, verb: str, message: dict[str, Any]) -> set[str]:
    return modules(verb, environment=site.environment, stdin=json.dumps(message))


def test_templates_from_their_compiled_form_need_next_to_nothing(site: HostFactory) -> None:
    found = loaded(site, "getAvailableTemplates", {})
    assert not (HEAVY | NOT_FOR_KEPT_BYTES) & roots(found)
    assert own(found) == {
        "__main__",
        "catalog",
        "errors",
        "hostfactory",
        "environment",
        "hostfactory.verbs",
        "logs",
        "providers",
    }


def test_a_state_with_work_in_it_makes_templates_no_dearer(site: HostFactory) -> None:
    """What is due is asked after the answer, with a look at two times of change."""
    FileStore(str(site.state)).marks.set_due(time.time() + 600)
    found = loaded(site, "getAvailableTemplates", {})
    assert not (HEAVY | NOT_FOR_KEPT_BYTES) & roots(found)
    assert {"marks", "clock"} <= own(found)


def test_a_poll_of_a_closed_request_needs_its_record_alone(site: HostFactory) -> None:
    request = Request(
        id=f"req-{uuid.uuid4()}",
        template=Template("small", "aws", 5, {}, {}),
        units=1,
        created=0,
        deadline=600,
        pending_timeout=600,
        phase=Phase.CLOSED,
        status=RequestStatus.COMPLETE,
    )
    FileStore(str(site.state)).requests.save(request)
    found = loaded(site, "getRequestStatus", {"requests": request.id})
    assert not HEAVY & roots(found)
    assert not {"dataclasses", "inspect", "logging", "pathlib"} & roots(found)
    assert not {"compiler", "config", "fulfilment", "returns", "templates"} & own(found)


def test_a_look_for_lost_hosts_without_hosts_needs_nothing_of_the_cloud(site: HostFactory) -> None:
    assert not HEAVY & roots(loaded(site, "getReturnRequests", {}))


def test_a_poll_that_asks_aws_loads_what_speaks_to_aws_and_no_more(hostfactory: HostFactory) -> None:
    request_id = hostfactory.request("small", 1)
    hostfactory.environment["HF_LOGLEVEL"] = "LOG_ERROR"
    found = loaded(hostfactory, "getRequestStatus", {"requests": request_id})
    assert "botocore" in roots(found)
    assert not {"click", "moto", "pydantic", "rich", "structlog", "tenacity"} & roots(found)


def test_only_a_logged_event_loads_what_writes_the_log(hostfactory: HostFactory) -> None:
    hostfactory.environment["HF_LOGLEVEL"] = "LOG_DEBUG"
    assert "structlog" in roots(loaded(hostfactory, "getAvailableTemplates", {}))
    hostfactory.environment["HF_LOGLEVEL"] = "LOG_INFO"
    assert "structlog" not in roots(loaded(hostfactory, "getAvailableTemplates", {}))


@pytest.mark.parametrize("command", [["status"], ["check"], ["config", "convert"], ["--help"]], ids=" ".join)
def test_no_command_but_its_own_loads_the_emulator(hostfactory: HostFactory, command: list[str]) -> None:
    found = modules(*command, environment=hostfactory.environment)
    assert not {module for module in own(found) if module.startswith("emulator")}
    assert "moto" not in roots(found)


@pytest.mark.parametrize(
    "verb", ["requestMachines", "requestReturnMachines", "getRequestStatus", "getReturnRequests"]
)
def test_no_verb_loads_what_is_for_people(hostfactory: HostFactory, verb: str) -> None:
    messages: dict[str, dict[str, Any]] = {
        "requestMachines": demand("small", 1),
        "requestReturnMachines": {"machines": ["host-1"]},
        "getRequestStatus": {"requests": "nonsense"},
        "getReturnRequests": {"machines": ["host-1"]},
    }
    assert not {"click", "rich", "moto"} & roots(loaded(hostfactory, verb, messages[verb]))
