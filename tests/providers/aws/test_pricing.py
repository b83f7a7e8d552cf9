"""What AWS says that machines cost, and what of it a template may buy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hfplugin.emulator import REGION, Emulator
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.model import Template
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.pricing import AWSCostModel
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.prices import Product
from hfplugin.providers.base.provider import Context

NOW = 1_800_000_000.0
OTHER = "us-west-2"

pytestmark = pytest.mark.usefixtures("credentials")


def model(tmp_path: Path, url: str = "", templates: Sequence[Template] = (), **settings: Any) -> AWSCostModel:
    context = Context("awsinst", "inst", Cache(str(tmp_path / "cache")), Health(), lambda: templates)
    return AWSCostModel(AWSSettings(**{"region": REGION, "endpoint_url": url, **settings}), context)


def template(**keys: Any) -> Template:
    return Template("small", "aws", -1, {}, {"imageId": "ami-1", **keys})


def offered(tmp_path: Path, given: Template, **settings: Any) -> set[tuple[str, str, str, int]]:
    return {(*offer.product, offer.units) for offer in model(tmp_path, **settings).offers(given)}


def test_a_machine_on_demand_costs_what_the_price_list_says(tmp_path: Path, emulator: Emulator) -> None:
    emulator.configure(prices={f"{REGION}/m5.large": 0.115, f"{OTHER}/m5.large": 0.096})
    wanted = [Product("m5.large", "ondemand", REGION), Product("m5.large", "ondemand", OTHER)]
    found = model(tmp_path, emulator.url).ask(wanted, NOW)
    assert [found[each].hourly for each in wanted] == [0.115, 0.096]
    assert {(each.currency, each.at, each.until) for each in found.values()} == {("USD", NOW, NOW + 86_400)}
    [first, _] = emulator.calls("GetProducts")
    assert first["region"] == "eu-central-1"


def test_spot_costs_what_it_does_now_in_the_dearest_zone(tmp_path: Path, emulator: Emulator) -> None:
    pools = {
        f"{REGION}/m5.large/{REGION}{zone}/spot": price for zone, price in (("a", 0.03), ("b", 0.05), ("c", 0.04))
    }
    emulator.configure(prices=pools)
    wanted = [
        Product("m5.large", "spot", REGION),
        Product("c5.large", "spot", REGION),
        Product("m5.large", "spot", OTHER),
    ]
    found = model(tmp_path, emulator.url).ask(wanted, NOW)
    assert found[wanted[0]].hourly == 0.05
    assert set(found) == set(wanted)
    assert {each.until for each in found.values()} == {NOW + 3600}
    calls = emulator.calls("DescribeSpotPriceHistory")
    assert sorted(call["region"] for call in calls) == [REGION, OTHER]
    assert not emulator.calls("GetProducts")


def test_what_an_agreement_says_comes_before_the_price_list(tmp_path: Path, emulator: Emulator) -> None:
    asked, spot = Product("m5.large", "ondemand", REGION), Product("m5.large", "spot", REGION)
    found = model(tmp_path, emulator.url, prices={"m5.large": 0.05}).ask([asked, spot], NOW)
    assert (found[asked].hourly, found[asked].origin) == (0.05, "aws.prices")
    assert found[spot].origin == "AWS spot market"
    assert not emulator.calls("GetProducts")


def test_what_is_not_sold_has_no_price(tmp_path: Path, emulator: Emulator) -> None:
    assert model(tmp_path, emulator.url).ask([Product("m5.gigantic", "ondemand", REGION)], NOW) == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDeniedException", ErrorKind.AUTH), ("ThrottlingException", ErrorKind.THROTTLED)],
)
def test_a_refusal_keeps_its_kind(tmp_path: Path, emulator: Emulator, code: str, kind: ErrorKind) -> None:
    emulator.fault("error", service="pricing", code=code, message="no")
    with pytest.raises(ProviderError) as raised:
        model(tmp_path, emulator.url).ask([Product("m5.large", "ondemand", REGION)], NOW)
    assert raised.value.kind is kind


@pytest.mark.parametrize(
    ("region", "served_in"),
    [
        ("us-west-2", "us-east-1"),
        ("sa-east-1", "us-east-1"),
        ("eu-west-3", "eu-central-1"),
        ("ap-southeast-2", "ap-south-1"),
    ],
)
def test_the_price_list_is_asked_where_it_is_near(
    tmp_path: Path, emulator: Emulator, region: str, served_in: str
) -> None:
    model(tmp_path, emulator.url, region=region).ask([Product("m5.large", "ondemand", region)], NOW)
    assert [call["region"] for call in emulator.calls("GetProducts")] == [served_in]


@pytest.mark.parametrize(
    ("keys", "bought"),
    [
        ({"vmType": "m5.large"}, {("m5.large", "ondemand", REGION, 1)}),
        (
            {"vmTypes": {"m5.large": 1, "m5.xlarge": 2}},
            {("m5.large", "ondemand", REGION, 1), ("m5.xlarge", "ondemand", REGION, 2)},
        ),
        ({"vmType": "m5.large", "priceType": "spot"}, {("m5.large", "spot", REGION, 1)}),
        (
            {"vmTypes": {"c5.large": 2}, "vmTypesOnDemand": {"m5.large": 1}, "priceType": "heterogeneous"},
            {("c5.large", "spot", REGION, 2), ("m5.large", "ondemand", REGION, 1)},
        ),
        (
            {"vmType": "m5.large", "priceType": "spot", "percentOnDemand": 100},
            {("m5.large", "ondemand", REGION, 1)},
        ),
        (
            {"vmType": "m5.large", "regionOverrides": {OTHER: {"imageId": "ami-2"}}},
            {("m5.large", "ondemand", REGION, 1), ("m5.large", "ondemand", OTHER, 1)},
        ),
        ({"launchTemplateId": "lt-1"}, set()),
    ],
    ids=["on-demand", "weights", "spot", "both", "share", "regions", "type-of-the-launch-template"],
)
def test_a_template_may_buy(tmp_path: Path, keys: dict[str, Any], bought: set[tuple[str, str, str, int]]) -> None:
    assert offered(tmp_path, template(**keys)) == bought


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ({"DefaultTargetCapacityType": "spot"}, {"spot"}),
        ({"DefaultTargetCapacityType": "on-demand"}, {"ondemand"}),
        ({"TotalTargetCapacity": 10, "OnDemandTargetCapacity": 3}, {"ondemand", "spot"}),
    ],
    ids=["spot", "on-demand", "both"],
)
def test_a_fleets_file_says_what_is_bought(tmp_path: Path, target: dict[str, Any], kinds: set[str]) -> None:
    overrides = [{"InstanceType": "m5.large"}, {"InstanceType": "m5.xlarge", "WeightedCapacity": 2}]
    file = tmp_path / "fleet.json"
    file.write_text(
        json.dumps({"LaunchTemplateConfigs": [{"Overrides": overrides}], "TargetCapacitySpecification": target})
    )
    found = offered(tmp_path, template(ec2FleetConfig=str(file)))
    assert found == {
        (name, kind, REGION, units) for name, units in (("m5.large", 1), ("m5.xlarge", 2)) for kind in kinds
    }


def test_a_fleets_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ec2FleetConfig .*gone\.json cannot be read"):
        offered(tmp_path, template(ec2FleetConfig=str(tmp_path / "gone.json")))
