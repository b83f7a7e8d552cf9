"""One provider instance as the broker sees it: its settings, templates and provider, each made when first used."""

from __future__ import annotations

from os.path import join

from hfplugin import catalog
from hfplugin.errors import InputError
from hfplugin.logs import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from hfplugin.catalog import Catalog
    from hfplugin.config import Settings
    from hfplugin.environment import Environment
    from hfplugin.model import Template
    from hfplugin.providers.base.prices import CostModel
    from hfplugin.providers.base.provider import Context, Provider
    from hfplugin.store import Store

    class Site(Protocol):
        """What the broker needs of an installation."""

        @property
        def settings(self) -> Settings: ...

        @property
        def context(self) -> Context: ...

        @property
        def provider(self) -> Provider: ...

        @property
        def costs(self) -> CostModel | None: ...

        @property
        def templates(self) -> list[Template]: ...

        def template(self, template_id: str) -> Template: ...


class ConfiguredSite:
    """The installation that HostFactory's environment describes; opens what a call needs and no more.

    `is_strict` says what a wrong configuration file does: stop the call with ConfigurationError, or let it go
    on with the last good form.
    """

    def __init__(self, environment: Environment, store: Store, is_strict: bool) -> None:
        self.environment = environment
        self._store = store
        self._is_strict = is_strict
        self._catalog: Catalog | None = None
        self._settings: Settings | None = None
        self._context: Context | None = None
        self._provider: Provider | None = None

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            if self._is_strict:
                compiled = catalog.load(self.environment)
            else:
                compiled, fault = catalog.load_last_good(self.environment)
                if fault:
                    log.error("configuration.wrong", message=fault, used="the last good one")
            self._catalog = catalog.Catalog(compiled)
        return self._catalog

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = self.catalog.settings
        return self._settings

    @property
    def context(self) -> Context:
        if self._context is None:
            from hfplugin.providers.base.cache import Cache
            from hfplugin.providers.base.health import Health
            from hfplugin.providers.base.provider import Context

            self._context = Context(
                provider_name=self.environment.provider_name,
                installation=self.settings.installation or self._store.installation(),
                cache=Cache(join(self.environment.state_dir, "cache")),
                health=Health(join(self.environment.state_dir, "health")),
                templates=lambda: self.templates,
            )
        return self._context

    @property
    def provider(self) -> Provider:
        if self._provider is None:
            from hfplugin.providers.base.boundary import Bounded
            from hfplugin.providers.base.registry import ProviderRegistry

            spec = ProviderRegistry.spec(self.settings.provider_type)
            self._provider = Bounded(spec.create(self.settings.provider, self.context))
        return self._provider

    @property
    def costs(self) -> CostModel | None:
        """What the provider's machines cost, None where it does not know."""
        from hfplugin.providers.base.boundary import BoundedCosts
        from hfplugin.providers.base.registry import ProviderRegistry

        make = ProviderRegistry.spec(self.settings.provider_type).costs
        return BoundedCosts(make(self.settings.provider, self.context)) if make else None

    @property
    def templates(self) -> list[Template]:
        return self.catalog.templates

    def template(self, template_id: str) -> Template:
        """InputError names the known ids when there is no such template."""
        templates = {template.id: template for template in self.templates}
        if template_id not in templates:
            raise InputError(f"unknown templateId {template_id!r}; known: {', '.join(templates)}")
        return templates[template_id]
