"""RunInstances, TerminateInstances, StopInstances, StartInstances and the attributes of machines.

Texts are asserted where they were seen or are documented; a test that looks at a code alone says that AWS does not
document the text. API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, launched, once, refusal, seen, states

from hfplugin.emulator import IMAGE_ID, Emulator
from hfplugin.emulator.client import ARM_IMAGE_ID

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# Refused calls: what is asked, the code, and how the text begins.
_REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown image": (
        {"ImageId": "ami-00000000000000bad"},
        "InvalidAMIID.NotFound",
        "The image id '[ami-00000000000000bad]' does not exist",
    ),
    "a malformed image": ({"ImageId": "foo"}, "InvalidAMIID.Malformed", 'Invalid id: "foo" (expecting "ami-...")'),
    "an unknown type": (
        {"InstanceType": "t9.nano"},
        "InvalidParameterValue",
        "Invalid value 't9.nano' for InstanceType.",
    ),
    "an unknown key pair": (
        {"KeyName": "nobody"},
        "InvalidKeyPair.NotFound",
        "The key pair 'nobody' does not exist",
    ),
    "an unknown subnet": (
        {"SubnetId": "subnet-00000000000000bad"},
        "InvalidSubnetID.NotFound",
        "The subnet ID 'subnet-00000000000000bad' does not exist",
    ),
    "a malformed subnet": ({"SubnetId": "net"}, "InvalidSubnetID.Malformed", "Invalid id"),
    "an unknown security group": (
        {"SecurityGroupIds": ["sg-00000000000000bad"]},
        "InvalidGroup.NotFound",
        "The security group 'sg-00000000000000bad' does not exist",
    ),
    "two unknown security groups": (
        {"SecurityGroupIds": ["sg-0000000000000bad1", "sg-0000000000000bad2"]},
        "InvalidGroup.NotFound",
        "The security groups 'sg-0000000000000bad1', 'sg-0000000000000bad2' do not exist",
    ),
    "a malformed security group": ({"SecurityGroupIds": ["default"]}, "InvalidGroupId.Malformed", "Invalid id"),
    "an unknown instance profile": (
        {"IamInstanceProfile": {"Name": "nobody"}},
        "InvalidParameterValue",
        "Value (nobody) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    ),
    "an unknown zone": (
        {"Placement": {"AvailabilityZone": "eu-central-1z"}},
        "InvalidParameterValue",
        "Invalid availability zone: [eu-central-1z]",
    ),
    "an unknown placement group": (
        {"Placement": {"GroupName": "nobody"}},
        "InvalidPlacementGroup.Unknown",
        "The Placement Group 'nobody' is unknown.",
    ),
    "an image of another architecture": (
        {"ImageId": ARM_IMAGE_ID},
        "InvalidParameterValue",
        "The architecture 'x86_64' of the specified instance type does not match the architecture 'arm64' of the "
        "specified AMI.",
    ),
    "too much user data": (
        {"UserData": "x" * (16 * 1024 + 1)},
        "InvalidParameterValue",
        "User data is limited to 16384 bytes",
    ),
    "a maximum of none": (
        {"MinCount": 1, "MaxCount": 0},
        "InvalidParameterValue",
        "Maximum instance count must be greater than zero",
    ),
    "tags for what a launch does not make": (
        {"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]},
        "InvalidParameterValue",
        "'vpc' is not a valid taggable resource type for this operation.",
    ),
    # AWS does not document the texts of these.
    "a minimum above the maximum": ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue", ""),
    "a token of more than 64 characters": ({"ClientToken": "x" * 65}, "InvalidClientToken", ""),
    "an own tag of AWS": (
        {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:a", "Value": "b"}]}]},
        "InvalidParameterValue",
        "",
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_a_launch_is_refused_with_the_code_and_text_of_ec2(case: str, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    params, code, text = _REFUSED[case]
    refused = refusal(launch, ec2, **params)
    assert (refused.code, refused.status) == (code, 400)
    assert refused.message.startswith(text)
    assert not seen(ec2)


def test_a_launch_needs_an_image(ec2: EC2Client) -> None:
    """API_RunInstances.html: "An AMI ID is required to launch an instance and must be specified here or in a
    launch template."."""
    refused = refusal(ec2.run_instances, InstanceType="m5.large", MinCount=1, MaxCount=1)
    assert refused.code == "MissingParameter"


