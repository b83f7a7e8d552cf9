"""The fake cloud as histories see it: slow, forgetful, partly unreachable, its answers lost; it watches laws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fake_cloud import INSTALLATION, FakeCloud, FakeMachine, FakeSource

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.base.provider import (
    Found,
    FoundSource,
    Host,
    Inventory,
    Located,
    Notice,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Reclaimed,
    Released,
    Source,
    Spare,
)
from simulation.laws import BrokenError, Law

# A request of another installation that has the same provider name in the same account.
OTHER_REQUEST = "req-0a0a0a0a-0000-4000-8000-00000000000a"

# EC2 goes on listing a terminated machine for about an hour.
_LISTED_SECONDS = 3600


def region_of(place: str) -> str:
    return place.split("/")[0]


@dataclass
class SimulatedCloud(FakeCloud):
    """`unreachable` names regions that do not answer; `lost` operations that act and do not answer (so often).

    `is_durable` says whether a launch's record is on the disk, `is_heard` whether a notice is, `is_used` whether
    HostFactory uses a machine, `is_lost` whether a request's record was lost.
    `strays` are the machines that a fleet has launched when nothing was expected of it any more (`is_settled`), in
    the place of one that was lost (`ended`), or given back before the fleet had heard that it is to stop.
    `installation` is the one that is simulated, `others` names the machines, fleets and launch templates that are
    none of its, `spares` when and by which installation a launch template was made. `is_forgetful`: a state
    that was restored may use a token again; EC2 then refuses other parameters.
    A machine terminates `terminate_seconds` after it was told to, and is not listed at all before `hidden_until`.
    `doomed` is when machines are reclaimed, `noticed` are those that it was said of.
    """

    cross: Callable[[str], None] = lambda boundary: None
    is_durable: Callable[[Launch], bool] = lambda launch: True
    is_heard: Callable[[Notice], bool] = lambda notice: True
    is_used: Callable[[str], bool] = lambda machine_id: False
    is_lost: Callable[[str], bool] = lambda request_id: False
    unreachable: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    is_settled: Callable[[Launch], bool] = lambda launch: False
    installation: str = INSTALLATION
    others: set[str] = field(default_factory=set)
    spares: dict[str, tuple[float, str]] = field(default_factory=dict)
    is_forgetful: bool = False
    strays: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    terminate_seconds: float = 30.0
    hidden_seconds: float = 0.0
    hidden_until: dict[str, float] = field(default_factory=dict)
    ends_at: dict[str, float] = field(default_factory=dict)
    doomed: dict[str, float] = field(default_factory=dict)
    noticed: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)

    # what happens without being asked

    def _act(self) -> None:
        now = self.clock()
        for machine_id in [each for each, at in self.doomed.items() if now >= at]:
            del self.doomed[machine_id]
            if self._lives(self.machines[machine_id]):
                self.end(machine_id, MachineState.SHUTTING_DOWN, "Server.SpotInstanceTermination")
        for machine in self.machines.values():
            is_ending = machine.state is MachineState.SHUTTING_DOWN
            if is_ending and now >= self.ends_at.setdefault(machine.id, now + self.terminate_seconds):
                machine.state = MachineState.TERMINATED
            hidden_until = self.hidden_until.get(machine.id, 0.0)
            is_forgotten = now >= self.ends_at.get(machine.id, now) + _LISTED_SECONDS
            machine.is_visible = now >= hidden_until and not is_forgotten
        super()._act()

    def _make(self, launch: Launch) -> FakeMachine:
        machine = super()._make(launch)
        if launch.params["source"] and self._is_stray(launch):
            self.strays.add(machine.id)
        if self.hidden_seconds:
            shown_at = self.hidden_until[machine.id] = self.clock() + self.hidden_seconds
            machine.is_visible = False
            machine.ready_at = max(machine.ready_at, shown_at)  # that it runs is heard by a list alone
        return machine

    def _is_stray(self, launch: Launch) -> bool:
        has_lost = any(self.machines[each].token == launch.token for each in self.ended)
        is_deaf = any(each.launch.token == launch.token and each.hears_at for each in self.sources.values())
        has_returned = any(m.token == launch.token and not self._lives(m) for m in self.machines.values())
        return (has_lost or (is_deaf and has_returned)) and self.is_settled(launch)

    def end(self, machine_id: str, state: MachineState, reason: str) -> None:
        """End a machine from outside, or reclaim it."""
        machine = self.machines[machine_id]
        machine.state, machine.reason = state, reason
        self.ended.add(machine_id)
        if state is MachineState.TERMINATED:
            self.ends_at[machine_id] = self.clock()

    @property
    def alive(self) -> set[str]:
        return super().alive - self.others

    @property
    def left(self) -> set[str]:
        return super().left - self.others

    @property
    def forsaken(self) -> set[str]:
        """Fleets and launch templates of an installation that lost its id."""
        made = {name: installation for name, (_, installation) in self.spares.items()}
        made |= {each.id: each.launch.params["tags"].get("installation", "") for each in self.sources.values()}
        return {name for name, installation in made.items() if installation != self.installation}

    def alive_of(self, template_id: str) -> set[str]:
        return {each for each in self.alive if self.machines[each].tags.get("template") == template_id}

    def units_of(self, source: FakeSource) -> int:
        return sum(self._units(source)) if source.replaces else source.launched

    def launch_for_others(self) -> None:
        """Put machines and a fleet of another installation there, and a machine of nobody's."""
        tags = {
            "request": OTHER_REQUEST,
            "attempt": "1",
            "template": "plain",
            "units": "1",
            "installation": "another",
        }
        for source in ("", "", "maintain"):
            launch = Launch(
                1, f"theirs{source}", "", "east", "", "east/a", {"tags": tags, "source": source}, 2, 0.0
            )
            launch = launch._replace(remains=("their-template",), state=LaunchState.ACCEPTED)
            machine = self._make(launch)
            self.others.add(machine.id)
            if source:
                machine.source = "fleet-of-another"
                self.others.add(self._make(launch._replace(resource_id=machine.source)).id)
                self.machines[max(self.others)].source = machine.source
                self.sources[machine.source] = FakeSource(machine.source, launch, 2, self.clock())
        nobodys = self._make(
            Launch(0, "foreign", "", "east", "", "east/a", {"tags": {"foreign": "yes"}, "source": ""}, 1, 0.0)
        )
        self.machines["i-foreign"] = self.machines.pop(nobodys.id)
        nobodys.id = "i-foreign"
        self.templates.add("their-template")
        self.others |= {"i-foreign", "fleet-of-another", "their-template"}

    # what hfplugin asks

    @contextmanager
    def _asked(self, operation: str, region: str = "") -> Iterator[None]:
        self.cross(f"before {operation}")
        if region in self.unreachable:
            raise _unreachable(region)
        yield
        self.cross(f"after {operation}")
        if self.lost.get(operation, 0) > 0:
            self.lost[operation] -= 1
            raise ProviderError(ErrorKind.TRANSIENT, "ReadTimeout", "the answer was lost")

    def plan(self, order: Order) -> Plan | Nowhere:
        with self._asked("plan"):
            plan = super().plan(order)
        if isinstance(plan, Plan):
            plan.params["tags"]["installation"] = self.installation
        return plan

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        if not self._watch_launch(launch):
            mismatch = Refusal(ErrorKind.INVALID, "IdempotentParameterMismatch", "other parameters", launch.place)
            return Outcome(LaunchState.UNKNOWN, errors=(mismatch,), look_only=True)
        try:
            with self._asked("launch", region_of(launch.place)):
                outcome = super().launch(launch, user_data)
                self._note_spares(launch)
        except ProviderError as error:
            lost = Refusal(error.kind, error.code, error.message, launch.place)
            return Outcome(LaunchState.UNKNOWN, errors=(lost,))
        self._watch_units(launch)
        return outcome

    def _watch_launch(self, launch: Launch) -> bool:
        """Check what is about to be sent; False when the cloud knows the token with other parameters."""
        if not self.is_durable(launch):
            raise BrokenError(Law.INTENT, f"{launch.params['tags']['request']} attempt {launch.attempt}")
        meaning = json.dumps([launch.params, launch.place, launch.units], sort_keys=True)
        is_same = self.sent.setdefault(launch.token, meaning) == meaning
        if not is_same and not self.is_forgetful:
            raise BrokenError(Law.ONE_MEANING, f"{self.sent[launch.token]}, then {meaning}")
        return is_same

    def _note_spares(self, launch: Launch) -> None:
        made = {name: (self.clock(), launch.params["tags"]["installation"]) for name in launch.remains}
        self.spares = {name: self.spares.get(name, made.get(name, (0.0, "another"))) for name in self.templates}

    def _watch_units(self, launch: Launch) -> None:
        brought = [m for m in self.machines.values() if m.token == launch.token]
        if not launch.params["source"] and len(brought) > launch.params["count"]:
            raise BrokenError(Law.EXACT, f"{launch.params['count']} asked under one token, {len(brought)} run")

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        with self._asked("find_launched", region_of(launch.place)):
            return super().find_launched(launch, request_id)

    def gather(self, launch: Launch) -> Outcome:
        with self._asked("gather", region_of(launch.place)):
            return super().gather(launch)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        with self._asked("stop", region_of(launch.place)):
            self._watch_name(launch.resource_id)
            super().stop(launch, held)
            self.watch_targets()

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        with self._asked("remove", region_of(launch.place)):
            self._watch_name(launch.resource_id, *remains)
            for source in self.sources.values():
                if source.launch.token == launch.token:
                    inside = [m for m in self.machines.values() if m.source == source.id and self._lives(m)]
                    self._watch_release(inside)
            super().remove(launch, remains)

    def observe(self, machines: Sequence[Located]) -> Observation:
        within = [machine for machine in machines if machine.region not in self.unreachable]
        try:
            with self._asked("observe"):
                view = super().observe(within)
        except ProviderError as error:
            return Observation(failures=(Refusal(error.kind, error.code, error.message),))
        blind = {machine.region for machine in machines if machine.region in self.unreachable}
        failures = tuple(Refusal(ErrorKind.TRANSIENT, "Unreachable", region) for region in sorted(blind))
        return view._replace(failures=view.failures + failures)

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        within = [machine for machine in machines if machine.region not in self.unreachable]
        with self._asked("release", machines[0].region if source is not None else ""):
            before = {m.id for m in self.machines.values() if self._state(m).is_starting_or_up}
            if source is not None:
                self._watch_name(source.launch.resource_id)
            released = super().release(within, source)
            self._watch_release([self.machines[id_] for id_ in released.going & before])
            self.dismissed |= released.going
            self.watch_targets()
        return released

    def _watch_release(self, machines: Sequence[FakeMachine]) -> None:
        for machine in machines:
            self._watch_name(machine.id)
            if self.is_used(machine.id):
                raise BrokenError(Law.SPARED if self.is_lost(machine.tags["request"]) else Law.KEPT, machine.id)

    def _watch_name(self, *names: str) -> None:
        for name in names:
            if name in self.others:
                raise BrokenError(Law.OURS_ALONE, name)

    def watch_targets(self) -> None:
        for source in self.sources.values():
            if source.target > self.targets.setdefault(source.id, source.target):
                raise BrokenError(Law.TARGETS, f"{source.id}: {self.targets[source.id]}, then {source.target}")
            self.targets[source.id] = source.target

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        within = [machine for machine in machines if machine.region not in self.unreachable]
        try:
            with self._asked("reclaimed"):
                told = super().reclaimed(within)
        except ProviderError as error:
            return Reclaimed(failures=(Refusal(error.kind, error.code, error.message),))
        failures = tuple(Refusal(ErrorKind.TRANSIENT, "Unreachable", each) for each in sorted(self.unreachable))
        return told._replace(failures=told.failures + failures)

    def acknowledge(self, receipts: Sequence[str]) -> None:
        with suppress(ProviderError), self._asked("acknowledge"):
            for notice in [self.words[receipt] for receipt in receipts if receipt in self.words]:
                if not self.is_heard(notice):
                    raise BrokenError(Law.HEARD, f"{notice.kind} of {notice.machine_id}")
            super().acknowledge(receipts)

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        with self._asked("find_hosts"):
            return [self._reached(found) for found in super().find_hosts(hosts)]

    def _reached(self, found: Found) -> Found:
        is_blind = bool(self.unreachable)
        seen = found.sighting
        if seen is None or seen.region in self.unreachable or not self.machines[seen.id].is_visible:
            return Found(None, False, self.search_is_complete and not is_blind)
        return found

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        with self._asked("find_requests"):
            if self.unreachable:
                raise _unreachable(min(self.unreachable))
            found = super().find_requests(request_ids)
            return found._replace(machines=tuple(m for m in found.machines if self.machines[m.id].is_visible))

    def inventory(self) -> Inventory:
        with self._asked("inventory"):
            found = super().inventory()
        return Inventory(
            tuple(m for m in found.machines if m.request_id and m.region not in self.unreachable),
            tuple(s for s in found.sources if region_of(s.launch.place) not in self.unreachable),
            tuple(self._tagged(spare) for spare in found.spares if spare.region not in self.unreachable),
            tuple(Refusal(ErrorKind.TRANSIENT, "Unreachable", region) for region in sorted(self.unreachable)),
        )

    def _tagged(self, spare: Spare) -> Spare:
        made_at, installation = self.spares.get(spare.name, (0.0, "another"))
        return spare._replace(region="east", installation=installation, made_at=made_at)

    def _found(self, source: FakeSource) -> FoundSource:
        found = super()._found(source)
        return found._replace(launch=found.launch._replace(region=region_of(source.launch.place)))

    def discard(self, spares: Sequence[Spare]) -> None:
        with self._asked("discard", spares[0].region):
            self._watch_name(*(spare.name for spare in spares))
            super().discard(spares)


def _unreachable(region: str) -> ProviderError:
    return ProviderError(ErrorKind.TRANSIENT, "Unreachable", f"{region} does not answer")
