"""Switches in the fakes that each undo one law of hfplugin: a history has to find every one of them.

A switch is a context manager over a world; the product is not touched, but what it stands on is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hfplugin import files
from hfplugin.housekeeping import Housekeeping
from hfplugin.marks import Marks
from hfplugin.model import Launch, LaunchState, MachineState, Phase, Request, RequestStatus, Result
from hfplugin.providers.base.provider import (
    Found,
    Host,
    Inventory,
    Located,
    Observation,
    Released,
    Sighting,
    Source,
)
from hfplugin.store import Folder
from simulation.history import Fault
from simulation.laws import Law
from simulation.world import World


def _saving(change: Callable[[Any], Any]) -> Fault:
    """Give a switch under which the store writes something else than it is told."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        real = Folder.save

        def save(self: Folder[Any], record: Any) -> Any:
            changed = change(record) if isinstance(record, Request) else record
            return record if changed is None else real(self, changed)

        with patch.object(Folder, "save", save):
            yield

    return fault


def _on_cloud(method: str, make: Callable[[World, Any], Any]) -> Fault:
    """Give a switch under which one method of the cloud is another, made of the real one."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        with patch.object(world.cloud, method, make(world, getattr(world.cloud, method))):
            yield

    return fault


def _without_plan(request: Request) -> Request | None:
    is_planned = any(launch.state is LaunchState.PLANNED for launch in request.launches)
    return None if is_planned else request


def _never_closed(request: Request) -> Request:
    is_closed = request.phase is Phase.CLOSED
    return request._replace(phase=Phase.CLOSING, status=RequestStatus.RUNNING) if is_closed else request


def _forgiven(request: Request) -> Request:
    if request.phase is not Phase.CLOSED:
        return request
    forgiven = [m._replace(result=Result.SUCCEED) if m.result is Result.FAIL else m for m in request.machines]
    return request._replace(machines=tuple(forgiven))


def _unheard(request: Request) -> Request:
    return request._replace(machines=tuple(m._replace(notice=None) for m in request.machines))


def _renamed(request: Request) -> Request:
    renamed = [m._replace(name=f"{m.name}-{request.generation}" if m.name else "") for m in request.machines]
    return request._replace(machines=tuple(renamed))


@contextmanager
def _without_sync(world: World) -> Iterator[None]:
    world.disk.keeps_synced = False
    yield


@contextmanager
def _without_generations(world: World) -> Iterator[None]:
    """Every lock is lost as well: where they hold, nothing else is needed."""

    def write(path: str, content: bytes, check: object = None) -> None:
        real(path, content)

    real = files.write
    with lost_locks(world), patch.object(files, "write", write):
        yield


@contextmanager
def lost_locks(world: World) -> Iterator[None]:
    """Nobody is ever kept out by a lock, and many try: a file system that forgets them has to be lived with."""
    world.is_uncountable = True
    world.often["race"] = 10
    with patch.object(world.locks, "hold", lambda kind, key, wait: nullcontext()):
        yield


def _never_asked(request: Request) -> Request:
    return request if request.unclaimed_since is not None else request._replace(unclaimed_since=0.0)


def _given_up(request: Request) -> Request:
    is_rebuilt = request.generation == 0 and request.phase is not Phase.OPEN
    return request.withdraw("there was no record of it") if is_rebuilt else request


@contextmanager
def _without_abandoning(world: World) -> Iterator[None]:
    settings = world.site.settings
    requests = replace(settings.requests, unclaimed_timeout_seconds=1_000_000_000)
    world.site.settings = replace(settings, requests=requests)
    yield


@contextmanager
def _without_activity(world: World) -> Iterator[None]:
    with patch.object(Marks, "note_activity", lambda self, now: None):
        yield


@contextmanager
def _without_housekeeping(world: World) -> Iterator[None]:
    with patch.object(Housekeeping, "sweep", lambda self, until: None):
        yield


@contextmanager
def _with_lost_records(world: World) -> Iterator[None]:
    """Records are lost, or older than before, more often than usual."""
    world.often |= dict.fromkeys(("damage", "lose_state", "back_up", "restore_backup"), 8)
    yield


def _often_lost(fault: Fault) -> Fault:
    @contextmanager
    def both(world: World) -> Iterator[None]:
        with _with_lost_records(world), fault(world):
            yield

    return both


@contextmanager
def _without_counting(world: World) -> Iterator[None]:
    with patch.object(Folder, "live", lambda self, is_strict=False: iter(())):
        yield


@contextmanager
def _without_archive(world: World) -> Iterator[None]:
    def archive(self: Folder[Any], record: Any) -> None:
        files.unlink(self._path(record.id))

    with patch.object(Folder, "archive", archive):
        yield


def _tokenless(world: World, real: Any) -> Any:
    return lambda launch: None


def _changing(world: World, real: Any) -> Any:
    def launch(launch: Launch, user_data: str) -> Any:
        params = {**launch.params, "at": world.clock()}
        return real(launch._replace(params=params), user_data)

    return launch


def _untold(world: World, real: Any) -> Any:
    def release(machines: Sequence[Located], source: Source | None = None) -> Any:
        return real(machines, None)

    return release


def _idle(world: World, real: Any) -> Any:
    def release(machines: Sequence[Located], source: Source | None = None) -> Released:
        return Released(going=frozenset(machine.id for machine in machines))

    return release


def _deaf(world: World, real: Any) -> Any:
    return lambda launch, other: None


def _raising(world: World, real: Any) -> Any:
    def stop(launch: Launch, held: object) -> None:
        world.cloud.sources[launch.resource_id].target += 1

    return stop


def _burying(world: World, real: Any) -> Any:
    """A machine that the look does not show is called terminated."""

    def observe(machines: Sequence[Located]) -> Observation:
        view: Observation = real(machines)
        unseen = [machine for machine in machines if machine.id not in view.seen]
        dead = {m.id: Sighting(m.id, MachineState.TERMINATED, m.region) for m in unseen}
        return Observation({**view.seen, **dead})

    return observe


def _blind(world: World, real: Any) -> Any:
    return lambda: Inventory()


def _possessive(world: World, real: Any) -> Any:
    """What is found is said to be this installation's."""

    def inventory() -> Inventory:
        found: Inventory = real()
        ours = world.cloud.installation
        return found._replace(
            machines=tuple(each._replace(installation=ours) for each in found.machines),
            sources=tuple(each._replace(installation=ours) for each in found.sources),
            spares=tuple(each._replace(installation=ours) for each in found.spares),
        )

    return inventory


