"""Launch templates, their versions, and what machines take from them.

API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

DATA: Any = {"ImageId": IMAGE_ID, "InstanceType": "m5.large"}


def create(ec2: EC2Client, name: str = "worker", **data: Any) -> str:
    described: Any = {**DATA, **data}
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=described)
    return made["LaunchTemplate"]["LaunchTemplateId"]


def run(ec2: EC2Client, named: dict[str, str], **settings: Any) -> dict[str, Any]:
    """Launch one machine from a launch template and give it as it is described then."""
    call: Any = {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": named, **settings}
    launched = ec2.run_instances(**call)["Instances"][0]["InstanceId"]
    [machine] = seen(ec2, InstanceIds=[launched])
    return machine


def data_of(ec2: EC2Client, version: str) -> Any:
    answer = ec2.describe_launch_template_versions(LaunchTemplateName="worker", Versions=[version])
    return answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def test_a_machine_is_what_its_launch_template_says(ec2: EC2Client, subnets: list[str]) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-instances-from-launch-template.html"""
    made = create(
        ec2,
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnets[2], "AssociatePublicIpAddress": False}],
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40, "Encrypted": True}}],
        TagSpecifications=[
            {"ResourceType": kind, "Tags": [{"Key": "a", "Value": kind}]} for kind in ("instance", "volume")
        ],
        InstanceMarketOptions={"MarketType": "spot"},
    )
    machine = run(ec2, {"LaunchTemplateId": made})
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert machine["SubnetId"] == subnets[2]
    assert "PublicIpAddress" not in machine
    assert machine["InstanceLifecycle"] == "spot"
    [volume] = ec2.describe_volumes()["Volumes"]
    assert (volume["Size"], volume["Encrypted"]) == (40, True)
    assert volume["Tags"] == [{"Key": "a", "Value": "volume"}]
    assert {each["Key"]: each["Value"] for each in machine["Tags"]} == {
        "aws:ec2launchtemplate:id": made,
        "aws:ec2launchtemplate:version": "1",
        "a": "instance",
    }


def test_what_a_call_says_overwrites_the_launch_template(ec2: EC2Client, subnets: list[str]) -> None:
    """API_RunInstances.html (LaunchTemplate): "Any additional parameters that you specify for the new instance
    overwrite the corresponding parameters included in the launch template."."""
    create(ec2)
    machine = run(ec2, {"LaunchTemplateName": "worker"}, InstanceType="c5.large", SubnetId=subnets[1])
    assert (machine["InstanceType"], machine["SubnetId"]) == ("c5.large", subnets[1])


@pytest.mark.parametrize(("name", "what"), [("SubnetId", "subnet ID"), ("SecurityGroupIds", "security groups")])
def test_interfaces_of_a_launch_template_stand_no_subnet_or_groups_beside_them(
    name: str, what: str, ec2: EC2Client, subnets: list[str]
) -> None:
    """API_RunInstances.html (NetworkInterface.N, SubnetId, SecurityGroupId.N)"""
    create(ec2, NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": False}])
    value = subnets[0] if name == "SubnetId" else ["sg-00000001"]
    refused = refusal(run, ec2, {"LaunchTemplateName": "worker"}, **{name: value})
    assert refused.code == "InvalidParameterCombination"
    assert refused.message == (
        f"Network interfaces and an instance-level {what} may not be specified on the same request"
    )


def test_a_contradiction_is_warned_of_when_the_launch_template_is_made(ec2: EC2Client) -> None:
    """API_CreateLaunchTemplate.html (warning): "If the launch template contains parameters or parameter
    combinations that are not valid, an error code and an error message are returned for each issue that's
    found."."""
    data: Any = {**DATA, "NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-00000001"]}
    answer = ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=data)
    assert [each["Code"] for each in answer["Warning"]["Errors"]] == ["InvalidParameterCombination"]
    assert "Warning" not in ec2.create_launch_template(LaunchTemplateName="sound", LaunchTemplateData=DATA)


def test_versions_are_numbers_the_latest_and_the_default(ec2: EC2Client) -> None:
    """API_LaunchTemplateSpecification.html (Version): without one, the default version."""
    create(ec2)
    changed: Any = {**DATA, "InstanceType": "c5.large"}
    ec2.create_launch_template_version(LaunchTemplateName="worker", LaunchTemplateData=changed)
    types = {
        version: run(ec2, {"LaunchTemplateName": "worker", "Version": version})["InstanceType"]
        for version in ("1", "2", "$Latest", "$Default")
    }
    assert types == {"1": "m5.large", "2": "c5.large", "$Latest": "c5.large", "$Default": "m5.large"}
    assert run(ec2, {"LaunchTemplateName": "worker"})["InstanceType"] == "m5.large"
    ec2.modify_launch_template(LaunchTemplateName="worker", DefaultVersion="2")
    assert run(ec2, {"LaunchTemplateName": "worker"})["InstanceType"] == "c5.large"


