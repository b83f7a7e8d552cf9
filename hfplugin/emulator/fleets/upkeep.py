"""What keeps a fleet at its target: the first launch, another try, replacement, a change, the end.

EC2 Fleet and Spot Fleet share it; they differ in words. Sources:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/EC2-fleet-states.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-requests.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hfplugin.emulator import interruption
from hfplugin.emulator.allocation import Allocation, Pool, spread
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.fleets.history import History
from hfplugin.emulator.fleets.pools import Line, Offer, offered
from hfplugin.emulator.instances import Instance, Origin

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

PURCHASES = (ON_DEMAND, SPOT)

# Both pages above: the record of a fleet is gone two days after it and its machines.
_KEPT_SECONDS = 48 * 3600

# A fleet hears of a loss a moment before the machine's own end is planned.
_MARGIN_SECONDS = 1.0


@dataclass(frozen=True)
class Terms:
    """What a fleet was asked for."""

    lines: Sequence[Line]
    # By purchase type: how many units, and the strategy that spreads them.
    units: Mapping[str, float]
    strategies: Mapping[str, str]
    pools_to_use: int = 1
    # maintain: what is lost is replaced.
    replaces: bool = False
    # Machines beyond a target that was lowered are ended.
    trims: bool = True
    # What an interruption does to spot machines: terminate, stop or hibernate.
    interruption: str = "terminate"
    starts: float | None = None
    expires: float | None = None
    ends_with_expiry: bool = False

    @property
    def total(self) -> float:
        return sum(self.units.values())

    def retargeted(self, units: Mapping[str, float], trims: bool | None = None) -> Terms:
        return replace(self, units=units, trims=self.trims if trims is None else trims)


@dataclass
class Reserved:
    """Room that was taken for a fleet by purchase type, and what stood against more."""

    allocations: dict[str, Allocation] = field(default_factory=dict)
    offer: Offer = field(default_factory=Offer)

    def units(self, purchase: str) -> float:
        return self.allocations[purchase].units if purchase in self.allocations else 0.0

    @property
    def has_failed(self) -> bool:
        return bool(self.offer.faults) or any(each.refused for each in self.allocations.values())


class Upkeep:
    """A fleet's machines and its state.

    `label` is the system tag of its machines; `ending` the word of its last states: deleted or cancelled.
    """

    def __init__(self, region: Region, label: tuple[str, str], ending: str, terms: Terms) -> None:
        self._region = region
        self._label = label
        self._ending = ending
        self.terms = terms
        self.state = "submitted"
        self.history = History(region.clock)
        self.machines: dict[Instance, Pool] = {}
        self.closed: float | None = None
        self._launched = dict.fromkeys(PURCHASES, 0.0)
        self._ever: list[Instance] = []
        self._leaving: set[Instance] = set()
        self._has_failed = False
        self._is_filling_planned = False
        self._is_retry_planned = False

    @property
    def is_over(self) -> bool:
        return self.state.startswith(self._ending)

    @property
    def is_forgotten(self) -> bool:
        return self.closed is not None and self._region.clock.now >= self.closed + _KEPT_SECONDS

    @property
    def counts(self) -> bool:
        """Whether it counts towards the quota of fleets."""
        return self.state in ("submitted", "active", "modifying", f"{self._ending}_running")

    @property
    def activity(self) -> str:
        """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetData.html"""
        if self._leaving:
            return "pending_termination"
        if self.units() >= self.terms.total and self.state != "submitted":
            return "fulfilled"
        return "error" if self._has_failed else "pending_fulfillment"

    def units(self, *purchases: str) -> float:
        """Count the units that live; of some purchase types, or of all."""
        wanted = purchases or PURCHASES
        return sum(pool.weight for pool in self.machines.values() if pool.blueprint.purchase in wanted)

    def holding(self) -> dict[str, str]:
        return {"region": self._region.name, "state": self.state}

    def start(self) -> None:
        """Begin to act: after a while, and not before the fleet's own time."""
        clock, terms = self._region.clock, self.terms
        self.history.changed(self.state)
        wait = max(self._region.settings.fleet_seconds, (terms.starts or 0) - clock.now)
        clock.after(wait, self._activate)
        if terms.expires is not None:
            clock.after(max(terms.expires - clock.now, 0), self._expire)

    def _activate(self) -> None:
        if self.state == "submitted":
            self._enter("active")
            self._fill()

    def _enter(self, state: str, text: str = "") -> None:
        self.state = state
        self.history.changed(state, text)

    def _expire(self) -> None:
        if not self.is_over:
            self.history.changed("expired")
            self.end(self.terms.ends_with_expiry)

    def reserve(self, missing: Mapping[str, float]) -> Reserved:
        """Take room for what is missing."""
        offer = offered(self._region, self.terms.lines)
        reserved = Reserved(offer=offer)
        for purchase, units in missing.items():
            reserved.allocations[purchase] = self.spread(self.bought(offer.pools, purchase), purchase, units)
        return reserved

    def bought(self, pools: Sequence[Pool], purchase: str) -> list[Pool]:
        """Give the same pools under a purchase type; spot machines are not of a reservation."""
        return [
            replace(
                pool,
                blueprint=replace(
                    pool.blueprint.bought(purchase, pool.blueprint.max_price),
                    reservation_id=pool.blueprint.reservation_id if purchase == ON_DEMAND else "",
                    request_type="one-time",
                    interruption=self.terms.interruption,
                ),
            )
            for pool in pools
        ]

    def spread(self, pools: list[Pool], purchase: str, units: float) -> Allocation:
        """Take room in these pools, after the fleet's strategy.

        Diversified spot fleets leave out pools that cost as much as on demand. Source:
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-allocation-strategy.html
        """
        strategy = self.terms.strategies[purchase]
        if strategy == "diversified":
            pools = [each for each in pools if self._is_cheap(each)]
        return spread(self._region, pools, units, strategy, self.terms.pools_to_use if purchase == SPOT else 1)

    def _is_cheap(self, pool: Pool) -> bool:
        price = self._region.price
        return price(pool.blueprint) < price(pool.blueprint.bought(ON_DEMAND))

    def launch(self, reserved: Reserved) -> list[tuple[Pool, list[Instance]]]:
        """Launch machines into the room that was taken."""
        origin = Origin(tags=dict([self._label]), owner=self)
        made = [
            (pool, self._region.instances.launch(pool.blueprint, count, origin))
            for allocation in reserved.allocations.values()
            for pool, count in allocation.taken
        ]
        for pool, instances in made:
            for instance in instances:
                self._join(instance, pool)
        return made

    def _join(self, instance: Instance, pool: Pool) -> None:
        self.machines[instance] = pool
        self._ever.append(instance)
        self._launched[pool.blueprint.purchase] += pool.weight
        self.history.launched(instance)

    def give_back(self, allocation: Allocation) -> None:
        """Give up room that was taken."""
        for pool, count in allocation.taken:
            self._region.capacity.take(pool.blueprint, -count)

    def _fill(self) -> None:
        """Launch what is missing, and try again later if some of it was refused."""
        self._is_filling_planned = False
        if self.state != "active":
            return
        missing = self._missing()
        if missing:
            reserved = self.reserve(missing)
            self.launch(reserved)
            self._note_refusals(reserved)
        self._has_failed = bool(self._missing())
        if self._has_failed and not self._is_retry_planned:
            self._is_retry_planned = True
            self._region.clock.after(self._region.settings.retry_seconds, self._retry)

    def _retry(self) -> None:
        self._is_retry_planned = False
        self._fill()

    def _note_refusals(self, reserved: Reserved) -> None:
        for _, error in reserved.offer.faults:
            self.history.refused(error)
        for allocation in reserved.allocations.values():
            for pool, error in allocation.refused:
                self.history.refused(error, pool.blueprint)

    def _missing(self) -> dict[str, float]:
        """Count the units to launch: what does not live, or, when nothing is replaced, what never did."""
        missing = {each: self.terms.units[each] - self._held(each) for each in PURCHASES}
        return {purchase: units for purchase, units in missing.items() if units > 0}

    def _held(self, purchase: str) -> float:
        if not self.terms.replaces:
            return self._launched[purchase]
        return self.units(purchase) - sum(
            self.machines[each].weight for each in self._leaving if each.blueprint.purchase == purchase
        )

    def lost(self, instance: Instance) -> None:
        """Hear that a machine shuts down or stopped; a fleet that replaces will do so in a while."""
        self._leaving.discard(instance)
        was_held = self.machines.pop(instance, None) is not None
        if was_held and not instance.is_alive:
            self.history.ended(instance)
        if self.is_over:
            self._close_after(_MARGIN_SECONDS)
        elif was_held and self.terms.replaces and not self._is_filling_planned:
            self._is_filling_planned = True
            self._region.clock.after(self._region.settings.fleet_seconds, self._fill)

    def change(self, terms: Terms) -> None:
        """Take over new terms, which hold at once; what they bring is done in a while."""
        self.terms = terms
        self.history.changed(
            "modify_in_progress", f"Modify request received. Requested targetCapacity: {terms.total:g}"
        )
        if self.state == "active":
            self.state = "modifying"
        self._region.clock.after(self._region.settings.fleet_seconds, self._finish_change)

    def _finish_change(self) -> None:
        if self.is_over:
            return
        self.history.changed("modify_succeeded", f"New targetCapacity: {self.terms.total:g}")
        if self.state == "modifying":
            self.state = "active"
            if self.terms.trims:
                self._trim()
            self._fill()

    def _trim(self) -> None:
        """End the machines that the target can do without: spot ones with notice.

        Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/modify-ec2-fleet.html, and
        `termination_notified` of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EventInformation.html
        """
        for purchase in PURCHASES:
            excess = self._held(purchase) - self.terms.units[purchase]
            for instance in self._dispensable(purchase):
                weight = self.machines[instance].weight
                if weight <= excess:
                    excess -= weight
                    self._dismiss(instance)

    def _dispensable(self, purchase: str) -> list[Instance]:
        """Order machines for their end: by lowest-price the dearest unit first, else the fullest pool's last."""
        pairs = [
            (each, pool)
            for each, pool in self.machines.items()
            if pool.blueprint.purchase == purchase and each not in self._leaving
        ]
        if self.terms.strategies[purchase].replace("-", "").lower() == "lowestprice":
            price = self._region.price
            return [each for each, _ in sorted(pairs, key=lambda pair: -price(pair[1].blueprint) / pair[1].weight)]
        seen: Counter[tuple[str, str]] = Counter()
        ranked = []
        for each, pool in pairs:
            seen[pool.blueprint.pool, purchase] += 1
            ranked.append((seen[pool.blueprint.pool, purchase], each))
        return [each for _, each in sorted(ranked, key=lambda pair: -pair[0])]

    def _dismiss(self, instance: Instance) -> None:
        if instance.spot_request is None:
            self._region.instances.terminate([instance])
            return
        self._leaving.add(instance)
        self.history.notified(instance)
        interruption.interrupt(self._region, instance)

    def end(self, terminates: bool) -> None:
        """Launch nothing any more; the machines end too, or live on."""
        self._enter(f"{self._ending}_{'terminating' if terminates else 'running'}")
        if terminates:
            self._region.instances.terminate(list(self.machines))
        self._close_after(0)

    def _close_after(self, margin: float) -> None:
        self._region.clock.after(self._region.settings.shutdown_seconds + margin, self._close)

    def _close(self) -> None:
        """Note that a fleet that is over has no machine left."""
        if self.is_over and self.closed is None and all(each.state == "terminated" for each in self._ever):
            self._enter(self._ending)
            self.closed = self._region.clock.now
