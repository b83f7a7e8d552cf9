"""Where the next launch of a request goes: the first place in the provider's order that has not refused lately.

A provider says what its places are and in what order; what another request was refused there is passed over, so
that a call is spent where machines may be had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from hfplugin.errors import ErrorKind
from hfplugin.model import Refusal
from hfplugin.providers.base.health import Refused
from hfplugin.providers.base.provider import Nowhere, Order, Plan

P = TypeVar("P")

# Ours: the code of a place that was passed over.
RECENTLY = "RefusedRecently"


class Choice(NamedTuple, Generic[P]):
    """The place to ask next, None when there is none; `passed_over` are those that are not asked, and why."""

    place: P | None
    passed_over: tuple[Refusal, ...] = ()

    def planned(self, make: Callable[[P], Plan]) -> Plan | Nowhere:
        """Make the plan for the place."""
        if self.place is None:
            return Nowhere(self.passed_over)
        return make(self.place)._replace(passed_over=self.passed_over)


def choose(places: Iterable[tuple[P, Refused | None]], order: Order) -> Choice[P]:
    """Choose the first of the places, given with what they refused lately, to whomever, that refused nothing.

    With everything refused, the place refused longest ago is tried after all, as long as nothing has been refused
    to this very request: else a memory that is wrong would never be put right.
    """
    shut: list[tuple[P, Refused]] = []
    for place, refused in places:
        if refused is None:
            return Choice(place, _passed_over(shut))
        shut.append((place, refused))
    has_asked = any(launch.is_refused_capacity for launch in order.past)
    if has_asked or not shut:
        return Choice(None, _passed_over(shut))
    probe = min(shut, key=lambda each: each[1].at)
    return Choice(probe[0], _passed_over(each for each in shut if each is not probe))


def _passed_over(shut: Iterable[tuple[P, Refused]]) -> tuple[Refusal, ...]:
    def told(each: Refused) -> str:
        until = time.strftime("%H:%M:%SZ", time.gmtime(each.until))
        return f"not asked again before {until}: {each.reason}"

    return tuple(Refusal(ErrorKind.CAPACITY, RECENTLY, told(each), str(place)) for place, each in shut)
