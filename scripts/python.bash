# shellcheck shell=bash
# What tests/run.sh and demo.sh share: a Python, an environment made from it, and none of the caller's settings.
# Sourced with the repository as the working directory.

# Exit status 2: not a failure of what was to be run.
cannot_run() {
    printf '%s: %s\n' "$0" "$1" >&2
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

# What an environment was made from. The directory counts: an environment that was moved or copied is broken.
stamp() {
    "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
    pwd -P
    cat pyproject.toml
}

# can_import ENVIRONMENT MODULES
can_import() {
    "$1/bin/python" -c "import $2" >/dev/null 2>&1
}

# make_environment ENVIRONMENT EXTRAS. The stamp is empty until all is installed: an interrupted start is made anew.
make_environment() {
    printf 'making %s with %s: about a minute\n' "$1" "$("$python" --version 2>&1)"
    { rm -rf -- "$1" && mkdir -- "$1" && : >"$1/stamp"; } 2>/dev/null ||
        cannot_run "cannot write $PWD/$1: run it as its owner, or in a clone of your own"
    {
        "$python" -m venv "$1" &&
            "$1/bin/python" -m pip install --disable-pip-version-check -e ".[$2]"
    } >"$1/install.log" 2>&1 || {
        cat -- "$1/install.log" >&2
        cannot_run "cannot install hfplugin and its requirements: see above; pip needs a package index (PIP_INDEX_URL)"
    }
    stamp >"$1/stamp"
}

# keep_environment ENVIRONMENT EXTRAS MODULES. Makes it unless it is as pyproject.toml wants it and can import MODULES.
keep_environment() {
    if [[ -f $1/stamp && $(<"$1/stamp") == "$(stamp)" ]] && can_import "$1" "$3"; then
        return
    fi
    make_environment "$1" "$2"
}

# The caller's clusters and clouds are no business of what runs here, and a proxy would swallow calls to the emulator.
forget_the_caller() {
    unset -v "${!AWS_@}" "${!HF_@}" "${!HFPLUGIN_@}" "${!PRO_@}" PROVIDER_NAME PYTHONPATH
    unset -v HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
}
