#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold the messages of the core against what Wireshark dissects, over real captures of others (../shared/captures):
HTTP, TLS and DNS, frame by frame. Each difference must have one of the reasons in RULES, which is worked out from the
frame; docs/sessions.md explains them. tshark runs without the plugin. JA4 is held against what Wireshark 4.4 said.

    messages.py [-v] [CAPTURE...]
    messages.py --record-ja4      ask Wireshark 4.4 anew, in the chroot of scripts/matrix; needs root
"""
import collections
import concurrent.futures
import gzip
import itertools
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "plugin"))
import ja4  # noqa: E402
import support  # noqa: E402

FIELDS = """frame.number frame.time_epoch frame.protocols tcp.stream tcp.len tcp.segment tcp.reassembled_in ip.fragment ipv6.fragment
tls.handshake.fragment _ws.malformed _ws.short _ws.expert.group tcp.analysis.retransmission
tcp.analysis.fast_retransmission tcp.analysis.spurious_retransmission
http.request.method http.request.uri http.host http.response.code
dns.id dns.flags.response dns.flags.rcode dns.count.queries dns.qry.name dns.qry.type dns.qry.class dns.response_to dns.time
tls.record.content_type tls.handshake.type tls.handshake.extensions_server_name tls.handshake.extensions_alpn_str tls.handshake.ja3
tls.handshake.ja3s""".split()
SEPARATOR = "\x1f"
HOLE_DEADLINE = 1.0  # seconds, of struct fs_reassembler_config
MALFORMED_DNS, MALFORMED_TLS = 0x0001, 0x0080
PROTOCOLS = {"http": ("http",), "tls": ("tls",), "dns": ("dns", "mdns", "llmnr")}

# The reasons for which the two may differ: what tshark alone has, what the core alone has, what both have otherwise.
RULES = (
    "end of the record", "fragments", "odd start line", "text cut", "malformed", "repeated by the sender", "decrypted by keys",
    "inside another protocol", "begins inside another protocol", "over UDP", "quoted by ICMP", "tunnel not read",
    "late for its hole", "message not whole", "record not whole", "port not tried", "NetBIOS")
# What was compared besides, and where the two pair otherwise.
DETAILS = ("hosts", "ALPN", "JA4", "JA4 not known", "pairs", "neither pairs", "fragments, paired", "multicast not paired", "paired by id alone",
           "paired across flows", "query sent again", "paired by the core alone")

Outcome = collections.namedtuple("Outcome", "total counts unexplained")
Item = collections.namedtuple("Item", "frame protocol kind key detail row")


# ---- tshark ----

class Row:
    """One frame as tshark dissects it."""

    def __init__(self, line):
        self.values = {name: value.split(SEPARATOR) if value else [] for name, value in zip(FIELDS, line.split("\t"))}
        self.frame = int(self.values["frame.number"][0])
        self.time = float(self.values["frame.time_epoch"][0])
        self.stack = self.values["frame.protocols"][0].split(":") if self.values["frame.protocols"] else []
        self.stream = (self.values["tcp.stream"] or [None])[-1]

    def __getitem__(self, name):
        return self.values[name]

    def frames(self, *names):
        return {int(frame) for name in names for frame in self[name]}

    def carrier(self, protocol):
        """What the protocol lies in: "tcp", "udp", or what is between these and it."""
        names = PROTOCOLS[protocol] + (("ssdp",) if protocol == "http" else ())
        places = [place for place, name in enumerate(self.stack) if name in names]
        return self.stack[places[0] - 1] if places else None

    def is_malformed(self):
        return bool(self["_ws.malformed"]) or bool(self["_ws.short"]) or "83886080" in self["_ws.expert.group"] or \
            "117440512" in self["_ws.expert.group"]


def http_items(row):
    for method, uri in itertools.zip_longest(row["http.request.method"], row["http.request.uri"], fillvalue=""):
        yield Item(row.frame, "http", "request", (method, uri), None, row)
    for code in row["http.response.code"]:
        yield Item(row.frame, "http", "response", (int(code),), None, row)


def dns_items(row):
    names, types, rcodes = list(row["dns.qry.name"]), list(row["dns.qry.type"]), list(row["dns.flags.rcode"])
    counts, kinds = row["dns.count.queries"], row["dns.flags.response"]
    for number, text in enumerate(row["dns.id"]):
        count = int(counts[number]) if number < len(counts) else 0
        is_response = number < len(kinds) and kinds[number] in ("1", "True")
        name = names[0] if count and names else ""
        kind = int(types[0]) if count and types else 0
        names, types = names[count:], types[count:]
        rcode = int(rcodes.pop(0)) if is_response and rcodes else 0
        name = "." if name == "<Root>" else re.sub("\ufffd+", "\ufffd", name)
        key = (int(text, 16), name, kind, rcode)
        yield Item(row.frame, "dns", "response" if is_response else "request", key, None, row)


def tls_items(row):
    names, ja3, ja3s = row["tls.handshake.extensions_server_name"], list(row["tls.handshake.ja3"]), \
        list(row["tls.handshake.ja3s"])
    clients = row["tls.handshake.type"].count("1")
    for kind in row["tls.handshake.type"]:
        if kind == "1":
            # Which name is whose is not told where a frame has several hellos.
            name = None if clients > 1 else (names or [""])[0]
            yield Item(row.frame, "tls", "request", (name, ja3.pop(0) if ja3 else ""), None, row)
        elif kind == "2":
            yield Item(row.frame, "tls", "response", (ja3s.pop(0) if ja3s else "",), None, row)


def dissected(tshark, capture):
    arguments = [argument for field in FIELDS for argument in ("-e", field)]
    done = tshark.run("-2", "-r", tshark.readable(capture), "-o", "tcp.reassemble_out_of_order:TRUE", "-T", "fields",
                      "-E", "occurrence=a", "-E", "aggregator=" + SEPARATOR, *arguments)
    rows = [Row(line) for line in done.stdout.splitlines() if line]
    items = [item for row in rows for items in (http_items, dns_items, tls_items) for item in items(row)]
    return {row.frame: row for row in rows}, items


# ---- the core ----

def plain_name(name):
    """A name in presentation form as Wireshark shows it: its bytes."""
    data = re.sub(rb"\\(\d{3}|.)", lambda part: bytes([int(part[1])]) if len(part[1]) == 3 else part[1],
                   name.encode("latin-1"))
    return escaped(data.decode("utf-8", "replace"))


def escaped(text):
    """As Wireshark shows control characters. How many signs of replacement stand for bytes that are no text differs."""
    letters = dict(zip("\a\b\f\n\r\t\v", "abfnrtv"))
    return "".join("\\" + letters[c] if c in letters else "\\%03o" % ord(c) if ord(c) < 32 or ord(c) == 127 else c
                   for c in re.sub("\ufffd+", "\ufffd", text))


def shown(text):
    """Bytes of a message as Wireshark shows them."""
    return escaped(text.encode("latin-1").decode("utf-8", "replace"))


def item_of(message):
    """None for what Wireshark has no counterpart of."""
    detail, kind = message.get("detail"), message["kind"]
    if not detail or kind == "unanswered" or detail.get("type") == "alert":
        return None
    protocol = detail["protocol"]
    if protocol == "http":
        key = (detail["status"],) if kind == "response" else (shown(detail.get("method", "")),
                                                              shown(detail.get("target", "")))
    elif protocol == "dns":
        kind = "response" if detail["flags"] & 0x8000 else "request"
        key = (detail["id"], plain_name(detail["name"]), detail["type"],
               detail["rcode"] & 15 if kind == "response" else 0)
    elif kind == "request":
        key = (shown(detail.get("sni", "")), detail["ja3"])
    else:
        key = (detail["ja3s"],)
    return Item(message["end_frame"], protocol, kind, key, message, None)


def parsed(capture):
    """({frame: flows, outermost first}, items) or None if libpcap does not read the capture."""
    done = subprocess.run([support.REPLAY, "--frames", "--messages=json", capture], capture_output=True, check=False,
                          text=True)
    if done.returncode:
        return None
    flows, items = collections.defaultdict(list), []
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            items.append(item_of(json.loads(line)))
        elif line[:1].isdigit():
            frame, flow, _, _, quoted = line.split(",")
            if quoted == "0":
                flows[int(frame)].append(int(flow))
    return flows, [item for item in items if item]


# ---- the comparison ----

class Comparison:
    def __init__(self, flows, ours, rows, theirs, fingerprints):
        self.flows, self.rows = flows, rows
        self.ours, self.theirs = ours, theirs
        self.fingerprints = fingerprints  # {(frame, JA3): [JA4]} by Wireshark 4.4
        self.queries = {item.frame: item.key[:3] for item in theirs
                        if item.protocol == "dns" and item.kind == "request"}
        self.counts = collections.Counter()
        self.unexplained = []
        self.pairs = []
        self.streams = collections.defaultdict(list)  # frames of a TCP stream, with payload
        self.dissected = collections.defaultdict(set)  # protocols that tshark saw in a stream
        for row in rows.values():
            if row.stream is not None:
                self.dissected[row.stream].update(row.stack)
                if row["tcp.len"] and row["tcp.len"][-1] != "0":
                    self.streams[row.stream].append(row)

    def count(self, item, what):
        self.counts[item.protocol, what] += 1

    def pair(self, same, rule=None):
        """Take pairs of both lists for which `same` holds, once each."""
        ours = collections.defaultdict(list)
        for item in self.ours:
            ours[item.protocol, item.kind].append(item)
        left = []
        for item in self.theirs:
            candidates = ours[item.protocol, item.kind]
            found = next((other for other in candidates if same(other, item)), None)
            if found is None:
                left.append(item)
                continue
            candidates.remove(found)
            self.pairs.append((found, item))
            self.count(item, rule or "equal")
        self.theirs = left
        self.ours = [item for items in ours.values() for item in items]

    def parts(self, row):
        """Frames of what is complete with this one, and of what was complete with those: records share segments."""
        found, waiting = set(), [row]
        while waiting:
            parts = waiting.pop().frames("tcp.segment", "tls.handshake.fragment") - found
            found |= parts
            waiting += [self.rows[part] for part in parts if part in self.rows]
        return found

    def match(self):
        self.pair(lambda our, their: our.frame == their.frame and is_equal(our, their))
        # Wireshark shows a message where the record or segment that it lies in is complete; the core where its last
        # byte came.
        self.pair(lambda our, their: is_equal(our, their) and our.frame in self.parts(their.row), "end of the record")
        self.pair(lambda our, their: is_equal(our, their) and our.frame in
                  their.row.frames("ip.fragment", "ipv6.fragment"), "fragments")
        self.pair(lambda our, their: our.frame == their.frame and our.kind == "request" and
                  has_flag(our, "start-line-odd") and our.key[0] == their.key[0] and
                  (not their.key[1] or our.key[1].startswith(their.key[1] + " ")), "odd start line")
        self.pair(lambda our, their: our.frame == their.frame and our.kind == "request" and
                  has_flag(our, "text-truncated") and our.key[0] == their.key[0] and
                  their.key[1].startswith(our.key[1]), "text cut")
        self.pair(lambda our, their: our.frame == their.frame and is_malformed(our, their), "malformed")
        # Both see as much as was captured, and say so.
        self.pair(lambda our, their: our.frame == their.frame and our.protocol == "dns" and our.detail["incomplete"] and
                  our.key[0] == their.key[0], "message not whole")

    def compare_details(self):
        """Of what both have: hosts, protocols offered, and which query a response belongs to."""
        for our, their in self.pairs:
            detail, row = our.detail["detail"], their.row
            if our.protocol == "tls" and our.kind == "request" and detail["ja4"]:
                known = self.fingerprints.get((their.frame, detail["ja3"]))
                if known:
                    self.compare_detail(our, "JA4", detail["ja4"], known.pop(0))
                else:
                    self.count(our, "JA4 not known")
            if our.frame != their.frame:
                continue
            if our.protocol == "http" and our.kind == "request" and len(row["http.request.method"]) == 1 == \
                    len(row["http.host"]):
                # tshark ends a text at a NUL.
                self.compare_detail(our, "hosts", shown(detail.get("host", "").split("\0")[0]), row["http.host"][0])
            if our.protocol == "tls" and our.kind == "request" and row["tls.handshake.type"] == ["1"]:
                self.compare_detail(our, "ALPN", [shown(name) for name in detail["alpn"]],
                                    row["tls.handshake.extensions_alpn_str"])
            if our.protocol == "dns" and our.kind == "response" and len(row["dns.id"]) == 1:
                self.compare_pairing(our, row)

    def compare_detail(self, our, what, one, other):
        self.counts[our.protocol, what] += 1
        if one != other:
            self.counts[our.protocol, "unexplained"] += 1
            self.unexplained.append(our._replace(key=(what, one, other)))

    def compare_pairing(self, our, row):
        """By request and by time; the fields of tshark have microseconds at least."""
        message = our.detail
        one, other = message["request_frame"], int((row["dns.response_to"] or ["0"])[0])
        if one == other and (not one or abs(float(row["dns.time"][0]) * 1e9 - message["time_ns"]) < 1000):
            self.count(our, "pairs" if one else "neither pairs")
        else:
            rule = self.why_other_pair(our, one, other)
            self.count(our, rule or "unexplained")
            if not rule:
                self.unexplained.append(our._replace(key=("pair", one, other, our.key)))

    def why_other_pair(self, our, one, other):
        question, row = our.key[:3], self.rows[our.frame]
        if not one and ("mdns" in row.stack or "llmnr" in row.stack or our.key[0] == 0):
            return "multicast not paired"
        if one in (self.rows[other].frames("ip.fragment", "ipv6.fragment") if other else ()):
            return "fragments, paired"
        if not one and other and (self.queries.get(other, question), self.rows[other]["dns.qry.class"]) != \
                (question, row["dns.qry.class"]):
            return "paired by id alone"
        if not one and other and self.flows[other][-1:] != self.flows[our.frame][-1:]:
            return "paired across flows"
        if one and other and self.queries.get(one) == self.queries.get(other) == question:
            return "query sent again"
        if one and not other and self.queries.get(one) == question:
            return "paired by the core alone"
        return None

    def explain(self):
        self.compare_details()
        for item in self.theirs:
            self.conclude(item, self.why_theirs_only(item))
        for item in self.ours:
            self.conclude(item, self.why_ours_only(item))

    def conclude(self, item, rule):
        self.count(item, rule or "unexplained")
        if not rule:
            self.unexplained.append(item)

    def why_theirs_only(self, item):
        row, carrier = item.row, item.row.carrier(item.protocol)
        if "icmp" in row.stack or "icmpv6" in row.stack:
            return "quoted by ICMP"
        if item.protocol == "http" and "tls" in row.stack:
            return "decrypted by keys"
        if "ssdp" in row.stack:
            return "over UDP"
        if carrier not in ("tcp", "udp") and carrier != item.protocol:
            return "inside another protocol"
        if sum(name in ("tcp", "udp") for name in row.stack) > len(self.flows[row.frame]):
            return "tunnel not read"
        if self.is_repeated(item):
            return "repeated by the sender"
        if row.is_malformed():
            return "malformed"
        if self.begins_with_another(item):
            return "begins inside another protocol"
        if self.is_late(row):
            return "late for its hole"
        return None

    def is_late(self, row):
        """A part came so long after what follows it that the stream went on without it."""
        times = [self.rows[frame].time for frame in map(int, row["tcp.segment"]) if frame in self.rows]
        return any(times[i] > later + HOLE_DEADLINE for i in range(len(times)) for later in times[i + 1:])

    def is_repeated(self, item):
        """The same message was paired in this stream before, and this frame says that it is sent again."""
        is_again = any(item.row["tcp.analysis." + name] for name in
                       ("retransmission", "fast_retransmission", "spurious_retransmission"))
        return is_again and any(other.row.stream == item.row.stream and other.key == item.key and
                                other.frame < item.frame for _, other in self.pairs)

    def begins_with_another(self, item):
        """Something else came first in the stream: STARTTLS, a proxy's greeting."""
        if item.row.stream is None:
            return False
        for row in self.streams[item.row.stream]:
            if row.frame >= min({item.frame} | item.row.frames("tcp.segment")):
                return False
            if not row["tcp.reassembled_in"] and not has_messages(row, item.protocol):
                return True
        return False

    def why_ours_only(self, item):
        row, message = self.rows.get(item.frame), item.detail
        if row and "nbns" in row.stack:
            return "NetBIOS"
        if message["incomplete"]:
            return "message not whole"
        if row is None:
            return None
        if row.stream is not None and item.protocol not in self.dissected[row.stream]:
            return "port not tried"
        if row.is_malformed():
            return "malformed"
        # The hello is there, but the rest of its record is not: tshark waits for it.
        if item.protocol == "tls" and "tls" not in row.stack and not row["tcp.reassembled_in"]:
            return "record not whole"
        return None


