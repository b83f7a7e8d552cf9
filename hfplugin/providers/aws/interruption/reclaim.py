"""Merges what all sources say of machines that AWS takes back: the queue, spot requests, scheduled events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain

from hfplugin.errors import HFPluginError
from hfplugin.logs import log
from hfplugin.model import Refusal
from hfplugin.providers.aws import operations, parallel
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.interruption import looks, messages
from hfplugin.providers.aws.interruption.messages import Message
from hfplugin.providers.aws.interruption.queue import Queue
from hfplugin.providers.base.provider import Located, Notice, NoticeKind, Reclaimed

# How much of a body that nobody can read the log has.
_SHOWN = 200

# Where a failure of the queue is, for who reads of it.
_PLACE = "aws.interruptionQueueUrl"


def reclaimed(clients: Clients, settings: AWSSettings, machines: Sequence[Located]) -> Reclaimed:
    """Say which of the machines are taken back, asking all sources at once; see Provider.reclaimed."""
    by_region: dict[str, dict[str, Located]] = {}
    for machine in machines:
        by_region.setdefault(machine.region, {})[machine.id] = machine
    asked: list[Callable[[], Reclaimed]] = [
        partial(looks.look, clients, region, members) for region, members in by_region.items()
    ]
    if settings.interruption_queue_url and machines:
        known = frozenset(machine.id for machine in machines)
        asked.append(partial(_heard, clients, Queue(clients, settings.interruption_queue_url), known))
    parts = parallel.each(lambda ask: ask(), asked)
    notices = chain.from_iterable(part.notices for part in parts)
    return Reclaimed(
        notices=_merged(each for each in notices if _is_wanted(each, settings)),
        receipts=tuple(chain.from_iterable(part.receipts for part in parts)),
        failures=tuple(chain.from_iterable(part.failures for part in parts)),
    )


def acknowledge(clients: Clients, settings: AWSSettings, receipts: Sequence[str]) -> None:
    """Delete the messages that receipts stand for; with no queue configured any more, they are let be."""
    if settings.interruption_queue_url:
        Queue(clients, settings.interruption_queue_url).delete(receipts)


def _is_wanted(notice: Notice, settings: AWSSettings) -> bool:
    return notice.kind is not NoticeKind.REBALANCE or settings.return_on_rebalance


def _merged(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Keep one notice of a kind for each machine: of the earliest end, then the one told first."""
    best: dict[tuple[str, NoticeKind], Notice] = {}
    for notice in notices:
        key = (notice.machine_id, notice.kind)
        best[key] = min(best.get(key, notice), notice, key=lambda each: (each.ends_at, each.told_at))
    return tuple(best.values())


def _heard(clients: Clients, queue: Queue, known: frozenset[str]) -> Reclaimed:
    """Read the queue: what names a machine that is not known is put back, what nobody can read is not kept."""
    reception = queue.receive()
    failures = [Refusal.of(reception.failure, _PLACE)] if reception.failure else []
    receipts: list[str] = []
    understood: dict[str, Message] = {}
    for receipt, body in reception.bodies.items():
        try:
            understood[receipt] = messages.read(body)
        except ValueError as error:
            log.warning("interruption.message_unreadable", error=str(error), body=body[:_SHOWN])
            receipts.append(receipt)
    reserved, unseen = _reserved(clients, understood.values())
    notices: list[Notice] = []
    others: list[str] = []
    for receipt, message in understood.items():
        named = message.machine_ids or reserved.get(message.reservation_id, frozenset())
        if message.said:
            notices += [message.said.of(machine_id) for machine_id in sorted(named & known)]
        (receipts if named and named <= known else others).append(receipt)
    queue.put_back(others)
    return Reclaimed(tuple(notices), tuple(receipts), (*failures, *unseen))


def _reserved(clients: Clients, heard: Iterable[Message]) -> tuple[Mapping[str, frozenset[str]], list[Refusal]]:
    """Give the machines in each capacity reservation that a message names instead of them; and what failed."""
    named = {(each.region, each.reservation_id) for each in heard if each.reservation_id}
    found: dict[str, frozenset[str]] = {}
    failures: list[Refusal] = []
    for region, reservation_id in sorted(named):
        wanted = {"capacity-reservation-id": [reservation_id]}
        try:
            seen = operations.find_by_filters(clients, region, wanted)
            found[reservation_id] = frozenset(each.id for each in seen if not each.state.is_going)
        except HFPluginError as error:
            failures.append(Refusal.of(error, region))
    return found, failures
