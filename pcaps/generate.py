#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the synthetic captures and their manifest: generated/*.pcap[ng] and generated/manifest.json.

Needs nothing but Python 3.9. The output is the same bytes on every run: fixed times, fixed seeds.

What the manifest says comes from how a capture is made, not from reading it: every frame is written together with the
flows that it belongs to and what it adds to them, and the outcome of each flow (state, history, marks) is stated by
hand, from docs/semantics.md, where the flow is made. A field that is not certain from that page is left out.
"""
import json
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
CLIENT, SERVER = 0, 1

MAC = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
BROADCAST = b"\xff" * 6

LINK_NULL, LINK_ETHERNET, LINK_PPP, LINK_PPP_HDLC, LINK_PPPOE = 0, 1, 9, 50, 51
LINK_RAW, LINK_80211, LINK_LOOP, LINK_SLL, LINK_RADIOTAP = 101, 105, 108, 113, 127
LINK_IPV4, LINK_IPV6, LINK_SLL2 = 228, 229, 276


# ---- what must come out ----


class Flow:
    """A flow that must come out. Counters grow with the frames; everything in `expect` is stated by hand."""

    def __init__(self, proto, initiator, initiator_port, responder, responder_port, **expect):
        self.endpoints = (proto, initiator, initiator_port, responder, responder_port)
        self.expect = expect
        self.counters = {"packets": [0, 0], "wire_bytes": [0, 0], "ip_bytes": [0, 0], "payload_bytes": [0, 0]}
        self.unknown = set()
        self.first_ns = self.last_ns = None
        self.parent = None

    def count(self, side, time_ns, **amounts):
        self.first_ns = time_ns if self.first_ns is None else min(self.first_ns, time_ns)
        self.last_ns = time_ns if self.last_ns is None else max(self.last_ns, time_ns)
        self.counters["packets"][side] += 1
        for name, amount in amounts.items():
            if amount is None:
                self.unknown.add(name)
            else:
                self.counters[name][side] += amount

    def manifest(self, flows):
        proto, initiator, initiator_port, responder, responder_port = self.endpoints
        entry = {"proto": proto, "initiator": initiator, "initiator_port": initiator_port, "responder": responder,
                 "responder_port": responder_port}
        if self.parent is not None:
            entry["parent"] = flows.index(self.parent)
        entry.update({name: value for name, value in self.counters.items() if name not in self.unknown})
        entry["first_ns"], entry["last_ns"] = self.first_ns, self.last_ns
        entry.update(self.expect)
        if "marks" not in entry and proto not in ("MAC",):
            entry["marks"] = []
        return {name: value for name, value in entry.items() if value is not None}


class Use:
    """One frame's part in one flow."""

    def __init__(self, flow, side, ip_bytes=None, payload_bytes=None):
        self.flow, self.side, self.ip_bytes, self.payload_bytes = flow, side, ip_bytes, payload_bytes


class Capture:
    def __init__(self, name, shows, link=LINK_ETHERNET, snaplen=262144, nanoseconds=False, big_endian=False, ng=False,
                 links=None, domain=None, front_ends=("core", "plugin"), note=None):
        self.file = name + (".pcapng" if ng else ".pcap")
        self.shows, self.link, self.snaplen, self.nanoseconds = shows, link, snaplen, nanoseconds
        self.order = ">" if big_endian else "<"
        self.ng, self.links = ng, links or [link]
        self.domain, self.front_ends, self.note = domain, front_ends, note
        self.frames, self.flows, self.untracked = [], [], {}
        self.anomalies = {}
        self.now = START_NS

    def wait(self, ns):
        self.now += ns

    def frame(self, data, uses, step=MS, untracked=None, interface=0):
        """Append a frame. `uses`: its flows, outermost first; or the reason why it has none."""
        self.now += step
        self.frames.append((self.now, data, interface))
        if untracked:
            self.untracked[untracked] = self.untracked.get(untracked, 0) + 1
        carrier = None
        for use in uses:
            if use.flow not in self.flows:
                self.flows.append(use.flow)
                use.flow.parent = carrier
            use.flow.count(use.side, self.now, wire_bytes=len(data), ip_bytes=use.ip_bytes,
                           payload_bytes=use.payload_bytes)
            if len(data) > self.snaplen:
                marks = use.flow.expect.setdefault("marks", [])
                if "truncated" not in marks:
                    marks.append("truncated")
            carrier = use.flow

    def anomaly(self, name):
        self.anomalies[name] = self.anomalies.get(name, 0) + 1

    def write_pcap(self, out):
        magic = 0xA1B23C4D if self.nanoseconds else 0xA1B2C3D4
        out.write(struct.pack(self.order + "IHHiIII", magic, 2, 4, 0, 0, self.snaplen, self.link))
        for time_ns, data, _ in self.frames:
            seconds, rest = divmod(time_ns, SECOND)
            part = rest if self.nanoseconds else rest // 1000
            cut = data[:self.snaplen]
            out.write(struct.pack(self.order + "IIII", seconds, part, len(cut), len(data)) + cut)

    def write_pcapng(self, out):
        def block(kind, body):
            length = 12 + len(body)
            out.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))

        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for link in self.links:
            resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
            block(1, struct.pack("<HHI", link, 0, self.snaplen) + resolution)
        for time_ns, data, interface in self.frames:
            cut = data[:self.snaplen]
            body = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, len(cut), len(data))
            block(6, body + cut + b"\0" * (-len(cut) % 4))

    def write(self, folder):
        with open(os.path.join(folder, self.file), "wb") as out:
            (self.write_pcapng if self.ng else self.write_pcap)(out)

    def manifest(self):
        expect = []
        rejected = sum(self.untracked.values())
        common = {"tracked": len(self.frames) - rejected, "untracked": self.untracked,
                  "anomalies": self.anomalies}
        if self.domain:
            expect.append({"domain": self.domain, **common,
                           "flows": [flow.manifest(self.flows) for flow in self.flows]})
            if all(flow.endpoints[0] != "TCP" for flow in self.flows):
                merged = merge(self.flows)
                expect.append({"domain": "", **common, "flows": [flow.manifest(merged) for flow in merged]})
        else:
            expect.append({"domain": "", **common, "flows": [flow.manifest(self.flows) for flow in self.flows]})
        entry = {"file": self.file, "shows": self.shows, "frames": len(self.frames),
                 "front_ends": list(self.front_ends), "expect": expect}
        if self.note:
            entry["note"] = self.note
        return entry


def merge(flows):
    """What is left of flows that only a domain keeps apart. For flows without states of TCP."""
    merged, place = [], {}
    for flow in flows:
        into = place.get(flow.endpoints)
        if into is None:
            into = place[flow.endpoints] = Flow(*flow.endpoints, **flow.expect)
            into.unknown, into.first_ns, into.last_ns = set(flow.unknown), flow.first_ns, flow.last_ns
            into.parent = place[flow.parent.endpoints] if flow.parent else None
            merged.append(into)
        into.first_ns, into.last_ns = min(into.first_ns, flow.first_ns), max(into.last_ns, flow.last_ns)
        for name, (initiator, responder) in flow.counters.items():
            into.counters[name][0] += initiator
            into.counters[name][1] += responder
    return merged


# ---- headers ----


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    if ":" not in text:
        return bytes(int(part) for part in text.split("."))
    left, _, right = text.partition("::")
    head = [int(group, 16) for group in left.split(":") if group]
    tail = [int(group, 16) for group in right.split(":") if group]
    middle = [0] * (8 - len(head) - len(tail)) if "::" in text else []
    return struct.pack("!8H", *head, *middle, *tail)


def pseudo(source, destination, proto, length):
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, proto, length)
    return source + destination + struct.pack("!IHBB", length, 0, 0, proto)


def ipv4(source, destination, proto, body, ttl=64, ident=0, fragment=0, total=None):
    length = 20 + len(body) if total is None else total
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, ident, fragment, ttl, proto, 0, address(source),
                         address(destination))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def ipv6(source, destination, proto, body, extensions=b"", first=None, label=0):
    return struct.pack("!IHBB", 6 << 28 | label, len(extensions) + len(body), proto if first is None else first,
                       64) + address(source) + address(destination) + extensions + body


def ip(source, destination, proto, body, **options):
    return (ipv6 if ":" in source else ipv4)(source, destination, proto, body, **options)


def tcp_segment(source, destination, sport, dport, seq, ack, flags, payload=b"", window=64240, options=b""):
    options += b"\x01" * (-len(options) % 4)
    words = 5 + len(options) // 4
    header = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window, 0,
                         0) + options
    both = pseudo(address(source), address(destination), 6, len(header) + len(payload)) + header + payload
    return header[:16] + struct.pack("!H", checksum(both)) + header[18:] + payload


