"""What fleets refuse before they are made.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/fleet-quotas.html. The rules are documented, but hardly
any of the codes is: InvalidFleetConfig was seen for duplicate pools and for InstancePoolsToUseCount, and stands
here for every other combination that AWS's documentation excludes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hfplugin.emulator.errors import ServiceError, dry_run, invalid, missing
from hfplugin.emulator.fleets.pools import Line, named_pools
from hfplugin.emulator.specification import check_tagged

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

SPOT_STRATEGIES = (
    "lowest-price",
    "diversified",
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "price-capacity-optimized",
)
ON_DEMAND_STRATEGIES = ("lowest-price", "prioritized")
KINDS = ("instant", "request", "maintain")

MOST_CONFIGS = 50
MOST_OVERRIDES = 300
MOST_UNITS = 10_000
_MOST_REQUIREMENTS = 4
_LEAST_PRICE = 0.001
_MOST_MINIMUM = 1000

_TAGGED = ("fleet", "instance", "volume", "network-interface")
_SINGLE = ("SingleInstanceType", "SingleAvailabilityZone")
_INSTANT_OPTIONS = (*_SINGLE, "MinTargetCapacity")
_INSTANT_OVERRIDES = ("ImageId", "KeyName", "BlockDeviceMappings", "IamInstanceProfile", "MetadataOptions")


def wrong(text: str) -> ServiceError:
    return ServiceError("InvalidFleetConfig", text)


def one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise invalid(f"Value ({value}) for parameter {name} is invalid. Valid values: {', '.join(known)}.")


def check_call(params: dict[str, Any], kind: str) -> None:
    """Check a CreateFleet call as far as nothing else has to be known."""
    one_of("type", kind, KINDS)
    _check_options(params, kind)
    check_tagged(params, _TAGGED if kind == "instant" else ("fleet",))
    if kind != "maintain" and (
        "ExcessCapacityTerminationPolicy" in params or params.get("ReplaceUnhealthyInstances")
    ):
        raise wrong(
            "ExcessCapacityTerminationPolicy and ReplaceUnhealthyInstances are for fleets of type maintain."
        )


def _check_options(params: dict[str, Any], kind: str) -> None:
    options = {
        "spotOptions": (params.get("SpotOptions", {}), SPOT_STRATEGIES),
        "onDemandOptions": (params.get("OnDemandOptions", {}), ON_DEMAND_STRATEGIES),
    }
    for name, (own, strategies) in options.items():
        strategy = own.get("AllocationStrategy", "lowest-price")
        one_of(f"{name}.allocationStrategy", strategy, strategies)
        if "InstancePoolsToUseCount" in own and strategy != "lowest-price":
            raise wrong(
                "InstancePoolsToUseCount option is only available with the lowestPrice allocation strategy."
            )
        if own.get("InstancePoolsToUseCount", 1) < 1:
            raise invalid("InstancePoolsToUseCount must be at least 1.")
        if kind != "maintain" and own.get("InstanceInterruptionBehavior", "terminate") != "terminate":
            raise wrong("An interruption can stop or hibernate machines of fleets of type maintain only.")
        if kind != "instant" and any(own.get(each) for each in _INSTANT_OPTIONS):
            raise wrong(f"{', '.join(_INSTANT_OPTIONS)} are for fleets of type instant.")
        if "MinTargetCapacity" in own:
            _check_minimum(own)


def _check_minimum(options: dict[str, Any]) -> None:
    if not any(options.get(each) for each in _SINGLE):
        raise wrong("MinTargetCapacity needs SingleInstanceType or SingleAvailabilityZone.")
    if not 0 <= options["MinTargetCapacity"] <= _MOST_MINIMUM:
        raise invalid(f"MinTargetCapacity must be between 0 and {_MOST_MINIMUM}.")


def check_configs(configs: list[dict[str, Any]], kind: str) -> None:
    """Check the parameter LaunchTemplateConfigs."""
    if not configs:
        raise missing("LaunchTemplateConfigs")
    overrides = [each for config in configs for each in config.get("Overrides", [])]
    if len(configs) > MOST_CONFIGS:
        raise wrong(f"A fleet has at most {MOST_CONFIGS} launch template configurations.")
    if kind != "instant" and len(overrides) > MOST_OVERRIDES:
        raise wrong(f"A fleet of type {kind} has at most {MOST_OVERRIDES} launch template overrides.")
    for config in configs:
        if not config.get("LaunchTemplateSpecification", {}).get("Version"):
            raise missing("LaunchTemplateSpecification.Version")
    check_overrides(overrides)
    for each in overrides:
        _check_kind(each, kind)


def _check_kind(override: dict[str, Any], kind: str) -> None:
    if kind != "instant" and any(name in override for name in _INSTANT_OVERRIDES):
        raise wrong(f"{', '.join(_INSTANT_OVERRIDES)} of an override are for fleets of type instant.")
    if kind == "instant" and "," in override.get("SubnetId", ""):
        raise wrong("Fleets of type instant take one subnet ID in an override.")


def check_overrides(overrides: Sequence[dict[str, Any]]) -> None:
    """Check what overrides say by themselves."""
    if sum("InstanceRequirements" in each for each in overrides) > _MOST_REQUIREMENTS:
        raise invalid(
            "Your request contains more than the maximum allowed number of InstanceRequirements "
            f"({_MOST_REQUIREMENTS})"
        )
    for each in overrides:
        if "InstanceType" in each and "InstanceRequirements" in each:
            raise ServiceError(
                "InvalidParameterCombination", "An override has InstanceType or InstanceRequirements, not both."
            )
        if "AvailabilityZoneId" in each:
            raise invalid("The emulator knows Availability Zones by name only: use AvailabilityZone.")
        if each.get("WeightedCapacity", 1) <= 0:
            raise invalid("WeightedCapacity must be greater than 0.")
        check_price(each.get("MaxPrice") or each.get("SpotPrice"))


def check_price(price: str | None) -> None:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetLaunchTemplateOverridesRequest.html"""
    if price is None:
        return
    try:
        too_low = float(price) <= _LEAST_PRICE
    except ValueError as error:
        raise invalid(f"Value ({price}) for parameter maxPrice is invalid.") from error
    if too_low:
        raise invalid(
            f"Value ({price}) for parameter maxPrice is invalid. It must be greater than {_LEAST_PRICE}."
        )


