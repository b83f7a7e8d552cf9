"""How a rehearsal is shown to people: template by template as it is played, a verdict at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfplugin.cli.life import Act, Heard, Outcome
from hfplugin.cli.rehearsal import Play

Document = dict[str, Any]

# Calls whose names begin so make something.
_CREATES = ("RunInstances", "Create", "Request")
_NOT_CREATES = ("CreateTags",)

# Where a line of JSON is broken, whatever the terminal's width.
_WIDTH = 100

_STYLES = {
    Outcome.FULFILLED: "green",
    Outcome.SKIPPED: "yellow",
    Outcome.IMPOSSIBLE: "yellow",
    Outcome.REFUSED: "red",
    Outcome.FAILED: "red",
}


class Review:
    """Prints what it is told."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def opening(self, notes: Sequence[str]) -> None:
        self._line("rehearsed against an emulated AWS: AWS itself, the state and the log are not touched")
        for note in notes:
            self._line(note)

    def act(self, act: Act) -> None:
        self._line()
        self._line(f"template {act.offer['templateId']}", "bold")
        sizes = ", ".join(f"{name} {pair[1]}" for name, pair in act.offer["attributes"].items())
        self._line(f"offered: {sizes}; maxNumber {act.offer['maxNumber']}")
        self._line(f"asked for: {act.asked}")
        for call in _creations(act.calls):
            self._line(f"{call['action']} in {call['region']}:")
            self._line(_legible(_shown(call["params"])))
        self._table("Calls to AWS", ("call", "outcome", "times"), _tally(act.calls))
        self._table("What HostFactory sees", ("script", "answer"), _story(act.heard))
        self._table("What struck", ("what", "times", "absorbed"), [each for each in act.struck if each.times])
        said = f"{act.outcome}: {act.reason}" if act.reason else str(act.outcome)
        self._line(said, _STYLES[act.outcome])

    def ending(self, play: Play) -> None:
        self._line()
        counts = Counter(act.outcome for act in play.acts)
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no template"
        left = ", ".join(play.left) or "none"
        verdict = "all is well" if play.is_good else "NOT all is well"
        style = "bold green" if play.is_good else "bold red"
        self._line(f"{verdict}: {said}; machines launched: {play.launched}, left: {left}", style)

    def _line(self, text: str = "", style: str = "") -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            # Text: square brackets in what AWS says are no markup.
            table.add_row(*(Text(str(cell)) for cell in row))
        self._console.print(table)


def _creations(calls: Iterable[Document]) -> list[Document]:
    """Give the calls that make something, each kind once: the first that acted, else the first."""
    made: dict[str, Document] = {}
    for call in calls:
        action = call["action"]
        if action.startswith(_CREATES) and not action.startswith(_NOT_CREATES):
            kept = made.setdefault(action, call)
            if call["has_acted"] and not kept["has_acted"]:
                made[action] = call
    return list(made.values())


def _shown(params: Any, key: str = "") -> Any:
    """Give parameters as they are but for user data, which may hold secrets."""
    if isinstance(params, dict):
        return {name: _shown(value, name) for name, value in params.items()}
    if isinstance(params, list):
        return [_shown(each) for each in params]
    return f"(hidden: {len(params)} characters)" if key == "UserData" else params


def _legible(value: Any, margin: str = "") -> str:
    """Write JSON for people: on one line what fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(margin + line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    deeper = margin + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_legible(member, deeper)}" for name, member in value.items()]
    else:
        items = [_legible(member, deeper) for member in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{margin}{closing}"


def _tally(calls: Iterable[Document]) -> list[tuple[str, str, int]]:
    counts = Counter((call["action"], _result(call)) for call in calls)
    return [(action, outcome, count) for (action, outcome), count in counts.items()]


def _result(call: Document) -> str:
    dropped = {
        "drop_before": "connection lost, without effect",
        "drop_after": "connection lost, after its effect",
    }
    return dropped.get(call["outcome"], str(call["outcome"]))


def _story(heard: Iterable[Heard]) -> list[tuple[str, str]]:
    """Give what every script answered; polls that say the same again are shown once."""
    rows: list[tuple[str, str]] = []
    for each in heard:
        row = (each.verb, _answer(each))
        if not rows or rows[-1] != row:
            rows.append(row)
    return rows


def _answer(heard: Heard) -> str:
    document = heard.answer.document
    if heard.answer.status:
        return f"exit status {heard.answer.status}: {document.get('message')}"
    if heard.verb == "getRequestStatus":
        return "\n".join(_status(entry) for entry in document["requests"])
    if heard.verb == "getReturnRequests":
        hosts = [f"{entry['machineId']} in {entry['gracePeriod']} s" for entry in document["requests"]]
        return f"to return: {', '.join(hosts) or 'no host'}"
    return ": ".join(filter(None, (document.get("requestId", ""), document.get("message", ""))))


def _status(entry: Document) -> str:
    lines = [f"{entry['status']}: {entry['message']}" if entry["message"] else entry["status"]]
    for machine in entry["machines"]:
        words = (
            machine["machineId"],
            machine["name"],
            f"{machine['result']}/{machine['status']}",
            machine["message"],
        )
        lines.append(" ".join(filter(None, words)))
    return "\n".join(lines)
