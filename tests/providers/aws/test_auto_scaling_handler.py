"""Auto Scaling groups: what a template becomes (golden calls), what is adopted, and how machines leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import golden_case
import pytest
from botocore.validate import ParamValidator
from fake_ec2 import ACCOUNT, IMAGE, FakeClients

from hfplugin import catalog
from hfplugin.emulator import CREDENTIALS, IMAGE_ID, REGION, Emulator
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Refusal, Template
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.errors import code_of_activity, kind_of
from hfplugin.providers.aws.handlers.auto_scaling import AutoScaling
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Located, Nowhere, Order, Plan, Released, Source
from hfplugin.providers.base.registry import TemplateExtensionRegistry

CASES = golden_case.cases("groups", {"template.json"}, "call.json")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

REQUEST_ID = "req-00000000-0000-4000-8000-000000000000"
UNITS = 10
CONTEXT = Context("prod1", "abc", Cache("/nonexistent"), Health())
TERMINATION = "TerminateInstanceInAutoScalingGroup"


def read(case: Path, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((case / file).read_text(encoding="utf-8"))
    return content


def compiled(raw: dict[str, Any], directory: Path) -> Template:
    """The template as a call finds it: read from the files and compiled."""
    (directory / "prod1prov_config.json").write_text('{"providerType": "aws"}')
    (directory / "prod1prov_templates.json").write_text(json.dumps({"templates": [raw]}))
    places = {f"HF_PROVIDER_{kind}DIR": str(directory) for kind in ("CONF", "WORK", "LOG")}
    environment = Environment({"HF_PROVIDER_NAME": "prod1", **places})
    [template] = catalog.Catalog(catalog.load(environment)).templates
    return template


def extension_of(template: Template) -> AWSTemplate:
    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    return extension


def template_of(**keys: Any) -> Template:
    raw = {"imageId": IMAGE, "subnetId": "subnet-a", "vmType": "m5.large", "providerApi": "ASG", **keys}
    return Template("compute", "aws", 100, {}, {key: value for key, value in raw.items() if value is not None})


def planned(clients: Clients, template: Template, units: int = UNITS, **history: Any) -> Plan:
    order = Order(REQUEST_ID, len(history.get("past", ())) + 1, template, units, **history)
    found = AutoScaling(clients, CONTEXT).plan(extension_of(template), order)
    assert isinstance(found, Plan)
    return found


def frozen(plan: Plan, state: LaunchState = LaunchState.PLANNED) -> Launch:
    """The launch that a record keeps of a plan, as it is read back."""
    return plan._replace(params=json.loads(json.dumps(plan.params))).frozen(1, "0" * 48, 0.0)._replace(state=state)


# What a template becomes


@every_case
def test_a_template_becomes_the_golden_call(case: Path, clients: FakeClients, tmp_path: Path) -> None:
    found = planned(clients, compiled(read(case, "template.json"), tmp_path))
    assert found.account == ACCOUNT
    golden_case.check(case / "call.json", found.params)


@every_case
@pytest.mark.parametrize(
    ("service", "operation"),
    [("autoscaling", "CreateAutoScalingGroup"), ("ec2", "CreateLaunchTemplate")],
)
def test_a_golden_call_fits_botocores_model(case: Path, service: str, operation: str) -> None:
    golden = read(case, "call.json")
    names = ("LaunchTemplateName", "LaunchTemplateData")
    call = golden["Call"] if service == "autoscaling" else {name: golden[name] for name in names}
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(call, shape)
    assert not report.has_errors(), report.generate_report()


@every_case
def test_a_group_never_ends_machines_by_itself_and_can_always_be_lowered(case: Path) -> None:
    call = read(case, "call.json")["Call"]
    assert (call["MinSize"], call["MaxSize"], call["DesiredCapacity"]) == (0, UNITS, UNITS)
    assert (call["NewInstancesProtectedFromScaleIn"], call["CapacityRebalance"]) == (True, False)


@every_case
def test_a_group_has_one_source_of_machines(case: Path) -> None:
    """API_CreateAutoScalingGroup.html: a launch template or a mixed instances policy, not both."""
    assert len({"LaunchTemplate", "MixedInstancesPolicy"} & read(case, "call.json")["Call"].keys()) == 1


def test_the_name_is_the_same_for_every_try_and_another_for_every_attempt(clients: FakeClients) -> None:
    first, again = (planned(clients, template_of()) for _ in range(2))
    assert first.params == again.params
    other = planned(clients, template_of(), past=(frozen(first),))
    assert name_of(other) == f"hf-prod1-abc-{REQUEST_ID}-2" != name_of(first)


def name_of(plan: Plan | Launch) -> str:
    name: str = plan.params["Call"]["AutoScalingGroupName"]
    return name


def test_requests_of_a_template_share_a_launch_template_whose_volumes_have_its_tags(clients: FakeClients) -> None:
    template = template_of(instanceTags={"project": "risk"})
    first = planned(clients, template)
    other = planned(clients, template, past=(frozen(first),))
    assert first.params["LaunchTemplateName"] == other.params["LaunchTemplateName"]
    [volumes] = first.params["LaunchTemplateData"]["TagSpecifications"]
    assert volumes["ResourceType"] == "volume"
    assert {tag["Key"] for tag in volumes["Tags"]} == {
        "project",
        "hfplugin:provider",
        "hfplugin:installation",
        "hfplugin:template-id",
    }


def test_a_fraction_of_a_percent_counts_for_on_demand(clients: FakeClients) -> None:
    template = template_of(priceType="heterogeneous", onDemandTargetCapacityRatio=0.331)
    policy = planned(clients, template).params["Call"]["MixedInstancesPolicy"]
    assert policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 34


def test_two_subnets_of_a_zone_are_one_try(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b,subnet-a")
    first = planned(clients, template)
    assert first.params["Call"]["VPCZoneIdentifier"] == "subnet-a,subnet-b"
    order = Order(REQUEST_ID, 2, template, 1, past=(frozen(first),), exhausted=frozenset({1}))
    assert AutoScaling(clients, CONTEXT).plan(extension_of(template), order) == Nowhere()


def test_what_a_heterogeneous_group_could_not_give_is_bought_on_demand(clients: FakeClients) -> None:
    template = template_of(priceType="heterogeneous")
    first = planned(clients, template)
    rest = planned(clients, template, 3, past=(frozen(first),), exhausted=frozenset({1}))
    assert rest.params["Call"]["LaunchTemplate"]["LaunchTemplateName"] == rest.params["LaunchTemplateName"]
    assert rest.params["LaunchTemplateData"]["InstanceType"] == "m5.large"


# Reasons


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        (
            "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your "
            "request configuration. Please adjust your request and try again. Launching EC2 instance failed.",
            "UnfulfillableCapacity",
            ErrorKind.CAPACITY,
        ),
        (
            "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than "
            "your current vCPU limit of 0 allows. Launching EC2 instance failed.",
            "VcpuLimitExceeded",
            ErrorKind.QUOTA,
        ),
        (
            "We currently do not have sufficient m5.large capacity in the Availability Zone you requested "
            "(eu-central-1a).",
            "InsufficientInstanceCapacity",
            ErrorKind.CAPACITY,
        ),
        ("Your Spot request price of 0.001 is lower than the minimum", "SpotMaxPriceTooLow", ErrorKind.CAPACITY),
    ],
)
def test_the_code_behind_a_scaling_activity_is_known(text: str, code: str, kind: ErrorKind) -> None:
    assert code_of_activity(text) == code
    assert kind_of(code) is kind


def test_an_unknown_text_of_a_scaling_activity_has_no_code() -> None:
    assert code_of_activity("A solar flare. Launching EC2 instance failed.") == ""


# On the emulator


@pytest.fixture
def scaling(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """The provider's own clients of the emulated AWS."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Clients(
        AWSSettings(region=REGION, endpoint_url=emulator.url), "prod1", Cache(str(tmp_path / "cache")), Health()
    )


