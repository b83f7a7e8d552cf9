"""What the emulator costs at size: launching and describing ten thousand machines.

    python tests/benchmarks/emulator.py [machines]

Each figure is the wall time of boto3 and the emulator's process together, both of which want a core. Exit status 1
when describing them all takes longer than a rehearsal of 10,000 machines can bear: run it on a quiet machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent)]

from ec2_calls import launch, seen  # noqa: E402

from hfplugin.emulator import Emulator  # noqa: E402

MACHINES = 10_000

# As hfplugin launches and describes, and the most that a page holds.
_LAUNCHED, _BY_IDS, _BY_TAG = 500, 500, 1000

_BUDGET_SECONDS = 10.0

_TAGS: Any = [{"ResourceType": "instance", "Tags": [{"Key": "lot", "Value": "benchmark"}]}]


def main() -> int:
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else MACHINES
    with Emulator() as emulator:
        ec2 = emulator.ec2()
        ids: list[str] = []
        with _timed("launch", machines):
            while len(ids) < machines:
                ids += launch(ec2, min(_LAUNCHED, machines - len(ids)), TagSpecifications=_TAGS)
        with _timed(f"describe by ids, {_BY_IDS} a call", machines) as by_ids:
            found = [
                each["InstanceId"] for chunk in _chunks(ids, _BY_IDS) for each in seen(ec2, InstanceIds=chunk)
            ]
        assert found == ids
        tagged: Any = [{"Name": "tag:lot", "Values": ["benchmark"]}]
        with _timed(f"describe by tag, {_BY_TAG} a page", machines) as by_tag:
            found = [each["InstanceId"] for each in seen(ec2, Filters=tagged, MaxResults=_BY_TAG)]
        assert found == ids
    return int(max(by_ids + by_tag) > _BUDGET_SECONDS)


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


@contextmanager
def _timed(name: str, machines: int) -> Iterator[list[float]]:
    """Print how long the block takes; the seconds are in the list afterwards."""
    seconds: list[float] = []
    begun = time.monotonic()
    yield seconds
    seconds.append(time.monotonic() - begun)
    sys.stdout.write(f"{name + ':':<36}{seconds[0]:6.2f} s for {machines}\n")


if __name__ == "__main__":
    sys.exit(main())