def udp_datagram(source, destination, sport, dport, payload, proto=17):
    header = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    total = checksum(pseudo(address(source), address(destination), proto, 8 + len(payload)) + header + payload)
    return header[:6] + struct.pack("!H", total or 0xFFFF) + payload


def icmp(kind, code, rest, body):
    data = struct.pack("!BBH", kind, code, 0) + rest + body
    return data[:2] + struct.pack("!H", checksum(data)) + data[4:]


def icmpv6(source, destination, kind, code, rest, body):
    data = struct.pack("!BBH", kind, code, 0) + rest + body
    total = checksum(pseudo(address(source), address(destination), 58, len(data)) + data)
    return data[:2] + struct.pack("!H", total) + data[4:]


def ethertype(packet):
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def pad(frame):
    return frame + b"\0" * max(0, 60 - len(frame))


# ---- wrappers: an IP packet from `side` to a frame, and its carriers ----


def ethernet(packet, side, tags=b"", kind=None):
    kind = ethertype(packet) if kind is None else kind
    return pad(MAC[1 - side] + MAC[side] + tags + struct.pack("!H", kind) + packet), []


def vlan(*ids, outer=0x8100):
    tags = b"".join(struct.pack("!HH", outer if at == 0 else 0x8100, number) for at, number in enumerate(ids))
    return lambda packet, side: ethernet(packet, side, tags)


def mpls(*labels):
    def wrap(packet, side):
        stack = b"".join(struct.pack("!I", label << 12 | (at == len(labels) - 1) << 8 | 64)
                         for at, label in enumerate(labels))
        return ethernet(stack + packet, side, kind=0x8847)

    return wrap


def ppp_protocol(packet):
    return b"\x00\x57" if packet[0] >> 4 == 6 else b"\x00\x21"


def pppoe_session(packet):
    return struct.pack("!BBHH", 0x11, 0, 0x17, len(packet) + 2) + ppp_protocol(packet) + packet


def pppoe(packet, side):
    return ethernet(pppoe_session(packet), side, kind=0x8864)


def link_null(packet, side):
    return struct.pack("<I", 24 if packet[0] >> 4 == 6 else 2) + packet, []


def link_loop(packet, side):
    return struct.pack("!I", 24 if packet[0] >> 4 == 6 else 2) + packet, []


def link_raw(packet, side):
    return packet, []


def link_ppp(packet, side):
    return b"\xff\x03" + ppp_protocol(packet) + packet, []


def link_ppp_plain(packet, side):
    return ppp_protocol(packet) + packet, []


def link_pppoe(packet, side):
    return pppoe_session(packet), []


def link_sll(packet, side):
    return struct.pack("!HHH6sHH", 4 if side == CLIENT else 0, 1, 6, MAC[side], 0, ethertype(packet)) + packet, []


def link_sll2(packet, side):
    return struct.pack("!HHIHBB6sH", ethertype(packet), 0, 2, 1, 4 if side == CLIENT else 0, 6, MAC[side],
                       0) + packet, []


BSSID = bytes.fromhex("02000000ffff")


def snap(packet):
    return b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", ethertype(packet)) + packet


def wlan(packet, side, qos=False, flags=0):
    """A data frame to the distribution system from the client, from it to the client."""
    subtype = 0x88 if qos else 0x08
    addresses = BSSID + MAC[0] + MAC[1] if side == CLIENT else MAC[0] + BSSID + MAC[1]
    header = bytes([subtype, flags | (1 if side == CLIENT else 2)]) + b"\0\0" + addresses + b"\x10\0"
    return header + (b"\0\0" if qos else b"") + snap(packet), []


def radiotap(packet, side):
    frame, carriers = wlan(packet, side, qos=True)
    return b"\0\0\x08\0\0\0\0\0" + frame, carriers


def dot3(packet, side):
    body = snap(packet)
    return pad(MAC[1 - side] + MAC[side] + struct.pack("!H", len(body)) + body), []


class Tunnel:
    """Carries packets over one flow of its own, or with `sports`, as VXLAN does, over one flow for each direction."""

    def __init__(self, proto, ends=("192.0.2.1", "192.0.2.2"), header=None, port=None, sports=None, outer=ethernet,
                 number=None):
        self.ends, self.header, self.port, self.sports, self.outer = ends, header, port, sports, outer
        self.proto, self.number = proto, number
        self.flows = {}

    def flow(self, side):
        """The carrier's flow of a packet, and the packet's side in it."""
        one_way = self.port is not None and self.sports is not None
        name = side if one_way else 0
        if name not in self.flows:
            first = side
            ports = (0, 0) if self.port is None else (self.sports[side] if one_way else self.port, self.port)
            self.flows[name] = (Flow(self.proto, self.ends[first], ports[0], self.ends[1 - first], ports[1]), first)
        flow, first = self.flows[name]
        return flow, (0 if first == side else 1)

    def __call__(self, packet, side):
        inner = (self.header(packet, side) if self.header else b"") + packet
        if self.header and getattr(self.header, "whole", False):
            inner = self.header(packet, side)
        flow, flow_side = self.flow(side)
        payload = None
        if self.port is not None:
            payload = len(inner)
            sport = self.sports[side] if self.sports else self.port
            inner = udp_datagram(self.ends[side], self.ends[1 - side], sport, self.port, inner)
        outer = ip(self.ends[side], self.ends[1 - side], self.number, inner)
        frame, carriers = self.outer(outer, side)
        return frame, carriers + [Use(flow, flow_side, len(outer), payload)]

    def finish(self):
        """State what the carriers must look like, now that they are complete."""
        for flow, _ in self.flows.values():
            both = flow.counters["packets"][1] > 0
            flow.expect.update(state="two-way" if both else "one-way", end="end-of-input",
                               history="Dd" if both else "D", marks=[] if both else ["one-sided"])
            flow.expect["conn_state"] = "OTH" if self.port is None else "SF" if both else "S0"


def whole(function):
    """Mark a tunnel header function that returns header and content together."""
    function.whole = True
    return function


def inner_ethernet(packet, side):
    return MAC[1 - side] + MAC[side] + struct.pack("!H", ethertype(packet)) + packet


def vxlan(vni, ends=("192.0.2.1", "192.0.2.2"), sports=(50001, 50002), port=4789, **options):
    head = whole(lambda packet, side: struct.pack("!II", 0x08000000, vni << 8) + inner_ethernet(packet, side))
    return Tunnel("UDP", ends, head, port, sports, number=17, **options)


def geneve(vni, sports=(50003, 50004)):
    head = whole(lambda packet, side: struct.pack("!BBHI", 0x02, 0, 0x6558, vni << 8)
                 + struct.pack("!HBBI", 0x0102, 0x80, 1, 0) + inner_ethernet(packet, side))
    return Tunnel("UDP", header=head, port=6081, sports=sports, number=17)


def gtpu(teids):
    head = whole(lambda packet, side: struct.pack("!BBHI", 0x30, 0xFF, len(packet), teids[side]) + packet)
    return Tunnel("UDP", header=head, port=2152, number=17)


def teredo():
    return Tunnel("UDP", port=3544, number=17)


def gre(key=None, sequence=False, **options):
    counter = [0]

    def head(packet, side):
        flags = (0x2000 if key is not None else 0) | (0x1000 if sequence else 0)
        result = struct.pack("!HH", flags, ethertype(packet))
        result += struct.pack("!I", key) if key is not None else b""
        if sequence:
            result += struct.pack("!I", counter[0])
            counter[0] += 1
        return result

    return Tunnel("GRE", header=head, number=47, **options)


def erspan(version):
    counter = [0]

    @whole
    def head(packet, side):
        counter[0] += 1
        if version == 1:
            start = struct.pack("!HH", 0, 0x88BE)
        elif version == 2:
            start = struct.pack("!HHIHHI", 0x1000, 0x88BE, counter[0], 0x1000 | 100, 5, 7)
        else:
            start = struct.pack("!HHIHHIHH", 0x1000, 0x22EB, counter[0], 0x2000 | 100, 5, 123456, 0, 0)
        return start + inner_ethernet(packet, side)

    return Tunnel("GRE", header=head, number=47)


def mirrored(tunnel):
    """Both directions arrive over the same carrier direction, as a mirror session sends them."""
    def wrap(packet, side):
        ends, head = tunnel.ends, tunnel.header(packet, side)
        outer = ip(ends[0], ends[1], tunnel.number, head)
        flow, _ = tunnel.flow(0)
        frame, carriers = ethernet(outer, 0)
        return frame, carriers + [Use(flow, 0, len(outer), None)]

    wrap.finish = tunnel.finish
    return wrap


