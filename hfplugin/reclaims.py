"""Tells HostFactory which of its hosts the cloud takes back or has taken: by the cloud's own words, and by a look.

Nothing is concluded from a look that failed, and nothing drastic from a look alone. What the cloud said is in the
machine's record before its message is let go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from hfplugin.clock import Clock
from hfplugin.errors import HFPluginError, ProviderError, StateError
from hfplugin.locks import Patience
from hfplugin.logs import log
from hfplugin.look import judged, look
from hfplugin.marks import SWEEP_SECONDS
from hfplugin.metrics.tally import tally
from hfplugin.model import Machine, Notice, NoticeKind, Refusal, Request
from hfplugin.providers.base.provider import Host, Observation, Reclaimed, Sighting, located
from hfplugin.returns import Roll
from hfplugin.roster import compare
from hfplugin.sources import Sources
from hfplugin.store import REQUEST_PREFIX, Store, is_id
from hfplugin.wording import some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.site import Site

# More machines than this, and more than half of all, do not go at once: a wrong answer of the cloud, for one to
# wrong credentials or from a wrong endpoint, is likelier, until another kind of look shows the same.
_FEW = 10


class Kept(NamedTuple):
    """A machine that was not returned, as its record has it; `host` is how HostFactory names it, if it does."""

    host: Host | None
    request: Request
    machine: Machine


class Strange(NamedTuple):
    """What a search for hosts that no live record has gave: machines of ours that went, and hosts of nobody.

    `unknown` is None when nobody could look.
    """

    gone: Mapping[str, tuple[Host, Sighting]] = {}
    unknown: Sequence[str] | None = None


class News(NamedTuple):
    """What one call hears of machines. That those in `doubted` are gone is not believed."""

    view: Observation
    notices: Mapping[str, Sequence[Notice]]
    now: float
    doubted: Collection[str] = frozenset()

    def of(self, machine: Machine) -> Machine:
        """Take over what is said of a machine; a word that it is gone counts only when a look misses it."""
        words = sorted(self.notices.get(machine.id, ()), key=lambda notice: notice.weight)
        ends = [word for word in words if word.kind is NoticeKind.GONE]
        still = [word for word in words if word.kind is not NoticeKind.GONE and not word.is_rescinded(self.now)]
        if still:
            machine = machine.noticed(still[-1], self.now)
        if machine.id in self.doubted:
            return machine
        after = judged(machine, self.view, self.now)
        return after.gone(ends[-1].reason) if ends and machine.id in self.view.missing else after

    def grace(self, request: Request, machine: Machine) -> int | None:
        """Give the seconds that a machine, after this news, still has; None when nobody takes it."""
        if request.has_let_go(machine):
            return None
        if not machine.state.is_starting_or_up:
            return None if machine.id in self.doubted else 0
        if machine.notice is None or not machine.is_going_unasked or machine.notice.is_rescinded(self.now):
            return None
        return machine.notice.seconds_left(self.now)


class Reclaims:
    """Says what the cloud takes, with one provider and one store."""

    def __init__(self, store: Store, site: Site, clock: Clock, patience: Patience, sources: Sources) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._patience = patience
        self._sources = sources

    def named(self, hosts: Sequence[Host]) -> list[tuple[str, str, int]]:
        """Name the hosts, of those given, that are taken back or gone: name, machine id and the seconds left.

        ProviderError when nothing could be seen and there is nothing to name.
        """
        requests = list(self._store.requests.live())
        roll = Roll(requests)
        told = self._told(requests)
        kept = self._kept(hosts, requests, roll, told)
        news = self._looked(kept, told)
        blindness = _blindness(news.view)
        strangers = [host for host in hosts if roll.find(host) is None]
        strange = Strange()
        if blindness is None:
            try:
                strange = self._searched(strangers)
            except ProviderError as error:
                log.warning("cloud.unobserved", reason=str(error), kind=error.kind)
                blindness = Refusal.of(error) if len(strangers) == len(hosts) else None
        news = self._believed(news, kept, strange)
        if self._is_noted(kept, news) and told.receipts:
            self._let_go(told.receipts)
        listed = {entry[1].id for host in hosts if (entry := roll.find(host))}
        compare(self._store, requests, listed, strange.unknown, self._clock.now())
        lost = self._lost(kept, strange, news)
        if blindness is not None and not lost:
            raise ProviderError(blindness.kind, blindness.code, blindness.message)
        return lost

    # what is heard

    def _told(self, requests: Iterable[Request]) -> Reclaimed:
        """Ask for the cloud's words of every machine on record, also of those that HostFactory does not name."""
        machines = [located(machine) for request in requests for machine in request.machines]
        if not machines:
            return Reclaimed()
        try:
            told = self._site.provider.reclaimed(machines)
        except HFPluginError as error:
            told = Reclaimed(failures=(Refusal.of(error),))
        for failure in told.failures:
            log.warning("reclaim.unheard", reason=str(failure), kind=failure.kind)
        return told

    @staticmethod
    def _kept(hosts: Iterable[Host], requests: Iterable[Request], roll: Roll, told: Reclaimed) -> dict[str, Kept]:
        """Give, by id, the machines that HostFactory names or the cloud speaks of, unless they were returned."""
        noticed = {notice.machine_id for notice in told.notices}
        entries = ((host, entry) for host in hosts if (entry := roll.find(host)))
        found = {machine.id: Kept(host, request, machine) for host, (request, machine) in entries}
        for request in requests:
            spoken_of = (m for m in request.machines if m.id in noticed and m.id not in found)
            found |= {machine.id: Kept(None, request, machine) for machine in spoken_of}
        return {id_: each for id_, each in found.items() if not each.machine.return_id}

    def _looked(self, kept: Mapping[str, Kept], told: Reclaimed) -> News:
        """Look at what HostFactory names and at what is said to be gone: after that was said."""
        notices: dict[str, list[Notice]] = {}
        for notice in told.notices:
            notices.setdefault(notice.machine_id, []).append(notice)
        ended = {notice.machine_id for notice in told.notices if notice.kind is NoticeKind.GONE}
        view = look(
            self._site,
            [each.machine for id_, each in kept.items() if each.machine.is_live and (each.host or id_ in ended)],
        )
        return News(view, notices, self._clock.now())

    def _searched(self, hosts: Sequence[Host]) -> Strange:
        """Look in the whole cloud for hosts that no live record has. Raises ProviderError."""
        if not hosts:
            return Strange(unknown=())
        answers = list(zip(hosts, self._site.provider.find_hosts(hosts), strict=True))
        ours = [(host, answer.sighting) for host, answer in answers if answer.sighting and answer.is_ours]
        self._claim({sighting.request_id for _, sighting in ours})
        gone = {each.id: (host, each) for host, each in ours if not each.state.is_starting_or_up}
        given_back = self._given_back({sighting.request_id for _, sighting in gone.values()})
        return Strange(
            {id_: each for id_, each in gone.items() if id_ not in given_back},
            [host.name or host.machine_id for host, each in answers if not each.sighting and each.is_complete],
        )

    def _claim(self, request_ids: Iterable[str]) -> None:
        """HostFactory uses machines of these requests, though their records, lost or older, do not know so."""
        for request_id in request_ids:
            if not is_id(request_id, REQUEST_PREFIX):
                continue
            with suppress(StateError):
                self._store.marks.note_due(self._clock.now())  # a state that was lost is to be looked after
            try:
                with self._patience.hold("request", request_id):
                    request = self._store.requests.load(request_id)
                    if request is not None and request.claimed() != request:
                        self._store.requests.save(request.claimed())
            except StateError as error:
                log.warning("request.not_claimed", request_id=request_id, reason=str(error))

    def _given_back(self, request_ids: Iterable[str]) -> set[str]:
        """Give the machines that HostFactory or hfplugin ended, by records that are archived by now."""
        requests = self._loaded(request_ids)
        return {machine.id for each in requests for machine in each.machines if each.has_let_go(machine)}

    def _loaded(self, request_ids: Iterable[str]) -> list[Request]:
        found = []
        for request_id in request_ids:
            with suppress(StateError):
                if is_id(request_id, REQUEST_PREFIX):
                    found.append(self._store.requests.load(request_id))
        return [request for request in found if request is not None]

    # what is believed

    def _believed(self, news: News, kept: Mapping[str, Kept], strange: Strange) -> News:
        """Doubt a loss of most machines at once, unless another kind of look shows the same."""
        after = {id_: news.of(each.machine) for id_, each in kept.items()}
        hosts = {id_: each for id_, each in kept.items() if each.host}
        ended = {id_ for id_, each in hosts.items() if news.grace(each.request, after[id_]) is not None}
        # What hfplugin itself has ended needs no proof.
        unasked = (id_ for id_ in ended if not after[id_].was_given_back)
        gone = {id_: kept[id_].request.id for id_ in unasked if _is_lost(after[id_])}
        gone |= {id_: sighting.request_id for id_, (_, sighting) in strange.gone.items()}
        known = len(hosts) + len(strange.gone)
        if len(gone) <= _FEW or 2 * len(gone) <= known:
            return news
        denied = self._denied(gone, known)
        if not denied:
            return news
        # A look that is wrong about one is not believed of any; what records have is from an earlier one.
        fresh = {id_ for id_, each in kept.items() if _is_lost(after[id_]) and not _is_lost(each.machine)}
        return news._replace(doubted=denied | fresh)

    def _denied(self, gone: Mapping[str, str], known: int) -> set[str]:
        """Search by tag for machines, given with their requests' ids: give those that run, all if that fails."""
        try:
            found = self._site.provider.find_requests(sorted({*gone.values()}))
            failure = next((str(each) for each in found.failures), "")
        except HFPluginError as error:
            failure = str(error)
        if failure:
            log.error("reclaim.unconfirmed", machines=len(gone), known=known, reason=failure)
            return {*gone}
        running = {each.id for each in found.machines if each.state.is_starting_or_up} & gone.keys()
        if running:
            said = f"{len(running)} of them run, by their tags: {some(sorted(running))}"
            log.error("reclaim.unconfirmed", machines=len(gone), known=known, reason=said)
        else:
            log.warning("reclaim.mass", machines=len(gone), known=known, hosts=some(sorted(gone)))
        return running

    # what is kept

    def _is_noted(self, kept: Mapping[str, Kept], news: News) -> bool:
        """Keep the news in the records, so that later calls can build on it; False when some could not be kept."""
        noted: dict[str, set[str]] = {}
        claimed: set[str] = set()
        for id_, (host, request, machine) in kept.items():
            if _is_news(machine, news.of(machine)):
                noted.setdefault(request.id, set()).add(id_)
            if host is not None and request.claimed() != request:  # HostFactory names it: it knows of the request
                noted.setdefault(request.id, set())
                claimed.add(request.id)
        is_kept = True
        for request_id, ids in noted.items():
            try:
                with self._patience.hold("request", request_id):
                    self._note(request_id, ids, news, request_id in claimed)
            except StateError as error:
                log.warning("machine.not_noted", request_id=request_id, reason=str(error))
                is_kept = is_kept and not ids
        return is_kept

    def _note(self, request_id: str, ids: set[str], news: News, is_named: bool) -> None:
        request = self._store.requests.load(request_id)
        if request is None or request.is_spent:
            return
        before = {m.id: m for m in request.machines if m.id in ids}
        after = {id_: news.of(machine) for id_, machine in before.items()}
        changed = request.with_machines(after)
        changed = changed.claimed() if is_named else changed
        if changed != request:
            changed = self._store.requests.save(changed)
        for id_, machine in after.items():
            _tell(request_id, before[id_], machine)
        if not changed.is_finished:
            self._store.marks.note_due(self._clock.now() + SWEEP_SECONDS)
        self._sources.tidy(changed)

    def _let_go(self, receipts: Sequence[str]) -> None:
        """Let messages go whose word is noted, be it by another call that has not come to its end."""
        try:
            self._store.requests.sync()
        except StateError as error:
            log.warning("machine.not_noted", reason=str(error))
        else:
            self._site.provider.acknowledge(receipts)

    # what is said

    def _lost(self, kept: Mapping[str, Kept], strange: Strange, news: News) -> list[tuple[str, str, int]]:
        named = []
        for host, request, machine in kept.values():
            after = news.of(machine)
            grace = news.grace(request, after)
            if host is not None and grace is not None:
                named.append((request.id, host.name or after.name, after.id, grace))
        # What was returned meanwhile, HostFactory does not have to hear any more.
        again = Roll(self._loaded({request_id for request_id, *_ in named}))
        lost = [(name, id_, grace) for _, name, id_, grace in named if not again.is_returned(id_)]
        strangers = ((id_, host, seen) for id_, (host, seen) in strange.gone.items() if id_ not in news.doubted)
        return lost + [(host.name or seen.name, id_, 0) for id_, host, seen in strangers]


