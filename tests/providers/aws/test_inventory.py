"""What AWS has under our tags: all of it is read, nothing else, and what is found can be ended.

Sources: EC2's API reference (DescribeInstances, DescribeFleets, DescribeSpotFleetRequests,
DescribeLaunchTemplates) and Auto Scaling's (DescribeAutoScalingGroups).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import ACCOUNT, AWAY, HOME, LAUNCHED_AT, FakeAWS, FakeClients, FaultError
from player import ROLE, SERVICES

from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION, Emulator
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Template
from hfplugin.providers.aws import inventory, tags
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.provider import AWSProvider
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Inventory, Located, Order, Plan, Source, Spare

MADE_AT = LAUNCHED_AT.timestamp()
REQUEST_ID = "req-00000000-0000-4000-8000-000000000001"

_numbers = itertools.count()


def labelled(provider: str = "prod1", **more: str) -> list[dict[str, str]]:
    """The tags of something of ours."""
    own = {
        tags.PROVIDER: provider,
        tags.INSTALLATION: "abc",
        tags.REQUEST_ID: "req-1",
        tags.ATTEMPT: "2",
        **{getattr(tags, name): value for name, value in more.items()},
    }
    return tags.as_list(own)


def fleet(state: str = "active", kind: str = "maintain", **fields: Any) -> dict[str, Any]:
    """A member of DescribeFleets' answer."""
    return {
        "FleetId": f"fleet-{next(_numbers)}",
        "FleetState": state,
        "Type": kind,
        "ClientToken": "token",
        "CreateTime": LAUNCHED_AT,
        "TargetCapacitySpecification": {"TotalTargetCapacity": 3, "OnDemandTargetCapacity": 3},
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateName": "hf-prod1-abc-1"}}],
        "Tags": labelled(),
        **fields,
    }


def spot_fleet(state: str = "active", **fields: Any) -> dict[str, Any]:
    """A member of DescribeSpotFleetRequests' answer."""
    named = {"LaunchTemplateSpecification": {"LaunchTemplateName": "hf-prod1-abc-1", "Version": "1"}}
    config = {"Type": "maintain", "TargetCapacity": 3, "IamFleetRole": ROLE, "ClientToken": "token"}
    return {
        "SpotFleetRequestId": f"sfr-{next(_numbers)}",
        "SpotFleetRequestState": state,
        "CreateTime": LAUNCHED_AT,
        "SpotFleetRequestConfig": {**config, "LaunchTemplateConfigs": [named]},
        "Tags": labelled(),
        **fields,
    }


def group(**fields: Any) -> dict[str, Any]:
    """A member of DescribeAutoScalingGroups' answer."""
    return {
        "AutoScalingGroupName": f"hf-prod1-abc-group-{next(_numbers)}",
        "DesiredCapacity": 3,
        "CreatedTime": LAUNCHED_AT,
        "LaunchTemplate": {"LaunchTemplateName": "hf-prod1-abc-1", "Version": "1"},
        "Tags": labelled(),
        **fields,
    }


def launch_template(**fields: Any) -> dict[str, Any]:
    """A member of DescribeLaunchTemplates' answer."""
    named = {"LaunchTemplateName": f"hf-prod1-abc-{next(_numbers)}"}
    return {**named, "CreateTime": LAUNCHED_AT, "Tags": labelled(), **fields}


def show_each(aws: FakeAWS, labels: list[dict[str, str]]) -> None:
    """Let there be one of each kind of thing, with these tags."""
    aws.show("Fleets", fleet(Tags=labels))
    aws.show("SpotFleetRequestConfigs", spot_fleet(Tags=labels))
    aws.show("AutoScalingGroups", group(Tags=labels))
    aws.show("LaunchTemplates", launch_template(Tags=labels))


def everything(clients: FakeClients) -> Inventory:
    return inventory.everything(clients, "prod1")


def ids(found: Inventory) -> set[str]:
    return {source.launch.resource_id for source in found.sources}


# All of it is read


