"""How the values of a template may be written: IBM's texts, AWS's hyphens, other products' underscores."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

_HOURS_AND_MINUTES = re.compile(r"(\d{1,4}):(\d{1,2})")


def _folded(text: str) -> str:
    return re.sub(r"[-_\s]", "", text).casefold()


def _words(value: Any) -> Any:
    """A list, or IBM's text with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _tags(value: Any) -> Any:
    """An object, or IBM's `k=v;k=v`."""
    if not isinstance(value, str):
        return value
    tags = {}
    for pair in filter(None, (part.strip() for part in value.split(";"))):
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{pair!r} is not of the form key=value")
        tags[key.strip()] = text.strip()
    return tags


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _validity(value: Any) -> Any:
    """LSF's hours and minutes, `HH:MM`."""
    found = _HOURS_AND_MINUTES.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and value and (found is None or not minutes(value)):
        raise ValueError('has to be hours and minutes like "01:30", above 00:00')
    return value


def minutes(validity: str) -> int:
    """Give the minutes of a validity that is well formed; 0 of an empty one."""
    found = _HOURS_AND_MINUTES.fullmatch(validity)
    return int(found[1]) * 60 + int(found[2]) if found else 0


_STRATEGIES = {
    _folded(name): name
    for name in (
        "capacityOptimized",
        "capacityOptimizedPrioritized",
        "diversified",
        "lowestPrice",
        "priceCapacityOptimized",
        "prioritized",
    )
}

_SERVICES = {_folded(name): name for name in ("RunInstances", "EC2Fleet", "SpotFleet", "ASG")} | {
    "autoscalinggroup": "ASG",
    "autoscaling": "ASG",
}


def _strategy(value: Any) -> Any:
    """IBM's camelCase, from that, from AWS's hyphens or from underscores."""
    return _STRATEGIES.get(_folded(value), value) if isinstance(value, str) else value


def _service(value: Any) -> Any:
    return _SERVICES.get(_folded(value), value) if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
Words = Annotated[list[str], BeforeValidator(_words)]
Tags = Annotated[dict[str, Text], BeforeValidator(_tags)]
Weights = dict[str, Annotated[int, Field(ge=1)]]
Validity = Annotated[str, BeforeValidator(_validity)]

Service = Annotated[Literal["RunInstances", "EC2Fleet", "SpotFleet", "ASG"], BeforeValidator(_service)]
FleetType = Annotated[Literal["instant", "request", "maintain"], BeforeValidator(_lower)]
PriceType = Annotated[Literal["ondemand", "spot", "heterogeneous"], BeforeValidator(_lower)]
SpotStrategy = Annotated[
    Literal[
        "capacityOptimized",
        "capacityOptimizedPrioritized",
        "diversified",
        "lowestPrice",
        "priceCapacityOptimized",
        "",
    ],
    BeforeValidator(_strategy),
]
OnDemandStrategy = Annotated[Literal["lowestPrice", "prioritized", ""], BeforeValidator(_strategy)]
