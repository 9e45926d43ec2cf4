#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exact duplicates are those of Wireshark's editcap, frame by frame.

    editcap.py REPLAY [CAPTURE-OR-FOLDER...]

With -V, editcap names every frame and says which it skips. Two windows in time (0.001 s, and 1 s, which meets more) and
one in count.

Left out: captures that libpcap cannot read (several link types). Compared by the rules of both: where time steps
backwards, editcap does not look at earlier frames with a later time, and flowscope takes the distance both ways.
"""
import os
import re
import subprocess
import sys
import tempfile

SKIPPED = 77
WINDOWS = [("-w", "0.001", ["--duplicate-window=1000000", "--duplicate-capacity=999999"]),
           ("-w", "1", ["--duplicate-window=1000000000", "--duplicate-capacity=999999"]),
           # A window of 100 holds the frame itself.
           ("-D", "100", ["--duplicate-window=18446744073709551615", "--duplicate-capacity=99"])]


def captures(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in sorted(names):
                if re.search(r"\.(pcap|pcapng|cap)(\.gz)?(\.1)?$", name):
                    yield os.path.join(folder, name)


def editcap(option, value, path, scratch):
    """Numbers of the duplicates, and of all frames; None if editcap cannot read it."""
    run = subprocess.run(["editcap", "-V", option, value, path, scratch], capture_output=True, text=True, check=False)
    # "Packet: 7, Len: 60, MD5 Hash: ..." for what is kept, "Skipped: 8, Len: ..." for duplicates.
    kept = re.findall(r"^Packet: (\d+), Len", run.stderr, re.M)
    skipped = re.findall(r"^Skipped: (\d+), Len", run.stderr, re.M)
    if run.returncode != 0:
        return None, 0
    return {int(n) for n in skipped}, len(kept) + len(skipped)


def replay(tool, options, path):
    run = subprocess.run([tool, "--duplicates", *options, path], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None
    return {int(line.split(",")[0]) for line in run.stdout.splitlines()[1:]}


def backwards(path):
    """Whether times ever step back."""
    run = subprocess.run(["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.time_delta"],
                         capture_output=True, text=True, check=False)
    return any(line.startswith("-") for line in run.stdout.split())


def main():
    tool, paths = sys.argv[1], sys.argv[2:]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    shared = os.environ.get("FLOWSCOPE_SHARED", os.path.join(root, "..", "shared"))
    paths = paths or [p for p in (os.path.join(root, "pcaps"), os.path.join(shared, "captures")) if os.path.isdir(p)]
    try:
        subprocess.run(["editcap", "--version"], capture_output=True, check=True)
    except OSError:
        print("editcap is not installed: skipped")
        return SKIPPED
    totals = {"captures": 0, "frames": 0, "duplicates": 0, "unreadable": 0, "with duplicates": 0, "time backwards": 0}
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = os.path.join(folder, "out.pcapng")
        for path in captures(paths):
            found = 0
            frames = 0
            for option, value, options in WINDOWS:
                ours = replay(tool, options, path)
                theirs, frames = editcap(option, value, path, scratch)
                if ours is None or theirs is None:
                    totals["unreadable"] += 1
                    break
                found += len(theirs)
                totals["duplicates"] += len(theirs)
                if ours == theirs:
                    continue
                if option == "-w" and backwards(path):
                    totals["time backwards"] += 1
                    continue
                failures += 1
                print(f"{path}: {option} {value}: only editcap {sorted(theirs - ours)[:10]}, "
                      f"only flowscope {sorted(ours - theirs)[:10]}")
            else:
                totals["captures"] += 1
                totals["frames"] += frames
                totals["with duplicates"] += found > 0
    print(", ".join(f"{name}: {count}" for name, count in totals.items()), f"failures: {failures}", sep="; ")
    if totals["duplicates"] == 0:
        print("no capture had duplicates: nothing was tested")
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
