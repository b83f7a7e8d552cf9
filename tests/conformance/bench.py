"""Puts a provider of these tests behind five scripts, and the suite before them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.right import HOOKS, Document
from hfplugin.conformance.every import CHECKS
from hfplugin.conformance.findings import Finding, Outcome
from hfplugin.conformance.plan import planned
from hfplugin.conformance.settings import load
from hfplugin.conformance.suite import Stand, Suite, Verdict
from hfplugin.conformance.surroundings import VERBS

TESTS = Path(__file__).resolve().parent.parent
_RIGHT = "from conformance.right import Right, main; main(Right, sys.argv[1:])"
_WRONG = "from conformance.wrong import play; play({rule!r}, sys.argv[1:])"


class Bench:
    """One provider, its cloud, and the file that the suite is given."""

    def __init__(self, top: Path, wrong: str = "", unclaimed_seconds: float = 900) -> None:
        self.scripts = top / "scripts"
        self.file = top / "conformance.json"
        self.cloud = top / "cloud"
        self.scripts.mkdir()
        self.cloud.mkdir()
        code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); {_WRONG.format(rule=wrong) if wrong else _RIGHT}"
        self.command = shlex.join([sys.executable, "-I", "-S", "-c", code])
        for verb in VERBS:
            script = self.scripts / f"{verb}.sh"
            script.write_text(f'#!/bin/sh\nexec {self.command} {verb} "$@"\n')
            script.chmod(0o755)
        self.settings: dict[str, Any] = {
            "providerName": "tiny",
            "environment": {"CLOUD": str(self.cloud), "UNCLAIMED": str(unclaimed_seconds)},
            "limits": {"pollSeconds": 0.02, "answerSeconds": 20, "readySeconds": 5, "goneSeconds": 5},
            "hooks": {hook: f'{self.command} {hook} "$@"' for hook in HOOKS},
        }

    def without_hooks(self) -> Bench:
        self.settings["hooks"] = {}
        return self

    def limit(self, **seconds: float) -> None:
        self.settings["limits"] |= seconds

    def write(self) -> Path:
        self.file.write_text(json.dumps(self.settings))
        return self.file

    def play(self, only: Sequence[str] = (), is_slow: bool = False) -> Verdict:
        settings = load(self.write())
        plan = planned(CHECKS, settings, only, is_slow)
        suite = Suite(CHECKS, plan, lambda _: None)
        return suite.play(Stand(self.scripts, settings, self.file.parent, os.environ))

    def memory(self) -> Document:
        """Give all that the provider remembers."""
        memory: Document = json.loads((self.cloud / "memory.json").read_text())
        return memory

    def launched(self) -> Document:
        """Give every machine that was ever launched in the provider's cloud."""
        machines: Document = self.memory()["cloud"]["machines"]
        return machines

    def running(self) -> list[str]:
        return [key for key, machine in self.launched().items() if machine["state"] != "terminated"]


def of(verdict: Verdict, outcome: Outcome) -> dict[str, Finding]:
    return {finding.id: finding for finding in verdict.findings if finding.outcome is outcome}
