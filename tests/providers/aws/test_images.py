"""What is fixed before a launch is frozen: the image, its root device, the launch template's version."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ec2 import AWAY, HOME, IMAGE, FakeAWS, FakeClients, FaultError

from hfplugin.errors import ConfigurationError, ErrorKind, ProviderError
from hfplugin.providers.aws import images
from hfplugin.providers.aws.images import Resolved, RootVolume
from hfplugin.providers.base.registry import TemplateExtensionRegistry

LAUNCH_TEMPLATE = "lt-0123456789abcdef0"
ROOT = RootVolume("/dev/sda1", 12)


def resolve(clients: FakeClients, region: str = HOME, **keys: Any) -> Resolved:
    raw = {"vmType": "m5.large", **keys}
    return images.resolve(clients, region, TemplateExtensionRegistry.create_extension_config("aws", raw))


def test_an_image_id_stays_and_its_root_device_is_looked_up(aws: FakeAWS, clients: FakeClients) -> None:
    assert resolve(clients, imageId=IMAGE) == Resolved(IMAGE, ROOT)
    assert aws.call_count == {"DescribeImages": 1}


@pytest.mark.parametrize("name", ["/grid/compute", "/grid/compute:3", "/grid/compute:stable"])
def test_an_image_named_in_ssm_is_resolved_in_the_launchs_region(
    aws: FakeAWS, clients: FakeClients, name: str
) -> None:
    aws.parameters[name] = IMAGE
    assert resolve(clients, AWAY, imageId=f"resolve:ssm:{name}").image_id == IMAGE
    assert [(operation, region) for operation, region, _ in aws.calls] == [
        ("GetParameter", AWAY),
        ("DescribeImages", AWAY),
    ]


def test_a_parameter_that_ssm_lacks_stops_the_launch(clients: FakeClients) -> None:
    with pytest.raises(ProviderError) as raised:
        resolve(clients, imageId="resolve:ssm:/grid/compute")
    assert (raised.value.kind, raised.value.code) == (ErrorKind.INVALID, "ParameterNotFound")


def test_an_image_that_ec2_lacks_is_left_for_the_launch_to_refuse(clients: FakeClients) -> None:
    assert resolve(clients, imageId="ami-00000bad").root == RootVolume("/dev/xvda", 8)


@pytest.mark.parametrize(
    ("code", "kind"), [("UnauthorizedOperation", ErrorKind.AUTH), ("RequestLimitExceeded", ErrorKind.THROTTLED)]
)
def test_a_root_device_that_cannot_be_looked_up_is_not_guessed(
    aws: FakeAWS, clients: FakeClients, code: str, kind: ErrorKind
) -> None:
    aws.faults["DescribeImages"] = [FaultError(code)]
    with pytest.raises(ProviderError, match="DescribeImages: as ordered") as raised:
        resolve(clients, imageId=IMAGE)
    assert raised.value.kind is kind


def test_a_root_device_that_is_named_is_not_looked_up(aws: FakeAWS, clients: FakeClients) -> None:
    assert resolve(clients, imageId=IMAGE, rootDeviceName="/dev/sdb") == Resolved(IMAGE, RootVolume("/dev/sdb"))
    assert aws.calls == []


def test_a_root_volume_that_stays_as_the_image_has_it_is_not_looked_up(aws: FakeAWS, clients: FakeClients) -> None:
    assert resolve(clients, imageId=IMAGE, encrypted=False) == Resolved(IMAGE)
    assert aws.calls == []


@pytest.mark.parametrize("keys", [{"rootDeviceVolumeSize": 9}, {"volumeType": "gp3"}, {"kmsKeyId": "alias/grid"}])
def test_any_wish_for_the_root_volume_needs_its_device(clients: FakeClients, keys: dict[str, Any]) -> None:
    assert resolve(clients, imageId=IMAGE, encrypted=False, **keys).root == ROOT


@pytest.mark.parametrize(
    ("keys", "asked", "version"),
    [
        ({}, "$Default", "7"),
        ({"launchTemplateVersion": "$Latest"}, "$Latest", "12"),
        ({"launchTemplateVersion": 3}, "3", "3"),
    ],
)
def test_a_launch_templates_version_is_pinned_to_its_number(
    aws: FakeAWS, clients: FakeClients, keys: dict[str, Any], asked: str, version: str
) -> None:
    for alias, number in (("$Default", 7), ("$Latest", 12), ("3", 3)):
        aws.launch_templates[LAUNCH_TEMPLATE, alias] = (number, {"ImageId": IMAGE})
    resolved = resolve(clients, launchTemplateId=LAUNCH_TEMPLATE, **keys)
    assert resolved.launch_template_version == version
    [call] = aws.called("DescribeLaunchTemplateVersions")
    assert call == {"LaunchTemplateId": LAUNCH_TEMPLATE, "Versions": [asked]}


def test_a_launch_templates_image_is_its_own_to_say(aws: FakeAWS, clients: FakeClients) -> None:
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {"ImageId": IMAGE})
    resolved = resolve(clients, launchTemplateId=LAUNCH_TEMPLATE)
    assert (resolved.image_id, resolved.root) == ("", ROOT)


def test_a_launch_templates_image_that_may_change_is_pinned(aws: FakeAWS, clients: FakeClients) -> None:
    aws.parameters["/grid/compute"] = IMAGE
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {"ImageId": "resolve:ssm:/grid/compute"})
    assert resolve(clients, launchTemplateId=LAUNCH_TEMPLATE, encrypted=False).image_id == IMAGE


def test_the_templates_own_image_beats_the_launch_templates(aws: FakeAWS, clients: FakeClients) -> None:
    aws.images["ami-0000000b"] = "/dev/nvme0"
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {"ImageId": IMAGE})
    resolved = resolve(clients, launchTemplateId=LAUNCH_TEMPLATE, imageId="ami-0000000b")
    assert (resolved.image_id, resolved.root) == ("ami-0000000b", RootVolume("/dev/nvme0", 12))


def test_a_launch_templates_own_volumes_are_left_alone(aws: FakeAWS, clients: FakeClients) -> None:
    mappings = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 500}}]
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {"ImageId": IMAGE, "BlockDeviceMappings": mappings})
    assert resolve(clients, launchTemplateId=LAUNCH_TEMPLATE).root is None
    assert resolve(clients, launchTemplateId=LAUNCH_TEMPLATE, rootDeviceVolumeSize=9).root == ROOT


def test_a_launch_templates_metadata_options_are_kept(aws: FakeAWS, clients: FakeClients) -> None:
    options = {"HttpPutResponseHopLimit": 2}
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {"ImageId": IMAGE, "MetadataOptions": options})
    assert resolve(clients, launchTemplateId=LAUNCH_TEMPLATE).metadata_options == options


def test_encryption_without_any_image_says_what_to_set(aws: FakeAWS, clients: FakeClients) -> None:
    aws.launch_templates[LAUNCH_TEMPLATE, "$Default"] = (1, {})
    with pytest.raises(ConfigurationError, match="set imageId or rootDeviceName, or encrypted to false"):
        resolve(clients, launchTemplateId=LAUNCH_TEMPLATE)


def test_a_launch_template_that_ec2_lacks_stops_the_launch(clients: FakeClients) -> None:
    with pytest.raises(ProviderError) as raised:
        resolve(clients, launchTemplateId=LAUNCH_TEMPLATE)
    assert raised.value.kind is ErrorKind.INVALID


def test_an_unreachable_region_is_transient(aws: FakeAWS, clients: FakeClients) -> None:
    aws.dark.add(HOME)
    with pytest.raises(ProviderError) as raised:
        resolve(clients, imageId=IMAGE)
    assert raised.value.kind is ErrorKind.TRANSIENT
