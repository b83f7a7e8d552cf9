"""A specification that was checked: just what will be launched, and where."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.errors import ServiceError, conflicting, invalid, missing
from hfplugin.emulator.specification import Specification, tags
from hfplugin.emulator.underneath import Image, Subnet

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_USER_DATA_BYTES = 16 * 1024

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-types.html: what is launched when no type is said.
_DEFAULT_TYPE = "m1.small"


@dataclass(frozen=True)
class Blueprint:
    """One kind of machine in one subnet."""

    region: str
    machine_type: str
    subnet: Subnet
    image: Image
    purchase: str
    specification: Specification
    groups: list[dict[str, str]]
    profile: dict[str, str] = field(default_factory=dict)
    max_price: float | None = None
    reservation_id: str = ""

    @property
    def zone(self) -> str:
        return self.subnet.zone

    @property
    def pool(self) -> str:
        """The name of the pool that it is taken from; see Settings."""
        return f"{self.region}/{self.machine_type}/{self.zone}"

    def tags(self, kind: str) -> dict[str, str]:
        return tags(self.specification, kind)

    def bought(self, purchase: str, max_price: float | None = None) -> Blueprint:
        """Give the same machine under another purchase type."""
        return replace(self, purchase=purchase, max_price=max_price)


def draw(region: Region, specification: Specification) -> list[Blueprint]:
    """Check a specification and give a blueprint for each zone in which it can be launched.

    There is one when a subnet or a zone is named, else one for each default subnet. Raises ServiceError as
    RunInstances does.
    """
    if region.settings.invents:
        _invent(region, specification)
    image = _image(region, specification)
    machine_type = specification.get("InstanceType") or _DEFAULT_TYPE
    if image.architecture not in catalogue.architectures(machine_type):
        raise invalid(
            f"The architecture '{image.architecture}' of the specified instance type does not match the architecture "
            f"'{', '.join(catalogue.architectures(machine_type))}' of the specified AMI. Specify an instance type and "
            "an AMI that have matching architectures, and try again."
        )
    if specification.get("KeyName"):
        region.moto.require_key(specification["KeyName"])
    _check_user_data(specification.get("UserData", ""))
    purchase, max_price = _market(specification)
    return [
        Blueprint(
            region=region.name,
            machine_type=machine_type,
            subnet=subnet,
            image=image,
            purchase=purchase,
            specification=specification,
            groups=_groups(region, specification, subnet),
            profile=_profile(region, specification),
            max_price=max_price,
            reservation_id=_reservation(region, specification),
        )
        for subnet in _subnets(region, specification)
    ]


def _invent(region: Region, specification: Specification) -> None:
    interfaces = specification.get("NetworkInterfaces", [])
    named = [specification.get("ImageId", ""), specification.get("SubnetId", "")]
    named += specification.get("SecurityGroupIds", [])
    named += [value for each in interfaces for value in (each.get("SubnetId", ""), *each.get("Groups", []))]
    region.moto.invent(named)
    region.moto.invent_key(specification.get("KeyName", ""))
    region.moto.invent_profile(specification.get("IamInstanceProfile", {}))
    group = specification.get("Placement", {}).get("GroupName")
    if group:
        region.placement_groups.invent(group)


def _image(region: Region, specification: Specification) -> Image:
    image_id = specification.get("ImageId")
    if not image_id:
        raise missing("ImageId")
    return region.moto.image(region.resolved(image_id))


def _subnets(region: Region, specification: Specification) -> list[Subnet]:
    interfaces = specification.get("NetworkInterfaces", [])
    subnet_id = specification.get("SubnetId")
    if interfaces and (subnet_id or specification.get("SecurityGroupIds") or specification.get("SecurityGroups")):
        what = "subnet ID" if subnet_id else "security groups"
        raise conflicting(
            f"Network interfaces and an instance-level {what} may not be specified on the same request"
        )
    subnet_id = subnet_id or next((each["SubnetId"] for each in interfaces if each.get("SubnetId")), None)
    zone = specification.get("Placement", {}).get("AvailabilityZone")
    if subnet_id:
        subnet = region.moto.subnet(subnet_id)
        if zone and zone != subnet.zone:
            raise invalid(f"The subnet '{subnet_id}' is in the Availability Zone {subnet.zone}, not {zone}")
        return [subnet]
    if zone and zone not in region.moto.zones:
        raise invalid(f"Invalid availability zone: [{zone}]")
    zones = [zone] if zone else region.moto.zones
    found = [each for each in map(region.moto.default_subnet, zones) if each is not None]
    if not found:
        raise ServiceError("VPCIdNotSpecified", "No default VPC for this user.")
    return found


def _groups(region: Region, specification: Specification, subnet: Subnet) -> list[dict[str, str]]:
    interfaces = specification.get("NetworkInterfaces", [])
    ids = list(specification.get("SecurityGroupIds", []))
    ids += [region.moto.group_id(name, subnet.vpc_id) for name in specification.get("SecurityGroups", [])]
    ids += [group for each in interfaces for group in each.get("Groups", [])]
    return region.moto.groups(subnet.vpc_id, dict.fromkeys(ids))


def _profile(region: Region, specification: Specification) -> dict[str, str]:
    wanted = specification.get("IamInstanceProfile")
    if not wanted:
        return {}
    arn, profile_id = region.moto.profile_arn(wanted)
    return {"Arn": arn, "Id": profile_id}


def _market(specification: Specification) -> tuple[str, float | None]:
    market: dict[str, Any] = specification.get("InstanceMarketOptions", {})
    if market.get("MarketType") != "spot":
        return ON_DEMAND, None
    price = market.get("SpotOptions", {}).get("MaxPrice")
    return SPOT, float(price) if price else None


def _reservation(region: Region, specification: Specification) -> str:
    target = specification.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
    reservation_id: str = target.get("CapacityReservationId", "")
    if reservation_id:
        region.reservations.require(reservation_id)
    group = specification.get("Placement", {}).get("GroupName")
    if group:
        region.placement_groups.require(group)
    return reservation_id


def _check_user_data(encoded: str) -> None:
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise invalid("Invalid BASE64 encoding of user data") from error
    if size > _USER_DATA_BYTES:
        raise invalid("User data is limited to 16384 bytes")