def check_times(params: dict[str, Any], now: float) -> None:
    """Refuse a fleet that is over before it begins; that AWS does is an assumption."""
    if "ValidUntil" in params and params["ValidUntil"].timestamp() <= now:
        raise invalid("ValidUntil has to be in the future.")


def refuse_dry_run(params: dict[str, Any]) -> None:
    if params.get("DryRun"):
        raise dry_run()


def check_lines(region: Region, lines: Sequence[Line], unit: str, resolves: bool) -> str | None:
    """Check the configuration's lines against what exists; give what is wrong with them together.

    Raises ServiceError for launch templates and requirements that are wrong by themselves. Whether two lines
    share a pool when one of them names no zone is documented nowhere: here they do not.
    """
    seen: set[tuple[str, str]] = set()
    for line in lines:
        base = line.base(region)
        if not resolves and str(base.get("ImageId", "")).startswith("resolve:ssm:"):
            return "A Systems Manager parameter in place of an AMI ID is for EC2 Fleets of type instant."
        wanted = {**base, **line.override}.get("InstanceRequirements")
        if wanted and not all("Min" in wanted.get(name, {}) for name in ("VCpuCount", "MemoryMiB")):
            raise missing("InstanceRequirements")
        if unit != "units" and not wanted:
            return "TargetCapacityUnitType needs InstanceRequirements."
        for pool in named_pools(region, line):
            if pool in seen:
                return "The fleet configuration contains duplicate instance pools."
            seen.add(pool)
    return None
