"""Reads a templates file: each template typed, its attributes complete, or what is wrong with it.

Keys that no part of hfplugin knows go to HostFactory as they are; one that is nearly a known key is a slip.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hfplugin import document
from hfplugin.config import Settings, camel, is_blank
from hfplugin.errors import ConfigurationError
from hfplugin.faults import Fault, found, refusal, slip_of
from hfplugin.model import Template
from hfplugin.providers.base.registry import ProviderRegistry, TemplateExtensionRegistry

# What HostFactory needs to size its demand; what the file leaves out of these is derived.
_SIZING = ("type", "ncores", "ncpus", "nram")
_AMOUNTS = ("ncores", "ncpus", "nram")

# The kinds of an attribute that HostFactory and LSF know.
_KINDS = ("string", "numeric", "boolean")

_FORM = 'a value or a list like ["Numeric", "4"]'

# Keys of HostFactory's own that an answer may hold beside the mandatory ones: passed on without a word.
_HOSTFACTORY_KEYS = ("availableNumber", "requestedMachines", "priceInfo", "rank")

Attributes = dict[str, list[str]]


class TemplateKeys(BaseModel):
    """The keys of a template that mean the same for every provider."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid")

    template_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
    max_number: Annotated[int, Field(ge=-1)]
    attributes: dict[str, Any] = {}
    all_or_nothing: bool = False
    pending_timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    deadline_seconds: Annotated[int, Field(ge=1)] | None = None


def read_templates(
    path: str, content: bytes, settings: Settings, machine_types: str
) -> tuple[list[Template], list[str]]:
    """Give every template of the file, in its order, and warnings. Never gives an empty list.

    `machine_types` is where a refreshed table of machine types may lie. ConfigurationError names every fault.
    """
    raw = _listed(path, content)
    reader = _Reader(settings, machine_types, os.path.dirname(path))
    templates = [reader.read(position, item) for position, item in enumerate(raw)]
    twice = dict.fromkeys(str(i) for i in reader.ids if i is not None and reader.ids.count(i) > 1)
    faults = [*reader.faults, *(Fault(f"template {name}", "templateId appears twice") for name in twice)]
    if faults:
        raise refusal(path, faults)
    return [template for template in templates if template is not None], reader.warnings


