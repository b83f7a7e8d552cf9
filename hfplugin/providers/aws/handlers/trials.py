"""Dry runs of what fleets and groups would launch.

Their own calls have none that would look at a launch template before it exists, so each machine is tried by
RunInstances: rights and parameters are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.providers.aws import fleet_places, machine, parameters
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import run_instances
from hfplugin.providers.base.provider import Context, Order, Plan

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# What GetInstanceTypesFromInstanceRequirements does not take: it knows nothing of prices.
# Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetInstanceTypesFromInstanceRequirements.html
_PRICES = (
    "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice",
    "OnDemandMaxPricePercentageOverLowestPrice",
    "SpotMaxPricePercentageOverLowestPrice",
)


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
            content = {**plan.params["LaunchTemplateData"], "TagSpecifications": tags}
            asked: dict[str, Any] = {"InstanceType": machine_type} if machine_type else {}
            if template.instance_requirements:
                asked = {"InstanceRequirements": template.instance_requirements}
            name = "/".join((str(place), subnet or "default-subnet", machine_type or "any-type"))
            yield name, partial(attempt, clients, plan, machine.in_subnet(content, subnet), asked)


def _samples(place: Place, types: list[str]) -> list[tuple[str, str]]:
    subnets = list(place.subnets) or [""]
    return [(subnet, types[0]) for subnet in subnets] + [(subnets[0], each) for each in types[1:]]


def attempt(clients: Clients, plan: Plan, content: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Make a dry run of one machine of a launch template's content, with what an override asks laid over it.

    Raises ProviderError, and ConfigurationError when no type meets the requirements.
    """
    given = {**content, **asked, "MinCount": 1, "MaxCount": 1}
    if "InstanceType" in asked:
        given.pop("InstanceRequirements", None)
    if requirements := given.get("InstanceRequirements"):
        given["InstanceType"] = _fitting(clients, plan.region, given.get("ImageId", ""), requirements)
    # A launch template's own user data is encoded already, and AWS has taken it.
    known = parameters.members("RunInstances") - {"UserData"}
    params = {name: value for name, value in given.items() if name in known}
    run_instances.dry_run(clients, plan._replace(params=params))


def _fitting(clients: Clients, region: str, image: str, requirements: Mapping[str, Any]) -> str:
    """Give a type that meets the requirements on an image's architecture."""
    client = clients.ec2(region)
    wanted: Any = {name: value for name, value in requirements.items() if name not in _PRICES}
    try:
        images = client.describe_images(ImageIds=[image])["Images"]
        answer = client.get_instance_types_from_instance_requirements(
            ArchitectureTypes=[images[0].get("Architecture", "x86_64") if images else "x86_64"],
            VirtualizationTypes=["hvm"],
            InstanceRequirements=wanted,
        )
    except AWS_ERRORS as error:
        refusal = translate(error)
        raise ProviderError(refusal.kind, refusal.code, f"looking for a type: {refusal.message}") from error
    types = [each["InstanceType"] for each in answer["InstanceTypes"]]
    if not types:
        raise ConfigurationError(f"instanceRequirements: no type in {region} meets them for image {image}")
    return types[0]
