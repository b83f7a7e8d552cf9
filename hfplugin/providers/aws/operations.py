"""What every AWS handler does to instances: describe, find and terminate them, many at a time.

One bad id never spoils the others, and "not found" counts only when it was the right account that was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import MachineState, Refusal, Sighting
from hfplugin.providers.aws import tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate
from hfplugin.providers.base.provider import Found, Host, Located, Observation, Released

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# DescribeInstances has no documented limit of ids, TerminateInstances allows 1,000 and recommends fewer.
BATCH = 500

# Values in one filter of a Describe call.
_FILTER_VALUES = 200

_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")

_GOING = ("shutting-down", "terminated")


def observe(clients: Clients, machines: Sequence[Located]) -> Observation:
    """Describe machines by id, region by region; a region that fails only leaves its own machines unobserved."""
    seen: dict[str, Sighting] = {}
    missing: set[str] = set()
    failures: list[Refusal] = []
    for region, group in _by_region(machines):
        try:
            for batch in _batches(group):
                found, absent = _describe_known(clients.ec2(region), region, [machine.id for machine in batch])
                _check_account(clients, batch, found, absent)
                seen |= found
                missing |= absent
        except ProviderError as error:
            failures.append(Refusal(error.kind, error.code, error.message, region))
    return Observation(seen, frozenset(missing), tuple(failures))


def _describe_known(client: EC2Client, region: str, ids: list[str]) -> tuple[dict[str, Sighting], set[str]]:
    """Describe ids of which some may not exist: AWS fails the whole call for one, naming the culprits."""
    absent = {machine_id for machine_id in ids if not _ID.fullmatch(machine_id)}
    asked = [machine_id for machine_id in dict.fromkeys(ids) if machine_id not in absent]
    while asked:
        try:
            pages = client.get_paginator("describe_instances").paginate(InstanceIds=asked)
            found = {sighting.id: sighting for page in pages for sighting in _sightings(page, region)}
        except ClientError as error:
            culprits = _named_culprits(error, asked)
            absent |= culprits
            asked = [machine_id for machine_id in asked if machine_id not in culprits]
            continue
        except AWS_ERRORS as error:
            raise translate(error) from error
        return found, absent | (set(asked) - set(found))
    return {}, absent


def _named_culprits(error: ClientError, asked: Iterable[str]) -> set[str]:
    """Give the ids that a not-found answer names; raise the error when it is of another kind or names none."""
    translated = translate(error)
    culprits = set(_ID.findall(translated.message)) & set(asked)
    if translated.kind is not ErrorKind.NOT_FOUND or not culprits:
        raise translated from error
    return culprits


def _check_account(
    clients: Clients, batch: Sequence[Located], found: Mapping[str, Sighting], absent: Iterable[str]
) -> None:
    """Raise unless what was (not) seen was looked for in the account where it was launched."""
    absent = set(absent)
    for machine in batch:
        if machine.id in absent:
            looked_in = clients.account() if machine.account else ""
        else:
            looked_in = found[machine.id].account
        if machine.account and looked_in and looked_in != machine.account:
            raise ProviderError(
                ErrorKind.AUTH,
                "WrongAccount",
                f"{machine.id} was launched in account {machine.account}, the credentials are for {looked_in}: "
                "nothing is concluded from this look",
            )


def release(clients: Clients, machines: Sequence[Located]) -> Released:
    """Terminate machines by id. Only ids that are known to be ours may come here."""
    going: set[str] = set()
    missing: set[str] = set()
    refused: dict[str, Refusal] = {}
    for region, group in _by_region(machines):
        for batch in _batches(group):
            _terminate(clients, region, batch, going, missing, refused)
    return Released(frozenset(going), frozenset(missing), refused)


def _terminate(
    clients: Clients,
    region: str,
    batch: list[Located],
    going: set[str],
    missing: set[str],
    refused: dict[str, Refusal],
) -> None:
    """Terminate a batch; what AWS names as absent is dropped and the rest repeated, a refused batch is halved."""
    if not batch:
        return
    try:
        answer = clients.ec2(region).terminate_instances(InstanceIds=[machine.id for machine in batch])
    except AWS_ERRORS as error:
        translated = translate(error)
        if translated.kind is ErrorKind.NOT_FOUND and len(batch) > 1:
            culprits = set(_ID.findall(translated.message)) or {batch[0].id}
            _terminate(clients, region, [m for m in batch if m.id not in culprits], going, missing, refused)
            for machine in batch:
                if machine.id in culprits:
                    _terminate(clients, region, [machine], going, missing, refused)
        elif translated.kind is ErrorKind.NOT_FOUND:
            _note_absent(clients, batch[0], missing, refused)
        elif translated.kind is ErrorKind.INVALID and len(batch) > 1:
            middle = len(batch) // 2
            _terminate(clients, region, batch[:middle], going, missing, refused)
            _terminate(clients, region, batch[middle:], going, missing, refused)
        else:
            refusal = Refusal(translated.kind, translated.code, translated.message, region)
            refused.update({machine.id: refusal for machine in batch})
        return
    going.update(
        change["InstanceId"]
        for change in answer["TerminatingInstances"]
        if change["CurrentState"]["Name"] in _GOING
    )


def _note_absent(clients: Clients, machine: Located, missing: set[str], refused: dict[str, Refusal]) -> None:
    try:
        _check_account(clients, [machine], {}, [machine.id])
    except ProviderError as error:
        refused[machine.id] = Refusal(error.kind, error.code, error.message, machine.region)
    else:
        missing.add(machine.id)


def find_by_filters(clients: Clients, region: str, filters: Mapping[str, Sequence[str]]) -> list[Sighting]:
    """Give every instance that matches, terminated ones of the last hour included."""
    wanted: Any = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
    try:
        pages = (
            clients.ec2(region)
            .get_paginator("describe_instances")
            .paginate(Filters=wanted, PaginationConfig={"PageSize": 1000})
        )
        return [sighting for page in pages for sighting in _sightings(page, region)]
    except AWS_ERRORS as error:
        raise translate(error) from error


def find_hosts(clients: Clients, hosts: Sequence[Host], provider_name: str) -> list[Found]:
    """Search every region for hosts, by id where there is one, else by private DNS name."""
    ids = [host.machine_id for host in hosts if host.machine_id]
    names = [host.name for host in hosts if not host.machine_id and host.name]
    by_id: dict[str, Sighting] = {}
    by_name: dict[str, Sighting] = {}
    is_complete = True
    for region in clients.regions:
        try:
            for batch in _chunks(ids, BATCH):
                by_id |= _describe_known(clients.ec2(region), region, batch)[0]
            for batch in _chunks(names, _FILTER_VALUES):
                for sighting in find_by_filters(clients, region, {"private-dns-name": batch}):
                    by_name[sighting.name] = sighting
        except ProviderError:
            is_complete = False
    sightings = [by_id.get(host.machine_id) if host.machine_id else by_name.get(host.name) for host in hosts]
    return [
        Found(sighting, sighting is not None and sighting.provider_name == provider_name, is_complete)
        for sighting in sightings
    ]


def find_request(clients: Clients, request_id: str, provider_name: str) -> list[Sighting]:
    """Give every instance tagged with the request, from every region."""
    wanted = {f"tag:{tags.REQUEST_ID}": [request_id], f"tag:{tags.PROVIDER}": [provider_name]}
    return [sighting for region in clients.regions for sighting in find_by_filters(clients, region, wanted)]


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
        attempt=int(labels[tags.ATTEMPT]) if labels.get(tags.ATTEMPT, "").isdigit() else 0,
    )


def _reason(reason: Mapping[str, str]) -> str:
    """Give EC2's StateReason, whose message usually begins with its own code."""
    code, message = reason.get("Code", ""), reason.get("Message", "")
    return message if message.startswith(code) else f"{code}: {message}"


def _sightings(page: Mapping[str, Any], region: str) -> Iterator[Sighting]:
    for reservation in page["Reservations"]:
        for instance in reservation["Instances"]:
            yield sighting(instance, reservation.get("OwnerId", ""), region)


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
