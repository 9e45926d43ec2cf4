# SPDX-License-Identifier: MIT
"""JA4 as Wireshark 4.4 says it. The Wireshark that runs the tests may be older and know no JA4, so what 4.4 says of
../shared/captures is kept: ja4.tsv has the frame of each ClientHello over TCP, its JA3, by which it is found, and its
JA4."""
import collections
import csv
import gzip
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "ja4.tsv")
HEADER = ("capture", "frame", "ja3", "ja4")
# Where scripts/matrix keeps Debian 13, which has Wireshark 4.4.
CHROOT = os.path.join(os.environ.get("FLOWSCOPE_CHROOTS") or
                      os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                                   "flowscope", "chroots"), "trixie")


def name_of(capture, folder):
    return os.path.relpath(os.path.realpath(capture), os.path.realpath(folder))


def load():
    """{capture: {(frame, JA3): [JA4]}}"""
    table = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(TABLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, dialect="excel-tab"):
            table[row["capture"]][int(row["frame"]), row["ja3"]].append(row["ja4"])
    return table


def hellos(chroot, file):
    """(frame, JA3, JA4) of each ClientHello of a capture inside the chroot."""
    done = subprocess.run(["chroot", chroot, "tshark", "-2", "-r", file, "-o", "tcp.reassemble_out_of_order:TRUE", "-Y",
                           "tls.handshake.ja4", "-T", "fields", "-e", "frame.number", "-e", "tls.handshake.ja3", "-e",
                           "tls.handshake.ja4"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        frame, ja3, ja4 = line.split("\t")
        yield from ((frame, *pair) for pair in zip(ja3.split(","), ja4.split(",")) if pair[1].startswith("t"))


def may_have_hellos(capture):
    with (gzip.open(capture) if capture.endswith(".gz") else open(capture, "rb")) as file:
        return re.search(rb"\x16\x03[\x00-\x04]..\x01\x00", file.read(), re.S) is not None


def record(captures, folder, chroot=CHROOT):
    """Write the table anew; needs root."""
    scratch = tempfile.mkdtemp(dir=os.path.join(chroot, "tmp"))
    try:
        with open(TABLE, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
            writer.writerow(HEADER)
            for capture in filter(may_have_hellos, captures):
                copy = shutil.copy(capture, scratch)
                writer.writerows((name_of(capture, folder), *hello)
                                 for hello in hellos(chroot, "/" + os.path.relpath(copy, chroot)))
                os.unlink(copy)
    finally:
        shutil.rmtree(scratch)
