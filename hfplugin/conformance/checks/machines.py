"""The machines in getRequestStatus: their fields, their words, and what may not change."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from typing import NamedTuple

from hfplugin.conformance import Document
from hfplugin.conformance.calls import is_integer
from hfplugin.conformance.check import MACHINES_LAST, check
from hfplugin.conformance.findings import BrokenError, UnjudgedError, shown
from hfplugin.conformance.memory import Heard
from hfplugin.conformance.run import Run
from hfplugin.conformance.supply import FIELDS, USABLE

_TEXTS = ("machineId", "name", "result", "status", "privateIpAddress")
_RESULTS = ("executing", "succeed", "fail")
_STATES = ("pending", "running", "stopping", "stopped", "shutting-down", "terminated")

# Clocks differ, milliseconds and local times more.
_DAY = 86400


class Seen(NamedTuple):
    """A machine in an entry."""

    heard: Heard
    machine: Document

    @property
    def id(self) -> str:
        return str(self.machine.get("machineId"))


def _seen(run: Run) -> list[Seen]:
    """Give every machine of every answer; UnjudgedError when there was none."""
    seen = [Seen(heard, machine) for heard in run.memory.heard() for machine in heard.machines]
    if not seen:
        raise UnjudgedError("no machine was named in this run")
    return seen


def _of_requests(run: Run) -> Iterator[Seen]:
    """Give those of requests, not of returns, as far as they can be told apart."""
    seen = (each for each in _seen(run) if each.heard.id in run.memory.requests)
    return (each for each in seen if each.machine.get("machineId"))


@check(
    FIELDS,
    f"Every machine has {', '.join(_TEXTS)}, which are texts, never null; machineId is not empty.",
    MACHINES_LAST,
)
def fields(run: Run) -> None:
    for seen in _seen(run):
        wrong = [key for key in _TEXTS if not isinstance(seen.machine.get(key), str)]
        if wrong:
            raise BrokenError(f"{', '.join(wrong)}: a text", shown(seen.machine))
        if not isinstance(seen.machine.get("message", ""), str):
            raise BrokenError("message: a text", shown(seen.machine))
        if seen.heard.id in run.memory.requests and not seen.machine["machineId"]:
            raise BrokenError("a machineId that is not empty", shown(seen.machine))


@check("machines.result-is-a-known-word", f"A machine's result is one of {', '.join(_RESULTS)}.", MACHINES_LAST)
def result_word(run: Run) -> None:
    _word(run, "result", _RESULTS)


@check("machines.status-is-a-known-word", f"A machine's status is one of {', '.join(_STATES)}.", MACHINES_LAST)
def status_word(run: Run) -> None:
    _word(run, "status", _STATES)


def _word(run: Run, key: str, words: tuple[str, ...]) -> None:
    for seen in _seen(run):
        if isinstance(seen.machine.get(key), str) and seen.machine[key] not in words:
            raise BrokenError(f"{key}: one of {', '.join(words)}", shown(seen.machine))


@check(
    "machines.launch-time-is-whole-seconds",
    "launchtime is an integer, seconds since 1970 in UTC, in every machine: the default requestor computes "
    "billing and time-outs from it, and fails without it.",
    MACHINES_LAST,
)
def launch_time(run: Run) -> None:
    for seen in _seen(run):
        if not is_integer(seen.machine.get("launchtime")):
            raise BrokenError("launchtime: an integer", shown(seen.machine))
    for seen in _of_requests(run):
        if seen.machine.get("result") == "succeed" and abs(seen.machine["launchtime"] - time.time()) > _DAY:
            raise BrokenError(
                f"launchtime in seconds, within a day of now ({time.time():.0f})", shown(seen.machine)
            )


@check(
    USABLE,
    "A machine with result succeed can be used: its status is running, and its name and private address are "
    "known. Until then its result is executing.",
    MACHINES_LAST,
)
def usable(run: Run) -> None:
    for seen in _of_requests(run):
        machine = seen.machine
        if machine.get("result") != "succeed":
            continue
        if machine.get("status") != "running" or machine.get("name") == "":
            raise BrokenError("status running and a name", shown(machine))
        if isinstance(machine.get("privateIpAddress"), str) and not _is_address(machine["privateIpAddress"]):
            raise BrokenError("privateIpAddress: an IP address", shown(machine))


@check(
    "machines.a-failure-says-why",
    "A machine with result fail has a message that says why: HostFactory shows it to the administrator.",
    MACHINES_LAST,
)
def failure(run: Run) -> None:
    failed = [seen for seen in _seen(run) if seen.machine.get("result") == "fail"]
    if not failed:
        raise UnjudgedError("no machine failed in this run")
    for seen in failed:
        if not seen.machine.get("message"):
            raise BrokenError("a message", shown(seen.machine))


@check(
    "machines.a-failure-stays",
    "A machine that has failed in a request never succeeds in it later: HostFactory has given it up.",
    MACHINES_LAST,
)
def failure_stays(run: Run) -> None:
    failed: dict[str, Seen] = {}
    for seen in _of_requests(run):
        if seen.machine.get("result") == "fail":
            failed.setdefault(seen.id, seen)
        elif seen.id in failed and failed[seen.id].heard.call.ended < seen.heard.call.began:
            raise BrokenError(f"machine {seen.id} to stay fail", shown(seen.machine))


@check(
    "machines.the-name-is-no-address",
    "The name is a host name, never an IP address: HostFactory matches its first label with the cluster's hosts.",
    MACHINES_LAST,
)
def name_is_no_address(run: Run) -> None:
    for seen in _of_requests(run):
        if _is_address(seen.machine.get("name")):
            raise BrokenError("a host name", shown(seen.machine))


@check(
    "machines.name-and-launch-time-stay",
    "HostFactory knows a host by its name: once it is said it stays the same for the machine's life; so does "
    "launchtime.",
    MACHINES_LAST,
)
def name_stays(run: Run) -> None:
    known: dict[tuple[str, str], object] = {}
    for seen in _of_requests(run):
        for key in ("name", "launchtime"):
            value = seen.machine.get(key)
            before = known.setdefault((seen.id, key), value) if value else value
            if before != value:
                raise BrokenError(f"{key} {shown(before)} as before", shown(seen.machine))


@check(
    "machines.names-differ-in-their-first-label",
    "Two machines never share a name, nor what is before its first dot: HostFactory would take them for one host.",
    MACHINES_LAST,
)
def names_differ(run: Run) -> None:
    owners: dict[str, str] = {}
    for seen in _of_requests(run):
        name = seen.machine.get("name")
        # The first label of an address is no name to compare.
        if not isinstance(name, str) or not name or _is_address(name):
            continue
        label = name.partition(".")[0].lower()
        if owners.setdefault(label, seen.id) != seen.id:
            raise BrokenError(f"{label} to be machine {owners[label]} alone", shown(seen.machine))


def _is_address(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True
