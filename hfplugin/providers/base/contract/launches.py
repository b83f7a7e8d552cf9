"""Launches: once for each token, never more than was asked, and refusals that prove what they claim."""

from __future__ import annotations

from typing import NoReturn

import pytest

from hfplugin.errors import ConfigurationError, ErrorKind
from hfplugin.model import Launch, LaunchState, MachineState, Refusal
from hfplugin.providers.base.contract.bench import (
    Bench,
    await_gone,
    bring,
    frozen,
    order,
    planned,
    released,
    sent,
    template_of,
    until,
    worth,
)
from hfplugin.providers.base.contract.processes import at_once, require_processes
from hfplugin.providers.base.provider import Outcome, Plan


class LaunchContract:
    """What `plan`, `launch` and `find_launched` promise."""

    def test_a_plan_asks_for_what_was_ordered_and_launches_nothing(self, bench: Bench) -> None:
        plan = planned(bench, order(bench, 5))
        most = max([plan.weight, *plan.weights.values()])
        assert 1 <= plan.units < 5 + most
        assert plan.region and plan.place
        assert bench.alive() == set()

    def test_a_launch_brings_what_was_asked(self, bench: Bench) -> None:
        brought = bring(bench, 5)
        assert worth(brought.launch, brought.machines) == brought.launch.units
        assert len(brought.ids) == len(brought.machines)
        assert bench.alive() == brought.ids
        assert {machine.region for machine in brought.machines} == {brought.launch.region}

    def test_a_machine_becomes_ready_with_a_name_and_an_address(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        view = until(
            bench,
            "every machine runs",
            lambda: bench.watched.observe(brought.located()),
            lambda seen: [each.state for each in seen.seen.values()] == [MachineState.RUNNING] * len(brought.ids),
        )
        bench.advance(2)  # a launch time is a whole second
        again = bench.watched.observe(brought.located())
        told = {each.id: (each.name, each.private_ip, each.launch_time) for each in view.seen.values()}
        assert all(name and address for name, address, _ in told.values())
        assert len({name for name, *_ in told.values()}) == len(told), "two hosts of one name"
        assert {each.id: (each.name, each.private_ip, each.launch_time) for each in again.seen.values()} == told

    def test_a_launch_sent_again_brings_the_same_machines(self, bench: Bench) -> None:
        brought = bring(bench, 3)
        for state in (LaunchState.PLANNED, LaunchState.UNKNOWN):
            bench.renew()
            again, outcome = sent(bench, brought.launch._replace(state=state, resource_id=""))
            if brought.launch.is_delivering:
                assert (outcome.state, again.resource_id) == (LaunchState.ACCEPTED, brought.launch.resource_id)
            else:
                assert outcome.state is LaunchState.SETTLED
                assert {machine.id for machine in outcome.sightings} == brought.ids
        bench.advance(1)
        assert bench.alive() == brought.ids

    def test_a_launch_sent_again_when_its_machines_are_gone_brings_no_others(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        released(bench, brought, brought.ids)
        await_gone(bench, brought)
        bench.renew()
        _, outcome = sent(bench, brought.launch._replace(state=LaunchState.UNKNOWN, resource_id=""))
        assert {machine.id for machine in outcome.sightings} <= brought.ids
        bench.advance(1)
        assert bench.alive() == set()

    def test_a_settled_launch_has_no_source_and_asking_it_is_no_error(self, bench: Bench) -> None:
        self._require_no_source(bench)
        brought = bring(bench, 2)
        launch = brought.launch
        if launch.is_delivering:
            self._skip_source()
        assert bench.watched.gather(launch).state is LaunchState.SETTLED
        bench.watched.stop(launch, {})
        bench.advance(1)
        assert bench.alive() == brought.ids
        released(bench, brought, brought.ids)
        await_gone(bench, brought)
        for _ in range(2):
            bench.watched.remove(launch, launch.remains)

    def test_a_launch_sent_by_many_at_once_is_carried_out_once(self, bench: Bench) -> None:
        made = order(bench, 2)
        plan = planned(bench, made)
        launch = frozen(bench, made, plan)
        outcomes = at_once(bench, [lambda: bench.watched.launch(launch, plan.user_data)] * 4)
        assert LaunchState.REFUSED not in {outcome.state for outcome in outcomes}, outcomes
        until(bench, "the machines are there", bench.alive, lambda ids: len(ids) >= plan.machines)
        assert len(bench.alive()) == plan.machines
        require_processes(bench)

    def test_other_parameters_under_a_used_token_launch_nothing_more(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        other = planned(bench, brought.order._replace(units=4))
        changed = brought.launch._replace(
            params=other.params, units=other.units, state=LaunchState.UNKNOWN, resource_id=""
        )
        outcome = bench.watched.launch(changed, other.user_data)
        bench.advance(1)
        assert bench.alive() == brought.ids
        assert outcome.state is not LaunchState.REFUSED, "the token was used: something was launched under it"
        is_for_good = ErrorKind.INVALID in {error.kind for error in outcome.errors}
        assert outcome.look_only or not is_for_good, "to send it again will tell nothing more"

    def test_another_token_brings_other_machines(self, bench: Bench) -> None:
        one, other = bring(bench, 2), bring(bench, 2)
        assert not one.ids & other.ids
        assert bench.alive() == one.ids | other.ids

    def test_a_launch_that_there_is_too_little_room_for_brings_what_there_is(self, bench: Bench) -> None:
        weight = planned(bench, order(bench, 4)).weight
        bench.limit(2)
        made = order(bench, 4 * weight)
        plan = planned(bench, made)
        launch, outcome = sent(bench, frozen(bench, made, plan), plan.user_data)
        if launch.is_delivering:
            until(
                bench,
                "the source says why it brings no more",
                lambda: bench.watched.gather(launch),
                lambda seen: bool(seen.errors) and len(seen.sightings) == 2,
            )
        else:
            assert (outcome.state, len(outcome.sightings)) == (LaunchState.SETTLED, 2)
        until(bench, "two live", bench.alive, lambda ids: len(ids) >= 2)
        assert len(bench.alive()) == 2

    def test_an_order_of_all_or_nothing_brings_all_or_nothing(self, bench: Bench) -> None:
        self._require_no_source(bench)
        whole = bench.template._replace(all_or_nothing=True)
        try:
            weight = planned(bench, order(bench, 4, whole)).weight
        except ConfigurationError as error:
            pytest.skip(f"unproven, for this template cannot be had so: that all is brought or nothing ({error})")
        brought = bring(bench, 4 * weight, whole)
        if brought.launch.is_delivering:
            self._skip_source()
        assert len(brought.ids) == 4
        bench.limit(6)
        made = order(bench, 4 * weight, whole)
        plan = planned(bench, made)
        _, outcome = sent(bench, frozen(bench, made, plan), plan.user_data)
        assert (outcome.state, outcome.sightings) == (LaunchState.REFUSED, ())
        bench.advance(1)
        assert bench.alive() == brought.ids

    def test_machines_count_by_what_each_is_worth(self, bench: Bench) -> None:
        brought = bring(bench, 4, template_of(bench, "weighted_template"))
        assert len(brought.ids) < 4, "each is worth more than one unit"
        assert bench.alive() == brought.ids
        assert worth(brought.launch, brought.machines) == brought.launch.units
        for machine in bench.watched.inventory().machines:
            assert machine.units == brought.launch.units_of(machine.machine_type) > 1

    def test_a_refusal_for_capacity_says_so_and_the_next_plan_goes_elsewhere(self, bench: Bench) -> None:
        self._refused(bench, ErrorKind.CAPACITY)

    def test_a_refusal_for_a_quota_says_so_and_the_next_plan_goes_elsewhere(self, bench: Bench) -> None:
        self._refused(bench, ErrorKind.QUOTA)

    def test_a_throttled_launch_says_so(self, bench: Bench) -> None:
        self._refused(bench, ErrorKind.THROTTLED)

    def test_a_launch_without_the_right_to_it_says_so(self, bench: Bench) -> None:
        self._refused(bench, ErrorKind.AUTH)

    def test_a_launch_that_makes_no_sense_says_so(self, bench: Bench) -> None:
        self._refused(bench, ErrorKind.INVALID)

    @staticmethod
    def _require_no_source(bench: Bench) -> None:
        """Skip the test, before anything is launched, where all machines come from sources."""
        if bench.template == bench.group_template:
            LaunchContract._skip_source()

    @staticmethod
    def _skip_source() -> NoReturn:
        pytest.skip("unproven, for this bench's machines come from a source: what a launch without one promises")

    def _refused(self, bench: Bench, kind: ErrorKind) -> None:
        made = order(bench, 2)
        plan = planned(bench, made)
        bench.refuse(kind)
        launch, outcome = sent(bench, frozen(bench, made, plan), plan.user_data)
        errors = _reasons(bench, launch._replace(errors=()), outcome)
        assert kind in {error.kind for error in errors}, errors
        assert bench.alive() == set()
        if kind in (ErrorKind.CAPACITY, ErrorKind.QUOTA):
            past = launch._replace(errors=errors)
            following = bench.watched.plan(
                made._replace(attempt=2, past=(past,), exhausted=frozenset({launch.attempt}))
            )
            assert not isinstance(following, Plan) or following.place != launch.place

    def test_a_refusal_of_a_launch_that_was_sent_before_proves_nothing(self, bench: Bench) -> None:
        made = order(bench, 2)
        plan = planned(bench, made)
        bench.refuse(ErrorKind.THROTTLED)
        launch = frozen(bench, made, plan)._replace(state=LaunchState.UNKNOWN)
        outcome = bench.watched.launch(launch, plan.user_data)
        assert outcome.state is LaunchState.UNKNOWN
        assert not outcome.look_only, "to send it again may tell more"

    def test_a_launch_whose_answer_was_lost_is_found_and_launches_once_only(self, bench: Bench) -> None:
        made = order(bench, 3)
        plan = planned(bench, made)
        bench.lose_answer()
        launch, outcome = sent(bench, frozen(bench, made, plan), plan.user_data)
        assert outcome.state is LaunchState.UNKNOWN, "only a definite answer says what came of a launch"
        assert {error.kind for error in outcome.errors} == {ErrorKind.TRANSIENT}
        bench.renew()
        found = until(
            bench,
            "what the launch brought is found",
            lambda: bench.watched.find_launched(launch, made.request_id),
            lambda seen: seen.state is LaunchState.ACCEPTED or len(seen.sightings) == plan.machines,
        )
        again, outcome = sent(bench, launch, plan.user_data)
        if found.state is LaunchState.ACCEPTED:
            assert again.resource_id == found.resource_id
        else:
            assert {machine.id for machine in outcome.sightings} == {machine.id for machine in found.sightings}
        until(bench, "the machines are there", bench.alive, lambda ids: len(ids) >= plan.machines)
        assert len(bench.alive()) == plan.machines

    def test_looking_for_a_launch_that_was_never_sent_finds_and_launches_nothing(self, bench: Bench) -> None:
        made = order(bench, 2)
        launch = frozen(bench, made, planned(bench, made))._replace(state=LaunchState.UNKNOWN)
        assert bench.watched.find_launched(launch, made.request_id) == Outcome(LaunchState.UNKNOWN)
        assert bench.alive() == set()


def _reasons(bench: Bench, launch: Launch, outcome: Outcome) -> tuple[Refusal, ...]:
    """Give why a launch brought nothing. A source may be accepted, and say so only when it is looked at."""
    if not launch.is_delivering:
        assert (outcome.state, outcome.sightings) == (LaunchState.REFUSED, ())
        return outcome.errors
    look = until(
        bench,
        "the source says why it brings nothing",
        lambda: bench.watched.gather(launch),
        lambda seen: bool(seen.errors),
    )
    return look.errors
