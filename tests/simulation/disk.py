"""A disk in memory under hfplugin's store: what `os`, `open` and `time` do there, full and read-only on order.

It knows what is durable: the content of a file that was synced, the names in a directory that was synced. A loss
of power keeps that, and of the rest whatever the draw says.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hfplugin import files, locks, marks, store

# What has to be made good once a directory is synced: a name that stands for a file, or for nothing.
_Change = tuple[str, "Inode | None"]


class Inode:
    """A file's content, now and on the platter."""

    def __init__(self, written_at: float) -> None:
        self.content = b""
        self.synced: bytes | None = None
        self.changed_at = self.synced_at = written_at


class Disk:
    """Files and directories by path. `cross` is called at every boundary, `on_replaced` with a file's path and its
    contents before and after; `now` gives the host's time.

    A new directory's name needs a sync of its parent, as POSIX says. `keeps_synced`: a sync does what it says. A
    time of change that was set after the last sync may be lost with the power. Reading what is `unreadable` fails.
    """

    def __init__(
        self,
        cross: Callable[[str], None],
        now: Callable[[], float],
        draw: Random,
        on_replaced: Callable[[str, bytes, bytes], None] = lambda path, old, new: None,
    ) -> None:
        self.files: dict[str, Inode] = {}
        self.directories = {"/", "/sim"}
        self.mode = "sound"
        self.unreadable: set[str] = set()
        self.keeps_synced = True
        self._durable: dict[str, Inode] = {}
        self._durable_directories = {"/", "/sim"}
        self._pending: list[tuple[_Change, ...]] = []
        self._descriptors: dict[int, Any] = {}
        self._numbers = itertools.count(3)
        self.draw = draw
        self._cross = cross
        self._on_replaced = on_replaced
        self._now = now

    def durable(self, path: str) -> bytes | None:
        """Give what a loss of power would leave of a file for certain."""
        inode = self._durable.get(path)
        return inode.synced if inode else None

    def lose_power(self) -> None:
        """Come up again with what was durable, and some of what was not."""
        for change in self._pending:
            if self.draw.random() < 0.5:
                self._commit(change)
        self._pending.clear()
        self.directories = set(self._durable_directories)
        self.files = {}
        for path, inode in self._durable.items():
            if posixpath.dirname(path) not in self.directories:
                continue
            if inode.synced is None:
                inode.synced = inode.content[: self.draw.randrange(len(inode.content) + 1)]
            inode.content = inode.synced
            if self.draw.random() < 0.5:
                inode.changed_at = inode.synced_at
            self.files[path] = inode

    def damage(self, path: str, content: bytes | None) -> None:
        """Change a file behind hfplugin's back, durably; None removes it."""
        if content is None:
            self.files.pop(path)
            self._durable.pop(path, None)
            return
        inode = self.files[path]
        inode.content = inode.synced = content
        self._durable[path] = inode

    def backup(self) -> dict[str, tuple[bytes, float]]:
        """Give every file's content and time of change."""
        return {path: (inode.content, inode.changed_at) for path, inode in self.files.items()}

    def restore(self, backup: dict[str, tuple[bytes, float]]) -> None:
        """Come up, durably, with what a backup holds and nothing else."""
        self._pending.clear()
        self.unreadable.clear()
        self.files.clear()
        self._durable.clear()
        self.directories = {"/", "/sim"}
        for path, (content, changed_at) in backup.items():
            inode = self.files[path] = self._durable[path] = Inode(changed_at)
            inode.content = inode.synced = content
            while (path := posixpath.dirname(path)) not in self.directories:
                self.directories.add(path)
        self._durable_directories = set(self.directories)

    def listed(self, directory: str) -> list[str]:
        """Give the paths of the files in a directory, in order."""
        return sorted(
            f"{directory}/{name}" for name in self._names(directory) if f"{directory}/{name}" in self.files
        )

    # what hfplugin.files and hfplugin.store ask of the operating system

    def open_descriptor(self, path: str, flags: int, mode: int = 0o600) -> int:
        descriptor = next(self._numbers)
        if flags & os.O_DIRECTORY:
            if path not in self.directories:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            self._descriptors[descriptor] = path
            return descriptor
        self._cross("create")
        self._require_writable(path)
        if flags & os.O_EXCL and path in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self.files[path] = self._descriptors[descriptor] = Inode(self._now())
        self._pending.append(((path, self.files[path]),))
        return descriptor

    def open(self, path: str | int, mode: str = "r", **form: Any) -> Any:
        if isinstance(path, int):
            return _Writer(self, path, self._descriptors[path])
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if path in self.unreadable:
            raise OSError(errno.EIO, "Input/output error", path)
        content = self.files[path].content
        return io.BytesIO(content) if "b" in mode else io.StringIO(content.decode())

    def write(self, inode: Inode, content: bytes) -> None:
        self._cross("write")
        if self.mode == "full":
            inode.content += content[: len(content) // 2]
            raise OSError(errno.ENOSPC, "No space left on device")
        inode.content += content

    def fsync(self, descriptor: int) -> None:
        opened = self._descriptors[descriptor]
        self._cross("fsync")
        if self.keeps_synced:
            if isinstance(opened, Inode):
                opened.synced, opened.synced_at = opened.content, opened.changed_at
            else:
                self._sync_directory(opened)
        self._cross("fsynced")

    def _sync_directory(self, directory: str) -> None:
        left = []
        for change in self._pending:
            if any(posixpath.dirname(path) == directory for path, _ in change):
                self._commit(change)
            else:
                left.append(change)
        self._pending = left

    def _commit(self, change: tuple[_Change, ...]) -> None:
        for path, inode in change:
            if path in self.directories:
                self._durable_directories.add(path)
            elif inode is not None:
                self._durable[path] = inode
            else:
                self._durable.pop(path, None)

    def close(self, descriptor: int) -> None:
        del self._descriptors[descriptor]

    def rename(self, old: str, new: str) -> None:
        self._cross("rename")
        self._require_writable(new)
        if old not in self.files or posixpath.dirname(new) not in self.directories:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", old)
        if new in self.files:
            self._on_replaced(new, self.files[new].content, self.files[old].content)
        self.files[new] = self.files.pop(old)
        self._pending.append(((old, None), (new, self.files[new])))
        self._cross("renamed")

    def link(self, old: str, new: str) -> None:
        self._cross("link")
        self._require_writable(new)
        if old not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", old)
        if new in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", new)
        self.files[new] = self.files[old]
        self._pending.append(((new, self.files[new]),))
        self._cross("linked")

    def utime(self, path: str, times: tuple[float, float] | None = None) -> None:
        self._cross("utime")
        self._require_writable(path)
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self.files[path].changed_at = times[1] if times else self._now()

    def unlink(self, path: str) -> None:
        self._cross("unlink")
        self._require_writable(path)
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        del self.files[path]
        self._pending.append(((path, None),))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self._cross("mkdir")
        self._require_writable(path)
        if path in self.directories:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self.directories.add(path)
        self._pending.append(((path, None),))

    def rmdir(self, path: str) -> None:
        self._require_writable(path)
        self.directories.discard(path)
        self._durable_directories.discard(path)

    def listdir(self, path: str) -> list[str]:
        if path not in self.directories:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self._names(path)

    def _names(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        below = [each[len(prefix) :] for each in (*self.files, *self.directories) if each.startswith(prefix)]
        return [name for name in below if name and "/" not in name]

    def scandir(self, path: str) -> AbstractContextManager[Iterator[str]]:
        return nullcontext(iter(self.listdir(path)))

    def stat(self, path: str) -> SimpleNamespace:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        inode = self.files[path]
        return SimpleNamespace(st_ino=id(inode), st_mtime=inode.changed_at, st_size=len(inode.content))

    def is_directory(self, path: str) -> bool:
        return path in self.directories

    def holds(self, path: str) -> bool:
        return path in self.files or path in self.directories

    def _require_writable(self, path: str) -> None:
        if self.mode == "read-only":
            raise OSError(errno.EROFS, "Read-only file system", path)


class _Writer:
    """What `open` gives for a descriptor."""

    def __init__(self, disk: Disk, descriptor: int, inode: Inode) -> None:
        self._disk, self._descriptor, self._inode = disk, descriptor, inode

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *raised: object) -> None:
        self._disk.close(self._descriptor)

    def write(self, content: bytes) -> None:
        self._disk.write(self._inode, content)

    def flush(self) -> None:
        """Nothing is kept back."""

    def fileno(self) -> int:
        return self._descriptor


def under_hfplugin(
    disk: Disk, now: Callable[[], float], monotonic: Callable[[], float], sleep: Callable[[float], None]
) -> ExitStack:
    """Put the disk and the clock where hfplugin's store finds the operating system's, until it is closed."""
    path = SimpleNamespace(
        **{name: getattr(posixpath, name) for name in ("join", "split", "dirname", "basename", "abspath")},
        isdir=disk.is_directory,
        exists=disk.holds,
    )
    names = ("fsync", "close", "rename", "link", "unlink", "mkdir", "rmdir", "listdir", "scandir", "stat", "utime")
    system = SimpleNamespace(
        **{name: getattr(disk, name) for name in names},
        **{name: getattr(os, name) for name in ("O_RDONLY", "O_WRONLY", "O_CREAT", "O_EXCL", "O_CLOEXEC")},
        O_DIRECTORY=os.O_DIRECTORY,
        open=disk.open_descriptor,
        replace=disk.rename,
        getpid=lambda: 1,
        urandom=disk.draw.randbytes,
        path=path,
    )
    clock = SimpleNamespace(
        time=now,
        monotonic=monotonic,
        sleep=sleep,
        gmtime=lambda seconds=None: time.gmtime(now() if seconds is None else seconds),
        strftime=time.strftime,
    )
    stack = ExitStack()
    for module in (files, store):
        stack.enter_context(patch.object(module, "os", system))
        stack.enter_context(patch.object(module, "open", disk.open, create=True))
        stack.enter_context(patch.object(module, "time", clock))
    stack.enter_context(patch.object(marks, "os", system))
    stack.enter_context(patch.object(locks, "time", clock))
    return stack
