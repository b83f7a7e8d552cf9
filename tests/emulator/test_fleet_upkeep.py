"""EC2 Fleets of type request and maintain over time. Held to AWS's documentation.

Pages named without an address are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_...), and
UserGuide/... of https://docs.aws.amazon.com/AWSEC2/latest/.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fleet_calls import TAGS, TYPE, Fleets, in_zone, refusal

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

SPOT = {"DefaultTargetCapacityType": "spot"}


@pytest.fixture
def fleets(emulator: Emulator) -> Fleets:
    """Fleets that act after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Fleets(emulator)


def after(emulator: Emulator, seconds: float) -> datetime:
    """Give a time on the emulator's clock."""
    return datetime.fromtimestamp(emulator.advance(0) + seconds, UTC)


@pytest.mark.parametrize("kind", ["request", "maintain"])
def test_a_fleet_launches_after_it_was_submitted(fleets: Fleets, emulator: Emulator, kind: str) -> None:
    """UserGuide/EC2-fleet-states.html"""
    answer = fleets.create(kind, 2)
    assert not answer.get("Instances")
    assert fleets.status(answer["FleetId"]) == ("submitted", "pending_fulfillment")
    assert not emulator.machines()
    emulator.advance(10)
    assert fleets.status(answer["FleetId"]) == ("active", "fulfilled")
    assert sorted(fleets.members(answer["FleetId"])) == sorted(each.id for each in emulator.alive())
    assert len(emulator.alive()) == 2


def test_machines_have_the_templates_tags_and_the_fleets_id(fleets: Fleets, emulator: Emulator) -> None:
    """API_CreateFleet.html, TagSpecifications: "specify the tags in a launch template"."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    [machine] = emulator.alive()
    assert machine.tags[TAGS[0]["Key"]] == TAGS[0]["Value"]
    assert machine.tags["aws:ec2:fleet-id"] == fleet_id


@pytest.mark.parametrize("kind", ["request", "maintain"])
def test_what_was_refused_is_tried_again(fleets: Fleets, emulator: Emulator, kind: str) -> None:
    """API_FleetData.html, ActivityStatus: error "if there's an error". How often AWS tries is not documented."""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 1}, retry_seconds=60)
    fleet_id = fleets.make(kind, 3)
    emulator.advance(10)
    assert fleets.status(fleet_id) == ("active", "error")
    assert fleets.show(fleet_id)["FulfilledCapacity"] == 1.0
    assert "spotFleetRequestConfigurationInvalid" in fleets.events(fleet_id, EventType="service-error")
    emulator.configure(capacity={})
    emulator.advance(59)
    assert len(emulator.alive()) == 1
    emulator.advance(1)
    assert fleets.status(fleet_id) == ("active", "fulfilled")
    assert len(emulator.alive()) == 3


def test_the_quota_of_spot_machines_has_an_event_of_its_own(fleets: Fleets, emulator: Emulator) -> None:
    """API_EventInformation.html: spotInstanceCountLimitExceeded"""
    emulator.configure(quotas={"spot-vcpus": 0})
    fleet_id = fleets.make("maintain", 1, **SPOT)
    emulator.advance(10)
    assert "spotInstanceCountLimitExceeded" in fleets.events(fleet_id)


def test_an_image_that_does_not_exist_is_an_error_of_the_fleet(fleets: Fleets, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitor-ec2-fleet-using-eventbridge.html"""
    wrong = fleets.template("wrong", ImageId="ami-00000000000000000")
    fleet_id = fleets.make("maintain", 1, LaunchTemplateConfigs=fleets.config(LaunchTemplateId=wrong))
    emulator.advance(10)
    assert fleets.status(fleet_id) == ("active", "error")
    assert "spotFleetRequestConfigurationInvalid" in fleets.events(fleet_id)


