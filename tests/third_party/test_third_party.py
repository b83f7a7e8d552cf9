"""Another package's provider, installed beside hfplugin into an environment that has nothing else.

pip fetches the requirements from whatever package index it is configured for; hfplugin is built as it is released.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import player
import pytest
from player import HostFactory

from hfplugin.locks import Locks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# A download of some 20 MB, and two builds.
_INSTALL_SECONDS = 600


class Installation:
    """An environment with hfplugin and the shelf, and a plug-in directory with the scripts alone."""

    def __init__(self, top: Path) -> None:
        self.python = top / "environment/bin/python"
        self.scripts = top / "plug-in/scripts"
        if not self.scripts.exists():
            self._install(top)

    def _install(self, top: Path) -> None:
        _run(sys.executable, "-m", "venv", top / "environment")
        _run(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "hatchling")
        packages = (f"{ROOT}[contract]", HERE)
        _run(
            self.python,
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-build-isolation"),
            *packages,
        )
        shutil.copytree(ROOT / "scripts", self.scripts)


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One for all of pytest's workers, whose directories lie beside each other."""
    top = tmp_path_factory.getbasetemp()
    shared = (top.parent if top.name.startswith("popen-") else top) / "third party"
    with Locks(str(shared / "locks")).hold("installation", "", wait=_INSTALL_SECONDS):
        return Installation(shared)


@pytest.fixture
def hostfactory(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostFactory:
    """A provider instance of the shelf's kind; no script finds hfplugin but the installed one."""
    monkeypatch.setattr(player, "SCRIPTS", installation.scripts)
    instance = HostFactory(tmp_path, "shelf1")
    instance.environment["HFPLUGIN_PYTHON"] = str(installation.python)
    (tmp_path / "shelf").mkdir()
    instance.configure({"providerType": "shelf", "shelf": {"directory": str(tmp_path / "shelf")}})
    instance.offer({"templateId": "box", "maxNumber": 10, "boxCpus": 4})
    return instance


def test_the_five_scripts_serve_another_packages_provider(hostfactory: HostFactory) -> None:
    [template] = hostfactory.templates()
    assert template["attributes"]["ncpus"] == ["Numeric", "4"]
    assert template["attributes"]["nram"] == ["Numeric", "4096"]
    machines = hostfactory.machines("box", 3)
    assert {machine["name"] for machine in machines} == {f"{machine['machineId']}.shelf" for machine in machines}
    assert hostfactory.lost(*machines) == []
    answer = hostfactory.returned(*machines)
    assert (answer["status"], [machine["result"] for machine in answer["machines"]]) == (
        "complete",
        ["succeed"] * 3,
    )


def test_its_machines_are_found_again_when_the_state_is_lost(hostfactory: HostFactory) -> None:
    request_id = hostfactory.request("box", 2)
    [before] = hostfactory.poll(request_id)
    shutil.rmtree(hostfactory.state / "requests")
    [after] = hostfactory.poll(request_id)
    ids = [{machine["machineId"] for machine in answer["machines"]} for answer in (before, after)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2


def test_an_unknown_key_of_its_template_is_refused_with_the_nearest_name(hostfactory: HostFactory) -> None:
    hostfactory.offer({"templateId": "box", "maxNumber": 10, "boxCpu": 4})
    said = hostfactory.refused("getAvailableTemplates", {})
    assert said.endswith("template box: boxCpu: unknown key; did you mean 'boxCpus'?")


def test_a_setting_that_it_needs_is_named(hostfactory: HostFactory) -> None:
    hostfactory.configure({"providerType": "shelf", "shelf": {}})
    assert hostfactory.refused("getAvailableTemplates", {}).endswith("shelf.directory: is missing")


def test_its_claim_to_a_built_in_name_is_not_heard(hostfactory: HostFactory) -> None:
    hostfactory.configure({"providerType": "aws", "aws": {"region": "eu-central-1"}})
    hostfactory.offer({"templateId": "small", "maxNumber": 1, "imageId": "ami-1", "vmType": "m5.large"})
    [template] = hostfactory.templates()
    assert template["attributes"]["ncpus"] == ["Numeric", "1"]


def test_a_kind_that_nobody_installed_is_refused_with_those_that_are(hostfactory: HostFactory) -> None:
    hostfactory.configure({"providerType": "shelve", "shelf": {}})
    said = hostfactory.refused("getAvailableTemplates", {})
    assert "unknown providerType 'shelve'; known: aws, shelf, simulated: install the package" in said


def test_it_passes_the_contract_kit_as_its_author_runs_it(installation: Installation, tmp_path: Path) -> None:
    shutil.copy(HERE / "shelf_contract.py", tmp_path)
    said = _run(
        installation.python,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "shelf_contract.py",
        cwd=tmp_path,
    )
    assert " failed" not in said
    assert "unproven for want of the hook `lose_answer`" in said


def test_its_scripts_pass_the_conformance_suite(
    hostfactory: HostFactory, installation: Installation, tmp_path: Path
) -> None:
    settings = {
        "providerName": hostfactory.name,
        "confDir": str(hostfactory.conf),
        "workDir": str(hostfactory.work),
        "environment": {"HFPLUGIN_PYTHON": str(installation.python), "SHELF": str(tmp_path / "shelf")},
        "limits": {"pollSeconds": 0.1, "readySeconds": 60, "goneSeconds": 60},
        "hooks": {"unreachable": 'mv "$SHELF" "$SHELF.away"', "reachable": 'mv "$SHELF.away" "$SHELF"'},
    }
    file = tmp_path / "conformance.json"
    file.write_text(json.dumps(settings))
    asked = ("--scripts", installation.scripts, "--config", file, "--yes", "--json")
    verdict = json.loads(_run(installation.python, "-I", "-m", "hfplugin", "conformance", *asked))
    outcomes = Counter(check["outcome"] for check in verdict["checks"])
    assert (outcomes["failed"], verdict["left"]) == (0, [])
    assert outcomes["passed"] > 70


def test_nothing_of_it_is_known_to_hfplugin() -> None:
    known = [
        path for path in (ROOT / "hfplugin").rglob("*.py") if "shelf" in path.read_text(encoding="utf-8").lower()
    ]
    assert known == []
