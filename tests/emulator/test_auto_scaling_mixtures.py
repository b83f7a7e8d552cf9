"""Groups of several machine types and purchase types, with weights and with attributes.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html, ASUG for
https://docs.aws.amazon.com/autoscaling/ec2/userguide.
"""

from __future__ import annotations

from typing import Any

import pytest
from scaling import NAME, TYPES, Scaling, refusal

from hfplugin.emulator import Emulator
from hfplugin.emulator.client import ARM_IMAGE_ID

SPOT_ONLY = {"OnDemandPercentageAboveBaseCapacity": 0}


@pytest.fixture
def scaling(emulator: Emulator) -> Scaling:
    """Auto Scaling that acts after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Scaling(emulator)


def test_without_a_percentage_all_is_on_demand(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, OnDemandPercentageAboveBaseCapacity: "defaults to 100"."""
    scaling.create_mixed(4)
    emulator.advance(10)
    assert scaling.alive("purchase") == {"on-demand": 4}


@pytest.mark.parametrize(
    ("base", "percentage", "desired", "on_demand"),
    [(10, 50, 20, 15), (12, 0, 10, 10), (0, 25, 10, 3), (0, 0, 5, 0), (2, 50, 5, 4)],
)
def test_a_fraction_counts_for_on_demand(
    scaling: Scaling, emulator: Emulator, base: int, percentage: int, desired: int, on_demand: int
) -> None:
    """ASUG/mixed-instances-groups-set-up-overview.html, with its own examples"""
    shares = {"OnDemandBaseCapacity": base, "OnDemandPercentageAboveBaseCapacity": percentage}
    scaling.create_mixed(desired, **shares)
    emulator.advance(10)
    assert scaling.alive("purchase")["on-demand"] == on_demand
    assert scaling.alive("purchase")["spot"] == desired - on_demand


