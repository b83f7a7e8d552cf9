"""Spot Fleet requests. Held to AWS's documentation; what they share with EC2 Fleets is tested there.

Pages named without an address are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (API_...,
errors-overview.html), and UserGuide/... of https://docs.aws.amazon.com/AWSEC2/latest/.
"""

from __future__ import annotations

from typing import Any

import pytest
from fleet_calls import ROLE, TAGS, TYPE, Fleets, in_zone, refusal

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

UNKNOWN = "sfr-00000000-0000-0000-0000-000000000000"


class SpotFleets(Fleets):
    """Spot Fleets of the emulated EC2."""

    def request(self, total: int, kind: str = "maintain", **config: Any) -> str:
        """Make a request and give its id: of the launch template, if nothing else is said."""
        own = {"IamFleetRole": ROLE, "TargetCapacity": total, "Type": kind, **config}
        if "LaunchSpecifications" not in own:
            own.setdefault("LaunchTemplateConfigs", self.config())
        made: str = self.ec2.request_spot_fleet(SpotFleetRequestConfig=own)["SpotFleetRequestId"]
        return made

    def show(self, fleet_id: str) -> dict[str, Any]:
        answer = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])
        [found] = answer["SpotFleetRequestConfigs"]
        return dict(found)

    def status(self, fleet_id: str) -> tuple[str, str]:
        found = self.show(fleet_id)
        return found["SpotFleetRequestState"], found.get("ActivityStatus", "")

    def fulfilled(self, fleet_id: str) -> tuple[float, float]:
        """Give the units that live, and those of them that are on demand."""
        config = self.show(fleet_id)["SpotFleetRequestConfig"]
        return config["FulfilledCapacity"], config["OnDemandFulfilledCapacity"]

    def members(self, fleet_id: str) -> list[str]:
        found = self.ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet_id)["ActiveInstances"]
        return [each["InstanceId"] for each in found]

    def events(self, fleet_id: str, **params: Any) -> list[str]:
        answer = self.ec2.describe_spot_fleet_request_history(SpotFleetRequestId=fleet_id, StartTime=0, **params)
        return [each["EventInformation"]["EventSubType"] for each in answer["HistoryRecords"]]

    def cancel(self, *fleet_ids: str, terminates: bool = True) -> dict[str, Any]:
        answer = self.ec2.cancel_spot_fleet_requests(
            SpotFleetRequestIds=list(fleet_ids), TerminateInstances=terminates
        )
        return dict(answer)

    def retarget(self, fleet_id: str, total: int, **params: Any) -> None:
        self.ec2.modify_spot_fleet_request(SpotFleetRequestId=fleet_id, TargetCapacity=total, **params)


@pytest.fixture
def spot_fleets(emulator: Emulator) -> SpotFleets:
    """Spot Fleets that act after ten seconds."""
    emulator.configure(fleet_seconds=10)
    return SpotFleets(emulator)


def specification(**members: Any) -> dict[str, Any]:
    """Give a launch specification."""
    return {"ImageId": IMAGE_ID, "InstanceType": TYPE, "Placement": {"AvailabilityZone": f"{REGION}a"}} | members


@pytest.mark.parametrize("kind", ["request", "maintain"])
def test_a_request_launches_after_it_was_submitted(spot_fleets: SpotFleets, emulator: Emulator, kind: str) -> None:
    """UserGuide/spot-fleet-requests.html"""
    request_id = spot_fleets.request(2, kind)
    assert spot_fleets.status(request_id) == ("submitted", "pending_fulfillment")
    emulator.advance(10)
    assert spot_fleets.status(request_id) == ("active", "fulfilled")
    assert sorted(spot_fleets.members(request_id)) == sorted(each.id for each in emulator.alive())
    assert [each.purchase for each in emulator.alive()] == ["spot"] * 2
    assert spot_fleets.events(request_id) == ["submitted", "active", "launched", "launched"]