@pytest.fixture
def handler(scaling: Clients) -> AutoScaling:
    return AutoScaling(scaling, CONTEXT)


def launched(scaling: Clients, units: int = 4, **keys: Any) -> Launch:
    """A group that was made, and its launch."""
    plan = planned(scaling, template_of(**{"imageId": IMAGE_ID, "subnetId": None, **keys}), units)
    launch = frozen(plan)
    outcome = AutoScaling(scaling, CONTEXT).launch(launch, "")
    assert outcome.state is LaunchState.ACCEPTED, outcome
    return launch._replace(state=outcome.state, resource_id=outcome.resource_id)


def members(handler: AutoScaling, launch: Launch) -> list[Located]:
    return [Located(each.id, each.region, each.account) for each in handler.gather(launch).sightings]


def release(handler: AutoScaling, launch: Launch, machines: list[Located]) -> Released:
    return handler.release(Source(launch, {}), machines)


def ids(machines: list[Located]) -> frozenset[str]:
    return frozenset(machine.id for machine in machines)


def alive(emulator: Emulator) -> set[str]:
    return {machine.id for machine in emulator.alive()}


def group(emulator: Emulator) -> dict[str, Any]:
    [found] = emulator.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return dict(found)


def names(emulator: Emulator) -> list[str]:
    return [each["id"] for each in emulator.resources() if each["kind"] == "group"]


