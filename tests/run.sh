#!/usr/bin/env bash
# Everything that has to pass, on a machine with nothing but Python 3.11 or newer: `bash tests/run.sh`.
# Arguments go to pytest: `--scripts` starts a script for each of HostFactory's calls, where most tests save the
# interpreter's start (tests/standby.py). The environment .venv-test is made on the first run and kept.
# Exit status: 0 = all passed, 1 = a step failed, 2 = the steps could not be run.
set -eu
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/python.bash
source scripts/python.bash

environment=.venv-test
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
export TMPDIR=$scratch

failed=()
step() {
    printf '\n== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

find_python
printf '== environment: %s, %s\n' "$("$python" --version 2>&1)" "$environment"
keep_environment "$environment" dev,emulator 'mypy, pytest'
forget_the_caller

run=$environment/bin
# Outside a git checkout nothing else keeps ruff off the programs in the environment.
step 'ruff check' "$run/python" -m ruff check --extend-exclude "$environment"
step 'ruff format --check' "$run/python" -m ruff format --check --extend-exclude "$environment"
step 'mypy' "$run/python" -m mypy
step 'shellcheck -x' "$run/shellcheck" -x scripts/*.sh scripts/*.bash tests/run.sh .ci/run
step 'pytest' "$run/python" -m pytest -n 2 --dist worksteal "$@" # last, so that its summary ends the output

if ((${#failed[@]})); then
    printf -v names ', %s' "${failed[@]}"
    printf '\nfailed: %s\n' "${names:2}" >&2
    exit 1
fi
