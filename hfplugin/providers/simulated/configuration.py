"""The `simulated` section of the configuration: shape and defaults. Only settings, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from hfplugin.config import SECTION

Share = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Ge(0)]


@dataclass(frozen=True)
class SimulatedSettings:
    """What the cloud has, and how good its days are. The same seed brings the same to the same machines.

    `directory` is where the cloud is kept, `simulated` in the state directory when empty; installations that name
    the same one share it. `places` are those that there are, and where a template that names none is launched, in
    this order; when empty, there is every one that a template names, and `here`. `capacity` says how many machines
    a place holds at a time, `quota` how many all of them do: without a number, any. `boot_variation` is the share
    of `boot_seconds` by which a boot may be faster or slower.

    Of all launches `launch_failure_share` is refused for capacity, and of `lost_answer_share` the answer is lost
    after they acted; of all machines `boot_failure_share` ends instead of running. The cloud takes machines back
    at `interruptions_per_hour` of each, `notice_seconds` after it said so. `throttled_share` of all seconds it
    throttles what it is asked, and for `outage_share` of all spells of `outage_seconds` it cannot be reached.
    `denied` are the operations that these credentials may not use, by the names of the provider's methods.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    directory: str = ""
    account: str = "simulated"
    seed: int = 0

    places: tuple[str, ...] = ()
    capacity: dict[str, Annotated[int, Ge(0)]] = field(default_factory=dict)
    quota: Annotated[int, Ge(0)] | None = None

    boot_seconds: Seconds = 10.0
    boot_variation: Share = 0.0
    shutdown_seconds: Seconds = 5.0

    launch_failure_share: Share = 0.0
    lost_answer_share: Share = 0.0
    boot_failure_share: Share = 0.0
    interruptions_per_hour: Annotated[float, Ge(0)] = 0.0
    notice_seconds: Seconds = 120.0
    throttled_share: Share = 0.0
    outage_share: Share = 0.0
    outage_seconds: Annotated[float, Ge(1)] = 60.0
    denied: tuple[str, ...] = ()
