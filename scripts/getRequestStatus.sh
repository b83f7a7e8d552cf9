#!/bin/bash
# HostFactory runs this as `getRequestStatus.sh -f FILE`, by any path and from any directory.
set -eu
script=${BASH_SOURCE[0]}
if [[ -L $script ]]; then script=$(readlink -f -- "$script"); fi
if [[ $script != */* ]]; then script=./$script; fi
# shellcheck source-path=SCRIPTDIR source=verb.bash
source "${script%/*}/verb.bash" getRequestStatus "$@"
