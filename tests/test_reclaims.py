"""What HostFactory hears of machines that the cloud takes back, and what it never hears."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import template
from world import World, hosts

from hfplugin import roster
from hfplugin.broker import Broker, Lost
from hfplugin.errors import ErrorKind, ProviderError, StateError
from hfplugin.files import write
from hfplugin.hostfactory import wire
from hfplugin.housekeeping import Housekeeping
from hfplugin.logs import log
from hfplugin.metrics.tally import tally
from hfplugin.model import Machine, MachineState, NoticeKind, Refusal, Request, RequestStatus, Result
from hfplugin.providers.base.provider import Host, Inventory, Located, Observation
from hfplugin.store import Folder

INTERRUPTION, REBALANCE = NoticeKind.INTERRUPTION, NoticeKind.REBALANCE
MAINTENANCE, GONE = NoticeKind.MAINTENANCE, NoticeKind.GONE

REASON = "Server.SpotInstanceTermination"


@pytest.fixture
def world(tmp_path: Path) -> World:
    maintained = template("fleet", extension={"places": ["zone-a"], "source": "maintain"})
    return World(tmp_path / "state", [template(), maintained])


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "log"
    log.start(str(file), "INFO")
    yield file
    log.start("", "INFO")


def events(logged: Path, name: str) -> list[dict[str, Any]]:
    lines = logged.read_text().splitlines() if logged.exists() else []
    return [found for line in lines if (found := json.loads(line))["event"] == name]


def ids(request: Request) -> list[str]:
    return [machine.id for machine in request.machines]


def one(request: Request, machine_id: str) -> Machine:
    return next(machine for machine in request.machines if machine.id == machine_id)


def have_open(world: World, units: int, template_id: str = "small") -> tuple[str, str]:
    """Have a request of which one machine boots for five minutes; give its id and that of one that runs."""
    world.cloud.boot_seconds = 5
    request_id = world.ask(units, template_id)
    world.poll(request_id)
    first, *_, last = world.cloud.machines
    world.cloud.machines[last].ready_at += 300
    world.clock.advance(5)
    assert one(world.poll(request_id), first).result is Result.SUCCEED
    return request_id, first


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


def kill(*arguments: object) -> None:
    raise Killed


# notices


def test_a_notice_is_named_at_the_next_call_with_what_is_left_of_its_time(world: World) -> None:
    request = world.have(3)
    taken = request.machines[1]
    world.cloud.say(taken.id, INTERRUPTION, 120)
    world.clock.advance(50.5)
    assert world.named(request) == [Lost(taken.name, taken.id, 69)]


def test_a_clock_that_is_behind_promises_no_more_time_than_the_cloud_gave(world: World) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.clock.advance(-60)
    assert [each.grace for each in world.named(request)] == [120]


def test_grace_is_a_whole_number_that_never_falls_below_zero(world: World) -> None:
    request = world.have(1)
    world.cloud.say(ids(request)[0], INTERRUPTION, 120)
    graces = []
    for _ in range(4):
        (named,) = world.named(request)
        graces.append(named.grace)
        world.clock.advance(45)
    assert graces == [120, 75, 30, 0]
    assert all(type(grace) is int for grace in graces)


@pytest.mark.parametrize("kind", [INTERRUPTION, REBALANCE, MAINTENANCE])
def test_a_notice_is_named_at_every_call_until_the_host_is_returned(world: World, kind: NoticeKind) -> None:
    request = world.have(3)
    taken = ids(request)[0]
    world.cloud.say(taken, kind)
    assert [world.lost(request) for _ in range(3)] == [[taken]] * 3
    world.give_back(taken)
    assert world.lost(request) == []


def test_a_host_that_is_named_by_its_name_alone_is_answered_by_it(world: World) -> None:
    request = world.have(1)
    (taken,) = request.machines
    world.cloud.say(taken.id, INTERRUPTION)
    assert world.broker.return_requests([Host(taken.name, "")]) == [Lost(taken.name, taken.id, 120)]


def test_a_notice_of_a_host_that_is_not_asked_about_is_kept_for_when_it_is(world: World) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    assert world.broker.return_requests(hosts(request)[1:]) == []
    assert world.cloud.words == {}
    assert world.lost(request) == ids(request)[:1]


def test_a_word_about_a_request_that_hostfactory_never_asked_about_is_no_asking(world: World) -> None:
    known = world.have(1)
    request_id = world.ask(1)
    unknown = max(world.cloud.alive)
    world.cloud.say(unknown, INTERRUPTION)
    assert world.lost(known) == []
    record = world.store.requests.load(request_id)
    assert record is not None
    assert one(record, unknown).notice is not None
    assert record.unclaimed_since is not None


def test_a_word_about_a_machine_of_others_is_left_for_them(world: World) -> None:
    request = world.have(1)
    world.cloud.say("i-0ther", INTERRUPTION)
    assert world.lost(request) == []
    assert len(world.cloud.words) == 1


def test_without_hosts_no_word_is_asked_for(world: World) -> None:
    world.cloud.say(ids(world.have(1))[0], INTERRUPTION)
    world.cloud.calls.clear()
    assert world.broker.return_requests([]) == []
    assert world.cloud.calls == []


def test_the_cloud_is_asked_for_its_words_once_a_call(world: World) -> None:
    requests = [world.have(2) for _ in range(3)]
    world.cloud.say(ids(requests[0])[0], INTERRUPTION)
    world.cloud.calls.clear()
    world.lost(*requests)
    assert world.cloud.calls == ["reclaimed", "observe", "acknowledge"]


def test_a_word_about_a_machine_that_was_returned_is_let_go(world: World) -> None:
    request = world.have(2)
    world.give_back(ids(request)[0])
    world.cloud.say(ids(request)[0], INTERRUPTION)
    assert world.lost(request) == []
    assert world.cloud.words == {}
    assert one(world.record(request), ids(request)[0]).notice is None


# durable first


def test_what_was_said_is_on_disk_before_its_message_is_let_go(world: World) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION, reason=REASON)
    real, seen = world.cloud.acknowledge, []

    def acknowledge(receipts: Sequence[str]) -> None:
        notice = one(world.record(request), ids(request)[0]).notice
        seen.append(notice and (notice.kind, notice.reason))
        real(receipts)

    world.cloud.acknowledge = acknowledge  # type: ignore[method-assign]
    world.lost(request)
    assert seen == [(INTERRUPTION, REASON)]


def test_a_call_killed_before_it_lets_a_message_go_is_made_good_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "acknowledge", kill)
        with pytest.raises(Killed):
            world.lost(request)
    assert len(world.cloud.words) == 1
    generation = world.record(request).generation
    assert world.lost(request) == ids(request)[:1]
    assert world.cloud.words == {}
    assert world.record(request).generation == generation


def test_a_call_killed_before_the_record_is_written_lets_no_message_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "save", kill)
        with pytest.raises(Killed):
            world.lost(request)
    assert len(world.cloud.words) == 1
    assert world.lost(request) == ids(request)[:1]
    assert world.cloud.words == {}


def test_what_another_call_noted_is_synced_before_its_message_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    done: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("hfplugin.files._sync_directory", kill)  # between the rename and what makes it durable
        with pytest.raises(Killed):
            world.lost(request)
    assert one(world.record(request), ids(request)[0]).notice is not None
    monkeypatch.setattr("hfplugin.files._sync_directory", lambda path: done.append(Path(path).name))
    monkeypatch.setattr(world.cloud, "acknowledge", lambda receipts: done.append("acknowledge"))
    assert world.lost(request) == ids(request)[:1]
    assert done == ["requests", "acknowledge"]


def test_a_message_is_kept_while_its_record_cannot_be_synced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)

    def fail(directory: str) -> None:
        raise StateError(f"cannot sync {directory}")

    with monkeypatch.context() as patch:
        patch.setattr("hfplugin.files.sync", fail)
        assert world.lost(request) == ids(request)[:1]
    assert len(world.cloud.words) == 1
    world.lost(request)
    assert world.cloud.words == {}


def test_a_notice_whose_record_is_busy_is_named_and_its_message_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfplugin.broker._WAIT_SECONDS", 0.05)
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    store = world.store
    broker = Broker(store, world.site, world.clock.clock, time_limit=200)
    with store.locks.hold("request", request.id, 1):
        assert [each.machine_id for each in broker.return_requests(hosts(request))] == ids(request)[:1]
    assert len(world.cloud.words) == 1
    assert world.lost(request) == ids(request)[:1]
    assert world.cloud.words == {}


def test_a_message_that_cannot_be_let_go_is_named_once_and_let_go_later(world: World) -> None:
    request = world.have(2)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.cloud.fail_next("acknowledge", ErrorKind.THROTTLED)
    assert world.lost(request) == ids(request)[:1]
    assert len(world.cloud.words) == 1
    assert world.lost(request) == ids(request)[:1]
    assert world.cloud.words == {}


def test_two_calls_at_once_name_a_notice_and_lower_a_fleet_once(world: World) -> None:
    request = world.have(4, "fleet")
    for machine_id in ids(request)[:2]:
        world.cloud.say(machine_id, INTERRUPTION)
    store = world.store  # the threads of one process share its locks
    answers: list[list[str]] = []

    def ask() -> None:
        broker = Broker(store, world.site, world.clock.clock, time_limit=200)
        answers.append([each.machine_id for each in broker.return_requests(hosts(request))])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A call that came late finds the message gone and its word in the record; none may miss it.
    assert answers == [ids(request)[:2]] * 4
    assert (world.source.target, world.cloud.words) == (2, {})


# duplicates, order, old words


def test_a_word_that_comes_twice_is_one_notice_and_one_write(world: World) -> None:
    request = world.have(2)
    for _ in range(2):
        world.cloud.say(ids(request)[0], INTERRUPTION)
    generation = world.record(request).generation
    assert world.lost(request) == ids(request)[:1]
    world.cloud.say(ids(request)[0], INTERRUPTION)
    assert world.lost(request) == ids(request)[:1]
    assert world.record(request).generation == generation + 1


@pytest.mark.parametrize("kinds", [[REBALANCE, INTERRUPTION], [INTERRUPTION, REBALANCE]])
@pytest.mark.parametrize("is_together", [True, False])
def test_an_interruption_outweighs_a_rebalance_in_any_order(
    world: World, kinds: list[NoticeKind], is_together: bool
) -> None:
    request = world.have(1)
    for kind in kinds:
        world.cloud.say(ids(request)[0], kind, 120 if kind is INTERRUPTION else 900)
        world.clock.advance(1)
        if not is_together:
            world.lost(request)
    (named,) = world.named(request)
    assert named.grace <= 120
    notice = world.record(request).machines[0].notice
    assert notice is not None
    assert notice.kind is INTERRUPTION


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_words_of_one_kind_the_later_counts_in_any_order(world: World, order: list[int]) -> None:
    request = world.have(1)
    words = [world.cloud.say(ids(request)[0], MAINTENANCE, 1000), ""]
    world.clock.advance(10)
    words[1] = world.cloud.say(ids(request)[0], MAINTENANCE, 5000)
    messages = dict(world.cloud.words)
    for number in order:
        world.cloud.words = {words[number]: messages[words[number]]}
        world.lost(request)
    assert [each.grace for each in world.named(request)] == [5000]


def test_two_words_that_are_said_anew_at_every_call_are_written_once(world: World) -> None:
    request = world.have(1)
    for _ in range(3):
        for seconds in (3000, 1000, 2000):
            world.cloud.say(ids(request)[0], MAINTENANCE, world.clock.start + seconds - world.clock())
        assert [each.grace for each in world.named(request)] == [int(world.clock.start + 1000 - world.clock())]
        world.clock.advance(30)
    assert world.record(request).generation == request.generation + 1


def test_an_old_word_that_a_running_machine_is_gone_is_let_go(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], GONE)
    assert world.lost(request) == []
    assert world.cloud.words == {}
    assert (world.source.target, len(world.cloud.alive)) == (3, 3)
    assert {machine.result for machine in world.record(request).machines} == {Result.SUCCEED}


def test_a_missing_machine_that_is_said_to_be_gone_is_named_at_once(world: World) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], GONE, reason="terminated by alice")
    del world.cloud.machines[ids(request)[0]]
    assert [(each.machine_id, each.grace) for each in world.named(request)] == [(ids(request)[0], 0)]
    assert "terminated by alice" in one(world.record(request), ids(request)[0]).message


def test_a_machine_said_to_be_gone_that_cannot_be_seen_is_not_named(world: World) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], GONE)
    world.cloud.fail_next("observe", ErrorKind.TRANSIENT)
    with pytest.raises(ProviderError):
        world.lost(request)
    assert {machine.state for machine in world.record(request).machines} == {MachineState.RUNNING}


def test_a_machine_that_is_said_to_be_gone_is_looked_at_though_hostfactory_does_not_name_it(world: World) -> None:
    request = world.have(3)
    first, *others = hosts(request)
    world.cloud.say(first.machine_id, GONE)
    world.kill(first.machine_id)
    assert world.broker.return_requests(others) == []
    assert one(world.record(request), first.machine_id).state is MachineState.TERMINATED


def test_an_interruption_that_did_not_come_is_forgotten(world: World, logged: Path) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], INTERRUPTION, 120)
    world.clock.advance(419)
    assert world.lost(request) == ids(request)[:1]
    world.clock.advance(1)
    assert world.lost(request) == []
    assert one(world.record(request), ids(request)[0]).notice is None
    assert [each["machine_id"] for each in events(logged, "machine.spared")] == ids(request)[:1]


def test_the_message_of_an_interruption_that_did_not_come_changes_nothing(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION, 120)
    world.clock.advance(420)
    generation = world.record(request).generation
    assert world.lost(request) == []
    assert (world.source.target, world.cloud.words) == (3, {})
    assert world.record(request).generation == generation


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("is_seen", [True, False])
def test_an_interruption_that_did_not_come_hides_no_later_word(
    world: World, is_recorded: bool, is_seen: bool
) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION, 120)
    if is_recorded:
        world.lost(request)
    world.clock.advance(420)
    world.cloud.say(ids(request)[0], REBALANCE, 900)
    if not is_seen:
        world.cloud.fail_next("observe", ErrorKind.TRANSIENT)
    assert [(each.machine_id, each.grace) for each in world.named(request)] == [(ids(request)[0], 900)]
    machine = one(world.record(request), ids(request)[0])
    assert (machine.is_lost, machine.is_dismissed) == (False, False)


@pytest.mark.parametrize("kind", [REBALANCE, MAINTENANCE])
def test_only_an_interruption_is_forgotten_after_its_time(world: World, kind: NoticeKind) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], kind, 120)
    world.lost(request)
    world.clock.advance(10_000)
    assert world.lost(request) == ids(request)[:1]


# failures


def test_a_notice_is_named_though_no_machine_can_be_seen(world: World) -> None:
    request = world.have(3)
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.cloud.fail_next("observe", ErrorKind.TRANSIENT, times=2)
    assert world.lost(request) == ids(request)[:1]
    world.clock.advance(600)
    with pytest.raises(ProviderError):  # its time is over, and nobody can say what became of it
        world.lost(request)


def test_what_the_cloud_does_not_say_is_seen(world: World) -> None:
    request = world.have(3)
    world.kill(ids(request)[0], state=MachineState.STOPPED)
    world.cloud.fail_next("reclaimed", ErrorKind.AUTH)
    assert world.lost(request) == ids(request)[:1]


def test_a_part_that_cannot_be_seen_hides_nothing_and_names_nothing(world: World) -> None:
    request = world.have(4)
    noticed, ended, blind, blind_and_noticed = ids(request)
    for machine_id in (noticed, blind_and_noticed):
        world.cloud.say(machine_id, INTERRUPTION)
    world.kill(ended, blind)
    real = world.cloud.observe

    def observe(machines: Sequence[Located]) -> Observation:
        failure = Refusal(ErrorKind.TRANSIENT, "Unreachable", "zone-b")
        seen = real([machine for machine in machines if machine.id not in (blind, blind_and_noticed)])
        return seen._replace(failures=(failure,))

    world.cloud.observe = observe  # type: ignore[method-assign]
    assert world.lost(request) == [noticed, ended, blind_and_noticed]


# what is ours


def test_a_machine_that_is_returned_while_the_cloud_is_asked_is_not_named(world: World) -> None:
    request = world.have(2)
    world.kill(ids(request)[0])
    real = world.cloud.observe

    def observe(machines: Sequence[Located]) -> Observation:
        world.cloud.observe = real  # type: ignore[method-assign]
        world.give_back(ids(request)[0])
        return real(machines)

    world.cloud.observe = observe  # type: ignore[method-assign]
    assert world.lost(request) == []


def test_a_machine_that_failed_and_was_given_back_is_not_named(world: World) -> None:
    world.cloud.boot_seconds = 10_000
    request_id = world.ask(1)
    world.clock.advance(700)
    request = world.poll(request_id)
    assert [machine.result for machine in request.machines] == [Result.FAIL]
    assert world.lost(request) == []
    world.cloud.finish_terminations()
    assert world.lost(request) == []


def test_a_machine_that_failed_and_cannot_be_ended_is_not_named_for_its_interruption(world: World) -> None:
    world.cloud.boot_seconds = 10_000
    request_id = world.ask(1)
    (machine,) = world.cloud.machines.values()
    machine.is_protected = True
    world.clock.advance(700)
    request = world.poll(request_id)
    assert request.condemned
    world.cloud.say(machine.id, INTERRUPTION)
    assert world.lost(request) == []


def test_the_machines_of_a_request_that_was_withdrawn_are_named_without_a_proof(world: World) -> None:
    request = world.have(12)
    Housekeeping(world.store, world.site, world.clock.clock, wait=1).withdraw(request.id, "given back by root")
    world.cloud.finish_terminations()
    assert world.cloud.alive == set()
    assert world.lost(request) == ids(request)
    assert "find_requests" not in world.cloud.calls


def test_a_machine_that_hostfactory_could_not_be_told_the_end_of_is_named(world: World) -> None:
    """It vanished while its request was open, so that hfplugin tried to terminate it: nobody of ours ended it."""
    request_id, first = have_open(world, 2)
    del world.cloud.machines[first]
    for _ in range(6):
        world.clock.advance(30)
        request = world.poll(request_id)
    assert not request.is_closed
    assert one(request, first).result is Result.FAIL
    assert first in world.lost(request)


# fleets and groups


def test_an_interruption_lowers_the_fleet_of_a_closed_request_at_once(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION)
    assert world.lost(request) == ids(request)[:1]
    assert (world.source.target, len(world.cloud.alive)) == (2, 3)
    world.kill(ids(request)[0])
    world.clock.advance(300)
    assert world.lost(request) == ids(request)[:1]
    assert world.cloud.alive == {*ids(request)[1:]}


@pytest.mark.parametrize("kind", [REBALANCE, MAINTENANCE])
def test_a_word_that_leaves_time_lowers_no_fleet(world: World, kind: NoticeKind) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], kind)
    world.lost(request)
    assert world.source.target == 3


def test_an_interrupted_machine_that_is_returned_is_counted_once(world: World) -> None:
    request = world.have(4, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.lost(request)
    world.give_back(ids(request)[0])
    assert world.source.target == 3
    world.give_back(ids(request)[1])
    assert (world.source.target, len(world.cloud.alive)) == (2, 2)


def test_a_fleet_all_of_which_is_interrupted_wants_nothing_more(world: World) -> None:
    request = world.have(2, "fleet")
    for machine_id in ids(request):
        world.cloud.say(machine_id, INTERRUPTION)
    world.lost(request)
    world.kill(*ids(request))
    world.clock.advance(600)
    world.lost(request)
    assert (world.source.target, world.cloud.alive) == (0, set())


def test_a_machine_whose_interruption_did_not_come_is_kept_and_returned_like_any_other(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.lost(request)
    world.clock.advance(600)
    assert world.lost(request) == []
    assert (world.source.target, len(world.cloud.alive)) == (2, 3)
    world.give_back(ids(request)[1])
    assert (world.source.target, world.cloud.alive) == (2, {ids(request)[0], ids(request)[2]})
    world.kill(ids(request)[0])
    assert world.lost(request) == ids(request)[:1]
    world.clock.advance(300)
    world.lost(request)
    assert world.cloud.alive == {ids(request)[2]}


def test_a_fleet_that_could_not_be_told_is_told_later(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.cloud.fail_next("stop", ErrorKind.THROTTLED)
    world.store.marks.set_due(world.clock() + 300)
    assert world.lost(request) == ids(request)[:1]
    assert world.source.target == 3
    world.clock.advance(61)
    clock = world.clock.clock
    Housekeeping(world.store, world.site, clock).sweep(clock.deadline(5))
    assert world.source.target == 2


def test_a_fleet_that_could_not_be_told_hears_of_the_interruption_with_the_next_return(world: World) -> None:
    request = world.have(3, "fleet")
    world.cloud.say(ids(request)[0], INTERRUPTION)
    world.cloud.fail_next("stop", ErrorKind.THROTTLED)
    world.lost(request)
    world.give_back(ids(request)[1])
    assert world.source.target == 1


def test_a_replacement_that_was_launched_before_the_fleet_heard_is_given_back(world: World) -> None:
    request = world.have(3, "fleet")
    world.kill(ids(request)[0])
    world.cloud._act()
    world.cloud.say(ids(request)[1], INTERRUPTION)
    assert world.lost(request) == ids(request)[:2]
    assert world.cloud.alive == {*ids(request)[1:]}
    assert world.source.target == 1


def test_an_open_request_lets_the_replacement_come_and_takes_it(world: World) -> None:
    request_id, first = have_open(world, 3, "fleet")
    request = world.poll(request_id)
    taken = one(request, first)
    world.cloud.say(taken.id, INTERRUPTION, reason=REASON)
    assert world.lost(request) == [taken.id]
    assert world.source.target == 3
    shown = one(world.poll(request_id), taken.id)
    assert (shown.result, shown.state) == (Result.SUCCEED, MachineState.RUNNING)
    world.kill(taken.id)
    for _ in range(40):
        world.clock.advance(20)
        request = world.poll(request_id)
    assert request.status is RequestStatus.COMPLETE
    assert one(request, taken.id).result is Result.FAIL
    assert REASON in one(request, taken.id).message
    assert len([m for m in request.machines if m.result is Result.SUCCEED]) == len(world.cloud.alive) == 3


# what getRequestStatus says


def test_the_status_says_that_a_machine_is_taken_back_and_stays_as_it_is(world: World) -> None:
    request = world.have(2)
    world.clock.time = 1_800_000_060.0
    world.cloud.say(ids(request)[0], INTERRUPTION, 120, reason=REASON)
    world.lost(request)
    (answer,) = wire.statuses([world.poll(request.id)], world.clock())["requests"]
    said = f"interruption, ends at 2027-01-15T08:03:00Z: {REASON}"
    assert (answer["status"], answer["message"]) == ("complete", f"2 of 2 ready; 1 taken back: {said}")
    assert [(m["result"], m["status"], m["message"]) for m in answer["machines"]] == [
        ("succeed", "running", said),
        ("succeed", "running", ""),
    ]
    world.kill(ids(request)[0])
    world.lost(request)
    (answer,) = wire.statuses([world.poll(request.id)], world.clock())["requests"]
    assert answer["status"] == "complete"
    assert answer["machines"][0]["result"] == "fail"
    assert REASON in answer["machines"][0]["message"]


# too many at once


def gone(request: Request, world: World) -> Callable[[Sequence[Located]], Observation]:
    """Give a look that sees none of a request's machines running, whatever is true."""
    known = {*ids(request)}
    real = world.cloud.observe

    def observe(machines: Sequence[Located]) -> Observation:
        view = real(machines)
        ended = {
            id_: each._replace(state=MachineState.TERMINATED) if id_ in known else each
            for id_, each in view.seen.items()
        }
        return view._replace(seen=ended)

    return observe


