"""moto's server as a process of its own: an EC2 that the plug-in's scripts can reach."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from player import CREDENTIALS

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

REGION = "eu-central-1"

IMAGE_ID = "ami-0123456789abcdef0"

# The one image of every region. moto's own catalogue would take seconds to load after each reset.
_IMAGE = {
    "ami_id": IMAGE_ID,
    "name": "compute",
    "description": "compute",
    "owner_id": "099720109477",
    "public": True,
    "virtualization_type": "hvm",
    "architecture": "x86_64",
    "state": "available",
    "image_type": "machine",
    "image_location": "amazon/compute",
    "hypervisor": "xen",
    "root_device_name": "/dev/xvda",
    "root_device_type": "ebs",
    "sriov": "simple",
    "creation_date": "2026-01-01T00:00:00.000Z",
}

# It ends with its standard input, so that it never outlives the tests, however they end.
_PROGRAM = """
import os, sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
os.dup2(2, 1)  # nobody reads on
sys.stdin.read()
"""


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """Serve on a free port while the block runs, and give the URL. What moto can check, it checks."""
    images = directory / "images.json"
    images.write_text(json.dumps([_IMAGE]))
    environment = {
        "PATH": "/usr/bin:/bin",
        "MOTO_AMIS_PATH": str(images),
        "MOTO_ENABLE_AMI_VALIDATION": "true",
        "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
        "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    }
    with (
        (directory / "stderr").open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            assert port, (directory / "stderr").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def reset(url: str) -> None:
    """Forget every resource."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")):
        pass


def client(url: str, region: str = REGION) -> EC2Client:
    return boto3.client(
        "ec2",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def template(subnet: str, **keys: object) -> dict[str, object]:
    """The least that a template needs here, and what is laid over it.

    The volume's size is moto's need: it does not take it from the image, as EC2 does.
    """
    return {
        "templateId": "small",
        "maxNumber": 100,
        "imageId": IMAGE_ID,
        "subnetId": subnet,
        "vmType": "m5.large",
        "rootDeviceVolumeSize": 20,
        **keys,
    }
