"""How machines are, and what EC2 schedules for them.

API_X.html lies under https://docs.aws.amazon.com/AWSEC2/latest/APIReference/, the others under
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ec2_calls import SPOT, launch, refusal, seen

from hfplugin.emulator import Emulator, EmulatorError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def shown(ec2: EC2Client, **params: Any) -> dict[str, Any]:
    """Give the status of each machine of every page."""
    pages = ec2.get_paginator("describe_instance_status").paginate(**params)
    return {each["InstanceId"]: each for page in pages for each in page["InstanceStatuses"]}


def having(**filters: list[str]) -> Any:
    return [
        {"Name": name.replace("_", ".", 1).replace("_", "-"), "Values": each} for name, each in filters.items()
    ]


def test_a_running_machine_passes_its_checks_and_has_no_events(ec2: EC2Client) -> None:
    """API_InstanceStatus.html"""
    [machine] = launch(ec2)
    status = shown(ec2)[machine]
    assert (status["InstanceState"]["Name"], status["AvailabilityZone"]) == ("running", "eu-central-1a")
    assert (status["InstanceStatus"]["Status"], status["SystemStatus"]["Status"]) == ("ok", "ok")
    assert status.get("Events", []) == []


def test_only_running_machines_are_shown_unless_all_are_asked_for(ec2: EC2Client, emulator: Emulator) -> None:
    """API_DescribeInstanceStatus.html (IncludeAllInstances)"""
    running, stopped = launch(ec2, 2)
    emulator.stop(stopped)
    assert set(shown(ec2)) == {running}
    assert set(shown(ec2, IncludeAllInstances=True)) == {running, stopped}


def test_an_event_is_announced_with_its_time(ec2: EC2Client, emulator: Emulator) -> None:
    """API_InstanceStatusEvent.html"""
    [machine] = launch(ec2)
    emulator.schedule(machine, "instance-retirement", seconds=3600)
    [event] = shown(ec2)[machine]["Events"]
    assert event["Code"] == "instance-retirement"
    assert event["InstanceEventId"].startswith("instance-event-")
    assert event["NotBefore"].timestamp() == pytest.approx(emulator.advance(0) + 3600, abs=10)
    assert event["NotAfter"] > event["NotBefore"]


@pytest.mark.parametrize("code", ["instance-stop", "instance-retirement"])
def test_a_stop_or_a_retirement_stops_the_machine(code: str, ec2: EC2Client, emulator: Emulator) -> None:
    """monitoring-instances-status-check_sched.html (types of scheduled events): backed by EBS, it is stopped"""
    [machine] = launch(ec2)
    emulator.schedule(machine, code, seconds=60)
    emulator.advance(61)
    [stopped] = seen(ec2)
    assert (stopped["State"]["Name"], stopped["StateReason"]["Code"]) == ("stopped", "Server.ScheduledStop")
    [event] = shown(ec2, IncludeAllInstances=True)[machine]["Events"]
    assert event["Description"].startswith("[Completed] ")


def test_a_one_time_spot_machine_is_ended_instead(ec2: EC2Client, emulator: Emulator) -> None:
    """Of the emulator: see the docstring of hfplugin.emulator.maintenance."""
    [machine] = launch(ec2, **SPOT)
    emulator.schedule(machine, "instance-retirement", seconds=60)
    emulator.advance(61)
    assert seen(ec2)[0]["State"]["Name"] == "terminated"


@pytest.mark.parametrize("code", ["instance-reboot", "system-reboot", "system-maintenance"])
def test_other_events_leave_the_machine_running(code: str, ec2: EC2Client, emulator: Emulator) -> None:
    """monitoring-instances-status-check_sched.html (types of scheduled events)"""
    [machine] = launch(ec2)
    emulator.schedule(machine, code, seconds=60)
    emulator.advance(61)
    [event] = shown(ec2)[machine]["Events"]
    assert event["Description"].startswith("[Completed] ")


def test_what_is_called_off_does_not_happen(ec2: EC2Client, emulator: Emulator) -> None:
    """monitoring-instances-status-check_sched.html: cancelled events are shown as such"""
    [machine] = launch(ec2)
    emulator.schedule(machine, "instance-stop", seconds=60)
    emulator.call_off(machine)
    emulator.advance(61)
    [event] = shown(ec2)[machine]["Events"]
    assert event["Description"].startswith("[Canceled] ")


def test_an_event_is_shown_for_a_week_after_it_is_over(ec2: EC2Client, emulator: Emulator) -> None:
    """API_InstanceStatusEvent.html: "it can still be described for up to a week"."""
    [machine] = launch(ec2)
    emulator.schedule(machine, "system-reboot", seconds=60)
    emulator.advance(60 + 6 * 86400)
    assert len(shown(ec2)[machine]["Events"]) == 1
    emulator.advance(2 * 86400)
    assert shown(ec2)[machine].get("Events", []) == []


def test_machines_are_found_by_the_code_of_their_events(ec2: EC2Client, emulator: Emulator) -> None:
    """API_DescribeInstanceStatus.html (Filter.N: event.code)"""
    retired, rebooted, _ = launch(ec2, 3)
    emulator.schedule(retired, "instance-retirement")
    emulator.schedule(rebooted, "system-reboot")
    assert set(shown(ec2, Filters=having(event_code=["instance-retirement", "instance-stop"]))) == {retired}
    assert shown(ec2, Filters=having(event_code=["instance-stop"])) == {}


def test_machines_come_in_pages(ec2: EC2Client) -> None:
    """API_DescribeInstanceStatus.html (MaxResults)"""
    machines = launch(ec2, 7)
    pages = ec2.get_paginator("describe_instance_status").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["InstanceStatuses"]) for page in pages] == [5, 2]
    assert set(shown(ec2, InstanceIds=machines[:2])) == set(machines[:2])


def test_what_contradicts_or_exceeds_is_refused(ec2: EC2Client) -> None:
    """API_DescribeInstanceStatus.html (InstanceId.N: at most 100, and not with MaxResults)"""
    [machine] = launch(ec2)
    both = refusal(ec2.describe_instance_status, InstanceIds=[machine], MaxResults=5)
    assert both.code == "InvalidParameterCombination"
    many = refusal(ec2.describe_instance_status, InstanceIds=[f"i-{n:017x}" for n in range(101)])
    assert many.code == "InvalidParameterValue"
    unknown = refusal(ec2.describe_instance_status, Filters=[{"Name": "nonsense", "Values": ["x"]}])
    assert unknown.code == "InvalidParameterValue"


def test_only_events_that_ec2_has_can_be_scheduled(ec2: EC2Client, emulator: Emulator) -> None:
    """Of the emulator: a command that makes no sense is refused."""
    [machine] = launch(ec2)
    with pytest.raises(EmulatorError, match="EC2 has no event nonsense; known: instance-stop, "):
        emulator.schedule(machine, "nonsense")
