"""The store's contract, and what the file store adds to it: durability, damage, privacy, bounded cost."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_cloud import template

from hfplugin import codec
from hfplugin.errors import ConflictError, DamagedError, StateError
from hfplugin.files import write
from hfplugin.model import Machine, MachineState, Request, RequestStatus, Return, ReturnedMachine
from hfplugin.store import REQUEST_PREFIX, RETURN_PREFIX, FileStore, is_id, new_id


def request(**changes: object) -> Request:
    plain = Request(new_id(REQUEST_PREFIX), template(), 2, 1000.0, 1600.0, 600)
    return plain._replace(**changes)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(str(tmp_path / "state"))


# the contract


def test_a_saved_record_is_loaded_as_it_was_with_the_next_generation(files: FileStore) -> None:
    machine = Machine("i-1", 1, "r", "a", MachineState.RUNNING, 5)
    saved = files.requests.save(request(machines=(machine,)))
    assert files.requests.load(saved.id) == saved
    assert saved.generation == 1


def test_returns_are_kept_like_requests(files: FileStore) -> None:
    saved = files.returns.save(Return(new_id(RETURN_PREFIX), 1.0, (ReturnedMachine("i-1", "host"),)))
    assert files.returns.load(saved.id) == saved


def test_a_record_that_was_never_saved_is_none(files: FileStore) -> None:
    assert files.requests.load(new_id(REQUEST_PREFIX)) is None
    assert list(files.requests.live()) == []


def test_a_save_over_what_another_call_wrote_is_a_conflict_and_loses_nothing(files: FileStore) -> None:
    first = files.requests.save(request())
    theirs = files.requests.save(first._replace(units=7))
    with pytest.raises(ConflictError):
        files.requests.save(first._replace(units=8))
    assert files.requests.load(first.id) == theirs


def test_an_archived_record_is_not_live_but_still_found(files: FileStore) -> None:
    saved = files.requests.save(request(status=RequestStatus.COMPLETE))
    files.requests.archive(saved)
    assert list(files.requests.live()) == []
    assert files.requests.load(saved.id) == saved


def test_archiving_twice_is_no_error(files: FileStore) -> None:
    saved = files.requests.save(request())
    files.requests.archive(saved)
    files.requests.archive(saved)


def test_old_archived_records_are_pruned_and_newer_ones_kept(files: FileStore) -> None:
    old, new = files.requests.save(request()), files.requests.save(request())
    for record in (old, new):
        files.requests.archive(record)
    (today,) = os.listdir(os.path.join(files.root, "archive"))
    past = Path(files.root, "archive", "2001-01-01")
    past.mkdir()
    Path(files.root, "archive", today, f"{old.id}.json").rename(past / f"{old.id}.json")
    files.prune(days=7)
    assert files.requests.load(old.id) is None
    assert files.requests.load(new.id) == new
    assert not past.exists()


def test_the_installation_id_is_made_once(files: FileStore) -> None:
    first = files.installation()
    assert FileStore(files.root).installation() == first
    assert len(first) == 12


def test_a_text_is_kept_under_its_hash(files: FileStore) -> None:
    digest = files.save_text("#!/bin/sh\n")
    assert files.save_text("#!/bin/sh\n") == digest
    assert files.load_text(digest) == "#!/bin/sh\n"


def test_a_lost_text_is_a_state_error(files: FileStore) -> None:
    with pytest.raises(StateError, match="user data"):
        files.load_text("0" * 64)


def test_the_last_reason_of_a_template_is_kept(files: FileStore) -> None:
    files.save_reason("small", "req-1", "no capacity", 1)
    files.save_reason("small", "req-2", "no quota", 2)
    assert files.reasons()["small"]["reason"] == "no quota"


# ids


@pytest.mark.parametrize(
    "text", ["", "req-", "req-1", "../x", "ret-" + "0" * 36, "req-3f1fb1b4-6f2a-1c3b-8f4e-0d3a4f1b2c3d"]
)
def test_only_ids_that_hfplugin_gives_are_ids(text: str) -> None:
    assert not is_id(text, REQUEST_PREFIX)


def test_an_id_that_is_none_never_touches_a_path(files: FileStore) -> None:
    with pytest.raises(ValueError, match="not a record id"):
        files.requests.load("../../etc/passwd")


# files


def test_state_is_private(files: FileStore) -> None:
    files.requests.save(request())
    files.save_text("x")
    files.installation()
    with files.locks.hold("request", "x", 0):
        pass
    for folder, _, names in os.walk(files.root):
        assert os.stat(folder).st_mode & 0o777 == 0o700, folder
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name


def test_a_write_is_synced_before_it_is_renamed_and_the_directory_after(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.requests.save(request())
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        steps.append("sync " + ("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"))
        real_fsync(descriptor)

    def rename(source: str, target: str) -> None:
        steps.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    files.requests.save(request())
    assert steps == ["sync file", "rename", "sync directory"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\x00" * 100,
        lambda content: b"[]",
        lambda content: b'{"schema": 1, "alien": true}',
        lambda content: content.replace(b'"units":2', b'"units":2,"extra":1'),
        lambda content: b'{"schema": "x"}',
    ],
)
def test_a_damaged_record_is_set_aside_whole_and_reported(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    reported: list[str] = []
    files = FileStore(str(tmp_path), reported.append)
    saved, good = files.requests.save(request()), files.requests.save(request())
    path = tmp_path / "requests" / f"{saved.id}.json"
    content = damage(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="set aside"):
        files.requests.load(saved.id)
    (aside,) = reported
    assert Path(aside).read_bytes() == content
    assert list(files.requests.live()) == [good]


def test_a_record_of_a_newer_version_is_left_alone(files: FileStore) -> None:
    saved = files.requests.save(request())
    path = Path(files.root, "requests", f"{saved.id}.json")
    newer = path.read_bytes().replace(b'"schema":1', b'"schema":99')
    path.write_bytes(newer)
    with pytest.raises(StateError, match="schema 99"):
        files.requests.load(saved.id)
    assert path.read_bytes() == newer


def test_a_full_disk_is_a_state_error_and_keeps_the_old_record(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = files.requests.save(request())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left"):
            files.requests.save(saved._replace(units=9))
    assert files.requests.load(saved.id) == saved
    assert os.listdir(os.path.join(files.root, "requests")) == [f"{saved.id}.json"]


def test_left_over_temporary_files_are_swept_when_they_are_old(files: FileStore) -> None:
    saved = files.requests.save(request())
    folder = Path(files.root, "requests")
    (folder / ".old.tmp").touch()
    (folder / ".new.tmp").touch()
    os.utime(folder / ".old.tmp", (1, 1))
    assert list(files.requests.live()) == [saved]
    assert sorted(os.listdir(folder)) == [".new.tmp", f"{saved.id}.json"]


def test_golden_records_of_every_schema_still_load() -> None:
    golden = Path(__file__).parent / "golden" / "state"
    kinds: dict[str, type[Request] | type[Return]] = {"request": Request, "return": Return}
    paths = sorted(golden.glob("schema-*/*.json"))
    assert {path.stem for path in paths} == set(kinds)
    assert {path.parent.name for path in paths} == {f"schema-{n}" for n in range(1, codec.SCHEMA + 1)}
    for path in paths:
        record = codec.decode(kinds[path.stem], path.read_bytes())  # type: ignore[type-var]
        again = json.loads(codec.encode(record))
        assert again == json.loads(path.read_bytes())


# several processes


def _append(root: str, record_id: str, count: int) -> None:
    files = FileStore(root)
    for _ in range(count):
        with files.locks.hold("request", record_id, 60):
            record = files.requests.load(record_id)
            assert record is not None
            files.requests.save(record._replace(units=record.units + 1))


def test_concurrent_writers_under_the_lock_lose_no_update(files: FileStore) -> None:
    saved = files.requests.save(request(units=0))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(files.root, saved.id, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = files.requests.load(saved.id)
    assert after is not None
    assert after.units == 100


_KILLED_WRITER = """
import sys
from hfplugin.store import FileStore
files = FileStore(sys.argv[1])
record = files.requests.load(sys.argv[2])
print("ready", flush=True)
while True:
    record = files.requests.save(record._replace(units=record.units + 1))
"""


def test_a_writer_killed_at_any_instant_leaves_a_whole_record(files: FileStore) -> None:
    record = files.requests.save(request(units=0))
    for attempt in range(10):
        worker = subprocess.Popen(
            [sys.executable, "-c", _KILLED_WRITER, files.root, record.id], stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(0.003 * attempt)
        worker.kill()
        worker.wait()
        worker.stdout.close()
        after = files.requests.load(record.id)
        assert after is not None
        assert after.units >= record.units
        record = after


def test_a_write_needs_no_more_than_its_directory(tmp_path: Path) -> None:
    write(str(tmp_path / "a" / "b" / "file"), b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"
