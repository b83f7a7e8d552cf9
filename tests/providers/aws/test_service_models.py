"""The small copies of botocore's data: the same calls, endpoints and answers, for less."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.parsers import create_parser
from botocore.session import Session

import hfplugin.providers.aws
from hfplugin.providers.aws import service_models
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.operations import sighting
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health

SOURCES = Path(hfplugin.providers.aws.__file__).parent

ANSWER = b"""<?xml version="1.0"?><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<reservationSet><item><reservationId>r-1</reservationId><ownerId>123456789012</ownerId><instancesSet><item>
<instanceId>i-0123456789abcdef0</instanceId><imageId>ami-1</imageId><instanceType>m5.large</instanceType>
<instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName>
<dnsName>ec2-54-0-0-1.compute.amazonaws.com</dnsName><privateIpAddress>10.0.0.1</privateIpAddress>
<ipAddress>54.0.0.1</ipAddress><launchTime>2026-01-02T03:04:05.000Z</launchTime><instanceLifecycle>spot</instanceLifecycle>
<placement><availabilityZone>us-east-1a</availabilityZone></placement><stateReason><code>a</code><message>b</message>
</stateReason><tagSet><item><key>hfplugin:request-id</key><value>req-1</value></item></tagSet></item></instancesSet>
</item></reservationSet></DescribeInstancesResponse>"""


@pytest.fixture
def small(tmp_path: Path) -> Session:
    session = Session()
    service_models.prefer(session, str(tmp_path))
    return session


def test_every_ec2_operation_in_the_source_is_kept() -> None:
    operations = Session().get_service_model("ec2").operation_names
    by_method = {xform_name(name): name for name in operations}
    called = {
        by_method[name]
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names(node)
        if name in by_method
    }
    assert called == set(service_models.OPERATIONS)


def _names(node: ast.AST) -> list[str]:
    """Methods called, and names handed to get_paginator."""
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_region_has_the_same_endpoints_as_with_the_full_files(small: Session) -> None:
    full = Session()
    partitions = full.get_available_partitions()
    regions = [r for p in partitions for r in full.get_available_regions("ec2", p)]
    assert len(regions) > 30
    for service in (*service_models.SERVICES, "pricing"):  # of which the files' endpoints say nothing that is used
        for region in regions:
            assert _endpoint(small, service, region) == _endpoint(full, service, region), (service, region)


def _endpoint(session: Session, service: str, region: str) -> tuple[Any, ...]:
    client: Any = session.create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
    signer = client._request_signer
    return client.meta.endpoint_url, signer.signing_name, signer.region_name, client.meta.partition


@pytest.mark.parametrize("operation", service_models.OPERATIONS)
def test_the_input_of_an_operation_is_untouched(small: Session, operation: str) -> None:
    full = Session().get_service_model("ec2").operation_model(operation).input_shape
    kept = small.get_service_model("ec2").operation_model(operation).input_shape
    assert _shape(kept) == _shape(full)


def _shape(shape: Any, above: tuple[str, ...] = ()) -> Any:
    if shape.name in above:
        return shape.name
    inner = (*above, shape.name)
    if shape.type_name == "structure":
        return {name: _shape(member, inner) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [_shape(shape.member, inner), shape.serialization]
    return shape.type_name, dict(shape.metadata)


def test_a_sighting_is_the_same_from_both(small: Session) -> None:
    assert _sighting(small) == _sighting(Session())
    assert _sighting(small).request_id == "req-1"


def _sighting(session: Session) -> Any:
    shape: Any = session.get_service_model("ec2").operation_model("DescribeInstances").output_shape
    parsed = create_parser("ec2").parse({"body": ANSWER, "headers": {}, "status_code": 200}, shape)
    reservation = parsed["Reservations"][0]
    return sighting(reservation["Instances"][0], reservation["OwnerId"], "us-east-1")


def test_the_copies_are_made_once_and_privately(tmp_path: Path) -> None:
    for _ in range(2):
        service_models.prefer(Session(), str(tmp_path))
    (directory,) = tmp_path.iterdir()
    assert botocore.__version__ in directory.name
    for path in (directory, *directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_without_a_place_for_the_copies_the_full_files_are_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    session = Session()
    service_models.prefer(session, str(tmp_path / "file"))
    assert len(session.get_service_model("ec2").operation_names) > 500


def test_whole_copies_are_not_forgotten(small: Session, tmp_path: Path) -> None:
    assert not service_models.forget(small, str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_copies_are_deleted_and_the_full_files_used(small: Session, tmp_path: Path) -> None:
    (path,) = tmp_path.rglob("service-2.json")
    path.write_bytes(path.read_bytes()[:-100])
    assert service_models.forget(small, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert len(small.get_service_model("ec2").operation_names) > 500
    assert not service_models.forget(small, str(tmp_path))


@pytest.mark.parametrize("content", [b"", b'{"version": "2.0", "met', b"\0" * 512])
@pytest.mark.parametrize("name", ["endpoints.json", "service-2.json"])
def test_a_damaged_copy_is_replaced_by_the_full_files(tmp_path: Path, name: str, content: bytes) -> None:
    cache = Cache(str(tmp_path))
    Clients(AWSSettings(region="us-east-1"), "prod1", cache, Health()).ec2("us-east-1")
    (path,) = tmp_path.rglob(name)
    path.write_bytes(content)
    client = Clients(AWSSettings(region="us-east-1"), "prod1", cache, Health()).ec2("us-east-1")
    assert client.meta.endpoint_url == "https://ec2.us-east-1.amazonaws.com"
    assert callable(client.describe_instances)