def test_without_subnets_a_group_is_in_every_default_one(
    scaling: Clients, emulator: Emulator, subnets: list[str]
) -> None:
    launched(scaling, 6)
    assert set(group(emulator)["VPCZoneIdentifier"].split(",")) == set(subnets)


def test_a_repeated_launch_is_the_same_group(handler: AutoScaling, scaling: Clients, emulator: Emulator) -> None:
    launch = launched(scaling)
    emulator.client("autoscaling").resume_processes(AutoScalingGroupName=name_of(launch))
    again = handler.launch(launch._replace(state=LaunchState.UNKNOWN), "")
    assert (again.state, again.resource_id) == (LaunchState.ACCEPTED, name_of(launch))
    assert len(group(emulator)["SuspendedProcesses"]) == 3
    assert len(alive(emulator)) == 4


def test_a_group_of_others_with_our_name_is_refused_and_left_alone(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    plan = planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None))
    theirs = launched(scaling, 1)
    emulator.client("autoscaling").create_or_update_tags(
        Tags=[
            {
                "ResourceId": name_of(theirs),
                "ResourceType": "auto-scaling-group",
                "Key": "hfplugin:installation",
                "Value": "another",
                "PropagateAtLaunch": True,
            }
        ]
    )
    launch = frozen(plan)
    outcome = handler.launch(launch, "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.REFUSED, ErrorKind.INVALID)
    assert name_of(launch) in str(outcome.errors[0])
    assert handler.find(launch, REQUEST_ID).state is LaunchState.UNKNOWN
    handler.remove(launch, launch.remains)
    assert names(emulator) == [name_of(theirs)]


def test_a_launch_of_unknown_outcome_is_found_by_name(handler: AutoScaling, scaling: Clients) -> None:
    launch = frozen(planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None)))
    assert handler.find(launch, REQUEST_ID).state is LaunchState.UNKNOWN
    launched(scaling)
    found = handler.find(launch, REQUEST_ID)
    assert (found.state, found.resource_id) == (LaunchState.ACCEPTED, name_of(launch))


def test_a_group_that_is_not_shown_yet_is_not_taken_for_gone(handler: AutoScaling, scaling: Clients) -> None:
    launch = frozen(planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None)))
    for look in (lambda: handler.gather(launch), lambda: handler.stop(launch, {})):
        with pytest.raises(ProviderError) as caught:
            look()
        assert caught.value.kind is ErrorKind.TRANSIENT


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_deleted_group_brings_no_more(
    handler: AutoScaling, scaling: Clients, emulator: Emulator, seconds: int
) -> None:
    """API_AutoScalingGroup.html: Status is there while the deletion is in progress."""
    emulator.configure(shutdown_seconds=seconds)
    launch = launched(scaling)
    machines = members(handler, launch)
    emulator.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=name_of(launch), ForceDelete=True
    )
    assert handler.gather(launch).state is LaunchState.SETTLED
    handler.stop(launch, {"ondemand": 4})
    assert release(handler, launch, machines).going == ids(machines)
    handler.remove(launch, launch.remains)
    emulator.advance(seconds)
    assert emulator.resources() == []


def test_a_machine_on_its_way_out_is_no_member(handler: AutoScaling, scaling: Clients, emulator: Emulator) -> None:
    emulator.configure(shutdown_seconds=60)
    launch = launched(scaling)
    first, *rest = members(handler, launch)
    assert release(handler, launch, [first]).going == {first.id}
    assert members(handler, launch) == rest
    assert release(handler, launch, [first]).going == {first.id}
    assert group(emulator)["DesiredCapacity"] == 3


