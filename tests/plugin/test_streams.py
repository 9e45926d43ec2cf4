#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The bytes of TCP streams: those that were sent, those that Wireshark's own Follow gives, and what is said when they
cannot be written.

On every capture of others, each stream whose segments all come in order, whole, and once must equal
`-z follow,tcp,raw` byte for byte; streams with lost, repeated or overtaken segments are compared too, and counted by
what sets them apart.
"""
import collections
import concurrent.futures
import csv
import hashlib
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

RECORDED = os.path.join(support.ROOT, "pcaps", "recorded")
SIDES = ("initiator", "responder")
BATCH = 150  # streams that one tshark follows
DISTURBED = re.compile(r"ahead|out-of-order|retransmission|overlap|gap-fill|beyond-window|after-end")
MISSING = re.compile(rb"\[\d+ bytes missing in capture file\]\0")


def written(tshark, capture, name, *arguments):
    """(process, index rows, {file: bytes}) of `-z flowscope,streams`."""
    folder = os.path.join(tshark.folder, "home", name)
    done = tshark.run("-r", capture, *arguments, "-z", "flowscope,streams," + folder)
    with open(os.path.join(folder, "index.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = {}
    for entry in os.listdir(folder):
        if entry.endswith(".bin"):
            with open(os.path.join(folder, entry), "rb") as file:
                files[entry] = file.read()
    return done, rows, files


def followed(text):
    """{filter: (node 0, node 1, bytes of node 0, bytes of node 1)} of each raw Follow in the output of tshark."""
    found = {}
    for block in text.split("=" * 67 + "\n"):
        head = re.match(r"Follow: \S+,raw\nFilter: (.*)\nNode 0: (.*)\nNode 1: (.*)\n", block)
        if not head:
            continue
        sent = [bytearray(), bytearray()]
        for line in block[head.end():].splitlines():
            sent[line.startswith("\t")] += bytes.fromhex(line.strip())
        found[head[1]] = head[2], head[3], bytes(sent[0]), bytes(sent[1])
    return found


class Capture:
    """One capture of others."""

    def __init__(self, tshark, path):
        self.tshark, self.path = tshark, path
        self.name = os.path.basename(path)
        self.problems = []
        self.counts = collections.Counter()

    def run(self):
        file = self.tshark.readable(self.path)
        try:
            self.check(file)
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append("%s: %s: %s" % (self.name, type(error).__name__, error))
        os.unlink(file)
        return self

    def check(self, file):
        fields = ["frame.number", "tcp.stream", "flowscope.flow", "flowscope.flow.protocol", "flowscope.segment",
                  "flowscope.flow.marks"]
        done, rows, files = written(self.tshark, file, "streams-" + os.path.basename(file), "-T", "fields",
                                    *(word for field in fields for word in ("-e", field)))
        if not rows:
            return
        flows, disturbed, crowded = self.map_streams(done.stdout, fields)
        rows = {row["flow"]: row for row in rows}
        streams = sorted((stream for stream in flows), key=int)
        for at in range(0, len(streams), BATCH):
            part = streams[at:at + BATCH]
            theirs = followed(self.tshark.run("-q", "-r", file, *(word for stream in part for word in (
                "-z", "follow,tcp,raw," + stream))).stdout)
            for stream in part:
                self.compare(stream, flows[stream], rows, files, theirs["tcp.stream eq " + stream], disturbed, crowded)

    def map_streams(self, text, fields):
        """({stream: flows}, {flow: classes of its segments that are not in order}, flows whose frames hold other streams too)."""
        flows = collections.defaultdict(set)
        disturbed, crowded = collections.defaultdict(set), set()
        streams_of = collections.defaultdict(set)
        for line in text.splitlines():
            frame = dict(zip(fields, line.split("\t")))
            names = [value.split(",") if value else [] for value in (frame.get(field, "") for field in fields)]
            if len(names) != len(fields) or not names[1]:
                continue
            tcp = [flow for flow, protocol in zip(names[2], names[3]) if protocol == "TCP"]
            if len(tcp) != 1 or len(names[1]) != 1:
                crowded.update(tcp)
            for stream in names[1]:
                flows[stream].update(tcp)
                for flow in tcp:
                    streams_of[flow].add(stream)
            for flow in tcp:
                disturbed[flow].update(DISTURBED.findall(frame.get("flowscope.segment", "")))
                disturbed[flow].update(re.findall("truncated", frame.get("flowscope.flow.marks", "")))
        crowded.update(flow for flow, streams in streams_of.items() if len(streams) > 1)
        return flows, disturbed, crowded

    def compare(self, stream, flows, rows, files, theirs, disturbed, crowded):
        ours = {}
        for flow in flows:
            row = rows.get(flow)
            for side in SIDES:
                if row:
                    name = row[side + "_file"]
                    ours[row[side]] = ours.get(row[side], b"") + files.get(name, b"")
        same = all(ours.get(node, b"") == sent for node, sent in zip(theirs[:2], theirs[2:]))
        classes = set().union(*(disturbed[flow] for flow in flows))
        plain = not classes and not flows & crowded and len(flows) == 1
        if plain and same:
            self.counts["loss-free streams that equal follow,tcp,raw"] += 1
            self.counts["bytes in them"] += len(theirs[2]) + len(theirs[3])
        elif plain:
            self.problems.append("%s: tcp.stream %s is not flow %s: %s bytes, Wireshark follows %s" % (
                self.name, stream, sorted(flows), sorted((node, len(sent)) for node, sent in ours.items()),
                [(theirs[0], len(theirs[2])), (theirs[1], len(theirs[3]))]))
        elif same:
            self.counts["disturbed streams that equal follow,tcp,raw too"] += 1
        elif flows & crowded or len(flows) != 1:
            self.counts["streams that are not one flow, or share frames with others"] += 1
        elif any(MISSING.search(sent) for sent in theirs[2:]):
            self.counts["disturbed streams where Wireshark marks missing bytes"] += 1
        elif any(rows[flow][side + "_gaps"] != "0" for flow in flows & rows.keys() for side in SIDES):
            self.counts["disturbed streams with gaps, which Wireshark leaves out or waits for"] += 1
        else:
            self.counts["disturbed streams that Wireshark puts together otherwise: " + ", ".join(sorted(classes))] += 1


def check_others(tshark, results):
    folder = support.captures_folder()
    if not folder:
        results.skip("captures of others: no ../shared/captures")
        return
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for capture in pool.map(lambda path: Capture(tshark, path).run(), support.all_captures(folder)):
            results.check(not capture.problems, "\n  ".join(capture.problems[:5]))
            counts += capture.counts
    for name, count in sorted(counts.items()):
        print("%8d  %s" % (count, name))
    results.check(counts["loss-free streams that equal follow,tcp,raw"] > 2000, "few streams were compared")


def file_of(size):
    """As pcaps/peers.py serves it."""
    return random.Random(size).randbytes(size)


def check_recorded(tshark, results):
    """What the receiver got through a line that loses, repeats and reorders is what is rebuilt."""
    for name in ("loss", "duplicates", "reordering", "http"):
        capture = tshark.readable(os.path.join(RECORDED, name + ".pcapng"))
        size = 20000 if name == "http" else 150000
        _, rows, files = written(tshark, capture, "recorded-" + name, "-q")
        digest = hashlib.sha256(file_of(size)).hexdigest()
        stream = files[rows[0]["responder_file"]]
        at = stream.find(file_of(size)[:64])
        results.check(at > 0 and hashlib.sha256(stream[at:at + size]).hexdigest() == digest,
                      "%s: the file of %d bytes is not in the responder's stream" % (name, size))
        results.check(rows[0]["responder_gaps"] == "0", name + ": there are gaps")
        raw = tshark.run("-q", "-r", capture, "-z", "follow,flowscope,raw,0").stdout
        follow = followed(raw).get("flowscope.flow == 0")
        results.check(follow and (follow[0], follow[3]) == (rows[0]["initiator"], stream),
                      name + ": follow,flowscope,raw gives other bytes")
        # A second pass gives the same.
        twice = tshark.run("-2", "-q", "-r", capture, "-z", "follow,flowscope,raw,0").stdout
        results.check(raw == twice, name + ": two passes follow other bytes than one")


def check_forms(tshark, results):
    """Of a loss-free stream, each form of Follow is Wireshark's own, but for the name and the filter."""
    capture = tshark.readable(os.path.join(RECORDED, "http.pcapng"))
    for form in ("ascii", "ebcdic", "hex", "raw", "yaml"):
        theirs = tshark.run("-q", "-r", capture, "-z", "follow,tcp,%s,0" % form).stdout
        ours = tshark.run("-q", "-r", capture, "-z", "follow,flowscope,%s,0" % form).stdout
        ours = ours.replace("Follow: flowscope", "Follow: tcp").replace("Filter: flowscope.flow ==", "Filter: tcp.stream eq")
        results.check(len(theirs) > 20000 and ours == theirs, "follow,flowscope,%s is not follow,tcp,%s" % (form, form))


