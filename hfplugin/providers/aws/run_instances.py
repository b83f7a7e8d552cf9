"""On-demand machines from RunInstances: one zone at a time, the template's subnets in their order.

Downside: RunInstances has a small budget (5 calls, then 2 a second; 1,000 instances, then 2 a second), so a
demand of thousands is better served by a fleet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ConfigurationError, ErrorKind, HFPluginError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws import images, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, TOKEN_USED, is_first_answer, translate, unreadable
from hfplugin.providers.aws.images import Resolved, RootVolume
from hfplugin.providers.aws.operations import BATCH, sighting
from hfplugin.providers.base.provider import Context, Order, Outcome, Plan

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

API = "RunInstances"

# EC2's limit for user data, before encoding.
_USER_DATA_BYTES = 16 * 1024

# Refusals of a replay that every further replay would get too.
_ANSWERS = (ErrorKind.CAPACITY, ErrorKind.QUOTA, ErrorKind.INVALID, ErrorKind.UNKNOWN)

# EC2's answer to a DryRun call that would have succeeded.
_WOULD_SUCCEED = "DryRunOperation"

# One hop: a container behind the machine's own network cannot take the machine's role.
_METADATA_OPTIONS = {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}


class Place(NamedTuple):
    """Where and as what machines can be had; empty: the account's default subnet, the launch template's type."""

    region: str
    subnet: str
    machine_type: str
    weight: int

    def __str__(self) -> str:
        return "/".join(
            (self.region, self.subnet or "default-subnet", self.machine_type or "launch-template-type")
        )


def plan(clients: Clients, context: Context, template: AWSTemplate, order: Order) -> Plan | None:
    """Give the next launch: the first place that has not refused or failed this request."""
    place = next(_open_places(template, clients.region, order), None)
    if place is None:
        return None
    return plan_in(clients, context, template, order, place)


def plan_in(clients: Clients, context: Context, template: AWSTemplate, order: Order, place: Place) -> Plan:
    """Give the launch of an order in one place."""
    clients.ec2_for_launch(place.region)  # credentials that do not serve are found out before anything is frozen
    resolved = images.resolve(clients, place.region, template)
    count = min(BATCH, _machines(order, place.weight))
    minimum = count if order.template.all_or_nothing else 1
    return Plan(
        api=API,
        region=place.region,
        account=clients.account(),
        place=str(place),
        params={
            "MinCount": minimum,
            "MaxCount": count,
            **parameters(template, resolved, place),
            **_tagging(template, context, order, place.weight),
        },
        units=count * place.weight,
        weight=place.weight,
        user_data=_user_data(template.user_data_script),
    )


def _open_places(template: AWSTemplate, region: str, order: Order) -> Iterator[Place]:
    shut = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    # A quota is the account's and holds in every zone: no other subnet helps this type.
    over_quota = {launch.place for launch in order.past if any(e.kind is ErrorKind.QUOTA for e in launch.errors)}
    types_over_quota = {_type_of(place) for place in over_quota}
    for machine_type, weight in (template.machine_types or {"": 1}).items():
        for subnet in template.subnet_id or [""]:
            place = Place(region, subnet, machine_type, weight)
            is_open = str(place) not in shut and _type_of(str(place)) not in types_over_quota
            if is_open and _machines(order, weight):
                yield place


def _type_of(place: str) -> str:
    return place.rsplit("/", 1)[-1]


def _machines(order: Order, weight: int) -> int:
    """Count the machines for an order: rounded up, but down for a rest, which a big machine would overshoot."""
    return order.units // weight if _is_rest(order) else -(-order.units // weight)


def _is_rest(order: Order) -> bool:
    """True when an earlier launch gave what it could; one cut to a full batch is merely continued."""
    return any(
        launch.state is LaunchState.SETTLED
        and launch.attempt not in order.exhausted
        and launch.units < BATCH * launch.weight
        for launch in order.past
    )


def parameters(template: AWSTemplate, resolved: Resolved, place: Place) -> dict[str, Any]:
    """Make the call's parameters, except for count, tags, token and user data. What is not set is left out."""
    launch_template = {
        "LaunchTemplateId": template.launch_template_id,
        "Version": resolved.launch_template_version,
    }
    settings = {
        "LaunchTemplate": launch_template if template.launch_template_id else None,
        "ImageId": resolved.image_id,
        "InstanceType": place.machine_type,
        "SubnetId": place.subnet,
        "SecurityGroupIds": template.security_group_ids,
        "KeyName": template.key_name,
        "IamInstanceProfile": _profile(template.instance_profile),
        "BlockDeviceMappings": _root_volume(template, resolved.root),
        "Placement": _placement(template),
        "EbsOptimized": template.ebs_optimized,
        "MetadataOptions": {
            **_METADATA_OPTIONS,
            **{name: value for name, value in resolved.metadata_options.items() if name != "State"},
            "HttpTokens": template.http_tokens,
        },
        # A machine that shuts itself down must not stay behind stopped, billed and unknown to HostFactory.
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    return {name: value for name, value in settings.items() if value not in (None, "", [], {})}


def _profile(name_or_arn: str) -> dict[str, str]:
    if not name_or_arn:
        return {}
    return {"Arn" if name_or_arn.startswith("arn:") else "Name": name_or_arn}


def _root_volume(template: AWSTemplate, root: RootVolume | None) -> list[dict[str, Any]]:
    if root is None:
        return []
    settings = {
        "DeleteOnTermination": True,
        # False is never sent: EC2 refuses it for an image whose snapshot is encrypted.
        "Encrypted": template.encrypted or None,
        "KmsKeyId": template.kms_key_id or None,
        "VolumeSize": template.root_device_volume_size or root.size,
        "VolumeType": template.volume_type or None,
        "Iops": template.iops,
    }
    return [
        {"DeviceName": root.device, "Ebs": {name: value for name, value in settings.items() if value is not None}}
    ]


def _placement(template: AWSTemplate) -> dict[str, str]:
    settings = {"GroupName": template.placement_group_name, "Tenancy": template.tenancy}
    return {name: value for name, value in settings.items() if value}


def _tagging(template: AWSTemplate, context: Context, order: Order, weight: int) -> dict[str, Any]:
    labels = tags.as_list(
        {
            **template.instance_tags,
            tags.PROVIDER: context.provider_name,
            tags.INSTALLATION: context.installation,
            tags.REQUEST_ID: order.request_id,
            tags.TEMPLATE_ID: order.template.id,
            tags.ATTEMPT: str(order.attempt),
            **({tags.UNITS: str(weight)} if weight != 1 else {}),
        }
    )
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": labels} for kind in ("instance", "volume")]}


def _user_data(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"userDataScript {path} cannot be read: {reason}") from error
    if len(text.encode()) > _USER_DATA_BYTES:
        raise ConfigurationError(f"userDataScript {path} is larger than EC2's limit of {_USER_DATA_BYTES} bytes")
    return text


def call_parameters(launch: Launch, user_data: str) -> dict[str, Any]:
    """Give the whole call, byte-identical at every replay. boto3 encodes the user data."""
    extra = {"UserData": user_data} if user_data else {}
    return {**launch.params, **extra, "ClientToken": launch.token}


def launch(clients: Clients, launch: Launch, user_data: str) -> Outcome:
    """Send the launch. RunInstances brings all it will ever bring at once, so success is settled."""
    try:
        clients.require_account(launch.account)
        client = clients.ec2_for_launch(launch.region)
        answer = client.run_instances(**call_parameters(launch, user_data))
    except HFPluginError as error:
        return _failure(launch, error, LaunchState.UNKNOWN)  # not sent now, perhaps sent before
    except AWS_ERRORS as error:
        refusal = translate(error)
        # Only a definite answer to the very first try proves that nothing was launched.
        is_first = launch.state is not LaunchState.UNKNOWN and is_first_answer(error)
        if is_first and refusal.kind is not ErrorKind.TRANSIENT:
            return _failure(launch, refusal, LaunchState.REFUSED)
        look_only = refusal.code in TOKEN_USED or refusal.kind in _ANSWERS
        return _failure(launch, refusal, LaunchState.UNKNOWN)._replace(look_only=look_only)
    owner = answer.get("OwnerId", "")
    try:
        got = tuple(sighting(instance, owner, launch.region) for instance in answer["Instances"])
    except (KeyError, ValueError) as error:
        return _failure(launch, unreadable(error), LaunchState.UNKNOWN)
    return Outcome(
        LaunchState.SETTLED,
        sightings=got,
        resource_id=answer.get("ReservationId", ""),
        account=owner,
    )


def _failure(launch: Launch, error: HFPluginError, state: LaunchState) -> Outcome:
    return Outcome(state, errors=(Refusal.of(error, launch.place),))


def samples(template: AWSTemplate, region: str) -> list[Place]:
    """Give places in which each subnet and each type comes once at least."""
    types = list((template.machine_types or {"": 1}).items())
    subnets = template.subnet_id or [""]
    pairs = [(subnet, types[0]) for subnet in subnets] + [(subnets[0], each) for each in types[1:]]
    return [Place(region, subnet, machine_type, weight) for subnet, (machine_type, weight) in pairs]


def dry_run(clients: Clients, plan: Plan) -> None:
    """Raise ProviderError unless the launch would be allowed; rights and parameters are checked, not capacity."""
    extra: Any = {"UserData": plan.user_data} if plan.user_data else {}
    try:
        clients.ec2(plan.region).run_instances(**plan.params, **extra, DryRun=True)
    except AWS_ERRORS as error:
        translated = translate(error)
        if translated.code != _WOULD_SUCCEED:
            raise translated from error
