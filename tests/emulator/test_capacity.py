"""How many machines can be had: pools, quotas, prices, addresses, reservations; what is said when there are none.

API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, launched, once, refusal, seen

from hfplugin.emulator import IMAGE_ID, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

POOL = "eu-central-1/m5.large/eu-central-1a"
HERE: dict[str, Any] = {"Placement": {"AvailabilityZone": "eu-central-1a"}}


@pytest.fixture
def client(emulator: Emulator) -> Any:
    """A client that does not try again what AWS answers with 500."""
    return once(emulator)


def reserve(ec2: EC2Client, count: int, **params: Any) -> str:
    call: Any = {
        "InstanceType": "m5.large",
        "InstancePlatform": "Linux/UNIX",
        "AvailabilityZone": "eu-central-1a",
        "InstanceCount": count,
        **params,
    }
    return ec2.create_capacity_reservation(**call)["CapacityReservation"]["CapacityReservationId"]


def into(reservation: str) -> dict[str, Any]:
    return {
        **HERE,
        "CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": reservation}},
    }


def test_as_many_as_there_are_between_the_minimum_and_the_maximum(client: Any, emulator: Emulator) -> None:
    """API_RunInstances.html (MinCount): "the largest possible number of instances above the minimum" is
    launched."""
    emulator.configure(capacity={POOL: 3})
    assert len(launch(client, MinCount=1, MaxCount=5, **HERE)) == 3


def test_none_when_the_minimum_does_not_fit(client: Any, emulator: Emulator) -> None:
    """API_RunInstances.html (MinCount): "If you specify a minimum that is more instances than Amazon EC2 can
    launch in the target Availability Zone, Amazon EC2 launches no instances."."""
    emulator.configure(capacity={POOL: 3})
    refused = refusal(launch, client, MinCount=4, MaxCount=5, **HERE)
    assert (refused.code, refused.status) == ("InsufficientInstanceCapacity", 500)
    assert not emulator.machines()


def test_the_refusal_names_the_zones_that_have_capacity(client: Any, emulator: Emulator) -> None:
    """The text seen in https://github.com/hashicorp/terraform-provider-aws/issues/1496."""
    emulator.configure(capacity={POOL: 0, POOL.replace("1a", "1b"): 0})
    refused = refusal(launch, client, **HERE)
    assert refused.message == (
        "We currently do not have sufficient m5.large capacity in the Availability Zone you requested "
        "(eu-central-1a). Our system will be working on provisioning additional capacity. You can currently get "
        "m5.large capacity by not specifying an Availability Zone in your request or choosing eu-central-1c."
    )


