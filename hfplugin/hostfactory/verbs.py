"""The edge of a verb: read the input, do it, write exactly one JSON document, give the exit status.

Standard output belongs to that document alone: while the verb works, whatever else prints to it goes to
standard error. This is the one place where an unexpected exception is caught.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from hfplugin.errors import BusyError, HFPluginError, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from hfplugin.broker import Broker
    from hfplugin.clock import Clock
    from hfplugin.environment import Environment
    from hfplugin.store import FileStore

VERBS = (
    "getAvailableTemplates",
    "requestMachines",
    "requestReturnMachines",
    "getRequestStatus",
    "getReturnRequests",
)

# Of HostFactory's time limit, the part after which no new work is begun: the rest is for ending and answering.
_WORKING_PART = 0.75

# Of the journal of what was counted, the size beyond which it is folded: some thousand calls.
_JOURNAL_BYTES = 100_000

# HostFactory waits for the script to end: what is due beyond this waits for the next call.
_HOUSEKEEPING_SECONDS = 5.0

# A call's objects mostly live as long as the call: looking for garbage among them is a twentieth of a poll.
_GARBAGE_THRESHOLD = 100_000


def run(verb: str, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Answer one verb on standard output and give the exit status: 0 answered, 1 failed and said why."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    # State files have modes of their own; with a stricter mask no directory of theirs could be used again.
    os.umask(0o022)
    try:
        out = _claim_stdout()
    except OSError:
        return 1  # standard output is closed: nobody would hear the answer, so nothing is begun
    began, environment = time.monotonic(), None
    try:
        content = _read(verb, arguments)
        environment = _surroundings(verb, variables)
        answer, status = _answered(verb, content, environment), 0
    except HFPluginError as error:
        from hfplugin.logs import log

        log.warning("verb.failed", message=str(error))
        answer, status = _failure(str(error)), 1
    except Exception as error:  # noqa: BLE001  the edge: HostFactory has to hear something
        from hfplugin.logs import log

        log.exception("verb.crashed")
        answer, status = _failure(f"internal error: {type(error).__name__}: {error} (see the provider's log)"), 1
    if not _deliver(out, answer):
        status = 1
    if environment is not None:
        seconds = time.monotonic() - began
        _count(
            environment, f'["verb_calls",["{verb}","{status}"],1]', f'["verb_seconds",["{verb}"],{seconds:.6f}]'
        )
        _keep_house(environment, began)
    return status


def _claim_stdout() -> int:
    """Give standard output under a descriptor of its own; what others print goes to standard error, or nowhere.

    Raises OSError when it is closed.
    """
    os.fstat(1)
    # A closed descriptor is the next to be handed out: taken here, none becomes standard error by accident.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    while nowhere <= 2:
        nowhere = os.open(os.devnull, os.O_WRONLY)
    os.close(nowhere)
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def _surroundings(verb: str, variables: Mapping[str, str]) -> Environment:
    """Give where HostFactory put this call, with the log opened."""
    from hfplugin.catalog import kept_log_level
    from hfplugin.environment import Environment
    from hfplugin.logs import log

    environment = Environment(variables)
    level = environment.log_level or kept_log_level(environment)
    log.start(environment.log_file, level, verb=verb, pid=os.getpid())
    return environment


def _answered(verb: str, content: bytes, environment: Environment) -> bytes:
    from hfplugin.logs import log

    log.debug("verb.called", size=len(content))
    if verb == "getAvailableTemplates":
        return _templates(content, environment)
    return _dispatch(verb, content, environment)


def _read(verb: str, arguments: Sequence[str]) -> bytes:
    """Give the input: the file after -f, else standard input."""
    if not arguments:
        return _read_stdin(verb)
    if len(arguments) != 2 or arguments[0] not in ("-f", "--file"):
        raise InputError(f"usage: {verb} [-f FILE]; got: {' '.join(arguments)}")
    try:
        with open(arguments[1], "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read the input file {arguments[1]}: {error.strerror}") from error


def _read_stdin(verb: str) -> bytes:
    if sys.stdin is None:
        raise InputError(f"{verb} got no input: give -f FILE or JSON on standard input")
    if sys.stdin.isatty() and sys.stderr is not None:
        sys.stderr.write(f"{verb} waits for its JSON input; end it with Ctrl-D (--help tells more)\n")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"cannot read standard input: {error.strerror}") from error


def _templates(content: bytes, environment: Environment) -> bytes:
    from hfplugin import catalog

    if b"".join(content.removeprefix(b"\xef\xbb\xbf").split()) not in (b"", b"{}"):
        from hfplugin.hostfactory import wire

        wire.parse(content)  # what it holds is ignored; that it is not JSON is said
    return catalog.load(environment).answer


def _dispatch(verb: str, content: bytes, environment: Environment) -> bytes:
    from hfplugin.clock import Clock
    from hfplugin.hostfactory import wire

    data = wire.parse(content)
    clock = Clock()
    broker = open_broker(environment, clock, is_strict=verb == "requestMachines")
    return _encoded(respond(verb, data, broker, clock.now))


def respond(verb: str, data: Mapping[str, Any], broker: Broker, now: Callable[[], float]) -> dict[str, Any]:
    """Give the answer to a verb that needs the broker; HFPluginError when there is none."""
    from hfplugin.hostfactory import wire

    if verb == "requestMachines":
        return wire.accepted(broker.request_machines(*wire.demand(data)))
    if verb == "getRequestStatus":
        return wire.statuses(broker.request_status(wire.asked_ids(data)), now())
    if verb == "requestReturnMachines":
        return wire.accepted(broker.return_machines(wire.hosts(data)))
    return wire.lost(broker.return_requests(wire.hosts(data)))


def open_broker(environment: Environment, clock: Clock, is_strict: bool) -> Broker:
    """Put the pieces of one call together."""
    from hfplugin.broker import Broker
    from hfplugin.site import ConfiguredSite

    store = open_store(environment)
    site = ConfiguredSite(environment, store, is_strict)
    return Broker(store, site, clock, environment.action_timeout() * _WORKING_PART)


def open_store(environment: Environment) -> FileStore:
    """Give the state of a provider instance; a record that is set aside is logged."""
    from hfplugin.logs import log
    from hfplugin.store import FileStore

    return FileStore(environment.state_dir, lambda path: log.error("record.set_aside", path=path))


def _count(environment: Environment, *entries: str) -> None:
    """Put entries, and what this call has counted since the last time, into the journal of `hfplugin metrics`.

    One write, only where there is a state. It takes nothing from the answer: what cannot be written is lost.
    """
    counting = sys.modules.get("hfplugin.metrics.tally")  # where it was not loaded, nothing was counted
    if counting is not None:
        entries += tuple(counting.tally.taken())
    if not entries:
        return
    path = os.path.join(environment.state_dir, "metrics", f"{environment.host}.jsonl")
    try:
        journal = _open_journal(path)
        try:
            os.write(journal, f"[{','.join(entries)}]\n".encode())
            size = os.fstat(journal).st_size
        finally:
            os.close(journal)
    except OSError:
        return
    if size > _JOURNAL_BYTES:
        _fold(environment)


def _open_journal(path: str) -> int:
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, how, 0o600)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(path), 0o700)  # FileNotFoundError where there is no state
        return os.open(path, how, 0o600)


def _fold(environment: Environment) -> None:
    from hfplugin.logs import log
    from hfplugin.metrics.journal import Journals

    try:
        Journals(environment.state_dir).fold(environment.host, _JOURNAL_BYTES)
    except BusyError:
        return  # another call is at it
    except HFPluginError as error:
        log.warning("metrics.not_folded", reason=str(error))


def _keep_house(environment: Environment, began: float) -> None:
    """Do what is due, now that HostFactory has its answer; with nothing due it costs a look at the time.

    It takes nothing from the answer: what fails is logged and stays due.
    """
    if not os.path.exists(os.path.join(environment.state_dir, "due")):
        return  # nothing was ever requested, and nothing has to be imported to see it
    from hfplugin.clock import Clock
    from hfplugin.logs import log
    from hfplugin.marks import Marks

    clock, marks = Clock(), Marks(environment.state_dir)
    try:
        is_due = marks.is_due(clock.now())
        marks.note_activity(clock.now())
        left = environment.action_timeout() * _WORKING_PART - (clock.monotonic() - began) if is_due else 0.0
        if left > 0:
            from hfplugin.housekeeping import Housekeeping
            from hfplugin.metrics.exposition import refresh
            from hfplugin.site import ConfiguredSite

            store = open_store(environment)
            site = ConfiguredSite(environment, store, is_strict=False)
            Housekeeping(store, site, clock).sweep(clock.deadline(min(_HOUSEKEEPING_SECONDS, left)))
            _count(environment)
            refresh(environment.state_dir, environment.provider_name)
    except HFPluginError as error:
        log.warning("housekeeping.failed", reason=str(error))
    except Exception:  # noqa: BLE001  the edge, for what comes after the answer
        log.exception("housekeeping.crashed")


def _failure(message: str) -> bytes:
    from hfplugin.wording import one_line

    return _encoded({"message": one_line(message)})


def _encoded(answer: dict[str, Any]) -> bytes:
    import json

    # The name of a file that is not UTF-8 comes with half surrogate pairs: they become question marks.
    return json.dumps(answer, ensure_ascii=False).encode(errors="replace") + b"\n"


def _deliver(descriptor: int, answer: bytes) -> bool:
    """Write the whole answer and say that it ends there; False when nobody takes it."""
    try:
        while answer:
            answer = answer[os.write(descriptor, answer) :]
        os.close(descriptor)
    except OSError as error:
        from hfplugin.logs import log

        log.error("answer.undelivered", reason=error.strerror)
        return False
    return True
