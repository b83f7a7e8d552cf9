"""What EC2 Fleet and Spot Fleet have in common: drafts of launches, pages, members, reasons, targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.model import Launch, MachineState, Refusal
from hfplugin.providers.aws import fleet_places, images, launch_templates, machine, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, kind_of, translate
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.base.provider import Context, Order, Plan, Sighting, Source

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# AWS's limit for the target of a fleet that lives on.
MOST = 10_000

# In a fleet's errors it only points at the others.
_POINTER = "UnfulfillableCapacity"


class Draft(NamedTuple):
    """A launch but for its call: `content` is the launch template's, `labels` are the tags of all that comes."""

    place: Place
    account: str
    units: int
    weights: dict[str, int]
    labels: dict[str, str]
    name: str
    content: dict[str, Any]
    user_data: str

    def plan(self, api: str, call: dict[str, Any]) -> Plan:
        """Give the plan. The launch template's name stands for the whole: what lives on is known by its id."""
        return Plan(
            api=api,
            region=self.place.region,
            account=self.account,
            place=str(self.place),
            params={"LaunchTemplateName": self.name, "LaunchTemplateData": self.content, "Call": call},
            units=self.units,
            weight=min(self.weights.values(), default=1),
            weights=self.weights,
            user_data=self.user_data,
            remains=(launch_templates.remains(self.name),),
        )


def draft(
    clients: Clients, context: Context, template: AWSTemplate, order: Order, place: Place, most: int = 0
) -> Draft:
    """Draft an order's launch in one place: for `most` units, or for a fleet that lives on.

    Only the call for an instant fleet can tag machines; any other does it through a launch template of its own.
    """
    clients.ec2_for_launch(place.region)  # credentials that do not serve are found out first
    weights = fleet_places.machine_types(template, place)
    labels = machine.labels(template, context, order, weights)
    user_data = machine.user_data(template)
    content = launch_templates.data(template, images.resolve(clients, place.region, template))
    content.pop("InstanceMarketOptions", None)  # the call says what is bought, and AWS wants it said once
    if not most:
        content["TagSpecifications"] = _labelled(content.get("TagSpecifications", ()), labels)
    return Draft(
        place=place,
        account=clients.account(),
        units=min(order.units, most or MOST),
        weights=weights,
        labels=labels,
        name=launch_templates.name(context, content, user_data),
        content=content,
        user_data=user_data,
    )


def _labelled(own: Sequence[Any], labels: dict[str, str]) -> list[dict[str, Any]]:
    """Lay our tags over those of the administrator's launch template."""
    kinds = {each["ResourceType"]: tags.as_dict(each.get("Tags", ())) for each in own}
    kinds |= {kind: {**kinds.get(kind, {}), **labels} for kind in ("instance", "volume")}
    return [each for kind, theirs in kinds.items() for each in machine.specifications(theirs, kind)]


def pages(clients: Clients, region: str, operation: str, **call: Any) -> list[Any]:
    """Read every page. Raises ProviderError."""
    try:
        client: Any = clients.ec2(region)
        read = [getattr(client, operation)(**call)]
        while read[-1].get("NextToken"):
            read.append(getattr(client, operation)(**call, NextToken=read[-1]["NextToken"]))
    except AWS_ERRORS as error:
        raise translate(error) from error
    return read


def members(launch: Launch, read: Iterable[Any]) -> tuple[Sighting, ...]:
    """Read the machines of a fleet from the pages that list them; what they are doing is not told."""
    return tuple(
        Sighting(
            id=each["InstanceId"],
            state=MachineState.PENDING,
            region=launch.region,
            account=launch.account,
            machine_type=each.get("InstanceType", ""),
            price_type="spot" if each.get("SpotInstanceRequestId") else "ondemand",
        )
        for page in read
        for each in page["ActiveInstances"]
    )


def reasons(records: Iterable[Any], place: str) -> tuple[Refusal, ...]:
    """Read a fleet's history of errors: the code is the event's sub-type."""
    events = [record.get("EventInformation", {}) for record in records]
    return distinct([(each.get("EventSubType", ""), each.get("EventDescription", "")) for each in events], place)


def distinct(errors: Iterable[tuple[str, str]], place: str) -> tuple[Refusal, ...]:
    """Give each reason, a code and its text, once; what only points at the others goes when there are others."""
    found = {pair: Refusal(kind_of(pair[0]), pair[0], " ".join(pair[1].split()), place) for pair in errors}
    real = [reason for reason in found.values() if reason.code != _POINTER]
    return tuple(real or found.values())


def lowered(now: Mapping[str, int], asked: Mapping[str, int], source: Source) -> dict[str, int] | None:
    """Give the target of a fleet that machines leave for good, by price type; None when it is low enough.

    It never rises, nor falls twice for the same machine.
    """
    left = {each: max(0, asked[each] - source.spent.get(each, 0)) for each in now}
    if source.held is not None:
        left = {each: min(units, source.held.get(each, 0)) for each, units in left.items()}
    return limited(now, left)


def limited(now: Mapping[str, int], most: Mapping[str, int]) -> dict[str, int] | None:
    """Give the target that is nowhere above the most, by price type; None when it is low enough."""
    wanted = {each: min(units, most.get(each, 0)) for each, units in now.items()}
    return wanted if wanted != now else None
