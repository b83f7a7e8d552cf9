"""The AWS part of a template: which service it means, what AWS would refuse of it, what of it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ec2 import IMAGE
from pydantic import ValidationError

from hfplugin.providers.aws import spec
from hfplugin.providers.aws.template import AWSTemplate

ROLE = "arn:aws:iam::123456789012:role/fleet"
WANTED = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4096}}


def template(**keys: Any) -> AWSTemplate:
    raw = {"imageId": IMAGE, "vmType": "m5.large", **keys}
    return AWSTemplate.model_validate({key: value for key, value in raw.items() if value is not None})


def fault(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        template(**keys)
    return str(caught.value.errors()[0]["msg"]).removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("keys", "service"),
    [
        ({}, "RunInstances"),
        ({"subnetId": "a,b"}, "EC2Fleet"),
        ({"vmType": "m5.large,m5.xlarge"}, "EC2Fleet"),
        ({"priceType": "spot"}, "EC2Fleet"),
        ({"spotPrice": 0.1}, "EC2Fleet"),
        ({"spotPrice": 0}, "RunInstances"),
        ({"priceType": "spot", "fleetRole": ROLE}, "SpotFleet"),
        ({"priceType": "heterogeneous", "fleetRole": ROLE}, "SpotFleet"),
        ({"fleetRole": ROLE}, "RunInstances"),
        ({"fleetType": "maintain"}, "EC2Fleet"),
        ({"ec2FleetConfig": "/fleet.json", "priceType": "spot", "fleetRole": ROLE}, "EC2Fleet"),
        ({"vmType": None, "instanceRequirements": WANTED}, "EC2Fleet"),
        ({"marketType": "capacity-block", "capacityReservationId": "cr-1", "subnetId": "a,b"}, "RunInstances"),
        ({"providerApi": "ASG", "priceType": "spot"}, "ASG"),
    ],
    ids=str,
)
def test_the_service_follows_from_the_keys(keys: dict[str, Any], service: str) -> None:
    assert template(**keys).service == service


@pytest.mark.parametrize(
    ("written", "service"),
    [
        ("RunInstances", "RunInstances"),
        ("run_instances", "RunInstances"),
        ("EC2FLEET", "EC2Fleet"),
        ("ec2-fleet", "EC2Fleet"),
        ("Spot_Fleet", "SpotFleet"),
        ("asg", "ASG"),
        ("AutoScalingGroup", "ASG"),
    ],
)
def test_the_service_is_spelled_as_other_products_do(written: str, service: str) -> None:
    assert template(providerApi=written, fleetRole=ROLE).provider_api == service


@pytest.mark.parametrize("written", ["capacityOptimized", "capacity-optimized", "capacity_optimized"])
def test_a_strategy_is_spelled_as_ibm_aws_or_others_do(written: str) -> None:
    assert template(priceType="spot", allocationStrategy=written).allocation_strategy == "capacityOptimized"


@pytest.mark.parametrize("key", ["allocationStrategy", "allocationStrategyOnDemand"])
def test_an_unknown_strategy_is_refused_with_the_known_ones(key: str) -> None:
    assert fault(**{key: "cheapest"}).startswith("Input should be ")
    assert "'lowestPrice'" in fault(**{key: "cheapest"})


@pytest.mark.parametrize(("written", "minutes"), [("01:30", 90), ("0:05", 5), ("48:00", 2880)])
def test_a_validity_is_hours_and_minutes(written: str, minutes: int) -> None:
    assert template(requestValidity=written, spotFleetRequestExpiry=7).validity_minutes == minutes


@pytest.mark.parametrize("written", ["90", "1:2:3", "00:00", "ab:cd", "-1:00"])
def test_a_validity_of_another_form_is_refused(written: str) -> None:
    assert fault(requestValidity=written).startswith("has to be hours and minutes")


def test_a_validity_that_is_not_said_is_half_an_hour() -> None:
    assert (template().validity_minutes, template(spotFleetRequestExpiry=7).validity_minutes) == (30, 7)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"vmType": None, "instanceRequirements": {"VCpuCount": {"Min": 1}}},
            "instanceRequirements.MemoryMiB.Min",
        ),
        (
            {"vmType": None, "instanceRequirements": {"VCpuCount": {"Max": 1}, "MemoryMiB": {"Min": 1}}},
            "instanceRequirements.VCpuCount.Min is missing",
        ),
        ({"instanceRequirements": WANTED}, "instanceRequirements and vmType, vmTypes or vmTypesOnDemand exclude"),
        (
            {"vmType": None, "instanceRequirements": WANTED, "providerApi": "RunInstances"},
            "instanceRequirements need a fleet or group: set providerApi",
        ),
        (
            {"priceType": "heterogeneous", "providerApi": "RunInstances"},
            "priceType heterogeneous needs a fleet or group: set providerApi",
        ),
        ({"providerApi": "SpotFleet"}, "fleetRole is missing: "),
        (
            {"providerApi": "SpotFleet", "fleetRole": ROLE, "fleetType": "instant"},
            "fleetType instant is for EC2Fleet",
        ),
        (
            {"providerApi": "ASG", "allocationStrategy": "diversified"},
            "allocationStrategy diversified is not for ASG",
        ),
        ({"providerApi": "ASG", "ec2FleetConfig": "/f.json"}, "ec2FleetConfig is for EC2Fleet, not for ASG"),
        ({"marketType": "capacity-block"}, "marketType capacity-block needs capacityReservationId"),
        (
            {"marketType": "capacity-block", "capacityReservationId": "cr-1", "providerApi": "EC2Fleet"},
            "marketType capacity-block is for RunInstances, not for EC2Fleet",
        ),
        (
            {"marketType": "capacity-block", "capacityReservationId": "cr-1", "spotPrice": 1},
            "marketType capacity-block and spot exclude each other",
        ),
        ({"interfaceType": "wifi"}, "Input should be 'efa', 'interface'"),
    ],
    ids=str,
)
def test_what_aws_would_refuse_is_a_fault_that_names_key_and_remedy(keys: dict[str, Any], said: str) -> None:
    assert fault(**keys).startswith(said)


@pytest.mark.parametrize(
    "keys",
    [
        {"providerApi": "RunInstances", "subnetId": "a,b", "vmType": "m5.large,m5.xlarge"},
        {"providerApi": "EC2Fleet", "subnetId": "a,b"},
        {"providerApi": "EC2Fleet", "subnetId": "a", "vmType": "m5.large,m5.xlarge"},
        {"vmType": None, "instanceRequirements": WANTED, "subnetId": "a"},
        {"vmType": None, "launchTemplateId": "lt-1", "providerApi": "EC2Fleet", "subnetId": "a,b"},
    ],
    ids=str,
)
def test_all_or_nothing_is_taken_where_aws_has_it(keys: dict[str, Any]) -> None:
    assert spec.SPEC.faults(template(**keys), True) == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"subnetId": "a,b", "vmType": "m5.large,m5.xlarge"},
            "allOrNothing needs a single type or a single subnet",
        ),
        ({"vmType": None, "instanceRequirements": WANTED, "subnetId": "a,b"}, "allOrNothing needs a single type"),
        ({"fleetType": "maintain"}, "allOrNothing is not for fleets of type maintain: set fleetType to instant"),
        ({"providerApi": "SpotFleet", "fleetRole": ROLE}, "allOrNothing is not for SpotFleet: set providerApi"),
        ({"providerApi": "ASG"}, "allOrNothing is not for ASG: set providerApi"),
    ],
    ids=str,
)
def test_all_or_nothing_is_refused_where_aws_has_it_not(keys: dict[str, Any], said: str) -> None:
    [found] = spec.SPEC.faults(template(**keys), True)
    assert found.startswith(said)
    assert spec.SPEC.faults(template(**keys), False) == []


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        ({"allocationStrategy": "lowestPrice"}, "allocationStrategy has no effect: machines are bought on demand"),
        (
            {"allocationStrategyOnDemand": "lowestPrice"},
            "allocationStrategyOnDemand has no effect: it is for fleets",
        ),
        ({"maxSpotPrice": 1}, "maxSpotPrice has no effect: machines are bought on demand"),
        ({"fleetRole": ROLE}, "fleetRole has no effect: it is for SpotFleet, not for RunInstances"),
        (
            {"requestValidity": "01:00"},
            "requestValidity has no effect: it is for fleets of type request and maintain",
        ),
        ({"providerApi": "RunInstances", "fleetType": "request"}, "fleetType has no effect: it is for fleets"),
        ({"providerApi": "ASG", "fleetType": "request"}, "fleetType has no effect: it is for fleets, not for ASG"),
        (
            {"priceType": "spot", "poolsCount": 2},
            "poolsCount has no effect: it goes with allocationStrategy lowestPrice",
        ),
        (
            {"priceType": "spot", "allocationStrategyOnDemand": "prioritized"},
            "allocationStrategyOnDemand has no effect: every machine is bought as spot",
        ),
        (
            {"priceType": "spot", "vmTypesPriority": {"m5.large": 1}},
            "vmTypesPriority has no effect: it goes with allocationStrategy capacityOptimizedPrioritized",
        ),
        ({"vmTypes": {"m5.xlarge": 2}}, "vmTypes has no effect: on demand, vmType is taken"),
        (
            {"capacityReservationId": "cr-1", "capacityReservationPreference": "open"},
            "capacityReservationPreference has no effect: capacityReservationId says more",
        ),
        ({"ec2FleetConfig": "/f.json"}, "vmType has no effect: the file that ec2FleetConfig names says it"),
        ({"priority": 3}, "priority has no effect: HostFactory takes the templates in the order of the file"),
        ({"ttl": 60}, "ttl has no effect: HostFactory decides when a machine is returned"),
        ({"interfaceType": "interface"}, "interfaceType has no effect: only efa would have one"),
    ],
    ids=str,
)
def test_a_key_that_changes_nothing_is_warned_about_with_the_reason(keys: dict[str, Any], warning: str) -> None:
    [said] = template(**keys).without_effect
    assert said.startswith(warning)


@pytest.mark.parametrize(
    "keys",
    [
        {"priceType": "spot", "allocationStrategy": "lowestPrice", "poolsCount": 2, "maxSpotPrice": 1},
        {"priceType": "heterogeneous", "percentOnDemand": 10, "vmTypesPriority": {"m5.large": 1}},
        {"fleetType": "request", "requestValidity": "01:00"},
        {"priceType": "spot", "fleetRole": ROLE, "spotFleetRequestExpiry": 10},
        {"priceType": "spot", "vmTypesOnDemand": {}, "vmTypesPriority": {}, "onDemandBaseCapacity": 2},
    ],
    ids=str,
)
def test_a_key_that_has_an_effect_is_not_warned_about(keys: dict[str, Any]) -> None:
    assert template(**keys).without_effect == []
