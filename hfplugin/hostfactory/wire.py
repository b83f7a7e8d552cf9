"""HostFactory's messages: what it sends becomes values, values become what it reads. The wire's only home.

Input is taken in every form seen in the field; output is always the documented one. Source: IBM's provider
plug-in interface specification for Symphony 7.3, and calls recorded from running clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from hfplugin import document
from hfplugin.broker import Accepted, Lost, Unknown
from hfplugin.errors import InputError
from hfplugin.logs import log
from hfplugin.model import Machine, MachineState, Request, Result, Return, ReturnedMachine
from hfplugin.wording import counted, one_line, summary, taken_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Host

T = TypeVar("T")


def parse(content: bytes) -> dict[str, Any]:
    """Read HostFactory's input; an empty one is an empty object. A byte-order mark is accepted."""
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        return {}
    try:
        return document.read(content)
    except ValueError as error:
        raise InputError(f"the input {error}") from error


def demand(data: Mapping[str, Any]) -> tuple[str, int]:
    """Read requestMachines: the template's id and the capacity units."""
    template = data.get("template")
    if not isinstance(template, dict):
        expected = '{"template": {"templateId": "...", "machineCount": 1}}'
        raise InputError(f"template is missing or not an object: expected {expected}")
    template_id = template.get("templateId")
    if not isinstance(template_id, str) or not template_id:
        raise InputError("template.templateId is missing or not a text")
    return template_id, _count(template.get("machineCount"))


def _count(value: Any) -> int:
    if value is None:
        raise InputError("template.machineCount is missing")
    try:
        # Python alone takes True for 1 and 1_000 for 1000.
        number = float("" if isinstance(value, bool) or "_" in str(value) else value)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"template.machineCount has to be a whole number (is {value!r})")


def asked_ids(data: Mapping[str, Any]) -> list[str]:
    """Read getRequestStatus: the ids, in order."""
    if data.get("requests") is None:
        raise InputError('requests is missing: expected {"requests": [{"requestId": "..."}]}')
    return _each(data, "requests", "requestId", _request_id)


def hosts(data: Mapping[str, Any]) -> list[Host]:
    """Read the machines of requestReturnMachines or getReturnRequests."""
    return _each(data, "machines", "name", _host)


def _each(data: Mapping[str, Any], key: str, bare: str, read: Callable[[dict[str, Any]], T]) -> list[T]:
    """Read every entry of a list: one object is a list of one, a bare text is an object with that one key.

    An entry that cannot be read is passed over, so that it does not spoil the others; InputError when there are
    no others.
    """
    value = data.get(key)
    items = value if isinstance(value, list) else [] if value is None else [value]
    found, faults = [], []
    for position, item in enumerate(items):
        entry = {bare: item} if isinstance(item, str) else item
        try:
            if not isinstance(entry, dict):
                raise InputError(f"has to be an object, not {document.kind(entry)}")
            found.append(read(entry))
        except InputError as error:
            faults.append(f"{key}[{position}] {error}")
    if faults and not found:
        raise InputError(faults[0])
    for fault in faults:
        log.warning("input.passed_over", reason=fault)
    return found


def _request_id(entry: dict[str, Any]) -> str:
    request_id = entry.get("requestId")
    if not isinstance(request_id, str) or not request_id:
        raise InputError("has no requestId, or one that is not a text")
    return request_id


def _host(entry: dict[str, Any]) -> Host:
    from hfplugin.providers.base.provider import Host

    name, machine_id = entry.get("name") or "", entry.get("machineId") or ""
    if not isinstance(name, str) or not isinstance(machine_id, str):
        raise InputError("has a name or machineId that is not a text")
    if not name and not machine_id:
        raise InputError("has neither name nor machineId")
    return Host(name, machine_id)


def accepted(answer: Accepted) -> dict[str, Any]:
    return {"requestId": answer.id, "message": one_line(answer.message)}


def statuses(records: Iterable[Request | Return | Unknown], now: float) -> dict[str, Any]:
    return {"requests": [_status(record, now) for record in records]}


def _status(record: Request | Return | Unknown, now: float) -> dict[str, Any]:
    if isinstance(record, Unknown):
        machines, message = [], record.message
    elif isinstance(record, Request):
        tags = _tags(record.template.tags)
        machines = [_machine(machine, tags) for machine in record.machines]
        message = summary(record, now)
    else:
        machines = [_machine(machine, _tags(machine.tags)) for machine in record.machines]
        message = record.message
    return {"requestId": record.id, "status": record.status, "message": one_line(message), "machines": machines}


def _machine(machine: Machine | ReturnedMachine, tags: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "machineId": machine.id,
        "name": machine.name,
        "result": machine.result,
        "status": machine.state,
        "privateIpAddress": machine.private_ip,
        "launchtime": int(machine.launch_time),
        "message": one_line(machine.message),
        "priceType": machine.price_type,
        "instanceType": machine.machine_type,
        "instanceTags": tags,
        "cloudHostId": None,
    }
    if isinstance(machine, Machine):
        answer["message"] = one_line(machine.message or taken_back(machine))
        if machine.public_ip:
            answer["publicIpAddress"] = machine.public_ip
    if machine.result is Result.FAIL and not machine.message:
        answer["message"] = f"failed ({machine.state})"
    if machine.result is Result.EXECUTING and machine.state is MachineState.TERMINATED:
        answer["status"] = MachineState.SHUTTING_DOWN  # seen gone, not yet noted in its request
    return answer


def _tags(tags: Mapping[str, str]) -> str:
    return ";".join(f"{key}={value}" for key, value in tags.items())


def lost(machines: Iterable[Lost]) -> dict[str, Any]:
    entries = [
        {"machine": machine.name, "machineId": machine.machine_id, "gracePeriod": machine.grace}
        for machine in machines
    ]
    return {"status": "complete", "message": f"{counted(len(entries), 'machine')} to return", "requests": entries}
