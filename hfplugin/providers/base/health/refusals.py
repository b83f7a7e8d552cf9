"""What the cloud has refused lately, so that nobody asks for it again at once.

Keys are the provider's words for a pool of machines, a subnet or a quota. Refusals run out by themselves: pools
of capacity move, and memory that outlives them starves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from hfplugin.clock import Clock
from hfplugin.providers.base.health.ledger import CLOCK_SECONDS, Ledger, number

# A pool without capacity may have some again within minutes; one that refuses again and again has none for longer.
CAPACITY_SECONDS = 180.0
# A quota changes when machines end or an administrator has it raised.
QUOTA_SECONDS = 900.0
_LONGEST_SECONDS = 900.0

# Processes come back at different times, so that one finds out for the others.
_JITTER = 0.1

# Refusals so close to each other are of calls that were under way together: one piece of news, no repeat.
_SAME_SECONDS = 10.0

_LONGEST_REASON = 300


class Refused(NamedTuple):
    """One refusal: `times` in a row, last at `at`, not to be asked for until `until` (epoch seconds)."""

    at: float
    until: float
    times: int
    reason: str


class Remembered:
    """All that is refused now."""

    def __init__(
        self, ledger: Ledger, clock: Clock, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._jitter = jitter

    def in_force(self) -> dict[str, Refused]:
        """Give what is not to be asked for now."""
        now = self._clock.now()
        return {key: each for key, each in _read(self._ledger.read(), now).items() if now < each.until}

    def note(self, refused: Mapping[str, str], seconds: float = CAPACITY_SECONDS) -> None:
        """Remember what was just refused, by key the reason, for so long; twice as long at each repeat."""
        if not refused:
            return
        now = self._clock.now()

        def add(content: dict[str, Any]) -> dict[str, Any]:
            known = _read(content, now)
            for key, reason in refused.items():
                before = known.get(key)
                if before is None or now - before.at >= _SAME_SECONDS:
                    known[key] = self._again(before, now, seconds, reason)
            return _written(known)

        self._ledger.change(add)

    def _again(self, before: Refused | None, now: float, seconds: float, reason: str) -> Refused:
        times = before.times + 1 if before is not None else 1
        # The exponent is bounded before the product is: a number that grew for years is no number to raise to.
        lasts = min(max(_LONGEST_SECONDS, seconds), seconds * 2 ** min(times - 1, 16))
        until = now + lasts * self._jitter(1 - _JITTER, 1 + _JITTER)
        return Refused(now, until, times, " ".join(reason.split())[:_LONGEST_REASON])

    def forget(self, keys: Iterable[str]) -> None:
        """Forget what has just been had."""
        gone = set(keys)
        if gone & self._ledger.read().keys():
            self._ledger.change(lambda content: {key: each for key, each in content.items() if key not in gone})


def _read(content: Mapping[str, Any], now: float) -> dict[str, Refused]:
    """Read a ledger, leaving out what is damaged, of a time to come, or ran out too long ago."""
    found = {}
    for key, value in content.items():
        try:
            each = Refused(
                number(value, "at"), number(value, "until"), int(number(value, "times")), str(value["reason"])
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        is_sound = each.at <= now + CLOCK_SECONDS and each.until - each.at <= _LONGEST_SECONDS * (1 + _JITTER)
        if is_sound and now < each.until + _LONGEST_SECONDS:
            found[key] = each
    return found


def _written(known: Mapping[str, Refused]) -> dict[str, Any]:
    return {key: each._asdict() for key, each in known.items()}
