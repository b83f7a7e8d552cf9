"""Which calls the emulator answers itself; every other one is moto's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hfplugin.emulator.api import (
    instances,
    launch_templates,
    machine_types,
    reservations,
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
        **instances.OPERATIONS,
        **launch_templates.OPERATIONS,
        **machine_types.OPERATIONS,
        **reservations.OPERATIONS,
        **spot_requests.OPERATIONS,
        **tags.OPERATIONS,
        **volumes.OPERATIONS,
    },
    "autoscaling": {},
}
