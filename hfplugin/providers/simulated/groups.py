"""Groups of the simulated cloud: each holds its target and replaces what it loses, until it is told to hold less.

A group acts whenever anybody looks at it or changes it: that is soon enough for a cloud that has no daemon.
"""

from __future__ import annotations

from collections.abc import Mapping

from hfplugin.errors import ProviderError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.base.health import Remembered
from hfplugin.providers.base.provider import FoundSource, Outcome, Source
from hfplugin.providers.simulated import places, seen
from hfplugin.providers.simulated.cloud import Cloud, Launched

API = "Group"


def filled(cloud: Cloud, group: Launched) -> tuple[Launched, ProviderError | None]:
    """Launch what a group lacks, as far as there is room; give also why there is no more. The lock is held."""
    missing = 0 if group.is_over else group.target - len(cloud.living(group))
    if missing <= 0:
        return group, None
    try:
        count = cloud.granted(group.token, group.place, missing, least=1)
    except ProviderError as error:
        return group, error
    grown = group.grown(count, cloud.clock.now())
    cloud.save(grown)
    return filled(cloud, grown) if count < missing else (grown, None)


def gather(cloud: Cloud, launch: Launch, memory: Remembered) -> Outcome:
    """Give what the group of a launch holds; SETTLED once it is gone, or told to stop and full."""
    with cloud.changing():
        group = cloud.by_token(launch.token)
        if group is None or group.is_over:
            return Outcome(LaunchState.SETTLED, resource_id=launch.resource_id, account=launch.account)
        group, short = filled(cloud, group)
    errors = (Refusal.of(short, launch.place),) if short else ()
    for error in errors:
        places.learn(launch, error, memory)
    living = cloud.living(group)
    is_last = launch.is_stopped and len(living) >= group.target
    return Outcome(
        LaunchState.SETTLED if is_last else LaunchState.ACCEPTED,
        sightings=tuple(seen.sighting(cloud, group, machine) for machine in living),
        errors=errors,
        resource_id=launch.resource_id,
        account=launch.account,
    )


def stop(cloud: Cloud, launch: Launch, held: Mapping[str, int]) -> None:
    _lower(cloud, launch, sum(held.values()))


def lower_for(cloud: Cloud, source: Source) -> None:
    """Let a group hold no place for what is given back: as an absolute value, so that a repetition is no harm."""
    needed = source.launch.units - sum(source.spent.values()) if source.held is None else sum(source.held.values())
    _lower(cloud, source.launch, max(0, needed))


def _lower(cloud: Cloud, launch: Launch, units: int) -> None:
    with cloud.changing():
        group = cloud.by_token(launch.token)
        machines = -(-units // launch.weight)
        if group is not None and machines < group.target:
            cloud.save(group._replace(target=machines))


def remove(cloud: Cloud, launch: Launch) -> None:
    """End a group, with what came too late for anybody to know."""
    with cloud.changing():
        group = cloud.by_token(launch.token)
        if group is None or group.is_over:
            return
        ended = [machine._replace(ended_at=cloud.clock.now()) for machine in cloud.living(group)]
        cloud.save(group.with_machines(ended)._replace(is_over=True, target=0))


def found(cloud: Cloud, group: Launched) -> FoundSource:
    """Give a group with as much of its launch as has to be known to use it."""
    params, tags = group.asked["params"], group.tags
    launch = Launch(
        attempt=int(tags["attempt"]),
        token=group.token,
        api=API,
        region=seen.REGION,
        account=cloud.account,
        place=f"{group.place}/{params['machineType']}",
        params=params,
        units=group.target * int(tags["units"]),
        planned_at=group.at,
        weight=int(tags["units"]),
        state=LaunchState.ACCEPTED,
        resource_id=group.group,
        remains=(group.group,),
    )
    return FoundSource(tags["request"], tags["installation"], launch)
