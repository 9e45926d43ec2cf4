#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Does the plugin load into this tshark and answer? One line a check, `NAME ok` or `NAME FAILED`.
#
#   tests/plugin/smoke.sh CAPTURE TSHARK [ARGUMENT...]
#
# The command is run with further arguments after those given. CAPTURE must hold TCP or UDP over IP.
set -uo pipefail

if [ $# -lt 2 ]; then
    echo "usage: ${0##*/} CAPTURE TSHARK [ARGUMENT...]" >&2
    exit 2
fi
capture=$1
shift
tshark=("$@")
export TZ=UTC LC_ALL=C.UTF-8
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
failures=0

# result NAME STATUS [DETAIL]
result() {
    if [ "$2" -eq 0 ]; then
        printf '%s ok\n' "$1"
        return
    fi
    failures=$((failures + 1))
    printf '%s FAILED\n' "$1"
    printf '%s\n' "${3:-}" | head -n 20 | sed 's/^/    /'
    sed 's/^/    stderr: /' "$errors" | head -n 20
}

# run ARGUMENT...: tshark's standard output is left in `output`; false if it failed or reported a defect of ours.
run() {
    output=$("${tshark[@]}" "$@" 2>"$errors") || return 1
    ! grep -qiE 'dissector bug|critical|assert|oops|sanitizer|runtime error' "$errors"
}

# check NAME EXPRESSION ARGUMENT...: a line of the output matches.
check() {
    local name=$1 expression=$2
    shift 2
    run "$@" && grep -qE -- "$expression" <<<"$output"
    result "$name" $? "$output"
}

check loads '^flowscope\.so[[:space:]]+[0-9]+\.[0-9]+\.[0-9]+[[:space:]]' -G plugins
check stats '[0-9]' -q -n -r "$capture" -z flowscope,stats
check flows '[0-9]' -q -n -r "$capture" -z flowscope,flows
check fields '^[0-9]+$' -n -r "$capture" -T fields -e flowscope.flow
check filter '^[0-9]+$' -n -r "$capture" -Y flowscope.flow -T fields -e frame.number
check two-pass '^[0-9]+$' -2 -n -r "$capture" -T fields -e flowscope.flow
check details 'Flowscope' -n -r "$capture" -V

# Flowscope must not change what Wireshark dissects, whether it is on or off.
run -n -r "$capture" --disable-protocol flowscope -T fields -e frame.protocols
off=$output
run -n -r "$capture" -T fields -e frame.protocols && [ -n "$off" ] && [ "$output" = "$off" ]
result protocols $? "$(diff <(printf '%s\n' "$off") <(printf '%s\n' "$output"))"

run -n -r "$capture" --disable-protocol flowscope -T fields -e flowscope.flow && ! grep -q '[0-9]' <<<"$output"
result disabled $? "$output"

# A filter that is wrong must be said, not ignored.
! run -q -n -r "$capture" -z 'flowscope,stats,no such filter' && [ -s "$errors" ]
result bad-filter $? "$output"

[ "$failures" -eq 0 ]
