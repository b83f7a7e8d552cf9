"""The admin endpoint: what tests and people tell the emulator, and what they ask it. JSON over HTTP POST.

Each command is a method of `Control`; its keyword arguments are the JSON object that is posted to
/emulator/COMMAND, and what it returns is the answer.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from pydantic import ValidationError
from werkzeug import Response

from hfplugin.emulator import interruption, maintenance
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.faults import Fault, Faults
from hfplugin.emulator.instances import USER, Instance, Reason
from hfplugin.emulator.journal import Journal
from hfplugin.emulator.region import Region, World

Document = dict[str, Any]


class Control:
    """The commands, under the world's lock."""

    PATH: ClassVar = "/emulator/"

    def __init__(self, world: World, faults: Faults, journal: Journal) -> None:
        self._world = world
        self._faults = faults
        self._journal = journal
        self._commands = {
            command.__name__: command
            for command in (
                self.advance,
                self.call_off,
                self.calls,
                self.configure,
                self.event,
                self.fault,
                self.forget_calls,
                self.interrupt,
                self.lift,
                self.machines,
                self.rebalance,
                self.refused,
                self.reset,
                self.resources,
                self.schedule,
                self.settings,
                self.stop,
                self.struck,
                self.terminate,
                self.time,
            )
        }

    def answer(self, path: str, body: bytes) -> Response:
        """Do what is posted; 404 and 400 say in `message` what is wrong with it."""
        command = self._commands.get(path.removeprefix(self.PATH))
        if command is None:
            return _answer({"message": f"there is no {path}; known: {', '.join(self._commands)}"}, 404)
        try:
            arguments = json.loads(body or b"{}")
            with self._world.lock:
                self._world.clock.catch_up()
                return _answer(command(**arguments))
        except (ValidationError, ServiceError, TypeError, ValueError) as error:
            return _answer({"message": f"{path}: {error}"}, 400)

    def settings(self) -> Document:
        """Give the settings; see Settings."""
        return self._world.settings.model_dump()

    def configure(self, **changes: Any) -> Document:
        """Change settings; those that are not named stay."""
        self._world.configure(changes)
        return self.settings()

    def time(self) -> float:
        """Give the emulator's time, in seconds since the epoch."""
        return self._world.clock.now

    def advance(self, seconds: float) -> float:
        """Let time pass at once and give the new time."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._world.clock.advance(seconds)
        return self.time()

    def fault(self, **fault: Any) -> int:
        """Set a fault, see Fault, and give its number."""
        return self._faults.add(Fault.model_validate(fault))

    def lift(self, number: int | None = None) -> None:
        """Take one fault away, or all."""
        self._faults.lift(number)

    def struck(self, number: int) -> int:
        """Count how often a fault struck."""
        return self._faults.struck(number)

    def calls(self, action: str | None = None) -> list[Document]:
        """Give the calls so far, or those of one action."""
        return [call.document() for call in self._journal.calls() if action in (None, call.action)]

    def forget_calls(self) -> None:
        self._journal.clear()

    def refused(self, pool: str) -> int:
        """Count how often pools of this name or pattern could not give all that was wanted of them."""
        counts = [each.capacity.refused for each in self._world.regions()]
        return sum(times for count in counts for name, times in count.items() if fnmatchcase(name, pool))

    def machines(self) -> list[Document]:
        """Give every machine ever launched, whoever looks: also those not yet, or no longer, visible."""
        return [_machine(region, each) for region in self._world.regions() for each in region.instances.every()]

    def resources(self) -> list[Document]:
        """Give what else is there and costs or launches: launch templates, fleets, groups."""
        return [resource for region in self._world.regions() for resource in region.holdings()]

    def interrupt(
        self, instance_id: str, notice_seconds: float = interruption.NOTICE_SECONDS, is_direct: bool = False
    ) -> None:
        """Give a spot machine its notice; it is taken back when the notice has run out.

        The direct way, its request is over at once.
        """
        for region, instance in self._found([instance_id]):
            interruption.interrupt(region, instance, notice_seconds, is_direct)

    def rebalance(self, instance_id: str) -> None:
        """Recommend to replace a spot machine."""
        for region, instance in self._found([instance_id]):
            interruption.recommend(region, instance)

    def schedule(self, instance_id: str, code: str, seconds: float) -> None:
        """Announce an event of EC2, such as instance-retirement, that comes in so many seconds."""
        for region, instance in self._found([instance_id]):
            maintenance.schedule(region, instance, code, seconds)

    def call_off(self, instance_id: str) -> None:
        """Cancel the events that are announced for a machine."""
        for region, instance in self._found([instance_id]):
            maintenance.call_off(region, instance)

    def event(self, region: str, source: str, kind: str, detail: Document, resources: list[str]) -> None:
        """Put any event on the default account's event bus, as AWS Health would."""
        try:
            holder = self._world.region(interruption.ACCOUNT, region)
        except KeyError as error:
            raise ValueError(f"region: AWS has no {region}") from error
        holder.moto.put_event(source, kind, resources, detail, self._world.clock.today)

    def terminate(self, instance_ids: list[str], code: str = USER.code, text: str = USER.text) -> None:
        """End machines outside of any call: the user's doing, or with another reason the cloud's."""
        for region, instance in self._found(instance_ids):
            region.instances.terminate([instance], USER if code == USER.code else Reason(code, text))

    def stop(self, instance_ids: list[str]) -> None:
        """Stop machines outside of any call."""
        for region, instance in self._found(instance_ids):
            region.instances.stop([instance])

    def reset(self) -> None:
        """Forget resources, settings, faults and calls."""
        self._world.reset()
        self._faults.lift()
        self._journal.clear()

    def _found(self, instance_ids: list[str]) -> list[tuple[Region, Instance]]:
        """Give the machines of these ids, each with its region: all, or ValueError."""
        pairs = [
            (each, found) for each in self._world.regions() for found in map(each.instances.get, instance_ids)
        ]
        known = [(region, instance) for region, instance in pairs if instance is not None]
        missing = set(instance_ids) - {instance.instance_id for _, instance in known}
        if missing:
            raise ValueError(f"there is no machine {', '.join(sorted(missing))}")
        return known


def _machine(region: Region, instance: Instance) -> Document:
    blueprint = instance.blueprint
    return {
        "id": instance.instance_id,
        "account": region.account,
        "region": region.name,
        "zone": blueprint.zone,
        "type": blueprint.machine_type,
        "purchase": blueprint.purchase,
        "state": instance.state,
        "reason": instance.reason.code,
        "launched": instance.launched,
        "is_alive": instance.is_alive,
        "is_vanished": instance.is_vanished,
        "tags": instance.tags,
    }


def _answer(content: object, status: int = 200) -> Response:
    # A moment that a call names, such as the end of a fleet, was read into a datetime.
    return Response(json.dumps(content, default=str), status=status, mimetype="application/json")