def check_gaps(tshark, results):
    """A capture that lost segments: the rest is there, and the gap is said."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tcp-lost-in-capture.pcap"))
    _, rows, files = written(tshark, capture, "gaps", "-q")
    row = rows[0]
    gaps = int(row["initiator_gap_bytes"]) + int(row["responder_gap_bytes"])
    results.check(gaps > 0, "the gap is not in the index")
    with open(os.path.join(tshark.folder, "home", "gaps", "gaps.csv"), encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    results.check(sum(int(gap["length"]) for gap in listed) == gaps, "gaps.csv lists other gaps")
    text = tshark.run("-q", "-r", capture, "-z", "follow,flowscope,ascii,0").stdout
    results.check("bytes missing in capture file]" in text, "Follow does not mark the gap")
    results.check(len(files) == sum(row[side + "_file"] != "" for side in SIDES), "there are other files")
    anomalies = tshark.run("-q", "-r", capture, "-z", "flowscope,anomalies").stdout
    results.check(re.search(r"^ +\d+ .* gap +", anomalies, re.M), "the gap is no anomaly:\n" + anomalies)
    frames = tshark.run("-r", capture, "-Y", "flowscope.expert.gap && flowscope.gap > 0", "-T", "fields", "-e",
                        "frame.number").stdout.split()
    results.check(len(frames) == 1, "the expert info is in frames %s" % frames)


def check_gap_sides(tshark, results):
    """A frame that gives up bytes of the other side says how many, and whose."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tcp-lost-and-acknowledged.pcap"))
    fields = ("frame.number", "flowscope.side", "flowscope.gap", "flowscope.gap_side", "flowscope.anomaly")
    for passes in ((), ("-2",)):
        lines = tshark.run("-r", capture, *passes, "-Y", "flowscope.gap || flowscope.expert.gap", "-T", "fields",
                           *(word for field in fields for word in ("-e", field))).stdout
        results.check(lines == "6\t0\t1000\t0\t\n8\t1\t1000\t0\tgap\n", "%s: the gaps are\n%s" % (passes, lines))


