"""One installation of the simulation: a clock, a disk, a cloud and HostFactory, and the calls between them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

from fake_cloud import FakeSite, ManualClock, template

from hfplugin import codec
from hfplugin.broker import Broker
from hfplugin.clock import Clock
from hfplugin.errors import HFPluginError
from hfplugin.housekeeping import Housekeeping
from hfplugin.model import Launch, MachineState, NoticeKind, Template
from hfplugin.providers.base.provider import Context, Host, Notice
from hfplugin.store import FileStore
from simulation.cloud import SimulatedCloud
from simulation.disk import Disk, under_hfplugin
from simulation.hostfactory import HostFactory
from simulation.laws import BrokenError, Law
from simulation.processes import Boundaries, Killed, Process, SimulatedLocks

ROOT = "/sim/state"

T = TypeVar("T")

_PLACES = ["east/a", "east/b", "west/a"]

MOST = 6  # of the template `few`

# As hfplugin.hostfactory.verbs grants it.
_HOUSEKEEPING_SECONDS = 5.0


def _templates() -> list[Template]:
    def one(template_id: str, max_number: int = -1, all_or_nothing: bool = False, **extension: Any) -> Template:
        extension.setdefault("places", _PLACES)
        return template(template_id, max_number, all_or_nothing=all_or_nothing, extension=extension)

    return [
        one("plain", remains=["shared"]),
        one("small-batches", batch=2, user_data="#!/bin/sh"),
        one("few", MOST),
        one("weighted", weight=3),
        one("all", all_or_nothing=True),
        one("maintained", source="maintain"),
        one("maintained-weighted", source="maintain", weight=2, remains=["own"]),
        one("requested", source="request"),
        one("all-maintained", all_or_nothing=True, source="maintain"),
        one("few-requested", MOST, source="request"),
    ]


class SimulatedStore(FileStore):
    """A file store whose locks are the simulation's."""

    def __init__(self, locks: SimulatedLocks) -> None:
        super().__init__(ROOT)
        self._locks = locks  # type: ignore[assignment]


class SimulatedSite(FakeSite):
    """An installation that may change its id with its state."""

    @property
    def context(self) -> Context:
        assert isinstance(self.cloud, SimulatedCloud)
        return super().context._replace(installation=self.cloud.installation)


