"""What AWS has refused lately: which refusals are remembered as what, and where a launch goes then."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import ACCOUNT, HOME, IMAGE, FakeAWS, FakeClients

from hfplugin.errors import ErrorKind
from hfplugin.model import Launch, LaunchState, Refusal, Template
from hfplugin.providers.aws import pools
from hfplugin.providers.aws.handlers import run_instances
from hfplugin.providers.aws.pools import Memory, Pool
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Nowhere, Order, Plan
from hfplugin.providers.base.registry import TemplateExtensionRegistry

POOL = Pool(HOME, "ondemand", "m5.large", "subnet-a")
KEY = f"{HOME}/ondemand/m5.large/subnet-a"
ADDRESSES = f"addresses/{HOME}/subnet-a"
QUOTA = f"quota/{ACCOUNT}/{HOME}/ondemand/standard"


@pytest.mark.parametrize(
    ("code", "keys"),
    [
        ("InsufficientInstanceCapacity", [KEY]),
        ("Unsupported", [KEY]),
        ("InsufficientFreeAddressesInSubnet", [ADDRESSES]),
        ("VcpuLimitExceeded", [QUOTA]),
        ("MaxSpotInstanceCountExceeded", [QUOTA]),
        # These are of one template, or of no pool, or no refusal of capacity.
        ("SpotMaxPriceTooLow", []),
        ("ReservationCapacityExceeded", []),
        ("InsufficientHostCapacity", []),
        ("VolumeLimitExceeded", []),
        ("MaxFleetCountExceeded", []),
        ("UnfulfillableCapacity", []),
        ("RequestLimitExceeded", []),
        ("UnauthorizedOperation", []),
        ("InvalidParameterValue", []),
        ("InternalError", []),
    ],
)
def test_a_refusal_is_remembered_as_what_it_says_of_other_launches(code: str, keys: list[str]) -> None:
    health = Health()
    Memory(health, ACCOUNT).note([(POOL, Refusal(ErrorKind.CAPACITY, code, "no"))])
    assert list(health.refused.in_force()) == keys


@pytest.mark.parametrize(
    ("machine_type", "quota"),
    [
        ("m5.large", "standard"),
        ("c7gn.16xlarge", "standard"),
        ("im4gn.large", "standard"),
        ("t3.micro", "standard"),
        ("g5.xlarge", "graphics"),
        ("vt1.3xlarge", "graphics"),
        ("p4d.24xlarge", "p"),
        ("inf2.xlarge", "inf"),
        ("trn1.2xlarge", "trn"),
        ("hpc7a.96xlarge", "hpc"),
        ("x2idn.metal", "x"),
        ("u-6tb1.metal", "u"),
    ],
)
def test_a_type_counts_against_the_quota_of_its_series(machine_type: str, quota: str) -> None:
    assert POOL._replace(machine_type=machine_type).quota(ACCOUNT).rpartition("/")[2] == quota


def template_of(**keys: Any) -> Template:
    raw = {"imageId": IMAGE, "subnetId": ["subnet-a", "subnet-b"], "vmType": "m5.large", **keys}
    extension = {key: value for key, value in raw.items() if key != "allOrNothing"}
    return Template("compute", "aws", 100, {}, extension, all_or_nothing=bool(raw.get("allOrNothing")))


def plan(clients: FakeClients, template: Template, *past: Launch) -> Plan | Nowhere:
    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    exhausted = frozenset(launch.attempt for launch in past)
    order = Order("req-1", len(past) + 1, template, 5, past, exhausted)
    return run_instances.plan(clients, Context("prod1", "abc", Cache("/nonexistent"), Health()), extension, order)


def frozen(found: Plan, attempt: int = 1, **members: Any) -> Launch:
    return found.frozen(attempt, uuid.uuid4().hex, 0.0)._replace(**members)


def place(found: Plan | Nowhere) -> str:
    return found.place.split("/")[1] if isinstance(found, Plan) else "nowhere"


def asked(clients: FakeClients, template: Template) -> list[str]:
    """Launch for a new request until it is had or nowhere is left; give the subnets that were asked."""
    past: list[Launch] = []
    while isinstance(found := plan(clients, template, *past), Plan):
        launch = frozen(found, attempt=len(past) + 1)
        outcome = run_instances.launch(clients, launch, "")
        past.append(launch._replace(state=outcome.state, errors=outcome.errors))
        if outcome.state is LaunchState.SETTLED:
            break
    return [launch.place.split("/")[1] for launch in past]


def test_another_request_goes_elsewhere_at_once(aws: FakeAWS, clients: FakeClients) -> None:
    aws.capacity = {("subnet-a", "m5.large"): 0}
    assert asked(clients, template_of()) == ["subnet-a", "subnet-b"]
    assert asked(clients, template_of()) == ["subnet-b"]
    assert asked(clients, template_of(vmType="c5.large")) == ["subnet-a"]
    assert asked(clients, template_of(priceType="spot")) == ["subnet-a", "subnet-b"]


def test_with_everything_refused_the_one_refused_longest_ago_is_probed(aws: FakeAWS, clients: FakeClients) -> None:
    aws.capacity = {("subnet-a", "m5.large"): 0, ("subnet-b", "m5.large"): 0}
    assert asked(clients, template_of()) == ["subnet-a", "subnet-b"]
    assert asked(clients, template_of()) == ["subnet-a"]
    assert asked(clients, template_of(subnetId=["subnet-b"])) == ["subnet-b"]


def test_a_probe_that_brings_machines_ends_the_refusal(aws: FakeAWS, clients: FakeClients) -> None:
    aws.capacity = {("subnet-a", "m5.large"): 0, ("subnet-b", "m5.large"): 0}
    asked(clients, template_of())
    aws.capacity = {}
    assert asked(clients, template_of()) == ["subnet-a"]
    assert list(clients.health.refused.in_force()) == [f"{HOME}/ondemand/m5.large/subnet-b"]


def test_all_or_nothing_says_nothing_about_one_machine(aws: FakeAWS, clients: FakeClients) -> None:
    aws.capacity = {("subnet-a", "m5.large"): 2}
    assert asked(clients, template_of(allOrNothing=True)) == ["subnet-a", "subnet-b"]
    assert clients.health.refused.in_force() == {}


@pytest.mark.parametrize(
    "keys",
    [{"placementGroupName": "near"}, {"tenancy": "dedicated"}, {"marketType": "capacity-block"}],
    ids=lambda keys: next(iter(keys)),
)
def test_what_a_template_wants_besides_says_nothing_about_others(keys: dict[str, str]) -> None:
    placement = {"GroupName": keys.get("placementGroupName", ""), "Tenancy": keys.get("tenancy", "default")}
    params = {"Placement": placement, "InstanceMarketOptions": {"MarketType": keys.get("marketType", "spot")}}
    launch = Launch(1, "", "RunInstances", HOME, ACCOUNT, f"{HOME}/subnet-a/m5.large", params, 1, 0.0)
    assert pools.is_particular(launch)
    plain = {**params, "Placement": {"Tenancy": "default"}, "InstanceMarketOptions": {"MarketType": "spot"}}
    assert not pools.is_particular(launch._replace(params=plain))


def test_a_source_teaches_once_what_it_says_at_every_look(tmp_path: Path, clients: FakeClients) -> None:
    reason = Refusal(ErrorKind.CAPACITY, "InsufficientInstanceCapacity", "none left")
    call = {"VPCZoneIdentifier": "subnet-a,subnet-b"}
    launch = Launch(
        1, "", "ASG", HOME, ACCOUNT, f"{HOME}/ondemand", {"Call": call}, 1, 0.0, weights={"m5.large": 1}
    )
    pools.learn_from_source(clients, launch, [reason])
    found = clients.health.refused.in_force()
    assert list(found) == [KEY, f"{HOME}/ondemand/m5.large/subnet-b"]
    clients.health.reset()
    clients.health.refused.forget(found)
    pools.learn_from_source(clients, launch._replace(errors=(reason,)), [reason])
    assert clients.health.refused.in_force() == {}


@pytest.mark.parametrize(
    ("part", "pool"),
    [
        (
            {
                "LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": "m5.large", "SubnetId": "subnet-a"}},
                "Lifecycle": "on-demand",
            },
            POOL,
        ),
        (
            {
                "LaunchTemplateAndOverrides": {"Overrides": {"SubnetId": "subnet-a"}},
                "Lifecycle": "spot",
                "InstanceType": "c5.large",
            },
            Pool(HOME, "spot", "c5.large", "subnet-a"),
        ),
        ({}, Pool(HOME, "", "", "")),
    ],
)
def test_a_part_of_a_fleets_answer_names_its_pool(part: dict[str, Any], pool: Pool) -> None:
    launch = Launch(1, "", "EC2Fleet", HOME, ACCOUNT, f"{HOME}/ondemand", {}, 1, 0.0)
    assert pools.of_parts(launch, [part]) == [pool]
