"""Dry runs of what fleets and groups would launch.

Their own calls have none that would look at a launch template before it exists, so each machine is tried by
RunInstances: rights and parameters are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from hfplugin.providers.aws import fleet_places, machine
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import run_instances
from hfplugin.providers.base.provider import Context, Order, Plan

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate


def trials(
    clients: Clients,
    context: Context,
    template: AWSTemplate,
    order: Order,
    plan_in: Callable[[AWSTemplate, Order, Place], Plan],
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give a dry run for places in which each subnet and each type comes once at least."""
    for place in fleet_places.every(clients, template):
        plan = plan_in(template, order, place)
        types = fleet_places.machine_types(template, place)
        labels = machine.labels(template, context, order, types)
        tags = machine.specifications(labels, "instance", "volume")
        for subnet, machine_type in _samples(place, list(types) or [""]):
            asked: dict[str, Any] = {"MinCount": 1, "MaxCount": 1, "InstanceType": machine_type}
            content = machine.in_subnet(plan.params["LaunchTemplateData"], subnet)
            params = {
                **content,
                **{name: value for name, value in asked.items() if value},
                "TagSpecifications": tags,
            }
            name = "/".join((str(place), subnet or "default-subnet", machine_type or "any-type"))
            yield name, partial(run_instances.dry_run, clients, plan._replace(params=params))


def _samples(place: Place, types: list[str]) -> list[tuple[str, str]]:
    subnets = list(place.subnets) or [""]
    return [(subnet, types[0]) for subnet in subnets] + [(subnets[0], each) for each in types[1:]]
