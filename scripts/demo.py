"""Plays HostFactory against an embedded EC2: a whole life of machines through the five scripts, all of it checked.

Knows hfplugin as HostFactory and AWS do, by its scripts, files and tags; imports nothing of it. Run by demo.sh.
Exit status: 0 = all was as HostFactory's contract says, 1 = something was not, 2 = it could not be played.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import string
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

Document = dict[str, Any]

PLUGIN = Path(__file__).resolve().parent.parent
PROVIDER = "awsinst"
HOST = "management1"
REGION = "eu-central-1"
KEY = "demo"  # the emulator takes any
COUNT = 5
VOLUME_SIZE = 20  # GiB; the emulator's own default is 8
USER_DATA = "#!/bin/bash\n# Here the machine would join the cluster.\n"

# HostFactory polls every 30 s and gives a script 300 s: too long to watch, and here all takes a second or two.
POLL_SECONDS = 1
POLLS = 20
TIME_LIMIT = 60

# Where the output is no terminal that could be asked.
WIDTH = 120

LOG_LINES = 20

# The mandatory part of each answer. A set stands for one of its texts, a tuple for a list of just these, a list
# for a list of any number.
PAIR = (frozenset({"String", "Numeric"}), str)
OFFER = {
    "templateId": str,
    "maxNumber": int,
    "attributes": {"type": PAIR, "ncores": PAIR, "ncpus": PAIR, "nram": PAIR},
}
MACHINE = {
    "machineId": str,
    "name": str,
    "result": frozenset({"executing", "succeed", "fail"}),
    "status": frozenset({"pending", "running", "stopping", "stopped", "shutting-down", "terminated"}),
    "privateIpAddress": str,
    "launchtime": int,
    "message": str,
}
STATUS = frozenset({"running", "complete", "complete_with_error"})
LOST = {"machine": str, "machineId": str, "gracePeriod": int}
ANSWERS: Mapping[str, Document] = {
    "getAvailableTemplates": {"templates": [OFFER], "message": str},
    "requestMachines": {"requestId": str, "message": str},
    "requestReturnMachines": {"requestId": str, "message": str},
    "getRequestStatus": {
        "requests": [{"requestId": str, "status": STATUS, "message": str, "machines": [MACHINE]}]
    },
    "getReturnRequests": {"status": frozenset({"complete"}), "message": str, "requests": [LOST]},
}
FAILURE = {"message": str}
WIRE_TYPES: Mapping[type, type] = {dict: dict, list: list, tuple: list, frozenset: str}

# The emulator ends when its standard input does: it never outlives the player, however that ends.
EMULATOR = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


class UnplayableError(Exception):
    """The demo itself cannot go on; it says nothing about the plug-in."""


class BrokenContractError(Exception):
    """The plug-in did what HostFactory does not expect."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen {seen}")
        self.finding = Finding(expected, seen)


class Finding(NamedTuple):
    """What a step had to bring and what it brought, in words."""

    expected: str
    seen: str

    @property
    def is_good(self) -> bool:
        return self.expected == self.seen


def checked(verb: str, done: subprocess.CompletedProcess[str], exit_status: int) -> Document:
    """Give a call's answer. BrokenContractError when status, standard error or a field is not as it has to be."""
    if done.returncode != exit_status:
        raise BrokenContractError(f"exit status {exit_status}", f"exit status {done.returncode}")
    if done.stderr:
        raise BrokenContractError("nothing on standard error", done.stderr.strip())
    try:
        answer: Document = json.loads(done.stdout)
    except ValueError as error:
        raise BrokenContractError("one JSON document on standard output", f"{error}: {done.stdout!r}") from error
    found = list(faults(FAILURE if exit_status else ANSWERS[verb], answer, "answer"))
    if found:
        raise BrokenContractError("every mandatory field, of its type", "; ".join(found))
    return answer


