"""The log: JSON lines of the wanted level, files of bounded size, nothing secret, and never in the way."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import pytest
from front_door import ROOT, call
from player import HostFactory, template

from hfplugin import logs
from hfplugin.logs import Log

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log/awsinst-provider.management1.log"


def started(path: Path, level: str = "INFO", **bound: Any) -> Log:
    log = Log()
    log.start(str(path), level, **bound)
    return log


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_one_json_line_with_its_level_time_and_bound_values(path: Path) -> None:
    started(path, verb="getRequestStatus", pid=7).info("launch.answered", machines=2, reason="a\nb")
    [line] = lines(path)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "launch.answered",
        "level": "info",
        "verb": "getRequestStatus",
        "pid": 7,
        "machines": 2,
        "reason": "a\nb",
    }


@pytest.mark.parametrize("level", LEVELS)
def test_events_below_the_level_are_left_out(path: Path, level: str) -> None:
    log = started(path, level)
    for write in (log.debug, log.info, log.warning, log.error):
        write("happened")
    assert [line["level"].upper() for line in lines(path)] == LEVELS[LEVELS.index(level) :]


@pytest.mark.parametrize(
    ("hostfactorys", "configured", "logged"),
    [
        ("LOG_DEBUG", "ERROR", {"debug"}),
        ("LOG_TRACE", "ERROR", {"debug"}),
        ("LOG_ERROR", "DEBUG", set()),
        ("", "DEBUG", set()),
        ("", "INFO", set()),
    ],
)
def test_hf_loglevel_holds_where_it_is_set(
    tmp_path: Path, hostfactorys: str, configured: str, logged: set[str]
) -> None:
    site = HostFactory(tmp_path)
    site.configure({"providerType": "aws", "logging": {"level": configured}})
    site.offer({"templateId": "small", "maxNumber": 5, "imageId": "ami-1", "vmType": "m5.large"})
    site.environment["HF_LOGLEVEL"] = hostfactorys
    site.templates()
    assert {line["level"] for file in site.log.iterdir() for line in lines(file)} == logged


def test_the_configured_level_holds_where_hf_loglevel_is_not_set(hostfactory: HostFactory) -> None:
    hostfactory.environment["HFPLUGIN_LOGGING__LEVEL"] = "ERROR"
    hostfactory.request("small", 1)
    assert not [*hostfactory.log.iterdir()]
    del hostfactory.environment["HFPLUGIN_LOGGING__LEVEL"]
    hostfactory.request("small", 1)
    assert [*hostfactory.log.iterdir()]


def test_the_file_is_named_by_provider_and_host(hostfactory: HostFactory) -> None:
    hostfactory.request("small", 1)
    assert [file.name for file in hostfactory.log.iterdir()] == ["awsinst-provider.management1.log"]


@pytest.mark.parametrize(
    "secret",
    [
        {"user_data": "marked"},
        {"UserData": "marked"},
        {"aws_call": {"params": [{"UserData": "marked", "n": 1}]}},
        {"settings": {"aws": {"sessionToken": "marked", "secret_access_key": "marked"}}},
        {"SecretAccessKey": "marked"},
        {"token": "marked"},
        {"Password": "marked"},
        {"credentials": {"key": "marked"}},
    ],
    ids=str,
)
def test_a_secret_is_hidden_at_any_depth(path: Path, secret: dict[str, Any]) -> None:
    started(path).info("called", **secret)
    assert "marked" not in path.read_text()
    assert "(hidden)" in path.read_text()


def test_what_is_no_json_is_logged_as_text(path: Path) -> None:
    started(path).info("called", path=Path("/x"), names=frozenset({"a"}), half="\udcff")
    [line] = lines(path)
    assert (line["path"], line["half"]) == ("/x", "\udcff")


@pytest.mark.parametrize("obstacle", ["file", "directory"])
def test_a_log_that_cannot_be_written_is_given_up(path: Path, obstacle: str) -> None:
    if obstacle == "file":
        path.parent.write_text("in the way")
    else:
        path.mkdir(parents=True)
    log = started(path)
    log.error("first")
    log.error("second")
    assert path.parent.is_file() or not [*path.iterdir()]


def test_before_it_is_started_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Log().error("too early")
    assert not [*tmp_path.iterdir()]


class TestRotation:
    """Files of 2 kB instead of 10 MB; every line carries its writer and number."""

    SIZE = 2000

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "_MAX_BYTES", self.SIZE)

    @staticmethod
    def files(path: Path) -> list[Path]:
        """Give the log's files, the oldest first."""
        older = [path.with_name(f"{path.name}.{number}") for number in range(9, 0, -1)]
        return [file for file in [*older, path] if file.exists()]

    def test_a_full_file_is_put_aside_at_the_next_opening(self, path: Path) -> None:
        for number in range(200):
            started(path).info("happened", number=number)
        files = self.files(path)
        assert [file.name.removeprefix(path.name) for file in files] == [".5", ".4", ".3", ".2", ".1", ""]
        numbers = [line["number"] for file in files for line in lines(file)]
        assert numbers == [*range(numbers[0], 200)]
        assert all(self.SIZE <= file.stat().st_size < self.SIZE + 200 for file in files[:-1])

    def test_a_file_that_another_call_puts_aside_first_is_not_put_aside_again(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fill(path)

        def late(stream: TextIO, operation: int, lock: Callable[[TextIO, int], None] = fcntl.flock) -> None:
            monkeypatch.setattr(fcntl, "flock", lock)
            started(path).info("other")
            lock(stream, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        started(path).info("mine")
        assert self.events(path) == [{"filled"}, {"other", "mine"}]

    def test_while_one_call_puts_a_file_aside_no_other_does(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fill(path)
        other = Thread(target=lambda: started(path).info("other"))

        def slow(source: str, target: str, replace: Callable[[str, str], None] = os.replace) -> None:
            monkeypatch.setattr(os, "replace", replace)
            other.start()
            other.join(timeout=0.5)  # unless it waits for its turn, it is done in a few milliseconds
            replace(source, target)

        monkeypatch.setattr(os, "replace", slow)
        started(path).info("mine")
        other.join()
        assert self.events(path) == [{"filled"}, {"other", "mine"}]

    def fill(self, path: Path) -> None:
        log = started(path)
        while not path.exists() or path.stat().st_size < self.SIZE:
            log.info("filled")

    def events(self, path: Path) -> list[set[str]]:
        """Give the events of each file, the oldest first."""
        return [{line["event"] for line in lines(file)} for file in self.files(path)]

    def test_processes_that_race_lose_no_line_of_the_newest_files(self, path: Path) -> None:
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from hfplugin import logs
logs._MAX_BYTES = {self.SIZE}
sys.stdin.read()
for number in range(150):
    log = logs.Log()
    log.start({str(path)!r}, "INFO", writer=sys.argv[1])
    log.info("happened", number=number)
"""
        writers = [
            subprocess.Popen([sys.executable, "-I", "-c", code, name], stdin=subprocess.PIPE)
            for name in ("a", "b")
        ]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
        self.are_whole(path)

    def are_whole(self, path: Path) -> None:
        """Assert that of each writer the last lines are there, each once, without a gap."""
        kept = [line for file in self.files(path) for line in lines(file)]
        assert len(self.files(path)) == 6
        for name in ("a", "b"):
            numbers = sorted(line["number"] for line in kept if line["writer"] == name)
            assert numbers == [*range(150 - len(numbers), 150)]


# What must be in no file but `userdata/`, and in no answer.
USER_DATA = "MARKED-user-data-0f6a"
SECRET = "MARKED-secret-access-key-91c2"
SESSION = "MARKED-session-token-77ab"


@pytest.fixture
def marked(hostfactory: HostFactory, tmp_path: Path, subnets: list[str]) -> HostFactory:
    """A provider instance whose script and credentials are marked, logging all there is."""
    script = tmp_path / "prepare.sh"
    script.write_text(f"#!/bin/sh\nexport PASSWORD={USER_DATA}\n")
    hostfactory.offer(
        template(subnets[0], userDataScript=str(script)),
        template(subnets[0], templateId="refused", userDataScript=str(script), imageId="ami-00000000000000000"),
    )
    hostfactory.environment |= {
        "HF_LOGLEVEL": "LOG_DEBUG",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": SESSION,
    }
    return hostfactory


def words(*files: Path) -> Iterator[bytes]:
    """Give every mark as it may be written: plain, and in EC2's encoding."""
    for word in (USER_DATA, SECRET, SESSION):
        yield word.encode()
    yield b64encode(files[0].read_bytes())[:40]


def test_a_whole_life_leaves_user_data_in_its_own_place_and_credentials_in_none(
    marked: HostFactory, tmp_path: Path
) -> None:
    said = [marked.refused("requestMachines", {"template": {"templateId": "refused", "machineCount": 1}})]
    request_id = marked.request("small", 2)
    answers: list[Any] = [marked.templates(), marked.poll(request_id)]
    hosts = answers[-1][0]["machines"]
    answers += [marked.lost(*hosts), marked.returned(*hosts), marked.poll(request_id)]
    crash = "import hfplugin.broker; hfplugin.broker.Broker.request_status = None\n"
    said.append(call("getRequestStatus", environment=marked.environment, stdin=request_id, before=crash).stdout)
    for command in (["status"], ["status", "--json"], ["check"]):
        called = call(*command, environment=marked.environment)
        said += [called.stdout, called.stderr]

    everything = [path for top in (marked.work, marked.log) for path in top.rglob("*") if path.is_file()]
    assert [path for path in everything if USER_DATA.encode() in path.read_bytes()] == [
        *(marked.state / "userdata").iterdir()
    ]
    elsewhere = [path for path in everything if path.parent.name != "userdata"]
    assert any(path.is_relative_to(marked.log) for path in elsewhere)
    for word in words(tmp_path / "prepare.sh"):
        assert [path for path in elsewhere if word in path.read_bytes()] == []
        assert word.decode() not in json.dumps([answers, said])
