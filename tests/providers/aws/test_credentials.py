"""Whose credentials sign a call: those that AWS refuses are asked for again, and processes share a role's."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fake_ec2 import ACCOUNT, AWAY, HOME
from loopback import serving

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import AWS_ERRORS, is_first_answer, translate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health

OTHER_ACCOUNT = "999988887777"
ROLE = f"arn:aws:iam::{OTHER_ACCOUNT}:role/grid"

FULL = (500, "InsufficientInstanceCapacity")


class AWS:
    """An AWS that takes the keys in `valid` and refuses others with `code`; a role's sessions last `lasts`.

    `calls` are the actions that were asked for, each with the key that signed it. `answer`, when set, is what a
    launch is told.
    """

    def __init__(self) -> None:
        self.url = ""
        self.valid: set[str] = set()
        self.accounts: dict[str, str] = {}
        self.code = "RequestExpired"
        self.lasts = [timedelta(hours=1)]
        self.calls: list[tuple[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.answer: tuple[int, str] | None = None
        self._sessions = 0

    def called(self, action: str) -> list[str]:
        """The keys that signed the calls of an action, in order."""
        return [key for name, key in self.calls if name == action]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        found = re.search(r"Credential=([^/]+)/", handler.headers["Authorization"])
        assert found
        self.calls.append((form["Action"], found[1]))
        self.forms.append(form)
        status, text = self._answered(form["Action"], found[1])
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())

    def _answered(self, action: str, key: str) -> tuple[int, str]:
        if key not in self.valid:
            return 400, _refusal(action, self.code)
        if action == "AssumeRole":
            return 200, self._session()
        if action == "GetCallerIdentity":
            account = self.accounts.get(key, ACCOUNT)
            result = f"<GetCallerIdentityResult><Account>{account}</Account></GetCallerIdentityResult>"
            return 200, f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"
        if self.answer is not None:
            return self.answer[0], _refusal(action, self.answer[1])
        return 200, f"<{action}Response/>"

    def _session(self) -> str:
        self._sessions += 1
        key = f"ASIA{self._sessions}"
        self.valid.add(key)
        end = datetime.now(UTC) + (self.lasts.pop(0) if len(self.lasts) > 1 else self.lasts[0])
        parts = {
            "AccessKeyId": key,
            "SecretAccessKey": "the-secret-of-the-role",
            "SessionToken": "the-token-of-the-role",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        text = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items())
        result = f"<AssumeRoleResult><Credentials>{text}</Credentials></AssumeRoleResult>"
        return f"<AssumeRoleResponse>{result}</AssumeRoleResponse>"


def _refusal(action: str, code: str) -> str:
    error = f"<Error><Code>{code}</Code><Message>Request has expired.</Message></Error>"
    if action in ("AssumeRole", "GetCallerIdentity"):
        return f"<ErrorResponse>{error}</ErrorResponse>"
    return f"<Response><Errors>{error}</Errors></Response>"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the small copies of botocore's files are: made once, they save each test a second."""
    return str(tmp_path_factory.mktemp("models"))


@pytest.fixture
def cloud(no_credentials: None, monkeypatch: pytest.MonkeyPatch, models: str) -> Iterator[AWS]:
    prefer = service_models.prefer
    monkeypatch.setattr(service_models, "prefer", lambda session, _: prefer(session, models))
    aws = AWS()
    with serving(lambda handler: aws.handle(handler)) as (host, port):
        aws.url = f"http://{host}:{port}"
        yield aws


@pytest.fixture
def process(cloud: AWS, tmp_path: Path) -> Callable[..., Clients]:
    """Gives clients as a new process makes them."""

    def started(**settings: Any) -> Clients:
        found = {"region": HOME, "endpoint_url": cloud.url, **settings}
        cache, health = Cache(str(tmp_path / "cache")), Health(str(tmp_path / "health"))
        return Clients(AWSSettings(**found), "prod1", cache, health)

    return started


