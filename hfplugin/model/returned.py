"""HostFactory's orders to give machines back."""

from typing import NamedTuple

from hfplugin.model.machine import MachineState, Result
from hfplugin.model.request import RequestStatus


class ReturnedMachine(NamedTuple):
    """One machine of a return, with enough to finish the return without its request's record.

    `is_found`: the cloud's address of it is known. `is_marked`: its request says that it was given back.
    """

    id: str
    name: str
    request_id: str = ""
    region: str = ""
    account: str = ""
    state: MachineState = MachineState.RUNNING
    result: Result = Result.EXECUTING
    message: str = ""
    launch_time: int = 0
    private_ip: str = ""
    price_type: str = "ondemand"
    machine_type: str = ""
    tags: dict[str, str] = {}
    is_found: bool = True
    is_marked: bool = False
    refused_since: float | None = None

    def done(self, message: str = "") -> "ReturnedMachine":
        return self._replace(state=MachineState.TERMINATED, result=Result.SUCCEED, message=message)


class Return(NamedTuple):
    """HostFactory's order to give machines back, and how far it is."""

    id: str
    created: float
    machines: tuple[ReturnedMachine, ...]
    status: RequestStatus = RequestStatus.RUNNING
    message: str = ""
    closed_at: float = 0.0
    generation: int = 0

    @property
    def is_closed(self) -> bool:
        return self.status is not RequestStatus.RUNNING

    @property
    def is_spent(self) -> bool:
        return self.is_closed

    @property
    def pending(self) -> tuple[ReturnedMachine, ...]:
        return tuple(machine for machine in self.machines if machine.result is Result.EXECUTING)

    def with_machines(self, changed: dict[int, ReturnedMachine]) -> "Return":
        """Put the changed machines, keyed by their place in the list, into theirs."""
        return self._replace(machines=tuple(changed.get(i, m) for i, m in enumerate(self.machines)))
