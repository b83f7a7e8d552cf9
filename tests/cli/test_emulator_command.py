"""`hfplugin emulator`: what it prints is enough to use it, and it ends when it is told to."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import call, command
from player import HostFactory, template

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}

# As an environment has it into which the extra was not installed.
WITHOUT_EXTRA = "sys.modules['moto'] = None\n"


class Running:
    """The command at work, once it has said all that it says."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            command("emulator"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True
        )
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.endswith("/emulator/calls\n"):
                break
        self.said = "".join(lines)
        [self.url] = re.findall(r"listens on (\S+);", self.said)

    @property
    def variables(self) -> dict[str, str]:
        return dict(re.findall(r"^export (\w+)=(.*)$", self.said, re.MULTILINE))


@pytest.fixture
def running() -> Iterator[Running]:
    started = Running()
    yield started
    started.process.kill()
    started.process.communicate()


def play(site: HostFactory, running: Running) -> None:
    """Launch and return a machine in the first of the subnets that are named."""
    subnet = re.findall(r"^subnetId  (\S+)", running.said, re.MULTILINE)[0]
    [image] = re.findall(r"^imageId   (\S+)", running.said, re.MULTILINE)
    site.offer(template(subnet, imageId=image))
    site.environment.update(running.variables)
    [machine] = site.machines("small", 1)
    assert site.returned(machine)["status"] == "complete"


def test_its_variables_and_ids_lead_a_provider_to_it(running: Running, tmp_path: Path) -> None:
    site = HostFactory(tmp_path)
    site.configure({"providerType": "aws", "aws": {"region": "us-west-2", "endpointUrl": "http://127.0.0.1:9"}})
    play(site, running)


def test_its_configuration_fragment_leads_a_provider_to_it(running: Running, tmp_path: Path) -> None:
    [fragment] = re.findall(r"^\{\n.*?^\}", running.said, re.MULTILINE | re.DOTALL)
    site = HostFactory(tmp_path)
    site.configure(json.loads(fragment))
    for name in [name for name in running.variables if name.startswith("HFPLUGIN_")]:
        running.said = running.said.replace(f"export {name}=", "# ")
    play(site, running)


def test_its_example_of_a_command_works(running: Running) -> None:
    examples = re.findall(r"^curl -d '(.*)' (\S+)$", running.said, re.MULTILINE)
    assert len(examples) == 2
    for body, url in examples:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), method="POST")) as answer:
            assert json.load(answer) is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_with_status_0_and_no_complaint(running: Running, number: signal.Signals) -> None:
    running.process.send_signal(number)
    stdout, stderr = running.process.communicate(timeout=20)
    assert (running.process.returncode, stdout, stderr) == (
        0,
        "the emulator has ended; nothing of it is kept\n",
        "",
    )


def test_it_listens_where_it_is_told(running: Running) -> None:
    port = int(running.url.rpartition(":")[2])
    running.process.terminate()
    running.process.communicate(timeout=20)
    with subprocess.Popen(
        command("emulator", "--port", str(port)), stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
    ) as again:
        assert again.stdout is not None
        first = again.stdout.readline()
        again.terminate()
        again.communicate(timeout=20)
    assert first.startswith(f"an emulated AWS listens on http://127.0.0.1:{port}; ")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = call("emulator", "--port", str(port), environment=ENVIRONMENT)
    assert (called.status, called.stdout) == (1, "")
    assert called.stderr.startswith(f"hfplugin: port {port} on 127.0.0.1 cannot be had: Address already in use; ")


@pytest.mark.parametrize("arguments", [["emulator"], ["rehearse"]], ids=" ".join)
def test_without_the_extra_the_remedy_is_named(hostfactory: HostFactory, arguments: list[str]) -> None:
    called = call(*arguments, environment=hostfactory.environment, before=WITHOUT_EXTRA)
    assert (called.status, called.stdout) == (1, "")
    assert called.stderr.startswith("hfplugin: the emulator needs moto")
    assert "pip install 'hfplugin[emulator]'" in called.stderr
