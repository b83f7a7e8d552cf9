"""The tags that say whose a machine is; written at creation, read back when a record is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROVIDER = "hfplugin:provider"
INSTALLATION = "hfplugin:installation"
REQUEST_ID = "hfplugin:request-id"
TEMPLATE_ID = "hfplugin:template-id"
ATTEMPT = "hfplugin:attempt"
UNITS = "hfplugin:units"  # the capacity units that one machine is worth, where that is not one


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Give tags in the shape that AWS's calls take, in a stable order: a replay must be byte-identical."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def as_dict(tags: Sequence[Any]) -> dict[str, str]:
    """Read tags in the shape that AWS answers."""
    return {tag["Key"]: tag["Value"] for tag in tags}