def test_a_version_inherits_only_from_a_source_that_is_named(ec2: EC2Client) -> None:
    """API_CreateLaunchTemplateVersion.html: "the new version inherits all of the launch parameters" of the
    source."""
    create(ec2, KeyName="mine")
    changed: Any = {"InstanceType": "c5.large"}
    ec2.create_launch_template_version(LaunchTemplateName="worker", LaunchTemplateData=changed)
    ec2.create_launch_template_version(LaunchTemplateName="worker", SourceVersion="1", LaunchTemplateData=changed)
    assert data_of(ec2, "2") == {"InstanceType": "c5.large"}
    assert data_of(ec2, "3") == {"ImageId": IMAGE_ID, "InstanceType": "c5.large", "KeyName": "mine"}


def test_a_version_does_not_inherit_snapshots(ec2: EC2Client) -> None:
    """API_CreateLaunchTemplateVersion.html (LaunchTemplateData / SourceVersion): "Snapshots applied to the block
    device mapping are ignored when creating a new version unless they are explicitly included."."""
    volume = {"SnapshotId": "snap-00000001", "VolumeSize": 9}
    create(ec2, BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "Ebs": volume}])
    ec2.create_launch_template_version(LaunchTemplateName="worker", SourceVersion="1", LaunchTemplateData={})
    assert data_of(ec2, "2")["BlockDeviceMappings"] == [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 9}}]


