"""The calls about EC2 Fleets."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, invalid, missing
from hfplugin.emulator.fleets.ec2_fleets import Fleet, is_fleet_id
from hfplugin.emulator.fleets.history import CHANGE, ERROR, INSTANCE
from hfplugin.emulator.fleets.rules import refuse_dry_run
from hfplugin.emulator.fleets.upkeep import Upkeep
from hfplugin.emulator.instances import Instance
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

PAGE = (1, 1000)

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteFleets.html
_MOST_INSTANT, _MOST_OTHERS = 25, 100

# How a call names the events that an answer shows.
_EVENTS = {"instance-change": INSTANCE, "fleet-change": CHANGE, "service-error": ERROR}


def create_fleet(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html

    A token that was used gives the same fleet; that an instant one's machines and errors are told again is an
    assumption.
    """
    fleet_id = region.tokens.once("CreateFleet", params, lambda _: region.fleets.create(params).fleet_id)
    fleet = region.fleets.require(fleet_id)
    return {"FleetId": fleet.fleet_id} | (fleet.answer(with_places=True) if fleet.is_instant else {})


def modify_fleet(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyFleet.html"""
    region.fleets.modify(region.fleets.require(_id(params)), params)
    return {"Return": True}


def _id(params: Params) -> str:
    if "FleetId" not in params:
        raise missing("FleetId")
    return str(params["FleetId"])


def delete_fleets(region: Region, params: Params) -> Reply:
    """Delete fleets, each by itself.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteFleets.html, and for the codes
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/delete-fleet.html
    """
    wanted: list[str] = list(dict.fromkeys(params.get("FleetIds", [])))
    for name in ("FleetIds", "TerminateInstances"):
        if name not in params:
            raise missing(name)
    instant = {each for each in wanted if (fleet := region.fleets.get(each)) and fleet.is_instant}
    if len(wanted) - len(instant) > _MOST_OTHERS:
        raise invalid(f"At most {_MOST_OTHERS} fleets of type maintain or request can be deleted in one call")
    refuse_dry_run(params)
    done: list[Reply] = []
    failed: list[Reply] = []
    for each in wanted:
        fleet = region.fleets.get(each)
        fault = _undeletable(each, fleet, len(instant), params["TerminateInstances"])
        if fleet is None or fault:
            code, text = fault or ("", "")
            failed.append({"FleetId": each, "Error": {"Code": code, "Message": text}})
        else:
            before = fleet.upkeep.state
            fleet.upkeep.end(params["TerminateInstances"])
            states = {"CurrentFleetState": fleet.upkeep.state, "PreviousFleetState": before}
            done.append({"FleetId": each, **states})
    return {"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": failed}


def _undeletable(fleet_id: str, fleet: Fleet | None, instant: int, terminates: bool) -> tuple[str, str] | None:
    """Give the code and the text of what stands against a deletion."""
    if not is_fleet_id(fleet_id):
        return "fleetIdMalformed", f"The fleet ID '{fleet_id}' is malformed"
    if fleet is None:
        return "fleetIdDoesNotExist", f"The fleet ID '{fleet_id}' does not exist"
    if fleet.is_instant and instant > _MOST_INSTANT:
        text = f"Can't delete more than {_MOST_INSTANT} instant fleets in a single request."
        return "ExceededInstantFleetNumForDeletion", text
    if fleet.is_instant and not terminates:
        text = "NoTerminateInstances option is not supported for instant fleet"
        return "NoTerminateInstancesNotSupported", text
    if fleet.upkeep.is_over and not (terminates and fleet.upkeep.state == "deleted_running"):
        return "fleetNotInDeletableState", f"The fleet '{fleet_id}' is not in a state in which it can be deleted"
    return None


def describe_fleets(region: Region, params: Params) -> Reply:
    """Show fleets; instant ones only when their ids are named.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeFleets.html
    """
    wanted = params.get("FleetIds")
    known = (
        [region.fleets.require(each) for each in wanted]
        if wanted
        else [each for each in region.fleets.every() if not each.is_instant]
    )
    page, token = filters.page(filters.select(known, params, _values, _FILTERS), params, PAGE, default=1000)
    return {"Fleets": [each.describe() for each in page], "NextToken": token}


def _values(fleet: Fleet, name: str) -> Iterable[str] | None:
    make = _FILTERS.get(name)
    return filters.of_tags(name, fleet.tags) if make is None else [make(fleet)]


# Filters have hyphens where the fields of the answer have underscores.
_FILTERS: dict[str, Any] = {
    "activity-status": lambda each: (each.activity or "").replace("_", "-"),
    "excess-capacity-termination-policy": lambda each: str(each.upkeep.terms.trims).lower(),
    "fleet-state": lambda each: each.upkeep.state.replace("_", "-"),
    "replace-unhealthy-instances": lambda each: str(bool(each.params.get("ReplaceUnhealthyInstances"))).lower(),
    "type": lambda each: each.kind,
}


def describe_fleet_instances(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeFleetInstances.html"""
    fleet = region.fleets.require(_id(params))
    _refuse_instant(fleet, "Describe fleet instances")
    found = filters.select(fleet.upkeep.machines, params, _instance_values, ("instance-type",))
    return {"FleetId": fleet.fleet_id, **active_instances(found, params)}


def _instance_values(instance: Instance, name: str) -> Iterable[str] | None:
    return [instance.blueprint.machine_type] if name == "instance-type" else None


def _refuse_instant(fleet: Fleet, what: str) -> None:
    if fleet.is_instant:
        text = f"Fleet {fleet.fleet_id} is instant fleet. {what} is not supported by this type of fleet"
        raise ServiceError("Unsupported", text)


def active_instances(found: list[Instance], params: Params) -> Reply:
    """Give a page of a fleet's machines."""
    page, token = filters.page(found, params, PAGE, default=1000)
    shown = [
        {
            "InstanceId": each.instance_id,
            "InstanceType": each.blueprint.machine_type,
            "SpotInstanceRequestId": each.spot_request.request_id if each.spot_request else None,
            "InstanceHealth": "healthy",
        }
        for each in page
    ]
    return {"ActiveInstances": shown, "NextToken": token}


def describe_fleet_history(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeFleetHistory.html

    The events' types are answered as the example of the AWS CLI and API_EventInformation.html have them
    (fleetRequestChange), and asked for as the call's parameter has them (fleet-change).
    """
    fleet = region.fleets.require(_id(params))
    _refuse_instant(fleet, "Describe fleet history")
    asked = params.get("EventType")
    if asked is not None and asked not in _EVENTS:
        raise invalid(f"Value ({asked}) for parameter eventType is invalid.")
    return {"FleetId": fleet.fleet_id, **history(fleet.upkeep, params, _EVENTS.get(asked or ""))}


def history(upkeep: Upkeep, params: Params, kind: str | None) -> Reply:
    """Give a page of a fleet's history."""
    start: datetime | None = params.get("StartTime")
    if start is None:
        raise missing("StartTime")
    events = upkeep.history.since(start, kind)
    page, token = filters.page(events, params, PAGE, default=1000)
    return {
        "HistoryRecords": [each.describe() for each in page],
        "LastEvaluatedTime": None if token else moment(events[-1].at if events else 0),
        "NextToken": token,
        "StartTime": start,
    }


OPERATIONS = {
    "CreateFleet": create_fleet,
    "ModifyFleet": modify_fleet,
    "DeleteFleets": delete_fleets,
    "DescribeFleets": describe_fleets,
    "DescribeFleetInstances": describe_fleet_instances,
    "DescribeFleetHistory": describe_fleet_history,
}
