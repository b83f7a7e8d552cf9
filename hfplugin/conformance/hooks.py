"""The operator's commands that make the world do something."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hfplugin.conformance.findings import UnjudgedError
from hfplugin.conformance.settings import HookName, Hooks

# A cloud's own command line may take its time.
_TIME_LIMIT = 300


class World:
    """Runs hooks in the caller's environment, and what the file sets over it; `directory` is the file's."""

    def __init__(self, hooks: Hooks, variables: Mapping[str, str], directory: Path) -> None:
        self._hooks = hooks
        self._variables = variables
        self._directory = directory
        self._is_cut_off = False

    def has(self, name: HookName) -> bool:
        return bool(self._hooks.command(name))

    def do(self, name: HookName, machine_id: str = "") -> str:
        """Run a hook and give what it prints; UnjudgedError when it fails."""
        command = ["/bin/sh", "-c", self._hooks.command(name), name, machine_id]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._variables,
                cwd=self._directory,
                start_new_session=True,
                timeout=_TIME_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnjudgedError(f"hook {name} did not end within {_TIME_LIMIT} s") from error
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
            raise UnjudgedError(f"hook {name} failed with exit status {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    def machines(self) -> set[str]:
        """Give the ids of the machines that run in the cloud."""
        return set(self.do("machines").split())

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """The cloud cannot be reached while the block runs."""
        self._is_cut_off = True
        try:
            self.do("unreachable")
            yield
        finally:
            self.mend()

    def mend(self) -> None:
        """Bring the cloud back, when it was cut off and may still be."""
        if self._is_cut_off:
            self.do("reachable")
            self._is_cut_off = False
