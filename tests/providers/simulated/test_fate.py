"""What becomes of machines follows from the seed and their identity alone, in the shares that were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import MachineState
from hfplugin.providers.simulated.configuration import SimulatedSettings
from hfplugin.providers.simulated.fate import NEVER, Fate, Machine

MANY = [Machine(f"sim-{number}", 1000.0) for number in range(2000)]


def fate(**settings: Any) -> Fate:
    return Fate(SimulatedSettings(**settings))


def test_a_machine_boots_runs_and_once_given_back_ends() -> None:
    life = fate(boot_seconds=10.0, shutdown_seconds=5.0).life(Machine("sim-1", 1000.0, ended_at=1100.0))
    assert [life.state(moment) for moment in (1000, 1009.9, 1010, 1099.9, 1100, 1104.9, 1105)] == [
        MachineState.PENDING,
        MachineState.PENDING,
        MachineState.RUNNING,
        MachineState.RUNNING,
        MachineState.SHUTTING_DOWN,
        MachineState.SHUTTING_DOWN,
        MachineState.TERMINATED,
    ]
    assert life.reason == ""


def test_the_same_seed_brings_the_same_and_another_one_something_else() -> None:
    drawn = {"boot_variation": 0.5, "boot_failure_share": 0.2, "interruptions_per_hour": 1.0}
    lives = [fate(seed=7, **drawn).life(machine) for machine in MANY]
    assert [fate(seed=7, **drawn).life(machine) for machine in MANY] == lives
    assert [fate(seed=8, **drawn).life(machine) for machine in MANY] != lives


def test_boot_times_vary_as_far_as_they_may() -> None:
    drawn = [fate(boot_seconds=100.0, boot_variation=0.2).life(machine).boots_at - 1000 for machine in MANY]
    assert 80 <= min(drawn) < 81
    assert 119 < max(drawn) <= 120


def test_the_share_of_machines_that_fails_to_boot_ends_instead_of_running() -> None:
    lives = [fate(boot_failure_share=0.25).life(machine) for machine in MANY]
    failed = [life for life in lives if life.fails_at < NEVER]
    assert len(failed) == pytest.approx(500, abs=60)
    assert {life.ends_at == life.boots_at for life in failed} == {True}
    assert {life.reason for life in failed} == {"BootFailure: it did not start"}


def test_machines_are_taken_back_at_the_rate_that_was_asked_for() -> None:
    lives = [fate(interruptions_per_hour=2.0).life(machine) for machine in MANY]
    times = [life.taken_at - 1000 for life in lives]
    assert sum(times) / len(times) == pytest.approx(1800, rel=0.1)
    # The next half hour is as dangerous to those that have lived through the first.
    first, second = (sum(start < time <= start + 1800 for time in times) for start in (0, 1800))
    assert second / (len(times) - first) == pytest.approx(first / len(times), rel=0.1)


def test_notice_is_given_as_long_before_as_was_asked_for() -> None:
    life = fate(notice_seconds=120.0).life(Machine("sim-1", 1000.0, taken_at=2000.0))
    assert (life.told_at, life.taken_at, life.ends_at) == (1880.0, 2000.0, 2000.0)
    assert fate(notice_seconds=120.0).life(Machine("sim-1", 1000.0, taken_at=1060.0)).told_at == 1000.0


def test_the_shares_of_launches_are_drawn_by_their_tokens() -> None:
    chance = fate(launch_failure_share=0.3, lost_answer_share=0.1)
    tokens = [f"token-{number}" for number in range(2000)]
    assert sum(map(chance.refuses, tokens)) == pytest.approx(600, abs=70)
    assert sum(map(chance.loses_answer, tokens)) == pytest.approx(200, abs=50)


def test_outages_last_a_spell_and_take_their_share_of_the_time() -> None:
    chance = fate(outage_share=0.1, outage_seconds=60.0)
    out = [_kind(chance, "observe", moment) for moment in range(0, 60_000, 5)]
    assert out.count(ErrorKind.TRANSIENT) / len(out) == pytest.approx(0.1, abs=0.03)
    assert all(len({*out[spell : spell + 12]}) == 1 for spell in range(0, len(out), 12))


def test_throttling_takes_its_share_of_the_seconds_of_each_operation() -> None:
    chance = fate(throttled_share=0.5)
    launches = [_kind(chance, "launch", moment) for moment in range(2000)]
    assert launches.count(ErrorKind.THROTTLED) == pytest.approx(1000, abs=100)
    assert launches != [_kind(chance, "observe", moment) for moment in range(2000)]


def test_on_a_good_day_nothing_happens() -> None:
    chance = fate()
    assert {_kind(chance, "launch", moment) for moment in range(500)} == {None}
    assert {chance.life(machine).ends_at for machine in MANY} == {NEVER}
    assert not any(chance.refuses(machine.id) or chance.loses_answer(machine.id) for machine in MANY)


def _kind(chance: Fate, operation: str, now: float) -> ErrorKind | None:
    try:
        chance.admit(operation, now)
    except ProviderError as error:
        return error.kind
    return None
