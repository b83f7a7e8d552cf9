"""One small JSON object on disk that all processes change, each under a short lock.

Not durable, and that is meant: without a fsync a write costs a rename. A file that is damaged counts as absent.
Where nothing can be written, this process goes on with what it has in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from os.path import join
from typing import Any
from urllib.parse import unquote

from hfplugin import files
from hfplugin.errors import BusyError, StateError
from hfplugin.locks import Locks

# A change takes less than a millisecond. Waiting longer than this would be worse than one writer's news lost.
_WAIT_SECONDS = 0.25

# Hosts that share a directory have clocks this far apart at most; what was noted later than that in the future
# was noted before a clock was set back.
CLOCK_SECONDS = 60.0

Content = Mapping[str, Any]


class Ledger:
    """A JSON object at a path; an empty path is this process's memory."""

    def __init__(self, path: str, locks: Locks | None) -> None:
        self._path = path
        self._locks = locks
        self._memory: dict[str, Any] | None = None if path else {}
        self._mutex = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Give the content, empty when there is none that can be read."""
        memory = self._memory
        if memory is not None:
            return dict(memory)
        try:
            content = json.loads(files.read_text(self._path))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def change(self, step: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Replace the content by what `step` makes of it, and give that. An empty one leaves no file."""
        with contextlib.ExitStack() as held:
            held.enter_context(self._mutex)
            # Busy for so long, or not to be locked at all: a rename is whole for all that.
            with contextlib.suppress(BusyError, StateError):
                if self._locks is not None:
                    held.enter_context(self._locks.hold("health", self._path, _WAIT_SECONDS))
            before = self.read()
            after = step(dict(before))
            if after != before:
                self._replace(after)
        return after

    def _replace(self, content: dict[str, Any]) -> None:
        if not self._path:
            self._memory = content
            return
        try:
            _write(self._path, content) if content else files.unlink(self._path)
        except (OSError, StateError):
            self._memory = content
        else:
            self._memory = None

    def forget(self) -> None:
        """Delete the content. StateError when that cannot be done."""
        self._memory = None if self._path else {}
        try:
            files.unlink(self._path)
        except OSError as error:
            raise StateError(f"cannot delete {self._path}: {error.strerror}") from error


def ledgers(directory: str, locks: Locks | None) -> list[tuple[str, Ledger]]:
    """Give the ledgers of a directory by name. StateError when it cannot be listed."""
    paths = sorted(files.json_files(directory))
    return [(unquote(os.path.basename(path).removesuffix(".json")), Ledger(path, locks)) for path in paths]


def _write(path: str, content: Content) -> None:
    directory, name = os.path.split(path)
    temporary = join(directory, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    files.make_directory(directory)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"))
        os.rename(temporary, path)
    except BaseException:
        files.unlink(temporary)
        raise


def number(content: Content, name: str) -> float:
    """Give a finite number of a content. ValueError when it is none."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise ValueError(f"{name} is not a number: {value!r}")
    return float(value)
