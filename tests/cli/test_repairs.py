"""The commands that change the state by hand: reconcile, release, drain, state verify, rebuild and prune."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from front_door import Called, call
from player import HostFactory, template

from hfplugin.emulator import Emulator
from hfplugin.store import FileStore


def run(hostfactory: HostFactory, *arguments: str, answer: str = "") -> Called:
    return call(*arguments, environment=hostfactory.environment, stdin=answer)


@pytest.fixture
def fleet(hostfactory: HostFactory, subnets: list[str]) -> HostFactory:
    """A provider instance whose machines come from a fleet that replaces what it loses."""
    hostfactory.offer(template(subnets[0], providerApi="EC2Fleet", fleetType="maintain"))
    return hostfactory


def have(hostfactory: HostFactory, count: int) -> tuple[str, list[dict[str, Any]]]:
    request_id = hostfactory.request("small", count)
    for _ in range(8):
        [answer] = hostfactory.poll(request_id)
        if answer["status"] != "running":
            return request_id, answer["machines"]
    raise AssertionError(answer)


def record_of(hostfactory: HostFactory, request_id: str) -> Path:
    return hostfactory.state / "requests" / f"{request_id}.json"


def alive(emulator: Emulator) -> set[str]:
    return {machine.id for machine in emulator.alive()}


class TestReconcile:
    def test_with_nothing_astray_it_says_so(self, fleet: HostFactory) -> None:
        have(fleet, 1)
        called = run(fleet, "reconcile")
        assert (called.status, called.stderr) == (0, "")
        assert "the records and the cloud agree" in called.stdout

    def test_it_shows_a_lost_request_and_changes_nothing_until_told_to(
        self, fleet: HostFactory, emulator: Emulator
    ) -> None:
        request_id, machines = have(fleet, 2)
        record_of(fleet, request_id).unlink()
        shown = run(fleet, "reconcile")
        assert f"to do: lost request {request_id}: no record, but 2 machines and 1 source" in shown.stdout
        assert not record_of(fleet, request_id).exists()

        done = run(fleet, "reconcile", "--apply")
        assert (done.status, done.stderr) == (0, "")
        assert f"done: lost request {request_id}" in done.stdout
        assert record_of(fleet, request_id).exists()
        assert alive(emulator) == {machine["machineId"] for machine in machines}

    def test_it_is_json_for_programs(self, fleet: HostFactory) -> None:
        request_id, _ = have(fleet, 1)
        record_of(fleet, request_id).unlink()
        found = json.loads(run(fleet, "reconcile", "--json").stdout)
        assert [(task["task"], task["subject"]) for task in found["tasks"]] == [("lost request", request_id)]
        assert (found["otherInstallations"], found["failures"]) == ({}, [])

    def test_machines_of_another_installation_are_counted_and_left_alone(
        self, fleet: HostFactory, emulator: Emulator
    ) -> None:
        have(fleet, 2)
        installation = (fleet.state / "installation").read_text().strip()
        shutil.rmtree(fleet.state)
        called = run(fleet, "reconcile", "--apply")
        assert f"left alone: 2 machines of installation {installation}" in called.stdout
        assert len(alive(emulator)) == 2

    def test_a_cloud_that_cannot_be_asked_is_said(self, fleet: HostFactory, emulator: Emulator) -> None:
        have(fleet, 1)
        emulator.fault("error", action="DescribeInstances", code="UnauthorizedOperation")
        called = run(fleet, "reconcile")
        assert called.status == 1
        assert "UnauthorizedOperation" in called.stderr


class TestRelease:
    def test_everything_of_a_request_is_given_back_and_hostfactory_hears_of_it(
        self, fleet: HostFactory, emulator: Emulator
    ) -> None:
        request_id, machines = have(fleet, 3)
        called = run(fleet, "release", "--request", request_id, "--yes")
        assert (called.status, called.stderr) == (0, "")
        emulator.advance(600)
        assert alive(emulator) == set()
        assert {each["machineId"] for each in fleet.lost(*machines)} == {each["machineId"] for each in machines}
        [answer] = fleet.poll(request_id)
        assert {each["result"] for each in answer["machines"]} == {"fail"}
        assert "given back by" in answer["machines"][0]["message"]

    @pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("y\n", 0)])
    def test_it_asks_first(self, fleet: HostFactory, emulator: Emulator, answer: str, left: int) -> None:
        request_id, _ = have(fleet, 2)
        called = run(fleet, "release", "--request", request_id, answer=answer)
        assert f"{request_id}: terminate 2 machines of template small" in called.stderr
        emulator.advance(600)
        assert len(alive(emulator)) == left

    @pytest.mark.parametrize("request_id", ["req-11111111-1111-4111-8111-111111111111", "../installation"])
    def test_an_unknown_id_is_refused(self, fleet: HostFactory, request_id: str) -> None:
        called = run(fleet, "release", "--request", request_id, "--yes")
        assert called.status == 1
        assert f"no record of request {request_id}" in called.stderr


def test_drained_means_no_new_requests_and_all_else_goes_on(fleet: HostFactory, emulator: Emulator) -> None:
    request_id, machines = have(fleet, 2)
    assert run(fleet, "drain", "on").status == 0
    assert "no new requests: drained by" in fleet.refused(
        "requestMachines", {"template": {"templateId": "small", "machineCount": 1}}
    )
    assert "drained by" in run(fleet, "status").stdout
    assert fleet.poll(request_id)[0]["status"] == "complete"
    fleet.returned(*machines)
    assert alive(emulator) == set()
    assert run(fleet, "drain", "off").status == 0
    have(fleet, 1)


class TestState:
    def test_good_records_are_counted(self, fleet: HostFactory) -> None:
        _, machines = have(fleet, 2)
        fleet.returned(machines[0])
        called = run(fleet, "state", "verify")
        assert (called.status, called.stderr) == (0, "")
        assert "live requests: 1 good" in called.stdout
        assert "archived returns: 1 good" in called.stdout

    @pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 99, "id": "x"}'])
    def test_a_damaged_record_is_named_and_left_as_it_is(self, fleet: HostFactory, content: bytes) -> None:
        request_id, _ = have(fleet, 1)
        record_of(fleet, request_id).write_bytes(content)
        called = run(fleet, "state", "verify")
        assert called.status == 1
        assert f"wrong: {record_of(fleet, request_id)}" in called.stdout
        assert record_of(fleet, request_id).read_bytes() == content
        assert json.loads(run(fleet, "state", "verify", "--json").stdout)["faults"]

    def test_records_are_rebuilt_after_the_whole_state_was_lost(
        self, fleet: HostFactory, emulator: Emulator
    ) -> None:
        request_id, machines = have(fleet, 2)
        installation = (fleet.state / "installation").read_text().strip()
        shutil.rmtree(fleet.state)
        assert "no record is lost" in run(fleet, "state", "rebuild").stdout
        called = run(fleet, "state", "rebuild", "--installation", installation)
        assert (called.status, called.stderr) == (0, "")
        assert f"{request_id}: 2 machines of template small" in called.stdout
        fleet.returned(*machines)
        emulator.advance(600)
        assert alive(emulator) == set()

    def test_old_records_are_deleted_and_young_ones_kept(self, fleet: HostFactory) -> None:
        _, machines = have(fleet, 1)
        fleet.returned(*machines)
        (today,) = (fleet.state / "archive").iterdir()
        count = len(list(today.iterdir()))
        assert "0 archived records deleted" in run(fleet, "state", "prune").stdout
        os.rename(today, today.with_name("2020-01-01"))
        assert f"{count} archived records deleted" in run(fleet, "state", "prune").stdout
        assert list((fleet.state / "archive").iterdir()) == []

    def test_who_did_it_is_logged(self, fleet: HostFactory) -> None:
        run(fleet, "drain", "on")
        (path,) = fleet.log.iterdir()
        last = json.loads(path.read_text().splitlines()[-1])
        assert last["event"] == "provider.drained"
        assert last["user"]


def test_a_store_that_was_never_used_has_nothing_wrong(hostfactory: HostFactory) -> None:
    called = run(hostfactory, "state", "verify")
    assert (called.status, called.stdout) == (0, "there are no records\n")
    assert not FileStore(str(hostfactory.state)).marks.drain()
