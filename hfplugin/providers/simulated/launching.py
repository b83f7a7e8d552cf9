"""Sends launches, once each: the token decides what is a repetition, and a refusal proves only what it can."""

from __future__ import annotations

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.base.health import Remembered
from hfplugin.providers.base.provider import Outcome
from hfplugin.providers.simulated import groups, places, seen
from hfplugin.providers.simulated.cloud import Cloud, Launched

API = "Machines"

# The code of the refusal that proves that a launch was carried out.
_TOKEN_USED = "TokenUsed"


def launch(cloud: Cloud, launch: Launch, memory: Remembered) -> Outcome:
    """Send a launch and say what came of it."""
    try:
        cloud.admit("launch")
        with cloud.changing():
            launched, _ = groups.filled(cloud, _launched(cloud, launch))
    except ProviderError as error:
        refusal = Refusal.of(error, launch.place)
        places.learn(launch, refusal, memory)
        return Outcome.failed(launch, refusal, is_first_answer=refusal.code != _TOKEN_USED)
    outcome = _brought(cloud, launch, launched)
    if outcome.sightings:
        places.learn(launch, None, memory)
    return outcome


def _launched(cloud: Cloud, launch: Launch) -> Launched:
    """Carry out a launch, or give what it brought when it was sent before. The lock is held."""
    asked = {"api": launch.api, "params": launch.params, "units": launch.units}
    known = cloud.by_token(launch.token)
    if known is not None and known.asked != asked:
        raise ProviderError(ErrorKind.INVALID, _TOKEN_USED, "the token was used for another launch")
    if known is not None:
        return known
    cloud.require_place(launch.params["place"])
    now, count = cloud.clock.now(), launch.params["count"]
    if launch.api == groups.API:
        launched = Launched(launch.token, asked, now, target=count, is_over=False)
    else:
        count = cloud.granted(launch.token, launch.params["place"], count, launch.params["least"])
        launched = Launched(launch.token, asked, now, target=0, is_over=True).grown(count, now)
    cloud.carried_out(launched)
    return launched


def find(cloud: Cloud, launch: Launch) -> Outcome:
    """Look, without launching, for what a launch brought."""
    cloud.admit("find_launched")
    launched = cloud.by_token(launch.token)
    if launched is None:
        return Outcome(LaunchState.UNKNOWN)
    brought = _brought(cloud, launch, launched)
    return brought if launched.group and not launched.is_over else Outcome(LaunchState.UNKNOWN, brought.sightings)


def _brought(cloud: Cloud, launch: Launch, launched: Launched) -> Outcome:
    if launched.group and not launched.is_over:
        return Outcome(LaunchState.ACCEPTED, resource_id=launched.group, account=cloud.account)
    sightings = tuple(seen.sighting(cloud, launched, machine) for machine in launched.machines)
    errors: tuple[Refusal, ...] = ()
    if len(sightings) < launch.params["count"]:
        few = f"{len(sightings)} of {launch.params['count']} machines could be had"
        errors = (Refusal(ErrorKind.CAPACITY, "NoCapacity", few, launch.place),)
    return Outcome(LaunchState.SETTLED, sightings, errors, launched.key, cloud.account)
