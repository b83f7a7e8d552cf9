"""What happened to a fleet, for the history calls.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EventInformation.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hfplugin.emulator.blueprint import Blueprint
from hfplugin.emulator.clock import Clock, moment
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.instances import Instance

CHANGE, INSTANCE, ERROR, INFORMATION = "fleetRequestChange", "instanceChange", "error", "information"

# "Records are kept for 48 hours": DescribeFleetHistory.
_KEPT_SECONDS = 48 * 3600

_LIMITS = ("MaxSpotInstanceCountExceeded",)


@dataclass(frozen=True)
class Event:
    """One event."""

    at: float
    kind: str
    sub_type: str
    text: str = ""
    instance_id: str = ""

    def describe(self) -> dict[str, Any]:
        """Give a HistoryRecord as botocore's model has it, and a HistoryRecordEntry alike."""
        return {
            "Timestamp": moment(self.at),
            "EventType": self.kind,
            "EventInformation": {
                "EventSubType": self.sub_type,
                "EventDescription": self.text or None,
                "InstanceId": self.instance_id or None,
            },
        }


class History:
    """The events of one fleet, the oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: list[Event] = []

    def changed(self, state: str, text: str = "") -> None:
        self._note(CHANGE, state, text)

    def launched(self, instance: Instance) -> None:
        blueprint = instance.blueprint
        text = {
            "instanceType": blueprint.machine_type,
            "image": blueprint.image.image_id,
            "productDescription": "Linux/UNIX",
            "availabilityZone": blueprint.zone,
        }
        self._note(INSTANCE, "launched", json.dumps(text, separators=(",", ":")), instance.instance_id)

    def ended(self, instance: Instance) -> None:
        self._note(INSTANCE, "terminated", "", instance.instance_id)

    def notified(self, instance: Instance) -> None:
        """Note that a spot machine was given notice because the fleet's target was lowered."""
        self._note(INSTANCE, "termination_notified", "", instance.instance_id)

    def refused(self, error: ServiceError, blueprint: Blueprint | None = None) -> None:
        """Note why a launch failed."""
        sub_type = (
            "spotInstanceCountLimitExceeded" if error.code in _LIMITS else "spotFleetRequestConfigurationInvalid"
        )
        text = error.message
        if blueprint is not None:
            text = f"{blueprint.machine_type}, {blueprint.image.image_id}, Linux/UNIX, {blueprint.zone}: {text}"
        self._note(ERROR, sub_type, text)

    def _note(self, kind: str, sub_type: str, text: str = "", instance_id: str = "") -> None:
        self._events.append(Event(self._clock.now, kind, sub_type, text, instance_id))

    def since(self, start: datetime, kind: str | None) -> list[Event]:
        """Give the events from a time on that are not too old to be kept."""
        earliest = max(start.timestamp(), self._clock.now - _KEPT_SECONDS)
        return [each for each in self._events if each.at >= earliest and kind in (None, each.kind)]
