"""Which kinds of provider there are: built-in ones by name, third parties' by entry point, both lazily."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

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
        known = ", ".join(sorted(_installed()))
        raise ConfigurationError(f"unknown providerType {provider_type!r}; known: {known}")
    point = points[provider_type]
    try:
        spec = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"provider {provider_type} ({point.value}) cannot be loaded: {error}") from error
    if not isinstance(spec, ProviderSpec):
        raise ConfigurationError(f"provider {provider_type}: {point.value} is not a ProviderSpec")
    return spec


def _installed() -> set[str]:
    from importlib.metadata import entry_points

    return {*BUILT_IN, *entry_points(group=ENTRY_POINT_GROUP).names}


class TemplateExtensionRegistry:
    """Gives the provider's part of a template as a typed object: the only way to read it.

    An installed provider's type is known by its ProviderSpec; one that is not installed, such as an author's under
    test, is made known to this process by `register`.
    """

    _registered: ClassVar[dict[str, type[Any]]] = {}

    @classmethod
    def register(cls, provider_type: str, extension_type: type[Any]) -> None:
        """Make a pydantic model known as the type of a provider's part of a template.

        ConfigurationError when the name is an installed provider's, or is registered with another model.
        """
        name = extension_type.__name__
        if provider_type in _installed():
            raise ConfigurationError(f"provider {provider_type} is installed: {name} cannot be its template type")
        if not hasattr(extension_type, "model_validate"):
            raise ConfigurationError(f"provider {provider_type}: {name} is not a pydantic model")
        if cls._registered.setdefault(provider_type, extension_type) is not extension_type:
            known = cls._registered[provider_type].__name__
            raise ConfigurationError(f"provider {provider_type} has the template type {known} already")

    @classmethod
    def create_extension_config(cls, provider_type: str, data: dict[str, Any]) -> Any:
        """Validate `data` (keys as in the templates file) and fill in the schema's defaults.

        Raises pydantic's ValidationError for a wrong value or an unknown key.
        """
        return cls._type(provider_type).model_validate(data)

    @classmethod
    def extension_schema(cls, provider_type: str) -> dict[str, Any]:
        """Give the JSON schema of the provider's part of a template."""
        schema: dict[str, Any] = cls._type(provider_type).model_json_schema()
        return schema

    @classmethod
    def _type(cls, provider_type: str) -> Any:
        return cls._registered.get(provider_type) or ProviderRegistry.spec(provider_type).template_type()