def check_links(tshark, results):
    """A frame that is named as repeated brought the first byte; one that is named for a hole came after bytes that were
    missing. By Wireshark's own sequence numbers."""
    repeated = filling = 0
    for name in sorted(name for name in os.listdir(RECORDED) if name.endswith(".pcapng")):
        capture = tshark.readable(os.path.join(RECORDED, name))
        fields = ("frame.number", "tcp.stream", "tcp.srcport", "tcp.seq", "tcp.len", "flowscope.retransmission_of",
                  "flowscope.out_of_order_after")
        lines = tshark.run("-r", capture, "-Y", "tcp && !icmp", "-T", "fields",
                           *(word for field in fields for word in ("-e", field))).stdout.splitlines()
        frames = {}
        for line in lines:
            number, stream, port, seq, length, repeats, hole = line.split("\t")
            where = "%s: frame %s " % (name, number)
            if "," in stream:
                continue # a tunnel
            start = int(seq)
            frames[number] = (stream, port), start, start + int(length)
            if repeats:
                side, from_, to = frames[repeats]
                repeated += 1
                results.check(side == frames[number][0] and from_ <= start < to, where + "does not repeat " + repeats)
            if hole:
                side, from_, to = frames[hole]
                filling += 1
                before = [frame for frame in frames if frame != number and frames[frame][0] == side and
                          frames[frame][1] < from_ <= frames[frame][2]]
                results.check(side == frames[number][0] and from_ > start, where + "fills no hole before " + hole)
                results.check(not before or min(map(int, before)) > int(hole), where + "the hole was shown before " + hole)
        if name == "loss.pcapng":
            lines = tshark.run("-r", capture, "-Y", "frame.number == 72", "-T", "fields", "-e", "flowscope.segment", "-e",
                               "flowscope.retransmission_of", "-e", "flowscope.out_of_order_after").stdout
            results.check(lines == "fast-retransmission\t\t38\n", "loss.pcapng: frame 72 is " + lines)
    results.check(repeated > 0 and filling > 0, "%d links to repeated frames, %d to holes" % (repeated, filling))


