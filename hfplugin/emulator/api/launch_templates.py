"""The calls about launch templates."""

from __future__ import annotations

from collections.abc import Iterable

from hfplugin.emulator import filters
from hfplugin.emulator.errors import ServiceError, missing
from hfplugin.emulator.launch_templates import LaunchTemplate, Version
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import tags
from hfplugin.emulator.wire import Params, Reply

_PAGE = (1, 200)


def create_launch_template(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html"""
    token = params.get("ClientToken", "")
    meant = {name: value for name, value in params.items() if name != "ClientToken"}
    known = region.tokens.recall("CreateLaunchTemplate", token, meant)
    if known:
        template = region.launch_templates.require({"LaunchTemplateId": known})
    else:
        if "LaunchTemplateData" not in params:
            raise missing("LaunchTemplateData")
        template = region.launch_templates.create(
            params.get("LaunchTemplateName", ""),
            params["LaunchTemplateData"],
            params.get("VersionDescription", ""),
            tags(params, "launch-template"),
        )
        region.tokens.remember("CreateLaunchTemplate", token, meant, template.template_id)
    return {"LaunchTemplate": template.describe(region.account)}


def create_launch_template_version(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html"""
    token = params.get("ClientToken", "")
    meant = {name: value for name, value in params.items() if name != "ClientToken"}
    template = region.launch_templates.require(params)
    known = region.tokens.recall("CreateLaunchTemplateVersion", token, meant)
    if known:
        version = template.version(known)
    else:
        version = region.launch_templates.add_version(
            template,
            params.get("SourceVersion"),
            params.get("LaunchTemplateData", {}),
            params.get("VersionDescription", ""),
        )
        region.tokens.remember("CreateLaunchTemplateVersion", token, meant, str(version.number))
    return {"LaunchTemplateVersion": template.describe_version(version, region.account)}


def modify_launch_template(region: Region, params: Params) -> Reply:
    """Change the default version."""
    template = region.launch_templates.require(params)
    template.default = template.version(params.get("DefaultVersion")).number
    return {"LaunchTemplate": template.describe(region.account)}


def delete_launch_template(region: Region, params: Params) -> Reply:
    template = region.launch_templates.require(params)
    region.launch_templates.delete(template)
    return {"LaunchTemplate": template.describe(region.account)}


def delete_launch_template_versions(region: Region, params: Params) -> Reply:
    """Delete versions, each by itself; the default one stays.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplateVersions.html
    """
    template = region.launch_templates.require(params)
    done: list[Reply] = []
    failed: list[Reply] = []
    for text in params.get("Versions", []):
        number = int(text) if text.isdigit() else 0
        named = {
            "LaunchTemplateId": template.template_id,
            "LaunchTemplateName": template.name,
            "VersionNumber": number,
        }
        if number == template.default or number not in template.versions:
            is_default = number == template.default
            code = "unexpectedError" if is_default else "launchTemplateVersionDoesNotExist"
            text = "The default version cannot be deleted" if is_default else "No such version"
            failed.append({**named, "ResponseError": {"Code": code, "Message": text}})
        else:
            del template.versions[number]
            done.append(named)
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


def describe_launch_templates(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html"""
    references = [{"LaunchTemplateId": each} for each in params.get("LaunchTemplateIds", [])]
    references += [{"LaunchTemplateName": each} for each in params.get("LaunchTemplateNames", [])]
    named = [region.launch_templates.require(each) for each in references]
    known = named if references else region.launch_templates.every()
    found = filters.select(known, params, _values)
    page, token = filters.page(found, params, _PAGE, default=200)
    return {"LaunchTemplates": [each.describe(region.account) for each in page], "NextToken": token}


def _values(template: LaunchTemplate, name: str) -> Iterable[str] | None:
    own = {"launch-template-name": [template.name], "create-time": [str(template.created)]}
    tagged = filters.of_tags(name, template.tags)
    return tagged if tagged is not None else own.get(name)


def describe_launch_template_versions(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html"""
    if "LaunchTemplateId" in params or "LaunchTemplateName" in params:
        template = region.launch_templates.require(params)
        pairs = [(template, version) for version in _chosen(template, params)]
    else:
        wanted = params.get("Versions", [])
        if not wanted:
            raise missing("LaunchTemplateId or LaunchTemplateName")
        pairs = [(each, each.version(number)) for each in region.launch_templates.every() for number in wanted]
    page, token = filters.page(pairs, params, _PAGE, default=200)
    return {
        "LaunchTemplateVersions": [
            template.describe_version(version, region.account) for template, version in page
        ],
        "NextToken": token,
    }


def _chosen(template: LaunchTemplate, params: Params) -> list[Version]:
    """Give the versions that are named, else all between the bounds, the newest first."""
    if params.get("Versions"):
        return [template.version(number) for number in params["Versions"]]
    try:
        low = int(params.get("MinVersion", 1))
        high = int(params.get("MaxVersion", template.latest))
    except ValueError as error:
        raise ServiceError("InvalidParameterValue", "MinVersion and MaxVersion have to be numbers") from error
    return [
        template.versions[number] for number in sorted(template.versions, reverse=True) if low <= number <= high
    ]


OPERATIONS = {
    "CreateLaunchTemplate": create_launch_template,
    "CreateLaunchTemplateVersion": create_launch_template_version,
    "ModifyLaunchTemplate": modify_launch_template,
    "DeleteLaunchTemplate": delete_launch_template,
    "DeleteLaunchTemplateVersions": delete_launch_template_versions,
    "DescribeLaunchTemplates": describe_launch_templates,
    "DescribeLaunchTemplateVersions": describe_launch_template_versions,
}
