"""What is counted in whole calls; that nothing is lost or doubled; the text, as other parsers read."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from front_door import call
from player import HostFactory, demand, template
from prometheus_client import Metric
from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics

from hfplugin.emulator import REGION, Emulator
from hfplugin.errors import StateError
from hfplugin.metrics import exposition, journal
from hfplugin.metrics.families import COUNTED, HISTOGRAM, SHOWN
from hfplugin.metrics.journal import Journals
from hfplugin.metrics.text import rendered
from hfplugin.metrics.totals import Series, Totals
from hfplugin.store import FileStore

HOST = "management1"


class Metrics:
    """A text of metrics, as OpenMetrics' own parser reads it."""

    def __init__(self, text: str) -> None:
        read: Iterable[Metric] = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        self.families = {family.name: family for family in read}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def all(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Give the samples of a name, by the values of these labels, each summed over all others."""
        found: dict[tuple[str, ...], float] = {}
        for sample in self.samples:
            if sample.name == f"hfplugin_{name}":
                key = tuple(sample.labels[label] for label in labels)
                found[key] = found.get(key, 0) + sample.value
        return found

    def one(self, name: str, **labels: str) -> float:
        """Give the sum of the samples of a name that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"hfplugin_{name}" and labels.items() <= sample.labels.items()
        )


def told(hostfactory: HostFactory) -> Metrics:
    done = call("metrics", environment=hostfactory.environment)
    assert (done.status, done.stderr) == (0, ""), done
    return Metrics(done.stdout)


def make_due(hostfactory: HostFactory) -> None:
    os.utime(hostfactory.state / "due", (1, 1))


# What is counted.


def test_a_life_of_machines_is_counted_as_it_happened(hostfactory: HostFactory) -> None:
    machines = hostfactory.machines("small", 2)
    hostfactory.returned(machines[0])
    hostfactory.refused("requestMachines", demand("nothing", 1))
    metrics = told(hostfactory)
    assert metrics.all("verb_calls_total", "verb", "status") == {
        ("requestMachines", "0"): 1,
        ("requestMachines", "1"): 1,
        ("getRequestStatus", "0"): 2,
        ("requestReturnMachines", "0"): 1,
    }
    assert metrics.one("verb_seconds_count", verb="getRequestStatus") == 2
    assert 0 < metrics.one("verb_seconds_sum", verb="getRequestStatus") < 120
    assert metrics.all("launches_total", "api", "outcome") == {("RunInstances", "settled"): 1}
    assert metrics.all("machines_asked_total", "api") == {("RunInstances",): 2}
    assert metrics.all("machines_brought_total", "api") == {("RunInstances",): 2}
    assert (metrics.one("returns_total"), metrics.one("machines_returned_total")) == (1, 1)
    assert metrics.one("machines_interrupted_total") == 0
    assert metrics.all("machines", "template", "price_type") == {("small", "ondemand"): 1}
    assert metrics.one("open_requests") == metrics.one("unfinished_returns") == metrics.one("damaged_records") == 0