def test_a_loss_of_most_machines_that_another_look_shows_too_is_named_and_logged(
    world: World, logged: Path
) -> None:
    request = world.have(12)
    world.kill(*ids(request)[:11])
    world.cloud.calls.clear()
    assert world.lost(request) == ids(request)[:11]
    assert world.cloud.calls == ["reclaimed", "observe", "find_requests"]
    (said,) = events(logged, "reclaim.mass")
    assert (said["level"], said["machines"], said["known"]) == ("warning", 11, 12)


@pytest.mark.parametrize(("units", "ended"), [(10, 10), (22, 11), (40, 12)])
def test_a_loss_of_few_machines_needs_no_other_look(world: World, units: int, ended: int) -> None:
    request = world.have(units)
    world.kill(*ids(request)[:ended])
    assert world.lost(request) == ids(request)[:ended]
    assert "find_requests" not in world.cloud.calls


def test_a_loss_of_most_machines_that_another_look_denies_is_not_named(
    world: World, logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(12, "fleet")
    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "observe", gone(request, world))
        for _ in range(3):
            assert world.lost(request) == []
            world.clock.advance(200)
    assert {(m.state, m.result) for m in world.record(request).machines} == {
        (MachineState.RUNNING, Result.SUCCEED)
    }
    assert (world.source.target, len(world.cloud.alive)) == (12, 12)
    said = events(logged, "reclaim.unconfirmed")
    assert [(each["level"], each["machines"], each["known"]) for each in said] == [("error", 12, 12)] * 3
    assert "12 of them run" in said[0]["reason"]
    assert world.lost(request) == []


