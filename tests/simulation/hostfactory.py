"""HostFactory, as far as it remembers: what it was told of requests, machines and returns, and what it gave back.

A call that is killed tells it nothing. Every answer is held against the ones before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hfplugin.broker import Lost, Unknown
from hfplugin.model import Machine, Request, RequestStatus, Result, Return
from hfplugin.providers.base.provider import Host
from simulation.laws import BrokenError, Law

_RUNNING = RequestStatus.RUNNING


@dataclass
class Demand:
    """A request, as HostFactory was told of it."""

    template_id: str
    units: int
    status: RequestStatus = RequestStatus.RUNNING
    names: dict[str, str] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)


@dataclass
class HostFactory:
    """`used` are the machines it was told to use and has not given back, by id their names.

    `lost` are those that it was told are lost, `unanswered` those of a return that was killed or failed: it is
    going to give them back.
    `is_excused` says whether a request's record was damaged, so that what was said of it before is forgotten;
    `was_given_back` whether hfplugin itself has terminated a machine, `is_healthy` whether it runs.
    """

    is_excused: Callable[[str], bool]
    was_given_back: Callable[[str], bool]
    is_healthy: Callable[[str], bool]
    demands: dict[str, Demand] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)
    returns: dict[str, RequestStatus] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)

    _given_back: dict[str, set[str]] = field(default_factory=dict)
    _earlier: dict[str, Demand] | None = None
    _earlier_returns: dict[str, RequestStatus] | None = None

    @contextmanager
    def listening_at_once(self) -> Iterator[None]:
        """Hear answers of calls that overlap: each is newer than all before the block, and than none within it."""
        self._earlier = {
            id_: replace(demand, names=dict(demand.names), results=dict(demand.results))
            for id_, demand in self.demands.items()
        }
        self._earlier_returns = dict(self.returns)
        yield
        self._earlier = self._earlier_returns = None

    # what it asks

    def give_back(self, hosts: Sequence[Host]) -> None:
        """It has decided: whatever becomes of the call, it does not use them any more."""
        by_name = {name: machine_id for machine_id, name in self.used.items()}
        for host in hosts:
            machine_id = host.machine_id or by_name.get(host.name, "")
            if machine_id:
                self.returned[machine_id] = self.used.pop(machine_id, "") or host.name
                self.lost.discard(machine_id)
                self.unanswered.add(machine_id)

    @property
    def open_ids(self) -> list[str]:
        """Everything that it polls for."""
        demands = [id_ for id_, demand in self.demands.items() if demand.status is RequestStatus.RUNNING]
        return demands + [id_ for id_, status in self.returns.items() if status is RequestStatus.RUNNING]

    def known_machines(self) -> list[str]:
        """Every machine it was ever told of, in the order of its hearing of them."""
        return [machine_id for demand in self.demands.values() for machine_id in demand.results]

    # what it is told

    def accepted(self, request_id: str, template_id: str, units: int) -> None:
        self.demands[request_id] = Demand(template_id, units)

    def accepted_return(self, return_id: str, hosts: Sequence[Host]) -> None:
        self.returns[return_id] = RequestStatus.RUNNING
        named = {host.name for host in hosts if not host.machine_id}
        given_back = {each for each, name in self.returned.items() if name in named}
        given_back |= self.returned.keys() & {host.machine_id for host in hosts}
        self._given_back[return_id] = given_back
        self.unanswered -= given_back

    def heard(self, asked: Sequence[str], answers: Sequence[Request | Return | Unknown]) -> None:
        """Take an answer to getRequestStatus."""
        if [answer.id for answer in answers] != list(asked):
            raise BrokenError(Law.ANSWERED, f"asked {asked}, answered {[answer.id for answer in answers]}")
        for answer in answers:
            if isinstance(answer, Return):
                self._heard_return(answer)
            elif answer.id in self.demands:
                self._heard_request(answer, self.demands[answer.id])
            elif answer.id in self.returns:
                self._heard_unknown_return(answer.id, answer.status)

    def _heard_unknown_return(self, return_id: str, status: RequestStatus) -> None:
        if status is not _RUNNING and not self.is_excused(return_id):
            raise BrokenError(Law.ANSWERED, f"{return_id} is called unknown")
        if status is not _RUNNING:
            self.unanswered |= self._given_back[return_id]
        self.returns[return_id] = status

    def _heard_return(self, record: Return) -> None:
        earlier = self.returns if self._earlier_returns is None else self._earlier_returns
        before = earlier.get(record.id, _RUNNING)
        if before not in (_RUNNING, record.status) and not self.is_excused(record.id):
            raise BrokenError(Law.ONE_STATUS, f"{record.id}: {before}, then {record.status}")
        if self.returns.get(record.id, _RUNNING) is _RUNNING:
            self.returns[record.id] = record.status
        if record.is_closed:
            failed = {machine.id for machine in record.machines if machine.result is Result.FAIL}
            self.unanswered |= failed & self.returned.keys()

    def _heard_request(self, answer: Request | Unknown, demand: Demand) -> None:
        before = (self._earlier or {}).get(answer.id, demand)
        is_excused = self.is_excused(answer.id)
        if before.status not in (_RUNNING, answer.status) and not is_excused:
            raise BrokenError(Law.ONE_STATUS, f"{answer.id}: {before.status}, then {answer.status}")
        if demand.status is _RUNNING or is_excused:
            demand.status = answer.status
        if isinstance(answer, Unknown):
            if answer.status is not _RUNNING and not is_excused:
                raise BrokenError(Law.ANSWERED, f"{answer.id} is called unknown")
            return
        for machine in answer.machines:
            if not is_excused:
                _check_machine(machine, before)
            self._heard_machine(machine, demand, is_excused)
        missing = before.results.keys() & self.used.keys() - {machine.id for machine in answer.machines}
        if missing and not is_excused:
            raise BrokenError(Law.NOT_DROPPED, f"{answer.id}: {', '.join(sorted(missing))}")

    def _heard_machine(self, machine: Machine, demand: Demand, is_excused: bool) -> None:
        demand.names[machine.id] = demand.names.get(machine.id) or machine.name
        if demand.results.get(machine.id) is not Result.FAIL or is_excused:
            demand.results[machine.id] = machine.result
        result = demand.results[machine.id]
        if result is Result.FAIL:
            self.used.pop(machine.id, None)
        elif result is Result.SUCCEED and machine.id not in self.returned:
            is_first = self._earlier is None and machine.id not in self.used
            if is_first and self.was_given_back(machine.id):
                raise BrokenError(Law.USABLE, f"{machine.id} of {demand.template_id}")
            self.used[machine.id] = machine.name

    def heard_lost(self, losses: Sequence[Lost]) -> None:
        """Take an answer to getReturnRequests: it is going to give these back."""
        for loss in losses:
            if self.is_healthy(loss.machine_id):
                raise BrokenError(Law.HEALTHY, loss.machine_id)
            self.lost.add(loss.machine_id)


def _check_machine(machine: Machine, before: Demand) -> None:
    name = before.names.get(machine.id) or machine.name
    if machine.name != name:
        raise BrokenError(Law.ONE_NAME, f"{machine.id}: {name}, then {machine.name}")
    if before.results.get(machine.id) is Result.FAIL and machine.result is not Result.FAIL:
        raise BrokenError(Law.ONE_RESULT, f"{machine.id}: fail, then {machine.result}")
