"""What machines teach that EC2 took for launched and ended at once: their pools had no room."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hfplugin.errors import ErrorKind
from hfplugin.model import Refusal
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, code_of_state_reason, judged
from hfplugin.providers.aws.pools import Memory, Pool
from hfplugin.providers.base.health.refusals import CAPACITY_SECONDS
from hfplugin.providers.base.provider import Sighting

_NO_CAPACITY = "InsufficientInstanceCapacity"

# An instance as EC2 describes it, and what is read of it.
Described = tuple[Sighting, Mapping[str, Any]]


def learn(clients: Clients, region: str, gone: Iterable[Described]) -> None:
    """Remember the pools that had no room for machines which were launched into them and ended at once.

    EC2 no longer tells the subnet of a terminated machine: all that are in its zone have the same pool.
    """
    lacking = [each for each in gone if _why(*each) == _NO_CAPACITY and _is_news(each[0]) and _is_plain(each[1])]
    if not lacking:
        return
    subnets = _subnets_by_zone(clients, region, {each.zone for each, _ in lacking})
    refused = [
        (
            Pool(region, each.price_type, each.machine_type, subnet),
            Refusal(ErrorKind.CAPACITY, _NO_CAPACITY, _text(instance["StateReason"]), each.zone),
        )
        for each, instance in lacking
        for subnet in subnets.get(each.zone, ())
    ]
    Memory(clients.health, lacking[0][0].account).note(refused)


def _why(sighting: Sighting, instance: Mapping[str, Any]) -> str:
    """Give the code for which a machine has gone; empty when somebody ended it."""
    reason = instance.get("StateReason", {})
    code = code_of_state_reason(reason.get("Code", ""))
    if code:
        judged(code, _text(reason), f"{sighting.id} in {sighting.zone}")
    return code


def _text(reason: Mapping[str, str]) -> str:
    """Give a StateReason's message, which usually begins with its own code."""
    return reason.get("Message", "").removeprefix(reason.get("Code", "")).lstrip(": ")


def _is_news(sighting: Sighting) -> bool:
    """True when what happened at its launch still says something about now."""
    return time.time() - sighting.launch_time < CAPACITY_SECONDS


def _is_plain(instance: Mapping[str, Any]) -> bool:
    """True when it was to be like any other of its type: in no placement group, and on nobody's own hardware."""
    placement = instance.get("Placement", {})
    return not placement.get("GroupName") and placement.get("Tenancy", "default") == "default"


def _subnets_by_zone(clients: Clients, region: str, zones: Collection[str]) -> dict[str, list[str]]:
    wanted: Any = [{"Name": "availability-zone", "Values": sorted(zones)}]
    found: dict[str, list[str]] = {}
    try:
        for subnet in clients.ec2(region).describe_subnets(Filters=wanted)["Subnets"]:
            found.setdefault(subnet["AvailabilityZone"], []).append(subnet["SubnetId"])
    except AWS_ERRORS:
        return {}  # what is not remembered costs a call some day; the machines are observed for all that
    return found
