from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from moto.ec2.models.instance_types import INSTANCE_TYPES as PUBLISHED

from hfplugin.errors import StateError
from hfplugin.providers.aws.instance_types import (
    SHIPPED,
    InstanceType,
    UnknownInstanceTypeError,
    attributes,
    describe,
    save,
    shipped,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from botocore.model import Shape
    from mypy_boto3_ec2 import EC2Client

M5_LARGE = InstanceType(cores=1, threads=2, memory_mib=8192, architecture="x86_64")
C5_24XLARGE = InstanceType(cores=48, threads=96, memory_mib=196608, architecture="x86_64")
R5_LARGE = InstanceType(cores=1, threads=2, memory_mib=16384, architecture="x86_64")
M7G_LARGE = InstanceType(cores=2, threads=2, memory_mib=8192, architecture="arm64")
TABLE = {"c5.24xlarge": C5_24XLARGE, "m5.large": M5_LARGE, "m7g.large": M7G_LARGE, "r5.large": R5_LARGE}


class FakeEC2:
    """DescribeInstanceTypes as EC2 documents it; parameters are held to botocore's own model."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.records = {record["InstanceType"]: record for record in records}
        self.calls = 0

    def describe_instance_types(self, **request: Any) -> dict[str, Any]:
        self.calls += 1
        report = ParamValidator().validate(request, input_shape())
        assert not report.has_errors(), report.generate_report()
        names = request.get("InstanceTypes", [])
        if names and "MaxResults" in request:
            raise refusal("InvalidParameterCombination", "instanceTypes and maxResults")
        if len(names) > 100 or not 5 <= request.get("MaxResults", 100) <= 100:
            raise refusal("InvalidParameterValue", "more than 100 instance types")
        if unknown := [name for name in names if name not in self.records]:
            raise refusal("InvalidInstanceType", str(unknown))
        found = [self.records[name] for name in names or self.records]
        start = int(request.get("NextToken", 0))
        end = start + request.get("MaxResults", len(names) or 20)  # unasked, EC2 sizes pages as it likes
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"InstanceTypes": found[start:end], **more}


@cache
def input_shape() -> Shape:
    model = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("DescribeInstanceTypes").input_shape
    assert shape is not None
    return shape


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeInstanceTypes")


def record(name: str, architectures: Sequence[str] = ("x86_64",), **cpu: int) -> dict[str, Any]:
    return {
        "InstanceType": name,
        "ProcessorInfo": {"SupportedArchitectures": [*architectures]},
        "VCpuInfo": cpu or {"DefaultVCpus": 2, "DefaultCores": 1, "DefaultThreadsPerCore": 2},
        "MemoryInfo": {"SizeInMiB": 8192},
    }


def ec2(*records: Mapping[str, Any]) -> tuple[FakeEC2, EC2Client]:
    fake = FakeEC2(records)
    return fake, cast("EC2Client", fake)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a1.metal", (16, 16, 32768, "arm64")),
        ("c3.8xlarge", (16, 32, 61440, "x86_64")),
        ("c5.24xlarge", (48, 96, 196608, "x86_64")),
        ("g4dn.xlarge", (2, 4, 16384, "x86_64")),
        ("hpc7a.96xlarge", (192, 192, 786432, "x86_64")),
        ("m4.large", (1, 2, 8192, "x86_64")),
        ("m5.large", (1, 2, 8192, "x86_64")),
        ("m5.metal", (48, 96, 393216, "x86_64")),
        ("m7a.large", (2, 2, 8192, "x86_64")),
        ("m7g.large", (2, 2, 8192, "arm64")),
        ("p5.48xlarge", (96, 192, 2097152, "x86_64")),
        ("t2.micro", (1, 1, 1024, "x86_64")),
        ("t3.medium", (1, 2, 4096, "x86_64")),
        ("t4g.small", (2, 2, 2048, "arm64")),
    ],
)
def test_the_shipped_table_has_the_published_figures(name: str, expected: tuple[int, int, int, str]) -> None:
    assert shipped()[name] == expected


def test_the_shipped_table_is_what_describe_makes_of_every_published_record() -> None:
    _, client = ec2(*PUBLISHED.values())
    published = describe(client)
    known = shipped()
    assert len(published) > 1000
    assert {name: known.get(name) for name in published} == published


def test_the_shipped_table_is_in_the_form_that_save_writes(tmp_path: Path) -> None:
    save(shipped(), tmp_path / "table.json")
    assert (tmp_path / "table.json").read_bytes() == SHIPPED.read_bytes()


def test_a_saved_table_has_one_sorted_type_per_line(tmp_path: Path) -> None:
    save({"m7g.large": M7G_LARGE, "m5.large": M5_LARGE}, tmp_path / "table.json")
    assert (tmp_path / "table.json").read_text().splitlines()[3:7] == [
        '  "types": {',
        '    "m5.large": [1, 2, 8192, "x86_64"],',
        '    "m7g.large": [2, 2, 8192, "arm64"]',
        "  }",
    ]


def test_a_refreshed_table_adds_types(tmp_path: Path) -> None:
    save({"m99.large": M5_LARGE}, tmp_path / "table.json")
    assert table(tmp_path / "table.json") == {**shipped(), "m99.large": M5_LARGE}


def test_a_refreshed_table_wins_over_the_shipped_one(tmp_path: Path) -> None:
    save({"m5.large": C5_24XLARGE}, tmp_path / "table.json")
    assert table(tmp_path / "table.json")["m5.large"] == C5_24XLARGE


def test_a_missing_refreshed_table_leaves_the_shipped_one(tmp_path: Path) -> None:
    assert table(tmp_path / "missing.json") == shipped()


def test_no_refreshed_table_leaves_the_shipped_one() -> None:
    assert table(None) == shipped()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": 2, "types": {}}',
        b'{"schema": 1, "types": []}',
        b'{"schema": 1, "types": {"m5.large": null}}',
        b'{"schema": 1, "types": {"m5.large": [1, 2, 8192]}}',
        b'{"schema": 1, "types": {"m5.large": [0, 2, 8192, "x86_64"]}}',
        b'{"schema": 1, "types": {"m5.large": ["1", 2, 8192, "x86_64"]}}',
        b'{"schema": 1, "types": {"m5.large": [1, 2, 8192, "sparc"]}}',
    ],
)
def test_a_damaged_refreshed_table_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"table\.json is not a table of instance types"):
        table(tmp_path / "table.json")


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text('{"schema": 1, "types": {"m5.large": [1]}}')
    with pytest.raises(ValueError, match=r"'m5\.large' has \[1\]"):
        table(tmp_path / "table.json")


def test_a_save_that_fails_leaves_the_old_table_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save({"m5.large": M5_LARGE}, tmp_path / "table.json")
    before = (tmp_path / "table.json").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StateError, match="No space left"):
        save({"m5.large": C5_24XLARGE}, tmp_path / "table.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"table.json": before}


def test_a_reader_in_the_middle_of_the_old_table_sees_it_to_its_end(tmp_path: Path) -> None:
    save({"m5.large": M5_LARGE}, tmp_path / "table.json")
    with (tmp_path / "table.json").open() as reader:
        save({"m5.large": C5_24XLARGE}, tmp_path / "table.json")
        assert json.load(reader)["types"] == {"m5.large": [*M5_LARGE]}


def test_describe_without_names_reads_every_page() -> None:
    names = [f"m5.{number}xlarge" for number in range(250)]
    _, client = ec2(*map(record, names))
    assert sorted(describe(client)) == sorted(names)


def test_all_types_are_listed_by_the_hundred() -> None:
    fake, client = ec2(*(record(f"m5.{number}xlarge") for number in range(250)))
    describe(client)
    assert fake.calls == 3


def test_describe_with_names_reads_only_those() -> None:
    _, client = ec2(record("m5.large"), record("m5.xlarge"))
    assert describe(client, ["m5.large"]) == {"m5.large": M5_LARGE}


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_names_are_asked_for_in_hundreds(count: int, calls: int) -> None:
    names = [f"m5.{number}xlarge" for number in range(count)]
    fake, client = ec2(*map(record, names))
    assert (len(describe(client, names)), fake.calls) == (count, calls)


def test_a_name_that_ec2_does_not_know_is_its_refusal() -> None:
    _, client = ec2(record("m5.large"))
    with pytest.raises(ClientError, match="InvalidInstanceType"):
        describe(client, ["m5.large", "m5.lrge"])


def test_a_type_newer_than_the_installed_botocore_is_described() -> None:
    _, client = ec2(record("m99.large"))
    assert describe(client, ["m99.large"]) == {"m99.large": M5_LARGE}


def test_a_type_that_also_runs_32_bit_images_is_x86_64() -> None:
    _, client = ec2(record("t2.micro", ["i386", "x86_64"]))
    assert describe(client)["t2.micro"].architecture == "x86_64"


def test_an_arm_type_is_arm64() -> None:
    _, client = ec2(record("m7g.large", ["arm64"]))
    assert describe(client)["m7g.large"].architecture == "arm64"


@pytest.mark.parametrize("architecture", ["x86_64_mac", "arm64_mac"])
def test_mac_types_are_left_out(architecture: str) -> None:
    _, client = ec2(record("m5.large"), record("mac.metal", [architecture]))
    assert list(describe(client)) == ["m5.large"]


def test_cores_that_ec2_states_are_taken() -> None:
    _, client = ec2(record("m5.xlarge", DefaultVCpus=4, DefaultCores=2))
    assert describe(client)["m5.xlarge"].cores == 2


def test_cores_that_ec2_does_not_state_follow_from_threads_per_core() -> None:
    _, client = ec2(record("m5.xlarge", DefaultVCpus=4, DefaultThreadsPerCore=2))
    assert describe(client)["m5.xlarge"].cores == 2


def test_a_single_type_gives_its_cores_and_memory() -> None:
    assert attributes({"c5.24xlarge": 1}, TABLE, count_threads=False) == {
        "type": ["String", "X86_64"],
        "ncores": ["Numeric", "1"],
        "ncpus": ["Numeric", "48"],
        "nram": ["Numeric", "196608"],
    }


def test_counting_threads_gives_its_vcpus() -> None:
    assert attributes({"c5.24xlarge": 1}, TABLE, count_threads=True)["ncpus"] == ["Numeric", "96"]


def test_counting_threads_leaves_ncores_at_one() -> None:
    assert attributes({"c5.24xlarge": 1}, TABLE, count_threads=True)["ncores"] == ["Numeric", "1"]


def test_an_arm_type_is_of_host_type_aarch64() -> None:
    assert attributes({"m7g.large": 1}, TABLE, count_threads=False)["type"] == ["String", "AARCH64"]


def test_a_weight_divides_and_rounds_down() -> None:
    derived = attributes({"c5.24xlarge": 5}, TABLE, count_threads=False)
    assert (derived["ncpus"], derived["nram"]) == (["Numeric", "9"], ["Numeric", "39321"])


def test_each_attribute_is_the_least_of_any_type() -> None:
    derived = attributes({"c5.24xlarge": 24, "r5.large": 1}, TABLE, count_threads=False)
    assert (derived["ncpus"], derived["nram"]) == (["Numeric", "1"], ["Numeric", "8192"])


@pytest.mark.parametrize("key", ["ncpus", "nram"])
def test_a_weight_beyond_what_the_type_has_gives_one(key: str) -> None:
    assert attributes({"m5.large": 10_000}, TABLE, count_threads=False)[key] == ["Numeric", "1"]


def test_types_of_two_architectures_are_refused_with_one_of_each() -> None:
    mixed = {"m5.large": 1, "m7g.large": 1}
    with pytest.raises(ValueError, match=r"'m5\.large' is x86_64, 'm7g\.large' is arm64"):
        attributes(mixed, TABLE, count_threads=False)


def test_an_unknown_type_is_refused_with_its_name() -> None:
    with pytest.raises(UnknownInstanceTypeError) as refused:
        attributes({"m5.large": 1, "m5.lrge": 1}, TABLE, count_threads=False)
    assert refused.value.name == "m5.lrge"


def test_the_refusal_of_an_unknown_type_says_what_to_do() -> None:
    with pytest.raises(UnknownInstanceTypeError) as refused:
        attributes({"m5.lrge": 1}, {"m5.large": M5_LARGE, "t1.micro": M5_LARGE}, count_threads=False)
    assert str(refused.value) == (
        "unknown instance type 'm5.lrge'; nearest: m5.large; 'hfplugin machine-types refresh' fetches new ones"
    )


def test_an_unknown_type_like_no_other_is_refused_without_guesses() -> None:
    with pytest.raises(UnknownInstanceTypeError) as refused:
        attributes({"quantum": 1}, TABLE, count_threads=False)
    assert "nearest" not in str(refused.value)