def faults(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Say where a value is not of the shape (see ANSWERS). Types are exact: true is no integer."""
    kind: Any = shape if isinstance(shape, type) else WIRE_TYPES[type(shape)]
    if type(value) is not kind:
        yield f"{where} is {'missing or null' if value is None else repr(value)}, not {kind.__name__}"
        return
    if isinstance(shape, frozenset) and value not in shape:
        yield f"{where} is {value!r}, not one of {', '.join(sorted(shape))}"
    if isinstance(shape, tuple) and len(value) != len(shape):
        yield f"{where} has {len(value)} elements, not {len(shape)}"
    for inner, member, name in _members(shape, value):
        yield from faults(inner, member, where + name)


def _members(shape: Any, value: Any) -> Iterator[tuple[Any, Any, str]]:
    if isinstance(shape, dict):
        yield from ((inner, value.get(key), f".{key}") for key, inner in shape.items())
    elif isinstance(shape, list | tuple):
        shapes = shape * len(value) if isinstance(shape, list) else shape
        yield from (
            (inner, member, f"[{i}]") for i, (inner, member) in enumerate(zip(shapes, value, strict=False))
        )


def legible(value: Any, width: int, margin: str = "", key: str = "") -> str:
    """Write JSON for people: on one line what fits, else plain members filled like text, others on their own."""
    line = key + json.dumps(value, ensure_ascii=False)
    if len(margin + line) < width or not isinstance(value, dict | list):
        return line
    deeper = margin + "  "
    if isinstance(value, dict):
        items = [legible(member, width, deeper, f"{json.dumps(name)}: ") for name, member in value.items()]
    else:
        items = [legible(member, width, deeper) for member in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{key}{opening}\n{_filled(items, width, deeper)}\n{margin}{closing}"


def _filled(items: Iterable[str], width: int, margin: str) -> str:
    lines: list[str] = []
    is_open = False
    for item in items:
        is_plain = item[-1] not in "]}"
        if is_open and is_plain and len(lines[-1]) + len(item) + 2 < width:
            lines[-1] += f", {item}"
        else:
            lines.append(margin + item)
        is_open = is_plain
    return ",\n".join(lines)


class Screen:
    """What the audience sees: in colour on a terminal, plain elsewhere."""

    def __init__(self) -> None:
        self._console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        self._last = ""

    def title(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(text)}", align="left")

    def line(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def document(self, label: str, document: Any) -> None:
        self.line(label, "cyan")
        self._console.print(JSONHighlighter()(legible(document, self._console.width)), soft_wrap=True)

    def call(self, command: str, document: Any) -> None:
        self.line(f"$ {command}", "bold")
        self.document("input", document)

    def answer(self, done: subprocess.CompletedProcess[str], seconds: float) -> None:
        label = f"answer: exit status {done.returncode}, {seconds:.2f} s"
        if done.stdout == self._last:
            self.line(f"{label}, the same as before", "cyan")
        else:
            self._new_answer(label, done.stdout)
        self._last = done.stdout
        self.line(f"standard error\n{done.stderr}" if done.stderr else "", "red")

    def _new_answer(self, label: str, answer: str) -> None:
        try:
            self.document(label, json.loads(answer))
        except ValueError:
            self.line(f"{label}\n{answer}")

    def finding(self, finding: Finding, proves: str) -> None:
        if finding.is_good:
            self.line(f"ok: {proves}", "green")
        else:
            self.line(f"NOT OK\nexpected: {finding.expected}\nseen:     {finding.seen}", "bold red")

    def table(self, steps: Sequence[Step], findings: Sequence[Finding]) -> None:
        table = Table(title_justify="left", expand=True)
        for column in ("", "step", "expected", "seen", "ok"):
            table.add_column(column, overflow="fold")
        not_played = [Finding("", "not played")] * (len(steps) - len(findings))
        for number, (step, finding) in enumerate(zip(steps, [*findings, *not_played], strict=True), 1):
            mark = "[green]yes" if finding.is_good else "[bold red]NO"
            table.add_row(str(number), *map(escape, (step.name, *finding)), mark)
        self.title("All steps")
        self._console.print(table)


@contextmanager
def emulator(log: Path) -> Iterator[str]:
    """Run an EC2 of our own on a free loopback port and give its address; after the block it is gone."""
    command = [sys.executable, "-I", "-c", EMULATOR]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=errors, env={}, text=True) as server,
    ):
        try:
            address = next(iter(server.stdout or ()), "").strip()
            if not address:
                raise UnplayableError(f"the emulator does not start: {last_lines(log, 1)}")
            yield address
        finally:
            server.kill()


def last_lines(path: Path, count: int) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-count:]) or f"nothing in {path}"


class Network(NamedTuple):
    """What the templates name."""

    image: str
    subnets: list[str]
    group: str


class Cloud:
    """EC2 behind the plug-in's back: what an administrator prepares, what happens outside, what is there."""

    def __init__(self, endpoint: str) -> None:
        self._ec2: EC2Client = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
            config=Config(proxies={}),
        )

    def prepare(self) -> Network:
        """Make an image, a subnet in each of two zones and a security group."""
        ec2 = self._ec2
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=REGION + zone)["Subnet"]["SubnetId"]
            for zone, cidr in (("a", "10.20.1.0/24"), ("b", "10.20.2.0/24"))
        ]
        group = ec2.create_security_group(GroupName="grid", Description="compute hosts", VpcId=vpc)["GroupId"]
        image = ec2.register_image(Name="grid", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
        return Network(image, subnets, group)

    def machines(self) -> list[InstanceTypeDef]:
        """Give every machine ever launched: the emulator forgets none."""
        pages = self._ec2.get_paginator("describe_instances").paginate()
        return [machine for page in pages for group in page["Reservations"] for machine in group["Instances"]]

    def terminated(self) -> set[str]:
        return {m["InstanceId"] for m in self.machines() if m["State"]["Name"] == "terminated"}

    def user_data(self, machine_id: str) -> str:
        answer = self._ec2.describe_instance_attribute(InstanceId=machine_id, Attribute="userData")
        return base64.b64decode(answer["UserData"].get("Value", "")).decode()

    def volume_sizes(self, machine_id: str) -> list[int]:
        """Give the sizes of the machine's volumes, in GiB."""
        volumes = self._ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [machine_id]}])
        return [volume["Size"] for volume in volumes["Volumes"]]

    def terminate(self, machine_id: str) -> None:
        self._ec2.terminate_instances(InstanceIds=[machine_id])


