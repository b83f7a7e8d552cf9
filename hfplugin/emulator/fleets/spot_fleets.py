"""Spot Fleets: the older way to ask for a fleet, in words of its own.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotFleetRequestConfigData.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-requests.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import ids
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, missing
from hfplugin.emulator.fleets.pools import Line
from hfplugin.emulator.fleets.rules import (
    MOST_CONFIGS,
    MOST_OVERRIDES,
    MOST_UNITS,
    check_lines,
    check_overrides,
    check_price,
    check_times,
    one_of,
    refuse_dry_run,
)
from hfplugin.emulator.fleets.upkeep import Terms, Upkeep
from hfplugin.emulator.specification import Specification, as_list, tags

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_ID = re.compile(r"sfr-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/.+")

_STRATEGIES = (
    "lowestPrice",
    "diversified",
    "capacityOptimized",
    "capacityOptimizedPrioritized",
    "priceCapacityOptimized",
)

# What a launch specification says in RunInstances' words.
_SAME = (
    "BlockDeviceMappings",
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceType",
    "InstanceRequirements",
    "KeyName",
    "Monitoring",
    "NetworkInterfaces",
    "TagSpecifications",
    "UserData",
)

Config = dict[str, Any]


def wrong(text: str) -> ServiceError:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    return ServiceError("InvalidSpotFleetRequestConfig", text)


@dataclass(eq=False)
class SpotFleet:
    """One Spot Fleet request, with the configuration that it was made from."""

    request_id: str
    config: Config
    upkeep: Upkeep
    created: float
    tags: dict[str, str] = field(default_factory=dict)

    def holding(self) -> dict[str, Any]:
        """Give what the admin endpoint lists: kind, id, region, state, tags."""
        return self.upkeep.holding() | {"kind": "spot-fleet", "id": self.request_id, "tags": self.tags}

    def describe(self) -> dict[str, Any]:
        """Give a SpotFleetRequestConfig as botocore's model has it."""
        upkeep = self.upkeep
        defaults = {
            "AllocationStrategy": "lowestPrice",
            "OnDemandAllocationStrategy": "lowestPrice",
            "ExcessCapacityTerminationPolicy": "default",
            "Type": "maintain",
            "OnDemandTargetCapacity": 0,
            "TerminateInstancesWithExpiration": False,
            "ReplaceUnhealthyInstances": False,
            "InstanceInterruptionBehavior": "terminate",
        }
        fulfilled = {
            "FulfilledCapacity": float(upkeep.units()),
            "OnDemandFulfilledCapacity": float(upkeep.units(ON_DEMAND)),
        }
        return {
            "SpotFleetRequestId": self.request_id,
            "SpotFleetRequestState": upkeep.state,
            "ActivityStatus": self.activity,
            "CreateTime": moment(self.created),
            "SpotFleetRequestConfig": {**defaults, **self.config, **fulfilled},
            "Tags": as_list(self.tags),
        }

    @property
    def activity(self) -> str | None:
        """Give the status, which a cancelled request shows only while its machines end."""
        if not self.upkeep.is_over:
            return self.upkeep.activity
        return "pending_termination" if self.upkeep.state == "cancelled_terminating" else None


