"""Machines from Spot Fleet, EC2 Fleet's elder: of type request, and of type maintain, which replaces losses.

Downside: AWS advises against it for anything new; EC2 Fleet does all of this, and instant fleets besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws import fleet_places, launch_templates, machine, operations, pools, purchase, raw
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, judged, translate, unreadable
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import fleet
from hfplugin.providers.aws.handlers.fleet import Draft, Report, Watch
from hfplugin.providers.aws.handlers.sending import refused, unsent
from hfplugin.providers.aws.handlers.trials import trials
from hfplugin.providers.aws.purchase import Split
from hfplugin.providers.base.provider import Context, Located, Nowhere, Order, Outcome, Plan, Released, Source

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

API = "SpotFleet"
OPERATION = "RequestSpotFleet"

_OVER = ("cancelled", "cancelled_running", "cancelled_terminating", "failed")

# Of a whole call, and of one request in an answer.
_NO_SUCH = "InvalidSpotFleetRequestId.NotFound"
_ENDED = (_NO_SUCH, "fleetRequestIdDoesNotExist", "fleetRequestNotInCancellableState")

# AWS forgets a request this long after it was cancelled and its last machine ended (DescribeSpotFleetRequests).
_KEPT_SECONDS = 48 * 3600

# A service-linked role lies under the service's own path.
_LINKED_ROLE = "AWSServiceRoleForEC2SpotFleet"
_LINKED_PATH = "aws-service-role/spotfleet.amazonaws.com/"


class SpotFleet:
    """Launches, watches and ends Spot Fleets. `now` gives seconds since the epoch."""

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
        role = role_arn(self._clients, place.region, template)
        draft = fleet.draft(self._clients, self._context, template, order, place)
        call = {"IamFleetRole": role, **config(template, draft, self._now())}
        return draft.plan(API, raw.applied(OPERATION, call, template))

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        call: Any = {"SpotFleetRequestConfig": {**launch.params["Call"], "ClientToken": launch.token}}
        try:
            answer = launch_templates.call_with(
                self._clients,
                self._context,
                launch,
                user_data,
                lambda: self._clients.ec2_for_launch(launch.region).request_spot_fleet(**call),
            )
            request_id = answer["SpotFleetRequestId"]
        except HFPluginError as error:
            return unsent(launch, error)
        except AWS_ERRORS as error:
            outcome = refused(launch, error)
            pools.learn_from_source(self._clients, launch, outcome.errors)
            return outcome
        except KeyError as error:
            return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(unreadable(error), launch.place),))
        return Outcome(LaunchState.ACCEPTED, resource_id=request_id, account=launch.account)

    def find(self, launch: Launch, request_id: str) -> Outcome:
        """Look for the request by its token: there is no filter for it, so all of them are read."""
        for page in fleet.pages(self._clients, launch.region, "describe_spot_fleet_requests"):
            for each in page["SpotFleetRequestConfigs"]:
                if each["SpotFleetRequestConfig"].get("ClientToken") == launch.token:
                    found: str = each["SpotFleetRequestId"]
                    return Outcome(LaunchState.ACCEPTED, resource_id=found, account=launch.account)
        return Outcome(LaunchState.UNKNOWN)

    def gather(self, launch: Launch) -> Outcome:
        """Give the machines that the fleet holds. One that is over, or fulfilled and not maintained, is settled.

        The list of machines may lag behind the request: as long as it has fewer, nothing is settled.
        """
        described = self._described(launch)
        if described is None:
            return self._forgotten(launch)
        listed = fleet.pages(
            self._clients,
            launch.region,
            "describe_spot_fleet_instances",
            SpotFleetRequestId=launch.resource_id,
        )
        seen = fleet.members(launch, listed)
        is_over, activity = described["SpotFleetRequestState"] in _OVER, described.get("ActivityStatus", "")
        own = described["SpotFleetRequestConfig"]
        report = Report(
            seen=seen,
            is_over=is_over,
            is_done=is_over or (not _is_maintained(launch) and activity == "fulfilled"),
            activity=activity,
            held=own.get("FulfilledCapacity", 0),
            target=own["TargetCapacity"],
        )
        watch = Watch(
            self._clients,
            launch,
            "describe_spot_fleet_request_history",
            SpotFleetRequestId=launch.resource_id,
        )
        return watch.judged(report)

    def _forgotten(self, launch: Launch) -> Outcome:
        """Judge a request that AWS does not know: not yet, or not any more."""
        if self._now() - launch.planned_at < _KEPT_SECONDS:
            raise ProviderError(ErrorKind.TRANSIENT, _NO_SUCH, f"{launch.resource_id} cannot be seen yet")
        return Outcome(LaunchState.SETTLED, resource_id=launch.resource_id, account=launch.account)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """Let the fleet bring nothing more: a maintained one is set to what it holds, any other cancelled."""
        if not _is_maintained(launch):
            self._cancel(launch, ends_machines=False)
            return
        wanted = fleet.limited(self._target(launch), held)
        if wanted is not None:
            self._retarget(launch, wanted)

    def release(self, source: Source, machines: Sequence[Located]) -> Released:
        """Terminate machines, of a maintained fleet after its target is lowered."""
        launch = source.launch
        if _is_maintained(launch):
            wanted = fleet.lowered(self._target(launch), _parts(launch.params["Call"]), source)
            if wanted is not None:
                self._retarget(launch, wanted)
        return operations.release(self._clients, machines)

    def _target(self, launch: Launch) -> dict[str, int]:
        """Give the fleet's target by price type; empty when there is nothing left to be told."""
        described = self._described(launch)
        if described is None or described["SpotFleetRequestState"] in _OVER:
            return {}
        return _parts(described["SpotFleetRequestConfig"])

    def _retarget(self, launch: Launch, units: Mapping[str, int]) -> None:
        try:
            self._clients.ec2(launch.region).modify_spot_fleet_request(
                SpotFleetRequestId=launch.resource_id,
                TargetCapacity=sum(units.values()),
                OnDemandTargetCapacity=units["ondemand"],
                ExcessCapacityTerminationPolicy="noTermination",
            )
        except AWS_ERRORS as error:
            raise translate(error) from error

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """Cancel the emptied request, with what came too late for anybody to know, then its launch template."""
        if launch.resource_id:
            self._cancel(launch, ends_machines=True)
        launch_templates.remove(self._clients, launch.region, remains)

    def _cancel(self, launch: Launch, ends_machines: bool) -> None:
        try:
            answer = self._clients.ec2(launch.region).cancel_spot_fleet_requests(
                SpotFleetRequestIds=[launch.resource_id], TerminateInstances=ends_machines
            )
        except AWS_ERRORS as error:
            refusal = translate(error)
            if refusal.code not in _ENDED:
                raise refusal from error
            return
        for failed in answer.get("UnsuccessfulFleetRequests", ()):
            code, text = failed["Error"].get("Code", ""), failed["Error"].get("Message", "")
            if code not in _ENDED:
                raise ProviderError(judged(code, text, launch.resource_id), code, text)

    def trials(self, template: AWSTemplate, order: Order) -> Iterator[tuple[str, Callable[[], None]]]:
        return trials(self._clients, self._context, template, order, self.plan_in)

    def _described(self, launch: Launch) -> Any:
        """Give the request as AWS has it, None when AWS does not know it."""
        try:
            answer = self._clients.ec2(launch.region).describe_spot_fleet_requests(
                SpotFleetRequestIds=[launch.resource_id]
            )
        except AWS_ERRORS as error:
            refusal = translate(error)
            if refusal.code != _NO_SUCH:
                raise refusal from error
            return None
        return next(iter(answer["SpotFleetRequestConfigs"]), None)


