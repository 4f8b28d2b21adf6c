#!/bin/sh
# The judges that come from PyPI, with their versions in requirements.txt: afterwards they are in DIR/bin.
#
#   venv.sh DIR
#
# Needs Debian's python3-venv, and the package index.
. "$(dirname "$0")/common.sh"

wanted=$(cd "$(dirname "$0")" && pwd)/requirements.txt
[ -n "${1-}" ] || fail "usage: $tool.sh DIR"
need python3 "python3 python3-venv"
new_folder "$1"
python3 -m venv "$folder" || fail "python3 makes no virtual environment: apt-get install python3-venv"
for try in 1 2 3; do
    if "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"; then
        exit 0
    fi
    echo "$tool.sh: try $try failed" >&2
done
fail "pip does not install what requirements.txt names"
