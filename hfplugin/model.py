"""Templates, requests, launches, machines and returns: what they are and how they change, without I/O.

Values are named tuples, not dataclasses: importing `dataclasses` alone costs a store-only call more than
everything else it does. For the same reason annotations are no strings here: a named tuple compiles each that is.
A change is a named transition that returns a new value.
"""

from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hfplugin.providers.base.provider import Sighting

# EC2 may answer "not found" for a machine it has just launched; only absence that lasts longer counts.
CONSISTENCY_SECONDS = 120

# A launch of unknown outcome counts as "nothing was launched" after two empty looks this far apart.
SETTLE_SECONDS = 120

# AWS may refuse a termination (protection); the return gives up saying "executing" after this long.
REFUSED_RETURN_SECONDS = 1800

# A client token is remembered by the cloud for at least a day; an older launch is never replayed.
REPLAY_SECONDS = 24 * 3600


class RequestStatus(StrEnum):
    """What HostFactory hears of a request as a whole."""

    RUNNING = "running"
    COMPLETE = "complete"
    COMPLETE_WITH_ERROR = "complete_with_error"


class Result(StrEnum):
    """What HostFactory hears of one machine of a request."""

    EXECUTING = "executing"
    SUCCEED = "succeed"
    FAIL = "fail"


class MachineState(StrEnum):
    """A machine's state in the cloud, in HostFactory's words."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"

    @property
    def is_starting_or_up(self) -> bool:
        return self in (MachineState.PENDING, MachineState.RUNNING)

    @property
    def is_going(self) -> bool:
        """True once a termination is under way or done: nothing is left to ask of the cloud."""
        return self in (MachineState.SHUTTING_DOWN, MachineState.TERMINATED)


class LaunchState(StrEnum):
    """planned -> (accepted | refused | unknown) -> settled."""

    PLANNED = "planned"  # durable, perhaps sent, no outcome recorded
    ACCEPTED = "accepted"  # the cloud took it and may still deliver
    REFUSED = "refused"  # definitely nothing was launched
    UNKNOWN = "unknown"  # sent, and the answer was lost
    SETTLED = "settled"  # nothing more will come of it

    @property
    def is_open(self) -> bool:
        """True while machines may still come of it that no record holds."""
        return self in (LaunchState.PLANNED, LaunchState.UNKNOWN, LaunchState.ACCEPTED)

    @property
    def is_unsettled(self) -> bool:
        """True when its outcome is not known: it must be settled before anything else is asked."""
        return self in (LaunchState.PLANNED, LaunchState.UNKNOWN)


class Phase(StrEnum):
    """Where a request stands: open (launching), closing (only observing), closed (said for good)."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Template(NamedTuple):
    """A template as HostFactory sees it, plus the provider's validated part.

    `extension` is that part as JSON, opaque here: read it through the TemplateExtensionRegistry.
    Times are seconds; `None` means the installation's setting.
    """

    id: str
    provider_type: str
    max_number: int
    attributes: dict[str, list[str]]
    extension: dict[str, Any]
    tags: dict[str, str] = {}
    all_or_nothing: bool = False
    pending_timeout: int | None = None
    deadline: int | None = None
    passthrough: dict[str, Any] = {}


class Refusal(NamedTuple):
    """One reason the cloud gave, by kind."""

    kind: ErrorKind
    code: str
    message: str
    place: str = ""
    at: int = 0

    @classmethod
    def of(cls, error: HFPluginError, place: str = "") -> "Refusal":
        """Read an error as a reason; one that is not the cloud's is for an administrator to correct."""
        if isinstance(error, ProviderError):
            return cls(error.kind, error.code, error.message, place)
        return cls(ErrorKind.INVALID, "", str(error), place)

    def __str__(self) -> str:
        where = f" in {self.place}" if self.place else ""
        return f"{self.code}{where}: {self.message}" if self.code else f"{self.message}{where}"