def test_a_maintained_fleet_replaces_what_was_terminated(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetData.html, Type: maintain "automatically replenishes"; UserGuide/modify-ec2-fleet.html."""
    fleet_id = fleets.make("maintain", 3)
    emulator.advance(10)
    first = fleets.members(fleet_id)
    fleets.ec2.terminate_instances(InstanceIds=first[:2])
    assert fleets.members(fleet_id) == first[2:]
    assert fleets.status(fleet_id) == ("active", "pending_fulfillment")
    emulator.advance(10)
    members = fleets.members(fleet_id)
    assert len(members) == 3
    assert set(first) & set(members) == {first[2]}
    assert len(emulator.alive()) == 3


def test_a_maintained_fleet_replaces_what_was_interrupted(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetData.html, Type: "automatically replenishes any interrupted Spot Instances"."""
    fleet_id = fleets.make("maintain", 2, **SPOT)
    emulator.advance(10)
    [lost, kept] = fleets.members(fleet_id)
    emulator.interrupt(lost)
    emulator.advance(119)
    assert fleets.members(fleet_id) == [lost, kept]
    emulator.advance(11)
    assert lost not in fleets.members(fleet_id)
    assert len(fleets.members(fleet_id)) == 2


def test_a_fleet_of_type_request_replaces_nothing(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetData.html, Type: "does not attempt to replenish instances if capacity is diminished"."""
    fleet_id = fleets.make("request", 3)
    emulator.advance(10)
    emulator.terminate(fleets.members(fleet_id)[0])
    emulator.advance(600)
    assert len(emulator.alive()) == 2
    assert fleets.show(fleet_id)["FulfilledCapacity"] == 2.0


def test_a_request_that_waits_does_not_replace_what_it_lost(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetData.html, Type: what was launched counts, also when the rest comes later."""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 2}, retry_seconds=60)
    fleet_id = fleets.make("request", 3)
    emulator.advance(10)
    emulator.terminate(*fleets.members(fleet_id))
    emulator.configure(capacity={})
    emulator.advance(600)
    assert len(emulator.machines()) == 3
    assert len(emulator.alive()) == 1


