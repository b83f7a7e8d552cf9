"""The calls about Auto Scaling groups as a whole: their settings, sizes, processes and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from hfplugin.emulator import filters
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.groups import parameters
from hfplugin.emulator.groups.group import PROCESSES, Group, Tag
from hfplugin.emulator.groups.mixtures import refused
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import checked_tags
from hfplugin.emulator.wire import Params, Reply

_T = TypeVar("_T")

# Printable ASCII, no colon: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html
_NAME = re.compile(r"[!-9;-~]{1,255}")

# Where no quota is set: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html
_QUOTA = 500
_LAUNCH_CONFIGURATIONS = 200


def page(found: Sequence[_T], params: Params, default: int, most: int) -> tuple[Sequence[_T], str | None]:
    """Cut the page that is asked for and give the token of the next one."""
    size = params.get("MaxRecords", default)
    if not 1 <= size <= most:
        raise refused(
            f"1 validation error detected: Value '{size}' at 'maxRecords' failed to satisfy constraint: Member "
            f"must have value between 1 and {most}"
        )
    return filters.page(found, {"MaxResults": size, "NextToken": params.get("NextToken")}, (1, most))


def required(params: Params, name: str) -> Any:
    """Give a parameter. ServiceError when the call has none; an empty text is as good as none."""
    value = params.get(name)
    if value in (None, ""):
        raise refused(
            f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' failed to satisfy "
            "constraint: Member must not be null"
        )
    return value


def group_of(region: Region, params: Params) -> Group:
    """Give the group that the call names. ServiceError when there is none, or it is on its way out."""
    return region.groups.require(required(params, "AutoScalingGroupName"))


def create_auto_scaling_group(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html"""
    name = required(params, "AutoScalingGroupName")
    if not _NAME.fullmatch(name):
        raise refused(f"The Auto Scaling group name {name} is not valid.")
    region.groups.refuse_known(name)
    tags = _tags(params.get("Tags", []))
    region.groups.create(name, parameters.create(region, params), tags)
    return {}


def _tags(given: Iterable[dict[str, Any]]) -> dict[str, Tag]:
    tags = {
        required(each, "Key"): Tag(each.get("Value", ""), bool(each.get("PropagateAtLaunch"))) for each in given
    }
    try:
        checked_tags({key: tag.value for key, tag in tags.items()})
    except ServiceError as error:
        raise refused(error.message) from error
    return tags


