"""What the bodies of a queue's messages say of machines: events of EventBridge, as they are or wrapped by others.

Reads texts; knows neither the queue nor which machines are ours. What is not AWS's word (another source, another
kind of event) is no word at all, and belongs to whoever else reads the queue.
Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-monitor.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitor-interruptible-cr.html,
https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from hfplugin.providers.base.provider import Notice, NoticeKind

# A spot machine has two minutes from its notice; so has one of a reservation that is interrupted.
NOTICE_SECONDS = 120.0

# A capacity block's machines begin to end so long before the block does.
_BLOCK_SECONDS = 1800.0

# The shortest time that a lifecycle hook can hold up a machine's end; the event does not tell the real one.
_HOOK_SECONDS = 30.0

# EventBridge's event within an SNS notification within another.
_MOST_WRAPPERS = 3

_ENDING_STATES = frozenset({"stopping", "stopped", "shutting-down", "terminated"})
_ENDING = "autoscaling:EC2_INSTANCE_TERMINATING"

# What the code of a scheduled change has that takes a machine away: AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED,
# AWS_EC2_INSTANCE_STOP_SCHEDULED and their like. Reboots and maintenance of network or power leave it where it is.
_TAKING = ("RETIREMENT", "STOP_SCHEDULED", "TERMINATION")

# Of an entity that the change no longer concerns.
_OVER = frozenset({"RESOLVED", "UNIMPAIRED"})

_UNREADABLE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class Said(NamedTuple):
    """What is said of each machine that a message names; the fields are a Notice's."""

    kind: NoticeKind
    told_at: float
    ends_at: float
    reason: str

    def of(self, machine_id: str) -> Notice:
        return Notice(machine_id, *self)


class Message(NamedTuple):
    """A message that was understood: the machines it names, and what it says of them, None when nothing of use.

    With a `reservation_id`, the machines are those in it, in `region`. Naming neither, it is somebody else's.
    """

    machine_ids: frozenset[str] = frozenset()
    said: Said | None = None
    reservation_id: str = ""
    region: str = ""


def read(body: str) -> Message:
    """Read a message's body. ValueError when nobody can make anything of it."""
    try:
        event = _unwrapped(body)
        if event.get("LifecycleTransition") and "detail-type" not in event:
            return _of_group({"time": event["Time"], "detail": event})
        reader = _READERS.get((event.get("source"), event.get("detail-type")))
        return reader(event) if reader is not None else Message()
    except _UNREADABLE as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _unwrapped(body: Any) -> Mapping[str, Any]:
    """Take the event out of what SNS, or a notification of an Auto Scaling group, puts around it."""
    for _ in range(_MOST_WRAPPERS):
        found = json.loads(body) if isinstance(body, str) else body
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        if "detail-type" in found or "Message" not in found:
            return found
        if found.get("Type", "Notification") != "Notification":
            return {}  # SNS asks to confirm a subscription: for whoever made it
        body = found["Message"]
    raise ValueError(f"wrapped more than {_MOST_WRAPPERS} times")


def _of_one(event: Mapping[str, Any], said: Said | None) -> Message:
    return Message(frozenset({_text(event["detail"]["instance-id"])}), said)


def _of_warning(event: Mapping[str, Any]) -> Message:
    told_at, action = _time(event["time"]), _text(event["detail"]["instance-action"])
    # Hibernation begins with the notice.
    ends_at = told_at if action == "hibernate" else told_at + NOTICE_SECONDS
    reason = f"spot interruption notice: {action}"
    return _of_one(event, Said(NoticeKind.INTERRUPTION, told_at, ends_at, reason))


def _of_rebalance(event: Mapping[str, Any]) -> Message:
    # The notice may come at any time from now on, also together with the recommendation.
    told_at = _time(event["time"])
    reason = "rebalance recommendation: at an elevated risk of interruption"
    return _of_one(event, Said(NoticeKind.REBALANCE, told_at, told_at + NOTICE_SECONDS, reason))


def _of_state(event: Mapping[str, Any]) -> Message:
    state = _text(event["detail"]["state"])
    if state not in _ENDING_STATES:
        return _of_one(event, None)
    return _of_one(event, Said(NoticeKind.GONE, _time(event["time"]), 0.0, f"it is {state}"))


def _of_reservation(event: Mapping[str, Any]) -> Message:
    told_at, ends = _time(event["time"]), event["detail"].get("instance-termination-time")
    ends_at = _time(ends) if ends else told_at + NOTICE_SECONDS
    return _of_one(
        event, Said(NoticeKind.INTERRUPTION, told_at, ends_at, "its capacity reservation is taken back")
    )


def _of_block(event: Mapping[str, Any]) -> Message:
    detail = event["detail"]
    ends_at = _time(detail["end-date"]) - _BLOCK_SECONDS
    said = Said(NoticeKind.INTERRUPTION, _time(event["time"]), ends_at, "its capacity block expires")
    return Message(
        said=said, reservation_id=_text(detail["capacity-reservation-id"]), region=_text(event["region"])
    )


def _of_health(event: Mapping[str, Any]) -> Message:
    detail = event["detail"]
    if detail["service"] != "EC2":
        return Message()
    named = {_text(each["entityValue"]): each.get("status") for each in detail.get("affectedEntities", ())}
    code = _text(detail["eventTypeCode"])
    is_change = detail["eventTypeCategory"] == "scheduledChange" and detail.get("statusCode") != "closed"
    if not is_change or not any(part in code for part in _TAKING):
        return Message(frozenset(named))
    concerned = frozenset(name for name, status in named.items() if status not in _OVER)
    said = Said(NoticeKind.MAINTENANCE, _time(event["time"]), _health_time(detail["startTime"]), code)
    return Message(concerned, said) if concerned else Message(frozenset(named))


def _of_group(event: Mapping[str, Any]) -> Message:
    """Read of a machine whose end a lifecycle hook of its group holds up: nothing keeps it from ending."""
    detail = event["detail"]
    machine = frozenset({_text(detail["EC2InstanceId"])})
    if detail["LifecycleTransition"] != _ENDING:
        return Message(machine)
    told_at = _time(event["time"])
    reason = "its Auto Scaling group terminates it"
    return Message(machine, Said(NoticeKind.INTERRUPTION, told_at, told_at + _HOOK_SECONDS, reason))


_READERS: Mapping[tuple[Any, Any], Callable[[Mapping[str, Any]], Message]] = {
    ("aws.ec2", "EC2 Spot Instance Interruption Warning"): _of_warning,
    ("aws.ec2", "EC2 Instance Rebalance Recommendation"): _of_rebalance,
    ("aws.ec2", "EC2 Instance State-change Notification"): _of_state,
    ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"): _of_reservation,
    # The documentation of AWS's partitions has either name.
    ("aws.ec2", "Capacity Block Expiration Warning"): _of_block,
    ("aws.ec2", "Capacity Block Reservation Expiration Warning"): _of_block,
    ("aws.health", "AWS Health Event"): _of_health,
    ("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action"): _of_group,
}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value


def _time(value: Any) -> float:
    """Read a time such as 2026-11-23T12:00:00Z; UTC unless it says otherwise."""
    found = datetime.fromisoformat(_text(value))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _health_time(value: Any) -> float:
    """Read a time as AWS Health writes it: Thu, 27 Jun 2024 13:19:03 GMT."""
    try:
        return parsedate_to_datetime(_text(value)).timestamp()
    except ValueError:
        return _time(value)
