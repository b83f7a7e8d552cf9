"""`hfplugin rehearse`: plays every template's life against an emulated AWS, and says whether all ended well.

Nothing here prints: an `Audience` is told of each template when its life has ended.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hfplugin import catalog, compiler
from hfplugin.cli import preparation, stage
from hfplugin.cli.emulation import require_extra
from hfplugin.cli.life import Act, Life
from hfplugin.cli.stage import Stage
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, InputError, StateError
from hfplugin.providers import DEFAULT_TYPE

if TYPE_CHECKING:
    from hfplugin.emulator import Emulator
    from hfplugin.emulator.chaos import Havoc

Document = dict[str, Any]


class Wish(NamedTuple):
    """What is to be rehearsed: how many units of which templates (none named: all), with which chaos, if any."""

    units: int
    templates: Sequence[str]
    chaos: int | None


class Play(NamedTuple):
    """The whole rehearsal: what came of every template, how many machines were launched, what is left of all."""

    acts: list[Act]
    launched: int
    left: list[str]

    @property
    def is_good(self) -> bool:
        return not self.left and all(act.is_good for act in self.acts)


class Audience(Protocol):
    """Is told how the rehearsal goes on."""

    def opening(self, notes: Sequence[str]) -> None: ...

    def act(self, act: Act) -> None: ...

    def ending(self, play: Play) -> None: ...


def play(environment: Environment, variables: Mapping[str, str], wish: Wish, audience: Audience) -> Play:
    """Rehearse; ConfigurationError, InputError or StateError when it cannot begin."""
    settings, _ = compiler.read_settings(*catalog.read_first(environment, "config"), environment.overrides)
    if settings.provider_type != DEFAULT_TYPE:
        raise ConfigurationError(
            f"provider type {settings.provider_type} has no emulator: only {DEFAULT_TYPE} can be rehearsed"
        )
    with _emulator() as emulator, stage.opened(environment, variables, emulator.url) as opened:
        notes = preparation.settled(opened, settings.provider, variables)
        offers = _chosen(opened, wish.templates)
        prepared = preparation.prepare(opened, emulator, {offer["templateId"] for offer in offers})
        seeded = [] if wish.chaos is None else [f"with chaos; the same again: --chaos {wish.chaos}"]
        audience.opening([*notes, *prepared.notes, *seeded])
        acts = []
        for offer in offers:
            havoc = _havoc(emulator, wish.chaos, prepared.pools.get(offer["templateId"], ()))
            act = Life(opened, emulator, wish.units, havoc).play(offer)
            audience.act(act)
            acts.append(act)
        left = [machine.id for machine in emulator.alive()]
        left += [f"{each['kind']} {each['id']}" for each in emulator.leftovers()]
        played = Play(acts, len(emulator.machines()), left)
    audience.ending(played)
    return played


@contextmanager
def _emulator() -> Iterator[Emulator]:
    require_extra()
    from hfplugin.emulator import Emulator, EmulatorError

    emulator = Emulator(invents=True)
    # Ctrl-C is for us: the emulator, which would hear it too, inherits that it is to be ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        emulator.__enter__()
    except EmulatorError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield emulator
    except EmulatorError as error:
        raise StateError(f"the rehearsal cannot go on: {error}") from error
    finally:
        emulator.__exit__(None, None, None)


def _chosen(opened: Stage, wanted: Sequence[str]) -> list[Document]:
    """Give what is offered of the templates that are wanted."""
    answer = opened.call("getAvailableTemplates", {})
    if answer.status:
        raise ConfigurationError(answer.document.get("message", "getAvailableTemplates failed"))
    offers: list[Document] = answer.document["templates"]
    known = [offer["templateId"] for offer in offers]
    for name in wanted:
        if name not in known:
            raise InputError(f"unknown template {name!r}; known: {', '.join(known)}")
    return [offer for offer in offers if not wanted or offer["templateId"] in wanted]


def _havoc(emulator: Emulator, seed: int | None, pools: Sequence[str]) -> Havoc | None:
    if seed is None:
        return None
    from hfplugin.emulator import chaos

    return chaos.Havoc(emulator, chaos.plan(seed, pools))
