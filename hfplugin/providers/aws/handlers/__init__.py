"""AWS's ways of giving machines, one handler for each service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hfplugin.model import Launch
    from hfplugin.providers.aws.client import Clients
    from hfplugin.providers.aws.template import AWSTemplate
    from hfplugin.providers.base.provider import Context, Located, Nowhere, Order, Outcome, Plan, Released, Source


class Handler(Protocol):
    """One service. The methods of the same names of Provider say what each promises; the account is checked."""

    def plan(self, template: AWSTemplate, order: Order) -> Plan | Nowhere: ...

    def launch(self, launch: Launch, user_data: str) -> Outcome: ...

    def find(self, launch: Launch, request_id: str) -> Outcome: ...

    def gather(self, launch: Launch) -> Outcome: ...

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None: ...

    def release(self, source: Source, machines: Sequence[Located]) -> Released: ...

    def remove(self, launch: Launch, remains: Sequence[str]) -> None: ...

    def trials(self, template: AWSTemplate, order: Order) -> Iterator[tuple[str, Callable[[], None]]]:
        """Give, for each place to be tried, what makes a dry run there; it raises what a launch would."""


# Loaded when it is needed: a poll pays for the one service of its request.
_CLASSES = {
    "RunInstances": ("run_instances", "RunInstances"),
    "EC2Fleet": ("ec2_fleet", "EC2Fleet"),
    "SpotFleet": ("spot_fleet", "SpotFleet"),
    "ASG": ("auto_scaling", "AutoScaling"),
}


def create(api: str, clients: Clients, context: Context) -> Handler:
    """Make the handler of a service."""
    module, name = _CLASSES[api]
    handler: Handler = getattr(import_module(f"{__name__}.{module}"), name)(clients, context)
    return handler
