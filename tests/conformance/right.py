"""The smallest provider that keeps HostFactory's contract, on a cloud that is a section of one JSON file.

Run as `right.py VERB -f FILE`; as `right.py HOOK [MACHINE-ID]` it does something to the cloud.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Document = dict[str, Any]

HOOKS = ("terminate", "interrupt", "unreachable", "reachable", "machines")
NOTICE_SECONDS = 120


class RefusedError(Exception):
    """The call cannot be answered; its text says why."""


class Right:
    """What the provider remembers is one file: requests, returns, and the cloud with its machines' states."""

    templates: tuple[Document, ...] = (
        {
            "templateId": "small",
            "maxNumber": 100,
            "attributes": {
                "type": ["String", "X86_64"],
                "ncpus": ["Numeric", "1"],
                "ncores": ["Numeric", "2"],
                "nram": ["Numeric", "4096"],
            },
        },
    )

    def __init__(self, path: str) -> None:
        self.path = path
        self.has_waited = False
        self.memory: Document = json.loads(self.file(path)) if os.path.exists(path) else {}
        self.cloud: Document = self.memory.setdefault("cloud", {"machines": {}, "is_down": False})
        self.requests: Document = self.memory.setdefault("requests", {})
        self.returns: Document = self.memory.setdefault("returns", {})

    def save(self) -> None:
        with open(f"{self.path}.new", "w") as file:
            json.dump(self.memory, file)
        os.replace(f"{self.path}.new", self.path)

    def answer(self, verb: str, content: bytes) -> tuple[int, Document]:
        """Give the exit status and the document of a call."""
        try:
            return 0, getattr(self, verb)(self.read(content))
        except (RefusedError, ValueError) as error:
            return 1, {"message": str(error)}

    def file(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def read(self, content: bytes) -> Document:
        message: Document = json.loads(content.decode("utf-8-sig").strip() or "{}")
        return message

    def say(self, verb: str, status: int, document: Document) -> int:
        """Write the answer, of a hook its keys, and give the exit status."""
        sys.stdout.write("\n".join(document) if verb in HOOKS else json.dumps(document))
        return status

    def getAvailableTemplates(self, message: Document) -> Document:  # noqa: N802
        return {"templates": list(self.templates), "message": "Get available templates success."}

    def requestMachines(self, message: Document) -> Document:  # noqa: N802
        template_id, count = self.demand(message)
        if self.cloud["is_down"]:
            raise RefusedError("the cloud cannot be reached")
        request_id = f"req-{len(self.requests)}"
        numbers = range(
            len(self.cloud["machines"]), len(self.cloud["machines"]) + self.granted(template_id, count)
        )
        self.cloud["machines"] |= {f"m-{number}": {"state": "pending"} for number in numbers}
        self.requests[request_id] = {
            "requestId": request_id,
            "status": "running",
            "message": "",
            "machines": [self.machine(number) for number in numbers],
            "made": time.time(),
        }
        return {"requestId": request_id, "message": "Launched."}

    def demand(self, message: Document) -> tuple[str, int]:
        template = message.get("template", {})
        if template.get("templateId") not in [each["templateId"] for each in self.templates]:
            raise RefusedError(f"unknown template {template.get('templateId')!r}")
        count = int(template["machineCount"])
        if count < 1:
            raise RefusedError("machineCount has to be 1 or more")
        return template["templateId"], count

    def granted(self, template_id: str, count: int) -> int:
        running: int = sum(each["state"] != "terminated" for each in self.cloud["machines"].values())
        most: int = next(each["maxNumber"] for each in self.templates if each["templateId"] == template_id)
        if running >= most:
            raise RefusedError("nothing is left of maxNumber")
        return min(count, most - running)

    def machine(self, number: int) -> Document:
        return {
            "machineId": f"m-{number}",
            "name": f"host-{number}.example.com",
            "result": "executing",
            "status": "pending",
            "privateIpAddress": f"10.0.{number // 256}.{number % 256}",
            "launchtime": int(time.time()),
            "message": "",
        }

    def getRequestStatus(self, message: Document) -> Document:  # noqa: N802
        if "requests" not in message:
            raise RefusedError("no requests are named")
        return {"requests": [self.entry(each) for each in listed(message["requests"], "requestId")]}

    def entry(self, asked: Document) -> Document:
        request_id = asked["requestId"]
        if request_id in self.returns:
            return self.returned(request_id)
        if request_id not in self.requests:
            status = {"requestId": request_id, "status": "complete_with_error", "machines": []}
            return {**status, "message": f"unknown request {request_id}"}
        return self.looked_at(self.requests[request_id])

    def looked_at(self, request: Document) -> Document:
        request["made"] = None
        if not self.cloud["is_down"]:
            for machine in request["machines"]:
                self.look_at(machine)
        results = {machine["result"] for machine in request["machines"]}
        if request["status"] == "running" and "executing" not in results:
            request["status"] = "complete" if "succeed" in results else "complete_with_error"
        return {key: value for key, value in request.items() if key != "made"}

    def look_at(self, machine: Document) -> None:
        seen = self.cloud["machines"][machine["machineId"]]
        machine["status"] = seen["state"]
        machine["result"] = {"pending": "executing", "running": "succeed", "terminated": "fail"}[seen["state"]]
        machine["message"] = "it was terminated" if seen["state"] == "terminated" else ""
        if seen["state"] == "pending":
            seen["state"] = "running"

    def requestReturnMachines(self, message: Document) -> Document:  # noqa: N802
        hosts = listed(message.get("machines", []), "name")
        if not hosts:
            raise RefusedError("no machines are named")
        return_id = f"ret-{len(self.returns)}"
        self.returns[return_id] = [self.found(host) for host in hosts]
        self.returned(return_id)
        return {"requestId": return_id, "message": "Returning."}

    def found(self, host: Document) -> Document:
        every = [machine for request in self.requests.values() for machine in request["machines"]]
        known = [each for each in every if each["machineId"] == host.get("machineId")]
        if not host.get("machineId"):
            known = [each for each in every if each["name"] == host.get("name")]
        unknown = {"name": host.get("name", ""), "machineId": host.get("machineId", "")}
        return dict(known[0]) if known else {**unknown, "privateIpAddress": "", "launchtime": 0, "message": ""}

    def returned(self, return_id: str) -> Document:
        is_down = self.cloud["is_down"]
        for machine in self.returns[return_id]:
            if not is_down and machine["machineId"] in self.cloud["machines"]:
                self.cloud["machines"][machine["machineId"]]["state"] = "terminated"
            machine |= {"result": "executing", "status": "running"}
            if not is_down:
                machine |= {"result": "succeed", "status": "terminated", "message": ""}
        status = "running" if is_down else "complete"
        return {"requestId": return_id, "status": status, "message": "", "machines": self.returns[return_id]}

    def getReturnRequests(self, message: Document) -> Document:  # noqa: N802
        if self.cloud["is_down"]:
            raise RefusedError("the cloud cannot be reached")
        hosts = [self.found(host) for host in listed(message.get("machines", []), "name")]
        entries = [
            {"machine": host["name"], "machineId": host["machineId"], "gracePeriod": grace}
            for host in hosts
            if (grace := self.grace(host["machineId"])) is not None
        ]
        return {"status": "complete", "message": "", "requests": entries}

    def grace(self, machine_id: str) -> int | None:
        seen = self.cloud["machines"].get(machine_id, {"state": "running"})
        if seen["state"] == "terminated":
            return 0
        return max(int(seen["until"] - time.time()), 0) if "until" in seen else None

    def keep_house(self, unclaimed_seconds: float) -> None:
        """End what was requested and never asked for: HostFactory did not hear of it."""
        for request in self.requests.values():
            if request["made"] is not None and time.time() - request["made"] > unclaimed_seconds:
                for machine in request["machines"]:
                    self.cloud["machines"][machine["machineId"]]["state"] = "terminated"

    def do(self, hook: str, machine_id: str = "") -> Document:
        machines = self.cloud["machines"]
        if hook == "terminate":
            machines[machine_id]["state"] = "terminated"
        elif hook == "interrupt":
            machines[machine_id]["until"] = time.time() + NOTICE_SECONDS
        elif hook in ("unreachable", "reachable"):
            self.cloud["is_down"] = hook == "unreachable"
        return {key: key for key, machine in machines.items() if machine["state"] != "terminated"}


def listed(value: Any, bare: str) -> list[Document]:
    values = value if isinstance(value, list) else [value]
    return [{bare: each} if isinstance(each, str) else each for each in values]


def work_directory(environment: Mapping[str, str]) -> str:
    general = os.path.join(environment.get("HF_WORKDIR", ""), "providers", environment["HF_PROVIDER_NAME"])
    return environment.get("HF_PROVIDER_WORKDIR", general)


@contextmanager
def alone(path: str) -> Iterator[bool]:
    """Hold the lock; gives whether another call held it."""
    with open(f"{path}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield False
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield True


def main(make: type[Right], arguments: Sequence[str]) -> None:
    """Do one verb or hook, and remember it at once or not at all."""
    path = os.path.join(os.environ.get("CLOUD") or work_directory(os.environ), "memory.json")
    verb, *rest = arguments
    with alone(path) as has_waited:
        provider = make(path)
        provider.has_waited = has_waited
        if verb in HOOKS:
            status, document = 0, provider.do(verb, *rest)
        else:
            provider.keep_house(float(os.environ.get("UNCLAIMED", "900")))
            status, document = provider.answer(verb, provider.file(rest[1]))
        provider.save()
    sys.exit(provider.say(verb, status, document))


if __name__ == "__main__":
    main(Right, sys.argv[1:])