def test_every_page_of_everything_in_every_region_is_read(aws: FakeAWS, clients: FakeClients) -> None:
    aws.page_size = 2
    for region in (HOME, AWAY):
        for _ in range(5):
            aws.add_ours(region)
            aws.show("Fleets", fleet(), region)
            aws.show("SpotFleetRequestConfigs", spot_fleet(), region)
            aws.show("AutoScalingGroups", group(), region)
            aws.show("LaunchTemplates", launch_template(), region)
    found = everything(clients)
    assert {machine.id for machine in found.machines} == set(aws.instances)
    assert (len(ids(found)), len({spare.name for spare in found.spares}), found.failures) == (30, 10, ())
    assert {source.launch.region for source in found.sources} == {HOME, AWAY}


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
def test_a_machine_that_is_or_may_be_again_is_found(aws: FakeAWS, clients: FakeClients, state: str) -> None:
    machine = aws.add_ours(state=state)
    assert [(each.id, each.state) for each in everything(clients).machines] == [(machine.id, state)]


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
def test_a_machine_that_has_gone_is_not(aws: FakeAWS, clients: FakeClients, state: str) -> None:
    aws.add_ours(state=state)
    assert everything(clients).machines == ()


@pytest.mark.parametrize("state", ["submitted", "active", "modifying"])
def test_a_fleet_that_may_bring_machines_is_found(aws: FakeAWS, clients: FakeClients, state: str) -> None:
    aws.show("Fleets", fleet(state))
    aws.show("SpotFleetRequestConfigs", spot_fleet(state))
    assert len(everything(clients).sources) == 2


@pytest.mark.parametrize("state", ["deleted", "failed", "deleted_running", "deleted_terminating"])
def test_a_fleet_that_was_deleted_is_no_source(aws: FakeAWS, clients: FakeClients, state: str) -> None:
    aws.show("Fleets", fleet(state))
    aws.show("SpotFleetRequestConfigs", spot_fleet(state.replace("deleted", "cancelled")))
    assert everything(clients).sources == ()


def test_a_group_that_is_being_deleted_is_no_source(aws: FakeAWS, clients: FakeClients) -> None:
    aws.show("AutoScalingGroups", group(Status="Delete in progress"))
    assert everything(clients).sources == ()


def test_an_instant_fleet_is_no_source_for_its_machines_either(aws: FakeAWS, clients: FakeClients) -> None:
    instant = fleet(kind="instant")
    aws.show("Fleets", instant)
    machine = aws.add_ours()
    machine.labels["aws:ec2:fleet-id"] = instant["FleetId"]
    found = inventory.find_requests(clients, ["req-1"], "prod1")
    assert ([each.id for each in found.machines], found.sources) == ([machine.id], ())
    assert everything(clients).sources == ()


# Nothing else is


def test_what_another_provider_made_or_nobody_tagged_is_left_out(aws: FakeAWS, clients: FakeClients) -> None:
    aws.add_ours(provider="prod2")
    aws.add()
    for labels in (labelled("prod2"), []):
        show_each(aws, labels)
    assert everything(clients) == Inventory()


def test_another_installation_of_the_name_is_told_apart(aws: FakeAWS, clients: FakeClients) -> None:
    show_each(aws, labelled(INSTALLATION="theirs"))
    aws.add_ours().labels[tags.INSTALLATION] = "theirs"
    found = everything(clients)
    told: list[Any] = [*found.machines, *found.sources, *found.spares]
    assert {each.installation for each in told} == {"theirs"}
    assert (len(found.machines), len(found.sources), len(found.spares)) == (1, 3, 1)


# What is told of a source


@pytest.mark.parametrize(
    ("kind", "shown", "api", "remains"),
    [
        ("Fleets", fleet(FleetId="fleet-a"), "EC2Fleet", ("launch-template/hf-prod1-abc-1",)),
        (
            "SpotFleetRequestConfigs",
            spot_fleet(SpotFleetRequestId="fleet-a"),
            "SpotFleet",
            ("launch-template/hf-prod1-abc-1",),
        ),
        (
            "AutoScalingGroups",
            group(AutoScalingGroupName="fleet-a"),
            "ASG",
            ("group/fleet-a", "launch-template/hf-prod1-abc-1"),
        ),
    ],
)
def test_a_source_tells_whose_it_is_and_what_it_leaves(
    aws: FakeAWS, clients: FakeClients, kind: str, shown: dict[str, Any], api: str, remains: tuple[str, ...]
) -> None:
    aws.show(kind, shown)
    [found] = everything(clients).sources
    launch = found.launch
    assert (found.request_id, found.installation, launch.attempt, launch.account) == ("req-1", "abc", 2, ACCOUNT)
    assert (launch.api, launch.resource_id, launch.units, launch.planned_at) == (api, "fleet-a", 3, MADE_AT)
    assert (launch.state, launch.remains) == (LaunchState.ACCEPTED, remains)


