"""The end of every run: whatever was launched is returned, and what could not be is said."""

from __future__ import annotations

import time
from typing import NamedTuple

from hfplugin.conformance import Document
from hfplugin.conformance.dialogue import COMPLETE, COMPLETE_WITH_ERROR, RUNNING, Dialogue
from hfplugin.conformance.findings import BrokenError, StoppedError, UnjudgedError
from hfplugin.conformance.hooks import World
from hfplugin.conformance.memory import Memory
from hfplugin.conformance.settings import Limits


class _Key(NamedTuple):
    """By what a machine can be returned."""

    name: str
    machine_id: str

    def __str__(self) -> str:
        return (
            f"{self.machine_id} ({self.name})" if self.name and self.machine_id else self.name or self.machine_id
        )


class Cleaner:
    """Asks for every request once more, returns all of its machines, and waits until they are gone.

    Nothing that a provider answers stops it: it goes on with what it can read.
    """

    def __init__(self, dialogue: Dialogue, world: World, memory: Memory, limits: Limits) -> None:
        self._dialogue = dialogue
        self._world = world
        self._memory = memory
        self._limits = limits

    def clean(self, before: set[str] | None) -> list[str]:
        """Give what may still be there; `before` is what the hook `machines` printed before the run, or None.

        A stop leaves all that was not seen to end.
        """
        left: dict[_Key, None] = {}
        open_requests = [each for each in self._memory.requests if not self._has_ended(each)]
        is_mended = self._is_mended()
        try:
            left = dict.fromkeys(self._to_return())
            open_requests = [each for each in self._memory.requests if not self._is_settled(each)]
            left = dict.fromkeys(self._returned(list(dict.fromkeys([*left, *self._to_return()]))))
        except StoppedError:
            left = left or dict.fromkeys(self._to_return())
        strays = self._strays(before) - {key.machine_id for key in left}
        if strays and self._memory.killed_requests:
            strays = self._without_returned(strays, before)
        return [
            *([] if is_mended else ["the cloud cut off, which the hook reachable has not brought back"]),
            *map(str, left),
            *(f"whatever request {each} launches" for each in open_requests),
            *(f"{each}, which the hook machines prints" for each in sorted(strays)),
        ]

    def _is_mended(self) -> bool:
        try:
            self._world.mend()
        except UnjudgedError:
            return False
        return True

    def _has_ended(self, request_id: str) -> bool:
        """Say whether a request was heard to have its last status."""
        said = (heard.entry.get("status") for heard in self._memory.heard() if heard.id == request_id)
        return any(status in (COMPLETE, COMPLETE_WITH_ERROR) for status in said)

    def _is_settled(self, request_id: str) -> bool:
        """Poll a request to its end, so that nothing of it is launched any more."""
        try:
            return bool(self._dialogue.wait(request_id, self._limits.ready_seconds)["status"] != RUNNING)
        except BrokenError:
            return False

    def _to_return(self) -> list[_Key]:
        """Give every machine that was ever named in a request, but for what was seen to end."""
        last: dict[_Key, Document] = {}
        for heard in self._memory.heard_of_requests():
            last |= {_key(machine): machine for machine in heard.machines}
        ended = self._seen_ended()
        return [
            key
            for key, machine in last.items()
            if any(key) and machine.get("status") != "terminated" and key.machine_id not in ended
        ]

    def _seen_ended(self) -> set[str]:
        """Give the ids of the machines that a return has ended."""
        of_returns = (heard for heard in self._memory.heard() if heard.id in self._memory.returns)
        ended = (m for heard in of_returns for m in heard.machines if m.get("result") == "succeed")
        return {str(machine.get("machineId")) for machine in ended}

    def _returned(self, keys: list[_Key]) -> list[_Key]:
        """Return machines, again while that does not help and there is time; gives those that are left."""
        until = time.monotonic() + self._limits.gone_seconds
        while keys:
            try:
                self._dialogue.answered("requestReturnMachines", {"machines": [_document(key) for key in keys]})
                newest = list(self._memory.returns)[-1]
                self._dialogue.wait(newest, self._limits.gone_seconds)
            except (BrokenError, IndexError):
                pass
            ended = self._seen_ended()
            keys = [key for key in keys if key.machine_id not in ended]
            if not keys or time.monotonic() >= until:
                break
            self._dialogue.pause()
        return keys

    def _without_returned(self, strays: set[str], before: set[str] | None) -> set[str]:
        """Return what killed requests launched, under ids that only the hook tells; gives what is left of it."""
        try:
            self._returned([_Key(machine_id, machine_id) for machine_id in sorted(strays)])
        except StoppedError:
            return strays
        return strays & self._strays(before)

    def _strays(self, before: set[str] | None) -> set[str]:
        if before is None:
            return set()
        try:
            return self._world.machines() - before
        except UnjudgedError:
            return set()


def _key(machine: Document) -> _Key:
    name, machine_id = (machine.get(key) for key in ("name", "machineId"))
    return _Key(name if isinstance(name, str) else "", machine_id if isinstance(machine_id, str) else "")


def _document(key: _Key) -> Document:
    return {name: value for name, value in (("name", key.name), ("machineId", key.machine_id)) if value}
