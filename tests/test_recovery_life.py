"""Lost records, lost states and requests that nobody asks about, in whole calls on an emulated AWS."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any

import pytest
from player import ROLE, SERVICES, HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator

# Sources that live on beside their machines; of the other services only machines stay.
KEPT = ("EC2Fleet-maintain", "SpotFleet-maintain", "ASG")


class Life:
    """HostFactory with one template of a service, and what runs at AWS."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator, subnets: list[str], service: str) -> None:
        self.hostfactory = hostfactory
        self.emulator = emulator
        expiry = 10_000_000  # a request's validity ends by AWS's clock, which other tests have moved
        own = {"fleetRole": ROLE, "spotFleetRequestExpiry": expiry, **SERVICES[service]}
        hostfactory.offer(template(subnets[0], **own))

    def have(self, count: int) -> list[dict[str, Any]]:
        """Request machines, and poll until the request is no longer running."""
        request_id = self.hostfactory.request("small", count)
        for _ in range(8):
            [answer] = self.hostfactory.poll(request_id)
            if answer["status"] != "running":
                return list(answer["machines"])
        raise AssertionError(answer)

    @property
    def alive(self) -> list[str]:
        return sorted(machine.id for machine in self.emulator.alive())

    def give_back(self, hosts: list[dict[str, Any]]) -> None:
        """Return hosts and poll until they are gone."""
        return_id = self.hostfactory.give_back(*hosts)
        for _ in range(8):
            [answer] = self.hostfactory.poll(return_id)
            if answer["status"] != "running":
                break
        assert answer["status"] == "complete", answer

    def sweep(self) -> None:
        """Call a minute of HostFactory's activity later, when all that may ever be due is."""
        state = self.hostfactory.state
        (state / "inventory").unlink(missing_ok=True)
        os.utime(state / "due", (0, 0))
        a_minute_ago = time.time() - 60
        (state / "activity").touch()  # the first call of all may have been killed before it noted its own
        os.utime(state / "activity", (a_minute_ago, a_minute_ago))
        self.hostfactory.templates()

    def lose_records(self) -> None:
        for path in (self.hostfactory.state / "requests").iterdir():
            path.unlink()


@pytest.fixture
def life(hostfactory: HostFactory, emulator: Emulator, subnets: list[str], service: str) -> Life:
    return Life(hostfactory, emulator, subnets, service)


def ids(hosts: list[dict[str, Any]]) -> list[str]:
    return sorted(host["machineId"] for host in hosts)


@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-instant", *KEPT])
def test_machines_of_lost_records_stay_until_they_are_returned_and_are_not_replaced(life: Life) -> None:
    hosts = life.have(3)
    life.lose_records()
    for _ in range(2):
        life.sweep()
        assert life.alive == ids(hosts)
    life.give_back(hosts[:1])
    life.emulator.advance(600)
    assert life.alive == ids(hosts[1:])
    life.give_back(hosts[1:])
    life.sweep()
    assert life.alive == []
    # An instant fleet cannot tell of its launch template, which goes when it is an hour old.
    assert {each["kind"] for each in life.emulator.leftovers()} <= {"launch-template"}


@pytest.mark.parametrize("service", KEPT)
def test_a_return_finds_the_source_of_a_machine_whose_record_is_lost(life: Life) -> None:
    hosts = life.have(3)
    life.lose_records()
    life.give_back(hosts[:2])
    life.emulator.advance(600)
    assert life.alive == ids(hosts[2:])


@pytest.mark.scripts
@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-maintain"])
def test_a_lost_state_directory_loses_no_machine_and_every_return_is_final(life: Life) -> None:
    hosts = life.have(3)
    shutil.rmtree(life.hostfactory.state)
    life.have(1)
    life.sweep()
    life.sweep()
    assert set(ids(hosts)) <= set(life.alive)
    assert life.hostfactory.lost(*hosts) == []
    life.give_back(hosts)
    life.emulator.advance(600)
    assert len(life.alive) == 1


@pytest.mark.parametrize("service", ["RunInstances", "ASG"])
def test_a_request_that_hostfactory_never_heard_of_is_given_back_whole(life: Life) -> None:
    config = json.loads((life.hostfactory.conf / "awsinstprov_config.json").read_text())
    life.hostfactory.configure({**config, "requests": {"unclaimedTimeoutSeconds": 120}})
    # HostFactory kills the script and hears no id.
    process = life.hostfactory.start("requestMachines", demand("small", 3))
    give_up = time.monotonic() + 60
    while len(life.alive) < 3 and time.monotonic() < give_up:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    life.sweep()
    assert len(life.alive) == 3  # HostFactory may still ask
    for _ in range(3):
        life.sweep()
    assert life.alive == []
    life.emulator.advance(7200)
    life.sweep()
    assert life.emulator.leftovers() == []


@pytest.mark.parametrize("service", ["EC2Fleet-maintain"])
def test_two_installations_of_one_name_leave_each_other_alone(
    life: Life, tmp_path: Any, emulator: Emulator, subnets: list[str]
) -> None:
    hosts = life.have(2)
    other = HostFactory(tmp_path / "other")
    other.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
    neighbour = Life(other, emulator, subnets, "ASG")
    theirs = neighbour.have(2)
    for each in (life, neighbour):
        each.lose_records()
        each.sweep()
        each.sweep()
    assert life.alive == sorted(ids(hosts) + ids(theirs))
    for each, count in ((life, 1), (neighbour, 1)):
        assert len(list((each.hostfactory.state / "requests").glob("req-*.json"))) == count
