"""The one table from AWS error codes to what they mean, and the translation of botocore's exceptions.

By code, never by message or HTTP status alone (scaling activities and events of fleets often have no code).
Sources: EC2's error code reference; Auto Scaling's common errors; codes seen in fleet answers. `Unsupported` is
"this type is not offered in this zone" for a launch.
"""

from __future__ import annotations

import re

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
            "ServiceUnavailable",
            "Unavailable",
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
            "IncorrectInstanceState",
            "MissingParameter",
            "NoSuchEntity",
            "OperationNotPermitted",
            "OptInRequired",
            "ParameterNotFound",
            "UnknownParameter",
            "UnsupportedOperation",
            "UnsupportedTenancy",
            "ValidationError",
            "ValidationException",
            "VPCIdNotSpecified",
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
    """Say what a code means; an unknown one is UNKNOWN, or TRANSIENT when it came with a 5xx."""
    if code in _KINDS:
        return _KINDS[code]
    if code.startswith("Invalid"):
        return ErrorKind.INVALID
    if code.endswith("LimitExceeded"):
        return ErrorKind.QUOTA
    return ErrorKind.TRANSIENT if http_status >= 500 else ErrorKind.UNKNOWN


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
    return next((code for sentence, code in _TEXTS if sentence in text), "")


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
        return ProviderError(kind_of(code, status), code, _one_line(message.replace(_ENCODED, _DECODING)))
    return ProviderError(_kind_of_exception(error), type(error).__name__, _said(error))


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
        return isinstance(error, (*_AUTH, *_INVALID))
    if not error.response.get("Error", {}).get("Code"):
        return False  # something between here and AWS said it
    return not error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)


def _kind_of_exception(error: Exception) -> ErrorKind:
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
