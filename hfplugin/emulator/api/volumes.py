"""The call about volumes: those of machines, which is all that the emulator has."""

from __future__ import annotations

from collections.abc import Iterable

from hfplugin.emulator import filters
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.instances import Instance, Volume
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import as_list
from hfplugin.emulator.wire import Params, Reply

_PAGE = (5, 500)


def describe_volumes(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html"""
    known = {volume.volume_id: (volume, each) for each in region.instances.every() for volume in each.volumes}
    wanted = params.get("VolumeIds") or list(known)
    for volume_id in wanted:
        if volume_id not in known:
            raise ServiceError("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    pairs = [known[each] for each in wanted]
    found = filters.select(pairs, params, lambda pair, name: _values(*pair, name))
    page, token = filters.page(found, params, _PAGE)
    return {"Volumes": [_volume(*pair) for pair in page], "NextToken": token}


def _values(volume: Volume, instance: Instance, name: str) -> Iterable[str] | None:
    own = {
        "attachment.instance-id": instance.instance_id if instance.has_network else "",
        "availability-zone": instance.blueprint.zone,
        "encrypted": str(volume.settings["Encrypted"]).lower(),
        "status": "in-use" if instance.has_network else "available",
        "volume-id": volume.volume_id,
        "volume-type": volume.settings["VolumeType"],
    }
    tagged = filters.of_tags(name, volume.tags)
    return tagged if tagged is not None else [own[name]] if name in own else None


def _volume(volume: Volume, instance: Instance) -> Reply:
    settings = volume.settings
    attachment = {
        "VolumeId": volume.volume_id,
        "InstanceId": instance.instance_id,
        "Device": volume.device,
        "State": "attached",
        "AttachTime": moment(volume.attached),
        "DeleteOnTermination": settings["DeleteOnTermination"],
    }
    return {
        "VolumeId": volume.volume_id,
        "Size": settings["VolumeSize"],
        "VolumeType": settings["VolumeType"],
        "Encrypted": settings["Encrypted"],
        "KmsKeyId": settings.get("KmsKeyId"),
        "Iops": settings.get("Iops"),
        "Throughput": settings.get("Throughput"),
        "SnapshotId": settings.get("SnapshotId"),
        "AvailabilityZone": instance.blueprint.zone,
        "CreateTime": moment(volume.attached),
        "State": "in-use" if instance.has_network else "available",
        "Attachments": [attachment] if instance.has_network else [],
        "Tags": as_list(volume.tags),
    }


OPERATIONS = {"DescribeVolumes": describe_volumes}
