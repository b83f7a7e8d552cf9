"""The calls about capacity reservations and placement groups."""

from __future__ import annotations

from hfplugin.emulator.errors import missing
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import tags
from hfplugin.emulator.wire import Params, Reply


def create_capacity_reservation(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateCapacityReservation.html"""
    for name in ("InstanceType", "AvailabilityZone", "InstanceCount"):
        if name not in params:
            raise missing(name)
    made = region.reservations.create(
        params["InstanceType"],
        params["AvailabilityZone"],
        params["InstanceCount"],
        tags(params, "capacity-reservation"),
    )
    return {"CapacityReservation": made.describe(region.account)}


def describe_capacity_reservations(region: Region, params: Params) -> Reply:
    wanted = params.get("CapacityReservationIds")
    found = [region.reservations.require(each) for each in wanted] if wanted else region.reservations.every()
    return {"CapacityReservations": [each.describe(region.account) for each in found]}


def cancel_capacity_reservation(region: Region, params: Params) -> Reply:
    region.reservations.require(params["CapacityReservationId"]).state = "cancelled"
    return {"Return": True}


def create_placement_group(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreatePlacementGroup.html"""
    if "GroupName" not in params:
        raise missing("GroupName")
    region.placement_groups.create(params["GroupName"], params.get("Strategy", "cluster"))
    return {"PlacementGroup": _group(region, params["GroupName"])}


def delete_placement_group(region: Region, params: Params) -> Reply:
    region.placement_groups.delete(params.get("GroupName", ""))
    return {}


def describe_placement_groups(region: Region, params: Params) -> Reply:
    names = params.get("GroupNames") or region.placement_groups.names()
    return {"PlacementGroups": [_group(region, name) for name in names]}


def _group(region: Region, name: str) -> Reply:
    return {"GroupName": name, "State": "available", "Strategy": region.placement_groups.require(name)}


OPERATIONS = {
    "CreateCapacityReservation": create_capacity_reservation,
    "DescribeCapacityReservations": describe_capacity_reservations,
    "CancelCapacityReservation": cancel_capacity_reservation,
    "CreatePlacementGroup": create_placement_group,
    "DeletePlacementGroup": delete_placement_group,
    "DescribePlacementGroups": describe_placement_groups,
}
