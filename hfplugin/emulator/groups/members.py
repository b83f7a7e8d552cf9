"""The machines of a group, as the group sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hfplugin.emulator.capacity import ON_DEMAND
from hfplugin.emulator.instances import Instance


@dataclass(eq=False)
class Member:
    """One machine: Pending, then InService, then Terminating. Source: API_Instance.html of Auto Scaling"""

    instance: Instance
    # The launch template as it was at launch; empty for a machine that was attached.
    template: dict[str, str]
    weight: int | None
    is_protected: bool
    lifecycle: str = "Pending"
    is_healthy: bool = True
    complaint: str = ""

    @property
    def units(self) -> int:
        return self.weight or 1

    def describe(self) -> dict[str, Any]:
        """Give an Instance of an AutoScalingGroup as botocore's model has it."""
        blueprint = self.instance.blueprint
        return {
            "InstanceId": self.instance.instance_id,
            "InstanceType": blueprint.machine_type,
            "AvailabilityZone": blueprint.zone,
            "LifecycleState": self.lifecycle,
            "HealthStatus": "Healthy" if self.is_healthy else "Unhealthy",
            "LaunchTemplate": self.template or None,
            "ProtectedFromScaleIn": self.is_protected,
            "WeightedCapacity": str(self.weight) if self.weight else None,
        }


class Members:
    """The members of one group, in the order in which they came."""

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, member: Member) -> None:
        self._by_id[member.instance.instance_id] = member

    def remove(self, member: Member) -> None:
        self._by_id.pop(member.instance.instance_id, None)

    def get(self, instance_id: str) -> Member | None:
        return self._by_id.get(instance_id)

    def present(self) -> list[Member]:
        """Give those that count: all but the terminating ones."""
        return [each for each in self if each.lifecycle != "Terminating"]

    @property
    def units(self) -> int:
        return sum(each.units for each in self.present())

    def by_zone(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for each in self.present():
            found[each.instance.blueprint.zone] += each.units
        return found

    def on_demand(self) -> int:
        """Count the units that are on-demand."""
        return sum(each.units for each in self.present() if each.instance.blueprint.purchase == ON_DEMAND)
