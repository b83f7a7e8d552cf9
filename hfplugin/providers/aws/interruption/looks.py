"""What EC2 itself says of machines that it takes back: the status of spot requests, and scheduled events.

Neither needs any setting up. Each is one call for a region's machines, however many, and for every thousand of
what the account has in such a state one more.
Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instances-status-check_sched.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Refusal
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate, unreadable
from hfplugin.providers.aws.interruption.messages import NOTICE_SECONDS
from hfplugin.providers.base.health.refusals import CAPACITY_SECONDS
from hfplugin.providers.base.provider import Located, Notice, NoticeKind, Reclaimed

_PAGE = 1000

# Marked ones run on for two minutes, and so do those that are said to be terminated for a lack of capacity: their
# status is never marked-for-termination. By price is the template's own doing, and says nothing of the pool.
_BY_PRICE = ("instance-terminated-by-price", "instance-stopped-by-price")
_STATUSES = (
    "marked-for-termination",
    "marked-for-stop",
    "instance-terminated-no-capacity",
    "instance-terminated-capacity-oversubscribed",
    "instance-stopped-no-capacity",
    "instance-stopped-capacity-oversubscribed",
    *_BY_PRICE,
)

# The code under which a pool's refusal is remembered.
_NO_CAPACITY = "InsufficientInstanceCapacity"

# These take a machine away. instance-reboot, system-reboot and system-maintenance leave it where it is.
_EVENTS = ("instance-retirement", "instance-stop")
# How the description of an event begins that is over, which EC2 shows for a week.
_OVER = ("[Completed]", "[Canceled]")

Machines = Mapping[str, Located]


def look(clients: Clients, region: str, machines: Machines) -> Reclaimed:
    """Ask one region for all it says of the machines, by id; what cannot be asked is a failure of it."""
    notices: list[Notice] = []
    failures: list[Refusal] = []
    readers: list[Callable[[Clients, str, Machines], Iterator[Notice]]] = [_spot_notices, _scheduled_events]
    for read in readers:
        try:
            notices.extend(read(clients, region, machines))
        except HFPluginError as error:
            failures.append(Refusal.of(error, region))
        except (AttributeError, KeyError, TypeError) as error:
            failures.append(Refusal.of(unreadable(error), region))
    return Reclaimed(tuple(notices), failures=tuple(failures))


def _spot_notices(clients: Clients, region: str, machines: Machines) -> Iterator[Notice]:
    taken: list[Any] = []
    wanted = [{"Name": "status-code", "Values": list(_STATUSES)}]
    try:
        for request in _each(clients, region, "describe_spot_instance_requests", wanted, len(machines)):
            machine_id, status = request.get("InstanceId", ""), request["Status"]
            if machine_id in machines:
                told_at = status["UpdateTime"].timestamp()
                taken.append(request)
                reason = f"spot request {status['Code']}: {status.get('Message', '')}".rstrip(": ")
                yield Notice(machine_id, NoticeKind.INTERRUPTION, told_at, told_at + NOTICE_SECONDS, reason)
    finally:
        _learn(clients, region, taken)


def _learn(clients: Clients, region: str, taken: list[Any]) -> None:
    """Remember the pools that have just taken machines back: they have none to give."""
    since = time.time() - CAPACITY_SECONDS
    lacking = [each for each in taken if each["Status"]["UpdateTime"].timestamp() > since and _is_lack(each)]
    if not lacking:
        return
    from hfplugin.providers.aws.pools import Memory, Pool

    refused = []
    for each in lacking:
        content, status = each["LaunchSpecification"], each["Status"]
        interfaces = [one["SubnetId"] for one in content.get("NetworkInterfaces", ()) if one.get("SubnetId")]
        subnet = content.get("SubnetId") or next(iter(interfaces), "")
        reason = Refusal(
            ErrorKind.CAPACITY,
            _NO_CAPACITY,
            f"a machine was taken back: {status.get('Message') or status['Code']}",
            each.get("LaunchedAvailabilityZone", region),
        )
        refused.append((Pool(region, "spot", content["InstanceType"], subnet), reason))
    Memory(clients.health, "").note(refused)  # the account matters to quotas alone


def _is_lack(request: Mapping[str, Any]) -> bool:
    """True when the pool lacks what any launch into it would want, and not only what this machine was to have."""
    content = request.get("LaunchSpecification", {})
    placement = content.get("Placement", {})
    is_plain = not placement.get("GroupName") and placement.get("Tenancy", "default") == "default"
    return request["Status"]["Code"] not in _BY_PRICE and is_plain and "InstanceType" in content


def _scheduled_events(clients: Clients, region: str, machines: Machines) -> Iterator[Notice]:
    now = time.time()
    wanted = [{"Name": "event.code", "Values": list(_EVENTS)}]
    for status in _each(clients, region, "describe_instance_status", wanted, len(machines)):
        if status["InstanceId"] not in machines:
            continue
        for event in status.get("Events", ()):
            code, text = event.get("Code", ""), event.get("Description", "")
            if code in _EVENTS and not text.startswith(_OVER) and "NotBefore" in event:
                ends_at = event["NotBefore"].timestamp()
                reason = f"scheduled {code}: {text}".rstrip(": ")
                yield Notice(status["InstanceId"], NoticeKind.MAINTENANCE, now, ends_at, reason)


# By operation: what its answers hold.
_HOLDS = {
    "describe_spot_instance_requests": "SpotInstanceRequests",
    "describe_instance_status": "InstanceStatuses",
}


def _each(
    clients: Clients, region: str, operation: str, wanted: list[dict[str, Any]], machines: int
) -> Iterator[Mapping[str, Any]]:
    """Read what matches filters, page by page; of a foreign crowd no more pages than the machines would fill.

    Raises ProviderError, after what was read.
    """
    client: Any = clients.ec2(region)
    call: dict[str, Any] = {"Filters": wanted, "MaxResults": _PAGE}
    for _ in range(-(-machines // _PAGE) + 1):
        try:
            answer = getattr(client, operation)(**call)
            yield from answer.get(_HOLDS[operation], ())
        except AWS_ERRORS as error:
            raise translate(error) from error
        if not answer.get("NextToken"):
            return
        call["NextToken"] = answer["NextToken"]
    raise ProviderError(
        ErrorKind.TRANSIENT, "TooMany", f"{operation} has more pages than are read: not all is known"
    )