def test_growth_keeps_the_shares(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/mixed-instances-groups-set-up-overview.html"""
    scaling.create_mixed(1, OnDemandBaseCapacity=1, OnDemandPercentageAboveBaseCapacity=0)
    emulator.advance(10)
    scaling.resize(5)
    emulator.advance(10)
    assert scaling.alive("purchase") == {"on-demand": 1, "spot": 4}


def test_shrinking_keeps_the_shares(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/ec2-auto-scaling-termination-policies.html, default policy of a mixed group"""
    scaling.create_mixed(9, OnDemandBaseCapacity=1, OnDemandPercentageAboveBaseCapacity=50)
    emulator.advance(10)
    scaling.resize(3)
    emulator.advance(11)
    assert scaling.alive("purchase") == {"on-demand": 2, "spot": 1}


def test_on_demand_takes_the_first_type_of_the_list(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, OnDemandAllocationStrategy: prioritized"""
    scaling.create_mixed(3)
    emulator.advance(10)
    assert scaling.alive("type") == {TYPES[0]: 3}


def test_on_demand_takes_the_next_type_when_the_first_is_short(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, OnDemandAllocationStrategy: prioritized"""
    emulator.configure(capacity={f"eu-central-1/{TYPES[0]}/*": 1})
    scaling.create_mixed(5, subnets=1)
    emulator.advance(10)
    assert scaling.alive("type") == {TYPES[0]: 1, TYPES[1]: 4}
    assert {each["StatusCode"] for each in scaling.activities()} == {"Successful"}


def test_on_demand_can_take_the_cheapest_type(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, OnDemandAllocationStrategy: lowest-price"""
    emulator.configure(prices={f"eu-central-1/{TYPES[2]}/*": 0.001})
    scaling.create_mixed(3, OnDemandAllocationStrategy="lowest-price")
    emulator.advance(10)
    assert scaling.alive("type") == {TYPES[2]: 3}


def test_spot_spreads_over_the_cheapest_pools(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, SpotInstancePools: across the number of pools, two by default"""
    prices = {f"eu-central-1/{each}/*": price for each, price in zip(TYPES, (0.3, 0.1, 0.2), strict=True)}
    emulator.configure(prices=prices)
    scaling.create_mixed(4, subnets=1, **SPOT_ONLY)
    emulator.advance(10)
    assert scaling.alive("type") == {TYPES[1]: 2, TYPES[2]: 2}


def test_spot_takes_the_deepest_pool(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/allocation-strategies.html, capacity-optimized"""
    depths = {f"eu-central-1/{each}/*": depth for each, depth in zip(TYPES, (5, 50, 10), strict=True)}
    emulator.configure(capacity=depths)
    scaling.create_mixed(4, subnets=1, SpotAllocationStrategy="capacity-optimized", **SPOT_ONLY)
    emulator.advance(10)
    assert scaling.alive("type") == {TYPES[1]: 4}


def test_spot_that_is_short_is_not_replaced_by_on_demand(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/ec2-auto-scaling-mixed-instances-groups.html"""
    emulator.configure(capacity={"eu-central-1/*/*/spot": 0})
    scaling.create_mixed(4, OnDemandBaseCapacity=1, **SPOT_ONLY)
    emulator.advance(10)
    assert scaling.alive("purchase") == {"on-demand": 1}
    failed = [each for each in scaling.activities() if each["StatusCode"] == "Failed"]
    assert len(failed) == 1
    assert "Spot" in failed[0]["StatusMessage"]


def test_spot_above_the_maximum_price_is_not_launched(scaling: Scaling, emulator: Emulator) -> None:
    """API_InstancesDistribution.html, SpotMaxPrice"""
    emulator.configure(prices={"eu-central-1/*": 0.5})
    scaling.create_mixed(2, SpotMaxPrice="0.1", **SPOT_ONLY)
    emulator.advance(10)
    assert not emulator.machines()
    assert {each["StatusCode"] for each in scaling.activities()} == {"Failed"}


def test_an_interrupted_machine_is_replaced_when_it_is_gone(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/ec2-auto-scaling-capacity-rebalancing.html: without rebalancing, after the interruption"""
    scaling.create_mixed(2, **SPOT_ONLY)
    emulator.advance(10)
    lost = scaling.ids()[0]
    emulator.interrupt(lost)
    emulator.advance(60)
    assert len(emulator.machines()) == 2
    emulator.advance(75)
    assert len(emulator.alive()) == 2
    assert lost not in scaling.ids()


def test_with_weights_the_desired_capacity_is_in_units(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/ec2-auto-scaling-mixed-instances-groups-instance-weighting.html: met, even with overage"""
    scaling.create_mixed(10, {"InstanceType": "m5.xlarge", "WeightedCapacity": "4"}, subnets=1)
    emulator.advance(10)
    assert len(emulator.alive()) == 3
    assert [each["WeightedCapacity"] for each in scaling.members()] == ["4"] * 3


def test_a_heavy_machine_stays_when_less_than_its_weight_is_too_much(scaling: Scaling, emulator: Emulator) -> None:
    """What AWS does here is not documented; otherwise it would be launched again."""
    scaling.create_mixed(8, {"InstanceType": "m5.xlarge", "WeightedCapacity": "4"})
    emulator.advance(10)
    scaling.resize(5)
    emulator.advance(60)
    assert len(emulator.alive()) == 2
    scaling.resize(4)
    emulator.advance(60)
    assert len(emulator.alive()) == 1


def test_terminating_a_heavy_machine_takes_its_weight_from_the_desired_capacity(
    scaling: Scaling, emulator: Emulator
) -> None:
    """Not documented for weights."""
    scaling.create_mixed(8, {"InstanceType": "m5.xlarge", "WeightedCapacity": "4"})
    emulator.advance(10)
    scaling.client.terminate_instance_in_auto_scaling_group(
        InstanceId=scaling.ids()[0], ShouldDecrementDesiredCapacity=True
    )
    emulator.advance(60)
    assert scaling.group()["DesiredCapacity"] == 4
    assert len(emulator.alive()) == 1


def test_types_can_be_chosen_by_their_attributes(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/create-mixed-instances-group-attribute-based-instance-type-selection.html"""
    wanted = {
        "VCpuCount": {"Min": 4, "Max": 4},
        "MemoryMiB": {"Min": 16384, "Max": 16384},
        "AllowedInstanceTypes": ["m5*", "m6g*"],
    }
    scaling.create_mixed(3, {"InstanceRequirements": wanted})
    emulator.advance(10)
    assert {each.split(".")[1] for each in scaling.alive("type")} == {"xlarge"}
    assert all(each.startswith("m5") for each in scaling.alive("type"))  # the image is not one for Arm


def test_an_override_can_have_its_own_launch_template(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/ec2-auto-scaling-mixed-instances-groups-launch-template-overrides.html"""
    arm: Any = {"ImageId": ARM_IMAGE_ID, "InstanceType": "m5.large"}
    scaling.ec2.create_launch_template(LaunchTemplateName="arm", LaunchTemplateData=arm)
    own = {"InstanceType": "m6g.large", "LaunchTemplateSpecification": {"LaunchTemplateName": "arm"}}
    scaling.create_mixed(2, own)
    emulator.advance(10)
    assert scaling.alive("type") == {"m6g.large": 2}
    assert {each["LaunchTemplate"]["LaunchTemplateName"] for each in scaling.members()} == {"arm"}


def test_the_distribution_is_shown_with_its_defaults(scaling: Scaling) -> None:
    """API_InstancesDistribution.html"""
    scaling.create_mixed(0)
    policy = scaling.group()["MixedInstancesPolicy"]
    assert policy["InstancesDistribution"] == {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 100,
        "SpotAllocationStrategy": "lowest-price",
        "SpotInstancePools": 2,
    }
    assert policy["LaunchTemplate"]["LaunchTemplateSpecification"]["LaunchTemplateName"] == "worker"


def test_a_changed_distribution_keeps_what_is_not_named(scaling: Scaling) -> None:
    """API_UpdateAutoScalingGroup.html"""
    scaling.create_mixed(0, OnDemandBaseCapacity=3)
    policy = {"InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 20}}
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MixedInstancesPolicy=policy)
    shown = scaling.group()["MixedInstancesPolicy"]
    assert shown["InstancesDistribution"]["OnDemandBaseCapacity"] == 3
    assert shown["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 20
    assert len(shown["LaunchTemplate"]["Overrides"]) == 3


@pytest.mark.parametrize(
    "distribution",
    [
        {"OnDemandPercentageAboveBaseCapacity": 101},
        {"OnDemandAllocationStrategy": "diversified"},
        {"SpotAllocationStrategy": "lowestPrice"},
        {"SpotInstancePools": 21},
        {"SpotInstancePools": 3, "SpotAllocationStrategy": "capacity-optimized"},
    ],
    ids=str,
)
def test_a_distribution_that_there_is_not_is_refused(scaling: Scaling, distribution: Any) -> None:
    """API_InstancesDistribution.html"""
    assert refusal(scaling.create_mixed, desired=1, **distribution) == "ValidationError"


@pytest.mark.parametrize(
    "overrides",
    [
        [{"InstanceType": "m5.large", "WeightedCapacity": "2"}, {"InstanceType": "c5.large"}],
        [{"InstanceType": "m5.large", "WeightedCapacity": "1000"}],
        [{"InstanceType": "m5.imaginary"}],
        [{"InstanceType": "m6g.large"}],
        [{"InstanceType": "m5.large"}] * 41,
    ],
    ids=["some weights", "too heavy", "no such type", "other architecture", "too many"],
)
def test_an_override_that_cannot_be_is_refused(scaling: Scaling, overrides: Any) -> None:
    """API_LaunchTemplateOverrides.html, ASUG/ec2-auto-scaling-quotas.html"""
    assert refusal(lambda: scaling.create_mixed(1, *overrides)) == "ValidationError"


def test_a_launch_template_for_spot_is_not_for_mixtures(scaling: Scaling) -> None:
    """ASUG/ec2-auto-scaling-mixed-instances-groups.html"""
    scaling.ec2.create_launch_template_version(
        LaunchTemplateName="worker",
        SourceVersion="1",
        LaunchTemplateData={"InstanceMarketOptions": {"MarketType": "spot"}},
    )
    launch = {"LaunchTemplateSpecification": {"LaunchTemplateName": "worker", "Version": "2"}}
    assert refusal(scaling.create, MixedInstancesPolicy={"LaunchTemplate": launch}) == "ValidationError"


def test_a_launch_template_for_spot_makes_a_spot_group(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/launch-template-spot-instances.html"""
    scaling.ec2.create_launch_template_version(
        LaunchTemplateName="worker",
        SourceVersion="1",
        LaunchTemplateData={"InstanceMarketOptions": {"MarketType": "spot"}},
    )
    scaling.create(2, LaunchTemplate={"LaunchTemplateName": "worker", "Version": "2"})
    emulator.advance(10)
    assert scaling.alive("purchase") == {"spot": 2}