def ip_in_ip(ends, number, **options):
    return Tunnel({4: "IPv4", 41: "IPv6"}[number], ends, number=number, **options)


# ---- conversations ----

SYN_OPTIONS = struct.pack("!BBH", 2, 4, 1460) + b"\x04\x02" + b"\x08\x0a" + struct.pack("!II", 1, 0) \
    + b"\x01" + b"\x03\x03\x07"


class Tcp:
    """A connection, written segment by segment; it keeps both sides' sequence numbers as an honest stack does."""

    def __init__(self, capture, ends=("10.0.0.1", "10.0.0.2"), ports=(40000, 80), wrap=ethernet, isn=(1000, 5000),
                 flow=None, options=None, count_payload=True, **expect):
        self.capture, self.ends, self.ports, self.wrap = capture, ends, ports, wrap
        self.next = list(isn)
        self.syn_options = SYN_OPTIONS if options is None else options
        self.flow = flow or Flow("TCP", ends[0], ports[0], ends[1], ports[1], **expect)
        self.count_payload = count_payload

    def segment(self, side, flags, payload=b"", seq=None, ack=None, options=None, window=64240):
        if options is None:
            options = self.syn_options if flags & SYN else b""
        seq = self.next[side] if seq is None else seq
        ack = (self.next[1 - side] if ack is None else ack) if flags & ACK else 0
        return tcp_segment(self.ends[side], self.ends[1 - side], self.ports[side], self.ports[1 - side], seq, ack,
                           flags, payload, window, options)

    def put(self, side, packet, payload, step, interface=0, ip_bytes=None):
        frame, carriers = self.wrap(packet, side)
        use = Use(self.flow, side, len(packet) if ip_bytes is None else ip_bytes,
                  payload if self.count_payload else None)
        self.capture.frame(frame, carriers + [use], step, interface=interface)

    def send(self, side, flags, payload=b"", seq=None, step=MS, interface=0, **fields):
        """Send a segment; without `seq` it is the next one, and moves the side on."""
        data = self.segment(side, flags, payload, seq, **fields)
        self.put(side, ip(self.ends[side], self.ends[1 - side], 6, data), len(payload), step, interface)
        if seq is None:
            self.next[side] += len(payload) + bool(flags & SYN) + bool(flags & FIN)
        return self

    def open(self, syn_rtt=20 * MS, ack_rtt=5 * MS, **fields):
        self.send(CLIENT, SYN, **fields)
        self.send(SERVER, SYN | ACK, step=syn_rtt, **fields)
        self.send(CLIENT, ACK, step=ack_rtt, **fields)
        self.flow.expect.update(syn_rtt_ns=syn_rtt, ack_rtt_ns=ack_rtt)
        return self

    def data(self, side, payload, acknowledge=True, **fields):
        self.send(side, PSH | ACK, payload, **fields)
        return self.send(1 - side, ACK, **fields) if acknowledge else self

    def close(self, side=CLIENT, **fields):
        self.send(side, FIN | ACK, **fields).send(1 - side, ACK, **fields)
        return self.send(1 - side, FIN | ACK, **fields).send(side, ACK, **fields)

    def talk(self, **fields):
        """The plain case: open, question, answer, close."""
        self.open(**fields).data(CLIENT, b"question" * 12, **fields).data(SERVER, b"answer" * 50, **fields)
        self.close(**fields)
        expect = self.flow.expect
        expect.update({"state": "closed", "end": "fin", "history": "ShADadFf", "conn_state": "SF",
                       "stream_bytes": [96, 300], **{k: expect[k] for k in ("state", "end", "history") if k in expect}})
        return self


class Udp:
    def __init__(self, capture, ends=("10.0.0.1", "10.0.0.53"), ports=(41000, 7777), wrap=ethernet, proto=17,
                 name="UDP", **expect):
        self.capture, self.ends, self.ports, self.wrap, self.proto = capture, ends, ports, wrap, proto
        self.flow = Flow(name, ends[0], ports[0], ends[1], ports[1], **expect)

    def send(self, side, payload, step=MS, interface=0):
        data = udp_datagram(self.ends[side], self.ends[1 - side], self.ports[side], self.ports[1 - side], payload,
                            self.proto)
        packet = ip(self.ends[side], self.ends[1 - side], self.proto, data)
        frame, carriers = self.wrap(packet, side)
        self.capture.frame(frame, carriers + [Use(self.flow, side, len(packet), len(payload))], step,
                           interface=interface)
        return self


ANSWERED = {"state": "two-way", "end": "end-of-input", "history": "Dd", "conn_state": "SF", "marks": []}
UNANSWERED = {"state": "one-way", "end": "end-of-input", "history": "D", "conn_state": "S0", "marks": ["one-sided"]}


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def dns_query(ident, name):
    return struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + dns_name(name) + struct.pack("!HH", 1, 1)


def dns_answer(ident, name, text):
    return (struct.pack("!HHHHHH", ident, 0x8180, 1, 1, 0, 0) + dns_name(name) + struct.pack("!HH", 1, 1)
            + struct.pack("!HHHIH", 0xC00C, 1, 1, 300, 4) + address(text))


CAPTURES = []


def scenario(function):
    CAPTURES.append(function)
    return function


# ---- TCP's life ----


@scenario
def tcp_close():
    c = Capture("tcp-close", "handshake, data both ways, close by FIN; frames padded to 60 bytes")
    Tcp(c).talk()
    return c


@scenario
def tcp_close_by_server():
    c = Capture("tcp-close-by-server", "the responder closes first; the last FIN carries no data")
    t = Tcp(c, state="closed", end="fin", history="ShADadfF", conn_state="SF", stream_bytes=[10, 20])
    t.open().send(CLIENT, PSH | ACK, b"q" * 10).send(SERVER, ACK).send(SERVER, PSH | ACK, b"a" * 20)
    t.send(CLIENT, ACK).send(SERVER, FIN | ACK).send(CLIENT, FIN | ACK).send(SERVER, ACK)
    return c


