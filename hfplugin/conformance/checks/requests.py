"""requestMachines: what is accepted gets an id, what is refused gets none."""

from __future__ import annotations

from hfplugin.conformance.calls import Call, is_integer
from hfplugin.conformance.check import LAST, SHARED, Needs, check
from hfplugin.conformance.dialogue import demand
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import objects
from hfplugin.conformance.run import Run
from hfplugin.conformance.supply import ACCEPTED

# The most that one more than a template's maxNumber may be, for a provider that launches whatever it is asked for.
MOST_BEYOND = 5


@check(ACCEPTED, 'An accepted request is answered with {"requestId": "...", "message": "..."}.', SHARED)
def accepted(run: Run) -> None:
    run.supply.shared()
    document = next(call.document for call in run.memory.of("requestMachines") if call.has_succeeded)
    if not isinstance((document or {}).get("message"), str):
        raise BrokenError("`message`: a text, which may be empty", shown(document))


@check(
    "request.an-unknown-template-is-refused",
    "A template that does not exist is refused: exit status 1 and a message, so that HostFactory looks elsewhere.",
)
def unknown_template(run: Run) -> None:
    run.dialogue.refused("requestMachines", demand("conformance-no-such-template", 1))


@check("request.missing-input-is-refused", "A request that names no template is refused: exit status 1.")
def missing_input(run: Run) -> None:
    for message in ({}, b"", {"template": {"machineCount": 1}}):
        run.dialogue.refused("requestMachines", message)


@check("request.what-is-no-json-is-refused", "Input that is not a JSON object is refused: exit status 1.")
def garbage(run: Run) -> None:
    run.dialogue.refused("requestMachines", b'{"template": {"templateId": ')


@check(
    "request.a-count-below-one-is-refused", "A request for no machine, or for fewer, is refused: exit status 1."
)
def count_below_one(run: Run) -> None:
    [template_id, *_] = run.supply.template_ids()
    for count in (0, -1):
        run.dialogue.refused("requestMachines", demand(template_id, count))


@check(
    "request.a-refusal-has-no-request-id",
    "An answer of exit status 1 holds no requestId: HostFactory would poll for what does not exist.",
    LAST,
)
def refusal_without_id(run: Run) -> None:
    refusals = [call for call in run.memory.of("requestMachines") if call.status == 1 and call.document]
    if not refusals:
        raise UnjudgedError("no request was refused in this run")
    for call in refusals:
        if "requestId" in (call.document or {}):
            raise BrokenError("no requestId", str(call))


@check(
    "request.ids-are-never-given-twice",
    "Every request has an id of its own, which no return has: HostFactory tells them apart by nothing else.",
    LAST,
)
def ids(run: Run) -> None:
    given = [str(call.document["requestId"]) for call in _accepted(run, "requestMachines") if call.document]
    if len(given) < 2:
        raise UnjudgedError("fewer than two requests were accepted in this run")
    returns = {
        str(call.document["requestId"]) for call in _accepted(run, "requestReturnMachines") if call.document
    }
    twice = sorted({each for each in given if given.count(each) > 1 or each in returns})
    if twice:
        raise BrokenError("every requestId once", f"{shown(twice)} given again")


def _accepted(run: Run, verb: str) -> list[Call]:
    calls = [call for call in run.memory.of(verb) if call.has_succeeded]
    return [call for call in calls if call.document and call.document.get("requestId")]


@check(
    "request.a-numeric-string-is-a-number",
    'Where a number is meant, a string that holds one is accepted: "machineCount": "1".',
    Needs(launches=1),
)
def numeric_string(run: Run) -> None:
    [template_id, *_] = run.supply.template_ids()
    run.supply.tried(demand(template_id, "1"), 1)


@check(
    "request.unknown-keys-are-ignored",
    "HostFactory may send keys that a provider does not know (rc_account, userData): it ignores them.",
    Needs(launches=1),
)
def unknown_keys(run: Run) -> None:
    [template_id, *_] = run.supply.template_ids()
    run.supply.tried(demand(template_id, 1, rc_account="default", userData={"a": "b"}, colour="red"), 1)


@check(
    "request.never-more-than-the-maximum",
    "Of a template no more machines run than its maxNumber: what goes beyond is refused, or cut.",
    Needs(launches=MOST_BEYOND),
)
def maximum(run: Run) -> None:
    tested = run.supply.template_ids()
    small = [
        offer
        for offer in run.supply.offers()
        if is_integer(offer.get("maxNumber")) and 0 < offer["maxNumber"] < MOST_BEYOND
        if offer.get("templateId") in tested
    ]
    if not small:
        raise UnjudgedError(f"no template of those to be tested has a maxNumber from 1 to {MOST_BEYOND - 1}")
    template_id, most = small[0]["templateId"], small[0]["maxNumber"]
    run.supply.launched += most + 1
    call = run.dialogue.call("requestMachines", demand(template_id, most + 1))
    if call.has_succeeded and call.document:
        entry = run.dialogue.wait(str(call.document.get("requestId")), run.settings.limits.ready_seconds)
        came = [each for each in objects(entry["machines"]) if each.get("result") != "fail"]
        if len(came) > most:
            raise BrokenError(f"{most} machines at most", f"{len(came)} machines: {shown(entry)}")
