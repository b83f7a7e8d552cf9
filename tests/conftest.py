"""An EC2 to test against, and HostFactory in front of the plug-in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore import loaders
from fake_ec2 import AWAY, FakeAWS, FakeClients
from player import HostFactory, template
from standby import Standby

from hfplugin.emulator import REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scripts", action="store_true", help="HostFactory's calls all start the scripts: slower by half"
    )


@pytest.fixture(scope="session", autouse=True)
def _botocore_reads_each_file_once() -> Iterator[None]:
    """Keep what botocore reads: as it is, every session of every test decodes megabytes of the same JSON.

    botocore changes none of it, and shares it among the clients of a session as well.
    """
    load = loaders.JSONFileLoader._load_file  # type: ignore[attr-defined]
    kept: dict[tuple[str, int, int], Any] = {}

    def load_once(self: loaders.JSONFileLoader, path: str, method: Any) -> Any:
        if not os.path.isfile(path):
            return None
        state = os.stat(path)
        key = path, state.st_mtime_ns, state.st_size
        if key not in kept:
            kept[key] = load(self, path, method)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders.JSONFileLoader, "_load_file", load_once)
        yield


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    """An emulated AWS that lives as long as the session: one for each test worker."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: Emulator) -> Emulator:
    """An emulated AWS in which nothing runs and nothing goes wrong yet."""
    running_emulator.reset()
    return running_emulator


@pytest.fixture
def ec2(emulator: Emulator) -> EC2Client:
    """A client of the emulated EC2."""
    return emulator.ec2()


@pytest.fixture
def subnets(ec2: EC2Client) -> list[str]:
    """The subnets of the default network, one a zone."""
    found = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])
    return [subnet["SubnetId"] for subnet in found]


@pytest.fixture(scope="session")
def running_standby() -> Iterator[Standby]:
    """An interpreter for calls that lives as long as the session: one for each test worker."""
    with Standby() as standby:
        yield standby


@pytest.fixture
def standby(request: pytest.FixtureRequest) -> Standby | None:
    """What makes this test's calls; None: the real scripts."""
    if request.config.getoption("scripts") or request.node.get_closest_marker("scripts"):
        return None
    running: Standby = request.getfixturevalue("running_standby")
    return running


@pytest.fixture
def hostfactory(tmp_path: Path, emulator: Emulator, subnets: list[str], standby: Standby | None) -> HostFactory:
    """A provider instance with two templates of the emulated EC2: `small` and, with a maxNumber of 3, `few`."""
    player = HostFactory(tmp_path / "host factory", standby=standby)
    player.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
    player.offer(template(subnets[0]), template(subnets[0], templateId="few", maxNumber=3))
    return player


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's reaches AWS's libraries, and there is no metadata service to wait for."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def credentials(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-the-environment")


@pytest.fixture
def aws() -> FakeAWS:
    """An AWS in memory that keeps EC2's rules."""
    return FakeAWS()


@pytest.fixture
def clients(aws: FakeAWS, tmp_path: Path, credentials: None) -> FakeClients:
    """The AWS provider's own clients, asking `aws`: a home region and one more."""
    return FakeClients(aws, tmp_path / "cache", fallback_regions=(AWAY,))
