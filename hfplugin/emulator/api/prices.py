"""The price list, as far as it is about machines on demand: GetProducts for AmazonEC2.

Sources: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html,
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-an-offer.html
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from hfplugin.emulator import catalogue, filters, underneath
from hfplugin.emulator.capacity import ON_DEMAND
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

_SERVICE = "AmazonEC2"

# The regions whose endpoint has the list; it is of all regions.
_SERVED_IN = ("ap-south-1", "eu-central-1", "us-east-1")

# What every product of ours is; a filter for anything else of these attributes finds nothing.
_PLAIN = {
    "servicecode": _SERVICE,
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
    "locationType": "AWS Region",
}


def get_products(region: Region, params: Params) -> Reply:
    """Give the products that match all filters, each as a text of JSON; AWS's answer for none is an empty list."""
    if region.name not in _SERVED_IN:
        raise ServiceError("NotFoundException", f"The price list is not served in {region.name}.")
    if params.get("ServiceCode") != _SERVICE:
        raise ServiceError("NotFoundException", f"The emulator has no prices of {params.get('ServiceCode')}.")
    wanted: dict[str, str] = {}
    for each in params.get("Filters", []):
        if each.get("Type") != "TERM_MATCH":
            raise ServiceError("InvalidParameterException", "The emulator knows filters of type TERM_MATCH only.")
        if wanted.setdefault(each["Field"], each["Value"]) != each["Value"]:
            return {"FormatVersion": "aws_v1", "PriceList": []}
    page, token = filters.page(list(_found(region, wanted)), params, (1, 100), default=100)
    answer: Reply = {"FormatVersion": "aws_v1", "PriceList": list(page)}
    return {**answer, "NextToken": token} if token else answer


def _found(region: Region, wanted: dict[str, str]) -> Iterator[str]:
    place = wanted.get("regionCode", region.name)
    only = wanted.get("instanceType")
    names = [only] if only else [each["InstanceType"] for each in catalogue.every()]
    for name in names:
        if catalogue.exists(name) and underneath.exists(place):
            attributes = {**_PLAIN, "instanceType": name, "regionCode": place}
            if all(attributes.get(field) == value for field, value in wanted.items()):
                yield _product(region, attributes)


def _product(region: Region, attributes: dict[str, str]) -> str:
    name, place = attributes["instanceType"], attributes["regionCode"]
    set_price = region.settings.price_of(f"{place}/{name}", ON_DEMAND)
    hourly = catalogue.on_demand_price(name) if set_price is None else set_price
    sku = f"{zlib.crc32(f'{place}/{name}'.encode()):016X}"
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "rateCode": rate,
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${hourly} per On Demand Linux {name} Instance Hour",
        "appliesTo": [],
        "pricePerUnit": {"USD": f"{hourly:.10f}"},
    }
    return json.dumps(
        {
            "product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": sku},
            "serviceCode": _SERVICE,
            "terms": {
                "OnDemand": {term: {"priceDimensions": {rate: dimension}, "sku": sku, "termAttributes": {}}}
            },
        }
    )


OPERATIONS = {"GetProducts": get_products}
