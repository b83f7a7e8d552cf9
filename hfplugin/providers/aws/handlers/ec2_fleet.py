"""Machines from EC2 Fleet: instant, request and maintain.

An instant fleet answers at once and is only a record afterwards; it is never deleted, because that would end all
of its machines. The others bring machines for as long as they are not stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.aws import fleet_places, launch_templates, machine, operations, pools, purchase, raw
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, judged, translate
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import file_fleet, fleet
from hfplugin.providers.aws.handlers.fleet import Draft, Report, Watch
from hfplugin.providers.aws.handlers.sending import refused, unsent
from hfplugin.providers.aws.handlers.trials import trials
from hfplugin.providers.aws.purchase import Split
from hfplugin.providers.base.provider import (
    Context,
    Located,
    Nowhere,
    Order,
    Outcome,
    Plan,
    Released,
    Sighting,
    Source,
)

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

API = "EC2Fleet"
OPERATION = "CreateFleet"

# What the call itself can tag: machines only those of an instant fleet.
_TAGGED = ("fleet",)
_TAGGED_OF_INSTANT = ("fleet", "instance", "volume")

# Machines of one instant fleet: AWS ends up to 1,000 with a fleet and recommends smaller batches.
BATCH = 500

# The parts of a fleet's target, by the price type of machines.
_PARTS = {"ondemand": "OnDemandTargetCapacity", "spot": "SpotTargetCapacity"}

_OVER = ("deleted", "deleted_running", "deleted_terminating", "failed")
_GONE = ("InvalidFleetId.NotFound", "fleetIdDoesNotExist")

# Of a fleet that was deleted before.
_ENDED = (*_GONE, "fleetNotInDeletableState")

# AWS forgets a fleet this long after it was deleted and its last machine ended.
_KEPT_SECONDS = 48 * 3600


class EC2Fleet:
    """Launches, watches and ends EC2 Fleets."""

    def __init__(self, clients: Clients, context: Context, now: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._context = context
        self._now = now

    def plan(self, template: AWSTemplate, order: Order) -> Plan | Nowhere:
        choice = fleet_places.first_open(self._clients, template, order)
        return choice.planned(lambda place: self.plan_in(template, order, place))

    def plan_in(self, template: AWSTemplate, order: Order, place: Place) -> Plan:
        """Give the launch of an order in one place."""
        template = template.in_region(place.region)
        self._clients.require_ready(place.region, OPERATION)
        if template.ec2_fleet_config:
            return self._plan_of_file(template, order, place)
        most = BATCH if (template.fleet_type or "instant") == "instant" else 0
        draft = fleet.draft(self._clients, self._context, template, order, place, most)
        made = call(template, place, draft, self._now(), order.template.all_or_nothing)
        return draft.plan(API, raw.applied(OPERATION, made, template))

    def _plan_of_file(self, template: AWSTemplate, order: Order, place: Place) -> Plan:
        drawn = file_fleet.blueprint(self._clients, self._context, template, order, place, BATCH)
        kinds = _TAGGED_OF_INSTANT if drawn.kind == "instant" else _TAGGED
        tags = machine.specifications(drawn.drafts[0].labels, *kinds)
        made = file_fleet.call(drawn, _life(template, drawn.kind, self._now()), tags)
        if order.template.all_or_nothing:
            made |= _whole(made, drawn.split, drawn.file.is_one_type)
        return drawn.plan(API, raw.applied(OPERATION, made, template))

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        """Send the launch. An instant fleet brings all it will ever bring at once."""
        call = {**launch.params["Call"], "ClientToken": launch.token}
        try:
            answer: Any = launch_templates.call_with(
                self._clients,
                self._context,
                launch,
                user_data,
                lambda: self._clients.ec2_for_launch(launch.region).create_fleet(**call),
            )
        except HFPluginError as error:
            return unsent(launch, error)
        except AWS_ERRORS as error:
            outcome = refused(launch, error)
            pools.learn_from_source(self._clients, launch, outcome.errors)
            return outcome
        if call["Type"] != "instant":
            return Outcome(LaunchState.ACCEPTED, resource_id=answer["FleetId"], account=launch.account)
        is_told = launch.state is not LaunchState.UNKNOWN and (answer.get("Instances") or answer.get("Errors"))
        told = answer if is_told else self._described(launch, answer["FleetId"])
        brought = pools.of_parts(launch, told.get("Instances", ()))
        pools.learn(self._clients, launch, brought, pools.refusals_of_parts(launch, told.get("Errors", ())))
        return _brought(launch, told)

    def find(self, launch: Launch, request_id: str) -> Outcome:
        """Look for what a launch of unknown outcome brought; UNKNOWN when there is nothing to be seen.

        An instant fleet cannot be listed: its machines are found by their tags.
        """
        if launch.params["Call"]["Type"] == "instant":
            return Outcome(
                LaunchState.UNKNOWN, sightings=operations.find_attempt(self._clients, launch, request_id)
            )
        for page in fleet.pages(self._clients, launch.region, "describe_fleets"):
            for each in page["Fleets"]:
                if each.get("ClientToken") == launch.token:
                    return Outcome(LaunchState.ACCEPTED, resource_id=each["FleetId"], account=launch.account)
        return Outcome(LaunchState.UNKNOWN)

    def gather(self, launch: Launch) -> Outcome:
        """Give the machines that the fleet holds.

        One that is over, or fulfilled and stopped or not maintained, is settled, unless the list of its machines
        still lags behind it. An instant fleet, of which AWS lists no machines, has brought all it ever will.
        """
        if launch.params["Call"]["Type"] == "instant":
            return Outcome(LaunchState.SETTLED, resource_id=launch.resource_id, account=launch.account)
        try:
            described = self._described(launch, launch.resource_id)
        except ProviderError as error:
            return self._forgotten(launch, error)
        listed = fleet.pages(self._clients, launch.region, "describe_fleet_instances", FleetId=launch.resource_id)
        seen = fleet.members(launch, listed)
        is_over, activity = described["FleetState"] in _OVER, described.get("ActivityStatus", "")
        is_last = described["Type"] == "request" or (launch.is_stopped and described["FleetState"] == "active")
        report = Report(
            seen=seen,
            is_over=is_over,
            is_done=is_over or (is_last and activity == "fulfilled"),
            activity=activity,
            held=described.get("FulfilledCapacity", 0),
            target=described["TargetCapacitySpecification"]["TotalTargetCapacity"],
        )
        watch = Watch(self._clients, launch, "describe_fleet_history", FleetId=launch.resource_id)
        return watch.judged(report)

    def _forgotten(self, launch: Launch, error: ProviderError) -> Outcome:
        """Judge a fleet that cannot be described: AWS does not know it any more, or not yet."""
        if error.code not in _GONE:
            raise error
        if self._now() - launch.planned_at < _KEPT_SECONDS:
            raise ProviderError(ErrorKind.TRANSIENT, error.code, error.message) from error
        return Outcome(LaunchState.SETTLED, resource_id=launch.resource_id, account=launch.account)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """Let the fleet bring nothing more: a maintain fleet is set to what it holds, a request fleet deleted."""
        if launch.params["Call"]["Type"] == "maintain":
            wanted = fleet.limited(self._target(launch), held)
            if wanted is not None:
                self._retarget(launch, wanted)
        elif launch.params["Call"]["Type"] == "request":
            self._delete(launch, ends_machines=False)

    def release(self, source: Source, machines: Sequence[Located]) -> Released:
        """Terminate machines, of a maintain fleet after its target is lowered."""
        if source.launch.params["Call"]["Type"] == "maintain":
            launch = source.launch
            asked = _by_price_type(launch.params["Call"]["TargetCapacitySpecification"])
            wanted = fleet.lowered(self._target(launch), asked, source)
            if wanted is not None:
                self._retarget(launch, wanted)
        return operations.release(self._clients, machines)

    def _target(self, launch: Launch) -> dict[str, int]:
        """Give a fleet's target by price type; empty when there is nothing left to be told."""
        try:
            described = self._described(launch, launch.resource_id)
        except ProviderError as error:
            if error.code not in _GONE:
                raise
            return {}
        is_over = described["FleetState"] in _OVER
        return {} if is_over else _by_price_type(described["TargetCapacitySpecification"])

    def _retarget(self, launch: Launch, units: Mapping[str, int]) -> None:
        parts = {key: units.get(price_type, 0) for price_type, key in _PARTS.items()}
        target: Any = {"TotalTargetCapacity": sum(parts.values()), **parts}
        try:
            self._clients.ec2(launch.region).modify_fleet(
                FleetId=launch.resource_id,
                ExcessCapacityTerminationPolicy="no-termination",
                TargetCapacitySpecification=target,
            )
        except AWS_ERRORS as error:
            raise translate(error) from error

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """Delete the emptied fleet, with what came too late for anybody to know, then its launch template.

        An instant fleet's record ages out at AWS.
        """
        if launch.params["Call"]["Type"] != "instant" and launch.resource_id:
            self._delete(launch, ends_machines=True)
        launch_templates.remove(self._clients, launch.region, remains)

    def _delete(self, launch: Launch, ends_machines: bool) -> None:
        try:
            answer = self._clients.ec2(launch.region).delete_fleets(
                FleetIds=[launch.resource_id], TerminateInstances=ends_machines
            )
        except AWS_ERRORS as error:
            raise translate(error) from error
        for failed in answer.get("UnsuccessfulFleetDeletions", ()):
            code, text = failed["Error"].get("Code", ""), failed["Error"].get("Message", "")
            if code not in _ENDED:
                raise ProviderError(judged(code, text, launch.resource_id), code, text)

    def trials(self, template: AWSTemplate, order: Order) -> Iterator[tuple[str, Callable[[], None]]]:
        if not template.ec2_fleet_config:
            yield from trials(self._clients, self._context, template, order, self.plan_in)
            return
        for region in self._clients.regions_of(template):
            regional = template.in_region(region)
            place = Place(region, template.purchase, 0, ())
            drawn = file_fleet.blueprint(self._clients, self._context, regional, order, place, BATCH)
            yield from file_fleet.trials(self._clients, drawn, region)

    def _described(self, launch: Launch, fleet_id: str) -> Any:
        try:
            found = self._clients.ec2(launch.region).describe_fleets(FleetIds=[fleet_id])["Fleets"]
        except AWS_ERRORS as error:
            raise translate(error) from error
        if not found:
            raise ProviderError(ErrorKind.INVALID, _GONE[0], f"{fleet_id} is not shown")
        return found[0]


