"""The calls about Spot Fleet requests."""

from __future__ import annotations

from hfplugin.emulator import filters
from hfplugin.emulator.api.fleets import PAGE, active_instances, history
from hfplugin.emulator.errors import invalid, missing
from hfplugin.emulator.fleets.rules import refuse_dry_run
from hfplugin.emulator.fleets.spot_fleets import SpotFleet, is_request_id
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotFleetRequests.html
_MOST_CANCELLED = 100

_EVENTS = ("instanceChange", "fleetRequestChange", "error", "information")


def request_spot_fleet(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestSpotFleet.html"""
    if "SpotFleetRequestConfig" not in params:
        raise missing("SpotFleetRequestConfig")
    config = params["SpotFleetRequestConfig"]
    is_dry = bool(params.get("DryRun"))
    made = region.tokens.once(
        "RequestSpotFleet", config, lambda _: region.spot_fleets.create(config, is_dry).request_id
    )
    return {"SpotFleetRequestId": made}


def describe_spot_fleet_requests(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetRequests.html"""
    wanted = params.get("SpotFleetRequestIds")
    known = [region.spot_fleets.require(each) for each in wanted] if wanted else list(region.spot_fleets.every())
    page, token = filters.page(known, params, PAGE, default=1000)
    return {"SpotFleetRequestConfigs": [each.describe() for each in page], "NextToken": token}


def _named(region: Region, params: Params) -> SpotFleet:
    if "SpotFleetRequestId" not in params:
        raise missing("SpotFleetRequestId")
    return region.spot_fleets.require(params["SpotFleetRequestId"])


def describe_spot_fleet_instances(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetInstances.html"""
    fleet = _named(region, params)
    return {"SpotFleetRequestId": fleet.request_id, **active_instances(list(fleet.upkeep.machines), params)}


def describe_spot_fleet_request_history(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotFleetRequestHistory.html"""
    fleet = _named(region, params)
    asked = params.get("EventType")
    if asked not in (None, *_EVENTS):
        raise invalid(f"Value ({asked}) for parameter eventType is invalid.")
    return {"SpotFleetRequestId": fleet.request_id, **history(fleet.upkeep, params, asked)}


def modify_spot_fleet_request(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySpotFleetRequest.html"""
    region.spot_fleets.modify(_named(region, params), params)
    return {"Return": True}


def cancel_spot_fleet_requests(region: Region, params: Params) -> Reply:
    """Cancel requests, each by itself.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotFleetRequests.html
    """
    for name in ("SpotFleetRequestIds", "TerminateInstances"):
        if name not in params:
            raise missing(name)
    wanted = list(dict.fromkeys(params["SpotFleetRequestIds"]))
    if len(wanted) > _MOST_CANCELLED:
        raise invalid(f"At most {_MOST_CANCELLED} Spot Fleet requests can be cancelled in one call")
    refuse_dry_run(params)
    done: list[Reply] = []
    failed: list[Reply] = []
    for each in wanted:
        fleet = region.spot_fleets.get(each)
        fault = _uncancellable(each, fleet, params["TerminateInstances"])
        if fleet is None or fault:
            code, text = fault or ("", "")
            failed.append({"SpotFleetRequestId": each, "Error": {"Code": code, "Message": text}})
        else:
            done.append(_cancelled(fleet, params["TerminateInstances"]))
    return {"SuccessfulFleetRequests": done, "UnsuccessfulFleetRequests": failed}


def _cancelled(fleet: SpotFleet, terminates: bool) -> Reply:
    before = fleet.upkeep.state
    fleet.upkeep.end(terminates)
    return {
        "SpotFleetRequestId": fleet.request_id,
        "PreviousSpotFleetRequestState": before,
        "CurrentSpotFleetRequestState": fleet.upkeep.state,
    }


def _uncancellable(request_id: str, fleet: SpotFleet | None, terminates: bool) -> tuple[str, str] | None:
    """Give the code and the text of what stands against it; the texts are made up."""
    if not is_request_id(request_id):
        return "fleetRequestIdMalformed", f"The spot fleet request ID '{request_id}' is malformed"
    if fleet is None:
        return "fleetRequestIdDoesNotExist", f"The spot fleet request ID '{request_id}' does not exist"
    if fleet.upkeep.is_over and not (terminates and fleet.upkeep.state == "cancelled_running"):
        text = f"The spot fleet request '{request_id}' is not in a state in which it can be cancelled"
        return "fleetRequestNotInCancellableState", text
    return None


OPERATIONS = {
    "RequestSpotFleet": request_spot_fleet,
    "DescribeSpotFleetRequests": describe_spot_fleet_requests,
    "DescribeSpotFleetInstances": describe_spot_fleet_instances,
    "DescribeSpotFleetRequestHistory": describe_spot_fleet_request_history,
    "ModifySpotFleetRequest": modify_spot_fleet_request,
    "CancelSpotFleetRequests": cancel_spot_fleet_requests,
}
