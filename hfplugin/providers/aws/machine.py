"""What a machine is, besides its type and place: settings that RunInstances and launch templates share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfplugin.providers.aws import tags
from hfplugin.providers.aws.images import Resolved, RootVolume
from hfplugin.providers.aws.user_data import compose
from hfplugin.providers.base.provider import Context, Order

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# One hop: a container behind the machine's own network cannot take the machine's role.
_METADATA_OPTIONS = {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}


def settings(template: AWSTemplate, resolved: Resolved) -> dict[str, Any]:
    """Give the settings, except for tags and user data. What is not set is left out."""
    given = {
        "ImageId": resolved.image_id,
        **_network(template),
        "KeyName": template.key_name,
        "IamInstanceProfile": _profile(template.instance_profile),
        "BlockDeviceMappings": _root_volume(template, resolved.root),
        "Placement": _placement(template),
        "EbsOptimized": template.ebs_optimized,
        "CapacityReservationSpecification": _reservation(template),
        "MetadataOptions": {
            **_METADATA_OPTIONS,
            **{name: value for name, value in resolved.metadata_options.items() if name != "State"},
            "HttpTokens": template.http_tokens,
        },
        # A machine that shuts itself down must not stay behind stopped, billed and unknown to HostFactory.
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    return {name: value for name, value in given.items() if value not in (None, "", [], {})}


def _network(template: AWSTemplate) -> dict[str, Any]:
    """Security groups, or EFA interfaces that carry them: a call may not have both.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start.html: the first interface is device 0
    of card 0, every further one device 1 of a card of its own.
    """
    if not template.efa_interfaces:
        return {"SecurityGroupIds": template.security_group_ids}
    groups = {"Groups": template.security_group_ids} if template.security_group_ids else {}
    return {
        "NetworkInterfaces": [
            {
                "DeviceIndex": min(card, 1),
                "NetworkCardIndex": card,
                "InterfaceType": "efa",
                "DeleteOnTermination": True,
                **groups,
            }
            for card in range(template.efa_interfaces)
        ]
    }


def in_subnet(given: dict[str, Any], subnet: str) -> dict[str, Any]:
    """Put the machine into a subnet, which is its interfaces' own when it has some."""
    if not subnet:
        return given
    if "NetworkInterfaces" not in given:
        return {**given, "SubnetId": subnet}
    return {**given, "NetworkInterfaces": [{**each, "SubnetId": subnet} for each in given["NetworkInterfaces"]]}


def _profile(name_or_arn: str) -> dict[str, str]:
    if not name_or_arn:
        return {}
    return {"Arn" if name_or_arn.startswith("arn:") else "Name": name_or_arn}


def _root_volume(template: AWSTemplate, root: RootVolume | None) -> list[dict[str, Any]]:
    if root is None:
        return []
    volume = {
        "DeleteOnTermination": True,
        # False is never sent: EC2 refuses it for an image whose snapshot is encrypted.
        "Encrypted": template.encrypted or None,
        "KmsKeyId": template.kms_key_id or None,
        "VolumeSize": template.root_device_volume_size or root.size,
        "VolumeType": template.volume_type or None,
        "Iops": template.iops,
    }
    return [
        {"DeviceName": root.device, "Ebs": {name: value for name, value in volume.items() if value is not None}}
    ]


def _placement(template: AWSTemplate) -> dict[str, str]:
    given = {"GroupName": template.placement_group_name, "Tenancy": template.tenancy}
    return {name: value for name, value in given.items() if value}


def _reservation(template: AWSTemplate) -> dict[str, Any]:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecification.html"""
    target = template.capacity_reservation_id
    if target:
        key = "CapacityReservationResourceGroupArn" if target.startswith("arn:") else "CapacityReservationId"
        return {"CapacityReservationTarget": {key: target}}
    preference = template.capacity_reservation_preference
    return {"CapacityReservationPreference": preference} if preference else {}


def labels(template: AWSTemplate, context: Context, order: Order, weights: dict[str, int]) -> dict[str, str]:
    """Give the tags of everything that an order brings; `weights` are the units of each machine type."""
    return {
        **template.instance_tags,
        tags.PROVIDER: context.provider_name,
        tags.INSTALLATION: context.installation,
        tags.REQUEST_ID: order.request_id,
        tags.TEMPLATE_ID: order.template.id,
        tags.ATTEMPT: str(order.attempt),
        **tags.units(weights),
    }


def specifications(labels: dict[str, str], *kinds: str) -> list[dict[str, Any]]:
    """Give TagSpecifications for kinds of resources."""
    return [{"ResourceType": kind, "Tags": tags.as_list(labels)} for kind in kinds]


def user_data(template: AWSTemplate) -> str:
    """Give the user data as text; ConfigurationError when its file cannot be read or is too large."""
    return compose(template)
