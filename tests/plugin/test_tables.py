#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables against what they are made of: duplicates against their fields, the hierarchy against the table of flows; and the
story of a flow in the packet details."""
import collections
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

PCAPS = os.path.join(support.ROOT, "pcaps")
MIRRORS = [("recorded/duplicates.pcapng", "exact"), ("recorded/mirror-vlan.pcapng", "routed"),
           ("recorded/mirror-two-interfaces.pcapng", "exact"), ("recorded/http.pcapng", "exact")]
FIELDS = ["frame.number", "flowscope.duplicate_of", "flowscope.duplicate.previous", "flowscope.duplicate.delta",
          "flowscope.duplicate.hops", "flowscope.flow", "flowscope.duplicate.reason", "flowscope.duplicate.evidence",
          "flowscope.duplicate.pair"]


def blocks(text):
    """Tables of words: lists of rows, the header first. A line of prose may come before each."""
    found = []
    for part in text.strip("\n").split("\n\n"):
        lines = [line.split() for line in part.split("\n")]
        found.append(lines[1:])
    return found


def check_duplicates(results, tshark):
    for name, mode in MIRRORS:
        capture = tshark.readable(os.path.join(PCAPS, name))
        options = ["-o", "flowscope.duplicate_mode:" + mode]
        done = tshark.run(*options, "-q", "-r", capture, "-z", "flowscope,duplicates")
        tables = blocks(done.stdout)
        if not results.check(done.returncode == 0 and len(tables) == 2, "%s: %r" % (name, done.stdout[:300])):
            continue
        copies, pairs = tables
        text = tshark.run(*options, "-r", capture, "-Y", "flowscope.duplicate", "-T", "fields",
                          *(part for field in FIELDS for part in ("-e", field))).stdout
        want = []
        for line in text.splitlines():
            row = dict(zip(FIELDS, line.split("\t")))
            mode_name, _, differences = row["flowscope.duplicate.reason"].partition(": ")
            want.append([row["frame.number"], row["flowscope.duplicate_of"], row["flowscope.duplicate.previous"],
                         "%.3f" % (float(row["flowscope.duplicate.delta"]) * 1e6), row["flowscope.duplicate.hops"],
                         row["flowscope.flow"].split(",")[-1], mode_name, differences or "-",
                         row["flowscope.duplicate.evidence"], row["flowscope.duplicate.pair"]])
        shown = [row[:1] + row[2:10] + row[12:] for row in copies[1:]]
        results.check(shown == want and (want or "http" in name), "%s: shows %r instead of %r" % (name, shown[:3], want[:3]))
        counts = collections.Counter(row[-1] for row in want)
        results.check({row[0]: row[4] for row in pairs[1:]} == {pair: str(count) for pair, count in counts.items()},
                      "%s: pairs %r" % (name, pairs))
        shares = sum(float(row[5]) for row in pairs[1:])
        results.check(not counts or 99.9 < shares <= 100.0, "%s: shares add up to %g" % (name, shares))
    capture = tshark.readable(os.path.join(PCAPS, "recorded/mirror-vlan.pcapng"))
    text = tshark.run("-o", "flowscope.duplicate_mode:routed", "-q", "-r", capture, "-z", "flowscope,duplicates").stdout
    results.check([row[1:4] for row in blocks(text)[1][1:]] == [["0", "1,VLAN10", "0"], ["1,VLAN10", "0", "0"]],
                  "places of the VLAN mirror: %r" % blocks(text)[1])
    text = tshark.run("-o", "flowscope.duplicate_mode:routed", "-q", "-r", capture, "-z",
                      "flowscope,duplicates,flowscope.duplicate.pair == 1").stdout
    results.check({row[12] for row in blocks(text)[0][1:]} == {"1"}, "a filter chooses: %r" % text[:300])


def hierarchy(tshark, capture, *arguments, filter_text=""):
    """{(protocol, application, state): flows} of -z flowscope_tree,tree."""
    argument = "flowscope_tree,tree" + ("," + filter_text if filter_text else "")
    text = tshark.run(*arguments, "-q", "-r", capture, "-z", argument).stdout
    path, leaves = [], {}
    for line in text.splitlines():
        match = re.match(r"^( *)(\S.*?)  +(\d+)  ", line)
        if match and not line.startswith("Topic"):
            depth = len(match[1])
            path[depth:] = [match[2]]
            if depth == 3:
                leaves[tuple(path[1:])] = int(match[3])
    return leaves


def flows(tshark, capture, *arguments):
    text = tshark.run(*arguments, "-q", "-r", capture, "-z", "flowscope,flows").stdout
    rows = blocks(text)[0]
    return collections.Counter((row[2], row[3], row[8]) for row in rows[1:])


def check_hierarchy(results, tshark):
    for name in ("recorded/http.pcapng", "recorded/dns.pcapng", "recorded/mirror-vlan.pcapng", "recorded/unbound.pcapng",
                 "generated/tunnel-nested.pcap", "generated/many-flows.pcap", "generated/tcp-port-reuse.pcap"):
        capture = tshark.readable(os.path.join(PCAPS, name))
        want = flows(tshark, capture)
        for arguments in ((), ("-2",)):
            shown = hierarchy(tshark, capture, *arguments)
            results.check(want and shown == want, "%s %s: %r instead of %r" % (name, arguments, shown, dict(want)))
    capture = tshark.readable(os.path.join(PCAPS, "recorded/http.pcapng"))
    shown = hierarchy(tshark, capture, filter_text="flowscope.flow == 2")
    results.check(shown == {("TCP", "http", "reset"): 1}, "a filter chooses: %r" % shown)
    # Every ten frames the file is closed and opened again: flows are counted in each part, with the same numbers.
    parts = hierarchy(tshark, capture, "-M", "10")
    results.check(parts == flows(tshark, capture, "-M", "10"), "-M: %r" % parts)


def check_details(results, tshark):
    capture = tshark.readable(os.path.join(PCAPS, "generated/tunnel-vxlan.pcap"))
    text = tshark.run("-2", "-r", capture, "-O", "flowscope", "-Y", "frame.number == 4").stdout
    for want in ("Flowscope, flow 0, UDP 192.0.2.1:50001 → 192.0.2.2:4789", "Carries flow: 1", "Carrier: 0",
                 "First frame of the carrier: 1", "Initiator 10.0.0.1:40000", "Responder 10.0.0.2:80",
                 "History: ShADadFf (→ SYN, ← SYN-ACK, → ACK, → data, ← ACK, ← data, → FIN, ← FIN)", "Packet of the flow: 4",
                 "First frame: 1", "Previous frame: ", "Next frame: ", "Last frame: 11", "Flow in all: 11 packets, closed"):
        results.check(want in text, "packet details lack %r: %s" % (want, text))
    rows = tshark.run("-r", capture, "-T", "fields", "-e", "flowscope.carried", "-e", "flowscope.flow.history").stdout
    results.check(rows.splitlines()[0].split("\t")[0] == "1" and "→" not in rows, "fields: %r" % rows)
    capture = tshark.readable(os.path.join(PCAPS, "recorded/http.pcapng"))
    text = tshark.run("-2", "-r", capture, "-O", "flowscope", "-Y", "frame.number == 8").stdout
    for want in ("Request in frame: 4", "Response time: ", "Shortest round trip: "):
        results.check(want in text, "packet details lack %r: %s" % (want, text))


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        check_duplicates(results, tshark)
        check_hierarchy(results, tshark)
        check_details(results, tshark)
    results.close()


if __name__ == "__main__":
    main()
