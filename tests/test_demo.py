"""The demo: the player against the product, and what it does when something is not as it should be."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def play(scripts: Path, scratch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the player of a plug-in; the plug-in's scripts use the interpreter of the tests."""
    environment = {"PATH": os.defpath, "TMPDIR": str(scratch), "HFPLUGIN_PYTHON": sys.executable}
    command = [sys.executable, "-I", str(scripts / "demo"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)


def closing_line(played: subprocess.CompletedProcess[str]) -> str:
    return played.stdout.splitlines()[-1]


def test_a_whole_life_is_as_the_contract_says_and_leaves_nothing_behind(tmp_path: Path) -> None:
    played = play(SCRIPTS, tmp_path)
    assert (played.returncode, played.stderr) == (0, ""), played.stdout
    assert closing_line(played) == "5 launched, 5 returned, 0 left: all as the contract says"
    assert list(tmp_path.iterdir()) == []


def test_a_life_in_chaos_loses_nothing_leaves_nothing_and_says_what_went_wrong(tmp_path: Path) -> None:
    played = play(SCRIPTS, tmp_path, "--chaos", "4")
    assert (played.returncode, played.stderr) == (0, ""), played.stdout
    assert closing_line(played) == "5 launched, 5 returned, 0 left: all as the contract says"
    assert "chaos 4: the same again with --chaos 4" in played.stdout
    for trouble in ("CreateFleet was throttled", "connection lost after it had acted", "no capacity in", "died"):
        assert trouble in played.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_answer_is_shown_beside_what_was_expected(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    package = tmp_path / "plug-in/hfplugin"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("""def main(argv): print('{"templates": [], "message": 7}')""")
    played = play(shutil.copytree(SCRIPTS, tmp_path / "plug-in/scripts"), scratch)
    assert (played.returncode, played.stderr) == (1, "")
    expected = "expected: every mandatory field, of its type\nseen:     answer.message is 7, not str\n"
    assert expected in played.stdout
    assert closing_line(played) == "0 launched, 0 returned, 0 left: NOT all as the contract says"
    assert list(scratch.iterdir()) == []


@pytest.fixture(scope="module")
def contract() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract", SCRIPTS / "demo/contract.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MACHINE: dict[str, Any] = {
    "machineId": "i-1",
    "name": "ip-10-0-0-4.internal",
    "result": "succeed",
    "status": "running",
    "privateIpAddress": "10.0.0.4",
    "launchtime": 1795417194,
    "message": "",
    "priceType": "ondemand",
}


@pytest.mark.parametrize(
    ("changed", "faults"),
    [
        ({}, []),
        ({"launchtime": True}, ["launchtime is True, not int"]),
        ({"launchtime": "1795417194"}, ["launchtime is '1795417194', not int"]),
        ({"name": None}, ["name is missing or null, not str"]),
        ({"result": "success"}, ["result is 'success', not one of executing, fail, succeed"]),
    ],
    ids=["none", "true for a number", "text for a number", "null", "another word"],
)
def test_each_field_is_held_against_its_type_and_its_words(
    contract: ModuleType, changed: dict[str, Any], faults: list[str]
) -> None:
    found = contract.faults([contract.MACHINE], [MACHINE, {**MACHINE, **changed}], "machines")
    assert list(found) == [f"machines[1].{fault}" for fault in faults]


@pytest.mark.parametrize("attribute", ["X86_64", ["String"], ["Text", "X86_64"], ["Numeric", 4]], ids=str)
def test_an_attribute_has_to_be_a_pair_of_texts(contract: ModuleType, attribute: Any) -> None:
    assert list(contract.faults(contract.PAIR, ["Numeric", "4"], "ncpus")) == []
    assert len(list(contract.faults(contract.PAIR, attribute, "ncpus"))) == 1


def run_demo(root: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    """Run demo.sh where nothing is installed but the few tools that every machine has."""
    tools.mkdir()
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    command = [tools / "bash", root / "scripts/demo.sh"]
    return subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, encoding="utf-8", check=False)


def test_a_missing_python_is_named_with_its_remedy(tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    refused = run_demo(tmp_path, tmp_path / "tools")
    assert refused.returncode == 2
    assert "no Python 3.11 or newer: install one" in refused.stderr


def test_somebody_elses_environment_is_left_as_it_is(tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (tmp_path / ".venv").mkdir()
    refused = run_demo(tmp_path, tmp_path / "tools")
    assert refused.returncode == 2
    assert f"in {tmp_path}, run .venv/bin/python -m pip install -e '.[emulator]'" in refused.stderr
    assert list((tmp_path / ".venv").iterdir()) == []
