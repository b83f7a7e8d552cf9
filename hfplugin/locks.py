"""Locks that hold between processes and hosts: byte ranges of one file per kind.

Byte-range locks (fcntl) work over NFSv4, die with their process and need no clean-up. A key is locked as one
byte at an offset drawn from it, so ten thousand records need one lock file, not ten thousand.
Downside: the locks belong to the process, so two threads of it are kept apart by a table here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from hfplugin.errors import BusyError, StateError
from hfplugin.files import make_directory

# Between two tries for a busy lock: short against a poll, long against a fsync.
_RETRY_SECONDS = 0.02


class Locks:
    """The locks of one state directory. Take them in the order template, return, request, group, spending,
    brake."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files: dict[str, int] = {}
        self._held: set[tuple[str, int]] = set()
        self._mutex = threading.Lock()

    @contextmanager
    def hold(self, kind: str, key: str, wait: float) -> Iterator[None]:
        """Hold the lock while the block runs; BusyError when it stays taken for `wait` seconds."""
        slot = (kind, _offset(key))
        give_up = time.monotonic() + wait
        while not self._try(slot):
            if time.monotonic() >= give_up:
                raise BusyError(f"another call is working on {kind} {key}: try again in a moment")
            time.sleep(_RETRY_SECONDS)
        try:
            yield
        finally:
            self._release(slot)

    def _try(self, slot: tuple[str, int]) -> bool:
        with self._mutex:
            if slot in self._held:
                return False
            file = self._file(slot[0])
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot[1])
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                raise self._failure(error) from error
            self._held.add(slot)
            return True

    def _release(self, slot: tuple[str, int]) -> None:
        with self._mutex:
            self._held.discard(slot)
            fcntl.lockf(self._files[slot[0]], fcntl.LOCK_UN, 1, slot[1])

    def _file(self, kind: str) -> int:
        # Never closed while the process lives: closing any descriptor of the file drops all its locks.
        if kind not in self._files:
            path = os.path.join(self._directory, kind)
            try:
                make_directory(self._directory)
                self._files[kind] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise self._failure(error) from error
        return self._files[kind]

    def _failure(self, error: OSError) -> StateError:
        return StateError(f"cannot lock in {self._directory}: {error.strerror}: let this user write there")


class Patience:
    """Waits for locks no longer than `seconds` in all: a call that meets many busy records still answers soon."""

    def __init__(self, locks: Locks, seconds: float) -> None:
        self._locks = locks
        self._left = seconds

    @contextmanager
    def hold(self, kind: str, key: str) -> Iterator[None]:
        """Hold the lock while the block runs; BusyError when it is taken and the patience is used up."""
        began = time.monotonic()
        try:
            with self._locks.hold(kind, key, self._left):
                self._left -= time.monotonic() - began
                yield
        except BusyError:
            self._left = max(0.0, self._left - (time.monotonic() - began))
            raise


def _offset(key: str) -> int:
    # Two keys that meet in one slot only ever wait for each other.
    return zlib.crc32(key.encode())