@pytest.mark.parametrize(
    ("units", "worth"),
    [("4", (4, {})), ("m5.large=2 m5.xlarge=4", (1, {"m5.large": 2, "m5.xlarge": 4})), ("", (1, {}))],
)
def test_what_a_machine_is_worth_is_read_from_the_tags(
    aws: FakeAWS, clients: FakeClients, units: str, worth: tuple[int, dict[str, int]]
) -> None:
    aws.show("Fleets", fleet(Tags=labelled(UNITS=units)))
    aws.show("AutoScalingGroups", group(Tags=labelled(UNITS=units)))
    assert [(each.launch.weight, each.launch.weights) for each in everything(clients).sources] == [worth] * 2


def test_a_group_of_several_types_leaves_the_launch_template_of_its_mixture(
    aws: FakeAWS, clients: FakeClients
) -> None:
    named = {"LaunchTemplateName": "hf-prod1-abc-mixed", "Version": "1"}
    mixture = {"LaunchTemplate": {"LaunchTemplateSpecification": named}}
    shown = group(MixedInstancesPolicy=mixture)
    del shown["LaunchTemplate"]
    aws.show("AutoScalingGroups", shown)
    [found] = everything(clients).sources
    assert "launch-template/hf-prod1-abc-mixed" in found.launch.remains


def test_a_launch_template_tells_its_age_and_whose_it_is(aws: FakeAWS, clients: FakeClients) -> None:
    aws.show("LaunchTemplates", launch_template(LaunchTemplateName="hf-prod1-abc-1"))
    assert everything(clients).spares == (Spare("launch-template/hf-prod1-abc-1", HOME, ACCOUNT, "abc", MADE_AT),)


def test_discarded_launch_templates_are_gone_and_one_that_was_gone_is_no_error(
    aws: FakeAWS, clients: FakeClients
) -> None:
    for _ in range(2):
        aws.show("LaunchTemplates", launch_template())
    first, second = everything(clients).spares
    for _ in range(2):
        inventory.discard(clients, [first])
    assert everything(clients).spares == (second,)


def test_nothing_of_another_account_is_discarded(aws: FakeAWS, clients: FakeClients) -> None:
    aws.show("LaunchTemplates", launch_template())
    [spare] = everything(clients).spares
    with pytest.raises(ProviderError, match="account"):
        inventory.discard(clients, [spare._replace(account="999988887777")])
    assert everything(clients).spares == (spare,)


# What cannot be read


def test_a_region_that_does_not_answer_is_a_failure_and_hides_no_other(aws: FakeAWS, clients: FakeClients) -> None:
    aws.add_ours(HOME)
    there = aws.add_ours(AWAY)
    aws.dark = {HOME}
    found = everything(clients)
    assert [machine.id for machine in found.machines] == [there.id]
    assert [(each.kind, each.place) for each in found.failures] == [(ErrorKind.TRANSIENT, HOME)]
    assert [region for _, region, _ in aws.calls].count(HOME) == 1  # it is waited for once


@pytest.mark.parametrize(
    ("operation", "hidden"),
    [
        ("DescribeInstances", "machines"),
        ("DescribeFleets", "EC2Fleet"),
        ("DescribeSpotFleetRequests", "SpotFleet"),
        ("DescribeAutoScalingGroups", "ASG"),
        ("DescribeLaunchTemplates", "spares"),
    ],
)
@pytest.mark.parametrize(
    ("code", "kind"), [("UnauthorizedOperation", ErrorKind.AUTH), ("RequestLimitExceeded", ErrorKind.THROTTLED)]
)
def test_a_refusal_of_one_kind_hides_no_other(
    aws: FakeAWS, clients: FakeClients, operation: str, hidden: str, code: str, kind: ErrorKind
) -> None:
    aws.add_ours()
    show_each(aws, labelled())
    aws.faults = {operation: [FaultError(code)] * 9}
    found = everything(clients)
    seen = {each.launch.api for each in found.sources}
    seen |= {name for name in ("machines", "spares") if getattr(found, name)}
    assert seen == {"machines", "spares", "EC2Fleet", "SpotFleet", "ASG"} - {hidden}
    assert (kind, HOME) in {(each.kind, each.place) for each in found.failures}


# Requests by their tag


def test_a_requests_machines_and_the_sources_that_they_are_of_are_found(
    aws: FakeAWS, clients: FakeClients
) -> None:
    shown = [fleet(), fleet(), spot_fleet(), group()]
    for kind, each in zip(
        ("Fleets", "Fleets", "SpotFleetRequestConfigs", "AutoScalingGroups"), shown, strict=True
    ):
        aws.show(kind, each)
    named = {
        "aws:ec2:fleet-id": shown[0]["FleetId"],
        "aws:ec2spot:fleet-request-id": shown[2]["SpotFleetRequestId"],
        "aws:autoscaling:groupName": shown[3]["AutoScalingGroupName"],
    }
    for key, name in named.items():
        aws.add_ours(state="terminated").labels[key] = name
    found = inventory.find_requests(clients, ["req-1", "req-2"], "prod1")
    assert {machine.id for machine in found.machines} == set(aws.instances)  # the ended ones of the hour too
    assert ids(found) == set(named.values())


