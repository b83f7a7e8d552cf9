"""The one table from AWS's codes to what they mean, and the translation of botocore's exceptions.

By code, never by message or HTTP status alone (scaling activities and events of fleets often have no code). Codes
are those of API errors, of the errors in fleets' answers, of fleets' events, of Spot requests' statuses and of
instances' StateReasons. `Unsupported` is "this type is not offered in this zone" for a launch.
Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
"""

from __future__ import annotations

import re
from itertools import chain

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NotConnectedError
from botocore.parsers import ResponseParserError

from hfplugin.errors import ErrorKind, ProviderError
from hfplugin.logs import log

# Both prove that a launch's token was used: what it brought is looked for.
TOKEN_USED = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})

# Ours: what the credentials' account says of another account's machines means nothing.
WRONG_ACCOUNT = "WrongAccount"

# EC2 puts the particulars of a denial into a text that only this command can read.
_ENCODED = "Encoded authorization failure message:"
_DECODING = "Particulars from 'aws sts decode-authorization-message --encoded-message':"

_CODES: dict[ErrorKind, frozenset[str]] = {
    ErrorKind.THROTTLED: frozenset(
        {
            "EC2ThrottledException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "TooManyRequestsException",
        }
    ),
    ErrorKind.TRANSIENT: frozenset(
        {
            "FleetNotInModifiableState",  # a change of it is still under way
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            # Auto Scaling is at it: the next poll asks again.
            "ResourceContention",
            "ResourceInUse",
            "ScalingActivityInProgress",
            "Server.ScheduledStop",
            "ServiceUnavailable",
            "Unavailable",
            "system-error",
            "unexpectedError",
            # Both say that the token was used: something may run, or has run, under it.
            "IdempotentInstanceTerminated",
            "IdempotentParameterMismatch",
        }
    ),
    ErrorKind.CAPACITY: frozenset(
        {
            "InsufficientCapacity",
            "InsufficientCapacityOnHost",
            "InsufficientFreeAddressesInSubnet",
            "InsufficientHostCapacity",
            "InsufficientInstanceCapacity",
            "InsufficientReservedInstanceCapacity",
            "InsufficientVolumeCapacity",
            "ReservationCapacityExceeded",
            "SpotMaxPriceTooLow",
            "UnfulfillableCapacity",
            "Unsupported",
            "allLaunchSpecsTemporarilyBlacklisted",
            "fleetProgressHalted",
            "launchSpecTemporarilyBlacklisted",
            "launchSpecUnusable",
            # A Spot request waits, or waited in vain.
            "az-group-constraint",
            "capacity-not-available",
            "capacity-oversubscribed",
            "launch-group-constraint",
            "placement-group-constraint",
            "price-too-low",
            "schedule-expired",
            # AWS takes a Spot machine back.
            "Server.SpotInstanceShutdown",
            "Server.SpotInstanceTermination",
            "instance-stopped-by-price",
            "instance-stopped-no-capacity",
            "instance-terminated-by-price",
            "instance-terminated-by-service",
            "instance-terminated-capacity-oversubscribed",
            "instance-terminated-launch-group-constraint",
            "instance-terminated-no-capacity",
            "marked-for-stop",
            "marked-for-termination",
        }
    ),
    ErrorKind.QUOTA: frozenset(
        {
            "AddressLimitExceeded",
            "InstanceLimitExceeded",
            "LimitExceeded",
            "MaxFleetCountExceeded",
            "MaxSpotFleetRequestCountExceeded",
            "MaxSpotInstanceCountExceeded",
            "ResourceLimitExceeded",
            "VcpuLimitExceeded",
            "VolumeLimitExceeded",
            "limit-exceeded",  # of volumes
            "spotInstanceCountLimitExceeded",
        }
    ),
    ErrorKind.NOT_FOUND: frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}),
    ErrorKind.AUTH: frozenset(
        {
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "Blocked",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "PendingVerification",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnauthorizedOperation",
            "UnrecognizedClientException",
            "iamFleetRoleInvalid",
        }
    ),
    ErrorKind.INVALID: frozenset(
        {
            "AlreadyExists",  # somebody else's group has the name: one of ours is taken for what was asked
            "Client.InternalError",  # a machine whose volume or its key cannot be had at boot
            "DryRunOperation",  # a trial would have succeeded: who tries takes it for that
            "IncorrectInstanceState",
            "MissingParameter",
            "NoSuchEntity",
            "OperationNotPermitted",
            "OptInRequired",
            "ParameterNotFound",
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "UnknownParameter",
            "UnsupportedOperation",
            "UnsupportedTenancy",
            "ValidationError",
            "ValidationException",
            "VPCIdNotSpecified",
            "bad-parameters",
            "constraint-not-fulfillable",
            # A fleet says it also when a pool lacks capacity, which only its text tells.
            "spotFleetRequestConfigurationInvalid",
        }
    ),
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes}

