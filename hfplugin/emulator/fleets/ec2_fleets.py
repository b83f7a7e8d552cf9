"""EC2 Fleets of the three types: instant, request, maintain.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetData.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import ids
from hfplugin.emulator.allocation import Pool
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, missing
from hfplugin.emulator.fleets import instant
from hfplugin.emulator.fleets.instant import Bounds, Outcome
from hfplugin.emulator.fleets.pools import Line, line_of
from hfplugin.emulator.fleets.rules import (
    check_call,
    check_configs,
    check_lines,
    check_times,
    refuse_dry_run,
    wrong,
)
from hfplugin.emulator.fleets.target import Target
from hfplugin.emulator.fleets.upkeep import Terms, Upkeep
from hfplugin.emulator.specification import as_list, tags

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_ID = re.compile(r"fleet-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The members of an override that answers have.
_SHOWN = (
    "InstanceType",
    "MaxPrice",
    "SubnetId",
    "AvailabilityZone",
    "WeightedCapacity",
    "Priority",
    "InstanceRequirements",
    "ImageId",
    "BlockDeviceMappings",
)


@dataclass(eq=False)
class Fleet:
    """One EC2 Fleet, with the call that made it."""

    fleet_id: str
    kind: str
    params: dict[str, Any]
    target: Target
    upkeep: Upkeep
    created: float
    tags: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def is_instant(self) -> bool:
        return self.kind == "instant"

    @property
    def counts(self) -> bool:
        """Whether it counts towards the quota; that an instant one does while it has machines is an assumption."""
        return self.upkeep.counts and (not self.is_instant or bool(self.upkeep.machines))

    def holding(self) -> dict[str, Any]:
        """Give what the admin endpoint lists: kind, id, region, state, tags; an instant one is only a record."""
        kind = "instant-fleet" if self.is_instant else "fleet"
        return self.upkeep.holding() | {"kind": kind, "id": self.fleet_id, "tags": self.tags}

    def describe(self) -> dict[str, Any]:
        """Give a FleetData as botocore's model has it."""
        params, upkeep = self.params, self.upkeep
        is_maintained = self.kind == "maintain"
        return {
            "ActivityStatus": self.activity,
            "CreateTime": moment(self.created),
            "FleetId": self.fleet_id,
            "FleetState": upkeep.state,
            "ClientToken": params.get("ClientToken"),
            "ExcessCapacityTerminationPolicy": self.excess_policy if is_maintained else None,
            "FulfilledCapacity": float(upkeep.units()),
            "FulfilledOnDemandCapacity": float(upkeep.units(ON_DEMAND)),
            "LaunchTemplateConfigs": [_shown_config(each) for each in params["LaunchTemplateConfigs"]],
            "TargetCapacitySpecification": self.target.describe(),
            "TerminateInstancesWithExpiration": bool(params.get("TerminateInstancesWithExpiration")),
            "Type": self.kind,
            "ValidFrom": params.get("ValidFrom"),
            "ValidUntil": params.get("ValidUntil"),
            "ReplaceUnhealthyInstances": bool(params.get("ReplaceUnhealthyInstances")),
            "SpotOptions": self._spot_options(),
            "OnDemandOptions": {"AllocationStrategy": "lowest-price", **params.get("OnDemandOptions", {})},
            "Tags": as_list(self.tags),
        } | (self.answer() if self.is_instant else {})

    def _spot_options(self) -> dict[str, Any]:
        own = {
            "AllocationStrategy": "lowest-price",
            "InstanceInterruptionBehavior": "terminate",
            **self.params.get("SpotOptions", {}),
        }
        return own if own["AllocationStrategy"] != "lowest-price" else {"InstancePoolsToUseCount": 1, **own}

    @property
    def activity(self) -> str | None:
        """Give the status as API_FleetData.html has it; fleets that were deleted show none."""
        if self.upkeep.is_over:
            return None
        return "fulfilled" if self.is_instant else self.upkeep.activity

    @property
    def excess_policy(self) -> str:
        return "termination" if self.upkeep.terms.trims else "no-termination"

    def answer(self, with_places: bool = False) -> dict[str, Any]:
        """Give an instant fleet's machines, by pool, and refusals. CreateFleet adds the places."""
        return {
            "Errors": [
                {
                    "LaunchTemplateAndOverrides": _shown_line(line),
                    "Lifecycle": purchase,
                    "ErrorCode": error.code,
                    "ErrorMessage": error.message,
                }
                for line, purchase, error in self.outcome.refused
            ],
            "Instances": [
                {
                    "LaunchTemplateAndOverrides": _shown_line(line_of(pool)),
                    "Lifecycle": pool.blueprint.purchase,
                    "InstanceIds": [each.instance_id for each in instances],
                    "InstanceType": pool.blueprint.machine_type,
                    **(_place(pool) if with_places else {}),
                }
                for pool, instances in self.outcome.launched
            ],
        }


