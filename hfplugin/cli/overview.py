"""`hfplugin status`: what the state says is open, unfinished or refused. The cloud is not asked."""

from __future__ import annotations

import os
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfplugin import roster
from hfplugin.environment import Environment
from hfplugin.model import Machine, MachineState, Request, Result, Return
from hfplugin.store import FileStore
from hfplugin.wording import counted, some, summary, taken_back

_UNCLAIMED = "HostFactory has not asked about it yet"


def collect(environment: Environment) -> dict[str, Any]:
    """Read the records; times are seconds since the epoch."""
    store = FileStore(environment.state_dir)
    requests = sorted(store.requests.live(), key=lambda request: request.created)
    returns = sorted(store.returns.live(), key=lambda record: record.created)
    difference = roster.noted(store.marks)
    return {
        "provider": environment.provider_name,
        "state": environment.state_dir,
        "stateExists": os.path.isdir(environment.state_dir),
        "drained": store.marks.drain(),
        "requests": [_request(request) for request in requests if not request.is_finished],
        "returns": [_return(record) for record in returns if not record.is_closed],
        "takenBack": [entry for request in requests for entry in _taken_back(request)],
        "unlistedMachines": [*difference.unlisted],
        "unknownHosts": [*difference.unknown],
        "templates": _templates(requests, store),
        "damaged": store.damaged(),
    }


def _request(request: Request) -> dict[str, Any]:
    return {
        "requestId": request.id,
        "templateId": request.template.id,
        "created": int(request.created),
        "asked": request.units,
        "ready": _units(request, Result.SUCCEED),
        "starting": _units(request, Result.EXECUTING),
        "failed": _units(request, Result.FAIL),
        "unansweredLaunches": sum(launch.state.is_unsettled for launch in request.launches),
        "isClaimed": request.unclaimed_since is None,
        "withdrawn": request.withdrawn,
        "message": summary(request, time.time()),
    }


def _units(request: Request, result: Result) -> int:
    return sum(machine.units for machine in request.machines if machine.result is result)


def _return(record: Return) -> dict[str, Any]:
    return {
        "requestId": record.id,
        "created": int(record.created),
        "asked": len(record.machines),
        "pending": [machine.id or machine.name for machine in record.pending],
        "message": next((machine.message for machine in record.pending if machine.message), ""),
    }


def _taken_back(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "machineId": machine.id,
            "name": machine.name,
            "requestId": request.id,
            "kind": machine.notice.kind,
            "endsAt": int(machine.notice.ends_at),
            "message": taken_back(machine),
        }
        for machine in request.machines
        if machine.notice is not None and machine.is_going_unasked
    ]


def _templates(requests: list[Request], store: FileStore) -> list[dict[str, Any]]:
    """Give what runs from each template and the last reason why something of it could not be had."""
    reasons = store.reasons()
    ids = sorted({request.template.id for request in requests} | set(reasons))
    return [
        {
            "templateId": template_id,
            "machines": sum(1 for r in requests if r.template.id == template_id for m in r.machines if _runs(m)),
            "lastReason": reasons.get(template_id, {}).get("reason", ""),
            "lastReasonAt": reasons.get(template_id, {}).get("at", 0),
            "lastReasonRequest": reasons.get(template_id, {}).get("request_id", ""),
        }
        for template_id in ids
    ]


def _runs(machine: Machine) -> bool:
    return machine.state in (MachineState.PENDING, MachineState.RUNNING) and not machine.return_id


def show(found: dict[str, Any]) -> None:
    """Print tables; a long text is folded, not cut."""
    console = Console()
    console.print(Text(f"provider {found['provider']}, state in {found['state']}"), soft_wrap=True)
    if not found["stateExists"]:
        console.print("no state is there: nothing was ever requested, or HF_WORKDIR is wrong")
        return
    if found["drained"]:
        console.print(f"new requests are refused: {found['drained']}", soft_wrap=True)
    for path in found["damaged"]:
        console.print(Text(f"damaged record set aside: {path}"), soft_wrap=True)
    for key, noun, what in (
        ("unlistedMachines", "machine", "running that HostFactory does not list"),
        ("unknownHosts", "host", "that HostFactory lists and nobody knows"),
    ):
        if found[key]:
            console.print(
                f"{counted(len(found[key]), noun)} {what}: {some(found[key])}", soft_wrap=True, markup=False
            )
    # An id is never folded: it is there to be copied. What belongs to it stands under it, for narrow terminals.
    _print(
        console,
        "Open requests",
        ["request", "what is known"],
        [
            [
                f"{r['requestId']}\n{r['templateId']}, since {_when(r['created'])}",
                "\n".join(filter(None, [r["message"], r["withdrawn"] or ("" if r["isClaimed"] else _UNCLAIMED)])),
            ]
            for r in found["requests"]
        ],
    )
    _print(
        console,
        "Unfinished returns",
        ["return, still there", "what is known"],
        [
            ["\n".join([r["requestId"], f"since {_when(r['created'])}", *r["pending"]]), r["message"]]
            for r in found["returns"]
        ],
    )
    if found["takenBack"]:
        _print(
            console,
            "Machines that the cloud takes back",
            ["machine", "what is known"],
            [["\n".join([m["machineId"], m["name"]]), m["message"]] for m in found["takenBack"]],
        )
    _print(
        console,
        "Templates",
        ["template, machines", "last reason why not all could be had"],
        [
            [
                "\n".join(filter(None, [f"{t['templateId']}, {t['machines']}", t["lastReasonRequest"]])),
                "\n".join(filter(None, [t["lastReason"] or "none", _when(t["lastReasonAt"])])),
            ]
            for t in found["templates"]
        ],
    )


def _print(console: Console, title: str, columns: list[str], rows: list[list[Any]]) -> None:
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text: square brackets in what AWS says are no markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds)) if seconds else ""
