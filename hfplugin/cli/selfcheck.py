"""`hfplugin check`: whether this installation could do its work now; launches nothing.

It leaves behind what any call would: the directories, the compiled configuration, the installation's id.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

from rich.console import Console

from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, HFPluginError
from hfplugin.files import make_directory
from hfplugin.providers.base.provider import Check
from hfplugin.site import ConfiguredSite
from hfplugin.store import FileStore


def collect(environment: Environment) -> list[Check]:
    """Try everything that does not depend on something that has failed."""
    checks = list(_directories(environment))
    site = ConfiguredSite(environment, FileStore(environment.state_dir), is_strict=True)
    try:
        warnings = site.catalog.warnings
        checks.append(
            Check("configuration", True, f"{len(site.templates)} templates of {site.settings.provider_type}")
        )
        checks += [Check("warning", True, warning) for warning in warnings]
    except ConfigurationError as error:
        return [*checks, Check("configuration", False, str(error), "correct the file or variable that is named")]
    try:
        return [*checks, *site.provider.check(site.templates)]
    except HFPluginError as error:
        return [*checks, Check("provider", False, str(error), "see the settings and the state directory")]


def _directories(environment: Environment) -> Iterator[Check]:
    readable = os.access(environment.conf_dir, os.R_OK | os.X_OK)
    yield Check(
        "configuration directory",
        readable,
        environment.conf_dir,
        "" if readable else "make it, or let this user read it",
    )
    yield _writable("state directory", environment.state_dir, make_directory)
    yield _writable("log directory", environment.log_dir, os.makedirs)
    if os.path.exists(environment.log_file) and not os.access(environment.log_file, os.W_OK):
        yield Check("log file", False, f"{environment.log_file}: not writable", "let this user write to it")


def _writable(subject: str, path: str, make: Callable[[str], None]) -> Check:
    note = ""
    try:
        if not os.path.isdir(path):
            make(path)
            note = " (was not there: made)"
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0" * 4096)
    except OSError as error:
        return Check(subject, False, f"{path}: {error.strerror}", "let this user write there, and make room")
    return Check(subject, True, path + note)


def show(checks: list[Check]) -> None:
    """Print a line for each, and a remedy under each failure."""
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        mark = "[green]ok  [/]" if check.is_ok else "[red]FAIL[/]"
        if check.subject == "warning":
            mark = "[yellow]warn[/]"
        console.print(f"{mark} ", end="")
        said = check.detail if check.subject == "warning" else f"{check.subject}: {check.detail}"
        console.print(said, markup=False)
        if check.remedy and not check.is_ok:
            console.print(f"     remedy: {check.remedy}", markup=False)
