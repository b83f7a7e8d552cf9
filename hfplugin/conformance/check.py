"""A check: a rule of HostFactory's contract, what is needed to judge it, and the judging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hfplugin.conformance.settings import HookName

if TYPE_CHECKING:
    from hfplugin.conformance.run import Run


@dataclass(frozen=True)
class Needs:
    """What a check cannot do without.

    `shared` are machines that all checks look at and none ends, `spares` how many it uses up, `launches` how many
    it requests in its own way. `returns`: it follows a return, if only a plain one. `is_last`: it judges all that
    was heard, so it is made after everything else.
    """

    shared: bool = False
    spares: int = 0
    interruptible: bool = False
    launches: int = 0
    returns: bool = False
    hooks: tuple[HookName, ...] = ()
    is_slow: bool = False
    is_last: bool = False


NOTHING = Needs()
SHARED = Needs(shared=True)
LAST = Needs(is_last=True)
MACHINES_LAST = Needs(shared=True, is_last=True)


@dataclass(frozen=True)
class Check:
    """`judge` returns when the rule holds, and raises BrokenError or UnjudgedError when not."""

    id: str
    rule: str
    needs: Needs
    judge: Callable[[Run], None]

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]


def check(id: str, rule: str, needs: Needs = NOTHING) -> Callable[[Callable[[Run], None]], Check]:
    """Make a check of the function that judges it."""
    return lambda judge: Check(id, rule, needs, judge)


def checks_of(names: Mapping[str, object]) -> list[Check]:
    """Give the checks that a module defines, in its order."""
    return [value for value in names.values() if isinstance(value, Check)]
