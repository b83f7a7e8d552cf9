"""An interpreter that stands by with hfplugin loaded, and becomes each call by a fork.

Starting Python and loading boto3 is three quarters of what a call costs, and the same in every call. A call made
here is a process of its own all the same, with its own environment, descriptors and end, in which nothing of
hfplugin has run yet. What it cannot show is that a call loads whatever it uses; calls of the scripts show that.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent

# Parts of hfplugin that no verb loads.
_NOT_FOR_CALLS = {"__main__", "cli", "conformance", "contract", "emulator"}

# A call's environment and arguments: some kilobytes.
_ORDER_BYTES = 200_000

# The id of a process, or how it ended, in digits.
_NUMBER_BYTES = 20


class Ended(NamedTuple):
    """How a call ended: its exit status, standard output and standard error."""

    status: int
    stdout: str
    stderr: str


class Standby:
    """The interpreter, for as long as the block runs; calls may be made at the same time."""

    def __enter__(self) -> Standby:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={"PATH": os.defpath},
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.close()
        self._process.wait()

    def call(self, verb: str, file: Path, environment: Mapping[str, str], seconds: float) -> Ended:
        """Make a call as its script does, which has FILE for standard input, in `/`.

        TimeoutError when it takes longer than `seconds`; it is killed then.
        """
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(seconds)
        with mine, file.open("rb") as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                order = json.dumps([verb, dict(environment)]).encode()
                files = [each.fileno() for each in (theirs, given, out, err)]
                socket.send_fds(self._orders, [order], files)
            child = int(mine.recv(_NUMBER_BYTES))
            try:
                status = int(mine.recv(_NUMBER_BYTES))
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise
            return Ended(status, _content(out), _content(err))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@functools.cache
def import_all() -> None:
    """Import what calls import for themselves."""
    for path in sorted((ROOT / "hfplugin").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not _NOT_FOR_CALLS & {*parts}:
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    for name in ("boto3", "botocore.httpsession"):
        importlib.import_module(name)


def _serve() -> None:
    """Take orders until there is nobody to give any."""
    import_all()
    from hfplugin.__main__ import main

    gc.freeze()  # a call that looks at these objects for garbage copies all of them
    orders = socket.socket(fileno=os.dup(0))
    while True:
        order, files, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 4)
        if not order:
            return
        if not os.fork():
            orders.close()
            verb, environment = json.loads(order)
            _become(files, environment)
            main([verb])
        for file in files:
            os.close(file)
        _bury()


def _become(files: list[int], environment: dict[str, str]) -> None:
    """Tell the caller which process the call is and how it ends; go on as that process alone."""
    caller, *standard = files
    child = os.fork()
    if child:
        _follow(child, caller)
    os.close(caller)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environment)


def _follow(child: int, caller: int) -> NoReturn:
    with socket.socket(fileno=caller) as told:
        told.send(b"%d" % child)
        told.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
