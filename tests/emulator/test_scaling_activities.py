"""What Auto Scaling groups say of what they did and could not do.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html. The texts of
descriptions and causes are public logs', as far as they are asserted.
"""

from __future__ import annotations

import json

import pytest
from scaling import NAME, Scaling

from hfplugin.emulator import Emulator


@pytest.fixture
def scaling(emulator: Emulator) -> Scaling:
    """Auto Scaling that acts after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Scaling(emulator)


@pytest.fixture
def ids(scaling: Scaling, emulator: Emulator) -> list[str]:
    """The machines of a group of three."""
    scaling.create(3)
    emulator.advance(10)
    return scaling.ids()


def test_a_launch_is_in_progress_until_its_machine_runs(scaling: Scaling, emulator: Emulator) -> None:
    """API_Activity.html, StatusCode and Progress"""
    emulator.configure(boot_seconds=60)
    scaling.create(1)
    emulator.advance(10)
    [activity] = scaling.activities()
    assert activity["StatusCode"] == "InProgress"
    assert activity["Progress"] < 100
    assert "EndTime" not in activity
    emulator.advance(60)
    assert scaling.activities()[0]["StatusCode"] == "Successful"


def test_a_machine_that_ends_before_it_runs_cancels_its_launch(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html"""
    emulator.configure(boot_seconds=60)
    scaling.create(1)
    emulator.advance(10)
    emulator.terminate(*scaling.ids(), code="Client.InternalError", text="Client error on launch")
    emulator.advance(60)
    [cancelled] = [each for each in scaling.activities() if each["StatusCode"] == "Cancelled"]
    assert "Client.InternalError" in cancelled["StatusMessage"]


def test_each_launch_is_an_activity(scaling: Scaling, ids: list[str]) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html"""
    found = scaling.activities()
    assert {each["Description"] for each in found} == {f"Launching a new EC2 instance: {each}" for each in ids}
    assert {each["StatusCode"] for each in found} == {"Successful"}
    assert "increasing the capacity from 0 to 3." in found[0]["Cause"]
    assert json.loads(found[0]["Details"])["Availability Zone"] in scaling.zones


def test_each_refused_try_is_a_failed_activity(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html"""
    emulator.configure(capacity={"eu-central-1/m5.large/*": 0}, retry_seconds=60)
    scaling.create(1, subnets=1)
    emulator.advance(10)
    [failed] = scaling.activities()
    assert failed["StatusCode"] == "Failed"
    assert "apacity" in failed["StatusMessage"]
    assert failed["Progress"] == 100
    emulator.advance(60)
    assert [each["StatusCode"] for each in scaling.activities()] == ["Failed", "Failed"]


def test_a_changed_size_does_not_multiply_the_tries(scaling: Scaling, emulator: Emulator) -> None:
    """AWS documents no schedule of its tries; the emulator tries every retry_seconds."""
    emulator.configure(capacity={"eu-central-1/m5.large/*": 0}, retry_seconds=60)
    scaling.create(1, subnets=1)
    emulator.advance(10)
    scaling.resize(2)
    emulator.advance(10)
    assert len(scaling.activities()) == 2
    emulator.advance(65)
    assert len(scaling.activities()) == 3


def test_a_launch_template_that_is_gone_fails_every_launch(scaling: Scaling, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-launch-template.html"""
    scaling.create(1)
    scaling.ec2.delete_launch_template(LaunchTemplateName="worker")
    emulator.advance(10)
    emulator.advance(60)
    assert [each["StatusCode"] for each in scaling.activities()] == ["Failed", "Failed"]


def test_the_newest_activity_comes_first(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """API_DescribeScalingActivities.html"""
    scaling.client.terminate_instance_in_auto_scaling_group(InstanceId=ids[0], ShouldDecrementDesiredCapacity=True)
    emulator.advance(1)
    newest = scaling.activities()[0]
    assert newest["Description"] == f"Terminating EC2 instance: {ids[0]}"
    assert "in response to a user request" in newest["Cause"]


def test_a_health_replacement_is_told_as_such(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html"""
    emulator.terminate(ids[0])
    emulator.advance(11)
    [ending] = [each for each in scaling.activities() if each["Description"].startswith("Terminating")]
    assert "health check" in ending["Cause"]


def test_activities_come_in_pages(scaling: Scaling, ids: list[str]) -> None:
    """API_DescribeScalingActivities.html, MaxRecords"""
    first = scaling.client.describe_scaling_activities(AutoScalingGroupName=NAME, MaxRecords=2)
    second = scaling.client.describe_scaling_activities(
        AutoScalingGroupName=NAME, MaxRecords=2, NextToken=first["NextToken"]
    )
    assert [len(each["Activities"]) for each in (first, second)] == [2, 1]


def test_activities_of_a_deleted_group_can_be_asked_for(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_DescribeScalingActivities.html, IncludeDeletedGroups"""
    scaling.client.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    emulator.advance(1)
    found = scaling.activities(IncludeDeletedGroups=True)
    assert {each["AutoScalingGroupState"] for each in found} == {"Deleted"}
    assert len(found) == 6
