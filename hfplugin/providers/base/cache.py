"""A place on disk for what a provider can always find out again; losing any of it costs time only."""

from __future__ import annotations

import contextlib
from os.path import join

from hfplugin import files
from hfplugin.errors import StateError


class Cache:
    """Small texts by name under one private directory. A failed write is no error: the answer was had."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def get(self, name: str) -> str | None:
        try:
            return files.read_text(join(self.directory, name))
        except (OSError, ValueError):  # damaged counts as absent
            return None

    def put(self, name: str, text: str) -> None:
        with contextlib.suppress(StateError):
            files.write(join(self.directory, name), text.encode())
