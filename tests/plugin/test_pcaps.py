#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold what flowscope makes of the project's own captures against their manifests (pcaps/README.md).

    FLOWSCOPE_REPLAY=build/release/bench/flowscope-replay tests/plugin/test_pcaps.py [NAME...]
    FLOWSCOPE_TSHARK='tshark' tests/plugin/test_pcaps.py [NAME...]

FLOWSCOPE_REPLAY is the replay tool: the core over its own decoder. FLOWSCOPE_TSHARK is a command that runs tshark with
the plugin. One case is one capture under one key, through one of the two; each difference is printed. With neither
variable the test fails: there is nothing to test.
"""
import csv
import filecmp
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PCAPS = os.path.join(ROOT, "pcaps")

PROTOCOLS = {"1": "ICMP", "2": "IGMP", "4": "IPV4", "6": "TCP", "17": "UDP", "33": "DCCP", "41": "IPV6", "47": "GRE",
             "50": "ESP", "58": "ICMPV6", "89": "OSPF", "132": "SCTP", "136": "UDPLITE", "0": "MAC", "": "MAC"}
DOMAIN_PREFERENCES = {"vlan": "flowscope.key_vlan", "tunnel": "flowscope.key_tunnel",
                      "interface": "flowscope.key_interface"}

# Field of the manifest: columns of the replay tool's CSV, and for each the reading of both.
PAIRS = ("packets", "wire_bytes", "ip_bytes", "payload_bytes", "stream_bytes")
REQUIRED = ("proto", "initiator", "responder", "packets_i", "packets_r")
# Columns of -z flowscope,flows, as the CSV has them. Times are relative there, and not compared.
COLUMNS = {"Flow": "id", "Parent": "parent", "Protocol": "proto", "State": "state", "End": "end",
           "Packets>": "packets_i", "Packets<": "packets_r", "Frames>[B]": "wire_bytes_i", "Frames<[B]": "wire_bytes_r",
           "IP>[B]": "ip_bytes_i", "IP<[B]": "ip_bytes_r", "Payload>[B]": "payload_bytes_i",
           "Payload<[B]": "payload_bytes_r", "History": "history", "ConnState": "conn_state", "Marks": "marks"}


class Failure(Exception):
    pass


# ---- reading ----


def protocol(text):
    text = text.strip().upper().replace("-", "").replace("_", "")
    return PROTOCOLS.get(text, text)


def address(text):
    """The one spelling of an address."""
    text = text.strip().lower()
    if ":" not in text or text.count(":") == 5 and "::" not in text:
        return text
    left, double, right = text.partition("::")
    head = [int(group, 16) for group in left.split(":") if group]
    tail = [int(group, 16) for group in right.split(":") if group]
    return tuple(head + [0] * ((8 - len(head) - len(tail)) if double else 0) + tail)


def words(text):
    """A set of marks, however they are joined."""
    found = {word.replace("-", "").replace("_", "") for word in re.findall(r"[a-z][a-z_-]*", text.lower())}
    return found - {"none"}


def number(text):
    return int(text.replace(",", "")) if text.strip() else None


def time_matches(text, expected_ns):
    """Whether a time, in ns or in seconds with any number of decimals, is the expected one as far as it shows it."""
    if "." not in text:
        return number(text) == expected_ns
    seconds, part = text.split(".")
    unit = 10**(9 - len(part))
    return int(seconds) * 10**9 + int(part.ljust(9, "0")) == expected_ns // unit * unit


# ---- comparing ----


def field_differences(expected, row):
    """Yield (field, expected, got) of one flow. Fields that the output has no column for are passed over."""
    def column(name):
        return row.get(name)

    def check(name, want, read):
        text = column(name)
        if text is not None and read(text) != want:
            yield name, want, text

    yield from check("proto", protocol(expected["proto"]), protocol)
    for side in ("initiator", "responder"):
        yield from check(side, address(expected[side]), address)
        text = column(side + "_port")
        if text is not None and (number(text) or 0) != expected[side + "_port"]:
            yield side + "_port", expected[side + "_port"], text
    for field in PAIRS:
        for at, suffix in enumerate("ir"):
            if field in expected:
                yield from check("%s_%s" % (field, suffix), expected[field][at], number)
    for field in ("state", "end", "history", "conn_state"):
        if field in expected:
            yield from check(field, expected[field], str.strip)
    if "marks" in expected:
        yield from check("marks", words(" ".join(expected["marks"])), words)
    for field in ("syn_rtt_ns", "ack_rtt_ns"):
        if field in expected:
            yield from check(field, expected[field], number)
    for field, name in (("first_ns", "first"), ("last_ns", "last")):
        text = column(name)
        if text is not None and not time_matches(text, expected[field]):
            yield name, expected[field], text


def short(flow):
    return "%s %s:%s > %s:%s" % (flow.get("proto"), flow.get("initiator"), flow.get("initiator_port", ""),
                                 flow.get("responder"), flow.get("responder_port", ""))


def compare(expected, rows):
    """All differences, as lines."""
    lines = []
    if len(rows) != len(expected):
        lines.append("%d flows, expected %d" % (len(rows), len(expected)))
    missing = [name for name in REQUIRED if rows and name not in rows[0]]
    if missing:
        return lines + ["no column for " + ", ".join(missing)]
    if rows and "id" in rows[0]:
        rows = sorted(rows, key=lambda row: number(row["id"]))
    ids = [number(row["id"]) if "id" in row else None for row in rows]
    for at, (flow, row) in enumerate(zip(expected, rows)):
        for field, want, got in field_differences(flow, row):
            lines.append("flow %d (%s): %s is %s, expected %s" % (at, short(flow), field, got, want))
        if "parent" in row and "id" in row:
            parent = number(row["parent"]) if row["parent"].strip().isdigit() else None
            want = ids[flow["parent"]] if "parent" in flow else None
            if parent != want:
                lines.append("flow %d (%s): parent is %s, expected %s" % (at, short(flow), parent, want))
    for flow in expected[len(rows):]:
        lines.append("missing: " + short(flow))
    for row in rows[len(expected):]:
        lines.append("not expected: " + short(row))
    return lines


# ---- the two programs ----


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Failure("%s\nexit code %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()))
    return done.stdout


def replay_rows(path, domain):
    command = shlex.split(os.environ["FLOWSCOPE_REPLAY"]) + ["--flows=csv"]
    if domain:
        command.append("--domain=" + domain)
    return list(csv.DictReader(io.StringIO(output_of(command + [path]))))


def endpoint(text):
    """Address and port of "1.2.3.4:80", "[2001:db8::1]:80", or of an address alone."""
    match = re.fullmatch(r"\[(.*)\]:(\d+)|([0-9.]+):(\d+)", text)
    if not match:
        return text, "0"
    return match[1] or match[3], match[2] or match[4]


def table_rows(text):
    """The rows of the text table, which an empty line ends: cells hold no space."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.split()[:1] == ["Flow"]), None)
    if start is None:
        raise Failure("no header in the table:\n" + text)
    titles = lines[start].split()
    rows = []
    for line in lines[start + 1:]:
        if not line.strip():
            break
        cells = line.split()
        if len(cells) != len(titles):
            raise Failure("a row of %d cells under a header of %d: %s" % (len(cells), len(titles), line))
        cell = dict(zip(titles, cells))
        row = {COLUMNS[title]: text for title, text in cell.items() if title in COLUMNS}
        if row["history"] == "-":
            row["history"] = ""
        for side in ("Initiator", "Responder"):
            row[side.lower()], row[side.lower() + "_port"] = endpoint(cell[side])
        rows.append(row)
    return rows


