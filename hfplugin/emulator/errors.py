"""AWS's refusals: a code, a sentence, and the HTTP status that the code comes with."""

from __future__ import annotations

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html: server errors, the rest are the
# client's, with 400 where nothing else is listed here.
_STATUS = {
    "InsufficientInstanceCapacity": 500,
    "InsufficientAddressCapacity": 500,
    "InsufficientCapacity": 500,
    "InsufficientHostCapacity": 500,
    "InsufficientReservedInstanceCapacity": 500,
    "InsufficientVolumeCapacity": 500,
    "InternalError": 500,
    "InternalFailure": 500,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
    "RequestLimitExceeded": 503,
    "AuthFailure": 401,
    "UnauthorizedOperation": 403,
    "DryRunOperation": 412,
}


class ServiceError(Exception):
    """A call was refused; `code` is what clients go by."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS.get(code, 400)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def missing(parameter: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {parameter}")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def conflicting(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombination", message)


def malformed(code: str, value: str, prefix: str) -> ServiceError:
    """Give the refusal of an id that does not look like one."""
    return ServiceError(code, f'Invalid id: "{value}" (expecting "{prefix}-...")')


def dry_run() -> ServiceError:
    """Give the answer to a dry run of what would be done."""
    return ServiceError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
