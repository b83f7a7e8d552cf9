"""All metrics of one provider instance, as a text and as a file that a node exporter reads."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from os.path import join

from hfplugin import files
from hfplugin.errors import BusyError, StateError
from hfplugin.metrics import gauges
from hfplugin.metrics.journal import Journals
from hfplugin.metrics.text import rendered

# By itself the file is not written oftener: whoever reads it does so some times a minute.
_REFRESH_SECONDS = 60.0


def exposition(state: str, provider: str, wait: float) -> str:
    """Give all metrics, waiting so many seconds for another call that adds them up. StateError, BusyError."""
    counted = Journals(state).totals(wait)
    return rendered(provider, counted.numbers | gauges.read(state))


def kept_path(state: str) -> str:
    """Where the state keeps them; a node exporter reads files that are named so."""
    return join(state, "metrics", "hfplugin.prom")


def refresh(state: str, provider: str) -> None:
    """Write the file again when it is a minute old; another call at the same time does it. StateError."""
    path = kept_path(state)
    with suppress(FileNotFoundError):
        if 0 <= time.time() - os.stat(path).st_mtime < _REFRESH_SECONDS:
            return
    with suppress(BusyError):
        write(path, exposition(state, provider, 0.0))


def write(path: str, text: str) -> None:
    """Replace a file, whole or not at all, and let everybody read it. StateError when that cannot be done.

    Not durable, and that is meant: it is written again in a minute.
    """
    directory, name = os.path.split(os.path.abspath(path))
    temporary = join(directory, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)
                file.write(text.encode())
            os.rename(temporary, path)
        except BaseException:
            files.unlink(temporary)
            raise
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error
