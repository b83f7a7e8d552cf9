"""A cloud in memory for tests of the broker: it keeps tokens and capacity, boots by the clock, and fails on order.

It does what a provider promises (hfplugin.providers.base.provider), never what a test wishes. A template whose
extension has `source` gets its machines from a fleet: `request` brings what it was asked for once, `maintain` also
replaces what it loses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfplugin.broker import Broker
from hfplugin.clock import Clock
from hfplugin.config import RequestSettings, Settings
from hfplugin.errors import ErrorKind, InputError, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal, Template
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.prices import CostModel
from hfplugin.providers.base.provider import (
    Check,
    Context,
    Found,
    FoundSource,
    Host,
    Inventory,
    Located,
    Notice,
    NoticeKind,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Provider,
    Reclaimed,
    Released,
    Sighting,
    Source,
    Spare,
)
from hfplugin.store import FileStore

PROVIDER_NAME = "prod1"
INSTALLATION = "installation1"


class ManualClock:
    """Time that passes only when a test says so."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.start = self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=self, monotonic=self)


@dataclass
class FakeMachine:
    """One machine: it is pending until `ready_at`, unless its state was set."""

    id: str
    number: int
    token: str
    place: str
    tags: dict[str, str]
    launched_at: float
    ready_at: float
    state: MachineState | None = None
    is_protected: bool = False
    is_visible: bool = True
    reason: str = ""
    source: str = ""


@dataclass
class FakeSource:
    """A fleet: it holds `target` units, or will do so at `acts_at`. A new target holds from `hears_at` on."""

    id: str
    launch: Launch
    target: int
    acts_at: float
    hears_at: float = 0.0
    told: int = 0
    launched: int = 0
    is_over: bool = False
    is_short: bool = False

    @property
    def replaces(self) -> bool:
        return bool(self.launch.params["source"] == "maintain")


