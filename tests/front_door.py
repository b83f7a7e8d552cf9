"""The front door without the scripts: one interpreter a call, and whatever a test wants to happen in it first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent

# As the scripts do it: an isolated interpreter finds the tree beside them.
_ENTER = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
_MAIN = "\nfrom hfplugin.__main__ import main\nmain(sys.argv[1:])"
_TELL_MODULES = "import atexit; atexit.register(lambda: sys.stderr.write('\\n'.join(sys.modules)))\n"

_TIME_LIMIT = 60


class Called(NamedTuple):
    """What a call gave: exit status, standard output and standard error."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object on standard output, which ends its line."""
        assert self.stdout.endswith("\n")
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document

    @property
    def answer(self) -> dict[str, Any]:
        """The document of a call that succeeded in silence."""
        assert (self.status, self.stderr) == (0, ""), self
        return self.document

    @property
    def refusal(self) -> str:
        """The message of a call that failed in silence, which said nothing else."""
        assert (self.status, self.stderr, *self.document) == (1, "", "message"), self
        message = self.document["message"]
        assert isinstance(message, str)
        assert "\n" not in message
        return message


def command(*arguments: str | Path, before: str = "") -> list[str | Path]:
    """Give the command line of a call; the code `before` runs in its interpreter first."""
    return [sys.executable, "-I", "-c", _ENTER + before + _MAIN, *arguments]


def call(
    *arguments: str | Path,
    environment: Mapping[str, str],
    stdin: str | bytes = "",
    before: str = "",
    limit: Callable[[], None] | None = None,
) -> Called:
    """Make a call; `limit` runs in the new process before the interpreter does."""
    done = subprocess.run(
        command(*arguments, before=before),
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        env=environment,
        cwd="/",
        timeout=_TIME_LIMIT,
        preexec_fn=limit,
        check=False,
    )
    return Called(done.returncode, done.stdout.decode(), done.stderr.decode())


def modules(*arguments: str, environment: Mapping[str, str], stdin: str = "") -> set[str]:
    """Give the modules that a call which succeeds has loaded, beyond those of a bare interpreter."""
    called = call(*arguments, environment=environment, stdin=stdin, before=_TELL_MODULES)
    assert called.status == 0, called
    return set(called.stderr.split("\n")) - _bare()


def _bare() -> set[str]:
    code = f"import sys\n{_TELL_MODULES}"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n"))
