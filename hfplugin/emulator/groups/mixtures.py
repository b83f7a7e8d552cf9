"""What a group launches: one launch template, or a mixture of machine types and purchase types."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from hfplugin.emulator.allocation import Pool
from hfplugin.emulator.blueprint import draw
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.errors import ServiceError, missing
from hfplugin.emulator.requirements import matching
from hfplugin.emulator.specification import Specification, merge, of_template, override

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

Reference = dict[str, str]

_ON_DEMAND_STRATEGIES = ("prioritized", "lowest-price")
_SPOT_STRATEGIES = (
    "lowest-price",
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "price-capacity-optimized",
)

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html,
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html
_MOST_OVERRIDES = 40
_MOST_POOLS = 20
_HEAVIEST = 999


def refused(text: str) -> ServiceError:
    """Auto Scaling's one code for every parameter that is wrong."""
    return ServiceError("ValidationError", text)


@dataclass(frozen=True)
class Distribution:
    """How a group's units are divided between on-demand and spot, under the API's own names.

    Source of the defaults: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html
    """

    OnDemandAllocationStrategy: str = "prioritized"
    OnDemandBaseCapacity: int = 0
    OnDemandPercentageAboveBaseCapacity: int = 100
    SpotAllocationStrategy: str = "lowest-price"
    SpotInstancePools: int | None = None
    SpotMaxPrice: str = ""

    def changed(self, params: dict[str, Any]) -> Distribution:
        """Give the distribution with what a call names. ServiceError when that is not allowed."""
        unknown = set(params) - {each.name for each in fields(self)}
        if unknown:
            raise refused(f"The emulator does not have {', '.join(sorted(unknown))} of a distribution.")
        made = replace(self, **params)
        if made.OnDemandAllocationStrategy not in _ON_DEMAND_STRATEGIES:
            raise refused(f"{made.OnDemandAllocationStrategy} is not a valid OnDemandAllocationStrategy.")
        if made.SpotAllocationStrategy not in _SPOT_STRATEGIES:
            raise refused(f"{made.SpotAllocationStrategy} is not a valid SpotAllocationStrategy.")
        if made.OnDemandBaseCapacity < 0 or not 0 <= made.OnDemandPercentageAboveBaseCapacity <= 100:
            raise refused("OnDemandBaseCapacity must not be negative, and the percentage be between 0 and 100.")
        if made.SpotAllocationStrategy == "lowest-price":
            if not 1 <= made.pools <= _MOST_POOLS:
                raise refused(f"SpotInstancePools must be between 1 and {_MOST_POOLS}.")
        elif "SpotInstancePools" in params:
            raise refused("SpotInstancePools option is only available with the lowest-price allocation strategy.")
        return made

    @property
    def pools(self) -> int:
        return 2 if self.SpotInstancePools is None else self.SpotInstancePools

    @property
    def max_price(self) -> float | None:
        return float(self.SpotMaxPrice) if self.SpotMaxPrice else None

    def on_demand_part(self, total: int) -> int:
        """Give how many of the units are on-demand; a fraction counts for on-demand.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html
        """
        above = max(total - self.OnDemandBaseCapacity, 0)
        return total - above + math.ceil(above * self.OnDemandPercentageAboveBaseCapacity / 100)

    def describe(self) -> dict[str, Any]:
        pools = self.pools if self.SpotAllocationStrategy == "lowest-price" else None
        return {**asdict(self), "SpotInstancePools": pools, "SpotMaxPrice": self.SpotMaxPrice or None}


@dataclass(frozen=True)
class Mixture:
    """A launch template; with a distribution, also the overrides that are laid over it, the first preferred."""

    template: Reference
    overrides: list[dict[str, Any]] = field(default_factory=list)
    distribution: Distribution | None = None

    @property
    def heaviest(self) -> int:
        """Give the largest weight; 0: the group counts machines."""
        return max((int(each.get("WeightedCapacity", 0)) for each in self.overrides), default=0)

    @property
    def template_ids(self) -> set[str]:
        """Give the launch templates that machines come from now."""
        own = [
            each["LaunchTemplateSpecification"] for each in self.overrides if "LaunchTemplateSpecification" in each
        ]
        return {each["LaunchTemplateId"] for each in (self.template, *own)}

    def describe(self) -> dict[str, Any]:
        """Give the members of an AutoScalingGroup that say what it launches."""
        if self.distribution is None:
            return {"LaunchTemplate": self.template}
        launch = {"LaunchTemplateSpecification": self.template, "Overrides": self.overrides}
        policy = {"LaunchTemplate": launch, "InstancesDistribution": self.distribution.describe()}
        return {"MixedInstancesPolicy": policy}