def provider_files(top: Path, endpoint: str, network: Network) -> dict[str, Document]:
    """Give the provider's two files in the form of IBM's AWS plug-in; one template has scalars for attributes."""
    config = {
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CREDENTIAL_FILE": str(top / "credentials"),
        "AWS_CONNECTION_TIMEOUT_MS": "10000",
        "AWS_INSTANCE_PENDING_TIMEOUT_SEC": "180",
    }
    numbers = {name: ["Numeric", value] for name, value in (("ncores", "1"), ("ncpus", "1"), ("nram", "8192"))}
    two_zones = {
        "templateId": "two-zones",
        "maxNumber": 10,
        "attributes": {"type": ["String", "X86_64"], **numbers},
        "priceType": "ondemand",
        "imageId": network.image,
        "subnetId": network.subnets,
        "securityGroupIds": [network.group],
        "vmType": "m5.large",
        "rootDeviceVolumeSize": VOLUME_SIZE,
        "instanceTags": "project=demo;owner=grid",
        "userDataScript": str(top / "user_data.sh"),
    }
    scalars = {
        "templateId": "scalars",
        "maxNumber": 5,
        "attributes": {"type": "X86_64", "ncores": 1, "ncpus": 2, "nram": 16384},
        "imageId": network.image,
        "subnetId": network.subnets[0],
        "securityGroupIds": network.group,
        "vmType": "m5.xlarge",
    }
    return {"config": config, "templates": {"templates": [two_zones, scalars]}}


