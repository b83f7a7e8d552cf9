"""What HostFactory expects of an answer, and what a step found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Document = dict[str, Any]

# The mandatory part of each answer. A set stands for one of its texts, a tuple for a list of just these, a list
# for a list of any number.
PAIR = (frozenset({"String", "Numeric"}), str)
OFFER = {
    "templateId": str,
    "maxNumber": int,
    "attributes": {"type": PAIR, "ncores": PAIR, "ncpus": PAIR, "nram": PAIR},
}
MACHINE = {
    "machineId": str,
    "name": str,
    "result": frozenset({"executing", "succeed", "fail"}),
    "status": frozenset({"pending", "running", "stopping", "stopped", "shutting-down", "terminated"}),
    "privateIpAddress": str,
    "launchtime": int,
    "message": str,
}
STATUS = frozenset({"running", "complete", "complete_with_error"})
LOST = {"machine": str, "machineId": str, "gracePeriod": int}
ANSWERS: Mapping[str, Document] = {
    "getAvailableTemplates": {"templates": [OFFER], "message": str},
    "requestMachines": {"requestId": str, "message": str},
    "requestReturnMachines": {"requestId": str, "message": str},
    "getRequestStatus": {
        "requests": [{"requestId": str, "status": STATUS, "message": str, "machines": [MACHINE]}]
    },
    "getReturnRequests": {"status": frozenset({"complete"}), "message": str, "requests": [LOST]},
}
FAILURE = {"message": str}
WIRE_TYPES: Mapping[type, type] = {dict: dict, list: list, tuple: list, frozenset: str}


class BrokenContractError(Exception):
    """The plug-in did what HostFactory does not expect."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen {seen}")
        self.finding = Finding(expected, seen)


class Finding(NamedTuple):
    """What a step had to bring and what it brought, in words."""

    expected: str
    seen: str

    @property
    def is_good(self) -> bool:
        return self.expected == self.seen


def checked(verb: str, done: subprocess.CompletedProcess[str], exit_status: int) -> Document:
    """Give a call's answer. BrokenContractError when status, standard error or a field is not as it has to be."""
    if done.returncode != exit_status:
        raise BrokenContractError(f"exit status {exit_status}", f"exit status {done.returncode}")
    if done.stderr:
        raise BrokenContractError("nothing on standard error", done.stderr.strip())
    try:
        answer: Document = json.loads(done.stdout)
    except ValueError as error:
        raise BrokenContractError("one JSON document on standard output", f"{error}: {done.stdout!r}") from error
    found = list(faults(FAILURE if exit_status else ANSWERS[verb], answer, "answer"))
    if found:
        raise BrokenContractError("every mandatory field, of its type", "; ".join(found))
    return answer


def faults(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Say where a value is not of the shape (see ANSWERS). Types are exact: true is no integer."""
    kind: Any = shape if isinstance(shape, type) else WIRE_TYPES[type(shape)]
    if type(value) is not kind:
        yield f"{where} is {'missing or null' if value is None else repr(value)}, not {kind.__name__}"
        return
    if isinstance(shape, frozenset) and value not in shape:
        yield f"{where} is {value!r}, not one of {', '.join(sorted(shape))}"
    if isinstance(shape, tuple) and len(value) != len(shape):
        yield f"{where} has {len(value)} elements, not {len(shape)}"
    for inner, member, name in _members(shape, value):
        yield from faults(inner, member, where + name)


def _members(shape: Any, value: Any) -> Iterator[tuple[Any, Any, str]]:
    if isinstance(shape, dict):
        yield from ((inner, value.get(key), f".{key}") for key, inner in shape.items())
    elif isinstance(shape, list | tuple):
        shapes = shape * len(value) if isinstance(shape, list) else shape
        yield from (
            (inner, member, f"[{i}]") for i, (inner, member) in enumerate(zip(shapes, value, strict=False))
        )
