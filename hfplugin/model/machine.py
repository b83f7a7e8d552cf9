"""Machines of a request, as last known: states that never go back, results that never get better."""

from enum import StrEnum
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Sighting

# EC2 may answer "not found" for a machine it has just launched; only absence that lasts longer counts.
CONSISTENCY_SECONDS = 120

# AWS may refuse a termination (protection); the return gives up saying "executing" after this long.
REFUSED_RETURN_SECONDS = 1800


class Result(StrEnum):
    """What HostFactory hears of one machine of a request."""

    EXECUTING = "executing"
    SUCCEED = "succeed"
    FAIL = "fail"


class MachineState(StrEnum):
    """A machine's state in the cloud, in HostFactory's words."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"

    @property
    def is_starting_or_up(self) -> bool:
        return self in (MachineState.PENDING, MachineState.RUNNING)

    @property
    def is_going(self) -> bool:
        """True once a termination is under way or done: nothing is left to ask of the cloud."""
        return self in (MachineState.SHUTTING_DOWN, MachineState.TERMINATED)


class Machine(NamedTuple):
    """A machine of a request, as last known.

    `is_lost`: it went without being given back, so its source may have replaced it. `is_dismissed`: hfplugin gave
    it back by itself, so that nothing replaces it. `blind_before` is the seconds for which the cloud could not be
    observed before it was launched.
    """

    id: str
    attempt: int
    region: str
    account: str
    state: MachineState
    launch_time: int
    result: Result = Result.EXECUTING
    name: str = ""
    private_ip: str = ""
    public_ip: str = ""
    machine_type: str = ""
    price_type: str = "ondemand"
    zone: str = ""
    units: int = 1
    message: str = ""
    missing_since: float | None = None
    return_id: str = ""
    delivered: bool = False
    refused_since: float | None = None
    is_lost: bool = False
    is_dismissed: bool = False
    blind_before: float = 0.0

    @classmethod
    def first(cls, sighting: "Sighting", attempt: int, units: int) -> "Machine":
        """Give a machine of which nothing but its address is taken over yet."""
        return cls(
            id=sighting.id,
            attempt=attempt,
            region=sighting.region,
            account=sighting.account,
            state=MachineState.PENDING,
            launch_time=sighting.launch_time,
            units=units,
        )

    @property
    def is_live(self) -> bool:
        """True until its termination is under way: it may run, and be billed, for as long as nobody acts."""
        return not self.state.is_going

    def seen(self, now: "Sighting") -> "Machine":
        """Take over what the cloud says now.

        A host's name, once known, never changes, a failure never becomes a success, and a state never goes
        back (an answer may be older than the record): all three hold whatever the cloud answers.
        """
        machine = self._replace(
            state=max(now.state, self.state, key=_STATE_ORDER.__getitem__),
            account=self.account or now.account,
            name=self.name or now.name,
            private_ip=self.private_ip or now.private_ip,
            public_ip=self.public_ip or now.public_ip,
            launch_time=now.launch_time or self.launch_time,
            machine_type=self.machine_type or now.machine_type,
            price_type=now.price_type if now.state.is_starting_or_up else self.price_type,
            zone=self.zone or now.zone,
            missing_since=None,
        )
        return machine._judged(now.reason)

    def _judged(self, reason: str) -> "Machine":
        if not (self.state.is_starting_or_up or self.return_id or self.is_dismissed):
            self = self._replace(is_lost=True)
        if self.result is Result.FAIL:
            return self
        if not self.state.is_starting_or_up:
            why = "returned" if self.return_id else f"{self.state} without being returned"
            return self.failed(f"{why}: {reason}" if reason and not self.return_id else why)
        if self.state is MachineState.RUNNING and self.name and self.private_ip:
            return self._replace(result=Result.SUCCEED, delivered=True)
        return self

    def missing(self, now: float) -> "Machine":
        """The cloud answered and does not know it."""
        return self._replace(missing_since=now if self.missing_since is None else self.missing_since)

    def is_absent(self, now: float) -> bool:
        """True when it has been missing for longer than the consistency window."""
        return self.missing_since is not None and now - self.missing_since >= CONSISTENCY_SECONDS

    def dismissed(self) -> "Machine":
        """It is about to be given back without being asked for."""
        return self._replace(is_dismissed=True)

    def failed(self, message: str) -> "Machine":
        return self._replace(result=Result.FAIL, message=message)

    def gone(self) -> "Machine":
        """It is terminated, or absent for good."""
        return self._replace(state=MachineState.TERMINATED)._judged("")

    def returned(self, return_id: str) -> "Machine":
        """HostFactory gives it back, by its latest order: it counts as delivered, so nothing replaces it."""
        return self._replace(return_id=return_id, delivered=True)


_STATE_ORDER = {
    MachineState.PENDING: 0,
    MachineState.RUNNING: 1,
    MachineState.STOPPING: 1,  # a stopped machine can be started again: no order between these
    MachineState.STOPPED: 1,
    MachineState.SHUTTING_DOWN: 2,
    MachineState.TERMINATED: 3,
}


def counts(machine: Machine) -> bool:
    """True when its units count as delivered: it has not failed, or HostFactory has already given it back."""
    return machine.result is not Result.FAIL or bool(machine.return_id)