def has_messages(row, protocol):
    if protocol == "tls":
        return bool(row["tls.record.content_type"] or row["tls.handshake.type"])
    return protocol in row.stack


def has_flag(our, flag):
    return our.protocol == "http" and flag in our.detail["detail"]["flags"]


def is_equal(our, their):
    if our.protocol == "tls" and our.kind == "request" and their.key[0] is None:
        return our.key[1] == their.key[1]
    return our.key == their.key


def is_malformed(our, their):
    """Both see a broken message in this frame, and read different parts of it."""
    detail = our.detail["detail"]
    if our.protocol == "dns":
        return our.key[0] == their.key[0] and (detail["marks"] & MALFORMED_DNS or their.row.is_malformed())
    if our.protocol == "tls":
        return bool(detail["flags"] & MALFORMED_TLS) or their.row.is_malformed()
    return False


def looks_relevant(capture):
    """Cheap: does anything in the file look like HTTP or a ClientHello? What the core finds is relevant anyway."""
    with (gzip.open(capture) if capture.endswith(".gz") else open(capture, "rb")) as file:
        return re.search(rb"HTTP/1\.|\x16\x03[\x00-\x04]..\x01\x00", file.read(), re.S) is not None


def compare(tshark, capture):
    """The outcome, None where there is nothing to compare, or a text that says why not."""
    found = parsed(capture)
    if found is None:
        return "not read by libpcap"
    flows, ours = found
    if not ours and not looks_relevant(capture):
        return None
    rows, theirs = dissected(tshark, capture)
    folder = support.captures_folder()
    fingerprints = ja4.load().get(ja4.name_of(capture, folder), {}) if folder else {}
    comparison = Comparison(flows, ours, rows, theirs, fingerprints)
    comparison.match()
    comparison.explain()
    details = ["%s frame %d: %s %s %s" % ("tshark alone" if item.row else "core alone", item.frame, item.protocol,
                                          item.kind, item.key) for item in comparison.unexplained]
    return Outcome((len(ours), len(theirs)), comparison.counts, details)