def _blindness(view: Observation) -> Refusal | None:
    """Give why nothing at all could be seen."""
    return view.failures[0] if view.failures and not view.seen and not view.missing else None


def _is_lost(machine: Machine) -> bool:
    return not machine.state.is_starting_or_up


def _is_taken(machine: Machine) -> bool:
    """True when it went, or is said to go, without being given back."""
    return machine.notice is not None or (_is_lost(machine) and not machine.was_given_back)


def _is_news(before: Machine, after: Machine) -> bool:
    was, now = ((_is_lost(each), each.missing_since, each.notice) for each in (before, after))
    return was != now


def _tell(request_id: str, before: Machine, after: Machine) -> None:
    """Log what has become of a machine, and count it when it was not taken before."""
    if _is_taken(after) and not _is_taken(before):
        tally.add("machines_interrupted")
    said = {"request_id": request_id, "machine_id": after.id}
    if _is_lost(after) and not _is_lost(before):
        log.info("machine.lost", **said, state=after.state, reason=after.message)
    elif after.notice is not None and after.notice != before.notice:
        notice = after.notice
        log.warning("machine.noticed", **said, kind=notice.kind, ends_at=int(notice.ends_at), reason=notice.reason)
    elif after.notice is None and before.notice is not None:
        log.warning("machine.spared", **said, kind=before.notice.kind)
