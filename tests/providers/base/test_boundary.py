"""A fault in a provider's code costs what was asked of it, and neither machines nor HostFactory's call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import FakeSite, template
from world import World

from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError, RefusedError
from hfplugin.model import Launch, LaunchState, RequestStatus
from hfplugin.providers.base.boundary import Bounded, BoundedCosts
from hfplugin.providers.base.prices import readable_offers
from hfplugin.providers.base.provider import Order, Provider

LAUNCH = Launch(1, "token", "api", "region", "account", "the place", {}, 1, 0.0)
ORDER = Order("req-1", 1, template(), 1)

CALLS: dict[str, Callable[[Provider], Any]] = {
    "plan": lambda provider: provider.plan(ORDER),
    "launch": lambda provider: provider.launch(LAUNCH, ""),
    "find_launched": lambda provider: provider.find_launched(LAUNCH, "req-1"),
    "gather": lambda provider: provider.gather(LAUNCH),
    "stop": lambda provider: provider.stop(LAUNCH, {}),
    "remove": lambda provider: provider.remove(LAUNCH, []),
    "observe": lambda provider: provider.observe([]),
    "release": lambda provider: provider.release([]),
    "reclaimed": lambda provider: provider.reclaimed([]),
    "acknowledge": lambda provider: provider.acknowledge([]),
    "find_hosts": lambda provider: provider.find_hosts([]),
    "find_requests": lambda provider: provider.find_requests([]),
    "inventory": lambda provider: provider.inventory(),
    "discard": lambda provider: provider.discard([]),
    "check": lambda provider: provider.check([]),
}

# Those that promise to raise nothing.
NEVER_RAISE = ("launch", "reclaimed", "acknowledge", "check")


class Raising:
    """A provider of which every operation raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def operation(*arguments: Any) -> Any:
            raise self._error

        return operation


def bounded(error: Exception) -> Bounded:
    return Bounded(Raising(error))


def test_every_operation_of_a_provider_has_its_boundary() -> None:
    operations = {name for name, _ in inspect.getmembers(Provider, inspect.isfunction) if not name.startswith("_")}
    assert operations == set(CALLS) == {name for name in vars(Bounded) if not name.startswith("_")}


@pytest.mark.parametrize("operation", sorted(set(CALLS) - set(NEVER_RAISE)))
def test_whatever_an_operation_raises_is_a_failure_of_the_provider(operation: str) -> None:
    with pytest.raises(
        ProviderError, match=f"a fault of the provider's, in {operation}: KeyError: 'nodes'"
    ) as raised:
        CALLS[operation](bounded(KeyError("nodes")))
    assert raised.value.kind is ErrorKind.UNKNOWN


@pytest.mark.parametrize("operation", sorted(set(CALLS) - set(NEVER_RAISE)))
def test_what_it_raises_on_purpose_stays_what_it_is(operation: str) -> None:
    meant = ConfigurationError("correct this")
    with pytest.raises(ConfigurationError) as raised:
        CALLS[operation](bounded(meant))
    assert raised.value is meant


@pytest.mark.parametrize("error", [KeyError("nodes"), ProviderError(ErrorKind.THROTTLED, "Slow", "down")])
def test_what_promises_to_raise_nothing_raises_nothing(error: Exception) -> None:
    provider = bounded(error)
    outcome = provider.launch(LAUNCH, "")
    assert (outcome.state, outcome.look_only) == (LaunchState.UNKNOWN, True)
    assert [each.place for each in outcome.errors] == ["the place"]
    told = provider.reclaimed([])
    assert (told.notices, len(told.failures)) == ((), 1)
    provider.acknowledge(["a-message"])
    [check] = provider.check([])
    assert (check.is_ok, bool(check.remedy)) == (False, True)


class FaultySite(FakeSite):
    """An installation whose provider has faults."""

    broken: frozenset[str] = frozenset()

    @property
    def provider(self) -> Provider:
        return Bounded(_Broken(self.cloud, self.broken))


class _Broken:
    def __init__(self, provider: Provider, broken: frozenset[str]) -> None:
        self._provider = provider
        self._broken = broken

    def __getattr__(self, name: str) -> Any:
        def operation(*arguments: Any) -> Any:
            answer = getattr(self._provider, name)(*arguments)
            if name in self._broken:
                raise KeyError("after it acted")
            return answer

        return operation


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "state", [template()])
    world.site = FaultySite(world.cloud, world.site.templates, world.site.settings)
    return world


def breaking(world: World, *operations: str) -> None:
    assert isinstance(world.site, FaultySite)
    world.site.broken = frozenset(operations)


def test_a_launch_that_acts_and_then_raises_is_found_and_made_once(world: World) -> None:
    breaking(world, "launch")
    request_id = world.ask(3)
    assert world.poll(request_id).status is RequestStatus.COMPLETE
    assert len(world.cloud.alive) == 3


def test_a_plan_that_raises_refuses_the_request_and_says_why(world: World) -> None:
    breaking(world, "plan")
    with pytest.raises(RefusedError, match="a fault of the provider's, in plan: KeyError: 'after it acted'"):
        world.ask(3)
    assert not world.cloud.alive


@pytest.mark.parametrize("operation", sorted(set(CALLS) - {"launch", "plan"}))
def test_with_any_other_fault_everything_is_accounted_for_and_given_back_in_the_end(
    world: World, operation: str
) -> None:
    request = world.have(3)
    breaking(world, operation)
    assert world.poll(request.id).status is RequestStatus.COMPLETE
    with suppress(ProviderError):  # nothing could be seen
        assert world.lost(request) == []
    return_id = world.give_back(*(machine.id for machine in request.machines))
    world.poll_return(return_id)
    breaking(world)
    world.poll_return(return_id)
    assert not world.cloud.alive


def test_a_cost_model_has_its_boundary_too() -> None:
    model = BoundedCosts(Raising(KeyError("nodes")))
    for ask in (lambda: model.offers(template()), lambda: model.ask([], 0.0)):
        with pytest.raises(ProviderError, match="a fault of the provider's, in"):
            ask()
    assert readable_offers(model, template()) == ()
