"""A request's life, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from contract import Document, Finding
from factory import HostFactory, tally
from stage import PROVIDER, USER_DATA, VOLUME_SIZE, Cloud

COUNT = 5


def hosts(machines: Iterable[Document]) -> Document:
    """Name machines as HostFactory does."""
    return {"machines": [{"name": machine["name"], "machineId": machine["machineId"]} for machine in machines]}


class Life:
    """A request's life; each method plays one step and gives what it found."""

    def __init__(self, factory: HostFactory, cloud: Cloud) -> None:
        self._factory = factory
        self._cloud = cloud
        self._request = ""
        self._returns: list[str] = []
        self._machines: list[Document] = []
        self.returned: set[str] = set()

    def offer(self) -> Finding:
        sizes = []
        for offer in self._factory.call("getAvailableTemplates", {})["templates"]:
            kind, cores, cpus, ram = (offer["attributes"][key][1] for key in ("type", "ncores", "ncpus", "nram"))
            sizes.append(f"{offer['templateId']}: {kind}, {cores} x {cpus} cores, {ram} MB")
        expected = "two-zones: X86_64, 1 x 1 cores, 8192 MB; scalars: X86_64, 1 x 2 cores, 16384 MB"
        return Finding(expected, "; ".join(sizes))

    def request(self) -> Finding:
        demand = {"template": {"templateId": "two-zones", "machineCount": COUNT}}
        self._request = self._factory.call("requestMachines", demand)["requestId"]
        return Finding("an id", "an id" if self._request else "an empty one")

    def fulfil(self) -> Finding:
        entry = self._factory.finished(self._request)
        self._machines = entry["machines"]
        names = {machine["name"].split(".")[0] for machine in self._machines}
        real = {machine["InstanceId"]: machine for machine in self._cloud.machines()}
        ordered = [m for m in self._machines if self._is_as_ordered(m, real.get(m["machineId"], {}))]
        expected = f"complete, {COUNT} succeed/running, {COUNT} names, {COUNT} as ordered"
        return Finding(expected, f"{tally(entry)}, {len(names)} names, {len(ordered)} as ordered")

    def _is_as_ordered(self, machine: Document, real: Mapping[str, Any]) -> bool:
        """Whether EC2 has it as the answer and the template say."""
        return (
            real.get("PrivateDnsName") == machine["name"]
            and real.get("PrivateIpAddress") == machine["privateIpAddress"]
            and int(real["LaunchTime"].timestamp()) == machine["launchtime"]
            and real.get("InstanceType") == "m5.large"
            and self._cloud.user_data(machine["machineId"]) == USER_DATA
            and self._cloud.volume_sizes(machine["machineId"]) == [VOLUME_SIZE]
        )

    def keep(self) -> Finding:
        return Finding("no host", self._lost())

    def lose(self) -> Finding:
        victim = self._machines[1]
        self._factory.screen.line(f"outside HostFactory: terminated {victim['machineId']}", "bold")
        self._cloud.emulator.terminate(victim["machineId"])
        return Finding(f"{victim['name']}, 0 s", self._lost())

    def _lost(self) -> str:
        lost = self._factory.call("getReturnRequests", hosts(self._machines))["requests"]
        return ", ".join(f"{host['machine']}, {host['gracePeriod']} s" for host in lost) or "no host"

    def return_two(self) -> Finding:
        return self._give_back(self._machines[:2])

    def return_rest(self) -> Finding:
        return self._give_back(self._machines[2:])

    def _give_back(self, machines: list[Document]) -> Finding:
        return_id = self._factory.call("requestReturnMachines", hosts(machines))["requestId"]
        is_new = return_id not in self._returns
        self._returns.append(return_id)
        entry = self._factory.finished(return_id)
        said = {machine["machineId"] for machine in entry["machines"] if machine["result"] == "succeed"}
        self.returned |= said
        gone = {machine["machineId"] for machine in machines} & said & self._cloud.terminated()
        count = len(machines)
        return Finding(
            f"a new id, complete, {count} succeed/terminated, {count} gone from EC2",
            f"{'a new' if is_new else 'an old'} id, {tally(entry)}, {len(gone)} gone from EC2",
        )

    def ask_wrongly(self) -> Finding:
        demand = {"template": {"templateId": "three-zones", "machineCount": 1}}
        answer = self._factory.call("requestMachines", demand, exit_status=1)
        known = [name for name in ("two-zones", "scalars") if name in answer["message"]]
        seen = f"just {', '.join(answer)}, naming {', '.join(known)}"
        return Finding("just message, naming two-zones, scalars", seen)

    def remember(self) -> Finding:
        ids = [self._returns[0], "req-of-somebody-else", self._request]
        known, unknown, first = self._factory.statuses(ids)
        seen = f"{known['status']}, {tally(unknown)}, {first['status']}"
        return Finding("complete, complete_with_error, 0 machines, complete", seen)

    def look_around(self) -> Finding:
        machines = self._cloud.machines()
        wanted = {("hfplugin:provider", PROVIDER), ("hfplugin:request-id", self._request), ("project", "demo")}
        labels = [{(tag["Key"], tag["Value"]) for tag in machine.get("Tags", [])} for machine in machines]
        tagged = sum(wanted <= found for found in labels)
        seen = f"{len(machines)} launched, {tagged} tagged, {len(self._cloud.terminated())} terminated"
        return Finding(f"{COUNT} launched, {COUNT} tagged, {COUNT} terminated", seen)


class Step(NamedTuple):
    """A step: its name, the method that plays it, and what it proves when it comes out as expected."""

    name: str
    play: Callable[[Any], Finding]
    proves: str


STEPS = (
    Step("getAvailableTemplates", Life.offer, "the file's order; attributes are pairs, from scalars too"),
    Step("requestMachines: 5", Life.request, "the id comes at once, the machines with the polls"),
    Step("getRequestStatus: polled", Life.fulfil, "EC2 has each machine as the answer and the template say"),
    Step("getReturnRequests: all is well", Life.keep, "a healthy host is never named"),
    Step("getReturnRequests: one killed outside", Life.lose, "just the lost host is named, no grace period left"),
    Step("requestReturnMachines: 2, one dead", Life.return_two, "a dead machine is no error: it is returned"),
    Step("requestMachines: unknown template", Life.ask_wrongly, "a refusal is JSON and names the templates"),
    Step("requestReturnMachines: the other 3", Life.return_rest, "complete means that EC2 has terminated them"),
    Step("requestReturnMachines: these 3 again", Life.return_rest, "a repeated return gets an id of its own"),
    Step("getRequestStatus: 3 ids", Life.remember, "in the order asked; what was said stays said"),
    Step("EC2 itself", Life.look_around, "nothing runs; every machine ever launched has our tags"),
)
