"""Templates that go to several regions, through the real scripts on an emulated AWS; calls counted by region."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from front_door import Called, call
from player import ROLE, SERVICES, HostFactory, demand, template

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

HOME, AWAY, FARTHER = REGION, "us-west-2", "ap-southeast-2"

Hosts = list[dict[str, Any]]

# The call that launches, by the service.
LAUNCH = {
    "RunInstances": "RunInstances",
    "EC2Fleet": "CreateFleet",
    "SpotFleet": "RequestSpotFleet",
    "ASG": "CreateAutoScalingGroup",
}

every_service = pytest.mark.parametrize("service", SERVICES)
# One of each call that launches.
every_call = pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-instant", "SpotFleet-request", "ASG"])


class Site(NamedTuple):
    """What a template names that is of a region."""

    image: str
    subnet: str
    group: str
    key: str

    @property
    def override(self) -> dict[str, Any]:
        return {
            "imageId": self.image,
            "subnetId": self.subnet,
            "securityGroupIds": [self.group],
            "keyName": self.key,
        }


@cache
def _ec2(emulator: Emulator, region: str) -> EC2Client:
    """Give a client of a region, which takes longer to make than what it is for."""
    return emulator.ec2(region)


class World:
    """HostFactory, a template that may go to other regions, and what runs at AWS."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> None:
        self.hostfactory = hostfactory
        self.emulator = emulator
        self.subnet = subnets[0]
        self.sites: dict[str, Site] = {}
        self.action = ""

    def site(self, region: str) -> Site:
        """Give what a template names in a region, made there when first asked for."""
        if region not in self.sites:
            ec2 = _ec2(self.emulator, region)
            subnet = min(ec2.describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])
            group = ec2.create_security_group(GroupName="ours", Description="ours", VpcId=subnet["VpcId"])
            ec2.create_key_pair(KeyName=f"key-of-{region}")
            image = ec2.copy_image(Name="ours", SourceImageId=IMAGE_ID, SourceRegion=region)
            self.sites[region] = Site(image["ImageId"], subnet["SubnetId"], group["GroupId"], f"key-of-{region}")
        return self.sites[region]

    def offer(self, service: str = "RunInstances", regions: tuple[str, ...] = (AWAY,), **keys: Any) -> None:
        """Offer one template, `small`, of a service, with overrides for these regions."""
        self.action = LAUNCH[service.partition("-")[0]]
        own = {
            "fleetRole": ROLE,
            # A request's validity ends by AWS's clock, which other tests have moved.
            "spotFleetRequestExpiry": 10_000_000,
            "regionOverrides": {region: self.site(region).override for region in regions},
            **SERVICES[service],
            **keys,
        }
        self.hostfactory.offer(template(self.subnet, **own))
        self.emulator.forget_calls()

    def configure(self, **aws: Any) -> None:
        own = {"region": HOME, "endpointUrl": self.emulator.url, **aws}
        self.hostfactory.configure({"providerType": "aws", "aws": own})

    def limit(self, **capacity: int) -> None:
        """Let AWS have so many machines at home, or away, and any number of others."""
        places = {"home": HOME, "away": AWAY, "farther": FARTHER}
        self.emulator.configure(capacity={f"{places[each]}/*/*": count for each, count in capacity.items()})

    def finished(self, request_id: str, polls: int = 5) -> dict[str, Any]:
        """Poll until the request is over; a source that was stopped is given no time to show more."""
        for _ in range(polls):
            [answer] = self.hostfactory.poll(request_id)
            if answer["status"] != "running":
                return answer
            self.age_launches(request_id, 120)
        raise AssertionError(answer)

    def have(self, count: int) -> dict[str, Any]:
        return self.finished(self.hostfactory.request("small", count))

    def have_from(self, service: str, count: int, home: int) -> tuple[str, Hosts]:
        """Have machines, so many of which home can give; give the request's id and all of them."""
        self.offer(service)
        self.limit(home=home)
        request_id = self.hostfactory.request("small", count)
        answer = self.finished(request_id)
        hosts = usable(answer)
        assert (answer["status"], len(hosts)) == ("complete", count)
        return request_id, hosts

    def give_back(self, hosts: Hosts) -> None:
        return_id = self.hostfactory.give_back(*hosts)
        for _ in range(3):
            [answer] = self.hostfactory.poll(return_id)
            if answer["status"] != "running":
                break
        assert answer["status"] == "complete", answer

    def check_empty(self) -> None:
        """Nothing runs or launches in any region. What an instant fleet's machines left goes with the last."""
        assert self.alive == {}
        assert self.emulator.leftovers() == []

    @property
    def alive(self) -> dict[str, int]:
        """Count the machines that live, by region."""
        return dict(Counter(machine.region for machine in self.emulator.alive()))

    @property
    def launches(self) -> list[str]:
        """Give the region of each launch that was sent, in order."""
        return [each["region"] for each in self.emulator.calls(self.action)]

    def regions_called(self) -> set[str]:
        return {each["region"] for each in self.emulator.calls()}

    def record(self, request_id: str) -> dict[str, Any]:
        [path] = self.hostfactory.state.glob(f"**/{request_id}.json")
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def chain(self, request_id: str) -> list[tuple[str, str]]:
        """Give each place that was asked, by region, and the code of why it gave less, from the record."""
        return [
            (each["place"].partition("/")[0], error["code"])
            for each in self.record(request_id)["launches"]
            for error in each.get("errors") or [{"code": ""}]
        ]

    def age_launches(self, request_id: str, seconds: float) -> None:
        """Let what a record says of its launches' stops and empty looks be so much longer ago."""
        path = self.hostfactory.state / "requests" / f"{request_id}.json"
        record = json.loads(path.read_text())
        for launch in record["launches"]:
            for key in ("stopped_at", "first_empty_look"):
                if launch.get(key):
                    launch[key] -= seconds
        path.write_text(json.dumps(record, separators=(",", ":")))

    def forget_health(self) -> None:
        assert self.command("health", "reset").status == 0

    def command(self, *arguments: str) -> Called:
        return call(*arguments, environment=self.hostfactory.environment)


