"""What HostFactory was told is what runs: drawn templates, troubles and orders of calls, on the real AWS provider.

HFPLUGIN_HISTORIES says how many histories are played of each service; one in the normal suite.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from player import HostFactory, template

from hfplugin.broker import Broker
from hfplugin.clock import Clock
from hfplugin.emulator import REGION, Emulator
from hfplugin.environment import Environment
from hfplugin.errors import HFPluginError
from hfplugin.model import Request, RequestStatus, Result, Return
from hfplugin.providers.base.provider import Host
from hfplugin.site import ConfiguredSite
from hfplugin.store import FileStore

HISTORIES = int(os.environ.get("HFPLUGIN_HISTORIES", "1"))

SERVICES: dict[str, dict[str, Any]] = {
    "RunInstances": {"providerApi": "RunInstances"},
    "EC2Fleet-instant": {"providerApi": "EC2Fleet", "fleetType": "instant"},
    "EC2Fleet-request": {"providerApi": "EC2Fleet", "fleetType": "request"},
    "EC2Fleet-maintain": {"providerApi": "EC2Fleet", "fleetType": "maintain"},
    "SpotFleet-request": {"providerApi": "SpotFleet", "fleetType": "request"},
    "SpotFleet-maintain": {"providerApi": "SpotFleet", "fleetType": "maintain"},
    "ASG": {"providerApi": "ASG"},
}
ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"

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
    """One call of HostFactory, or the passing of time; `number` says how many, which or how long."""

    verb: str
    number: int


STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(["request", "poll", "poll", "poll", "return", "return", "wait"]), st.integers(1, 5)
    ),
    min_size=4,
    max_size=12,
)
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
    {"subnets": st.integers(1, 3), "priceType": st.sampled_from(["ondemand", "spot", "heterogeneous"])},
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
        self._offset = emulator.advance(0) - time.time()
        subnets = sorted(emulator.ec2().describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])
        hostfactory = HostFactory(top)
        hostfactory.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
        own = {key: value for key, value in keys.items() if key != "subnets"} | SERVICES[service]
        if own["priceType"] != "ondemand":
            own |= {"fleetRole": ROLE}
        places = ",".join(each["SubnetId"] for each in subnets[: keys["subnets"]])
        hostfactory.offer(template(places, maxNumber=1000, spotFleetRequestExpiry=10_000_000, **own))
        self._environment = Environment(hostfactory.environment)

    @property
    def _broker(self) -> Broker:
        """Give a broker with clients and connections of its own, as every call is a new process."""
        store = FileStore(self._environment.state_dir)
        site = ConfiguredSite(self._environment, store, is_strict=True)
        return Broker(store, site, Clock(now=lambda: time.time() + self._offset), time_limit=200)

    def play(self, step: Step) -> None:
        plays: dict[str, Callable[[int], None]] = {
            "request": self.request,
            "poll": lambda number: self.poll(),
            "return": self.give_back,
            "wait": lambda number: self.wait(number * 20),
        }
        plays[step.verb](step.number)
        self.check()

    def request(self, units: int) -> None:
        with suppress(HFPluginError):  # refused with a reason: HostFactory has nothing to ask about
            self.requests[self._broker.request_machines("small", units).id] = None

    def poll(self) -> None:
        for record in self._broker.request_status([*self.requests, *self.returns]):
            if isinstance(record, Request):
                before = self.requests[record.id]
                assert before is None or not before.is_closed or before.status is record.status
                self.requests[record.id] = record
            elif isinstance(record, Return):
                self.returns[record.id] = record.is_closed

    def give_back(self, count: int) -> None:
        self._give_back(sorted(self.usable)[:count])

    def _give_back(self, machine_ids: list[str]) -> None:
        if machine_ids:
            self.returns[self._broker.return_machines([Host("", each) for each in machine_ids]).id] = False
            self.taken |= {*machine_ids}

    def wait(self, seconds: int) -> None:
        self.emulator.advance(seconds)
        self._offset += seconds

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
        """All that may be used runs; of a request that is closed, nothing else does."""
        alive = {machine.id: machine.tags["hfplugin:request-id"] for machine in self.emulator.alive()}
        usable = self.usable
        assert usable <= {*alive}
        closed = {id_ for id_, request in self.requests.items() if request and request.is_closed}
        condemned = {m.id for r in self.requests.values() if r for m in r.condemned}
        strangers = {
            each
            for each, owner in alive.items()
            if owner in closed and each not in usable | self.taken | condemned
        }
        assert not strangers, "alive, and HostFactory does not know"

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
        self._give_back(sorted(self.usable))
        for _ in range(8):
            self.poll()
            self.check()
            self.wait(30)
        assert all(self.returns.values())
        for _ in range(2):  # what is left of closed requests is done by any return
            self._broker.return_machines([Host("", "i-0fffffffffffffff0")])
            self.poll()
        self._broker.request_status([self._broker.return_machines([Host("", "i-0fffffffffffffff0")]).id])
        self.wait(300)
        assert self.emulator.alive() == []
        assert self.emulator.leftovers() == []


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
        if service.startswith("SpotFleet") and keys["priceType"] == "ondemand":
            keys = keys | {"priceType": "spot"}
        running_emulator.reset()
        running_emulator.configure(**surroundings)
        with TemporaryDirectory() as top:
            history = History(Path(top), running_emulator, service, keys)
            for trouble in troubles:
                running_emulator.fault(**trouble._asdict())
            history.request(3)
            for step in steps:
                history.play(step)
            history.end()

    play()
