"""An EC2 Fleet's target capacity: its total and its parts by purchase type.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TargetCapacitySpecificationRequest.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.errors import missing
from hfplugin.emulator.fleets.rules import MOST_UNITS, one_of, wrong


@dataclass(frozen=True)
class Target:
    """A fleet's target capacity: the total, and its parts by purchase type."""

    total: int
    on_demand: int
    spot: int
    default: str
    unit: str = "units"

    @classmethod
    def of(cls, specification: dict[str, Any], kind: str) -> Target:
        """Read a TargetCapacitySpecification: what is in neither part is of the default type.

        Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-examples.html, which counts the
        default type among the least that a fleet needs. The codes of what is wrong are documented nowhere.
        """
        if "TotalTargetCapacity" not in specification:
            raise missing("TargetCapacitySpecification.TotalTargetCapacity")
        total = specification["TotalTargetCapacity"]
        parts = {
            ON_DEMAND: specification.get("OnDemandTargetCapacity", 0),
            SPOT: specification.get("SpotTargetCapacity", 0),
        }
        default = specification.get("DefaultTargetCapacityType")
        rest = total - sum(parts.values())
        if not (0 if kind == "maintain" else 1) <= total <= MOST_UNITS:
            raise wrong(f"TotalTargetCapacity must not be {total} in a fleet of type {kind}.")
        if rest < 0 or min(parts.values()) < 0:
            raise wrong("OnDemandTargetCapacity and SpotTargetCapacity must not exceed TotalTargetCapacity.")
        if default is None and rest:
            raise missing("TargetCapacitySpecification.DefaultTargetCapacityType")
        if default is not None:
            one_of("defaultTargetCapacityType", default, (SPOT, ON_DEMAND))
            parts[default] += rest
        return cls(total, parts[ON_DEMAND], parts[SPOT], default or SPOT, _unit(specification))

    def changed(self, specification: dict[str, Any]) -> Target:
        """Give the target after ModifyFleet. Without parts, what is added or taken is of the default type.

        Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/modify-ec2-fleet.html for what is added; for
        what is taken it says nothing.
        """
        own = {"DefaultTargetCapacityType": self.default, **specification}
        if not {"OnDemandTargetCapacity", "SpotTargetCapacity"} & set(own):
            name, kept = ("OnDemandTargetCapacity", self.on_demand)
            if own["DefaultTargetCapacityType"] == ON_DEMAND:
                name, kept = ("SpotTargetCapacity", self.spot)
            own[name] = min(kept, own.get("TotalTargetCapacity", kept))
        return replace(self.of(own, "maintain"), unit=self.unit)

    @property
    def units(self) -> dict[str, float]:
        return {ON_DEMAND: self.on_demand, SPOT: self.spot}

    def describe(self) -> dict[str, Any]:
        return {
            "TotalTargetCapacity": self.total,
            "OnDemandTargetCapacity": self.on_demand,
            "SpotTargetCapacity": self.spot,
            "DefaultTargetCapacityType": self.default,
            "TargetCapacityUnitType": None if self.unit == "units" else self.unit,
        }


def _unit(specification: dict[str, Any]) -> str:
    unit: str = specification.get("TargetCapacityUnitType", "units")
    one_of("targetCapacityUnitType", unit, ("units", "vcpu", "memory-mib"))
    return unit
