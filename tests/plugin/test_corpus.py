#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real captures that we did not make, through tshark with the plugin and through the core's own decoder.

For each capture: tshark ends well and silently; the frames of each TCP flow are those of `tcp.stream`, but for the
differences that docs/semantics.md lists; every frame is counted; and where both can decode, the plugin's flow table is
the core's.
"""
import collections
import concurrent.futures
import csv
import io
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from test_pcaps import table_rows  # noqa: E402

COMPLAINTS = re.compile(r"Dissector bug|\*\* \(|CRITICAL|Assertion|AddressSanitizer|runtime error")

# Why the two front ends differ on a capture, told by its frames.
NOT_FOR_BOTH = [
    ("IP fragments, which Wireshark joins", "ip.flags.mf == 1 || ip.frag_offset > 0 || ipv6.fraghdr"),
    ("encrypted 802.11, which Wireshark may decrypt", "wlan.fc.protected == 1"),
    ("a capture inside a capture", "pcap || rpcap || exported_pdu"),
    ("CAPWAP, which only Wireshark follows", "capwap.data"),
    ("AH, whose outer length Wireshark does not tell", "ah"),
    ("IPv6 without a next header, which has no dissector", "ipv6.nxt == 59"),
    ("malformed packets", "_ws.malformed"),
    ("IP protocols without a dissector", "ip && data && !tcp && !udp && !icmp && !gre && !sctp"),
]
LINKTYPES = {"ether", "rawip", "rawip4", "rawip6", "linux-sll", "linux-sll2", "null", "loop", "ppp", "chdlc",
             "ieee-802-11-radiotap", "ieee-802-11"}
COMPARED = ["proto", "initiator", "initiator_port", "responder", "responder_port", "packets_i", "packets_r",
            "wire_bytes_i", "wire_bytes_r", "ip_bytes_i", "ip_bytes_r", "payload_bytes_i", "payload_bytes_r", "state",
            "history", "conn_state"]


def partition(pairs):
    """{frame group: name} from (frame, name) pairs."""
    groups = collections.defaultdict(list)
    for frame, name in pairs:
        groups[name].append(frame)
    return groups


def tcp_pairs(output):
    """(frame, stream, flow, SYN) of each TCP segment: layers are paired in their order."""
    for line in output.splitlines():
        frame, streams, flows, protocols, quoted, syns = (line + "\t\t\t\t\t").split("\t")[:6]
        if not streams:
            continue
        streams = streams.split(",")
        flows = [flow for flow, protocol in zip(flows.split(","), protocols.split(",")) if protocol == "TCP"]
        if quoted or len(streams) != len(flows):
            yield int(frame), None, None, False
            continue
        for stream, flow, syn in zip(streams, flows, syns.split(",")):
            yield int(frame), stream, flow, syn in ("1", "True")


class Capture:
    """One capture, and all that is checked about it."""

    def __init__(self, tshark, path, frames, linktype, size):
        self.tshark, self.path, self.frames, self.linktype, self.size = tshark, path, frames, linktype, size
        self.name = os.path.basename(path)
        self.problems = []
        self.counts = collections.Counter()

    def problem(self, text):
        self.problems.append("%s: %s" % (self.name, text))

    def run(self):
        self.file = self.tshark.readable(self.path)
        text = self.tshark_run("-T", "fields", "-e", "frame.number", "-e", "tcp.stream", "-e", "flowscope.flow", "-e",
                               "flowscope.flow.protocol", "-e", "flowscope.quoted", "-e", "tcp.flags.syn", "-z", "flowscope,stats", "-z",
                               "flowscope,flows")
        fields, _, tables = text.partition("\nFlowscope")
        self.rows = table_rows(tables[tables.index("\nFlow "):]) if "\nFlow " in tables else []
        self.check_streams(fields)
        self.check_totals(tables)
        self.check_front_ends()
        os.unlink(self.file)
        return self

    def tshark_run(self, *arguments):
        done = self.tshark.run("-r", self.file, *arguments)
        # A capture that was cut off makes tshark say so and return 2; that is the capture's own.
        if done.returncode not in (0, 2) or (done.returncode == 2 and "cut short" not in done.stderr):
            self.problem("tshark returned %d: %s" % (done.returncode, done.stderr[-300:]))
        complaints = self.complaints(done.stderr)
        if complaints:
            # Wireshark has bugs of its own: only what it does not say without us counts.
            without = self.tshark.run("--disable-protocol", "flowscope", "-r", self.file, "-T", "fields", "-e",
                                      "frame.number", "-e", "tcp.stream")
            for line in sorted(complaints - self.complaints(without.stderr)):
                self.problem("tshark says: " + line)
        return done.stdout

    @staticmethod
    def complaints(text):
        return {line.partition("--")[2] or line for line in text.splitlines() if COMPLAINTS.search(line)}

    def check_streams(self, output):
        pairs = [pair for pair in tcp_pairs(output)]
        usable = [pair for pair in pairs if pair[1] is not None]
        self.counts["TCP segments"] += len(usable)
        self.counts["TCP segments that are quoted or cut off"] += len(pairs) - len(usable)
        streams = partition((frame, stream) for frame, stream, _, _ in usable)
        flows = partition((frame, flow) for frame, _, flow, _ in usable)
        self.counts["streams"] += len(streams)
        if sorted(streams.values()) == sorted(flows.values()):
            self.counts["streams that are flows"] += len(streams)
            return
        flow_of = collections.defaultdict(set)
        stream_of = collections.defaultdict(set)
        self.begun_by_syn = set()
        for _, stream, flow, syn in usable:
            if syn and stream not in flow_of:
                self.begun_by_syn.add(stream)
            flow_of[stream].add(flow)
            stream_of[flow].add(stream)
        for stream, frames in streams.items():
            if len(flow_of[stream]) == 1 and len(stream_of[next(iter(flow_of[stream]))]) == 1:
                self.counts["streams that are flows"] += 1
            elif not self.explain(stream, flow_of[stream], stream_of):
                self.problem("tcp.stream %s (frames %s…) is flows %s, whose streams are %s" % (
                    stream, frames[:6], sorted(flow_of[stream]), sorted(stream_of[next(iter(flow_of[stream]))])))

    def explain(self, stream, flows, stream_of):
        """Whether the difference is one that docs/semantics.md names."""
        streams = stream_of[next(iter(flows))]
        if len(flows) == 1 and len(set(streams) & self.begun_by_syn) <= 1:
            # Some dissectors make Wireshark begin another stream inside a connection.
            self.counts["streams that Wireshark began without a SYN, inside a connection"] += 1
            return True
        reasons = {row["id"]: row["end"] for row in self.rows}
        for flow in sorted(flows, key=int)[:-1]:
            reason = reasons.get(flow)
            if reason not in ("idle", "fin", "rst"):
                return False
            self.counts["streams split: flow was over (%s) before more packets came" % reason] += 1
        return len(flows) > 1

    def check_totals(self, text):
        values = {}
        group = None
        for line in text.splitlines():
            if line.startswith("  "):
                name, _, value = line.strip().rpartition(" ")
                values[group, name.strip()] = value
            else:
                group = line.strip()
        try:
            seen, tracked, untracked = (int(values["Frames", name]) for name in ("seen", "tracked", "untracked"))
        except KeyError:
            if self.frames:
                self.problem("no summary:\n" + text[-300:])
            return
        if seen != tracked + untracked:
            self.problem("%d frames seen, %d tracked and %d not" % (seen, tracked, untracked))
        if seen != self.frames:
            self.problem("%d frames seen, capinfos counts %d" % (seen, self.frames))
        if int(values["Frames", "bytes"]) != self.size:
            self.problem("%s bytes seen, capinfos counts %d" % (values["Frames", "bytes"], self.size))

    def matches(self, condition):
        done = self.tshark.run("-r", self.file, "-Y", condition, "-T", "fields", "-e", "frame.number")
        if done.returncode == 1:
            raise RuntimeError("bad filter: " + condition)
        return bool(done.stdout.strip())

    def why_not_for_both(self):
        if not self.matches(" || ".join("(%s)" % condition for _, condition in NOT_FOR_BOTH)):
            return None
        return next(reason for reason, condition in NOT_FOR_BOTH if self.matches(condition))

    def check_front_ends(self):
        if self.linktype not in LINKTYPES:
            self.counts["not compared with the core: link type " + self.linktype] += 1
            return
        reason = self.why_not_for_both()
        if reason:
            self.counts["not compared with the core: " + reason] += 1
            return
        done = subprocess.run([support.REPLAY, "--flows=csv", self.file], capture_output=True, text=True, check=False)
        if done.returncode:
            self.counts["not compared with the core: libpcap cannot read it"] += 1
            return
        core = list(csv.DictReader(io.StringIO(done.stdout)))
        plugin = self.rows
        self.counts["captures compared with the core"] += 1
        self.counts["flows compared with the core"] += len(plugin)
        ours = collections.Counter(tuple(row[name] for name in COMPARED) for row in plugin)
        theirs = collections.Counter(tuple(row[name] for name in COMPARED) for row in core)
        for row in list((ours - theirs).elements())[:4]:
            self.problem("only the plugin has " + " ".join(row))
        for row in list((theirs - ours).elements())[:4]:
            self.problem("only the core has   " + " ".join(row))


def capinfos(tshark, path):
    """(frames, link type, bytes) of a capture, or None if capinfos cannot read it."""
    copy = tshark.readable(path)
    done = tshark.run("-TmcEd", "-M", "-r", copy, program="capinfos")
    os.unlink(copy)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    return (int(rows[-1][2]), rows[-1][1], int(rows[-1][3])) if rows and len(rows[-1]) == 4 else None


def main():
    results = support.Results()
    folder = support.captures_folder()
    if not folder:
        results.skip("no captures beside the checkout (set FLOWSCOPE_CAPTURES to a folder of them)")
        results.close()
    paths = support.all_captures(folder)
    if sys.argv[1:]:
        paths = [path for path in paths if os.path.basename(path) in sys.argv[1:]]
    totals = collections.Counter()
    with support.Tshark() as tshark, concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = []
        for path in paths:
            known = capinfos(tshark, path)
            if known:
                jobs.append(pool.submit(Capture(tshark, path, *known).run))
            else:
                results.skip("%s: capinfos cannot read it" % os.path.basename(path))
        for job in concurrent.futures.as_completed(jobs):
            capture = job.result()
            totals.update(capture.counts)
            results.check(not capture.problems, "\n  ".join(capture.problems))
    for name, count in sorted(totals.items()):
        print("%8d  %s" % (count, name))
    results.close()


if __name__ == "__main__":
    main()
