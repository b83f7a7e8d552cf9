"""`hfplugin conformance` as an operator uses it: what it asks, says and launches, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance.bench import Bench, of
from hfplugin.conformance.findings import Outcome


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path).without_hooks()


def command(bench: Bench, *arguments: str) -> list[str]:
    where = ["--scripts", str(bench.scripts), "--config", str(bench.write())]
    return [sys.executable, "-m", "hfplugin", "conformance", *where, *arguments]


def called(bench: Bench, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(bench, *arguments), input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_asks_before_it_launches_and_says_how_much(bench: Bench) -> None:
    done = called(bench, "--only", "status.a-request-completes", stdin="n\n")
    assert "1 check, launching 2 machines at most" in done.stdout
    assert "Launch them?" in done.stderr
    assert done.returncode == 1
    assert not (bench.cloud / "memory.json").exists()


def test_the_checks_that_it_skips_count_before_as_they_count_after(bench: Bench) -> None:
    done = called(bench, "--only", "templates", "--only", "lost.an-interrupted-machine-is-named", "--yes")
    counts = [int(word) for word in re.findall(r"\d+", done.stdout.splitlines()[-1])[:3]]
    assert done.stdout.startswith(f"{sum(counts)} checks, 1 of them skipped, ")
    assert counts[2] == 1


def test_what_launches_nothing_is_not_asked_about(bench: Bench) -> None:
    done = called(bench, "--only", "templates.ids-are-well-formed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "without launching anything" in done.stdout
    assert "ok   templates.ids-are-well-formed" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped; machines requested: 0, left: none"


def test_a_failure_says_the_rule_what_was_expected_and_what_came(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "templates.attributes-are-pairs-of-strings/a number").without_hooks()
    done = called(bench, "--only", "templates.attributes-are-pairs-of-strings")
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert said[1] == "FAIL templates.attributes-are-pairs-of-strings"
    assert said[2].startswith("     rule: Every attribute is a list of two strings")
    assert said[3] == '     expected: "a": a list of two strings, the first String or Numeric'
    assert said[4] == '     came: 1 in template "small"'


def test_a_check_that_another_failure_keeps_from_being_made_names_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "status.a-request-completes/with an error")
    verdict = bench.play(["status.a-bare-id-is-taken"])
    assert of(verdict, Outcome.FAILED).keys() == {"status.a-request-completes"}
    [skipped] = of(verdict, Outcome.SKIPPED).values()
    assert skipped.why == "cannot be judged while status.a-request-completes does not hold"


def test_a_check_without_its_hook_is_skipped_and_says_so(bench: Bench) -> None:
    done = called(bench, "--only", "lost.an-interrupted-machine-is-named")
    assert "needs hook interrupt, which the file does not have" in done.stdout
    assert done.returncode == 0


def test_json_is_one_document_on_standard_output(bench: Bench) -> None:
    done = called(bench, "--only", "templates", "--json", "--yes")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["isGood"], verdict["left"]) == (0, True, [])
    assert verdict["checks"][0].keys() == {"id", "rule", "outcome", "expected", "came", "why"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machinecount": 3}, "machinecount: Extra inputs are not permitted"),
        ({"machineCount": 0}, "machineCount: Input should be greater than or equal to 1"),
        ({"confDir": "/not/there"}, "confDir '/not/there' is not a directory"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(bench: Bench, change: dict[str, object], said: str) -> None:
    bench.settings |= change
    done = called(bench)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_script_that_is_not_there_is_named(bench: Bench) -> None:
    (bench.scripts / "getRequestStatus.sh").unlink()
    done = called(bench)
    assert done.returncode == 1
    assert "getRequestStatus.sh is not there" in done.stderr


def test_a_provider_may_do_without_get_return_requests(bench: Bench) -> None:
    (bench.scripts / "getReturnRequests.sh").unlink()
    done = called(bench, "--only", "calls.every-script-starts", "--only", "lost.answers-a-list")
    assert done.returncode == 0
    assert "ok   calls.every-script-starts" in done.stdout
    assert "skip lost.answers-a-list: there is no getReturnRequests.sh; it is optional" in done.stdout


def test_an_unknown_check_is_refused_with_the_groups_that_there_are(bench: Bench) -> None:
    done = called(bench, "--only", "template")
    assert done.returncode == 1
    assert "no check is called 'template'; groups: calls, templates, request, status" in done.stderr


def test_scripts_see_of_the_callers_environment_only_what_the_file_passes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the caller")
    monkeypatch.setenv("PASSED", "as well")
    bench.settings["passEnvironment"] = ["PASSED", "NOT_SET"]
    seen = bench.cloud / "environment"
    script = bench.scripts / "getAvailableTemplates.sh"
    script.write_text(script.read_text().replace("\n", f"\nenv > {seen}\n", 1))
    bench.play(["templates.answers-a-list"])
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "PASSED" in names
    assert names & {"SECRET", "NOT_SET"} == set()
    assert {"HF_PROVIDER_NAME", "HF_PROVIDER_CONFDIR", "HF_CONFDIR", "HF_WORKDIR", "HF_LOGDIR"} <= names


@pytest.mark.parametrize("copies", [True, False])
def test_the_configuration_directory_is_copied_unless_the_file_says_otherwise(
    bench: Bench, tmp_path: Path, copies: bool
) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "settings").touch()
    bench.settings |= {"confDir": "conf", "copiesConfDir": copies}
    script = bench.scripts / "getAvailableTemplates.sh"
    script.write_text(script.read_text().replace("\n", '\nmv "$HF_PROVIDER_CONFDIR/settings" "$HOME" || :\n', 1))
    bench.play(["templates.ids-are-well-formed"])
    assert (conf / "settings").exists() == copies


class TestTheEnd:
    def test_all_machines_are_returned_when_a_check_failed(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, "status.no-machine-is-dropped").without_hooks()
        verdict = bench.play(["status"])
        assert of(verdict, Outcome.FAILED)
        assert (bench.running(), verdict.left) == ([], [])

    def test_the_providers_directories_are_kept_for_a_look_when_a_check_failed(self, tmp_path: Path) -> None:
        verdict = Bench(tmp_path, "templates.offers-something/all of none").without_hooks().play(["templates"])
        assert (Path(verdict.kept) / "work/providers/tiny").is_dir()

    def test_machines_that_cannot_be_returned_are_named(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, "return.completes/never").without_hooks()
        bench.limit(goneSeconds=1)
        done = called(bench, "--only", "status.a-bare-id-is-taken", "--yes")
        assert done.returncode == 1
        assert "left: 2" in done.stdout
        assert "NOT seen to end: m-0 (host-0.example.com)" in done.stdout

    def test_what_a_killed_request_launched_is_found_by_the_hook_and_returned(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, "kill.what-a-killed-request-launched-is-given-back")
        verdict = bench.play(["kill.a-killed-request-spoils-no-other"])
        assert any(request["made"] is not None for request in bench.memory()["requests"].values())
        assert (bench.running(), verdict.left) == ([], [])

    def test_ctrl_c_ends_the_checks_and_returns_all_machines(self, bench: Bench) -> None:
        bench.limit(pollSeconds=0.3)
        with subprocess.Popen(command(bench, "--yes"), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "status.a-request-completes" in line:
                    break
            os.kill(process.pid, signal.SIGINT)
            said = process.stdout.read()
        assert process.returncode == 1
        assert "skip kill.a-killed-poll-loses-nothing: the run was stopped" in said
        assert said.splitlines()[-1].startswith("stopped before all checks were made: ")
        assert said.splitlines()[-1].endswith("left: none")
        assert bench.running() == []

    def test_a_second_ctrl_c_ends_the_returning_and_says_what_is_left(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, "return.completes/never").without_hooks()
        bench.limit(goneSeconds=60, pollSeconds=0.1)
        arguments = command(bench, "--only", "status.a-bare-id-is-taken", "--yes")
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "status.a-bare-id-is-taken" in line:
                    break
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGINT)
            said = process.stdout.read()
        assert process.returncode == 1
        assert "NOT seen to end: m-0 (host-0.example.com)" in said
