"""`hfplugin health`: what is held back at present, because the cloud does not answer, refuses or throttles."""

from __future__ import annotations

import os
import time
from typing import Any

from hfplugin.environment import Environment
from hfplugin.providers.base.health import BreakerState, Health, Report

_NOTHING = "Nothing is held back."


def memory(environment: Environment) -> Health:
    """Give what all calls of a provider instance share."""
    return Health(os.path.join(environment.state_dir, "health"))


def as_json(report: Report) -> dict[str, Any]:
    """Times are seconds since the epoch."""
    return {
        part: {name: state._asdict() for name, state in states.items()}
        for part, states in report._asdict().items()
    }


def described(report: Report, now: float) -> str:
    """Give a line for each thing that is held back."""
    lines = [f"{name}: {_breaker(state, now)}: {state.reason}" for name, state in report.breakers.items()]
    lines += [
        f"{key}: refused, not asked for until {_when(each.until)}: {each.reason}"
        for key, each in report.refused.items()
    ]
    lines += [
        f"{name}: throttled at {_when(state.throttled_at)}, {state.rate:.3g} calls a second"
        for name, state in report.budgets.items()
    ]
    return "\n".join(lines or [_NOTHING])


def _breaker(state: BreakerState, now: float) -> str:
    if not state.open_until:
        return f"{state.failures} failed since {_when(state.since)}"
    if state.is_open(now):
        return f"does not answer, not asked until {_when(state.open_until)}"
    return "did not answer, to be tried by the next call"


def _when(seconds: float) -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime(seconds))
