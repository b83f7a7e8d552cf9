"""The commands for people: help, what the state says, whether all is well, and the table of machine types."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from front_door import Called, call, modules
from player import HostFactory, template

from hfplugin import __version__, roster
from hfplugin.catalog import machine_types_path
from hfplugin.environment import Environment
from hfplugin.errors import ErrorKind
from hfplugin.hostfactory.verbs import VERBS
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Notice,
    NoticeKind,
    Phase,
    Refusal,
    Request,
    RequestStatus,
    Result,
    Return,
    ReturnedMachine,
    Template,
)
from hfplugin.store import FileStore
from hfplugin.wording import summary

REQUEST_ID = "req-11111111-1111-4111-8111-111111111111"
CLOSED_ID = "req-22222222-2222-4222-8222-222222222222"
RETURN_ID = "ret-11111111-1111-4111-8111-111111111111"
DAMAGED_ID = "req-33333333-3333-4333-8333-333333333333"
NOWHERE_ID = "req-44444444-4444-4444-8444-444444444444"
CREATED = 1_700_000_000

# A template of Open Resource Broker, and the same in our words.
ORB = {
    "template_id": "orb",
    "max_instances": 5,
    "machine_image": "/grid/image",
    "subnet_ids": ["subnet-1"],
    "machine_types": {"t3.medium": 1, "t3.large": 2},
    "price_type": "spot",
    "allocation_strategy": "lowest_price",
    "max_price": 0.05,
    "provider_api": "ec2_fleet",
    "metadata": {"fleet_type": "maintain", "percent_on_demand": 10, "owner": "grid"},
    "percentOnDemand": 20,
    "machine_bootstrap": "#!/bin/sh\necho",
    "machine_disk_size_gb": 30,
    "priority": 3,
    "createdAt": "2026-02-13",
}
ORB_IN_OUR_FORM = {
    "templateId": "orb",
    "maxNumber": 5,
    "providerApi": "EC2Fleet",
    "fleetType": "maintain",
    "priceType": "spot",
    "imageId": "resolve:ssm:/grid/image",
    "vmTypes": {"t3.medium": 1, "t3.large": 2},
    "subnetId": ["subnet-1"],
    "userDataScript": "#!/bin/sh\necho",
    "rootDeviceVolumeSize": 30,
    "maxSpotPrice": 0.05,
    "allocationStrategy": "lowestPrice",
    "percentOnDemand": 20,
    "priority": 3.0,
    "createdAt": "2026-02-13",
    "metadata": {"owner": "grid"},
}

# Closed, or nobody listens: port 9 is discard, which no machine has served for decades.
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance whose AWS cannot be reached, at a terminal wide enough for its tables."""
    player = HostFactory(tmp_path)
    player.configure({"providerType": "aws", "aws": {"region": "eu-central-1", "endpointUrl": NOBODY}})
    player.offer(template("subnet-1"))
    player.environment["COLUMNS"] = "250"
    return player


def run(site: HostFactory, *arguments: str) -> Called:
    return call(*arguments, environment=site.environment)


class TestHelp:
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_it_lists_verbs_and_commands_without_an_environment(self, flag: str) -> None:
        called = call(flag, environment={})
        assert (called.status, called.stderr) == (0, "")
        for command in (*VERBS, "status", "check", "machine-types", "config"):
            assert f"\n  {command} " in called.stdout

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_verb_tells_its_input_and_output_and_does_nothing(self, site: HostFactory, verb: str) -> None:
        called = run(site, verb, "-f", "missing.json", "--help")
        assert (called.status, called.stderr) == (0, "")
        assert called.stdout.startswith(f"Usage: hfplugin {verb} [OPTIONS]")
        assert {"Input:", "Output:", "Exit"} <= {
            line.strip().partition(" ")[0] for line in called.stdout.split("\n")
        }
        assert not site.state.exists()

    def test_the_version_is_the_packages(self) -> None:
        assert call("--version", environment={}).stdout == f"hfplugin, version {__version__}\n"

    @pytest.mark.parametrize("arguments", [["requestmachines"], ["--quiet"], ["status", "--yaml"], ["config"]])
    def test_a_wrong_command_line_is_a_usage_error_on_standard_error(self, arguments: list[str]) -> None:
        called = call(*arguments, environment={})
        assert (called.status, called.stdout) == (2, "")
        assert "Usage: hfplugin" in called.stderr

    @pytest.mark.parametrize(
        "arguments", [["status"], ["check"], ["machine-types", "refresh"], ["config", "convert"]], ids=" ".join
    )
    def test_without_hf_provider_name_a_command_says_so_on_standard_error(self, arguments: list[str]) -> None:
        called = call(*arguments, environment={})
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith("hfplugin: HF_PROVIDER_NAME is not set: ")


