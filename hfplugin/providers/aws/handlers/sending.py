"""What an error of a launch proves, whatever the service: nothing was launched, or nobody knows."""

from __future__ import annotations

from hfplugin.errors import ErrorKind, HFPluginError
from hfplugin.model import Launch, LaunchState, Refusal
from hfplugin.providers.aws.errors import TOKEN_USED, is_first_answer, translate
from hfplugin.providers.base.provider import Outcome


def unsent(launch: Launch, error: HFPluginError) -> Outcome:
    """Judge a failure before the launch itself was sent: for good, unless it was sent by an earlier call."""
    refusal = Refusal.of(error, launch.place)
    is_definite = launch.state is LaunchState.PLANNED and refusal.kind is not ErrorKind.TRANSIENT
    return Outcome(LaunchState.REFUSED if is_definite else LaunchState.UNKNOWN, errors=(refusal,))


def refused(launch: Launch, error: Exception) -> Outcome:
    """Judge what botocore raised. Only a definite answer to the very first try proves that nothing came."""
    refusal = Refusal.of(translate(error), launch.place)
    outcome = Outcome.failed(launch, refusal, is_first_answer(error))
    return outcome._replace(look_only=True) if refusal.code in TOKEN_USED else outcome
