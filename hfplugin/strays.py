"""What the cloud has under our tags and no record accounts for.

Only what this installation launched is touched, and a machine goes only when the record of its request says so:
a record that is missing, or that does not even know the launch, was lost or restored from a backup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from hfplugin.clock import Clock
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.look import judged, look
from hfplugin.model import Launch, Machine, Request, Result
from hfplugin.providers.base.provider import FoundSource, Inventory, Sighting, Spare
from hfplugin.recovery import Recovery
from hfplugin.sources import Sources
from hfplugin.store import REQUEST_PREFIX, Store, is_id
from hfplugin.task import Task
from hfplugin.wording import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.site import Site

# What nothing uses but is this young may have been made for a launch whose record is just being written.
_SPARE_SECONDS = 3600.0


class Astray:
    """What of one closed request the cloud has and the record does not account for."""

    def __init__(self, request: Request, machines: Sequence[Sighting], sources: Sequence[FoundSource]) -> None:
        self.request = request
        self._machines = machines
        self._sources = sources
        self._held = {machine.id: machine for machine in request.machines}
        self._launches = {launch.attempt: launch for launch in request.launches}

    def again(self, request: Request) -> Astray:
        """Compare with what the record says by now."""
        return Astray(request, self._machines, self._sources)

    @property
    def forgotten(self) -> list[Sighting]:
        """Machines of a launch that the record does not know, though it is written before any is sent."""
        return [each for each in self._unheld if each.attempt not in self._launches]

    @property
    def forgotten_sources(self) -> list[Launch]:
        return [each.launch for each in self._sources if each.launch.attempt not in self._launches]

    @property
    def late(self) -> list[Sighting]:
        """Machines that came of a known launch after HostFactory had heard all there would be."""
        return [each for each in self._unheld if each.attempt in self._launches]

    @property
    def reappeared(self) -> list[Launch]:
        """Sources of known launches that were removed, or never heard of."""
        found = {each.launch.attempt: each.launch for each in self._sources}
        return [
            found[attempt]
            for attempt, known in self._launches.items()
            if attempt in found and (known.is_removed or known.resource_id != found[attempt].resource_id)
        ]

    @property
    def unended(self) -> list[Machine]:
        """Machines that were given back, and ended as far as the record knows, but run."""
        running = {each.id for each in self._machines if each.state.is_starting_or_up}
        ended = (m for m in self.request.machines if not m.is_live and (m.return_id or m.result is Result.FAIL))
        return [machine for machine in ended if machine.id in running]

    @property
    def _unheld(self) -> list[Sighting]:
        return [each for each in self._machines if each.id not in self._held]

    def __str__(self) -> str:
        """Say what there is, empty when there is nothing."""
        return ", ".join(
            f"{counted(len(found), noun)} {what}"
            for found, noun, what in (
                (self.forgotten, "machine", "of launches that the record does not know"),
                (self.forgotten_sources, "source", "that the record does not know"),
                (self.late, "machine", "that came too late"),
                (self.reappeared, "source", "that should not be there"),
                (self.unended, "machine", "running again"),
            )
            if found
        )


class Strays:
    """Compares an inventory with the records of one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, sources: Sources, recovery: Recovery) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._sources = sources
        self._recovery = recovery
        self._patience = Patience(store.locks, 0.0)

    def tasks(self, found: Inventory) -> Iterator[Task]:
        """Give one task for each request that something is astray of, and one for each thing that nobody uses."""
        ours = self._site.context.installation
        machines: dict[str, list[Sighting]] = {}
        for sighting in found.machines:
            if sighting.installation == ours:
                machines.setdefault(sighting.request_id, []).append(sighting)
        sources: dict[str, list[FoundSource]] = {}
        for source in found.sources:
            if source.installation == ours:
                sources.setdefault(source.request_id, []).append(source)
        for request_id in sorted({*machines, *sources}):
            if is_id(request_id, REQUEST_PREFIX):
                mine = machines.get(request_id, []), sources.get(request_id, [])
                yield from self._of_request(request_id, *mine, found)
        if not found.failures:
            yield from self._vanished({sighting.id for sighting in found.machines})
        yield from self._spares([spare for spare in found.spares if spare.installation == ours])

    def _of_request(
        self, request_id: str, machines: Sequence[Sighting], sources: Sequence[FoundSource], found: Inventory
    ) -> Iterator[Task]:
        request = self._recovery.load(request_id)
        if request is None and found.failures and not _are_all_seen(machines, sources):
            return  # without its fleet, its record would let what is returned be replaced
        if request is None:
            seen = f"no record, but {counted(len(machines), 'machine')} and {counted(len(sources), 'source')}"
            yield Task(
                "lost request",
                request_id,
                seen,
                "write its record",
                lambda: self._recovery.rebuild(request_id, found),
            )
        elif request.is_closed:  # an open one takes over at its polls and at its end what it launched
            astray = Astray(request, machines, sources)
            if str(astray):
                does = "take over what the record should know, give back the rest"
                yield Task("astray", request_id, str(astray), does, lambda: self._settle(astray))

    def _vanished(self, listed: set[str]) -> Iterator[Task]:
        """Machines of closed requests that HostFactory, which would name those it uses, may never ask about."""
        for request in self._store.requests.live():
            gone = [machine for machine in request.live_machines if machine.id not in listed]
            if request.is_closed and gone:
                seen = f"{counted(len(gone), 'machine')} that the cloud does not list"
                nothing = Astray(request, (), ())
                yield Task("vanished", request.id, seen, "look at them", partial(self._settle, nothing))

    def _settle(self, astray: Astray) -> None:
        with self._patience.hold("request", astray.request.id):
            self._store.requests.restore(astray.request.id)
            request = self._recovery.load(astray.request.id)
            if request is not None and request.is_closed:
                self._sources.finish(self._settled(astray.again(self._looked_at(request))))

    def _looked_at(self, request: Request) -> Request:
        """Note what has gone: what came late may stand in for it, and its source holds a place for only one."""
        view = look(self._site, request.live_machines)
        now = self._clock.now()
        seen = request.with_machines({m.id: judged(m, view, now) for m in request.live_machines})
        return self._store.requests.save(seen) if seen != request else request

    def _settled(self, astray: Astray) -> Request:
        request = astray.request
        told = request.rebuilt(astray.forgotten, astray.forgotten_sources)
        if told != request:
            log.warning("request.taken_over", request_id=request.id, machines=len(astray.forgotten))
            told = told.claimed()
        for launch in astray.reappeared:
            told = told.with_launch(launch)
        saved = self._store.requests.save(told) if told != request else request
        for launch in saved.launches:
            late = tuple(each for each in astray.late if each.attempt == launch.attempt)
            saved = self._sources.take_late(saved, launch, late)
        if astray.unended:
            self._sources.release_again(saved, astray.unended)
        return saved

    def _spares(self, spares: Sequence[Spare]) -> Iterator[Task]:
        for spare in spares:
            if self._clock.now() - spare.made_at >= _SPARE_SECONDS and not self._sources.uses(spare.name):
                discard = partial(self._sources.discard, spare)
                yield Task("spare", spare.name, "no launch uses it", "remove it", discard)


def _are_all_seen(machines: Sequence[Sighting], sources: Sequence[FoundSource]) -> bool:
    """True when the source of every machine was found, where it is of one."""
    found = {each.launch.resource_id for each in sources}
    return all(not each.source or each.source.partition("/")[2] in found for each in machines)
