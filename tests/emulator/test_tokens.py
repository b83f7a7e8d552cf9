"""Client tokens: the same call twice is one deed.

Source of all: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ec2_calls import launch, once, refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

DATA: Any = {"ImageId": IMAGE_ID, "InstanceType": "m5.large"}


def test_the_same_launch_under_the_same_token_brings_the_same_machines(ec2: EC2Client) -> None:
    """ec2-api-idempotency.html: a retry "succeeds without performing any further actions"."""
    machines = launch(ec2, 3, ClientToken="one")
    assert launch(ec2, 3, ClientToken="one") == machines
    assert len(seen(ec2)) == 3


def test_a_launch_without_a_token_launches_each_time(emulator: Emulator) -> None:
    """API_RunInstances.html (ClientToken); botocore makes up a new one for every call."""
    ec2 = once(emulator)
    assert launch(ec2) != launch(ec2)


def test_a_replay_shows_the_machines_as_they_are_now(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-api-idempotency.html: "the result might contain updated information, such as the current creation
    status"."""
    emulator.configure(boot_seconds=30)
    call: Any = {**DATA, "MinCount": 1, "MaxCount": 1, "ClientToken": "one"}
    assert ec2.run_instances(**call)["Instances"][0]["State"]["Name"] == "pending"
    emulator.advance(30)
    assert ec2.run_instances(**call)["Instances"][0]["State"]["Name"] == "running"


def test_other_parameters_under_the_same_token_are_refused(ec2: EC2Client) -> None:
    """ec2-api-idempotency.html, and the code IdempotentParameterMismatch of EC2's list of errors."""
    launch(ec2, ClientToken="one")
    refused = refusal(launch, ec2, 2, ClientToken="one")
    assert (refused.code, refused.status) == ("IdempotentParameterMismatch", 400)
    assert refused.message == (
        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
    )
    assert len(seen(ec2)) == 1


def test_tokens_mind_the_case(ec2: EC2Client) -> None:
    """ec2-api-idempotency.html: "a unique, case-sensitive string of up to 64 ASCII characters"."""
    assert launch(ec2, ClientToken="one") != launch(ec2, ClientToken="One")


def test_a_token_belongs_to_its_region(emulator: Emulator) -> None:
    """ec2-api-idempotency.html: parameters may differ in "the Region or Availability Zone"."""
    home, away = (emulator.ec2(region) for region in ("eu-central-1", "eu-west-1"))
    assert launch(home, ClientToken="one") != launch(away, ClientToken="one")


def test_a_token_of_a_call_that_names_its_zone_belongs_to_the_zone(ec2: EC2Client, subnets: list[str]) -> None:
    """ec2-api-idempotency.html (zonal idempotency): RunInstances with a zone, or with what implies one."""
    first = launch(ec2, ClientToken="one", SubnetId=subnets[0])
    second = launch(ec2, ClientToken="one", SubnetId=subnets[1])
    assert first != second
    assert launch(ec2, ClientToken="one", SubnetId=subnets[0]) == first


def test_another_subnet_of_the_same_zone_is_another_parameter(ec2: EC2Client) -> None:
    """ec2-api-idempotency.html (zonal idempotency)"""
    zone = "eu-central-1a"
    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.associate_vpc_cidr_block(VpcId=network, CidrBlock="10.0.0.0/16")
    made: Any = ec2.create_subnet(VpcId=network, CidrBlock="10.0.1.0/24", AvailabilityZone=zone)["Subnet"]
    filters: Any = [
        {"Name": "availability-zone", "Values": [zone]},
        {"Name": "default-for-az", "Values": ["true"]},
    ]
    default = ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]
    launch(ec2, ClientToken="one", SubnetId=default)
    refused = refusal(launch, ec2, ClientToken="one", SubnetId=made["SubnetId"])
    assert refused.code == "IdempotentParameterMismatch"


def test_the_token_of_a_terminated_machine_is_refused(ec2: EC2Client) -> None:
    """EC2's list of errors (IdempotentInstanceTerminated); seen in https://github.com/boto/boto3/issues/4406. One
    report of 2026 has it otherwise: that the terminated machine was given again."""
    machines = launch(ec2, ClientToken="one")
    ec2.terminate_instances(InstanceIds=machines)
    assert refusal(launch, ec2, ClientToken="one").code == "IdempotentInstanceTerminated"


def test_a_launch_that_failed_leaves_its_token_unused(ec2: EC2Client, emulator: Emulator) -> None:
    """ec2-api-idempotency.html speaks of a retry of "a successful request"; of failed ones nothing is
    documented."""
    emulator.configure(capacity={"*": 0})
    assert refusal(launch, once(emulator), ClientToken="one").code == "InsufficientInstanceCapacity"
    emulator.configure(capacity={})
    assert len(launch(ec2, ClientToken="one")) == 1


def test_a_token_is_remembered_for_a_day(ec2: EC2Client, emulator: Emulator) -> None:
    """Not documented; "at least 24 hours" is what it was once. A client must not count on more."""
    machines = launch(ec2, ClientToken="one")
    emulator.advance(24 * 3600 - 60)
    assert launch(ec2, ClientToken="one") == machines
    emulator.advance(120)
    assert launch(ec2, ClientToken="one") != machines


def test_a_machine_is_found_by_its_token(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html (filter client-token)"""
    machines = launch(ec2, ClientToken="one")
    launch(ec2, ClientToken="two")
    [found] = seen(ec2, Filters=[{"Name": "client-token", "Values": ["one"]}])
    assert [found["InstanceId"]] == machines


def test_a_launch_template_is_made_once_under_a_token(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html (ClientToken)"""
    call: Any = {"LaunchTemplateName": "worker", "LaunchTemplateData": DATA, "ClientToken": "x" * 128}
    made = [ec2.create_launch_template(**call)["LaunchTemplate"]["LaunchTemplateId"] for _ in range(2)]
    assert made[0] == made[1]
    other = {**call, "LaunchTemplateName": "other"}
    assert refusal(ec2.create_launch_template, **other).code == "IdempotentParameterMismatch"


def test_a_version_is_made_once_under_a_token(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html (ClientToken)"""
    ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=DATA)
    call: Any = {"LaunchTemplateName": "worker", "LaunchTemplateData": DATA, "ClientToken": "one"}
    numbers = [
        ec2.create_launch_template_version(**call)["LaunchTemplateVersion"]["VersionNumber"] for _ in range(2)
    ]
    assert numbers == [2, 2]


def test_a_reservation_is_made_once_under_a_token(ec2: EC2Client) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateCapacityReservation.html (ClientToken)"""
    call: Any = {
        "InstanceType": "m5.large",
        "InstancePlatform": "Linux/UNIX",
        "AvailabilityZone": "eu-central-1a",
        "InstanceCount": 2,
        "ClientToken": "one",
    }
    made = {
        ec2.create_capacity_reservation(**call)["CapacityReservation"]["CapacityReservationId"] for _ in range(2)
    }
    assert len(made) == 1
