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


def units_of(labels: Mapping[str, str], machine_type: str) -> int:
    """Read what a machine of a type is worth."""
    text = labels.get(UNITS, "")
    if text.isdecimal():
        return int(text)
    by_type = dict(word.split("=", 1) for word in text.split() if "=" in word)
    number = by_type.get(machine_type, "")
    return int(number) if number.isdecimal() else 1
