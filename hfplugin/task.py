"""One piece of housekeeping, to be shown or done."""

from collections.abc import Callable
from typing import NamedTuple


class Task(NamedTuple):
    """What it is about, what was seen of it, and what `do` does, which may be repeated.

    `do` raises HFPluginError; BusyError when another call works on the same.
    """

    kind: str
    subject: str
    seen: str
    does: str
    do: Callable[[], object]
