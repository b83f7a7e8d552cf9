"""Auto Scaling groups of the emulated AWS, made and read in few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hfplugin.emulator import IMAGE_ID, Emulator

NAME = "workers"
TYPES = ("m5.large", "c5.large", "r5.large")

Document = dict[str, Any]


class Scaling:
    """A client of Auto Scaling with a launch template of m5.large, and groups over three zones."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = emulator.client("autoscaling")
        self.ec2 = emulator.ec2()
        self.ec2.create_launch_template(
            LaunchTemplateName="worker", LaunchTemplateData={"ImageId": IMAGE_ID, "InstanceType": "m5.large"}
        )
        found = sorted(self.ec2.describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])
        self.subnets = [each["SubnetId"] for each in found]
        self.zones = [each["AvailabilityZone"] for each in found]

    def create(self, desired: int | None = None, subnets: int = 3, **params: Any) -> None:
        """Create a group in the first subnets; sizes from 0 to 10 unless they are given."""
        if "MixedInstancesPolicy" not in params:
            params.setdefault("LaunchTemplate", {"LaunchTemplateName": "worker"})
        if desired is not None:
            params["DesiredCapacity"] = desired
        if subnets:
            params.setdefault("VPCZoneIdentifier", ",".join(self.subnets[:subnets]))
        defaults = {"AutoScalingGroupName": NAME, "MinSize": 0, "MaxSize": 10}
        self.client.create_auto_scaling_group(**{**defaults, **params})

    def create_mixed(self, desired: int, *overrides: Document, subnets: int = 3, **distribution: Any) -> None:
        """Create a group of several types; without overrides, of three types alike."""
        launch = {
            "LaunchTemplateSpecification": {"LaunchTemplateName": "worker", "Version": "1"},
            "Overrides": list(overrides) or [{"InstanceType": each} for each in TYPES],
        }
        policy = {"LaunchTemplate": launch, "InstancesDistribution": distribution}
        self.create(desired, subnets, MixedInstancesPolicy=policy, MaxSize=100)

    def group(self, name: str = NAME) -> Document:
        """Give the group as DescribeAutoScalingGroups shows it."""
        [found] = self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found)

    def members(self, name: str = NAME) -> list[Document]:
        return list(self.group(name)["Instances"])

    def ids(self, name: str = NAME) -> list[str]:
        return [each["InstanceId"] for each in self.members(name)]

    def alive(self, by: str) -> Counter[str]:
        """Count the machines that cost by one of their properties: zone, type, purchase."""
        return Counter(getattr(machine, by) for machine in self.emulator.alive())

    def activities(self, **params: Any) -> list[Document]:
        params.setdefault("AutoScalingGroupName", NAME)
        return list(self.client.describe_scaling_activities(**params)["Activities"])

    def resize(self, desired: int) -> None:
        self.client.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=desired)


def refusal(call: Callable[..., Any], **params: Any) -> str:
    """Give the code with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"]
