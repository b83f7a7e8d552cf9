"""The configuration file of IBM's own AWS plug-in, turned into ours.

Sources: IBM's reference of awsprov_config.json for Symphony, and LSF's additions.
"""

from __future__ import annotations

from typing import Any

from hfplugin.errors import ConfigurationError

# IBM's key -> section and key of ours.
_SAME = {
    "AWS_REGION": ("aws", "region"),
    "AWS_CREDENTIAL_FILE": ("aws", "credentialFile"),
    "AWS_ENDPOINT_URL": ("aws", "endpointUrl"),
    "AWS_PROXY_HOST": ("aws", "proxyHost"),
    "AWS_PROXY_PORT": ("aws", "proxyPort"),
    "AWS_INSTANCE_PENDING_TIMEOUT_SEC": ("requests", "pendingTimeoutSeconds"),
}

_NO_EFFECT = {
    "AWS_KEY_FILE": "key pairs are never created, so none is written",
    "AWS_REQUEST_RETRY_ATTEMPTS": "retries are built in and bounded",
    "AWS_DESCRIBE_REQUEST_RETRY_ATTEMPTS": "retries are built in and bounded",
    "AWS_DESCRIBE_REQUEST_INTERVAL": "the next poll is the next look",
    "ACCEPT_PROPAGATED_LOG_SETTING": "HF_LOGLEVEL always holds where it is set",
    "AWS_SPOT_TERMINATE_ON_RECLAIM": "AWS terminates what it reclaims",
    "AWS_CREDENTIAL_RENEW_MARGIN": "credentials are renewed as the AWS libraries do",
    "AWS_TAG_InstanceID": "the machine id is in every answer",
}

_LEVELS = {
    "TRACE": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARN": "WARNING",
    "ERROR": "ERROR",
    "FATAL": "ERROR",
}


def convert(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Give our form and a warning for each key that has no effect. Empty values count as absent."""
    given = {key: value for key, value in raw.items() if value not in ("", None)}
    if "AWS_CREDENTIAL_SCRIPT" in given:
        raise ConfigurationError(
            "AWS_CREDENTIAL_SCRIPT is not supported: use AWS_CREDENTIAL_FILE, or our own form with a profile "
            "that has a credential_process"
        )
    ours: dict[str, Any] = {"providerType": "aws", "aws": {}, "requests": {}, "logging": {}}
    warnings = []
    for key, value in given.items():
        if key in _SAME:
            section, name = _SAME[key]
            ours[section][name] = value
        elif key == "AWS_CONNECTION_TIMEOUT_MS":
            ours["aws"]["connectTimeoutSeconds"] = _number(key, value) / 1000
        elif key == "INSTANCE_CREATION_TIMEOUT":
            ours["requests"]["pendingTimeoutSeconds"] = int(_number(key, value) * 60)
        elif key == "LogLevel":
            ours["logging"]["level"] = _LEVELS.get(str(value).upper().removeprefix("LOG_"), value)
        else:
            warnings.append(f"{key} has no effect: {_NO_EFFECT.get(key, 'it is not a known key')}")
    return {section: content for section, content in ours.items() if content}, warnings


def _number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{key}: has to be a number (is {value!r})") from error
