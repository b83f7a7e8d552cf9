"""`hfplugin history`: what was asked of the cloud for one request, place by place, and what came. The cloud is not
asked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfplugin.environment import Environment
from hfplugin.errors import InputError
from hfplugin.model import Launch, Machine, Refusal, Request, Result
from hfplugin.store import REQUEST_PREFIX, FileStore, is_id
from hfplugin.wording import summary

# What a record says of a machine that has ended as it was asked to: no failure, though its result is one.
_RETURNED = "returned"


def collect(environment: Environment, request_id: str) -> dict[str, Any]:
    """Read a request's record, live or archived; times are seconds since the epoch. InputError without one."""
    store = FileStore(environment.state_dir)
    request = store.requests.load(request_id) if is_id(request_id, REQUEST_PREFIX) else None
    if request is None:
        raise InputError(f"no record of request {request_id} in {environment.state_dir}")
    return {
        "requestId": request.id,
        "templateId": request.template.id,
        "created": int(request.created),
        "deadline": int(request.deadline),
        "asked": request.units,
        "status": request.status,
        "message": summary(request, time.time()),
        "trouble": [str(reason) for reason in request.trouble],
        "launches": [_launch(request, launch) for launch in request.launches],
        "machines": [_machine(machine) for machine in request.machines],
    }


def _launch(request: Request, launch: Launch) -> dict[str, Any]:
    return {
        "attempt": launch.attempt,
        "at": int(launch.planned_at),
        "passedOver": _reasons(launch.passed_over),
        "place": launch.place,
        "api": launch.api,
        "account": launch.account,
        "resource": launch.resource_id,
        "state": launch.state,
        "asked": launch.units,
        "machines": len(request.machines_of(launch)),
        "errors": _reasons(launch.errors),
    }


def _reasons(reasons: Iterable[Refusal]) -> list[dict[str, Any]]:
    return [{"place": each.place, "kind": each.kind, "reason": str(each)} for each in reasons]


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "machineId": machine.id,
        "name": machine.name,
        "attempt": machine.attempt,
        "zone": machine.zone or machine.region,
        "machineType": machine.machine_type,
        "state": machine.state,
        "result": machine.result,
        "returnId": machine.return_id,
        "message": machine.message,
    }


def show(found: dict[str, Any]) -> None:
    """Print tables; a long text is folded, not cut."""
    console = Console()
    heading = f"{found['requestId']}: {found['asked']} of {found['templateId']}, since {_when(found['created'])}"
    for line in (heading, f"{found['status']}: {found['message']}", *found["trouble"]):
        console.print(Text(line), soft_wrap=True)
    _print(
        console,
        ("launch", "what was asked, what came"),
        [(f"{each['attempt']}\n{_when(each['at'])}", "\n".join(_told(each))) for each in found["launches"]],
    )
    _print(
        console,
        ("machine", "what is known"),
        [
            (f"{each['machineId']}\nlaunch {each['attempt']}", "\n".join(_known(each)))
            for each in found["machines"]
        ],
    )


def _told(launch: dict[str, Any]) -> Iterable[str]:
    yield from (f"passed over {each['reason']}" for each in launch["passedOver"])
    yield f"{launch['api']} in {launch['place']}, account {launch['account']} {launch['resource']}".rstrip()
    yield f"{launch['state']}: asked for {launch['asked']}, machines: {launch['machines']}"
    yield from (each["reason"] for each in launch["errors"])


def _known(machine: dict[str, Any]) -> Iterable[str]:
    yield " ".join(filter(None, (machine["name"], machine["machineType"], machine["zone"])))
    has_failed = machine["result"] == Result.FAIL and machine["message"] != _RETURNED
    said = [machine["state"], machine["result"] if has_failed or not machine["returnId"] else ""]
    yield ", ".join(filter(None, [*said, machine["returnId"] and f"returned by {machine['returnId']}"]))
    if machine["message"] not in ("", _RETURNED):
        yield machine["message"]


def _print(console: Console, columns: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    table = Table(show_lines=True)
    table.add_column(columns[0], no_wrap=True)
    table.add_column(columns[1], overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    if rows:
        console.print(table)


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