def test_one_machine_that_runs_after_all_discredits_the_whole_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(12)
    world.kill(*ids(request)[1:])
    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "observe", gone(request, world))
        assert world.lost(request) == []
    assert world.lost(request) == ids(request)[1:]


def test_of_those_gone_by_their_records_only_the_ones_that_run_are_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(12)
    world.kill(*ids(request))
    assert world.lost(request) == ids(request)
    real = world.cloud.find_requests

    def find_requests(request_ids: Sequence[str]) -> Inventory:
        found = real(request_ids)
        first, *others = found.machines
        return found._replace(machines=(first._replace(state=MachineState.RUNNING), *others))

    monkeypatch.setattr(world.cloud, "find_requests", find_requests)
    assert world.lost(request) == ids(request)[1:]


def test_a_loss_of_most_machines_is_not_named_while_no_other_look_can_be_had(world: World, logged: Path) -> None:
    request = world.have(12)
    world.kill(*ids(request))
    world.cloud.fail_next("find_requests", ErrorKind.THROTTLED)
    assert world.lost(request) == []
    assert len(events(logged, "reclaim.unconfirmed")) == 1
    assert world.lost(request) == ids(request)


def test_another_look_that_is_not_whole_confirms_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    request = world.have(12)
    world.kill(*ids(request))
    failure = Refusal(ErrorKind.TRANSIENT, "Unreachable", "zone-b")
    monkeypatch.setattr(world.cloud, "find_requests", lambda request_ids: Inventory(failures=(failure,)))
    assert world.lost(request) == []


