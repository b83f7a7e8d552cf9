"""Returns: machines given back go for good, whatever interrupts the way."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from fake_cloud import FakeMachine, Installation, template

from hfplugin.broker import Broker
from hfplugin.clock import Clock
from hfplugin.errors import ErrorKind, InputError
from hfplugin.model import MachineState, Request, RequestStatus, Result, Return
from hfplugin.providers.base.provider import Host


class World(Installation):
    """An installation with one closed request of four machines."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, [template()])
        self.request_id = self.broker.request_machines("small", 4).id
        self.machines = self.request.machines

    @property
    def request(self) -> Request:
        (record,) = self.broker.request_status([self.request_id])
        assert isinstance(record, Request)
        return record

    def give_back(self, *hosts: Host) -> str:
        return self.broker.return_machines(hosts).id

    def poll(self, return_id: str) -> Return:
        (record,) = self.broker.request_status([return_id])
        assert isinstance(record, Return)
        return record


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def by_id(world: World, *positions: int) -> list[Host]:
    return [Host("", world.machines[position].id) for position in positions]


def test_a_return_completes_when_the_cloud_shows_the_machines_terminated(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0, 1))
    assert len(world.cloud.alive) == 2
    assert [m.result for m in world.poll(return_id).machines] == [Result.EXECUTING] * 2
    world.cloud.finish_terminations()
    record = world.poll(return_id)
    assert record.status is RequestStatus.COMPLETE
    assert {m.state for m in record.machines} == {MachineState.TERMINATED}


def test_a_finished_return_answers_from_its_record_without_a_call(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0))
    world.cloud.finish_terminations()
    world.poll(return_id)
    world.cloud.calls.clear()
    assert world.poll(return_id).status is RequestStatus.COMPLETE
    assert world.cloud.calls == []


def test_machines_are_matched_by_name_when_no_id_is_given(world: World) -> None:
    world.give_back(Host(world.machines[2].name, ""))
    assert world.machines[2].id not in world.cloud.alive
    assert len(world.cloud.alive) == 3


def test_the_id_decides_when_it_contradicts_the_name(world: World) -> None:
    world.give_back(Host(world.machines[0].name, world.machines[1].id))
    assert world.machines[0].id in world.cloud.alive
    assert world.machines[1].id not in world.cloud.alive


def test_a_machine_named_twice_is_listed_once(world: World) -> None:
    machine = world.machines[0]
    return_id = world.give_back(Host(machine.name, ""), Host("", machine.id), Host(machine.name, machine.id))
    assert [m.id for m in world.poll(return_id).machines] == [machine.id]


def test_a_repeated_return_gets_a_new_id_and_completes_too(world: World) -> None:
    first = world.give_back(*by_id(world, 0))
    second = world.give_back(*by_id(world, 0))
    assert first != second
    world.cloud.finish_terminations()
    assert world.poll(first).status is RequestStatus.COMPLETE
    assert world.poll(second).status is RequestStatus.COMPLETE
    assert world.poll(world.give_back(*by_id(world, 0))).status is RequestStatus.COMPLETE


def test_a_return_of_an_unknown_machine_succeeds(world: World) -> None:
    return_id = world.give_back(Host("nobody.internal", "i-0000000000000dead"))
    record = world.poll(return_id)
    assert record.status is RequestStatus.COMPLETE
    assert record.machines[0].launch_time == 0
    assert len(world.cloud.alive) == 4


def test_a_machine_of_somebody_else_is_never_touched(world: World) -> None:
    now = world.clock()
    world.cloud.machines["i-foreign"] = FakeMachine("i-foreign", 99, "", "zone-a", {"foreign": ""}, now, now)
    record = world.poll(world.give_back(Host("", "i-foreign")))
    assert record.status is RequestStatus.COMPLETE
    assert "left untouched" in record.machines[0].message
    assert "i-foreign" in world.cloud.alive


def test_a_machine_whose_record_is_lost_is_found_by_its_tags_and_released(world: World) -> None:
    (world.root / "requests" / f"{world.request_id}.json").unlink()
    world.give_back(*by_id(world, 0))
    assert world.machines[0].id not in world.cloud.alive


