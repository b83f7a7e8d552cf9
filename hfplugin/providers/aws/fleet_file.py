"""The file that ec2FleetConfig names: a whole CreateFleet call in LSF's form, with places for the target.

It says where and what, and hfplugin how many: amounts, tags and what keeps machines alive are ours.
Source of the placeholders: IBM's reference of awsprov_templates.json for LSF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.config import camel
from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws import parameters, purchase, raw, rules
from hfplugin.providers.aws.purchase import Split

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

OPERATION = "CreateFleet"

# With quotes or without, as files in the field have them.
_PLACEHOLDER = re.compile(r'"?\$LSF_(TOTAL|ONDEMAND|SPOT)_TARGET_CAPACITY"?')

# What of the target hfplugin says; what else the file says of it stays.
_AMOUNTS = ("TotalTargetCapacity", "OnDemandTargetCapacity", "SpotTargetCapacity")

_NAMES = ("LaunchTemplateId", "LaunchTemplateName")


class FleetFile(NamedTuple):
    """A file's content in AWS's spelling, without amounts. `share` of the target is on demand, unless unsaid."""

    path: str
    content: dict[str, Any]
    share: float | None

    @property
    def configurations(self) -> list[dict[str, Any]]:
        return list(self.content["LaunchTemplateConfigs"])

    @property
    def overrides(self) -> list[dict[str, Any]]:
        return [each for part in self.configurations for each in part.get("Overrides", ())]

    @property
    def machine_types(self) -> dict[str, int]:
        """Each instance type with its weight, as for a template's own."""
        return {
            each["InstanceType"]: int(each.get("WeightedCapacity", 1))
            for each in self.overrides
            if "InstanceType" in each
        }

    @property
    def is_one_type(self) -> bool:
        """True also when only the launch template says the type."""
        types = {each.get("InstanceType") for each in self.overrides}
        return len(types) <= 1 and not any("InstanceRequirements" in each for each in self.overrides)

    def kind(self, template: AWSTemplate) -> str:
        return str(self.content.get("Type") or template.fleet_type or "instant")


