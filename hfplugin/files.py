"""Files written whole or not at all, private to their owner, and durable when the call returns.

Paths are strings: importing `pathlib` would cost a store-only call as much as all its work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from os.path import join

from hfplugin.errors import StateError

# A writer holds its claim for a rename's time; on a slow file system that may be a moment.
_CLAIM_SECONDS = 0.5

# What file systems without hard links answer.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

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
            with _claimed(temporary, path):
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


@contextlib.contextmanager
def _claimed(temporary: str, path: str) -> Iterator[None]:
    """Let one writer at a time check and replace a file, also where a lock was lost: a link is made by one only.

    A claim that stays is a killed writer's. Downside: two that remove it in the same instant, where locks are lost
    as well, may both go on. Where a file system knows no links there is no claim.
    """
    directory, name = os.path.split(path)
    claim = join(directory, f".{name}.claim")
    mine, other, give_up = _identity(temporary), None, 0.0
    while True:
        try:
            os.link(temporary, claim)
            break
        except FileExistsError:
            found = _identity(claim)
            if found != other:  # patience is with one writer: what others waited for may be another's by now
                other, give_up = found, time.monotonic() + _CLAIM_SECONDS
            if time.monotonic() >= give_up:
                unlink(claim)
            else:
                time.sleep(_CLAIM_SECONDS / 50)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            break
    try:
        yield
    finally:
        if _identity(claim) == mine:
            unlink(claim)


def _identity(path: str) -> tuple[int, float] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime


def make_directory(path: str) -> None:
    """Make a private directory and what is missing above it, durably.

    One that holds something was made durable by whoever put it there; an empty one may be a killed call's.
    """
    if os.path.isdir(path) and not _is_empty(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(path):
        make_directory(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    _sync_directory(parent)


def _is_empty(path: str) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is None


def sync(directory: str) -> None:
    """Make the names in a directory durable that other calls have just given. StateError when that fails."""
    try:
        _sync_directory(directory)
    except OSError as error:
        raise StateError(f"cannot sync {directory}: {error.strerror}") from error


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
    """Give the paths of the JSON files in a directory; what a killed call left is swept."""
    found = names(directory)
    for name in found:
        if name.endswith((".tmp", ".claim")):
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
