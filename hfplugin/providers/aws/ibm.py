"""The configuration file of IBM's own AWS plug-in, turned into ours.

Sources: IBM's reference of awsprov_config.json for Symphony, and LSF's additions.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Any

from hfplugin.config import is_blank
from hfplugin.errors import ConfigurationError

# IBM's key -> key of our `aws` section.
_TEXTS = {
    "AWS_REGION": "region",
    "AWS_CREDENTIAL_FILE": "credentialFile",
    "AWS_ENDPOINT_URL": "endpointUrl",
    "AWS_PROXY_HOST": "proxyHost",
}

# IBM's key -> section and key of ours, what one of IBM's units is in ours, and the least that ours may be.
_NUMBERS = {
    "AWS_PROXY_PORT": ("aws", "proxyPort", 1, 1),
    "AWS_CONNECTION_TIMEOUT_MS": ("aws", "connectTimeoutSeconds", 0.001, 0.1),
    "AWS_INSTANCE_PENDING_TIMEOUT_SEC": ("requests", "pendingTimeoutSeconds", 1, 1),
    "INSTANCE_CREATION_TIMEOUT": ("requests", "pendingTimeoutSeconds", 60, 1),
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
    "WARNING": "WARNING",
    "ERROR": "ERROR",
    "FATAL": "ERROR",
}


def convert(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Give our form and a warning for each key that has no effect. Empty values count as absent."""
    given = {key: value for key, value in raw.items() if not is_blank(value)}
    if "AWS_CREDENTIAL_SCRIPT" in given:
        raise ConfigurationError(
            "AWS_CREDENTIAL_SCRIPT is not supported: use AWS_CREDENTIAL_FILE, or our own form with a profile "
            "that has a credential_process"
        )
    ours: dict[str, Any] = {"providerType": "aws", "aws": {}, "requests": {}, "logging": {}}
    warnings = []
    for key, value in given.items():
        if key in _TEXTS:
            ours["aws"][_TEXTS[key]] = _text(key, value)
        elif key in _NUMBERS:
            section, name, unit, least = _NUMBERS[key]
            number = _number(key, value)
            if number:
                ours[section][name] = max(least, round(number * unit, 3 if least < 1 else None))
            else:
                warnings.append(f"{key} 0 has no effect: every wait is bounded")
        elif key == "LogLevel":
            ours["logging"]["level"] = _level(value)
        else:
            warnings.append(f"{key} has no effect: {_NO_EFFECT.get(key) or _unknown(key)}")
    return {section: content for section, content in ours.items() if content}, warnings


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{key}: has to be a text (is {value!r})")
    return value


def _number(key: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ConfigurationError(f"{key}: has to be a number, 0 or more (is {value!r})")
    return number


def _level(value: Any) -> str:
    name = str(value).upper().removeprefix("LOG_")
    if name not in _LEVELS:
        raise ConfigurationError(f"LogLevel: has to be one of {', '.join(_LEVELS)} (is {value!r})")
    return _LEVELS[name]


def _unknown(key: str) -> str:
    near = get_close_matches(key, [*_TEXTS, *_NUMBERS, *_NO_EFFECT, "LogLevel"], n=1, cutoff=0.8)
    return f"it is not a known key; did you mean {near[0]!r}?" if near else "it is not a known key"
