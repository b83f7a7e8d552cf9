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
    HEARD = "a message that a machine is taken back is let go only when what it says is durable"
    TARGETS = "the target of a fleet is never raised"
    MAX_NUMBER = "no more machines of a template run than its maxNumber"
    EXACT = "no more is launched for a request than was asked, by more than one machine's weight"
    OVERWRITTEN = "nobody writes over what another has written since he read it, with locks or without"
    NO_CRASH = "a call ends with an answer or with an error of hfplugin's own"

    # once life has gone on
    ENDS = "no request and no return stays running for ever"
    NOT_LOST = "every machine that HostFactory uses runs"
    NOT_LEAKED = "every machine that runs is one that HostFactory uses"
    GIVEN_BACK = "what HostFactory has given back is gone"
    NO_LEFTOVERS = "nothing but machines is left either: no fleet, no group, no launch template"

    UNCLAIMED = "what was launched for a call that was killed before its answer is given back"
    CONTENT = "a fleet whose request is closed wants nothing more than it has"
    STRAYS = "what a fleet launches for a request that is closed is given back"
    SPARED = "a record that was lost, or restored from a backup, is no reason to terminate a machine"


class BrokenError(AssertionError):
    """A law does not hold; `law` says which."""

    def __init__(self, law: Law, what: str) -> None:
        super().__init__(f"{law.name}: {law.value}: {what}")
        self.law = law
