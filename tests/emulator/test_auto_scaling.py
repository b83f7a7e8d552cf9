"""Auto Scaling groups as a whole: made, sized, deleted. Held to Amazon EC2 Auto Scaling's documentation.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html. Where a test checks a
code alone, AWS does not document the text.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from scaling import NAME, Scaling, refusal

from hfplugin.emulator import IMAGE_ID, Emulator


@pytest.fixture
def scaling(emulator: Emulator) -> Scaling:
    """Auto Scaling that acts after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Scaling(emulator)


def test_a_group_launches_what_is_desired_after_a_while(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-groups.html"""
    scaling.create(3)
    assert not emulator.machines()
    emulator.advance(10)
    assert len(emulator.alive()) == 3
    assert [each["LifecycleState"] for each in scaling.members()] == ["InService"] * 3


def test_without_a_desired_capacity_a_group_has_its_minimum(scaling: Scaling, emulator: Emulator) -> None:
    """API_CreateAutoScalingGroup.html: "the default is the minimum size of the group"."""
    scaling.create(MinSize=2)
    emulator.advance(10)
    assert scaling.group()["DesiredCapacity"] == len(emulator.alive()) == 2


def test_a_member_is_pending_until_its_machine_runs(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html"""
    emulator.configure(boot_seconds=30)
    scaling.create(1)
    emulator.advance(20)
    assert scaling.members()[0]["LifecycleState"] == "Pending"
    emulator.advance(20)
    assert scaling.members()[0]["LifecycleState"] == "InService"


def test_machines_are_spread_evenly_over_the_zones(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#arch-AutoScalingMultiAZ"""
    scaling.create(6)
    emulator.advance(10)
    assert scaling.alive("zone") == dict.fromkeys(scaling.zones, 2)


def test_growth_goes_to_the_zone_with_the_fewest(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#arch-AutoScalingMultiAZ"""
    scaling.create(4)
    emulator.advance(10)
    scaling.resize(6)
    emulator.advance(10)
    assert scaling.alive("zone") == dict.fromkeys(scaling.zones, 2)


def test_what_a_full_zone_refuses_is_launched_in_another(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#arch-AutoScalingMultiAZ"""
    emulator.configure(capacity={f"eu-central-1/m5.large/{scaling.zones[0]}": 0})
    scaling.create(4)
    emulator.advance(10)
    assert scaling.alive("zone") == {scaling.zones[1]: 2, scaling.zones[2]: 2}


def test_zones_stand_for_their_default_subnets(scaling: Scaling, emulator: Emulator) -> None:
    """API_CreateAutoScalingGroup.html: AvailabilityZones is for default VPCs."""
    scaling.create(1, subnets=0, AvailabilityZones=[scaling.zones[1]])
    emulator.advance(10)
    assert scaling.alive("zone") == {scaling.zones[1]: 1}


def test_refused_launches_are_tried_again(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html"""
    emulator.configure(capacity={"eu-central-1/m5.large/*": 1}, retry_seconds=60)
    scaling.create(5)
    emulator.advance(10)
    assert len(emulator.alive()) == 3
    emulator.configure(capacity={})
    emulator.advance(60)
    assert len(emulator.alive()) == 5


def test_a_group_of_the_same_name_already_exists(scaling: Scaling) -> None:
    """API_CreateAutoScalingGroup.html, AlreadyExists"""
    scaling.create(0)
    assert refusal(scaling.create) == "AlreadyExists"


def test_a_full_quota_limits_groups(scaling: Scaling, emulator: Emulator) -> None:
    """API_CreateAutoScalingGroup.html, LimitExceeded"""
    emulator.configure(quotas={"groups": 1})
    scaling.create(0)
    assert refusal(scaling.create, AutoScalingGroupName="another") == "LimitExceeded"


@pytest.mark.parametrize(
    "params",
    [
        {"MinSize": 5, "MaxSize": 4},
        {"DesiredCapacity": 11},
        {"MinSize": 3, "DesiredCapacity": 2},
        {"MinSize": -1},
        {"AutoScalingGroupName": "with:colon"},
        {"subnets": 0},
        {"VPCZoneIdentifier": "subnet-00000000000000000"},
        {"AvailabilityZones": ["eu-central-1c"]},
        {"LaunchTemplate": {"LaunchTemplateName": "unknown"}},
        {"LaunchTemplate": {"LaunchTemplateName": "worker", "Version": "7"}},
        {"TerminationPolicies": ["Youngest"]},
        {"LaunchConfigurationName": "old"},
        {"Tags": [{"Key": "aws:mine", "Value": ""}]},
    ],
    ids=lambda params: next(iter(params)),
)
def test_a_wrong_parameter_is_a_validation_error_and_makes_no_group(scaling: Scaling, params: Any) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html, ValidationError"""
    assert refusal(scaling.create, **{"subnets": 2, **params}) == "ValidationError"
    assert scaling.client.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_launch_template_and_a_mixture_exclude_each_other(scaling: Scaling) -> None:
    """API_CreateAutoScalingGroup.html, LaunchTemplate"""
    launch = {"LaunchTemplateSpecification": {"LaunchTemplateName": "worker"}}
    both = {"LaunchTemplate": {"LaunchTemplateName": "worker"}, "MixedInstancesPolicy": {"LaunchTemplate": launch}}
    assert refusal(scaling.create, **both) == "ValidationError"


def test_a_launch_template_without_a_type_is_no_source_for_a_group(scaling: Scaling) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/create-asg-launch-template.html"""
    scaling.ec2.create_launch_template(LaunchTemplateName="bare", LaunchTemplateData={"KeyName": "none"})
    assert refusal(scaling.create, LaunchTemplate={"LaunchTemplateName": "bare"}) == "ValidationError"


@pytest.mark.parametrize("desired", [1, 11])
def test_the_desired_capacity_stays_within_its_bounds(scaling: Scaling, desired: int) -> None:
    """API_SetDesiredCapacity.html; the texts are public logs'."""
    scaling.create(MinSize=2)
    call = {"AutoScalingGroupName": NAME, "DesiredCapacity": desired}
    assert refusal(scaling.client.set_desired_capacity, **call) == "ValidationError"


def test_a_raised_minimum_raises_the_desired_capacity(scaling: Scaling, emulator: Emulator) -> None:
    """API_UpdateAutoScalingGroup.html: a new MinSize above the current size."""
    scaling.create(1)
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MinSize=3)
    emulator.advance(10)
    assert scaling.group()["DesiredCapacity"] == len(emulator.alive()) == 3


def test_a_lowered_maximum_lowers_the_desired_capacity(scaling: Scaling, emulator: Emulator) -> None:
    """API_UpdateAutoScalingGroup.html: a new MaxSize below the current size."""
    scaling.create(5)
    emulator.advance(10)
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=2)
    emulator.advance(10)
    assert scaling.group()["DesiredCapacity"] == len(emulator.alive()) == 2


def test_an_update_keeps_what_it_does_not_name(scaling: Scaling) -> None:
    """API_UpdateAutoScalingGroup.html: "any parameters that you don't specify are not changed"."""
    scaling.create(4, HealthCheckGracePeriod=77, subnets=1)
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=20)
    group = scaling.group()
    assert (group["DesiredCapacity"], group["HealthCheckGracePeriod"]) == (4, 77)
    assert group["AvailabilityZones"] == scaling.zones[:1]


def test_an_update_changes_what_is_launched_from_then_on(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/update-auto-scaling-group.html"""
    scaling.create(1)
    emulator.advance(10)
    scaling.ec2.create_launch_template_version(
        LaunchTemplateName="worker", SourceVersion="1", LaunchTemplateData={"InstanceType": "c5.large"}
    )
    scaling.client.update_auto_scaling_group(
        AutoScalingGroupName=NAME,
        DesiredCapacity=2,
        LaunchTemplate={"LaunchTemplateName": "worker", "Version": "$Latest"},
    )
    emulator.advance(10)
    assert scaling.alive("type") == {"m5.large": 1, "c5.large": 1}
    assert [each["LaunchTemplate"]["Version"] for each in scaling.members()] == ["1", "2"]


def test_a_lowered_desired_capacity_terminates_the_surplus(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html"""
    scaling.create(6)
    emulator.advance(10)
    scaling.resize(3)
    emulator.advance(10)
    emulator.advance(1)
    assert scaling.alive("zone") == dict.fromkeys(scaling.zones, 1)
    assert len(scaling.members()) == 3


def test_the_oldest_launch_template_version_goes_first(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html, default"""
    scaling.ec2.create_launch_template_version(
        LaunchTemplateName="worker", SourceVersion="1", LaunchTemplateData={}
    )
    scaling.create(1, subnets=1, LaunchTemplate={"LaunchTemplateName": "worker", "Version": "2"})
    emulator.advance(10)
    first = {"LaunchTemplateName": "worker", "Version": "1"}
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, DesiredCapacity=2, LaunchTemplate=first)
    emulator.advance(10)
    scaling.resize(1)
    emulator.advance(11)
    assert [each["LaunchTemplate"]["Version"] for each in scaling.members()] == ["2"]


def test_machines_of_a_former_launch_template_go_first(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html, default"""
    scaling.ec2.create_launch_template(
        LaunchTemplateName="former", LaunchTemplateData={"ImageId": IMAGE_ID, "InstanceType": "c5.large"}
    )
    scaling.create(1, subnets=1)
    for desired, name in ((2, "former"), (2, "worker"), (1, "worker")):
        emulator.advance(10)
        wanted = {"LaunchTemplateName": name}
        scaling.client.update_auto_scaling_group(
            AutoScalingGroupName=NAME, DesiredCapacity=desired, LaunchTemplate=wanted
        )
    emulator.advance(11)
    assert [each["InstanceType"] for each in scaling.members()] == ["m5.large"]


def test_a_termination_policy_of_the_group_is_followed(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html"""
    scaling.create(1, subnets=1, TerminationPolicies=["NewestInstance"])
    emulator.advance(10)
    [oldest] = scaling.ids()
    scaling.resize(2)
    emulator.advance(10)
    scaling.resize(1)
    emulator.advance(11)
    assert scaling.ids() == [oldest]


def test_a_group_with_machines_is_not_deleted_without_force(scaling: Scaling, emulator: Emulator) -> None:
    """API_DeleteAutoScalingGroup.html, ResourceInUse"""
    scaling.create(1)
    emulator.advance(10)
    assert refusal(scaling.client.delete_auto_scaling_group, AutoScalingGroupName=NAME) == "ResourceInUse"
    assert len(emulator.alive()) == 1


def test_a_group_whose_machines_are_going_is_not_deleted_without_force(
    scaling: Scaling, emulator: Emulator
) -> None:
    """API_DeleteAutoScalingGroup.html, ScalingActivityInProgress"""
    emulator.configure(shutdown_seconds=60)
    scaling.create(1)
    emulator.advance(10)
    scaling.resize(0)
    emulator.advance(10)
    code = refusal(scaling.client.delete_auto_scaling_group, AutoScalingGroupName=NAME)
    assert code == "ScalingActivityInProgress"


def test_force_deletes_a_group_with_its_machines(scaling: Scaling, emulator: Emulator) -> None:
    """API_DeleteAutoScalingGroup.html, ForceDelete"""
    emulator.configure(shutdown_seconds=60)
    scaling.create(2, MinSize=2, NewInstancesProtectedFromScaleIn=True)
    emulator.advance(10)
    scaling.client.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    assert not emulator.alive()
    assert scaling.group()["Status"] == "Delete in progress"
    emulator.advance(60)
    assert scaling.client.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_deleted_group_launches_no_more(scaling: Scaling, emulator: Emulator) -> None:
    """API_DeleteAutoScalingGroup.html"""
    scaling.create(2)
    scaling.client.delete_auto_scaling_group(AutoScalingGroupName=NAME)
    emulator.advance(60)
    assert not emulator.machines()


def test_protection_keeps_a_group_from_being_deleted_by_force(scaling: Scaling) -> None:
    """API_CreateAutoScalingGroup.html, DeletionProtection; the code is not documented."""
    scaling.create(0, DeletionProtection="prevent-force-deletion")
    with pytest.raises(ClientError):
        scaling.client.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    scaling.client.delete_auto_scaling_group(AutoScalingGroupName=NAME)
