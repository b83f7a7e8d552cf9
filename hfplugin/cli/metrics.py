"""`hfplugin metrics`: what was counted over all calls, and how the state stands, for a monitoring system."""

from __future__ import annotations

import os
from contextlib import suppress

from hfplugin.environment import Environment
from hfplugin.metrics import exposition

# Adding up takes milliseconds; whoever holds the lock for longer hangs.
_WAIT_SECONDS = 5.0


def text(environment: Environment) -> str:
    return exposition.exposition(environment.state_dir, environment.provider_name, _WAIT_SECONDS)


def written(environment: Environment, path: str) -> str:
    """Write them into a file, without a path into the one that the state keeps, and give its path."""
    if not path:
        path = exposition.kept_path(environment.state_dir)
        with suppress(OSError):  # it is there, or there is no state, which the writing says
            os.mkdir(os.path.dirname(path), 0o700)
    exposition.write(path, text(environment))
    return path
