"""The store's contract, and what the file store adds to it: durability, damage, privacy, bounded cost."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import template

from hfplugin import codec
from hfplugin.errors import ConflictError, DamagedError, ErrorKind, StateError
from hfplugin.files import write
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Notice,
    NoticeKind,
    Phase,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
    ReturnedMachine,
    Template,
)
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
        lambda content: b"[" * 100_000,
        lambda content: content.replace(b'"units":2', b'"units":"2"'),
        lambda content: content.replace(b'"deadline":1600.0', b'"deadline":null'),
        lambda content: content.replace(b'"units":2', b'"units":true'),
        lambda content: content.replace(b'"attributes":{', b'"tags":[],"attributes":{'),
        lambda content: content.replace(b'"id":"req-', b'"id":"req-0'),
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


def test_a_damaged_record_that_cannot_be_set_aside_spoils_no_other(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = files.requests.save(request()), files.requests.save(request())
    Path(files.root, "requests", f"{bad.id}.json").write_bytes(b"")

    def read_only(source: str, target: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "rename", read_only)
    with pytest.raises(DamagedError):
        files.requests.load(bad.id)
    assert list(files.requests.live()) == [good]


def test_what_is_no_day_in_the_archive_is_left_alone(files: FileStore) -> None:
    saved = files.requests.save(request())
    files.requests.archive(saved)
    stranger = Path(files.root, "archive", ".DS_Store")
    stranger.write_text("")
    files.prune(days=0)
    assert stranger.exists()
    assert files.requests.load(new_id(REQUEST_PREFIX)) is None


def test_a_record_of_a_newer_version_is_set_aside_whole(files: FileStore) -> None:
    saved = files.requests.save(request())
    path = Path(files.root, "requests", f"{saved.id}.json")
    newer = path.read_bytes().replace(b'"schema":%d' % codec.SCHEMA, b'"schema":99')
    path.write_bytes(newer)
    with pytest.raises(DamagedError, match="schema 99 of a newer hfplugin"):
        files.requests.load(saved.id)
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == newer


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


def _said(at: int) -> Refusal:
    return Refusal(
        ErrorKind.CAPACITY, "InsufficientInstanceCapacity", "no capacity", "us-east-1/subnet-1/m5.large", at
    )


# A value in every field that is not its default.
GOLDEN: dict[str, Request | Return] = {
    "request": Request(
        id="req-3f1fb1b4-6f2a-4c3b-8f4e-0d3a4f1b2c3d",
        template=Template(
            id="small",
            provider_type="aws",
            max_number=10,
            attributes={"type": ["String", "X86_64"], "ncpus": ["Numeric", "1"]},
            extension={"imageId": "ami-0123456789abcdef0", "subnetId": ["subnet-1", "subnet-2"]},
            tags={"team": "risk"},
            all_or_nothing=True,
            pending_timeout=300,
            deadline=900,
            passthrough={"rank": 3},
        ),
        units=2,
        created=1800000000.5,
        deadline=1800000600.5,
        pending_timeout=300,
        phase=Phase.CLOSED,
        status=RequestStatus.COMPLETE,
        launches=(
            Launch(
                attempt=1,
                token="0a" * 24,
                api="RunInstances",
                region="us-east-1",
                account="123456789012",
                place="us-east-1/subnet-1/m5.large",
                params={"MinCount": 1, "MaxCount": 2},
                units=2,
                planned_at=1800000001.0,
                weight=2,
                user_data="ab" * 32,
                state=LaunchState.REFUSED,
                resource_id="r-1",
                errors=(_said(at=1800000002),),
                look_only=True,
                first_empty_look=1800000100.0,
                weights={"m5.xlarge": 4},
                remains=("launch-template/hf-prod1", "fleet"),
                passed_over=(_said(at=1800000002),),
                is_stopped=True,
                stopped_at=1800000200.0,
                is_removed=True,
            ),
        ),
        machines=(
            Machine(
                id="i-0123456789abcdef0",
                attempt=1,
                region="us-east-1",
                account="123456789012",
                state=MachineState.SHUTTING_DOWN,
                launch_time=1800000004,
                result=Result.FAIL,
                name="ip-10-0-0-1.ec2.internal",
                private_ip="10.0.0.1",
                public_ip="198.51.100.1",
                machine_type="m5.large",
                price_type="spot",
                zone="us-east-1a",
                units=2,
                message="returned",
                missing_since=1800000050.0,
                return_id="ret-3f1fb1b4-6f2a-4c3b-8f4e-0d3a4f1b2c3d",
                delivered=True,
                refused_since=1800000060.0,
                is_lost=True,
                is_dismissed=True,
                blind_before=1.5,
                notice=Notice(
                    "i-0123456789abcdef0",
                    NoticeKind.INTERRUPTION,
                    1800000070.0,
                    1800000190.5,
                    "Server.SpotInstanceTermination",
                ),
            ),
        ),
        blind=3.5,
        blind_since=1800000090.0,
        trouble=(_said(at=1800000005),),
        closed_at=1800000300.0,
        unclaimed_since=12.5,
        withdrawn="given back by root",
        generation=4,
    ),
    "return": Return(
        id="ret-3f1fb1b4-6f2a-4c3b-8f4e-0d3a4f1b2c3d",
        created=1800000200.0,
        machines=(
            ReturnedMachine(
                id="i-0123456789abcdef0",
                name="ip-10-0-0-1.ec2.internal",
                request_id="req-3f1fb1b4-6f2a-4c3b-8f4e-0d3a4f1b2c3d",
                region="us-east-1",
                account="123456789012",
                state=MachineState.SHUTTING_DOWN,
                result=Result.FAIL,
                message="OperationNotPermitted: protected",
                launch_time=1800000004,
                private_ip="10.0.0.1",
                price_type="spot",
                machine_type="m5.large",
                tags={"team": "risk"},
                is_found=False,
                is_marked=True,
                refused_since=1800000300.0,
            ),
        ),
        status=RequestStatus.COMPLETE_WITH_ERROR,
        message="said",
        closed_at=1800000400.0,
        generation=2,
    ),
}
STATE = Path(__file__).parent / "golden" / "state"


def _values(value: object) -> Iterator[tuple[str, object, object]]:
    """Give every field of every named tuple in it, with its value and default."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        for field, member in zip(value._fields, value, strict=True):
            yield f"{type(value).__name__}.{field}", member, value._field_defaults.get(field, ...)  # type: ignore[attr-defined]
    if isinstance(value, tuple):
        for member in value:
            yield from _values(member)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_records_have_a_value_in_every_field(name: str) -> None:
    for field, value, default in _values(GOLDEN[name]):
        assert value != default, field


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_record_of_this_schema_is_read_and_written_as_it_is(name: str) -> None:
    path = STATE / f"schema-{codec.SCHEMA}" / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(codec.encode(GOLDEN[name]))
    kind: Any = type(GOLDEN[name])
    assert codec.decode(kind, path.read_bytes()) == GOLDEN[name]
    assert codec.encode(GOLDEN[name]) == path.read_bytes()


