"""Does what no call of HostFactory's asks for: what was left unfinished, was abandoned or went astray.

There is no daemon: every verb, after its answer, does what is due. What this sweep does and what an administrator
is shown are the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from hfplugin.clock import Clock, Deadline
from hfplugin.errors import BusyError, HFPluginError, InputError
from hfplugin.fulfilment import Fulfilment
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.look import look_at
from hfplugin.marks import SWEEP_SECONDS
from hfplugin.metrics.tally import tally
from hfplugin.model import Phase, Request, Return
from hfplugin.providers.base.provider import Inventory, Observation
from hfplugin.recovery import Recovery
from hfplugin.returns import Returns
from hfplugin.sources import Sources
from hfplugin.store import Store
from hfplugin.strays import Strays
from hfplugin.task import Task
from hfplugin.wording import counted, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.site import Site

# How often all that the cloud has of ours is looked at.
INVENTORY_SECONDS = 300.0

ABANDONED = "HostFactory never asked about this request: given back"


class Housekeeping:
    """Finds and does the tasks of one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, wait: float = 0.0) -> None:
        """`wait` is how many seconds to wait in all for records that another call works on."""
        self._store = store
        self._site = site
        self._clock = clock
        self._patience = Patience(store.locks, wait)
        self._sources = Sources(store, site, clock)
        self._fulfilment = Fulfilment(store, site, clock, self._sources)
        self._recovery = Recovery(store, site, clock, self._patience)
        self._returns = Returns(store, site, clock, self._patience, self._sources, self._recovery)

    def sweep(self, until: Deadline) -> None:
        """Do what is due; another sweep at the same time does it all. What fails is logged and stays due."""
        try:
            with self._patience.hold("housekeeping", ""):
                if self._store.marks.is_due(self._clock.now()):
                    self._swept(until)
        except BusyError:
            return
        except HFPluginError as error:
            log.warning("housekeeping.failed", reason=str(error))

    def _swept(self, until: Deadline) -> None:
        # First, so that a killed sweep is taken up again.
        self._store.marks.set_due(self._clock.now() + SWEEP_SECONDS)
        tasks = list(self.unfinished())
        for task in tasks:
            if until.has_passed:
                return
            self.do(task)
        now = self._clock.now()
        if self._store.marks.is_inventory_older(now, INVENTORY_SECONDS) and not until.has_passed:
            found = self._site.provider.inventory()
            for task in self.astray(found):
                tasks.append(task)
                self.do(task)
            self._store.marks.note_inventory(now)
            self.prune_texts()
        if not tasks:
            self._store.marks.set_due(self._clock.now() + self._pause())

    def _pause(self) -> float:
        """Give for how long nothing can come to be due, as far as it is known now."""
        now = self._clock.now()
        pauses = [INVENTORY_SECONDS]
        for request in self._store.requests.live():
            if not request.is_closed:
                pauses.append(max(SWEEP_SECONDS, request.deadline - now))
            if request.unclaimed_since is not None:
                pauses.append(max(1.0, self._patience_for(request)))
        return min(pauses)

    def _patience_for(self, request: Request) -> float:
        """Give for how much more activity HostFactory may leave a request unasked about."""
        if request.unclaimed_since is None:
            return float("inf")
        age = self._store.marks.activity() - request.unclaimed_since
        return self._site.settings.requests.unclaimed_timeout_seconds - age

    def do(self, task: Task) -> str:
        """Do a task; give why it could not be done, empty when it was."""
        try:
            task.do()
        except BusyError as error:
            tally.add("housekeeping_tasks", task.kind, "busy")
            return str(error)
        except HFPluginError as error:
            tally.add("housekeeping_tasks", task.kind, "failed")
            log.warning("housekeeping.failed", task=task.kind, subject=task.subject, reason=str(error))
            return str(error)
        tally.add("housekeeping_tasks", task.kind, "done")
        log.info("housekeeping.done", task=task.kind, subject=task.subject, seen=task.seen)
        return ""

    def unfinished(self) -> Iterator[Task]:
        """Give what the records say is to be done; the cloud is asked when the first of it is."""
        requests = list(self._store.requests.live())
        returns = list(self._store.returns.live())
        now = self._clock.now()
        # One that HostFactory has not asked about yet is left to it, or withdrawn: nothing is decided before that.
        # Whether blind time puts the deadline off shows once the cloud is looked at.
        opened = [
            r
            for r in requests
            if r.phase is Phase.CLOSING or (not r.is_closed and r.unclaimed_since is None and now >= r.deadline)
        ]
        view = cache(lambda: look_at(self._site, [*opened, *(each for each in returns if not each.is_closed)]))
        for record in returns:
            yield self._return(record, view)
        for request in requests:
            if self._patience_for(request) <= 0 and not request.withdrawn:
                yield self._abandoned(request)
            elif request in opened:
                yield self._closing(request, view)
            elif request.is_closed and not request.is_finished:
                yield self._leftover(request)

    def _return(self, record: Return, view: Callable[[], Observation]) -> Task:
        if record.is_closed:
            return Task(
                "finished return", record.id, "it ended", "archive it", lambda: self._store.returns.archive(record)
            )

        def advance() -> None:
            with self._patience.hold("return", record.id):
                current = self._store.returns.load(record.id)
                if current is not None:
                    self._returns.advance(current, view())

        seen = f"{counted(len(record.pending), 'machine')} not gone yet"
        return Task("unfinished return", record.id, seen, "terminate them, or see them gone", advance)

    def _abandoned(self, request: Request) -> Task:
        def withdraw() -> None:
            self.withdraw(request.id, ABANDONED, lambda current: self._patience_for(current) <= 0)

        seen = f"HostFactory never asked about it; {counted(len(request.live_machines), 'machine')}"
        return Task("abandoned request", request.id, seen, "give all of it back", withdraw)

    def _closing(self, request: Request, view: Callable[[], Observation]) -> Task:
        def advance() -> None:
            self._advanced(request.id, view())

        return Task(
            "unfinished request", request.id, summary(request, self._clock.now()), "bring it to its end", advance
        )

    def _leftover(self, request: Request) -> Task:
        def finish() -> None:
            with self._patience.hold("request", request.id):
                current = self._store.requests.load(request.id)
                if current is not None and current.is_closed:
                    self._sources.finish(current)

        failed, names = len(request.condemned), [each for one in request.removable for each in one.remains]
        seen = [counted(failed, "failed machine")] if failed else []
        seen += names or ([] if failed else ["nothing but the record"])
        return Task("leftover", request.id, ", ".join(seen), "terminate or remove it", finish)

    def _advanced(self, request_id: str, view: Observation) -> None:
        with self._patience.hold("request", request_id):
            current = self._store.requests.load(request_id)
            if current is not None:
                # What is missing is not launched any more: that is left to HostFactory's polls.
                self._fulfilment.advance(current, view, self._clock.deadline(0.0))

    def withdraw(
        self, request_id: str, reason: str, is_wanted: Callable[[Request], bool] = lambda request: True
    ) -> Request:
        """Give back all of a request, whatever state it is in; what cannot be done now is done by later sweeps.

        `is_wanted` is asked again under the request's lock. Raises InputError (no such request), BusyError.
        """
        with self._patience.hold("request", request_id):
            request = self._store.requests.load(request_id)
            if request is None:
                raise InputError(f"no record of request {request_id}")
            if request.is_spent or not is_wanted(request):
                return request
            self._store.marks.note_due(self._clock.now() + SWEEP_SECONDS)
            request = self._store.requests.save(request.withdraw(reason))
            log.warning("request.withdrawn", request_id=request_id, reason=reason)
            if request.is_closed:
                return self._sources.finish(request)
            return self._fulfilment.advance(request, Observation(), self._clock.deadline(0.0))

    def astray(self, found: Inventory) -> Iterator[Task]:
        """Give what to do about all that the cloud has of ours and no record accounts for."""
        for failure in found.failures:
            log.warning("cloud.unobserved", reason=str(failure), kind=failure.kind)
        strays = Strays(self._store, self._site, self._clock, self._sources, self._recovery)
        return strays.tasks(found)

    def prune_texts(self) -> None:
        """Delete kept user data that no record uses."""
        requests = self._store.requests.live()
        self._store.prune_texts({each.user_data for request in requests for each in request.launches})