def hostfactory_files() -> dict[str, Document]:
    """Give HostFactory's own files by their path below HF_CONFDIR."""
    provider = {
        "name": PROVIDER,
        "enabled": 1,
        "plugin": "aws",
        "confPath": f"${{HF_CONFDIR}}/providers/{PROVIDER}/",
        "workPath": f"${{HF_WORKDIR}}/providers/{PROVIDER}/",
        "logPath": "${HF_LOGDIR}/",
    }
    scripts = "${HF_TOP}/${HF_VERSION}/providerplugins/aws/scripts/"
    plugin = {"name": "aws", "enabled": 1, "scriptPath": scripts}
    return {
        "hostfactoryconf.json": {"HF_LOGLEVEL": "LOG_INFO", "HF_PROVIDER_ACTION_TIMEOUT": TIME_LIMIT},
        "providers/hostProviders.json": {"version": 2, "providers": [provider]},
        "providerplugins/hostProviderPlugins.json": {"version": 2, "providerplugins": [plugin]},
    }


def lay_out(top: Path, endpoint: str, network: Network) -> dict[str, str]:
    """Write HostFactory's directories; give the environment of its calls, which holds nothing of the caller's."""
    for name in ("home", "work", "log", "1.2/providerplugins"):
        (top / name).mkdir(parents=True)
    (top / "1.2/providerplugins/aws").symlink_to(PLUGIN)
    (top / "user_data.sh").write_text(USER_DATA)
    (top / "credentials").write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {KEY}\n")
    provider = provider_files(top, endpoint, network)
    own = {f"providers/{PROVIDER}/{PROVIDER}prov_{what}.json": content for what, content in provider.items()}
    for path, content in {**hostfactory_files(), **own}.items():
        file = top / "conf" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=4))
    return {
        "PATH": os.defpath,
        "HOME": str(top / "home"),
        "HF_TOP": str(top),
        "HF_VERSION": "1.2",
        "HF_CONFDIR": str(top / "conf"),
        "HF_WORKDIR": str(top / "work"),
        "HF_LOGDIR": str(top / "log"),
        "HF_LOGLEVEL": "LOG_INFO",
        "EGOSC_INSTANCE_HOST": HOST,
    }


