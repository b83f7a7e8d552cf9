"""The JSON file store: requests, returns, user data and the installation's id under one directory.

One file a record, so that a call costs what its own records cost. A write is durable when it returns
(temporary file, fsync, rename, fsync of the directory) and refuses to overwrite what another call wrote
since the load. Nothing here knows what a record means.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from os.path import join
from typing import Any, Generic, Protocol

from hfplugin import codec, files
from hfplugin.errors import ConflictError, DamagedError, StateError
from hfplugin.model import Record, Request, Return

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.brake import Brake
    from hfplugin.clock import Clock
    from hfplugin.locks import Locks
    from hfplugin.marks import Marks

REQUEST_PREFIX = "req-"
RETURN_PREFIX = "ret-"

# The directories of live records, and what the name of one goes on with that was set aside.
_REQUESTS = "requests"
_RETURNS = "returns"
_DAMAGED = ".damaged-"

# Deleting this many files costs a call about as much as one fsync.
_PRUNED_AT_ONCE = 200

# User data that no record uses is deleted after this long.
_UNUSED_SECONDS = 86_400

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_ID = re.compile(rf"(req|ret)-{_UUID4}")


def new_id(prefix: str) -> str:
    import uuid

    return prefix + str(uuid.uuid4())


def is_id(text: str, prefix: str) -> bool:
    """True for an id that hfplugin could have given; anything else never touches a path."""
    return text.startswith(prefix) and _ID.fullmatch(text) is not None


class Records(Protocol[Record]):
    """Records of one kind. Ids are those of `new_id`."""

    def load(self, record_id: str) -> Record | None:
        """Give a live or archived record, None when there is none; DamagedError when it had to be set aside."""

    def save(self, record: Record) -> Record:
        """Write durably and give the record with its new generation; ConflictError when another call was first.

        A new record has generation 0.
        """

    def live(self, is_strict: bool = False) -> Iterator[Record]:
        """Give every record that is not archived, in no order.

        A damaged one is set aside and passed over, one that cannot be read is passed over; strictly, either is a
        StateError.
        """

    def sync(self) -> None:
        """Make durable what was read: another call may be about to, or was killed before it could."""

    def archive(self, record: Record) -> None:
        """Move a saved record out of the live ones; `load` still finds it until it is pruned."""

    def restore(self, record_id: str) -> None:
        """Move an archived record back among the live ones; a live one stays as it is."""


class Folder(Generic[Record]):
    """`Records` as files `<id>.json` in a directory, archived by day under `archive/`."""

    def __init__(self, directory: str, archive: str, kind: type[Record], on_damage: Callable[[str], None]) -> None:
        self._directory = directory
        self._archive = archive
        self._kind: type[Record] = kind
        self._on_damage = on_damage

    def load(self, record_id: str) -> Record | None:
        for path in (self._path(record_id), *self._archived_paths(record_id)):
            try:
                return self._read(path)
            except FileNotFoundError:
                continue
        return None

    def save(self, record: Record) -> Record:
        path = self._path(record.id)
        saved = record._replace(generation=record.generation + 1)

        def check() -> None:
            if _generation_at(path) != record.generation:
                raise ConflictError(f"{record.id} was changed by another call meanwhile")

        files.write(path, codec.encode(saved), check)
        return saved

    def live(self, is_strict: bool = False) -> Iterator[Record]:
        for path in files.json_files(self._directory):
            try:
                yield self._read(path)
            except FileNotFoundError:
                continue  # archived meanwhile
            except StateError:
                if is_strict:
                    raise

    def sync(self) -> None:
        files.sync(self._directory)

    def archive(self, record: Record) -> None:
        day = join(self._archive, time.strftime("%Y-%m-%d", time.gmtime()))
        try:
            files.make_directory(day)
            os.rename(self._path(record.id), join(day, f"{record.id}.json"))
        except FileNotFoundError:
            return  # archived by another call
        except OSError as error:
            raise StateError(f"cannot archive {record.id}: {error.strerror}") from error

    def restore(self, record_id: str) -> None:
        path = self._path(record_id)
        for archived in self._archived_paths(record_id):
            if os.path.exists(path):
                return
            try:
                os.rename(archived, path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StateError(f"cannot restore {record_id}: {error.strerror}") from error

    def _path(self, record_id: str) -> str:
        if _ID.fullmatch(record_id) is None:
            raise ValueError(f"not a record id: {record_id!r}")
        return join(self._directory, f"{record_id}.json")

    def _archived_paths(self, record_id: str) -> Iterator[str]:
        for day in sorted(_days(self._archive), reverse=True):
            yield join(self._archive, day, f"{record_id}.json")

    def _read(self, path: str) -> Record:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StateError(f"cannot read {path}: {error.strerror}") from error
        try:
            record = codec.decode(self._kind, content)
            if f"{record.id}.json" != os.path.basename(path):
                raise ValueError(f"it holds {record.id}")
            return record
        except ValueError as error:
            aside = f"{path}{_DAMAGED}{int(time.time())}"
            with contextlib.suppress(OSError):  # a directory that cannot be written: it is still damaged
                os.rename(path, aside)
            self._on_damage(aside)
            raise DamagedError(f"{path} is damaged ({error}) and was set aside as {aside}") from error


class Store(Protocol):
    """All state of one provider instance."""

    @property
    def requests(self) -> Records[Request]: ...

    @property
    def returns(self) -> Records[Return]: ...

    @property
    def locks(self) -> Locks: ...

    @property
    def marks(self) -> Marks: ...

    def brake(self, clock: Clock, most: int | None) -> Brake:
        """Give the count of machines that were asked for; `most` is the limit of an hour."""

    def installation(self) -> str:
        """Give the random id of this state directory, made at the first call."""

    def save_text(self, text: str) -> str:
        """Keep a text (user data) once and give its SHA-256, in hexadecimal."""

    def load_text(self, digest: str) -> str:
        """Give back a kept text; StateError when it is gone."""

    def prune_texts(self, used: Collection[str]) -> None:
        """Delete kept texts that no record uses; one that was kept within the last day may be about to be used."""

    def save_reason(self, template_id: str, request_id: str, reason: str, at: int) -> None:
        """Keep the last reason why something of a template could not be had, for `reasons`."""

    def reasons(self) -> dict[str, dict[str, Any]]:
        """Give what `save_reason` kept, by template id; what cannot be read is left out."""

    def prune(self, days: int) -> int:
        """Delete archived records older than `days`, a few a call so that no call pays for the history.

        Gives how many were deleted.
        """


class FileStore:
    """The state under one directory, made at the first write with mode 0700, its files 0600."""

    def __init__(self, root: str, on_damage: Callable[[str], None] = lambda path: None) -> None:
        self.root = root
        archive = join(root, "archive")

        def damaged(path: str) -> None:
            self.marks.note_damage()
            on_damage(path)

        self.requests: Records[Request] = Folder(join(root, _REQUESTS), archive, Request, damaged)
        self.returns: Records[Return] = Folder(join(root, _RETURNS), archive, Return, damaged)
        self._locks: Locks | None = None

    @property
    def marks(self) -> Marks:
        from hfplugin.marks import Marks

        return Marks(self.root)

    @property
    def locks(self) -> Locks:
        if self._locks is None:
            from hfplugin.locks import Locks

            self._locks = Locks(join(self.root, "locks"))
        return self._locks

    def brake(self, clock: Clock, most: int | None) -> Brake:
        from hfplugin.brake import Brake

        return Brake(join(self.root, "launched.json"), self.locks, clock, most)

    def installation(self) -> str:
        path = join(self.root, "installation")
        try:
            return files.read_text(path).strip()
        except FileNotFoundError:
            return self._new_installation(path)
        except OSError as error:
            raise StateError(f"cannot read {path}: {error.strerror}") from error

    def _new_installation(self, path: str) -> str:
        def check() -> None:
            if os.path.exists(path):
                raise ConflictError("another call made the installation id first")

        fresh = os.urandom(6).hex()
        try:
            with self.locks.hold("installation", "", wait=5):
                files.write(path, fresh.encode() + b"\n", check)
        except ConflictError:
            return files.read_text(path).strip()
        return fresh

    def save_text(self, text: str) -> str:
        import hashlib

        digest = hashlib.sha256(text.encode()).hexdigest()
        path = join(self.root, "userdata", digest)
        try:
            os.utime(path)  # not to be pruned before the record that uses it is there
        except OSError:
            files.write(path, text.encode())
        return digest

    def load_text(self, digest: str) -> str:
        path = join(self.root, "userdata", digest)
        try:
            return files.read_text(path)
        except OSError as error:
            raise StateError(f"cannot read user data {path}: {error.strerror}") from error

    def prune_texts(self, used: Collection[str]) -> None:
        folder = join(self.root, "userdata")
        for name in files.names(folder):
            path = join(folder, name)
            with contextlib.suppress(OSError):
                if name not in used and time.time() - os.stat(path).st_mtime > _UNUSED_SECONDS:
                    os.unlink(path)

    def save_reason(self, template_id: str, request_id: str, reason: str, at: int) -> None:
        content = json.dumps({"template_id": template_id, "request_id": request_id, "reason": reason, "at": at})
        files.write(join(self.root, "health", "reasons", f"{template_id}.json"), content.encode())

    def reasons(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path in files.json_files(join(self.root, "health", "reasons")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                reason = json.loads(files.read_text(path))
                found[reason["template_id"]] = reason
        return found

    def damaged(self) -> list[str]:
        """Give the path of every record that was set aside, at this reading or long ago. StateError."""
        folders = (join(self.root, kind) for kind in (_REQUESTS, _RETURNS))
        found = (join(folder, name) for folder in folders for name in files.names(folder) if _DAMAGED in name)
        return sorted(found)

    def prune(self, days: int) -> int:
        deleted = 0
        limit = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * 86400))
        for day in sorted(_days(join(self.root, "archive"))):
            if day >= limit or deleted >= _PRUNED_AT_ONCE:
                break
            folder = join(self.root, "archive", day)
            for name in files.names(folder)[: _PRUNED_AT_ONCE - deleted]:
                files.unlink(join(folder, name))
                deleted += 1
            if not files.names(folder):
                with contextlib.suppress(OSError):  # another call was first
                    os.rmdir(folder)
        return deleted


def _days(archive: str) -> list[str]:
    """List the archive's days; anything else that lies there is left alone."""
    return [name for name in files.names(archive) if _DAY.fullmatch(name)]


def _generation_at(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return codec.generation(file.read(80))
    except FileNotFoundError:
        return 0
