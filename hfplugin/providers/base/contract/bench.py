"""What the contract kit needs of an author: a provider, a template, and hooks that bring about what it must stand.

Here too is what all parts of the kit do with it: order, freeze and send launches as the broker does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

import pytest

from hfplugin.errors import ErrorKind, HFPluginError
from hfplugin.model import Launch, LaunchState, MachineState, Template
from hfplugin.providers.base.provider import (
    Context,
    Inventory,
    Located,
    Order,
    Outcome,
    Plan,
    Provider,
    Released,
    Sighting,
    Source,
)

T = TypeVar("T")

# What nobody has proved of a provider whose bench lacks one of these. The provider guide has the same words.
UNPROVEN = {
    "refuse": "that a refusal is told by its kind, and proves what it claims",
    "limit": "that a launch brings what there is room for, or all or nothing, and a stopped source no more",
    "lose_answer": "that a launch of unknown outcome is found and launched once only",
    "cut_off": "that nothing is believed, and nothing hangs, while the cloud does not answer",
    "end": "that a machine that has ended by itself is told as ended",
    "interrupt": "that a machine that the cloud takes back is told as such, and no other",
    "protect": "that a machine that cannot be given back does not spoil the others",
    "tags": "that a machine carries the tags of its template",
    "group_template": "that a source replaces nothing that was given back",
    "weighted_template": "that machines that are worth more than one unit are counted by their worth",
    "bad_template": "that a check finds a template bad that cannot be launched",
}


class Bench:
    """A provider on a cloud for tests, in which nothing runs yet: `make` has to be given, and what stands here.

    `template` has to be launchable for ten capacity units in one launch. `group_template` is for machines from a
    source (a fleet or group that lives on), None where the provider has none; `group_replaces` is False for one
    that does not replace what it loses. Of `weighted_template` every machine is worth more than one unit;
    `bad_template` cannot be launched, and the provider can tell without a launch. `call_seconds` is how long a
    call may take while the cloud is silent, `patience_seconds` how long the cloud may take until something shows.

    Calls at the same time come from forks of the test's process, and each makes its provider by `make`. Only a
    cloud that is kept in the memory of the test's process has to say so, by `is_in_memory`.
    """

    context: Context
    template: Template
    group_template: Template | None = None
    weighted_template: Template | None = None
    bad_template: Template | None = None
    group_replaces: bool = True
    call_seconds: float = 60.0
    patience_seconds: float = 60.0
    is_in_memory: bool = False

    _provider: Provider | None = None

    def make(self) -> Provider:
        """Make the provider for `self.context`, which the kit changes to be somebody else for a while.

        What it has to remember it may not keep in memory: every call is a new process.
        """
        raise NotImplementedError(f"give {type(self).__name__} a method named make")

    @property
    def provider(self) -> Provider:
        """The provider as this process has it."""
        if self._provider is None:
            self._provider = self.make()
        return self._provider

    @property
    def watched(self) -> Provider:
        """The provider as the kit calls it: what it may not raise fails the test, which names the method."""
        return cast(Provider, _Watched(self.provider))

    def renew(self) -> None:
        """Go on in a new process: the provider is made anew when it is next used."""
        self._provider = None

    def now(self) -> float:
        """Give the cloud's time, in seconds since the epoch."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """Let time pass in the cloud."""
        time.sleep(seconds)

    def alive(self) -> set[str]:
        """Give the ids of all machines that run or may run: those that boot count, those that shut down do not.

        Better than this: ask the cloud past the provider.
        """
        return {machine.id for machine in self.watched.inventory().machines}

    def refuse(self, kind: ErrorKind) -> None:
        """Let the cloud refuse every launch from now on, for a reason of this kind."""
        self.unproven("refuse")

    def limit(self, machines: int) -> None:
        """Let the cloud have room for so many machines in all, those that run included."""
        self.unproven("limit")

    def lose_answer(self) -> None:
        """Let the next launch act, and its answer be lost."""
        self.unproven("lose_answer")

    def cut_off(self) -> None:
        """Let the cloud not answer from now on, as slowly as it can."""
        self.unproven("cut_off")

    def end(self, machine_id: str) -> None:
        """End a machine behind the provider's back."""
        self.unproven("end")

    def interrupt(self, machine_id: str) -> None:
        """Let the cloud announce that it takes a machine back."""
        self.unproven("interrupt")

    def protect(self, machine_id: str) -> None:
        """Let the cloud refuse to end a machine."""
        self.unproven("protect")

    def tags(self, machine_id: str) -> Mapping[str, str]:
        """Give a machine's tags as the cloud has them. The bench's `template` needs some, which are among them."""
        self.unproven("tags")

    @staticmethod
    def unproven(hook: str, promise: str = "") -> NoReturn:
        """Skip the test, for this bench cannot prove a promise. A hook that does a part calls it for the rest."""
        pytest.skip(f"unproven for want of the hook `{hook}`: {promise or UNPROVEN[hook]}")


class _Watched:
    """A provider that breaks its promise, and the test, by whatever it raises beside HFPluginError."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._provider, name)

        @wraps(method)
        def call(*asked: Any, **named: Any) -> Any:
            try:
                return method(*asked, **named)
            except HFPluginError:
                raise
            except Exception as error:
                said = f"the provider's `{name}` raised {type(error).__name__}, which is no HFPluginError: {error}"
                raise AssertionError(said) from error

        return call


@contextmanager
def acting_as(bench: Bench, **changes: Any) -> Iterator[None]:
    """Be another installation of the same cloud for a while, whose context differs by these changes."""
    own = bench.context
    bench.context = own._replace(**changes)
    bench.renew()
    try:
        yield
    finally:
        bench.context = own
        bench.renew()


def template_of(bench: Bench, name: str) -> Template:
    """Give one of the bench's optional templates; skip the test for want of it."""
    given: Template | None = getattr(bench, name)
    if given is None:
        bench.unproven(name)
    return given


