"""The calls about machines: run, describe, terminate, stop, start, protect."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.blueprint import Blueprint, draw
from hfplugin.emulator.capacity import SPOT, Grant
from hfplugin.emulator.description import dns_name, state, state_of
from hfplugin.emulator.errors import ServiceError, conflicting, invalid, missing
from hfplugin.emulator.instances import Instance, Origin
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import of_call
from hfplugin.emulator.wire import Params, Reply

_CALL_ONLY = ("MinCount", "MaxCount", "ClientToken", "DryRun")

_PAGE = (5, 1000)
_STATUS_IDS = 100
_TERMINATE_IDS = 1000


def run_instances(region: Region, params: Params) -> Reply:
    """Launch as many as there is room for, MinCount at least, all in one zone.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
    """
    token = params.get("ClientToken", "")
    meant = {name: value for name, value in params.items() if name != "ClientToken"}
    reservation_id = region.tokens.recall("RunInstances", token, meant)
    if reservation_id:
        return _replayed(region, reservation_id)
    low, high = _counts(params)
    wish = {name: value for name, value in params.items() if name not in _CALL_ONLY}
    blueprints = draw(region, of_call(region, wish))
    _refuse_dry_run(params)
    blueprint, count = _best(region, blueprints, low, high)
    region.capacity.take(blueprint, count)
    launched = region.instances.launch(blueprint, count, Origin(client_token=token))
    region.tokens.remember("RunInstances", token, meant, launched[0].reservation_id)
    return _reservation(region, launched)


def _replayed(region: Region, reservation_id: str) -> Reply:
    """Give a launch again as it is now. Source: the error code IdempotentInstanceTerminated of EC2's list."""
    instances = region.instances.of_reservation(reservation_id)
    if any(not instance.is_alive for instance in instances):
        raise ServiceError(
            "IdempotentInstanceTerminated",
            "The client token you have provided is associated with a terminated instance. Please use a different "
            "client token.",
        )
    return _reservation(region, instances)


def _counts(params: Params) -> tuple[int, int]:
    for name in ("MinCount", "MaxCount"):
        if name not in params:
            raise missing(name)
    low, high = params["MinCount"], params["MaxCount"]
    if low < 1 or high < 1:
        raise invalid(f"Value ({min(low, high)}) for parameter groupSet is invalid. Counts must be at least 1.")
    if low > high:
        raise invalid(f"Value ({low}) for parameter minCount is invalid. It must not exceed maxCount.")
    return low, high


def _refuse_dry_run(params: Params) -> None:
    if params.get("DryRun"):
        raise ServiceError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def _best(region: Region, blueprints: list[Blueprint], low: int, high: int) -> tuple[Blueprint, int]:
    """Choose the zone that can give the most. ServiceError when none gives the minimum."""
    grants: list[tuple[Blueprint, Grant]] = [(each, region.capacity.grant(each, high)) for each in blueprints]
    blueprint, grant = max(grants, key=lambda pair: pair[1].machines)
    if grant.machines < low and grant.refusal:
        raise grant.refusal
    return blueprint, grant.machines


def _reservation(region: Region, instances: list[Instance]) -> Reply:
    return {
        "ReservationId": instances[0].reservation_id,
        "OwnerId": region.account,
        "Groups": [],
        "Instances": [region.instances.written(instance) for instance in instances],
    }


def describe_instances(region: Region, params: Params) -> Reply:
    """Show machines. MaxResults counts machines, and reservations are cut by the page.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
    """
    found, token = _selected(region, params)
    groups = itertools.groupby(found, key=lambda instance: instance.reservation_id)
    return {"Reservations": [_reservation(region, list(group)) for _, group in groups], "NextToken": token}


def _selected(region: Region, params: Params) -> tuple[Iterable[Instance], str | None]:
    wanted = params.get("InstanceIds")
    if wanted and "MaxResults" in params:
        raise conflicting("The parameter instancesSet cannot be used with the parameter maxResults")
    known = region.instances.require(wanted) if wanted else region.instances.visible()
    found = filters.select(known, params, _values)
    return filters.page(found, params, _PAGE)


def _values(instance: Instance, name: str) -> Iterable[str] | None:
    """Give a machine's values under a filter's name."""
    tagged = filters.of_tags(name, instance.tags)
    if tagged is not None:
        return tagged
    make = _FILTERS.get(name)
    return None if make is None else [value for value in [make(instance)] if value]


_FILTERS: dict[str, Any] = {
    "architecture": lambda each: each.blueprint.image.architecture,
    "availability-zone": lambda each: each.blueprint.zone,
    "capacity-reservation-id": lambda each: each.blueprint.reservation_id,
    "client-token": lambda each: each.client_token,
    "image-id": lambda each: each.blueprint.image.image_id,
    "instance-id": lambda each: each.instance_id,
    "instance-lifecycle": lambda each: "spot" if each.blueprint.purchase == SPOT else "",
    "instance-state-code": lambda each: str(state(each)["Code"]),
    "instance-state-name": lambda each: each.state,
    "instance-type": lambda each: each.blueprint.machine_type,
    "key-name": lambda each: each.blueprint.specification.get("KeyName", ""),
    "placement-group-name": lambda each: each.blueprint.specification.get("Placement", {}).get("GroupName", ""),
    "private-dns-name": lambda each: dns_name(each) if each.has_network else "",
    "private-ip-address": lambda each: each.address if each.has_network else "",
    "reservation-id": lambda each: each.reservation_id,
    "spot-instance-request-id": lambda each: each.spot_request.request_id if each.spot_request else "",
    "state-reason-code": lambda each: each.reason.code,
    "subnet-id": lambda each: each.blueprint.subnet.subnet_id if each.has_network else "",
    "vpc-id": lambda each: each.blueprint.subnet.vpc_id if each.has_network else "",
}


