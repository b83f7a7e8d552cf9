"""A simulated cloud whose time a test moves, with which the contract kit can do all that it wants to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fake_cloud import ManualClock

from hfplugin.errors import ErrorKind
from hfplugin.model import Template
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.contract import Bench
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Provider
from hfplugin.providers.simulated.cloud import Cloud
from hfplugin.providers.simulated.configuration import SimulatedSettings
from hfplugin.providers.simulated.provider import SimulatedProvider

MACHINE_TYPES = {"large": {"ncpus": 4, "nram": 8192}}
PLACES = ["north", "south"]


def template(template_id: str = "small", **extension: Any) -> Template:
    content = {"machineTypes": MACHINE_TYPES, "places": PLACES, **extension}
    return Template(template_id, "simulated", -1, {}, content)


class SimulatedBench(Bench):
    """`make` gives the provider, so that a broken one can be put in its place."""

    def __init__(
        self,
        root: Path,
        make: type[SimulatedProvider] = SimulatedProvider,
        source: str = "machines",
        **settings: Any,
    ) -> None:
        self.clock = ManualClock()
        self.context = Context(
            "prod1", "installation1", Cache(str(root / "cache")), Health("", self.clock.clock), tuple
        )
        self.template = template(source=source)._replace(tags={"team": "blue"})
        self.group_template = template("group", source="group")
        weighty = {"large": {**MACHINE_TYPES["large"], "weight": 3}}
        self.weighted_template = template("weighty", source=source, machineTypes=weighty)
        self.bad_template = template("bad", source=source, machineTypes={})
        self._make = make
        self._settings = SimulatedSettings(**{"boot_seconds": 5.0, **settings})

    def make(self) -> Provider:
        return self._make(self._settings, self.context, self.clock.clock)

    def configure(self, **changes: Any) -> None:
        self._settings = replace(self._settings, **changes)
        self.renew()

    @property
    def cloud(self) -> Cloud:
        """The cloud past the provider."""
        return SimulatedProvider(self._settings, self.context, self.clock.clock).cloud

    def now(self) -> float:
        return self.clock()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def alive(self) -> set[str]:
        cloud = self.cloud
        return {machine.id for launched in cloud.every() for machine in cloud.living(launched)}

    def refuse(self, kind: ErrorKind) -> None:
        changes: dict[ErrorKind, dict[str, Any]] = {
            ErrorKind.CAPACITY: {"capacity": dict.fromkeys(PLACES, 0)},
            ErrorKind.QUOTA: {"quota": 0},
            ErrorKind.THROTTLED: {"throttled_share": 1.0},
            ErrorKind.AUTH: {"denied": ("launch",)},
            ErrorKind.INVALID: {"places": ("elsewhere",)},
        }
        self.configure(**changes[kind])

    def limit(self, machines: int) -> None:
        self.configure(capacity={PLACES[0]: machines, PLACES[1]: 0})

    def lose_answer(self) -> None:
        self.configure(lost_answer_share=1.0)

    def cut_off(self) -> None:
        self.cloud.cut_off()

    def end(self, machine_id: str) -> None:
        self.cloud.end(machine_id)

    def interrupt(self, machine_id: str) -> None:
        self.cloud.interrupt(machine_id)

    def protect(self, machine_id: str) -> None:
        self.cloud.protect(machine_id)

    def tags(self, machine_id: str) -> Mapping[str, str]:
        [(launched, _)] = self.cloud.machines([machine_id]).values()
        return launched.tags
