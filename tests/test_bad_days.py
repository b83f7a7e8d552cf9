"""When the cloud says no: whole calls against an AWS that refuses, throttles or is down; calls counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from front_door import call
from player import HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator

TYPE = "m5.large"


class Days:
    """A provider instance that launches in zones a and b, or in a alone by fleet or group, and its AWS."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> None:
        self.hostfactory = hostfactory
        self.emulator = emulator
        both = {"subnetId": subnets[:2]}
        hostfactory.offer(
            template(subnets[0], templateId="run", providerApi="RunInstances", **both),
            template(subnets[0], templateId="fleet", providerApi="EC2Fleet"),
            template(subnets[0], templateId="group", providerApi="ASG"),
            template(
                subnets[0],
                templateId="mixed",
                providerApi="EC2Fleet",
                priceType="heterogeneous",
                percentOnDemand=0,
            ),
        )

    def configure(self, **aws: Any) -> None:
        own = {"region": REGION, "endpointUrl": self.emulator.url, **aws}
        self.hostfactory.configure({"providerType": "aws", "aws": own})

    def refuse(self, *zones: str) -> None:
        self.emulator.configure(capacity={f"{REGION}/{TYPE}/{REGION}{zone}": 0 for zone in zones})

    def ask(self, template_id: str = "run") -> list[str]:
        """Request a machine; give the zone of each launch that was sent for it."""
        self.emulator.forget_calls()
        self.hostfactory.request(template_id, 1)
        return [str(each["params"].get("SubnetId", "")) for each in self.emulator.calls("RunInstances")]


@pytest.fixture
def days(hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> Days:
    return Days(hostfactory, emulator, subnets)


def pass_time(hostfactory: HostFactory, seconds: float, *kinds: str) -> None:
    """Let what is remembered be so much older."""
    for kind in kinds:
        for file in (hostfactory.state / "health" / kind).glob("*.json"):
            content = json.loads(file.read_text())
            file.write_text(json.dumps(_aged(content, seconds)))


def _aged(content: Any, seconds: float) -> Any:
    if isinstance(content, dict):
        return {key: _aged(value, seconds) for key, value in content.items()}
    return content - seconds if isinstance(content, float) and content > 1e9 else content


def health(hostfactory: HostFactory, *arguments: str) -> str:
    done = call("health", *arguments, environment=hostfactory.environment)
    assert done.status == 0, done
    return done.stdout


def test_a_zone_that_refused_is_not_asked_by_the_next_request(days: Days, subnets: list[str]) -> None:
    days.refuse("a")
    assert days.ask() == [subnets[0], subnets[1]]
    assert days.ask() == [subnets[1]]


def test_a_zone_that_refused_is_asked_again_after_some_minutes(days: Days, subnets: list[str]) -> None:
    days.refuse("a")
    days.ask()
    pass_time(days.hostfactory, 200, "refused")
    days.emulator.configure(capacity={})
    assert days.ask() == [subnets[0]]
    assert not list((days.hostfactory.state / "health/refused").glob("*.json"))


def test_with_everything_refused_a_request_costs_one_probe_and_says_why(days: Days, subnets: list[str]) -> None:
    days.refuse("a", "b")
    assert days.ask() == [subnets[0], subnets[1]]
    for _ in range(2):
        days.emulator.forget_calls()
        request_id = days.hostfactory.request("run", 1)
        assert len(days.emulator.calls("RunInstances")) == 1
        [answer] = days.hostfactory.poll(request_id)
        assert answer["status"] == "complete_with_error"
        assert "InsufficientInstanceCapacity" in answer["message"]


def test_the_probe_finds_capacity_that_is_back(days: Days) -> None:
    days.refuse("a", "b")
    days.ask()
    days.emulator.configure(capacity={})
    assert len(days.ask()) == 1
    assert len(days.emulator.machines()) == 1


@pytest.mark.parametrize("kind", ["fleet", "group"])
def test_what_a_fleet_or_group_is_refused_other_ways_of_launching_know(
    days: Days, subnets: list[str], kind: str
) -> None:
    days.refuse("a")
    request_id = days.hostfactory.request(kind, 1)
    days.hostfactory.poll(request_id)
    assert f"{TYPE}/{subnets[0]}: refused, not asked for until" in health(days.hostfactory)
    assert days.ask("run") == [subnets[1]]


def test_machines_of_a_fleet_end_what_was_remembered_of_their_zone(days: Days, subnets: list[str]) -> None:
    days.refuse("a", "b")
    days.ask("run")
    assert all(subnet in health(days.hostfactory) for subnet in subnets[:2])
    days.refuse()
    days.ask("fleet")
    assert subnets[0] not in health(days.hostfactory)
    assert subnets[1] in health(days.hostfactory)


def test_a_quota_leaves_the_type_alone_in_every_zone(days: Days) -> None:
    days.emulator.fault("error", action="RunInstances", code="VcpuLimitExceeded", status=400)
    assert len(days.ask()) == 1
    assert len(days.ask()) == 1
    assert list(json.loads(health(days.hostfactory, "--json"))["refused"]) == [
        f"quota/123456789012/{REGION}/ondemand/standard"
    ]


@contextmanager
def down(days: Days) -> Iterator[int]:
    """Let the region be dead; gives the number of the fault. What was remembered of it is forgotten afterwards."""
    fault = days.emulator.fault("refuse", region=REGION)
    yield fault
    days.emulator.lift(fault)
    health(days.hostfactory, "reset")


def test_a_dead_region_costs_the_polls_of_all_processes_one_call(days: Days) -> None:
    request_id = days.hostfactory.request("run", 1)
    with down(days) as fault:
        for _ in range(5):
            [answer] = days.hostfactory.poll(request_id)
            assert answer["status"] == "running"
            pass_time(days.hostfactory, -5, "breakers")  # on a slow machine the pause must not be over
        assert days.emulator.struck(fault) == 3  # the tries of the first poll's one call
        assert f"ec2 {REGION}" in health(days.hostfactory)
    [answer] = days.hostfactory.poll(request_id)
    assert answer["status"] == "complete"


def test_a_request_in_a_dead_region_is_launched_once_it_answers(days: Days) -> None:
    with down(days) as fault:
        days.ask()
        pass_time(days.hostfactory, -40, "breakers")
        request_id = days.hostfactory.request("run", 1)
        [answer] = days.hostfactory.poll(request_id)
        assert answer["status"] == "running"
        assert "does not answer" in answer["message"]
        assert days.emulator.struck(fault) <= 6  # of the first request alone: two services, three tries each
    days.hostfactory.poll(request_id)
    [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], len(answer["machines"])) == ("complete", 1)