# A group of several types or purchase types names the code: "Could not launch Spot Instances. CODE - TEXT".
_NAMED_IN_ACTIVITY = re.compile(r"^Could not launch (?:Spot|On-Demand) Instances\. ([A-Z][\w.]*) - ")

# Events of a fleet that say why machines do not come.
# Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EventInformation.html
_CLEAR_EVENTS = frozenset({"iamFleetRoleInvalid", "spotInstanceCountLimitExceeded"})
_VAGUE_EVENTS = frozenset(
    {
        "allLaunchSpecsTemporarilyBlacklisted",
        "fleetProgressHalted",
        "launchSpecTemporarilyBlacklisted",
        "launchSpecUnusable",
        "spotFleetRequestConfigurationInvalid",
    }
)
FLEET_FAILURES = _CLEAR_EVENTS | _VAGUE_EVENTS

# A code within a text: words run together, each with a capital.
_CODE = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][A-Za-z]*)+(?:\.[A-Z]\w+)?\b")

# A Spot request's status within a text: words in small letters, joined by hyphens.
_STATUS = re.compile(r"\b[a-z]+(?:-[a-z]+)+\b")

# StateReasons of machines that somebody ended or stopped: nothing failed.
_INTENDED = frozenset(
    {
        "Client.InstanceInitiatedShutdown",
        "Client.InstanceTerminated",
        "Client.UserInitiatedHibernate",
        "Client.UserInitiatedShutdown",
    }
)

# Other activities and events have EC2's text alone, without its code: the one place where a text has to be read.
# Sources: https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html,
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitor-ec2-fleet-using-eventbridge.html, public logs.
_TEXTS = (
    ("We currently do not have sufficient", "InsufficientInstanceCapacity"),
    ("Insufficient capacity", "InsufficientInstanceCapacity"),
    ("There is no Spot capacity available", "InsufficientInstanceCapacity"),
    ("Your Spot request price of", "SpotMaxPriceTooLow"),
    ("Spot bid price is less than Spot market price", "SpotMaxPriceTooLow"),
    ("Your requested instance type", "Unsupported"),
    ("requested instance type is not supported in the requested Availability Zone", "Unsupported"),
    ("You are not authorized to perform this operation", "UnauthorizedOperation"),
    ("There are not enough free addresses in subnet", "InsufficientFreeAddressesInSubnet"),
    ("You have requested more vCPU capacity than", "VcpuLimitExceeded"),
    ("Max spot instance count exceeded", "MaxSpotInstanceCountExceeded"),
)


class NotAskedError(BotoCoreError):
    """A call that was not made, because an earlier one says how it would end. `kind` says what that means."""

    fmt = "{text}"

    def __init__(self, kind: ErrorKind, text: str) -> None:
        super().__init__(text=text)
        self.kind = kind


