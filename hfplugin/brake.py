"""The brake: how many machines all processes together may ask for within any hour, whatever HostFactory demands.

One small file counts by minute what was asked for. It is written before the cloud is called: a call that is killed
leaves more in it than was launched, never less, and that stays until its hour is over. Nothing here knows what is
launched. Without a limit nothing is read, written or locked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

from hfplugin import files
from hfplugin.clock import Clock
from hfplugin.errors import ConflictError, StateError
from hfplugin.locks import Locks
from hfplugin.logs import log
from hfplugin.wording import counted

_SCHEMA = 1

_HOUR = 3600
_MINUTE = 60

# Hosts that share a directory may be so many minutes ahead. What is further ahead was counted before the clock was
# set back, and is counted as of now: nobody waits for it longer than for anything else.
_AHEAD = 1

# A change takes as long as an fsync, and twenty calls at once wait for each other.
_WAIT_SECONDS = 5.0

# Machines by the minute, since the epoch, for which their launch was planned.
Minutes = dict[int, int]


class Brake:
    """The count in the file at `path`; `most` machines an hour, None for no limit.

    A minute counts until its last second is an hour old, so the limit holds for every span of an hour.
    """

    def __init__(self, path: str, locks: Locks, clock: Clock, most: int | None) -> None:
        self._path = path
        self._locks = locks
        self._clock = clock
        self._most = most

    def room(self) -> int | None:
        """Give how many machines may be asked for now, None without a limit. StateError when it cannot be read."""
        return None if self._most is None else max(0, self._most - sum(self._counted().values()))

    def next_room(self) -> float:
        """Give when the oldest of what is counted is an hour old, in seconds since the epoch; now for nothing."""
        minutes = {} if self._most is None else self._counted()
        return float(_end(min(minutes))) if minutes else self._clock.now()

    def explanation(self) -> str:
        """Say why nothing more may be asked for now."""
        until = time.strftime("%H:%M:%SZ", time.gmtime(self.next_room()))
        asked = sum(self._counted().values())
        return (
            f"the brake holds: {counted(asked, 'machine')} asked for within the last hour, and "
            f"requests.maxMachinesPerHour is {self._most}: raise it, or wait until {until}"
        )

    def book(self, machines: int, at: float) -> int:
        """Count up to so many machines for a launch that is planned at `at`, and give how many were granted.

        They are counted durably when it returns. StateError when that cannot be done: nothing may be launched.
        """
        if self._most is None:
            return machines
        most, granted = self._most, 0

        def take(minutes: Minutes) -> Minutes:
            nonlocal granted
            granted = max(0, min(machines, most - sum(minutes.values())))
            minute = self._minute(at)
            return _with(minutes, minute if self._counts(minute) else self._present, granted)

        self._change(take)
        return granted

    def give_back(self, machines: int, at: float) -> None:
        """Count less: machines that a launch planned at `at` did not bring, each of them once.

        What cannot be given back stays counted until its hour is over.
        """
        if self._most is None or machines <= 0:
            return
        minute = self._minute(at)
        try:
            self._change(lambda minutes: _with(minutes, minute, -min(machines, minutes.get(minute, 0))))
        except StateError as error:
            log.warning("brake.not_given_back", machines=machines, reason=str(error))

    def _counted(self) -> Minutes:
        minutes = _read(self._content())[0]
        if any(minute > self._present + _AHEAD for minute in minutes):
            with suppress(StateError):  # then the next call that counts sees to it
                self._change(lambda moved: moved)
        return self._window(minutes)

    def _window(self, minutes: Minutes) -> Minutes:
        """Give what counts now: what is over is left out, what is far ahead counts as of now."""
        counted: Minutes = {}
        for minute, machines in minutes.items():
            if self._counts(minute):
                counted = _with(counted, self._minute(minute * _MINUTE), machines)
        return counted

    def _counts(self, minute: int) -> bool:
        return _end(minute) > self._clock.now()

    def _minute(self, at: float) -> int:
        minute = int(at // _MINUTE)
        return self._present if minute > self._present + _AHEAD else minute

    @property
    def _present(self) -> int:
        return int(self._clock.now() // _MINUTE)

    def _change(self, step: Callable[[Minutes], Minutes]) -> None:
        """Replace what counts by what `step` makes of it, also where another call writes in spite of the lock."""
        with self._locks.hold("brake", "", _WAIT_SECONDS):
            patience = self._clock.deadline(_WAIT_SECONDS)
            while True:
                try:
                    return self._try(step)
                except ConflictError:
                    if patience.has_passed:
                        raise

    def _try(self, step: Callable[[Minutes], Minutes]) -> None:
        before = self._content()
        minutes, damage = _read(before)
        after = _encode(step(self._window(minutes)))
        if damage:
            self._set_aside(before or b"", damage)
        elif after == (before or _encode({})):
            return

        def check() -> None:
            if self._content() != before:
                raise ConflictError(f"{self._path} was changed by another call meanwhile")

        files.write(self._path, after, check)

    def _set_aside(self, content: bytes, damage: str) -> None:
        aside = f"{self._path}.damaged-{int(self._clock.now())}"
        files.write(aside, content)
        log.error("brake.damaged", path=self._path, aside=aside, reason=damage)

    def _content(self) -> bytes | None:
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read {self._path}: {error.strerror}") from error


def _end(minute: int) -> int:
    """Give when all of a minute is an hour old, in seconds since the epoch."""
    return (minute + 1) * _MINUTE + _HOUR


def _with(minutes: Minutes, minute: int, machines: int) -> Minutes:
    """Add machines to a minute, or take some away; a minute without any is left out."""
    changed = {**minutes, minute: minutes.get(minute, 0) + machines}
    return {each: count for each, count in changed.items() if count}


def _encode(minutes: Minutes) -> bytes:
    content = {"schema": _SCHEMA, "minutes": {str(minute): minutes[minute] for minute in sorted(minutes)}}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _read(content: bytes | None) -> tuple[Minutes, str]:
    """Give what a file counts, and what is wrong with it; a damaged one counts nothing."""
    if content is None:
        return {}, ""
    try:
        data = json.loads(content)
        if data["schema"] != _SCHEMA:
            return {}, f"schema {data['schema']!r} instead of {_SCHEMA}"
        minutes = {int(minute): machines for minute, machines in data["minutes"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {}, f"{type(error).__name__}: {error}"
    wrong = [machines for machines in minutes.values() if type(machines) is not int or machines < 1]
    return ({}, f"{wrong[0]!r} machines") if wrong else (minutes, "")
