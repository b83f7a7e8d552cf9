"""What HostFactory was told is what runs: drawn templates, troubles, losses and orders of calls, some at once.

The real AWS provider plays against the emulator, whose time is the broker's.

HFPLUGIN_HISTORIES says how many histories are played of each service; one in the normal suite.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from player import ROLE, SERVICES, HostFactory, template

from hfplugin.broker import Broker
from hfplugin.clock import Clock
from hfplugin.emulator import REGION, Emulator
from hfplugin.environment import Environment
from hfplugin.errors import RefusedError
from hfplugin.model import Machine, Request, RequestStatus, Result, Return
from hfplugin.providers.aws import purchase
from hfplugin.providers.base.provider import Host
from hfplugin.site import ConfiguredSite
from hfplugin.store import FileStore

HISTORIES = int(os.environ.get("HFPLUGIN_HISTORIES", "1"))

# What cannot be bought through a service; spot machines are bought instead.
UNSERVED = {"RunInstances": ("heterogeneous",), "SpotFleet": ("ondemand",)}

ACTIONS = (
    "CreateFleet",
    "ModifyFleet",
    "DeleteFleets",
    "RunInstances",
    "RequestSpotFleet",
    "ModifySpotFleetRequest",
    "CancelSpotFleetRequests",
    "CreateAutoScalingGroup",
    "UpdateAutoScalingGroup",
    "DeleteAutoScalingGroup",
    "TerminateInstanceInAutoScalingGroup",
    "TerminateInstances",
    "CreateLaunchTemplate",
    "DeleteLaunchTemplate",
    "Describe*",
)


class Trouble(NamedTuple):
    """A fault that strikes calls of one action."""

    kind: str
    action: str
    skip: int
    times: int


class Step(NamedTuple):
    """One call of HostFactory, several at once, a loss, or the passing of time; `number` says how many or long."""

    verb: str
    number: int


VERBS = ["request", "poll", "poll", "poll", "return", "return", "return_all", "together", "lose", "report", "wait"]
STEPS = st.lists(st.builds(Step, st.sampled_from(VERBS), st.integers(1, 5)), min_size=5, max_size=14)
TROUBLES = st.lists(
    st.builds(
        Trouble,
        st.sampled_from(["drop_before", "drop_after", "throttle"]),
        st.sampled_from(ACTIONS),
        st.integers(0, 2),
        st.integers(1, 2),
    ),
    max_size=3,
)
KEYS = st.fixed_dictionaries(
    {
        "subnets": st.integers(1, 3),
        "priceType": st.sampled_from(["ondemand", "spot", "heterogeneous"]),
        "spotFleetRequestExpiry": st.sampled_from([2, 30, 10_000]),
    },
    optional={"vmTypes": st.just({"m5.large": 1, "m5.xlarge": 2}), "percentOnDemand": st.just(40)},
)
SURROUNDINGS = st.fixed_dictionaries(
    {"boot_seconds": st.sampled_from([0, 20]), "fleet_seconds": st.sampled_from([0, 10])},
    optional={
        "capacity": st.dictionaries(
            st.sampled_from([f"{REGION}/*/{REGION}{zone}{kind}" for zone in "abc" for kind in ("", "/spot")]),
            st.integers(0, 4),
            max_size=3,
        )
    },
)


class History:
    """One HostFactory and its provider: what it asked for, what it was told, and the checks."""

    def __init__(self, top: Path, emulator: Emulator, service: str, keys: dict[str, Any]) -> None:
        self.emulator = emulator
        self.requests: dict[str, Request | None] = {}
        self.returns: dict[str, bool] = {}
        self.taken: set[str] = set()
        self.lost: dict[str, str] = {}
        self.offset = emulator.advance(0) - time.time()
        subnets = sorted(emulator.ec2().describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])
        hostfactory = HostFactory(top)
        hostfactory.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
        own = SERVICES[service] | {key: value for key, value in keys.items() if key != "subnets"}
        if own["priceType"] != "ondemand":
            own |= {"fleetRole": ROLE}
        places = ",".join(each["SubnetId"] for each in subnets[: keys["subnets"]])
        hostfactory.offer(template(places, maxNumber=1000, **own))
        self._environment = Environment(hostfactory.environment)

    @property
    def _broker(self) -> Broker:
        """Give a broker with clients and connections of its own, as every call is a new process."""
        return self._broker_on(FileStore(self._environment.state_dir))

    def _broker_on(self, store: FileStore) -> Broker:
        site = ConfiguredSite(self._environment, store, is_strict=True)
        return Broker(store, site, Clock(now=lambda: time.time() + self.offset), time_limit=200)

    def play(self, step: Step) -> None:
        plays: dict[str, Callable[[int], None]] = {
            "request": self.request,
            "poll": lambda number: self.poll(),
            "return": lambda number: self._give_back(sorted(self.usable)[:number]),
            "return_all": lambda number: self._give_back(sorted(self.usable)),
            "together": self.together,
            "lose": self.lose,
            "report": lambda number: self.report(),
            "wait": lambda number: self.wait(number * 20),
        }
        plays[step.verb](step.number)
        self.check()

    def request(self, units: int) -> None:
        with suppress(RefusedError):  # refused with a reason: HostFactory has nothing to ask about
            self.requests[self._broker.request_machines("small", units).id] = None

    def poll(self) -> None:
        self._hear(self._broker.request_status([*self.requests, *self.returns]))

    def _hear(self, records: Iterable[object]) -> None:
        for record in records:
            if isinstance(record, Request):
                before = self.requests[record.id]
                assert before is None or not before.is_closed or before.status is record.status
                failed = {m.id for m in before.machines if m.result is Result.FAIL} if before else set()
                assert not failed & {m.id for m in record.machines if m.result is not Result.FAIL}
                self.requests[record.id] = record
            elif isinstance(record, Return):
                self.returns[record.id] = record.is_closed

    def _give_back(self, machine_ids: list[str]) -> None:
        if machine_ids:
            self.returns[self._broker.return_machines(_hosts(machine_ids)).id] = False
            self.taken |= {*machine_ids}

    def together(self, count: int) -> None:
        """Return machines in two calls that share some of them, while a third one polls."""
        usable = sorted(self.usable)
        parts = [part for part in (usable[:count], usable[count // 2 : count + 2]) if part]
        known = [*self.requests, *self.returns]
        store = FileStore(self._environment.state_dir)  # threads are kept apart by one store's table of locks
        with ThreadPoolExecutor() as pool:
            calls = [pool.submit(self._broker_on(store).return_machines, _hosts(part)) for part in parts]
            polled = pool.submit(self._broker_on(store).request_status, known)
        self.returns |= {call.result().id: False for call in calls}
        self.taken |= {machine_id for part in parts for machine_id in part}
        self._hear(polled.result())

    def lose(self, number: int) -> None:
        """Take machines away outside of any call: spot machines with or without a notice."""
        for machine in sorted(self.emulator.alive())[: (number + 1) // 2]:
            self.lost[machine.id] = machine.tags["hfplugin:request-id"]
            if machine.purchase == "spot":
                self.emulator.interrupt(machine.id, notice_seconds=120 if number % 2 else 0)
            else:
                self.emulator.terminate(machine.id)

    def report(self) -> None:
        """Ask which hosts are lost, and return these as HostFactory does."""
        named = {each.machine_id for each in self._broker.return_requests(_hosts(sorted(self.usable)))}
        assert named <= self.lost.keys(), "called lost, and nobody took it"
        self._give_back(sorted(named))

    def wait(self, seconds: int) -> None:
        self.emulator.advance(seconds)
        self.offset += seconds

    @property
    def usable(self) -> set[str]:
        told = [
            machine.id
            for request in self.requests.values()
            for machine in (request.machines if request else ())
            if machine.result is Result.SUCCEED
        ]
        assert len(told) == len({*told}), "told twice"
        return {*told} - self.taken

    def check(self) -> None:
        """All that may be used runs; of a request that is closed and lost nothing, nothing else does."""
        alive = {machine.id: machine.tags["hfplugin:request-id"] for machine in self.emulator.alive()}
        usable = self.usable
        assert usable <= {*alive, *self.lost}
        told = {id_: request for id_, request in self.requests.items() if request and request.is_closed}
        condemned = {machine.id for request in told.values() for machine in request.condemned}
        calm = told.keys() - self.lost.values()
        strangers = {each for each, owner in alive.items() if owner in calm} - usable - self.taken - condemned
        assert not strangers, "alive, and HostFactory does not know"
        for request in told.values():
            ready = [m for m in request.machines if m.id in usable - self.lost.keys()]
            assert _units(ready) < request.units + max((m.units for m in ready), default=1)

    def end(self) -> None:
        """Let everything come to its end, and give everything back."""
        self.emulator.lift()
        for _ in range(60):
            self.poll()
            self.check()
            if all(request and request.is_closed for request in self.requests.values()):
                break
            self.wait(30)
        statuses = [request.status for request in self.requests.values() if request]
        assert RequestStatus.RUNNING not in statuses
        self._settle()
        assert {machine.id for machine in self.emulator.alive()} == self.usable
        self._give_back(sorted(self.usable)[::2])  # the others stay, and nothing comes in place of these
        self._settle()
        assert {machine.id for machine in self.emulator.alive()} == self.usable
        self._give_back(sorted(self.usable))
        self._settle()
        assert self.emulator.alive() == []
        assert self.emulator.leftovers() == []

    def _settle(self) -> None:
        """Go on as HostFactory does: ask what is lost, return it, poll."""
        for _ in range(8):
            self.report()
            self.poll()
            self.check()
            self.wait(30)
        assert all(self.returns.values())
        for _ in range(3):  # what is left of closed requests is done by any return
            self.returns[self._broker.return_machines(_hosts(["i-0fffffffffffffff0"])).id] = False
            self.poll()
            self.wait(60)


def _hosts(machine_ids: Iterable[str]) -> list[Host]:
    return [Host("", each) for each in machine_ids]


def _units(machines: Iterable[Machine]) -> int:
    return sum(machine.units for machine in machines)


@pytest.mark.parametrize("service", SERVICES)
def test_what_hostfactory_was_told_is_what_runs(
    running_emulator: Emulator, credentials: None, service: str
) -> None:
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(keys=KEYS, surroundings=SURROUNDINGS, troubles=TROUBLES, steps=STEPS)
    def play(
        keys: dict[str, Any], surroundings: dict[str, Any], troubles: list[Trouble], steps: list[Step]
    ) -> None:
        if keys["priceType"] in UNSERVED.get(service.partition("-")[0], ()):
            keys = keys | {"priceType": "spot"}
        running_emulator.reset()
        running_emulator.configure(**surroundings)
        with TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
            history = History(Path(top), running_emulator, service, keys)
            until = purchase.valid_until
            patch.setattr(purchase, "valid_until", lambda drawn, now: until(drawn, now + history.offset))
            for trouble in troubles:
                running_emulator.fault(**trouble._asdict())
            history.request(3)
            for step in steps:
                history.play(step)
            history.end()

    play()
