"""Capacity reservations and placement groups: what a launch may name besides its subnet.

An open reservation is used here only by a launch that names it; EC2 gives it to every launch that matches.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-reservations.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/placement-groups.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue, ids
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, invalid, malformed
from hfplugin.emulator.specification import as_list

if TYPE_CHECKING:
    from hfplugin.emulator.blueprint import Blueprint
    from hfplugin.emulator.region import Region

_ID = re.compile(r"cr-[0-9a-f]{8}(?:[0-9a-f]{9})?")


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
    platform: str = "Linux/UNIX"
    matching: str = "open"

    @property
    def available(self) -> int:
        return self.total - self.used if self.state == "active" else 0

    def fits(self, machine_type: str, zone: str) -> bool:
        return (machine_type, zone) == (self.machine_type, self.zone)

    def use(self, count: int) -> None:
        """Count machines as launched into it; negative: as gone."""
        self.used += count

    def describe(self, account: str) -> dict[str, Any]:
        """Give a CapacityReservation as botocore's model has it."""
        return {
            "CapacityReservationId": self.reservation_id,
            "OwnerId": account,
            "InstanceType": self.machine_type,
            "InstancePlatform": self.platform,
            "AvailabilityZone": self.zone,
            "Tenancy": "default",
            "TotalInstanceCount": self.total,
            "AvailableInstanceCount": self.available,
            "EbsOptimized": False,
            "EphemeralStorage": False,
            "State": self.state,
            "EndDateType": "unlimited",
            "InstanceMatchCriteria": self.matching,
            "CreateDate": moment(self.created),
            "StartDate": moment(self.created),
            "ReservationType": "default",
            "Tags": as_list(self.tags),
        }


class Reservations:
    """The capacity reservations of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, Reservation] = {}

    def create(self, machine_type: str, zone: str, count: int, tags: dict[str, str]) -> Reservation:
        """Reserve machines, which count as taken from now on. ServiceError when there are not as many."""
        catalogue.describe(machine_type)
        if zone not in self._region.moto.zones:
            raise invalid(f"Invalid availability zone: [{zone}]")
        self._region.capacity.reserve(machine_type, zone, count)
        made = Reservation(ids.new("cr"), machine_type, zone, count, self._region.clock.now, tags)
        self._by_id[made.reservation_id] = made
        return made

    def cancel(self, reservation: Reservation) -> None:
        """Give back what is not used; machines that run in it go on, and count like others."""
        self._region.capacity.reserve(reservation.machine_type, reservation.zone, -reservation.available)
        reservation.state = "cancelled"

    def require(self, reservation_id: str) -> Reservation:
        if not _ID.fullmatch(reservation_id):
            raise malformed("InvalidCapacityReservationId.Malformed", reservation_id, "cr")
        found = self._by_id.get(reservation_id)
        if found is None:
            raise ServiceError(
                "InvalidCapacityReservationId.NotFound",
                f"The capacity reservation '{reservation_id}' was not found",
            )
        return found

    def behind(self, blueprint: Blueprint) -> Reservation | None:
        """Give the reservation that a machine is counted in, as long as it is active."""
        found = self._by_id.get(blueprint.reservation_id)
        return found if found and found.state == "active" else None

    def every(self) -> Iterator[Reservation]:
        yield from self._by_id.values()


@dataclass(eq=False)
class PlacementGroup:
    """A placement group; it has no effect on where its machines are."""

    group_id: str
    name: str
    strategy: str
    partitions: int | None = None
    spread_level: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def describe(self, region: Region) -> dict[str, Any]:
        """Give a PlacementGroup as botocore's model has it."""
        return {
            "GroupName": self.name,
            "GroupId": self.group_id,
            "GroupArn": f"arn:aws:ec2:{region.name}:{region.account}:placement-group/{self.name}",
            "State": "available",
            "Strategy": self.strategy,
            "PartitionCount": self.partitions,
            "SpreadLevel": self.spread_level,
            "Tags": as_list(self.tags),
        }


class PlacementGroups:
    """The placement groups of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_name: dict[str, PlacementGroup] = {}

    def create(self, name: str, strategy: str) -> PlacementGroup:
        if name in self._by_name:
            raise ServiceError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
        self._by_name[name] = PlacementGroup(ids.new("pg"), name, strategy)
        return self._by_name[name]

    def delete(self, name: str) -> None:
        group = self.require(name)
        if any(self.of(each.blueprint.specification) is group for each in self._region.instances.alive()):
            text = f"The placement group '{name}' is in use and may not be deleted."
            raise ServiceError("InvalidPlacementGroup.InUse", text)
        del self._by_name[name]

    def require(self, name: str) -> PlacementGroup:
        if name not in self._by_name:
            raise ServiceError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        return self._by_name[name]

    def of(self, specification: dict[str, Any]) -> PlacementGroup | None:
        """Give the group that a launch names, by name or id; ServiceError when there is none of it."""
        named = specification.get("Placement", {})
        name, group_id = named.get("GroupName"), named.get("GroupId")
        by_id = next((each.name for each in self.every() if each.group_id == group_id), group_id)
        return self.require(name or by_id) if name or group_id else None

    def invent(self, name: str) -> None:
        if name not in self._by_name:
            self.create(name, "cluster")

    def every(self) -> Iterator[PlacementGroup]:
        yield from self._by_name.values()
