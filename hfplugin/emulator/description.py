"""A machine as DescribeInstances shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.specification import as_list

if TYPE_CHECKING:
    from hfplugin.emulator.instances import Instance

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMetadataOptionsResponse.html
_METADATA_OPTIONS = {
    "State": "applied",
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": 1,
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


# What is alike for all machines, and what those show that have lost their network.
_ALIKE: dict[str, Any] = {
    "PrivateDnsName": "",
    "PublicDnsName": "",
    "SecurityGroups": [],
    "NetworkInterfaces": [],
    "RootDeviceType": "ebs",
    "VirtualizationType": "hvm",
    "Hypervisor": "xen",
    "EnaSupport": True,
}


def describe(instance: Instance) -> dict[str, Any]:
    """Give an Instance as botocore's model has it."""
    blueprint = instance.blueprint
    own = blueprint.specification
    reply = {
        **_ALIKE,
        "InstanceId": instance.instance_id,
        "ImageId": blueprint.image.image_id,
        "State": state(instance),
        "StateReason": _reason(instance),
        "StateTransitionReason": instance.transition,
        "KeyName": own.get("KeyName"),
        "AmiLaunchIndex": instance.index,
        "InstanceType": blueprint.machine_type,
        "LaunchTime": moment(instance.launched),
        "Placement": _placement(own, blueprint.zone),
        "Monitoring": {"State": "enabled" if own.get("Monitoring", {}).get("Enabled") else "disabled"},
        "Architecture": blueprint.image.architecture,
        "RootDeviceName": next((each["DeviceName"] for each in blueprint.image.volumes), ""),
        "BlockDeviceMappings": [_mapping(volume) for volume in instance.volumes if instance.state != "pending"],
        "EbsOptimized": bool(own.get("EbsOptimized")),
        "ClientToken": instance.client_token,
        "Tags": as_list(instance.tags),
        "IamInstanceProfile": blueprint.profile or None,
        "CpuOptions": _cpu_options(own, blueprint.machine_type),
        "CapacityReservationId": blueprint.reservation_id or None,
        "MetadataOptions": {**_METADATA_OPTIONS, **own.get("MetadataOptions", {})},
    }
    if blueprint.purchase == SPOT and instance.spot_request:
        reply |= {"InstanceLifecycle": "spot", "SpotInstanceRequestId": instance.spot_request.request_id}
    return reply | (_network(instance) if instance.has_network else {})


def _reason(instance: Instance) -> dict[str, str] | None:
    """Give the StateReason; a machine that runs has none."""
    if instance.reason.code:
        return {"Code": instance.reason.code, "Message": str(instance.reason)}
    return {"Code": "pending", "Message": "pending"} if instance.state == "pending" else None


def state(instance: Instance) -> dict[str, Any]:
    """Give an InstanceState."""
    return state_of(instance.state)


def state_of(name: str) -> dict[str, Any]:
    return {"Code": STATES[name], "Name": name}


def dns_name(instance: Instance) -> str:
    """Give the private DNS name, which us-east-1 forms in its own way.

    API_Instance.html says that it "is not available until the instance enters the running state"; the answer that
    the AWS CLI's documentation prints for run-instances has it for a pending machine, and so has this.

    Source: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html
    """
    region = instance.blueprint.region
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{instance.address.replace('.', '-')}.{domain}"


def _placement(own: dict[str, Any], zone: str) -> dict[str, Any]:
    asked = own.get("Placement", {})
    return {
        "AvailabilityZone": zone,
        "GroupName": asked.get("GroupName", ""),
        "Tenancy": asked.get("Tenancy", "default"),
    }


def _mapping(volume: Any) -> dict[str, Any]:
    return {
        "DeviceName": volume.device,
        "Ebs": {
            "VolumeId": volume.volume_id,
            "Status": "attached",
            "AttachTime": moment(volume.attached),
            "DeleteOnTermination": volume.settings["DeleteOnTermination"],
        },
    }


def _cpu_options(own: dict[str, Any], machine_type: str) -> dict[str, int]:
    described = catalogue.describe(machine_type)["VCpuInfo"]
    usual = {
        "CoreCount": described["DefaultCores"],
        "ThreadsPerCore": described.get("DefaultThreadsPerCore", 1),
    }
    return {**usual, **own.get("CpuOptions", {})}


def _network(instance: Instance) -> dict[str, Any]:
    blueprint = instance.blueprint
    name = dns_name(instance)
    reply = {
        "PrivateDnsName": name,
        "PrivateIpAddress": instance.address,
        "SubnetId": blueprint.subnet.subnet_id,
        "VpcId": blueprint.subnet.vpc_id,
        "SecurityGroups": blueprint.groups,
        "SourceDestCheck": True,
    }
    interfaces = blueprint.specification.get("NetworkInterfaces") or [{}]
    reply["NetworkInterfaces"] = [_interface(instance, each, number) for number, each in enumerate(interfaces)]
    public = public_address(instance)
    return reply | ({"PublicIpAddress": public, "PublicDnsName": _public_name(instance, public)} if public else {})


def _interface(instance: Instance, asked: dict[str, Any], number: int) -> dict[str, Any]:
    subnet = instance.blueprint.subnet
    return {
        "NetworkInterfaceId": f"{instance.interface_id[:-2]}{number:02x}" if number else instance.interface_id,
        "InterfaceType": asked.get("InterfaceType", "interface"),
        "SubnetId": subnet.subnet_id,
        "VpcId": subnet.vpc_id,
        "PrivateIpAddress": instance.address,
        "PrivateDnsName": dns_name(instance),
        "Groups": instance.blueprint.groups,
        "Status": "in-use",
        "Attachment": {
            "AttachTime": moment(instance.launched),
            "DeleteOnTermination": asked.get("DeleteOnTermination", True),
            "DeviceIndex": asked.get("DeviceIndex", number),
            "NetworkCardIndex": asked.get("NetworkCardIndex", 0),
            "Status": "attached",
        },
    }


def public_address(instance: Instance) -> str:
    """Give the public address of a machine that runs in a public subnet, or asked for one; else nothing."""
    asked: dict[str, Any] = next(iter(instance.blueprint.specification.get("NetworkInterfaces", [])), {})
    is_public = asked.get("AssociatePublicIpAddress", instance.blueprint.subnet.is_public)
    if not is_public or instance.state != "running":
        return ""
    return "54." + instance.address.split(".", 1)[1]


def _public_name(instance: Instance, address: str) -> str:
    region = instance.blueprint.region
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{address.replace('.', '-')}.{domain}.amazonaws.com"
