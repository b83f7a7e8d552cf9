"""Turns the configuration and template files into their compiled form, or says exactly what is wrong in them.

Imported only when a file has changed: pydantic is slow to import. Every message names the file or variable, the
key, the fault and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hfplugin import document, templates
from hfplugin.catalog import Compiled, Sources, machine_types_path, prices_path
from hfplugin.config import LoggingSettings, RequestSettings, Settings, camel, is_blank
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.faults import Fault, found, refusal, slip_of, unknown
from hfplugin.model import Template
from hfplugin.providers import DEFAULT_TYPE
from hfplugin.providers.base.boundary import BoundedCosts
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.prices import PriceBook, readable_offers, unit_cost
from hfplugin.providers.base.provider import Context, ProviderSpec
from hfplugin.providers.base.registry import ProviderRegistry
from hfplugin.templates import offer, read_templates

_SUCCESS = "Get available templates success."

_PREFIX = "HFPLUGIN_"

# HostFactory's attribute, and its words for a price of which every begun part of an hour is paid for its part.
_PRICE = "priceInfo"
_BY_THE_HOUR = "price:{:.6g},billingTimeUnitType:prorated_hour,billingTimeUnitNumber:1,billingRoundoffType:unit"

# Sections that every provider type has.
_SECTIONS: dict[str, Any] = {"requests": RequestSettings, "logging": LoggingSettings, "installation": str}


def compile_sources(sources: Sources) -> Compiled:
    """Validate both files; ConfigurationError says what is wrong in the first that is."""
    settings, warnings = read_settings(sources.config_path, sources.config, sources.environment.overrides)
    refreshed = machine_types_path(sources.environment)
    templates, passed_on = read_templates(sources.templates_path, sources.templates, settings, refreshed)
    if os.path.exists(prices_path(sources.environment)):
        templates = _priced(templates, settings, sources.environment)
    answer = {"templates": [offer(template) for template in templates], "message": _SUCCESS}
    rest = {
        "settings": asdict(settings),
        "templates": [template._asdict() for template in templates],
        "warnings": [*warnings, *passed_on],
        "config": sources.config_path,
    }
    said = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
    return Compiled(sources.key, said, json.dumps(rest).encode(), settings.logging.level)


def _priced(templates: list[Template], settings: Settings, environment: Environment) -> list[Template]:
    """Give the templates with what HostFactory's rank may go by: what a unit of each costs, as far as it is known.

    A template that says its price itself keeps it.
    """
    make = ProviderRegistry.spec(settings.provider_type).costs
    if make is None:
        return templates
    cache = Cache(os.path.dirname(prices_path(environment)))
    health = Health(os.path.join(environment.state_dir, "health"))
    context = Context(environment.provider_name, settings.installation, cache, health)
    model = BoundedCosts(make(settings.provider, context))
    prices = PriceBook(cache).prices()
    costs = [unit_cost(readable_offers(model, template), prices) for template in templates]
    return [
        template
        if most is None or _PRICE in {**template.attributes, **template.passthrough}
        else template._replace(attributes={**template.attributes, _PRICE: ["String", _BY_THE_HOUR.format(most)]})
        for template, most in zip(templates, costs, strict=True)
    ]


def read_settings(path: str, content: bytes, overrides: Iterable[tuple[str, str]]) -> tuple[Settings, list[str]]:
    """Give the settings of a configuration file under the environment's overrides, and warnings."""
    raw, warnings = own_form(path, content)
    spec = _spec(path, raw)
    sections = {spec.provider_type: spec.config_type, **_SECTIONS}
    known = ["providerType", *sections]
    faults = [Fault(key, unknown(key, known)) for key in raw if key not in known]
    laid, variables = _overridden(raw, overrides, sections, warnings)
    values: dict[str, Any] = {}
    with ProviderRegistry.validation(spec.provider_type):
        for name, kind in sections.items():
            try:
                values[name] = TypeAdapter(kind).validate_python(_given(laid.get(name), kind))
            except ValidationError as error:
                faults += found(error, name, kind)
    in_file = [fault for fault in faults if fault.key not in variables]
    if in_file:
        raise refusal(path, in_file)
    if faults:
        raise refusal("environment", [Fault(variables[key], text) for key, text in faults])
    provider = values.pop(spec.provider_type)
    return Settings(provider_type=spec.provider_type, provider=provider, **values), warnings