def test_groups_are_asked_for_fifty_at_a_time(aws: FakeAWS, clients: FakeClients) -> None:
    names = set()
    for _ in range(51):
        shown = group()
        aws.show("AutoScalingGroups", shown)
        aws.add_ours().labels["aws:autoscaling:groupName"] = shown["AutoScalingGroupName"]
        names.add(shown["AutoScalingGroupName"])
    assert ids(inventory.find_requests(clients, ["req-1"], "prod1")) == names


def test_a_request_is_not_looked_up_while_a_region_does_not_answer(aws: FakeAWS, clients: FakeClients) -> None:
    aws.add_ours(HOME)
    aws.dark = {AWAY}
    with pytest.raises(ProviderError):
        inventory.find_requests(clients, ["req-1"], "prod1")


# What is found can be ended, whichever service made it

SOURCES = [name for name in SERVICES if name not in ("RunInstances", "EC2Fleet-instant")]


@pytest.fixture
def provider(
    emulator: Emulator, tmp_path: Path, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> AWSProvider:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings = AWSSettings(region=REGION, endpoint_url=emulator.url)
    return AWSProvider(settings, Context("prod1", "abc", Cache(str(tmp_path / "cache")), Health()))


def launched(provider: AWSProvider, subnet: str, service: str, **keys: Any) -> Launch:
    """Launch six units and give the launch as a record keeps it."""
    own = {"imageId": IMAGE_ID, "subnetId": subnet, "vmType": "m5.large", **SERVICES[service], **keys}
    own["spotFleetRequestExpiry"] = 10_000_000  # other tests have moved AWS's clock
    if service.startswith("SpotFleet"):
        own["fleetRole"] = ROLE
    order = Order(REQUEST_ID, 1, Template("small", "aws", 100, {}, own), 6)
    plan = provider.plan(order)
    assert isinstance(plan, Plan)
    fields = plan._asdict()
    launch = Launch(attempt=1, token="0" * 48, planned_at=0.0, **fields)
    outcome = provider.launch(launch, "")
    assert outcome.state is LaunchState.ACCEPTED, outcome
    return launch._replace(state=outcome.state, resource_id=outcome.resource_id)


def of_all(emulator: Emulator) -> Iterator[Located]:
    return (Located(each.id, each.region, each.account) for each in emulator.alive())


@pytest.mark.parametrize("service", SOURCES)
def test_a_source_is_found_as_the_launch_that_made_it(
    provider: AWSProvider, subnets: list[str], service: str
) -> None:
    made = launched(provider, subnets[0], service)
    [found] = provider.inventory().sources
    same = ("attempt", "api", "region", "account", "resource_id", "units", "state")
    assert found.launch.units_of("m5.large") == made.units_of("m5.large")
    assert {name: getattr(found.launch, name) for name in same} == {name: getattr(made, name) for name in same}
    assert (found.request_id, set(found.launch.remains)) == (REQUEST_ID, set(made.remains))


@pytest.mark.parametrize("service", SOURCES)
def test_what_is_found_can_be_gathered_stopped_released_from_and_removed(
    provider: AWSProvider, emulator: Emulator, subnets: list[str], service: str
) -> None:
    launched(provider, subnets[0], service)
    emulator.advance(60)
    found = provider.inventory()
    [launch] = (each.launch for each in found.sources)
    price = "spot" if service.startswith("SpotFleet") else "ondemand"
    assert {each.id for each in provider.gather(launch).sightings} == {each.id for each in of_all(emulator)}
    first, *others = of_all(emulator)
    assert len(others) == 5
    provider.release([first], Source(launch, {price: 1}))
    emulator.advance(600)
    assert set(of_all(emulator)) == set(others)  # nothing replaces what was given back
    provider.stop(launch, {price: 5})
    emulator.advance(60)
    assert provider.release(others, Source(launch, {price: 6}, {price: 0})).going == {each.id for each in others}
    emulator.advance(600)
    assert list(of_all(emulator)) == []
    provider.remove(launch, launch.remains)
    emulator.advance(600)
    assert [
        each for each in emulator.leftovers() if each["kind"] in ("launch-template", "auto-scaling-group")
    ] == []
    assert provider.inventory().spares == ()
