"""Where a fleet or group can be had: the purchase types in their order, and in each the subnets zone by zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ErrorKind
from hfplugin.providers.aws import pools, purchase, subnets
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.pools import Pool
from hfplugin.providers.base.places import Choice
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


def first_open(clients: Clients, template: AWSTemplate, order: Order, has_layers: bool = True) -> Choice[Place]:
    """Choose the first place that has not refused or failed this request, nor others lately."""
    shut = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    over_quota = {
        tuple(launch.place.split("/")[:2])
        for launch in order.past
        if launch.errors and all(error.kind is ErrorKind.QUOTA for error in launch.errors)
    }
    open_places = (
        (place, _pools(template.in_region(place.region), place))
        for place in every(clients, template, has_layers)
        if str(place) not in shut and (place.region, place.price_type) not in over_quota
    )
    return pools.choose(clients, open_places, order)


def _pools(template: AWSTemplate, place: Place) -> list[Pool]:
    """Give the pools of a place; none is known where AWS or the launch template chooses the types."""
    bought = purchase.split(template, 100, template.on_demand_base_capacity or 0)
    price_types = [name for name, units in ((ON_DEMAND, bought.on_demand), ("spot", bought.spot)) if units]
    if place.price_type == ON_DEMAND:
        price_types = [ON_DEMAND]
    return [
        Pool(place.region, price_type, machine_type, subnet)
        for price_type in price_types
        for machine_type in machine_types(template, place)
        for subnet in place.subnets or tuple(template.subnet_id) or ("",)
    ]


def every(clients: Clients, template: AWSTemplate, has_layers: bool = True) -> Iterator[Place]:
    """Go through the places in their order, region by region; heterogeneous templates end on demand in each.

    Without layers it takes all subnets at once, any number of a zone, and a place names none. A region is looked
    at when those before it are gone through.
    """
    kinds = [template.purchase, *([ON_DEMAND] if template.purchase == "heterogeneous" else [])]
    for region in clients.regions_of(template):
        layers = subnets.layers(clients, region, template.in_region(region).subnet_id) if has_layers else [[]]
        for kind in kinds:
            for number, layer in enumerate(layers):
                yield Place(region, kind, number, tuple(layer))


def machine_types(template: AWSTemplate, place: Place) -> dict[str, int]:
    """Give the types of a place with their weights: the top-up on demand may have types of its own."""
    return template.on_demand_types if place.price_type == ON_DEMAND else template.machine_types


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
