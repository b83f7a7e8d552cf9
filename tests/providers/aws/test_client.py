"""Where a client goes, as whom, and how long it tries."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session
from fake_ec2 import ACCOUNT, AWAY, HOME, FakeAWS, FakeClients, FaultError
from loopback import failing, serving

from hfplugin.emulator import IMAGE_ID, Emulator
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import is_first_answer
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health

MOTOS_ACCOUNT = "123456789012"
OTHER_ACCOUNT = "999988887777"
ROLE = f"arn:aws:iam::{OTHER_ACCOUNT}:role/grid"


@pytest.fixture(autouse=True)
def _plain(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copies of botocore's files are made: they are tested elsewhere, and would be made by every test."""
    monkeypatch.setattr(service_models, "prefer", lambda *_: None)


def clients_of(directory: Path, **settings: Any) -> Clients:
    return Clients(
        AWSSettings(**settings), "prod1", Cache(str(directory / "cache")), Health(str(directory / "health"))
    )


def write_profile(directory: Path, name: str, text: str) -> None:
    folder = directory / "home/.aws"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        file.write(text)


def access_key(client: Any) -> str:
    key = client._request_signer._credentials.get_frozen_credentials().access_key
    assert isinstance(key, str)
    return key


def test_the_configured_region_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert clients_of(tmp_path, region=HOME).region == HOME


