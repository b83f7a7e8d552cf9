"""What holds of every call, whatever the verb: how it answers, and which input it takes."""

from __future__ import annotations

import os

from hfplugin.conformance.calls import STARTS, Call, Variant
from hfplugin.conformance.check import LAST, check
from hfplugin.conformance.dialogue import EXIT_STATUS, IN_TIME, ONE_OBJECT
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.run import Run
from hfplugin.conformance.surroundings import OWN_DIRECTORIES, VERBS


def _none(calls: list[Call], expected: str) -> None:
    """Raise BrokenError when there is one of these calls; it shows the first."""
    if calls:
        more = f" (and {len(calls) - 1} more calls)" if len(calls) > 1 else ""
        raise BrokenError(expected, f"{calls[0]}{more}")


@check(STARTS, "HostFactory runs VERB.sh itself: it begins with #! and the program that reads it.")
def starts(run: Run) -> None:
    for verb in filter(run.dialogue.has, VERBS):
        run.dialogue.call(verb, {})


@check(
    "calls.any-working-directory-serves",
    "HostFactory does not say from which directory it runs a script: the answer must not depend on it.",
)
def any_directory(run: Run) -> None:
    _same_offers(run, Variant(directory=str(run.surroundings.elsewhere)))


@check(
    "calls.closed-standard-input-serves",
    "The input is the file after -f: standard input may be closed.",
)
def closed_input(run: Run) -> None:
    _same_offers(run, Variant(closes_stdin=True))


@check(
    "calls.the-general-directories-suffice",
    "HF_PROVIDER_CONFDIR, HF_PROVIDER_WORKDIR and HF_PROVIDER_LOGDIR are optional: without them they are "
    "$HF_CONFDIR/providers/$HF_PROVIDER_NAME, $HF_WORKDIR/providers/$HF_PROVIDER_NAME and $HF_LOGDIR.",
)
def general_directories(run: Run) -> None:
    _same_offers(run, Variant(changes=dict.fromkeys(OWN_DIRECTORIES)))


def _same_offers(run: Run, variant: Variant) -> None:
    expected = [offer.get("templateId") for offer in run.supply.offers()]
    document = run.dialogue.answered("getAvailableTemplates", {}, variant)
    found = document.get("templates")
    told = (
        [offer.get("templateId") for offer in found if isinstance(offer, dict)] if isinstance(found, list) else []
    )
    if told != expected:
        raise BrokenError(f"the same templates as from any other call: {shown(expected)}", shown(document))


@check(EXIT_STATUS, "A script ends with exit status 0 when it has answered and 1 when it could not.", LAST)
def exit_status(run: Run) -> None:
    _none([call for call in run.memory.calls if call.status not in (0, 1, None)], "exit status 0 or 1")


@check(
    ONE_OBJECT,
    "Standard output holds exactly one JSON object in UTF-8, on failure too, and nothing before or after it: "
    "HostFactory parses all of it.",
    LAST,
)
def one_object(run: Run) -> None:
    calls = [call for call in run.memory.calls if call.status is not None and call.document is None]
    _none(calls, "one JSON object on standard output, and nothing else")


@check("calls.standard-error-is-empty-on-success", "A script that succeeds says nothing on standard error.", LAST)
def silent(run: Run) -> None:
    _none([call for call in run.memory.calls if call.status == 0 and call.stderr], "nothing on standard error")


@check(
    "calls.a-failure-has-a-message",
    'A script that fails says why: {"message": "..."}. It is all that an administrator gets to see.',
    LAST,
)
def failure_message(run: Run) -> None:
    failures = [call for call in run.memory.calls if call.status == 1 and call.document is not None]
    if not failures:
        raise UnjudgedError("no call failed in this run")
    _none([call for call in failures if not _has_message(call)], "`message`: the reason, not empty")


def _has_message(call: Call) -> bool:
    message = call.document.get("message") if call.document else None
    return isinstance(message, str) and message.strip() != ""


@check(
    IN_TIME,
    "HostFactory kills a script that takes too long (HF_PROVIDER_ACTION_TIMEOUT, 300 s as shipped) and calls them "
    "one after the other: a script answers in seconds, and the cloud's work goes on without it.",
    LAST,
)
def in_time(run: Run) -> None:
    limit = run.settings.limits.answer_seconds
    _none([call for call in run.memory.calls if call.status is None], f"an end within {limit:g} s (answerSeconds)")


@check(
    "calls.the-input-file-is-left-alone", "The input file is HostFactory's: it is read, not kept or moved.", LAST
)
def input_alone(run: Run) -> None:
    left = os.listdir(run.surroundings.inputs)
    if left:
        raise BrokenError("nothing beside HostFactory's own files in their directory", shown(left))
