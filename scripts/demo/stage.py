"""The stage: what is in the cloud before, HostFactory's directories and the provider's files."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contract import Document

from hfplugin.emulator import CREDENTIALS, REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

PLUGIN = Path(__file__).resolve().parent.parent.parent
PROVIDER = "awsinst"
HOST = "management1"
VOLUME_SIZE = 20  # GiB; the image's own is another
USER_DATA = "#!/bin/bash\n# Here the machine would join the cluster.\n"

# The pool that is tried first; the templates name another zone too.
FIRST_POOL = f"{REGION}/m5.large/{REGION}a"

# HostFactory gives a script 300 s: too long to watch.
TIME_LIMIT = 60


class Network(NamedTuple):
    """What the templates name."""

    image: str
    subnets: list[str]
    group: str


class Cloud:
    """EC2 behind the plug-in's back: what an administrator prepares, what happens outside, what is there."""

    def __init__(self, emulator: Emulator) -> None:
        self._ec2 = emulator.ec2()
        self.emulator = emulator

    def prepare(self) -> Network:
        """Make an image, a subnet in each of two zones and a security group."""
        ec2 = self._ec2
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=REGION + zone)["Subnet"]["SubnetId"]
            for zone, cidr in (("a", "10.20.1.0/24"), ("b", "10.20.2.0/24"))
        ]
        group = ec2.create_security_group(GroupName="grid", Description="compute hosts", VpcId=vpc)["GroupId"]
        image = ec2.register_image(Name="grid", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
        return Network(image, subnets, group)

    def machines(self) -> list[InstanceTypeDef]:
        """Give every machine that EC2 shows, which is every one of the last hour."""
        pages = self._ec2.get_paginator("describe_instances").paginate()
        return [machine for page in pages for group in page["Reservations"] for machine in group["Instances"]]

    def terminated(self) -> set[str]:
        return {machine.id for machine in self.emulator.machines() if machine.state == "terminated"}

    def user_data(self, machine_id: str) -> str:
        answer = self._ec2.describe_instance_attribute(InstanceId=machine_id, Attribute="userData")
        return base64.b64decode(answer["UserData"].get("Value", "")).decode()

    def volume_sizes(self, machine_id: str) -> list[int]:
        """Give the sizes of the machine's volumes, in GiB."""
        volumes = self._ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [machine_id]}])
        return [volume["Size"] for volume in volumes["Volumes"]]


def provider_files(top: Path, endpoint: str, network: Network) -> dict[str, Document]:
    """Give the provider's two files in the form of IBM's AWS plug-in; one template has scalars for attributes."""
    config = {
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CREDENTIAL_FILE": str(top / "credentials"),
        "AWS_CONNECTION_TIMEOUT_MS": "10000",
        "AWS_INSTANCE_PENDING_TIMEOUT_SEC": "180",
    }
    numbers = {name: ["Numeric", value] for name, value in (("ncores", "1"), ("ncpus", "1"), ("nram", "8192"))}
    two_zones = {
        "templateId": "two-zones",
        "maxNumber": 10,
        "attributes": {"type": ["String", "X86_64"], **numbers},
        "priceType": "ondemand",
        "imageId": network.image,
        "subnetId": network.subnets,
        "securityGroupIds": [network.group],
        "vmType": "m5.large",
        "rootDeviceVolumeSize": VOLUME_SIZE,
        "instanceTags": "project=demo;owner=grid",
        "userDataScript": str(top / "user_data.sh"),
    }
    scalars = {
        "templateId": "scalars",
        "maxNumber": 5,
        "attributes": {"type": "X86_64", "ncores": 1, "ncpus": 2, "nram": 16384},
        "imageId": network.image,
        "subnetId": network.subnets[0],
        "securityGroupIds": network.group,
        "vmType": "m5.xlarge",
    }
    return {"config": config, "templates": {"templates": [two_zones, scalars]}}


def hostfactory_files() -> dict[str, Document]:
    """Give HostFactory's own files by their path below HF_CONFDIR."""
    provider = {
        "name": PROVIDER,
        "enabled": 1,
        "plugin": "aws",
        "confPath": f"${{HF_CONFDIR}}/providers/{PROVIDER}/",
        "workPath": f"${{HF_WORKDIR}}/providers/{PROVIDER}/",
        "logPath": "${HF_LOGDIR}/",
    }
    scripts = "${HF_TOP}/${HF_VERSION}/providerplugins/aws/scripts/"
    plugin = {"name": "aws", "enabled": 1, "scriptPath": scripts}
    return {
        "hostfactoryconf.json": {"HF_LOGLEVEL": "LOG_INFO", "HF_PROVIDER_ACTION_TIMEOUT": TIME_LIMIT},
        "providers/hostProviders.json": {"version": 2, "providers": [provider]},
        "providerplugins/hostProviderPlugins.json": {"version": 2, "providerplugins": [plugin]},
    }


def lay_out(top: Path, endpoint: str, network: Network) -> dict[str, str]:
    """Write HostFactory's directories; give the environment of its calls, which holds nothing of the caller's."""
    for name in ("home", "work", "log", "1.2/providerplugins"):
        (top / name).mkdir(parents=True)
    (top / "1.2/providerplugins/aws").symlink_to(PLUGIN)
    (top / "user_data.sh").write_text(USER_DATA)
    credentials = [f"{name.lower()} = {value}" for name, value in CREDENTIALS.items()]
    (top / "credentials").write_text("\n".join(["[default]", *credentials, ""]))
    provider = provider_files(top, endpoint, network)
    own = {f"providers/{PROVIDER}/{PROVIDER}prov_{what}.json": content for what, content in provider.items()}
    for path, content in {**hostfactory_files(), **own}.items():
        file = top / "conf" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=4))
    return {
        "PATH": os.defpath,
        "HOME": str(top / "home"),
        "HF_TOP": str(top),
        "HF_VERSION": "1.2",
        "HF_CONFDIR": str(top / "conf"),
        "HF_WORKDIR": str(top / "work"),
        "HF_LOGDIR": str(top / "log"),
        "HF_LOGLEVEL": "LOG_INFO",
        "EGOSC_INSTANCE_HOST": HOST,
    }
