"""The machines of one Auto Scaling group: who is in it, and how they leave it for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, Refusal
from hfplugin.providers.aws import operations
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.base.provider import Located, Released

# Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html
BATCH = 100

# Auto Scaling's one code for whatever is wrong, a machine that has just left the group included.
_WRONG = "ValidationError"

# Members on their way out of a group, whichever step of it they are at, begin with these.
_LEAVING = ("Terminat", "Detach")


def name_of(launch: Launch) -> str:
    name: str = launch.params["Call"]["AutoScalingGroupName"]
    return name


def described(clients: Clients, launch: Launch) -> Any:
    """Give the group as AWS shows it, None when it shows none. Raises ProviderError."""
    try:
        client = clients.autoscaling(launch.region)
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name_of(launch)])["AutoScalingGroups"]
    except AWS_ERRORS as error:
        raise translate(error) from error
    return found[0] if found else None


def present(group: Any) -> dict[str, Any]:
    """Give the members that count, by id."""
    return {
        member["InstanceId"]: member
        for member in group["Instances"]
        if not member["LifecycleState"].startswith(_LEAVING)
    }


def units(members: Iterable[Any]) -> int:
    return sum(int(member.get("WeightedCapacity", 1)) for member in members)


class Departure:
    """Lets machines leave a group: its target falls with them, so that nothing replaces them.

    Each call is tried once: a second try would lower the target again. What a lost answer leaves open, the next
    poll finds out by looking who is still in the group.
    """

    def __init__(self, clients: Clients, launch: Launch, group: Any) -> None:
        self._clients = clients
        self._launch = launch
        self._look(group)
        self._going: set[str] = set()
        self._missing: set[str] = set()
        self._refused: dict[str, Refusal] = {}

    def _look(self, group: Any) -> None:
        self._members = present(group) if group else {}
        self._target = group["DesiredCapacity"] if group else 0

    def run(self, machines: Sequence[Located]) -> Released:
        """Give machines back, members in bulk, all others one by one for themselves. Raises ProviderError."""
        self._release([machine for machine in machines if machine.id not in self._members])
        waiting = [machine for machine in machines if machine.id in self._members]
        batches = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
        for batch in batches:
            error = self._end(batch)
            while error is not None and error.code == _WRONG and self._let_go(batch, error):
                error = self._end(batch) if batch else None
            if error is not None and error.kind is ErrorKind.THROTTLED:
                break
            if error is not None and error.kind is not ErrorKind.TRANSIENT:
                self._refused |= {machine.id: Refusal.of(error, self._launch.region) for machine in batch}
        return Released(frozenset(self._going), frozenset(self._missing), self._refused)

    def _release(self, others: Sequence[Located]) -> None:
        """End machines that are in no group, or leaving it."""
        if others:
            released = operations.release(self._clients, others)
            self._going |= released.going
            self._missing |= released.missing
            self._refused |= released.refused

    def _end(self, batch: Sequence[Located]) -> ProviderError | None:
        worth = units(self._members[machine.id] for machine in batch)
        lowers = worth <= self._target
        try:
            if not lowers:
                self._empty()
            self._clients.autoscaling_once(self._launch.region).terminate_instance_in_auto_scaling_group(
                AutoScalingGroupName=name_of(self._launch),
                InstanceIds=[machine.id for machine in batch],
                ShouldDecrementDesiredCapacity=lowers,
            )
        except AWS_ERRORS as error:
            return translate(error)
        self._target -= worth if lowers else 0
        self._going |= {machine.id for machine in batch}
        return None

    def _empty(self) -> None:
        """Set the target to nothing: the group holds more than it, and AWS does not lower it below zero.

        So it is with heavy machines and late arrivals. Nothing else ends by it: members are protected.
        """
        if self._target:
            client = self._clients.autoscaling(self._launch.region)
            client.update_auto_scaling_group(AutoScalingGroupName=name_of(self._launch), DesiredCapacity=0)
            self._target = 0

    def _let_go(self, batch: list[Located], error: ProviderError) -> bool:
        """Look again who is a member: one that is not any more fails the whole call.

        `batch` loses those, who end by themselves; True when there were any.
        """
        self._look(described(self._clients, self._launch))
        absent = [m for m in batch if m.id not in self._members or m.id in error.message]
        self._release(absent)
        batch[:] = [machine for machine in batch if machine not in absent]
        return bool(absent)
