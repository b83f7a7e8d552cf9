"""The examples under config/: they load as shipped, both forms agree, and the policy grants what is called."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name

from hfplugin.catalog import Catalog, Compiled, load
from hfplugin.environment import Environment
from hfplugin.model import Template
from hfplugin.providers.aws import tags
from hfplugin.providers.aws.client import Clients
from hfplugin.providers.aws.configuration import AWSSettings
from hfplugin.providers.aws.handlers import run_instances
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Order, Plan
from hfplugin.providers.base.registry import TemplateExtensionRegistry

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "config"
AWS_SOURCES = sorted((ROOT / "hfplugin/providers/aws").rglob("*.py"))
FORMS = ("ibm", "own")
PROVIDER = "awsinst"

# Called by no method: a launch tags, passes a role and lets a service make its own; AWS asks for these rights too.
IMPLIED = {
    "autoscaling:CreateOrUpdateTags",
    "ec2:CreateTags",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
}
# The first needs no grant; the second is granted to whoever assumes the role that has this policy.
NOT_GRANTED = {"sts:GetCallerIdentity", "sts:AssumeRole"}

# What a batch is granted by.
# Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
BATCHES = {
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}

# AWS's limit for a managed policy, white space not counted.
LONGEST_POLICY = 6144


def compiled(form: str, directory: Path) -> Compiled:
    """Compile a pair of examples in an installation that has nothing else."""
    return load(
        Environment(
            {
                "HF_PROVIDER_NAME": PROVIDER,
                "HF_PROVIDER_CONFDIR": str(CONFIG / form),
                "HF_PROVIDER_WORKDIR": str(directory / "work"),
                "HF_PROVIDER_LOGDIR": str(directory / "log"),
            }
        )
    )


def offered(form: str, directory: Path) -> dict[str, dict[str, Any]]:
    """What HostFactory is told, by template id."""
    return {item["templateId"]: item for item in json.loads(compiled(form, directory).answer)["templates"]}


def templates(form: str, directory: Path) -> dict[str, Template]:
    return {template.id: template for template in Catalog(compiled(form, directory)).templates}


def extension(template: Template) -> AWSTemplate:
    typed = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
    assert isinstance(typed, AWSTemplate)
    return typed


def extensions(form: str, directory: Path) -> dict[str, AWSTemplate]:
    return {name: extension(template) for name, template in templates(form, directory).items()}


def read(path: Path) -> dict[str, Any]:
    """Read one of the files; a key that appears twice would silently lose its first value."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys), f"{path}: a key twice among {keys}"
        return dict(pairs)

    document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=distinct)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.json")), ids=lambda path: path.stem)
def test_every_file_is_one_json_object_without_a_key_twice(path: Path) -> None:
    assert read(path)


@pytest.mark.parametrize("form", FORMS)
def test_every_pair_loads_as_shipped_without_a_warning(form: str, tmp_path: Path) -> None:
    assert Catalog(compiled(form, tmp_path)).warnings == []


@pytest.mark.parametrize("form", FORMS)
def test_every_example_template_is_offered(form: str, tmp_path: Path) -> None:
    written = [item["templateId"] for item in read(CONFIG / form / f"{PROVIDER}prov_templates.json")["templates"]]
    assert list(offered(form, tmp_path)) == written


def test_both_configurations_mean_the_same(tmp_path: Path) -> None:
    ibm, own = (Catalog(compiled(form, tmp_path / form)).settings for form in FORMS)
    assert ibm == own


def test_templates_with_the_same_id_mean_the_same_to_hostfactory(tmp_path: Path) -> None:
    ibm, own = (offered(form, tmp_path / form) for form in FORMS)
    both = ibm.keys() & own.keys()
    assert both
    assert {name: ibm[name] for name in both} == {name: own[name] for name in both}


def test_templates_with_the_same_id_mean_the_same_to_aws(tmp_path: Path) -> None:
    ibm, own = (extensions(form, tmp_path / form) for form in FORMS)
    both = ibm.keys() & own.keys()
    assert {name: ibm[name].model_dump() for name in both} == {name: own[name].model_dump() for name in both}


