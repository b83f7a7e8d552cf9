"""Where the next launch of a request goes: type by type, place by place, past those that have refused.

What one process was refused all others know, by the provider layer's shared memory (`base.health`): it runs out by
itself, and a launch that gets machines ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.errors import ErrorKind
from hfplugin.model import Launch, Refusal
from hfplugin.providers.base import places as base_places
from hfplugin.providers.base.health import Remembered
from hfplugin.providers.base.health.refusals import QUOTA_SECONDS
from hfplugin.providers.base.places import Choice
from hfplugin.providers.base.provider import Order

if TYPE_CHECKING:
    from hfplugin.providers.simulated.template import SimulatedTemplate

# The quota is the account's: it is refused in every place alike.
_QUOTA = "quota"


class Place(NamedTuple):
    """Where and as what machines can be had; each is worth `weight` capacity units."""

    name: str
    machine_type: str
    weight: int

    def __str__(self) -> str:
        return f"{self.name}/{self.machine_type}"


def every(template: SimulatedTemplate) -> Iterator[Place]:
    for name, machine_type in template.machine_types.items():
        for place in template.places:
            yield Place(place, name, machine_type.weight)


def choose(template: SimulatedTemplate, order: Order, memory: Remembered) -> Choice[Place]:
    """Choose the first place that has refused neither this request nor, lately, others."""
    exhausted = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    in_force = memory.in_force()
    places = (each for each in every(template) if str(each) not in exhausted)
    return base_places.choose(((each, in_force.get(each.name) or in_force.get(_QUOTA)) for each in places), order)


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