def own_form(path: str, content: bytes) -> tuple[dict[str, Any], list[str]]:
    """Give a configuration file in our form, with warnings about what has no place in it."""
    try:
        raw = document.read(content)
    except ValueError as error:
        raise ConfigurationError(f"{path} {error}") from error
    if "providerType" in raw:
        return raw, []
    convert = ProviderRegistry.spec(DEFAULT_TYPE).convert
    # A file of ours that says everything but this would pass for one of IBM's with nothing in it.
    known = ProviderRegistry.known()
    types = [key for key in raw if key in known]
    ours = [key for key in raw if key in _SECTIONS or slip_of(key, ["providerType"])]
    if types or ours or convert is None:
        meant = " or ".join(f'"{name}"' for name in types or [DEFAULT_TYPE])
        raise ConfigurationError(f'{path}: providerType is missing: add "providerType": {meant}')
    try:
        return convert(raw)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def own_templates(sources: Sources) -> tuple[dict[str, Any], list[str]]:
    """Give the templates file in our form, with warnings about what has no effect."""
    settings, _ = read_settings(sources.config_path, sources.config, sources.environment.overrides)
    return templates.own_form(sources.templates_path, sources.templates, settings)


def _given(section: Any, kind: Any) -> Any:
    """Take what is not set out of a section."""
    if section is None:
        return "" if kind is str else {}
    if not isinstance(section, dict):
        return section
    known = _keys(kind)
    return {key: value for key, value in section.items() if key not in known or not is_blank(value)}


def _spec(path: str, raw: Mapping[str, Any]) -> ProviderSpec:
    try:
        return ProviderRegistry.spec(str(raw["providerType"]))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _overridden(
    raw: Mapping[str, Any],
    overrides: Iterable[tuple[str, str]],
    sections: Mapping[str, Any],
    warnings: list[str],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Lay HFPLUGIN_SECTION__KEY variables over the file; also say which path (`section.key`) each one set."""
    result = {name: dict(value) if isinstance(value, dict) else value for name, value in raw.items()}
    variables: dict[str, str] = {}
    for variable, text in overrides:
        head, separator, tail = variable.removeprefix(_PREFIX).partition("__")
        section = next((name for name in sections if name.casefold() == head.casefold()), "")
        kind = sections.get(section)
        if kind is None or (kind is str and separator):
            # Not an error: another provider instance of the same HostFactory may have such a section.
            warnings.append(f"environment variable {variable} has no effect: no such setting")
            continue
        if kind is str:
            result[section], variables[section] = text, variable
            continue
        key = _key(variable, tail, _keys(kind))
        variables[f"{section}.{key}"] = variable
        if result.get(section) is None:
            result[section] = {}
        if isinstance(result[section], dict):  # what else the file has there is a fault of its own
            result[section][key] = _words(text) if _is_list(kind, key) else text
    return result, variables


def _key(variable: str, name: str, known: list[str]) -> str:
    """Give the key that a variable's AWS__READ_TIMEOUT_SECONDS style means."""
    wanted = name.replace("_", "").casefold()
    key = next((key for key in known if key.casefold() == wanted), None)
    if key is None:
        raise refusal("environment", [Fault(variable, unknown(camel(name.lower()), known))])
    return key


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]


def _is_list(kind: Any, key: str) -> bool:
    return any(camel(name) == key and isinstance(getattr(kind, name, None), tuple) for name in _fields(kind))


def _keys(kind: Any) -> list[str]:
    return [camel(name) for name in _fields(kind)]


def _fields(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []
