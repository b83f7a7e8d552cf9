"""What moto holds below the emulator: networks, images, groups, keys, profiles, parameters, events, queues.

The one place that knows moto's backends from inside; pinned, because they are not moto's public interface.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from moto.core.base_backend import BackendDict
from moto.core.exceptions import ServiceException
from moto.core.model_instances import reset_model_data
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.events.models import events_backends
from moto.iam.models import get_account_id_from, iam_backends
from moto.ssm.models import ssm_backends
from moto.utilities.utils import get_partition

from hfplugin.emulator.errors import ServiceError, invalid, malformed

# The image that every region has from the start, and the one for Arm machines.
IMAGE_ID = "ami-0123456789abcdef0"
ARM_IMAGE_ID = "ami-0a164a164a164a164"
_IMAGES = {IMAGE_ID: "x86_64", ARM_IMAGE_ID: "arm64"}

# AWS keeps the first four addresses of a subnet and the last one.
_RESERVED_FIRST = 4

# The account of every key that STS did not make: moto's.
DEFAULT_ACCOUNT = "123456789012"

_PUBLIC_PARAMETERS = "/aws/service/"

_ID = re.compile(r"(ami|subnet|sg)-[0-9a-f]{8}(?:[0-9a-f]{9})?")

_MALFORMED = {
    "ami": "InvalidAMIID.Malformed",
    "subnet": "InvalidSubnetID.Malformed",
    "sg": "InvalidGroupId.Malformed",
}


class Image(NamedTuple):
    image_id: str
    architecture: str
    volumes: list[dict[str, Any]]


class Subnet(NamedTuple):
    subnet_id: str
    vpc_id: str
    zone: str
    is_public: bool


class _Addresses:
    """The addresses of a subnet: new ones in order, then those that were given back."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr, strict=False)
        self._network = network
        self._numbers = iter(range(_RESERVED_FIRST, network.num_addresses - 1))
        self._free: deque[str] = deque()

    def take(self) -> str:
        number = next(self._numbers, None)
        return self._free.popleft() if number is None else str(self._network[number])

    def give_back(self, address: str) -> None:
        self._free.append(address)


def account_of(access_key: str) -> str:
    """Give the account of an access key; keys that STS did not make are those of the default account."""
    account: str = get_account_id_from(access_key)
    return account


def reset() -> None:
    """Forget every resource of every service."""
    BackendDict.reset()
    reset_model_data()


def exists(region: str) -> bool:
    return region in ec2_backends[DEFAULT_ACCOUNT].regions


