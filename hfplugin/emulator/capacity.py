"""How many machines can be had: numbers of pools, quotas of the account, reservations, addresses of a subnet."""

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
        # How often a pool could not give all that was wanted of it.
        self.refused: Counter[str] = Counter()

    def grant(self, blueprint: Blueprint, wanted: int) -> Grant:
        """Say how many of the wanted machines there is room for. Nothing is taken yet."""
        limits = (self._by_offer, self._by_price, self._by_room, self._by_subnet)
        grants = [grant for limit in limits if (grant := limit(blueprint)) and grant.machines < wanted]
        if grants:
            self.refused[blueprint.pool] += 1
        return min(grants, key=lambda grant: grant.machines, default=Grant(wanted, None))

    def take(self, blueprint: Blueprint, count: int) -> None:
        """Keep room for machines, which are then launched; negative: give it back when they are gone."""
        reservation = self._region.reservations.behind(blueprint)
        if reservation:
            reservation.use(count)
        else:
            self._count(blueprint.machine_type, blueprint.zone, blueprint.purchase, count)
        self._region.moto.count_addresses(blueprint.subnet.subnet_id, count)

    def reserve(self, machine_type: str, zone: str, count: int) -> None:
        """Keep room for a reservation, used or not; negative: give it back. ServiceError when there is less."""
        grants = (self._by_pool(machine_type, zone, ON_DEMAND), self._by_quota(machine_type, ON_DEMAND))
        for grant in grants:
            if grant and grant.refusal and grant.machines < count:
                raise grant.refusal
        self._count(machine_type, zone, ON_DEMAND, count)

    def _count(self, machine_type: str, zone: str, purchase: str, count: int) -> None:
        self._machines[self._pool(machine_type, zone), purchase] += count
        self._vcpus[purchase] += count * catalogue.vcpus(machine_type)

    def _pool(self, machine_type: str, zone: str) -> str:
        return f"{self._region.name}/{machine_type}/{zone}"

    def room(self, pool: str, purchase: str) -> int | None:
        """Count what a pool can still hold; None: as much as is wanted."""
        limit = self._region.settings.limit_of(pool, purchase)
        if limit is None:
            return None
        number, is_shared = limit
        users = (SPOT, ON_DEMAND) if is_shared else (purchase,)
        return max(number - sum(self._machines[pool, user] for user in users), 0)

    def _by_offer(self, blueprint: Blueprint) -> Grant | None:
        if self._region.settings.offers(blueprint.pool):
            return None
        text = (
            f"Your requested instance type ({blueprint.machine_type}) is not supported in your requested "
            f"Availability Zone ({blueprint.zone}). Please retry your request by not specifying an Availability "
            "Zone"
        )
        others = self._others(blueprint.machine_type, blueprint.zone)
        choice = f" or choosing {', '.join(others)}" if others else ""
        return Grant(0, ServiceError("Unsupported", f"{text}{choice}."))

    def _by_room(self, blueprint: Blueprint) -> Grant | None:
        """Ask the reservation, whose machines are kept for it, or else the pool and the quota."""
        if blueprint.reservation_id:
            return self._by_reservation(blueprint)
        by_pool = self._by_pool(blueprint.machine_type, blueprint.zone, blueprint.purchase)
        by_quota = self._by_quota(blueprint.machine_type, blueprint.purchase)
        return min(filter(None, (by_quota, by_pool)), key=lambda grant: grant.machines, default=None)

    def _by_pool(self, machine_type: str, zone: str, purchase: str) -> Grant | None:
        room = self.room(self._pool(machine_type, zone), purchase)
        if room is None:
            return None
        if purchase == SPOT:
            text = "There is no Spot capacity available that matches your request."
        else:
            text = self._elsewhere(machine_type, zone)
        return Grant(room, ServiceError("InsufficientInstanceCapacity", text))

    def _elsewhere(self, machine_type: str, zone: str) -> str:
        """Say where there is capacity, as EC2 does."""
        others = [each for each in self._others(machine_type, zone) if self._has_room(machine_type, each)]
        if not others:
            return "Insufficient capacity."
        return (
            f"We currently do not have sufficient {machine_type} capacity in the Availability Zone you requested "
            f"({zone}). Our system will be working on provisioning additional capacity. You can currently get "
            f"{machine_type} capacity by not specifying an Availability Zone in your request or choosing "
            f"{', '.join(others)}."
        )

    def _others(self, machine_type: str, zone: str) -> list[str]:
        """Give the other zones that offer the type."""
        offers = self._region.settings.offers
        zones = self._region.moto.zones
        return [each for each in zones if each != zone and offers(self._pool(machine_type, each))]

    def _has_room(self, machine_type: str, zone: str) -> bool:
        return self.room(self._pool(machine_type, zone), ON_DEMAND) != 0

    def _by_quota(self, machine_type: str, purchase: str) -> Grant | None:
        quota = self._region.settings.quotas.get(f"{purchase}-vcpus")
        if quota is None:
            return None
        free = max(quota - self._vcpus[purchase], 0)
        room = free // catalogue.vcpus(machine_type)
        if purchase == SPOT:
            return Grant(room, ServiceError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"))
        text = (
            f"You have requested more vCPU capacity than your current vCPU limit of {quota} allows for the "
            "instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        )
        return Grant(room, ServiceError("VcpuLimitExceeded", text))

    def _by_subnet(self, blueprint: Blueprint) -> Grant | None:
        subnet = blueprint.subnet.subnet_id
        text = f"There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of"
        refusal = ServiceError("InsufficientFreeAddressesInSubnet", f"{text} instances.")
        return Grant(self._region.moto.free_addresses(subnet), refusal)

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

    def _by_reservation(self, blueprint: Blueprint) -> Grant:
        reservation = self._region.reservations.require(blueprint.reservation_id)
        room = reservation.available if reservation.fits(blueprint.machine_type, blueprint.zone) else 0
        text = "The requested reservation does not have sufficient compatible and available capacity for this"
        return Grant(room, ServiceError("ReservationCapacityExceeded", f"{text} request."))
