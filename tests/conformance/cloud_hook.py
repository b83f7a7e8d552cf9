"""What the emulated AWS is told by a hook: `cloud_hook.py URL HOOK [MACHINE-ID]`."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any


def command(hook: str, machine_id: str) -> tuple[str, dict[str, Any]]:
    """Give the emulator's command and its arguments."""
    if hook == "interrupt":
        return "interrupt", {"instance_id": machine_id, "notice_seconds": 1}
    if hook == "terminate":
        return "terminate", {"instance_ids": [machine_id]}
    if hook == "unreachable":
        return "fault", {"kind": "drop_before"}
    return ("lift" if hook == "reachable" else hook), {}


def main(url: str, hook: str, machine_id: str = "") -> None:
    name, arguments = command(hook, machine_id)
    request = urllib.request.Request(f"{url}/emulator/{name}", data=json.dumps(arguments).encode())
    with urllib.request.urlopen(request) as response:
        found = json.load(response)
    if hook == "machines":
        sys.stdout.writelines(f"{machine['id']}\n" for machine in found if machine["is_alive"])


if __name__ == "__main__":
    main(*sys.argv[1:])
