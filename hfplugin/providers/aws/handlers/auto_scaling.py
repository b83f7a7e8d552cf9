"""Machines from Auto Scaling: one group a launch, its name the token.

A group brings machines, also in place of lost ones, until it is stopped; an emptied one is deleted. No call that
could end a machine by AWS's choice is ever made: machines leave a group by name, and it is deleted without force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ConfigurationError, ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.aws import fleet_places, images, launch_templates, machine, operations, pools, raw, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, code_of_activity, translate
from hfplugin.providers.aws.fleet_places import Place
from hfplugin.providers.aws.handlers import fleet, group_call
from hfplugin.providers.aws.handlers.group_members import Departure, described, name_of, present, units
from hfplugin.providers.aws.handlers.sending import refused, unsent
from hfplugin.providers.aws.handlers.trials import trials
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

API = "ASG"
OPERATION = "CreateAutoScalingGroup"

# What a record's `remains` has before a group's name.
_PREFIX = "group/"

# What AWS would do to a group by itself: end machines to balance zones, change the target.
_NEVER = ("AZRebalance", "ScheduledActions", "AlarmNotification")

# What brings machines, and what ends those that fail EC2's status checks: HostFactory has them by then.
_AT_STOP = ("Launch", "ReplaceUnhealthy")

_EXISTS = "AlreadyExists"

_FAILED = ("Failed", "Cancelled")
_TRAILER = "Launching EC2 instance failed."

_OWNERSHIP = (tags.PROVIDER, tags.INSTALLATION, tags.REQUEST_ID, tags.ATTEMPT)


class AutoScaling:
    """Makes, watches and ends Auto Scaling groups."""

    def __init__(self, clients: Clients, context: Context) -> None:
        self._clients = clients
        self._context = context

    def plan(self, template: AWSTemplate, order: Order) -> Plan | Nowhere:
        # A group takes any number of subnets of a zone: there is one try with all, not one a layer.
        choice = fleet_places.first_open(self._clients, template, order, has_layers=False)
        return choice.planned(lambda place: self.plan_in(template, order, place))

    def plan_in(self, template: AWSTemplate, order: Order, place: Place) -> Plan:
        """Give the launch of an order, bought as the place says, in all of the template's subnets."""
        template = template.in_region(place.region)
        self._clients.require_ready(place.region, OPERATION, "autoscaling")
        weights = fleet_places.machine_types(template, place)
        labels = machine.labels(template, self._context, order, weights)
        user_data = machine.user_data(template)
        data = launch_templates.data(template, images.resolve(self._clients, place.region, template))
        content = group_call.content(template, place, data, labels)
        launch_template = launch_templates.name(self._context, content, user_data)
        subnets = list(dict.fromkeys(template.subnet_id)) or self._default_subnets(place.region)
        call = {
            "AutoScalingGroupName": group_call.name(self._context, order),
            "VPCZoneIdentifier": ",".join(subnets),
            **group_call.call(template, place, order, launch_template, labels),
        }
        return Plan(
            api=API,
            region=place.region,
            account=self._clients.account(),
            place=str(place),
            params={
                "LaunchTemplateName": launch_template,
                "LaunchTemplateData": content,
                "Call": raw.applied(OPERATION, call, template),
            },
            units=order.units,
            weight=min(weights.values(), default=1),
            weights=weights,
            user_data=user_data,
            remains=(launch_templates.remains(launch_template), in_remains(call["AutoScalingGroupName"])),
        )

    def _default_subnets(self, region: str) -> list[str]:
        """Give the default network's subnets: unlike the other services, a group has to be told where."""
        wanted: Any = [{"Name": "default-for-az", "Values": ["true"]}]
        try:
            found = self._clients.ec2(region).describe_subnets(Filters=wanted)["Subnets"]
        except AWS_ERRORS as error:
            raise translate(error) from error
        if not found:
            raise ConfigurationError(f"subnetId is missing, and {region} has no default network")
        return sorted(subnet["SubnetId"] for subnet in found)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        """Make the group. A second one of the name is impossible, so a replay launches nothing more."""
        call = launch.params["Call"]
        try:
            launch_templates.call_with(
                self._clients,
                self._context,
                launch,
                user_data,
                lambda: self._clients.autoscaling_once(launch.region).create_auto_scaling_group(**call),
            )
        except HFPluginError as error:
            return unsent(launch, error)
        except AWS_ERRORS as error:
            return self._known(launch) if translate(error).code == _EXISTS else refused(launch, error)
        return self._made(launch)

    def _made(self, launch: Launch) -> Outcome:
        with suppress(ProviderError):  # `gather` does it then, and reports why it cannot be done
            self._suspend(launch, _NEVER)
        return _accepted(launch)

    def _known(self, launch: Launch) -> Outcome:
        """Judge that a group of the name is there: made by an earlier try, or somebody else's."""
        try:
            group = described(self._clients, launch)
        except ProviderError as error:
            return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(error, launch.place),))
        if group is None:
            return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(_not_shown(launch), launch.place),))
        if _is_ours(group, launch):
            return self._made(launch)
        text = f"the Auto Scaling group {name_of(launch)} is not this request's: rename or delete it"
        return Outcome(LaunchState.REFUSED, errors=(Refusal(ErrorKind.INVALID, _EXISTS, text, launch.place),))

    def find(self, launch: Launch, request_id: str) -> Outcome:
        group = described(self._clients, launch)
        is_there = group is not None and _is_ours(group, launch)
        return _accepted(launch) if is_there else Outcome(LaunchState.UNKNOWN)

    def gather(self, launch: Launch) -> Outcome:
        """Give the group's members; one that is deleted brings nothing more."""
        group = self._group(launch)
        if group is None:
            return _accepted(launch)._replace(state=LaunchState.SETTLED)
        errors = self._settle(launch, group)
        members = present(group)
        seen = tuple(
            Sighting(
                id=member["InstanceId"],
                state=MachineState.PENDING,
                region=launch.region,
                account=launch.account,
                machine_type=member.get("InstanceType", ""),
            )
            for member in members.values()
        )
        if units(members.values()) < group["DesiredCapacity"]:
            reasons = self._reasons(launch)
            pools.learn_from_source(self._clients, launch, reasons)
            errors += reasons
        return _accepted(launch)._replace(sightings=seen, errors=errors)

    def _settle(self, launch: Launch, group: Any) -> tuple[Refusal, ...]:
        """Suspend what the call that made the group did not come to; give why that cannot be done."""
        suspended = {each["ProcessName"] for each in group.get("SuspendedProcesses", ())}
        if suspended.issuperset(_NEVER):
            return ()
        try:
            self._suspend(launch, _NEVER)
        except ProviderError as error:
            return (Refusal.of(error, launch.place),)
        return ()

    def _group(self, launch: Launch) -> Any:
        """Give the group, None once it is deleted. ProviderError when AWS shows neither yet.

        A group that is not shown is taken for deleted only when its activities say so: they outlive it.
        """
        group = described(self._clients, launch)
        if group is not None:
            return None if group.get("Status") else group  # only a deletion has a status
        for page in self._activities(launch, IncludeDeletedGroups=True):
            if any(each.get("AutoScalingGroupState") == "Deleted" for each in page):
                return None
        raise _not_shown(launch)

    def _activities(self, launch: Launch, **options: Any) -> Iterator[list[Any]]:
        """Give what the group did, page by page, the newest first. Raises ProviderError."""
        call: dict[str, Any] = {"AutoScalingGroupName": name_of(launch), **options}
        while True:
            try:
                answer: Any = self._clients.autoscaling(launch.region).describe_scaling_activities(**call)
            except AWS_ERRORS as error:
                raise translate(error) from error
            yield answer["Activities"]
            if not answer.get("NextToken"):
                return
            call["NextToken"] = answer["NextToken"]

    def _reasons(self, launch: Launch) -> tuple[Refusal, ...]:
        """Give why the group has fewer than it should, each reason once.

        A failure that something came after is none: the group tries other zones, and is still at it. So nothing
        older is read than the latest activity that did not fail.
        """
        activities: list[Any] = []
        try:
            for page in self._activities(launch):
                activities += page
                if any(each["StatusCode"] not in _FAILED for each in page):
                    break
        except ProviderError as error:
            return (Refusal.of(error, launch.place),)
        others = [each["StartTime"] for each in activities if each["StatusCode"] not in _FAILED]
        last = max(others, default=None)
        failed = [
            _reason(each)
            for each in activities
            if each["StatusCode"] in _FAILED and (last is None or each["StartTime"] >= last)
        ]
        return fleet.distinct(failed, launch.place)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """Let the group bring nothing more, and make what it holds its size, which never rises."""
        group = self._group(launch)
        if group is None:
            return
        self._suspend(launch, _AT_STOP)
        size = min(group["DesiredCapacity"], sum(held.values()))
        try:
            self._clients.autoscaling(launch.region).update_auto_scaling_group(
                AutoScalingGroupName=name_of(launch), MinSize=0, MaxSize=size, DesiredCapacity=size
            )
        except AWS_ERRORS as error:
            raise translate(error) from error

    def _suspend(self, launch: Launch, processes: Sequence[str]) -> None:
        try:
            self._clients.autoscaling(launch.region).suspend_processes(
                AutoScalingGroupName=name_of(launch), ScalingProcesses=list(processes)
            )
        except AWS_ERRORS as error:
            raise translate(error) from error

    def release(self, source: Source, machines: Sequence[Located]) -> Released:
        return Departure(self._clients, source.launch, self._group(source.launch)).run(machines)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """Delete the emptied group, then its launch template."""
        if in_remains(name_of(launch)) in remains:
            group = described(self._clients, launch)
            if group is not None and _is_ours(group, launch) and not group.get("Status"):
                self._clear(launch, group)
                self._delete(launch)
        launch_templates.remove(self._clients, launch.region, remains)

    def _clear(self, launch: Launch, group: Any) -> None:
        """Let go who is left: machines that are gone, which a stopped group keeps, and late arrivals of ours."""
        left = [Located(each, launch.region, launch.account) for each in present(group)]
        if not left:
            return
        view = operations.observe(self._clients, left)
        for failure in view.failures:
            raise ProviderError(failure.kind, failure.code, failure.message)
        labels = tags.as_dict(launch.params["Call"]["Tags"])
        for found in view.seen.values():
            if not found.state.is_going and found.request_id != labels[tags.REQUEST_ID]:
                text = f"the group {name_of(launch)} holds {found.id}, which is not of its request: detach it"
                raise ProviderError(ErrorKind.INVALID, "", text)
        Departure(self._clients, launch, group).run(left)

    def _delete(self, launch: Launch) -> None:
        try:
            self._clients.autoscaling(launch.region).delete_auto_scaling_group(
                AutoScalingGroupName=name_of(launch)
            )
        except AWS_ERRORS as error:
            raise translate(error) from error

    def trials(self, template: AWSTemplate, order: Order) -> Iterator[tuple[str, Callable[[], None]]]:
        return trials(self._clients, self._context, template, order, self.plan_in)


def in_remains(group: str) -> str:
    """Give how a group stands among what a launch leaves behind."""
    return f"{_PREFIX}{group}"


def _accepted(launch: Launch) -> Outcome:
    return Outcome(LaunchState.ACCEPTED, resource_id=name_of(launch), account=launch.account)


def _is_ours(group: Any, launch: Launch) -> bool:
    found, ours = tags.as_dict(group.get("Tags", ())), tags.as_dict(launch.params["Call"]["Tags"])
    return all(found.get(key) == ours[key] for key in _OWNERSHIP)


def _not_shown(launch: Launch) -> ProviderError:
    return ProviderError(ErrorKind.TRANSIENT, "", f"the Auto Scaling group {name_of(launch)} is not shown yet")


def _reason(activity: Any) -> tuple[str, str]:
    """Give the code and the text of a failure."""
    text = " ".join(activity.get("StatusMessage", "").split())
    return code_of_activity(text) or activity["StatusCode"], text.removesuffix(_TRAILER).strip()
