"""What AWS takes back, heard from each source alone and from all of them, on the emulator.

Sources: as in hfplugin.providers.aws.interruption.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, seen
from event_queue import Mailbox, event, warning

from hfplugin.emulator import REGION, Emulator
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.interruption import looks, queue
from hfplugin.providers.aws.provider import AWSProvider
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Located, NoticeKind, Reclaimed

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

AWAY = "us-west-2"
FOREIGN = "i-0fffffffffffffff0"
QUEUE_SECONDS = 2.0
SPOT_LOOK = "DescribeSpotInstanceRequests"
EVENT_LOOK = "DescribeInstanceStatus"
PLACE = "aws.interruptionQueueUrl"


@pytest.fixture
def mailbox(emulator: Emulator) -> Mailbox:
    return Mailbox(emulator)


@pytest.fixture
def health(tmp_path: Path) -> Health:
    return Health(str(tmp_path / "health"))


@pytest.fixture
def provider(tmp_path: Path, emulator: Emulator, health: Health, credentials: None) -> Callable[..., AWSProvider]:
    """Make a provider with a queue's URL or, without it, none."""

    def make(url: str = "", **settings: Any) -> AWSProvider:
        known: dict[str, Any] = {"region": REGION, "endpoint_url": emulator.url, "interruption_queue_url": url}
        cache = Cache(str(tmp_path / "cache"))
        return AWSProvider(AWSSettings(**{**known, **settings}), Context("prod1", "abc", cache, health))

    return make


Make = Callable[..., AWSProvider]


def located(*machines: str, region: str = REGION) -> list[Located]:
    return [Located(each, region) for each in machines]


def told(found: Reclaimed) -> list[tuple[str, str]]:
    return sorted((each.machine_id, str(each.kind)) for each in found.notices)


def deaf(emulator: Emulator, *actions: str) -> None:
    """Let the looks at EC2 fail, so that a queue is the only source."""
    for action in actions or (SPOT_LOOK, EVENT_LOOK):
        emulator.fault("error", action=action, code="UnauthorizedOperation", message="no", status=403)


def look_counts(emulator: Emulator) -> Counter[str]:
    return Counter(call["action"] for call in emulator.calls())


