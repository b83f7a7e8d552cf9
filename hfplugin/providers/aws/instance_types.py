"""What an EC2 instance type holds, and the HostFactory attributes that follow from it.

A table is shipped, so that templates compile without a call to AWS; `hfplugin machine-types refresh` overlays
newer types. Prices and availability change by the hour and region, and do not belong here.
"""

from __future__ import annotations

import difflib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hfplugin import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import DescribeInstanceTypesRequestTypeDef, InstanceTypeInfoTypeDef

SCHEMA = 1
SOURCE = "EC2 DescribeInstanceTypes: default cores, default vCPUs, memory in MiB, architecture"
# What describe() finds in every region together; a test holds it to EC2's records as moto publishes them.
SHIPPED = Path(__file__).with_name("instance_types.json")

# EC2's word to HostFactory's. macOS types have architectures of their own: no HostFactory agent runs there.
HOST_TYPES = {"x86_64": "X86_64", "arm64": "AARCH64"}

# EC2's limit, both for the names in one DescribeInstanceTypes call and for the records on one page.
TYPES_PER_CALL = 100


class UnknownInstanceTypeError(KeyError):
    """A type that the table lacks: misspelt, or newer than the table."""

    def __init__(self, name: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.nearest = nearest

    def __str__(self) -> str:
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        remedy = "'hfplugin machine-types refresh' fetches new ones"
        return f"unknown instance type '{self.name}'{nearest}; {remedy}"


class InstanceType(NamedTuple):
    """What a machine of the type has when a launch sets no CpuOptions; also a row of the table file."""

    cores: int
    threads: int
    memory_mib: int
    architecture: str  # a key of HOST_TYPES


def shipped() -> dict[str, InstanceType]:
    """Read the table that comes with the package."""
    return _load(SHIPPED)


def table(refreshed: Path | None) -> dict[str, InstanceType]:
    """Read the shipped table, overlaid with the refreshed one if that file exists.

    Raises ValueError, naming the file, when the refreshed table is damaged.
    """
    types = shipped()
    if refreshed is not None:
        with suppress(FileNotFoundError):
            types.update(_load(refreshed))
    return types


def describe(client: EC2Client, names: Sequence[str] = ()) -> dict[str, InstanceType]:
    """Ask EC2 for the named types, or without names for all that the client's region offers.

    macOS types are left out. EC2 refuses all names of a call for one that it does not know
    (ClientError, InvalidInstanceType).
    """
    types: dict[str, InstanceType] = {}
    for request in _requests(names):
        for record in _records(client, request):
            if architecture := _architecture(record):
                types[record["InstanceType"]] = _instance_type(record, architecture)
    return types


def save(types: Mapping[str, InstanceType], path: Path) -> None:
    """Replace the table file, sorted and one type per line so that its diffs can be read.

    Atomic: a crash leaves the old table or the new one, whole. StateError when it cannot be written.
    """
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(types[name])}" for name in sorted(types))
    text = f'{{\n  "schema": {SCHEMA},\n  "source": {json.dumps(SOURCE)},\n  "types": {{\n{rows}\n  }}\n}}\n'
    files.write(str(path), text.encode())


