"""The simulated provider: what HostFactory wants, said to the cloud; what the cloud says, judged for the core.

Three rules make it a good provider. A launch is sent as it was frozen, under its token, and sent again it brings
what it brought before. It never says "nothing was launched" or "no such machine" unless the cloud has said so.
A group is told to hold less before any machine of it is given back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import dirname
from typing import TYPE_CHECKING

from hfplugin.clock import Clock
from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.model import Launch, Template
from hfplugin.providers.base.provider import (
    Check,
    Context,
    Found,
    Host,
    Inventory,
    Located,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Reclaimed,
    Released,
    Source,
    Spare,
)
from hfplugin.providers.simulated import groups, launching, operations, places, seen
from hfplugin.providers.simulated.cloud import Cloud
from hfplugin.providers.simulated.configuration import SimulatedSettings

if TYPE_CHECKING:
    from hfplugin.providers.simulated.template import SimulatedTemplate


class SimulatedProvider:
    """Machines of one simulated cloud."""

    def __init__(self, settings: SimulatedSettings, context: Context, clock: Clock | None = None) -> None:
        self._context = context
        self._places = settings.places or (places.HERE,)
        self.cloud = Cloud.of(settings, dirname(context.cache.directory), clock or Clock())

    def plan(self, order: Order) -> Plan | Nowhere:
        template = typed(order.template)
        choice = places.choose(self._places_of(template), order, self._context.health.refused)
        return choice.planned(lambda place: self._plan_in(template, order, place))

    def _places_of(self, template: SimulatedTemplate) -> list[places.Place]:
        """Give the places of a template; one that names none may be launched in every one that there is."""
        return list(places.every(template, template.places or self._places))

    def _plan_in(self, template: SimulatedTemplate, order: Order, place: places.Place) -> Plan:
        count = -(-order.units // place.weight)
        is_group = template.source == "group"
        name = f"{self._context.provider_name}-{order.request_id}-{order.attempt}" if is_group else ""
        return Plan(
            api=groups.API if is_group else launching.API,
            region=seen.REGION,
            account=self.cloud.account,
            place=str(place),
            params={
                "place": place.name,
                "machineType": place.machine_type,
                "count": count,
                "least": count if order.template.all_or_nothing and not is_group else 1,
                "group": name,
                "tags": self._tags(order, place),
            },
            units=count * place.weight,
            weight=place.weight,
            remains=(name,) if is_group else (),
        )

    def _tags(self, order: Order, place: places.Place) -> dict[str, str]:
        """Give the tags by which a machine whose record is lost is found, and known for whose it is."""
        return {
            **order.template.tags,
            "provider": self._context.provider_name,
            "installation": self._context.installation,
            "request": order.request_id,
            "template": order.template.id,
            "attempt": str(order.attempt),
            "units": str(place.weight),
        }

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return launching.launch(self.cloud, launch, self._context.health.refused)

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        return launching.find(self.cloud, launch)

    def gather(self, launch: Launch) -> Outcome:
        self.cloud.admit("gather")
        return groups.gather(self.cloud, launch, self._context.health.refused)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        self.cloud.admit("stop")
        groups.stop(self.cloud, launch, held)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        self.cloud.admit("remove")
        groups.remove(self.cloud, launch)

    def observe(self, machines: Sequence[Located]) -> Observation:
        return operations.observe(self.cloud, machines)

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        self.cloud.admit("release")
        if source is not None:
            groups.lower_for(self.cloud, source)
        return operations.release(self.cloud, machines)

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        return operations.reclaimed(self.cloud, machines)

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """There are no messages to be let go: what is said of a machine follows from its life."""

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return operations.find_hosts(self.cloud, hosts, self._context.provider_name)

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        return operations.find_requests(self.cloud, request_ids, self._context.provider_name)

    def inventory(self) -> Inventory:
        return operations.inventory(self.cloud, self._context.provider_name)

    def discard(self, spares: Sequence[Spare]) -> None:
        """A launch leaves nothing behind but its group, which is found as a source."""

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            self.cloud.admit("check")
        except ProviderError as error:
            return [Check("cloud", False, str(error), "see the `simulated` section of the configuration")]
        return [Check("cloud", True, f"in {self.cloud.directory}"), *map(self._check_template, templates)]

    def _check_template(self, template: Template) -> Check:
        """Try every place, as far as that is possible without a launch."""
        subject = f"template {template.id}"
        order = Order("req-check", 1, template, 1)
        try:
            extension = typed(template)
            tried = self._places_of(extension)
            for place in tried:
                self.cloud.require_place(place.name)
                self._plan_in(extension, order, place)
        except (ProviderError, ConfigurationError) as error:
            return Check(subject, False, str(error), "correct the template, or simulated.places")
        return Check(subject, True, f"a launch would succeed as {', '.join(map(str, tried))}")


def typed(template: Template) -> SimulatedTemplate:
    """Read the provider's part of a template: typed, with the schema's defaults. Raises ConfigurationError."""
    from hfplugin.providers.base.registry import TemplateExtensionRegistry

    extension: SimulatedTemplate = TemplateExtensionRegistry.of(template)
    return extension
