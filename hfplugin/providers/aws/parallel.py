"""Asks several regions at once, so that one that does not answer keeps no other waiting; what, its callers say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

A = TypeVar("A")
S = TypeVar("S")

# So many regions are asked at once: each takes a thread and a connection.
_MOST_THREADS = 8


def each(ask: Callable[[S], A], subjects: Sequence[S]) -> list[A]:
    """Give the answer for each subject, in their order; all are asked before the first of their errors is raised.

    One alone is asked without a thread, and without loading what makes threads.
    """
    if len(subjects) < 2:
        return [ask(subject) for subject in subjects]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(subjects), _MOST_THREADS)) as threads:
        asked = [threads.submit(ask, subject) for subject in subjects]
    return [answer.result() for answer in asked]