def print_table(counts):
    print("%-32s %6s %6s %6s" % ("", *PROTOCOLS))
    for rule in ("equal",) + RULES + DETAILS + ("unexplained",):
        numbers = [counts[protocol, rule] for protocol in PROTOCOLS]
        if any(numbers):
            print("%-32s %6d %6d %6d" % (rule, *numbers))


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "-v"]
    folder = support.captures_folder()
    if arguments == ["--record-ja4"]:
        return ja4.record(support.all_captures(folder), folder)
    if not arguments and not folder:
        print("skipped: no captures in ../shared/captures")
        return support.SKIPPED
    if not shutil.which("tshark"):
        print("skipped: no tshark")
        return support.SKIPPED
    if not os.path.exists(support.REPLAY):
        print("skipped: no flowscope-replay (-DFLOWSCOPE_BENCH=ON)")
        return support.SKIPPED
    results, counts, captures, totals = support.Results(), collections.Counter(), 0, [0, 0]
    paths = arguments or support.all_captures(folder)
    with support.Tshark(with_plugin=False) as tshark, concurrent.futures.ProcessPoolExecutor(2) as pool:
        for path, outcome in zip(paths, pool.map(compare, [tshark] * len(paths), paths, chunksize=4)):
            name = os.path.basename(path)
            if isinstance(outcome, str):
                results.skip(name + ": " + outcome)
            if not isinstance(outcome, Outcome):
                continue
            captures += 1
            totals = [total + more for total, more in zip(totals, outcome.total)]
            counts.update(outcome.counts)
            results.check(not outcome.unexplained, "%s: %s" % (name, "; ".join(outcome.unexplained[:10])))
            if "-v" in sys.argv:
                print(name, dict(outcome.counts))
    if not arguments:
        results.check(counts["tls", "JA4"] and not counts["tls", "JA4 not known"],
                      "of %d ClientHellos ja4.tsv has no JA4: --record-ja4" % counts["tls", "JA4 not known"])
    print("%d captures; messages of the core %d, of Wireshark %d" % (captures, *totals))
    print_table(counts)
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
