"""What EventBridge says of machines, and a queue of the emulated SQS to which it says so."""

from __future__ import annotations

import json
import time

from hfplugin.emulator import REGION, Emulator


class Mailbox:
    """A queue to which EventBridge sends what EC2, AWS Health and Auto Scaling say."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._sqs = emulator.client("sqs")
        self.url = self._sqs.create_queue(QueueName="hf-prod1-interruption")["QueueUrl"]
        asked = {"QueueUrl": self.url, "AttributeNames": ["QueueArn"]}
        arn = self._sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        events = emulator.client("events")
        pattern = {"source": ["aws.ec2", "aws.health", "aws.autoscaling"]}
        events.put_rule(Name="interruption", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="interruption", Targets=[{"Id": "queue", "Arn": arn}])

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.url, MessageBody=body)

    @property
    def counts(self) -> tuple[int, int]:
        """How many messages may be received now, and how many are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def empty(self) -> None:
        """Drop what was said so far: that the machines run, too."""
        self._emulator.advance(0)
        self._sqs.purge_queue(QueueUrl=self.url)

    def remove(self) -> None:
        self._sqs.delete_queue(QueueUrl=self.url)


def event(kind: str, machine_id: str, at: str = "", **detail: str) -> str:
    """Write what EventBridge says of a machine at a time in ISO 8601, or now."""
    said = {"instance-id": machine_id, **detail}
    when = at or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"source": "aws.ec2", "detail-type": kind, "time": when, "region": REGION, "detail": said})


def warning(machine_id: str, at: str = "") -> str:
    """Write that a Spot machine is taken back in two minutes."""
    return event("EC2 Spot Instance Interruption Warning", machine_id, at, **{"instance-action": "terminate"})
