"""EC2 Fleets of type instant, and what every CreateFleet refuses. Held to AWS's documentation.

Where a test checks a code alone, AWS does not document the text; where it is said that a thing is not documented,
the test holds the emulator to what was seen of AWS. Pages named without an address are those of
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_..., errors-overview.html), and UserGuide/... of
https://docs.aws.amazon.com/AWSEC2/latest/.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fleet_calls import TAGS, TYPE, Fleets, in_zone, refusal

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

SPOT = {"DefaultTargetCapacityType": "spot"}


@pytest.fixture
def fleets(emulator: Emulator) -> Fleets:
    return Fleets(emulator)


def launched(answer: dict[str, Any]) -> list[str]:
    return [each for entry in answer["Instances"] for each in entry["InstanceIds"]]


def codes(answer: dict[str, Any]) -> list[str]:
    return [each["ErrorCode"] for each in answer["Errors"]]


def test_an_instant_fleet_has_launched_when_the_call_returns(fleets: Fleets, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html: "synchronous one-time request"."""
    emulator.configure(fleet_seconds=60)
    answer = fleets.create("instant", 3)
    assert sorted(launched(answer)) == sorted(each.id for each in emulator.alive())
    assert len(launched(answer)) == 3
    assert answer["Errors"] == []


def test_an_entry_tells_pool_and_lifecycle(fleets: Fleets) -> None:
    """API_CreateFleetInstance.html; the version is a number also where $Latest was asked for."""
    configs = fleets.config(in_zone("a", WeightedCapacity=2.0), Version="$Latest")
    [entry] = fleets.create("instant", 4, LaunchTemplateConfigs=configs)["Instances"]
    named = entry["LaunchTemplateAndOverrides"]
    assert named["LaunchTemplateSpecification"] == {"LaunchTemplateId": fleets.template_id, "Version": "1"}
    assert named["Overrides"] == in_zone("a", WeightedCapacity=2.0)
    assert (entry["Lifecycle"], entry["InstanceType"], len(entry["InstanceIds"])) == ("on-demand", TYPE, 2)