def test_after_its_pause_the_breaker_lets_one_poll_try(days: Days) -> None:
    request_id = days.hostfactory.request("run", 1)
    fault = days.emulator.fault("refuse", region=REGION)
    days.hostfactory.poll(request_id)
    days.emulator.lift(fault)
    pass_time(days.hostfactory, 11, "breakers")
    [answer] = days.hostfactory.poll(request_id)
    assert answer["status"] == "complete"
    assert not list((days.hostfactory.state / "health/breakers").glob("*.json"))


def test_polls_in_a_storm_of_throttling_make_fewer_calls(days: Days) -> None:
    ids = [days.hostfactory.request("run", 1) for _ in range(2)]
    days.emulator.forget_calls()
    days.emulator.fault("throttle", action="DescribeInstances")
    polls = [days.hostfactory.start("getRequestStatus", {"requests": ids}) for _ in range(10)]
    for process in polls:
        assert process.wait(60) == 0
    # Ten processes with three tries each would make thirty calls.
    assert len(days.emulator.calls("DescribeInstances")) < 30


def test_launches_that_are_throttled_wait_for_their_turn(days: Days) -> None:
    days.emulator.fault("throttle", action="RunInstances")
    for _ in range(6):
        days.hostfactory.request("run", 1)
    assert len(days.emulator.calls("RunInstances")) <= 6


def test_health_says_that_nothing_is_wrong(days: Days) -> None:
    days.hostfactory.machines("run", 1)
    assert health(days.hostfactory) == "Nothing is held back.\n"
    assert not (days.hostfactory.state / "health/breakers").exists()


class Day(NamedTuple):
    """What goes wrong with one request for a machine in zones a and b, and how it has to end after some polls.

    `reason` is in the message; `calls` are the zones of the launches that were sent, in order.
    """

    status: str
    calls: str
    reason: str = ""
    fault: dict[str, Any] | None = None
    refused: str = ""

    @property
    def is_served(self) -> bool:
        return self.status == "complete"


