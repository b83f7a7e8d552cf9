"""The calls about the machines of Auto Scaling groups, and about what happened to them."""

from __future__ import annotations

from hfplugin.emulator.api.auto_scaling import group_of, page, required
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.groups import activities
from hfplugin.emulator.groups.activities import Activity
from hfplugin.emulator.groups.group import Group
from hfplugin.emulator.groups.members import Member
from hfplugin.emulator.groups.mixtures import refused
from hfplugin.emulator.instances import Instance
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html
_MOST_TERMINATED = 100
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html, API_AttachInstances.html
_MOST_DETACHED = 20
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html
_MOST_PROTECTED = 50


def describe_auto_scaling_instances(region: Region, params: Params) -> Reply:
    """Show members of all groups; ids that are not known are left out.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
    """
    wanted = set(params.get("InstanceIds", []))
    if len(wanted) > 50:
        raise refused("At most 50 instance IDs can be asked for in one call.")
    found = [
        (group, member)
        for group in region.groups.every()
        for member in group.members
        if not wanted or member.instance.instance_id in wanted
    ]
    shown, token = page(found, params, 50, 50)
    return {"AutoScalingInstances": [_details(*pair) for pair in shown], "NextToken": token}


def _details(group: Group, member: Member) -> Reply:
    shown = member.describe()
    return {**shown, "AutoScalingGroupName": group.name, "HealthStatus": shown["HealthStatus"].upper()}


def terminate_instance_in_auto_scaling_group(region: Region, params: Params) -> Reply:
    """Terminate members, protected or not: all or, when one is not known, none.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html
    """
    wanted = _terminated_ids(params)
    found = [_managed(region, each, params.get("AutoScalingGroupName")) for each in wanted]
    group = found[0][0]
    if any(each is not group for each, _ in found):
        raise refused("The instances are not in one Auto Scaling group.")
    members = [member for _, member in found]
    if any(member.lifecycle == "Terminating" for member in members):
        # The fault is documented; that this is a case of it is not.
        raise ServiceError("ScalingActivityInProgress", "A scaling activity is in progress and blocks this action")
    lowers = required(params, "ShouldDecrementDesiredCapacity")
    least = group.settings.least
    if lowers and group.desired - sum(member.units for member in members) < least:
        raise refused(
            f"Currently, desiredSize equals minSize ({least}). Terminating instance without replacement will "
            "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or "
            "lower group's min size."
        )
    done = [_activity(group, each) for each in group.release(members, lowers)]
    return {"Activities": done} if "InstanceIds" in params else {"Activity": done[0]}


def _terminated_ids(params: Params) -> list[str]:
    one, many = params.get("InstanceId"), params.get("InstanceIds", [])
    if bool(one) == bool(many):
        raise refused("Specify InstanceId or InstanceIds, and not both.")
    if many and not params.get("AutoScalingGroupName"):
        raise refused("InstanceIds needs AutoScalingGroupName.")
    if len(many) > _MOST_TERMINATED:
        raise refused(f"At most {_MOST_TERMINATED} instances can be terminated in one call.")
    return list(dict.fromkeys(many)) or [str(one)]


def _managed(region: Region, instance_id: str, group_name: str | None) -> tuple[Group, Member]:
    if group_name:
        region.groups.require(group_name)
    found = region.groups.member(instance_id)
    if found is None or (group_name and found[0].name != group_name):
        raise refused(f"Instance Id not found - No managed instance found for instance ID {instance_id}")
    return found


def detach_instances(region: Region, params: Params) -> Reply:
    """Let members go that live on: all or, when one is not in service, none.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html
    """
    group = group_of(region, params)
    wanted = params.get("InstanceIds", [])
    if len(wanted) > _MOST_DETACHED:
        raise refused(
            "List exceeds the maximum number of instances to detach. Please retry your request with fewer "
            "instances."
        )
    members = _members(group, wanted)
    for member in members:
        if member.lifecycle != "InService":
            raise refused(f"The instance {member.instance.instance_id} is not in InService or Standby.")
    lowers = required(params, "ShouldDecrementDesiredCapacity")
    settings = group.settings
    if lowers and settings.desired - sum(member.units for member in members) < settings.least:
        raise refused(
            f"AutoScalingGroup {group.name} has min-size={settings.least}, max-size={settings.most}, and "
            f"desired-size={settings.desired}. To detach {len(members)} instance, please update the "
            "AutoScalingGroup sizes appropriately."
        )
    return {"Activities": [_activity(group, each) for each in group.detach(members, lowers)]}


