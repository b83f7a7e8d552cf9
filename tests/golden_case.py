"""Golden cases: a folder each, named after what it shows, with inputs and the one file that is compared.

`UPDATE_GOLDEN=1` in the environment writes the compared files anew instead; read their diff before keeping it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def cases(kind: str, inputs: set[str], compared: str) -> list[Path]:
    """Give every case of a kind; a folder that lacks a file, or has one too many, belongs to no case and fails."""
    found = sorted((GOLDEN / kind).iterdir())
    for folder in found:
        files = {path.name for path in folder.iterdir()}
        assert inputs <= files <= inputs | {compared}, f"orphan in {folder}: {files}"
    return found


def check(path: Path, value: Any) -> None:
    """Assert that the value is the golden file's, to the kind of each number."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
