"""What the state keeps besides records: HostFactory's activity, when work is due, a drain, the last inventory, and
how HostFactory's list of hosts differed from ours.

Each is a file of its own whose time of change is most of what it says, so that asking costs one stat.
"""

from __future__ import annotations

import contextlib
import os
from os.path import join

from hfplugin import files
from hfplugin.errors import StateError

# Work that a call leaves unfinished, also by being killed, is taken up by any other call this much later.
SWEEP_SECONDS = 60.0

# HostFactory calls at least every half minute while it works: a longer pause counts as this much.
LONGEST_PAUSE = 60.0

# Noted no oftener, a burst of calls costs one write; what counts in it is minutes, and none is lost by waiting.
_RESOLUTION = 5.0

# Nothing is put off for longer than this.
_LONGEST_WAIT = 3600.0

# A file's time of change is kept in whole and part seconds; this is what "never" looks like in one.
_NEVER = float("inf")


class Marks:
    """The marks of one state directory. Times are seconds since the epoch, an age is seconds of activity."""

    def __init__(self, root: str) -> None:
        self._root = root

    def note_activity(self, now: float) -> None:
        """HostFactory has called: the activity clock moves on, by no more than a pause of a working HostFactory.

        What it adds may be lost when two calls do so at once, and is then added by the next. Where nothing was
        ever requested nothing ages.
        """
        if self.due_at() == _NEVER:
            return
        path = join(self._root, "activity")
        last = _changed_at(path)
        if last == _NEVER:
            last = now
        elif 0 <= now - last < _RESOLUTION:
            return
        age = self.activity() + min(max(now - last, 0.0), LONGEST_PAUSE)
        files.write(path, f"{age:.0f}\n".encode())
        os.utime(path, (now, now))

    def activity(self) -> float:
        """Give for how long HostFactory has been at work with this state, its pauses not counted."""
        try:
            return float(files.read_text(join(self._root, "activity")))
        except (OSError, ValueError):
            return 0.0

    def is_due(self, now: float) -> bool:
        """True when there is something to do; a time far ahead is from before the clock was set back."""
        at = self.due_at()
        return at <= now or now + _LONGEST_WAIT < at < _NEVER

    def due_at(self) -> float:
        """Give when work is next due, infinity for never."""
        return _changed_at(join(self._root, "due"))

    def note_due(self, at: float) -> None:
        """Work is due then, unless some is due earlier."""
        if at < self.due_at():
            self.set_due(at)

    def set_due(self, at: float) -> None:
        """Work is due then and not before."""
        self._touch(join(self._root, "due"), at)

    def is_inventory_older(self, now: float, seconds: float) -> bool:
        """True unless all that the cloud has of ours was looked at within the last so many seconds."""
        return not 0 <= now - _changed_at(join(self._root, "inventory")) < seconds

    def note_inventory(self, now: float) -> None:
        self._touch(join(self._root, "inventory"), now)

    def note_damage(self) -> None:
        """A record was set aside: whose machines they are has to be found out from the cloud, soon."""
        with contextlib.suppress(StateError, OSError):  # a state that cannot be written: the next call sees it too
            files.unlink(join(self._root, "inventory"))
            self.set_due(0.0)

    def _touch(self, path: str, at: float) -> None:
        try:
            if not os.path.exists(path):
                files.write(path, b"")
            os.utime(path, (at, at))
        except OSError as error:
            raise StateError(f"cannot write {path}: {error.strerror}") from error

    def drain(self) -> str:
        """Give who refuses new requests and since when, empty when nobody does."""
        with contextlib.suppress(OSError):
            return files.read_text(join(self._root, "drain")).strip()
        return ""

    def set_drain(self, by: str) -> None:
        """Refuse new requests from now on, or with an empty text no more."""
        path = join(self._root, "drain")
        if by:
            files.write(path, by.encode() + b"\n")
        else:
            files.unlink(path)

    def hosts(self) -> str:
        """Give what was noted last of HostFactory's list of hosts; empty when nothing can be read."""
        with contextlib.suppress(OSError, ValueError):
            return files.read_text(join(self._root, "hosts.json"))
        return ""

    def note_hosts(self, text: str) -> None:
        """Keep it for people."""
        files.write(join(self._root, "hosts.json"), text.encode())


def _changed_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return _NEVER
