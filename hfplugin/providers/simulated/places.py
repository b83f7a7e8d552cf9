"""Where the next launch of a request goes: type by type, place by place, past those that have refused.

What one process was refused all others know, by the provider layer's shared memory (`base.health`): it runs out by
itself, and a launch that gets machines ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

# The place of a cloud that nobody has named one for.
HERE = "here"

# The quota is the account's: it is refused in every place alike.
_QUOTA = "quota"


class Place(NamedTuple):
    """Where and as what machines can be had; each is worth `weight` capacity units."""

    name: str
    machine_type: str
    weight: int

    def __str__(self) -> str:
        return f"{self.name}/{self.machine_type}"


def every(template: SimulatedTemplate, names: Sequence[str]) -> Iterator[Place]:
    """Give all that a template can be launched as, in the places of these names."""
    for machine_type, content in template.machine_types.items():
        for name in names:
            yield Place(name, machine_type, content.weight)


def choose(places: Iterable[Place], order: Order, memory: Remembered) -> Choice[Place]:
    """Choose the first place that has refused neither this request nor, lately, others."""
    exhausted = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    in_force = memory.in_force()
    left = (each for each in places if str(each) not in exhausted)
    return base_places.choose(((each, in_force.get(each.name) or in_force.get(_QUOTA)) for each in left), order)


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
