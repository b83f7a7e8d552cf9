"""The provider guide: every path in it exists, and its code is that of a package that is tested."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from hfplugin.providers.base.contract import Bench
from hfplugin.providers.base.contract.bench import UNPROVEN
from hfplugin.providers.base.provider import Provider, SingleMachines

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "hfplugin/providers/README.md"
TEXT = GUIDE.read_text(encoding="utf-8")
EXAMPLE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "tests/third_party").rglob("*")
    if path.suffix in (".py", ".toml") and path.name != "test_third_party.py"
)

# What every bench has, by itself or because it has to be given.
NO_HOOKS = {"make", "renew", "now", "advance", "alive", "unproven"}


def paths() -> list[str]:
    named = re.findall(r"`((?:\.\./|[a-z_]+/)[\w./]*)`", TEXT)
    assert named
    return sorted(set(named))


@pytest.mark.parametrize("path", paths())
def test_a_path_that_the_guide_names_exists(path: str) -> None:
    assert (GUIDE.parent / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("code", re.findall(r"```(?:toml|python)\n(.*?)```", TEXT, re.DOTALL))
def test_the_guides_code_is_that_of_the_example(code: str) -> None:
    assert code in EXAMPLE


@pytest.mark.parametrize("part", ["aws", "base", "simulated"])
def test_every_module_of_the_layer_has_a_place_in_the_table_or_belongs_to_one(part: str) -> None:
    assert f"`{part}/" in TEXT


def test_the_methods_in_the_table_are_those_of_a_provider() -> None:
    table = TEXT.partition("| Method |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {
        name for name, _ in inspect.getmembers(Provider, inspect.isfunction) if not name.startswith("_")
    }


def test_what_single_machines_need_not_write_is_the_tables_last_line() -> None:
    table = TEXT.partition("| Method |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table.splitlines()[-1].split("|")[1])) == {
        name for name in vars(SingleMachines) if not name.startswith("_")
    }


def test_the_table_of_the_benchs_hooks_says_what_the_contract_kit_says() -> None:
    table = TEXT.partition("| On the bench |")[2].partition("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    told = {name: unproven for names, _, unproven in rows for name in re.findall(r"`(\w+)`", names)}
    assert {name: told.get(name) for name in UNPROVEN} == UNPROVEN
    assert all(hasattr(Bench, name) for name in told)


def test_whatever_a_bench_may_lack_is_a_hook_that_the_contract_kit_names(monkeypatch: pytest.MonkeyPatch) -> None:
    named: set[str] = set()
    monkeypatch.setattr(Bench, "unproven", lambda bench, hook, promise="": named.add(hook))
    hooks = {name for name, made in vars(Bench).items() if inspect.isfunction(made)} - NO_HOOKS
    for name in hooks:
        hook = getattr(Bench(), name)
        hook(*inspect.signature(hook).parameters)
    assert named == hooks
    templates = {name for name, kind in Bench.__annotations__.items() if kind == "Template | None"}
    assert hooks | templates == UNPROVEN.keys()


def test_the_methods_in_the_picture_are_those_of_a_provider() -> None:
    picture = TEXT.partition("```\n")[2].partition("```")[0]
    named = set(re.findall(r"│ (plan|launch|observe|release|reclaimed|inventory) ", picture))
    assert named == {"plan", "launch", "observe", "release", "reclaimed", "inventory"}
    assert all(inspect.isfunction(getattr(Provider, name)) for name in named)
