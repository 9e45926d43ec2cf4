#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every capture of ../shared/captures and of pcaps/, exported in every format: Python's csv and json read all of it, the
three describe the same flows, and their sums are the totals of --stats."""
import csv
import io
import json
import os
import sys
import tempfile

import support

# libpcap reads these.
SUFFIXES = (".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz", ".cap.gz")
IP_TUNNELS = {"4", "41", "47"}
SURICATA_FLOWS = {"1", "6", "17", "50", "58", "132"}
CONTROL = {*range(0x20), *range(0x7f, 0xa0)}


def captures():
    roots = [support.folder("captures"), os.path.join(support.ROOT, "pcaps")]
    return sorted(os.path.join(folder, name) for root in roots for folder, _, names in os.walk(root)
                  for name in names if name.endswith(SUFFIXES))


def unlike(text, line_ends):
    """Control characters that no export may hold."""
    return sorted({hex(ord(c)) for c in text if ord(c) in CONTROL and c not in line_ends})


def read_csv(text):
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader)
    rows = list(reader)
    assert all(len(row) == len(header) for row in rows), "rows of another length than the header"
    return [dict(zip(header, row)) for row in rows]


def read_zeek(text):
    lines = text.split("\n")
    assert lines.pop() == "" and lines[0] == "#separator \\x09" and lines[-1].startswith("#close\t"), "frame of the log"
    names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    types = next(line for line in lines if line.startswith("#types")).split("\t")[1:]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(types) == len(names) and all(len(row) == len(names) for row in rows), "rows of another length"
    return [dict(zip(names, row)) for row in rows]


def tuple_of_csv(row):
    return (row["uid"], row["initiator"], row["responder"], row["packets_initiator"], row["packets_responder"],
            row["ip_bytes_initiator"], row["ip_bytes_responder"], row["community_id"])


def tuple_of_eve(record):
    own, flow = record["flowscope"], record["flow"]
    return (own["uid"], record["src_ip"], record["dest_ip"], str(flow["pkts_toserver"]), str(flow["pkts_toclient"]),
            str(own["initiator"]["ip_bytes"]), str(own["responder"]["ip_bytes"]), record.get("community_id", ""))


def tuple_of_zeek(row):
    return (row["uid"], row["id.orig_h"], row["id.resp_h"], row["orig_pkts"], row["resp_pkts"], row["orig_ip_bytes"],
            row["resp_ip_bytes"], row["community_id"].replace("-", "") if row["community_id"] == "-" else
            row["community_id"])


def check(path):
    """(None, number of flows), a sentence and 0, or None and -1 if libpcap does not read the capture."""
    with tempfile.TemporaryDirectory(prefix="flowscope-export.") as scratch:
        paths = {name: os.path.join(scratch, name) for name in ("csv", "eve", "zeek")}
        try:
            stats = support.replay("--stats", *(f"--export={name}:{place}" for name, place in paths.items()), path)
        except RuntimeError as error:
            return (None, -1) if not os.path.exists(paths["csv"]) else (str(error), 0)
        texts = {name: open(place, encoding="utf-8", newline="").read() for name, place in paths.items()}
    try:
        return compare(texts, dict(line.split("=") for line in stats.decode().splitlines()))
    except (AssertionError, ValueError, KeyError, csv.Error) as error:
        return f"{type(error).__name__}: {error}", 0


def compare(texts, stats):
    assert not unlike(texts["csv"], "\r\n") and not unlike(texts["eve"], "\n") and not unlike(texts["zeek"], "\t\n"), \
        "control characters"
    rows = read_csv(texts["csv"])
    ip = [row for row in rows if row["protocol"] != "MAC"]
    known = [row for row in ip if row["ip_protocol"] in SURICATA_FLOWS]
    connections = [row for row in ip if row["ip_protocol"] not in IP_TUNNELS]
    lines = [json.loads(line) for line in texts["eve"].splitlines()]
    events = [line for line in lines if line["event_type"] == "flow"]
    log = read_zeek(texts["zeek"])
    assert len(rows) == int(stats["flows"]), "flows"
    assert sum(int(row["packets_initiator"]) + int(row["packets_responder"]) for row in rows) == int(stats["packets"]), \
        "packets"
    for name in {row["end"] for row in rows}:
        assert sum(row["end"] == name for row in rows) == int(stats["ended." + name]), "ends"
    assert [tuple_of_csv(row) for row in known] == [tuple_of_eve(event) for event in events], "csv and eve"
    assert [tuple_of_csv(row) for row in connections] == [tuple_of_zeek(row) for row in log], "csv and zeek"
    assert [str(event["flowscope"]["flow"]) for event in events] == [row["flow"] for row in known], "flow numbers"
    numbers = {row["flow"] for row in rows}
    assert all(str(line["flowscope"]["flow"]) in numbers for line in lines), "events of flows that are not there"
    uids = {row["uid"] for row in rows}
    assert len(uids) == len(rows), "uids that two flows have"
    assert all(uid in uids for row in log for uid in row["tunnel_parents"].split(",") if uid != "-"), "unknown parents"
    return None, len(rows)


def main():
    paths = captures()
    results = support.each(check, paths)
    problems = [f"{path}: {problem}" for path, (problem, _) in zip(paths, results) if problem]
    unread = [path for path, (_, flows) in zip(paths, results) if flows < 0]
    flows = sum(count for _, count in results if count > 0)
    print(f"{len(paths) - len(unread)} captures, {flows} flows; not read by libpcap: {len(unread)}")
    if flows == 0:
        problems.append("no flows")
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
