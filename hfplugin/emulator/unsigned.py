"""A few AWS calls to the emulator without AWS's libraries, so that no setting of the caller's takes part.

The emulator checks no signature: the region and the account's key are read from where a signature would name them.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from xml.etree import ElementTree

from hfplugin.emulator.client import CREDENTIALS, EmulatorError

_TIMEOUT_SECONDS = 60.0

_EC2 = "2016-11-15"
_STS = "2011-06-15"

# No proxy of the environment stands between this machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def subnet_zones(url: str, region: str, access_key: str = "") -> dict[str, str]:
    """Give the zone of every subnet, by its id; the default network's come first, zone by zone."""
    content = _query(url, "ec2", region, access_key, {"Action": "DescribeSubnets", "Version": _EC2})
    found = [
        (_text(item, "defaultForAz") != "true", _text(item, "availabilityZone"), _text(item, "subnetId"))
        for item in ElementTree.fromstring(content).iterfind("{*}subnetSet/{*}item")
    ]
    return {subnet: zone for _, zone, subnet in sorted(found)}


def key_of(url: str, account: str) -> str:
    """Give an access key of an account, by assuming a role in it; the role need not exist."""
    role = f"arn:aws:iam::{account}:role/emulator"
    form = {"Action": "AssumeRole", "Version": _STS, "RoleArn": role, "RoleSessionName": "emulator"}
    answer = ElementTree.fromstring(_query(url, "sts", "us-east-1", "", form))
    return _text(answer, "AssumeRoleResult/{*}Credentials/{*}AccessKeyId")


def put_parameter(url: str, region: str, name: str, value: str, access_key: str = "") -> None:
    """Make a parameter of Systems Manager."""
    body = json.dumps({"Name": name, "Value": value, "Type": "String", "Overwrite": True}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.PutParameter"}
    _post(url, "ssm", region, access_key, body, headers)


def _query(url: str, service: str, region: str, access_key: str, form: dict[str, str]) -> bytes:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return _post(url, service, region, access_key, urllib.parse.urlencode(form).encode(), headers)


def _post(url: str, service: str, region: str, access_key: str, body: bytes, headers: dict[str, str]) -> bytes:
    key = access_key or CREDENTIALS["AWS_ACCESS_KEY_ID"]
    # The date is not looked at.
    scope = f"AWS4-HMAC-SHA256 Credential={key}/20000101/{region}/{service}/aws4_request"
    request = urllib.request.Request(url, body, {**headers, "Authorization": scope}, method="POST")
    try:
        with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        raise EmulatorError(f"the emulator refused {service}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise EmulatorError(f"the emulator does not answer: {error}") from error


def _text(element: ElementTree.Element, path: str) -> str:
    return element.findtext(f"{{*}}{path}", "")
