"""What every process of an installation knows of the cloud's bad days: who does not answer, what is refused, what
is throttled.

It lies under `<state>/health`, is a guess about the near future and never a truth: losing any of it costs calls,
never machines. While nothing is wrong there is nothing on disk, and asking costs an open that fails.
"""

from __future__ import annotations

import threading
from os.path import join
from typing import NamedTuple
from urllib.parse import quote

from hfplugin.clock import Clock
from hfplugin.locks import Locks
from hfplugin.providers.base.health.breaker import Breaker, BreakerState
from hfplugin.providers.base.health.budget import Budget, BudgetState, Limit
from hfplugin.providers.base.health.ledger import Ledger, ledgers
from hfplugin.providers.base.health.refusals import Refused, Remembered

__all__ = ["Breaker", "BreakerState", "Budget", "Health", "Limit", "Refused", "Remembered", "Report"]

_BREAKERS = "breakers"
_BUDGETS = "budgets"
_REFUSED = "refused"


class Report(NamedTuple):
    """All that is wrong now, by name."""

    breakers: dict[str, BreakerState]
    refused: dict[str, Refused]
    budgets: dict[str, BudgetState]


class Health:
    """Opens each memory by its name. With an empty directory everything is in this process's memory alone.

    Threads may share it and all that it gives.
    """

    def __init__(self, directory: str = "", clock: Clock | None = None) -> None:
        self._directory = directory
        self._clock = clock or Clock()
        self._locks = Locks(join(directory, "locks")) if directory else None
        self._mutex = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        self._budgets: dict[str, Budget] = {}
        self.refused = Remembered(self._ledger(_REFUSED, _REFUSED), self._clock)

    def breaker(self, name: str) -> Breaker:
        """Give the breaker of one service in one region, as the provider names it."""
        with self._mutex:
            if name not in self._breakers:
                self._breakers[name] = Breaker(self._ledger(_BREAKERS, name), self._clock)
            return self._breakers[name]

    def budget(self, name: str, limit: Limit) -> Budget:
        """Give the budget of one kind of call, as the provider names it."""
        with self._mutex:
            if name not in self._budgets:
                self._budgets[name] = Budget(self._ledger(_BUDGETS, name), limit, self._clock)
            return self._budgets[name]

    def report(self) -> Report:
        """Say what is wrong now. StateError when the directory cannot be listed."""
        now = self._clock.now()
        breakers = {name: BreakerState.of(ledger.read(), now) for name, ledger in self._all(_BREAKERS)}
        budgets = {name: BudgetState.of(ledger.read(), now) for name, ledger in self._all(_BUDGETS)}
        return Report(
            breakers={name: state for name, state in breakers.items() if state is not None},
            refused=self.refused.in_force(),
            budgets={name: state for name, state in budgets.items() if state is not None},
        )

    def reset(self) -> int:
        """Forget everything, and give how many things that were. StateError when it cannot be done."""
        known = [ledger for kind in (_BREAKERS, _BUDGETS, _REFUSED) for _, ledger in self._all(kind)]
        for ledger in known:
            ledger.forget()
        return len(known)

    def _ledger(self, kind: str, name: str) -> Ledger:
        path = join(self._directory, kind, f"{quote(name, safe='')}.json") if self._directory else ""
        return Ledger(path, self._locks)

    def _all(self, kind: str) -> list[tuple[str, Ledger]]:
        return ledgers(join(self._directory, kind), self._locks) if self._directory else []
