"""Locks: exclusive between processes, free after a kill, never waited for longer than asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hfplugin.errors import BusyError, StateError
from hfplugin.locks import Locks

_HOLDER = """
import sys, time
from hfplugin.locks import Locks
with Locks(sys.argv[1]).hold("request", sys.argv[2], 5):
    print("held", flush=True)
    time.sleep(60)
"""


def hold_elsewhere(directory: Path, key: str) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(directory), key], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def end(holder: subprocess.Popen[bytes]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert holder.stdout is not None
    holder.stdout.close()


def test_a_lock_keeps_other_processes_out_for_no_longer_than_asked(tmp_path: Path) -> None:
    holder = hold_elsewhere(tmp_path, "a")
    began = time.monotonic()
    with pytest.raises(BusyError, match="request a"), Locks(str(tmp_path)).hold("request", "a", 0.3):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    end(holder)


def test_another_key_or_kind_is_free(tmp_path: Path) -> None:
    holder = hold_elsewhere(tmp_path, "a")
    locks = Locks(str(tmp_path))
    with locks.hold("request", "b", 0), locks.hold("return", "a", 0):
        pass
    end(holder)


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    end(hold_elsewhere(tmp_path, "a"))
    with Locks(str(tmp_path)).hold("request", "a", 1):
        pass


def test_releasing_one_lock_keeps_the_others_of_the_same_kind(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path))
    with locks.hold("request", "a", 0):
        with locks.hold("request", "b", 0):
            pass
        child = os.fork()
        if child == 0:
            try:
                with Locks(str(tmp_path)).hold("request", "a", 0):
                    os._exit(0)
            except BusyError:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_two_threads_of_one_process_are_kept_apart(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path))
    refused: list[bool] = []

    def other() -> None:
        try:
            with locks.hold("request", "a", 0):
                refused.append(False)
        except BusyError:
            refused.append(True)

    with locks.hold("request", "a", 0):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused == [True]


def test_ten_thousand_keys_need_one_file(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path))
    for number in range(10_000):
        with locks.hold("request", f"req-{number}", 0):
            pass
    assert os.listdir(tmp_path) == ["request"]


def test_an_unwritable_directory_is_said_and_not_taken_for_a_busy_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StateError, match="let this user write there") as caught,
        Locks(str(tmp_path / "file" / "locks")).hold("request", "a", 0),
    ):
        pass
    assert not isinstance(caught.value, BusyError)
