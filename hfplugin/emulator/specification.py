"""What a machine is to be, in RunInstances' words: a launch template's data with a call's settings over it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from hfplugin.emulator.errors import ServiceError, conflicting, invalid

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

# As RunInstances takes it; launch templates hold nearly the same.
Specification = dict[str, Any]

# Lists whose members are laid over each other by a key, and structures that are laid over member by member.
_KEYED = {"BlockDeviceMappings": "DeviceName", "NetworkInterfaces": "DeviceIndex"}
_STRUCTURES = ("MetadataOptions", "Placement", "CpuOptions", "InstanceMarketOptions", "Monitoring")

# What an override calls by the same name.
_OVERRIDDEN = (
    "InstanceType",
    "ImageId",
    "InstanceRequirements",
    "BlockDeviceMappings",
    "KeyName",
    "IamInstanceProfile",
    "MetadataOptions",
)


def of_call(region: Region, params: Specification) -> Specification:
    """Give what a RunInstances call asks for: its parameters over its launch template's.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-instances-from-launch-template.html
    """
    template = params.get("LaunchTemplate")
    own = {name: value for name, value in params.items() if name != "LaunchTemplate"}
    if template is None:
        return own
    return merge(of_template(region, template), own)


def of_template(region: Region, reference: dict[str, str]) -> Specification:
    """Give what a launch template says; fleets and groups lay their overrides over it."""
    version = region.launch_templates.version(reference)
    labels = {
        "aws:ec2launchtemplate:id": version.template_id,
        "aws:ec2launchtemplate:version": str(version.number),
    }
    return {**version.data, "SystemTags": labels}


def merge(base: Specification, over: Specification) -> Specification:
    """Lay settings over others. Tags add up; of two with the same key the later one holds."""
    merged = {**base, **over}
    for name, key in _KEYED.items():
        if base.get(name) and over.get(name):
            merged[name] = _merge_list(base[name], over[name], key)
    for name in _STRUCTURES:
        if base.get(name) and over.get(name):
            merged[name] = {**base[name], **over[name]}
    if base.get("TagSpecifications") and over.get("TagSpecifications"):
        merged["TagSpecifications"] = [*base["TagSpecifications"], *over["TagSpecifications"]]
    return merged


def _merge_list(base: list[dict[str, Any]], over: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    by_key = {each.get(key, 0): each for each in base}
    for each in over:
        below = by_key.get(each.get(key, 0), {})
        laid = {**below, **each}
        if below.get("Ebs") and each.get("Ebs"):
            laid["Ebs"] = {**below["Ebs"], **each["Ebs"]}
        by_key[each.get(key, 0)] = laid
    return list(by_key.values())


def contradiction(specification: Specification) -> ServiceError | None:
    """Give what EC2 says to interfaces beside what belongs into them; None when there is no such thing.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html (NetworkInterface.N)
    """
    beside = {
        "SubnetId": "subnet ID",
        "SecurityGroupIds": "security groups",
        "SecurityGroups": "security groups",
        "PrivateIpAddress": "private IP address",
    }
    what = next((text for name, text in beside.items() if specification.get(name)), "")
    if not what or not specification.get("NetworkInterfaces"):
        return None
    return conflicting(f"Network interfaces and an instance-level {what} may not be specified on the same request")


def override(base: Specification, override: dict[str, Any]) -> Specification:
    """Lay a fleet's override over a launch template: what is named the same, and the zone and the subnet.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetLaunchTemplateOverridesRequest.html
    """
    laid = dict(base)
    for name in _OVERRIDDEN:
        if name in override:
            laid = merge(laid, {name: override[name]})
    if override.get("SubnetId"):
        laid = in_subnet(laid, override["SubnetId"])
    placement = {**override.get("Placement", {})}
    if override.get("AvailabilityZone"):
        placement["AvailabilityZone"] = override["AvailabilityZone"]
    return merge(laid, {"Placement": placement}) if placement else laid


def in_subnet(base: Specification, subnet_id: str) -> Specification:
    """Put the machine in a subnet, which is that of its first interface when it has any."""
    if not base.get("NetworkInterfaces"):
        return {**base, "SubnetId": subnet_id}
    first, *others = base["NetworkInterfaces"]
    return {**base, "NetworkInterfaces": [{**first, "SubnetId": subnet_id}, *others]}


def check_tagged(specification: Specification, kinds: Collection[str]) -> None:
    """Refuse tags for what the call does not make."""
    for each in specification.get("TagSpecifications", []):
        kind = each.get("ResourceType", "")
        if kind not in kinds:
            raise invalid(f"'{kind}' is not a valid taggable resource type for this operation.")


def tags(specification: Specification, kind: str) -> dict[str, str]:
    """Give the tags for resources of a kind."""
    found: dict[str, str] = {}
    for each in specification.get("TagSpecifications", []):
        if each.get("ResourceType") == kind:
            found.update({tag["Key"]: tag.get("Value", "") for tag in each.get("Tags", [])})
    return checked_tags(found)


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """Give the tags if EC2 takes them all; its own, which begin with aws:, are not among them.

    Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions,
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Tag.html (the lengths)
    """
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ServiceError(
                "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"
            )
        if not 0 < len(key) <= 127 or len(value) > 256:
            raise ServiceError("InvalidParameterValue", f"Tag {key} exceeds the maximum length")
    if len(tags) > 50:
        raise ServiceError("TagLimitExceeded", "The maximum number of tags for a resource has been reached.")
    return tags


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Give tags as answers have them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
