# SPDX-License-Identifier: MIT
"""Whole programs over one capture: CPU time of flowscope-replay and of another program, run in turns."""
import os
import re
import shutil
import statistics
import subprocess
import tempfile

TRACK = ["--no-reassembly"]
TRACK_AND_LIST = ["--no-reassembly", "--flows"]
STREAMS = []  # reassembly is the default

EVERY_TIME = "--duplicate-window=%d" % (2**64 - 1)

# Program and what tells its rows apart, Debian package, what ours does, the other's arguments; CAPTURE, FOLDER and FILE
# are replaced. editcap compares a frame with those of a millisecond, or with the last 99,999.
PEERS = [
    ("softflowd", "softflowd", TRACK, ["-r", "CAPTURE"]),
    ("nfpcapd", "nfdump", TRACK_AND_LIST, ["-r", "CAPTURE", "-w", "FOLDER"]),
    ("argus", "argus-server", TRACK_AND_LIST, ["-X", "-r", "CAPTURE", "-w", "FILE"]),
    ("ndpiReader", "libndpi-bin", STREAMS, ["-q", "-i", "CAPTURE"]),
    ("tcpflow", "tcpflow", STREAMS, ["-q", "-r", "CAPTURE", "-o", "FOLDER"]),
    ("editcap -w", "wireshark-common", ["--duplicates"], ["-w", "0.001", "CAPTURE", "/dev/null"]),
    ("editcap -D", "wireshark-common", ["--duplicates", EVERY_TIME, "--duplicate-capacity=99999"],
     ["-D", "100000", "CAPTURE", "/dev/null"]),
    ("tshark", "tshark", TRACK_AND_LIST, ["-q", "-r", "CAPTURE", "-z", "conv,tcp"]),
    ("suricata", "suricata", STREAMS, ["-r", "CAPTURE", "-l", "FOLDER"]),
]
# CPU time of the other over ours.
LIMITS = {"softflowd": 2.0}


def cpu_seconds(command, cpu):
    """User and system time of a run and its children. None and why if it fails."""
    pin = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
    with open(os.devnull, "wb") as nothing, tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=nothing, stderr=complaints, preexec_fn=pin)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            text = complaints.read().decode("utf-8", "replace").strip().split("\n")[-1]
            return None, "returned %d: %s" % (process.returncode, text)
    return usage.ru_utime + usage.ru_stime, None


def fill(arguments, capture, folder):
    places = {"CAPTURE": capture, "FOLDER": folder, "FILE": os.path.join(folder, "out")}
    return [places.get(argument, argument) for argument in arguments]


def supports(replay, options):
    """Whether this build of the replay tool knows the options: its usage names them."""
    usage = subprocess.run([replay], capture_output=True, text=True, check=False).stderr
    return all(re.search(re.escape(option.partition("=")[0]) + r"\b", usage) for option in options)


def compare(replay, peer, capture, pairs, cpu):
    """One peer: {"ratio": …} or {"missing": why}."""
    name, package, options, arguments = peer
    program = name.partition(" ")[0]
    program = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not program:
        return {"missing": "not installed (Debian: %s)" % package}
    if not supports(replay, options):
        return {"missing": "flowscope-replay has no %s" % " ".join(options)}
    ours, theirs = [], []
    cpu_seconds([replay, *options, capture], cpu)  # the capture is in memory for all that follow
    for _ in range(pairs):
        for command, times in (([replay, *options, capture], ours), (None, theirs)):
            with tempfile.TemporaryDirectory(prefix="flowscope-peer.") as folder:
                os.chmod(folder, 0o777)  # some give up their rights first
                seconds, why = cpu_seconds(command or [program, *fill(arguments, capture, folder)], cpu)
            if seconds is None:
                return {"missing": why}
            times.append(max(seconds, 0.001))
    ratios = [b / a for a, b in zip(ours, theirs)]
    return {"ours": ours, "theirs": theirs, "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
            "command": " ".join([os.path.basename(program), *arguments]), "options": " ".join(["flowscope-replay", *options, "CAPTURE"])}


def run(replay, capture, pairs, cpu, show=print):
    results = {}
    show("%-12s %10s %10s %8s %16s" % ("", "ours [s]", "other [s]", "ratio", "lowest-highest"))
    for peer in PEERS:
        name = peer[0]
        result = results[name] = compare(replay, peer, capture, pairs, cpu)
        if "missing" in result:
            show("%-12s left out: %s" % (name, result["missing"]))
            continue
        show("%-12s %10.3f %10.3f %7.2fx %7.2f-%.2f   %s" % (
            name, statistics.median(result["ours"]), statistics.median(result["theirs"]), result["ratio"], result["low"],
            result["high"], result["options"]))
    return results
