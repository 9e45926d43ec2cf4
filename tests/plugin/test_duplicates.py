#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Copies of frames: those that the core finds are shown, and flows are what they are without them.

On the captures of others too, where they are beside the checkout: the fields are held against flowscope-replay, the flows
of flowscope.duplicates:exclude against those of a file from which editcap took the copies.
"""
import collections
import concurrent.futures
import csv
import io
import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

RECORDED = os.path.join(support.ROOT, "pcaps", "recorded")
CAPACITIES = {"exact": 4096, "routed": 16384, "rewritten": 16384}  # the plugin's, for its default windows
FIELDS = ["frame.number", "flowscope.duplicate", "flowscope.duplicate_of", "flowscope.duplicate.previous",
          "flowscope.duplicate.delta", "flowscope.duplicate.hops", "flowscope.duplicate.reason",
          "flowscope.duplicate.evidence"]
FLOW_FIELDS = ["frame.number", "flowscope.flow", "flowscope.side", "flowscope.packets", "flowscope.bytes",
               "flowscope.retransmission", "flowscope.segment", "flowscope.flow.initiator.duplicates",
               "flowscope.flow.responder.duplicates"]


def option(name, value):
    return ["-o", "flowscope.%s:%s" % (name, value)]


def fields(tshark, capture, names, *arguments):
    done = tshark.run("-r", capture, *arguments, "-T", "fields", *(part for name in names for part in ("-e", name)))
    return [dict(zip(names, line.split("\t"))) for line in done.stdout.splitlines()]


def copies(tshark, capture, *arguments):
    """(frame, original, previous, ns, hops, mode, what differs, evidence) of each duplicate, as tshark has it."""
    found = []
    for row in fields(tshark, capture, FIELDS, "-Y", "flowscope.duplicate", *arguments):
        mode, _, differences = row["flowscope.duplicate.reason"].partition(": ")
        delta = round(float(row["flowscope.duplicate.delta"]) * 1e9)
        found.append((row["frame.number"], row["flowscope.duplicate_of"], row["flowscope.duplicate.previous"], delta,
                      row["flowscope.duplicate.hops"], mode, differences or "-", row["flowscope.duplicate.evidence"]))
    return found


def replayed(capture, mode="exact"):
    """The same, as the core's own front end has it; None if libpcap cannot read the capture."""
    done = subprocess.run([support.REPLAY, "--duplicates=" + mode, "--duplicate-capacity=%d" % CAPACITIES[mode], capture], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return None
    return [(row["frame"], row["original"], row["previous"], int(row["delta_ns"]), row["hops"], row["mode"],
             row["differences"], row["evidence"]) for row in csv.DictReader(io.StringIO(done.stdout))]


def summary(tshark, capture, *arguments, argument="flowscope"):
    """{(group, name): value} of -z flowscope."""
    values, group = {}, None
    for line in tshark.run("-q", "-r", capture, *arguments, "-z", argument).stdout.splitlines():
        if line.startswith("  "):
            name, _, value = line.strip().rpartition(" ")
            values[group, name.strip()] = value
        else:
            group = line.strip()
    return values


def flows(tshark, capture, *arguments):
    text = tshark.run("-q", "-r", capture, *arguments, "-z", "flowscope,flows").stdout
    lines = [line.split() for line in text[text.index("\nFlow "):].splitlines() if line]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def write_pcap(path, frames):
    """(ns, bytes) as an Ethernet capture."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 65535, 1))
        for ns, data in frames:
            file.write(struct.pack("<IIII", ns // 10**9, ns % 10**9, len(data), len(data)) + data)
    os.chmod(path, 0o644)


def routed_frames(count):
    """UDP packets, each again behind two routers 3 ms later."""
    frames = []
    for i in range(count):
        udp = struct.pack(">HHHH", 1000, 2000, 12, 0) + struct.pack(">I", i)
        for ttl, tag, late in ((64, b"", 0), (62, b"\x81\x00\x00\x07", 3000000)):
            header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 100 + i, 0, ttl, 17, 0,
                                           bytes((10, 0, 0, 1)), bytes((10, 0, 1, 1))))
            total = sum(struct.unpack(">10H", header))
            struct.pack_into(">H", header, 10, ~(total % 0xffff) & 0xffff)
            frames.append((10**18 + i * 20000000 + late, bytes(12) + tag + b"\x08\x00" + bytes(header) + udp))
    return frames


class Tests:
    def __init__(self, results, tshark):
        self.check, self.skip, self.tshark = results.check, results.skip, tshark
        self.recorded = tshark.readable(os.path.join(RECORDED, "duplicates.pcapng"))

    def path(self, name):
        return os.path.join(self.tshark.folder, name)

    def twice(self, name):
        """The capture merged with itself: each frame again, of another interface."""
        once, path = self.tshark.readable(os.path.join(RECORDED, name)), self.path("twice." + name)
        if not os.path.exists(path):
            subprocess.run(["mergecap", "-I", "none", "-w", path, once, once], check=True)
            os.chmod(path, 0o644)
        return path

    def test_fields_are_those_of_the_core(self):
        ours = copies(self.tshark, self.recorded)
        self.check(len(ours) == 8, "%d duplicates in the recorded capture" % len(ours))
        if not os.path.exists(support.REPLAY):
            self.skip("no flowscope-replay to hold duplicates against")
            return
        self.check(ours == replayed(self.recorded), "other duplicates than the core's: %s" % ours[:3])

    def test_passes_agree(self):
        for treatment in ("mark", "exclude"):
            for capture in (self.recorded, self.twice("tls.pcapng")):
                arguments = option("duplicates", treatment)
                once = copies(self.tshark, capture, *arguments)
                self.check(once and once == copies(self.tshark, capture, *arguments, "-2"),
                           treatment + ": two passes find other duplicates than one")
                names = [name for name in FLOW_FIELDS if "flow." not in name]
                self.check(fields(self.tshark, capture, names, *arguments) ==
                           fields(self.tshark, capture, names, *arguments, "-2"),
                           treatment + ": two passes show other flows than one")
                self.check(summary(self.tshark, capture, *arguments) == summary(self.tshark, capture, *arguments, "-2"),
                           treatment + ": the summary of two passes differs from that of one")

    def test_read_filter(self):
        rows = copies(self.tshark, self.recorded, "-2", "-R", "tcp.len > 0")
        self.check(rows and all(row[0] not in row[1:3] for row in rows), "-R: a frame is its own copy: %s" % rows)

    def test_mark(self):
        marked = {row[0] for row in copies(self.tshark, self.recorded)}
        rows = {row["frame.number"]: row for row in fields(self.tshark, self.recorded, FLOW_FIELDS, "-2")}
        ignored = fields(self.tshark, self.recorded, FLOW_FIELDS, *option("duplicates", "ignore"))
        before = {row["frame.number"] for row in ignored if row["flowscope.retransmission"]}
        after = {number for number, row in rows.items() if row["flowscope.retransmission"]}
        self.check(marked and marked < before and after == before - marked,
                   "copies are retransmissions: %s" % sorted(after & marked))
        self.check(all(row["flowscope.packets"] and not row["flowscope.segment"] for number, row in rows.items()
                       if number in marked), "copies are not counted, or are in streams")
        side = [row["flowscope.side"] for number, row in rows.items() if number in marked]
        totals = [str(side.count(number)) for number in "01"]
        self.check(all([row["flowscope.flow.initiator.duplicates"], row["flowscope.flow.responder.duplicates"]] == totals
                       for row in rows.values()), "totals of the flow are not %s" % totals)
        row = flows(self.tshark, self.recorded)[0]
        self.check([row["Dup>"], row["Dup<"]] == totals, "the table has other totals")
        self.check(not any(row["flowscope.flow.initiator.duplicates"] for row in ignored), "ignored, there are totals")

    def followed(self, capture, flow, *arguments):
        """What -z follow shows of the flow, without the head that names the capture's flow."""
        text = self.tshark.run("-q", "-r", capture, *arguments, "-z", "follow,flowscope,raw,%d" % flow).stdout
        return [line for line in text.splitlines() if re.fullmatch(r"\t?[0-9a-f]+", line)]

    def test_follow(self):
        """A stream says what one tap saw of it, once, datagrams and weak evidence included."""
        capture = self.tshark.readable(os.path.join(RECORDED, "mirror-two-interfaces.pcapng"))
        clean = self.path("one-tap.pcapng")
        with open(clean, "wb"):
            os.chmod(clean, 0o666)
        self.tshark.run("-r", capture, "-Y", "frame.interface_id == 0", "-w", clean)
        for flow in range(4):
            once = self.followed(clean, flow)
            for passes in ((), ("-2",)):
                self.check(once and self.followed(capture, flow, *passes) == once,
                           "flow %d %s: marked copies are followed" % (flow, passes))
        self.check(len(self.followed(capture, 1, *option("duplicates", "ignore"))) == 2 * len(self.followed(clean, 1)),
                   "ignored, copies are not followed")
        # Where flows are told apart by VLAN, copies are all that the flow of the second tap has.
        capture = self.tshark.readable(os.path.join(RECORDED, "mirror-vlan.pcapng"))
        apart = option("key_vlan", "TRUE") + option("duplicate_mode", "routed")
        dns = [int(row["Flow"]) for row in flows(self.tshark, capture, *apart) if row["Protocol"] == "UDP"]
        texts = [self.followed(capture, flow, *apart) for flow in dns]
        self.check(len(texts) > 1 and all(texts) and texts[0] == texts[1], "a flow of copies is empty: %s" % texts)

    def test_ignore(self):
        arguments = option("duplicates", "ignore")
        self.check(not copies(self.tshark, self.recorded, *arguments), "ignored, there are duplicates")
        values = summary(self.tshark, self.recorded, *arguments)
        self.check(values and not any(group == "Duplicates" for group, _ in values), "ignored, they are in the summary")

    def test_exclude(self):
        arguments = option("duplicates", "exclude")
        excluded = {row[0] for row in copies(self.tshark, self.recorded, *arguments)}
        rows = fields(self.tshark, self.recorded, FLOW_FIELDS, *arguments)
        left = [row for row in rows if row["frame.number"] in excluded]
        self.check(left and all(row["flowscope.flow"] == "0" and row["flowscope.side"] and not row["flowscope.packets"] and
                                not row["flowscope.bytes"] for row in left), "excluded frames are in counters: %s" % left[:2])
        numbers = [int(row["flowscope.packets"]) for row in rows if row["frame.number"] not in excluded]
        self.check(numbers == list(range(1, len(rows) - len(left) + 1)), "excluded frames have taken a packet's number")
        values = summary(self.tshark, self.recorded, *arguments)
        wanted = {("Frames", "seen"): len(rows), ("Frames", "tracked"): len(rows) - len(left), ("Frames", "untracked"): 0,
                  ("Frames", "excluded duplicates"): len(left), ("Packets", "counted in flows"): len(rows) - len(left),
                  ("Duplicates", "excluded: exact, strong evidence"): len(left)}
        self.check(all(values.get(key) == str(value) for key, value in wanted.items()), "the summary says %s" % values)
        conversation = self.tshark.run("-q", "-r", self.recorded, *arguments, "-z", "conv,flowscope").stdout
        self.check(re.search(r"<-> .*\b%d\b" % numbers[-1], conversation), "conv,flowscope counts excluded frames")

    def test_exclude_weak(self):
        capture = self.twice("tls.pcapng")
        every = len(fields(self.tshark, capture, FIELDS[:1])) // 2
        strong = summary(self.tshark, capture, *option("duplicates", "exclude"))
        weak = summary(self.tshark, capture, *option("duplicates", "exclude"), *option("duplicates_exclude_weak", "TRUE"))
        self.check(weak["Packets", "counted in flows"] == str(every), "weak ones are not excluded")
        kept = int(strong["Duplicates", "counted as any other: exact, weak evidence"])
        self.check(kept > 0 and strong["Packets", "counted in flows"] == str(every + kept), "weak ones are excluded")
        once = self.tshark.readable(os.path.join(RECORDED, "tls.pcapng"))
        alone = flows(self.tshark, once, *option("duplicates", "ignore"))
        self.check(flows(self.tshark, capture, *option("duplicates", "exclude"),
                         *option("duplicates_exclude_weak", "TRUE")) == alone, "flows of the capture twice are not those of once")

    def test_many(self):
        for name, many in (("loss.pcapng", True), ("duplicates.pcapng", False)):
            capture = self.twice(name) if many else self.recorded
            values = summary(self.tshark, capture)
            told = ("Duplicates", "so many disturb: see the preference flowscope.duplicates") in values
            notes = fields(self.tshark, capture, FIELDS[:1], "-Y", "flowscope.expert.many_duplicates")
            self.check(told == many and len(notes) == many, "%s: told %s, notes in %s" % (name, told, notes))
            if many:
                self.check(notes[0]["frame.number"] == "100", "the note is in frame %s" % notes)
                self.check(values["Duplicates", "share of frames [%]"] == "50.00", "the share is not a half")
                again = fields(self.tshark, capture, FIELDS[:1], "-2", "-Y", "flowscope.expert.many_duplicates")
                self.check(again == notes, "the second pass has the note elsewhere")
                expert = self.tshark.run("-q", "-r", capture, "-z", "expert").stdout
                self.check(re.search(r"^ +1 +Sequence +Flowscope +More than 20 %", expert, re.M), "not in -z expert")
        few = self.twice("http.pcapng")
        self.check(("Duplicates", "so many disturb: see the preference flowscope.duplicates") not in
                   summary(self.tshark, few), "fewer than 100 frames are enough")

    def test_forgotten_frames_are_told(self):
        """More frames than are remembered at one time: what was missed is counted, and a wider window has more room."""
        path = self.path("burst.pcap")
        frames = [(10**18, bytes(12) + b"\x12\x34" + struct.pack(">I", i)) for i in range(4100)]
        write_pcap(path, frames + frames[:1])
        name = ("Duplicates", "frames whose copies may be missed: the window is too wide")
        values = summary(self.tshark, path)
        self.check(values.get(name) == "5" and ("Duplicates", "share of frames [%]") not in values,
                   "4096 frames are remembered: %s" % values)
        values = summary(self.tshark, path, *option("duplicate_window_us", "1001"))
        self.check(name not in values and values["Duplicates", "marked: exact, weak evidence"] == "1",
                   "a wider window has no more room: %s" % values)

    def test_where(self):
        capture = self.path("routed.pcap")
        write_pcap(capture, routed_frames(6))
        self.check(not copies(self.tshark, capture), "exact mode takes routed copies")
        found = copies(self.tshark, capture, *option("duplicate_mode", "routed"))
        # The sender's identifications are believed from the third packet on.
        self.check([row[:2] + row[3:] for row in found] == [
            (str(2 * i + 2), str(2 * i + 1), 3000000, "2", "routed", "vlan+ttl+ip-checksum", "strong")
            for i in range(2, 6)], "routed copies: %s" % found)
        values = summary(self.tshark, capture, *option("duplicate_mode", "routed"))
        self.check(values.get(("Duplicates by where first and copy were captured",
                               "interface 0 to 0, VLAN 7; hops: 2")) == "4", "where: %s" % values)
        self.check(values.get(("Duplicates", "equal, but no duplicate: routed, weak evidence")) == "2", "withheld: %s" % values)
        narrow = [*option("duplicate_mode", "routed"), *option("duplicate_window_us", "2999")]
        self.check(not copies(self.tshark, capture, *narrow), "copies are outside the window")
        narrow[-1] = "flowscope.duplicate_window_us:3000"
        self.check(len(copies(self.tshark, capture, *narrow)) == 4, "the window is not inclusive")
        # The interfaces of a merged capture are told apart.
        values = summary(self.tshark, self.twice("loss.pcapng"))
        self.check(any(re.match(r"interface (0 to 1|1 to 0);", name) for _, name in values), "where: %s" % values)

    def test_filter_chooses(self):
        values = summary(self.tshark, self.recorded, argument="flowscope,stats,frame.number <= 54")
        self.check(values.get(("Duplicates", "marked: exact, strong evidence")) == "2", "a filter: %s" % values)

    def test_frames_past_the_limit(self):
        found = copies(self.tshark, self.recorded, *option("max_frames", "54"))
        self.check([row[0] for row in found] == ["26", "54"], "max_frames: %s" % found)
        values = summary(self.tshark, self.recorded, *option("max_frames", "54"))
        self.check(values["Duplicates", "marked: exact, strong evidence"] == "8", "max_frames changes the summary")

    def test_bad_preferences(self):
        plain = summary(self.tshark, self.recorded)
        for name in ("duplicates", "duplicate_mode"):
            # Wireshark itself decides: it refuses words that are not known, or takes the default.
            done = self.tshark.run("-q", "-r", self.recorded, *option(name, "bogus"), "-z", "flowscope")
            self.check(done.returncode != 0 or summary(self.tshark, self.recorded, *option(name, "bogus")) == plain,
                       "flowscope.%s:bogus changes something" % name)
        for value in ("x", "-1", "99999999999"):
            done = self.tshark.run("-q", "-r", self.recorded, *option("duplicate_window_us", value), "-z", "flowscope")
            self.check(done.returncode != 0, "flowscope.duplicate_window_us:%s is taken" % value)
        done = self.tshark.run("-q", "-r", self.recorded, *option("duplicate_window_us", "4294967295"), "-z", "flowscope")
        self.check(done.returncode == 0 and "exact, strong" in done.stdout, "the widest window is not taken")


# ---- captures of others ----

def compare(tshark, path):
    """(problems, counts) of one capture."""
    name, problems, counts = os.path.basename(path), [], collections.Counter()
    capture = tshark.readable(path)
    for mode in ("rewritten", "exact"):
        theirs = replayed(capture, mode)
        if theirs is None:
            counts["captures that libpcap cannot read"] += 1
            return problems, counts
        # Exact copies are among the others: where there are none, one run says so.
        if mode == "exact" and not theirs:
            return problems, counts
        ours = copies(tshark, capture, *option("duplicate_mode", mode))
        # The replay tool knows no interfaces.
        ours = [row[:6] + (re.sub(r"^interface$", "-", row[6]).replace("interface+", ""),) + row[7:] for row in ours]
        counts["duplicates, " + mode] += len(theirs)
        if ours != theirs:
            problems.append("%s: %s: only tshark has %s, only the core has %s" % (
                name, mode, [row for row in ours if row not in theirs][:2], [row for row in theirs if row not in ours][:2]))
    compare_flows(tshark, capture, theirs, name, problems, counts)
    return problems, counts


def compare_flows(tshark, capture, exact, name, problems, counts):
    """Excluded copies leave the flows of the file without them."""
    arguments = option("duplicates", "exclude")
    kind = "captures whose flows are those of the file without copies"
    if any(row[-1] != "strong" for row in exact):
        arguments += option("duplicates_exclude_weak", "TRUE")
        kind += ", weak ones too"
    without = capture + ".without"
    subprocess.run(["editcap", capture, without, *(row[0] for row in exact)], check=True, capture_output=True)
    os.chmod(without, 0o644)
    ours, theirs = flows(tshark, capture, *arguments), flows(tshark, without, *option("duplicates", "ignore"))
    counts[kind] += ours == theirs
    if ours != theirs:
        differing = [(a, b) for a, b in zip(ours, theirs) if a != b][:1]
        problems.append("%s: %d flows, %d without the copies: %s" % (name, len(ours), len(theirs), [
            {key: (a[key], b[key]) for key in a if a[key] != b[key]} for a, b in differing]))
    os.unlink(without)


def check_others(tshark, results):
    folder = support.captures_folder()
    if not folder or not os.path.exists(support.REPLAY):
        results.skip("captures of others: no ../shared/captures, or no flowscope-replay")
        return
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for problems, found in pool.map(lambda path: compare(tshark, path), support.all_captures(folder)):
            results.check(not problems, "\n  ".join(problems))
            counts += found
    for name, count in sorted(counts.items()):
        print("%8d  %s" % (count, name))
    results.check(counts["duplicates, exact"] > 500, "few duplicates were compared")


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        tests = Tests(results, tshark)
        for name in sorted(dir(tests)):
            if name.startswith("test_") and (not sys.argv[1:] or name in sys.argv[1:]):
                getattr(tests, name)()
        if not sys.argv[1:] or "others" in sys.argv[1:]:
            check_others(tshark, results)
    results.close()


if __name__ == "__main__":
    main()
