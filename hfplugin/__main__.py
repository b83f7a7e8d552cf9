"""The front door: the five verbs go straight to hostfactory/, everything else to the click CLI."""

from __future__ import annotations

import os
import sys

from hfplugin.hostfactory.verbs import VERBS, run

_HELP = ("-h", "--help")


def main(arguments: list[str] | None = None) -> None:
    """Run hfplugin with the arguments of the command line, and exit with its status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in VERBS and not any(argument in _HELP for argument in given):
        sys.exit(run(given[0], given[1:], os.environ))
    from hfplugin.cli.commands import cli

    cli(given, prog_name="hfplugin")


if __name__ == "__main__":
    main()
