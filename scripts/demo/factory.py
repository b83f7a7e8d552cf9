"""HostFactory's part: the calls of the five scripts, each answer held against the contract."""

from __future__ import annotations

import json
import os
import string
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from contract import BrokenContractError, Document, checked
from screen import Screen
from stage import HOST, TIME_LIMIT

# HostFactory polls every 30 s: too long to watch, and here all takes a second or two.
POLL_SECONDS = 1
POLLS = 20


class HostFactory:
    """Calls the scripts as HostFactory does and holds every answer against the contract."""

    def __init__(self, environment: Mapping[str, str], screen: Screen) -> None:
        """Find the provider and its scripts where HostFactory's files say they are."""
        conf = Path(environment["HF_CONFDIR"])
        provider = json.loads((conf / "providers/hostProviders.json").read_text())["providers"][0]
        plugins = json.loads((conf / "providerplugins/hostProviderPlugins.json").read_text())["providerplugins"]
        paths = {"CONFDIR": "confPath", "WORKDIR": "workPath", "LOGDIR": "logPath"}
        own = {f"HF_PROVIDER_{name}": _expanded(provider[key], environment) for name, key in paths.items()}
        self._environment = {**environment, "HF_PROVIDER_NAME": provider["name"], **own}
        self._scripts: str = next(p["scriptPath"] for p in plugins if p["name"] == provider["plugin"])
        self.screen = screen
        self.log = Path(environment["HF_LOGDIR"]) / f"{provider['name']}-provider.{HOST}.log"

    def introduce(self) -> None:
        """Show the environment of the calls and the provider's files."""
        self.screen.title("HostFactory's environment")
        for name, value in self._environment.items():
            self.screen.line(f"{name}={value}")
        for path in sorted(Path(self._environment["HF_PROVIDER_CONFDIR"]).iterdir()):
            self.screen.document(f"${{HF_PROVIDER_CONFDIR}}/{path.name}", json.loads(path.read_text()))

    def call(self, verb: str, document: Document, exit_status: int = 0) -> Document:
        """Call a script. BrokenContractError when the answer is not as it has to be."""
        return checked(verb, self._called(verb, document), exit_status)

    def insist(self, verb: str, document: Document) -> Document:
        """Call a script until it does not refuse, as HostFactory does that asks every few seconds."""
        for _ in range(POLLS):
            done = self._called(verb, document)
            answer = checked(verb, done, min(done.returncode, 1))
            if done.returncode == 0:
                return answer
            time.sleep(POLL_SECONDS)
        raise BrokenContractError(f"an answer after {POLLS} calls at most", answer["message"])

    def _called(self, verb: str, document: Document) -> subprocess.CompletedProcess[str]:
        """Call a script with its input in a file."""
        script = f"{self._scripts}{verb}.sh"
        with NamedTemporaryFile("w", prefix="hf_in_", dir=self._environment["HF_TOP"]) as file:
            json.dump(document, file, indent="\t")
            file.flush()
            self.screen.call(f"{script} -f {file.name}", document)
            started = time.monotonic()
            done = self._run([_expanded(script, self._environment), "-f", file.name])
        self.screen.answer(done, time.monotonic() - started)
        return done

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        # A script finds its Python itself, unless the caller names one.
        named = {name: os.environ[name] for name in ("HFPLUGIN_PYTHON",) if name in os.environ}
        environment = {**self._environment, **named}
        text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
        try:
            return subprocess.run(
                command, env=environment, cwd="/", capture_output=True, timeout=TIME_LIMIT, check=False, **text
            )
        except subprocess.TimeoutExpired as error:
            raise BrokenContractError(f"an answer within {TIME_LIMIT} s", "none") from error
        except OSError as error:
            raise BrokenContractError("a script that runs", str(error)) from error

    def statuses(self, ids: Sequence[str]) -> list[Document]:
        """Ask how requests stand. BrokenContractError unless each is answered, in the order asked."""
        asked = {"requests": [{"requestId": request_id} for request_id in ids]}
        entries: list[Document] = self.call("getRequestStatus", asked)["requests"]
        answered = [entry["requestId"] for entry in entries]
        if answered != list(ids):
            raise BrokenContractError(f"answers for {', '.join(ids)}", ", ".join(answered))
        failed = [m for entry in entries for m in entry["machines"] if m["result"] == "fail"]
        if not all(machine["message"] for machine in failed):
            raise BrokenContractError("a message for every failed machine", "none for one")
        return entries

    def finished(self, request_id: str) -> Document:
        """Poll a request until it is no longer running."""
        for _ in range(POLLS):
            entry = self.statuses([request_id])[0]
            if entry["status"] != "running":
                return entry
            time.sleep(POLL_SECONDS)
        raise BrokenContractError(f"an end after {POLLS} polls at most", tally(entry))


def _expanded(path: str, variables: Mapping[str, str]) -> str:
    return string.Template(path).substitute(variables)


def tally(entry: Document) -> str:
    """Put a request's answer in a few words: `complete, 5 succeed/running`."""
    counts = Counter(f"{machine['result']}/{machine['status']}" for machine in entry["machines"])
    parts = [f"{count} {state}" for state, count in sorted(counts.items())]
    return ", ".join([entry["status"], *(parts or ["0 machines"])])