def test_the_target_is_divided_by_purchase_type(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-examples.html, example 3: the rest is of the default type."""
    answer = fleets.create("instant", 5, OnDemandTargetCapacity=2, **SPOT)
    assert sorted(each.purchase for each in emulator.alive()) == ["on-demand"] * 2 + ["spot"] * 3
    shown = fleets.show(answer["FleetId"])
    assert shown["TargetCapacitySpecification"] == {
        "TotalTargetCapacity": 5,
        "OnDemandTargetCapacity": 2,
        "SpotTargetCapacity": 3,
        "DefaultTargetCapacityType": "spot",
    }
    assert (shown["FulfilledCapacity"], shown["FulfilledOnDemandCapacity"]) == (5.0, 2.0)


def test_each_spot_machine_has_a_request_of_its_own(fleets: Fleets) -> None:
    """API_SpotInstanceRequest.html"""
    ids = launched(fleets.create("instant", 2, **SPOT))
    found = fleets.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert sorted(each["InstanceId"] for each in found) == sorted(ids)
    assert {each["State"] for each in found} == {"active"}


def test_weights_are_rounded_up_to_whole_machines(fleets: Fleets) -> None:
    """API_FleetLaunchTemplateOverridesRequest.html, WeightedCapacity: "rounds ... to the next whole number"."""
    answer = fleets.create("instant", 10, in_zone("a", WeightedCapacity=3.0))
    assert len(launched(answer)) == 4
    assert fleets.show(answer["FleetId"])["FulfilledCapacity"] == 12.0


def test_the_cheapest_pool_comes_first(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-allocation-strategy.html: lowest-price is the default."""
    emulator.configure(prices={f"{REGION}/*/*": 1.0, f"{REGION}/*/*b": 0.5})
    fleets.create("instant", 2, in_zone("a"), in_zone("b"), in_zone("c"), **SPOT)
    assert {each.zone for each in emulator.alive()} == {f"{REGION}b"}


def test_prioritized_on_demand_goes_by_priority(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-allocation-strategy.html; API_...OverridesRequest.html: "the lower the number"."""
    overrides = [in_zone("a", Priority=2.0), in_zone("b", Priority=1.0), in_zone("c")]
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 1})
    fleets.create("instant", 2, *overrides, OnDemandOptions={"AllocationStrategy": "prioritized"})
    assert [each.zone for each in emulator.alive()] == [f"{REGION}b", f"{REGION}a"]


def test_diversified_spreads_over_all_pools(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-allocation-strategy.html"""
    zones = [in_zone(letter) for letter in "abc"]
    fleets.create("instant", 6, *zones, SpotOptions={"AllocationStrategy": "diversified"}, **SPOT)
    assert sorted(each.zone[-1] for each in emulator.alive()) == list("aabbcc")


def test_diversified_leaves_out_pools_that_cost_as_much_as_on_demand(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-allocation-strategy.html: none "equal to or higher than the On-Demand price"."""
    emulator.configure(prices={f"{REGION}/{TYPE}/*a/spot": 0.5, f"{REGION}/{TYPE}/*/on-demand": 0.5})
    fleets.create(
        "instant", 4, in_zone("a"), in_zone("b"), SpotOptions={"AllocationStrategy": "diversified"}, **SPOT
    )
    assert {each.zone for each in emulator.alive()} == {f"{REGION}b"}


def test_pools_to_use_spread_over_so_many_of_the_cheapest(fleets: Fleets, emulator: Emulator) -> None:
    """API_SpotOptionsRequest.html, InstancePoolsToUseCount"""
    emulator.configure(prices={f"{REGION}/*/*": 0.2, f"{REGION}/*/*c": 0.9})
    zones = [in_zone(letter) for letter in "abc"]
    fleets.create("instant", 4, *zones, SpotOptions={"InstancePoolsToUseCount": 2}, **SPOT)
    assert sorted(each.zone[-1] for each in emulator.alive()) == list("aabb")


def test_an_override_without_a_place_is_offered_in_every_zone(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetLaunchTemplateOverridesRequest.html: subnet and zone may be left out."""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 1})
    fleets.create("instant", 3, {"InstanceType": TYPE})
    assert sorted(each.zone[-1] for each in emulator.alive()) == list("abc")


def test_types_are_chosen_by_their_attributes(fleets: Fleets, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-attribute-based-instance-type-selection.html"""
    wanted = {"VCpuCount": {"Min": 4, "Max": 4}, "MemoryMiB": {"Min": 32768, "Max": 32768}}
    fleets.create("instant", 1, {"InstanceRequirements": wanted})
    [machine] = emulator.alive()
    [shown] = fleets.ec2.describe_instance_types(InstanceTypes=[machine.type])["InstanceTypes"]
    assert (shown["VCpuInfo"]["DefaultVCpus"], shown["MemoryInfo"]["SizeInMiB"]) == (4, 32768)


def test_units_can_be_vcpus(fleets: Fleets) -> None:
    """API_TargetCapacitySpecificationRequest.html, TargetCapacityUnitType"""
    wanted = {"VCpuCount": {"Min": 4, "Max": 4}, "MemoryMiB": {"Min": 16384}}
    params = fleets.params("instant", 10, {"InstanceRequirements": wanted}, TargetCapacityUnitType="vcpu")
    assert len(launched(fleets.ec2.create_fleet(**params))) == 3


def test_an_override_goes_before_the_launch_template(fleets: Fleets) -> None:
    """API_CreateFleet.html, Overrides: "override the same parameters in the launch template"."""
    disk = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 77}}]
    [instance_id] = launched(fleets.create("instant", 1, in_zone("b", "c5.large", BlockDeviceMappings=disk)))
    [reservation] = fleets.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    [machine] = reservation["Instances"]
    assert (machine["InstanceType"], machine["Placement"]["AvailabilityZone"]) == ("c5.large", f"{REGION}b")
    [volume] = fleets.ec2.describe_volumes()["Volumes"]
    assert volume["Size"] == 77


def test_tags_come_from_the_call_and_from_the_template(fleets: Fleets, emulator: Emulator) -> None:
    """API_CreateFleet.html, TagSpecifications; the system's tag was seen, it is not documented."""
    own = [
        {"ResourceType": "fleet", "Tags": [{"Key": "of", "Value": "the fleet"}]},
        {"ResourceType": "instance", "Tags": [{"Key": "of", "Value": "the machine"}]},
    ]
    fleet_id = fleets.make("instant", 1, TagSpecifications=own)
    [machine] = emulator.alive()
    assert machine.tags["of"] == "the machine"
    assert machine.tags[TAGS[0]["Key"]] == TAGS[0]["Value"]
    assert machine.tags["aws:ec2:fleet-id"] == fleet_id
    assert fleets.show(fleet_id)["Tags"] == [{"Key": "of", "Value": "the fleet"}]


def test_a_partial_fleet_names_what_was_refused(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/instant-fleet.html: the answer tells the machines and the errors of those that "could not be"."""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 2})
    answer = fleets.create("instant", 5)
    assert len(launched(answer)) == 2
    [error] = answer["Errors"]
    assert (error["ErrorCode"], error["Lifecycle"]) == ("InsufficientInstanceCapacity", "on-demand")
    assert error["LaunchTemplateAndOverrides"]["Overrides"] == in_zone("a")
    shown = fleets.show(answer["FleetId"])
    assert (shown["ActivityStatus"], shown["FulfilledCapacity"]) == ("fulfilled", 2.0)


def test_an_empty_fleet_tells_of_each_override(fleets: Fleets, emulator: Emulator) -> None:
    """Seen of AWS, and not documented: one entry for each override, an unknown type among them."""
    emulator.configure(quotas={"on-demand-vcpus": 0})
    answer = fleets.create("instant", 1, in_zone("a"), in_zone("a", "nosuch.large"))
    assert launched(answer) == []
    assert sorted(codes(answer)) == ["InvalidFleetConfiguration", "VcpuLimitExceeded"]


def test_an_override_that_was_not_tried_points_at_the_others(fleets: Fleets, emulator: Emulator) -> None:
    """Seen of AWS, see aws-parallelcluster-node's fleet manager. Diversified fleets do not try a dear pool."""
    dear = {f"{REGION}/{TYPE}/*a": 0.1, f"{REGION}/{TYPE}/*b": 1.0, f"{REGION}/{TYPE}/*/on-demand": 1.0}
    emulator.configure(capacity={f"{REGION}/*/*": 0}, prices=dear)
    options = {"AllocationStrategy": "diversified"}
    answer = fleets.create("instant", 1, in_zone("a"), in_zone("b"), SpotOptions=options, **SPOT)
    assert codes(answer) == ["InsufficientInstanceCapacity", "UnfulfillableCapacity"]


def test_a_zone_that_lacks_the_type_is_an_invalid_configuration(fleets: Fleets, emulator: Emulator) -> None:
    """Seen of AWS, and not documented: where RunInstances says Unsupported."""
    emulator.configure(unoffered=[f"{REGION}/{TYPE}/*a"])
    assert codes(fleets.create("instant", 1)) == ["InvalidFleetConfiguration"]


def test_an_override_without_a_place_is_not_tried_where_its_type_is_not_offered(
    fleets: Fleets, emulator: Emulator
) -> None:
    """API_FleetLaunchTemplateOverridesRequest.html: the zone is then EC2's choice."""
    emulator.configure(unoffered=[f"{REGION}/{TYPE}/*a"])
    answer = fleets.create("instant", 3, {"InstanceType": TYPE})
    assert (len(launched(answer)), answer["Errors"]) == (3, [])


def test_what_can_be_launched_is_launched_beside_a_line_that_cannot(fleets: Fleets) -> None:
    """UserGuide/instant-fleet.html: machines and errors in one answer."""
    answer = fleets.create("instant", 1, in_zone("a"), in_zone("b", ImageId="ami-00000000000000000"))
    assert len(launched(answer)) == 1
    assert codes(answer) == ["InvalidAMIID.NotFound"]


def test_a_full_subnet_and_a_low_price_are_errors_of_their_own(fleets: Fleets, emulator: Emulator) -> None:
    """errors-overview.html: InsufficientFreeAddressesInSubnet, SpotMaxPriceTooLow"""
    emulator.configure(prices={f"{REGION}/*/*": 1.0})
    assert codes(fleets.create("instant", 1, in_zone("a", MaxPrice="0.5"), **SPOT)) == ["SpotMaxPriceTooLow"]
    vpc = fleets.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = fleets.ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/28", AvailabilityZone=f"{REGION}a")
    narrow = {"InstanceType": TYPE, "SubnetId": made["Subnet"]["SubnetId"]}
    answer = fleets.create("instant", 20, narrow)
    assert len(launched(answer)) == 11
    assert codes(answer) == ["InsufficientFreeAddressesInSubnet"]


def test_a_missing_image_is_an_error_in_the_answer(fleets: Fleets) -> None:
    """Seen of AWS, not documented; UserGuide/instant-fleet.html has an answer without machines."""
    assert codes(fleets.create("instant", 1, in_zone("a", ImageId="ami-00000000000000000"))) == [
        "InvalidAMIID.NotFound"
    ]


def test_below_the_minimum_nothing_is_launched(fleets: Fleets, emulator: Emulator) -> None:
    """API_SpotOptionsRequest.html, MinTargetCapacity"""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 3})
    bound = {"MinTargetCapacity": 4, "SingleInstanceType": True}
    answer = fleets.create("instant", 5, OnDemandTargetCapacity=1, SpotOptions=bound, **SPOT)
    assert launched(answer) == []
    assert "InsufficientInstanceCapacity" in codes(answer)
    assert not emulator.machines()
    assert len(launched(fleets.create("instant", 3, SpotOptions={**bound, "MinTargetCapacity": 3}, **SPOT))) == 3


def test_a_single_type_goes_before_the_price(fleets: Fleets, emulator: Emulator) -> None:
    """API_SpotOptionsRequest.html, SingleInstanceType: all machines are of one type, which can give them all."""
    emulator.configure(
        capacity={f"{REGION}/{TYPE}/*": 2}, prices={f"{REGION}/*/*": 1.0, f"{REGION}/{TYPE}/*": 0.1}
    )
    overrides = [in_zone("a"), in_zone("a", "c5.large")]
    fleets.create("instant", 3, *overrides, SpotOptions={"SingleInstanceType": True}, **SPOT)
    assert [each.type for each in emulator.alive()] == ["c5.large"] * 3


def test_a_single_zone_holds_all_machines(fleets: Fleets, emulator: Emulator) -> None:
    """API_OnDemandOptionsRequest.html, SingleAvailabilityZone"""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 2, f"{REGION}/{TYPE}/*c": 3})
    zones = [in_zone(letter) for letter in "abc"]
    answer = fleets.create("instant", 4, *zones, OnDemandOptions={"SingleAvailabilityZone": True})
    assert {each.zone for each in emulator.alive()} == {f"{REGION}c"}
    assert len(launched(answer)) == 3


