#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write recorded/manifest.json from what tshark decodes of the recordings; run it after record.sh.

It groups packets by addresses, ports, VLAN and VNI, adds up lengths, and notes the letters of a history at their first
occurrence. None of flowscope's code takes part. What a scenario has to end in is stated by
hand in SCENARIOS, and this script fails if a recording ends otherwise.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FIN, SYN, RST, ACK = 1, 2, 4, 16
FIELDS = ("frame.number frame.len frame.time_epoch vlan.id vxlan.vni ip.src ip.dst ip.len ip.proto icmp.type icmp.code "
          "udp.srcport udp.dstport udp.length tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.flags "
          "tcp.len tcp.window_size_value").split()
NAMES = {1: "ICMP", 6: "TCP", 17: "UDP"}

# For each recording: what it shows, what is told apart, and (state, conn_state) of its TCP flows in order.
CLOSED = ("closed", "SF")
SCENARIOS = {
    "http": ("HTTP/1.1 on loopback, with segmentation offload: three requests on one connection, a close by the "
             "server, a download that the client aborts, a refused connection", "",
             [CLOSED, CLOSED, ("reset", "RSTO"), ("reset", "REJ")]),
    "tls": ("TLS 1.2 and TLS 1.3 on loopback", "", [CLOSED, CLOSED]),
    "dns": ("DNS over UDP and TCP on loopback; a query to a closed port and the ICMP error that quotes it", "",
            [CLOSED]),
    "ssh": ("one command over SSH on loopback", "", [CLOSED]),
    "loss": ("150,000 bytes over HTTP, 5 % of the frames lost, captured at the client", "", [CLOSED]),
    "duplicates": ("150,000 bytes over HTTP, 10 % of the frames arrive twice, captured at the client", "", [CLOSED]),
    "reordering": ("150,000 bytes over HTTP, 10 % of the frames arrive 3 ms late, captured at the client", "",
                   [CLOSED]),
    "vlan": ("the same addresses and ports in VLAN 10 and 20 at the same time, on a trunk", "vlan", [CLOSED, CLOSED]),
    "vxlan": ("the same addresses and ports in VNI 100 and 200 at the same time, between two hosts", "tunnel",
              [CLOSED, CLOSED]),
    "nginx": ("nginx: keep-alive, HEAD, 204, 206, 301, 304, 400, 404, pipelining, chunks both ways, 100 Continue, a "
              "proxied upload, HTTP/1.0 and 0.9, requests in pieces", "", [CLOSED] * 10),
    "nginx-large": ("nginx: bodies of 1,000,000 bytes, with Content-Length and in chunks", "", [CLOSED]),
    "openssl": ("openssl s_server: TLS 1.2 and 1.3, resumed, HelloRetryRequest, with and without SNI and ALPN, three "
                "refused handshakes", "", [CLOSED] * 11),
    "unbound": ("unbound: ten types, NXDOMAIN, aliases, REFUSED, a truncated answer asked for again over TCP, TCP, a "
                "query sent twice without an answer", "", [CLOSED] * 2),
}


class Flow:
    def __init__(self, proto, source, sport, destination, dport, parent):
        self.ends = (proto, source, sport, destination, dport)
        self.parent = parent
        self.packets, self.wire, self.ip, self.payload = [0, 0], [0, 0], [0, 0], [0, 0]
        self.first = self.last = None
        self.history, self.seen, self.repeats, self.zero_window = "", set(), [0, 0], False
        self.isn, self.top, self.fin_end, self.acked, self.reset = [None, None], [0, 0], [None, None], [0, 0], False
        self.syn_times, self.syn_rtt, self.ack_rtt = ([], []), None, None

    def count(self, side, time_ns, wire, ip, payload):
        self.first = time_ns if self.first is None else min(self.first, time_ns)
        self.last = time_ns if self.last is None else max(self.last, time_ns)
        self.packets[side] += 1
        self.wire[side] += wire
        self.ip[side] += ip
        self.payload[side] += payload

    def letter(self, side, letter, always=False):
        if always or (side, letter) not in self.seen:
            self.seen.add((side, letter))
            self.history += letter if side else letter.upper()

    def tcp(self, side, time_ns, seq, ack, flags, length, window):
        if self.isn[side] is None:
            self.isn[side] = seq if flags & SYN else seq - 1
        start = (seq - self.isn[side]) & 0xFFFFFFFF
        end = start + length + bool(flags & SYN) + bool(flags & FIN)
        known = self.packets[side] > 1
        if length and not flags & RST and known and end <= self.top[side]:
            self.repeats[side] += 1
            if self.repeats[side] in (1, 10, 100, 1000):
                self.letter(side, "t", always=True)
        if not flags & RST:
            self.top[side] = max(self.top[side], end)
        self.zero_window |= window == 0 and not flags & RST
        if flags & SYN:
            self.letter(side, "h" if flags & ACK else "s")
            self.syn_times[side].append(time_ns)
        elif flags & RST:
            self.letter(side, "r")
            self.reset = True
        elif flags & FIN:
            self.letter(side, "f")
            self.fin_end[side] = end
        elif length:
            self.letter(side, "d")
        else:
            self.letter(side, "a")
        if flags & ACK and self.isn[1 - side] is not None:
            self.acked[1 - side] = max(self.acked[1 - side], (ack - self.isn[1 - side]) & 0xFFFFFFFF)
            rtt = time_ns - self.syn_times[1 - side][-1] if self.syn_times[1 - side] else None
            if side == 1 and self.syn_rtt is None and flags & SYN:
                self.syn_rtt = rtt
            elif side == 0 and self.ack_rtt is None:
                self.ack_rtt = rtt

    def state(self):
        proto = self.ends[0]
        if proto != "TCP":
            return "two-way" if self.packets[1] else "one-way"
        if self.reset:
            return "reset"
        if all(end is not None and acked >= end for end, acked in zip(self.fin_end, self.acked)):
            return "closed"
        return "open"

    def manifest(self, flows, conn_state):
        proto, source, sport, destination, dport = self.ends
        result = {"proto": proto, "initiator": source, "initiator_port": sport, "responder": destination,
                  "responder_port": dport, "packets": self.packets, "wire_bytes": self.wire, "ip_bytes": self.ip,
                  "first_ns": self.first, "last_ns": self.last, "state": self.state(),
                  "marks": [] if all(self.packets) else ["one-sided"]}
        if self.parent:
            result["parent"] = flows.index(self.parent)
        if proto in ("TCP", "UDP"):
            result["payload_bytes"] = self.payload
        if proto == "TCP":
            result["end"] = {"closed": "fin", "reset": "rst"}.get(result["state"], "end-of-input")
            result["conn_state"] = conn_state
            if not self.zero_window:
                result["history"] = self.history
            if not self.reset:
                result["stream_bytes"] = [top - 1 - (end is not None) for top, end in zip(self.top, self.fin_end)]
            if self.syn_rtt is not None:
                result["syn_rtt_ns"] = self.syn_rtt
            if self.syn_rtt is not None and self.ack_rtt is not None and not self.reset:
                result["ack_rtt_ns"] = self.ack_rtt
        else:
            result["end"] = "end-of-input"
            result["history"] = "Dd" if self.packets[1] else "D"
            result["conn_state"] = {"UDP": "SF" if self.packets[1] else "S0"}.get(proto, "OTH")
        return result


