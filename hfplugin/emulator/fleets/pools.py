"""The pools that a fleet's configuration offers: every machine type in every zone that its lines name.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetLaunchTemplateOverridesRequest.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotFleetLaunchSpecification.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue, requirements
from hfplugin.emulator.allocation import Pool
from hfplugin.emulator.blueprint import Blueprint, draw
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.specification import Specification, merge, of_template, override

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_TAGGED = ("instance", "volume", "spot-instances-request", "network-interface")

# What one machine counts for, by TargetCapacityUnitType.
_UNITS = {
    "vcpu": lambda name: float(catalogue.vcpus(name)),
    "memory-mib": lambda name: float(catalogue.memory(name)),
    "units": lambda name: 1.0,
}


@dataclass(frozen=True)
class Line:
    """One line of a fleet's configuration: a launch template or a specification, and what is laid over it.

    The override is in EC2 Fleet's words. SubnetId and AvailabilityZone may be lists with commas.
    """

    number: int
    override: dict[str, Any]
    # How the launch template is named; empty: the specification stands for itself.
    template: dict[str, str] = field(default_factory=dict)
    specification: Specification = field(default_factory=dict)
    # What the call itself says for every line, such as tags.
    over: Specification = field(default_factory=dict)
    unit: str = "units"

    def base(self, region: Region) -> Specification:
        """Give what the override is laid over; launch templates are read anew at each launch."""
        base = of_template(region, self.template) if self.template else self.specification
        return merge(base, self.over)

    @property
    def max_price(self) -> float | None:
        price = self.override.get("MaxPrice")
        return float(price) if price else None

    @property
    def subnets(self) -> list[str]:
        return _split(self.override.get("SubnetId", ""))

    @property
    def zones(self) -> list[str]:
        named = self.override.get("AvailabilityZone") or self.override.get("Placement", {}).get("AvailabilityZone")
        return _split(named or "")

    def is_by_requirements(self, laid: Specification) -> bool:
        """Whether the types are chosen by attributes: the override's word goes before the template's."""
        return bool(laid.get("InstanceRequirements")) and "InstanceType" not in self.override

    def places(self) -> Iterator[dict[str, Any]]:
        """Give the override once for each subnet or zone that it names, or as it is when it names none."""
        own = {
            name: value for name, value in self.override.items() if name not in ("SubnetId", "AvailabilityZone")
        }
        placement = {key: value for key, value in own.pop("Placement", {}).items() if key != "AvailabilityZone"}
        if placement:
            own["Placement"] = placement
        for subnet in self.subnets or [""]:
            for zone in self.zones or [""]:
                place = {"SubnetId": subnet, "AvailabilityZone": zone}
                yield own | {name: value for name, value in place.items() if value}


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


@dataclass
class Offer:
    """What a configuration offers at a moment: its pools, and the lines that cannot be launched at all."""

    pools: list[Pool] = field(default_factory=list)
    faults: list[tuple[Line, ServiceError]] = field(default_factory=list)


def line_of(pool: Pool) -> Line:
    """Give the line that a pool comes from."""
    line: Line = pool.origin["line"]
    return line


def offered(region: Region, lines: Sequence[Line]) -> Offer:
    """Give the pools of the lines, on demand; `Pool.blueprint.max_price` is what spot may cost."""
    offer = Offer()
    for line in lines:
        try:
            offer.pools += _pools(region, line)
        except ServiceError as error:
            offer.faults.append((line, error))
    return offer


def _pools(region: Region, line: Line) -> list[Pool]:
    """Give a line's pools; of a line without a place, those that there are, if there is any."""
    pools = _every_pool(region, line)
    if line.subnets or line.zones:
        return pools
    return [each for each in pools if region.settings.offers(each.blueprint.pool)] or pools


def _every_pool(region: Region, line: Line) -> list[Pool]:
    base = line.base(region)
    return [
        Pool(
            blueprint=blueprint.bought(blueprint.purchase, line.max_price),
            weight=line.override.get("WeightedCapacity") or _UNITS[line.unit](blueprint.machine_type),
            priority=line.override.get("Priority", math.inf),
            origin={"line": line},
        )
        for place in line.places()
        for blueprint in _blueprints(region, override(base, place), line)
    ]


def _blueprints(region: Region, specification: Specification, line: Line) -> Iterator[Blueprint]:
    types = _types(region, specification, line)
    for each in types:
        _check_type(each, line)
    drawn = draw(region, {**specification, "InstanceType": types[0]} if types else specification)
    for blueprint in drawn:
        for kind in _TAGGED:
            blueprint.tags(kind)
        for each in types or [blueprint.machine_type]:
            own = {**blueprint.specification, "InstanceType": each}
            yield replace(blueprint, machine_type=each, specification=own)


def _types(region: Region, specification: Specification, line: Line) -> list[str]:
    """Give the machine types of a line: the one that it names, or all that meet its requirements."""
    if not line.is_by_requirements(specification):
        return [specification["InstanceType"]] if specification.get("InstanceType") else []
    wanted = specification["InstanceRequirements"]
    image = region.moto.image(region.resolved(specification.get("ImageId", "")))
    found = requirements.matching(wanted, [image.architecture])
    if not found:
        raise ServiceError("InvalidFleetConfiguration", "No instance type meets the specified requirements.")
    return found


def _check_type(machine_type: str, line: Line) -> None:
    """Refuse an unknown type as fleets do: like one that a zone does not have, which was seen, not documented."""
    if not catalogue.exists(machine_type):
        raise unsupported(machine_type, ", ".join(line.zones or line.subnets))


def unsupported(machine_type: str, zone: str) -> ServiceError:
    return ServiceError(
        "InvalidFleetConfiguration",
        f"Your requested instance type ({machine_type}) is not supported in your requested Availability Zone "
        f"({zone}).",
    )


def named_pools(region: Region, line: Line) -> Iterator[tuple[str, str]]:
    """Give the pools that a line names, by type and zone. Without a place the zone is empty."""
    base = line.base(region)
    for place in line.places():
        laid = override(base, place)
        if not line.is_by_requirements(laid):
            yield laid.get("InstanceType", ""), _zone(region, laid)


def _zone(region: Region, specification: Specification) -> str:
    interfaces = specification.get("NetworkInterfaces", [])
    subnet_id = specification.get("SubnetId") or next((each.get("SubnetId", "") for each in interfaces), "")
    zone: str = specification.get("Placement", {}).get("AvailabilityZone", "")
    if not subnet_id:
        return zone
    if region.settings.invents:
        region.moto.invent([subnet_id])
    try:
        return region.moto.subnet(subnet_id).zone
    except ServiceError:
        return str(subnet_id)
