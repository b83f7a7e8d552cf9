"""Client tokens: the same call twice is one deed, another call under the same token is refused.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Run_Instance_Idempotency.html
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from hfplugin.emulator.clock import Clock
from hfplugin.emulator.errors import ServiceError

# "for at least 24 hours": a client must not count on more.
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
        self._uses: dict[tuple[str, str], _Use] = {}

    def recall(self, action: str, token: str, params: dict[str, Any]) -> str | None:
        """Give the id that a call brought when it was made before; None when it is new.

        Raises IdempotentParameterMismatch when the token was used with other parameters.
        """
        longest = _LONGEST.get(action, 64)
        if len(token) > longest or not token.isascii():
            raise ServiceError(
                "InvalidClientToken",
                f"The client token {token} is not valid. Tokens have up to {longest} ASCII characters.",
            )
        use = self._uses.get((action, token)) if token else None
        if use is None or use.until <= self._clock.now:
            return None
        if use.digest != _digest(params):
            raise ServiceError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        return use.outcome

    def remember(self, action: str, token: str, params: dict[str, Any], outcome: str) -> None:
        """Note what a call brought. Calls that failed are not noted: their token is as good as new."""
        if token:
            self._uses[action, token] = _Use(_digest(params), outcome, self._clock.now + _LIFETIME)


def _digest(params: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()