def test_most_machines_missing_are_named_when_their_tags_find_none_either(world: World) -> None:
    request = world.have(12)
    world.cloud.machines.clear()
    assert world.lost(request) == []
    world.clock.advance(120)
    assert world.lost(request) == ids(request)
    assert world.cloud.calls.count("find_requests") == 1


def test_most_machines_missing_that_their_tags_find_are_not_named(world: World) -> None:
    request = world.have(12)
    for machine in world.cloud.machines.values():
        machine.is_visible = False  # by its id; its tags find it
    for _ in range(4):
        assert world.lost(request) == []
        world.clock.advance(120)
    assert "find_requests" in world.cloud.calls
    for machine in world.cloud.machines.values():
        machine.is_visible = True
    assert world.lost(request) == []
    assert {m.result for m in world.record(request).machines} == {Result.SUCCEED}


def test_words_that_most_machines_are_gone_are_doubted_like_a_look(world: World) -> None:
    request = world.have(12)
    for machine in world.cloud.machines.values():
        machine.is_visible = False
        world.cloud.say(machine.id, GONE)
    assert world.lost(request) == []
    assert world.cloud.calls.count("find_requests") == 1


def test_most_machines_may_be_interrupted_at_once(world: World) -> None:
    request = world.have(12)
    for machine_id in ids(request):
        world.cloud.say(machine_id, INTERRUPTION)
    assert world.lost(request) == ids(request)
    assert "find_requests" not in world.cloud.calls


