"""Every family of metrics: its name, kind, labels and meaning. No label ever holds the id of a request or machine.

Names are without the prefix and, for counters, without `_total`; a family of seconds says so in its name. The
label `provider` comes to each when they are told.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

# From what a call costs at the least to what HostFactory waits for at the most.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

# One call to a cloud: nothing is faster than the first, and no try lasts longer than the last.
_CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"


class Family(NamedTuple):
    """Metrics of one name; `bounds` are a histogram's, in the family's unit, without the infinite one."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        return "seconds" if self.name.endswith("_seconds") else ""

    @property
    def width(self) -> int:
        """How many numbers a series of it has."""
        return len(self.bounds) + 2 if self.kind == HISTOGRAM else 1

    def numbers(self, amount: float) -> list[float]:
        """Give what an amount adds to a series: a counter's value; a histogram's sum and buckets, each alone."""
        if self.kind != HISTOGRAM:
            return [amount]
        seen: list[float] = [0] * (len(self.bounds) + 1)
        seen[bisect_left(self.bounds, amount)] = 1
        return [amount, *seen]


_COUNTED = (
    Family("verb_calls", COUNTER, ("verb", "status"), "Calls of HostFactory's, by verb and exit status."),
    Family(
        "verb_seconds",
        HISTOGRAM,
        ("verb",),
        "From a verb's start to its answer, the interpreter's start not counted.",
        _SECONDS,
    ),
    Family(
        "cloud_calls",
        COUNTER,
        ("service", "region", "action", "outcome"),
        "Calls to the cloud, by how they ended: ok, the kind of failure, or held_back when nothing was sent.",
    ),
    Family(
        "cloud_call_seconds",
        HISTOGRAM,
        ("service", "region", "action"),
        "How long calls to the cloud took, all their tries together.",
        _CALL_SECONDS,
    ),
    Family(
        "cloud_retries",
        COUNTER,
        ("service", "region", "action"),
        "Further tries of calls to the cloud, within the call.",
    ),
    Family("refusals", COUNTER, ("kind",), "Reasons heard why machines could not be had, by kind."),
    Family(
        "launches",
        COUNTER,
        ("api", "outcome"),
        "Launches sent, repeated ones included, by what was known of them at once.",
    ),
    Family("machines_asked", COUNTER, ("api",), "Machines that launches asked for, at the most."),
    Family(
        "machines_brought",
        COUNTER,
        ("api",),
        "Machines that came of launches, late ones and replacements included.",
    ),
    Family("returns", COUNTER, (), "Returns that HostFactory asked for."),
    Family("machines_returned", COUNTER, (), "Machines that HostFactory gave back."),
    Family(
        "machines_interrupted",
        COUNTER,
        (),
        "Machines that were gone, or said to be taken back, when getReturnRequests first heard of it.",
    ),
    Family(
        "housekeeping_tasks",
        COUNTER,
        ("task", "outcome"),
        "Things that housekeeping set about, by what came of it: done, busy or failed.",
    ),
)

_SHOWN = (
    Family("open_requests", GAUGE, (), "Requests that are not closed."),
    Family("machines", GAUGE, ("template", "price_type"), "Machines that may run, as far as the records know."),
    Family(
        "cost_per_hour",
        GAUGE,
        ("template", "currency"),
        "What these machines cost by the hour, as far as prices are known.",
    ),
    Family("unfinished_returns", GAUGE, (), "Returns of which not all machines are gone."),
    Family("open_breakers", GAUGE, (), "Services in a region that are not asked, because they did not answer."),
    Family("refused_pools", GAUGE, (), "Places that are not asked for machines, because they refused lately."),
    Family("damaged_records", GAUGE, (), "Records that were set aside, because they could not be read."),
)

# What is counted when it happens, and what is read from the state when it is told.
COUNTED = {family.name: family for family in _COUNTED}
SHOWN = {family.name: family for family in _SHOWN}
