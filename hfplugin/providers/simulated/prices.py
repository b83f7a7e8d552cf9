"""What the simulated machines cost: what their templates say. The least that a cost model is."""

from __future__ import annotations

from collections.abc import Collection

from hfplugin.model import Template
from hfplugin.providers.base.prices import Offer, Price, Product
from hfplugin.providers.base.provider import Context
from hfplugin.providers.simulated import seen
from hfplugin.providers.simulated.provider import typed

_CURRENCY = "USD"


class SimulatedCostModel:
    """The price list of one installation: the prices of all its templates' machine types."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def offers(self, template: Template) -> list[Offer]:
        types = typed(template).machine_types
        return [Offer(_product(name), content.weight) for name, content in types.items()]

    def ask(self, products: Collection[Product], now: float) -> dict[Product, Price]:
        types = [item for template in self._context.templates() for item in typed(template).machine_types.items()]
        prices = {_product(name): content.price for name, content in types if content.price is not None}
        # Good until it is asked for again: templates are files, and may say something else by then.
        return {
            each: Price(prices[each], _CURRENCY, now, now, "the template") for each in products if each in prices
        }


def _product(machine_type: str) -> Product:
    return Product(machine_type, "ondemand", seen.REGION)
