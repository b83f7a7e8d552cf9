"""Stands before every call to AWS: is it answered at present, and may the account make it? And learns from each.

Works on botocore's events, so that no call can be made without it.
"""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from hfplugin.errors import ErrorKind
from hfplugin.metrics.tally import tally
from hfplugin.providers.aws.errors import TRANSPORT_FAILURES, NotAskedError, kind_of
from hfplugin.providers.base.health import Budget, Health, Limit

# A call waits so long for its turn before it gives way to the next poll.
_PATIENCE_SECONDS = 0.5

# What a call's context remembers: its action and when it was made; when its latest try began, and how it failed.
_MADE = "hfplugin-made"
_BEGAN = "hfplugin-began"
_FAILED = "hfplugin-failed"

# Size and refill a second of the buckets that EC2 has for each action of an account in a region.
# Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
_LIMITS = {
    "RunInstances": Limit(5, 2),
    "TerminateInstances": Limit(100, 5),
    "CreateTags": Limit(100, 10),
    "DeleteTags": Limit(100, 10),
    "DescribeSpotFleetInstances": Limit(100, 5),
    "DescribeSpotFleetRequestHistory": Limit(100, 5),
    "DescribeSpotFleetRequests": Limit(50, 3),
}
_READING = Limit(100, 20)
_CHANGING = Limit(50, 5)

# Queues take as many calls as anybody makes; what they throttle is over in a moment.
# Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_QUEUE = Limit(300, 300)


class Guard:
    """The guard of one service in one region; `route` names an endpoint or proxy, `account` may be unknown."""

    def __init__(self, health: Health, service: str, region: str, route: str, account: str) -> None:
        self._health = health
        self._place = (service, region)
        self._subject = f"{service} in {region}"
        self._scope = " ".join(filter(None, (account, region)))
        self._breaker = health.breaker(" ".join(filter(None, (service, region, route))))
        self._dead = ""

    def require_ready(self, action: str) -> None:
        """Raise NotAskedError when a call would not be let through now. Changes nothing."""
        state = self._breaker.opened()
        if state is not None:
            raise self._not_answering(state.reason, state.open_until)
        if self._budget(action).pause() > _PATIENCE_SECONDS:
            raise self._throttled(action)

    def watch(self, client: Any) -> None:
        """Stand before every call of a client."""
        events = client.meta.events
        service = client.meta.service_model.service_id.hyphenize()
        events.register("before-call", self._enter)
        events.register("request-created", self._pay)
        # Before botocore's own, which would send a call that timed out again.
        events.register_first(f"needs-retry.{service}", self._note_try)
        events.register("after-call", self._note_answer)
        events.register("after-call-error", self._note_death)

    def _enter(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        # The first call of this process that no try brought an answer stands for its later ones, too: one that has
        # many requests to look after would else wait for the same dead region once for each.
        if self._dead:
            self._count_held_back(model.name)
            raise NotAskedError(ErrorKind.TRANSIENT, f"{self._subject} does not answer: {self._dead}")
        state = self._breaker.enter()
        if state is not None:
            self._count_held_back(model.name)
            raise self._not_answering(state.reason, state.open_until)
        context[_MADE] = (model.name, time.monotonic())

    def _pay(self, request: Any, operation_name: str, **_: Any) -> None:
        wait = self._budget(operation_name).take(_PATIENCE_SECONDS)
        if wait is None:
            raise self._throttled(operation_name)
        if wait:
            time.sleep(wait)
        if _BEGAN in request.context:
            tally.add("cloud_retries", *self._place, operation_name)
        request.context[_BEGAN] = time.monotonic()

    def _note_try(
        self,
        response: Any,
        operation: Any,
        caught_exception: Exception | None,
        request_dict: dict[str, Any],
        **_: Any,
    ) -> None:
        """Note how a try ended; raise a time-out at once, which is how a handler ends botocore's tries."""
        context = request_dict["context"]
        if isinstance(caught_exception, TRANSPORT_FAILURES):
            context[_FAILED] = caught_exception
            is_slow = _is_slow(caught_exception, context)
            self._breaker.failed(_said(caught_exception), at_once=is_slow)
            if is_slow:
                raise caught_exception
        elif response is not None and _kind(response[1]) is ErrorKind.THROTTLED:
            self._budget(operation.name).throttled()

    def _note_answer(self, http_response: Any, parsed: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        kind = _kind(parsed)
        self._count(kind or "ok", context)
        if http_response.status_code >= 500 and kind is ErrorKind.TRANSIENT:
            error = parsed.get("Error", {})
            self._breaker.failed(f"{error.get('Code', '')}: {error.get('Message', '')}")
            return
        self._breaker.succeeded()
        if kind is not ErrorKind.THROTTLED:
            self._budget(model.name).succeeded()

    def _note_death(self, exception: Exception, context: dict[str, Any], **_: Any) -> None:
        if isinstance(exception, NotAskedError) and _BEGAN not in context:
            self._count_held_back(context[_MADE][0])
        else:
            self._count(_outcome(exception), context)
        # Only what ended a try of this service: the credentials of a call may come from another one.
        if exception is context.get(_FAILED):
            self._dead = _said(exception)

    def _count(self, outcome: str, context: dict[str, Any]) -> None:
        action, made_at = context[_MADE]
        tally.add("cloud_calls", *self._place, action, outcome)
        tally.add("cloud_call_seconds", *self._place, action, amount=round(time.monotonic() - made_at, 6))

    def _count_held_back(self, action: str) -> None:
        tally.add("cloud_calls", *self._place, action, "held_back")

    def _budget(self, action: str) -> Budget:
        usual = _READING if action.startswith(("Describe", "Get", "List")) else _CHANGING
        usual = _QUEUE if self._place[0] == "sqs" else usual
        return self._health.budget(f"{self._scope} {action}", _LIMITS.get(action, usual))

    def _not_answering(self, reason: str, until: float) -> NotAskedError:
        at = time.strftime("%H:%M:%SZ", time.gmtime(until))
        return NotAskedError(
            ErrorKind.TRANSIENT, f"{self._subject} does not answer, to be asked again at {at}: {reason}"
        )

    def _throttled(self, action: str) -> NotAskedError:
        return NotAskedError(
            ErrorKind.THROTTLED, f"AWS throttles {action} of {self._subject}: the next poll tries again"
        )


def _is_slow(error: Exception, context: dict[str, Any]) -> bool:
    """True for a time-out, whatever it is called: a resolver or proxy that gives up late is one, too."""
    seconds = time.monotonic() - context[_BEGAN]
    return isinstance(error, (ConnectTimeoutError, ReadTimeoutError)) or (
        seconds >= context["client_config"].connect_timeout
    )


def _outcome(error: Exception) -> str:
    """Give the kind of a failure that was no answer; what was wrong before it was sent (credentials) has none."""
    if isinstance(error, NotAskedError):
        return error.kind
    return ErrorKind.TRANSIENT if isinstance(error, TRANSPORT_FAILURES) else "failed"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _kind(parsed: Any) -> ErrorKind | None:
    """Give the kind of an answer that is an error, None for any other."""
    error = parsed.get("Error")
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return kind_of(str(error.get("Code", "")), status) if error else None
