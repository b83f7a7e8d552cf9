"""A mix of what goes wrong in a cloud, from a seed: the same seed brings the same troubles.

`plan` decides, without an emulator, what is to happen; `Havoc` lets it happen to one and tells afterwards what
did. Bounded, so that a correct plug-in absorbs all of it: faults wear out, and launches that are left in doubt get
their answer in the end.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from hfplugin.emulator.client import Emulator, Machine

# When machines are taken: once a request is fulfilled; just before they are returned.
Step = Literal["running", "returning"]

# What EC2 answers with a 5xx status when it has trouble of its own: whether it has acted is not known.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html#api-error-codes-table-server
_TROUBLES = (("InternalError", 500), ("InternalFailure", 500), ("ServiceUnavailable", 503), ("Unavailable", 503))

# StateReason of a machine whose hardware fails.
_FAILURE = {"code": "Server.InternalError", "text": "Server.InternalError: Internal error on launch"}

# What a plug-in does about each, by what the call is for.
_ABSORBED = {
    ("launch", "throttle"): "the same place is asked again at the next poll",
    ("launch", "error"): "in doubt: sent again under the same token, which launches nothing twice",
    ("launch", "drop_before"): "in doubt: sent again under the same token, which launches nothing twice",
    ("launch", "drop_after"): "in doubt: sent again under the same token, which launches nothing twice",
    ("other", "throttle"): "asked again within the call, else at the next poll",
    ("other", "error"): "asked again within the call, else at the next poll",
    ("other", "drop_before"): "repeated: to terminate twice does no harm",
    ("other", "drop_after"): "repeated: to terminate twice does no harm",
    ("other", "delay"): "waited for",
}


class Taking(NamedTuple):
    """Machines that are taken at a step: spot machines get their notice, all others fail or are stopped."""

    step: Step
    machines: int
    way: Literal["fail", "stop"]


class Chaos(NamedTuple):
    """What is to go wrong; see `plan`."""

    seed: int
    # Arguments of Emulator.fault, in the order in which they are set: the first that fits a call strikes.
    faults: tuple[Mapping[str, Any], ...]
    # Arguments of Emulator.configure: pools without a machine, until Havoc.relent.
    settings: Mapping[str, Any]
    takings: tuple[Taking, ...]


class Struck(NamedTuple):
    """One kind of trouble, in words: what it was, how often it struck, what a plug-in does about it."""

    what: str
    times: int
    absorbed: str


# The calls of AWS that launch.
LAUNCHES = ("RunInstances", "CreateFleet", "RequestSpotFleet", "CreateAutoScalingGroup")


def plan(seed: int, pools: Sequence[str] = (), launches: Sequence[str] = LAUNCHES) -> Chaos:
    """Decide what goes wrong: some of everything, of which the seed decides how much and in which order.

    `pools` are names or patterns (see Settings.capacity) of which one refuses: give such as are tried first and
    leave another place to go; without any, none refuses. `launches` are the calls that launch.
    """
    chance = random.Random(seed)
    refused = [chance.choice(pools)] if pools else []
    faults = [fault for action in launches for fault in _at_launch(chance, action, bool(refused))]
    return Chaos(
        seed=seed,
        faults=(*faults, *_at_look(chance), *_at_termination(chance)),
        settings={"capacity": dict.fromkeys(refused, 0)},
        takings=(
            Taking("running", chance.randint(1, 2), chance.choice(("fail", "stop"))),
            Taking("returning", 1, "fail"),
        ),
    )


def _at_launch(chance: random.Random, action: str, is_refused: bool) -> Iterator[dict[str, Any]]:
    """Throttle first, then leave launches in doubt, in any order.

    A refusal for want of capacity has to come before the doubt: after it, it would prove nothing, and a plug-in
    would have to look for machines for minutes. A fleet says so in an answer that is none of these.
    """
    yield {"kind": "throttle", "action": action, "times": chance.randint(1, 2)}
    code, status = chance.choice(_TROUBLES)
    doubts: list[dict[str, Any]] = [
        {"kind": "error", "code": code, "status": status},
        {"kind": "drop_before"},
        {"kind": "drop_after"},
    ]
    chance.shuffle(doubts)
    for doubt in doubts:
        yield {**doubt, "action": action, "times": 1, "skip": int(is_refused and action == "RunInstances")}


def _at_look(chance: random.Random) -> Iterator[dict[str, Any]]:
    code, status = chance.choice(_TROUBLES)
    seconds = round(chance.uniform(0.1, 0.5), 2)
    yield {"kind": "throttle", "action": "DescribeInstances", "times": chance.randint(1, 4)}
    yield {"kind": "error", "action": "DescribeInstances", "code": code, "status": status, "times": 1}
    yield {"kind": "delay", "action": "DescribeInstances", "seconds": seconds, "times": chance.randint(1, 3)}


def _at_termination(chance: random.Random) -> Iterator[dict[str, Any]]:
    kinds = ["throttle", "drop_before", "drop_after"]
    chance.shuffle(kinds)
    for kind in kinds[:2]:
        yield {"kind": kind, "action": "TerminateInstances", "times": 1}


class Havoc:
    """A plan at work on an emulator: `begin` at the start, `take` at the steps, `told` and `end` at the end."""

    def __init__(self, emulator: Emulator, chaos: Chaos) -> None:
        self._emulator = emulator
        self._chaos = chaos
        self._numbers: list[int] = []
        self._taken: list[Struck] = []

    def begin(self) -> None:
        """Set the faults and take the capacity; the call log is counted from here on."""
        self._emulator.forget_calls()
        self._numbers = [self._emulator.fault(**fault) for fault in self._chaos.faults]
        self._set_capacity(self._chaos.settings["capacity"])

    def take(self, step: Step, among: Collection[str] | None = None) -> list[Machine]:
        """Take the machines of a step, of all that live or those `among` them; give what was taken."""
        taken: list[Machine] = []
        for number, taking in enumerate(self._chaos.takings):
            if taking.step != step:
                continue
            alive = [m for m in self._emulator.alive() if among is None or m.id in among]
            chance = random.Random(f"{self._chaos.seed}/{number}")
            chosen = chance.sample(alive, min(taking.machines, len(alive)))
            for machine in chosen:
                self._lose(machine, taking)
            taken += chosen
        return taken

    def relent(self) -> None:
        """Give the refused capacity back."""
        self._set_capacity({})

    def end(self) -> None:
        """Lift every fault and give the capacity back; `told` tells the same as before."""
        for number in self._numbers:
            self._emulator.lift(number)
        self.relent()

    def told(self) -> list[Struck]:
        """Say what struck, and how often; what did not strike says 0."""
        pairs = zip(self._chaos.faults, self._numbers, strict=False)  # before it began, none is set
        struck = [
            Struck(_words(fault), self._emulator.struck(number), _absorbed(fault)) for fault, number in pairs
        ]
        for pool in self._chaos.settings["capacity"]:
            struck.append(Struck(f"no capacity in {pool}", self._emulator.refused(pool), "launched elsewhere"))
        return struck + self._taken

    def _set_capacity(self, capacity: Mapping[str, int]) -> None:
        """Let our pools hold this; everybody else's stay as they are."""
        now: dict[str, int] = self._emulator.configure()["capacity"]
        others = {pool: count for pool, count in now.items() if pool not in self._chaos.settings["capacity"]}
        self._emulator.configure(capacity={**others, **capacity})

    def _lose(self, machine: Machine, taking: Taking) -> None:
        if machine.purchase == "spot":
            self._emulator.interrupt(machine.id)
            what = "was interrupted, with two minutes' notice"
        elif taking.way == "stop":
            self._emulator.stop(machine.id)
            what = "was stopped outside HostFactory"
        else:
            self._emulator.terminate(machine.id, **_FAILURE)
            what = f"died ({_FAILURE['code']})"
        when = "as it was returned" if taking.step == "returning" else "while it ran"
        absorbed = (
            "returned like any other" if taking.step == "returning" else "named to HostFactory, which returns it"
        )
        self._taken.append(Struck(f"{machine.id} {what} {when}", 1, absorbed))


def _words(fault: Mapping[str, Any]) -> str:
    action = fault["action"]
    said = {
        "throttle": f"{action} was throttled",
        "error": f"{action} answered {fault.get('code')}",
        "delay": f"{action} answered {fault.get('seconds')} s late",
        "drop_before": f"{action}: connection lost before it acted",
        "drop_after": f"{action}: connection lost after it had acted",
    }
    return said[fault["kind"]]


def _absorbed(fault: Mapping[str, Any]) -> str:
    kind = fault["kind"]
    purpose = "other" if kind == "delay" or fault["action"] in _REPEATABLE else "launch"
    return _ABSORBED[purpose, kind]


_REPEATABLE = ("DescribeInstances", "TerminateInstances")
