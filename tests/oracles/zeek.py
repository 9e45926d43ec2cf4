#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Our conn.log of every case of ../shared/oracles/zeek, held against Zeek's by compare_conn.py.

Fields that an expectation leaves unset in every record are not compared: that run of Zeek did not log them. Each
difference that is left must be listed in DIFFERENCES, with the reason that docs/differences.md gives; a listed one
that is gone must be taken out.
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
    "core.tcp.miss-end-data": (2, "Gaps"),
    "core.tunnels.gre-aruba-amsdu": (2, "A-MSDU in GRE"),
    "core.tunnels.vxlan": (1, "History of ICMP"),
    "core.tunnels.vxlan-unknown-internal-packet": (15, "Checksums"),
    "scripts.base.frameworks.analyzer.request-analyzer": (10, "Configuration of the case"),
    "scripts.base.frameworks.logging.field-extension-complex": (6, "Roles by port"),
}
AT_LEAST = 0.95


def expected_rows(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = [line.rstrip("\n") for line in log]
    names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return names, [dict(zip(names, row)) for row in rows]


def logged_fields(compare, path):
    """The fields that compare_conn.py compares by itself, without those that this run of Zeek did not log."""
    text = open(compare, encoding="utf-8").read()
    fields = re.findall(r'"(\w+)"', re.search(r"^FIELDS = \[(.*?)\]", text, re.S | re.M)[1])
    _, rows = expected_rows(path)
    return [field for field in fields if any(row.get(field, "-") != "-" for row in rows)] or fields


def run(case):
    oracles = support.folder("oracles")
    compare = os.path.join(oracles, "compare_conn.py")
    capture = glob.glob(os.path.join(case, "input.*"))[0]
    expected = os.path.join(case, "conn.log")
    with tempfile.TemporaryDirectory(prefix="flowscope-zeek.") as scratch:
        ours = os.path.join(scratch, "conn.log")
        support.replay("--timeouts-like=zeek", "--export=zeek:" + ours, capture)
        done = subprocess.run([sys.executable, compare, "--fields", ",".join(logged_fields(compare, expected)), ours,
                               expected], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    found, records, extra, same, compared = map(int, re.fullmatch(
        r"records (\d+)/(\d+) \(\+(\d+) extra\) fields (\d+)/(\d+)", lines[-1]).groups())
    return os.path.basename(case), found, records, extra, same, compared, lines[:-1]


def main():
    cases = sorted(glob.glob(os.path.join(support.folder("oracles", "zeek"), "*", "")))
    results = support.each(run, [case.rstrip("/") for case in cases])
    rows = [("case", "records", "extra", "fields", "why")]
    problems = [] if results else ["no cases"]
    same_sum = compared_sum = 0
    for name, found, records, extra, same, compared, lines in results:
        known, why = DIFFERENCES.get(name, (0, ""))
        same_sum += same
        compared_sum += compared
        rows.append((name, f"{found}/{records}", str(extra), f"{same}/{compared}", why))
        if len(lines) != known:
            problems.append(f"{name}: {len(lines)} differences, {known} are documented:\n  " + "\n  ".join(lines))
    support.table(rows)
    share = same_sum / compared_sum if compared_sum else 0
    print(f"{same_sum} of {compared_sum} fields agree: {share:.1%}")
    if share < AT_LEAST:
        problems.append(f"less than {AT_LEAST:.0%} of the fields agree")
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
