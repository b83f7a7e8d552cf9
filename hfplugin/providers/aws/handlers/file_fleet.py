"""EC2 Fleets from the file that a template's ec2FleetConfig names: their plans, calls and dry runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.providers.aws import fleet_file, fleet_places, launch_templates, machine, purchase, raw
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.fleet_file import FleetFile
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import fleet
from hfplugin.providers.aws.handlers.fleet import Draft
from hfplugin.providers.aws.handlers.trials import attempt
from hfplugin.providers.aws.purchase import Split
from hfplugin.providers.base.provider import Context, Order, Plan

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# What an override says of the machine itself, besides its place.
_OF_THE_MACHINE = ("InstanceType", "InstanceRequirements", "ImageId")


class Blueprint(NamedTuple):
    """A file for one order: a draft for each of its configurations, and how the target is parted."""

    file: FleetFile
    kind: str
    drafts: tuple[Draft, ...]
    split: Split

    def plan(self, api: str, call: dict[str, Any]) -> Plan:
        """Give the plan of the first draft, with the launch templates of the others beside its own."""
        first = self.drafts[0].plan(api, call)
        others = {each.name: each.content for each in self.drafts if each.name != self.drafts[0].name}
        more = [{"LaunchTemplateName": name, "LaunchTemplateData": content} for name, content in others.items()]
        return first._replace(
            params={**first.params, **({launch_templates.MORE: more} if more else {})},
            remains=(*first.remains, *map(launch_templates.remains, others)),
        )


def blueprint(
    clients: Clients, context: Context, template: AWSTemplate, order: Order, place: Place, batch: int
) -> Blueprint:
    """Draft an order's launch. `batch` is the most units of an instant fleet."""
    file = fleet_file.read(template)
    kind = file.kind(template)
    most = batch if kind == "instant" else 0
    drafts = tuple(
        fleet.draft(clients, context, fleet_file.template_of(template, part, file), order, place, most)
        for part in file.configurations
    )
    units = drafts[0].units
    is_top_up = place.price_type == fleet_places.ON_DEMAND and template.is_spot
    base = purchase.base_left(template, order.past)
    split = Split(units, 0) if is_top_up else fleet_file.split(file, template, units, base)
    return Blueprint(file, kind, drafts, split)


def call(plan: Blueprint, life: Mapping[str, Any], tags: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make CreateFleet's parameters, except for the token. `life` is what holds where the file says nothing."""
    content, split = plan.file.content, plan.split
    default = "spot" if split.spot else "on-demand"
    return {
        **life,
        **content,
        "Type": plan.kind,
        "LaunchTemplateConfigs": [
            {**part, "LaunchTemplateSpecification": launch_templates.reference(draft.name)}
            for part, draft in zip(plan.file.configurations, plan.drafts, strict=True)
        ],
        "TargetCapacitySpecification": {
            "DefaultTargetCapacityType": default,
            **content["TargetCapacitySpecification"],
            "TotalTargetCapacity": split.total,
            "OnDemandTargetCapacity": split.on_demand,
            "SpotTargetCapacity": split.spot,
        },
        "TagSpecifications": raw.tagged(content.get("TagSpecifications", []), tags),
    }


def trials(clients: Clients, plan: Blueprint, region: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give a dry run by RunInstances of each override of each configuration."""
    for number, (part, draft) in enumerate(zip(plan.file.configurations, plan.drafts, strict=True)):
        tags = machine.specifications(draft.labels, "instance", "volume")
        for override in part.get("Overrides") or [{}]:
            asked = {name: override[name] for name in _OF_THE_MACHINE if name in override}
            content = machine.in_subnet({**draft.content, "TagSpecifications": tags}, override.get("SubnetId", ""))
            words = (
                region,
                f"LaunchTemplateConfigs[{number}]",
                override.get("SubnetId"),
                override.get("InstanceType"),
            )
            trial = partial(attempt, clients, draft.plan("RunInstances", {}), content, asked)
            yield "/".join(filter(None, words)), trial
