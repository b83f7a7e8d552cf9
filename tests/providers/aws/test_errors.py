"""What each of AWS's error codes means for the next step."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.session import Session

from hfplugin.errors import ErrorKind
from hfplugin.logs import Log
from hfplugin.providers.aws import errors
from hfplugin.providers.aws.errors import (
    AWS_ERRORS,
    code_of_activity,
    code_of_event,
    code_of_state_reason,
    is_first_answer,
    judged,
    kind_of,
    translate,
)

KINDS = {
    ErrorKind.CAPACITY: """InsufficientInstanceCapacity InsufficientCapacity UnfulfillableCapacity
        SpotMaxPriceTooLow InsufficientCapacityOnHost InsufficientHostCapacity Unsupported
        ReservationCapacityExceeded InsufficientFreeAddressesInSubnet InsufficientReservedInstanceCapacity
        InsufficientVolumeCapacity
        capacity-not-available capacity-oversubscribed price-too-low schedule-expired az-group-constraint
        launch-group-constraint placement-group-constraint
        marked-for-termination marked-for-stop instance-terminated-by-price instance-terminated-no-capacity
        instance-terminated-capacity-oversubscribed instance-terminated-by-service
        instance-terminated-launch-group-constraint instance-stopped-by-price instance-stopped-no-capacity""",
    ErrorKind.QUOTA: """VcpuLimitExceeded InstanceLimitExceeded MaxSpotInstanceCountExceeded MaxFleetCountExceeded
        MaxSpotFleetRequestCountExceeded SpotFleetRequestLimitExceeded FleetTargetCapacityLimitExceeded
        VolumeLimitExceeded ResourceLimitExceeded LimitExceeded limit-exceeded""",
    ErrorKind.THROTTLED: """RequestLimitExceeded Throttling ThrottlingException EC2ThrottledException
        RequestThrottled SlowDown""",
    ErrorKind.TRANSIENT: """InternalError InternalFailure Unavailable ServiceUnavailable
        IdempotentParameterMismatch IdempotentInstanceTerminated system-error""",
    ErrorKind.AUTH: """UnauthorizedOperation AccessDenied AuthFailure ExpiredToken RequestExpired
        InvalidClientTokenId AuthFailure.ServiceLinkedRoleCreationNotPermitted""",
    ErrorKind.INVALID: """InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable
        InvalidSubnetID.NotFound InvalidGroup.NotFound InvalidParameter InvalidParameterValue
        InvalidParameterCombination InvalidKeyPair.NotFound InvalidLaunchTemplateId.NotFound
        InvalidLaunchTemplateName.NotFoundException MissingParameter OptInRequired InvalidFleetConfiguration
        OperationNotPermitted ParameterNotFound AlreadyExists DryRunOperation bad-parameters
        constraint-not-fulfillable""",
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


STATE_REASONS = {
    "Server.InsufficientInstanceCapacity": ErrorKind.CAPACITY,
    "Server.SpotInstanceTermination": ErrorKind.CAPACITY,
    "Server.SpotInstanceShutdown": ErrorKind.CAPACITY,
    "Server.InternalError": ErrorKind.TRANSIENT,
    "Server.ScheduledStop": ErrorKind.TRANSIENT,
    "Client.VolumeLimitExceeded": ErrorKind.QUOTA,
    "Client.InternalError": ErrorKind.INVALID,
    "Client.InvalidSnapshot.NotFound": ErrorKind.INVALID,
    "Client.InvalidParameterCombination": ErrorKind.INVALID,
    "Server.NeverHeardOf": ErrorKind.UNKNOWN,
}
NO_FAILURES = [
    "",
    "pending",
    "Client.InstanceInitiatedShutdown",
    "Client.InstanceTerminated",
    "Client.UserInitiatedHibernate",
    "Client.UserInitiatedShutdown",
]


@pytest.mark.parametrize(("code", "kind"), STATE_REASONS.items())
def test_why_a_machine_failed_is_in_the_same_table(code: str, kind: ErrorKind) -> None:
    assert kind_of(code_of_state_reason(code)) is kind


@pytest.mark.parametrize("code", NO_FAILURES)
def test_a_machine_that_somebody_ended_or_that_boots_has_not_failed(code: str) -> None:
    assert code_of_state_reason(code) == ""


def test_every_documented_reason_of_a_machines_state_is_known() -> None:
    reason: Any = Session().get_service_model("ec2").shape_for("StateReason")
    text = reason.members["Message"].documentation
    documented = set(re.findall(r"<code>((?:Server|Client)\.[\w.]+)</code>", text))
    assert len(documented) >= 12
    assert documented <= {*STATE_REASONS, *NO_FAILURES}


class TestUnknown:
    """What no table knows is in the log, once, with all that AWS said."""

    @pytest.fixture(autouse=True)
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "log"
        log = Log()
        log.start(str(path), "ERROR", verb="getRequestStatus")
        monkeypatch.setattr(errors, "log", log)
        return path

    @staticmethod
    def told(path: Path) -> list[dict[str, Any]]:
        lines = path.read_text().splitlines() if path.exists() else []
        return [{k: v for k, v in json.loads(line).items() if k != "timestamp"} for line in lines]

    def event(self, **values: str) -> dict[str, Any]:
        return {"event": "cloud.unknown_error", "level": "error", "verb": "getRequestStatus", **values}

    def test_an_unknown_code_of_an_answer_is_loud(self, path: Path) -> None:
        translate(client_error("NeverHeardOf", "Something\n new"))
        expected = self.event(code="NeverHeardOf", message="Something new", where="RunInstances")
        assert self.told(path) == [expected]

    def test_an_unknown_exception_of_botocore_is_loud(self, path: Path) -> None:
        translate(botocore.exceptions.DataNotFoundError(data_path="d"))
        [event] = self.told(path)
        assert (event["code"], event["where"]) == ("DataNotFoundError", "botocore")
        assert event["message"]

    def test_an_unknown_code_within_an_answer_is_loud(self, path: Path) -> None:
        assert judged("NeverHeardOf", "Something\n new", "eu-central-1/spot") is ErrorKind.UNKNOWN
        expected = self.event(code="NeverHeardOf", message="Something new", where="eu-central-1/spot")
        assert self.told(path) == [expected]

    @pytest.mark.parametrize(("code", "kind"), CODES)
    def test_a_known_code_is_not(self, path: Path, code: str, kind: ErrorKind) -> None:
        assert judged(code, "no", "here") is kind
        assert translate(client_error(code)).kind is kind
        assert self.told(path) == []

    def test_what_is_not_awss_own_word_is_not(self, path: Path) -> None:
        answer: Any = {}
        translate(ClientError(answer, "RunInstances"))
        translate(client_error("NeverHeardOf", HTTPStatusCode=503))
        translate(ResponseParserError("<html>"))
        assert self.told(path) == []

    def test_an_event_of_a_thread_has_the_bound_values(self, path: Path) -> None:
        thread = threading.Thread(target=lambda: translate(client_error("NeverHeardOf")))
        thread.start()
        thread.join()
        assert self.told(path) == [self.event(code="NeverHeardOf", message="no", where="RunInstances")]


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


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "capacity-not-available: There is no Spot capacity available that matches your request.",
            "InsufficientInstanceCapacity",
        ),
        (
            "price-too-low: Your Spot request price of 0.03 is lower than the minimum required Spot request "
            "fulfillment price of 0.113.",
            "SpotMaxPriceTooLow",
        ),
        (
            "capacity-oversubscribed: Your Spot request was not fulfilled as there is no more unused capacity",
            "capacity-oversubscribed",
        ),
        ("Placing Spot instance request failed: bad-parameters", "bad-parameters"),
        ("a well-known text (status code: constraint-not-fulfillable)", "constraint-not-fulfillable"),
        ("an up-to-date text that names none", ""),
    ],
)
def test_a_spot_requests_status_is_read_from_a_text_that_has_no_other_code(text: str, code: str) -> None:
    assert code_of_activity(f"{text} Launching EC2 instance failed.") == code
    assert code_of_event("launchSpecUnusable", f"m5.large, {text}") == (code or "launchSpecUnusable")
