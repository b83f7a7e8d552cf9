"""The machines that checks use: launched once for all where that will do, and never more than was announced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from hfplugin.conformance import Document
from hfplugin.conformance.calls import is_integer
from hfplugin.conformance.dialogue import COMPLETE, RUNNING, Dialogue, demand, success
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import Host, objects
from hfplugin.conformance.settings import Settings

OFFERS = "templates.answers-a-list"
CHOICE = "templates.offers-what-is-to-be-tested"
ACCEPTED = "request.answers-an-id-and-a-message"
READY = "status.a-request-completes"
FITS = "status.the-last-status-fits-the-machines"
FIELDS = "machines.have-their-fields"
USABLE = "machines.a-success-is-usable"
RETURNED = "return.answers-an-id-and-a-message"
GONE = "return.completes"

FITTING = "complete with a machine that succeeded, or complete_with_error without one"

T = TypeVar("T")


class _Once(Generic[T]):
    """Gives what came of the first call again, also a failure: no second try is paid for."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: list[T | Exception] = []

    def __call__(self) -> T:
        if not self._kept:
            try:
                self._kept.append(self._make())
            except (BrokenError, UnjudgedError) as error:
                self._kept.append(error)
        found = self._kept[0]
        if isinstance(found, Exception):
            raise found
        return found


