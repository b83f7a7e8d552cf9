"""ModifyFleet, DeleteFleets and what DescribeFleets shows of it. Held to AWS's documentation.

Pages named without an address are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_...,
errors-overview.html), and UserGuide/... of https://docs.aws.amazon.com/AWSEC2/latest/.
"""

from __future__ import annotations

from typing import Any

import pytest
from fleet_calls import TAGS, TYPE, Fleets, in_zone, refusal

from hfplugin.emulator import REGION, Emulator

SPOT = {"DefaultTargetCapacityType": "spot"}
UNKNOWN = "fleet-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def fleets(emulator: Emulator) -> Fleets:
    """Fleets that act after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return Fleets(emulator)


def failures(answer: dict[str, Any]) -> dict[str, str]:
    return {each["FleetId"]: each["Error"]["Code"] for each in answer["UnsuccessfulFleetDeletions"]}


def states(answer: dict[str, Any]) -> list[tuple[str, str]]:
    done = answer["SuccessfulFleetDeletions"]
    return [(each["PreviousFleetState"], each["CurrentFleetState"]) for each in done]


def test_a_fleet_grows_to_its_new_target(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/modify-ec2-fleet.html, EC2-fleet-states.html: modifying until "fully processed"."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    fleets.modify(fleet_id, 3)
    assert fleets.status(fleet_id) == ("modifying", "pending_fulfillment")
    emulator.advance(10)
    assert fleets.status(fleet_id) == ("active", "fulfilled")
    assert len(emulator.alive()) == 3
    assert fleets.events(fleet_id)[-4:] == ["modify_in_progress", "modify_succeeded", "launched", "launched"]


def test_what_grows_is_of_the_default_type(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/modify-ec2-fleet.html: "according to the instance purchasing option specified for Default..."."""
    fleet_id = fleets.make("maintain", 2, OnDemandTargetCapacity=1, **SPOT)
    emulator.advance(10)
    fleets.modify(fleet_id, 4)
    emulator.advance(10)
    assert sorted(each.purchase for each in emulator.alive()) == ["on-demand"] + ["spot"] * 3


