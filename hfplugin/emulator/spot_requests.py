"""The spot request behind each spot machine, and the reclaim of it.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import ids
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError
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
_ENDED_OTHERWISE = ("instance-terminated-by-service", "Your Spot Instance was terminated by the service.")


@dataclass(eq=False)
class SpotRequest:
    """One request, which brought one machine."""

    request_id: str
    instance: Instance
    created: float
    state: str = "active"
    status: tuple[str, str] = ("fulfilled", "Your Spot request is fulfilled.")
    updated: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)

    def mark(self, code: str, message: str, now: float) -> None:
        self.status, self.updated = (code, message), now

    def end(self, reason: Reason) -> None:
        """Close the request of a machine that is shutting down."""
        self.state = "closed"
        code, message = _ENDS.get(reason.code, _ENDED_OTHERWISE)
        self.mark(code, message, self.instance.state_since)

    def describe(self) -> dict[str, Any]:
        """Give a SpotInstanceRequest as botocore's model has it."""
        blueprint = self.instance.blueprint
        code, message = self.status
        price = f"{blueprint.max_price:.6f}" if blueprint.max_price else None
        return {
            "SpotInstanceRequestId": self.request_id,
            "InstanceId": self.instance.instance_id,
            "State": self.state,
            "Status": {"Code": code, "Message": message, "UpdateTime": moment(self.updated)},
            "Type": "one-time",
            "SpotPrice": price,
            "CreateTime": moment(self.created),
            "LaunchedAvailabilityZone": blueprint.zone,
            "ProductDescription": "Linux/UNIX",
            "InstanceInterruptionBehavior": "terminate",
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
        yield from self._by_id.values()

    def get(self, request_id: str) -> SpotRequest | None:
        return self._by_id.get(request_id)

    def require(self, request_id: str) -> SpotRequest:
        found = self._by_id.get(request_id)
        if found is None:
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
