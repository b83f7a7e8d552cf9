"""The machines of one account in one region, and how each lives: pending, running, shutting-down, terminated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hfplugin.emulator import ids
from hfplugin.emulator.blueprint import Blueprint
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.description import describe
from hfplugin.emulator.errors import ServiceError, malformed
from hfplugin.emulator.wire import Written, query

if TYPE_CHECKING:
    from hfplugin.emulator.maintenance import ScheduledEvent
    from hfplugin.emulator.region import Region
    from hfplugin.emulator.spot_requests import SpotRequest

ALIVE = ("pending", "running", "stopping", "stopped")


# A volume that nothing else is said about; the image's root volume goes with its machine, whatever the image has.
_ROOT = {"DeleteOnTermination": True, "VolumeType": "gp2", "Encrypted": False}
_ADDED = {**_ROOT, "VolumeSize": 8}


class Reason(NamedTuple):
    """Why a machine changed its state. Source: API_StateReason.html"""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


USER = Reason("Client.UserInitiatedShutdown", "User initiated shutdown")
SPOT_RECLAIM = Reason("Server.SpotInstanceTermination", "Spot instance termination")
SPOT_STOP = Reason("Server.SpotInstanceShutdown", "Spot instance shutdown")
NO_REASON = Reason("", "")


class Owner(Protocol):
    """A fleet or group that a machine belongs to."""

    def lost(self, instance: Instance) -> None:
        """Hear that the machine is shutting down or stopped, whoever ordered it."""


@dataclass(eq=False)
class Instance:
    """One machine. Everything that shows in an answer is changed through `Instances`, which forgets the XML."""

    instance_id: str
    reservation_id: str
    blueprint: Blueprint
    launched: float
    client_token: str
    tags: dict[str, str]
    address: str
    volumes: list[Volume]
    index: int
    interface_id: str
    state: str = "pending"
    state_since: float = 0.0
    reason: Reason = NO_REASON
    transition: str = ""
    is_protected: bool = False
    is_vanished: bool = False
    visible_from: float = 0.0
    spot_request: SpotRequest | None = None
    owner: Owner | None = None
    scheduled: list[ScheduledEvent] = field(default_factory=list)
    written: Written | None = None

    @property
    def is_alive(self) -> bool:
        return self.state in ALIVE

    @property
    def has_network(self) -> bool:
        """Whether it still has its addresses; EC2 takes them from a machine that is gone."""
        return self.state != "terminated"


@dataclass(eq=False)
class Volume:
    """A machine's volume."""

    volume_id: str
    device: str
    settings: dict[str, Any]
    tags: dict[str, str]
    attached: float


@dataclass(frozen=True)
class Origin:
    """Where a launch comes from: the call, or the fleet or group."""

    client_token: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    owner: Owner | None = None


