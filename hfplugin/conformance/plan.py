"""Which checks are to be made, why others are not, and how many machines that takes at most."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from hfplugin.conformance.check import Check
from hfplugin.conformance.settings import Settings
from hfplugin.errors import InputError


class Plan(NamedTuple):
    """The checks in order, why some of them cannot be made, and the machines that the others use."""

    checks: list[Check]
    skipped: dict[str, str]
    spares: int
    machines: int


def planned(every: Sequence[Check], settings: Settings, only: Sequence[str], is_slow: bool) -> Plan:
    """Plan a run. `only` are ids, groups or patterns with *; InputError when one fits nothing."""
    chosen = [check for check in every if not only or any(_fits(check, pattern) for pattern in only)]
    for pattern in only:
        if not any(_fits(check, pattern) for check in every):
            groups = ", ".join(dict.fromkeys(check.group for check in every))
            raise InputError(f"no check is called {pattern!r}; groups: {groups}")
    skipped = {check.id: why for check in chosen if (why := _obstacle(check, settings, is_slow))}
    made = [check.needs for check in chosen if check.id not in skipped]
    # One is returned in the plainest way: what that comes to is known before any other way is tried.
    spares = sum(needs.spares for needs in made) + any(needs.returns for needs in made)
    shared = settings.machine_count * max(len(settings.template_ids), 1)
    return Plan(
        chosen,
        skipped,
        spares,
        spares
        + (shared if any(needs.shared for needs in made) else 0)
        + sum(needs.launches + needs.interruptible for needs in made),
    )


def _fits(check: Check, pattern: str) -> bool:
    return check.group == pattern or fnmatchcase(check.id, pattern)


def _obstacle(check: Check, settings: Settings, is_slow: bool) -> str:
    missing = [name for name in check.needs.hooks if not settings.hooks.command(name)]
    if missing:
        return f"needs hook {' and '.join(missing)}, which the file does not have"
    if check.needs.is_slow and not is_slow:
        return "takes long: made with --slow"
    return ""