@pytest.fixture
def world(hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> World:
    return World(hostfactory, emulator, subnets)


def usable(answer: dict[str, Any]) -> Hosts:
    return [host for host in answer["machines"] if host["result"] == "succeed"]


@every_service
def test_what_home_refuses_comes_from_the_next_region_as_the_template_says_there(
    world: World, service: str
) -> None:
    request_id, hosts = world.have_from(service, 2, home=0)
    assert world.launches == [HOME, AWAY]
    assert world.chain(request_id) == [(HOME, "InsufficientInstanceCapacity"), (AWAY, "")]

    assert world.alive == {AWAY: 2}
    [reservation] = _ec2(world.emulator, AWAY).describe_instances()["Reservations"]
    site = world.site(AWAY)
    for machine in reservation["Instances"]:
        [group] = machine["SecurityGroups"]
        assert Site(machine["ImageId"], machine["SubnetId"], group["GroupId"], machine["KeyName"]) == site

    world.give_back(hosts)
    world.check_empty()


@every_service
def test_a_part_comes_from_home_and_the_rest_from_away_and_all_of_it_is_returned(
    world: World, service: str
) -> None:
    request_id, hosts = world.have_from(service, 3, home=1)
    assert world.alive == {HOME: 1, AWAY: 2}
    assert (HOME, "InsufficientInstanceCapacity") in world.chain(request_id)
    world.give_back(hosts)
    world.check_empty()


@pytest.mark.parametrize(
    ("fallback", "order"),
    [
        ([], [HOME, AWAY, FARTHER]),
        ([FARTHER, AWAY], [HOME, FARTHER, AWAY]),
        ([FARTHER, HOME], [HOME, FARTHER]),
        (["sa-east-1", AWAY], [HOME, AWAY]),
    ],
    ids=["as in the template", "as configured", "no others", "none that the template lacks"],
)
def test_regions_are_asked_in_order_and_none_besides(world: World, fallback: list[str], order: list[str]) -> None:
    world.configure(fallbackRegions=fallback)
    world.offer(regions=(AWAY, FARTHER))
    world.limit(home=0, away=0, farther=0)
    request_id = world.hostfactory.request("small", 1)
    answer = world.finished(request_id)
    assert answer["status"] == "complete_with_error"
    assert world.launches == order
    assert world.chain(request_id) == [(region, "InsufficientInstanceCapacity") for region in order]
    assert all(region in answer["message"] for region in order), answer["message"]


@every_call
def test_what_is_missing_is_told_with_every_place_and_its_reason(world: World, service: str) -> None:
    world.offer(service)
    world.limit(home=1, away=1)
    answer = world.have(3)
    assert (answer["status"], len(usable(answer))) == ("complete", 2)
    assert answer["message"].startswith("2 of 3 ready; InsufficientInstanceCapacity in ")
    assert all(region in answer["message"] for region in (HOME, AWAY)), answer["message"]


@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-instant"])
def test_a_region_that_has_just_refused_is_passed_over_and_the_record_says_so(world: World, service: str) -> None:
    world.offer(service)
    world.limit(home=0)
    world.have(1)
    world.emulator.forget_calls()
    request_id = world.hostfactory.request("small", 1)
    world.finished(request_id)
    assert world.launches == [AWAY]
    [launch] = world.record(request_id)["launches"]
    [passed] = launch["passed_over"]
    assert passed["place"].startswith(HOME)
    assert "Insufficient" in passed["message"]


@every_call
def test_a_quota_at_home_leads_away(world: World, service: str) -> None:
    world.offer(service)
    code = "MaxSpotInstanceCountExceeded" if service.startswith("Spot") else "VcpuLimitExceeded"
    if service == "ASG":
        code = "LimitExceeded"
    world.emulator.fault("error", action=world.action, region=HOME, code=code, status=400)
    request_id = world.hostfactory.request("small", 2)
    assert len(usable(world.finished(request_id))) == 2
    assert world.launches == [HOME, AWAY]
    assert world.chain(request_id)[0] == (HOME, code)


def test_a_quota_of_spot_machines_leads_to_the_other_purchase_type_first(world: World) -> None:
    world.offer("EC2Fleet-instant", priceType="heterogeneous", percentOnDemand=0)
    world.emulator.configure(quotas={"spot-vcpus": 0})
    request_id = world.hostfactory.request("small", 2)
    answer = world.finished(request_id)
    assert [host["priceType"] for host in usable(answer)] == ["ondemand", "ondemand"]
    assert world.launches == [HOME, HOME]


def test_a_quota_of_both_purchase_types_leads_away(world: World) -> None:
    world.offer("EC2Fleet-instant", priceType="heterogeneous", percentOnDemand=0)
    world.emulator.fault("error", action="CreateFleet", region=HOME, code="VcpuLimitExceeded", status=400)
    request_id = world.hostfactory.request("small", 2)
    answer = world.finished(request_id)
    assert [host["priceType"] for host in usable(answer)] == ["spot", "spot"]
    assert world.launches == [HOME, HOME, AWAY]


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("RunInstances", "RequestLimitExceeded", 503),
        ("RunInstances", "InternalError", 500),
        ("EC2Fleet-instant", "RequestLimitExceeded", 503),
        ("SpotFleet-request", "InternalError", 500),
        ("ASG", "Throttling", 400),
    ],
)
def test_what_passes_is_waited_for_at_home(world: World, service: str, code: str, status: int) -> None:
    world.offer(service)
    fault = world.emulator.fault("error", action=world.action, region=HOME, code=code, status=status)
    request_id = world.hostfactory.request("small", 2)
    for _ in range(2):
        [answer] = world.hostfactory.poll(request_id)
        assert (answer["status"], answer["machines"]) == ("running", [])
        assert code in answer["message"]
    assert world.regions_called() == {HOME}
    assert len(world.launches) <= 3
    world.emulator.lift(fault)
    world.forget_health()
    assert len(usable(world.finished(request_id))) == 2
    assert world.alive == {HOME: 2}
    assert world.regions_called() == {HOME}


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("RunInstances", "InvalidParameterValue", 400),
        ("RunInstances", "UnauthorizedOperation", 403),
        ("RunInstances", "NeverHeardOf", 400),
        ("EC2Fleet-instant", "UnauthorizedOperation", 403),
        ("SpotFleet-request", "InvalidParameterValue", 400),
        ("ASG", "ValidationError", 400),
    ],
)
def test_what_an_administrator_has_to_correct_is_not_tried_elsewhere(
    world: World, service: str, code: str, status: int
) -> None:
    world.offer(service)
    world.emulator.fault("error", action=world.action, region=HOME, code=code, status=status)
    assert code in world.hostfactory.refused("requestMachines", demand("small", 2))
    assert world.launches == [HOME]
    assert world.regions_called() == {HOME}
    world.check_empty()