class TestEachSourceAlone:
    def test_a_spot_notice_in_the_queue(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        doomed, healthy = launch(ec2, 2, **SPOT)
        deaf(emulator)
        emulator.interrupt(doomed)
        found = provider(mailbox.url).reclaimed(located(doomed, healthy))
        [notice] = found.notices
        assert (notice.machine_id, notice.kind) == (doomed, NoticeKind.INTERRUPTION)
        assert notice.told_at == pytest.approx(emulator.advance(0), abs=10)
        assert notice.ends_at == notice.told_at + 120
        assert [each.code for each in found.failures] == ["UnauthorizedOperation"] * 2

    @pytest.mark.parametrize("is_direct", [False, True], ids=["marked", "direct"])
    def test_the_status_of_a_spot_request(
        self, is_direct: bool, ec2: EC2Client, emulator: Emulator, provider: Make
    ) -> None:
        doomed, healthy = launch(ec2, 2, **SPOT)
        emulator.interrupt(doomed, is_direct=is_direct)
        assert seen(ec2)[0]["State"]["Name"] == "running"
        found = provider().reclaimed(located(doomed, healthy))
        [notice] = found.notices
        assert (notice.machine_id, notice.kind) == (doomed, NoticeKind.INTERRUPTION)
        assert notice.ends_at == notice.told_at + 120
        assert notice.told_at == pytest.approx(emulator.advance(0), abs=10)
        assert "no Spot capacity available" in notice.reason
        assert (found.receipts, found.failures) == ((), ())

    @pytest.mark.parametrize("code", ["instance-retirement", "instance-stop"])
    def test_a_scheduled_event(self, code: str, ec2: EC2Client, emulator: Emulator, provider: Make) -> None:
        doomed, healthy = launch(ec2, 2)
        emulator.schedule(doomed, code, seconds=7200)
        [notice] = provider().reclaimed(located(doomed, healthy)).notices
        assert (notice.machine_id, notice.kind) == (doomed, NoticeKind.MAINTENANCE)
        assert notice.ends_at == pytest.approx(emulator.advance(0) + 7200, abs=10)
        assert notice.told_at <= time.time()
        assert code in notice.reason

    @pytest.mark.parametrize("code", ["instance-reboot", "system-reboot", "system-maintenance"])
    def test_an_event_that_leaves_the_machine_is_none(
        self, code: str, ec2: EC2Client, emulator: Emulator, provider: Make
    ) -> None:
        [machine] = launch(ec2)
        emulator.schedule(machine, code)
        assert provider().reclaimed(located(machine)) == Reclaimed()

    def test_an_event_that_was_called_off_is_none(
        self, ec2: EC2Client, emulator: Emulator, provider: Make
    ) -> None:
        [machine] = launch(ec2)
        emulator.schedule(machine, "instance-retirement")
        emulator.call_off(machine)
        assert provider().reclaimed(located(machine)) == Reclaimed()

    def test_an_event_that_is_completed_is_none(self, ec2: EC2Client, emulator: Emulator, provider: Make) -> None:
        [machine] = launch(ec2)
        emulator.schedule(machine, "instance-stop", seconds=1)
        emulator.advance(2)
        ec2.start_instances(InstanceIds=[machine])
        assert seen(ec2)[0]["State"]["Name"] == "running"
        assert provider().reclaimed(located(machine)) == Reclaimed()

    def test_a_machine_that_was_ended_outside(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        gone, stopped, healthy = launch(ec2, 3)
        emulator.terminate(gone)
        emulator.stop(stopped)
        found = provider(mailbox.url).reclaimed(located(gone, stopped, healthy))
        assert told(found) == sorted([(gone, "gone"), (stopped, "gone")])
        assert {each.ends_at for each in found.notices} == {0.0}

    def test_a_change_of_aws_health_concerns_several_machines_in_one_message(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        first, second, healthy = launch(ec2, 3)
        mailbox.empty()
        detail = {
            "service": "EC2",
            "eventTypeCode": "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED",
            "eventTypeCategory": "scheduledChange",
            "startTime": "Mon, 30 Nov 2026 13:00:00 GMT",
            "affectedEntities": [{"entityValue": each, "status": "PENDING"} for each in (first, second)],
        }
        emulator.event("aws.health", "AWS Health Event", detail, resources=(first, second))
        found = provider(mailbox.url).reclaimed(located(first, second, healthy))
        assert told(found) == sorted([(first, "maintenance"), (second, "maintenance")])
        assert len(found.receipts) == 1

    def test_a_capacity_block_that_expires_takes_the_machines_in_it(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        block = ec2.create_capacity_reservation(
            InstanceType="m5.large",
            InstancePlatform="Linux/UNIX",
            AvailabilityZone=f"{REGION}a",
            InstanceCount=2,
            InstanceMatchCriteria="targeted",
        )["CapacityReservation"]["CapacityReservationId"]
        target = {"CapacityReservationTarget": {"CapacityReservationId": block}}
        inside = launch(
            ec2, 2, CapacityReservationSpecification=target, Placement={"AvailabilityZone": f"{REGION}a"}
        )
        [outside] = launch(ec2)
        mailbox.empty()
        detail = {"capacity-reservation-id": block, "end-date": "2026-11-30T12:00:00Z"}
        emulator.event("aws.ec2", "Capacity Block Expiration Warning", detail)
        found = provider(mailbox.url).reclaimed(located(*inside, outside))
        assert told(found) == sorted((each, "interruption") for each in inside)
        assert len(found.receipts) == 1

    def test_a_groups_termination_that_is_held_up(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2)
        mailbox.empty()
        detail = {"EC2InstanceId": machine, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
        emulator.event("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", detail)
        assert told(provider(mailbox.url).reclaimed(located(machine))) == [(machine, "interruption")]


class TestTogether:
    def test_healthy_machines_are_never_named(self, ec2: EC2Client, mailbox: Mailbox, provider: Make) -> None:
        machines = [*launch(ec2, 3), *launch(ec2, 3, **SPOT)]
        found = provider(mailbox.url).reclaimed(located(*machines))
        assert (found.notices, found.failures) == ((), ())

    def test_no_machines_ask_nothing(self, emulator: Emulator, mailbox: Mailbox, provider: Make) -> None:
        emulator.forget_calls()
        assert provider(mailbox.url).reclaimed([]) == Reclaimed()
        assert emulator.calls() == []

    def test_one_notice_of_a_kind_with_the_earliest_end(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        emulator.interrupt(machine)
        mailbox.send(warning(machine, "2026-01-01T00:00:30Z"), warning(machine, "2026-01-01T00:00:00Z"))
        [notice] = provider(mailbox.url).reclaimed(located(machine)).notices
        assert notice.ends_at - notice.told_at == 120
        assert time.strftime("%FT%TZ", time.gmtime(notice.told_at)) == "2026-01-01T00:00:00Z"

    def test_what_is_said_of_one_kind_does_not_hide_another(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        emulator.schedule(machine, "instance-retirement")
        emulator.interrupt(machine, notice_seconds=60)
        emulator.advance(61)
        kinds = [kind for _, kind in told(provider(mailbox.url).reclaimed(located(machine)))]
        assert kinds == ["gone", "interruption"]  # DescribeInstanceStatus shows only what runs

    @pytest.mark.parametrize("is_wanted", [False, True])
    def test_a_recommendation_is_told_only_to_those_who_want_it(
        self, is_wanted: bool, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        mailbox.empty()
        emulator.rebalance(machine)
        asked = provider(mailbox.url, return_on_rebalance=is_wanted)
        found = asked.reclaimed(located(machine))
        assert told(found) == ([(machine, "rebalance")] if is_wanted else [])
        asked.acknowledge(found.receipts)
        assert mailbox.counts == (0, 0)

    def test_each_region_is_asked_for_its_own_machines(self, emulator: Emulator, provider: Make) -> None:
        here, there = emulator.ec2(), emulator.ec2(AWAY)
        [near], [far] = launch(here, **SPOT), launch(there, **SPOT)
        emulator.interrupt(near)
        emulator.interrupt(far)
        emulator.forget_calls()
        found = provider().reclaimed([*located(near), *located(far, region=AWAY)])
        assert told(found) == sorted([(near, "interruption"), (far, "interruption")])
        assert look_counts(emulator) == {SPOT_LOOK: 2, EVENT_LOOK: 2}

    def test_a_region_that_does_not_answer_keeps_the_others_words(
        self, emulator: Emulator, provider: Make
    ) -> None:
        [near], [far] = launch(emulator.ec2(), **SPOT), launch(emulator.ec2(AWAY), **SPOT)
        emulator.interrupt(near)
        emulator.interrupt(far)
        emulator.fault("refuse", region=AWAY)
        found = provider().reclaimed([*located(near), *located(far, region=AWAY)])
        assert told(found) == [(near, "interruption")]
        assert {each.place for each in found.failures} == {AWAY}

    def test_five_thousand_machines_cost_as_many_calls_as_one(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        crowd = located(*(f"i-{number:017x}" for number in range(5000)))
        emulator.forget_calls()
        before = time.process_time()
        assert provider(mailbox.url).reclaimed(crowd) == Reclaimed()
        assert time.process_time() - before < 5
        assert look_counts(emulator) == {SPOT_LOOK: 1, EVENT_LOOK: 1, "ReceiveMessage": 2}

    def test_all_pages_are_read(
        self, ec2: EC2Client, emulator: Emulator, provider: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looks, "_PAGE", 5)
        spot, retired = launch(ec2, 7, **SPOT), launch(ec2, 6)
        for machine in spot:
            emulator.interrupt(machine)
        for machine in retired:
            emulator.schedule(machine, "instance-retirement")
        found = provider().reclaimed(located(*spot, *retired))
        assert Counter(kind for _, kind in told(found)) == {"interruption": 7, "maintenance": 6}
        assert found.failures == ()

    def test_a_crowd_of_others_is_not_read_to_its_end(
        self, ec2: EC2Client, emulator: Emulator, provider: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looks, "_PAGE", 5)
        *crowd, ours = launch(ec2, 21, **SPOT)
        for machine in crowd:
            emulator.interrupt(machine)
        emulator.forget_calls()
        found = provider().reclaimed(located(crowd[0], ours))
        assert told(found) == [(crowd[0], "interruption")]
        assert [(each.code, each.place) for each in found.failures] == [("TooMany", REGION)]
        assert look_counts(emulator)[SPOT_LOOK] == 2


class TestQueue:
    def test_what_is_acknowledged_is_deleted_and_nothing_else(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        machines = launch(ec2, 13, **SPOT)
        mailbox.empty()
        mailbox.send(*(warning(machine) for machine in machines))
        asked = provider(mailbox.url)
        found = asked.reclaimed(located(*machines))
        assert len(found.receipts) == 13
        assert mailbox.counts == (0, 13)
        asked.acknowledge(found.receipts[:12])
        assert mailbox.counts == (0, 1)

    def test_what_is_not_acknowledged_comes_again(
        self, ec2: EC2Client, mailbox: Mailbox, provider: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queue, "_HIDDEN_SECONDS", 1)
        [machine] = launch(ec2)
        mailbox.empty()
        mailbox.send(warning(machine))
        first = provider(mailbox.url).reclaimed(located(machine))
        time.sleep(1.2)
        second = provider(mailbox.url).reclaimed(located(machine))
        assert first.notices == second.notices != ()
        assert second.receipts

    def test_words_about_others_machines_are_left_for_them_at_once(self, mailbox: Mailbox, provider: Make) -> None:
        mailbox.send(warning(FOREIGN), json.dumps({"detail-type": "Order placed", "source": "shop"}))
        found = provider(mailbox.url).reclaimed(located("i-00000000000000001"))
        assert found == Reclaimed()
        assert mailbox.counts == (2, 0)

    def test_a_message_that_is_also_about_others_is_told_and_left(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        ours = "i-00000000000000001"
        detail = {
            "service": "EC2",
            "eventTypeCode": "AWS_EC2_INSTANCE_STOP_SCHEDULED",
            "eventTypeCategory": "scheduledChange",
            "startTime": "Mon, 30 Nov 2026 13:00:00 GMT",
            "affectedEntities": [{"entityValue": each} for each in (ours, FOREIGN)],
        }
        emulator.event("aws.health", "AWS Health Event", detail)
        found = provider(mailbox.url).reclaimed(located(ours))
        assert (told(found), found.receipts) == ([(ours, "maintenance")], ())
        assert mailbox.counts == (1, 0)

    def test_garbage_harms_nobody_and_is_let_go(self, mailbox: Mailbox, provider: Make) -> None:
        ours = "i-00000000000000001"
        mailbox.send("hello", "[]", warning(ours)[:50], warning(ours), "{")
        asked = provider(mailbox.url)
        found = asked.reclaimed(located(ours))
        assert told(found) == [(ours, "interruption")]
        asked.acknowledge(found.receipts)
        assert mailbox.counts == (0, 0)

    def test_duplicates_in_any_order_are_one_notice(self, mailbox: Mailbox, provider: Make) -> None:
        ours = "i-00000000000000001"
        running = event("EC2 Instance State-change Notification", ours, state="running")
        stopped = event("EC2 Instance State-change Notification", ours, state="stopped")
        mailbox.send(stopped, warning(ours), running, warning(ours), stopped)
        found = provider(mailbox.url).reclaimed(located(ours))
        assert told(found) == [(ours, "gone"), (ours, "interruption")]
        assert len(found.receipts) == 5

    def test_two_hundred_messages_are_taken_and_the_others_wait(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queue, "_MOST_MESSAGES", 20)
        ours = "i-00000000000000001"
        mailbox.send(*[warning(ours)] * 33)
        found = provider(mailbox.url).reclaimed(located(ours))
        assert len(found.receipts) == 20
        assert mailbox.counts == (13, 20)

    def test_a_capacity_block_whose_machines_cannot_be_looked_up_is_heard_again(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        detail = {"capacity-reservation-id": "cr-0123456789abcdef0", "end-date": "2026-11-30T12:00:00Z"}
        emulator.event("aws.ec2", "Capacity Block Expiration Warning", detail)
        deaf(emulator, "DescribeInstances")
        found = provider(mailbox.url).reclaimed(located("i-00000000000000001"))
        assert (found.notices, found.receipts) == ((), ())
        assert [each.code for each in found.failures] == ["UnauthorizedOperation"]
        assert mailbox.counts == (1, 0)

    @pytest.mark.parametrize(
        ("kind", "fault"),
        [
            ("error", {"code": "AccessDenied", "message": "no", "status": 403}),
            ("error", {"code": "InternalError", "message": "no", "status": 500}),
            ("throttle", {}),
            ("refuse", {}),
            ("drop_after", {}),
            ("hang", {}),
            ("hang_after", {}),
        ],
        ids=lambda value: value if isinstance(value, str) else value.get("code", ""),
    )
    def test_a_queue_that_fails_is_a_failure_and_nothing_else_suffers(
        self, kind: str, fault: Any, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        emulator.interrupt(machine)
        emulator.fault(kind, service="sqs", **fault)
        asked = provider(mailbox.url)
        began = time.monotonic()
        found = asked.reclaimed(located(machine))
        asked.acknowledge(["receipt"])
        assert time.monotonic() - began < QUEUE_SECONDS + 10  # one client time-out too many would be 20
        assert told(found) == [(machine, "interruption")]
        assert [each.place for each in found.failures] == [PLACE]

    def test_a_queue_that_is_gone_is_a_failure(
        self, ec2: EC2Client, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        emulator.interrupt(machine)
        mailbox.remove()
        found = provider(mailbox.url).reclaimed(located(machine))
        assert told(found) == [(machine, "interruption")]
        [failure] = found.failures
        assert (failure.place, failure.code) == (PLACE, "AWS.SimpleQueueService.NonExistentQueue")

    def test_a_slow_queue_takes_no_more_than_its_time(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        ours = "i-00000000000000001"
        asked = provider(mailbox.url)
        asked.reclaimed(located(ours))  # the clients are made
        mailbox.send(*[warning(ours), warning(FOREIGN)] * 20)
        emulator.fault("delay", service="sqs", seconds=0.7)  # to receive, to put back, to delete
        began = time.monotonic()
        found = asked.reclaimed(located(ours))
        asked.acknowledge(found.receipts)
        assert time.monotonic() - began < QUEUE_SECONDS + 5  # the machine has more to do
        assert told(found) == [(ours, "interruption")]
        assert found.failures == ()

    def test_what_there_is_no_time_to_delete_is_not_deleted_later(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        ours = "i-00000000000000001"
        mailbox.send(*[warning(ours)] * 60)
        asked = provider(mailbox.url)
        found = asked.reclaimed(located(ours))
        emulator.fault("delay", service="sqs", seconds=0.3)
        asked.acknowledge(found.receipts)
        time.sleep(1)
        assert 1 <= look_counts(emulator)["DeleteMessageBatch"] <= 2

    def test_nothing_to_acknowledge_asks_nothing(
        self, emulator: Emulator, mailbox: Mailbox, provider: Make
    ) -> None:
        emulator.forget_calls()
        provider(mailbox.url).acknowledge([])
        provider().acknowledge(["of a queue that was configured before"])
        assert emulator.calls() == []


class TestRefusedCapacity:
    def pools(self, health: Health) -> list[str]:
        return sorted(health.refused.in_force())

    def test_the_pool_of_an_interrupted_machine_is_remembered(
        self, ec2: EC2Client, emulator: Emulator, health: Health, provider: Make
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        subnet = seen(ec2)[0]["SubnetId"]
        emulator.interrupt(machine)
        provider().reclaimed(located(machine))
        assert self.pools(health) == [f"{REGION}/spot/m5.large/{subnet}"]

    def test_the_pool_of_somebody_elses_machine_is_not(
        self, ec2: EC2Client, emulator: Emulator, health: Health, provider: Make
    ) -> None:
        doomed, ours = launch(ec2, 2, **SPOT)
        emulator.interrupt(doomed)
        provider().reclaimed(located(ours))
        assert self.pools(health) == []

    def test_an_interruption_of_long_ago_says_nothing_of_the_pool(
        self,
        ec2: EC2Client,
        emulator: Emulator,
        health: Health,
        provider: Make,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        [machine] = launch(ec2, **SPOT)
        emulator.interrupt(machine)
        monkeypatch.setattr(looks, "CAPACITY_SECONDS", -1e9)  # as if long had passed: other tests move AWS's clock
        assert told(provider().reclaimed(located(machine))) == [(machine, "interruption")]
        assert self.pools(health) == []

    def test_what_only_this_machine_lacked_says_nothing_of_the_pool(
        self, ec2: EC2Client, emulator: Emulator, health: Health, provider: Make
    ) -> None:
        request = {
            "Status": {"Code": "marked-for-termination"},
            "LaunchSpecification": {"InstanceType": "m5.large", "Placement": {"AvailabilityZone": "a"}},
        }
        assert looks._is_lack(request)
        particular: list[dict[str, Any]] = [
            {"Status": {"Code": "instance-terminated-by-price"}},
            {"LaunchSpecification": {"InstanceType": "m5.large", "Placement": {"GroupName": "close"}}},
            {"LaunchSpecification": {"InstanceType": "m5.large", "Placement": {"Tenancy": "dedicated"}}},
            {"LaunchSpecification": {}},
        ]
        assert not any(looks._is_lack({**request, **each}) for each in particular)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.us-west-2.amazonaws.com/123456789012/hf-prod1-interruption", "us-west-2"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/q", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://sqs.ap-southeast-2.api.aws/123456789012/q", "ap-southeast-2"),
        ("https://vpce-0a1b2c3d-4e5f.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q", "eu-west-1"),
        ("https://eu-central-1.queue.amazonaws.com/123456789012/q", "eu-central-1"),
        ("https://queue.amazonaws.com/123456789012/q", "us-east-1"),
        ("http://127.0.0.1:5000/123456789012/q", ""),
        ("hf-prod1-interruption", ""),
        ("https://[sqs.us-west-2.amazonaws.com/q", ""),
    ],
)
def test_a_queues_url_names_its_region(url: str, region: str) -> None:
    assert queue.region_of(url) == region
