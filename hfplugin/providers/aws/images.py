"""Resolves what a template leaves open before a launch is frozen: the AMI behind a name, its root device, the
version of a launch template. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        DescribeLaunchTemplateVersionsResultTypeDef,
        ImageTypeDef,
        ResponseLaunchTemplateDataTypeDef,
    )

    from hfplugin.providers.aws.template import AWSTemplate

# A parameter of AWS Systems Manager that holds an AMI id, in EC2's own notation.
_SSM_PREFIX = "resolve:ssm:"


class RootVolume(NamedTuple):
    """An image's root volume: the name that a mapping for it needs, and its size in GiB where that is known."""

    device: str
    size: int | None = None


# EC2 refuses a launch from an image that it does not know, so this mapping is never used.
_ROOT_OF_UNKNOWN_IMAGE = RootVolume("/dev/xvda", 8)


class Resolved(NamedTuple):
    """What is fixed for one launch. Empty texts: the launch template says, or nothing has to be said.

    `root` is None when the root volume is to be left as the image or launch template has it.
    `launch_template_data` is the launch template's content, `metadata_options` those of it.
    """

    image_id: str = ""
    root: RootVolume | None = None
    launch_template_version: str = ""
    metadata_options: Mapping[str, Any] = {}
    launch_template_data: Mapping[str, Any] = {}


def resolve(clients: Clients, region: str, template: AWSTemplate) -> Resolved:
    """Fix what the template leaves open. ProviderError when AWS cannot say."""
    try:
        version, data = _launch_template(clients, region, template)
        named = template.image_id or data.get("ImageId", "")
        image = _image_id(clients, region, named)
        keeps_volumes = bool(data.get("BlockDeviceMappings")) and not _asks_for_volume(template)
        wants_root = _asks_for_volume(template) or template.encrypted
        root = None if keeps_volumes or not wants_root else _root_volume(clients, region, template, image)
    except AWS_ERRORS as error:
        raise translate(error) from error
    # A launch template's image is its own to say, unless it could mean another one at a replay.
    is_said = bool(template.image_id) or image != named
    return Resolved(image if is_said else "", root, version, data.get("MetadataOptions", {}), data)


def _asks_for_volume(template: AWSTemplate) -> bool:
    return bool(template.root_device_volume_size or template.volume_type or template.iops or template.kms_key_id)


def _launch_template(
    clients: Clients, region: str, template: AWSTemplate
) -> tuple[str, ResponseLaunchTemplateDataTypeDef]:
    """Give the launch template's version as a number, so that a replay means the same, and its content."""
    if not template.launch_template_id:
        return "", {}
    wanted = template.launch_template_version or "$Default"
    client: Any = clients.ec2(region)
    answer: DescribeLaunchTemplateVersionsResultTypeDef = client.describe_launch_template_versions(
        **launch_template_name(template.launch_template_id), Versions=[wanted]
    )
    if not answer["LaunchTemplateVersions"]:
        raise ConfigurationError(f"launchTemplateId {template.launch_template_id} has no version {wanted}")
    version = answer["LaunchTemplateVersions"][0]
    return str(version["VersionNumber"]), version["LaunchTemplateData"]


def launch_template_name(id_or_name: str) -> dict[str, str]:
    """Give the parameter that names a launch template, which administrators do by id or by name."""
    return {"LaunchTemplateId" if id_or_name.startswith("lt-") else "LaunchTemplateName": id_or_name}


def _image_id(clients: Clients, region: str, image: str) -> str:
    if not image.startswith(_SSM_PREFIX):
        return image
    answer = clients.ssm(region).get_parameter(Name=image.removeprefix(_SSM_PREFIX))
    return answer["Parameter"]["Value"]


def _root_volume(clients: Clients, region: str, template: AWSTemplate, image: str) -> RootVolume:
    """Give the image's root volume, under the name that the template says or the image has."""
    if template.root_device_name:
        return RootVolume(template.root_device_name)
    if not image:
        raise ConfigurationError(
            f"launchTemplateId {template.launch_template_id} names no image, so the root volume's settings "
            "cannot be applied: set imageId or rootDeviceName, or encrypted to false"
        )
    try:
        images = clients.ec2(region).describe_images(ImageIds=[image])["Images"]
    except AWS_ERRORS as error:
        translated = translate(error)
        if translated.kind is ErrorKind.INVALID:
            return _ROOT_OF_UNKNOWN_IMAGE
        raise ProviderError(translated.kind, translated.code, f"DescribeImages: {translated.message}") from error
    return _root_of(images[0]) if images else _ROOT_OF_UNKNOWN_IMAGE


def _root_of(image: ImageTypeDef) -> RootVolume:
    device = image.get("RootDeviceName", _ROOT_OF_UNKNOWN_IMAGE.device)
    mappings = {mapping.get("DeviceName"): mapping for mapping in image.get("BlockDeviceMappings", ())}
    return RootVolume(device, mappings.get(device, {}).get("Ebs", {}).get("VolumeSize"))