class Keys:
    """A credential file that an administrator renews."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def renew(self, key: str) -> None:
        lines = ("[default]", f"aws_access_key_id = {key}", "aws_secret_access_key = s", "aws_session_token = t")
        self.path.write_text("\n".join(lines))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path / "keys")
    keys.renew("OLD")
    return keys


def described(clients: Clients, region: str = HOME) -> ProviderError | None:
    """Describe machines; give what went wrong."""
    try:
        clients.ec2(region).describe_instances()
    except AWS_ERRORS as error:
        return translate(error)
    return None


@pytest.mark.parametrize("code", ["RequestExpired", "ExpiredToken", "ExpiredTokenException", "AuthFailure"])
def test_a_call_whose_credentials_have_just_been_renewed_is_sent_again_with_the_new_ones(
    cloud: AWS, process: Callable[..., Clients], keys: Keys, code: str
) -> None:
    cloud.valid, cloud.code = {"NEW"}, code
    clients = process(credential_file=str(keys.path))
    clients.ec2(HOME)
    keys.renew("NEW")
    assert described(clients) is None
    assert described(clients) is None
    assert cloud.called("DescribeInstances") == ["OLD", "NEW", "NEW"]


def test_a_profile_that_was_renewed_is_read_again(
    cloud: AWS, process: Callable[..., Clients], tmp_path: Path
) -> None:
    (tmp_path / "home/.aws").mkdir(parents=True)
    profile = tmp_path / "home/.aws/credentials"
    text = "[grid]\naws_access_key_id = {}\naws_secret_access_key = s\naws_session_token = t\n"
    profile.write_text(text.format("OLD"))
    cloud.valid = {"NEW"}
    clients = process(profile="grid")
    clients.ec2(HOME)
    profile.write_text(text.format("NEW"))
    assert described(clients) is None
    assert cloud.called("DescribeInstances") == ["OLD", "NEW"]


def test_expired_credentials_that_nobody_renewed_are_reported_with_what_to_do(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    error = described(process(credential_file=str(keys.path)))
    assert error is not None
    assert (error.kind, error.code) == (ErrorKind.AUTH, "RequestExpired")
    assert error.message == (
        f"Request has expired: the credentials have expired: renew aws.credentialFile {keys.path} "
        "(or this host's clock is wrong)"
    )
    assert cloud.called("DescribeInstances") == ["OLD"]


def test_where_to_renew_expired_credentials_depends_on_where_they_come_from(
    cloud: AWS, process: Callable[..., Clients], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud.code = "ExpiredToken"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    error = described(process())
    assert error is not None
    assert error.message.endswith("have expired: renew AWS_SESSION_TOKEN and its keys")
    (tmp_path / "home/.aws").mkdir(parents=True)
    profile = "[grid]\naws_access_key_id = OLD\naws_secret_access_key = s\n"
    (tmp_path / "home/.aws/credentials").write_text(profile)
    error = described(process(profile="grid"))
    assert error is not None
    assert error.message.endswith("have expired: renew those of aws.profile grid")


def test_a_file_that_is_gone_when_it_is_read_again_changes_nothing_in_the_error(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    clients = process(credential_file=str(keys.path))
    clients.ec2(HOME)
    keys.path.unlink()
    error = described(clients)
    assert error is not None
    assert error.code == "RequestExpired"


def test_new_credentials_that_are_refused_too_end_the_call(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    clients = process(credential_file=str(keys.path))
    clients.ec2(HOME)
    keys.renew("EXPIRED TOO")
    error = described(clients)
    assert error is not None
    assert error.code == "RequestExpired"
    assert cloud.called("DescribeInstances") == ["OLD", "EXPIRED TOO"]


def test_a_launch_refused_after_its_credentials_were_renewed_has_launched_nothing(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    cloud.valid, cloud.answer = {"NEW"}, FULL
    clients = process(credential_file=str(keys.path))
    client = clients.ec2_for_launch(HOME)
    keys.renew("NEW")
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity") as raised:
        client.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    assert is_first_answer(raised.value)
    assert cloud.called("RunInstances") == ["OLD", "NEW"]
    assert len({form["ClientToken"] for form in cloud.forms}) == 1


def test_credentials_of_another_account_are_not_taken_in_the_middle_of_a_call(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    cloud.valid, cloud.accounts = {"OLD", "NEW"}, {"NEW": OTHER_ACCOUNT}
    clients = process(credential_file=str(keys.path))
    assert clients.account() == ACCOUNT
    cloud.valid = {"NEW"}
    keys.renew("NEW")
    error = described(clients)
    assert error is not None
    assert error.code == "RequestExpired"
    assert cloud.called("DescribeInstances") == ["OLD"]
    assert process(credential_file=str(keys.path)).account() == OTHER_ACCOUNT


def test_new_credentials_of_the_same_account_are_taken(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    cloud.valid = {"OLD", "NEW"}
    clients = process(credential_file=str(keys.path))
    assert clients.account() == ACCOUNT
    cloud.valid = {"NEW"}
    keys.renew("NEW")
    assert described(clients) is None
    assert cloud.called("DescribeInstances") == ["OLD", "NEW"]


def test_threads_that_are_refused_together_all_go_on_with_the_new_credentials(
    cloud: AWS, process: Callable[..., Clients], keys: Keys
) -> None:
    cloud.valid = {"NEW"}
    clients = process(credential_file=str(keys.path))
    regions = [HOME, AWAY, "us-east-1", "us-west-2", "ap-south-1", "sa-east-1"]
    for region in regions:
        clients.ec2(region)
    keys.renew("NEW")
    with ThreadPoolExecutor(len(regions)) as pool:
        assert [*pool.map(lambda region: described(clients, region), regions)] == [None] * len(regions)
    assert cloud.called("DescribeInstances").count("NEW") == len(regions)


@pytest.fixture
def base(cloud: AWS, keys: Keys) -> dict[str, str]:
    """The settings of a role and of credentials that may assume it."""
    cloud.valid = {"OLD"}
    return {"credential_file": str(keys.path), "assume_role_arn": ROLE, "external_id": "e-1"}


def test_a_role_is_assumed_as_the_settings_say(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    assert described(process(**base)) is None
    asked = {name: value for name, value in cloud.forms[0].items() if name != "Version"}
    assert asked == {
        "Action": "AssumeRole",
        "RoleArn": ROLE,
        "RoleSessionName": "hfplugin-prod1",
        "ExternalId": "e-1",
        "DurationSeconds": "3600",
    }
    assert cloud.calls == [("AssumeRole", "OLD"), ("DescribeInstances", "ASIA1")]


def test_a_role_without_external_id_is_assumed_without_one(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    process(**{**base, "external_id": ""}).ec2(HOME)
    assert "ExternalId" not in cloud.forms[0]


def test_polls_share_one_session_of_a_role(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    for region in (HOME, AWAY, HOME):
        assert described(process(**base), region) is None
    assert cloud.calls == [("AssumeRole", "OLD")] + [("DescribeInstances", "ASIA1")] * 3


def test_a_kept_session_is_private_and_no_file_is_named_after_a_credential(
    process: Callable[..., Clients], base: dict[str, str], tmp_path: Path
) -> None:
    process(**base).ec2(HOME)
    [file] = (tmp_path / "cache").iterdir()
    assert file.name == "role.json"
    assert "the-secret-of-the-role" in file.read_text()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    "changed",
    [
        {"assume_role_arn": f"arn:aws:iam::{OTHER_ACCOUNT}:role/other"},
        {"external_id": "e-2"},
        {"external_id": ""},
        {"region": AWAY},
    ],
    ids=lambda changed: "-".join(f"{name}={value[-7:]}" for name, value in changed.items()),
)
def test_a_kept_session_serves_only_the_settings_that_it_was_made_for(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], changed: dict[str, str]
) -> None:
    assert described(process(**base)) is None
    assert described(process(**{**base, **changed})) is None
    assert cloud.called("DescribeInstances") == ["ASIA1", "ASIA2"]


def test_a_kept_session_does_not_serve_another_endpoint(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    assert described(process(**base)) is None
    assert described(process(**base, endpoint_url=cloud.url.replace("127.0.0.1", "localhost"))) is None
    assert cloud.called("DescribeInstances") == ["ASIA1", "ASIA2"]


def test_a_kept_session_does_not_serve_other_credentials(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], keys: Keys
) -> None:
    assert described(process(**base)) is None
    keys.renew("STRANGER")
    with pytest.raises(ProviderError, match="RequestExpired"):
        process(**base).ec2(HOME)
    assert cloud.called("DescribeInstances") == ["ASIA1"]


DAMAGED = [b"", b"\x00\xff", b"{", b"[]", b"null", b"[" * 100_000, b'{"expiry_time": "soon"}']


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:20]))
def test_a_damaged_kept_session_costs_one_call(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    process(**base).ec2(HOME)
    (tmp_path / "cache/role.json").write_bytes(content)
    assert described(process(**base)) is None
    assert described(process(**base)) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]
    assert cloud.called("DescribeInstances") == ["ASIA2", "ASIA2"]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("access_key", "null"),
        ("secret_key", "7"),
        ("token", "[]"),
        ("expiry_time", "null"),
        ("expiry_time", '"2999-01-01T00:00:00"'),  # no one knows in which time zone
        ("of", '"another"'),
    ],
)
def test_a_kept_session_with_a_wrong_part_costs_one_call(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], tmp_path: Path, part: str, wrong: str
) -> None:
    process(**base).ec2(HOME)
    file = tmp_path / "cache/role.json"
    file.write_text(re.sub(rf'"{part}": "[^"]*"', f'"{part}": {wrong}', file.read_text()))
    assert described(process(**base)) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]


def test_a_session_that_cannot_be_kept_is_had_all_the_same(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the directory would be")
    for _ in range(2):
        assert described(process(**base)) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]


def test_a_session_with_little_time_left_is_not_shared(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    cloud.lasts = [timedelta(minutes=14), timedelta(hours=1)]
    process(**base).ec2(HOME)
    assert described(process(**base)) is None
    assert cloud.called("DescribeInstances") == ["ASIA2"]


def test_a_session_that_runs_out_under_way_is_renewed_before_the_next_call(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    cloud.lasts = [timedelta(seconds=30), timedelta(hours=1)]
    clients = process(**base)
    clients.ec2(HOME)
    assert cloud.called("AssumeRole") == ["OLD"]
    assert described(clients) is None
    assert described(clients) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]
    assert cloud.called("DescribeInstances") == ["ASIA2", "ASIA2"]


@pytest.mark.parametrize("code", ["RequestExpired", "ExpiredToken", "AuthFailure", "InvalidClientTokenId"])
def test_a_kept_session_that_aws_refuses_is_dropped_and_the_role_assumed_again(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], code: str
) -> None:
    process(**base).ec2(HOME)
    cloud.valid, cloud.code = {"OLD"}, code
    for _ in range(2):
        assert described(process(**base)) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]
    assert cloud.called("DescribeInstances") == ["ASIA1", "ASIA2", "ASIA2"]


def test_a_process_takes_the_session_that_another_has_renewed(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    first, second = process(**base), process(**base)
    first.ec2(HOME), second.ec2(HOME)
    cloud.valid = {"OLD"}
    assert described(first) is None
    assert described(second) is None
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]


def test_a_role_that_is_refused_whatever_its_session_costs_one_more_call_and_says_so(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.answer = (400, "RequestExpired")
    clients = process(**base)
    for _ in range(3):
        error = described(clients)
        assert error is not None
        assert (error.kind, error.code) == (ErrorKind.AUTH, "RequestExpired")
        assert f"{ROLE} was assumed anew, and is refused still" in error.message
    assert cloud.called("AssumeRole") == ["OLD", "OLD"]
    assert cloud.called("DescribeInstances") == ["ASIA1", "ASIA2", "ASIA2", "ASIA2"]


def test_a_call_is_sent_once_more_at_most_also_when_each_try_has_another_session(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str]
) -> None:
    cloud.lasts, cloud.answer = [timedelta(seconds=30)], (400, "RequestExpired")
    assert described(process(**base)) is not None
    assert len(cloud.called("DescribeInstances")) == 2


def test_expired_credentials_that_a_role_is_assumed_with_are_named(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], keys: Keys
) -> None:
    cloud.valid, cloud.code = set(), "ExpiredToken"
    with pytest.raises(ProviderError, match=f"renew aws.credentialFile {keys.path}"):
        process(**base).ec2(HOME)
    assert cloud.calls == [("AssumeRole", "OLD")]


def test_a_service_is_not_called_dead_because_the_one_that_gives_credentials_is(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.lasts = [timedelta(seconds=30)]
    clients = process(**base)
    clients.ec2(HOME)
    with monkeypatch.context() as broken:
        broken.setattr(cloud, "_session", lambda: 1 / 0)  # the connection is closed without an answer
        error = described(clients)
    assert error is not None
    assert error.kind is ErrorKind.TRANSIENT
    assert [*clients.health.report().breakers] == [f"sts {HOME} {cloud.url}"]
    error = described(clients)
    assert error is not None
    assert error.message.startswith(f"sts in {HOME} does not answer")


def test_no_secret_is_said(
    cloud: AWS, process: Callable[..., Clients], base: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    cloud.answer = (400, "RequestExpired")
    error = described(process(**base))
    assert "of-the-role" not in f"{error}{caplog.text}"