def test_user_data_has_to_be_base64(emulator: Emulator) -> None:
    """API_RunInstances.html (UserData): "must be base64-encoded"; botocore encodes what it is given, so it does
    it by the launch template, whose user data it leaves alone."""
    ec2 = emulator.ec2()
    data: Any = {"ImageId": IMAGE_ID, "UserData": "no base 64!"}
    refused = refusal(ec2.create_launch_template, LaunchTemplateName="bad", LaunchTemplateData=data)
    assert refused.code == "InvalidUserData.Malformed"


def test_user_data_may_have_16384_bytes(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html: 16 KB, "in raw form, before it is
    encoded"."""
    [machine] = launch(ec2, UserData="x" * 16 * 1024)
    shown = ec2.describe_instance_attribute(InstanceId=machine, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(shown) == b"x" * 16 * 1024


def test_a_group_of_another_network_is_refused(ec2: EC2Client, subnets: list[str]) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidParameter)"""
    network = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="away", Description="away", VpcId=network)["GroupId"]
    refused = refusal(launch, ec2, SubnetId=subnets[0], SecurityGroupIds=[group])
    assert refused.code == "InvalidParameter"
    assert refused.message == f"Security group {group} and subnet {subnets[0]} belong to different networks."


def test_groups_are_not_named_beside_a_subnet(ec2: EC2Client, subnets: list[str]) -> None:
    """API_RunInstances.html (SecurityGroup.N): names are for the default network alone."""
    refused = refusal(launch, ec2, SubnetId=subnets[0], SecurityGroups=["default"])
    assert refused.code == "InvalidParameterCombination"
    assert refused.message == "The parameter groupName cannot be used with the parameter subnet"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SubnetId", "subnet ID"),
        ("SecurityGroupIds", "security groups"),
        ("PrivateIpAddress", "private IP address"),
    ],
)
def test_what_belongs_into_an_interface_is_not_given_beside_it(
    name: str, text: str, ec2: EC2Client, subnets: list[str]
) -> None:
    """API_RunInstances.html (NetworkInterface.N): "you must specify any [...] as part of the network
    interface"."""
    value: Any = {"SubnetId": subnets[0], "SecurityGroupIds": ["sg-00000001"], "PrivateIpAddress": "172.31.0.9"}[
        name
    ]
    interfaces = [{"DeviceIndex": 0, "SubnetId": subnets[0]}]
    refused = refusal(launch, ec2, NetworkInterfaces=interfaces, **{name: value})
    assert refused.code == "InvalidParameterCombination"
    assert refused.message == (
        f"Network interfaces and an instance-level {text} may not be specified on the same request"
    )


def test_an_interface_brings_its_subnet_groups_and_public_address(ec2: EC2Client, subnets: list[str]) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html"""
    group = ec2.create_security_group(GroupName="mine", Description="mine")["GroupId"]
    interface = {"DeviceIndex": 0, "SubnetId": subnets[1], "Groups": [group], "AssociatePublicIpAddress": False}
    launch(ec2, NetworkInterfaces=[interface])
    [machine] = seen(ec2)
    assert machine["SubnetId"] == subnets[1]
    assert [each["GroupId"] for each in machine["SecurityGroups"]] == [group]
    assert "PublicIpAddress" not in machine


def test_a_dry_run_launches_nothing(ec2: EC2Client) -> None:
    """API_RunInstances.html (DryRun): "If you have the required permissions, the error response is
    DryRunOperation"."""
    refused = refusal(launch, ec2, DryRun=True)
    assert (refused.code, refused.status) == ("DryRunOperation", 412)
    assert refused.message == "Request would have succeeded, but DryRun flag is set."
    assert not seen(ec2)


def test_a_dry_run_of_what_is_wrong_says_what_is_wrong(ec2: EC2Client) -> None:
    """Documented is the check of permissions; hfplugin's own check of a region relies on no more than that."""
    assert refusal(launch, ec2, DryRun=True, KeyName="nobody").code == "InvalidKeyPair.NotFound"


def test_a_dry_run_of_a_termination_terminates_nothing(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html (DryRun)"""
    machines = launch(ec2)
    refused = refusal(ec2.terminate_instances, InstanceIds=machines, DryRun=True)
    assert (refused.code, refused.status) == ("DryRunOperation", 412)
    assert states(ec2) == ["running"]


def test_a_launch_answers_with_pending_machines_in_one_reservation(ec2: EC2Client) -> None:
    """The answer that https://docs.aws.amazon.com/cli/latest/reference/ec2/run-instances.html prints."""
    answer = ec2.run_instances(ImageId=IMAGE_ID, InstanceType="m5.large", MinCount=3, MaxCount=3, ClientToken="t")
    machines = answer["Instances"]
    assert answer["ReservationId"].startswith("r-")
    assert answer["OwnerId"] == "123456789012"
    assert [each["AmiLaunchIndex"] for each in machines] == [0, 1, 2]
    assert {each["State"]["Code"] for each in machines} == {0}
    assert {each["StateReason"]["Code"] for each in machines} == {"pending"}
    assert {each["ClientToken"] for each in machines} == {"t"}
    assert all(each["PrivateIpAddress"] and not each["BlockDeviceMappings"] for each in machines)


def test_tags_are_there_from_the_start_on_machines_and_volumes(ec2: EC2Client) -> None:
    """API_RunInstances.html (TagSpecification.N): "The tags to apply to the resources that are created during
    instance launch."."""
    specifications = [
        {"ResourceType": kind, "Tags": [{"Key": "for", "Value": kind}]} for kind in ("instance", "volume")
    ]
    [machine] = launched(ec2, TagSpecifications=specifications)
    assert machine["Tags"] == [{"Key": "for", "Value": "instance"}]
    [volume] = ec2.describe_volumes()["Volumes"]
    assert volume["Tags"] == [{"Key": "for", "Value": "volume"}]
    assert volume["Attachments"][0]["InstanceId"] == machine["InstanceId"]


def test_volumes_are_the_images_with_the_calls_laid_over_by_device(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-device-mapping-concepts.html"""
    mappings = [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 50, "Encrypted": True}},
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 9, "VolumeType": "gp3", "DeleteOnTermination": False}},
    ]
    machines = launch(ec2, BlockDeviceMappings=mappings)
    volumes = {each["Attachments"][0]["Device"]: each for each in ec2.describe_volumes()["Volumes"]}
    assert {device: (each["Size"], each["Encrypted"]) for device, each in volumes.items()} == {
        "/dev/xvda": (50, True),
        "/dev/sdb": (9, False),
    }
    ec2.terminate_instances(InstanceIds=machines)
    [left] = ec2.describe_volumes()["Volumes"]
    assert (left["VolumeId"], left["State"]) == (volumes["/dev/sdb"]["VolumeId"], "available")


def test_metadata_options_and_cpu_options_show_what_was_asked_for(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMetadataOptionsRequest.html"""
    [plain] = launched(ec2)
    assert plain["MetadataOptions"]["HttpTokens"] == "optional"
    [strict] = launched(
        ec2, MetadataOptions={"HttpTokens": "required"}, CpuOptions={"ThreadsPerCore": 1, "CoreCount": 1}
    )
    assert strict["MetadataOptions"]["HttpTokens"] == "required"
    assert strict["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 1}


def test_a_termination_of_an_unknown_machine_among_others_terminates_none(ec2: EC2Client) -> None:
    """API_TerminateInstances.html: "If you specify multiple instances and the request fails (for example,
    because of a single incorrect instance ID), none of the instances are terminated."."""
    machines = launch(ec2, 2)
    refused = refusal(ec2.terminate_instances, InstanceIds=[*machines, "i-00000000000000bad"])
    assert refused.code == "InvalidInstanceID.NotFound"
    assert refused.message == "The instance ID 'i-00000000000000bad' does not exist"
    assert states(ec2) == ["running", "running"]


def test_a_termination_answers_with_the_states_before_and_after(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceStateChange.html"""
    emulator.configure(shutdown_seconds=60)
    machines = launch(ec2)
    [change] = ec2.terminate_instances(InstanceIds=machines)["TerminatingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")


def test_a_second_termination_succeeds(ec2: EC2Client) -> None:
    """API_TerminateInstances.html: "This operation is idempotent; if you terminate an instance more than once,
    each call succeeds."."""
    machines = launch(ec2)
    ec2.terminate_instances(InstanceIds=machines)
    [change] = ec2.terminate_instances(InstanceIds=machines)["TerminatingInstances"]
    assert (change["PreviousState"]["Code"], change["CurrentState"]["Code"]) == (48, 48)


def test_a_machine_named_twice_is_terminated_once(ec2: EC2Client) -> None:
    """Not documented; it has to be harmless."""
    [machine] = launch(ec2)
    assert len(ec2.terminate_instances(InstanceIds=[machine, machine])["TerminatingInstances"]) == 1


def test_a_termination_of_nothing_is_refused(ec2: EC2Client) -> None:
    """The example of an error in https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
    refused = refusal(ec2.terminate_instances, InstanceIds=[])
    assert (refused.code, refused.message) == ("InvalidParameterCombination", "No instances specified")


def test_no_more_than_a_thousand_machines_are_terminated_at_once(ec2: EC2Client) -> None:
    """API_TerminateInstances.html (InstanceId.N): "Constraints: Up to 1000 instance IDs."; the text is not
    documented."""
    ids = [f"i-{number:017x}" for number in range(1001)]
    assert refusal(ec2.terminate_instances, InstanceIds=ids).code == "InvalidParameterValue"


def test_a_protected_machine_saves_its_zone_and_no_other(ec2: EC2Client, subnets: list[str]) -> None:
    """API_TerminateInstances.html: "If you terminate multiple instances across multiple Availability Zones, and
    one or more of the specified instances are enabled for termination protection, the request fails with the
    following results: [...]"."""
    [protected] = launch(ec2, SubnetId=subnets[0], DisableApiTermination=True)
    [neighbour] = launch(ec2, SubnetId=subnets[0])
    [distant] = launch(ec2, SubnetId=subnets[1])
    refused = refusal(ec2.terminate_instances, InstanceIds=[distant, neighbour, protected])
    assert refused.code == "OperationNotPermitted"
    assert refused.message == (
        f"The instance '{protected}' may not be terminated. Modify its 'disableApiTermination' instance "
        "attribute and try again."
    )
    found = {each["InstanceId"]: each["State"]["Name"] for each in seen(ec2)}
    assert found == {protected: "running", neighbour: "running", distant: "terminated"}


def test_protection_can_be_lifted(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html"""
    machines = launch(ec2, DisableApiTermination=True)
    ec2.modify_instance_attribute(InstanceId=machines[0], DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=machines)
    assert states(ec2) == ["terminated"]


def test_protection_of_a_spot_machine_is_not_changed(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_ChangingDisableAPITermination.html: "You can't
    enable termination protection for Spot Instances"."""
    [machine] = launch(ec2, **SPOT)
    refused = refusal(ec2.modify_instance_attribute, InstanceId=machine, DisableApiTermination={"Value": True})
    assert refused.code == "UnsupportedOperation"
    assert refused.message == "Modifying 'disableApiTermination' is not supported for spot instances."


def test_a_terminated_machine_loses_its_network_and_keeps_its_tags(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html: resources such as tags and
    volumes are "gradually disassociated" from it, and its addresses are released; which fields stay is not
    documented."""
    tags: Any = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    machines = launch(ec2, TagSpecifications=tags)
    ec2.terminate_instances(InstanceIds=machines)
    [machine] = seen(ec2)
    assert not {"PrivateIpAddress", "PublicIpAddress", "SubnetId", "VpcId"} & set(machine)
    assert machine["PrivateDnsName"] == machine["PublicDnsName"] == ""
    assert machine["NetworkInterfaces"] == machine["BlockDeviceMappings"] == machine["SecurityGroups"] == []
    assert machine["Tags"] == [{"Key": "a", "Value": "b"}]
    assert machine["Placement"]["AvailabilityZone"]


@pytest.mark.parametrize(
    ("ended", "code", "transition"),
    [
        ("by a call", "Client.UserInitiatedShutdown", "User initiated ("),
        ("by the cloud", "Server.InternalError", "Server.InternalError"),
    ],
)
def test_a_machine_says_why_it_ended(
    ended: str, code: str, transition: str, ec2: EC2Client, emulator: Emulator
) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""
    machines = launch(ec2)
    if ended == "by a call":
        ec2.terminate_instances(InstanceIds=machines)
    else:
        emulator.terminate(*machines, code=code, text="Internal error")
    [machine] = seen(ec2)
    assert machine["StateReason"]["Code"] == code
    assert machine["StateReason"]["Message"].startswith(f"{code}: ")
    assert machine["StateTransitionReason"].startswith(transition)


def test_a_stopped_machine_starts_again_with_its_address(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Stop_Start.html: "retains its private IPv4
    addresses"."""
    [machine] = launched(ec2)
    named = [machine["InstanceId"]]
    ec2.stop_instances(InstanceIds=named)
    [stopped] = seen(ec2)
    assert (stopped["State"]["Name"], stopped["PrivateIpAddress"]) == ("stopped", machine["PrivateIpAddress"])
    assert "PublicIpAddress" not in stopped
    [change] = ec2.start_instances(InstanceIds=named)["StartingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
    assert states(ec2) == ["running"]


@pytest.mark.parametrize("state", ["pending", "terminated"])
def test_only_a_machine_that_runs_is_stopped(state: str, ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (IncorrectInstanceState)"""
    emulator.configure(boot_seconds=60)
    machines = launch(ec2)
    if state == "terminated":
        ec2.terminate_instances(InstanceIds=machines)
    assert refusal(ec2.stop_instances, InstanceIds=machines).code == "IncorrectInstanceState"


def test_a_thousand_machines_are_launched_described_and_terminated(emulator: Emulator) -> None:
    """API_DescribeInstances.html (MaxResults: 5 to 1000) and API_TerminateInstances.html (up to 1000)."""
    ec2 = once(emulator)
    tags: Any = [{"ResourceType": "instance", "Tags": [{"Key": "lot", "Value": "large"}]}]
    machines = launch(ec2, 1000, TagSpecifications=tags)
    assert len(set(machines)) == 1000
    assert [each["InstanceId"] for each in seen(ec2, InstanceIds=machines)] == machines
    by_tag = seen(ec2, Filters=[{"Name": "tag:lot", "Values": ["large"]}], MaxResults=300)
    assert [each["InstanceId"] for each in by_tag] == machines
    assert len({each["PrivateIpAddress"] for each in by_tag}) == 1000
    ec2.terminate_instances(InstanceIds=machines)
    assert set(states(ec2, MaxResults=1000)) == {"terminated"}
