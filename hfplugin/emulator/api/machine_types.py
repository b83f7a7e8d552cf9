"""The calls about machine types."""

from __future__ import annotations

from collections.abc import Iterable

from hfplugin.emulator import catalogue, filters
from hfplugin.emulator.errors import conflicting, invalid, missing
from hfplugin.emulator.region import Region
from hfplugin.emulator.requirements import matching
from hfplugin.emulator.wire import Params, Reply

_PAGE = (5, 100)


def describe_instance_types(region: Region, params: Params) -> Reply:
    """Show types, 100 a page.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html
    """
    wanted = params.get("InstanceTypes", [])
    if len(wanted) > _PAGE[1]:
        raise invalid("At most 100 instance types can be described in one call")
    if wanted and "MaxResults" in params:
        raise conflicting("The parameter InstanceTypes cannot be used with the parameter MaxResults")
    known = catalogue.describe_all(wanted) if wanted else catalogue.every()
    found = filters.select(known, params, _values)
    page, token = filters.page(found, params, _PAGE, default=100)
    return {"InstanceTypes": list(page), "NextToken": token}


def _values(description: catalogue.Description, name: str) -> Iterable[str] | None:
    own = {
        "instance-type": [description["InstanceType"]],
        "bare-metal": [str(description["BareMetal"]).lower()],
        "current-generation": [str(description["CurrentGeneration"]).lower()],
        "processor-info.supported-architecture": description["ProcessorInfo"]["SupportedArchitectures"],
        "supported-usage-class": description.get("SupportedUsageClasses", []),
        "vcpu-info.default-vcpus": [str(description["VCpuInfo"]["DefaultVCpus"])],
        "memory-info.size-in-mib": [str(description["MemoryInfo"]["SizeInMiB"])],
    }
    return own.get(name)


def get_instance_types_from_instance_requirements(region: Region, params: Params) -> Reply:
    """Source: .../AWSEC2/latest/APIReference/API_GetInstanceTypesFromInstanceRequirements.html"""
    for name in ("ArchitectureTypes", "VirtualizationTypes", "InstanceRequirements"):
        if not params.get(name):
            raise missing(name)
    found = matching(params["InstanceRequirements"], params["ArchitectureTypes"])
    if "hvm" not in params["VirtualizationTypes"]:
        found = []
    page, token = filters.page(found, params, (1, 1000), default=1000)
    return {"InstanceTypes": [{"InstanceType": each} for each in page], "NextToken": token}


OPERATIONS = {
    "DescribeInstanceTypes": describe_instance_types,
    "GetInstanceTypesFromInstanceRequirements": get_instance_types_from_instance_requirements,
}
