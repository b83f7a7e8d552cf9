"""What is asked about machines and done to them, many at a time: one that is unknown never spoils the others.

"There is no such machine" is said only of this account's, and only after a look: what could not be seen is neither
seen nor missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Refusal
from hfplugin.providers.base.provider import (
    Found,
    Host,
    Inventory,
    Located,
    Notice,
    NoticeKind,
    Observation,
    Reclaimed,
    Released,
    Sighting,
)
from hfplugin.providers.simulated import groups, seen
from hfplugin.providers.simulated.cloud import Cloud, Launched
from hfplugin.providers.simulated.fate import Machine

_FOREIGN = Refusal(ErrorKind.AUTH, "WrongAccount", "it is of another account", seen.REGION)
_PROTECTED = Refusal(ErrorKind.INVALID, "Protected", "it is protected", seen.REGION)


def observe(cloud: Cloud, machines: Sequence[Located]) -> Observation:
    try:
        cloud.admit("observe")
        known = cloud.machines(each.id for each in machines)
    except ProviderError as error:
        return Observation(failures=(Refusal.of(error, seen.REGION),))
    missing = _missing(cloud, [each for each in machines if each.id not in known])
    are_all_judged = len(known) + len(missing) == len({each.id for each in machines})
    return Observation(
        {machine_id: seen.sighting(cloud, *found) for machine_id, found in known.items()},
        missing,
        () if are_all_judged else (_FOREIGN,),
    )


def _missing(cloud: Cloud, absent: Sequence[Located]) -> frozenset[str]:
    """Give the ids of what there is not; of another account's machines this one knows nothing."""
    return frozenset(each.id for each in absent if each.account in ("", cloud.account))


def release(cloud: Cloud, machines: Sequence[Located]) -> Released:
    """End machines that live; those that have ended count as ended."""
    refused: dict[str, Refusal] = {}
    ended: dict[str, list[Machine]] = {}
    with cloud.changing():
        known = cloud.machines(each.id for each in machines)
        now = cloud.clock.now()
        for machine_id, (launched, machine) in known.items():
            if machine.is_protected and cloud.life(machine).is_alive(now):
                refused[machine_id] = _PROTECTED
            elif cloud.life(machine).is_alive(now):
                ended.setdefault(launched.token, []).append(machine._replace(ended_at=now))
        launches = {launched.token: launched for launched, _ in known.values()}
        for token, changed in ended.items():
            cloud.save(launches[token].with_machines(changed))
    absent = [each for each in machines if each.id not in known]
    missing = _missing(cloud, absent)
    refused |= {each.id: _FOREIGN for each in absent if each.id not in missing}
    return Released(frozenset(known) - refused.keys(), missing, refused)


def reclaimed(cloud: Cloud, machines: Sequence[Located]) -> Reclaimed:
    """Say what the cloud takes: it follows from the machines' lives, so there are no messages to be let go."""
    try:
        cloud.admit("reclaimed")
        known = cloud.machines(each.id for each in machines)
    except ProviderError as error:
        return Reclaimed(failures=(Refusal.of(error, seen.REGION),))
    return Reclaimed(tuple(notice for _, machine in known.values() for notice in _notices(cloud, machine)))


def _notices(cloud: Cloud, machine: Machine) -> Iterator[Notice]:
    life, now = cloud.life(machine), cloud.clock.now()
    if life.reason and now >= life.ends_at:
        yield Notice(machine.id, NoticeKind.GONE, life.ends_at, 0.0, life.reason)
    elif life.ends_at == life.taken_at and life.told_at <= now < life.taken_at:
        yield Notice(machine.id, NoticeKind.INTERRUPTION, life.told_at, life.ends_at, life.reason)


def find_hosts(cloud: Cloud, hosts: Sequence[Host], provider_name: str) -> list[Found]:
    """Search by machine id, else by name; ours is what carries our provider's name."""
    cloud.admit("find_hosts")
    ids = [host.machine_id or seen.machine_id(host.name) for host in hosts]
    known = {machine_id: seen.sighting(cloud, *found) for machine_id, found in cloud.machines(ids).items()}

    def found(sighting: Sighting | None) -> Found:
        return Found(sighting, sighting is not None and sighting.provider_name == provider_name, is_complete=True)

    return [found(known.get(machine_id)) for machine_id in ids]


def find_requests(cloud: Cloud, request_ids: Sequence[str], provider_name: str) -> Inventory:
    """Give all that was launched for requests, ended machines included."""
    cloud.admit("find_requests")
    return _inventory(cloud, [each for each in _ours(cloud, provider_name) if each.tags["request"] in request_ids])


def inventory(cloud: Cloud, provider_name: str) -> Inventory:
    """Give all that lives."""
    try:
        cloud.admit("inventory")
        found = _inventory(cloud, _ours(cloud, provider_name))
    except ProviderError as error:
        return Inventory(failures=(Refusal.of(error, seen.REGION),))
    return found._replace(machines=tuple(each for each in found.machines if not each.state.is_going))


def _inventory(cloud: Cloud, launches: Sequence[Launched]) -> Inventory:
    return Inventory(
        tuple(seen.sighting(cloud, each, machine) for each in launches for machine in each.machines),
        tuple(groups.found(cloud, each) for each in launches if not each.is_over),
    )


def _ours(cloud: Cloud, provider_name: str) -> list[Launched]:
    return [launched for launched in cloud.every() if launched.tags["provider"] == provider_name]
