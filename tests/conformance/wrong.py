"""Providers that break one rule each, named after the check that has to see it (and, after a slash, which way)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, ClassVar

from conformance.right import HOOKS, Document, RefusedError, Right, listed, main

WRONG: dict[str, type[Right]] = {}


def breaks(rule: str) -> Callable[[type[Right]], type[Right]]:
    def note(provider: type[Right]) -> type[Right]:
        WRONG[rule] = provider
        return provider

    return note


def play(rule: str, arguments: Sequence[str]) -> None:
    main(WRONG[rule], arguments)


class Altered(Right):
    """What it answers is right but for what `alter` does to it."""

    verb: ClassVar[str]

    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        status, document = super().answer(verb, content)
        document = deepcopy(document)
        if verb == self.verb and status == 0:
            self.alter(document)
        return status, document

    def alter(self, document: Document) -> None:
        raise NotImplementedError


def alters(rule: str, verb: str, alter: Callable[[Document], Any]) -> None:
    """A provider that answers a verb with a change."""
    WRONG[rule] = type("Altering", (Altered,), {"verb": verb, "alter": lambda self, document: alter(document)})


def alters_templates(rule: str, alter: Callable[[Document], Any]) -> None:
    """A provider whose first template is other than it has to be."""
    alters(rule, "getAvailableTemplates", lambda document: alter(document["templates"][0]))


def alters_machines(rule: str, alter: Callable[[Document], Any]) -> None:
    """A provider whose machines, until they end, are other than they have to be."""

    def each(document: Document) -> None:
        for machine in (m for entry in document["requests"] for m in entry["machines"]):
            if machine["status"] in ("pending", "running"):
                alter(machine)

    alters(rule, "getRequestStatus", each)


# Every call.


class Loud(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        if verb not in HOOKS:
            sys.stdout.write("getting ready\n")
        return super().say(verb, status, document)


WRONG["calls.one-json-object-on-stdout/a line before it"] = Loud


@breaks("calls.one-json-object-on-stdout/not a number")
class NotANumber(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        return super().say(verb, status, {**document, "load": float("nan")} if verb not in HOOKS else document)


@breaks("calls.one-json-object-on-stdout/silent when it fails")
class SilentFailure(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        return status if status else super().say(verb, status, document)


@breaks("calls.exit-status-is-0-or-1")
class OtherStatus(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        return super().say(verb, status, document) * 2


@breaks("calls.standard-error-is-empty-on-success")
class Chatty(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        sys.stderr.write("DeprecationWarning\n")
        return super().say(verb, status, document)


@breaks("calls.a-failure-has-a-message")
class Speechless(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        status, document = super().answer(verb, content)
        return status, {"message": ""} if status else document


@breaks("calls.answer-in-time")
class Slow(Right):
    def say(self, verb: str, status: int, document: Document) -> int:
        if verb == "requestReturnMachines" and status:
            time.sleep(30)
        return super().say(verb, status, document)


WRONG["calls.every-script-starts"] = Right  # its test takes a script's first line away


@breaks("calls.any-working-directory-serves")
class AtHome(Right):
    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        if os.getcwd() != "/":
            raise RefusedError("cannot find lib/provider.jar")
        return super().getAvailableTemplates(message)


@breaks("calls.closed-standard-input-serves")
class Reader(Right):
    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        if sys.stdin is None:
            raise RefusedError("bad file descriptor")
        return super().getAvailableTemplates(message)


@breaks("calls.the-general-directories-suffice")
class Particular(Right):
    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        if "HF_PROVIDER_CONFDIR" not in os.environ:
            raise RefusedError("HF_PROVIDER_CONFDIR is not set")
        return super().getAvailableTemplates(message)


@breaks("status.a-byte-order-mark-is-passed-over")
class NoMark(Right):
    def read(self, content: bytes) -> Document:
        if content.startswith(b"\xef\xbb\xbf"):
            raise RefusedError("Unexpected BOM")
        return super().read(content)


@breaks("status.unknown-keys-are-ignored")
class StrictStatus(Right):
    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        if message.keys() - {"requests"}:
            raise RefusedError(f"unknown keys {message.keys()}")
        return super().getRequestStatus(message)


@breaks("calls.the-input-file-is-left-alone")
class Keeper(Right):
    def file(self, path: str) -> bytes:
        content = super().file(path)
        with open(f"{path}.done", "wb") as file:
            file.write(content)
        return content


# getAvailableTemplates

alters("templates.answers-a-list/no list", "getAvailableTemplates", lambda d: d.update(templates={}))
alters("templates.answers-a-list/no message", "getAvailableTemplates", lambda d: d.pop("message"))
alters("templates.offers-something/an empty list", "getAvailableTemplates", lambda d: d["templates"].clear())
alters_templates("templates.offers-something/all of none", lambda t: t.update(maxNumber=0))
alters(
    "templates.ids-are-well-formed/twice", "getAvailableTemplates", lambda d: d["templates"].extend(d["templates"])
)
alters_templates("templates.counts-are-integers/a text", lambda t: t.update(maxNumber="100"))
alters_templates("templates.counts-are-integers/available", lambda t: t.update(availableNumber=None))
alters_templates("templates.attributes-are-pairs-of-strings/a number", lambda t: t["attributes"].update(a=1))
alters_templates(
    "templates.attributes-are-pairs-of-strings/a number in it",
    lambda t: t["attributes"].update(ncpus=["Numeric", 1]),
)
alters_templates("templates.attributes-say-the-size/no cores", lambda t: t["attributes"].pop("ncores"))
alters_templates(
    "templates.attributes-say-the-size/a text", lambda t: t["attributes"].update(nram=["Numeric", "4 GiB"])
)


@breaks("templates.ids-are-well-formed/a dot")
class Dotted(Right):
    templates = ({**Right.templates[0], "templateId": "m5.large"},)


@breaks("templates.an-empty-file-serves")
class NoEmptyFile(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        if verb == "getAvailableTemplates" and not content:
            return 1, {"message": "no JSON"}
        return super().answer(verb, content)


@breaks("templates.same-when-asked-again")
class Shuffled(Right):
    templates: tuple[Document, ...] = (*Right.templates, {**Right.templates[0], "templateId": "other"})

    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        count = self.memory["count"] = self.memory.get("count", 0) + 1
        return {"templates": list(self.templates)[:: 1 if count == 1 else -1], "message": ""}


@breaks("templates.maximum-stays-while-machines-run")
class Counting(Right):
    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        left = 100 - len(self.cloud["machines"])
        return {"templates": [{**self.templates[0], "maxNumber": left}], "message": ""}


WRONG["templates.offers-what-is-to-be-tested"] = Right  # the file of its test names another template


# requestMachines

alters("request.answers-an-id-and-a-message/no id", "requestMachines", lambda d: d.pop("requestId"))
alters("request.answers-an-id-and-a-message/no message", "requestMachines", lambda d: d.pop("message"))


@breaks("request.an-unknown-template-is-refused")
class Guessing(Right):
    def demand(self, message: Document) -> tuple[str, int]:
        if "no-such" in str(message.get("template", {}).get("templateId")):
            return "small", 1
        return super().demand(message)


@breaks("request.missing-input-is-refused")
class Generous(Right):
    def demand(self, message: Document) -> tuple[str, int]:
        return super().demand(message) if message else ("small", 1)


@breaks("request.what-is-no-json-is-refused")
class GarbledRequest(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        is_garbage = content.endswith(b'"templateId": ')
        return (0, {"requestId": "", "message": "ok"}) if is_garbage else super().answer(verb, content)


@breaks("request.a-count-below-one-is-refused")
class Zero(Right):
    def demand(self, message: Document) -> tuple[str, int]:
        if message.get("template", {}).get("machineCount") == 0:
            return "small", 0
        return super().demand(message)


@breaks("request.a-refusal-has-no-request-id")
class RefusalWithId(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        status, document = super().answer(verb, content)
        return status, {**document, "requestId": "req-x"} if verb == "requestMachines" and status else document


@breaks("request.ids-are-never-given-twice")
class OneReturn(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        document = super().requestReturnMachines(message)
        self.returns["req-0"] = self.returns[document["requestId"]]
        return {**document, "requestId": "req-0"} if len(self.returns) > 2 else document


@breaks("request.a-numeric-string-is-a-number")
class NoText(Right):
    def demand(self, message: Document) -> tuple[str, int]:
        if isinstance(message.get("template", {}).get("machineCount"), str):
            raise RefusedError("machineCount is not an integer")
        return super().demand(message)


@breaks("request.unknown-keys-are-ignored")
class StrictRequest(Right):
    def demand(self, message: Document) -> tuple[str, int]:
        if message.keys() - {"template"}:
            raise RefusedError("unknown keys")
        return super().demand(message)


class Few(Right):
    """The right one, with room for two machines."""

    templates = ({**Right.templates[0], "maxNumber": 2},)


@breaks("request.never-more-than-the-maximum")
class Boundless(Few):
    def granted(self, template_id: str, count: int) -> int:
        return count


# getRequestStatus


@breaks("status.an-unknown-id-is-answered/exit status")
class UnknownFails(Right):
    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        ids = [each["requestId"] for each in listed(message.get("requests", []), "requestId")]
        if len(ids) == 1 and ids[0] not in self.requests | self.returns:
            raise RefusedError(f"unknown request {ids[0]}")
        return super().getRequestStatus(message)


class UnknownAltered(Right):
    changes: ClassVar[Document]

    def entry(self, asked: Document) -> Document:
        entry = super().entry(asked)
        return entry | self.changes if entry["message"].startswith("unknown") else entry


@breaks("status.an-unknown-id-is-answered/complete")
class UnknownComplete(UnknownAltered):
    changes: ClassVar[Document] = {"status": "complete"}


@breaks("status.an-unknown-id-is-answered/no message")
class UnknownSilent(UnknownAltered):
    changes: ClassVar[Document] = {"message": ""}


@breaks("status.what-is-no-json-is-refused")
class GarbledStatus(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        is_garbage = content == b'{"requests": ['
        return (0, {"requests": [], "message": ""}) if is_garbage else super().answer(verb, content)


@breaks("status.a-request-completes/never")
class Endless(Right):
    def look_at(self, machine: Document) -> None:
        machine |= {"result": "executing", "status": "pending"}


class Strict(Right):
    """Takes requests in one form alone."""

    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        if not self.takes(message.get("requests")):
            raise RefusedError("requests has to be a list of objects")
        return super().getRequestStatus(message)

    def takes(self, requests: Any) -> bool:
        raise NotImplementedError


@breaks("status.one-object-is-a-list-of-one")
class NoObject(Strict):
    def takes(self, requests: Any) -> bool:
        return not isinstance(requests, dict)


@breaks("status.a-bare-id-is-taken/in a list")
class NoBareIdInAList(Strict):
    def takes(self, requests: Any) -> bool:
        return not isinstance(requests, list) or not isinstance(requests[0], str)


@breaks("status.a-bare-id-is-taken/alone")
class NoBareId(Strict):
    def takes(self, requests: Any) -> bool:
        return not isinstance(requests, str)


alters(
    "status.each-id-is-answered-in-order",
    "getRequestStatus",
    lambda d: d["requests"].sort(key=lambda each: each["requestId"]) if len(d["requests"]) > 2 else None,
)


@breaks("status.an-unknown-id-spoils-no-other")
class Spoiled(Right):
    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        document = super().getRequestStatus(message)
        unknown = [each for each in document["requests"] if each["message"].startswith("unknown")]
        if len(document["requests"]) == 2 and unknown:
            raise RefusedError("one of the requests is unknown")
        return document


@breaks("status.same-when-asked-again")
class Moving(Right):
    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        document = deepcopy(super().getRequestStatus(message))
        count = self.memory["count"] = self.memory.get("count", 0) + 1
        for machine in (m for entry in document["requests"] for m in entry["machines"]):
            machine["privateIpAddress"] = f"10.1.0.{count}"
        return document


alters(
    "status.entries-have-their-fields/no message", "getRequestStatus", lambda d: d["requests"][0].pop("message")
)
alters(
    "status.entries-have-their-fields/no list", "getRequestStatus", lambda d: d["requests"][0].update(machines={})
)
alters(
    "status.request-status-is-a-known-word",
    "getRequestStatus",
    lambda d: [each.update(status="done") for each in d["requests"] if each["status"] == "complete"],
)
alters_machines("status.messages-are-one-short-line/two lines", lambda m: m.update(message="up\nand running"))
alters_machines("status.messages-are-one-short-line/long", lambda m: m.update(message="up " * 200))


@breaks("status.the-last-status-stays")
class Changing(Right):
    def looked_at(self, request: Document) -> Document:
        entry = super().looked_at(request)
        results = {machine["result"] for machine in entry["machines"]}
        return entry | {"status": "complete_with_error"} if results == {"fail"} else entry


@breaks("status.running-while-a-machine-is-executing")
class Hasty(Right):
    def looked_at(self, request: Document) -> Document:
        before = request["status"]
        entry = deepcopy(super().looked_at(request))
        if before == "running" and entry["status"] == "complete":
            entry["machines"][-1] |= {"result": "executing", "status": "pending"}
        return entry


class Empty(Right):
    """Nothing can be had."""

    ending: ClassVar[str]

    def looked_at(self, request: Document) -> Document:
        status = deepcopy(super().looked_at(request))
        for machine in status["machines"]:
            machine |= {"result": "fail", "status": "terminated", "message": "no capacity"}
        return status | {"status": self.ending}


@breaks("status.a-request-completes/with an error")
class Failing(Empty):
    ending = "complete_with_error"


@breaks("status.the-last-status-fits-the-machines/nothing usable")
class Hopeful(Empty):
    ending = "complete"


@breaks("status.the-last-status-fits-the-machines/something usable")
class Hopeless(Right):
    def looked_at(self, request: Document) -> Document:
        status = super().looked_at(request)
        return status | {"status": status["status"].replace("complete", "complete_with_error")}


@breaks("status.no-machine-is-dropped")
class Forgetful(Right):
    def looked_at(self, request: Document) -> Document:
        entry = super().looked_at(request)
        looks = request["looks"] = request.get("looks", 0) + 1
        return entry | {"machines": entry["machines"][1:]} if looks > 2 else entry


# the machines

alters_machines("machines.have-their-fields/no id", lambda m: m.pop("machineId"))
alters_machines("machines.have-their-fields/null", lambda m: m.update(privateIpAddress=None))
alters_machines("machines.have-their-fields/a message that is none", lambda m: m.update(message=None))
alters_machines("machines.launch-time-is-whole-seconds/text", lambda m: m.update(launchtime=str(m["launchtime"])))
alters_machines(
    "machines.launch-time-is-whole-seconds/fraction", lambda m: m.update(launchtime=m["launchtime"] + 0.5)
)
alters_machines(
    "machines.launch-time-is-whole-seconds/milli", lambda m: m.update(launchtime=m["launchtime"] * 1000)
)
alters_machines("machines.a-success-is-usable/not running", lambda m: m.update(status="pending"))
alters_machines("machines.a-success-is-usable/no address", lambda m: m.update(privateIpAddress=""))
alters_machines("machines.a-success-is-usable/no name", lambda m: m.update(name=""))
alters_machines("machines.the-name-is-no-address", lambda m: m.update(name=m["privateIpAddress"]))
alters_machines(
    "machines.names-differ-in-their-first-label", lambda m: m.update(name=m["name"].replace("-", ".", 1))
)
alters(
    "machines.result-is-a-known-word",
    "getRequestStatus",
    lambda d: [
        m.update(result="failed") for each in d["requests"] for m in each["machines"] if m["result"] == "fail"
    ],
)
alters(
    "machines.status-is-a-known-word",
    "getRequestStatus",
    lambda d: [
        m.update(status="gone") for each in d["requests"] for m in each["machines"] if m["result"] == "fail"
    ],
)
alters(
    "machines.a-failure-says-why",
    "getRequestStatus",
    lambda d: [m.update(message="") for each in d["requests"] for m in each["machines"] if m["result"] == "fail"],
)


@breaks("machines.a-failure-stays")
class Undecided(Right):
    def looked_at(self, request: Document) -> Document:
        looks = request["looks"] = request.get("looks", 0) + 1
        entry = deepcopy(super().looked_at(request))
        if looks == 1:
            entry["machines"][0] |= {"result": "fail", "message": "not there yet"}
        return entry


@breaks("machines.name-and-launch-time-stay")
class Renaming(Right):
    def looked_at(self, request: Document) -> Document:
        entry = deepcopy(super().looked_at(request))
        for machine in entry["machines"]:
            if entry["status"] == "complete":
                machine["name"] = f"node-{machine['name']}"
        return entry


# getReturnRequests

alters("lost.answers-a-list/no list", "getReturnRequests", lambda d: d.pop("requests"))
alters("lost.answers-a-list/no status", "getReturnRequests", lambda d: d.pop("status"))
alters(
    "lost.entries-have-their-fields/a fraction",
    "getReturnRequests",
    lambda d: [
        each.update(gracePeriod=each["gracePeriod"] + 0.5) for each in d["requests"] if each["gracePeriod"]
    ],
)
alters(
    "lost.entries-have-their-fields/no id",
    "getReturnRequests",
    lambda d: [each.pop("machineId") for each in d["requests"]],
)


@breaks("lost.an-empty-input-serves")
class NeedsInput(Right):
    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        if "machines" not in message:
            raise RefusedError("machines is missing")
        return super().getReturnRequests(message)


@breaks("lost.a-healthy-machine-is-never-named")
class Panicking(Right):
    def grace(self, machine_id: str) -> int | None:
        return 0 if machine_id == "m-0" else super().grace(machine_id)


@breaks("lost.bare-names-are-taken")
class NoNames(Right):
    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        hosts = message.get("machines", [])
        if len(hosts) > 1 and isinstance(hosts[0], str):
            raise RefusedError("machines has to be a list of objects")
        return super().getReturnRequests(message)


@breaks("lost.a-bare-name-is-looked-up")
class NamesPassedOver(Right):
    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        hosts = message.get("machines", [])
        return super().getReturnRequests({"machines": [host for host in hosts if isinstance(host, dict)]})


@breaks("lost.a-terminated-machine-is-named/never")
class Blind(Right):
    def grace(self, machine_id: str) -> int | None:
        return super().grace(machine_id) or None


@breaks("lost.a-terminated-machine-is-named/with time left")
class Late(Right):
    def grace(self, machine_id: str) -> int | None:
        grace = super().grace(machine_id)
        return 60 if grace == 0 else grace


@breaks("lost.a-terminated-machine-is-named/once")
class Once(Right):
    def grace(self, machine_id: str) -> int | None:
        grace = super().grace(machine_id)
        if grace != 0:
            return grace
        told = self.memory.setdefault("told", {})
        count = told[machine_id] = told.get(machine_id, 0) + 1
        return None if count == 2 and len(told) == 1 else 0


@breaks("lost.only-machines-of-the-input-are-named")
class Telling(Right):
    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        document = super().getReturnRequests(message)
        if document["requests"]:
            document["requests"] += [{"machine": "host-x", "machineId": "m-x", "gracePeriod": 0}]
        return document


@breaks("lost.an-interrupted-machine-is-named/never")
class Unwarned(Right):
    def grace(self, machine_id: str) -> int | None:
        return None if super().grace(machine_id) else super().grace(machine_id)


@breaks("lost.an-interrupted-machine-is-named/with more and more time")
class Growing(Right):
    def grace(self, machine_id: str) -> int | None:
        grace = super().grace(machine_id)
        count = self.memory["count"] = self.memory.get("count", 0) + 1
        return grace and grace + 2 * count


# calls at the same time


class OneAtATime(Right):
    """A call of these verbs that finds another at work goes wrong."""

    pair: ClassVar[set[str]]

    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        if verb in self.pair:
            time.sleep(0.2)
        before, self.memory["last"] = self.memory.get("last"), verb
        status, document = super().answer(verb, content)
        if self.has_waited and {verb, before} == self.pair:
            return self.disturbed(status, document)
        return status, document

    def disturbed(self, status: int, document: Document) -> tuple[int, Document]:
        return 1, {"message": "another call is at work"}


@breaks("concurrency.two-polls-at-once-agree")
class OnePoll(OneAtATime):
    pair: ClassVar[set[str]] = {"getRequestStatus"}


@breaks("concurrency.a-poll-while-requesting-answers")
class NoPollMeanwhile(OneAtATime):
    pair: ClassVar[set[str]] = {"getRequestStatus", "requestMachines"}


@breaks("concurrency.two-returns-at-once-both-complete")
class OneReturnAtATime(OneAtATime):
    pair: ClassVar[set[str]] = {"requestReturnMachines"}


@breaks("concurrency.two-requests-at-once-are-both-kept")
class LostUpdate(OneAtATime):
    pair: ClassVar[set[str]] = {"requestMachines"}

    def disturbed(self, status: int, document: Document) -> tuple[int, Document]:
        self.requests.pop(document["requestId"])
        return status, document


# requestReturnMachines

alters("return.answers-an-id-and-a-message/no id", "requestReturnMachines", lambda d: d.pop("requestId"))
alters("return.answers-an-id-and-a-message/no message", "requestReturnMachines", lambda d: d.pop("message"))


@breaks("return.completes/never")
class NeverGone(Right):
    def returned(self, return_id: str) -> Document:
        for machine in self.returns[return_id]:
            machine |= {"result": "executing", "status": "running"}
        return {"requestId": return_id, "status": "running", "message": "", "machines": self.returns[return_id]}


@breaks("return.completes/without its machines")
class NobodyReturned(Right):
    def returned(self, return_id: str) -> Document:
        entry = super().returned(return_id)
        return entry | {"machines": []} if return_id == "ret-0" else entry


class Pretending(Right):
    """Says that machines are gone without ending them."""

    def is_passed_over(self, return_id: str) -> bool:
        raise NotImplementedError

    def returned(self, return_id: str) -> Document:
        states = deepcopy(self.cloud["machines"])
        entry = super().returned(return_id)
        if self.is_passed_over(return_id):
            self.cloud["machines"] = states
        return entry


@breaks("return.the-machine-is-gone")
class Hiding(Pretending):
    """Its requests say that the machines are gone, too."""

    def is_passed_over(self, return_id: str) -> bool:
        return return_id == "ret-0"

    def look_at(self, machine: Document) -> None:
        super().look_at(machine)
        if any(each["machineId"] == machine["machineId"] for hosts in self.returns.values() for each in hosts):
            machine |= {"status": "terminated", "result": "fail", "message": "it was returned"}


@breaks("return.the-others-are-left-alone")
class Sweeping(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        document = super().requestReturnMachines(message)
        running = [machine for machine in self.cloud["machines"].values() if machine["state"] == "running"]
        for machine in running[:1]:
            machine["state"] = "terminated"
        return document


@breaks("return.a-repeated-return-succeeds")
class OnceOnly(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        hosts = message.get("machines", [])
        if isinstance(hosts, list):
            again = {host["machineId"] for machines in self.returns.values() for host in machines}
            if any(host.get("machineId") in again & self.cloud["machines"].keys() for host in hosts):
                raise RefusedError("already returned")
        return super().requestReturnMachines(message)


class StrictReturn(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        if not self.takes(message.get("machines")):
            raise RefusedError("the machines cannot be understood")
        return super().requestReturnMachines(message)

    def takes(self, machines: Any) -> bool:
        raise NotImplementedError


@breaks("return.one-object-is-a-list-of-one")
class NoMachineObject(StrictReturn):
    def takes(self, machines: Any) -> bool:
        return not isinstance(machines, dict)


@breaks("return.an-unknown-machine-counts-as-returned")
class UnknownRefused(StrictReturn):
    def takes(self, machines: Any) -> bool:
        return (
            not isinstance(machines, list)
            or [m.get("name") for m in machines] != ["conformance-no-such-host"]
            or (machines[0]["machineId"] in self.cloud["machines"])
        )


@breaks("return.an-unknown-machine-spoils-no-other")
class AllOrNothing(Pretending):
    def is_passed_over(self, return_id: str) -> bool:
        return len(self.returns[return_id]) > 1


@breaks("return.the-name-alone-is-enough")
class ByIdAlone(Right):
    def found(self, host: Document) -> Document:
        return super().found(host | {"machineId": host.get("machineId") or "unknown"})


@breaks("return.the-machine-id-counts-first")
class ByNameFirst(Right):
    def found(self, host: Document) -> Document:
        return super().found({"name": host["name"]})


@breaks("return.nothing-to-return-is-refused")
class NothingReturned(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        if message == {"machines": []}:
            return {"requestId": "ret-0", "message": "nothing to do"}
        return super().requestReturnMachines(message)


@breaks("return.what-is-no-json-is-refused")
class GarbledReturn(Right):
    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        is_garbage = content == b'{"machines": ['
        return (0, {"requestId": "", "message": ""}) if is_garbage else super().answer(verb, content)


# kills


class Halfway(Right):
    """Writes down that it is at work, and in the end that it is done."""

    verb: ClassVar[str]

    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        if verb != self.verb:
            return super().answer(verb, content)
        whole = deepcopy(self.memory)
        self.begin(json.loads(content or b"{}"))
        self.save()
        time.sleep(0.2)
        self.memory = whole
        self.cloud, self.requests, self.returns = (whole[key] for key in ("cloud", "requests", "returns"))
        return super().answer(verb, content)

    def begin(self, message: Document) -> None:
        """Leave in the memory what a kill would leave there."""
        raise NotImplementedError


@breaks("kill.a-killed-poll-loses-nothing")
class HalfAPoll(Halfway):
    verb = "getRequestStatus"

    def begin(self, message: Document) -> None:
        for request in self.requests.values():
            request["machines"] = request["machines"][1:]


@breaks("kill.a-killed-return-can-be-repeated")
class HalfAReturn(Halfway):
    verb = "requestReturnMachines"

    def begin(self, message: Document) -> None:
        self.memory["at work"] = True

    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        if self.memory.get("at work"):
            raise RefusedError("another return is at work")
        return super().requestReturnMachines(message)


@breaks("kill.a-killed-request-spoils-no-other")
class HalfARequest(Halfway):
    verb = "requestMachines"

    def begin(self, message: Document) -> None:
        for request in self.requests.values():
            request["machines"] = []


@breaks("kill.what-a-killed-request-launched-is-given-back")
class Leaking(Right):
    def keep_house(self, unclaimed_seconds: float) -> None:
        """Nothing is ever looked for."""

    def say(self, verb: str, status: int, document: Document) -> int:
        if verb == "requestMachines":
            time.sleep(0.5)
        return super().say(verb, status, document)


# the cloud is away


@breaks("outage.no-machine-is-given-up")
class Despairing(Right):
    def looked_at(self, request: Document) -> Document:
        entry = deepcopy(super().looked_at(request))
        if self.cloud["is_down"] and request["status"] == "complete":
            for machine in entry["machines"]:
                machine |= {"result": "fail", "status": "terminated", "message": "not found"}
        return entry


@breaks("outage.nobody-is-called-lost")
class CallingLost(Right):
    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        if not self.cloud["is_down"]:
            return super().getReturnRequests(message)
        entries = [{"machine": each["name"], "machineId": each["machineId"]} for each in message["machines"]]
        return {"status": "complete", "message": "", "requests": [each | {"gracePeriod": 0} for each in entries]}


@breaks("outage.an-open-request-goes-on")
class GivingUp(Right):
    def looked_at(self, request: Document) -> Document:
        if self.cloud["is_down"] and request["status"] == "running":
            return {
                "requestId": request["requestId"],
                "status": "complete_with_error",
                "message": "-",
                "machines": [],
            }
        return super().looked_at(request)


@breaks("outage.a-return-is-finished-later")
class ReturnForgotten(Right):
    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        document = super().requestReturnMachines(message)
        if self.cloud["is_down"]:
            self.returns[document["requestId"]] = []
        return document
