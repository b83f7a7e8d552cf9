"""What Describe calls share: filters and pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import Any, TypeVar

from hfplugin.emulator.errors import ServiceError

_T = TypeVar("_T")

# Gives the values that a resource has under a filter's name; None: there is no such filter.
Values = Callable[[_T, str], Iterable[str] | None]

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: at most 200 values a filter.
_MOST_VALUES = 200


def select(known: Iterable[_T], params: dict[str, Any], values: Values[_T]) -> list[_T]:
    """Give the resources that match one value of each of the call's filters.

    Raises ServiceError on a filter that this kind of resource does not have.
    """
    patterns = {each.get("Name", ""): _pattern(each.get("Values", [])) for each in params.get("Filters", [])}
    return [each for each in known if all(_is_met(each, *pair, values) for pair in patterns.items())]


def _is_met(resource: _T, name: str, pattern: re.Pattern[str], values: Values[_T]) -> bool:
    found = values(resource, name)
    if found is None:
        raise ServiceError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(pattern.fullmatch(value) for value in found)


def _pattern(values: Sequence[str]) -> re.Pattern[str]:
    """Make one pattern of the values, in which * and ? stand for any characters."""
    if len(values) > _MOST_VALUES:
        raise ServiceError("FilterLimitExceeded", "The maximum number of filter values specified on a call is 200")
    return re.compile("|".join(translate(value.replace("[", "[[]")) for value in values) or r"(?!)", re.DOTALL)


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
        raise ServiceError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value between {low} and {high}.",
        )
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
