"""What this process has counted, until the verb's edge writes it into the journal.

Whatever counts imports this and no more; a call in which nothing is counted never loads it.
"""

from __future__ import annotations

import json


class Tally:
    """Counts of one process; threads may share it. Use the module's one instance, `tally`."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, tuple[str, ...], float]] = []

    def add(self, family: str, *labels: str, amount: float = 1) -> None:
        """Count up a counter, or let a histogram see `amount`; family and labels as `families` has them."""
        if amount:
            self._entries.append((family, labels, amount))

    def taken(self) -> list[str]:
        """Give what was counted since the last time, each as JSON for the journal, and forget it."""
        entries, self._entries = self._entries, []
        return [json.dumps(entry, separators=(",", ":")) for entry in entries]


tally = Tally()