@every_service
def test_a_launch_without_an_answer_is_settled_before_anything_is_asked_elsewhere(
    world: World, service: str
) -> None:
    world.offer(service)
    world.emulator.fault("drop_after", action=world.action, region=HOME, times=1)
    request_id = world.hostfactory.request("small", 2)
    answer = world.finished(request_id)
    assert (answer["status"], len(usable(answer))) == ("complete", 2)
    assert world.alive == {HOME: 2}
    assert world.regions_called() == {HOME}
    world.give_back(usable(answer))
    world.check_empty()


def test_a_launch_that_may_have_acted_keeps_others_waiting_though_home_refuses_by_now(world: World) -> None:
    world.offer()
    world.emulator.fault("drop_before", action=world.action, region=HOME, times=1)
    world.limit(home=0)
    request_id = world.hostfactory.request("small", 2)
    for _ in range(3):
        [answer] = world.hostfactory.poll(request_id)
        assert answer["status"] == "running"
        assert "without an answer yet" in answer["message"]
    assert AWAY not in world.launches
    world.age_launches(request_id, 120)
    assert len(usable(world.finished(request_id))) == 2
    assert world.alive == {AWAY: 2}


@every_call
def test_a_launch_whose_answer_never_comes_is_not_made_twice(world: World, service: str) -> None:
    world.configure(readTimeoutSeconds=1)
    world.offer(service)
    world.emulator.fault("hang_after", action=world.action, region=HOME, times=1)
    request_id = world.hostfactory.request("small", 2)
    assert world.launches == [HOME]
    world.forget_health()  # its time-out keeps calls away from the region for a while
    answer = world.finished(request_id)
    assert len(usable(answer)) == 2
    assert world.alive == {HOME: 2}
    assert AWAY not in world.regions_called()