def _by_price_type(target: Mapping[str, int]) -> dict[str, int]:
    return {price_type: target.get(key, 0) for price_type, key in _PARTS.items()}


def call(template: AWSTemplate, place: Place, draft: Draft, now: float, is_whole: bool = False) -> dict[str, Any]:
    """Make CreateFleet's parameters, except for the token. `is_whole`: all of it or nothing."""
    kind = template.fleet_type or "instant"
    split = draft.split
    kinds = _TAGGED_OF_INSTANT if kind == "instant" else _TAGGED
    options = _options(template, split, kind)
    return {
        "Type": kind,
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": launch_templates.reference(draft.name),
                "Overrides": fleet_places.overrides(template, place, "MaxPrice"),
            }
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": split.total,
            "OnDemandTargetCapacity": split.on_demand,
            "SpotTargetCapacity": split.spot,
            "DefaultTargetCapacityType": "spot" if split.spot else "on-demand",
        },
        "TagSpecifications": machine.specifications(draft.labels, *kinds),
        **options,
        **(_whole(options, split, template.is_one_type) if is_whole else {}),
        **_life(template, kind, now),
    }


def _options(template: AWSTemplate, split: Split, kind: str) -> dict[str, Any]:
    spot: dict[str, Any] = {"AllocationStrategy": purchase.hyphenated(template.spot_strategy)}
    if template.pools_count and template.spot_strategy == "lowestPrice":
        spot["InstancePoolsToUseCount"] = template.pools_count
    on_demand: dict[str, Any] = {"AllocationStrategy": purchase.hyphenated(template.on_demand_strategy)}
    if template.wants_reserved and kind == "instant":  # AWS takes it for no other
        on_demand["CapacityReservationOptions"] = {"UsageStrategy": "use-capacity-reservations-first"}
    return {
        **({"SpotOptions": spot} if split.spot else {}),
        **({"OnDemandOptions": on_demand} if split.on_demand else {}),
    }