class Underneath:
    """One account's resources in one region."""

    def __init__(self, account: str, region: str) -> None:
        self.account = account
        self.region = region
        self._ec2: Any = ec2_backends[account][region]
        self._addresses: dict[str, _Addresses] = {}
        self._invented_images: set[str] = set()
        for image_id, architecture in _IMAGES.items():
            self.add_image(image_id, architecture)

    @property
    def zones(self) -> list[str]:
        return sorted(zone.name for zone in self._ec2.describe_availability_zones())

    def image(self, image_id: str) -> Image:
        _check_id(image_id, "ami")
        found = self._ec2.amis.get(image_id)
        if found is None:
            raise ServiceError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        return Image(image_id, found.architecture or "x86_64", found.block_device_mappings)

    def add_image(self, image_id: str, architecture: str = "x86_64") -> None:
        """Make a public image of this id, if there is none."""
        if image_id not in self._ec2.amis:
            self._ec2.amis[image_id] = Ami(
                self._ec2,
                image_id,
                name=f"emulated-{image_id}",
                owner_id="099720109477",
                public=True,
                virtualization_type="hvm",
                architecture=architecture,
                image_location=f"amazon/{image_id}",
                hypervisor="xen",
                root_device_name="/dev/xvda",
                root_device_type="ebs",
            )

    def subnet(self, subnet_id: str) -> Subnet:
        found = self._found_subnet(subnet_id)
        return Subnet(
            found.id, found.vpc_id, found.availability_zone, str(found.map_public_ip_on_launch).lower() == "true"
        )

    def zone_of(self, subnet_id: str) -> str:
        """Give a subnet's zone; empty when there is no such subnet."""
        return next((zone for zone, subnets in self._ec2.subnets.items() if subnet_id in subnets), "")

    def _found_subnet(self, subnet_id: str) -> Any:
        _check_id(subnet_id, "subnet")
        for subnets in self._ec2.subnets.values():
            if subnet_id in subnets:
                return subnets[subnet_id]
        raise ServiceError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")

    def default_subnet(self, zone: str) -> Subnet | None:
        for subnet in self._ec2.subnets.get(zone, {}).values():
            if subnet.default_for_az:
                return self.subnet(subnet.id)
        return None

    def free_addresses(self, subnet_id: str) -> int:
        """Count the addresses that the subnet can still give."""
        count: int = self._found_subnet(subnet_id)._available_ip_addresses
        return count

    def count_addresses(self, subnet_id: str, count: int) -> None:
        """Count addresses as taken; negative: as free again. DescribeSubnets shows it."""
        self._found_subnet(subnet_id)._available_ip_addresses -= count

    def take_address(self, subnet_id: str) -> str:
        """Give a free address of the subnet; the caller has counted it, so there is one."""
        subnet = self._found_subnet(subnet_id)
        addresses = self._addresses.setdefault(subnet_id, _Addresses(subnet.cidr_block))
        return addresses.take()

    def free_address(self, subnet_id: str, address: str) -> None:
        self._addresses[subnet_id].give_back(address)

    def groups(self, subnet: Subnet, group_ids: Iterable[str]) -> list[dict[str, str]]:
        """Give security groups as a machine shows them; none asked for: the network's default one."""
        known = self._ec2.groups.get(subnet.vpc_id, {})
        ids = list(group_ids) or [group.id for group in known.values() if group.name == "default"]
        self._check_groups(ids)
        for group_id in ids:
            if group_id not in known:
                text = f"Security group {group_id} and subnet {subnet.subnet_id} belong to different networks."
                raise ServiceError("InvalidParameter", text)
        return [{"GroupId": group_id, "GroupName": known[group_id].name} for group_id in ids]

    def _check_groups(self, group_ids: list[str]) -> None:
        """Refuse groups that are in no network."""
        for group_id in group_ids:
            _check_id(group_id, "sg")
        every = {group_id for groups in self._ec2.groups.values() for group_id in groups}
        unknown = [f"'{group_id}'" for group_id in group_ids if group_id not in every]
        if unknown:
            plural = len(unknown) > 1
            text = f"The security group{'s' if plural else ''} {', '.join(unknown)}"
            raise ServiceError("InvalidGroup.NotFound", f"{text} {'do' if plural else 'does'} not exist")

    def group_id(self, name: str, vpc_id: str) -> str:
        for group in self._ec2.groups.get(vpc_id, {}).values():
            if group.name == name:
                return str(group.id)
        raise ServiceError(
            "InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc_id}'"
        )

    def require_key(self, name: str) -> None:
        if name not in self._ec2.key_pairs:
            raise ServiceError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")

    def profile_arn(self, profile: dict[str, str]) -> tuple[str, str]:
        """Give an instance profile's ARN and id."""
        iam: Any = iam_backends[self.account][get_partition(self.region)]
        for found in iam.get_instance_profiles():
            if profile.get("Name") == found.name or profile.get("Arn") == found.arn:
                return found.arn, found.id
        kind, value = ("ARN", profile["Arn"]) if profile.get("Arn") else ("name", profile.get("Name"))
        what = f"Value ({value}) for parameter iamInstanceProfile.{kind.lower()} is invalid."
        raise invalid(f"{what} Invalid IAM Instance Profile {kind}")

    def parameter(self, reference: str) -> str:
        """Give what `resolve:ssm:NAME[:VERSION or LABEL]` stands for."""
        name = reference.removeprefix("resolve:ssm:")
        found = ssm_backends[self.account][self.region].get_parameter(name)
        if found is None:
            raise invalid(f"Unable to get a parameter value for {reference}")
        value = str(found.value)
        if name.startswith(_PUBLIC_PARAMETERS):
            self.add_image(value, "arm64" if "arm64" in name else "x86_64")
        return value

    def tag(self, resource_id: str, tags: dict[str, str], gone: Iterable[str]) -> None:
        """Change the tags of a resource of moto's."""
        self._ec2.create_tags([resource_id], tags)
        self._ec2.delete_tag_keys([resource_id], list(gone))

    def tags(self) -> list[dict[str, str]]:
        """Give the tags of every resource of moto's, as DescribeTags has them."""
        return [
            {
                "ResourceType": row["resource_type"],
                "ResourceId": row["resource_id"],
                "Key": row["key"],
                "Value": row["value"],
            }
            for row in self._ec2.describe_tags()
        ]

    @property
    def has_rules(self) -> bool:
        """Whether any rule waits on the default event bus."""
        return bool(self._rules())

    def _rules(self) -> list[Any]:
        bus: Any = events_backends[self.account][self.region].describe_event_bus("default")
        return [rule for rule in bus.rules.values() if rule.state == "ENABLED"]

    def put_event(
        self, source: str, kind: str, resources: list[str], detail: dict[str, Any], when: datetime
    ) -> None:
        """Give an event to the rules that are there.

        Not by moto's own PutEvents, which leaves out the account. A target that is gone gets nothing, and nobody
        hears of it, as with EventBridge.
        """
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": self.account,
            "time": when.timestamp(),  # moto writes it out
            "region": self.region,
            "resources": resources,
            "detail": detail,
        }
        for rule in self._rules():
            is_shaped = any("InputTransformer" in target for target in rule.targets)
            with suppress(ServiceException):
                more = {"ingestion-time": when.timestamp()} if is_shaped else {}
                rule.send_to_targets({**event, **more}, transform_input=is_shaped)

    def invent(self, values: Iterable[str]) -> None:
        """Make up the images, subnets and security groups that are named and do not exist."""
        for value in values:
            match = _ID.fullmatch(value)
            if match:
                getattr(self, f"_invent_{match[1]}")(value)

    def _invent_ami(self, image_id: str) -> None:
        if image_id not in self._ec2.amis:
            self.add_image(image_id)
            self._invented_images.add(image_id)

    def suit_image(self, image_id: str, architectures: Sequence[str]) -> None:
        """Let an image that was made up be for machines of these architectures."""
        if image_id in self._invented_images and self._ec2.amis[image_id].architecture not in architectures:
            self._ec2.amis[image_id].architecture = architectures[0]

    def _invent_subnet(self, subnet_id: str) -> None:
        """Make a subnet of the default network, in the zone that has the fewest."""
        by_zone = {zone: self._ec2.subnets.get(zone, {}) for zone in self.zones}
        if any(subnet_id in subnets for subnets in by_zone.values()):
            return
        count = sum(len(subnets) for subnets in by_zone.values())
        zone = min(by_zone, key=lambda each: len(by_zone[each]))
        vpc = self._ec2.get_default_vpc()
        cidr = f"10.{count}.0.0/16"  # each as large as AWS allows, so that it holds whatever is rehearsed
        vpc.associate_vpc_cidr_block(cidr)
        made = self._ec2.create_subnet(vpc.id, cidr, availability_zone=zone)
        subnets = self._ec2.subnets[zone]
        subnets[subnet_id] = subnets.pop(made.id)
        made.id = subnet_id

    def _invent_sg(self, group_id: str) -> None:
        groups = self._ec2.groups[self._ec2.get_default_vpc().id]
        if group_id not in groups:
            made = self._ec2.create_security_group(group_id, "made up", vpc_id=self._ec2.get_default_vpc().id)
            groups[group_id] = groups.pop(made.id)
            made.id = group_id

    def invent_key(self, name: str) -> None:
        if name and name not in self._ec2.key_pairs:
            self._ec2.create_key_pair(name, "ed25519", {})

    def invent_profile(self, profile: dict[str, str]) -> None:
        iam: Any = iam_backends[self.account][get_partition(self.region)]
        name = profile.get("Name") or profile.get("Arn", "").rpartition("/")[2]
        if name and all(found.name != name for found in iam.get_instance_profiles()):
            iam.create_instance_profile(name, "/", role_names=[])


def _check_id(text: str, prefix: str) -> None:
    match = _ID.fullmatch(text)
    if match is None or match[1] != prefix:
        raise malformed(_MALFORMED[prefix], text, prefix)
