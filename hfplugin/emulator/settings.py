"""How the emulated AWS behaves: times, capacity, quotas, prices."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """What a test or an administrator sets. All times are in seconds of the emulator's clock.

    Pools of machines are named REGION/TYPE/ZONE, or REGION/TYPE/ZONE/spot and .../on-demand for one purchase
    type; * stands for any part, and of several names that fit, the last one set holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # A machine is pending, then running; shutting-down, then terminated.
    boot_seconds: Seconds = 0.0
    shutdown_seconds: Seconds = 0.0
    # After its launch a machine is unknown to every other call: EC2 is eventually consistent.
    visible_seconds: Seconds = 0.0
    # After its creation a launch template is unknown to every launch, fleet and group that names it.
    launch_template_seconds: Seconds = 0.0
    # Terminated machines are shown for about an hour.
    vanish_seconds: Seconds = 3600.0
    # Until a fleet or group acts: its first launch, the replacement of a machine, the end of a change.
    fleet_seconds: Seconds = 0.0
    # Until a fleet or group tries again what was refused.
    retry_seconds: Annotated[float, Field(gt=0)] = 60.0
    # Machines that a pool can hold at a time; a pool without a number holds any.
    capacity: dict[str, Count] = {}
    # Pools that do not exist: patterns of REGION/TYPE/ZONE whose zone does not offer the type at all.
    unoffered: tuple[str, ...] = ()
    # Per account and region: on-demand-vcpus, spot-vcpus, fleets, spot-fleets, groups,
    # launch-templates. Without a number: no limit, but AWS's own for launch templates.
    quotas: dict[str, Count] = {}
    # Dollars an hour; without a number, a price of our own making.
    prices: dict[str, Annotated[float, Field(gt=0)]] = {}
    # Images, subnets, security groups, key pairs and instance profiles that a call names are made up on the way.
    invents: bool = False

    def limit_of(self, pool: str, purchase: str) -> tuple[int, bool] | None:
        """Give a pool's number, and whether both purchase types share it."""
        fit = _last_fit(self.capacity, pool, purchase)
        return (self.capacity[fit], fnmatchcase(pool, fit)) if fit else None

    def offers(self, pool: str) -> bool:
        """Say whether a pool's zone has its type, even if none can be had now."""
        return not any(fnmatchcase(pool, pattern) for pattern in self.unoffered)

    def price_of(self, pool: str, purchase: str) -> float | None:
        fit = _last_fit(self.prices, pool, purchase)
        return self.prices[fit] if fit else None


def _last_fit(patterns: Iterable[str], pool: str, purchase: str) -> str | None:
    names = (pool, f"{pool}/{purchase}")
    fits = [pattern for pattern in patterns if any(fnmatchcase(name, pattern) for name in names)]
    return fits[-1] if fits else None
