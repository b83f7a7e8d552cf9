"""`hfplugin rehearse`: the administrator's own files, an emulated AWS, and nothing else that is touched."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from front_door import Called, call, command
from player import HostFactory

from hfplugin.cli import rehearsal
from hfplugin.emulator import CREDENTIALS
from hfplugin.environment import Environment
from hfplugin.providers.aws import instance_types
from hfplugin.providers.aws.instance_types import shipped

IMAGE = "ami-00000000000000abc"
SUBNETS = ["subnet-00000000000000001", "subnet-00000000000000002"]
ACCOUNT = "999988887777"


class Listener:
    """A server that no packet may reach."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.callers = 0
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.callers += 1
            connection.close()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    started = Listener()
    yield started
    started.close()


@pytest.fixture
def site(tmp_path: Path) -> HostFactory:
    """A provider instance as an administrator has it, without credentials, at a wide terminal."""
    player = HostFactory(tmp_path)
    player.configure({"providerType": "aws", "aws": {"region": "eu-west-1"}})
    player.offer(template())
    for name in CREDENTIALS:
        del player.environment[name]
    player.environment["COLUMNS"] = "300"
    return player


def template(**keys: Any) -> dict[str, Any]:
    return {
        "templateId": "own",
        "maxNumber": 10,
        "imageId": IMAGE,
        "vmType": "m5.large",
        "subnetId": SUBNETS,
        "securityGroupIds": ["sg-00000000000000001"],
        "keyName": "grid",
        "instanceProfile": "grid",
        "rootDeviceVolumeSize": 30,
        **keys,
    }


def rehearse(site: HostFactory, *arguments: str) -> Called:
    return call("rehearse", *arguments, environment=site.environment)


def verdict(called: Called) -> str:
    assert called.stderr == ""
    return called.stdout.splitlines()[-1]


