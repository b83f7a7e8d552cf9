"""Every rule is seen to be kept by a provider that keeps it, and broken by one that breaks that rule alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.bench import Bench, of
from conformance.wrong import WRONG
from hfplugin.conformance.every import CHECKS
from hfplugin.conformance.findings import Outcome
from hfplugin.conformance.plan import planned
from hfplugin.conformance.settings import load

SLOW = "kill.what-a-killed-request-launched-is-given-back"
SMALL = "request.never-more-than-the-maximum"

# Where a rule is seen to be broken only in what another check hears.
_REFUSALS = ["request.an-unknown-template-is-refused", "return.nothing-to-return-is-refused"]
BESIDE = {
    "calls.a-failure-has-a-message": _REFUSALS,
    "calls.answer-in-time": _REFUSALS,
    "calls.exit-status-is-0-or-1": _REFUSALS,
    "calls.one-json-object-on-stdout": _REFUSALS,
    "machines.status-is-a-known-word": ["return.completes"],
    "status.the-last-status-stays": ["return.completes"],
    "request.ids-are-never-given-twice": ["return.completes", "return.a-repeated-return-succeeds"],
    "machines.result-is-a-known-word": ["return.completes"],
    "machines.a-failure-says-why": ["return.completes"],
}
RULES = sorted(WRONG)


def rule_of(name: str) -> str:
    return name.partition("/")[0]


def made(rule: str) -> list[str]:
    """Give the checks to make: the rule's own, its neighbours, and those that judge what all of them hear."""
    if rule in (SLOW, SMALL):
        return [rule]
    [place] = [place for place, check in enumerate(CHECKS) if check.id == rule]
    group = CHECKS[place].group
    near = CHECKS if group == "calls" else CHECKS[max(place - 1, 0) : place + 2]
    hearing = [check.id for check in CHECKS if check.needs.is_last and check.group in (group, "calls")]
    return [*(check.id for check in near if check.group == group), *hearing, *BESIDE.get(rule, [])]


@pytest.mark.parametrize("name", RULES)
def test_a_provider_that_breaks_one_rule_fails_its_check_and_no_other(name: str, tmp_path: Path) -> None:
    rule = rule_of(name)
    bench = Bench(tmp_path, name, unclaimed_seconds=1 if rule == SLOW else 900)
    if rule == "templates.offers-what-is-to-be-tested":
        bench.settings["templateIds"] = ["large"]
    if rule == SMALL:
        bench.settings["machineCount"] = 1
    if name.endswith("/never") or rule in (SLOW, "calls.answer-in-time"):
        bench.limit(readySeconds=2, goneSeconds=2, noticeSeconds=1, unclaimedSeconds=2, answerSeconds=3)
    if rule == "calls.every-script-starts":
        script = bench.scripts / "getReturnRequests.sh"
        script.write_text(script.read_text().partition("\n")[2])
    verdict = bench.play(made(rule), is_slow=rule == SLOW)
    assert of(verdict, Outcome.FAILED).keys() == {rule}


def test_every_check_has_a_provider_that_fails_it() -> None:
    assert {rule_of(name) for name in WRONG} == {check.id for check in CHECKS}


def test_a_provider_that_keeps_every_rule_passes_every_check(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    announced = planned(CHECKS, load(bench.write()), (), is_slow=False).machines
    verdict = bench.play()
    assert of(verdict, Outcome.FAILED) == {}
    assert of(verdict, Outcome.SKIPPED).keys() == {SLOW, SMALL}
    assert (verdict.is_good, verdict.left, verdict.kept) == (True, [], "")
    assert len(bench.launched()) <= verdict.launched <= announced
