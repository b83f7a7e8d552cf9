"""Describe calls: ids, filters, pages; tags and volumes; machine types, reservations and placement groups.

API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, launched, refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

UNKNOWN = "i-00000000000000bad"


def tagged(key: str, value: str) -> Any:
    return {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value}]}]}


def found(ec2: EC2Client, name: str, *values: str) -> set[str]:
    return {each["InstanceId"] for each in seen(ec2, Filters=[{"Name": name, "Values": list(values)}])}


def test_one_unknown_id_fails_the_whole_call(ec2: EC2Client) -> None:
    """API_DescribeInstances.html: "If you specify an instance ID that is not valid, an error is returned."."""
    [machine] = launch(ec2)
    refused = refusal(ec2.describe_instances, InstanceIds=[machine, UNKNOWN])
    assert (refused.code, refused.status) == ("InvalidInstanceID.NotFound", 400)
    assert refused.message == f"The instance ID '{UNKNOWN}' does not exist"


def test_several_unknown_ids_are_all_named(ec2: EC2Client) -> None:
    """The text seen in https://github.com/getmoto/moto/issues/4903: one pair of quotation marks around all."""
    refused = refusal(ec2.describe_instances, InstanceIds=["i-00000001", "i-00000002"])
    assert refused.message == "The instance IDs 'i-00000001, i-00000002' do not exist"


def test_a_malformed_id_is_told_from_an_unknown_one(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidInstanceID.Malformed)"""
    refused = refusal(ec2.describe_instances, InstanceIds=[UNKNOWN, "ma1"])
    assert refused.code == "InvalidInstanceID.Malformed"
    assert refused.message.startswith('Invalid id: "ma1"')


def test_an_id_with_a_blank_behind_it_is_unknown(ec2: EC2Client) -> None:
    """Seen in https://github.com/boto/boto3/issues/567."""
    [machine] = launch(ec2)
    refused = refusal(ec2.describe_instances, InstanceIds=[f"{machine} "])
    assert (refused.code, refused.message) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{machine} ' does not exist",
    )


def test_ids_do_not_go_with_a_page_size(ec2: EC2Client) -> None:
    """API_DescribeInstances.html (MaxResults): "You cannot specify this parameter and the instance IDs parameter
    in the same request."."""
    refused = refusal(ec2.describe_instances, InstanceIds=launch(ec2), MaxResults=5)
    assert refused.code == "InvalidParameterCombination"
    assert refused.message == "The parameter instancesSet cannot be used with the parameter maxResults"


@pytest.mark.parametrize("size", [4, 1001])
def test_a_page_has_5_to_1000_machines(size: int, ec2: EC2Client) -> None:
    """API_DescribeInstances.html of older dates, and the error of aws-sdk-ruby#2575."""
    assert refusal(ec2.describe_instances, MaxResults=size).code == "InvalidParameterValue"


def test_pages_count_machines_and_cut_reservations(ec2: EC2Client) -> None:
    """API_DescribeInstances.html (MaxResults): "The maximum number of items to return for this request."."""
    machines = [each for _ in range(4) for each in launch(ec2, 3)]
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    shown = [
        [each["InstanceId"] for group in page["Reservations"] for each in group["Instances"]] for page in pages
    ]
    assert [len(page) for page in shown] == [5, 5, 2]
    assert [each for page in shown for each in page] == machines
    assert pages[0]["Reservations"][1]["ReservationId"] == pages[1]["Reservations"][0]["ReservationId"]


def test_everything_comes_at_once_without_a_page_size(ec2: EC2Client) -> None:
    """API_DescribeInstances.html: "If you do not specify [...], the response includes information for all"."""
    launch(ec2, 30)
    assert "NextToken" not in ec2.describe_instances()
    assert len(seen(ec2)) == 30