class World:
    """Everything a history plays with; `told` is the history as text.

    `damaged` are the records that something befell, `spoiled` the machines that somebody interfered with, `backup`
    the state as it once was. `is_uncountable`: what counts over records, under a lock, cannot be right. `often`:
    how many times as often as usual a step is drawn, by its name.
    """

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.clock = ManualClock()
        self.skew = 0.0
        self.boundaries = Boundaries()
        self.locks = SimulatedLocks(self.boundaries, self.clock)
        self.disk = Disk(self.boundaries.cross, self.now, draw, self._watch_record)
        self.cloud = SimulatedCloud(
            self.clock,
            cross=self.boundaries.cross,
            is_durable=self._is_durable,
            is_heard=self._is_heard,
            is_used=self._is_used,
            is_lost=lambda request_id: request_id in self.damaged,
            is_settled=self._is_settled,
        )
        self.site = SimulatedSite(self.cloud, _templates())
        self.hostfactory = HostFactory(
            is_excused=self.is_excused,
            was_given_back=lambda machine_id: machine_id in self.cloud.dismissed,
            is_healthy=self._is_healthy,
        )
        self.damaged: set[str] = set()
        self.spoiled: set[str] = set()
        self.backup: dict[str, tuple[bytes, float]] | None = None
        self.often: dict[str, float] = {}
        self.is_uncountable = False
        self.told: list[str] = []

    def start(self) -> None:
        """Put there what is none of ours."""
        self.cloud.launch_for_others()

    def tell(self, words: str) -> None:
        """Say what the step that is being played is about to do."""
        self.told[-1] = f"{words}: ..."

    def set_clock(self, skew: float) -> None:
        """Set the host's clock; by a jump, a machine that is not listed yet would seem to be gone."""
        if skew != self.skew:
            self.cloud.hidden_until.clear()
        self.skew = skew

    def replace_state(self, state: dict[str, tuple[bytes, float]]) -> None:
        """Let the state directory be another: what records said until now is forgotten, in part or altogether."""
        records = [
            path.rsplit("/", 1)[1].removesuffix(".json") for path in self.disk.files if path.endswith(".json")
        ]
        self.damaged |= {*records, *self.hostfactory.demands, *self.hostfactory.returns}
        self.damaged |= {machine.tags.get("request", "") for machine in self.cloud.machines.values()}
        self.damaged |= {source.launch.params["tags"]["request"] for source in self.cloud.sources.values()}
        self.cloud.is_forgetful = self.is_uncountable = True
        self.cloud.hidden_until.clear()  # neither recorded nor listed is like not there
        self.disk.restore(state)

    def now(self) -> float:
        """The host's time: it may be wrong, the cloud's is not."""
        return self.clock.time + self.skew

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put this world under hfplugin while the block runs."""
        with (
            under_hfplugin(self.disk, self.now, self.clock, self._sleep),
            patch.object(uuid, "uuid4", self.new_uuid),
            patch.object(codec, "decode", _remembered(codec.decode)),
        ):
            yield

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.boundaries.wait()

    def new_uuid(self) -> uuid.UUID:
        made = uuid.UUID(int=self.draw.getrandbits(128), version=4)
        if self.boundaries.current is not None:
            self.boundaries.current.made.append(str(made))
        return made

    @property
    def store(self) -> FileStore:
        return SimulatedStore(self.locks)

    @property
    def broker(self) -> Broker:
        return Broker(self.store, self.site, Clock(self.now, self.clock), time_limit=200)

    # what the laws ask

    def is_excused(self, record_id: str) -> bool:
        """True for a record that was damaged, or that cannot be read for now."""
        is_unreadable = any(path.endswith(f"/{record_id}.json") for path in self.disk.unreadable)
        return is_unreadable or record_id in self.damaged

    def _is_used(self, machine_id: str) -> bool:
        request = self.cloud.machines[machine_id].tags.get("request", "")
        demand = self.hostfactory.demands.get(request)
        # All or nothing: what runs already is given up with the rest, while HostFactory hears that it is running.
        is_renounced = demand is not None and demand.status == "running" and demand.template_id.startswith("all")
        return machine_id in self.hostfactory.used and not is_renounced

    def _is_healthy(self, machine_id: str) -> bool:
        state = self.cloud.machines[machine_id].state
        is_up = machine_id in self.cloud.alive and state not in (MachineState.STOPPING, MachineState.STOPPED)
        return is_up and machine_id not in self.cloud.noticed

    def _is_settled(self, launch: Launch) -> bool:
        inode = self.disk.files.get(_path(launch))
        launches = _launches(inode.content) if inode else {}
        known = launches.get(launch.token, {})
        return known.get("state") == "settled" or known.get("is_stopped", False)

    def _is_durable(self, launch: Launch) -> bool:
        recorded = _launches(self.disk.durable(_path(launch)) or b"")
        return recorded.get(launch.token, {}).get("params") == launch.params

    def _is_heard(self, notice: Notice) -> bool:
        """True when the record of the machine says so, or has nothing more to say of it, or is lost."""
        if notice.kind is NoticeKind.GONE or notice.is_rescinded(self.now()):
            return True  # a look shows whether it is so
        request_id = self.cloud.machines[notice.machine_id].tags["request"]
        content = self.disk.durable(f"{ROOT}/requests/{request_id}.json")
        machines = json.loads(content).get("machines", []) if content and request_id not in self.damaged else []
        found = [machine for machine in machines if machine["id"] == notice.machine_id]
        return all(
            "notice" in each
            or "return_id" in each
            or each["state"] not in ("pending", "running")
            or each.get("result") == "fail"
            for each in found
        )

    @staticmethod
    def _watch_record(path: str, old: bytes, new: bytes) -> None:
        if (
            path.endswith(".json")
            and codec.generation(new) - codec.generation(old) != 1
            and b'"generation"' in new
        ):
            raise BrokenError(Law.OVERWRITTEN, path)

    # HostFactory's calls

    def call(self, process: Process, act: Callable[[Broker], T], hear: Callable[[T], None]) -> str:
        """Run a call to its end, which may be sudden; give what came of it, for people."""
        said = "answered"
        try:
            answer = act(self.broker)
            self.boundaries.cross("answer")
            hear(answer)
        except HFPluginError as error:
            said = f"{type(error).__name__}: {error}"
        except Killed:
            return f"killed at {process.died_at}"
        except BrokenError:
            raise
        except Exception as error:
            raise BrokenError(Law.NO_CRASH, repr(error)) from error
        return said + self._kept_house(process)

    def _kept_house(self, process: Process) -> str:
        """Do what is due, as any call does after its answer."""
        try:
            self._keep_house()
        except HFPluginError as error:
            return f", then {type(error).__name__}: {error}"
        except Killed:
            return f", then killed at {process.died_at}"
        except BrokenError:
            raise
        except Exception as error:
            raise BrokenError(Law.NO_CRASH, repr(error)) from error
        return ""

    def _keep_house(self) -> None:
        clock = Clock(self.now, self.clock)
        is_due = self.store.marks.is_due(clock.now())
        self.store.marks.note_activity(clock.now())
        if is_due:
            Housekeeping(self.store, self.site, clock).sweep(clock.deadline(_HOUSEKEEPING_SECONDS))

    def ask_templates(self, process: Process) -> str:
        """getAvailableTemplates."""
        return self.call(process, lambda broker: None, lambda answer: None)

    def request(self, process: Process, template_id: str, units: int) -> str:
        """requestMachines."""
        said = self.call(
            process,
            lambda broker: broker.request_machines(template_id, units),
            lambda answer: self.hostfactory.accepted(answer.id, template_id, units),
        )
        return f"{said} {' '.join(process.made)}"

    def poll(self, process: Process, ids: Sequence[str]) -> str:
        """getRequestStatus."""
        unique = list(dict.fromkeys(ids))
        return self.call(
            process,
            lambda broker: broker.request_status(unique),
            lambda answers: self.hostfactory.heard(unique, answers),
        )

    def give_back(self, process: Process, hosts: Sequence[Host]) -> str:
        """requestReturnMachines."""
        self.hostfactory.give_back(hosts)
        return self.call(
            process,
            lambda broker: broker.return_machines(hosts),
            lambda answer: self.hostfactory.accepted_return(answer.id, hosts),
        )

    def ask_lost(self, process: Process) -> str:
        """getReturnRequests, with every host that HostFactory uses."""
        hosts = [Host(name, machine_id) for machine_id, name in self.hostfactory.used.items()]
        return self.call(process, lambda broker: broker.return_requests(hosts), self.hostfactory.heard_lost)

    def alone(self, act: Callable[[Process], str], name: str, kill_at: int = 0) -> str:
        """Run one call with nothing beside it."""
        process = Process(name, kill_at)
        with self.boundaries.running(process):
            return act(process)


def _remembered(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Decode the same content once: half of a history's time would go there."""
    known: dict[tuple[type, bytes], Any] = {}

    def decoded(kind: type, content: bytes) -> Any:
        key = kind, content
        if key not in known:
            known[key] = decode(kind, content)
        return known[key]

    return decoded


def _path(launch: Launch) -> str:
    return f"{ROOT}/requests/{launch.params['tags']['request']}.json"


def _launches(content: bytes) -> dict[str, dict[str, Any]]:
    """Give the launches of a request's file by token; of one that is no record, none."""
    try:
        return {launch["token"]: launch for launch in json.loads(content).get("launches", [])}
    except (ValueError, AttributeError):
        return {}
