"""The parameters of CreateAutoScalingGroup: what a template becomes as a group. No AWS call is made here.

Volumes of a group's machines get tags from the launch template alone, which is shared by requests: they carry all
tags but those that say which request they are of.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from hfplugin.providers.aws import fleet_places, launch_templates, purchase, tags
from hfplugin.providers.aws.fleet_places import ON_DEMAND, Place
from hfplugin.providers.base.provider import Context, Order

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# A machine that restarts while it sets itself up fails EC2's status checks for that time; AWS's console says 300.
_GRACE_SECONDS = 300

# Tags that differ between requests of one template, or that say nothing about a volume.
_OF_A_REQUEST = (tags.REQUEST_ID, tags.ATTEMPT, tags.UNITS)


def name(context: Context, order: Order) -> str:
    """Name the group of one launch: the name is its token, so it has nothing that changes between tries.

    AWS allows 255 printable characters without colons.
    """
    parts = ("hf", context.provider_name[:40], context.installation[:40], order.request_id[:60], order.attempt)
    return re.sub(r"[^\w.-]", "-", "-".join(map(str, parts)), flags=re.ASCII)


def content(template: AWSTemplate, place: Place, data: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Make the launch template's content out of what the machine is."""
    types = list(fleet_places.machine_types(template, place))
    given = dict(data)
    if _is_plain(template, place):
        if types:
            given.pop("InstanceRequirements", None)  # an administrator's: AWS refuses both
            given["InstanceType"] = types[0]
    else:
        given.pop("InstanceMarketOptions", None)  # the group says what is bought, and AWS refuses both
    shared = {key: value for key, value in labels.items() if key not in _OF_A_REQUEST}
    own = {each["ResourceType"]: tags.as_dict(each["Tags"]) for each in given.get("TagSpecifications", ())}
    own["volume"] = {**own.get("volume", {}), **shared}
    given["TagSpecifications"] = [
        {"ResourceType": resource, "Tags": tags.as_list(texts)} for resource, texts in own.items()
    ]
    return given


def call(
    template: AWSTemplate, place: Place, order: Order, launch_template: str, labels: dict[str, str]
) -> dict[str, Any]:
    """Make the call, but for the group's name and subnets. The target is the largest size, too."""
    base = purchase.base_left(template, order.past)
    reference = launch_templates.reference(launch_template)
    return {
        "MinSize": 0,  # giving back may always lower the target
        "MaxSize": order.units,
        "DesiredCapacity": order.units,
        **(
            {"LaunchTemplate": reference}
            if _is_plain(template, place)
            else {"MixedInstancesPolicy": _mixture(template, place, reference, base)}
        ),
        "HealthCheckGracePeriod": _GRACE_SECONDS,
        # HostFactory alone decides which machines go.
        "NewInstancesProtectedFromScaleIn": True,
        "CapacityRebalance": False,
        "Tags": [{**each, "PropagateAtLaunch": True} for each in tags.as_list(labels)],
    }


def _is_plain(template: AWSTemplate, place: Place) -> bool:
    """True when the launch template alone says all: one type that counts as one, on demand."""
    says_otherwise = any(key.lower() == "mixedinstancespolicy" for key in template.native_spec)
    if template.instance_requirements or says_otherwise:
        return False
    weights = list(fleet_places.machine_types(template, place).values())
    return place.price_type == ON_DEMAND and weights in ([], [1])


def _mixture(template: AWSTemplate, place: Place, reference: dict[str, str], base: int) -> dict[str, Any]:
    launch: dict[str, Any] = {"LaunchTemplateSpecification": reference}
    overrides = _overrides(template, place)
    return {
        "LaunchTemplate": {**launch, **({"Overrides": overrides} if overrides else {})},
        "InstancesDistribution": _distribution(template, place, base),
    }


def _overrides(template: AWSTemplate, place: Place) -> list[dict[str, Any]]:
    """Give the types in the order of their priority, which is what a prioritized strategy goes by."""
    if template.instance_requirements:
        return [{"InstanceRequirements": template.instance_requirements}]
    weights = fleet_places.machine_types(template, place)
    ranks = template.vm_types_priority
    ordered = sorted(weights, key=lambda machine_type: ranks.get(machine_type, math.inf))
    if all(weight == 1 for weight in weights.values()):
        return [{"InstanceType": machine_type} for machine_type in ordered]
    return [
        {"InstanceType": machine_type, "WeightedCapacity": str(weights[machine_type])} for machine_type in ordered
    ]


def _distribution(template: AWSTemplate, place: Place, base: int) -> dict[str, Any]:
    """Give the parts on demand and spot. AWS knows whole percents only: a fraction counts for on demand.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html
    """
    if place.price_type == ON_DEMAND:
        base, percent = 0, 100
    else:
        percent = math.ceil(template.on_demand_share * 100 - 1e-9)
    distribution: dict[str, Any] = {
        "OnDemandBaseCapacity": base,
        "OnDemandPercentageAboveBaseCapacity": percent,
    }
    if base or percent:
        distribution["OnDemandAllocationStrategy"] = purchase.hyphenated(template.on_demand_strategy)
    if percent < 100:
        distribution["SpotAllocationStrategy"] = purchase.hyphenated(template.spot_strategy)
        if template.pools_count and template.spot_strategy == "lowestPrice":
            distribution["SpotInstancePools"] = template.pools_count
        if template.spot_price_limit:
            distribution["SpotMaxPrice"] = f"{template.spot_price_limit:g}"
    return distribution
