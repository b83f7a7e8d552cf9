"""One account's resources in one region, and the whole world of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from hfplugin.emulator import catalogue, interruption, underneath
from hfplugin.emulator.blueprint import Blueprint
from hfplugin.emulator.capacity import SPOT, Capacity
from hfplugin.emulator.clock import Clock
from hfplugin.emulator.fleets.ec2_fleets import Fleets
from hfplugin.emulator.fleets.spot_fleets import SpotFleets
from hfplugin.emulator.groups.registry import Groups
from hfplugin.emulator.instances import Instance, Instances
from hfplugin.emulator.launch_templates import LaunchTemplates
from hfplugin.emulator.reservations import PlacementGroups, Reservations
from hfplugin.emulator.settings import Settings
from hfplugin.emulator.spot_requests import SpotRequests
from hfplugin.emulator.tokens import Tokens

_SSM = "resolve:ssm:"


class Region:
    """What one account has in one region."""

    def __init__(self, world: World, account: str, name: str) -> None:
        self._world = world
        self.account = account
        self.name = name
        self.clock = world.clock
        self.moto = underneath.Underneath(account, name)
        self.tokens = Tokens(world.clock)
        self.capacity = Capacity(self)
        self.instances = Instances(self)
        self.spot_requests = SpotRequests(self)
        self.launch_templates = LaunchTemplates(self)
        self.reservations = Reservations(self)
        self.placement_groups = PlacementGroups(self)
        self.fleets = Fleets(self)
        self.spot_fleets = SpotFleets(self)
        self.groups = Groups(self)

    @property
    def settings(self) -> Settings:
        return self._world.settings

    def price(self, blueprint: Blueprint) -> float:
        """Give what a machine costs now, in dollars an hour."""
        price = self.settings.price_of(blueprint.pool, blueprint.purchase)
        if price is not None:
            return price
        if blueprint.purchase == SPOT:
            return catalogue.spot_price(blueprint.machine_type, blueprint.zone)
        return catalogue.on_demand_price(blueprint.machine_type)

    def resolved(self, image_id: str) -> str:
        """Give an image's id, which `resolve:ssm:` names by a parameter."""
        return self.moto.parameter(image_id) if image_id.startswith(_SSM) else image_id

    def holdings(self) -> list[dict[str, Any]]:
        """List what is there besides machines: kind, id, state, tags."""
        return [
            {
                "kind": "launch-template",
                "id": each.template_id,
                "region": self.name,
                "state": "",
                "tags": each.tags,
            }
            for each in self.launch_templates.every()
        ] + [each.holding() for held in (self.fleets, self.spot_fleets, self.groups) for each in held.every()]

    def tell(self, instances: Iterable[Instance], state: str) -> None:
        """Let those who listen know that machines changed their state."""
        if self.moto.has_rules:
            interruption.tell(self, instances, state)


class World:
    """Everything that one emulator holds. Whoever touches it holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.settings = Settings()
        self.resets = 0
        self._regions: dict[tuple[str, str], Region] = {}

    def region(self, account: str, name: str) -> Region:
        """Give an account's region. KeyError when AWS has none of the name."""
        if not underneath.exists(name):
            raise KeyError(name)
        if (account, name) not in self._regions:
            self._regions[account, name] = Region(self, account, name)
        return self._regions[account, name]

    def regions(self) -> Iterator[Region]:
        """Go through the regions that were used."""
        yield from list(self._regions.values())

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings; those not named stay. pydantic's ValidationError when one is wrong."""
        self.settings = Settings.model_validate({**self.settings.model_dump(), **changes})

    def reset(self) -> None:
        """Forget every resource, plan and setting; the clock goes on."""
        self.resets += 1
        underneath.reset()
        self._regions.clear()
        self.clock.forget()
        self.settings = Settings()
