"""The calls about tags: on what the emulator holds, and through it on what moto holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hfplugin.emulator import filters
from hfplugin.emulator.errors import missing
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import checked_tags
from hfplugin.emulator.wire import Params, Reply

Tags = dict[str, str]


def create_tags(region: Region, params: Params) -> Reply:
    """Tag resources: all or, when one is not known, none.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html
    """
    labels = {each["Key"]: each.get("Value", "") for each in params.get("Tags", [])}
    if not labels:
        raise missing("Tag")
    changes = [_change(region, each) for each in _resources(params)]
    for change in changes:
        change(checked_tags(labels), ())
    return {}


def delete_tags(region: Region, params: Params) -> Reply:
    changes = [_change(region, each) for each in _resources(params)]
    for change in changes:
        change({}, [each["Key"] for each in params.get("Tags", [])])
    return {}


def _resources(params: Params) -> list[str]:
    if not params.get("Resources"):
        raise missing("ResourceId")
    return list(params["Resources"])


def _change(region: Region, resource_id: str) -> Callable[[Tags, Iterable[str]], None]:
    """Give what changes a resource's tags. ServiceError when there is no such resource."""
    if resource_id.startswith("i-"):
        [instance] = region.instances.require([resource_id])
        return lambda tags, gone: region.instances.tag(instance, tags, gone)
    own = _own(region, resource_id)
    if own is not None:
        return lambda tags, gone: _apply(own, tags, gone)
    return lambda tags, gone: region.moto.tag(resource_id, tags, gone)


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


def describe_tags(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html"""
    rows: list[dict[str, Any]] = [
        {"ResourceType": kind, "ResourceId": resource_id, "Key": key, "Value": value}
        for kind, resource_id, tags in _tagged(region)
        for key, value in tags.items()
    ]
    rows += region.moto.tags()
    found = filters.select(rows, params, _values)
    page, token = filters.page(found, params, (5, 1000), default=1000)
    return {"Tags": list(page), "NextToken": token}


def _values(row: dict[str, str], name: str) -> Iterable[str] | None:
    members = {"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"}
    return [row[members[name]]] if name in members else None


OPERATIONS = {"CreateTags": create_tags, "DeleteTags": delete_tags, "DescribeTags": describe_tags}