def update_auto_scaling_group(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html"""
    group = group_of(region, params)
    made = parameters.update(region, group.settings, params)
    sizes = f"min: {made.least}, max: {made.most}, desired: {made.desired}"
    group.resize(made, f"a user request update of AutoScalingGroup constraints to {sizes}")
    return {}


def set_desired_capacity(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html"""
    group = group_of(region, params)
    settings, wanted = group.settings, required(params, "DesiredCapacity")
    if wanted > settings.most:
        raise refused(
            f"New SetDesiredCapacity value {wanted} is above max value {settings.most} for the AutoScalingGroup."
        )
    if wanted < settings.least:
        raise refused(
            f"New SetDesiredCapacity value {wanted} is below min value {settings.least} for the AutoScalingGroup."
        )
    group.resize(settings.sized(wanted), "a user request explicitly set group desired capacity")
    return {}


def delete_auto_scaling_group(region: Region, params: Params) -> Reply:
    """Delete an empty group or, by force, one with everything that is in it.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteAutoScalingGroup.html
    """
    group = group_of(region, params)
    protection = group.settings.shown["DeletionProtection"] or "none"
    forced = bool(params.get("ForceDelete"))
    if protection == "prevent-all-deletion" or (forced and protection == "prevent-force-deletion"):
        raise ServiceError("ResourceInUse", f"The group's deletion protection is {protection}.")
    if not forced and group.members.present():
        raise ServiceError(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
            "still in the group.",
        )
    if not forced and group.activities.are_open:
        raise ServiceError(
            "ScalingActivityInProgress",
            "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
        )
    group.end()
    return {}


def describe_auto_scaling_groups(region: Region, params: Params) -> Reply:
    """Show groups; names that are not known are left out.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
    """
    names = params.get("AutoScalingGroupNames", [])
    known = [each for each in region.groups.every() if not names or each.name in names]
    found = _select(known, params, _values)
    shown, token = page(found, params, 50, 100)
    with_members = bool(params.get("IncludeInstances", True))
    return {"AutoScalingGroups": [each.describe(with_members) for each in shown], "NextToken": token}


def _select(known: Iterable[_T], params: Params, values: filters.Values[_T]) -> list[_T]:
    try:
        return filters.select(known, params, values)
    except ServiceError as error:
        raise refused(error.message) from error


def _values(group: Group, name: str) -> Iterable[str] | None:
    if name == "tag-value":
        return [tag.value for tag in group.tags.values()]
    return filters.of_tags(name, {key: tag.value for key, tag in group.tags.items()})


def suspend_processes(region: Region, params: Params) -> Reply:
    """Suspend processes, all when none is named.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SuspendProcesses.html
    """
    group_of(region, params).suspend(_processes(params))
    return {}


def resume_processes(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_ResumeProcesses.html"""
    group_of(region, params).resume(_processes(params))
    return {}


def _processes(params: Params) -> list[str]:
    wanted: list[str] = params.get("ScalingProcesses") or list(PROCESSES)
    unknown = [each for each in wanted if each not in PROCESSES]
    if unknown:
        raise refused(f"{', '.join(unknown)} is not a valid process; known: {', '.join(PROCESSES)}")
    return wanted


def create_or_update_tags(region: Region, params: Params) -> Reply:
    """Tag groups; machines that run already keep their tags.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateOrUpdateTags.html
    """
    changes = [
        (region.groups.require(each.get("ResourceId", "")), _tags([each])) for each in required(params, "Tags")
    ]
    for group, tags in changes:
        group.tags.update(tags)
    return {}


def delete_tags(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteTags.html"""
    changes = [
        (region.groups.require(each.get("ResourceId", "")), required(each, "Key"))
        for each in required(params, "Tags")
    ]
    for group, key in changes:
        group.tags.pop(key, None)
    return {}


def describe_tags(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeTags.html"""
    rows = [row for group in region.groups.every() for row in group.describe_tags()]
    shown, token = page(_select(rows, params, _tag_values), params, 50, 100)
    return {"Tags": list(shown), "NextToken": token}


def _tag_values(row: dict[str, Any], name: str) -> Iterable[str] | None:
    members = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
    if name == "propagate-at-launch":
        return [str(row["PropagateAtLaunch"]).lower()]
    return [row[members[name]]] if name in members else None


def describe_account_limits(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAccountLimits.html"""
    return {
        "MaxNumberOfAutoScalingGroups": region.settings.quotas.get("groups", _QUOTA),
        "MaxNumberOfLaunchConfigurations": _LAUNCH_CONFIGURATIONS,
        "NumberOfAutoScalingGroups": len(list(region.groups.every())),
        "NumberOfLaunchConfigurations": 0,
    }


OPERATIONS = {
    "CreateAutoScalingGroup": create_auto_scaling_group,
    "UpdateAutoScalingGroup": update_auto_scaling_group,
    "SetDesiredCapacity": set_desired_capacity,
    "DeleteAutoScalingGroup": delete_auto_scaling_group,
    "DescribeAutoScalingGroups": describe_auto_scaling_groups,
    "SuspendProcesses": suspend_processes,
    "ResumeProcesses": resume_processes,
    "CreateOrUpdateTags": create_or_update_tags,
    "DeleteTags": delete_tags,
    "DescribeTags": describe_tags,
    "DescribeAccountLimits": describe_account_limits,
}
