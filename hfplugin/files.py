"""Files written whole or not at all, private to their owner, and durable when the call returns.

Paths are strings: importing `pathlib` would cost a store-only call as much as all its work.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from os.path import join

from hfplugin.errors import StateError

# A temporary file this old belongs to a call that was killed.
_STALE_SECONDS = 3600


def write(path: str, content: bytes, check: Callable[[], None] = lambda: None) -> None:
    """Replace a file durably and atomically; `check` runs last before the rename and may raise to stop it.

    StateError when it cannot be written; the old content is then untouched.
    """
    directory, name = os.path.split(path)
    temporary = join(directory, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        make_directory(directory)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            check()
            os.rename(temporary, path)
        except BaseException:
            unlink(temporary)
            raise
        _sync_directory(directory)
    except OSError as error:
        raise StateError(
            f"cannot write {path}: {error.strerror}: make room or mend the permissions of {directory}"
        ) from error


def make_directory(path: str) -> None:
    """Make a private directory and what is missing above it, durably."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    make_directory(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    _sync_directory(parent)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_text(path: str) -> str:
    """Give a text as it was written, its line ends included."""
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def names(directory: str) -> list[str]:
    """List a directory; a missing one is empty. StateError when it cannot be listed."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(f"cannot list {directory}: {error.strerror}") from error


def json_files(directory: str) -> list[str]:
    """Give the paths of the JSON files in a directory; temporary files that a killed call left are swept."""
    found = names(directory)
    for name in found:
        if name.endswith(".tmp"):
            _sweep(join(directory, name))
    return [join(directory, name) for name in found if name.endswith(".json")]


def _sweep(path: str) -> None:
    with contextlib.suppress(OSError):
        if time.time() - os.stat(path).st_mtime > _STALE_SECONDS:
            os.unlink(path)


def unlink(path: str) -> None:
    """Delete a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
