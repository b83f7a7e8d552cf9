"""How the simulated cloud's machines look from outside."""

from __future__ import annotations

import hashlib

from hfplugin.providers.base.provider import Sighting
from hfplugin.providers.simulated.cloud import Cloud, Launched
from hfplugin.providers.simulated.fate import Machine

# There is one: a place is a zone of it.
REGION = "simulated"

_DOMAIN = ".simulated"


def name(machine_id: str) -> str:
    """Give a machine's host name: known before it boots, and never another one."""
    return f"{machine_id}{_DOMAIN}"


def machine_id(name: str) -> str:
    """Give the machine whose host name this is."""
    return name.removesuffix(_DOMAIN)


def sighting(cloud: Cloud, launched: Launched, machine: Machine) -> Sighting:
    life = cloud.life(machine)
    state = life.state(cloud.clock.now())
    tags = launched.tags
    return Sighting(
        id=machine.id,
        state=state,
        region=REGION,
        account=cloud.account,
        name=name(machine.id),
        private_ip=_address(machine.id),
        launch_time=int(machine.launched_at),
        machine_type=launched.asked["params"]["machineType"],
        zone=launched.place,
        reason=life.reason if state.is_going else "",
        request_id=tags["request"],
        template_id=tags["template"],
        provider_name=tags["provider"],
        installation=tags["installation"],
        source=f"{launched.asked['api']}/{launched.group}" if launched.group else "",
        attempt=int(tags["attempt"]),
        units=int(tags["units"]),
    )


def _address(machine_id: str) -> str:
    digest = hashlib.sha256(machine_id.encode()).digest()
    return f"10.{digest[0]}.{digest[1]}.{1 + digest[2] % 254}"