class Supply:
    """Launches within `budget`: the machines that the operator was told of."""

    def __init__(self, dialogue: Dialogue, settings: Settings, spares: int, budget: int) -> None:
        self._dialogue = dialogue
        self._settings = settings
        self._spares_to_come = spares
        self._budget = budget
        self._spares: list[Host] = []
        self._shortage: BrokenError | UnjudgedError | None = None
        self._asked: dict[str, int] = {}
        self.launched = 0
        self.offers = _Once(self._offers)
        self.template_ids = _Once(self._template_ids)
        self.shared = _Once(self._shared)
        self.returned = _Once(self._returned)

    def _offers(self) -> list[Document]:
        """Give the templates as they were first offered."""
        document = self._dialogue.answered("getAvailableTemplates", {})
        templates = document.get("templates")
        if not isinstance(templates, list) or not all(isinstance(each, dict) for each in templates):
            raise BrokenError("`templates`: a list of objects", shown(document), OFFERS)
        return templates

    def _template_ids(self) -> tuple[str, ...]:
        """Give the templates to launch from."""
        wanted = (*self._settings.template_ids, self._settings.interruptible_template_id)
        offered = [offer.get("templateId") for offer in self.offers() if offer.get("maxNumber")]
        missing = [each for each in wanted if each and each not in offered]
        if missing:
            raise BrokenError(
                f"templates {shown(missing)}, which the file names", f"only {shown(offered)}", CHOICE
            )
        able = [each for each in offered if isinstance(each, str) and each]
        if not able:
            raise UnjudgedError("no template is offered that may launch")
        return self._settings.template_ids or (able[0],)

    def _shared(self) -> list[Host]:
        """Give machines of every template that is tested, for all to look at and none to end."""
        ids = [self.request(template_id, self._settings.machine_count) for template_id in self.template_ids()]
        return [host for request_id in ids for host in self.ready(request_id)]

    def spare(self) -> Host:
        """Give a machine to use up."""
        if not self._spares:
            self._refill()
        self._spares_to_come -= 1
        return self._spares.pop()

    def _refill(self) -> None:
        if self._shortage is not None:
            raise self._shortage
        count = max(min(self._settings.machine_count, self._spares_to_come), 1)
        try:
            self._spares = self.ready(self.request(self.template_ids()[0], count))
        except (BrokenError, UnjudgedError) as error:
            self._shortage = error
            raise

    def interruptible(self) -> Host:
        """Give a machine that the cloud can interrupt, to use up."""
        template_id = self.template_ids()[0]
        return self.ready(self.request(self._settings.interruptible_template_id or template_id, 1))[0]

    def _returned(self) -> tuple[Host, Document]:
        """Return a spare machine; gives it and the last status of its return."""
        host = self.spare()
        try:
            document = self._dialogue.give_back(host)
        except BrokenError as error:
            raise BrokenError(error.expected, error.came, error.rule or RETURNED) from error
        return host, self._followed(document, GONE)

    def give_back(self, *hosts: Host) -> Document:
        """Return machines and give the last status of the return, which has to be good."""
        self.returned()
        return self.ended(self._dialogue.give_back(*hosts))

    def ended(self, document: Document) -> Document:
        """Follow an answered return to its end, which has to be good.

        Only where a plain return ends well: else nothing else can be judged by one.
        """
        self.returned()
        return self._followed(document)

    def _followed(self, document: Document, rule: str = "") -> Document:
        return_id = document.get("requestId")
        if not isinstance(return_id, str) or not return_id:
            raise BrokenError("a requestId to ask for", shown(document), RETURNED)
        limit = self._settings.limits.gone_seconds
        entry = self._dialogue.wait(return_id, limit)
        if entry["status"] != COMPLETE or any(each.get("result") != "succeed" for each in entry["machines"]):
            expected = f"complete within {limit:g} s, and every machine with result succeed"
            raise BrokenError(expected, shown(entry), rule)
        return entry

    def request(self, template_id: str, count: int | str, **keys: object) -> str:
        """Request machines and give the id; a refusal breaks the rule of the plain request."""
        try:
            return self.tried(demand(template_id, count, **keys), int(count))
        except BrokenError as error:
            raise BrokenError(error.expected, error.came, error.rule or ACCEPTED) from error

    def tried(self, message: Document, count: int) -> str:
        """Request machines with a message of one's own: `count` at most."""
        self.spend(count, message["template"]["templateId"])
        document = success(self._dialogue.call("requestMachines", message))
        request_id = document.get("requestId")
        if not isinstance(request_id, str) or not request_id:
            raise BrokenError("a requestId", shown(document), ACCEPTED)
        return request_id

    def spend(self, count: int, template_id: str) -> None:
        """Count what is about to be launched.

        UnjudgedError beyond what was announced, and beyond maxNumber, where a refusal would be right.
        """
        if self.launched + count > self._budget:
            raise UnjudgedError(f"more than the {self._budget} machines that were announced would be launched")
        most = next(offer.get("maxNumber") for offer in self.offers() if offer.get("templateId") == template_id)
        asked = self._asked.get(template_id, 0) + count
        if is_integer(most) and 0 <= most < asked:
            raise UnjudgedError(
                f"maxNumber {most} of template {template_id} is too small: {asked} machines are needed"
            )
        self._asked[template_id] = asked
        self.launched += count

    def ready(self, request_id: str) -> list[Host]:
        """Poll until a request is complete; gives its usable machines, one at least."""
        limit = self._settings.limits.ready_seconds
        entry = self._dialogue.wait(request_id, limit)
        usable = hosts(entry)
        if entry["status"] != RUNNING and bool(usable) != (entry["status"] == COMPLETE):
            raise BrokenError(FITTING, shown(entry), FITS)
        if entry["status"] != COMPLETE:
            raise BrokenError(
                f"complete within {limit:g} s, with a machine of result succeed", shown(entry), READY
            )
        return usable


def hosts(entry: Document) -> list[Host]:
    """Give the usable machines of a request's entry."""
    usable = [each for each in objects(entry["machines"]) if each.get("result") == "succeed"]
    for each in usable:
        if not each.get("machineId") or not all(isinstance(each.get(key), str) for key in ("name", "machineId")):
            raise BrokenError("a name and a machineId, by which to return it", shown(each), FIELDS)
        if not each["name"]:
            raise BrokenError("a name, by which to use it", shown(each), USABLE)
    return [Host(each["name"], each["machineId"], str(entry["requestId"])) for each in usable]