def of_call(region: Region, params: dict[str, Any], before: Mixture | None = None) -> Mixture:
    """Give what a create or update call says. ServiceError when it does not name just one source."""
    policy = params.get("MixedInstancesPolicy")
    if ("LaunchTemplate" in params) == (policy is not None):
        raise refused(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
            "MixedInstancesPolicy parameter."
        )
    if policy is None:
        return Mixture(_reference(region, params["LaunchTemplate"]))
    launch = policy.get("LaunchTemplate", {})
    named = launch.get("LaunchTemplateSpecification")
    if not named and before is None:
        raise refused("A MixedInstancesPolicy must have a LaunchTemplate with a LaunchTemplateSpecification.")
    template = _reference(region, named) if named or before is None else before.template
    overrides = before.overrides if before else []
    if "Overrides" in launch:
        overrides = _checked_overrides(region, launch["Overrides"])
    earlier = before.distribution if before else None
    asked = policy.get("InstancesDistribution", {})
    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html: lowest-price is the
    # default where types are chosen by their attributes.
    by_attributes = any("InstanceRequirements" in each for each in overrides)
    default = Distribution(OnDemandAllocationStrategy="lowest-price" if by_attributes else "prioritized")
    return Mixture(template, overrides, (earlier or default).changed(asked))


def _reference(region: Region, named: Reference) -> Reference:
    """Give a launch template's reference with its id, its name and its version."""
    try:
        template = region.launch_templates.used(named)
        template.version(named.get("Version"))
    except ServiceError as error:
        raise _bad_template(error) from error
    version = named.get("Version") or "$Default"
    return {"LaunchTemplateId": template.template_id, "LaunchTemplateName": template.name, "Version": version}


def _bad_template(error: ServiceError) -> ServiceError:
    return refused(f"You must use a valid fully-formed launch template. {error.message}")


def _checked_overrides(region: Region, overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(overrides) > _MOST_OVERRIDES:
        raise refused(f"A MixedInstancesPolicy can have at most {_MOST_OVERRIDES} overrides.")
    weights = [each["WeightedCapacity"] for each in overrides if "WeightedCapacity" in each]
    if weights and len(weights) < len(overrides):
        raise refused("You must specify a weighted capacity for all overrides, or for none.")
    for weight in weights:
        if not weight.isdigit() or not 1 <= int(weight) <= _HEAVIEST:
            raise refused(f"The weighted capacity {weight} must be a number between 1 and {_HEAVIEST}.")
    for each in overrides:
        if "InstanceType" in each and "InstanceRequirements" in each:
            raise refused("An override can have InstanceType or InstanceRequirements, not both.")
    return [
        {**each, "LaunchTemplateSpecification": _reference(region, each["LaunchTemplateSpecification"])}
        if "LaunchTemplateSpecification" in each
        else each
        for each in overrides
    ]


def pools(region: Region, mixture: Mixture, subnets: Iterable[str], over: Specification) -> list[Pool]:
    """Give every way to get a machine, each with its launch template's reference as it is now.

    `over` is laid over the launch templates: what the group says about all machines. Raises ServiceError as
    RunInstances does.
    """
    found: list[Pool] = []
    for priority, each in enumerate(mixture.overrides or [{}]):
        named = each.get("LaunchTemplateSpecification") or mixture.template
        version = region.launch_templates.version(_by_id(named))
        base = merge(of_template(region, _by_id(named)), over)
        origin = {**named, "Version": str(version.number)}
        weight = float(each.get("WeightedCapacity", 1))
        for machine_type in _types(region, base, each):
            for subnet in subnets:
                place = {**each, "InstanceType": machine_type, "SubnetId": subnet}
                [blueprint] = draw(region, override(base, place))
                found.append(Pool(blueprint, weight, priority, origin))
    return found


def check(region: Region, mixture: Mixture, subnets: Iterable[str]) -> None:
    """Refuse what could never be launched."""
    try:
        found = pools(region, mixture, subnets, {})
    except ServiceError as error:
        raise _bad_template(error) from error
    if mixture.distribution and any(each.blueprint.purchase == SPOT for each in found):
        raise refused(
            "Incompatible launch template: a MixedInstancesPolicy cannot use one that requests Spot Instances."
        )


def _by_id(reference: Reference) -> Reference:
    return {"LaunchTemplateId": reference["LaunchTemplateId"], "Version": reference["Version"]}


def _types(region: Region, base: Specification, over: dict[str, Any]) -> list[str]:
    """Give the machine types that an override means; without one, the launch template's."""
    chosen = over if "InstanceType" in over or "InstanceRequirements" in over else base
    if chosen.get("InstanceType"):
        return [chosen["InstanceType"]]
    if "InstanceRequirements" not in chosen:
        raise missing("InstanceType")
    image_id = over.get("ImageId") or base.get("ImageId")
    if not image_id:
        raise missing("ImageId")
    image = region.moto.image(region.resolved(image_id))
    return matching(chosen["InstanceRequirements"], [image.architecture])