def test_an_interruption_is_named_though_the_look_is_doubted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.have(12)
    world.cloud.say(ids(request)[3], INTERRUPTION)
    monkeypatch.setattr(world.cloud, "observe", gone(request, world))
    assert [(each.machine_id, each.grace) for each in world.named(request)] == [(ids(request)[3], 120)]


def test_most_hosts_without_a_record_are_doubted_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    request = world.have(12)
    (world.root / "requests" / f"{request.id}.json").unlink()
    real = world.cloud.find_hosts

    def find_hosts(asked: Sequence[Host]) -> list[Any]:
        return [
            found._replace(sighting=found.sighting and found.sighting._replace(state=MachineState.TERMINATED))
            for found in real(asked)
        ]

    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "find_hosts", find_hosts)
        assert world.lost(request) == []
    world.kill(*ids(request))
    assert world.lost(request) == ids(request)


# what is counted


@pytest.fixture
def counted() -> Callable[[], int]:
    """Count the interrupted machines since the test began."""
    tally.taken()
    amounts: list[int] = []

    def count() -> int:
        entries = map(json.loads, tally.taken())
        amounts.extend(amount for family, _, amount in entries if family == "machines_interrupted")
        return sum(amounts)

    return count


def test_a_machine_that_is_noticed_lost_and_returned_is_counted_once(
    world: World, counted: Callable[[], int]
) -> None:
    request = world.have(3)
    noticed, ended, _ = ids(request)
    world.cloud.say(noticed, INTERRUPTION)
    world.kill(ended)
    world.lost(request)
    assert counted() == 2
    world.kill(noticed)
    world.lost(request)
    world.poll_return(world.give_back(noticed, ended))
    assert counted() == 2


