"""Machines of a request, as last known: states that never go back, results that never get better."""

from enum import StrEnum
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Sighting

# EC2 may answer "not found" for a machine it has just launched; only absence that lasts longer counts.
CONSISTENCY_SECONDS = 120

# An interruption that has not come so long after its time does not come. A host's clock may be that far off (AWS
# refuses calls whose time is further), and within it a machine that is taken back has long begun to shut down.
RESCINDED_SECONDS = 300

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


class NoticeKind(StrEnum):
    """What the cloud says of a machine that it takes back."""

    INTERRUPTION = "interruption"  # it ends within minutes, whatever anybody does
    REBALANCE = "rebalance"  # it is likelier than others to be interrupted; only where the operator wants to hear
    MAINTENANCE = "maintenance"  # it is to be stopped or retired at a time that was announced
    GONE = "gone"  # it has stopped or ended, and nobody of ours did it


class Notice(NamedTuple):
    """Word of the cloud that a machine is taken back: it ends at `ends_at`, epoch seconds, 0 when it has.

    `told_at` is when the cloud said so. The same word may come several times, and in any order.
    """

    machine_id: str
    kind: NoticeKind
    told_at: float
    ends_at: float
    reason: str

    @property
    def weight(self) -> tuple[int, float, float, str]:
        """Of several words the heaviest counts: the gravest, then the latest, then that which leaves less time."""
        return _GRAVITY[self.kind], self.told_at, -self.ends_at, self.reason

    def overrides(self, other: "Notice | None") -> bool:
        """True when it is heavier, and not the same word told again."""
        return other is None or (self.weight > other.weight and self._replace(told_at=other.told_at) != other)

    def seconds_left(self, now: float) -> int:
        """Give the seconds until it ends, no more than there were when it was told: clocks differ."""
        return max(0, int(self.ends_at - max(now, self.told_at)))

    def is_rescinded(self, now: float) -> bool:
        """True when what it announced should have come to pass long ago, if the machine still runs."""
        return self.kind is NoticeKind.INTERRUPTION and now >= self.ends_at + RESCINDED_SECONDS


_GRAVITY = {NoticeKind.REBALANCE: 0, NoticeKind.MAINTENANCE: 1, NoticeKind.INTERRUPTION: 2, NoticeKind.GONE: 3}


class Machine(NamedTuple):
    """A machine of a request, as last known.

    `notice` is the cloud's word that it takes the machine back, though it still runs. `is_lost`: it went without
    being given back, or is interrupted, so its source may have replaced it. `is_dismissed`: hfplugin gave it back
    by itself, or told its source to do without it, so that nothing replaces it. `blind_before` is the seconds for
    which the cloud could not be observed before it was launched.
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
    notice: Notice | None = None

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

    def noticed(self, notice: Notice, now: float) -> "Machine":
        """The cloud takes it back while it still runs; interrupted, it needs no place in its source any more."""
        before = self.outlived(now)
        if not self._is_usable or not notice.overrides(before.notice):
            return self
        return before._replace(notice=notice, is_lost=before.is_lost or notice.kind is NoticeKind.INTERRUPTION)

    def outlived(self, now: float) -> "Machine":
        """It runs, as far as is known: an interruption that should have come long ago was rescinded."""
        if self.notice is None or not self.state.is_starting_or_up or not self.notice.is_rescinded(now):
            return self
        # What failed stays lost, and on its way to being given back.
        has_failed = self.result is Result.FAIL
        return self._replace(
            notice=None, is_lost=self.is_lost and has_failed, is_dismissed=self.is_dismissed and has_failed
        )

    @property
    def is_going_unasked(self) -> bool:
        """True while it runs and the cloud's word that it takes the machine back stands."""
        return self.notice is not None and self._is_usable

    @property
    def _is_usable(self) -> bool:
        return self.state.is_starting_or_up and not self.return_id and self.result is not Result.FAIL

    @property
    def was_given_back(self) -> bool:
        """True when HostFactory or hfplugin itself ended it: nobody took it away."""
        is_ours = self.is_dismissed and not self.is_lost and self.missing_since is None
        return bool(self.return_id) or (is_ours and not self.state.is_starting_or_up)

    def _judged(self, reason: str) -> "Machine":
        if not (self.state.is_starting_or_up or self.return_id or self.is_dismissed):
            self = self._replace(is_lost=True)
        if self.result is Result.FAIL:
            return self
        if not self.state.is_starting_or_up:
            why = "returned" if self.return_id else f"{self.state} without being returned"
            reason = reason or (self.notice.reason if self.notice is not None else "")
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

    def gone(self, reason: str = "") -> "Machine":
        """It is terminated, or absent for good."""
        return self._replace(state=MachineState.TERMINATED)._judged(reason)

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
