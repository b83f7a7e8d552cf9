"""What is wrong in a file, in an administrator's words: where, what, and the nearest thing that is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from hfplugin.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# An unknown template key this close to a known one is a slip, not a key for somebody else.
_SLIP = 2

# More faults than this in one message hide the first; correcting that one shows the others.
_MOST_FAULTS = 5

# A wrong value is shown to be found again in the file, not to be read.
_LONGEST_VALUE = 60

_Schema = dict[str, Any]


class Fault(NamedTuple):
    """One thing that is wrong: `key` is the path inside the file or template."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


def refusal(place: str, faults: Sequence[Fault]) -> ConfigurationError:
    """Give the error that names the faults of a file, in one line."""
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    text = f"{place}: " + "; ".join(str(fault) for fault in faults[:_MOST_FAULTS]) + more
    return ConfigurationError(" ".join(text.split()))


def found(error: ValidationError, prefix: str, kind: Any, separator: str = ".") -> list[Fault]:
    """Turn the errors of validating a `kind`, a pydantic model or what a TypeAdapter takes, into faults."""
    faults = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        key = separator.join([prefix, ".".join(path)]) if path else prefix
        faults.append(Fault(key, _said(item, path, kind)))
    return faults


def _said(item: ErrorDetails, path: list[str], kind: Any) -> str:
    match item["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return unknown(path[-1], _keys(kind, path[:-1]))
        case "missing":
            return "is missing"
        case "dataclass_type" | "dict_type" | "model_type":
            return f"has to be an object{_shown(item['input'])}"
        case "too_short":
            return f"needs {item['ctx']['min_length']} or more, has {item['ctx']['actual_length']}"
        case "too_long":
            return f"may have {item['ctx']['max_length']} at most, has {item['ctx']['actual_length']}"
        case _:
            return item["msg"].removeprefix("Value error, ") + _shown(item["input"])


def _keys(kind: Any, path: Sequence[str]) -> list[str]:
    """Give the keys of the object that lies at a path inside a kind; none when that cannot be told."""
    try:
        schema = TypeAdapter(kind).json_schema()
    except PydanticUserError:
        return []  # a type that JSON schema has no words for
    nodes = _resolved(schema, [schema])
    for part in path:
        # A part that leads nowhere is pydantic's name for one of several forms: the forms are all here already.
        nodes = _resolved(schema, [inner for node in nodes for inner in _inside(node, part)]) or nodes
    return list(dict.fromkeys(key for node in nodes for key in node.get("properties", ())))


def _inside(node: _Schema, part: str) -> Iterator[_Schema]:
    """Give what JSON schema says of an object's member, or of a list's."""
    properties, others, items = node.get("properties", {}), node.get("additionalProperties"), node.get("items")
    if part in properties:
        yield properties[part]
    elif isinstance(others, dict):
        yield others
    elif isinstance(items, dict) and part.isdecimal():
        yield items
    elif part.isdecimal() and int(part) < len(node.get("prefixItems", ())):
        yield node["prefixItems"][int(part)]


def _resolved(schema: _Schema, nodes: Iterable[_Schema]) -> list[_Schema]:
    """Give the nodes with references followed, and of several forms each."""
    resolved = []
    for node in nodes:
        forms = [form for name in ("anyOf", "oneOf", "allOf") for form in node.get(name, ())]
        if "$ref" in node:
            forms.append(schema["$defs"][node["$ref"].rpartition("/")[2]])
        resolved += _resolved(schema, forms) if forms else [node]
    return resolved


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return ""
    text = repr(value)
    return f" (is {text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'})"


def unknown(key: str, known: Sequence[str]) -> str:
    """Say that a key is unknown, and which known one is nearest."""
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1, cutoff=0.65)
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; known: {', '.join(known)}" if known else "unknown key"


def slip_of(key: str, known: Sequence[str]) -> str:
    """Give the known key that this one is a slip of, empty when there is none."""
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
