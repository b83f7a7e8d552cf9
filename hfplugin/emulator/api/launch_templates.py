"""The calls about launch templates."""

from __future__ import annotations

from collections.abc import Iterable

from hfplugin.emulator import filters
from hfplugin.emulator.blueprint import check_user_data
from hfplugin.emulator.errors import ServiceError, invalid, missing
from hfplugin.emulator.launch_templates import LaunchTemplate, Version
from hfplugin.emulator.region import Region
from hfplugin.emulator.specification import Specification, check_tagged, contradiction, tags
from hfplugin.emulator.wire import Params, Reply

_PAGE = (1, 200)
_MOST_DELETED = 200

# How the deletion of a version names the refusals of a launch template.
_DELETION_CODES = {
    "InvalidLaunchTemplateId.NotFound": "launchTemplateIdDoesNotExist",
    "InvalidLaunchTemplateId.Malformed": "launchTemplateIdMalformed",
    "InvalidLaunchTemplateName.NotFoundException": "launchTemplateNameDoesNotExist",
}


def create_launch_template(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html"""
    data = params.get("LaunchTemplateData")
    if not data:
        raise ServiceError(
            "MissingParameter",
            "No launch template data was provided. Launch template data is required to create a launch template.",
        )
    check_user_data(data.get("UserData", ""), "InvalidUserData.Malformed")
    check_tagged(params, ["launch-template"])
    made = region.tokens.once("CreateLaunchTemplate", params, lambda meant: _created(region, meant))
    template = region.launch_templates.require({"LaunchTemplateId": made})
    return {"LaunchTemplate": template.describe(region.account), "Warning": _warning(data)}


def _created(region: Region, params: Params) -> str:
    name, description = params.get("LaunchTemplateName", ""), params.get("VersionDescription", "")
    labels = tags(params, "launch-template")
    return region.launch_templates.create(name, params["LaunchTemplateData"], description, labels).template_id


def _warning(data: Specification) -> Reply | None:
    """Give what a launch would be refused for; the launch template is made all the same."""
    found = contradiction(data)
    return {"Errors": [{"Code": found.code, "Message": found.message}]} if found else None


def create_launch_template_version(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html"""
    data = params.get("LaunchTemplateData", {})
    check_user_data(data.get("UserData", ""), "InvalidUserData.Malformed")
    template = region.launch_templates.require(params)
    action = "CreateLaunchTemplateVersion"
    number = region.tokens.once(action, params, lambda meant: _version_added(region, template, meant))
    version = template.version(number)
    described = template.describe_version(version, region.account)
    return {"LaunchTemplateVersion": described, "Warning": _warning(version.data)}


def _version_added(region: Region, template: LaunchTemplate, params: Params) -> str:
    data, description = params.get("LaunchTemplateData", {}), params.get("VersionDescription", "")
    made = region.launch_templates.add_version(template, params.get("SourceVersion"), data, description)
    return str(made.number)


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
    numbers = params.get("Versions", [])
    if len(numbers) > _MOST_DELETED:
        raise invalid(f"At most {_MOST_DELETED} versions can be deleted in one call")
    done: list[Reply] = []
    failed: list[Reply] = []
    for number in numbers:
        row: Reply = {
            "LaunchTemplateId": params.get("LaunchTemplateId"),
            "LaunchTemplateName": params.get("LaunchTemplateName"),
            "VersionNumber": int(number) if number.isdigit() else 0,
        }
        try:
            template = _without(region, params, row["VersionNumber"])
            done.append({**row, "LaunchTemplateId": template.template_id, "LaunchTemplateName": template.name})
        except ServiceError as error:
            failed.append({**row, "ResponseError": {"Code": error.code, "Message": error.message}})
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


def _without(region: Region, params: Params, number: int) -> LaunchTemplate:
    """Delete one version. ServiceError with the code that the reply has for it."""
    try:
        template = region.launch_templates.require(params)
    except ServiceError as error:
        raise ServiceError(_DELETION_CODES.get(error.code, "unexpectedError"), error.message) from error
    if number not in template.versions:
        raise ServiceError("launchTemplateVersionDoesNotExist", f"There is no version {number}.")
    if number == template.default:
        raise ServiceError("unexpectedError", f"Version {number} is the default one and cannot be deleted.")
    del template.versions[number]
    return template


def describe_launch_templates(region: Region, params: Params) -> Reply:
    """Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html"""
    references = [{"LaunchTemplateId": each} for each in params.get("LaunchTemplateIds", [])]
    references += [{"LaunchTemplateName": each} for each in params.get("LaunchTemplateNames", [])]
    known = [_named(region, each) for each in references] if references else region.launch_templates.every()
    found = filters.select(known, params, _values)
    page, token = filters.page(found, params, _PAGE, default=200)
    return {"LaunchTemplates": [each.describe(region.account) for each in page], "NextToken": token}


def _named(region: Region, reference: dict[str, str]) -> LaunchTemplate:
    try:
        return region.launch_templates.require(reference)
    except ServiceError as error:
        if error.code != "InvalidLaunchTemplateName.NotFoundException":
            raise
        text = "At least one of the launch templates specified in the request does not exist."
        raise ServiceError(error.code, text) from error


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
        pairs = _of_all(region, params.get("Versions", []))
    found = filters.select(pairs, params, lambda pair, name: _version_values(*pair, name))
    page, token = filters.page(found, params, _PAGE, default=200)
    described = [_described(region, template, version, params) for template, version in page]
    return {"LaunchTemplateVersions": described, "NextToken": token}


def _of_all(region: Region, wanted: list[str]) -> list[tuple[LaunchTemplate, Version]]:
    """Give the latest or default versions of every launch template."""
    if not wanted:
        raise missing("LaunchTemplateId or LaunchTemplateName")
    for each in wanted:
        if each not in ("$Latest", "$Default"):
            raise invalid(f"Without a launch template, Versions takes $Latest and $Default, not {each}")
    return [(each, each.version(number)) for each in region.launch_templates.every() for number in wanted]


def _version_values(template: LaunchTemplate, version: Version, name: str) -> Iterable[str] | None:
    own = {
        "image-id": version.data.get("ImageId", ""),
        "instance-type": version.data.get("InstanceType", ""),
        "is-default-version": str(version.number == template.default).lower(),
    }
    return [own[name]] if name in own else None


def _described(region: Region, template: LaunchTemplate, version: Version, params: Params) -> Reply:
    described = template.describe_version(version, region.account)
    image_id = version.data.get("ImageId", "")
    if params.get("ResolveAlias") and image_id:
        described["LaunchTemplateData"] = {**version.data, "ImageId": region.resolved(image_id)}
    return described


def _chosen(template: LaunchTemplate, params: Params) -> list[Version]:
    """Give the versions that are named, else all between the bounds, the newest first."""
    if params.get("Versions"):
        return [template.version(number) for number in params["Versions"]]
    try:
        low = int(params.get("MinVersion", 1))
        high = int(params.get("MaxVersion", template.latest))
    except ValueError as error:
        raise invalid("MinVersion and MaxVersion have to be numbers") from error
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
