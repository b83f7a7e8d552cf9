"""What stands before every call to AWS: calls that would fail are not made, by no process."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.httpsession import URLLib3Session
from fake_ec2 import HOME
from loopback import failing, serving

from hfplugin.clock import Clock
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import AWS_ERRORS, NotAskedError, translate
from hfplugin.providers.aws.handlers.sending import refused
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health

THROTTLED = (503, "RequestLimitExceeded")
DOWN = (503, "Unavailable")
FULL = (500, "InsufficientInstanceCapacity")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the small copies of botocore's files are: made once, they save each client half a second."""
    return str(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def _plain(credentials: None, monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    prefer = service_models.prefer
    monkeypatch.setattr(service_models, "prefer", lambda session, _: prefer(session, models))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


class AWS:
    """An AWS that always gives one answer, and the processes that ask it."""

    def __init__(self, directory: Path, url: str, requests: list[str], **settings: Any) -> None:
        self._directory = directory
        self._url = url
        self._settings = settings
        self.requests = requests
        self.now = time.time()

    def process(self) -> Clients:
        """Give clients as a new process makes them."""
        clock = Clock(now=lambda: self.now)
        health = Health(str(self._directory / "health"), clock)
        settings = AWSSettings(region=HOME, endpoint_url=self._url, **self._settings)
        return Clients(settings, "prod1", Cache(str(self._directory / "cache")), health)

    def describe(self) -> ProviderError | None:
        """Let a new process describe machines; give what went wrong."""
        return self.call(self.process().ec2(HOME).describe_instances)

    def launch(self) -> ProviderError | None:
        """Let a new process launch a machine; give what went wrong."""
        run = self.process().ec2_for_launch(HOME).run_instances
        return self.call(run, ImageId="ami-1", MinCount=1, MaxCount=1)

    @staticmethod
    def call(method: Any, **params: Any) -> ProviderError | None:
        try:
            method(**params)
        except AWS_ERRORS as error:
            return translate(error)
        return None


@contextmanager
def answering(directory: Path, status: int, code: str) -> Iterator[AWS]:
    requests: list[str] = []
    with serving(failing(requests, status, code)) as (host, port):
        yield AWS(directory, f"http://{host}:{port}", requests)


@pytest.fixture
def dead(tmp_path: Path) -> AWS:
    """An AWS whose port is closed: nobody listens."""
    with serving(failing([], *DOWN)) as (host, port):
        pass
    return AWS(tmp_path, f"http://{host}:{port}", [])


def test_a_dead_region_costs_one_call_then_no_process_asks_it(dead: AWS) -> None:
    first = dead.describe()
    assert first is not None
    assert (first.kind, first.code) == (ErrorKind.TRANSIENT, "EndpointConnectionError")
    with mock.patch("socket.socket.connect") as connected:
        later = [dead.describe(), dead.launch(), dead.describe()]
    assert not connected.called
    for error in later:
        assert error is not None
        assert (error.kind, error.code) == (ErrorKind.TRANSIENT, "")
        assert f"ec2 in {HOME} does not answer" in error.message
        assert "EndpointConnectionError" in error.message


def test_the_first_dead_call_of_a_process_stands_for_its_later_ones(dead: AWS, tmp_path: Path) -> None:
    (tmp_path / "health").write_text("nothing can be remembered here")
    client = dead.process().ec2_for_launch(HOME)
    with pytest.raises(EndpointConnectionError):
        client.describe_instances()
    with (
        mock.patch("socket.socket.connect") as connected,
        pytest.raises(NotAskedError, match="does not answer: EndpointConnectionError"),
    ):
        client.describe_instances()
    assert not connected.called


@contextmanager
def silent(is_full: bool = False) -> Iterator[tuple[tuple[str, int], list[socket.socket]]]:
    """A port that takes connections and never says a word; a full one does not even take them.

    Gives its address and the connections that were made.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=0 if is_full else 20)
    address, taken, filling = listener.getsockname(), [], []

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(listener.accept()[0])

    if is_full:
        for _ in range(3):
            filling.append(socket.socket())
            filling[-1].setblocking(False)
            filling[-1].connect_ex(address)
    else:
        threading.Thread(target=take, daemon=True).start()
    try:
        yield address, taken
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for each in (listener, *filling, *taken):
            each.close()


TIME_OUTS = {"connect_timeout_seconds": 0.3, "read_timeout_seconds": 0.3}
PATIENT = {"connect_timeout_seconds": 0.3, "read_timeout_seconds": 20.0}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tries of all calls, those that reach nobody included."""
    sent: list[str] = []
    send = URLLib3Session.send

    def counted(session: URLLib3Session, request: AWSPreparedRequest) -> Any:
        sent.append(request.url)
        return send(session, request)

    monkeypatch.setattr(URLLib3Session, "send", counted)
    return sent


@pytest.mark.parametrize("verb", ["describe", "launch"])
@pytest.mark.parametrize(
    ("is_full", "code"), [(False, "ReadTimeoutError"), (True, "ConnectTimeoutError")], ids=["read", "connect"]
)
def test_a_silent_region_costs_one_time_out_then_no_process_asks_it(
    tmp_path: Path, sent: list[str], verb: str, is_full: bool, code: str
) -> None:
    with silent(is_full) as ((host, port), _):
        aws = AWS(tmp_path, f"http://{host}:{port}", [], **TIME_OUTS)
        first, later = getattr(aws, verb)(), [aws.describe(), aws.launch()]
    assert (first.kind, first.code) == (ErrorKind.TRANSIENT, code)
    assert [error.code for error in later if error is not None] == [""] * 2
    assert len(sent) == 1


@pytest.mark.parametrize("url", ["", "http://ec2.invalid"], ids=["https", "http"])
@pytest.mark.parametrize("is_full", [False, True], ids=["read", "connect"])
def test_a_silent_proxy_costs_one_time_out_then_no_process_asks_it(
    tmp_path: Path, sent: list[str], url: str, is_full: bool
) -> None:
    with silent(is_full) as ((host, port), _):
        aws = AWS(tmp_path, url, [], proxy_host=host, proxy_port=port, **TIME_OUTS)
        first, later = aws.describe(), aws.describe()
    assert first is not None
    assert later is not None
    assert (first.kind, later.code) == (ErrorKind.TRANSIENT, "")
    assert len(sent) == 1


def test_a_silent_region_is_probed_by_one_call_when_its_pause_is_over(tmp_path: Path) -> None:
    with silent() as ((host, port), taken):
        aws = AWS(tmp_path, f"http://{host}:{port}", [], connect_timeout_seconds=1, read_timeout_seconds=0.2)
        aws.describe()
        for pause in (10, 20, 40):
            before = len(taken)
            aws.now += pause - 1
            aws.describe()
            assert len(taken) == before
            aws.now += 1
            for _ in range(3):
                aws.describe()
            assert len(taken) == before + 1


def closing(requests: list[str], after: float) -> Any:
    """Answer nothing: close the connection after some seconds."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        requests.append(handler.requestline)
        threading.Event().wait(after)

    return answer


def test_quick_failures_are_tried_again_and_three_open_the_breaker(tmp_path: Path) -> None:
    requests: list[str] = []
    with serving(closing(requests, 0)) as (host, port):
        aws = AWS(tmp_path, f"http://{host}:{port}", requests)
        for _ in range(2):
            error = aws.launch()
            assert error is not None
            assert error.code == "ConnectionClosedError"
        aws.process().require_ready(HOME, "RunInstances")
        assert len(requests) == 2
        aws.describe()
        assert len(requests) == 5
        with pytest.raises(ProviderError, match="does not answer"):
            aws.process().require_ready(HOME, "RunInstances")


def test_a_failure_that_comes_late_is_a_time_out_whatever_it_is_called(
    tmp_path: Path,
) -> None:
    requests: list[str] = []
    with serving(closing(requests, 0.5)) as (host, port):
        aws = AWS(tmp_path, f"http://{host}:{port}", requests, **PATIENT)
        error = aws.describe()
        assert error is not None
        assert error.code == "ConnectionClosedError"
        aws.describe()
    assert len(requests) == 1


def test_a_region_that_answers_again_is_asked_again_after_one_probe(tmp_path: Path) -> None:
    with answering(tmp_path, *DOWN) as aws:
        for _ in range(5):
            aws.launch()
        assert len(aws.requests) == 3
    with answering(tmp_path, *FULL) as back:
        back.now = aws.now + 11
        for file in (tmp_path / "health/breakers").iterdir():  # the new server is on another port
            os.rename(file, str(file).replace(aws._url.rpartition(":")[2], back._url.rpartition(":")[2]))
        for _ in range(3):
            error = back.launch()
            assert error is not None
            assert error.code == "InsufficientInstanceCapacity"
        assert len(back.requests) == 3
    assert not list((tmp_path / "health/breakers").glob("*.json"))


@pytest.mark.parametrize("answer", [FULL, (400, "InvalidParameterValue"), (403, "UnauthorizedOperation")])
def test_a_refusal_is_an_answer(tmp_path: Path, answer: tuple[int, str]) -> None:
    with answering(tmp_path, *answer) as aws:
        for _ in range(5):
            aws.launch()
        assert len(aws.requests) == 5
    assert not (tmp_path / "health").exists()


def test_a_region_of_another_service_or_endpoint_has_its_own_breaker(dead: AWS, tmp_path: Path) -> None:
    dead.describe()
    with answering(tmp_path, *FULL) as alive:
        alive.describe()
        assert alive.requests
    with pytest.raises(EndpointConnectionError):
        dead.process().autoscaling(HOME).describe_auto_scaling_groups()


def test_nothing_is_planned_where_nothing_answers(dead: AWS) -> None:
    dead.process().require_ready(HOME, "RunInstances")
    dead.describe()
    with pytest.raises(ProviderError, match="does not answer, to be asked again at") as raised:
        dead.process().require_ready(HOME, "RunInstances")
    assert raised.value.kind is ErrorKind.TRANSIENT
    dead.now += 11
    dead.process().require_ready(HOME, "RunInstances")


def test_ten_polls_of_a_throttled_account_make_fewer_calls_than_ten(tmp_path: Path) -> None:
    with answering(tmp_path, *THROTTLED) as aws:
        for _ in range(10):
            error = aws.describe()
            assert error is not None
            assert error.kind is ErrorKind.THROTTLED
        # Without a budget each of the ten tries three times.
        assert len(aws.requests) == 2
        made = len(aws.requests)
        for _ in range(20):
            aws.now += 1
            for _ in range(10):
                aws.describe()
    assert len(aws.requests) - made <= 20


def test_a_launch_that_was_throttled_is_not_sent_again_before_its_time(tmp_path: Path) -> None:
    with answering(tmp_path, *THROTTLED) as aws:
        for _ in range(10):
            aws.launch()
        # The second waits for the half second in which EC2 gives one; then it is certain.
        assert len(aws.requests) == 2
        with pytest.raises(ProviderError, match="AWS throttles RunInstances of ec2 in") as raised:
            aws.process().require_ready(HOME, "RunInstances")
        assert raised.value.kind is ErrorKind.THROTTLED
        assert aws.describe() is not None
        assert len(aws.requests) > 2  # another action has another bucket
        aws.now += 121
        aws.process().require_ready(HOME, "RunInstances")


@pytest.mark.parametrize(
    ("kind", "state"), [(ErrorKind.THROTTLED, LaunchState.REFUSED), (ErrorKind.TRANSIENT, LaunchState.UNKNOWN)]
)
def test_a_launch_that_was_not_sent_brought_nothing(kind: ErrorKind, state: LaunchState) -> None:
    launch = Launch(1, "token", "RunInstances", HOME, "", "place", {}, 1, 0.0)
    assert refused(launch, NotAskedError(kind, "not now")).state is state
    sent = launch._replace(state=LaunchState.UNKNOWN)
    assert refused(sent, NotAskedError(kind, "not now")) == refused(sent, NotAskedError(kind, "not now"))
    assert refused(sent, NotAskedError(kind, "not now")).state is LaunchState.UNKNOWN
    assert not refused(sent, NotAskedError(kind, "not now")).look_only


def test_calls_that_get_through_leave_nothing_on_disk(tmp_path: Path) -> None:
    def described(handler: BaseHTTPRequestHandler) -> None:
        body = b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with serving(described) as (host, port):
        aws = AWS(tmp_path, f"http://{host}:{port}", [])
        assert aws.describe() is None
    assert not (tmp_path / "health").exists()


def test_no_error_of_aws_is_swallowed(tmp_path: Path) -> None:
    with answering(tmp_path, *THROTTLED) as aws, pytest.raises(ClientError, match="RequestLimitExceeded"):
        aws.process().ec2_for_launch(HOME).run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
