"""Looks at machines of many records at once: a call per record would be a call per machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hfplugin.errors import HFPluginError
from hfplugin.logs import log
from hfplugin.model import Machine, Refusal, Request, Return, ReturnedMachine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfplugin.providers.base.provider import Observation
    from hfplugin.site import Site


def look_at(site: Site, records: Iterable[Request | Return]) -> Observation:
    """Look at every machine of the records that may still change."""
    machines: list[Machine | ReturnedMachine] = []
    for record in records:
        if isinstance(record, Request):
            machines += record.live_machines
        else:
            machines += [machine for machine in record.pending if machine.is_found]
    return look(site, machines)


def look(site: Site, machines: Sequence[Machine | ReturnedMachine]) -> Observation:
    """Say what the machines are doing now; a failure is in the answer, and logged."""
    from hfplugin.providers.base.provider import Observation, located

    if not machines:
        return Observation()
    try:
        view = site.provider.observe([located(machine) for machine in machines])
    except HFPluginError as error:
        view = Observation(failures=(Refusal.of(error),))
    for failure in view.failures:
        log.warning("cloud.unobserved", reason=str(failure), kind=failure.kind)
    return view


def judged(machine: Machine, view: Observation, now: float) -> Machine:
    """Take over what a look says of a machine; absence counts once it has lasted."""
    if machine.id in view.seen:
        return machine.seen(view.seen[machine.id]).outlived(now)
    if machine.id not in view.missing:
        return machine
    missing = machine.missing(now)
    return missing.gone() if missing.is_absent(now) else missing
