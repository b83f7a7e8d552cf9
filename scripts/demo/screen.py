"""What the audience sees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from contract import Finding
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.table import Table

# Where the output is no terminal that could be asked.
WIDTH = 120


def legible(value: Any, width: int, margin: str = "", key: str = "") -> str:
    """Write JSON for people: on one line what fits, else plain members filled like text, others on their own."""
    line = key + json.dumps(value, ensure_ascii=False)
    if len(margin + line) < width or not isinstance(value, dict | list):
        return line
    deeper = margin + "  "
    if isinstance(value, dict):
        items = [legible(member, width, deeper, f"{json.dumps(name)}: ") for name, member in value.items()]
    else:
        items = [legible(member, width, deeper) for member in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{key}{opening}\n{_filled(items, width, deeper)}\n{margin}{closing}"


def _filled(items: Iterable[str], width: int, margin: str) -> str:
    lines: list[str] = []
    is_open = False
    for item in items:
        is_plain = item[-1] not in "]}"
        if is_open and is_plain and len(lines[-1]) + len(item) + 2 < width:
            lines[-1] += f", {item}"
        else:
            lines.append(margin + item)
        is_open = is_plain
    return ",\n".join(lines)


class Screen:
    """What the audience sees: in colour on a terminal, plain elsewhere."""

    def __init__(self) -> None:
        self._console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        self._last = ""

    def title(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(text)}", align="left")

    def line(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def document(self, label: str, document: Any) -> None:
        self.line(label, "cyan")
        self._console.print(JSONHighlighter()(legible(document, self._console.width)), soft_wrap=True)

    def call(self, command: str, document: Any) -> None:
        self.line(f"$ {command}", "bold")
        self.document("input", document)

    def answer(self, done: subprocess.CompletedProcess[str], seconds: float) -> None:
        label = f"answer: exit status {done.returncode}, {seconds:.2f} s"
        if done.stdout == self._last:
            self.line(f"{label}, the same as before", "cyan")
        else:
            self._new_answer(label, done.stdout)
        self._last = done.stdout
        self.line(f"standard error\n{done.stderr}" if done.stderr else "", "red")

    def _new_answer(self, label: str, answer: str) -> None:
        try:
            self.document(label, json.loads(answer))
        except ValueError:
            self.line(f"{label}\n{answer}")

    def finding(self, finding: Finding, proves: str) -> None:
        if finding.is_good:
            self.line(f"ok: {proves}", "green")
        else:
            self.line(f"NOT OK\nexpected: {finding.expected}\nseen:     {finding.seen}", "bold red")

    def troubles(self, rows: Sequence[tuple[str, int, str]]) -> None:
        """Show what went wrong, how often, and what became of it."""
        table = Table(title_justify="left", expand=True)
        for column in ("what went wrong", "times", "absorbed"):
            table.add_column(column, overflow="fold")
        for what, times, absorbed in rows:
            table.add_row(escape(what), str(times), escape(absorbed))
        self.title("What went wrong")
        self._console.print(table)

    def table(self, names: Sequence[str], findings: Sequence[Finding]) -> None:
        table = Table(title_justify="left", expand=True)
        for column in ("", "step", "expected", "seen", "ok"):
            table.add_column(column, overflow="fold")
        not_played = [Finding("", "not played")] * (len(names) - len(findings))
        for number, (name, finding) in enumerate(zip(names, [*findings, *not_played], strict=True), 1):
            mark = "[green]yes" if finding.is_good else "[bold red]NO"
            table.add_row(str(number), *map(escape, (name, *finding)), mark)
        self.title("All steps")
        self._console.print(table)
