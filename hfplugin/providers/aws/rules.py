"""What of a template AWS would refuse, and what of it changes nothing: known from its keys alone.

Each sentence names the key and the remedy. What only AWS's models know is checked in `raw`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hfplugin.config import camel
from hfplugin.providers.aws import user_data

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# AWS reserves the prefix; our own tags would be overwritten.
RESERVED_TAG_PREFIXES = ("aws:", "hfplugin:")

# A role's ARN, or the path and name in it.
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_ROLE = re.compile(r"(?:arn:aws[a-z-]*:iam::\d{12}:role/|role/|/)?[\w+=,.@/-]*[\w+=,.@-]", re.ASCII)

# Keys for machines that are bought as spot, and for fleets and groups.
_FOR_SPOT = (
    "max_spot_price",
    "percent_on_demand",
    "on_demand_target_capacity_ratio",
    "on_demand_base_capacity",
    "vm_types_on_demand",
    "allocation_strategy",
    "pools_count",
)
_FOR_FLEETS = (
    "allocation_strategy",
    "allocation_strategy_on_demand",
    "vm_types_on_demand",
    "vm_types_priority",
    "percent_on_demand",
    "on_demand_target_capacity_ratio",
    "on_demand_base_capacity",
    "pools_count",
    "fleet_type",
)
_FOR_OPEN_FLEETS = ("spot_fleet_request_expiry", "request_validity")

# What an ec2FleetConfig says itself.
_IN_THE_FILE = (
    "vm_type",
    "vm_types",
    "vm_types_on_demand",
    "vm_types_priority",
    "subnet_id",
    "max_spot_price",
    "spot_price",
    "allocation_strategy",
    "allocation_strategy_on_demand",
    "pools_count",
)

_NO_EFFECT = {
    "priority": "HostFactory takes the templates in the order of the file",
    "ttl": "HostFactory decides when a machine is returned",
}


def fault(template: AWSTemplate) -> str:
    """Give the first thing for which the template could not be launched, empty when there is none."""
    return next(_faults(template), "")


def _faults(template: AWSTemplate) -> Iterator[str]:
    yield from _machine(template)
    yield from _service(template)
    if wrong := user_data.fault(template):
        yield wrong


def _machine(template: AWSTemplate) -> Iterator[str]:
    is_elsewhere = template.launch_template_id or template.ec2_fleet_config
    if not (template.image_id or is_elsewhere):
        yield "imageId is missing, and no launchTemplateId gives one"
    if not (template.machine_types or is_elsewhere or template.instance_requirements):
        yield "vmType is missing, and neither vmTypes nor launchTemplateId gives one"
    if template.launch_template_version and not template.launch_template_id:
        yield "launchTemplateVersion needs launchTemplateId"
    if template.iops and template.volume_type not in ("io1", "io2", "gp3"):
        yield "iops needs volumeType io1, io2 or gp3"
    for key in template.instance_tags:
        if key.startswith(RESERVED_TAG_PREFIXES):
            yield f"instanceTags: {key!r} begins with a reserved prefix: choose another key"
    yield from _requirements(template)
    if template.market_type and not template.capacity_reservation_id:
        yield "marketType capacity-block needs capacityReservationId: the id of the capacity block"


def _requirements(template: AWSTemplate) -> Iterator[str]:
    wanted = template.instance_requirements
    if not wanted:
        return
    for name in ("VCpuCount", "MemoryMiB"):
        amount = wanted.get(name)
        least = amount.get("Min") if isinstance(amount, dict) else None
        if not isinstance(least, int) or isinstance(least, bool) or least < 0:
            yield f"instanceRequirements.{name}.Min is missing or no number: AWS requires it"
    if template.machine_types or template.vm_types_on_demand:
        yield (
            "instanceRequirements and vmType, vmTypes or vmTypesOnDemand exclude each other: "
            "name types as its AllowedInstanceTypes, or take one out"
        )
    if template.ec2_fleet_config:
        yield "instanceRequirements belong into the file that ec2FleetConfig names"


def _service(template: AWSTemplate) -> Iterator[str]:
    service = template.service
    if template.ec2_fleet_config and service != "EC2Fleet":
        yield f"ec2FleetConfig is for EC2Fleet, not for {service}: take providerApi or ec2FleetConfig out"
    if template.market_type and service != "RunInstances":
        yield f"marketType capacity-block is for RunInstances, not for {service}: set providerApi RunInstances"
    if service == "RunInstances":
        yield from _one_call(template)
    if service == "SpotFleet" and not template.fleet_role:
        yield (
            "fleetRole is missing: name the role that Spot Fleet acts in, such as aws-ec2-spot-fleet-tagging-role "
            "(AWS's policy AmazonEC2SpotFleetTaggingRole) or the service-linked AWSServiceRoleForEC2SpotFleet; "
            "or set providerApi to EC2Fleet, which needs none"
        )
    elif service == "SpotFleet" and not _ROLE.fullmatch(template.fleet_role):
        yield f"fleetRole {template.fleet_role} is no role: give its name, its path and name, or its ARN"
    if service == "SpotFleet" and template.fleet_type == "instant":
        yield "fleetType instant is for EC2Fleet: set request or maintain, or providerApi to EC2Fleet"
    if service == "ASG" and template.allocation_strategy == "diversified":
        yield "allocationStrategy diversified is not for ASG: use priceCapacityOptimized or lowestPrice"


def _one_call(template: AWSTemplate) -> Iterator[str]:
    if template.instance_requirements:
        yield "instanceRequirements need a fleet or group: set providerApi to EC2Fleet, SpotFleet or ASG"
    if template.price_type == "heterogeneous":
        yield "priceType heterogeneous needs a fleet or group: set providerApi to EC2Fleet, SpotFleet or ASG"
    if template.market_type and template.is_spot:
        yield "marketType capacity-block and spot exclude each other: take priceType and spotPrice out"


def all_or_nothing_fault(template: AWSTemplate, kind: str, is_single: bool) -> str:
    """Say why a fleet cannot be had whole or not at all; empty when it can, also for RunInstances.

    `kind` is the fleet's type; `is_single`: it is of one machine type or in one zone.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotOptionsRequest.html: a least capacity
    is for instant fleets of a single type or in a single zone.
    """
    if template.service == "RunInstances":
        return ""
    if template.service != "EC2Fleet":
        return f"allOrNothing is not for {template.service}: set providerApi to EC2Fleet or RunInstances"
    if kind != "instant":
        return f"allOrNothing is not for fleets of type {kind}: set fleetType to instant"
    if not is_single:
        return "allOrNothing needs a single type or a single subnet: AWS has no least capacity for more"
    return ""


def without_effect(template: AWSTemplate) -> Iterator[str]:
    """Give a sentence for each key that is set and changes nothing."""
    reasons = dict(_NO_EFFECT)
    reasons |= dict(_idle_in_service(template))
    if template.capacity_reservation_id:
        reasons["capacity_reservation_preference"] = "capacityReservationId says more"
    for name in type(template).model_fields:
        if name in reasons and name in template.model_fields_set and getattr(template, name):
            yield f"{camel(name)} has no effect: {reasons[name]}"
    if template.interface_type == "interface":
        yield "interfaceType has no effect: only efa would have one"


def _idle_in_service(template: AWSTemplate) -> Iterator[tuple[str, str]]:
    service = template.service
    if service == "RunInstances":
        yield from ((name, "it is for fleets and groups, not for RunInstances") for name in _FOR_FLEETS)
    elif service == "ASG":
        yield "fleet_type", "it is for fleets, not for ASG"
    if service != "SpotFleet":
        yield "fleet_role", f"it is for SpotFleet, not for {service}"
    if service in ("RunInstances", "ASG") or (service == "EC2Fleet" and _is_instant(template)):
        yield from ((name, "it is for fleets of type request and maintain") for name in _FOR_OPEN_FLEETS)
    yield from _idle_in_purchase(template)


def _idle_in_purchase(template: AWSTemplate) -> Iterator[tuple[str, str]]:
    if template.ec2_fleet_config:
        yield from ((name, "the file that ec2FleetConfig names says it") for name in _IN_THE_FILE)
        return
    if template.is_spot:
        yield from _idle_as_spot(template)
    else:
        yield from ((name, "machines are bought on demand") for name in _FOR_SPOT)
        if template.vm_type:
            yield "vm_types", "on demand, vmType is taken"
    if template.instance_requirements:
        yield "vm_types_priority", "instanceRequirements name no types"


def _idle_as_spot(template: AWSTemplate) -> Iterator[tuple[str, str]]:
    if template.vm_types:
        yield "vm_type", "vmTypes is taken for spot"
    if template.percent_on_demand is not None:
        yield "on_demand_target_capacity_ratio", "percentOnDemand says it"
    if template.allocation_strategy != "lowestPrice":
        yield "pools_count", "it goes with allocationStrategy lowestPrice"
    if template.purchase != "spot":
        return
    yield "vm_types_on_demand", "nothing is sought on demand when spot gives less"
    if not (template.on_demand_share or template.on_demand_base_capacity):
        yield "allocation_strategy_on_demand", "every machine is bought as spot"
        if template.spot_strategy != "capacityOptimizedPrioritized":
            yield "vm_types_priority", "it goes with allocationStrategy capacityOptimizedPrioritized"


def _is_instant(template: AWSTemplate) -> bool:
    """An ec2FleetConfig may say another type, which is not known here."""
    return template.fleet_type in (None, "instant") and not template.ec2_fleet_config
