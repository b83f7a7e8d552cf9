"""Holds HostFactory's list of hosts against the machines that run: for people, nothing is done about it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from hfplugin.errors import StateError
from hfplugin.logs import log
from hfplugin.marks import Marks
from hfplugin.model import Machine, Request, Result
from hfplugin.store import Store
from hfplugin.wording import some

# HostFactory has a host on its list once that has booted and joined the cluster.
JOINING_SECONDS = 600


class Difference(NamedTuple):
    """How HostFactory's list of hosts differs from what runs, both sorted.

    `unlisted` are the ids of machines that run and are not in it, `unknown` the names, or else ids, of hosts in it
    that neither a record nor the cloud knows.
    """

    unlisted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def noted(marks: Marks) -> Difference:
    """Give the difference that was noted last; none when that cannot be read."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        data = json.loads(marks.hosts())
        return Difference(tuple(map(str, data["unlisted"])), tuple(map(str, data["unknown"])))
    return Difference()


def note(marks: Marks, found: Difference) -> None:
    """Keep it for people, unless it is what was noted last; StateError when that cannot be done."""
    if found != noted(marks):
        marks.note_hosts(json.dumps(found._asdict()) + "\n")


def compare(
    store: Store, requests: Iterable[Request], listed: Collection[str], unknown: Sequence[str] | None, now: float
) -> None:
    """Note and log how the list differs, when that has changed.

    `listed` are the ids of machines on it, `unknown` the hosts on it that nobody knows, None where nobody could
    look.
    """
    before = noted(store.marks)
    unlisted = (m.id for request in requests for m in request.machines if _is_expected(request, m, now))
    found = Difference(
        unlisted=tuple(sorted(each for each in unlisted if each not in listed)),
        unknown=before.unknown if unknown is None else tuple(sorted(set(unknown))),
    )
    try:
        note(store.marks, found)
    except StateError as error:
        log.warning("hosts.not_noted", reason=str(error))  # and what follows is said again by the next call
    _tell("hosts.unlisted", before.unlisted, found.unlisted)
    _tell("hosts.unknown", before.unknown, found.unknown)


def _is_expected(request: Request, machine: Machine, now: float) -> bool:
    """True when HostFactory was told to use a machine, and has had the time to, and it still runs."""
    is_told = request.is_closed and machine.result is Result.SUCCEED and not machine.return_id
    is_old = now - max(request.closed_at, machine.launch_time) >= JOINING_SECONDS
    return is_told and is_old and machine.state.is_starting_or_up


def _tell(event: str, before: Sequence[str], found: Sequence[str]) -> None:
    if found != before:
        write = log.warning if set(found) - set(before) else log.info
        write(event, count=len(found), hosts=some(found))