def machine(number: int, result: Result, state: MachineState = MachineState.RUNNING, **changes: Any) -> Machine:
    return Machine(f"i-{number}", 1, "eu-central-1", "", state, CREATED, result, f"host-{number}", **changes)


def open_request() -> Request:
    """Five units asked: two ready, one starting, one failed, one whose launch was never answered."""
    launch = Launch(1, "t", "RunInstances", "eu-central-1", "", "here", {}, 1, CREATED, state=LaunchState.UNKNOWN)
    return Request(
        id=REQUEST_ID,
        template=Template("small", "aws", -1, {}, {}),
        units=5,
        created=CREATED,
        deadline=CREATED + 600,
        pending_timeout=600,
        launches=(launch,),
        machines=(
            machine(1, Result.SUCCEED),
            machine(2, Result.SUCCEED),
            machine(3, Result.EXECUTING, MachineState.PENDING),
            machine(4, Result.FAIL, MachineState.TERMINATED, message="terminated [/by] [red]hand"),
        ),
    )


def closed_request() -> Request:
    return open_request()._replace(
        id=CLOSED_ID,
        template=Template("large", "aws", -1, {}, {}),
        phase=Phase.CLOSED,
        status=RequestStatus.COMPLETE,
        launches=(),
        machines=(machine(5, Result.SUCCEED), machine(6, Result.SUCCEED, return_id=RETURN_ID)),
    )


def unfinished_return() -> Return:
    waiting = ReturnedMachine("i-6", "host-6", message="UnauthorizedOperation: not allowed")
    unknown = ReturnedMachine("", "host-9", is_found=False)
    return Return(RETURN_ID, CREATED, (ReturnedMachine("i-7", "host-7").done(), waiting, unknown))


@pytest.fixture
def busy(site: HostFactory) -> HostFactory:
    """The provider instance with something of everything in its state."""
    store = FileStore(str(site.state))
    store.requests.save(open_request())
    store.requests.save(closed_request())
    store.returns.save(unfinished_return())
    store.save_reason("large", CLOSED_ID, "InsufficientInstanceCapacity: none", CREATED)
    (site.state / f"requests/{DAMAGED_ID}.json").write_text("{")
    return site


