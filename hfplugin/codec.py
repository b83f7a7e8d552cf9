"""Records as JSON: the state files' schema, both ways.

A field that has its default is left out, so that a record of ten thousand machines stays small. An unknown
field is an error, not ignored: rewriting the record would lose it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hfplugin.errors import ErrorKind
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Notice,
    NoticeKind,
    Phase,
    Record,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
    ReturnedMachine,
    Template,
)

# 2: sources, what they leave behind and how machines went. 3: whether HostFactory has asked about a request, why
# it was withdrawn, and how long nothing was seen before a machine was launched. 4: the places that a launch passed
# over, and what the cloud said of machines that it takes back. Older records have none of it.
SCHEMA = 4

T = TypeVar("T")


def encode(record: Request | Return) -> bytes:
    """Give the record's file content; schema and generation come first, so that `generation` needs no parser."""
    head = {"schema": SCHEMA, "generation": record.generation}
    return json.dumps({**head, **_plain(record, leave_out="generation")}, separators=(",", ":")).encode() + b"\n"


def decode(kind: type[Record], content: bytes) -> Record:
    """Rebuild a record; ValueError when it is damaged or alien, also when a newer hfplugin wrote it."""
    try:
        data = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    schema = data.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"schema {schema} of a newer hfplugin, this one knows up to {SCHEMA}")
    if type(schema) is not int or schema < 1:
        raise ValueError(f"schema {schema!r} instead of {SCHEMA}")
    try:
        return _build(kind, data)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def generation(head: bytes) -> int:
    """Read the generation from the first bytes of a record's file; 0 when it cannot be read."""
    found = _GENERATION.match(head)
    return int(found[1]) if found else 0


_GENERATION = re.compile(rb'\{"schema":\d+,"generation":(\d+)')


def _plain(value: Any, leave_out: str = "") -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        named: Any = value
        defaults = named._field_defaults
        return {
            field: _plain(member)
            for field, member in zip(named._fields, value, strict=True)
            if field != leave_out and (field not in defaults or member != defaults[field])
        }
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return value


def _build(kind: Callable[..., T], data: dict[str, Any]) -> T:
    converters = _CONVERTERS[kind]
    for field, value in data.items():
        annotation = kind.__annotations__.get(field)
        expected = dict if getattr(annotation, "__origin__", None) is dict else _PLAIN.get(annotation)
        is_number_for_flag = isinstance(value, bool) is not (expected is bool)
        if expected is not None and (not isinstance(value, expected) or is_number_for_flag):
            raise ValueError(f"{field} is {value!r}")
    return kind(**{field: converters[field](v) if field in converters else v for field, v in data.items()})


# What a plain field's annotation lets JSON hold.
_PLAIN: dict[Any, Any] = {str: str, int: int, float: int | float, bool: bool, float | None: int | float | None}


def _one(kind: type[NamedTuple]) -> Callable[[Any], Any]:
    return lambda data: _build(kind, data)


def _many(kind: type[NamedTuple]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda items: tuple(_build(kind, data) for data in items)


_CONVERTERS: dict[Any, dict[str, Callable[[Any], Any]]] = {
    Template: {},
    Refusal: {"kind": ErrorKind},
    Launch: {"state": LaunchState, "errors": _many(Refusal), "remains": tuple, "passed_over": _many(Refusal)},
    Notice: {"kind": NoticeKind},
    Machine: {"state": MachineState, "result": Result, "notice": _one(Notice)},
    ReturnedMachine: {"state": MachineState, "result": Result},
    Request: {
        "template": _one(Template),
        "phase": Phase,
        "status": RequestStatus,
        "launches": _many(Launch),
        "machines": _many(Machine),
        "trouble": _many(Refusal),
    },
    Return: {"status": RequestStatus, "machines": _many(ReturnedMachine)},
}
