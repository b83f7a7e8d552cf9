"""The life of machines, played through the real scripts against an emulated EC2."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from player import HostFactory, demand, template

from hfplugin.emulator import IMAGE_ID, REGION, Emulator

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

pytestmark = pytest.mark.scripts

# Well-formed, and given by nobody.
UNKNOWN_REQUEST = "req-00000000-0000-4000-8000-000000000000"
UNKNOWN_RETURN = "ret-00000000-0000-4000-8000-000000000000"
UNKNOWN_MACHINE = {"name": "ip-10-9-9-9.eu-central-1.compute.internal", "machineId": "i-0fffffffffffffff0"}


def instances(ec2: EC2Client) -> list[InstanceTypeDef]:
    return [instance for page in ec2.describe_instances()["Reservations"] for instance in page["Instances"]]


def states(ec2: EC2Client) -> dict[str, str]:
    return {instance["InstanceId"]: instance["State"]["Name"] for instance in instances(ec2)}


def launched_by_somebody_else(ec2: EC2Client) -> dict[str, Any]:
    [instance] = ec2.run_instances(ImageId=IMAGE_ID, MinCount=1, MaxCount=1)["Instances"]
    return {"name": instance["PrivateDnsName"], "machineId": instance["InstanceId"]}


def wait_until(is_so: Callable[[], bool]) -> None:
    patience = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < patience
        time.sleep(0.02)


def settings(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"providerType": "aws", "aws": {"region": REGION, "endpointUrl": endpoint}, **more}


def record_of(hostfactory: HostFactory, request_id: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((hostfactory.state / f"requests/{request_id}.json").read_text())
    return content


def another_installation(
    hostfactory: HostFactory, top: Path, name: str, endpoint: str, subnet: str
) -> HostFactory:
    other = HostFactory(top / "another host factory", name)
    other.configure(settings(endpoint))
    other.offer(template(subnet))
    return other


def test_machines_are_requested_polled_and_returned_in_parts(hostfactory: HostFactory, ec2: EC2Client) -> None:
    answer = hostfactory.answered("requestMachines", demand("small", 3))
    assert answer.keys() == {"requestId", "message"}
    [status] = hostfactory.poll(answer["requestId"])
    assert status.keys() == {"requestId", "status", "message", "machines"}
    assert (status["status"], status["message"]) == ("complete", "3 of 3 ready")
    machines = status["machines"]
    assert {machine["machineId"] for machine in machines} == {*states(ec2)}

    first, *rest = machines
    [status] = hostfactory.poll(hostfactory.give_back(first))
    assert (status["status"], [machine["result"] for machine in status["machines"]]) == ("complete", ["succeed"])
    assert sorted(states(ec2).values()) == ["running", "running", "terminated"]
    assert states(ec2)[first["machineId"]] == "terminated"

    assert hostfactory.returned(*rest)["status"] == "complete"
    assert set(states(ec2).values()) == {"terminated"}


def test_a_machine_is_reported_as_the_contract_has_it(hostfactory: HostFactory, ec2: EC2Client) -> None:
    [machine] = hostfactory.machines("small", 1)
    [instance] = instances(ec2)
    assert machine == {
        "machineId": instance["InstanceId"],
        "name": instance["PrivateDnsName"],
        "result": "succeed",
        "status": "running",
        "privateIpAddress": instance["PrivateIpAddress"],
        "publicIpAddress": instance["PublicIpAddress"],
        "launchtime": int(instance["LaunchTime"].timestamp()),
        "message": "",
        "priceType": "ondemand",
        "instanceType": "m5.large",
        "instanceTags": "",
        "cloudHostId": None,
    }
    assert type(machine["launchtime"]) is int
    returned = hostfactory.returned(machine)["machines"]
    assert returned == [
        {
            **{key: value for key, value in machine.items() if key != "publicIpAddress"},
            "status": "terminated",
        }
    ]


def test_machines_and_volumes_carry_the_templates_tags_and_ours(
    hostfactory: HostFactory, ec2: EC2Client, subnets: list[str]
) -> None:
    hostfactory.offer(template(subnets[0], instanceTags="project=risk;owner=grid team"))
    request_id = hostfactory.request("small", 1)
    installation = (hostfactory.state / "installation").read_text().strip()
    expected = {
        "project": "risk",
        "owner": "grid team",
        "hfplugin:provider": "awsinst",
        "hfplugin:installation": installation,
        "hfplugin:request-id": request_id,
        "hfplugin:template-id": "small",
        "hfplugin:attempt": "1",
    }
    [instance] = instances(ec2)
    [volume] = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
    )["Volumes"]
    for tags in (instance["Tags"], volume["Tags"]):
        assert {tag["Key"]: tag["Value"] for tag in tags} == expected
    assert (volume["Encrypted"], instance["MetadataOptions"]["HttpTokens"]) == (True, "required")
    [status] = hostfactory.poll(request_id)
    assert status["machines"][0]["instanceTags"] == "project=risk;owner=grid team"


def test_user_data_arrives_in_the_machine(
    hostfactory: HostFactory, ec2: EC2Client, subnets: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "boot script.sh"
    script.write_text("#!/bin/bash\n# Grüße\n", encoding="utf-8")
    hostfactory.offer(template(subnets[0], userDataScript=str(script)))
    [machine] = hostfactory.machines("small", 1)
    attribute = ec2.describe_instance_attribute(InstanceId=machine["machineId"], Attribute="userData")
    assert base64.b64decode(attribute["UserData"]["Value"]).decode() == "#!/bin/bash\n# Grüße\n"


def test_a_request_is_cut_to_what_max_number_leaves(hostfactory: HostFactory, ec2: EC2Client) -> None:
    first, _ = hostfactory.machines("few", 2)
    cut = hostfactory.answered("requestMachines", demand("few", 5))
    assert cut["message"].startswith("cut from 5 to 1: maxNumber is 3")
    assert len(instances(ec2)) == 3

    assert "nothing is left of its maxNumber 3" in hostfactory.refused("requestMachines", demand("few", 1))
    assert len(instances(ec2)) == 3

    assert hostfactory.returned(first)["status"] == "complete"
    assert len(hostfactory.machines("few", 1)) == 1


def test_machines_terminated_outside_leave_room_under_max_number(hostfactory: HostFactory, ec2: EC2Client) -> None:
    machines = hostfactory.machines("few", 3)
    ec2.terminate_instances(InstanceIds=[machine["machineId"] for machine in machines[:2]])
    answer = hostfactory.answered("requestMachines", demand("few", 5))
    assert answer["message"].startswith("cut from 5 to 2")


def test_an_unknown_template_is_refused_with_the_known_ones(hostfactory: HostFactory, ec2: EC2Client) -> None:
    message = hostfactory.refused("requestMachines", demand("smal", 1))
    assert message == "unknown templateId 'smal'; known: small, few"
    assert instances(ec2) == []


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"subnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"securityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"imageId": "ami-0fffffffffffffff0"}, "InvalidAMIID.NotFound"),
        ({"keyName": "nobody"}, "InvalidKeyPair.NotFound"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_aws_calls_invalid_is_refused_with_its_reason(
    hostfactory: HostFactory, ec2: EC2Client, subnets: list[str], keys: dict[str, Any], reason: str
) -> None:
    hostfactory.offer(template(subnets[0], **keys))
    assert reason in hostfactory.refused("requestMachines", demand("small", 2))
    assert instances(ec2) == []


def test_a_request_made_while_aws_is_unreachable_is_fulfilled_once_it_is_there(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    hostfactory.configure(settings(f"http://127.0.0.1:{port}"))
    request_id = hostfactory.request("small", 2)
    [status] = hostfactory.poll(request_id)
    assert (status["status"], status["machines"]) == ("running", [])
    assert "EndpointConnectionError" in status["message"]

    hostfactory.configure(settings(emulator.url))
    assert hostfactory.poll(request_id)[0]["status"] == "running"
    [status] = hostfactory.poll(request_id)
    assert (status["status"], len(status["machines"])) == ("complete", 2)
    [status] = hostfactory.poll(request_id)
    assert status["status"] == "complete"
    assert len(emulator.machines()) == 2


@pytest.mark.parametrize("dropped", ["drop_before", "drop_after"])
def test_a_launch_without_an_answer_is_repeated_with_the_same_token_and_parameters(
    hostfactory: HostFactory, emulator: Emulator, dropped: str
) -> None:
    emulator.fault(dropped, action="RunInstances", times=1)
    request_id = hostfactory.request("small", 1)
    hostfactory.poll(request_id)
    [status] = hostfactory.poll(request_id)
    assert (status["status"], len(status["machines"])) == ("complete", 1)
    first, again = emulator.calls("RunInstances")
    assert (first["outcome"], again["outcome"]) == (dropped, "ok")
    assert first["params"] == again["params"]
    assert len(emulator.machines()) == 1


def test_a_call_killed_between_launch_and_answer_leaves_a_record_that_a_poll_finishes(
    hostfactory: HostFactory, emulator: Emulator
) -> None:
    emulator.fault("hang_after", action="RunInstances", times=1)
    with hostfactory.start("requestMachines", demand("small", 1)) as killed:
        wait_until(lambda: len(emulator.machines()) == 1)
        killed.kill()
        assert killed.communicate() == ("", "")
    emulator.lift()

    [request_id] = [file.stem for file in (hostfactory.state / "requests").glob("*.json")]
    [launch] = record_of(hostfactory, request_id)["launches"]
    assert emulator.calls("RunInstances")[0]["params"]["ClientToken"] == launch["token"]
    assert "state" not in launch  # planned: no outcome is recorded

    hostfactory.poll(request_id)
    first, replay = emulator.calls("RunInstances")
    assert first["params"] == replay["params"]
    [status] = hostfactory.poll(request_id)
    assert (status["status"], len(status["machines"])) == ("complete", 1)
    assert len(emulator.calls("RunInstances")) == 2


def test_a_machine_is_returned_by_its_name_alone(hostfactory: HostFactory, ec2: EC2Client) -> None:
    machines = hostfactory.machines("small", 2)
    status = hostfactory.returned({"name": machines[0]["name"]})
    assert [machine["machineId"] for machine in status["machines"]] == [machines[0]["machineId"]]
    assert (status["status"], status["machines"][0]["result"]) == ("complete", "succeed")
    assert states(ec2) == {machines[0]["machineId"]: "terminated", machines[1]["machineId"]: "running"}


def test_a_machine_that_no_record_knows_is_returned_by_its_tags(hostfactory: HostFactory, ec2: EC2Client) -> None:
    one, other = hostfactory.machines("small", 2)
    for record in (hostfactory.state / "requests").iterdir():
        record.unlink()
    status = hostfactory.returned(one, {"name": other["name"]})
    assert status["status"] == "complete"
    assert {machine["machineId"] for machine in status["machines"]} == {one["machineId"], other["machineId"]}
    assert set(states(ec2).values()) == {"terminated"}


def test_a_return_of_unknown_and_foreign_machines_succeeds_and_touches_nothing(
    hostfactory: HostFactory, ec2: EC2Client
) -> None:
    foreign = launched_by_somebody_else(ec2)
    status = hostfactory.returned(UNKNOWN_MACHINE, foreign, {"name": "nobody"}, {"machineId": "garbage"})
    assert status["status"] == "complete"
    assert [(machine["result"], machine["message"]) for machine in status["machines"]] == [
        ("succeed", "not known to the cloud: nothing to return"),
        ("succeed", "not launched by this provider: left untouched"),
        ("succeed", "not known to the cloud: nothing to return"),
        ("succeed", "not known to the cloud: nothing to return"),
    ]
    assert states(ec2) == {foreign["machineId"]: "running"}


def test_a_foreign_machine_with_the_name_of_ours_is_not_touched(hostfactory: HostFactory, ec2: EC2Client) -> None:
    foreign = launched_by_somebody_else(ec2)
    assert hostfactory.returned({"name": foreign["name"]})["status"] == "complete"
    assert states(ec2) == {foreign["machineId"]: "running"}


def test_a_machine_named_twice_is_returned_once(hostfactory: HostFactory) -> None:
    [machine] = hostfactory.machines("small", 1)
    status = hostfactory.returned(machine, machine, {"name": machine["name"]})
    assert [entry["machineId"] for entry in status["machines"]] == [machine["machineId"]]


def test_every_repetition_of_a_return_gets_an_id_of_its_own_and_succeeds(
    hostfactory: HostFactory, ec2: EC2Client
) -> None:
    [machine] = hostfactory.machines("small", 1)
    ids = [hostfactory.give_back(machine) for _ in range(3)]
    assert len(set(ids)) == 3
    answers = hostfactory.poll(*ids)
    assert [answer["status"] for answer in answers] == ["complete"] * 3
    assert [[entry["machineId"] for entry in answer["machines"]] for answer in answers] == [
        [machine["machineId"]]
    ] * 3
    assert states(ec2) == {machine["machineId"]: "terminated"}


def test_a_return_of_nothing_is_refused(hostfactory: HostFactory) -> None:
    assert "at least one machine" in hostfactory.refused("requestReturnMachines", {"machines": []})
    assert "at least one machine" in hostfactory.refused("requestReturnMachines", {})


def test_hosts_that_are_gone_or_stopped_are_to_be_given_up_and_no_others(
    hostfactory: HostFactory, ec2: EC2Client
) -> None:
    terminated, stopped, healthy, returned = hostfactory.machines("small", 4)
    foreign = launched_by_somebody_else(ec2)
    hostfactory.returned(returned)
    ec2.terminate_instances(InstanceIds=[terminated["machineId"]])
    ec2.stop_instances(InstanceIds=[stopped["machineId"]])
    lost = hostfactory.lost(terminated, stopped, healthy, returned, foreign, UNKNOWN_MACHINE)
    assert lost == [
        {"machine": machine["name"], "machineId": machine["machineId"], "gracePeriod": 0}
        for machine in (terminated, stopped)
    ]
    assert hostfactory.lost(terminated) == lost[:1], "repeated until it is returned"
    assert hostfactory.lost({"name": stopped["name"]}) == lost[1:]
    assert hostfactory.returned(terminated, stopped)["status"] == "complete"
    assert hostfactory.lost(terminated, stopped, healthy) == []


def test_no_host_is_given_up_when_none_is_named(hostfactory: HostFactory) -> None:
    answer = hostfactory.answered("getReturnRequests", {})
    assert (answer["status"], answer["requests"]) == ("complete", [])


def test_no_host_is_given_up_while_aws_is_unreachable(hostfactory: HostFactory) -> None:
    machines = hostfactory.machines("small", 2)
    hostfactory.configure(settings("http://127.0.0.1:1"))
    hosts = {"machines": [{"name": machine["name"]} for machine in machines]}
    assert "EndpointConnectionError" in hostfactory.refused("getReturnRequests", hosts)


def test_many_ids_are_answered_in_order_and_garbage_spoils_none(hostfactory: HostFactory) -> None:
    first = hostfactory.request("small", 1)
    [machine] = hostfactory.poll(first)[0]["machines"]
    second = hostfactory.request("small", 1)
    given_back = hostfactory.give_back(machine)
    garbage = ["nonsense", "../../etc/passwd", "req-", "ret-1", first.upper(), "ü" * 300]
    asked = [UNKNOWN_REQUEST, given_back, *garbage, second, UNKNOWN_RETURN, first, second]
    answers = dict(zip(asked, hostfactory.poll(*asked), strict=True))
    assert {id_ for id_, answer in answers.items() if answer["status"] == "complete"} == {
        first,
        second,
        given_back,
    }
    for unknown in (UNKNOWN_REQUEST, UNKNOWN_RETURN, *garbage):
        assert answers[unknown] == {
            "requestId": unknown,
            "status": "complete_with_error",
            "message": "unknown request id",
            "machines": [],
        }


def test_a_lost_record_is_rebuilt_from_tags(hostfactory: HostFactory, ec2: EC2Client) -> None:
    request_id = hostfactory.request("small", 2)
    [before] = hostfactory.poll(request_id)
    (hostfactory.state / f"requests/{request_id}.json").unlink()
    [after] = hostfactory.poll(request_id)
    assert after["status"] == "complete"
    assert by_id(after["machines"]) == by_id(before["machines"])
    assert hostfactory.returned(*after["machines"])["status"] == "complete"
    assert set(states(ec2).values()) == {"terminated"}


def by_id(machines: list[dict[str, Any]]) -> dict[str, Any]:
    return {machine["machineId"]: machine for machine in machines}


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "gen', b"\0" * 512], ids=["empty", "torn", "zeros"])
def test_a_damaged_record_is_set_aside_and_rebuilt_from_tags(hostfactory: HostFactory, content: bytes) -> None:
    request_id = hostfactory.request("small", 1)
    [before] = hostfactory.poll(request_id)
    record = hostfactory.state / f"requests/{request_id}.json"
    record.write_bytes(content)
    [after] = hostfactory.poll(request_id)
    assert (after["status"], after["machines"]) == ("complete", before["machines"])
    [aside] = record.parent.glob("*.damaged-*")
    assert aside.read_bytes() == content
    assert record_of(hostfactory, request_id)["id"] == request_id


def test_a_missing_record_never_terminates_anything(hostfactory: HostFactory, ec2: EC2Client) -> None:
    machines = hostfactory.machines("small", 2)
    for record in (hostfactory.state / "requests").iterdir():
        record.unlink()
    hostfactory.lost(*machines)
    hostfactory.machines("few", 1)
    hostfactory.poll(UNKNOWN_REQUEST)
    assert set(states(ec2).values()) == {"running"}


def test_a_provider_of_another_name_has_no_part_in_our_machines(
    hostfactory: HostFactory, ec2: EC2Client, emulator: Emulator, subnets: list[str], tmp_path: Path
) -> None:
    other = another_installation(hostfactory, tmp_path, "awsother", emulator.url, subnets[0])
    request_id = hostfactory.request("small", 1)
    [machine] = hostfactory.poll(request_id)[0]["machines"]
    assert other.poll(request_id)[0]["message"] == "unknown request id"
    [returned] = other.returned(machine)["machines"]
    assert (returned["result"], returned["message"]) == (
        "succeed",
        "not launched by this provider: left untouched",
    )
    assert other.lost(machine) == []
    assert set(states(ec2).values()) == {"running"}


def test_an_installation_of_the_same_name_finds_our_request_only_by_its_id(
    hostfactory: HostFactory, ec2: EC2Client, emulator: Emulator, subnets: list[str], tmp_path: Path
) -> None:
    other = another_installation(hostfactory, tmp_path, hostfactory.name, emulator.url, subnets[0])
    request_id = hostfactory.request("small", 1)
    [ours] = hostfactory.poll(request_id)[0]["machines"]
    [theirs] = other.machines("small", 1)
    assert theirs["machineId"] != ours["machineId"]
    installations = {
        tag["Value"]
        for instance in instances(ec2)
        for tag in instance["Tags"]
        if tag["Key"] == "hfplugin:installation"
    }
    assert len(installations) == 2
    [seen] = other.poll(request_id)
    assert [machine["machineId"] for machine in seen["machines"]] == [ours["machineId"]]
    assert set(states(ec2).values()) == {"running"}
    [status] = hostfactory.poll(request_id)
    assert (status["status"], [machine["machineId"] for machine in status["machines"]]) == (
        "complete",
        [ours["machineId"]],
    )


def test_nothing_is_written_outside_of_the_work_and_log_directories(hostfactory: HostFactory) -> None:
    top = hostfactory.conf.parents[2]
    before = {path for path in top.rglob("*") if path.is_file()}
    hostfactory.returned(*hostfactory.machines("small", 1))
    new = {path for path in top.rglob("*") if path.is_file()} - before
    outside = {path for path in new if hostfactory.state not in path.parents and path.parent != hostfactory.log}
    assert {path.name.rstrip("0123456789") for path in outside} == {"hf_in_"}
    assert [path.name for path in hostfactory.log.iterdir()] == ["awsinst-provider.management1.log"]
    for path in new - outside:
        if hostfactory.state in path.parents:
            assert path.stat().st_mode & 0o077 == 0, path
