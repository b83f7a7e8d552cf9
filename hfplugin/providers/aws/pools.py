"""What AWS has refused lately, as all processes remember it: pools of machines, subnets without addresses, quotas.

A pool is a purchase type, a machine type and a subnet, which stands for its zone: so no look-up is needed, and
what one service learns serves the others. Only what would be refused to any launch is remembered; the price, the
reservation, the host or the placement group of one template say nothing about another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hfplugin.model import Launch, Refusal
from hfplugin.providers.aws.errors import kind_of
from hfplugin.providers.base import places as base_places
from hfplugin.providers.base.health import Health, Refused
from hfplugin.providers.base.health.refusals import QUOTA_SECONDS
from hfplugin.providers.base.places import Choice

if TYPE_CHECKING:
    from hfplugin.providers.aws.client import Clients
    from hfplugin.providers.base.provider import Order

P = TypeVar("P")

_CAPACITY = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientInstanceCapacity",
        "Unsupported",
        "capacity-not-available",
        "capacity-oversubscribed",
    }
)
_ADDRESSES = "InsufficientFreeAddressesInSubnet"
# Quotas of machines, by purchase type and families. Others (volumes, fleets, groups) are no purchase type's.
_QUOTAS = frozenset(
    {
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "spotInstanceCountLimitExceeded",
    }
)

# These series share one quota, and so do those of graphics; others have one of their own.
# Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
_STANDARD = frozenset({"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"})
_GRAPHICS = frozenset({"g", "gr", "vt"})

# What makes a launch want more than a machine of a pool.
_PARTICULAR = ("GroupName", "GroupId", "Tenancy", "HostId", "HostResourceGroupArn")

_PRICE_TYPES = {"on-demand": "ondemand", "spot": "spot"}


class Pool(NamedTuple):
    """Machines of one type in one subnet; `price_type` is "spot" or "ondemand"."""

    region: str
    price_type: str
    machine_type: str
    subnet: str

    @property
    def key(self) -> str:
        return "/".join((self.region, self.price_type, self.machine_type, self.subnet or "default-subnet"))

    @property
    def addresses(self) -> str:
        return f"addresses/{self.region}/{self.subnet}"

    def quota(self, account: str) -> str:
        return "/".join(("quota", account, self.region, self.price_type, _family(self.machine_type)))


def _family(machine_type: str) -> str:
    """Name the quota that a machine type counts against: by its series, the letters it begins with."""
    series = "".join(takewhile(str.isalpha, machine_type))
    if series in _STANDARD:
        return "standard"
    return "graphics" if series in _GRAPHICS else series


def choose(clients: Clients, places: Iterable[tuple[P, Sequence[Pool]]], order: Order) -> Choice[P]:
    """Choose where to go next; a place is refused when all its pools are."""
    in_force = clients.health.refused.in_force()
    if not in_force:
        return Choice(next((place for place, _ in places), None))
    memory = Memory(clients.health, clients.account())
    return base_places.choose(((place, memory.refusal(pools, in_force)) for place, pools in places), order)


class Memory:
    """The refusals of one account's pools."""

    def __init__(self, health: Health, account: str) -> None:
        self._refused = health.refused
        self._account = account

    def refusal(self, pools: Iterable[Pool], in_force: Mapping[str, Refused]) -> Refused | None:
        """Give the refusal of the pool that was refused first, None when one of them may have machines."""
        found = [self._refusal_of(pool, in_force) for pool in pools]
        refused = [each for each in found if each is not None]
        return min(refused, key=lambda each: each.at) if refused and len(refused) == len(found) else None

    def _refusal_of(self, pool: Pool, in_force: Mapping[str, Refused]) -> Refused | None:
        keys = (pool.key, pool.addresses, pool.quota(self._account))
        return next((in_force[key] for key in keys if key in in_force), None)

    def note(self, refused: Iterable[tuple[Pool, Refusal]]) -> None:
        """Remember refusals; those that say nothing about other launches are passed over."""
        capacity, quota = {}, {}
        for pool, reason in refused:
            if reason.code in _QUOTAS:
                quota[pool.quota(self._account)] = str(reason)
            elif reason.code == _ADDRESSES and pool.subnet:
                capacity[pool.addresses] = str(reason)
            elif reason.code in _CAPACITY and pool.machine_type:
                capacity[pool.key] = str(reason)
        self._refused.note(capacity)
        self._refused.note(quota, QUOTA_SECONDS)

    def forget(self, pools: Iterable[Pool]) -> None:
        """Forget the refusals of pools that have just given machines."""
        self._refused.forget(
            key for pool in pools for key in (pool.key, pool.addresses, pool.quota(self._account))
        )