def _is_maintained(launch: Launch) -> bool:
    return bool(launch.params["Call"]["Type"] == "maintain")


def _parts(config: Mapping[str, Any]) -> dict[str, int]:
    """Part a target by price type: AWS has the whole, and how much of it is on demand."""
    on_demand = config.get("OnDemandTargetCapacity", 0)
    return {"ondemand": on_demand, "spot": config["TargetCapacity"] - on_demand}


def config(template: AWSTemplate, draft: Draft, now: float) -> dict[str, Any]:
    """Make the request's configuration, except for role and token."""
    kind = template.fleet_type or "request"
    place, split = draft.place, draft.split
    return {
        "Type": kind,
        "TargetCapacity": split.total,
        "OnDemandTargetCapacity": split.on_demand,
        **_strategies(template, split),
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": launch_templates.reference(draft.name),
                "Overrides": fleet_places.overrides(template, place, "SpotPrice"),
            }
        ],
        "TagSpecifications": machine.specifications(draft.labels, "spot-fleet-request"),
        "TerminateInstancesWithExpiration": False,
        "ReplaceUnhealthyInstances": False,
        **_end(template, kind, now),
    }


def _strategies(template: AWSTemplate, split: Split) -> dict[str, Any]:
    """Spot Fleet spells strategies as IBM does."""
    strategies: dict[str, Any] = {}
    if split.spot:
        strategies["AllocationStrategy"] = template.spot_strategy
        if template.pools_count and template.spot_strategy == "lowestPrice":
            strategies["InstancePoolsToUseCount"] = template.pools_count
    if split.on_demand:
        strategies["OnDemandAllocationStrategy"] = template.on_demand_strategy
    return strategies


def _end(template: AWSTemplate, kind: str, now: float) -> dict[str, Any]:
    """What ends a request, and what keeps one that is maintained from ending machines by itself.

    One that is maintained ends only where the template says when.
    """
    keeps = {"ExcessCapacityTerminationPolicy": "noTermination"} if kind == "maintain" else {}
    ends = kind != "maintain" or template.says_validity
    return {**keeps, **({"ValidUntil": purchase.valid_until(template, now)} if ends else {})}


def role_arn(clients: Clients, region: str, template: AWSTemplate) -> str:
    """Give the ARN of the role that Spot Fleet acts in: a mere name or path is of the credentials' account.

    Any role that trusts spotfleet.amazonaws.com and may tag serves, the service-linked one too.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet-prerequisites.html
    """
    role = template.fleet_role
    if role.startswith("arn:"):
        return role
    path = _LINKED_PATH if role == _LINKED_ROLE else ""
    partition = clients.ec2(region).meta.partition
    return f"arn:{partition}:iam::{clients.account()}:role/{path}{role.lstrip('/').removeprefix('role/')}"