def test_a_failed_search_leaves_an_unknown_machine_executing(world: World) -> None:
    (world.root / "requests" / f"{world.request_id}.json").unlink()
    world.cloud.fail_next("find_hosts", ErrorKind.TRANSIENT, times=2)
    return_id = world.give_back(*by_id(world, 0))
    assert world.poll(return_id).status is RequestStatus.RUNNING
    world.poll(return_id)
    world.cloud.finish_terminations()
    assert world.poll(return_id).status is RequestStatus.COMPLETE
    assert len(world.cloud.alive) == 3


def test_a_search_that_missed_a_region_concludes_nothing(world: World) -> None:
    world.cloud.search_is_complete = False
    return_id = world.give_back(Host("", "i-0000000000000dead"))
    assert world.poll(return_id).status is RequestStatus.RUNNING
    world.cloud.search_is_complete = True
    assert world.poll(return_id).status is RequestStatus.COMPLETE


def test_nothing_is_terminated_before_its_request_says_that_it_is_returned(world: World) -> None:
    holder = os.fork()
    if holder == 0:
        with world.store.locks.hold("request", world.request_id, 0):
            (world.root / "held").touch()
            time.sleep(30)
        os._exit(0)
    while not (world.root / "held").exists():
        time.sleep(0.01)
    broker = Broker(world.store, world.site, Clock(now=world.clock), time_limit=200)
    return_id = broker.return_machines(by_id(world, 0)).id
    assert len(world.cloud.alive) == 4
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    world.poll(return_id)
    assert len(world.cloud.alive) == 3


def test_without_machines_a_return_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="at least one machine"):
        world.give_back()


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_failed_release_is_finished_by_a_later_poll(world: World, kind: ErrorKind) -> None:
    world.cloud.fail_next("release", kind)
    return_id = world.give_back(*by_id(world, 0, 1))
    assert len(world.cloud.alive) == 4
    world.poll(return_id)
    assert len(world.cloud.alive) == 2
    world.cloud.finish_terminations()
    assert world.poll(return_id).status is RequestStatus.COMPLETE


def test_a_failed_look_does_not_end_a_return(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0))
    world.cloud.finish_terminations()
    world.cloud.fail_next("observe", ErrorKind.AUTH)
    assert world.poll(return_id).status is RequestStatus.RUNNING
    assert world.poll(return_id).status is RequestStatus.COMPLETE


def test_a_machine_that_vanished_counts_as_returned(world: World) -> None:
    world.clock.advance(300)
    del world.cloud.machines[world.machines[0].id]
    record = world.poll(world.give_back(*by_id(world, 0)))
    assert record.status is RequestStatus.COMPLETE


def test_a_machine_not_visible_right_after_launch_is_not_taken_for_gone(world: World) -> None:
    machine = world.cloud.machines[world.machines[0].id]
    machine.is_visible = False
    return_id = world.give_back(*by_id(world, 0))
    assert world.poll(return_id).status is RequestStatus.RUNNING
    machine.is_visible = True
    world.poll(return_id)
    assert machine.id not in world.cloud.alive


def test_one_look_that_misses_a_machine_does_not_end_its_return(world: World) -> None:
    world.clock.advance(300)
    world.cloud.fail_next("release", ErrorKind.THROTTLED)
    return_id = world.give_back(*by_id(world, 0))
    machine = world.cloud.machines[world.machines[0].id]
    machine.is_visible = False
    world.cloud.fail_next("release", ErrorKind.THROTTLED)
    assert world.poll(return_id).status is RequestStatus.RUNNING
    machine.is_visible = True
    world.poll(return_id)
    assert machine.id not in world.cloud.alive


def test_a_machine_whose_termination_was_accepted_is_gone_when_it_is_not_seen_any_more(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0))
    del world.cloud.machines[world.machines[0].id]
    assert world.poll(return_id).status is RequestStatus.COMPLETE


def test_many_busy_requests_do_not_add_up_their_waits(world: World) -> None:
    ids = [world.broker.request_machines("small", 1).id for _ in range(6)]
    holder = os.fork()
    if holder == 0:
        with contextlib.ExitStack() as stack:
            for request_id in ids:
                stack.enter_context(world.store.locks.hold("request", request_id, 0))
            (world.root / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (world.root / "held").exists():
        time.sleep(0.01)
    began = time.monotonic()
    broker = Broker(world.store, world.site, Clock(now=world.clock), time_limit=200)
    alive = set(world.cloud.alive)
    broker.return_machines([Host("", machine_id) for machine_id in sorted(alive)])
    assert time.monotonic() - began < 6
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)