class TestStatus:
    def test_with_no_state_there_is_nothing_and_nothing_is_made(self, site: HostFactory) -> None:
        called = run(site, "status")
        assert (called.status, called.stderr) == (0, "")
        assert called.stdout.splitlines() == [
            f"provider awsinst, state in {site.state}",
            "no state is there: nothing was ever requested, or HF_WORKDIR is wrong",
        ]
        assert not site.state.exists()

    def test_with_no_state_the_json_is_empty_lists(self, site: HostFactory) -> None:
        assert run(site, "status", "--json").answer == {
            "provider": "awsinst",
            "state": str(site.state),
            "stateExists": False,
            "drained": "",
            "requests": [],
            "returns": [],
            "takenBack": [],
            "unlistedMachines": [],
            "unknownHosts": [],
            "templates": [],
            "damaged": [],
        }

    def test_the_json_has_open_requests_unfinished_returns_reasons_and_damage(self, busy: HostFactory) -> None:
        found = run(busy, "status", "--json").answer
        assert found["requests"] == [
            {
                "requestId": REQUEST_ID,
                "templateId": "small",
                "created": CREATED,
                "asked": 5,
                "ready": 2,
                "starting": 1,
                "failed": 1,
                "unansweredLaunches": 1,
                "isClaimed": True,
                "withdrawn": "",
                "message": summary(open_request(), time.time()),
            }
        ]
        assert found["returns"] == [
            {
                "requestId": RETURN_ID,
                "created": CREATED,
                "asked": 3,
                "pending": ["i-6", "host-9"],
                "message": "UnauthorizedOperation: not allowed",
            }
        ]
        assert found["templates"] == [
            {
                "templateId": "large",
                "machines": 1,
                "lastReason": "InsufficientInstanceCapacity: none",
                "lastReasonAt": CREATED,
                "lastReasonRequest": CLOSED_ID,
            },
            {
                "templateId": "small",
                "machines": 3,
                "lastReason": "",
                "lastReasonAt": 0,
                "lastReasonRequest": "",
            },
        ]

    def test_the_tables_have_the_same_with_times_in_utc(self, busy: HostFactory) -> None:
        lines = run(busy, "status").stdout.splitlines()
        [first] = [number for number, line in enumerate(lines) if REQUEST_ID in line]
        assert cells(lines[first]) == [REQUEST_ID, summary(open_request(), time.time())]
        assert cells(lines[first + 1])[0] == "small, since 2023-11-14 22:13:20Z"
        assert "terminated [/by] [red]hand" in lines[first]
        [first] = [number for number, line in enumerate(lines) if RETURN_ID in line]
        below = [cells(line)[0] for line in lines[first : first + 4]]
        assert below == [RETURN_ID, "since 2023-11-14 22:13:20Z", "i-6", "host-9"]
        [first] = [number for number, line in enumerate(lines) if cells(line)[:1] == ["large, 1"]]
        assert cells(lines[first]) == ["large, 1", "InsufficientInstanceCapacity: none"]
        assert cells(lines[first + 1]) == [CLOSED_ID, "2023-11-14 22:13:20Z"]

    def test_machines_that_the_cloud_takes_back_are_shown_until_they_are_gone(self, site: HostFactory) -> None:
        notice = Notice("i-1", NoticeKind.INTERRUPTION, CREATED, CREATED + 120, "Server.Spot[Termination]")
        taken, ended = machine(1, Result.SUCCEED, notice=notice), machine(2, Result.SUCCEED, notice=notice)
        ended = ended._replace(state=MachineState.TERMINATED, result=Result.FAIL)
        request = closed_request()._replace(machines=(taken, ended, machine(3, Result.SUCCEED)))
        FileStore(str(site.state)).requests.save(request)
        said = "interruption, ends at 2023-11-14T22:15:20Z: Server.Spot[Termination]"
        assert run(site, "status", "--json").answer["takenBack"] == [
            {
                "machineId": "i-1",
                "name": taken.name,
                "requestId": CLOSED_ID,
                "kind": "interruption",
                "endsAt": CREATED + 120,
                "message": said,
            }
        ]
        assert ["i-1", said] in [cells(line) for line in run(site, "status").stdout.splitlines()]

    def test_how_hostfactorys_list_differs_is_shown(self, busy: HostFactory) -> None:
        assert "HostFactory list" not in run(busy, "status").stdout
        unlisted = tuple(f"i-{number}" for number in range(7))
        roster.note(FileStore(str(busy.state)).marks, roster.Difference(unlisted, ("[red]host-9",)))
        found = run(busy, "status", "--json").answer
        assert (found["unlistedMachines"], found["unknownHosts"]) == ([*unlisted], ["[red]host-9"])
        lines = run(busy, "status").stdout.splitlines()
        assert "7 machines running that HostFactory does not list: i-0, i-1, i-2, i-3 and 3 more" in lines
        assert "1 host that HostFactory lists and nobody knows: [red]host-9" in lines

    def test_a_damaged_record_is_shown_for_as_long_as_it_lies_there(self, busy: HostFactory) -> None:
        first, second = (run(busy, "status", "--json").answer["damaged"] for _ in range(2))
        [aside] = (busy.state / "requests").glob("*.damaged-*")
        assert first == second == [str(aside)]
        assert f"damaged record set aside: {aside}" in run(busy, "status").stdout
        aside.unlink()
        assert run(busy, "status", "--json").answer["damaged"] == []

    def test_on_a_narrow_terminal_texts_are_folded_and_ids_stay_whole(self, busy: HostFactory) -> None:
        busy.environment["COLUMNS"] = "80"
        shown = run(busy, "status").stdout
        assert max(map(len, shown.splitlines()[2:])) <= 80
        assert REQUEST_ID in shown
        assert RETURN_ID in shown

    def test_the_cloud_is_not_asked(self, busy: HostFactory) -> None:
        loaded = modules("status", "--json", environment=busy.environment)
        assert not {"boto3", "botocore", "hfplugin.providers.aws"} & loaded

    def test_a_state_that_cannot_be_read_is_named_on_standard_error(self, site: HostFactory) -> None:
        site.state.write_text("in the way")
        called = run(site, "status")
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith(f"hfplugin: cannot list {site.state}")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def break_config(site: HostFactory) -> None:
    site.configure({"providerType": "aws", "aws": {"regoin": "x"}})


