"""The log: JSON lines through structlog, in the file that HostFactory's convention names.

structlog is imported by the first event that is really written, so a call with nothing to say does not pay for
it. An event below the level costs a comparison. A log that cannot be written never stops a call.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Any, TextIO

_ORDER = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}

# HostFactory's convention for its own logs: 10 MB, five old files.
_MAX_BYTES = 10_000_000
_OLD_FILES = 5

# Never in a log, at any depth of what a caller hands over: user data may hold secrets.
_SECRET_KEYS = frozenset(
    {"userdata", "password", "secret", "token", "sessiontoken", "secretaccesskey", "secretkey", "credentials"}
)


class Log:
    """Writes events as JSON lines. Use the module's one instance, `log`."""

    def __init__(self) -> None:
        self._path = ""
        self._threshold = _ORDER["INFO"]
        self._bound: dict[str, Any] = {}
        self._logger: Any = None
        self._making = allocate_lock()

    def start(self, path: str, level: str, **bound: Any) -> None:
        """Write to `path` from now on, events of `level` and above, each with the bound values."""
        self._path = path
        self._bound = bound
        self._logger = None
        self.set_level(level)

    def set_level(self, level: str) -> None:
        self._threshold = _ORDER.get(level, _ORDER["INFO"])

    def debug(self, event: str, **values: Any) -> None:
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._write("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._write("error", event, {**values, "exc_info": True})

    def _write(self, level: str, event: str, values: dict[str, Any]) -> None:
        if not self._path or _ORDER[level.upper()] < self._threshold:
            return
        try:
            with self._making:  # regions are asked by threads
                if self._logger is None:
                    self._logger = _logger(_open(self._path)).bind(**self._bound)
            getattr(self._logger, level)(event, **values)
        except (OSError, ImportError):
            self._path = ""  # a full or unwritable log directory (`hfplugin check` names it), half an installation


log = Log()


def _logger(stream: TextIO) -> Any:
    structlog = _import_structlog()
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


def _import_structlog() -> Any:
    """Import structlog without the rich that its console output would load: half as dear again, for nothing."""
    modules: dict[str, Any] = sys.modules
    hides_rich = "rich" not in modules
    if hides_rich:
        modules["rich"] = None
    try:
        import structlog
    finally:
        if hides_rich:
            del modules["rich"]
    return structlog


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    masked: dict[str, Any] = _masked(event)
    return masked


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "(hidden)" if _is_secret(key) else _masked(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(member) for member in value]
    return value


def _is_secret(key: Any) -> bool:
    return str(key).replace("_", "").replace("-", "").casefold() in _SECRET_KEYS


def _open(path: str) -> TextIO:
    """Open the log for appending; a full one is first put aside, by one process only."""
    import fcntl

    os.makedirs(os.path.dirname(path), exist_ok=True)
    stream = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  lives as long as the process
    if os.fstat(stream.fileno()).st_size < _MAX_BYTES:
        return stream
    fcntl.flock(stream, fcntl.LOCK_EX)
    if os.path.exists(path) and os.stat(path).st_ino == os.fstat(stream.fileno()).st_ino:
        for number in range(_OLD_FILES, 0, -1):
            older = path if number == 1 else f"{path}.{number - 1}"
            if os.path.exists(older):
                os.replace(older, f"{path}.{number}")
    stream.close()
    return open(path, "a", encoding="utf-8", buffering=1)
