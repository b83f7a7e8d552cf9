"""From the cloud's word to HostFactory's ear, through the real scripts: each source alone, and under every fault.

How words are read, and what a look at thousands costs, is in tests/providers/aws/test_interruption.py.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

import pytest
from event_queue import Mailbox, event, warning
from front_door import call
from player import ROLE, SERVICES, HostFactory, template

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

AWAY = "us-west-2"

PLAIN_LOOK = "DescribeInstances"
SPOT_LOOK = "DescribeSpotInstanceRequests"
EVENT_LOOK = "DescribeInstanceStatus"
QUEUE_LOOK = "ReceiveMessage"

# Of machines and applications that nobody knows here.
FOREIGN = ("i-0fffffffffffffff0", "order-4711")

# A message that was received and not deleted is hidden for ten seconds.
PATIENCE_SECONDS = 30.0

Host = dict[str, Any]


class Site:
    """HostFactory with templates `small`, of machines on demand, and `spot`; its queue if it has one; its AWS."""

    def __init__(self, hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> None:
        self.hostfactory = hostfactory
        self.emulator = emulator
        self.subnet = subnets[0]
        self.mailbox: Mailbox | None = None
        self.offer()

    def offer(self, **keys: Any) -> None:
        own = template(self.subnet, **keys)
        self.hostfactory.offer(own, {**own, "templateId": "spot", "priceType": "spot"})

    def configure(self, **aws: Any) -> None:
        own = {"region": REGION, "endpointUrl": self.emulator.url, **aws}
        self.hostfactory.configure({"providerType": "aws", "aws": own})

    def listen(self, **aws: Any) -> Mailbox:
        """Have a queue, in which there is nothing yet."""
        self.mailbox = Mailbox(self.emulator)
        self.configure(interruptionQueueUrl=self.mailbox.url, **aws)
        return self.mailbox

    def mail(self, *bodies: str) -> None:
        assert self.mailbox is not None
        self.mailbox.send(*bodies)

    def deafen(self) -> None:
        """Let the queue be the only one who says what is to come, as without the right to ask EC2 for it."""
        for action in (SPOT_LOOK, EVENT_LOOK):
            self.emulator.fault("error", action=action, code="UnauthorizedOperation", status=403)

    def lift(self, number: int | None = None) -> None:
        """End one fault, or every one, and what was remembered of it."""
        self.emulator.lift(number)
        shutil.rmtree(self.hostfactory.state / "health", ignore_errors=True)

    def have(self, count: int, template_id: str = "small") -> list[Host]:
        """Have machines, of which the queue has said all that it ever will by itself."""
        machines = self.hostfactory.machines(template_id, count)
        if self.mailbox is not None:
            self.mailbox.empty()
        return machines

    def lost(self, *hosts: Host) -> list[str]:
        """Give the ids of those hosts that are to be given up."""
        return ids(self.hostfactory.lost(*hosts))

    def alive(self) -> list[str]:
        return sorted(machine.id for machine in self.emulator.alive())

    def states(self) -> list[str]:
        return sorted(machine.state for machine in self.emulator.machines())

    def kill_at(self, action: str, *hosts: Host) -> None:
        """Ask for hosts, and kill the call when it has sent this action."""
        number = self.emulator.fault("hang", action=action)
        with self.hostfactory.start("getReturnRequests", message(*hosts)) as killed:
            self.wait_until(lambda: self.emulator.struck(number) > 0)
            killed.kill()
            assert killed.communicate() == ("", "")
        self.emulator.lift(number)

    @staticmethod
    def wait_until(is_so: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < patience
            time.sleep(0.02)

    # fleets and groups

    def offer_maintained(self, service: str) -> None:
        self.offer(**{"fleetRole": ROLE, "spotFleetRequestExpiry": 10_000_000, **SERVICES[service]})

    def closed(self, request_id: str) -> list[Host]:
        """Poll until the request is no longer running, and give its machines."""
        found: list[dict[str, Any]] = []

        def is_closed() -> bool:
            found[:] = self.hostfactory.poll(request_id)
            return bool(found[0]["status"] != "running")

        self.wait_until(is_closed)
        assert found[0]["status"] == "complete", found
        machines: list[Host] = found[0]["machines"]
        return machines

    def target(self, service: str) -> int:
        """Give what the one fleet or group is to have."""
        if service == "ASG":
            [group] = self.emulator.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
            return int(group["DesiredCapacity"])
        ec2: Any = self.emulator.ec2()
        if service.startswith("SpotFleet"):
            [fleet] = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
            return int(fleet["SpotFleetRequestConfig"]["TargetCapacity"])
        [fleet] = ec2.describe_fleets()["Fleets"]
        return int(fleet["TargetCapacitySpecification"]["TotalTargetCapacity"])

    def take_back(self, machine_id: str) -> None:
        """Let the time of an interruption be over."""
        self.emulator.terminate(machine_id, code="Server.SpotInstanceTermination", text="taken back")
        self.emulator.advance(0)

    def offer_away(self) -> None:
        """Offer templates `home` and, for what home does not have, `away`, both of spot machines."""
        ec2 = self.emulator.ec2(AWAY)
        subnet = min(ec2.describe_subnets()["Subnets"], key=lambda each: each["AvailabilityZone"])["SubnetId"]
        image = ec2.copy_image(Name="ours", SourceImageId=IMAGE_ID, SourceRegion=AWAY)["ImageId"]
        override = {AWAY: {"imageId": image, "subnetId": subnet}}
        spot = template(self.subnet, priceType="spot")
        self.hostfactory.offer(
            {**spot, "templateId": "home"}, {**spot, "templateId": "away", "regionOverrides": override}
        )


def ids(hosts: list[Host]) -> list[str]:
    return sorted(host["machineId"] for host in hosts)


def message(*hosts: Host) -> dict[str, Any]:
    return {"machines": [{"name": host["name"], "machineId": host["machineId"]} for host in hosts]}


OTHERS = [warning(FOREIGN[0]), json.dumps({"source": "shop", "detail-type": "Order placed", "id": FOREIGN[1]})]


@pytest.fixture(scope="module")
def running_emulator() -> Iterator[Emulator]:
    """An AWS whose time nobody moves: a grace period is the difference of its clock and ours."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def site(hostfactory: HostFactory, emulator: Emulator, subnets: list[str]) -> Site:
    return Site(hostfactory, emulator, subnets)


