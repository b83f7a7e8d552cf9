"""The configuration and templates as last compiled, read without validating them again.

A compiled file is a line with a checksum and the log level, a line with sizes, and three parts: the key
(everything it was made from, byte for byte), the finished answer to getAvailableTemplates, and the rest as JSON. A
call compares the key with the files as they are; when they differ it compiles anew. What a poll needs of a file
that has become wrong is its last good form.
"""

from __future__ import annotations

import os
from os.path import join

from hfplugin import __version__
from hfplugin.errors import ConfigurationError
from hfplugin.logs import log
from hfplugin.providers import PRICES_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hfplugin.config import Settings
    from hfplugin.environment import Environment
    from hfplugin.model import Template

_MAGIC = b"hfplugin-compiled"


class Sources:
    """The files of one provider instance as they are now."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.config_path, self.config = read_first(environment, "config")
        self.templates_path, self.templates = read_first(environment, "templates")

    @property
    def key(self) -> bytes:
        """All that decides what they compile to."""
        parts = [
            __version__,
            self.environment.provider_name,
            repr(self.environment.overrides),
            repr(_stamp(machine_types_path(self.environment))),
            repr(_stamp(prices_path(self.environment))),
            self.config_path,
            self.templates_path,
        ]
        return b"\0".join([*map(os.fsencode, parts), self.config, self.templates])


class Compiled:
    """One compiled configuration; `answer` is what getAvailableTemplates says, as bytes of JSON."""

    def __init__(self, key: bytes, answer: bytes, rest: bytes, log_level: str) -> None:
        self.key = key
        self.answer = answer
        self.rest = rest
        self.log_level = log_level


class Catalog:
    """The settings and templates of one provider instance, typed."""

    def __init__(self, compiled: Compiled) -> None:
        import json

        self._document: dict[str, Any] = json.loads(compiled.rest)
        self.warnings: list[str] = self._document["warnings"]

    @property
    def settings(self) -> Settings:
        from hfplugin.config import LoggingSettings, RequestSettings, Settings
        from hfplugin.providers.base.registry import ProviderRegistry

        data = self._document["settings"]
        try:
            spec = ProviderRegistry.spec(data["provider_type"])
        except ConfigurationError as error:
            # One that an older version compiled does not have the file's name.
            file = self._document.get("config", "the last good configuration")
            raise ConfigurationError(f"{file}: {error}") from error
        return Settings(
            provider_type=data["provider_type"],
            provider=_section(spec.config_type, data["provider"]),
            requests=_section(RequestSettings, data["requests"]),
            logging=_section(LoggingSettings, data["logging"]),
            installation=data["installation"],
        )

    @property
    def templates(self) -> list[Template]:
        """All templates in the file's order."""
        from hfplugin.model import Template

        return [
            Template(**{key: value for key, value in data.items() if key in Template._fields})
            for data in self._document["templates"]
        ]


def _section(kind: type[Any], data: dict[str, Any]) -> Any:
    """Build a section. The last good form may be an older version's: keys that are no more are dropped."""
    return kind(**{key: value for key, value in data.items() if key in kind.__dataclass_fields__})


def load(environment: Environment) -> Compiled:
    """Give the compiled form of the files as they are, compiling them, and logging the warnings, if need be.

    ConfigurationError when a file is missing or wrong. That the result cannot be kept is no error.
    """
    sources = Sources(environment)
    kept = _load_kept(environment)
    if kept is not None and kept.key == sources.key:
        return kept
    from hfplugin.compiler import compile_sources

    compiled = compile_sources(sources)
    if not environment.log_level:
        log.set_level(compiled.log_level)
    for warning in Catalog(compiled).warnings:
        log.warning("configuration.warning", message=warning)
    _keep(environment, compiled)
    return compiled


def load_last_good(environment: Environment) -> tuple[Compiled, str]:
    """Give `load`, or when a file is wrong now, the last good compiled form and what is wrong."""
    try:
        return load(environment), ""
    except ConfigurationError as error:
        kept = _load_kept(environment)
        if kept is None:
            raise
        return kept, str(error)


def machine_types_path(environment: Environment) -> str:
    """Where a refreshed table of machine types lies, when an administrator has fetched one."""
    return join(environment.state_dir, "cache", "machine-types.json")


def prices_path(environment: Environment) -> str:
    """Where the prices lie that were asked for: templates tell HostFactory what they cost."""
    return join(environment.state_dir, "cache", PRICES_FILE)


def kept_log_level(environment: Environment) -> str:
    """Give the log level of what was compiled last, from its first line alone; empty when there is none."""
    try:
        with open(_path(environment), "rb") as file:
            words = file.readline().split()
    except OSError:
        return ""
    return words[2].decode() if len(words) == 3 and words[0] == _MAGIC else ""


def _load_kept(environment: Environment) -> Compiled | None:
    """Give what was compiled last, None when there is nothing or it is damaged."""
    try:
        with open(_path(environment), "rb") as file:
            head, _, body = file.read().partition(b"\n")
    except OSError:
        return None
    level = head.rpartition(b" ")[2].decode(errors="replace")
    if head != _head(body, level):
        return None
    sizes, _, content = body.partition(b"\n")
    key, answer = (int(size) for size in sizes.split())
    return Compiled(content[:key], content[key : key + answer], content[key + answer :], level)


def _keep(environment: Environment, compiled: Compiled) -> None:
    from hfplugin import files
    from hfplugin.errors import StateError

    sizes = b"%d %d\n" % (len(compiled.key), len(compiled.answer))
    body = b"".join([sizes, compiled.key, compiled.answer, compiled.rest])
    try:
        files.write(_path(environment), _head(body, compiled.log_level) + b"\n" + body)
    except StateError:
        return  # compiled again at the next call: slower, not wrong


def _head(body: bytes, log_level: str) -> bytes:
    from zlib import crc32

    return b"%b %d %b" % (_MAGIC, crc32(body), log_level.encode())


def _path(environment: Environment) -> str:
    return join(environment.state_dir, "cache", "compiled")


def read_first(environment: Environment, what: str) -> tuple[str, bytes]:
    """Give path and content of the first of the places where `config` or `templates` may lie."""
    candidates = environment.candidates(what)
    for path in candidates:
        try:
            with open(path, "rb") as file:
                return path, file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    raise ConfigurationError(f"no {what} file; looked for {', '.join(candidates)}")


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)
