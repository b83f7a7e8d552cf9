"""The checks, in the order in which they are made: a module for each verb and each sort of bad day."""

from __future__ import annotations

from hfplugin.conformance.check import Check, checks_of
from hfplugin.conformance.checks import (
    calls,
    concurrency,
    kills,
    losses,
    machines,
    outages,
    requests,
    returns,
    statuses,
    templates,
)

_MODULES = (calls, templates, requests, statuses, machines, losses, concurrency, returns, kills, outages)

CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in checks_of(vars(module)))
