"""What Auto Scaling shows of groups: by name, by tag, in pages; and their tags.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html. Where a test checks a
code alone, AWS does not document the text.
"""

from __future__ import annotations

from typing import Any

import pytest
from scaling import NAME, Scaling, refusal

from hfplugin.emulator import Emulator


@pytest.fixture
def scaling(emulator: Emulator) -> Scaling:
    """Auto Scaling that acts after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Scaling(emulator)


@pytest.mark.parametrize("action", ["delete_auto_scaling_group", "suspend_processes", "update_auto_scaling_group"])
def test_a_group_that_is_not_there_is_a_validation_error(scaling: Scaling, action: str) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html; the code is public logs'."""
    assert refusal(getattr(scaling.client, action), AutoScalingGroupName="nobody") == "ValidationError"


def test_groups_that_are_not_there_are_left_out_of_a_description(scaling: Scaling) -> None:
    """API_DescribeAutoScalingGroups.html"""
    found = scaling.client.describe_auto_scaling_groups(AutoScalingGroupNames=["nobody"])
    assert found["AutoScalingGroups"] == []


def test_groups_are_described_in_pages_of_fifty(scaling: Scaling) -> None:
    """API_DescribeAutoScalingGroups.html: "The default value is 50 and the maximum value is 100"."""
    for number in range(60):
        scaling.create(0, AutoScalingGroupName=f"group-{number}")
    first = scaling.client.describe_auto_scaling_groups()
    second = scaling.client.describe_auto_scaling_groups(NextToken=first["NextToken"])
    assert [len(each["AutoScalingGroups"]) for each in (first, second)] == [50, 10]
    assert "NextToken" not in second


def test_more_than_a_hundred_groups_at_once_are_refused(scaling: Scaling) -> None:
    """API_DescribeAutoScalingGroups.html, MaxRecords"""
    assert refusal(scaling.client.describe_auto_scaling_groups, MaxRecords=101) == "ValidationError"


def test_a_token_that_was_never_given_is_refused(scaling: Scaling) -> None:
    """API_DescribeAutoScalingGroups.html, InvalidNextToken"""
    assert refusal(scaling.client.describe_auto_scaling_groups, NextToken="made up") == "InvalidNextToken"


@pytest.mark.parametrize(
    "asked",
    [
        {"Name": "tag:owner", "Values": ["hf"]},
        {"Name": "tag-key", "Values": ["owner"]},
        {"Name": "tag-value", "Values": ["hf"]},
    ],
    ids=lambda asked: str(asked["Name"]),
)
def test_groups_are_found_by_their_tags(scaling: Scaling, asked: Any) -> None:
    """API_DescribeAutoScalingGroups.html, Filters"""
    scaling.create(0, Tags=[{"Key": "owner", "Value": "hf"}])
    scaling.create(0, AutoScalingGroupName="other", Tags=[{"Key": "else", "Value": "me"}])
    found = scaling.client.describe_auto_scaling_groups(Filters=[asked])["AutoScalingGroups"]
    assert [each["AutoScalingGroupName"] for each in found] == [NAME]


def test_machines_carry_the_groups_tags_that_propagate(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html"""
    labels = [
        {"Key": "owner", "Value": "hf", "PropagateAtLaunch": True},
        {"Key": "mine", "Value": "alone", "PropagateAtLaunch": False},
    ]
    scaling.create(1, Tags=labels)
    emulator.advance(10)
    [machine] = emulator.alive()
    assert machine.tags["owner"] == "hf"
    assert "mine" not in machine.tags
    assert machine.tags["aws:autoscaling:groupName"] == NAME
    assert machine.tags["aws:ec2launchtemplate:version"] == "1"


def test_a_groups_tag_outdoes_the_launch_templates(scaling: Scaling, emulator: Emulator) -> None:
    """API_CreateAutoScalingGroup.html, Tags: the group's value holds for the same key."""
    labels = [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "template"}]}]
    data: Any = {"TagSpecifications": labels}
    scaling.ec2.create_launch_template_version(
        LaunchTemplateName="worker", SourceVersion="1", LaunchTemplateData=data
    )
    scaling.create(
        1,
        LaunchTemplate={"LaunchTemplateName": "worker", "Version": "2"},
        Tags=[{"Key": "owner", "Value": "group", "PropagateAtLaunch": True}],
    )
    emulator.advance(10)
    assert emulator.alive()[0].tags["owner"] == "group"


def test_tags_are_added_changed_shown_and_deleted(scaling: Scaling) -> None:
    """API_CreateOrUpdateTags.html, API_DeleteTags.html, API_DescribeTags.html"""
    scaling.create(0, Tags=[{"Key": "owner", "Value": "old"}])
    named = {"ResourceId": NAME, "ResourceType": "auto-scaling-group"}
    labels = [{**named, "Key": key, "Value": "new", "PropagateAtLaunch": True} for key in ("owner", "more")]
    scaling.client.create_or_update_tags(Tags=labels)
    asked = [{"Name": "auto-scaling-group", "Values": [NAME]}]
    assert scaling.client.describe_tags(Filters=asked)["Tags"] == labels
    scaling.client.delete_tags(Tags=[{**named, "Key": "owner"}])
    assert [each["Key"] for each in scaling.group()["Tags"]] == ["more"]


def test_calls_that_the_emulator_has_not_got_say_so(scaling: Scaling) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html, InvalidAction"""
    assert refusal(scaling.client.describe_policies) == "InvalidAction"


def test_account_limits_are_the_quota_and_what_is_there(scaling: Scaling, emulator: Emulator) -> None:
    """API_DescribeAccountLimits.html"""
    emulator.configure(quotas={"groups": 7})
    scaling.create(0)
    limits = scaling.client.describe_account_limits()
    assert (limits["MaxNumberOfAutoScalingGroups"], limits["NumberOfAutoScalingGroups"]) == (7, 1)


def test_the_admin_sees_groups_and_their_tags(scaling: Scaling, emulator: Emulator) -> None:
    """Of our own making."""
    scaling.create(0, Tags=[{"Key": "owner", "Value": "hf"}])
    groups = [each for each in emulator.resources() if each["kind"] == "group"]
    assert [(each["id"], each["tags"]) for each in groups] == [(NAME, {"owner": "hf"})]
