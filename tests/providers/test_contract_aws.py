"""AWS, as far as the emulator is AWS, keeps every promise: through each of its ways to give machines."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from player import ROLE, SERVICES
from player import template as template_of

from hfplugin.emulator import CREDENTIALS, REGION, Emulator
from hfplugin.errors import ErrorKind
from hfplugin.model import Launch, Template
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.handlers import auto_scaling, group_members
from hfplugin.providers.aws.spec import SPEC
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.contract import Bench, ProviderContract
from hfplugin.providers.base.contract.bench import bring, released
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Provider

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


class Errors(NamedTuple):
    """The action that launches, and the codes by which it says that it may not and that it makes no sense."""

    action: str
    denied: str = "UnauthorizedOperation"
    invalid: str = "InvalidParameterValue"


ERRORS = {
    "RunInstances": Errors("RunInstances"),
    "EC2Fleet": Errors("CreateFleet"),
    "SpotFleet": Errors("RequestSpotFleet", invalid="InvalidSpotFleetRequestConfig"),
    "ASG": Errors("CreateAutoScalingGroup", denied="AccessDenied", invalid="ValidationError"),
}


# Minutes: by this machine's clock, and the emulator's is ahead of it by all that was ever skipped.
ENDS_LATE = {"spotFleetRequestExpiry": 5_000_000}

TAGS = {"team": "blue"}

# Each machine is worth two units.
WEIGHTY = {"vmType": "", "vmTypes": {"m5.large": 2}}


class AWSBench(Bench):
    """One service of the emulated AWS in one region; machines of one type, from one subnet.

    Where the service has no fleet or group that lives on, those of `group` stand in for it.
    """

    call_seconds = 20.0
    patience_seconds = 300.0

    def __init__(
        self,
        emulator: Emulator,
        ec2: EC2Client,
        cache: Cache,
        service: dict[str, Any],
        group: dict[str, Any] | None = None,
    ) -> None:
        self._emulator = emulator
        self._ec2 = ec2
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        self._errors = ERRORS[service["providerApi"]]
        self.context = Context("prod1", "installation1", cache, Health())
        self.template = _template(subnet, {**service, "instanceTags": TAGS})._replace(tags=TAGS)
        self.group_template = _template(subnet, group) if group else self.template
        self.weighted_template = _template(subnet, {**service, **WEIGHTY})
        self.bad_template = _template(subnet, {**service, "imageId": "ami-0bad0bad0bad0bad0"})
        self.group_replaces = (group or service).get("fleetType") != "request"
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
        action = self._errors.action
        match kind:
            case ErrorKind.CAPACITY:
                self.limit(0)
            case ErrorKind.QUOTA:
                self._emulator.configure(quotas={"on-demand-vcpus": 0, "spot-vcpus": 0})
            case ErrorKind.THROTTLED:
                self._emulator.fault("throttle", action=action)
            case ErrorKind.AUTH:
                self._emulator.fault("error", action=action, code=self._errors.denied, status=403)
            case ErrorKind.INVALID:
                self._emulator.fault("error", action=action, code=self._errors.invalid, status=400)
            case _:
                self.unproven("refuse", f"a refusal for {kind}")

    def limit(self, machines: int) -> None:
        self._emulator.configure(capacity={"*/m5.large/*": machines})

    def lose_answer(self) -> None:
        self._emulator.fault("drop_after", action=self._errors.action, times=1)

    def cut_off(self) -> None:
        self._emulator.fault("hang", seconds=1.0)
        self._read_seconds = 0.3
        self.renew()

    def end(self, machine_id: str) -> None:
        self._emulator.terminate(machine_id)

    def interrupt(self, machine_id: str) -> None:
        """What is bought on demand is taken back only where its hardware fails."""
        if self._is_spot:
            self._emulator.interrupt(machine_id)
        else:
            self._emulator.schedule(machine_id, "instance-retirement")

    def protect(self, machine_id: str) -> None:
        if self._is_spot or self.template.extension["providerApi"] == "ASG":
            self.unproven("protect", "AWS protects neither spot machines nor those that Auto Scaling ends")
        self._ec2.modify_instance_attribute(InstanceId=machine_id, DisableApiTermination={"Value": True})

    def tags(self, machine_id: str) -> Mapping[str, str]:
        return next(each.tags for each in self._emulator.machines() if each.id == machine_id)


def _template(subnet: str, service: dict[str, Any]) -> Template:
    keys = template_of(subnet, **service)
    return Template(
        str(keys.pop("templateId")), "aws", -1, {}, {k: v for k, v in keys.items() if k != "maxNumber"}
    )


@pytest.mark.usefixtures("aws_credentials")
class AWSContract(ProviderContract):
    """What the classes below prove, each of one service."""

    service: dict[str, Any]
    group: dict[str, Any] | None = None

    @pytest.fixture
    def bench(self, emulator: Emulator, ec2: EC2Client, cache: Cache) -> Bench:
        return AWSBench(emulator, ec2, cache, self.service, self.group)


class TestRunInstances(AWSContract):
    service = SERVICES["RunInstances"]
    group = {**SERVICES["EC2Fleet-maintain"], "priceType": "spot"}


class TestInstantFleet(AWSContract):
    service = {**SERVICES["EC2Fleet-instant"], "priceType": "spot"}
    group = {**SERVICES["ASG"], "priceType": "spot"}


class TestRequestedFleet(AWSContract):
    service = {**SERVICES["EC2Fleet-request"], **ENDS_LATE}


class TestMaintainedFleet(AWSContract):
    service = SERVICES["EC2Fleet-maintain"]


class TestRequestedSpotFleet(AWSContract):
    service = {**SERVICES["SpotFleet-request"], **ENDS_LATE, "fleetRole": ROLE}


class TestMaintainedSpotFleet(AWSContract):
    service = {**SERVICES["SpotFleet-maintain"], "fleetRole": ROLE}


class TestAutoScaling(AWSContract):
    service = SERVICES["ASG"]

    def test_members_that_leave_between_every_look_and_call_spoil_no_release(
        self, bench: AWSBench, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brought = bring(bench, 5)
        kept, *others = sorted(brought.ids)
        rivals = iter(others[:3])
        client = emulator.client("autoscaling")
        look = group_members.described

        def looked(clients: Clients, launch: Launch) -> Any:
            group = look(clients, launch)
            for machine_id in islice(rivals, 1):
                client.terminate_instance_in_auto_scaling_group(
                    InstanceId=machine_id, ShouldDecrementDesiredCapacity=True
                )
            return group

        for module in (auto_scaling, group_members):
            monkeypatch.setattr(module, "described", looked)
        answer = released(bench, brought, others)
        assert answer.going == set(others)
        assert not answer.refused
        bench.advance(600)
        assert bench.alive() == {kept}


@pytest.fixture(scope="module")
def ec2(running_emulator: Emulator) -> EC2Client:
    """A client past the provider; one for all tests, which takes longer to make than some of them."""
    return running_emulator.ec2()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One for all tests: it holds what of botocore is slow to read."""
    return Cache(str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def aws_credentials(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the emulator takes for credentials, in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
