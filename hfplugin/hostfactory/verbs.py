"""The edge of a verb: read the input, do it, write exactly one JSON document, give the exit status.

Standard output belongs to that document alone: while the verb works, whatever else prints to it goes to
standard error. This is the one place where an unexpected exception is caught.
"""

from __future__ import annotations

import os
import sys

from hfplugin.errors import HFPluginError, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from hfplugin.broker import Broker
    from hfplugin.hostfactory.environment import Environment

VERBS = (
    "getAvailableTemplates",
    "requestMachines",
    "requestReturnMachines",
    "getRequestStatus",
    "getReturnRequests",
)

# Of HostFactory's time limit, what is left for answering after the work is stopped.
_MARGIN_SECONDS = 15.0


def run(verb: str, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Answer one verb on standard output and give the exit status: 0 answered, 1 failed and said why."""
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer, status = _answered(verb, arguments, variables), 0
    except HFPluginError as error:
        answer, status = _failure(str(error)), 1
    except Exception as error:  # noqa: BLE001  the edge: HostFactory has to hear something
        from hfplugin.logs import log

        log.exception("verb.crashed", verb=verb)
        answer, status = _failure(f"internal error: {type(error).__name__}: {error} (see the provider's log)"), 1
    _write(out, answer)
    return status


def _answered(verb: str, arguments: Sequence[str], variables: Mapping[str, str]) -> bytes:
    from hfplugin.hostfactory.environment import Environment
    from hfplugin.logs import log

    content = _read(verb, arguments)
    environment = Environment(variables)
    log.start(environment.log_file, environment.log_level, verb=verb, pid=os.getpid())
    log.debug("verb.called", size=len(content))
    if verb == "getAvailableTemplates":
        return _templates(content, environment)
    return _dispatch(verb, content, environment)


def _read(verb: str, arguments: Sequence[str]) -> bytes:
    """Give the input: the file after -f, else standard input."""
    if not arguments:
        if sys.stdin is None:
            raise InputError(f"{verb} got no input: give -f FILE or JSON on standard input")
        if sys.stdin.isatty():
            sys.stderr.write(f"{verb} waits for its JSON input; end it with Ctrl-D (--help tells more)\n")
        return sys.stdin.buffer.read()
    if len(arguments) != 2 or arguments[0] not in ("-f", "--file"):
        raise InputError(f"usage: {verb} [-f FILE]; got: {' '.join(arguments)}")
    try:
        with open(arguments[1], "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read the input file {arguments[1]}: {error.strerror}") from error


def _templates(content: bytes, environment: Environment) -> bytes:
    from hfplugin import catalog

    if b"".join(content.removeprefix(b"\xef\xbb\xbf").split()) not in (b"", b"{}"):
        from hfplugin.hostfactory import wire

        wire.parse(content)  # what it holds is ignored; that it is not JSON is said
    return catalog.load(environment).answer


def _dispatch(verb: str, content: bytes, environment: Environment) -> bytes:
    import json

    from hfplugin.clock import Clock
    from hfplugin.hostfactory import wire

    data = wire.parse(content)
    clock = Clock()
    broker = open_broker(environment, clock, is_strict=verb == "requestMachines")
    answer: dict[str, Any]
    if verb == "requestMachines":
        answer = wire.accepted(broker.request_machines(*wire.demand(data)))
    elif verb == "getRequestStatus":
        answer = wire.statuses(broker.request_status(wire.asked_ids(data)), clock.now())
    elif verb == "requestReturnMachines":
        answer = wire.accepted(broker.return_machines(wire.hosts(data)))
    else:
        answer = wire.lost(broker.return_requests(wire.hosts(data)))
    return json.dumps(answer, ensure_ascii=False).encode() + b"\n"


def open_broker(environment: Environment, clock: Any, is_strict: bool) -> Broker:
    """Put the pieces of one call together."""
    from hfplugin.broker import Broker
    from hfplugin.logs import log
    from hfplugin.site import ConfiguredSite
    from hfplugin.store import FileStore

    store = FileStore(environment.state_dir, lambda path: log.error("record.set_aside", path=path))
    site = ConfiguredSite(environment, store, is_strict)
    return Broker(store, site, clock, environment.action_timeout() - _MARGIN_SECONDS)


def _failure(message: str) -> bytes:
    import json

    from hfplugin.wording import one_line

    return json.dumps({"message": one_line(message)}, ensure_ascii=False).encode() + b"\n"


def _write(descriptor: int, answer: bytes) -> None:
    while answer:
        answer = answer[os.write(descriptor, answer) :]
