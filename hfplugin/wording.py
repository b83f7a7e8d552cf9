"""What hfplugin says to people about a request: one line, within what HostFactory shows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from hfplugin.errors import ErrorKind
from hfplugin.model import Machine, Refusal, Request, Result

# HostFactory's consoles cut longer messages.
LONGEST = 500

# More names than these say nothing to whoever reads one line: the record has them all.
_MOST = 4


def summary(request: Request, now: float) -> str:
    """Say how much was had of what was asked, why not all, and since when the cloud cannot be seen."""
    parts = [_count(request)]
    reason = last_reason(request)
    if reason is not None:
        parts.append(str(reason))
    unanswered = sum(launch.state.is_unsettled for launch in request.launches)
    if unanswered:
        parts.append(f"{counted(unanswered, 'launch', 'launches')} without an answer yet")
    failed = Counter(m.message for m in request.machines if m.result is Result.FAIL and not m.return_id)
    often_first = sorted(failed, key=lambda message: -failed[message])
    parts += [f"{failed[message]} failed: {message}" for message in often_first[:2] if message]
    going = sorted((m for m in request.machines if m.is_going_unasked), key=lambda machine: _ends_at(machine))
    if going:
        parts.append(f"{len(going)} taken back: {taken_back(going[0])}")
    if request.blind_since is not None and now > request.blind_since:
        parts.append(f"the cloud cannot be observed since {_moment(request.blind_since)}")
    return one_line("; ".join(parts + _elsewhere(request, reason)))


def taken_back(machine: Machine) -> str:
    """Say why, and when, the cloud takes a running machine back; empty when it does not."""
    notice = machine.notice
    if notice is None or not machine.is_going_unasked:
        return ""
    ends = f"{notice.kind}, ends at {_moment(notice.ends_at)}" if notice.ends_at else notice.kind
    return f"{ends}: {notice.reason}" if notice.reason else ends


def _ends_at(machine: Machine) -> float:
    return machine.notice.ends_at if machine.notice is not None else 0.0


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _elsewhere(request: Request, last: Refusal | None) -> list[str]:
    """Say of the other places, by code, that they brought less than was asked of them or were not asked.

    When all was had, only what somebody could do something about is worth a word.
    """
    chain = [each for launch in request.launches for each in (*launch.passed_over, *launch.errors)]
    places: dict[str, dict[str, None]] = {}
    for each in (*chain, *request.trouble):
        is_other = last is None or (each.code, each.place) != (last.code, last.place)
        is_worth_it = last is not None or each.kind in (ErrorKind.CAPACITY, ErrorKind.QUOTA)
        if each.code and each.place and is_other and is_worth_it:
            places.setdefault(each.code, {})[each.place] = None
    also = " also" if last is not None else ""
    return [f"{code}{also} in {some(list(names))}" for code, names in places.items()]


def some(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")


def last_reason(request: Request) -> Refusal | None:
    """Give the latest reason why something could not be launched, if it still matters."""
    reasons = [error for launch in request.launches for error in launch.errors] + [*request.trouble]
    if not reasons or (not request.shortfall and not request.trouble and not _is_waiting(request)):
        return None
    return max(reversed(reasons), key=lambda reason: reason.at)  # of one second, what was said last


def _is_waiting(request: Request) -> bool:
    return any(launch.state.is_unsettled for launch in request.launches)


def _count(request: Request) -> str:
    ready = sum(m.units for m in request.machines if m.result is Result.SUCCEED)
    starting = sum(m.units for m in request.machines if m.result is Result.EXECUTING)
    returned = sum(m.units for m in request.machines if m.return_id)
    parts = [f"{ready} of {request.units} ready"]
    if starting:
        parts.append(f"{starting} starting")
    if returned:
        parts.append(f"{returned} returned")
    return ", ".join(parts)


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
