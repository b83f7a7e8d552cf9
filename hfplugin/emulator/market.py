"""How a machine is bought: what InstanceMarketOptions says.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMarketOptionsRequest.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.errors import conflicting, invalid

# Dollars an hour: "must be more than $0.001".
_LEAST_PRICE = 0.001


class Market(NamedTuple):
    """A way of buying: spot or on demand, and for spot under which kind of request."""

    purchase: str = ON_DEMAND
    max_price: float | None = None
    # one-time or persistent
    request_type: str = "one-time"
    # What an interruption does: terminate, stop or hibernate.
    interruption: str = "terminate"


def market(options: dict[str, Any]) -> Market:
    """Read InstanceMarketOptions; ServiceError when the options for spot contradict each other."""
    if options.get("MarketType") != "spot":
        return Market()
    spot = options.get("SpotOptions", {})
    price = spot.get("MaxPrice")
    made = Market(
        purchase=SPOT,
        max_price=_price(price) if price else None,
        request_type=spot.get("SpotInstanceType", "one-time"),
        interruption=spot.get("InstanceInterruptionBehavior", "terminate"),
    )
    _check(made, "ValidUntil" in spot)
    return made


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError as error:
        raise invalid(f"Value ({text}) for parameter price is invalid. It is no number.") from error
    if price < _LEAST_PRICE:
        raise invalid(f"Value ({text}) for parameter price is invalid. It must be more than {_LEAST_PRICE}.")
    return price


def _check(made: Market, has_end: bool) -> None:
    if made.request_type == "one-time" and made.interruption != "terminate":
        raise conflicting(
            "The request with type 'one-time' is not supported when instanceInterruptionBehavior is set to "
            f"'{made.interruption}'."
        )
    if made.request_type == "one-time" and has_end:
        # The quotation mark that is missing is missing in EC2's own text.
        raise conflicting(
            "The parameter validUntil cannot be specified when the SpotRequestType is set to 'one-time."
        )
    if made.request_type == "persistent" and made.interruption == "terminate":
        raise conflicting(
            "The request with type 'persistent' is not supported when instanceInterruptionBehavior is set to "
            "'terminate'."
        )
