"""Templates, and launches: one call to the cloud each, from its frozen intent to what came of it."""

from enum import StrEnum
from typing import Any, NamedTuple

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError

# A launch of unknown outcome counts as "nothing was launched" after two empty looks this far apart.
SETTLE_SECONDS = 120

# A client token is remembered by the cloud for at least a day; an older launch is never replayed.
REPLAY_SECONDS = 24 * 3600


class LaunchState(StrEnum):
    """planned -> (accepted | refused | unknown) -> settled."""

    PLANNED = "planned"  # durable, perhaps sent, no outcome recorded
    ACCEPTED = "accepted"  # the cloud took it and may still deliver
    REFUSED = "refused"  # definitely nothing was launched
    UNKNOWN = "unknown"  # sent, and the answer was lost
    SETTLED = "settled"  # nothing more will come of it

    @property
    def is_open(self) -> bool:
        """True while machines may still come of it that no record holds."""
        return self in (LaunchState.PLANNED, LaunchState.UNKNOWN, LaunchState.ACCEPTED)

    @property
    def is_unsettled(self) -> bool:
        """True when its outcome is not known: it must be settled before anything else is asked."""
        return self in (LaunchState.PLANNED, LaunchState.UNKNOWN)


class Template(NamedTuple):
    """A template as HostFactory sees it, plus the provider's validated part.

    `extension` is that part as JSON, opaque here: read it through the TemplateExtensionRegistry.
    Times are seconds; `None` means the installation's setting.
    """

    id: str
    provider_type: str
    max_number: int
    attributes: dict[str, list[str]]
    extension: dict[str, Any]
    tags: dict[str, str] = {}
    all_or_nothing: bool = False
    pending_timeout: int | None = None
    deadline: int | None = None
    passthrough: dict[str, Any] = {}


class Refusal(NamedTuple):
    """One reason the cloud gave, by kind."""

    kind: ErrorKind
    code: str
    message: str
    place: str = ""
    at: int = 0

    @classmethod
    def of(cls, error: HFPluginError, place: str = "") -> "Refusal":
        """Read an error as a reason; one that is not the cloud's is for an administrator to correct."""
        if isinstance(error, ProviderError):
            return cls(error.kind, error.code, error.message, place)
        return cls(ErrorKind.INVALID, "", str(error), place)

    def __str__(self) -> str:
        where = f" in {self.place}" if self.place else ""
        return f"{self.code}{where}: {self.message}" if self.code else f"{self.message}{where}"


def most_machines(units: int, weight: int, weights: dict[str, int]) -> int:
    """Give how many machines so many units are at the most, when each is worth what its type is."""
    return -(-units // min(weights.values(), default=weight))


class Launch(NamedTuple):
    """One call to the cloud for machines: what was frozen before it, what came of it.

    `params` go to the cloud unchanged at every replay; user data stands in them by its hash.
    `units` is what was asked; `weight` the units one machine is worth, `weights` those of types that are worth
    something else; `place` where, for people. `look_only`: sending it again would tell nothing more, so what it
    brought is looked for. `remains` names what it leaves in the cloud besides machines, which is removed once the
    last of them is gone; `is_stopped`: its source was told to bring nothing more, at `stopped_at`. `passed_over`
    are the places before its own that were not asked, because they had refused other requests lately.
    """

    attempt: int
    token: str
    api: str
    region: str
    account: str
    place: str
    params: dict[str, Any]
    units: int
    planned_at: float
    weight: int = 1
    user_data: str = ""
    state: LaunchState = LaunchState.PLANNED
    resource_id: str = ""
    errors: tuple[Refusal, ...] = ()
    look_only: bool = False
    first_empty_look: float | None = None
    weights: dict[str, int] = {}
    remains: tuple[str, ...] = ()
    is_stopped: bool = False
    stopped_at: float = 0.0
    is_removed: bool = False
    passed_over: tuple[Refusal, ...] = ()

    @property
    def is_source(self) -> bool:
        """True while a fleet or group of it exists that may replace what is taken from it."""
        return (self.is_delivering or self.is_stopped) and not self.is_removed

    @property
    def has_failed(self) -> bool:
        """True when a source of it has said why it cannot bring what it was asked for."""
        return any(error.kind not in (ErrorKind.THROTTLED, ErrorKind.TRANSIENT) for error in self.errors)

    def stopped(self, now: float) -> "Launch":
        return self._replace(is_stopped=True, stopped_at=now)

    @property
    def is_delivering(self) -> bool:
        """True while a fleet or group of it may bring machines, also in place of others."""
        return self.state is LaunchState.ACCEPTED

    @property
    def is_refused_capacity(self) -> bool:
        return any(error.kind in (ErrorKind.CAPACITY, ErrorKind.QUOTA) for error in self.errors)

    @property
    def leaves_something(self) -> bool:
        return bool(self.remains) and not self.is_removed

    @property
    def machines(self) -> int:
        """How many machines were asked for, at the most."""
        return most_machines(self.units, self.weight, self.weights)

    def units_of(self, machine_type: str) -> int:
        """Give what a machine of a type is worth."""
        return self.weights.get(machine_type, self.weight)