# Exceptions of botocore that no answer of AWS stands behind. Its two roots of transport failures are not related.
_AUTH = (
    ConfigParseError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_INVALID = (ParamValidationError, NoRegionError, InvalidRegionError)
TRANSPORT_FAILURES = (HTTPClientError, IncompleteReadError, NotConnectedError)
_TRANSPORT = (*TRANSPORT_FAILURES, MetadataRetrievalError, ResponseParserError)


def kind_of(code: str, http_status: int = 0) -> ErrorKind:
    """Say what a code means; an unknown one is UNKNOWN, or TRANSIENT when it came with a 5xx. See `judged`."""
    if code in _KINDS:
        return _KINDS[code]
    if code.startswith("Invalid"):
        return ErrorKind.INVALID
    if code.endswith("LimitExceeded"):
        return ErrorKind.QUOTA
    return ErrorKind.TRANSIENT if http_status >= 500 else ErrorKind.UNKNOWN


def judged(code: str, message: str, where: str, http_status: int = 0) -> ErrorKind:
    """Say what a code means that AWS has just given; the log has one that is not known, with all that was said."""
    kind = kind_of(code, http_status)
    if kind is ErrorKind.UNKNOWN:
        _tell_unknown(code, message, where)
    return kind


def _tell_unknown(code: str, message: str, where: str) -> None:
    log.error("cloud.unknown_error", code=code, message=_one_line(message), where=where)


def code_of_state_reason(code: str) -> str:
    """Give the error code that the code of an instance's StateReason stands for; empty when nothing failed.

    `Server.` and `Client.` say whose fault an API error's code was.
    """
    if code in _INTENDED:
        return ""
    return code if code in _KINDS else code.partition(".")[2]


def code_of_activity(text: str) -> str:
    """Give the EC2 error code behind a scaling activity's StatusMessage; empty when it is none that is known."""
    named = _NAMED_IN_ACTIVITY.search(text)
    return named[1] if named else _code_behind(text)


def code_of_event(event: str, text: str) -> str:
    """Give the EC2 error code that the text of a fleet's event names or means; else the event's own name."""
    if event in _CLEAR_EVENTS:
        return event
    named = next((word for word in _CODE.findall(text) if kind_of(word) is not ErrorKind.UNKNOWN), "")
    return named or _code_behind(text) or event


def _code_behind(text: str) -> str:
    meant = (code for sentence, code in _TEXTS if sentence in text)
    named = (status for status in _STATUS.findall(text) if status in _KINDS)
    return next(chain(meant, named), "")


def translate(error: Exception) -> ProviderError:
    """Give the ProviderError for what botocore raised."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = str(error.response.get("Error", {}).get("Message", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if not code:
            return ProviderError(
                ErrorKind.TRANSIENT, f"HTTP {status}", "an answer that is not from AWS (a proxy?)"
            )
        text = _one_line(message.replace(_ENCODED, _DECODING))
        return ProviderError(judged(code, text, error.operation_name, status), code, text)
    name = "" if isinstance(error, NotAskedError) else type(error).__name__
    text, kind = _said(error), _kind_of_exception(error)
    if kind is ErrorKind.UNKNOWN:
        _tell_unknown(name, text, "botocore")
    return ProviderError(kind, name, text)


def _said(error: Exception) -> str:
    """Give a botocore exception's text with its remedy, without the page that a stranger's server sent."""
    if isinstance(error, ResponseParserError):
        return "what answered is not AWS: see the region and endpointUrl"
    text = _one_line(str(error))
    if isinstance(error, NoCredentialsError):
        return f"{text}: set aws.profile or aws.credentialFile, or give this host a role"
    return text


def is_first_answer(error: Exception) -> bool:
    """True when AWS answered the first attempt: only then does a refusal prove that nothing was launched."""
    if not isinstance(error, ClientError):
        return isinstance(error, (*_AUTH, *_INVALID, NotAskedError))
    if not error.response.get("Error", {}).get("Code"):
        return False  # something between here and AWS said it
    return not error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)


def _kind_of_exception(error: Exception) -> ErrorKind:
    if isinstance(error, NotAskedError):
        return error.kind
    if isinstance(error, _AUTH):
        return ErrorKind.AUTH
    if isinstance(error, _INVALID):
        return ErrorKind.INVALID
    return ErrorKind.TRANSIENT if isinstance(error, _TRANSPORT) else ErrorKind.UNKNOWN


def _one_line(text: str) -> str:
    return " ".join(text.split())


AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)


def unreadable(error: Exception) -> ProviderError:
    """Give the ProviderError for an answer that lacks what every answer of AWS has."""
    return ProviderError(ErrorKind.TRANSIENT, "UnreadableAnswer", f"not an answer of AWS ({error!r})")
