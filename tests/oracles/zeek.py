#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Our conn.log of every case of ../shared/oracles/zeek, held against Zeek's by compare_conn.py.

A case whose run of Zeek counted no packets has no packet counts in any record; those columns of it cannot be compared
and are left out. All others are compared, unset values included. Both sums are printed. Each difference that is left
must be listed in DIFFERENCES, with the reason that docs/differences.md gives; a listed one that is gone must be taken
out.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

import support

# Case: (lines that compare_conn.py prints, heading in docs/differences.md).
DIFFERENCES = {
    "core.tcp.large-file-reassembly": (1, "Gaps"),
    "core.tcp.miss-end-data": (1, "Gaps"),
    "core.tunnels.gre-aruba-amsdu": (2, "A-MSDU in GRE"),
    "core.tunnels.vxlan": (1, "Letter X"),
    "core.tunnels.vxlan-unknown-internal-packet": (15, "Checksums"),
    "scripts.base.frameworks.logging.field-extension-complex": (6, "Roles by port"),
}
# Zeek sets these of every connection, if its script for connection sizes is loaded.
COUNTS = {"orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"}
AT_LEAST = 0.95
SUMMARY = r"records (\d+)/(\d+) \(\+(\d+) extra\) fields (\d+)/(\d+)"


def expected_rows(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = [line.rstrip("\n") for line in log]
    names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [dict(zip(names, row)) for row in rows]


def logged_fields(compare, path):
    """The fields that compare_conn.py compares by itself, without the packet counts of a run that did not log them."""
    text = open(compare, encoding="utf-8").read()
    fields = re.findall(r'"(\w+)"', re.search(r"^FIELDS = \[(.*?)\]", text, re.S | re.M)[1])
    rows = expected_rows(path)
    return [field for field in fields if field not in COUNTS or any(row.get(field, "-") != "-" for row in rows)]


def compared(compare, ours, expected, *options):
    """What compare_conn.py prints: lines of differences, and the numbers of its last line."""
    done = subprocess.run([sys.executable, compare, *options, ours, expected], capture_output=True, text=True,
                          check=False)
    lines = done.stdout.splitlines()
    return lines[:-1], list(map(int, re.fullmatch(SUMMARY, lines[-1]).groups()))


def run(case):
    compare = os.path.join(support.folder("oracles"), "compare_conn.py")
    capture = glob.glob(os.path.join(case, "input.*"))[0]
    how = open(os.path.join(case, "case.txt"), encoding="utf-8").read()
    filters = ["--filter=" + text for text in re.findall(r"zeek .*-f '([^']+)'", how)]
    expected = os.path.join(case, "conn.log")
    with tempfile.TemporaryDirectory(prefix="flowscope-zeek.") as scratch:
        ours = os.path.join(scratch, "conn.log")
        support.replay("--timeouts-like=zeek", "--export=zeek:" + ours, *filters, capture)
        _, whole = compared(compare, ours, expected)
        lines, logged = compared(compare, ours, expected, "--fields", ",".join(logged_fields(compare, expected)))
    return os.path.basename(case), lines, logged, whole


def share(same, total):
    return f"{same} of {total} ({same / total if total else 0:.1%})"


def main():
    cases = sorted(glob.glob(os.path.join(support.folder("oracles", "zeek"), "*", "")))
    results = support.each(run, [case.rstrip("/") for case in cases])
    rows = [("case", "records", "extra", "fields", "all columns", "why")]
    problems = [] if results else ["no cases"]
    for name, lines, (found, records, extra, same, fields), whole in results:
        known, why = DIFFERENCES.get(name, (0, ""))
        rows.append((name, f"{found}/{records}", str(extra), f"{same}/{fields}", f"{whole[3]}/{whole[4]}", why))
        if len(lines) != known:
            problems.append(f"{name}: {len(lines)} differences, {known} are documented:\n  " + "\n  ".join(lines))
    support.table(rows)
    found, records, extra, same, fields = (sum(logged[i] for _, _, logged, _ in results) for i in range(5))
    whole_same, whole_fields = (sum(whole[i] for _, _, _, whole in results) for i in (3, 4))
    print(f"{found} of {records} records are found, {extra} are only ours. Fields that agree: {share(same, fields)} of "
          f"those that the case's run of Zeek logged, {share(whole_same, whole_fields)} with packet counts of the others")
    if same < AT_LEAST * fields:
        problems.append(f"less than {AT_LEAST:.0%} of the fields agree")
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
