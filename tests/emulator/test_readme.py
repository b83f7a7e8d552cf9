"""The emulator's README names every setting, fault and command that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hfplugin.emulator import Emulator, EmulatorError
from hfplugin.emulator.faults import Fault
from hfplugin.emulator.settings import Settings

README = Path(__file__).resolve().parents[2] / "hfplugin/emulator/README.md"


def rows(heading: str) -> dict[str, str]:
    """Give the rows of the first table below a heading: the first cell, and the rest."""
    text = README.read_text().split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    cells = [line.strip("|\n").split(" | ", 1) for line in table[0].splitlines()[2:]]
    return {cell[0]: cell[1] for cell in cells}


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_setting_is_explained_with_its_default() -> None:
    documented = {
        names(first)[0]: rest.split(" | ")[0].strip("` ") for first, rest in rows("### Settings").items()
    }
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert documented == {
        name: str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
        for name, value in defaults.items()
    }


def test_every_key_of_a_fault_is_explained() -> None:
    documented = [name for first in rows("### Faults") for name in names(first)]
    assert sorted(documented) == sorted(Fault.model_fields)


def test_every_kind_of_fault_is_explained() -> None:
    kinds = set(Fault.model_fields["kind"].annotation.__args__)  # type: ignore[union-attr]
    explained = next(rest for first, rest in rows("### Faults").items() if "kind" in first)
    assert set(names(explained)) == kinds


def test_every_command_is_explained(emulator: Emulator) -> None:
    documented = {name for first in rows("## Tell it what to do") for name in names(first)}
    with pytest.raises(EmulatorError) as unknown:
        emulator._ask("nonsense")
    known = set(str(unknown.value).split("known: ")[1].split(", "))
    assert documented == known
    assert {name for name in known if not hasattr(Emulator, name)} <= {"settings", "time"}


def test_the_example_works() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(example.replace("print(", "seen = ("), scope)
    alive, calls = scope["seen"]
    assert (len(alive), {call["outcome"] for call in calls}) == (2, {"drop_after", "ok"})
