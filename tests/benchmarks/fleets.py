"""What thousands of machines in one request cost, service by service, through the real scripts.

    python tests/benchmarks/fleets.py [machines] [service ...]

For each service: the wall time of the request, of the poll that completes it and of the return of them all, the
calls to AWS, and the most memory that any script took. The emulator wants one of the cores for itself. Exit status
1 when a script takes more memory than the design allows, or when what was told is not what runs.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent)]

from player import HostFactory, template  # noqa: E402

from hfplugin.emulator import REGION, Emulator  # noqa: E402

MACHINES = 10_000

# MiB; the bound for 10,000 machines.
MOST_MEMORY = 300

SERVICES: dict[str, dict[str, Any]] = {
    "RunInstances": {"providerApi": "RunInstances"},
    "EC2Fleet/instant": {"providerApi": "EC2Fleet", "fleetType": "instant"},
    "EC2Fleet/request": {"providerApi": "EC2Fleet", "fleetType": "request"},
    "EC2Fleet/maintain": {"providerApi": "EC2Fleet", "fleetType": "maintain"},
    "SpotFleet/request": {"providerApi": "SpotFleet", "priceType": "spot", "fleetRole": "fleet"},
    "SpotFleet/maintain": {
        "providerApi": "SpotFleet",
        "priceType": "spot",
        "fleetRole": "fleet",
        "fleetType": "maintain",
    },
    "ASG": {"providerApi": "ASG"},
}

_POLLS = 60


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MACHINES
    wanted = sys.argv[2:] or list(SERVICES)
    with Emulator() as emulator:
        verdicts = [_played(emulator, service, count) for service in wanted]
        # Of children that have ended: the scripts, not yet the emulator.
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"the most memory of any script: {memory:.0f} MiB")  # noqa: T201
    return 0 if all(verdicts) and memory <= MOST_MEMORY else 1


def _played(emulator: Emulator, service: str, count: int) -> bool:
    emulator.reset()
    subnets = [subnet["SubnetId"] for subnet in emulator.ec2().describe_subnets()["Subnets"]]
    emulator.forget_calls()
    with tempfile.TemporaryDirectory() as name:
        player = HostFactory(Path(name) / "host factory")
        player.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
        player.offer(template("", subnetId=subnets, maxNumber=-1, **SERVICES[service]))
        began = time.monotonic()
        request_id = player.request("small", count)
        asked = time.monotonic()
        status = _ended(player, request_id)
        ready = time.monotonic()
        told = {machine["machineId"] for machine in status["machines"] if machine["result"] == "succeed"}
        is_true = told == {machine.id for machine in emulator.alive()} and len(told) == count
        _ended(player, player.give_back(*status["machines"]))
        done = time.monotonic()
    calls = Counter(call["action"] for call in emulator.calls())
    is_empty = not emulator.alive() and not emulator.leftovers()
    print(f"{service}: {len(told)} machines{'' if is_true and is_empty else '  NOT as told'}")  # noqa: T201
    times = f"request {asked - began:.1f} s, ready after {ready - began:.1f} s, returned in {done - ready:.1f} s"
    print(f"    {times}")  # noqa: T201
    print("    " + ", ".join(f"{action} {times}" for action, times in sorted(calls.items())))  # noqa: T201
    return is_true and is_empty


def _ended(player: HostFactory, record_id: str) -> dict[str, Any]:
    for _ in range(_POLLS):
        [status] = player.poll(record_id)
        if status["status"] != "running":
            return status
    raise RuntimeError(f"{record_id} is still running after {_POLLS} polls: {status['message']}")


if __name__ == "__main__":
    sys.exit(main())
