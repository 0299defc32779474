#!/usr/bin/env bash
# Install with pip into a virtual environment and show progress in words:
#     install.sh VENV TITLE PIP-ARGUMENT...
# The whole of pip's output is kept in VENV/pip.log; its errors are printed when it fails. What the network may be blamed
# for is tried INSTALL_TRIES times (4), INSTALL_PAUSE seconds (10) apart; pip keeps the files that came whole.
set -euo pipefail
venv=$1 title=$2
shift 2
tries=${INSTALL_TRIES:-4} pause=${INSTALL_PAUSE:-10}

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
attempt() {
    # Modules are compiled when they are first imported; compiling all of them here would take minutes.
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --no-compile --no-input --progress-bar off "$@" \
        2>&1 | tee "$log" | show
}
# pip goes on after some of these, and where it does it does not fail
network='Retrying \(Retry|Connection ?(aborted|refused|reset|Error|broken)|IncompleteRead|[Tt]imed? ?out|ProtocolError'
network+='|DO NOT MATCH THE HASHES|incomplete-download|BadZipFile|SSLError|name resolution|(429|50[0-9]) [A-Z]'
why() { grep -v '^WARNING: Location' "$log" | tail -n "$1"; }

for ((try = 1; ; try++)); do
    attempt "$@" && break
    echo >&2
    if ((try < tries)) && grep -qE "$network" "$log"; then
        echo "    a download failed ($(why 1 | cut -c 1-200)); trying again in $pause s, try $((try + 1)) of $tries" >&2
        sleep "$pause"
    else
        why 15 >&2
        echo "pip failed; all it said is in $log" >&2
        exit 1
    fi
done