@scenario
def tcp_close_partly():
    c = Capture("tcp-close-partly", "one side has closed when the capture ends: the client in the first, the server in "
                                    "the second; in the third both have, and the last FIN is not acknowledged")
    t = Tcp(c, state="half-closed", end="end-of-input", history="ShADaF", conn_state="S2", stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, FIN | ACK).send(SERVER, ACK)
    t = Tcp(c, ports=(40001, 80), state="half-closed", end="end-of-input", history="ShADaf", conn_state="S3",
            stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(SERVER, FIN | ACK).send(CLIENT, ACK)
    t = Tcp(c, ports=(40002, 80), state="closing", end="end-of-input", history="ShADaFf", conn_state="SF",
            stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, FIN | ACK).send(SERVER, FIN | ACK)
    return c


@scenario
def tcp_reset():
    c = Capture("tcp-reset", "open connections are reset, one by each side; the third is reset by the client before "
                             "the handshake is complete")
    t = Tcp(c, state="reset", end="rst", history="ShADaR", conn_state="RSTO", stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, RST | ACK)
    t = Tcp(c, ports=(40001, 80), state="reset", end="rst", history="ShADar", conn_state="RSTR", stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(SERVER, RST | ACK)
    t = Tcp(c, ports=(40002, 80), state="reset", end="rst", history="ShR", conn_state="RSTO", stream_bytes=[0, 0],
            syn_rtt_ns=MS)
    t.send(CLIENT, SYN).send(SERVER, SYN | ACK).send(CLIENT, RST)
    return c


@scenario
def tcp_rejected():
    c = Capture("tcp-rejected", "a SYN answered by RST")
    t = Tcp(c, state="reset", end="rst", history="Sr", conn_state="REJ", stream_bytes=[0, 0], isn=(1000, 0))
    t.send(CLIENT, SYN).send(SERVER, RST | ACK, seq=0, window=0)
    return c


@scenario
def tcp_syn_then_reset():
    c = Capture("tcp-syn-then-reset", "a SYN that its sender takes back by RST")
    t = Tcp(c, state="reset", end="rst", history="SR", conn_state="RSTOS0", marks=["one-sided"])
    t.send(CLIENT, SYN).send(CLIENT, RST, seq=1001)
    return c


@scenario
def tcp_syn_ack_first():
    c = Capture("tcp-syn-ack-first", "the capture starts one packet late, with the SYN-ACK")
    t = Tcp(c, state="closed", end="fin", history="^hADadFf", conn_state="SF", marks=["role-flipped"], isn=(1001, 5000),
            stream_bytes=[10, 20], ack_rtt_ns=5 * MS)
    t.send(SERVER, SYN | ACK).send(CLIENT, ACK, step=5 * MS).data(CLIENT, b"q" * 10).data(SERVER, b"a" * 20).close()
    return c


@scenario
def tcp_simultaneous_open():
    c = Capture("tcp-simultaneous-open", "both ends send a SYN; the sender of the first is the initiator",
                note="history left out: Zeek's letters for the SYN-ACKs of a simultaneous open are not certain")
    t = Tcp(c, ports=(40000, 40001), state="closed", end="fin", conn_state="SF", stream_bytes=[10, 20])
    t.send(CLIENT, SYN).send(SERVER, SYN)
    t.send(CLIENT, SYN | ACK, seq=1000, ack=5001).send(SERVER, SYN | ACK, seq=5000, ack=1001)
    t.data(CLIENT, b"q" * 10).data(SERVER, b"a" * 20).close()
    return c


@scenario
def tcp_midstream():
    c = Capture("tcp-midstream", "picked up in the middle; the sender of the first packet is the initiator")
    t = Tcp(c, state="established", end="end-of-input", history="DdA", conn_state="OTH", marks=["midstream"],
            stream_bytes=[30, 40])
    t.send(CLIENT, PSH | ACK, b"q" * 30).send(SERVER, PSH | ACK, b"a" * 40).send(CLIENT, ACK)
    return c


@scenario
def tcp_half_open():
    c = Capture("tcp-half-open", "a SYN sent three times without an answer")
    t = Tcp(c, state="syn-sent", end="end-of-input", history="S", conn_state="S0", marks=["one-sided"],
            stream_bytes=[0, 0])
    t.send(CLIENT, SYN).send(CLIENT, SYN, seq=1000, step=SECOND).send(CLIENT, SYN, seq=1000, step=2 * SECOND)
    return c


@scenario
def tcp_syn_retransmission():
    c = Capture("tcp-syn-retransmission", "a SYN is sent twice, then the handshake goes on; timed from the last SYN")
    t = Tcp(c, state="closed", end="fin", history="ShADaFf", conn_state="SF", stream_bytes=[10, 0],
            syn_rtt_ns=20 * MS, ack_rtt_ns=5 * MS)
    t.send(CLIENT, SYN).send(CLIENT, SYN, seq=1000, step=SECOND).send(SERVER, SYN | ACK, step=20 * MS)
    t.send(CLIENT, ACK, step=5 * MS).data(CLIENT, b"q" * 10).close()
    return c


@scenario
def tcp_half_open_timeout():
    c = Capture("tcp-half-open-timeout", "the same SYN 59 s later belongs to the flow; after 60 s of idleness it "
                                         "starts a new one")
    old = Tcp(c, state="syn-sent", end="idle", history="S", conn_state="S0", marks=["one-sided"])
    old.send(CLIENT, SYN).send(CLIENT, SYN, seq=1000, step=59 * SECOND)
    new = Tcp(c, state="syn-sent", end="end-of-input", history="S", conn_state="S0", marks=["one-sided"])
    new.send(CLIENT, SYN, step=60 * SECOND)
    return c


@scenario
def tcp_idle_timeout():
    c = Capture("tcp-idle-timeout", "an established connection stays one flow over a pause of 299 s, not over 300 s")
    t = Tcp(c, state="established", end="idle", history="ShADa", conn_state="S1", stream_bytes=[20, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, PSH | ACK, b"q" * 10, step=299 * SECOND)
    late = Tcp(c, state="established", end="end-of-input", history="Dd", conn_state="OTH", marks=["midstream"],
               isn=t.next, stream_bytes=[10, 10])
    late.send(CLIENT, PSH | ACK, b"q" * 10, step=300 * SECOND).send(SERVER, PSH | ACK, b"a" * 10)
    return c


@scenario
def tcp_port_reuse():
    c = Capture("tcp-port-reuse", "a new SYN on the ports of a closed, a reset and an open connection starts a new "
                                  "flow each time")
    Tcp(c, isn=(1000, 5000)).talk()
    t = Tcp(c, isn=(900000, 700000), state="reset", end="rst", history="ShADaR", conn_state="RSTO",
            marks=["port-reused"], stream_bytes=[10, 0])
    c.anomaly("port_reuse")
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, RST | ACK)
    t = Tcp(c, isn=(1900000, 1700000), state="established", end="port-reuse", history="ShADa", conn_state="S1",
            marks=["port-reused"], stream_bytes=[10, 0])
    c.anomaly("port_reuse")
    t.open().data(CLIENT, b"q" * 10)
    c.wait(SECOND)
    c.anomaly("syn_in_flow")
    Tcp(c, isn=(2900000, 2700000), marks=["port-reused"]).talk()
    return c


@scenario
def tcp_after_close():
    c = Capture("tcp-after-close", "late ACKs and repeated FINs after the close belong to the closed flow; after 60 s "
                                   "they no longer do")
    t = Tcp(c, state="closed", end="fin", history="ShADadFf", conn_state="SF", stream_bytes=[10, 20])
    t.open().data(CLIENT, b"q" * 10).data(SERVER, b"a" * 20).close()
    t.send(SERVER, FIN | ACK, seq=t.next[SERVER] - 1, step=200 * MS).send(CLIENT, ACK).send(SERVER, ACK)
    t.send(SERVER, FIN | ACK, seq=t.next[SERVER] - 1, step=400 * MS).send(CLIENT, ACK)
    late = Tcp(c, isn=t.next, state="established", end="end-of-input", history="A", conn_state="OTH",
               marks=["midstream", "one-sided"])
    late.send(CLIENT, ACK, step=60 * SECOND)
    return c


@scenario
def tcp_after_reset():
    c = Capture("tcp-after-reset", "data that was on its way when the connection was reset belongs to it")
    t = Tcp(c, state="reset", end="rst", history="ShADadr", conn_state="RSTR")
    t.open().data(CLIENT, b"q" * 10).data(SERVER, b"a" * 10).send(SERVER, RST | ACK)
    t.send(CLIENT, PSH | ACK, b"q" * 10).send(SERVER, RST, seq=t.next[SERVER])
    c.anomaly("after_end")
    return c


@scenario
def tcp_fin_retransmission():
    c = Capture("tcp-fin-retransmission", "one side repeats its FIN twice: that closes one side, not two")
    t = Tcp(c, state="half-closed", end="end-of-input", history="ShADaF", conn_state="S2", stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, FIN | ACK)
    again = t.next[CLIENT] - 1
    t.send(CLIENT, FIN | ACK, seq=again, step=200 * MS).send(CLIENT, FIN | ACK, seq=again, step=400 * MS)
    return c


@scenario
def tcp_fin_with_data():
    c = Capture("tcp-fin-with-data", "both FINs carry data")
    t = Tcp(c, state="closed", end="fin", history="ShAFf", conn_state="SF", stream_bytes=[10, 20])
    t.open().send(CLIENT, FIN | PSH | ACK, b"q" * 10).send(SERVER, FIN | PSH | ACK, b"a" * 20).send(CLIENT, ACK)
    return c


@scenario
def tcp_blind_reset():
    c = Capture("tcp-blind-reset", "resets outside the window, from both sides, change nothing; the connection goes on "
                                   "and closes")
    t = Tcp(c, state="closed", end="fin", history="ShADadFf", conn_state="SF", stream_bytes=[20, 20])
    t.open().data(CLIENT, b"q" * 10)
    t.send(SERVER, RST, seq=t.next[SERVER] + 500_000_000).send(CLIENT, RST, seq=t.next[CLIENT] - 500_000_000)
    c.anomaly("rst_out_of_window")
    c.anomaly("rst_out_of_window")
    t.data(CLIENT, b"q" * 10).data(SERVER, b"a" * 20).close()
    return c


@scenario
def tcp_injected():
    c = Capture("tcp-injected", "someone on the path answers an HTTP request before the server does, with other bytes, "
                                "and then tries to end the connection by a reset out of the window; the server's answer "
                                "overlaps the forged one",
                note="history of the flow left out")
    request = b"GET /update.bin HTTP/1.1\r\nHost: mirror.example\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\nthe real content"
    forged = answer.replace(b"the real content", b"evil, evil, evil")
    t = Tcp(c, state="closed", end="fin", conn_state="SF", stream_bytes=[len(request), len(answer)])
    t.open().data(CLIENT, request)
    t.send(SERVER, PSH | ACK, forged, seq=t.next[SERVER])
    t.send(SERVER, PSH | ACK, answer)
    c.anomaly("conflict")
    t.send(CLIENT, ACK).send(SERVER, RST, seq=t.next[SERVER] + 500_000_000)
    c.anomaly("rst_out_of_window")
    t.close()
    return c


@scenario
def tcp_keep_alive():
    c = Capture("tcp-keep-alive", "keep-alive probes, without data and with one old byte, keep a quiet connection for "
                                  "longer than its timeout and add nothing to the stream",
                note="history of the second flow left out")
    for port, probe in ((40000, b""), (40001, b"q")):
        t = Tcp(c, ports=(port, 80), state="closed", end="fin", conn_state="SF", stream_bytes=[10, 20])
        t.open().data(CLIENT, b"q" * 10).data(SERVER, b"a" * 20)
        for _ in range(4):
            t.send(CLIENT, ACK, probe, seq=t.next[CLIENT] - 1, step=100 * SECOND).send(SERVER, ACK)
        t.close()
        if not probe:
            t.flow.expect["history"] = "ShADadFf"
    return c


@scenario
def tcp_zero_window():
    c = Capture("tcp-zero-window", "the responder closes its window, is probed, and opens it again")
    t = Tcp(c, state="closed", end="fin", history="ShADawFf", conn_state="SF", stream_bytes=[3001, 0])
    t.open().data(CLIENT, b"q" * 1000).data(CLIENT, b"q" * 1000).data(CLIENT, b"q" * 1000, acknowledge=False)
    t.send(SERVER, ACK, window=0)
    t.send(CLIENT, ACK, b"q", step=SECOND).send(SERVER, ACK, window=0)
    t.send(SERVER, ACK, step=SECOND).close()
    return c


@scenario
def tcp_fast_open():
    c = Capture("tcp-fast-open", "data on the SYN (RFC 7413), all of it acknowledged by the SYN-ACK")
    cookie = SYN_OPTIONS + bytes([34, 10]) + b"cookie!!"
    t = Tcp(c, state="closed", end="fin", history="ShAdFaf", conn_state="SF", stream_bytes=[30, 40])
    t.send(CLIENT, SYN, b"q" * 30, options=cookie).send(SERVER, SYN | ACK, step=20 * MS)
    t.send(CLIENT, ACK, step=5 * MS).data(SERVER, b"a" * 40).close()
    t.flow.expect.update(syn_rtt_ns=20 * MS, ack_rtt_ns=5 * MS)
    return c


@scenario
def tcp_one_side():
    c = Capture("tcp-one-side", "captures of one direction: only the initiator's packets, then only the responder's")
    t = Tcp(c, state="half-closed", end="end-of-input", history="SADF", conn_state="SH", marks=["one-sided"])
    t.send(CLIENT, SYN)
    t.next[SERVER] = 5001
    t.send(CLIENT, ACK).send(CLIENT, PSH | ACK, b"q" * 10).send(CLIENT, PSH | ACK, b"q" * 10, ack=5101)
    t.send(CLIENT, FIN | ACK, ack=5101)
    t = Tcp(c, ports=(40001, 80), state="half-closed", end="end-of-input", history="^hadf", conn_state="SHR",
            marks=["role-flipped", "one-sided"])
    t.next[CLIENT] = 1001
    t.send(SERVER, SYN | ACK).send(SERVER, ACK, ack=1011).send(SERVER, PSH | ACK, b"a" * 20, ack=1011)
    t.send(SERVER, FIN | ACK, ack=1011)
    return c


@scenario
def tcp_wrap():
    c = Capture("tcp-wrap", "both sides' sequence numbers pass 2^32 in the middle of the data")
    t = Tcp(c, isn=(2**32 - 1500, 2**32 - 2), state="closed", end="fin", history="ShADadFf", conn_state="SF",
            stream_bytes=[4000, 3000])
    t.open()
    for _ in range(4):
        t.data(CLIENT, b"q" * 1000)
    for _ in range(3):
        t.data(SERVER, b"a" * 1000)
    t.close()
    return c


@scenario
def tcp_wraps():
    c = Capture("tcp-wraps", "13 GB of which the capture holds one segment in a gigabyte: three passes of 2^32; stream "
                             "bytes count the holes")
    t = Tcp(c, state="closed", end="fin", history="ShADaFf", conn_state="SF", stream_bytes=[13_000_000_000, 0])
    t.open()
    for _ in range(13):
        t.next[CLIENT] += 1_000_000_000 - 100
        t.data(CLIENT, b"q" * 100)
    t.close()
    return c


@scenario
def tcp_retransmission():
    c = Capture("tcp-retransmission", "the second of three segments is sent again, and again; carried bytes count each "
                                      "copy, stream bytes count each byte once")
    t = Tcp(c, state="closed", end="fin", history="ShADaTFf", conn_state="SF", stream_bytes=[3000, 0])
    t.open().data(CLIENT, b"1" * 1000)
    second = t.next[CLIENT]
    t.send(CLIENT, ACK, b"2" * 1000).send(CLIENT, PSH | ACK, b"3" * 1000).send(SERVER, ACK, ack=second)
    t.send(CLIENT, ACK, b"2" * 1000, seq=second, step=200 * MS)
    t.send(CLIENT, ACK, b"2" * 1000, seq=second, step=400 * MS).send(SERVER, ACK).close()
    return c


@scenario
def tcp_lost_in_capture():
    c = Capture("tcp-lost-in-capture", "a segment that the receiver acknowledges is not in the capture: the stream "
                                       "has a hole, and counts it")
    t = Tcp(c, state="closed", end="fin", history="ShADaFGf", conn_state="SF", stream_bytes=[3000, 0])
    t.open().data(CLIENT, b"1" * 1000)
    t.next[CLIENT] += 1000
    t.send(SERVER, ACK)
    c.anomaly("ack_unseen")
    t.data(CLIENT, b"3" * 1000).close()
    return c


@scenario
def tcp_lost_and_acknowledged():
    c = Capture("tcp-lost-and-acknowledged", "what follows a lost segment waits, until the receiver acknowledges beyond it "
                                             "for the second time: with that frame the hole is given up")
    t = Tcp(c, state="closed", end="fin", history="ShADadGFf", conn_state="SF", stream_bytes=[3000, 500])
    t.open().data(CLIENT, b"1" * 1000)
    t.next[CLIENT] += 1000
    t.send(CLIENT, PSH | ACK, b"3" * 1000).send(SERVER, ACK)
    t.data(SERVER, b"x" * 500).close()
    return c


@scenario
def tcp_out_of_order():
    c = Capture("tcp-out-of-order", "three segments arrive as 1, 3, 2",
                note="history left out: whether a late segment is told from a repetition is the tracker's business")
    t = Tcp(c, state="closed", end="fin", conn_state="SF", stream_bytes=[3000, 0])
    t.open().data(CLIENT, b"1" * 1000)
    second = t.next[CLIENT]
    t.next[CLIENT] += 1000
    t.send(CLIENT, PSH | ACK, b"3" * 1000).send(SERVER, ACK, ack=second)
    t.send(CLIENT, ACK, b"2" * 1000, seq=second).send(SERVER, ACK).close()
    return c


@scenario
def tcp_bad_flags():
    c = Capture("tcp-bad-flags", "scans with impossible flags: none, SYN+FIN, all",
                note="only counts and endpoints: Zeek's states for these are not certain")
    for port, flags in ((40000, 0), (40001, SYN | FIN), (40002, 0x3F)):
        t = Tcp(c, ports=(port, 80), marks=None, options=b"")
        t.send(CLIENT, flags)
        c.anomaly("bad_flags")
    return c


@scenario
def time_backwards():
    c = Capture("time-backwards", "packets step back in time, once by 5 s and once by 200 s: nothing expires, first "
                                  "and last times are the least and the greatest")
    u = Udp(c, **ANSWERED)
    u.send(CLIENT, b"1" * 20).send(SERVER, b"2" * 20).send(CLIENT, b"3" * 20, step=-5 * SECOND)
    c.anomaly("time_backwards")
    t = Tcp(c, state="closed", end="fin", history="ShADaFf", conn_state="SF", stream_bytes=[20, 0])
    t.open().data(CLIENT, b"q" * 10).send(CLIENT, PSH | ACK, b"q" * 10, step=-200 * SECOND)
    c.anomaly("time_backwards")
    c.wait(201 * SECOND)
    t.send(SERVER, ACK).close()
    return c


# ---- UDP, ICMP and the rest ----


@scenario
def dns():
    c = Capture("dns", "queries and answers; one flow for repeated use of a port; a query without answer; the same "
                       "ports after 60 s are a new flow")
    first = Udp(c, ports=(41000, 53), **{**ANSWERED, "end": "idle"})
    lost = Udp(c, ports=(41001, 53), **{**UNANSWERED, "end": "idle"})
    first.send(CLIENT, dns_query(1, "www.example.com"))
    lost.send(CLIENT, dns_query(2, "lost.example.com"))
    first.send(SERVER, dns_answer(1, "www.example.com", "198.51.100.1"))
    first.send(CLIENT, dns_query(3, "mail.example.com"), step=59 * SECOND)
    first.send(SERVER, dns_answer(3, "mail.example.com", "198.51.100.2"))
    again = Udp(c, ports=(41000, 53), **ANSWERED)
    again.send(CLIENT, dns_query(4, "www.example.com"), step=60 * SECOND)
    again.send(SERVER, dns_answer(4, "www.example.com", "198.51.100.1"))
    six = Udp(c, ends=("2001:db8::1", "2001:db8::53"), ports=(41000, 53), **ANSWERED)
    six.send(CLIENT, dns_query(5, "six.example.com")).send(SERVER, dns_answer(5, "six.example.com", "198.51.100.3"))
    return c


@scenario
def udp_edges():
    c = Capture("udp-edges", "no payload, equal ports, and a packet from an endpoint to itself")
    Udp(c, ports=(5000, 5000), **ANSWERED).send(CLIENT, b"").send(SERVER, b"")
    same = Udp(c, ends=("127.0.0.1", "127.0.0.1"), ports=(6000, 6000), **UNANSWERED)
    same.send(CLIENT, b"x" * 10)
    frame, _ = ethernet(ip("127.0.0.1", "127.0.0.1", 17, udp_datagram("127.0.0.1", "127.0.0.1", 6000, 6000, b"y")), 0)
    c.frame(frame, [Use(same.flow, CLIENT, 29, 1)])
    return c


def ping(c, flow, side, kind, ident, number, ends, step=MS):
    rest, body = struct.pack("!HH", ident, number), b"abcdefgh" * 4
    if ":" in ends[0]:
        packet = ip(ends[side], ends[1 - side], 58, icmpv6(ends[side], ends[1 - side], kind, 0, rest, body))
    else:
        packet = ip(ends[side], ends[1 - side], 1, icmp(kind, 0, rest, body))
    c.frame(ethernet(packet, side)[0], [Use(flow, side, len(packet), None)], step)


@scenario
def icmp_echo():
    c = Capture("icmp-echo", "two pings between the same hosts, interleaved: two flows; and one over IPv6")
    expect = {**ANSWERED, "conn_state": "OTH"}
    four, six = ("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")
    flows = [Flow("ICMP", *four[:1], 8, four[1], 0, **expect) for _ in range(2)]
    for number in range(1, 4):
        for at, ident in enumerate((100, 200)):
            ping(c, flows[at], CLIENT, 8, ident, number, four)
        for at, ident in enumerate((100, 200)):
            ping(c, flows[at], SERVER, 0, ident, number, four)
    v6 = Flow("ICMPv6", six[0], 128, six[1], 129, **expect)
    ping(c, v6, CLIENT, 128, 300, 1, six)
    ping(c, v6, SERVER, 129, 300, 1, six)
    return c


@scenario
def icmp_unreachable():
    c = Capture("icmp-unreachable", "errors quote a TCP SYN and a UDP datagram: flows of their own, which leave the "
                                    "quoted flows as they were")
    t = Tcp(c, state="syn-sent", end="end-of-input", history="S", conn_state="S0", marks=["one-sided"])
    t.send(CLIENT, SYN)
    syn = c.frames[-1][1][14:]
    u = Udp(c, ports=(41000, 9999), **UNANSWERED)
    u.send(CLIENT, b"x" * 30)
    datagram = c.frames[-1][1][14:14 + 58]
    for source, code, quoted in (("10.0.0.254", 1, syn[:28]), ("10.0.0.53", 3, datagram)):
        packet = ip(source, "10.0.0.1", 1, icmp(3, code, b"\0\0\0\0", quoted))
        flow = Flow("ICMP", source, 3, "10.0.0.1", code, state="one-way", end="end-of-input", history="D",
                    conn_state="OTH", marks=["one-sided"])
        c.frame(ethernet(packet, SERVER)[0], [Use(flow, CLIENT, len(packet), None)])
    t.send(CLIENT, SYN, seq=1000, step=SECOND)
    return c


@scenario
def other_protocols():
    c = Capture("other-protocols", "SCTP, UDP-Lite and DCCP with ports; IGMP, ESP, OSPF without")
    one = {"state": "one-way", "end": "end-of-input", "history": "D", "conn_state": "OTH", "marks": ["one-sided"]}
    two = {**one, "state": "two-way", "history": "Dd", "marks": []}

    def both(name, number, ports, bodies):
        ends = ("10.0.0.1", "10.0.0.2")
        flow = Flow(name, ends[0], ports[0], ends[1], ports[1], **two)
        for side, body in enumerate(bodies):
            packet = ip(ends[side], ends[1 - side], number, body)
            c.frame(ethernet(packet, side)[0], [Use(flow, side, len(packet), None)])

    init = struct.pack("!IIHHI", 77, 65536, 10, 10, 1)
    both("SCTP", 132, (36412, 36412), [
        struct.pack("!HHII", 36412, 36412, 0, 0) + struct.pack("!BBH", kind, 0, 20) + init for kind in (1, 2)])
    lite = Udp(c, ends=("10.0.0.1", "10.0.0.2"), ports=(7000, 7001), proto=136, name="UDPLite")
    lite.send(CLIENT, b"x" * 40).send(SERVER, b"y" * 40)
    lite.flow.expect.update({**two, "conn_state": None})
    both("DCCP", 33, (5001, 5002), [
        struct.pack("!HHBBHBBHI", 5001, 5002, 5, 0, 0, 0 << 1 | 1, 0, 0, 1) + struct.pack("!I", 42),
        struct.pack("!HHBBHBBHI", 5002, 5001, 7, 0, 0, 1 << 1 | 1, 0, 0, 9) + struct.pack("!QI", 1, 42)])
    both("ESP", 50, (0, 0), [struct.pack("!II", spi, 1) + b"\x5a" * 48 for spi in (0x1000, 0x2000)])
    for name, number, group, body in (("IGMP", 2, "224.0.0.22", struct.pack("!BBH4s", 0x16, 0, 0, b"\xe0\0\0\x16")),
                                      ("OSPF", 89, "224.0.0.5", struct.pack("!BBHIIHH8x", 2, 1, 44, 1, 0, 0, 0)
                                       + struct.pack("!4sHBBI4s4s", b"\xff\xff\xff\0", 10, 2, 1, 40, b"\0" * 4,
                                                     b"\0" * 4))):
        packet = ip("10.0.0.1", group, number, body, ttl=1)
        flow = Flow(name, "10.0.0.1", 0, group, 0, **one)
        c.frame(ethernet(packet, CLIENT)[0], [Use(flow, CLIENT, len(packet), None)])
    return c


def mac_text(raw):
    return ":".join("%02x" % byte for byte in raw)


@scenario
def not_ip():
    c = Capture("not-ip", "ARP and LLDP: flows of MAC pairs, without IP", front_ends=("core",))
    request = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, MAC[0], address("10.0.0.1"), b"\0" * 6,
                          address("10.0.0.2"))
    reply = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, MAC[1], address("10.0.0.2"), MAC[0], address("10.0.0.1"))
    lldp = (bytes([2, 7, 4]) + MAC[0] + bytes([4, 7, 3]) + MAC[0] + bytes([6, 2, 0, 120, 0, 0]))
    nearest = bytes.fromhex("0180c200000e")
    for source, destination, kind, body in ((MAC[0], BROADCAST, 0x806, request), (MAC[1], MAC[0], 0x806, reply),
                                            (MAC[0], nearest, 0x88CC, lldp)):
        flow = Flow("MAC", mac_text(source), 0, mac_text(destination), 0, state="one-way", end="end-of-input",
                    history="D")
        c.frame(pad(destination + source + struct.pack("!H", kind) + body), [Use(flow, CLIENT)])
    return c


