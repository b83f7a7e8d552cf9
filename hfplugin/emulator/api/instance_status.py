"""The call about how machines are and what is scheduled for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.clock import moment
from hfplugin.emulator.description import state
from hfplugin.emulator.errors import conflicting, invalid
from hfplugin.emulator.instances import Instance
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

_PAGE = (5, 1000)
_MOST_IDS = 100


def describe_instance_status(region: Region, params: Params) -> Reply:
    """Show machines' checks, which every running one passes, and the events scheduled for them.

    Running ones only, unless all are asked for.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html
    """
    wanted = params.get("InstanceIds")
    if wanted and "MaxResults" in params:
        raise conflicting("The parameter instancesSet cannot be used with the parameter maxResults")
    if wanted and len(wanted) > _MOST_IDS:
        raise invalid(f"At most {_MOST_IDS} instances can be named in one call")
    known = region.instances.require(wanted) if wanted else region.instances.visible()
    shown = [each for each in known if each.state == "running" or params.get("IncludeAllInstances")]
    now = region.clock.now

    def values(instance: Instance, name: str) -> Iterable[str] | None:
        if name in _OF_EVENTS:
            return [_OF_EVENTS[name](event) for event in instance.scheduled if event.is_shown(now)]
        return [_OF_MACHINES[name](instance)] if name in _OF_MACHINES else None

    found = filters.select(shown, params, values, [*_OF_EVENTS, *_OF_MACHINES])
    page, token = filters.page(found, params, _PAGE)
    return {"InstanceStatuses": [_described(each, now) for each in page], "NextToken": token}


def _described(instance: Instance, now: float) -> Reply:
    check = _check(instance)
    return {
        "AvailabilityZone": instance.blueprint.zone,
        "InstanceId": instance.instance_id,
        "InstanceState": state(instance),
        "InstanceStatus": check,
        "SystemStatus": check,
        "Events": [each.describe() for each in instance.scheduled if each.is_shown(now)],
    }


def _check(instance: Instance) -> Reply:
    if instance.state != "running":
        return {"Status": "not-applicable"}
    return {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}


def _time(seconds: float) -> str:
    return f"{moment(seconds):%Y-%m-%dT%H:%M:%S}.000Z"


_OF_EVENTS: dict[str, Any] = {
    "event.code": lambda each: each.code,
    "event.description": lambda each: each.description,
    "event.instance-event-id": lambda each: each.event_id,
    "event.not-before": lambda each: _time(each.not_before),
}
_OF_MACHINES: dict[str, Any] = {
    "availability-zone": lambda each: each.blueprint.zone,
    "instance-state-code": lambda each: str(state(each)["Code"]),
    "instance-state-name": lambda each: each.state,
    "instance-status.status": lambda each: _check(each)["Status"],
    "system-status.status": lambda each: _check(each)["Status"],
}

OPERATIONS = {"DescribeInstanceStatus": describe_instance_status}
