"""Which kinds of provider there are: built-in ones by name, third parties' by entry point, both lazily."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, ClassVar

from hfplugin.errors import ConfigurationError
from hfplugin.providers import BUILT_IN
from hfplugin.providers.base.provider import ProviderSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from hfplugin.model import Template

ENTRY_POINT_GROUP = "hfplugin.providers"


class ProviderRegistry:
    """Finds the ProviderSpec of a provider type."""

    @staticmethod
    def spec(provider_type: str) -> ProviderSpec:
        """Give a provider's spec; a built-in name cannot be shadowed.

        ConfigurationError when no such provider is installed, or the package that brings it is at fault.
        """
        target = BUILT_IN.get(provider_type)
        if target is None:
            return _third_party(provider_type)
        module, attribute = target.split(":")
        spec: ProviderSpec = getattr(import_module(module), attribute)
        return spec

    @staticmethod
    def known() -> set[str]:
        """Give the provider types that there are."""
        return {*BUILT_IN, *_points().names}

    @staticmethod
    def validation(provider_type: str) -> AbstractContextManager[None]:
        """Surround what makes or validates a type of a provider's.

        ConfigurationError for whatever another package's raises but ValueError, which pydantic's own error is.
        """
        points = () if provider_type in BUILT_IN else _points().select(name=provider_type)
        for point in points:
            from hfplugin.providers.base import third_party

            return third_party.edge(f"{third_party.described(point)}: validation failed", (ValueError,))
        return nullcontext()

    @staticmethod
    def warnings() -> list[str]:
        """Name the providers of other packages that are not used, because their name is taken."""
        from hfplugin.providers.base import third_party

        return third_party.unheard(_points(), BUILT_IN)


def _third_party(provider_type: str) -> ProviderSpec:
    points = _points()
    if provider_type not in points.names:
        known = ", ".join(sorted(ProviderRegistry.known()))
        raise ConfigurationError(
            f"unknown providerType {provider_type!r}; known: {known}: install the package that brings it"
            f" for {sys.executable}, or correct providerType"
        )
    from hfplugin.providers.base import third_party

    return third_party.load(points[provider_type])


def _points() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINT_GROUP)


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
        if provider_type in ProviderRegistry.known():
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
        kind = cls._type(provider_type)
        with ProviderRegistry.validation(provider_type):
            return kind.model_validate(data)

    @classmethod
    def of(cls, template: Template) -> Any:
        """Give the provider's part of a template, typed, with the schema's defaults.

        ConfigurationError when it is not valid: a record may be of a version that allowed what this one refuses.
        """
        try:
            return cls.create_extension_config(template.provider_type, template.extension or {})
        except ValueError as error:
            fault = " ".join(str(error).split())
            raise ConfigurationError(
                f"the template of this request is not valid in this version: {fault}"
            ) from error

    @classmethod
    def extension_schema(cls, provider_type: str) -> dict[str, Any]:
        """Give the JSON schema of the provider's part of a template."""
        schema: dict[str, Any] = cls._type(provider_type).model_json_schema()
        return schema

    @classmethod
    def _type(cls, provider_type: str) -> Any:
        return cls._registered.get(provider_type) or ProviderRegistry.spec(provider_type).template_type()
