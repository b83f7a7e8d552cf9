"""Client tokens: the same call twice is one deed, another call under the same token is refused.

Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hfplugin.emulator.clock import Clock
from hfplugin.emulator.errors import ServiceError

# How long AWS remembers is not documented; it was "at least 24 hours", and a client must not count on more.
_LIFETIME = 24 * 3600

_LONGEST = {"CreateLaunchTemplate": 128, "CreateLaunchTemplateVersion": 128}


class _Use(NamedTuple):
    digest: str
    outcome: str
    until: float


class Tokens:
    """The tokens of one account in one region, with what each brought."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._uses: dict[tuple[str, str, str], _Use] = {}

    def once(self, action: str, params: dict[str, Any], deed: Callable[[dict[str, Any]], str]) -> str:
        """Do what a call asks for unless its ClientToken was used; give the id that it brings or brought."""
        token = params.get("ClientToken", "")
        meant = {name: value for name, value in params.items() if name != "ClientToken"}
        known = self.recall(action, token, meant)
        if known is None:
            known = deed(meant)
            self.remember(action, token, meant, known)
        return known

    def recall(self, action: str, token: str, params: dict[str, Any], zone: str = "") -> str | None:
        """Give the id that a call brought when it was made before; None when it is new.

        A call that names its zone shares its token with no other zone's. Raises IdempotentParameterMismatch
        when the token was used with other parameters.
        """
        longest = _LONGEST.get(action, 64)
        if len(token) > longest or not token.isascii():
            raise ServiceError(
                "InvalidClientToken",
                f"The client token {token} is not valid. Tokens have up to {longest} ASCII characters.",
            )
        use = self._uses.get((action, token, zone)) if token else None
        if use is None or use.until <= self._clock.now:
            return None
        if use.digest != _digest(params):
            raise ServiceError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous "
                "request(s).",
            )
        return use.outcome

    def remember(self, action: str, token: str, params: dict[str, Any], outcome: str, zone: str = "") -> None:
        """Note what a call brought. Calls that failed are not noted: their token is as good as new."""
        if token:
            self._uses[action, token, zone] = _Use(_digest(params), outcome, self._clock.now + _LIFETIME)


def _digest(params: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()
