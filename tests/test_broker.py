"""The broker's promises, on a cloud in memory and a real file store."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fake_cloud import template
from world import World, hosts

from hfplugin.broker import Broker, Unknown
from hfplugin.clock import Clock
from hfplugin.errors import ErrorKind, InputError, ProviderError, RefusedError, StateError
from hfplugin.model import (
    Launch,
    LaunchState,
    MachineState,
    Phase,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
)
from hfplugin.providers.base.provider import Host, Outcome
from hfplugin.store import REQUEST_PREFIX, new_id


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state", [template(), template("capped", max_number=5)])


def results(request: Request) -> list[Result]:
    return [machine.result for machine in request.machines]


# requesting


def test_a_request_that_gets_all_its_machines_completes_at_the_first_poll_that_sees_them_ready(
    world: World,
) -> None:
    request = world.poll(world.ask(3))
    assert request.status is RequestStatus.COMPLETE
    assert results(request) == [Result.SUCCEED] * 3
    assert len(world.cloud.alive) == 3


def test_the_intent_is_on_disk_before_the_cloud_is_called(world: World) -> None:
    seen: list[LaunchState] = []

    def look(launch: object) -> None:
        (request,) = world.store.requests.live()
        seen.append(request.launches[-1].state)

    world.cloud.before_launch = look
    world.ask(1)
    assert seen == [LaunchState.PLANNED]


def test_the_cloud_is_not_called_when_the_record_cannot_be_written(world: World) -> None:
    world.root.mkdir()
    (world.root / "requests").write_text("a file where a directory has to be")
    with pytest.raises(StateError, match="cannot write"):
        world.ask(1)
    assert world.cloud.calls == []


def test_a_disk_that_fills_up_after_the_launch_still_gets_an_id_and_loses_no_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(launch: object) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)

    world.cloud.before_launch = full
    accepted = world.broker.request_machines("small", 3)
    assert "No space left" in accepted.message
    monkeypatch.setattr(os, "fsync", real)
    world.cloud.before_launch = lambda launch: None
    request = world.poll(accepted.id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert len(world.cloud.alive) == 3


def test_a_look_that_sees_a_part_of_a_launch_does_not_settle_it(world: World) -> None:
    request_id = kill_after_launch(world)
    hidden = list(world.cloud.machines.values())[1:]
    for machine in hidden:
        machine.is_visible = False
    world.cloud.fail_next("launch", ErrorKind.CAPACITY)
    for _ in range(2):
        world.poll(request_id)
    world.clock.advance(30)
    for machine in hidden:
        machine.is_visible = True
    world.poll(request_id)
    request = world.poll(request_id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert (len(world.cloud.alive), request.status) == (3, RequestStatus.COMPLETE)


def test_a_machine_taken_for_gone_is_terminated_in_case_it_is_not(world: World) -> None:
    world.cloud.boot_seconds = 600
    world.cloud.capacity["zone-b"] = 0
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.is_visible = False
    world.poll(request_id)
    world.clock.advance(121)
    world.cloud.fail_next("release", ErrorKind.THROTTLED)
    assert results(world.poll(request_id)) == [Result.FAIL]
    machine.is_visible = True
    world.poll(request_id)
    assert world.cloud.alive == set()


def test_a_failed_machine_is_terminated_however_late_the_first_poll_comes(world: World) -> None:
    world.cloud.boot_seconds = 10_000
    request_id = world.ask(1)
    world.clock.advance(45 * 60)
    world.cloud.fail_next("release", ErrorKind.THROTTLED)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    assert world.poll(request_id).status is RequestStatus.COMPLETE_WITH_ERROR
    assert world.cloud.alive == set()


def test_a_shortfall_is_launched_in_the_next_place(world: World) -> None:
    world.cloud.capacity["zone-a"] = 2
    request = world.poll(world.ask(5))
    assert request.status is RequestStatus.COMPLETE
    assert [launch.place for launch in request.launches] == ["zone-a", "zone-a", "zone-b"]
    assert len(world.cloud.alive) == 5


def test_a_request_that_gets_some_machines_completes_and_says_why_not_all(world: World) -> None:
    world.cloud.capacity.update({"zone-a": 2, "zone-b": 0})
    request = world.poll(world.ask(5))
    assert request.status is RequestStatus.COMPLETE
    assert "2 of 5 ready" in world.said(request)
    assert "InsufficientInstanceCapacity" in world.said(request)


def test_a_request_refused_everywhere_for_capacity_answers_an_id_and_closes_at_once(world: World) -> None:
    world.cloud.capacity.update({"zone-a": 0, "zone-b": 0})
    request = world.poll(world.ask(5))
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    assert "InsufficientInstanceCapacity" in world.said(request)


@pytest.mark.parametrize("kind", [ErrorKind.INVALID, ErrorKind.AUTH, ErrorKind.UNKNOWN])
def test_a_permanent_refusal_with_nothing_launched_is_an_error_with_its_reason(
    world: World, kind: ErrorKind
) -> None:
    world.cloud.refusals["zone-a"] = Refusal(kind, "NoGood", "mend it")
    with pytest.raises(RefusedError, match=r"NoGood.*mend it"):
        world.ask(2)
    assert world.cloud.calls.count("launch") == 1
    assert list(world.store.requests.live()) == []


def test_a_throttled_launch_is_tried_in_the_same_place_by_the_next_poll(world: World) -> None:
    world.cloud.fail_next("launch", ErrorKind.THROTTLED)
    request_id = world.ask(2)
    assert world.cloud.alive == set()
    request = world.poll(request_id)
    assert [launch.place for launch in request.launches] == ["zone-a", "zone-a"]
    assert world.poll(request_id).status is RequestStatus.COMPLETE


def test_a_refusal_that_neither_lasts_nor_shuts_the_place_is_not_asked_again_at_once(world: World) -> None:
    world.cloud.refusals["zone-a"] = Refusal(ErrorKind.NOT_FOUND, "NotYet", "wait")
    request_id = world.ask(2)
    assert world.cloud.calls.count("launch") == 1
    world.cloud.refusals.clear()
    world.poll(request_id)
    assert world.poll(request_id).status is RequestStatus.COMPLETE


@pytest.mark.parametrize(("operation", "kind"), [("plan", ErrorKind.TRANSIENT), ("launch", ErrorKind.THROTTLED)])
def test_a_cloud_that_gives_nothing_ends_a_request_at_its_deadline(
    world: World, operation: str, kind: ErrorKind
) -> None:
    world.cloud.fail_next(operation, kind, times=9)
    request_id = world.ask(2)
    world.clock.advance(599)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(1)
    request = world.poll(request_id)
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    assert kind in world.said(request)


def test_a_request_whose_planning_failed_for_good_is_answered_from_its_record(world: World) -> None:
    good = world.ask(1)
    world.cloud.fail_next("plan", ErrorKind.TRANSIENT)
    request_id = world.ask(1)
    world.cloud.fail_next("plan", ErrorKind.AUTH)
    for _ in range(3):
        answers = world.broker.request_status([request_id, good])
        assert [r.status for r in answers] == [RequestStatus.COMPLETE_WITH_ERROR, RequestStatus.COMPLETE]


def test_a_launch_that_cannot_be_settled_for_long_is_still_sent_again(world: World) -> None:
    world.cloud.fail_next("launch", ErrorKind.TRANSIENT, times=2)
    request_id = world.ask(2)
    world.clock.advance(300)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(400)
    world.poll(request_id)
    assert world.poll(request_id).status is RequestStatus.COMPLETE
    assert len(world.cloud.alive) == 2


def kill_after_launch(world: World) -> str:
    """Ask for three machines and die between the launch and its answer."""

    real = world.cloud.launch

    def launch(launch: Launch, user_data: str) -> Outcome:
        real(launch, user_data)
        raise KeyboardInterrupt

    world.cloud.launch = launch  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.ask(3)
    world.cloud.launch = real  # type: ignore[method-assign]
    (request,) = world.store.requests.live()
    return request.id


def test_a_call_killed_after_the_launch_is_finished_by_a_poll(world: World) -> None:
    request_id = kill_after_launch(world)
    request = world.poll(request_id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert len(world.cloud.alive) == 3


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_no_refusal_of_a_replay_is_taken_for_a_launch_that_never_was(world: World, kind: ErrorKind) -> None:
    request_id = kill_after_launch(world)
    world.cloud.fail_next("launch", kind, times=2)
    for _ in range(6):
        world.poll(request_id)
        world.clock.advance(130)
    request = world.poll(request_id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert len(world.cloud.alive) == 3
    assert request.status is RequestStatus.COMPLETE


def test_a_replay_refused_for_capacity_is_looked_for_and_then_asked_elsewhere(world: World) -> None:
    world.cloud.fail_next("launch", ErrorKind.TRANSIENT)
    request_id = world.ask(2)
    world.cloud.capacity["zone-a"] = 0
    for _ in range(4):
        world.poll(request_id)
        world.clock.advance(60)
    request = world.poll(request_id)
    assert [launch.place for launch in request.launches] == ["zone-a", "zone-b"]
    assert request.status is RequestStatus.COMPLETE


def test_an_unreachable_cloud_still_gets_an_id_and_stays_running(world: World) -> None:
    world.cloud.fail_next("plan", ErrorKind.TRANSIENT, times=3)
    request_id = world.ask(2)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.poll(request_id)
    assert world.poll(request_id).machines
    assert world.poll(request_id).status is RequestStatus.COMPLETE


def test_a_lost_answer_is_settled_by_the_same_token_and_never_launches_twice(world: World) -> None:
    world.cloud.lose_answers = 1
    request_id = world.ask(3)
    request = world.poll(request_id)
    assert [launch.state for launch in request.launches] == [LaunchState.SETTLED]
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert len(world.cloud.alive) == 3


def test_nothing_is_asked_elsewhere_while_the_outcome_of_a_launch_is_unknown(world: World) -> None:
    world.cloud.lose_answers = 3
    request_id = world.ask(3)
    request = world.poll(request_id)
    assert len(request.launches) == 1
    assert request.status is RequestStatus.RUNNING


def test_a_replay_sends_the_very_parameters_that_were_recorded(world: World) -> None:
    sent = []
    world.cloud.before_launch = lambda launch: sent.append((launch.token, launch.params, launch.place))
    world.cloud.lose_answers = 1
    request_id = world.ask(3)
    world.site.templates = [template(extension={"places": ["zone-c"]})]
    world.poll(request_id)
    assert sent[0] == sent[1]


def test_after_the_deadline_an_unknown_launch_is_looked_for_and_not_replayed(world: World) -> None:
    world.cloud.fail_next("launch", ErrorKind.TRANSIENT)
    request_id = world.ask(2)
    world.clock.advance(601)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(60)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(60)
    assert world.poll(request_id).status is RequestStatus.COMPLETE_WITH_ERROR
    assert world.cloud.alive == set()
    assert world.cloud.calls.count("launch") == 1


def test_machines_of_an_unknown_launch_are_found_after_the_deadline(world: World) -> None:
    world.cloud.lose_answers = 1
    request_id = world.ask(2)
    world.clock.advance(601)
    world.poll(request_id)
    request = world.poll(request_id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert request.status is RequestStatus.COMPLETE


def test_all_or_nothing_gives_everything_back_when_not_all_can_be_had(world: World) -> None:
    world.site.templates = [template(all_or_nothing=True, extension={"places": ["zone-a"], "batch": 2})]
    world.cloud.capacity["zone-a"] = 4
    request_id = world.ask(5)
    assert len(world.cloud.alive) == 4
    request = world.poll(request_id)
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    assert world.cloud.alive == set()
    assert "all or nothing" in request.machines[0].message


def test_weights_turn_units_into_machines(world: World) -> None:
    world.site.templates = [template(extension={"places": ["zone-a"], "weight": 4})]
    request = world.poll(world.ask(10))
    assert len(request.machines) == 3
    assert request.status is RequestStatus.COMPLETE


def test_user_data_is_kept_once_and_stands_in_the_launch_by_its_hash(world: World) -> None:
    world.site.templates = [template(extension={"places": ["zone-a"], "user_data": "#!/bin/sh secret"})]
    launches = [world.poll(world.ask(1)).launches[0] for _ in range(2)]
    (digest,) = os.listdir(world.root / "userdata")
    assert {launch.user_data for launch in launches} == {digest}
    assert world.store.load_text(digest) == "#!/bin/sh secret"


@pytest.mark.parametrize("units", [0, -1, 100_001])
def test_a_count_that_cannot_be_meant_is_refused(world: World, units: int) -> None:
    with pytest.raises(InputError, match="machineCount"):
        world.ask(units)


# maxNumber


def test_a_request_beyond_max_number_is_cut_and_says_so(world: World) -> None:
    world.ask(3, "capped")
    accepted = world.broker.request_machines("capped", 10)
    assert "cut from 10 to 2" in accepted.message
    assert len(world.cloud.alive) == 5


def test_nothing_left_under_max_number_is_an_error(world: World) -> None:
    world.ask(5, "capped")
    with pytest.raises(RefusedError, match="maxNumber 5"):
        world.ask(1, "capped")


def test_that_max_number_left_nothing_is_kept_as_the_templates_last_reason(world: World) -> None:
    world.ask(5, "capped")
    with pytest.raises(RefusedError):
        world.ask(1, "capped")
    assert "maxNumber 5" in world.store.reasons()["capped"]["reason"]


def test_machines_that_ended_unnoticed_do_not_count_against_max_number(world: World) -> None:
    request_id = world.ask(5, "capped")
    request = world.poll(request_id)
    for machine in request.machines[:3]:
        world.cloud.machines[machine.id].state = MachineState.TERMINATED
    assert "cut from 4 to 3" in world.broker.request_machines("capped", 4).message


def test_max_number_counts_from_the_records_when_the_cloud_cannot_be_seen(world: World) -> None:
    world.ask(5, "capped")
    world.cloud.fail_next("observe", ErrorKind.TRANSIENT)
    with pytest.raises(RefusedError, match="maxNumber"):
        world.ask(1, "capped")


def test_returned_machines_make_room_under_max_number(world: World) -> None:
    request = world.poll(world.ask(5, "capped"))
    return_id = world.give_back(*(machine.id for machine in request.machines))
    world.cloud.finish_terminations()
    world.poll_return(return_id)
    world.ask(5, "capped")
    assert len(world.cloud.alive) == 5


# observing


def test_a_closed_request_answers_from_its_record_without_a_call(world: World) -> None:
    request_id = world.ask(2)
    first = world.poll(request_id)
    world.cloud.calls.clear()
    assert world.poll(request_id) == first
    assert world.cloud.calls == []


def test_machines_that_boot_are_executing_until_they_are_ready(world: World) -> None:
    world.cloud.boot_seconds = 40
    request_id = world.ask(2)
    assert results(world.poll(request_id)) == [Result.EXECUTING] * 2
    world.clock.advance(40)
    assert world.poll(request_id).status is RequestStatus.COMPLETE


def test_a_machine_not_visible_yet_is_executing_with_the_time_of_the_call(world: World) -> None:
    request_id = world.ask(1)
    for machine in world.cloud.machines.values():
        machine.is_visible = False
    request = world.poll(request_id)
    assert results(request) == [Result.EXECUTING] or request.machines[0].missing_since is not None
    assert request.machines[0].launch_time == int(world.clock())


def test_a_machine_missing_for_good_fails_only_after_the_consistency_window(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(1)
    world.cloud.machines.clear()
    world.cloud.capacity.update({"zone-a": 0, "zone-b": 0})
    assert results(world.poll(request_id)) == [Result.EXECUTING]
    world.clock.advance(119)
    assert results(world.poll(request_id)) == [Result.EXECUTING]
    world.clock.advance(1)
    request = world.poll(request_id)
    assert results(request) == [Result.FAIL]
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR


def test_a_machine_that_dies_while_booting_fails_and_is_replaced_elsewhere(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.state, machine.reason = MachineState.TERMINATED, "Server.InternalError"
    world.poll(request_id)
    world.clock.advance(30)
    request = world.poll(request_id)
    assert results(request) == [Result.FAIL, Result.SUCCEED]
    assert "Server.InternalError" in request.machines[0].message
    assert request.launches[1].place == "zone-b"


def test_a_machine_that_stops_while_booting_fails_and_is_terminated(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.state = MachineState.STOPPED
    world.poll(request_id)
    assert machine.id not in world.cloud.alive


def test_a_machine_once_reported_failed_never_succeeds(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.state, machine.is_protected = MachineState.STOPPED, True
    world.poll(request_id)
    machine.state = MachineState.RUNNING
    assert results(world.poll(request_id))[0] is Result.FAIL
    machine.is_protected = False
    world.poll(request_id)
    assert machine.id not in world.cloud.alive


def test_a_failed_machine_that_aws_will_not_terminate_does_not_hold_a_request_open_for_ever(world: World) -> None:
    world.cloud.boot_seconds = 30
    world.cloud.capacity["zone-b"] = 0
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.state, machine.is_protected = MachineState.STOPPED, True
    world.clock.advance(3600)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(1799)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    world.clock.advance(1)
    assert world.poll(request_id).status is RequestStatus.COMPLETE_WITH_ERROR
    assert [request.id for request in world.store.requests.live()] == [request_id]


def test_a_machine_pending_too_long_is_terminated_and_fails(world: World) -> None:
    world.cloud.boot_seconds = 10_000
    request_id = world.ask(1)
    world.clock.advance(599)
    assert results(world.poll(request_id)) == [Result.EXECUTING]
    world.clock.advance(1)
    request = world.poll(request_id)
    assert results(request) == [Result.FAIL]
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    assert world.cloud.alive == set()


def test_only_a_look_at_the_machine_itself_can_find_it_pending_too_long(world: World) -> None:
    world.site.templates = [template(deadline=3600)]
    world.cloud.boot_seconds = 10_000
    world.cloud.lose_answers = 1
    request_id = world.ask(1)
    world.clock.advance(700)
    assert results(world.poll(request_id)) == [Result.EXECUTING]
    assert results(world.poll(request_id))[0] is Result.FAIL


def test_time_without_sight_of_the_cloud_does_not_count_against_a_pending_machine(world: World) -> None:
    world.cloud.boot_seconds = 700
    request_id = world.ask(1)
    world.cloud.fail_next("observe", ErrorKind.TRANSIENT)
    request = world.poll(request_id)
    world.clock.advance(650)
    assert "cannot be observed since 2027-01-15T08:00:00Z" in world.said(request)
    assert results(world.poll(request_id)) == [Result.EXECUTING]
    world.clock.advance(50)
    assert world.poll(request_id).status is RequestStatus.COMPLETE


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_no_failure_to_look_ever_fails_a_machine_or_a_request(world: World, kind: ErrorKind) -> None:
    world.cloud.boot_seconds = 1
    request_id = world.ask(2)
    world.cloud.fail_next("observe", kind, times=4)
    for _ in range(4):
        world.clock.advance(400)
        request = world.poll(request_id)
        assert request.status is RequestStatus.RUNNING
        assert results(request) == [Result.EXECUTING] * 2
    assert world.poll(request_id).status is RequestStatus.COMPLETE


def test_one_look_serves_all_asked_requests(world: World) -> None:
    ids = [world.ask(1) for _ in range(20)]
    world.cloud.calls.clear()
    world.broker.request_status(ids)
    assert world.cloud.calls == ["observe"]


def test_status_answers_every_id_in_order_whatever_it_is(world: World) -> None:
    request_id = world.ask(1)
    return_id = world.give_back(*world.cloud.alive)
    ids = ["../../etc/passwd", request_id, "req-nonsense", return_id, ""]
    answers = world.broker.request_status(ids)
    assert [record.id for record in answers] == ids
    assert [type(record) for record in answers] == [Unknown, Request, Unknown, Return, Unknown]
    assert all(r.status is RequestStatus.COMPLETE_WITH_ERROR for r in answers if isinstance(r, Unknown))


def test_a_record_that_another_call_holds_is_answered_as_it_is(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(1)
    world.clock.advance(30)
    holder = os.fork()
    if holder == 0:
        with world.store.locks.hold("request", request_id, 0):
            (world.root / "held").touch()
            time.sleep(30)
        os._exit(0)
    while not (world.root / "held").exists():
        time.sleep(0.01)
    began = time.monotonic()
    broker = Broker(world.store, world.site, Clock(now=world.clock), time_limit=200)
    answers = broker.request_status([request_id] * 3)
    assert [record.status for record in answers] == [RequestStatus.RUNNING] * 3
    assert time.monotonic() - began < 10
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert world.poll(request_id).status is RequestStatus.COMPLETE


# records that are gone


def test_a_lost_record_is_rebuilt_from_the_tags_of_its_machines(world: World) -> None:
    request_id = world.ask(2)
    (world.root / "requests" / f"{request_id}.json").unlink()
    request = world.poll(request_id)
    assert {machine.id for machine in request.machines} == world.cloud.alive
    assert request.phase is not Phase.OPEN
    assert world.poll(request_id).status is RequestStatus.COMPLETE
    assert len(world.cloud.alive) == 2


def test_a_rebuilt_record_counts_the_units_of_its_machines(world: World) -> None:
    world.site.templates = [template("capped", max_number=8, extension={"places": ["zone-a"], "weight": 4})]
    request_id = world.ask(8, "capped")
    (world.root / "requests" / f"{request_id}.json").unlink()
    world.poll(request_id)
    with pytest.raises(RefusedError, match="maxNumber 8"):
        world.ask(1, "capped")


def test_a_damaged_record_is_set_aside_and_rebuilt(world: World) -> None:
    request_id = world.ask(2)
    path = world.root / "requests" / f"{request_id}.json"
    path.write_bytes(path.read_bytes()[:100])
    assert {machine.id for machine in world.poll(request_id).machines} == world.cloud.alive
    assert [name for name in os.listdir(path.parent) if "damaged" in name]


def test_a_lost_record_is_running_while_the_cloud_cannot_be_asked(world: World) -> None:
    request_id = world.ask(2)
    (world.root / "requests" / f"{request_id}.json").unlink()
    world.cloud.fail_next("find_requests", ErrorKind.TRANSIENT)
    (answer,) = world.broker.request_status([request_id])
    assert answer.status is RequestStatus.RUNNING


def test_a_thousand_ids_without_a_record_cost_one_search_and_one_inventory(world: World) -> None:
    answers = world.broker.request_status([new_id(REQUEST_PREFIX) for _ in range(1000)])
    assert len(answers) == 1000
    assert world.cloud.calls == ["find_requests", "inventory"]


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_a_damaged_or_lost_return_is_rebuilt_from_its_requests(world: World, damage: bytes | None) -> None:
    request = world.poll(world.ask(2))
    world.cloud.fail_next("release", ErrorKind.AUTH)
    return_id = world.give_back(request.machines[0].id)
    path = world.root / "returns" / f"{return_id}.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    record = world.poll_return(return_id)
    assert [machine.id for machine in record.machines] == [request.machines[0].id]
    world.cloud.finish_terminations()
    assert world.poll_return(return_id).status is RequestStatus.COMPLETE
    assert world.cloud.alive == {request.machines[1].id}


def test_a_well_formed_id_that_nothing_carries_is_unknown(world: World) -> None:
    (answer,) = world.broker.request_status(["req-3f1fb1b4-6f2a-4c3b-8f4e-0d3a4f1b2c3d"])
    assert isinstance(answer, Unknown)
    assert answer.status is RequestStatus.COMPLETE_WITH_ERROR


# getReturnRequests


def test_no_host_is_lost_while_all_run(world: World) -> None:
    request = world.poll(world.ask(3))
    assert world.named(request) == []


def test_without_hosts_nothing_is_asked(world: World) -> None:
    world.poll(world.ask(3))
    world.cloud.calls.clear()
    assert world.broker.return_requests([]) == []
    assert world.cloud.calls == []


@pytest.mark.parametrize(
    "state", [MachineState.STOPPING, MachineState.STOPPED, MachineState.SHUTTING_DOWN, MachineState.TERMINATED]
)
def test_a_host_that_went_outside_is_reported_until_it_is_returned(world: World, state: MachineState) -> None:
    request = world.poll(world.ask(3))
    lost = request.machines[1]
    world.cloud.machines[lost.id].state = state
    for _ in range(3):
        (answer,) = world.named(request)
        assert (answer.name, answer.machine_id, answer.grace) == (lost.name, lost.id, 0)
    world.give_back(lost.id)
    assert world.named(request) == []


def test_a_host_whose_return_is_finished_and_archived_is_not_reported(world: World) -> None:
    request = world.poll(world.ask(2))
    return_id = world.give_back(*(machine.id for machine in request.machines))
    world.cloud.finish_terminations()
    world.poll_return(return_id)
    assert list(world.store.requests.live()) == []
    assert world.named(request) == []


def test_a_host_that_is_missing_is_reported_only_after_lasting_absence(world: World) -> None:
    request = world.poll(world.ask(3))
    del world.cloud.machines[request.machines[0].id]
    assert world.named(request) == []
    world.clock.advance(119)
    assert world.named(request) == []
    world.clock.advance(1)
    assert world.lost(request) == [request.machines[0].id]


def test_a_host_that_comes_back_into_sight_starts_its_absence_anew(world: World) -> None:
    request = world.poll(world.ask(1))
    machine = world.cloud.machines[request.machines[0].id]
    machine.is_visible = False
    world.named(request)
    machine.is_visible = True
    world.clock.advance(60)
    world.named(request)
    machine.is_visible = False
    world.clock.advance(60)
    assert world.named(request) == []


def test_a_failed_look_reports_no_host(world: World) -> None:
    request = world.poll(world.ask(3))
    world.cloud.machines.clear()
    world.cloud.fail_next("observe", ErrorKind.AUTH)
    with pytest.raises(ProviderError, match="auth"):
        world.named(request)


def test_a_search_that_failed_everywhere_is_an_error_and_reports_no_host(world: World) -> None:
    world.cloud.fail_next("find_hosts", ErrorKind.THROTTLED)
    with pytest.raises(ProviderError, match="throttled"):
        world.broker.return_requests([Host("stranger.internal", "")])


def test_a_search_that_failed_does_not_hide_the_hosts_that_are_known_to_be_lost(world: World) -> None:
    request = world.poll(world.ask(1))
    world.cloud.machines[request.machines[0].id].state = MachineState.STOPPED
    world.cloud.fail_next("find_hosts", ErrorKind.THROTTLED)
    assert len(world.broker.return_requests([*hosts(request), Host("stranger.internal", "")])) == 1


def test_only_hosts_that_were_given_are_reported(world: World) -> None:
    request = world.poll(world.ask(3))
    for machine in world.cloud.machines.values():
        machine.state = MachineState.TERMINATED
    assert len(world.broker.return_requests(hosts(request)[:1])) == 1


def test_a_host_known_by_name_only_is_found(world: World) -> None:
    request = world.poll(world.ask(1))
    world.cloud.machines[request.machines[0].id].state = MachineState.STOPPED
    (answer,) = world.broker.return_requests([Host(request.machines[0].name, "")])
    assert answer.machine_id == request.machines[0].id


def test_a_running_host_that_no_record_knows_is_not_reported(world: World) -> None:
    request_id = world.ask(1)
    request = world.poll(request_id)
    (world.root / "requests" / f"{request_id}.json").unlink()
    assert world.named(request) == []
    assert len(world.cloud.alive) == 1
