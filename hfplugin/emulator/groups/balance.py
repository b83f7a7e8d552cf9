"""How a group keeps its zones alike: where it launches, and which machine goes first when it shrinks.

Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.emulator.allocation import Allocation, Pool, spread
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.groups.members import Member
from hfplugin.emulator.groups.mixtures import Mixture
from hfplugin.emulator.groups.parameters import GroupSettings

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region


class Strategy(NamedTuple):
    name: str
    pools_to_use: int = 1


class Need(NamedTuple):
    """What a group lacks: the units that it has by zone, those of them that are on-demand, and those to come."""

    by_zone: Counter[str]
    on_demand: int
    missing: int


def fill(
    region: Region, pools: Sequence[Pool], units: float, held: Counter[str], strategy: Strategy
) -> Allocation:
    """Take room for machines worth `units`, the emptiest zone first, and count them in `held`.

    What a zone refuses goes to the others.
    """
    zones = list(dict.fromkeys(pool.blueprint.zone for pool in pools))
    total = Allocation()
    left = units
    while left > 0 and zones:
        zone = min(zones, key=lambda each: held[each])
        share = _share([held[each] for each in zones], left)
        inside = [pool for pool in pools if pool.blueprint.zone == zone]
        part = spread(region, inside, share, *strategy)
        total.taken += part.taken
        total.refused += part.refused
        held[zone] += int(part.units)
        left -= part.units
        if part.units < share:
            zones.remove(zone)
    return total


def _share(held: Sequence[int], units: float) -> int:
    """Give what the emptiest zone gets so that all come to the same level, as far as the units reach."""
    lowest, *others = sorted(held)
    level, zones, left = float(lowest), 1, units
    for other in others:
        step = (other - level) * zones
        if step >= left:
            break
        level, zones, left = other, zones + 1, left - step
    return max(math.ceil(level + left / zones - lowest), 1)


def allocate(region: Region, mixture: Mixture, pools: list[Pool], need: Need) -> dict[str, tuple[int, Allocation]]:
    """Take room for what is missing: by purchase type, the units that were wanted and what there is.

    Spot that is not to be had is not replaced by on-demand, nor the other way round. Source:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups.html
    """
    held = Counter(need.by_zone)
    terms = mixture.distribution
    if terms is None:
        return {"": (need.missing, fill(region, pools, need.missing, held, Strategy("prioritized")))}
    total = need.by_zone.total() + need.missing
    on_demand = min(max(terms.on_demand_part(total) - need.on_demand, 0), need.missing)
    found: dict[str, tuple[int, Allocation]] = {}
    if on_demand:
        bought = _bought(pools, ON_DEMAND)
        strategy = Strategy(terms.OnDemandAllocationStrategy)
        found[ON_DEMAND] = on_demand, fill(region, bought, on_demand, held, strategy)
    over = found[ON_DEMAND][1].units - on_demand if on_demand else 0
    spot = need.missing - on_demand - max(int(over), 0)
    if spot > 0:
        bought = _bought(pools, SPOT, terms.max_price)
        strategy = Strategy(terms.SpotAllocationStrategy, terms.pools)
        found[SPOT] = spot, fill(region, bought, spot, held, strategy)
    return found


def _bought(pools: list[Pool], purchase: str, max_price: float | None = None) -> list[Pool]:
    return [
        Pool(pool.blueprint.bought(purchase, max_price), pool.weight, pool.priority, pool.origin) for pool in pools
    ]


def leaving(members: Sequence[Member], surplus: int, settings: GroupSettings) -> list[Member]:
    """Choose members worth no more than the surplus: never protected ones, unhealthy ones first.

    Then, as in AWS: the zone with the most, the group's termination policies in their order, the oldest. The
    default policy prefers the purchase type that there is too much of, former launch templates, old versions.
    """
    zones = Counter(each.instance.blueprint.zone for each in members)
    terms = settings.mixture.distribution
    held = sum(each.units for each in members if _is_on_demand(each))
    excess = held - terms.on_demand_part(settings.desired) if terms else 0
    order = _order(zones, excess > 0, settings)
    alike: dict[tuple[object, ...], list[Member]] = {}
    for each in sorted((each for each in members if not each.is_protected), key=order, reverse=True):
        alike.setdefault(_kind(each), []).append(each)
    chosen: list[Member] = []
    while firsts := [kind[-1] for kind in alike.values() if kind and kind[-1].units <= surplus]:
        member = min(firsts, key=_order(zones, excess > 0, settings))
        chosen.append(alike[_kind(member)].pop())
        surplus -= member.units
        zones[member.instance.blueprint.zone] -= 1
        excess -= member.units if _is_on_demand(member) else 0
    return chosen


def _kind(member: Member) -> tuple[object, ...]:
    """Tell apart members between which the order changes while others leave."""
    return member.instance.blueprint.zone, _is_on_demand(member), member.is_healthy, member.units


def _is_on_demand(member: Member) -> bool:
    return member.instance.blueprint.purchase == ON_DEMAND


_Rank = tuple[float, ...]


def _order(zones: Counter[str], is_on_demand_first: bool, settings: GroupSettings) -> Callable[[Member], _Rank]:
    current = settings.mixture.template_ids

    def order(member: Member) -> _Rank:
        purchase = _is_on_demand(member) != is_on_demand_first
        is_current = member.template.get("LaunchTemplateId") in current
        version = (is_current, int(member.template.get("Version", 0)))
        launched = member.instance.launched
        keys: dict[str, _Rank] = {
            "Default": (purchase, *version),
            "AllocationStrategy": (purchase,),
            "NewestInstance": (-launched,),
            "OldestInstance": (launched,),
            "OldestLaunchTemplate": version,
        }
        own = [rank for policy in settings.policies for rank in keys.get(policy, ())]
        return (member.is_healthy, -zones[member.instance.blueprint.zone], *own, launched)

    return order
