"""The spend ceiling: what everything that runs or was asked for costs by the hour, and how much more there may be.

The records say what there is, the provider's cost model what it costs, so nothing is kept here. What a launch will
bring is counted as the dearest that its template may buy, a machine as what it is. Nothing is bought at a price
that nobody knows. Downside: a launch under a ceiling reads every live record, twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from hfplugin.clock import Clock
from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.model import Machine, Request, Template
from hfplugin.providers.base.prices import CostModel, Offer, PriceBook, Prices, Product, readable_offers, unit_cost
from hfplugin.providers.base.provider import Plan
from hfplugin.store import Store
from hfplugin.wording import some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.site import Site

# Reading the records and writing one takes milliseconds, and many launches at once wait for each other.
_WAIT_SECONDS = 5.0

# Sums of prices carry a float's dust, which must not cost a machine.
_DUST = 1e-9


class Cost(NamedTuple):
    """What a request costs by the hour: its machines, and what may still come of its launches.

    `unpriced` are the products of machines whose price is not known, nor any that their template may buy at.
    """

    machines: float
    promised: float
    unpriced: frozenset[Product] = frozenset()

    @property
    def hourly(self) -> float:
        return self.machines + self.promised


class Spending:
    """What one installation spends, as far as its records know."""

    def __init__(self, store: Store, site: Site, clock: Clock) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._known: Prices = {}
        self._offered: list[tuple[dict[str, Any], Collection[Offer]]] = []

    def granted(self, template: Template, plan: Plan) -> int:
        """Give how many of a plan's machines there is room for; all of them without a ceiling.

        Raises ProviderError (a price is not told), ConfigurationError (it is not known), StateError.
        """
        if self._most is None:
            return plan.machines
        units = self._room(template)
        return plan.machines if units >= plan.units else units // max([plan.weight, *plan.weights.values()])

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Let nobody else take room while a launch's record is written. BusyError when others do for too long."""
        if self._most is None:
            yield
        else:
            with self._store.locks.hold("spending", "", _WAIT_SECONDS):
                yield

    def is_kept(self) -> bool:
        """True while the ceiling holds with all that is on record: to be asked with the launch's record written.

        So two calls that take room at once, where a lock is lost, cannot both miss the other. Asks for no price.
        """
        if self._most is None:
            return True
        prices = {**self._book.prices(), **self._known}
        costs = [cost(request, self._offers(request.template), prices) for request in self._live()]
        is_known = not any(each.unpriced for each in costs)
        return is_known and sum(each.hourly for each in costs) <= self._most + _DUST

    def refusal(self, template: Template) -> str:
        """Say why not even one more unit may be had; empty when it may, or when prices are not told just now.

        Raises ConfigurationError (no price is known), StateError.
        """
        try:
            return "" if self._most is None or self._room(template) > 0 else self.explanation(template)
        except ProviderError:
            return ""  # the launch meets the same, and decides by its kind

    def explanation(self, template: Template) -> str:
        """Say why nothing more may be bought now."""
        requests = self._live()
        prices = self._prices(template, requests)
        spent = self._spent(requests, prices)
        currency = next((price.currency for price in prices.values()), "")
        more = self._unit_cost(template, prices)
        return (
            f"the ceiling holds: what runs or was asked for costs {spent:.2f} {currency} an hour, a unit more up "
            f"to {more:.6g}, and requests.maxCostPerHour is {self._most:g}: raise it, or return machines"
        )

    @cached_property
    def _most(self) -> float | None:
        return self._site.settings.requests.max_cost_per_hour

    def _room(self, template: Template) -> int:
        """Give how many capacity units of a template may be added."""
        requests = self._live()
        prices = self._prices(template, requests)
        left = (self._most or 0.0) - self._spent(requests, prices)
        return max(0, int(left / self._unit_cost(template, prices) + _DUST))

    def _live(self) -> list[Request]:
        # Strictly: what a record that cannot be read holds is not known, so nothing is left for sure.
        return list(self._store.requests.live(is_strict=True))

    def _prices(self, template: Template, requests: Collection[Request]) -> Prices:
        wanted = {offer.product for offer in self._offers(template)}
        for request in requests:
            wanted |= {offer.product for offer in self._offers(request.template)}
            wanted |= {product_of(machine) for machine in request.live_machines}
        self._known = self._book.renew(self._model, wanted, self._clock.now())
        return self._known

    def _spent(self, requests: Collection[Request], prices: Prices) -> float:
        costs = [cost(request, self._offers(request.template), prices) for request in requests]
        unpriced = {product for each in costs for product in each.unpriced}
        if unpriced:
            raise _unknown(sorted(map(str, unpriced)))
        return sum(each.hourly for each in costs)

    def _unit_cost(self, template: Template, prices: Prices) -> float:
        offers = self._offers(template)
        most = unit_cost(offers, prices)
        if most is None:
            raise _unknown([str(offer.product) for offer in offers] or [f"template {template.id}"])
        return most

    def _offers(self, template: Template) -> Collection[Offer]:
        """Give what a template may buy, which thousands of requests of it share."""
        for extension, offers in self._offered:
            if extension == template.extension:
                return offers
        offers = readable_offers(self._model, template)
        self._offered.append((template.extension, offers))
        return offers

    @cached_property
    def _model(self) -> CostModel:
        model = self._site.costs
        if model is None:
            kind = self._site.settings.provider_type
            raise ConfigurationError(
                f"requests.maxCostPerHour needs prices, and the provider type {kind} has none: take it out"
            )
        return model

    @cached_property
    def _book(self) -> PriceBook:
        return PriceBook(self._site.context.cache)


def _unknown(what: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"no price is known of {some(what)}, which requests.maxCostPerHour needs: "
        "give it in the provider's section, or take the ceiling out"
    )


def product_of(machine: Machine) -> Product:
    return Product(machine.machine_type, machine.price_type, machine.region)


def cost(request: Request, offers: Collection[Offer], prices: Prices) -> Cost:
    """Give what a request costs; what has no price of its own costs what its template may at the most."""
    most = unit_cost(offers, prices)
    promised = 0 if request.is_closed else sum(request.promised(launch) for launch in request.launches)
    machines, unpriced = 0.0, set()
    for machine in request.live_machines:
        price = prices.get(product_of(machine))
        if price is not None:
            machines += price.hourly
        elif most is not None:
            machines += most * machine.units
        else:
            unpriced.add(product_of(machine))
    if promised and most is None:
        unpriced |= {offer.product for offer in offers}
    return Cost(machines, promised * (most or 0.0), frozenset(unpriced))
