"""Twenty real calls at once: every machine is accounted for, also where a file system's locks do not hold."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import front_door
import pytest
from player import Answer, HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator
from hfplugin.locks import Locks

# Of all sources it has the most to be raced for: a target, a launch template, what it replaces.
MAINTAINED = {"providerApi": "EC2Fleet", "fleetType": "maintain"}

# What a poll, and what any call, may wait for others beside what it takes anyway.
_POLL_SECONDS = 4.0
_WAIT_SECONDS = 6.0

Call = tuple[str, dict[str, Any]]


class WithoutLocks(HostFactory):
    """HostFactory's calls on a file system that says yes to every lock."""

    def start(self, verb: str, message: dict[str, Any]) -> subprocess.Popen[str]:
        file = next(self._inputs)
        file.write_text(json.dumps(message))
        before = "import fcntl; fcntl.lockf = lambda *arguments: None"
        return subprocess.Popen(
            front_door.command(verb, "-f", file, before=before),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd="/",
            text=True,
        )


@pytest.fixture(params=[HostFactory, WithoutLocks], ids=["locks", "no-locks"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> HostFactory:
    """HostFactory on a file system whose locks hold, and on one whose locks do not."""
    return configured(request.param(tmp_path / "anywhere"), emulator)


def configured(hostfactory: HostFactory, emulator: Emulator) -> HostFactory:
    hostfactory.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
    return hostfactory


def at_once(hostfactory: HostFactory, calls: Sequence[Call]) -> list[Answer]:
    """Make all calls at the same time and give their answers, in order."""
    answers = []
    for process in [hostfactory.start(verb, message) for verb, message in calls]:
        stdout, stderr = process.communicate(timeout=120)
        answers.append(Answer(process.returncode, json.loads(stdout), stderr))
    return answers


def polling(*record_ids: str) -> Call:
    return "getRequestStatus", {"requests": [{"requestId": each} for each in record_ids]}


def returning(*machine_ids: str) -> Call:
    return "requestReturnMachines", {"machines": [{"machineId": each} for each in machine_ids]}


def asking_for_lost(machine_ids: Iterable[str]) -> Call:
    return "getReturnRequests", {"machines": [{"machineId": each} for each in machine_ids]}


def ended(hostfactory: HostFactory, record_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Poll until none of these is running any more, and give what was said of each."""
    for _ in range(20):
        answers = hostfactory.poll(*record_ids)
        if all(each["status"] != "running" for each in answers):
            return answers
        time.sleep(0.2)
    raise AssertionError(answers)


def machine_ids(answers: Iterable[dict[str, Any]]) -> list[str]:
    return [machine["machineId"] for answer in answers for machine in answer["machines"]]


def alive(emulator: Emulator) -> list[str]:
    return sorted(machine.id for machine in emulator.alive())


def test_twenty_calls_of_all_verbs_at_once_account_for_every_machine(
    anywhere: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    anywhere.offer(template(subnets[0], **MAINTAINED))
    known = [anywhere.request("small", 3) for _ in range(2)]
    held = machine_ids(ended(anywhere, known))
    assert len(set(held)) == 6
    leaving = held[:4]
    answers = at_once(
        anywhere,
        [
            *[("requestMachines", demand("small", 2))] * 6,
            *map(returning, leaving),
            *[polling(*known)] * 4,
            *[asking_for_lost(held[4:])] * 3,
            *[("getAvailableTemplates", {})] * 3,
        ],
    )
    assert [answer.status for answer in answers] == [0] * 20, answers
    new = [answer.document["requestId"] for answer in answers[:6]]
    returns = [answer.document["requestId"] for answer in answers[6:10]]
    assert len({*new, *returns}) == 10
    for answer in answers[10:14]:
        assert [each["status"] for each in answer.document["requests"]] == ["complete"] * 2
    assert all(answer.document["requests"] == [] for answer in answers[14:17])
    requested = ended(anywhere, new)
    assert [(each["status"], len(each["machines"])) for each in requested] == [("complete", 2)] * 6
    assert [each["status"] for each in ended(anywhere, returns)] == ["complete"] * 4
    emulator.advance(600)  # time for a fleet to replace what it should not
    assert alive(emulator) == sorted([*held[4:], *machine_ids(requested)])


def test_each_machine_of_twenty_returns_at_once_is_ended_by_one_call(
    hostfactory: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    hostfactory.offer(template(subnets[0], **MAINTAINED))
    held = machine_ids(ended(hostfactory, [hostfactory.request("small", 10), hostfactory.request("small", 10)]))
    emulator.forget_calls()
    answers = at_once(hostfactory, [returning(each) for each in held])
    assert [answer.status for answer in answers] == [0] * 20, answers
    said = ended(hostfactory, [answer.document["requestId"] for answer in answers])
    assert sorted(machine_ids(said)) == sorted(held)
    assert {each["status"] for each in said} == {"complete"}
    emulator.advance(600)
    assert alive(emulator) == []
    ended_by = [each for call in emulator.calls("TerminateInstances") for each in call["params"]["InstanceIds"]]
    assert sorted(ended_by) == sorted(held)


def test_many_polls_at_once_of_a_request_without_an_answer_launch_once(
    anywhere: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    anywhere.offer(template(subnets[0]))
    fault = emulator.fault("throttle", action="RunInstances")
    request_id = anywhere.request("small", 3)
    emulator.lift(fault)
    answers = at_once(anywhere, [polling(request_id)] * 12)
    assert [answer.status for answer in answers] == [0] * 12, answers
    [said] = ended(anywhere, [request_id])
    assert (said["status"], len(said["machines"])) == ("complete", 3)
    assert sorted(machine_ids([said])) == sorted(machine.id for machine in emulator.machines())


def test_max_number_is_kept_when_twenty_ask_at_once(hostfactory: HostFactory, emulator: Emulator) -> None:
    answers = at_once(hostfactory, [("requestMachines", demand("few", 1))] * 20)
    granted = [answer.document["requestId"] for answer in answers if answer.status == 0]
    assert len(granted) == 3
    assert len(machine_ids(ended(hostfactory, granted))) == len(alive(emulator)) == 3


def test_a_record_that_another_call_works_on_is_answered_from_what_is_known(hostfactory: HostFactory) -> None:
    request_id = hostfactory.request("small", 2)
    known = ended(hostfactory, [request_id])
    locks = Locks(str(hostfactory.state / "locks"))
    began = time.monotonic()
    hostfactory.poll(request_id)
    usual = time.monotonic() - began
    with locks.hold("request", request_id, 0):
        began = time.monotonic()
        assert hostfactory.poll(request_id) == known
        assert time.monotonic() - began < usual + _POLL_SECONDS


def test_no_call_waits_long_for_what_another_call_holds(hostfactory: HostFactory) -> None:
    began = time.monotonic()
    hosts = hostfactory.machines("small", 2)
    usual = time.monotonic() - began
    request_id = hostfactory.request("small", 1)
    locks = Locks(str(hostfactory.state / "locks"))
    with contextlib.ExitStack() as held:
        for kind, key in (("request", request_id), ("template", "small"), ("housekeeping", "")):
            held.enter_context(locks.hold(kind, key, 0))
        for verb, message in (
            polling(request_id),
            ("requestMachines", demand("small", 1)),
            returning(hosts[0]["machineId"]),
            asking_for_lost([hosts[1]["machineId"]]),
        ):
            began = time.monotonic()
            hostfactory.call(verb, message)
            assert time.monotonic() - began < usual + _WAIT_SECONDS, verb
    assert len(machine_ids(ended(hostfactory, [request_id]))) == 1


def test_demands_at_once_stay_under_the_ceiling(
    anywhere: HostFactory, emulator: Emulator, subnets: list[str]
) -> None:
    """Without locks fewer may come than there is room for: then both of two that collide stand back."""
    emulator.configure(prices={f"{REGION}/m5.large": 0.1})
    section = {"region": REGION, "endpointUrl": emulator.url}
    anywhere.configure({"providerType": "aws", "aws": section, "requests": {"maxCostPerHour": 0.5}})
    anywhere.offer(template(subnets[0]))
    answers = at_once(anywhere, [("requestMachines", demand("small", 2))] * 10)
    assert all("maxCostPerHour" in answer.message for answer in answers if answer.status)
    assert len(alive(emulator)) <= 5
    accepted = [answer.document["requestId"] for answer in answers if not answer.status]
    ended(anywhere, accepted)
    assert len(alive(emulator)) == 5
