"""A call on standby is a process like the script's: the same answer, its own surroundings, an end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from player import HostFactory, demand
from standby import Standby

TEMPLATE = {
    "templateId": "small",
    "maxNumber": 5,
    "imageId": "ami-1",
    "vmType": "m5.large",
    "subnetId": "subnet-1",
}


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


def site(top: Path, standby: Standby | None, url: str = "http://127.0.0.1:9") -> HostFactory:
    made = HostFactory(top, standby=standby)
    made.configure({"providerType": "aws", "aws": {"region": "eu-central-1", "endpointUrl": url}})
    made.offer(TEMPLATE)
    return made


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("getAvailableTemplates", {}),
        ("requestMachines", demand("unknown", 1)),
        ("requestReturnMachines", {}),
        ("getRequestStatus", {"requests": [{"requestId": "nonsense"}]}),
        ("getReturnRequests", {}),
    ],
)
def test_it_answers_as_the_script_does(
    tmp_path: Path, running_standby: Standby, verb: str, message: dict[str, object]
) -> None:
    by_script = site(tmp_path / "one", None).call(verb, message)
    assert site(tmp_path / "other", running_standby).call(verb, message) == by_script


def test_each_call_has_a_process_and_an_environment_of_its_own(tmp_path: Path, running_standby: Standby) -> None:
    sites = [site(tmp_path / str(number), running_standby) for number in range(4)]
    for each in sites:
        each.environment["HF_LOGLEVEL"] = "LOG_DEBUG"
    with ThreadPoolExecutor() as pool:
        assert all(pool.map(HostFactory.templates, sites))
    lines = [line for each in sites for file in each.log.glob("*.log") for line in file.read_text().splitlines()]
    assert len({json.loads(line)["pid"] for line in lines}) == 4
    assert all(any(each.log.glob("*.log")) for each in sites)


def test_a_call_that_hangs_is_killed(tmp_path: Path, running_standby: Standby, silent: socket.socket) -> None:
    hanging = site(tmp_path, running_standby, f"http://127.0.0.1:{silent.getsockname()[1]}")
    file = tmp_path / "hf_in"
    file.write_text(json.dumps(demand("small", 1)))
    with pytest.raises(TimeoutError):
        running_standby.call("requestMachines", file, hanging.environment, 2.0)
    connection, _ = silent.accept()
    with connection:
        connection.settimeout(3)  # a call that lives waits longer for its answer
        while connection.recv(10_000):
            pass
    assert hanging.templates()
