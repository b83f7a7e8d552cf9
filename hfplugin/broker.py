"""The five operations of a HostFactory provider, between the wire and the cloud.

Every operation is a reconcile step: it does what is due for the records it was asked about, saves, and answers
from what is saved. What another call is working on is answered from its record.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from hfplugin.clock import Clock
from hfplugin.errors import (
    BusyError,
    ConfigurationError,
    DamagedError,
    HFPluginError,
    InputError,
    ProviderError,
    RefusedError,
    StateError,
)
from hfplugin.logs import log
from hfplugin.look import look, look_at
from hfplugin.marks import SWEEP_SECONDS
from hfplugin.model import Request, RequestStatus, Return, Template
from hfplugin.store import REQUEST_PREFIX, RETURN_PREFIX, Store, is_id, new_id
from hfplugin.wording import counted, last_reason, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.fulfilment import Fulfilment
    from hfplugin.locks import Patience
    from hfplugin.providers.base.provider import Host, Observation
    from hfplugin.reclaims import Reclaims
    from hfplugin.recovery import Recovery
    from hfplugin.returns import Returns
    from hfplugin.site import Site
    from hfplugin.sources import Sources

# Chunks are launched for at most this long in one call; polls go on from there.
LAUNCH_SECONDS = 60.0

# A demand beyond ten times what HostFactory asks for at the most is a mistake.
_MOST_UNITS = 100_000

# How long a call waits in all for records that others hold, before it answers from what is known.
_WAIT_SECONDS = 2.0

# A request's template lock is held while live machines are described: wait as long as that may take.
_TEMPLATE_WAIT_SECONDS = 5.0


_ERROR = RequestStatus.COMPLETE_WITH_ERROR

_UNKNOWN_ID = "unknown request id"


class Accepted(NamedTuple):
    """An id that HostFactory can poll, and what to say with it."""

    id: str
    message: str


class Unknown(NamedTuple):
    """An asked id that is not among the records; `status` is what can be said of it."""

    id: str
    status: RequestStatus
    message: str


class Lost(NamedTuple):
    """A host that HostFactory should drain and return: `grace` is the seconds it still has."""

    name: str
    machine_id: str
    grace: int


class Broker:
    """Answers HostFactory's questions for one provider instance."""

    def __init__(self, store: Store, site: Site, clock: Clock, time_limit: float) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._launch_until = clock.deadline(min(LAUNCH_SECONDS, time_limit))

    def request_machines(self, template_id: str, units: int) -> Accepted:
        """Launch capacity units of a template; what cannot be had at once is sought by later polls.

        Raises InputError (no such template, no count), RefusedError (nothing is left under maxNumber, or the
        cloud refused for good), StateError (the record cannot be written: the cloud was not called).
        """
        if not 1 <= units <= _MOST_UNITS:
            raise InputError(f"machineCount has to be between 1 and {_MOST_UNITS} (is {units:.6g})")
        template = self._site.template(template_id)
        drained = self._store.marks.drain()
        if drained:
            raise RefusedError(f"no new requests: {drained}; `hfplugin drain off` lets them in again")
        self._refuse_beyond_limits(template)
        request_id = new_id(REQUEST_PREFIX)
        with self._store.locks.hold("request", request_id, _WAIT_SECONDS):
            request, note = self._admit(request_id, template, units)
            log.info("request.accepted", request_id=request.id, template_id=template.id, units=request.units)
            try:
                request = self._fulfilment.begin(request, self._launch_until)
            except StateError as error:
                # Its intent is durable and may have been sent: only an id that HostFactory polls brings it home.
                log.error("request.not_advanced", request_id=request.id, reason=str(error))
                return Accepted(request.id, "; ".join(filter(None, (note, str(error)))))
        reason = last_reason(request)
        if request.is_closed and reason is not None and reason.kind.is_permanent:
            raise RefusedError(f"template {template.id}: {reason}")
        return Accepted(request.id, "; ".join(filter(None, (note, summary(request, self._clock.now())))))

    def _refuse_beyond_limits(self, template: Template) -> None:
        limits = self._site.settings.requests
        brake = self._store.brake(self._clock, limits.max_machines_per_hour)
        reason = brake.explanation() if brake.room() == 0 else ""
        if not reason and limits.max_cost_per_hour is not None:
            from hfplugin.spending import Spending

            reason = Spending(self._store, self._site, self._clock).refusal(template)
        if reason:
            refusal = RefusedError(f"template {template.id}: {reason}")
            self._store.save_reason(template.id, "", str(refusal), int(self._clock.now()))
            raise refusal

    def _admit(self, request_id: str, template: Template, units: int) -> tuple[Request, str]:
        """Write the request's record, cut to what maxNumber leaves; the template's lock keeps the count exact."""
        if template.max_number < 0:
            return self._save_new(request_id, template, units), ""
        with self._store.locks.hold("template", template.id, _TEMPLATE_WAIT_SECONDS):
            granted = min(units, self._room(template, units))
            if granted <= 0:
                refusal = RefusedError(
                    f"template {template.id}: nothing is left of its maxNumber {template.max_number}: "
                    "return machines or raise it"
                )
                self._store.save_reason(template.id, "", str(refusal), int(self._clock.now()))
                raise refusal
            request = self._save_new(request_id, template, granted)
        note = f"cut from {units} to {granted}: maxNumber is {template.max_number}" if granted < units else ""
        return request, note

    def _save_new(self, request_id: str, template: Template, units: int) -> Request:
        limits = self._site.settings.requests
        now = self._clock.now()
        request = Request(
            id=request_id,
            template=template,
            units=units,
            created=now,
            deadline=now + (template.deadline or limits.deadline_seconds),
            pending_timeout=template.pending_timeout or limits.pending_timeout_seconds,
            unclaimed_since=self._store.marks.activity(),
        )
        # First, so that a call killed from here on is taken up by another.
        self._store.marks.note_due(now + min(SWEEP_SECONDS, limits.unclaimed_timeout_seconds))
        return self._store.requests.save(request)

    def _room(self, template: Template, units: int) -> int:
        """Units left under maxNumber. Before a request is cut, machines that are gone unnoticed are taken out."""
        # Strictly: what a record that cannot be read holds is not known, so nothing is left for sure.
        live = self._store.requests.live(is_strict=True)
        requests = [request for request in live if request.template.id == template.id]
        room = template.max_number - sum(request.outstanding_units for request in requests)
        if room >= units:
            return room
        view = look(self._site, [machine for request in requests for machine in request.live_machines])
        gone = {id_ for id_, sighting in view.seen.items() if sighting.state.is_going}
        refreshed = [
            request.with_machines({m.id: m.gone() for m in request.machines if m.id in gone})
            for request in requests
        ]
        return template.max_number - sum(request.outstanding_units for request in refreshed)

    def request_status(self, ids: Sequence[str]) -> list[Request | Return | Unknown]:
        """Bring every asked record forward and give it, in order; one bad id never spoils the others."""
        records = {record_id: self._load(record_id) for record_id in ids}
        lost = [record_id for record_id, record in records.items() if record is None]
        found = {**records, **self._recovered(lost)} if lost else records
        known = {record_id: record for record_id, record in found.items() if record is not None}
        unfinished = [r for r in known.values() if not isinstance(r, Unknown) and not _is_settled(r)]
        if unfinished:
            view = look_at(self._site, unfinished)
            known |= {record.id: self._advanced(record, view) for record in unfinished}
        return [known[record_id] for record_id in ids]

    def _load(self, record_id: str) -> Request | Return | Unknown | None:
        """Give the record of an id, None when it is a request's that has none (any more)."""
        try:
            if is_id(record_id, REQUEST_PREFIX):
                return self._store.requests.load(record_id)
            if is_id(record_id, RETURN_PREFIX):
                found = self._store.returns.load(record_id) or self._returns.rebuild(record_id)
                if found is not None:
                    return found
        except DamagedError as error:
            log.error("record.damaged", record_id=record_id, message=str(error))
            if is_id(record_id, REQUEST_PREFIX):
                return None
            return self._returns.rebuild(record_id) or Unknown(record_id, _ERROR, "the record is damaged")
        except StateError as error:
            return Unknown(record_id, RequestStatus.RUNNING, str(error))
        if is_id(record_id, RETURN_PREFIX):
            self._expect_losses()
        return Unknown(record_id, _ERROR, _UNKNOWN_ID)

    def _expect_losses(self) -> None:
        """HostFactory names what no record has: where the state was lost, nothing else makes work due."""
        with suppress(StateError):
            self._store.marks.note_due(self._clock.now())

    def _recovered(self, request_ids: Sequence[str]) -> dict[str, Request | Unknown]:
        """Look for requests whose records are gone, before they are called unknown."""
        try:
            found = self._recovery.recover(request_ids)
        except HFPluginError as error:
            said = f"no record, and the cloud cannot be asked: {error}"
            return {record_id: Unknown(record_id, RequestStatus.RUNNING, said) for record_id in request_ids}
        self._expect_losses()
        return {id_: found.get(id_) or Unknown(id_, _ERROR, _UNKNOWN_ID) for id_ in request_ids}

    def _advanced(self, record: Request | Return, view: Observation) -> Request | Return:
        try:
            if isinstance(record, Request):
                return self._advanced_request(record, view)
            return self._advanced_return(record, view)
        except BusyError:
            return record  # another call is at it: what is known is a true answer
        except (StateError, ProviderError, ConfigurationError) as error:
            if isinstance(record, Request):
                log.error("request.not_advanced", request_id=record.id, reason=str(error))
            else:
                log.error("return.not_advanced", return_id=record.id, reason=str(error))
            return record

    def _advanced_request(self, record: Request, view: Observation) -> Request:
        with self._patience.hold("request", record.id):
            current = self._store.requests.load(record.id) or record
            if current.claimed() != current:
                # Durable before the answer: from now on HostFactory may rely on what it hears.
                current = self._store.requests.save(current.claimed())
            return self._fulfilment.advance(current, view, self._launch_until)

    def _advanced_return(self, record: Return, view: Observation) -> Return:
        with self._patience.hold("return", record.id):
            current = self._store.returns.load(record.id) or record
            return self._returns.advance(current, view)

    def return_machines(self, hosts: Sequence[Host]) -> Accepted:
        """Give machines back; always gives an id, also when nothing is alive any more.

        Raises InputError (no machine named) and StateError (the record cannot be written).
        """
        if not hosts:
            raise InputError("machines has to name at least one machine")
        record = self._returns.open(hosts)
        log.info("return.accepted", return_id=record.id, machines=len(record.machines))
        try:
            with self._patience.hold("return", record.id):
                # What is gone already may have been replaced: that shows only before its termination is asked.
                record = self._returns.advance(record, look(self._site, self._returns.sourced(record)))
        except HFPluginError as error:
            log.error("return.not_advanced", return_id=record.id, reason=str(error))
        return Accepted(record.id, f"returning {counted(len(record.machines), 'machine')}")

    def return_requests(self, hosts: Sequence[Host]) -> list[Lost]:
        """Name the hosts, of those given, that are taken back, gone or going without having been returned.

        Nothing is concluded from a look that failed; ProviderError when every look did, with nothing to name.
        """
        return [Lost(*named) for named in self._reclaims.named(hosts)] if hosts else []

    @cached_property
    def _patience(self) -> Patience:
        from hfplugin.locks import Patience

        return Patience(self._store.locks, _WAIT_SECONDS)

    @property
    def _fulfilment(self) -> Fulfilment:
        from hfplugin.fulfilment import Fulfilment

        return Fulfilment(self._store, self._site, self._clock, self._sources)

    @property
    def _returns(self) -> Returns:
        from hfplugin.returns import Returns

        return Returns(self._store, self._site, self._clock, self._patience, self._sources, self._recovery)

    @property
    def _recovery(self) -> Recovery:
        from hfplugin.recovery import Recovery

        return Recovery(self._store, self._site, self._clock, self._patience)

    @property
    def _reclaims(self) -> Reclaims:
        from hfplugin.reclaims import Reclaims

        return Reclaims(self._store, self._site, self._clock, self._patience, self._sources)

    @cached_property
    def _sources(self) -> Sources:
        from hfplugin.sources import Sources

        return Sources(self._store, self._site, self._clock)


def _is_settled(record: Request | Return) -> bool:
    """True when its record says all there is to say, and that HostFactory has asked about it."""
    if isinstance(record, Return):
        return record.is_closed
    return record.is_closed and (record.claimed() == record or record.is_spent)
