"""The edge of a verb, from outside: one JSON document on standard output whatever happens, and exit 0 or 1."""

from __future__ import annotations

import json
import os
import pty
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front_door import Called, call, command
from player import HostFactory, demand

from hfplugin.hostfactory.verbs import VERBS
from hfplugin.model import (
    Launch,
    LaunchState,
    Machine,
    MachineState,
    Phase,
    Request,
    RequestStatus,
    Result,
    Template,
)
from hfplugin.store import FileStore

UUID = "00000000-0000-4000-8000-000000000000"
# Closed, or nobody listens: port 9 is discard, which no machine has served for decades.
NOBODY = "http://127.0.0.1:9"

TEMPLATE = {
    "templateId": "small",
    "maxNumber": -1,
    "imageId": "ami-1",
    "vmType": "m5.large",
    "subnetId": "subnet-1",
    "attributes": {"type": "X86_64", "ncores": 1, "ncpus": 1, "nram": 8192},
}
# What each verb can answer without any cloud.
MESSAGES: dict[str, dict[str, Any]] = {
    "getAvailableTemplates": {},
    "requestMachines": demand("small", 1),
    "requestReturnMachines": {"machines": [{"name": "host-1"}]},
    "getRequestStatus": {"requests": [{"requestId": "nonsense"}]},
    "getReturnRequests": {},
}
# Files that cannot be written show up in no other way to a test that runs as root.
DISK_FULL = (0, 0)


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance whose AWS cannot be reached."""
    player = HostFactory(tmp_path)
    point_to(player, NOBODY)
    player.offer(TEMPLATE)
    return player


def point_to(site: HostFactory, url: str) -> None:
    site.configure({"providerType": "aws", "aws": {"region": "eu-central-1", "endpointUrl": url}})


def ask(site: HostFactory, verb: str, message: dict[str, Any] | None = None, **keywords: Any) -> Called:
    stdin = json.dumps(MESSAGES[verb] if message is None else message)
    return call(verb, environment=site.environment, stdin=stdin, **keywords)


def events(site: HostFactory) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(site.log.glob("*.log")) for line in path.read_text().splitlines()]


def without(site: HostFactory, *variables: str) -> dict[str, str]:
    return {name: value for name, value in site.environment.items() if name not in variables}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_answers_one_document_in_silence(site: HostFactory, verb: str) -> None:
    assert ask(site, verb).answer


@pytest.mark.parametrize("flag", ["-f", "--file"])
@pytest.mark.parametrize("verb", ["getAvailableTemplates", "getRequestStatus"])
def test_input_comes_from_a_file_too(site: HostFactory, tmp_path: Path, verb: str, flag: str) -> None:
    file = tmp_path / "hf_in"
    file.write_text(json.dumps(MESSAGES[verb], indent="\t"))
    assert call(verb, flag, file, environment=site.environment).answer


USAGE_ERRORS = [
    ["-f"],
    ["-f", "a", "b"],
    ["in.json"],
    ["--input", "in.json"],
    ["-fin.json"],
    ["--file=in.json"],
    [""],
]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [*((verb, ["-f"]) for verb in VERBS), *(("getRequestStatus", arguments) for arguments in USAGE_ERRORS)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_usage_error_is_json_too(site: HostFactory, verb: str, arguments: list[str]) -> None:
    refusal = call(verb, *arguments, environment=site.environment).refusal
    assert refusal == f"usage: {verb} [-f FILE]; got: {' '.join(arguments)}".strip()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "No such file or directory"),
        (".", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(site: HostFactory, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refusal = call("getRequestStatus", "-f", tmp_path / name, environment=site.environment).refusal
    assert refusal == f"cannot read the input file {tmp_path / name}: {said}"


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\xef\xbb\xbf{}", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("verb", ["getAvailableTemplates", "getReturnRequests"])
def test_an_empty_input_is_fine_where_input_is_optional(site: HostFactory, verb: str, content: bytes) -> None:
    assert call(verb, environment=site.environment, stdin=content).answer


@pytest.mark.parametrize("content", [b"", b"{}", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("verb", ["requestMachines", "requestReturnMachines", "getRequestStatus"])
def test_an_empty_input_is_refused_where_input_is_required(site: HostFactory, verb: str, content: bytes) -> None:
    refusal = call(verb, environment=site.environment, stdin=content).refusal
    assert (
        "template is missing" in refusal or "machines has to name" in refusal or "requests is missing" in refusal
    )


@pytest.mark.parametrize("verb", VERBS)
def test_an_input_that_is_no_json_is_refused(site: HostFactory, verb: str) -> None:
    assert call(verb, environment=site.environment, stdin="{").refusal.startswith("the input is not JSON: ")


def test_templates_in_the_input_of_get_available_templates_are_ignored(site: HostFactory) -> None:
    [template] = ask(site, "getAvailableTemplates", {"templates": [{"templateId": "other"}]}).answer["templates"]
    assert template["templateId"] == "small"


def test_an_entry_that_names_nothing_is_passed_over_and_logged(site: HostFactory) -> None:
    answer = ask(site, "getRequestStatus", {"requests": [{}, "nonsense"]}).answer
    assert [request["requestId"] for request in answer["requests"]] == ["nonsense"]
    [event] = events(site)
    assert event["reason"] == "requests[0] has no requestId, or one that is not a text"


class TestStandardOutput:
    NOISE = """