def test_without_termination_a_lowered_target_ends_nothing(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/modify-ec2-fleet.html: no-termination, and what ends then is not replaced."""
    fleet_id = fleets.make("maintain", 3)
    emulator.advance(10)
    fleets.modify(fleet_id, 1, policy="no-termination")
    emulator.advance(10)
    assert len(fleets.members(fleet_id)) == 3
    fleets.ec2.terminate_instances(InstanceIds=fleets.members(fleet_id)[:2])
    emulator.advance(600)
    assert len(emulator.machines()) == 3
    assert len(emulator.alive()) == 1
    assert fleets.show(fleet_id)["ExcessCapacityTerminationPolicy"] == "no-termination"


def test_a_machine_terminated_right_after_the_target_was_lowered_is_not_replaced(
    fleets: Fleets, emulator: Emulator
) -> None:
    """UserGuide/modify-ec2-fleet.html; that a target holds while the fleet is modifying is not documented."""
    fleet_id = fleets.make("maintain", 2)
    emulator.advance(10)
    fleets.modify(fleet_id, 1, policy="no-termination")
    fleets.ec2.terminate_instances(InstanceIds=fleets.members(fleet_id)[:1])
    emulator.advance(600)
    assert len(emulator.machines()) == 2


def test_a_lowered_target_ends_the_dearest_machines(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/modify-ec2-fleet.html: with lowest-price, those "with the highest price per unit"."""
    emulator.configure(
        capacity={f"{REGION}/{TYPE}/*": 2}, prices={f"{REGION}/*/*": 1.0, f"{REGION}/c5.large/*": 2.0}
    )
    overrides = [in_zone("a"), in_zone("a", "c5.large")]
    fleet_id = fleets.make("maintain", 4, LaunchTemplateConfigs=fleets.config(*overrides))
    emulator.advance(10)
    assert sorted(each.type for each in emulator.alive()) == ["c5.large"] * 2 + [TYPE] * 2
    fleets.modify(fleet_id, 2)
    emulator.advance(10)
    assert [each.type for each in emulator.alive()] == [TYPE] * 2


def test_spot_machines_get_a_notice_when_the_target_is_lowered(fleets: Fleets, emulator: Emulator) -> None:
    """API_EventInformation.html: termination_notified, when "the fleet was modified down"."""
    fleet_id = fleets.make("maintain", 3, **SPOT)
    emulator.advance(10)
    fleets.modify(fleet_id, 1)
    emulator.advance(10)
    assert fleets.status(fleet_id) == ("active", "pending_termination")
    assert fleets.events(fleet_id).count("termination_notified") == 2
    assert len(emulator.alive()) == 3
    emulator.advance(600)
    assert fleets.status(fleet_id) == ("active", "fulfilled")
    assert len(emulator.machines()) == 3
    assert len(emulator.alive()) == 1


def test_machines_under_notice_do_not_count_towards_a_target_that_grows_again(
    fleets: Fleets, emulator: Emulator
) -> None:
    """What AWS does here is not documented: a fleet must not fall short when the notice has run out."""
    fleet_id = fleets.make("maintain", 3, **SPOT)
    emulator.advance(10)
    fleets.modify(fleet_id, 1)
    emulator.advance(10)
    fleets.modify(fleet_id, 2)
    emulator.advance(10)
    assert len(emulator.alive()) == 4
    emulator.advance(120)
    assert len(emulator.alive()) == 2


def test_other_launch_templates_are_for_later_machines(fleets: Fleets, emulator: Emulator) -> None:
    """API_ModifyFleet.html, LaunchTemplateConfigs"""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    configs = fleets.config(in_zone("b", "c5.large"))
    target = {"TotalTargetCapacity": 2}
    fleets.ec2.modify_fleet(FleetId=fleet_id, LaunchTemplateConfigs=configs, TargetCapacitySpecification=target)
    emulator.advance(10)
    assert sorted(each.type for each in emulator.alive()) == ["c5.large", TYPE]
    assert fleets.show(fleet_id)["LaunchTemplateConfigs"][0]["Overrides"] == [in_zone("b", "c5.large")]


@pytest.mark.parametrize("kind", ["instant", "request"])
def test_only_maintained_fleets_are_modified(fleets: Fleets, kind: str) -> None:
    """UserGuide/modify-ec2-fleet.html; errors-overview.html has the code."""
    assert refusal(fleets.modify, fleet_id=fleets.make(kind, 1), total=2) == "FleetNotInModifiableState"


def test_a_fleet_is_not_modified_while_it_is_modified_or_over(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/modify-ec2-fleet.html: "in the submitted or active state"; errors-overview.html."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    fleets.modify(fleet_id, 2)
    assert refusal(fleets.modify, fleet_id=fleet_id, total=3) == "FleetNotInModifiableState"
    fleets.delete(fleet_id)
    assert refusal(fleets.modify, fleet_id=fleet_id, total=3) == "FleetNotInModifiableState"


@pytest.mark.parametrize(("terminates", "left"), [(True, 0), (False, 2)])
def test_a_deletion_ends_the_machines_or_leaves_them(
    fleets: Fleets, emulator: Emulator, terminates: bool, left: int
) -> None:
    """UserGuide/EC2-fleet-states.html, delete-fleet.html"""
    emulator.configure(shutdown_seconds=30)
    fleet_id = fleets.make("maintain", 2)
    emulator.advance(10)
    answer = fleets.delete(fleet_id, terminates=terminates)
    state = "deleted_terminating" if terminates else "deleted_running"
    assert states(answer) == [("active", state)]
    assert len(emulator.alive()) == left
    assert fleets.show(fleet_id)["FleetState"] == state
    emulator.terminate(*[each.id for each in emulator.alive()])
    emulator.advance(40)
    assert fleets.show(fleet_id)["FleetState"] == "deleted"


def test_a_running_fleet_can_be_deleted_once_more(fleets: Fleets, emulator: Emulator) -> None:
    """Verified on AWS by moto's test_delete_fleet, not documented; a deleted fleet is in no deletable state."""
    fleet_id = fleets.make("maintain", 1)
    emulator.advance(10)
    fleets.delete(fleet_id, terminates=False)
    assert states(fleets.delete(fleet_id)) == [("deleted_running", "deleted_terminating")]
    assert not emulator.alive()
    assert failures(fleets.delete(fleet_id)) == {fleet_id: "fleetNotInDeletableState"}


def test_each_deletion_stands_by_itself(fleets: Fleets) -> None:
    """API_DeleteFleetError.html"""
    good = fleets.make("maintain", 1)
    answer = fleets.delete(good, UNKNOWN, "fleet-1")
    assert [each["FleetId"] for each in answer["SuccessfulFleetDeletions"]] == [good]
    assert failures(answer) == {UNKNOWN: "fleetIdDoesNotExist", "fleet-1": "fleetIdMalformed"}


def test_an_instant_fleet_takes_its_machines_along(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/delete-fleet.html: NoTerminateInstancesNotSupported."""
    fleet_id = fleets.make("instant", 2)
    refused = failures(fleets.delete(fleet_id, terminates=False))
    assert refused == {fleet_id: "NoTerminateInstancesNotSupported"}
    assert len(emulator.alive()) == 2
    fleets.delete(fleet_id)
    assert not emulator.alive()


def test_at_most_25_instant_fleets_are_deleted_at_once(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/delete-fleet.html: ExceededInstantFleetNumForDeletion."""
    many = [fleets.make("instant", 1) for _ in range(26)]
    refused = failures(fleets.delete(*many))
    assert set(refused) == set(many)
    assert set(refused.values()) == {"ExceededInstantFleetNumForDeletion"}
    assert len(emulator.alive()) == 26
    assert len(states(fleets.delete(*many[1:]))) == 25


def test_at_most_100_other_fleets_are_deleted_at_once(fleets: Fleets) -> None:
    """API_DeleteFleets.html; the code is not documented."""
    many = [f"{UNKNOWN[:-3]}{number:03}" for number in range(101)]
    assert refusal(fleets.ec2.delete_fleets, FleetIds=many, TerminateInstances=True) == "InvalidParameterValue"


def test_a_deleted_fleet_is_forgotten_after_two_days(fleets: Fleets, emulator: Emulator) -> None:
    """UserGuide/EC2-fleet-states.html"""
    fleet_id = fleets.make("maintain", 1)
    fleets.delete(fleet_id)
    emulator.advance(47 * 3600)
    assert fleets.show(fleet_id)["FleetState"] == "deleted"
    emulator.advance(2 * 3600)
    assert refusal(fleets.show, fleet_id=fleet_id) == "InvalidFleetId.NotFound"


def test_instant_fleets_are_shown_by_id_only(fleets: Fleets) -> None:
    """API_DescribeFleets.html: "If a fleet is of type instant, you must specify the fleet ID"."""
    instant, other = fleets.make("instant", 2), fleets.make("maintain", 1)
    assert [each["FleetId"] for each in fleets.ec2.describe_fleets()["Fleets"]] == [other]
    shown = fleets.show(instant)
    assert [len(each["InstanceIds"]) for each in shown["Instances"]] == [2]
    assert shown["Errors"] == []


def test_fleets_are_filtered_by_state_type_and_activity(fleets: Fleets, emulator: Emulator) -> None:
    """API_DescribeFleets.html, Filter.N: the values have hyphens."""
    kept, gone = fleets.make("maintain", 1), fleets.make("request", 1)
    emulator.advance(10)
    fleets.delete(gone, terminates=False)
    for name, value, wanted in (
        ("fleet-state", "deleted-running", gone),
        ("fleet-state", "active", kept),
        ("type", "request", gone),
        ("activity-status", "fulfilled", kept),
    ):
        filters = [{"Name": name, "Values": [value]}]
        assert [each["FleetId"] for each in fleets.ec2.describe_fleets(Filters=filters)["Fleets"]] == [wanted]
    wrong = [{"Name": "nonsense", "Values": ["x"]}]
    assert refusal(fleets.ec2.describe_fleets, Filters=wrong) == "InvalidParameterValue"


def test_fleets_come_in_pages(fleets: Fleets) -> None:
    """API_DescribeFleets.html, MaxResults"""
    made = [fleets.make("maintain", 1) for _ in range(3)]
    pages = fleets.ec2.get_paginator("describe_fleets").paginate(PaginationConfig={"PageSize": 2})
    assert [[each["FleetId"] for each in page["Fleets"]] for page in pages] == [made[:2], made[2:]]


def test_a_fleets_machines_come_in_pages(fleets: Fleets, emulator: Emulator) -> None:
    """API_DescribeFleetInstances.html"""
    fleet_id = fleets.make("maintain", 3, **SPOT)
    emulator.advance(10)
    first = fleets.ec2.describe_fleet_instances(FleetId=fleet_id, MaxResults=2)
    rest = fleets.ec2.describe_fleet_instances(FleetId=fleet_id, MaxResults=2, NextToken=first["NextToken"])
    found = first["ActiveInstances"] + rest["ActiveInstances"]
    assert {each["InstanceId"] for each in found} == {each.id for each in emulator.alive()}
    assert {each["SpotInstanceRequestId"][:4] for each in found} == {"sir-"}
    assert {each["InstanceHealth"] for each in found} == {"healthy"}


def test_the_machines_of_an_instant_fleet_are_not_listed(fleets: Fleets) -> None:
    """https://github.com/boto/boto3/issues/4005"""
    assert refusal(fleets.members, fleet_id=fleets.make("instant", 1)) == "Unsupported"


def test_unknown_fleets_are_refused(fleets: Fleets) -> None:
    """Seen of AWS; not in its list of codes."""
    assert refusal(fleets.show, fleet_id=UNKNOWN) == "InvalidFleetId.NotFound"
    assert refusal(fleets.members, fleet_id="fleet-1") == "InvalidFleetId.Malformed"


def test_fleets_are_tagged_like_everything_else(fleets: Fleets) -> None:
    """API_CreateTags.html, API_DescribeTags.html"""
    own = [{"ResourceType": "fleet", "Tags": [{"Key": "a", "Value": "1"}]}]
    fleet_id = fleets.make("maintain", 1, TagSpecifications=own)
    fleets.ec2.create_tags(Resources=[fleet_id], Tags=TAGS)
    kind = [{"Name": "resource-type", "Values": ["fleet"]}]
    found = fleets.ec2.describe_tags(Filters=kind)["Tags"]
    assert {each["Key"] for each in found} == {"a", TAGS[0]["Key"]}
    assert {each["ResourceId"] for each in found} == {fleet_id}


def test_the_emulator_lists_fleets_among_its_resources(fleets: Fleets, emulator: Emulator) -> None:
    """Emulator.resources, which is for tests."""
    fleet_id = fleets.make("maintain", 1)
    [found] = [each for each in emulator.resources() if each["kind"] == "fleet"]
    assert (found["id"], found["region"], found["state"]) == (fleet_id, REGION, "submitted")
