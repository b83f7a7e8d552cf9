"""What can happen next in a history: HostFactory's calls and all that goes wrong, and how often.

A step draws from a generator of its own, so that leaving out another step changes as little of it as can be.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hfplugin.errors import ErrorKind
from hfplugin.model import MachineState, NoticeKind, Refusal
from simulation.verbs import call, killed_call, lose_power, race
from simulation.world import ROOT, World

Step = Callable[[World, Random], str]

_KINDS = [ErrorKind.THROTTLED, ErrorKind.TRANSIENT, ErrorKind.TRANSIENT, ErrorKind.AUTH, ErrorKind.UNKNOWN]
_OPERATIONS = ["plan", "launch", "launch", "find_launched", "gather", "stop", "remove", "observe", "release"]
_OPERATIONS += ["terminate", "terminate", "find_hosts", "find_requests", "inventory", "discard"]
_OPERATIONS += ["reclaimed", "acknowledge"]
_PLACES = ["east/a", "east/b", "west/a"]


# time


def wait(world: World, draw: Random) -> str:
    seconds = draw.choice([1, 5, 20, 30, 30, 60, 130, 300])
    world.clock.advance(seconds)
    return f"{seconds} s pass"


def wait_long(world: World, draw: Random) -> str:
    seconds = draw.choice([700, 2000, 7200, 90_000])
    world.clock.advance(seconds)
    return f"{seconds} s pass"


def jump(world: World, draw: Random) -> str:
    """The host's clock is set wrong, or right again."""
    world.set_clock(draw.choice([-3600.0, -90.0, -5.0, 0.0, 45.0]) if world.skew == 0 else 0.0)
    return f"the host's clock is {world.skew:+.0f} s off"


# the cloud


def refuse_capacity(world: World, draw: Random) -> str:
    for place in _PLACES:
        world.cloud.capacity[place] = draw.choice([0, 0, 1, 2, 5, 10_000])
    return f"capacity is {world.cloud.capacity}"


def refuse_place(world: World, draw: Random) -> str:
    kind = draw.choice(
        [ErrorKind.CAPACITY, ErrorKind.QUOTA, ErrorKind.INVALID, ErrorKind.AUTH, ErrorKind.THROTTLED]
    )
    place = draw.choice(_PLACES)
    world.cloud.refusals[place] = Refusal(kind, f"{kind}-code", "refused", place)
    return f"{place} refuses: {kind}"


def fail_operations(world: World, draw: Random) -> str:
    said = []
    for _ in range(draw.choice([1, 1, 3])):
        operation, kind, times = draw.choice(_OPERATIONS), draw.choice(_KINDS), draw.choice([1, 1, 2, 5])
        world.cloud.fail_next(operation, kind, times)
        said.append(f"{operation} fails {times} times: {kind}")
    return ", ".join(said)


def lose_answers(world: World, draw: Random) -> str:
    operation = draw.choice(["launch", "launch", "release", "stop", "remove", "gather", "find_launched"])
    world.cloud.lost[operation] = draw.choice([1, 1, 3])
    return f"{operation} acts and does not answer, {world.cloud.lost[operation]} times"


def unreach(world: World, draw: Random) -> str:
    world.cloud.unreachable = set(draw.choice([["east"], ["west"], ["east", "west"]]))
    return f"{world.cloud.unreachable} cannot be reached"


def slow_down(world: World, draw: Random) -> str:
    """How long things take from now on; what there is shows within two minutes."""
    cloud = world.cloud
    cloud.boot_seconds = draw.choice([0, 20, 60, 200])
    cloud.hidden_seconds = draw.choice([0, 0, 20, 60, 100])
    cloud.source_seconds = draw.choice([0, 0, 10, 100, 500])
    cloud.deaf_seconds = draw.choice([0, 0, 20, 60])
    cloud.terminate_seconds = draw.choice([0, 30, 300])
    return (
        f"boot {cloud.boot_seconds} s, hidden {cloud.hidden_seconds} s, fleets act after {cloud.source_seconds} s "
        f"and hear after {cloud.deaf_seconds} s, terminations take {cloud.terminate_seconds} s"
    )


def heal(world: World, draw: Random) -> str:
    """Whatever was wrong is right again, but for the machines."""
    cloud = world.cloud
    for faults in (cloud.faults, cloud.lost, cloud.refusals, cloud.unreachable, cloud.capacity):
        faults.clear()
    world.set_clock(0.0)
    world.locks.mode, world.disk.mode = "kept", "sound"
    world.disk.unreadable.clear()
    return "all is well"


