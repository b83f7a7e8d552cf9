"""A place on disk for what a provider can always find out again; losing any of it costs time only."""

from __future__ import annotations

import os
from os.path import join


class Cache:
    """Small texts by name under one private directory. A failed write is no error: the answer was had."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def get(self, name: str) -> str | None:
        try:
            with open(join(self.directory, name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None

    def put(self, name: str, text: str) -> None:
        temporary = join(self.directory, f".{name}.{os.getpid()}.tmp")
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            with open(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
            os.replace(temporary, join(self.directory, name))
        except OSError:
            return
