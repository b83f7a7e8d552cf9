"""What HostFactory would remember: every call, the ids that it was given, and what was said of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hfplugin.conformance import Document
from hfplugin.conformance.calls import Call


class Host(NamedTuple):
    """A machine as HostFactory names it, and the request that it came of."""

    name: str
    machine_id: str
    request_id: str

    @property
    def document(self) -> Document:
        return {"name": self.name, "machineId": self.machine_id}


class Heard(NamedTuple):
    """One entry of an answer to getRequestStatus."""

    call: Call
    entry: Document

    @property
    def id(self) -> str:
        return str(self.entry.get("requestId"))

    @property
    def machines(self) -> list[Document]:
        return objects(self.entry.get("machines"))


class Memory:
    """Grows with every call; `requests` and `returns` are what was asked for, by the id that was given.

    `killed_requests` may have launched what nobody told HostFactory of.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.killed_requests = 0
        self.requests: dict[str, Document] = {}
        self.returns: dict[str, list[Document]] = {}

    def note(self, call: Call) -> None:
        self.calls.append(call)
        given = call.document.get("requestId") if call.document is not None and call.status == 0 else None
        if not isinstance(given, str) or not given:
            return
        if call.verb == "requestMachines":
            self.requests.setdefault(given, call.message)
        elif call.verb == "requestReturnMachines":
            self.returns.setdefault(given, self.asked_back(call))

    @staticmethod
    def asked_back(call: Call) -> list[Document]:
        """Give the machines that a return named."""
        machines = call.message.get("machines")
        return objects([machines] if isinstance(machines, dict) else machines)

    def of(self, verb: str) -> list[Call]:
        return [call for call in self.calls if call.verb == verb]

    def heard(self) -> Iterator[Heard]:
        """Give every entry of every answer to getRequestStatus, in order."""
        for call in self.of("getRequestStatus"):
            if call.document is not None and call.status == 0:
                yield from (Heard(call, entry) for entry in objects(call.document.get("requests")))

    def heard_of_requests(self) -> Iterator[Heard]:
        """Give what was said of requests that were made: not of returns, nor of ids that never were."""
        return (heard for heard in self.heard() if heard.id in self.requests)

    def losses(self) -> Iterator[tuple[Call, Document]]:
        """Give every machine that getReturnRequests named, with the call."""
        for call in self.of("getReturnRequests"):
            if call.document is not None and call.status == 0:
                yield from ((call, entry) for entry in objects(call.document.get("requests")))

    def typical_seconds(self, verb: str) -> float:
        """Give how long a verb's calls take: the median, or a second when there was none."""
        seconds = sorted(call.seconds for call in self.of(verb) if call.status == 0)
        return seconds[len(seconds) // 2] if seconds else 1.0


def objects(value: Any) -> list[Document]:
    """Give what is an object of what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
