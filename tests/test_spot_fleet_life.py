"""The life of machines of Spot Fleets, played in whole calls against an emulated EC2."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from player import ROLE, HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator

every_type = pytest.mark.parametrize("kind", ["request", "maintain"])


def offer(hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str, **keys: Any) -> None:
    """Offer one template, `small`, whose machines come from Spot Fleets of a type."""
    own: dict[str, Any] = {"providerApi": "SpotFleet", "fleetType": kind, "fleetRole": ROLE, "priceType": "spot"}
    own |= {"spotFleetRequestExpiry": minutes_ahead(emulator) + 30, **keys}
    hostfactory.offer(template(",".join(subnets[:2]), maxNumber=2000, **own))


def minutes_ahead(emulator: Emulator) -> int:
    """Give how far other tests have moved the emulator's time."""
    return math.ceil((emulator.advance(0) - time.time()) / 60)


def fleets(emulator: Emulator) -> list[str]:
    """Give the states of all Spot Fleets."""
    return [each["state"] for each in emulator.resources() if each["kind"] == "spot-fleet"]


def assert_nothing_is_left(emulator: Emulator) -> None:
    assert emulator.alive() == []
    assert [each for each in emulator.resources() if each["kind"] == "launch-template"] == []
    assert not {"submitted", "active", "modifying", "cancelled_running"} & {*fleets(emulator)}


def ids(hosts: list[dict[str, Any]]) -> list[str]:
    return sorted(host["machineId"] for host in hosts)


def alive(emulator: Emulator) -> list[str]:
    return sorted(machine.id for machine in emulator.alive())


def finished(hostfactory: HostFactory, request_id: str, polls: int = 5) -> dict[str, Any]:
    """Poll until the request is no longer running."""
    for _ in range(polls):
        [answer] = hostfactory.poll(request_id)
        if answer["status"] != "running":
            break
    return answer


def pass_since_the_stop(hostfactory: HostFactory, request_id: str, seconds: float) -> None:
    """Make a request believe that so much time has passed since its fleets were told to stop."""
    path = hostfactory.state / f"requests/{request_id}.json"
    record = json.loads(path.read_text())
    for launch in record["launches"]:
        launch["stopped_at"] -= seconds
    path.write_text(json.dumps(record, separators=(",", ":")))


def targets(emulator: Emulator) -> list[tuple[int, int]]:
    """Give each fleet's target, and the part of it that is on demand."""
    configs = emulator.ec2().describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    own = [each["SpotFleetRequestConfig"] for each in configs]
    return [(each["TargetCapacity"], each["OnDemandTargetCapacity"]) for each in own]


