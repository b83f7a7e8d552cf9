"""What has to hold, whatever happens: each law by a name, and the error that says which one was broken how."""

from __future__ import annotations

from enum import Enum


class Law(Enum):
    """A law; its value says it in a sentence."""

    # after every step
    ONE_MEANING = "a token is never sent with other parameters than before"
    INTENT = "nothing is launched before the record of it is durable"
    OURS_ALONE = "only machines under our tags are terminated"
    KEPT = "a machine that HostFactory was told to use is not terminated before HostFactory gives it back"
    USABLE = "HostFactory is not told to use a machine that was given back"
    ONE_RESULT = "a machine once reported failed never succeeds"
    ONE_NAME = "a host's name never changes"
    ONE_STATUS = "a final status never changes"
    ANSWERED = "every asked id is answered, in order, and a known one is not called unknown"
    NOT_DROPPED = "a machine that HostFactory was told to use stays in its request's answers"
    HEALTHY = "a healthy host is not called lost"
    TARGETS = "the target of a fleet is never raised"
    MAX_NUMBER = "no more machines of a template run than its maxNumber"
    EXACT = "no more is launched for a request than was asked, by more than one machine's weight"
    NO_CRASH = "a call ends with an answer or with an error of hfplugin's own"

    # once life has gone on
    ENDS = "no request and no return stays running for ever"
    NOT_LOST = "every machine that HostFactory uses runs"
    NOT_LEAKED = "every machine that runs is one that HostFactory uses"
    GIVEN_BACK = "what HostFactory has given back is gone"
    NO_LEFTOVERS = "nothing but machines is left either: no fleet, no group, no launch template"

    # what makes the laws above hold for requests that something happened to (see `excused` in ending.py)
    UNCLAIMED = "what was launched for a call that was killed before its answer is given back"
    REBUILT = "a request whose record was lost or damaged is as good as any other"
    REPLAYED = "a launch that a killed call has recorded is made durable before it is sent again"
    SPARED = "a request that was rebuilt gives nothing back by itself"
    STRAYS = "what a fleet launches for a request that is closed is given back"
    HOUSEKEEPING = "what a call could not remove is removed without waiting for a return"
    OVERWRITTEN = "without locks, too, nobody writes over what another has written since his check of it"
    DIRECTORIES = "a directory whose maker was killed is made durable by the next call"


# Laws that hfplugin does not promise yet; a history is judged without them.
NOT_YET = frozenset(
    {
        Law.UNCLAIMED,
        Law.REBUILT,
        Law.REPLAYED,
        Law.SPARED,
        Law.STRAYS,
        Law.HOUSEKEEPING,
        Law.OVERWRITTEN,
        Law.DIRECTORIES,
    }
)

TODAY = frozenset(Law) - NOT_YET


class BrokenError(AssertionError):
    """A law does not hold; `law` says which."""

    def __init__(self, law: Law, what: str) -> None:
        super().__init__(f"{law.name}: {law.value}: {what}")
        self.law = law
