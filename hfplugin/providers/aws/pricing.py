"""What instances cost: the spot market's present prices, the price list for on demand, the settings before both.

Estimates for Linux on shared hardware, in the price list's currency: no reservations, savings plans or agreements,
unless `aws.prices` has them.
Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html,
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hfplugin.model import Template
from hfplugin.providers.aws import fleet_file, parallel, purchase
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.aws.provider import regions_named, typed
from hfplugin.providers.base.prices import Offer, Price, Product
from hfplugin.providers.base.provider import Context

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

SPOT = "spot"

# The price list changes a few times a year; the spot market every few hours, and slowly.
_LIST_SECONDS = 24 * 3600.0
_MARKET_SECONDS = 3600.0

# Where the price list is served, by the first letters of the region that asks.
# Source: https://docs.aws.amazon.com/general/latest/gr/billing.html (AWS Price List Query API)
_LISTS = {"ap": "ap-south-1", "cn": "cn-northwest-1", "eu": "eu-central-1"}
_LIST = "us-east-1"

# Of the many products that are one instance type: Linux without extras, on demand, on shared hardware.
_PLAIN = {
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
}


class AWSCostModel:
    """Prices as AWS tells them to these credentials."""

    def __init__(self, settings: AWSSettings, context: Context) -> None:
        self._settings = settings
        self._clients = Clients(
            settings,
            context.provider_name,
            context.cache,
            context.health,
            lambda: regions_named(context.templates()),
        )

    def offers(self, template: Template) -> list[Offer]:
        extension = typed(template)
        return [
            Offer(Product(machine_type, price_type, region), weight)
            for region in self._clients.regions_of(extension)
            for price_type, types in _bought(extension.in_region(region))
            for machine_type, weight in types.items()
        ]

    def ask(self, products: Collection[Product], now: float) -> dict[Product, Price]:
        found = dict(self._agreed(products, now))
        rest = sorted(set(products) - set(found))
        try:
            return found | dict(self._listed(rest, now)) | dict(self._market(rest, now))
        except AWS_ERRORS as error:
            raise translate(error) from error

    def _agreed(self, products: Iterable[Product], now: float) -> Iterator[tuple[Product, Price]]:
        """Give what the settings say, which is to be read anew every time."""
        for product in products:
            hourly = self._settings.prices.get(product.machine_type)
            if hourly is not None and product.price_type != SPOT:
                yield product, Price(hourly, _currency(product.region), now, now, "aws.prices")

    def _listed(self, products: Iterable[Product], now: float) -> Iterator[tuple[Product, Price]]:
        wanted = [product for product in products if product.price_type != SPOT]
        for product, found in zip(wanted, parallel.each(self._list_price, wanted), strict=True):
            if found is not None:
                currency, hourly = found
                yield product, Price(hourly, currency, now, now + _LIST_SECONDS, "AWS price list")

    def _list_price(self, product: Product) -> tuple[str, float] | None:
        """Give currency and price; where the list has several that are alike, the dearest."""
        wanted = {"instanceType": product.machine_type, "regionCode": product.region, **_PLAIN}
        filters: Any = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        client = self._clients.pricing(_LISTS.get(self._clients.region[:2], _LIST))
        answer = client.get_products(ServiceCode="AmazonEC2", Filters=filters)
        found = [price for each in answer["PriceList"] for price in _hourly(json.loads(each))]
        return max(found, key=lambda each: each[1], default=None)

    def _market(self, products: Iterable[Product], now: float) -> Iterator[tuple[Product, Price]]:
        by_region: dict[str, list[str]] = {}
        for product in products:
            if product.price_type == SPOT:
                by_region.setdefault(product.region, []).append(product.machine_type)
        regions = list(by_region)
        answers = parallel.each(lambda region: self._spot_prices(region, by_region[region], now), regions)
        for region, dearest in zip(regions, answers, strict=True):
            for machine_type, hourly in dearest.items():
                price = Price(hourly, _currency(region), now, now + _MARKET_SECONDS, "AWS spot market")
                yield Product(machine_type, SPOT, region), price

    def _spot_prices(self, region: str, machine_types: list[str], now: float) -> dict[str, float]:
        """Give the present price by type, of its dearest zone. From now on: AWS gives what is valid then."""
        moment = datetime.fromtimestamp(now, UTC)
        call: dict[str, Any] = {
            "InstanceTypes": machine_types,
            "ProductDescriptions": ["Linux/UNIX"],
            "StartTime": moment,
            "EndTime": moment,
        }
        newest: dict[tuple[str, str], tuple[datetime, float]] = {}
        for page in self._clients.ec2(region).get_paginator("describe_spot_price_history").paginate(**call):
            for row in page["SpotPriceHistory"]:
                key = (row["InstanceType"], row["AvailabilityZone"])
                newest[key] = max(
                    newest.get(key, (row["Timestamp"], 0.0)), (row["Timestamp"], float(row["SpotPrice"]))
                )
        dearest: dict[str, float] = {}
        for (machine_type, _), (_, hourly) in newest.items():
            dearest[machine_type] = max(hourly, dearest.get(machine_type, 0.0))
        return dearest


def _currency(region: str) -> str:
    """Give what AWS charges in: in China, Chinese money."""
    return "CNY" if region.startswith("cn-") else "USD"


def _bought(template: AWSTemplate) -> list[tuple[str, dict[str, int]]]:
    """Give what a template buys: for each purchase type, the instance types with their weights."""
    base = template.on_demand_base_capacity or 0
    if template.ec2_fleet_config:
        file = fleet_file.read(template)
        parts, types, on_demand = (
            fleet_file.split(file, template, 100, base),
            file.machine_types,
            file.machine_types,
        )
    else:
        parts, types, on_demand = (
            purchase.split(template, 100, base),
            template.machine_types,
            template.on_demand_types,
        )
    bought = [(SPOT, types)] if parts.spot else []
    if parts.on_demand or template.purchase == "heterogeneous":  # which ends on demand when spot gives too little
        bought.append(("ondemand", on_demand))
    return bought


def _hourly(document: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Give the prices an hour in one document of the price list, with their currencies."""
    for term in document.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] in ("Hrs", "Hours"):
                yield from ((currency, float(price)) for currency, price in dimension["pricePerUnit"].items())
