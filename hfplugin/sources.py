"""Fleets and groups as sources of machines: told what to hold, asked what came late, removed when empty.

A source replaces what it loses, so it is told first whenever a machine of it goes, as an absolute value and under
its own lock: a step that is repeated, or raced by another, lowers nothing twice. The caller holds the lock of the
request that it hands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hfplugin.clock import Clock
from hfplugin.errors import BusyError, ConfigurationError, ErrorKind, ProviderError
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.metrics.tally import tally
from hfplugin.model import Launch, Machine, MachineState, Request
from hfplugin.providers.base.provider import Located, Released, Sighting, Source, Spare, located
from hfplugin.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.site import Site

# Another call may be changing the same fleets or groups; what this one does not finish, the next poll does.
_WAIT_SECONDS = 5.0

_FAILURES = (ProviderError, ConfigurationError, BusyError)


class Sources:
    """Speaks to the sources of requests with one provider and one store."""

    def __init__(self, store: Store, site: Site, clock: Clock) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._patience = Patience(store.locks, _WAIT_SECONDS)

    def release(self, request: Request | None, machines: Sequence[Located]) -> Released:
        """Give back machines that one source would replace, or none of which any source would (see `sources_of`).

        Raises ProviderError, ConfigurationError, and BusyError when another call works on the source.
        """
        launch = sources_of(request).get(machines[0].id)
        if request is None or launch is None:
            return self._site.provider.release(machines)
        held = request.held(launch) if launch.is_stopped else None
        with self._hold(launch):
            return self._site.provider.release(machines, Source(launch, request.spent(launch), held))

    @contextmanager
    def _hold(self, launch: Launch) -> Iterator[None]:
        with self._patience.hold("group", launch.resource_id):
            yield

    def give_back(self, request: Request) -> Request:
        """Terminate machines that HostFactory was told have failed; it will never return them."""
        for group in _by_source(request, request.condemned):
            # Durable before the source is told: from then on they count as spent, whenever that is finished.
            request = self._save(request, request.with_machines({m.id: m.dismissed() for m in group}))
            request = self._given_back(request, group)
        return request

    def release_again(self, request: Request, machines: Sequence[Machine]) -> None:
        """Terminate machines that have ended, as far as their record knows, and yet run."""
        for group in _by_source(request, machines):
            self.release(request, [located(machine) for machine in group])

    def _given_back(self, request: Request, group: Sequence[Machine]) -> Request:
        try:
            released = self.release(request, [located(machine) for machine in group])
        except _FAILURES as error:
            log.warning("machine.not_released", request_id=request.id, reason=str(error))
            return request
        for machine_id, refusal in released.refused.items():
            log.warning("machine.not_released", request_id=request.id, machine_id=machine_id, reason=str(refusal))
        after = {machine.id: self._after(machine.dismissed(), released) for machine in group}
        return self._save(request, request.with_machines(after))

    def _after(self, machine: Machine, released: Released) -> Machine:
        now = self._clock.now()
        if machine.id in released.going:
            return machine._replace(state=MachineState.SHUTTING_DOWN)
        if machine.id in released.missing:
            missing = machine.missing(now)
            return missing._replace(state=MachineState.TERMINATED) if missing.is_absent(now) else missing
        refusal = released.refused.get(machine.id)
        if refusal is not None and refusal.kind in (ErrorKind.INVALID, ErrorKind.UNKNOWN):
            return machine._replace(refused_since=machine.refused_since or now)
        return machine

    def stop(self, request: Request, launch: Launch) -> Request:
        """Tell a source to bring nothing more than it holds."""
        if not self._is_told(request, launch):
            return request
        return self._save(request, request.with_launch(launch.stopped(self._clock.now())))

    def _is_told(self, request: Request, launch: Launch) -> bool:
        try:
            with self._hold(launch):
                self._site.provider.stop(launch, request.held(launch))
        except _FAILURES as error:
            log.warning("source.not_stopped", request_id=request.id, attempt=launch.attempt, reason=str(error))
            return False
        return True

    def tidy(self, request: Request) -> Request:
        """Bring a closed request's sources to what they are to hold, after machines of them were lost.

        What a source has put in their place meanwhile came too late for HostFactory: it is given back.
        """
        for launch in request.launches:
            if request.needs_telling(launch):
                request = self._tidied(request, launch)
        return self.give_back(request) if request.is_closed else request

    def _tidied(self, request: Request, launch: Launch) -> Request:
        if not self._is_told(request, launch):
            return request
        try:
            brought = self._site.provider.gather(launch).sightings
        except _FAILURES as error:
            log.warning("cloud.unobserved", request_id=request.id, reason=str(error))
            return request
        taken = self.take_late(request, launch, brought)
        lost = {m.id: m.dismissed() for m in taken.machines_of(launch) if m.is_lost}
        return self._save(taken, taken.with_machines(lost))

    def take_late(self, request: Request, launch: Launch, sightings: tuple[Sighting, ...]) -> Request:
        """Record machines that came after the request was closed, so that they are given back."""
        taken = request.taken_late(launch, sightings, self._clock.now())
        tally.add("machines_brought", launch.api, amount=len(taken.machines) - len(request.machines))
        for machine in taken.machines[len(request.machines) :]:
            log.warning("machine.late", request_id=request.id, machine_id=machine.id)
        return self._save(request, taken)

    @contextmanager
    def naming(self, remains: Sequence[str]) -> Iterator[None]:
        """Hold what launches may share, so that none comes to use it between a look at who does and its removal.

        Raises BusyError.
        """
        with ExitStack() as held:
            for name in sorted(remains):
                held.enter_context(self._patience.hold("group", name))
            yield

    def remove(self, request: Request) -> Request:
        """Remove fleets, groups and launch templates in which nothing lives any more, unless others use them."""
        for launch in request.removable:
            try:
                with self.naming(launch.remains):
                    used = self._used(request, launch)
                    self._site.provider.remove(launch, [name for name in launch.remains if name not in used])
            except _FAILURES as error:
                log.warning("source.not_removed", request_id=request.id, attempt=launch.attempt, reason=str(error))
                continue
            request = self._save(request, request.with_launch(launch._replace(is_removed=True)))
        return request

    def _used(self, request: Request, launch: Launch) -> set[str]:
        """Give what any other launch needs or is going to remove itself."""
        mine = (request.id, launch.attempt)
        return {name for owner, theirs in self._leaving() if owner != mine for name in theirs.remains}

    def _leaving(self) -> Iterator[tuple[tuple[str, int], Launch]]:
        for request in self._store.requests.live():
            for launch in request.launches:
                if launch.leaves_something:
                    yield (request.id, launch.attempt), launch

    def uses(self, name: str) -> bool:
        """True when a launch of a live record needs something, or is going to remove it itself."""
        return any(name in launch.remains for _, launch in self._leaving())

    def discard(self, spare: Spare) -> None:
        """Remove what no launch uses. Raises ProviderError, ConfigurationError, BusyError."""
        with self.naming([spare.name]):
            if not self.uses(spare.name):
                self._site.provider.discard([spare])

    def finish(self, request: Request) -> Request:
        """Do all that is left of a closed request, and let it leave the live records when nothing is."""
        request = self.remove(self.tidy(request))
        if request.is_spent:
            self._store.requests.archive(request)
        return request

    def finish_others(self) -> None:
        """Try again what earlier calls could not finish of closed requests; a busy one waits for the next call."""
        for request in self._store.requests.live():
            if not request.is_closed or request.is_finished:
                continue
            try:
                with self._patience.hold("request", request.id):
                    current = self._store.requests.load(request.id)
                    if current is not None:
                        self.finish(current)
            except BusyError:
                continue

    def _save(self, before: Request, after: Request) -> Request:
        return before if after == before else self._store.requests.save(after)


def _by_source(request: Request, machines: Sequence[Machine]) -> list[list[Machine]]:
    """Part machines by the source that would replace them; those that none would go together."""
    sources = sources_of(request)
    groups: dict[int, list[Machine]] = {}
    for machine in machines:
        launch = sources.get(machine.id)
        groups.setdefault(launch.attempt if launch else 0, []).append(machine)
    return list(groups.values())


def sources_of(request: Request | None) -> dict[str, Launch]:
    """Give, by machine id, the launch whose source would replace it; what nothing replaces is not in it."""
    launches = {launch.attempt: launch for launch in request.launches if launch.is_source} if request else {}
    if request is None or not launches:
        return {}
    return {m.id: launches[m.attempt] for m in request.machines if m.attempt in launches}
