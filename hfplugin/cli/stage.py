"""Where a rehearsal is played: the administrator's files, everything else thrown away, and no way out to AWS.

What leads elsewhere than to the emulator is taken away three times over: settings that would are overridden, the
calls get an environment of their own with nothing of the caller's AWS variables, files and proxies, and the only
credentials in it are the emulator's, which no AWS would take.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import hfplugin
from hfplugin.catalog import machine_types_path
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, StateError
from hfplugin.files import make_directory

Document = dict[str, Any]

_TREE = Path(hfplugin.__file__).resolve().parent.parent

# Of the caller's variables: what a script needs to run, and what HostFactory says that leads nowhere.
_KEPT = ("PATH", "HFPLUGIN_PYTHON", "HF_CONFDIR", "HF_LOGLEVEL", "EGOSC_INSTANCE_HOST", "LANG", "LC_ALL", "TZ")

# Settings of section `aws` that would lead elsewhere than to the emulator, or to somebody's credentials. An
# assumed role stays: the emulator has an STS, and its endpoint serves that too.
REPLACED = ("endpointUrl", "profile", "credentialFile", "proxyHost", "proxyPort", "interruptionQueueUrl")

_CHECK = "import sys; sys.path.insert(0, sys.argv.pop(1)); from hfplugin.__main__ import main; main()"


class Answer(NamedTuple):
    """What a script gave: its exit status and the document on standard output."""

    status: int
    document: Document


class Stage:
    """One provider instance of its own under `top`, and the calls that HostFactory makes to it."""

    def __init__(self, environment: Environment, variables: Mapping[str, str], url: str, top: str) -> None:
        self._top = top
        self._limit = environment.action_timeout()
        self._scripts = _scripts()
        self._variables = {
            **{name: variables[name] for name in _KEPT if name in variables},
            **dict(_kept_overrides(environment)),
            **_isolation(environment, url, top),
        }
        if "HFPLUGIN_PYTHON" not in variables and not (self._scripts.parent / ".venv/bin/python").exists():
            self._variables["HFPLUGIN_PYTHON"] = sys.executable
        self.environment = Environment(self._variables)
        self._lay_out(environment)

    def _lay_out(self, environment: Environment) -> None:
        for directory in (self.environment.work_dir, self.environment.log_dir, self._variables["HOME"]):
            make_directory(directory)
        # Templates may have types that only the refreshed table knows.
        refreshed, copy = machine_types_path(environment), machine_types_path(self.environment)
        if os.path.exists(refreshed):
            make_directory(os.path.dirname(copy))
            shutil.copyfile(refreshed, copy)

    def use_region(self, region: str) -> None:
        """Say the region that holds where the configuration says none."""
        self._variables["AWS_REGION"] = region

    def call(self, verb: str, message: Document) -> Answer:
        """Call a script as HostFactory does. StateError when it does not answer as every script has to."""
        path = os.path.join(self._top, "hf_in")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(message, file, indent="\t")
        status, said = self._run([str(self._scripts / f"{verb}.sh"), "-f", path])
        return Answer(status, _document(verb, said))

    def check(self) -> list[Document]:
        """Try every template without launching anything: `hfplugin check`."""
        _, said = self._run([sys.executable, "-I", "-c", _CHECK, str(_TREE), "check", "--json"])
        try:
            checks: list[Document] = json.loads(said)
        except ValueError as error:
            raise StateError(f"hfplugin check did not answer in the rehearsal: {said[:200]!r}") from error
        return checks

    def _run(self, command: list[str]) -> tuple[int, str]:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._variables,
                cwd="/",
                timeout=self._limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StateError(
                f"{command[0]} gave no answer within {self._limit:g} s: HostFactory kills it"
            ) from error
        except OSError as error:
            raise StateError(f"cannot run {command[0]}: {error.strerror}") from error
        return done.returncode, done.stdout.decode(errors="replace")


def _document(verb: str, said: str) -> Document:
    try:
        document = json.loads(said)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StateError(f"{verb} did not answer a JSON object: {said[:200]!r}")
    return document


def _isolation(environment: Environment, url: str, top: str) -> dict[str, str]:
    """Give the variables that lead to the emulator and to directories under `top`, and nowhere else."""
    from hfplugin.emulator import CREDENTIALS

    return {
        "HF_PROVIDER_NAME": environment.provider_name,
        "HF_PROVIDER_CONFDIR": os.path.abspath(environment.conf_dir),
        "HF_PROVIDER_WORKDIR": os.path.join(top, "work"),
        "HF_PROVIDER_LOGDIR": os.path.join(top, "log"),
        "HOME": os.path.join(top, "home"),
        # Without it, botocore would ask the host's own metadata service.
        "AWS_EC2_METADATA_DISABLED": "true",
        **{_override(key): "" for key in REPLACED},
        _override("endpointUrl"): url,
        **CREDENTIALS,
    }


def _override(key: str) -> str:
    return f"HFPLUGIN_AWS__{key.upper()}"


def _kept_overrides(environment: Environment) -> Iterator[tuple[str, str]]:
    """Give the caller's overrides but for those of what is replaced, in whatever spelling."""
    replaced = {_meant(_override(key)) for key in REPLACED}
    return ((name, value) for name, value in environment.overrides if _meant(name) not in replaced)


def _meant(name: str) -> str:
    return name.replace("_", "").casefold()


def _scripts() -> Path:
    """Find the scripts: beside the package, or beside the environment that it is installed in."""
    places = [_TREE / "scripts", Path(sys.prefix).parent / "scripts"]
    for place in places:
        if (place / "requestMachines.sh").is_file():
            return place
    looked = ", ".join(map(str, places))
    raise ConfigurationError(
        f"the scripts are not found (looked in {looked}): run the plug-in's own .venv/bin/hfplugin"
    )


@contextmanager
def opened(environment: Environment, variables: Mapping[str, str], url: str) -> Iterator[Stage]:
    """Give a stage in the provider's work directory, and take it away however the block ends.

    StateError when it cannot be written there.
    """
    try:
        make_directory(environment.work_dir)
        top = tempfile.mkdtemp(prefix="rehearsal-", dir=os.path.abspath(environment.work_dir))
    except OSError as error:
        raise StateError(f"cannot write {environment.work_dir}: {error.strerror}") from error
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield Stage(environment, variables, url, top)
    finally:
        shutil.rmtree(top, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