def test_the_examples_show_each_service(tmp_path: Path) -> None:
    shown = {kind.service for form in FORMS for kind in extensions(form, tmp_path / form).values()}
    assert shown == {"RunInstances", "EC2Fleet", "SpotFleet", "ASG"}


def test_the_examples_of_ibms_form_show_each_price_type(tmp_path: Path) -> None:
    shown = {kind.price_type for kind in extensions("ibm", tmp_path).values()}
    assert shown == {"ondemand", "spot", "heterogeneous"}


@pytest.mark.parametrize(
    "is_shown",
    [
        pytest.param(lambda kind: len(kind.subnet_id) > 1, id="several subnets"),
        pytest.param(lambda kind: len(set(kind.vm_types.values())) > 1, id="weights"),
        pytest.param(lambda kind: kind.launch_template_id, id="a launch template"),
        pytest.param(lambda kind: kind.image_id.startswith("resolve:ssm:"), id="an image parameter"),
        pytest.param(lambda kind: kind.instance_requirements, id="attribute-based selection"),
        pytest.param(lambda kind: kind.native_spec, id="the raw door"),
        pytest.param(lambda kind: kind.fleet_type == "maintain", id="a fleet that replaces what it loses"),
    ],
)
def test_the_examples_of_our_form_show(is_shown: Any, tmp_path: Path) -> None:
    assert any(is_shown(kind) for kind in extensions("own", tmp_path).values())


def test_the_registration_fragments_fit_each_other_and_the_examples() -> None:
    [provider] = read(CONFIG / "hostfactory/hostProviders.json")["providers"]
    [plugin] = read(CONFIG / "hostfactory/hostProviderPlugins.json")["providerplugins"]
    assert provider == {
        "name": PROVIDER,
        "enabled": 1,
        "plugin": plugin["name"],
        "confPath": f"${{HF_CONFDIR}}/providers/{PROVIDER}/",
        "workPath": f"${{HF_WORKDIR}}/providers/{PROVIDER}/",
        "logPath": "${HF_LOGDIR}/",
    }
    assert plugin == {
        "name": "aws",
        "enabled": 1,
        "scriptPath": "${HF_TOP}/${HF_VERSION}/providerplugins/aws/scripts/",
    }


@pytest.mark.parametrize("name", ["hostProviders", "hostProviderPlugins"])
def test_the_registration_fragments_are_of_version_2(name: str) -> None:
    assert read(CONFIG / f"hostfactory/{name}.json")["version"] == 2


def policy() -> list[dict[str, Any]]:
    statements = read(CONFIG / "iam/policy.json")["Statement"]
    assert isinstance(statements, list)
    return statements


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def resources(action: str, condition: str = "") -> set[str]:
    """The resources on which the policy grants an action, by statements that name the condition key."""
    return {
        resource
        for statement in policy()
        if action in listed(statement["Action"]) and condition in json.dumps(statement.get("Condition", ""))
        for resource in listed(statement["Resource"])
    }


def kind_of(resource: str) -> str:
    """`instance` of arn:aws:ec2:*:123456789012:instance/*"""
    return resource.rsplit(":", 1)[-1].partition("/")[0]


def calls() -> Iterator[ast.Call]:
    for path in AWS_SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield node


def called_name(call: ast.Call) -> str:
    """The method of a call; for a paginator, the method that it repeats."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    first = call.args[0] if call.args else None
    if name == "get_paginator" and isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    return name


def called_services() -> set[str]:
    """The services that a client is made of, by the names handed to client.py's makers."""
    known = botocore.session.Session().get_available_services()
    return {
        argument.value
        for call in calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("_client", "_make")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value in known
    }


def called_actions() -> set[str]:
    """The right to every action of AWS that the source calls, as `ec2:RunInstances`."""
    session = botocore.session.Session()
    methods = {
        xform_name(operation): f"{service}:{operation}"
        for service in called_services()
        for operation in session.get_service_model(service).operation_names
    }
    actions = {methods[name] for name in [*map(called_name, calls()), *named()] if name in methods}
    return {BATCHES.get(action, action) for action in actions}


