"""What goes wrong on command: which calls, how often, in what way, and whether they acted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from ec2_calls import launch, once, refusal

from hfplugin.emulator import Emulator

LOST = (ConnectionClosedError, EndpointConnectionError, ReadTimeoutError)


@pytest.fixture
def client(emulator: Emulator) -> Any:
    """A client that calls once."""
    return once(emulator)


@pytest.fixture
def hanging(emulator: Emulator) -> Iterator[int]:
    """A region that answers nothing for as long as the test runs."""
    yield emulator.fault("hang", region="eu-west-1")
    emulator.lift()


@pytest.mark.parametrize(
    ("service", "action", "params", "code", "status"),
    [
        ("ec2", "describe_instances", {}, "RequestLimitExceeded", 503),
        ("autoscaling", "describe_auto_scaling_groups", {}, "Throttling", 400),
        ("sts", "get_caller_identity", {}, "Throttling", 400),
        ("sqs", "list_queues", {}, "RequestThrottled", 400),
        ("ssm", "describe_parameters", {}, "ThrottlingException", 400),
        ("events", "list_rules", {}, "ThrottlingException", 400),
    ],
)
def test_each_service_throttles_with_its_own_code(
    service: str, action: str, params: dict[str, Any], code: str, status: int, emulator: Emulator
) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (RequestLimitExceeded),
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html (Throttling),
    https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html,
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html (RequestThrottled),
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html"""
    emulator.fault("throttle", service=service, times=1)
    client = once(emulator, service)
    refused = refusal(getattr(client, action), **params)
    assert (refused.code, refused.status) == (code, status)
    getattr(client, action)(**params)


