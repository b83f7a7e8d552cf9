"""The author's own test: `pytest shelf_contract.py`, with the package and hfplugin[contract] installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hfplugin_shelf.provider import ShelfProvider
from hfplugin_shelf.spec import ShelfSettings

from hfplugin.errors import ErrorKind
from hfplugin.model import Template
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.contract import Bench, ProviderContract
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Provider


class ShelfBench(Bench):
    """A shelf in a test's own directory."""

    def __init__(self, root: Path) -> None:
        self.context = Context("prod1", "installation1", Cache(str(root / "cache")), Health())
        self.template = Template("box", "shelf", -1, {}, {})
        self._shelf = root / "shelf"
        self._shelf.mkdir()
        self._slots = 1000

    def make(self) -> Provider:
        return ShelfProvider(ShelfSettings(str(self._shelf), self._slots), self.context)

    def advance(self, seconds: float) -> None:
        """Nothing on a shelf takes time."""

    def limit(self, machines: int) -> None:
        self._slots = machines
        self.renew()

    def refuse(self, kind: ErrorKind) -> None:
        if kind is not ErrorKind.CAPACITY:
            self.unproven("refuse", f"a shelf refuses nothing for {kind}")
        self.limit(0)

    def cut_off(self) -> None:
        self._shelf.rename(self._shelf.with_name("elsewhere"))


class TestShelf(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return ShelfBench(tmp_path)
