"""Regions are asked at once: one that does not answer keeps no other waiting, and its failure is its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import AWAY, HOME, FakeAWS, FakeClients, Instance

from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION, Emulator
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.providers.aws import inventory, operations, parallel
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.provider import AWSProvider
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Host, Located


def test_all_are_asked_at_once_and_answer_in_their_order() -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> int:
        together.wait(10)
        return number * number

    assert parallel.each(ask, range(8)) == [number * number for number in range(8)]


def test_never_more_than_eight_are_asked_at_once() -> None:
    room = threading.Semaphore(8)

    def ask(number: int) -> bool:
        with_room = room.acquire(blocking=False)
        threading.Event().wait(0.02)
        if with_room:
            room.release()
        return with_room

    assert all(parallel.each(ask, range(20)))


def test_one_alone_takes_no_thread_and_loads_none() -> None:
    asked = "parallel.each(lambda _: threading.current_thread() is threading.main_thread(), [1])"
    loaded = "'concurrent.futures.thread' in sys.modules"
    program = f"import sys, threading; from hfplugin.providers.aws import parallel; print({asked}, {loaded})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[True]", "False"]


def test_nobody_to_ask_is_no_answer() -> None:
    assert parallel.each(str, []) == []


@pytest.mark.parametrize("wrong", [0, 1])
def test_an_error_surfaces_after_the_others_were_asked(wrong: int) -> None:
    asked = []

    def ask(number: int) -> None:
        asked.append(number)
        if number == wrong:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        parallel.each(ask, [0, 1, 2])
    assert sorted(asked) == [0, 1, 2]


# Every operation that asks all regions: what it gives of one machine in each, by its id.
OPERATIONS: dict[str, Callable[[FakeClients, list[Instance]], Any]] = {
    "observe": lambda clients, machines: operations.observe(clients, [each.located for each in machines]).seen,
    "release": lambda clients, machines: operations.release(clients, [each.located for each in machines]).going,
    "find_hosts": lambda clients, machines: [
        found.sighting and found.sighting.id
        for found in operations.find_hosts(clients, [Host("", each.id) for each in machines], "prod1")
    ],
    "find_requests": lambda clients, machines: [
        each.id for each in operations.find_requests(clients, ["req-1"], "prod1")
    ],
    "requests in the inventory": lambda clients, machines: [
        each.id for each in inventory.find_requests(clients, ["req-1"], "prod1").machines
    ],
    "everything": lambda clients, machines: [each.id for each in inventory.everything(clients, "prod1").machines],
}


@pytest.mark.parametrize("slow", [HOME, AWAY])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_no_region_waits_for_another(
    aws: FakeAWS,
    clients: FakeClients,
    monkeypatch: pytest.MonkeyPatch,
    operation: Callable[[FakeClients, list[Instance]], Any],
    slow: str,
) -> None:
    machines = [aws.add_ours(HOME), aws.add_ours(AWAY)]
    other_was_answered = threading.Event()
    answer = aws.answer

    def answered(name: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if region == slow and name != "GetCallerIdentity":
            assert other_was_answered.wait(10)
        given = answer(name, region, parameters)
        if region != slow:
            other_was_answered.set()
        return given

    monkeypatch.setattr(aws, "answer", answered)
    assert set(operation(clients, machines)) == {each.id for each in machines}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize("region", [HOME, AWAY])
def test_a_fault_of_ours_in_one_region_is_not_taken_for_the_clouds(
    aws: FakeAWS,
    clients: FakeClients,
    monkeypatch: pytest.MonkeyPatch,
    operation: Callable[[FakeClients, list[Instance]], Any],
    region: str,
) -> None:
    machines = [aws.add_ours(HOME), aws.add_ours(AWAY)]
    answer = aws.answer

    def broken(name: str, asked: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if asked == region:
            raise ZeroDivisionError
        return answer(name, asked, parameters)

    monkeypatch.setattr(aws, "answer", broken)
    with pytest.raises(ZeroDivisionError):
        operation(clients, machines)


# Through real connections, to a region that takes them and never answers. It comes first in every order.

DEAD, ALIVE = REGION, "eu-west-1"
PATIENCE_SECONDS = 1.5


@pytest.fixture
def provider(
    emulator: Emulator, tmp_path: Path, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> AWSProvider:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings = AWSSettings(
        region=DEAD, fallback_regions=(ALIVE,), endpoint_url=emulator.url, read_timeout_seconds=PATIENCE_SECONDS
    )
    return AWSProvider(settings, Context("prod1", "abc", Cache(str(tmp_path / "cache")), Health()))


def launched(emulator: Emulator, region: str) -> Located:
    labels = {"hfplugin:provider": "prod1", "hfplugin:request-id": "req-1", "hfplugin:attempt": "1"}
    tags: Any = [{"Key": key, "Value": value} for key, value in labels.items()]
    answer = emulator.ec2(region).run_instances(
        ImageId=IMAGE_ID,
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return Located(answer["Instances"][0]["InstanceId"], region, answer["OwnerId"])


@pytest.fixture
def machines(emulator: Emulator) -> tuple[Located, Located]:
    """One in the region that is dead from now on, one in the other."""
    both = launched(emulator, DEAD), launched(emulator, ALIVE)
    emulator.advance(60)
    emulator.fault("hang", region=DEAD, service="ec2")
    emulator.forget_calls()
    return both


def asked_meanwhile(emulator: Emulator) -> bool:
    """True when the living region was asked before the dead one's first call can have been given up."""
    first = {call["region"]: call["at"] for call in reversed(emulator.calls()) if call["service"] == "ec2"}
    return bool(first[ALIVE] - first[DEAD] < PATIENCE_SECONDS)


