#!/bin/sh
# Prints the command of a Python that marketflow runs on, for the Makefile; what it does besides is said on stderr.
#
#     deploy/python.sh FOLDER
#
# The first of $PYTHON, python3.12, python3.11 and python3 that fits. Where none does, uv fetches one: the uv on the PATH,
# or one from PyPI in an environment of its own below FOLDER. Exit code 1 with a line of what to install if that fails too.
set -u
folder=$1
fits='import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'
wanted=3.12

for python in ${PYTHON:-python3.12 python3.11 python3}; do
    if "$python" -c "$fits" 2>/dev/null; then
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            exit 0
        fi
        echo "marketflow: $python has no venv module: install it (Debian, Ubuntu: python3-venv)" >&2
        without_venv=yes
    fi
done
if [ -n "${PYTHON:-}" ]; then
    echo "marketflow needs Python 3.11 or 3.12, and PYTHON=$PYTHON is none: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
[ -z "${without_venv:-}" ] || exit 1

echo "marketflow: no Python 3.11 or 3.12 here; uv fetches Python $wanted, once" >&2
uv=$(command -v uv) || {
    uv=$folder/bin/uv
    [ -x "$uv" ] || { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check uv; } >&2 || uv=
}
if [ -n "$uv" ] && "$uv" python install --quiet "$wanted" >&2 && python=$("$uv" python find "$wanted") && "$python" -c "$fits"; then
    echo "$python"
    exit 0
fi
echo "marketflow: that failed (no network?): install Python 3.12 or 3.11 with its venv module, then make again," >&2
echo "marketflow: or name one that is elsewhere: make PYTHON=/path/to/python3.12" >&2
exit 1
