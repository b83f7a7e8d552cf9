"""What all processes know of the cloud's bad days: breakers, refused capacity, budgets after throttling."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from hfplugin.clock import Clock
from hfplugin.errors import StateError
from hfplugin.providers.base.health import Health, Limit
from hfplugin.providers.base.health.refusals import QUOTA_SECONDS

CALLS = Limit(100, 20)
POOL = "eu-central-1/ondemand/m5.large/subnet-a"


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, monotonic=lambda: self.now)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["disk", "memory"])
def health(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> Health:
    """The memory of one process: on disk, and where there is none."""
    return Health(str(tmp_path / "health") if request.param == "disk" else "", time.clock())


@pytest.fixture
def another(tmp_path: Path, time: Time) -> Callable[[], Health]:
    """Gives the memory as a new process opens it."""
    return lambda: Health(str(tmp_path / "health"), time.clock())


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """Do the work in so many processes at the same time, and give what each returned."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(count), context.SimpleQueue()

    def run() -> None:
        barrier.wait(20)
        answers.put(work())
        os._exit(0)

    processes = [context.Process(target=run) for _ in range(count)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join(20)
    return found


def files_of(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*.json") if path.is_file()]


def fail(health: Health, times: int = 3, reason: str = "no route") -> None:
    for _ in range(times):
        health.breaker("ec2 eu-central-1").failed(reason)


def test_a_service_that_fails_three_times_is_left_alone_for_a_while(health: Health, time: Time) -> None:
    breaker = health.breaker("ec2 eu-central-1")
    fail(health, 2)
    assert breaker.enter() is None
    fail(health, 1, "the last\nstraw")
    state = breaker.enter()
    assert state is not None
    assert (state.failures, state.reason, state.open_until) == (3, "the last straw", time.now + 10)
    assert health.breaker("ec2 eu-west-1").enter() is None


def test_failures_far_apart_open_nothing(health: Health, time: Time) -> None:
    for _ in range(5):
        fail(health, 1)
        time.now += 31
        fail(health, 1)
        time.now += 31
        assert health.breaker("ec2 eu-central-1").enter() is None


def test_an_answer_between_failures_keeps_the_breaker_closed(health: Health) -> None:
    breaker = health.breaker("ec2 eu-central-1")
    fail(health, 2)
    assert breaker.enter() is None
    breaker.succeeded()
    fail(health, 2)
    assert breaker.enter() is None


def test_an_answer_to_the_probe_closes_the_breaker(
    another: Callable[[], Health], time: Time, tmp_path: Path
) -> None:
    fail(another())
    time.now += 10
    prober = another().breaker("ec2 eu-central-1")
    assert prober.enter() is None
    prober.succeeded()
    assert another().breaker("ec2 eu-central-1").enter() is None
    assert files_of(tmp_path) == []


def test_a_probe_that_fails_doubles_the_pause_up_to_two_minutes(another: Callable[[], Health], time: Time) -> None:
    fail(another())
    pauses = []
    for _ in range(6):
        state = another().breaker("ec2 eu-central-1").opened()
        assert state is not None
        pauses.append(state.open_until - time.now)
        time.now = state.open_until
        prober = another().breaker("ec2 eu-central-1")
        assert prober.enter() is None
        prober.failed("still nothing")
    assert pauses == [10, 20, 40, 80, 120, 120]


def test_of_many_processes_one_probes(another: Callable[[], Health], time: Time) -> None:
    fail(another())
    time.now += 10
    answers = at_once(10, lambda: another().breaker("ec2 eu-central-1").enter() is None)
    assert sum(answers) == 1


def test_a_prober_that_is_killed_holds_the_others_off_for_a_minute(
    another: Callable[[], Health], time: Time
) -> None:
    fail(another())
    time.now += 10
    assert another().breaker("ec2 eu-central-1").enter() is None
    time.now += 59
    assert another().breaker("ec2 eu-central-1").enter() is not None
    time.now += 1
    assert another().breaker("ec2 eu-central-1").enter() is None


def test_looking_at_a_breaker_is_no_probe(another: Callable[[], Health], time: Time) -> None:
    fail(another())
    assert another().breaker("ec2 eu-central-1").opened() is not None
    time.now += 10
    assert another().breaker("ec2 eu-central-1").opened() is None
    assert another().breaker("ec2 eu-central-1").enter() is None


def test_failures_of_several_processes_add_up(another: Callable[[], Health]) -> None:
    at_once(3, lambda: another().breaker("ec2 eu-central-1").failed("no route"))
    assert another().breaker("ec2 eu-central-1").opened() is not None


def test_one_slow_failure_leaves_a_service_alone_at_once(another: Callable[[], Health], time: Time) -> None:
    another().breaker("ec2 eu-central-1").failed("timed out", at_once=True)
    state = another().breaker("ec2 eu-central-1").enter()
    assert state is not None
    assert (state.failures, state.reason, state.open_until) == (1, "timed out", time.now + 10)


def test_slow_failures_of_calls_under_way_together_are_one_pause(
    another: Callable[[], Health], time: Time
) -> None:
    for _ in range(3):
        another().breaker("ec2 eu-central-1").failed("timed out", at_once=True)
        time.now += 1
    state = another().breaker("ec2 eu-central-1").opened()
    assert state is not None
    assert (state.pause, state.open_until) == (10, time.now + 7)


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Do the work in so many threads of this process at the same time, and give what each returned."""
    barrier = threading.Barrier(count)

    def run(_: int) -> Any:
        barrier.wait(20)
        return work()

    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(run, range(count))]


def test_of_many_threads_one_probes(health: Health, time: Time) -> None:
    fail(health)
    time.now += 10
    breaker = health.breaker("ec2 eu-central-1")
    assert sum(in_threads(10, lambda: breaker.enter() is None)) == 1


def test_a_failure_in_another_thread_does_not_end_a_probe(health: Health, time: Time) -> None:
    fail(health)
    time.now += 10
    breaker = health.breaker("ec2 eu-central-1")
    assert breaker.enter() is None
    in_threads(1, lambda: fail(health, 1, "an older call"))
    [held_off] = in_threads(1, breaker.enter)
    assert (held_off.pause, held_off.open_until) == (10, time.now + 60)
    breaker.failed("the probe")
    state = breaker.opened()
    assert state is not None
    assert (state.pause, state.open_until) == (20, time.now + 20)


def test_nothing_that_threads_note_is_lost(health: Health) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(8, lambda: fail(health, 20))
        in_threads(8, lambda: health.refused.note({f"pool/{threading.get_ident()}": "none left"}))
    finally:
        sys.setswitchinterval(interval)
    state = health.breaker("ec2 eu-central-1").opened()
    assert state is not None
    assert state.failures == 160
    assert len(health.refused.in_force()) == 8


def test_what_was_refused_is_refused_for_three_minutes_and_some(another: Callable[[], Health], time: Time) -> None:
    another().refused.note({POOL: "InsufficientInstanceCapacity: none left"})
    refused = another().refused.in_force()[POOL]
    assert refused.reason == "InsufficientInstanceCapacity: none left"
    assert 162 <= refused.until - time.now <= 198
    time.now += 199
    assert another().refused.in_force() == {}


def test_each_repeat_doubles_the_time_up_to_a_quarter_of_an_hour(health: Health, time: Time) -> None:
    lasts = []
    for _ in range(5):
        health.refused.note({POOL: "none left"})
        until = health.refused.in_force()[POOL].until
        lasts.append(until - time.now)
        time.now = until + 1
    for got, wanted in zip(lasts, (180, 360, 720, 900, 900), strict=True):
        assert 0.9 * wanted <= got <= 1.1 * wanted


def test_refusals_of_calls_under_way_together_are_one(another: Callable[[], Health]) -> None:
    at_once(10, lambda: another().refused.note({POOL: "none left"}))
    assert another().refused.in_force()[POOL].times == 1


def test_refusals_of_several_processes_are_all_kept(another: Callable[[], Health]) -> None:
    at_once(10, lambda: another().refused.note({f"pool/{os.getpid()}": "none left"}))
    assert len(another().refused.in_force()) == 10


def test_a_quota_is_remembered_for_a_quarter_of_an_hour(health: Health, time: Time) -> None:
    health.refused.note({"quota": "VcpuLimitExceeded"}, QUOTA_SECONDS)
    assert 810 <= health.refused.in_force()["quota"].until - time.now <= 990


def test_what_is_had_again_is_forgotten_with_its_repeats(
    another: Callable[[], Health], time: Time, tmp_path: Path
) -> None:
    another().refused.note({POOL: "none left"})
    time.now += 300
    another().refused.forget([POOL, "never refused"])
    assert files_of(tmp_path) == []
    another().refused.note({POOL: "none left"})
    assert another().refused.in_force()[POOL].times == 1


def test_a_refusal_long_past_leaves_nothing_behind(
    another: Callable[[], Health], time: Time, tmp_path: Path
) -> None:
    another().refused.note({POOL: "none left"})
    time.now += 3600
    another().refused.note({"other": "none left"})
    [file] = files_of(tmp_path)
    assert POOL not in file.read_text()


def test_without_throttling_nothing_is_counted(another: Callable[[], Health], tmp_path: Path) -> None:
    budget = another().budget("DescribeInstances", CALLS)
    assert [budget.take(0) for _ in range(1000)] == [0.0] * 1000
    budget.succeeded()
    assert list(tmp_path.rglob("*")) == []


def test_after_throttling_calls_come_at_the_documented_rate(another: Callable[[], Health], time: Time) -> None:
    another().budget("DescribeInstances", CALLS).throttled()
    budget = another().budget("DescribeInstances", CALLS)
    assert budget.take(0) is None
    assert budget.pause() == pytest.approx(0.05)
    time.now += 1
    assert sum(budget.take(0) == 0.0 for _ in range(100)) == 20


def test_who_may_wait_waits_in_turn(health: Health) -> None:
    budget = health.budget("RunInstances", Limit(5, 2))
    budget.throttled()
    assert [budget.take(1.6) for _ in range(4)] == [0.5, 1.0, 1.5, None]


def test_each_throttling_halves_the_rate_and_calls_under_way_together_are_one(
    another: Callable[[], Health], time: Time
) -> None:
    for wanted in (20, 10, 5, 2.5, 1.25, 1.25):
        at_once(4, lambda: another().budget("DescribeInstances", CALLS).throttled())
        assert another().budget("DescribeInstances", CALLS).pause() == pytest.approx(1 + 1 / wanted)
        time.now += 1


def test_calls_that_get_through_raise_the_rate_beyond_the_documented_one(health: Health, time: Time) -> None:
    budget = health.budget("RunInstances", Limit(5, 2))
    budget.throttled()
    made = 0
    for _ in range(600):
        time.now += 0.1
        while budget.take(0) is not None:
            budget.succeeded()
            made += 1
    assert made > 3 * 2 * 60


def test_two_minutes_without_throttling_end_the_budget(another: Callable[[], Health], time: Time) -> None:
    another().budget("DescribeInstances", CALLS).throttled()
    time.now += 120
    budget = another().budget("DescribeInstances", CALLS)
    assert [budget.take(0) for _ in range(500)] == [0.0] * 500


def test_ten_processes_in_a_storm_ask_less_than_one_bucket_gives(
    another: Callable[[], Health], time: Time
) -> None:
    another().budget("DescribeInstances", CALLS).throttled()
    time.now += 1

    def storm() -> int:
        budget = another().budget("DescribeInstances", CALLS)
        return sum(budget.take(0) is not None for _ in range(50))

    assert sum(at_once(10, storm)) == 20


@pytest.fixture
def troubled(another: Callable[[], Health]) -> Health:
    """A memory with something in each part."""
    health = another()
    fail(health)
    health.refused.note({POOL: "none left"})
    health.budget("RunInstances", Limit(5, 2)).throttled()
    return health


def is_clear(health: Health) -> bool:
    """True when nothing hinders anything."""
    return (
        health.breaker("ec2 eu-central-1").enter() is None
        and health.refused.in_force() == {}
        and health.budget("RunInstances", Limit(5, 2)).take(0) == 0.0
    )


@pytest.mark.usefixtures("troubled")
def test_a_clock_that_was_set_back_holds_nobody_up(another: Callable[[], Health], time: Time) -> None:
    time.now -= 86_400
    assert is_clear(another())


@pytest.mark.usefixtures("troubled")
def test_a_clock_that_was_set_forward_holds_nobody_up(another: Callable[[], Health], time: Time) -> None:
    time.now += 86_400
    assert is_clear(another())


DAMAGED = [b"", b"\x00\xff", b"{", b"[]", b'"text"', b"[" * 100_000, b'{"at": "soon"}', b'{"at": NaN}', b"null"]
DAMAGED.append(
    b'{"since":1e999,"at":1,"failures":1e999,"open_until":1,"pause":1,"level":1,"rate":-1,"throttled_at":1}'
)
DAMAGED.append(b'{"eu-central-1/ondemand/m5.large/subnet-a": {"at": 1800000000, "until": "x"}, "other": []}')


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:20]))
def test_damage_counts_as_nothing_known_and_is_written_over(
    another: Callable[[], Health], tmp_path: Path, content: bytes
) -> None:
    for file in files_of(tmp_path):
        file.write_bytes(content)
    assert is_clear(another())
    fail(another())
    assert another().breaker("ec2 eu-central-1").opened() is not None
    another().refused.note({POOL: "none left"})
    assert POOL in another().refused.in_force()


def test_what_cannot_be_written_is_kept_in_memory(another: Callable[[], Health], tmp_path: Path) -> None:
    (tmp_path / "health").write_text("a file where the directory would be")
    health = another()
    fail(health)
    health.refused.note({POOL: "none left"})
    health.budget("RunInstances", Limit(5, 2)).throttled()
    assert health.breaker("ec2 eu-central-1").enter() is not None
    assert POOL in health.refused.in_force()
    assert health.budget("RunInstances", Limit(5, 2)).take(0) is None
    assert is_clear(another())


def test_a_full_disk_costs_memory_and_nothing_else(another: Callable[[], Health], tmp_path: Path) -> None:
    health = another()
    with mock.patch("os.rename", side_effect=OSError(28, "No space left on device")):
        fail(health)
    assert health.breaker("ec2 eu-central-1").enter() is not None
    assert files_of(tmp_path) == []
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.fixture
def blocked(tmp_path: Path, another: Callable[[], Health]) -> Iterator[None]:
    """Another process that holds the breaker's lock and lets nobody have it."""
    context = multiprocessing.get_context("fork")
    holds, may_end = context.Event(), context.Event()

    def wait(content: dict[str, Any]) -> dict[str, Any]:
        holds.set()
        may_end.wait(20)
        return content

    def hold() -> None:
        another().breaker("ec2 eu-central-1")._ledger.change(wait)

    process = context.Process(target=hold)
    process.start()
    assert holds.wait(20)
    yield
    may_end.set()
    process.join(20)


@pytest.mark.usefixtures("blocked")
def test_a_lock_that_is_never_given_back_does_not_hold_a_call_up(another: Callable[[], Health]) -> None:
    fail(another())
    assert another().breaker("ec2 eu-central-1").opened() is not None


def test_all_that_is_wrong_can_be_seen_and_forgotten(
    troubled: Health, another: Callable[[], Health], tmp_path: Path
) -> None:
    report = another().report()
    assert report.breakers["ec2 eu-central-1"].reason == "no route"
    assert list(report.refused) == [POOL]
    assert list(report.budgets) == ["RunInstances"]
    assert another().reset() == 3
    assert is_clear(another())
    assert another().report() == ({}, {}, {})
    assert another().reset() == 0
    assert is_clear(troubled)


def test_a_memory_that_was_never_written_has_nothing_to_say(another: Callable[[], Health], tmp_path: Path) -> None:
    assert another().report() == ({}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_forgotten_is_said(troubled: Health, another: Callable[[], Health]) -> None:
    with (
        mock.patch("os.unlink", side_effect=OSError(30, "Read-only file system")),
        pytest.raises(StateError, match="Read-only file system"),
    ):
        another().reset()


def test_a_file_is_private_to_its_owner(troubled: Health, tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in files_of(tmp_path)} == {0o600}
