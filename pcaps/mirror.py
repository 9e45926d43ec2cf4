#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Captures of one conversation by several taps: join them, and say which frame is a copy of which.

    mirror.py join OUT.pcapng TAP.pcapng...
                      the frames of all taps in the order of their times, each with its tap as interface, and OUT.csv

The lines between the taps lose nothing and keep the order of each flow, so its n-th packet from one end to the other at
one tap is the n-th at every other. That is the truth in OUT.csv; nothing in it comes from comparing what is alike. What
has to be alike (everything of the IP packet but TTL and checksum) is checked afterwards, and must be.
"""
import csv
import struct
import sys
from collections import namedtuple

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
NAME, RESOLUTION = 2, 9
ETHERNET = 1
VXLAN_PORT = 4789

Frame = namedtuple("Frame", "time_ns interface wire_len data")


# ---- pcapng ----

def options_of(body):
    while len(body) >= 4:
        code, length = struct.unpack_from("<HH", body)
        yield code, body[4:4 + length]
        body = body[4 + (length + 3) // 4 * 4:]


def read(path):
    """The frames of a little-endian pcapng."""
    with open(path, "rb") as file:
        data = file.read()
    frames, units, at = [], [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + length - 4]
        if kind == INTERFACE:
            options = dict(options_of(body[8:]))
            units.append(10 ** (9 - options.get(RESOLUTION, b"\x06")[0]))
        elif kind == PACKET:
            interface, high, low, captured, wire = struct.unpack_from("<IIIII", body)
            frames.append(Frame((high << 32 | low) * units[interface], interface, wire, body[20:20 + captured]))
        at += length
    return frames


def block(kind, body):
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def write(path, frames, interfaces):
    """Without the name of the machine, its kernel and its interfaces' hardware, which are nobody's business."""
    with open(path, "wb") as file:
        file.write(block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for number in range(interfaces):
            options = option(NAME, b"tap%d" % number) + option(RESOLUTION, b"\x09") + option(0, b"")
            file.write(block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, 262144) + options))
        for frame in frames:
            head = struct.pack("<IIIII", frame.interface, frame.time_ns >> 32, frame.time_ns & 0xFFFFFFFF,
                               len(frame.data), frame.wire_len)
            file.write(block(PACKET, head + frame.data + bytes(-len(frame.data) % 4)))


# ---- packets ----

def innermost(data):
    """The innermost IPv4 packet of an Ethernet frame, or None."""
    at = 12
    while data[at:at + 2] == b"\x81\x00":
        at += 4
    if data[at:at + 2] != b"\x08\x00":
        return None
    ip = data[at + 2:]
    ip = ip[:int.from_bytes(ip[2:4], "big")]
    transport = ip[(ip[0] & 15) * 4:]
    if ip[9] == 17 and int.from_bytes(transport[2:4], "big") == VXLAN_PORT:
        return innermost(transport[16:])
    return ip


def alike(packet):
    """What no router changes."""
    return packet[:8] + packet[9:10] + packet[12:]


def direction_of(packet):
    """Which flow it is of, and which way."""
    transport = packet[(packet[0] & 15) * 4:]
    return packet[12:20], packet[9], transport[:1 if packet[9] == 1 else 4]


def truth(frames):
    """For each frame, the number of the first sight of its packet: its own if it is that. Numbers begin with 1."""
    counts, first, result = {}, {}, []
    for number, frame in enumerate(frames, 1):
        packet = innermost(frame.data)
        if packet is None:
            sys.exit("mirror.py: frame %d is not IPv4" % number)
        direction = direction_of(packet)
        place = counts[frame.interface, direction] = counts.get((frame.interface, direction), 0) + 1
        original = first.setdefault((direction, place), number)
        if alike(innermost(frames[original - 1].data)) != alike(packet):
            sys.exit("mirror.py: frame %d is not what frame %d is: the order changed between taps" % (number, original))
        result.append(original)
    return result


def join(out, taps):
    frames = [frame._replace(interface=tap) for tap, path in enumerate(taps) for frame in read(path)]
    frames.sort(key=lambda frame: frame.time_ns)
    originals = truth(frames)
    copies = sum(original != number for number, original in enumerate(originals, 1))
    if copies * len(taps) != len(frames) * (len(taps) - 1):
        sys.exit("mirror.py: %d frames, %d copies: some were not seen by every tap" % (len(frames), copies))
    write(out, frames, len(taps))
    with open(out.removesuffix(".pcapng") + ".csv", "w", encoding="ascii", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("frame", "tap", "original"))
        rows.writerows((number, frame.interface, originals[number - 1]) for number, frame in enumerate(frames, 1))
    print("%d frames, %d copies" % (len(frames), copies))


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] != "join":
        sys.exit(__doc__)
    join(sys.argv[2], sys.argv[3:])
