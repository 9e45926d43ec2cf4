#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Wireshark's users wait for: the table of flows against Conversations, and filters for a flow.

    bench/window_cost.py tables [--packets N] [--flows N] [--no-window]
    bench/window_cost.py filters CAPTURE [--pairs N] [--flow N]

tables makes a capture of short TCP connections, many at once, and takes the CPU time of tshark's tables over it, then that
of Wireshark's window between the choice in the Statistics menu and the moment when it has nothing more to do. filters runs
tshark -Y 'flowscope.flow == N' and -Y 'tcp.stream == N' in turn, the latter with the plugin and without it. Exits with 1 if
a limit of issue 7 is passed: opening Flows takes no longer than Conversations, the filter 1.10 times as much at most.
"""
import argparse
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "gui"))
from window import Screen, Wireshark, install_profiles, support  # noqa: E402

AT_ONCE = 1000  # connections whose packets alternate
SYN, RST, PSH, ACK = 2, 4, 8, 16
STEPS = [(0, SYN, 0), (1, SYN | ACK, 0), (0, ACK, 0), (0, PSH | ACK, 100), (1, RST | ACK, 0)]


def write_capture(path, packets, flows):
    """Each connection has its share of the packets: handshake, data, and a reset in the end."""
    each = packets // flows
    steps = STEPS[:3] + [STEPS[3]] * (each - 4) + STEPS[4:]
    with open(path, "wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        number = 0
        for base in range(0, flows, AT_ONCE):
            sent = [[1000, 2000] for _ in range(AT_ONCE)]
            for side, flags, size in steps:
                for flow in range(base, min(base + AT_ONCE, flows)):
                    state = sent[flow - base]
                    ends = [(0x0a000000 + flow // 50000, 10000 + flow % 50000), (0x0b000001, 443)]
                    (source, sport), (target, dport) = ends[side], ends[1 - side]
                    tcp = struct.pack(">HHIIBBHHH", sport, dport, state[side], state[1 - side] if flags & ACK else 0, 0x50,
                                      flags, 65535, 0, 0) + bytes(size)
                    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(tcp), number & 0xffff, 0, 64, 6, 0, source, target)
                    state[side] += size + (1 if flags & SYN else 0)
                    frame = bytes(12) + b"\x08\x00" + ip + tcp
                    file.write(struct.pack("<IIII", 1700000000 + number // 100000, number % 100000 * 10, len(frame),
                                           len(frame)) + frame)
                    number += 1
    os.chmod(path, 0o644)
    return number


def tshark_cpu(tshark, *arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(tshark.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=tshark.environment, cwd=tshark.folder,
                          preexec_fn=tshark.drop, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit("tshark: " + done.stderr.strip())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_of(process):
    with open("/proc/%d/stat" % process.pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until_idle(process, patience=600):
    """CPU seconds until it has taken none for two seconds."""
    start = last = cpu_of(process)
    quiet = time.monotonic()
    end = quiet + patience
    while time.monotonic() - quiet < 2 and time.monotonic() < end:
        time.sleep(0.1)
        now = cpu_of(process)
        if now - last > 0.02:
            quiet = time.monotonic()
        last = now
    return last - start


def window_cpu(screen, tshark, capture, open_it):
    """The window is started anew for each table: none finds what another left behind."""
    wireshark = Wireshark(screen, tshark, capture, profile="Default", patience=600)
    try:
        until_idle(wireshark.process)
        before = cpu_of(wireshark.process)
        open_it(wireshark)
        until_idle(wireshark.process)
        return cpu_of(wireshark.process) - before
    finally:
        wireshark.close()


def open_conversations(wireshark):
    wireshark.to_front()
    wireshark.screen.keys("alt+s", "c")
    if not wireshark.screen.window("Conversations", 120):
        sys.exit("Conversations did not open")


def open_flows(wireshark):
    wireshark.to_front()
    wireshark.screen.keys("alt+s", *["Down"] * Wireshark.places["Flowscope Flows"], "Return")
    if not wireshark.screen.window("Flowscope Flows", 300):
        sys.exit("the table of flows did not open")


def tables(options):
    with tempfile.TemporaryDirectory(prefix="flowscope-window.") as folder, support.Tshark() as tshark:
        os.chmod(folder, 0o755)
        capture = os.path.join(folder, "many.pcap")
        print("%d packets of %d flows" % (write_capture(capture, options.packets, options.flows), options.flows))
        for tap in ("conv,tcp", "conv,flowscope", "flowscope,flows"):
            times = [tshark_cpu(tshark, "-q", "-r", capture, "-z", tap) for _ in range(options.repeat)]
            print("%-44s %8.2f s" % ("tshark -q -z " + tap, statistics.median(times)), flush=True)
        if options.no_window:
            return 0
        install_profiles(tshark)
        small = tshark.readable(os.path.join(ROOT, "pcaps", "recorded", "http.pcapng"))
        screen = Screen()
        try:
            wireshark = Wireshark(screen, tshark, small)
            wireshark.statistics("Flowscope Flows")  # its place in the menu
            wireshark.close()
            medians = []
            for name, open_it in (("Conversations", open_conversations), ("Flowscope Flows", open_flows)):
                times = [window_cpu(screen, tshark, capture, open_it) for _ in range(options.repeat)]
                medians.append(statistics.median(times))
                print("%-44s %8.2f s   (%s)" % ("window: " + name, medians[-1], ", ".join("%.2f" % t for t in times)),
                      flush=True)
        finally:
            screen.close()
        print("Flows over Conversations %.2f" % (medians[1] / medians[0]))
        return 1 if medians[1] > medians[0] else 0


def filters(options):
    with support.Tshark(False) as plain, support.Tshark() as plugin:
        ratios = {"tcp.stream, with the plugin": [], "tcp.stream, without it": []}
        for _ in range(options.pairs):
            for name, tshark in zip(ratios, (plugin, plain)):
                theirs = tshark_cpu(tshark, "-r", options.capture, "-Y", "tcp.stream == %d" % options.flow)
                ours = tshark_cpu(plugin, "-r", options.capture, "-Y", "flowscope.flow == %d" % options.flow)
                ratios[name].append(ours / theirs)
                print("%-32s %8.2f s %8.2f s %8.3f" % (name, theirs, ours, ours / theirs), flush=True)
        for name, values in ratios.items():
            print("flowscope.flow over %-32s %.3f" % (name, statistics.median(values)))
        return 1 if statistics.median(ratios["tcp.stream, with the plugin"]) > 1.10 else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    table = commands.add_parser("tables")
    table.add_argument("--packets", type=int, default=1000000)
    table.add_argument("--flows", type=int, default=200000)
    table.add_argument("--repeat", type=int, default=3)
    table.add_argument("--no-window", action="store_true")
    table.set_defaults(run=tables)
    pair = commands.add_parser("filters")
    pair.add_argument("capture")
    pair.add_argument("--pairs", type=int, default=5)
    pair.add_argument("--flow", type=int, default=100)
    pair.set_defaults(run=filters)
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
