"""The log of the calls that came in, for tests and for people."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

_KEPT = 100_000


@dataclass
class Call:
    """One call: who asked what of which service, and how it ended."""

    at: float
    account: str
    region: str
    service: str
    action: str
    params: dict[str, Any] = field(default_factory=dict)
    # ok, an error's code, or what the connection came to: drop_before, drop_after, refuse, hang.
    outcome: str = "ok"
    # Whether the call had its effect, whatever the caller heard.
    has_acted: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Journal:
    """The last calls, the oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT)

    def note(self, call: Call) -> None:
        self._calls.append(call)

    def calls(self) -> list[Call]:
        return list(self._calls)

    def clear(self) -> None:
        self._calls.clear()
