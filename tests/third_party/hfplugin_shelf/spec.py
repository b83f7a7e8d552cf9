"""What hfplugin is told of this kind of provider: settings, template keys, and how one is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from hfplugin.config import SECTION, camel
from hfplugin.providers.base.provider import Context, Provider, ProviderSpec


@dataclass(frozen=True)
class ShelfSettings:
    """The `shelf` section: where the shelf stands, and how many boxes it holds."""

    __pydantic_config__: ClassVar[dict[str, Any]] = SECTION

    directory: str
    slots: int = 1000


class ShelfTemplate(BaseModel):
    """The shelf's part of a template; `box_memory` is MiB."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid", frozen=True)

    box_cpus: Annotated[int, Field(ge=1)] = 2
    box_memory: Annotated[int, Field(ge=1)] = 4096


def _create(settings: ShelfSettings, context: Context) -> Provider:
    from hfplugin_shelf.provider import ShelfProvider

    return ShelfProvider(settings, context)


def _attributes(template: ShelfTemplate, settings: ShelfSettings, refreshed: str) -> dict[str, list[str]]:
    return {
        "type": ["String", "X86_64"],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", str(template.box_cpus)],
        "nram": ["Numeric", str(template.box_memory)],
    }


SPEC = ProviderSpec(
    provider_type="shelf",
    config_type=ShelfSettings,
    template_type=lambda: ShelfTemplate,
    create=_create,
    attributes=_attributes,
    tags=lambda template: {},
)
