"""AWS as a provider: routes each operation to the handler or the operations that do it."""

from __future__ import annotations

from collections.abc import Sequence

from hfplugin.errors import ConfigurationError, HFPluginError, ProviderError
from hfplugin.model import Launch, Sighting, Template
from hfplugin.providers.aws import operations, run_instances
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.provider import (
    Check,
    Context,
    Found,
    Host,
    Located,
    Observation,
    Order,
    Outcome,
    Plan,
    Released,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate


class AWSProvider:
    """Machines from one AWS account, in the configured regions."""

    def __init__(self, settings: AWSSettings, context: Context) -> None:
        self._context = context
        self._clients = Clients(settings, context.provider_name, context.cache)

    def plan(self, order: Order) -> Plan | None:
        extension = _extension(order.template)
        if extension.not_launchable:
            raise ConfigurationError(f"template {order.template.id}: {extension.not_launchable}")
        return run_instances.plan(self._clients, self._context, extension, order)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return run_instances.launch(self._clients, launch, user_data)

    def find_launched(self, launch: Launch, request_id: str) -> tuple[Sighting, ...]:
        self._clients.require_account(launch.account)
        return tuple(operations.find_by_filters(self._clients, launch.region, {"client-token": [launch.token]}))

    def observe(self, machines: Sequence[Located]) -> Observation:
        return operations.observe(self._clients, machines)

    def release(self, machines: Sequence[Located]) -> Released:
        return operations.release(self._clients, machines)

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return operations.find_hosts(self._clients, hosts, self._context.provider_name)

    def find_request(self, request_id: str) -> tuple[Sighting, ...]:
        return tuple(operations.find_request(self._clients, request_id, self._context.provider_name))

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            detail = f"account {self._clients.account()}, region {self._clients.region}"
        except HFPluginError as error:
            remedy = (
                "give credentials for AWS (profile, credentialFile, role) and a reachable region or endpointUrl"
            )
            return [Check("identity", False, str(error), remedy)]
        return [Check("identity", True, detail), *(self._check_template(template) for template in templates)]

    def _check_template(self, template: Template) -> Check:
        subject = f"template {template.id}"
        try:
            plan = self.plan(Order(request_id="req-check", attempt=1, template=template, units=1))
            if plan is None:
                return Check(subject, False, "has no place to launch in", "give a subnetId and a vmType")
            run_instances.dry_run(self._clients, plan)
        except ProviderError as error:
            return Check(subject, False, str(error), _remedy(error))
        except HFPluginError as error:
            return Check(subject, False, str(error), "correct the template")
        return Check(subject, True, f"a launch in {plan.place} would succeed")


def _extension(template: Template) -> AWSTemplate:
    from hfplugin.providers.base.registry import TemplateExtensionRegistry

    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension or {})
    return extension


def _remedy(error: ProviderError) -> str:
    if error.kind.value == "auth":
        return "grant the action to these credentials (config/ has an IAM policy)"
    if error.kind.is_permanent:
        return "correct what AWS names in the template or the account"
    return "try again; if it lasts, see the network, endpointUrl and proxy settings"
