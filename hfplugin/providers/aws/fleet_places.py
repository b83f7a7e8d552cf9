"""Where a fleet or group can be had: the purchase types in their order, and in each the subnets zone by zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ErrorKind
from hfplugin.providers.aws import subnets
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.base.provider import Order

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

ON_DEMAND = "ondemand"


class Place(NamedTuple):
    """One try: all types in these subnets, at most one a zone, bought as `price_type` says.

    `layer` counts the tries with other subnets of the same zones.
    """

    region: str
    price_type: str
    layer: int
    subnets: tuple[str, ...]

    def __str__(self) -> str:
        again = f"/{self.layer + 1}" if self.layer else ""
        return f"{self.region}/{self.price_type}{again}"


def first_open(clients: Clients, template: AWSTemplate, order: Order) -> Place | None:
    """Give the first place that has not refused or failed this request."""
    shut = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    over_quota = {
        _price_type(launch.place)
        for launch in order.past
        if launch.errors and all(error.kind is ErrorKind.QUOTA for error in launch.errors)
    }
    for place in every(clients, template):
        if str(place) not in shut and place.price_type not in over_quota:
            return place
    return None


def every(clients: Clients, template: AWSTemplate) -> Iterator[Place]:
    """Go through the places in their order: heterogeneous templates end on demand."""
    kinds = [template.purchase, *([ON_DEMAND] if template.purchase == "heterogeneous" else [])]
    layers = subnets.layers(clients, clients.region, template.subnet_id)
    for kind in kinds:
        for number, layer in enumerate(layers):
            yield Place(clients.region, kind, number, tuple(layer))


def _price_type(place: str) -> str:
    return place.split("/")[1] if "/" in place else ""


def machine_types(template: AWSTemplate, place: Place) -> dict[str, int]:
    """Give the types of a place with their weights: the top-up on demand may have types of its own."""
    if place.price_type == ON_DEMAND and template.is_spot:
        return template.vm_types_on_demand or template.machine_types
    return template.machine_types


def overrides(template: AWSTemplate, place: Place, price_key: str) -> list[dict[str, Any]]:
    """Make a fleet's overrides: every type in every subnet. `price_key` is what the service calls a price.

    Weights are said when one differs from 1: AWS counts machines else. Priorities are the template's, 0 first.
    A launch template's own type needs no override, unless a subnet is to be said.
    """
    types = machine_types(template, place) or {"": 1}
    is_weighted = any(weight != 1 for weight in types.values())
    price = template.spot_price_limit if place.price_type != ON_DEMAND else None
    made = []
    for machine_type, weight in types.items():
        common: dict[str, Any] = {"InstanceType": machine_type} if machine_type else {}
        if template.instance_requirements:
            common["InstanceRequirements"] = template.instance_requirements
        if is_weighted:
            common["WeightedCapacity"] = weight
        if machine_type in template.vm_types_priority:
            common["Priority"] = template.vm_types_priority[machine_type]
        if price is not None:
            common[price_key] = f"{price:g}"
        made += [{**common, "SubnetId": subnet} for subnet in place.subnets] or [common]
    return [override for override in made if override]