def _whole(options: Mapping[str, Any], split: Split, is_one_type: bool) -> dict[str, Any]:
    """Give the options by which AWS launches all or nothing: it wants a single type or a single zone for that."""
    single = "SingleInstanceType" if is_one_type else "SingleAvailabilityZone"
    parts = {"SpotOptions": split.spot, "OnDemandOptions": split.on_demand}
    return {
        name: {**options.get(name, {}), "MinTargetCapacity": units, single: True}
        for name, units in parts.items()
        if units
    }


def _life(template: AWSTemplate, kind: str, now: float) -> dict[str, Any]:
    """What ends or keeps a fleet that lives on. Nothing of it applies to an instant one.

    A maintain fleet ends only where the template says when.
    """
    if kind == "instant":
        return {}
    life: dict[str, Any] = {"TerminateInstancesWithExpiration": False}
    if kind == "request" or template.says_validity:
        life["ValidUntil"] = purchase.valid_until(template, now)
    if kind == "maintain":
        life |= {"ExcessCapacityTerminationPolicy": "no-termination", "ReplaceUnhealthyInstances": False}
    return life


def _brought(launch: Launch, answer: Any) -> Outcome:
    """Read what an instant fleet brought, and why no more."""
    seen = tuple(
        Sighting(
            id=machine_id,
            state=MachineState.PENDING,
            region=launch.region,
            account=launch.account,
            machine_type=part.get("InstanceType", ""),
            price_type="spot" if part.get("Lifecycle") == "spot" else "ondemand",
        )
        for part in answer.get("Instances", ())
        for machine_id in part.get("InstanceIds", ())
    )
    errors = [(each.get("ErrorCode", ""), each.get("ErrorMessage", "")) for each in answer.get("Errors", ())]
    return Outcome(
        LaunchState.SETTLED if seen or launch.state is LaunchState.UNKNOWN else LaunchState.REFUSED,
        sightings=seen,
        errors=tuple(map(_as_of_ours, fleet.distinct(errors, launch.place))),
        resource_id=answer["FleetId"],
        account=launch.account,
    )


def _as_of_ours(reason: Refusal) -> Refusal:
    """Judge that a launch template is not found: it is our own, which the next try makes anew or finds."""
    return reason._replace(kind=ErrorKind.NOT_FOUND) if reason.code in launch_templates.GONE else reason
