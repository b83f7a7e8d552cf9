"""Calls at the same time: HostFactory promises no order, and its loops run side by side."""

from __future__ import annotations

from hfplugin.conformance.check import Needs, check
from hfplugin.conformance.dialogue import asking, demand, entries, hosting, success
from hfplugin.conformance.findings import BrokenError, shown
from hfplugin.conformance.run import Run


@check(
    "concurrency.two-polls-at-once-agree",
    "Two calls of getRequestStatus may run at once: both answer.",
    Needs(shared=True),
)
def two_polls(run: Run) -> None:
    request_id = run.supply.shared()[0].request_id
    message = asking(request_id)
    calls = run.dialogue.together(("getRequestStatus", message), ("getRequestStatus", message))
    for call in calls:
        success(call)
    found = [entries(call, [request_id])[0] for call in calls]
    told = [sorted(str(machine.get("machineId")) for machine in entry["machines"]) for entry in found]
    if told[0] != told[1]:
        raise BrokenError("the same machines in both answers", f"{shown(told[0])} and {shown(told[1])}")


@check(
    "concurrency.a-poll-while-requesting-answers",
    "getRequestStatus may run while requestMachines does: both answer, and nothing of either is lost.",
    Needs(shared=True, launches=1),
)
def poll_while_requesting(run: Run) -> None:
    shared = run.supply.shared()[0].request_id
    [template_id, *_] = run.supply.template_ids()
    run.supply.spend(1, template_id)
    request, poll = run.dialogue.together(
        ("requestMachines", demand(template_id, 1)), ("getRequestStatus", asking(shared))
    )
    success(poll)
    entries(poll, [shared])
    _require_kept(run, str(success(request).get("requestId")))


@check(
    "concurrency.two-requests-at-once-are-both-kept",
    "requestMachines may run twice at once: both requests are answered from then on.",
    Needs(launches=2),
)
def two_requests(run: Run) -> None:
    [template_id, *_] = run.supply.template_ids()
    run.supply.spend(2, template_id)
    request = ("requestMachines", demand(template_id, 1))
    ids = [str(success(call).get("requestId")) for call in run.dialogue.together(request, request)]
    if len(set(ids)) < 2:
        raise BrokenError("two requests", f"{shown(ids)} for both")
    for request_id in ids:
        _require_kept(run, request_id)


def _require_kept(run: Run, request_id: str) -> None:
    entry = run.dialogue.wait(request_id, run.settings.limits.ready_seconds)
    if entry["status"] != "complete" or not entry["machines"]:
        raise BrokenError(f"{request_id} to complete with its machine", shown(entry))


@check(
    "concurrency.two-returns-at-once-both-complete",
    "The same machine may be returned by two calls at once: both have an id, and both complete.",
    Needs(spares=1, returns=True),
)
def two_returns(run: Run) -> None:
    run.supply.returned()
    message = hosting(run.supply.spare())
    calls = run.dialogue.together(("requestReturnMachines", message), ("requestReturnMachines", message))
    for call in calls:
        run.supply.ended(success(call))
