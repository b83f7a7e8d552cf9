"""The configuration file's settings, as hfplugin uses them: shapes and defaults.

Plain dataclasses that pydantic validates when the configuration is compiled (compiler.py); a call that finds
it compiled builds them without pydantic. Keys in the file are the camelCase of these names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt


def camel(name: str) -> str:
    """Give a field's key in a file: `read_timeout_seconds` is `readTimeoutSeconds`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def is_blank(value: object) -> bool:
    """True for what stands in a file for "not set": files in the field hold `"iops": ""`."""
    return value is None or value == ""


# What pydantic is told of every section: keys in camelCase, unknown ones refused.
SECTION: dict[str, Any] = {"alias_generator": camel, "extra": "forbid"}


@dataclass(frozen=True)
class RequestSettings:
    """How long things may take (seconds), how much may be launched, how long records are kept (days).

    `max_cost_per_hour` is in the currency of the provider's prices.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    deadline_seconds: Annotated[int, Ge(1)] = 600
    pending_timeout_seconds: Annotated[int, Ge(1)] = 600
    unclaimed_timeout_seconds: Annotated[int, Ge(1)] = 900
    max_machines_per_hour: Annotated[int, Ge(1)] | None = None
    max_cost_per_hour: Annotated[float, Gt(0)] | None = None
    history_days: Annotated[int, Ge(1)] = 7


@dataclass(frozen=True)
class LoggingSettings:
    """The log level where HostFactory's own HF_LOGLEVEL does not say."""

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


@dataclass(frozen=True)
class Settings:
    """One provider instance's settings; `provider` is the section of its provider type, as that type has it."""

    provider_type: str
    provider: Any
    requests: RequestSettings = field(default_factory=RequestSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    installation: str = ""
