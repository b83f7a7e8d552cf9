"""Brings one request forward: launch, settle, gather, observe, close.

Level-triggered: a step looks at the record and at the cloud, does what is due and saves; any call may take it,
it resumes wherever the last one stopped, and repeating it is safe. The caller holds the request's lock.
"""

from __future__ import annotations

from hfplugin.clock import Clock, Deadline
from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.launching import Launching
from hfplugin.logs import log
from hfplugin.model import (
    REFUSED_RETURN_SECONDS,
    REPLAY_SECONDS,
    SETTLE_SECONDS,
    Launch,
    LaunchState,
    Machine,
    Phase,
    Request,
    RequestStatus,
    Result,
    counts,
)
from hfplugin.providers.base.provider import Observation
from hfplugin.store import Store
from hfplugin.wording import summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Outcome
    from hfplugin.site import Site
    from hfplugin.sources import Sources


# A source that was told to bring nothing more may have had launches under way, which show a little later.
QUIET_SECONDS = 60


class Fulfilment:
    """Takes requests forward with one provider and one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, sources: Sources) -> None:
        self._launching = Launching(store, site, clock, sources)
        self._sources = sources
        self._store = store
        self._site = site
        self._clock = clock

    def begin(self, request: Request, until: Deadline) -> Request:
        """Launch what can be launched at once; when nothing can ever be had, the request closes."""
        step = self._launching.meet_shortfall(request, until)
        request = step.request
        is_hopeless = not step.is_seeking and not request.machines
        if is_hopeless and not any(launch.state.is_open for launch in request.launches):
            return self.close(request)
        return request

    def advance(self, request: Request, view: Observation, launch_until: Deadline) -> Request:
        """Do all that is due; `view` is what a look at the request's machines has just given."""
        if request.is_closed:
            return request
        before = request
        request = self._settle(request)
        request = self._apply(request, view)
        request = self._bound_pending(request, view)
        request = self._gather(request)
        request = self._give_up_failed_sources(request)
        step = self._launching.meet_shortfall(self._launching.spare(before, request), launch_until)
        request = self._save(step.request, step.request.without_survivors())
        request = self._sources.give_back(request)
        return self._launching.spare(step.request, self._close_if_done(request, step.is_seeking))

    def _settle(self, request: Request) -> Request:
        """Find out what came of launches whose answer is not known, before anything else is asked."""
        for launch in request.launches:
            if launch.state.is_unsettled:
                # Whatever was sent before is no first try: a refusal of it proves nothing. Saved here too, because
                # the call that wrote the record may have been killed before that was durable.
                again = launch._replace(state=LaunchState.UNKNOWN)
                request = self._save(request, request.with_launch(again))
                replays = self._may_replay(request, launch)
                request = self._launching.send(request, again) if replays else self._look(request, again)
        if any(launch.state.is_unsettled and launch.first_empty_look is None for launch in request.launches):
            request = self._save(request, request.blinded(self._clock.now()))
        return request

    def _gather(self, request: Request) -> Request:
        """Take over what fleets and groups have brought since the last look, replacements included."""
        looks = []
        for launch in request.launches:
            if launch.is_delivering:
                called_at = self._clock.now()
                try:
                    outcome = self._site.provider.gather(launch)
                except (ProviderError, ConfigurationError) as error:
                    log.warning("cloud.unobserved", request_id=request.id, reason=str(error))
                    request = self._save(request, request.blinded(called_at))
                    looks.append(False)
                    continue
                looks.append(True)
                request = self._taken(request, launch, outcome, called_at)
        is_sighted = bool(looks) and all(looks) and not request.live_machines
        return self._save(request, request.sighted(self._clock.now())) if is_sighted else request

    def _taken(self, request: Request, launch: Launch, outcome: Outcome, called_at: float) -> Request:
        """Record a look at a source, if it says anything new."""
        known = {machine.id for machine in request.machines_of(launch)}
        new = tuple(sighting for sighting in outcome.sightings if sighting.id not in known)
        said = {(error.kind, error.code) for error in launch.errors}
        is_news = any((error.kind, error.code) not in said for error in outcome.errors)
        if new or is_news or outcome.state is not launch.state:
            return self._launching.record(request, launch, outcome._replace(sightings=new), called_at)
        return request

    def _give_up_failed_sources(self, request: Request) -> Request:
        """Stop the sources that say why they bring no more: the rest is sought elsewhere."""
        for launch in request.launches if request.phase is Phase.OPEN else ():
            if launch.is_delivering and launch.has_failed and request.promised(launch):
                request = self._sources.stop(request, launch)
        return request

    def _may_replay(self, request: Request, launch: Launch) -> bool:
        is_fresh = self._clock.now() - launch.planned_at < REPLAY_SECONDS
        is_open = request.phase is Phase.OPEN and not self._is_past_deadline(request)
        return is_open and is_fresh and not launch.look_only

    def _look(self, request: Request, launch: Launch) -> Request:
        """Search, without launching, for what an unknown launch brought; two empty looks settle it."""
        now = self._clock.now()
        try:
            found = self._site.provider.find_launched(launch, request.id)
        except ProviderError as error:
            log.warning("launch.unseen", request_id=request.id, attempt=launch.attempt, reason=str(error))
            return request
        request = request.sighted(now)
        if found.state is LaunchState.ACCEPTED:
            return self._launching.record(request, launch, found, launch.planned_at)
        since = launch.first_empty_look
        if found.sightings:
            # EC2 may show a part of a launch before the rest: fewer than asked are all only when that lasts.
            has_lasted = since is not None and now - since >= SETTLE_SECONDS
            units = sum(launch.units_of(sighting.machine_type) for sighting in found.sightings)
            state = LaunchState.SETTLED if has_lasted or units >= launch.units else LaunchState.UNKNOWN
            outcome = found._replace(state=state, account=found.sightings[0].account, look_only=True)
            launch = launch._replace(first_empty_look=now if since is None else since)
            return self._launching.record(request, launch, outcome, launch.planned_at)
        if launch.first_empty_look is None:
            return self._save(request, request.with_launch(launch._replace(first_empty_look=now)))
        if now - launch.first_empty_look < SETTLE_SECONDS:
            return request
        log.warning("launch.settled_empty", request_id=request.id, attempt=launch.attempt)
        return self._save(request, request.with_launch(launch._replace(state=LaunchState.SETTLED)))

    def _apply(self, request: Request, view: Observation) -> Request:
        """Take over what the look gave; what it did not see stays as it is."""
        now = self._clock.now()
        changed = {}
        is_blind = False
        for machine in request.live_machines:
            if machine.id in view.seen:
                changed[machine.id] = machine.seen(view.seen[machine.id])
            elif machine.id in view.missing:
                changed[machine.id] = self._missed(machine, now)
            else:
                is_blind = is_blind or bool(view.failures)
        looked = self._without_surplus(request.with_machines(changed), request, view)
        for machine in looked.machines:
            if machine.id in changed:
                self._tell(request, machine)
        if is_blind:
            looked = looked.blinded(now)
        elif changed:
            looked = looked.sighted(now)
        return self._save(request, looked)

    @staticmethod
    def _without_surplus(looked: Request, before: Request, view: Observation) -> Request:
        """Fail what has arrived beyond what was asked for, before HostFactory hears that it can be used.

        It may stand in for a machine that is gone, so that has to be seen of all; until then it is kept back.
        """
        arriving = {m.id for m in before.machines if m.result is Result.EXECUTING and m.id in view.seen}
        surplus = looked.surplus(arriving)
        is_sure = all(machine.id in view.seen for machine in looked.live_machines if counts(machine))
        return looked.with_machines(
            {
                machine.id: machine.failed("more than was asked for: given back")
                if is_sure
                else machine._replace(result=Result.EXECUTING, delivered=False)
                for machine in surplus
            }
        )

    @staticmethod
    def _missed(machine: Machine, now: float) -> Machine:
        """Fail a machine that is absent for good; it may run for all that, so it is terminated like any other."""
        missing = machine.missing(now)
        if missing.is_absent(now) and missing.result is not Result.FAIL:
            return missing.failed("no longer known to the cloud")
        return missing

    @staticmethod
    def _tell(request: Request, machine: Machine) -> None:
        before = next(known for known in request.machines if known.id == machine.id)
        if machine.result is Result.FAIL and before.result is not Result.FAIL:
            log.warning("machine.failed", request_id=request.id, machine_id=machine.id, reason=machine.message)

    def _bound_pending(self, request: Request, view: Observation) -> Request:
        """Fail machines that this very look shows not ready for too long; blind time does not count."""
        now = self._clock.now()
        planned = {launch.attempt: launch.planned_at for launch in request.launches}
        changed = {}
        for machine in request.machines:
            if machine.result is not Result.EXECUTING or machine.id not in view.seen:
                continue
            blind = max(0.0, request.blind_until(now) - machine.blind_before)
            age = now - max(machine.launch_time, planned.get(machine.attempt, 0.0)) - blind
            if age >= request.pending_timeout:
                late = f"not ready within {request.pending_timeout} s ({machine.state}): to be terminated"
                changed[machine.id] = machine.failed(late)
                self._tell(request, changed[machine.id])
        return self._save(request, request.with_machines(changed))

    def _close_if_done(self, request: Request, is_seeking: bool) -> Request:
        if self._is_past_deadline(request) and request.phase is Phase.OPEN:
            request = self._save(request, request._replace(phase=Phase.CLOSING))
        if request.phase is not Phase.OPEN:
            request = self._quietened(request)
        if any(launch.state.is_unsettled for launch in request.launches) or self._has_work(request):
            return request
        if request.phase is Phase.OPEN:
            is_promised = any(request.promised(launch) for launch in request.launches)
            if is_promised or (request.shortfall and is_seeking):
                return request
            request = self._quietened(self._save(request, request._replace(phase=Phase.CLOSING)))
        if any(launch.is_delivering for launch in request.launches) or self._has_work(request):
            return request
        if request.template.all_or_nothing and request.shortfall and self._keeps_machines(request):
            return self._renounce(request)
        return self.close(request)

    def _quietened(self, request: Request) -> Request:
        """Stop every source, and settle it once nothing more can come of it."""
        for launch in request.launches:
            if launch.is_delivering and not launch.is_stopped:
                request = self._sources.stop(request, launch)
        before = {machine.id for machine in request.machines}
        waiting = [launch.attempt for launch in request.launches if launch.is_delivering and launch.is_stopped]
        if not waiting:
            return request
        request = self._gather(request)
        if request.blind_since is not None or any(machine.id not in before for machine in request.machines):
            return request
        for launch in request.launches:
            if launch.attempt in waiting and self._is_quiet(request, launch):
                request = request.with_launch(launch._replace(state=LaunchState.SETTLED))
        return request

    def _is_quiet(self, request: Request, launch: Launch) -> bool:
        """True when a stopped source had brought all, or when long enough has passed for the rest to show."""
        is_full = not request.undelivered(launch)
        return is_full or self._clock.now() - launch.stopped_at >= QUIET_SECONDS

    def _has_work(self, request: Request) -> bool:
        if any(machine.result is Result.EXECUTING for machine in request.machines):
            return True
        # A machine that AWS will not terminate cannot hold the request open for ever; its record stays.
        patience = self._clock.now() - REFUSED_RETURN_SECONDS
        return any(m.refused_since is None or m.refused_since > patience for m in request.condemned)

    @staticmethod
    def _keeps_machines(request: Request) -> bool:
        return any(m.result is not Result.FAIL and not m.return_id for m in request.machines)

    def _renounce(self, request: Request) -> Request:
        """All or nothing, and not all: nothing. The request closes once every machine is on its way out."""
        short = f"all or nothing: {request.shortfall} of {request.units} could not be had"
        changed = {
            m.id: m.failed(short) for m in request.machines if m.result is not Result.FAIL and not m.return_id
        }
        request = self._save(request, request.with_machines(changed))
        request = self._sources.give_back(request)
        return request if request.condemned else self.close(request)

    def close(self, request: Request) -> Request:
        """Decide the status, once and durably; a request without a machine left leaves the live records."""
        has_usable = any(m.result is Result.SUCCEED or m.return_id for m in request.machines)
        status = RequestStatus.COMPLETE if has_usable else RequestStatus.COMPLETE_WITH_ERROR
        request = self._save(request, request.closed(status, self._clock.now()))
        said = summary(request, self._clock.now())
        log.info("request.closed", request_id=request.id, status=request.status, message=said)
        request = self._sources.finish(request)
        if request.is_spent:
            self._store.prune(self._site.settings.requests.history_days)
        return request

    def _is_past_deadline(self, request: Request) -> bool:
        return request.past_deadline(self._clock.now())

    def _save(self, before: Request, after: Request) -> Request:
        return before if after == before else self._store.requests.save(after)