def test_refused_capacity_is_told_with_its_reason_once(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    emulator.configure(capacity={"*/m5.large/*": 1})
    launch = launched(scaling, 9)
    outcome = handler.gather(launch)
    assert len(outcome.sightings) == 3
    assert {(error.kind, error.code) for error in outcome.errors} == {
        (ErrorKind.CAPACITY, "InsufficientInstanceCapacity")
    }
    assert len(set(outcome.errors)) == len(outcome.errors)


def test_a_failure_that_was_made_good_since_is_no_reason(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    emulator.configure(capacity={"*/m5.large/*": 1})
    launch = launched(scaling, 9)
    emulator.configure(capacity={"*/m5.large/*": 2}, retry_seconds=1000)
    emulator.advance(70)
    emulator.configure(capacity={})
    client = emulator.client("autoscaling")
    client.set_desired_capacity(AutoScalingGroupName=name_of(launch), DesiredCapacity=8)
    emulator.advance(10)
    emulator.configure(fleet_seconds=100)
    client.set_desired_capacity(AutoScalingGroupName=name_of(launch), DesiredCapacity=9)
    outcome = handler.gather(launch)
    assert (len(outcome.sightings), outcome.errors) == (8, ())


def test_every_page_of_activities_is_read(handler: AutoScaling, scaling: Clients) -> None:
    launch = launched(scaling, 150)
    pages = list(handler._activities(launch))
    assert len(pages) == 2
    assert len({each["ActivityId"] for page in pages for each in page}) == 150


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The specified launch template, with template name "
            "hf-x, does not exist.",
        ),
        ("InvalidLaunchTemplateName.NotFoundException", "no such template"),
    ],
)
def test_a_launch_template_that_vanishes_is_made_again(
    handler: AutoScaling, scaling: Clients, emulator: Emulator, code: str, message: str
) -> None:
    launch = frozen(planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None)))
    emulator.fault("error", action="CreateAutoScalingGroup", code=code, message=message, status=400, times=1)
    assert handler.launch(launch, "").state is LaunchState.ACCEPTED
    assert len(emulator.calls("CreateLaunchTemplate")) == 2


