"""AWS as the registry knows it. Each part is imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfplugin.errors import ConfigurationError
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.provider import Context, Provider, ProviderSpec

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate
    from hfplugin.providers.base.prices import CostModel


def _create(settings: AWSSettings, context: Context) -> Provider:
    from hfplugin.providers.aws.provider import AWSProvider

    return AWSProvider(settings, context)


def _costs(settings: AWSSettings, context: Context) -> CostModel:
    from hfplugin.providers.aws.pricing import AWSCostModel

    return AWSCostModel(settings, context)


def _template_type() -> type[Any]:
    from hfplugin.providers.aws.template import AWSTemplate

    return AWSTemplate


def _attributes(template: AWSTemplate, settings: AWSSettings, refreshed: str) -> dict[str, list[str]]:
    from hfplugin.providers.aws import instance_types

    if template.instance_requirements:
        return instance_types.least(template.instance_requirements, settings.count_threads)
    types, key = template.machine_types, "vmTypes" if template.vm_types else "vmType"
    if template.ec2_fleet_config:
        from hfplugin.providers.aws import fleet_file

        types, key = fleet_file.read(template).machine_types, "ec2FleetConfig"
    if not types:
        return {}
    try:
        return instance_types.attributes(types, instance_types.table(Path(refreshed)), settings.count_threads)
    except instance_types.UnknownInstanceTypeError as error:
        key = key if error.name not in template.vm_type else "vmType"
        raise ValueError(f"{key}: {error}") from error


def _faults(template: AWSTemplate, all_or_nothing: bool) -> list[str]:
    """Say what AWS, or our own counting, would refuse that the keys alone do not show."""
    from hfplugin.providers.aws import raw, rules

    if template.ec2_fleet_config:
        from hfplugin.providers.aws import fleet_file

        try:
            file = fleet_file.read(template)
        except ConfigurationError as error:
            return [str(error)]
        whole = fleet_file.all_or_nothing_fault(file, template)
    else:
        is_single = template.is_one_type or len(template.subnet_id) == 1
        whole = rules.all_or_nothing_fault(template, template.fleet_type or "instant", is_single)
    return [text for text in (raw.fault(template), whole if all_or_nothing else "") if text]


def _template_form(item: Mapping[str, Any], directory: str) -> dict[str, Any]:
    from hfplugin.providers.aws import template_dialects

    return template_dialects.ours(item, directory)


def _tags(template: AWSTemplate) -> dict[str, str]:
    return template.instance_tags


def _without_effect(template: AWSTemplate) -> list[str]:
    if not template.ec2_fleet_config:
        return template.without_effect
    from hfplugin.providers.aws import fleet_file

    try:
        file = fleet_file.read(template)
    except ConfigurationError:
        return template.without_effect  # `_faults` says what is wrong with it
    return [*template.without_effect, *fleet_file.without_effect(file, template)]


def _convert(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    from hfplugin.providers.aws import ibm

    return ibm.convert(raw)


def _refresh(settings: AWSSettings, context: Context, path: str) -> int:
    from hfplugin.providers.aws import instance_types
    from hfplugin.providers.aws.client import Clients
    from hfplugin.providers.aws.errors import AWS_ERRORS, translate

    clients = Clients(settings, context.provider_name, context.cache, context.health)
    types: dict[str, instance_types.InstanceType] = {}
    try:
        for region in clients.regions:
            types |= instance_types.describe(clients.ec2(region))
    except AWS_ERRORS as error:
        raise translate(error) from error
    instance_types.save(types, Path(path))
    return len(types)


SPEC = ProviderSpec(
    provider_type="aws",
    config_type=AWSSettings,
    template_type=_template_type,
    create=_create,
    attributes=_attributes,
    tags=_tags,
    template_form=_template_form,
    faults=_faults,
    without_effect=_without_effect,
    convert=_convert,
    refresh=_refresh,
    costs=_costs,
)
