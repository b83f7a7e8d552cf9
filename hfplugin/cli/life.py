"""One template's life in a rehearsal: HostFactory's calls from request to last return, and a verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.cli.stage import Answer, Stage
from hfplugin.errors import HFPluginError
from hfplugin.model import Request, Result
from hfplugin.store import FileStore

if TYPE_CHECKING:
    from hfplugin.emulator import Emulator
    from hfplugin.emulator.chaos import Havoc, Step, Struck

Document = dict[str, Any]

# HostFactory polls every 30 s; here all takes less than a second, unless chaos has its way.
_POLL_SECONDS = 0.2
_POLLS = 40

# What a spot machine is given before it is taken.
_NOTICE_SECONDS = 120.0

# Codes that say that a launch template is unknown begin so.
_NO_LAUNCH_TEMPLATE = "InvalidLaunchTemplate"


class Outcome(StrEnum):
    """What came of a template."""

    FULFILLED = "fulfilled"
    FAILED = "failed"
    REFUSED = "refused"
    IMPOSSIBLE = "cannot be rehearsed"
    SKIPPED = "not rehearsed"


class Heard(NamedTuple):
    """One answer that HostFactory got."""

    verb: str
    answer: Answer


class Act(NamedTuple):
    """One template's life; `calls` are as Emulator.calls gives them."""

    offer: Document
    asked: int
    outcome: Outcome
    reason: str
    heard: list[Heard]
    calls: list[Document]
    struck: list[Struck]

    @property
    def is_good(self) -> bool:
        return self.outcome in (Outcome.FULFILLED, Outcome.SKIPPED)


class _FailureError(Exception):
    """What was not as it has to be, in words."""


class Life:
    """Plays one template's life: request, polls, look for lost hosts, return, polls."""

    def __init__(self, stage: Stage, emulator: Emulator, units: int, havoc: Havoc | None) -> None:
        """`units` are asked for, or as many as maxNumber allows; `havoc` has not begun."""
        self._stage = stage
        self._emulator = emulator
        self._units = units
        self._havoc = havoc
        self._heard: list[Heard] = []
        # What HostFactory was last told that it has.
        self._machines: list[Document] = []

    def play(self, offer: Document) -> Act:
        most = offer["maxNumber"]
        asked = self._units if most < 0 else min(self._units, most)
        if asked == 0:
            return Act(offer, 0, Outcome.SKIPPED, "maxNumber is 0", [], [], [])
        self._emulator.forget_calls()
        if self._havoc:
            self._havoc.begin()
        outcome, reason = self._judged(offer["templateId"], asked)
        struck = self._havoc.told() if self._havoc else []
        act = Act(offer, asked, outcome, reason, [*self._heard], self._emulator.calls(), struck)
        if self._havoc:
            self._havoc.end()
        if outcome is Outcome.FAILED:
            self._tidy()
        return act

    def _judged(self, template_id: str, asked: int) -> tuple[Outcome, str]:
        try:
            demand = {"template": {"templateId": template_id, "machineCount": asked}}
            answer = self._call("requestMachines", demand)
            if answer.status:
                return self._refused(answer)
            self._return(self._fulfilled(answer.document["requestId"]))
        except (_FailureError, HFPluginError) as error:
            return Outcome.FAILED, str(error)
        return Outcome.FULFILLED, ""

    def _refused(self, answer: Answer) -> tuple[Outcome, str]:
        message = answer.document.get("message", "no reason was given")
        if any(str(call["outcome"]).startswith(_NO_LAUNCH_TEMPLATE) for call in self._emulator.calls()):
            unknown = "what the launch template holds, only AWS knows: try it there with hfplugin check"
            return Outcome.IMPOSSIBLE, f"{unknown} ({message})"
        return Outcome.REFUSED, message

    def _fulfilled(self, request_id: str) -> list[Document]:
        """Poll until the request has ended; give its usable machines, which have to be all that was asked."""
        status = self._ended(request_id)
        usable = [machine for machine in status["machines"] if machine["result"] == "succeed"]
        self._machines = usable
        request = FileStore(self._stage.environment.state_dir).requests.load(request_id)
        had = _units(request) if request else 0
        if request is None or had < request.units:
            raise _FailureError(f"only {had} of {request.units if request else 'all'} came: {status['message']}")
        return usable

    def _return(self, machines: list[Document]) -> None:
        """Return what getReturnRequests names, then the rest; chaos takes machines before each."""
        taken = set(self._taken("running", machines))
        lost = self._named(machines)
        if lost != taken:
            raise _FailureError(f"getReturnRequests names {_listed(lost)}, not {_listed(taken)}")
        self._give_back([machine for machine in machines if machine["machineId"] in lost])
        rest = [machine for machine in machines if machine["machineId"] not in lost]
        self._taken("returning", rest)
        self._give_back(rest)

    def _named(self, machines: list[Document]) -> set[str]:
        """Ask which hosts have to be given up; HostFactory asks again when that could not be said."""
        for _ in range(_POLLS):
            answer = self._call("getReturnRequests", _hosts(machines))
            if not answer.status:
                return {entry["machineId"] for entry in answer.document["requests"]}
            time.sleep(_POLL_SECONDS)
        raise _FailureError(f"getReturnRequests fails, {_POLLS} times: {answer.document.get('message')}")

    def _taken(self, step: Step, machines: list[Document]) -> list[str]:
        if self._havoc is None:
            return []
        taken = self._havoc.take(step, {each["machineId"] for each in machines})
        if any(machine.purchase == "spot" for machine in taken):
            self._emulator.advance(_NOTICE_SECONDS)
        return [machine.id for machine in taken]

    def _give_back(self, machines: list[Document]) -> None:
        if not machines:
            return
        answer = self._call("requestReturnMachines", _hosts(machines))
        if answer.status:
            raise _FailureError(f"requestReturnMachines: {answer.document.get('message')}")
        status = self._ended(answer.document["requestId"])
        if status["status"] != "complete":
            raise _FailureError(f"the return ended {status['status']}: {status['message']}")

    def _ended(self, request_id: str) -> Document:
        """Poll until a request or return has ended, and give its last answer."""
        status: Document = {}
        for _ in range(_POLLS):
            answer = self._call("getRequestStatus", {"requests": [{"requestId": request_id}]})
            if answer.status:
                raise _FailureError(f"getRequestStatus: {answer.document.get('message')}")
            [status] = answer.document["requests"]
            if status["status"] != "running":
                return status
            time.sleep(_POLL_SECONDS)
        raise _FailureError(f"{request_id} is still running after {_POLLS} polls: {status['message']}")

    def _tidy(self) -> None:
        """Return what a life that failed has left, so that only what cannot be returned counts as left."""
        with suppress(_FailureError, HFPluginError):
            self._give_back(self._machines)

    def _call(self, verb: str, message: Document) -> Answer:
        answer = self._stage.call(verb, message)
        self._heard.append(Heard(verb, answer))
        return answer


def _units(request: Request) -> int:
    return sum(machine.units for machine in request.machines if machine.result is Result.SUCCEED)


def _hosts(machines: Sequence[Document]) -> Document:
    """Name machines as HostFactory does."""
    return {"machines": [{"name": machine["name"], "machineId": machine["machineId"]} for machine in machines]}


def _listed(ids: set[str]) -> str:
    return ", ".join(sorted(ids)) or "no host"
