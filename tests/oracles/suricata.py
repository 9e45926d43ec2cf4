#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Our EVE flow records of every case of ../shared/oracles/suricata, held against the filters of its test.yaml that have
`event_type: flow`.

A filter says how many records have certain values. Values that only rules or application parsers know (MEANT_FOR_OTHERS)
are left out; a filter that asked for them then says a least number. Each filter that fails must be listed in DIFFERENCES
with the reason that docs/differences.md gives; a listed one that holds must be taken out.
"""
import glob
import json
import os
import re
import sys

import support

try:
    import yaml
except ImportError:
    print("skipped: needs Python's yaml (Debian: python3-yaml)")
    sys.exit(support.SKIPPED)

MEANT_FOR_OTHERS = re.compile(r"app_proto|flow\.alerted$|traffic\.|metadata\.|flow\.action$")

# (case, number of the filter among the case's flow filters, from 1): heading in docs/differences.md
DIFFERENCES = {}
# What the case's own suricata.yaml sets.
CONFIGURED = {"community-id-sameip": ["--community-seed=1"]}
AT_LEAST = 0.9


def value_of(record, path):
    """The value at a.b[0].c; None if there is none."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            record = record[name] if name else record[int(index)]
        except (KeyError, IndexError, TypeError):
            return None
    return record


def matches(record, wanted):
    return all(value_of(record, path) == value for path, value in wanted.items())


def flow_filters(case):
    with open(os.path.join(case, "test.yaml"), encoding="utf-8") as file:
        checks = yaml.safe_load(file)["checks"]
    filters = [check["filter"] for check in checks if "filter" in check]
    return [f for f in filters if f.get("match", {}).get("event_type") == "flow"]


def run(case):
    captures = [path for path in glob.glob(os.path.join(case, "*")) if not path.endswith(".yaml")]
    output = support.replay("--timeouts-like=suricata", "--domain=vlan", "--export=eve:-",
                            *CONFIGURED.get(os.path.basename(case), ()), *captures)
    records = [json.loads(line) for line in output.splitlines()]
    results = []
    for wanted in flow_filters(case):
        match = {path: value for path, value in wanted["match"].items() if not MEANT_FOR_OTHERS.match(path)}
        partial = len(match) < len(wanted["match"])
        count = sum(matches(record, match) for record in records)
        agrees = count >= wanted["count"] if partial else count == wanted["count"]
        results.append((agrees, count, wanted["count"], partial, len(match), len(wanted["match"])))
    return os.path.basename(case), results


def main():
    cases = sorted(glob.glob(os.path.join(support.folder("oracles", "suricata"), "*", "")))
    rows = [("case", "filter", "records", "expected", "values", "result")]
    problems, held, total, whole = [], 0, 0, 0
    for name, results in support.each(run, [case.rstrip("/") for case in cases]):
        for number, (agrees, count, expected, partial, used, asked) in enumerate(results, 1):
            total += 1
            held += agrees
            whole += agrees and not partial
            why = DIFFERENCES.get((name, number))
            result = "ok" if agrees else why or "FAILED"
            rows.append((name, str(number), str(count), f"{'>= ' if partial else ''}{expected}", f"{used}/{asked}", result))
            if agrees and why:
                problems.append(f"{name}, filter {number} holds: take it out of DIFFERENCES")
            if not agrees and not why:
                problems.append(f"{name}, filter {number}: {count} records, not {expected}")
    support.table(rows)
    print(f"{held} of {total} filters hold, {whole} of them with every value that they ask for")
    if not total or held < AT_LEAST * total:
        problems.append(f"less than {AT_LEAST:.0%} of the filters hold")
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
