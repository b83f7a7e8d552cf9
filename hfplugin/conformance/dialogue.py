"""HostFactory's words: every verb called and its answer read, as far as it can be read.

What is wrong with an answer as such is raised under the rule that it breaks, whichever check was speaking: a
provider that prints a line too many breaks one rule, not all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from hfplugin.conformance import Document
from hfplugin.conformance.calls import PLAIN, Call, Scripts, Variant
from hfplugin.conformance.findings import BrokenError, StoppedError, shown
from hfplugin.conformance.memory import Host, Memory
from hfplugin.conformance.settings import Limits

IN_TIME = "calls.answer-in-time"
ONE_OBJECT = "calls.one-json-object-on-stdout"
EXIT_STATUS = "calls.exit-status-is-0-or-1"
EACH_ID = "status.each-id-is-answered-in-order"
STATUS_WORD = "status.request-status-is-a-known-word"
ENTRY_FIELDS = "status.entries-have-their-fields"
LOSSES = "lost.answers-a-list"

RUNNING, COMPLETE, COMPLETE_WITH_ERROR = "running", "complete", "complete_with_error"
STATUSES = (RUNNING, COMPLETE, COMPLETE_WITH_ERROR)


class Dialogue:
    """Speaks to the scripts; `stop` is set when the operator wants the suite to end."""

    def __init__(self, scripts: Scripts, limits: Limits, memory: Memory, stop: threading.Event) -> None:
        self._scripts = scripts
        self._limits = limits
        self._memory = memory
        self._stop = stop

    def has(self, verb: str) -> bool:
        return self._scripts.has(verb)

    def call(self, verb: str, message: Document | bytes, variant: Variant = PLAIN) -> Call:
        """Make a call, whatever it gives. A call that has begun is always heard to its end."""
        self._go_on()
        return self._ended(self._scripts.begin(verb, message, variant).end(self._limits.answer_seconds))

    def together(self, *calls: tuple[str, Document]) -> list[Call]:
        """Make calls at the same time; gives them in this order."""
        self._go_on()
        running = [self._scripts.begin(verb, message) for verb, message in calls]
        return [self._ended(each.end(self._limits.answer_seconds)) for each in running]

    def killed(self, verb: str, message: Document, part: float) -> Call | None:
        """Kill a call when this part of its usual time is over; gives it when it was faster."""
        self._go_on()
        seconds = self._memory.typical_seconds(verb) * part
        call = self._scripts.begin(verb, message).kill_after(seconds)
        if call is not None:
            self._memory.note(call)
        elif verb == "requestMachines":
            self._memory.killed_requests += 1
        return call

    def answered(self, verb: str, message: Document | bytes, variant: Variant = PLAIN) -> Document:
        """The document of a call that has to succeed."""
        return success(self.call(verb, message, variant))

    def refused(self, verb: str, message: Document | bytes) -> None:
        """Make a call that has to be refused."""
        call = self.call(verb, message)
        readable(call)
        if call.status != 1:
            raise BrokenError('exit status 1 and {"message": the reason}', str(call))

    def status(self, *request_ids: str) -> list[Document]:
        """Ask how requests and returns stand: one entry for each, in order."""
        return entries(self.call("getRequestStatus", asking(*request_ids)), request_ids)

    def wait(self, request_id: str, seconds: float) -> Document:
        """Poll until a request or return has its last status; gives the last entry, also when time is up."""
        until = time.monotonic() + seconds
        while True:
            [entry] = self.status(request_id)
            if entry["status"] != RUNNING or time.monotonic() >= until:
                return entry
            self.pause()

    def pause(self) -> None:
        """Wait as long as between two polls; StoppedError when the operator has had enough."""
        self._stop.wait(self._limits.poll_seconds)
        self._go_on()

    def give_back(self, *hosts: Host) -> Document:
        """Return machines; the answer."""
        return self.answered("requestReturnMachines", hosting(*hosts))

    def lost(self, *hosts: Host) -> list[Document]:
        """Ask which of these machines are lost."""
        return losses(self.answered("getReturnRequests", hosting(*hosts)))

    def _ended(self, call: Call) -> Call:
        self._memory.note(call)
        return call

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise StoppedError


def readable(call: Call) -> Document:
    """Give a call's document, whether it succeeded or failed; else the rule of every call that it breaks."""
    if call.status is None:
        raise BrokenError("an answer within the time limit", str(call), IN_TIME)
    if call.document is None:
        raise BrokenError("one JSON object on standard output", str(call), ONE_OBJECT)
    if call.status not in (0, 1):
        raise BrokenError("exit status 0 or 1", str(call), EXIT_STATUS)
    return call.document


def success(call: Call) -> Document:
    document = readable(call)
    if call.status != 0:
        raise BrokenError("exit status 0", str(call))
    return document


def entries(call: Call, request_ids: Sequence[str]) -> list[Document]:
    """Give the entries of an answer to getRequestStatus that asked for these ids."""
    try:
        found = success(call).get("requests")
    except BrokenError as error:
        raise BrokenError(error.expected, error.came, error.rule or EACH_ID) from error
    told = (
        [entry.get("requestId") for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    )
    if not isinstance(found, list) or told != [*request_ids]:
        raise BrokenError(f"`requests`: one object for each of {shown(request_ids)}, in order", str(call), EACH_ID)
    for entry in found:
        if entry.get("status") not in STATUSES:
            raise BrokenError(f"status: one of {', '.join(STATUSES)}", shown(entry), STATUS_WORD)
        machines = entry.get("machines")
        if not isinstance(machines, list) or not all(isinstance(machine, dict) for machine in machines):
            raise BrokenError("`machines`: a list of objects", shown(entry), ENTRY_FIELDS)
    return found


def losses(document: Document) -> list[Document]:
    """Give the entries of an answer to getReturnRequests."""
    found = document.get("requests")
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BrokenError("`requests`: a list of objects", shown(document), LOSSES)
    return found


def demand(template_id: str, count: int | str, **keys: object) -> Document:
    return {"template": {"templateId": template_id, "machineCount": count}, **keys}


def asking(*request_ids: str) -> Document:
    return {"requests": [{"requestId": request_id} for request_id in request_ids]}


def hosting(*hosts: Host) -> Document:
    return {"machines": [host.document for host in hosts]}
