"""The provider guide: every path in it exists, and its code is that of a package that is tested."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from hfplugin.providers.base.provider import Provider

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "hfplugin/providers/README.md"
TEXT = GUIDE.read_text(encoding="utf-8")
EXAMPLE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "tests/third_party").rglob("*")
    if path.suffix in (".py", ".toml") and path.name != "test_third_party.py"
)


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


def test_the_methods_in_the_picture_are_those_of_a_provider() -> None:
    picture = TEXT.partition("```\n")[2].partition("```")[0]
    named = set(re.findall(r"│ (plan|launch|observe|release|reclaimed|inventory) ", picture))
    assert named == {"plan", "launch", "observe", "release", "reclaimed", "inventory"}
    assert all(inspect.isfunction(getattr(Provider, name)) for name in named)
