"""HostFactory's part: lays out a provider instance's directories and calls the plug-in."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from standby import Standby

from hfplugin.emulator import CREDENTIALS, IMAGE_ID

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

# The service-wide role that AWS suggests for Spot Fleet.
ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"

# Every way in which AWS gives machines, and the template's keys that choose it.
SERVICES: dict[str, dict[str, Any]] = {
    "RunInstances": {"providerApi": "RunInstances"},
    "EC2Fleet-instant": {"providerApi": "EC2Fleet", "fleetType": "instant"},
    "EC2Fleet-request": {"providerApi": "EC2Fleet", "fleetType": "request"},
    "EC2Fleet-maintain": {"providerApi": "EC2Fleet", "fleetType": "maintain"},
    "SpotFleet-request": {"providerApi": "SpotFleet", "fleetType": "request", "priceType": "spot"},
    "SpotFleet-maintain": {"providerApi": "SpotFleet", "fleetType": "maintain", "priceType": "spot"},
    "ASG": {"providerApi": "ASG"},
}

# HostFactory kills a script after 300 s; a test that gets near that hangs.
_TIME_LIMIT = 60


class Answer(NamedTuple):
    """What a verb gave: its exit status, the JSON document on standard output, standard error."""

    status: int
    document: dict[str, Any]
    stderr: str

    @property
    def message(self) -> str:
        message = self.document["message"]
        assert isinstance(message, str)
        return message


class HostFactory:
    """One provider instance under `top`, and the calls that HostFactory makes to it.

    It calls the real scripts; given `standby`, only `start` does.
    """

    def __init__(self, top: Path, name: str = "awsinst", standby: Standby | None = None) -> None:
        self.name = name
        self._standby = standby
        self.conf = top / "conf/providers" / name
        self.work = top / "work/providers" / name
        self.log = top / "log"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(top / "home"),
            "HFPLUGIN_PYTHON": sys.executable,
            "HF_PROVIDER_NAME": name,
            "HF_PROVIDER_CONFDIR": str(self.conf),
            "HF_PROVIDER_WORKDIR": str(self.work),
            "HF_PROVIDER_LOGDIR": str(self.log),
            "EGOSC_INSTANCE_HOST": "management1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **CREDENTIALS,
        }
        for directory in (self.conf, self.work, self.log):
            directory.mkdir(parents=True)
        self._inputs = (top / f"hf_in_{number}" for number in itertools.count())

    @property
    def state(self) -> Path:
        return self.work / "hfplugin"

    def configure(self, config: dict[str, Any]) -> None:
        (self.conf / f"{self.name}prov_config.json").write_text(json.dumps(config, indent="\t"))

    def offer(self, *templates: dict[str, Any]) -> None:
        """Write the templates file."""
        content = json.dumps({"templates": templates}, indent="\t")
        (self.conf / f"{self.name}prov_templates.json").write_text(content)

    def start(self, verb: str, message: dict[str, Any]) -> subprocess.Popen[str]:
        """Begin a call; its process is the plug-in's interpreter as soon as the script has become it."""
        return subprocess.Popen(
            [SCRIPTS / f"{verb}.sh", "-f", self._input(message)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd="/",
            text=True,
        )

    def call(self, verb: str, message: dict[str, Any]) -> Answer:
        """Make a whole call: it answers one JSON object; when it fails, there may be one line beside it."""
        status, stdout, stderr = self._ended(verb, message)
        document = json.loads(stdout)
        assert isinstance(document, dict), stdout
        assert status in (0, 1), stderr
        assert len(stderr.splitlines()) <= status, stderr
        return Answer(status, document, stderr)

    def _ended(self, verb: str, message: dict[str, Any]) -> tuple[int, str, str]:
        if self._standby:
            return self._standby.call(verb, self._input(message), self.environment, _TIME_LIMIT)
        with self.start(verb, message) as process:
            try:
                stdout, stderr = process.communicate(timeout=_TIME_LIMIT)
            finally:
                process.kill()
        return process.returncode, stdout, stderr

    def _input(self, message: dict[str, Any]) -> Path:
        file = next(self._inputs)
        file.write_text(json.dumps(message, indent="\t"))
        return file

    def answered(self, verb: str, message: dict[str, Any]) -> dict[str, Any]:
        """The document of a call that succeeded."""
        answer = self.call(verb, message)
        assert answer.status == 0, answer.document
        return answer.document

    def refused(self, verb: str, message: dict[str, Any]) -> str:
        """The message of a call that failed, which answered nothing else."""
        answer = self.call(verb, message)
        assert answer.status == 1, answer.document
        assert answer.document.keys() == {"message"}
        return answer.message

    def templates(self) -> list[dict[str, Any]]:
        templates: list[dict[str, Any]] = self.answered("getAvailableTemplates", {})["templates"]
        return templates

    def request(self, template_id: str, count: int) -> str:
        """Request machines and give the request's id."""
        request_id: str = self.answered("requestMachines", demand(template_id, count))["requestId"]
        return request_id

    def poll(self, *request_ids: str) -> list[dict[str, Any]]:
        """Ask for requests and returns; one answer for each, in order."""
        message = {"requests": [{"requestId": request_id} for request_id in request_ids]}
        answers: list[dict[str, Any]] = self.answered("getRequestStatus", message)["requests"]
        assert [answer["requestId"] for answer in answers] == [*request_ids]
        return answers

    def machines(self, template_id: str, count: int) -> list[dict[str, Any]]:
        """Request machines and poll once, by when they have to be there."""
        [answer] = self.poll(self.request(template_id, count))
        assert (answer["status"], len(answer["machines"])) == ("complete", count), answer
        machines: list[dict[str, Any]] = answer["machines"]
        return machines

    def give_back(self, *hosts: dict[str, Any]) -> str:
        """Return hosts, each with what is known of its name and machineId, and give the return's id."""
        return_id: str = self.answered("requestReturnMachines", {"machines": [*map(_host, hosts)]})["requestId"]
        return return_id

    def returned(self, *hosts: dict[str, Any]) -> dict[str, Any]:
        """Return hosts and poll once, by when they have to be gone."""
        [answer] = self.poll(self.give_back(*hosts))
        return answer

    def lost(self, *hosts: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask which of these hosts have to be given up."""
        message = {"machines": [*map(_host, hosts)]}
        requests: list[dict[str, Any]] = self.answered("getReturnRequests", message)["requests"]
        return requests


def demand(template_id: str, count: int) -> dict[str, Any]:
    return {"template": {"templateId": template_id, "machineCount": count}}


def _host(host: dict[str, Any]) -> dict[str, str]:
    return {key: host[key] for key in ("name", "machineId") if key in host}


def template(subnet: str, **keys: object) -> dict[str, object]:
    """The least that a template needs on the emulator, and what is laid over it."""
    return {
        "templateId": "small",
        "maxNumber": 100,
        "imageId": IMAGE_ID,
        "subnetId": subnet,
        "vmType": "m5.large",
        "rootDeviceVolumeSize": 20,
        **keys,
    }
