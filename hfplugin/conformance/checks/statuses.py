"""getRequestStatus: which ids are answered, and how a request's status goes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hfplugin.conformance import Document
from hfplugin.conformance.calls import BYTE_ORDER_MARK
from hfplugin.conformance.check import LAST, MACHINES_LAST, SHARED, check
from hfplugin.conformance.dialogue import (
    COMPLETE,
    COMPLETE_WITH_ERROR,
    EACH_ID,
    ENTRY_FIELDS,
    RUNNING,
    STATUS_WORD,
    STATUSES,
    asking,
    entries,
)
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import Heard
from hfplugin.conformance.run import Run
from hfplugin.conformance.supply import FITS, FITTING, READY

UNKNOWN_ID = "conformance-unknown-request"

_LONGEST_MESSAGE = 500


def _request_id(run: Run) -> str:
    return run.supply.shared()[0].request_id


def _heard(run: Run) -> list[Heard]:
    """Give every entry that was heard; UnjudgedError when there was none."""
    heard = list(run.memory.heard())
    if not heard:
        raise UnjudgedError("getRequestStatus answered nothing that could be read")
    return heard


@check(
    "status.an-unknown-id-is-answered",
    "An id that the provider does not know is no failure of the call: exit status 0, and for the id "
    "complete_with_error, no machines and a message that says so.",
)
def unknown_id(run: Run) -> None:
    entry = _answered_alike(run, UNKNOWN_ID, asking(UNKNOWN_ID))
    if entry["status"] != COMPLETE_WITH_ERROR or entry["machines"]:
        raise BrokenError(f"status {COMPLETE_WITH_ERROR} and no machines", shown(entry))
    if entry.get("message") == "":
        raise BrokenError("a message that says that the id is unknown", shown(entry))


@check("status.what-is-no-json-is-refused", "Input that is not a JSON object is refused: exit status 1.")
def garbage(run: Run) -> None:
    run.dialogue.refused("getRequestStatus", b'{"requests": [')


@check(
    READY,
    "A request is polled until it is no longer running; complete means that something usable is there, with "
    "result succeed, even if it is fewer than asked. A request never runs for ever: the provider bounds it.",
    SHARED,
)
def completes(run: Run) -> None:
    run.supply.shared()


@check("status.one-object-is-a-list-of-one", 'The reference shows {"requests": {"requestId": "..."}}.', SHARED)
def one_object(run: Run) -> None:
    request_id = _request_id(run)
    _answered_alike(run, request_id, {"requests": {"requestId": request_id}})


@check("status.a-bare-id-is-taken", 'A bare text is an id: {"requests": ["..."]} and {"requests": "..."}.', SHARED)
def bare_id(run: Run) -> None:
    request_id = _request_id(run)
    _answered_alike(run, request_id, {"requests": [request_id]})
    _answered_alike(run, request_id, {"requests": request_id})


def _answered_alike(run: Run, request_id: str, message: Document | bytes) -> Document:
    call = run.dialogue.call("getRequestStatus", message)
    try:
        return entries(call, [request_id])[0]
    except BrokenError as error:
        if error.rule not in ("", EACH_ID):
            raise
        raise BrokenError(f"exit status 0 and the entry of {request_id}", str(call)) from error


@check(
    "status.a-byte-order-mark-is-passed-over",
    "An input file may begin with a UTF-8 byte-order mark; it is read as if it had none.",
    SHARED,
)
def byte_order_mark(run: Run) -> None:
    request_id = _request_id(run)
    _answered_alike(run, request_id, BYTE_ORDER_MARK + json.dumps(asking(request_id)).encode())


@check(
    "status.unknown-keys-are-ignored",
    "Input may hold keys that a provider does not know; it ignores them.",
    SHARED,
)
def unknown_keys(run: Run) -> None:
    request_id = _request_id(run)
    message = {"requests": [{"requestId": request_id, "colour": "red"}], "shape": {"sides": [1]}}
    _answered_alike(run, request_id, message)


@check(
    EACH_ID,
    "Several ids may be asked for in one call: each is answered, in the order asked.",
    SHARED,
)
def each_id(run: Run) -> None:
    ids = list(dict.fromkeys(host.request_id for host in run.supply.shared()))
    asked = [*ids, *(request_id for request_id in run.memory.requests if request_id not in ids)]
    asked = [*asked[:3], f"{UNKNOWN_ID}-1", f"{UNKNOWN_ID}-2"]
    run.dialogue.status(*asked)
    run.dialogue.status(*reversed(asked))


@check(
    "status.an-unknown-id-spoils-no-other",
    "An id that the provider does not know leaves the answer for the others in the call as it is.",
    SHARED,
)
def unknown_among_known(run: Run) -> None:
    request_id = _request_id(run)
    call = run.dialogue.call("getRequestStatus", asking(UNKNOWN_ID, request_id))
    try:
        entry = entries(call, [UNKNOWN_ID, request_id])[1]
    except BrokenError as error:
        if error.rule not in ("", EACH_ID):
            raise
        raise BrokenError(f"entries of {UNKNOWN_ID} and of {request_id}", str(call)) from error
    if entry["status"] != COMPLETE or not entry["machines"]:
        raise BrokenError(f"{request_id} complete, with its machines", shown(entry))


@check(
    "status.same-when-asked-again",
    "While nothing happens, the same question has the same answer: machines, names, addresses, results.",
    SHARED,
)
def same_again(run: Run) -> None:
    request_id = _request_id(run)
    [before], [now] = run.dialogue.status(request_id), run.dialogue.status(request_id)
    if before["status"] != now["status"] or _by_id(before) != _by_id(now):
        raise BrokenError(f"as just before: {shown(before)}", shown(now))


def _by_id(entry: Document) -> Document:
    return {str(each.get("machineId")): each for each in entry["machines"]}


@check(ENTRY_FIELDS, "Every entry has requestId, status and message, which are texts, and machines, a list.", LAST)
def entry_fields(run: Run) -> None:
    for heard in _heard(run):
        if not all(isinstance(heard.entry.get(key), str) for key in ("requestId", "status", "message")):
            raise BrokenError("requestId, status and message: texts", shown(heard.entry))
        if not isinstance(heard.entry.get("machines"), list):
            raise BrokenError("machines: a list", shown(heard.entry))


@check(STATUS_WORD, f"A request's status is one of {', '.join(STATUSES)}.", LAST)
def status_word(run: Run) -> None:
    for heard in _heard(run):
        if heard.entry.get("status") not in STATUSES:
            raise BrokenError(f"one of {', '.join(STATUSES)}", shown(heard.entry))


@check(
    "status.messages-are-one-short-line",
    f"A message is one line of {_LONGEST_MESSAGE} characters at most: HostFactory shows and logs it as it is.",
    LAST,
)
def messages(run: Run) -> None:
    for heard in _heard(run):
        for message in (heard.entry.get("message"), *(machine.get("message") for machine in heard.machines)):
            if isinstance(message, str) and (len(message) > _LONGEST_MESSAGE or "\n" in message):
                raise BrokenError(f"one line of {_LONGEST_MESSAGE} characters at most", shown(message, 600))


@check(
    "status.the-last-status-stays",
    "Once a request or a return is complete or complete_with_error, it never says anything else: HostFactory may "
    "have drawn its conclusions.",
    MACHINES_LAST,
)
def last_status_stays(run: Run) -> None:
    final: dict[str, Heard] = {}
    for heard in _heard(run):
        before = final.get(heard.id)
        status = heard.entry.get("status")
        if before is None and status in STATUSES and status != RUNNING:
            final[heard.id] = heard
        # Of calls that overlap, either may have been first.
        elif before is not None and before.call.ended < heard.call.began and status != before.entry["status"]:
            raise BrokenError(f"{heard.id} to stay {before.entry['status']}", shown(heard.entry))


def _first_ends(run: Run) -> Iterator[Heard]:
    """Give every request as it was when it first had its last status."""
    known: set[str] = set()
    for heard in run.memory.heard_of_requests():
        has_ended = heard.entry.get("status") in (COMPLETE, COMPLETE_WITH_ERROR)
        if has_ended and isinstance(heard.entry.get("machines"), list) and heard.id not in known:
            known.add(heard.id)
            yield heard


@check(
    "status.running-while-a-machine-is-executing",
    "A request is running while any machine is executing: after its last status HostFactory may never ask again.",
    MACHINES_LAST,
)
def decided(run: Run) -> None:
    for heard in _first_ends(run):
        if any(machine.get("result") == "executing" for machine in heard.machines):
            raise BrokenError(f"status {RUNNING} while a machine is executing", shown(heard.entry))


@check(
    FITS,
    "complete says that a machine is usable, complete_with_error that none is: HostFactory may delete everything "
    "of such a request.",
    MACHINES_LAST,
)
def fits(run: Run) -> None:
    for heard in _first_ends(run):
        is_usable = any(machine.get("result") == "succeed" for machine in heard.machines)
        if is_usable != (heard.entry["status"] == COMPLETE):
            raise BrokenError(FITTING, shown(heard.entry))


@check(
    "status.no-machine-is-dropped",
    "A machine that was once named in a request is named until it is returned: what HostFactory no longer hears "
    "of, nobody gives back.",
    MACHINES_LAST,
)
def not_dropped(run: Run) -> None:
    returned_at: dict[str, float] = {}
    for call in run.memory.of("requestReturnMachines"):
        for host in run.memory.asked_back(call):
            for key in ("machineId", "name"):
                returned_at.setdefault(str(host.get(key)), call.began)
    named: dict[str, dict[str, Document]] = {}
    for heard in run.memory.heard_of_requests():
        now = {str(machine.get("machineId")): machine for machine in heard.machines}
        for machine_id, machine in named.setdefault(heard.id, {}).items():
            given_back = min(
                returned_at.get(key, heard.call.ended) for key in (machine_id, str(machine.get("name")))
            )
            if machine_id not in now and heard.call.ended <= given_back:
                raise BrokenError(f"machine {machine_id} to be named as before", shown(heard.entry))
        named[heard.id] |= now
