#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the plugin costs: tshark -z flowscope,stats over tshark -z conv,tcp, on many real packets.

    bench/plugin_cost.py [OPTION...] [FOLDER-OF-CAPTURES | CAPTURE]

Merges the captures of the folder (default: those beside the checkout), as often as it takes to have enough packets, and
runs the two commands in turn. Prints CPU time and peak memory of each pair and the medians of their ratios; exits with
1 if a median is past its limit. The other rows are for information: -z conv,tcp with the plugin loaded, which is what
it costs those who do not ask for it, flowscope,stats without streams, without duplicates and without both, and other
tables. The baseline has no plugin. What exporting records adds to flowscope,stats has the same limit, in every format.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "plugin"))
import support  # noqa: E402


def packets_of(path):
    """Packets of a capture that is whole, else 0."""
    done = subprocess.run(["capinfos", "-TmcM", path], capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1].split(",")[-1] if done.stdout.strip() else "0"
    return int(last) if last.isdigit() and not done.returncode else 0


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("%s: %s" % (command[0], done.stderr.strip().splitlines()[-1]))


def merge(folder, wanted, target):
    """Append all captures that mergecap can join, again and again with later times, until there are enough packets."""
    paths = [path for path in support.all_captures(folder) if packets_of(path)]
    if not paths:
        sys.exit("%s: no captures" % folder)
    run("mergecap", "-a", "-w", target, *paths)
    once = packets_of(target)
    copies = [target + ".once"]
    os.rename(target, copies[0])
    while once * len(copies) < wanted:
        shifted = target + ".%d" % len(copies)
        run("editcap", "-t", str(len(copies) * 400000000), copies[0], shifted)
        copies.append(shifted)
    run("mergecap", "-a", "-w", target, *copies)
    for path in copies:
        os.unlink(path)
    os.chmod(target, 0o644)
    return packets_of(target)


def measure(tshark, capture, *taps):
    """CPU seconds and peak memory in KiB of one run. A word with a colon is a preference, any other an argument of -z."""
    out = open(os.devnull, "w", encoding="ascii")
    arguments = [word for tap in taps for word in ("-o" if ":" in tap else "-z", tap)]
    process = subprocess.Popen(tshark.command("-q", "-r", capture, *arguments), stdin=subprocess.DEVNULL, stdout=out,
                               stderr=subprocess.DEVNULL, env=tshark.environment, cwd=tshark.folder,
                               preexec_fn=tshark.drop)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("tshark %s returned %d" % (" ".join(arguments), process.returncode))
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def compare(base, this, capture, pairs):
    """Medians of CPU time and of memory of one (tshark, taps) over another."""
    cpu, memory = [], []
    name = " ".join(this[1:])
    print("%-20s %10s %10s %8s %12s %12s %8s" % (name, "base [s]", "this [s]", "ratio", "base [KiB]", "this [KiB]",
                                                 "ratio"))
    for _ in range(pairs):
        base_cpu, base_memory = measure(base[0], capture, *base[1:])
        this_cpu, this_memory = measure(this[0], capture, *this[1:])
        cpu.append(this_cpu / base_cpu)
        memory.append(this_memory / base_memory)
        print("%-20s %10.2f %10.2f %8.3f %12d %12d %8.3f" % ("", base_cpu, this_cpu, cpu[-1], base_memory, this_memory,
                                                             memory[-1]), flush=True)
    print("%-20s %10s %10s %8.3f %12s %12s %8.3f" % ("median", "", "", statistics.median(cpu), "", "",
                                                     statistics.median(memory)))
    return statistics.median(cpu), statistics.median(memory)


def require_plugins(plain, plugin):
    """A plugin that is installed for all would be in the baseline too, and nothing would be measured."""
    if "flowscope" in plain.describe("plugins").stdout:
        sys.exit("the plugin is installed: remove it first")
    if "flowscope" not in plugin.describe("plugins").stdout:
        sys.exit("tshark does not load the plugin")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="?", default=support.captures_folder())
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--others", type=int, default=3, metavar="PAIRS", help="of the rows without a limit")
    parser.add_argument("--exports", type=int, default=3, metavar="PAIRS", help="of exporting, over flowscope,stats")
    parser.add_argument("--cpu", type=float, default=1.03)
    parser.add_argument("--memory", type=float, default=1.05)
    parser.add_argument("--packets", type=int, default=400000)
    options = parser.parse_args()
    if not options.captures:
        sys.exit("no captures: name a folder of them, or one")
    with tempfile.TemporaryDirectory(prefix="flowscope-cost.") as folder, support.Tshark(False) as plain, \
            support.Tshark() as plugin:
        os.chmod(folder, 0o755)
        require_plugins(plain, plugin)
        capture = options.captures
        if os.path.isdir(capture):
            capture = os.path.join(folder, "merged.pcapng")
            print("%d packets" % merge(options.captures, options.packets, capture))
        base, stats = (plain, "conv,tcp"), (plugin, "flowscope,stats")
        cpu, memory = compare(base, stats, capture, options.pairs)
        no_streams, no_duplicates = "flowscope.reassemble:FALSE", "flowscope.duplicates:ignore"
        for arguments in (("conv,tcp",), ("flowscope,stats", no_streams), ("flowscope,stats", no_duplicates),
                          ("flowscope,stats", no_streams, no_duplicates), ("flowscope,flows",),
                          ("flowscope,sessions",)):
            compare(base, (plugin, *arguments), capture, options.others)
        exports = [compare(stats, (*stats, "flowscope,export,%s,/dev/null" % form), capture, options.exports)[0]
                   for form in ("csv", "zeek", "eve") if options.exports]
    return 1 if cpu > options.cpu or memory > options.memory or any(ratio > options.cpu for ratio in exports) else 0


if __name__ == "__main__":
    sys.exit(main())