def test_the_refusal_names_no_zone_when_there_is_none(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    (InsufficientInstanceCapacity)"""
    emulator.configure(capacity={"*": 0})
    assert refusal(launch, client).message == "Insufficient capacity."


def test_without_a_zone_the_zone_that_has_room_is_taken(client: Any, emulator: Emulator) -> None:
    """API_Placement.html (AvailabilityZone): "If not specified, an Availability Zone will be automatically
    chosen"."""
    emulator.configure(capacity={"*": 0, POOL.replace("1a", "1b"): 2})
    machines = launched(client, 2)
    assert {each["Placement"]["AvailabilityZone"] for each in machines} == {"eu-central-1b"}


def test_all_machines_of_a_call_are_in_one_zone(client: Any, emulator: Emulator) -> None:
    """API_RunInstances.html (MinCount) speaks of one "target Availability Zone"."""
    emulator.configure(capacity={"eu-central-1/m5.large/*": 2})
    assert len(launch(client, MinCount=1, MaxCount=6)) == 2


def test_spot_has_room_of_its_own_and_words_of_its_own(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html; the text was seen."""
    emulator.configure(capacity={f"{POOL}/spot": 0})
    refused = refusal(launch, client, **HERE, **SPOT)
    assert (refused.code, refused.status) == ("InsufficientInstanceCapacity", 500)
    assert refused.message == "There is no Spot capacity available that matches your request."
    assert launch(client, **HERE)


def test_a_pool_without_a_purchase_type_is_shared(client: Any, emulator: Emulator) -> None:
    """Of the emulator's settings: a pool's number is for both purchase types."""
    emulator.configure(capacity={POOL: 1})
    launch(client, **HERE, **SPOT)
    assert refusal(launch, client, **HERE).code == "InsufficientInstanceCapacity"


def test_what_is_terminated_can_be_had_again(client: Any, emulator: Emulator) -> None:
    """Of the emulator's settings: a pool's number is of machines at a time, until they are terminated."""
    emulator.configure(capacity={POOL: 1}, shutdown_seconds=30)
    machines = launch(client, **HERE)
    client.terminate_instances(InstanceIds=machines)
    assert refusal(launch, client, **HERE).code == "InsufficientInstanceCapacity"
    emulator.advance(30)
    assert launch(client, **HERE)


def test_a_type_that_a_zone_does_not_offer_is_unsupported(client: Any, emulator: Emulator) -> None:
    """EC2's list of errors (Unsupported); the text was seen in https://github.com/fedora-copr/copr/issues/3279."""
    emulator.configure(unoffered=[POOL])
    refused = refusal(launch, client, **HERE)
    assert (refused.code, refused.status) == ("Unsupported", 400)
    assert refused.message == (
        "Your requested instance type (m5.large) is not supported in your requested Availability Zone "
        "(eu-central-1a). Please retry your request by not specifying an Availability Zone or choosing "
        "eu-central-1b, eu-central-1c."
    )
    assert launched(client)[0]["Placement"]["AvailabilityZone"] != "eu-central-1a"


def test_the_quota_is_of_vcpus(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits;
    EC2's list of errors (VcpuLimitExceeded)."""
    emulator.configure(quotas={"on-demand-vcpus": 6})
    launch(client, 3)
    refused = refusal(launch, client)
    assert (refused.code, refused.status) == ("VcpuLimitExceeded", 400)
    assert refused.message.startswith(
        "You have requested more vCPU capacity than your current vCPU limit of 6 allows for the instance bucket"
    )
    assert launch(client, **SPOT)


def test_as_many_are_launched_as_the_quota_lets(client: Any, emulator: Emulator) -> None:
    """Not documented; users report it: https://github.com/ITISFoundation/osparc-simcore/pull/5408."""
    emulator.configure(quotas={"on-demand-vcpus": 6})
    assert len(launch(client, MinCount=1, MaxCount=5)) == 3


def test_spot_has_a_quota_of_its_own(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html"""
    emulator.configure(quotas={"spot-vcpus": 2})
    launch(client, **SPOT)
    refused = refusal(launch, client, **SPOT)
    assert (refused.code, refused.status) == ("MaxSpotInstanceCountExceeded", 400)
    assert refused.message == "Max spot instance count exceeded"
    assert launch(client)


def test_a_quota_is_of_a_region(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-resource-limits.html: quotas are per region."""
    emulator.configure(quotas={"on-demand-vcpus": 2})
    launch(client)
    assert launch(once(emulator, region="eu-west-1"))


def test_spot_costs_more_than_is_offered(client: Any, emulator: Emulator) -> None:
    """EC2's list of errors (SpotMaxPriceTooLow); seen in
    https://github.com/aws/aws-parallelcluster-node/pull/415."""
    emulator.configure(prices={f"{POOL}/spot": 0.0374})
    options = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.01"}}
    refused = refusal(launch, client, InstanceMarketOptions=options, **HERE)
    assert (refused.code, refused.status) == ("SpotMaxPriceTooLow", 400)
    assert refused.message == (
        "Your Spot request price of 0.01 is lower than the minimum required Spot request fulfillment price of "
        "0.0374."
    )
    options["SpotOptions"] = {"MaxPrice": "0.0374"}
    assert launch(client, InstanceMarketOptions=options, **HERE)


def test_spot_prices_are_described_by_zone(ec2: EC2Client, emulator: Emulator) -> None:
    """API_DescribeSpotPriceHistory.html"""
    emulator.configure(prices={f"{POOL}/spot": 0.0374})
    rows = ec2.describe_spot_price_history(InstanceTypes=["m5.large"], ProductDescriptions=["Linux/UNIX"])
    prices = {each["AvailabilityZone"]: each["SpotPrice"] for each in rows["SpotPriceHistory"]}
    assert prices["eu-central-1a"] == "0.037400"
    assert set(prices) == {"eu-central-1a", "eu-central-1b", "eu-central-1c"}
    windows = ec2.describe_spot_price_history(InstanceTypes=["m5.large"], ProductDescriptions=["Windows"])
    assert windows["SpotPriceHistory"] == []


def test_a_subnet_runs_out_of_addresses(client: Any) -> None:
    """https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html: five addresses of each are AWS's;
    EC2's list of errors (InsufficientFreeAddressesInSubnet)."""
    network = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=network, CidrBlock="10.9.0.0/28")["Subnet"]["SubnetId"]
    machines = launch(client, 10, SubnetId=subnet)
    refused = refusal(launch, client, 2, SubnetId=subnet)
    assert (refused.code, refused.status) == ("InsufficientFreeAddressesInSubnet", 400)
    assert refused.message == (
        f"There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of instances."
    )
    assert client.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"] == 1
    client.terminate_instances(InstanceIds=machines[:1])
    launch(client, 2, SubnetId=subnet)
    addresses = [each["PrivateIpAddress"] for each in seen(client) if "PrivateIpAddress" in each]
    assert len(set(addresses)) == 11


def test_a_reservation_keeps_its_machines(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-reservations.html"""
    emulator.configure(capacity={POOL: 3})
    reservation = reserve(client, 2)
    assert len(launch(client, MinCount=1, MaxCount=3, **HERE)) == 1
    assert len(launch(client, 2, **into(reservation))) == 2
    [shown] = client.describe_capacity_reservations()["CapacityReservations"]
    assert (shown["TotalInstanceCount"], shown["AvailableInstanceCount"], shown["State"]) == (2, 0, "active")


def test_a_reservation_is_used_up(client: Any) -> None:
    """EC2's list of errors (ReservationCapacityExceeded); the text was seen."""
    reservation = reserve(client, 1)
    machines = launch(client, **into(reservation))
    refused = refusal(launch, client, **into(reservation))
    assert (refused.code, refused.status) == ("ReservationCapacityExceeded", 400)
    assert refused.message == (
        "The requested reservation does not have sufficient compatible and available capacity for this request."
    )
    client.terminate_instances(InstanceIds=machines)
    assert launch(client, **into(reservation))


def test_a_reservation_holds_one_type(client: Any) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-reservations-launch.html: the attributes
    match."""
    refused = refusal(launch, client, InstanceType="c5.large", **into(reserve(client, 1)))
    assert refused.code == "ReservationCapacityExceeded"


def test_a_reservation_needs_capacity_and_counts_for_the_quota(client: Any, emulator: Emulator) -> None:
    """API_CreateCapacityReservation.html: "fails" without capacity, and reservations count for the on-demand
    quota."""
    emulator.configure(capacity={POOL: 1}, quotas={"on-demand-vcpus": 2})
    assert refusal(reserve, client, 2).code == "InsufficientInstanceCapacity"
    reserve(client, 1)
    assert refusal(launch, client).code == "VcpuLimitExceeded"


def test_a_cancelled_reservation_gives_its_machines_back(client: Any, emulator: Emulator) -> None:
    """API_CancelCapacityReservation.html: instances that run in it "continue to run [...] at standard on-demand
    rates"."""
    emulator.configure(capacity={POOL: 2})
    reservation = reserve(client, 2)
    machines = launch(client, **into(reservation))
    client.cancel_capacity_reservation(CapacityReservationId=reservation)
    assert len(launch(client, MinCount=1, MaxCount=2, **HERE)) == 1
    client.terminate_instances(InstanceIds=machines)
    assert len(launch(client, MinCount=1, MaxCount=2, **HERE)) == 1


@pytest.mark.parametrize(
    ("reservation", "code"),
    [
        ("cr-00000000000000bad", "InvalidCapacityReservationId.NotFound"),
        ("block", "InvalidCapacityReservationId.Malformed"),
    ],
)
def test_an_unknown_reservation_is_refused(reservation: str, code: str, client: Any) -> None:
    """Seen; EC2's list of errors writes the code without its dot."""
    assert refusal(launch, client, **into(reservation)).code == code


def test_an_image_may_be_named_by_a_parameter(client: Any, emulator: Emulator) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html"""
    ssm = emulator.client("ssm")
    ssm.put_parameter(Name="/images/worker", Value=IMAGE_ID, Type="String")
    ssm.put_parameter(Name="/images/worker", Value="ami-00000000000000bad", Type="String", Overwrite=True)
    assert launched(client, ImageId="resolve:ssm:/images/worker:1")[0]["ImageId"] == IMAGE_ID
    assert refusal(launch, client, ImageId="resolve:ssm:/images/worker").code == "InvalidAMIID.NotFound"


def test_a_public_parameter_names_an_image(client: Any) -> None:
    """https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html"""
    path = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
    [machine] = launched(client, ImageId=f"resolve:ssm:{path}x86_64")
    assert machine["Architecture"] == "x86_64"
    [machine] = launched(client, ImageId=f"resolve:ssm:{path}arm64", InstanceType="m6g.large")
    assert machine["Architecture"] == "arm64"


def test_an_unknown_parameter_is_refused(client: Any) -> None:
    """Code and text are not documented."""
    assert refusal(launch, client, ImageId="resolve:ssm:/nothing").code == "InvalidParameterValue"
