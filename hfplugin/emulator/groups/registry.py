"""The Auto Scaling groups of one account in one region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hfplugin.emulator.errors import ServiceError
from hfplugin.emulator.groups.group import Group, Tag
from hfplugin.emulator.groups.members import Member
from hfplugin.emulator.groups.mixtures import refused
from hfplugin.emulator.groups.parameters import GroupSettings

if TYPE_CHECKING:
    from hfplugin.emulator.region import Region


class Groups:
    """The groups of one account in one region, and what is remembered of those that are gone."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._by_name: dict[str, Group] = {}
        self.deleted: list[Group] = []

    def create(self, name: str, settings: GroupSettings, tags: dict[str, Tag]) -> Group:
        quota = self._region.settings.quotas.get("groups")
        if quota is not None and len(self._by_name) >= quota:
            raise ServiceError(
                "LimitExceeded",
                f"Creating this AutoScalingGroup would exceed your quota of {quota} AutoScalingGroups.",
            )
        made = Group(self._region, name, settings, tags)
        self._by_name[name] = made
        made.start()
        return made

    def refuse_known(self, name: str) -> None:
        if name in self._by_name:
            raise ServiceError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )

    def drop(self, group: Group) -> None:
        """Forget a group; its activities can still be read."""
        if self._by_name.get(group.name) is group:
            del self._by_name[group.name]
            self.deleted.append(group)

    def every(self) -> Iterator[Group]:
        yield from list(self._by_name.values())

    def get(self, name: str) -> Group | None:
        return self._by_name.get(name)

    def require(self, name: str) -> Group:
        """Give a group that is not on its way out. ServiceError when there is none."""
        found = self.require_known(name)
        if found.is_ending:
            raise refused(f"AutoScalingGroup '{name}' is pending delete")
        return found

    def require_known(self, name: str) -> Group:
        found = self._by_name.get(name)
        if found is None:
            raise refused(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return found

    def member(self, instance_id: str) -> tuple[Group, Member] | None:
        """Find the group that a machine is in."""
        pairs = ((group, group.members.get(instance_id)) for group in self._by_name.values())
        return next(((group, member) for group, member in pairs if member is not None), None)