import os, hfplugin.catalog as catalog
load = catalog.load
def noisy(environment):
    print("from Python")
    os.write(1, b"from a descriptor\\n")
    os.system("echo from a child")
    return load(environment)
catalog.load = noisy
"""

    def test_what_a_library_prints_does_not_reach_the_answer(self, site: HostFactory) -> None:
        called = ask(site, "getAvailableTemplates", before=self.NOISE)
        assert (called.status, [*called.document]) == (0, ["templates", "message"])
        assert sorted(called.stderr.splitlines()) == ["from Python", "from a child", "from a descriptor"]

    def test_what_a_library_prints_is_lost_when_standard_error_is_closed_too(self, site: HostFactory) -> None:
        line = command("getAvailableTemplates", before=self.NOISE)
        done = self.run(site, ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *line])
        assert done.returncode == 0
        assert [*json.loads(done.stdout)] == ["templates", "message"]

    def test_a_long_answer_is_written_whole(self, site: HostFactory) -> None:
        record = closed_request(3000)
        FileStore(str(site.state)).requests.save(record)
        [request] = ask(site, "getRequestStatus", {"requests": record.id}).answer["requests"]
        assert len(request["machines"]) == 3000

    def test_closed_from_the_start_nothing_is_begun(self, site: HostFactory) -> None:
        line = command("requestMachines")
        done = self.run(site, ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *line], demand("small", 1))
        assert (done.returncode, done.stderr) == (1, "")
        assert not site.state.exists()

    def test_closed_early_the_exit_status_and_the_log_say_so(self, site: HostFactory) -> None:
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write) as pipe:
            done = self.run(site, command("getAvailableTemplates"), stdout=pipe)
        self.is_undelivered(site, done, "Broken pipe")

    def test_full_the_exit_status_and_the_log_say_so(self, site: HostFactory) -> None:
        with Path("/dev/full").open("w") as full:
            done = self.run(site, command("getAvailableTemplates"), stdout=full)
        self.is_undelivered(site, done, "No space left on device")

    @staticmethod
    def run(
        site: HostFactory,
        line: list[str | Path],
        message: dict[str, Any] | None = None,
        stdout: Any = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            input=json.dumps(message or {}),
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=site.environment,
            text=True,
            check=False,
        )

    @staticmethod
    def is_undelivered(site: HostFactory, done: subprocess.CompletedProcess[str], reason: str) -> None:
        assert (done.returncode, done.stderr) == (1, "")
        [event] = events(site)
        assert (event["event"], event["reason"]) == ("answer.undelivered", reason)


class TestStandardInput:
    def test_closed_it_is_refused(self, site: HostFactory) -> None:
        assert self.refusal(site, "<&-") == "getRequestStatus got no input: give -f FILE or JSON on standard input"

    def test_not_readable_it_is_refused(self, site: HostFactory) -> None:
        assert self.refusal(site, "0>/dev/null").startswith("cannot read standard input: ")

    @staticmethod
    def refusal(site: HostFactory, redirection: str) -> str:
        line = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command("getRequestStatus")]
        done = subprocess.run(line, capture_output=True, env=site.environment, text=True, check=False)
        return Called(done.returncode, done.stdout, done.stderr).refusal

    def test_at_a_terminal_a_hint_on_standard_error_says_what_it_waits_for(self, site: HostFactory) -> None:
        terminal, device = pty.openpty()
        with subprocess.Popen(
            command("getAvailableTemplates"),
            stdin=device,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=site.environment,
            text=True,
        ) as process:
            os.close(device)
            os.write(terminal, b"{}\n\x04")
            stdout, hint = process.communicate(timeout=60)
        os.close(terminal)
        assert hint == "getAvailableTemplates waits for its JSON input; end it with Ctrl-D (--help tells more)\n"
        assert process.returncode == 0
        assert json.loads(stdout)["templates"]


class TestCrash:
    @pytest.mark.parametrize(
        ("verb", "target"),
        [
            ("getAvailableTemplates", "hfplugin.catalog.load"),
            ("requestMachines", "hfplugin.broker.Broker.request_machines"),
            ("requestReturnMachines", "hfplugin.broker.Broker.return_machines"),
            ("getRequestStatus", "hfplugin.broker.Broker.request_status"),
            ("getReturnRequests", "hfplugin.broker.Broker.return_requests"),
        ],
    )
    def test_an_unexpected_exception_is_json_with_its_traceback_in_the_log_alone(
        self, site: HostFactory, verb: str, target: str
    ) -> None:
        before = f"""
