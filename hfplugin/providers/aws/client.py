"""Credentials, sessions and clients: how hfplugin reaches AWS. The only module that makes a boto3 client."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from hfplugin import __version__
from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.base.cache import Cache

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# Total tries inside one call: reading may be repeated, a launch costs a RunInstances token every time.
_READ_ATTEMPTS = 4
_LAUNCH_ATTEMPTS = 2

# A call lives for minutes at most, so the shortest session that AWS gives is enough.
_ROLE_SECONDS = 900


class Clients:
    """Makes each client once; asks AWS for nothing until a client is used (assuming a role excepted)."""

    def __init__(self, settings: AWSSettings, provider_name: str, cache: Cache) -> None:
        self._settings = settings
        self._provider_name = provider_name
        self._cache = cache
        self._session: boto3.Session | None = None
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._account: str | None = None

    @property
    def region(self) -> str:
        """The home region: configured, or as the standard AWS variables and files say."""
        region = self._settings.region or os.environ.get("AWS_REGION") or self._base_session().region_name
        if not region:
            raise ConfigurationError(
                "no AWS region: set aws.region (AWS_REGION in IBM's form) in the configuration"
            )
        return region

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

    def ssm(self, region: str) -> SSMClient:
        client: SSMClient = self._client("ssm", region, _READ_ATTEMPTS)
        return client

    def account(self) -> str:
        """Give the account that the credentials belong to. ProviderError when AWS does not say.

        Asked once per access key: the answer never changes and is kept in the cache under the key's hash.
        """
        if self._account is None:
            self._account = self._role_account() or self._kept_account()
        return self._account

    def _role_account(self) -> str:
        parts = self._settings.assume_role_arn.split(":")
        return parts[4] if len(parts) > 5 else ""

    def _kept_account(self) -> str:
        try:
            credentials = self._base_session().get_credentials()
            key = credentials.access_key if credentials else ""
            name = "account-" + hashlib.sha256(f"{self._settings.endpoint_url}|{key}".encode()).hexdigest()[:16]
            kept = self._cache.get(name)
            if kept is None:
                sts: STSClient = self._client("sts", self.region, _READ_ATTEMPTS)
                kept = sts.get_caller_identity()["Account"]
                self._cache.put(name, kept)
        except AWS_ERRORS as error:
            raise translate(error) from error
        return kept

    def _client(self, service: str, region: str, attempts: int) -> Any:
        key = (service, region, attempts)
        if key not in self._clients:
            try:
                self._clients[key] = self._make(self._own_session(), service, region, attempts)
            except AWS_ERRORS as error:
                raise translate(error) from error
        return self._clients[key]

    def _make(self, session: boto3.Session, service: Any, region: str, attempts: int) -> Any:
        settings = self._settings
        proxy = f"http://{settings.proxy_host}:{settings.proxy_port or 80}" if settings.proxy_host else ""
        return session.client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_url or None,
            config=Config(
                connect_timeout=settings.connect_timeout_seconds,
                read_timeout=settings.read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": attempts},
                proxies={"http": proxy, "https": proxy} if proxy else None,
                user_agent_extra=f"hfplugin/{__version__}",
            ),
        )

    def _base_session(self) -> boto3.Session:
        """The session of the configured or standard credentials, before any role is assumed."""
        core = botocore.session.Session()
        path = self._settings.credential_file
        if path:
            if not os.access(path, os.R_OK):
                raise ConfigurationError(
                    f"credential file {path} cannot be read: correct the path or its permissions"
                )
            core.set_config_variable("credentials_file", path)
        # An explicit profile takes precedence over credentials in the environment.
        profile = self._settings.profile or ("default" if path else None)
        try:
            return boto3.Session(botocore_session=core, profile_name=profile)
        except AWS_ERRORS as error:
            raise translate(error) from error

    def _own_session(self) -> boto3.Session:
        if self._session is None:
            session = self._base_session()
            self._session = self._assumed(session) if self._settings.assume_role_arn else session
        return self._session

    def _assumed(self, session: boto3.Session) -> boto3.Session:
        sts: STSClient = self._make(session, "sts", self.region, _READ_ATTEMPTS)
        call: dict[str, Any] = {
            "RoleArn": self._settings.assume_role_arn,
            "RoleSessionName": f"hfplugin-{self._provider_name}"[:64],
            "DurationSeconds": _ROLE_SECONDS,
        }
        if self._settings.external_id:
            call["ExternalId"] = self._settings.external_id
        credentials = sts.assume_role(**call)["Credentials"]
        return boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )
