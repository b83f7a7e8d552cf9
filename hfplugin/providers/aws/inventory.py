"""Reads what AWS has under our tags: machines, the fleets and groups they are of, launch templates.

A fleet or group found this way stands for the launch that made it, as far as AWS still tells: its kind, its target
and whose it is, which is what stopping it and giving its machines back need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws import launch_templates, operations, parallel, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.aws.handlers import auto_scaling, ec2_fleet, fleet, spot_fleet
from hfplugin.providers.base.provider import FoundSource, Inventory, Sighting, Spare

# Machines that are, or may be again.
_LIVING = ("pending", "running", "stopping", "stopped")

# Fleets that may bring machines. Source: the fleet states of DescribeFleets and DescribeSpotFleetRequests.
_ACTING = ("submitted", "active", "modifying")

# DescribeAutoScalingGroups' limit.
_GROUP_NAMES = 50


def find_requests(clients: Clients, request_ids: Sequence[str], provider_name: str) -> Inventory:
    """Give the requests' machines, those that ended within the hour included, and the sources that they are of.

    Raises ProviderError unless every region answered.
    """
    machines = operations.find_requests(clients, request_ids, provider_name)
    named: dict[str, dict[str, list[str]]] = {}
    for region, source in sorted({(each.region, each.source) for each in machines if each.source}):
        api, _, resource_id = source.partition("/")
        named.setdefault(region, {}).setdefault(api, []).append(resource_id)

    def read(region: str) -> list[FoundSource]:
        reader = _Region(clients, region, provider_name)
        return [each for api, ids in named[region].items() for each in reader.sources[api](ids)]

    return Inventory(tuple(machines), tuple(chain.from_iterable(parallel.each(read, list(named)))))


def everything(clients: Clients, provider_name: str) -> Inventory:
    """Give all that lives under the provider's name; each kind of thing that cannot be read is a failure."""

    def read(region: str) -> Inventory:
        return _Region(clients, region, provider_name).everything()

    parts = parallel.each(read, clients.regions)
    return Inventory(
        machines=tuple(machine for part in parts for machine in part.machines),
        sources=tuple(source for part in parts for source in part.sources),
        spares=tuple(spare for part in parts for spare in part.spares),
        failures=tuple(failure for part in parts for failure in part.failures),
    )


