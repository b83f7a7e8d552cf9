"""A specification that was checked: just what will be launched, and where."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hfplugin.emulator import catalogue
from hfplugin.emulator.errors import ServiceError, conflicting, invalid, missing
from hfplugin.emulator.market import market
from hfplugin.emulator.specification import Specification, contradiction, tags
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
    # Of spot: one-time or persistent, and what an interruption does.
    request_type: str = "one-time"
    interruption: str = "terminate"

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
    if contradicts := contradiction(specification):
        raise contradicts
    machine_type = specification.get("InstanceType") or _DEFAULT_TYPE
    image = _image(region, specification, machine_type)
    _check_type(machine_type, image)
    if specification.get("KeyName"):
        region.moto.require_key(specification["KeyName"])
    check_user_data(specification.get("UserData", ""), "InvalidParameterValue")
    bought = market(specification.get("InstanceMarketOptions", {}))
    region.placement_groups.of(specification)
    return [
        Blueprint(
            region=region.name,
            machine_type=machine_type,
            subnet=subnet,
            image=image,
            purchase=bought.purchase,
            specification=specification,
            groups=_groups(region, specification, subnet),
            profile=_profile(region, specification),
            max_price=bought.max_price,
            reservation_id=_reservation(region, specification),
            request_type=bought.request_type,
            interruption=bought.interruption,
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


def _image(region: Region, specification: Specification, machine_type: str) -> Image:
    named = specification.get("ImageId")
    if not named:
        raise missing("ImageId")
    image_id = region.resolved(named)
    if region.settings.invents and catalogue.exists(machine_type):
        region.moto.suit_image(image_id, catalogue.architectures(machine_type))
    return region.moto.image(image_id)


def _subnets(region: Region, specification: Specification) -> list[Subnet]:
    interfaces = specification.get("NetworkInterfaces", [])
    subnet_id = specification.get("SubnetId") or next(
        (each["SubnetId"] for each in interfaces if each.get("SubnetId")), None
    )
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
    if specification.get("SecurityGroups") and specification.get("SubnetId"):
        raise conflicting("The parameter groupName cannot be used with the parameter subnet")
    interfaces = specification.get("NetworkInterfaces", [])
    ids = list(specification.get("SecurityGroupIds", []))
    ids += [region.moto.group_id(name, subnet.vpc_id) for name in specification.get("SecurityGroups", [])]
    ids += [group for each in interfaces for group in each.get("Groups", [])]
    return region.moto.groups(subnet, dict.fromkeys(ids))


def _profile(region: Region, specification: Specification) -> dict[str, str]:
    wanted = specification.get("IamInstanceProfile")
    if not wanted:
        return {}
    arn, profile_id = region.moto.profile_arn(wanted)
    return {"Arn": arn, "Id": profile_id}


def _reservation(region: Region, specification: Specification) -> str:
    target = specification.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
    reservation_id: str = target.get("CapacityReservationId", "")
    if reservation_id:
        region.reservations.require(reservation_id)
    return reservation_id


def _check_type(machine_type: str, image: Image) -> None:
    if not catalogue.exists(machine_type):
        raise invalid(f"Invalid value '{machine_type}' for InstanceType.")
    architectures = catalogue.architectures(machine_type)
    if image.architecture not in architectures:
        raise invalid(
            f"The architecture '{', '.join(architectures)}' of the specified instance type does not match the "
            f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
            "have matching architectures, and try again. You can use 'describe-instance-types' or "
            "'describe-images' to discover the architecture of the instance type or AMI."
        )


def check_user_data(encoded: str, code: str) -> None:
    """Refuse user data that is too much, or not in Base64, with the code of whoever was given it."""
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise ServiceError(code, "Invalid BASE64 encoding of user data") from error
    if size > _USER_DATA_BYTES:
        raise ServiceError(code, f"User data is limited to {_USER_DATA_BYTES} bytes")
