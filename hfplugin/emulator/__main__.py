"""The emulator as a process: prints its URL, serves, and ends with its standard input.

Run by `Emulator` and by people through `hfplugin emulator`; `python -m hfplugin.emulator [PORT]`.
"""

from __future__ import annotations

import os
import sys

# Before moto is imported: its catalogue of 1,300 images would take seconds to load after each reset.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"


def main() -> None:
    from hfplugin.emulator.server import Server

    server = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(server.url, flush=True)  # noqa: T201
    os.dup2(2, 1)  # nobody reads on
    with server:
        sys.stdin.read()


if __name__ == "__main__":
    main()
