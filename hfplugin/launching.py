"""Launches what a request lacks: place after place, each launch durable before it is sent and after.

The caller holds the request's lock.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import NamedTuple

from hfplugin.clock import Clock, Deadline
from hfplugin.errors import BusyError, ConfigurationError, ErrorKind, ProviderError, StateError
from hfplugin.logs import log
from hfplugin.metrics.tally import tally
from hfplugin.model import Launch, LaunchState, Phase, Refusal, Request
from hfplugin.providers.base.provider import Nowhere, Order, Outcome, Plan
from hfplugin.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.brake import Brake
    from hfplugin.site import Site
    from hfplugin.sources import Sources
    from hfplugin.spending import Spending

# Ours: the codes of what the brake and the ceiling hold back.
_BRAKED = "MaxMachinesPerHour"
_TOO_DEAR = "MaxCostPerHour"


class Step(NamedTuple):
    """A request after launching what could be launched; `is_seeking` while more may still be had later."""

    request: Request
    is_seeking: bool


class Launching:
    """Launches for requests with one provider and one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._sources = sources

    def meet_shortfall(self, request: Request, until: Deadline) -> Step:
        """Launch what is missing, place after place, until it is had, nowhere is left or the time is up."""
        while request.phase is Phase.OPEN and request.shortfall and not self._is_past_deadline(request):
            if until.has_passed:
                return Step(request, True)
            now = self._clock.now()
            try:
                plan = self._planned(request, now)
            except (ProviderError, ConfigurationError) as error:
                return self._unplanned(request, Refusal.of(error))
            if isinstance(plan, Nowhere):
                return Step(self._save(request, request._replace(trouble=plan.passed_over)), False)
            intent = self._intended(request, plan, now)
            if len(intent.launches) == len(request.launches):
                self._brake.give_back(plan.machines, now)
                return Step(intent, True)
            request = self.spare(request, self.send(intent, intent.launches[-1]))
            last = request.launches[-1]
            kinds = {error.kind for error in last.errors}
            if last.state is LaunchState.REFUSED and kinds and all(kind.is_permanent for kind in kinds):
                return Step(request, False)
            is_place_shut = last.attempt in request.exhausted_attempts
            if ErrorKind.THROTTLED in kinds or (last.state is LaunchState.REFUSED and not is_place_shut):
                return Step(request, True)  # the same place again, but not at once
        return Step(request, True)

    def _unplanned(self, request: Request, reason: Refusal) -> Step:
        """The launch could not even be planned: for good, or for now."""
        now = self._clock.now()
        told = request._replace(trouble=(reason._replace(at=int(now)),))
        request = self._save(
            request, told.blinded(now) if reason.kind is ErrorKind.TRANSIENT else told.sighted(now)
        )
        log.warning("launch.unplanned", request_id=request.id, kind=reason.kind, reason=str(reason))
        self._remember(request, reason)
        return Step(request, not reason.kind.is_permanent)

    def _planned(self, request: Request, now: float) -> Plan | Nowhere:
        """Plan the next launch, for no more machines than ceiling and brake let through, which are booked."""
        plan = self._site.provider.plan(self._order(request, request.shortfall))
        if isinstance(plan, Nowhere):
            return plan
        least = plan.machines if request.template.all_or_nothing else 1
        allowed = self._spending.granted(request.template, plan)
        if allowed < least:
            return self._held(request, _TOO_DEAR, self._spending.explanation(request.template), now)
        granted = self._brake.book(allowed, now)
        if granted == plan.machines:
            return plan
        if granted < least:
            self._brake.give_back(granted, now)
            return self._held(request, _BRAKED, self._brake.explanation(), now)
        smaller: Plan | Nowhere = Nowhere()
        try:
            smaller = self._site.provider.plan(self._order(request, granted * plan.weight))
        finally:
            self._brake.give_back(granted - (smaller.machines if isinstance(smaller, Plan) else 0), now)
        return smaller

    def _held(self, request: Request, code: str, explanation: str, now: float) -> Nowhere:
        """A limit of ours leaves nothing."""
        reason = Refusal(ErrorKind.QUOTA, code, explanation, at=int(now))
        log.warning("launch.braked", request_id=request.id, limit=code, reason=explanation)
        self._remember(request, reason)
        return Nowhere((reason,))

    @cached_property
    def _spending(self) -> Spending:
        from hfplugin.spending import Spending

        return Spending(self._store, self._site, self._clock)

    @cached_property
    def _brake(self) -> Brake:
        return self._store.brake(self._clock, self._site.settings.requests.max_machines_per_hour)

    def spare(self, before: Request, after: Request) -> Request:
        """Tell the brake what launches that ended in between did not bring; gives `after`."""
        if self._site.settings.requests.max_machines_per_hour is not None:
            known = {launch.attempt: before.spared(launch) for launch in before.launches}
            for launch in after.launches:
                self._brake.give_back(after.spared(launch) - known.get(launch.attempt, 0), launch.planned_at)
        return after

    def _order(self, request: Request, units: int) -> Order:
        return Order(
            request_id=request.id,
            attempt=len(request.launches) + 1,
            template=request.template,
            units=units,
            past=request.launches,
            exhausted=request.exhausted_attempts,
        )

    def _intended(self, request: Request, plan: Plan, now: float) -> Request:
        """Make the intent to launch durable; give the request without it when it may not be begun just now."""
        try:
            with self._sources.naming(plan.remains), self._spending.taking():
                intent = request._replace(trouble=()).with_launch(self._frozen(request, plan, now))
                saved = self._save(request, intent)
                if self._spending.is_kept():
                    return saved
                return self._store.requests.save(request._replace(generation=saved.generation))
        except BusyError:  # what it would share is being removed, or others take room under the ceiling for long
            return request

    def _frozen(self, request: Request, plan: Plan, now: float) -> Launch:
        attempt = len(request.launches) + 1
        token = _token(self._site.context.installation, request.id, str(attempt), plan.region, plan.place)
        launch = plan.frozen(attempt, token, now)
        return launch._replace(user_data=self._store.save_text(plan.user_data)) if plan.user_data else launch

    def send(self, request: Request, launch: Launch) -> Request:
        """Send a launch whose record is durable, and make its outcome durable. Safe to repeat."""
        user_data = self._store.load_text(launch.user_data) if launch.user_data else ""
        called_at = self._clock.now()
        outcome = self._site.provider.launch(launch, user_data)
        if launch.state is LaunchState.PLANNED:  # any other was asked for before
            tally.add("machines_asked", launch.api, amount=launch.machines)
        tally.add("launches", launch.api, outcome.state)
        return self.record(request, launch, outcome, called_at)

    def record(self, request: Request, launch: Launch, outcome: Outcome, called_at: float) -> Request:
        at = int(called_at)
        launch = launch._replace(
            state=outcome.state,
            account=launch.account or outcome.account,
            resource_id=outcome.resource_id or launch.resource_id,
            look_only=outcome.look_only,
            errors=tuple(error._replace(at=at) for error in outcome.errors) or launch.errors,
        )
        write = log.info if outcome.sightings else log.warning
        write(
            "launch.answered",
            request_id=request.id,
            attempt=launch.attempt,
            place=launch.place,
            state=launch.state,
            asked=launch.units,
            machines=len(outcome.sightings),
            errors=[str(error) for error in outcome.errors],
        )
        for error in outcome.errors:
            self._remember(request, error)
        told = request.with_launch(launch).adopt(launch, outcome.sightings, called_at)
        tally.add("machines_brought", launch.api, amount=len(told.machines) - len(request.machines))
        return self._save(
            request, told if launch.state is LaunchState.UNKNOWN else told.sighted(self._clock.now())
        )

    def _remember(self, request: Request, reason: Refusal) -> None:
        """Count the reason, and keep it where `hfplugin status` finds it once the request's record is archived."""
        tally.add("refusals", reason.kind)
        try:
            self._store.save_reason(request.template.id, request.id, str(reason), int(self._clock.now()))
        except StateError as error:
            log.warning("reason.not_kept", request_id=request.id, reason=str(error))

    def _is_past_deadline(self, request: Request) -> bool:
        return request.past_deadline(self._clock.now())

    def _save(self, before: Request, after: Request) -> Request:
        return before if after == before else self._store.requests.save(after)


def _token(*parts: str) -> str:
    """Derive a launch's idempotency token: the same launch always has the same one, 48 of EC2's 64 characters."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:48]