class HostFactory:
    """Calls the scripts as HostFactory does and holds every answer against the contract."""

    def __init__(self, environment: Mapping[str, str], screen: Screen) -> None:
        """Find the provider and its scripts where HostFactory's files say they are."""
        conf = Path(environment["HF_CONFDIR"])
        provider = json.loads((conf / "providers/hostProviders.json").read_text())["providers"][0]
        plugins = json.loads((conf / "providerplugins/hostProviderPlugins.json").read_text())["providerplugins"]
        paths = {"CONFDIR": "confPath", "WORKDIR": "workPath", "LOGDIR": "logPath"}
        own = {f"HF_PROVIDER_{name}": _expanded(provider[key], environment) for name, key in paths.items()}
        self._environment = {**environment, "HF_PROVIDER_NAME": provider["name"], **own}
        self._scripts: str = next(p["scriptPath"] for p in plugins if p["name"] == provider["plugin"])
        self.screen = screen
        self.log = Path(environment["HF_LOGDIR"]) / f"{provider['name']}-provider.{HOST}.log"

    def introduce(self) -> None:
        """Show the environment of the calls and the provider's files."""
        self.screen.title("HostFactory's environment")
        for name, value in self._environment.items():
            self.screen.line(f"{name}={value}")
        for path in sorted(Path(self._environment["HF_PROVIDER_CONFDIR"]).iterdir()):
            self.screen.document(f"${{HF_PROVIDER_CONFDIR}}/{path.name}", json.loads(path.read_text()))

    def call(self, verb: str, document: Document, exit_status: int = 0) -> Document:
        """Call a script with its input in a file. BrokenContractError when the answer is not as it has to be."""
        script = f"{self._scripts}{verb}.sh"
        with NamedTemporaryFile("w", prefix="hf_in_", dir=self._environment["HF_TOP"]) as file:
            json.dump(document, file, indent="\t")
            file.flush()
            self.screen.call(f"{script} -f {file.name}", document)
            started = time.monotonic()
            done = self._run([_expanded(script, self._environment), "-f", file.name])
        self.screen.answer(done, time.monotonic() - started)
        return checked(verb, done, exit_status)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        # A script finds its Python itself, unless the caller names one.
        named = {name: os.environ[name] for name in ("HFPLUGIN_PYTHON",) if name in os.environ}
        environment = {**self._environment, **named}
        text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
        try:
            return subprocess.run(
                command, env=environment, cwd="/", capture_output=True, timeout=TIME_LIMIT, check=False, **text
            )
        except subprocess.TimeoutExpired as error:
            raise BrokenContractError(f"an answer within {TIME_LIMIT} s", "none") from error
        except OSError as error:
            raise BrokenContractError("a script that runs", str(error)) from error

    def statuses(self, ids: Sequence[str]) -> list[Document]:
        """Ask how requests stand. BrokenContractError unless each is answered, in the order asked."""
        asked = {"requests": [{"requestId": request_id} for request_id in ids]}
        entries: list[Document] = self.call("getRequestStatus", asked)["requests"]
        answered = [entry["requestId"] for entry in entries]
        if answered != list(ids):
            raise BrokenContractError(f"answers for {', '.join(ids)}", ", ".join(answered))
        failed = [m for entry in entries for m in entry["machines"] if m["result"] == "fail"]
        if not all(machine["message"] for machine in failed):
            raise BrokenContractError("a message for every failed machine", "none for one")
        return entries

    def finished(self, request_id: str) -> Document:
        """Poll a request until it is no longer running."""
        for _ in range(POLLS):
            entry = self.statuses([request_id])[0]
            if entry["status"] != "running":
                return entry
            time.sleep(POLL_SECONDS)
        raise BrokenContractError(f"an end after {POLLS} polls at most", tally(entry))


def _expanded(path: str, variables: Mapping[str, str]) -> str:
    return string.Template(path).substitute(variables)


def hosts(machines: Iterable[Document]) -> Document:
    """Name machines as HostFactory does."""
    return {"machines": [{"name": machine["name"], "machineId": machine["machineId"]} for machine in machines]}


def tally(entry: Document) -> str:
    """Put a request's answer in a few words: `complete, 5 succeed/running`."""
    counts = Counter(f"{machine['result']}/{machine['status']}" for machine in entry["machines"])
    parts = [f"{count} {state}" for state, count in sorted(counts.items())]
    return ", ".join([entry["status"], *(parts or ["0 machines"])])


