"""The emulator's time: the machine's own, plus what was skipped; and what is to happen when."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime

Deed = Callable[[], None]


class Clock:
    """Time that goes on by itself and can be moved forward, with the deeds that wait for it.

    Deeds are done by `catch_up`, in the order of their time, each at its own time: a deed that plans another
    one sees `now` as it would have been. The caller holds the world's lock.
    """

    def __init__(self) -> None:
        self._skipped = 0.0
        self._held: float | None = None
        self._planned: list[tuple[float, int, Deed]] = []
        self._order = itertools.count()

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._skipped if self._held is None else self._held

    @property
    def today(self) -> datetime:
        """Now, as AWS's answers have it: to the second, in UTC."""
        return moment(self.now)

    def after(self, seconds: float, deed: Deed) -> None:
        """Plan a deed."""
        heapq.heappush(self._planned, (self.now + seconds, next(self._order), deed))

    def advance(self, seconds: float) -> None:
        """Let time pass at once, and all happen that it brings."""
        self._skipped += seconds
        self.catch_up()

    def catch_up(self) -> None:
        """Do what is due."""
        until = self.now
        try:
            while self._planned and self._planned[0][0] <= until:
                self._held, _, deed = heapq.heappop(self._planned)
                deed()
        finally:
            self._held = None

    def forget(self) -> None:
        """Drop every plan; the time that was skipped stays skipped."""
        self._planned.clear()


def moment(seconds: float) -> datetime:
    """Give a time as AWS's answers have it."""
    return datetime.fromtimestamp(int(seconds), UTC)
