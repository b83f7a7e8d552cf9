"""The fake cloud as histories see it: slow, forgetful, partly unreachable, its answers lost; it watches laws."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fake_cloud import FakeCloud, FakeMachine

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.base.provider import (
    Found,
    Host,
    Located,
    Observation,
    Order,
    Outcome,
    Plan,
    Released,
    Sighting,
    Source,
)
from simulation.laws import BrokenError, Law

# EC2 goes on listing a terminated machine for about an hour.
_LISTED_SECONDS = 3600


def region_of(place: str) -> str:
    return place.split("/")[0]


@dataclass
class SimulatedCloud(FakeCloud):
    """`unreachable` names regions that do not answer; `lost` operations that act and do not answer (so often).

    `is_durable` says whether a launch's record is on the disk, `is_used` whether HostFactory uses a machine.
    `strays` are the machines that a fleet has launched when nothing was expected of it any more (`is_settled`), in
    the place of one that was lost (`ended`), or given back before the fleet had heard that it is to stop.
    `has_strays`: it may also hear only later of a return.
    A machine terminates `terminate_seconds` after it was told to, and is not listed at all before `hidden_until`.
    """

    cross: Callable[[str], None] = lambda boundary: None
    is_durable: Callable[[Launch], bool] = lambda launch: True
    is_used: Callable[[str], bool] = lambda machine_id: False
    unreachable: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    is_settled: Callable[[Launch], bool] = lambda launch: False
    has_strays: bool = False
    strays: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    terminate_seconds: float = 30.0
    hidden_seconds: float = 0.0
    hidden_until: dict[str, float] = field(default_factory=dict)
    ends_at: dict[str, float] = field(default_factory=dict)
    dismissed: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)

    # what happens without being asked

    def _act(self) -> None:
        now = self.clock()
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
            self.hidden_until[machine.id] = self.clock() + self.hidden_seconds
            machine.is_visible = False
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

    def alive_of(self, template_id: str) -> set[str]:
        return {m.id for m in self.machines.values() if m.tags.get("template") == template_id and self._lives(m)}

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

    def plan(self, order: Order) -> Plan | None:
        with self._asked("plan"):
            return super().plan(order)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        self._watch_launch(launch)
        try:
            with self._asked("launch", region_of(launch.place)):
                outcome = super().launch(launch, user_data)
        except ProviderError as error:
            lost = Refusal(error.kind, error.code, error.message, launch.place)
            return Outcome(LaunchState.UNKNOWN, errors=(lost,))
        self._watch_units(launch)
        return outcome

    def _watch_launch(self, launch: Launch) -> None:
        if not self.is_durable(launch):
            raise BrokenError(Law.INTENT, f"{launch.params['tags']['request']} attempt {launch.attempt}")
        meaning = json.dumps([launch.params, launch.place, launch.units], sort_keys=True)
        if self.sent.setdefault(launch.token, meaning) != meaning:
            raise BrokenError(Law.ONE_MEANING, f"{self.sent[launch.token]}, then {meaning}")

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
            super().stop(launch, held)
            self.watch_targets()

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        with self._asked("remove", region_of(launch.place)):
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
            released = self._released(within, source)
            self._watch_release([self.machines[id_] for id_ in released.going & before])
            self.dismissed |= released.going
            self.watch_targets()
        return released

    def _released(self, machines: Sequence[Located], source: Source | None) -> Released:
        deaf_seconds = self.deaf_seconds
        self.deaf_seconds = deaf_seconds if self.has_strays else 0.0
        try:
            return super().release(machines, source)
        finally:
            self.deaf_seconds = deaf_seconds

    def _watch_release(self, machines: Sequence[FakeMachine]) -> None:
        for machine in machines:
            if "request" not in machine.tags:
                raise BrokenError(Law.OURS_ALONE, machine.id)
            if self.is_used(machine.id):
                raise BrokenError(Law.KEPT, machine.id)

    def watch_targets(self) -> None:
        for source in self.sources.values():
            if source.target > self.targets.setdefault(source.id, source.target):
                raise BrokenError(Law.TARGETS, f"{source.id}: {self.targets[source.id]}, then {source.target}")
            self.targets[source.id] = source.target

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        with self._asked("find_hosts"):
            return [self._reached(found) for found in super().find_hosts(hosts)]

    def _reached(self, found: Found) -> Found:
        is_blind = bool(self.unreachable)
        seen = found.sighting
        if seen is None or seen.region in self.unreachable or not self.machines[seen.id].is_visible:
            return Found(None, False, self.search_is_complete and not is_blind)
        return found

    def find_requests(self, request_ids: Sequence[str]) -> tuple[Sighting, ...]:
        with self._asked("find_requests"):
            if self.unreachable:
                raise _unreachable(min(self.unreachable))
            return tuple(each for each in super().find_requests(request_ids) if self.machines[each.id].is_visible)


def _unreachable(region: str) -> ProviderError:
    return ProviderError(ErrorKind.TRANSIENT, "Unreachable", f"{region} does not answer")
