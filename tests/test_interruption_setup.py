"""What config/interruption sets up: both files say the same, and what it brings to the queue.

UG is https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from ec2_calls import SPOT, launch

from hfplugin.emulator import REGION, Emulator
from hfplugin.providers.aws.interruption.messages import read

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SETUP = Path(__file__).resolve().parent.parent / "config/interruption"
TEMPLATE = (SETUP / "cloudformation.json").read_text()
RESOURCES = json.loads(TEMPLATE)["Resources"]
TERRAFORM = json.loads((SETUP / "main.tf.json").read_text())
PROVIDER = "awsinst"
AWAY = "us-west-2"
MACHINE = "i-1234567890abcdef0"

WARNING = "EC2 Spot Instance Interruption Warning"
STATE_CHANGE = "EC2 Instance State-change Notification"
HEALTH = "AWS Health Event"
RESERVED = "EC2 Capacity Reservation Instance Interruption Warning"
RULES = ("Maintenance", "Notices", "States")

# What the two languages write for one thing.
QUEUE, HOME, FORWARDER, ACCOUNT = "the queue", "the home region's event bus", "the forwarder", "the account"
IN_TERRAFORM = {
    "${aws_sqs_queue.interruption.arn}": QUEUE,
    "${aws_iam_role.forwarder[0].arn}": FORWARDER,
    "${data.aws_caller_identity.current.account_id}": ACCOUNT,
    "${data.aws_cloudwatch_event_bus.home.arn}": HOME,
    "${values(aws_cloudwatch_event_rule.home)[*].arn}": list(RULES),
}
IN_CLOUDFORMATION = {
    "AWS::AccountId": ACCOUNT,
    "Queue": QUEUE,
    "Forwarder": FORWARDER,
    "arn:${AWS::Partition}:events:${HomeRegion}:${AWS::AccountId}:event-bus/default": HOME,
}


def terraform(value: Any) -> Any:
    """Give a value of the Terraform file with its references in words."""
    if isinstance(value, dict):
        return {key: terraform(each) for key, each in value.items()}
    if isinstance(value, list):
        return [terraform(each) for each in value]
    return IN_TERRAFORM.get(value, value)


def cloudformation(value: Any) -> Any:
    """Give a value of the template with its references in words."""
    if isinstance(value, list):
        return [cloudformation(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name} | {"Fn::GetAtt": [name, "Arn"]} | {"Fn::Sub": name}:
            return IN_CLOUDFORMATION.get(name, name)
        case _:
            return {key: cloudformation(each) for key, each in value.items()}


def named(text: str) -> str:
    """Give a name of either file as it comes out for the provider instance."""
    for variable in ("${ProviderName}", "${var.provider_name}"):
        text = text.replace(variable, PROVIDER)
    return text


class Stack:
    """The template, applied in a region of the emulator."""

    def __init__(self, emulator: Emulator, region: str = REGION, home: str = "") -> None:
        client = emulator.client("cloudformation", region)
        parameters = {"ProviderName": PROVIDER, "HomeRegion": home}
        client.create_stack(
            StackName="interruption",
            TemplateBody=TEMPLATE,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        [stack] = client.describe_stacks(StackName="interruption")["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        self.sqs = emulator.client("sqs", region)

    def queue(self) -> str:
        """Give the queue's URL, at the emulator."""
        url: str = self.sqs.get_queue_url(QueueName=f"hf-{PROVIDER}-interruption")["QueueUrl"]
        return url

    def bodies(self) -> list[str]:
        """Give what is in the queue."""
        answer = self.sqs.receive_message(QueueUrl=self.queue(), MaxNumberOfMessages=10)
        return [each["Body"] for each in answer.get("Messages", [])]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Give the kind and the details of each event in the queue."""
        return [(event["detail-type"], event["detail"]) for event in map(json.loads, self.bodies())]


def granted(action: str) -> list[str]:
    """Give the resources on which the policy for the plug-in allows this."""
    statements = json.loads((SETUP.parent / "iam/policy.json").read_text())["Statement"]
    return [each["Resource"] for each in statements if action in each["Action"]]


# source, detail-type, detail
Event = tuple[str, str, dict[str, Any]]


def state(name: str) -> Event:
    """UG monitoring-instance-state-changes.html"""
    return "aws.ec2", STATE_CHANGE, {"instance-id": MACHINE, "state": name}


def health(service: str, category: str) -> Event:
    """https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html"""
    detail = {
        "service": service,
        "eventTypeCode": f"AWS_{service}_INSTANCE_RETIREMENT_SCHEDULED",
        "eventTypeCategory": category,
        "startTime": "Thu, 27 Jun 2024 13:19:03 GMT",
        "affectedEntities": [{"entityValue": MACHINE, "status": "PENDING"}],
    }
    return "aws.health", HEALTH, detail


def block(kind: str) -> Event:
    """UG capacity-blocks-monitor.html, whose editions differ on the names"""
    return "aws.ec2", kind, {"capacity-reservation-id": "cr-1234567890abcdef0", "end-date": "2026-01-01T11:30:00Z"}


WANTED = {
    "spot warning": ("aws.ec2", WARNING, {"instance-id": MACHINE, "instance-action": "terminate"}),
    "recommendation": ("aws.ec2", "EC2 Instance Rebalance Recommendation", {"instance-id": MACHINE}),
    "reservation": ("aws.ec2", RESERVED, {"instance-id": MACHINE, "instance-action": "terminate"}),
    "block": block("Capacity Block Expiration Warning"),
    "block, other edition": block("Capacity Block Reservation Expiration Warning"),
    "stopping": state("stopping"),
    "stopped": state("stopped"),
    "shutting-down": state("shutting-down"),
    "terminated": state("terminated"),
    "maintenance": health("EC2", "scheduledChange"),
}
UNWANTED = {
    "pending": state("pending"),
    "running": state("running"),
    "issue": health("EC2", "issue"),
    "notification": health("EC2", "accountNotification"),
    "other service": health("RDS", "scheduledChange"),
    "block begins": block("Capacity Block Delivered"),
    "reservation begins": block("EC2 Capacity Reservation Active"),
    "request fulfilled": ("aws.ec2", "EC2 Spot Instance Request Fulfillment", {"instance-id": MACHINE}),
    "call": ("aws.ec2", "AWS API Call via CloudTrail", {"eventName": "TerminateInstances"}),
    "group": ("aws.autoscaling", "EC2 Instance Terminate Successful", {"EC2InstanceId": MACHINE}),
    "other source": ("site.tools", WARNING, {"instance-id": MACHINE}),
}


class TestBothFiles:
    def test_they_make_the_same_queue(self) -> None:
        queue = RESOURCES["Queue"]["Properties"]
        other = TERRAFORM["resource"]["aws_sqs_queue"]["interruption"]
        assert named(queue["QueueName"]["Fn::Sub"]) == named(other["name"]) == f"hf-{PROVIDER}-interruption"
        assert queue["MessageRetentionPeriod"] == other["message_retention_seconds"] == 300
        assert queue["SqsManagedSseEnabled"] is other["sqs_managed_sse_enabled"] is True

    def test_the_rules_alone_may_send_and_nothing_goes_without_encryption(self) -> None:
        policy = cloudformation(RESOURCES["QueuePolicy"]["Properties"]["PolicyDocument"])
        assert policy == terraform(TERRAFORM["locals"]["queue_policy"])
        send, refuse = policy["Statement"]
        assert send["Principal"] == {"Service": "events.amazonaws.com"}
        assert send["Action"] == "sqs:SendMessage"
        assert send["Condition"] == {"ArnEquals": {"aws:SourceArn": list(RULES)}}
        assert (refuse["Effect"], refuse["Principal"], refuse["Action"]) == ("Deny", "*", "sqs:*")
        assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert {each["Resource"] for each in policy["Statement"]} == {QUEUE}
        attached = TERRAFORM["resource"]["aws_sqs_queue_policy"]["interruption"]
        assert attached["policy"] == "${jsonencode(local.queue_policy)}"

    def test_they_have_the_same_rules(self) -> None:
        rules = {name: each for name, each in RESOURCES.items() if each["Type"] == "AWS::Events::Rule"}
        patterns = TERRAFORM["locals"]["patterns"]
        assert {name.lower(): rule["Properties"]["EventPattern"] for name, rule in rules.items()} == patterns
        assert sorted(rules) == list(RULES)
        for name, rule in rules.items():
            assert named(rule["Properties"]["Name"]["Fn::Sub"]) == f"hf-{PROVIDER}-{name.lower()}"
        home, away = (TERRAFORM["resource"]["aws_cloudwatch_event_rule"][each] for each in ("home", "away"))
        assert home["name"].replace("each.key", "each.value.rule") == away["name"]
        assert named(home["name"]) == f"hf-{PROVIDER}-${{each.key}}"
        assert home["event_pattern"] == "${jsonencode(each.value)}"
        assert away["event_pattern"] == "${jsonencode(local.patterns[each.value.rule])}"

    @pytest.mark.parametrize("rule", RULES)
    def test_the_rules_send_to_the_same_targets(self, rule: str) -> None:
        [target] = RESOURCES[rule]["Properties"]["Targets"]
        condition, home, away = cloudformation(target["Fn::If"])
        assert condition == "IsHome"
        other = TERRAFORM["resource"]["aws_cloudwatch_event_target"]
        assert home == {"Id": other["home"]["target_id"], "Arn": terraform(other["home"]["arn"])}
        assert away == {
            "Id": other["away"]["target_id"],
            "Arn": terraform(other["away"]["arn"]),
            "RoleArn": terraform(other["away"]["role_arn"]),
        }

    def test_they_let_other_regions_put_events_on_the_home_bus_alone(self) -> None:
        role = RESOURCES["Forwarder"]["Properties"]
        [policy] = role["Policies"]
        assert cloudformation(policy["PolicyDocument"]) == terraform(TERRAFORM["locals"]["forwarder_policy"])
        [statement] = cloudformation(policy["PolicyDocument"])["Statement"]
        assert statement == {"Effect": "Allow", "Action": "events:PutEvents", "Resource": HOME}
        trust = cloudformation(role["AssumeRolePolicyDocument"])
        assert trust == terraform(TERRAFORM["locals"]["forwarder_trust"])
        assert trust["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}

    def test_the_longest_name_they_take_fits_all_that_is_named_after_it(self) -> None:
        longest = "x" * 48
        pattern = f"[A-Za-z0-9_-]{{1,{len(longest)}}}"
        assert json.loads(TEMPLATE)["Parameters"]["ProviderName"]["AllowedPattern"] == pattern
        assert f'"^{pattern}$"' in TERRAFORM["variable"]["provider_name"]["validation"]["condition"]
        limits = botocore.session.Session().get_service_model("events").shape_for("RuleName").metadata
        for name in RULES:
            assert len(f"hf-{longest}-{name}") <= limits["max"]
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
        assert len(f"hf-{longest}-interruption") <= 80
        roles = botocore.session.Session().get_service_model("iam").shape_for("roleNameType").metadata
        assert len(f"hf-{longest}-forwarder") <= roles["max"]


class TestApplied:
    def test_the_template_has_no_property_that_cloudformation_does_not_know(self, emulator: Emulator) -> None:
        """The emulator asks cfn-lint, which knows the resource types' schemas."""
        emulator.client("cloudformation").validate_template(TemplateBody=TEMPLATE)

    def test_the_outputs_are_what_the_configuration_and_the_policy_ask_for(self, emulator: Emulator) -> None:
        outputs = Stack(emulator).outputs
        assert outputs["QueueUrl"].endswith(f"/hf-{PROVIDER}-interruption")
        assert outputs["QueueArn"] == f"arn:aws:sqs:{REGION}:123456789012:hf-{PROVIDER}-interruption"
        assert [each for each in granted("sqs:ReceiveMessage") if fnmatchcase(outputs["QueueArn"], each)]
        assert {f"queue_{name}" for name in ("url", "arn")} == set(TERRAFORM["output"])

    @pytest.mark.parametrize("event", WANTED.values(), ids=WANTED)
    def test_an_event_that_announces_or_tells_a_loss_arrives_once_and_is_understood(
        self, event: Event, emulator: Emulator
    ) -> None:
        stack = Stack(emulator)
        source, kind, detail = event
        emulator.event(source, kind, detail)
        [body] = stack.bodies()
        assert (json.loads(body)["detail-type"], json.loads(body)["detail"]) == (kind, detail)
        assert read(body).said is not None

    @pytest.mark.parametrize("event", UNWANTED.values(), ids=UNWANTED)
    def test_no_other_event_arrives(self, event: Event, emulator: Emulator) -> None:
        stack = Stack(emulator)
        emulator.event(*event)
        assert stack.events() == []

    def test_the_life_of_a_spot_machine_arrives_from_its_notice_on(
        self, ec2: EC2Client, emulator: Emulator
    ) -> None:
        stack = Stack(emulator)
        [machine] = launch(ec2, **SPOT)
        emulator.interrupt(machine)
        emulator.advance(600.0)
        notice = (WARNING, {"instance-id": machine, "instance-action": "terminate"})
        states = [
            (STATE_CHANGE, {"instance-id": machine, "state": each}) for each in ("shutting-down", "terminated")
        ]
        assert stack.events() == [notice, *states]

    def test_an_event_of_another_region_reaches_the_one_queue(self, emulator: Emulator) -> None:
        """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html"""
        home = Stack(emulator)
        away = Stack(emulator, AWAY, home=REGION)
        source, kind, detail = WANTED["spot warning"]
        emulator.event(source, kind, detail, region=AWAY)
        assert home.events() == [(kind, detail)]
        assert away.outputs == {}
        assert "QueueUrls" not in away.sqs.list_queues()

    def test_a_region_named_as_its_own_home_has_the_queue(self, emulator: Emulator) -> None:
        """Forwarding to itself would never end."""
        stack = Stack(emulator, home=REGION)
        source, kind, detail = WANTED["terminated"]
        emulator.event(source, kind, detail)
        assert stack.events() == [(kind, detail)]
        assert emulator.client("iam").list_roles()["Roles"] == []
