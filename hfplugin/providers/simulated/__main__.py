"""The simulated cloud's console: shows what runs in it, and makes it do what no provider may ask of it.

`python -m hfplugin.providers.simulated COMMAND`, in the environment that HostFactory gives the provider instance.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from hfplugin import catalog, compiler
from hfplugin.clock import Clock
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, HFPluginError
from hfplugin.providers.simulated import seen
from hfplugin.providers.simulated.cloud import Cloud
from hfplugin.providers.simulated.configuration import SimulatedSettings


def main(arguments: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Carry out a command and give the lines that it answers. Raises HFPluginError."""
    wanted = _parser().parse_args(arguments)
    environment = Environment(variables)
    cloud = _cloud(environment)
    match wanted.command:
        case "list":
            return list(_listed(cloud, environment.provider_name))
        case "end":
            cloud.end(wanted.id)
        case "interrupt":
            cloud.interrupt(wanted.id)
        case "cut-off":
            cloud.cut_off()
        case "reconnect":
            cloud.reconnect()
    return []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hfplugin.providers.simulated",
        description="The console of the simulated cloud of the provider instance in HostFactory's environment.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "list", help="list the instance's machines that boot or run: id, state, place, type, request"
    )
    for name, what in (
        ("end", "end a machine at once"),
        ("interrupt", "announce that a machine is taken back, and take it noticeSeconds later"),
    ):
        commands.add_parser(name, help=what).add_argument("id", help="the machine's id")
    commands.add_parser("cut-off", help="let the cloud not answer any more, to any instance that shares it")
    commands.add_parser("reconnect", help="let it answer again")
    return parser


def _cloud(environment: Environment) -> Cloud:
    read = catalog.read_first(environment, "config")
    settings, _ = compiler.read_settings(*read, environment.overrides)
    if not isinstance(settings.provider, SimulatedSettings):
        raise ConfigurationError(f"{read[0]}: provider {settings.provider_type} has no simulated cloud")
    return Cloud.of(settings.provider, environment.state_dir, Clock())


def _listed(cloud: Cloud, provider_name: str) -> Iterator[str]:
    for launched in cloud.every():
        if launched.tags["provider"] == provider_name:
            for machine in cloud.living(launched):
                shown = seen.sighting(cloud, launched, machine)
                yield " ".join((shown.id, shown.state, shown.zone, shown.machine_type, shown.request_id))


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"{line}\n" for line in main(sys.argv[1:], os.environ))
    except HFPluginError as error:
        sys.exit(str(error))
