"""What a check has to do with: HostFactory's words, machines, the world, and the memory of all that was said."""

from __future__ import annotations

from typing import NamedTuple

from hfplugin.conformance.dialogue import Dialogue
from hfplugin.conformance.hooks import World
from hfplugin.conformance.memory import Memory
from hfplugin.conformance.settings import Settings
from hfplugin.conformance.supply import Supply
from hfplugin.conformance.surroundings import Surroundings


class Run(NamedTuple):
    settings: Settings
    surroundings: Surroundings
    dialogue: Dialogue
    supply: Supply
    world: World
    memory: Memory
