"""The contract kit can fail: for each of its tests there is a provider that breaks the promise and is caught."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from broken_providers import BROKEN, RaisesWhatItLikes
from simulated_cloud import SimulatedBench

from hfplugin.errors import ConfigurationError, HFPluginError
from hfplugin.providers.base.contract import Bench, ProviderContract
from hfplugin.providers.base.contract.bench import acting_as
from hfplugin.providers.base.contract.processes import at_once
from hfplugin.providers.base.provider import Order
from hfplugin.providers.simulated.provider import SimulatedProvider

pytest_plugins = ["pytester"]

CAUGHT = (AssertionError, HFPluginError, pytest.fail.Exception)

CASES = [(broken, test) for broken, tests in BROKEN.items() for test in tests]


def run(test: str, bench: Bench) -> None:
    getattr(ProviderContract(), f"test_{test}")(bench)


@pytest.mark.parametrize(
    ("broken", "test"), CASES, ids=lambda case: case if isinstance(case, str) else case.__name__
)
def test_a_broken_promise_is_caught(broken: type[SimulatedProvider], test: str, tmp_path: Path) -> None:
    source, _, name = test.rpartition(":")
    bench = SimulatedBench(tmp_path, broken, source or "machines")
    bench.call_seconds = 0.5
    with pytest.raises(CAUGHT):
        run(name, bench)


def test_every_promise_is_broken_by_somebody() -> None:
    promises = {name.removeprefix("test_") for name in dir(ProviderContract) if name.startswith("test_")}
    assert {test.rpartition(":")[2] for _, test in CASES} == promises


@pytest.mark.parametrize(
    ("hook", "test"),
    [
        ("refuse", "a_throttled_launch_says_so"),
        ("limit", "a_launch_that_there_is_too_little_room_for_brings_what_there_is"),
        ("lose_answer", "a_launch_whose_answer_was_lost_is_found_and_launches_once_only"),
        ("cut_off", "nothing_is_seen_and_nothing_is_missing"),
        ("end", "a_machine_that_ends_by_itself_is_seen_to_have_ended"),
        ("interrupt", "a_machine_that_the_cloud_takes_back_is_told_and_no_other"),
        ("protect", "one_protected_machine_does_not_spoil_the_release_of_others"),
        ("tags", "a_machine_carries_the_tags_of_its_template"),
    ],
)
def test_what_a_bench_has_no_means_for_is_skipped_and_named(
    hook: str, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SimulatedBench, hook)
    with pytest.raises(pytest.skip.Exception, match=f"unproven for want of the hook `{hook}`: that "):
        run(test, SimulatedBench(tmp_path))


@pytest.mark.parametrize(
    ("template", "test"),
    [
        ("group_template", "a_source_replaces_nothing_that_is_given_back"),
        ("group_template", "a_source_is_neither_empty_nor_told_anything"),
        ("weighted_template", "machines_count_by_what_each_is_worth"),
        ("bad_template", "a_check_finds_a_bad_template_bad_and_says_what_to_do"),
    ],
)
def test_a_bench_without_a_template_leaves_what_that_proves_unproven(
    template: str, test: str, tmp_path: Path
) -> None:
    bench = SimulatedBench(tmp_path)
    setattr(bench, template, None)
    with pytest.raises(pytest.skip.Exception, match=f"unproven for want of the hook `{template}`: that "):
        run(test, bench)


def test_a_template_without_tags_proves_nothing_of_tags(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    bench.template = bench.template._replace(tags={})
    with pytest.raises(AssertionError, match="the bench's template needs tags"):
        run("a_machine_carries_the_tags_of_its_template", bench)


def test_what_a_provider_may_not_raise_is_named_with_the_method_and_shown(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path, RaisesWhatItLikes)
    said = "the provider's `gather` raised KeyError, which is no HFPluginError: 'no group'"
    with pytest.raises(AssertionError, match=re.escape(said)) as raised:
        run("a_settled_launch_has_no_source_and_asking_it_is_no_error", bench)
    assert isinstance(raised.value.__cause__, KeyError)


def test_where_every_machine_is_of_a_source_that_is_said(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path, source="group")
    for test in (
        "a_settled_launch_has_no_source_and_asking_it_is_no_error",
        "an_order_of_all_or_nothing_brings_all_or_nothing",
    ):
        with pytest.raises(pytest.skip.Exception, match="machines come from a source"):
            run(test, bench)


def test_a_template_that_cannot_be_all_or_nothing_leaves_that_unproven(tmp_path: Path) -> None:
    class NeverWhole(SimulatedProvider):
        def plan(self, order: Order) -> Any:
            if order.template.all_or_nothing:
                raise ConfigurationError("boxes come one by one")
            return super().plan(order)

    with pytest.raises(pytest.skip.Exception, match=r"cannot be had so: .* one by one"):
        run("an_order_of_all_or_nothing_brings_all_or_nothing", SimulatedBench(tmp_path, NeverWhole))


def test_a_bench_acts_as_somebody_else_for_a_while_only(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    own = bench.context
    with pytest.raises(RuntimeError), acting_as(bench, provider_name="other"):
        assert bench.context.provider_name == "other"
        raise RuntimeError
    assert bench.context == own


def test_a_source_that_replaces_nothing_leaves_that_unproven(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    bench.group_replaces = False
    with pytest.raises(pytest.skip.Exception, match="this source replaces nothing"):
        run("a_return_that_is_repeated_lowers_the_target_once", bench)


def test_calls_at_the_same_time_are_made_by_processes_of_their_own(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    here = (os.getpid(), id(bench.provider))
    [one, other] = at_once(bench, [lambda: (os.getpid(), id(bench.provider))] * 2)
    assert len({here[0], one[0], other[0]}) == 3
    assert here == (os.getpid(), id(bench.provider))


def test_a_cloud_in_memory_is_called_by_threads_which_prove_less(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    bench.is_in_memory = True
    assert at_once(bench, [lambda: (os.getpid(), id(bench.provider))]) == [(os.getpid(), id(bench.provider))]
    with pytest.raises(pytest.skip.Exception, match="unproven, for this cloud is in memory"):
        run("releases_by_many_at_once_end_what_each_was_asked", bench)


def test_what_fails_in_a_process_of_its_own_is_shown(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("the lock is lost")

    with pytest.raises(AssertionError, match="RuntimeError: the lock is lost"):
        at_once(SimulatedBench(tmp_path), [fail])


def test_an_author_is_told_that_the_fixture_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from hfplugin.providers.base.contract import ProviderContract\nclass TestMine(ProviderContract): pass\n"
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").stdout.fnmatch_lines(
        ["*give TestMine a fixture named bench*"]
    )
