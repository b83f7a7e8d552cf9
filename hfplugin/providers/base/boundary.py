"""The boundary to a provider's code: a fault in it fails what was asked of it, never the call of HostFactory's.

Only here may anything be caught: whatever a provider lets out that is not of our tree is logged with its
traceback, and becomes what the core can account for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.logs import log
from hfplugin.model import Launch, LaunchState, Refusal, Template
from hfplugin.providers.base.prices import CostModel, Offer, Prices, Product
from hfplugin.providers.base.provider import (
    Check,
    Found,
    Host,
    Inventory,
    Located,
    Nowhere,
    Observation,
    Order,
    Outcome,
    Plan,
    Provider,
    Reclaimed,
    Released,
    Source,
    Spare,
)

_REMEDY = "report it to the provider's author, with the traceback that the log has"


class Bounded:
    """A provider that keeps the promise of what it raises: ProviderError and ConfigurationError, or less."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def plan(self, order: Order) -> Plan | Nowhere:
        with _bounded("plan"):
            return self._provider.plan(order)

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        """Send a launch. One that failed in whatever way may have acted: what it brought has to be looked for."""
        try:
            with _bounded("launch"):
                return self._provider.launch(launch, user_data)
        except HFPluginError as error:
            return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(error, launch.place),), look_only=True)

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        with _bounded("find_launched"):
            return self._provider.find_launched(launch, request_id)

    def gather(self, launch: Launch) -> Outcome:
        with _bounded("gather"):
            return self._provider.gather(launch)

    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        with _bounded("stop"):
            self._provider.stop(launch, held)

    def remove(self, launch: Launch, remains: Sequence[str]) -> None:
        with _bounded("remove"):
            self._provider.remove(launch, remains)

    def observe(self, machines: Sequence[Located]) -> Observation:
        with _bounded("observe"):
            return self._provider.observe(machines)

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        with _bounded("release"):
            return self._provider.release(machines, source)

    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        try:
            with _bounded("reclaimed"):
                return self._provider.reclaimed(machines)
        except HFPluginError as error:
            return Reclaimed(failures=(Refusal.of(error),))

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Let messages go; what could not be let go comes again."""
        try:
            with _bounded("acknowledge"):
                self._provider.acknowledge(receipts)
        except HFPluginError as error:
            log.warning("reclaim.unheard", reason=str(error), kind=Refusal.of(error).kind)

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        with _bounded("find_hosts"):
            return self._provider.find_hosts(hosts)

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        with _bounded("find_requests"):
            return self._provider.find_requests(request_ids)

    def inventory(self) -> Inventory:
        with _bounded("inventory"):
            return self._provider.inventory()

    def discard(self, spares: Sequence[Spare]) -> None:
        with _bounded("discard"):
            self._provider.discard(spares)

    def check(self, templates: Sequence[Template]) -> list[Check]:
        try:
            with _bounded("check"):
                return self._provider.check(templates)
        except HFPluginError as error:
            return [Check("provider", False, str(error), _REMEDY)]


class BoundedCosts:
    """A cost model that keeps the promise of what it raises."""

    def __init__(self, model: CostModel) -> None:
        self._model = model

    def offers(self, template: Template) -> Collection[Offer]:
        with _bounded("offers"):
            return self._model.offers(template)

    def ask(self, products: Collection[Product], now: float) -> Prices:
        with _bounded("ask"):
            return self._model.ask(products, now)


@contextmanager
def _bounded(operation: str) -> Iterator[None]:
    try:
        yield
    except HFPluginError:
        raise
    except Exception as error:  # an author's code is an edge of ours
        log.exception("provider.crashed", operation=operation)
        said = f"a fault of the provider's, in {operation}: {type(error).__name__}: {error}"
        raise ProviderError(ErrorKind.UNKNOWN, "", said) from error
