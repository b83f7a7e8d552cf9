"""The events that EC2 schedules for a machine: announced, moved to their end by the clock, or called off.

At its time a retirement or a stop stops the machine, whose volumes are all EBS here. A one-time spot machine
cannot be stopped and is terminated; AWS documents that nowhere. A reboot or a maintenance leaves it running.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instances-status-check_sched.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceStatusEvent.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import ids
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.instances import Instance, Reason

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

# What EC2 says of each kind of event; only the first two take the machine away.
_DESCRIPTIONS = {
    "instance-stop": "The instance is running on degraded hardware",
    "instance-retirement": "The instance is running on degraded hardware",
    "instance-reboot": "The instance is scheduled for a reboot",
    "system-reboot": "The host of the instance is scheduled for a reboot",
    "system-maintenance": "The instance is scheduled for maintenance",
}
_TAKING = ("instance-stop", "instance-retirement")

_SCHEDULED_STOP = Reason("Server.ScheduledStop", "Stopped due to a scheduled retirement")

# API_InstanceStatusEvent.html: "it can still be described for up to a week".
_SHOWN_SECONDS = 7 * 86400.0

# How long the time lasts in which an event may begin; two hours are usual.
_WINDOW_SECONDS = 7200.0


@dataclass(eq=False)
class ScheduledEvent:
    """One event of one machine; `over_at` is when it was completed or called off."""

    event_id: str
    code: str
    description: str
    not_before: float
    over_at: float | None = None

    def end(self, word: str, now: float) -> None:
        self.description, self.over_at = f"[{word}] {self.description}", now

    def is_shown(self, now: float) -> bool:
        return self.over_at is None or now < self.over_at + _SHOWN_SECONDS

    def describe(self) -> dict[str, Any]:
        """Give an InstanceStatusEvent as botocore's model has it."""
        return {
            "InstanceEventId": self.event_id,
            "Code": self.code,
            "Description": self.description,
            "NotBefore": moment(self.not_before),
            "NotAfter": moment(self.not_before + _WINDOW_SECONDS),
        }


def schedule(region: Region, instance: Instance, code: str, seconds: float) -> None:
    """Announce an event that comes in so many seconds. Raises ValueError for a code that EC2 does not have."""
    if code not in _DESCRIPTIONS:
        raise ValueError(f"code: EC2 has no event {code}; known: {', '.join(_DESCRIPTIONS)}")
    event = ScheduledEvent(
        ids.new("instance-event"), code, _DESCRIPTIONS[code], not_before=region.clock.now + seconds
    )
    instance.scheduled.append(event)
    region.clock.after(seconds, lambda: _complete(region, instance, event))


def call_off(region: Region, instance: Instance) -> None:
    """Cancel all that is announced for a machine."""
    for event in instance.scheduled:
        if event.over_at is None:
            event.end("Canceled", region.clock.now)


def _complete(region: Region, instance: Instance, event: ScheduledEvent) -> None:
    if event.over_at is not None:
        return
    event.end("Completed", region.clock.now)
    blueprint = instance.blueprint
    if event.code not in _TAKING:
        return
    if blueprint.purchase == SPOT and blueprint.request_type == "one-time":
        region.instances.terminate([instance], _SCHEDULED_STOP)
    else:
        region.instances.stop([instance], _SCHEDULED_STOP)
