"""The spend ceiling in the life of requests: what runs or was asked for never costs more than it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from fake_cloud import template
from world import World

from hfplugin.config import RequestSettings
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError, RefusedError
from hfplugin.model import MachineState, RequestStatus, Template
from hfplugin.providers.base.prices import Offer, Price, Product

CEILING = 10.0
REGION = "zone-a"


class FakeCosts:
    """A price list in memory: what machine types cost, what may be bought, and what goes wrong with asking."""

    def __init__(self) -> None:
        self.hourly = {"fake.large": 2.5}
        self.units = {"fake.large": 1}
        self.lasts = 3600.0
        self.fault: ProviderError | None = None
        self.asked: list[list[str]] = []

    def offers(self, template: Template) -> list[Offer]:
        return [Offer(product(name), units) for name, units in self.units.items()]

    def ask(self, products: Collection[Product], now: float) -> dict[Product, Price]:
        self.asked.append(sorted(each.machine_type for each in products))
        if self.fault is not None:
            raise self.fault
        return {
            each: Price(self.hourly[each.machine_type], "USD", now, now + self.lasts, "the list")
            for each in products
            if each.machine_type in self.hourly
        }


def product(name: str) -> Product:
    return Product(name, "ondemand", REGION)


class Priced(World):
    """An installation with a ceiling, on a cloud that knows its prices."""

    def __init__(self, directory: Path, ceiling: float | None = CEILING, **extension: Any) -> None:
        offered = template(extension={"places": ["zone-a", "zone-b"], **extension})
        super().__init__(directory / "state", [offered], RequestSettings(max_cost_per_hour=ceiling))
        self.costs = FakeCosts()
        self.site.costs = self.costs
        self.site.cache = str(directory / "cache")


@pytest.fixture
def world(tmp_path: Path) -> Priced:
    return Priced(tmp_path)


def test_a_request_gets_what_the_ceiling_leaves_and_says_why_not_more(world: Priced) -> None:
    request = world.poll(world.ask(6))
    assert (request.status, len(request.machines)) == (RequestStatus.COMPLETE, 4)
    assert "costs 10.00 USD an hour, a unit more up to 2.5, and requests.maxCostPerHour is 10" in world.said(
        request
    )
    assert len(world.cloud.alive) == 4


def test_at_the_ceiling_a_request_is_refused_until_machines_are_returned(world: Priced) -> None:
    request = world.poll(world.ask(4))
    with pytest.raises(RefusedError, match=r"requests\.maxCostPerHour is 10: raise it, or return machines"):
        world.ask(1)
    assert world.store.reasons()["small"]["reason"].startswith("template small: the ceiling holds")
    return_id = world.give_back(request.machines[0].id)
    world.kill(request.machines[0].id)
    world.poll_return(return_id)
    assert len(world.poll(world.ask(2)).machines) == 1


def test_what_was_asked_for_and_has_not_come_counts(tmp_path: Path) -> None:
    world = Priced(tmp_path, source="maintain")
    world.cloud.capacity = {"zone-a": 0, "zone-b": 0}
    world.ask(3)
    with pytest.raises(RefusedError, match=r"costs 10\.00 USD"):
        world.poll(world.ask(1))
        world.ask(1)


def test_an_answer_that_was_lost_counts(world: Priced) -> None:
    world.cloud.faults = {"launch": [ProviderError(ErrorKind.TRANSIENT, "ReadTimeout", "lost")]}
    first = world.ask(3)
    assert len(world.poll(world.ask(3)).machines) == 1
    assert len(world.poll(first).machines) == 3


def test_units_are_priced_by_the_dearest_that_may_be_bought(tmp_path: Path) -> None:
    world = Priced(tmp_path, weight=4)
    world.costs.hourly, world.costs.units = {"little": 1.0, "big": 5.0}, {"little": 1, "big": 4}
    request = world.poll(world.ask(100))
    assert len(request.machines) == 2  # of four units each, at up to 1.25 a unit


def test_an_offer_without_a_price_is_not_sold_and_does_not_count(world: Priced) -> None:
    world.costs.units = {"fake.large": 1, "unheard-of": 1}
    assert len(world.poll(world.ask(4)).machines) == 4


def test_a_machine_costs_what_its_own_type_does(world: Priced) -> None:
    world.costs.units = {"fake.large": 1, "fast": 1}
    world.costs.hourly = {"fake.large": 1.0, "fast": 4.0}
    assert len(world.poll(world.ask(9)).machines) == 7  # the next might cost 4.0, and 3.0 is left


def test_a_machine_that_is_ending_costs_nothing(world: Priced) -> None:
    request = world.poll(world.ask(4))
    world.kill(request.machines[0].id, state=MachineState.SHUTTING_DOWN)
    world.named(request)
    assert len(world.poll(world.ask(1)).machines) == 1


def test_without_any_price_nothing_is_bought(world: Priced) -> None:
    world.costs.hourly = {}
    with pytest.raises(ConfigurationError, match=r"no price is known of fake\.large ondemand in zone-a, which"):
        world.ask(1)
    assert not world.cloud.machines


def test_without_a_cost_model_nothing_is_bought(world: Priced) -> None:
    world.site.costs = None
    with pytest.raises(
        ConfigurationError, match="maxCostPerHour needs prices, and the provider type fake has none"
    ):
        world.ask(1)


def test_prices_that_are_not_told_yet_are_waited_for(world: Priced) -> None:
    world.costs.fault = ProviderError(ErrorKind.TRANSIENT, "ReadTimeout", "no answer")
    request_id = world.ask(2)
    assert world.poll(request_id).status is RequestStatus.RUNNING
    assert not world.cloud.machines
    world.costs.fault = None
    assert len(world.poll(request_id).machines) == 2


def test_prices_that_may_not_be_asked_for_refuse_the_request(world: Priced) -> None:
    world.costs.fault = ProviderError(ErrorKind.AUTH, "AccessDenied", "GetProducts is not allowed")
    with pytest.raises(RefusedError, match="GetProducts is not allowed"):
        world.ask(2)
    assert not world.cloud.machines


def test_a_price_is_asked_for_again_when_it_is_old_and_serves_when_it_is_not_told(world: Priced) -> None:
    world.poll(world.ask(1))
    world.poll(world.ask(1))
    assert world.costs.asked == [["fake.large"]]
    world.clock.advance(3601)
    world.costs.fault = ProviderError(ErrorKind.TRANSIENT, "ReadTimeout", "no answer")
    assert len(world.poll(world.ask(5)).machines) == 2
    world.costs.fault = None
    world.costs.hourly = {"fake.large": 1.0}
    assert len(world.poll(world.ask(10)).machines) == 6


def test_without_a_ceiling_no_price_is_asked_for(tmp_path: Path) -> None:
    world = Priced(tmp_path, ceiling=None)
    assert len(world.poll(world.ask(100)).machines) == 100
    assert world.costs.asked == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 9}', '{"schema": 1, "prices": [1]}', '{"schema": 1, "prices": []}']
)
def test_a_damaged_book_of_prices_is_asked_for_anew(world: Priced, content: str) -> None:
    world.poll(world.ask(1))
    Path(world.site.cache, "prices.json").write_text(content)
    assert len(world.poll(world.ask(1)).machines) == 1
    assert world.costs.asked == [["fake.large"], ["fake.large"]]


def test_what_has_no_price_is_not_asked_for_by_every_call(world: Priced) -> None:
    world.costs.units = {"fake.large": 1, "unheard-of": 1}
    world.poll(world.ask(1))
    world.poll(world.ask(1))
    assert world.costs.asked == [["fake.large", "unheard-of"]]
    world.clock.advance(3601)
    world.poll(world.ask(1))
    assert len(world.costs.asked) == 2


def test_all_or_nothing_buys_nothing_where_there_is_room_for_a_part(world: Priced) -> None:
    world.site.templates = [each._replace(all_or_nothing=True) for each in world.site.templates]
    request = world.poll(world.ask(5))
    assert (request.status, request.launches) == (RequestStatus.COMPLETE_WITH_ERROR, ())
    assert "requests.maxCostPerHour is 10" in world.said(request)
    assert not world.cloud.machines