def test_calls_to_the_cloud_are_counted_as_the_cloud_got_them(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    emulator.forget_calls()
    hostfactory.machines("small", 1)
    made = [each["action"] for each in emulator.calls()]
    metrics = told(hostfactory)
    assert metrics.all("cloud_calls_total", "action", "region", "outcome") == {
        (action, REGION, "ok"): made.count(action) for action in made
    }
    assert metrics.all("cloud_call_seconds_count", "action") == {(each,): made.count(each) for each in made}
    assert metrics.one("cloud_calls_total", service="sts") == 1


def test_failures_of_the_cloud_are_counted_by_kind_and_repeated_tries_apart(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    request_id = hostfactory.request("small", 1)
    emulator.fault("throttle", action="DescribeInstances", times=1)
    hostfactory.poll(request_id)
    emulator.fault("error", action="RunInstances", code="InsufficientInstanceCapacity", status=500)
    hostfactory.request("small", 1)
    metrics = told(hostfactory)
    assert metrics.one("cloud_retries_total", action="DescribeInstances") == 1
    assert metrics.one("cloud_calls_total", action="DescribeInstances", outcome="ok") == 1
    assert metrics.one("cloud_calls_total", action="RunInstances", outcome="capacity") == 1
    assert metrics.all("refusals_total", "kind") == {("capacity",): 1}
    assert metrics.one("launches_total", outcome="refused") == 1
    assert metrics.one("refused_pools") == 1


def test_a_cloud_that_does_not_answer_is_counted_and_so_is_what_is_held_back(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    request_id = hostfactory.request("small", 1)
    hostfactory.configure({"providerType": "aws", "aws": {"region": REGION, "endpointUrl": "http://127.0.0.1:9"}})
    for _ in range(5):
        hostfactory.poll(request_id)
    metrics = told(hostfactory)
    asked = metrics.all("cloud_calls_total", "outcome")
    assert asked[("transient",)] >= 1
    assert asked[("held_back",)] >= 1
    assert metrics.one("open_breakers") == 1
    assert metrics.one("open_requests") == 1


def test_a_machine_that_the_cloud_took_is_counted_once(hostfactory: HostFactory, emulator: Emulator) -> None:
    machines = hostfactory.machines("small", 2)
    emulator.terminate(machines[0]["machineId"])
    for _ in range(2):
        assert len(hostfactory.lost(*machines)) == 1
    hostfactory.returned(*machines)
    assert told(hostfactory).one("machines_interrupted_total") == 1


def test_housekeeping_counts_its_tasks_and_writes_the_file_at_most_once_a_minute(hostfactory: HostFactory) -> None:
    machines = hostfactory.machines("small", 1)
    hostfactory.give_back(*machines)
    make_due(hostfactory)
    hostfactory.templates()
    written = hostfactory.state / "metrics" / "hfplugin.prom"
    first = Metrics(written.read_text())
    assert first.all("housekeeping_tasks_total", "task", "outcome") == {("unfinished return", "done"): 1}
    assert first.one("verb_calls_total") == 4
    assert written.stat().st_mode & 0o777 == 0o644
    at = written.stat().st_mtime_ns
    make_due(hostfactory)
    hostfactory.templates()
    assert written.stat().st_mtime_ns == at
    os.utime(written, (at / 1e9 - 61, at / 1e9 - 61))
    make_due(hostfactory)
    hostfactory.templates()
    assert Metrics(written.read_text()).one("verb_calls_total") == 6


# What counting may cost.


def test_a_call_that_finds_no_state_leaves_none(tmp_path: Path) -> None:
    site = HostFactory(tmp_path)
    site.refused("getAvailableTemplates", {})
    assert not site.state.exists()
    done = call("metrics", environment=site.environment)
    assert Metrics(done.stdout).one("returns_total") == 0
    assert not site.state.exists()


@pytest.mark.parametrize("broken", ["journal", "totals", "directory"])
def test_what_is_broken_of_the_metrics_costs_metrics_and_no_call(hostfactory: HostFactory, broken: str) -> None:
    hostfactory.request("small", 1)
    directory = hostfactory.state / "metrics"
    if broken == "journal":
        (directory / f"{HOST}.jsonl").write_bytes(
            b'[["verb_calls",["x"\xff\n{}\n[1,["returns",[],-1],["returns",[],1]]\n'
        )
    elif broken == "totals":
        (directory / "totals.json").write_bytes(b"\xff{")
    else:
        (directory / f"{HOST}.jsonl").unlink()
        directory.rmdir()
        directory.write_text("")
    make_due(hostfactory)
    hostfactory.templates()
    metrics = told(hostfactory)
    assert metrics.one("verb_calls_total", verb="getAvailableTemplates") == (broken != "directory")
    assert metrics.one("returns_total") == (broken == "journal")


# That nothing is lost or doubled.


def test_concurrent_calls_are_counted_exactly_also_while_they_are_read_and_folded(
    hostfactory: HostFactory,
) -> None:
    hostfactory.templates()
    grow(hostfactory.state, 1000)
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(hostfactory.templates) for _ in range(40)]
        read = [told(hostfactory).one("verb_calls_total", verb="getAvailableTemplates") for _ in range(3)]
        for each in calls:
            each.result()
    last = told(hostfactory)
    assert last.one("verb_calls_total", verb="getAvailableTemplates") == 41
    assert last.one("verb_seconds_count", verb="getAvailableTemplates") == 41
    assert read == sorted(read)
    assert last.one("returns_total") == 1000


def test_a_journal_that_has_grown_is_folded_by_the_calls_themselves(hostfactory: HostFactory) -> None:
    hostfactory.templates()
    grow(hostfactory.state, 1000)
    hostfactory.templates()
    names = sorted(path.suffix for path in (hostfactory.state / "metrics").iterdir())
    assert names == [".folding"]
    hostfactory.templates()
    assert told(hostfactory).one("verb_calls_total") == 3


def test_hosts_that_share_a_state_are_counted_together(hostfactory: HostFactory) -> None:
    for host in ("management1", "management2"):
        hostfactory.environment["EGOSC_INSTANCE_HOST"] = host
        hostfactory.templates()
    assert len(list((hostfactory.state / "metrics").glob("*.jsonl"))) == 2
    assert told(hostfactory).one("verb_calls_total") == 2


def grow(state: Path, lines: int) -> None:
    """Add so many returns to the journal, in long lines."""
    line = json.dumps([["returns", [], 1], ["nothing", ["x" * 120], 1]]) + "\n"
    with (state / "metrics" / f"{HOST}.jsonl").open("a") as file:
        file.write(line * lines)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state with a journal."""
    (tmp_path / "metrics").mkdir()
    return tmp_path


def returns(state: Path) -> float:
    found = Journals(str(state)).totals(5.0).numbers
    return found.get(Series("returns", ()), [0])[0]


def folded(state: Path) -> None:
    Journals(str(state)).fold(HOST, 0)


def test_a_line_that_is_written_while_its_journal_is_set_aside_counts(state: Path) -> None:
    grow(state, 1)
    with (state / "metrics" / f"{HOST}.jsonl").open("a") as late:
        folded(state)
        folded(state)
        late.write('[["returns",[],1]]\n')
    folded(state)
    assert returns(state) == 2


def test_what_is_folded_is_small_and_counts_on(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_SETTLE_SECONDS", 0.0)
    for _ in range(3):
        grow(state, 1000)
        folded(state)
    folded(state)
    assert sorted(path.name for path in (state / "metrics").iterdir()) == ["totals.json"]
    assert (state / "metrics" / "totals.json").stat().st_size < 200
    assert returns(state) == 3000


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_fold_that_is_killed_anywhere_neither_loses_nor_doubles(
    state: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(journal, "_SETTLE_SECONDS", 0.0)
    counted, boundary, is_killed = 0, 0, True
    while is_killed:
        boundary += 1
        grow(state, 5)
        folded(state)
        grow(state, 2)
        counted += 7

        def fold() -> None:
            for _ in range(steps):
                folded(state)

        is_killed = killed_at(boundary, fold)
        assert returns(state) == counted, f"killed at boundary {boundary}"
    assert boundary > 10
    folded(state)
    assert returns(state) == counted


def killed_at(boundary: int, work: Callable[[], None]) -> bool:
    """Do it in a process that is killed at its n-th boundary, around anything that leaves a trace on disk."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = boundary

    def reach() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(done: Callable[..., Any]) -> Callable[..., Any]:
        def surrounded(*arguments: Any, **keywords: Any) -> Any:
            reach()
            answer = done(*arguments, **keywords)
            reach()
            return answer

        return surrounded

    for name in ("open", "fsync", "link", "rename", "unlink"):
        setattr(os, name, around(getattr(os, name)))
    try:
        work()
    finally:
        os._exit(0 if sys.exc_info()[0] is None else 1)


# The text.


def numbers(*series: tuple[str, tuple[str, ...]]) -> Mapping[Series, list[float]]:
    families = COUNTED | SHOWN
    return {Series(*one): [1] * families[one[0]].width for one in series}


def test_any_label_survives_both_parsers() -> None:
    hostile = 'a "quoted"\\back\nline, {b="c"} ü'
    text = rendered(hostile, numbers(("refusals", (hostile,)), ("machines", (hostile, "spot"))))
    read = Metrics(text)
    assert read.all("refusals_total", "provider", "kind") == {(hostile, hostile): 1}
    old = [sample for family in text_format.text_string_to_metric_families(text) for sample in family.samples]
    assert {"provider": hostile, "template": hostile, "price_type": "spot"} in [sample.labels for sample in old]


def test_the_older_text_format_gives_the_same_samples(hostfactory: HostFactory) -> None:
    hostfactory.machines("small", 1)
    text = exposition.exposition(str(hostfactory.state), hostfactory.name, 5.0)
    new = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in Metrics(text).samples}
    old = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_format.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert new == old


def test_every_family_is_described_and_typed() -> None:
    series = [(name, ("x",) * len(family.labels)) for name, family in (COUNTED | SHOWN).items()]
    read = Metrics(rendered("one", numbers(*series))).families
    assert {name.removeprefix("hfplugin_") for name in read} == {*COUNTED, *SHOWN}
    for name, family in (COUNTED | SHOWN).items():
        found = read[f"hfplugin_{name}"]
        assert (found.type, found.documentation, found.unit) == (family.kind, family.help, family.unit)
        assert found.samples
        if family.kind == HISTOGRAM:
            assert found.unit == "seconds"
            assert list(family.bounds) == sorted(set(family.bounds))


def test_a_provider_name_that_is_not_utf_8_can_be_told() -> None:
    assert Metrics(rendered("a\udcff", {})).all("returns_total", "provider") == {("a?",): 0}


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot write"):
        exposition.write(str(tmp_path / "nowhere" / "x.prom"), "")
    assert list(tmp_path.iterdir()) == []


def test_another_versions_totals_are_left_out() -> None:
    totals = Totals()
    totals.add_kept(
        [["returns", [], [1, 2]], ["returns", ["x"], [1]], ["verb_seconds", ["x"], [1]], ["new", [], [1]], 7]
    )
    assert totals.numbers == {}


def test_damaged_records_and_open_requests_are_seen_when_it_is_read(hostfactory: HostFactory) -> None:
    hostfactory.offer(template("", templateId="none", vmType="m5.large", subnetId=[], providerApi="EC2Fleet"))
    request_id = hostfactory.request("none", 1)
    (hostfactory.state / "requests" / f"{request_id}.json").write_text("{")
    list(FileStore(str(hostfactory.state)).requests.live())
    assert told(hostfactory).one("damaged_records") == 1