def test_a_machine_that_hfplugin_ended_itself_is_not_counted(world: World, counted: Callable[[], int]) -> None:
    world.cloud.boot_seconds = 10_000
    request_id = world.ask(1)
    world.clock.advance(700)
    world.cloud.fail_next("release", ErrorKind.TRANSIENT)
    request = world.poll(request_id)
    world.kill(*ids(request))  # as it was asked to, though the answer was lost
    world.lost(request)
    assert one(world.record(request), ids(request)[0]).state is MachineState.TERMINATED
    assert counted() == 0


# HostFactory's list


def test_machines_that_hostfactory_does_not_list_are_counted_and_kept(world: World, logged: Path) -> None:
    request = world.have(4)
    world.clock.advance(600)
    for _ in range(3):
        assert world.broker.return_requests(hosts(request)[:2]) == []
    assert roster.noted(world.store.marks).unlisted == tuple(ids(request)[2:])
    assert [(each["level"], each["count"]) for each in events(logged, "hosts.unlisted")] == [("warning", 2)]
    assert len(world.cloud.alive) == 4
    world.lost(request)
    assert roster.noted(world.store.marks).unlisted == ()
    assert [each["count"] for each in events(logged, "hosts.unlisted")] == [2, 0]


def test_a_machine_that_has_not_had_the_time_to_join_is_not_missed(world: World) -> None:
    old, new = world.have(1), world.have(1)
    world.clock.advance(300)
    world.broker.return_requests(hosts(old))
    assert roster.noted(world.store.marks).unlisted == ()
    world.clock.advance(300)
    world.broker.return_requests(hosts(old))
    assert roster.noted(world.store.marks).unlisted == tuple(ids(new))


