"""Turns the configuration and template files into their compiled form, or says exactly what is wrong in them.

Imported only when a file has changed: pydantic is slow to import. Every message names the file, the template,
the key, the fault and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hfplugin.catalog import Compiled, Sources, machine_types_path
from hfplugin.config import LoggingSettings, RequestSettings, Settings, camel
from hfplugin.errors import ConfigurationError
from hfplugin.model import Template
from hfplugin.providers import DEFAULT_TYPE
from hfplugin.providers.base.provider import ProviderSpec
from hfplugin.providers.base.registry import ProviderRegistry, TemplateExtensionRegistry

# What HostFactory needs to size its demand; what the file leaves out of these is derived.
_SIZING = ("type", "ncores", "ncpus", "nram")

# An unknown template key this close to a known one is a slip, not a key for somebody else.
_SLIP = 2

# More faults than this in one message hide the first; correcting that one shows the others.
_MOST_FAULTS = 5

_SUCCESS = "Get available templates success."


class TemplateKeys(BaseModel):
    """The keys of a template that mean the same for every provider."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid")

    template_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
    max_number: Annotated[int, Field(ge=-1)]
    attributes: dict[str, Any] = {}
    all_or_nothing: bool = False
    pending_timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    deadline_seconds: Annotated[int, Field(ge=1)] | None = None


