"""What becomes of launches and machines: drawn from the seed and their identity, so that no daemon acts it out.

Ask at any time, from any process, in any order: the answer is the same.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import MachineState
from hfplugin.providers.simulated.configuration import SimulatedSettings

NEVER = math.inf

_HOUR = 3600.0


class Machine(NamedTuple):
    """One machine as it is kept. `ended_at`: when it was given back. `taken_at`: when the cloud was made to take
    it, whatever was drawn. A protected one cannot be given back."""

    id: str
    launched_at: float
    ended_at: float = NEVER
    taken_at: float = NEVER
    is_protected: bool = False


class Life(NamedTuple):
    """A machine's times, in seconds since the epoch; NEVER for what does not happen."""

    boots_at: float
    fails_at: float
    taken_at: float
    told_at: float
    ends_at: float
    gone_at: float

    def state(self, now: float) -> MachineState:
        if now >= self.gone_at:
            return MachineState.TERMINATED
        if now >= self.ends_at:
            return MachineState.SHUTTING_DOWN
        return MachineState.RUNNING if now >= self.boots_at else MachineState.PENDING

    def is_alive(self, now: float) -> bool:
        return now < self.ends_at

    @property
    def reason(self) -> str:
        """Say why it ends, empty when it is given back or lives for ever."""
        if self.ends_at == NEVER or self.ends_at not in (self.fails_at, self.taken_at):
            return ""
        return "BootFailure: it did not start" if self.ends_at == self.fails_at else "Reclaimed: the cloud took it"


class Fate:
    """Draws for one cloud."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self._settings = settings

    def life(self, machine: Machine) -> Life:
        settings = self._settings
        swing = settings.boot_variation * (2 * self._drawn("boot", machine.id) - 1)
        boots_at = machine.launched_at + settings.boot_seconds * (1 + swing)
        fails = self._drawn("failure", machine.id) < settings.boot_failure_share
        fails_at = boots_at if fails else NEVER
        taken_at = min(machine.taken_at, machine.launched_at + self._seconds_until_taken(machine))
        ends_at = min(machine.ended_at, fails_at, taken_at)
        told_at = max(machine.launched_at, taken_at - settings.notice_seconds)
        return Life(boots_at, fails_at, taken_at, told_at, ends_at, ends_at + settings.shutdown_seconds)

    def _seconds_until_taken(self, machine: Machine) -> float:
        """Give an exponentially distributed time: a machine that has lived long is as safe as a new one."""
        rate = self._settings.interruptions_per_hour
        return -math.log(1 - self._drawn("interruption", machine.id)) / rate * _HOUR if rate else NEVER

    def refuses(self, token: str) -> bool:
        return self._drawn("launch", token) < self._settings.launch_failure_share

    def loses_answer(self, token: str) -> bool:
        return self._drawn("answer", token) < self._settings.lost_answer_share

    def admit(self, operation: str, now: float) -> None:
        """Let an operation through, or raise ProviderError for what the moment or the credentials refuse."""
        settings = self._settings
        if self._drawn("outage", now // settings.outage_seconds) < settings.outage_share:
            raise ProviderError(ErrorKind.TRANSIENT, "Unreachable", "the simulated cloud does not answer")
        if operation in settings.denied:
            raise ProviderError(ErrorKind.AUTH, "NotAllowed", f"simulated.denied names {operation}")
        if self._drawn("throttle", operation, now // 1) < settings.throttled_share:
            raise ProviderError(ErrorKind.THROTTLED, "SlowDown", f"too many calls of {operation} in this second")

    def _drawn(self, *identity: object) -> float:
        """Give a number from 0 up to 1 that the seed and the identity alone decide."""
        text = "|".join(map(str, (self._settings.seed, *identity)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
