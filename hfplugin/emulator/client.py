"""The Python side of the emulator: starts it, tells it what to do, asks it what is there.

Imports neither moto nor boto3 before it has to.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# The region that clients are made for when none is said.
REGION = "eu-central-1"

# What the emulator takes for credentials: any; the account is moto's default one.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEMULATOR", "AWS_SECRET_ACCESS_KEY": "emulator"}

# The images that every region has.
IMAGE_ID = "ami-0123456789abcdef0"
ARM_IMAGE_ID = "ami-0a164a164a164a164"

_TIMEOUT_SECONDS = 60.0

# How the states of fleets begin that are over.
_ENDED = ("deleted", "cancelled", "failed")

# The same interpreter and the same hfplugin as here, installed or not.
_START = "import sys; sys.path.insert(0, sys.argv.pop()); from hfplugin.emulator.__main__ import main; main()"

Document = dict[str, Any]

# No proxy of the environment stands between this machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class EmulatorError(Exception):
    """The emulator did not start, or refused a command."""


class Machine(NamedTuple):
    """A machine as the emulator knows it, visible to its callers or not."""

    id: str
    account: str
    region: str
    zone: str
    type: str
    # on-demand or spot
    purchase: str
    state: str
    # StateReason's code; empty while nothing happened to it
    reason: str
    # seconds since the epoch
    launched: float
    # pending, running, stopping or stopped: it costs
    is_alive: bool
    # terminated so long ago that no call shows it
    is_vanished: bool
    tags: dict[str, str]


class Emulator:
    """An emulated AWS in a process of its own, for as long as the block runs.

    Settings (see `hfplugin.emulator.settings.Settings`) may be given at once or later, by `configure`. Every
    method raises EmulatorError with the reason when the emulator refuses.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Emulator:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._end()
            raise EmulatorError(
                "the emulator does not start; its extra is needed: pip install 'hfplugin[emulator]'"
            )
        try:
            self.configure(**self._settings)
        except EmulatorError:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def client(self, service: str = "ec2", region: str = REGION, **settings: Any) -> Any:
        """Give a boto3 client of the emulated AWS, which no proxy of the environment stands before."""
        import boto3
        from botocore.config import Config

        settings.setdefault("config", Config(proxies={}))
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            **settings,
        )

    def ec2(self, region: str = REGION) -> EC2Client:
        """Give a client of EC2."""
        client: EC2Client = self.client("ec2", region)
        return client

    def configure(self, **settings: Any) -> Document:
        """Change settings and give all of them."""
        return dict(self._ask("configure", **settings))

    def advance(self, seconds: float) -> float:
        """Let time pass at once, with all that it brings; give the emulator's time."""
        return float(self._ask("advance", seconds=seconds))

    def fault(self, kind: str, **settings: Any) -> int:
        """Set a fault (see `hfplugin.emulator.faults.Fault`) and give its number."""
        return int(self._ask("fault", kind=kind, **settings))

    def lift(self, number: int | None = None) -> None:
        """Take one fault away, or all."""
        self._ask("lift", number=number)

    def struck(self, number: int) -> int:
        """Count how often a fault struck."""
        return int(self._ask("struck", number=number))

    def refused(self, pool: str) -> int:
        """Count how often pools of this name or pattern could not give all that was wanted of them."""
        return int(self._ask("refused", pool=pool))

    def calls(self, action: str | None = None) -> list[Document]:
        """Give the calls so far, or those of one action; see `hfplugin.emulator.journal.Call`."""
        return list(self._ask("calls", action=action))

    def forget_calls(self) -> None:
        self._ask("forget_calls")

    def machines(self) -> list[Machine]:
        """Give every machine ever launched."""
        return [Machine(**each) for each in self._ask("machines")]

    def alive(self) -> list[Machine]:
        """Give the machines that cost: neither shutting down nor terminated."""
        return [each for each in self.machines() if each.is_alive]

    def resources(self) -> list[Document]:
        """Give launch templates, fleets and groups: kind, id, region, state, tags."""
        return list(self._ask("resources"))

    def leftovers(self) -> list[Document]:
        """Give the resources that may still launch or are kept in vain: none that only ages out at AWS."""
        return [
            each
            for each in self.resources()
            if each["kind"] != "instant-fleet" and not each["state"].startswith(_ENDED)
        ]

    def interrupt(self, instance_id: str, notice_seconds: float = 120.0, is_direct: bool = False) -> None:
        """Give a spot machine its notice; it is taken back when the notice has run out.

        The direct way, its request is over at once, and never marked-for-termination.
        """
        self._ask("interrupt", instance_id=instance_id, notice_seconds=notice_seconds, is_direct=is_direct)

    def rebalance(self, instance_id: str) -> None:
        """Recommend to replace a spot machine."""
        self._ask("rebalance", instance_id=instance_id)

    def schedule(self, instance_id: str, code: str, seconds: float = 86400.0) -> None:
        """Announce an event of EC2, such as instance-retirement, that comes in so many seconds."""
        self._ask("schedule", instance_id=instance_id, code=code, seconds=seconds)

    def call_off(self, instance_id: str) -> None:
        """Cancel the events that are announced for a machine."""
        self._ask("call_off", instance_id=instance_id)

    def event(
        self, source: str, kind: str, detail: Document, resources: tuple[str, ...] = (), region: str = REGION
    ) -> None:
        """Put an event on the event bus, as AWS Health would."""
        self._ask("event", region=region, source=source, kind=kind, detail=detail, resources=list(resources))

    def terminate(self, *instance_ids: str, code: str = "", text: str = "") -> None:
        """End machines outside of any call: the user's doing, or, with StateReason's code, the cloud's."""
        reason = {"code": code, "text": text} if code else {}
        self._ask("terminate", instance_ids=list(instance_ids), **reason)

    def stop(self, *instance_ids: str) -> None:
        """Stop machines outside of any call."""
        self._ask("stop", instance_ids=list(instance_ids))

    def reset(self) -> None:
        """Forget resources, settings, faults and calls; what was given at the start holds again."""
        self._ask("reset")
        if self._settings:
            self.configure(**self._settings)

    def _ask(self, command: str, **arguments: Any) -> Any:
        body = json.dumps(arguments).encode()
        request = urllib.request.Request(f"{self.url}/emulator/{command}", data=body, method="POST")
        try:
            with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise EmulatorError(json.load(error)["message"]) from error
        except OSError as error:
            raise EmulatorError(f"the emulator does not answer: {error}") from error
