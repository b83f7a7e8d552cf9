"""Capacity reservations and placement groups: what a launch may name besides its subnet.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-reservations.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/placement-groups.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue, ids
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.specification import as_list

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region


@dataclass(eq=False)
class Reservation:
    """Machines of one type in one zone that are kept for whoever names the reservation."""

    reservation_id: str
    machine_type: str
    zone: str
    total: int
    created: float
    tags: dict[str, str] = field(default_factory=dict)
    used: int = 0
    state: str = "active"

    @property
    def available(self) -> int:
        return self.total - self.used

    def use(self, count: int) -> None:
        """Count machines as launched into it; negative: as gone."""
        self.used += count

    def describe(self, account: str) -> dict[str, Any]:
        """Give a CapacityReservation as botocore's model has it."""
        return {
            "CapacityReservationId": self.reservation_id,
            "OwnerId": account,
            "InstanceType": self.machine_type,
            "InstancePlatform": "Linux/UNIX",
            "AvailabilityZone": self.zone,
            "Tenancy": "default",
            "TotalInstanceCount": self.total,
            "AvailableInstanceCount": self.available,
            "EbsOptimized": False,
            "State": self.state,
            "EndDateType": "unlimited",
            "InstanceMatchCriteria": "targeted",
            "CreateDate": moment(self.created),
            "Tags": as_list(self.tags),
        }


class Reservations:
    """The capacity reservations of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, Reservation] = {}

    def create(self, machine_type: str, zone: str, count: int, tags: dict[str, str]) -> Reservation:
        catalogue.describe(machine_type)
        made = Reservation(ids.new("cr"), machine_type, zone, count, self._region.clock.now, tags)
        self._by_id[made.reservation_id] = made
        return made

    def require(self, reservation_id: str) -> Reservation:
        found = self._by_id.get(reservation_id)
        if found is None:
            raise ServiceError(
                "InvalidCapacityReservationId.NotFound",
                f"The capacity reservation '{reservation_id}' was not found",
            )
        return found

    def every(self) -> Iterator[Reservation]:
        yield from self._by_id.values()


class PlacementGroups:
    """The placement groups of one account in one region: name and strategy."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._strategies: dict[str, str] = {}

    def create(self, name: str, strategy: str) -> None:
        if name in self._strategies:
            raise ServiceError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        self._strategies[name] = strategy

    def delete(self, name: str) -> None:
        self.require(name)
        del self._strategies[name]

    def require(self, name: str) -> str:
        """Give the group's strategy."""
        if name not in self._strategies:
            raise ServiceError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        return self._strategies[name]

    def invent(self, name: str) -> None:
        self._strategies.setdefault(name, "cluster")

    def names(self) -> list[str]:
        return list(self._strategies)
