"""The life of machines of EC2 Fleets, played in whole calls against an emulated EC2."""

from __future__ import annotations

from typing import Any

import pytest
from player import HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator

Hosts = list[dict[str, Any]]

every_type = pytest.mark.parametrize("kind", ["instant", "request", "maintain"])
living = pytest.mark.parametrize("kind", ["request", "maintain"])


class Life:
    """HostFactory, its templates for fleets, and what runs at AWS."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> None:
        self.hostfactory = hostfactory
        self.emulator = emulator
        self.subnets = subnets

    def offer(self, kind: str, zones: int = 2, **keys: Any) -> None:
        """Offer one template, `small`, whose machines come from EC2 Fleets of a type."""
        own = {"providerApi": "EC2Fleet", "fleetType": kind, "maxNumber": 5000, **keys}
        # A request's validity ends by AWS's clock, which other tests have moved.
        own.setdefault("spotFleetRequestExpiry", 10_000_000)
        self.hostfactory.offer(template(",".join(self.subnets[:zones]), **own))

    def have(self, count: int) -> Hosts:
        """Request machines, and poll until the request is no longer running."""
        return list(self.finished(self.hostfactory.request("small", count))["machines"])

    def finished(self, request_id: str, polls: int = 8) -> dict[str, Any]:
        for _ in range(polls):
            [answer] = self.hostfactory.poll(request_id)
            if answer["status"] != "running":
                return answer
        raise AssertionError(answer)

    def give_back(self, hosts: Hosts) -> None:
        assert self.hostfactory.returned(*hosts)["status"] == "complete"

    @property
    def alive(self) -> list[str]:
        return sorted(machine.id for machine in self.emulator.alive())

    def check(self, hosts: Hosts) -> None:
        """What HostFactory holds is what runs, also a while later."""
        for _ in range(2):
            assert self.alive == ids(hosts)
            self.emulator.advance(300)

    def check_empty(self) -> None:
        self.check([])
        assert self.emulator.leftovers() == []
        assert {each["kind"] for each in self.emulator.resources()} <= {"instant-fleet", "fleet"}

    @property
    def targets(self) -> list[tuple[int, int]]:
        """Give each living fleet's target, and the part of it that is on demand."""
        found = [each["TargetCapacitySpecification"] for each in self.emulator.ec2().describe_fleets()["Fleets"]]
        return [(each["TotalTargetCapacity"], each["OnDemandTargetCapacity"]) for each in found]