# ---- link layers and tags ----


def add_link(name, shows, wrap, link, four=True, six=True, **options):
    def make():
        c = Capture(name, shows, link=link, **options)
        if c.nanoseconds:
            c.wait(123)
        if four:
            Tcp(c, wrap=wrap).talk()
        if six:
            Udp(c, ends=("2001:db8::1", "2001:db8::2"), wrap=wrap, **ANSWERED).send(CLIENT, b"q" * 40).send(
                SERVER, b"a" * 60)
        return c

    CAPTURES.append(make)


add_link("link-null", "BSD loopback", link_null, LINK_NULL)
add_link("link-loop", "OpenBSD loopback", link_loop, LINK_LOOP)
add_link("link-raw", "raw IP, both versions", link_raw, LINK_RAW)
add_link("link-ipv4", "raw IPv4", link_raw, LINK_IPV4, six=False)
add_link("link-ipv6", "raw IPv6", link_raw, LINK_IPV6, four=False)
add_link("link-ppp", "PPP with address and control bytes", link_ppp, LINK_PPP)
add_link("link-ppp-hdlc", "PPP in HDLC-like framing", link_ppp, LINK_PPP_HDLC)
add_link("link-ppp-plain", "PPP without address and control bytes", link_ppp_plain, LINK_PPP)
add_link("link-pppoe", "PPPoE session header first", link_pppoe, LINK_PPPOE)
add_link("link-sll", "Linux cooked capture", link_sll, LINK_SLL)
add_link("link-sll2", "Linux cooked capture, version 2", link_sll2, LINK_SLL2)
add_link("link-80211", "802.11 data frames, to and from the access point", wlan, LINK_80211)
add_link("link-radiotap", "802.11 QoS data frames with a radiotap header", radiotap, LINK_RADIOTAP)
add_link("link-8023-snap", "802.3 frames with LLC and SNAP", dot3, LINK_ETHERNET)
add_link("pcap-nanoseconds", "pcap with nanosecond times", ethernet, LINK_ETHERNET, nanoseconds=True)
add_link("pcap-big-endian", "pcap of a big-endian host", ethernet, LINK_ETHERNET, big_endian=True)
add_link("tag-vlan", "802.1Q", vlan(100), LINK_ETHERNET)
add_link("tag-qinq", "802.1ad over 802.1Q", vlan(100, 200, outer=0x88A8), LINK_ETHERNET)
add_link("tag-mpls", "two MPLS labels", mpls(1000, 2000), LINK_ETHERNET)
add_link("tag-pppoe", "PPPoE over Ethernet", pppoe, LINK_ETHERNET)


