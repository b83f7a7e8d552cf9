"""What the tests of the emulated EC2 share: launching, and calls that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

TYPE = "m5.large"

SPOT: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}}


class Refusal(NamedTuple):
    """What a call was refused with."""

    code: str
    message: str
    status: int


def once(emulator: Emulator, service: str = "ec2", region: str = REGION) -> Any:
    """Give a client that calls once and waits for five seconds, so that a test sees what one call brings."""
    config = Config(proxies={}, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    return emulator.client(service, region, config=config)


def launched(client: Any, count: int = 1, **settings: Any) -> list[dict[str, Any]]:
    """Launch so many machines with RunInstances and give them as it answers."""
    machine = {"ImageId": IMAGE_ID, "InstanceType": TYPE, "MinCount": count, "MaxCount": count}
    found: list[dict[str, Any]] = client.run_instances(**{**machine, **settings})["Instances"]
    return found


def launch(client: Any, count: int = 1, **settings: Any) -> list[str]:
    """Launch so many machines and give their ids."""
    return [each["InstanceId"] for each in launched(client, count, **settings)]


def seen(client: Any, **params: Any) -> list[dict[str, Any]]:
    """Give the machines of every page of DescribeInstances."""
    pages = client.get_paginator("describe_instances").paginate(**params)
    return [each for page in pages for group in page["Reservations"] for each in group["Instances"]]


def states(client: Any, **params: Any) -> list[str]:
    return [each["State"]["Name"] for each in seen(client, **params)]


def refusal(call: Callable[..., Any], *args: Any, **params: Any) -> Refusal:
    """Give what a call is refused with; the test fails when it is not."""
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    response = caught.value.response
    return Refusal(
        response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]
    )
