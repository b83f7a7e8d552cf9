"""The calls about spot requests and spot prices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hfplugin.emulator import catalogue, filters
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.region import Region
from hfplugin.emulator.spot_requests import SpotRequest
from hfplugin.emulator.wire import Params, Reply

_PAGE = (5, 1000)

# The products that have a price here.
_PRODUCTS = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")


def describe_spot_instance_requests(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html"""
    wanted = params.get("SpotInstanceRequestIds")
    known = [region.spot_requests.require(each) for each in wanted] if wanted else region.spot_requests.every()
    found = filters.select(known, params, _values, _FILTERS)
    page, token = filters.page(found, params, _PAGE)
    return {"SpotInstanceRequests": [each.describe() for each in page], "NextToken": token}


def _values(request: SpotRequest, name: str) -> Iterable[str] | None:
    tagged = filters.of_tags(name, request.tags)
    make = _FILTERS.get(name)
    return tagged if tagged is not None else None if make is None else [make(request)]


_FILTERS: dict[str, Any] = {
    "instance-id": lambda each: each.instance.instance_id,
    "launch.image-id": lambda each: each.instance.blueprint.image.image_id,
    "launched-availability-zone": lambda each: each.instance.blueprint.zone,
    "launch.instance-type": lambda each: each.instance.blueprint.machine_type,
    "spot-instance-request-id": lambda each: each.request_id,
    "state": lambda each: each.state,
    "status-code": lambda each: each.status[0],
    "type": lambda each: each.instance.blueprint.request_type,
}


def cancel_spot_instance_requests(region: Region, params: Params) -> Reply:
    """Cancel requests; their machines live on.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotInstanceRequests.html
    """
    requests = [region.spot_requests.require(each) for each in params.get("SpotInstanceRequestIds", [])]
    for each in requests:
        region.spot_requests.cancel(each)
    return {
        "CancelledSpotInstanceRequests": [
            {"SpotInstanceRequestId": each.request_id, "State": each.state} for each in requests
        ]
    }


def describe_spot_price_history(region: Region, params: Params) -> Reply:
    """Give the present price of each pool, as if it had been so for ever.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
    """
    types = params.get("InstanceTypes") or [each["InstanceType"] for each in catalogue.every()]
    zones = [each for each in region.moto.zones if each == params.get("AvailabilityZone", each)]
    rows = [_price(region, machine_type, zone) for machine_type in types for zone in zones]
    kinds = params.get("ProductDescriptions", [])
    rows = [] if kinds and not set(kinds) & set(_PRODUCTS) else rows
    found = filters.select(rows, params, _price_values, _PRICE_FILTERS)
    page, token = filters.page(found, params, (1, 1000), default=1000)
    return {"SpotPriceHistory": list(page), "NextToken": token or ""}


def _price(region: Region, machine_type: str, zone: str) -> Reply:
    catalogue.describe(machine_type)
    set_price = region.settings.price_of(f"{region.name}/{machine_type}/{zone}", SPOT)
    price = catalogue.spot_price(machine_type, zone) if set_price is None else set_price
    return {
        "AvailabilityZone": zone,
        "InstanceType": machine_type,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": f"{price:.6f}",
        "Timestamp": region.clock.today,
    }


def _price_values(row: Reply, name: str) -> Iterable[str] | None:
    return [row[_PRICE_FILTERS[name]]] if name in _PRICE_FILTERS else None


_PRICE_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "instance-type": "InstanceType",
    "product-description": "ProductDescription",
    "spot-price": "SpotPrice",
}


OPERATIONS = {
    "DescribeSpotInstanceRequests": describe_spot_instance_requests,
    "CancelSpotInstanceRequests": cancel_spot_instance_requests,
    "DescribeSpotPriceHistory": describe_spot_price_history,
}
