"""A whole run: directories laid out, checks made in order, and everything given back, whatever happens."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hfplugin.conformance.calls import Scripts
from hfplugin.conformance.check import Check
from hfplugin.conformance.cleaning import Cleaner
from hfplugin.conformance.dialogue import Dialogue
from hfplugin.conformance.findings import BrokenError, Finding, Outcome, StoppedError, UnjudgedError
from hfplugin.conformance.hooks import World
from hfplugin.conformance.memory import Memory
from hfplugin.conformance.plan import Plan
from hfplugin.conformance.run import Run
from hfplugin.conformance.settings import Settings
from hfplugin.conformance.supply import Supply
from hfplugin.conformance.surroundings import lay_out

# What reading an answer can come to that is of no shape anybody thought of.
_UNEXPECTED_SHAPES = (AttributeError, LookupError, TypeError, ValueError)

Tell = Callable[[Finding], None]


class Verdict(NamedTuple):
    """All findings, in the order of the checks; what may be left in the cloud, and the directory that was kept.

    `is_stopped`: the operator ended the checks, so that some were not made.
    """

    findings: list[Finding]
    launched: int
    left: list[str]
    is_stopped: bool
    kept: str = ""

    @property
    def is_clean(self) -> bool:
        return not self.left and not any(finding.outcome is Outcome.FAILED for finding in self.findings)

    @property
    def is_good(self) -> bool:
        return self.is_clean and not self.is_stopped


class Stand(NamedTuple):
    """What is tested: the scripts' directory, the file's settings, where it lies, and the caller's environment."""

    scripts: Path
    settings: Settings
    directory: Path
    variables: Mapping[str, str]


class Suite:
    """Makes the checks of a plan; `tell` hears each finding as soon as it is made."""

    def __init__(self, every: tuple[Check, ...], plan: Plan, tell: Tell) -> None:
        self._every = {check.id: check for check in every}
        self._plan = plan
        self._tell = tell
        self._findings: dict[str, Finding] = {}
        self._stop = threading.Event()

    def play(self, stand: Stand) -> Verdict:
        """Make all checks, then return all machines. A first Ctrl-C ends the checks, a second the returning."""
        top = Path(tempfile.mkdtemp(prefix="conformance-"))
        try:
            run = self._opened(stand, top)
        except BaseException:
            shutil.rmtree(top, ignore_errors=True)
            raise
        with _signalled(self._stop):
            before = self._machines(run.world)
            self._judge(run, is_last=False)
            self._let_speak(run)
            is_stopped = self._stop.is_set()
            self._stop.clear()
            cleaner = Cleaner(run.dialogue, run.world, run.memory, stand.settings.limits)
            left = cleaner.clean(before)
        self._judge(run, is_last=True)
        findings = [self._findings[check_id] for check_id in self._every if check_id in self._findings]
        verdict = Verdict(findings, run.supply.launched, left, is_stopped)
        if not verdict.is_clean:
            return verdict._replace(kept=str(top))
        shutil.rmtree(top, ignore_errors=True)
        return verdict

    def _opened(self, stand: Stand, top: Path) -> Run:
        settings, memory = stand.settings, Memory()
        surroundings = lay_out(settings, top, stand.variables)
        scripts = Scripts(stand.scripts.resolve(), surroundings.environment, surroundings.inputs)
        dialogue = Dialogue(scripts, settings.limits, memory, self._stop)
        supply = Supply(dialogue, settings, self._plan.spares, self._plan.machines)
        world = World(settings.hooks, {**stand.variables, **settings.environment}, stand.directory)
        return Run(settings, surroundings, dialogue, supply, world, memory)

    def _machines(self, world: World) -> set[str] | None:
        """Give what runs in the cloud before anything is launched."""
        try:
            return world.machines() if world.has("machines") and self._plan.machines else None
        except UnjudgedError:
            return None

    def _judge(self, run: Run, is_last: bool) -> None:
        for check in self._plan.checks:
            if check.needs.is_last == is_last:
                self._note(self._judged(check, run))

    def _let_speak(self, run: Run) -> None:
        """Launch what the last checks judge, where nothing was launched for others."""
        if not any(check.needs.is_last and check.needs.shared for check in self._plan.checks):
            return
        try:
            run.supply.shared()
        except BrokenError as error:
            self._note(_failed(self._every[error.rule], error))
        except (UnjudgedError, StoppedError):
            pass  # nothing is there to be judged: each of the last checks says so

    def _judged(self, check: Check, run: Run) -> Finding:
        why = self._plan.skipped.get(check.id, "")
        if why:
            return _skipped(check, why)
        try:
            check.judge(run)
        except BrokenError as error:
            if error.rule in ("", check.id):
                return _failed(check, error)
            self._note(_failed(self._every[error.rule], error))
            return _skipped(check, f"cannot be judged while {error.rule} does not hold")
        except UnjudgedError as error:
            return _skipped(check, str(error))
        except StoppedError:
            return _skipped(check, "the run was stopped")
        except _UNEXPECTED_SHAPES as error:
            last = " ".join(map(str, run.memory.calls[-1:]))
            came = f"what cannot be read ({type(error).__name__}: {error}); the last call: {last}"
            return _failed(check, BrokenError("answers of the shapes that the contract gives", came))
        return Finding(check.id, check.rule, Outcome.PASSED)

    def _note(self, finding: Finding) -> None:
        """Keep a finding; a rule that is broken once is broken, however often it held."""
        before = self._findings.get(finding.id)
        if before is None or (before.outcome, finding.outcome) == (Outcome.PASSED, Outcome.FAILED):
            self._findings[finding.id] = finding
            self._tell(finding)


def _failed(check: Check, error: BrokenError) -> Finding:
    return Finding(check.id, check.rule, Outcome.FAILED, error.expected, error.came)


def _skipped(check: Check, why: str) -> Finding:
    return Finding(check.id, check.rule, Outcome.SKIPPED, why=why)


@contextmanager
def _signalled(event: threading.Event) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP set the event, instead of what they would do."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: event.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