def remove_conf(site: HostFactory) -> None:
    for file in site.conf.iterdir():
        file.unlink()
    site.conf.rmdir()


def block(directory: Path) -> None:
    directory.rmdir()
    directory.touch()


class TestHistory:
    @pytest.fixture
    def told(self, busy: HostFactory) -> HostFactory:
        """The busy instance, whose open request was refused once and passed a place over."""
        reason = Refusal(ErrorKind.CAPACITY, "InsufficientInstanceCapacity", "none [left]", "us-1/a", CREATED)
        passed = Refusal(ErrorKind.CAPACITY, "RefusedRecently", "not asked again before noon", "us-1/b")
        launch = open_request().launches[0]
        refused = launch._replace(state=LaunchState.REFUSED, place="us-1/a", errors=(reason,))
        later = launch._replace(attempt=2, place="us-2/c", passed_over=(passed,))
        store = FileStore(str(busy.state))
        request = store.requests.load(REQUEST_ID)
        assert request is not None
        store.requests.save(request._replace(launches=(refused, later)))
        return busy

    def test_the_json_has_every_launch_with_its_reasons_and_every_machine(self, told: HostFactory) -> None:
        found = run(told, "history", REQUEST_ID, "--json").answer
        assert [(each["place"], each["state"], each["machines"]) for each in found["launches"]] == [
            ("us-1/a", "refused", 4),
            ("us-2/c", "unknown", 0),
        ]
        assert found["launches"][0]["errors"] == [
            {
                "place": "us-1/a",
                "kind": "capacity",
                "reason": "InsufficientInstanceCapacity in us-1/a: none [left]",
            }
        ]
        [passed] = found["launches"][1]["passedOver"]
        assert passed["reason"] == "RefusedRecently in us-1/b: not asked again before noon"
        assert [(each["machineId"], each["result"]) for each in found["machines"]][3] == ("i-4", "fail")
        assert "InsufficientInstanceCapacity in us-1/a" in found["message"]

    def test_the_tables_have_the_same(self, told: HostFactory) -> None:
        called = run(told, "history", REQUEST_ID)
        assert (called.status, called.stderr) == (0, "")
        for text in ("RunInstances in us-1/a", "none [left]", "passed over RefusedRecently", "terminated [/by]"):
            assert text in called.stdout

    def test_a_machine_that_was_given_back_is_no_failure(self, hostfactory: HostFactory) -> None:
        request_id = hostfactory.request("small", 2)
        [answer] = hostfactory.poll(request_id)
        return_id = hostfactory.give_back(answer["machines"][0])
        hostfactory.poll(return_id)
        shown = run(hostfactory, "history", request_id).stdout
        assert "terminated, returned by" in shown
        assert return_id in shown
        assert "running, succeed" in shown
        assert "fail" not in shown

    def test_one_that_failed_before_it_was_given_back_is_still_one(self, told: HostFactory) -> None:
        store = FileStore(str(told.state))
        request = store.requests.load(REQUEST_ID)
        assert request is not None
        failed = next(machine for machine in request.machines if machine.id == "i-4")
        store.requests.save(request.with_machines({"i-4": failed.returned(RETURN_ID)}))
        shown = run(told, "history", REQUEST_ID).stdout
        assert f"{failed.state}, fail, returned by" in shown
        assert "terminated [/by]" in shown

    @pytest.mark.parametrize("request_id", ["req-1", NOWHERE_ID, RETURN_ID, "../../etc/passwd"])
    def test_an_id_without_a_record_is_named(self, busy: HostFactory, request_id: str) -> None:
        called = run(busy, "history", request_id)
        assert (called.status, called.stdout) == (1, "")
        assert f"no record of request {request_id}" in called.stderr


