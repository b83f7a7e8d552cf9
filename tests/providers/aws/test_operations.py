"""Observing, releasing and finding machines, against an EC2 that keeps its own rules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import ACCOUNT, AWAY, HOME, LAUNCHED_AT, FakeAWS, FakeClients, FaultError, Instance

from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION, Emulator
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Machine, MachineState
from hfplugin.providers.aws import operations
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.provider import AWSProvider
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import (
    Context,
    Found,
    Host,
    Located,
    Observation,
    Outcome,
    Released,
    Sighting,
)

OTHER_ACCOUNT = "999988887777"
ABSENT = "i-0fffffffffffffff0"


def located(*instances: Instance) -> list[Located]:
    return [instance.located for instance in instances]


def absent(number: int, region: str = HOME, account: str = ACCOUNT) -> Located:
    return Located(f"i-f{number:016x}", region, account)


def found_by(clients: FakeClients, *hosts: Host) -> list[Found]:
    return operations.find_hosts(clients, hosts, "prod1")


class TestObserve:
    def test_machines_of_several_regions_are_seen_with_one_call_a_region(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        machines = [aws.add(), aws.add(), aws.add(AWAY)]
        view = operations.observe(clients, located(*machines))
        assert {id_: sighting.region for id_, sighting in view.seen.items()} == {
            machine.id: machine.region for machine in machines
        }
        assert (view.missing, view.failures) == (frozenset(), ())
        assert aws.call_count == {"DescribeInstances": 2}

    def test_nothing_to_observe_asks_nothing(self, aws: FakeAWS, clients: FakeClients) -> None:
        assert operations.observe(clients, []) == Observation()
        assert aws.calls == []

    def test_a_terminated_machine_is_seen_as_terminated(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add(state="terminated")
        seen = operations.observe(clients, located(machine)).seen[machine.id]
        assert (seen.state, seen.name, seen.private_ip) == (MachineState.TERMINATED, "", "")

    def test_ids_that_do_not_exist_are_missing_and_spoil_nothing(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(300)]
        gone = [absent(number) for number in range(300)]
        view = operations.observe(clients, [*located(*machines), *gone])
        assert set(view.seen) == {machine.id for machine in machines}
        assert view.missing == {machine.id for machine in gone}
        assert view.failures == ()
        # For each batch of 500 one call that fails, then filters of 200 ids.
        assert aws.call_count["DescribeInstances"] <= 1 + 3 + 1 + 1

    def test_malformed_ids_are_missing_without_being_asked_for(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add()
        odd = [Located(id_, HOME) for id_ in ("", "i-xyz", "host17", "i-0123456789abcdef0 ", "i-0,i-1")]
        view = operations.observe(clients, [machine.located, *odd])
        assert [*view.seen] == [machine.id]
        assert view.missing == {id_.id for id_ in odd}
        assert aws.called("DescribeInstances") == [{"InstanceIds": [machine.id]}]

    def test_a_machine_asked_for_twice_is_described_once(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add()
        assert [*operations.observe(clients, located(machine, machine)).seen] == [machine.id]
        assert aws.called("DescribeInstances") == [{"InstanceIds": [machine.id]}]

    def test_machines_are_described_500_at_a_time(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(1201)]
        assert len(operations.observe(clients, located(*machines)).seen) == 1201
        assert [len(call["InstanceIds"]) for call in aws.called("DescribeInstances")] == [500, 500, 201]

    def test_every_page_is_read(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.page_size = 7
        machines = [aws.add() for _ in range(20)]
        assert len(operations.observe(clients, located(*machines)).seen) == 20

    @pytest.mark.parametrize("home_first", [True, False])
    def test_a_region_that_is_down_leaves_only_its_own_machines_unobserved(
        self, aws: FakeAWS, clients: FakeClients, home_first: bool
    ) -> None:
        here, away = aws.add(), aws.add(AWAY)
        aws.dark.add(AWAY if home_first else HOME)
        view = operations.observe(clients, [*located(here, away), absent(1, AWAY if home_first else HOME)])
        assert [*view.seen] == [(here if home_first else away).id]
        assert view.missing == frozenset()
        [failure] = view.failures
        assert (failure.kind, failure.place) == (ErrorKind.TRANSIENT, AWAY if home_first else HOME)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [("RequestLimitExceeded", ErrorKind.THROTTLED), ("UnauthorizedOperation", ErrorKind.AUTH)],
    )
    def test_a_look_that_is_refused_makes_nothing_missing(
        self, aws: FakeAWS, clients: FakeClients, code: str, kind: ErrorKind
    ) -> None:
        aws.faults["DescribeInstances"] = [FaultError(code)]
        view = operations.observe(clients, located(*(aws.add() for _ in range(1200))))
        assert (view.seen, view.missing, [failure.kind for failure in view.failures]) == ({}, frozenset(), [kind])
        assert aws.call_count["DescribeInstances"] == 1

    def test_a_second_look_that_fails_makes_nothing_missing(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.faults["DescribeInstances"] = [FaultError("InvalidInstanceID.NotFound"), FaultError("Unavailable")]
        view = operations.observe(clients, [aws.add().located, absent(1)])
        assert (view.seen, view.missing, len(view.failures)) == ({}, frozenset(), 1)

    def test_not_found_in_another_account_is_not_missing(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add(owner=OTHER_ACCOUNT)
        view = operations.observe(clients, located(machine))
        assert (view.seen, view.missing) == ({}, frozenset())
        [failure] = view.failures
        assert (failure.kind, failure.code) == (ErrorKind.AUTH, "WrongAccount")
        assert OTHER_ACCOUNT in failure.message
        assert ACCOUNT in failure.message

    def test_not_found_while_the_account_cannot_be_told_is_not_missing(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        machine = aws.add()
        aws.faults["GetCallerIdentity"] = [FaultError("Unavailable", status=503)]
        view = operations.observe(clients, [machine.located, absent(1)])
        assert ([*view.seen], view.missing, len(view.failures)) == ([machine.id], frozenset(), 1)


class TestRelease:
    def test_machines_of_several_regions_go(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(), aws.add(AWAY)]
        released = operations.release(clients, located(*machines))
        assert released == Released(frozenset(machine.id for machine in machines))
        assert {machine.state for machine in machines} == {"shutting-down"}
        assert aws.call_count == {"TerminateInstances": 2}

    def test_releasing_again_changes_nothing(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(), aws.add(state="terminated")]
        first = operations.release(clients, located(*machines))
        assert operations.release(clients, located(*machines)) == first
        assert [machine.state for machine in machines] == ["shutting-down", "terminated"]

    def test_a_machine_named_twice_is_terminated_once(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add()
        operations.release(clients, located(machine, machine))
        assert aws.called("TerminateInstances") == [{"InstanceIds": [machine.id]}]

    def test_machines_are_terminated_500_at_a_time(self, aws: FakeAWS, clients: FakeClients) -> None:
        released = operations.release(clients, located(*(aws.add() for _ in range(1201))))
        assert len(released.going) == 1201
        assert sorted(len(call["InstanceIds"]) for call in aws.called("TerminateInstances")) == [201, 500, 500]

    def test_one_id_that_does_not_exist_spoils_nothing(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(499)]
        released = operations.release(clients, [*located(*machines), absent(1)])
        assert released.going == {machine.id for machine in machines}
        assert released.missing == {absent(1).id}
        assert released.refused == {}
        assert aws.call_count["TerminateInstances"] == 2

    def test_many_ids_that_do_not_exist_spoil_nothing(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(600)]
        gone = [absent(number) for number in range(600)]
        released = operations.release(clients, [*located(*machines), *gone])
        assert released.going == {machine.id for machine in machines}
        assert released.missing == {machine.id for machine in gone}
        assert released.refused == {}
        assert aws.call_count["TerminateInstances"] <= 6

    def test_not_found_that_names_nobody_is_searched_for(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(8)]
        aws.faults["TerminateInstances"] = [FaultError("InvalidInstanceID.NotFound", "some of them do not exist")]
        released = operations.release(clients, [*located(*machines), absent(1)])
        assert released.going == {machine.id for machine in machines}
        assert released.missing == {absent(1).id}

    def test_not_found_that_names_somebody_else_comes_to_an_end(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add() for _ in range(8)]
        aws.faults["TerminateInstances"] = [FaultError("InvalidInstanceID.NotFound", f"'{ABSENT}'")] * 3
        assert operations.release(clients, located(*machines)).going == {machine.id for machine in machines}

    def test_malformed_ids_are_missing_without_being_terminated(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add()
        released = operations.release(clients, [machine.located, Located("i-xyz", HOME), Located("", HOME)])
        assert released.going == {machine.id}
        assert released.missing == {"i-xyz", ""}
        assert aws.called("TerminateInstances") == [{"InstanceIds": [machine.id]}]

    def test_a_protected_machine_among_1200_is_refused_alone(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(zone="abc"[number % 3]) for number in range(1200)]
        machines[700].is_protected = True
        released = operations.release(clients, located(*machines))
        assert released.going == {machine.id for machine in machines} - {machines[700].id}
        [(refused, why)] = released.refused.items()
        assert (refused, why.kind, why.code) == (machines[700].id, ErrorKind.INVALID, "OperationNotPermitted")
        assert aws.call_count["TerminateInstances"] <= 5

    def test_a_refusal_that_names_nobody_is_halved_until_it_fits(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(zone=str(number)) for number in range(16)]
        machines[5].is_protected = True
        aws.faults["TerminateInstances"] = [FaultError("SomethingNew", "no")] * 3
        released = operations.release(clients, located(*machines))
        assert released.going == {machine.id for machine in machines} - {machines[5].id}
        assert [*released.refused] == [machines[5].id]

    def test_a_machine_that_a_policy_spares_does_not_spare_the_others(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        machines = [aws.add() for _ in range(100)]
        denied = f"not authorized on resource: arn:aws:ec2:{HOME}:{ACCOUNT}:instance/{machines[7].id}"
        aws.faults["TerminateInstances"] = [FaultError("UnauthorizedOperation", denied, 403)]
        released = operations.release(clients, located(*machines))
        assert released.going == {machine.id for machine in machines} - {machines[7].id}
        assert released.refused[machines[7].id].kind is ErrorKind.AUTH

    def test_refusals_without_end_are_left_to_the_next_call(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(is_protected=True) for _ in range(600)]
        released = operations.release(clients, located(*machines))
        assert aws.call_count["TerminateInstances"] == 50
        assert (released.going, released.missing) == (frozenset(), frozenset())
        assert 0 < len(released.refused) <= 50

    def test_many_protected_machines_do_not_starve_the_others(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(is_protected=number // 50 != 5) for number in range(500)]
        for _ in range(30):
            operations.release(clients, located(*(machine for machine in machines if machine.state == "running")))
        assert sum(machine.state == "shutting-down" for machine in machines) > 10

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("RequestLimitExceeded", ErrorKind.THROTTLED),
            ("Unavailable", ErrorKind.TRANSIENT),
            ("ExpiredToken", ErrorKind.AUTH),
        ],
    )
    def test_a_refusal_of_the_whole_region_is_asked_for_once(
        self, aws: FakeAWS, clients: FakeClients, code: str, kind: ErrorKind
    ) -> None:
        machines = [aws.add() for _ in range(1200)]
        aws.faults["TerminateInstances"] = [FaultError(code, status=503)]
        released = operations.release(clients, located(*machines))
        assert {id_: refusal.kind for id_, refusal in released.refused.items()} == {m.id: kind for m in machines}
        assert aws.call_count["TerminateInstances"] == 1
        assert {machine.state for machine in machines} == {"running"}

    def test_a_region_that_is_down_keeps_no_other_from_being_released(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        here, away = aws.add(), aws.add(AWAY)
        aws.dark.add(HOME)
        released = operations.release(clients, located(here, away))
        assert released.going == {away.id}
        assert released.refused[here.id].kind is ErrorKind.TRANSIENT

    def test_credentials_that_fail_are_a_refusal_of_each_machine(
        self, aws: FakeAWS, clients: FakeClients, tmp_path: Path
    ) -> None:
        aws.faults["AssumeRole"] = [FaultError("AccessDenied", status=403)]
        role = f"arn:aws:iam::{ACCOUNT}:role/grid"
        released = operations.release(FakeClients(aws, tmp_path, assume_role_arn=role), located(aws.add()))
        assert [refusal.kind for refusal in released.refused.values()] == [ErrorKind.AUTH]

    def test_not_found_in_another_account_is_a_refusal(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine, mine = aws.add(owner=OTHER_ACCOUNT), aws.add()
        released = operations.release(clients, located(machine, mine))
        assert released.going == {mine.id}
        assert released.missing == frozenset()
        assert released.refused[machine.id].code == "WrongAccount"
        assert machine.state == "running"


class TestFindHosts:
    def test_a_host_is_found_by_its_id_in_any_region(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add_ours(AWAY)
        [found] = found_by(clients, Host("whatever", machine.id))
        assert found.sighting is not None
        assert (found.sighting.id, found.sighting.region) == (machine.id, AWAY)
        assert (found.is_ours, found.is_complete) == (True, True)

    def test_a_host_without_an_id_is_found_by_its_private_name(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add_ours()
        [found] = found_by(clients, Host(machine.name, ""))
        assert found.sighting is not None
        assert (found.sighting.id, found.is_ours) == (machine.id, True)

    def test_an_id_counts_more_than_a_name(self, aws: FakeAWS, clients: FakeClients) -> None:
        named = aws.add_ours()
        [found] = found_by(clients, Host(named.name, ABSENT))
        assert found == Found(None, False, True)

    def test_answers_come_in_the_order_of_the_hosts(self, aws: FakeAWS, clients: FakeClients) -> None:
        one, other = aws.add_ours(), aws.add_ours(AWAY)
        hosts = [Host(other.name, ""), Host("", ABSENT), Host("", one.id), Host("nobody", ""), Host("", "x")]
        ids = [found.sighting and found.sighting.id for found in found_by(clients, *hosts)]
        assert ids == [other.id, None, one.id, None, None]

    @pytest.mark.parametrize(
        "labels",
        [
            {},
            {"hfplugin:provider": "prod2", "hfplugin:request-id": "req-1"},
            {"hfplugin:provider": "prod1"},
            {"hfplugin:request-id": "req-1"},
        ],
    )
    def test_a_machine_without_our_tags_is_not_ours(
        self, aws: FakeAWS, clients: FakeClients, labels: dict[str, str]
    ) -> None:
        machine = aws.add(labels=labels)
        for found in found_by(clients, Host("", machine.id), Host(machine.name, "")):
            assert found.sighting is not None
            assert not found.is_ours

    def test_of_two_machines_with_one_name_ours_is_meant(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(), aws.add_ours(), aws.add()]
        for machine in machines:
            machine.number = 1
        [found] = found_by(clients, Host(machines[1].name, ""))
        assert found.sighting is not None
        assert (found.sighting.id, found.is_ours) == (machines[1].id, True)

    def test_of_two_of_our_machines_with_one_name_the_live_one_is_meant(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        machines = [aws.add_ours(state=state) for state in ("shutting-down", "running", "shutting-down")]
        for machine in machines:
            machine.number = 1
        [found] = found_by(clients, Host(machines[1].name, ""))
        assert found.sighting is not None
        assert found.sighting.id == machines[1].id

    def test_nothing_is_concluded_while_a_region_is_down(self, aws: FakeAWS, clients: FakeClients) -> None:
        machine = aws.add_ours()
        aws.dark.add(AWAY)
        known, unknown = found_by(clients, Host("", machine.id), Host("", ABSENT))
        assert (known.sighting is not None, known.is_ours) == (True, True)
        assert unknown == Found(None, False, False)

    def test_a_search_that_no_region_answers_fails(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.dark.update((HOME, AWAY))
        with pytest.raises(ProviderError) as raised:
            found_by(clients, Host("", ABSENT))
        assert raised.value.kind is ErrorKind.TRANSIENT

    def test_a_search_for_many_takes_few_calls(self, aws: FakeAWS, clients: FakeClients) -> None:
        hosts = [Host("", absent(number).id) for number in range(1000)]
        hosts += [Host(f"ip-10-9-{number}", "") for number in range(400)]
        assert {found.sighting for found in found_by(clients, *hosts)} == {None}
        # In each of two regions: two batches of ids that fail and are filtered, two filters of names.
        assert aws.call_count["DescribeInstances"] == 2 * (2 * (1 + 3) + 2)


class TestFindRequest:
    def test_every_machine_of_the_request_is_found_in_every_region(
        self, aws: FakeAWS, clients: FakeClients
    ) -> None:
        machines = [aws.add_ours(), aws.add_ours(AWAY), aws.add_ours(state="terminated")]
        aws.add_ours(provider="prod2")
        aws.add()
        found = operations.find_requests(clients, ["req-1"], "prod1")
        assert {sighting.id for sighting in found} == {machine.id for machine in machines}
        assert {(sighting.template_id, sighting.attempt) for sighting in found} == {("small", 2)}
        assert operations.find_requests(clients, ["req-2"], "prod1") == []

    def test_every_page_is_read(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.page_size = 7
        machines = [aws.add_ours() for _ in range(20)]
        assert len(operations.find_requests(clients, ["req-1"], "prod1")) == len(machines)

    def test_a_search_that_misses_a_region_fails(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.add_ours()
        aws.dark.add(AWAY)
        with pytest.raises(ProviderError) as raised:
            operations.find_requests(clients, ["req-1"], "prod1")
        assert raised.value.kind is ErrorKind.TRANSIENT


class TestFindLaunched:
    @staticmethod
    def look(clients: FakeClients, account: str = ACCOUNT) -> Outcome:
        provider = AWSProvider(AWSSettings(region=HOME), Context("prod1", "abc", Cache("/nonexistent"), Health()))
        provider._clients = clients
        launch = Launch(1, "token-1", "RunInstances", HOME, account, "somewhere", {}, 1, 0.0)
        return provider.find_launched(launch, "req-1")

    def test_a_launch_is_found_by_its_token(self, aws: FakeAWS, clients: FakeClients) -> None:
        machines = [aws.add(token="token-1"), aws.add(token="token-1", state="terminated")]
        aws.add(token="token-2")
        aws.add(AWAY, token="token-1")
        found = self.look(clients)
        assert found.state is LaunchState.UNKNOWN  # what is visible may not be all yet
        assert {sighting.id for sighting in found.sightings} == {machine.id for machine in machines}

    def test_nothing_found_in_another_account_is_no_answer(self, aws: FakeAWS, clients: FakeClients) -> None:
        aws.add(token="token-1", owner=OTHER_ACCOUNT)
        with pytest.raises(ProviderError) as raised:
            self.look(clients, OTHER_ACCOUNT)
        assert raised.value.code == "WrongAccount"


class TestSighting:
    @staticmethod
    def read(**fields: Any) -> Sighting:
        return operations.sighting({"InstanceId": "i-1", "State": {"Name": "running"}, **fields}, ACCOUNT, HOME)

    def test_a_full_description_is_read(self) -> None:
        seen = self.read(
            PrivateDnsName="ip-10-0-0-1.internal",
            PrivateIpAddress="10.0.0.1",
            PublicIpAddress="192.0.2.1",
            LaunchTime=LAUNCHED_AT,
            InstanceType="m5.large",
            InstanceLifecycle="spot",
            Placement={"AvailabilityZone": "eu-central-1a"},
            Tags=[
                {"Key": "hfplugin:provider", "Value": "prod1"},
                {"Key": "hfplugin:request-id", "Value": "req-1"},
                {"Key": "hfplugin:template-id", "Value": "small"},
                {"Key": "hfplugin:attempt", "Value": "3"},
            ],
        )
        assert seen == Sighting(
            id="i-1",
            state=MachineState.RUNNING,
            region=HOME,
            account=ACCOUNT,
            name="ip-10-0-0-1.internal",
            private_ip="10.0.0.1",
            public_ip="192.0.2.1",
            launch_time=int(LAUNCHED_AT.timestamp()),
            machine_type="m5.large",
            price_type="spot",
            zone="eu-central-1a",
            request_id="req-1",
            template_id="small",
            provider_name="prod1",
            attempt=3,
        )

    def test_what_is_not_there_yet_is_empty(self) -> None:
        assert self.read() == Sighting("i-1", MachineState.RUNNING, HOME, ACCOUNT)

    @pytest.mark.parametrize("lifecycle", ["scheduled", "capacity-block"])
    def test_only_spot_is_spot(self, lifecycle: str) -> None:
        assert self.read(InstanceLifecycle=lifecycle).price_type == "ondemand"

    @pytest.mark.parametrize("attempt", ["", "x", "-1", "1.5", "²"])
    def test_an_attempt_that_is_no_number_is_none(self, attempt: str) -> None:
        assert self.read(Tags=[{"Key": "hfplugin:attempt", "Value": attempt}]).attempt == 0

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ({}, ""),
            ({"Code": "", "Message": ""}, ""),
            ({"Code": "Server.InternalError"}, "Server.InternalError"),
            ({"Message": "Something"}, "Something"),
            (
                {
                    "Code": "Server.SpotInstanceTermination",
                    "Message": "Server.SpotInstanceTermination: Instance terminated: no Spot capacity",
                },
                "Server.SpotInstanceTermination: Instance terminated: no Spot capacity",
            ),
            (
                {"Code": "Client.VolumeLimitExceeded", "Message": "Volume limit exceeded"},
                "Client.VolumeLimitExceeded: Volume limit exceeded",
            ),
        ],
    )
    def test_the_reason_is_said_once(self, reason: dict[str, str], expected: str) -> None:
        assert self.read(StateReason=reason).reason == expected

    @pytest.mark.parametrize("state", [*MachineState])
    def test_every_state_of_ec2_is_known(self, state: str) -> None:
        assert self.read(State={"Name": state}).state == state


@pytest.mark.parametrize("answer", [{}, {"Reservations": [{"Instances": [{"State": {"Name": "haunted"}}]}]}])
def test_an_answer_that_is_not_awss_leaves_the_machines_unobserved(
    clients: FakeClients, aws: FakeAWS, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr(aws, "answer", lambda operation, region, parameters: answer)
    view = operations.observe(clients, [Located("i-0123456789abcdef0", HOME)])
    assert (view.seen, view.missing) == ({}, frozenset())
    assert [failure.kind for failure in view.failures] == [ErrorKind.TRANSIENT]


class TestLackAtBoot:
    """Machines that EC2 took for launched and ended at once, because it had no room for them."""

    CODE = "Server.InsufficientInstanceCapacity"
    TEXT = "Insufficient capacity to satisfy instance request"

    @pytest.fixture
    def health(self) -> Health:
        return Health()

    @pytest.fixture
    def provider(
        self,
        emulator: Emulator,
        health: Health,
        tmp_path: Path,
        credentials: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AWSProvider:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        settings = AWSSettings(region=REGION, endpoint_url=emulator.url)
        return AWSProvider(settings, Context("prod1", "abc", Cache(str(tmp_path / "cache")), health))

    @staticmethod
    def launch(emulator: Emulator, subnet: str, **params: Any) -> Located:
        one: Any = {"ImageId": IMAGE_ID, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
        answer = emulator.ec2().run_instances(**one, SubnetId=subnet, **params)
        return Located(answer["Instances"][0]["InstanceId"], REGION, answer["OwnerId"])

    def end(self, emulator: Emulator, *machines: Located, code: str = CODE, shutdown_seconds: float = 0) -> None:
        emulator.configure(shutdown_seconds=shutdown_seconds)
        emulator.terminate(*(machine.id for machine in machines), code=code, text=self.TEXT)
        emulator.advance(1)
        emulator.forget_calls()

    @pytest.mark.parametrize("shutdown_seconds", [0, 600])  # it has gone, or is about to
    def test_their_pool_is_remembered(
        self,
        emulator: Emulator,
        provider: AWSProvider,
        health: Health,
        subnets: list[str],
        shutdown_seconds: float,
    ) -> None:
        machines = [self.launch(emulator, subnet) for subnet in subnets[:2]]
        self.end(emulator, machines[0], shutdown_seconds=shutdown_seconds)
        view = provider.observe(machines)
        assert len(view.seen) == 2
        assert view.failures == ()
        [(key, refused)] = health.refused.in_force().items()
        assert key == f"{REGION}/ondemand/m5.large/{subnets[0]}"
        assert refused.reason == f"InsufficientInstanceCapacity in {REGION}a: {self.TEXT}"

    def test_a_spot_pool_is_another(
        self, emulator: Emulator, provider: AWSProvider, health: Health, subnets: list[str]
    ) -> None:
        machine = self.launch(emulator, subnets[1], InstanceMarketOptions={"MarketType": "spot"})
        self.end(emulator, machine)
        provider.observe([machine])
        assert list(health.refused.in_force()) == [f"{REGION}/spot/m5.large/{subnets[1]}"]

    def test_every_subnet_of_the_zone_has_the_pool(
        self, emulator: Emulator, provider: AWSProvider, health: Health, subnets: list[str]
    ) -> None:
        zone, vpc = f"{REGION}a", emulator.ec2().create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        more = emulator.ec2().create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=zone)["Subnet"]
        machines = [self.launch(emulator, subnets[0]) for _ in range(3)]
        self.end(emulator, *machines)
        provider.observe(machines)
        keys = {f"{REGION}/ondemand/m5.large/{subnet}" for subnet in (subnets[0], more["SubnetId"])}
        assert set(health.refused.in_force()) == keys
        assert [call["action"] for call in emulator.calls()] == ["DescribeInstances", "DescribeSubnets"]

    @pytest.mark.parametrize(
        "code",
        ["", "Server.SpotInstanceTermination", "Server.InternalError", "Client.VolumeLimitExceeded", "Server.New"],
    )
    def test_other_ends_are_nothing_to_remember_and_cost_no_call(
        self, emulator: Emulator, provider: AWSProvider, health: Health, subnets: list[str], code: str
    ) -> None:
        machine = self.launch(emulator, subnets[0])
        self.end(emulator, machine, code=code)
        assert provider.observe([machine]).seen[machine.id].state == "terminated"
        assert health.refused.in_force() == {}
        assert [call["action"] for call in emulator.calls()] == ["DescribeInstances"]

    @pytest.mark.parametrize(
        "params", [{"Placement": {"GroupName": "grid"}}, {"Placement": {"Tenancy": "dedicated"}}]
    )
    def test_what_a_machine_of_a_particular_kind_lacks_others_may_have(
        self,
        emulator: Emulator,
        provider: AWSProvider,
        health: Health,
        subnets: list[str],
        params: dict[str, Any],
    ) -> None:
        if "GroupName" in params["Placement"]:
            emulator.ec2().create_placement_group(GroupName="grid", Strategy="cluster")
        machine = self.launch(emulator, subnets[0], **params)
        self.end(emulator, machine)
        provider.observe([machine])
        assert health.refused.in_force() == {}

    def test_a_lack_of_long_ago_is_no_news(
        self,
        emulator: Emulator,
        provider: AWSProvider,
        health: Health,
        subnets: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        machine = self.launch(emulator, subnets[0])
        self.end(emulator, machine)
        launched = provider.observe([machine]).seen[machine.id].launch_time
        health.refused.forget(list(health.refused.in_force()))
        monkeypatch.setattr(time, "time", lambda: launched + 181.0)
        provider.observe([machine])
        assert health.refused.in_force() == {}

    def test_a_zone_that_cannot_be_looked_up_leaves_the_machines_observed(
        self, emulator: Emulator, provider: AWSProvider, health: Health, subnets: list[str]
    ) -> None:
        machine = self.launch(emulator, subnets[0])
        self.end(emulator, machine)
        emulator.fault("error", action="DescribeSubnets", code="UnauthorizedOperation", status=403)
        view = provider.observe([machine])
        assert (list(view.seen), view.failures) == ([machine.id], ())
        assert health.refused.in_force() == {}

    def test_the_machine_says_why(self, emulator: Emulator, provider: AWSProvider, subnets: list[str]) -> None:
        machine = self.launch(emulator, subnets[0])
        before = Machine.first(provider.observe([machine]).seen[machine.id], 1, 1)
        self.end(emulator, machine)
        after = before.seen(provider.observe([machine]).seen[machine.id])
        assert after.message == f"terminated without being returned: {self.CODE}: {self.TEXT}"
