"""getReturnRequests: the machines that the provider loses, or has lost, and no other."""

from __future__ import annotations

import time

from hfplugin.conformance import Document
from hfplugin.conformance.calls import is_integer
from hfplugin.conformance.check import LAST, SHARED, Needs, check
from hfplugin.conformance.dialogue import LOSSES, losses
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import Host
from hfplugin.conformance.run import Run

_NAMED = "lost.a-terminated-machine-is-named"


@check(LOSSES, 'The answer is {"status": "complete", "message": "...", "requests": [...]}.')
def answers_a_list(run: Run) -> None:
    run.dialogue.lost()
    document = run.memory.of("getReturnRequests")[-1].document or {}
    if document.get("status") != "complete" or not isinstance(document.get("message"), str):
        raise BrokenError('`status`: "complete", and `message`: a text', shown(document))


@check("lost.an-empty-input-serves", "The input is optional: for {} or an empty file no machine is named.")
def empty_input(run: Run) -> None:
    messages: list[Document | bytes] = [{}, b""]
    for message in messages:
        document = run.dialogue.answered("getReturnRequests", message)
        if losses(document):
            raise BrokenError("`requests`: an empty list", shown(document))


@check(
    "lost.a-healthy-machine-is-never-named",
    "Whoever is named is drained and returned: a healthy machine that is named is lost to the cluster.",
    SHARED,
)
def healthy(run: Run) -> None:
    found = run.dialogue.lost(*run.supply.shared())
    if found:
        raise BrokenError("no machine: all of them run", shown(found))


@check("lost.bare-names-are-taken", 'A bare text is a host\'s name: {"machines": ["..."]}.', SHARED)
def bare_names(run: Run) -> None:
    names = [host.name for host in run.supply.shared()]
    run.dialogue.answered("getReturnRequests", {"machines": names})


@check(
    _NAMED,
    "A machine that was ended outside of HostFactory is named with gracePeriod 0, so that it is replaced.",
    Needs(spares=1, returns=True, hooks=("terminate",)),
)
def terminated(run: Run) -> None:
    host = run.supply.spare()
    run.world.do("terminate", host.machine_id)
    entry = _named(run, host)
    if entry.get("gracePeriod") != 0:
        raise BrokenError("gracePeriod 0: it is gone", shown(entry))
    if not _of(host, run.dialogue.lost(host)):
        raise BrokenError(f"{host.name} to be named until it is returned", "no mention in the next answer")
    others = run.supply.give_back(host)
    if not others["machines"]:
        raise BrokenError(f"{host.machine_id} among the machines of its return", shown(others))


@check(
    "lost.a-bare-name-is-looked-up",
    "A machine that was lost is named as well when HostFactory knows only its name.",
    Needs(spares=1, returns=True, hooks=("terminate",)),
)
def bare_name_lost(run: Run) -> None:
    host = run.supply.spare()
    run.world.do("terminate", host.machine_id)
    _named(run, host, _NAMED)
    found = losses(run.dialogue.answered("getReturnRequests", {"machines": [host.name]}))
    if not _of(host, found):
        raise BrokenError(f"{host.name}, as when its machineId is sent along", shown(found))


@check(
    "lost.only-machines-of-the-input-are-named",
    "The input holds every machine that HostFactory has of the provider: others are none of its business.",
    LAST,
)
def only_of_the_input(run: Run) -> None:
    if not run.memory.of("getReturnRequests"):
        raise UnjudgedError("getReturnRequests was not called in this run")
    for call, entry in run.memory.losses():
        machines = call.message.get("machines")
        asked = machines if isinstance(machines, list) else []
        names = {each if isinstance(each, str) else each.get("name") for each in asked}
        if entry.get("machine") not in names:
            raise BrokenError(f"only machines of {shown(sorted(map(str, names)))}", shown(entry))


@check(
    "lost.an-interrupted-machine-is-named",
    "A machine that the cloud is taking back is named with the seconds that are left, which become fewer.",
    Needs(interruptible=True, returns=True, hooks=("interrupt",)),
)
def interrupted(run: Run) -> None:
    host = run.supply.interruptible()
    run.world.do("interrupt", host.machine_id)
    before = _named(run, host).get("gracePeriod")
    run.dialogue.pause()
    again = _of(host, run.dialogue.lost(host))
    if not again:
        raise BrokenError(f"{host.name} to be named until it is returned", "no mention in the next answer")
    now = again[0].get("gracePeriod")
    if is_integer(before) and is_integer(now) and now > before:
        raise BrokenError(f"gracePeriod {before} or less", shown(now))
    run.supply.give_back(host)


@check(
    "lost.entries-have-their-fields",
    "Every entry has machine, the host's name, and machineId, which are texts, and gracePeriod, an integer of "
    "seconds, 0 or more.",
    LAST,
)
def fields(run: Run) -> None:
    named = list(run.memory.losses())
    if not named:
        raise UnjudgedError("no machine was named by getReturnRequests in this run")
    for _, entry in named:
        if not all(isinstance(entry.get(key), str) for key in ("machine", "machineId")):
            raise BrokenError("machine and machineId: texts", shown(entry))
        if not is_integer(entry.get("gracePeriod")) or entry["gracePeriod"] < 0:
            raise BrokenError("gracePeriod: an integer, 0 or more", shown(entry))


def _named(run: Run, host: Host, rule: str = "") -> Document:
    """Ask until a machine is named among those that run as well; the entry."""
    limit = run.settings.limits.notice_seconds
    until = time.monotonic() + limit
    while True:
        found = run.dialogue.lost(host)
        mine = _of(host, found)
        if mine:
            return mine[0]
        if time.monotonic() >= until:
            raise BrokenError(f"{host.name} to be named within {limit:g} s (noticeSeconds)", shown(found), rule)
        run.dialogue.pause()


def _of(host: Host, found: list[Document]) -> list[Document]:
    return [
        entry for entry in found if entry.get("machine") == host.name or entry.get("machineId") == host.machine_id
    ]
