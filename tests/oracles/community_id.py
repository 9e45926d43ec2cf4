#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The community_id column over the captures of ../shared/oracles/community-id: every flow has the published ID."""
import csv
import glob
import io
import json
import os
import sys

import support

BASELINES = {"baseline_deflt.json": 0, "baseline_seed1.json": 1}


def ours(folder, seed):
    """{(protocol, addresses): IDs} of all captures."""
    found = {}
    for capture in sorted(glob.glob(os.path.join(folder, "*.pcap"))):
        text = support.replay("--export=csv:-", f"--community-seed={seed}", capture).decode()
        for row in csv.DictReader(io.StringIO(text, newline="")):
            if row["community_id"]:
                key = int(row["ip_protocol"]), frozenset((row["initiator"], row["responder"]))
                found.setdefault(key, set()).add(row["community_id"])
    return found


def published(path):
    found = {}
    with open(path, encoding="utf-8") as file:
        for entry in json.load(file):
            key = entry["proto"], frozenset((entry["saddr"], entry["daddr"]))
            found.setdefault(key, set()).add(entry["communityid"])
    return found


def main():
    folder = support.folder("oracles", "community-id")
    rows = [("baseline", "seed", "flows", "IDs that agree")]
    problems = []
    for name, seed in BASELINES.items():
        expected, found = published(os.path.join(folder, name)), ours(folder, seed)
        agree = sum(len(ids & found.get(key, set())) for key, ids in expected.items())
        rows.append((name, str(seed), str(sum(map(len, found.values()))), f"{agree}/{sum(map(len, expected.values()))}"))
        for key in sorted(set(expected) | set(found), key=str):
            if expected.get(key) != found.get(key):
                problems.append(f"{name}: {key}: {found.get(key)}, published {expected.get(key)}")
    support.table(rows)
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
