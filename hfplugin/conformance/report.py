"""Findings and verdict in words, for people and as JSON."""

from __future__ import annotations

from collections import Counter

from hfplugin.conformance import Document
from hfplugin.conformance.findings import Finding, Outcome
from hfplugin.conformance.plan import Plan
from hfplugin.conformance.suite import Verdict

_MARKS = {Outcome.PASSED: "ok  ", Outcome.FAILED: "FAIL", Outcome.SKIPPED: "skip"}


def announced(plan: Plan) -> str:
    """Say what is about to be done, and what it may cost."""
    checks = "1 check" if len(plan.checks) == 1 else f"{len(plan.checks)} checks"
    if plan.skipped:
        checks += f", {len(plan.skipped)} of them skipped"
    if not plan.machines:
        return f"{checks}, without launching anything"
    return f"{checks}, launching {plan.machines} machines at most; they are returned at the end"


def line(finding: Finding) -> str:
    """One line for what holds; for the rest what is to be known."""
    head = f"{_MARKS[finding.outcome]} {finding.id}"
    if finding.outcome is Outcome.SKIPPED:
        return f"{head}: {finding.why}"
    if finding.outcome is Outcome.PASSED:
        return head
    return f"{head}\n     rule: {finding.rule}\n     expected: {finding.expected}\n     came: {finding.came}"


def ending(verdict: Verdict) -> str:
    """Say how it went, what may be left, and where the scripts' logs are when something is wrong."""
    counts = Counter(finding.outcome for finding in verdict.findings)
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)
    stopped = "stopped before all checks were made: " if verdict.is_stopped else ""
    lines = [f"{stopped}{said}; machines requested: {verdict.launched}, left: {len(verdict.left) or 'none'}"]
    lines += [f"NOT seen to end: {each}" for each in verdict.left]
    if verdict.kept:
        lines.append(f"the provider's directories of this run are kept in {verdict.kept}")
    return "\n".join(lines)


def document(verdict: Verdict) -> Document:
    return {
        "isGood": verdict.is_good,
        "launched": verdict.launched,
        "left": verdict.left,
        "isStopped": verdict.is_stopped,
        "kept": verdict.kept,
        "checks": [finding._asdict() for finding in verdict.findings],
    }
