"""What Describe calls share: filters and pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, TypeVar

from hfplugin.emulator.errors import ServiceError, invalid

_T = TypeVar("_T")

# Gives the values that a resource has under a filter's name; None: there is no such filter.
Values = Callable[[_T, str], Iterable[str] | None]

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html, and FilterLimitExceeded in EC2's list
# of error codes: so many values in a call, each of so many characters.
_MOST_VALUES = 200
_LONGEST_VALUE = 255


def select(
    known: Iterable[_T], params: dict[str, Any], values: Values[_T], names: Container[str] | None = None
) -> list[_T]:
    """Give the resources that match one value of each of the call's filters.

    Raises ServiceError on a filter that this kind of resource does not have: with `names`, which need not have
    those on tags, also when there is no resource to ask.
    """
    asked: list[dict[str, Any]] = params.get("Filters", [])
    _check(asked, names)
    patterns = [(each.get("Name", ""), _pattern(each.get("Values", []))) for each in asked]
    return [each for each in known if all(_is_met(each, *pair, values) for pair in patterns)]


def _check(asked: list[dict[str, Any]], names: Container[str] | None) -> None:
    values = [value for each in asked for value in each.get("Values", [])]
    if len(values) > _MOST_VALUES:
        text = f"The maximum number of filter values specified on a single call is {_MOST_VALUES}"
        raise ServiceError("FilterLimitExceeded", text)
    if any(len(value) > _LONGEST_VALUE for value in values):
        text = f"The maximum length for a filter value is {_LONGEST_VALUE} characters"
        raise ServiceError("FilterLimitExceeded", text)
    for each in asked:
        name = each.get("Name", "")
        if names is not None and name not in names and of_tags(name, {}) is None:
            raise invalid(f"The filter '{name}' is invalid")


def _is_met(resource: _T, name: str, pattern: re.Pattern[str], values: Values[_T]) -> bool:
    found = values(resource, name)
    if found is None:
        raise invalid(f"The filter '{name}' is invalid")
    return any(pattern.fullmatch(value) for value in found)


def _pattern(values: Sequence[str]) -> re.Pattern[str]:
    """Make one pattern of the values, in which * and ? stand for any characters unless a backslash is before."""
    return re.compile("|".join(map(_expression, values)) if values else r"(?!)", re.DOTALL)


def _expression(value: str) -> str:
    wild = {"*": ".*", "?": "."}
    parts = re.findall(r"\\.|.", value, re.DOTALL)
    return "".join(wild.get(part) or re.escape(part[-1]) for part in parts)


def of_tags(name: str, tags: dict[str, str]) -> Iterable[str] | None:
    """Give the values of the filters on tags; None for another filter."""
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return [tags[key]] if key in tags else []
    return list(tags) if name == "tag-key" else None


def page(
    found: Sequence[_T], params: dict[str, Any], bounds: tuple[int, int], default: int | None = None
) -> tuple[Sequence[_T], str | None]:
    """Cut the page that is asked for and give the token of the next one.

    `bounds` are those of MaxResults; without it, `default` (None: all) come. A token is a position.
    """
    low, high = bounds
    size: int | None = params.get("MaxResults", default)
    if size is not None and size != default and not low <= size <= high:
        expected = f"greater than {low}" if size < low else f"less than or equal to {high}"
        raise invalid(f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {expected}.")
    start = _position(params.get("NextToken"))
    end = len(found) if size is None else start + size
    return found[start:end], _TOKEN.format(end) if end < len(found) else None


_TOKEN = "page-{}"


def _position(token: str | None) -> int:
    if not token:
        return 0
    prefix, _, digits = token.rpartition("-")
    if prefix != "page" or not digits.isdigit():
        raise ServiceError("InvalidNextToken", "The token is not valid")
    return int(digits)
