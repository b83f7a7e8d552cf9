"""A history: steps drawn from a seed, played one after the other, the laws checked after each and at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from itertools import zip_longest
from random import Random
from typing import NamedTuple

from simulation.ending import go_on
from simulation.laws import BrokenError, Law
from simulation.steps import WEIGHTS
from simulation.world import MOST, World

_STEPS = [*WEIGHTS]

# A seed's generators are told apart by this factor: one for the world, one for each step.
_SPREAD = 1_000

Fault = Callable[[World], AbstractContextManager[None]]


class Failure(NamedTuple):
    """A history that broke a law: `steps` are the numbers of those that were played, `told` what happened."""

    seed: int
    law: Law
    message: str
    steps: tuple[int, ...]
    told: tuple[str, ...]

    def __str__(self) -> str:
        lines = "\n".join(f"  {n:>3} {words}" for n, words in zip_longest(self.steps, self.told, fillvalue=""))
        numbers = ",".join(map(str, self.steps))
        again = f"python tests/simulation --seed {self.seed} --steps {numbers}"
        return f"seed {self.seed}: {self.message}\n{lines}\nplay it again: {again}"


def length(seed: int) -> int:
    """Give how many steps a seed's history has."""
    return Random(seed).randrange(15, 40)


def play(
    seed: int,
    steps: Collection[int] | None = None,
    fault: Fault = lambda world: nullcontext(),
) -> Failure | None:
    """Play a seed's history, or only the named steps of it, and give what was broken, if anything was.

    `fault` breaks something in the fakes for as long as the history lasts.
    """
    numbers = tuple(range(length(seed)) if steps is None else steps)
    world = World(Random(seed * _SPREAD))
    with world.installed(), fault(world):
        try:
            world.start()
            for number in numbers:
                _step(world, Random(seed * _SPREAD + 1 + number))
                _check(world)
            world.told.append("life goes on")
            go_on(world)
        except BrokenError as error:
            return Failure(seed, error.law, str(error), numbers[: len(world.told)], tuple(world.told))
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
    return None


def _step(world: World, draw: Random) -> None:
    weights = [WEIGHTS[step] * world.often.get(step.__name__, 1) for step in _STEPS]
    step = draw.choices(_STEPS, weights)[0]
    world.told.append("")
    world.tell(step.__name__)
    world.told[-1] = step(world, draw)


def _check(world: World) -> None:
    """Check what can be seen of the cloud after every step; the rest checks itself where it happens."""
    world.cloud.watch_targets()
    if world.is_uncountable or world.damaged:
        return  # how many there are is counted over records, under a lock
    for template in world.site.templates:
        if template.extension.get("source") and world.cloud.hidden_until:
            continue  # what a short fleet does not list yet is launched elsewhere, and given back when it shows
        alive = len(world.cloud.alive_of(template.id) - world.spoiled)
        if 0 <= template.max_number < alive:
            raise BrokenError(Law.MAX_NUMBER, f"{alive} of {template.id}, {MOST} at the most")


def shortest(failure: Failure, fault: Fault = lambda world: nullcontext()) -> Failure:
    """Leave out every step without which the same law is broken all the same."""
    is_shorter = True
    while is_shorter:
        is_shorter = False
        for number in reversed(failure.steps):
            rest = [each for each in failure.steps if each != number]
            found = play(failure.seed, rest, fault)
            if found is not None and found.law is failure.law:
                failure, is_shorter = found, True
    return failure
