"""The shelf as a provider. A launch is a directory on it, named after its token, and a machine a file in that.

The directory is made whole and given its name by a rename, which succeeds once: so a launch can be sent again. A
shelf that is not there is one that does not answer.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hfplugin import files
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.locks import Locks
from hfplugin.model import Launch, LaunchState, MachineState, Refusal, Template
from hfplugin.providers.base.provider import (
    Check,
    Context,
    Found,
    Host,
    Inventory,
    Located,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Reclaimed,
    Released,
    Sighting,
    SingleMachines,
    Source,
)
from hfplugin_shelf.spec import ShelfSettings

_API, _PLACE, _FULL = "Shelf", "shelf", "ShelfFull"


class ShelfProvider(SingleMachines):
    """Boxes on one shelf: there at once, and gone at once."""

    def __init__(self, settings: ShelfSettings, context: Context) -> None:
        self._root = Path(settings.directory)
        self._slots = settings.slots
        self._context = context
        self._locks = Locks(str(self._root / "locks"))

    def plan(self, order: Order) -> Plan | Nowhere:
        if order.exhausted:
            return Nowhere()
        tags = {
            "provider_name": self._context.provider_name,
            "installation": self._context.installation,
            "request_id": order.request_id,
            "template_id": order.template.id,
            "attempt": order.attempt,
        }
        least = order.units if order.template.all_or_nothing else 1
        params = {"count": order.units, "least": least, "tags": tags}
        return Plan(_API, region=_PLACE, account="", place=_PLACE, params=params, units=order.units)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        try:
            made = self._made(launch)
        except ProviderError as error:
            return Outcome.failed(launch, Refusal.of(error, _PLACE))
        return Outcome(LaunchState.SETTLED, tuple(map(self._sighting, self._boxes(made))))

    def _made(self, launch: Launch) -> Path:
        self._require_shelf()
        made = self._root / _key(launch)
        with self._locks.hold("shelf", "all", wait=10):
            if not made.exists():
                room = self._slots - sum(1 for _ in self._living())
                if room < launch.params["least"]:
                    raise ProviderError(ErrorKind.CAPACITY, _FULL, f"{room} of {self._slots} slots are free")
                self._put(launch, min(room, launch.params["count"]), made)
        return made

    def _put(self, launch: Launch, count: int, made: Path) -> None:
        unnamed = Path(tempfile.mkdtemp(prefix=".", dir=self._root))
        try:
            for number in range(count):
                box = {**launch.params["tags"], "launch_time": int(time.time())}
                files.write(str(unnamed / f"box-{made.name}-{number}"), json.dumps(box).encode())
            os.rename(unnamed, made)
        except BaseException:
            shutil.rmtree(unnamed)
            raise

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        self._require_shelf()
        made = self._root / _key(launch)
        return Outcome(LaunchState.UNKNOWN, tuple(map(self._sighting, self._boxes(made))))

    def observe(self, machines: Sequence[Located]) -> Observation:
        try:
            self._require_shelf()
        except ProviderError as error:
            return Observation(failures=(Refusal.of(error),))
        seen = {each.id: self._sighting(box) for each in machines if (box := self._box(each.id)) is not None}
        return Observation(seen, frozenset(each.id for each in machines) - seen.keys())

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        self._require_shelf()
        going = set()
        for machine in machines:
            box = self._box(machine.id)
            if box is not None:
                files.write(str(box), json.dumps({**_read(box), "is_ended": True}).encode())
                going.add(machine.id)
        return Released(frozenset(going), frozenset(machine.id for machine in machines) - going)

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        """Nobody takes a box off the shelf but who put it there."""
        return Reclaimed()

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        self._require_shelf()
        boxes = [self._box(host.machine_id or host.name.removesuffix(".shelf")) for host in hosts]
        return [self._found(self._sighting(box) if box else None) for box in boxes]

    def _found(self, sighting: Sighting | None) -> Found:
        is_ours = sighting is not None and sighting.provider_name == self._context.provider_name
        return Found(sighting, is_ours, is_complete=True)

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        self._require_shelf()
        boxes = map(self._sighting, self._every())
        return Inventory(tuple(each for each in boxes if each.request_id in request_ids and self._is_ours(each)))

    def inventory(self) -> Inventory:
        try:
            self._require_shelf()
        except ProviderError as error:
            return Inventory(failures=(Refusal.of(error),))
        return Inventory(tuple(each for each in self._living() if self._is_ours(each)))

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            self._require_shelf()
        except ProviderError as error:
            return [Check("shelf", False, str(error), "make or mount shelf.directory")]
        return [Check("shelf", True, str(self._root))]

    def _require_shelf(self) -> None:
        if not self._root.is_dir():
            raise ProviderError(ErrorKind.TRANSIENT, "NoShelf", f"{self._root} is not there")

    def _every(self) -> Iterator[Path]:
        for made in sorted(self._root.glob("[0-9a-f]*")):
            yield from self._boxes(made)

    def _boxes(self, made: Path) -> Iterator[Path]:
        yield from sorted(made.glob("box-*"))

    def _living(self) -> Iterator[Sighting]:
        return (each for each in map(self._sighting, self._every()) if not each.state.is_going)

    def _is_ours(self, sighting: Sighting) -> bool:
        return sighting.provider_name == self._context.provider_name

    def _box(self, machine_id: str) -> Path | None:
        """Give the file of a box, None when there is none."""
        kind, _, rest = machine_id.partition("-")
        made, _, number = rest.partition("-")
        box = self._root / made / machine_id
        return box if kind == "box" and made.isalnum() and number.isdecimal() and box.is_file() else None

    def _sighting(self, box: Path) -> Sighting:
        content = _read(box)
        is_ended = content.pop("is_ended", False)
        return Sighting(
            id=box.name,
            state=MachineState.TERMINATED if is_ended else MachineState.RUNNING,
            region=_PLACE,
            name=f"{box.name}.shelf",
            private_ip="127.0.0.1",
            **content,
        )


def _key(launch: Launch) -> str:
    return sha256(launch.token.encode()).hexdigest()[:12]


def _read(box: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files.read_text(str(box)))
    return content
