"""What the state says at the moment that it is asked. The cloud is not asked."""

from __future__ import annotations

import time
from collections import Counter
from glob import escape, glob
from os.path import join

from hfplugin.metrics.totals import Series
from hfplugin.providers.base.health import Health
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
        "damaged_records": sum(
            len(glob(f"{escape(state)}/{kind}/*.damaged-*")) for kind in ("requests", "returns")
        ),
    }
    gauges: dict[Series, list[float]] = {Series(name, ()): [value] for name, value in single.items()}
    return gauges | {Series("machines", labels): [count] for labels, count in running.items()}
