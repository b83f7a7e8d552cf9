"""What time brings: states by the clock, machines that are not seen yet, machines that are not seen any more.

Source where nothing else is said: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ec2_calls import launch, refusal, seen, states

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def test_a_machine_is_pending_until_it_has_booted(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-instance-lifecycle.html (pending, running)"""
    emulator.configure(boot_seconds=40)
    launch(ec2)
    assert states(ec2) == ["pending"]
    emulator.advance(39)
    assert states(ec2) == ["pending"]
    emulator.advance(2)
    assert states(ec2) == ["running"]


def test_a_machine_is_shutting_down_until_it_is_terminated(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-instance-lifecycle.html (shutting-down, terminated)"""
    emulator.configure(shutdown_seconds=40)
    ec2.terminate_instances(InstanceIds=launch(ec2))
    assert states(ec2) == ["shutting-down"]
    emulator.advance(40)
    assert states(ec2) == ["terminated"]


def test_a_pending_machine_that_is_terminated_does_not_run(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-instance-lifecycle.html"""
    emulator.configure(boot_seconds=40, shutdown_seconds=10)
    ec2.terminate_instances(InstanceIds=launch(ec2))
    emulator.advance(60)
    assert states(ec2) == ["terminated"]


def test_a_machine_is_stopping_until_it_is_stopped(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-instance-lifecycle.html (stopping, stopped)"""
    emulator.configure(shutdown_seconds=40)
    ec2.stop_instances(InstanceIds=launch(ec2))
    assert states(ec2) == ["stopping"]
    emulator.advance(40)
    assert states(ec2) == ["stopped"]


def test_only_a_machine_that_runs_has_a_public_address(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-instance-addressing.html"""
    emulator.configure(boot_seconds=40)
    launch(ec2)
    assert "PublicIpAddress" not in seen(ec2)[0]
    emulator.advance(40)
    assert seen(ec2)[0]["PublicIpAddress"]


def test_a_new_machine_is_unknown_for_a_while(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html"""
    emulator.configure(visible_seconds=5)
    machines = launch(ec2)
    assert seen(ec2) == []
    for call in (ec2.describe_instances, ec2.terminate_instances):
        assert refusal(call, InstanceIds=machines).code == "InvalidInstanceID.NotFound"
    assert [each.id for each in emulator.alive()] == machines
    emulator.advance(5)
    assert [each["InstanceId"] for each in seen(ec2, InstanceIds=machines)] == machines


def test_a_replay_finds_a_machine_that_is_not_seen_yet(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html: a token, not a Describe,
    decides."""
    emulator.configure(visible_seconds=5)
    assert launch(ec2, ClientToken="one") == launch(ec2, ClientToken="one")


def test_a_launch_template_is_unknown_at_first_to_what_names_it(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html: a resource "will eventually be
    visible to other commands"; which ones see it first is documented nowhere."""
    emulator.configure(launch_template_seconds=5)
    content: Any = {"ImageId": IMAGE_ID, "InstanceType": "m5.large"}
    made = ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=content)
    by_name: Any = {"LaunchTemplateName": "worker", "Version": "1"}
    by_id: Any = {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"}
    target: Any = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    fleet: Any = {"LaunchTemplateConfigs": [{"LaunchTemplateSpecification": by_name}], "Type": "instant"}
    group: Any = {"AutoScalingGroupName": "a-group", "MinSize": 0, "MaxSize": 1}
    group |= {"AvailabilityZones": [f"{REGION}a"], "LaunchTemplate": by_name}
    create_group = emulator.client("autoscaling").create_auto_scaling_group

    unknown = refusal(ec2.run_instances, MinCount=1, MaxCount=1, LaunchTemplate=by_id)
    assert unknown.code == "InvalidLaunchTemplateId.NotFound"
    unknown = refusal(ec2.create_fleet, TargetCapacitySpecification=target, **fleet)
    assert unknown.code == "InvalidLaunchTemplateName.NotFoundException"
    unknown = refusal(create_group, **group)
    assert unknown.code == "ValidationError"
    assert unknown.message.endswith("with template name worker, does not exist.")
    again = refusal(ec2.create_launch_template, LaunchTemplateName="worker", LaunchTemplateData=content)
    assert again.code == "InvalidLaunchTemplateName.AlreadyExistsException"

    emulator.advance(5)
    ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate=by_id)
    ec2.create_fleet(TargetCapacitySpecification=target, **fleet)
    create_group(**group)
    assert len(emulator.alive()) == 2


def test_a_terminated_machine_is_seen_for_an_hour(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html: "Recently terminated
    instances might appear in the returned results. This interval is usually less than one hour."."""
    machines = launch(ec2)
    ec2.terminate_instances(InstanceIds=machines)
    emulator.advance(3590)
    assert states(ec2) == ["terminated"]
    emulator.advance(20)
    assert seen(ec2) == []
    assert refusal(ec2.describe_instances, InstanceIds=machines).code == "InvalidInstanceID.NotFound"
    [machine] = emulator.machines()
    assert (machine.state, machine.is_vanished) == ("terminated", True)


def test_deeds_are_done_in_the_order_of_their_time(ec2: EC2Client, emulator: Emulator) -> None:
    """Of the emulator's clock: what a deed brings happens at the deed's time, not at the end of the leap."""
    emulator.configure(boot_seconds=10, shutdown_seconds=10, vanish_seconds=100)
    machines = launch(ec2)
    ec2.terminate_instances(InstanceIds=machines)
    emulator.advance(111)
    assert emulator.machines()[0].is_vanished


def test_machines_are_launched_at_the_emulators_time(ec2: EC2Client, emulator: Emulator) -> None:
    """Of the emulator's clock: what it skipped stays skipped."""
    first = launch(ec2)
    emulator.advance(7200)
    second = launch(ec2)
    launched = {each["InstanceId"]: each["LaunchTime"] for each in seen(ec2)}
    assert 7199 <= (launched[second[0]] - launched[first[0]]).total_seconds() <= 7260