@pytest.mark.parametrize(("dead", "living"), [(HOME, AWAY), (AWAY, HOME)], ids=["home", "away"])
@pytest.mark.parametrize(
    ("service", "kind"), [("RunInstances", "refuse"), ("EC2Fleet-maintain", "hang"), ("ASG", "refuse")]
)
def test_a_region_that_dies_keeps_its_machines_and_no_other_region_waiting(
    world: World, service: str, dead: str, living: str, kind: str
) -> None:
    world.configure(readTimeoutSeconds=1)
    world.emulator.configure(boot_seconds=60)
    world.offer(service)
    world.limit(home=1)
    request_id = world.hostfactory.request("small", 2)
    for _ in range(2):
        [answer] = world.hostfactory.poll(request_id)
    assert [host["result"] for host in answer["machines"]] == ["executing", "executing"]
    world.emulator.advance(61)
    fault = world.emulator.fault(kind, region=dead)
    for _ in range(4):
        [answer] = world.hostfactory.poll(request_id)
    regions = {machine.id: machine.region for machine in world.emulator.alive()}
    results = {regions[host["machineId"]]: host["result"] for host in answer["machines"]}
    assert results == {living: "succeed", dead: "executing"}
    assert answer["status"] == "running"
    assert "the cloud cannot be observed since" in answer["message"]
    assert world.emulator.struck(fault) <= 6
    world.emulator.lift(fault)
    world.forget_health()
    answer = world.finished(request_id)
    assert (answer["status"], len(usable(answer))) == ("complete", 2)
    assert world.alive == {HOME: 1, AWAY: 1}


def test_a_region_that_does_not_answer_is_not_left_for_another(world: World) -> None:
    world.offer()
    fault = world.emulator.fault("refuse", region=HOME)
    request_id = world.hostfactory.request("small", 1)
    [answer] = world.hostfactory.poll(request_id)
    assert answer["status"] == "running"
    assert AWAY not in world.regions_called()
    world.emulator.lift(fault)
    world.forget_health()
    assert len(usable(world.finished(request_id))) == 1
    assert world.alive == {HOME: 1}


@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-maintain", "SpotFleet-maintain", "ASG"])
def test_a_host_away_whose_record_is_lost_is_returned_by_name(world: World, service: str) -> None:
    request_id, hosts = world.have_from(service, 2, home=0)
    (world.hostfactory.state / "requests" / f"{request_id}.json").unlink()
    world.give_back([{"name": hosts[0]["name"]}])
    assert [machine.id for machine in world.emulator.alive()] == [hosts[1]["machineId"]]
    world.emulator.advance(600)
    assert len(world.emulator.alive()) == 1


@pytest.mark.parametrize("service", ["RunInstances", "EC2Fleet-maintain"])
def test_a_lost_record_is_made_again_from_both_regions(world: World, service: str) -> None:
    request_id, hosts = world.have_from(service, 3, home=1)
    (world.hostfactory.state / "requests" / f"{request_id}.json").unlink()
    sources = " and 2 sources" if service == "EC2Fleet-maintain" else ""
    assert f"lost request {request_id}: no record, but 3 machines{sources}" in world.command("reconcile").stdout
    assert world.command("reconcile", "--apply").status == 0
    held = {each["id"]: each["region"] for each in world.record(request_id)["machines"]}
    assert held == {machine.id: machine.region for machine in world.emulator.alive()}
    world.give_back(hosts)
    assert world.alive == {}


@pytest.mark.parametrize("service", ["RunInstances", "ASG"])
def test_a_check_tries_every_region_and_names_the_one_that_refuses(world: World, service: str) -> None:
    world.offer(service, regions=(AWAY, FARTHER))
    [check] = checks(world)
    assert check["is_ok"]
    assert all(region in check["detail"] for region in (HOME, AWAY, FARTHER)), check
    overrides = {
        AWAY: world.site(AWAY).override,
        FARTHER: {**world.site(FARTHER).override, "imageId": "ami-0badbadbadbadbad0"},
    }
    world.offer(service, regionOverrides=overrides)
    [check] = checks(world)
    assert not check["is_ok"]
    assert "ami-0badbadbadbadbad0" in check["detail"]
    assert FARTHER in check["detail"]
    assert AWAY not in check["detail"]
    assert world.alive == {}


def checks(world: World) -> list[dict[str, Any]]:
    found = json.loads(world.command("check", "--json").stdout)
    return [each for each in found if each["subject"] == "template small"]