class SpotFleets:
    """The Spot Fleet requests of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, SpotFleet] = {}

    def create(self, config: Config, is_dry: bool = False) -> SpotFleet:
        region = self._region
        _check(config)
        check_times(config, region.clock.now)
        terms = _terms(region, config)
        labels = tags(config, "spot-fleet-request")
        self._check_quota()
        refuse_dry_run({"DryRun": is_dry})
        request_id = ids.new_long("sfr")
        upkeep = Upkeep(region, ("aws:ec2spot:fleet-request-id", request_id), "cancelled", terms)
        made = SpotFleet(request_id, config, upkeep, region.clock.now, labels)
        upkeep.start()
        self._by_id[request_id] = made
        return made

    def _check_quota(self) -> None:
        """Source of the text: https://github.com/runs-on/runs-on/issues/88"""
        quota = self._region.settings.quotas.get("spot-fleets")
        if quota is not None and sum(each.upkeep.counts for each in self._by_id.values()) >= quota:
            raise ServiceError(
                "MaxSpotFleetRequestCountExceeded",
                "You've reached your quota for maximum Spot Fleet Requests for this account.",
            )

    def every(self) -> Iterator[SpotFleet]:
        """Go through the requests that calls still show."""
        return (each for each in self._by_id.values() if not each.upkeep.is_forgotten)

    def get(self, request_id: str) -> SpotFleet | None:
        found = self._by_id.get(request_id)
        return None if found is None or found.upkeep.is_forgotten else found

    def require(self, request_id: str) -> SpotFleet:
        """Give a request. The codes are AWS's, the texts made up."""
        if not is_request_id(request_id):
            raise ServiceError(
                "InvalidSpotFleetRequestId.Malformed", f"The spot fleet request ID '{request_id}' is malformed"
            )
        found = self.get(request_id)
        if found is None:
            raise ServiceError(
                "InvalidSpotFleetRequestId.NotFound", f"The spot fleet request ID '{request_id}' does not exist"
            )
        return found

    def modify(self, fleet: SpotFleet, params: dict[str, Any]) -> None:
        """Change a request of type maintain that is active.

        Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySpotFleetRequest.html, and of the
        text https://github.com/jenkinsci/ec2-fleet-plugin/issues/131
        """
        is_maintained = fleet.config.get("Type", "maintain") == "maintain"
        if not is_maintained or fleet.upkeep.state != "active":
            what = "type" if not is_maintained else "state"
            text = f"Fleet Request: {fleet.request_id} is not a modifiable fleet request {what}."
            raise ServiceError("FleetNotInModifiableState", text)
        if "LaunchTemplateConfigs" in params and "LaunchTemplateConfigs" not in fleet.config:
            raise wrong("LaunchTemplateConfigs can be changed only in a request that was made with them.")
        names = (
            "TargetCapacity",
            "OnDemandTargetCapacity",
            "ExcessCapacityTerminationPolicy",
            "LaunchTemplateConfigs",
        )
        config = {**fleet.config, **{name: params[name] for name in names if name in params}}
        if "OnDemandTargetCapacity" not in params and "OnDemandTargetCapacity" in config:
            config["OnDemandTargetCapacity"] = min(config["OnDemandTargetCapacity"], config["TargetCapacity"])
        _check(config)
        terms = _terms(self._region, config)
        fleet.config = config
        fleet.upkeep.change(terms)


def is_request_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


def _check(config: Config) -> None:
    """Check a configuration as far as nothing else has to be known; only the family of the codes is documented."""
    for name in ("IamFleetRole", "TargetCapacity"):
        if name not in config:
            raise missing(f"SpotFleetRequestConfig.{name}")
    if not _ROLE.fullmatch(config["IamFleetRole"]):
        raise wrong("Parameter: SpotFleetRequestConfig.IamFleetRole is invalid.")
    kind = config.get("Type", "maintain")
    one_of("type", kind, ("request", "maintain"))
    one_of("allocationStrategy", config.get("AllocationStrategy", "lowestPrice"), _STRATEGIES)
    one_of(
        "onDemandAllocationStrategy",
        config.get("OnDemandAllocationStrategy", "lowestPrice"),
        ("lowestPrice", "prioritized"),
    )
    if "InstancePoolsToUseCount" in config and config.get("AllocationStrategy", "lowestPrice") != "lowestPrice":
        raise wrong("InstancePoolsToUseCount option is only available with the lowestPrice allocation strategy.")
    total, on_demand = config["TargetCapacity"], config.get("OnDemandTargetCapacity", 0)
    if not (0 if kind == "maintain" else 1) <= total <= MOST_UNITS or not 0 <= on_demand <= total:
        raise wrong(f"A target capacity of {total}, {on_demand} of it on demand, is invalid.")
    for each in config.get("TagSpecifications", []):
        if each.get("ResourceType") != "spot-fleet-request":
            raise wrong(f"'{each.get('ResourceType')}' is not a valid taggable resource type for this operation.")
    check_price(config.get("SpotPrice"))
    _check_launches(config, kind)


