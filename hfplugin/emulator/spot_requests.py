"""The spot request behind each spot machine, and the reclaim of it.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import catalogue, ids
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, malformed
from hfplugin.emulator.specification import as_list

if TYPE_CHECKING:
    from hfplugin.emulator.instances import Instance, Reason
    from hfplugin.emulator.region import Region

# How a request ends, by the reason its machine ended for; by the service for every other reason.
_ENDS = {
    "Client.UserInitiatedShutdown": (
        "instance-terminated-by-user",
        "Spot Instance terminated due to user-initiated termination.",
    ),
    "Server.SpotInstanceTermination": (
        "instance-terminated-no-capacity",
        "Your Spot Instance was terminated because there is no Spot capacity available that matches your request.",
    ),
    "Client.InstanceInitiatedShutdown": (
        "instance-terminated-by-user",
        "Spot Instance terminated due to instance-initiated shutdown.",
    ),
}
_BY_SERVICE = "instance-terminated-by-service"
_ENDED_OTHERWISE = (_BY_SERVICE, "Your Spot Instance was terminated by the service.")

# How a request of a machine that is stopped is, by the reason it was stopped for.
_PAUSES = {
    "Client.UserInitiatedShutdown": ("instance-stopped-by-user", "Spot Instance stopped by user."),
    "Server.SpotInstanceShutdown": (
        "instance-stopped-no-capacity",
        "Your Spot Instance was stopped because there is no Spot capacity available that matches your request.",
    ),
}

# API_DescribeSpotInstanceRequests.html: "deleted four hours after they are canceled and their instances are
# terminated".
_SHOWN_SECONDS = 4 * 3600

_ID = re.compile(r"sir-[0-9a-z]{8}")


@dataclass(eq=False)
class SpotRequest:
    """One request, which brought one machine."""

    request_id: str
    instance: Instance
    created: float
    state: str = "active"
    status: tuple[str, str] = ("fulfilled", "Your spot request is fulfilled.")
    updated: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)

    def mark(self, code: str, message: str, now: float) -> None:
        self.status, self.updated = (code, message), now

    def end(self, reason: Reason, now: float) -> None:
        """Close the request of a machine that ends; one that was cancelled stays so, and so does one's status that
        says already what it ends for."""
        code, message = _ENDS.get(reason.code, _ENDED_OTHERWISE)
        if self.state != "cancelled":
            self.state = "cancelled" if code == _BY_SERVICE else "closed"
        if code != self.status[0]:
            self.mark(code, message, now)

    def pause(self, reason: Reason) -> None:
        """Disable the request of a machine that is stopping."""
        if reason.code in _PAUSES:
            self.state = "disabled"
            self.mark(*_PAUSES[reason.code], self.instance.state_since)

    def resume(self, now: float) -> None:
        """Go back to a fulfilled request, when its machine starts again."""
        if self.state == "disabled":
            self.state = "active"
            self.mark("fulfilled", "Your spot request is fulfilled.", now)

    def is_forgotten(self, now: float) -> bool:
        """Say whether EC2 has deleted it."""
        ended = self.instance.state == "terminated" and self.state in ("closed", "cancelled")
        return ended and self.instance.state_since + _SHOWN_SECONDS <= now

    def describe(self) -> dict[str, Any]:
        """Give a SpotInstanceRequest as botocore's model has it."""
        blueprint = self.instance.blueprint
        code, message = self.status
        price = blueprint.max_price or catalogue.on_demand_price(blueprint.machine_type)
        return {
            "SpotInstanceRequestId": self.request_id,
            "InstanceId": self.instance.instance_id,
            "State": self.state,
            "Status": {"Code": code, "Message": message, "UpdateTime": moment(self.updated)},
            "Type": blueprint.request_type,
            "SpotPrice": f"{price:.6f}",
            "CreateTime": moment(self.created),
            "LaunchedAvailabilityZone": blueprint.zone,
            "ProductDescription": "Linux/UNIX",
            "InstanceInterruptionBehavior": blueprint.interruption,
            "LaunchSpecification": {
                "ImageId": blueprint.image.image_id,
                "InstanceType": blueprint.machine_type,
                "SubnetId": blueprint.subnet.subnet_id,
                "Placement": {"AvailabilityZone": blueprint.zone},
            },
            "Tags": as_list(self.tags),
        }


class SpotRequests:
    """The spot requests of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, SpotRequest] = {}

    def fulfilled(self, instance: Instance) -> SpotRequest:
        """Note the request that brought a machine."""
        now = self._region.clock.now
        labels = instance.blueprint.tags("spot-instances-request")
        request = SpotRequest(ids.new_spot_request(), instance, now, updated=now, tags=labels)
        self._by_id[request.request_id] = request
        return request

    def every(self) -> Iterator[SpotRequest]:
        """Go through the requests that EC2 still shows."""
        now = self._region.clock.now
        return (each for each in self._by_id.values() if not each.is_forgotten(now))

    def get(self, request_id: str) -> SpotRequest | None:
        return self._by_id.get(request_id)

    def require(self, request_id: str) -> SpotRequest:
        if not _ID.fullmatch(request_id):
            raise malformed("InvalidSpotInstanceRequestID.Malformed", request_id, "sir")
        found = self._by_id.get(request_id)
        if found is None or found.is_forgotten(self._region.clock.now):
            raise ServiceError(
                "InvalidSpotInstanceRequestID.NotFound",
                f"The spot instance request ID '{request_id}' does not exist",
            )
        return found

    def cancel(self, request: SpotRequest) -> None:
        """Cancel a request; its machine lives on."""
        if request.state in ("open", "active"):
            request.state = "cancelled"
            request.mark("request-canceled-and-instance-running", "", self._region.clock.now)
