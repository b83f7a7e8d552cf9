"""AWS, as far as the emulator is AWS, keeps every promise: through RunInstances, instant and maintained fleets."""

from __future__ import annotations

from typing import Any

import pytest
from player import template as template_of

from hfplugin.emulator import CREDENTIALS, REGION, Emulator
from hfplugin.errors import ErrorKind
from hfplugin.model import Template
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.spec import SPEC
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.contract import Bench, ProviderContract
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Provider

INSTANT = {"providerApi": "EC2Fleet", "fleetType": "instant", "priceType": "spot"}
MAINTAIN = {"providerApi": "EC2Fleet", "fleetType": "maintain"}


class AWSBench(Bench):
    """One service of the emulated AWS in one region; machines of one type, from one subnet."""

    call_seconds = 20.0
    patience_seconds = 300.0

    def __init__(self, emulator: Emulator, cache: Cache, subnet: str, service: dict[str, Any]) -> None:
        self._emulator = emulator
        self._launch = "CreateFleet" if service else "RunInstances"
        self.context = Context("prod1", "installation1", cache, Health())
        self.template = _template(subnet, service)
        self.group_template = _template(subnet, MAINTAIN)
        self._read_seconds = 10.0
        self._is_spot = service.get("priceType") == "spot"

    def make(self) -> Provider:
        settings = AWSSettings(
            region=REGION, endpoint_url=self._emulator.url, read_timeout_seconds=self._read_seconds
        )
        return SPEC.create(settings, self.context)

    def advance(self, seconds: float) -> None:
        self._emulator.advance(seconds)

    def alive(self) -> set[str]:
        return {machine.id for machine in self._emulator.alive()}

    def refuse(self, kind: ErrorKind) -> None:
        match kind:
            case ErrorKind.CAPACITY:
                self.limit(0)
            case ErrorKind.QUOTA:
                self._emulator.configure(quotas={"on-demand-vcpus": 0, "spot-vcpus": 0})
            case ErrorKind.THROTTLED:
                self._emulator.fault("throttle", action=self._launch)
            case ErrorKind.AUTH:
                self._emulator.fault("error", action=self._launch, code="UnauthorizedOperation", status=403)
            case ErrorKind.INVALID:
                self._emulator.fault("error", action=self._launch, code="InvalidParameterValue", status=400)
            case _:
                self.unproven("refuse", f"a refusal for {kind}")

    def limit(self, machines: int) -> None:
        self._emulator.configure(capacity={"*/m5.large/*": machines})

    def lose_answer(self) -> None:
        self._emulator.fault("drop_after", action=self._launch, times=1)

    def cut_off(self) -> None:
        self._emulator.fault("hang", seconds=1.0)
        self._read_seconds = 0.3
        self.renew()

    def end(self, machine_id: str) -> None:
        self._emulator.terminate(machine_id)

    def interrupt(self, machine_id: str) -> None:
        if not self._is_spot:
            self.unproven("interrupt", "AWS takes no machine back that is bought on demand")
        self._emulator.interrupt(machine_id)

    def protect(self, machine_id: str) -> None:
        if self._is_spot:
            self.unproven("protect", "AWS protects no spot machine")
        self._emulator.ec2().modify_instance_attribute(
            InstanceId=machine_id, DisableApiTermination={"Value": True}
        )


def _template(subnet: str, service: dict[str, Any]) -> Template:
    keys = template_of(subnet, **service)
    return Template(
        str(keys.pop("templateId")), "aws", -1, {}, {k: v for k, v in keys.items() if k != "maxNumber"}
    )


@pytest.mark.usefixtures("aws_credentials")
class TestRunInstances(ProviderContract):
    @pytest.fixture
    def bench(self, emulator: Emulator, cache: Cache, subnets: list[str]) -> Bench:
        return AWSBench(emulator, cache, subnets[0], {})


@pytest.mark.usefixtures("aws_credentials")
class TestInstantFleet(ProviderContract):
    @pytest.fixture
    def bench(self, emulator: Emulator, cache: Cache, subnets: list[str]) -> Bench:
        return AWSBench(emulator, cache, subnets[0], INSTANT)


@pytest.mark.usefixtures("aws_credentials")
class TestMaintainedFleet(ProviderContract):
    @pytest.fixture
    def bench(self, emulator: Emulator, cache: Cache, subnets: list[str]) -> Bench:
        return AWSBench(emulator, cache, subnets[0], MAINTAIN)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One for all tests: it holds what of botocore is slow to read."""
    return Cache(str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def aws_credentials(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the emulator takes for credentials, in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
