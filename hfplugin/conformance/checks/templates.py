"""getAvailableTemplates: what HostFactory sizes its demand by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hfplugin.conformance import Document
from hfplugin.conformance.calls import is_integer
from hfplugin.conformance.check import SHARED, check
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.run import Run
from hfplugin.conformance.supply import CHOICE, OFFERS

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TYPES = ("String", "Numeric")
_SIZES = ("ncpus", "nram", "ncores")
# What may not differ between two calls.
_LASTING = ("templateId", "maxNumber", "attributes")


def _offers(run: Run) -> list[Document]:
    """Give the templates; UnjudgedError when there is none to look at."""
    offers = run.supply.offers()
    if not offers:
        raise UnjudgedError("no template is offered")
    return offers


@check(OFFERS, 'The answer is {"templates": [...], "message": "..."}: a list of objects, and a text.')
def answers_a_list(run: Run) -> None:
    document = run.dialogue.answered("getAvailableTemplates", {})
    run.supply.offers()
    if not isinstance(document.get("message"), str):
        raise BrokenError("`message`: a text, which may be empty", shown(document))


@check(
    "templates.offers-something",
    "The list is never empty, and never all with maxNumber 0, because something is wrong: HostFactory may give up "
    "the provider for good. Exit status 1 says that something is wrong.",
)
def offers_something(run: Run) -> None:
    offers = run.supply.offers()
    if not any(offer.get("maxNumber") != 0 for offer in offers):
        raise BrokenError("a template whose maxNumber is not 0", shown(offers))


@check(CHOICE, "The templates that the suite is told to use are offered.")
def offers_choice(run: Run) -> None:
    run.supply.template_ids()


@check("templates.an-empty-file-serves", "The input is optional: an empty file is the same as {}.")
def empty_file(run: Run) -> None:
    run.dialogue.answered("getAvailableTemplates", b"")


@check(
    "templates.ids-are-well-formed",
    "A templateId is a text of 1 to 64 letters, digits, - and _; each appears once.",
)
def ids(run: Run) -> None:
    found = [offer.get("templateId") for offer in _offers(run)]
    for each in found:
        if not isinstance(each, str) or not _ID.fullmatch(each):
            raise BrokenError("1 to 64 of 0-9 A-Z a-z - _", shown(each))
    if len(set(found)) < len(found):
        raise BrokenError("every templateId once", shown(found))


@check(
    "templates.counts-are-integers",
    "maxNumber is an integer, -1 meaning no limit and 0 none; availableNumber, where given, is an integer too.",
)
def counts(run: Run) -> None:
    for offer in _offers(run):
        most: Any = offer.get("maxNumber")
        if not is_integer(most) or most < -1:
            raise BrokenError("maxNumber: an integer, -1 or more", shown(offer))
        if not is_integer(offer.get("availableNumber", 0)):
            raise BrokenError("availableNumber: an integer", shown(offer))


@check(
    "templates.attributes-are-pairs-of-strings",
    'Every attribute is a list of two strings, the type and the value: "ncpus": ["Numeric", "4"].',
)
def pairs(run: Run) -> None:
    for offer, name, value in _attributes(run):
        if not _is_pair(value):
            expected = f'"{name}": a list of two strings, the first String or Numeric'
            raise BrokenError(expected, f"{shown(value)} in template {shown(offer.get('templateId'))}")


@check(
    "templates.attributes-say-the-size",
    "Attributes hold type (String) and ncpus, nram (MB) and ncores (Numeric): HostFactory asks for machines by "
    "ncores x ncpus, and without them asks again for what is already on its way.",
)
def sizes(run: Run) -> None:
    for offer in _offers(run):
        attributes = offer.get("attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        missing = [name for name in ("type", *_SIZES) if name not in attributes]
        if missing:
            raise BrokenError(f"attributes {', '.join(missing)}", shown(offer))
        for name in _SIZES:
            if _is_pair(attributes[name]) and not _is_size(*attributes[name]):
                raise BrokenError(f'"{name}": ["Numeric", a number above 0]', shown(attributes[name]))


def _attributes(run: Run) -> Iterator[tuple[Document, str, object]]:
    for offer in _offers(run):
        attributes = offer.get("attributes")
        if not isinstance(attributes, dict):
            raise BrokenError("attributes: an object", shown(offer))
        yield from ((offer, name, value) for name, value in attributes.items())


def _is_pair(value: object) -> bool:
    is_two = isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)
    return is_two and isinstance(value, list) and value[0] in _TYPES


def _is_size(kind: str, value: str) -> bool:
    try:
        return kind == "Numeric" and float(value) > 0
    except ValueError:
        return False


@check(
    "templates.same-when-asked-again",
    "Without a change of its files, a provider offers the same templates in the same order: with no other policy "
    "HostFactory tries them in that order.",
)
def same_again(run: Run) -> None:
    before, now = _lasting(_offers(run)), _lasting(_offers_now(run))
    if [each["templateId"] for each in before] != [each["templateId"] for each in now]:
        raise BrokenError(
            shown([each["templateId"] for each in before]), shown([each["templateId"] for each in now])
        )
    for one, other in zip(before, now, strict=True):
        if one != other:
            raise BrokenError(shown(one), shown(other))


@check(
    "templates.maximum-stays-while-machines-run",
    "maxNumber does not go down because machines run: HostFactory counts them itself, and has been seen to hang. "
    "What is left may be said by availableNumber.",
    SHARED,
)
def maximum_stays(run: Run) -> None:
    run.supply.shared()
    before = {offer.get("templateId"): offer.get("maxNumber") for offer in _offers(run)}
    now = {offer.get("templateId"): offer.get("maxNumber") for offer in _offers_now(run)}
    if before != now:
        raise BrokenError(f"maxNumber as before: {shown(before)}", shown(now))


def _offers_now(run: Run) -> list[Document]:
    found = run.dialogue.answered("getAvailableTemplates", {}).get("templates")
    if not isinstance(found, list):
        raise BrokenError("`templates`: a list of objects", shown(found), OFFERS)
    return found


def _lasting(offers: list[Document]) -> list[Document]:
    return [{key: offer.get(key) for key in _LASTING} for offer in offers]