def decode(path):
    command = ["tshark", "-n", "-r", path, "-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields", "-E",
               "occurrence=a", "-E", "aggregator=,"]
    for field in FIELDS:
        command += ["-e", field]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        yield {name: value.split(",") if value else [] for name, value in zip(FIELDS, line.split("\t"))}


def nanoseconds(text):
    seconds, _, part = text.partition(".")
    return int(seconds) * 1_000_000_000 + int(part.ljust(9, "0"))


def packets_of(frame):
    """The packets of a frame, outermost first: (proto, layer of IP, source port, destination port, payload)."""
    tunnel = bool(frame["vxlan.vni"])
    protos = [int(proto) for proto in frame["ip.proto"]]
    for layer, proto in enumerate(protos[:2 if tunnel else 1]):
        if proto == 17:
            yield proto, layer, int(frame["udp.srcport"][0]), int(frame["udp.dstport"][0]), \
                int(frame["udp.length"][0]) - 8
        elif proto == 6:
            yield proto, layer, int(frame["tcp.srcport"][0]), int(frame["tcp.dstport"][0]), int(frame["tcp.len"][0])
        elif proto == 1:
            yield proto, layer, int(frame["icmp.type"][0]), int(frame["icmp.code"][0]), 0
        else:
            sys.exit("describe.py: does not know protocol %d" % proto)


def recording(name):
    """Its file, packed if that is what record.sh made of it; None if it is not there."""
    for path in (os.path.join(HERE, "recorded", name + ending) for ending in (".pcapng", ".pcapng.gz")):
        if os.path.exists(path):
            return path
    return None


def describe(name):
    shows, domain, outcomes = SCENARIOS[name]
    flows, place, frames = [], {}, 0
    path = recording(name)
    for frame in decode(path):
        frames += 1
        time_ns, parent = nanoseconds(frame["frame.time_epoch"][0]), None
        if not frame["ip.src"]:
            sys.exit("describe.py: %s: frame %s is not IP" % (name, frame["frame.number"][0]))
        for proto, layer, sport, dport, payload in packets_of(frame):
            source, destination = frame["ip.src"][layer], frame["ip.dst"][layer]
            apart = (tuple(frame["vlan.id"]), tuple(frame["vxlan.vni"]) if layer else ())
            key, back = (proto, source, sport, destination, dport), (proto, destination, dport, source, sport)
            side = 1 if (back, apart) in place and proto != 1 else 0
            found = place.get((back if side else key, apart))
            if found is None:
                found = place[(key, apart)] = Flow(NAMES[proto], *key[1:], parent)
                flows.append(found)
            found.count(side, time_ns, int(frame["frame.len"][0]), int(frame["ip.len"][layer]), payload)
            if proto == 6:
                found.tcp(side, time_ns, int(frame["tcp.seq_raw"][0]), int(frame["tcp.ack_raw"][0]),
                          int(frame["tcp.flags"][0], 16), payload, int(frame["tcp.window_size_value"][0]))
            parent = found
    tcp = [flow for flow in flows if flow.ends[0] == "TCP"]
    if [flow.state() for flow in tcp] != [state for state, _ in outcomes]:
        sys.exit("describe.py: %s: ended as %s" % (name, [flow.state() for flow in tcp]))
    conn_states = iter(conn_state for _, conn_state in outcomes)
    described = [flow.manifest(flows, next(conn_states) if flow in tcp else None) for flow in flows]
    return {"file": os.path.basename(path), "shows": shows, "frames": frames, "front_ends": ["core", "plugin"],
            "expect": [{"domain": domain, "tracked": frames, "untracked": {}, "flows": described}]}


def main():
    there = [name for name in SCENARIOS if recording(name)]
    captures = [describe(name) for name in there]
    with open(os.path.join(HERE, "recorded", "manifest.json"), "w", encoding="ascii") as out:
        out.write('{"captures": [\n' + ",\n".join(json.dumps(capture) for capture in captures) + "\n]}\n")
    print("%d recordings" % len(captures))


if __name__ == "__main__":
    main()
