"""Faults on command: what goes wrong with which calls, how often, and in what way."""

from __future__ import annotations

import itertools
import random
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hfplugin.emulator.errors import ServiceError

Kind = Literal["throttle", "error", "delay", "drop_before", "drop_after", "refuse", "hang", "hang_after"]

# What each service calls a throttled call; others, such as SSM and EventBridge, answer the common one. Sources:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html,
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html (RequestThrottled)
_THROTTLES = {
    "ec2": "RequestLimitExceeded",
    "autoscaling": "Throttling",
    "iam": "Throttling",
    "sts": "Throttling",
    "sqs": "RequestThrottled",
}
_COMMON_THROTTLE = "ThrottlingException"


class Fault(BaseModel):
    """One thing that goes wrong.

    `throttle` and `error` answer instead of acting; `delay` acts late by `seconds`; `drop_before` closes the
    connection without acting, `drop_after` acts and then closes it; `refuse` closes the connection at once, and
    `hang` never answers (for `seconds`, if they are given): both are meant for whole regions. `hang_after` acts
    and then never answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    # Which calls: patterns with *.
    action: str = "*"
    region: str = "*"
    service: str = "*"
    # How many of them: so many, or all; leaving out the first so many; and of the rest this share, by the seed.
    times: Annotated[int, Field(ge=1)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0
    # How: the error's code, text and HTTP status; the seconds of a delay.
    code: str = ""
    message: str = ""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Fault:
        if self.kind == "error" and not self.code:
            raise ValueError("a fault of kind error needs a code")
        if self.kind == "delay" and self.seconds is None:
            raise ValueError("a fault of kind delay needs seconds")
        return self

    def fits(self, service: str, region: str, action: str) -> bool:
        return (
            fnmatchcase(action, self.action)
            and fnmatchcase(region, self.region)
            and fnmatchcase(service, self.service)
        )

    def error(self, service: str) -> ServiceError:
        """Give the answer of a throttle or an error."""
        if self.kind == "throttle":
            code = self.code or _THROTTLES.get(service, _COMMON_THROTTLE)
            text = "Request limit exceeded." if service == "ec2" else "Rate exceeded"
            return ServiceError(code, self.message or text, self.status)
        return ServiceError(self.code, self.message or f"{self.code} on command", self.status)


class Rule(NamedTuple):
    """A fault that was set, under the number by which it is lifted."""

    number: int
    fault: Fault


class Faults:
    """The faults that are set, and how often each was met and struck. The caller holds a lock."""

    def __init__(self) -> None:
        self._rules: dict[int, Fault] = {}
        self._met: dict[int, int] = {}
        self._struck: dict[int, int] = {}
        self._chance: dict[int, random.Random] = {}
        self._numbers = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Set a fault and give its number."""
        number = next(self._numbers)
        self._rules[number] = fault
        self._met[number] = self._struck[number] = 0
        self._chance[number] = random.Random(fault.seed)
        return number

    def lift(self, number: int | None = None) -> None:
        """Take a fault away, or all."""
        for each in list(self._rules) if number is None else [number]:
            self._rules.pop(each, None)

    def stands(self, number: int) -> bool:
        return number in self._rules

    def struck(self, number: int) -> int:
        """Count how often a fault struck; also after it was lifted."""
        return self._struck.get(number, 0)

    def strike(self, service: str, region: str, action: str) -> Rule | None:
        """Give the fault that strikes a call: the first that fits, has not worn out and is lucky."""
        for number, fault in self._rules.items():
            if fault.fits(service, region, action) and self._strikes(number, fault):
                self._struck[number] += 1
                return Rule(number, fault)
        return None

    def _strikes(self, number: int, fault: Fault) -> bool:
        if fault.times is not None and self._struck[number] >= fault.times:
            return False
        self._met[number] += 1
        return self._met[number] > fault.skip and self._chance[number].random() < fault.share
