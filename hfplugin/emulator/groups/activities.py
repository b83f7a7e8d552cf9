"""A group's scaling activities: what it did, why, and how that went.

The texts are those that public logs of AWS show. Sources:
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Activity.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hfplugin.emulator.clock import Clock, moment

IN_PROGRESS, SUCCESSFUL, FAILED, CANCELLED = "InProgress", "Successful", "Failed", "Cancelled"

_PROGRESS = 50

_DIFFERENCE = "in response to a difference between desired and actual capacity"


@dataclass(eq=False)
class Activity:
    """One deed of a group, done to one machine or to none."""

    activity_id: str
    description: str
    cause: str
    details: dict[str, str]
    started: float
    ended: float | None = None
    status: str = IN_PROGRESS
    message: str = ""

    @property
    def is_open(self) -> bool:
        return self.ended is None

    def end(self, now: float, status: str = SUCCESSFUL, message: str = "") -> None:
        """Close the activity; one that is closed stays as it is."""
        if self.is_open:
            self.ended, self.status, self.message = now, status, message


class Activities:
    """The activities of one group, the oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: list[Activity] = []

    def begin(self, description: str, cause: str, details: dict[str, str] | None = None) -> Activity:
        made = Activity(str(uuid.uuid4()), description, cause, details or {}, self._clock.now)
        self._known.append(made)
        return made

    def fail_launch(self, text: str, cause: str, details: dict[str, str] | None = None) -> None:
        """Note a launch that was refused."""
        message = f"{text} Launching EC2 instance failed."
        made = self.begin(f"Launching a new EC2 instance.  Status Reason: {message}", cause, details)
        made.end(self._clock.now, FAILED, message)

    def newest_first(self) -> list[Activity]:
        """List what is in progress, then the rest, each with the newest first.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html
        """
        newest = self._known[::-1]
        return [each for each in newest if each.is_open] + [each for each in newest if not each.is_open]

    def every(self) -> Iterable[Activity]:
        return iter(self._known)

    @property
    def are_open(self) -> bool:
        return any(each.is_open for each in self._known)


def describe(activity: Activity, group: str, arn: str, is_deleted: bool = False) -> dict[str, Any]:
    """Give an Activity as botocore's model has it."""
    return {
        "ActivityId": activity.activity_id,
        "AutoScalingGroupName": group,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": moment(activity.started),
        "EndTime": None if activity.ended is None else moment(activity.ended),
        "StatusCode": activity.status,
        "StatusMessage": activity.message or None,
        "Progress": _PROGRESS if activity.is_open else 100,
        "Details": json.dumps(activity.details),
        "AutoScalingGroupState": "Deleted" if is_deleted else None,
        "AutoScalingGroupARN": arn,
    }


def at(now: float, text: str) -> str:
    """Give one sentence of a cause; AWS has two blanks between them."""
    return f"At {moment(now):%Y-%m-%dT%H:%M:%SZ} {text}."


def grew(before: int, after: int) -> str:
    return f"an instance was started {_DIFFERENCE}, increasing the capacity from {before} to {after}"


def shrank(before: int, after: int) -> str:
    return f"an instance was taken out of service {_DIFFERENCE}, shrinking the capacity from {before} to {after}"