class _Region:
    """What one region has under a provider's name."""

    def __init__(self, clients: Clients, region: str, provider_name: str) -> None:
        self._clients = clients
        self._region = region
        self._provider_name = provider_name
        # By service: gives its sources with these ids, or all of them.
        self.sources: dict[str, Callable[[list[str] | None], Iterable[FoundSource]]] = {
            ec2_fleet.API: self._ec2_fleets,
            spot_fleet.API: self._spot_fleets,
            auto_scaling.API: self._groups,
        }

    def everything(self) -> Inventory:
        machines: list[Sighting] = []
        sources: list[FoundSource] = []
        spares: list[Spare] = []
        failures: list[Refusal] = []
        kinds: list[tuple[list[Any], Callable[[], Iterable[Any]]]] = [(machines, self._machines)]
        kinds += [(sources, partial(read, None)) for read in self.sources.values()]
        kinds.append((spares, self._spares))
        for found, read in kinds:
            try:
                found += list(read())
            except ProviderError as error:
                failures.append(Refusal.of(error, self._region))
                if error.kind is ErrorKind.TRANSIENT:
                    break  # a region that does not answer is waited for once, not once for each kind
        return Inventory(tuple(machines), tuple(sources), tuple(spares), tuple(failures))

    def _machines(self) -> list[Sighting]:
        wanted = {f"tag:{tags.PROVIDER}": [self._provider_name], "instance-state-name": _LIVING}
        return operations.find_by_filters(self._clients, self._region, wanted)

    def _spares(self) -> Iterator[Spare]:
        wanted = [{"Name": f"tag:{tags.PROVIDER}", "Values": [self._provider_name]}]
        for page in fleet.pages(self._clients, self._region, "describe_launch_templates", Filters=wanted):
            for each in page["LaunchTemplates"]:
                yield Spare(
                    name=launch_templates.remains(each["LaunchTemplateName"]),
                    region=self._region,
                    account=self._clients.account(),
                    installation=tags.as_dict(each.get("Tags", ())).get(tags.INSTALLATION, ""),
                    made_at=each["CreateTime"].timestamp(),
                )

    def _ec2_fleets(self, ids: list[str] | None) -> Iterator[FoundSource]:
        """Give those that live on: AWS lists no instant fleet. A call by ids would fail for one that is gone."""
        for page in fleet.pages(self._clients, self._region, "describe_fleets"):
            for each in page["Fleets"]:
                if each["FleetState"] in _ACTING and (ids is None or each["FleetId"] in ids):
                    target = each["TargetCapacitySpecification"]
                    call = {"Type": each["Type"], "TargetCapacitySpecification": target}
                    known = {"api": ec2_fleet.API, "resource_id": each["FleetId"]}
                    known |= _of_fleet(each, target["TotalTargetCapacity"], each["CreateTime"])
                    yield from self._found(each, call, known)

    def _spot_fleets(self, ids: list[str] | None) -> Iterator[FoundSource]:
        for page in fleet.pages(self._clients, self._region, "describe_spot_fleet_requests"):
            for each in page["SpotFleetRequestConfigs"]:
                if each["SpotFleetRequestState"] in _ACTING and (ids is None or each["SpotFleetRequestId"] in ids):
                    config = each["SpotFleetRequestConfig"]
                    call = {key: config[key] for key in _SPOT_FLEET_KEYS if key in config}
                    known = {"api": spot_fleet.API, "resource_id": each["SpotFleetRequestId"]}
                    known |= _of_fleet(config, config["TargetCapacity"], each["CreateTime"])
                    yield from self._found(each, call, known)

    def _groups(self, names: list[str] | None) -> Iterator[FoundSource]:
        wanted: list[dict[str, Any]] = [
            {"Filters": [{"Name": f"tag:{tags.PROVIDER}", "Values": [self._provider_name]}]}
        ]
        if names is not None:
            starts = range(0, len(names), _GROUP_NAMES)
            wanted = [{"AutoScalingGroupNames": names[start : start + _GROUP_NAMES]} for start in starts]
        for page in (each for call in wanted for each in self._group_pages(call)):
            for each in page["AutoScalingGroups"]:
                if not each.get("Status"):  # only a deletion has one
                    name = each["AutoScalingGroupName"]
                    known = {
                        "api": auto_scaling.API,
                        "resource_id": name,
                        "token": "",
                        "units": each["DesiredCapacity"],
                        "planned_at": each["CreatedTime"].timestamp(),
                        "remains": (auto_scaling.in_remains(name), *_templates([_template_of(each)])),
                    }
                    yield from self._found(each, {"AutoScalingGroupName": name, "Tags": each["Tags"]}, known)

    def _group_pages(self, wanted: Mapping[str, Any]) -> Iterator[Any]:
        try:
            client = self._clients.autoscaling(self._region)
            yield from client.get_paginator("describe_auto_scaling_groups").paginate(**wanted)
        except AWS_ERRORS as error:
            raise translate(error) from error

    def _found(self, described: Any, call: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[FoundSource]:
        labels = tags.as_dict(described.get("Tags", ()))
        if labels.get(tags.PROVIDER) != self._provider_name:
            return
        weight, weights = tags.weights(labels)
        launch = Launch(
            attempt=int(labels.get(tags.ATTEMPT, "0")),
            region=self._region,
            account=self._clients.account(),
            place=self._region,
            params={"Call": dict(call)},
            weight=weight,
            weights=weights,
            state=LaunchState.ACCEPTED,
            **known,
        )
        yield FoundSource(labels.get(tags.REQUEST_ID, ""), labels.get(tags.INSTALLATION, ""), launch)


_SPOT_FLEET_KEYS = ("Type", "TargetCapacity", "OnDemandTargetCapacity")


def _of_fleet(config: Any, units: int, made: datetime) -> dict[str, Any]:
    """Give what both kinds of fleet tell of their launch in the same words."""
    return {
        "token": config.get("ClientToken", ""),
        "units": units,
        "planned_at": made.timestamp(),
        "remains": _templates(config.get("LaunchTemplateConfigs", ())),
    }


def _template_of(group: Any) -> Any:
    """Give a group's launch template in the form that fleets have."""
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    return {"LaunchTemplateSpecification": mixed or group.get("LaunchTemplate", {})}


def _templates(configs: Iterable[Any]) -> tuple[str, ...]:
    """Give the launch templates of a fleet or group, as what it leaves behind."""
    named = (each.get("LaunchTemplateSpecification", {}).get("LaunchTemplateName", "") for each in configs)
    return tuple(launch_templates.remains(name) for name in dict.fromkeys(named) if name)


def discard(clients: Clients, spares: Sequence[Spare]) -> None:
    """Delete launch templates. Raises ProviderError."""
    for spare in spares:
        clients.require_account(spare.account)
        launch_templates.remove(clients, spare.region, [spare.name])
