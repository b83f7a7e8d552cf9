"""Fleets as sources: they deliver late, replace what dies, and go on for a while when they are told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import template
from world import World as AnyWorld

from hfplugin.errors import ErrorKind, RefusedError
from hfplugin.model import (
    Launch,
    LaunchState,
    Phase,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
    Template,
)
from hfplugin.providers.base.provider import Host


def fleet(kind: str = "maintain", template_id: str = "fleet", **changes: Any) -> Template:
    """A template whose machines a fleet brings; changes of its extension and of the template itself."""
    extension = {"places": ["zone-a"], "source": kind}
    extension |= {key: changes.pop(key) for key in ("places", "weight", "remains", "most") if key in changes}
    return template(template_id, extension=extension, **changes)


class World(AnyWorld):
    """A world in which fleets bring the machines."""

    usual = "fleet"

    def returned(self, *ids: str) -> Return:
        """Return machines, and poll until they are gone."""
        return self.wait(self.give_back(*ids))

    def wait(self, return_id: str) -> Return:
        for _ in range(20):
            self.cloud.finish_terminations()
            record = self.poll_return(return_id)
            if record.is_closed:
                return record
            self.clock.advance(5)
        raise AssertionError(f"it does not end: {record}")

    def check(self, *requests: Request) -> None:
        """What HostFactory was told can be used is what runs."""
        told = [m.id for r in requests for m in self.poll(r.id).machines if m.result is Result.SUCCEED]
        assert len(told) == len({*told})
        assert {*told} == self.cloud.alive

    def check_empty(self) -> None:
        """Nothing is left of anything."""
        assert self.cloud.alive == set()
        assert self.cloud.left == set()
        assert list(self.store.requests.live()) == []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state", [fleet(), fleet("request", "once")])


def usable(request: Request) -> list[str]:
    return [machine.id for machine in request.machines if machine.result is Result.SUCCEED]


# delivering


def test_time_without_sight_of_the_cloud_before_a_machine_came_is_no_patience_with_it(world: World) -> None:
    world.cloud.source_seconds, world.cloud.boot_seconds = 86_400, 1e9
    request_id = world.ask(1)
    world.cloud.fail_next("gather", ErrorKind.TRANSIENT, 2)
    for seconds in (0, 86_410, 0):
        world.clock.advance(seconds)
        request = world.poll(request_id)
    assert [machine.result for machine in request.machines] == [Result.EXECUTING]
    world.clock.advance(700)
    assert [machine.result for machine in world.poll(request_id).machines] == [Result.FAIL]


@pytest.mark.parametrize("template_id", ["fleet", "once"])
def test_a_request_waits_for_a_fleet_that_delivers_late(world: World, template_id: str) -> None:
    world.cloud.source_seconds = 60
    request_id = world.ask(3, template_id)
    for _ in range(5):
        world.clock.advance(10)
        assert world.poll(request_id).phase is Phase.OPEN
    request = world.finish(request_id)
    assert (request.status, len(request.machines), len(request.launches)) == (RequestStatus.COMPLETE, 3, 1)
    world.check(request)


def test_what_a_fleet_still_promises_is_not_launched_elsewhere(world: World) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"])]
    world.cloud.source_seconds = 100
    request_id = world.ask(3)
    for _ in range(4):
        world.poll(request_id)
        world.clock.advance(10)
    assert [source.launch.place for source in world.cloud.sources.values()] == ["zone-a"]


def test_what_a_fleet_cannot_bring_is_sought_elsewhere_at_once(world: World) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"])]
    world.cloud.capacity["zone-a"] = 2
    request = world.have(5)
    assert [(s.launch.place, s.target) for s in world.cloud.sources.values()] == [("zone-a", 2), ("zone-b", 3)]
    assert len(usable(request)) == 5
    world.clock.advance(600)
    world.cloud.capacity["zone-a"] = 9
    world.check(request)
    assert request.closed_at - request.created < 120
    world.returned(*usable(request))
    world.check_empty()


def test_a_fleet_that_brings_nothing_anywhere_closes_the_request_and_leaves_nothing(world: World) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"])]
    world.cloud.capacity |= {"zone-a": 0, "zone-b": 0}
    request = world.have(2)
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    world.check_empty()


def test_a_part_of_a_fleet_is_kept_when_there_is_no_more(world: World) -> None:
    world.cloud.capacity["zone-a"] = 2
    request = world.have(5)
    assert (request.status, len(usable(request)), world.source.target) == (RequestStatus.COMPLETE, 2, 2)
    world.check(request)


def test_a_fleet_whose_look_fails_is_waited_for(world: World) -> None:
    request_id = world.ask(2)
    world.cloud.fail_next("gather", ErrorKind.TRANSIENT, times=3)
    for _ in range(3):
        world.clock.advance(400)
        assert world.poll(request_id).phase is Phase.OPEN
    assert len(usable(world.finish(request_id))) == 2


def test_a_lost_answer_is_settled_by_the_same_fleet(world: World) -> None:
    world.cloud.lose_answers = 1
    request = world.have(3)
    assert len(world.cloud.sources) == 1
    world.check(request)


def test_after_the_deadline_the_fleet_of_a_lost_answer_is_found_and_stopped(world: World) -> None:
    world.cloud.lose_answers = 1
    request_id = world.ask(3)
    world.clock.advance(601)
    request = world.finish(request_id)
    assert world.cloud.calls.count("launch") == 1
    world.check(request)


def test_a_refusal_of_the_rest_does_not_close_the_request_on_its_first_fleet(world: World) -> None:
    world.site.templates = [fleet(most=3)]
    world.cloud.source_seconds = 20

    def refuse_all_but_the_first(launch: Launch) -> None:
        refusal = Refusal(ErrorKind.INVALID, "NoGood", "mend it")
        world.cloud.refusals = {} if launch.attempt == 1 else {launch.place: refusal}

    world.cloud.before_launch = refuse_all_but_the_first
    request = world.have(5)
    assert len(usable(request)) == 3
    world.check(request)


def test_a_fleet_that_fails_for_another_reason_than_capacity_is_not_made_again(world: World) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"])]
    world.cloud.short_kind = ErrorKind.INVALID
    world.cloud.capacity["zone-a"] = 1
    request = world.have(3)
    assert [s.launch.place for s in world.cloud.sources.values()] == ["zone-a", "zone-b"]
    world.check(request)


@pytest.mark.parametrize("room", [0, 9])
def test_a_fleet_that_was_given_up_does_not_replace_what_it_loses_afterwards(world: World, room: int) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"])]
    world.cloud.capacity["zone-a"] = 2
    world.cloud.boot_seconds = 30
    request_id = world.ask(4)
    world.poll(request_id)
    world.poll(request_id)
    assert len(world.cloud.sources) == 2
    world.cloud.capacity["zone-a"] = room
    world.kill(min(world.cloud.machines))
    request = world.finish(request_id)
    world.cloud.capacity["zone-a"] = 9
    world.clock.advance(600)
    world.check(request)
    assert len(world.cloud.alive) == 4
    world.returned(*usable(request))
    world.check_empty()


# replacing


def test_what_a_fleet_puts_in_the_place_of_a_dead_machine_is_taken_while_the_request_is_open(world: World) -> None:
    world.cloud.boot_seconds = 40
    request_id = world.ask(3)
    first = world.poll(request_id).machines[0].id
    world.poll(request_id)
    world.kill(first)
    request = world.finish(request_id)
    assert [m.result for m in request.machines].count(Result.FAIL) == 1
    assert (len(usable(request)), len(world.cloud.sources)) == (3, 1)
    world.check(request)
    world.returned(*usable(request))
    world.check_empty()


def test_a_replacement_seen_before_the_death_that_it_is_for_is_not_given_back(world: World) -> None:
    request_id = world.ask(3)
    first = world.poll(request_id).machines[0].id
    real = world.cloud.gather

    def gather(launch: Any) -> Any:
        world.kill(first)
        return real(launch)

    world.cloud.gather = gather  # type: ignore[method-assign]
    world.poll(request_id)
    world.cloud.gather = real  # type: ignore[method-assign]
    request = world.finish(request_id)
    world.check(request)
    assert len(world.cloud.alive) == 3


def test_a_replacement_of_a_machine_that_cannot_be_seen_any_more_is_kept(world: World) -> None:
    request_id = world.ask(3)
    first = world.poll(request_id).machines[0].id
    world.kill(first)
    world.cloud.machines[first].is_visible = False
    for _ in range(4):
        request = world.poll(request_id)
        world.clock.advance(20)
        assert [m.message for m in request.machines if m.result is Result.FAIL] == []
    request = world.finish(request_id)
    assert len(world.cloud.alive) == 3
    world.check(request)


def test_a_machine_that_never_gets_ready_is_given_back_and_not_waited_for_again(world: World) -> None:
    world.site.templates = [fleet(places=["zone-a", "zone-b"], deadline=3600, pending_timeout=60)]
    request_id = world.ask(2)
    world.poll(request_id)
    slow = next(iter(world.cloud.machines.values()))
    slow.ready_at += 10_000
    request = world.finish(request_id)
    assert [source.target for source in world.cloud.sources.values()] == [1, 1]
    world.check(request)


def test_more_than_was_asked_for_is_given_back_before_it_is_told(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(2)
    world.poll(request_id)
    world.cloud._make(world.source.launch).source = world.source.id
    told: set[str] = set()
    request = world.poll(request_id)
    while not request.is_closed:
        told |= {*usable(request)}
        world.clock.advance(10)
        request = world.poll(request_id)
    assert told <= world.cloud.alive
    world.check(request)
    assert len(world.cloud.alive) == 2


def test_the_last_machine_by_weight_is_kept(world: World) -> None:
    world.site.templates = [fleet(weight=4)]
    request = world.have(10)
    assert len(usable(request)) == 3
    one, two, three = usable(request)
    world.returned(one)
    assert world.source.target == 8
    world.returned(two)
    world.check(request)
    world.returned(three)
    world.check_empty()


# stopping


def test_a_request_closes_only_when_nothing_more_arrives(world: World) -> None:
    world.cloud.capacity["zone-a"] = 2
    world.cloud.deaf_seconds = 45
    request_id = world.ask(5)
    world.poll(request_id)
    world.poll(request_id)
    world.cloud.capacity["zone-a"] = 2  # room again: the fleet has not heard yet that it is to stop
    request = world.finish(request_id)
    assert len(usable(request)) == 4
    world.clock.advance(600)
    world.cloud.capacity["zone-a"] = 9
    world.check(request)


def test_a_fleet_that_cannot_be_stopped_keeps_the_request_running(world: World) -> None:
    request_id = world.ask(2)
    world.cloud.fail_next("stop", ErrorKind.AUTH, times=3)
    for _ in range(4):
        assert world.poll(request_id).status is RequestStatus.RUNNING
    assert world.finish(request_id).status is RequestStatus.COMPLETE


def test_a_request_does_not_close_before_its_stopped_fleet_was_seen(world: World) -> None:
    world.cloud.boot_seconds = 30
    request_id = world.ask(2)
    world.poll(request_id)
    real = world.cloud.stop

    def stop(launch: Launch, held: Any) -> None:
        real(launch, held)
        world.cloud.fail_next("gather", ErrorKind.TRANSIENT)

    world.cloud.stop = stop  # type: ignore[method-assign]
    world.clock.advance(30)
    assert world.poll(request_id).phase is Phase.CLOSING
    assert world.finish(request_id).status is RequestStatus.COMPLETE


def test_at_the_deadline_a_fleet_is_stopped_though_machines_still_start(world: World) -> None:
    world.cloud.boot_seconds = 100
    world.cloud.source_seconds = 580
    request_id = world.ask(3)
    world.clock.advance(590)
    world.poll(request_id)
    world.clock.advance(20)
    assert world.poll(request_id).phase is Phase.CLOSING
    assert world.cloud.calls.count("stop") == 1
    assert len(usable(world.finish(request_id))) == 3


def test_all_or_nothing_gives_back_what_a_fleet_brought_when_it_is_not_all(world: World) -> None:
    world.site.templates = [fleet(all_or_nothing=True)]
    world.cloud.capacity["zone-a"] = 2
    assert world.have(3).status is RequestStatus.COMPLETE_WITH_ERROR
    assert (world.cloud.alive, world.cloud.left) == (set(), set())


def test_all_or_nothing_waits_for_all_of_a_fleet(world: World) -> None:
    world.site.templates = [fleet(all_or_nothing=True)]
    world.cloud.source_seconds = 30
    assert len(usable(world.have(3))) == 3


def test_what_a_fleet_promises_counts_against_max_number(world: World) -> None:
    world.site.templates = [fleet(max_number=5)]
    world.cloud.source_seconds = 30
    request_id = world.ask(5)
    with pytest.raises(RefusedError, match="maxNumber 5"):
        world.ask(1)
    world.returned(*usable(world.finish(request_id)))
    assert len(usable(world.have(9))) == 5


# returning


def test_machines_returned_one_by_one_are_not_replaced(world: World) -> None:
    request = world.have(4)
    for number, machine_id in enumerate(usable(request), start=1):
        world.returned(machine_id)
        world.clock.advance(300)
        assert len(world.cloud.alive) == 4 - number
        if number < 4:
            assert world.source.target == 4 - number
            world.check(request)
    world.check_empty()


def test_machines_returned_while_the_request_is_open_are_not_replaced(world: World) -> None:
    world.cloud.boot_seconds = 50
    request_id = world.ask(4)
    world.poll(request_id)
    ids = [machine.id for machine in world.poll(request_id).machines]
    world.returned(*ids[:3])
    request = world.finish(request_id)
    assert (usable(request), world.cloud.alive) == (ids[3:], {*ids[3:]})
    world.returned(ids[3])
    world.check_empty()


def test_machines_of_a_fleet_that_brought_only_a_part_are_not_replaced_either(world: World) -> None:
    world.cloud.capacity["zone-a"] = 3
    request = world.have(5)
    world.cloud.capacity["zone-a"] = 99
    world.returned(usable(request)[0])
    world.clock.advance(300)
    world.check(request)
    assert len(world.cloud.alive) == 2


def test_a_release_that_fails_after_the_fleet_was_told_lowers_nothing_twice(world: World) -> None:
    request = world.have(4)
    world.cloud.fail_next("terminate", ErrorKind.TRANSIENT, times=3)
    return_id = world.give_back(usable(request)[0])
    for _ in range(3):
        world.broker.request_status([return_id])
    assert world.source.target == 3
    world.wait(return_id)
    assert world.source.target == 3
    world.check(request)


def test_a_busy_fleet_leaves_the_return_running(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfplugin.sources._WAIT_SECONDS", 0.1)
    request = world.have(2)
    with world.store.locks.hold("group", world.source.id, 0):
        # Another process: the locks of one belong to it.
        if not os.fork():
            os._exit(_give_back_all(world, request))
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 1
        assert len(world.cloud.alive) == 2
    world.returned(*usable(request))
    world.check_empty()


def _give_back_all(world: World, request: Request) -> int:
    (record,) = world.broker.request_status([world.give_back(*usable(request))])
    return 1 if record.status is RequestStatus.RUNNING and len(world.cloud.alive) == 2 else 0


def test_concurrent_returns_of_one_fleet_lose_none(world: World) -> None:
    request = world.have(8)
    store = world.store  # the threads of one process share its locks
    returns: list[str] = []

    def give_back(machine_id: str) -> None:
        from hfplugin.broker import Broker

        broker = Broker(store, world.site, world.clock.clock, time_limit=200)
        returns.append(broker.return_machines([Host("", machine_id)]).id)

    threads = [threading.Thread(target=give_back, args=(each,)) for each in usable(request)[:6]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for return_id in returns:
        world.wait(return_id)
    world.clock.advance(300)
    world.check(request)
    assert (len(world.cloud.alive), world.source.target) == (2, 2)


def test_machines_that_no_source_replaces_are_released_in_one_call(world: World) -> None:
    world.site.templates = [template("plain", extension={"places": ["zone-a"], "remains": ["template"]})]
    requests = [world.have(2, "plain") for _ in range(3)]
    world.cloud.calls.clear()
    world.returned(*(each for request in requests for each in usable(request)))
    assert world.cloud.calls.count("release") == 1
    world.check_empty()


# losing


def test_a_loss_that_is_noticed_lowers_the_fleet_and_gives_back_what_came_in_its_place(world: World) -> None:
    request = world.have(3)
    lost = request.machines[0]
    world.kill(lost.id)
    world.poll(request.id)
    world.cloud._act()
    assert len(world.cloud.alive) == 3  # the fleet has replaced it
    assert world.lost(request) == [lost.id]
    world.check(request)
    assert (len(world.cloud.alive), world.source.target) == (2, 2)
    assert world.poll(request.id).status is RequestStatus.COMPLETE


def test_a_lost_machine_that_is_returned_is_counted_once(world: World) -> None:
    request = world.have(4)
    lost, other, *rest = usable(request)
    world.kill(lost)
    world.broker.return_requests([Host("", lost)])
    world.returned(lost)
    world.returned(lost)
    assert world.source.target == 3
    world.returned(other)
    world.clock.advance(300)
    world.check(request)
    world.returned(*rest)
    world.check_empty()


def test_what_replaced_a_machine_whose_loss_only_its_return_shows_is_given_back(world: World) -> None:
    request = world.have(3)
    world.kill(usable(request)[0])
    world.cloud._act()
    world.returned(usable(request)[0])
    world.check(request)
    assert len(world.cloud.alive) == 2


def test_spent_units_are_counted_once_and_by_purchase_type(world: World) -> None:
    request = world.have(5)
    one, two, three, four, five = request.machines
    changed = {
        one.id: one._replace(price_type="spot").returned("ret-1").gone(),
        two.id: two._replace(price_type="spot").failed("late").dismissed(),
        three.id: three._replace(price_type="spot").gone().returned("ret-1"),
        four.id: four.gone(),
    }
    (launch,) = request.launches
    closed = request.with_machines(changed)
    assert closed.spent(launch) == {"spot": 3, "ondemand": 1}
    assert closed._replace(phase=Phase.OPEN).spent(launch) == {"spot": 3}
    assert closed.held(launch) == {"ondemand": five.units}


# removing


def test_what_a_fleet_leaves_is_removed_once(world: World) -> None:
    request = world.have(2)
    world.returned(usable(request)[0])
    assert "remove" not in world.cloud.calls
    world.returned(usable(request)[1])
    assert world.cloud.calls.count("remove") == 1
    world.check_empty()


def test_a_removal_that_fails_is_tried_again_by_the_next_return(world: World) -> None:
    world.cloud.fail_next("remove", ErrorKind.THROTTLED)
    first, second = world.have(1), world.have(1)
    assert world.returned(*usable(first)).status is RequestStatus.COMPLETE
    assert [request.id for request in world.store.requests.live()] == [first.id, second.id] or world.cloud.left
    world.returned(*usable(second))
    world.check_empty()


def test_a_record_is_kept_until_what_it_leaves_is_removed(world: World) -> None:
    world.cloud.fail_next("remove", ErrorKind.AUTH, times=2)
    request = world.have(1)
    world.returned(*usable(request))
    assert [each.id for each in world.store.requests.live()] == [request.id]
    world.returned("i-0000000000000dead")
    world.check_empty()


def test_a_shared_launch_template_is_removed_by_its_last_user(world: World) -> None:
    world.site.templates = [template("plain", extension={"places": ["zone-a"], "remains": ["shared"]})]
    first, second = world.have(1, "plain"), world.have(1, "plain")
    world.returned(*usable(first))
    assert world.cloud.left == {"shared"}
    world.returned(*usable(second))
    world.check_empty()


def test_nothing_is_launched_with_a_launch_template_that_is_just_being_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfplugin.sources._WAIT_SECONDS", 0.1)
    world.site.templates = [template("plain", extension={"places": ["zone-a"], "remains": ["shared"]})]
    request = world.have(1, "plain")
    remove = world.cloud.remove

    def remove_slowly(launch: Launch, remains: Sequence[str]) -> None:
        # Another process: the locks of one belong to it.
        if not os.fork():
            world.ask(1, "plain")
            os._exit(0)
        os.wait()
        remove(launch, remains)

    monkeypatch.setattr(world.cloud, "remove", remove_slowly)
    world.returned(*usable(request))
    (waiting,) = world.store.requests.live()
    assert waiting.launches == ()
    assert len(usable(world.finish(waiting.id))) == 1
    assert world.cloud.left == {"shared"}


def test_a_record_that_a_killed_call_did_not_archive_is_archived_by_the_next_return(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(1)

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store.requests), "archive", killed)
        with pytest.raises(Killed):
            world.returned(*usable(request))
    world.returned("i-0000000000000dead")
    world.check_empty()


def test_a_refused_launch_leaves_nothing_behind(world: World) -> None:
    world.cloud.refusals["zone-a"] = Refusal(ErrorKind.INVALID, "NoGood", "mend it")
    with pytest.raises(RefusedError):
        world.ask(2)
    world.check_empty()


# interrupted


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


class Killer:
    """Ends the call at its nth boundary: before or after a rename of a record, or a call to the cloud."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch, nth: int) -> None:
        self.left = nth
        patch.setattr(os, "rename", self._around(os.rename))
        patch.setattr(os, "replace", self._around(os.replace))
        for name in ("plan", "launch", "gather", "stop", "release", "remove", "observe", "find_launched"):
            patch.setattr(world.cloud, name, self._around(getattr(world.cloud, name)))
        enter = world.cloud._enter

        def between(operation: str) -> None:
            if operation == "terminate":
                self._reach()
            enter(operation)

        patch.setattr(world.cloud, "_enter", between)

    def _reach(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def surrounded(*arguments: Any, **keywords: Any) -> Any:
            self._reach()
            answer = call(*arguments, **keywords)
            self._reach()
            return answer

        return surrounded


class Life:
    """HostFactory that repeats a call whose process was killed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kills = 0

    def call(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Killed:
            self.kills += 1
            return None

    def play(self) -> Iterator[None]:
        """A request of three, of which one dies early and one late; returns one by one."""
        world = self.world
        request_id = self.call(lambda: world.ask(3))
        if request_id is None:
            found = list(world.store.requests.live())
            if not found:
                return
            request_id = found[0].id
        self._until_closed(request_id, kills_at=3)
        yield
        for machine_id in usable(world.poll(request_id)):
            while machine_id in world.cloud.alive:
                return_id = self.call(lambda each=machine_id: world.give_back(each))  # type: ignore[misc]
                for _ in range(6 if return_id else 0):
                    world.cloud.finish_terminations()
                    self.call(lambda each=return_id: world.broker.request_status([each]))  # type: ignore[misc]
                    world.clock.advance(5)
            yield
        for _ in range(3):  # what a killed call left undone, the next return does
            self.call(lambda: world.returned("i-0000000000000dead", *world.cloud.machines))

    def _until_closed(self, request_id: str, kills_at: int) -> None:
        for step in range(100):
            record = self.call(lambda: self.world.poll(request_id))
            if record is not None and record.is_closed:
                return
            if step == kills_at and self.world.cloud.alive:
                self.world.kill(min(self.world.cloud.alive))
            self.world.clock.advance(5)
        raise AssertionError("it does not close")


@pytest.mark.parametrize("kind", ["maintain", "request"])
@pytest.mark.parametrize("room", [9, 2])
def test_a_call_killed_at_any_boundary_is_finished_by_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, room: int
) -> None:
    """Every seventh boundary, or every one when HFPLUGIN_EVERY_KILL is set."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    step = 1 if os.environ.get("HFPLUGIN_EVERY_KILL") else 7
    nth, is_reached = 1 + len(kind) % step, True
    while is_reached:
        world = World(tmp_path / f"state-{nth}", [fleet(kind)])
        world.cloud.boot_seconds = 20
        world.cloud.capacity["zone-a"] = room
        life = Life(world)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(world, patch, nth)
            for _ in life.play():
                killer.left, left = 0, killer.left  # the checks are no calls of HostFactory
                told = {
                    m.id
                    for request in world.store.requests.live()
                    for m in request.machines
                    if m.result is Result.SUCCEED and not m.return_id
                }
                assert told == world.cloud.alive, nth
                killer.left = left
        is_reached = killer.left <= 0
        assert world.cloud.alive == set(), nth
        assert world.cloud.left == set(), nth
        assert list(world.store.requests.live()) == [], nth
        nth += step
    assert nth > 40


def test_a_launch_settles_when_its_fleet_is_stopped_and_quiet(world: World) -> None:
    request = world.have(2)
    assert [(launch.state, launch.is_stopped) for launch in request.launches] == [(LaunchState.SETTLED, True)]