THROTTLED = {"kind": "throttle", "action": "RunInstances"}
TROUBLE = {"kind": "error", "action": "RunInstances", "code": "InternalError", "status": 500}
QUOTA = {"kind": "error", "action": "RunInstances", "code": "VcpuLimitExceeded", "status": 400}
NO_CAPACITY = "InsufficientInstanceCapacity in eu-central-1/"
ERROR = "complete_with_error"
DAYS = {
    "a zone is refused": Day("complete", "ab", refused="a"),
    "all zones are refused": Day(ERROR, "ab", f"0 of 1 ready; {NO_CAPACITY}", refused="ab"),
    "a quota": Day(ERROR, "a", "0 of 1 ready; VcpuLimitExceeded in ", QUOTA),
    "throttled once": Day("complete", "aa", fault={**THROTTLED, "times": 1}),
    "throttled for ever": Day("running", "aaaa", "0 of 1 ready; RequestLimitExceeded in ", THROTTLED),
    "trouble once": Day("complete", "aa", fault={**TROUBLE, "times": 1}),
    "trouble for ever": Day("running", "aaa", "InternalError: InternalError on command", TROUBLE),
    "the call is lost": Day("complete", "aa", fault={"kind": "drop_before", "action": "RunInstances", "times": 1}),
    "the answer is lost": Day(
        "complete", "aa", fault={"kind": "drop_after", "action": "RunInstances", "times": 1}
    ),
    "the answer is slow": Day("complete", "a", fault={"kind": "delay", "action": "RunInstances", "seconds": 1}),
}


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS)
def test_a_bad_day_ends_with_the_machines_that_can_be_had_and_the_true_reason(
    days: Days, subnets: list[str], day: Day
) -> None:
    days.refuse(*day.refused)
    if day.fault:
        days.emulator.fault(**day.fault)
    request_id = days.hostfactory.request("run", 1)
    for _ in range(3):
        pass_time(days.hostfactory, 60, "budgets")
        [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], len(answer["machines"])) == (day.status, int(day.is_served))
    assert day.reason in answer["message"]
    assert len(days.emulator.alive()) == int(day.is_served)
    zones = {subnets[0]: "a", subnets[1]: "b"}
    sent = [zones[each["params"]["SubnetId"]] for each in days.emulator.calls("RunInstances")]
    assert "".join(sent) == day.calls


@pytest.mark.parametrize(
    ("code", "status"),
    [("UnauthorizedOperation", 403), ("InvalidParameterValue", 400), ("PendingVerification", 400)],
)
def test_what_an_administrator_has_to_correct_ends_the_request_at_once(days: Days, code: str, status: int) -> None:
    days.emulator.fault("error", action="RunInstances", code=code, status=status)
    assert code in days.hostfactory.refused("requestMachines", demand("run", 1))
    assert len(days.emulator.calls("RunInstances")) == 1


def test_a_launch_whose_answer_never_comes_brings_its_machine_once(days: Days) -> None:
    days.configure(readTimeoutSeconds=1)
    days.emulator.fault("hang_after", action="RunInstances", times=1)
    request_id = days.hostfactory.request("run", 1)
    [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], answer["machines"]) == ("running", [])
    assert len(days.emulator.calls("RunInstances")) == 1  # one time-out keeps the next calls away for a while
    pass_time(days.hostfactory, 11, "breakers")
    [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], len(answer["machines"])) == ("complete", 1)
    assert len(days.emulator.calls("RunInstances")) == 2
    assert len(days.emulator.alive()) == 1


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        ({"kind": "throttle"}, 6),
        ({"kind": "error", "code": "InternalError", "status": 500}, 9),
        ({"kind": "drop_before"}, 3),
        ({"kind": "error", "code": "UnauthorizedOperation", "status": 403}, 4),
        ({"kind": "error", "code": "ExpiredToken", "status": 400}, 4),
    ],
    ids=["throttled", "trouble", "dropped", "denied", "expired"],
)
def test_polls_that_cannot_look_keep_what_is_known_of_machines(
    days: Days, fault: dict[str, Any], most: int
) -> None:
    days.emulator.configure(boot_seconds=60)
    request_id = days.hostfactory.request("run", 1)
    [known] = days.hostfactory.poll(request_id)
    number = days.emulator.fault(action="DescribeInstances", **fault)
    days.emulator.advance(61)
    for _ in range(4):
        [answer] = days.hostfactory.poll(request_id)
        assert (answer["status"], answer["machines"]) == ("running", known["machines"])
    assert "the cloud cannot be observed since" in answer["message"]
    assert days.emulator.struck(number) <= most
    days.emulator.lift(number)
    health(days.hostfactory, "reset")
    [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], answer["machines"][0]["result"]) == ("complete", "succeed")


def test_a_slow_answer_is_waited_for_and_not_asked_for_again(days: Days) -> None:
    request_id = days.hostfactory.request("run", 1)
    days.emulator.forget_calls()
    days.emulator.fault("delay", action="DescribeInstances", seconds=2)
    [answer] = days.hostfactory.poll(request_id)
    assert answer["status"] == "complete"
    assert len(days.emulator.calls("DescribeInstances")) == 1


