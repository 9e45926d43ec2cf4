#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The duplicate detector on recorded traffic: which of the copies it finds, and what else it takes for one.

    mirrors.py [--table]     --table: only print the tables of docs/duplicates.md

- pcaps/recorded/mirror-*: one conversation seen by two taps; the .csv beside says which frame is a copy of which, from
  tap and order. The frames without the copies are the clean capture.
- Captures of one tap whose senders repeat themselves: nothing may be a duplicate on strong evidence.
"""
import csv
import io
import os
import shutil
import subprocess
import sys
import tempfile

import support

sys.path.insert(0, os.path.join(support.ROOT, "pcaps"))
import mirror  # noqa: E402  (reads captures, and has none of flowscope's code)

RECORDED = os.path.join(support.ROOT, "pcaps", "recorded")
MODES = ("exact", "routed", "rewritten")
# The narrowest mode in which the two sights of a packet are equal.
MIRRORED = {"mirror-two-interfaces": "exact", "mirror-routed": "routed", "mirror-vlan": "routed",
            "mirror-vxlan": "routed"}
REPEATING = ("not-duplicates", "loss", "reordering", "http", "tls", "dns", "ssh")
# What one tap must see as two see it: all but times, frames, bytes of headers below IP, and the tunnel.
OF_TAP = ("proto initiator initiator_port responder responder_port state end marks packets_i packets_r ip_bytes_i "
          "ip_bytes_r payload_bytes_i payload_bytes_r stream_bytes_i stream_bytes_r history conn_state retrans_i "
          "retrans_r zero_windows_i zero_windows_r").split()
PACKETS_WITHOUT_EVIDENCE = 3  # the first of a pair of hosts: docs/duplicates.md


def path_of(name):
    return os.path.join(RECORDED, name + ".pcapng")


def rows_of(*arguments):
    return list(csv.DictReader(io.StringIO(support.replay(*arguments).decode())))


def duplicates(path, mode):
    """Rows by frame: duplicates, and withheld frames."""
    return {int(row["frame"]): row for row in rows_of("--duplicates=" + mode, "--dedup-weak", path)}


def share(part, whole):
    return "%.3f" % (part / whole) if whole else "-"


class Mirrored:
    """A capture of two taps, and its truth."""

    def __init__(self, name):
        self.name, self.path = name, path_of(name)
        self.frames = mirror.read(self.path)
        with open(self.path.removesuffix(".pcapng") + ".csv", encoding="ascii", newline="") as file:
            rows = list(csv.DictReader(file))
        self.original = {int(row["frame"]): int(row["original"]) for row in rows}
        self.copies = {frame for frame, original in self.original.items() if frame != original}
        self.taps = [int(row["tap"]) for row in rows]
        self.problems = []
        self.found = {mode: duplicates(self.path, mode) for mode in MODES}

    def expect(self, good, text):
        if not good:
            self.problems.append("%s: %s" % (self.name, text))

    def called(self, mode, weak_too):
        return {frame for frame, row in self.found[mode].items() if weak_too or row["evidence"] == "strong"}

    def table_row(self, mode):
        cells = [self.name, str(len(self.frames)), str(len(self.copies)), mode]
        for weak_too in (False, True):
            called = self.called(mode, weak_too)
            right = len(called & self.copies)
            cells += [str(len(called)), share(right, len(called)), share(right, len(self.copies))]
        return cells

    def without_evidence(self):
        """Frames of which the documentation says that they have none by identification."""
        counts, result = {}, set()
        for number, frame in enumerate(self.frames, 1):
            packet = mirror.innermost(frame.data)
            pair = packet[9], packet[12:20], packet[6] & 0x40
            if packet[4:6] == b"\0\0" or counts.get(pair, 0) <= PACKETS_WITHOUT_EVIDENCE:
                result.add(number)
            if packet[4:6] != b"\0\0" and number not in self.copies:
                counts[pair] = counts.get(pair, 0) + 1
        return result

    def check_truth(self):
        self.expect(len(self.original) == len(self.frames) and self.copies, "its .csv has not all frames, or no copies")
        self.expect(self.taps == [frame.interface for frame in self.frames], "the taps of its .csv are not its own")
        self.expect(mirror.truth(self.frames) == [self.original[n + 1] for n in range(len(self.frames))],
                    "its .csv is not what the order of its frames says")

    def check_found(self):
        right = MIRRORED[self.name]
        for mode in MODES:
            for weak_too in (False, True):
                wrong = self.called(mode, weak_too) - self.copies
                self.expect(not wrong, "%s: originals called copies: %s" % (mode, sorted(wrong)))
            for frame, row in self.found[mode].items():
                first = self.original.get(int(row["previous"]))
                self.expect(first == self.original[frame], f"{mode}: frame {frame} is no copy of {row['previous']}")
                withheld = row["evidence"] == "withheld"
                self.expect(withheld or int(row["original"]) == first, "%s: original of frame %d" % (mode, frame))
            if MODES.index(mode) < MODES.index(right):
                self.expect(not self.found[mode], mode + ": frames that differ are equal")
                continue
            missed = self.copies - self.called(mode, True)
            self.expect(not missed, "%s: copies not found: %s" % (mode, sorted(missed)))
            missed = self.copies - self.called(mode, False)
            self.expect(missed <= self.without_evidence(), "%s: copies without strong evidence, which have an "
                        "identification: %s" % (mode, sorted(missed - self.without_evidence())))

    def check_flows(self, folder):
        """Excluding duplicates gives the flows of the frames that are none."""
        mode = MIRRORED[self.name]
        kept = [number for number in sorted(self.original) if number not in self.copies]
        clean = os.path.join(folder, self.name + ".pcapng")
        mirror.write(clean, [self.frames[number - 1] for number in kept], 2)
        ours = rows_of("--flows", "--dedup=exclude", "--dedup-mode=" + mode, "--dedup-weak", self.path)
        wanted = rows_of("--flows", clean)
        for row in wanted:
            for column in ("first_frame", "last_frame"):
                row[column] = str(kept[int(row[column]) - 1])
        self.compare("the clean capture", ours, wanted)
        tap = os.path.join(folder, self.name + "-tap0.pcapng")
        mirror.write(tap, [frame for frame in self.frames if frame.interface == 0], 1)
        self.compare("tap 0", *([{column: row[column] for column in OF_TAP} for row in rows
                                 if "4789" not in (row["responder_port"], row["initiator_port"])]
                                for rows in (ours, rows_of("--flows", tap))))
        strong = rows_of("--flows", "--dedup=exclude", "--dedup-mode=" + mode, self.path)
        more = sum_of(strong, "packets") - sum_of(rows_of("--flows", clean), "packets")
        left = self.copies - self.called(mode, False)
        # A copy in a tunnel is two packets: that, and the tunnel's own.
        expected = sum(2 if self.name == "mirror-vxlan" and self.taps[n - 1] == 1 else 1 for n in left)
        self.expect(more == expected, "strong evidence alone leaves %d packets, not %d" % (more, expected))
        everything = rows_of("--flows", self.path)
        return [self.name, mode, *(str(sum_of(rows, "retrans")) for rows in (everything, strong, ours)),
                tshark_retransmissions(self.path), str(sum_of(wanted, "retrans")), tshark_retransmissions(clean)]

    def compare(self, what, ours, wanted):
        self.expect(len(ours) == len(wanted) > 0, "%d flows, %s has %d" % (len(ours), what, len(wanted)))
        for number, (got, good) in enumerate(zip(ours, wanted)):
            unequal = ["%s %s, not %s" % (column, got[column], good[column]) for column in good
                       if got[column] != good[column]]
            self.expect(not unequal, "flow %d is not that of %s: %s" % (number, what, "; ".join(unequal)))


def sum_of(rows, column):
    return sum(int(row[column + "_i"]) + int(row[column + "_r"]) for row in rows)


def tshark_retransmissions(path):
    if not shutil.which("tshark"):
        return "-"
    done = subprocess.run(["tshark", "-n", "-r", path, "-Y", "tcp.analysis.retransmission", "-T", "fields", "-e",
                           "frame.number"], capture_output=True, text=True, check=True)
    return str(len(done.stdout.split()))


def repeating_row(name, mode):
    evidence = [row["evidence"] for row in duplicates(path_of(name), mode).values()]
    return [name, mode, *(str(evidence.count(kind)) for kind in ("strong", "weak", "withheld"))]


def markdown(rows):
    return ["| " + " | ".join(row) + " |" for row in rows]


def check_documentation(tables):
    with open(os.path.join(support.ROOT, "docs", "duplicates.md"), encoding="utf-8") as file:
        there = file.read().splitlines()
    return ["docs/duplicates.md lacks: " + line for table in tables for line in markdown(table) if line not in there]


def main():
    captures = support.each(Mirrored, MIRRORED)
    found = [["capture", "frames", "copies", "mode", "strong", "precision", "recall", "all", "precision", "recall"]]
    found += [capture.table_row(mode) for capture in captures for mode in MODES]
    repeats = [["capture", "mode", "strong", "weak", "withheld"]]
    repeats += [repeating_row(name, mode) for name in REPEATING for mode in MODES]
    busy = [row for row in repeats if row[2:] != ["0", "0", "0"]]
    if sys.argv[1:] == ["--table"]:
        print("\n".join(markdown(found) + [""] + markdown(busy)))
        return 0
    problems = []
    retransmissions = [["retransmissions", "mode", "all frames", "without strong", "without all", "tshark: all frames",
                        "clean", "tshark: clean"]]
    with tempfile.TemporaryDirectory() as folder:
        for capture in captures:
            capture.check_truth()
            capture.check_found()
            retransmissions.append(capture.check_flows(folder))
            problems += capture.problems
    for row in repeats[1:]:
        if row[2] != "0":
            problems.append("%s, %s: %s originals are duplicates on strong evidence" % tuple(row[:3]))
    there = {tuple(row[:2]): row for row in repeats}
    if int(there["not-duplicates", "exact"][3]) < 50 or int(there["not-duplicates", "routed"][4]) < 5:
        problems.append("not-duplicates hardly repeats anything: nothing was tested")
    for rows in (found, retransmissions, repeats):
        support.table(rows)
        print()
    repeated = [["of one tap", "retransmissions", "tshark"]]
    for name in REPEATING[:3]:
        repeated.append([name, str(sum_of(rows_of("--flows", path_of(name)), "retrans")),
                         tshark_retransmissions(path_of(name))])
    support.table(repeated)
    return support.verdict(problems + check_documentation((found, busy)))


if __name__ == "__main__":
    sys.exit(main())
