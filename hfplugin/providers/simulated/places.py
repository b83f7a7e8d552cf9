"""Where the next launch of a request goes: type by type, place by place, past those that have refused.

What one process was refused all others know, by the provider layer's shared memory (`base.health`): it runs out by
itself, and a launch that gets machines ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.errors import ErrorKind
from hfplugin.model import Launch, Refusal
from hfplugin.providers.base.health import Refused, Remembered
from hfplugin.providers.base.health.refusals import QUOTA_SECONDS
from hfplugin.providers.base.provider import Order

if TYPE_CHECKING:
    from hfplugin.providers.simulated.template import SimulatedTemplate

# Ours: the code of a place that is passed over.
_RECENTLY = "RefusedRecently"

# The quota is the account's: it is refused in every place alike.
_QUOTA = "quota"


class Place(NamedTuple):
    """Where and as what machines can be had; each is worth `weight` capacity units."""

    name: str
    machine_type: str
    weight: int

    def __str__(self) -> str:
        return f"{self.name}/{self.machine_type}"


class Choice(NamedTuple):
    """The place to ask next, None when there is none; `passed_over` are those that refused others lately."""

    place: Place | None
    passed_over: tuple[Refusal, ...] = ()


def every(template: SimulatedTemplate) -> Iterator[Place]:
    for name, machine_type in template.machine_types.items():
        for place in template.places:
            yield Place(place, name, machine_type.weight)


def choose(template: SimulatedTemplate, order: Order, memory: Remembered) -> Choice:
    """Give the first place that has refused neither this request nor, lately, others.

    When every place has refused others, and none this request, the one that did so longest ago is asked: else a
    memory that is wrong would never be put right.
    """
    exhausted = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    in_force = memory.in_force()
    shut: list[tuple[Place, Refused]] = []
    for place in every(template):
        if str(place) in exhausted:
            continue
        refused = in_force.get(place.name) or in_force.get(_QUOTA)
        if refused is None:
            return Choice(place, _passed_over(shut))
        shut.append((place, refused))
    has_asked = any(launch.is_refused_capacity for launch in order.past)
    if has_asked or not shut:
        return Choice(None, _passed_over(shut))
    probe = min(shut, key=lambda each: each[1].at)
    return Choice(probe[0], _passed_over([each for each in shut if each is not probe]))


def _passed_over(shut: list[tuple[Place, Refused]]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(ErrorKind.CAPACITY, _RECENTLY, f"not asked again for a while: {refused.reason}", str(place))
        for place, refused in shut
    )


def learn(launch: Launch, refusal: Refusal | None, memory: Remembered) -> None:
    """Remember what a launch was refused, or that it was not. All or nothing may be too much for one only."""
    place = launch.params["place"]
    if refusal is None:
        memory.forget([place, _QUOTA])
    elif launch.params["least"] > 1:
        return
    elif refusal.kind is ErrorKind.QUOTA:
        memory.note({_QUOTA: str(refusal)}, QUOTA_SECONDS)
    elif refusal.kind is ErrorKind.CAPACITY:
        memory.note({place: str(refusal)})