def test_a_stopped_machine_is_replaced(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/manage-ec2-fleet.html speaks of "running instances"; of stopped ones it says nothing."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    [stopped] = fleets.members(fleet_id)
    emulator.stop(stopped)
    emulator.advance(10)
    assert len(fleets.members(fleet_id)) == 1
    assert stopped not in fleets.members(fleet_id)


def test_no_machine_comes_after_a_fleet_was_deleted(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/EC2-fleet-states.html: deleted_running "does not launch additional instances"."""
    fleet_id = fleets.make("maintain", 2)
    emulator.advance(10)
    emulator.terminate(fleets.members(fleet_id)[0])
    fleets.delete(fleet_id, terminates=False)
    emulator.advance(600)
    assert len(emulator.alive()) == 1


def test_a_fleet_that_was_deleted_at_once_never_launches(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/EC2-fleet-states.html"""
    fleet_id = fleets.make("maintain", 2)
    fleets.delete(fleet_id)
    emulator.advance(600)
    assert not emulator.machines()
    assert fleets.show(fleet_id)["FleetState"] == "deleted"


def test_a_fleet_waits_for_its_time(fleets: Fleets, emulator: Emulator) -> None:
    """API_CreateFleet.html, ValidFrom"""
    fleet_id = fleets.make("maintain", 1, ValidFrom=after(emulator, 300))
    emulator.advance(200)
    assert fleets.status(fleet_id)[0] == "submitted"
    emulator.advance(110)
    assert fleets.status(fleet_id) == ("active", "fulfilled")


@pytest.mark.parametrize(("ends", "left"), [(True, 0), (False, 2)])
def test_a_fleet_expires(fleets: Fleets, emulator: Emulator, ends: bool, left: int) -> None:
    """API_CreateFleet.html, ValidUntil and TerminateInstancesWithExpiration; the state then is not documented."""
    until = after(emulator, 300)
    fleet_id = fleets.make("maintain", 2, ValidUntil=until, TerminateInstancesWithExpiration=ends)
    emulator.advance(10)
    assert len(emulator.alive()) == 2
    emulator.advance(300)
    assert len(emulator.alive()) == left
    assert fleets.status(fleet_id)[0] == ("deleted" if ends else "deleted_running")
    assert "expired" in fleets.events(fleet_id)


def test_a_target_of_nothing_may_be_maintained(fleets: Fleets, emulator: Emulator) -> None:
    """API_TargetCapacitySpecificationRequest.html: "you can specify a target capacity of 0"."""
    fleet_id = fleets.make("maintain", 0)
    emulator.advance(10)
    assert fleets.status(fleet_id) == ("active", "fulfilled")
    fleets.modify(fleet_id, 1)
    emulator.advance(10)
    assert len(emulator.alive()) == 1


def test_an_override_may_list_subnets(fleets: Fleets, emulator: Emulator, subnets: list[str]) -> None:
    """API_FleetLaunchTemplateOverridesRequest.html, SubnetId: of fleets of type request and maintain."""
    emulator.configure(capacity={f"{REGION}/{TYPE}/*": 1})
    listed = {"SubnetId": f"{subnets[0]}, {subnets[2]}"}
    fleets.ec2.create_fleet(**fleets.params("maintain", 2, listed))
    emulator.advance(10)
    assert sorted(each.zone[-1] for each in emulator.alive()) == ["a", "c"]
    assert refusal(fleets.ec2.create_fleet, **fleets.params("instant", 2, listed)) == "InvalidFleetConfig"


def test_a_replacement_is_of_the_templates_version_then(fleets: Fleets, emulator: Emulator) -> None:
    """API_FleetLaunchTemplateSpecificationRequest.html, Version: with $Latest "EC2 uses the latest version"."""
    configs = fleets.config({"AvailabilityZone": f"{REGION}a"}, Version="$Latest")
    fleets.make("maintain", 1, LaunchTemplateConfigs=configs)
    emulator.advance(10)
    data = {"ImageId": IMAGE_ID, "InstanceType": "c5.large"}
    fleets.ec2.create_launch_template_version(LaunchTemplateId=fleets.template_id, LaunchTemplateData=data)
    emulator.terminate(emulator.alive()[0].id)
    emulator.advance(10)
    assert [each.type for each in emulator.alive()] == ["c5.large"]


def test_the_history_tells_it_in_order(fleets: Fleets, emulator: Emulator) -> None:
    """API_EventInformation.html, and the example of `aws ec2 describe-fleet-history`."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    emulator.terminate(*fleets.members(fleet_id))
    emulator.advance(10)
    assert fleets.events(fleet_id) == ["submitted", "active", "launched", "terminated", "launched"]
    assert fleets.events(fleet_id, EventType="fleet-change") == ["submitted", "active"]
    found = fleets.ec2.describe_fleet_history(FleetId=fleet_id, StartTime=0, EventType="instance-change")
    information = found["HistoryRecords"][0]["EventInformation"]
    assert information["InstanceId"] in [each.id for each in emulator.machines()]


def test_the_history_comes_in_pages(fleets: Fleets, emulator: Emulator) -> None:
    """API_DescribeFleetHistory.html: LastEvaluatedTime "is not present" while there is more."""
    fleet_id = fleets.make("maintain", 3)
    emulator.advance(10)
    call: dict[str, Any] = {"FleetId": fleet_id, "StartTime": 0, "MaxResults": 3}
    first = fleets.ec2.describe_fleet_history(**call)
    assert "LastEvaluatedTime" not in first
    last = fleets.ec2.describe_fleet_history(**call, NextToken=first["NextToken"])
    assert len(first["HistoryRecords"] + last["HistoryRecords"]) == 5
    assert "LastEvaluatedTime" in last


def test_a_weighted_fleet_counts_units(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/ec2-fleet-instance-weighting.html"""
    fleet_id = fleets.make("maintain", 7, LaunchTemplateConfigs=fleets.config(in_zone("a", WeightedCapacity=4.0)))
    emulator.advance(10)
    assert fleets.show(fleet_id)["FulfilledCapacity"] == 8.0
    emulator.terminate(emulator.alive()[0].id)
    assert fleets.show(fleet_id)["FulfilledCapacity"] == 4.0
    emulator.advance(10)
    assert len(emulator.alive()) == 2
