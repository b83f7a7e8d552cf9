"""What the state says at the moment that it is asked. The cloud is not asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from os.path import join

from hfplugin.metrics.totals import Series
from hfplugin.model import Request
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.prices import PriceBook, Prices, Product
from hfplugin.store import FileStore


def read(state: str) -> dict[Series, list[float]]:
    """Give every gauge's value. StateError when the records cannot be listed."""
    store = FileStore(state)
    requests = list(store.requests.live())
    returns = list(store.returns.live())
    held_back = Health(join(state, "health")).report()
    now = time.time()
    running = Counter((r.template.id, m.price_type) for r in requests for m in r.live_machines)
    single = {
        "open_requests": sum(not request.is_closed for request in requests),
        "unfinished_returns": sum(not record.is_closed for record in returns),
        "open_breakers": sum(breaker.is_open(now) for breaker in held_back.breakers.values()),
        "refused_pools": len(held_back.refused),
        "damaged_records": len(store.damaged()),
    }
    gauges: dict[Series, list[float]] = {Series(name, ()): [value] for name, value in single.items()}
    gauges |= {Series("machines", labels): [count] for labels, count in running.items()}
    costs = _costs(requests, PriceBook(Cache(join(state, "cache"))).prices())
    return gauges | {Series("cost_per_hour", labels): [cost] for labels, cost in costs.items()}


def _costs(requests: Iterable[Request], prices: Prices) -> dict[tuple[str, ...], float]:
    """Give what machines cost, by template and currency, as far as their own price is known."""
    costs: dict[tuple[str, ...], float] = {}
    for request in requests:
        for machine in request.live_machines:
            price = prices.get(Product(machine.machine_type, machine.price_type, machine.region))
            if price is not None:
                labels = (request.template.id, price.currency)
                costs[labels] = costs.get(labels, 0.0) + price.hourly
    return costs
