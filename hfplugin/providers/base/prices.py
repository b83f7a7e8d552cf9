"""What machines cost: the cost model that a provider may have, and the book in which its answers are kept.

Prices are estimates, to compare places and to hold a ceiling; what is billed only the cloud knows. A price that is
not known is nowhere taken for zero.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.logs import log
from hfplugin.model import Template
from hfplugin.providers import PRICES_FILE
from hfplugin.providers.base.cache import Cache

_SCHEMA = 1

# What is not sold somewhere is hardly ever sold there an hour later.
_ABSENT_SECONDS = 3600.0


class Product(NamedTuple):
    """A kind of machine as it is bought in a region; `price_type` is "ondemand" or "spot"."""

    machine_type: str
    price_type: str
    region: str

    def __str__(self) -> str:
        return f"{self.machine_type} {self.price_type} in {self.region}"


class Price(NamedTuple):
    """What a machine costs by the hour, where zones differ in the dearest; asked for at `at`, good until `until`.

    Both are seconds since the epoch; what is older is used when there is nothing newer. `origin` says who says so.
    """

    hourly: float
    currency: str
    at: float
    until: float
    origin: str


class Offer(NamedTuple):
    """Something that a template may buy, and the capacity units that a machine of it is worth."""

    product: Product
    units: int


Prices = Mapping[Product, Price]


def unit_cost(offers: Collection[Offer], prices: Prices) -> float | None:
    """Give what a capacity unit costs by the hour at the most, None when no price is known.

    An offer without a price is not sold where it would be bought.
    """
    known = [prices[offer.product].hourly / offer.units for offer in offers if offer.product in prices]
    return max(known, default=None)


class CostModel(Protocol):
    """What a cloud charges, as far as it says so."""

    def offers(self, template: Template) -> Collection[Offer]:
        """Give everything that a launch of the template may buy; nothing where the cloud chooses the types.

        Asks the cloud for nothing. Raises ConfigurationError (the template cannot be read).
        """

    def ask(self, products: Collection[Product], now: float) -> Prices:
        """Give what the products cost now; one without a price is left out. ProviderError when it is not told."""


def readable_offers(model: CostModel, template: Template) -> Collection[Offer]:
    """Give what a template may buy; nothing when that cannot be said, as with a file that it names and is gone."""
    try:
        return model.offers(template)
    except (ConfigurationError, ProviderError):
        return ()


class _Book(NamedTuple):
    """What a cloud has said: the prices, and until when what it has no price of need not be asked for."""

    prices: dict[Product, Price]
    absent: dict[Product, float]


class PriceBook:
    """The prices that were asked for, kept for all processes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def prices(self) -> dict[Product, Price]:
        """Give every price that was ever asked for; a damaged book is an empty one."""
        return self._read().prices

    def renew(self, model: CostModel, products: Iterable[Product], now: float) -> dict[Product, Price]:
        """Ask for the prices that are not known or not good any more, keep the answer and give the whole book.

        ProviderError when one is not known, and not told; an old one serves instead of one that is not told.
        """
        prices, absent = self._read()
        due = {each for each in products if not (_is_good(prices.get(each), now) or absent.get(each, 0.0) > now)}
        if not due:
            return prices
        try:
            return prices | self.ask(model, due, now)
        except ProviderError as error:
            if due - set(prices):
                raise
            log.warning("prices.old", products=sorted(map(str, due)), kind=error.kind, reason=str(error))
            return prices

    def ask(self, model: CostModel, products: Collection[Product], now: float) -> dict[Product, Price]:
        """Ask for prices, keep the answer and give the whole book. ProviderError when they are not told."""
        news = model.ask(products, now)
        # Read only now: another call may have asked for others meanwhile. What is lost is asked for anew.
        known = self._read()
        prices = {product: price for product, price in known.prices.items() if product not in products} | dict(
            news
        )
        absent = {product: until for product, until in known.absent.items() if until > now and product not in news}
        absent |= dict.fromkeys(set(products) - set(news), now + _ABSENT_SECONDS)
        self._write(_Book(prices, absent))
        return prices

    def _read(self) -> _Book:
        try:
            data = json.loads(self._cache.get(PRICES_FILE) or "{}")
            if data.get("schema") == _SCHEMA:
                prices = {Product(*product): Price(*price) for product, price in data["prices"]}
                return _Book(prices, {Product(*product): float(until) for product, until in data["absent"]})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # it is asked for anew
        return _Book({}, {})

    def _write(self, book: _Book) -> None:
        rows = {
            "prices": [[list(product), list(price)] for product, price in sorted(book.prices.items())],
            "absent": [[list(product), until] for product, until in sorted(book.absent.items())],
        }
        self._cache.put(PRICES_FILE, json.dumps({"schema": _SCHEMA, **rows}))


def _is_good(price: Price | None, now: float) -> bool:
    """True while it need not be asked for anew; one of the future is from before the clock was set back."""
    return price is not None and price.at <= now < price.until