@scenario
def link_80211_untracked():
    c = Capture("link-80211-untracked", "a beacon and an encrypted data frame have no flow, and a reason each",
                link=LINK_80211, front_ends=("core",))
    beacon = b"\x80\0\0\0" + BROADCAST + BSSID + BSSID + b"\x10\0" + struct.pack("<QHH", 1, 100, 0x31) + b"\0\x04test"
    c.frame(beacon, [], untracked="management")
    Udp(c, wrap=wlan, **UNANSWERED).send(CLIENT, b"x" * 20)
    secret = bytes([0x08, 0x41]) + b"\0\0" + BSSID + MAC[0] + MAC[1] + b"\x20\0"
    secret += b"\x01\0\0\x20\0\0\0\0" + b"\x99" * 60
    c.frame(secret, [], untracked="encrypted")
    return c


@scenario
def short_frames():
    c = Capture("short-frames", "frames that end inside the link header, inside the IP header, or lie about IP",
                front_ends=("core",))
    packet = ip("10.0.0.1", "10.0.0.2", 17, udp_datagram("10.0.0.1", "10.0.0.2", 1, 2, b"x"))
    head = MAC[1] + MAC[0] + b"\x08\x00"
    c.frame(head[:10], [], untracked="short_link_header")
    c.frame(head + packet[:12], [], untracked="short_ip_header")
    c.frame(head + b"\x42" + packet[1:], [], untracked="bad_ip_header")
    return c