def describe_instance_status(region: Region, params: Params) -> Reply:
    """Show the health of machines that run.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html
    """
    if len(params.get("InstanceIds", [])) > _STATUS_IDS:
        raise invalid(f"At most {_STATUS_IDS} instance IDs can be asked for in one call")
    found, token = _selected(region, params)
    shown = [each for each in found if each.state == "running" or params.get("IncludeAllInstances")]
    return {"InstanceStatuses": [_status(each) for each in shown], "NextToken": token}


def _status(instance: Instance) -> Reply:
    health = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
    return {
        "InstanceId": instance.instance_id,
        "AvailabilityZone": instance.blueprint.zone,
        "InstanceState": state(instance),
        "InstanceStatus": health,
        "SystemStatus": health,
        "Events": [],
    }


def terminate_instances(region: Region, params: Params) -> Reply:
    """Terminate machines: all or, when one id is not known, none; protection saves the whole zone.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html
    """
    wanted = _ids(params)
    if len(wanted) > _TERMINATE_IDS:
        raise invalid(f"At most {_TERMINATE_IDS} instances can be terminated in one call")
    instances = region.instances.require(wanted)
    protected = [each for each in instances if each.is_protected and each.is_alive]
    saved = {each.blueprint.zone for each in protected}
    before = {each: each.state for each in instances}
    region.instances.terminate([each for each in instances if each.blueprint.zone not in saved])
    if protected:
        raise ServiceError(
            "OperationNotPermitted",
            f"The instance '{protected[0].instance_id}' may not be terminated. Modify its 'disableApiTermination' "
            "instance attribute and try again.",
        )
    return {"TerminatingInstances": _changes(before)}


def stop_instances(region: Region, params: Params) -> Reply:
    """Stop machines. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StopInstances.html"""
    instances = region.instances.require(_ids(params))
    for each in instances:
        if each.blueprint.purchase == SPOT:
            raise ServiceError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{each.instance_id}' of a one-time request.",
            )
        if each.state in ("shutting-down", "terminated"):
            raise _wrong_state(each, "stopped")
    before = {each: each.state for each in instances}
    region.instances.stop(instances)
    return {"StoppingInstances": _changes(before)}


def start_instances(region: Region, params: Params) -> Reply:
    """Start stopped machines. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StartInstances.html"""
    instances = region.instances.require(_ids(params))
    for each in instances:
        if each.state in ("shutting-down", "terminated", "stopping"):
            raise _wrong_state(each, "started")
    before = {each: each.state for each in instances}
    region.instances.start(instances)
    return {"StartingInstances": _changes(before)}


def _wrong_state(instance: Instance, done: str) -> ServiceError:
    text = f"The instance '{instance.instance_id}' is not in a state from which it can be {done}."
    return ServiceError("IncorrectInstanceState", text)


def _ids(params: Params) -> list[str]:
    wanted: list[str] = params.get("InstanceIds", [])
    if not wanted:
        raise missing("InstanceId")
    return wanted


def _changes(before: dict[Instance, str]) -> list[Reply]:
    return [
        {"InstanceId": each.instance_id, "PreviousState": state_of(old), "CurrentState": state(each)}
        for each, old in before.items()
    ]


def describe_instance_attribute(region: Region, params: Params) -> Reply:
    """Show one attribute: userData, disableApiTermination, instanceType and the like."""
    [instance] = region.instances.require([params["InstanceId"]])
    own = instance.blueprint.specification
    attributes: dict[str, Reply] = {
        "userData": {"UserData": {"Value": own.get("UserData")}},
        "disableApiTermination": {"DisableApiTermination": {"Value": instance.is_protected}},
        "instanceType": {"InstanceType": {"Value": instance.blueprint.machine_type}},
        "instanceInitiatedShutdownBehavior": {
            "InstanceInitiatedShutdownBehavior": {"Value": own.get("InstanceInitiatedShutdownBehavior", "stop")}
        },
        "ebsOptimized": {"EbsOptimized": {"Value": bool(own.get("EbsOptimized"))}},
    }
    found = attributes.get(params["Attribute"])
    if found is None:
        raise ServiceError(
            "UnsupportedOperation", f"The emulator does not know the attribute {params['Attribute']}"
        )
    return {"InstanceId": instance.instance_id, **found}


def modify_instance_attribute(region: Region, params: Params) -> Reply:
    """Set or lift the protection against termination; nothing else."""
    [instance] = region.instances.require([params["InstanceId"]])
    if "DisableApiTermination" not in params:
        raise ServiceError("UnsupportedOperation", "The emulator modifies disableApiTermination only")
    region.instances.protect(instance, params["DisableApiTermination"]["Value"])
    return {}


OPERATIONS = {
    "RunInstances": run_instances,
    "DescribeInstances": describe_instances,
    "DescribeInstanceStatus": describe_instance_status,
    "DescribeInstanceAttribute": describe_instance_attribute,
    "ModifyInstanceAttribute": modify_instance_attribute,
    "TerminateInstances": terminate_instances,
    "StopInstances": stop_instances,
    "StartInstances": start_instances,
}
