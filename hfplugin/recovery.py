"""Makes lost records again from the tags of what the cloud has.

A missing record is never a reason to terminate: what is found is taken over as it is, and nothing more is launched
for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hfplugin.clock import Clock
from hfplugin.errors import DamagedError, ErrorKind, ProviderError
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.model import Phase, Request, Template
from hfplugin.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Inventory
    from hfplugin.site import Site


class Recovery:
    """Rebuilds the records of requests in one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, patience: Patience) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._patience = patience

    def recover(self, request_ids: Sequence[str]) -> dict[str, Request]:
        """Look by tag for what belongs to requests without a record, and write the records of those found.

        Raises ProviderError (not every region could be searched), ConfigurationError, BusyError.
        """
        found = self._site.provider.find_requests(request_ids)
        if not {sighting.request_id for sighting in found.machines}.issuperset(request_ids):
            found = self._with_bare_sources(found)
        known = {machine.request_id for machine in found.machines}
        known |= {source.request_id for source in found.sources}
        return {request_id: self.rebuild(request_id, found) for request_id in request_ids if request_id in known}

    def _with_bare_sources(self, found: Inventory) -> Inventory:
        """Add sources of which no machine tells: they may be about to launch the first."""
        everything = self._site.provider.inventory()
        for failure in everything.failures:
            # A service that these credentials may not read is one that they do not launch with.
            if failure.kind is not ErrorKind.AUTH:
                raise ProviderError(failure.kind, failure.code, failure.message)
        known = {source.launch.resource_id for source in found.sources}
        bare = (source for source in everything.sources if source.launch.resource_id not in known)
        return found._replace(sources=(*found.sources, *bare))

    def rebuild(self, request_id: str, found: Inventory) -> Request:
        """Write a lost record anew, unless another call was first. Raises BusyError."""
        with self._patience.hold("request", request_id):
            known = self.load(request_id)
            if known is not None:
                return known
            machines = [sighting for sighting in found.machines if sighting.request_id == request_id]
            launches = [source.launch for source in found.sources if source.request_id == request_id]
            empty = self._empty(request_id, next((m.template_id for m in machines), ""))
            units = sum(sighting.units for sighting in machines if sighting.state.is_starting_or_up)
            rebuilt = empty._replace(units=units).rebuilt(machines, launches)
            log.warning("request.rebuilt", request_id=request_id, machines=len(machines), sources=len(launches))
            # It needs an end: it may hold more than machines, and HostFactory may never ask about it again.
            self._store.marks.note_due(self._clock.now())
            return self._store.requests.save(rebuilt)

    def load(self, request_id: str) -> Request | None:
        """Give a request's record; a damaged one, set aside by now, is none."""
        try:
            return self._store.requests.load(request_id)
        except DamagedError as error:
            log.error("record.damaged", record_id=request_id, message=str(error))
            return None

    def _empty(self, request_id: str, template_id: str) -> Request:
        now = self._clock.now()
        settings = self._site.settings
        template = next((t for t in self._site.templates if t.id == template_id), None)
        template = template or Template(template_id, settings.provider_type, -1, {}, {})
        return Request(
            id=request_id,
            # What is missing may have been returned: it is no reason to give back the rest.
            template=template._replace(all_or_nothing=False),
            units=0,
            created=now,
            deadline=now,
            pending_timeout=settings.requests.pending_timeout_seconds,
            phase=Phase.CLOSING,
        )
