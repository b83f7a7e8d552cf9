"""Life goes on: everything works again, HostFactory polls and returns as ever; then the books have to balance."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hfplugin.providers.base.provider import Host
from simulation.laws import BrokenError, Law
from simulation.steps import heal
from simulation.world import World

# HostFactory polls every 30 s; later rounds are longer, so that the longest bound (a termination that is refused
# for half an hour, a deadline after a blind time) is passed within them.
_ROUNDS = [30, 30, 150, 150] * 4 + [700] * 12

# When nothing has happened for so long the end is called quiet: a machine counts as gone after two looks that do
# not find it, two minutes apart.
_QUIET_SECONDS = 180


def go_on(world: World, laws: Iterable[Law]) -> None:
    """Let the world come to rest and check that nothing was lost or leaked, then give all back and check again."""
    kept = frozenset(laws)
    scarce = dict(world.cloud.capacity)
    heal(world, Random(0))
    world.cloud.capacity |= scarce
    for machine in world.cloud.machines.values():
        machine.is_protected = False
    _come_to_rest(world, kept)
    _check(world, kept)
    if scarce:
        world.cloud.capacity.clear()  # nothing may come of it any more
        _come_to_rest(world, kept)
        _check(world, kept)
    _give_all_back(world)
    _come_to_rest(world, kept)
    _check(world, kept)
    _check_leftovers(world, kept)


def _come_to_rest(world: World, laws: frozenset[Law]) -> None:
    quiet = 0
    for number, seconds in enumerate(_ROUNDS):
        if number == 1 and Law.HOUSEKEEPING not in laws:
            # A return, at least, does what others have left.
            world.alone(lambda process: world.give_back(process, [Host("nowhere.internal", "")]), "return")
        world.clock.advance(seconds)
        before = _standing(world)
        _round(world)
        quiet = quiet + seconds if _standing(world) == before else 0
        if quiet >= _QUIET_SECONDS and not _open_ids(world, laws):
            return
    still = _open_ids(world, laws)
    if still:
        raise BrokenError(Law.ENDS, ", ".join(still))


def _open_ids(world: World, laws: frozenset[Law]) -> list[str]:
    return [each for each in world.hostfactory.open_ids if not excused(world, each, laws)]


def _round(world: World) -> None:
    hostfactory = world.hostfactory
    if hostfactory.open_ids:
        world.alone(lambda process: world.poll(process, hostfactory.open_ids), "poll")
    if hostfactory.used:
        world.alone(world.ask_lost, "lost")
    waiting = sorted(hostfactory.lost | hostfactory.unanswered)
    if waiting:
        hosts = [Host("", machine_id) for machine_id in waiting]
        world.alone(lambda process: world.give_back(process, hosts), "return")


def _standing(world: World) -> tuple[object, ...]:
    hostfactory = world.hostfactory
    return (
        frozenset(world.cloud.alive),
        frozenset(world.cloud.left),
        tuple(hostfactory.open_ids),
        frozenset(hostfactory.used),
    )


def _give_all_back(world: World) -> None:
    """Everything it ever used, also what it gave back in a call that was killed."""
    ids = sorted(world.hostfactory.used.keys() | world.hostfactory.returned.keys())
    known = [machine_id for machine_id in ids if machine_id in world.cloud.machines]
    hosts = [Host("", machine_id) for machine_id in known]
    if hosts:
        world.alone(lambda process: world.give_back(process, hosts), "return")


def excused(world: World, request_id: str, laws: frozenset[Law]) -> bool:
    """True for a request of which hfplugin does not promise yet that it comes to a good end."""
    is_orphan = request_id in world.orphans and request_id not in world.hostfactory.demands
    is_unclaimed = is_orphan and Law.UNCLAIMED not in laws
    return is_unclaimed or (request_id in world.damaged and Law.REBUILT not in laws)


def _check(world: World, laws: frozenset[Law]) -> None:
    alive = world.cloud.alive - {"i-foreign"}
    used = set(world.hostfactory.used)
    for machine_id in sorted(used - alive):
        if not excused(world, world.cloud.machines[machine_id].tags["request"], laws):
            raise BrokenError(Law.NOT_LOST, machine_id)
    if Law.REBUILT not in laws:
        alive -= world.hostfactory.given_back_in(world.damaged)
    for machine_id in sorted(alive - used):
        request_id = world.cloud.machines[machine_id].tags["request"]
        is_stray = machine_id in world.cloud.strays and Law.STRAYS not in laws
        if not is_stray and not excused(world, request_id, laws):
            raise BrokenError(Law.NOT_LEAKED, f"{machine_id} of {request_id}")


def _check_leftovers(world: World, laws: frozenset[Law]) -> None:
    asked = world.orphans | world.damaged | world.hostfactory.demands.keys()
    has_strays = bool(world.cloud.strays & world.cloud.alive)
    if has_strays or any(excused(world, request_id, laws) for request_id in asked):
        return
    if world.cloud.left:
        raise BrokenError(Law.NO_LEFTOVERS, ", ".join(sorted(world.cloud.left)))
