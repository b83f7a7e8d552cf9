"""The mix of what goes wrong: what a plan holds, and what it does to an emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from hfplugin.emulator import IMAGE_ID, REGION, Emulator
from hfplugin.emulator.chaos import Chaos, Havoc, plan
from hfplugin.emulator.faults import Fault
from hfplugin.emulator.settings import Settings

POOLS = (f"{REGION}/m5.large/{REGION}a", f"{REGION}/m5.large/{REGION}b")
SEEDS = range(1, 200)


def launch(emulator: Emulator, count: int = 1, **settings: Any) -> list[str]:
    """Launch machines with one try, as one call of a plug-in does."""
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1}, proxies={})
    ec2 = emulator.client(config=once)
    answer = ec2.run_instances(
        ImageId=IMAGE_ID, InstanceType="m5.large", MinCount=count, MaxCount=count, **settings
    )
    return [instance["InstanceId"] for instance in answer["Instances"]]


def outlast(emulator: Emulator, **settings: Any) -> int:
    """Launch under one token until it succeeds; give how often that took."""
    for tries in range(1, 20):
        try:
            launch(emulator, ClientToken="the-same", **settings)
        except (ClientError, BotoCoreError):
            continue
        return tries
    raise AssertionError("the chaos does not wear out")


def struck(havoc: Havoc) -> dict[str, int]:
    return {each.what: each.times for each in havoc.told()}


class TestPlan:
    def test_the_same_seed_gives_the_same_plan(self) -> None:
        assert [plan(seed, POOLS) for seed in SEEDS] == [plan(seed, POOLS) for seed in SEEDS]

    def test_different_seeds_give_different_plans(self) -> None:
        assert len({json.dumps(plan(seed, POOLS)._replace(seed=0)) for seed in SEEDS}) > 50

    @pytest.mark.parametrize("kind", ["throttle", "error", "drop_before", "drop_after", "delay"])
    def test_every_plan_has_a_fault_of_each_kind(self, kind: str) -> None:
        for seed in SEEDS:
            assert kind in {fault["kind"] for fault in plan(seed).faults}, seed

    @pytest.mark.parametrize("kind", ["throttle", "error", "drop_before", "drop_after"])
    def test_every_plan_troubles_the_launch_itself_in_each_way(self, kind: str) -> None:
        for seed in SEEDS:
            found = {(fault["action"], fault["kind"]) for fault in plan(seed, (), ("CreateFleet",)).faults}
            assert ("CreateFleet", kind) in found, seed

    def test_every_fault_wears_out(self) -> None:
        assert all(1 <= fault["times"] <= 4 for seed in SEEDS for fault in plan(seed, POOLS).faults)

    def test_every_fault_and_setting_is_one_that_the_emulator_knows(self) -> None:
        for seed in SEEDS:
            chaos = plan(seed, POOLS)
            assert all(Fault.model_validate(fault) for fault in chaos.faults)
            assert Settings.model_validate(chaos.settings)

    def test_every_plan_takes_machines_while_they_run_and_as_they_are_returned(self) -> None:
        for seed in SEEDS:
            assert {taking.step: taking.machines >= 1 for taking in plan(seed).takings} == {
                "running": True,
                "returning": True,
            }

    def test_one_of_the_pools_refuses(self) -> None:
        refused = {pool for seed in SEEDS for pool in plan(seed, POOLS).settings["capacity"]}
        assert refused == set(POOLS)
        assert all(len(plan(seed, POOLS).settings["capacity"]) == 1 for seed in SEEDS)

    def test_without_pools_none_refuses(self) -> None:
        assert plan(1).settings == {"capacity": {}}

    def test_no_launch_is_in_doubt_before_its_pool_has_refused(self) -> None:
        for seed in SEEDS:
            doubts = [f for f in plan(seed, POOLS).faults if f["action"] == "RunInstances" and "skip" in f]
            assert [fault["skip"] for fault in doubts] == [1, 1, 1]


class TestHavoc:
    @pytest.mark.parametrize("seed", range(1, 6))
    def test_a_launch_that_is_repeated_under_its_token_gets_through_and_launches_once(
        self, emulator: Emulator, seed: int
    ) -> None:
        havoc = Havoc(emulator, plan(seed))
        havoc.begin()
        outlast(emulator)
        assert len(emulator.alive()) == 1

    def test_it_tells_how_often_each_fault_struck(self, emulator: Emulator) -> None:
        chaos = Chaos(1, ({"kind": "error", "action": "RunInstances", "code": "Unavailable", "times": 2},), {}, ())
        havoc = Havoc(emulator, chaos._replace(settings={"capacity": {}}))
        havoc.begin()
        assert struck(havoc) == {"RunInstances answered Unavailable": 0}
        assert outlast(emulator) == 3
        assert struck(havoc) == {"RunInstances answered Unavailable": 2}

    def test_it_tells_the_same_after_its_end(self, emulator: Emulator) -> None:
        havoc = Havoc(emulator, plan(3))
        havoc.begin()
        outlast(emulator)
        before = havoc.told()
        havoc.end()
        assert havoc.told() == before

    def test_after_its_end_nothing_goes_wrong(self, emulator: Emulator) -> None:
        havoc = Havoc(emulator, plan(1, [f"{REGION}/m5.large/*"]))
        havoc.begin()
        havoc.end()
        assert launch(emulator)

    def test_the_refused_capacity_comes_back(self, emulator: Emulator) -> None:
        havoc = Havoc(emulator, Chaos(1, (), {"capacity": {f"{REGION}/m5.large/*": 0}}, ()))
        havoc.begin()
        with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
            launch(emulator)
        havoc.relent()
        assert launch(emulator)
        assert struck(havoc) == {f"no capacity in {REGION}/m5.large/*": 3}  # in each zone

    def test_capacity_that_somebody_else_has_set_stays(self, emulator: Emulator) -> None:
        emulator.configure(capacity={"*/c5.large/*": 7})
        havoc = Havoc(emulator, plan(1, POOLS))
        havoc.begin()
        havoc.end()
        assert emulator.configure()["capacity"] == {"*/c5.large/*": 7}

    def test_faults_that_somebody_else_has_set_stay(self, emulator: Emulator) -> None:
        emulator.fault("throttle", action="RunInstances", skip=1)
        havoc = Havoc(emulator, plan(1))
        havoc.begin()
        havoc.end()
        launch(emulator)
        with pytest.raises(ClientError, match="RequestLimitExceeded"):
            launch(emulator)

    def test_it_takes_only_machines_that_are_among_those_named(self, emulator: Emulator) -> None:
        mine, others = launch(emulator, 2), launch(emulator, 5)
        havoc = Havoc(emulator, plan(1))
        taken = {machine.id for step in ("running", "returning") for machine in havoc.take(step, mine)}
        assert taken
        assert taken <= set(mine)
        running = {machine.id for machine in emulator.machines() if machine.state == "running"}
        assert running == set(others) | (set(mine) - taken)

    def test_it_takes_no_more_than_there_are(self, emulator: Emulator) -> None:
        assert Havoc(emulator, plan(1)).take("running") == []

    def test_a_spot_machine_is_interrupted_with_notice(self, emulator: Emulator) -> None:
        launch(emulator, InstanceMarketOptions={"MarketType": "spot"})
        havoc = Havoc(emulator, plan(1))
        [machine] = havoc.take("running")
        assert [each.state for each in emulator.machines()] == ["running"]
        emulator.advance(121)
        assert [each.reason for each in emulator.machines()] == ["Server.SpotInstanceTermination"]
        assert [machine.id in each.what and "notice" in each.what for each in havoc.told()[-1:]] == [True]
