"""Templates in other products' words: Open Resource Broker's, in both of its spellings."""

from __future__ import annotations

from typing import Any

import pytest

from hfplugin.providers.aws import template_dialects

HOSTFACTORY = {
    "createdAt": "2026-02-13T13:33:35.153465",
    "templateId": "EC2Fleet-Request-Mixed",
    "maxNumber": 25,
    "providerApi": "EC2Fleet",
    "name": "EC2 Fleet Request Mixed",
    "providerType": "aws",
    "imageId": "ami-1",
    "subnetIds": ["subnet-1", "subnet-2"],
    "securityGroupIds": ["sg-1"],
    "vmTypes": {"t3.medium": 1, "t3.large": 2},
    "priceType": "heterogeneous",
    "maxSpotPrice": 0.08,
    "allocationStrategy": "diversified",
    "instanceTags": {"Environment": "test"},
    "vmTypesOnDemand": {},
    "vmTypesPriority": {},
}


def ours(**keys: Any) -> dict[str, Any]:
    return template_dialects.ours(keys, "/conf")


def test_an_example_of_its_hostfactory_form_needs_one_other_word() -> None:
    expected = {key: value for key, value in HOSTFACTORY.items() if key != "subnetIds"}
    assert ours(**HOSTFACTORY) == {**expected, "subnetId": ["subnet-1", "subnet-2"]}


def test_its_own_form_with_underscores_means_the_same() -> None:
    found = ours(
        template_id="x",
        max_instances=25,
        provider_api="EC2Fleet",
        image_id="ami-1",
        subnet_ids=["subnet-1"],
        security_group_ids=["sg-1"],
        machine_types={"t3.medium": 1},
        machine_types_ondemand={"t3.large": 2},
        machine_types_priority={"t3.medium": 1},
        price_type="spot",
        max_price=0.08,
        allocation_strategy="lowest_price",
        allocation_strategy_on_demand="prioritized",
        percent_on_demand=10,
        fleet_type="request",
        fleet_role="arn:aws:iam::1:role/r",
        spot_fleet_request_expiry=10,
        pools_count=2,
        key_pair_name="key",
        machine_role="profile",
        root_volume_size=20,
        root_volume_type="gp3",
        root_volume_iops=4000,
        storage_encryption=True,
        launch_template_id="lt-1",
        launch_template_version="2",
        tags={"a": "b"},
    )
    assert found == {
        "templateId": "x",
        "maxNumber": 25,
        "providerApi": "EC2Fleet",
        "imageId": "ami-1",
        "subnetId": ["subnet-1"],
        "securityGroupIds": ["sg-1"],
        "vmTypes": {"t3.medium": 1},
        "vmTypesOnDemand": {"t3.large": 2},
        "vmTypesPriority": {"t3.medium": 1},
        "priceType": "spot",
        "maxSpotPrice": 0.08,
        "allocationStrategy": "lowest_price",
        "allocationStrategyOnDemand": "prioritized",
        "percentOnDemand": 10,
        "fleetType": "request",
        "fleetRole": "arn:aws:iam::1:role/r",
        "spotFleetRequestExpiry": 10,
        "poolsCount": 2,
        "keyName": "key",
        "instanceProfile": "profile",
        "rootDeviceVolumeSize": 20,
        "volumeType": "gp3",
        "iops": 4000,
        "encrypted": True,
        "launchTemplateId": "lt-1",
        "launchTemplateVersion": "2",
        "instanceTags": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("machineTypes", {"t3.medium": 1}, "vmTypes"),
        ("machineTypes", ["t3.medium"], "vmType"),
        ("instance_types", ["t3.medium"], "vmType"),
        ("instance_type", "t3.medium", "vmType"),
        ("vm_type", "t3.medium", "vmType"),
        ("max_number", 3, "maxNumber"),
    ],
)
def test_further_words(key: str, value: Any, name: str) -> None:
    assert ours(**{key: value}) == {name: value}


@pytest.mark.parametrize("key", ["instanceRequirements", "abisInstanceRequirements", "abis_instance_requirements"])
@pytest.mark.parametrize(
    "written",
    [
        {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 2, "Max": 4}, "LocalStorage": "required"},
        {"vCpuCount": {"min": 1}, "memoryMiB": {"min": 2, "max": 4}, "localStorage": "required"},
        {"vcpu_count": {"min": 1}, "memory_mib": {"min": 2, "max": 4}, "local_storage": "required"},
    ],
    ids=["AWS", "camelCase", "underscores"],
)
def test_requirements_are_written_in_any_spelling(key: str, written: dict[str, Any]) -> None:
    wanted = {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 2, "Max": 4}, "LocalStorage": "required"}
    assert ours(**{key: written}) == {"instanceRequirements": wanted}


@pytest.mark.parametrize("key", ["provider_config", "providerConfig"])
def test_what_is_nested_counts_unless_the_template_says_it_itself(key: str) -> None:
    nested = {"fleet_role": "inner", "launch_template_id": "lt-1"}
    assert ours(**{key: nested}, fleet_role="outer") == {"fleetRole": "outer", "launchTemplateId": "lt-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/bin/bash\necho", "userDataScript"),
        ("#cloud-config\n", "userDataScript"),
        ("/opt/boot.sh", "userDataScript"),
        ("zone=a;b=c", "userData"),
        ("plain", "userData"),
    ],
)
def test_user_data_may_be_a_script_or_its_path(text: str, expected: str) -> None:
    assert ours(user_data=text) == {expected: text}


def test_a_relative_fleet_file_lies_beside_the_templates() -> None:
    assert ours(ec2FleetConfig="fleet.json") == {"ec2FleetConfig": "/conf/fleet.json"}
    assert ours(ec2FleetConfig="/etc/fleet.json") == {"ec2FleetConfig": "/etc/fleet.json"}


def test_empty_values_yield_to_those_of_another_word() -> None:
    assert ours(subnetIds=[], subnetId="subnet-1") == {"subnetId": "subnet-1"}
    assert ours(subnetIds=["subnet-1"], subnetId="") == {"subnetId": ["subnet-1"]}


def test_the_same_thing_said_twice_and_differently_is_refused() -> None:
    with pytest.raises(ValueError, match="subnetIds and subnetId say the same thing twice"):
        ours(subnetId=["subnet-1"], subnetIds=["subnet-2"])


@pytest.mark.parametrize("key", ["launch_template_spec", "launch_template_spec_file", "provider_api_spec_file"])
def test_what_would_make_another_machine_is_not_passed_over(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is not taken: "):
        ours(**{key: "x"})


def test_keys_that_are_nobodys_stay_as_they_are() -> None:
    assert ours(my_own_key=1, MyKey=2, _x=3) == {"my_own_key": 1, "MyKey": 2, "_x": 3}
