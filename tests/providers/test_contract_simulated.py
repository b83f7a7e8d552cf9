"""The simulated provider keeps every promise, whether its machines come one by one or from groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_cloud import SimulatedBench

from hfplugin.providers.base.contract import Bench, ProviderContract


class TestSimulated(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return SimulatedBench(tmp_path)


class TestSimulatedGroup(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return SimulatedBench(tmp_path, source="group")