class Brought(NamedTuple):
    """A launch with what came of it, as a record would hold it."""

    order: Order
    launch: Launch
    machines: tuple[Sighting, ...]

    @property
    def ids(self) -> set[str]:
        return {machine.id for machine in self.machines}

    def located(self, *ids: str) -> list[Located]:
        """Give the addresses of some of its machines, or of all."""
        chosen = [machine for machine in self.machines if not ids or machine.id in ids]
        return [Located(machine.id, machine.region, machine.account) for machine in chosen]


def order(bench: Bench, units: int, template: Template | None = None, **changes: Any) -> Order:
    plain = Order(f"req-{uuid.uuid4()}", 1, template or bench.template, units)
    return plain._replace(**changes)


def planned(bench: Bench, order: Order) -> Plan:
    plan = bench.watched.plan(order)
    assert isinstance(plan, Plan), "nowhere to launch: the bench's template has to be launchable"
    return plan


def frozen(bench: Bench, order: Order, plan: Plan) -> Launch:
    """Freeze a plan as the broker does before it is sent; the token is that of the order."""
    return Launch(
        attempt=order.attempt,
        token=sha256(f"{order.request_id}|{order.attempt}".encode()).hexdigest()[:48],
        api=plan.api,
        region=plan.region,
        account=plan.account,
        place=plan.place,
        params=plan.params,
        units=plan.units,
        planned_at=bench.now(),
        weight=plan.weight,
        weights=plan.weights,
        remains=plan.remains,
    )


def sent(bench: Bench, launch: Launch, user_data: str = "") -> tuple[Launch, Outcome]:
    """Send a launch and give it with its outcome recorded."""
    outcome = bench.watched.launch(launch, user_data)
    recorded = launch._replace(
        state=outcome.state,
        account=launch.account or outcome.account,
        resource_id=outcome.resource_id,
        errors=outcome.errors,
        look_only=outcome.look_only,
    )
    return recorded, outcome


def bring(bench: Bench, units: int, template: Template | None = None) -> Brought:
    """Launch so many units and wait until they are there, whoever is asked."""
    made = order(bench, units, template)
    plan = planned(bench, made)
    launch, outcome = sent(bench, frozen(bench, made, plan), plan.user_data)
    assert outcome.state in (LaunchState.SETTLED, LaunchState.ACCEPTED), outcome
    machines = outcome.sightings
    if launch.is_delivering:
        machines = until(
            bench,
            "the source brings what it was asked for",
            lambda: bench.watched.gather(launch).sightings,
            lambda seen: worth(launch, seen) >= launch.units,
        )
    brought = Brought(made, launch, machines)
    until(bench, "what was launched lives", bench.alive, lambda alive: alive >= brought.ids)
    return brought


def worth(launch: Launch, machines: Iterable[Sighting]) -> int:
    """Give the capacity units of machines."""
    return sum(launch.units_of(machine.machine_type) for machine in machines)


def released(bench: Bench, brought: Brought, ids: Iterable[str], before: Iterable[str] = ()) -> Released:
    """Give machines back as the broker does; `before` are those that were given back earlier."""
    spent = {*ids, *before}
    source = None
    if brought.launch.is_delivering:
        units: dict[str, int] = {}
        for machine in brought.machines:
            if machine.id in spent:
                worth_of = brought.launch.units_of(machine.machine_type)
                units[machine.price_type] = units.get(machine.price_type, 0) + worth_of
        source = Source(brought.launch, units)
    return bench.watched.release(brought.located(*ids), source)


def until(bench: Bench, what: str, look: Callable[[], T], is_so: Callable[[T], bool]) -> T:
    """Look until it is so, letting the cloud's time pass; fail when its patience is used up."""
    step, passed = 1.0, 0.0
    while not is_so(found := look()):
        assert passed < bench.patience_seconds, f"not within {bench.patience_seconds:g} s: {what}; seen: {found}"
        bench.advance(step)
        passed += step
        step = min(2 * step, 10.0)
    return found


def unknown_id(machine_id: str, known: Iterable[str]) -> str:
    """Make an id that looks like the cloud's and is of no machine."""
    taken = set(known)
    return next(made for end in "0123456789abcdef" if (made := machine_id[:-1] + end) not in taken)


def of_request(found: Inventory, request_id: str) -> set[str]:
    return {machine.id for machine in found.machines if machine.request_id == request_id}


def states(bench: Bench, machines: Sequence[Located]) -> dict[str, MachineState]:
    """Observe machines; a missing one counts as terminated."""
    view = bench.watched.observe(machines)
    gone = dict.fromkeys(view.missing, MachineState.TERMINATED)
    return gone | {machine_id: sighting.state for machine_id, sighting in view.seen.items()}


def await_gone(bench: Bench, brought: Brought, *ids: str) -> None:
    """Wait until some of a launch's machines, or all, have ended for good: to be ending is not enough."""
    until(
        bench,
        "what was given back is terminated or missing",
        lambda: states(bench, brought.located(*ids)),
        lambda seen: set(seen.values()) == {MachineState.TERMINATED},
    )