def test_what_else_is_wrong_with_a_launch_template_is_refused_at_once(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = frozen(planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None)))
    text = "You must use a valid fully-formed launch template. The image id '[ami-1]' does not exist"
    emulator.fault("error", action="CreateAutoScalingGroup", code="ValidationError", message=text, status=400)
    outcome = handler.launch(launch, "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.REFUSED, ErrorKind.INVALID)
    assert len(emulator.calls("CreateLaunchTemplate")) == 1


def test_machines_leave_in_calls_of_100(handler: AutoScaling, scaling: Clients, emulator: Emulator) -> None:
    launch = launched(scaling, 250)
    machines = members(handler, launch)
    assert release(handler, launch, machines) == Released(going=ids(machines))
    assert [len(_ids_of(call)) for call in emulator.calls(TERMINATION)] == [100, 100, 50]
    assert group(emulator)["DesiredCapacity"] == 0


def _ids_of(call: dict[str, Any]) -> list[str]:
    found: list[str] = call["params"]["InstanceIds"]
    return found


def test_heavy_machines_beyond_the_target_leave_too_and_none_comes_instead(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling, 10, vmType=None, vmTypes={"m5.2xlarge": 4})
    first, *rest = machines = members(handler, launch)
    assert len(machines) == 3
    assert release(handler, launch, rest).going == ids(rest)
    assert group(emulator)["DesiredCapacity"] == 2
    assert release(handler, launch, [first]).going == {first.id}
    emulator.advance(600)
    assert (group(emulator)["DesiredCapacity"], alive(emulator)) == (0, set())
    assert len(emulator.machines()) == 3


def test_one_that_is_no_member_any_more_does_not_spoil_the_others(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling)
    machines = members(handler, launch)
    text = f"Instance Id not found - No managed instance found for instance ID {machines[1].id}"
    emulator.fault("error", action=TERMINATION, code="ValidationError", message=text, times=1)
    assert release(handler, launch, machines).going == ids(machines)
    assert [len(_ids_of(call)) for call in emulator.calls(TERMINATION)] == [4, 3]


def test_what_aws_calls_wrong_without_naming_one_is_refused(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling)
    machines = members(handler, launch)
    emulator.fault("error", action=TERMINATION, code="ValidationError", message="no")
    released = release(handler, launch, machines)
    assert not released.going
    assert released.refused.keys() == ids(machines)
    assert isinstance(released.refused[machines[0].id], Refusal)


@pytest.mark.parametrize("code", ["ScalingActivityInProgress", "ResourceContention"])
def test_a_group_that_is_busy_is_asked_again_by_the_next_poll(
    handler: AutoScaling, scaling: Clients, emulator: Emulator, code: str
) -> None:
    launch = launched(scaling)
    machines = members(handler, launch)
    emulator.fault("error", action=TERMINATION, code=code, times=1)
    assert release(handler, launch, machines) == Released()
    assert release(handler, launch, machines).going == ids(machines)


def test_a_stopped_group_never_grows_and_keeps_what_it_holds(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling)
    handler.stop(launch, {"ondemand": 2, "spot": 1})
    handler.stop(launch, {"ondemand": 4})
    assert (group(emulator)["DesiredCapacity"], group(emulator)["MaxSize"]) == (3, 3)
    emulator.advance(600)
    assert len(alive(emulator)) == 4  # they are protected: the late one is released by name
    emulator.terminate(*alive(emulator))
    emulator.advance(600)
    assert alive(emulator) == set()


def test_dead_and_late_machines_leave_before_a_group_is_removed(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling)
    handler.stop(launch, {})
    dead, *_ = members(handler, launch)
    emulator.terminate(dead.id)
    handler.remove(launch, launch.remains)
    assert (alive(emulator), emulator.resources()) == (set(), [])


def test_a_group_that_holds_a_strangers_machine_is_not_removed(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling, 1)
    [ours] = members(handler, launch)
    release(handler, launch, [ours])
    [theirs] = emulator.ec2().run_instances(ImageId=IMAGE_ID, MinCount=1, MaxCount=1)["Instances"]
    client = emulator.client("autoscaling")
    client.update_auto_scaling_group(AutoScalingGroupName=name_of(launch), MaxSize=2)
    client.attach_instances(AutoScalingGroupName=name_of(launch), InstanceIds=[theirs["InstanceId"]])
    with pytest.raises(ProviderError, match="detach it"):
        handler.remove(launch, launch.remains)
    assert alive(emulator) == {theirs["InstanceId"]}


def test_a_group_that_still_ends_machines_is_removed_later(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    emulator.configure(shutdown_seconds=30)
    launch = launched(scaling)
    release(handler, launch, members(handler, launch))
    with pytest.raises(ProviderError) as caught:
        handler.remove(launch, launch.remains)
    assert caught.value.kind is ErrorKind.TRANSIENT
    emulator.advance(30)
    handler.remove(launch, launch.remains)
    assert emulator.resources() == []


def test_a_template_is_tried_in_each_subnet(handler: AutoScaling, emulator: Emulator, subnets: list[str]) -> None:
    template = template_of(imageId=IMAGE_ID, subnetId=",".join(subnets[:2]))
    tried = []
    for place, trial in handler.trials(extension_of(template), Order(REQUEST_ID, 1, template, 1)):
        trial()
        tried.append(place)
    assert len(tried) == 2
    assert (emulator.machines(), emulator.resources()) == ([], [])


def test_a_type_is_found_for_the_dry_run_of_requirements(handler: AutoScaling, emulator: Emulator) -> None:
    wanted = {"VCpuCount": {"Min": 4}, "MemoryMiB": {"Min": 8192}}
    template = template_of(imageId=IMAGE_ID, subnetId=None, vmType=None, instanceRequirements=wanted)
    [(_, trial)] = handler.trials(extension_of(template), Order(REQUEST_ID, 1, template, 1))
    trial()
    [call] = emulator.calls("RunInstances")
    assert call["params"]["InstanceType"]


def test_a_region_without_a_default_network_needs_subnets(
    handler: AutoScaling, emulator: Emulator, scaling: Clients
) -> None:
    for subnet in emulator.ec2().describe_subnets()["Subnets"]:
        emulator.ec2().delete_subnet(SubnetId=subnet["SubnetId"])
    with pytest.raises(ConfigurationError, match="subnetId is missing"):
        planned(scaling, template_of(imageId=IMAGE_ID, subnetId=None))


def test_a_termination_without_an_answer_is_not_repeated_by_the_same_call(
    handler: AutoScaling, scaling: Clients, emulator: Emulator
) -> None:
    launch = launched(scaling)
    machines = members(handler, launch)
    emulator.fault("drop_before", action=TERMINATION, times=1)
    assert release(handler, launch, machines[:2]) == Released()
    assert len(emulator.calls(TERMINATION)) == 1
