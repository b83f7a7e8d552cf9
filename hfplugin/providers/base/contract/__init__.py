"""The contract kit: what every provider promises (see `hfplugin.providers.base.provider`), as a pytest suite.

An author makes a `Bench`, his provider on a cloud for tests, and subclasses the suite:

    class TestMine(ProviderContract):
        @pytest.fixture
        def bench(self, tmp_path: Path) -> Bench:
            return MyBench(tmp_path)

A promise that the bench has no means to prove is skipped, and the reason says which hook would prove it. Needs
pytest (`pip install 'hfplugin[contract]'`); nothing that HostFactory calls imports it.
"""

import pytest

# So that a broken promise shows the values that broke it. pytest has to be told before it imports them.
pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("bench", "processes", "launches", "machines", "sources", "outages"))
)

from hfplugin.providers.base.contract.bench import Bench  # noqa: E402  see above
from hfplugin.providers.base.contract.launches import LaunchContract  # noqa: E402
from hfplugin.providers.base.contract.machines import MachineContract  # noqa: E402
from hfplugin.providers.base.contract.outages import OutageContract  # noqa: E402
from hfplugin.providers.base.contract.sources import SourceContract  # noqa: E402

__all__ = ["Bench", "ProviderContract"]


class ProviderContract(LaunchContract, MachineContract, SourceContract, OutageContract):
    """Everything that a provider promises. Subclass it and give the fixture `bench`, anew for each test."""

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError(f"give {type(self).__name__} a fixture named bench")