def of_parts(launch: Launch, parts: Iterable[Mapping[str, Any]]) -> list[Pool]:
    """Give the pool of each part of a CreateFleet answer, machines or an error."""
    return [_of_part(launch, part) for part in parts]


def _of_part(launch: Launch, part: Mapping[str, Any]) -> Pool:
    overrides = part.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
    return Pool(
        launch.region,
        _PRICE_TYPES.get(part.get("Lifecycle", ""), ""),
        part.get("InstanceType") or overrides.get("InstanceType", ""),
        overrides.get("SubnetId", ""),
    )


def refusals_of_parts(launch: Launch, errors: Sequence[Mapping[str, Any]]) -> list[tuple[Pool, Refusal]]:
    """Give what the errors of a CreateFleet answer say of which pool."""
    reasons = [
        Refusal(kind_of(each.get("ErrorCode", "")), each.get("ErrorCode", ""), each.get("ErrorMessage", ""))
        for each in errors
    ]
    return list(zip(of_parts(launch, errors), reasons, strict=True))


def of_source(launch: Launch) -> list[Pool]:
    """Give the pools that a fleet or group that lives on may take machines from.

    None where types are AWS's choice, and where it is bought both ways: which was refused is not told.
    """
    price_type = launch.place.split("/")[1]
    if price_type not in _PRICE_TYPES.values():
        return []
    call = launch.params["Call"]
    subnets = set(call["VPCZoneIdentifier"].split(",")) if "VPCZoneIdentifier" in call else _subnets(call)
    return [Pool(launch.region, price_type, each, subnet) for each in launch.weights for subnet in sorted(subnets)]


def _subnets(call: Mapping[str, Any]) -> set[str]:
    configs = call.get("LaunchTemplateConfigs", ())
    return {each.get("SubnetId", "") for config in configs for each in config.get("Overrides", ())} or {""}


def learn(
    clients: Clients, launch: Launch, brought: Iterable[Pool], refused: Iterable[tuple[Pool, Refusal]]
) -> None:
    """Forget the refusals of pools that gave machines, and remember those of pools that gave none."""
    memory = Memory(clients.health, launch.account)
    had = set(brought)
    memory.forget(had)
    if not is_particular(launch):
        memory.note((pool, reason) for pool, reason in refused if pool not in had)


def learn_from_source(clients: Clients, launch: Launch, errors: Iterable[Refusal]) -> None:
    """Remember why a fleet or group brings no more, the first time that it says so."""
    known = {(each.kind, each.code) for each in launch.errors}
    news = [each for each in errors if (each.kind, each.code) not in known]
    if news:
        learn(clients, launch, (), [(pool, each) for pool in of_source(launch) for each in news])


def is_particular(launch: Launch) -> bool:
    """True when a launch wants more than machines of a pool, or all of them or none: its refusal is its own."""
    params = launch.params
    content = {**params.get("LaunchTemplateData", {}), **params}
    placement = content.get("Placement", {})
    reservation = content.get("CapacityReservationSpecification", {})
    is_block = content.get("InstanceMarketOptions", {}).get("MarketType") == "capacity-block"
    return (
        is_block
        or any(placement.get(name) not in (None, "", "default") for name in _PARTICULAR)
        or "CapacityReservationTarget" in reservation
        or reservation.get("CapacityReservationPreference") == "capacity-reservations-only"
        or _wants_all(params)
    )


def _wants_all(params: Mapping[str, Any]) -> bool:
    options = [params.get("Call", {}).get(name, {}) for name in ("SpotOptions", "OnDemandOptions")]
    return params.get("MinCount", 1) > 1 or any("MinTargetCapacity" in each for each in options)