def check_choice(tshark, results):
    """A filter chooses flows, and only their files stay."""
    capture = tshark.readable(os.path.join(RECORDED, "http.pcapng"))
    folder = os.path.join(tshark.folder, "home", "chosen")
    tshark.run("-q", "-r", capture, "-z", "flowscope,streams,%s,http.request.uri contains 100" % folder)
    with open(os.path.join(folder, "index.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {row[side + "_file"] for row in rows for side in SIDES} - {""}
    results.check(names and names == {name for name in os.listdir(folder) if name.endswith(".bin")},
                  "other files than those of the index")
    everything = written(tshark, capture, "all", "-q")
    results.check(0 < len(rows) < len(everything[1]), "the filter chose %d of %d" % (len(rows), len(everything[1])))


def check_overlaps(tshark, results):
    """Suricata's cases of an exact overlap: what the receiver was given first stays, and the other text is reported."""
    folder = support.captures_folder()
    cases = os.path.join(os.path.dirname(folder), "oracles", "suricata") if folder else ""
    for case, policy in (("eve-payload-01-tcp-exact-overlap", "bsd"),
                         ("eve-payload-02-tcp-exact-overlap-policy-oldlinux", "old-linux")):
        path = os.path.join(cases, case, "tcp-overlap.pcap")
        if not os.path.exists(path):
            results.skip(case + ": no ../shared/oracles")
            continue
        capture = tshark.readable(path)
        option = ("-o", "flowscope.overlap_policy:" + policy)
        _, _, files = written(tshark, capture, case, "-q", *option)
        results.check(files == {"0000000000-initiator.bin": b"GOOD"}, "%s: the streams are %s" % (case, files))
        lines = tshark.run("-r", capture, *option, "-Y", "flowscope.expert.conflict", "-T", "fields", "-e", "frame.number",
                           "-e", "flowscope.retransmission_of").stdout.split()
        results.check(lines == ["6", "5"], "%s: the conflict is %s" % (case, lines))


def check_errors(tshark, results):
    capture = tshark.readable(os.path.join(RECORDED, "loss.pcapng"))
    for argument, expected in (("flowscope,streams", "a folder is missing"), ("flowscope,streams,", "a folder is missing"),
                               ("flowscope,streams,/proc/none", "cannot write /proc/none"),
                               ("flowscope,streams,%s/home/x,tcp ===" % tshark.folder, "bad display filter")):
        done = tshark.run("-q", "-r", capture, "-z", argument)
        lines = [line for line in done.stderr.splitlines() if "flowscope" in line]
        results.check(done.returncode != 0 and len(lines) == 1 and expected in lines[0],
                      "-z %s: returned %d, said %s" % (argument, done.returncode, lines))
    folder = os.path.join(tshark.folder, "home", "small")
    script = 'ulimit -f 64; trap "" XFSZ; tshark -n -q -r "$0" -z "flowscope,streams,$1"'
    done = tshark.run("-c", script, capture, folder, program="bash")
    lines = [line for line in done.stderr.splitlines() if "flowscope" in line]
    results.check(done.returncode == 1 and len(lines) == 1 and "cannot write" in lines[0],
                  "a full disk: returned %d, said %s" % (done.returncode, lines))
    path = os.path.join(folder, "0000000000-responder.bin")
    size = os.path.getsize(path)
    _, _, files = written(tshark, capture, "large", "-q")
    whole = files["0000000000-responder.bin"]
    with open(path, "rb") as file:
        results.check(file.read() == whole[:size] and 0 < size <= 65536, "what was written is not whole")


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        check_recorded(tshark, results)
        check_forms(tshark, results)
        check_gaps(tshark, results)
        check_gap_sides(tshark, results)
        check_links(tshark, results)
        check_choice(tshark, results)
        check_overlaps(tshark, results)
        check_errors(tshark, results)
        check_others(tshark, results)
    results.close()


if __name__ == "__main__":
    main()
