"""`hfplugin check`: whether this installation could do its work now; launches nothing.

It leaves behind what any call would: the directories, the compiled configuration, the installation's id.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, HFPluginError, ProviderError
from hfplugin.files import make_directory
from hfplugin.logs import log
from hfplugin.providers.base.prices import PriceBook, readable_offers, unit_cost
from hfplugin.providers.base.provider import Check
from hfplugin.providers.base.registry import ProviderRegistry
from hfplugin.site import ConfiguredSite
from hfplugin.store import FileStore
from hfplugin.wording import counted


def collect(environment: Environment) -> list[Check]:
    """Try everything that does not depend on something that has failed; a traceback goes to the log."""
    checks = list(_directories(environment))
    log.start(environment.log_file, environment.log_level or "INFO", verb="check", pid=os.getpid())
    site = ConfiguredSite(environment, FileStore(environment.state_dir), is_strict=True)
    try:
        warnings = [*ProviderRegistry.warnings(), *site.catalog.warnings]
        found = f"{counted(len(site.templates), 'template')} of {site.settings.provider_type}"
    except ConfigurationError as error:
        remedy = "correct the file, variable or package that is named"
        return [*checks, Check("configuration", False, str(error), remedy)]
    checks += [Check("configuration", True, found), *(Check("warning", True, warning) for warning in warnings)]
    return [*checks, *_provider(site)]


def _provider(site: ConfiguredSite) -> list[Check]:
    try:
        return [*site.provider.check(site.templates), *_prices(site)]
    except ConfigurationError as error:
        return [Check("provider", False, str(error), "correct the setting or package that is named")]
    except HFPluginError as error:
        return [Check("provider", False, str(error), "see the settings and the state directory")]


def _prices(site: ConfiguredSite) -> Iterator[Check]:
    """Ask for the prices that a ceiling needs, template by template."""
    if site.settings.requests.max_cost_per_hour is None:
        return
    model = site.costs
    if model is None:
        yield Check(
            "prices", False, f"{site.settings.provider_type} knows none", "take requests.maxCostPerHour out"
        )
        return
    offers = {template.id: readable_offers(model, template) for template in site.templates}
    wanted = {offer.product for each in offers.values() for offer in each}
    try:
        prices = PriceBook(site.context.cache).ask(model, wanted, time.time())
    except ProviderError as error:
        yield Check("prices", False, str(error), "grant the right to ask for prices; see `hfplugin health`")
        return
    for template_id, offered in offers.items():
        most = unit_cost(offered, prices)
        said = "no price is known" if most is None else f"a unit costs {most:.6g} an hour at the most"
        remedy = "give the price in the provider's section, or take requests.maxCostPerHour out"
        yield Check(f"price of template {template_id}", most is not None, said, "" if most is not None else remedy)


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
