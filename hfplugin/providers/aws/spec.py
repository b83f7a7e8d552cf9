"""AWS as the registry knows it. Each part is imported when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.provider import Context, Provider, ProviderSpec

if TYPE_CHECKING:
    from hfplugin.providers.aws.template import AWSTemplate


def _create(settings: AWSSettings, context: Context) -> Provider:
    from hfplugin.providers.aws.provider import AWSProvider

    return AWSProvider(settings, context)


def _template_type() -> type[Any]:
    from hfplugin.providers.aws.template import AWSTemplate

    return AWSTemplate


def _attributes(template: AWSTemplate, settings: AWSSettings, refreshed: str) -> dict[str, list[str]]:
    from hfplugin.providers.aws import instance_types

    if not template.machine_types:
        return {}
    table = instance_types.table(Path(refreshed))
    try:
        return instance_types.attributes(template.machine_types, table, settings.count_threads)
    except instance_types.UnknownInstanceTypeError as error:
        key = "vmTypes" if error.name in template.vm_types else "vmType"
        raise ValueError(f"{key}: {error}") from error


def _tags(template: AWSTemplate) -> dict[str, str]:
    return template.instance_tags


def _without_effect(template: AWSTemplate) -> list[str]:
    return template.without_effect


def _convert(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    from hfplugin.providers.aws import ibm

    return ibm.convert(raw)


def _refresh(settings: AWSSettings, context: Context, path: str) -> int:
    from hfplugin.providers.aws import instance_types
    from hfplugin.providers.aws.client import Clients
    from hfplugin.providers.aws.errors import AWS_ERRORS, translate

    clients = Clients(settings, context.provider_name, context.cache)
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
    without_effect=_without_effect,
    convert=_convert,
    refresh=_refresh,
)
