"""The raw door: what a template says in AWS's own words, laid over our create call and checked before it is sent.

Whatever AWS's models know may be said, except for what would make hfplugin count wrong: tokens, amounts, and
anything by which AWS would end, keep or hide machines by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws import rules

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# The create call of each service.
OPERATIONS = {
    "RunInstances": "RunInstances",
    "EC2Fleet": "CreateFleet",
    "SpotFleet": "RequestSpotFleet",
    "ASG": "CreateAutoScalingGroup",
}

_COUNT = "hfplugin counts machines by it; the request says how many"
_OURS = "hfplugin sets it"
_LIFE = "machines would stay or go without HostFactory"
_REPLACES = "AWS would end machines and bring others in their place, without HostFactory"
_DEFERS = "a request wants its machines at once"

# operation -> path of a member -> why it may not be said, and what to say instead.
_REFUSED: dict[str, dict[str, str]] = {
    "RunInstances": {
        "MinCount": _COUNT,
        "MaxCount": _COUNT,
        "UserData": "use userData or userDataScript",
        "InstanceType": "use vmType or vmTypes",
        "SubnetId": "use subnetId",
        "LaunchTemplate": "use launchTemplateId",
    },
    "CreateFleet": {
        "Type": "use fleetType",
        "TargetCapacitySpecification": _COUNT,
        "ValidFrom": _DEFERS,
        "SpotOptions.MaintenanceStrategies": _REPLACES,
    },
    "RequestSpotFleet": {
        "Type": "use fleetType",
        "TargetCapacity": _COUNT,
        "OnDemandTargetCapacity": _COUNT,
        "TargetCapacityUnitType": _COUNT,
        "IamFleetRole": "use fleetRole",
        "LaunchSpecifications": "use the template's keys or launchTemplateId",
        "ValidFrom": _DEFERS,
        "SpotMaintenanceStrategies": _REPLACES,
    },
    "CreateAutoScalingGroup": {
        "AutoScalingGroupName": _OURS,
        "MinSize": _COUNT,
        "MaxSize": _COUNT,
        "DesiredCapacity": _COUNT,
        "DesiredCapacityType": _COUNT,
        "InstanceId": "use the template's keys or launchTemplateId",
        "LaunchConfigurationName": "use the template's keys or launchTemplateId",
        "LaunchTemplate": "use launchTemplateId",
        "VPCZoneIdentifier": "use subnetId",
        # Both let a machine live on, or run beside the one that replaces it, when it should be gone.
        "InstanceLifecyclePolicy": _LIFE,
        "InstanceMaintenancePolicy": _REPLACES,
    },
}
_ALWAYS_REFUSED = {"ClientToken": _OURS, "DryRun": "nothing would be launched; see hfplugin check"}

# path of a member -> the only values that it may have, and why no other.
_FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "ExcessCapacityTerminationPolicy": (("no-termination", "noTermination"), _LIFE),
    "TerminateInstancesWithExpiration": ((False,), _LIFE),
    "ReplaceUnhealthyInstances": ((False,), _REPLACES),
    "InstanceInitiatedShutdownBehavior": (("terminate",), _LIFE),
    # A machine that is stopped instead is started again whenever AWS has room.
    "InstanceInterruptionBehavior": (("terminate",), _LIFE),
    "SpotOptions.InstanceInterruptionBehavior": (("terminate",), _LIFE),
    "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": (("terminate",), _LIFE),
    "InstanceMarketOptions.SpotOptions.SpotInstanceType": (("one-time",), _LIFE),
    "DisableApiTermination": ((False,), _LIFE),
    "NewInstancesProtectedFromScaleIn": ((True,), _LIFE),
    "CapacityRebalance": ((False,), _REPLACES),
    "MaxInstanceLifetime": ((0,), _REPLACES),
    "DeletionProtection": (("none", "prevent-force-deletion"), "the emptied group could not be deleted"),
}

# The only hook that holds up nothing but a machine's end: one at its start would let AWS end it after HostFactory
# has been told of it.
_HOOK = "autoscaling:EC2_INSTANCE_TERMINATING"

# The least that each call consists of: what is said over it is checked with it when the template is read.
_LEAST: dict[str, dict[str, Any]] = {
    "RunInstances": {"MinCount": 1, "MaxCount": 1},
    "CreateFleet": {
        "Type": "instant",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateName": "hf-x", "Version": "1"}}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1},
    },
    "RequestSpotFleet": {"IamFleetRole": "arn:aws:iam::0:role/r", "TargetCapacity": 1},
    "CreateAutoScalingGroup": {"AutoScalingGroupName": "hf", "MinSize": 0, "MaxSize": 1},
}


def fault(template: AWSTemplate) -> str:
    """Say what is wrong with a template's nativeSpec, as far as it can be known before a launch."""
    operation = OPERATIONS[template.service]
    least = dict(_LEAST[operation])
    if template.fleet_type and "Type" in least:
        least["Type"] = template.fleet_type
    try:
        applied(operation, least, template)
    except ConfigurationError as error:
        return str(error)
    return ""


def applied(operation: str, call: dict[str, Any], template: AWSTemplate) -> dict[str, Any]:
    """Give a create call with the template's nativeSpec laid over it; the call itself where there is none.

    Objects are merged member by member, lists and other values replaced; tags are added to ours. For
    RequestSpotFleet, `call` is the SpotFleetRequestConfig. ConfigurationError names the path of what may not be
    said or what AWS does not know.
    """
    if not template.native_spec:
        return call
    from hfplugin.providers.aws import parameters

    shape = parameters.shape(operation)
    given = parameters.spelled(template.native_spec, shape)
    wrong = "; ".join(refused(operation, given)) or _uncounted(given, template)
    merged = call if wrong else _arranged(laid_over(call, given), call, given)
    wrong = wrong or parameters.faults(merged, shape)
    if wrong:
        raise ConfigurationError(f"nativeSpec: {wrong}")
    return merged


