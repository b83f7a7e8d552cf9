"""The steps that are HostFactory's calls: alone, killed, together, or with the power lost under them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hfplugin.providers.base.provider import Host
from simulation.processes import Process
from simulation.world import World

Verb = Callable[[Process], str]

# A call has about this many boundaries, its housekeeping included; a kill is drawn among them.
_BOUNDARIES = 60


# each gives its words and what to run


def _request(world: World, draw: Random) -> tuple[str, Verb]:
    chosen = draw.choice(world.site.templates).id
    units = draw.choice([1, 2, 3, 3, 4, 7])
    return f"request {units} of {chosen}", lambda process: world.request(process, chosen, units)


def _poll(world: World, draw: Random) -> tuple[str, Verb]:
    known = [*world.hostfactory.demands, *world.hostfactory.returns]
    ids = draw.choice(
        [
            world.hostfactory.open_ids,
            world.hostfactory.open_ids,
            world.hostfactory.open_ids[-1:],
            known[-1:],
            known,
            draw.sample(known, len(known) // 2),
        ]
    )
    unknown = [f"req-{world.new_uuid()}", "ret-00000000-0000-4000-8000-000000000000", "../odd"]
    ids = [*ids, draw.choice(unknown)] if draw.random() < 0.1 else ids
    return f"poll {' '.join(ids)}", lambda process: world.poll(process, ids)


def _host(world: World, machine_id: str, draw: Random) -> Host:
    machine = world.cloud.machines.get(machine_id)
    if machine is None or machine_id == "i-foreign":
        return Host("", machine_id)
    name = f"host-{machine.number}.internal"
    return draw.choice([Host(name, machine_id), Host(name, machine_id), Host("", machine_id), Host(name, "")])


def _return(world: World, draw: Random) -> tuple[str, Verb]:
    used, known = [*world.hostfactory.used], world.hostfactory.known_machines()
    ids = draw.choice(
        [
            used[-1:],
            used[:1],
            draw.sample(used, len(used) // 2),
            used,
            known[-2:],
            [*world.hostfactory.lost],
            [*world.hostfactory.returned][-2:],
        ]
    )
    hosts = [_host(world, each, draw) for each in ids]
    # By its name alone HostFactory gives back only what it uses: nothing else has that name for it.
    hosts = [
        h if h.machine_id or h.name in world.hostfactory.used.values() else Host(h.name, i)
        for h, i in zip(hosts, ids, strict=True)
    ]
    strangers = [Host("nowhere.internal", "i-0dead"), Host("nowhere.internal", ""), Host("", "i-foreign")]
    if not hosts or draw.random() < 0.15:
        hosts.append(draw.choice(strangers))
    if draw.random() < 0.1:
        hosts += hosts[:1]
    return f"return {' '.join(h.machine_id or h.name for h in hosts)}", lambda process: world.give_back(
        process, hosts
    )


def _ask_lost(world: World, draw: Random) -> tuple[str, Verb]:
    return "ask for lost hosts", world.ask_lost


def _ask_templates(world: World, draw: Random) -> tuple[str, Verb]:
    return "ask for templates", world.ask_templates


_VERBS = [_request, _request, _poll, _poll, _poll, _return, _ask_lost, _ask_templates]


def call(world: World, draw: Random) -> str:
    return _alone(world, draw)


def killed_call(world: World, draw: Random) -> str:
    return _alone(world, draw, draw.randrange(1, _BOUNDARIES))


def _alone(world: World, draw: Random, kill_at: int = 0) -> str:
    words, verb = draw.choice(_VERBS)(world, draw)
    world.tell(words)
    return f"{words}: {world.alone(verb, words, kill_at)}"


def race(world: World, draw: Random) -> str:
    """Two or three calls at once, of the same kind more often than not; now and then one of them is killed."""
    return _together(world, draw, [draw.randrange(1, _BOUNDARIES) if draw.random() < 0.2 else 0 for _ in range(3)])


def lose_power(world: World, draw: Random) -> str:
    """The host goes down in the middle of calls and comes up with what was synced."""
    kill_at = draw.randrange(1, _BOUNDARIES)
    is_busy = draw.random() < 0.5
    said = _together(world, draw, [kill_at, 0, 0], is_shared=True) if is_busy else _alone(world, draw, kill_at)
    world.disk.lose_power()
    return f"{said}; power lost"


def _together(world: World, draw: Random, kills: list[int], is_shared: bool = False) -> str:
    """Run calls at once, each killed at its boundary; a shared death is that of all."""
    kind = draw.choice(_VERBS)
    drawn = [draw.choice([kind, kind, *_VERBS])(world, draw) for _ in range(draw.choice([2, 2, 3]))]
    world.tell("at once: " + "; ".join(words for words, _ in drawn))
    said: dict[str, str] = {}
    processes = [Process(words, kill_at) for (words, _), kill_at in zip(drawn, kills, strict=False)]
    calls = []
    for number, (process, (words, verb)) in enumerate(zip(processes, drawn, strict=True)):
        process.company = processes if is_shared else []
        calls.append((process, _played(said, f"{number} {words}", verb, process)))
    with world.hostfactory.listening_at_once():
        world.boundaries.race(calls, draw)
    return "at once: " + "; ".join(f"{words}: {outcome}" for words, outcome in said.items())


def _played(said: dict[str, str], words: str, verb: Verb, process: Process) -> Callable[[], None]:
    def play() -> None:
        said[words] = verb(process)

    return play
