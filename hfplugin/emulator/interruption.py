"""What the cloud does to machines by itself: notices, reclaims, failures, and the events that tell of them.

During the notice a spot request is marked-for-termination and active; after the reclaim it is
instance-terminated-no-capacity and closed. The documentation also knows the direct way: for a lack of capacity the
status becomes instance-terminated-no-capacity at once, and the machine runs for two minutes under it. Clients have
to understand both; the emulator goes the direct way when it is told so.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hfplugin.emulator import underneath
from hfplugin.emulator.capacity import SPOT
from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.instances import SPOT_RECLAIM, SPOT_STOP, Instance

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

NOTICE_SECONDS = 120.0

# Where events go that no machine stands for.
ACCOUNT = underneath.DEFAULT_ACCOUNT

_WARNING = "EC2 Spot Instance Interruption Warning"
_REBALANCE = "EC2 Instance Rebalance Recommendation"
_STATE_CHANGE = "EC2 Instance State-change Notification"


def interrupt(
    region: Region, instance: Instance, notice_seconds: float = NOTICE_SECONDS, is_direct: bool = False
) -> None:
    """Give a spot machine its notice, and terminate or stop it when the notice has run out.

    Hibernation, which is stopping here, begins with the notice.
    """
    if instance.blueprint.purchase != SPOT or instance.spot_request is None:
        raise ServiceError(
            "InvalidParameterValue", f"{instance.instance_id} is no spot machine: nothing interrupts it"
        )
    if instance.state not in ("pending", "running"):
        return
    action = instance.blueprint.interruption
    end = "termination" if action == "terminate" else "stop"
    if is_direct and action == "terminate":
        instance.spot_request.end(SPOT_RECLAIM, region.clock.now)
    else:
        message = f"Your Spot Instance is marked for {end} because there is no Spot capacity available."
        instance.spot_request.mark(f"marked-for-{end}", message, region.clock.now)
    put(region, _WARNING, instance, {"instance-action": action})
    delay = 0.0 if action == "hibernate" else notice_seconds
    region.clock.after(delay, lambda: _take_back(region, instance))


def _take_back(region: Region, instance: Instance) -> None:
    if instance.blueprint.interruption == "terminate":
        region.instances.terminate([instance], SPOT_RECLAIM)
    else:
        region.instances.stop([instance], SPOT_STOP)


def recommend(region: Region, instance: Instance) -> None:
    """Say that a spot machine is at a higher risk; nothing else happens to it."""
    put(region, _REBALANCE, instance, {})


def tell(region: Region, instances: Iterable[Instance], state: str) -> None:
    """Say that machines changed their state."""
    for instance in instances:
        put(region, _STATE_CHANGE, instance, {"state": state})


def put(region: Region, kind: str, instance: Instance, detail: dict[str, str]) -> None:
    """Put an EC2 event about a machine on the event bus."""
    arn = f"arn:aws:ec2:{region.name}:{region.account}:instance/{instance.instance_id}"
    detail = {"instance-id": instance.instance_id, **detail}
    region.moto.put_event("aws.ec2", kind, [arn], detail, region.clock.today)
