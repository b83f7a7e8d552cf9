"""EC2 Fleet: the launch templates and the call that a template, or the file it names, becomes (golden files)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import golden_case
import pytest
from botocore.validate import ParamValidator
from fake_ec2 import IMAGE, FakeAWS, FakeClients

from hfplugin import catalog
from hfplugin.environment import Environment
from hfplugin.model import Launch, LaunchState, Template
from hfplugin.providers.aws import launch_templates, tags
from hfplugin.providers.aws.handlers.ec2_fleet import EC2Fleet
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Order, Plan
from hfplugin.providers.base.registry import TemplateExtensionRegistry

if TYPE_CHECKING:
    from botocore.model import Shape

CASES = golden_case.cases("fleets", {"template.json"}, "calls.json")
OF_FILES = golden_case.cases("fleet-files", {"template.json", "fleet.json"}, "calls.json")
every_case = pytest.mark.parametrize("case", [*CASES, *OF_FILES], ids=lambda case: case.name)

REQUEST_ID = "req-00000000-0000-4000-8000-000000000000"
CONTEXT = Context("prod1", "abc", Cache("/nonexistent"), Health())
UNITS = 10
NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z

LAUNCH_TEMPLATES: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("lt-0123456789abcdef0", "3"): (
        3,
        {
            "ImageId": IMAGE,
            "InstanceType": "m5.large",
            "UserData": "IyEvYmluL3NoCg==",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "grid"}]}],
        },
    ),
    ("lt-0123456789abcdef0", "$Default"): (7, {"ImageId": IMAGE, "KeyName": "seven"}),
    ("grid-x86", "$Default"): (2, {"ImageId": IMAGE, "KeyName": "two"}),
}


@pytest.fixture
def aws() -> FakeAWS:
    return FakeAWS(launch_templates=LAUNCH_TEMPLATES)


def template_of(case: Path, directory: Path) -> Template:
    """The template as a call finds it: read from the files and compiled."""
    raw = (case / "template.json").read_text(encoding="utf-8")
    (directory / "prod1prov_config.json").write_text('{"providerType": "aws"}')
    (directory / "prod1prov_templates.json").write_text(f'{{"templates": [{raw}]}}')
    if (case / "fleet.json").exists():
        (directory / "fleet.json").write_bytes((case / "fleet.json").read_bytes())
    places = {f"HF_PROVIDER_{kind}DIR": str(directory) for kind in ("CONF", "WORK", "LOG")}
    environment = Environment({"HF_PROVIDER_NAME": "prod1", **places})
    [template] = catalog.Catalog(catalog.load(environment)).templates
    return template


def planned(clients: FakeClients, template: Template, units: int = UNITS, **history: Any) -> Plan:
    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    handler = EC2Fleet(clients, CONTEXT, lambda: NOON)
    plan = handler.plan(extension, Order(REQUEST_ID, 1, template, units, **history))
    assert isinstance(plan, Plan)
    return plan


def calls(plan: Plan) -> dict[str, Any]:
    """What is sent of a plan, except for the token: the launch templates, and the call."""
    made = [plan.params, *plan.params.get(launch_templates.MORE, ())]
    shown = {each["LaunchTemplateName"]: each["LaunchTemplateData"] for each in made}
    return {"LaunchTemplates": shown, "CreateFleet": plan.params["Call"], "UserData": plan.user_data}


def golden(case: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((case / "calls.json").read_text(encoding="utf-8"))
    return content


@cache
def shape(name: str) -> Shape:
    return botocore.session.get_session().get_service_model("ec2").shape_for(name)


@every_case
def test_a_template_becomes_the_golden_calls(case: Path, clients: FakeClients, tmp_path: Path) -> None:
    golden_case.check(case / "calls.json", calls(planned(clients, template_of(case, tmp_path))))


@every_case
def test_the_golden_calls_fit_botocores_model_of_ec2(case: Path) -> None:
    found = golden(case)
    reports = [ParamValidator().validate(found["CreateFleet"], shape("CreateFleetRequest"))] + [
        ParamValidator().validate(content, shape("RequestLaunchTemplateData"))
        for content in found["LaunchTemplates"].values()
    ]
    assert [report.generate_report() for report in reports if report.has_errors()] == []


@every_case
def test_all_that_comes_carries_our_tags(case: Path) -> None:
    found = golden(case)
    call = found["CreateFleet"]
    specifications = [call["TagSpecifications"]]
    if call["Type"] != "instant":
        specifications = [content["TagSpecifications"] for content in found["LaunchTemplates"].values()]
    for each in specifications:
        tagged = {part["ResourceType"]: tags.as_dict(part["Tags"]) for part in each}
        assert {tagged[kind][tags.REQUEST_ID] for kind in ("instance", "volume")} == {REQUEST_ID}


@every_case
def test_the_target_is_what_was_ordered_and_its_parts_add_up(case: Path) -> None:
    target = golden(case)["CreateFleet"]["TargetCapacitySpecification"]
    assert target["TotalTargetCapacity"] == UNITS
    assert target["OnDemandTargetCapacity"] + target["SpotTargetCapacity"] == UNITS


@every_case
def test_a_fleet_never_ends_machines_by_itself(case: Path) -> None:
    call = golden(case)["CreateFleet"]
    if call["Type"] == "instant":
        assert "ValidUntil" not in call
    else:
        assert call["TerminateInstancesWithExpiration"] is False
    if call["Type"] == "maintain":
        assert call["ExcessCapacityTerminationPolicy"] == "no-termination"


@every_case
def test_every_launch_template_is_ours_and_noted_for_removal(
    case: Path, clients: FakeClients, tmp_path: Path
) -> None:
    plan = planned(clients, template_of(case, tmp_path))
    named = {
        each["LaunchTemplateSpecification"]["LaunchTemplateName"]
        for each in plan.params["Call"]["LaunchTemplateConfigs"]
    }
    assert named == {*calls(plan)["LaunchTemplates"]}
    assert {launch_templates.remains(name) for name in named} <= {*plan.remains}


def test_a_record_keeps_the_plan_as_it_is(clients: FakeClients, tmp_path: Path) -> None:
    case = golden_case.GOLDEN / "fleet-files/two-launch-templates"
    plan = planned(clients, template_of(case, tmp_path))
    assert json.loads(json.dumps(plan.params)) == plan.params


def test_units_of_a_file_are_weighed_as_its_overrides_say(clients: FakeClients, tmp_path: Path) -> None:
    case = golden_case.GOLDEN / "fleet-files/placeholders-without-quotes"
    plan = planned(clients, template_of(case, tmp_path))
    assert (plan.units, plan.weights) == (UNITS, {"c5.xlarge": 1, "c5.2xlarge": 2})


def test_what_spot_did_not_give_a_heterogeneous_file_is_bought_on_demand(
    clients: FakeClients, tmp_path: Path
) -> None:
    case = golden_case.GOLDEN / "fleet-files/placeholders-without-quotes"
    template = template_of(case, tmp_path)
    mixed = template._replace(extension={**template.extension, "priceType": "heterogeneous"})
    first = planned(clients, mixed)
    past = Launch(
        1, "t", "EC2Fleet", first.region, first.account, first.place, {}, 10, 0.0, state=LaunchState.SETTLED
    )
    after = planned(clients, mixed, 4, past=(past,), exhausted=frozenset({1}))
    target = after.params["Call"]["TargetCapacitySpecification"]
    assert (target["OnDemandTargetCapacity"], target["SpotTargetCapacity"]) == (4, 0)


@pytest.mark.parametrize(
    ("state", "asked", "on_demand"),
    [
        (LaunchState.SETTLED, 500, 0),
        (LaunchState.SETTLED, 2, 1),
        (LaunchState.UNKNOWN, 500, 0),
        (LaunchState.REFUSED, 500, 3),
    ],
)
def test_the_base_on_demand_is_had_once_of_a_request_in_many_fleets(
    clients: FakeClients, state: LaunchState, asked: int, on_demand: int
) -> None:
    raw = {"imageId": IMAGE, "vmType": "m5.large", "subnetId": "subnet-a", "priceType": "spot"}
    template = Template("compute", "aws", 100, {}, {**raw, "onDemandBaseCapacity": 3})
    past = Launch(1, "t", "EC2Fleet", "eu-central-1", "", "elsewhere", {}, asked, 0.0, state=state)
    target = planned(clients, template, 10, past=(past,)).params["Call"]["TargetCapacitySpecification"]
    assert (target["OnDemandTargetCapacity"], target["SpotTargetCapacity"]) == (on_demand, 10 - on_demand)


@pytest.mark.parametrize(
    ("keys", "dropped"),
    [
        ({"vmType": "m5.xlarge"}, {"InstanceRequirements"}),
        ({"instanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 1}}}, {"InstanceType"}),
        ({}, set()),
    ],
    ids=str,
)
def test_an_administrators_own_types_give_way_to_the_templates(
    clients: FakeClients, aws: FakeAWS, keys: dict[str, Any], dropped: set[str]
) -> None:
    theirs = {"ImageId": IMAGE, "InstanceType": "m5.large", "InstanceRequirements": {"VCpuCount": {"Min": 2}}}
    aws.launch_templates["lt-0123456789abcdef1", "$Default"] = (1, theirs)
    raw = {"launchTemplateId": "lt-0123456789abcdef1", "providerApi": "EC2Fleet", "encrypted": False, **keys}
    content = planned(clients, Template("compute", "aws", 100, {}, raw)).params["LaunchTemplateData"]
    assert theirs.keys() - content.keys() == dropped


@pytest.mark.parametrize(("units", "most"), [(800, 500), (500, 500), (3, 3)])
def test_an_instant_fleet_of_a_file_is_cut_into_batches(
    clients: FakeClients, tmp_path: Path, units: int, most: int
) -> None:
    case = golden_case.GOLDEN / "fleet-files/placeholders-without-quotes"
    assert planned(clients, template_of(case, tmp_path), units).units == most


def test_a_check_of_a_file_tries_every_override(clients: FakeClients, aws: FakeAWS, tmp_path: Path) -> None:
    template = template_of(golden_case.GOLDEN / "fleet-files/two-launch-templates", tmp_path)
    extension = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    trials = list(EC2Fleet(clients, CONTEXT).trials(extension, Order("req-check", 1, template, 1)))
    for _, trial in trials:
        trial()
    assert [name for name, _ in trials] == [
        "eu-central-1/LaunchTemplateConfigs[0]/subnet-0a0a0a0a/m5.large",
        "eu-central-1/LaunchTemplateConfigs[1]/subnet-0b0b0b0b/m5a.large",
    ]
    tried = [(call["KeyName"], call["SubnetId"], call["InstanceType"]) for call in aws.called("RunInstances")]
    assert tried == [("two", "subnet-0a0a0a0a", "m5.large"), ("seven", "subnet-0b0b0b0b", "m5a.large")]
