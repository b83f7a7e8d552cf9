"""Machines: seen as they are, never missing on a guess, given back for good, known for whose they are."""

from __future__ import annotations

from functools import partial

import pytest

from hfplugin.providers.base.contract.bench import (
    Bench,
    Brought,
    acting_as,
    await_gone,
    bring,
    of_request,
    released,
    states,
    template_of,
    unknown_id,
    until,
)
from hfplugin.providers.base.contract.processes import at_once, require_processes
from hfplugin.providers.base.provider import Host, Located, NoticeKind, Observation

# No cloud has an id like this.
_MALFORMED = "no machine's id"


class MachineContract:
    """What `observe`, `release`, `reclaimed`, the searches, `inventory` and `check` promise."""

    def test_what_is_there_is_seen_and_what_is_not_is_missing(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        strange = [unknown_id(brought.machines[0].id, brought.ids), _MALFORMED]
        view = until(
            bench,
            "new machines are seen",
            lambda: bench.watched.observe([*brought.located(), *self._at(brought, *strange)]),
            lambda seen: seen.seen.keys() >= brought.ids,
        )
        assert view.seen.keys() == brought.ids
        assert view.missing == {*strange}

    def test_nothing_is_observed_of_nothing(self, bench: Bench) -> None:
        assert bench.watched.observe([]) == Observation()

    def test_a_machine_of_another_account_is_not_missing(self, bench: Bench) -> None:
        brought = bring(bench, 1)
        [machine] = brought.located()
        if not machine.account:
            pytest.skip("unproven, for this cloud tells no accounts: that another's machines are not missing")
        foreign = machine._replace(id=unknown_id(machine.id, brought.ids), account=f"{machine.account}0")
        view = bench.watched.observe([foreign])
        assert not view.missing and not view.seen
        assert view.failures, "it could not be observed, and nothing says why"
        assert foreign.id not in bench.watched.release([foreign]).missing

    def test_a_machine_that_ends_by_itself_is_seen_to_have_ended(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        ended, other = sorted(brought.ids)
        bench.end(ended)
        seen = until(
            bench,
            "the machine is seen to have ended",
            lambda: states(bench, brought.located()),
            lambda seen: seen[ended].is_going,
        )
        assert seen[other].is_starting_or_up

    def test_what_is_released_ends_and_nothing_else_does(self, bench: Bench) -> None:
        brought = bring(bench, 3)
        first, *others = sorted(brought.ids)
        answer = released(bench, brought, [first])
        assert answer.going == {first}
        assert not answer.missing and not answer.refused
        self._await_end(bench, brought, {first})
        assert bench.alive() == set(others)
        await_gone(bench, brought, first)

    def test_what_is_released_again_counts_as_ended_and_nothing_more_ends(self, bench: Bench) -> None:
        brought = bring(bench, 3)
        first = min(brought.ids)
        released(bench, brought, [first])
        self._await_end(bench, brought, {first})
        answer = released(bench, brought, [first])
        assert first in answer.going | answer.missing
        assert not answer.refused
        bench.advance(1)
        assert bench.alive() == brought.ids - {first}

    def test_one_unknown_machine_does_not_spoil_the_release_of_others(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        strange = {unknown_id(brought.machines[0].id, brought.ids), _MALFORMED}
        answer = bench.watched.release([*self._at(brought, *strange), *brought.located()])
        assert answer.going == brought.ids
        assert answer.missing == strange

    def test_one_protected_machine_does_not_spoil_the_release_of_others(self, bench: Bench) -> None:
        brought = bring(bench, 3)
        kept = min(brought.ids)
        bench.protect(kept)
        answer = released(bench, brought, brought.ids)
        assert answer.refused.keys() == {kept}
        assert answer.going == brought.ids - {kept}
        self._await_end(bench, brought, brought.ids - {kept})
        assert bench.alive() == {kept}

    def test_releases_by_many_at_once_end_what_each_was_asked(self, bench: Bench) -> None:
        brought = bring(bench, 6)
        kept, *others = sorted(brought.ids)
        # None has all of them: what one call undoes, no other makes good.
        parts = [others[:3], others[2:], [others[0], *others[3:]]]
        answers = at_once(bench, [partial(released, bench, brought, ids, others) for ids in parts])
        for asked, answer in zip(parts, answers, strict=True):
            assert answer.going | answer.missing == set(asked)
        self._await_end(bench, brought, set(others))
        assert bench.alive() == {kept}
        require_processes(bench)

    def test_nothing_is_said_to_be_reclaimed_of_healthy_machines(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        answer = bench.watched.reclaimed(brought.located())
        assert (answer.notices, answer.failures) == ((), ())

    def test_a_machine_that_the_cloud_takes_back_is_told_and_no_other(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        taken, other = sorted(brought.ids)
        bench.interrupt(taken)
        answer = until(
            bench,
            "the cloud's word is told",
            lambda: bench.watched.reclaimed(brought.located()),
            lambda seen: bool(seen.notices),
        )
        assert {notice.machine_id for notice in answer.notices} == {taken}
        for notice in answer.notices:
            assert notice.told_at > 0 and notice.reason
            assert (notice.ends_at == 0) == (notice.kind is NoticeKind.GONE)
        bench.watched.acknowledge(answer.receipts)
        bench.watched.acknowledge(answer.receipts)
        assert not bench.watched.reclaimed(brought.located(other)).notices

    def test_the_inventory_tells_whose_every_living_machine_is(self, bench: Bench) -> None:
        brought, there = bring(bench, 2), f"{bench.context.installation}x"
        with acting_as(bench, installation=there):
            other = bring(bench, 1)
        found = bench.watched.inventory()
        assert not found.failures
        assert {machine.id for machine in found.machines} == brought.ids | other.ids
        for machine in found.machines:
            mine = brought if machine.id in brought.ids else other
            assert machine.request_id == mine.order.request_id
            assert machine.template_id == mine.order.template.id
            assert machine.provider_name == bench.context.provider_name
            assert machine.installation == (bench.context.installation if mine is brought else there)
            assert machine.attempt == mine.order.attempt
            assert machine.units == mine.launch.units_of(machine.machine_type)

    def test_what_another_provider_launched_is_not_ours(self, bench: Bench) -> None:
        mine = bring(bench, 1)
        with acting_as(bench, provider_name=f"{bench.context.provider_name}x"):
            theirs = bring(bench, 1)
        of_both = [mine.order.request_id, theirs.order.request_id]
        for found in (bench.watched.inventory(), bench.watched.find_requests(of_both)):
            assert {machine.id for machine in found.machines} == mine.ids
            assert {source.request_id for source in found.sources} <= {mine.order.request_id}
        hosts = [Host("", machine_id) for machine_id in (*mine.ids, *theirs.ids)]
        assert [each.is_ours for each in bench.watched.find_hosts(hosts)] == [True, False]

    def test_a_machine_carries_the_tags_of_its_template(self, bench: Bench) -> None:
        for machine_id in bring(bench, 1).ids:
            tags = bench.tags(machine_id)
            assert bench.template.tags, "to prove this, the bench's template needs tags"
            assert bench.template.tags.items() <= tags.items()

    def test_the_inventory_holds_nothing_that_was_given_back(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        first, other = sorted(brought.ids)
        released(bench, brought, [first])
        self._await_end(bench, brought, {first})
        assert {machine.id for machine in bench.watched.inventory().machines} == {other}

    def test_a_lost_request_is_found_with_its_ended_machines(self, bench: Bench) -> None:
        brought, other = bring(bench, 2), bring(bench, 1)
        first = min(brought.ids)
        released(bench, brought, [first])
        self._await_end(bench, brought, {first})
        found = bench.watched.find_requests([brought.order.request_id])
        assert of_request(found, brought.order.request_id) == brought.ids
        assert not of_request(found, other.order.request_id)
        assert not bench.watched.find_requests([f"{brought.order.request_id}0"]).machines

    def test_hosts_are_found_by_id_and_by_name_in_the_order_asked(self, bench: Bench) -> None:
        brought = bring(bench, 2)
        named = until(
            bench,
            "the machines have names",
            lambda: list(bench.watched.observe(brought.located()).seen.values()),
            lambda seen: len(seen) == 2 and all(each.name for each in seen),
        )
        one, other = named
        strange = unknown_id(one.id, brought.ids)
        hosts = [Host(one.name, ""), Host("nobody.invalid", ""), Host("", other.id), Host("", strange)]
        found = bench.watched.find_hosts(hosts)
        assert [each.sighting.id if each.sighting else "" for each in found] == [one.id, "", other.id, ""]
        assert [each.is_ours for each in found] == [True, False, True, False]
        assert all(each.is_complete for each in found)

    def test_a_check_finds_a_good_template_good_and_launches_nothing(self, bench: Bench) -> None:
        checks = bench.watched.check([bench.template])
        assert checks
        assert [check for check in checks if not check.is_ok] == []
        assert all(check.subject and check.detail for check in checks)
        assert bench.alive() == set()

    def test_a_check_finds_a_bad_template_bad_and_says_what_to_do(self, bench: Bench) -> None:
        bad = template_of(bench, "bad_template")
        failed = [check for check in bench.watched.check([bad]) if not check.is_ok]
        assert failed, "the bench's bad template is found good"
        assert all(check.subject and check.detail and check.remedy for check in failed)

    @staticmethod
    def _at(brought: Brought, *ids: str) -> list[Located]:
        """Give other addresses where a launch's machines are."""
        [first, *_] = brought.located()
        return [first._replace(id=machine_id) for machine_id in ids]

    @staticmethod
    def _await_end(bench: Bench, brought: Brought, ids: set[str]) -> None:
        until(
            bench,
            "what was given back ends",
            lambda: states(bench, brought.located(*ids)),
            lambda seen: len(seen) == len(ids) and all(state.is_going for state in seen.values()),
        )
        until(bench, "what was given back lives no more", bench.alive, lambda alive: not alive & ids)