def test_a_machine_that_was_returned_is_not_missed(world: World) -> None:
    request = world.have(2)
    world.clock.advance(600)
    world.give_back(ids(request)[1])
    world.broker.return_requests(hosts(request)[:1])
    assert roster.noted(world.store.marks).unlisted == ()


def test_a_list_that_differs_as_before_is_not_written_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    request = world.have(3)
    world.clock.advance(600)
    world.broker.return_requests(hosts(request)[:1])
    written: list[str] = []

    def watched(path: str, content: bytes) -> None:
        written.append(path)
        write(path, content)

    monkeypatch.setattr("hfplugin.files.write", watched)
    world.broker.return_requests(hosts(request)[:1])
    assert written == []
    world.broker.return_requests(hosts(request)[:2])
    assert [Path(path).name for path in written] == ["hosts.json"]


def test_hosts_that_nobody_knows_are_counted_and_never_named(world: World, logged: Path) -> None:
    request = world.have(1)
    for _ in range(3):
        assert world.broker.return_requests([*hosts(request), Host("stranger.internal", "i-0dead")]) == []
    assert roster.noted(world.store.marks).unknown == ("stranger.internal",)
    assert [(each["count"], each["hosts"]) for each in events(logged, "hosts.unknown")] == [
        (1, "stranger.internal")
    ]


