"""Where HostFactory put this provider instance: its name, directories, log level and time limit.

Every call starts here, so nothing is imported that a call could do without (no typing, no pathlib).
"""

from __future__ import annotations

import os
from os.path import join

from hfplugin.errors import ConfigurationError
from hfplugin.providers import DEFAULT_TYPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Without a value in hostfactoryconf.json: HostFactory ships 300 s, its examples have 240 s.
_ACTION_TIMEOUT = 240.0

# LSF's resource connector has other names for the same things.
_NAME = ("HF_PROVIDER_NAME", "PROVIDER_NAME")
_CONF = ("HF_PROVIDER_CONFDIR", "PRO_CONF_DIR")
_WORK = ("HF_PROVIDER_WORKDIR", "PRO_DATA_DIR")
_LOG = ("HF_PROVIDER_LOGDIR", "PRO_LSF_LOGDIR")

# HostFactory's level names, as Python's logging knows them.
_LEVELS = {
    "LOG_TRACE": "DEBUG",
    "LOG_DEBUG": "DEBUG",
    "LOG_INFO": "INFO",
    "LOG_WARN": "WARNING",
    "LOG_ERROR": "ERROR",
}


class Environment:
    """One provider instance's surroundings. `log_level` is empty when HostFactory gives none."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read the surroundings; ConfigurationError names the variable that is missing."""
        self.provider_name = _provider_name(variables)
        self.conf_dir = _directory(variables, _CONF, "HF_CONFDIR", f"providers/{self.provider_name}")
        self.work_dir = _directory(variables, _WORK, "HF_WORKDIR", f"providers/{self.provider_name}")
        self.log_dir = _directory(variables, _LOG, "HF_LOGDIR", "")
        self.host = variables.get("EGOSC_INSTANCE_HOST") or os.uname().nodename
        self.log_level = _LEVELS.get(variables.get("HF_LOGLEVEL", ""), "")
        self.overrides = sorted(
            (key, value)
            for key, value in variables.items()
            if key.startswith("HFPLUGIN_") and key != "HFPLUGIN_PYTHON"
        )
        self._hf_conf_dir = variables.get("HF_CONFDIR", "")

    @property
    def state_dir(self) -> str:
        return join(self.work_dir, "hfplugin")

    @property
    def log_file(self) -> str:
        """The file that HostFactory's convention names."""
        return join(self.log_dir, f"{self.provider_name}-provider.{self.host}.log")

    def candidates(self, what: str) -> list[str]:
        """Give the places of a file (`config` or `templates`) in look-up order."""
        prefixes = dict.fromkeys((self.provider_name, DEFAULT_TYPE))
        return [
            join(self.conf_dir, below, f"{prefix}prov_{what}.json")
            for prefix in prefixes
            for below in ("", "conf")
        ]

    def action_timeout(self) -> float:
        """Seconds that HostFactory gives a script before it kills it (`HF_PROVIDER_ACTION_TIMEOUT`)."""
        import json

        if not self._hf_conf_dir:
            return _ACTION_TIMEOUT
        try:
            with open(join(self._hf_conf_dir, "hostfactoryconf.json"), "rb") as file:
                return float(json.load(file)["HF_PROVIDER_ACTION_TIMEOUT"])
        except (OSError, ValueError, KeyError, TypeError):
            return _ACTION_TIMEOUT  # HostFactory's own file: it reports what is wrong with it


def _provider_name(variables: Mapping[str, str]) -> str:
    name = _first(variables, _NAME)
    if not name:
        raise ConfigurationError(
            "HF_PROVIDER_NAME is not set: HostFactory sets it to the provider instance's name; by hand, export it"
        )
    if "/" in name:
        raise ConfigurationError(f"HF_PROVIDER_NAME {name!r} is not a name: it has a slash")
    return name


def _directory(variables: Mapping[str, str], names: tuple[str, ...], top: str, below: str) -> str:
    own = _first(variables, names)
    if own:
        return own
    if variables.get(top):
        return join(variables[top], below)
    raise ConfigurationError(f"neither {names[0]} nor {top} is set: HostFactory sets them; by hand, export one")


def _first(variables: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((variables[name] for name in names if variables.get(name)), "")
