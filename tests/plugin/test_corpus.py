#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real captures that we did not make, through tshark with the plugin and through the core's own decoder.

For each capture: tshark ends well and silently; the frames of each TCP flow are those of `tcp.stream`, but for the
differences that docs/semantics.md lists, each of which is worked out from the frames; every frame and every byte is
counted; and where both can decode, the plugin's flow table is the core's.
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

# One pass of tshark gives all of these, an occurrence of a field for each layer that has it.
FIELDS = ["frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "frame.protocols", "tcp.stream",
          "tcp.flags", "ip.src", "ipv6.src", "flowscope.flow", "flowscope.flow.protocol", "flowscope.quoted",
          "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr", "wlan.fc.protected", "ipv6.nxt", "_ws.malformed"]
HAVE_DISSECTORS = {"tcp", "udp", "icmp", "gre", "sctp"}

# Why the flows of a frame are not the same for both front ends.
NOT_FOR_BOTH = [
    ("IP fragments, which Wireshark joins", lambda frame: frame.is_fragment()),
    ("encrypted 802.11, which Wireshark may decrypt", lambda frame: frame.true("wlan.fc.protected")),
    ("a capture inside a capture", lambda frame: frame.protocols & {"pcap", "rpcap", "exported_pdu"}),
    ("CAPWAP, which only Wireshark follows", lambda frame: "capwap.data" in frame.protocols),
    ("AH, whose outer length Wireshark does not tell", lambda frame: "ah" in frame.protocols),
    ("IPv6 without a next header, which has no dissector", lambda frame: "59" in frame.list("ipv6.nxt")),
    ("malformed packets", lambda frame: frame["_ws.malformed"]),
    ("IP headers that Wireshark gives up on", lambda frame: frame.has_bad_ip()),
    ("IP protocols without a dissector",
     lambda frame: {"ip", "data"} <= frame.protocols and not frame.protocols & HAVE_DISSECTORS),
]
LINKTYPES = {"ether", "rawip", "rawip4", "rawip6", "linux-sll", "linux-sll2", "null", "loop", "ppp", "chdlc",
             "ieee-802-11-radiotap", "ieee-802-11"}
COMPARED = ["proto", "initiator", "initiator_port", "responder", "responder_port", "packets_i", "packets_r",
            "wire_bytes_i", "wire_bytes_r", "ip_bytes_i", "ip_bytes_r", "payload_bytes_i", "payload_bytes_r", "state",
            "history", "conn_state"]
SECOND = 1000000000
# Silence that ends a TCP flow, by the state that it was in at its end; the other states wait for 300 s.
TIMEOUTS = {"syn-sent": 60 * SECOND, "syn-received": 60 * SECOND, "closed": 60 * SECOND, "reset": 60 * SECOND}
TIMEOUT = 300 * SECOND
FIN, SYN, RST, ACK = 1, 2, 4, 16
LONGEST = 2**31 - 1  # tshark shows this for frame.len of longer frames


class Frame:
    """One line of the pass: the fields of a frame."""

    def __init__(self, line):
        self.fields = dict(zip(FIELDS, line.split("\t")))
        self.number = int(self["frame.number"])
        self.length = int(self["frame.len"])
        self.layers = self["frame.protocols"].split(":")
        self.protocols = set(self.layers)
        seconds, _, part = self["frame.time_epoch"].partition(".")
        self.time = int(seconds or 0) * SECOND + int(part.ljust(9, "0"))
        self.flows = self.list("flowscope.flow")
        self.quoted = self.list("flowscope.quoted")

    def __getitem__(self, name):
        return self.fields.get(name, "")

    def list(self, name):
        return self[name].split(",") if self[name] else []

    def true(self, name):
        return any(value in ("1", "True") for value in self.list(name))

    def positive(self, name):
        return any(int(value) > 0 for value in self.list(name))

    def is_fragment(self):
        return self.true("ip.flags.mf") or self.positive("ip.frag_offset") or bool(self["ipv6.fraghdr"])

    def has_bad_ip(self):
        """Wireshark reads no addresses where version or header length are impossible."""
        return any(self.layers.count(name) > len(self.list(name + ".src")) for name in ("ip", "ipv6"))

    def counted(self):
        """How many packets of flows it holds: those that ICMP errors quote are none."""
        return len(self.flows) - len(self.quoted)

    def segments(self):
        """(stream, flow, flags) of each TCP layer, paired in their order; None if they cannot be."""
        streams = self.list("tcp.stream")
        flows = [flow for flow, protocol in zip(self.flows, self.list("flowscope.flow.protocol")) if protocol == "TCP"]
        if len(streams) != len(flows) or self.quoted:
            return None
        # Wireshark shows no flags where the header states an impossible length.
        flags = [int(value, 16) for value in self.list("tcp.flags")]
        return list(zip(streams, flows, flags if len(flags) == len(streams) else [0] * len(streams)))

    def why_no_segments(self):
        """Why its TCP layers have no flows: a reason of docs/semantics.md, or None."""
        if self.protocols & {"icmp", "icmpv6"}:
            return "quoted in an ICMP error"
        if self.is_fragment():
            return "IP fragments, which have no ports"
        if int(self["frame.cap_len"]) < self.length or self["_ws.malformed"]:
            return "cut off before the ports"
        return None


