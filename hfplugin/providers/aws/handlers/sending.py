"""What an error of a launch proves, whatever the service: nothing was launched, or nobody knows."""

from __future__ import annotations

from hfplugin.errors import ErrorKind, HFPluginError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws.errors import TOKEN_USED, is_first_answer, translate
from hfplugin.providers.base.provider import Outcome

# Refusals of a replay that every further replay would get too.
_ANSWERS = (ErrorKind.CAPACITY, ErrorKind.QUOTA, ErrorKind.INVALID, ErrorKind.UNKNOWN)


def unsent(launch: Launch, error: HFPluginError) -> Outcome:
    """Judge a failure before the launch itself was sent: for good, unless it was sent by an earlier call."""
    refusal = Refusal.of(error, launch.place)
    is_definite = launch.state is LaunchState.PLANNED and refusal.kind is not ErrorKind.TRANSIENT
    return Outcome(LaunchState.REFUSED if is_definite else LaunchState.UNKNOWN, errors=(refusal,))


def refused(launch: Launch, error: Exception) -> Outcome:
    """Judge what botocore raised. Only a definite answer to the very first try proves that nothing came."""
    refusal = translate(error)
    is_first = launch.state is not LaunchState.UNKNOWN and is_first_answer(error)
    if is_first and refusal.kind is not ErrorKind.TRANSIENT:
        return Outcome(LaunchState.REFUSED, errors=(Refusal.of(refusal, launch.place),))
    look_only = refusal.code in TOKEN_USED or refusal.kind in _ANSWERS
    return Outcome(LaunchState.UNKNOWN, errors=(Refusal.of(refusal, launch.place),), look_only=look_only)
