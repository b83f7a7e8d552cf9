"""The calls about capacity reservations and placement groups."""

from __future__ import annotations

from collections.abc import Iterable

from hfplugin.emulator import filters
from hfplugin.emulator.errors import invalid, missing
from hfplugin.emulator.region import Region
from hfplugin.emulator.reservations import PlacementGroup, Reservation
from hfplugin.emulator.specification import tags
from hfplugin.emulator.wire import Params, Reply

_PAGE = (1, 1000)


def create_capacity_reservation(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateCapacityReservation.html"""
    for name in ("InstanceType", "InstancePlatform", "AvailabilityZone", "InstanceCount"):
        if name not in params:
            raise missing(name)
    if params["InstanceCount"] < 1:
        raise invalid("InstanceCount must be at least 1")
    made = region.tokens.once("CreateCapacityReservation", params, lambda meant: _reserved(region, meant))
    return {"CapacityReservation": region.reservations.require(made).describe(region.account)}


def _reserved(region: Region, params: Params) -> str:
    made = region.reservations.create(
        params["InstanceType"],
        params["AvailabilityZone"],
        params["InstanceCount"],
        tags(params, "capacity-reservation"),
    )
    made.platform = params["InstancePlatform"]
    made.matching = params.get("InstanceMatchCriteria", "open")
    return made.reservation_id


def describe_capacity_reservations(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeCapacityReservations.html"""
    wanted = params.get("CapacityReservationIds")
    known = [region.reservations.require(each) for each in wanted] if wanted else region.reservations.every()
    found = filters.select(known, params, _reservation_values)
    page, token = filters.page(found, params, _PAGE)
    return {"CapacityReservations": [each.describe(region.account) for each in page], "NextToken": token}


def _reservation_values(reservation: Reservation, name: str) -> Iterable[str] | None:
    own = {
        "instance-type": [reservation.machine_type],
        "availability-zone": [reservation.zone],
        "state": [reservation.state],
        "instance-match-criteria": [reservation.matching],
    }
    tagged = filters.of_tags(name, reservation.tags)
    return tagged if tagged is not None else own.get(name)


def cancel_capacity_reservation(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelCapacityReservation.html"""
    region.reservations.cancel(region.reservations.require(params["CapacityReservationId"]))
    return {"Return": True}


def create_placement_group(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreatePlacementGroup.html"""
    if not params.get("GroupName"):
        raise missing("GroupName")
    made = region.placement_groups.create(params["GroupName"], params.get("Strategy", "cluster"))
    made.partitions = params.get("PartitionCount")
    made.spread_level = params.get("SpreadLevel")
    made.tags = tags(params, "placement-group")
    return {"PlacementGroup": made.describe(region)}


def delete_placement_group(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeletePlacementGroup.html"""
    region.placement_groups.delete(params.get("GroupName", ""))
    return {}


def describe_placement_groups(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribePlacementGroups.html"""
    named = [region.placement_groups.require(each) for each in params.get("GroupNames", [])]
    named += [each for each in region.placement_groups.every() if each.group_id in params.get("GroupIds", [])]
    is_asked = params.get("GroupNames") or params.get("GroupIds")
    found = filters.select(named if is_asked else region.placement_groups.every(), params, _group_values)
    return {"PlacementGroups": [each.describe(region) for each in found]}


def _group_values(group: PlacementGroup, name: str) -> Iterable[str] | None:
    own = {"group-name": [group.name], "strategy": [group.strategy], "state": ["available"]}
    tagged = filters.of_tags(name, group.tags)
    return tagged if tagged is not None else own.get(name)


OPERATIONS = {
    "CreateCapacityReservation": create_capacity_reservation,
    "DescribeCapacityReservations": describe_capacity_reservations,
    "CancelCapacityReservation": cancel_capacity_reservation,
    "CreatePlacementGroup": create_placement_group,
    "DeletePlacementGroup": delete_placement_group,
    "DescribePlacementGroups": describe_placement_groups,
}