@pytest.mark.scripts
@every_type
def test_machines_are_requested_and_returned_in_parts_and_nothing_is_left(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    offer(hostfactory, emulator, subnets, kind)
    status = finished(hostfactory, hostfactory.request("small", 4))
    assert (status["status"], status["message"]) == ("complete", "4 of 4 ready")
    machines = status["machines"]
    assert {machine["priceType"] for machine in machines} == {"spot"}
    assert ids(machines) == alive(emulator)

    first, second, *rest = machines
    assert hostfactory.returned(first)["status"] == "complete"
    emulator.advance(300)
    assert ids([second, *rest]) == alive(emulator)
    assert hostfactory.returned(second, *rest)["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


@every_type
def test_a_part_on_demand_is_bought_as_such(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    offer(hostfactory, emulator, subnets, kind, percentOnDemand=50)
    status = finished(hostfactory, hostfactory.request("small", 4))
    assert status["status"] == "complete"
    assert sorted(each["priceType"] for each in status["machines"]) == ["ondemand"] * 2 + ["spot"] * 2
    assert hostfactory.returned(*status["machines"])["status"] == "complete"
    assert_nothing_is_left(emulator)


def test_a_maintained_fleet_is_lowered_by_what_was_returned_and_by_its_price_type(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    offer(hostfactory, emulator, subnets, "maintain", percentOnDemand=50)
    machines = finished(hostfactory, hostfactory.request("small", 4))["machines"]
    on_demand, spot = ([each for each in machines if each["priceType"] == kind] for kind in ("ondemand", "spot"))
    hostfactory.returned(on_demand[0])
    assert targets(emulator) == [(3, 1)]
    hostfactory.returned(*spot)
    assert targets(emulator) == [(1, 1)]
    emulator.advance(300)
    assert alive(emulator) == ids(on_demand[1:])


def test_a_maintained_fleet_is_lowered_by_the_weight_of_what_was_returned(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    emulator.configure(capacity={f"{REGION}/*/*": 1})
    offer(hostfactory, emulator, subnets[:1], "maintain", vmTypes={"m5.large": 1, "m5.xlarge": 3})
    machines = finished(hostfactory, hostfactory.request("small", 4))["machines"]
    assert sorted(each["instanceType"] for each in machines) == ["m5.large", "m5.xlarge"]
    [large] = [each for each in machines if each["instanceType"] == "m5.xlarge"]
    hostfactory.returned(large)
    assert targets(emulator) == [(1, 0)]
    emulator.advance(300)
    assert len(alive(emulator)) == 1


def test_returns_at_the_same_time_lose_none(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    offer(hostfactory, emulator, subnets, "maintain")
    machines = finished(hostfactory, hostfactory.request("small", 4))["machines"]
    calls = [
        hostfactory.start(
            "requestReturnMachines",
            {"machines": [{"name": each["name"], "machineId": each["machineId"]}]},
        )
        for each in machines[:3]
    ]
    answers = [json.loads(call.communicate(timeout=60)[0]) for call in calls]
    for _ in range(3):
        statuses = hostfactory.poll(*(answer["requestId"] for answer in answers))
    assert {status["status"] for status in statuses} == {"complete"}
    assert targets(emulator) == [(1, 0)]
    emulator.advance(300)
    assert alive(emulator) == ids(machines[3:])


def test_a_return_waits_for_a_change_of_the_target_that_is_under_way(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    offer(hostfactory, emulator, subnets, "maintain")
    first, second, *rest = finished(hostfactory, hostfactory.request("small", 3))["machines"]
    emulator.configure(fleet_seconds=30)
    hostfactory.returned(first)
    return_id = hostfactory.give_back(second)
    [status] = hostfactory.poll(return_id)
    assert (status["status"], status["machines"][0]["result"]) == ("running", "executing")
    assert second["machineId"] in alive(emulator)
    emulator.advance(30)
    assert finished(hostfactory, return_id)["status"] == "complete"
    emulator.advance(300)
    assert alive(emulator) == ids(rest)


def test_a_machine_that_dies_while_the_request_is_open_is_replaced_and_the_replacement_reported(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    emulator.configure(boot_seconds=30)
    offer(hostfactory, emulator, subnets, "maintain")
    request_id = hostfactory.request("small", 3)
    hostfactory.poll(request_id)
    dead = alive(emulator)[0]
    emulator.terminate(dead, code="Server.InternalError", text="Server.InternalError: hardware")
    hostfactory.poll(request_id)
    emulator.advance(30)
    status = finished(hostfactory, request_id)
    assert status["status"] == "complete"
    results = {each["machineId"]: each["result"] for each in status["machines"]}
    assert results.pop(dead) == "fail"
    assert (sorted(results), set(results.values())) == (alive(emulator), {"succeed"})
    assert (len(results), len(fleets(emulator))) == (3, 1)


def test_what_spot_loses_while_the_request_is_open_is_bought_on_demand(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    emulator.configure(boot_seconds=30)
    offer(hostfactory, emulator, subnets, "request", priceType="heterogeneous")
    request_id = hostfactory.request("small", 3)
    hostfactory.poll(request_id)
    emulator.terminate(alive(emulator)[0], code="Server.SpotInstanceTermination", text="taken back")
    hostfactory.poll(request_id)
    emulator.advance(30)
    machines = [each for each in finished(hostfactory, request_id)["machines"] if each["result"] == "succeed"]
    assert sorted(each["priceType"] for each in machines) == ["ondemand", "spot", "spot"]
    assert ids(machines) == alive(emulator)
    assert hostfactory.returned(*machines)["status"] == "complete"
    assert_nothing_is_left(emulator)


def test_a_request_that_lost_a_machine_too_early_is_not_waited_for(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    """It replaces nothing, and is never fulfilled any more."""
    offer(hostfactory, emulator, subnets, "request", deadlineSeconds=3600)
    request_id = hostfactory.request("small", 3)
    emulator.terminate(alive(emulator)[0], code="Server.SpotInstanceTermination", text="taken back")
    status = finished(hostfactory, request_id)
    assert (status["status"], ids(status["machines"])) == ("complete", alive(emulator))
    assert "replaces nothing" in status["message"]
    assert hostfactory.returned(*status["machines"])["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


def test_what_a_fleet_replaced_after_the_request_closed_goes_with_it(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    offer(hostfactory, emulator, subnets, "maintain")
    machines = finished(hostfactory, hostfactory.request("small", 2))["machines"]
    emulator.terminate(machines[0]["machineId"], code="Server.SpotInstanceTermination", text="taken back")
    assert not {machines[0]["machineId"]} & {*alive(emulator)}
    assert len(alive(emulator)) == 2, "the fleet replaces what it loses"
    assert [each["machineId"] for each in hostfactory.lost(*machines)] == [machines[0]["machineId"]]
    assert hostfactory.returned(*machines)["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


@every_type
def test_what_could_come_after_the_request_has_closed_does_not_come(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    emulator.configure(capacity={f"{REGION}/*/*": 1})
    offer(hostfactory, emulator, subnets, kind)
    request_id = hostfactory.request("small", 5)
    status = finished(hostfactory, request_id)
    if kind == "maintain":
        assert (status["status"], targets(emulator)) == ("running", [(2, 0)])
        pass_since_the_stop(hostfactory, request_id, 60)
        status = finished(hostfactory, request_id)
    assert (status["status"], len(status["machines"])) == ("complete", 2)
    assert "There is no Spot capacity available" in status["message"]
    emulator.configure(capacity={})
    emulator.advance(300)
    assert alive(emulator) == ids(status["machines"])
    assert hostfactory.returned(*status["machines"])["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


@every_type
def test_a_fleet_that_begins_after_the_deadline_loses_no_machine(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    emulator.configure(fleet_seconds=120)
    offer(hostfactory, emulator, subnets, kind, deadlineSeconds=1)
    request_id = hostfactory.request("small", 2)
    time.sleep(1)
    hostfactory.poll(request_id)
    emulator.advance(300)
    status = finished(hostfactory, request_id)
    assert status["status"] != "running"
    assert ids(status["machines"]) == alive(emulator)
    if status["machines"]:
        hostfactory.returned(*status["machines"])
    emulator.advance(300)
    assert_nothing_is_left(emulator)


@every_type
def test_a_fleet_that_gives_nothing_leaves_nothing(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    emulator.configure(capacity={f"{REGION}/*/*": 0})
    offer(hostfactory, emulator, subnets, kind)
    request_id = hostfactory.request("small", 2)
    hostfactory.poll(request_id)
    if kind == "maintain":
        pass_since_the_stop(hostfactory, request_id, 60)
    status = finished(hostfactory, request_id)
    assert (status["status"], status["machines"]) == ("complete_with_error", [])
    assert "There is no Spot capacity available" in status["message"]
    emulator.configure(capacity={})
    emulator.advance(300)
    assert_nothing_is_left(emulator)


@every_type
def test_what_spot_does_not_give_is_bought_on_demand(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    emulator.configure(capacity={f"{REGION}/*/*/spot": 1})
    offer(hostfactory, emulator, subnets, kind, priceType="heterogeneous")
    request_id = hostfactory.request("small", 5)
    status = finished(hostfactory, request_id)
    if kind == "maintain":
        pass_since_the_stop(hostfactory, request_id, 60)
        status = finished(hostfactory, request_id)
    assert status["status"] == "complete"
    assert sorted(each["priceType"] for each in status["machines"]) == ["ondemand"] * 3 + ["spot"] * 2
    assert ids(status["machines"]) == alive(emulator)
    assert hostfactory.returned(*status["machines"])["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


def test_what_a_request_that_ended_did_not_give_is_bought_on_demand(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    emulator.configure(fleet_seconds=3600)
    offer(hostfactory, emulator, subnets, "request", priceType="heterogeneous")
    request_id = hostfactory.request("small", 3)
    [status] = hostfactory.poll(request_id)
    assert status["status"] == "running"
    [fleet] = emulator.ec2().describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    emulator.ec2().cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet["SpotFleetRequestId"]], TerminateInstances=False
    )
    emulator.configure(fleet_seconds=0)
    machines = finished(hostfactory, request_id)["machines"]
    assert [each["priceType"] for each in machines] == ["ondemand"] * 3
    assert ids(machines) == alive(emulator)
    assert hostfactory.returned(*machines)["status"] == "complete"
    assert_nothing_is_left(emulator)


@every_type
@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_request_whose_answer_is_lost_makes_one_fleet(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str, fault: str
) -> None:
    offer(hostfactory, emulator, subnets, kind)
    emulator.fault(fault, action="RequestSpotFleet", times=1)
    status = finished(hostfactory, hostfactory.request("small", 3))
    assert (status["status"], len(status["machines"])) == ("complete", 3)
    assert (len(fleets(emulator)), ids(status["machines"])) == (1, alive(emulator))
    hostfactory.returned(*status["machines"])
    assert_nothing_is_left(emulator)


@every_type
def test_an_unknown_launch_past_its_deadline_is_found_by_its_token(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    offer(hostfactory, emulator, subnets, kind, deadlineSeconds=1)
    emulator.fault("drop_after", action="RequestSpotFleet", times=1)
    request_id = hostfactory.request("small", 3)
    time.sleep(1)
    status = finished(hostfactory, request_id)
    assert (status["status"], ids(status["machines"])) == ("complete", alive(emulator))
    assert len(fleets(emulator)) == 1
    hostfactory.returned(*status["machines"])
    assert_nothing_is_left(emulator)


@every_type
def test_every_page_of_a_fleets_machines_is_read(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str], kind: str
) -> None:
    offer(hostfactory, emulator, subnets, kind)
    status = finished(hostfactory, hostfactory.request("small", 1200))
    assert (status["status"], len(status["machines"])) == ("complete", 1200)
    assert ids(status["machines"]) == alive(emulator)
    assert hostfactory.returned(*status["machines"])["status"] == "complete"
    emulator.advance(300)
    assert_nothing_is_left(emulator)


def test_a_template_without_a_role_is_refused(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    offer(hostfactory, emulator, subnets, "request", fleetRole="")
    assert "fleetRole is missing" in hostfactory.refused("requestMachines", demand("small", 1))
    assert emulator.resources() == []
