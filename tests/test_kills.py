"""Calls killed at any step of theirs, for every service: nothing is lost, leaked, doubled or stuck.

Each run kills at other boundaries; HFPLUGIN_SEED fixes them. Thousands: `python tests/kills.py --histories 100`,
each boundary of each service once: `python tests/kills.py --every`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from kills import History, at, here_and_there, played
from player import SERVICES

from hfplugin.emulator import Emulator

# A history has some thirty kills; with many fewer it would prove little.
_FEWEST_KILLS = 10


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("HFPLUGIN_SEED") or random.randint(1, 10**6))


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_lost_leaked_doubled_or_stuck_when_every_second_call_is_killed(
    emulator: Emulator, service: str, seed: int
) -> None:
    with played(emulator, service, f"--histories 1 --seed {seed}") as history:
        here_and_there(history, seed)
    assert history.calls.kills >= _FEWEST_KILLS


def test_a_call_is_killed_at_its_boundary_and_a_failure_names_it(emulator: Emulator) -> None:
    with pytest.raises(AssertionError) as failure, played(emulator, "RunInstances", "--boundary 5") as history:
        at(history, 5)
        raise AssertionError("as ordered")
    [call, again] = [
        each for each in failure.value.__notes__[0].splitlines() if "KILLED" in each or "again" in each
    ]
    assert call.strip().startswith(("KILLED before ", "KILLED after "))
    assert again == "RunInstances; again: python tests/kills.py --service RunInstances --boundary 5"


def test_a_request_that_is_killed_at_any_boundary_leaves_nothing_behind(
    emulator: Emulator, tmp_path: Path
) -> None:
    names = History(emulator, tmp_path, "RunInstances").ask_in_vain()
    assert {"before RunInstances", "after RunInstances"} <= set(names)
    for step in ("open", "fsync", "link", "rename", "unlink"):
        for moment in ("before", "after"):
            assert any(name.startswith(f"{moment} {step} of requests/") for name in names), (moment, step)
