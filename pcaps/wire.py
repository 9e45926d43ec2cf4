#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A wire between two network interfaces in user space: every frame that one receives is sent by the other.

It can be a VLAN trunk and a bad line, so that recordings need neither the kernel's VLAN devices nor its netem, which
many kernels leave out. Offloads of the two interfaces and of their peers have to be off (see `plain`): the frames on a
wire are no longer than its MTU, and their checksums are complete.

    wire.py run LEFT RIGHT [--vlan ID] [--drop P] [--duplicate P] [--reorder P] [--delay MS] [--seed N]
    wire.py plain INTERFACE...
"""
import argparse
import ctypes
import fcntl
import heapq
import random
import selectors
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID = 0x10
SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO, _SGRO: transmit checksums, scatter-gather, segmentation and receive offloads.
OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)


def plain(interface):
    """Switch the offloads of an interface off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP8x", interface.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError as error:
                print("wire.py: %s: offload %#x stays: %s" % (interface, command, error), file=sys.stderr)


def attach(interface):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    end.bind((interface, 0))
    return end


def receive(end):
    """A frame as it was on the wire: the kernel takes the outermost VLAN tag off and tells it apart."""
    frame, ancillary, _, _ = end.recvmsg(65536, 256)
    for level, kind, data in ancillary:
        if (level, kind) != (SOL_PACKET, PACKET_AUXDATA):
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
        if status & TP_STATUS_VLAN_VALID:
            return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
    return frame


def untag(frame):
    return frame[:12] + frame[16:] if frame[12:14] == b"\x81\x00" else frame


class Line:
    """One direction, with its faults."""

    def __init__(self, out, options, seed, change):
        self.out, self.options, self.change = out, options, change
        self.random = random.Random(seed)
        self.waiting, self.number = [], 0

    def accept(self, frame, now):
        o = self.options
        if o.vlan and not self.carries(frame):
            return
        frame = self.change(frame)
        if len(frame) > 200 and self.random.random() < o.drop:
            return
        delay = o.delay / 1000
        if len(frame) > 200 and self.random.random() < o.reorder:
            delay += 0.003
        self.queue(now + delay, frame)
        if len(frame) > 200 and self.random.random() < o.duplicate:
            self.queue(now + delay + 0.0005, frame)

    def carries(self, frame):
        """On a trunk, an end takes the frames of its own VLAN only."""
        tagged = frame[12:14] == b"\x81\x00"
        return not tagged or struct.unpack("!H", frame[14:16])[0] & 0xFFF == self.options.vlan

    def queue(self, when, frame):
        self.number += 1
        heapq.heappush(self.waiting, (when, self.number, frame))

    def flush(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            self.out.send(heapq.heappop(self.waiting)[2])
        return self.waiting[0][0] - now if self.waiting else None


def run(options):
    left, right = attach(options.left), attach(options.right)
    if options.vlan:
        tag = b"\x81\x00" + struct.pack("!H", options.vlan)
        changes = (lambda frame: frame[:12] + tag + frame[12:], untag)
    else:
        changes = (bytes, bytes)
    lines = (Line(right, options, options.seed, changes[0]), Line(left, options, options.seed + 1, changes[1]))
    selector = selectors.DefaultSelector()
    for end, line in zip((left, right), lines):
        selector.register(end, selectors.EVENT_READ, line)
    while True:
        pauses = [pause for line in lines if (pause := line.flush(time.monotonic())) is not None]
        for key, _ in selector.select(max(0, min(pauses)) if pauses else None):
            key.data.accept(receive(key.fileobj), time.monotonic())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("left")
    runner.add_argument("right")
    runner.add_argument("--vlan", type=int, default=0, help="tag what goes from left to right, untag the way back")
    for fault in ("drop", "duplicate", "reorder"):
        runner.add_argument("--" + fault, type=float, default=0, help="probability, of frames over 200 bytes")
    runner.add_argument("--delay", type=float, default=0, help="milliseconds, each way")
    runner.add_argument("--seed", type=int, default=1)
    commands.add_parser("plain").add_argument("interfaces", nargs="+")
    options = parser.parse_args()
    if options.command == "plain":
        for interface in options.interfaces:
            plain(interface)
    else:
        run(options)


if __name__ == "__main__":
    main()
