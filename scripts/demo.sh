#!/usr/bin/env bash
# The plug-in at work on a fresh machine, without an account: `bash scripts/demo.sh`.
# Exit status: 0 = all was as HostFactory's contract says, 1 = something was not, 2 = it could not be played.
set -eu
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/python.bash
source scripts/python.bash

environment=.venv
modules='boto3, hfplugin.emulator.server, rich, structlog, tenacity'

# An environment without our stamp is somebody's, perhaps HostFactory's own: used when it serves, never changed.
if [[ -e $environment && ! -e $environment/stamp ]]; then
    can_import "$environment" "$modules" ||
        cannot_run "$environment is not the demo's own and lacks what the demo needs: in $PWD, run \
$environment/bin/python -m pip install -e '.[emulator]', or play the demo in another clone"
else
    find_python
    keep_environment "$environment" emulator "$modules"
fi

forget_the_caller
exec "$environment/bin/python" -I scripts/demo "$@"
