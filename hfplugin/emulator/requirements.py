"""Attribute-based selection: which machine types meet InstanceRequirements.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceRequirementsRequest.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hfplugin.emulator import catalogue
from hfplugin.emulator.errors import conflicting, missing

Requirements = dict[str, Any]
_Description = catalogue.Description


def matching(requirements: Requirements, architectures: Sequence[str] = ()) -> list[str]:
    """Give the types that meet the requirements, the smallest first.

    Ranges of vCPUs and memory are required; what else is left out has AWS's default: current and older
    generations, no bare metal and no burstable machines, no accelerators excluded. Ranges of network bandwidth
    and EBS bandwidth, names and makers of accelerators, and price protection are not looked at.
    """
    for name in ("VCpuCount", "MemoryMiB"):
        if "Min" not in requirements.get(name, {}):
            raise missing(f"InstanceRequirements.{name}.Min")
    if requirements.get("AllowedInstanceTypes") and requirements.get("ExcludedInstanceTypes"):
        raise conflicting("AllowedInstanceTypes and ExcludedInstanceTypes cannot be specified together")
    found = [each for each in catalogue.every() if _meets(each, requirements, architectures)]
    found.sort(key=lambda each: (catalogue.on_demand_price(each["InstanceType"]), each["InstanceType"]))
    return [each["InstanceType"] for each in found]


def _meets(description: _Description, requirements: Requirements, architectures: Sequence[str]) -> bool:
    name = description["InstanceType"]
    if architectures and not set(architectures) & set(description["ProcessorInfo"]["SupportedArchitectures"]):
        return False
    if not _named(name, requirements):
        return False
    in_ranges = all(
        _in_range(number(description), requirements[key]) for key, number in _RANGES.items() if key in requirements
    )
    return in_ranges and _is_wanted(description, requirements)


def _named(name: str, requirements: Requirements) -> bool:
    allowed = requirements.get("AllowedInstanceTypes") or ["*"]
    excluded = requirements.get("ExcludedInstanceTypes", [])
    return any(fnmatchcase(name, each) for each in allowed) and not any(
        fnmatchcase(name, each) for each in excluded
    )


def _is_wanted(description: _Description, requirements: Requirements) -> bool:
    flags = {
        "BareMetal": description["BareMetal"],
        "BurstablePerformance": description["BurstablePerformanceSupported"],
    }
    if not all(_is_allowed(has, requirements.get(key, "excluded")) for key, has in flags.items()):
        return False
    if not _is_allowed(description["InstanceStorageSupported"], requirements.get("LocalStorage", "included")):
        return False
    makers = requirements.get("CpuManufacturers")
    if makers and _maker(description) not in makers:
        return False
    generations = requirements.get("InstanceGenerations")
    generation = "current" if description["CurrentGeneration"] else "previous"
    return not generations or generation in generations


def _is_allowed(has: bool, rule: str) -> bool:
    return {"included": True, "excluded": not has, "required": has}[rule]


def _maker(description: _Description) -> str:
    name = str(description["ProcessorInfo"].get("Manufacturer", "Intel"))
    return {"Intel": "intel", "AMD": "amd", "AWS": "amazon-web-services"}.get(name, name.lower())


def _in_range(number: float, bounds: dict[str, float]) -> bool:
    return bounds.get("Min", 0) <= number <= bounds.get("Max", float("inf"))


def _memory_per_vcpu(description: _Description) -> float:
    gib: float = description["MemoryInfo"]["SizeInMiB"] / 1024
    return gib / float(description["VCpuInfo"]["DefaultVCpus"])


def _accelerators(description: _Description) -> int:
    return sum(int(each["Count"]) for each in description.get("GpuInfo", {}).get("Gpus", []))


_RANGES: dict[str, Callable[[_Description], float]] = {
    "VCpuCount": lambda each: float(each["VCpuInfo"]["DefaultVCpus"]),
    "MemoryMiB": lambda each: float(each["MemoryInfo"]["SizeInMiB"]),
    "MemoryGiBPerVCpu": _memory_per_vcpu,
    "AcceleratorCount": _accelerators,
    "NetworkInterfaceCount": lambda each: float(each["NetworkInfo"]["MaximumNetworkInterfaces"]),
    "TotalLocalStorageGB": lambda each: float(each.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)),
}
