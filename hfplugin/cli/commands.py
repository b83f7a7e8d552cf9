"""The command line for people: the same five verbs, explained, and the commands that say how things stand."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from hfplugin import __version__
from hfplugin.cli import repairs
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, HFPluginError, StateError
from hfplugin.hostfactory.verbs import run

_ENVIRONMENT = """HF_PROVIDER_NAME and either HF_PROVIDER_CONFDIR, HF_PROVIDER_WORKDIR and HF_PROVIDER_LOGDIR or
HF_CONFDIR, HF_WORKDIR and HF_LOGDIR say which provider instance is meant, as HostFactory sets them."""

_STATUS = "Exit status: 0 when answered; 1 when not, with the reason in the answer's `message`."

# verb -> (what it does, input, output)
_VERBS = {
    "getAvailableTemplates": (
        "List the templates that machines can be requested from.",
        "{} or nothing; what it holds is ignored.",
        '{"templates": [{"templateId", "maxNumber", "attributes": {"ncpus": ["Numeric", "4"], ...}}], "message"}',
    ),
    "requestMachines": (
        "Request machines of a template.",
        '{"template": {"templateId": "...", "machineCount": 2}}',
        '{"requestId": "req-...", "message"}; the machines come through getRequestStatus.',
    ),
    "requestReturnMachines": (
        "Give machines back: they are terminated.",
        '{"machines": [{"name": "...", "machineId": "..."}]}',
        '{"requestId": "ret-...", "message"}; progress comes through getRequestStatus.',
    ),
    "getRequestStatus": (
        "Say how requests and returns stand, and bring them forward.",
        '{"requests": [{"requestId": "req-... or ret-..."}]}',
        '{"requests": [{"requestId", "status", "message", "machines": [...]}]}, in the order asked.',
    ),
    "getReturnRequests": (
        "Name the hosts that the cloud has taken or is taking back.",
        '{"machines": [{"name": "...", "machineId": "..."}]}: every host that HostFactory has; or {}.',
        '{"status": "complete", "message", "requests": [{"machine", "machineId", "gracePeriod"}]}',
    ),
}


@click.group(epilog=_ENVIRONMENT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hfplugin")
def cli() -> None:
    """A HostFactory provider for IBM Spectrum Symphony.

    HostFactory calls the five verbs in its own spelling; each reads one JSON document on standard input, or
    from -f FILE, and writes one on standard output. The other commands are for people.
    """


def _verb(name: str, text: tuple[str, str, str]) -> click.Command:
    does, takes, gives = text

    # Only --help comes here: a call of a verb never loads click.
    def callback(file: str | None) -> None:
        sys.exit(run(name, ["-f", file] if file else [], os.environ))

    return click.Command(
        name,
        callback=callback,
        params=[click.Option(["-f", "--file"], metavar="FILE", help="Read the input from FILE.")],
        short_help=does,
        help=f"{does}\n\n\b\nInput:  {takes}\nOutput: {gives}\n\n{_STATUS}",
        epilog=_ENVIRONMENT,
    )


for _name, _text in _VERBS.items():
    cli.add_command(_verb(_name, _text))
for _command in (repairs.reconcile, repairs.release, repairs.drain, repairs.state):
    cli.add_command(_command)


def _for_people(command: Callable[[Environment], int]) -> None:
    """Run a command for people: faults go to standard error, exit status 1."""
    try:
        status = command(Environment(os.environ))
    except HFPluginError as error:
        click.echo(f"hfplugin: {error}", err=True)
        status = 1
    sys.exit(status)


@cli.command(short_help="Show what is open, unfinished or refused.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def status(as_json: bool) -> None:
    """Show open requests, unfinished returns and the last true reason per template.

    Reads the state only: the cloud is not asked.
    """
    from hfplugin.cli import overview

    def show(environment: Environment) -> int:
        found = overview.collect(environment)
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            overview.show(found)
        return 0

    _for_people(show)


@cli.command(short_help="Show what was asked for a request, and what came.")
@click.argument("request_id", metavar="REQUEST-ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def history(request_id: str, as_json: bool) -> None:
    """Show every launch of a request, with the places that it passed over or that refused, and its machines.

    Reads the state only: the cloud is not asked.
    """
    from hfplugin.cli import history as story

    def show(environment: Environment) -> int:
        found = story.collect(environment, request_id)
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            story.show(found)
        return 0

    _for_people(show)


@cli.group(invoke_without_command=True, short_help="Show, or forget, what is held back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_context
def health(context: click.Context, as_json: bool) -> None:
    """Show services that do not answer, what was refused lately, and calls that are throttled.

    All calls share this memory, and each part of it runs out by itself. The cloud is not asked.
    """
    from hfplugin.cli import health as held

    def show(environment: Environment) -> int:
        report = held.memory(environment).report()
        click.echo(json.dumps(held.as_json(report), indent=2) if as_json else held.described(report, time.time()))
        return 0

    if context.invoked_subcommand is None:
        _for_people(show)


@health.command(short_help="Forget all of it.")
def reset() -> None:
    """Forget what is held back: the next call asks the cloud for whatever it needs."""
    from hfplugin.cli import health as held

    def forget(environment: Environment) -> int:
        held.memory(environment).reset()
        click.echo("Forgotten: the next call asks again.")
        return 0

    _for_people(forget)


@cli.group(invoke_without_command=True, short_help="Show what machines cost by the hour.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def costs(context: click.Context, as_json: bool) -> None:
    """Show what runs and is being launched at the prices that are known, by template, and the ceiling.

    Estimates: what is billed only the cloud knows. Reads the state only: the cloud is not asked.
    """
    from hfplugin.cli import costs as spent

    def show(environment: Environment) -> int:
        found = spent.collect(environment)
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            spent.show(found)
        return 0

    if context.invoked_subcommand is None:
        _for_people(show)


# By another function's name: `machine-types refresh` has the other.
@costs.command("refresh", short_help="Ask for every price anew.")
def refresh_prices() -> None:
    """Ask the cloud for the price of everything that templates may buy and of what runs.

    Exit status: 0 when the cloud has answered, also when it has no price of something.
    """
    from hfplugin.cli import costs as spent
    from hfplugin.wording import counted

    def fetch(environment: Environment) -> int:
        known, unknown = spent.refresh(environment)
        click.echo(f"{counted(known, 'price')} known")
        for product in unknown:
            click.echo(f"no price of {product}")
        return 0

    _for_people(fetch)


@cli.command(short_help="Print what was counted, for a monitoring system.")
@click.option(
    "--write", "path", is_flag=False, flag_value="", metavar="[FILE]", help="Write FILE, or the state's, instead."
)
def metrics(path: str | None) -> None:
    """Print what all calls have counted and how the state stands, as OpenMetrics text.

    With --write it goes into a file, as a whole: FILE, or metrics/hfplugin.prom in the state, which the calls of
    HostFactory keep fresh, too. The cloud is not asked.
    """
    from hfplugin.cli import metrics as counted

    def show(environment: Environment) -> int:
        if path is None:
            click.echo(counted.text(environment).encode(), nl=False)
        else:
            click.echo(f"Written: {counted.written(environment, path)}")
        return 0

    _for_people(show)


@cli.command(short_help="Try everything, launching nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def check(as_json: bool) -> None:
    """Try directories, configuration, credentials and every template, launching nothing.

    Exit status: 0 when all is well, 1 when anything is not; each failure comes with a remedy.
    """
    from hfplugin.cli import selfcheck

    def show(environment: Environment) -> int:
        checks = selfcheck.collect(environment)
        if as_json:
            click.echo(json.dumps([check._asdict() for check in checks], indent=2))
        else:
            selfcheck.show(checks)
        return 0 if all(check.is_ok for check in checks) else 1

    _for_people(show)


@cli.command(short_help="Play every template against an emulated AWS.")
@click.option("--count", type=click.IntRange(min=1), default=3, show_default=True, help="Units to ask for.")
@click.option("--template", "templates", multiple=True, metavar="ID", help="Only this template; may be repeated.")
@click.option("--chaos", is_flag=False, flag_value=0, type=int, metavar="[SEED]", help="Let things go wrong.")
def rehearse(count: int, templates: tuple[str, ...], chaos: int | None) -> None:
    """Launch machines of the templates in an emulated AWS, through the real scripts, and return them.

    Shows the calls with their parameters, what HostFactory would see and what would fail. AWS, the state and the
    log are not touched. Exit status: 0 when every template was fulfilled and nothing is left, 1 otherwise.
    """
    from hfplugin.cli import rehearsal, review

    # Any seed is as good as another, as long as it is said.
    seed = chaos or (None if chaos is None else random.randint(1, 9999))

    def play(environment: Environment) -> int:
        wish = rehearsal.Wish(count, templates, seed)
        return 0 if rehearsal.play(environment, os.environ, wish, review.Review()).is_good else 1

    _for_people(play)


@cli.command(short_help="Run an emulated AWS in the foreground.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Listen here; without it, on any free port."
)
def emulator(port: int) -> None:
    """Run an emulated AWS on this machine until Ctrl-C, and print how to point a provider at it."""
    from hfplugin.cli import emulation

    try:
        emulation.serve(port)
    except HFPluginError as error:
        click.echo(f"hfplugin: {error}", err=True)
        sys.exit(1)


@cli.command(short_help="Hold any provider's scripts against HostFactory's contract.")
@click.option("--scripts", type=click.Path(path_type=Path), required=True, help="Where the five scripts are.")
@click.option("--config", "file", type=click.Path(path_type=Path), required=True, help="What to play with (JSON).")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check, or group; may be repeated.")
@click.option("--slow", is_flag=True, help="Also what takes long.")
@click.option("--yes", is_flag=True, help="Launch without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def conformance(scripts: Path, file: Path, only: tuple[str, ...], slow: bool, yes: bool, as_json: bool) -> None:
    """Play HostFactory against the scripts of a provider of any make, and say check by check what holds.

    It launches machines, and returns all of them at the end, also after Ctrl-C or a failed check. Exit status: 0
    when nothing failed and nothing is left, 1 otherwise.
    """
    from hfplugin.conformance import report, settings
    from hfplugin.conformance.every import CHECKS
    from hfplugin.conformance.plan import planned
    from hfplugin.conformance.suite import Stand, Suite
    from hfplugin.conformance.surroundings import require_scripts

    def play() -> int:
        require_scripts(scripts)
        chosen = settings.load(file)
        plan = planned(CHECKS, chosen, only, slow)
        click.echo(report.announced(plan), err=as_json)
        if plan.machines and not yes:
            click.confirm("Launch them?", abort=True, err=True)
        suite = Suite(CHECKS, plan, lambda finding: None if as_json else click.echo(report.line(finding)))
        verdict = suite.play(Stand(scripts, chosen, file.resolve().parent, os.environ))
        click.echo(json.dumps(report.document(verdict), indent=2) if as_json else report.ending(verdict))
        return 0 if verdict.is_good else 1

    try:
        status = play()
    except HFPluginError as error:
        click.echo(f"hfplugin: {error}", err=True)
        status = 1
    sys.exit(status)


@cli.group("machine-types")
def machine_types() -> None:
    """The table that machine attributes are derived from."""


@machine_types.command(short_help="Fetch the cloud's machine types.")
def refresh() -> None:
    """Fetch the cloud's machine types, so that templates may name types newer than this version."""

    def fetch(environment: Environment) -> int:
        from hfplugin import catalog, compiler
        from hfplugin.files import make_directory
        from hfplugin.providers.base.cache import Cache
        from hfplugin.providers.base.health import Health
        from hfplugin.providers.base.provider import Context
        from hfplugin.providers.base.registry import ProviderRegistry

        # Not through the compiled configuration: templates with a type that is not known yet do not compile.
        settings, _ = compiler.read_settings(*catalog.read_first(environment, "config"), environment.overrides)
        refresh_types = ProviderRegistry.spec(settings.provider_type).refresh
        if refresh_types is None:
            raise ConfigurationError(f"provider type {settings.provider_type} has no table of machine types")
        path = catalog.machine_types_path(environment)
        cache = Cache(os.path.dirname(path))
        health = Health(os.path.join(environment.state_dir, "health"))
        context = Context(environment.provider_name, settings.installation, cache, health)
        try:
            make_directory(cache.directory)
        except OSError as error:
            raise StateError(f"cannot write {path}: {error.strerror}") from error
        count = refresh_types(settings.provider, context, path)
        click.echo(f"{count} machine types written to {path}")
        return 0

    _for_people(fetch)


@cli.group()
def config() -> None:
    """The provider instance's configuration file."""


@config.command(short_help="Print it in hfplugin's own form.")
@click.option("--templates", "wants_templates", is_flag=True, help="Print the templates file instead.")
def convert(wants_templates: bool) -> None:
    """Print the configuration file, or the templates file, in hfplugin's own form, whichever form it has.

    What has no place in it, or no effect, is named on standard error.
    """

    def show(environment: Environment) -> int:
        from hfplugin import catalog, compiler

        if wants_templates:
            ours, warnings = compiler.own_templates(catalog.Sources(environment))
        else:
            ours, warnings = compiler.own_form(*catalog.read_first(environment, "config"))
        for warning in warnings:
            click.echo(f"hfplugin: {warning}", err=True)
        click.echo(json.dumps(ours, indent=2, ensure_ascii=False))
        return 0

    _for_people(show)