def test_a_name_is_given_once_and_again_after_the_deletion(ec2: EC2Client) -> None:
    """EC2's list of errors (InvalidLaunchTemplateName.AlreadyExistsException); API_DeleteLaunchTemplate.html"""
    create(ec2)
    refused = refusal(create, ec2)
    assert refused.code == "InvalidLaunchTemplateName.AlreadyExistsException"
    assert refused.message == "Launch template name already in use."
    deleted = ec2.delete_launch_template(LaunchTemplateName="worker")["LaunchTemplate"]
    assert deleted["LaunchTemplateName"] == "worker"
    create(ec2)


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"LaunchTemplateName": "nobody"}, "InvalidLaunchTemplateName.NotFoundException"),
        ({"LaunchTemplateId": "lt-00000000000000bad"}, "InvalidLaunchTemplateId.NotFound"),
        ({"LaunchTemplateId": "template"}, "InvalidLaunchTemplateId.Malformed"),
        ({"LaunchTemplateName": "worker", "Version": "9"}, "InvalidLaunchTemplateId.VersionNotFound"),
        ({"LaunchTemplateName": "worker", "LaunchTemplateId": "lt-1"}, "InvalidParameterCombination"),
        ({}, "MissingParameter"),
    ],
)
def test_a_launch_from_what_is_not_there_is_refused(named: dict[str, str], code: str, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    create(ec2)
    assert refusal(run, ec2, named).code == code
    assert not seen(ec2)


def test_a_launch_template_that_is_described_by_a_name_has_to_exist(ec2: EC2Client) -> None:
    """EC2's list of errors (InvalidLaunchTemplateName.NotFoundException); by a filter it is just not found."""
    refused = refusal(ec2.describe_launch_templates, LaunchTemplateNames=["nobody"])
    assert refused.code == "InvalidLaunchTemplateName.NotFoundException"
    assert refused.message == "At least one of the launch templates specified in the request does not exist."
    by_filter: Any = [{"Name": "launch-template-name", "Values": ["nobody"]}]
    assert ec2.describe_launch_templates(Filters=by_filter)["LaunchTemplates"] == []


def test_a_launch_template_needs_data(emulator: Emulator) -> None:
    """API_CreateLaunchTemplate.html (LaunchTemplateData: required)"""
    refused = refusal(emulator.ec2().create_launch_template, LaunchTemplateName="worker", LaunchTemplateData={})
    assert refused.code == "MissingParameter"
    assert refused.message.startswith("No launch template data was provided.")


def test_too_much_user_data_has_a_code_of_its_own(ec2: EC2Client) -> None:
    """Seen in https://github.com/github-aws-runners/terraform-aws-github-runner/issues/3700."""
    refused = refusal(create, ec2, UserData="eHh4" * 6000)
    assert (refused.code, refused.message) == (
        "InvalidUserData.Malformed",
        "User data is limited to 16384 bytes",
    )


@pytest.mark.parametrize("name", ["ab", "with blank", "x" * 129])
def test_a_name_is_checked(name: str, ec2: EC2Client) -> None:
    """EC2's list of errors: "must be between 3 and 128 characters, and may contain letters, numbers, and the
    following characters: - ( ) . / _."."""
    refused = refusal(
        ec2.create_launch_template,
        LaunchTemplateName=name,
        LaunchTemplateData=DATA,
    )
    assert refused.code == "InvalidLaunchTemplateName.MalformedException"


def test_the_tags_of_a_launch_template_are_its_own(ec2: EC2Client) -> None:
    """API_CreateLaunchTemplate.html (TagSpecification.N): "the resource type must be launch-template"."""
    for kind, is_taken in (("launch-template", True), ("instance", False)):
        call: Any = {
            "LaunchTemplateName": kind,
            "LaunchTemplateData": DATA,
            "TagSpecifications": [{"ResourceType": kind, "Tags": [{"Key": "a", "Value": "b"}]}],
        }
        if is_taken:
            assert ec2.create_launch_template(**call)["LaunchTemplate"]["Tags"] == [{"Key": "a", "Value": "b"}]
        else:
            assert refusal(ec2.create_launch_template, **call).code == "InvalidParameterValue"
    by_tag: Any = [{"Name": "tag:a", "Values": ["b"]}]
    assert len(ec2.describe_launch_templates(Filters=by_tag)["LaunchTemplates"]) == 1


def test_versions_are_deleted_one_by_one_but_for_the_default(ec2: EC2Client) -> None:
    """API_DeleteLaunchTemplateVersions.html; the code for the default version is not documented."""
    create(ec2)
    ec2.create_launch_template_version(LaunchTemplateName="worker", LaunchTemplateData=DATA)
    answer = ec2.delete_launch_template_versions(LaunchTemplateName="worker", Versions=["1", "2", "7"])
    assert [each["VersionNumber"] for each in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [2]
    failed = {
        each["VersionNumber"]: each["ResponseError"]["Code"]
        for each in answer["UnsuccessfullyDeletedLaunchTemplateVersions"]
    }
    assert set(failed) == {1, 7}
    assert failed[7] == "launchTemplateVersionDoesNotExist"


def test_versions_of_an_unknown_launch_template_fail_one_by_one(ec2: EC2Client) -> None:
    """API_ResponseError.html (Code: launchTemplateIdDoesNotExist)"""
    answer = ec2.delete_launch_template_versions(LaunchTemplateId="lt-00000000000000bad", Versions=["1"])
    [failed] = answer["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert failed["ResponseError"]["Code"] == "launchTemplateIdDoesNotExist"


def test_a_number_is_not_used_twice(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/manage-launch-template-versions.html: numbered in the
    order in which they are made."""
    create(ec2)
    for expected in (2, 3):
        made = ec2.create_launch_template_version(LaunchTemplateName="worker", LaunchTemplateData=DATA)
        assert made["LaunchTemplateVersion"]["VersionNumber"] == expected
        ec2.delete_launch_template_versions(LaunchTemplateName="worker", Versions=[str(expected)])


def test_the_latest_versions_of_all_are_described_but_no_numbers(ec2: EC2Client) -> None:
    """API_DescribeLaunchTemplateVersions.html (LaunchTemplateVersion.N): "To describe all launch templates in your
    account [...], specify $Latest, $Default, or both."; "You can't specify version numbers."."""
    create(ec2, "one")
    create(ec2, "two")
    answer = ec2.describe_launch_template_versions(Versions=["$Latest"])
    assert {each["LaunchTemplateName"] for each in answer["LaunchTemplateVersions"]} == {"one", "two"}
    assert refusal(ec2.describe_launch_template_versions, Versions=["1"]).code == "InvalidParameterValue"


def test_the_versions_of_one_are_described_the_newest_first_in_pages(ec2: EC2Client) -> None:
    """API_DescribeLaunchTemplateVersions.html (MinVersion, MaxVersion, MaxResults: 1 to 200)"""
    create(ec2)
    for _ in range(3):
        ec2.create_launch_template_version(LaunchTemplateName="worker", LaunchTemplateData=DATA)
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateName="worker", MinVersion="2", PaginationConfig={"PageSize": 2}
    )
    numbers = [[each["VersionNumber"] for each in page["LaunchTemplateVersions"]] for page in pages]
    assert numbers == [[4, 3], [2]]


def test_an_account_has_so_many_launch_templates(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html: 5,000 in a region; here
    one."""
    emulator.configure(quotas={"launch-templates": 1})
    create(ec2)
    assert refusal(create, ec2, "second").code == "MaxTemplateLimitExceeded"


def test_an_image_in_a_launch_template_may_be_a_parameter(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-launch-template.html (Systems Manager parameter);
    API_DescribeLaunchTemplateVersions.html (ResolveAlias)"""
    emulator.client("ssm").put_parameter(Name="/images/worker", Value=IMAGE_ID, Type="String")
    create(ec2, ImageId="resolve:ssm:/images/worker")
    assert data_of(ec2, "1")["ImageId"] == "resolve:ssm:/images/worker"
    answer = ec2.describe_launch_template_versions(LaunchTemplateName="worker", ResolveAlias=True)
    assert answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"] == IMAGE_ID
    assert run(ec2, {"LaunchTemplateName": "worker"})["ImageId"] == IMAGE_ID
