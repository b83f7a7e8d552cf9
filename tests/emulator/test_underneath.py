"""What moto serves underneath, as far as hfplugin relies on it; other accounts; and what is made up on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from ec2_calls import launch, launched, refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

OTHER = "210987654321"


def client_of(emulator: Emulator, account: str) -> Any:
    """Give an EC2 client with the credentials of a role in an account."""
    import boto3

    role = f"arn:aws:iam::{account}:role/hfplugin"
    assumed = emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "ec2",
        region_name="eu-central-1",
        endpoint_url=emulator.url,
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
    )


def test_a_region_has_zones_subnets_a_group_and_images(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc.html: a subnet a zone, a group, public
    addresses."""
    zones = {each["ZoneName"] for each in ec2.describe_availability_zones()["AvailabilityZones"]}
    subnets = ec2.describe_subnets()["Subnets"]
    assert zones == {each["AvailabilityZone"] for each in subnets}
    assert all(each["DefaultForAz"] and each["MapPublicIpOnLaunch"] for each in subnets)
    assert [each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    [image] = ec2.describe_images(ImageIds=[IMAGE_ID])["Images"]
    assert image["State"] == "available"


def test_a_subnet_shows_the_addresses_that_machines_took(ec2: EC2Client, subnets: list[str]) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Subnet.html (availableIpAddressCount)"""
    before = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["AvailableIpAddressCount"]
    machines = launch(ec2, 3, SubnetId=subnets[0])
    assert ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["AvailableIpAddressCount"] == before - 3
    ec2.terminate_instances(InstanceIds=machines)
    assert ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["AvailableIpAddressCount"] == before


def test_a_private_image_can_be_launched(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html"""
    image = ec2.register_image(Name="mine", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    assert launched(ec2, ImageId=image)[0]["ImageId"] == image


def test_an_instance_profile_is_found_by_name_and_by_arn(ec2: EC2Client, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IamInstanceProfileSpecification.html"""
    made = emulator.client("iam").create_instance_profile(InstanceProfileName="worker")["InstanceProfile"]
    for named in ({"Name": "worker"}, {"Arn": made["Arn"]}):
        [machine] = launched(ec2, IamInstanceProfile=named)
        assert machine["IamInstanceProfile"]["Arn"] == made["Arn"]


def test_parameters_are_put_and_got(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html"""
    ssm = emulator.client("ssm")
    ssm.put_parameter(Name="/images/worker", Value=IMAGE_ID, Type="String")
    assert ssm.get_parameter(Name="/images/worker")["Parameter"]["Value"] == IMAGE_ID
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/nothing")


def test_messages_are_sent_received_and_deleted(emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""
    sqs = emulator.client("sqs")
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    assert queue.startswith(emulator.url)
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "hello"
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def test_a_rule_whose_queue_is_gone_harms_nobody(emulator: Emulator, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html: the event is lost."""
    events = emulator.client("events")
    events.put_rule(Name="ours", EventPattern='{"source": ["aws.ec2"]}')
    arn = "arn:aws:sqs:eu-central-1:123456789012:gone"
    events.put_targets(Rule="ours", Targets=[{"Id": "queue", "Arn": arn}])
    assert launch(ec2)


def test_machines_of_another_account_are_another_accounts(emulator: Emulator, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
    other = client_of(emulator, OTHER)
    theirs = launch(other)
    ours = launch(ec2)
    assert [each["InstanceId"] for each in seen(other)] == theirs
    assert [each["InstanceId"] for each in seen(ec2)] == ours
    assert refusal(ec2.terminate_instances, InstanceIds=theirs).code == "InvalidInstanceID.NotFound"
    assert {each.id: each.account for each in emulator.machines()} == {theirs[0]: OTHER, ours[0]: "123456789012"}
    assert other.describe_instances()["Reservations"][0]["OwnerId"] == OTHER


def test_machines_of_another_region_are_another_regions(emulator: Emulator, ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-regions-availability-zones.html"""
    away = emulator.ec2("us-west-2")
    theirs = launch(away)
    assert seen(ec2) == []
    assert refusal(ec2.describe_instances, InstanceIds=theirs).code == "InvalidInstanceID.NotFound"


def test_what_a_call_names_is_made_up_when_that_is_set(emulator: Emulator, ec2: EC2Client) -> None:
    """Of the emulator (`invents`): a rehearsal runs on the configuration of the site, whose AWS is not here."""
    emulator.configure(invents=True)
    settings: Any = {
        "ImageId": "ami-00000000000000abc",
        "SubnetId": "subnet-00000000000000abc",
        "SecurityGroupIds": ["sg-00000000000000abc"],
        "KeyName": "theirs",
        "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/theirs"},
        "Placement": {"GroupName": "theirs"},
    }
    [machine] = launched(ec2, **settings)
    assert machine["ImageId"] == settings["ImageId"]
    assert machine["SubnetId"] == settings["SubnetId"]
    assert [each["GroupId"] for each in machine["SecurityGroups"]] == settings["SecurityGroupIds"]
    [subnet] = ec2.describe_subnets(SubnetIds=["subnet-00000000000000abc"])["Subnets"]
    assert subnet["AvailabilityZone"] == machine["Placement"]["AvailabilityZone"]


def test_subnets_that_are_made_up_lie_in_different_zones(emulator: Emulator, ec2: EC2Client) -> None:
    """Of the emulator (`invents`)"""
    emulator.configure(invents=True)
    ids = [f"subnet-0000000000000000{number}" for number in range(3)]
    zones = {each["AvailabilityZone"] for each in ec2.describe_subnets(SubnetIds=ids)["Subnets"]}
    assert len(zones) == 3


def test_nothing_is_made_up_otherwise(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidSubnetID.NotFound)"""
    refused = refusal(ec2.describe_subnets, SubnetIds=["subnet-00000000000000abc"])
    assert refused.code == "InvalidSubnetID.NotFound"


def test_a_call_that_nobody_has_is_refused(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (InvalidAction)"""
    assert refusal(ec2.describe_fast_launch_images).code == "InvalidAction"
