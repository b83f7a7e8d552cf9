"""Where the scripts run: HostFactory's directories and its environment, and nothing else of the caller's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hfplugin.conformance.settings import Settings
from hfplugin.errors import ConfigurationError, StateError

VERBS = (
    "getAvailableTemplates",
    "requestMachines",
    "requestReturnMachines",
    "getRequestStatus",
    "getReturnRequests",
)

# A provider may do without it: HostFactory then never asks.
OPTIONAL = "getReturnRequests"

# What tells one provider instance its own directories: HostFactory may leave it to the general ones.
OWN_DIRECTORIES = ("HF_PROVIDER_CONFDIR", "HF_PROVIDER_WORKDIR", "HF_PROVIDER_LOGDIR")


class Surroundings(NamedTuple):
    """HostFactory's directories under `top`, and the environment that names them."""

    top: Path
    inputs: Path
    elsewhere: Path
    environment: Mapping[str, str]


def require_scripts(directory: Path) -> None:
    """Raise ConfigurationError when a script is missing that cannot be done without."""
    for verb in VERBS:
        script = directory / f"{verb}.sh"
        if verb == OPTIONAL and not script.exists():
            continue
        if not os.access(script, os.X_OK):
            raise ConfigurationError(f"{script} is not there, or cannot be run: HostFactory calls it by this name")


def lay_out(settings: Settings, top: Path, variables: Mapping[str, str]) -> Surroundings:
    """Make HostFactory's directories under `top`: those that the settings name are linked to, the rest is new."""
    conf, work, log = (top / "conf/providers", top / "work/providers", top / "log")
    inputs, elsewhere, home = top / "tmp", top / "elsewhere", top / "home"
    try:
        for directory in (conf, work, inputs, elsewhere, home):
            directory.mkdir(parents=True)
        _place(settings.conf_dir, conf / settings.provider_name, settings.copies_conf_dir)
        _place(settings.work_dir, work / settings.provider_name, copies=False)
        _place(settings.log_dir, log, copies=False)
    except (OSError, shutil.Error) as error:
        raise StateError(f"cannot lay out the directories of the suite: {error}") from error
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "HF_TOP": str(top),
        "HF_VERSION": "1.2",
        "HF_CONFDIR": str(top / "conf"),
        "HF_WORKDIR": str(top / "work"),
        "HF_LOGDIR": str(log),
        "HF_LOGLEVEL": "LOG_INFO",
        "HF_PROVIDER_NAME": settings.provider_name,
        "HF_PROVIDER_CONFDIR": str(conf / settings.provider_name),
        "HF_PROVIDER_WORKDIR": str(work / settings.provider_name),
        "HF_PROVIDER_LOGDIR": str(log),
        "EGOSC_INSTANCE_HOST": "management1",
        **{name: variables[name] for name in settings.pass_environment if name in variables},
        **settings.environment,
    }
    return Surroundings(top, inputs, elsewhere, environment)


def _place(given: Path | None, place: Path, copies: bool) -> None:
    if given is None:
        place.mkdir()
    elif copies:
        shutil.copytree(given, place)
    else:
        place.symlink_to(given)