def _members(group: Group, instance_ids: list[str]) -> list[Member]:
    found: list[Member] = []
    for each in dict.fromkeys(instance_ids):
        member = group.members.get(each)
        if member is None:
            raise refused(f"The instance {each} is not part of Auto Scaling group {group.name}.")
        found.append(member)
    return found


def attach_instances(region: Region, params: Params) -> Reply:
    """Take running machines into a group, which grows by them.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html
    """
    group = group_of(region, params)
    wanted = list(dict.fromkeys(params.get("InstanceIds", [])))
    if len(wanted) > _MOST_DETACHED:
        raise refused(f"At most {_MOST_DETACHED} instances can be attached in one call.")
    instances = [_attachable(region, group, each) for each in wanted]
    if group.desired + len(instances) > group.settings.most:
        raise refused(
            f"AutoScalingGroup {group.name} has max-size={group.settings.most} and desired-size={group.desired}: "
            f"{len(instances)} instances more do not fit."
        )
    group.attach(instances)
    return {}


def _attachable(region: Region, group: Group, instance_id: str) -> Instance:
    instance = region.instances.get(instance_id)
    if instance is None or instance.state != "running":
        raise refused(f"Invalid Instance ID(s): [{instance_id}] is not in the state running.")
    if instance.owner is not None:
        raise refused(f"Instance {instance_id} is already part of an Auto Scaling group or fleet.")
    if instance.blueprint.zone not in group.settings.zones:
        raise refused(f"The zone of instance {instance_id} is not one of the group's.")
    return instance


def set_instance_protection(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html"""
    group = group_of(region, params)
    wanted = params.get("InstanceIds", [])
    if len(wanted) > _MOST_PROTECTED:
        raise ServiceError("LimitExceeded", f"At most {_MOST_PROTECTED} instances can be protected in one call.")
    for member in _members(group, wanted):
        member.is_protected = required(params, "ProtectedFromScaleIn")
    group.wake()
    return {}


def set_instance_health(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html"""
    group, member = _managed(region, params.get("InstanceId", ""), None)
    if params.get("HealthStatus") not in ("Healthy", "Unhealthy"):
        raise refused("HealthStatus must be Healthy or Unhealthy.")
    if params["HealthStatus"] == "Healthy":
        member.is_healthy = True
    else:
        group.distrust(member, "in response to a user health-check")
    return {}


def describe_scaling_activities(region: Region, params: Params) -> Reply:
    """Show what groups did, the newest first and what is in progress before that.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html
    """
    if params.get("Filters"):
        raise refused("The emulator does not have filters on scaling activities.")
    name, wanted = params.get("AutoScalingGroupName"), params.get("ActivityIds", [])
    groups = [(group, False) for group in region.groups.every()]
    if params.get("IncludeDeletedGroups"):
        groups += [(group, True) for group in region.groups.deleted]
    elif name:
        region.groups.require_known(name)
    found = [
        (group, each, is_deleted)
        for group, is_deleted in groups
        if name in (None, group.name)
        for each in group.activities.newest_first()
        if not wanted or each.activity_id in wanted
    ]
    shown, token = page(found, params, 100, 100)
    return {"Activities": [_activity(*each) for each in shown], "NextToken": token}


def _activity(group: Group, activity: Activity, is_deleted: bool = False) -> Reply:
    return activities.describe(activity, group.name, group.arn, is_deleted)


OPERATIONS = {
    "DescribeAutoScalingInstances": describe_auto_scaling_instances,
    "TerminateInstanceInAutoScalingGroup": terminate_instance_in_auto_scaling_group,
    "DetachInstances": detach_instances,
    "AttachInstances": attach_instances,
    "SetInstanceProtection": set_instance_protection,
    "SetInstanceHealth": set_instance_health,
    "DescribeScalingActivities": describe_scaling_activities,
}
