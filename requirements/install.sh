#!/usr/bin/env bash
# Install with pip into a virtual environment and show progress in words:
#     install.sh VENV TITLE PIP-ARGUMENT...
# The whole of pip's output is kept in VENV/pip.log; its errors are printed when it fails.
set -euo pipefail
venv=$1 title=$2
shift 2

echo "$title"
log=$venv/pip.log
show() {
    awk -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
        function say(text) { if (tty) printf "\r\033[K    %s", text; else print "    " text; fflush() }
        /^(Collecting|Processing|Obtaining) / { seen++; if (tty || seen % 25 == 0) { name = $2; sub(".*/", "", name); say(seen " packages fetched, now " name) } }
        /^Installing collected packages/ { say("unpacking " seen " packages") }
        /^Successfully installed/ { say("done: " NF - 2 " packages"); if (tty) print "" }
    '
}
# Modules are compiled when they are first imported; compiling all of them here would take minutes.
if ! PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --no-compile --no-input \
    --progress-bar off "$@" 2>&1 | tee "$log" | show; then
    echo >&2
    grep -v '^WARNING: Location' "$log" | tail -n 15 >&2
    echo "pip failed; all it said is in $log" >&2
    exit 1
fi
