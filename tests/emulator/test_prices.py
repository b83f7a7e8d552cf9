"""The price list.

Sources: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html,
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-an-offer.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hfplugin.emulator import Emulator


def products(emulator: Emulator, served_in: str = "us-east-1", **fields: str) -> list[dict[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()]
    client = emulator.client("pricing", served_in)
    pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    return [json.loads(each) for page in pages for each in page["PriceList"]]


def hourly(product: dict[str, Any]) -> float:
    [term] = product["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    assert dimension["unit"] == "Hrs"
    return float(dimension["pricePerUnit"]["USD"])


@pytest.mark.parametrize("served_in", ["us-east-1", "eu-central-1", "ap-south-1"])
def test_a_machine_type_has_one_price_on_demand_in_a_region(emulator: Emulator, served_in: str) -> None:
    emulator.configure(prices={"eu-west-1/m5.large": 0.107})
    place = {
        "regionCode": "eu-west-1",
        "instanceType": "m5.large",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
    }
    [product] = products(emulator, served_in, **place)
    assert product["product"]["attributes"]["instanceType"] == "m5.large"
    assert hourly(product) == 0.107
    [other] = products(emulator, served_in, **{**place, "regionCode": "us-west-2"})
    assert hourly(other) != 0.107


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instanceType", "m5.gigantic"),
        ("regionCode", "eu-nowhere-1"),
        ("operatingSystem", "Windows"),
        ("tenancy", "Dedicated"),
        ("colour", "green"),
    ],
)
def test_what_is_not_sold_so_is_not_found(emulator: Emulator, field: str, value: str) -> None:
    assert products(emulator, **{"regionCode": "us-east-1", "instanceType": "m5.large", field: value}) == []


def test_all_products_of_a_region_come_in_pages_of_a_hundred(emulator: Emulator) -> None:
    found = products(emulator, regionCode="us-east-1")
    assert len(found) > 100
    assert len({each["product"]["sku"] for each in found}) == len(found)
    assert {len(call["params"].get("Filters", [])) for call in emulator.calls("GetProducts")} == {1}


@pytest.mark.parametrize("region", ["eu-west-1", "us-west-2"])
def test_few_regions_serve_it(emulator: Emulator, region: str) -> None:
    with pytest.raises(ClientError, match="NotFoundException"):
        products(emulator, region)


def test_faults_strike_it_in_its_own_form(emulator: Emulator) -> None:
    emulator.fault("error", service="pricing", code="AccessDeniedException", message="not you", times=1)
    with pytest.raises(ClientError, match=r"AccessDeniedException.*not you"):
        products(emulator, instanceType="m5.large")
