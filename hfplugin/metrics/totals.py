"""Sums of what was counted, by family and labels; anything that is not a count is left out."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hfplugin.metrics.families import COUNTED


class Series(NamedTuple):
    """One metric of a family: its label values in the family's order."""

    family: str
    labels: tuple[str, ...]


class Totals:
    """The numbers of every series, as its family lays them out."""

    def __init__(self) -> None:
        self.numbers: dict[Series, list[float]] = {}

    def add_lines(self, content: bytes) -> None:
        """Add the lines of a journal. One that is damaged, or not written to its end yet, counts nothing."""
        for line in content.split(b"\n"):
            for entry in _list(line):
                match entry:
                    case [str(name), list(labels), amount] if name in COUNTED and _is_number(amount):
                        self._add(name, labels, COUNTED[name].numbers(amount))

    def add_kept(self, series: Any) -> None:
        """Add what `kept` gave."""
        for one in series if isinstance(series, list) else ():
            match one:
                case [str(name), list(labels), list(numbers)] if all(map(_is_number, numbers)):
                    self._add(name, labels, numbers)

    def kept(self) -> list[Any]:
        """Give all of it as JSON can hold it."""
        return [[*series, numbers] for series, numbers in self.numbers.items()]

    def _add(self, name: str, labels: list[Any], numbers: list[float]) -> None:
        family = COUNTED.get(name)
        if family is None or len(numbers) != family.width or len(labels) != len(family.labels):
            return  # another version's
        series = Series(name, tuple(map(str, labels)))
        known = self.numbers.get(series, [0] * family.width)
        self.numbers[series] = [before + more for before, more in zip(known, numbers, strict=True)]


def _list(line: bytes) -> list[Any]:
    try:
        entries = json.loads(line) if line else []
    except (ValueError, RecursionError):
        return []
    return entries if isinstance(entries, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