def tree(top: Path) -> dict[str, bytes]:
    """Give every file and directory below, with content and modification time."""
    return {
        str(path): b"%d %b" % (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(top.rglob("*"))
    }


class TestOutcome:
    def test_a_template_of_made_up_things_is_launched_and_returned(self, site: HostFactory) -> None:
        called = rehearse(site)
        assert verdict(called) == "all is well: 1 fulfilled; machines launched: 3, left: none"
        assert called.status == 0

    def test_the_call_that_launches_is_shown_in_full(self, site: HostFactory, tmp_path: Path) -> None:
        (tmp_path / "user_data.sh").write_text("the secret of the grid")
        site.offer(template(userDataScript=str(tmp_path / "user_data.sh"), instanceTags="owner=grid"))
        shown = rehearse(site, "--count", "2").stdout
        calls = dict(re.findall(r"^(\w+) in eu-west-1:\n(\{.*?^\})", shown, re.MULTILINE | re.DOTALL))
        fleet, machine = json.loads(calls["CreateFleet"]), json.loads(calls["CreateLaunchTemplate"])
        overrides = fleet["LaunchTemplateConfigs"][0]["Overrides"]
        assert [each["SubnetId"] for each in overrides] == SUBNETS
        assert fleet["TargetCapacitySpecification"]["TotalTargetCapacity"] == 2
        assert {"Key": "owner", "Value": "grid"} in fleet["TagSpecifications"][0]["Tags"]
        data = machine["LaunchTemplateData"]
        assert (data["ImageId"], data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]) == (IMAGE, 30)
        assert data["UserData"].startswith("(hidden: ")

    def test_calls_and_answers_are_told(self, site: HostFactory) -> None:
        rows = [tuple(cells(line)) for line in rehearse(site).stdout.splitlines()]
        assert ("CreateFleet", "ok", "1") in rows
        assert ("TerminateInstances", "ok", "1") in rows
        assert ("getReturnRequests", "to return: no host") in rows
        verbs = [
            row[0] for row in rows if row[0] in ("requestMachines", "getRequestStatus", "requestReturnMachines")
        ]
        assert verbs == ["requestMachines", "getRequestStatus", "requestReturnMachines", "getRequestStatus"]

    def test_no_more_than_max_number_is_asked_for(self, site: HostFactory) -> None:
        site.offer(template(maxNumber=2), template(templateId="none", maxNumber=0))
        called = rehearse(site, "--count", "5")
        assert verdict(called) == "all is well: 1 fulfilled, 1 not rehearsed; machines launched: 2, left: none"

    def test_what_is_refused_is_named_and_the_others_go_on(self, site: HostFactory) -> None:
        site.offer(template(templateId="silent", userDataScript="/nowhere"), template())
        called = rehearse(site)
        assert called.status == 1
        assert "refused: template silent: userDataScript /nowhere cannot be read" in called.stdout
        assert verdict(called).startswith("NOT all is well: 1 refused, 1 fulfilled; ")

    def test_a_launch_template_cannot_be_rehearsed_and_that_is_said(self, site: HostFactory) -> None:
        site.offer(template(launchTemplateId="lt-0123456789abcdef0"), template(templateId="plain"))
        called = rehearse(site)
        assert called.status == 1
        assert "cannot be rehearsed: what the launch template holds, only AWS knows" in called.stdout
        assert verdict(called).startswith("NOT all is well: 1 cannot be rehearsed, 1 fulfilled; ")

    def test_a_parameter_that_names_the_image_is_made_up(self, site: HostFactory) -> None:
        site.offer(template(imageId="resolve:ssm:/grid/image"))
        called = rehearse(site)
        assert "made up: parameter /grid/image" in called.stdout.splitlines()
        assert called.status == 0

    def test_only_the_templates_that_are_named_are_played(self, site: HostFactory) -> None:
        site.offer(*(template(templateId=name) for name in ("one", "two", "three")))
        called = rehearse(site, "--template", "three", "--template", "one", "--count", "1")
        played = re.findall(r"^template (\w+)$", called.stdout, re.MULTILINE)
        assert played == ["one", "three"]

    def test_an_unknown_template_is_named_with_those_that_are_known(self, site: HostFactory) -> None:
        called = rehearse(site, "--template", "owm")
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr == "hfplugin: unknown template 'owm'; known: own\n"

    def test_a_wrong_file_is_named(self, site: HostFactory) -> None:
        site.offer(template(vmTipe="m5.large"))
        called = rehearse(site)
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith(f"hfplugin: {site.conf}/awsinstprov_templates.json: ")

    def test_ibms_form_is_rehearsed_too(self, site: HostFactory) -> None:
        site.configure(
            {"AWS_REGION": "us-east-2", "AWS_CREDENTIAL_FILE": "/nowhere", "AWS_ENDPOINT_URL": "http://x"}
        )
        called = rehearse(site)
        assert called.status == 0
        assert "CreateFleet in us-east-2:" in called.stdout
        assert "they lead to: endpointUrl, credentialFile" in called.stdout

    def test_a_role_is_assumed_in_the_emulator(self, site: HostFactory) -> None:
        role = f"arn:aws:iam::{ACCOUNT}:role/launcher"
        site.configure({"providerType": "aws", "aws": {"region": "eu-west-1", "assumeRoleArn": role}})
        site.offer(template(imageId="resolve:ssm:/grid/image"))
        wish = rehearsal.Wish(3, (), 1)
        played = rehearsal.play(
            Environment(site.environment), site.environment, wish, Mock(spec=rehearsal.Audience)
        )
        assert played.is_good
        [act] = played.acts
        assert {made["account"] for made in act.calls if made["action"] == "CreateFleet"} == {ACCOUNT}

    def test_without_a_region_it_says_where_it_plays(self, site: HostFactory) -> None:
        site.configure({"providerType": "aws"})
        called = rehearse(site)
        assert called.status == 0
        assert "the configuration names no region: rehearsed in eu-central-1" in called.stdout


class TestChaos:
    @pytest.mark.parametrize("seed", ["1", "2", "3"])
    def test_what_struck_was_absorbed(self, site: HostFactory, seed: str) -> None:
        called = rehearse(site, "--chaos", seed)
        assert verdict(called) == "all is well: 1 fulfilled; machines launched: 3, left: none"
        assert called.status == 0
        rows = [cells(line) for line in called.stdout.splitlines()]
        assert ["no capacity in eu-west-1/m5.large/eu-west-1a", "1", "launched elsewhere"] in rows
        said = "\n".join(row[0] for row in rows)
        for trouble in ("CreateFleet was throttled", "before it acted", "after it had acted", "while it ran"):
            assert trouble in said

    def test_a_template_with_one_place_keeps_it(self, site: HostFactory) -> None:
        site.offer(template(subnetId=SUBNETS[0]))
        called = rehearse(site, "--chaos", "1")
        assert called.status == 0
        assert "no capacity" not in called.stdout

    def test_without_a_seed_it_says_which_one_it_took(self, site: HostFactory) -> None:
        called = rehearse(site, "--chaos")
        assert called.status == 0
        assert re.search(r"^with chaos; the same again: --chaos [1-9]\d*$", called.stdout, re.MULTILINE)