def end_machines(world: World, draw: Random) -> str:
    """Somebody, the cloud for one, ends machines, or starts to."""
    alive = sorted(world.cloud.alive)
    ended = draw.sample(alive, min(len(alive), draw.choice([1, 1, 2])))
    state = draw.choice([MachineState.TERMINATED, MachineState.SHUTTING_DOWN, MachineState.STOPPED])
    reason = draw.choice(["", "Server.SpotInstanceTermination"])
    for machine_id in ended:
        world.cloud.end(machine_id, state, reason)
        world.spoiled.add(machine_id)
    return f"{' '.join(ended)} {state} {reason}"


def take_back(world: World, draw: Random) -> str:
    """The cloud says that it takes machines back, once or oftener, and does so or not; or says what is not so."""
    alive = sorted(world.cloud.alive)
    taken = draw.sample(alive, min(len(alive), draw.choice([1, 1, 2])))
    interruption = NoticeKind.INTERRUPTION
    kind = draw.choice([interruption, interruption, interruption, NoticeKind.REBALANCE, NoticeKind.GONE])
    seconds = draw.choice([120, 120, 5])
    for machine_id in taken:
        for _ in range(draw.choice([1, 1, 2])):
            world.cloud.say(machine_id, kind, seconds)
        world.spoiled.add(machine_id)
        if kind is not NoticeKind.GONE:
            world.cloud.noticed.add(machine_id)
        if kind is interruption and draw.random() < 0.8:
            world.cloud.doomed[machine_id] = world.clock() + seconds
    return f"{kind} of {' '.join(taken)} within {seconds} s, or so it is said"


def hold_up(world: World, draw: Random) -> str:
    """Machines that never get ready, or that must not be terminated."""
    alive = sorted(world.cloud.alive)
    if not alive:
        return "nothing to hold up"
    machine = world.cloud.machines[draw.choice(alive)]
    world.spoiled.add(machine.id)
    if machine.ready_at > world.clock():
        machine.ready_at += 100_000
        return f"{machine.id} never gets ready"
    machine.is_protected = not machine.is_protected
    return f"{machine.id} is {'protected' if machine.is_protected else 'not protected any more'}"


# the host


def _record(world: World, draw: Random) -> str:
    """Give the path of a record, if there is one."""
    paths = [*world.disk.listed(f"{ROOT}/requests"), *world.disk.listed(f"{ROOT}/returns")]
    return draw.choice([path for path in paths if path.endswith(".json")] or [""])


def hide(world: World, draw: Random) -> str:
    """A record cannot be read until all is well again."""
    path = _record(world, draw)
    if path:
        world.disk.unreadable.add(path)
    return f"{path} cannot be read"


def damage(world: World, draw: Random) -> str:
    path = _record(world, draw)
    if not path:
        return "nothing to damage"
    content = world.disk.files[path].content
    what, damaged = draw.choice(
        [
            ("cut", content[: len(content) // 2]),
            ("emptied", b""),
            ("garbled", b"\x00\xff{"),
            ("alien", b"[]"),
            ("newer than hfplugin", content.replace(b'{"schema":', b'{"schema":9', 1)),
            ("removed", None),
        ]
    )
    record_id = path.rsplit("/", 1)[1].removesuffix(".json")
    world.damaged.add(record_id)
    world.cloud.hidden_until.clear()  # neither recorded nor listed is like not there
    world.disk.damage(path, damaged)
    return f"{record_id} is {what}"


def lose_state(world: World, draw: Random) -> str:
    """The state directory is lost whole, and with it the installation's id unless that is configured."""
    is_new = draw.random() < 0.5
    if is_new:
        world.cloud.installation += "x"
    world.replace_state({})
    return f"the state is lost{', the installation is a new one' if is_new else ''}"


def back_up(world: World, draw: Random) -> str:
    world.backup = world.disk.backup()
    return "the state is backed up"


def restore_backup(world: World, draw: Random) -> str:
    if world.backup is None:
        return "no backup to restore"
    world.replace_state(world.backup)
    return "the state is restored from its backup"


def break_disk(world: World, draw: Random) -> str:
    world.disk.mode = draw.choice(["full", "read-only"])
    return f"the disk is {world.disk.mode}"


def break_locks(world: World, draw: Random) -> str:
    world.locks.mode = draw.choice(["lost", "lost", "failing"])
    world.is_uncountable = world.is_uncountable or world.locks.mode == "lost"
    return f"locks are {world.locks.mode}"


# How often each happens, against the others.
WEIGHTS: dict[Step, float] = {
    call: 34,
    killed_call: 10,
    race: 12,
    wait: 22,
    wait_long: 2,
    jump: 1,
    refuse_capacity: 3,
    refuse_place: 2,
    fail_operations: 5,
    lose_answers: 3,
    unreach: 2,
    slow_down: 4,
    heal: 5,
    end_machines: 4,
    take_back: 3,
    hold_up: 2,
    lose_power: 2,
    damage: 1,
    hide: 1,
    lose_state: 0.4,
    back_up: 1,
    restore_backup: 1,
    break_disk: 1,
    break_locks: 1,
}
