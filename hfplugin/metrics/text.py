"""Metrics as OpenMetrics text.

Prometheus's older text format, all that a node exporter's textfile collector reads, takes it as well: to its
parser UNIT and EOF are comments, and a counter, whose TYPE line names it without `_total`, is a sample without a
type. What it does not take is not used: types that it does not know, exemplars, times.
Source: https://prometheus.io/docs/specs/om/open_metrics_spec/; prometheus/common expfmt/text_parse.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from hfplugin.metrics.families import COUNTED, COUNTER, HISTOGRAM, SHOWN, Family
from hfplugin.metrics.totals import Series

_PREFIX = "hfplugin_"

Labels = Mapping[str, str]


def rendered(provider: str, numbers: Mapping[Series, Sequence[float]]) -> str:
    """Give all families with the numbers of their series; one without labels is 0 when nothing is known of it."""
    lines: list[str] = []
    for family in (*COUNTED.values(), *SHOWN.values()):
        series = {each.labels: values for each, values in numbers.items() if each.family == family.name}
        if not family.labels:
            series.setdefault((), [0] * family.width)
        lines += _described(family)
        for labels in sorted(series):
            named = {"provider": provider} | dict(zip(family.labels, labels, strict=True))
            lines += _samples(family, named, series[labels])
    return "\n".join([*lines, "# EOF", ""])


def _described(family: Family) -> Iterator[str]:
    name = f"{_PREFIX}{family.name}"
    yield f"# TYPE {name} {family.kind}"
    if family.unit:
        yield f"# UNIT {name} {family.unit}"
    yield f"# HELP {name} {_escaped(family.help)}"


def _samples(family: Family, labels: Labels, numbers: Sequence[float]) -> Iterator[str]:
    name = f"{_PREFIX}{family.name}"
    if family.kind != HISTOGRAM:
        suffix = "_total" if family.kind == COUNTER else ""
        yield _sample(f"{name}{suffix}", labels, numbers[0])
        return
    total, *seen = numbers
    bounds = [*map(repr, family.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(seen), strict=True):
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, count)
    yield _sample(f"{name}_count", labels, sum(seen))
    yield _sample(f"{name}_sum", labels, total)


def _sample(name: str, labels: Labels, number: float) -> str:
    named = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{named}}} {number!r}"


def _escaped(text: str) -> str:
    # A provider's name that is not UTF-8 comes with half surrogate pairs: they become question marks.
    text = text.encode(errors="replace").decode()
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
