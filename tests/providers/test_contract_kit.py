"""The contract kit can fail: for each of its tests there is a provider that breaks the promise and is caught."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from simulated_cloud import SimulatedBench

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal, Template
from hfplugin.providers.base.contract import Bench, ProviderContract
from hfplugin.providers.base.provider import (
    Check,
    Found,
    Host,
    Inventory,
    Located,
    Notice,
    NoticeKind,
    Observation,
    Order,
    Outcome,
    Plan,
    Reclaimed,
    Released,
    Source,
)
from hfplugin.providers.simulated.provider import SimulatedProvider

pytest_plugins = ["pytester"]

T = TypeVar("T")

CAUGHT = (AssertionError, HFPluginError, pytest.fail.Exception)


class AsksForMore(SimulatedProvider):
    def plan(self, order: Order) -> Any:
        return super().plan(order._replace(units=order.units + 1))


class BringsLess(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        outcome = super().launch(launch, user_data)
        return outcome._replace(sightings=outcome.sightings[:-1])


class NeverReady(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        view = super().observe(machines)
        return view._replace(
            seen={key: each._replace(state=MachineState.PENDING) for key, each in view.seen.items()}
        )


class RenamesHosts(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        view = super().observe(machines)
        return view._replace(seen={key: each._replace(name=uuid.uuid4().hex) for key, each in view.seen.items()})


class ForgetsTokens(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return super().launch(launch._replace(token=uuid.uuid4().hex), user_data)


class KnowsOneTokenOnly(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return super().launch(launch._replace(token="always", params=self._params(launch)), user_data)

    def _params(self, launch: Launch) -> Any:
        known = self.cloud.by_token("always")
        return known.asked["params"] if known else launch.params


class BelievesRefusals(SimulatedProvider):
    """Whatever goes wrong, it says that nothing was launched."""

    def launch(self, launch: Launch, user_data: str) -> Outcome:
        outcome = super().launch(launch, user_data)
        is_unknown = outcome.state is LaunchState.UNKNOWN
        return outcome._replace(state=LaunchState.REFUSED) if is_unknown else outcome


class TellsNoKinds(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        outcome = super().launch(launch, user_data)
        return outcome._replace(errors=tuple(each._replace(kind=ErrorKind.UNKNOWN) for each in outcome.errors))


class OverfillsPlaces(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        roomy = SimulatedBench(Path(self._context.cache.directory).parent)
        roomy.clock.time = self.cloud.clock.now()
        return roomy.provider.launch(launch, user_data)


class FindsNothing(SimulatedProvider):
    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        return Outcome(LaunchState.UNKNOWN)


class LaunchesToFind(SimulatedProvider):
    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        return super().launch(launch, "")


class CallsAllMissing(SimulatedProvider):
    """What it cannot see is missing, whatever the reason."""

    def observe(self, machines: Sequence[Located]) -> Observation:
        view = super().observe(machines)
        return Observation(view.seen, frozenset(each.id for each in machines) - view.seen.keys())


class MissesNothing(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        return super().observe(machines)._replace(missing=frozenset())


class SeesTheUnasked(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        everything = {each.id: each for each in super().inventory().machines}
        return super().observe(machines)._replace(seen=everything, failures=() if machines else (NOISE,))


class SeesNoEnd(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        view = super().observe(machines)
        return view._replace(
            seen={key: each._replace(state=MachineState.RUNNING) for key, each in view.seen.items()}
        )


class EndsTooMuch(SimulatedProvider):
    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        alive = [Located(each.id, each.region) for each in super().inventory().machines]
        super().release(alive, source)
        return super().release(machines, source)


class EndsNothing(SimulatedProvider):
    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        return Released(going=frozenset(each.id for each in machines))


class ReleasesOnce(SimulatedProvider):
    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        gone = [key for key, each in super().observe(machines).seen.items() if each.state.is_going]
        return super().release(machines, source)._replace(going=frozenset(), refused=dict.fromkeys(gone, NOISE))


class IsSpoiltByOne(SimulatedProvider):
    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        released = super().release(machines, source)
        if released.missing or released.refused:
            raise ProviderError(ErrorKind.NOT_FOUND, "NoSuchMachine", "one of them is unknown")
        return released


class ReleasesByLuck(SimulatedProvider):
    """Two releases at once, and the machines of one are forgotten."""

    is_busy = False

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        if self.is_busy:
            return Released()
        self.is_busy = True
        time.sleep(0.1)
        try:
            return super().release(machines, source)
        finally:
            self.is_busy = False


class CriesWolf(SimulatedProvider):
    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        return Reclaimed(tuple(Notice(each.id, NoticeKind.GONE, 1.0, 0.0, "perhaps") for each in machines))


class HearsNothing(SimulatedProvider):
    def reclaimed(self, machines: Sequence[Located]) -> Reclaimed:
        return Reclaimed()


class TagsNothing(SimulatedProvider):
    def inventory(self) -> Inventory:
        found = super().inventory()
        return found._replace(machines=tuple(each._replace(request_id="") for each in found.machines))


class ListsTheDead(SimulatedProvider):
    def inventory(self) -> Inventory:
        requests = {each.request_id for each in super().inventory().machines}
        return super().find_requests([*requests])


class ForgetsTheDead(SimulatedProvider):
    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        super().find_requests(request_ids)
        found = self.inventory()
        return found._replace(machines=tuple(each for each in found.machines if each.request_id in request_ids))


class LosesTheOrder(SimulatedProvider):
    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return super().find_hosts(hosts)[::-1]


class ChecksByLaunching(SimulatedProvider):
    def check(self, templates: Sequence[Template]) -> list[Check]:
        plan = self.plan(Order("req-check", 1, templates[0], 1))
        assert isinstance(plan, Plan)
        launch = Launch(1, "check", plan.api, plan.region, plan.account, plan.place, plan.params, 1, 0.0)
        self.launch(launch, "")
        return super().check(templates)


class ChecksNothing(SimulatedProvider):
    def check(self, templates: Sequence[Template]) -> list[Check]:
        return [Check("cloud", True, "it will do")]


class AcceptsAndForgets(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        outcome = super().launch(launch, user_data)
        return outcome._replace(state=LaunchState.SETTLED)


class LetsItsGroupsReplace(SimulatedProvider):
    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        return super().release(machines)


class LowersAtEveryCall(SimulatedProvider):
    """It takes one from the target at each return, instead of setting it."""

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        if source is not None:
            group = self.cloud.by_token(source.launch.token)
            assert group is not None
            self.cloud.save(group._replace(target=max(0, group.target - len(machines))))
        return super().release(machines)


class RaisesTargets(SimulatedProvider):
    def stop(self, launch: Launch, held: Mapping[str, int]) -> None:
        super().stop(launch, held)
        group = self.cloud.by_token(launch.token)
        assert group is not None
        self.cloud.save(group._replace(target=sum(held.values())))


class HidesItsGroups(SimulatedProvider):
    def inventory(self) -> Inventory:
        return super().inventory()._replace(sources=())


class FailsOnWhatIsGone(SimulatedProvider):
    def gather(self, launch: Launch) -> Outcome:
        outcome = super().gather(launch)
        if outcome.state is LaunchState.SETTLED:
            raise ProviderError(ErrorKind.NOT_FOUND, "NoSuchGroup", launch.resource_id)
        return outcome


class BelievesSilence(SimulatedProvider):
    """No answer is as good to it as an empty one."""

    def find_launched(self, launch: Launch, request_id: str) -> Outcome:
        return _or(
            lambda: super(BelievesSilence, self).find_launched(launch, request_id), Outcome(LaunchState.UNKNOWN)
        )

    def gather(self, launch: Launch) -> Outcome:
        return _or(lambda: super(BelievesSilence, self).gather(launch), Outcome(LaunchState.SETTLED))

    def release(self, machines: Sequence[Located], source: Source | None = None) -> Released:
        gone = Released(missing=frozenset(each.id for each in machines))
        return _or(lambda: super(BelievesSilence, self).release(machines, source), gone)

    def inventory(self) -> Inventory:
        return super().inventory()._replace(failures=())

    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return _or(lambda: super(BelievesSilence, self).find_hosts(hosts), [Found(None, False, True)] * len(hosts))

    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        return _or(lambda: super(BelievesSilence, self).find_requests(request_ids), Inventory())


def _or(call: Callable[[], T], silence: T) -> T:
    try:
        return call()
    except ProviderError:
        return silence


class Hangs(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        time.sleep(1)
        return super().observe(machines)


NOISE = Refusal(ErrorKind.UNKNOWN, "Noise", "nobody asked")

# Who breaks which promise. A test named with `group:` is run with machines from a group.
BROKEN: dict[type[SimulatedProvider], list[str]] = {
    AsksForMore: ["a_plan_asks_for_what_was_ordered_and_launches_nothing"],
    BringsLess: ["a_launch_brings_what_was_asked"],
    NeverReady: ["a_machine_becomes_ready_with_a_name_and_an_address"],
    RenamesHosts: ["a_machine_becomes_ready_with_a_name_and_an_address"],
    ForgetsTokens: [
        "a_launch_sent_again_brings_the_same_machines",
        "a_launch_sent_by_many_at_once_is_carried_out_once",
        "other_parameters_under_a_used_token_launch_nothing_more",
        "group:a_launch_sent_by_many_at_once_is_carried_out_once",
    ],
    KnowsOneTokenOnly: ["another_token_brings_other_machines"],
    BelievesRefusals: [
        "other_parameters_under_a_used_token_launch_nothing_more",
        "a_refusal_of_a_launch_that_was_sent_before_proves_nothing",
        "a_launch_whose_answer_was_lost_is_found_and_launches_once_only",
        "a_launch_into_an_outage_is_of_unknown_outcome",
    ],
    TellsNoKinds: [
        "a_refusal_for_capacity_says_so_and_the_next_plan_goes_elsewhere",
        "a_refusal_for_a_quota_says_so_and_the_next_plan_goes_elsewhere",
        "a_throttled_launch_says_so",
        "a_launch_without_the_right_to_it_says_so",
        "a_launch_that_makes_no_sense_says_so",
    ],
    OverfillsPlaces: ["a_launch_that_there_is_too_little_room_for_brings_what_there_is"],
    FindsNothing: ["a_launch_whose_answer_was_lost_is_found_and_launches_once_only"],
    LaunchesToFind: ["looking_for_a_launch_that_was_never_sent_finds_and_launches_nothing"],
    CallsAllMissing: ["a_machine_of_another_account_is_not_missing", "nothing_is_seen_and_nothing_is_missing"],
    MissesNothing: ["what_is_there_is_seen_and_what_is_not_is_missing"],
    SeesTheUnasked: ["nothing_is_observed_of_nothing"],
    SeesNoEnd: ["a_machine_that_ends_by_itself_is_seen_to_have_ended"],
    EndsTooMuch: [
        "what_is_released_ends_and_nothing_else_does",
        "what_is_released_again_counts_as_ended_and_nothing_more_ends",
    ],
    EndsNothing: ["what_is_released_ends_and_nothing_else_does"],
    ReleasesOnce: ["what_is_released_again_counts_as_ended_and_nothing_more_ends"],
    IsSpoiltByOne: [
        "one_unknown_machine_does_not_spoil_the_release_of_others",
        "one_protected_machine_does_not_spoil_the_release_of_others",
    ],
    ReleasesByLuck: ["releases_by_many_at_once_end_what_each_was_asked"],
    CriesWolf: [
        "nothing_is_said_to_be_reclaimed_of_healthy_machines",
        "a_machine_that_the_cloud_takes_back_is_told_and_no_other",
        "nothing_is_said_to_be_reclaimed",
    ],
    HearsNothing: ["a_machine_that_the_cloud_takes_back_is_told_and_no_other"],
    TagsNothing: ["the_inventory_tells_whose_every_living_machine_is"],
    ListsTheDead: ["the_inventory_holds_nothing_that_was_given_back"],
    ForgetsTheDead: ["a_lost_request_is_found_with_its_ended_machines"],
    LosesTheOrder: ["hosts_are_found_by_id_and_by_name_in_the_order_asked"],
    ChecksByLaunching: ["a_check_finds_a_good_template_good_and_launches_nothing"],
    ChecksNothing: ["a_check_says_that_the_cloud_does_not_answer"],
    AcceptsAndForgets: ["a_source_is_accepted_and_brings_what_was_asked"],
    LetsItsGroupsReplace: [
        "a_source_replaces_nothing_that_is_given_back",
        "returns_one_after_the_other_leave_nothing",
    ],
    LowersAtEveryCall: ["a_return_that_is_repeated_lowers_the_target_once"],
    RaisesTargets: ["a_stopped_source_brings_nothing_more_and_its_target_never_rises"],
    HidesItsGroups: ["a_source_is_found_by_its_tags_and_can_be_used"],
    FailsOnWhatIsGone: ["a_removed_source_is_gone_and_asking_it_is_no_error"],
    BelievesSilence: [
        "a_launch_is_not_looked_for_in_vain",
        "nothing_counts_as_given_back",
        "an_inventory_says_what_it_lacks",
        "no_host_is_looked_for_in_vain",
        "no_request_is_looked_for_in_vain",
        "a_source_is_neither_empty_nor_told_anything",
    ],
    Hangs: ["nothing_is_seen_and_nothing_is_missing"],
}

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
    ],
)
def test_what_a_bench_has_no_means_for_is_skipped_and_named(
    hook: str, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SimulatedBench, hook)
    with pytest.raises(pytest.skip.Exception, match=f"unproven for want of the hook `{hook}`: that "):
        run(test, SimulatedBench(tmp_path))


def test_a_provider_without_sources_leaves_their_promises_unproven(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path)
    bench.group_template = None
    with pytest.raises(pytest.skip.Exception, match="group_template"):
        run("a_source_replaces_nothing_that_is_given_back", bench)


def test_an_author_is_told_that_the_fixture_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from hfplugin.providers.base.contract import ProviderContract\nclass TestMine(ProviderContract): pass\n"
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").stdout.fnmatch_lines(
        ["*give TestMine a fixture named bench*"]
    )