def test_on_demand_is_a_part_of_the_target(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_SpotFleetRequestConfigData.html, OnDemandTargetCapacity; UserGuide/spot-fleet-requests.html."""
    request_id = spot_fleets.request(5, OnDemandTargetCapacity=2)
    emulator.advance(10)
    assert sorted(each.purchase for each in emulator.alive()) == ["on-demand"] * 2 + ["spot"] * 3
    assert spot_fleets.fulfilled(request_id) == (5.0, 2.0)


def test_a_launch_specification_says_all(spot_fleets: SpotFleets, emulator: Emulator, subnets: list[str]) -> None:
    """API_SpotFleetLaunchSpecification.html"""
    group = spot_fleets.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    tags = [{"ResourceType": "instance", "Tags": TAGS}]
    own = specification(SecurityGroups=[{"GroupId": group}], TagSpecifications=tags, SubnetId=subnets[1])
    own.pop("Placement")
    request_id = spot_fleets.request(1, LaunchSpecifications=[own])
    emulator.advance(10)
    [machine] = emulator.alive()
    assert (machine.zone, machine.type) == (f"{REGION}b", TYPE)
    assert machine.tags[TAGS[0]["Key"]] == TAGS[0]["Value"]
    assert machine.tags["aws:ec2spot:fleet-request-id"] == request_id
    [shown] = spot_fleets.ec2.describe_instances()["Reservations"][0]["Instances"]
    assert [each["GroupId"] for each in shown["SecurityGroups"]] == [group]


def test_a_launch_specification_may_list_places(
    spot_fleets: SpotFleets, emulator: Emulator, subnets: list[str]
) -> None:
    """API_SpotFleetLaunchSpecification.html, SubnetId; API_SpotPlacement.html: "separate them using commas"."""
    emulator.configure(capacity={f"{REGION}/*/*": 1})
    listed = {"AvailabilityZone": f"{REGION}a, {REGION}b"}
    spot_fleets.request(2, LaunchSpecifications=[specification(Placement=listed)])
    own = specification(InstanceType="c5.large", SubnetId=",".join(subnets[:2]))
    own.pop("Placement")
    spot_fleets.request(2, LaunchSpecifications=[own])
    emulator.advance(10)
    assert sorted((each.type, each.zone[-1]) for each in emulator.alive()) == [
        ("c5.large", "a"),
        ("c5.large", "b"),
        (TYPE, "a"),
        (TYPE, "b"),
    ]


def test_weights_are_rounded_up(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """UserGuide/spot-fleet-instance-weighting.html"""
    request_id = spot_fleets.request(10, LaunchSpecifications=[specification(WeightedCapacity=3.0)])
    emulator.advance(10)
    assert len(emulator.alive()) == 4
    assert spot_fleets.fulfilled(request_id) == (12.0, 0.0)


def test_strategies_are_in_camel_case(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_SpotFleetRequestConfigData.html, AllocationStrategy"""
    overrides = [in_zone("a", Priority=2.0), in_zone("b", Priority=1.0)]
    spot_fleets.request(
        1,
        AllocationStrategy="capacityOptimizedPrioritized",
        LaunchTemplateConfigs=spot_fleets.config(*overrides),
    )
    emulator.advance(10)
    assert [each.zone for each in emulator.alive()] == [f"{REGION}b"]
    assert refusal(spot_fleets.request, total=1, AllocationStrategy="lowest-price") == "InvalidParameterValue"


def test_a_price_below_the_market_brings_nothing(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_LaunchTemplateOverrides.html, SpotPrice: before the price of the request."""
    emulator.configure(prices={f"{REGION}/*/*": 1.0})
    overrides = [in_zone("a", SpotPrice="0.5"), in_zone("b", SpotPrice="2")]
    spot_fleets.request(1, LaunchTemplateConfigs=spot_fleets.config(overrides[0]))
    spot_fleets.request(1, LaunchTemplateConfigs=spot_fleets.config(overrides[1]), SpotPrice="0.5")
    emulator.advance(10)
    assert [each.zone for each in emulator.alive()] == [f"{REGION}b"]


def test_the_configuration_is_shown_as_it_was_given(spot_fleets: SpotFleets) -> None:
    """API_SpotFleetRequestConfig.html"""
    configs = spot_fleets.config(in_zone("a"), in_zone("b"))
    own = [{"ResourceType": "spot-fleet-request", "Tags": TAGS}]
    request_id = spot_fleets.request(2, "request", LaunchTemplateConfigs=configs, TagSpecifications=own)
    shown = spot_fleets.show(request_id)
    config = shown["SpotFleetRequestConfig"]
    assert (config["Type"], config["TargetCapacity"], config["IamFleetRole"]) == ("request", 2, ROLE)
    assert config["LaunchTemplateConfigs"] == configs
    assert config["AllocationStrategy"] == "lowestPrice"
    assert shown["Tags"] == TAGS


def test_only_a_maintained_request_replaces(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_SpotFleetRequestConfigData.html, Type"""
    maintained, once = spot_fleets.request(1), spot_fleets.request(1, "request")
    emulator.advance(10)
    lost = spot_fleets.members(maintained) + spot_fleets.members(once)
    for each in lost:
        emulator.interrupt(each)
    emulator.advance(200)
    assert len(spot_fleets.members(maintained)) == 1
    assert spot_fleets.members(once) == []
    assert "terminated" in spot_fleets.events(once, EventType="instanceChange")


def test_what_was_refused_is_tried_again(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_SpotFleetRequestConfig.html, ActivityStatus: "If there is an error, the status is error"."""
    emulator.configure(capacity={f"{REGION}/*/*": 1}, retry_seconds=60)
    request_id = spot_fleets.request(2)
    emulator.advance(10)
    assert spot_fleets.status(request_id) == ("active", "error")
    assert spot_fleets.events(request_id, EventType="error") == ["spotFleetRequestConfigurationInvalid"]
    emulator.configure(capacity={})
    emulator.advance(60)
    assert spot_fleets.status(request_id) == ("active", "fulfilled")


def test_a_target_is_changed_in_place(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_ModifySpotFleetRequest.html, UserGuide/modify-spot-fleet.html"""
    request_id = spot_fleets.request(1)
    emulator.advance(10)
    spot_fleets.retarget(request_id, 3, OnDemandTargetCapacity=1)
    assert spot_fleets.status(request_id)[0] == "modifying"
    assert refusal(spot_fleets.retarget, fleet_id=request_id, total=4) == "FleetNotInModifiableState"
    emulator.advance(10)
    assert spot_fleets.status(request_id) == ("active", "fulfilled")
    assert spot_fleets.fulfilled(request_id) == (3.0, 1.0)


def test_a_lowered_target_ends_machines_unless_it_must_not(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_ModifySpotFleetRequest.html, ExcessCapacityTerminationPolicy: default and noTermination."""
    kept, cut = spot_fleets.request(2), spot_fleets.request(2)
    emulator.advance(10)
    spot_fleets.retarget(kept, 1, ExcessCapacityTerminationPolicy="noTermination")
    spot_fleets.retarget(cut, 1)
    emulator.advance(10)
    assert spot_fleets.status(cut) == ("active", "pending_termination")
    emulator.advance(120)
    assert (len(spot_fleets.members(kept)), len(spot_fleets.members(cut))) == (2, 1)
    spot_fleets.ec2.terminate_instances(InstanceIds=spot_fleets.members(kept)[:1])
    emulator.advance(60)
    assert len(spot_fleets.members(kept)) == 1


def test_a_request_of_type_request_is_not_modified(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """https://github.com/jenkinsci/ec2-fleet-plugin/issues/131; errors-overview.html has the code."""
    request_id = spot_fleets.request(1, "request")
    emulator.advance(10)
    assert refusal(spot_fleets.retarget, fleet_id=request_id, total=2) == "FleetNotInModifiableState"


@pytest.mark.parametrize(("terminates", "left"), [(True, 0), (False, 2)])
def test_a_cancelled_request_ends_its_machines_or_leaves_them(
    spot_fleets: SpotFleets, emulator: Emulator, terminates: bool, left: int
) -> None:
    """API_CancelSpotFleetRequests.html, UserGuide/spot-fleet-requests.html"""
    emulator.configure(shutdown_seconds=30)
    request_id = spot_fleets.request(2)
    emulator.advance(10)
    [done] = spot_fleets.cancel(request_id, terminates=terminates)["SuccessfulFleetRequests"]
    state = "cancelled_terminating" if terminates else "cancelled_running"
    assert (done["PreviousSpotFleetRequestState"], done["CurrentSpotFleetRequestState"]) == ("active", state)
    assert len(emulator.alive()) == left
    emulator.terminate(*[each.id for each in emulator.alive()])
    emulator.advance(40)
    assert spot_fleets.show(request_id)["SpotFleetRequestState"] == "cancelled"
    assert len(emulator.machines()) == 2


def test_each_cancellation_stands_by_itself(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_CancelSpotFleetRequestsError.html"""
    done = spot_fleets.request(1)
    spot_fleets.cancel(done)
    answer = spot_fleets.cancel(spot_fleets.request(1), done, UNKNOWN, "sfr-1")
    assert len(answer["SuccessfulFleetRequests"]) == 1
    assert {each["SpotFleetRequestId"]: each["Error"]["Code"] for each in answer["UnsuccessfulFleetRequests"]} == {
        done: "fleetRequestNotInCancellableState",
        UNKNOWN: "fleetRequestIdDoesNotExist",
        "sfr-1": "fleetRequestIdMalformed",
    }
    many = [f"{UNKNOWN[:-3]}{number:03}" for number in range(101)]
    call = spot_fleets.ec2.cancel_spot_fleet_requests
    assert refusal(call, SpotFleetRequestIds=many, TerminateInstances=True) == "InvalidParameterValue"


def test_the_same_token_gives_the_same_request(spot_fleets: SpotFleets) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html"""
    first = spot_fleets.request(1, ClientToken="once")
    assert spot_fleets.request(1, ClientToken="once") == first
    assert refusal(spot_fleets.request, total=2, ClientToken="once") == "IdempotentParameterMismatch"
    assert spot_fleets.request(1) != spot_fleets.request(1)


def test_requests_and_machines_come_in_pages(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """API_DescribeSpotFleetRequests.html, API_DescribeSpotFleetInstances.html"""
    made = [spot_fleets.request(3), spot_fleets.request(1)]
    emulator.advance(10)
    pages = spot_fleets.ec2.get_paginator("describe_spot_fleet_requests").paginate(
        PaginationConfig={"PageSize": 1}
    )
    found = [[each["SpotFleetRequestId"] for each in page["SpotFleetRequestConfigs"]] for page in pages]
    assert found == [made[:1], made[1:]]
    paginator = spot_fleets.ec2.get_paginator("describe_spot_fleet_instances")
    listed = paginator.paginate(SpotFleetRequestId=made[0], PaginationConfig={"PageSize": 2})
    assert [len(page["ActiveInstances"]) for page in listed] == [2, 1]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"IamFleetRole": "nobody"}, "InvalidSpotFleetRequestConfig"),
        ({"LaunchTemplateConfigs": []}, "InvalidSpotFleetRequestConfig"),
        (
            {"LaunchSpecifications": [specification()], "OnDemandTargetCapacity": 1},
            "InvalidSpotFleetRequestConfig",
        ),
        ({"OnDemandTargetCapacity": 3}, "InvalidSpotFleetRequestConfig"),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}]},
            "InvalidSpotFleetRequestConfig",
        ),
        ({"kind": "request", "total": 0}, "InvalidSpotFleetRequestConfig"),
        ({"total": 10_001}, "InvalidSpotFleetRequestConfig"),
        ({"LaunchSpecifications": [specification(), specification()]}, "InvalidSpotFleetRequestConfig"),
    ],
)
def test_what_does_not_go_together_is_refused(spot_fleets: SpotFleets, config: dict[str, Any], code: str) -> None:
    """API_SpotFleetRequestConfigData.html has the rules; errors-overview.html has the code for all of them."""
    assert refusal(spot_fleets.request, **{"total": 2, **config}) == code


def test_the_quota_of_requests_holds(spot_fleets: SpotFleets, emulator: Emulator) -> None:
    """errors-overview.html: MaxSpotFleetRequestCountExceeded"""
    emulator.configure(quotas={"spot-fleets": 1})
    spot_fleets.request(1)
    assert refusal(spot_fleets.request, total=1) == "MaxSpotFleetRequestCountExceeded"


def test_unknown_requests_are_refused(spot_fleets: SpotFleets) -> None:
    """errors-overview.html: InvalidSpotFleetRequestId.NotFound and .Malformed"""
    assert refusal(spot_fleets.show, fleet_id=UNKNOWN) == "InvalidSpotFleetRequestId.NotFound"
    assert refusal(spot_fleets.members, fleet_id="sfr-1") == "InvalidSpotFleetRequestId.Malformed"