def named() -> Iterator[str]:
    """Every text in the source: pages are read by a method's name."""
    for path in AWS_SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_source_is_scanned_for_what_it_surely_calls() -> None:
    assert called_services() >= {"ec2", "ssm", "sts"}
    assert called_actions() >= {
        "ec2:RunInstances",
        "ec2:TerminateInstances",
        "ec2:DescribeInstances",  # through a paginator
        "ssm:GetParameter",
        "sts:GetCallerIdentity",
    }


def test_the_policy_grants_what_the_source_calls_and_no_more() -> None:
    granted = {action for statement in policy() for action in listed(statement["Action"])}
    assert granted == called_actions() - NOT_GRANTED | IMPLIED


def test_the_policy_only_allows_and_each_statement_has_its_own_name() -> None:
    assert {statement["Effect"] for statement in policy()} == {"Allow"}
    names = [statement["Sid"] for statement in policy()]
    assert len(set(names)) == len(names)
    assert all(name.isalnum() for name in names)


def test_the_policy_is_within_awss_limit() -> None:
    assert len("".join((CONFIG / "iam/policy.json").read_text().split())) <= LONGEST_POLICY


def test_only_machines_with_our_tag_may_be_terminated() -> None:
    [statement] = [s for s in policy() if "ec2:TerminateInstances" in listed(s["Action"])]
    assert statement["Condition"] == {"StringEquals": {f"aws:ResourceTag/{tags.PROVIDER}": PROVIDER}}


def test_only_what_a_launch_tags_has_to_carry_our_tag(tmp_path: Path) -> None:
    # A condition on the tags of what a launch creates but does not tag would refuse every launch.
    demanded = {kind_of(arn) for arn in resources("ec2:RunInstances", f"aws:RequestTag/{tags.PROVIDER}")}
    assert demanded == set(launch_tags(tmp_path))
    assert {kind_of(arn) for arn in resources("ec2:CreateTags", "ec2:CreateAction")} >= demanded


def test_everything_that_is_made_may_be_tagged() -> None:
    made = {kind_of(arn) for arn in resources("ec2:CreateFleet", f"aws:RequestTag/{tags.PROVIDER}")}
    assert {kind_of(arn) for arn in resources("ec2:CreateTags", "ec2:CreateAction")} == made


def test_a_launch_carries_the_tag_that_the_policy_demands(tmp_path: Path) -> None:
    assert {labels[tags.PROVIDER] for labels in launch_tags(tmp_path).values()} == {PROVIDER}


class Offline(Clients):
    """Clients of an account that is never asked: enough to plan a launch that leaves nothing open."""

    def account(self) -> str:
        return "123456789012"

    def require_ready(self, region: str, action: str, service: str = "ec2") -> None:
        """It always is."""


def launch_tags(directory: Path) -> dict[str, dict[str, str]]:
    """The tags of a planned launch, by the kind of what carries them."""
    cache, health = Cache(str(directory)), Health()
    clients = Offline(AWSSettings(region="us-east-1"), PROVIDER, cache, health)
    bare = Template("bare", "aws", -1, {}, {"imageId": "ami-0", "vmType": "c5.large", "encrypted": False})
    order = Order("req-0", 1, bare, 1)
    plan = run_instances.plan(clients, Context(PROVIDER, "installation", cache, health), extension(bare), order)
    assert isinstance(plan, Plan)
    return {spec["ResourceType"]: tags.as_dict(spec["Tags"]) for spec in plan.params["TagSpecifications"]}


@pytest.mark.parametrize("form", FORMS)
def test_the_policy_covers_what_the_examples_name(form: str, tmp_path: Path) -> None:
    for kind in extensions(form, tmp_path).values():
        if kind.instance_profile:
            assert f"arn:aws:iam::123456789012:role/{kind.instance_profile}" in resources("iam:PassRole")
        name = kind.image_id.removeprefix("resolve:ssm:")
        if name != kind.image_id:
            account = "" if name.startswith("/aws/") else "123456789012"
            parameter = f"arn:aws:ssm:us-east-1:{account}:parameter{name}"
            assert any(fnmatchcase(parameter, arn) for arn in resources("ssm:GetParameter")), parameter
