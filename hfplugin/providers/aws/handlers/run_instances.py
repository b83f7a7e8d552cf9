"""On-demand machines from RunInstances: one zone at a time, the template's subnets in their order.

Downside: RunInstances has a small budget (5 calls, then 2 a second; 1,000 instances, then 2 a second), so a
demand of thousands is better served by a fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hfplugin.errors import ErrorKind, HFPluginError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws import images, machine, operations, pools, raw
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate, unreadable
from hfplugin.providers.aws.handlers.sending import refused, unsent
from hfplugin.providers.aws.images import Resolved
from hfplugin.providers.aws.operations import BATCH, sighting
from hfplugin.providers.aws.pools import Pool
from hfplugin.providers.base.provider import Context, Located, Nowhere, Order, Outcome, Plan, Released, Source

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

API = "RunInstances"

# EC2's answer to a DryRun call that would have succeeded.
_WOULD_SUCCEED = "DryRunOperation"


class RunInstances:
    """RunInstances as a handler: it leaves nothing behind but machines."""

    def __init__(self, clients: Clients, context: Context) -> None:
        self._clients = clients
        self._context = context

    def plan(self, template: AWSTemplate, order: Order) -> Plan | Nowhere:
        return plan(self._clients, self._context, template, order)

    def launch(self, launched: Launch, user_data: str) -> Outcome:
        return launch(self._clients, launched, user_data)

    def find(self, launch: Launch, request_id: str) -> Outcome:
        wanted = {"client-token": [launch.token]}
        found = tuple(operations.find_by_filters(self._clients, launch.region, wanted))
        return Outcome(LaunchState.UNKNOWN, sightings=found)

    def gather(self, launch: Launch) -> Outcome:
        return Outcome(LaunchState.SETTLED)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        """It brings nothing by itself."""

    def release(self, source: Source, machines: Sequence[Located]) -> Released:
        return operations.release(self._clients, machines)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        """It leaves nothing behind."""

    def trials(self, template: AWSTemplate, order: Order) -> Iterator[tuple[str, Callable[[], None]]]:
        for place in samples(self._clients, template):

            def trial(place: Place = place) -> None:
                dry_run(self._clients, plan_in(self._clients, self._context, template, order, place))

            yield str(place), trial


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


def plan(clients: Clients, context: Context, template: AWSTemplate, order: Order) -> Plan | Nowhere:
    """Give the next launch: the first place that has not refused or failed this request, nor others lately."""
    open_places = ((each, _pools(template, each)) for each in _open_places(clients, template, order))
    choice = pools.choose(clients, open_places, order)
    return choice.planned(lambda place: plan_in(clients, context, template, order, place))


def plan_in(clients: Clients, context: Context, template: AWSTemplate, order: Order, place: Place) -> Plan:
    """Give the launch of an order in one place."""
    template = template.in_region(place.region)
    clients.require_ready(place.region, API)  # before anything is frozen
    resolved = images.resolve(clients, place.region, template)
    count = min(_most(order.past, place.region), _machines(order, place.weight))
    minimum = count if order.template.all_or_nothing else 1
    labels = machine.labels(template, context, order, {place.machine_type: place.weight})
    return Plan(
        api=API,
        region=place.region,
        account=clients.account(),
        place=str(place),
        params=raw.applied(
            API,
            {
                "MinCount": minimum,
                "MaxCount": count,
                **parameters(template, resolved, place),
                "TagSpecifications": machine.specifications(labels, "instance", "volume"),
            },
            template,
        ),
        units=count * place.weight,
        weight=place.weight,
        user_data=machine.user_data(template),
    )


def _open_places(clients: Clients, template: AWSTemplate, order: Order) -> Iterator[Place]:
    shut = {launch.place for launch in order.past if launch.attempt in order.exhausted}
    # A quota is the account's and holds in every zone of a region: no other subnet helps this type.
    over_quota = {launch.place for launch in order.past if any(e.kind is ErrorKind.QUOTA for e in launch.errors)}
    types_over_quota = {_without_subnet(place) for place in over_quota}
    for place in every(clients, template):
        is_open = str(place) not in shut and _without_subnet(str(place)) not in types_over_quota
        if is_open and _machines(order, place.weight):
            yield place


def every(clients: Clients, template: AWSTemplate) -> Iterator[Place]:
    """Go through the places in their order: region by region, in each type by type, and of these the subnets."""
    for region in clients.regions_of(template):
        subnets = template.in_region(region).subnet_id or [""]
        for machine_type, weight in (template.machine_types or {"": 1}).items():
            for subnet in subnets:
                yield Place(region, subnet, machine_type, weight)


def _pools(template: AWSTemplate, place: Place) -> list[Pool]:
    """Give the pool of a place; none is known where the launch template says the type."""
    price_type = "spot" if template.is_spot else "ondemand"
    return [Pool(place.region, price_type, place.machine_type, place.subnet)] if place.machine_type else []


def _without_subnet(place: str) -> tuple[str, str]:
    """Give the region and the type of a place."""
    return place.split("/")[0], place.rsplit("/", 1)[-1]


def _machines(order: Order, weight: int) -> int:
    """Count the machines for an order: rounded up, but down for a rest, which a big machine would overshoot."""
    return order.units // weight if _is_rest(order) else -(-order.units // weight)


def _is_rest(order: Order) -> bool:
    """True when an earlier launch gave what it could; one cut to a full batch is merely continued."""
    return any(
        launch.state is LaunchState.SETTLED
        and launch.attempt not in order.exhausted
        and launch.units < _most(order.past[:number], launch.region) * launch.weight
        for number, launch in enumerate(order.past)
    )


def _most(past: Sequence[Launch], region: str) -> int:
    """Give the most machines for one call: half as many after one that was throttled, twice as many after one
    that went through.

    Beside calls, EC2 counts machines: 1,000, then 2 a second. The same size would be throttled for minutes.
    Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
    """
    most = BATCH
    for launch in past:
        if launch.region != region:
            continue
        if any(error.kind is ErrorKind.THROTTLED for error in launch.errors):
            most = max(1, most // 2)
        elif launch.state is LaunchState.SETTLED:
            most = min(BATCH, most * 2)
    return most


def parameters(template: AWSTemplate, resolved: Resolved, place: Place) -> dict[str, Any]:
    """Make the call's parameters, except for count, tags, token and user data. What is not set is left out."""
    launch_template = {
        **images.launch_template_name(template.launch_template_id),
        "Version": resolved.launch_template_version,
    }
    given = {
        "LaunchTemplate": launch_template if template.launch_template_id else None,
        "InstanceType": place.machine_type,
        **machine.in_subnet(machine.settings(template, resolved), place.subnet),
        "InstanceMarketOptions": _market(template),
    }
    return {name: value for name, value in given.items() if value}


