"""Plays histories: `python tests/simulation --histories N --seed S [--processes P] [--steps 1,4,7]`."""

from __future__ import annotations

import argparse
import sys
import time
from multiprocessing import Pool
from os import cpu_count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.history import Failure, play, shortest

# A history takes some 20 ms: this many a task keep the processes busy without a long wait at the end.
_BATCH = 50

# One fault breaks many histories: more of them tell nothing new.
_MOST_FAILURES = 5


def main() -> int:
    options = _options()
    if options.steps is not None:
        failure = play(options.seed, [int(number) for number in options.steps.split(",") if number])
        sys.stdout.write(f"{failure or 'all laws hold'}\n")
        return 1 if failure else 0
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.histories)
    failures: list[Failure] = []
    played = 0
    with Pool(options.processes) as pool:
        for found in pool.imap_unordered(play, seeds, _BATCH):
            played += 1
            failures += [found] if found else []
            if len(failures) >= _MOST_FAILURES:
                break
    took = time.monotonic() - began
    for failure in failures:
        sys.stdout.write(f"{shortest(failure)}\n\n")
    sys.stdout.write(
        f"{played} histories from seed {options.seed} in {took:.1f} s "
        f"({played / took * 60:.0f} a minute): {len(failures) or 'none'} broke a law\n"
    )
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=cpu_count())
    parser.add_argument("--steps", help="play only these steps of the one seed, separated by commas")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
