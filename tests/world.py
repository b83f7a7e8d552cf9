"""An installation on the cloud in memory, with the calls that HostFactory makes to it."""

from __future__ import annotations

from fake_cloud import FakeSource, Installation

from hfplugin.broker import Lost
from hfplugin.model import MachineState, Request, Return
from hfplugin.providers.base.provider import Host
from hfplugin.wording import summary


class World(Installation):
    """An installation, HostFactory's calls to it, and what goes wrong behind its back."""

    # The template that is meant where a call names none.
    usual = "small"

    def ask(self, units: int, template_id: str = "") -> str:
        """Request units and give the request's id."""
        return self.broker.request_machines(template_id or self.usual, units).id

    def poll(self, request_id: str) -> Request:
        (record,) = self.broker.request_status([request_id])
        assert isinstance(record, Request)
        return record

    def finish(self, request_id: str) -> Request:
        """Poll every five seconds until the request is closed."""
        for _ in range(200):
            request = self.poll(request_id)
            if request.is_closed:
                return request
            self.clock.advance(5)
        raise AssertionError(f"it does not close: {request}")

    def have(self, units: int, template_id: str = "") -> Request:
        """Ask, and poll until the request is closed."""
        return self.finish(self.ask(units, template_id))

    def give_back(self, *ids: str) -> str:
        """Return machines and give the return's id."""
        return self.broker.return_machines([Host("", machine_id) for machine_id in ids]).id

    def poll_return(self, return_id: str) -> Return:
        (record,) = self.broker.request_status([return_id])
        assert isinstance(record, Return)
        return record

    def named(self, *requests: Request) -> list[Lost]:
        """Ask about every host of the requests, and give those that are named."""
        return self.broker.return_requests(hosts(*requests))

    def lost(self, *requests: Request) -> list[str]:
        """Ask about every host of the requests, and give the ids of those that are named."""
        return [each.machine_id for each in self.named(*requests)]

    def said(self, request: Request) -> str:
        """Give the message that HostFactory hears of a request."""
        return summary(request, self.clock())

    def record(self, request: Request) -> Request:
        """Read a request's record as it is now."""
        found = self.store.requests.load(request.id)
        assert found is not None
        return found

    @property
    def source(self) -> FakeSource:
        """The only fleet that there is."""
        (source,) = self.cloud.sources.values()
        return source

    def kill(self, *ids: str, state: MachineState = MachineState.TERMINATED) -> None:
        """End machines behind hfplugin's back."""
        for machine_id in ids:
            self.cloud.machines[machine_id].state = state


def hosts(*requests: Request) -> list[Host]:
    """Give the machines of requests as HostFactory names them."""
    return [Host(machine.name, machine.id) for request in requests for machine in request.machines]
