"""The life of machines of Auto Scaling groups, played in whole calls against an emulated AWS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from player import HostFactory, demand, template

from hfplugin.emulator import Emulator

OUR_TEMPLATE_AND_GROUP = ["group", "launch-template"]
TERMINATION = "TerminateInstanceInAutoScalingGroup"


@pytest.fixture
def player(hostfactory: HostFactory, subnets: list[str]) -> HostFactory:
    """HostFactory with a template `small` for groups in two zones."""
    offer(hostfactory, subnets)
    return hostfactory


def offer(hostfactory: HostFactory, subnets: list[str], **keys: Any) -> None:
    own = {"providerApi": "ASG", "maxNumber": 1000, **keys}
    hostfactory.offer(template(",".join(subnets[:2]), **own))


def kinds(emulator: Emulator) -> list[str]:
    """Give the kinds of what is left besides machines."""
    return sorted(each["kind"] for each in emulator.resources())


def assert_nothing_is_left(emulator: Emulator) -> None:
    assert emulator.alive() == []
    assert kinds(emulator) == []


def groups(emulator: Emulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = emulator.client("autoscaling").describe_auto_scaling_groups()[
        "AutoScalingGroups"
    ]
    return found


def desired(emulator: Emulator) -> list[int]:
    return [group["DesiredCapacity"] for group in groups(emulator)]


def suspended(emulator: Emulator) -> set[str]:
    [group] = groups(emulator)
    return {each["ProcessName"] for each in group["SuspendedProcesses"]}


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


def had(hostfactory: HostFactory, count: int) -> list[dict[str, Any]]:
    """Request machines and have them all."""
    status = finished(hostfactory, hostfactory.request("small", count))
    assert (status["status"], status["message"]) == ("complete", f"{count} of {count} ready")
    machines: list[dict[str, Any]] = status["machines"]
    return machines


def wait_until(is_so: Callable[[], bool]) -> None:
    patience = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.scripts
def test_machines_are_requested_and_returned_in_parts_and_nothing_is_left(
    player: HostFactory, emulator: Emulator
) -> None:
    machines = had(player, 5)
    assert ids(machines) == alive(emulator)
    assert kinds(emulator) == OUR_TEMPLATE_AND_GROUP
    first, second, *rest = machines
    assert player.returned(first)["status"] == "complete"
    assert player.returned(second)["status"] == "complete"
    emulator.advance(300)
    assert alive(emulator) == ids(rest)
    assert desired(emulator) == [3]
    assert player.returned(*rest)["status"] == "complete"
    assert_nothing_is_left(emulator)


@pytest.mark.parametrize(
    "keys",
    [
        {"vmType": "", "vmTypes": {"m5.large": 1, "m5.xlarge": 2}},
        {"vmType": "", "priceType": "spot", "vmTypes": {"m5.large": 1, "c5.large": 1}},
        {"vmType": "", "priceType": "heterogeneous", "percentOnDemand": 50, "vmTypes": {"m5.2xlarge": 4}},
    ],
    ids=["weights", "spot", "heterogeneous"],
)
def test_every_purchase_and_weight_leaves_nothing_after_returns_one_by_one(
    player: HostFactory, emulator: Emulator, subnets: list[str], keys: dict[str, Any]
) -> None:
    offer(player, subnets, **keys)
    status = finished(player, player.request("small", 10))
    assert status["status"] == "complete"
    machines = status["machines"]
    assert ids(machines) == alive(emulator)
    while machines:
        assert player.returned(machines.pop())["status"] == "complete"
        emulator.advance(120)
        assert ids(machines) == alive(emulator)
    assert_nothing_is_left(emulator)


def test_a_heterogeneous_template_has_its_part_on_demand(
    player: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    share = {"priceType": "heterogeneous", "onDemandBaseCapacity": 2, "percentOnDemand": 50}
    offer(player, subnets, **share)
    machines = had(player, 6)
    assert sorted(machine["priceType"] for machine in machines) == ["ondemand"] * 4 + ["spot"] * 2


def test_250_machines_leave_in_three_calls(player: HostFactory, emulator: Emulator) -> None:
    machines = had(player, 250)
    assert player.returned(*machines)["status"] == "complete"
    assert len(emulator.calls(TERMINATION)) == 3
    assert emulator.calls("TerminateInstances") == []
    assert_nothing_is_left(emulator)


def test_concurrent_returns_lose_none(player: HostFactory, emulator: Emulator) -> None:
    machines = had(player, 8)
    message = [{"machines": [{"machineId": machine["machineId"]}]} for machine in machines[:6]]
    calls = [player.start("requestReturnMachines", each) for each in message]
    for call in calls:
        call.communicate(timeout=60)
        assert call.returncode == 0
    emulator.advance(300)
    assert desired(emulator) == [2]
    assert alive(emulator) == ids(machines[6:])
    assert player.returned(*machines)["status"] == "complete"
    assert_nothing_is_left(emulator)


def test_a_machine_returned_while_the_request_is_open_is_not_replaced(
    player: HostFactory, emulator: Emulator
) -> None:
    emulator.configure(boot_seconds=600)
    request_id = player.request("small", 3)
    player.poll(request_id)
    [status] = player.poll(request_id)
    assert status["status"] == "running"
    first, *rest = status["machines"]
    player.give_back(first)
    emulator.advance(650)
    status = finished(player, request_id)
    assert (status["status"], ids(rest)) == ("complete", alive(emulator))
    assert len(emulator.machines()) == 3


def test_a_machine_that_dies_while_the_request_is_open_is_replaced_and_the_replacement_reported(
    player: HostFactory, emulator: Emulator
) -> None:
    emulator.configure(boot_seconds=60)
    request_id = player.request("small", 3)
    player.poll(request_id)
    [status] = player.poll(request_id)
    dead, *rest = ids(status["machines"])
    emulator.terminate(dead)
    emulator.advance(1)
    player.poll(request_id)
    emulator.advance(100)
    status = finished(player, request_id)
    assert (status["status"], len(status["machines"])) == ("complete", 4)
    ready = [machine for machine in status["machines"] if machine["result"] == "succeed"]
    assert ids(ready) == alive(emulator)
    assert set(rest) < set(ids(ready))
    assert player.returned(*ready)["status"] == "complete"
    assert_nothing_is_left(emulator)


def test_a_machine_that_dies_after_the_request_is_closed_is_not_replaced(
    player: HostFactory, emulator: Emulator
) -> None:
    machines = had(player, 3)
    assert suspended(emulator) >= {"Launch", "ReplaceUnhealthy"}
    emulator.terminate(machines[0]["machineId"])
    emulator.advance(3600)
    assert len(emulator.machines()) == 3
    assert player.returned(*machines)["status"] == "complete"
    assert_nothing_is_left(emulator)


@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
def test_a_create_call_without_an_answer_makes_one_group(
    player: HostFactory, emulator: Emulator, dropped: str
) -> None:
    emulator.fault(dropped, service="autoscaling", action="CreateAutoScalingGroup", times=1)
    status = finished(player, player.request("small", 3))
    assert (status["status"], len(status["machines"])) == ("complete", 3)
    first, again = emulator.calls("CreateAutoScalingGroup")
    assert first["params"] == again["params"]
    assert len(groups(emulator)) == 1
    assert len(emulator.machines()) == 3


@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
def test_a_termination_without_an_answer_lowers_once(
    player: HostFactory, emulator: Emulator, dropped: str
) -> None:
    machines = had(player, 4)
    emulator.fault(dropped, service="autoscaling", action=TERMINATION, times=1)
    return_id = player.give_back(machines[0], machines[1])
    assert finished(player, return_id)["status"] == "complete"
    emulator.advance(300)
    assert desired(emulator) == [2]
    assert alive(emulator) == ids(machines[2:])


@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
def test_a_termination_without_an_answer_in_an_open_request_lowers_once(
    player: HostFactory, emulator: Emulator, dropped: str
) -> None:
    emulator.configure(boot_seconds=600, shutdown_seconds=30)
    request_id = player.request("small", 4)
    player.poll(request_id)
    [status] = player.poll(request_id)
    emulator.fault(dropped, service="autoscaling", action=TERMINATION, times=1)
    return_id = player.give_back(status["machines"][0])
    player.poll(return_id)
    assert desired(emulator) == [3]
    emulator.advance(60)
    assert finished(player, return_id)["status"] == "complete"
    assert desired(emulator) == [3]


def test_a_call_killed_between_create_and_suspend_is_finished_by_a_poll(
    player: HostFactory, emulator: Emulator
) -> None:
    emulator.configure(boot_seconds=60)
    emulator.fault("hang", service="autoscaling", action="SuspendProcesses", times=1)
    with player.start("requestMachines", demand("small", 2)) as killed:
        wait_until(lambda: bool(emulator.calls("SuspendProcesses")))
        killed.kill()
        assert killed.communicate() == ("", "")
    emulator.lift()
    assert suspended(emulator) == set()
    [request_id] = [file.stem for file in (player.state / "requests").glob("*.json")]
    player.poll(request_id)
    assert suspended(emulator) == {"AZRebalance", "ScheduledActions", "AlarmNotification"}
    emulator.advance(60)
    status = finished(player, request_id)
    assert (status["status"], ids(status["machines"])) == ("complete", alive(emulator))
    assert len(emulator.machines()) == 2


def test_a_suspension_that_was_refused_is_made_good_by_a_poll(player: HostFactory, emulator: Emulator) -> None:
    emulator.configure(boot_seconds=60)
    fault = emulator.fault("throttle", service="autoscaling", action="SuspendProcesses")
    request_id = player.request("small", 2)
    assert suspended(emulator) == set()
    emulator.lift(fault)
    for _ in range(20):  # after the throttling it has to wait for its turn
        player.poll(request_id)
        if suspended(emulator):
            break
    assert suspended(emulator) == {"AZRebalance", "ScheduledActions", "AlarmNotification"}


def test_capacity_that_is_refused_is_named(player: HostFactory, emulator: Emulator) -> None:
    emulator.configure(capacity={"*/m5.large/*": 1})
    request_id = player.request("small", 5)
    player.poll(request_id)
    [status] = player.poll(request_id)
    assert "InsufficientInstanceCapacity" in status["message"]
    assert len(emulator.alive()) == 2


def test_a_group_that_is_slow_is_waited_for(player: HostFactory, emulator: Emulator) -> None:
    emulator.configure(fleet_seconds=120)
    request_id = player.request("small", 2)
    [status] = player.poll(request_id)
    assert status["status"] == "running"
    emulator.advance(130)
    status = finished(player, request_id)
    assert (status["status"], ids(status["machines"])) == ("complete", alive(emulator))


def test_a_group_whose_shutdown_lasts_is_deleted_by_a_later_poll(player: HostFactory, emulator: Emulator) -> None:
    emulator.configure(shutdown_seconds=60)
    machines = had(player, 2)
    return_id = player.give_back(*machines)
    assert player.poll(return_id)[0]["status"] == "running"
    emulator.advance(60)
    assert finished(player, return_id)["status"] == "complete"
    assert_nothing_is_left(emulator)


def test_a_deleted_group_is_made_up_for(player: HostFactory, emulator: Emulator) -> None:
    emulator.configure(boot_seconds=60)
    request_id = player.request("small", 2)
    player.poll(request_id)
    [group] = groups(emulator)
    emulator.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=group["AutoScalingGroupName"], ForceDelete=True
    )
    player.poll(request_id)
    emulator.advance(120)
    status = finished(player, request_id, 8)
    ready = [machine for machine in status["machines"] if machine["result"] == "succeed"]
    assert ids(ready) == alive(emulator)


def test_an_emptied_group_goes_while_others_live(player: HostFactory, emulator: Emulator) -> None:
    mine, theirs = had(player, 2), had(player, 3)
    assert player.returned(*mine)["status"] == "complete"
    assert alive(emulator) == ids(theirs)
    assert kinds(emulator) == OUR_TEMPLATE_AND_GROUP
    assert player.returned(*theirs)["status"] == "complete"
    assert_nothing_is_left(emulator)
