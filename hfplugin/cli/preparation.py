"""What a rehearsal settles beforehand: a region, parameters that templates name, other places to launch in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.cli.stage import REPLACED, Stage
from hfplugin.config import camel

if TYPE_CHECKING:
    from hfplugin.emulator import Emulator

Document = dict[str, Any]

_TEMPLATE_TAG = "hfplugin:template-id"


class Prepared(NamedTuple):
    """What was found out: by template, the pools that are tried first where there are others; notes for people."""

    pools: Mapping[str, tuple[str, ...]]
    notes: list[str]


class Place(NamedTuple):
    """Where a call would launch; empty: whatever the account or a launch template says."""

    subnet: str
    machine_type: str


def settled(stage: Stage, settings: Any, variables: Mapping[str, str]) -> list[str]:
    """Settle on a region, and say which settings the emulator stands in for."""
    from hfplugin.emulator import REGION

    given = {camel(name): value for name, value in vars(settings).items()}
    notes = []
    replaced = [key for key in REPLACED if given.get(key)]
    if replaced:
        notes.append(f"not used here, the emulator stands in for what they lead to: {', '.join(replaced)}")
    if not given.get("region"):
        region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or REGION
        stage.use_region(region)
        notes.append(f"the configuration names no region: rehearsed in {region}")
    return notes


def prepare(stage: Stage, emulator: Emulator, templates: Collection[str]) -> Prepared:
    """Try every template without launching, make up what can be, and see where else a launch could go."""
    stage.check()
    notes = [f"made up: parameter {name}" for name in _make_parameters(emulator)]
    if notes:
        emulator.forget_calls()
        stage.check()
    pools = dict(_pools(emulator, templates))
    emulator.forget_calls()
    return Prepared(pools, notes)


def _make_parameters(emulator: Emulator) -> Iterator[str]:
    """Make every parameter of Systems Manager that was asked for in vain; each becomes an image."""
    from hfplugin.emulator import IMAGE_ID, unsigned
    from hfplugin.emulator.client import ARM_IMAGE_ID

    asked = {
        (call["account"], call["region"], call["params"].get("Name", ""))
        for call in emulator.calls("GetParameter")
        if call["outcome"] != "ok"
    }
    for account, region, name in sorted(asked):
        image = ARM_IMAGE_ID if "arm64" in name.casefold() else IMAGE_ID
        unsigned.put_parameter(emulator.url, region, name, image, unsigned.key_of(emulator.url, account))
        yield name


def _pools(emulator: Emulator, templates: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give, for every template that has another place to go, the pool of the place that it tries first."""
    from hfplugin.emulator import unsigned

    calls = [call for call in emulator.calls() if call["outcome"] == "DryRunOperation"]
    for template in templates:
        own = [call for call in calls if _is_of(template, call["params"])]
        places = list(dict.fromkeys(place for call in own for place in _places(call["params"])))
        if len(places) < 2:
            continue
        call = own[0]
        key = unsigned.key_of(emulator.url, call["account"])
        zones = unsigned.subnet_zones(emulator.url, call["region"], key)
        pools = list(dict.fromkeys((place.machine_type or "*", zones.get(place.subnet, "*")) for place in places))
        if len(pools) > 1:
            yield template, (f"{call['region']}/{'/'.join(pools[0])}",)


def _is_of(template: str, params: Any) -> bool:
    """Whether the tags somewhere in a call's parameters name the template."""
    if isinstance(params, list):
        return any(_is_of(template, each) for each in params)
    if not isinstance(params, dict):
        return False
    if params.get("Key") == _TEMPLATE_TAG:
        return bool(params.get("Value") == template)
    return any(_is_of(template, each) for each in params.values())


def _places(params: Any) -> Iterator[Place]:
    """Find the places that a call's parameters name, at whatever depth."""
    if isinstance(params, list):
        for each in params:
            yield from _places(each)
    elif isinstance(params, dict):
        if "SubnetId" in params or "InstanceType" in params:
            yield Place(params.get("SubnetId", ""), params.get("InstanceType", ""))
        for each in params.values():
            yield from _places(each)
