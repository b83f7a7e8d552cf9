"""Spot Fleet: what a template becomes (golden calls), and what the handler makes of the emulated EC2's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import golden_case
import pytest
from botocore.validate import ParamValidator
from fake_ec2 import FakeAWS, FakeClients

from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION, Emulator
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Template
from hfplugin.providers.aws import errors, purchase
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.handlers import fleet, spot_fleet
from hfplugin.providers.aws.handlers.spot_fleet import SpotFleet
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Located, Order, Plan, Source
from hfplugin.providers.base.registry import TemplateExtensionRegistry

CASES = golden_case.cases("spot_fleet", {"template.json"}, "call.json")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"
ACCOUNT = "123456789012"
REQUEST_ID = "req-00000000-0000-4000-8000-000000000000"
CONTEXT = Context("prod1", "abc", Cache("/nonexistent"), Health())
NOON = 1793880000.0  # 2026-11-05T12:00:00Z
MINE = {"providerApi": "SpotFleet", "priceType": "spot", "fleetRole": ROLE}


class Handled:
    """The handler under test, at a time that a test can set, and what it launched."""

    def __init__(self, emulator: Emulator, cache: Path) -> None:
        self.emulator = emulator
        self.now = emulator.advance(0)
        self.clients = Clients(
            AWSSettings(region=REGION, endpoint_url=emulator.url), "prod1", Cache(str(cache)), Health()
        )
        self.spot_fleet = SpotFleet(self.clients, CONTEXT, lambda: self.now)

    def planned(self, keys: Mapping[str, Any], units: int = 3) -> Launch:
        """Freeze a launch of a template's keys, as the broker does."""
        raw = {"imageId": IMAGE_ID, "vmType": "m5.large", "encrypted": False, **MINE, **keys}
        order = Order(REQUEST_ID, 1, Template("compute", "aws", 100, {}, raw), units)
        plan = self.spot_fleet.plan(extension_of(raw), order)
        assert isinstance(plan, Plan)
        return plan.frozen(1, "0" * 48, self.now)

    def launched(self, units: int = 3, **keys: Any) -> Launch:
        """Send a launch that is accepted."""
        launch = self.planned(keys, units)
        outcome = self.spot_fleet.launch(launch, "")
        assert outcome.state is LaunchState.ACCEPTED, outcome
        return launch._replace(state=LaunchState.ACCEPTED, resource_id=outcome.resource_id)

    def described(self, launch: Launch) -> dict[str, Any]:
        answer = self.emulator.ec2().describe_spot_fleet_requests(SpotFleetRequestIds=[launch.resource_id])
        [found] = answer["SpotFleetRequestConfigs"]
        return dict(found)

    def target(self, launch: Launch) -> tuple[int, int]:
        """Give the target, and the part of it that is on demand."""
        own = self.described(launch)["SpotFleetRequestConfig"]
        return own["TargetCapacity"], own["OnDemandTargetCapacity"]

    def state(self, launch: Launch) -> str:
        return str(self.described(launch)["SpotFleetRequestState"])


def extension_of(raw: Mapping[str, Any]) -> AWSTemplate:
    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", dict(raw))
    return extension


def shape() -> Any:
    model = botocore.session.get_session().get_service_model("ec2")
    return model.operation_model("RequestSpotFleet").input_shape