def _shown_config(config: dict[str, Any]) -> dict[str, Any]:
    named = config["LaunchTemplateSpecification"]
    return {
        "LaunchTemplateSpecification": {
            name: named[name] for name in ("LaunchTemplateId", "LaunchTemplateName", "Version") if name in named
        },
        "Overrides": [_shown_override(each) for each in config.get("Overrides", [])],
    }


def _shown_override(override: dict[str, Any]) -> dict[str, Any]:
    shown = {name: override[name] for name in _SHOWN if name in override}
    group = override.get("Placement", {}).get("GroupName")
    return shown | ({"Placement": {"GroupName": group}} if group else {})


def _shown_line(line: Line) -> dict[str, Any]:
    """Give a LaunchTemplateAndOverridesResponse."""
    return {"LaunchTemplateSpecification": line.template, "Overrides": _shown_override(line.override)}


def _place(pool: Pool) -> dict[str, str]:
    return {"AvailabilityZone": pool.blueprint.zone, "SubnetId": pool.blueprint.subnet.subnet_id}


class Fleets:
    """The EC2 Fleets of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, Fleet] = {}

    def create(self, params: dict[str, Any]) -> Fleet:
        """Make a fleet. An instant one has launched when this returns; the others act later."""
        region = self._region
        kind = params.get("Type", "maintain")
        check_call(params, kind)
        check_configs(params.get("LaunchTemplateConfigs", []), kind)
        if "TargetCapacitySpecification" not in params:
            raise missing("TargetCapacitySpecification")
        target = Target.of(params["TargetCapacitySpecification"], kind)
        check_times(params, region.clock.now)
        terms = _terms(region, params, kind, target)
        labels = tags(params, "fleet")
        self._check_quota()
        refuse_dry_run(params)
        fleet_id = ids.new_long("fleet")
        upkeep = Upkeep(region, ("aws:ec2:fleet-id", fleet_id), "deleted", terms)
        fleet = Fleet(fleet_id, kind, params, target, upkeep, region.clock.now, labels)
        if fleet.is_instant:
            fleet.outcome = instant.launch(region, upkeep, _bounds(params))
        else:
            upkeep.start()
        self._by_id[fleet_id] = fleet
        return fleet

    def _check_quota(self) -> None:
        """Source of the text: https://github.com/runs-on/runs-on/issues/88"""
        quota = self._region.settings.quotas.get("fleets")
        if quota is not None and sum(each.counts for each in self._by_id.values()) >= quota:
            raise ServiceError(
                "MaxFleetCountExceeded", "You've reached your quota for maximum Fleet Requests for this account."
            )

    def every(self) -> Iterator[Fleet]:
        """Go through the fleets that calls still show."""
        return (each for each in self._by_id.values() if not each.upkeep.is_forgotten)

    def get(self, fleet_id: str) -> Fleet | None:
        found = self._by_id.get(fleet_id)
        return None if found is None or found.upkeep.is_forgotten else found

    def require(self, fleet_id: str) -> Fleet:
        """Give a fleet. The codes were seen, the texts are made up."""
        if not is_fleet_id(fleet_id):
            raise ServiceError("InvalidFleetId.Malformed", f"The fleet ID '{fleet_id}' is malformed")
        found = self.get(fleet_id)
        if found is None:
            raise ServiceError("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
        return found

    def modify(self, fleet: Fleet, params: dict[str, Any]) -> None:
        """Change a maintain fleet.

        Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/modify-ec2-fleet.html; the code is the one that
        EC2's list of errors has for it.
        """
        if fleet.kind != "maintain" or fleet.upkeep.state not in ("submitted", "active"):
            raise ServiceError(
                "FleetNotInModifiableState",
                f"Fleet Request: {fleet.fleet_id} is not a modifiable fleet request type."
                if fleet.kind != "maintain"
                else f"Fleet Request: {fleet.fleet_id} is not in a modifiable state.",
            )
        target = (
            fleet.target.changed(params["TargetCapacitySpecification"]) if _retargets(params) else fleet.target
        )
        own = {**fleet.params}
        for name in ("LaunchTemplateConfigs", "ExcessCapacityTerminationPolicy"):
            if name in params:
                own[name] = params[name]
        check_configs(own["LaunchTemplateConfigs"], fleet.kind)
        terms = _terms(self._region, own, fleet.kind, target)
        refuse_dry_run(params)
        fleet.target, fleet.params = target, own
        fleet.upkeep.change(terms)


def is_fleet_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


def _retargets(params: dict[str, Any]) -> bool:
    return "TargetCapacitySpecification" in params


def _terms(region: Region, params: dict[str, Any], kind: str, target: Target) -> Terms:
    lines = _lines(region, params, kind, target.unit)
    fault = check_lines(region, lines, target.unit, resolves=kind == "instant")
    if fault:
        raise wrong(fault)
    spot, on_demand = params.get("SpotOptions", {}), params.get("OnDemandOptions", {})
    return Terms(
        lines=lines,
        units=target.units,
        strategies={
            SPOT: spot.get("AllocationStrategy", "lowest-price"),
            ON_DEMAND: on_demand.get("AllocationStrategy", "lowest-price"),
        },
        pools_to_use=spot.get("InstancePoolsToUseCount", 1),
        replaces=kind == "maintain",
        interruption=spot.get("InstanceInterruptionBehavior", "terminate"),
        trims=params.get("ExcessCapacityTerminationPolicy", "termination") == "termination",
        starts=params["ValidFrom"].timestamp() if "ValidFrom" in params else None,
        expires=params["ValidUntil"].timestamp() if "ValidUntil" in params else None,
        ends_with_expiry=bool(params.get("TerminateInstancesWithExpiration")),
    )


def _lines(region: Region, params: dict[str, Any], kind: str, unit: str) -> list[Line]:
    """Give the configuration's lines. An instant fleet names its launch templates' versions by number."""
    lines: list[Line] = []
    labels = [each for each in params.get("TagSpecifications", []) if each.get("ResourceType") != "fleet"]
    for config in params["LaunchTemplateConfigs"]:
        template = dict(config["LaunchTemplateSpecification"])
        over: dict[str, Any] = {"TagSpecifications": labels} if labels else {}
        if "LaunchTemplateSpecificationUserData" in template:
            over["UserData"] = template.pop("LaunchTemplateSpecificationUserData")
        version = region.launch_templates.version(template)
        if kind == "instant":
            template = {"LaunchTemplateId": version.template_id, "Version": str(version.number)}
        lines += [
            Line(len(lines) + index, override, template, over=over, unit=unit)
            for index, override in enumerate(config.get("Overrides") or [{}])
        ]
    return lines


def _bounds(params: dict[str, Any]) -> dict[str, Bounds]:
    options = {SPOT: params.get("SpotOptions", {}), ON_DEMAND: params.get("OnDemandOptions", {})}
    return {
        purchase: Bounds(
            bool(own.get("SingleInstanceType")),
            bool(own.get("SingleAvailabilityZone")),
            own.get("MinTargetCapacity", 0),
        )
        for purchase, own in options.items()
    }
