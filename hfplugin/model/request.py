"""HostFactory's orders for machines, with all that came of each."""

from enum import StrEnum
from typing import NamedTuple

from hfplugin.model.launch import Launch, LaunchState, Refusal, Template
from hfplugin.model.machine import Machine, Result, counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hfplugin.providers.base.provider import Sighting


class RequestStatus(StrEnum):
    """What HostFactory hears of a request as a whole."""

    RUNNING = "running"
    COMPLETE = "complete"
    COMPLETE_WITH_ERROR = "complete_with_error"


class Phase(StrEnum):
    """Where a request stands: open (launching), closing (only observing), closed (said for good)."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


def _by_price(machines: "Iterable[Machine]") -> dict[str, int]:
    units: dict[str, int] = {}
    for machine in machines:
        units[machine.price_type] = units.get(machine.price_type, 0) + machine.units
    return units


class Request(NamedTuple):
    """HostFactory's order for `units` capacity units of one template, and all that came of it.

    `blind` is the seconds in which the cloud could not be observed, `blind_since` the start of such a time
    that still lasts; neither counts against `deadline` nor against a machine's pending time-out. `trouble` is
    why the last attempt to launch did not get as far as a launch. `unclaimed_since` is what the activity clock
    showed when it was made, None once HostFactory has asked about it. `withdrawn` is why all of it was given back
    without HostFactory's asking, empty when that did not happen.
    """

    id: str
    template: Template
    units: int
    created: float
    deadline: float
    pending_timeout: int
    phase: Phase = Phase.OPEN
    status: RequestStatus = RequestStatus.RUNNING
    launches: tuple[Launch, ...] = ()
    machines: tuple[Machine, ...] = ()
    blind: float = 0.0
    blind_since: float | None = None
    trouble: tuple[Refusal, ...] = ()
    closed_at: float = 0.0
    unclaimed_since: float | None = None
    withdrawn: str = ""
    generation: int = 0

    @property
    def is_closed(self) -> bool:
        return self.phase is Phase.CLOSED

    @property
    def live_machines(self) -> tuple[Machine, ...]:
        return tuple(machine for machine in self.machines if machine.is_live)

    @property
    def condemned(self) -> tuple[Machine, ...]:
        """Machines that were reported failed and still run: they have to be given back."""
        return tuple(m for m in self.machines if m.result is Result.FAIL and m.is_live and not m.return_id)

    @property
    def exhausted_attempts(self) -> frozenset[int]:
        """The attempts whose place is not to be asked again: it refused, gave nothing, or what it gave failed.

        A place that gave fewer than asked is asked once more for the rest: its refusal then names the reason.
        """
        failed = {m.attempt for m in self.machines if m.result is Result.FAIL and not m.return_id}
        fruitful = {machine.attempt for machine in self.machines}
        return frozenset(
            launch.attempt
            for launch in self.launches
            if launch.attempt in failed
            or launch.is_stopped
            or (self._is_short(launch) and launch.is_refused_capacity)
            or (launch.state is LaunchState.SETTLED and launch.attempt not in fruitful)
        )

    def _is_short(self, launch: Launch) -> bool:
        """True when it brought fewer units than asked: a fleet may name pools that refused and yet bring all."""
        return sum(machine.units for machine in self.machines_of(launch)) < launch.units

    @property
    def lacking(self) -> int:
        """Units that have not been delivered, promised or not; negative: so many more than were asked for."""
        return self.units - sum(machine.units for machine in self.machines if counts(machine))

    @property
    def shortfall(self) -> int:
        """Units still to be asked for: not delivered, not on their way, not possibly launched already."""
        return max(0, self.lacking - sum(self.promised(launch) for launch in self.launches))

    def promised(self, launch: Launch) -> int:
        """Units that a launch may still bring; what has come of it counts by itself."""
        if not launch.state.is_open or launch.is_stopped:
            return 0
        return self.undelivered(launch) if launch.is_delivering else launch.units

    def spared(self, launch: Launch) -> int:
        """Machines that a launch was asked for and will not bring."""
        is_over = launch.is_stopped or not launch.state.is_open
        return max(0, launch.machines - len(self.machines_of(launch))) if is_over else 0

    def undelivered(self, launch: Launch) -> int:
        """Units of a source that it neither holds nor was told to do without: what it lost, it replaces."""
        had = (m.units for m in self.machines_of(launch) if counts(m) or m.is_dismissed)
        return max(0, launch.units - sum(had))

    def machines_of(self, launch: Launch) -> tuple[Machine, ...]:
        return tuple(machine for machine in self.machines if machine.attempt == launch.attempt)

    def spent(self, launch: Launch) -> dict[str, int]:
        """Units, by price type, of the launch's machines that need no place in its source any more.

        Those that were given back; once the request brings nothing more, also those that were lost.
        """
        is_over = self.phase is not Phase.OPEN
        return _by_price(
            m
            for m in self.machines_of(launch)
            if m.return_id or m.is_dismissed or (is_over and m.result is Result.FAIL)
        )

    def held(self, launch: Launch) -> dict[str, int]:
        """Units, by price type, of the launch's machines that are to stay."""
        return _by_price(
            m
            for m in self.machines_of(launch)
            if m.is_live and m.result is not Result.FAIL and not (m.return_id or m.is_lost)
        )

    @property
    def outstanding_units(self) -> int:
        """Units that count against the template's maxNumber."""
        live = sum(machine.units for machine in self.machines if machine.is_live)
        if self.is_closed:
            return live
        given_back = sum(m.units for m in self.machines if m.return_id and not m.is_live)
        return max(live, self.units - given_back)

    def past_deadline(self, now: float) -> bool:
        """True when nothing more is to be launched; blind time counts as long as nothing was launched at all."""
        return now >= self.deadline + (self.blind_until(now) if self.launches else 0.0)

    def blind_until(self, now: float) -> float:
        return self.blind + (max(0.0, now - self.blind_since) if self.blind_since is not None else 0.0)

    def sighted(self, now: float) -> "Request":
        """The cloud could be observed again."""
        return self if self.blind_since is None else self._replace(blind=self.blind_until(now), blind_since=None)

    def blinded(self, now: float) -> "Request":
        """The cloud could not be observed."""
        return self if self.blind_since is not None else self._replace(blind_since=now)

    def with_launch(self, launch: Launch) -> "Request":
        """Add the launch, or put it in the place of the one with the same attempt number."""
        others = [known for known in self.launches if known.attempt != launch.attempt]
        return self._replace(launches=tuple(sorted([*others, launch], key=lambda known: known.attempt)))

    def with_machines(self, changed: dict[str, Machine]) -> "Request":
        """Put the changed machines in place of the known ones and append the new ones."""
        known = tuple(changed.get(machine.id, machine) for machine in self.machines)
        ids = {machine.id for machine in known}
        return self._replace(machines=known + tuple(m for m in changed.values() if m.id not in ids))

    def adopt(self, launch: Launch, sightings: "tuple[Sighting, ...]", called_at: float) -> "Request":
        """Take the machines that a launch brought; one already known is only seen again.

        A machine that is not visible yet has the time of our call as its launch time.
        """
        known = {machine.id: machine for machine in self.machines}
        changed: dict[str, Machine] = {}
        for sighting in sightings:
            new = Machine.first(sighting, launch.attempt, launch.units_of(sighting.machine_type))
            new = new._replace(
                account=sighting.account or launch.account,
                launch_time=int(called_at),
                blind_before=self.blind_until(called_at),
            )
            changed[sighting.id] = known.get(sighting.id, new).seen(sighting)
        return self.with_machines(changed)

    def surplus(self, arriving: "set[str]") -> "tuple[Machine, ...]":
        """Give those of the arriving machines that are wholly more than was asked for, the latest first."""
        excess = -self.lacking
        found = []
        for machine in reversed(self.machines):
            if machine.id in arriving and counts(machine) and not machine.return_id and machine.units <= excess:
                excess -= machine.units
                found.append(machine)
        return tuple(found)

    def rebuilt(self, sightings: "Iterable[Sighting]", launches: "Iterable[Launch]") -> "Request":
        """Put machines and sources that carry the request's tags into a record that lacks them."""
        known = {machine.id for machine in self.machines}
        found = {
            sighting.id: Machine.first(sighting, sighting.attempt, sighting.units).seen(sighting)
            for sighting in sightings
            if sighting.id not in known
        }
        request = self.with_machines(found)
        attempts = {launch.attempt for launch in self.launches}
        for launch in launches:
            if launch.attempt not in attempts:
                request = request.with_launch(launch)
        return request

    def taken_late(self, launch: Launch, sightings: "tuple[Sighting, ...]", now: float) -> "Request":
        """Take machines that came after the request was closed: HostFactory never hears of them."""
        known = {machine.id for machine in self.machines}
        taken = self.adopt(launch, tuple(each for each in sightings if each.id not in known), now)
        late = "came after the request was closed: given back"
        new = (machine._replace(delivered=False) for machine in taken.machines if machine.id not in known)
        return taken.with_machines({machine.id: machine.failed(late) for machine in new})

    def claimed(self) -> "Request":
        """HostFactory knows of it; of one that was withdrawn it knows too late."""
        return self if self.withdrawn else self._replace(unclaimed_since=None)

    @property
    def is_abandoned(self) -> bool:
        """True when it was given back because HostFactory never asked about it: no machine of it is returned."""
        return bool(self.withdrawn) and self.unclaimed_since is not None

    def has_let_go(self, machine: Machine) -> bool:
        """True when nobody has to hear that a machine is gone: HostFactory returned it, or it failed before.

        What was withdrawn, HostFactory may have in use.
        """
        return bool(machine.return_id) or (machine.was_given_back and not self.withdrawn)

    def withdraw(self, reason: str) -> "Request":
        """Give all of it back: nothing more is launched, and every machine, also one that comes later, fails."""
        phase = Phase.CLOSING if self.phase is Phase.OPEN else self.phase
        return self._replace(phase=phase, withdrawn=self.withdrawn or reason).without_survivors()

    def without_survivors(self) -> "Request":
        """Fail what a withdrawn request still holds."""
        if not self.withdrawn:
            return self
        kept = (m for m in self.machines if m.result is not Result.FAIL and not m.return_id)
        return self.with_machines({m.id: m.failed(self.withdrawn) for m in kept})

    def closed(self, status: RequestStatus, now: float) -> "Request":
        """Said once, for good."""
        return self._replace(phase=Phase.CLOSED, status=status, closed_at=now)

    @property
    def is_spent(self) -> bool:
        """True when the record can leave the live ones: closed, and no machine of it is left.

        A machine that went without being returned stays: HostFactory, if it knows of it, hears so until it
        returns it.
        """
        is_unknown = self.is_abandoned
        is_empty = all(not m.is_live and (m.return_id or not m.delivered or is_unknown) for m in self.machines)
        return self.is_closed and is_empty and not any(launch.leaves_something for launch in self.launches)

    def needs_telling(self, launch: Launch) -> bool:
        """True while a source of a closed request may replace what it lost: it has not been told yet."""
        machines = self.machines_of(launch)
        is_untold = any(m.is_lost and not m.is_dismissed for m in machines)
        return self.is_closed and launch.is_source and is_untold and any(m.is_live for m in machines)

    @property
    def is_finished(self) -> bool:
        """True when nothing is left to be done for a closed request before a machine of it goes."""
        is_told = not any(self.needs_telling(launch) for launch in self.launches)
        return self.is_closed and is_told and not (self.removable or self.condemned or self.is_spent)

    @property
    def removable(self) -> tuple[Launch, ...]:
        """Launches of a closed request whose remains nothing lives in any more."""
        if not self.is_closed:
            return ()
        return tuple(
            launch
            for launch in self.launches
            if launch.leaves_something and not any(machine.is_live for machine in self.machines_of(launch))
        )
