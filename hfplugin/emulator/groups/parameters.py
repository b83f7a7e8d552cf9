"""What a group was told to be: the checked parameters of CreateAutoScalingGroup and UpdateAutoScalingGroup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.groups import mixtures
from hfplugin.emulator.groups.mixtures import Mixture, refused

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

# Shown again as they were given, with AWS's defaults. Source:
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html
_DEFAULTS: dict[str, Any] = {
    "DefaultCooldown": 300,
    "HealthCheckType": "EC2",
    "HealthCheckGracePeriod": 0,
    "PlacementGroup": None,
    "TerminationPolicies": ["Default"],
    "NewInstancesProtectedFromScaleIn": False,
    "CapacityRebalance": None,
    "DeletionProtection": None,
    "ServiceLinkedRoleARN": None,
    "MaxInstanceLifetime": None,
    "Context": None,
    "DefaultInstanceWarmup": None,
}

# They would change how a group lives, and the emulator has not got them.
_UNKNOWN = (
    "AvailabilityZoneDistribution",
    "AvailabilityZoneIds",
    "AvailabilityZoneImpairmentPolicy",
    "CapacityReservationSpecification",
    "InstanceId",
    "InstanceLifecyclePolicy",
    "InstanceMaintenancePolicy",
    "LaunchConfigurationName",
    "LifecycleHookSpecificationList",
    "LoadBalancerNames",
    "TargetGroupARNs",
    "TrafficSources",
)

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
_POLICIES = (
    "Default",
    "AllocationStrategy",
    "ClosestToNextInstanceHour",
    "NewestInstance",
    "OldestInstance",
    "OldestLaunchConfiguration",
    "OldestLaunchTemplate",
)


@dataclass(frozen=True)
class GroupSettings:
    """How large a group is to be, of what, and where. Sizes are in machines or, with weights, in units."""

    least: int
    most: int
    desired: int
    mixture: Mixture
    subnets: list[str]
    zones: list[str]
    # Members of an AutoScalingGroup, as they were given.
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def protects(self) -> bool:
        """Whether new machines are protected from scale-in."""
        return bool(self.shown["NewInstancesProtectedFromScaleIn"])

    @property
    def policies(self) -> list[str]:
        return list(self.shown["TerminationPolicies"])

    def sized(self, desired: int) -> GroupSettings:
        return replace(self, desired=desired)

    def describe(self) -> dict[str, Any]:
        """Give the members of an AutoScalingGroup that say what it is to be."""
        return {
            **self.shown,
            **self.mixture.describe(),
            "MinSize": self.least,
            "MaxSize": self.most,
            "DesiredCapacity": self.desired,
            "AvailabilityZones": self.zones,
        }


def create(region: Region, params: dict[str, Any]) -> GroupSettings:
    """Give the settings of a new group. Raises ServiceError when AWS would not make it."""
    for name in ("MinSize", "MaxSize"):
        if name not in params:
            raise refused(f"1 validation error detected: Value null at '{name}' failed: Member must not be null")
    least, most = params["MinSize"], params["MaxSize"]
    _refuse_unknown(params)
    mixture = mixtures.of_call(region, params)
    subnets, zones = _places(region, params)
    shown = {**_DEFAULTS, **_shown(params), "VPCZoneIdentifier": params.get("VPCZoneIdentifier", "")}
    made = _checked(
        GroupSettings(least, most, params.get("DesiredCapacity", least), mixture, subnets, zones, shown)
    )
    mixtures.check(region, made.mixture, made.subnets)
    return made


def update(region: Region, before: GroupSettings, params: dict[str, Any]) -> GroupSettings:
    """Give changed settings; what a call does not name stays, and the desired size moves into new bounds.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html
    """
    _refuse_unknown(params)
    least, most = params.get("MinSize", before.least), params.get("MaxSize", before.most)
    desired = params.get("DesiredCapacity", max(least, min(before.desired, most)))
    made = replace(before, least=least, most=most, desired=desired, shown={**before.shown, **_shown(params)})
    if "LaunchTemplate" in params or "MixedInstancesPolicy" in params:
        made = replace(made, mixture=mixtures.of_call(region, params, before.mixture))
    if "VPCZoneIdentifier" in params or "AvailabilityZones" in params:
        subnets, zones = _places(region, params)
        named = {**made.shown, "VPCZoneIdentifier": params.get("VPCZoneIdentifier", "")}
        made = replace(made, subnets=subnets, zones=zones, shown=named)
    if made.mixture is not before.mixture or made.subnets is not before.subnets:
        mixtures.check(region, made.mixture, made.subnets)
    return _checked(made)


def _shown(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in _DEFAULTS if name in params}


def _refuse_unknown(params: dict[str, Any]) -> None:
    named = [name for name in _UNKNOWN if params.get(name)]
    if params.get("DesiredCapacityType", "units") != "units":
        named.append("DesiredCapacityType")
    if named:
        raise refused(f"The emulator does not have {', '.join(named)} of Auto Scaling groups.")


def _checked(made: GroupSettings) -> GroupSettings:
    if min(made.least, made.most, made.desired) < 0:
        raise refused("Sizes of an Auto Scaling group must be greater than or equal to 0.")
    if made.least > made.most:
        raise refused(f"Max bound, {made.most}, must be greater than or equal to min bound, {made.least}")
    if not made.least <= made.desired <= made.most:
        raise refused(
            f"Desired capacity:{made.desired} must be between the specified min size:{made.least} and max "
            f"size:{made.most}"
        )
    unknown = [each for each in made.policies if each not in _POLICIES]
    if unknown:
        raise refused(f"The emulator does not have the termination policies {', '.join(unknown)}.")
    return made


def _places(region: Region, params: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Give the subnets that are named, else the zones' default ones; and their zones."""
    named = [each.strip() for each in params.get("VPCZoneIdentifier", "").split(",") if each.strip()]
    zones = params.get("AvailabilityZones", [])
    if region.settings.invents:
        region.moto.invent(named)
    try:
        found = [region.moto.subnet(each) for each in named]
    except ServiceError as error:
        raise refused(error.message) from error
    if not found:
        found = [subnet for each in zones if (subnet := region.moto.default_subnet(each))]
        if len(found) < len(zones) or not zones:
            raise refused("At least one Availability Zone or VPC Subnet is required.")
    own = sorted({subnet.zone for subnet in found})
    if zones and set(zones) != set(own):
        raise refused("The availability zones of the specified subnets and the Auto Scaling group do not match")
    return [subnet.subnet_id for subnet in found], own
