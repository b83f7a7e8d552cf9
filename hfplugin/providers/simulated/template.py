"""The simulated provider's part of a template, typed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hfplugin.config import camel

# Keys in camelCase, unknown ones refused: what is misspelt has to be found before it is launched.
_SECTION = ConfigDict(alias_generator=camel, extra="forbid", frozen=True)

Text = Annotated[str, Field(min_length=1)]


class MachineType(BaseModel):
    """What a machine of a type has: `nram` is MiB, `weight` the capacity units that it is worth.

    `price` is dollars an hour, and not known where none is said.
    """

    model_config = _SECTION

    ncpus: Annotated[int, Field(ge=1)]
    nram: Annotated[int, Field(ge=1)]
    weight: Annotated[int, Field(ge=1)] = 1
    price: Annotated[float, Field(gt=0)] | None = None


class SimulatedTemplate(BaseModel):
    """Which machines, where, and from what: one by one, or from a group that replaces what it loses.

    Types are asked for in their order, and of each the places in theirs: where none is named, all of the cloud's.
    """

    model_config = _SECTION

    machine_types: Annotated[dict[Text, MachineType], Field(min_length=1)]
    places: list[Text] = []
    source: Literal["machines", "group"] = "machines"
    tags: dict[str, str] = {}

    @property
    def attributes(self) -> dict[str, list[str]]:
        """Give what HostFactory sizes its demand by: what a unit of any of the types has at least."""
        types = self.machine_types.values()
        return {
            "type": ["String", "X86_64"],
            "ncores": ["Numeric", "1"],
            "ncpus": ["Numeric", str(max(1, min(each.ncpus // each.weight for each in types)))],
            "nram": ["Numeric", str(max(1, min(each.nram // each.weight for each in types)))],
        }