def test_a_record_of_schema_3_passed_no_place_over_and_heard_of_no_interruption() -> None:
    """What schema 4 added: the places that a launch passed over, and what the cloud takes back."""
    request = GOLDEN["request"]
    assert isinstance(request, Request)
    launches = tuple(launch._replace(passed_over=()) for launch in request.launches)
    machines = tuple(machine._replace(notice=None) for machine in request.machines)
    expected = request._replace(launches=launches, machines=machines)
    assert codec.decode(Request, (STATE / "schema-3/request.json").read_bytes()) == expected
    assert codec.decode(Return, (STATE / "schema-3/return.json").read_bytes()) == GOLDEN["return"]


def test_a_record_of_schema_2_is_one_that_hostfactory_has_asked_about() -> None:
    """What schema 3 added: whether HostFactory has asked about a request, why it was withdrawn, and blind time."""
    request = codec.decode(Request, (STATE / "schema-3/request.json").read_bytes())
    machines = tuple(machine._replace(blind_before=0.0) for machine in request.machines)
    expected = request._replace(unclaimed_since=None, withdrawn="", machines=machines)
    assert codec.decode(Request, (STATE / "schema-2/request.json").read_bytes()) == expected
    assert codec.decode(Return, (STATE / "schema-2/return.json").read_bytes()) == GOLDEN["return"]


def test_a_record_of_schema_1_has_nothing_of_sources_either() -> None:
    """What schema 2 added: launches that leave something behind, and how their machines went."""
    request = codec.decode(Request, (STATE / "schema-2/request.json").read_bytes())
    (launch,), (machine,) = request.launches, request.machines
    plain = launch._replace(weights={}, remains=(), is_stopped=False, stopped_at=0.0, is_removed=False)
    expected = request._replace(launches=(plain,), machines=(machine._replace(is_lost=False, is_dismissed=False),))
    assert codec.decode(Request, (STATE / "schema-1/request.json").read_bytes()) == expected
    assert codec.decode(Return, (STATE / "schema-1/return.json").read_bytes()) == GOLDEN["return"]


def test_golden_records_of_every_schema_are_there() -> None:
    found = {str(path.relative_to(STATE)) for path in STATE.rglob("*.json")}
    assert found == {f"schema-{n}/{name}.json" for n in range(1, codec.SCHEMA + 1) for name in GOLDEN}


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
