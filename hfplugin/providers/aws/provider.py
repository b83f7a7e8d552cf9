"""AWS as a provider: routes each operation to the handler or the operations that do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, Template
from hfplugin.providers.aws import handlers, operations
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.provider import (
    Check,
    Context,
    Found,
    Host,
    Inventory,
    Located,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Reclaimed,
    Released,
    Source,
    Spare,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.aws.handlers import Handler
    from hfplugin.providers.aws.template import AWSTemplate

_CREDENTIALS = "give valid credentials: aws.profile, aws.credentialFile or a role of this host"


class AWSProvider:
    """Machines from one AWS account, in the configured regions."""

    def __init__(self, settings: AWSSettings, context: Context) -> None:
        self._context = context
        self._settings = settings
        self._clients = Clients(
            settings,
            context.provider_name,
            context.cache,
            context.health,
            lambda: regions_named(context.templates()),
        )

    def plan(self, order: Order) -> Plan | Nowhere:
        extension = typed(order.template)
        return self._handler(extension.service).plan(extension, order)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return self._handler(launch.api).launch(launch, user_data)

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        self._clients.require_account(launch.account)
        return self._handler(launch.api).find(launch, request_id)

    def gather(self, launch: Launch) -> Outcome:
        self._clients.require_account(launch.account)
        return self._handler(launch.api).gather(launch)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        self._clients.require_account(launch.account)
        self._handler(launch.api).stop(launch, held)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        self._clients.require_account(launch.account)
        self._handler(launch.api).remove(launch, remains)

    def observe(self, machines: Sequence[Located]) -> Observation:
        return operations.observe(self._clients, machines)

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        if source is None:
            return operations.release(self._clients, machines)
        self._clients.require_account(source.launch.account)
        return self._handler(source.launch.api).release(source, machines)

    def _handler(self, api: str) -> Handler:
        return handlers.create(api, self._clients, self._context)

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        from hfplugin.providers.aws.interruption import reclaim

        return reclaim.reclaimed(self._clients, self._settings, machines)

    def acknowledge(self, receipts: Sequence[str]) -> None:
        from hfplugin.providers.aws.interruption import reclaim

        reclaim.acknowledge(self._clients, self._settings, receipts)

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return operations.find_hosts(self._clients, hosts, self._context.provider_name)

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        from hfplugin.providers.aws import inventory

        return inventory.find_requests(self._clients, request_ids, self._context.provider_name)

    def inventory(self) -> Inventory:
        from hfplugin.providers.aws import inventory

        return inventory.everything(self._clients, self._context.provider_name)

    def discard(self, spares: Sequence[Spare]) -> None:
        from hfplugin.providers.aws import inventory

        inventory.discard(self._clients, spares)

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            detail = f"account {self._clients.account()}, region {self._clients.region}"
        except HFPluginError as error:
            return [Check("identity", False, str(error), _remedy(error, _CREDENTIALS))]
        return [Check("identity", True, detail), *(self._check_template(template) for template in templates)]

    def _check_template(self, template: Template) -> Check:
        """Try a launch in every subnet and of every type, and name those that would fail."""
        subject = f"template {template.id}"
        extension = typed(template)
        order = Order(request_id="req-check", attempt=1, template=template, units=1)
        handler = self._handler(extension.service)
        places: list[str] = []
        failed: dict[str, list[str]] = {}
        remedy = ""
        try:
            for place, trial in handler.trials(extension, order):
                places.append(place)
                try:
                    trial()
                except HFPluginError as error:
                    failed.setdefault(str(error), []).append(place)
                    remedy = remedy or _remedy(error, "grant the action to these credentials (see config/iam)")
        except HFPluginError as error:
            return Check(subject, False, str(error), _remedy(error, "grant the action to these credentials"))
        if failed:
            said = "; ".join(f"{text} (in {', '.join(where)})" for text, where in failed.items())
            return Check(subject, False, said, remedy)
        return Check(subject, True, f"a launch would succeed in {', '.join(places)}")


def regions_named(templates: Sequence[Template]) -> Iterator[str]:
    """Give the regions that templates name beside the home region."""
    for template in templates:
        if template.provider_type == "aws":
            yield from typed(template).region_overrides


def typed(template: Template) -> AWSTemplate:
    """Give AWS's part of a template. ConfigurationError when it is another version's, and not valid in this."""
    from hfplugin.providers.base.registry import TemplateExtensionRegistry

    extension: AWSTemplate = TemplateExtensionRegistry.of(template)
    return extension


def _remedy(error: HFPluginError, denied: str) -> str:
    """Say what to do about a failure; `denied` is for one of rights."""
    if not isinstance(error, ProviderError):
        return "correct what is named"
    if error.kind is ErrorKind.AUTH:
        return denied
    if error.kind.is_permanent:
        return "correct what AWS names in the template or the account"
    return "see the network, the region, endpointUrl and the proxy; then try again"