def test_a_protected_machine_does_not_hold_up_the_others(world: World) -> None:
    world.cloud.machines[world.machines[0].id].is_protected = True
    return_id = world.give_back(*by_id(world, 0, 1))
    world.cloud.finish_terminations()
    record = world.poll(return_id)
    assert [m.result for m in record.machines] == [Result.EXECUTING, Result.SUCCEED]
    assert "OperationNotPermitted" in record.machines[0].message


def test_a_machine_protected_for_half_an_hour_fails_and_its_record_stays_live(world: World) -> None:
    world.cloud.machines[world.machines[0].id].is_protected = True
    return_id = world.give_back(*by_id(world, 0))
    world.clock.advance(1799)
    assert world.poll(return_id).status is RequestStatus.RUNNING
    world.clock.advance(1)
    record = world.poll(return_id)
    assert record.status is RequestStatus.COMPLETE_WITH_ERROR
    assert record.machines[0].message
    assert [request.id for request in world.store.requests.live()] == [world.request_id]


def test_a_returned_machine_is_never_replaced(world: World) -> None:
    world.cloud.boot_seconds = 60
    request_id = world.broker.request_machines("small", 2).id
    (request,) = [r for r in world.store.requests.live() if r.id == request_id]
    world.give_back(Host("", request.machines[0].id))
    world.cloud.finish_terminations()
    world.clock.advance(60)
    (after,) = world.broker.request_status([request_id])
    assert isinstance(after, Request)
    assert after.status is RequestStatus.COMPLETE
    assert len(after.machines) == 2
    assert world.cloud.calls.count("launch") == 2


def test_the_request_of_a_returned_machine_says_so_but_keeps_its_status(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0))
    world.cloud.finish_terminations()
    world.poll(return_id)
    assert world.request.status is RequestStatus.COMPLETE
    assert world.request.machines[0].state is MachineState.TERMINATED
    assert world.request.machines[0].result is Result.FAIL


def test_a_request_whose_machines_are_all_returned_leaves_the_live_records(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0, 1, 2, 3))
    world.cloud.finish_terminations()
    world.poll(return_id)
    assert list(world.store.requests.live()) == []
    assert list(world.store.returns.live()) == []
    assert world.request.status is RequestStatus.COMPLETE


def test_a_name_that_was_used_again_means_the_machine_that_runs(world: World) -> None:
    return_id = world.give_back(*by_id(world, 0))
    world.cloud.finish_terminations()
    world.poll(return_id)
    world.clock.advance(3600)
    second = world.broker.request_machines("small", 1).id
    (newer,) = [r for r in world.store.requests.live() if r.id == second]
    reused = world.cloud.machines[newer.machines[0].id]
    reused.number = world.cloud.machines[world.machines[0].id].number
    request = newer._replace(machines=(newer.machines[0]._replace(name=world.machines[0].name),))
    world.store.requests.save(request)
    world.give_back(Host(world.machines[0].name, ""))
    assert reused.id not in world.cloud.alive


def test_a_machine_is_in_the_rebuilt_record_of_the_latest_return_that_named_it(world: World) -> None:
    world.cloud.fail_next("release", ErrorKind.AUTH, 2)
    world.give_back(*by_id(world, 0))
    second = world.give_back(*by_id(world, 0))
    (world.root / "returns" / f"{second}.json").unlink()
    assert [machine.id for machine in world.poll(second).machines] == [world.machines[0].id]


def test_a_host_is_not_called_unknown_while_a_record_cannot_be_read(world: World) -> None:
    path = world.root / "requests" / f"{world.request_id}.json"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()  # reading it fails
    return_id = world.give_back(Host("", "i-0dead"))
    assert world.poll(return_id).status is RequestStatus.RUNNING
    path.rmdir()
    path.write_bytes(content)
    assert world.poll(return_id).status is RequestStatus.COMPLETE