@scenario
def vlan_collisions():
    c = Capture("vlan-collisions", "two TCP connections with the same addresses and ports at the same time in two "
                                   "VLANs; told apart with the VLAN in the key", domain="vlan")
    one, two = Tcp(c, wrap=vlan(10), isn=(1000, 5000)), Tcp(c, wrap=vlan(20), isn=(800000, 900000))
    interleave(c, one, two)
    return c


def interleave(c, *connections):
    """The plain talk of several connections, segment by segment."""
    steps = [(CLIENT, SYN, b""), (SERVER, SYN | ACK, b""), (CLIENT, ACK, b""), (CLIENT, PSH | ACK, b"q" * 50),
             (SERVER, ACK, b""), (SERVER, PSH | ACK, b"a" * 70), (CLIENT, ACK, b""), (CLIENT, FIN | ACK, b""),
             (SERVER, ACK, b""), (SERVER, FIN | ACK, b""), (CLIENT, ACK, b"")]
    for side, flags, payload in steps:
        for connection in connections:
            connection.send(side, flags, payload)
    for connection in connections:
        connection.flow.expect.update(state="closed", end="fin", history="ShADadFf", conn_state="SF",
                                      stream_bytes=[50, 70], syn_rtt_ns=len(connections) * MS,
                                      ack_rtt_ns=len(connections) * MS)


@scenario
def vlan_collisions_udp():
    c = Capture("vlan-collisions-udp", "the same UDP addresses and ports in two VLANs: one flow by default, two with "
                                       "the VLAN in the key", domain="vlan")
    one, two = Udp(c, wrap=vlan(10), **ANSWERED), Udp(c, wrap=vlan(20), **ANSWERED)
    for _ in range(2):
        for u in (one, two):
            u.send(CLIENT, b"q" * 20).send(SERVER, b"a" * 30)
    return c


@scenario
def interfaces():
    c = Capture("interfaces", "pcapng with two interfaces, the same UDP addresses and ports on both: one flow by "
                              "default, two with the interface in the key", ng=True, links=[LINK_ETHERNET] * 2,
                domain="interface", front_ends=("plugin",), note="libpcap hides the interface")
    talks = [Udp(c, **ANSWERED), Udp(c, **ANSWERED)]
    for _ in range(2):
        for number, u in enumerate(talks):
            u.send(CLIENT, b"q" * 20, interface=number).send(SERVER, b"a" * 30, interface=number)
    return c


@scenario
def interfaces_links():
    c = Capture("interfaces-links", "pcapng with an Ethernet and a cooked interface: one connection, seen half on each",
                ng=True, links=[LINK_ETHERNET, LINK_SLL], front_ends=("plugin",),
                note="libpcap refuses mixed link types")
    t = Tcp(c, state="closed", end="fin", history="ShADaFf", conn_state="SF", stream_bytes=[10, 0])
    t.open().data(CLIENT, b"q" * 10)
    t.wrap = link_sll
    t.close(interface=1)
    return c


# ---- tunnels ----


def add_tunnel(name, shows, *tunnels, ends=("10.0.0.1", "10.0.0.2"), link=LINK_ETHERNET, **options):
    def make():
        c = Capture(name, shows, link=link, **options)
        wrap = tunnels[-1]
        Tcp(c, ends=ends, wrap=wrap).talk()
        for tunnel in tunnels:
            tunnel.finish()
        return c

    CAPTURES.append(make)


V6 = ("2001:db8::1", "2001:db8::2")
OUTER6 = ("2001:db8:ffff::1", "2001:db8:ffff::2")
add_tunnel("tunnel-ipip", "IPv4 in IPv4", ip_in_ip(("192.0.2.1", "192.0.2.2"), 4))
add_tunnel("tunnel-6in4", "IPv6 in IPv4", ip_in_ip(("192.0.2.1", "192.0.2.2"), 41), ends=V6)
add_tunnel("tunnel-4in6", "IPv4 in IPv6", ip_in_ip(OUTER6, 4))
add_tunnel("tunnel-gre", "GRE without options", gre())
add_tunnel("tunnel-gre-key", "GRE with key and sequence number", gre(42, True))
add_tunnel("tunnel-gre-ipv6", "GRE over IPv6, carrying IPv6", gre(ends=OUTER6), ends=V6)
add_tunnel("tunnel-vxlan", "VXLAN; each direction has a carrier flow of its own, as real ones do", vxlan(100))
add_tunnel("tunnel-vxlan-8472", "VXLAN on the port of older Linux", vxlan(100, port=8472),
           front_ends=("core",), note="tshark does not know the port")
add_tunnel("tunnel-geneve", "Geneve with an option", geneve(100))
add_tunnel("tunnel-gtpu", "GTP-U; each direction has a TEID of its own", gtpu((0x1111, 0x2222)))
add_tunnel("tunnel-teredo", "Teredo", teredo(), ends=V6)
add_tunnel("tunnel-erspan1", "ERSPAN type I, both directions from one mirror session", mirrored(erspan(1)))
add_tunnel("tunnel-erspan2", "ERSPAN type II", mirrored(erspan(2)))
add_tunnel("tunnel-erspan3", "ERSPAN type III", mirrored(erspan(3)))
OUTERMOST = gre(7, ends=("203.0.113.1", "203.0.113.2"))
add_tunnel("tunnel-nested", "VXLAN in GRE: three flows, each the parent of the next", OUTERMOST,
           vxlan(100, outer=OUTERMOST))


def add_collision(name, shows, wraps, domain):
    def make():
        c = Capture(name, shows, domain=domain)
        talks = [Udp(c, wrap=wrap, **ANSWERED) for wrap in wraps]
        for _ in range(2):
            for u in talks:
                u.send(CLIENT, b"q" * 20).send(SERVER, b"a" * 30)
        for wrap in wraps:
            wrap.finish()
        return c

    CAPTURES.append(make)


