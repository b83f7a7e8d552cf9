"""EC2 in memory, as its documentation has it, behind boto3's own clients: their checks, pages and errors are real.

What is asked of it is answered from its state, never from a script; `faults` are what a test makes it answer
once instead. Sources: EC2's API reference (DescribeInstances, TerminateInstances, RunInstances, DescribeFleets,
DescribeSpotFleetRequests, DescribeLaunchTemplates), Auto Scaling's (DescribeAutoScalingGroups) and error codes.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from botocore.session import Session

from hfplugin.providers.aws import service_models, tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Located

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "111122223333"
HOME = "eu-central-1"
AWAY = "eu-west-1"
IMAGE = "ami-0123456789abcdef0"
LAUNCHED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)

_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")


class FaultError(Exception):
    """An answer that is an error; HTTP status 400 unless told."""

    def __init__(self, code: str, message: str = "as ordered", status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


@dataclass
class Instance:
    """One instance; a terminated one has lost its name and address."""

    id: str
    region: str
    number: int
    owner: str = ACCOUNT
    state: str = "running"
    zone: str = "a"
    type: str = "m5.large"
    labels: dict[str, str] = field(default_factory=dict)
    token: str = ""
    is_protected: bool = False
    lifecycle: str = ""
    reason: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"10.0.{self.number // 250}.{self.number % 250 + 4}"

    @property
    def name(self) -> str:
        return "" if self.state == "terminated" else f"ip-{self.address.replace('.', '-')}.{self.region}.internal"

    @property
    def located(self) -> Located:
        return Located(self.id, self.region, self.owner)

    def described(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "InstanceId": self.id,
            "State": {"Name": self.state},
            "InstanceType": self.type,
            "LaunchTime": LAUNCHED_AT,
            "Placement": {"AvailabilityZone": self.region + self.zone},
            "Tags": [{"Key": key, "Value": value} for key, value in self.labels.items()],
            "ClientToken": self.token,
            "PrivateDnsName": self.name,
        }
        if self.name:
            shown["PrivateIpAddress"] = self.address
        if self.lifecycle:
            shown["InstanceLifecycle"] = self.lifecycle
        if self.reason:
            shown["StateReason"] = self.reason
        return shown


@dataclass
class FakeAWS:
    """All of AWS that a provider asks. `account` is whose credentials ask; `dark` are regions out of reach.

    `capacity` bounds what can be had at a (subnet, type); `faults` are answers by operation, first in first out,
    None for a true one. `listed` are fleets, groups and launch templates by kind and region, as AWS shows them.
    """

    account: str = ACCOUNT
    instances: dict[str, Instance] = field(default_factory=dict)
    capacity: dict[tuple[str, str], int] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=lambda: {IMAGE: "/dev/sda1"})
    parameters: dict[str, str] = field(default_factory=dict)
    launch_templates: dict[tuple[str, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    faults: dict[str, list[FaultError | None]] = field(default_factory=dict)
    dark: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    listed: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    page_size: int = 1000
    _reservations: dict[str, tuple[dict[str, Any], list[str]]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(self, region: str = HOME, **fields: Any) -> Instance:
        """Let one more instance be there."""
        number = next(self._numbers)
        instance = Instance(f"i-{number:017x}", region, number, **fields)
        self.instances[instance.id] = instance
        return instance

    def add_ours(self, region: str = HOME, provider: str = "prod1", **fields: Any) -> Instance:
        """Let one more instance be there that a request launched."""
        labels = {
            tags.PROVIDER: provider,
            tags.INSTALLATION: "abc",
            tags.REQUEST_ID: "req-1",
            tags.TEMPLATE_ID: "small",
            tags.ATTEMPT: "2",
        }
        return self.add(region, labels=labels, **fields)

    def show(self, kind: str, shown: dict[str, Any], region: str = HOME) -> None:
        """Let one more thing be there; `kind` is the list of a description that it stands in."""
        self.listed.setdefault((kind, region), []).append(shown)

    def called(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of each call of an operation."""
        return [parameters for name, _, parameters in self.calls if name == operation]

    @property
    def call_count(self) -> Counter[str]:
        return Counter(name for name, _, _ in self.calls)

    def answer(self, operation: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer one call, or raise a FaultError or what botocore raises when nothing answers."""
        self.calls.append((operation, region, parameters))
        if region in self.dark:
            raise EndpointConnectionError(endpoint_url=f"https://ec2.{region}.amazonaws.com")
        fault = self.faults[operation].pop(0) if self.faults.get(operation) else None
        if fault is not None:
            raise fault
        handler = getattr(self, f"_{operation}", None)
        assert handler is not None, f"{operation} is not part of this AWS"
        answer: dict[str, Any] = handler(region, parameters)
        return answer

    def _GetCallerIdentity(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Account": self.account}

    def _AssumeRole(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return {"Credentials": {**dict.fromkeys(names, "temporary"), "Expiration": LAUNCHED_AT.replace(year=9999)}}

    def _GetParameter(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if parameters["Name"] not in self.parameters:
            raise FaultError("ParameterNotFound", "")
        return {"Parameter": {"Value": self.parameters[parameters["Name"]]}}

    def _DescribeImages(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        [image] = parameters["ImageIds"]
        if image not in self.images:
            raise FaultError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
        device = self.images[image]
        mappings = [
            {"DeviceName": "/dev/sdz", "Ebs": {"VolumeSize": 99}},
            {"DeviceName": device, "Ebs": {"VolumeSize": 12}},
        ]
        return {"Images": [{"ImageId": image, "RootDeviceName": device, "BlockDeviceMappings": mappings}]}

    def _DescribeSubnets(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Every subnet exists; the last letter of its id is its zone's."""
        [wanted] = parameters["Filters"]
        return {
            "Subnets": [{"SubnetId": each, "AvailabilityZone": region + each[-1]} for each in wanted["Values"]]
        }

    def _DescribeLaunchTemplateVersions(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        [wanted] = parameters["Versions"]
        named = parameters.get("LaunchTemplateId") or parameters["LaunchTemplateName"]
        if (named, wanted) not in self.launch_templates:
            raise FaultError("InvalidLaunchTemplateId.NotFound", "The specified launch template does not exist")
        number, content = self.launch_templates[named, wanted]
        return {"LaunchTemplateVersions": [{"VersionNumber": number, "LaunchTemplateData": content}]}

    def _RunInstances(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        asked = {name: value for name, value in parameters.items() if name != "ClientToken"}
        if parameters.get("DryRun"):
            raise FaultError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        token = parameters["ClientToken"]
        if token in self._reservations and self._reservations[token][0] != asked:
            raise FaultError("IdempotentParameterMismatch")
        if token not in self._reservations:
            self._reservations[token] = (asked, [*self._launched(region, parameters)])
        ids = self._reservations[token][1]
        return {
            "OwnerId": self.account,
            "ReservationId": f"r-{token[:17]}",
            "Instances": [self.instances[id_].described() for id_ in ids],
        }

    def _launched(self, region: str, parameters: dict[str, Any]) -> Iterator[str]:
        place = (parameters.get("SubnetId", ""), parameters.get("InstanceType", ""))
        count = min(parameters["MaxCount"], self.capacity.get(place, parameters["MaxCount"]))
        if count < parameters["MinCount"]:
            raise FaultError("InsufficientInstanceCapacity", "There is not enough of it", 500)
        if place in self.capacity:
            self.capacity[place] -= count
        labels = {tag["Key"]: tag["Value"] for tag in parameters["TagSpecifications"][0]["Tags"]}
        for _ in range(count):
            token = parameters["ClientToken"]
            yield self.add(region, owner=self.account, state="pending", labels=labels, token=token).id

    def _DescribeInstances(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ids = parameters.get("InstanceIds", [])
        if ids and "MaxResults" in parameters:
            raise FaultError("InvalidParameterCombination")
        found = self._known(region, ids) if ids else self._filtered(region, parameters.get("Filters", []))
        page, more = self._page(found, parameters)
        reservations = [
            {"OwnerId": instance.owner, "ReservationId": "r-1", "Instances": [instance.described()]}
            for instance in page
        ]
        return {"Reservations": reservations, **more}

    def _page(self, found: Sequence[Any], parameters: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Give the part of an answer that a call asks for, and the token of what follows it."""
        size = min(self.page_size, parameters.get("MaxResults", self.page_size))
        start = int(parameters.get("NextToken", 0))
        more = {"NextToken": str(start + size)} if start + size < len(found) else {}
        return found[start : start + size], more

    def _DescribeFleets(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """An instant fleet is only shown to who names it; one id that does not exist spoils the call."""
        found = self.listed.get(("Fleets", region), [])
        ids = parameters.get("FleetIds", [])
        if absent := set(ids) - {each["FleetId"] for each in found}:
            raise FaultError("InvalidFleetId.NotFound", f"The fleet IDs '{', '.join(absent)}' do not exist")
        found = [each for each in found if (each["FleetId"] in ids if ids else each["Type"] != "instant")]
        page, more = self._page(found, parameters)
        return {"Fleets": page, **more}

    def _DescribeSpotFleetRequests(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self.listed.get(("SpotFleetRequestConfigs", region), [])
        page, more = self._page(found, parameters)
        return {"SpotFleetRequestConfigs": page, **more}

    def _DescribeLaunchTemplates(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = _tagged(self.listed.get(("LaunchTemplates", region), []), parameters)
        page, more = self._page(found, parameters)
        return {"LaunchTemplates": page, **more}

    def _DeleteLaunchTemplate(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self.listed.get(("LaunchTemplates", region), [])
        gone = [each for each in found if each["LaunchTemplateName"] == parameters["LaunchTemplateName"]]
        if not gone:
            raise FaultError("InvalidLaunchTemplateName.NotFoundException", "The specified one does not exist")
        found.remove(gone[0])
        return {"LaunchTemplate": gone[0]}

    def _DescribeAutoScalingGroups(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Names that no group has are passed over."""
        names = parameters.get("AutoScalingGroupNames", [])
        if len(names) > 50:
            raise FaultError("ValidationError", "at most 50 names")
        found = _tagged(self.listed.get(("AutoScalingGroups", region), []), parameters)
        if names:
            found = [each for each in found if each["AutoScalingGroupName"] in names]
        page, more = self._page(found, parameters)
        return {"AutoScalingGroups": page, **more}

    def _known(self, region: str, ids: Sequence[str]) -> list[Instance]:
        """Every one of the ids; a single one that does not exist spoils the call."""
        if malformed := [id_ for id_ in ids if not _ID.fullmatch(id_)]:
            raise FaultError("InvalidInstanceID.Malformed", f'Invalid id: "{malformed[0]}"')
        here = self._visible(region)
        absent = [id_ for id_ in ids if id_ not in here]
        if len(absent) == 1:
            raise FaultError("InvalidInstanceID.NotFound", f"The instance ID '{absent[0]}' does not exist")
        if absent:
            raise FaultError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(absent)}' do not exist")
        return [here[id_] for id_ in dict.fromkeys(ids)]

    def _visible(self, region: str) -> dict[str, Instance]:
        return {i.id: i for i in self.instances.values() if i.region == region and i.owner == self.account}

    def _filtered(self, region: str, filters: Sequence[dict[str, Any]]) -> list[Instance]:
        found = [*self._visible(region).values()]
        for one in filters:
            if len(one["Values"]) > 200:
                raise FaultError("FilterLimitExceeded", "The maximum number of filter values is 200")
            found = [i for i in found if _filter_value(i, one["Name"]) in one["Values"]]
        return found

    def _TerminateInstances(self, region: str, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ids = parameters["InstanceIds"]
        if len(ids) > 1000:
            raise FaultError("InvalidParameterValue", "at most 1,000 instances")
        wanted = self._known(region, ids)
        protected = [instance for instance in wanted if instance.is_protected]
        closed_zones = {instance.zone for instance in protected}
        for instance in wanted:
            if instance.state != "terminated" and instance.zone not in closed_zones:
                instance.state = "shutting-down"
        if protected:
            message = (
                f"The instance '{protected[0].id}' may not be terminated. Modify its 'disableApiTermination' "
                "instance attribute and try again."
            )
            raise FaultError("OperationNotPermitted", message)
        return {"TerminatingInstances": [{"InstanceId": i.id, "CurrentState": {"Name": i.state}} for i in wanted]}


def _filter_value(instance: Instance, name: str) -> str:
    if name.startswith("tag:"):
        return instance.labels.get(name.removeprefix("tag:"), "")
    plain = {
        "instance-id": instance.id,
        "instance-state-name": instance.state,
        "client-token": instance.token,
        "private-dns-name": instance.name,
    }
    return plain[name]


def _tagged(found: Sequence[dict[str, Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that have the tags which a call's filters name."""
    for one in parameters.get("Filters", ()):
        key = one["Name"].removeprefix("tag:")
        found = [each for each in found if tags.as_dict(each.get("Tags", ())).get(key) in one["Values"]]
    return list(found)


class FakeClients(Clients):
    """The provider's own Clients, whose clients ask a FakeAWS."""

    def __init__(self, aws: FakeAWS, cache: Path, **settings: Any) -> None:
        super().__init__(AWSSettings(**{"region": HOME, **settings}), "prod1", Cache(str(cache)), Health())
        self._aws = aws

    def _base_session(self) -> Session:
        # Copies of botocore's files would be made in each test's own cache.
        with mock.patch.object(service_models, "prefer"):
            return super()._base_session()

    def _own_session(self) -> Session:
        with mock.patch.object(service_models, "prefer"):
            return super()._own_session()

    def _make(self, session: Session, service: str, region: str, attempts: int) -> Any:
        client: Any = _session().create_client(service, region)
        prefix = client.meta.service_model.service_id.hyphenize()

        def keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            # A copy, as the caller said it: botocore adds a token and encodes user data.
            context["asked"] = {**params}

        def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            metadata = {"RetryAttempts": 0}
            try:
                parsed = self._aws.answer(model.name, region, context["asked"])
            except FaultError as fault:
                error = {"Code": fault.code, "Message": fault.message}
                metadata["HTTPStatusCode"] = fault.status
                return _http(fault.status), {"Error": error, "ResponseMetadata": metadata}
            return _http(200), {**parsed, "ResponseMetadata": metadata}

        client.meta.events.register(f"provide-client-params.{prefix}", keep)
        client.meta.events.register(f"before-call.{prefix}", answer)
        return client


@functools.cache
def _session() -> Session:
    """One for all tests: reading the service models takes longer than everything else."""
    session = Session()
    session.set_credentials("key", "secret")
    return session


def _http(status: int) -> AWSResponse:
    return AWSResponse("https://ec2.amazonaws.com", status, HTTPHeaders(), None)
