"""A template in another product's words, turned into ours: Open Resource Broker's keys, and AWS's member names.

IBM's keys are ours. Facts about Open Resource Broker are from its own examples and field mappings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hfplugin.config import camel, is_blank
from hfplugin.providers.aws import user_data
from hfplugin.providers.aws.template import AWSTemplate

# Keys of Open Resource Broker whose words differ from ours: in camelCase; with underscores they mean the same.
_OTHER_WORDS = {
    "templateId": "templateId",
    "maxInstances": "maxNumber",
    "maxMachines": "maxNumber",
    "maxNumber": "maxNumber",
    "machineImage": "imageId",
    "subnetIds": "subnetId",
    "machineType": "vmType",
    "machineTypes": "vmTypes",
    "machineTypesOndemand": "vmTypesOnDemand",
    "machineTypesOnDemand": "vmTypesOnDemand",
    "machineTypesPriority": "vmTypesPriority",
    "instanceType": "vmType",
    "instanceTypes": "vmTypes",
    "instanceTypesOndemand": "vmTypesOnDemand",
    "instanceTypesOnDemand": "vmTypesOnDemand",
    "instanceTypesPriority": "vmTypesPriority",
    "abisInstanceRequirements": "instanceRequirements",
    "maxPrice": "maxSpotPrice",
    "spotAllocationStrategy": "allocationStrategy",
    "allocationStrategyOndemand": "allocationStrategyOnDemand",
    "rootVolumeSize": "rootDeviceVolumeSize",
    "rootVolumeType": "volumeType",
    "rootVolumeIops": "iops",
    "machineDiskSizeGb": "rootDeviceVolumeSize",
    "machineDiskType": "volumeType",
    "storageEncryption": "encrypted",
    "encryptionKey": "kmsKeyId",
    "tags": "instanceTags",
    "keyPairName": "keyName",
    "machineSshKey": "keyName",
    "machineRole": "instanceProfile",
    "machineBootstrap": "userData",
    "providerApiSpec": "nativeSpec",
}

# What would silently make another machine of the template.
_NOT_TAKEN = {
    "launchTemplateSpec": "make a launch template of it and name that by launchTemplateId",
    "launchTemplateSpecFile": "make a launch template of it and name that by launchTemplateId",
    "providerApiSpecFile": "name the file of a CreateFleet call by ec2FleetConfig, or write nativeSpec",
}

# Where Open Resource Broker lets what is of AWS stand, too.
_NESTED = ("providerConfig", "provider_config")

# What Open Resource Broker takes from a template's metadata, too; all else in it is for people.
_OF_METADATA = ("fleetType", "fleetRole", "percentOnDemand", "abisInstanceRequirements")


def ours(item: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Give a template in our words; keys that are nobody's stay as they are.

    `directory` is where the file lies: paths in it begin there, as LSF has it for ec2FleetConfig. ValueError says
    what has no place among our keys.
    """
    known = {field.alias for field in AWSTemplate.model_fields.values()}
    result: dict[str, Any] = {}
    for key, value in _flat(item).items():
        word = _word(key)
        if word in _NOT_TAKEN and not is_blank(value):
            raise ValueError(f"{key} is not taken: {_NOT_TAKEN[word]}")
        name = _OTHER_WORDS.get(word) or (word if word in known else key)
        if name == "vmTypes" != key and isinstance(value, list | str):
            name = "vmType"
        if is_blank(result.get(name)) or result[name] in ([], {}):
            result[name] = value
        elif not is_blank(value) and value not in ([], {}, result[name]):
            raise ValueError(f"{key} and {name} say the same thing twice, and differently: take one out")
    return _with_values(result, directory)


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    nested = [item[key] for key in _NESTED if isinstance(item.get(key), dict)]
    own = {key: value for key, value in item.items() if key not in _NESTED or not isinstance(value, dict)}
    for part in nested:
        own = part | own
    metadata = own.get("metadata")
    if not isinstance(metadata, dict):
        return own
    others = {key: value for key, value in own.items() if key != "metadata"}
    own_words = {_word(key) for key, value in others.items() if not is_blank(value)}
    said = {key: value for key, value in metadata.items() if _word(key) in _OF_METADATA}
    rest = {key: value for key, value in metadata.items() if key not in said}
    taken = {key: value for key, value in said.items() if _word(key) not in own_words}
    return others | taken | ({"metadata": rest} if rest else {})


def _word(key: str) -> str:
    """Give a key in camelCase; one that begins or ends with an underscore is nobody's."""
    return camel(key) if "_" in key.strip("_") else key


def _with_values(item: dict[str, Any], directory: str) -> dict[str, Any]:
    """Write those values in our form that our keys have in only one."""
    if isinstance(item.get("instanceRequirements"), dict) and item["instanceRequirements"]:
        from hfplugin.providers.aws import parameters

        wanted = parameters.spelled(item["instanceRequirements"], parameters.shape("InstanceRequirements"))
        item |= {"instanceRequirements": wanted}
    image = item.get("imageId")
    if isinstance(image, str) and image.startswith("/"):
        item |= {"imageId": f"resolve:ssm:{image}"}
    path = item.get("ec2FleetConfig")
    if isinstance(path, str) and path:
        item |= {"ec2FleetConfig": os.path.join(directory, path)}
    text = item.get("userData")
    if isinstance(text, str) and _is_script(text) and is_blank(item.get("userDataScript")):
        item |= {"userDataScript": item.pop("userData")}
    return item


def _is_script(text: str) -> bool:
    """True for a whole script and for the path of one: Open Resource Broker has a single key for both."""
    return user_data.is_inline(text) or text.startswith("/")
