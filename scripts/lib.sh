# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts share. Source it; it sets `root` and the totals of tests.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

step() {
    printf '\n== %s\n' "$*"
}

jobs() {
    echo "${FLOWSCOPE_JOBS:-$(nproc)}"
}

# Run a command with the rights to install packages.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# The capture that is shown when none is named.
default_capture() {
    local file
    for file in "$root"/pcaps/{,*/}http*.pcap* "$root"/pcaps/{,*/}*.pcap*; do
        if [ -r "$file" ]; then
            printf '%s' "$file"
            return
        fi
    done
    die "no capture in $root/pcaps"
}

# Ninja where there is one; a build folder that exists keeps its own generator. Asked for late: scripts/deps may just have
# installed it.
choose_generator() {
    if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
}

# configure_and_build PRESET [CMAKE-ARGUMENT...]
configure_and_build() {
    local preset=$1
    shift
    choose_generator
    (cd "$root" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset" -j "$(jobs)")
}

# run_ctest PRESET [CTEST-ARGUMENT...]: run tests and add them to the totals. Never fails by itself: ask `report`.
# run_ctest_in FOLDER [CTEST-ARGUMENT...]: the same for a build folder without a preset.
total_passed=0
total_failed=0
total_skipped=0
run_ctest() {
    count_ctest --preset "$@"
}
run_ctest_in() {
    count_ctest --no-tests=error --output-on-failure --test-dir "$@"
}
count_ctest() {
    local junit status=0
    junit=$(mktemp)
    (cd "$root" && ctest --output-junit "$junit" "$@") || status=$?
    add_junit "$junit" "$status"
    rm -f "$junit"
}

# junit_count FILE ATTRIBUTE: a number of the <testsuite> element, which CTest writes one attribute a line.
junit_count() {
    sed -n "0,/[[:space:]]$2=\"/s/.*[[:space:]]$2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1
}

add_junit() {
    local file=$1 status=$2 tests failures skipped
    tests=$(junit_count "$file" tests)
    failures=$(junit_count "$file" failures)
    # Tests switched off count as skipped: they did not run.
    skipped=$(($(junit_count "$file" skipped) + $(junit_count "$file" disabled)))
    if [ -z "$tests" ] || { [ "$status" -ne 0 ] && [ "$failures" -eq 0 ]; }; then
        printf 'ctest failed (status %s) without naming a test\n' "$status" >&2
        total_failed=$((total_failed + 1))
        return
    fi
    total_passed=$((total_passed + tests - failures - skipped))
    total_failed=$((total_failed + failures))
    total_skipped=$((total_skipped + skipped))
}

# check NAME COMMAND...: run a command as one test.
check() {
    local name=$1
    shift
    step "$name"
    if "$@"; then
        total_passed=$((total_passed + 1))
    else
        printf 'FAILED: %s\n' "$name" >&2
        total_failed=$((total_failed + 1))
    fi
}

# subtotal COMMAND...: run a script that ends with `report` and add its totals to ours.
subtotal() {
    local file passed=0 failed=0 skipped=0 status=0
    file=$(mktemp)
    FLOWSCOPE_TOTALS=$file "$@" || status=$?
    read -r passed failed skipped <"$file" || true
    rm -f "$file"
    # A script that stopped early reported nothing.
    if [ "$status" -ne 0 ] && [ "${failed:-0}" -eq 0 ]; then
        printf '%s stopped with status %s\n' "$1" "$status" >&2
        failed=1
    fi
    total_passed=$((total_passed + ${passed:-0}))
    total_failed=$((total_failed + ${failed:-0}))
    total_skipped=$((total_skipped + ${skipped:-0}))
}

# The closing line; false if anything failed or nothing ran.
report() {
    if [ -n "${FLOWSCOPE_TOTALS:-}" ]; then
        echo "$total_passed $total_failed $total_skipped" >"$FLOWSCOPE_TOTALS"
    fi
    printf '\n%d passed, %d failed' "$total_passed" "$total_failed"
    if [ "$total_skipped" -gt 0 ]; then
        printf ', %d skipped' "$total_skipped"
    fi
    printf '\n'
    [ "$total_failed" -eq 0 ] && [ "$total_passed" -gt 0 ]
}