def test_boto3_tries_a_throttled_call_again(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/boto3/latest/guide/retries.html: throttling codes are retried."""
    number = emulator.fault("throttle", action="DescribeInstances", times=1)
    emulator.ec2().describe_instances()
    assert emulator.struck(number) == 1
    assert [each["outcome"] for each in emulator.calls("DescribeInstances")] == ["RequestLimitExceeded", "ok"]


def test_an_error_is_answered_as_it_is_told(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    emulator.fault("error", action="RunInstances", code="InternalError", message="a disk fell off", status=500)
    refused = refusal(launch, client)
    assert refused == ("InternalError", "a disk fell off", 500)
    assert not emulator.machines()


def test_an_error_has_the_status_of_its_code(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html: server errors are of the
    500s."""
    for code, status in (("Unavailable", 503), ("UnauthorizedOperation", 403), ("InvalidParameterValue", 400)):
        number = emulator.fault("error", code=code)
        assert refusal(client.describe_instances).status == status
        emulator.lift(number)


def test_a_delayed_call_acts_and_answers_late(client: Any, emulator: Emulator) -> None:
    """Of the emulator: the answer is not before the delay is over."""
    emulator.fault("delay", action="RunInstances", seconds=0.3)
    begun = time.monotonic()
    assert launch(client)
    assert time.monotonic() - begun >= 0.3


def test_other_calls_are_answered_during_a_delay(emulator: Emulator) -> None:
    """Of the emulator: a delay holds up nobody else."""
    number = emulator.fault("delay", action="RunInstances", seconds=4)
    slow = threading.Thread(target=launch, args=(once(emulator),))
    slow.start()
    while not emulator.struck(number):
        time.sleep(0.01)
    once(emulator).describe_instances()
    assert slow.is_alive()
    emulator.lift(number)
    slow.join()
    assert len(emulator.machines()) == 1


def test_a_call_that_is_delayed_beyond_a_reset_does_not_act(emulator: Emulator) -> None:
    """Of the emulator: what the call was about is forgotten, and the next test is not to meet it."""
    number = emulator.fault("delay", action="RunInstances", seconds=60)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(launch, once(emulator))
        while not emulator.struck(number):
            time.sleep(0.01)
        emulator.reset()
        assert isinstance(call.exception(), ConnectionClosedError)
    assert not emulator.machines()


def test_a_call_that_is_dropped_before_has_not_acted(client: Any, emulator: Emulator) -> None:
    """Of the emulator: the caller cannot tell it from one that has."""
    emulator.fault("drop_before", action="RunInstances", times=1)
    with pytest.raises(ConnectionClosedError):
        launch(client)
    assert not emulator.machines()
    [call] = emulator.calls("RunInstances")
    assert (call["outcome"], call["has_acted"], call["params"]["MaxCount"]) == ("drop_before", False, 1)


def test_a_call_that_is_dropped_after_has_acted(client: Any, emulator: Emulator) -> None:
    """Of the emulator: the answer alone is lost."""
    emulator.fault("drop_after", action="RunInstances", times=1)
    with pytest.raises(ConnectionClosedError):
        launch(client)
    assert len(emulator.alive()) == 1
    [call] = emulator.calls("RunInstances")
    assert (call["outcome"], call["has_acted"]) == ("drop_after", True)


def test_a_call_that_hangs_after_has_acted(client: Any, emulator: Emulator) -> None:
    """Of the emulator: as drop_after, but the caller waits in vain."""
    emulator.fault("hang_after", action="RunInstances", seconds=0.2)
    with pytest.raises(ConnectionClosedError):
        launch(client)
    assert len(emulator.alive()) == 1
    [call] = emulator.calls("RunInstances")
    assert (call["outcome"], call["has_acted"]) == ("hang_after", True)


def test_boto3_gets_one_machine_from_a_launch_whose_answer_was_lost(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html: it retries under the same
    token."""
    emulator.fault("drop_after", action="RunInstances", times=1)
    machines = launch(emulator.ec2())
    assert [each.id for each in emulator.machines()] == machines


def test_a_refusal_can_be_lost_too(client: Any, emulator: Emulator) -> None:
    """Of the emulator: drop_after drops whatever would have been answered."""
    emulator.fault("drop_after", action="RunInstances")
    with pytest.raises(ConnectionClosedError):
        launch(client, KeyName="nobody")
    [call] = emulator.calls("RunInstances")
    assert (call["outcome"], call["has_acted"]) == ("drop_after", False)


@pytest.mark.parametrize("service", ["sqs", "ssm", "sts"])
def test_the_answers_of_other_services_are_dropped_as_well(service: str, emulator: Emulator) -> None:
    """Of the emulator: moto answers these, and the faults stand before it."""
    action = {"sqs": "list_queues", "ssm": "describe_parameters", "sts": "get_caller_identity"}[service]
    client = once(emulator, service)
    for kind in ("drop_before", "drop_after"):
        emulator.fault(kind, service=service, times=1)
        with pytest.raises(ConnectionClosedError):
            getattr(client, action)()
    getattr(client, action)()


def test_a_region_that_refuses_leaves_the_others_alone(emulator: Emulator) -> None:
    """Of the emulator: a region that is away."""
    emulator.fault("refuse", region="eu-west-1")
    with pytest.raises(LOST):
        once(emulator, region="eu-west-1").describe_instances()
    once(emulator).describe_instances()


def test_a_region_that_hangs_leaves_the_others_alone(hanging: int, emulator: Emulator) -> None:
    """Of the emulator: a region that takes calls and answers none, as in an outage."""
    from botocore.config import Config

    config = Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=1)
    with pytest.raises(ReadTimeoutError):
        emulator.client("ec2", "eu-west-1", config=config).describe_instances()
    once(emulator).describe_instances()
    assert emulator.struck(hanging) == 1


def test_a_hanging_call_ends_when_the_fault_is_lifted(hanging: int, emulator: Emulator) -> None:
    """Of the emulator: it ends without an answer."""
    threading.Timer(0.3, emulator.lift, (hanging,)).start()
    with pytest.raises(ConnectionClosedError):
        once(emulator, region="eu-west-1").describe_instances()


def test_a_hanging_call_ends_when_its_time_is_over(emulator: Emulator) -> None:
    """Of the emulator: `seconds` bounds a hang."""
    emulator.fault("hang", seconds=0.2)
    with pytest.raises(ConnectionClosedError):
        once(emulator).describe_instances()


def test_a_region_that_aws_does_not_have_refuses(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/general/latest/gr/ec2-service.html: there is no such endpoint."""
    with pytest.raises(LOST):
        once(emulator, region="mars-north-1").describe_instances()


def test_a_fault_strikes_its_action_service_and_region_alone(emulator: Emulator) -> None:
    """Of the emulator: patterns with *."""
    emulator.fault("throttle", action="Describe*", service="ec2", region="eu-*")
    home, away = once(emulator), once(emulator, region="us-east-1")
    assert refusal(home.describe_instances).code == "RequestLimitExceeded"
    away.describe_instances()
    assert launch(home)
    once(emulator, "autoscaling").describe_auto_scaling_groups()


def test_a_fault_strikes_so_many_times_after_so_many_calls(client: Any, emulator: Emulator) -> None:
    """Of the emulator: `skip`, then `times`."""
    number = emulator.fault("throttle", action="DescribeInstances", skip=2, times=3)
    outcomes = [_outcome(client) for _ in range(8)]
    assert outcomes == [True, True, False, False, False, True, True, True]
    assert emulator.struck(number) == 3


def test_a_share_of_calls_fails_by_the_seed(client: Any, emulator: Emulator) -> None:
    """Of the emulator: the same seed strikes the same calls."""
    runs = []
    for seed in (7, 7, 8):
        number = emulator.fault("throttle", action="DescribeInstances", share=0.5, seed=seed)
        runs.append([_outcome(client) for _ in range(20)])
        emulator.lift(number)
    assert runs[0] == runs[1] != runs[2]
    assert 3 < runs[0].count(False) < 17


def _outcome(client: Any) -> bool:
    try:
        client.describe_instances()
    except client.exceptions.ClientError:
        return False
    return True


def test_the_first_fault_that_fits_strikes_and_then_the_next(client: Any, emulator: Emulator) -> None:
    """Of the emulator: faults in the order in which they were set."""
    emulator.fault("error", code="InternalError", times=1)
    emulator.fault("error", code="Unavailable", times=1)
    assert [refusal(client.describe_instances).code for _ in range(2)] == ["InternalError", "Unavailable"]
    client.describe_instances()


def test_a_lifted_fault_strikes_no_more(client: Any, emulator: Emulator) -> None:
    """Of the emulator: one by its number, or all."""
    first = emulator.fault("error", code="InternalError")
    emulator.fault("error", code="Unavailable")
    emulator.lift(first)
    assert refusal(client.describe_instances).code == "Unavailable"
    emulator.lift()
    client.describe_instances()
