"""The machines of Auto Scaling groups: lost, replaced, terminated, protected.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html. Where a test checks a
code alone, AWS does not document the text. ASUG is https://docs.aws.amazon.com/autoscaling/ec2/userguide.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from scaling import NAME, Scaling, refusal

from hfplugin.emulator import Emulator


@pytest.fixture
def scaling(emulator: Emulator) -> Scaling:
    """Auto Scaling that acts after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Scaling(emulator)


@pytest.fixture
def ids(scaling: Scaling, emulator: Emulator) -> list[str]:
    """The machines of a group of three that may have none to ten."""
    scaling.create(3)
    emulator.advance(10)
    return scaling.ids()


def terminate(scaling: Scaling, *ids: str, lowers: bool) -> Any:
    return scaling.client.terminate_instance_in_auto_scaling_group(
        AutoScalingGroupName=NAME, InstanceIds=list(ids), ShouldDecrementDesiredCapacity=lowers
    )


def suspend(scaling: Scaling, *processes: str) -> None:
    scaling.client.suspend_processes(AutoScalingGroupName=NAME, ScalingProcesses=list(processes))


def resume(scaling: Scaling, *processes: str) -> None:
    scaling.client.resume_processes(AutoScalingGroupName=NAME, ScalingProcesses=list(processes))


