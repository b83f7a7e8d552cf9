"""AWS as the registry knows it, and its self-check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_ec2 import ACCOUNT, AWAY, HOME, IMAGE, FakeAWS, FakeClients, FaultError
from pydantic import TypeAdapter, ValidationError

from hfplugin.errors import ConfigurationError, ProviderError
from hfplugin.model import Template
from hfplugin.providers.aws import client, instance_types
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.provider import AWSProvider
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Order
from hfplugin.providers.base.registry import ProviderRegistry, TemplateExtensionRegistry

SPEC = ProviderRegistry.spec("aws")
CONTEXT = Context("prod1", "abc", Cache("/nonexistent"), Health())


def extension(**keys: Any) -> AWSTemplate:
    raw = {"imageId": IMAGE, "vmType": "m5.large", **keys}
    found: AWSTemplate = TemplateExtensionRegistry.create_extension_config(
        "aws", {key: value for key, value in raw.items() if value is not None}
    )
    return found


def settings(raw: dict[str, Any]) -> AWSSettings:
    found: AWSSettings = TypeAdapter(SPEC.config_type).validate_python(raw)
    return found


def template(name: str = "small", **keys: Any) -> Template:
    raw = {"imageId": IMAGE, "subnetId": "subnet-a", "vmType": "m5.large", **keys}
    return Template(name, "aws", 10, {}, raw)


def provider(clients: FakeClients) -> AWSProvider:
    made = AWSProvider(AWSSettings(region=HOME), CONTEXT)
    made._clients = clients
    return made


def test_the_configuration_has_defaults_for_everything() -> None:
    assert settings({}) == AWSSettings()
    assert (AWSSettings().connect_timeout_seconds, AWSSettings().read_timeout_seconds) == (5.0, 60.0)


def test_the_configuration_is_written_in_camel_case() -> None:
    given = settings({"region": HOME, "fallbackRegions": [AWAY], "proxyPort": "3128", "countThreads": True})
    assert given == AWSSettings(region=HOME, fallback_regions=(AWAY,), proxy_port=3128, count_threads=True)


@pytest.mark.parametrize(
    "raw",
    [
        {"Region": HOME},
        {"connectTimeoutSeconds": 0},
        {"readTimeoutSeconds": -1},
        {"proxyPort": 0},
        {"proxyPort": 65536},
    ],
)
def test_a_wrong_setting_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(raw)


def test_attributes_come_from_the_machine_type(tmp_path: Path) -> None:
    attributes = SPEC.attributes(extension(), AWSSettings(), str(tmp_path / "none"))
    assert attributes == {
        "type": ["String", "X86_64"],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", "1"],
        "nram": ["Numeric", "8192"],
    }
    threads = SPEC.attributes(extension(), AWSSettings(count_threads=True), str(tmp_path / "none"))
    assert threads["ncpus"] == ["Numeric", "2"]


def test_attributes_of_weighted_types_are_those_of_the_smallest_unit(tmp_path: Path) -> None:
    weighted = extension(vmType=None, vmTypes={"m5.2xlarge": 2, "m5.large": 1})
    assert SPEC.attributes(weighted, AWSSettings(), str(tmp_path / "none"))["ncpus"] == ["Numeric", "1"]


def test_a_type_newer_than_the_table_is_taken_from_the_refreshed_one(tmp_path: Path) -> None:
    refreshed = tmp_path / "types.json"
    instance_types.save({"z9.huge": instance_types.InstanceType(8, 16, 1024, "arm64")}, refreshed)
    attributes = SPEC.attributes(extension(vmType="z9.huge"), AWSSettings(), str(refreshed))
    assert (attributes["type"], attributes["ncpus"]) == (["String", "AARCH64"], ["Numeric", "8"])


def test_a_launch_templates_own_type_gives_no_attributes(tmp_path: Path) -> None:
    assert SPEC.attributes(extension(vmType=None, launchTemplateId="lt-1"), AWSSettings(), str(tmp_path)) == {}


def test_machine_tags_are_the_templates() -> None:
    assert SPEC.tags(extension(instanceTags="a=1;b=2")) == {"a": "1", "b": "2"}


def test_the_configuration_of_ibms_plugin_can_be_converted() -> None:
    assert SPEC.convert is not None
    converted, _ = SPEC.convert({"AWS_REGION": HOME})
    assert settings(converted["aws"]).region == HOME


def test_refreshed_machine_types_are_those_of_every_region(
    aws: FakeAWS, clients: FakeClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "Clients", lambda *_: clients)
    monkeypatch.setattr(
        instance_types,
        "describe",
        lambda ec2: {f"m5.{ec2.meta.region_name}": instance_types.InstanceType(1, 2, 1024, "x86_64")},
    )
    assert SPEC.refresh is not None
    path = tmp_path / "cache/types.json"
    assert SPEC.refresh(AWSSettings(), CONTEXT, str(path)) == 2
    assert json.loads(path.read_text())["types"].keys() == {f"m5.{HOME}", f"m5.{AWAY}"}


def test_a_refresh_that_fails_leaves_the_table_alone(
    aws: FakeAWS, clients: FakeClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "Clients", lambda *_: clients)
    aws.faults["DescribeInstanceTypes"] = [FaultError("UnauthorizedOperation", status=403)]
    assert SPEC.refresh is not None
    with pytest.raises(ProviderError, match="UnauthorizedOperation"):
        SPEC.refresh(AWSSettings(), CONTEXT, str(tmp_path / "types.json"))
    assert not (tmp_path / "types.json").exists()


def test_knowing_aws_loads_neither_boto3_nor_pydantic() -> None:
    code = "import sys, hfplugin.providers.aws.spec; print({'boto3', 'botocore', 'pydantic'} & {*sys.modules})"
    root = Path(__file__).resolve().parents[3]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"


def test_a_check_tells_account_and_region_and_tries_each_template(aws: FakeAWS, clients: FakeClients) -> None:
    identity, small, big = provider(clients).check([template(), template("big", vmType="m5.24xlarge")])
    assert (identity.is_ok, identity.detail) == (True, f"account {ACCOUNT}, region {HOME}")
    assert (small.is_ok, small.subject) == (True, "template small")
    assert small.detail == f"a launch would succeed in {HOME}/subnet-a/m5.large"
    assert (big.is_ok, big.subject) == (True, "template big")
    assert aws.instances == {}


def test_a_check_goes_on_after_a_template_that_cannot_be_launched(aws: FakeAWS, clients: FakeClients) -> None:
    aws.faults["RunInstances"] = [FaultError("InvalidSubnetID.NotFound", "no such subnet")]
    _, small, other = provider(clients).check([template(), template("other")])
    assert (small.is_ok, small.detail) == (
        False,
        f"InvalidSubnetID.NotFound: no such subnet (in {HOME}/subnet-a/m5.large)",
    )
    assert small.remedy == "correct what AWS names in the template or the account"
    assert other.is_ok


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("UnauthorizedOperation", "grant the action"), ("RequestLimitExceeded", "then try again")],
)
def test_a_failed_check_comes_with_the_remedy_of_its_kind(
    aws: FakeAWS, clients: FakeClients, code: str, remedy: str
) -> None:
    aws.faults["RunInstances"] = [FaultError(code)]
    _, check = provider(clients).check([template()])
    assert remedy in check.remedy


def test_a_check_tries_every_subnet_and_every_type_and_names_those_that_fail(
    aws: FakeAWS, clients: FakeClients
) -> None:
    aws.faults["RunInstances"] = [None, FaultError("InvalidSubnetID.NotFound", "no subnet-b"), None]
    wide = template(
        subnetId=["subnet-a", "subnet-b"],
        vmType="",
        vmTypes={"m5.large": 1, "m5.xlarge": 2},
        providerApi="RunInstances",
    )
    _, check = provider(clients).check([wide])
    tried = [(call["SubnetId"], call["InstanceType"]) for call in aws.called("RunInstances")]
    assert tried == [("subnet-a", "m5.large"), ("subnet-b", "m5.large"), ("subnet-a", "m5.xlarge")]
    assert check.detail == f"InvalidSubnetID.NotFound: no subnet-b (in {HOME}/subnet-b/m5.large)"


def test_a_record_whose_template_this_version_refuses_is_a_configuration_error(clients: FakeClients) -> None:
    older = template()._replace(extension={"bogus": 1})
    with pytest.raises(ConfigurationError, match="not valid in this version"):
        provider(clients).plan(Order("req-1", 1, older, 1))


def test_a_check_without_credentials_says_so_and_stops(aws: FakeAWS, clients: FakeClients) -> None:
    aws.faults["GetCallerIdentity"] = [FaultError("InvalidClientTokenId", "the key is not known", 403)]
    [check] = provider(clients).check([template()])
    assert (check.is_ok, check.subject) == (False, "identity")
    assert "InvalidClientTokenId: the key is not known" in check.detail
    assert "credentialFile" in check.remedy


def test_attributes_of_requirements_are_their_minima(tmp_path: Path) -> None:
    wanted = {"VCpuCount": {"Min": 8, "Max": 16}, "MemoryMiB": {"Min": 16384}}
    required = extension(vmType=None, providerApi="EC2Fleet", instanceRequirements=wanted)
    assert SPEC.attributes(required, AWSSettings(), str(tmp_path)) == {
        "type": ["String", "X86_64"],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", "4"],
        "nram": ["Numeric", "16384"],
    }
    threads = SPEC.attributes(required, AWSSettings(count_threads=True), str(tmp_path))
    assert threads["ncpus"] == ["Numeric", "8"]


def test_requirements_for_awss_own_processors_are_arm_with_a_core_for_each_vcpu(tmp_path: Path) -> None:
    wanted = {"VCpuCount": {"Min": 8}, "MemoryMiB": {"Min": 1024}, "CpuManufacturers": ["amazon-web-services"]}
    required = extension(vmType=None, providerApi="ASG", instanceRequirements=wanted)
    found = SPEC.attributes(required, AWSSettings(), str(tmp_path))
    assert (found["type"], found["ncpus"]) == (["String", "AARCH64"], ["Numeric", "8"])


def fleet_file(directory: Path, **overrides: Any) -> str:
    path = directory / "fleet.json"
    machines = [{"InstanceType": "m5.xlarge", "WeightedCapacity": 2}, {"InstanceType": "m5.large"}]
    content = {
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1"}, "Overrides": machines}
        ],
        "Type": "instant",
        **overrides,
    }
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return str(path)


def test_attributes_come_from_the_types_of_a_fleet_file(tmp_path: Path) -> None:
    named = extension(vmType=None, imageId=None, ec2FleetConfig=fleet_file(tmp_path))
    assert SPEC.attributes(named, AWSSettings(), str(tmp_path / "none"))["nram"] == ["Numeric", "8192"]


def configuration(**parts: Any) -> list[dict[str, Any]]:
    return [{"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1"}, **parts}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"Typ": "instant"}, 'Unknown parameter in input: "Typ"'),
        ({"LaunchTemplateConfigs": None}, 'Missing required parameter in input: "LaunchTemplateConfigs"'),
        ({"SpotOptions": {"MaxTotalPrice": 3}}, "Invalid type for parameter SpotOptions.MaxTotalPrice"),
        ({"ClientToken": "x"}, "ClientToken may not be set"),
        ({"ExcessCapacityTerminationPolicy": "termination"}, "ExcessCapacityTerminationPolicy may not be"),
        ({"TagSpecifications": [{"Tags": [{"Key": "hfplugin:x"}]}]}, "tag 'hfplugin:x' begins with"),
        ({"Type": "maintain"}, "Type is maintain, but fleetType instant: take one of the two out"),
        (
            {"LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "m5.large"}]}]},
            "LaunchTemplateConfigs[0] has no LaunchTemplateSpecification with an id or name",
        ),
        (
            {
                "LaunchTemplateConfigs": configuration(
                    Overrides=[{"InstanceType": "m5.large"}, {"InstanceType": "m5.large", "WeightedCapacity": 2}]
                )
            },
            "m5.large has weights 2 and 1: give a type one weight",
        ),
        (
            {
                "LaunchTemplateConfigs": configuration(
                    Overrides=[{"InstanceType": "m5.large", "WeightedCapacity": 0.5}]
                )
            },
            "WeightedCapacity 0.5 of m5.large has to be a whole number above 0",
        ),
        (
            {"LaunchTemplateConfigs": configuration(Overrides=[{"SubnetId": "subnet-a", "WeightedCapacity": 2}])},
            "WeightedCapacity without InstanceType",
        ),
        (
            {"TargetCapacitySpecification": {"TargetCapacityUnitType": "vcpu"}},
            "TargetCapacitySpecification.TargetCapacityUnitType has to be units",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_fleet_file_that_is_wrong_is_named_with_the_path_inside_it(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    path = fleet_file(tmp_path, **content)
    named = extension(vmType=None, imageId=None, ec2FleetConfig=path, fleetType="instant")
    [fault] = SPEC.faults(named, False)
    assert fault.startswith(f"ec2FleetConfig {path}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: No such file"), ("{", "is not JSON: "), ("[]", "has to be a JSON object")],
)
def test_a_fleet_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "fleet.json"
    if text is not None:
        path.write_text(text)
    [fault] = SPEC.faults(extension(ec2FleetConfig=str(path)), False)
    assert fault.startswith(f"ec2FleetConfig {path} {said}")


def test_a_wrong_native_spec_is_known_when_the_templates_are_read() -> None:
    [fault] = SPEC.faults(extension(nativeSpec={"MinCount": 3}), False)
    assert fault.startswith("nativeSpec: MinCount may not be set: ")
