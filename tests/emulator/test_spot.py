"""Spot requests, interruptions, and the events that tell of them.

API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, refusal, seen

from hfplugin.emulator import Emulator, EmulatorError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

WARNING = "EC2 Spot Instance Interruption Warning"


def spot(**options: Any) -> dict[str, Any]:
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def request_of(ec2: EC2Client, machine: str) -> Any:
    filters: Any = [{"Name": "instance-id", "Values": [machine]}]
    [found] = ec2.describe_spot_instance_requests(Filters=filters)["SpotInstanceRequests"]
    return found


def status(ec2: EC2Client, machine: str) -> tuple[str, str]:
    found = request_of(ec2, machine)
    return found["Status"]["Code"], found["State"]


class Queue:
    """An SQS queue to which an EventBridge rule sends EC2's events."""

    def __init__(self, emulator: Emulator, *kinds: str, source: str = "aws.ec2") -> None:
        self.sqs = emulator.client("sqs")
        self.url = self.sqs.create_queue(QueueName="events")["QueueUrl"]
        names = {"QueueUrl": self.url, "AttributeNames": ["QueueArn"]}
        arn = self.sqs.get_queue_attributes(**names)["Attributes"]["QueueArn"]
        events = emulator.client("events")
        pattern = {"source": [source], **({"detail-type": list(kinds)} if kinds else {})}
        events.put_rule(Name="ours", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="ours", Targets=[{"Id": "queue", "Arn": arn}])

    def bodies(self) -> list[dict[str, Any]]:
        """Take what is there."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for each in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"])
            found += [json.loads(each["Body"]) for each in messages]
        return found


def test_a_spot_machine_has_a_request_that_is_fulfilled(ec2: EC2Client) -> None:
    """API_SpotInstanceRequest.html"""
    [machine] = launch(ec2, **spot(MaxPrice="0.08"))
    [shown] = seen(ec2)
    found = request_of(ec2, machine)
    assert shown["InstanceLifecycle"] == "spot"
    assert found["SpotInstanceRequestId"] == shown["SpotInstanceRequestId"]
    assert found["SpotInstanceRequestId"].startswith("sir-")
    assert (found["State"], found["Type"], found["InstanceInterruptionBehavior"]) == (
        "active",
        "one-time",
        "terminate",
    )
    assert (found["Status"]["Code"], found["Status"]["Message"]) == (
        "fulfilled",
        "Your spot request is fulfilled.",
    )
    assert found["SpotPrice"] == "0.080000"
    assert found["LaunchedAvailabilityZone"] == shown["Placement"]["AvailabilityZone"]


def test_without_a_price_the_on_demand_price_is_the_limit(ec2: EC2Client) -> None:
    """API_SpotMarketOptions.html: "the default is the On-Demand price"."""
    [machine] = launch(ec2, **SPOT)
    assert float(request_of(ec2, machine)["SpotPrice"]) > 0


def test_tags_of_a_request_are_its_own(ec2: EC2Client) -> None:
    """API_RunInstances.html (TagSpecification.N: spot-instances-request)"""
    tags: Any = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "a", "Value": "b"}]}]
    [machine] = launch(ec2, TagSpecifications=tags, **SPOT)
    assert request_of(ec2, machine)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert seen(ec2)[0].get("Tags", []) == []


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            {"InstanceInterruptionBehavior": "stop"},
            "InvalidParameterCombination",
            "The request with type 'one-time' is not supported when instanceInterruptionBehavior is set to "
            "'stop'.",
        ),
        (
            {"ValidUntil": "2030-01-01T00:00:00Z"},
            "InvalidParameterCombination",
            "The parameter validUntil cannot be specified when the SpotRequestType is set to 'one-time.",
        ),
        # AWS does not document the texts of these.
        ({"SpotInstanceType": "persistent"}, "InvalidParameterCombination", ""),
        ({"MaxPrice": "0.0001"}, "InvalidParameterValue", ""),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, str], code: str, text: str, ec2: EC2Client
) -> None:
    """API_SpotMarketOptions.html; the texts were seen."""
    refused = refusal(launch, ec2, **spot(**options))
    assert refused.code == code
    assert refused.message.startswith(text)
    assert not seen(ec2)


def test_the_user_ends_a_spot_machine(ec2: EC2Client) -> None:
    """spot-request-status.html (instance-terminated-by-user)"""
    [machine] = launch(ec2, **SPOT)
    ec2.terminate_instances(InstanceIds=[machine])
    assert status(ec2, machine) == ("instance-terminated-by-user", "closed")
    message = request_of(ec2, machine)["Status"]["Message"]
    assert message == "Spot Instance terminated due to user-initiated termination."


def test_a_spot_machine_is_not_stopped_by_its_user(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/stop-spot-instances.html: not of a one-time request."""
    assert refusal(ec2.stop_instances, InstanceIds=launch(ec2, **SPOT)).code == "UnsupportedOperation"


