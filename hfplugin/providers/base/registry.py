"""Which kinds of provider there are: built-in ones by name, third parties' by entry point, both lazily."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hfplugin.errors import ConfigurationError
from hfplugin.providers import BUILT_IN
from hfplugin.providers.base.provider import ProviderSpec

ENTRY_POINT_GROUP = "hfplugin.providers"


class ProviderRegistry:
    """Finds the ProviderSpec of a provider type."""

    @staticmethod
    def spec(provider_type: str) -> ProviderSpec:
        """ConfigurationError when no such provider is installed; a built-in name cannot be shadowed."""
        target = BUILT_IN.get(provider_type)
        if target is None:
            return _third_party(provider_type)
        module, attribute = target.split(":")
        spec: ProviderSpec = getattr(import_module(module), attribute)
        return spec


def _third_party(provider_type: str) -> ProviderSpec:
    from importlib.metadata import entry_points

    points = entry_points(group=ENTRY_POINT_GROUP)
    if provider_type not in points.names:
        known = ", ".join(sorted({*BUILT_IN, *points.names}))
        raise ConfigurationError(f"unknown providerType {provider_type!r}; known: {known}")
    point = points[provider_type]
    try:
        spec = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"provider {provider_type} ({point.value}) cannot be loaded: {error}") from error
    if not isinstance(spec, ProviderSpec):
        raise ConfigurationError(f"provider {provider_type}: {point.value} is not a ProviderSpec")
    return spec


class TemplateExtensionRegistry:
    """Gives the provider's part of a template as a typed object: the only way to read it."""

    @staticmethod
    def create_extension_config(provider_type: str, data: dict[str, Any]) -> Any:
        """Validate `data` (keys as in the templates file) and fill in the schema's defaults.

        Raises pydantic's ValidationError for a wrong value or an unknown key.
        """
        return ProviderRegistry.spec(provider_type).template_type().model_validate(data)

    @staticmethod
    def extension_schema(provider_type: str) -> dict[str, Any]:
        """Give the JSON schema of the provider's part of a template."""
        schema: dict[str, Any] = ProviderRegistry.spec(provider_type).template_type().model_json_schema()
        return schema