@pytest.fixture
def handled(emulator: Emulator, tmp_path: Path, no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Handled:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Handled(emulator, tmp_path / "cache")


@every_case
def test_a_template_becomes_the_recorded_call(aws: FakeAWS, clients: FakeClients, case: Path) -> None:
    aws.account = ACCOUNT
    keys = json.loads((case / "template.json").read_text(encoding="utf-8"))
    raw = {"imageId": IMAGE_ID, "vmType": "m5.large", "encrypted": False, **MINE, **keys}
    order = Order(REQUEST_ID, 1, Template("compute", "aws", 100, {}, raw), 10)
    plan = SpotFleet(clients, CONTEXT, lambda: NOON).plan(extension_of(raw), order)
    assert isinstance(plan, Plan)
    golden_case.check(case / "call.json", plan.params)


@every_case
def test_botocores_own_model_accepts_the_call(case: Path) -> None:
    call = json.loads((case / "call.json").read_text(encoding="utf-8"))["Call"]
    report = ParamValidator().validate({"SpotFleetRequestConfig": {**call, "ClientToken": "0" * 48}}, shape())
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("strategy", sorted(purchase._HYPHENATED.keys() - {"prioritized"}))
def test_every_spot_strategy_reaches_aws_in_either_spelling(handled: Handled, strategy: str) -> None:
    for spelling in (strategy, purchase.hyphenated(strategy)):
        launch = handled.launched(1, allocationStrategy=spelling)._replace(token=spelling)
        assert handled.described(launch)["SpotFleetRequestConfig"]["AllocationStrategy"] == strategy
        handled.emulator.reset()


@pytest.mark.parametrize("strategy", ["lowestPrice", "prioritized"])
def test_every_on_demand_strategy_reaches_aws(handled: Handled, strategy: str) -> None:
    launch = handled.launched(2, percentOnDemand=50, allocationStrategyOnDemand=strategy)
    assert handled.described(launch)["SpotFleetRequestConfig"]["OnDemandAllocationStrategy"] == strategy


def test_a_replay_sends_the_very_same_and_makes_no_second_fleet(handled: Handled) -> None:
    launch = handled.launched()
    handled.now += 600
    again = handled.spot_fleet.launch(launch._replace(state=LaunchState.UNKNOWN), "")
    assert (again.state, again.resource_id) == (LaunchState.ACCEPTED, launch.resource_id)
    assert len(handled.emulator.alive()) == 3


def test_what_an_administrators_launch_template_tags_stays_tagged(handled: Handled) -> None:
    own: Any = {
        "ResourceType": "instance",
        "Tags": [{"Key": "cost", "Value": "42"}, {"Key": "hfplugin:attempt", "Value": "9"}],
    }
    made = handled.emulator.ec2().create_launch_template(
        LaunchTemplateName="theirs",
        LaunchTemplateData={
            "ImageId": IMAGE_ID,
            "TagSpecifications": [own],
            "InstanceMarketOptions": {"MarketType": "spot"},
        },
    )
    handled.launched(1, launchTemplateId=made["LaunchTemplate"]["LaunchTemplateId"])
    [machine] = handled.emulator.alive()
    assert (machine.tags["cost"], machine.tags["hfplugin:attempt"]) == ("42", "1")


@pytest.mark.parametrize(
    ("role", "arn"),
    [
        (ROLE, ROLE),
        ("aws-ec2-spot-fleet-tagging-role", ROLE),
        ("hf/fleet", f"arn:aws:iam::{ACCOUNT}:role/hf/fleet"),
        ("/hf/fleet", f"arn:aws:iam::{ACCOUNT}:role/hf/fleet"),
        ("role/fleet", f"arn:aws:iam::{ACCOUNT}:role/fleet"),
        ("role-of-fleets", f"arn:aws:iam::{ACCOUNT}:role/role-of-fleets"),
        ("arn:aws-us-gov:iam::123456789012:role/fleet", "arn:aws-us-gov:iam::123456789012:role/fleet"),
        (
            "AWSServiceRoleForEC2SpotFleet",
            f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/spotfleet.amazonaws.com/AWSServiceRoleForEC2SpotFleet",
        ),
    ],
)
def test_a_role_is_named_by_its_arn(handled: Handled, role: str, arn: str) -> None:
    assert handled.planned({"fleetRole": role}).params["Call"]["IamFleetRole"] == arn


@pytest.mark.parametrize(
    ("region", "partition"),
    [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")],
)
def test_a_role_is_of_the_regions_partition(handled: Handled, region: str, partition: str) -> None:
    arn = spot_fleet.role_arn(handled.clients, region, AWSTemplate.model_construct(fleet_role="fleet"))
    assert arn == f"arn:{partition}:iam::{ACCOUNT}:role/fleet"


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("", r"fleetRole is missing: .*aws-ec2-spot-fleet-tagging-role.*AWSServiceRoleForEC2SpotFleet"),
        ("arn:aws:iam::123456789012:instance-profile/fleet", "fleetRole arn:.* is no role"),
        ("arn:aws:ec2:eu-central-1:123456789012:role/fleet", "fleetRole arn:.* is no role"),
        ("hf fleet", "fleetRole hf fleet is no role"),
    ],
)
def test_what_is_no_role_is_refused_with_what_would_do(role: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AWSTemplate.model_validate({"imageId": IMAGE_ID, "vmType": "m5.large", **MINE, "fleetRole": role})


def test_a_template_that_could_be_launched_passes_its_trials(handled: Handled, subnets: list[str]) -> None:
    raw = {"imageId": IMAGE_ID, "vmType": "m5.large", "subnetId": subnets, "encrypted": False, **MINE}
    order = Order("req-check", 1, Template("compute", "aws", 100, {}, raw), 1)
    trials = dict(handled.spot_fleet.trials(extension_of(raw), order))
    for trial in trials.values():
        trial()
    assert len(trials) == 3
    assert handled.emulator.resources() == []


def test_a_request_is_settled_once_it_is_fulfilled(handled: Handled) -> None:
    handled.emulator.configure(fleet_seconds=10)
    launch = handled.launched()
    assert handled.spot_fleet.gather(launch).state is LaunchState.ACCEPTED
    handled.emulator.advance(10)
    gathered = handled.spot_fleet.gather(launch)
    assert (gathered.state, gathered.errors) == (LaunchState.SETTLED, ())
    assert sorted(each.id for each in gathered.sightings) == sorted(each.id for each in handled.emulator.alive())
    assert {each.price_type for each in gathered.sightings} == {"spot"}


def test_a_maintained_fleet_is_never_settled_while_it_lives(handled: Handled) -> None:
    launch = handled.launched(fleetType="maintain")
    assert handled.spot_fleet.gather(launch).state is LaunchState.ACCEPTED
    handled.spot_fleet.remove(launch, launch.remains)
    assert handled.spot_fleet.gather(launch).state is LaunchState.SETTLED


def test_nothing_is_settled_while_the_list_of_machines_lags(
    handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = handled.launched()
    monkeypatch.setattr(fleet, "members", lambda launch, read: ())
    assert handled.spot_fleet.gather(launch).state is LaunchState.ACCEPTED


def test_a_request_that_expired_short_is_settled_and_its_place_exhausted(handled: Handled) -> None:
    handled.emulator.configure(capacity={f"{REGION}/*/*": 1})
    launch = handled.launched(5, spotFleetRequestExpiry=2)
    assert handled.spot_fleet.gather(launch).state is LaunchState.ACCEPTED
    handled.emulator.advance(121)
    gathered = handled.spot_fleet.gather(launch)
    assert gathered.state is LaunchState.SETTLED
    assert "There is no Spot capacity available" in str(gathered.errors[0])
    assert gathered.errors[-1].kind is ErrorKind.CAPACITY
    assert len(gathered.sightings) == len(handled.emulator.alive()) > 0


def test_a_request_that_we_stopped_is_not_said_to_have_ended_short(handled: Handled) -> None:
    handled.emulator.configure(fleet_seconds=60)
    launch = handled.launched()
    handled.spot_fleet.stop(launch, {})
    gathered = handled.spot_fleet.gather(launch._replace(is_stopped=True))
    assert (gathered.state, gathered.errors) == (LaunchState.SETTLED, ())


def test_a_fleet_that_somebody_cancelled_when_it_had_all_did_not_end_short(handled: Handled) -> None:
    launch = handled.launched(fleetType="maintain")
    handled.spot_fleet.stop(launch, {"spot": 2})  # as returns lower it
    handled.emulator.ec2().cancel_spot_fleet_requests(
        SpotFleetRequestIds=[launch.resource_id], TerminateInstances=False
    )
    gathered = handled.spot_fleet.gather(launch)
    assert (gathered.state, gathered.errors, len(gathered.sightings)) == (LaunchState.SETTLED, (), 3)


def test_capacity_that_is_refused_is_told_with_its_text(handled: Handled) -> None:
    handled.emulator.configure(capacity={f"{REGION}/*/*": 0})
    gathered = handled.spot_fleet.gather(handled.launched(fleetType="maintain"))
    assert gathered.state is LaunchState.ACCEPTED
    assert "There is no Spot capacity available" in gathered.errors[0].message


def test_a_limit_that_is_reached_is_one_of_quota(handled: Handled) -> None:
    handled.emulator.configure(quotas={"spot-vcpus": 1})
    gathered = handled.spot_fleet.gather(handled.launched())
    assert {(each.kind, each.code) for each in gathered.errors} == {
        (ErrorKind.QUOTA, "spotInstanceCountLimitExceeded")
    }


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("iamFleetRoleInvalid", ErrorKind.AUTH),
        ("allLaunchSpecsTemporarilyBlacklisted", ErrorKind.CAPACITY),
        ("launchSpecTemporarilyBlacklisted", ErrorKind.CAPACITY),
        ("launchSpecUnusable", ErrorKind.CAPACITY),
        ("fleetProgressHalted", ErrorKind.CAPACITY),
        ("spotInstanceCountLimitExceeded", ErrorKind.QUOTA),
        ("spotFleetRequestConfigurationInvalid", ErrorKind.INVALID),
        ("FleetNotInModifiableState", ErrorKind.TRANSIENT),
        ("unexpectedError", ErrorKind.TRANSIENT),
    ],
)
def test_what_happens_to_a_fleet_has_a_kind(event: str, kind: ErrorKind) -> None:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EventInformation.html"""
    assert errors.kind_of(event) is kind


def test_a_fleet_over_quota_is_refused_for_good(handled: Handled) -> None:
    handled.emulator.configure(quotas={"spot-fleets": 0})
    outcome = handled.spot_fleet.launch(handled.planned({}), "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.REFUSED, ErrorKind.QUOTA)


def test_a_launch_template_that_vanishes_is_made_again(handled: Handled) -> None:
    launch = handled.planned({})
    gone = {"code": "InvalidLaunchTemplateName.NotFoundException", "message": "no such template", "status": 400}
    handled.emulator.fault("error", action="RequestSpotFleet", times=1, **gone)
    assert handled.spot_fleet.launch(launch, "").state is LaunchState.ACCEPTED
    assert len(handled.emulator.calls("CreateLaunchTemplate")) == 2


def test_a_launch_template_that_cannot_be_seen_stops_nothing_for_good(
    handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made a moment ago, and AWS may show it later: the same place is tried again."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: None))
    gone = {"code": "InvalidLaunchTemplateName.NotFoundException", "message": "no such template", "status": 400}
    handled.emulator.fault("error", action="RequestSpotFleet", **gone)
    launch = handled.planned({})
    outcome = handled.spot_fleet.launch(launch, "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.REFUSED, ErrorKind.NOT_FOUND)
    again = handled.spot_fleet.launch(launch._replace(state=LaunchState.UNKNOWN), "")
    assert (again.state, again.look_only) == (LaunchState.UNKNOWN, False)


def test_a_request_that_brought_all_and_lost_some_says_that_it_brings_no_more(handled: Handled) -> None:
    launch = handled.launched()
    lost = handled.emulator.alive()[0]
    handled.emulator.terminate(lost.id, code="Server.SpotInstanceTermination", text="taken back")
    gathered = handled.spot_fleet.gather(launch)
    assert len(gathered.sightings) == 2
    assert [(each.kind, each.code) for each in gathered.errors] == [(ErrorKind.CAPACITY, "FleetNotReplenished")]
    handled.spot_fleet.stop(launch, {"spot": 2})
    stopped = handled.spot_fleet.gather(launch._replace(is_stopped=True))
    assert (stopped.state, stopped.errors, len(stopped.sightings)) == (LaunchState.SETTLED, (), 2)


def test_a_request_that_lost_some_before_it_brought_all_is_still_waited_for(handled: Handled) -> None:
    handled.emulator.configure(capacity={f"{REGION}/*/*": 1})
    launch = handled.launched(9)
    handled.emulator.terminate(handled.emulator.alive()[0].id, code="Server.InternalError", text="hardware")
    assert "FleetNotReplenished" not in {each.code for each in handled.spot_fleet.gather(launch).errors}


def test_machines_that_a_request_does_not_list_yet_are_not_taken_for_lost(
    handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = handled.launched()
    report = fleet.Report((), False, False, "pending_fulfillment", 0, 3)
    watch = fleet.Watch(
        handled.clients, launch, "describe_spot_fleet_request_history", SpotFleetRequestId=launch.resource_id
    )
    assert watch.judged(report).errors == ()


def test_every_page_of_a_fleets_history_is_read(handled: Handled) -> None:
    handled.emulator.configure(capacity={f"{REGION}/*/*": 400})
    launch = handled.launched(1300, spotFleetRequestExpiry=60, subnetId="")
    lost = handled.emulator.alive()[0]
    handled.emulator.terminate(lost.id, code="Server.InternalError", text="hardware")
    records = fleet.Watch(
        handled.clients, launch, "describe_spot_fleet_request_history", SpotFleetRequestId=launch.resource_id
    )._history()
    assert len(fleet.launched(records)) == len(handled.emulator.machines())
    assert len(handled.emulator.calls("DescribeSpotFleetRequestHistory")) > 1


def test_a_type_is_found_for_the_dry_run_of_requirements(handled: Handled) -> None:
    wanted = {"VCpuCount": {"Min": 4}, "MemoryMiB": {"Min": 8192}}
    raw = {"imageId": IMAGE_ID, "encrypted": False, **MINE, "instanceRequirements": wanted}
    order = Order("req-check", 1, Template("compute", "aws", 100, {}, raw), 1)
    for _, trial in handled.spot_fleet.trials(extension_of(raw), order):
        trial()
    [call] = handled.emulator.calls("RunInstances")
    assert call["params"]["InstanceType"]
    assert "InstanceRequirements" not in call["params"]


def test_requirements_that_no_type_meets_fail_the_dry_run(handled: Handled) -> None:
    wanted = {"VCpuCount": {"Min": 4000}, "MemoryMiB": {"Min": 8192}}
    raw = {"imageId": IMAGE_ID, "encrypted": False, **MINE, "instanceRequirements": wanted}
    order = Order("req-check", 1, Template("compute", "aws", 100, {}, raw), 1)
    [(_, trial)] = handled.spot_fleet.trials(extension_of(raw), order)
    with pytest.raises(ConfigurationError, match="no type in eu-central-1 meets them"):
        trial()


def test_a_fleet_is_found_by_its_token_among_others(handled: Handled) -> None:
    handled.emulator.configure(fleet_seconds=60)
    launches = [handled.planned({}, 1)._replace(token=str(number)) for number in range(3)]
    ids = [handled.spot_fleet.launch(launch, "").resource_id for launch in launches]
    assert [handled.spot_fleet.find(launch, REQUEST_ID).resource_id for launch in launches] == ids
    unknown = handled.spot_fleet.find(launches[0]._replace(token="another"), REQUEST_ID)
    assert (unknown.state, unknown.resource_id) == (LaunchState.UNKNOWN, "")


def test_a_fleet_that_aws_has_forgotten_is_settled_and_one_not_yet_seen_is_not(handled: Handled) -> None:
    launch = handled.launched()._replace(resource_id="sfr-00000000-0000-0000-0000-000000000000")
    with pytest.raises(ProviderError) as caught:
        handled.spot_fleet.gather(launch)
    assert caught.value.kind is ErrorKind.TRANSIENT
    handled.now += 48 * 3600
    assert handled.spot_fleet.gather(launch).state is LaunchState.SETTLED
    handled.spot_fleet.stop(launch, {})
    handled.spot_fleet.remove(launch, launch.remains)


def test_stopping_a_request_keeps_its_machines(handled: Handled) -> None:
    launch = handled.launched()
    handled.spot_fleet.stop(launch, {"spot": 3})
    handled.spot_fleet.stop(launch, {"spot": 3})
    assert handled.state(launch) == "cancelled_running"
    assert len(handled.emulator.alive()) == 3


@pytest.mark.parametrize(
    ("held", "target"),
    [
        ({"spot": 1, "ondemand": 2}, (3, 2)),
        ({"spot": 2}, (2, 0)),
        ({}, (0, 0)),
        ({"spot": 9, "ondemand": 9}, (4, 2)),
    ],
)
def test_stopping_a_maintained_fleet_sets_it_to_what_it_holds_and_never_higher(
    handled: Handled, held: dict[str, int], target: tuple[int, int]
) -> None:
    launch = handled.launched(4, fleetType="maintain", percentOnDemand=50)
    handled.spot_fleet.stop(launch, held)
    assert handled.target(launch) == target
    handled.spot_fleet.stop(launch, held)
    assert handled.target(launch) == target
    assert len(handled.emulator.alive()) == 4


def test_a_target_falls_once_for_each_machine_however_often_it_is_released(handled: Handled) -> None:
    launch = handled.launched(4, fleetType="maintain")
    machine = handled.emulator.alive()[0]
    source = Source(launch, {"spot": 1})
    for _ in range(2):
        released = handled.spot_fleet.release(source, [Located(machine.id, REGION, ACCOUNT)])
        assert released.going == {machine.id}
        assert handled.target(launch) == (3, 0)
    handled.emulator.advance(300)
    assert len(handled.emulator.alive()) == 3


def test_a_stopped_fleet_is_lowered_to_what_it_holds(handled: Handled) -> None:
    launch = handled.launched(4, fleetType="maintain")
    machine = handled.emulator.alive()[0]
    handled.spot_fleet.release(Source(launch, {"spot": 1}, {"spot": 2}), [Located(machine.id, REGION, ACCOUNT)])
    assert handled.target(launch) == (2, 0)


def test_nothing_is_terminated_before_the_target_is_lowered(handled: Handled) -> None:
    launch = handled.launched(2, fleetType="maintain")
    handled.emulator.fault("error", action="ModifySpotFleetRequest", code="InternalError", status=500)
    machine = handled.emulator.alive()[0]
    with pytest.raises(ProviderError):
        handled.spot_fleet.release(Source(launch, {"spot": 1}), [Located(machine.id, REGION, ACCOUNT)])
    assert len(handled.emulator.alive()) == 2


@pytest.mark.parametrize("kind", ["request", "maintain"])
def test_what_is_removed_is_cancelled_with_its_launch_template_and_may_be_removed_again(
    handled: Handled, kind: str
) -> None:
    launch = handled.launched(1, fleetType=kind)
    machines = [Located(each.id, REGION, ACCOUNT) for each in handled.emulator.alive()]
    handled.spot_fleet.release(Source(launch, {"spot": 1}), machines)
    for _ in range(2):
        handled.spot_fleet.remove(launch, launch.remains)
    assert handled.emulator.alive() == []
    assert [each["kind"] for each in handled.emulator.resources()] == ["spot-fleet"]
    assert handled.state(launch).startswith("cancelled")


def test_what_a_maintained_fleet_still_brought_goes_with_it(handled: Handled) -> None:
    launch = handled.launched(2, fleetType="maintain")
    handled.spot_fleet.remove(launch, launch.remains)
    handled.emulator.advance(300)
    assert handled.emulator.alive() == []


def test_machines_of_a_fleet_that_somebody_cancelled_are_released(handled: Handled) -> None:
    launch = handled.launched(2, fleetType="maintain")
    handled.emulator.ec2().cancel_spot_fleet_requests(
        SpotFleetRequestIds=[launch.resource_id], TerminateInstances=False
    )
    machine = handled.emulator.alive()[0]
    released = handled.spot_fleet.release(Source(launch, {"spot": 1}), [Located(machine.id, REGION, ACCOUNT)])
    assert released.going == {machine.id}


def test_a_fleet_is_removed_though_others_use_its_launch_template(handled: Handled) -> None:
    launch = handled.launched(1, fleetType="maintain")
    handled.spot_fleet.remove(launch, [])
    assert handled.state(launch).startswith("cancelled")
    assert "launch-template" in [each["kind"] for each in handled.emulator.resources()]


def test_another_account_is_asked_for_nothing(handled: Handled) -> None:
    launch = handled.planned({})._replace(account="999999999999")
    outcome = handled.spot_fleet.launch(launch, "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.REFUSED, ErrorKind.AUTH)
    assert handled.emulator.resources() == []
