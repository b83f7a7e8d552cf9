"""requestReturnMachines: whatever is returned gets an id, and what has an id is gone in the end."""

from __future__ import annotations

from hfplugin.conformance import Document
from hfplugin.conformance.check import Needs, check
from hfplugin.conformance.findings import BrokenError, shown
from hfplugin.conformance.memory import Host
from hfplugin.conformance.run import Run
from hfplugin.conformance.supply import GONE, RETURNED

_PLAIN = Needs(returns=True)
_ONE = Needs(spares=1, returns=True)
_UNKNOWN = Host("conformance-no-such-host", "conformance-no-such-machine", "")


@check(RETURNED, 'A return is answered with {"requestId": "...", "message": "..."}.', _PLAIN)
def accepted(run: Run) -> None:
    run.supply.returned()
    document = next(call.document for call in run.memory.of("requestReturnMachines") if call.has_succeeded)
    if not isinstance((document or {}).get("message"), str):
        raise BrokenError("`message`: a text, which may be empty", shown(document))


@check(
    GONE,
    "The id of a return is polled like that of a request, until it is complete with every machine that was asked "
    "for, each with result succeed.",
    _PLAIN,
)
def completes(run: Run) -> None:
    host, entry = run.supply.returned()
    _require_named(host, entry)
    require_ended(run, host)


@check(
    "return.the-machine-is-gone",
    "When a return is complete, its machines no longer run in the cloud, where they cost money.",
    Needs(returns=True, hooks=("machines",)),
)
def gone(run: Run) -> None:
    host, _ = run.supply.returned()
    if host.machine_id in run.world.machines():
        raise BrokenError(f"{host.machine_id} gone", "hook machines still prints it")


@check(
    "return.the-others-are-left-alone",
    "A return ends the machines that it names and no other.",
    Needs(shared=True, spares=1, returns=True),
)
def others(run: Run) -> None:
    shared = run.supply.shared()
    run.supply.give_back(run.supply.spare())
    for request_id in {host.request_id for host in shared}:
        [entry] = run.dialogue.status(request_id)
        running = {each.get("machineId") for each in entry["machines"] if each.get("result") == "succeed"}
        ended = [
            host.machine_id for host in shared if host.request_id == request_id and host.machine_id not in running
        ]
        if ended:
            raise BrokenError(f"{shown(ended)} as before, with result succeed", shown(entry))


@check(
    "return.a-repeated-return-succeeds",
    "HostFactory repeats returns: machines that are already gone are returned again with an id, which completes.",
    _PLAIN,
)
def repeated(run: Run) -> None:
    host, _ = run.supply.returned()
    _require_named(host, run.supply.give_back(host))


@check("return.one-object-is-a-list-of-one", 'The reference shows {"machines": {"name": "..."}}.', _PLAIN)
def one_object(run: Run) -> None:
    host, _ = run.supply.returned()
    document = run.dialogue.answered("requestReturnMachines", {"machines": host.document})
    _require_named(host, run.supply.ended(document))


@check(
    "return.an-unknown-machine-counts-as-returned",
    "A machine that the provider does not know is no error: the return has an id, and completes.",
    _PLAIN,
)
def unknown(run: Run) -> None:
    _require_named(_UNKNOWN, run.supply.give_back(_UNKNOWN))


@check(
    "return.the-name-alone-is-enough",
    "machineId is optional: a machine is found by its name alone.",
    _ONE,
)
def by_name(run: Run) -> None:
    run.supply.returned()
    host = run.supply.spare()
    document = run.dialogue.answered("requestReturnMachines", {"machines": [{"name": host.name}]})
    run.supply.ended(document)
    require_ended(run, host)


@check(
    "return.the-machine-id-counts-first",
    "Where a machineId is given, it says which machine is meant, whatever the name.",
    _ONE,
)
def by_id(run: Run) -> None:
    host = run.supply.spare()
    run.supply.give_back(host._replace(name=_UNKNOWN.name))
    require_ended(run, host)


@check(
    "return.an-unknown-machine-spoils-no-other",
    "A machine that the provider does not know leaves the others of the return as they are: they end.",
    _ONE,
)
def unknown_among_known(run: Run) -> None:
    host = run.supply.spare()
    entry = run.supply.give_back(_UNKNOWN, host)
    _require_named(host, entry)
    require_ended(run, host)


@check("return.nothing-to-return-is-refused", "A return that names no machine is refused: exit status 1.")
def nothing(run: Run) -> None:
    messages: list[Document | bytes] = [{}, {"machines": []}, b""]
    for message in messages:
        run.dialogue.refused("requestReturnMachines", message)


@check("return.what-is-no-json-is-refused", "Input that is not a JSON object is refused: exit status 1.")
def garbage(run: Run) -> None:
    run.dialogue.refused("requestReturnMachines", b'{"machines": [')


def _require_named(host: Host, entry: Document) -> None:
    named = [each for each in entry["machines"] if host.machine_id == each.get("machineId")]
    if not named and not any(each.get("name") == host.name for each in entry["machines"]):
        raise BrokenError(f"machine {host.machine_id} among the machines of its return", shown(entry))


def require_ended(run: Run, host: Host) -> None:
    """Require that a request no longer says that a machine runs, now that its return is complete."""
    [entry] = run.dialogue.status(host.request_id)
    running = [each for each in entry["machines"] if each.get("status") == "running"]
    if any(each.get("machineId") == host.machine_id for each in running):
        raise BrokenError(f"{host.machine_id} not to be running when its return is complete", shown(entry))