def test_a_cancelled_request_leaves_its_machine(ec2: EC2Client) -> None:
    """API_CancelSpotInstanceRequests.html: "Canceling a Spot Instance request does not terminate running Spot
    Instances"; spot-request-status.html: then it stays cancelled."""
    [machine] = launch(ec2, **SPOT)
    named = [request_of(ec2, machine)["SpotInstanceRequestId"]]
    [cancelled] = ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=named)["CancelledSpotInstanceRequests"]
    assert cancelled["State"] == "cancelled"
    assert status(ec2, machine) == ("request-canceled-and-instance-running", "cancelled")
    assert len(seen(ec2, Filters=[{"Name": "instance-state-name", "Values": ["running"]}])) == 1
    ec2.terminate_instances(InstanceIds=[machine])
    assert status(ec2, machine) == ("instance-terminated-by-user", "cancelled")


def test_a_request_is_deleted_four_hours_after_its_machine(ec2: EC2Client, emulator: Emulator) -> None:
    """API_DescribeSpotInstanceRequests.html: "deleted four hours after they are canceled and their instances are
    terminated"."""
    [machine] = launch(ec2, **SPOT)
    named = [request_of(ec2, machine)["SpotInstanceRequestId"]]
    ec2.terminate_instances(InstanceIds=[machine])
    emulator.advance(4 * 3600 - 60)
    assert ec2.describe_spot_instance_requests(SpotInstanceRequestIds=named)["SpotInstanceRequests"]
    emulator.advance(120)
    refused = refusal(ec2.describe_spot_instance_requests, SpotInstanceRequestIds=named)
    assert refused.code == "InvalidSpotInstanceRequestID.NotFound"


def test_requests_are_found_by_their_status_and_in_pages(ec2: EC2Client) -> None:
    """API_DescribeSpotInstanceRequests.html (Filter.N, MaxResults)"""
    machines = launch(ec2, 7, **SPOT)
    ec2.terminate_instances(InstanceIds=machines[:1])
    filters: Any = [{"Name": "status-code", "Values": ["fulfilled"]}, {"Name": "state", "Values": ["active"]}]
    pages = ec2.get_paginator("describe_spot_instance_requests").paginate(
        Filters=filters, PaginationConfig={"PageSize": 5}
    )
    assert [len(page["SpotInstanceRequests"]) for page in pages] == [5, 1]


