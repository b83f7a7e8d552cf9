"""Machines that leave an Auto Scaling group alive, or come to one.

API_X.html stands for https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_X.html, ASUG for
https://docs.aws.amazon.com/autoscaling/ec2/userguide. Where a test checks a code alone, AWS does not document the
text.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from scaling import NAME, Scaling

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


def detach(scaling: Scaling, *ids: str, lowers: bool) -> Any:
    return scaling.client.detach_instances(
        AutoScalingGroupName=NAME, InstanceIds=list(ids), ShouldDecrementDesiredCapacity=lowers
    )


def test_detached_machines_live_on_outside(scaling: Scaling, emulator: Emulator, ids: list[str]) -> None:
    """API_DetachInstances.html"""
    detach(scaling, *ids[:2], lowers=True)
    emulator.advance(60)
    assert len(emulator.alive()) == 3
    assert scaling.ids() == ids[2:]
    assert scaling.group()["DesiredCapacity"] == 1


def test_a_detached_machine_is_replaced_unless_less_is_desired(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_DetachInstances.html, ShouldDecrementDesiredCapacity"""
    detach(scaling, ids[0], lowers=False)
    emulator.advance(10)
    assert len(scaling.ids()) == 3
    assert len(emulator.alive()) == 4


def test_a_detached_machine_that_ends_is_no_concern_of_the_group(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_DetachInstances.html: "you can manage the instances independent of the Auto Scaling group"."""
    detach(scaling, ids[0], lowers=True)
    emulator.terminate(ids[0])
    emulator.advance(60)
    assert len(emulator.alive()) == 2


def test_an_unknown_machine_keeps_the_others_from_being_detached(scaling: Scaling, ids: list[str]) -> None:
    """The code is public logs'; that none is detached is not documented."""
    with pytest.raises(ClientError, match="ValidationError"):
        detach(scaling, ids[0], "i-00000000000000000", lowers=True)
    assert scaling.ids() == ids
    assert scaling.group()["DesiredCapacity"] == 3


def test_more_than_twenty_machines_are_not_detached_at_once(scaling: Scaling) -> None:
    """API_DetachInstances.html, InstanceIds"""
    scaling.create(0)
    with pytest.raises(ClientError, match="ValidationError"):
        detach(scaling, *(f"i-{number:017x}" for number in range(21)), lowers=True)


def test_no_machine_is_detached_below_the_minimum(scaling: Scaling, ids: list[str]) -> None:
    """The code is public logs'."""
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MinSize=2)
    with pytest.raises(ClientError, match="ValidationError"):
        detach(scaling, *ids[:2], lowers=True)
    assert scaling.ids() == ids


def test_a_pending_machine_is_not_detached(scaling: Scaling, emulator: Emulator) -> None:
    """The code is public logs'."""
    emulator.configure(boot_seconds=60)
    scaling.create(1)
    emulator.advance(10)
    with pytest.raises(ClientError, match="ValidationError"):
        detach(scaling, *scaling.ids(), lowers=True)


def test_no_machine_is_attached_above_the_maximum(scaling: Scaling, ids: list[str]) -> None:
    """API_AttachInstances.html: above the maximum the operation fails; the code is not documented."""
    detach(scaling, ids[0], lowers=True)
    scaling.client.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=2)
    with pytest.raises(ClientError):
        scaling.client.attach_instances(AutoScalingGroupName=NAME, InstanceIds=ids[:1])
    assert scaling.ids() == ids[1:]


def test_a_machine_is_in_one_group_only(scaling: Scaling, ids: list[str]) -> None:
    """ASUG/ec2-auto-scaling-attach-instances.html: "not a member of another Auto Scaling group"."""
    scaling.create(0, AutoScalingGroupName="another")
    with pytest.raises(ClientError):
        scaling.client.attach_instances(AutoScalingGroupName="another", InstanceIds=ids[:1])
    assert scaling.ids("another") == []


def test_an_attached_machine_counts_into_the_desired_capacity(
    scaling: Scaling, emulator: Emulator, ids: list[str]
) -> None:
    """API_AttachInstances.html"""
    detach(scaling, ids[0], lowers=True)
    scaling.client.attach_instances(AutoScalingGroupName=NAME, InstanceIds=ids[:1])
    emulator.advance(60)
    assert scaling.group()["DesiredCapacity"] == len(emulator.alive()) == 3
    assert set(scaling.ids()) == set(ids)
