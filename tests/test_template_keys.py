"""Every key of a templates file changes something, is warned about or refused by name, in each way to launch."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fake_ec2 import ACCOUNT, HOME, IMAGE, FakeAWS, FakeClients
from player import HostFactory

from hfplugin.catalog import Catalog, Compiled, Sources
from hfplugin.compiler import compile_sources, own_templates
from hfplugin.environment import Environment
from hfplugin.errors import ConfigurationError
from hfplugin.model import Launch, LaunchState, Template
from hfplugin.providers.aws import launch_templates, parameters
from hfplugin.providers.aws.handlers import Handler
from hfplugin.providers.aws.handlers.auto_scaling import AutoScaling
from hfplugin.providers.aws.handlers.ec2_fleet import EC2Fleet
from hfplugin.providers.aws.handlers.run_instances import RunInstances
from hfplugin.providers.aws.handlers.spot_fleet import SpotFleet
from hfplugin.providers.aws.template import AWSTemplate
from hfplugin.providers.base.cache import Cache
from hfplugin.providers.base.health import Health
from hfplugin.providers.base.provider import Context, Nowhere, Order
from hfplugin.providers.base.registry import TemplateExtensionRegistry
from hfplugin.templates import TemplateKeys

Keys = dict[str, Any]

OTHER_IMAGE = "ami-0123456789abcdef1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fleet"
NOW = 1_700_000_000.0

SPOT: Keys = {"priceType": "spot"}
MIXED: Keys = {"priceType": "heterogeneous"}
GROUP: Keys = {"providerApi": "ASG"}
FLEET: Keys = {"providerApi": "EC2Fleet"}
REQUEST: Keys = FLEET | {"fleetType": "request"}
MAINTAIN: Keys = FLEET | {"fleetType": "maintain"}
SPOT_FLEET: Keys = {"providerApi": "SpotFleet", "fleetRole": ROLE}
CALL: Keys = {"providerApi": "RunInstances"}
WANTED: Keys = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4096}}

# Ways to launch, in a template's words; None takes a key out.
WAYS: dict[str, Keys] = {
    "RunInstances": CALL,
    "RunInstances, spot": CALL | SPOT,
    "EC2Fleet instant": FLEET,
    "EC2Fleet instant, spot": FLEET | SPOT,
    "EC2Fleet instant, mixed": FLEET | MIXED,
    "EC2Fleet by attributes, spot": FLEET | SPOT | {"vmTypes": None, "instanceRequirements": WANTED},
    "EC2Fleet of a file": FLEET | {"vmTypes": None, "ec2FleetConfig": "fleet.json"},
    "EC2Fleet request, spot": REQUEST | SPOT,
    "EC2Fleet maintain, in parts": MAINTAIN | MIXED | {"percentOnDemand": 50},
    "SpotFleet request, spot": SPOT_FLEET | SPOT,
    "SpotFleet maintain, in parts": SPOT_FLEET | MIXED | {"fleetType": "maintain", "percentOnDemand": 50},
    "ASG": GROUP,
    "ASG, spot": GROUP | SPOT,
    "ASG, mixed": GROUP | MIXED,
}
LEAST: Keys = {
    "templateId": "small",
    "maxNumber": 100,
    "imageId": IMAGE,
    "vmTypes": {"m5.large": 1, "c5.xlarge": 2},
    "subnetId": ["subnet-a", "subnet-b"],
    # Given, so that no key has an effect by what is derived from it alone.
    "attributes": {"type": "X86_64", "ncores": 1, "ncpus": 1, "nram": 4096},
}

# Every key, IBM's for Symphony and for LSF and ours, with a value that is no default.
KEYS: Keys = {
    "templateId": "large",
    "maxNumber": 7,
    "attributes": {"ncpus": 3},
    "allOrNothing": True,
    "pendingTimeoutSeconds": 300,
    "deadlineSeconds": 300,
    "providerApi": "RunInstances",
    "fleetType": "maintain",
    "priceType": "spot",
    "imageId": OTHER_IMAGE,
    "vmType": "m5.xlarge",
    "vmTypes": {"m5.large": 2, "r5.large": 3},
    "vmTypesOnDemand": {"m5.large": 1},
    "vmTypesPriority": {"c5.xlarge": 1, "m5.large": 2},
    "instanceRequirements": WANTED | {"BareMetal": "excluded"},
    "subnetId": "subnet-c",
    "securityGroupIds": ["sg-1"],
    "keyName": "grid",
    "instanceProfile": "grid",
    "instanceTags": "owner=grid;centre=4711",
    "userDataScript": "#!/bin/sh\necho",
    "userData": "zone=a;owner=grid",
    "launchTemplateId": "lt-1",
    "launchTemplateVersion": "2",
    "rootDeviceName": "/dev/xvdb",
    "rootDeviceVolumeSize": 77,
    "volumeType": "gp2",
    "iops": 4000,
    "encrypted": False,
    "kmsKeyId": "key-1",
    "httpTokens": "optional",
    "placementGroupName": "together",
    "tenancy": "dedicated",
    "ebsOptimized": True,
    "fleetRole": f"{ROLE}-2",
    "maxSpotPrice": 0.5,
    "spotPrice": 0.25,
    "onDemandBaseCapacity": 2,
    "spotFleetRequestExpiry": 45,
    "requestValidity": "02:30",
    "allocationStrategy": "capacityOptimized",
    "allocationStrategyOnDemand": "prioritized",
    "percentOnDemand": 25,
    "onDemandTargetCapacityRatio": 0.25,
    "poolsCount": 3,
    "ec2FleetConfig": "fleet.json",
    "nativeSpec": {"TagSpecifications": [{"ResourceType": "network-interface", "Tags": []}]},
    "marketType": "capacity-block",
    "capacityReservationId": "cr-1",
    "capacityReservationPreference": "none",
    "interfaceType": "efa",
    "efaCount": 2,
    "priority": 5,
    "ttl": 60,
    "regionOverrides": {HOME: {"keyName": "other"}},
}

# IBM's ways to write values.
IBMS: Keys = {
    "subnetId": "subnet-a, subnet-b",
    "instanceTags": "owner=grid;centre=4711",
    "userDataScript": "#!/bin/sh\necho %EXPORT_USER_DATA%",
    "userData": "zone=a",
    "attributes": {"type": ["String", "X86_64"], "ncpus": ["Numeric", "1"], "mem": ["Numeric", "4096"]},
    "requestValidity": "02:30",
    "onDemandTargetCapacityRatio": 0.25,
}

# What some need beside them; None takes a key out.
BESIDE: dict[str, Keys] = {
    "iops": {"volumeType": "gp3"},
    "launchTemplateVersion": {"launchTemplateId": "lt-1"},
    "instanceRequirements": {"vmTypes": None},
    "marketType": {"capacityReservationId": "cr-1"},
}

FLEET_FILE = {
    "LaunchTemplateConfigs": [
        {
            "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1", "Version": "1"},
            "Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "c5.xlarge", "WeightedCapacity": 2}],
        }
    ],
    "TargetCapacitySpecification": {"TotalTargetCapacity": "$LSF_TOTAL_TARGET_CAPACITY"},
}


class Meaning(NamedTuple):
    """What a templates file comes to: what HostFactory is told, how long is waited, every launch in its turn."""

    offered: Keys
    waits: tuple[int | None, int | None, bool]
    launches: list[Any]


class Desk:
    """Compiles templates files and plans launches in an AWS that launches nothing."""

    def __init__(self, site: HostFactory, clients: FakeClients, directory: Path) -> None:
        self._site = site
        context = Context("prod1", "installation", Cache(str(directory)), Health())
        self._handlers: dict[str, Handler] = {
            "RunInstances": RunInstances(clients, context),
            "EC2Fleet": EC2Fleet(clients, context, lambda: NOW),
            "SpotFleet": SpotFleet(clients, context, lambda: NOW),
            "ASG": AutoScaling(clients, context),
        }

    def compiled(self, template: Keys) -> Compiled:
        """Compile a file of one template; ConfigurationError says what is wrong in it."""
        self._site.offer({key: value for key, value in template.items() if value is not None})
        return compile_sources(Sources(Environment(self._site.environment)))

    def converted(self, template: Keys) -> Keys:
        """Give the template in our form, as `hfplugin config convert --templates` prints it."""
        self.compiled(template)
        ours, _ = own_templates(Sources(Environment(self._site.environment)))
        [only] = ours["templates"]
        assert isinstance(only, dict)
        return only

    def meaning(self, compiled: Compiled) -> Meaning:
        [template] = Catalog(compiled).templates
        waits = (template.pending_timeout, template.deadline, template.all_or_nothing)
        return Meaning(json.loads(compiled.answer)["templates"][0], waits, self._launches(template))

    def _launches(self, template: Template) -> list[Any]:
        extension = TemplateExtensionRegistry.create_extension_config("aws", template.extension)
        assert isinstance(extension, AWSTemplate)
        handler = self._handlers[extension.service]
        past: tuple[Launch, ...] = ()
        plans: list[Any] = []
        while True:
            order = Order("req-1", 1, template, 9, past, frozenset(range(len(past))))
            plan = handler.plan(extension, order)
            if isinstance(plan, Nowhere):
                return plans
            plans.append(plan)
            past += (plan.frozen(len(past), "t", NOW)._replace(state=LaunchState.REFUSED),)


@pytest.fixture
def desk(tmp_path: Path, aws: FakeAWS, clients: FakeClients, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # Reading AWS's models takes longer than all else.
    for module, name in ((parameters, "shape"), (launch_templates, "_shape")):
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name)))
    site = HostFactory(tmp_path / "hostfactory")
    site.configure({"providerType": "aws", "aws": {"region": HOME}})
    (site.conf / "fleet.json").write_text(json.dumps(FLEET_FILE))
    aws.images[OTHER_IMAGE] = "/dev/sda1"
    for version, number in (("$Default", 1), ("1", 1), ("2", 2)):
        aws.launch_templates["lt-1", version] = (number, {"KeyName": f"key-{number}", "ImageId": IMAGE})
    return Desk(site, clients, tmp_path / "cache")


def outcome(desk: Desk, template: Keys, key: str) -> str:
    """Say what a key does to a template: `effect`, `warning`, `refused` or `nothing`."""
    beside = template | BESIDE.get(key, {})
    try:
        after = desk.compiled(beside | {key: KEYS[key]})
    except ConfigurationError as error:
        assert key in str(error), f"{key} is refused in words that do not name it: {error}"
        return "refused"
    if any(f" {key} has no effect: " in warning for warning in Catalog(after).warnings):
        return "warning"
    try:
        before = desk.compiled({key: None} | beside)
    except ConfigurationError:
        return "effect"  # without it, it is no template
    return "nothing" if desk.meaning(before) == desk.meaning(after) else "effect"


def test_every_key_is_tried() -> None:
    known = {field.alias for model in (TemplateKeys, AWSTemplate) for field in model.model_fields.values()}
    assert set(KEYS) == known


@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_changes_nothing_is_warned_about_or_refused(desk: Desk, way: str) -> None:
    template = LEAST | WAYS[way]
    tried = [key for key in KEYS if template.get(key) != KEYS[key]]
    silent = [key for key in tried if outcome(desk, template, key) == "nothing"]
    assert silent == []


@pytest.mark.parametrize("way", WAYS)
def test_a_converted_template_means_the_same(desk: Desk, way: str) -> None:
    written = LEAST | IBMS | WAYS[way]
    converted = desk.converted(written)
    assert "subnetId" in converted and converted["instanceTags"] == {"owner": "grid", "centre": "4711"}
    assert desk.meaning(desk.compiled(converted)) == desk.meaning(desk.compiled(written))
