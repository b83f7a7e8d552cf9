"""Calls that are killed: real processes with real files and an emulated AWS, SIGKILL at any step of theirs.

    python tests/kills.py --histories 100 --seed 1    so many histories of each service, killed here and there
    python tests/kills.py --every                     one history for each boundary of each service
    python tests/kills.py --every 20                  the same for every twentieth boundary

A boundary is the moment before or after a file's opening, write to disk, link, rename or deletion, and before and
after a call to AWS. HostFactory goes on as it does after a kill: it asks again, or never hears an id at all.
What fails names the seed, every call, and where calls were killed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import time
import traceback
import urllib.parse
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import botocore.httpsession
from player import ROLE, SERVICES, HostFactory, demand, template
from standby import import_all

from hfplugin import clock
from hfplugin.emulator import REGION, Emulator
from hfplugin.hostfactory import verbs
from hfplugin.providers.aws import tags

# HostFactory's pauses between two calls about nothing in particular.
_PAUSE = 60

# A request that HostFactory never asked about is given back after this much of its activity.
_UNCLAIMED = 180

# By now all that is ever due has been: settling, abandoned requests, several looks at all that AWS has.
_CALM = _UNCLAIMED + 1000

# What no launch uses is removed at this age.
_SPARE = 3600

# The units of the requests of a history.
_ASKED = (3, 2)

# The calls that machines come of.
_LAUNCHING = ("RunInstances", "CreateFleet", "RequestSpotFleet", "CreateAutoScalingGroup")

_NEVER = 2**31


class Boundaries:
    """Counts boundaries over all calls of a history, and kills the process that reaches the one that is next."""

    def __init__(self, state: Path) -> None:
        self._state = f"{state}/"
        self._shared = mmap.mmap(-1, 1024)
        self.left = _NEVER

    @property
    def left(self) -> int:
        """Boundaries up to the next kill."""
        return int(struct.unpack_from("q", self._shared, 0)[0])

    @left.setter
    def left(self, number: int) -> None:
        struct.pack_into("q", self._shared, 0, number)

    @property
    def left_at_change(self) -> int:
        """What becomes left when a call is about to change something at AWS; 0 for no change."""
        return int(struct.unpack_from("q", self._shared, 8)[0])

    @left_at_change.setter
    def left_at_change(self, number: int) -> None:
        struct.pack_into("q", self._shared, 8, number)

    @property
    def killed_at(self) -> str:
        """The boundary of the last kill, in words."""
        return bytes(self._shared)[16:].rstrip(b"\0").decode()

    def reach(self, name: Callable[[], str]) -> None:
        self.left -= 1
        if self.left == 0:
            self._shared[16:] = name().encode()[:1008].ljust(1008, b"\0")
            os.kill(os.getpid(), signal.SIGKILL)

    def surround(self) -> None:
        """Put a boundary before and after everything that leaves a trace."""
        for name in ("open", "fsync", "link", "rename", "unlink", "mkdir", "utime"):
            setattr(os, name, self._around(getattr(os, name), functools.partial(self._named, name)))
        session = botocore.httpsession.URLLib3Session
        send = self._around(session.send, _action)

        def sent(session: Any, request: Any) -> Any:
            if self.left_at_change and not _action(session, request).startswith(("Describe", "Get")):
                self.left, self.left_at_change = self.left_at_change, 0
            return send(session, request)

        session.send = sent  # type: ignore[assignment, method-assign]

    def _around(self, call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        @functools.wraps(call)
        def surrounded(*arguments: Any, **keywords: Any) -> Any:
            self.reach(lambda: f"before {name(*arguments)}")
            try:
                answer = call(*arguments, **keywords)
            except OSError:  # nothing was done; waiting for another writer has to have no boundaries
                self.left += 1
                raise
            self.reach(lambda: f"after {name(*arguments)}")
            return answer

        return surrounded

    def _named(self, function: str, *arguments: Any) -> str:
        target = arguments[1] if function in ("link", "rename") else arguments[0]
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
        return f"{function} of {path.removeprefix(self._state)}"


def _action(session: Any, request: Any) -> str:
    body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
    return str(urllib.parse.parse_qs(body).get("Action", [request.url])[0])


class Calls:
    """Calls of HostFactory's, each a process of its own that may be killed."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator) -> None:
        import_all()
        self.boundaries = Boundaries(hostfactory.state)
        self.kills = 0
        self.told: list[str] = []
        self._hostfactory = hostfactory
        self._emulator = emulator
        self._skipped = 0.0
        self._answer = hostfactory.work / "answer.json"
        self._input = hostfactory.work / "input.json"

    def pass_time(self, seconds: float) -> None:
        self._skipped += seconds
        self._emulator.advance(seconds)

    def call(self, verb: str, message: Mapping[str, Any], within: float = 0.0) -> dict[str, Any] | None:
        """Give the answer, None when the call was killed: at its boundary, or `within` seconds."""
        self._input.write_text(json.dumps(message))
        self._answer.write_bytes(b"")
        child = os.fork()
        if not child:
            self._be_the_call(verb)
        if within:
            time.sleep(within)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGKILL:
            self.kills += 1
            where = f"after {within:.3f} s" if self.boundaries.left else self.boundaries.killed_at
            self.boundaries.left = _NEVER
            self._tell(verb, message, f"KILLED {where}")
            return None
        self._tell(verb, message, self._answer.read_text())
        assert status == 0, (verb, status, self._answer.read_text())
        answer: dict[str, Any] = json.loads(self._answer.read_bytes())
        return answer

    def _tell(self, verb: str, message: Mapping[str, Any], came: str) -> None:
        self.told.append(f"{self._skipped:6.0f} s  {verb} {json.dumps(message)}\n{'':10}{came.strip()[:600]}")

    def _be_the_call(self, verb: str) -> None:
        try:
            descriptor = os.open(self._answer, os.O_WRONLY | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.environ.clear()
            os.environ.update(self._hostfactory.environment)
            clock.Clock.__init__.__defaults__ = (lambda: time.time() + self._skipped, time.monotonic)
            self.boundaries.surround()
            os._exit(verbs.run(verb, ["-f", str(self._input)], os.environ))
        except BaseException:  # noqa: BLE001  a forked test must never go on as the test
            traceback.print_exc()
            os._exit(70)


class History:
    """HostFactory's life with one service. What it was told is compared with what runs."""

    def __init__(self, emulator: Emulator, directory: Path, service: str) -> None:
        self._emulator = emulator
        emulator.reset()
        self._hostfactory = HostFactory(directory)
        self._hostfactory.configure(
            {
                "providerType": "aws",
                "aws": {"region": REGION, "endpointUrl": emulator.url},
                "requests": {"unclaimedTimeoutSeconds": _UNCLAIMED},
            }
        )
        subnet = sorted(each["SubnetId"] for each in emulator.ec2().describe_subnets()["Subnets"])[0]
        expiry = 10_000_000  # a validity ends by AWS's clock, which histories have moved
        self._hostfactory.offer(
            template(subnet, fleetRole=ROLE, spotFleetRequestExpiry=expiry, **SERVICES[service])
        )
        self.calls = Calls(self._hostfactory, emulator)
        self.before_call: Callable[[], float] = lambda: 0.0
        self.held: dict[str, str] = {}  # machine id -> request id, as HostFactory has them
        self._failed: set[str] = set()
        self._ends: dict[str, str] = {}  # request or return id -> the last that HostFactory heard of it

    def _call(self, verb: str, message: Mapping[str, Any]) -> dict[str, Any] | None:
        return self.calls.call(verb, message, self.before_call())

    def play(self) -> None:
        """Two requests, machines lost and returned; then all of it is over and nothing is left.

        One request launches at once; the other is throttled, so that its polls launch.
        """
        launched, polled = _ASKED
        self._request(launched)
        throttles = [self._emulator.fault("throttle", action=action) for action in _LAUNCHING]
        self._request(polled, throttles)
        self._check()
        self._lose_one()
        self._check(is_thorough=True)
        for machine_id in sorted(self.held)[:2]:
            self._give_back([machine_id])
        self._check()
        self._give_back(sorted(self.held))
        self._check(is_thorough=True)
        self._end()

    def ask_in_vain(self) -> list[str]:
        """Request a machine, killed at each boundary of the call in turn, and give these boundaries."""
        self._request(1)
        names: list[str] = []
        answer = None
        while answer is None:
            self.calls.boundaries.left = len(names) + 1
            answer = self.calls.call("requestMachines", demand("small", 1))
            names.append(self.calls.boundaries.killed_at)
        self.calls.boundaries.left = _NEVER
        self._hold(answer["requestId"], 1)
        self._check(is_thorough=True)
        return names

    @property
    def alive(self) -> set[str]:
        return {machine.id for machine in self._emulator.alive()}

    def _request(self, units: int, faults: Sequence[int] = ()) -> None:
        answer = None
        while answer is None:  # HostFactory hears no id, and asks for other machines
            answer = self._call("requestMachines", demand("small", units))
        for fault in faults:
            self._emulator.lift(fault)
        self._hold(answer["requestId"], units)

    def _hold(self, record_id: str, units: int) -> None:
        """Follow a request to its end, and take what it brought."""
        polled = self._followed(record_id)
        for machine in polled["machines"]:
            if machine["result"] == "succeed":
                assert machine["machineId"] not in self._failed, f"failed and then succeeded: {machine}"
                assert self.held.setdefault(machine["machineId"], record_id) == record_id, f"twice: {machine}"
            else:
                self._failed.add(machine["machineId"])
        mine = [each for each in self.held.values() if each == record_id]
        assert len(mine) == units, f"{len(mine)} machines instead of {units}: {polled}"
        for request_id, count in Counter(m.tags[tags.REQUEST_ID] for m in self._emulator.machines()).items():
            most = units if request_id == record_id else max(_ASKED)
            assert count <= most, f"doubled: {count} machines were launched for {request_id}, not {most}"

    def _followed(self, record_id: str) -> dict[str, Any]:
        """Poll until it is no longer running."""
        for _ in range(60):
            answer = self._call("getRequestStatus", {"requests": [{"requestId": record_id}]})
            if answer is not None and answer["requests"][0]["status"] != "running":
                polled: dict[str, Any] = answer["requests"][0]
                self._ends[record_id] = polled["status"]
                return polled
            self.calls.pass_time(5 if answer is not None else 1)
        raise AssertionError(f"stuck: {record_id} runs for ever: {answer}")

    def _lose_one(self) -> None:
        """End a machine behind everybody's back, and let HostFactory hear of it."""
        lost = min(self.held)
        self._emulator.terminate(lost)
        for _ in range(20):
            known = [{"machineId": each} for each in self.held]
            answer = self._call("getReturnRequests", {"machines": known})
            if answer is not None and answer["requests"]:
                assert [each["machineId"] for each in answer["requests"]] == [lost], "healthy hosts called lost"
                break
        else:
            raise AssertionError(f"stuck: {lost} is not named: {answer}")
        self._give_back([lost])

    def _give_back(self, machine_ids: list[str]) -> None:
        answer = None
        while answer is None:
            answer = self._call(
                "requestReturnMachines", {"machines": [{"machineId": each} for each in machine_ids]}
            )
        polled = self._followed(answer["requestId"])
        assert polled["status"] == "complete", f"not given back: {polled}"
        for machine_id in machine_ids:
            del self.held[machine_id]

    def _calm(self, seconds: int = _CALM, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let HostFactory call about nothing in particular, until all that is due has been done."""
        for _ in range(seconds // _PAUSE):
            self.calls.pass_time(_PAUSE)
            self._call("getAvailableTemplates", {})
            if is_over():
                break

    def _check(self, is_thorough: bool = False) -> None:
        """What HostFactory holds runs, always; nothing else does, once what it never heard of is given back.

        Thoroughly: it stays so, whatever comes to be due.
        """
        self._must_be_empty("lost", set(self.held) - self.alive)
        if self.calls.kills:
            self._calm(is_over=lambda: not is_thorough and self.alive == set(self.held))
        self._must_be_empty("lost", set(self.held) - self.alive)
        self._must_be_empty("leaked", self.alive - set(self.held))

    def _end(self) -> None:
        """Nothing is left at AWS or to be done, and what was said stays said."""
        self.calls.pass_time(_SPARE)
        self._calm(600)
        self._must_be_empty("leaked", [each["id"] for each in self._emulator.leftovers()])
        for kind in ("requests", "returns"):
            unfinished = sorted(path.name for path in (self._hostfactory.state / kind).glob("*.json"))
            self._must_be_empty(f"stuck among {kind}", unfinished)
        self.calls.boundaries.left, self.calls.boundaries.left_at_change = _NEVER, 0
        answer = self.calls.call("getRequestStatus", {"requests": [{"requestId": each} for each in self._ends]})
        assert answer is not None
        said = {each["requestId"]: each["status"] for each in answer["requests"]}
        assert said == self._ends, f"another status than before: {self._ends}"

    def _must_be_empty(self, wrong: str, what: Collection[str]) -> None:
        assert not what, f"{wrong}: {', '.join(sorted(what))}; HostFactory holds {self.held or 'nothing'}"


def here_and_there(history: History, seed: int) -> None:
    """Kill about every second call of a history, at a boundary of it or after a moment."""
    draw = random.Random(seed)

    def before_call() -> float:
        kind = draw.random()
        boundaries = history.calls.boundaries
        boundaries.left = draw.randint(1, draw.choice((15, 50, 90))) if kind < 0.4 else _NEVER
        boundaries.left_at_change = draw.randint(1, 15) if 0.4 < kind < 0.7 else 0
        return draw.uniform(0.001, 0.3) if kind > 0.9 else 0.0

    history.before_call = before_call
    history.play()


def at(history: History, boundary: int) -> bool:
    """Kill one call, at a boundary of the whole history; False when the history has fewer."""
    history.calls.boundaries.left = boundary
    history.play()
    return history.calls.kills > 0


@contextlib.contextmanager
def played(emulator: Emulator, service: str, how: str) -> Iterator[History]:
    """Give a new history; what fails in it says what happened, and how to play it again."""
    with tempfile.TemporaryDirectory() as directory:
        history = History(emulator, Path(directory), service)
        try:
            yield history
        except Exception as error:
            told = "\n".join(history.calls.told)
            error.add_note(f"{told}\n{service}; again: python tests/kills.py --service {service} {how}")
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", choices=SERVICES, action="append", help="instead of all; may be repeated")
    parser.add_argument("--histories", type=int, default=10, help="of each service")
    parser.add_argument("--seed", type=int, default=random.randint(1, 10**6))
    parser.add_argument("--every", type=int, nargs="?", const=1, metavar="N", help="kill at each N-th boundary")
    parser.add_argument("--boundary", type=int, help="kill at this boundary only")
    asked = parser.parse_args()
    with Emulator() as emulator:
        for service in asked.service or SERVICES:
            if asked.every or asked.boundary:
                numbers, kills = _swept(emulator, service, asked.boundary or 1, asked.every)
            else:
                numbers, kills = asked.histories, 0
                for seed in range(asked.seed, asked.seed + asked.histories):
                    with played(emulator, service, f"--histories 1 --seed {seed}") as history:
                        here_and_there(history, seed)
                    kills += history.calls.kills
            sys.stdout.write(f"{service}: {numbers} histories, {kills} kills, seed {asked.seed}\n")
            sys.stdout.flush()


def _swept(emulator: Emulator, service: str, first: int, step: int | None) -> tuple[int, int]:
    """Kill at a boundary, and with a step at all that follow it; give the number of histories and of kills."""
    kills, boundary, is_more = 0, first, True
    while is_more:
        with played(emulator, service, f"--boundary {boundary}") as history:
            is_more = at(history, boundary) and step is not None
        kills += history.calls.kills
        boundary += step or 1
    return (boundary - first) // (step or 1), kills


if __name__ == "__main__":
    main()
