"""Subnets by zone. A fleet takes one subnet a zone: two would be two pools of one kind, which AWS refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate


def layers(clients: Clients, region: str, subnets: Sequence[str]) -> list[list[str]]:
    """Part subnets so that each part has one of every zone at most; the first of each zone come first.

    One subnet, or none, needs no look. Raises ProviderError, and ConfigurationError naming what does not exist.
    """
    if len(subnets) < 2:
        return [list(subnets)]
    zones = _zones(clients, region, subnets)
    parts: list[dict[str, str]] = []
    for subnet in dict.fromkeys(subnets):
        part = next((part for part in parts if zones[subnet] not in part), None)
        if part is None:
            part = {}
            parts.append(part)
        part[zones[subnet]] = subnet
    return [list(part.values()) for part in parts]


def _zones(clients: Clients, region: str, subnets: Sequence[str]) -> dict[str, str]:
    wanted: Any = [{"Name": "subnet-id", "Values": list(dict.fromkeys(subnets))}]
    try:
        found = clients.ec2(region).describe_subnets(Filters=wanted)["Subnets"]
    except AWS_ERRORS as error:
        raise translate(error) from error
    zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found}
    absent = [subnet for subnet in subnets if subnet not in zones]
    if absent:
        raise ConfigurationError(f"subnetId {', '.join(absent)}: no such subnet in {region}")
    return zones
