"""The time, and how much of it a call has left. Both are handed in, so that tests can hold the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """`now` gives seconds since the epoch, `monotonic` seconds that never jump."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(self.monotonic() + seconds, self.monotonic)


class Deadline(NamedTuple):
    """A moment after which no new work is begun."""

    at: float
    monotonic: Callable[[], float]

    @property
    def has_passed(self) -> bool:
        return self.monotonic() >= self.at
