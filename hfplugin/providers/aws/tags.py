"""The tags that say whose a machine is; written at creation, read back when a record is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROVIDER = "hfplugin:provider"
INSTALLATION = "hfplugin:installation"
REQUEST_ID = "hfplugin:request-id"
TEMPLATE_ID = "hfplugin:template-id"
ATTEMPT = "hfplugin:attempt"
# The capacity units that one machine is worth, where that is not one: a number, or for several types
# `m5.large=1 m5.xlarge=2`.
UNITS = "hfplugin:units"

# What AWS itself tags machines with, and the service that it means.
_SOURCES = {
    "aws:ec2:fleet-id": "EC2Fleet",
    "aws:ec2spot:fleet-request-id": "SpotFleet",
    "aws:autoscaling:groupName": "ASG",
}

# EC2's limit for a tag's value. Longer lists are cut: their machines count one unit if the record is lost.
_VALUE_LENGTH = 255


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Give tags in the shape that AWS's calls take, in a stable order: a replay must be byte-identical."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def as_dict(tags: Sequence[Any]) -> dict[str, str]:
    """Read tags in the shape that AWS answers."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def units(weights: Mapping[str, int]) -> dict[str, str]:
    """Give the tag that says what a machine of each type is worth; none when all are worth one."""
    worths = set(weights.values())
    if worths <= {1}:
        return {}
    if len(worths) == 1:
        return {UNITS: str(worths.pop())}
    words = [f"{name}={weight}" for name, weight in sorted(weights.items()) if weight != 1]
    text = ""
    for word in words:
        longer = f"{text} {word}".strip()
        text = longer if len(longer) <= _VALUE_LENGTH else text
    return {UNITS: text}


def weights(labels: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """Read what machines are worth: the units of one, and those of types that are worth something else."""
    text = labels.get(UNITS, "")
    if text.isdecimal():
        return int(text), {}
    by_type = (word.split("=", 1) for word in text.split() if "=" in word)
    return 1, {name: int(number) for name, number in by_type if number.isdecimal()}


def units_of(labels: Mapping[str, str], machine_type: str) -> int:
    """Read what a machine of a type is worth."""
    weight, by_type = weights(labels)
    return by_type.get(machine_type, weight)


def source_of(labels: Mapping[str, str]) -> str:
    """Give the fleet or group that a machine is of, by AWS's own tags; empty for one that is of none."""
    return next((f"{api}/{labels[key]}" for key, api in _SOURCES.items() if key in labels), "")
