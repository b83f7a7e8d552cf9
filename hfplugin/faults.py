"""What is wrong in a file, in an administrator's words: where, what, and the nearest thing that is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from hfplugin.errors import ConfigurationError

# An unknown template key this close to a known one is a slip, not a key for somebody else.
_SLIP = 2

# More faults than this in one message hide the first; correcting that one shows the others.
_MOST_FAULTS = 5

# A wrong value is shown to be found again in the file, not to be read.
_LONGEST_VALUE = 60

_NO_OBJECT = ("dataclass_type", "dict_type", "model_type")


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


def found(error: ValidationError, prefix: str, known: Sequence[str], separator: str = ".") -> list[Fault]:
    """Turn pydantic's errors into faults; `known` are the keys that could have been meant."""
    faults = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        key = separator.join([prefix, ".".join(path)]) if path else prefix
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            faults.append(Fault(key, unknown(path[-1], known)))
        elif item["type"] == "missing":
            faults.append(Fault(key, "is missing"))
        elif item["type"] in _NO_OBJECT:
            faults.append(Fault(key, f"has to be an object{_shown(item['input'])}"))
        else:
            faults.append(Fault(key, item["msg"].removeprefix("Value error, ") + _shown(item["input"])))
    return faults


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return ""
    text = repr(value)
    return f" (is {text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'})"


def unknown(key: str, known: Sequence[str]) -> str:
    """Say that a key is unknown, and which known one is nearest."""
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1, cutoff=0.65)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known: {', '.join(known)}"


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
