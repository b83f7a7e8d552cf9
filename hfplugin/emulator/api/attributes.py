"""The calls about a machine's health and its single attributes."""

from __future__ import annotations

from hfplugin.emulator.api.instances import selected
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.description import state
from hfplugin.emulator.errors import ServiceError, invalid
from hfplugin.emulator.instances import Instance
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

_STATUS_IDS = 100


def describe_instance_status(region: Region, params: Params) -> Reply:
    """Show the health of machines that run.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html
    """
    if len(params.get("InstanceIds", [])) > _STATUS_IDS:
        raise invalid(f"At most {_STATUS_IDS} instance IDs can be asked for in one call")
    found, token = selected(region, params)
    shown = [each for each in found if each.state == "running" or params.get("IncludeAllInstances")]
    return {"InstanceStatuses": [_status(each) for each in shown], "NextToken": token}


def _status(instance: Instance) -> Reply:
    health = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
    return {
        "InstanceId": instance.instance_id,
        "AvailabilityZone": instance.blueprint.zone,
        "InstanceState": state(instance),
        "InstanceStatus": health,
        "SystemStatus": health,
        "Events": [],
    }


def describe_instance_attribute(region: Region, params: Params) -> Reply:
    """Show one attribute: userData, disableApiTermination, instanceType and the like.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceAttribute.html
    """
    [instance] = region.instances.require([params["InstanceId"]])
    own = instance.blueprint.specification
    attributes: dict[str, Reply] = {
        "userData": {"UserData": {"Value": own.get("UserData")}},
        "disableApiTermination": {"DisableApiTermination": {"Value": instance.is_protected}},
        "instanceType": {"InstanceType": {"Value": instance.blueprint.machine_type}},
        "instanceInitiatedShutdownBehavior": {
            "InstanceInitiatedShutdownBehavior": {"Value": own.get("InstanceInitiatedShutdownBehavior", "stop")}
        },
        "ebsOptimized": {"EbsOptimized": {"Value": bool(own.get("EbsOptimized"))}},
    }
    found = attributes.get(params["Attribute"])
    if found is None:
        raise ServiceError(
            "UnsupportedOperation", f"The emulator does not know the attribute {params['Attribute']}"
        )
    return {"InstanceId": instance.instance_id, **found}


def modify_instance_attribute(region: Region, params: Params) -> Reply:
    """Set or lift the protection against termination; nothing else.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html
    """
    [instance] = region.instances.require([params["InstanceId"]])
    if "DisableApiTermination" not in params:
        raise ServiceError("UnsupportedOperation", "The emulator modifies disableApiTermination only")
    if instance.blueprint.purchase == SPOT:
        text = "Modifying 'disableApiTermination' is not supported for spot instances."
        raise ServiceError("UnsupportedOperation", text)
    region.instances.protect(instance, params["DisableApiTermination"]["Value"])
    return {}


OPERATIONS = {
    "DescribeInstanceStatus": describe_instance_status,
    "DescribeInstanceAttribute": describe_instance_attribute,
    "ModifyInstanceAttribute": modify_instance_attribute,
}
