"""The simulated provider keeps every promise: machines one by one, from groups, and of a cloud that lags."""

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


class LateBench(SimulatedBench):
    """What lives is known some seconds late, as many clouds tell it."""

    def alive(self) -> set[str]:
        cloud, then = self.cloud, self.now() - 3
        known = [machine for launched in cloud.every() for machine in launched.machines]
        return {each.id for each in known if each.launched_at <= then and cloud.life(each).is_alive(then)}


class TestSimulatedSeenLate(ProviderContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return LateBench(tmp_path)
