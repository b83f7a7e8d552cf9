"""The simulated provider as the registry knows it. Each part is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfplugin.providers.base.provider import Context, Provider, ProviderSpec
from hfplugin.providers.simulated.configuration import SimulatedSettings

if TYPE_CHECKING:
    from hfplugin.providers.base.prices import CostModel
    from hfplugin.providers.simulated.template import SimulatedTemplate


def _create(settings: SimulatedSettings, context: Context) -> Provider:
    from hfplugin.providers.simulated.provider import SimulatedProvider

    return SimulatedProvider(settings, context)


def _costs(settings: SimulatedSettings, context: Context) -> CostModel:
    from hfplugin.providers.simulated.prices import SimulatedCostModel

    return SimulatedCostModel(context)


def _template_type() -> type[Any]:
    from hfplugin.providers.simulated.template import SimulatedTemplate

    return SimulatedTemplate


def _attributes(template: SimulatedTemplate, settings: SimulatedSettings, refreshed: str) -> dict[str, list[str]]:
    return template.attributes


def _tags(template: SimulatedTemplate) -> dict[str, str]:
    return template.tags


SPEC = ProviderSpec(
    provider_type="simulated",
    config_type=SimulatedSettings,
    template_type=_template_type,
    create=_create,
    attributes=_attributes,
    tags=_tags,
    costs=_costs,
)
