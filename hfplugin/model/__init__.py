"""Templates, requests, launches, machines and returns: what they are and how they change, without I/O.

Values are named tuples, not dataclasses: importing `dataclasses` alone costs a store-only call more than
everything else it does. For the same reason annotations are no strings here: a named tuple compiles each that is.
A change is a named transition that returns a new value.
"""

from typing import TypeVar

from hfplugin.model.launch import (
    REPLAY_SECONDS,
    SETTLE_SECONDS,
    Launch,
    LaunchState,
    Refusal,
    Template,
    most_machines,
)
from hfplugin.model.machine import (
    CONSISTENCY_SECONDS,
    REFUSED_RETURN_SECONDS,
    Machine,
    MachineState,
    Notice,
    NoticeKind,
    Result,
    counts,
)
from hfplugin.model.request import Phase, Request, RequestStatus
from hfplugin.model.returned import Return, ReturnedMachine

__all__ = [
    "CONSISTENCY_SECONDS",
    "REFUSED_RETURN_SECONDS",
    "REPLAY_SECONDS",
    "SETTLE_SECONDS",
    "Launch",
    "LaunchState",
    "Machine",
    "MachineState",
    "Notice",
    "NoticeKind",
    "Phase",
    "Record",
    "Refusal",
    "Request",
    "RequestStatus",
    "Result",
    "Return",
    "ReturnedMachine",
    "Template",
    "counts",
    "most_machines",
]

Record = TypeVar("Record", Request, Return)
