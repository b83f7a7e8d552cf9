"""Credentials, sessions and clients: how hfplugin reaches AWS. The only module that makes a client.

The sessions are botocore's, which boto3's are made of: importing boto3 itself brings S3's transfer manager along,
and costs a poll more than all its own work.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.session import Session

from hfplugin import __version__
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.credentials import Provider, Renewable, Role
from hfplugin.providers.aws.errors import AWS_ERRORS, WRONG_ACCOUNT, translate
from hfplugin.providers.aws.guard import Guard
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

    from hfplugin.providers.aws.template import AWSTemplate

# Total tries inside one call: reading may be repeated. A launch may not: EC2 answers "no capacity" with HTTP 500,
# which botocore would try again, at the price of a RunInstances token and of knowing that nothing was launched.
_READ_ATTEMPTS = 3
_LAUNCH_ATTEMPTS = 1

# A silent region must not make a poll outlive HostFactory's patience. A time-out is not tried again (see guard).
_READ_SECONDS = 20.0

# The longest session that a chained role may have; every role allows it.
# Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_ROLE_SECONDS = 3600

# All that is done with the queue of interruptions may take HostFactory's call two seconds.
_QUEUE_SECONDS = 1.0

# What a damaged copy of botocore's data files makes it raise.
_DAMAGED = (ValueError, KeyError, TypeError, DataNotFoundError, UnknownServiceError)


class Clients:
    """Makes each client once; asks AWS for nothing until a client is used (assuming a role excepted).

    Threads may share it, and its clients.
    """

    def __init__(
        self,
        settings: AWSSettings,
        provider_name: str,
        cache: Cache,
        health: Health,
        template_regions: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.health = health
        self._template_regions = template_regions
        self._settings = settings
        self._provider_name = provider_name
        self._cache = cache
        self._base: Session | None = None
        self._session: Session | None = None
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._account: str | None = None
        # One session makes one client at a time. The lock of the account is taken before that of the sessions.
        self._lock = threading.RLock()
        self._account_lock = threading.Lock()

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
        return tuple(dict.fromkeys((self.region, *self._settings.fallback_regions, *self._template_regions())))

    def regions_of(self, template: AWSTemplate) -> tuple[str, ...]:
        """Give the regions that a template may go to: the home region, then those of its regionOverrides.

        `fallbackRegions`, when set, say which of these and in what order.
        """
        named = tuple(template.region_overrides)
        allowed = [region for region in self._settings.fallback_regions if region in named]
        return tuple(dict.fromkeys((self.region, *(allowed if self._settings.fallback_regions else named))))

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

    def require_ready(self, region: str, action: str, service: str = "ec2") -> None:
        """Raise ProviderError unless an action can be asked for now, as far as this can be known without asking.

        Credentials that do not serve are found out, and whether the service answers and takes such a call.
        """
        self._client(service, region, _LAUNCH_ATTEMPTS)
        try:
            self._guard(service, region).require_ready(action)
        except AWS_ERRORS as error:
            raise translate(error) from error

    def ssm(self, region: str) -> SSMClient:
        client: SSMClient = self._client("ssm", region, _READ_ATTEMPTS)
        return client

    def pricing(self, region: str) -> PricingClient:
        """Give the client for the price list, which few regions serve."""
        client: PricingClient = self._client("pricing", region, _READ_ATTEMPTS)
        return client

    def sqs(self, region: str) -> SQSClient:
        """Give the client for a queue, which gives up soon: botocore makes one try."""
        client: SQSClient = self._client("sqs", region, _LAUNCH_ATTEMPTS)
        return client

    def account(self) -> str:
        """Give the account that the credentials belong to. ProviderError when AWS does not say.

        Asked once per access key: the answer never changes and is kept in the cache beside the key's hash.
        """
        with self._account_lock:
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
            # One file for the latest key: temporary credentials bring a new key every few hours.
            known, _, account = (self._cache.get("account") or "").partition(" ")
            if known != self._key_digest():
                sts: STSClient = self._client("sts", self.region, _READ_ATTEMPTS)
                account = sts.get_caller_identity()["Account"]
                # Only now: the call may have renewed the credentials.
                self._cache.put("account", f"{self._key_digest()} {account}")
        except AWS_ERRORS as error:
            raise translate(error) from error
        return account

    def _key_digest(self) -> str:
        credentials = self._base_session().get_credentials()
        key = credentials.get_frozen_credentials().access_key if credentials else ""
        return hashlib.sha256(f"{self._settings.endpoint_url}|{key}".encode()).hexdigest()

    def _client(self, service: str, region: str, attempts: int) -> Any:
        key = (service, region, attempts)
        with self._lock:
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
        most = _QUEUE_SECONDS if service == "sqs" else math.inf
        longest = min(settings.read_timeout_seconds, most)
        proxy = f"http://{settings.proxy_host}:{settings.proxy_port or 80}" if settings.proxy_host else ""
        client = session.create_client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_url or None,
            config=Config(
                connect_timeout=min(settings.connect_timeout_seconds, most),
                read_timeout=longest if attempts == _LAUNCH_ATTEMPTS else min(longest, _READ_SECONDS),
                retries={"mode": "standard", "total_max_attempts": attempts},
                proxies={"http": proxy, "https": proxy} if proxy else None,
                user_agent_extra=f"hfplugin/{__version__}",
            ),
        )
        self._guard(service, region).watch(client)
        credentials = session.get_credentials()
        if isinstance(credentials, Renewable):
            credentials.watch(client)
        return client

    def _guard(self, service: str, region: str) -> Guard:
        proxy = f"{self._settings.proxy_host}:{self._settings.proxy_port}" if self._settings.proxy_host else ""
        route = " ".join(filter(None, (self._settings.endpoint_url, proxy)))
        # For a name in a file: the account that was last heard of serves, and asking for it would be a call.
        account = self._account or self._role_account() or (self._cache.get("account") or "").partition(" ")[2]
        return Guard(self.health, service, region, route, account)

    def _base_session(self) -> Session:
        """The session of the configured or standard credentials, before any role is assumed."""
        with self._lock:
            if self._base is None:
                session = self._new_session()
                chain = session.get_component("credential_provider")
                session.register_component(
                    "credential_provider", Provider(lambda: self._renewable(chain.load_credentials()))
                )
                self._base = session
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

    def _renewable(self, found: Credentials | None) -> Renewable | None:
        return Renewable(found, self._read_again, self._remedy) if found is not None else None

    def _read_again(self, refused: ReadOnlyCredentials) -> Credentials | None:
        """Give the credentials as a new process would find them, None if they are no others that serve.

        Those of another account do not: what this process has concluded is about the account that it began with.
        """
        try:
            session = self._new_session()
            found = session.get_credentials()
            if found is None or found.get_frozen_credentials() == refused:
                return None
            if self._account and not self._settings.assume_role_arn:
                sts: STSClient = self._make(session, "sts", self.region, _READ_ATTEMPTS)
                return found if sts.get_caller_identity()["Account"] == self._account else None
        except (ConfigurationError, *AWS_ERRORS):
            return None  # what AWS said of the first ones is the news
        return found

    def _remedy(self, method: str) -> str:
        settings = self._settings
        if settings.credential_file:
            return f"renew aws.credentialFile {settings.credential_file}"
        if settings.profile:
            return f"renew those of aws.profile {settings.profile}"
        return "renew AWS_SESSION_TOKEN and its keys" if method == "env" else f"renew those that {method} gives"

    def _own_session(self) -> Session:
        with self._lock:
            if self._session is None:
                session = self._base_session()
                self._session = self._assumed(session) if self._settings.assume_role_arn else session
            return self._session

    def _assumed(self, base: Session) -> Session:
        """Give the session of the role. Raises what botocore does when it cannot be assumed."""
        settings = self._settings
        call: dict[str, Any] = {
            "RoleArn": settings.assume_role_arn,
            # STS allows these characters only, 64 at most.
            "RoleSessionName": re.sub(r"[^\w+=,.@-]", "-", f"hfplugin-{self._provider_name}", flags=re.ASCII)[:64],
            "DurationSeconds": _ROLE_SECONDS,
        }
        if settings.external_id:
            call["ExternalId"] = settings.external_id
        credentials: Any = base.get_credentials()
        place = (self.region, settings.endpoint_url)
        role = Role(self._cache, call, place, credentials, lambda: self._sts_of(base))
        found = Renewable(role.credentials(), role.other_credentials, self._role_remedy)
        session = self._new_session()
        session.register_component("credential_provider", Provider(lambda: found))
        return session

    def _sts_of(self, session: Session) -> STSClient:
        with self._lock:
            sts: STSClient = self._make(session, "sts", self.region, _READ_ATTEMPTS)
            return sts

    def _role_remedy(self, _: str) -> str:
        return f"{self._settings.assume_role_arn} was assumed anew, and is refused still"
