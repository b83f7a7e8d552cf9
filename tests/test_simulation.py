"""A thousand histories keep every law, and a law that is undone in what hfplugin stands on is found out."""

from __future__ import annotations

import os

import pytest
from simulation.history import length, play, shortest
from simulation.processes import Boundaries, Killed, Process
from simulation.reverted import REVERTED, lost_locks

# HFPLUGIN_SEED begins the histories elsewhere; HFPLUGIN_HISTORIES plays more of them.
FIRST = int(os.environ.get("HFPLUGIN_SEED", "1"))
HISTORIES = int(os.environ.get("HFPLUGIN_HISTORIES", "1000"))

# Parts that the test workers share.
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_law_holds_in_every_history(part: int) -> None:
    for seed in range(FIRST + part, FIRST + HISTORIES, PARTS):
        failure = play(seed)
        assert failure is None, str(shortest(failure))


def test_every_law_holds_where_locks_are_forgotten() -> None:
    for seed in range(FIRST, FIRST + 60):
        failure = play(seed, fault=lost_locks)
        assert failure is None, str(shortest(failure, fault=lost_locks))


@pytest.mark.parametrize("name", REVERTED)
def test_a_law_that_is_undone_is_found_out(name: str) -> None:
    fault, laws = REVERTED[name]
    found = (play(seed, fault=fault) for seed in range(1, 300))
    assert any(failure is not None and failure.law in laws for failure in found)


def test_a_history_is_the_same_every_time_it_is_played() -> None:
    fault, _ = REVERTED["what is not seen counts as terminated"]
    failures = [play(seed, fault=fault) for seed in range(1, 60)]
    assert any(failures)
    assert [play(seed, fault=fault) for seed in range(1, 60)] == failures


def test_a_shorter_history_breaks_the_same_law() -> None:
    fault, _ = REVERTED["a release does not lower the target"]
    failure = next(found for seed in range(1, 300) if (found := play(seed, fault=fault)))
    short = shortest(failure, fault=fault)
    assert short.law is failure.law
    assert len(short.steps) < length(short.seed)
    assert play(short.seed, short.steps, fault=fault) == short
    assert f"--seed {short.seed} --steps {','.join(map(str, short.steps))}" in str(short)


def test_a_killed_process_gets_no_further_than_a_boundary() -> None:
    boundaries = Boundaries()
    process = Process("call", kill_at=2)
    with boundaries.running(process):
        boundaries.cross("one")
        for boundary in ("two", "three"):
            with pytest.raises(Killed):
                boundaries.cross(boundary)
    assert process.died_at == "two"
