"""What a call costs: process CPU of the real scripts, as ratios to references of the same run.

    python tests/benchmarks/calls.py [rounds]

The references: `python -I -c pass` of the same interpreter, and a bare script that imports boto3 and makes the one
call that a poll makes. Ratios hold on other machines, milliseconds do not; the median of the rounds is shown.
Exit status 1 when a budget of the design is exceeded: run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent)]

from player import SCRIPTS, HostFactory, template  # noqa: E402

from hfplugin.emulator import REGION, Emulator  # noqa: E402
from hfplugin.model import Machine, MachineState, Phase, Request, RequestStatus, Result, Template  # noqa: E402
from hfplugin.store import FileStore  # noqa: E402

ROUNDS = 15

# Machines in archived records for the history's case: ten to a record.
HISTORY = 100_000

_BARE = """
import boto3
client = boto3.client("ec2", region_name={region!r}, endpoint_url={url!r})
client.describe_instances(InstanceIds=[{machine!r}])
"""


class Case(NamedTuple):
    """A command, and the most it may cost as a ratio to another case."""

    name: str
    command: Sequence[str | Path]
    budget: float = 0.0
    against: str = "python -I -c pass"


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as name, Emulator() as emulator:
        player = HostFactory(Path(name) / "host factory")
        player.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": emulator.url}})
        player.offer(template("", subnetId=[]))
        player.templates()
        cases = _cases(player, emulator.url, Path(name))
        costs = _measured(cases, rounds, player.environment)
        grown = _with_history(player, cases, rounds)
        return _report(cases, costs, grown)


def _cases(player: HostFactory, url: str, directory: Path) -> list[Case]:
    [machine] = player.machines("small", 1)
    closed = player.request("small", 1)
    player.poll(closed)
    bare = _BARE.format(region=REGION, url=url, machine=machine["machineId"])

    def verb(name: str, message: dict[str, Any]) -> Sequence[str | Path]:
        file = directory / f"{uuid.uuid4()}.json"
        file.write_text(json.dumps(message))
        return [SCRIPTS / f"{name}.sh", "-f", file]

    look = verb("getReturnRequests", {"machines": [{"machineId": machine["machineId"], "name": machine["name"]}]})
    return [
        Case("python -I -c pass", [sys.executable, "-I", "-c", "pass"]),
        Case("bare boto3, one describe", [sys.executable, "-I", "-c", bare]),
        Case("getAvailableTemplates, compiled", verb("getAvailableTemplates", {}), 2.0),
        Case("getRequestStatus, closed request", verb("getRequestStatus", {"requests": closed}), 3.0),
        Case("getReturnRequests, one describe", look, 1.0, "bare boto3, one describe"),
    ]


def _measured(cases: Sequence[Case], rounds: int, environment: dict[str, str]) -> dict[str, float]:
    """Run the cases in turn, and give each one's median of CPU seconds; one round before is not counted."""
    spent: dict[str, list[float]] = {case.name: [] for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            seconds = _cpu(lambda case=case: _run(case, environment))  # type: ignore[misc]
            if number:
                spent[case.name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def _run(case: Case, environment: dict[str, str]) -> None:
    subprocess.run(case.command, env=environment, stdout=subprocess.DEVNULL, check=True)


def _cpu(work: Callable[[], None]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _with_history(player: HostFactory, cases: Sequence[Case], rounds: int) -> dict[str, tuple[float, float]]:
    """Give each verb's cost without and with a long history, measured in turn."""
    verbs = [case for case in cases if case.budget]
    archive, aside = player.state / "archive", player.state / "archive.aside"
    _archive_history(player)
    costs: dict[bool, dict[str, list[float]]] = {flag: {case.name: [] for case in verbs} for flag in (False, True)}
    for _ in range(rounds):
        for has_history in (False, True):
            if not has_history:
                archive.rename(aside)
            for case in verbs:
                seconds = _cpu(lambda case=case: _run(case, player.environment))  # type: ignore[misc]
                costs[has_history][case.name].append(seconds)
            if not has_history:
                aside.rename(archive)
    return {
        case.name: (statistics.median(costs[False][case.name]), statistics.median(costs[True][case.name]))
        for case in verbs
    }


def _archive_history(player: HostFactory) -> None:
    """Archive requests whose machines are all gone, past the store, whose fsyncs would take minutes."""
    store = FileStore(str(player.state))
    template = Template("small", "aws", -1, {}, {})
    first = store.requests.save(_past_request(template, f"req-{uuid.uuid4()}"))
    store.requests.archive(first)
    [day] = (player.state / "archive").iterdir()
    content = (day / f"{first.id}.json").read_text()
    for _ in range(HISTORY // 10 - 1):
        record_id = f"req-{uuid.uuid4()}"
        (day / f"{record_id}.json").write_text(content.replace(first.id, record_id))


def _past_request(template: Template, request_id: str) -> Request:
    machines = tuple(
        Machine(
            id=f"i-{number:017x}",
            attempt=1,
            region=REGION,
            account="123456789012",
            state=MachineState.TERMINATED,
            launch_time=1,
            result=Result.FAIL,
            message="returned",
        )
        for number in range(10)
    )
    request = Request(request_id, template, 10, 1.0, 601.0, 600, machines=machines)
    return request._replace(phase=Phase.CLOSED, status=RequestStatus.COMPLETE)


def _report(cases: Sequence[Case], costs: dict[str, float], grown: dict[str, tuple[float, float]]) -> int:
    reference = costs[cases[0].name]
    exceeded = False
    for case in cases:
        line = f"{case.name:36} {costs[case.name] * 1000:8.1f} ms {costs[case.name] / reference:7.2f}x"
        if case.budget:
            ratio = costs[case.name] / costs[case.against]
            exceeded |= ratio > case.budget
            line += f"   {ratio:5.2f} of {case.against} (budget {case.budget})"
        sys.stdout.write(line + "\n")
    for name, (without, with_history) in grown.items():
        ratio = with_history / without
        exceeded |= ratio > 1.2
        sys.stdout.write(f"{name:36} with {HISTORY:,} machines of history {ratio:5.2f}x (budget 1.2)\n")
    return 1 if exceeded else 0


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main())
