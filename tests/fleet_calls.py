"""What the tests of fleets share: a launch template, and the calls in short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

TYPE = "m5.large"
ZONES = [f"{REGION}{letter}" for letter in "abc"]
ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"
TAGS = [{"Key": "from", "Value": "the template"}]

Override = dict[str, Any]
Reply = dict[str, Any]


def in_zone(letter: str, machine_type: str = TYPE, **members: Any) -> Override:
    """Give an override that names a type and a zone."""
    return {"InstanceType": machine_type, "AvailabilityZone": f"{REGION}{letter}", **members}


def refusal(call: Callable[..., Any], **params: Any) -> str:
    """Give the code with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    code: str = caught.value.response["Error"]["Code"]
    return code


class Fleets:
    """EC2 Fleets of the emulated EC2, made from one launch template."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.ec2: Any = emulator.ec2()
        self.template_id = self.template()

    def template(self, name: str = "machines", **data: Any) -> str:
        """Make a launch template and give its id."""
        own = {"ImageId": IMAGE_ID, "InstanceType": TYPE, **data}
        own["TagSpecifications"] = [{"ResourceType": "instance", "Tags": TAGS}]
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=own)
        template_id: str = made["LaunchTemplate"]["LaunchTemplateId"]
        return template_id

    def config(self, *overrides: Override, **reference: str) -> list[Reply]:
        """Give LaunchTemplateConfigs; without overrides it is the template in the zone a."""
        named = {"LaunchTemplateId": self.template_id, "Version": "1", **reference}
        return [{"LaunchTemplateSpecification": named, "Overrides": list(overrides or [in_zone("a")])}]

    def create(self, kind: str, total: int, *overrides: Override, **params: Any) -> Reply:
        """Make a fleet and give the answer. Other members of the target may be among the parameters."""
        return dict(self.ec2.create_fleet(**self.params(kind, total, *overrides, **params)))

    def params(self, kind: str, total: int, *overrides: Override, **params: Any) -> Reply:
        """Give the parameters of CreateFleet: all on demand, if nothing else is said."""
        target = {"TotalTargetCapacity": total, "DefaultTargetCapacityType": "on-demand"}
        names = (
            "OnDemandTargetCapacity",
            "SpotTargetCapacity",
            "DefaultTargetCapacityType",
            "TargetCapacityUnitType",
        )
        target |= {name: params.pop(name) for name in names if name in params}
        configs = self.config(*overrides)
        own = {"Type": kind, "TargetCapacitySpecification": target, "LaunchTemplateConfigs": configs}
        return own | params

    def make(self, kind: str, total: int, *overrides: Override, **params: Any) -> str:
        """Make a fleet and give its id."""
        fleet_id: str = self.create(kind, total, *overrides, **params)["FleetId"]
        return fleet_id

    def show(self, fleet_id: str) -> Reply:
        [found] = self.ec2.describe_fleets(FleetIds=[fleet_id])["Fleets"]
        return dict(found)

    def status(self, fleet_id: str) -> tuple[str, str]:
        """Give a fleet's state and activity."""
        found = self.show(fleet_id)
        return found["FleetState"], found.get("ActivityStatus", "")

    def members(self, fleet_id: str) -> list[str]:
        """Give the ids of the machines that the fleet lists."""
        found = self.ec2.describe_fleet_instances(FleetId=fleet_id)["ActiveInstances"]
        return [each["InstanceId"] for each in found]

    def events(self, fleet_id: str, **params: Any) -> list[str]:
        """Give the sub-types of a fleet's history."""
        found = self.ec2.describe_fleet_history(FleetId=fleet_id, StartTime=0, **params)["HistoryRecords"]
        return [each["EventInformation"]["EventSubType"] for each in found]

    def modify(self, fleet_id: str, total: int, policy: str = "", **target: Any) -> None:
        params: Reply = {"ExcessCapacityTerminationPolicy": policy} if policy else {}
        own = {"TotalTargetCapacity": total, **target}
        self.ec2.modify_fleet(FleetId=fleet_id, TargetCapacitySpecification=own, **params)

    def delete(self, *fleet_ids: str, terminates: bool = True) -> Reply:
        return dict(self.ec2.delete_fleets(FleetIds=list(fleet_ids), TerminateInstances=terminates))
