"""The brake: a limit that holds for every hour and all processes, and lets go when the hour is over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import ManualClock

from hfplugin.brake import Brake
from hfplugin.errors import BusyError, StateError
from hfplugin.locks import Locks
from hfplugin.logs import log

NOON = 1793880000.0  # 2026-11-05T12:00:00Z
HOUR = 3600.0
MINUTE = 60.0

# Books when it is told to, as often as machines are granted, and says how many that were.
_BOOKER = """
import sys
{before}
from hfplugin.brake import Brake
from hfplugin.clock import Clock
from hfplugin.locks import Locks
clock = Clock()
brake = Brake(sys.argv[1], Locks(sys.argv[2]), clock, int(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
print(brake.book(3, clock.now()) + brake.book(4, clock.now()), flush=True)
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "launched.json"


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """The file that events are written to."""
    file = tmp_path / "log"
    log.start(str(file), "INFO")
    yield file
    log.start("", "INFO")


def brake(path: Path, clock: ManualClock, most: int | None = 10) -> Brake:
    """The brake as the next call has it: what an earlier one knew is on disk, or forgotten."""
    return Brake(str(path), Locks(str(path.parent / "locks")), clock.clock, most)


def events(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def kept(path: Path) -> dict[str, int]:
    """The machines of each minute as the file has them."""
    minutes: dict[str, int] = json.loads(path.read_text())["minutes"]
    return minutes


def test_what_was_booked_is_no_longer_there_for_other_calls(path: Path, clock: ManualClock) -> None:
    assert brake(path, clock).room() == 10
    assert brake(path, clock).book(4, NOON) == 4
    assert brake(path, clock).room() == 6


def test_no_more_is_granted_than_there_is_room_for(path: Path, clock: ManualClock) -> None:
    assert brake(path, clock).book(7, NOON) == 7
    assert brake(path, clock).book(7, NOON) == 3
    assert brake(path, clock).book(7, NOON) == 0
    assert brake(path, clock).room() == 0


def test_what_was_launched_before_the_limit_was_lowered_leaves_no_room(path: Path, clock: ManualClock) -> None:
    brake(path, clock, most=10).book(10, NOON)
    assert brake(path, clock, most=4).room() == 0
    assert brake(path, clock, most=4).book(1, NOON) == 0
    assert brake(path, clock, most=12).room() == 2


def test_without_a_limit_everything_is_granted_and_nothing_touched(path: Path, clock: ManualClock) -> None:
    free = brake(path, clock, most=None)
    assert free.book(100_000, NOON) == 100_000
    free.give_back(100_000, NOON)
    assert (free.room(), free.next_room()) == (None, NOON)
    assert not path.parent.exists()


def test_without_a_limit_nothing_is_read(path: Path, clock: ManualClock) -> None:
    path.mkdir(parents=True)  # whoever reads it fails
    with pytest.raises(StateError, match="cannot read"):
        brake(path, clock).room()
    assert brake(path, clock, most=None).book(1, NOON) == 1
    assert brake(path, clock, most=None).room() is None


def test_asking_writes_and_locks_nothing(path: Path, clock: ManualClock) -> None:
    assert (brake(path, clock).room(), brake(path, clock).next_room()) == (10, NOON)
    assert not path.parent.exists()


def test_what_did_not_come_may_be_had_again(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(10, NOON)
    clock.advance(10 * MINUTE)
    brake(path, clock).give_back(4, NOON)
    assert brake(path, clock).room() == 4


def test_no_more_is_given_back_than_was_booked_then(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(3, NOON)
    clock.advance(10 * MINUTE)
    brake(path, clock).book(3, clock.time)
    brake(path, clock).give_back(5, NOON)
    brake(path, clock).give_back(5, NOON - 2 * HOUR)
    brake(path, clock).give_back(-5, NOON)
    assert brake(path, clock).room() == 7


def test_the_limit_holds_for_every_hour(path: Path, clock: ManualClock) -> None:
    granted: list[tuple[float, int]] = []
    for _ in range(300):
        granted.append((clock.time, brake(path, clock).book(3, clock.time)))
        clock.advance(47)
    for since, _ in granted:
        assert sum(machines for at, machines in granted if since <= at < since + HOUR) <= 10
    assert sum(machines for _, machines in granted) >= 3 * 10


def test_an_hour_and_a_minute_later_all_is_forgotten(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(10, NOON)
    clock.advance(HOUR - 1)
    assert brake(path, clock).room() == 0
    clock.advance(1 + MINUTE)
    assert brake(path, clock).room() == 10
    assert brake(path, clock).book(1, clock.time) == 1
    assert len(kept(path)) == 1


def test_it_says_when_there_is_room_again(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(4, NOON)
    clock.advance(20 * MINUTE)
    brake(path, clock).book(6, clock.time)
    then = brake(path, clock).next_room()
    assert NOON + HOUR <= then <= NOON + HOUR + MINUTE
    clock.time = then - 1
    assert brake(path, clock).room() == 0
    clock.time = then
    assert brake(path, clock).room() == 4


def test_an_administrator_is_told_what_holds_machines_back_and_until_when(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(10, NOON)
    said = brake(path, clock).explanation()
    assert "10 machines asked for" in said
    assert "requests.maxMachinesPerHour is 10" in said
    assert "until 13:01:00Z" in said


def test_the_file_stays_small_and_private(path: Path, clock: ManualClock) -> None:
    for _ in range(500):
        brake(path, clock, most=1_000_000).book(1, clock.time)
        clock.advance(30)
    assert len(kept(path)) <= 61
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_clock_that_was_set_back_holds_nobody_up_for_longer_than_an_hour(path: Path, clock: ManualClock) -> None:
    brake(path, clock).book(10, NOON)
    clock.time = NOON - 86_400
    assert brake(path, clock).room() == 0
    clock.advance(HOUR - MINUTE)
    assert brake(path, clock).room() == 0
    clock.advance(2 * MINUTE)
    assert brake(path, clock).room() == 10


def test_hosts_whose_clocks_differ_a_little_count_alike(path: Path, clock: ManualClock) -> None:
    ahead = ManualClock(NOON + 45)
    brake(path, ahead).book(6, ahead.time)
    before = path.read_bytes()
    assert brake(path, clock).room() == 4
    assert path.read_bytes() == before
    brake(path, clock).give_back(2, ahead.time)
    assert brake(path, clock).room() == 6


def test_a_launch_that_was_planned_long_ago_counts_from_now(path: Path, clock: ManualClock) -> None:
    assert brake(path, clock).book(10, NOON - 2 * HOUR) == 10
    clock.advance(HOUR - 1)
    assert brake(path, clock).room() == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 40,
        b'{"schema":1,"minutes":{"29898000":5',
        b"[]",
        b'{"schema":1}',
        b'{"schema":2,"minutes":{}}',
        b'{"schema":1,"minutes":{"noon":5}}',
        b'{"schema":1,"minutes":{"29898000":-5}}',
        b'{"schema":1,"minutes":{"29898000":"5"}}',
        b'{"schema":1,"minutes":{"29898000":true}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_set_aside_loudly_and_begun_anew(
    path: Path, clock: ManualClock, logged: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert brake(path, clock).room() == 10
    assert path.read_bytes() == content
    assert brake(path, clock).book(4, NOON) == 4
    assert brake(path, clock).room() == 6
    [aside] = path.parent.glob("launched.json.damaged-*")
    assert aside.read_bytes() == content
    assert [(each["event"], each["level"]) for each in events(logged)] == [("brake.damaged", "error")]


def test_nothing_is_granted_that_could_not_be_written(path: Path, clock: ManualClock) -> None:
    long = path.with_name(
        "launched" * 30
    )  # it can be looked for; the longer name of what is renamed cannot be made
    with pytest.raises(StateError, match="cannot write"):
        brake(long, clock).book(1, NOON)


def test_what_cannot_be_given_back_stays_booked(path: Path, clock: ManualClock, logged: Path) -> None:
    class Busy(Locks):
        def hold(self, kind: str, key: str, wait: float) -> Any:
            raise BusyError("another call is working on it")

    brake(path, clock).book(4, NOON)
    Brake(str(path), Busy(""), clock.clock, 10).give_back(4, NOON)
    assert brake(path, clock).room() == 6
    assert [each["event"] for each in events(logged)] == ["brake.not_given_back"]


@pytest.mark.parametrize(
    "before", ["", "import fcntl; fcntl.lockf = lambda *arguments: None"], ids=["locks", "no-locks"]
)
def test_twenty_processes_at_once_are_granted_the_limit_and_no_more(path: Path, before: str) -> None:
    """Also on a file system that says yes to every lock: all of the twenty write at the same time there."""
    arguments = [str(path), str(path.parent / "locks"), "100"]
    command = [sys.executable, "-c", _BOOKER.format(before=before), *arguments]
    bookers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(20)
    ]
    for each in bookers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in bookers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    granted = [int(each.communicate(timeout=60)[0]) for each in bookers]
    assert sum(granted) == 100, granted
    assert sum(kept(path).values()) == 100
    assert [found.name for found in path.parent.iterdir() if found.is_file()] == ["launched.json"]