def partition(pairs):
    """{name: frames} from (frame, name) pairs."""
    groups = collections.defaultdict(list)
    for frame, name in pairs:
        groups[name].append(frame)
    return groups


def conversation(row):
    """What a flow is between, whoever began it."""
    ends = frozenset({(row["initiator"], row["initiator_port"]), (row["responder"], row["responder_port"])})
    return row["proto"], ends


class Capture:
    """One capture, and all that is checked about it."""

    def __init__(self, tshark, path):
        self.tshark, self.path = tshark, path
        self.name = os.path.basename(path)
        self.problems = []
        self.counts = collections.Counter()
        self.skipped = None

    def problem(self, text):
        self.problems.append("%s: %s" % (self.name, text))

    def run(self):
        self.file = self.tshark.readable(self.path)
        known = capinfos(self.tshark, self.file)
        if known:
            self.size, self.linktype, self.bytes = known
            try:
                self.check()
            except Exception as error:  # pylint: disable=broad-except
                # Output that makes no sense is this capture's failure and must not hide those of the others.
                self.problem("%s: %s" % (type(error).__name__, error))
        else:
            self.skipped = "%s: capinfos cannot read it" % self.name
        os.unlink(self.file)
        return self

    def check(self):
        arguments = [argument for field in FIELDS for argument in ("-e", field)]
        text = self.tshark_run("-o", "flowscope.reassembly_deadline:1000", "-T", "fields", *arguments, "-z",
                                 "flowscope,stats", "-z", "flowscope,flows")
        fields, _, tables = text.partition("\nFlowscope")
        self.frames = [Frame(line) for line in fields.splitlines() if line]
        self.rows = table_rows(tables[tables.index("\nFlow "):]) if "\nFlow " in tables else []
        self.check_streams()
        self.check_totals(tables)
        self.check_sums()
        if os.path.exists(support.REPLAY):
            self.check_front_ends()
        del self.frames, self.rows

    def tshark_run(self, *arguments):
        done = self.tshark.run("-r", self.file, *arguments)
        # A capture that was cut off makes tshark say so and return 2; that is the capture's own.
        if done.returncode not in (0, 2) or (done.returncode == 2 and "cut short" not in done.stderr):
            self.problem("tshark returned %d: %s" % (done.returncode, done.stderr[-300:]))
        complaints = self.complaints(done.stderr)
        if complaints:
            # Wireshark has bugs of its own: only what it does not say without us counts.
            plain = [argument for field in FIELDS if not field.startswith("flowscope.") for argument in ("-e", field)]
            without = self.tshark.run("--disable-protocol", "flowscope", "-r", self.file, "-T", "fields", *plain)
            for line in sorted(complaints - self.complaints(without.stderr)):
                self.problem("tshark says: " + line)
        return done.stdout

    @staticmethod
    def complaints(text):
        return {line.partition("--")[2] or line for line in text.splitlines() if COMPLAINTS.search(line)}

    def segments(self):
        """(frame, stream, flow, flags) of every TCP segment."""
        for frame in self.frames:
            segments = frame.segments()
            if segments is not None:
                for stream, flow, flags in segments:
                    yield frame, stream, flow, flags
                continue
            reason = frame.why_no_segments()
            if reason:
                self.counts["frames whose TCP layers are not compared: " + reason] += 1
            else:
                self.problem("frame %d: tcp.stream %s, but flows %s of %s" % (
                    frame.number, frame["tcp.stream"], frame["flowscope.flow"], frame["flowscope.flow.protocol"]))

    def check_streams(self):
        segments = list(self.segments())
        self.counts["TCP segments"] += len(segments)
        self.check_silence(segments)
        streams = partition((frame.number, stream) for frame, stream, _, _ in segments)
        flows = partition((frame.number, flow) for frame, _, flow, _ in segments)
        self.counts["streams"] += len(streams)
        if sorted(streams.values()) == sorted(flows.values()):
            self.counts["streams that are flows"] += len(streams)
            return
        flow_of = collections.defaultdict(list)
        stream_of = collections.defaultdict(set)
        begun_by_syn = set()
        for frame, stream, flow, flags in segments:
            if flags & SYN and stream not in flow_of:
                begun_by_syn.add(stream)
            flow_of[stream].append((frame, flow, flags))
            stream_of[flow].add(stream)
        for stream, members in flow_of.items():
            names = list(dict.fromkeys(flow for _, flow, _ in members))
            shared = set().union(*(stream_of[flow] for flow in names))
            if len(names) == 1 and len(shared) == 1:
                self.counts["streams that are flows"] += 1
            elif len(shared) > 1 and len(shared & begun_by_syn) <= 1 and len(names) == 1:
                # Some dissectors make Wireshark begin another stream inside a connection.
                self.counts["streams that Wireshark began without a SYN, inside a connection"] += 1
            elif len(shared) > 1 or not self.explain_split(members):
                self.problem("tcp.stream %s (frames %s...) is flows %s, whose streams are %s" % (
                    stream, streams[stream][:6], names, sorted(shared)))

    def explain_split(self, members):
        """Whether each flow of a stream is parted from the next as docs/semantics.md says: by silence that is long
        enough, or by a SYN after a reset or FIN."""
        rows = {row["id"]: row for row in self.rows}
        latest = {}
        seen = collections.Counter()
        reasons = set()
        before = None
        for frame, flow, flags in members:
            if before not in (None, flow):
                end, state = rows[before]["end"], rows[before]["state"]
                if flow in latest:
                    return False
                if frame.time - latest[before] >= TIMEOUTS.get(state, TIMEOUT) and end in ("idle", "fin", "rst"):
                    reasons.add("streams parted by silence, in a flow that ended as " + end)
                elif flags & (SYN | ACK) == SYN and seen[before] & (FIN | RST) and end in ("fin", "rst", "port-reuse"):
                    reasons.add("streams parted by a SYN that repeats the first one after a reset or FIN")
                else:
                    return False
            latest[flow] = max(frame.time, latest.get(flow, frame.time))
            seen[flow] |= flags
            before = flow
        self.counts.update(reasons)
        return bool(reasons)

    def check_silence(self, segments):
        """No flow goes on after a silence that ends every TCP flow."""
        latest = {}
        for frame, _, flow, _ in segments:
            if frame.time - latest.get(flow, frame.time) >= TIMEOUT:
                self.problem("frame %d: flow %s goes on after %d s" % (
                    frame.number, flow, (frame.time - latest[flow]) // SECOND))
            latest[flow] = max(frame.time, latest.get(flow, frame.time))

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
            if self.size:
                self.problem("no summary:\n" + text[-300:])
            return
        if seen != tracked + untracked:
            self.problem("%d frames seen, %d tracked and %d not" % (seen, tracked, untracked))
        if tracked != sum(frame.counted() > 0 for frame in self.frames):
            self.problem("%d frames tracked, but %d have a flow" % (
                tracked, sum(frame.counted() > 0 for frame in self.frames)))
        if seen != self.size:
            self.problem("%d frames seen, capinfos counts %d" % (seen, self.size))
        if int(values["Frames", "bytes"]) != self.bytes:
            self.problem("%s bytes seen, capinfos counts %d" % (values["Frames", "bytes"], self.bytes))

    def check_sums(self):
        """The flows hold each frame once for each of its layers, and nothing else."""
        def total(name):
            return sum(int(row[name + "_i"]) + int(row[name + "_r"]) for row in self.rows)

        packets = sum(frame.counted() for frame in self.frames)
        wire = sum(frame.counted() * frame.length for frame in self.frames)
        if any(frame.length == LONGEST for frame in self.frames):
            wire = total("wire_bytes")
        if (total("packets"), total("wire_bytes")) != (packets, wire):
            self.problem("flows hold %d packets of %d bytes, the frames have %d of %d" % (
                total("packets"), total("wire_bytes"), packets, wire))
        if all(frame.counted() == 1 for frame in self.frames):
            self.counts["captures of one packet a frame, whose flows sum up to the file's bytes"] += 1
            if total("wire_bytes") != self.bytes:
                self.problem("flows hold %d bytes, capinfos counts %d" % (total("wire_bytes"), self.bytes))

    def replay(self, output):
        """Rows of flowscope-replay; None if libpcap cannot read the capture."""
        # The plugin marks copies of frames by default, with this many frames remembered.
        done = subprocess.run([support.REPLAY, "--dedup=mark", "--duplicate-capacity=4096", output, self.file],
                              capture_output=True, text=True, check=False)
        if done.returncode < 0 or done.returncode == 2 or COMPLAINTS.search(done.stderr):
            raise RuntimeError("flowscope-replay %s returned %d: %s" % (output, done.returncode, done.stderr[-300:]))
        return None if done.returncode else list(csv.DictReader(io.StringIO(done.stdout)))

    def check_front_ends(self):
        if self.linktype not in LINKTYPES:
            self.counts["captures not compared with the core: link type " + self.linktype] += 1
            return
        core = self.replay("--flows=csv")
        if core is None:
            self.counts["captures not compared with the core: libpcap cannot read it"] += 1
            return
        self.counts["captures compared with the core"] += 1
        left_out = self.conversations_left_out(core)
        for row in self.rows:
            self.counts[left_out.get(conversation(row), "flows compared with the core")] += 1
        ours, theirs = (collections.Counter(tuple(row[name] for name in COMPARED) for row in rows
                                            if conversation(row) not in left_out) for rows in (self.rows, core))
        for row in list((ours - theirs).elements())[:4]:
            self.problem("only the plugin has " + " ".join(row))
        for row in list((theirs - ours).elements())[:4]:
            self.problem("only the core has   " + " ".join(row))

    def conversations_left_out(self, core):
        """{conversation: reason} of all flows, of either table, that have a frame which is not for both."""
        reasons = {}
        for frame in self.frames:
            reason = next((text for text, condition in NOT_FOR_BOTH if condition(frame)), None)
            if reason:
                reasons[frame.number] = "flows not compared with the core: " + reason
        if not reasons:
            return {}
        left_out = {}
        ours = {row["id"]: row for row in self.rows}
        for frame in self.frames:
            for flow in frame.flows if frame.number in reasons else []:
                left_out[conversation(ours[flow])] = reasons[frame.number]
        theirs = {row["id"]: row for row in core}
        for packet in self.replay("--frames=csv"):
            if int(packet["frame"]) in reasons:
                left_out[conversation(theirs[packet["flow"]])] = reasons[int(packet["frame"])]
        return left_out


def capinfos(tshark, path):
    """(frames, link type, bytes) of a capture, or None if capinfos cannot read it."""
    done = tshark.run("-TmcEd", "-M", "-r", path, program="capinfos")
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
    if not os.path.exists(support.REPLAY):
        results.skip("no flowscope-replay (cmake -DFLOWSCOPE_BENCH=ON): nothing to hold the flow tables against")
    totals = collections.Counter()
    with support.Tshark() as tshark, concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(Capture(tshark, path).run) for path in paths]
        for job in concurrent.futures.as_completed(jobs):
            capture = job.result()
            totals.update(capture.counts)
            if capture.skipped:
                results.skip(capture.skipped)
                continue
            results.check(not capture.problems, "\n  ".join(capture.problems))
    for name, count in sorted(totals.items()):
        print("%8d  %s" % (count, name))
    results.close()


if __name__ == "__main__":
    main()
