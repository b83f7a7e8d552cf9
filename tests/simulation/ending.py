"""Life goes on: everything works again, HostFactory polls and returns as ever; then the books have to balance."""

from __future__ import annotations

from random import Random

from hfplugin.providers.base.provider import Host
from simulation.laws import BrokenError, Law
from simulation.steps import heal
from simulation.world import World

# HostFactory calls at least once a minute. Later rounds are longer, so that the longest bound (a termination
# that is refused for half an hour, a deadline after a blind time) is passed within them.
_ROUNDS = [30, 30] + [60] * 40 + [300] * 40

# When nothing has happened for so long the end is called quiet: what is astray is looked for every five minutes,
# and a machine counts as gone after two looks that do not find it, two minutes apart.
_QUIET_SECONDS = 600

# As the setting `unclaimedTimeoutSeconds`, and what the sweep after it takes.
_UNCLAIMED_SECONDS = 1080


# What nobody uses is removed at this age.
_SPARE_SECONDS = 3600


def go_on(world: World) -> None:
    """Let the world come to rest and check that nothing was lost or leaked, then give all back and check again."""
    scarce = dict(world.cloud.capacity)
    heal(world, Random(0))
    world.cloud.capacity |= scarce
    for machine in world.cloud.machines.values():
        machine.is_protected = False
    # A lost state is looked after once it is used again.
    world.alone(lambda process: world.request(process, "plain", 1), "request")
    _come_to_rest(world, _UNCLAIMED_SECONDS)
    _check(world)
    if scarce:
        world.cloud.capacity.clear()  # nothing may come of it any more
        _come_to_rest(world)
        _check(world)
    _give_all_back(world)
    _come_to_rest(world)
    _check(world)
    world.clock.advance(_SPARE_SECONDS)
    _come_to_rest(world)
    _check_leftovers(world)


def _come_to_rest(world: World, least: float = 0.0) -> None:
    """Go on until nothing has happened for a while, for at least so many seconds."""
    quiet = took = 0
    for seconds in _ROUNDS:
        world.clock.advance(seconds)
        took += seconds
        before = _standing(world)
        _round(world)
        quiet = quiet + seconds if _standing(world) == before else 0
        if quiet >= _QUIET_SECONDS and took >= least and not world.hostfactory.open_ids:
            return
    if world.hostfactory.open_ids:
        raise BrokenError(Law.ENDS, ", ".join(world.hostfactory.open_ids))


def _round(world: World) -> None:
    hostfactory = world.hostfactory
    world.alone(world.ask_templates, "templates")
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


def _is_left_alone(world: World, request_id: str) -> bool:
    """True for a request whose record was lost: the one exception to `nothing is leaked`.

    Nothing but its record told which of its machines HostFactory uses. A missing record is no reason to terminate,
    so what HostFactory does not give back by itself stays, and is shown to the administrator.
    """
    return request_id in world.damaged


def _is_forgotten(world: World, machine_id: str) -> bool:
    """True for a machine that neither a record nor the cloud knows any more: the one exception to `none is lost`.

    It ended more than an hour ago, while its record was lost. Nothing tells it from one that the cloud does not
    show, so it is not called lost; HostFactory sees itself that the host is gone.
    """
    machine = world.cloud.machines[machine_id]
    return machine.tags["request"] in world.damaged and not machine.is_visible


def _check(world: World) -> None:
    alive, used = world.cloud.alive, set(world.hostfactory.used)
    for machine_id in sorted(used - alive):
        if not _is_forgotten(world, machine_id):
            raise BrokenError(Law.NOT_LOST, machine_id)
    for machine_id in sorted(alive - used):
        request_id = world.cloud.machines[machine_id].tags["request"]
        if machine_id in world.hostfactory.returned:
            raise BrokenError(Law.GIVEN_BACK, f"{machine_id} of {request_id}")
        if not _is_left_alone(world, request_id):
            raise BrokenError(_leak(world, machine_id, request_id), f"{machine_id} of {request_id}")
    _check_fleets(world)


def _check_fleets(world: World) -> None:
    cloud = world.cloud
    for source in cloud.sources.values():
        is_watched = source.id not in cloud.others | cloud.forsaken and not source.is_over
        if is_watched and source.target > cloud.units_of(source):
            raise BrokenError(Law.CONTENT, f"{source.id} has {cloud.units_of(source)} of {source.target}")


def _leak(world: World, machine_id: str, request_id: str) -> Law:
    if request_id not in world.hostfactory.demands:
        return Law.UNCLAIMED
    return Law.STRAYS if machine_id in world.cloud.strays else Law.NOT_LEAKED


def _check_leftovers(world: World) -> None:
    """Nothing is left but for the machines that are; what an installation made that lost its id is nobody's."""
    kept = {world.cloud.machines[each].tags["request"] for each in world.cloud.alive}
    used = {
        name
        for source in world.cloud.sources.values()
        if source.launch.params["tags"]["request"] in kept
        for name in (source.id, *source.launch.remains)
    }
    left = world.cloud.left - used - world.cloud.forsaken
    if left:
        raise BrokenError(Law.NO_LEFTOVERS, ", ".join(sorted(left)))