def tshark_rows(path, domain):
    command = shlex.split(os.environ["FLOWSCOPE_TSHARK"]) + ["-n", "-q", "-r", path, "-z", "flowscope,flows"]
    # What is expected of a capture with copies counts them as retransmissions, as the core alone does.
    command += ["-o", "flowscope.duplicates:ignore"]
    for part in filter(None, domain.split(",")):
        command += ["-o", DOMAIN_PREFERENCES[part] + ":TRUE"]
    return table_rows(output_of(command))


def front_ends():
    result = []
    if os.environ.get("FLOWSCOPE_REPLAY"):
        result.append(("core", replay_rows))
    if os.environ.get("FLOWSCOPE_TSHARK"):
        result.append(("plugin", tshark_rows))
    return result


def captures():
    for folder in ("generated", "recorded"):
        with open(os.path.join(PCAPS, folder, "manifest.json"), encoding="ascii") as text:
            for capture in json.load(text)["captures"]:
                yield os.path.join(PCAPS, folder, capture["file"]), capture


def run_case(rows_of, path, expect):
    try:
        return compare(expect["flows"], rows_of(path, expect["domain"]))
    except (Failure, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return ["%s: %s" % (type(error).__name__, error)]


def not_current():
    """Files of generated/ that generate.py does not write as they are."""
    with tempfile.TemporaryDirectory() as folder:
        output_of([sys.executable, os.path.join(PCAPS, "generate.py"), folder])
        stored = os.path.join(PCAPS, "generated")
        names = sorted(set(os.listdir(stored)) | set(os.listdir(folder)))
        _, changed, missing = filecmp.cmpfiles(stored, folder, names, shallow=False)
        return changed + missing


def main():
    wanted = sys.argv[1:]
    programs = front_ends()
    if not programs:
        print("neither FLOWSCOPE_REPLAY nor FLOWSCOPE_TSHARK is set")
        return 1
    passed = failed = skipped = 0
    if not wanted:
        stale = not_current()
        failed += bool(stale)
        passed += not stale
        for name in stale:
            print("pcaps/generated/%s is not what generate.py writes" % name)
    for path, capture in captures():
        name = capture["file"].partition(".")[0]
        if wanted and name not in wanted:
            continue
        for front_end, rows_of in programs:
            for expect in capture["expect"]:
                case = "%s %s%s" % (front_end, name, " [%s]" % expect["domain"] if expect["domain"] else "")
                if front_end not in capture["front_ends"]:
                    print("skipped %s: %s" % (case, capture.get("note", "the two front ends differ by design")))
                    skipped += 1
                    continue
                differences = run_case(rows_of, path, expect)
                failed += bool(differences)
                passed += not differences
                for line in differences:
                    print("%s: %s" % (case, line))
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
