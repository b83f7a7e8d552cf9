"""What every AWS handler does to instances: describe, find and terminate them, many at a time.

One bad id never spoils the others, nor does one region, and "not found" counts only when it was the right account
that was asked. Regions are asked at once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, MachineState, Refusal
from hfplugin.providers.aws import parallel, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate, unreadable
from hfplugin.providers.base.provider import Found, Host, Located, Observation, Released, Sighting

# DescribeInstances has no documented limit of ids, TerminateInstances allows 1,000 and recommends fewer.
BATCH = 500

# TerminateInstances in one region and release: AWS grants the whole account 100 calls, then 5 a second.
_MOST_CALLS = 50

# Values in one filter of a Describe call.
_FILTER_VALUES = 200

_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")

_GOING = ("shutting-down", "terminated")

# Refusals that may be meant for a part of the machines: one that is protected, unknown, or lacks the tag that a
# policy demands. All others are the region's answer to any of them.
_PARTIAL = (ErrorKind.NOT_FOUND, ErrorKind.INVALID, ErrorKind.UNKNOWN)
_DENIED = "UnauthorizedOperation"


# An instance as EC2 describes it, and what is read of it.
_Described = tuple[Sighting, Mapping[str, Any]]


def observe(clients: Clients, machines: Sequence[Located]) -> Observation:
    """Describe machines by id; a region that fails only leaves its own machines unobserved."""

    def look(group: tuple[str, list[Located]]) -> Observation:
        return _observe_region(clients, *group)

    views = parallel.each(look, list(_by_region(machines)))
    return Observation(
        seen={machine_id: sighting for view in views for machine_id, sighting in view.seen.items()},
        missing=frozenset().union(*(view.missing for view in views)),
        failures=tuple(failure for view in views for failure in view.failures),
    )


def _observe_region(clients: Clients, region: str, machines: list[Located]) -> Observation:
    seen: dict[str, Sighting] = {}
    missing: set[str] = set()
    failures: list[Refusal] = []
    try:
        for batch in _batches(machines):
            found = _describe_known(clients, region, [machine.id for machine in batch])
            seen |= {machine_id: sighting for machine_id, (sighting, _) in found.items()}
            missing |= _missing(clients, [machine for machine in batch if machine.id not in found])
            gone = [each for each in found.values() if each[0].state.is_going]
            if gone:
                from hfplugin.providers.aws import boot_failures

                boot_failures.learn(clients, region, gone)
    except ProviderError as error:
        failures.append(Refusal.of(error, region))
    return Observation(seen, frozenset(missing), tuple(failures))


def _missing(clients: Clients, absent: Sequence[Located]) -> set[str]:
    """Give the ids of what was not found; raise when it was not its own account that was asked."""
    for account in {machine.account for machine in absent}:
        clients.require_account(account)
    return {machine.id for machine in absent}


def _describe_known(clients: Clients, region: str, ids: Iterable[str]) -> dict[str, _Described]:
    """Describe those of the ids that exist. A call by ids fails whole for one that does not; a filter does not."""
    asked = [machine_id for machine_id in dict.fromkeys(ids) if _ID.fullmatch(machine_id)]
    if not asked:
        return {}
    try:
        pages = clients.ec2(region).get_paginator("describe_instances").paginate(InstanceIds=asked)
        return {each[0].id: each for page in pages for each in _described(page, region)}
    except AWS_ERRORS as error:
        translated = translate(error)
        if translated.kind is not ErrorKind.NOT_FOUND:
            raise translated from error
    return {
        each[0].id: each
        for chunk in _chunks(asked, _FILTER_VALUES)
        for each in _filtered(clients, region, {"instance-id": chunk})
    }


def release(clients: Clients, machines: Sequence[Located]) -> Released:
    """Terminate machines by id. Only ids that are known to be ours may come here."""

    def end(group: tuple[str, list[Located]]) -> _Termination:
        region, batch = group
        termination = _Termination(clients, region)
        termination.run(batch)
        return termination

    done = parallel.each(end, list(_by_region({machine.id: machine for machine in machines}.values())))
    return Released(
        going=frozenset().union(*(each.going for each in done)),
        missing=frozenset().union(*(each.missing for each in done)),
        refused={machine_id: refusal for each in done for machine_id, refusal in each.refused.items()},
    )


class _Termination:
    """Terminates machines of one region. EC2 refuses a whole batch for a few of it: what the refusal does not name
    is tried again, in ever smaller parts, within a bounded number of calls."""

    def __init__(self, clients: Clients, region: str) -> None:
        self.going: set[str] = set()
        self.missing: set[str] = set()
        self.refused: dict[str, Refusal] = {}
        self._clients = clients
        self._region = region
        self._calls_left = _MOST_CALLS

    def run(self, machines: Sequence[Located]) -> None:
        malformed = [machine for machine in machines if not _ID.fullmatch(machine.id)]
        self._note_missing(malformed)
        known = [machine for machine in machines if machine not in malformed]
        # In any order: always the same refused ones first would leave no call for the others.
        waiting = list(_batches(random.sample(known, len(known))))
        while waiting and self._calls_left:
            batch = waiting.pop()
            error = self._terminate(batch)
            if error is None:
                continue
            if error.kind not in _PARTIAL and error.code != _DENIED:
                return self._refuse(chain(batch, *waiting), error)
            waiting += self._without_culprits(batch, error)
        return None

    def _terminate(self, batch: list[Located]) -> ProviderError | None:
        self._calls_left -= 1
        try:
            client = self._clients.ec2(self._region)
            answer = client.terminate_instances(InstanceIds=[machine.id for machine in batch])
        except ProviderError as error:
            return error
        except AWS_ERRORS as error:
            return translate(error)
        self.going.update(
            change["InstanceId"]
            for change in answer.get("TerminatingInstances", ())
            if change.get("CurrentState", {}).get("Name") in _GOING
        )
        return None

    def _without_culprits(self, batch: list[Located], error: ProviderError) -> list[list[Located]]:
        """Note what came of the machines that the refusal is about; give what is to be tried again."""
        named = set(_ID.findall(error.message))
        culprits = [machine for machine in batch if machine.id in named] if len(batch) > 1 else batch
        rest = [machine for machine in batch if machine not in culprits]
        if error.kind is ErrorKind.NOT_FOUND:
            self._note_missing(culprits)
            if culprits:  # EC2 names all that it does not know
                return [rest] if rest else []
        else:
            self._refuse(culprits, error)
        middle = (len(rest) + 1) // 2
        return [half for half in (rest[:middle], rest[middle:]) if half]

    def _note_missing(self, absent: Sequence[Located]) -> None:
        try:
            self.missing |= _missing(self._clients, absent)
        except ProviderError as error:
            self._refuse(absent, error)

    def _refuse(self, machines: Iterable[Located], error: ProviderError) -> None:
        refusal = Refusal.of(error, self._region)
        self.refused.update({machine.id: refusal for machine in machines})


def find_by_filters(clients: Clients, region: str, filters: Mapping[str, Sequence[str]]) -> list[Sighting]:
    """Give every instance that matches, terminated ones of the last hour included."""
    return [sighting for sighting, _ in _filtered(clients, region, filters)]


def _filtered(clients: Clients, region: str, filters: Mapping[str, Sequence[str]]) -> list[_Described]:
    wanted: Any = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
    try:
        pages = (
            clients.ec2(region)
            .get_paginator("describe_instances")
            .paginate(Filters=wanted, PaginationConfig={"PageSize": 1000})
        )
        return [each for page in pages for each in _described(page, region)]
    except AWS_ERRORS as error:
        raise translate(error) from error


def find_hosts(clients: Clients, hosts: Sequence[Host], provider_name: str) -> list[Found]:
    """Search every region for hosts, by id where there is one, else by private DNS name.

    ProviderError when no region answers; one that does not only leaves the search incomplete.
    Ours is what carries our provider's name and a request's id. A name is used again, and by others: it means
    the machine that is ours, then the one that lives, then the latest.
    """
    ids = [host.machine_id for host in hosts if host.machine_id]
    names = [host.name for host in hosts if not host.machine_id and host.name]

    def is_ours(sighting: Sighting) -> bool:
        return sighting.provider_name == provider_name and bool(sighting.request_id)

    def rank(sighting: Sighting) -> tuple[bool, bool, int]:
        return is_ours(sighting), not sighting.state.is_going, sighting.launch_time

    def search(region: str) -> tuple[list[Sighting], list[Sighting], list[ProviderError]]:
        with_id: list[Sighting] = []
        with_name: list[Sighting] = []
        try:
            for batch in _chunks(ids, BATCH):
                with_id += [each for each, _ in _describe_known(clients, region, batch).values()]
            for batch in _chunks(names, _FILTER_VALUES):
                with_name += find_by_filters(clients, region, {"private-dns-name": batch})
        except ProviderError as error:
            return with_id, with_name, [error]
        return with_id, with_name, []

    searched = parallel.each(search, clients.regions)
    failures = [error for _, _, errors in searched for error in errors]
    if len(failures) == len(searched):
        raise failures[0]
    by_id = {each.id: each for with_id, _, _ in searched for each in with_id}
    by_name: dict[str, Sighting] = {}
    for found in (each for _, with_name, _ in searched for each in with_name):
        by_name[found.name] = max(found, by_name.get(found.name, found), key=rank)
    sightings = [by_id.get(host.machine_id) if host.machine_id else by_name.get(host.name) for host in hosts]
    return [Found(found, found is not None and is_ours(found), not failures) for found in sightings]


def find_requests(clients: Clients, request_ids: Sequence[str], provider_name: str) -> list[Sighting]:
    """Give every instance tagged with one of the requests. ProviderError unless every region answered."""

    def search(region: str) -> list[Sighting]:
        found: list[Sighting] = []
        for batch in _chunks(request_ids, _FILTER_VALUES):
            wanted = {f"tag:{tags.REQUEST_ID}": batch, f"tag:{tags.PROVIDER}": [provider_name]}
            found += find_by_filters(clients, region, wanted)
        return found

    return list(chain.from_iterable(parallel.each(search, clients.regions)))


def find_attempt(clients: Clients, launch: Launch, request_id: str) -> tuple[Sighting, ...]:
    """Give every instance that carries the tags of one launch."""
    wanted = {f"tag:{tags.REQUEST_ID}": [request_id], f"tag:{tags.ATTEMPT}": [str(launch.attempt)]}
    return tuple(find_by_filters(clients, launch.region, wanted))


def sighting(instance: Mapping[str, Any], owner: str, region: str) -> Sighting:
    """Read one instance of a RunInstances or DescribeInstances answer."""
    labels = tags.as_dict(instance.get("Tags", ()))
    reason = instance.get("StateReason", {})
    return Sighting(
        id=instance["InstanceId"],
        state=MachineState(instance["State"]["Name"]),
        region=region,
        account=owner,
        name=instance.get("PrivateDnsName", ""),
        private_ip=instance.get("PrivateIpAddress", ""),
        public_ip=instance.get("PublicIpAddress", ""),
        launch_time=int(instance["LaunchTime"].timestamp()) if "LaunchTime" in instance else 0,
        machine_type=instance.get("InstanceType", ""),
        price_type="spot" if instance.get("InstanceLifecycle") == "spot" else "ondemand",
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        reason=_reason(reason),
        request_id=labels.get(tags.REQUEST_ID, ""),
        template_id=labels.get(tags.TEMPLATE_ID, ""),
        provider_name=labels.get(tags.PROVIDER, ""),
        installation=labels.get(tags.INSTALLATION, ""),
        source=tags.source_of(labels),
        attempt=_number(labels.get(tags.ATTEMPT, ""), 0),
        units=tags.units_of(labels, instance.get("InstanceType", "")),
    )


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def _reason(reason: Mapping[str, str]) -> str:
    """Give EC2's StateReason, whose message usually begins with its own code."""
    code, message = reason.get("Code", ""), reason.get("Message", "")
    return message if message.startswith(code) else ": ".join(filter(None, (code, message)))


def _described(page: Mapping[str, Any], region: str) -> Iterator[_Described]:
    try:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                yield sighting(instance, reservation.get("OwnerId", ""), region), instance
    except (KeyError, ValueError) as error:
        raise unreadable(error) from error


def _by_region(machines: Iterable[Located]) -> Iterator[tuple[str, list[Located]]]:
    ordered = sorted(machines, key=lambda machine: machine.region)
    for region, group in groupby(ordered, key=lambda machine: machine.region):
        yield region, list(group)


def _batches(machines: list[Located]) -> Iterator[list[Located]]:
    for start in range(0, len(machines), BATCH):
        yield machines[start : start + BATCH]


def _chunks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(texts))
    for start in range(0, len(unique), size):
        yield unique[start : start + size]
