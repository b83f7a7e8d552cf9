"""`hfplugin emulator`: the emulated AWS in the foreground, and what is to be known to use it."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import click

from hfplugin.errors import ConfigurationError
from hfplugin.providers import DEFAULT_TYPE

# What the extra brings.
_EXTRA = ("moto", "werkzeug")


def serve(port: int) -> None:
    """Run the emulator until SIGINT or SIGTERM. ConfigurationError: it cannot be run, with the remedy."""
    require_extra()
    import hfplugin.emulator.__main__  # noqa: F401  it says how moto loads, and has to before moto does
    from hfplugin.emulator.server import HOST, Server

    _require_free(HOST, port)
    with _signalled() as ended, Server(port) as server:
        click.echo(_introduction(server.url))
        ended.wait()
    click.echo("the emulator has ended; nothing of it is kept")


def require_extra() -> None:
    """Raise ConfigurationError when the emulator's extra is not installed."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the emulator needs {' and '.join(missing)}, which are not installed: "
            "run pip install 'hfplugin[emulator]' with the pip of this environment"
        )


def _require_free(host: str, port: int) -> None:
    """Try the port beforehand: the server would end the process with words of its own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on {host} cannot be had: {error.strerror}; choose another, or leave --port out"
            ) from error


@contextmanager
def _signalled() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, instead of what they would do."""
    event = threading.Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _introduction(url: str) -> str:
    from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION
    from hfplugin.emulator.unsigned import subnet_zones

    config = {"providerType": DEFAULT_TYPE, DEFAULT_TYPE: {"region": REGION, "endpointUrl": url}}
    variables = {"HFPLUGIN_AWS__ENDPOINT_URL": url, "HFPLUGIN_AWS__REGION": REGION, **CREDENTIALS}
    fault = {"kind": "throttle", "action": "RunInstances", "times": 2}
    return "\n".join(
        [
            f"an emulated AWS listens on {url}; Ctrl-C ends it",
            "",
            "the provider's configuration file:",
            json.dumps(config, indent=2),
            "",
            "or, over the file that there is; the credentials are needed with either (any are taken):",
            *(f"export {name}={value}" for name, value in variables.items()),
            "",
            f"for templates, in {REGION}:",
            f"imageId   {IMAGE_ID}",
            *(f"subnetId  {subnet}  ({zone})" for subnet, zone in subnet_zones(url, REGION).items()),
            "",
            f"to command and to ask it, POST JSON to {url}/emulator/<command>, such as:",
            f"curl -d '{json.dumps(fault)}' {url}/emulator/fault",
            f"curl -d '{{}}' {url}/emulator/calls",
        ]
    )
