"""The cloud cannot be reached: HostFactory keeps asking, and nothing may be lost meanwhile."""

from __future__ import annotations

from hfplugin.conformance.check import Needs, check
from hfplugin.conformance.checks.returns import require_ended
from hfplugin.conformance.dialogue import COMPLETE_WITH_ERROR, readable
from hfplugin.conformance.findings import BrokenError, shown
from hfplugin.conformance.memory import objects
from hfplugin.conformance.run import Run

_SHARED = Needs(shared=True, hooks=("unreachable", "reachable"))


@check(
    "outage.no-machine-is-given-up",
    "While the cloud cannot be reached, getRequestStatus answers with exit status 0 and what was known: no status "
    "becomes an error, no machine fails or is missing.",
    _SHARED,
)
def nothing_given_up(run: Run) -> None:
    request_id = run.supply.shared()[0].request_id
    [before] = run.dialogue.status(request_id)
    with run.world.cut_off():
        [now] = run.dialogue.status(request_id)
    named = {machine.get("machineId"): machine.get("result") for machine in now["machines"]}
    lost = [each["machineId"] for each in before["machines"] if named.get(each["machineId"]) != each.get("result")]
    if lost or now["status"] != before["status"]:
        raise BrokenError(f"as before: {shown(before)}", shown(now))


@check(
    "outage.nobody-is-called-lost",
    "Not to see a machine is not to know that it is gone: while the cloud cannot be reached, getReturnRequests "
    "names nobody, or fails.",
    _SHARED,
)
def nobody_lost(run: Run) -> None:
    shared = run.supply.shared()
    with run.world.cut_off():
        call = run.dialogue.call("getReturnRequests", {"machines": [host.document for host in shared]})
    document = readable(call)
    if call.status == 0 and objects(document.get("requests")):
        raise BrokenError("no machine, or exit status 1", str(call))


@check(
    "outage.an-open-request-goes-on",
    "A request that is open when the cloud can no longer be reached stays running and completes when it is back.",
    Needs(launches=1, hooks=("unreachable", "reachable")),
)
def open_request(run: Run) -> None:
    request_id = run.supply.request(run.supply.template_ids()[0], 1)
    with run.world.cut_off():
        [entry] = run.dialogue.status(request_id)
    if entry["status"] == COMPLETE_WITH_ERROR or any(each.get("result") == "fail" for each in entry["machines"]):
        raise BrokenError("status running, and no machine with result fail", shown(entry))
    run.supply.ready(request_id)


@check(
    "outage.a-return-is-finished-later",
    "Machines that are returned while the cloud cannot be reached end when it is back; a return that has an id "
    "completes.",
    Needs(spares=1, returns=True, hooks=("unreachable", "reachable")),
)
def return_finished(run: Run) -> None:
    run.supply.returned()
    host = run.supply.spare()
    with run.world.cut_off():
        call = run.dialogue.call("requestReturnMachines", {"machines": [host.document]})
    document = readable(call)
    run.supply.ended(document if call.status == 0 else run.dialogue.give_back(host))
    require_ended(run, host)