class Launch(NamedTuple):
    """One call to the cloud for machines: what was frozen before it, what came of it.

    `params` go to the cloud unchanged at every replay; user data stands in them by its hash.
    `units` is what was asked; `weight` the units one machine is worth, `weights` those of types that are worth
    something else; `place` where, for people. `look_only`: sending it again would tell nothing more, so what it
    brought is looked for. `remains` names what it leaves in the cloud besides machines, which is removed once the
    last of them is gone; `is_stopped`: its source was told to bring nothing more, at `stopped_at`.
    """

    attempt: int
    token: str
    api: str
    region: str
    account: str
    place: str
    params: dict[str, Any]
    units: int
    planned_at: float
    weight: int = 1
    user_data: str = ""
    state: LaunchState = LaunchState.PLANNED
    resource_id: str = ""
    errors: tuple[Refusal, ...] = ()
    look_only: bool = False
    first_empty_look: float | None = None
    weights: dict[str, int] = {}
    remains: tuple[str, ...] = ()
    is_stopped: bool = False
    stopped_at: float = 0.0
    is_removed: bool = False

    @property
    def is_source(self) -> bool:
        """True while a fleet or group of it exists that may replace what is taken from it."""
        return (self.is_delivering or self.is_stopped) and not self.is_removed

    @property
    def has_failed(self) -> bool:
        """True when a source of it has said why it cannot bring what it was asked for."""
        return any(error.kind not in (ErrorKind.THROTTLED, ErrorKind.TRANSIENT) for error in self.errors)

    def stopped(self, now: float) -> "Launch":
        return self._replace(is_stopped=True, stopped_at=now)

    @property
    def is_delivering(self) -> bool:
        """True while a fleet or group of it may bring machines, also in place of others."""
        return self.state is LaunchState.ACCEPTED

    @property
    def is_refused_capacity(self) -> bool:
        return any(error.kind in (ErrorKind.CAPACITY, ErrorKind.QUOTA) for error in self.errors)

    @property
    def leaves_something(self) -> bool:
        return bool(self.remains) and not self.is_removed

    def units_of(self, machine_type: str) -> int:
        """Give what a machine of a type is worth."""
        return self.weights.get(machine_type, self.weight)


class Machine(NamedTuple):
    """A machine of a request, as last known.

    `is_lost`: it went without being given back, so its source may have replaced it. `is_dismissed`: hfplugin gave
    it back by itself, so that nothing replaces it.
    """

    id: str
    attempt: int
    region: str
    account: str
    state: MachineState
    launch_time: int
    result: Result = Result.EXECUTING
    name: str = ""
    private_ip: str = ""
    public_ip: str = ""
    machine_type: str = ""
    price_type: str = "ondemand"
    zone: str = ""
    units: int = 1
    message: str = ""
    missing_since: float | None = None
    return_id: str = ""
    delivered: bool = False
    refused_since: float | None = None
    is_lost: bool = False
    is_dismissed: bool = False

    @classmethod
    def first(cls, sighting: "Sighting", attempt: int, units: int) -> "Machine":
        """Give a machine of which nothing but its address is taken over yet."""
        return cls(
            id=sighting.id,
            attempt=attempt,
            region=sighting.region,
            account=sighting.account,
            state=MachineState.PENDING,
            launch_time=sighting.launch_time,
            units=units,
        )

    @property
    def is_live(self) -> bool:
        """True until its termination is under way: it may run, and be billed, for as long as nobody acts."""
        return not self.state.is_going

    def seen(self, now: "Sighting") -> "Machine":
        """Take over what the cloud says now.

        A host's name, once known, never changes, a failure never becomes a success, and a state never goes
        back (an answer may be older than the record): all three hold whatever the cloud answers.
        """
        machine = self._replace(
            state=max(now.state, self.state, key=_STATE_ORDER.__getitem__),
            account=self.account or now.account,
            name=self.name or now.name,
            private_ip=self.private_ip or now.private_ip,
            public_ip=self.public_ip or now.public_ip,
            launch_time=now.launch_time or self.launch_time,
            machine_type=self.machine_type or now.machine_type,
            price_type=now.price_type if now.state.is_starting_or_up else self.price_type,
            zone=self.zone or now.zone,
            missing_since=None,
        )
        return machine._judged(now.reason)

    def _judged(self, reason: str) -> "Machine":
        if not (self.state.is_starting_or_up or self.return_id or self.is_dismissed):
            self = self._replace(is_lost=True)
        if self.result is Result.FAIL:
            return self
        if not self.state.is_starting_or_up:
            why = "returned" if self.return_id else f"{self.state} without being returned"
            return self.failed(f"{why}: {reason}" if reason and not self.return_id else why)
        if self.state is MachineState.RUNNING and self.name and self.private_ip:
            return self._replace(result=Result.SUCCEED, delivered=True)
        return self

    def missing(self, now: float) -> "Machine":
        """The cloud answered and does not know it."""
        return self._replace(missing_since=now if self.missing_since is None else self.missing_since)

    def is_absent(self, now: float) -> bool:
        """True when it has been missing for longer than the consistency window."""
        return self.missing_since is not None and now - self.missing_since >= CONSISTENCY_SECONDS

    def dismissed(self) -> "Machine":
        """It is about to be given back without being asked for."""
        return self._replace(is_dismissed=True)

    def failed(self, message: str) -> "Machine":
        return self._replace(result=Result.FAIL, message=message)

    def gone(self) -> "Machine":
        """It is terminated, or absent for good."""
        return self._replace(state=MachineState.TERMINATED)._judged("")

    def returned(self, return_id: str) -> "Machine":
        """HostFactory gives it back: it counts as delivered, so nothing replaces it."""
        return self._replace(return_id=self.return_id or return_id, delivered=True)


