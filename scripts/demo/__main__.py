"""Plays HostFactory against an emulated AWS: a whole life of machines through the five scripts, all of it checked.

Knows hfplugin as HostFactory and AWS do, by its scripts, files and tags; of its code it uses the emulator alone.
Run by demo.sh. Exit status: 0 = all was as HostFactory's contract says, 1 = something was not, 2 = it could not be
played.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from contract import BrokenContractError, Finding
from factory import HostFactory
from life import STEPS, Life, Step
from screen import Screen
from stage import FIRST_POOL, Cloud, lay_out
from storm import STEPS as STORMY_STEPS
from storm import Storm

from hfplugin.emulator import Emulator, EmulatorError
from hfplugin.emulator.chaos import Havoc, plan

LOG_LINES = 20


def last_lines(path: Path, count: int) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-count:]) or f"nothing in {path}"


class Balance(NamedTuple):
    """What became of the machines, and whether all was as expected."""

    launched: int
    returned: int
    left: int
    is_good: bool

    def __str__(self) -> str:
        verdict = "all as the contract says" if self.is_good else "NOT all as the contract says"
        return f"{self.launched} launched, {self.returned} returned, {self.left} left: {verdict}"


def play(life: Life, steps: Sequence[Step], factory: HostFactory, cloud: Cloud) -> Balance:
    """Play the steps up to the first that fails."""
    screen = factory.screen
    findings: list[Finding] = []
    for number, step in enumerate(steps, 1):
        screen.title(f"{number}. {step.name}")
        findings.append(_played(step, life))
        screen.finding(findings[-1], step.proves)
        if not findings[-1].is_good:
            screen.title(str(factory.log))
            screen.line(last_lines(factory.log, LOG_LINES))
            break
    screen.table([step.name for step in steps], findings)
    launched = len(cloud.emulator.machines())
    left = launched - len(cloud.terminated())
    return Balance(launched, len(life.returned), left, not left and all(found.is_good for found in findings))


def _played(step: Step, life: Life) -> Finding:
    try:
        return step.play(life)
    except BrokenContractError as error:
        return error.finding


def perform(top: Path, screen: Screen, seed: int | None) -> Balance:
    """Set the stage below `top` and play on it: calmly, or in the chaos of the seed."""
    with Emulator() as emulator:
        cloud = Cloud(emulator)
        factory = HostFactory(lay_out(top, emulator.url, cloud.prepare()), screen)
        screen.line(f"emulated AWS: {emulator.url}; HostFactory's directories: {top}")
        factory.introduce()
        if seed is None:
            return play(Life(factory, cloud), STEPS, factory, cloud)
        return play_in_chaos(factory, cloud, seed)


def play_in_chaos(factory: HostFactory, cloud: Cloud, seed: int) -> Balance:
    factory.screen.title(f"chaos {seed}: the same again with --chaos {seed}")
    havoc = Havoc(cloud.emulator, plan(seed, pools=[FIRST_POOL]))
    havoc.begin()
    balance = play(Storm(factory, cloud, havoc), STORMY_STEPS, factory, cloud)
    factory.screen.troubles([trouble for trouble in havoc.told() if trouble.times])
    return balance


def leave(number: int, _frame: object) -> None:
    """End through every `finally`, as Ctrl-C does."""
    sys.exit(128 + number)


def asked_seed() -> int | None:
    """Give the seed of the chaos that the command line asks for; without a number, one by chance."""
    parser = argparse.ArgumentParser(
        prog="demo.sh", description="Play HostFactory against an emulated AWS, and check every answer."
    )
    parser.add_argument(
        "--chaos",
        type=int,
        nargs="?",
        const=random.randrange(1, 10_000),
        metavar="SEED",
        help="let the cloud refuse, throttle, drop answers and take machines back: the same from the same seed",
    )
    seed: int | None = parser.parse_args().chaos
    return seed


def main() -> int:
    seed = asked_seed()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    screen = Screen()
    try:
        with TemporaryDirectory(prefix="hfplugin-demo-") as top:
            balance = perform(Path(top), screen, seed)
    except (EmulatorError, BotoCoreError, ClientError) as error:
        screen.line(f"the emulator fails: {error}", "bold red")
        return 2
    except KeyboardInterrupt:
        screen.line("interrupted: the emulator is stopped, the files are removed", "bold red")
        return 128 + signal.SIGINT
    screen.line(str(balance), "bold green" if balance.is_good else "bold red")
    return 0 if balance.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
