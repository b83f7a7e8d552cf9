"""A circuit breaker for all processes: a service that does not answer costs one call its time-out, not each."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from hfplugin.clock import Clock
from hfplugin.providers.base.health.ledger import CLOCK_SECONDS, Content, Ledger, number

# So many quick failures within so many seconds, and nobody asks for a while. A slow one is enough.
_FAILURES = 3
_WITHIN_SECONDS = 60.0

# The first pause is about a poll's length, so that a hiccup costs one poll; a region that is down for an hour
# costs a time-out every two minutes.
_FIRST_PAUSE = 10.0
_LONGEST_PAUSE = 120.0

# Whoever may try holds the others off for this long: a call's time-outs. A killed one holds them off no longer.
_PROBE_SECONDS = 60.0

# How much of a reason is kept.
_LONGEST_REASON = 300


class BreakerState(NamedTuple):
    """`failures` since `since`, the latest at `at` for `reason`; open until `open_until`, 0 when closed.

    `pause` is how long it is or was last open. Times are seconds since the epoch.
    """

    since: float
    at: float
    failures: int
    reason: str
    open_until: float = 0.0
    pause: float = 0.0

    @classmethod
    def of(cls, content: Content, now: float) -> BreakerState | None:
        """Read a ledger; None when it is empty, damaged, of a time to come, or of failures long past."""
        try:
            found = cls(
                since=number(content, "since"),
                at=number(content, "at"),
                failures=int(number(content, "failures")),
                reason=str(content.get("reason", "")),
                open_until=number(content, "open_until"),
                pause=number(content, "pause"),
            )
        except ValueError:
            return None
        is_past = not found.open_until and now - found.since > _WITHIN_SECONDS
        return None if found.at > now + CLOCK_SECONDS or is_past else found

    def is_open(self, now: float) -> bool:
        return now < self.open_until <= now + CLOCK_SECONDS + _LONGEST_PAUSE


class Breaker:
    """The breaker of one service in one region."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._has_failed = False
        self._prober = 0  # the thread of this process that may try

    def opened(self) -> BreakerState | None:
        """Give the state if nobody may ask now. Changes nothing."""
        state = self._state()
        return state if state is not None and state.is_open(self._clock.now()) else None

    def enter(self) -> BreakerState | None:
        """Ask to make a call: None lets it, else the state says until when and why not.

        When a pause is over, one caller of all processes and threads may try; whoever it is says how it went.
        """
        state = self._state()
        self._has_failed = self._has_failed or state is not None
        if state is None or not state.open_until or self._prober == threading.get_ident():
            return None
        now = self._clock.now()
        if state.is_open(now):
            return state
        refused: list[BreakerState] = []

        def claim(content: dict[str, Any]) -> dict[str, Any]:
            found = BreakerState.of(content, now)
            if found is None or not found.open_until:
                return content
            if found.is_open(now):
                refused.append(found)
                return content
            return found._replace(open_until=now + _PROBE_SECONDS)._asdict()

        self._ledger.change(claim)
        if not refused:
            self._prober = threading.get_ident()
        return refused[0] if refused else None

    def failed(self, reason: str, at_once: bool = False) -> None:
        """Note that a try brought no answer, or the service's own failure; `at_once` when one is enough."""
        now = self._clock.now()
        is_probe = self._prober == threading.get_ident()
        if is_probe:
            self._prober = 0
        self._has_failed = True

        def count(content: dict[str, Any]) -> dict[str, Any]:
            found = BreakerState.of(content, now) or BreakerState(since=now, at=now, failures=0, reason="")
            found = found._replace(
                at=now, failures=found.failures + 1, reason=" ".join(reason.split())[:_LONGEST_REASON]
            )
            if is_probe:
                pause = min(_LONGEST_PAUSE, 2 * max(found.pause, _FIRST_PAUSE / 2))
                return found._replace(open_until=now + pause, pause=pause)._asdict()
            if (at_once or found.failures >= _FAILURES) and not found.open_until:
                return found._replace(open_until=now + _FIRST_PAUSE, pause=_FIRST_PAUSE)._asdict()
            return found._asdict()

        self._ledger.change(count)

    def succeeded(self) -> None:
        """Note that the service answered: what went wrong before is forgotten."""
        self._prober = 0
        if self._has_failed:
            self._has_failed = False
            self._ledger.change(lambda content: {})

    def _state(self) -> BreakerState | None:
        return BreakerState.of(self._ledger.read(), self._clock.now())