def refused(operation: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Say which members may not be said, and why."""
    reasons = _ALWAYS_REFUSED | _REFUSED[operation]
    for path, value in _members(given):
        if path in reasons:
            yield f"{path} may not be set: {reasons[path]}"
        elif path in _FIXED and value not in _FIXED[path][0]:
            yield f"{path} may not be {value!r}: {_FIXED[path][1]}"
    for number, hook in enumerate(_objects(given.get("LifecycleHookSpecificationList"))):
        transition = hook.get("LifecycleTransition")
        if transition != _HOOK:
            path = f"LifecycleHookSpecificationList[{number}].LifecycleTransition"
            yield f"{path} may not be {transition!r}: AWS could end machines that HostFactory uses already"
    for key in _tag_keys(given):
        if key.startswith(rules.RESERVED_TAG_PREFIXES):
            yield f"tag {key!r} begins with a reserved prefix: choose another key"


def _members(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the members of objects within objects, each with its path."""
    for name, value in given.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from _members(value, f"{prefix}{name}.")


def _tag_keys(given: Mapping[str, Any]) -> list[str]:
    lists = [given.get("Tags")]
    for each in _objects(given.get("TagSpecifications")):
        lists.append(each.get("Tags"))
    return [str(tag.get("Key", "")) for tags in lists for tag in _objects(tags)]


def _objects(value: Any) -> list[dict[str, Any]]:
    """Give the objects of what should be a list of them; what else there is, AWS's model names."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def laid_over(call: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge objects member by member; of lists only tags are merged: ours stay."""
    merged = dict(call)
    for name, value in given.items():
        own = call.get(name)
        if name == "TagSpecifications" and own:
            merged[name] = tagged(value, own)
        elif name == "Tags" and own:
            merged[name] = [*own, *(tag for tag in _objects(value) if tag.get("Key") not in _keys(own))]
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[name] = laid_over(own, value)
        else:
            merged[name] = value
    return merged


def tagged(given: Any, ours: Sequence[Mapping[str, Any]]) -> Any:
    """Add our TagSpecifications to others; where both name a key, ours holds."""
    if not isinstance(given, list):
        return given
    added = {str(each.get("ResourceType")): _objects(each.get("Tags")) for each in _objects(given)}
    merged = []
    for each in ours:
        others = added.pop(str(each["ResourceType"]), [])
        keys = _keys(each["Tags"])
        merged.append({**each, "Tags": [*each["Tags"], *(tag for tag in others if tag.get("Key") not in keys)]})
    return [*merged, *(each for each in _objects(given) if str(each.get("ResourceType")) in added)]


def _keys(tags: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(tag.get("Key")) for tag in tags}


def _arranged(merged: dict[str, Any], call: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Fit together what was merged: our launch template in each configuration, the subnet in its interfaces."""
    if _objects(given.get("NetworkInterfaces")):
        moved = {"SubnetId": merged.pop("SubnetId", None), "Groups": merged.pop("SecurityGroupIds", None)}
        own = {name: value for name, value in moved.items() if value}
        merged["NetworkInterfaces"] = [{**own, **each} for each in _objects(given["NetworkInterfaces"])]
    if _objects(given.get("LaunchTemplateConfigs")) and call.get("LaunchTemplateConfigs"):
        ours = {"LaunchTemplateSpecification": call["LaunchTemplateConfigs"][0]["LaunchTemplateSpecification"]}
        merged["LaunchTemplateConfigs"] = [{**ours, **each} for each in given["LaunchTemplateConfigs"]]
    return merged


def _uncounted(given: Mapping[str, Any], template: AWSTemplate) -> str:
    """Say where overrides would bring machines that the template does not count, or by another launch template."""
    counted = template.machine_types | template.vm_types_on_demand
    for path, override in _overrides(given):
        if template.ec2_fleet_config:
            return f"{path} may not be set: write it into the file that ec2FleetConfig names"
        if "LaunchTemplateSpecification" in override:
            return f"{path}.LaunchTemplateSpecification may not be set: use launchTemplateId or ec2FleetConfig"
        name, weight = override.get("InstanceType", ""), str(override.get("WeightedCapacity", 1))
        if name and str(counted.get(name)) != weight.removesuffix(".0"):
            return f"{path}: {name} with weight {weight} is not counted: add it to vmTypes with that weight"
        if not name and weight != "1":
            return f"{path}.WeightedCapacity may not be set without InstanceType: nobody could count its machines"
    return ""


def _overrides(given: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through whatever says which machines a fleet or group may bring, each with its path."""
    for number, configuration in enumerate(_objects(given.get("LaunchTemplateConfigs"))):
        path = f"LaunchTemplateConfigs[{number}]"
        yield path, {name: value for name, value in configuration.items() if name != "Overrides"}
        for place, override in enumerate(_objects(configuration.get("Overrides"))):
            yield f"{path}.Overrides[{place}]", override
    policy = given.get("MixedInstancesPolicy")
    part = policy.get("LaunchTemplate") if isinstance(policy, dict) else None
    if isinstance(part, dict):
        path = "MixedInstancesPolicy.LaunchTemplate"
        yield path, {name: value for name, value in part.items() if name != "Overrides"}
        for place, override in enumerate(_objects(part.get("Overrides"))):
            yield f"{path}.Overrides[{place}]", override
