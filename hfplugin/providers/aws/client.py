"""Credentials, sessions and clients: how hfplugin reaches AWS. The only module that makes a client.

The sessions are botocore's, which boto3's are made of: importing boto3 itself brings S3's transfer manager along,
and costs a poll more than all its own work.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.session import Session

from hfplugin import __version__
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import AWS_ERRORS, TRANSPORT_FAILURES, WRONG_ACCOUNT, translate
from hfplugin.providers.base.cache import Cache

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# Total tries inside one call: reading may be repeated. A launch may not: EC2 answers "no capacity" with HTTP 500,
# which botocore would try again, at the price of a RunInstances token and of knowing that nothing was launched.
_READ_ATTEMPTS = 3
_LAUNCH_ATTEMPTS = 1

# A silent region must not make a poll outlive HostFactory's patience: this long, that many times.
_READ_SECONDS = 20.0

# A call lives for minutes at most, so the shortest session that AWS gives is enough.
_ROLE_SECONDS = 900

# What a damaged copy of botocore's data files makes it raise.
_DAMAGED = (ValueError, KeyError, TypeError, DataNotFoundError, UnknownServiceError)


class Clients:
    """Makes each client once; asks AWS for nothing until a client is used (assuming a role excepted)."""

    def __init__(self, settings: AWSSettings, provider_name: str, cache: Cache) -> None:
        self._settings = settings
        self._provider_name = provider_name
        self._cache = cache
        self._base: Session | None = None
        self._session: Session | None = None
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._account: str | None = None

    @property
    def region(self) -> str:
        """The home region: configured, or as the standard AWS variables and files say."""
        region = self._settings.region or os.environ.get("AWS_REGION") or self._usual_region()
        if not region:
            raise ConfigurationError(
                "no AWS region: set aws.region (AWS_REGION in IBM's form) in the configuration"
            )
        return region

    def _usual_region(self) -> str:
        try:
            return self._base_session().get_config_variable("region") or ""
        except AWS_ERRORS as error:
            raise translate(error) from error

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region where machines of this installation may be, the home region first."""
        return tuple(dict.fromkeys((self.region, *self._settings.fallback_regions)))

    def ec2(self, region: str) -> EC2Client:
        client: EC2Client = self._client("ec2", region, _READ_ATTEMPTS)
        return client

    def ec2_for_launch(self, region: str) -> EC2Client:
        client: EC2Client = self._client("ec2", region, _LAUNCH_ATTEMPTS)
        return client

    def autoscaling(self, region: str) -> AutoScalingClient:
        client: AutoScalingClient = self._client("autoscaling", region, _READ_ATTEMPTS)
        return client

    def autoscaling_once(self, region: str) -> AutoScalingClient:
        """Give the client for calls that a second try would do twice: botocore makes one try."""
        client: AutoScalingClient = self._client("autoscaling", region, _LAUNCH_ATTEMPTS)
        return client

    def ssm(self, region: str) -> SSMClient:
        client: SSMClient = self._client("ssm", region, _READ_ATTEMPTS)
        return client

    def account(self) -> str:
        """Give the account that the credentials belong to. ProviderError when AWS does not say.

        Asked once per access key: the answer never changes and is kept in the cache beside the key's hash.
        """
        if self._account is None:
            self._account = self._role_account() or self._kept_account()
        return self._account

    def require_account(self, account: str) -> None:
        """Raise ProviderError unless the credentials belong to the account; an empty one is any."""
        if account and account != self.account():
            raise ProviderError(
                ErrorKind.AUTH,
                WRONG_ACCOUNT,
                f"the launch was made in account {account}, the credentials are for {self.account()}: "
                "nothing is concluded",
            )

    def _role_account(self) -> str:
        parts = self._settings.assume_role_arn.split(":")
        return parts[4] if len(parts) > 5 else ""

    def _kept_account(self) -> str:
        try:
            credentials = self._base_session().get_credentials()
            key = credentials.access_key if credentials else ""
            digest = hashlib.sha256(f"{self._settings.endpoint_url}|{key}".encode()).hexdigest()
            # One file for the latest key: temporary credentials bring a new key every few hours.
            known, _, account = (self._cache.get("account") or "").partition(" ")
            if known != digest:
                sts: STSClient = self._client("sts", self.region, _READ_ATTEMPTS)
                account = sts.get_caller_identity()["Account"]
                self._cache.put("account", f"{digest} {account}")
        except AWS_ERRORS as error:
            raise translate(error) from error
        return account

    def _client(self, service: str, region: str, attempts: int) -> Any:
        key = (service, region, attempts)
        if key not in self._clients:
            try:
                self._clients[key] = self._make(self._own_session(), service, region, attempts)
            except AWS_ERRORS as error:
                raise translate(error) from error
            except ValueError as error:  # botocore's word for an endpoint that is no URL
                raise ConfigurationError(
                    f"{error}: endpointUrl (AWS_ENDPOINT_URL) has to be like https://host:port"
                ) from error
        return self._clients[key]

    def _make(self, session: Session, service: str, region: str, attempts: int) -> Any:
        try:
            return self._create(session, service, region, attempts)
        except _DAMAGED:
            if not service_models.forget(session, self._cache.directory):
                raise
            return self._create(session, service, region, attempts)

    def _create(self, session: Session, service: str, region: str, attempts: int) -> Any:
        settings = self._settings
        longest = settings.read_timeout_seconds
        proxy = f"http://{settings.proxy_host}:{settings.proxy_port or 80}" if settings.proxy_host else ""
        client = session.create_client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_url or None,
            config=Config(
                connect_timeout=settings.connect_timeout_seconds,
                read_timeout=longest if attempts == _LAUNCH_ATTEMPTS else min(longest, _READ_SECONDS),
                retries={"mode": "standard", "total_max_attempts": attempts},
                proxies={"http": proxy, "https": proxy} if proxy else None,
                user_agent_extra=f"hfplugin/{__version__}",
            ),
        )
        _give_up_when_dead(client)
        return client

    def _base_session(self) -> Session:
        """The session of the configured or standard credentials, before any role is assumed."""
        if self._base is None:
            self._base = self._new_session()
        return self._base

    def _new_session(self) -> Session:
        path = self._settings.credential_file
        if path and not os.access(path, os.R_OK):
            raise ConfigurationError(f"credential file {path} cannot be read: correct the path or its permissions")
        # An explicit profile takes precedence over credentials in the environment.
        session = Session(profile=self._settings.profile or ("default" if path else None))
        if path:
            session.set_config_variable("credentials_file", path)
        service_models.prefer(session, self._cache.directory)
        return session

    def _own_session(self) -> Session:
        if self._session is None:
            session = self._base_session()
            self._session = self._assumed(session) if self._settings.assume_role_arn else session
        return self._session

    def _assumed(self, session: Session) -> Session:
        sts: STSClient = self._make(session, "sts", self.region, _READ_ATTEMPTS)
        call: dict[str, Any] = {
            "RoleArn": self._settings.assume_role_arn,
            # STS allows these characters only, 64 at most.
            "RoleSessionName": re.sub(r"[^\w+=,.@-]", "-", f"hfplugin-{self._provider_name}", flags=re.ASCII)[:64],
            "DurationSeconds": _ROLE_SECONDS,
        }
        if self._settings.external_id:
            call["ExternalId"] = self._settings.external_id
        credentials = sts.assume_role(**call)["Credentials"]
        assumed = Session()
        assumed.set_credentials(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        )
        service_models.prefer(assumed, self._cache.directory)
        return assumed


def _give_up_when_dead(client: Any) -> None:
    """Let a client's first transport failure stand for all its later calls of this process.

    A call that has many requests to look after would else wait for the same dead region once for each.
    """
    failures: list[Exception] = []

    def note(exception: Exception, **_: Any) -> None:
        if isinstance(exception, TRANSPORT_FAILURES):
            failures.append(exception)

    def refuse(**_: Any) -> None:
        if failures:
            raise failures[0]

    client.meta.events.register("after-call-error", note)
    client.meta.events.register("before-call", refuse)
