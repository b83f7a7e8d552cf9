"""The machine types of the emulated AWS, as moto lists them, and what they cost here."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from hfplugin.emulator.errors import ServiceError

Description = dict[str, Any]

# Dollars an hour for a vCPU and for a GiB: near what general-purpose machines cost, and alike for all.
_VCPU, _GIB = 0.03, 0.0045

# Spot costs 30 to 50 percent of on demand, by zone.
_SPOT_SHARE, _SPOT_SPREAD = 0.3, 0.2


def describe(machine_type: str) -> Description:
    """Give a type as DescribeInstanceTypes has it. ServiceError when there is none of the name."""
    return describe_all([machine_type])[0]


def describe_all(machine_types: Iterable[str]) -> list[Description]:
    """Give several types; ServiceError names all that do not exist."""
    wanted = list(machine_types)
    unknown = [each for each in wanted if not exists(each)]
    if unknown:
        text = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise ServiceError("InvalidInstanceType", text)
    return [INSTANCE_TYPES[each] for each in wanted]


def exists(machine_type: str) -> bool:
    return machine_type in INSTANCE_TYPES


def every() -> Iterator[Description]:
    yield from INSTANCE_TYPES.values()


@cache
def vcpus(machine_type: str) -> int:
    count: int = describe(machine_type)["VCpuInfo"]["DefaultVCpus"]
    return count


@cache
def memory(machine_type: str) -> int:
    """Give the memory in MiB."""
    size: int = describe(machine_type)["MemoryInfo"]["SizeInMiB"]
    return size


def architectures(machine_type: str) -> list[str]:
    names: list[str] = describe(machine_type)["ProcessorInfo"]["SupportedArchitectures"]
    return names


@cache
def on_demand_price(machine_type: str) -> float:
    """Give a made-up price in dollars an hour, the same everywhere."""
    return round(vcpus(machine_type) * _VCPU + memory(machine_type) / 1024 * _GIB, 4)


@cache
def spot_price(machine_type: str, zone: str) -> float:
    """Give a made-up price in dollars an hour that differs between zones and never changes."""
    spread = zlib.crc32(f"{machine_type}/{zone}".encode()) % 1000 / 1000
    return round(on_demand_price(machine_type) * (_SPOT_SHARE + _SPOT_SPREAD * spread), 4)