class Fault(NamedTuple):
    """One thing that is wrong: `key` is the path inside the file or template."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


def compile_sources(sources: Sources) -> Compiled:
    """Validate both files; ConfigurationError says what is wrong in the first that is."""
    settings, warnings = _settings(sources)
    templates, answer = _templates(sources, settings, warnings)
    document = {
        "settings": asdict(settings),
        "templates": [template._asdict() for template in templates],
        "warnings": warnings,
    }
    message = {"templates": answer, "message": _SUCCESS}
    return Compiled(
        sources.key, json.dumps(message, ensure_ascii=False).encode() + b"\n", json.dumps(document).encode()
    )


def own_form(sources: Sources) -> tuple[dict[str, Any], list[str]]:
    """Give the configuration file in our form, with warnings about what has no place in it."""
    raw = _parse(sources.config_path, sources.config)
    if "providerType" in raw:
        return raw, []
    convert = ProviderRegistry.spec(DEFAULT_TYPE).convert
    if convert is None:
        raise ConfigurationError(f"{sources.config_path}: providerType is missing")
    try:
        return convert(raw)
    except ConfigurationError as error:
        raise ConfigurationError(f"{sources.config_path}: {error}") from error


def _settings(sources: Sources) -> tuple[Settings, list[str]]:
    raw, warnings = own_form(sources)
    spec = _spec(sources.config_path, raw)
    sections = {
        spec.provider_type: spec.config_type,
        "requests": RequestSettings,
        "logging": LoggingSettings,
        "installation": str,
    }
    faults = [_unknown(key, ["providerType", *sections]) for key in raw if key not in ("providerType", *sections)]
    overridden = _overridden(raw, sources.environment.overrides, sections, warnings)
    values: dict[str, Any] = {}
    for name, kind in sections.items():
        default: Any = "" if kind is str else {}
        try:
            values[name] = TypeAdapter(kind).validate_python(overridden.get(name, default))
        except ValidationError as error:
            faults += _faults(error, name, _keys(kind))
    if faults:
        raise ConfigurationError(_message(sources.config_path, faults))
    return (
        Settings(
            spec.provider_type,
            values[spec.provider_type],
            values["requests"],
            values["logging"],
            values["installation"],
        ),
        warnings,
    )


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
) -> dict[str, Any]:
    """Lay HFPLUGIN_SECTION__KEY variables over the file; a list is written with commas."""
    result = {name: dict(value) if isinstance(value, dict) else value for name, value in raw.items()}
    for variable, text in overrides:
        section, _, key = variable.removeprefix("HFPLUGIN_").lower().partition("__")
        if section not in sections:
            warnings.append(f"environment variable {variable} has no effect: no such setting")
            continue
        if not key:
            result[section] = text
            continue
        known = _keys(sections[section])
        name = next((k for k in known if k.lower() == key.replace("_", "")), None)
        if name is None:
            raise ConfigurationError(f"environment variable {variable}: {_unknown(camel(key), known).text}")
        is_list = isinstance(getattr(sections[section](), _field(sections[section], name)), tuple)
        result.setdefault(section, {})[name] = [part.strip() for part in text.split(",")] if is_list else text
    return result


def _field(kind: Any, key: str) -> str:
    """Give the field behind a key of a settings section."""
    names: list[str] = list(kind.__dataclass_fields__)
    return next(name for name in names if camel(name) == key)


def _keys(kind: Any) -> list[str]:
    return [camel(name) for name in getattr(kind, "__dataclass_fields__", {})]


def _templates(
    sources: Sources, settings: Settings, warnings: list[str]
) -> tuple[list[Template], list[dict[str, Any]]]:
    raw = _parse(sources.templates_path, sources.templates).get("templates")
    if not isinstance(raw, list) or not raw:
        raise ConfigurationError(
            f"{sources.templates_path}: `templates` has to be a list with one template or more"
        )
    reader = _TemplateReader(sources, settings, warnings)
    templates, faults = [], []
    for position, item in enumerate(raw):
        template, found = reader.read(position, item)
        faults += found
        if template is not None:
            templates.append(template)
    ids = [template.id for template in templates]
    faults += [
        Fault(f"template {name}", "templateId appears twice")
        for name in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if faults:
        raise ConfigurationError(_message(sources.templates_path, faults))
    return templates, [_offer(template) for template in templates]


def _offer(template: Template) -> dict[str, Any]:
    return {
        "templateId": template.id,
        "maxNumber": template.max_number,
        "attributes": template.attributes,
        **template.passthrough,
    }


class _TemplateReader:
    """Reads the templates of one file for one provider type."""

    def __init__(self, sources: Sources, settings: Settings, warnings: list[str]) -> None:
        self._sources = sources
        self._settings = settings
        self._warnings = warnings
        self._spec = ProviderRegistry.spec(settings.provider_type)
        self._own = _aliases(TemplateKeys)
        self._theirs = _aliases(self._spec.template_type())

    def read(self, position: int, item: Any) -> tuple[Template | None, list[Fault]]:
        """Give the template, or the faults found in it."""
        if not isinstance(item, dict):
            return None, [Fault(f"templates[{position}]", "has to be an object")]
        name = f"template {item.get('templateId', f'number {position + 1} (no templateId)')}"
        known = [*self._own, *self._theirs]
        others = {key: value for key, value in item.items() if key not in known}
        faults = [
            Fault(f"{name}: {key}", f"unknown key; did you mean {near!r}?")
            for key in others
            if (near := _slip_of(key, known))
        ]
        own, found = self._validated(TemplateKeys.model_validate, item, self._own, name)
        faults += found
        theirs, found = self._validated(self._extension, item, self._theirs, name)
        faults += found
        if faults or own is None:
            return None, faults
        attributes, found = self._attributes(own, theirs, name)
        if found:
            return None, found
        self._warnings += [f"{name}: unknown key {key!r} is passed on to HostFactory as it is" for key in others]
        template = Template(
            id=own.template_id,
            provider_type=self._settings.provider_type,
            max_number=own.max_number,
            attributes=attributes,
            extension=theirs.model_dump(mode="json", by_alias=True, exclude_unset=True),
            tags=self._spec.tags(theirs),
            all_or_nothing=own.all_or_nothing,
            pending_timeout=own.pending_timeout_seconds,
            deadline=own.deadline_seconds,
            passthrough=others,
        )
        return template, []

    def _extension(self, data: dict[str, Any]) -> Any:
        return TemplateExtensionRegistry.create_extension_config(self._settings.provider_type, data)

    def _validated(
        self, validate: Any, item: dict[str, Any], keys: list[str], name: str
    ) -> tuple[Any, list[Fault]]:
        try:
            return validate({key: value for key, value in item.items() if key in keys}), []
        except ValidationError as error:
            return None, _faults(error, name, keys, separator=": ")

    def _attributes(
        self, own: TemplateKeys, extension: Any, name: str
    ) -> tuple[dict[str, list[str]], list[Fault]]:
        given, faults = {}, []
        for key, value in own.attributes.items():
            pair = _pair(value)
            if pair is None:
                faults.append(
                    Fault(f"{name}: attributes.{key}", 'has to be a value or a list like ["Numeric", "4"]')
                )
            else:
                given[key] = pair
        missing = [key for key in _SIZING if key not in given]
        derived: dict[str, list[str]] = {}
        if missing and not faults:
            try:
                derived = self._spec.attributes(
                    extension, self._settings.provider, machine_types_path(self._sources.environment)
                )
            except (KeyError, ValueError) as error:
                faults.append(Fault(name, f"attributes {', '.join(missing)} cannot be derived: {error}"))
        sizing = {key: derived[key] for key in missing if key in derived}
        if not faults and len(sizing) < len(missing):
            lacking = ", ".join(key for key in missing if key not in sizing)
            faults.append(
                Fault(f"{name}: attributes", f"{lacking} missing, and no machine type to derive them from")
            )
        return {**sizing, **given}, faults


def _pair(value: Any) -> list[str] | None:
    """Give HostFactory's two-element form of an attribute, None when the value has no such form."""
    if isinstance(value, list):
        return [_text(member) for member in value] if len(value) == 2 and all(map(_is_scalar, value)) else None
    if not _is_scalar(value):
        return None
    text = _text(value)
    try:
        float(text)
    except ValueError:
        return ["String", text]
    return ["Numeric", text]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(path: str, content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: has to hold a JSON object")
    return data


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _faults(error: ValidationError, prefix: str, known: list[str], separator: str = ".") -> list[Fault]:
    faults = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-"))]
        key = separator.join([prefix, ".".join(path)]) if path else prefix
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            faults.append(Fault(key, _unknown(path[-1], known).text))
        elif item["type"] in ("missing", "missing_argument"):
            faults.append(Fault(key, "is missing"))
        else:
            text = item["msg"].removeprefix("Value error, ")
            shown = "" if isinstance(item["input"], dict) else f" (is {item['input']!r})"
            faults.append(Fault(key, text + shown))
    return faults


def _unknown(key: str, known: list[str]) -> Fault:
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return Fault(key, f"unknown key; {hint}")


def _slip_of(key: str, known: list[str]) -> str:
    """Give the known key that this one is a slip of, if there is one."""
    best = min(known, key=lambda candidate: _distance(key, candidate))
    return best if _distance(key, best) <= _SLIP else ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance, blind to case."""
    one, other = one.casefold(), other.casefold()
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def _message(path: str, faults: list[Fault]) -> str:
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return f"{path}: " + "; ".join(str(fault) for fault in faults[:_MOST_FAULTS]) + more
