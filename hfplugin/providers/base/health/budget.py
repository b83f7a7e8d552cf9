"""A budget for one kind of call, shared by all processes: in a storm of throttling they ask less, not more.

Until the cloud throttles there is no budget and nothing is counted: what an account may do is the cloud's to say,
and a throttled call has done nothing. From then on every try is paid from a token bucket, which begins empty, with
the documented refill. Throttled again all hold still for a second, and it refills half as fast; each call that
gets through lets it refill a little faster, beyond the documented rate too where an account has more. Two minutes
without throttling end it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hfplugin.clock import Clock
from hfplugin.providers.base.health.ledger import CLOCK_SECONDS, Content, Ledger, number

# Throttled so long ago says nothing about now: every documented bucket of calls fills in less.
_LASTS_SECONDS = 120.0

# How far the refill may go from the documented one, down by halves and up by steps.
_SLOWEST = 1 / 16
_FASTEST = 16.0
_STEP = 0.25

# Refusals so close to each other are of calls that were under way together: one halving, not ten.
_SAME_SECONDS = 1.0

# Throttled in spite of the budget, all hold still for so long.
_DEBT_SECONDS = 1.0


class Limit(NamedTuple):
    """A token bucket as it is documented: its size, and the tokens that come a second."""

    size: float
    refill: float


class BudgetState(NamedTuple):
    """A bucket in force: `level` tokens at `at`, `rate` more a second, last throttled at `throttled_at`."""

    at: float
    level: float
    rate: float
    throttled_at: float

    @classmethod
    def of(cls, content: Content, now: float) -> BudgetState | None:
        """Read a ledger; None when there is no budget in force."""
        try:
            found = cls(*(number(content, name) for name in cls._fields))
        except ValueError:
            return None
        is_now = found.at <= now + CLOCK_SECONDS and now - found.throttled_at < _LASTS_SECONDS
        return found if is_now and found.rate > 0 else None

    def refilled(self, now: float, size: float) -> BudgetState:
        gained = max(0.0, now - self.at) * self.rate
        return self._replace(at=max(now, self.at), level=min(size, self.level + gained))


class Budget:
    """The budget of one kind of call."""

    def __init__(self, ledger: Ledger, limit: Limit, clock: Clock) -> None:
        self._ledger = ledger
        self._limit = limit
        self._clock = clock

    def pause(self) -> float:
        """Give for how many seconds no call can be paid; 0 when one can. Takes nothing."""
        now = self._clock.now()
        state = BudgetState.of(self._ledger.read(), now)
        if state is None:
            return 0.0
        return max(0.0, 1 - state.refilled(now, self._limit.size).level) / state.rate

    def take(self, patience: float) -> float | None:
        """Pay for one try: give the seconds to wait before it, None when that is more than `patience`.

        What is waited for is paid at once, so that ten that wait come one after the other.
        """
        now = self._clock.now()
        if BudgetState.of(self._ledger.read(), now) is None:
            return 0.0
        waits: list[float] = []

        def pay(content: dict[str, Any]) -> dict[str, Any]:
            state = BudgetState.of(content, now)
            if state is None:
                waits.append(0.0)
                return {}
            state = state.refilled(now, self._limit.size)
            wait = max(0.0, 1 - state.level) / state.rate
            if wait > patience:
                return content
            waits.append(wait)
            return state._replace(level=state.level - 1)._asdict()

        self._ledger.change(pay)
        return waits[0] if waits else None

    def throttled(self) -> None:
        """Note that a try was throttled."""
        now = self._clock.now()
        slowest = self._limit.refill * _SLOWEST

        def drain(content: dict[str, Any]) -> dict[str, Any]:
            state = BudgetState.of(content, now)
            if state is None:
                return BudgetState(now, 0.0, self._limit.refill, now)._asdict()
            is_news = now - state.throttled_at >= _SAME_SECONDS
            rate = max(slowest, state.rate / 2) if is_news else state.rate
            since = now if is_news else state.throttled_at
            return BudgetState(max(now, state.at), -rate * _DEBT_SECONDS, rate, since)._asdict()

        self._ledger.change(drain)

    def succeeded(self) -> None:
        """Note that a try got through."""
        now = self._clock.now()
        if BudgetState.of(self._ledger.read(), now) is None:
            return

        def speed_up(content: dict[str, Any]) -> dict[str, Any]:
            state = BudgetState.of(content, now)
            if state is None:
                return {}
            rate = min(self._limit.refill * _FASTEST, state.rate + self._limit.refill * _STEP)
            return state.refilled(now, self._limit.size)._replace(rate=rate)._asdict()

        self._ledger.change(speed_up)
