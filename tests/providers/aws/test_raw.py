"""The raw door: what may be said in AWS's own words, what may not, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ec2 import IMAGE

from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws import raw
from hfplugin.providers.aws.template import AWSTemplate

ROLE = "arn:aws:iam::123456789012:role/fleet"
FLEET: dict[str, Any] = {
    "Type": "instant",
    "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateName": "ours", "Version": "1"}}],
    "TargetCapacitySpecification": {"TotalTargetCapacity": 3},
    "SpotOptions": {"AllocationStrategy": "lowest-price"},
    "TagSpecifications": [{"ResourceType": "fleet", "Tags": [{"Key": "hfplugin:provider", "Value": "prod1"}]}],
}
SPOT_FLEET: dict[str, Any] = {"IamFleetRole": ROLE, "TargetCapacity": 3, "AllocationStrategy": "lowestPrice"}
GROUP: dict[str, Any] = {
    "AutoScalingGroupName": "ours",
    "MinSize": 0,
    "MaxSize": 3,
    "Tags": [{"Key": "hfplugin:provider", "Value": "prod1"}],
    "MixedInstancesPolicy": {
        "LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateName": "ours", "Version": "1"}}
    },
}
MACHINE: dict[str, Any] = {"MinCount": 1, "MaxCount": 3, "SubnetId": "subnet-a", "SecurityGroupIds": ["sg-1"]}


def template(**keys: Any) -> AWSTemplate:
    return AWSTemplate.model_validate({"imageId": IMAGE, "vmType": "m5.large", **keys})


def applied(operation: str, call: dict[str, Any], native: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return raw.applied(operation, call, template(nativeSpec=native, **keys))


def refusal(operation: str, call: dict[str, Any], native: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        applied(operation, call, native, **keys)
    return str(caught.value)


def test_a_template_that_says_nothing_leaves_the_call_as_it_is() -> None:
    assert raw.applied("CreateFleet", FLEET, template()) is FLEET


def test_objects_are_merged_member_by_member() -> None:
    found = applied("CreateFleet", FLEET, {"SpotOptions": {"MaxTotalPrice": "1.5"}})
    assert found["SpotOptions"] == {"AllocationStrategy": "lowest-price", "MaxTotalPrice": "1.5"}
    assert "MaxTotalPrice" not in FLEET["SpotOptions"]


def test_a_value_of_ours_is_replaced() -> None:
    found = applied("CreateFleet", FLEET, {"SpotOptions": {"AllocationStrategy": "diversified"}})
    assert found["SpotOptions"] == {"AllocationStrategy": "diversified"}


def test_lists_are_replaced() -> None:
    call = {**MACHINE, "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}]}
    mapping = {"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}
    assert applied("RunInstances", call, {"BlockDeviceMappings": [mapping]})["BlockDeviceMappings"] == [mapping]


@pytest.mark.parametrize("key", ["SpotOptions", "spotOptions", "spot_options"])
def test_members_are_spelled_in_any_way(key: str) -> None:
    found = applied("CreateFleet", FLEET, {key: {"maxTotalPrice": "1.5"}})
    assert found["SpotOptions"]["MaxTotalPrice"] == "1.5"


def test_tags_are_added_to_ours() -> None:
    more = [
        {"ResourceType": "fleet", "Tags": [{"Key": "owner", "Value": "grid"}]},
        {"ResourceType": "network-interface", "Tags": [{"Key": "owner", "Value": "grid"}]},
    ]
    assert applied("CreateFleet", FLEET, {"TagSpecifications": more})["TagSpecifications"] == [
        {
            "ResourceType": "fleet",
            "Tags": [{"Key": "hfplugin:provider", "Value": "prod1"}, {"Key": "owner", "Value": "grid"}],
        },
        more[1],
    ]


def test_tags_of_a_group_are_added_to_ours() -> None:
    tag = {"Key": "owner", "Value": "grid", "PropagateAtLaunch": True}
    found = applied("CreateAutoScalingGroup", GROUP, {"Tags": [tag]}, providerApi="ASG")
    assert found["Tags"] == [*GROUP["Tags"], tag]


def test_an_own_interface_takes_subnet_and_groups_of_the_call() -> None:
    found = applied("RunInstances", MACHINE, {"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-2"]}]})
    assert found["NetworkInterfaces"] == [{"DeviceIndex": 0, "SubnetId": "subnet-a", "Groups": ["sg-2"]}]
    assert not {"SubnetId", "SecurityGroupIds"} & found.keys()


def test_own_configurations_keep_our_launch_template() -> None:
    override = {"InstanceType": "m5.large", "Priority": 1.0}
    [found] = applied("CreateFleet", FLEET, {"LaunchTemplateConfigs": [{"Overrides": [override]}]})[
        "LaunchTemplateConfigs"
    ]
    assert found == {**FLEET["LaunchTemplateConfigs"][0], "Overrides": [override]}


def test_overrides_of_a_group_are_checked_too() -> None:
    part = {"LaunchTemplate": {"Overrides": [{"InstanceType": "m5.xlarge", "WeightedCapacity": "2"}]}}
    said = refusal("CreateAutoScalingGroup", GROUP, {"MixedInstancesPolicy": part}, providerApi="ASG")
    assert said == (
        "nativeSpec: MixedInstancesPolicy.LaunchTemplate.Overrides[0]: m5.xlarge with weight 2 is not counted: "
        "add it to vmTypes with that weight"
    )
    found = applied(
        "CreateAutoScalingGroup",
        GROUP,
        {"MixedInstancesPolicy": part},
        providerApi="ASG",
        vmType=[],
        vmTypes={"m5.xlarge": 2},
    )
    assert found["MixedInstancesPolicy"]["LaunchTemplate"].keys() == {"LaunchTemplateSpecification", "Overrides"}


@pytest.mark.parametrize(
    ("native", "said"),
    [
        ({"SpotOption": {}}, 'Unknown parameter in input: "SpotOption", must be one of: '),
        ({"SpotOptions": {"Best": 1}}, 'Unknown parameter in SpotOptions: "Best", must be one of: '),
        ({"SpotOptions": {"MaxTotalPrice": 1}}, "Invalid type for parameter SpotOptions.MaxTotalPrice, value: 1"),
        ({"SpotOptions": "best"}, "Invalid type for parameter SpotOptions, value: best"),
        ({"TagSpecifications": {}}, "Invalid type for parameter TagSpecifications"),
        ({"ClientToken": "x"}, "ClientToken may not be set: hfplugin sets it"),
        ({"DryRun": True}, "DryRun may not be set: "),
        ({"Type": "maintain"}, "Type may not be set: use fleetType"),
        (
            {"targetCapacitySpecification": {"TotalTargetCapacity": 9}},
            "TargetCapacitySpecification may not be set: ",
        ),
        ({"ExcessCapacityTerminationPolicy": "termination"}, "ExcessCapacityTerminationPolicy may not be 'termin"),
        ({"TerminateInstancesWithExpiration": True}, "TerminateInstancesWithExpiration may not be True: "),
        ({"ReplaceUnhealthyInstances": True}, "ReplaceUnhealthyInstances may not be True: AWS would end machines"),
        ({"ValidFrom": "2026-11-05T12:00:00Z"}, "ValidFrom may not be set: a request wants its machines at once"),
        (
            {"SpotOptions": {"MaintenanceStrategies": {"CapacityRebalance": {"ReplacementStrategy": "launch"}}}},
            "SpotOptions.MaintenanceStrategies may not be set: AWS would end machines",
        ),
        (
            {"SpotOptions": {"InstanceInterruptionBehavior": "hibernate"}},
            "SpotOptions.InstanceInterruptionBehavior may not be 'hibernate': ",
        ),
        (
            {"TagSpecifications": [{"ResourceType": "fleet", "Tags": [{"Key": "hfplugin:x", "Value": "1"}]}]},
            "tag 'hfplugin:x' begins with a reserved prefix: choose another key",
        ),
        (
            {"LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateName": "theirs"}}]},
            "LaunchTemplateConfigs[0].LaunchTemplateSpecification may not be set: use launchTemplateId",
        ),
        (
            {"LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "m5.large", "WeightedCapacity": 2}]}]},
            "LaunchTemplateConfigs[0].Overrides[0]: m5.large with weight 2 is not counted: ",
        ),
        (
            {"LaunchTemplateConfigs": [{"Overrides": [{"SubnetId": "subnet-a", "WeightedCapacity": 2}]}]},
            "LaunchTemplateConfigs[0].Overrides[0].WeightedCapacity may not be set without InstanceType: ",
        ),
    ],
    ids=str,
)
def test_what_would_not_be_taken_or_counted_is_named(native: dict[str, Any], said: str) -> None:
    assert refusal("CreateFleet", FLEET, native).startswith(f"nativeSpec: {said}")


@pytest.mark.parametrize(
    "native",
    [
        {"MinCount": 1},
        {"MaxCount": 1},
        {"ClientToken": "x"},
        {"UserData": "x"},
        {"InstanceType": "m5.large"},
        {"SubnetId": "subnet-b"},
        {"LaunchTemplate": {"LaunchTemplateId": "lt-1"}},
        {"InstanceInitiatedShutdownBehavior": "stop"},
        {"DisableApiTermination": True},
        {"InstanceMarketOptions": {"SpotOptions": {"SpotInstanceType": "persistent"}}},
        {"InstanceMarketOptions": {"SpotOptions": {"InstanceInterruptionBehavior": "stop"}}},
    ],
    ids=str,
)
def test_what_would_break_the_accounting_of_run_instances_is_refused(native: dict[str, Any]) -> None:
    assert " may not be " in refusal("RunInstances", MACHINE, native)


@pytest.mark.parametrize(
    "native",
    [
        {"TargetCapacity": 1},
        {"OnDemandTargetCapacity": 1},
        {"Type": "maintain"},
        {"ExcessCapacityTerminationPolicy": "default"},
        {"TerminateInstancesWithExpiration": True},
        {"ReplaceUnhealthyInstances": True},
        {"InstanceInterruptionBehavior": "stop"},
        {"SpotMaintenanceStrategies": {"CapacityRebalance": {"ReplacementStrategy": "launch"}}},
        {"ValidFrom": "2026-11-05T12:00:00Z"},
        {"IamFleetRole": ROLE},
        {"LaunchSpecifications": []},
        {"ClientToken": "x"},
    ],
    ids=str,
)
def test_what_would_break_the_accounting_of_a_spot_fleet_is_refused(native: dict[str, Any]) -> None:
    said = refusal("RequestSpotFleet", SPOT_FLEET, native, providerApi="SpotFleet", fleetRole=ROLE)
    assert " may not be " in said


@pytest.mark.parametrize(
    "native",
    [
        {"MinSize": 1},
        {"MaxSize": 1},
        {"DesiredCapacity": 1},
        {"AutoScalingGroupName": "x"},
        {"NewInstancesProtectedFromScaleIn": False},
        {"LaunchTemplate": {"LaunchTemplateId": "lt-1"}},
        {"VPCZoneIdentifier": "subnet-b"},
        {"DesiredCapacityType": "vcpu"},
        {"CapacityRebalance": True},
        {"MaxInstanceLifetime": 86400},
        {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}},
        {"InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}},
        {"DeletionProtection": "prevent-all-deletion"},
        {
            "LifecycleHookSpecificationList": [
                {"LifecycleHookName": "a", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
            ]
        },
    ],
    ids=str,
)
def test_what_would_break_the_accounting_of_a_group_is_refused(native: dict[str, Any]) -> None:
    assert " may not be " in refusal("CreateAutoScalingGroup", GROUP, native, providerApi="ASG")


@pytest.mark.parametrize(
    "native",
    [
        {"CapacityRebalance": False},
        {"MaxInstanceLifetime": 0},
        {"HealthCheckType": "ELB"},
        {"TerminationPolicies": ["OldestInstance"]},
        {"TrafficSources": [{"Identifier": "arn:aws:elasticloadbalancing:x", "Type": "elbv2"}]},
        {"AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-only"}},
        {"DeletionProtection": "prevent-force-deletion"},
        {
            "LifecycleHookSpecificationList": [
                {"LifecycleHookName": "a", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
            ]
        },
    ],
    ids=str,
)
def test_what_a_groups_accounting_can_bear_is_taken(native: dict[str, Any]) -> None:
    found = applied("CreateAutoScalingGroup", GROUP, native, providerApi="ASG")
    assert found == GROUP | native


def test_a_spot_fleets_configuration_is_merged() -> None:
    native = {"loadBalancersConfig": {"targetGroupsConfig": {"targetGroups": [{"arn": "arn:aws:x"}]}}}
    found = applied("RequestSpotFleet", SPOT_FLEET, native, providerApi="SpotFleet", fleetRole=ROLE)
    balancers = {"TargetGroupsConfig": {"TargetGroups": [{"Arn": "arn:aws:x"}]}}
    assert found == {**SPOT_FLEET, "LoadBalancersConfig": balancers}


@pytest.mark.parametrize(
    "keys",
    [
        {"providerApi": "RunInstances", "nativeSpec": {"CpuOptions": {"CoreCount": 1}}},
        {"providerApi": "EC2Fleet", "nativeSpec": {"SpotOptions": {"MaxTotalPrice": "1"}}},
        {"providerApi": "SpotFleet", "fleetRole": ROLE, "nativeSpec": {"SpotMaxTotalPrice": "1"}},
        {"providerApi": "ASG", "nativeSpec": {"DefaultCooldown": 10}},
        {"nativeSpec": {}},
    ],
    ids=str,
)
def test_what_is_right_is_known_to_be_so_before_a_launch(keys: dict[str, Any]) -> None:
    assert raw.fault(template(**keys)) == ""


@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet", "SpotFleet", "ASG"])
def test_what_is_wrong_is_known_before_a_launch(service: str) -> None:
    found = template(providerApi=service, fleetRole=ROLE, nativeSpec={"Nonsense": 1})
    assert 'Unknown parameter in input: "Nonsense"' in raw.fault(found)