def _market(template: AWSTemplate) -> dict[str, Any]:
    """Spot machines of one-time requests: what AWS takes back is not started again. Or a capacity block's."""
    if template.market_type:
        return {"MarketType": template.market_type}
    if not template.is_spot:
        return {}
    price = template.spot_price_limit
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    return {"MarketType": "spot", "SpotOptions": {**options, **({"MaxPrice": f"{price:g}"} if price else {})}}


def call_parameters(launch: Launch, user_data: str) -> dict[str, Any]:
    """Give the whole call, byte-identical at every replay. boto3 encodes the user data."""
    extra = {"UserData": user_data} if user_data else {}
    return {**launch.params, **extra, "ClientToken": launch.token}


def launch(clients: Clients, launch: Launch, user_data: str) -> Outcome:
    """Send the launch. RunInstances brings all it will ever bring at once, so success is settled."""
    try:
        clients.require_account(launch.account)
        client = clients.ec2_for_launch(launch.region)
    except HFPluginError as error:
        return unsent(launch, error)
    try:
        answer = client.run_instances(**call_parameters(launch, user_data))
    except AWS_ERRORS as error:
        outcome = refused(launch, error)
        pools.learn(clients, launch, (), [(_asked(launch), reason) for reason in outcome.errors])
        return outcome
    owner = answer.get("OwnerId", "")
    try:
        got = tuple(sighting(instance, owner, launch.region) for instance in answer["Instances"])
    except (KeyError, ValueError) as error:
        return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(unreadable(error), launch.place),))
    pools.learn(clients, launch, [_asked(launch)._replace(machine_type=each.machine_type) for each in got], ())
    return Outcome(
        LaunchState.SETTLED,
        sightings=got,
        resource_id=answer.get("ReservationId", ""),
        account=owner,
    )


def _asked(launch: Launch) -> Pool:
    """Give the pool that a launch asks."""
    params = launch.params
    interfaces = params.get("NetworkInterfaces") or [{}]
    is_spot = params.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    return Pool(
        launch.region,
        "spot" if is_spot else "ondemand",
        params.get("InstanceType", ""),
        params.get("SubnetId") or interfaces[0].get("SubnetId", ""),
    )


def samples(clients: Clients, template: AWSTemplate) -> Iterator[Place]:
    """Give places in which, in each region, each subnet and each type comes once at least."""
    seen: set[tuple[str, str]] = set()
    for place in every(clients, template):
        parts = {(place.region, place.subnet), (place.region, place.machine_type)}
        if not parts <= seen:
            seen |= parts
            yield place


def dry_run(clients: Clients, plan: Plan) -> None:
    """Raise ProviderError unless the launch would be allowed; rights and parameters are checked, not capacity."""
    extra: Any = {"UserData": plan.user_data} if plan.user_data else {}
    try:
        clients.ec2(plan.region).run_instances(**plan.params, **extra, DryRun=True)
    except AWS_ERRORS as error:
        translated = translate(error)
        if translated.code != _WOULD_SUCCEED:
            raise translated from error