def test_a_machine_terminated_outside_is_replaced(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html"""
    scaling.ec2.terminate_instances(InstanceIds=ids[:1])
    assert scaling.members()[0]["HealthStatus"] == "Unhealthy"
    emulator.advance(11)
    assert len(emulator.alive()) == len(scaling.ids()) == 3
    assert ids[0] not in scaling.ids()


def test_a_stopped_machine_is_terminated_and_replaced(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html"""
    emulator.stop(ids[0])
    emulator.advance(11)
    assert {machine.id for machine in emulator.alive()} == set(scaling.ids())
    assert len(scaling.ids()) == 3


def test_a_machine_that_cannot_be_replaced_leaves_a_gap_until_it_can(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html"""
    emulator.configure(capacity={"eu-central-1/*": 0})
    emulator.terminate(ids[0])
    emulator.advance(11)
    assert len(emulator.alive()) == 2
    emulator.configure(capacity={})
    emulator.advance(60)
    assert len(emulator.alive()) == 3


def test_a_lost_machine_is_not_replaced_when_less_is_desired(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html"""
    emulator.terminate(ids[0])
    scaling.resize(2)
    emulator.advance(60)
    assert sorted(scaling.ids()) == sorted(ids[1:])


def test_without_health_checks_replacements_wait(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """ASUG/understand-how-suspending-processes-affects-other-processes.html, HealthCheck is suspended"""
    suspend(scaling, "HealthCheck")
    emulator.terminate(ids[0])
    emulator.advance(60)
    assert [each["HealthStatus"] for each in scaling.members()] == ["Healthy"] * 3
    assert len(emulator.alive()) == 2
    resume(scaling, "HealthCheck")
    emulator.advance(10)
    assert len(emulator.alive()) == 3


@pytest.mark.parametrize("process", ["ReplaceUnhealthy", "Terminate"])
def test_unhealthy_machines_stay_while_their_replacement_is_suspended(
    scaling: Scaling, emulator: Emulator, ids: list[str], process: str
) -> None:
    """ASUG/understand-how-suspending-processes-affects-other-processes.html; it stays: cloud-custodian#8660"""
    suspend(scaling, process)
    emulator.terminate(ids[0])
    emulator.advance(60)
    assert scaling.members()[0]["HealthStatus"] == "Unhealthy"
    assert len(emulator.alive()) == 2
    resume(scaling, process)
    emulator.advance(10)
    assert len(emulator.alive()) == 3


def test_unhealthy_machines_are_the_first_to_leave_a_smaller_group(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """ASUG/ec2-auto-scaling-termination-policies.html: the unhealthy bypass the termination policy"""
    suspend(scaling, "ReplaceUnhealthy")
    emulator.terminate(ids[2])
    scaling.resize(2)
    emulator.advance(11)
    assert scaling.ids() == ids[:2]


def test_while_launch_is_suspended_the_unhealthy_go_and_none_come(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """ASUG/understand-how-suspending-processes-affects-other-processes.html, Launch is suspended"""
    suspend(scaling, "Launch")
    emulator.terminate(ids[0])
    emulator.advance(60)
    assert len(scaling.ids()) == len(emulator.alive()) == 2
    resume(scaling, "Launch")
    emulator.advance(10)
    assert len(emulator.alive()) == 3


def test_a_suspended_launch_launches_nothing(scaling: Scaling, emulator: Emulator) -> None:
    """ASUG/understand-how-suspending-processes-affects-other-processes.html, Launch is suspended"""
    scaling.create(0)
    suspend(scaling, "Launch")
    scaling.resize(3)
    emulator.advance(60)
    assert not emulator.machines()
    assert scaling.activities() == []


def test_a_suspended_terminate_keeps_the_surplus(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """ASUG/understand-how-suspending-processes-affects-other-processes.html, Terminate is suspended"""
    suspend(scaling, "Terminate")
    scaling.resize(1)
    emulator.advance(60)
    assert len(emulator.alive()) == 3
    resume(scaling, "Terminate")
    emulator.advance(10)
    assert len(emulator.alive()) == 1


def test_without_names_every_process_is_suspended(scaling: Scaling) -> None:
    """API_SuspendProcesses.html: "If you omit this property, all processes are specified"."""
    scaling.create(0)
    scaling.client.suspend_processes(AutoScalingGroupName=NAME)
    assert {each["ProcessName"] for each in scaling.group()["SuspendedProcesses"]} >= {"Launch", "Terminate"}
    scaling.client.resume_processes(AutoScalingGroupName=NAME)
    assert scaling.group()["SuspendedProcesses"] == []


def test_an_unknown_process_is_refused(scaling: Scaling) -> None:
    """API_SuspendProcesses.html lists the processes; the code is not documented."""
    scaling.create(0)
    with pytest.raises(ClientError):
        suspend(scaling, "Sleep")


def test_terminating_with_decrement_leaves_the_group_smaller(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html"""
    answer = terminate(scaling, *ids[:2], lowers=True)
    assert len(answer["Activities"]) == 2
    assert scaling.group()["DesiredCapacity"] == 1
    emulator.advance(60)
    assert scaling.ids() == [machine.id for machine in emulator.alive()] == ids[2:]


def test_terminating_without_decrement_launches_a_replacement(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html"""
    terminate(scaling, ids[0], lowers=False)
    emulator.advance(11)
    assert scaling.group()["DesiredCapacity"] == len(emulator.alive()) == 3
    assert ids[0] not in scaling.ids()


def test_one_machine_is_terminated_without_its_groups_name(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html: InstanceId alone brings one Activity."""
    answer = scaling.client.terminate_instance_in_auto_scaling_group(
        InstanceId=ids[0], ShouldDecrementDesiredCapacity=True
    )
    assert answer["Activity"]["AutoScalingGroupName"] == NAME
    assert "Activities" not in answer
    assert len(emulator.alive()) == 2


def test_a_machine_is_terminating_until_it_is_gone(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html"""
    emulator.configure(shutdown_seconds=30)
    [activity] = terminate(scaling, ids[0], lowers=True)["Activities"]
    assert activity["StatusCode"] == "InProgress"
    assert scaling.members()[0]["LifecycleState"] == "Terminating"
    emulator.advance(30)
    assert ids[0] not in scaling.ids()
    assert scaling.activities()[0]["StatusCode"] == "Successful"


def test_no_machine_is_terminated_below_the_minimum(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html; the code is public logs'."""
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MinSize=2)
    with pytest.raises(ClientError, match="ValidationError"):
        terminate(scaling, *ids[:2], lowers=True)
    assert len(emulator.alive()) == scaling.group()["DesiredCapacity"] == 3


def test_an_unknown_machine_keeps_the_others_from_being_terminated(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """The code is public logs'; that none is terminated is not documented."""
    with pytest.raises(ClientError, match="ValidationError"):
        terminate(scaling, ids[0], "i-00000000000000000", lowers=True)
    assert len(emulator.alive()) == scaling.group()["DesiredCapacity"] == 3


def test_a_machine_that_is_gone_is_an_unknown_one(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """The code is public logs'."""
    terminate(scaling, ids[0], lowers=True)
    emulator.advance(60)
    with pytest.raises(ClientError, match="ValidationError"):
        terminate(scaling, ids[0], lowers=True)
    assert scaling.group()["DesiredCapacity"] == 2


def test_a_machine_is_not_counted_twice_when_it_is_terminated_twice(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """Which code comes, if any, is not documented."""
    emulator.configure(shutdown_seconds=60)
    terminate(scaling, ids[0], lowers=True)
    with pytest.raises(ClientError):
        terminate(scaling, ids[0], lowers=True)
    assert scaling.group()["DesiredCapacity"] == 2


def test_more_than_a_hundred_machines_at_once_are_refused(scaling: Scaling) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html, InstanceIds"""
    scaling.create(0)
    with pytest.raises(ClientError, match="ValidationError"):
        terminate(scaling, *(f"i-{number:017x}" for number in range(101)), lowers=True)


def test_machines_without_their_groups_name_are_refused(scaling: Scaling, ids: list[str]) -> None:
    """API_TerminateInstanceInAutoScalingGroup.html, AutoScalingGroupName: required with InstanceIds"""
    call = {"InstanceIds": ids, "ShouldDecrementDesiredCapacity": True}
    assert refusal(scaling.client.terminate_instance_in_auto_scaling_group, **call) == "ValidationError"


def test_protected_machines_are_left_out_of_a_scale_in(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html"""
    scaling.client.set_instance_protection(
        AutoScalingGroupName=NAME, InstanceIds=ids[:2], ProtectedFromScaleIn=True
    )
    scaling.resize(0)
    emulator.advance(11)
    assert sorted(scaling.ids()) == sorted(ids[:2])
    assert scaling.group()["DesiredCapacity"] == 0


def test_a_group_can_protect_its_new_machines(scaling: Scaling, emulator: Emulator) -> None:
    """API_CreateAutoScalingGroup.html, NewInstancesProtectedFromScaleIn"""
    scaling.create(2, NewInstancesProtectedFromScaleIn=True)
    emulator.advance(10)
    scaling.resize(0)
    emulator.advance(60)
    assert [each["ProtectedFromScaleIn"] for each in scaling.members()] == [True, True]


def test_protection_from_scale_in_does_not_keep_a_user_from_terminating(
    scaling: Scaling, emulator: Emulator
) -> None:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html"""
    scaling.create(2, NewInstancesProtectedFromScaleIn=True)
    emulator.advance(10)
    terminate(scaling, *scaling.ids(), lowers=True)
    assert not emulator.alive()


def test_more_than_fifty_machines_are_not_protected_at_once(scaling: Scaling) -> None:
    """API_SetInstanceProtection.html: "your maximum limit of instance IDs, which is 50"."""
    scaling.create(0)
    ids = [f"i-{number:017x}" for number in range(51)]
    call = {"AutoScalingGroupName": NAME, "InstanceIds": ids, "ProtectedFromScaleIn": True}
    assert refusal(scaling.client.set_instance_protection, **call) == "LimitExceeded"


def test_members_of_all_groups_are_described_in_pages_of_fifty(scaling: Scaling, emulator: Emulator) -> None:
    """API_DescribeAutoScalingInstances.html: "The default value is 50 and the maximum value is 50"."""
    scaling.create(60, MaxSize=60)
    emulator.advance(10)
    first = scaling.client.describe_auto_scaling_instances()
    second = scaling.client.describe_auto_scaling_instances(NextToken=first["NextToken"])
    assert [len(each["AutoScalingInstances"]) for each in (first, second)] == [50, 10]
    assert first["AutoScalingInstances"][0]["AutoScalingGroupName"] == NAME


def test_machines_outside_of_groups_are_left_out_of_a_description(scaling: Scaling, ids: list[str]) -> None:
    """API_DescribeAutoScalingInstances.html: an id that is not there "is ignored with no error"."""
    found = scaling.client.describe_auto_scaling_instances(InstanceIds=[ids[0], "i-00000000000000000"])
    assert [each["InstanceId"] for each in found["AutoScalingInstances"]] == ids[:1]
