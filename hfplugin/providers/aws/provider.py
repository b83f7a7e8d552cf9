"""AWS as a provider: routes each operation to the handler or the operations that do it."""

from __future__ import annotations

from collections.abc import Sequence

from hfplugin.errors import ConfigurationError, ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, Template
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
    Sighting,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate

_CREDENTIALS = "give valid credentials: aws.profile, aws.credentialFile or a role of this host"


class AWSProvider:
    """Machines from one AWS account, in the configured regions."""

    def __init__(self, settings: AWSSettings, context: Context) -> None:
        self._context = context
        self._clients = Clients(settings, context.provider_name, context.cache)

    def plan(self, order: Order) -> Plan | None:
        extension = _extension(order.template)
        if extension.not_launchable:
            raise ConfigurationError(extension.not_launchable)
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

    def find_requests(self, request_ids: Sequence[str]) -> tuple[Sighting, ...]:
        return tuple(operations.find_requests(self._clients, request_ids, self._context.provider_name))

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            detail = f"account {self._clients.account()}, region {self._clients.region}"
        except HFPluginError as error:
            return [Check("identity", False, str(error), _remedy(error, _CREDENTIALS))]
        return [Check("identity", True, detail), *(self._check_template(template) for template in templates)]

    def _check_template(self, template: Template) -> Check:
        """Try a launch in every subnet and of every type, and name those that would fail."""
        subject = f"template {template.id}"
        extension = _extension(template)
        if extension.not_launchable:
            return Check(subject, False, extension.not_launchable, "until then, requests for it are refused")
        order = Order(request_id="req-check", attempt=1, template=template, units=1)
        places = run_instances.samples(extension, self._clients.region)
        failed: dict[str, list[str]] = {}
        remedy = ""
        for place in places:
            try:
                plan = run_instances.plan_in(self._clients, self._context, extension, order, place)
                run_instances.dry_run(self._clients, plan)
            except HFPluginError as error:
                failed.setdefault(str(error), []).append(str(place))
                remedy = remedy or _remedy(error, "grant the action to these credentials (see config/iam)")
        if failed:
            said = "; ".join(f"{text} (in {', '.join(where)})" for text, where in failed.items())
            return Check(subject, False, said, remedy)
        return Check(subject, True, f"a launch would succeed in {', '.join(map(str, places))}")


def _extension(template: Template) -> AWSTemplate:
    from hfplugin.providers.base.registry import TemplateExtensionRegistry

    try:
        extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension or {})
    except ValueError as error:  # a record of another version: its template may hold what this one refuses
        fault = " ".join(str(error).split())
        raise ConfigurationError(f"the template of this request is not valid in this version: {fault}") from error
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
