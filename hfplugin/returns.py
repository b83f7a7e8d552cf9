"""Gives machines back for good: one return at a time, finished by later calls when this one cannot.

The order is what keeps a returned machine from being replaced or lost: the return is durable before anything is
asked; the machine is marked in its request before it is terminated; the return ends only when the cloud shows it
gone and its request says so. The caller holds the return's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from hfplugin.clock import Clock
from hfplugin.errors import BusyError, ConfigurationError, ErrorKind, ProviderError, StateError
from hfplugin.logs import log
from hfplugin.marks import SWEEP_SECONDS
from hfplugin.metrics.tally import tally
from hfplugin.model import (
    CONSISTENCY_SECONDS,
    REFUSED_RETURN_SECONDS,
    Machine,
    MachineState,
    Request,
    RequestStatus,
    Result,
    Return,
    ReturnedMachine,
)
from hfplugin.providers.base.provider import Found, Host, Observation, Released, located
from hfplugin.sources import Sources, sources_of
from hfplugin.store import REQUEST_PREFIX, RETURN_PREFIX, Store, is_id, new_id
from hfplugin.wording import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.locks import Patience
    from hfplugin.recovery import Recovery
    from hfplugin.site import Site


_UNSEARCHED = "the cloud could not be searched yet"


class Roll:
    """The machines of all live requests, by id and by name."""

    def __init__(self, requests: Iterable[Request | None]) -> None:
        self._by_id: dict[str, tuple[Request, Machine]] = {}
        self._by_name: dict[str, tuple[Request, Machine]] = {}
        for request in filter(None, requests):
            for machine in request.machines:
                entry = (request, machine)
                self._by_id[machine.id] = entry
                known = self._by_name.get(machine.name)
                # A private address is used again: the name means the machine that runs, else the latest.
                if known is None or _rank(machine) > _rank(known[1]):
                    self._by_name[machine.name] = entry

    def find(self, host: Host) -> tuple[Request, Machine] | None:
        """Match the machine id first, then the name."""
        if host.machine_id:
            return self._by_id.get(host.machine_id)
        return self._by_name.get(host.name) if host.name else None

    def is_returned(self, machine_id: str) -> bool:
        entry = self._by_id.get(machine_id)
        return entry is not None and bool(entry[1].return_id)


def _rank(machine: Machine) -> tuple[bool, int]:
    return machine.is_live, machine.launch_time


class Returns:
    """Takes returns forward with one provider and one store."""

    def __init__(
        self, store: Store, site: Site, clock: Clock, patience: Patience, sources: Sources, recovery: Recovery
    ) -> None:
        self._sources = sources
        self._recovery = recovery
        self._store = store
        self._site = site
        self._clock = clock
        self._patience = patience

    def open(self, hosts: Sequence[Host]) -> Return:
        """Make the return durable. A machine named twice is listed once; an unknown one is looked for later."""
        roll = Roll(self._store.requests.live())
        machines: dict[str, ReturnedMachine] = {}
        for host in hosts:
            entry = roll.find(host)
            machine = _known(*entry) if entry else _unknown(host)
            machines.setdefault(machine.id or machine.name, machine)
        now = self._clock.now()
        record = Return(new_id(RETURN_PREFIX), now, tuple(machines.values()))
        self._store.marks.note_due(now + SWEEP_SECONDS)
        record = self._store.returns.save(record)
        tally.add("returns")
        tally.add("machines_returned", amount=len(record.machines))
        return record

    def rebuild(self, return_id: str) -> Return | None:
        """Make a lost return's record again from what live requests say was given back under its id."""
        machines = tuple(
            _known(request, machine)
            for request in self._store.requests.live()
            for machine in request.machines
            if machine.return_id == return_id
        )
        if not machines:
            return None
        log.warning("return.rebuilt", return_id=return_id, machines=len(machines))
        return self._store.returns.save(Return(return_id, self._clock.now(), machines))

    def advance(self, record: Return, view: Observation) -> Return:
        """Do all that is due; `view` is what a look at the pending machines has just given."""
        if record.is_closed:
            return record
        record = self._save(record, self._found(record))
        record = self._save(record, self._observed(record, view))
        record = self._save(record, self._marked(record))
        record = self._save(record, self._released(record))
        return self._close_if_done(record)

    def sourced(self, record: Return) -> list[ReturnedMachine]:
        """Give the pending machines that a fleet or group would replace."""
        ids = {machine.request_id for machine in record.pending if machine.request_id}
        replaced = {each for request_id in ids for each in sources_of(self._store.requests.load(request_id))}
        return [machine for machine in record.pending if machine.id in replaced]

    def _found(self, record: Return) -> Return:
        """Look for machines that no record knows; only what carries our tags is taken."""
        unknown = {index: m for index, m in enumerate(record.machines) if not m.is_found}
        if not unknown:
            return record
        try:
            answers = self._site.provider.find_hosts([Host(m.name, m.id) for m in unknown.values()])
        except (ProviderError, ConfigurationError) as error:
            log.warning("return.not_searched", return_id=record.id, reason=str(error))
            return record
        if not all(answer.sighting for answer in answers) and not self._is_all_read():
            # What a record that cannot be read holds may be too young for the cloud to list.
            answers = [answer._replace(is_complete=False) for answer in answers]
        changed = {
            index: self._recalled(record, _identified(machine, answer))
            for (index, machine), answer in zip(unknown.items(), answers, strict=True)
        }
        return record.with_machines(changed)

    def _is_all_read(self) -> bool:
        try:
            return all(True for _ in self._store.requests.live(is_strict=True))
        except StateError:
            return False

    def _recalled(self, record: Return, machine: ReturnedMachine) -> ReturnedMachine:
        """Add what a request still knows of a machine that was found by its tags.

        A request without a record gets it back first: it tells which source would replace the machine.
        """
        if not machine.request_id:
            return machine
        if not is_id(machine.request_id, REQUEST_PREFIX):
            return machine._replace(request_id="")
        try:
            request = self._recovery.load(machine.request_id)
            if request is None:
                request = self._recovery.recover([machine.request_id]).get(machine.request_id)
        except (ProviderError, ConfigurationError, BusyError) as error:
            log.warning("return.not_searched", return_id=record.id, reason=str(error))
            return machine._replace(is_found=False, message=_UNSEARCHED)
        known = next((m for m in request.machines if m.id == machine.id), None) if request else None
        if request is None or known is None:
            return machine
        return _known(request, known)._replace(state=machine.state)

    def _observed(self, record: Return, view: Observation) -> Return:
        changed = {}
        for index, machine in enumerate(record.machines):
            if machine.result is not Result.EXECUTING:
                continue
            if machine.id in view.seen:
                seen = view.seen[machine.id]
                changed[index] = machine._replace(
                    state=seen.state, launch_time=machine.launch_time or seen.launch_time
                )
            elif machine.id in view.missing and machine.state.is_going:
                # Its termination was accepted. Of any other, only a termination's own "not found" says that.
                changed[index] = machine._replace(state=MachineState.TERMINATED)
        return record.with_machines(changed)

    def _is_past_consistency(self, machine: ReturnedMachine) -> bool:
        return self._clock.now() - machine.launch_time >= CONSISTENCY_SECONDS

    def _marked(self, record: Return) -> Return:
        """Say in their requests that the machines are given back, so that nothing replaces them."""
        waiting = [
            (index, machine)
            for index, machine in enumerate(record.machines)
            if machine.result is Result.EXECUTING and machine.is_found and not machine.is_marked
        ]
        changed: dict[int, ReturnedMachine] = {}
        for request_id, entries in groupby(sorted(waiting, key=_by_request), key=_by_request):
            group = list(entries)
            # What goes before it is given back may have been replaced by its source.
            lost = {machine.id for _, machine in group if machine.state.is_going}
            if self._mark(request_id, record.id, [machine.id for _, machine in group], lost):
                changed |= {index: machine._replace(is_marked=True) for index, machine in group}
        return record.with_machines(changed)

    def _released(self, record: Return) -> Return:
        """Terminate what still runs."""
        marked = [
            (index, machine)
            for index, machine in enumerate(record.machines)
            if machine.result is Result.EXECUTING and machine.is_marked and not machine.state.is_going
        ]
        if not marked:
            return record
        changed: dict[int, ReturnedMachine] = {}
        for request, entries in self._by_source(marked):
            try:
                released = self._sources.release(request, [located(machine) for _, machine in entries])
            except (ProviderError, ConfigurationError, BusyError) as error:
                log.warning("return.not_released", return_id=record.id, reason=str(error))
                if not isinstance(error, BusyError):
                    changed |= {index: m._replace(message=one_line(str(error))) for index, m in entries}
                continue
            log.info(
                "return.released",
                return_id=record.id,
                going=len(released.going),
                refused=len(released.refused),
            )
            changed |= {index: self._after(machine, released) for index, machine in entries}
        return record.with_machines(changed)

    def _by_source(
        self, entries: Sequence[tuple[int, ReturnedMachine]]
    ) -> list[tuple[Request | None, list[tuple[int, ReturnedMachine]]]]:
        """Part machines by the fleet or group that would replace them; all others go together."""
        ids = {machine.request_id for _, machine in entries if machine.request_id}
        requests = {request_id: self._store.requests.load(request_id) for request_id in ids}
        sources = {request_id: sources_of(request) for request_id, request in requests.items()}
        parts: dict[tuple[str, int], list[tuple[int, ReturnedMachine]]] = {}
        for index, machine in entries:
            launch = sources.get(machine.request_id, {}).get(machine.id)
            key = (machine.request_id, launch.attempt) if launch else ("", 0)
            parts.setdefault(key, []).append((index, machine))
        return [(requests.get(request_id), part) for (request_id, _), part in parts.items()]

    def _after(self, machine: ReturnedMachine, released: Released) -> ReturnedMachine:
        if machine.id in released.going:
            return machine._replace(state=MachineState.SHUTTING_DOWN, message="", refused_since=None)
        if machine.id in released.missing and self._is_past_consistency(machine):
            return machine._replace(state=MachineState.TERMINATED, message="already gone")
        refusal = released.refused.get(machine.id)
        if refusal is None:
            return machine
        message = one_line(str(refusal))
        if refusal.kind not in (ErrorKind.INVALID, ErrorKind.UNKNOWN):
            return machine._replace(message=message)
        since = machine.refused_since or self._clock.now()
        result = Result.FAIL if self._clock.now() - since >= REFUSED_RETURN_SECONDS else machine.result
        return machine._replace(message=message, refused_since=since, result=result)

    def _mark(self, request_id: str, return_id: str, ids: list[str], lost: set[str]) -> bool:
        """Say in the request that HostFactory gave these back; False when another call works on it."""

        def change(machine: Machine) -> Machine:
            is_lost = machine.is_lost or (machine.id in lost and not machine.return_id)
            return machine.returned(return_id)._replace(is_lost=is_lost)

        return self._change(request_id, ids, change)

    def _mark_gone(self, request_id: str, return_id: str, ids: list[str]) -> bool:
        """Say in the request that these are gone, and do what is left of it; False when busy."""
        return self._change(request_id, ids, lambda machine: machine.returned(return_id).gone(), is_end=True)

    def _change(
        self, request_id: str, ids: list[str], change: Callable[[Machine], Machine], is_end: bool = False
    ) -> bool:
        if not request_id:
            return True  # found by its tags only: there is no record to keep
        try:
            with self._patience.hold("request", request_id):
                request = self._store.requests.load(request_id)
                if request is None or request.is_spent:
                    return True
                machines = {m.id: change(m) for m in request.machines if m.id in ids}
                changed = request.with_machines(machines).claimed()
                if changed != request:
                    changed = self._store.requests.save(changed)
                if is_end and changed.is_closed:
                    self._sources.finish(changed)
        except BusyError:
            return False
        return True

    def _close_if_done(self, record: Return) -> Return:
        """End what the cloud shows gone, then the return when nothing is left; its status is decided once."""
        ended: dict[int, ReturnedMachine] = {}
        gone = [
            (index, machine)
            for index, machine in enumerate(record.machines)
            if machine.result is Result.EXECUTING and machine.state is MachineState.TERMINATED
        ]
        for request_id, entries in groupby(sorted(gone, key=_by_request), key=_by_request):
            group = list(entries)
            if self._mark_gone(request_id, record.id, [machine.id for _, machine in group]):
                ended |= {index: machine.done(machine.message) for index, machine in group}
        after = record.with_machines(ended)
        if not after.pending:
            failed = [machine for machine in after.machines if machine.result is Result.FAIL]
            status = RequestStatus.COMPLETE_WITH_ERROR if failed else RequestStatus.COMPLETE
            after = after._replace(status=status, closed_at=self._clock.now())
            log.info("return.closed", return_id=record.id, status=status, machines=len(after.machines))
        record = self._save(record, after)
        if record.is_closed:
            self._store.returns.archive(record)
            self._sources.finish_others()
            self._store.prune(self._site.settings.requests.history_days)
        return record

    def _save(self, before: Return, after: Return) -> Return:
        return before if after == before else self._store.returns.save(after)