class Life:
    """A request's life; each method plays one step and gives what it found."""

    def __init__(self, factory: HostFactory, cloud: Cloud) -> None:
        self._factory = factory
        self._cloud = cloud
        self._request = ""
        self._returns: list[str] = []
        self._machines: list[Document] = []
        self.returned: set[str] = set()

    def offer(self) -> Finding:
        sizes = []
        for offer in self._factory.call("getAvailableTemplates", {})["templates"]:
            kind, cores, cpus, ram = (offer["attributes"][key][1] for key in ("type", "ncores", "ncpus", "nram"))
            sizes.append(f"{offer['templateId']}: {kind}, {cores} x {cpus} cores, {ram} MB")
        expected = "two-zones: X86_64, 1 x 1 cores, 8192 MB; scalars: X86_64, 1 x 2 cores, 16384 MB"
        return Finding(expected, "; ".join(sizes))

    def request(self) -> Finding:
        demand = {"template": {"templateId": "two-zones", "machineCount": COUNT}}
        self._request = self._factory.call("requestMachines", demand)["requestId"]
        return Finding("an id", "an id" if self._request else "an empty one")

    def fulfil(self) -> Finding:
        entry = self._factory.finished(self._request)
        self._machines = entry["machines"]
        names = {machine["name"].split(".")[0] for machine in self._machines}
        real = {machine["InstanceId"]: machine for machine in self._cloud.machines()}
        ordered = [m for m in self._machines if self._is_as_ordered(m, real.get(m["machineId"], {}))]
        expected = f"complete, {COUNT} succeed/running, {COUNT} names, {COUNT} as ordered"
        return Finding(expected, f"{tally(entry)}, {len(names)} names, {len(ordered)} as ordered")

    def _is_as_ordered(self, machine: Document, real: Mapping[str, Any]) -> bool:
        """Whether EC2 has it as the answer and the template say."""
        return (
            real.get("PrivateDnsName") == machine["name"]
            and real.get("PrivateIpAddress") == machine["privateIpAddress"]
            and int(real["LaunchTime"].timestamp()) == machine["launchtime"]
            and real.get("InstanceType") == "m5.large"
            and self._cloud.user_data(machine["machineId"]) == USER_DATA
            and self._cloud.volume_sizes(machine["machineId"]) == [VOLUME_SIZE]
        )

    def keep(self) -> Finding:
        return Finding("no host", self._lost())

    def lose(self) -> Finding:
        victim = self._machines[1]
        self._factory.screen.line(f"outside HostFactory: TerminateInstances {victim['machineId']}", "bold")
        self._cloud.terminate(victim["machineId"])
        return Finding(f"{victim['name']}, 0 s", self._lost())

    def _lost(self) -> str:
        lost = self._factory.call("getReturnRequests", hosts(self._machines))["requests"]
        return ", ".join(f"{host['machine']}, {host['gracePeriod']} s" for host in lost) or "no host"

    def return_two(self) -> Finding:
        return self._give_back(self._machines[:2])

    def return_rest(self) -> Finding:
        return self._give_back(self._machines[2:])

    def _give_back(self, machines: list[Document]) -> Finding:
        return_id = self._factory.call("requestReturnMachines", hosts(machines))["requestId"]
        is_new = return_id not in self._returns
        self._returns.append(return_id)
        entry = self._factory.finished(return_id)
        said = {machine["machineId"] for machine in entry["machines"] if machine["result"] == "succeed"}
        self.returned |= said
        gone = {machine["machineId"] for machine in machines} & said & self._cloud.terminated()
        count = len(machines)
        return Finding(
            f"a new id, complete, {count} succeed/terminated, {count} gone from EC2",
            f"{'a new' if is_new else 'an old'} id, {tally(entry)}, {len(gone)} gone from EC2",
        )

    def ask_wrongly(self) -> Finding:
        demand = {"template": {"templateId": "three-zones", "machineCount": 1}}
        answer = self._factory.call("requestMachines", demand, exit_status=1)
        known = [name for name in ("two-zones", "scalars") if name in answer["message"]]
        seen = f"just {', '.join(answer)}, naming {', '.join(known)}"
        return Finding("just message, naming two-zones, scalars", seen)

    def remember(self) -> Finding:
        ids = [self._returns[0], "req-of-somebody-else", self._request]
        known, unknown, first = self._factory.statuses(ids)
        seen = f"{known['status']}, {tally(unknown)}, {first['status']}"
        return Finding("complete, complete_with_error, 0 machines, complete", seen)

    def look_around(self) -> Finding:
        machines = self._cloud.machines()
        wanted = {("hfplugin:provider", PROVIDER), ("hfplugin:request-id", self._request), ("project", "demo")}
        labels = [{(tag["Key"], tag["Value"]) for tag in machine.get("Tags", [])} for machine in machines]
        tagged = sum(wanted <= found for found in labels)
        seen = f"{len(machines)} launched, {tagged} tagged, {len(self._cloud.terminated())} terminated"
        return Finding(f"{COUNT} launched, {COUNT} tagged, {COUNT} terminated", seen)


