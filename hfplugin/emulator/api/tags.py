"""The calls about tags: on what the emulator holds, and through it on what moto holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.errors import ServiceError, invalid, missing
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import checked_tags
from hfplugin.emulator.wire import Params, Reply

Tags = dict[str, str]

# What Describe calls would say of an id of the emulator's that it does not have.
_UNKNOWN = {
    "vol": "InvalidVolume.NotFound",
    "lt": "InvalidLaunchTemplateId.NotFound",
    "sir": "InvalidSpotInstanceRequestID.NotFound",
    "cr": "InvalidCapacityReservationId.NotFound",
}

_MOST_RESOURCES = 1000


def create_tags(region: Region, params: Params) -> Reply:
    """Tag resources: all or, when one is not known, none.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html
    """
    labels = {each["Key"]: each.get("Value", "") for each in params.get("Tags", [])}
    if not labels:
        raise missing("Tag")
    checked_tags(labels)
    for own, change in [_change(region, each) for each in _resources(params)]:
        checked_tags({**_users(own), **labels})
        change(labels, ())
    return {}


def delete_tags(region: Region, params: Params) -> Reply:
    """Remove tags by key, or by key and value; without any, all that are the user's.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteTags.html
    """
    wanted = params.get("Tags", [])
    for own, change in [_change(region, each) for each in _resources(params)]:
        named = [each["Key"] for each in wanted if each.get("Value") in (None, own.get(each["Key"]))]
        change({}, named if wanted else list(_users(own)))
    return {}


def _users(own: Tags) -> Tags:
    return {key: value for key, value in own.items() if not key.startswith("aws:")}


def _resources(params: Params) -> list[str]:
    wanted: list[str] = params.get("Resources", [])
    if not wanted:
        raise missing("ResourceId")
    if len(wanted) > _MOST_RESOURCES:
        raise invalid(f"At most {_MOST_RESOURCES} resources can be tagged in one call")
    return wanted


def _change(region: Region, resource_id: str) -> tuple[Tags, Callable[[Tags, Iterable[str]], None]]:
    """Give a resource's tags, and what changes them. ServiceError when there is no such resource."""
    if resource_id.startswith("i-"):
        [instance] = region.instances.require([resource_id])
        return instance.tags, lambda tags, gone: region.instances.tag(instance, tags, gone)
    own = _own(region, resource_id)
    if own is not None:
        return own, lambda tags, gone: _apply(own, tags, gone)
    prefix = resource_id.partition("-")[0]
    if prefix in _UNKNOWN:
        raise ServiceError(_UNKNOWN[prefix], f"The ID '{resource_id}' does not exist")
    theirs = {each["Key"]: each["Value"] for each in region.moto.tags() if each["ResourceId"] == resource_id}
    return theirs, lambda tags, gone: region.moto.tag(resource_id, tags, gone)


def _apply(own: Tags, tags: Tags, gone: Iterable[str]) -> None:
    own.update(tags)
    for key in gone:
        own.pop(key, None)


def _own(region: Region, resource_id: str) -> Tags | None:
    return next((tags for _, found, tags in _tagged(region) if found == resource_id), None)


def _tagged(region: Region) -> Iterable[tuple[str, str, Tags]]:
    """Go through everything of the emulator's that has tags: kind, id, tags."""
    for instance in region.instances.visible():
        yield "instance", instance.instance_id, instance.tags
        for volume in instance.volumes:
            yield "volume", volume.volume_id, volume.tags
    for template in region.launch_templates.every():
        yield "launch-template", template.template_id, template.tags
    for request in region.spot_requests.every():
        yield "spot-instances-request", request.request_id, request.tags
    for reservation in region.reservations.every():
        yield "capacity-reservation", reservation.reservation_id, reservation.tags
    for group in region.placement_groups.every():
        yield "placement-group", group.group_id, group.tags
    for fleet in region.fleets.every():
        yield "fleet", fleet.fleet_id, fleet.tags
    for spot_fleet in region.spot_fleets.every():
        yield "spot-fleet-request", spot_fleet.request_id, spot_fleet.tags


def describe_tags(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html"""
    rows: list[dict[str, Any]] = [
        {"ResourceType": kind, "ResourceId": resource_id, "Key": key, "Value": value}
        for kind, resource_id, tags in _tagged(region)
        for key, value in tags.items()
    ]
    rows += region.moto.tags()
    found = filters.select(rows, params, _values, _FILTERS)
    page, token = filters.page(found, params, (5, 1000), default=1000)
    return {"Tags": list(page), "NextToken": token}


def _values(row: dict[str, str], name: str) -> Iterable[str] | None:
    if name.startswith("tag:"):
        return filters.of_tags(name, {row["Key"]: row["Value"]})
    return [row[_FILTERS[name]]] if name in _FILTERS else None


_FILTERS = {"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"}


OPERATIONS = {"CreateTags": create_tags, "DeleteTags": delete_tags, "DescribeTags": describe_tags}
