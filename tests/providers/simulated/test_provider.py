"""The simulated provider beyond what all promise: places, weights, quotas, its files and their processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from player import HostFactory
from pydantic import ValidationError
from simulated_cloud import MACHINE_TYPES, SimulatedBench, template

from hfplugin.errors import ErrorKind
from hfplugin.model import REPLAY_SECONDS, Launch, LaunchState, Template
from hfplugin.providers.base.contract.bench import bring, frozen, order, planned, released, sent
from hfplugin.providers.base.provider import Located, NoticeKind, Nowhere, Order, Outcome, Plan
from hfplugin.providers.base.registry import TemplateExtensionRegistry

BOTH = {"small": {"ncpus": 2, "nram": 4096}, "large": {"ncpus": 9, "nram": 16384, "weight": 4}}


@pytest.fixture
def bench(tmp_path: Path) -> SimulatedBench:
    return SimulatedBench(tmp_path)


def launched(bench: SimulatedBench, made: Order) -> tuple[Launch, Outcome]:
    plan = planned(bench, made)
    return sent(bench, frozen(bench, made, plan))


def test_what_a_unit_has_at_least_is_what_hostfactory_hears() -> None:
    extension = TemplateExtensionRegistry.create_extension_config("simulated", {"machineTypes": BOTH})
    assert extension.attributes == {
        "type": ["String", "X86_64"],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", "2"],
        "nram": ["Numeric", "4096"],
    }


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"machineTypes": {}},
        {"machineTypes": {"small": {"ncpus": 0, "nram": 1}}},
        {"machineTypes": {"small": {"ncpus": 1, "nram": 1, "wieght": 2}}},
        {"machineTypes": MACHINE_TYPES, "places": [""]},
        {"machineTypes": MACHINE_TYPES, "source": "fleet"},
    ],
)
def test_a_template_that_makes_no_sense_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TemplateExtensionRegistry.create_extension_config("simulated", content)


def test_types_are_asked_for_in_their_order_and_of_each_the_places(bench: SimulatedBench) -> None:
    made = order(bench, 5, template(machineTypes=BOTH))
    asked: list[Launch] = []
    while isinstance(plan := bench.provider.plan(_after(made, asked)), Plan):
        asked.append(frozen(bench, _after(made, asked), plan))
    assert [(launch.place, launch.units, launch.weight) for launch in asked] == [
        ("north/small", 5, 1),
        ("south/small", 5, 1),
        ("north/large", 8, 4),
        ("south/large", 8, 4),
    ]


@pytest.mark.parametrize(
    ("places", "asked"), [(("west", "east"), ["west/large", "east/large"]), ((), ["here/large"])]
)
def test_a_template_that_names_no_place_is_launched_in_every_one_that_there_is(
    bench: SimulatedBench, places: tuple[str, ...], asked: list[str]
) -> None:
    bench.configure(places=places)
    anywhere = template(places=[])
    assert [each.is_ok for each in bench.provider.check([anywhere])] == [True, True]
    assert bench.provider.check([anywhere])[1].detail == f"a launch would succeed as {', '.join(asked)}"
    made, past = order(bench, 1, anywhere), list[Launch]()
    while isinstance(plan := bench.provider.plan(_after(made, past)), Plan):
        past.append(frozen(bench, _after(made, past), plan))
    assert [launch.place for launch in past] == asked


def _after(made: Order, asked: list[Launch]) -> Order:
    return made._replace(attempt=len(asked) + 1, past=tuple(asked), exhausted=frozenset(range(1, len(asked) + 1)))


def test_all_or_nothing_launches_nothing_where_there_is_too_little(bench: SimulatedBench) -> None:
    bench.limit(2)
    launch, outcome = launched(bench, order(bench, 3, bench.template._replace(all_or_nothing=True)))
    assert outcome.state is LaunchState.REFUSED
    assert bench.alive() == set()
    # It wanted more than others do: its refusal says nothing about theirs.
    assert planned(bench, order(bench, 1)).place == launch.place


def test_the_quota_holds_in_all_places_together_and_is_told_as_one(bench: SimulatedBench) -> None:
    bench.configure(quota=3)
    bring(bench, 2)
    assert len(bring(bench, 2).machines) == 1
    _, outcome = launched(bench, order(bench, 1))
    assert [error.kind for error in outcome.errors] == [ErrorKind.QUOTA]
    after = planned(bench, order(bench, 1))
    assert (after.place, [each.place for each in after.passed_over]) == ("north/large", ["south/large"])


def test_a_place_that_refused_one_request_is_passed_over_by_the_next_for_a_while(
    bench: SimulatedBench,
) -> None:
    bench.configure(capacity={"north": 0})
    launched(bench, order(bench, 1))
    plan = planned(bench, order(bench, 1))
    assert plan.place == "south/large"
    assert [refusal.place for refusal in plan.passed_over] == ["north/large"]
    bench.advance(200)
    assert planned(bench, order(bench, 1)).place == "north/large"


def test_with_everything_refused_the_oldest_refusal_is_tried_and_then_nothing(bench: SimulatedBench) -> None:
    bench.refuse(ErrorKind.CAPACITY)
    first, made = order(bench, 1), order(bench, 1)
    refused, _ = launched(bench, first)
    launched(bench, first._replace(attempt=2, past=(refused,), exhausted=frozenset({1})))
    probe, _ = launched(bench, made)
    assert probe.place == refused.place
    after = bench.provider.plan(made._replace(attempt=2, past=(probe,), exhausted=frozenset({1})))
    assert isinstance(after, Nowhere)
    assert [each.place for each in after.passed_over] == ["south/large"]


def test_a_place_that_gives_machines_again_is_refused_no_more(bench: SimulatedBench) -> None:
    bench.configure(quota=0)
    launched(bench, order(bench, 1))
    bench.configure(quota=None)
    bring(bench, 1)  # tried because everything was refused
    assert planned(bench, order(bench, 1)).passed_over == ()


def test_a_token_that_was_used_proves_a_launch_also_to_who_does_not_know_of_it(bench: SimulatedBench) -> None:
    brought = bring(bench, 1)
    changed = brought.launch._replace(params={**brought.launch.params, "count": 9}, state=LaunchState.PLANNED)
    outcome = bench.provider.launch(changed, "")
    assert (outcome.state, outcome.look_only) == (LaunchState.UNKNOWN, True)


def test_a_launch_is_remembered_until_nobody_may_send_it_again(bench: SimulatedBench) -> None:
    old, living = bring(bench, 2), bring(bench, 1)
    released(bench, old, old.ids)
    bench.advance(REPLAY_SECONDS)
    bring(bench, 1)
    assert bench.provider.observe(old.located()).seen.keys() == old.ids
    bench.advance(10)
    bring(bench, 1)
    assert bench.provider.observe(old.located()).missing == old.ids
    assert bench.provider.observe(living.located()).seen.keys() == living.ids


def test_a_machine_that_fails_to_boot_ends_and_is_told_as_gone(tmp_path: Path) -> None:
    bench = SimulatedBench(tmp_path, boot_failure_share=1.0)
    brought = bring(bench, 1)
    bench.advance(5)
    [sighting] = bench.provider.observe(brought.located()).seen.values()
    assert sighting.state.is_going
    assert sighting.reason == "BootFailure: it did not start"
    [notice] = bench.provider.reclaimed(brought.located()).notices
    assert (notice.kind, notice.ends_at) == (NoticeKind.GONE, 0)


def test_nothing_more_is_said_of_a_machine_that_was_given_back(bench: SimulatedBench) -> None:
    brought = bring(bench, 1)
    [machine] = brought.ids
    bench.interrupt(machine)
    [notice] = bench.provider.reclaimed(brought.located()).notices
    assert (notice.kind, notice.ends_at) == (NoticeKind.INTERRUPTION, bench.now() + 120)
    released(bench, brought, [machine])
    bench.advance(200)
    assert bench.provider.reclaimed(brought.located()).notices == ()


def test_a_check_names_a_template_whose_place_there_is_not(bench: SimulatedBench) -> None:
    bench.configure(places=("north", "west"))
    cloud, check = bench.provider.check([bench.template])
    assert cloud.is_ok
    assert (check.subject, check.is_ok) == ("template small", False)
    assert "there is no place 'south'; known: north, west" in check.detail


def test_a_record_of_another_version_is_named_as_such(bench: SimulatedBench) -> None:
    [_, check] = bench.provider.check([Template("old", "simulated", -1, {}, {"size": "large"})])
    assert "the template of this request is not valid in this version" in check.detail


@pytest.mark.parametrize("damaged", ["{", "{}", "[]", '{"machines": [{}]}'])
def test_damaged_files_are_no_reason_to_call_anything_missing(
    bench: SimulatedBench, tmp_path: Path, damaged: str
) -> None:
    brought = bring(bench, 1)
    [file] = (tmp_path / "simulated/launches").glob("*.json")
    file.write_text(damaged)
    view = bench.provider.observe(brought.located())
    assert (view.seen, view.missing) == ({}, frozenset())
    assert [failure.kind for failure in view.failures] == [ErrorKind.TRANSIENT]


def test_no_path_is_made_of_what_is_no_id(bench: SimulatedBench, tmp_path: Path) -> None:
    (tmp_path / "simulated").mkdir(exist_ok=True)
    (tmp_path / "simulated/secret.json").write_text(json.dumps({"machines": [{"id": "sim-../secret-0"}]}))
    odd = ["sim-../secret-0", "sim--0", "", "sim", "sim-0123456789abcdef-x"]
    assert bench.provider.observe([Located(each, "simulated") for each in odd]).missing == {*odd}


class TestScripts:
    """Through the five scripts, each call a process of its own."""

    @pytest.fixture
    def hostfactory(self, tmp_path: Path) -> HostFactory:
        player = HostFactory(tmp_path, "sim1")
        self.configure(player)
        keys = {"maxNumber": 100, "machineTypes": MACHINE_TYPES, "places": ["north", "south"]}
        player.offer({"templateId": "single", **keys}, {"templateId": "grouped", "source": "group", **keys})
        return player

    @staticmethod
    def configure(player: HostFactory, **settings: Any) -> None:
        quick = {"bootSeconds": 0, "shutdownSeconds": 0}
        player.configure({"providerType": "simulated", "simulated": {**quick, **settings}})

    @pytest.mark.parametrize("template_id", ["single", "grouped"])
    def test_machines_come_and_go(self, hostfactory: HostFactory, template_id: str) -> None:
        machines = hostfactory.machines(template_id, 3)
        answer = hostfactory.returned(*machines)
        assert (answer["status"], len(answer["machines"])) == ("complete", 3)
        assert hostfactory.lost(*machines) == []

    def test_two_requests_at_once_share_the_last_machines(self, hostfactory: HostFactory) -> None:
        self.configure(hostfactory, capacity={"north": 4, "south": 0})
        message = {"template": {"templateId": "single", "machineCount": 3}}
        with (
            hostfactory.start("requestMachines", message) as one,
            hostfactory.start("requestMachines", message) as other,
        ):
            ids = [json.loads(call.communicate(timeout=60)[0])["requestId"] for call in (one, other)]
        answers = hostfactory.poll(*ids)
        assert sum(len(answer["machines"]) for answer in answers) == 4

    def test_a_lost_answer_loses_and_doubles_nothing(self, hostfactory: HostFactory) -> None:
        self.configure(hostfactory, lostAnswerShare=1.0)
        assert len(hostfactory.machines("single", 3)) == 3
        [file] = (hostfactory.state / "simulated/launches").glob("*.json")
        assert len(json.loads(file.read_text())["machines"]) == 3

    def test_a_template_need_not_name_the_places_of_the_settings(self, hostfactory: HostFactory) -> None:
        self.configure(hostfactory, places=["west"])
        hostfactory.offer({"templateId": "anywhere", "maxNumber": 1, "machineTypes": MACHINE_TYPES})
        assert len(hostfactory.machines("anywhere", 1)) == 1

    def test_settings_come_from_the_environment_too(self, hostfactory: HostFactory, tmp_path: Path) -> None:
        hostfactory.environment["HFPLUGIN_SIMULATED__DIRECTORY"] = str(tmp_path / "elsewhere")
        hostfactory.machines("single", 1)
        assert len([*(tmp_path / "elsewhere/launches").glob("*.json")]) == 1

    @pytest.mark.parametrize(
        ("key", "said"), [("place", "did you mean 'places'?"), ("machineType", "did you mean 'machineTypes'?")]
    )
    def test_a_misspelt_key_of_a_template_is_named(self, hostfactory: HostFactory, key: str, said: str) -> None:
        hostfactory.offer({"templateId": "a", "maxNumber": 1, "machineTypes": MACHINE_TYPES, key: ["north"]})
        assert hostfactory.refused("getAvailableTemplates", {}).endswith(f"template a: {key}: unknown key; {said}")

    def test_a_misspelt_setting_is_named(self, hostfactory: HostFactory) -> None:
        self.configure(hostfactory, bootSecond=1)
        assert "simulated.bootSecond: unknown key; did you mean 'bootSeconds'?" in hostfactory.refused(
            "getAvailableTemplates", {}
        )
