"""What the body of each message says: AWS's sample events, whatever they are wrapped in, and garbage.

The events are those of the documents that hfplugin.providers.aws.interruption.messages names.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hfplugin.providers.aws.interruption.messages import Message, Said, read
from hfplugin.providers.base.provider import NoticeKind

ID = "i-1234567890abcdef0"
OTHER = "i-0fedcba9876543210"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
ARN = f"arn:aws:ec2:us-east-2:123456789012:instance/{ID}"


def event(kind: str, detail: Any, source: str = "aws.ec2", **more: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "12345678-1234-1234-1234-123456789012",
        "detail-type": kind,
        "source": source,
        "account": "123456789012",
        "time": "2026-11-23T12:00:00Z",
        "region": "us-east-2",
        "resources": [ARN],
        "detail": detail,
        **more,
    }


def warning(action: str = "terminate", **more: Any) -> dict[str, Any]:
    detail = {"instance-id": ID, "instance-action": action}
    return event("EC2 Spot Instance Interruption Warning", detail, **more)


def state(name: str) -> dict[str, Any]:
    return event("EC2 Instance State-change Notification", {"instance-id": ID, "state": name})


def health(*entities: tuple[str, str], **more: Any) -> dict[str, Any]:
    detail = {
        "eventArn": "arn:aws:health:us-west-2::event/EC2/AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED/abc",
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
        "eventTypeCategory": "scheduledChange",
        "startTime": "Mon, 23 Nov 2026 13:00:00 GMT",
        "statusCode": "upcoming",
        "eventDescription": [{"language": "en_US", "latestDescription": "A description"}],
        "affectedEntities": [
            {"entityValue": name, "status": status} for name, status in entities or ((ID, "PENDING"),)
        ],
        **more,
    }
    return event("AWS Health Event", detail, source="aws.health", resources=[name for name, _ in entities])


def lifecycle(transition: str = "autoscaling:EC2_INSTANCE_TERMINATING") -> dict[str, Any]:
    return {
        "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
        "AutoScalingGroupName": "my-asg",
        "LifecycleHookName": "my-lifecycle-hook",
        "EC2InstanceId": ID,
        "LifecycleTransition": transition,
    }


def notice(kind: NoticeKind, ends_at: float) -> tuple[NoticeKind, float, float]:
    return kind, AT, ends_at


INTERRUPTION, REBALANCE, MAINTENANCE, GONE = (
    NoticeKind.INTERRUPTION,
    NoticeKind.REBALANCE,
    NoticeKind.MAINTENANCE,
    NoticeKind.GONE,
)

SAYING = {
    "a spot notice": (warning(), notice(INTERRUPTION, AT + 120)),
    "a spot notice to stop": (warning("stop"), notice(INTERRUPTION, AT + 120)),
    "a spot notice to hibernate, which begins at once": (warning("hibernate"), notice(INTERRUPTION, AT)),
    "a spot notice whose ARN has a zone": (
        warning(resources=[f"arn:aws:ec2:us-east-2a:instance/{ID}"]),
        notice(INTERRUPTION, AT + 120),
    ),
    "a recommendation": (
        event("EC2 Instance Rebalance Recommendation", {"instance-id": ID}),
        notice(REBALANCE, AT + 120),
    ),
    **{
        f"{name}": (state(name), notice(GONE, 0))
        for name in ("stopping", "stopped", "shutting-down", "terminated")
    },
    "a reservation taken back": (
        event(
            "EC2 Capacity Reservation Instance Interruption Warning",
            {
                "instance-id": ID,
                "instance-action": "terminate",
                "instance-termination-time": "2026-11-23T12:05:00Z",
                "azId": "use1-az6",
            },
            resources=ARN,
        ),
        notice(INTERRUPTION, AT + 300),
    ),
    "a reservation taken back at a time that is not told": (
        event("EC2 Capacity Reservation Instance Interruption Warning", {"instance-id": ID}),
        notice(INTERRUPTION, AT + 120),
    ),
    "a retirement": (health(), notice(MAINTENANCE, AT + 3600)),
    "a retirement with a time of another form": (
        health(startTime="2026-11-23T13:00:00Z"),
        notice(MAINTENANCE, AT + 3600),
    ),
    "a stop": (health(eventTypeCode="AWS_EC2_INSTANCE_STOP_SCHEDULED"), notice(MAINTENANCE, AT + 3600)),
    "a group's termination": (
        event("EC2 Instance-terminate Lifecycle Action", lifecycle(), source="aws.autoscaling"),
        notice(INTERRUPTION, AT + 30),
    ),
    "a group's notification": (
        {**lifecycle(), "Service": "AWS Auto Scaling", "Time": "2026-11-23T12:00:00.000Z"},
        notice(INTERRUPTION, AT + 30),
    ),
}


@pytest.mark.parametrize(("body", "expected"), SAYING.values(), ids=SAYING)
def test_an_event_says(body: dict[str, Any], expected: tuple[Any, ...]) -> None:
    message = read(json.dumps(body))
    assert message.machine_ids == {ID}
    assert message.said is not None
    assert message.said[:3] == expected
    assert message.said.reason


def sns(message: Any, **more: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "dc1e94d9-56c5-5e96-808d-cc7f68faa162",
        "TopicArn": "arn:aws:sns:us-east-2:123456789012:topic",
        "Message": message,
        "Timestamp": "2026-11-23T12:00:01.000Z",
        "SignatureVersion": "1",
        "Signature": "x",
        **more,
    }


WRAPPED = {
    "SNS": sns(json.dumps(warning())),
    "SNS within SNS": sns(json.dumps(sns(json.dumps(warning())))),
    "a notification that holds an object": {"Message": warning()},
}


@pytest.mark.parametrize("body", WRAPPED.values(), ids=WRAPPED)
def test_a_wrapped_event_says_the_same(body: dict[str, Any]) -> None:
    assert read(json.dumps(body)) == read(json.dumps(warning()))


def test_a_groups_notification_may_be_wrapped() -> None:
    body = {**lifecycle(), "Service": "AWS Auto Scaling", "Time": "2026-11-23T12:00:00.000Z"}
    assert read(json.dumps(sns(json.dumps(body)))) == read(json.dumps(body))


def test_a_capacity_block_names_the_reservation_and_ends_its_machines_half_an_hour_before_it_ends() -> None:
    detail = {"capacity-reservation-id": "cr-1234567890abcdef0", "end-date": "2026-11-23T12:40:00Z"}
    for name in ("Capacity Block Expiration Warning", "Capacity Block Reservation Expiration Warning"):
        said = Said(INTERRUPTION, AT, AT + 600, "its capacity block expires")
        assert read(json.dumps(event(name, detail))) == Message(
            said=said, reservation_id="cr-1234567890abcdef0", region="us-east-2"
        )


def test_a_change_names_all_its_machines() -> None:
    message = read(json.dumps(health((ID, "PENDING"), (OTHER, "PENDING"))))
    assert message.machine_ids == {ID, OTHER}


def test_a_change_is_about_those_whom_it_still_concerns() -> None:
    message = read(json.dumps(health((ID, "PENDING"), (OTHER, "RESOLVED"))))
    assert message.machine_ids == {ID}


SAYING_NOTHING = {
    "pending": state("pending"),
    "running": state("running"),
    "a reboot": health(eventTypeCode="AWS_EC2_INSTANCE_REBOOT_MAINTENANCE_SCHEDULED"),
    "a maintenance of the network": health(eventTypeCode="AWS_EC2_INSTANCE_NETWORK_MAINTENANCE_SCHEDULED"),
    "an issue": health(eventTypeCategory="issue"),
    "a change that is over": health(statusCode="closed"),
    "a change that does not concern it any more": health((ID, "RESOLVED")),
    "a group's launch": {**lifecycle("autoscaling:EC2_INSTANCE_LAUNCHING"), "Time": "2026-11-23T12:00:00Z"},
}


@pytest.mark.parametrize("body", SAYING_NOTHING.values(), ids=SAYING_NOTHING)
def test_an_event_says_nothing_of_use_about_its_machine(body: dict[str, Any]) -> None:
    assert read(json.dumps(body)) == Message(frozenset({ID}))


NOT_OURS = {
    "another kind of event": event("AWS API Call via CloudTrail", {"instance-id": ID}),
    "another source that says the same": warning(source="my.tests"),
    "another service's change": health(service="RDS"),
    "a subscription to confirm": sns("You have chosen to subscribe", Type="SubscriptionConfirmation"),
    "a group's test": {"Event": "autoscaling:TEST_NOTIFICATION", "AutoScalingGroupName": "my-asg"},
    "an empty object": {},
}


@pytest.mark.parametrize("body", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_for_us_names_no_machine(body: dict[str, Any]) -> None:
    assert read(json.dumps(body)) == Message()


GARBAGE = {
    "nothing": "",
    "a text": "hello",
    "no object": "[]",
    "null": "null",
    "a number": "17",
    "half an object": json.dumps(warning())[:100],
    "a text within SNS": json.dumps(sns("the build has failed")),
    "wrapped too often": json.dumps(sns(json.dumps(sns(json.dumps(sns(json.dumps(sns("{}")))))))),
    "nested without end": '{"Message":' * 20_000,
    "no detail": json.dumps({k: v for k, v in warning().items() if k != "detail"}),
    "a detail that is a text": json.dumps(event("EC2 Instance State-change Notification", "stopped")),
    "no machine": json.dumps(event("EC2 Instance Rebalance Recommendation", {})),
    "a machine that is no text": json.dumps(event("EC2 Instance Rebalance Recommendation", {"instance-id": 17})),
    "no time": json.dumps(warning(time=None)),
    "a time that is none": json.dumps(warning(time="yesterday")),
    "a change without a time": json.dumps(health(startTime=None)),
    "a change whose time is none": json.dumps(health(startTime="soon")),
    "a type that is no text": json.dumps(warning() | {"detail-type": ["x"]}),
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_what_nobody_can_read_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(body)
