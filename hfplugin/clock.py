"""The time, and how much of it a call has left. Both are handed in, so that tests can hold the clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """`now` gives seconds since the epoch, `monotonic` seconds that never jump."""

    def __init__(
        self, now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self.monotonic = monotonic

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(self, self.monotonic() + seconds)


class Deadline:
    """A moment after which no new work is begun."""

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock = clock
        self._at = at

    @property
    def has_passed(self) -> bool:
        return self._clock.monotonic() >= self._at
