"""One Auto Scaling group: what it holds, and how it comes to the size that is desired.

It does not move machines between zones that came out of balance, and does not act on rebalance recommendations.

Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.emulator.allocation import Allocation, Pool
from hfplugin.emulator.capacity import ON_DEMAND, SPOT
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.groups import activities, balance, mixtures
from hfplugin.emulator.groups.activities import Activities, Activity
from hfplugin.emulator.groups.members import Member, Members
from hfplugin.emulator.groups.parameters import GroupSettings
from hfplugin.emulator.instances import Instance, Origin

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

NAME_TAG = "aws:autoscaling:groupName"

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)

_LABELS = {SPOT: "Spot", ON_DEMAND: "On-Demand"}

# Two wishes to act at nearly the same time are one.
_SAME_SECONDS = 1.0


class Tag(NamedTuple):
    value: str
    propagates: bool


class Group:
    """One group. It acts `fleet_seconds` after anything changed, and tries again what was refused."""

    def __init__(self, region: Region, name: str, settings: GroupSettings, tags: dict[str, Tag]) -> None:
        self._region = region
        self.name = name
        self.settings = settings
        self.tags = tags
        where = f"{region.name}:{region.account}:autoScalingGroup:{uuid.uuid4()}"
        self.arn = f"arn:aws:autoscaling:{where}:autoScalingGroupName/{name}"
        self.created = region.clock.now
        self.members = Members()
        self.activities = Activities(region.clock)
        self.suspended: dict[str, str] = {}
        self.is_ending = False
        self._asked = ""
        self._acts_at = -1.0
        self._is_retrying = False

    def describe(self, with_members: bool = True) -> dict[str, Any]:
        """Give an AutoScalingGroup as botocore's model has it."""
        suspended = [{"ProcessName": name, "SuspensionReason": why} for name, why in self.suspended.items()]
        return {
            **self.settings.describe(),
            "AutoScalingGroupName": self.name,
            "AutoScalingGroupARN": self.arn,
            "CreatedTime": moment(self.created),
            "Status": "Delete in progress" if self.is_ending else None,
            "Instances": [member.describe() for member in self.members] if with_members else [],
            "SuspendedProcesses": suspended,
            "EnabledMetrics": [],
            "LoadBalancerNames": [],
            "TargetGroupARNs": [],
            "Tags": self.describe_tags(),
        }

    def describe_tags(self) -> list[dict[str, Any]]:
        """Give the group's tags as TagDescriptions."""
        return [
            {
                "ResourceId": self.name,
                "ResourceType": "auto-scaling-group",
                "Key": key,
                "Value": tag.value,
                "PropagateAtLaunch": tag.propagates,
            }
            for key, tag in self.tags.items()
        ]

    def holding(self) -> dict[str, Any]:
        """Give what the admin endpoint lists: kind, id, region, state, tags."""
        return {
            "kind": "group",
            "id": self.name,
            "region": self._region.name,
            "state": "deleting" if self.is_ending else "active",
            "tags": {key: tag.value for key, tag in self.tags.items()},
        }

    def resize(self, settings: GroupSettings, asked: str) -> None:
        """Take other settings; `asked` says in AWS's words who wanted that."""
        before, self.settings = self.settings.desired, settings
        if settings.desired != before:
            change = f"{asked} changing the desired capacity from {before} to {settings.desired}"
            self._asked += activities.at(self._region.clock.now, change) + "  "
        self.wake()

    def suspend(self, names: Iterable[str]) -> None:
        reason = f"User suspended at {moment(self._region.clock.now):%Y-%m-%dT%H:%M:%SZ}"
        self.suspended.update(dict.fromkeys(names, reason))

    def resume(self, names: Iterable[str]) -> None:
        for name in names:
            self.suspended.pop(name, None)
        for member in self.members.present():
            if member.instance.state not in ("pending", "running"):
                self.lost(member.instance)
        self.wake()

    def start(self) -> None:
        """Begin to live: a new group comes to its size."""
        change = (
            f"a user request created an AutoScalingGroup changing the desired capacity from 0 to {self.desired}"
        )
        self._asked = activities.at(self._region.clock.now, change) + "  "
        self.wake()

    @property
    def desired(self) -> int:
        return self.settings.desired

    def wake(self) -> None:
        """Plan to compare what is there with what is desired."""
        clock = self._region.clock
        at = clock.now + self._region.settings.fleet_seconds
        if abs(self._acts_at - at) > _SAME_SECONDS:
            self._acts_at = at
            clock.after(at - clock.now, self._act)

    def _act(self) -> None:
        self._acts_at = -1.0
        buried = self._bury()
        surplus = self.members.units - self.desired
        if surplus < 0 and "Launch" not in self.suspended:
            self._grow(-surplus, buried)
        elif surplus > 0 and "Terminate" not in self.suspended:
            self._shrink(surplus)

    def _bury(self) -> int:
        """Let unhealthy machines go, which makes room for others; give how many went."""
        if "ReplaceUnhealthy" in self.suspended or "Terminate" in self.suspended:
            return 0
        unhealthy = [each for each in self.members.present() if not each.is_healthy]
        for member in unhealthy:
            cause = activities.at(
                self._region.clock.now, f"an instance was taken out of service {member.complaint}"
            )
            self._end(member, cause)
        return len(unhealthy)

    def _grow(self, missing: int, buried: int) -> None:
        region = self._region
        before = self.members.units
        cause = self._asked + activities.at(region.clock.now, activities.grew(before, before + missing))
        if buried and not self._asked:
            cause = activities.at(
                region.clock.now,
                "an instance was launched in response to an unhealthy instance needing to be replaced",
            )
        self._asked = ""
        try:
            need = balance.Need(self.members.by_zone(), self.members.on_demand(), missing)
            pools = mixtures.pools(region, self.settings.mixture, self.settings.subnets, self._over())
            found = balance.allocate(region, self.settings.mixture, pools, need)
        except ServiceError as error:
            self.activities.fail_launch(error.message, cause)
            self._retry()
            return
        for purchase, (wanted, allocation) in found.items():
            self._launch(allocation, cause)
            self._complain(purchase, wanted, allocation, cause)
        if any(allocation.units < wanted for wanted, allocation in found.values()):
            self._retry()

    def _over(self) -> dict[str, Any]:
        """Give what the group says about all its machines; its tags outdo the launch template's."""
        labels = [{"Key": key, "Value": tag.value} for key, tag in self.tags.items() if tag.propagates]
        over: dict[str, Any] = {"TagSpecifications": [{"ResourceType": "instance", "Tags": labels}]}
        placement = self.settings.shown["PlacementGroup"]
        return {**over, "Placement": {"GroupName": placement}} if placement else over

    def _launch(self, allocation: Allocation, cause: str) -> None:
        origin = Origin(owner=self, tags={NAME_TAG: self.name})
        launched: list[tuple[Member, Activity]] = []
        for pool, count in allocation.taken:
            for instance in self._region.instances.launch(pool.blueprint, count, origin):
                member = self._join(instance, pool)
                text = f"Launching a new EC2 instance: {instance.instance_id}"
                launched.append((member, self.activities.begin(text, cause, _details(pool))))
        self._region.clock.after(self._region.settings.boot_seconds, lambda: self._in_service(launched))

    def _join(self, instance: Instance, pool: Pool) -> Member:
        weight = int(pool.weight) if self.settings.mixture.heaviest else None
        member = Member(instance, pool.origin, weight, self.settings.protects)
        self.members.add(member)
        return member

    def _in_service(self, launched: Sequence[tuple[Member, Activity]]) -> None:
        now = self._region.clock.now
        for member, activity in launched:
            if member.lifecycle == "Pending" and member.instance.state == "running":
                member.lifecycle = "InService"
                activity.end(now)
            else:
                reason = member.instance.reason
                text = f"Instance became unhealthy while waiting for instance to be in InService state. {reason}"
                activity.end(now, activities.CANCELLED, text)

    def _complain(self, purchase: str, wanted: int, allocation: Allocation, cause: str) -> None:
        """Note the launches that were refused: with one launch template each by itself, in a mixture as one."""
        if not purchase:
            for pool, error in allocation.refused:
                self.activities.fail_launch(error.message, cause, _details(pool))
        elif allocation.units < wanted:
            error = allocation.refused[-1][1]
            text = f"Could not launch {_LABELS[purchase]} Instances. {error.code} - {error.message}"
            self.activities.fail_launch(text, cause)

    def _retry(self) -> None:
        if not self._is_retrying:
            self._is_retrying = True
            self._region.clock.after(self._region.settings.retry_seconds, self._act_again)

    def _act_again(self) -> None:
        self._is_retrying = False
        self._act()

    def _shrink(self, surplus: int) -> None:
        now = self._region.clock.now
        before, asked = self.members.units, self._asked
        self._asked = ""
        for member in balance.leaving(self.members.present(), surplus, self.settings):
            text = activities.at(now, activities.shrank(before, self.desired))
            picked = activities.at(now, f"instance {member.instance.instance_id} was selected for termination")
            self._end(member, f"{asked}{text}  {picked}")

    def _end(self, member: Member, cause: str) -> Activity:
        """Terminate a machine and let it go when it is gone."""
        region = self._region
        member.lifecycle = "Terminating"
        text = f"Terminating EC2 instance: {member.instance.instance_id}"
        activity = self.activities.begin(text, cause, _where(member.instance))
        left = 0 if member.instance.state == "terminated" else region.settings.shutdown_seconds
        region.instances.terminate([member.instance])
        region.clock.after(left, lambda: self._left(member, activity))
        return activity

    def _left(self, member: Member, activity: Activity) -> None:
        activity.end(self._region.clock.now)
        self.members.remove(member)
        if self.is_ending and not self.members:
            self._region.groups.drop(self)

    def lost(self, instance: Instance) -> None:
        """Hear that a machine is shutting down or stopped."""
        member = self.members.get(instance.instance_id)
        if member and "HealthCheck" not in self.suspended:
            self.distrust(
                member, "in response to an EC2 health check indicating it has been terminated or stopped"
            )

    def distrust(self, member: Member, complaint: str) -> None:
        """Take a machine for unhealthy."""
        if member.lifecycle != "Terminating":
            member.is_healthy, member.complaint = False, complaint
            self.wake()

    def release(self, members: Sequence[Member], lowers: bool) -> list[Activity]:
        """Terminate members by a user's wish; without lowering the desired size they are replaced.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html
        """
        found = []
        for member in members:
            what = f"instance {member.instance.instance_id} was taken out of service in response to a user request"
            found.append(self._end(member, self._lowered(what, member, lowers)))
        self.wake()
        return found

    def detach(self, members: Sequence[Member], lowers: bool) -> list[Activity]:
        """Let machines go that live on.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html
        """
        found = []
        for member in members:
            instance = member.instance
            what = f"instance {instance.instance_id} was detached in response to a user request"
            cause = self._lowered(what, member, lowers)
            text = f"Detaching EC2 instance: {instance.instance_id}"
            found.append(self.activities.begin(text, cause, _where(instance)))
            self.members.remove(member)
            instance.owner = None
            self._region.instances.tag(instance, {}, [NAME_TAG])
        self._region.clock.after(0, lambda: self._close(found))
        self.wake()
        return found

    def _close(self, ended: Iterable[Activity]) -> None:
        for each in ended:
            each.end(self._region.clock.now)

    def _lowered(self, what: str, member: Member, lowers: bool) -> str:
        """Lower the desired size by a machine, if that is wanted, and give the cause."""
        if lowers:
            before = self.desired
            self.settings = self.settings.sized(max(before - member.units, self.settings.least))
            what += f", shrinking the capacity from {before} to {self.desired}"
        return activities.at(self._region.clock.now, what)

    def attach(self, instances: Sequence[Instance]) -> None:
        """Take in machines that run already, and count them into the desired size.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html
        """
        for instance in instances:
            instance.owner = self
            self._region.instances.tag(instance, {NAME_TAG: self.name})
            member = Member(instance, {}, None, self.settings.protects, lifecycle="InService")
            self.members.add(member)
        self.settings = self.settings.sized(self.desired + len(instances))

    def end(self) -> None:
        """Terminate every member, protected or not; the group goes with the last of them."""
        self.is_ending = True
        self.settings = self.settings.sized(0)
        for member in self.members.present():
            self._end(member, activities.at(self._region.clock.now, "the group is deleted by a user request"))
        if not self.members:
            self._region.groups.drop(self)


def _details(pool: Pool) -> dict[str, str]:
    return {"Subnet ID": pool.blueprint.subnet.subnet_id, "Availability Zone": pool.blueprint.zone}


def _where(instance: Instance) -> dict[str, str]:
    return {"Subnet ID": instance.blueprint.subnet.subnet_id, "Availability Zone": instance.blueprint.zone}
