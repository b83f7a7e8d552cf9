"""The edge to a provider that another package brings: what is wrong with it is said as the package's fault.

Whatever its code raises, other than on purpose, becomes a ConfigurationError by which an administrator finds the
package; the log has the traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, NamedTuple

from hfplugin.errors import ConfigurationError, HFPluginError
from hfplugin.logs import log
from hfplugin.providers.base.provider import Provider, ProviderSpec

# What a spec cannot be without.
_NEEDED = ("template_type", "create", "attributes", "tags")

# What may be raised of a template, beside hfplugin's own errors: it is then the template's fault.
_TEMPLATES_FAULT: dict[str, tuple[type[Exception], ...]] = {
    "attributes": (ValueError, OSError),
    "template_form": (ValueError,),
}


class _Promise(NamedTuple):
    """What a function of a spec has to give, and the names by which that is known."""

    noun: str
    names: tuple[str, ...]


_PROMISES = {
    "create": _Promise("Provider", tuple(name for name in vars(Provider) if not name.startswith("_"))),
    "template_type": _Promise("pydantic model", ("model_fields", "model_json_schema", "model_validate")),
    "attributes": _Promise("dict", ("items", "keys")),
    "tags": _Promise("dict", ("items", "keys")),
}


def load(point: EntryPoint) -> ProviderSpec:
    """Give what the entry point names, its functions guarded; ConfigurationError names package and fault."""
    origin = described(point)
    with edge(f"{origin} cannot be loaded"):
        spec = point.load()
    if not isinstance(spec, ProviderSpec):
        raise ConfigurationError(f"{origin}: it is not a ProviderSpec")
    if fault := _fault(point, spec):
        raise ConfigurationError(f"{origin}: {fault}")
    guarded: dict[str, Any] = {
        name: _guarded(origin, name, value)
        for name, value in spec._asdict().items()
        if callable(value) and name != "config_type"
    }
    return spec._replace(**guarded)


def described(point: EntryPoint) -> str:
    """Say which entry point it is, and of which package."""
    package = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"provider {point.name} (entry point {point.value}{package})"


def unheard(points: Iterable[EntryPoint], taken: Iterable[str]) -> list[str]:
    """Say of each entry point that is passed over whose name it has; `taken` are the built-in ones."""
    owners: dict[str, EntryPoint | None] = dict.fromkeys(taken)
    said = []
    for point in points:
        owner = owners.setdefault(point.name, point)
        if owner is not point:
            whose = described(owner) if owner else "hfplugin's own provider"
            said.append(f"{described(point)} is not used: {whose} has its name")
    return said


def _fault(point: EntryPoint, spec: ProviderSpec) -> str:
    if spec.provider_type != point.name:
        return (
            f"the entry point is called {point.name!r} and its ProviderSpec says provider_type"
            f" {spec.provider_type!r}: the two have to be the same"
        )
    if not (isinstance(spec.config_type, type) and is_dataclass(spec.config_type)):
        return f"its config_type, {_name(spec.config_type)}, is not a dataclass"
    return next((f"its {name} is not a function" for name in _NEEDED if not callable(getattr(spec, name))), "")


def _guarded(origin: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with edge(f"{origin}: {name} failed", (HFPluginError, *_TEMPLATES_FAULT.get(name, ()))):
            given = function(*arguments)
        promise = _PROMISES.get(name, _Promise("", ()))
        if lacking := [each for each in promise.names if not hasattr(given, each)]:
            raise ConfigurationError(
                f"{origin}: {name} gives {_name(given)}, which is no {promise.noun}: it lacks {', '.join(lacking)}"
            )
        return given

    return call


def _name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"


@contextmanager
def edge(what: str, meant: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Run code of another package's: what it raises, but for what it is meant to, becomes a ConfigurationError."""
    try:
        yield
    except meant:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(f"{what}: {type(error).__name__}: {error}".split())
        _note(said)
        raise ConfigurationError(said) from error


@cache
def _note(said: str) -> None:
    """Log the exception that is being handled: once, for however many requests the call is about."""
    log.exception("provider.package_failed", message=said)