def read(template: AWSTemplate) -> FleetFile:
    """Read and check a template's file. ConfigurationError names the file, the path inside it and the fault."""
    path = template.ec2_fleet_config
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"ec2FleetConfig {path} cannot be read: {reason}") from error
    try:
        content = json.loads(_PLACEHOLDER.sub("null", text))
    except ValueError as error:
        raise ConfigurationError(f"ec2FleetConfig {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"ec2FleetConfig {path} has to be a JSON object: the parameters of CreateFleet")
    found = _checked(path, parameters.spelled(content, parameters.shape(OPERATION)))
    wrong = _counting(found, template)
    if wrong:
        raise ConfigurationError(f"ec2FleetConfig {path}: {wrong}")
    return found


def _checked(path: str, content: dict[str, Any]) -> FleetFile:
    """Check the content by AWS's model with amounts in it, and take them out."""
    target = content.get("TargetCapacitySpecification", {})
    with_amounts = {**content, "TargetCapacitySpecification": {"TotalTargetCapacity": 1, **target}}
    own = {name: value for name, value in content.items() if name not in ("Type", "TargetCapacitySpecification")}
    wrong = parameters.faults(with_amounts, parameters.shape(OPERATION)) or "; ".join(raw.refused(OPERATION, own))
    if wrong:
        raise ConfigurationError(f"ec2FleetConfig {path}: {wrong}")
    total, on_demand = target.get("TotalTargetCapacity"), target.get("OnDemandTargetCapacity")
    share = on_demand / total if total and on_demand is not None else None
    rest = {name: value for name, value in target.items() if name not in _AMOUNTS}
    return FleetFile(path, {**content, "TargetCapacitySpecification": rest}, share)


def _counting(file: FleetFile, template: AWSTemplate) -> str:
    """Say what keeps hfplugin from counting the machines, or from knowing what they are."""
    kind = file.content.get("Type")
    if template.fleet_type and kind not in (None, template.fleet_type):
        return f"Type is {kind}, but fleetType {template.fleet_type}: take one of the two out"
    if file.content["TargetCapacitySpecification"].get("TargetCapacityUnitType", "units") != "units":
        return "TargetCapacitySpecification.TargetCapacityUnitType has to be units: HostFactory asks for these"
    for number, part in enumerate(file.configurations):
        has_own = any(name in part.get("LaunchTemplateSpecification", {}) for name in _NAMES)
        if not (has_own or template.image_id or template.launch_template_id):
            return (
                f"LaunchTemplateConfigs[{number}] has no LaunchTemplateSpecification with an id or name: "
                "name one, or set the template's launchTemplateId or imageId"
            )
    return _weighing(file)


def _weighing(file: FleetFile) -> str:
    weights = file.machine_types
    for each in file.overrides:
        name, weight = each.get("InstanceType"), each.get("WeightedCapacity", 1)
        if weight != int(weight) or weight < 1:
            return f"WeightedCapacity {weight} of {name} has to be a whole number above 0"
        if name and weights[name] != weight:
            return f"{name} has weights {weights[name]} and {weight}: give a type one weight"
        if not name and weight != 1:
            return "WeightedCapacity without InstanceType: nobody could count its machines"
    return ""


def all_or_nothing_fault(file: FleetFile, template: AWSTemplate) -> str:
    """Say why the fleet cannot be had whole or not at all; empty when it can."""
    zones = {each.get("SubnetId") or each.get("AvailabilityZone") for each in file.overrides}
    is_one_zone = len(zones) == 1 and None not in zones
    return rules.all_or_nothing_fault(template, file.kind(template), file.is_one_type or is_one_zone)


def without_effect(file: FleetFile, template: AWSTemplate) -> Iterator[str]:
    """Give a sentence for each key of the template that the file says itself, or has no use for."""
    reasons: dict[str, str] = {}
    named = (part.get("LaunchTemplateSpecification", {}) for part in file.configurations)
    if all(any(each.get(name) for name in _NAMES) for each in named):
        why = "the file that ec2FleetConfig names has launch templates of its own"
        reasons |= dict.fromkeys(("launch_template_id", "launch_template_version"), why)
    if file.kind(template) == "instant":
        why = "the fleet of the file that ec2FleetConfig names is instant"
        reasons |= dict.fromkeys(("spot_fleet_request_expiry", "request_validity"), why)
    if split(file, template, 100, 0).spot == 0:
        reasons["on_demand_base_capacity"] = "machines are bought on demand"
    for name, reason in reasons.items():
        if name in template.model_fields_set and getattr(template, name):
            yield f"{camel(name)} has no effect: {reason}"


def template_of(template: AWSTemplate, configuration: dict[str, Any], file: FleetFile) -> AWSTemplate:
    """Give the template with the file's types and a configuration's launch template in place of its own."""
    named = configuration.get("LaunchTemplateSpecification", {})
    name = next((named[key] for key in _NAMES if named.get(key)), "")
    own = {"launch_template_id": name, "launch_template_version": named.get("Version", "")} if name else {}
    return template.model_copy(update={"vm_type": [], "vm_types": file.machine_types, **own})


def split(file: FleetFile, template: AWSTemplate, units: int, base: int) -> Split:
    """Part the units: as the template says, else the file's own amounts, else all of the file's default type."""
    if template.percent_on_demand is not None or template.on_demand_target_capacity_ratio is not None:
        return purchase.part(units, base, template.on_demand_share)
    if file.share is not None:
        return purchase.part(units, base, min(1.0, file.share))
    default = "spot" if template.is_spot else "on-demand"
    chosen = file.content["TargetCapacitySpecification"].get("DefaultTargetCapacityType", default)
    return purchase.part(units, base, 0.0 if chosen == "spot" else 1.0)