def attributes(
    machine_types: Mapping[str, int], table: Mapping[str, InstanceType], count_threads: bool
) -> dict[str, list[str]]:
    """Derive a template's HostFactory attributes: what one capacity unit of every type is sure to have.

    `machine_types` maps at least one type to its weight, the capacity units (1 or more) of one machine.
    HostFactory counts ncores x ncpus per unit, so ncores stays 1; neither ncpus nor nram (MiB) is below 1.

    Raises UnknownInstanceTypeError for a type that the table lacks, ValueError for types of several
    architectures.
    """
    types = {name: _find(name, table) for name in machine_types}
    cpus = min(
        (types[name].threads if count_threads else types[name].cores) // weight
        for name, weight in machine_types.items()
    )
    memory_mib = min(types[name].memory_mib // weight for name, weight in machine_types.items())
    return {
        "type": ["String", HOST_TYPES[_common_architecture(types)]],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", str(max(1, cpus))],
        "nram": ["Numeric", str(max(1, memory_mib))],
    }


def least(requirements: Mapping[str, Any], count_threads: bool) -> dict[str, list[str]]:
    """Derive the attributes that any machine with these InstanceRequirements has: their minima.

    Two vCPUs are a core, and one on AWS's own processors, which are Arm; others are taken to be x86.
    """
    is_arm = requirements.get("CpuManufacturers") == ["amazon-web-services"]
    threads = requirements["VCpuCount"]["Min"]
    cores = threads if is_arm or count_threads else threads // 2
    return {
        "type": ["String", HOST_TYPES["arm64" if is_arm else "x86_64"]],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", str(max(1, cores))],
        "nram": ["Numeric", str(max(1, requirements["MemoryMiB"]["Min"]))],
    }


def _find(name: str, table: Mapping[str, InstanceType]) -> InstanceType:
    try:
        return table[name]
    except KeyError:
        raise UnknownInstanceTypeError(name, difflib.get_close_matches(name, table)) from None


def _common_architecture(types: Mapping[str, InstanceType]) -> str:
    examples = {instance_type.architecture: name for name, instance_type in types.items()}
    if len(examples) > 1:
        found = ", ".join(f"'{name}' is {architecture}" for architecture, name in examples.items())
        raise ValueError(f"the machine types of a template must share one architecture: {found}")
    return next(iter(examples))


def _load(path: Path) -> dict[str, InstanceType]:
    try:
        match json.loads(path.read_text(encoding="utf-8")):
            case {"schema": schema, "types": dict(rows)} if schema == SCHEMA:
                return {name: _row(name, row) for name, row in rows.items()}
        raise ValueError(f"no 'types' of schema {SCHEMA}")
    except ValueError as error:
        remedy = "delete it, or replace it with 'hfplugin machine-types refresh'"
        raise ValueError(f"{path} is not a table of instance types: {error}; {remedy}") from error


def _row(name: str, row: object) -> InstanceType:
    match row:
        case [int(cores), int(threads), int(memory_mib), str(architecture)]:
            if architecture in HOST_TYPES and min(cores, threads, memory_mib) > 0:
                return InstanceType(cores, threads, memory_mib, architecture)
    raise ValueError(f"'{name}' has {json.dumps(row)}")


def _requests(names: Sequence[str]) -> Iterator[DescribeInstanceTypesRequestTypeDef]:
    """Build the first request of each listing; EC2 refuses names and MaxResults together."""
    if not names:
        yield {"MaxResults": TYPES_PER_CALL}
    # The stubs know only the types of their own release; a refresh is for those that came after.
    for start in range(0, len(names), TYPES_PER_CALL):
        yield {"InstanceTypes": cast("Sequence[InstanceTypeType]", names[start : start + TYPES_PER_CALL])}


def _records(client: EC2Client, request: DescribeInstanceTypesRequestTypeDef) -> Iterator[InstanceTypeInfoTypeDef]:
    while True:
        page = client.describe_instance_types(**request)
        yield from page["InstanceTypes"]
        if not (token := page.get("NextToken")):
            return
        request = {**request, "NextToken": token}


def _architecture(record: InstanceTypeInfoTypeDef) -> str | None:
    """Name the 64-bit Linux architecture of a type: the oldest types list i386 beside it."""
    supported = record["ProcessorInfo"]["SupportedArchitectures"]
    return next((architecture for architecture in HOST_TYPES if architecture in supported), None)


def _instance_type(record: InstanceTypeInfoTypeDef, architecture: str) -> InstanceType:
    cpu = record["VCpuInfo"]
    # EC2's model makes DefaultCores optional, and defines a vCPU count as cores times threads per core.
    cores = cpu.get("DefaultCores") or cpu["DefaultVCpus"] // cpu["DefaultThreadsPerCore"]
    return InstanceType(cores, cpu["DefaultVCpus"], record["MemoryInfo"]["SizeInMiB"], architecture)
