"""How fleets and groups spread what they launch over their pools.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-allocation-strategy.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/allocation-strategies.html
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator.blueprint import Blueprint
from hfplugin.emulator.errors import ServiceError

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region


@dataclass(frozen=True)
class Pool:
    """One way to get a machine: what it is, what it counts for, and the override that it comes from."""

    blueprint: Blueprint
    weight: float = 1.0
    # The lower, the earlier; without a number last. AWS: 0 is the highest priority.
    priority: float = math.inf
    # What the caller wants to find again, such as the launch template and the override as they were given.
    origin: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass
class Allocation:
    """What could be taken from which pool, and which pools refused some."""

    taken: list[tuple[Pool, int]] = field(default_factory=list)
    refused: list[tuple[Pool, ServiceError]] = field(default_factory=list)

    @property
    def units(self) -> float:
        return sum(pool.weight * count for pool, count in self.taken)


def spread(
    region: Region, pools: Sequence[Pool], units: float, strategy: str, pools_to_use: int = 1
) -> Allocation:
    """Take room for machines worth `units` or, rounded up to whole machines, little more.

    All pools are of one purchase type. The strategy is AWS's, in either spelling (lowest-price, lowestPrice);
    `pools_to_use` is for lowest-price only. A pool that cannot give its part is noted as refused, and the next
    one in order takes its place. What was taken is to be launched, or given back to `region.capacity`.
    """
    name = strategy.replace("-", "").lower()
    waiting = ranked(region, pools, units, strategy)
    width = len(waiting) if name == "diversified" else pools_to_use if name == "lowestprice" else 1
    allocation = Allocation()
    counts: dict[int, int] = {}
    active = [waiting.pop(0) for _ in range(min(width, len(waiting)))]
    left = units
    while left > 0 and active:
        share = left / len(active)
        for pool in list(active):
            wanted = math.ceil(min(share, left) / pool.weight) if left > 0 else 0
            grant = region.capacity.grant(pool.blueprint, wanted)
            region.capacity.take(pool.blueprint, grant.machines)
            counts[id(pool)] = counts.get(id(pool), 0) + grant.machines
            left -= grant.machines * pool.weight
            if grant.refusal:
                allocation.refused.append((pool, grant.refusal))
                active[active.index(pool) : active.index(pool) + 1] = [waiting.pop(0)] if waiting else []
    allocation.taken = [(pool, counts[id(pool)]) for pool in pools if counts.get(id(pool))]
    return allocation


def ranked(region: Region, pools: Sequence[Pool], units: float, strategy: str) -> list[Pool]:
    """Order pools as a strategy goes through them."""
    return sorted(pools, key=_RANKS[strategy.replace("-", "").lower()](region, units))


_Rank = Callable[[Pool], tuple[float, ...]]


def _by_price(region: Region, units: float) -> _Rank:
    return lambda pool: (region.price(pool.blueprint) / pool.weight,)


def _by_priority(region: Region, units: float) -> _Rank:
    return lambda pool: (pool.priority,)


def _by_capacity(region: Region, units: float) -> _Rank:
    """The deepest pool first; of equally deep ones, one that is always the same."""
    return lambda pool: (-_room(region, pool), zlib.crc32(pool.blueprint.pool.encode()))


def _by_capacity_and_priority(region: Region, units: float) -> _Rank:
    """Pools that hold everything before those that do not; then the caller's priority."""
    return lambda pool: (_room(region, pool) < units / pool.weight, pool.priority, -_room(region, pool))


def _by_capacity_and_price(region: Region, units: float) -> _Rank:
    return lambda pool: (_room(region, pool) < units / pool.weight, region.price(pool.blueprint) / pool.weight)


def _room(region: Region, pool: Pool) -> float:
    room = region.capacity.room(pool.blueprint.pool, pool.blueprint.purchase)
    return math.inf if room is None else room


_RANKS: dict[str, Callable[[Region, float], _Rank]] = {
    "lowestprice": _by_price,
    "diversified": _by_price,
    "prioritized": _by_priority,
    "capacityoptimized": _by_capacity,
    "capacityoptimizedprioritized": _by_capacity_and_priority,
    "pricecapacityoptimized": _by_capacity_and_price,
}