_STATE_ORDER = {
    MachineState.PENDING: 0,
    MachineState.RUNNING: 1,
    MachineState.STOPPING: 1,  # a stopped machine can be started again: no order between these
    MachineState.STOPPED: 1,
    MachineState.SHUTTING_DOWN: 2,
    MachineState.TERMINATED: 3,
}


def counts(machine: Machine) -> bool:
    """True when its units count as delivered: it has not failed, or HostFactory has already given it back."""
    return machine.result is not Result.FAIL or bool(machine.return_id)


def _by_price(machines: "Iterable[Machine]") -> dict[str, int]:
    units: dict[str, int] = {}
    for machine in machines:
        units[machine.price_type] = units.get(machine.price_type, 0) + machine.units
    return units


class Request(NamedTuple):
    """HostFactory's order for `units` capacity units of one template, and all that came of it.

    `blind` is the seconds in which the cloud could not be observed, `blind_since` the start of such a time
    that still lasts; neither counts against `deadline` nor against a machine's pending time-out. `trouble` is
    why the last attempt to launch did not get as far as a launch.
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
            m for m in self.machines_of(launch) if m.is_live and m.result is not Result.FAIL and not m.return_id
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
        return self.blind + (now - self.blind_since if self.blind_since is not None else 0.0)

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
            new = new._replace(account=sighting.account or launch.account, launch_time=int(called_at))
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

    def rebuilt(self, sightings: "tuple[Sighting, ...]") -> "Request":
        """Put machines that carry the request's tags into a record that lost them."""
        found = [
            Machine.first(sighting, sighting.attempt, sighting.units).seen(sighting) for sighting in sightings
        ]
        return self.with_machines({machine.id: machine for machine in found})

    def closed(self, status: RequestStatus, now: float) -> "Request":
        """Said once, for good."""
        return self._replace(phase=Phase.CLOSED, status=status, closed_at=now)

    @property
    def is_spent(self) -> bool:
        """True when the record can leave the live ones: closed, and no machine of it is left.

        A machine that went without being returned stays: HostFactory is told of it until it returns it.
        """
        is_empty = all(not m.is_live and (m.return_id or not m.delivered) for m in self.machines)
        return self.is_closed and is_empty and not any(launch.leaves_something for launch in self.launches)

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


class ReturnedMachine(NamedTuple):
    """One machine of a return, with enough to finish the return without its request's record.

    `is_found`: the cloud's address of it is known. `is_marked`: its request says that it was given back.
    """

    id: str
    name: str
    request_id: str = ""
    region: str = ""
    account: str = ""
    state: MachineState = MachineState.RUNNING
    result: Result = Result.EXECUTING
    message: str = ""
    launch_time: int = 0
    private_ip: str = ""
    price_type: str = "ondemand"
    machine_type: str = ""
    tags: dict[str, str] = {}
    is_found: bool = True
    is_marked: bool = False
    refused_since: float | None = None

    def done(self, message: str = "") -> "ReturnedMachine":
        return self._replace(state=MachineState.TERMINATED, result=Result.SUCCEED, message=message)


class Return(NamedTuple):
    """HostFactory's order to give machines back, and how far it is."""

    id: str
    created: float
    machines: tuple[ReturnedMachine, ...]
    status: RequestStatus = RequestStatus.RUNNING
    message: str = ""
    closed_at: float = 0.0
    generation: int = 0

    @property
    def is_closed(self) -> bool:
        return self.status is not RequestStatus.RUNNING

    @property
    def is_spent(self) -> bool:
        return self.is_closed

    @property
    def pending(self) -> tuple[ReturnedMachine, ...]:
        return tuple(machine for machine in self.machines if machine.result is Result.EXECUTING)

    def with_machines(self, changed: dict[int, ReturnedMachine]) -> "Return":
        """Put the changed machines, keyed by their place in the list, into theirs."""
        return self._replace(machines=tuple(changed.get(i, m) for i, m in enumerate(self.machines)))


Record = TypeVar("Record", Request, Return)