def own_form(path: str, content: bytes, settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """Give a templates file in our form, whichever form it has, and warnings. Nothing is derived.

    ConfigurationError names every fault.
    """
    reader = _Reader(settings, "", os.path.dirname(path))
    read = [reader.parts(position, item) for position, item in enumerate(_listed(path, content))]
    if reader.faults:
        raise refusal(path, reader.faults)
    templates = [{**_written(part.own), **_written(part.theirs), **part.others} for part in read if part]
    return {"templates": templates}, reader.warnings


def _written(part: BaseModel) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _listed(path: str, content: bytes) -> list[Any]:
    try:
        raw = document.read(content).get("templates")
    except ValueError as error:
        raise ConfigurationError(f"{path} {error}") from error
    if not isinstance(raw, list) or not raw:
        raise ConfigurationError(f"{path}: `templates` has to be a list with one template or more")
    return raw


def offer(template: Template) -> dict[str, Any]:
    """Give what HostFactory is told of a template."""
    return {
        "templateId": template.id,
        "maxNumber": template.max_number,
        "attributes": template.attributes,
        **template.passthrough,
    }


class Parts(NamedTuple):
    """One template as written: what it is called in messages, our keys, the provider's, everybody else's."""

    name: str
    own: TemplateKeys
    theirs: Any
    others: dict[str, Any]


class _Reader:
    """Reads the templates of one file for one provider type; gathers faults and warnings as it goes."""

    def __init__(self, settings: Settings, machine_types: str, directory: str) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.ids: list[Any] = []
        self._settings = settings
        self._machine_types = machine_types
        self._directory = directory
        self._spec = ProviderRegistry.spec(settings.provider_type)
        self._kind = self._spec.template_type()
        self._known = [*_aliases(TemplateKeys), *_aliases(self._kind)]

    def read(self, position: int, item: Any) -> Template | None:
        """Give the template, None when there are faults in it."""
        parts = self.parts(position, item)
        if parts is None:
            return None
        name, own, theirs, others = parts
        sized, wrong = attributes(own.attributes, lambda: self._derived(theirs))
        self.faults += [Fault(f"{name}: {key}", text) for key, text in wrong]
        if wrong:
            return None
        return Template(
            id=own.template_id,
            provider_type=self._settings.provider_type,
            max_number=own.max_number,
            attributes=sized,
            extension=_written(theirs),
            tags=self._spec.tags(theirs),
            all_or_nothing=own.all_or_nothing,
            pending_timeout=own.pending_timeout_seconds,
            deadline=own.deadline_seconds,
            passthrough=others,
        )

    def parts(self, position: int, item: Any) -> Parts | None:
        """Give the template's parts, typed; None when there are faults in it."""
        before = len(self.faults)
        if not isinstance(item, dict):
            self.faults.append(Fault(f"templates[{position}]", f"has to be an object, not {document.kind(item)}"))
            return None
        try:
            ours = self._spec.template_form(item, self._directory)
        except (ValueError, ConfigurationError) as error:
            self.faults.append(Fault(f"template {item.get('templateId', f'number {position + 1}')}", str(error)))
            return None
        self.ids.append(ours.get("templateId"))
        name = f"template {ours.get('templateId', f'number {position + 1} (no templateId)')}"
        others = self._others(name, ours)
        own = self._validated(name, TemplateKeys, TemplateKeys.model_validate, ours)
        theirs = self._validated(name, self._kind, self._extension, ours)
        if own is None or theirs is None:
            return None
        self.faults += [Fault(name, text) for text in self._spec.faults(theirs, own.all_or_nothing)]
        if len(self.faults) > before:
            return None
        self.warnings += [f"{name}: {warning}" for warning in self._spec.without_effect(theirs)]
        return Parts(name, own, theirs, others)

    def _others(self, name: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Give what is neither ours nor the provider's; a slip among it is a fault."""
        others = {key: value for key, value in item.items() if key not in self._known}
        for key in others:
            near = slip_of(key, self._known)
            if key in _HOSTFACTORY_KEYS:
                continue
            if near:
                self.faults.append(Fault(f"{name}: {key}", f"unknown key; did you mean {near!r}?"))
            else:
                self.warnings.append(f"{name}: unknown key {key!r} is passed on to HostFactory as it is")
        return others

    def _validated(
        self, name: str, kind: type[BaseModel], validate: Callable[[Any], Any], item: Mapping[str, Any]
    ) -> Any:
        try:
            return validate({key: item[key] for key in _aliases(kind) if not is_blank(item.get(key))})
        except ValidationError as error:
            self.faults += found(error, name, kind, separator=": ")
            return None

    def _extension(self, data: dict[str, Any]) -> Any:
        return TemplateExtensionRegistry.create_extension_config(self._settings.provider_type, data)

    def _derived(self, extension: Any) -> Attributes:
        return self._spec.attributes(extension, self._settings.provider, self._machine_types)


def attributes(given: Mapping[str, Any], derive: Callable[[], Attributes]) -> tuple[Attributes, list[Fault]]:
    """Give the attributes in HostFactory's form: as written where given, what sizing lacks derived; and faults.

    HostFactory multiplies ncores and ncpus, so one that is given counts in deriving the other. LSF's `mem` is
    `nram` by another name. `derive` is called only when the machine type has to say.
    """
    faults = [
        Fault(f"attributes.{key}", f"has to be {_FORM}")
        for key, value in given.items()
        if not _is_attribute(value)
    ]
    if faults:
        return {}, faults
    written = {key: _pair(value) for key, value in given.items()}
    faults = [
        Fault(f"attributes.{key}", f"has to be a number above 0 (is {written[key][1]!r})")
        for key in _AMOUNTS
        if key in written and not _amount(written[key]) > 0
    ]
    if faults:
        return {}, faults
    sizing = {"ncores": ["Numeric", "1"]} | ({"nram": written["mem"]} if "mem" in written else {}) | written
    missing = [key for key in _SIZING if key not in sizing]
    if missing:
        try:
            derived = derive()
        except (KeyError, ValueError, OSError, ConfigurationError) as error:
            return {}, [Fault("attributes", f"{', '.join(missing)} cannot be derived: {error}")]
        if faults := _unsound(derived, missing):
            return {}, faults
        sizing = {key: _pair(derived[key]) for key in missing} | sizing
        if "ncpus" in missing:
            sizing["ncpus"] = _shared(sizing["ncpus"], _amount(sizing["ncores"]))
    return {key: sizing[key] for key in _SIZING} | written, []


def _unsound(derived: Mapping[str, Any], missing: Sequence[str]) -> list[Fault]:
    """Say what the provider leaves out of what it has to derive, and what is no attribute."""
    lacking = [key for key in missing if key not in derived]
    if lacking and not derived:
        return [Fault("attributes", f"{', '.join(lacking)} missing, and no machine type to derive them from")]
    if lacking:
        what = f"the provider derives {' and '.join(derived)} only, and has to give type, ncores, ncpus and nram"
        return [Fault("attributes", f"{', '.join(lacking)} missing: {what}")]
    return [
        Fault(f"attributes.{key}", f"the provider derives {derived[key]!r}, and not {_FORM}")
        for key in missing
        if not _is_attribute(derived[key]) or (key in _AMOUNTS and not _amount(_pair(derived[key])) > 0)
    ]


def _shared(ncpus: list[str], ncores: float) -> list[str]:
    """Give the ncpus that, times ncores, is what the machine has."""
    return ["Numeric", str(max(1, int(_amount(ncpus) // ncores)))]


def _is_attribute(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(map(_is_scalar, value)) and str(value[0]).casefold() in _KINDS
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _pair(value: Any) -> list[str]:
    """Give HostFactory's two-element form of an attribute."""
    if isinstance(value, list):
        return [_text(member) for member in value]
    text = _text(value)
    return ["String" if math.isnan(_amount(["", text])) else "Numeric", text]


def _amount(pair: Sequence[str]) -> float:
    """Give an attribute's number, NaN when it is none: to HostFactory, 1_000 and inf are words."""
    try:
        number = float(pair[1])
    except ValueError:
        return math.nan
    return number if math.isfinite(number) and "_" not in pair[1] else math.nan


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
