"""How many machines can be had: numbers of pools, quotas of the account, addresses of a subnet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from hfplugin.emulator import catalogue
from hfplugin.emulator.errors import ServiceError

if TYPE_CHECKING:
    from hfplugin.emulator.blueprint import Blueprint
    from hfplugin.emulator.region import Region

SPOT, ON_DEMAND = "spot", "on-demand"


class Grant(NamedTuple):
    """How many of the machines that were wanted can be launched, and what stands against the others."""

    machines: int
    refusal: ServiceError | None


class Capacity:
    """The machines of one account in one region, counted by pool and by vCPU."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._machines: Counter[tuple[str, str]] = Counter()
        self._vcpus: Counter[str] = Counter()

    def grant(self, blueprint: Blueprint, wanted: int) -> Grant:
        """Say how many of the wanted machines there is room for. Nothing is taken yet."""
        limits = (self._by_price, self._by_quota, self._by_pool, self._by_reservation, self._by_subnet)
        grants = [grant for limit in limits if (grant := limit(blueprint)) and grant.machines < wanted]
        return min(grants, key=lambda grant: grant.machines, default=Grant(wanted, None))

    def take(self, blueprint: Blueprint, count: int) -> None:
        """Keep room for machines, which are then launched; negative: give it back when they are gone."""
        self._machines[blueprint.pool, blueprint.purchase] += count
        self._vcpus[blueprint.purchase] += count * catalogue.vcpus(blueprint.machine_type)
        self._region.moto.count_addresses(blueprint.subnet.subnet_id, count)
        if blueprint.reservation_id:
            self._region.reservations.require(blueprint.reservation_id).use(count)

    def room(self, pool: str, purchase: str) -> int | None:
        """Count what a pool can still hold; None: as much as is wanted."""
        limit = self._region.settings.limit_of(pool, purchase)
        if limit is None:
            return None
        number, is_shared = limit
        users = (SPOT, ON_DEMAND) if is_shared else (purchase,)
        return max(number - sum(self._machines[pool, user] for user in users), 0)

    def _by_pool(self, blueprint: Blueprint) -> Grant | None:
        room = self.room(blueprint.pool, blueprint.purchase)
        if room is None:
            return None
        if blueprint.purchase == SPOT:
            text = "There is no Spot capacity available that matches your request."
        else:
            text = (
                f"We currently do not have sufficient {blueprint.machine_type} capacity in the Availability Zone you "
                f"requested ({blueprint.zone}). Our system will be working on provisioning additional capacity."
            )
        return Grant(room, ServiceError("InsufficientInstanceCapacity", text))

    def _by_quota(self, blueprint: Blueprint) -> Grant | None:
        quota = self._region.settings.quotas.get(f"{blueprint.purchase}-vcpus")
        if quota is None:
            return None
        free = max(quota - self._vcpus[blueprint.purchase], 0)
        room = free // catalogue.vcpus(blueprint.machine_type)
        if blueprint.purchase == SPOT:
            return Grant(room, ServiceError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"))
        text = (
            f"You have requested more vCPU capacity than your current vCPU limit of {quota} allows for the instance "
            "bucket that the specified instance type belongs to."
        )
        return Grant(room, ServiceError("VcpuLimitExceeded", text))

    def _by_subnet(self, blueprint: Blueprint) -> Grant | None:
        subnet = blueprint.subnet.subnet_id
        text = f"There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of instances."
        return Grant(
            self._region.moto.free_addresses(subnet), ServiceError("InsufficientFreeAddressesInSubnet", text)
        )

    def _by_price(self, blueprint: Blueprint) -> Grant | None:
        if blueprint.purchase != SPOT or blueprint.max_price is None:
            return None
        price = self._region.price(blueprint)
        if blueprint.max_price >= price:
            return None
        text = (
            f"Your Spot request price of {blueprint.max_price} is lower than the minimum required Spot request "
            f"fulfillment price of {price}."
        )
        return Grant(0, ServiceError("SpotMaxPriceTooLow", text))

    def _by_reservation(self, blueprint: Blueprint) -> Grant | None:
        if not blueprint.reservation_id:
            return None
        text = f"Your request exceeds the available capacity of {blueprint.reservation_id}."
        room = self._region.reservations.require(blueprint.reservation_id).available
        return Grant(room, ServiceError("ReservationCapacityExceeded", text))