def test_a_dead_region_leaves_only_its_own_machines_unobserved(
    provider: AWSProvider, emulator: Emulator, machines: tuple[Located, Located]
) -> None:
    view = provider.observe(machines)
    assert [(each.id, each.state) for each in view.seen.values()] == [(machines[1].id, "running")]
    assert view.missing == frozenset()
    assert [(failure.kind, failure.place) for failure in view.failures] == [(ErrorKind.TRANSIENT, DEAD)]
    assert asked_meanwhile(emulator)


def test_a_dead_region_keeps_no_machine_of_another_from_being_released(
    provider: AWSProvider, emulator: Emulator, machines: tuple[Located, Located]
) -> None:
    released = provider.release(machines)
    assert released.going == {machines[1].id}
    assert released.missing == frozenset()
    [(refused, why)] = released.refused.items()
    assert (refused, why.kind, why.place) == (machines[0].id, ErrorKind.TRANSIENT, DEAD)
    assert asked_meanwhile(emulator)


def test_a_dead_region_leaves_a_search_incomplete(
    provider: AWSProvider, emulator: Emulator, machines: tuple[Located, Located]
) -> None:
    lost, found = provider.find_hosts([Host("", each.id) for each in machines])
    assert (lost.sighting, lost.is_complete) == (None, False)
    assert found.sighting is not None
    assert (found.sighting.id, found.is_ours) == (machines[1].id, True)
    assert asked_meanwhile(emulator)


def test_a_dead_region_leaves_the_inventory_of_the_others(
    provider: AWSProvider, emulator: Emulator, machines: tuple[Located, Located]
) -> None:
    found = provider.inventory()
    assert [machine.id for machine in found.machines] == [machines[1].id]
    assert [(failure.kind, failure.place) for failure in found.failures] == [(ErrorKind.TRANSIENT, DEAD)]
    assert asked_meanwhile(emulator)


def test_a_request_is_not_looked_up_while_a_region_is_dead(
    provider: AWSProvider, emulator: Emulator, machines: tuple[Located, Located]
) -> None:
    with pytest.raises(ProviderError) as raised:
        provider.find_requests(["req-1"])
    assert raised.value.kind is ErrorKind.TRANSIENT
    assert asked_meanwhile(emulator)