class TestCheck:
    def test_all_is_well_with_an_aws_that_would_launch(self, hostfactory: HostFactory) -> None:
        called = run(hostfactory, "check")
        assert (called.status, called.stderr) == (0, "")
        assert all(line.startswith("ok ") for line in called.stdout.splitlines())
        for subject in ("state directory", "log directory", "configuration", "identity", "template small"):
            assert f"ok   {subject}: " in called.stdout

    def test_it_launches_nothing(self, hostfactory: HostFactory, ec2: Any) -> None:
        run(hostfactory, "check")
        assert ec2.describe_instances()["Reservations"] == []

    def test_warnings_are_shown_and_are_no_failure(self, hostfactory: HostFactory, subnets: list[str]) -> None:
        hostfactory.offer(template(subnets[0], forThePolicy=1))
        called = run(hostfactory, "check")
        assert called.status == 0
        assert "warn template small: unknown key 'forThePolicy'" in called.stdout

    @pytest.mark.parametrize(
        ("spoil", "subject", "detail", "remedy"),
        [
            (remove_conf, "configuration directory", "", "make it, or let this user read it"),
            (
                lambda site: block(site.work),
                "state directory",
                "Not a directory",
                "let this user write there, and make room",
            ),
            (
                lambda site: block(site.log),
                "log directory",
                "File exists",
                "let this user write there, and make room",
            ),
            (
                break_config,
                "configuration",
                "aws.regoin: unknown key; did you mean 'region'?",
                "correct the file, variable or package that is named",
            ),
            (
                lambda site: None,
                "identity",
                "Could not connect to the endpoint URL",
                "see the network, the region, endpointUrl",
            ),
        ],
        ids=["no files", "work directory", "log directory", "configuration", "unreachable"],
    )
    def test_a_failure_is_named_with_its_remedy(
        self, site: HostFactory, spoil: Callable[[HostFactory], None], subject: str, detail: str, remedy: str
    ) -> None:
        spoil(site)
        called = run(site, "check")
        assert (called.status, called.stderr) == (1, "")
        lines = called.stdout.splitlines()
        [failure] = [number for number, line in enumerate(lines) if line.startswith(f"FAIL {subject}: ")]
        assert detail in lines[failure]
        assert lines[failure + 1].startswith(f"     remedy: {remedy}")

    def test_a_template_that_aws_refuses_fails_and_the_others_are_tried(
        self, hostfactory: HostFactory, subnets: list[str]
    ) -> None:
        hostfactory.offer(
            template(subnets[0], templateId="bad", launchTemplateId="lt-00000000000000000"),
            template(subnets[0], templateId="fleet", priceType="spot"),
            template(subnets[0]),
        )
        found = {check["subject"]: check for check in json.loads(run(hostfactory, "check", "--json").stdout)}
        assert [found[f"template {name}"]["is_ok"] for name in ("bad", "fleet", "small")] == [False, True, True]
        assert found["template bad"]["detail"].startswith("InvalidLaunchTemplateId.NotFound")
        assert found["template bad"]["remedy"]

    def test_the_json_is_one_list_and_the_exit_status_tells_too(self, site: HostFactory) -> None:
        break_config(site)
        called = run(site, "check", "--json")
        assert called.status == 1
        assert [check["subject"] for check in json.loads(called.stdout) if not check["is_ok"]] == ["configuration"]

    def test_the_state_it_makes_is_private(self, site: HostFactory) -> None:
        run(site, "check")
        assert site.state.stat().st_mode & 0o777 == 0o700