class Instances:
    """Every machine that was ever launched, in the order of launch."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, Instance] = {}
        self._by_reservation: dict[str, list[Instance]] = {}

    def launch(self, blueprint: Blueprint, count: int, origin: Origin) -> list[Instance]:
        """Launch machines into one reservation. The caller has taken the room for them."""
        region = self._region
        reservation_id = ids.new("r")
        made = [self._made(blueprint, reservation_id, origin, index) for index in range(count)]
        self._by_reservation[reservation_id] = made
        for instance in made:
            self._by_id[instance.instance_id] = instance
            if blueprint.purchase == SPOT:
                instance.spot_request = region.spot_requests.fulfilled(instance)
        region.clock.after(region.settings.boot_seconds, lambda: self._boot(made))
        region.tell(made, "pending")
        return made

    def _made(self, blueprint: Blueprint, reservation_id: str, origin: Origin, index: int) -> Instance:
        region = self._region
        now = region.clock.now
        own = blueprint.specification
        return Instance(
            instance_id=ids.new("i"),
            reservation_id=reservation_id,
            blueprint=blueprint,
            launched=now,
            client_token=origin.client_token,
            tags={**own.get("SystemTags", {}), **origin.tags, **blueprint.tags("instance")},
            address=region.moto.take_address(blueprint.subnet.subnet_id),
            volumes=_volumes(blueprint, now),
            index=index,
            interface_id=ids.new("eni"),
            state_since=now,
            is_protected=bool(own.get("DisableApiTermination")),
            visible_from=now + region.settings.visible_seconds,
            owner=origin.owner,
        )

    def _boot(self, instances: Iterable[Instance]) -> None:
        self._change([each for each in instances if each.state == "pending"], "running")

    def require(self, instance_ids: Iterable[str]) -> list[Instance]:
        """Give the machines of these ids; none twice. Raises InvalidInstanceID naming all that are not known."""
        wanted = list(dict.fromkeys(instance_ids))
        for each in wanted:
            if not _is_id(each.rstrip()):
                raise malformed("InvalidInstanceID.Malformed", each, "i")
        found = [self._by_id.get(each) for each in wanted]
        known = [each for each in found if each is not None and self.is_visible(each)]
        if len(known) < len(wanted):
            seen = {each.instance_id for each in known}
            unknown = [each for each in wanted if each not in seen]
            plural = len(unknown) > 1
            text = f"The instance ID{'s' if plural else ''} '{', '.join(unknown)}'"
            raise ServiceError("InvalidInstanceID.NotFound", f"{text} {'do' if plural else 'does'} not exist")
        return known

    def is_visible(self, instance: Instance) -> bool:
        return not instance.is_vanished and instance.visible_from <= self._region.clock.now

    def visible(self) -> Iterator[Instance]:
        """Go through what a Describe shows."""
        return (each for each in self._by_id.values() if self.is_visible(each))

    def alive(self) -> Iterator[Instance]:
        """Go through the machines that cost."""
        return (each for each in self._by_id.values() if each.is_alive)

    def every(self) -> Iterator[Instance]:
        """Go through every machine ever launched."""
        yield from self._by_id.values()

    def get(self, instance_id: str) -> Instance | None:
        return self._by_id.get(instance_id)

    def of_reservation(self, reservation_id: str) -> list[Instance]:
        return self._by_reservation.get(reservation_id, [])

    def terminate(self, instances: Iterable[Instance], reason: Reason = USER) -> None:
        """Begin to shut machines down; those that are gone already stay as they are."""
        ending = [each for each in instances if each.is_alive]
        self._change(ending, "shutting-down", reason)
        for each in ending:
            self._leave(each, reason)
        self._region.clock.after(self._region.settings.shutdown_seconds, lambda: self._end(ending))

    def _leave(self, instance: Instance, reason: Reason) -> None:
        if instance.spot_request:
            instance.spot_request.end(reason, instance.state_since)
        if instance.owner:
            instance.owner.lost(instance)

    def _end(self, instances: list[Instance]) -> None:
        region = self._region
        for each in instances:
            region.capacity.take(each.blueprint, -1)
            region.moto.free_address(each.blueprint.subnet.subnet_id, each.address)
            each.volumes = [volume for volume in each.volumes if not volume.settings["DeleteOnTermination"]]
        self._change(instances, "terminated")
        region.clock.after(region.settings.vanish_seconds, lambda: _vanish(instances))

    def stop(self, instances: Iterable[Instance], reason: Reason = USER) -> None:
        """Stop machines; a stopped one keeps its volumes and its private address."""
        stopping = [each for each in instances if each.state in ("pending", "running")]
        self._change(stopping, "stopping", reason)
        for each in stopping:
            if each.spot_request:
                each.spot_request.pause(reason)
            if each.owner:
                each.owner.lost(each)
        self._region.clock.after(self._region.settings.shutdown_seconds, lambda: self._halt(stopping))

    def _halt(self, instances: Iterable[Instance]) -> None:
        self._change([each for each in instances if each.state == "stopping"], "stopped")

    def start(self, instances: Iterable[Instance]) -> None:
        starting = [each for each in instances if each.state == "stopped"]
        self._change(starting, "pending", NO_REASON)
        for each in starting:
            if each.spot_request:
                each.spot_request.resume(self._region.clock.now)
        self._region.clock.after(self._region.settings.boot_seconds, lambda: self._boot(starting))

    def _change(self, instances: list[Instance], state: str, reason: Reason = NO_REASON) -> None:
        now = self._region.clock.now
        for each in instances:
            each.state, each.state_since, each.written = state, now, None
            if reason is not NO_REASON or state in ("pending", "running"):
                each.reason = reason
                each.transition = _transition(reason, now)
        self._region.tell(instances, state)

    def tag(self, instance: Instance, tags: dict[str, str], gone: Iterable[str] = ()) -> None:
        """Add tags and remove others."""
        instance.tags = {key: value for key, value in {**instance.tags, **tags}.items() if key not in set(gone)}
        instance.written = None

    def protect(self, instance: Instance, is_protected: bool) -> None:
        instance.is_protected = is_protected

    def written(self, instance: Instance) -> Written:
        """Give the machine as answers have it, written once for as long as nothing changes."""
        if instance.written is None:
            instance.written = query("ec2").element("Instance", describe(instance))
        return instance.written


def _transition(reason: Reason, now: float) -> str:
    """Give StateTransitionReason, which says in other words what StateReason says.

    Its texts are documented nowhere; these two were seen.
    """
    by_whom = {USER: "User initiated", SPOT_RECLAIM: "Service initiated"}.get(reason)
    return f"{by_whom} ({moment(now):%Y-%m-%d %H:%M:%S} GMT)" if by_whom else reason.code


def _vanish(instances: Iterable[Instance]) -> None:
    for each in instances:
        each.is_vanished = True


def _is_id(text: str) -> bool:
    prefix, _, digits = text.partition("-")
    return prefix == "i" and len(digits) in (8, 17) and all(digit in "0123456789abcdef" for digit in digits)


def _volumes(blueprint: Blueprint, now: float) -> list[Volume]:
    """Give the machine's volumes: the image's, with the specification's laid over, by device.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-device-mapping-concepts.html
    """
    devices = {each["DeviceName"]: {**each["Ebs"], **_ROOT} for each in blueprint.image.volumes}
    for each in blueprint.specification.get("BlockDeviceMappings", []):
        name = each["DeviceName"]
        if "NoDevice" in each:
            devices.pop(name, None)
        elif "Ebs" in each:
            devices[name] = {**devices.get(name, _ADDED), **each["Ebs"]}
    labels = blueprint.tags("volume")
    return [Volume(ids.new("vol"), name, settings, dict(labels), now) for name, settings in devices.items()]
