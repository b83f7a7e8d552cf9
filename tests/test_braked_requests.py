"""The brake in the life of requests: no demand, however often repeated, gets more than it lets through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_cloud import template
from world import World

from hfplugin.config import RequestSettings
from hfplugin.errors import ErrorKind, ProviderError, RefusedError
from hfplugin.model import Refusal, RequestStatus
from hfplugin.providers.base.provider import Host

LIMIT = 10


def world_of(tmp_path: Path, **extension: Any) -> World:
    offered = template(extension={"places": ["zone-a", "zone-b"], **extension})
    settings = RequestSettings(max_machines_per_hour=LIMIT)
    return World(tmp_path / "state", [offered], settings)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def room(world: World) -> int | None:
    return world.store.brake(world.clock.clock, LIMIT).room()


def test_a_request_gets_what_the_brake_lets_through_and_says_why_not_more(world: World) -> None:
    world.ask(4)
    request = world.poll(world.ask(9))
    assert (request.status, len(request.machines)) == (RequestStatus.COMPLETE, 6)
    assert "10 machines asked for within the last hour" in world.said(request)
    assert len(world.cloud.alive) == LIMIT


def test_at_its_limit_a_request_is_refused_until_the_hour_is_over(world: World) -> None:
    first = world.ask(LIMIT)
    with pytest.raises(RefusedError, match=r"requests\.maxMachinesPerHour is 10: raise it, or wait until"):
        world.ask(1)
    assert world.store.reasons()["small"]["reason"].startswith("template small: the brake holds")
    world.clock.advance(3700)
    assert len(world.poll(world.ask(LIMIT)).machines) == LIMIT
    assert len(world.poll(first).machines) == LIMIT


def test_machines_that_were_returned_count_for_all_that(world: World) -> None:
    request = world.poll(world.ask(LIMIT))
    world.broker.return_machines([Host("", machine.id) for machine in request.machines])
    with pytest.raises(RefusedError):
        world.ask(1)


def test_what_a_place_did_not_give_may_be_asked_for_elsewhere(world: World) -> None:
    world.cloud.capacity = {"zone-a": 4}
    request = world.poll(world.ask(LIMIT))
    assert len(request.machines) == LIMIT
    assert room(world) == 0


def test_the_brake_is_named_also_when_a_place_refused_in_the_same_second(world: World) -> None:
    world.ask(4)
    world.cloud.capacity = {"zone-a": 5}
    assert "maxMachinesPerHour is 10" in world.said(world.poll(world.ask(9)))


def test_what_nobody_gave_does_not_count(world: World) -> None:
    world.cloud.refusals = {
        zone: Refusal(ErrorKind.CAPACITY, "NoCapacity", "none left", zone) for zone in ("zone-a", "zone-b")
    }
    assert world.poll(world.ask(LIMIT)).status is RequestStatus.COMPLETE_WITH_ERROR
    assert room(world) == LIMIT


def test_an_answer_that_was_lost_counts_until_it_is_known(world: World) -> None:
    world.cloud.faults = {"launch": [ProviderError(ErrorKind.TRANSIENT, "ReadTimeout", "lost")]}
    request_id = world.ask(7)
    assert room(world) == LIMIT - 7
    assert len(world.poll(request_id).machines) == 7
    assert room(world) == LIMIT - 7


@pytest.mark.parametrize("kind", ["request", "maintain"])
def test_what_a_fleet_did_not_bring_is_given_back_when_it_is_stopped(tmp_path: Path, kind: str) -> None:
    world = world_of(tmp_path, source=kind)
    world.cloud.capacity = {"zone-a": 3, "zone-b": 0}
    request_id = world.ask(LIMIT)
    for _ in range(6):
        world.poll(request_id)
        world.clock.advance(120)
    request = world.poll(request_id)
    assert (request.is_closed, len(request.machines)) == (True, 3)
    assert room(world) == LIMIT - 3


@pytest.mark.parametrize(("units", "machines"), [(8, 2), (40, 10), (100, 10)])
def test_machines_count_not_units(tmp_path: Path, units: int, machines: int) -> None:
    world = world_of(tmp_path, weight=4)
    request = world.poll(world.ask(units))
    assert len(request.machines) == machines
    assert room(world) == LIMIT - machines


def test_without_a_limit_nothing_is_written(tmp_path: Path) -> None:
    world = World(tmp_path / "state", [template()])
    world.ask(1000)
    assert not (world.root / "launched.json").exists()


def test_all_or_nothing_launches_nothing_where_the_brake_lets_a_part_through(world: World) -> None:
    world.site.templates = [each._replace(all_or_nothing=True) for each in world.site.templates]
    world.ask(4)
    request = world.poll(world.ask(9))
    assert (request.status, request.launches) == (RequestStatus.COMPLETE_WITH_ERROR, ())
    assert room(world) == LIMIT - 4
    assert len(world.cloud.alive) == 4