class TestIsolation:
    def test_nothing_that_is_the_administrators_changes(self, site: HostFactory, tmp_path: Path) -> None:
        site.state.mkdir()
        (site.state / "installation").write_text("the real one")
        (site.log / "awsinst-provider.management1.log").write_text("a line\n")
        before = tree(tmp_path)
        assert rehearse(site).status == 0
        del before[str(site.work)]  # something was made in it, and removed
        after = tree(tmp_path)
        del after[str(site.work)]
        assert after == before

    def test_no_packet_goes_where_configuration_and_caller_lead(
        self, site: HostFactory, listener: Listener, tmp_path: Path
    ) -> None:
        marker = tmp_path / "asked for credentials"
        aws = tmp_path / "home/.aws"
        aws.mkdir(parents=True)
        lines = f"endpoint_url = {listener.url}\nregion = ap-south-1\ncredential_process = touch '{marker}'\n"
        services = f"services = live\n[services live]\nec2 =\n  endpoint_url = {listener.url}\n"
        (aws / "config").write_text(f"[default]\n{lines}[profile live]\n{lines}{services}")
        (aws / "credentials").write_text("[live]\naws_access_key_id = AKIALIVE\naws_secret_access_key = live\n")
        role = f"arn:aws:iam::{ACCOUNT}:role/launcher"
        site.configure(
            {
                "providerType": "aws",
                "aws": {
                    "endpointUrl": listener.url,
                    "profile": "live",
                    "assumeRoleArn": role,
                    "credentialFile": str(aws / "credentials"),
                    "proxyHost": "127.0.0.1",
                    "proxyPort": listener.port,
                    "interruptionQueueUrl": f"{listener.url}/queue",
                },
            }
        )
        site.environment.update(
            {
                "AWS_PROFILE": "live",
                "AWS_ENDPOINT_URL": listener.url,
                "AWS_ENDPOINT_URL_EC2": listener.url,
                "AWS_ENDPOINT_URL_STS": listener.url,
                "AWS_CONFIG_FILE": str(aws / "config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
                "AWS_ACCESS_KEY_ID": "AKIALIVE",
                "AWS_SECRET_ACCESS_KEY": "live",
                "AWS_SESSION_TOKEN": "live",
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": listener.url,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{listener.url}/credentials",
                **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), listener.url),
                "HFPLUGIN_AWS__ENDPOINTURL": listener.url,
                "HFPLUGIN_AWS__ENDPOINT_URL": listener.url,
                "HFPLUGIN_aws__end_point_url": listener.url,
                "HFPLUGIN_AWS__PROXY_HOST": "127.0.0.1",
                "HFPLUGIN_AWS__proxy_port": str(listener.port),
                "HFPLUGIN_AWS__PROFILE": "live",
            }
        )
        called = rehearse(site)
        assert listener.callers == 0
        assert not marker.exists()
        assert called.status == 0, called

    def test_the_callers_other_overrides_hold(self, site: HostFactory) -> None:
        site.environment["HFPLUGIN_AWS__REGION"] = "ca-central-1"
        assert "CreateFleet in ca-central-1:" in rehearse(site).stdout

    def test_a_refreshed_table_of_machine_types_holds(self, site: HostFactory) -> None:
        table = site.state / "cache/machine-types.json"
        table.parent.mkdir(parents=True)
        instance_types.save({"m99.large": shipped()["m5.large"]}, table)
        site.offer(template(vmType="m99.large"), template(templateId="known"))
        called = rehearse(site)
        assert "m99.large" in called.stdout.split("refused: ")[1]  # the emulator does not know it
        assert verdict(called).startswith("NOT all is well: 1 refused, 1 fulfilled; ")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
    def test_a_signal_ends_it_and_takes_away_what_it_made(self, site: HostFactory, number: signal.Signals) -> None:
        process = subprocess.Popen(
            command("rehearse"),
            env=site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell lets what runs in its background ignore this signal, the tests included.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        for _ in range(200):
            if any(site.work.glob("rehearsal-*/log/*")):
                break
            time.sleep(0.05)
        else:
            raise AssertionError("it never began")
        os.killpg(process.pid, number)  # as a terminal does
        _, stderr = process.communicate(timeout=20)
        assert process.returncode not in (0, None)
        assert "Traceback" not in stderr
        assert list(site.work.iterdir()) == []

    def test_a_work_directory_that_cannot_be_written_is_named(self, site: HostFactory) -> None:
        site.work.rmdir()
        site.work.touch()
        called = rehearse(site)
        assert (called.status, called.stdout) == (1, "")
        assert called.stderr.startswith(f"hfplugin: cannot write {site.work}: ")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]
