#!/usr/bin/env bash
# Everything that has to pass, on a machine with nothing but Python 3.11 or newer: `bash tests/run.sh`.
# Arguments go to pytest. The environment .venv-test is made on the first run and kept.
# Exit status: 0 = all passed, 1 = a step failed, 2 = the steps could not be run.
set -eu
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

environment=.venv-test
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
export TMPDIR=$scratch

cannot_run() {
    printf 'tests/run.sh: %s\n' "$1" >&2
    exit 2
}

# Sets python. ensurepip is asked for because Debian and Ubuntu ship a venv that cannot work without it.
find_python() {
    local candidate without_venv=
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            python=$candidate
            return
        fi
        without_venv=$candidate
    done
    if [[ -n $without_venv ]]; then
        cannot_run "$without_venv has no venv: install it (Debian, Ubuntu: apt-get install python3-venv), or set PYTHON"
    fi
    cannot_run 'no Python 3.11 or newer: install one (dnf or apt-get install python3.11), or set PYTHON to its path'
}

# What the environment was made from. The directory counts: an environment that was moved or copied is broken.
stamp() {
    "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
    pwd -P
    cat pyproject.toml
}

is_current() {
    [[ -f $environment/stamp && $(<"$environment/stamp") == "$(stamp)" ]] &&
        "$environment/bin/python" -c 'import mypy, pytest' >/dev/null 2>&1
}

make_environment() {
    rm -rf -- "$environment"
    {
        "$python" -m venv "$environment" &&
            "$environment/bin/python" -m pip install --disable-pip-version-check -e '.[dev,emulator]'
    } >"$scratch/install" 2>&1 || {
        cat -- "$scratch/install" >&2
        cannot_run "cannot install the development requirements: see above; pip needs a package index (PIP_INDEX_URL)"
    }
    stamp >"$environment/stamp"
}

# The caller's clusters and clouds are no business of the tests, and a proxy would swallow calls to the emulator.
forget_the_caller() {
    unset -v "${!AWS_@}" "${!HF_@}" "${!HFPLUGIN_@}" "${!PRO_@}" PROVIDER_NAME PYTHONPATH
    unset -v HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
}

failed=()
step() {
    printf '\n== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

find_python
printf '== environment: %s, %s\n' "$("$python" --version 2>&1)" "$environment"
is_current || make_environment
forget_the_caller

run=$environment/bin
# Outside a git checkout nothing else keeps ruff off the programs in the environment.
step 'ruff check' "$run/python" -m ruff check --extend-exclude "$environment"
step 'ruff format --check' "$run/python" -m ruff format --check --extend-exclude "$environment"
step 'mypy' "$run/python" -m mypy
step 'shellcheck -x' "$run/shellcheck" -x scripts/*.sh scripts/*.bash tests/run.sh .ci/run
step 'pytest' "$run/python" -m pytest -n 2 "$@" # last, so that its summary ends the output

if ((${#failed[@]})); then
    printf -v names ', %s' "${failed[@]}"
    printf '\nfailed: %s\n' "${names:2}" >&2
    exit 1
fi