import hfplugin.broker, hfplugin.catalog
def boom(*_):
    raise RuntimeError("line one\\nline two \\udcff")
{target} = boom
"""
        refusal = ask(site, verb, before=before).refusal
        assert refusal == "internal error: RuntimeError: line one line two ? (see the provider's log)"
        [event] = events(site)
        assert (event["event"], event["verb"]) == ("verb.crashed", verb)
        assert event["exception"].startswith("Traceback ")

    def test_half_an_installation_is_answered_though_it_cannot_be_logged(self, site: HostFactory) -> None:
        before = "sys.modules['structlog'] = sys.modules['pydantic'] = None\n"
        refusal = ask(site, "getAvailableTemplates", before=before).refusal
        assert refusal.startswith("internal error: ModuleNotFoundError: import of pydantic halted")


class TestEnvironment:
    @pytest.mark.parametrize("verb", VERBS)
    def test_without_hf_provider_name_it_is_refused(self, site: HostFactory, verb: str) -> None:
        called = call(verb, environment=without(site, "HF_PROVIDER_NAME"), stdin=json.dumps(MESSAGES[verb]))
        assert called.refusal.startswith("HF_PROVIDER_NAME is not set: HostFactory sets it")

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_name_with_a_slash_is_refused(self, site: HostFactory, verb: str) -> None:
        environment = site.environment | {"HF_PROVIDER_NAME": "../other"}
        called = call(verb, environment=environment, stdin=json.dumps(MESSAGES[verb]))
        assert called.refusal == "HF_PROVIDER_NAME '../other' is not a name: it has a slash"

    def test_a_name_that_is_not_utf8_is_answered_in_utf8(self, site: HostFactory) -> None:
        environment = site.environment | {"HF_PROVIDER_NAME": os.fsdecode(b"\xff")}
        assert "?prov_config.json" in call("getAvailableTemplates", environment=environment).refusal

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_home_that_cannot_be_written_does_not_matter(
        self, site: HostFactory, tmp_path: Path, verb: str
    ) -> None:
        (tmp_path / "file").touch()
        site.environment["HOME"] = str(tmp_path / "file")
        assert ask(site, verb).answer

    @pytest.mark.parametrize("verb", VERBS)
    def test_no_call_writes_outside_the_work_and_log_directories(
        self, site: HostFactory, tmp_path: Path, verb: str
    ) -> None:
        home, temporary = tmp_path / "home", tmp_path / "temporary"
        home.mkdir()
        temporary.mkdir()
        site.environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
        before = {path for path in tmp_path.rglob("*") if self.is_elsewhere(site, path)}
        assert ask(site, verb).answer
        assert {path for path in tmp_path.rglob("*") if self.is_elsewhere(site, path)} == before

    @staticmethod
    def is_elsewhere(site: HostFactory, path: Path) -> bool:
        return not path.is_relative_to(site.work) and not path.is_relative_to(site.log)

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_log_directory_that_cannot_be_written_does_not_matter(self, site: HostFactory, verb: str) -> None:
        site.log.rmdir()
        site.log.touch()
        assert ask(site, verb).answer


class Listener:
    """Counts connections to a port of its own and answers none."""

    def __init__(self) -> None:
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def cloud(site: HostFactory) -> Iterator[Listener]:
    """What the provider instance takes for AWS."""
    listener = Listener()
    point_to(site, listener.url)
    yield listener
    listener.close()


def fill_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, DISK_FULL)


class TestStateThatCannotBeWritten:
    """The work directory is a file, `requests` is a file, or the disk is full."""

    @pytest.fixture(params=["no directory", "no records", "disk full"])
    def broken(self, site: HostFactory, request: pytest.FixtureRequest) -> Any:
        """Give what `call` needs to run on it."""
        if request.param == "no directory":
            site.work.rmdir()
            site.work.touch()
        elif request.param == "no records":
            site.state.mkdir()
            (site.state / "requests").touch()
            (site.state / "returns").touch()
        return {"limit": fill_disk if request.param == "disk full" else None}

    def test_machines_are_refused_before_any_call_to_the_cloud(
        self, site: HostFactory, cloud: Listener, broken: dict[str, Any]
    ) -> None:
        refusal = ask(site, "requestMachines", **broken).refusal
        assert str(site.work) in refusal
        assert cloud.count == 0

    def test_machines_under_a_max_number_are_refused_before_any_call_to_the_cloud(
        self, site: HostFactory, cloud: Listener, broken: dict[str, Any]
    ) -> None:
        site.offer(TEMPLATE | {"maxNumber": 5})
        assert str(site.work) in ask(site, "requestMachines", **broken).refusal
        assert cloud.count == 0

    def test_a_return_is_refused_before_any_call_to_the_cloud(
        self, site: HostFactory, cloud: Listener, broken: dict[str, Any]
    ) -> None:
        assert str(site.work) in ask(site, "requestReturnMachines", **broken).refusal
        assert cloud.count == 0

    def test_a_poll_is_answered(self, site: HostFactory, broken: dict[str, Any]) -> None:
        [request] = ask(site, "getRequestStatus", {"requests": f"req-{UUID}"}, **broken).answer["requests"]
        assert request["status"] == "running"

    def test_templates_are_answered(self, site: HostFactory, broken: dict[str, Any]) -> None:
        [template] = ask(site, "getAvailableTemplates", **broken).answer["templates"]
        assert template["templateId"] == "small"

    def test_the_hosts_that_have_to_be_returned_are_answered(
        self, site: HostFactory, broken: dict[str, Any]
    ) -> None:
        assert ask(site, "getReturnRequests", **broken).answer["requests"] == []


def test_machines_are_asked_of_the_cloud_when_the_state_can_be_written(site: HostFactory, cloud: Listener) -> None:
    assert ask(site, "requestMachines").answer["requestId"].startswith("req-")
    assert cloud.count > 0


def test_an_open_request_is_answered_from_its_record_on_a_full_disk(site: HostFactory) -> None:
    record, store = open_request(), FileStore(str(site.state))
    store.installation()
    store.requests.save(record)
    [answer] = ask(site, "getRequestStatus", {"requests": record.id}, limit=fill_disk).answer["requests"]
    assert answer["status"] == "running"
    assert [machine["machineId"] for machine in answer["machines"]] == ["i-0"]


def machine(number: int) -> Machine:
    return Machine(f"i-{number}", 1, "eu-central-1", "", MachineState.RUNNING, 1, Result.SUCCEED, f"host-{number}")


def closed_request(machines: int) -> Request:
    template = Template("small", "aws", -1, {}, {})
    return Request(
        f"req-{UUID}",
        template,
        machines,
        created=0,
        deadline=600,
        pending_timeout=600,
        phase=Phase.CLOSED,
        status=RequestStatus.COMPLETE,
        machines=tuple(machine(number) for number in range(machines)),
    )


def open_request() -> Request:
    launch = Launch(1, "t", "RunInstances", "eu-central-1", "", "", {}, 1, 0.0, state=LaunchState.SETTLED)
    waiting = machine(0)._replace(state=MachineState.PENDING, result=Result.EXECUTING)
    record = closed_request(0)._replace(units=1, phase=Phase.OPEN, status=RequestStatus.RUNNING)
    return record._replace(launches=(launch,), machines=(waiting,))
