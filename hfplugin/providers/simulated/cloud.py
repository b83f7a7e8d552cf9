"""The simulated cloud itself: one file for each launch it has carried out, and the rules it keeps.

A provider of a real cloud has a client in this place. Any process may use the cloud at any time: who changes it
holds its one lock, who reads needs none, because files are replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os.path import join
from typing import Any, NamedTuple, Self

from hfplugin import files
from hfplugin.clock import Clock
from hfplugin.errors import ErrorKind, ProviderError, StateError
from hfplugin.locks import Locks
from hfplugin.model import REPLAY_SECONDS
from hfplugin.providers.simulated.configuration import SimulatedSettings
from hfplugin.providers.simulated.fate import Fate, Life, Machine

# Longer than any change takes, also when a hundred processes wait for one another.
_WAIT_SECONDS = 20.0

# More machines than anybody asks for: what has no bound has so many.
_ANY = 10**9

_MACHINE = re.compile(r"sim-([0-9a-f]{16})-[0-9]+")


class Launched(NamedTuple):
    """A launch that was carried out. `asked` is the call, which nobody may repeat in other words under its token.

    `target` is how many machines a group holds; `is_over` once nothing more comes of it.
    """

    token: str
    asked: dict[str, Any]
    at: float
    target: int
    is_over: bool
    machines: tuple[Machine, ...] = ()

    @property
    def key(self) -> str:
        return _key(self.token)

    @property
    def tags(self) -> Mapping[str, str]:
        tags: Mapping[str, str] = self.asked["params"]["tags"]
        return tags

    @property
    def place(self) -> str:
        return str(self.asked["params"]["place"])

    @property
    def group(self) -> str:
        """The group's name, empty for machines that were launched one by one."""
        return str(self.asked["params"]["group"])

    def grown(self, count: int, now: float) -> Launched:
        first = len(self.machines)
        new = (Machine(f"sim-{self.key}-{number}", now) for number in range(first, first + count))
        return self._replace(machines=(*self.machines, *new))

    def with_machines(self, changed: Iterable[Machine]) -> Launched:
        by_id = {machine.id: machine for machine in changed}
        return self._replace(machines=tuple(by_id.get(machine.id, machine) for machine in self.machines))


