"""RunInstances: what a template becomes (golden calls), where it is launched, and what came of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import golden_case
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.validate import ParamValidator
from fake_ec2 import ACCOUNT, AWAY, HOME, IMAGE, FakeAWS, FakeClients, FaultError

from hfplugin import catalog
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.model import Launch, LaunchState, Refusal, Template
from hfplugin.providers.aws.handlers import run_instances
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Nowhere, Order, Plan
from hfplugin.providers.base.registry import TemplateExtensionRegistry

if TYPE_CHECKING:
    from botocore.model import Shape

CASES = golden_case.cases("aws", {"template.json"}, "call.json")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

USER_DATA = "#!/bin/bash\n# Grüße\n. /opt/ibm/profile.platform\negosh ego start\n"

REQUEST_ID = "req-00000000-0000-4000-8000-000000000000"
TOKEN = "0" * 48
UNITS = 10
OUR_TAGS = {
    "hfplugin:provider": "prod1",
    "hfplugin:installation": "abc",
    "hfplugin:request-id": REQUEST_ID,
    "hfplugin:attempt": "1",
}

LAUNCH_TEMPLATES: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("lt-0123456789abcdef0", "$Default"): (7, {"ImageId": IMAGE, "InstanceType": "m5.large"}),
    ("lt-0123456789abcdef0", "3"): (3, {"InstanceType": "m5.large"}),
    ("lt-0123456789abcdef0", "$Latest"): (
        12,
        {
            "ImageId": IMAGE,
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True, "VolumeSize": 500}}],
            "MetadataOptions": {"State": "applied", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        },
    ),
    ("lt-0fedcba9876543210", "$Default"): (1, {"ImageId": "resolve:ssm:/grid/compute:3"}),
}


@pytest.fixture
def aws() -> FakeAWS:
    return FakeAWS(parameters={"/grid/compute:3": IMAGE}, launch_templates=LAUNCH_TEMPLATES)


@cache
def input_shape() -> Shape:
    model = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("RunInstances").input_shape
    assert shape is not None
    return shape


def read(case: Path, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((case / file).read_text(encoding="utf-8"))
    return content


def compiled(case: Path, directory: Path) -> Template:
    """The template as a call finds it: read from the files and compiled."""
    raw = read(case, "template.json")
    if raw.get("userDataScript") == "$USER_DATA":
        (directory / "boot.sh").write_text(USER_DATA, encoding="utf-8")
        raw["userDataScript"] = str(directory / "boot.sh")
    (directory / "prod1prov_config.json").write_text('{"providerType": "aws"}')
    (directory / "prod1prov_templates.json").write_text(json.dumps({"templates": [raw]}))
    places = {f"HF_PROVIDER_{kind}DIR": str(directory) for kind in ("CONF", "WORK", "LOG")}
    environment = Environment({"HF_PROVIDER_NAME": "prod1", **places})
    [template] = catalog.Catalog(catalog.load(environment)).templates
    return template


def template_of(**keys: Any) -> Template:
    """A template with one subnet and one type, and what is laid over it."""
    raw = {"imageId": IMAGE, "subnetId": "subnet-a", "vmType": "m5.large", **keys}
    extension = {key: value for key, value in raw.items() if key != "allOrNothing" and value is not None}
    return Template("compute", "aws", 100, {}, extension, all_or_nothing=bool(raw.get("allOrNothing")))


def extension_of(template: Template) -> AWSTemplate:
    extension: AWSTemplate = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    return extension


def plan(clients: FakeClients, template: Template, units: int = UNITS, **history: Any) -> Plan | Nowhere:
    order = Order(REQUEST_ID, len(history.get("past", ())) + 1, template, units, **history)
    context = Context("prod1", "abc", Cache("/nonexistent"), Health())
    return run_instances.plan(clients, context, extension_of(template), order)


def planned(clients: FakeClients, template: Template, units: int = UNITS, **history: Any) -> Plan:
    found = plan(clients, template, units, **history)
    assert isinstance(found, Plan)
    return found


def frozen(
    plan: Plan, attempt: int = 1, state: LaunchState = LaunchState.PLANNED, errors: tuple[Refusal, ...] = ()
) -> Launch:
    """The launch that a record keeps of a plan, as it is read back."""
    read = plan._replace(params=json.loads(json.dumps(plan.params)))
    return read.frozen(attempt, TOKEN, 0.0)._replace(state=state, errors=errors)


def root_volumes(call: dict[str, Any]) -> list[dict[str, Any]]:
    return [mapping["Ebs"] for mapping in call.get("BlockDeviceMappings", [])]


@every_case
def test_a_template_becomes_the_golden_call(case: Path, clients: FakeClients, tmp_path: Path) -> None:
    found = planned(clients, compiled(case, tmp_path))
    golden_case.check(case / "call.json", run_instances.call_parameters(frozen(found), found.user_data))


@every_case
def test_a_golden_call_fits_botocores_model_of_ec2(case: Path) -> None:
    report = ParamValidator().validate(read(case, "call.json"), input_shape())
    assert not report.has_errors(), report.generate_report()


@every_case
def test_the_second_metadata_service_is_required_unless_the_template_says_otherwise(case: Path) -> None:
    wanted = read(case, "template.json").get("httpTokens", "required")
    options = read(case, "call.json")["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpEndpoint"]) == (wanted, "enabled")
    of_the_launch_template = 2 if case.name == "launch-template-with-its-own-volumes" else 1
    assert options["HttpPutResponseHopLimit"] == of_the_launch_template


@every_case
def test_the_root_volume_is_encrypted_and_ends_with_its_machine(case: Path) -> None:
    volumes = root_volumes(read(case, "call.json"))
    if read(case, "template.json").get("encrypted", True):
        leaves_volumes_alone = case.name == "launch-template-with-its-own-volumes"
        assert len(volumes) == (0 if leaves_volumes_alone else 1)
        assert all(volume["Encrypted"] is True for volume in volumes)
    else:
        assert not any("Encrypted" in volume for volume in volumes)
    assert all(volume["DeleteOnTermination"] is True for volume in volumes)


@every_case
def test_machine_and_volumes_carry_the_templates_tags_and_ours(case: Path, tmp_path: Path) -> None:
    template = compiled(case, tmp_path)
    specifications = read(case, "call.json")["TagSpecifications"]
    assert [specification["ResourceType"] for specification in specifications] == ["instance", "volume"]
    for specification in specifications:
        tags = {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
        assert tags.pop("hfplugin:units", "1") == str(_weight(read(case, "template.json")))
        assert tags == {**template.tags, **OUR_TAGS, "hfplugin:template-id": template.id}


def _weight(template: dict[str, Any]) -> int:
    return int(next(iter(template.get("vmTypes", {"": 1}).values())))


@every_case
def test_user_data_is_in_the_call_but_not_in_what_a_record_keeps(
    case: Path, clients: FakeClients, tmp_path: Path
) -> None:
    found = planned(clients, compiled(case, tmp_path))
    assert "UserData" not in found.params
    is_given = "userDataScript" in read(case, "template.json")
    assert read(case, "call.json").get("UserData") == (USER_DATA if is_given else None)


@every_case
def test_as_many_as_can_be_had_are_asked_for_unless_it_is_all_or_nothing(case: Path) -> None:
    template, call = read(case, "template.json"), read(case, "call.json")
    weight = next(iter(template.get("vmTypes", {}).values()), 1)
    assert call["MaxCount"] == -(-UNITS // weight)
    assert call["MinCount"] == (call["MaxCount"] if template.get("allOrNothing") else 1)


@every_case
def test_a_machine_that_shuts_itself_down_is_terminated(case: Path) -> None:
    assert read(case, "call.json")["InstanceInitiatedShutdownBehavior"] == "terminate"


def test_a_launch_template_is_pinned_to_the_number_of_its_version() -> None:
    launch_templates = {case.name: read(case, "call.json").get("LaunchTemplate") for case in CASES}
    assert {name: used["Version"] for name, used in launch_templates.items() if used} == {
        "launch-template": "7",
        "launch-template-and-image": "3",
        "launch-template-with-its-own-volumes": "12",
        "launch-template-whose-image-may-change": "1",
    }


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("image-from-ssm", IMAGE),
        ("launch-template-whose-image-may-change", IMAGE),
        ("launch-template", None),
        ("launch-template-and-image", IMAGE),
    ],
)
def test_an_image_is_said_where_a_replay_could_mean_another_one(name: str, image: str | None) -> None:
    assert read(golden_case.GOLDEN / "aws" / name, "call.json").get("ImageId") == image


def test_places_are_tried_type_by_type_and_subnet_by_subnet(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b", vmType=None, vmTypes={"m5.large": 1, "m5.xlarge": 1})
    past: tuple[Launch, ...] = ()
    while isinstance(
        found := plan(clients, template, past=past, exhausted=frozenset(range(1, len(past) + 1))), Plan
    ):
        past += (frozen(found, len(past) + 1, LaunchState.REFUSED),)
    assert [launch.place for launch in past] == [
        "eu-central-1/subnet-a/m5.large",
        "eu-central-1/subnet-b/m5.large",
        "eu-central-1/subnet-a/m5.xlarge",
        "eu-central-1/subnet-b/m5.xlarge",
    ]
    assert [(launch.params["SubnetId"], launch.params["InstanceType"]) for launch in past] == [
        ("subnet-a", "m5.large"),
        ("subnet-b", "m5.large"),
        ("subnet-a", "m5.xlarge"),
        ("subnet-b", "m5.xlarge"),
    ]


def test_a_place_that_is_not_exhausted_is_asked_again(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b")
    first = frozen(planned(clients, template), state=LaunchState.SETTLED)
    assert planned(clients, template, units=3, past=(first,)).place == first.place


def test_a_type_over_quota_is_not_tried_in_another_subnet(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b", vmType=None, vmTypes={"m5.large": 1, "c5.large": 1})
    quota = Refusal(ErrorKind.QUOTA, "VcpuLimitExceeded", "")
    first = frozen(planned(clients, template), state=LaunchState.REFUSED, errors=(quota,))
    after = planned(clients, template, past=(first,), exhausted=frozenset({1}))
    assert after.place == "eu-central-1/subnet-a/c5.large"


def test_a_launch_templates_own_type_over_quota_is_not_tried_in_another_subnet(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b", vmType=None, launchTemplateId="lt-0123456789abcdef0")
    quota = Refusal(ErrorKind.QUOTA, "VcpuLimitExceeded", "")
    first = frozen(planned(clients, template), state=LaunchState.REFUSED, errors=(quota,))
    assert plan(clients, template, past=(first,), exhausted=frozenset({1})) == Nowhere()


def test_a_call_asks_for_500_machines_at_most(clients: FakeClients) -> None:
    found = planned(clients, template_of(), units=1201)
    assert (found.params["MinCount"], found.params["MaxCount"], found.units) == (1, 500, 500)


def test_calls_are_halved_by_throttling_and_doubled_again_by_success(clients: FakeClients) -> None:
    throttled = {
        "state": LaunchState.REFUSED,
        "errors": (Refusal(ErrorKind.THROTTLED, "RequestLimitExceeded", ""),),
    }
    past: tuple[Launch, ...] = ()
    sizes = []
    for outcome in (
        throttled,
        throttled,
        throttled,
        {"state": LaunchState.SETTLED},
        {"state": LaunchState.SETTLED},
    ):
        found = planned(clients, template_of(), units=5000, past=past)
        sizes.append(found.params["MaxCount"])
        past += (frozen(found, **outcome)._replace(attempt=len(past) + 1),)
    assert sizes == [500, 250, 125, 62, 124]


def test_throttling_in_one_region_makes_no_call_smaller_in_another(clients: FakeClients) -> None:
    template = template_of(regionOverrides={AWAY: {"subnetId": "subnet-z"}})
    throttled = Refusal(ErrorKind.THROTTLED, "RequestLimitExceeded", "")
    first = frozen(planned(clients, template), state=LaunchState.REFUSED, errors=(throttled,))
    second = first._replace(attempt=2, errors=(Refusal(ErrorKind.CAPACITY, "InsufficientInstanceCapacity", ""),))
    found = planned(clients, template, units=900, past=(first, second), exhausted=frozenset({2}))
    assert (found.region, found.params["MaxCount"]) == (AWAY, 500)


def test_all_or_nothing_holds_for_each_call_of_a_large_order(clients: FakeClients) -> None:
    found = planned(clients, template_of(allOrNothing=True), units=1201)
    assert (found.params["MinCount"], found.params["MaxCount"]) == (500, 500)


@pytest.mark.parametrize(("units", "machines"), [(1, 1), (4, 1), (5, 2), (10, 3), (12, 3)])
def test_units_are_rounded_up_to_whole_machines(clients: FakeClients, units: int, machines: int) -> None:
    found = planned(clients, template_of(vmType=None, vmTypes={"m5.xlarge": 4}), units)
    assert (found.params["MaxCount"], found.units, found.weight) == (machines, machines * 4, 4)


def test_a_rest_is_rounded_down_to_whole_machines(clients: FakeClients) -> None:
    template = template_of(subnetId="subnet-a,subnet-b", vmType=None, vmTypes={"m5.xlarge": 4})
    first = frozen(planned(clients, template, units=14), state=LaunchState.SETTLED)
    rest = planned(clients, template, units=6, past=(first,))
    assert (rest.params["MaxCount"], rest.units) == (1, 4)
    assert plan(clients, template, units=2, past=(first,)) == Nowhere()


def test_a_rest_goes_to_a_type_that_it_fills(clients: FakeClients) -> None:
    template = template_of(vmType=None, vmTypes={"m5.4xlarge": 8, "m5.large": 1})
    first = frozen(planned(clients, template, units=17), state=LaunchState.SETTLED)
    assert planned(clients, template, units=1, past=(first,)).place.endswith("/m5.large")


@pytest.mark.parametrize("state", [LaunchState.REFUSED, LaunchState.SETTLED])
def test_what_replaces_a_fruitless_launch_is_rounded_up(clients: FakeClients, state: LaunchState) -> None:
    template = template_of(subnetId="subnet-a,subnet-b", vmType=None, vmTypes={"m5.xlarge": 4})
    first = frozen(planned(clients, template, units=1), state=state)
    assert planned(clients, template, units=1, past=(first,), exhausted=frozenset({1})).units == 4


def test_an_order_that_was_cut_to_a_full_batch_is_continued_rounded_up(clients: FakeClients) -> None:
    template = template_of(vmType=None, vmTypes={"m5.xlarge": 4})
    first = frozen(planned(clients, template, units=2002), state=LaunchState.SETTLED)
    assert (first.units, planned(clients, template, units=2, past=(first,)).units) == (2000, 4)


def test_the_root_device_is_named_as_the_image_has_it(clients: FakeClients, aws: FakeAWS) -> None:
    aws.images["ami-0000000b"] = "/dev/nvme0"
    [mapping] = planned(clients, template_of(imageId="ami-0000000b")).params["BlockDeviceMappings"]
    assert mapping["DeviceName"] == "/dev/nvme0"


def test_the_plan_says_where_it_launches_and_for_whom(clients: FakeClients) -> None:
    found = planned(clients, template_of())
    assert (found.api, found.region, found.account) == ("RunInstances", HOME, ACCOUNT)


def test_planning_only_reads(clients: FakeClients, aws: FakeAWS) -> None:
    planned(clients, template_of(imageId="resolve:ssm:/grid/compute:3"))
    assert set(aws.call_count) == {"GetCallerIdentity", "GetParameter", "DescribeImages"}


def test_user_data_that_is_too_large_is_refused_with_the_limit(clients: FakeClients, tmp_path: Path) -> None:
    script = tmp_path / "boot.sh"
    script.write_text("ü" * 8192, encoding="utf-8")
    assert len(planned(clients, template_of(userDataScript=str(script))).user_data.encode()) == 16384
    script.write_text("ü" * 8192 + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"boot\.sh is larger than EC2's limit of 16384 bytes"):
        plan(clients, template_of(userDataScript=str(script)))


def test_user_data_that_is_missing_is_refused_by_name(clients: FakeClients, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"boot\.sh cannot be read: No such file"):
        plan(clients, template_of(userDataScript=str(tmp_path / "boot.sh")))


def test_user_data_that_is_not_utf8_is_refused_by_name(clients: FakeClients, tmp_path: Path) -> None:
    (tmp_path / "boot.sh").write_bytes(b"#!/bin/sh\n\xff\n")
    with pytest.raises(ConfigurationError, match=r"boot\.sh cannot be read: not UTF-8"):
        plan(clients, template_of(userDataScript=str(tmp_path / "boot.sh")))


def test_user_data_keeps_its_line_ends(clients: FakeClients, tmp_path: Path) -> None:
    (tmp_path / "boot.ps1").write_bytes(b"<powershell>\r\n</powershell>\r\n")
    found = planned(clients, template_of(userDataScript=str(tmp_path / "boot.ps1")))
    assert found.user_data == "<powershell>\r\n</powershell>\r\n"


def test_credentials_that_do_not_serve_are_found_out_before_anything_is_frozen(
    aws: FakeAWS, tmp_path: Path
) -> None:
    aws.faults["AssumeRole"] = [FaultError("AccessDenied", "not for you", 403)]
    role = "arn:aws:iam::999988887777:role/grid"
    clients = FakeClients(aws, tmp_path / "cache", assume_role_arn=role)
    with pytest.raises(ProviderError, match="not for you"):
        plan(clients, template_of(rootDeviceName="/dev/xvda"))


def test_a_launch_brings_its_machines(clients: FakeClients, aws: FakeAWS) -> None:
    outcome = run_instances.launch(clients, frozen(planned(clients, template_of())), "")
    assert outcome.state is LaunchState.SETTLED
    assert [sighting.id for sighting in outcome.sightings] == [*aws.instances]
    assert {sighting.request_id for sighting in outcome.sightings} == {REQUEST_ID}
    assert (outcome.account, outcome.resource_id) == (ACCOUNT, "r-" + "0" * 17)


def test_fewer_machines_than_asked_for_are_no_failure(clients: FakeClients, aws: FakeAWS) -> None:
    aws.capacity["subnet-a", "m5.large"] = 7
    outcome = run_instances.launch(clients, frozen(planned(clients, template_of())), "")
    assert (outcome.state, len(outcome.sightings)) == (LaunchState.SETTLED, 7)


def test_a_replay_is_byte_identical_and_brings_the_same_machines(clients: FakeClients, aws: FakeAWS) -> None:
    launch = frozen(planned(clients, template_of()))
    first = run_instances.launch(clients, launch, "#!/bin/sh\n")
    again = run_instances.launch(clients, launch._replace(state=LaunchState.UNKNOWN), "#!/bin/sh\n")
    one, other = (json.dumps(call) for call in aws.called("RunInstances"))
    assert one == other
    assert again == first
    assert len(aws.instances) == UNITS


def test_no_capacity_is_a_refusal_although_ec2_says_it_as_a_server_error(
    clients: FakeClients, aws: FakeAWS
) -> None:
    aws.capacity["subnet-a", "m5.large"] = 0
    outcome = run_instances.launch(clients, frozen(planned(clients, template_of())), "")
    assert outcome.state is LaunchState.REFUSED
    [error] = outcome.errors
    assert (error.kind, error.code) == (ErrorKind.CAPACITY, "InsufficientInstanceCapacity")
    assert error.place == "eu-central-1/subnet-a/m5.large"


@pytest.mark.parametrize(
    "code", ["InvalidSubnetID.NotFound", "UnauthorizedOperation", "RequestLimitExceeded", "VcpuLimitExceeded"]
)
def test_a_definite_answer_to_the_first_try_is_a_refusal(clients: FakeClients, aws: FakeAWS, code: str) -> None:
    aws.faults["RunInstances"] = [FaultError(code)]
    outcome = run_instances.launch(clients, frozen(planned(clients, template_of())), "")
    assert (outcome.state, outcome.errors[0].code) == (LaunchState.REFUSED, code)


@pytest.mark.parametrize(
    "code", ["InternalError", "Unavailable", "IdempotentParameterMismatch", "IdempotentInstanceTerminated"]
)
def test_an_answer_that_does_not_exclude_a_launch_leaves_it_unknown(
    clients: FakeClients, aws: FakeAWS, code: str
) -> None:
    aws.faults["RunInstances"] = [FaultError(code, status=500)]
    outcome = run_instances.launch(clients, frozen(planned(clients, template_of())), "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.UNKNOWN, ErrorKind.TRANSIENT)


@pytest.mark.parametrize("code", ["InvalidSubnetID.NotFound", "ExpiredToken", "InsufficientInstanceCapacity"])
def test_a_refusal_of_a_replay_proves_nothing_of_the_first_try(
    clients: FakeClients, aws: FakeAWS, code: str
) -> None:
    launch = frozen(planned(clients, template_of()), state=LaunchState.UNKNOWN)
    aws.faults["RunInstances"] = [FaultError(code)]
    assert run_instances.launch(clients, launch, "").state is LaunchState.UNKNOWN


def test_a_lost_answer_leaves_the_launch_unknown(
    clients: FakeClients, aws: FakeAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = frozen(planned(clients, template_of()))
    answer = aws.answer

    def lose(*call: Any) -> dict[str, Any]:
        answer(*call)
        raise ReadTimeoutError(endpoint_url="https://ec2.amazonaws.com")

    monkeypatch.setattr(aws, "answer", lose)
    assert run_instances.launch(clients, launch, "").state is LaunchState.UNKNOWN
    monkeypatch.setattr(aws, "answer", answer)
    replayed = run_instances.launch(clients, launch._replace(state=LaunchState.UNKNOWN), "")
    assert [sighting.id for sighting in replayed.sightings] == [*aws.instances]


def test_an_unreachable_region_leaves_the_launch_unknown(clients: FakeClients, aws: FakeAWS) -> None:
    launch = frozen(planned(clients, template_of()))
    aws.dark.add(HOME)
    assert run_instances.launch(clients, launch, "").state is LaunchState.UNKNOWN


def test_a_launch_is_not_replayed_in_another_account(clients: FakeClients, aws: FakeAWS) -> None:
    launch = frozen(planned(clients, template_of()))._replace(account="999988887777", state=LaunchState.UNKNOWN)
    outcome = run_instances.launch(clients, launch, "")
    assert (outcome.state, outcome.errors[0].code) == (LaunchState.UNKNOWN, "WrongAccount")
    assert "RunInstances" not in aws.call_count


def test_credentials_that_are_gone_at_a_replay_leave_the_launch_unknown(
    clients: FakeClients, aws: FakeAWS, tmp_path: Path
) -> None:
    launch = frozen(planned(clients, template_of()))._replace(account="", state=LaunchState.UNKNOWN)
    later = FakeClients(aws, tmp_path, credential_file=str(tmp_path / "missing"))
    outcome = run_instances.launch(later, launch, "")
    assert (outcome.state, outcome.errors[0].kind) == (LaunchState.UNKNOWN, ErrorKind.INVALID)
    assert "missing cannot be read" in outcome.errors[0].message


def test_a_dry_run_that_would_succeed_is_silent(clients: FakeClients, aws: FakeAWS) -> None:
    run_instances.dry_run(clients, planned(clients, template_of()))
    assert aws.instances == {}
    assert aws.called("RunInstances")[0]["DryRun"] is True


def test_a_dry_run_raises_what_ec2_would_say(clients: FakeClients, aws: FakeAWS) -> None:
    aws.faults["RunInstances"] = [FaultError("UnauthorizedOperation", "no", 403)]
    with pytest.raises(ProviderError, match="UnauthorizedOperation: no"):
        run_instances.dry_run(clients, planned(clients, template_of()))


@pytest.mark.parametrize("answer", [{}, {"Instances": [{"InstanceId": "i-0", "State": {"Name": "haunted"}}]}])
def test_an_answer_that_is_not_ec2s_leaves_the_launch_unknown(
    clients: FakeClients, aws: FakeAWS, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    launch = frozen(planned(clients, template_of()))
    monkeypatch.setattr(aws, "answer", lambda operation, region, parameters: answer)
    outcome = run_instances.launch(clients, launch, "")
    assert (outcome.state, outcome.look_only) == (LaunchState.UNKNOWN, False)
