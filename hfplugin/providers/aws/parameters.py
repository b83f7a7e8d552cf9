"""What AWS's create calls take, by botocore's own service models: how members are spelled, and what is wrong.

Reads the full model of a service, which takes a tenth of a second: only what a template says in AWS's words needs
it, when the template is compiled and when it is launched.
"""

from __future__ import annotations

from typing import Any

from botocore.model import Shape
from botocore.session import Session
from botocore.validate import ParamValidator

# The shape that each service's nativeSpec is a part of.
_SHAPES = {
    "RunInstances": ("ec2", "RunInstancesRequest"),
    "CreateFleet": ("ec2", "CreateFleetRequest"),
    "RequestSpotFleet": ("ec2", "SpotFleetRequestConfigData"),
    "CreateAutoScalingGroup": ("autoscaling", "CreateAutoScalingGroupType"),
    "InstanceRequirements": ("ec2", "InstanceRequirementsRequest"),
}


def shape(operation: str) -> Shape:
    """Give the shape of an operation's parameters."""
    service, name = _SHAPES[operation]
    return Session().get_service_model(service).shape_for(name)


def members(operation: str) -> set[str]:
    """Give the names of an operation's parameters."""
    return set(shape(operation).members)  # type: ignore[attr-defined]


def spelled(content: Any, form: Shape) -> Any:
    """Give the content with AWS's own member names, from those in camelCase or with underscores.

    What the shape does not know stays as it is: `faults` names it.
    """
    if form.type_name == "structure" and isinstance(content, dict):
        members: dict[str, Shape] = form.members  # type: ignore[attr-defined]
        names = {_folded(name): name for name in members}
        own = {names.get(_folded(key), key): value for key, value in content.items()}
        return {
            name: spelled(value, members[name]) if name in members else value
            for name, value in own.items()
            if value is not None
        }
    if form.type_name == "list" and isinstance(content, list):
        return [spelled(each, form.member) for each in content]  # type: ignore[attr-defined]
    return content


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


def faults(content: Any, form: Shape) -> str:
    """Say what is wrong, in one line; empty when nothing is: unknown and missing members, wrong types."""
    report = ParamValidator().validate(content, form)
    return "; ".join(report.generate_report().splitlines()) if report.has_errors() else ""
