"""The `aws` section of the configuration: shape and defaults. Only settings, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le

from hfplugin.config import SECTION


@dataclass(frozen=True)
class AWSSettings:
    """How to reach AWS. Empty texts mean: as the standard AWS files and variables say.

    `endpoint_url` serves every AWS service. Time-outs are seconds: a dead region should cost a poll little, and
    a launch of 500 machines must be able to answer. `prices` are what machine types cost on demand by the hour,
    where an agreement has others than the price list.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    region: str = ""
    endpoint_url: str = ""
    profile: str = ""
    assume_role_arn: str = ""
    external_id: str = ""
    credential_file: str = ""
    proxy_host: str = ""
    proxy_port: Annotated[int, Ge(1), Le(65535)] | None = None
    connect_timeout_seconds: Annotated[float, Ge(0.1)] = 5.0
    read_timeout_seconds: Annotated[float, Ge(0.1)] = 60.0
    fallback_regions: tuple[str, ...] = ()
    count_threads: bool = False
    interruption_queue_url: str = ""
    return_on_rebalance: bool = False
    prices: dict[str, Annotated[float, Gt(0)]] = field(default_factory=dict)
