"""What is done though no call asks for it: abandoned requests, unfinished work, strays, lost records."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fake_cloud import template
from test_sources import World, fleet, usable

from hfplugin.errors import ErrorKind, RefusedError
from hfplugin.housekeeping import Housekeeping
from hfplugin.model import Launch, MachineState, Refusal, RequestStatus, Result
from hfplugin.providers.base.provider import Host, Inventory
from hfplugin.store import RETURN_PREFIX, new_id

TIMEOUT = 900


class House(World):
    """An installation whose housekeeping is called when a test says so."""

    @property
    def housekeeping(self) -> Housekeeping:
        return Housekeeping(self.store, self.site, self.clock.clock)

    def work(self, seconds: float) -> None:
        """Let HostFactory call every half minute for a while, about nothing in particular."""
        for _ in range(int(seconds / 30)):
            self.clock.advance(30)
            self.call()

    def call(self) -> None:
        """Let HostFactory make one call, with what any call does after its answer."""
        self.cloud.finish_terminations()
        self.store.marks.note_activity(self.clock())
        if self.store.marks.is_due(self.clock()):
            self.housekeeping.sweep(self.clock.clock.deadline(5))

    def kinds(self) -> list[str]:
        """Give what an inventory and the records show to be done."""
        keeper = self.housekeeping
        return [task.kind for task in [*keeper.unfinished(), *keeper.astray(self.cloud.inventory())]]

    def lose(self, request_id: str) -> None:
        Path(self.root, "requests", f"{request_id}.json").unlink()


@pytest.fixture
def house(tmp_path: Path) -> House:
    plain = template("plain", extension={"places": ["zone-a"]})
    return House(tmp_path / "state", [plain, fleet(), fleet("request", "once")])


TEMPLATES = ("plain", "fleet", "once")


# abandoned


@pytest.mark.parametrize("template_id", TEMPLATES)
def test_a_request_that_hostfactory_never_asked_about_is_given_back(house: House, template_id: str) -> None:
    house.ask(3, template_id)
    house.call()
    house.work(TIMEOUT - 120)
    assert len(house.cloud.alive) == 3
    house.work(1200)
    house.check_empty()


def test_a_late_poll_of_an_abandoned_request_hears_that_its_machines_failed(house: House) -> None:
    request_id = house.ask(2, "plain")
    house.call()
    house.work(TIMEOUT + 600)
    request = house.poll(request_id)
    assert request.status is RequestStatus.COMPLETE_WITH_ERROR
    assert {m.result for m in request.machines} == {Result.FAIL}
    assert {m.message for m in request.machines} == {"HostFactory never asked about this request: given back"}


def test_a_request_that_hostfactory_asked_about_once_is_kept(house: House) -> None:
    request_id = house.ask(2, "plain")
    house.poll(request_id)
    house.work(4 * TIMEOUT)
    house.check(house.poll(request_id))


@pytest.mark.parametrize("verb", ["getReturnRequests", "requestReturnMachines"])
def test_hostfactory_knows_of_a_request_whose_hosts_it_names(house: House, verb: str) -> None:
    request_id = house.ask(2, "plain")
    first, second = sorted(house.cloud.alive)
    if verb == "getReturnRequests":
        assert house.broker.return_requests([Host("", first)]) == []
    else:
        house.returned(first)
    house.work(4 * TIMEOUT)
    assert second in house.cloud.alive
    assert house.store.requests.load(request_id) is not None


def test_time_in_which_hostfactory_does_not_call_abandons_nothing(house: House) -> None:
    house.ask(2, "plain")
    house.call()
    house.clock.advance(10 * TIMEOUT)
    house.call()
    house.work(TIMEOUT - 120)
    assert len(house.cloud.alive) == 2


def test_a_clock_that_was_set_back_abandons_nothing(house: House) -> None:
    house.ask(2, "plain")
    house.call()
    for _ in range(5):
        house.clock.advance(-3600)
        house.call()
        house.clock.advance(3600)
        house.call()
    assert len(house.cloud.alive) == 2


def test_a_poll_just_before_it_is_withdrawn_keeps_a_request(house: House) -> None:
    """What the sweep found is looked at again under the request's lock."""
    request_id = house.ask(1, "plain")
    house.call()
    for _ in range(2 * TIMEOUT // 30):  # no call sweeps meanwhile
        house.clock.advance(30)
        house.store.marks.note_activity(house.clock())
    tasks = list(house.housekeeping.unfinished())
    assert [task.kind for task in tasks] == ["abandoned request"]
    house.poll(request_id)
    for task in tasks:
        task.do()
    house.check(house.poll(request_id))


def test_a_launch_without_an_answer_is_given_back_with_its_abandoned_request(house: House) -> None:
    house.cloud.lose_answers = 1
    house.ask(2, "plain")
    house.call()
    assert len(house.cloud.alive) == 2
    house.work(2 * TIMEOUT)
    house.check_empty()


def test_a_request_killed_before_it_launched_is_forgotten(house: House) -> None:
    house.cloud.before_launch = _killed
    with pytest.raises(KeyboardInterrupt):
        house.ask(2, "plain")
    house.cloud.before_launch = lambda launch: None
    house.call()
    house.work(2 * TIMEOUT)
    house.check_empty()


def _killed(launch: Launch) -> None:
    raise KeyboardInterrupt


# unfinished


def test_a_return_that_nobody_asks_about_is_finished(house: House) -> None:
    request = house.have(2, "plain")
    house.cloud.fail_next("release", ErrorKind.THROTTLED)
    house.give_back(*usable(request))
    assert len(house.cloud.alive) == 2
    house.work(300)
    house.check_empty()
    assert list(house.store.returns.live()) == []


def test_a_request_past_its_deadline_ends_though_nobody_asks(house: House) -> None:
    house.cloud.capacity["zone-a"] = 1
    request_id = house.ask(3)
    house.poll(request_id)
    house.work(3600)
    request = house.store.requests.load(request_id)
    assert request is not None
    assert request.is_closed
    house.cloud.capacity["zone-a"] = 5
    house.work(300)
    house.check(house.poll(request_id))


def test_what_a_closed_request_leaves_is_removed_though_nobody_returns_anything_more(house: House) -> None:
    request = house.have(2)
    house.cloud.fail_next("remove", ErrorKind.THROTTLED, 2)
    house.returned(*usable(request))
    assert house.cloud.left
    house.work(300)
    house.check_empty()


def test_a_sweep_goes_on_after_a_task_that_failed(house: House) -> None:
    first, second = house.have(1, "plain"), house.have(1)
    house.cloud.fail_next("release", ErrorKind.THROTTLED, 2)
    house.give_back(*usable(first))
    house.give_back(*usable(second))
    house.cloud.fail_next("observe", ErrorKind.TRANSIENT)
    house.work(600)
    house.check_empty()


def test_only_one_sweep_works_at_a_time(house: House) -> None:
    house.ask(1, "plain")
    house.clock.advance(120)
    with house.store.locks.hold("housekeeping", "", 0):
        if not os.fork():  # another process: the locks of one belong to it
            before = len(house.cloud.calls)
            house.call()
            os._exit(len(house.cloud.calls) - before)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0


def test_with_nothing_due_nothing_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.have(1, "plain")
    house.work(120)
    before = len(house.cloud.calls)
    due = house.store.marks.due_at()
    assert due > house.clock()
    house.call()
    assert len(house.cloud.calls) == before


def test_a_failed_machine_that_the_cloud_has_forgotten_is_not_waited_for(house: House) -> None:
    request = house.have(2, "plain")
    first = usable(request)[0]
    house.cloud.machines[first].state = MachineState.STOPPED
    house.cloud.fail_next("terminate", ErrorKind.THROTTLED)
    house.broker.return_requests([Host("", first)])
    del house.cloud.machines[first]
    house.work(600)
    record = house.store.requests.load(request.id)
    assert record is not None
    assert record.condemned == ()


def test_an_open_request_that_nobody_polls_any_more_comes_to_its_end(house: House) -> None:
    house.cloud.lose_answers = 2
    request_id = house.ask(2, "plain")
    assert not house.poll(request_id).is_closed
    house.work(3600)
    request = house.store.requests.load(request_id)
    assert request is not None
    assert request.is_closed
    house.check(request)


def test_a_clock_that_was_set_back_a_day_puts_nothing_off(house: House) -> None:
    request = house.have(2, "plain")
    house.cloud.fail_next("release", ErrorKind.THROTTLED)
    house.give_back(*usable(request))
    house.clock.advance(-86_400)
    house.work(300)
    assert house.cloud.alive == set()


# astray


def test_a_fleet_that_has_no_machine_yet_is_found_though_its_record_is_lost(house: House) -> None:
    house.cloud.source_seconds = 1000
    request_id = house.ask(2)
    house.lose(request_id)
    assert house.finish(request_id).status is RequestStatus.COMPLETE_WITH_ERROR
    house.work(2000)
    house.check_empty()


def test_a_machine_that_hostfactory_never_names_is_seen_to_be_gone(house: House) -> None:
    request = house.have(1, "once")
    house.kill(usable(request)[0])
    house.work(1500)
    record = house.store.requests.load(request.id)
    assert record is not None
    assert record.live_machines == ()
    assert house.cloud.left == set()


@pytest.mark.parametrize("verb", ["getRequestStatus", "getReturnRequests"])
def test_a_lost_state_is_looked_after_once_hostfactory_names_what_was_in_it(house: House, verb: str) -> None:
    request = house.have(2, "plain")
    shutil.rmtree(house.root)
    if verb == "getRequestStatus":
        house.broker.request_status([new_id(RETURN_PREFIX)])
    else:
        house.broker.return_requests([Host("", usable(request)[0])])
    house.call()
    assert house.store.requests.load(request.id) is not None
    house.check(request)


def test_a_restored_record_that_does_not_know_its_machines_abandons_none_that_hostfactory_names(
    house: House,
) -> None:
    house.cloud.source_seconds = 30
    path = Path(house.root, "requests", f"{house.ask(2)}.json")
    backup = path.read_bytes()
    house.clock.advance(60)
    hosts = [Host("", machine_id) for machine_id in usable(house.finish(path.stem))]
    path.write_bytes(backup)
    for _ in range(4 * TIMEOUT // 30):
        house.clock.advance(30)
        assert house.broker.return_requests(hosts) == []
        house.call()
    assert house.cloud.alive == {host.machine_id for host in hosts}


@pytest.mark.parametrize("template_id", TEMPLATES)
def test_a_lost_record_is_written_again_and_loses_no_machine(house: House, template_id: str) -> None:
    request = house.have(3, template_id)
    alive = house.cloud.alive
    house.lose(request.id)
    house.work(4 * TIMEOUT)
    assert house.cloud.alive == alive
    again = house.store.requests.load(request.id)
    assert again is not None
    assert {m.id for m in again.live_machines} == alive
    house.check(house.poll(request.id))


@pytest.mark.parametrize("template_id", TEMPLATES)
def test_machines_of_a_lost_record_are_returned_and_not_replaced(house: House, template_id: str) -> None:
    request = house.have(3, template_id)
    house.lose(request.id)
    house.returned(*usable(request)[:1])
    assert len(house.cloud.alive) == 2
    house.returned(*usable(request)[1:])
    house.work(300)
    house.check_empty()


def test_every_record_lost_loses_no_machine(house: House) -> None:
    requests = [house.have(2, template_id) for template_id in TEMPLATES]
    alive = house.cloud.alive
    for path in Path(house.root, "requests").iterdir():
        path.unlink()
    house.work(2 * TIMEOUT)
    assert house.cloud.alive == alive
    house.check(*requests)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 99}', b"\xff\x00", b"[]"])
def test_a_damaged_record_is_set_aside_and_written_again(house: House, content: bytes) -> None:
    request = house.have(2)
    path = Path(house.root, "requests", f"{request.id}.json")
    path.write_bytes(content)
    house.have(1, "plain")
    house.call()
    house.check(house.poll(request.id), *[r for r in house.store.requests.live() if r.id != request.id])
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == content


def test_a_machine_that_came_after_its_request_was_closed_is_given_back(house: House) -> None:
    request = house.have(2)
    house.kill(usable(request)[0])
    house.cloud._act()  # the fleet replaces it, and HostFactory asks about nothing
    assert len(house.cloud.alive) == 2
    house.work(900)
    assert house.cloud.alive == {usable(request)[1]}


def test_a_machine_that_comes_after_all_was_returned_and_archived_is_given_back(house: House) -> None:
    request = house.have(1, "plain")
    house.returned(*usable(request))
    (launch,) = request.launches
    late = house.cloud._make(launch)
    house.work(900)
    assert late.id not in house.cloud.alive
    house.check_empty()


def test_a_fleet_that_turns_up_after_its_launch_was_given_up_is_removed(house: House) -> None:
    house.cloud.lose_answers = 1
    request_id = house.ask(2)
    hidden, house.cloud.sources = house.cloud.sources, {}
    house.clock.advance(3600)  # past its deadline nothing is sent again
    request = house.finish(request_id)
    assert request.machines == ()
    house.cloud.sources = hidden
    house.work(900)
    house.check_empty()


def test_a_record_restored_from_a_backup_loses_no_machine(house: House) -> None:
    house.cloud.capacity["zone-a"] = 1
    house.site.templates = [template("plain")]
    house.cloud.refusals = {}
    request_id = house.ask(3, "plain")  # one in the first place, two in the second
    path = Path(house.root, "requests", f"{request_id}.json")
    newest = house.poll(request_id)
    assert len(newest.launches) > 1
    backup = newest._replace(launches=newest.launches[:1], generation=1)
    backup = backup._replace(machines=tuple(m for m in newest.machines if m.attempt == 1))
    path.unlink()
    house.store.requests.save(backup._replace(generation=0))
    house.work(4 * TIMEOUT)
    assert house.cloud.alive == {m.id for m in newest.machines}
    record = house.store.requests.load(request_id)
    assert record is not None
    assert {m.id for m in record.live_machines} == house.cloud.alive


def test_machines_of_another_installation_are_never_touched(house: House) -> None:
    request = house.have(2, "plain")
    for machine in house.cloud.machines.values():
        machine.tags = {**machine.tags, "installation": "another"}
    house.lose(request.id)
    house.work(4 * TIMEOUT)
    assert len(house.cloud.alive) == 2
    assert list(house.store.requests.live()) == []
    assert house.kinds() == []


def test_a_machine_that_runs_again_after_it_was_returned_is_ended_again(house: House) -> None:
    request = house.have(2, "plain")
    first, second = usable(request)
    house.returned(first)
    house.cloud.machines[first].state = MachineState.RUNNING
    house.work(600)
    assert house.cloud.alive == {second}


def test_an_inventory_that_fails_changes_nothing_and_is_made_again(house: House) -> None:
    request = house.have(2, "plain")
    house.lose(request.id)
    house.cloud.fail_next("inventory", ErrorKind.TRANSIENT)
    house.work(1200)
    assert [each.id for each in house.store.requests.live()] == [request.id]


def test_a_lost_record_is_not_written_without_the_fleet_that_could_not_be_seen(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = house.have(2)
    house.lose(request.id)
    whole = house.cloud.inventory

    def blind() -> Inventory:
        denied = Refusal(ErrorKind.AUTH, "UnauthorizedOperation", "no rights", "zone-a")
        return whole()._replace(sources=(), failures=(denied,))

    with monkeypatch.context() as patch:
        patch.setattr(house.cloud, "inventory", blind)
        house.work(900)
    assert list(house.store.requests.live()) == []
    house.work(900)
    house.returned(*usable(request))
    house.check_empty()


def test_a_spare_launch_template_is_removed_once_it_is_old(house: House) -> None:
    house.cloud.templates.add("spare")
    house.have(1)
    house.work(1800)
    assert "spare" in house.cloud.left
    house.work(3600)
    assert "spare" not in house.cloud.left
    assert "template" in house.cloud.left


# drained


def test_a_drained_provider_refuses_requests_and_goes_on_with_all_else(house: House) -> None:
    request = house.have(2)
    house.store.marks.set_drain("drained by root since 2026-01-01")
    with pytest.raises(RefusedError, match="drained by root since 2026-01-01"):
        house.ask(1)
    house.returned(*usable(request))
    house.check_empty()
    house.store.marks.set_drain("")
    house.have(1)