add_collision("vxlan-collisions", "two VNIs with the same addresses and ports inside: one inner flow by default, two "
                                  "with the tunnel in the key",
              [vxlan(100, sports=(50001, 50002)), vxlan(200, sports=(50003, 50004))], "tunnel")


@scenario
def gre_collisions():
    c = Capture("gre-collisions", "two GRE keys between the same routers with the same addresses and ports inside: one "
                                  "carrier, two inner flows with the tunnel in the key", domain="tunnel")
    one, two = gre(1), gre(2)
    two.flows = one.flows
    talks = [Udp(c, wrap=one, **ANSWERED), Udp(c, wrap=two, **ANSWERED)]
    for _ in range(2):
        for u in talks:
            u.send(CLIENT, b"q" * 20).send(SERVER, b"a" * 30)
    one.finish()
    return c


# ---- IP: extension headers, fragments, lengths, cut captures ----


@scenario
def ipv6_extensions():
    c = Capture("ipv6-extensions", "hop-by-hop, routing and destination options, and an atomic fragment header before "
                                   "UDP")
    hop = struct.pack("!BBBB4x", 43, 0, 1, 4)
    routing = struct.pack("!BBBBI", 60, 2, 0, 0, 0) + address("2001:db8::99")
    options = struct.pack("!BBBB4x", 44, 0, 1, 4)
    atomic = struct.pack("!BBHI", 17, 0, 0, 7)
    flow = Flow("UDP", V6[0], 41000, V6[1], 7777, **ANSWERED)
    for side, payload in ((CLIENT, b"q" * 20), (SERVER, b"a" * 30)):
        ports = (41000, 7777) if side == CLIENT else (7777, 41000)
        datagram = udp_datagram(V6[side], V6[1 - side], *ports, payload)
        packet = ipv6(V6[side], V6[1 - side], 17, datagram, extensions=hop + routing + options + atomic, first=0)
        c.frame(ethernet(packet, side)[0], [Use(flow, side, len(packet), len(payload))])
    return c


def fragments(ends, ports, size, ident):
    """A UDP datagram in fragments: list of (packet, bytes above IP, is first)."""
    datagram = udp_datagram(*ends, *ports, bytes(at & 0xFF for at in range(size)))
    result = []
    for at in range(0, len(datagram), 1480):
        part = datagram[at:at + 1480]
        more = at + 1480 < len(datagram)
        if ":" in ends[0]:
            head = struct.pack("!BBHI", 17, 0, at | more, ident)
            packet = ipv6(*ends, 17, part, extensions=head, first=44)
        else:
            packet = ipv4(*ends, 17, part, ident=ident, fragment=at // 8 | more << 13)
        result.append((packet, len(part), at == 0))
    return result


def add_fragments(name, shows, order, ends=("10.0.0.1", "10.0.0.2")):
    def make():
        c = Capture(name, shows, front_ends=("core",),
                    note="Wireshark joins the fragments, so its flows are others")
        one = {**UNANSWERED, "marks": ["one-sided", "fragments"]}
        flow = Flow("UDP", ends[0], 41000, ends[1], 2049, **one)
        rest = Flow("UDP", ends[0], 0, ends[1], 0, **one)
        parts = fragments(ends, (41000, 2049), 4000, 77)
        for at in order:
            packet, length, first = parts[at]
            use = Use(flow, CLIENT, len(packet), length - 8) if first else Use(rest, CLIENT, len(packet), length)
            c.frame(ethernet(packet, CLIENT)[0], [use])
        return c

    CAPTURES.append(make)


add_fragments("fragments", "a UDP datagram in three fragments", (0, 1, 2))
add_fragments("fragments-reverse", "the same, last fragment first", (2, 1, 0))
add_fragments("fragments-missing", "the same without its first fragment", (1, 2))
add_fragments("fragments-ipv6", "a UDP datagram in three fragments over IPv6", (0, 1, 2), ends=V6)


@scenario
def length_zero():
    c = Capture("length-zero", "segmentation offload: IP length 0 on the sent segments, as some capture hosts write it")
    t = Tcp(c, state="closed", end="fin", history="ShADaFf", conn_state="SF", stream_bytes=[3000, 0])
    t.open()
    data = t.segment(CLIENT, PSH | ACK, b"q" * 3000)
    t.put(CLIENT, ipv4(*t.ends, 6, data, total=0), 3000, MS, ip_bytes=3040)
    t.next[CLIENT] += 3000
    t.send(SERVER, ACK).close()
    return c


def add_snaplen(snaplen, shows, **options):
    def make():
        c = Capture("snaplen-%d" % snaplen, shows, snaplen=snaplen, **options)
        t = Tcp(c, count_payload=snaplen >= 54).talk()
        if snaplen < 54:
            for name in ("state", "end", "history", "conn_state", "stream_bytes", "syn_rtt_ns", "ack_rtt_ns"):
                t.flow.expect[name] = None
        Udp(c, **{**ANSWERED, "marks": []}).send(CLIENT, b"q" * 100).send(SERVER, b"a" * 400)
        return c

    CAPTURES.append(make)


add_snaplen(40, "cut inside the TCP header: ports and counts only", front_ends=("core",))
add_snaplen(60, "cut inside the TCP options: lengths are those on the wire")
add_snaplen(96, "cut inside the payload: lengths are those on the wire")


# ---- many ----


@scenario
def many_flows():
    c = Capture("many-flows", "250 short flows, their packets in random order across flows: TCP that closes, is reset, "
                              "is rejected or goes unanswered, and DNS")
    random_ = random.Random(20231114)
    scripts = []
    for number in range(250):
        client = "10.%d.%d.%d" % (random_.randrange(4), random_.randrange(4), 1 + random_.randrange(200))
        server = "198.51.100.%d" % (1 + random_.randrange(20))
        port = 20000 + number
        isn = (random_.getrandbits(32), random_.getrandbits(32))
        kind = random_.choice(("close", "close", "reset", "rejected", "unanswered", "dns", "dns"))
        scripts.append(many_script(c, kind, (client, server), port, isn, random_.randrange(1, 60)))
    waiting = list(range(len(scripts)))
    while waiting:
        at = random_.randrange(min(len(waiting), 40))
        scripts[waiting[at]].pop(0)()
        if not scripts[waiting[at]]:
            waiting.pop(at)
    return c


def many_script(c, kind, ends, port, isn, size):
    def later(talk, *args):
        return lambda: talk.send(*args, step=100_000)

    if kind == "dns":
        u = Udp(c, ends=ends, ports=(port, 53), **ANSWERED)
        return [later(u, CLIENT, dns_query(port, "a.example")),
                later(u, SERVER, dns_answer(port, "a.example", "198.51.100.9"))]
    steps = [(CLIENT, SYN, b"")]
    outcome = ("syn-sent", "end-of-input", "S", "S0", [0, 0])
    if kind == "rejected":
        steps += [(SERVER, RST | ACK, b"")]
        outcome = ("reset", "rst", "Sr", "REJ", [0, 0])
    elif kind != "unanswered":
        steps += [(SERVER, SYN | ACK, b""), (CLIENT, ACK, b""), (CLIENT, PSH | ACK, b"q" * size), (SERVER, ACK, b""),
                  (SERVER, PSH | ACK, b"a" * 2 * size), (CLIENT, ACK, b"")]
        if kind == "close":
            steps += [(CLIENT, FIN | ACK, b""), (SERVER, FIN | ACK, b""), (CLIENT, ACK, b"")]
            outcome = ("closed", "fin", "ShADadFf", "SF", [size, 2 * size])
        else:
            steps += [(SERVER, RST | ACK, b"")]
            outcome = ("reset", "rst", "ShADadr", "RSTR", [size, 2 * size])
    t = Tcp(c, ends=ends, ports=(port, 443), isn=isn, **dict(zip(
        ("state", "end", "history", "conn_state", "stream_bytes"), outcome)),
        marks=["one-sided"] if kind == "unanswered" else [])
    return [later(t, *step) for step in steps]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "generated")
    os.makedirs(folder, exist_ok=True)
    captures = [make() for make in CAPTURES]
    for capture in captures:
        capture.write(folder)
    with open(os.path.join(folder, "manifest.json"), "w", encoding="ascii") as out:
        out.write('{"captures": [\n' + ",\n".join(
            json.dumps(capture.manifest(), separators=(", ", ": ")) for capture in captures) + "\n]}\n")
    print("%d captures, %d frames" % (len(captures), sum(len(capture.frames) for capture in captures)))


if __name__ == "__main__":
    main()