class Cloud:
    """All launches of one directory. Every method raises ProviderError when the files cannot be used."""

    def __init__(self, directory: str, settings: SimulatedSettings, clock: Clock) -> None:
        self.directory = directory
        self.account = settings.account
        self.clock = clock
        self._launches = join(directory, "launches")
        self._cut_off = join(directory, "cut-off")
        self._locks = Locks(join(directory, "locks"))
        self._settings = settings
        self._fate = Fate(settings)

    @classmethod
    def of(cls, settings: SimulatedSettings, state_dir: str, clock: Clock) -> Self:
        """Open the cloud that the settings of a provider instance mean."""
        return cls(settings.directory or join(state_dir, "simulated"), settings, clock)

    def admit(self, operation: str) -> None:
        """Begin a call: raise ProviderError for an outage, a lack of rights or throttling."""
        if os.path.exists(self._cut_off):
            raise ProviderError(ErrorKind.TRANSIENT, "CutOff", f"the simulated cloud is cut off: {self._cut_off}")
        self._fate.admit(operation, self.clock.now())

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the cloud's lock: whatever is read in the block still holds when it is written."""
        try:
            with self._locks.hold("cloud", "all", _WAIT_SECONDS):
                yield
        except (StateError, OSError) as error:
            raise ProviderError(ErrorKind.TRANSIENT, "Storage", str(error)) from error

    def by_token(self, token: str) -> Launched | None:
        return self._read(_key(token))

    def machines(self, ids: Iterable[str]) -> dict[str, tuple[Launched, Machine]]:
        """Give those of the machines that there are, each with its launch, whose key its id holds."""
        wanted = dict.fromkeys(ids)
        keys = {match[1] for match in map(_MACHINE.fullmatch, wanted) if match}
        launches = [launched for key in sorted(keys) if (launched := self._read(key)) is not None]
        known = {machine.id: (launched, machine) for launched in launches for machine in launched.machines}
        return {machine_id: known[machine_id] for machine_id in wanted if machine_id in known}

    def every(self) -> list[Launched]:
        found = (self._read(key) for key in self._keys())
        return [launched for launched in found if launched is not None]

    def save(self, launched: Launched) -> None:
        document = launched._asdict() | {"machines": [_written(machine) for machine in launched.machines]}
        files.write(self._path(launched.key), json.dumps(document).encode())

    def _sweep(self) -> None:
        """Forget launches that nobody may send again and of which nothing is left."""
        before = self.clock.now() - REPLAY_SECONDS
        for key in self._keys():
            # What was changed later is not even read.
            launched = self._read(key) if os.stat(self._path(key)).st_mtime < before else None
            if launched is not None and launched.is_over:
                ends = (self.life(machine).gone_at for machine in launched.machines)
                if max(ends, default=launched.at) < before:
                    files.unlink(self._path(key))

    def life(self, machine: Machine) -> Life:
        return self._fate.life(machine)

    def living(self, launched: Launched) -> list[Machine]:
        now = self.clock.now()
        return [machine for machine in launched.machines if self.life(machine).is_alive(now)]

    def require_place(self, place: str) -> None:
        """Raise ProviderError for a place that there is not."""
        known = self._settings.places
        if known and place not in known:
            said = f"there is no place {place!r}; known: {', '.join(known)}"
            raise ProviderError(ErrorKind.INVALID, "NoSuchPlace", said)

    def granted(self, token: str, place: str, wanted: int, least: int) -> int:
        """Give how many machines a place has for a call: `least` or more, at most what is wanted.

        Raises ProviderError when there are not so many, or the quota does not allow them.
        """
        holds, quota = self._settings.capacity.get(place, _ANY), self._settings.quota
        quota = _ANY if quota is None else quota
        is_bounded = holds < _ANY or quota < _ANY
        alive = [(each.place, len(self.living(each))) for each in self.every()] if is_bounded else []
        left = quota - sum(count for _, count in alive)
        if left < least:
            raise ProviderError(ErrorKind.QUOTA, "QuotaExceeded", f"the quota of {quota} machines is used up")
        room = holds - sum(count for where, count in alive if where == place)
        if room < least or self._fate.refuses(token):
            raise ProviderError(ErrorKind.CAPACITY, "NoCapacity", f"{place} has too few machines left")
        return min(wanted, left, room)

    def carried_out(self, launched: Launched) -> None:
        """End a call that has launched: with ProviderError when its answer is lost."""
        self._sweep()
        self.save(launched)
        if self._fate.loses_answer(launched.token):
            raise ProviderError(ErrorKind.TRANSIENT, "NoAnswer", "the connection ended without an answer")

    def end(self, machine_id: str) -> None:
        """Let a machine end, whatever was drawn for it."""
        self._change_machine(machine_id, taken_at=self.clock.now())

    def interrupt(self, machine_id: str) -> None:
        """Announce that a machine is taken back, whatever was drawn for it."""
        self._change_machine(machine_id, taken_at=self.clock.now() + self._settings.notice_seconds)

    def protect(self, machine_id: str) -> None:
        """Let nobody give a machine back."""
        self._change_machine(machine_id, is_protected=True)

    def _change_machine(self, machine_id: str, **changes: Any) -> None:
        with self.changing():
            found = self.machines([machine_id])
            if not found:
                raise ProviderError(ErrorKind.NOT_FOUND, "NoSuchMachine", f"there is no machine {machine_id!r}")
            launched, machine = found[machine_id]
            self.save(launched.with_machines([machine._replace(**changes)]))

    def cut_off(self) -> None:
        """Let the cloud not answer any more."""
        with self.changing():
            files.write(self._cut_off, b"")

    def reconnect(self) -> None:
        """Let it answer again."""
        with self.changing():
            files.unlink(self._cut_off)

    def _keys(self) -> list[str]:
        try:
            found = files.json_files(self._launches)
        except StateError as error:
            raise ProviderError(ErrorKind.TRANSIENT, "Storage", str(error)) from error
        return sorted(path.rpartition("/")[2].removesuffix(".json") for path in found)

    def _read(self, key: str) -> Launched | None:
        try:
            document = json.loads(files.read_text(self._path(key)))
            machines = tuple(Machine(**machine) for machine in document["machines"])
            return Launched(**(document | {"machines": machines}))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProviderError(ErrorKind.TRANSIENT, "Storage", f"{self._path(key)}: {error}") from error

    def _path(self, key: str) -> str:
        return join(self._launches, f"{key}.json")


def _written(machine: Machine) -> dict[str, Any]:
    """Give what of a machine is not as usual."""
    return {key: value for key, value in machine._asdict().items() if value != Machine._field_defaults.get(key)}


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
