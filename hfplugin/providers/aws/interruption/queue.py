"""Takes messages from the SQS queue that EventBridge fills, puts back others', deletes what has been dealt with.

All three have a time that they keep whatever the queue does: each works on a thread that is waited for so long and
not longer. What such a thread still receives is nobody's, and is visible again when its time is over.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hfplugin.errors import ErrorKind, HFPluginError, ProviderError
from hfplugin.logs import log
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.errors import AWS_ERRORS, translate, unreadable

# Together two seconds of a call of HostFactory's.
_RECEIVING_SECONDS = 1.2
_RETURNING_SECONDS = 0.3
_DELETING_SECONDS = 0.5

# So many are received at a time, and in all; the others wait for the next call.
_BATCH = 10
_MOST_MESSAGES = 200

# Short polling asks some of a queue's servers only: one empty answer proves little.
_EMPTY_ANSWERS = 2

# Longer than a call takes to make what was received durable; shorter than from one call to the next.
_HIDDEN_SECONDS = 10

# https://docs.aws.amazon.com/general/latest/gr/sqs-service.html: sqs.REGION.amazonaws.com and its like, below any
# name that a VPC endpoint has; REGION.queue.amazonaws.com of old, and queue.amazonaws.com in the first region.
_REGION = re.compile(r"(?:^|\.)sqs(?:-fips)?\.([a-z]+(?:-[a-z]+)+-\d+)\.|^([a-z]+(?:-[a-z]+)+-\d+)\.queue\.")
_OLD = ("queue.amazonaws.com", "us-east-1")


# What an answer can make of a call: AWS's error, or no sense.
_FAILURES = (*AWS_ERRORS, HFPluginError, KeyError, TypeError)


class Reception(NamedTuple):
    """What was received: bodies by receipt, each message once; and why there may be more."""

    bodies: Mapping[str, str]
    failure: HFPluginError | None


class Queue:
    """One queue, by its URL, which names its region; one that names none is in the home region."""

    def __init__(self, clients: Clients, url: str) -> None:
        self._clients = clients
        self._url = url

    def receive(self) -> Reception:
        """Take what is there, as far as time allows. Never raises for the cloud's failures."""
        received: dict[str, tuple[str, str]] = {}
        has_answered = threading.Event()

        def take(client: Any, until: float) -> None:
            empty = 0
            while empty < _EMPTY_ANSWERS and len(received) < _MOST_MESSAGES and time.monotonic() < until:
                answer = client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=_BATCH,
                    WaitTimeSeconds=0,
                    VisibilityTimeout=_HIDDEN_SECONDS,
                )
                has_answered.set()
                found = answer.get("Messages", ())
                empty = 0 if found else empty + 1
                received.update({each["MessageId"]: (each["ReceiptHandle"], each["Body"]) for each in found})

        failure: HFPluginError | None = None
        try:
            is_done = self._ask(take, _RECEIVING_SECONDS)
            if not is_done and not has_answered.is_set():
                text = f"no answer within {_RECEIVING_SECONDS:g} s"
                raise ProviderError(ErrorKind.TRANSIENT, "QueueTimeout", text)
        except HFPluginError as error:
            failure = error
        return Reception(dict(received.copy().values()), failure)

    def put_back(self, receipts: Sequence[str]) -> None:
        """Let messages be seen by others at once; those that time does not allow are seen soon after."""

        def show(client: Any, until: float) -> None:
            for batch in _batches(receipts, until):
                entries = [{**each, "VisibilityTimeout": 0} for each in batch]
                client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

        self._try(show, receipts, _RETURNING_SECONDS, "put back")

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages; those that time does not allow, or the queue does not, come again."""

        def forget(client: Any, until: float) -> None:
            for batch in _batches(receipts, until):
                client.delete_message_batch(QueueUrl=self._url, Entries=batch)

        self._try(forget, receipts, _DELETING_SECONDS, "delete")

    def _try(self, work: Callable[[Any, float], None], receipts: Sequence[str], seconds: float, what: str) -> None:
        if receipts:
            try:
                self._ask(work, seconds)
            except HFPluginError as error:
                log.warning("interruption.queue_failed", queue=self._url, asked_to=what, error=str(error))

    def _ask(self, work: Callable[[Any, float], None], seconds: float) -> bool:
        """Do what asks the queue; False when it was not done in time. Raises HFPluginError."""
        # Made here: a thread that nobody waits for must not hold up who makes clients.
        client = self._clients.sqs(region_of(self._url) or self._clients.region)
        try:
            return _within(seconds, lambda until: work(client, until))
        except AWS_ERRORS as error:
            raise translate(error) from error
        except (KeyError, TypeError) as error:
            raise unreadable(error) from error


def region_of(url: str) -> str:
    """Give the region that a queue's URL names; empty when it names none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # no URL at all, which AWS is left to say
        return ""
    found = _REGION.search(host)
    if found:
        return found[1] or found[2]
    return _OLD[1] if host == _OLD[0] else ""


def _batches(receipts: Sequence[str], until: float) -> Iterator[list[dict[str, Any]]]:
    """Give the entries of one call after the other, for as long as one may still begin."""
    for start in range(0, len(receipts), _BATCH):
        if time.monotonic() >= until:
            return
        batch = receipts[start : start + _BATCH]
        yield [{"Id": str(number), "ReceiptHandle": each} for number, each in enumerate(batch)]


def _within(seconds: float, work: Callable[[float], None]) -> bool:
    """Do some work, which is told until when, on a thread of its own; False when it is not done by then.

    Raises what the work raised in time.
    """
    until = time.monotonic() + seconds
    done: list[bool] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            work(until)
            done.append(True)
        except _FAILURES as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    return bool(done)
