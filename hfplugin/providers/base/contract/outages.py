"""A cloud that does not answer: nothing is believed of it, and no call waits for it longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import LaunchState
from hfplugin.providers.base.contract.bench import Bench, Brought, bring, frozen, order, planned, template_of
from hfplugin.providers.base.provider import Host

T = TypeVar("T")


class OutageContract:
    """What each method promises while the cloud does not answer, and how soon it says so."""

    def test_a_launch_into_an_outage_is_of_unknown_outcome(self, bench: Bench) -> None:
        made = order(bench, 2)
        plan = planned(bench, made)
        bench.cut_off()
        outcome = within(bench, lambda: bench.watched.launch(frozen(bench, made, plan), plan.user_data))
        assert outcome.state is LaunchState.UNKNOWN
        assert not outcome.look_only
        assert {error.kind for error in outcome.errors} == {ErrorKind.TRANSIENT}

    def test_a_launch_is_not_looked_for_in_vain(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        unknown = brought.launch._replace(state=LaunchState.UNKNOWN)
        with pytest.raises(ProviderError):
            within(bench, lambda: bench.watched.find_launched(unknown, brought.order.request_id))

    def test_nothing_is_seen_and_nothing_is_missing(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        view = within(bench, lambda: bench.watched.observe(brought.located()))
        assert (view.seen, view.missing) == ({}, frozenset())
        assert {failure.kind for failure in view.failures} == {ErrorKind.TRANSIENT}

    def test_nothing_counts_as_given_back(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        try:
            answer = within(bench, lambda: bench.watched.release(brought.located()))
        except ProviderError:
            return
        assert (answer.going, answer.missing) == (frozenset(), frozenset())

    def test_nothing_is_said_to_be_reclaimed(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        answer = within(bench, lambda: bench.watched.reclaimed(brought.located()))
        assert answer.notices == ()
        assert within(bench, lambda: bench.watched.acknowledge(answer.receipts)) is None

    def test_an_inventory_says_what_it_lacks(self, bench: Bench) -> None:
        self._cut_off(bench)
        found = within(bench, bench.watched.inventory)
        assert found.failures
        assert (found.machines, found.sources) == ((), ())

    def test_no_host_is_looked_for_in_vain(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        with pytest.raises(ProviderError):
            within(bench, lambda: bench.watched.find_hosts([Host("", brought.machines[0].id)]))

    def test_no_request_is_looked_for_in_vain(self, bench: Bench) -> None:
        brought = self._cut_off(bench)
        with pytest.raises(ProviderError):
            within(bench, lambda: bench.watched.find_requests([brought.order.request_id]))

    def test_a_source_is_neither_empty_nor_told_anything(self, bench: Bench) -> None:
        brought = self._cut_off(bench, bring(bench, 2, template_of(bench, "group_template")))
        for call in (
            lambda: bench.watched.gather(brought.launch),
            lambda: bench.watched.stop(brought.launch, {}),
            lambda: bench.watched.remove(brought.launch, brought.launch.remains),
        ):
            with pytest.raises(ProviderError):
                within(bench, call)

    def test_a_check_says_that_the_cloud_does_not_answer(self, bench: Bench) -> None:
        self._cut_off(bench)
        checks = within(bench, lambda: bench.watched.check([bench.template]))
        assert [check for check in checks if not check.is_ok and check.remedy]

    @staticmethod
    def _cut_off(bench: Bench, brought: Brought | None = None) -> Brought:
        """Let machines run in a cloud that does not answer any more."""
        brought = brought or bring(bench, 2)
        bench.cut_off()
        return brought


def within(bench: Bench, call: Callable[[], T]) -> T:
    """Give what a call gives, or raise what it raises; fail when it takes longer than a call may."""
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(call())
        except (HFPluginError, AssertionError) as error:  # the other is how a watched call breaks its promise
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)  # one that hangs must not keep pytest from ending
    began = time.monotonic()
    thread.start()
    thread.join(bench.call_seconds)
    assert not thread.is_alive(), f"the call still waits after {time.monotonic() - began:.0f} s"
    if raised:
        raise raised[0]
    return given[0]
