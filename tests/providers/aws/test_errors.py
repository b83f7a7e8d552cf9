"""What each of AWS's error codes means for the next step."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from hfplugin.errors import ErrorKind
from hfplugin.providers.aws.errors import AWS_ERRORS, code_of_event, is_first_answer, kind_of, translate

KINDS = {
    ErrorKind.CAPACITY: """InsufficientInstanceCapacity InsufficientCapacity UnfulfillableCapacity
        SpotMaxPriceTooLow InsufficientCapacityOnHost InsufficientHostCapacity Unsupported
        ReservationCapacityExceeded InsufficientFreeAddressesInSubnet InsufficientReservedInstanceCapacity
        InsufficientVolumeCapacity""",
    ErrorKind.QUOTA: """VcpuLimitExceeded InstanceLimitExceeded MaxSpotInstanceCountExceeded MaxFleetCountExceeded
        MaxSpotFleetRequestCountExceeded SpotFleetRequestLimitExceeded FleetTargetCapacityLimitExceeded
        VolumeLimitExceeded ResourceLimitExceeded LimitExceeded""",
    ErrorKind.THROTTLED: """RequestLimitExceeded Throttling ThrottlingException EC2ThrottledException
        RequestThrottled SlowDown""",
    ErrorKind.TRANSIENT: """InternalError InternalFailure Unavailable ServiceUnavailable
        IdempotentParameterMismatch IdempotentInstanceTerminated""",
    ErrorKind.AUTH: """UnauthorizedOperation AccessDenied AuthFailure ExpiredToken RequestExpired
        InvalidClientTokenId AuthFailure.ServiceLinkedRoleCreationNotPermitted""",
    ErrorKind.INVALID: """InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable
        InvalidSubnetID.NotFound InvalidGroup.NotFound InvalidParameter InvalidParameterValue
        InvalidParameterCombination InvalidKeyPair.NotFound InvalidLaunchTemplateId.NotFound
        InvalidLaunchTemplateName.NotFoundException MissingParameter OptInRequired InvalidFleetConfiguration
        OperationNotPermitted ParameterNotFound""",
    ErrorKind.NOT_FOUND: "InvalidInstanceID.NotFound InvalidInstanceID.Malformed",
}
CODES = [(code, kind) for kind, codes in KINDS.items() for code in codes.split()]


def client_error(code: str, message: str = "no", **metadata: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return ClientError(answer, "RunInstances")


@pytest.mark.parametrize("http_status", [0, 400, 500, 503])
@pytest.mark.parametrize(("code", "kind"), CODES)
def test_a_known_code_means_the_same_with_every_http_status(code: str, kind: ErrorKind, http_status: int) -> None:
    assert kind_of(code, http_status) is kind


@pytest.mark.parametrize("http_status", [0, 400, 403, 412])
def test_an_unknown_code_is_unknown_and_stops_the_launch(http_status: int) -> None:
    kind = kind_of("NeverHeardOf", http_status)
    assert kind is ErrorKind.UNKNOWN
    assert kind.is_permanent


@pytest.mark.parametrize("http_status", [500, 502, 503, 504])
def test_an_unknown_server_error_is_transient(http_status: int) -> None:
    assert kind_of("NeverHeardOf", http_status) is ErrorKind.TRANSIENT
    assert kind_of(str(http_status), http_status) is ErrorKind.TRANSIENT


def test_code_and_message_are_kept_on_one_line() -> None:
    error = translate(client_error("InvalidSubnetID.NotFound", "The subnet\n 'subnet-1' does not exist"))
    assert (error.kind, error.code) == (ErrorKind.INVALID, "InvalidSubnetID.NotFound")
    assert str(error) == "InvalidSubnetID.NotFound: The subnet 'subnet-1' does not exist"


def test_the_status_of_an_unknown_code_is_taken_from_the_answer() -> None:
    assert translate(client_error("NeverHeardOf", HTTPStatusCode=503)).kind is ErrorKind.TRANSIENT
    assert translate(client_error("NeverHeardOf", HTTPStatusCode=400)).kind is ErrorKind.UNKNOWN


def test_an_answer_without_a_code_is_not_awss_and_proves_nothing() -> None:
    answer: Any = {}
    error = ClientError(answer, "RunInstances")
    assert translate(error).kind is ErrorKind.TRANSIENT
    assert not is_first_answer(error)


def test_an_encoded_denial_comes_with_the_command_that_decodes_it() -> None:
    denial = "You are not authorized. Encoded authorization failure message: AbC123"
    error = translate(client_error("UnauthorizedOperation", denial))
    assert error.message == (
        "You are not authorized. Particulars from 'aws sts decode-authorization-message --encoded-message': AbC123"
    )


EXCEPTIONS: list[tuple[str, dict[str, Any], ErrorKind]] = [
    ("EndpointConnectionError", {"endpoint_url": "u"}, ErrorKind.TRANSIENT),
    ("ConnectTimeoutError", {"endpoint_url": "u"}, ErrorKind.TRANSIENT),
    ("ReadTimeoutError", {"endpoint_url": "u"}, ErrorKind.TRANSIENT),
    ("ConnectionClosedError", {"endpoint_url": "u"}, ErrorKind.TRANSIENT),
    ("ProxyConnectionError", {"proxy_url": "u"}, ErrorKind.TRANSIENT),
    ("SSLError", {"endpoint_url": "u", "error": "e"}, ErrorKind.TRANSIENT),
    ("HTTPClientError", {"error": "e"}, ErrorKind.TRANSIENT),
    ("ResponseStreamingError", {"error": "e"}, ErrorKind.TRANSIENT),
    ("IncompleteReadError", {"actual_bytes": 1, "expected_bytes": 2}, ErrorKind.TRANSIENT),
    ("MetadataRetrievalError", {"error_msg": "e"}, ErrorKind.TRANSIENT),
    ("NoCredentialsError", {}, ErrorKind.AUTH),
    ("PartialCredentialsError", {"provider": "p", "cred_var": "v"}, ErrorKind.AUTH),
    ("CredentialRetrievalError", {"provider": "p", "error_msg": "e"}, ErrorKind.AUTH),
    ("ProfileNotFound", {"profile": "p"}, ErrorKind.AUTH),
    ("ConfigParseError", {"path": "p", "error": "e"}, ErrorKind.AUTH),
    ("UnauthorizedSSOTokenError", {}, ErrorKind.AUTH),
    ("SSOTokenLoadError", {"error_msg": "e"}, ErrorKind.AUTH),
    ("TokenRetrievalError", {"provider": "p", "error_msg": "e"}, ErrorKind.AUTH),
    ("ParamValidationError", {"report": "r"}, ErrorKind.INVALID),
    ("NoRegionError", {}, ErrorKind.INVALID),
    ("InvalidRegionError", {"region_name": "r"}, ErrorKind.INVALID),
    ("DataNotFoundError", {"data_path": "d"}, ErrorKind.UNKNOWN),
]


@pytest.mark.parametrize(("name", "arguments", "kind"), EXCEPTIONS, ids=[name for name, _, _ in EXCEPTIONS])
def test_each_exception_of_botocore_has_its_kind(name: str, arguments: dict[str, Any], kind: ErrorKind) -> None:
    exception = getattr(botocore.exceptions, name)(**arguments)
    assert isinstance(exception, AWS_ERRORS)
    error = translate(exception)
    assert (error.kind, error.code) == (kind, name)
    assert error.message.startswith(" ".join(str(exception).split()))


def test_missing_credentials_say_what_to_set() -> None:
    assert "set aws.profile or aws.credentialFile" in translate(botocore.exceptions.NoCredentialsError()).message


def test_an_answer_that_is_no_answer_is_transient() -> None:
    error = ResponseParserError("<html>")
    assert isinstance(error, AWS_ERRORS)
    assert translate(error).kind is ErrorKind.TRANSIENT
    assert translate(error).message == "what answered is not AWS: see the region and endpointUrl"


@pytest.mark.parametrize(
    ("metadata", "is_first"), [({}, True), ({"RetryAttempts": 0}, True), ({"RetryAttempts": 1}, False)]
)
def test_an_answer_after_a_retry_is_not_a_first_answer(metadata: dict[str, Any], is_first: bool) -> None:
    assert is_first_answer(client_error("InsufficientInstanceCapacity", **metadata)) is is_first


@pytest.mark.parametrize(("name", "arguments", "kind"), EXCEPTIONS, ids=[name for name, _, _ in EXCEPTIONS])
def test_only_what_was_never_sent_counts_as_a_first_answer(
    name: str, arguments: dict[str, Any], kind: ErrorKind
) -> None:
    exception = getattr(botocore.exceptions, name)(**arguments)
    assert is_first_answer(exception) is (kind in (ErrorKind.AUTH, ErrorKind.INVALID))


@pytest.mark.parametrize(
    ("event", "text", "code", "kind"),
    [
        (
            "spotFleetRequestConfigurationInvalid",
            "m3.large, ami-0f629276, Linux/UNIX: There is no Spot capacity available that matches your request.",
            "InsufficientInstanceCapacity",
            ErrorKind.CAPACITY,
        ),
        (
            "spotFleetRequestConfigurationInvalid",
            "m3.large, ami-0f629276, Linux/UNIX: You have requested more vCPU capacity than your limit allows.",
            "VcpuLimitExceeded",
            ErrorKind.QUOTA,
        ),
        (
            "launchSpecTemporarilyBlacklisted",
            "Error message: The key pair 'x' does not exist (Error Code: InvalidKeyPair.NotFound)",
            "InvalidKeyPair.NotFound",
            ErrorKind.INVALID,
        ),
        (
            "launchSpecTemporarilyBlacklisted",
            "Error message: There are not enough free addresses in subnet 'subnet-x'",
            "InsufficientFreeAddressesInSubnet",
            ErrorKind.CAPACITY,
        ),
        (
            "launchSpecUnusable",
            "r3.8xlarge, us-east-1a, Spot bid price is less than Spot market price $0.5291",
            "SpotMaxPriceTooLow",
            ErrorKind.CAPACITY,
        ),
        ("launchSpecUnusable", "something new", "launchSpecUnusable", ErrorKind.CAPACITY),
        (
            "spotFleetRequestConfigurationInvalid",
            "Request has an invalid configuration",
            "spotFleetRequestConfigurationInvalid",
            ErrorKind.INVALID,
        ),
        ("spotInstanceCountLimitExceeded", "InternalError", "spotInstanceCountLimitExceeded", ErrorKind.QUOTA),
        ("iamFleetRoleInvalid", "InternalError", "iamFleetRoleInvalid", ErrorKind.AUTH),
    ],
)
def test_an_event_of_a_fleet_means_what_its_text_says(event: str, text: str, code: str, kind: ErrorKind) -> None:
    assert code_of_event(event, text) == code
    assert kind_of(code) is kind