class Step(NamedTuple):
    name: str
    play: Callable[[Life], Finding]
    proves: str


STEPS = (
    Step("getAvailableTemplates", Life.offer, "the file's order; attributes are pairs, from scalars too"),
    Step("requestMachines: 5", Life.request, "the id comes at once, the machines with the polls"),
    Step("getRequestStatus: polled", Life.fulfil, "EC2 has each machine as the answer and the template say"),
    Step("getReturnRequests: all is well", Life.keep, "a healthy host is never named"),
    Step("getReturnRequests: one killed outside", Life.lose, "just the lost host is named, no grace period left"),
    Step("requestReturnMachines: 2, one dead", Life.return_two, "a dead machine is no error: it is returned"),
    Step("requestMachines: unknown template", Life.ask_wrongly, "a refusal is JSON and names the templates"),
    Step("requestReturnMachines: the other 3", Life.return_rest, "complete means that EC2 has terminated them"),
    Step("requestReturnMachines: these 3 again", Life.return_rest, "a repeated return gets an id of its own"),
    Step("getRequestStatus: 3 ids", Life.remember, "in the order asked; what was said stays said"),
    Step("EC2 itself", Life.look_around, "nothing runs; every machine ever launched has our tags"),
)


class Balance(NamedTuple):
    """What became of the machines, and whether all was as expected."""

    launched: int
    returned: int
    left: int
    is_good: bool

    def __str__(self) -> str:
        verdict = "all as the contract says" if self.is_good else "NOT all as the contract says"
        return f"{self.launched} launched, {self.returned} returned, {self.left} left: {verdict}"


def play(factory: HostFactory, cloud: Cloud, screen: Screen) -> Balance:
    """Play the steps up to the first that fails."""
    life = Life(factory, cloud)
    findings: list[Finding] = []
    for number, step in enumerate(STEPS, 1):
        screen.title(f"{number}. {step.name}")
        findings.append(_played(step, life))
        screen.finding(findings[-1], step.proves)
        if not findings[-1].is_good:
            screen.title(str(factory.log))
            screen.line(last_lines(factory.log, LOG_LINES))
            break
    screen.table(STEPS, findings)
    launched = len(cloud.machines())
    left = launched - len(cloud.terminated())
    return Balance(launched, len(life.returned), left, not left and all(found.is_good for found in findings))


def _played(step: Step, life: Life) -> Finding:
    try:
        return step.play(life)
    except BrokenContractError as error:
        return error.finding


def perform(top: Path, screen: Screen) -> Balance:
    """Set the stage below `top` and play on it. UnplayableError when the emulator fails."""
    log = top / "emulator.log"
    try:
        with emulator(log) as endpoint:
            cloud = Cloud(endpoint)
            factory = HostFactory(lay_out(top, endpoint, cloud.prepare()), screen)
            screen.line(f"embedded EC2: {endpoint}; HostFactory's directories: {top}")
            factory.introduce()
            return play(factory, cloud, screen)
    except (BotoCoreError, ClientError) as error:
        raise UnplayableError(f"the emulator fails: {error}\n{last_lines(log, LOG_LINES)}") from error


def leave(number: int, _frame: object) -> None:
    """End through every `finally`, as Ctrl-C does."""
    sys.exit(128 + number)


def main() -> int:
    argparse.ArgumentParser(description="Play HostFactory against an embedded EC2; run by demo.sh.").parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    screen = Screen()
    try:
        with TemporaryDirectory(prefix="hfplugin-demo-") as top:
            balance = perform(Path(top), screen)
    except UnplayableError as error:
        screen.line(str(error), "bold red")
        return 2
    except KeyboardInterrupt:
        screen.line("interrupted: the emulator is stopped, the files are removed", "bold red")
        return 128 + signal.SIGINT
    screen.line(str(balance), "bold green" if balance.is_good else "bold red")
    return 0 if balance.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