def test_aws_region_comes_before_aws_default_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(tmp_path, "config", "[default]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert clients_of(tmp_path).region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert clients_of(tmp_path).region == "eu-west-2"


def test_the_profiles_region_comes_last(tmp_path: Path) -> None:
    write_profile(tmp_path, "config", "[default]\nregion = eu-west-3\n[profile grid]\nregion = eu-north-1\n")
    assert clients_of(tmp_path).region == "eu-west-3"
    assert clients_of(tmp_path, profile="grid").region == "eu-north-1"


def test_no_region_anywhere_says_where_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no AWS region: set aws\.region \(AWS_REGION in IBM's form\)"):
        _ = clients_of(tmp_path).region


def test_the_home_region_is_the_first_of_all_regions(tmp_path: Path) -> None:
    assert clients_of(tmp_path, region=HOME, fallback_regions=(AWAY, HOME)).regions == (HOME, AWAY)


@pytest.mark.usefixtures("credentials")
def test_credentials_of_the_environment_serve_where_nothing_is_configured(tmp_path: Path) -> None:
    assert access_key(clients_of(tmp_path, region=HOME).ec2(HOME)) == "AKIAENVIRONMENT"


@pytest.mark.usefixtures("credentials")
def test_a_configured_profile_beats_the_environment(tmp_path: Path) -> None:
    write_profile(tmp_path, "credentials", "[grid]\naws_access_key_id = AKIAGRID\naws_secret_access_key = s\n")
    assert access_key(clients_of(tmp_path, region=HOME, profile="grid").ec2(HOME)) == "AKIAGRID"


@pytest.mark.usefixtures("credentials")
def test_ibms_credential_file_beats_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "credential file"
    file.write_text("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n")
    assert access_key(clients_of(tmp_path, region=HOME, credential_file=str(file)).ec2(HOME)) == "AKIAFILE"


@pytest.mark.usefixtures("credentials")
def test_a_profile_is_looked_up_in_the_credential_file(tmp_path: Path) -> None:
    file = tmp_path / "credential file"
    file.write_text("[grid]\naws_access_key_id = AKIAGRID\naws_secret_access_key = s\n")
    clients = clients_of(tmp_path, region=HOME, credential_file=str(file), profile="grid")
    assert access_key(clients.ec2(HOME)) == "AKIAGRID"


@pytest.mark.usefixtures("credentials")
def test_a_credential_file_that_is_missing_is_named(tmp_path: Path) -> None:
    clients = clients_of(tmp_path, region=HOME, credential_file=str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="missing cannot be read: correct the path or its permissions"):
        clients.ec2(HOME)


@pytest.mark.usefixtures("credentials")
def test_a_credential_file_without_the_profile_is_a_matter_of_credentials(tmp_path: Path) -> None:
    file = tmp_path / "credential file"
    file.write_text("[grid]\naws_access_key_id = AKIAGRID\naws_secret_access_key = s\n")
    with pytest.raises(ProviderError, match="ProfileNotFound") as raised:
        clients_of(tmp_path, region=HOME, credential_file=str(file)).ec2(HOME)
    assert raised.value.kind is ErrorKind.AUTH


def test_a_profile_that_is_missing_is_a_matter_of_credentials(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="ProfileNotFound") as raised:
        _ = clients_of(tmp_path, profile="nobody").region
    assert raised.value.kind is ErrorKind.AUTH


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("endpoint", ["nonsense", "http://"])
def test_an_endpoint_that_is_no_url_says_where_to_correct_it(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{endpoint}: endpointUrl \(AWS_ENDPOINT_URL\) has to be like"):
        clients_of(tmp_path, region=HOME, endpoint_url=endpoint).ec2(HOME)


def test_no_credentials_at_all_are_a_matter_of_credentials(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="Unable to locate credentials") as raised:
        clients_of(tmp_path, region=HOME, endpoint_url="http://127.0.0.1:1").account()
    assert raised.value.kind is ErrorKind.AUTH


@pytest.mark.usefixtures("credentials", "ec2")
def test_an_assumed_role_works_in_the_roles_account(tmp_path: Path, emulator: Emulator) -> None:
    emulator.ec2(HOME).run_instances(ImageId=IMAGE_ID, MinCount=1, MaxCount=1)
    own = clients_of(tmp_path, region=HOME, endpoint_url=emulator.url)
    other = clients_of(tmp_path, region=HOME, endpoint_url=emulator.url, assume_role_arn=ROLE, external_id="e-1")
    assert (own.account(), other.account()) == (MOTOS_ACCOUNT, OTHER_ACCOUNT)
    assert len(own.ec2(HOME).describe_instances()["Reservations"]) == 1
    assert other.ec2(HOME).describe_instances()["Reservations"] == []
    assert other.ssm(HOME).describe_parameters()["Parameters"] == []


@pytest.mark.usefixtures("credentials")
def test_a_role_that_may_not_be_assumed_is_a_matter_of_credentials(tmp_path: Path) -> None:
    aws = FakeAWS(faults={"AssumeRole": [FaultError("AccessDenied", status=403)]})
    with pytest.raises(ProviderError) as raised:
        FakeClients(aws, tmp_path, assume_role_arn=ROLE).ec2(HOME)
    assert (raised.value.kind, raised.value.code) == (ErrorKind.AUTH, "AccessDenied")


@pytest.mark.usefixtures("credentials")
def test_the_account_of_a_role_is_known_without_asking(tmp_path: Path) -> None:
    aws = FakeAWS()
    assert FakeClients(aws, tmp_path, assume_role_arn=ROLE).account() == OTHER_ACCOUNT
    assert aws.calls == []


def test_the_account_is_asked_once_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = FakeAWS()
    for key in ("AKIAONE", "AKIAONE", "AKIATWO", "AKIATWO"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert FakeClients(aws, tmp_path).account() == ACCOUNT
    assert aws.call_count == {"GetCallerIdentity": 2}


@pytest.mark.usefixtures("credentials")
def test_the_account_is_asked_again_at_another_endpoint(tmp_path: Path) -> None:
    aws = FakeAWS()
    for endpoint in ("", "http://127.0.0.1:1"):
        FakeClients(aws, tmp_path, endpoint_url=endpoint).account()
    assert aws.call_count == {"GetCallerIdentity": 2}


def test_keys_that_change_leave_one_small_file_and_no_credential_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA{number}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
        FakeClients(FakeAWS(), tmp_path / "cache").account()
    [file] = (tmp_path / "cache").glob("account*")
    assert file.stat().st_mode & 0o777 == 0o600
    assert ACCOUNT in file.read_text()
    assert "AKIA" not in file.read_text()
    assert "secret" not in file.read_text()


@pytest.mark.usefixtures("credentials")
def test_an_account_that_cannot_be_asked_is_not_remembered(tmp_path: Path) -> None:
    aws = FakeAWS(faults={"GetCallerIdentity": [FaultError("Unavailable", status=503)]})
    with pytest.raises(ProviderError) as raised:
        FakeClients(aws, tmp_path).account()
    assert raised.value.kind is ErrorKind.TRANSIENT
    assert FakeClients(aws, tmp_path).account() == ACCOUNT


@pytest.mark.usefixtures("credentials")
def test_a_configured_endpoint_serves_every_service(tmp_path: Path) -> None:
    clients = clients_of(tmp_path, region=HOME, endpoint_url="http://127.0.0.1:1")
    made = (clients.ec2(HOME), clients.ec2_for_launch(AWAY), clients.ssm(HOME), clients._client("sts", HOME, 1))
    assert {client.meta.endpoint_url for client in made} == {"http://127.0.0.1:1"}


@pytest.mark.usefixtures("credentials")
def test_without_an_endpoint_each_region_has_its_own(tmp_path: Path) -> None:
    clients = clients_of(tmp_path, region=HOME)
    assert clients.ec2(AWAY).meta.endpoint_url == f"https://ec2.{AWAY}.amazonaws.com"
    # The global endpoint of STS is one region's: it would be a dependency on that region.
    assert clients._client("sts", HOME, 1).meta.endpoint_url == f"https://sts.{HOME}.amazonaws.com"


@pytest.mark.usefixtures("credentials")
def test_a_client_is_made_once(tmp_path: Path) -> None:
    clients = clients_of(tmp_path, region=HOME)
    assert clients.ec2(HOME) is clients.ec2(HOME)
    assert clients.ec2(HOME) is not clients.ec2(AWAY)
    assert clients.ec2(HOME) is not clients.ec2_for_launch(HOME)


@pytest.mark.usefixtures("credentials")
def test_threads_share_clients_and_what_is_known_of_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = FakeAWS()
    clients, made, at_once = FakeClients(aws, tmp_path), Counter[str](), [0, 0]
    make = clients._make

    def slowly(session: Session, service: str, region: str, attempts: int) -> Any:
        at_once[0] += 1
        at_once[1] = max(at_once)
        time.sleep(0.01)
        made[f"{service} {region}"] += 1
        client = make(session, service, region, attempts)
        at_once[0] -= 1
        return client

    monkeypatch.setattr(clients, "_make", slowly)
    regions = [HOME, AWAY, "us-east-1", "us-west-2"]
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(lambda _: clients.account(), range(8))} == {ACCOUNT}
        for region in regions:
            assert len({*pool.map(lambda _, region=region: id(clients.ec2(region)), range(8))}) == 1
        [*pool.map(clients.autoscaling, regions)]
    assert set(made.values()) == {1}
    assert at_once[1] == 1  # a session makes one client at a time
    assert aws.call_count == {"GetCallerIdentity": 1}


@pytest.mark.usefixtures("credentials")
def test_time_outs_are_those_of_the_settings(tmp_path: Path) -> None:
    clients = clients_of(tmp_path, region=HOME, connect_timeout_seconds=1.5, read_timeout_seconds=7.0)
    config: Any = clients.ec2(HOME).meta.config
    assert (config.connect_timeout, config.read_timeout) == (1.5, 7.0)


@pytest.mark.usefixtures("credentials")
def test_a_configured_proxy_is_where_every_call_goes(tmp_path: Path) -> None:
    requests: list[str] = []
    with serving(failing(requests, 403, "AccessDenied")) as (host, port):
        clients = clients_of(
            tmp_path, region=HOME, endpoint_url="http://ec2.invalid", proxy_host=host, proxy_port=port
        )
        with pytest.raises(ProviderError, match="AccessDenied"):
            clients.account()
        with pytest.raises(ClientError):
            clients.ec2(HOME).describe_instances()
    assert requests == ["POST http://ec2.invalid/ HTTP/1.1"] * 2


@pytest.mark.usefixtures("credentials")
def test_an_encrypted_call_goes_through_the_proxy_too(tmp_path: Path) -> None:
    requests: list[str] = []
    with serving(failing(requests, 403, "AccessDenied")) as (host, port):
        clients = clients_of(tmp_path, region=HOME, proxy_host=host, proxy_port=port)
        with pytest.raises(ProviderError) as raised:
            clients.account()
    assert raised.value.kind is ErrorKind.TRANSIENT
    assert {request.rpartition(" ")[0] for request in requests} == {f"CONNECT sts.{HOME}.amazonaws.com:443"}


@pytest.mark.usefixtures("credentials")
def test_reading_is_tried_three_times(tmp_path: Path) -> None:
    requests: list[str] = []
    with serving(failing(requests, 503, "Unavailable")) as (host, port):
        clients = clients_of(tmp_path, region=HOME, endpoint_url=f"http://{host}:{port}")
        with pytest.raises(ClientError):
            clients.ec2(HOME).describe_instances()
    assert len(requests) == 3


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InsufficientInstanceCapacity"), (503, "RequestLimitExceeded"), (503, "Unavailable")],
)
def test_launching_is_tried_once(tmp_path: Path, status: int, code: str) -> None:
    requests: list[str] = []
    with serving(failing(requests, status, code)) as (host, port):
        clients = clients_of(tmp_path, region=HOME, endpoint_url=f"http://{host}:{port}")
        with pytest.raises(ClientError) as raised:
            clients.ec2_for_launch(HOME).run_instances(MinCount=1, MaxCount=1)
    assert len(requests) == 1
    assert is_first_answer(raised.value)