def test_the_same_token_gives_the_same_fleet(fleets: Fleets, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html"""
    first = fleets.create("instant", 2, ClientToken="once")
    again = fleets.create("instant", 2, ClientToken="once")
    assert (again["FleetId"], launched(again)) == (first["FleetId"], launched(first))
    assert len(emulator.machines()) == 2
    assert refusal(fleets.create, kind="instant", total=3, ClientToken="once") == "IdempotentParameterMismatch"


def test_an_image_may_be_named_by_a_parameter_only_for_instant(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/create-launch-template.html#use-an-ssm-parameter-instead-of-an-ami-id; the code is a guess."""
    emulator.client("ssm").put_parameter(Name="/golden", Value=IMAGE_ID, Type="String")
    configs = fleets.config(LaunchTemplateId=fleets.template("golden", ImageId="resolve:ssm:/golden"))
    assert launched(fleets.create("instant", 1, LaunchTemplateConfigs=configs))
    refused = refusal(fleets.create, kind="maintain", total=1, LaunchTemplateConfigs=configs)
    assert refused == "InvalidFleetConfig"


def test_two_subnets_of_a_zone_are_a_duplicate_pool(fleets: Fleets, subnets: list[str]) -> None:
    """UserGuide/fleet-quotas.html: not "different subnets from the same Availability Zone". The code was seen."""
    vpc = fleets.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = fleets.ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/20", AvailabilityZone=f"{REGION}a")
    overrides = [{"SubnetId": subnets[0]}, {"SubnetId": made["Subnet"]["SubnetId"]}]
    params = fleets.params("instant", 1, *overrides)
    assert refusal(fleets.ec2.create_fleet, **params) == "InvalidFleetConfig"


def test_a_dry_run_launches_nothing(fleets: Fleets, emulator: Emulator) -> None:
    """API_CreateFleet.html, DryRun"""
    assert refusal(fleets.create, kind="instant", total=1, DryRun=True) == "DryRunOperation"
    assert not emulator.machines()


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("request", {"TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}]}, "InvalidParameterValue"),
        ("maintain", {"TagSpecifications": [{"ResourceType": "volume", "Tags": TAGS}]}, "InvalidParameterValue"),
        ("maintain", {"SpotOptions": {"SingleInstanceType": True}}, "InvalidFleetConfig"),
        ("request", {"ExcessCapacityTerminationPolicy": "termination"}, "InvalidFleetConfig"),
        ("instant", {"SpotOptions": {"MinTargetCapacity": 1}}, "InvalidFleetConfig"),
        (
            "instant",
            {"SpotOptions": {"AllocationStrategy": "diversified", "InstancePoolsToUseCount": 2}},
            "InvalidFleetConfig",
        ),
        ("instant", {"OnDemandTargetCapacity": 2, "SpotTargetCapacity": 2}, "InvalidFleetConfig"),
        ("maintain", {"ValidUntil": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        ("instant", {"TargetCapacityUnitType": "vcpu"}, "InvalidFleetConfig"),
    ],
)
def test_what_does_not_go_together_is_refused(
    fleets: Fleets, kind: str, params: dict[str, Any], code: str
) -> None:
    """API_CreateFleet.html and UserGuide/create-ec2-fleet.html have the rules; hardly any code is documented."""
    assert refusal(fleets.create, kind=kind, total=3, **params) == code


@pytest.mark.parametrize("total", [-1, 0, 10_001])
def test_the_target_has_bounds(fleets: Fleets, total: int) -> None:
    """UserGuide/fleet-quotas.html; only "maintain" may have a target of 0 (API_TargetCapacitySpecification)."""
    assert refusal(fleets.create, kind="instant", total=total) == "InvalidFleetConfig"


def test_a_fleet_that_is_maintained_has_at_most_300_overrides(fleets: Fleets) -> None:
    """UserGuide/fleet-quotas.html, which does not bind instant fleets."""
    many = [in_zone("a", f"m5.{number}xlarge") for number in range(301)]
    assert refusal(fleets.ec2.create_fleet, **fleets.params("maintain", 1, *many)) == "InvalidFleetConfig"
    assert codes(fleets.create("instant", 1, *many))[0] != ""


def test_an_unknown_launch_template_refuses_the_call(fleets: Fleets) -> None:
    """errors-overview.html; that it is no entry of Errors is not documented."""
    for kind in ("instant", "maintain"):
        configs = fleets.config(LaunchTemplateId="lt-00000000000000000")
        refused = refusal(fleets.create, kind=kind, total=1, LaunchTemplateConfigs=configs)
        assert refused == "InvalidLaunchTemplateId.NotFound"


def test_the_quota_of_fleets_holds(fleets: Fleets, emulator: Emulator) -> None:
    """errors-overview.html: MaxFleetCountExceeded; deleted fleets that have ended do not count."""
    emulator.configure(quotas={"fleets": 1})
    first = fleets.make("maintain", 1)
    assert refusal(fleets.create, kind="instant", total=1) == "MaxFleetCountExceeded"
    fleets.delete(first)
    assert fleets.make("maintain", 1)


def test_only_fleets_of_type_instant_override_the_image(fleets: Fleets) -> None:
    """API_FleetLaunchTemplateOverridesRequest.html, ImageId"""
    params = fleets.params("request", 1, in_zone("a", ImageId=IMAGE_ID))
    assert refusal(fleets.ec2.create_fleet, **params) == "InvalidFleetConfig"
