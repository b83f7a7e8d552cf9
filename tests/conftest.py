"""An EC2 to test against, and HostFactory in front of the plug-in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_ec2 import AWAY, FakeAWS, FakeClients
from player import HostFactory, template

from hfplugin.emulator import REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


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


@pytest.fixture
def hostfactory(tmp_path: Path, emulator: Emulator, subnets: list[str]) -> HostFactory:
    """A provider instance with two templates of the emulated EC2: `small` and, with a maxNumber of 3, `few`."""
    player = HostFactory(tmp_path / "host factory")
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
