"""Small copies of botocore's own data files, so that a poll does not read 830 EC2 operations to make one call.

Cut from the installed botocore's files, kept under a name made of its version and of what was kept, and put
before its own data for our sessions only. Downside: an operation that is not listed here does not exist for
them; that whatever is missing or damaged falls back to botocore's files is the caller's part (`forget`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from os.path import join
from typing import TYPE_CHECKING, Any

import botocore
from botocore.loaders import Loader

from hfplugin import files
from hfplugin.errors import StateError

if TYPE_CHECKING:
    from botocore.session import Session

# The EC2 operations that hfplugin calls.
OPERATIONS = (
    "CancelSpotFleetRequests",
    "CreateFleet",
    "CreateLaunchTemplate",
    "DeleteFleets",
    "DeleteLaunchTemplate",
    "DescribeFleetHistory",
    "DescribeFleetInstances",
    "DescribeFleets",
    "DescribeImages",
    "DescribeInstanceStatus",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeLaunchTemplateVersions",
    "DescribeLaunchTemplates",
    "DescribeSpotFleetInstances",
    "DescribeSpotFleetRequestHistory",
    "DescribeSpotFleetRequests",
    "DescribeSpotInstanceRequests",
    "DescribeSpotPriceHistory",
    "DescribeSubnets",
    "GetInstanceTypesFromInstanceRequirements",
    "ModifyFleet",
    "ModifySpotFleetRequest",
    "RequestSpotFleet",
    "RunInstances",
    "TerminateInstances",
)

# The services whose endpoints it asks for.
SERVICES = ("autoscaling", "ec2", "sqs", "ssm", "sts")

# Of an instance's eighty members, those that a sighting is made of: parsing is what a large poll costs.
INSTANCE_MEMBERS = (
    "InstanceId",
    "InstanceLifecycle",
    "InstanceType",
    "LaunchTime",
    "Placement",
    "PrivateDnsName",
    "PrivateIpAddress",
    "PublicIpAddress",
    "State",
    "StateReason",
    "Tags",
)

_EC2_VERSION = "2016-11-15"
_EC2_MODEL = join("ec2", _EC2_VERSION, "service-2.json")
_ENDPOINTS = "endpoints.json"
_FILES = (_EC2_MODEL, _ENDPOINTS)


def prefer(session: Session, cache_directory: str) -> None:
    """Put the small copies before botocore's data in this session, making them first if need be.

    That they cannot be made is no error: the session then works with the full files.
    """
    try:
        directory = _made(cache_directory)
    except (OSError, StateError, KeyError, ValueError):
        return
    session.get_component("data_loader").search_paths.insert(0, directory)


def forget(session: Session, cache_directory: str) -> bool:
    """Stop using the copies and delete them if they are damaged; False when they are not, or not in use."""
    paths: list[str] = session.get_component("data_loader").search_paths
    directory = _directory(cache_directory)
    if directory not in paths or _is_whole(directory):
        return False
    paths.remove(directory)
    shutil.rmtree(directory, ignore_errors=True)
    return True


def _is_whole(directory: str) -> bool:
    try:
        for name in _FILES:
            with open(join(directory, name), "rb") as file:
                json.load(file)
    except (OSError, ValueError):
        return False
    return True


def _directory(cache_directory: str) -> str:
    kept = repr((OPERATIONS, SERVICES, INSTANCE_MEMBERS)).encode()
    return join(cache_directory, f"models-{botocore.__version__}-{hashlib.sha256(kept).hexdigest()[:8]}")


def _made(cache_directory: str) -> str:
    directory = _directory(cache_directory)
    if os.path.isdir(directory):
        return directory
    loader = Loader()
    contents = {
        _EC2_MODEL: trimmed_model(loader.load_service_model("ec2", "service-2")),
        _ENDPOINTS: trimmed_endpoints(loader.load_data("endpoints")),
    }
    temporary = f"{directory}.{os.getpid()}.tmp"
    for name, content in contents.items():
        files.write(join(temporary, name), json.dumps(content, separators=(",", ":")).encode())
    try:
        os.rename(temporary, directory)
    except OSError:
        shutil.rmtree(temporary)
        if not os.path.isdir(directory):  # another call made them meanwhile, or the disk is at fault
            raise
    return directory


def trimmed_model(model: dict[str, Any]) -> dict[str, Any]:
    """Keep the listed operations, the shapes that they reach and no documentation."""
    operations = {name: model["operations"][name] for name in OPERATIONS}
    shapes = dict(model["shapes"])
    members = shapes["Instance"]["members"]
    shapes["Instance"] = {**shapes["Instance"], "members": {name: members[name] for name in INSTANCE_MEMBERS}}
    wanted: dict[str, Any] = {}
    waiting = [name for operation in operations.values() for name in _references(operation)]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = shapes[name]
            waiting += _references(shapes[name])
    small = {
        "version": model["version"],
        "metadata": model["metadata"],
        "operations": operations,
        "shapes": wanted,
    }
    undocumented: dict[str, Any] = _undocumented(small)
    return undocumented


def _references(node: Any) -> list[str]:
    """Give the names of the shapes that a piece of the model refers to."""
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["shape"]] if isinstance(node.get("shape"), str) else []
    return own + [name for value in node.values() for name in _references(value)]


def _undocumented(node: Any) -> Any:
    if isinstance(node, list):
        return [_undocumented(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _undocumented(value)
        for key, value in node.items()
        if not (key == "documentation" and isinstance(value, str))
    }


def trimmed_endpoints(endpoints: dict[str, Any]) -> dict[str, Any]:
    """Keep every partition and region, and of the services those that are called."""
    partitions = [
        {**partition, "services": {n: s for n, s in partition["services"].items() if n in SERVICES}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}