def _check_launches(config: Config, kind: str) -> None:
    """Check what is to be launched: launch specifications or launch templates."""
    configs, specifications = config.get("LaunchTemplateConfigs", []), config.get("LaunchSpecifications", [])
    if bool(configs) == bool(specifications):
        raise wrong("A request has LaunchSpecifications or LaunchTemplateConfigs, and not both.")
    if specifications and config.get("OnDemandTargetCapacity"):
        raise wrong("On-demand capacity needs LaunchTemplateConfigs.")
    if kind != "maintain" and "ExcessCapacityTerminationPolicy" in config:
        raise wrong("ExcessCapacityTerminationPolicy is for requests of type maintain.")
    overrides = [each for one in configs for each in one.get("Overrides", [])]
    if max(len(configs), len(specifications)) > MOST_CONFIGS or len(overrides) > MOST_OVERRIDES:
        raise wrong(f"A request has at most {MOST_CONFIGS} configurations and {MOST_OVERRIDES} overrides.")
    for each in configs:
        if not each.get("LaunchTemplateSpecification", {}).get("Version"):
            raise missing("LaunchTemplateSpecification.Version")
    check_overrides(overrides)


def _terms(region: Region, config: Config) -> Terms:
    lines = [*_template_lines(config), *_specification_lines(config)]
    unit = config.get("TargetCapacityUnitType", "units")
    fault = check_lines(region, lines, unit, resolves=False)
    if fault:
        raise wrong(fault)
    on_demand = config.get("OnDemandTargetCapacity", 0)
    return Terms(
        lines=lines,
        units={ON_DEMAND: on_demand, SPOT: config["TargetCapacity"] - on_demand},
        strategies={
            SPOT: config.get("AllocationStrategy", "lowestPrice"),
            ON_DEMAND: config.get("OnDemandAllocationStrategy", "lowestPrice"),
        },
        pools_to_use=config.get("InstancePoolsToUseCount", 1),
        replaces=config.get("Type", "maintain") == "maintain",
        interruption=config.get("InstanceInterruptionBehavior", "terminate"),
        trims=config.get("ExcessCapacityTerminationPolicy", "default") == "default",
        starts=config["ValidFrom"].timestamp() if "ValidFrom" in config else None,
        expires=config["ValidUntil"].timestamp() if "ValidUntil" in config else None,
        ends_with_expiry=bool(config.get("TerminateInstancesWithExpiration")),
    )


def _template_lines(config: Config) -> Iterator[Line]:
    unit = config.get("TargetCapacityUnitType", "units")
    pairs = [
        (dict(one["LaunchTemplateSpecification"]), each)
        for one in config.get("LaunchTemplateConfigs", [])
        for each in one.get("Overrides") or [{}]
    ]
    for number, (template, override) in enumerate(pairs):
        yield Line(number, _priced(override, config), template, unit=unit)


def _priced(override: dict[str, Any], config: Config) -> dict[str, Any]:
    """Give an override in EC2 Fleet's words; the request's price holds where it has none of its own."""
    own = {name: value for name, value in override.items() if name != "SpotPrice"}
    price = override.get("SpotPrice") or config.get("SpotPrice")
    return own | ({"MaxPrice": price} if price else {})


def _specification_lines(config: Config) -> Iterator[Line]:
    unit = config.get("TargetCapacityUnitType", "units")
    for number, each in enumerate(config.get("LaunchSpecifications", [])):
        names = ("SubnetId", "WeightedCapacity", "SpotPrice", "Placement")
        override = {name: each[name] for name in names if name in each}
        yield Line(number, _priced(override, config), specification=_specification(each), unit=unit)


def _specification(launch: dict[str, Any]) -> Specification:
    """Give a launch specification in RunInstances' words."""
    made = {name: launch[name] for name in _SAME if name in launch}
    groups = launch.get("SecurityGroups", [])
    by_id = [each["GroupId"] for each in groups if "GroupId" in each]
    by_name = [each["GroupName"] for each in groups if "GroupId" not in each and "GroupName" in each]
    return made | {
        name: found for name, found in (("SecurityGroupIds", by_id), ("SecurityGroups", by_name)) if found
    }