def test_a_made_up_token_of_a_page_is_refused(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidNextToken)"""
    assert refusal(ec2.describe_instances, NextToken="nonsense").code == "InvalidNextToken"


def test_filters_are_joined_and_their_values_are_alternatives(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html"""
    [one] = launch(ec2, **tagged("job", "1"))
    [two] = launch(ec2, **tagged("job", "2"))
    [three] = launch(ec2, **tagged("job", "1"), InstanceType="c5.large")
    assert found(ec2, "tag:job", "1", "2") == {one, two, three}
    both: Any = [{"Name": "tag:job", "Values": ["1"]}, {"Name": "instance-type", "Values": ["m5.large"]}]
    assert [each["InstanceId"] for each in seen(ec2, Filters=both)] == [one]


def test_a_filter_given_twice_has_to_be_met_twice(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: filters are "joined with an
    AND"."""
    launch(ec2, **tagged("job", "1"))
    twice: Any = [{"Name": "tag:job", "Values": ["1"]}, {"Name": "tag:job", "Values": ["2"]}]
    assert seen(ec2, Filters=twice) == []


@pytest.mark.parametrize(
    ("pattern", "is_met"),
    [
        ("a*", True),
        ("a?[c]*", True),
        ("A*", False),
        ("*", True),
        ("a?[c]\\*", True),
        ("a?[c]\\?", False),
        ("b", False),
    ],
)
def test_filters_have_wildcards_and_mind_the_case(pattern: str, is_met: bool, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: * and ?, a backslash before takes
    them as they are, and "filter values are case sensitive"."""
    launch(ec2, **tagged("name", "ab[c]*"))
    assert bool(found(ec2, "tag:name", pattern)) == is_met


def test_an_unknown_filter_is_refused_even_when_there_is_nothing(ec2: EC2Client) -> None:
    """API_DescribeInstances.html (Filter.N); the text is that of EC2."""
    filters: Any = [{"Name": "colour", "Values": ["blue"]}]
    refused = refusal(ec2.describe_instances, Filters=filters)
    assert (refused.code, refused.message) == ("InvalidParameterValue", "The filter 'colour' is invalid")


@pytest.mark.parametrize("values", [[str(number) for number in range(201)], ["x" * 256]], ids=["many", "long"])
def test_filters_have_limits(values: list[str], ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (FilterLimitExceeded)"""
    filters: Any = [{"Name": "tag:a", "Values": values}]
    assert refusal(ec2.describe_instances, Filters=filters).code == "FilterLimitExceeded"


def test_two_hundred_values_are_one_call(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html: "You can specify up to [...]
    200"."""
    machines = launch(ec2)
    unknown = [f"i-{number:017x}" for number in range(199)]
    assert found(ec2, "instance-id", *machines, *unknown) == set(machines)


@pytest.mark.parametrize(
    "name",
    [
        "availability-zone",
        "client-token",
        "image-id",
        "instance-lifecycle",
        "instance-state-name",
        "instance-type",
        "ip-address",
        "key-name",
        "launch-time",
        "private-dns-name",
        "private-ip-address",
        "reservation-id",
        "spot-instance-request-id",
        "subnet-id",
        "tag-key",
        "vpc-id",
    ],
)
def test_a_documented_filter_finds_the_machine(name: str, ec2: EC2Client) -> None:
    """API_DescribeInstances.html (Filter.N)"""
    ec2.create_key_pair(KeyName="mine")
    launch(ec2, KeyName="mine", ClientToken="mine", **SPOT, **tagged("mine", "yes"))
    [group] = ec2.describe_instances()["Reservations"]
    [machine] = group["Instances"]
    value: dict[str, str] = {
        "availability-zone": machine["Placement"]["AvailabilityZone"],
        "client-token": "mine",
        "image-id": IMAGE_ID,
        "instance-lifecycle": "spot",
        "instance-state-name": "running",
        "instance-type": "m5.large",
        "ip-address": machine["PublicIpAddress"],
        "key-name": "mine",
        "launch-time": f"{machine['LaunchTime']:%Y-%m-%dT%H:%M:%S}.000Z",
        "private-dns-name": machine["PrivateDnsName"],
        "private-ip-address": machine["PrivateIpAddress"],
        "reservation-id": group["ReservationId"],
        "spot-instance-request-id": machine["SpotInstanceRequestId"],
        "subnet-id": machine["SubnetId"],
        "tag-key": "mine",
        "vpc-id": machine["VpcId"],
    }
    assert found(ec2, name, value[name]) == {machine["InstanceId"]}
    assert found(ec2, name, f"not {value[name]}") == set()


def test_the_status_of_machines_is_of_those_that_run(ec2: EC2Client) -> None:
    """API_DescribeInstanceStatus.html: "By default, only running instances are described"."""
    running, stopped = launch(ec2, 2)
    ec2.stop_instances(InstanceIds=[stopped])
    assert [each["InstanceId"] for each in ec2.describe_instance_status()["InstanceStatuses"]] == [running]
    assert len(ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]) == 2


def test_the_status_of_no_more_than_a_hundred_is_asked_by_id(ec2: EC2Client) -> None:
    """API_DescribeInstanceStatus.html (InstanceId.N): "Constraints: Maximum 100 explicitly specified instance
    IDs."."""
    ids = [f"i-{number:017x}" for number in range(101)]
    assert refusal(ec2.describe_instance_status, InstanceIds=ids).code == "InvalidParameterValue"


def test_a_private_name_has_its_region(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html"""
    for region, domain in (("eu-central-1", "eu-central-1.compute.internal"), ("us-east-1", "ec2.internal")):
        ec2 = emulator.ec2(region)
        launch(ec2)
        [machine] = seen(ec2)
        address = machine["PrivateIpAddress"].replace(".", "-")
        assert machine["PrivateDnsName"] == f"ip-{address}.{domain}"


def test_tags_are_added_replaced_and_removed(ec2: EC2Client) -> None:
    """API_CreateTags.html, API_DeleteTags.html"""
    machines = launch(ec2, **tagged("a", "1"))
    ec2.create_tags(Resources=machines, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    assert {each["Key"]: each["Value"] for each in seen(ec2)[0]["Tags"]} == {"a": "2", "b": "3"}
    ec2.delete_tags(Resources=machines, Tags=[{"Key": "a", "Value": "other"}, {"Key": "b"}])
    assert seen(ec2)[0]["Tags"] == [{"Key": "a", "Value": "2"}]
    ec2.delete_tags(Resources=machines)
    assert seen(ec2)[0].get("Tags", []) == []


def test_tags_on_an_unknown_resource_tag_none(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidInstanceID.NotFound)"""
    machines = launch(ec2)
    for unknown in (UNKNOWN, "vol-00000000000000bad", "lt-00000000000000bad"):
        refused = refusal(ec2.create_tags, Resources=[*machines, unknown], Tags=[{"Key": "a", "Value": "1"}])
        assert refused.code.endswith(".NotFound")
    assert seen(ec2)[0].get("Tags", []) == []


def test_a_resource_has_fifty_tags_at_most(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions"""
    machines = launch(ec2)
    ec2.create_tags(Resources=machines, Tags=[{"Key": str(number), "Value": ""} for number in range(50)])
    assert (
        refusal(ec2.create_tags, Resources=machines, Tags=[{"Key": "50", "Value": ""}]).code == "TagLimitExceeded"
    )


def test_tags_of_every_kind_are_described(ec2: EC2Client) -> None:
    """API_DescribeTags.html"""
    machines = launch(ec2, **tagged("mine", "1"))
    [subnet, *_] = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    ec2.create_tags(Resources=[subnet], Tags=[{"Key": "mine", "Value": "2"}])
    rows = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["mine"]}])["Tags"]
    assert {(each["ResourceType"], each["ResourceId"], each["Value"]) for each in rows} == {
        ("instance", machines[0], "1"),
        ("subnet", subnet, "2"),
    }
    [row] = ec2.describe_tags(Filters=[{"Name": "tag:mine", "Values": ["1"]}])["Tags"]
    assert row["ResourceId"] == machines[0]


def test_an_unknown_volume_is_refused(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidVolume.NotFound)"""
    refused = refusal(ec2.describe_volumes, VolumeIds=["vol-00000000000000bad"])
    assert refused.code == "InvalidVolume.NotFound"
    assert refused.message == "The volume 'vol-00000000000000bad' does not exist."


def test_unknown_machine_types_are_refused_by_name(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidInstanceType)"""
    types: Any = ["m5.large", "t9.nano", "t9.huge"]
    refused = refusal(ec2.describe_instance_types, InstanceTypes=types)
    assert refused.code == "InvalidInstanceType"
    assert refused.message == "The following supplied instance types do not exist: [t9.nano, t9.huge]"


def test_machine_types_come_by_the_hundred(ec2: EC2Client) -> None:
    """API_DescribeInstanceTypes.html (MaxResults: 5 to 100; InstanceType.N: up to 100)"""
    answer = ec2.describe_instance_types()
    assert len(answer["InstanceTypes"]) == 100
    assert answer["NextToken"]
    assert refusal(ec2.describe_instance_types, MaxResults=101).code == "InvalidParameterValue"


def test_machine_types_are_chosen_by_what_they_have(ec2: EC2Client) -> None:
    """API_GetInstanceTypesFromInstanceRequirements.html; burstable and bare metal ones are left out by default."""
    answer = ec2.get_instance_types_from_instance_requirements(
        ArchitectureTypes=["x86_64"],
        VirtualizationTypes=["hvm"],
        InstanceRequirements={"VCpuCount": {"Min": 2, "Max": 2}, "MemoryMiB": {"Min": 8192, "Max": 8192}},
    )
    types = {each["InstanceType"] for each in answer["InstanceTypes"]}
    assert {"m5.large", "m6i.large"} <= types
    assert not {"t3.large", "m6g.large", "c5.large", "m5.xlarge"} & types


def test_allowed_and_excluded_types_exclude_each_other(ec2: EC2Client) -> None:
    """API_InstanceRequirementsRequest.html (AllowedInstanceTypes): "you can't specify ExcludedInstanceTypes"."""
    requirements: Any = {
        "VCpuCount": {"Min": 2},
        "MemoryMiB": {"Min": 1},
        "AllowedInstanceTypes": ["m5.*"],
        "ExcludedInstanceTypes": ["c5.*"],
    }
    refused = refusal(
        ec2.get_instance_types_from_instance_requirements,
        ArchitectureTypes=["x86_64"],
        VirtualizationTypes=["hvm"],
        InstanceRequirements=requirements,
    )
    assert refused.code == "InvalidParameterCombination"


def test_a_placement_group_is_made_used_and_kept_while_it_is_used(ec2: EC2Client) -> None:
    """API_CreatePlacementGroup.html, API_DeletePlacementGroup.html, and the codes of EC2's list of errors."""
    made = ec2.create_placement_group(GroupName="rack", Strategy="partition", PartitionCount=3)["PlacementGroup"]
    assert (made["State"], made["Strategy"], made["PartitionCount"]) == ("available", "partition", 3)
    assert made["GroupId"].startswith("pg-")
    assert refusal(ec2.create_placement_group, GroupName="rack").code == "InvalidPlacementGroup.Duplicate"
    [machine] = launched(ec2, Placement={"GroupName": "rack"})
    assert machine["Placement"]["GroupName"] == "rack"
    assert refusal(ec2.delete_placement_group, GroupName="rack").code == "InvalidPlacementGroup.InUse"
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    ec2.delete_placement_group(GroupName="rack")
    assert refusal(ec2.describe_placement_groups, GroupNames=["rack"]).code == "InvalidPlacementGroup.Unknown"
