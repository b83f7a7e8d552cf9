"""Launch templates and their versions.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/manage-launch-template-versions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfplugin.emulator import ids
from hfplugin.emulator.clock import moment
from hfplugin.emulator.errors import ServiceError, conflicting, invalid, malformed, missing
from hfplugin.emulator.specification import Specification, as_list

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region

_ID = re.compile(r"lt-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html: of an account in a region.
_MOST_TEMPLATES = 5000
_MOST_VERSIONS = 10_000


@dataclass(frozen=True)
class Version:
    """One version of a launch template; never changed."""

    template_id: str
    number: int
    data: Specification
    description: str
    created: float


@dataclass(eq=False)
class LaunchTemplate:
    """A launch template: numbered versions, one of them the default."""

    template_id: str
    name: str
    created: float
    tags: dict[str, str]
    usable_from: float
    versions: dict[int, Version] = field(default_factory=dict)
    default: int = 1
    latest: int = 0

    def add(self, data: Specification, description: str, now: float) -> Version:
        if self.latest >= _MOST_VERSIONS:
            text = f"The launch template {self.template_id} has the most versions that it can have."
            raise ServiceError("MaxTemplateVersionLimitExceeded", text)
        self.latest += 1
        made = Version(self.template_id, self.latest, data, description, now)
        self.versions[self.latest] = made
        return made

    def version(self, number: str | None) -> Version:
        """Give a version by its number, $Latest or $Default; without any, the default one."""
        found = self.versions.get(self._number(number or "$Default"))
        if found is None:
            text = f"Could not find the specified version {number} for the launch template with ID"
            raise ServiceError("InvalidLaunchTemplateId.VersionNotFound", f"{text} {self.template_id}.")
        return found

    def _number(self, number: str) -> int:
        if number in ("$Latest", "$Default"):
            return self.latest if number == "$Latest" else self.default
        if not number.isdigit():
            raise invalid(f"The launch template version {number} is invalid: use a number, $Latest or $Default")
        return int(number)

    def describe(self, account: str) -> dict[str, Any]:
        """Give a LaunchTemplate as botocore's model has it."""
        return {
            "LaunchTemplateId": self.template_id,
            "LaunchTemplateName": self.name,
            "CreateTime": moment(self.created),
            "CreatedBy": f"arn:aws:iam::{account}:root",
            "DefaultVersionNumber": self.default,
            "LatestVersionNumber": self.latest,
            "Tags": as_list(self.tags),
        }

    def describe_version(self, version: Version, account: str) -> dict[str, Any]:
        """Give a LaunchTemplateVersion as botocore's model has it."""
        return {
            "LaunchTemplateId": self.template_id,
            "LaunchTemplateName": self.name,
            "VersionNumber": version.number,
            "VersionDescription": version.description or None,
            "CreateTime": moment(version.created),
            "CreatedBy": f"arn:aws:iam::{account}:root",
            "DefaultVersion": version.number == self.default,
            "LaunchTemplateData": version.data,
        }


class LaunchTemplates:
    """The launch templates of one account in one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_id: dict[str, LaunchTemplate] = {}

    def create(self, name: str, data: Specification, description: str, tags: dict[str, str]) -> LaunchTemplate:
        if not _NAME.fullmatch(name):
            raise ServiceError(
                "InvalidLaunchTemplateName.MalformedException",
                "A launch template name must be between 3 and 128 characters of letters, digits and - ( ) . / _.",
            )
        if any(each.name == name for each in self._by_id.values()):
            raise ServiceError(
                "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use."
            )
        if len(self._by_id) >= self._region.settings.quotas.get("launch-templates", _MOST_TEMPLATES):
            text = "You've reached your quota for launch templates in this region."
            raise ServiceError("MaxTemplateLimitExceeded", text)
        now = self._region.clock.now
        usable_from = now + self._region.settings.launch_template_seconds
        made = LaunchTemplate(ids.new("lt"), name, now, tags, usable_from)
        made.add(data, description, now)
        self._by_id[made.template_id] = made
        return made

    def add_version(
        self, template: LaunchTemplate, source: str | None, data: Specification, description: str
    ) -> Version:
        """Add a version: the source version's data, if one is named, but for what is given anew.

        What is given takes the place of the whole parameter of the name; the documentation says "overwrite",
        and not how deep.
        """
        base = _inherited(template.version(source).data) if source else {}
        return template.add({**base, **data}, description, self._region.clock.now)

    def delete(self, template: LaunchTemplate) -> None:
        del self._by_id[template.template_id]

    def every(self) -> Iterator[LaunchTemplate]:
        yield from self._by_id.values()

    def get(self, template_id: str) -> LaunchTemplate | None:
        return self._by_id.get(template_id)

    def require(self, reference: dict[str, Any]) -> LaunchTemplate:
        """Give the template that is named by LaunchTemplateId or LaunchTemplateName, not both."""
        template_id, name = reference.get("LaunchTemplateId"), reference.get("LaunchTemplateName")
        if bool(template_id) == bool(name):
            if not name:
                raise missing("LaunchTemplateId or LaunchTemplateName")
            raise conflicting("Specify the ID or the name of a launch template, not both")
        return self._named(name) if name else self._with_id(str(template_id))

    def _with_id(self, template_id: str) -> LaunchTemplate:
        if not _ID.fullmatch(template_id):
            raise malformed("InvalidLaunchTemplateId.Malformed", template_id, "lt")
        if template_id not in self._by_id:
            raise _unknown({"LaunchTemplateId": template_id})
        return self._by_id[template_id]

    def _named(self, name: str) -> LaunchTemplate:
        for each in self._by_id.values():
            if each.name == name:
                return each
        raise _unknown({"LaunchTemplateName": name})

    def used(self, reference: dict[str, Any]) -> LaunchTemplate:
        """Give the template that a launch, fleet or group names, once it is known to them."""
        template = self.require(reference)
        if template.usable_from > self._region.clock.now:
            raise _unknown(reference)
        return template

    def version(self, reference: dict[str, Any]) -> Version:
        """Give the version that a launch, fleet or group names."""
        return self.used(reference).version(reference.get("Version"))


def _unknown(reference: dict[str, Any]) -> ServiceError:
    name = reference.get("LaunchTemplateName")
    what = f"with template name {name}" if name else f"with template ID {reference.get('LaunchTemplateId')}"
    code = "InvalidLaunchTemplateName.NotFoundException" if name else "InvalidLaunchTemplateId.NotFound"
    return ServiceError(code, f"The specified launch template, {what}, does not exist.")


def _inherited(data: Specification) -> Specification:
    """Give what a new version takes over: all but the snapshots of volumes.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html
    """
    if "BlockDeviceMappings" not in data:
        return data
    mappings = []
    for each in data["BlockDeviceMappings"]:
        volume = {name: value for name, value in each.get("Ebs", {}).items() if name != "SnapshotId"}
        mappings.append({**each, "Ebs": volume} if "Ebs" in each else each)
    return {**data, "BlockDeviceMappings": mappings}
