# shellcheck shell=bash
# What the five verb scripts share: finds the plug-in and an interpreter, then becomes hfplugin's answer.
# Sourced with the verb and the script's own arguments. Forks nothing: every poll pays for it.
set -eu

verb=$1
shift

install='python3 -m venv .venv && .venv/bin/pip install .'

# Fails as HostFactory wants it: one JSON object on stdout. What JSON would have to escape becomes '?'.
fail() {
    local message=${1//[^[:print:]]/?}
    printf '{"message": "%s"}\n' "${message//[\"\\]/?}"
    exit 1
}

# There and back resolves the root without a fork. A directory that cannot be entered again opens no relative
# FILE either, so staying in the root loses nothing.
called_from=${PWD:-/}
CDPATH='' cd -P -- "${BASH_SOURCE[0]%/*}/.."
root=$PWD
cd -- "$called_from" 2>/dev/null || :

remedy="to install, run in $root, with Python 3.11 or newer: $install"

if [[ -n ${HFPLUGIN_PYTHON:-} ]]; then
    python=$HFPLUGIN_PYTHON
    if [[ ! -f $python || ! -x $python ]]; then
        fail "HFPLUGIN_PYTHON is '$python', not an executable file; set it to a Python 3.11 or newer, or unset it"
    fi
elif [[ -x $root/.venv/bin/python ]]; then
    python=$root/.venv/bin/python
elif type -P python3 >/dev/null; then
    python=python3
else
    fail "no .venv in the plug-in and no python3 on PATH; $remedy"
fi

# Any Python 3 has to parse this, or one that is too old could not say so. The tree beside the scripts wins over
# an installed package.
start="
import sys
root = sys.argv[1]
sys.path.insert(0, root)
try:
    if sys.version_info < (3, 11):
        raise ImportError('Python %d.%d is too old' % sys.version_info[:2])
    from hfplugin.__main__ import main
except ImportError as error:
    import json
    remedy = 'to install, run in %s, with Python 3.11 or newer: $install' % root
    print(json.dumps({'message': '%s cannot run hfplugin: %s; %s' % (sys.executable, error, remedy)}))
    sys.exit(1)
sys.exit(main(sys.argv[2:]))
"

# HostFactory removes FILE when it likes: opened here, it stays. Any other argument is Python's to judge.
if [[ $# -eq 2 && $1 == -f && -r $2 && ! -d $2 ]] && exec <"$2"; then
    set --
fi

shopt -s execfail # an interpreter that does not start, such as one for another machine, is answered too
exec "$python" -I -c "$start" "$root" "$verb" "$@" || fail "$python does not start; $remedy"