# each source


def _health(site: Site, machine_id: str) -> None:
    detail = {
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
        "eventTypeCategory": "scheduledChange",
        "startTime": format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True),
        "affectedEntities": [{"entityValue": machine_id, "status": "PENDING"}],
    }
    site.emulator.event("aws.health", "AWS Health Event", detail, resources=(machine_id,))


def _wrapped(site: Site, machine_id: str) -> None:
    site.mail(json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": warning(machine_id)}))


# What is left on the slowest of machines, of two minutes and of two hours.
TWO_MINUTES = range(60, 121)
TWO_HOURS = range(7000, 7201)
NONE = range(1)


class Source(NamedTuple):
    """How it is said of a machine that it is taken back, and the grace that this leaves.

    With a queue and `is_deaf`, nobody else says so.
    """

    say: Callable[[Site, str], None]
    grace: range
    template_id: str = "spot"
    queue: dict[str, Any] | None = None
    is_deaf: bool = False


def _heard(say: Callable[[Site, str], None], grace: range, **settings: Any) -> Source:
    return Source(say, grace, queue=settings, is_deaf=True)


SOURCES = {
    "queue: interruption": _heard(lambda site, id_: site.emulator.interrupt(id_), TWO_MINUTES),
    "queue: rebalance": _heard(
        lambda site, id_: site.emulator.rebalance(id_), TWO_MINUTES, returnOnRebalance=True
    ),
    "queue: AWS Health": _heard(_health, TWO_HOURS),
    "queue: by SNS": _heard(_wrapped, TWO_MINUTES),
    "queue: terminated": _heard(lambda site, id_: site.emulator.terminate(id_), NONE),
    "queue: stopped": _heard(lambda site, id_: site.emulator.stop(id_), NONE)._replace(template_id="small"),
    "spot request: marked": Source(lambda site, id_: site.emulator.interrupt(id_), TWO_MINUTES),
    "spot request: direct": Source(lambda site, id_: site.emulator.interrupt(id_, is_direct=True), TWO_MINUTES),
    "scheduled retirement": Source(
        lambda site, id_: site.emulator.schedule(id_, "instance-retirement", seconds=7200), TWO_HOURS, "small"
    ),
    "look: terminated": Source(lambda site, id_: site.emulator.terminate(id_), NONE, "small"),
    "look: stopped": Source(lambda site, id_: site.emulator.stop(id_), NONE, "small"),
    "all at once": Source(lambda site, id_: site.emulator.interrupt(id_), TWO_MINUTES, queue={}),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_what_is_said_is_named_at_the_very_next_call_and_until_the_host_is_returned(
    site: Site, source: Source
) -> None:
    mailbox = site.listen(**source.queue) if source.queue is not None else None
    taken, healthy = site.have(2, source.template_id)
    if source.is_deaf:
        site.deafen()
    if mailbox is not None:
        mailbox.send(*OTHERS)
    source.say(site, taken["machineId"])
    site.emulator.advance(0)  # all that comes of it at once
    for _ in range(2):
        [entry] = site.hostfactory.lost(healthy, taken)
        grace = entry.pop("gracePeriod")
        assert entry == {"machine": taken["name"], "machineId": taken["machineId"]}
        assert type(grace) is int
        assert grace in source.grace
    # What is gone is terminated for good meanwhile, which the queue tells, too.
    assert mailbox is None or source.grace is NONE or mailbox.counts == (len(OTHERS), 0)
    assert site.hostfactory.returned(taken)["status"] == "complete"
    site.emulator.advance(0)
    assert site.lost(healthy, taken) == []
    assert mailbox is None or mailbox.counts == (len(OTHERS), 0)
    assert healthy["machineId"] in site.alive()


def test_a_recommendation_that_nobody_wants_is_let_go_and_names_nobody(site: Site) -> None:
    mailbox = site.listen()
    machines = site.have(2, "spot")
    site.emulator.rebalance(machines[0]["machineId"])
    assert site.lost(*machines) == []
    assert mailbox.counts == (0, 0)


def test_what_leaves_a_machine_where_it_is_names_nobody(site: Site) -> None:
    mailbox = site.listen()
    machines = site.have(3, "spot")
    site.emulator.schedule(machines[0]["machineId"], "instance-reboot")
    site.emulator.schedule(machines[1]["machineId"], "system-maintenance")
    running = event("EC2 Instance State-change Notification", machines[2]["machineId"], state="running")
    mailbox.send("no JSON", running)
    assert site.lost(*machines) == []
    assert mailbox.counts == (0, 0)


# nothing false


class Fault(NamedTuple):
    """What goes wrong with an action. `is_silence`: EC2 is not asked for anything else by a call that meets it."""

    kind: str
    settings: dict[str, Any] = {}
    is_silence: bool = True
    is_answered: bool = False


FAULTS = [
    Fault("throttle", is_silence=False),
    Fault("error", {"code": "InternalError", "status": 500}, is_silence=False),
    Fault("delay", {"seconds": 0.3}, is_silence=False, is_answered=True),
    Fault("drop_before"),
    Fault("hang"),
    Fault("refuse"),
]

# Not of the queue: what it sent is hidden from then on, for which a test of its own waits.
LOST_ANSWER = Fault("drop_after")

# By the action that alone brings it: word of a spot machine.
WORDS: dict[str, Callable[[Site, str], None]] = {
    PLAIN_LOOK: lambda site, id_: site.emulator.terminate(id_),
    SPOT_LOOK: lambda site, id_: site.emulator.interrupt(id_),
    EVENT_LOOK: lambda site, id_: site.emulator.schedule(id_, "instance-retirement"),
    QUEUE_LOOK: lambda site, id_: site.mail(warning(id_)),
}


@pytest.mark.parametrize("action", WORDS)
def test_a_fault_names_nobody_healthy_and_what_was_said_is_named_once_it_is_over(site: Site, action: str) -> None:
    settings = {"readTimeoutSeconds": 1}
    if action == QUEUE_LOOK:
        site.listen(**settings)
    else:
        site.configure(**settings)
    faults = FAULTS if action == QUEUE_LOOK else [*FAULTS, LOST_ANSWER]
    *machines, healthy = site.have(len(faults) + 1, "spot")
    for fault, taken in zip(faults, machines, strict=True):
        WORDS[action](site, taken["machineId"])
        number = site.emulator.fault(fault.kind, action=action, **fault.settings)
        answer = site.hostfactory.call("getReturnRequests", message(healthy, taken))
        assert site.emulator.struck(number) > 0
        is_blind = not fault.is_answered and (action == PLAIN_LOOK or (fault.is_silence and action != QUEUE_LOOK))
        assert answer.status == int(is_blind), fault
        if is_blind:
            assert [*answer.document] == ["message"]
        else:
            assert ids(answer.document["requests"]) == [taken["machineId"]] * fault.is_answered, fault
        site.lift()
        assert site.lost(healthy, taken) == [taken["machineId"]], fault
    assert site.lost(healthy, *machines) == ids(machines)


def test_what_the_queue_says_is_named_though_ec2_does_not_answer(site: Site) -> None:
    mailbox = site.listen()
    taken, *healthy = site.have(3, "spot")
    mailbox.send(warning(taken["machineId"]))
    site.emulator.fault("refuse", service="ec2")
    assert site.lost(taken, *healthy) == [taken["machineId"]]
    assert mailbox.counts == (0, 0)


@pytest.mark.parametrize("kind", ["refuse", "hang"])
def test_while_the_region_is_down_only_what_is_known_is_named(site: Site, kind: str) -> None:
    site.listen(readTimeoutSeconds=1)
    known, later, healthy = site.have(3, "spot")
    site.emulator.interrupt(known["machineId"])
    assert site.lost(known, later, healthy) == [known["machineId"]]
    site.emulator.interrupt(later["machineId"])
    site.emulator.fault(kind, region=REGION)
    for _ in range(2):  # asked, and given up
        assert site.lost(known, later, healthy) == [known["machineId"]]
    site.hostfactory.refused("getReturnRequests", message(later, healthy))
    site.lift()
    assert site.lost(known, later, healthy) == sorted([known["machineId"], later["machineId"]])


def test_machines_that_calls_do_not_show_yet_are_not_named(site: Site) -> None:
    site.listen()
    site.emulator.configure(visible_seconds=60)
    request_id = site.hostfactory.request("small", 3)
    [answer] = site.hostfactory.poll(request_id)
    assert site.lost(*answer["machines"]) == []
    assert len(site.alive()) == 3


# calls that do not come to their end


def test_a_message_that_was_received_and_not_dealt_with_loses_nothing_and_is_heard_again(site: Site) -> None:
    """Its answer was lost; the call was killed before it wrote the record, or before it deleted the message."""
    mailbox = site.listen()
    unheard, unwritten, written, healthy = hosts = site.have(4, "spot")
    site.deafen()
    mailbox.send(warning(unheard["machineId"]))
    number = site.emulator.fault("drop_after", action=QUEUE_LOOK)
    assert site.lost(unheard, healthy) == []
    assert site.emulator.struck(number) > 0
    site.lift(number)
    mailbox.send(warning(unwritten["machineId"]))
    site.kill_at(PLAIN_LOOK, unwritten, healthy)
    mailbox.send(warning(written["machineId"]))
    site.kill_at("DeleteMessageBatch", written, healthy)
    assert mailbox.counts == (0, 3)
    assert site.lost(*hosts) == [written["machineId"]]
    assert mailbox.counts == (0, 3), "they are still hidden: the record alone has said so"
    site.wait_until(lambda: mailbox.counts == (3, 0))
    assert site.lost(*hosts) == ids([unheard, unwritten, written])
    assert mailbox.counts == (0, 0)


# what we end ourselves


def test_machines_that_were_returned_name_nobody_while_they_go_and_when_they_are_gone(site: Site) -> None:
    mailbox = site.listen()
    site.emulator.configure(shutdown_seconds=2)
    returned, also, healthy = site.have(3)
    site.hostfactory.give_back(returned, also)
    assert mailbox.counts == (2, 0)
    assert site.lost(returned, also, healthy) == []
    site.wait_until(lambda: site.states() == ["running", "terminated", "terminated"])
    assert site.lost(returned, also, healthy) == []
    assert mailbox.counts == (0, 0)


def test_a_machine_that_is_interrupted_after_its_return_is_not_named(site: Site) -> None:
    mailbox = site.listen()
    site.emulator.configure(shutdown_seconds=60)
    returned, healthy = site.have(2, "spot")
    mailbox.send(warning(returned["machineId"]))
    site.hostfactory.give_back(returned)
    assert site.lost(returned, healthy) == []
    assert mailbox.counts == (0, 0)


# fleets and groups

MAINTAINED = ["EC2Fleet-maintain", "SpotFleet-maintain", "ASG"]
maintained = pytest.mark.parametrize("service", MAINTAINED)


@maintained
def test_an_interruption_lowers_the_target_of_a_closed_request_at_once_and_nothing_replaces_it(
    site: Site, service: str
) -> None:
    site.offer_maintained(service)
    taken, *healthy = site.closed(site.hostfactory.request("spot", 3))
    assert site.target(service) == 3
    site.emulator.interrupt(taken["machineId"])
    [entry] = site.hostfactory.lost(taken, *healthy)
    assert (entry["machineId"], entry["gracePeriod"] in TWO_MINUTES) == (taken["machineId"], True)
    assert site.target(service) == 2
    site.take_back(taken["machineId"])
    assert site.alive() == ids(healthy)
    assert site.lost(taken, *healthy) == [taken["machineId"]]
    assert site.hostfactory.returned(taken)["status"] == "complete"
    assert (site.alive(), site.target(service)) == (ids(healthy), 2)
    assert site.lost(taken, *healthy) == []


@maintained
def test_the_replacement_of_an_interrupted_machine_of_an_open_request_is_adopted(site: Site, service: str) -> None:
    site.emulator.configure(boot_seconds=4)
    site.offer_maintained(service)
    request_id = site.hostfactory.request("spot", 3)
    for _ in range(2):  # a group's machines come by a poll
        [answer] = site.hostfactory.poll(request_id)
    site.emulator.configure(boot_seconds=0)
    assert (answer["status"], len(answer["machines"])) == ("running", 3)
    taken = answer["machines"][0]["machineId"]
    site.emulator.interrupt(taken)
    assert [each["machineId"] for each in site.hostfactory.lost(*answer["machines"])] == [taken]
    assert site.target(service) == 3
    site.take_back(taken)
    results = {each["machineId"]: each["result"] for each in site.closed(request_id)}
    assert results.pop(taken) == "fail"
    assert (sorted(results), {*results.values()}) == (site.alive(), {"succeed"})
    assert (len(results), site.target(service)) == (3, 3)


# many at once


def test_twelve_machines_that_end_at_once_are_named_when_their_tags_show_it_too(site: Site) -> None:
    machines = site.have(12)
    site.emulator.terminate(*ids(machines))
    number = site.emulator.fault("error", action=PLAIN_LOOK, code="InternalError", status=500, skip=1)
    assert site.lost(*machines) == [], "by one look alone"
    assert site.emulator.struck(number) > 0
    site.lift()
    site.emulator.forget_calls()
    assert site.lost(*machines) == ids(machines)
    looks = [each["params"] for each in site.emulator.calls(PLAIN_LOOK)]
    assert any("tag:hfplugin:request-id" in json.dumps(each) for each in looks)


def test_twelve_machines_that_are_interrupted_at_once_are_named(site: Site) -> None:
    machines = site.have(12, "spot")
    for machine in machines:
        site.emulator.interrupt(machine["machineId"])
    assert site.lost(*machines) == ids(machines)


# what is shown


def test_the_status_of_the_request_and_of_the_plug_in_show_the_notice(site: Site) -> None:
    request_id = site.hostfactory.request("spot", 2)
    [answer] = site.hostfactory.poll(request_id)
    taken, healthy = answer["machines"]
    site.emulator.interrupt(taken["machineId"])
    site.hostfactory.lost(taken, healthy)
    [answer] = site.hostfactory.poll(request_id)
    messages = {each["machineId"]: each["message"] for each in answer["machines"]}
    assert messages[taken["machineId"]].startswith("interruption, ends at ")
    assert "marked-for-termination" in messages[taken["machineId"]]
    assert messages[healthy["machineId"]] == ""
    assert {each["result"] for each in answer["machines"]} == {"succeed"}
    shown = call("status", "--json", environment=site.hostfactory.environment)
    [entry] = json.loads(shown.stdout)["takenBack"]
    assert (entry["machineId"], entry["kind"], entry["requestId"]) == (
        taken["machineId"],
        "interruption",
        request_id,
    )
    assert entry["message"] == messages[taken["machineId"]]


def test_each_region_is_heard_and_one_that_is_down_hides_only_its_own(site: Site) -> None:
    site.offer_away()
    site.emulator.configure(capacity={f"{REGION}/*/*": 2})
    home = site.have(2, "home")
    away = site.have(2, "away")
    hosts = [*home, *away]
    site.emulator.interrupt(home[0]["machineId"])
    site.emulator.interrupt(away[0]["machineId"])
    site.emulator.terminate(away[1]["machineId"])
    site.emulator.fault("refuse", region=AWAY)
    assert site.lost(*hosts) == [home[0]["machineId"]]
    site.lift()
    assert site.lost(*hosts) == sorted([home[0]["machineId"], *ids(away)])
