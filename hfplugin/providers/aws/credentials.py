"""Credentials that are asked for again when AWS refuses them, and a role's, which all processes share.

Nothing here is logged; a role's session lies in the private cache until it runs out.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials

from hfplugin.providers.base.cache import Cache

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

# Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (RequestExpired is also said
# of temporary credentials) and the common errors of STS, Systems Manager and Auto Scaling.
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# Also what is said of a session or key that was revoked, or has given way to another.
_REFUSED = _EXPIRED | {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"}

# What a call's context remembers of its credentials.
_SIGNED_WITH = "hfplugin-signed-with"
_RENEWED = "hfplugin-renewed"

# botocore begins to renew a session so long before its end; one that has less left is none to begin with.
_LEAST_LEFT = timedelta(minutes=15)

_KEPT = "role.json"
_PARTS = ("access_key", "secret_key", "token", "expiry_time")


class Renewable:
    """A session's credentials. Once AWS refuses them their source is asked again, one time in a process.

    Stands for botocore's Credentials in a session, and has what a session asks of those. All clients and threads
    of a session share one. `again` gets what was refused and gives what there is now, None for nothing better.
    """

    def __init__(
        self,
        first: Credentials,
        again: Callable[[ReadOnlyCredentials], Credentials | None],
        remedy: Callable[[str], str],
    ) -> None:
        self.method = first.method
        self._credentials = first
        self._again = again
        self._remedy = remedy
        self._was_asked_again = False
        self._lock = threading.Lock()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._credentials.get_frozen_credentials()

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        return lambda: getattr(self._credentials, name, None)

    def watch(self, client: Any) -> None:
        """Let each call of a client that AWS refuses for its credentials be made once more with others."""
        events = client.meta.events
        events.register("before-sign", self._note_signing)
        events.register("needs-retry", self._sign_anew)
        events.register("after-call", self._explain)

    def _note_signing(self, request: Any, **_: Any) -> None:
        request.context[_SIGNED_WITH] = self.get_frozen_credentials()

    def _sign_anew(self, response: Any, request_dict: dict[str, Any], **_: Any) -> int | None:
        """Answer botocore's question in how many seconds to send the call again: at once, or not for our sake."""
        context = request_dict["context"]
        if response is None or _code(response[1]) not in _REFUSED or _RENEWED in context:
            return None
        if not self._is_renewed(context[_SIGNED_WITH]):
            return None
        context[_RENEWED] = True
        return 0

    def _is_renewed(self, refused: ReadOnlyCredentials) -> bool:
        with self._lock:
            if not self._was_asked_again:
                self._was_asked_again = True
                self._credentials = self._again(refused) or self._credentials
        # Also when another thread came first with the same refusal.
        return self.get_frozen_credentials() != refused

    def _explain(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if _RENEWED in context:
            # A try with refused credentials did nothing: the answer to the next is as good as a first one.
            parsed["ResponseMetadata"]["RetryAttempts"] -= 1
        code = _code(parsed)
        if code in _EXPIRED:
            remedy = self._remedy(self.method)
            if code == "RequestExpired":
                remedy += " (or this host's clock is wrong)"
            said = str(parsed["Error"].get("Message", "")).rstrip(". ")
            parsed["Error"]["Message"] = f"{said}: the credentials have expired: {remedy}"


class Provider:
    """Stands for botocore's chain of credential providers in a session; what it finds, it keeps."""

    def __init__(self, load: Callable[[], Renewable | None]) -> None:
        self._load = load
        self._found: list[Renewable | None] = []

    def load_credentials(self) -> Renewable | None:
        if not self._found:
            self._found.append(self._load())
        return self._found[0]


class Role:
    """Sessions of a role. One is used by all processes until it has little time left.

    `call` is what AssumeRole is called with, `place` says where, `base` are the credentials that sign it. A kept
    session serves only who would make the very same call; one that is damaged costs that call.
    """

    def __init__(
        self,
        cache: Cache,
        call: Mapping[str, Any],
        place: tuple[str, ...],
        base: Renewable | None,
        sts: Callable[[], STSClient],
    ) -> None:
        self._cache = cache
        self._call = call
        self._place = place
        self._base = base
        self._sts = sts
        self._refused: str | None = None

    def credentials(self) -> RefreshableCredentials:
        """Give credentials that renew themselves before they run out. Raises what botocore does."""
        return RefreshableCredentials.create_from_metadata(self._session(), self._session, "assume-role")

    def other_credentials(self, refused: ReadOnlyCredentials) -> RefreshableCredentials:
        """Give credentials of another session than the refused one, which is used no more."""
        self._refused = refused.access_key
        return self.credentials()

    def _session(self) -> dict[str, str]:
        """Give a session as botocore's RefreshableCredentials take it."""
        session = self._kept()
        if session is None:
            session = self._assumed()
            self._cache.put(_KEPT, json.dumps({**session, "of": self._digest()}))
        return session

    def _kept(self) -> dict[str, str] | None:
        try:
            kept = json.loads(self._cache.get(_KEPT) or "null")
            left = datetime.fromisoformat(kept["expiry_time"]) - datetime.now(UTC)
            is_ours = kept["of"] == self._digest() and kept["access_key"] != self._refused
            is_whole = all(isinstance(kept[part], str) for part in _PARTS)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        is_usable = is_ours and is_whole and left > _LEAST_LEFT
        return {part: kept[part] for part in _PARTS} if is_usable else None

    def _assumed(self) -> dict[str, str]:
        found = self._sts().assume_role(**self._call)["Credentials"]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }

    def _digest(self) -> str:
        base = self._base.get_frozen_credentials()[:3] if self._base is not None else None
        all_of_it = [dict(self._call), self._place, base]
        return hashlib.sha256(json.dumps(all_of_it, sort_keys=True).encode()).hexdigest()


def _code(parsed: Mapping[str, Any]) -> str:
    return str(parsed.get("Error", {}).get("Code", ""))
