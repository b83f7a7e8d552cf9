"""Calls as processes: killed at a boundary, or run together, one boundary of one at a time, by a drawn order.

A boundary lies before and after whatever another process, or nobody after a kill, could notice: an operation on
a file, a lock, a call to the cloud. Between two boundaries nothing else runs, so a history is repeatable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from fake_cloud import ManualClock

from hfplugin.errors import BusyError, StateError

# A process that waits for a lock tries again after this long, as hfplugin.locks does.
_RETRY_SECONDS = 0.02

# At a boundary of calls that run together, how often it is another's turn.
_SWITCHES = 0.35


class Killed(BaseException):
    """SIGKILL: what the process would have done next, its own clean-up included, does not happen."""


class Process:
    """One call. It dies at its `kill_at`th boundary (0: it lives), or once one of its company is dead.

    A dead one gets no further than a boundary.
    """

    def __init__(self, name: str, kill_at: int = 0) -> None:
        self.name = name
        self.kill_at = kill_at
        self.crossed = 0
        self.died_at = ""
        self.made: list[str] = []
        self.company: list[Process] = []

    def cross(self, boundary: str) -> None:
        self.crossed += 1
        is_over = self.crossed == self.kill_at or any(each.died_at for each in self.company)
        if self.died_at or is_over:
            self.died_at = self.died_at or boundary
            raise Killed


class Boundaries:
    """Knows whose turn it is. Outside of calls (the history's own looks) nothing happens at a boundary."""

    def __init__(self) -> None:
        self.current: Process | None = None
        self._race: Race | None = None

    def cross(self, boundary: str) -> None:
        """Pass a boundary; raises Killed where the process dies."""
        process = self.current
        if process is None:
            return
        process.cross(boundary)
        if self._race is not None:
            self._race.reach(process)

    def wait(self) -> None:
        """Let the others go on, if there are any."""
        process = self.current
        if self._race is not None and process is not None:
            self._race.reach(process, is_waiting=True)

    @contextmanager
    def running(self, process: Process) -> Iterator[None]:
        self.current = process
        try:
            yield
        finally:
            self.current = None

    def race(self, calls: Sequence[tuple[Process, Callable[[], None]]], draw: Random) -> None:
        """Run the calls together until each has ended; an error of any is raised."""
        self._race = Race(self, calls, draw)
        try:
            self._race.run()
        finally:
            self._race = None
            self.current = None


class Race:
    """Threads of which exactly one runs: the one that holds the baton."""

    def __init__(
        self, boundaries: Boundaries, calls: Sequence[tuple[Process, Callable[[], None]]], draw: Random
    ) -> None:
        self._boundaries = boundaries
        self._draw = draw
        self._batons = {process: threading.Semaphore(0) for process, _ in calls}
        self._waiting = [process for process, _ in calls]
        self._end = threading.Semaphore(0)
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._play, args=call) for call in calls]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        self._pass_on()
        self._end.acquire()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _play(self, process: Process, call: Callable[[], None]) -> None:
        self._batons[process].acquire()
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for the end
            self._errors.append(error)
        if self._waiting:
            self._pass_on()
        else:
            self._end.release()

    def reach(self, process: Process, is_waiting: bool = False) -> None:
        """Give another its turn now and then, and go on when it is one's own again."""
        if self._waiting and (is_waiting or self._draw.random() < _SWITCHES):
            self._waiting.append(process)
            self._pass_on(but=process)
            self._batons[process].acquire()

    def _pass_on(self, but: Process | None = None) -> None:
        following = self._draw.choice([process for process in self._waiting if process is not but])
        self._waiting.remove(following)
        self._boundaries.current = following
        self._batons[following].release()


class SimulatedLocks:
    """Locks between simulated processes, as hfplugin.locks gives them between real ones.

    `mode`: "kept"; "lost": everybody gets every lock, as on a shared file system that forgets them; "failing".
    """

    def __init__(self, boundaries: Boundaries, clock: ManualClock) -> None:
        self.mode = "kept"
        self._boundaries = boundaries
        self._clock = clock
        self._held: set[tuple[str, str]] = set()

    @contextmanager
    def hold(self, kind: str, key: str, wait: float) -> Iterator[None]:
        """Hold the lock while the block runs; BusyError when it stays taken for `wait` seconds."""
        self._boundaries.cross(f"lock {kind}")
        if self.mode == "failing":
            raise StateError("cannot lock: no locks available")
        if self.mode == "lost":
            yield
            return
        slot = (kind, key)
        give_up = self._clock() + wait
        while slot in self._held:
            if self._clock() >= give_up:
                raise BusyError(f"another call is working on {kind} {key}")
            self._clock.advance(max(_RETRY_SECONDS, wait / 20))
            self._boundaries.wait()
        self._held.add(slot)
        try:
            yield
        finally:
            self._held.discard(slot)
