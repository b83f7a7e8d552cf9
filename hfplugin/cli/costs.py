"""`hfplugin costs`: what an installation costs by the hour, from its records and the prices that are known."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfplugin import spending
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.model import Request, Template
from hfplugin.providers.base.prices import CostModel, PriceBook, Prices, readable_offers, unit_cost
from hfplugin.site import ConfiguredSite
from hfplugin.store import FileStore
from hfplugin.wording import counted, some


def collect(environment: Environment) -> dict[str, Any]:
    """Add up the records at the prices that are known; times are seconds since the epoch, costs by the hour."""
    store = FileStore(environment.state_dir)
    site = ConfiguredSite(environment, store, is_strict=False)
    requests, model = list(store.requests.live()), _model(site)
    prices = PriceBook(site.context.cache).prices()
    rows = [
        _row(template.id, [request for request in requests if request.template.id == template.id], model, prices)
        | {"unitAtMost": unit_cost(readable_offers(model, template), prices)}
        for template in _all(site, requests)
    ]
    return {
        "provider": environment.provider_name,
        "currency": next((price.currency for price in prices.values()), ""),
        "machines": sum(row["machines"] for row in rows),
        "costPerHour": _sum(rows, "costPerHour"),
        "costPerHourPromised": _sum(rows, "costPerHourPromised"),
        "maxCostPerHour": site.settings.requests.max_cost_per_hour,
        "templates": rows,
        "prices": [
            {
                "machineType": product.machine_type,
                "priceType": product.price_type,
                "region": product.region,
                "hourly": price.hourly,
                "origin": price.origin,
                "askedAt": int(price.at),
            }
            for product, price in sorted(prices.items())
        ],
    }


def refresh(environment: Environment) -> tuple[int, list[str]]:
    """Ask for every price that templates and machines need; give how many are known, and what has none."""
    store = FileStore(environment.state_dir)
    site = ConfiguredSite(environment, store, is_strict=True)
    requests, model = list(store.requests.live()), _model(site)
    offered = {offer.product for each in _all(site, requests) for offer in readable_offers(model, each)}
    running = {spending.product_of(machine) for each in requests for machine in each.live_machines}
    wanted = offered | running
    book = PriceBook(site.context.cache)
    # Also what is good still: whoever asks by hand wants to know how it is now.
    found = book.ask(model, wanted, time.time())
    return len(wanted & set(found)), sorted(str(product) for product in wanted - set(found))


def _model(site: ConfiguredSite) -> CostModel:
    model = site.costs
    if model is None:
        raise ConfigurationError(f"provider type {site.settings.provider_type} knows no prices")
    return model


def _all(site: ConfiguredSite, requests: Sequence[Request]) -> list[Template]:
    """Give the templates that are offered, and then those that only requests still have."""
    templates = {template.id: template for template in (*(r.template for r in requests), *site.templates)}
    return [templates[template_id] for template_id in sorted(templates)]


def _row(template_id: str, requests: Sequence[Request], model: CostModel, prices: Prices) -> dict[str, Any]:
    costs = [spending.cost(request, readable_offers(model, request.template), prices) for request in requests]
    return {
        "templateId": template_id,
        "machines": sum(len(request.live_machines) for request in requests),
        "costPerHour": round(sum(cost.machines for cost in costs), 4),
        "costPerHourPromised": round(sum(cost.promised for cost in costs), 4),
        "withoutPrice": sorted({str(product) for cost in costs for product in cost.unpriced}),
    }


def _sum(rows: Sequence[dict[str, Any]], key: str) -> float:
    return round(math.fsum(row[key] for row in rows), 4)


def show(found: dict[str, Any]) -> None:
    """Print what it comes to, and two tables."""
    console = Console()
    console.print(_line(found), soft_wrap=True, markup=False)
    for row in found["templates"]:
        if row["withoutPrice"]:
            console.print(
                f"template {row['templateId']}: no price of {some(row['withoutPrice'])}: not counted",
                soft_wrap=True,
                markup=False,
            )
    templates = Table("template", "machines", "an hour", "being launched", "a unit at most")
    for row in found["templates"]:
        most = row["unitAtMost"]
        cells = [row["machines"], row["costPerHour"], row["costPerHourPromised"], "?" if most is None else most]
        templates.add_row(Text(row["templateId"]), *(_cell(cell) for cell in cells))
    console.print(templates)
    if not found["prices"]:
        console.print("No price is known yet: `hfplugin costs refresh` asks for them.", soft_wrap=True)
        return
    prices = Table("machine type", "bought", "region", "an hour", "says who, asked when")
    for row in found["prices"]:
        asked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["askedAt"]))
        bought = [row["machineType"], row["priceType"], row["region"], _cell(row["hourly"])]
        prices.add_row(*map(Text, bought), Text(f"{row['origin']}, {asked}"))
    console.print(prices)


def _line(found: dict[str, Any]) -> str:
    spent, promised = found["costPerHour"], found["costPerHourPromised"]
    parts = [f"{spent:.2f} {found['currency']} an hour for {counted(found['machines'], 'machine')}"]
    if promised:
        parts.append(f"up to {promised:.2f} for what is being launched")
    if found["maxCostPerHour"] is not None:
        parts.append(f"the ceiling is {found['maxCostPerHour']:g}")
    return f"provider {found['provider']}: {', '.join(parts)}"


def _cell(value: float | int | str) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
