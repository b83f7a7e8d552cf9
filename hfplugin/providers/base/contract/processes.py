"""Calls at the same time, each from a process of its own, as HostFactory makes them."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

import pytest

from hfplugin.providers.base.contract.bench import Bench

T = TypeVar("T")

# For a call that the cloud answers; one that waits for another for ever must not keep pytest from ending.
_WAIT_SECONDS = 60.0


def at_once(bench: Bench, calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make calls at the same time and give what they give, in order.

    Each is made in a fork of this process, where the bench's provider is made anew; or, where the cloud is in this
    one's memory, in a thread.
    """
    if bench.is_in_memory:
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: call(), calls))
    return _forked(bench, calls)


def require_processes(bench: Bench) -> None:
    """End a test of calls at the same time: skip it where it was made of threads alone."""
    if bench.is_in_memory:
        pytest.skip(
            "unproven, for this cloud is in memory: that processes keep out of each other's way, as threads do"
        )


def _forked(bench: Bench, calls: Sequence[Callable[[], T]]) -> list[T]:
    with ExitStack() as stack:
        ends = [_fork(bench, call, stack) for call in calls]
        for end in ends:
            _received(end)  # its provider is made
        for end in ends:
            end.send(None)
        return [_received(end) for end in ends]


def _fork(bench: Bench, call: Callable[[], T], stack: ExitStack) -> Connection:
    """Begin a process that is gone when the stack is left; give our end of the connection to it."""
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(bench, call, theirs), daemon=True)
    with warnings.catch_warnings():
        # Since Python 3.12, where threads run: those of this suite hold nothing that the fork uses.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    stack.callback(_end, process)
    theirs.close()
    return ours


def _end(process: ForkProcess) -> None:
    process.kill()
    process.join()


def _run(bench: Bench, call: Callable[[], T], connection: Connection) -> None:
    """Make one call, once told to, in the process that was forked for it."""
    try:
        bench.renew()
        connection.send((True, bench.provider is not None))  # made before any call begins
        connection.recv()
        connection.send((True, call()))
    except BaseException:
        connection.send((False, traceback.format_exc()))
        raise


def _received(connection: Connection) -> Any:
    assert connection.poll(_WAIT_SECONDS), f"a call does not end within {_WAIT_SECONDS:g} s"
    is_given, content = connection.recv()
    assert is_given, f"a call in a process of its own failed:\n{content}"
    return content
