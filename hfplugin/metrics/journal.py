"""The journals under `<state>/metrics`, one a host, and the totals into which they are folded.

Every call appends a line to its host's journal, without a lock and without a fsync. A journal that has grown is
renamed, and folded once nobody can be writing to it any more; the totals name what they hold, so that a fold that
was killed neither loses nor doubles anything. What was not folded yet is added when it is read. Losing any of it
costs metrics, never a call.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os.path import join
from typing import NamedTuple

from hfplugin import files
from hfplugin.errors import StateError
from hfplugin.locks import Locks
from hfplugin.metrics.totals import Totals

_JOURNAL = ".jsonl"
_FOLDING = ".folding"
_SCHEMA = 1

# Between opening a journal and writing its line a call does nothing else: microseconds.
_SETTLE_SECONDS = 10.0


class _Kept(NamedTuple):
    """The totals as they are kept, and the names of the renamed journals that they hold."""

    totals: Totals
    folded: frozenset[str]


class Journals:
    """All that one state has counted. Every method raises StateError, BusyError when another is at it."""

    def __init__(self, state: str) -> None:
        self._directory = join(state, "metrics")
        self._locks = Locks(join(state, "locks"))

    def fold(self, host: str, size: int) -> None:
        """Set a host's journal aside when it is larger than `size` bytes, and fold what was set aside before."""
        with self._held(0.0):
            self._settled()
            path = join(self._directory, f"{host}{_JOURNAL}")
            if os.path.exists(path) and os.stat(path).st_size > size:
                os.rename(path, join(self._directory, f"{host}.{os.urandom(8).hex()}{_FOLDING}"))

    def totals(self, wait: float) -> Totals:
        """Give the sum of all that was ever counted, waiting so many seconds for another call's fold."""
        if not os.path.isdir(self._directory):
            return Totals()
        with self._held(wait):
            totals = self._settled()
            for name in files.names(self._directory):
                if name.endswith((_JOURNAL, _FOLDING)):
                    totals.add_lines(self._content(name))
        return totals

    def _settled(self) -> Totals:
        """Fold what nobody writes to any more, and give the totals with it."""
        totals, folded = self._kept()
        self._delete(folded)
        names = [
            name for name in files.names(self._directory) if name.endswith(_FOLDING) and self._is_settled(name)
        ]
        if names:
            for name in names:
                totals.add_lines(self._content(name))
            document = {"schema": _SCHEMA, "folded": names, "series": totals.kept()}
            files.write(self._path, json.dumps(document, separators=(",", ":")).encode())
            self._delete(names)
        return totals

    def _kept(self) -> _Kept:
        """Read the totals; damaged ones, or another version's, count as none."""
        kept = files.json_files(self._directory)  # which sweeps what killed calls have left
        totals = Totals()
        try:
            document = json.loads(files.read_text(self._path)) if self._path in kept else {}
        except (ValueError, RecursionError):
            return _Kept(totals, frozenset())
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            return _Kept(totals, frozenset())
        totals.add_kept(document.get("series"))
        return _Kept(totals, frozenset(name for name in document.get("folded", ()) if isinstance(name, str)))

    @property
    def _path(self) -> str:
        return join(self._directory, "totals.json")

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            files.unlink(join(self._directory, os.path.basename(name)))

    def _content(self, name: str) -> bytes:
        with open(join(self._directory, name), "rb") as file:
            return file.read()

    def _is_settled(self, name: str) -> bool:
        """True when it was renamed so long ago that a call that had it open then has written its line."""
        return abs(time.time() - os.stat(join(self._directory, name)).st_ctime) >= _SETTLE_SECONDS

    @contextmanager
    def _held(self, wait: float) -> Iterator[None]:
        with self._locks.hold("metrics", "", wait):
            try:
                yield
            except OSError as error:
                raise StateError(f"cannot add up {self._directory}: {error.strerror}") from error
