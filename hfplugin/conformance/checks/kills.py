"""Scripts that are killed on the way, as HostFactory does at its time limit, and as a fail-over does."""

from __future__ import annotations

import time

from hfplugin.conformance.check import Needs, check
from hfplugin.conformance.dialogue import asking, demand, hosting
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import Host
from hfplugin.conformance.run import Run

# When, in parts of the time that the call usually takes.
_INSTANTS = (0.3, 0.6, 0.9)
_KILLED_REQUEST = Needs(shared=True, launches=len(_INSTANTS), hooks=("machines",))


@check(
    "kill.a-killed-poll-loses-nothing",
    "getRequestStatus may be killed at any instant: the next one answers as if it had never been called.",
    Needs(shared=True),
)
def poll(run: Run) -> None:
    request_id = run.supply.shared()[0].request_id
    [before] = run.dialogue.status(request_id)
    for instant in _INSTANTS:
        run.dialogue.killed("getRequestStatus", asking(request_id), instant)
    [now] = run.dialogue.status(request_id)
    if before["status"] != now["status"] or _ids(before["machines"]) != _ids(now["machines"]):
        raise BrokenError(f"as before: {shown(before)}", shown(now))


@check(
    "kill.a-killed-return-can-be-repeated",
    "requestReturnMachines may be killed at any instant: HostFactory returns the machines again, and they end.",
    Needs(spares=1, returns=True),
)
def returning(run: Run) -> None:
    run.supply.returned()
    host = run.supply.spare()
    for instant in _INSTANTS:
        run.dialogue.killed("requestReturnMachines", hosting(host), instant)
    run.supply.give_back(host)


@check(
    "kill.a-killed-request-spoils-no-other",
    "requestMachines may be killed at any instant: what was requested before and after it goes on.",
    _KILLED_REQUEST,
)
def request(run: Run) -> None:
    shared = run.supply.shared()[0].request_id
    [before] = run.dialogue.status(shared)
    [template_id, *_] = run.supply.template_ids()
    for instant in _INSTANTS:
        run.supply.spend(1, template_id)
        run.dialogue.killed("requestMachines", demand(template_id, 1), instant)
    [now] = run.dialogue.status(shared)
    if _ids(before["machines"]) != _ids(now["machines"]):
        raise BrokenError(f"as before: {shown(before)}", shown(now))


@check(
    "kill.what-a-killed-request-launched-is-given-back",
    "When requestMachines is killed after the cloud has launched, HostFactory never hears of the request: the "
    "provider finds those machines and gives them back, with nothing but its other calls to do it in.",
    Needs(shared=True, launches=len(_INSTANTS), hooks=("machines",), is_slow=True),
)
def given_back(run: Run) -> None:
    [template_id, *_] = run.supply.template_ids()
    shared = run.supply.shared()[0].request_id
    before = run.world.machines()
    heard = []
    for instant in _INSTANTS:
        run.supply.spend(1, template_id)
        heard.append(run.dialogue.killed("requestMachines", demand(template_id, 1), instant))
    if all(heard):
        raise UnjudgedError("every call was faster than its kill")
    known = {
        host.machine_id for call in heard if call and call.document for host in _machines_of(run, call.document)
    }
    limit = run.settings.limits.unclaimed_seconds
    until = time.monotonic() + limit
    while left := run.world.machines() - before - known:
        if time.monotonic() >= until:
            raise BrokenError(f"nothing left after {limit:g} s (unclaimedSeconds)", f"hook machines prints {left}")
        run.dialogue.status(shared)
        run.dialogue.answered("getAvailableTemplates", {})
        run.dialogue.pause()


def _machines_of(run: Run, document: dict[str, object]) -> list[Host]:
    return run.supply.ready(str(document.get("requestId")))


def _ids(machines: list[dict[str, object]]) -> list[str]:
    return sorted(str(machine.get("machineId")) for machine in machines)