def _by_request(entry: tuple[int, ReturnedMachine]) -> str:
    return entry[1].request_id


def _known(request: Request, machine: Machine) -> ReturnedMachine:
    return ReturnedMachine(
        id=machine.id,
        name=machine.name,
        request_id=request.id,
        region=machine.region,
        account=machine.account,
        state=machine.state,
        launch_time=machine.launch_time,
        private_ip=machine.private_ip,
        price_type=machine.price_type,
        machine_type=machine.machine_type,
        tags=request.template.tags,
    )


def _unknown(host: Host) -> ReturnedMachine:
    """A host that no live record has: running until the cloud says otherwise."""
    return ReturnedMachine(id=host.machine_id, name=host.name, is_found=False)


def _identified(machine: ReturnedMachine, answer: Found) -> ReturnedMachine:
    """Judge a host by what the cloud says of it: ours, somebody else's, not there, or still not known."""
    sighting = answer.sighting
    if sighting is not None and answer.is_ours:
        return machine._replace(
            id=sighting.id,
            name=machine.name or sighting.name,
            request_id=sighting.request_id,
            region=sighting.region,
            account=sighting.account,
            state=sighting.state,
            launch_time=sighting.launch_time,
            private_ip=sighting.private_ip,
            price_type=sighting.price_type,
            machine_type=sighting.machine_type,
            is_found=True,
        )
    if sighting is not None:
        return machine.done("not launched by this provider: left untouched")._replace(is_found=True)
    if answer.is_complete:
        return machine.done("not known to the cloud: nothing to return")._replace(is_found=True)
    return machine._replace(message=_UNSEARCHED)