@dataclass
class FakeCloud:
    """`capacity` bounds a place's machines; `faults` are raised, first in first out, by the named operation.

    A fleet acts `source_seconds` after it has to, and hears of a new target after `deaf_seconds`. `templates` are
    the launch templates that were made and not removed. `words` are messages of what it takes back, by receipt.
    """

    clock: ManualClock
    boot_seconds: float = 0.0
    capacity: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    faults: dict[str, list[ProviderError]] = field(default_factory=dict)
    lose_answers: int = 0
    search_is_complete: bool = True
    machines: dict[str, FakeMachine] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before_launch: Callable[[Launch], None] = lambda launch: None
    account: str = "111122223333"
    source_seconds: float = 0.0
    deaf_seconds: float = 0.0
    short_kind: ErrorKind = ErrorKind.CAPACITY
    sources: dict[str, FakeSource] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    words: dict[str, Notice] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def alive(self) -> set[str]:
        return {m.id for m in self.machines.values() if self._state(m) not in _GONE}

    @property
    def left(self) -> set[str]:
        """Everything that is there beside machines."""
        return self.templates | {source.id for source in self.sources.values() if not source.is_over}

    def plan(self, order: Order) -> Plan | Nowhere:
        self._enter("plan")
        shut = {launch.place for launch in order.past if launch.attempt in order.exhausted}
        settings = order.template.extension
        for place in settings.get("places", ["zone-a"]):
            if place not in shut:
                weight = settings.get("weight", 1)
                count = min(settings.get("batch", 500), -(-order.units // weight))
                tags = {"request": order.request_id, "attempt": str(order.attempt), "template": order.template.id}
                tags["units"] = str(weight)
                return Plan(
                    api="Fake",
                    region=place.split("/")[0],
                    account=self.account,
                    place=place,
                    params={
                        "count": count,
                        "all": order.template.all_or_nothing,
                        "tags": tags,
                        "source": settings.get("source", ""),
                    },
                    units=min(order.units, settings.get("most", 10_000))
                    if "source" in settings
                    else count * weight,
                    weight=weight,
                    remains=tuple(settings.get("remains", ["template"] if "source" in settings else [])),
                    user_data=settings.get("user_data", ""),
                )
        return Nowhere()

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        self.before_launch(launch)
        try:
            self._enter("launch")
        except ProviderError as error:
            return Outcome.failed(launch, Refusal(error.kind, error.code, error.message, launch.place))
        self.templates |= set(launch.remains)
        outcome = self._replayed(launch) or self._launched(launch)
        if self.lose_answers:
            self.lose_answers -= 1
            lost_answer = Refusal(ErrorKind.TRANSIENT, "ReadTimeout", "the answer was lost", launch.place)
            return Outcome(LaunchState.UNKNOWN, errors=(lost_answer,))
        return outcome

    def _replayed(self, launch: Launch) -> Outcome | None:
        for source in self.sources.values():
            if source.launch.token == launch.token:
                return Outcome(LaunchState.ACCEPTED, resource_id=source.id, account=self.account)
        same = [m for m in self.machines.values() if m.token == launch.token]
        return (
            Outcome(LaunchState.SETTLED, tuple(map(self._sighting, same)), account=self.account) if same else None
        )

    def _launched(self, launch: Launch) -> Outcome:
        if launch.place in self.refusals:
            return Outcome.failed(launch, self.refusals[launch.place])
        if launch.params["source"]:
            source = FakeSource(
                f"fleet-{len(self.sources)}", launch, launch.units, self.clock() + self.source_seconds
            )
            self.sources[source.id] = source
            return Outcome(LaunchState.ACCEPTED, resource_id=source.id, account=self.account)
        room = self.capacity.get(launch.place, 10_000)
        asked = launch.params["count"]
        if room < (asked if launch.params["all"] else 1):
            full = Refusal(ErrorKind.CAPACITY, "InsufficientInstanceCapacity", "no capacity", launch.place)
            return Outcome.failed(launch, full)
        count = min(asked, room)
        self.capacity[launch.place] = room - count
        made = [self._make(launch) for _ in range(count)]
        return Outcome(LaunchState.SETTLED, tuple(map(self._sighting, made)), account=self.account)

    def _act(self) -> None:
        """Let every fleet do what is due."""
        for source in self.sources.values():
            now = self.clock()
            if source.hears_at and now >= source.hears_at:
                source.target, source.hears_at = source.told, 0.0
            has = sum(self._units(source)) if source.replaces else source.launched
            missing = 0 if source.is_over else source.target - has
            source.is_short = False
            if missing <= 0:
                source.acts_at = now + self.source_seconds
            elif now >= source.acts_at:
                source.is_short = self._fill(source, missing)

    def _fill(self, source: FakeSource, missing: int) -> bool:
        """Launch what a fleet is missing; True when there was not room for all."""
        weight, place = source.launch.weight, source.launch.place
        wanted = -(-missing // weight)
        count = min(wanted, self.capacity.get(place, 10_000))
        self.capacity[place] = self.capacity.get(place, 10_000) - count
        for _ in range(count):
            self._make(source.launch).source = source.id
        source.launched += count * weight
        return count < wanted

    def _units(self, source: FakeSource) -> list[int]:
        return [source.launch.weight for m in self.machines.values() if m.source == source.id and self._lives(m)]

    def _lives(self, machine: FakeMachine) -> bool:
        return self._state(machine) not in _GONE

    def _retarget(self, source: FakeSource, units: int) -> None:
        now = source.told if source.hears_at else source.target
        if units < now:
            source.told, source.hears_at = units, self.clock() + self.deaf_seconds
            self._act()

    def _make(self, launch: Launch) -> FakeMachine:
        number = next(self._numbers)
        now = self.clock()
        machine = FakeMachine(
            f"i-{number:017x}",
            number,
            launch.token,
            launch.place,
            launch.params["tags"],
            now,
            now + self.boot_seconds,
        )
        self.machines[machine.id] = machine
        return machine

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        self._enter("find_launched")
        if launch.params["source"]:
            return self._replayed(launch) or Outcome(LaunchState.UNKNOWN)
        found = [m for m in self.machines.values() if m.token == launch.token and m.is_visible]
        return Outcome(LaunchState.UNKNOWN, sightings=tuple(map(self._sighting, found)))

    def gather(self, launch: Launch) -> Outcome:
        self._enter("gather")
        source = self.sources[launch.resource_id]
        living = [m for m in self.machines.values() if m.source == source.id and self._lives(m)]
        held = [m for m in living if m.is_visible]
        has = sum(self._units(source)) if source.replaces else source.launched
        is_last = launch.is_stopped or not source.replaces
        # As long as the list of its machines lags behind it, nothing is settled.
        is_done = source.is_over or (is_last and has >= source.target and held == living)
        short = Refusal(self.short_kind, "InsufficientInstanceCapacity", "no capacity", launch.place)
        return Outcome(
            LaunchState.SETTLED if is_done and not source.hears_at else LaunchState.ACCEPTED,
            # What a fleet lists has no name yet: it is only known to be there.
            sightings=tuple(self._sighting(m)._replace(state=MachineState.PENDING) for m in held),
            errors=(short,) if source.is_short else (),
            resource_id=source.id,
            account=self.account,
        )

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        self._enter("stop")
        source = self.sources[launch.resource_id]
        self._retarget(source, sum(held.values()) if source.replaces else source.launched)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        self._enter("remove")
        for source in self.sources.values():
            if source.launch.token == launch.token:
                source.is_over = True
                for machine in self.machines.values():
                    if machine.source == source.id:
                        machine.state = MachineState.TERMINATED
        self.templates -= set(remains)

    def observe(self, machines: Sequence[Located]) -> Observation:
        try:
            self._enter("observe")
        except ProviderError as error:
            return Observation(failures=(Refusal(error.kind, error.code, error.message),))
        known = {m.id: self.machines[m.id] for m in machines if m.id in self.machines}
        seen = {id_: self._sighting(machine) for id_, machine in known.items() if machine.is_visible}
        return Observation(seen, frozenset(m.id for m in machines if m.id not in seen))

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        self._enter("release")
        if source is not None:
            fleet = self.sources[source.launch.resource_id]
            left = fleet.launch.units - sum(source.spent.values())
            self._retarget(fleet, max(0, left if source.held is None else sum(source.held.values())))
        self._enter("terminate")
        going, missing, refused = set(), set(), {}
        for address in machines:
            machine = self.machines.get(address.id)
            if machine is None or not machine.is_visible:
                missing.add(address.id)
            elif machine.is_protected:
                refused[address.id] = Refusal(ErrorKind.INVALID, "OperationNotPermitted", "protected")
            else:
                machine.state = MachineState.SHUTTING_DOWN
                self._act()
                going.add(address.id)
        return Released(frozenset(going), frozenset(missing), refused)

    def say(self, machine_id: str, kind: NoticeKind, seconds: float = 120.0, reason: str = "") -> str:
        """Send a message that a machine is taken back in so many seconds, and give its receipt."""
        receipt = f"receipt-{next(self._numbers)}"
        ends_at = 0.0 if kind is NoticeKind.GONE else self.clock() + seconds
        self.words[receipt] = Notice(machine_id, kind, self.clock(), ends_at, reason)
        return receipt

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        try:
            self._enter("reclaimed")
        except ProviderError as error:
            return Reclaimed(failures=(Refusal(error.kind, error.code, error.message),))
        ids = {machine.id for machine in machines}
        heard = {receipt: notice for receipt, notice in self.words.items() if notice.machine_id in ids}
        return Reclaimed(tuple(heard.values()), tuple(heard))

    def acknowledge(self, receipts: Sequence[str]) -> None:
        with suppress(ProviderError):
            self._enter("acknowledge")
            for receipt in receipts:
                self.words.pop(receipt, None)

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        self._enter("find_hosts")
        answers = []
        for host in hosts:
            match = [m for m in self.machines.values() if host.machine_id == m.id or host.name == _name(m)]
            sighting = self._sighting(match[0]) if match else None
            answers.append(
                Found(sighting, bool(match) and "foreign" not in match[0].tags, self.search_is_complete)
            )
        return answers

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        self._enter("find_requests")
        found = [m for m in self.machines.values() if m.tags.get("request") in request_ids]
        of = {machine.source for machine in found}
        return Inventory(
            tuple(map(self._sighting, found)),
            tuple(self._found(source) for source in self.sources.values() if source.id in of),
        )

    def inventory(self) -> Inventory:
        self._enter("inventory")
        return Inventory(
            tuple(self._sighting(m) for m in self.machines.values() if self._lives(m) and m.is_visible),
            tuple(self._found(source) for source in self.sources.values() if not source.is_over),
            tuple(Spare(name, "zone-a", self.account, INSTALLATION, self.clock.start) for name in self.templates),
        )

    def _found(self, source: FakeSource) -> FoundSource:
        launch = source.launch
        tags = launch.params["tags"]
        told = launch._replace(
            account=self.account,
            units=source.target,
            planned_at=self.clock(),
            state=LaunchState.ACCEPTED,
            resource_id=source.id,
            # of these a cloud knows nothing
            user_data="",
            errors=(),
            look_only=False,
            passed_over=(),
        )
        return FoundSource(tags["request"], tags.get("installation", INSTALLATION), told)

    def discard(self, spares: Sequence[Spare]) -> None:
        self._enter("discard")
        self.templates -= {spare.name for spare in spares}

    def check(self, templates: Sequence[Template]) -> list[Check]:
        return []

    def finish_terminations(self) -> None:
        """Let every machine that is shutting down be terminated."""
        for machine in self.machines.values():
            if machine.state is MachineState.SHUTTING_DOWN:
                machine.state = MachineState.TERMINATED

    def fail_next(self, operation: str, kind: ErrorKind, times: int = 1) -> None:
        self.faults.setdefault(operation, []).extend(
            [ProviderError(kind, f"{kind}-code", f"{kind} fault")] * times
        )

    def _enter(self, operation: str) -> None:
        self._act()
        self.calls.append(operation)
        waiting = self.faults.get(operation)
        if waiting:
            raise waiting.pop(0)

    def _state(self, machine: FakeMachine) -> MachineState:
        booted = MachineState.RUNNING if self.clock() >= machine.ready_at else MachineState.PENDING
        return machine.state or booted

    def _sighting(self, machine: FakeMachine) -> Sighting:
        state = self._state(machine)
        is_named = state is not MachineState.TERMINATED
        return Sighting(
            id=machine.id,
            state=state,
            region=machine.place.split("/")[0],
            account=self.account,
            name=_name(machine) if is_named else "",
            private_ip=f"10.0.{machine.number // 250}.{machine.number % 250}" if is_named else "",
            launch_time=int(machine.launched_at),
            machine_type="fake.large",
            reason=machine.reason,
            request_id=machine.tags.get("request", ""),
            template_id=machine.tags.get("template", ""),
            provider_name=PROVIDER_NAME,
            installation=machine.tags.get("installation", INSTALLATION),
            source=f"Fake/{machine.source}" if machine.source else "",
            attempt=int(machine.tags.get("attempt", 0)),
            units=int(machine.tags.get("units", 1)),
        )


_GONE = (MachineState.SHUTTING_DOWN, MachineState.TERMINATED)


def _name(machine: FakeMachine) -> str:
    return f"host-{machine.number}.internal"


@dataclass
class FakeSite:
    """An installation in memory."""

    cloud: FakeCloud
    templates: list[Template] = field(default_factory=list)
    settings: Settings = field(default_factory=lambda: Settings("fake", None, RequestSettings()))
    costs: CostModel | None = None
    cache: str = "/nonexistent"

    @property
    def provider(self) -> Provider:
        return self.cloud

    @property
    def context(self) -> Context:
        return Context(PROVIDER_NAME, INSTALLATION, Cache(self.cache), Health())

    def template(self, template_id: str) -> Template:
        found = [template for template in self.templates if template.id == template_id]
        if not found:
            raise InputError(f"unknown templateId {template_id!r}")
        return found[0]


class Installation:
    """A file store on a fake cloud; a new store and broker per call, as every call is a new process."""

    def __init__(self, root: Path, templates: list[Template], limits: RequestSettings | None = None) -> None:
        self.root = root
        self.clock = ManualClock()
        self.cloud = FakeCloud(self.clock)
        self.site = FakeSite(self.cloud, templates, Settings("fake", None, limits or RequestSettings()))

    @property
    def store(self) -> FileStore:
        return FileStore(str(self.root))

    @property
    def broker(self) -> Broker:
        return Broker(self.store, self.site, self.clock.clock, time_limit=200)


def template(template_id: str = "small", max_number: int = -1, **changes: Any) -> Template:
    """A template of the fake cloud; `extension` has places, weight, batch and user_data."""
    plain = Template(
        template_id, "fake", max_number, {"ncpus": ["Numeric", "1"]}, {"places": ["zone-a", "zone-b"]}
    )
    return plain._replace(**changes)
