"""How capacity is bought: which part on demand and which spot, by which allocation strategy, until when.

Strategies are spelled by IBM in camelCase, by EC2 Fleet and Auto Scaling with hyphens, by Spot Fleet in camelCase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.model import Launch, LaunchState

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# AWS recommends it: the fewest interruptions for a low price.
DEFAULT_SPOT = "priceCapacityOptimized"
DEFAULT_ON_DEMAND = "lowestPrice"

_HYPHENATED = {
    "capacityOptimized": "capacity-optimized",
    "capacityOptimizedPrioritized": "capacity-optimized-prioritized",
    "diversified": "diversified",
    "lowestPrice": "lowest-price",
    "priceCapacityOptimized": "price-capacity-optimized",
    "prioritized": "prioritized",
}


class Split(NamedTuple):
    """Units by purchase type."""

    on_demand: int
    spot: int

    @property
    def total(self) -> int:
        return self.on_demand + self.spot


def base_left(template: AWSTemplate, past: Iterable[Launch]) -> int:
    """Give what is left of a request's base on demand after its earlier launches: it is had once, not by each."""
    asked = sum(launch.units for launch in past if launch.state is not LaunchState.REFUSED)
    return max(0, (template.on_demand_base_capacity or 0) - asked)


def split(template: AWSTemplate, units: int, base: int) -> Split:
    """Part the units: the base and then a share on demand, rounded up, the rest spot.

    priceType heterogeneous without a share is spot first: what it does not give is bought on demand afterwards.
    """
    if not template.is_spot:
        return Split(units, 0)
    return part(units, base, template.on_demand_share)


def part(units: int, base: int, share: float) -> Split:
    """Give the base, and the share of the rest rounded up, to on demand; a float's dust rounds nothing up."""
    base = min(units, base)
    on_demand = base + math.ceil((units - base) * share - 1e-9)
    return Split(on_demand, units - on_demand)


def valid_until(template: AWSTemplate, now: float) -> str:
    """Give the moment after which a fleet brings nothing more, as text: a record keeps it for every replay."""
    until = datetime.fromtimestamp(now + template.validity_minutes * 60, UTC)
    return until.strftime("%Y-%m-%dT%H:%M:%SZ")


def hyphenated(strategy: str) -> str:
    """Give a strategy as EC2 Fleet and Auto Scaling spell it."""
    return _HYPHENATED[strategy]
