"""The calls about machines: run, describe, terminate, stop, start, protect."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.blueprint import Blueprint, draw
from hfplugin.emulator.capacity import SPOT, Grant
from hfplugin.emulator.clock import moment
from hfplugin.emulator.description import dns_name, public_address, state, state_of
from hfplugin.emulator.errors import ServiceError, conflicting, dry_run, invalid, missing
from hfplugin.emulator.instances import Instance, Origin
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import check_tagged, of_call
from hfplugin.emulator.wire import Params, Reply

_CALL_ONLY = ("MinCount", "MaxCount", "ClientToken", "DryRun")

# What RunInstances makes and tags.
_TAGGED = ("instance", "volume", "spot-instances-request", "network-interface")

_PAGE = (5, 1000)
_TERMINATE_IDS = 1000


def run_instances(region: Region, params: Params) -> Reply:
    """Launch as many as there is room for, MinCount at least, all in one zone.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
    """
    token = params.get("ClientToken", "")
    meant = {name: value for name, value in params.items() if name != "ClientToken"}
    zone = _named_zone(region, params)
    reservation_id = region.tokens.recall("RunInstances", token, meant, zone)
    if reservation_id:
        return _replayed(region, reservation_id)
    low, high = _counts(params)
    check_tagged(params, _TAGGED)
    wish = {name: value for name, value in params.items() if name not in _CALL_ONLY}
    blueprints = draw(region, of_call(region, wish))
    if params.get("DryRun"):
        raise dry_run()
    blueprint, count = _best(region, blueprints, low, high)
    region.capacity.take(blueprint, count)
    launched = region.instances.launch(blueprint, count, Origin(client_token=token))
    region.tokens.remember("RunInstances", token, meant, launched[0].reservation_id, zone)
    return _reservation(region, launched)


def _named_zone(region: Region, params: Params) -> str:
    """Give the zone that a call names itself, in which its token holds; empty: it holds in the region.

    Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
    """
    interfaces = params.get("NetworkInterfaces", [])
    subnets = [params.get("SubnetId", ""), *(each.get("SubnetId", "") for each in interfaces)]
    zone: str = params.get("Placement", {}).get("AvailabilityZone", "")
    return zone or next((region.moto.zone_of(each) for each in subnets if each), "")


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
        which = "Maximum" if high < 1 else "Minimum"
        raise invalid(f"{which} instance count must be greater than zero")
    if low > high:
        raise invalid(f"Value ({low}) for parameter minCount is invalid. It must not exceed maxCount.")
    return low, high


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
    found, token = selected(region, params)
    groups = itertools.groupby(found, key=lambda instance: instance.reservation_id)
    return {"Reservations": [_reservation(region, list(group)) for _, group in groups], "NextToken": token}


def selected(region: Region, params: Params) -> tuple[Iterable[Instance], str | None]:
    """Give the page of machines that a call asks for by ids, filters and MaxResults, and the next one's token."""
    wanted = params.get("InstanceIds")
    if wanted and "MaxResults" in params:
        raise conflicting("The parameter instancesSet cannot be used with the parameter maxResults")
    known = region.instances.require(wanted) if wanted else region.instances.visible()
    found = filters.select(known, params, _values, _FILTERS)
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
    "ip-address": public_address,
    "key-name": lambda each: each.blueprint.specification.get("KeyName", ""),
    "launch-time": lambda each: f"{moment(each.launched):%Y-%m-%dT%H:%M:%S}.000Z",
    "placement-group-name": lambda each: each.blueprint.specification.get("Placement", {}).get("GroupName", ""),
    "private-dns-name": lambda each: dns_name(each) if each.has_network else "",
    "private-ip-address": lambda each: each.address if each.has_network else "",
    "reservation-id": lambda each: each.reservation_id,
    "spot-instance-request-id": lambda each: each.spot_request.request_id if each.spot_request else "",
    "state-reason-code": lambda each: each.reason.code,
    "subnet-id": lambda each: each.blueprint.subnet.subnet_id if each.has_network else "",
    "vpc-id": lambda each: each.blueprint.subnet.vpc_id if each.has_network else "",
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
        if each.blueprint.request_type == "one-time" and each.blueprint.purchase == SPOT:
            raise ServiceError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{each.instance_id}' of a one-time request.",
            )
        if each.state in ("pending", "shutting-down", "terminated"):
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
        raise conflicting("No instances specified")
    return wanted


def _changes(before: dict[Instance, str]) -> list[Reply]:
    return [
        {"InstanceId": each.instance_id, "PreviousState": state_of(old), "CurrentState": state(each)}
        for each, old in before.items()
    ]


OPERATIONS = {
    "RunInstances": run_instances,
    "DescribeInstances": describe_instances,
    "TerminateInstances": terminate_instances,
    "StopInstances": stop_instances,
    "StartInstances": start_instances,
}