@pytest.mark.parametrize("kind", ["run", "fleet", "group"])
def test_expired_credentials_fail_no_machine_and_are_named(days: Days, kind: str) -> None:
    days.emulator.configure(boot_seconds=60)
    request_id = days.hostfactory.request(kind, 2)
    for _ in range(2):
        [known] = days.hostfactory.poll(request_id)
    days.emulator.advance(61)
    days.emulator.forget_calls()
    days.emulator.fault("error", code="ExpiredToken", status=400)

    for _ in range(2):
        [answer] = days.hostfactory.poll(request_id)
        assert (answer["status"], answer["machines"]) == ("running", known["machines"])
    assert "the cloud cannot be observed since" in answer["message"]
    assert len(days.emulator.calls()) <= 4  # a poll looks at machines and at what brings them, once each

    days.emulator.forget_calls()
    message = days.hostfactory.refused("requestMachines", demand(kind, 1))
    assert "ExpiredToken" in message
    assert "renew AWS_SESSION_TOKEN and its keys" in message
    assert len(days.emulator.calls()) == 1

    days.emulator.lift()
    for _ in range(2):
        [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], [host["result"] for host in answer["machines"]]) == ("complete", ["succeed"] * 2)


@pytest.mark.parametrize("kind", ["run", "fleet", "group"])
def test_what_is_returned_with_expired_credentials_goes_once_they_are_renewed(days: Days, kind: str) -> None:
    request_id = days.hostfactory.request(kind, 2)
    for _ in range(2):  # a group's machines come by a poll
        [answer] = days.hostfactory.poll(request_id)
    returned, kept = answer["machines"]
    days.emulator.fault("error", code="ExpiredToken", status=400)
    return_id = days.hostfactory.give_back(returned)
    days.emulator.forget_calls()
    [answer] = days.hostfactory.poll(return_id)
    assert (answer["status"], answer["machines"][0]["result"]) == ("running", "executing")
    assert "ExpiredToken" in answer["machines"][0]["message"]
    assert len(days.emulator.calls()) <= 2
    # An answer would say of a host that cannot be seen that it is well, or that it is lost.
    asked = {"machines": [{"machineId": kept["machineId"], "name": kept["name"]}]}
    assert "ExpiredToken" in days.hostfactory.refused("getReturnRequests", asked)
    assert len(days.emulator.alive()) == 2

    days.emulator.lift()
    for _ in range(3):
        [answer] = days.hostfactory.poll(return_id)
    assert answer["status"] == "complete"
    assert [machine.id for machine in days.emulator.alive()] == [kept["machineId"]]


def test_processes_at_once_ask_a_region_that_is_given_up_not_at_all_and_then_once(days: Days) -> None:
    days.configure(readTimeoutSeconds=1)
    request_id = days.hostfactory.request("run", 1)
    fault = days.emulator.fault("hang", region=REGION)
    days.hostfactory.poll(request_id)
    assert days.emulator.struck(fault) == 1
    pass_time(days.hostfactory, -30, "breakers")  # on a slow machine the pause must not be over
    at_once(days, request_id)
    waiting = days.hostfactory.answered("requestMachines", demand("run", 1))
    assert "does not answer" in waiting["message"]
    assert days.emulator.struck(fault) == 1
    pass_time(days.hostfactory, 41, "breakers")
    at_once(days, request_id)
    assert days.emulator.struck(fault) == 2


def at_once(days: Days, request_id: str) -> None:
    """Poll with several processes at once, none of which fails."""
    message = {"requests": [{"requestId": request_id}]}
    polls = [days.hostfactory.start("getRequestStatus", message) for _ in range(4)]
    for process in polls:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert json.loads(stdout)["requests"][0]["status"] == "running"


def test_spot_machines_that_are_refused_are_bought_on_demand_where_the_template_lets_them(days: Days) -> None:
    days.emulator.configure(capacity={f"{REGION}/{TYPE}/*/spot": 0})
    request_id = days.hostfactory.request("mixed", 1)
    [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], [host["priceType"] for host in answer["machines"]]) == ("complete", ["ondemand"])
    assert len(days.emulator.calls("CreateFleet")) == 2


def test_after_throttled_launches_smaller_ones_go_through_and_grow_again(days: Days) -> None:
    days.hostfactory.offer(template("", templateId="run", maxNumber=1000))
    days.emulator.fault("throttle", action="RunInstances", times=2)
    request_id = days.hostfactory.request("run", 600)
    for _ in range(3):
        pass_time(days.hostfactory, 60, "budgets")
        [answer] = days.hostfactory.poll(request_id)
    assert (answer["status"], len(answer["machines"])) == ("complete", 600)
    sizes = [each["params"]["MaxCount"] for each in days.emulator.calls("RunInstances")]
    assert sizes == [500, 250, 125, 250, 225]
