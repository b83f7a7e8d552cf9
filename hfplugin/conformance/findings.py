"""What a check can come to: it holds, it is broken, it could not be judged."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """What came of a check: when it failed what was expected and what came, when it was skipped why."""

    id: str
    rule: str
    outcome: Outcome
    expected: str = ""
    came: str = ""
    why: str = ""


class BrokenError(Exception):
    """A rule does not hold: `rule` is the id of its check, empty for the check that is being made."""

    def __init__(self, expected: str, came: str, rule: str = "") -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = came
        self.rule = rule


class UnjudgedError(Exception):
    """A check cannot be made; the text says why."""


class StoppedError(Exception):
    """The operator wants the suite to end."""


def shown(value: object, length: int = 300) -> str:
    """Write an answer, or a part of it, on one line that can be read."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"
