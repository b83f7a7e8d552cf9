"""A fleet of type instant: one attempt, whose answer tells what came of it.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instant-fleet.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotOptionsRequest.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.emulator.allocation import Allocation, Pool, ranked
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.fleets.pools import Line, line_of, offered, unsupported
from hfplugin.emulator.fleets.upkeep import PURCHASES, Reserved, Upkeep
from hfplugin.emulator.instances import Instance

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_POINTER = ServiceError(
    "UnfulfillableCapacity", "Failed to fulfill capacity. Please review errors in the response."
)
_MINIMUM = ServiceError(
    "UnfulfillableCapacity",
    "Unable to fulfill request due to MinTargetCapacity constraints. Please adjust your request.",
)


class Bounds(NamedTuple):
    """What SpotOptions or OnDemandOptions bind the machines of their purchase type to."""

    single_type: bool = False
    single_zone: bool = False
    minimum: float = 0.0


class Refusal(NamedTuple):
    """One entry of the answer's Errors."""

    line: Line
    purchase: str
    error: ServiceError


@dataclass
class Outcome:
    """What an instant fleet brought."""

    launched: list[tuple[Pool, list[Instance]]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def launch(region: Region, upkeep: Upkeep, bounds: Mapping[str, Bounds]) -> Outcome:
    """Launch what can be had at once. When a minimum is not reached, nothing is launched at all."""
    offer = offered(region, upkeep.terms.lines)
    reserved = Reserved(offer=offer)
    wanted = {purchase: units for purchase in PURCHASES if (units := upkeep.terms.units[purchase]) > 0}
    for purchase, units in wanted.items():
        pools = upkeep.bought(offer.pools, purchase)
        reserved.allocations[purchase] = _best(region, upkeep, pools, units, (purchase, bounds[purchase]))
    short = [each for each in wanted if reserved.units(each) < bounds[each].minimum]
    if short:
        for allocation in reserved.allocations.values():
            upkeep.give_back(allocation)
            allocation.taken = []
    upkeep.state = "active"
    launched = upkeep.launch(reserved)
    rest = None if launched else _MINIMUM if short else _POINTER
    refused = [each for purchase in wanted for each in _refusals(upkeep.terms.lines, reserved, purchase, rest)]
    return Outcome(launched, refused)


def _best(
    region: Region, upkeep: Upkeep, pools: list[Pool], units: float, bound: tuple[str, Bounds]
) -> Allocation:
    """Take room, in one type or zone if it has to be one: the first that has all, else that with the most."""
    purchase, bounds = bound
    groups: dict[tuple[str, str], list[Pool]] = {}
    for pool in ranked(region, pools, units, upkeep.terms.strategies[purchase]):
        blueprint = pool.blueprint
        key = (blueprint.machine_type if bounds.single_type else "", blueprint.zone if bounds.single_zone else "")
        groups.setdefault(key, []).append(pool)
    best: list[Pool] = []
    most = 0.0
    refused: list[tuple[Pool, ServiceError]] = []
    for group in groups.values():
        allocation = upkeep.spread(group, purchase, units)
        if allocation.units >= units or len(groups) == 1:
            return allocation
        upkeep.give_back(allocation)
        refused += allocation.refused
        if allocation.units > most:
            best, most = group, allocation.units
    allocation = upkeep.spread(best, purchase, units)
    allocation.refused = refused
    return allocation


def _refusals(
    lines: Sequence[Line], reserved: Reserved, purchase: str, rest: ServiceError | None
) -> Iterator[Refusal]:
    """Give each line once with each code that stood against it; if there is a `rest`, the other lines with it."""
    allocation = reserved.allocations[purchase]
    found = [
        *reserved.offer.faults,
        *((line_of(pool), _worded(pool, error)) for pool, error in allocation.refused),
    ]
    told: set[tuple[int, str]] = set()
    for line, error in found:
        if (line.number, error.code) not in told:
            told.add((line.number, error.code))
            yield Refusal(line, purchase, error)
    named = {number for number, _ in told}
    for line in lines if rest else ():
        if rest and line.number not in named:
            yield Refusal(line, purchase, rest)


def _worded(pool: Pool, error: ServiceError) -> ServiceError:
    """Say in a fleet's words that a zone does not have a type, for which RunInstances has another code."""
    is_absent = error.code == "Unsupported"
    return unsupported(pool.blueprint.machine_type, pool.blueprint.zone) if is_absent else error
