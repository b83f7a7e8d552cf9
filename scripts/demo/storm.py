"""A request's life while the cloud misbehaves: nothing may be lost, doubled or left behind."""

from __future__ import annotations

from contract import Finding
from factory import HostFactory, tally
from life import COUNT, Life, Step, hosts
from stage import PROVIDER, Cloud

from hfplugin.emulator.chaos import Havoc
from hfplugin.emulator.chaos import Step as Moment


class Storm(Life):
    """The steps that come out otherwise under a chaos; what EC2 holds is asked behind its faults."""

    def __init__(self, factory: HostFactory, cloud: Cloud, havoc: Havoc) -> None:
        super().__init__(factory, cloud)
        self._havoc = havoc
        self._lost_ids: set[str] = set()

    def fulfil(self) -> Finding:
        entry = self._factory.finished(self._request)
        self._machines = entry["machines"]
        told = {machine["machineId"] for machine in self._machines}
        alive = {machine.id for machine in self._cloud.emulator.alive()}
        expected = f"complete, {COUNT} succeed/running, {COUNT} alive in EC2, {COUNT} of them told"
        return Finding(expected, f"{tally(entry)}, {len(alive)} alive in EC2, {len(alive & told)} of them told")

    def lose(self) -> Finding:
        self._lost_ids = self._take("running", {machine["machineId"] for machine in self._machines})
        expected = [f"{m['name']}, 0 s" for m in self._machines if m["machineId"] in self._lost_ids]
        lost = self._factory.insist("getReturnRequests", hosts(self._machines))["requests"]
        return Finding(
            ", ".join(expected), ", ".join(f"{host['machine']}, {host['gracePeriod']} s" for host in lost)
        )

    def _take(self, moment: Moment, among: set[str]) -> set[str]:
        taken = {machine.id for machine in self._havoc.take(moment, among)}
        self._factory.screen.line(f"outside HostFactory: taken {', '.join(sorted(taken))}", "bold")
        return taken

    def return_lost(self) -> Finding:
        return self._give_back([machine for machine in self._machines if machine["machineId"] in self._lost_ids])

    def return_others(self) -> Finding:
        others = [machine for machine in self._machines if machine["machineId"] not in self._lost_ids]
        self._take("returning", {machine["machineId"] for machine in others})
        return self._give_back(others)

    def look_around(self) -> Finding:
        machines = self._cloud.emulator.machines()
        wanted = {"hfplugin:provider": PROVIDER, "hfplugin:request-id": self._request}
        tagged = sum(wanted.items() <= machine.tags.items() for machine in machines)
        alive = len(self._cloud.emulator.alive())
        left = len(self._cloud.emulator.leftovers())
        seen = f"{len(machines)} launched, {tagged} of the request, {alive} alive, {left} left besides machines"
        return Finding(f"{COUNT} launched, {COUNT} of the request, 0 alive, 0 left besides machines", seen)


STEPS = (
    Step("getAvailableTemplates", Storm.offer, "templates are known without the cloud"),
    Step("requestMachines: 5", Storm.request, "the id comes at once, whatever the cloud says"),
    Step("getRequestStatus: polled", Storm.fulfil, "exactly as many as asked: none lost, none launched twice"),
    Step("getReturnRequests: some taken by the cloud", Storm.lose, "just those are named"),
    Step("requestReturnMachines: the lost ones", Storm.return_lost, "a machine that is gone is no error"),
    Step(
        "requestReturnMachines: the others",
        Storm.return_others,
        "complete means terminated, also of one just lost",
    ),
    Step("getRequestStatus: 3 ids", Storm.remember, "what was said stays said"),
    Step("EC2 itself, behind its faults", Storm.look_around, "nothing was lost, nothing is left"),
)