class TestMachineTypes:
    @pytest.fixture
    def table(self, hostfactory: HostFactory) -> Path:
        return Path(machine_types_path(Environment(hostfactory.environment)))

    def test_a_refresh_needs_no_templates_that_compile_and_writes_what_the_cloud_has(
        self, hostfactory: HostFactory, table: Path, subnets: list[str]
    ) -> None:
        hostfactory.offer(template(subnets[0], vmType="m99.large"))
        called = run(hostfactory, "machine-types", "refresh")
        assert (called.status, called.stderr) == (0, "")
        types = json.loads(table.read_text())["types"]
        assert called.stdout == f"{len(types)} machine types written to {table}\n"
        assert types["m5.large"][:3] == [1, 2, 8192]
        assert hostfactory.state.stat().st_mode & 0o777 == 0o700

    def test_a_cloud_that_cannot_be_reached_leaves_the_table_as_it_is(self, site: HostFactory) -> None:
        table = Path(machine_types_path(Environment(site.environment)))
        table.parent.mkdir(parents=True)
        table.write_text("as it was")
        called = run(site, "machine-types", "refresh")
        assert (called.status, called.stdout) == (1, "")
        assert "Could not connect to the endpoint URL" in called.stderr
        assert table.read_text() == "as it was"

    def test_a_table_that_cannot_be_written_is_named_before_the_cloud_is_asked(self, site: HostFactory) -> None:
        site.state.touch()
        called = run(site, "machine-types", "refresh")
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith(f"hfplugin: cannot write {site.state}/cache/machine-types.json: ")

    def test_a_wrong_configuration_is_named(self, site: HostFactory) -> None:
        break_config(site)
        called = run(site, "machine-types", "refresh")
        assert (called.status, called.stdout) == (1, "")
        assert "did you mean 'region'?" in called.stderr


class TestConvert:
    def test_ibms_form_becomes_ours_and_what_has_no_place_is_named(self, site: HostFactory) -> None:
        site.configure({"AWS_REGION": "us-east-1", "AWS_PROXY_PORT": "3128", "AWS_KEY_FILE": "/keys"})
        called = run(site, "config", "convert")
        assert (called.status, called.document) == (
            0,
            {"providerType": "aws", "aws": {"region": "us-east-1", "proxyPort": 3128}},
        )
        assert (
            called.stderr
            == "hfplugin: AWS_KEY_FILE has no effect: key pairs are never created, so none is written\n"
        )

    def test_what_it_prints_is_a_configuration(self, site: HostFactory) -> None:
        site.configure({"AWS_REGION": "us-east-1", "AWS_CONNECTION_TIMEOUT_MS": 2500, "LogLevel": "WARN"})
        first = run(site, "config", "convert").answer
        site.configure(first)
        assert run(site, "config", "convert").answer == first
        assert site.templates()

    def test_a_wrong_file_is_named(self, site: HostFactory) -> None:
        site.configure({"AWS_PROXY_PORT": "many"})
        called = run(site, "config", "convert")
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith(
            f"hfplugin: {site.conf}/awsinstprov_config.json: AWS_PROXY_PORT: has to be"
        )

    def test_templates_in_another_products_words_become_ours(self, site: HostFactory) -> None:
        site.configure({"AWS_REGION": "us-east-1"})
        site.offer(ORB)
        called = run(site, "config", "convert", "--templates")
        assert (called.status, called.document) == (0, {"templates": [ORB_IN_OUR_FORM]})
        assert called.stderr == (
            "hfplugin: template orb: unknown key 'createdAt' is passed on to HostFactory as it is\n"
            "hfplugin: template orb: unknown key 'metadata' is passed on to HostFactory as it is\n"
            "hfplugin: template orb: priority has no effect: "
            "HostFactory takes the templates in the order of the file\n"
        )

    def test_the_templates_that_it_prints_mean_the_same(self, site: HostFactory) -> None:
        site.configure({"AWS_REGION": "us-east-1"})
        site.offer(ORB)
        before = site.templates()
        site.offer(ORB_IN_OUR_FORM)
        assert site.templates() == before
        assert run(site, "config", "convert", "--templates").document == {"templates": [ORB_IN_OUR_FORM]}

    def test_a_wrong_template_is_named(self, site: HostFactory) -> None:
        site.offer(ORB | {"price_type": "cheap"})
        called = run(site, "config", "convert", "--templates")
        assert (called.status, called.stdout) == (1, "")
        assert "awsinstprov_templates.json: template orb: priceType: Input should be" in called.stderr


def test_times_of_people_do_not_depend_on_the_time_zone(busy: HostFactory) -> None:
    busy.environment["TZ"] = "Asia/Tokyo"
    assert time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(CREATED)) in run(busy, "status").stdout
