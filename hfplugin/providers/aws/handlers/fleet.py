"""What EC2 Fleet and Spot Fleet have in common: drafts of launches, pages, members, reasons, targets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.aws import (
    fleet_places,
    images,
    launch_templates,
    machine,
    operations,
    pools,
    purchase,
    tags,
)
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, FLEET_FAILURES, code_of_event, judged, translate
from hfplugin.providers.aws.fleet_places import ON_DEMAND, Place
from hfplugin.providers.aws.purchase import Split
from hfplugin.providers.base.provider import Context, Located, Order, Outcome, Plan, Sighting, Source

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

# AWS's limit for the target of a fleet that lives on.
MOST = 10_000

# In a fleet's errors it only points at the others.
_POINTER = "UnfulfillableCapacity"

# Ours: why a fleet brings no more, whatever AWS says about it.
_SHORT = "FleetEnded"
_SHORT_TEXT = "the fleet ended before it had brought all that was asked"
_LOST = "FleetNotReplenished"
_LOST_TEXT = "the fleet brought all, lost some of it and is of type request, which replaces nothing"

# A history is of one fleet, so that nothing but a clock ahead of AWS's could leave out its beginning.
_CLOCK_SECONDS = 3600


class Draft(NamedTuple):
    """A launch but for its call: `content` is the launch template's, `labels` are the tags of all that comes."""

    place: Place
    account: str
    units: int
    split: Split
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
    weights = fleet_places.machine_types(template, place)
    labels = machine.labels(template, context, order, weights)
    user_data = machine.user_data(template)
    content = launch_templates.data(template, images.resolve(clients, place.region, template))
    content.pop("InstanceMarketOptions", None)  # the call says what is bought, and AWS wants it said once
    if not template.ec2_fleet_config and (weights or template.instance_requirements):
        # So do the overrides which machines: an administrator's own type or requirements would contradict them.
        content.pop("InstanceRequirements" if weights else "InstanceType", None)
    if not most:
        content["TagSpecifications"] = _labelled(content.get("TagSpecifications", ()), labels)
    units = min(order.units, most or MOST)
    base = purchase.base_left(template, order.past)
    return Draft(
        place=place,
        account=clients.account(),
        units=units,
        split=Split(units, 0) if place.price_type == ON_DEMAND else purchase.split(template, units, base),
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


class Report(NamedTuple):
    """What a fleet that lives on says of itself. `held` and `target` are in units.

    `is_done`: it brings nothing more by its own word, because it is over or fulfilled and replaces nothing.
    """

    seen: tuple[Sighting, ...]
    is_over: bool
    is_done: bool
    activity: str
    held: float
    target: float


class Watch:
    """Judges a launch's fleet by what it reports and by its history, which `operation` gives."""

    def __init__(self, clients: Clients, launch: Launch, operation: str, **fleet_id: str) -> None:
        self._clients = clients
        self._launch = launch
        self._operation = operation
        self._fleet_id = fleet_id

    def judged(self, report: Report) -> Outcome:
        """Say what the fleet holds, whether more may come, and why less comes than was asked.

        Its list of machines may lag behind it: as long as it has fewer, nothing is settled.
        """
        launch = self._launch
        lags = sum(launch.units_of(each.machine_type) for each in report.seen) < report.held
        return Outcome(
            LaunchState.SETTLED if report.is_done and not lags else LaunchState.ACCEPTED,
            sightings=report.seen,
            errors=self._errors(report),
            resource_id=launch.resource_id,
            account=launch.account,
        )

    def _errors(self, report: Report) -> tuple[Refusal, ...]:
        launch = self._launch
        is_short = report.is_over and not launch.is_stopped and report.held < report.target
        is_failing = is_short or report.activity == "error"
        may_have_lost = launch.params["Call"]["Type"] == "request" and not (report.is_done or launch.is_stopped)
        if not (is_failing or may_have_lost):
            return ()
        try:
            records = self._history()
            told = reasons(records, launch.place) if is_failing else ()
            pools.learn_from_source(self._clients, launch, told)
            has_lost = may_have_lost and self._has_lost(records, report)
        except ProviderError as error:
            return (Refusal.of(error, launch.place),) if is_failing else ()
        if has_lost:
            told += (Refusal(ErrorKind.CAPACITY, _LOST, _LOST_TEXT, launch.place),)
        # One that ended has no more to give here.
        if is_short and not any(each.kind in (ErrorKind.CAPACITY, ErrorKind.QUOTA) for each in told):
            told += (Refusal(ErrorKind.CAPACITY, _SHORT, _SHORT_TEXT, launch.place),)
        return told

    def _history(self) -> list[Any]:
        since = datetime.fromtimestamp(self._launch.planned_at - _CLOCK_SECONDS, UTC)
        read = pages(self._clients, self._launch.region, self._operation, StartTime=since, **self._fleet_id)
        return [record for page in read for record in page["HistoryRecords"]]

    def _has_lost(self, records: Iterable[Any], report: Report) -> bool:
        """True when a fleet that replaces nothing has brought all its units and some of them are gone again.

        AWS counts only what lives, so that such a fleet is never fulfilled any more and would be waited for.
        """
        launch = self._launch
        types = launched(records)
        if sum(launch.units_of(each) for each in types.values()) < launch.units:
            return False
        held = {each.id for each in report.seen}
        absent = [Located(each, launch.region, launch.account) for each in types if each not in held]
        view = operations.observe(self._clients, absent)
        return any(each.state.is_going for each in view.seen.values())


def launched(records: Iterable[Any]) -> dict[str, str]:
    """Give the machines that a fleet's history says it launched, by id: their types, empty where not told."""
    events = [record.get("EventInformation", {}) for record in records]
    return {
        each["InstanceId"]: _type_in(each.get("EventDescription", ""))
        for each in events
        if each.get("EventSubType") == "launched" and each.get("InstanceId")
    }


def _type_in(description: str) -> str:
    try:
        told = json.loads(description)
    except ValueError:
        return ""
    return str(told.get("instanceType", "")) if isinstance(told, dict) else ""


def reasons(records: Iterable[Any], place: str) -> tuple[Refusal, ...]:
    """Read the failures in a fleet's history, each once."""
    events = [record.get("EventInformation", {}) for record in records]
    failures = [
        (each["EventSubType"], each.get("EventDescription", ""))
        for each in events
        if each.get("EventSubType") in FLEET_FAILURES
    ]
    return distinct([(code_of_event(event, text), text) for event, text in failures], place)


def distinct(errors: Iterable[tuple[str, str]], place: str) -> tuple[Refusal, ...]:
    """Give each reason, a code and its text, once; what only points at the others goes when there are others."""
    found = [
        Refusal(judged(code, text, place), code, " ".join(text.split()), place)
        for code, text in dict.fromkeys(errors)
    ]
    real = [reason for reason in found if reason.code != _POINTER]
    return tuple(real or found)


def lowered(now: Mapping[str, int], asked: Mapping[str, int], source: Source) -> dict[str, int] | None:
    """Give the target of a fleet that machines leave for good, by price type; None when it is low enough.

    It never rises, nor falls twice for the same machine. A stopped fleet that holds no less than its target is let
    be: what is spent may stand for one place twice there, as a lost machine and the one in its stead.
    """
    left = {each: max(0, asked[each] - source.spent.get(each, 0)) for each in now}
    if source.held is not None:
        if limited(now, source.held) is None:
            return None
        left = {each: min(units, source.held.get(each, 0)) for each, units in left.items()}
    return limited(now, left)


def limited(now: Mapping[str, int], most: Mapping[str, int]) -> dict[str, int] | None:
    """Give the target that is nowhere above the most, by price type; None when it is low enough."""
    wanted = {each: min(units, most.get(each, 0)) for each, units in now.items()}
    return wanted if wanted != now else None
