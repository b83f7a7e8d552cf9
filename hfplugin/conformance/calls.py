"""One call of a script, made as HostFactory makes it: `VERB.sh -f FILE`, and what it gave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeGuard

from hfplugin.conformance import Document
from hfplugin.conformance.findings import BrokenError, UnjudgedError

STARTS = "calls.every-script-starts"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Run with a script's command line: closes its standard input. Python itself can only lead it elsewhere.
_CLOSE_STDIN = ["/bin/sh", "-c", 'exec "$@" <&-', "sh"]


class Variant(NamedTuple):
    """How a call differs from the plain one; `changes` are environment variables, None takes one away."""

    directory: str = "/"
    closes_stdin: bool = False
    changes: Mapping[str, str | None] = {}


PLAIN = Variant()


@dataclass(frozen=True)
class Call:
    """A call that was made. `status` is None when it was killed at the time limit; times are monotonic seconds."""

    verb: str
    sent: bytes
    status: int | None
    stdout: bytes
    stderr: bytes
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def has_succeeded(self) -> bool:
        return self.status == 0 and self.document is not None

    @cached_property
    def document(self) -> Document | None:
        """The JSON object on standard output; None when there is not exactly one."""
        try:
            document = json.loads(self.stdout.decode(), parse_constant=_no_constant)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None

    @cached_property
    def message(self) -> Document:
        """What was sent, empty when it was no JSON object."""
        try:
            sent = json.loads(self.sent.removeprefix(BYTE_ORDER_MARK) or b"{}")
        except ValueError:
            return {}
        return sent if isinstance(sent, dict) else {}

    def __str__(self) -> str:
        """Say what was called and what came, on one line."""
        how = "no end within the time limit" if self.status is None else f"exit status {self.status}"
        parts = [f"{self.verb} with {_cut(self.sent) or 'an empty file'}: {how}"]
        parts.append(f"stdout {_cut(self.stdout) or 'empty'}")
        if self.stderr:
            parts.append(f"stderr {_cut(self.stderr)}")
        return ", ".join(parts)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _cut(content: bytes, length: int = 400) -> str:
    text = " ".join(content.decode(errors="backslashreplace").split())
    return text if len(text) <= length else f"{text[:length]}…"


class Running:
    """A call that has begun. It leads a session of its own: a Ctrl-C for the suite does not reach it."""

    def __init__(self, process: subprocess.Popen[bytes], verb: str, content: bytes, file: Path) -> None:
        self._process = process
        self._verb = verb
        self._content = content
        self._file = file
        self._began = time.monotonic()

    def end(self, limit_seconds: float) -> Call:
        """Wait for the end, at most until the limit; then kill it as HostFactory does. The input file vanishes."""
        left = self._began + limit_seconds - time.monotonic()
        try:
            stdout, stderr = self._process.communicate(timeout=max(left, 0.0))
            status: int | None = self._process.returncode
        except subprocess.TimeoutExpired:
            stdout, stderr = self._killed()
            status = None
        self._file.unlink(missing_ok=True)
        return Call(self._verb, self._content, status, stdout, stderr, self._began, time.monotonic())

    def kill_after(self, seconds: float) -> Call | None:
        """Kill it after a while, with all that it started; gives the call when it was faster."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._killed()
            self._file.unlink(missing_ok=True)
            return None
        return self.end(seconds + 1.0)

    def _killed(self) -> tuple[bytes, bytes]:
        os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.communicate()


class Scripts:
    """The five scripts of one provider, in one environment; their input files are made in `inputs`."""

    def __init__(self, directory: Path, environment: Mapping[str, str], inputs: Path) -> None:
        self._directory = directory
        self._environment = environment
        self._inputs = inputs
        self._count = 0

    def has(self, verb: str) -> bool:
        return (self._directory / f"{verb}.sh").exists()

    def begin(self, verb: str, message: Document | bytes, variant: Variant = PLAIN) -> Running:
        """Begin a call with this input: a document is written as HostFactory does, with tabs.

        UnjudgedError when there is no such script, BrokenError when it cannot be run.
        """
        if not self.has(verb):
            raise UnjudgedError(f"there is no {verb}.sh; it is optional")
        self._count += 1
        file = self._inputs / f"hf_in_{self._count:06}"
        content = message if isinstance(message, bytes) else json.dumps(message, indent="\t").encode()
        file.write_bytes(content)
        environment = {**self._environment, **variant.changes}
        command = [str(self._directory / f"{verb}.sh"), "-f", str(file)]
        try:
            process = subprocess.Popen(
                [*_CLOSE_STDIN, *command] if variant.closes_stdin else command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={name: value for name, value in environment.items() if value is not None},
                cwd=variant.directory,
                start_new_session=True,
            )
        except OSError as error:
            file.unlink()
            raise BrokenError("a script that can be run", f"{command[0]}: {error.strerror}", STARTS) from error
        return Running(process, verb, content, file)


def is_integer(value: Any) -> TypeGuard[int]:
    """True for a JSON number without fraction; Python alone takes True for one."""
    return isinstance(value, int) and not isinstance(value, bool)