def _traceless(world: World, real: Any) -> Any:
    """Machines do not tell of which request they are."""

    def find_hosts(hosts: Sequence[Host]) -> list[Found]:
        return [
            found._replace(sighting=found.sighting and found.sighting._replace(request_id=""))
            for found in real(hosts)
        ]

    return find_hosts


def _greedy(world: World, real: Any) -> Any:
    def find_hosts(hosts: Sequence[Host]) -> list[Found]:
        return [found._replace(is_ours=found.sighting is not None) for found in real(hosts)]

    return find_hosts


# What is undone, by its name; and the laws of which one has to be seen broken.
REVERTED: dict[str, tuple[Fault, set[Law]]] = {
    "the plan of a launch is not recorded": (_saving(_without_plan), {Law.INTENT}),
    "what is synced is not durable": (_without_sync, {Law.INTENT}),
    "a token is ignored": (_on_cloud("_replayed", _tokenless), {Law.EXACT, Law.NOT_LEAKED}),
    "a launch is replayed with other parameters": (_on_cloud("launch", _changing), {Law.ONE_MEANING, Law.INTENT}),
    "a release does not lower the target": (_on_cloud("release", _untold), {Law.NOT_LEAKED, Law.CONTENT}),
    "a release ends nothing": (_on_cloud("release", _idle), {Law.NOT_LEAKED, Law.ENDS}),
    "a fleet cannot be stopped": (_on_cloud("stop", _deaf), {Law.CONTENT}),
    "a stop raises the target": (_on_cloud("stop", _raising), {Law.TARGETS}),
    "nothing is removed": (_on_cloud("remove", _deaf), {Law.NO_LEFTOVERS}),
    "what is not seen counts as terminated": (_on_cloud("observe", _burying), {Law.HEALTHY, Law.NOT_LEAKED}),
    "what is not ours is called ours": (_on_cloud("find_hosts", _greedy), {Law.OURS_ALONE}),
    "the last writer wins": (_without_generations, {Law.OVERWRITTEN}),
    "live records are not counted": (_without_counting, {Law.MAX_NUMBER}),
    "an archived record is gone": (_without_archive, {Law.ANSWERED}),
    "a closed request is recorded as open": (_saving(_never_closed), {Law.ENDS, Law.ONE_STATUS}),
    "a failure is forgotten at the end": (_saving(_forgiven), {Law.ONE_RESULT}),
    "no request is ever abandoned": (_without_abandoning, {Law.UNCLAIMED}),
    "HostFactory's calls are not counted as its activity": (_without_activity, {Law.UNCLAIMED}),
    "no poll counts as HostFactory's asking": (_saving(_never_asked), {Law.KEPT}),
    "nobody keeps house": (_without_housekeeping, {Law.UNCLAIMED, Law.STRAYS, Law.NO_LEFTOVERS}),
    "the inventory shows nothing": (
        _on_cloud("inventory", _blind),
        {Law.STRAYS, Law.NOT_LEAKED, Law.NO_LEFTOVERS},
    ),
    "the tag of the installation is ignored": (_on_cloud("inventory", _possessive), {Law.OURS_ALONE}),
    "a request without a record is given up": (_often_lost(_saving(_given_up)), {Law.SPARED}),
    "a machine without a record is of no request": (_often_lost(_on_cloud("find_hosts", _traceless)), {*Law}),
    "what the cloud takes back is not recorded": (_saving(_unheard), {Law.HEARD}),
    "a host's name is recorded wrong": (_saving(_renamed), {Law.ONE_NAME}),
}
