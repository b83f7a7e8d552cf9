"""HostFactory's messages: what it sends becomes values, values become what it reads. The wire's only home.

Input is taken in every form seen in the field; output is always the documented one. Source: IBM's provider
plug-in interface specification for Symphony 7.3, and calls recorded from running clusters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hfplugin.broker import Accepted, Lost, Unknown
from hfplugin.errors import InputError
from hfplugin.model import Machine, MachineState, Request, Result, Return, ReturnedMachine
from hfplugin.wording import counted, one_line, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Host


def parse(content: bytes) -> dict[str, Any]:
    """Read HostFactory's input; an empty one is an empty object. A byte-order mark is accepted."""
    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text) if text.strip() else {}
    except UnicodeDecodeError as error:
        raise InputError(f"the input is not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the input is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"the input has to be a JSON object, not {_kind(data)}")
    return data


def demand(data: Mapping[str, Any]) -> tuple[str, int]:
    """Read requestMachines: the template's id and the capacity units."""
    template = data.get("template")
    if not isinstance(template, dict):
        raise InputError('template is missing: expected {"template": {"templateId": "...", "machineCount": 1}}')
    template_id = template.get("templateId")
    if not isinstance(template_id, str) or not template_id:
        raise InputError("template.templateId is missing or not a text")
    return template_id, _count(template.get("machineCount"))


def _count(value: Any) -> int:
    if value is None:
        raise InputError("template.machineCount is missing")
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"template.machineCount has to be a whole number (is {value!r})")


def asked_ids(data: Mapping[str, Any]) -> list[str]:
    """Read getRequestStatus: the ids, in order."""
    entries = _entries(data, "requests", "requestId")
    ids = []
    for entry in entries:
        request_id = entry.get("requestId")
        if not isinstance(request_id, str) or not request_id:
            raise InputError(f"requests: an entry without requestId: {json.dumps(entry)[:100]}")
        ids.append(request_id)
    if "requests" not in data:
        raise InputError('requests is missing: expected {"requests": [{"requestId": "..."}]}')
    return ids


def hosts(data: Mapping[str, Any]) -> list[Host]:
    """Read the machines of requestReturnMachines or getReturnRequests."""
    from hfplugin.providers.base.provider import Host

    found = []
    for entry in _entries(data, "machines", "name"):
        name, machine_id = entry.get("name") or "", entry.get("machineId") or ""
        if not isinstance(name, str) or not isinstance(machine_id, str):
            raise InputError(f"machines: name and machineId have to be texts: {json.dumps(entry)[:100]}")
        if not name and not machine_id:
            raise InputError(f"machines: an entry without name and machineId: {json.dumps(entry)[:100]}")
        found.append(Host(name, machine_id))
    return found


def _entries(data: Mapping[str, Any], key: str, bare: str) -> list[dict[str, Any]]:
    """Give a list of objects: one object is a list of one, a bare text is an object with that one key."""
    value = data.get(key)
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    entries = [{bare: item} if isinstance(item, str) else item for item in items]
    for entry in entries:
        if not isinstance(entry, dict):
            raise InputError(f"{key} has to hold objects, not {_kind(entry)}")
    return entries


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null", dict: "an object"}
    return kinds.get(type(value), "a number")


def accepted(answer: Accepted) -> dict[str, Any]:
    return {"requestId": answer.id, "message": one_line(answer.message)}


def failure(message: str) -> dict[str, Any]:
    return {"message": one_line(message)}


def statuses(records: Iterable[Request | Return | Unknown], now: float) -> dict[str, Any]:
    return {"requests": [_status(record, now) for record in records]}


def _status(record: Request | Return | Unknown, now: float) -> dict[str, Any]:
    if isinstance(record, Unknown):
        machines, message = [], record.message
    elif isinstance(record, Request):
        tags = _tags(record.template.tags)
        machines = [_machine(machine, tags) for machine in record.machines]
        message = record.message or summary(record, now)
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
    if isinstance(machine, Machine) and machine.public_ip:
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