def test_a_notice_is_seen_before_the_reclaim(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html: two minutes.
    spot-request-status.html has marked-for-termination and also the direct way for a lack of capacity; see the
    docstring of hfplugin.emulator.interruption."""
    [machine] = launch(ec2, **SPOT)
    emulator.interrupt(machine)
    assert status(ec2, machine) == ("marked-for-termination", "active")
    emulator.advance(119)
    assert seen(ec2)[0]["State"]["Name"] == "running"
    emulator.advance(2)
    assert status(ec2, machine) == ("instance-terminated-no-capacity", "closed")
    [ended] = seen(ec2)
    assert ended["State"]["Name"] == "terminated"
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_a_notice_may_end_the_request_at_once(ec2: EC2Client, emulator: Emulator) -> None:
    """spot-request-status.html (instance-terminated-no-capacity): the machine runs on for two minutes."""
    [machine] = launch(ec2, **SPOT)
    emulator.interrupt(machine, is_direct=True)
    assert status(ec2, machine) == ("instance-terminated-no-capacity", "closed")
    told = request_of(ec2, machine)["Status"]["UpdateTime"]
    emulator.advance(119)
    assert seen(ec2)[0]["State"]["Name"] == "running"
    emulator.advance(2)
    assert seen(ec2)[0]["State"]["Name"] == "terminated"
    assert request_of(ec2, machine)["Status"]["UpdateTime"] == told


def test_a_user_who_ends_a_marked_machine_is_the_one_who_ended_it(ec2: EC2Client, emulator: Emulator) -> None:
    """spot-request-status.html (instance-terminated-by-user)"""
    [machine] = launch(ec2, **SPOT)
    emulator.interrupt(machine)
    ec2.terminate_instances(InstanceIds=[machine])
    emulator.advance(200)
    assert status(ec2, machine) == ("instance-terminated-by-user", "closed")
    assert seen(ec2)[0]["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_a_persistent_request_may_stop_its_machine(ec2: EC2Client, emulator: Emulator) -> None:
    """spot-request-status.html (marked-for-stop, instance-stopped-no-capacity: disabled)"""
    [machine] = launch(ec2, **spot(SpotInstanceType="persistent", InstanceInterruptionBehavior="stop"))
    queue = Queue(emulator, WARNING)
    emulator.interrupt(machine)
    assert status(ec2, machine) == ("marked-for-stop", "active")
    assert [each["detail"]["instance-action"] for each in queue.bodies()] == ["stop"]
    emulator.advance(120)
    assert status(ec2, machine) == ("instance-stopped-no-capacity", "disabled")
    [stopped] = seen(ec2)
    assert (stopped["State"]["Name"], stopped["StateReason"]["Code"]) == ("stopped", "Server.SpotInstanceShutdown")


def test_what_the_service_ends_is_cancelled(ec2: EC2Client, emulator: Emulator) -> None:
    """spot-request-status.html (instance-terminated-by-service: cancelled)"""
    [machine] = launch(ec2, **SPOT)
    emulator.terminate(machine, code="Server.InternalError", text="Internal error")
    assert status(ec2, machine) == ("instance-terminated-by-service", "cancelled")


def test_only_spot_is_interrupted(ec2: EC2Client, emulator: Emulator) -> None:
    """Of the emulator: a command that makes no sense is refused."""
    [machine] = launch(ec2)
    with pytest.raises(EmulatorError, match="no spot machine"):
        emulator.interrupt(machine)


def test_the_warning_reaches_a_queue(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html#ec2-spot-instance-interruption-warning-event"""
    queue = Queue(emulator, WARNING)
    [machine] = launch(ec2, **SPOT)
    emulator.interrupt(machine)
    [body] = queue.bodies()
    assert body.pop("id")
    assert body.pop("time").endswith("Z")
    assert body == {
        "version": "0",
        "detail-type": WARNING,
        "source": "aws.ec2",
        "account": "123456789012",
        "region": "eu-central-1",
        "resources": [f"arn:aws:ec2:eu-central-1:123456789012:instance/{machine}"],
        "detail": {"instance-id": machine, "instance-action": "terminate"},
    }


def test_the_recommendation_to_rebalance_reaches_a_queue(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html"""
    queue = Queue(emulator, "EC2 Instance Rebalance Recommendation")
    [machine] = launch(ec2, **SPOT)
    emulator.rebalance(machine)
    [body] = queue.bodies()
    assert body["detail"] == {"instance-id": machine}
    assert status(ec2, machine) == ("fulfilled", "active")


def test_every_change_of_state_reaches_a_queue(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html"""
    queue = Queue(emulator, "EC2 Instance State-change Notification")
    [machine] = launch(ec2)
    ec2.terminate_instances(InstanceIds=[machine])
    ec2.describe_instances()
    bodies = queue.bodies()
    assert {each["detail"]["instance-id"] for each in bodies} == {machine}
    assert [each["detail"]["state"] for each in bodies] == ["pending", "running", "shutting-down", "terminated"]


def test_a_rule_gets_what_it_asks_for_alone(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"""
    queue = Queue(emulator, WARNING)
    machines = launch(ec2, **SPOT)
    emulator.rebalance(machines[0])
    assert queue.bodies() == []


def test_any_event_can_be_sent(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html"""
    queue = Queue(emulator, source="aws.health")
    detail = {"service": "EC2", "eventTypeCategory": "scheduledChange"}
    emulator.event("aws.health", "AWS Health Event", detail, resources=("i-00000000000000001",))
    [body] = queue.bodies()
    assert (body["detail"], body["resources"]) == (detail, ["i-00000000000000001"])