@pytest.fixture
def life(hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> Life:
    return Life(hostfactory, emulator, subnets)


def ids(hosts: Hosts) -> list[str]:
    return sorted(host["machineId"] for host in hosts)


def usable(hosts: Hosts) -> Hosts:
    return [host for host in hosts if host["result"] == "succeed"]


@pytest.mark.scripts
@every_type
def test_machines_are_returned_one_by_one_and_in_bulk_and_nothing_is_left(life: Life, kind: str) -> None:
    life.offer(kind)
    hosts = life.have(5)
    assert len(hosts) == 5
    life.check(hosts)
    for _ in range(2):
        life.give_back([hosts.pop()])
        life.check(hosts)
    life.give_back(hosts)
    life.check_empty()


@every_type
def test_returns_at_the_same_time_lose_none(life: Life, kind: str) -> None:
    life.offer(kind)
    hosts = life.have(6)
    started = [
        life.hostfactory.start("requestReturnMachines", {"machines": [{"machineId": host["machineId"]}]})
        for host in hosts[:4]
    ]
    for process in started:
        assert process.wait(60) == 0
        process.communicate()
    returns = [path.stem for path in (life.hostfactory.state / "returns").glob("ret-*.json")]
    for _ in range(5):
        answers = life.hostfactory.poll(*returns)
    assert [answer["status"] for answer in answers] == ["complete"] * 4
    life.check(hosts[4:])
    if kind == "maintain":
        assert life.targets == [(2, 2)]
    life.give_back(hosts[4:])
    life.check_empty()


def test_a_replacement_is_taken_while_the_request_is_open(life: Life) -> None:
    life.offer("maintain", deadlineSeconds=3600)
    life.emulator.configure(boot_seconds=60)
    request_id = life.hostfactory.request("small", 3)
    life.hostfactory.poll(request_id)
    life.emulator.terminate(life.alive[0])
    life.hostfactory.poll(request_id)
    life.emulator.advance(61)
    life.hostfactory.poll(request_id)
    life.emulator.advance(61)
    answer = life.finished(request_id)
    assert answer["status"] == "complete"
    hosts = usable(answer["machines"])
    assert len(hosts) == 3
    life.check(hosts)
    life.give_back(hosts)
    life.check_empty()


def test_a_replacement_after_the_request_is_given_back(life: Life) -> None:
    life.offer("maintain")
    hosts = life.have(3)
    life.emulator.terminate(hosts[0]["machineId"])
    assert len(life.alive) == 3
    [lost] = life.hostfactory.lost(*hosts)
    assert lost["machineId"] == hosts[0]["machineId"]
    life.check(hosts[1:])
    life.give_back(hosts[:1])
    life.check(hosts[1:])
    life.give_back(hosts[1:])
    life.check_empty()


@every_type
@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
def test_a_lost_answer_of_a_launch_launches_nothing_twice(life: Life, kind: str, dropped: str) -> None:
    life.offer(kind)
    life.emulator.fault(dropped, action="CreateFleet", times=1)
    hosts = life.have(3)
    life.check(hosts)
    assert len(hosts) == 3
    life.give_back(hosts)
    life.check_empty()


@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
@pytest.mark.parametrize("action", ["ModifyFleet", "DeleteFleets", "DeleteLaunchTemplate", "TerminateInstances"])
def test_a_lost_answer_of_a_change_is_made_good_by_later_calls(life: Life, action: str, dropped: str) -> None:
    life.offer("maintain")
    hosts = life.have(3)
    number = life.emulator.fault(dropped, action=action, times=2)
    waiting: dict[str, Any] = {}
    for host in hosts[:]:
        return_id = life.hostfactory.give_back(host)
        for _ in range(4):
            [waiting] = life.hostfactory.poll(return_id)
            if waiting["status"] != "running":
                break
        assert waiting["status"] == "complete"
        hosts.remove(host)
        life.check(hosts)
    assert life.emulator.struck(number)
    life.hostfactory.returned({"machineId": "i-0fffffffffffffff0"})  # the next return, whatever it is of
    life.hostfactory.returned({"machineId": "i-0fffffffffffffff0"})
    life.check_empty()


@every_type
def test_a_zone_without_capacity_is_left_out(life: Life, kind: str) -> None:
    life.offer(kind)
    life.emulator.configure(capacity={f"{REGION}/m5.large/{REGION}a": 1})
    hosts = life.have(4)
    assert len(hosts) == 4
    life.check(hosts)
    life.give_back(hosts)
    life.check_empty()


@every_type
def test_capacity_refused_everywhere_closes_the_request_and_leaves_nothing(life: Life, kind: str) -> None:
    life.offer(kind)
    life.emulator.configure(capacity={f"{REGION}/*/*": 0})
    answer = life.finished(life.hostfactory.request("small", 2))
    assert (answer["status"], answer["machines"]) == ("complete_with_error", [])
    assert "sufficient" in answer["message"].lower()
    life.emulator.configure(capacity={f"{REGION}/*/*": 9})
    life.check_empty()


@every_type
def test_a_part_is_kept_when_there_is_no_more_and_not_topped_up_later(life: Life, kind: str) -> None:
    life.offer(kind, zones=1)
    life.emulator.configure(capacity={f"{REGION}/*/*": 2})
    answer = life.finished(life.hostfactory.request("small", 5))
    assert answer["status"] == "complete"
    assert answer["message"].startswith("2 of 5 ready")
    life.emulator.configure(capacity={f"{REGION}/*/*": 99})
    hosts = answer["machines"]
    life.check(hosts)
    life.give_back(hosts[:1])
    life.check(hosts[1:])
    life.give_back(hosts[1:])
    life.check_empty()


@every_type
def test_what_spot_does_not_give_is_bought_on_demand(life: Life, kind: str) -> None:
    life.offer(
        kind, priceType="heterogeneous", vmTypesOnDemand={"c5.large": 1}, vmTypes={"m5.large": 1}, vmType=None
    )
    life.emulator.configure(capacity={f"{REGION}/*/*/spot": 1})
    hosts = life.have(4)
    bought = sorted((host["priceType"], host["instanceType"]) for host in hosts)
    assert bought == [("ondemand", "c5.large")] * 2 + [("spot", "m5.large")] * 2
    life.check(hosts)
    spot = [host for host in hosts if host["priceType"] == "spot"]
    life.give_back(spot)
    life.check([host for host in hosts if host not in spot])
    life.give_back([host for host in hosts if host not in spot])
    life.check_empty()


def test_a_maintained_fleet_is_lowered_by_the_price_type_of_what_was_returned(life: Life) -> None:
    life.offer("maintain", priceType="heterogeneous", percentOnDemand=50)
    hosts = life.have(4)
    on_demand = [host for host in hosts if host["priceType"] == "ondemand"]
    assert (len(on_demand), life.targets) == (2, [(4, 2)])
    life.give_back(on_demand[:1])
    assert life.targets == [(3, 1)]
    life.check([host for host in hosts if host != on_demand[0]])


@every_type
def test_weights_are_counted_in_units(life: Life, kind: str) -> None:
    life.offer(kind, vmType=None, vmTypes={"m5.xlarge": 4})
    answer = life.finished(life.hostfactory.request("small", 10))
    assert (answer["message"], len(answer["machines"])) == ("12 of 10 ready", 3)
    hosts = answer["machines"]
    life.check(hosts)
    life.give_back(hosts[:1])
    if kind == "maintain":
        assert [total for total, _ in life.targets] == [6]
    life.check(hosts[1:])
    life.give_back(hosts[1:])
    life.check_empty()


def test_a_large_request_is_launched_in_several_instant_fleets(life: Life) -> None:
    life.offer("instant")
    answer = life.finished(life.hostfactory.request("small", 1200))
    assert answer["message"] == "1200 of 1200 ready"
    asked = [call["params"]["TargetCapacitySpecification"] for call in life.emulator.calls("CreateFleet")]
    assert [int(each["TotalTargetCapacity"]) for each in asked] == [500, 500, 200]
    life.check(answer["machines"])
    life.emulator.forget_calls()
    life.give_back(answer["machines"])
    assert len(life.emulator.calls("TerminateInstances")) == 3
    life.check_empty()


def test_the_launch_template_that_requests_share_goes_with_the_last_of_them(life: Life) -> None:
    life.offer("instant")
    first, second = life.have(1), life.have(1)
    assert len([each for each in life.emulator.resources() if each["kind"] == "launch-template"]) == 1
    life.give_back(first)
    assert len([each for each in life.emulator.resources() if each["kind"] == "launch-template"]) == 1
    life.give_back(second)
    life.check_empty()


@every_type
def test_a_launch_template_that_is_removed_at_the_wrong_moment_is_made_again(life: Life, kind: str) -> None:
    life.offer(kind)
    refusal = {"code": "InvalidLaunchTemplateName.NotFoundException", "message": "no such template", "status": 400}
    life.emulator.fault("error", action="CreateFleet", times=1, **refusal)
    hosts = life.have(2)
    assert len(hosts) == 2
    assert len(life.emulator.calls("CreateLaunchTemplate")) == 2
    life.give_back(hosts)
    life.check_empty()


@pytest.mark.parametrize(("price_type", "units"), [("ondemand", 2), ("heterogeneous", 3)])
def test_a_request_fleet_that_lost_a_machine_too_early_is_not_waited_for(
    life: Life, price_type: str, units: int
) -> None:
    """It replaces nothing, and is never fulfilled any more: what it lost is had elsewhere, or not at all."""
    life.offer("request", deadlineSeconds=3600, priceType=price_type)
    request_id = life.hostfactory.request("small", 3)
    life.emulator.terminate(life.alive[0], code="Server.SpotInstanceTermination", text="taken back")
    answer = life.finished(request_id)
    assert (answer["status"], len(answer["machines"])) == ("complete", units)
    life.check(answer["machines"])
    life.give_back(answer["machines"])
    life.check_empty()


def test_all_or_nothing_leaves_nothing_of_a_part(life: Life) -> None:
    life.offer("instant", zones=1, allOrNothing=True)
    life.emulator.configure(capacity={f"{REGION}/*/*": 2})
    answer = life.finished(life.hostfactory.request("small", 3))
    assert answer["status"] == "complete_with_error"
    life.check_empty()


def test_the_promised_machines_of_a_fleet_count_against_max_number(life: Life) -> None:
    life.offer("maintain", maxNumber=3)
    life.emulator.configure(fleet_seconds=60)
    request_id = life.hostfactory.request("small", 3)
    assert "maxNumber 3" in life.hostfactory.refused("requestMachines", demand("small", 1))
    life.emulator.advance(61)
    hosts = life.finished(request_id)["machines"]
    life.emulator.configure(fleet_seconds=0)
    life.give_back(hosts)
    life.check_empty()
