"""Several provider instances, of different kinds, served by one plug-in directory: each with what is its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from player import HostFactory, template
from simulated_cloud import MACHINE_TYPES

from hfplugin.emulator import REGION, Emulator

QUICK = {"bootSeconds": 0, "shutdownSeconds": 0}
OFFER = {"templateId": "small", "maxNumber": 100, "machineTypes": MACHINE_TYPES}


@pytest.fixture
def aws_instance(tmp_path: Path, emulator: Emulator, subnets: list[str]) -> HostFactory:
    instance = HostFactory(tmp_path / "aws", "prodaws")
    instance.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
    instance.offer(template(subnets[0]))
    return instance


@pytest.fixture
def simulated_instance(tmp_path: Path) -> HostFactory:
    instance = HostFactory(tmp_path / "simulated", "labsim")
    instance.configure({"providerType": "simulated", "simulated": QUICK})
    instance.offer(OFFER)
    return instance


def files(instance: HostFactory) -> set[Path]:
    return {path for top in (instance.work, instance.log) for path in top.rglob("*") if path.is_file()}


def test_two_kinds_work_side_by_side_and_neither_touches_the_others_files(
    aws_instance: HostFactory, simulated_instance: HostFactory, emulator: Emulator
) -> None:
    from_aws = aws_instance.machines("small", 2)
    before = files(aws_instance)
    simulated = simulated_instance.machines("small", 3)
    assert files(aws_instance) == before
    assert {machine["machineId"] for machine in from_aws} == {machine.id for machine in emulator.alive()}
    assert {tags.tags["hfplugin:provider"] for tags in emulator.alive()} == {"prodaws"}

    assert simulated_instance.returned(*simulated)["status"] == "complete"
    assert len(emulator.alive()) == 2
    assert aws_instance.returned(*from_aws)["status"] == "complete"
    assert emulator.alive() == []


def test_what_one_instance_launched_is_nothing_to_the_other(
    aws_instance: HostFactory, simulated_instance: HostFactory, emulator: Emulator
) -> None:
    request_id = aws_instance.request("small", 1)
    [machine] = aws_instance.poll(request_id)[0]["machines"]
    [unknown] = simulated_instance.poll(request_id)
    assert (unknown["status"], unknown["machines"]) == ("complete_with_error", [])
    assert simulated_instance.returned(machine)["status"] == "complete"
    assert [each.id for each in emulator.alive()] == [machine["machineId"]]


def test_two_instances_of_one_kind_share_one_cloud_and_no_machine(tmp_path: Path) -> None:
    instances = [HostFactory(tmp_path / name, name) for name in ("east", "west")]
    shared = {**QUICK, "directory": str(tmp_path / "cloud"), "capacity": {"here": 3}}
    for instance in instances:
        instance.configure({"providerType": "simulated", "simulated": shared})
        instance.offer(OFFER)
    east, west = instances
    machines = east.machines("small", 2)
    [answer] = west.poll(west.request("small", 2))
    assert len(answer["machines"]) == 1, "the cloud has room for three in all"
    assert west.returned(*machines)["status"] == "complete"
    shutil.rmtree(east.state / "requests")
    assert len(east.returned(*machines)["machines"]) == 2
    assert len(west.machines("small", 2)) == 2
