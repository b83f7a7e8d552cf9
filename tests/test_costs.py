"""Prices in a provider instance's life: the ceiling, what people see, what HostFactory hears."""

from __future__ import annotations

import json
from typing import Any

import pytest
from front_door import call
from player import HostFactory, demand, template

from hfplugin.emulator import REGION, Emulator

HOURLY = 0.1


@pytest.fixture
def priced(hostfactory: HostFactory, emulator: Emulator) -> HostFactory:
    """A provider instance whose machines cost 0.1 dollars an hour; five may run."""
    emulator.configure(prices={f"{REGION}/m5.large": HOURLY})
    return with_ceiling(hostfactory, emulator, 5 * HOURLY)


def with_ceiling(hostfactory: HostFactory, emulator: Emulator, ceiling: float | None, **aws: Any) -> HostFactory:
    section = {"region": REGION, "endpointUrl": emulator.url, **aws}
    hostfactory.configure({"providerType": "aws", "aws": section, "requests": {"maxCostPerHour": ceiling}})
    return hostfactory


def costs(site: HostFactory) -> dict[str, Any]:
    called = call("costs", "--json", environment=site.environment)
    assert called.status == 0, called.stderr
    document: dict[str, Any] = json.loads(called.stdout)
    return document


def text(site: HostFactory, *arguments: str) -> str:
    called = call("costs", *arguments, environment=site.environment)
    assert called.status == 0, called.stderr
    return called.stdout


def test_returned_machines_make_room(priced: HostFactory, emulator: Emulator) -> None:
    [first, *_] = priced.machines("small", 5)
    assert "the ceiling holds: what runs or was asked for costs 0.50 USD" in priced.refused(
        "requestMachines", demand("small", 1)
    )
    priced.returned(first)
    [answer] = priced.poll(priced.request("small", 3))
    assert (answer["status"], len(answer["machines"])) == ("complete", 1)


def test_what_it_costs_is_shown_by_template(priced: HostFactory) -> None:
    assert "No price is known yet: `hfplugin costs refresh` asks for them." in text(priced)
    priced.machines("small", 3)
    found = costs(priced)
    assert (found["currency"], found["machines"], found["costPerHour"]) == ("USD", 3, 0.3)
    assert (found["costPerHourPromised"], found["maxCostPerHour"]) == (0, 0.5)
    [few, small] = found["templates"]
    assert small == {
        "templateId": "small",
        "machines": 3,
        "costPerHour": 0.3,
        "costPerHourPromised": 0,
        "unitAtMost": HOURLY,
        "withoutPrice": [],
    }
    assert (few["templateId"], few["machines"]) == ("few", 0)
    shown = call("metrics", environment=priced.environment).stdout
    assert 'hfplugin_cost_per_hour{provider="awsinst",template="small",currency="USD"} 0.3' in shown
    [price] = found["prices"]
    assert (price["machineType"], price["priceType"], price["region"]) == ("m5.large", "ondemand", REGION)
    assert (price["hourly"], price["origin"]) == (HOURLY, "AWS price list")
    assert text(priced).splitlines()[0] == (
        "provider awsinst: 0.30 USD an hour for 3 machines, the ceiling is 0.5"
    )


def test_what_has_no_price_is_named_and_not_taken_for_nothing(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    hostfactory.machines("small", 2)
    assert "template small: no price of m5.large ondemand in eu-central-1: not counted" in text(hostfactory)
    emulator.fault("error", service="pricing", code="AccessDeniedException", message="not you")
    called = call("costs", "refresh", environment=hostfactory.environment)
    assert (called.status, "not you" in called.stderr) == (1, True)
    with_ceiling(hostfactory, emulator, 5.0)
    assert "not you" in hostfactory.refused("requestMachines", demand("small", 1))
    with_ceiling(hostfactory, emulator, 5.0, prices={"m5.large": 0.07})
    hostfactory.machines("small", 1)
    assert costs(hostfactory)["costPerHour"] == 0.21


def test_prices_are_asked_for_anew_by_hand(priced: HostFactory, emulator: Emulator) -> None:
    spot = {"templateId": "spot", "priceType": "spot", "vmType": "c5.large"}
    unsaid = {"templateId": "unsaid", "vmType": "", "launchTemplateId": "lt-0123456789abcdef0"}
    sizes = {"ncpus": 1, "nram": 1024, "type": "X86_64"}
    priced.offer(template("", **spot), template("", **unsaid, attributes=sizes))
    assert text(priced, "refresh") == "1 price known\n"
    emulator.configure(prices={"*/spot": 0.02})
    text(priced, "refresh")
    assert [price["hourly"] for price in costs(priced)["prices"]] == [0.02]


def test_a_template_tells_hostfactory_its_price_once_that_is_known(priced: HostFactory) -> None:
    priced.offer(
        template(""),
        template("", templateId="own", attributes={"priceInfo": ["String", "price:9"]}),
        template("", templateId="weighted", vmType="", vmTypes={"m5.large": 2, "m5.2xlarge": 4}),
    )
    assert all("priceInfo" not in each["attributes"] for each in priced.templates()[::2])
    text(priced, "refresh")
    [small, own, weighted] = [each["attributes"]["priceInfo"] for each in priced.templates()]
    ending = "billingTimeUnitType:prorated_hour,billingTimeUnitNumber:1,billingRoundoffType:unit"
    assert small == ["String", f"price:0.1,{ending}"]
    assert own == ["String", "price:9"]
    assert weighted == ["String", f"price:0.096,{ending}"]  # four units for 0.384, two for 0.1


def checks(site: HostFactory) -> dict[str, dict[str, Any]]:
    called = call("check", "--json", environment=site.environment)
    return {each["subject"]: each for each in json.loads(called.stdout)}


def test_a_check_asks_for_the_prices_that_a_ceiling_needs(priced: HostFactory, emulator: Emulator) -> None:
    found = checks(priced)["price of template small"]
    assert (found["is_ok"], found["detail"]) == (True, "a unit costs 0.1 an hour at the most")
    emulator.fault("error", service="pricing", code="AccessDeniedException", message="not you")
    found = checks(priced)["prices"]
    assert (found["is_ok"], "not you" in found["detail"]) == (False, True)
    assert not [subject for subject in checks(with_ceiling(priced, emulator, None)) if "price" in subject]


def simulated(site: HostFactory, **types: dict[str, float]) -> None:
    site.configure({"providerType": "simulated", "requests": {"maxCostPerHour": 1.0}})
    machines = {name: {"ncpus": 1, "nram": 1024, **content} for name, content in types.items()}
    site.offer({"templateId": "small", "maxNumber": 50, "machineTypes": machines})


def test_a_simulated_cloud_charges_what_its_templates_say(hostfactory: HostFactory) -> None:
    simulated(hostfactory, s={"price": 0.3})
    [answer] = hostfactory.poll(hostfactory.request("small", 5))
    assert len(answer["machines"]) == 3
    assert costs(hostfactory)["costPerHour"] == 0.9
    simulated(hostfactory, s={"price": 0.2})
    [answer] = hostfactory.poll(hostfactory.request("small", 5))
    assert len(answer["machines"]) == 2


def test_what_costs_nobody_knows_what_is_not_bought(hostfactory: HostFactory) -> None:
    simulated(hostfactory, s={})
    message = hostfactory.refused("requestMachines", demand("small", 1))
    assert "no price is known of s ondemand in simulated, which requests.maxCostPerHour needs" in message
