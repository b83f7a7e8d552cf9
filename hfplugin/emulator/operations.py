"""Which calls the emulator answers itself; every other one is moto's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hfplugin.emulator.api import (
    attributes,
    auto_scaling,
    auto_scaling_members,
    fleets,
    instance_status,
    instances,
    launch_templates,
    machine_types,
    prices,
    reservations,
    spot_fleets,
    spot_requests,
    tags,
    volumes,
)
from hfplugin.emulator.region import Region
from hfplugin.emulator.wire import Params, Reply

Operation = Callable[[Region, Params], Reply]

# By service and action.
OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "ec2": {
        **attributes.OPERATIONS,
        **fleets.OPERATIONS,
        **instance_status.OPERATIONS,
        **instances.OPERATIONS,
        **launch_templates.OPERATIONS,
        **machine_types.OPERATIONS,
        **reservations.OPERATIONS,
        **spot_fleets.OPERATIONS,
        **spot_requests.OPERATIONS,
        **tags.OPERATIONS,
        **volumes.OPERATIONS,
    },
    "autoscaling": {**auto_scaling.OPERATIONS, **auto_scaling_members.OPERATIONS},
    "pricing": prices.OPERATIONS,
}

# The services of which moto answers nothing: its groups know nothing of our machines, and prices it has none.
OWNED = frozenset({"autoscaling", "pricing"})