def test_what_nobody_could_look_for_is_known_as_before(world: World) -> None:
    request = world.have(1)
    asked = [*hosts(request), Host("stranger.internal", "")]
    world.broker.return_requests(asked)
    world.cloud.fail_next("find_hosts", ErrorKind.THROTTLED)
    world.broker.return_requests(asked)
    assert roster.noted(world.store.marks).unknown == ("stranger.internal",)


def test_a_list_that_cannot_be_noted_spoils_no_answer(world: World) -> None:
    request = world.have(2)
    world.clock.advance(600)
    (world.root / "hosts.json").mkdir()
    world.cloud.say(ids(request)[0], INTERRUPTION)
    assert [each.machine_id for each in world.broker.return_requests(hosts(request)[:1])] == ids(request)[:1]


# five thousand


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Request]]:
    """Five thousand machines, of five hundred requests."""
    world = World(tmp_path_factory.mktemp("many") / "state", [template()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        requests = [world.have(10) for _ in range(500)]
    world.clock.advance(600)
    return world, requests


def test_five_thousand_healthy_hosts_cost_one_look_and_no_write(
    many: tuple[World, list[Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, requests = many
    reads: list[str] = []
    real = Folder._read

    def read(self: Folder[Any], path: str) -> Any:
        reads.append(path)
        return real(self, path)

    monkeypatch.setattr(Folder, "_read", read)
    monkeypatch.setattr("hfplugin.files.write", kill)
    asked = hosts(*requests)
    world.cloud.calls.clear()
    began = time.process_time()
    assert world.broker.return_requests(asked) == []
    assert time.process_time() - began < 5
    assert world.cloud.calls == ["reclaimed", "observe"]
    assert len(reads) == len(set(reads)) == 500


def test_five_thousand_notices_cost_no_call_for_each(
    many: tuple[World, list[Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, requests = many
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    for request in requests:
        for machine_id in ids(request):
            world.cloud.say(machine_id, INTERRUPTION)
    asked = hosts(*requests)
    world.cloud.calls.clear()
    began = time.process_time()
    assert len(world.broker.return_requests(asked)) == 5000
    assert time.process_time() - began < 5
    assert world.cloud.calls == ["reclaimed", "observe", "acknowledge"]
