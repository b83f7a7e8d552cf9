"""Providers of the simulated cloud that each break a promise, and which of the contract kit's tests catch them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from simulated_cloud import SimulatedBench

from hfplugin.clock import Clock
from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, MachineState, Refusal, Template
from hfplugin.providers.base.provider import (
    Check,
    Context,
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
from hfplugin.providers.simulated import operations
from hfplugin.providers.simulated.cloud import Cloud, Launched
from hfplugin.providers.simulated.configuration import SimulatedSettings
from hfplugin.providers.simulated.provider import SimulatedProvider

T = TypeVar("T")


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


class IsLaunchedNow(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        view, now = super().observe(machines), int(self.cloud.clock.now())
        return view._replace(seen={key: each._replace(launch_time=now) for key, each in view.seen.items()})


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


class RelaunchesTheEnded(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        known = self.cloud.by_token(launch.token)
        is_ended = known is not None and not self.cloud.living(known)
        return super().launch(launch._replace(token=uuid.uuid4().hex) if is_ended else launch, user_data)


class BringsAPart(SimulatedProvider):
    def plan(self, order: Order) -> Any:
        return super().plan(order._replace(template=order.template._replace(all_or_nothing=False)))


class WeighsNothing(SimulatedProvider):
    def plan(self, order: Order) -> Any:
        types = order.template.extension["machineTypes"]
        light = {name: {**each, "weight": 1} for name, each in types.items()}
        extension = {**order.template.extension, "machineTypes": light}
        return super().plan(order._replace(template=order.template._replace(extension=extension)))


class DropsTags(SimulatedProvider):
    def plan(self, order: Order) -> Any:
        return super().plan(order._replace(template=order.template._replace(tags={})))


class NeverLooksOnly(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        return super().launch(launch, user_data)._replace(look_only=False)


class OnlyLooks(SimulatedProvider):
    def launch(self, launch: Launch, user_data: str) -> Outcome:
        outcome = super().launch(launch, user_data)
        return outcome._replace(look_only=outcome.state is LaunchState.UNKNOWN)


class RaisesWhatItLikes(SimulatedProvider):
    def gather(self, launch: Launch) -> Outcome:
        raise KeyError("no group")


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


class EndsForEver(SimulatedProvider):
    def observe(self, machines: Sequence[Located]) -> Observation:
        view, ending = super().observe(machines), MachineState.SHUTTING_DOWN
        ended = {key: each._replace(state=ending) for key, each in view.seen.items() if each.state.is_going}
        return view._replace(seen={**view.seen, **ended})


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


class LocksInMemory(SimulatedProvider):
    """What changes its cloud keeps others of its own process out, and nobody else."""

    def __init__(self, settings: SimulatedSettings, context: Context, clock: Clock) -> None:
        super().__init__(settings, context, clock)
        self.cloud = LockedInMemory.of(settings, str(Path(context.cache.directory).parent), clock)


class LockedInMemory(Cloud):
    _mutex = threading.Lock()

    @contextmanager
    def changing(self) -> Iterator[None]:
        with self._mutex:
            yield

    def save(self, launched: Launched) -> None:
        time.sleep(0.1)
        super().save(launched)


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


class KnowsItselfAlone(SimulatedProvider):
    def inventory(self) -> Inventory:
        found, own = super().inventory(), self._context.installation
        return found._replace(machines=tuple(each for each in found.machines if each.installation == own))


class ListsWhatIsOthers(SimulatedProvider):
    def inventory(self) -> Inventory:
        names = {launched.tags["provider"] for launched in self.cloud.every()}
        found = [operations.inventory(self.cloud, name) for name in names]
        return Inventory(tuple(machine for each in found for machine in each.machines))


class FindsWhatIsOthers(SimulatedProvider):
    def find_requests(self, request_ids: Sequence[str]) -> Inventory:
        names = {launched.tags["provider"] for launched in self.cloud.every()}
        found = [operations.find_requests(self.cloud, request_ids, name) for name in names]
        return Inventory(tuple(machine for each in found for machine in each.machines))


class OwnsEveryHost(SimulatedProvider):
    def find_hosts(self, hosts: Sequence[Host]) -> list[Found]:
        return [each._replace(is_ours=each.sighting is not None) for each in super().find_hosts(hosts)]


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


class ChecksWithoutAWord(SimulatedProvider):
    def check(self, templates: Sequence[Template]) -> list[Check]:
        return [each._replace(detail="") for each in super().check(templates)]


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
    IsLaunchedNow: ["a_machine_becomes_ready_with_a_name_and_an_address"],
    RelaunchesTheEnded: [
        "a_launch_sent_again_when_its_machines_are_gone_brings_no_others",
        "group:a_launch_sent_again_when_its_machines_are_gone_brings_no_others",
    ],
    BringsAPart: ["an_order_of_all_or_nothing_brings_all_or_nothing"],
    WeighsNothing: ["machines_count_by_what_each_is_worth", "group:machines_count_by_what_each_is_worth"],
    NeverLooksOnly: ["other_parameters_under_a_used_token_launch_nothing_more"],
    OnlyLooks: ["a_refusal_of_a_launch_that_was_sent_before_proves_nothing"],
    RaisesWhatItLikes: [
        "a_settled_launch_has_no_source_and_asking_it_is_no_error",
        "a_source_is_neither_empty_nor_told_anything",
    ],
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
    EndsForEver: ["what_is_released_ends_and_nothing_else_does", "returns_one_after_the_other_leave_nothing"],
    EndsNothing: ["what_is_released_ends_and_nothing_else_does"],
    ReleasesOnce: ["what_is_released_again_counts_as_ended_and_nothing_more_ends"],
    IsSpoiltByOne: [
        "one_unknown_machine_does_not_spoil_the_release_of_others",
        "one_protected_machine_does_not_spoil_the_release_of_others",
    ],
    LocksInMemory: ["releases_by_many_at_once_end_what_each_was_asked"],
    CriesWolf: [
        "nothing_is_said_to_be_reclaimed_of_healthy_machines",
        "a_machine_that_the_cloud_takes_back_is_told_and_no_other",
        "nothing_is_said_to_be_reclaimed",
    ],
    HearsNothing: ["a_machine_that_the_cloud_takes_back_is_told_and_no_other"],
    TagsNothing: ["the_inventory_tells_whose_every_living_machine_is"],
    KnowsItselfAlone: ["the_inventory_tells_whose_every_living_machine_is"],
    ListsWhatIsOthers: ["what_another_provider_launched_is_not_ours"],
    FindsWhatIsOthers: ["what_another_provider_launched_is_not_ours"],
    OwnsEveryHost: ["what_another_provider_launched_is_not_ours"],
    DropsTags: ["a_machine_carries_the_tags_of_its_template"],
    ListsTheDead: ["the_inventory_holds_nothing_that_was_given_back"],
    ForgetsTheDead: ["a_lost_request_is_found_with_its_ended_machines"],
    LosesTheOrder: ["hosts_are_found_by_id_and_by_name_in_the_order_asked"],
    ChecksByLaunching: ["a_check_finds_a_good_template_good_and_launches_nothing"],
    ChecksNothing: [
        "a_check_says_that_the_cloud_does_not_answer",
        "a_check_finds_a_bad_template_bad_and_says_what_to_do",
    ],
    ChecksWithoutAWord: [
        "a_check_finds_a_good_template_good_and_launches_nothing",
        "a_check_finds_a_bad_template_bad_and_says_what_to_do",
    ],
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
