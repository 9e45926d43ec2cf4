#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records of flows as tshark exports them: readable by other programs, complete, those of the core, and an error where
they cannot be written.
"""
import base64
import collections
import concurrent.futures
import csv
import glob
import io
import json
import os
import re
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from test_corpus import FIELDS, LINKTYPES, NOT_FOR_BOTH, Frame, capinfos  # noqa: E402

PCAPS = os.path.join(support.ROOT, "pcaps")
FORMATS = ("csv", "eve", "zeek")
APPLICATION = {"csv": 14, "zeek": 7}  # its column
SIDES = ("initiator", "responder")
# What the core does without being told.
LIKE_CORE = ("-o", "flowscope.overlap_history:0", "-o", "flowscope.reassembly_deadline:1000", "-o",
             "flowscope.duplicates:ignore")
# Further captures of which the front ends do not have the same flows.
OTHER_FLOWS = {"interfaces-links.pcapng": "interfaces of several link types, which libpcap does not read",
               "tunnel-vxlan-8472.pcap": "VXLAN on the old port, which Wireshark does not decode"}
SHARED = 30


def csv_rows(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def zeek_rows(text):
    lines = text.splitlines()
    titles = next(line for line in lines if line.startswith("#fields\t")).split("\t")[1:]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    if any(len(row) != len(titles) for row in rows):
        raise ValueError("conn.log: a row of other length than its header")
    return [dict(zip(titles, row)) for row in rows]


def without_application(form, line):
    """The core alone has no dissectors that name the application."""
    if form == "eve":
        return re.sub(r'"app_proto":"[^"]*",|,"application":"[^"]*"', "", line)
    cells = next(csv.reader([line])) if form == "csv" else line.split("\t")
    at = APPLICATION[form]
    return "\t".join(cells[:at] + cells[at + 1:])


def total(rows, name):
    return sum(int(row[name + "_" + side]) for row in rows for side in SIDES)


def statistics(text):
    """{(group, name): value} of -z flowscope,stats."""
    values, group = {}, None
    for line in text.splitlines():
        if line.startswith("  "):
            name, _, value = line.strip().rpartition(" ")
            values[group, name.strip()] = value
        else:
            group = line.strip()
    return values


class Exports:
    """tshark's exports of a capture, all formats in one run."""

    def __init__(self, tshark, capture, *arguments, name="x"):
        self.prefix = os.path.join(tshark.folder, "home", name + "." + os.path.basename(capture))
        words = [word for form in FORMATS for word in ("-z", "flowscope,export,%s,%s.%s" % (form, self.prefix, form))]
        self.done = tshark.run("-q", "-r", capture, *arguments, "-z", "flowscope,stats", *words)
        self.text = {}
        for form in FORMATS:
            with open(self.prefix + "." + form, encoding="utf-8", newline="") as file:
                self.text[form] = file.read()
            os.unlink(self.prefix + "." + form)
        self.csv = csv_rows(self.text["csv"])
        events = [json.loads(line) for line in self.text["eve"].splitlines()]
        self.eve = [event for event in events if event["event_type"] == "flow"]
        self.events = [event for event in events if event["event_type"] != "flow"]
        self.zeek = zeek_rows(self.text["zeek"])
        self.stats = statistics(self.done.stdout)


class Capture:
    """One capture, and what its records are held against."""

    def __init__(self, tshark, path):
        self.tshark, self.path, self.name = tshark, path, os.path.basename(path)
        self.problems = []
        self.counts = collections.Counter()

    def problem(self, text):
        self.problems.append("%s: %s" % (self.name, text))

    def equal(self, what, ours, theirs):
        if ours != theirs:
            self.problem("%s: %s, not %s" % (what, ours, theirs))

    def run(self):
        self.file = self.tshark.readable(self.path)
        self.known = capinfos(self.tshark, self.file)
        if self.known:
            try:
                self.check()
            except Exception as error:  # pylint: disable=broad-except
                self.problem("%s: %s" % (type(error).__name__, error))
        return self

    def check(self):
        exports = Exports(self.tshark, self.file, *LIKE_CORE)
        self.check_totals(exports)
        self.check_formats(exports)
        self.check_events(exports)
        if os.path.exists(support.REPLAY):
            self.check_core(exports)

    def check_totals(self, exports):
        rows, stats = exports.csv, exports.stats
        self.counts["records"] += len(rows)
        self.equal("records", len(rows), int(stats["Flows", "all"]))
        self.equal("flows", sorted(int(row["flow"]) for row in rows), list(range(len(rows))))
        self.equal("packets", total(rows, "packets"), int(stats["Packets", "counted in flows"]))
        self.equal("IP bytes", total(rows, "ip_bytes"), int(stats["Packets", "IP bytes"]))
        self.equal("payload", total(rows, "payload_bytes"), int(stats["Packets", "payload bytes"]))
        for group, column in (("Flows by state", "state"), ("Flows by end", "end")):
            self.equal(group, dict(collections.Counter(row[column] for row in rows)),
                       {name: int(value) for (part, name), value in stats.items() if part == group})
        frames, _, size = self.known
        self.equal("frames", int(stats["Frames", "seen"]), frames)
        if total(rows, "packets") == frames and stats["Frames", "untracked"] == "0":
            self.counts["captures whose records sum up to the file's bytes"] += 1
            self.equal("bytes", total(rows, "wire_bytes"), size)
        order = [row["ended_by"] == "end-of-input" for row in rows]
        self.equal("flows that ended before the capture come first", order, sorted(order))

    def check_formats(self, exports):
        """The formats say the same of a flow, and no flow twice."""
        rows = {row["uid"]: row for row in exports.csv}
        self.equal("uids", len(rows), len(exports.csv))
        for event in exports.eve:
            row = rows[event["flowscope"]["uid"]]
            flow = event["flow"]
            self.equal("EVE", [str(value) for value in (
                event["src_ip"], event["dest_ip"], event["community_id"], flow["pkts_toserver"], flow["pkts_toclient"],
                flow["bytes_toserver"], flow["bytes_toclient"], event.get("vlan", []))], [
                    row["initiator"], row["responder"], row["community_id"], row["packets_initiator"],
                    row["packets_responder"], row["wire_bytes_initiator"], row["wire_bytes_responder"],
                    "[%s]" % row["vlan"].replace("+", ", ")])
        for entry in exports.zeek:
            row = rows[entry["uid"]]
            self.equal("conn.log", [entry[name] for name in (
                "id.orig_h", "id.resp_h", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes")], [
                    row[name] for name in ("initiator", "responder", "packets_initiator", "packets_responder",
                                           "ip_bytes_initiator", "ip_bytes_responder")])

    def check_events(self, exports):
        """What was said and what was unusual belongs to a flow, comes before its record, and is complete."""
        flows = {event["flow_id"]: event for event in exports.eve}
        kinds = collections.Counter(event["event_type"] for event in exports.events)
        self.equal("kinds of events", set(kinds) - {"http", "tls", "dns", "anomaly"}, set())
        for event in exports.events:
            flow = flows.get(event["flow_id"])
            if not flow and self.name == "time-backwards.pcap":
                continue  # the flow's first packet comes later, and names it
            self.equal("event", event["community_id"], flow["community_id"])
            ends = [(event["src_ip"], event["src_port"] if "src_port" in event else None),
                    (event["dest_ip"], event["dest_port"] if "dest_port" in event else None)]
            wanted = [(flow["src_ip"], flow.get("src_port")), (flow["dest_ip"], flow.get("dest_port"))]
            self.equal("ends of an event", sorted(ends, key=str), sorted(wanted, key=str))
            if event["event_type"] != "anomaly":
                self.equal("direction of an event", ends, wanted)
        done = set()
        for line in exports.text["eve"].splitlines():
            event = json.loads(line)
            if event["event_type"] == "flow":
                done.add(event["flow_id"])
            elif event["flow_id"] in done and event["event_type"] != "anomaly":
                self.problem("a message comes after its flow's record")
        if len(exports.eve) == len(exports.csv):
            told = sum(int(value) for (group, _), value in exports.stats.items() if group == "Anomalies")
            self.equal("anomalies", kinds["anomaly"], told)
        for kind, count in kinds.items():
            self.counts["events of EVE: " + kind] += count

    def why_not(self):
        """Why this capture's records need not be the core's; None if they must."""
        if self.name in OTHER_FLOWS:
            return OTHER_FLOWS[self.name]
        if self.known[1] not in LINKTYPES:
            return "link types that the core does not decode"
        words = [word for field in FIELDS for word in ("-e", field)]
        frames = [Frame(line) for line in self.tshark.run("-r", self.file, "-T", "fields", *words).stdout.splitlines()]
        return next((text for frame in frames for text, condition in NOT_FOR_BOTH if condition(frame)), None)

    def check_core(self, exports):
        reason = self.why_not()
        if reason:
            self.counts["captures not compared with the core: " + reason] += 1
            return
        for form in FORMATS:
            done = subprocess.run([support.REPLAY, "--export=%s:-" % form, self.file], capture_output=True, check=False)
            if done.returncode:
                self.counts["captures not compared with the core: libpcap cannot read it"] += 1
                return
            # The core writes them in the order of first packets, and knows the earliest time of all frames when it
            # begins; tshark writes them as they end.
            ours, theirs = (collections.Counter(without_application(form, line) for line in text.splitlines()
                                                if not line.startswith("#open"))
                            for text in (exports.text[form], done.stdout.decode()))
            for line in list((ours - theirs).elements())[:2]:
                self.problem("only tshark has " + line)
            for line in list((theirs - ours).elements())[:2]:
                self.problem("only flowscope-replay has " + line)
        self.counts["captures whose records equal the core's in all formats"] += 1


class Tests:
    def __init__(self, results, tshark):
        self.check, self.skip, self.tshark = results.check, results.skip, tshark
        self.many = tshark.readable(os.path.join(PCAPS, "generated", "many-flows.pcap"))
        self.http = tshark.readable(os.path.join(PCAPS, "recorded", "http.pcapng"))
        self.vxlan = tshark.readable(os.path.join(PCAPS, "recorded", "vxlan.pcapng"))
        self.idle = tshark.readable(os.path.join(PCAPS, "generated", "tcp-idle-timeout.pcap"))

    def export(self, form, capture, *arguments, filter_=""):
        """What goes to standard output, and nothing else."""
        done = self.tshark.run("-q", "-r", capture, *arguments, "-z", "flowscope,export,%s,-%s" % (
            form, "," + filter_ if filter_ else ""))
        said = done.stderr.replace("resetting session.", "").strip()  # tshark's own, with -M
        self.check(done.returncode == 0 and not said, "-: returned %d, said %s" % (
            done.returncode, done.stderr))
        return done.stdout

    def chosen(self, capture, filter_, *arguments):
        """Flows that have a frame which the filter matches."""
        text = self.tshark.run("-r", capture, *arguments, "-Y", filter_, "-T", "fields", "-e", "flowscope.flow").stdout
        return {flow for line in text.splitlines() for flow in line.split(",") if flow}

    def test_standard_output(self):
        for capture in (self.many, self.http, self.vxlan):
            exports = Exports(self.tshark, capture)
            for form in FORMATS:
                for passes in ((), ("-2",)):
                    text = self.export(form, capture, *passes)
                    self.check(text.splitlines() == exports.text[form].splitlines(),
                               "%s to standard output is not what the file holds, %s %s" % (form, capture, passes))
            self.check(exports.done.stdout.count(" records in ") == len(FORMATS), "what was written is not told")

    def test_filter(self):
        for capture, filter_, arguments in (
                (self.many, "udp", ()), (self.many, "tcp.srcport % 2 == 1 && tcp.flags.fin == 1", ()),
                (self.http, "http.request.uri contains 100", ()), (self.vxlan, "tcp", ()), (self.idle, "frame.number == 1", ()),
                # The carrier goes to make room for what it carries, during the frame that chooses it.
                (self.vxlan, "frame.number == 1", ("-o", "flowscope.max_flows:1")),
                # Most flows are over long before the filter sees them in the second pass.
                (self.many, "udp", ("-o", "flowscope.max_flows:5")),
                (self.many, "frame.number > 1000", ())):
            wanted = self.chosen(capture, filter_, *arguments)
            everything = csv_rows(self.export("csv", capture, *arguments))
            for passes in ((), ("-2",)):
                rows = csv_rows(self.export("csv", capture, *arguments, *passes, filter_=filter_))
                self.check(sorted(row["flow"] for row in rows) == sorted(wanted), "%s %s chose other flows: %s, not %s" % (
                        filter_, passes, sorted(row["flow"] for row in rows)[:5], sorted(wanted)[:5]))
                # The application of a flow that ends with its first frame is known when that frame has been dissected:
                # too late for a record that is written at once.
                for row in rows + everything:
                    row.pop("application", None)
                other = [row for row in rows if row not in everything]
                self.check(not other, "with the filter %s a record differs: %s" % (filter_, other[:1]))

    def test_events(self):
        """With a filter, the events of the flows that it chooses, those before the frame that chose it, too."""
        everything = Exports(self.tshark, self.http).events
        self.check(len(everything) == 5 and all(event["event_type"] == "http" for event in everything),
                   "http: %s" % everything[:1])
        for filter_ in ('http.request.uri contains "missing"', "tcp.flags.fin == 1", "frame.number == 1", "udp"):
            wanted = self.chosen(self.http, filter_)
            for passes in ((), ("-2",)):
                lines = self.export("eve", self.http, *passes, filter_=filter_).splitlines()
                events = [event for event in map(json.loads, lines) if event["event_type"] == "http"]
                self.check(sorted(events, key=str) == sorted(
                    (event for event in everything if str(event["flowscope"]["flow"]) in wanted), key=str),
                    "%s %s: %d events" % (filter_, passes, len(events)))
        text = self.tshark.run("-q", "-r", self.http, "-z", "flowscope,export,eve,%s" % os.path.join(
            self.tshark.folder, "home", "events.json")).stdout
        self.check("Flowscope: 4 records in " in text and "; 5 messages and anomalies beside them" in text,
                   "events are not told: " + text)

    def test_while_reading(self):
        """Records do not wait for the end of the capture, with a filter neither."""
        parts = []
        for hours in range(3):
            part = os.path.join(self.tshark.folder, "part%d.pcap" % hours)
            subprocess.run(["editcap", "-F", "pcap", "-t", str(hours * 3600), self.many, part], check=True,
                           capture_output=True)
            with open(part, "rb") as file:
                parts.append(file.read()[0 if hours == 0 else 24:])
        for filter_ in ("", ",udp"):
            path = os.path.join(self.tshark.folder, "home", "early%s.csv" % filter_[1:])
            with subprocess.Popen(
                    self.tshark.command("-q", "-r", "-", "-z", "flowscope,export,csv,%s%s" % (path, filter_)),
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env=self.tshark.environment, cwd=self.tshark.folder, preexec_fn=self.tshark.drop) as process:
                written = False
                for part in parts:  # the flows of one end with the first frames of the next
                    process.stdin.write(part)
                    process.stdin.flush()
                    time.sleep(1.5)  # lines wait for a second, if another follows
                for _ in range(100):
                    written = written or os.path.exists(path) and os.path.getsize(path) > 10000
                    if written:
                        break
                    time.sleep(0.1)
                process.stdin.close()
                process.wait()
            self.check(written, "nothing is written while tshark reads, filter '%s'" % filter_)

    def test_filter_forgets(self):
        """Flows that the filter did not choose by their ends are let go."""
        flows = 150000
        path = os.path.join(self.tshark.folder, "short-flows.pcap")
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
            for i in range(flows):  # a datagram each, ten a second: all but the last minutes' are over
                file.write(struct.pack("<IIII", i // 10, 0, 28, 28) + b"\x45\0\0\x1c\0\0\0\0\x40\x11\0\0\x0a" +
                           struct.pack(">I", i)[1:] + b"\x0a\0\0\1\x27\x10\x27\x11\0\x08\0\0")
        peaks = []
        for filter_ in ("", ",tcp"):
            output = os.path.join(self.tshark.folder, "home", "short-flows.csv")
            # pylint: disable-next=consider-using-with
            process = subprocess.Popen(
                self.tshark.command("-q", "-r", path, "-z", "flowscope,export,csv,%s%s" % (output, filter_)),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.tshark.environment,
                cwd=self.tshark.folder, preexec_fn=self.tshark.drop)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.check(process.returncode == 0, "%d short flows: returned %d" % (flows, process.returncode))
            peaks.append(usage.ru_maxrss)
        self.check(peaks[1] - peaks[0] < 8000, "flows that are not chosen take memory: %d KiB without a filter, %d "
                   "with one" % tuple(peaks))

    def test_parts(self):
        """-M begins anew every so many frames; all of them are in some record."""
        exports = Exports(self.tshark, self.many, "-M", "50")
        whole = Exports(self.tshark, self.many)
        for column in ("packets", "wire_bytes", "payload_bytes"):
            self.check(total(exports.csv, column) == total(whole.csv, column), "-M loses " + column)
        self.check(len(exports.csv) > len(whole.csv), "-M does not begin anew")
        chosen = csv_rows(self.export("csv", self.many, "-M", "50", filter_="udp"))
        self.check(chosen and chosen == [row for row in exports.csv if row["protocol"] == "UDP"],
                   "-M and a filter: other records")

    def test_names_are_fields(self):
        for seed in ("0", "7"):
            option = ("-o", "flowscope.community_id_seed:" + seed)
            text = self.tshark.run("-r", self.http, *option, "-T", "fields", "-e", "flowscope.flow.uid", "-e",
                                   "flowscope.flow.community_id").stdout
            names = {tuple(line.split("\t")) for line in text.splitlines()}
            rows = csv_rows(self.export("csv", self.http, *option))
            self.check(len(rows) > 1 and names == {(row["uid"], row["community_id"]) for row in rows},
                       "seed %s: fields and records have other names" % seed)
            if os.path.exists(support.REPLAY):
                core = subprocess.run([support.REPLAY, "--export=csv:-", "--community-seed=" + seed, self.http],
                                      capture_output=True, text=True, check=True).stdout
                self.check({row["community_id"] for row in csv_rows(core)} == {row["community_id"] for row in rows},
                           "seed %s: the core has other Community IDs" % seed)

    def test_timeouts(self):
        ends = collections.Counter()
        for name in ("tcp-half-open-timeout", "tcp-idle-timeout", "tcp-after-close", "udp-edges"):
            capture = self.tshark.readable(os.path.join(PCAPS, "generated", name + ".pcap"))
            for system in ("flowscope", "zeek", "suricata"):
                ours = self.export("zeek", capture, "-o", "flowscope.timeouts_like:" + system)
                ends[system] += len(zeek_rows(ours))
                if not os.path.exists(support.REPLAY):
                    continue
                core = subprocess.run([support.REPLAY, "--export=zeek:-", "--timeouts-like=" + system, capture],
                                      capture_output=True, text=True, check=True).stdout
                core, ours = (sorted(without_application("zeek", line) for line in text.splitlines())
                              for text in (core, ours))
                self.check(core == ours, "%s: timeouts like %s" % (name, system))
        self.check(len(set(ends.values())) > 1, "timeouts make no difference: %s" % ends)
        # The user's own hold only without another system's.
        splits = {len(zeek_rows(self.export("zeek", self.idle, "-o", "flowscope.timeout_tcp:31536000", "-o",
                                            "flowscope.timeouts_like:" + system))) for system in ("flowscope", "zeek")}
        self.check(len(splits) == 2, "the preference timeout_tcp holds for zeek, too")

    def test_objects(self):
        """Export Objects: the same records, in the order of first packets."""
        for capture in (self.many, self.vxlan):
            exports = Exports(self.tshark, capture)
            for passes in ((), ("-2",)):
                folder = os.path.join(self.tshark.folder, "home", "objects")
                self.tshark.run("-q", "-r", capture, *passes, "--export-objects", "flowscope," + folder)
                found = {}
                for path in glob.glob(os.path.join(folder, "*")):
                    with open(path, encoding="utf-8", newline="") as file:
                        found[os.path.basename(path)] = file.read()
                    os.unlink(path)
                self.check(sorted(found) == ["conn.log", "eve.json", "flows.csv"], "objects: %s" % sorted(found))
                for name, form in (("flows.csv", "csv"), ("eve.json", "eve"), ("conn.log", "zeek")):
                    wanted = [line for line in exports.text[form].splitlines()
                              if form != "eve" or '"event_type":"flow"' in line]
                    self.check(sorted(found.get(name, "").splitlines()) == sorted(wanted),
                               "%s of %s %s is not what is exported" % (name, capture, passes))
                rows = csv_rows(found["flows.csv"])
                self.check([row["flow"] for row in rows] == [str(i) for i in range(len(rows))], "flows.csv: order")

    def test_objects_in_sharkd(self):
        requests = [{"jsonrpc": "2.0", "id": 1, "method": "load", "params": {"file": self.http}}]
        requests += [{"jsonrpc": "2.0", "id": 2 + i, "method": "tap", "params": {"tap0": "eo:flowscope"}} for i in range(2)]
        requests.append({"jsonrpc": "2.0", "id": 4, "method": "download", "params": {"token": "eo:flowscope_0"}})
        script = "\n".join(json.dumps(request) for request in requests) + "\n"
        done = self.tshark.run("-", program="sharkd", stdin=script)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not answers:
            self.skip("sharkd does not run here: " + done.stderr[-200:])
            return
        taps = [answer["result"]["taps"][0]["objects"] for answer in answers if "taps" in answer.get("result", {})]
        self.check(len(taps) == 2 and [[item["filename"] for item in tap] for tap in taps] == [
            ["flows.csv", "eve.json", "conn.log"]] * 2, "sharkd: objects %s" % taps)
        data = [answer["result"]["data"] for answer in answers if "data" in answer.get("result", {})]
        rows = csv_rows(base64.b64decode(data[0]).decode()) if data else []
        exported = csv_rows(self.export("csv", self.http))
        for row in rows + exported:
            row["ended_by"] = ""  # the capture may go on, so nothing has ended what is open
        self.check(rows and rows == exported, "sharkd: flows.csv holds other records: %s" % (data and rows[:1]))

    def test_refused(self):
        home = os.path.join(self.tshark.folder, "home")
        usage = "FORMAT,PATH[,FILTER]"
        for argument, expected in (
                ("flowscope,export", usage), ("flowscope,export,", usage), ("flowscope,export,csv", usage),
                ("flowscope,export,csv,", usage), ("flowscope,export,csv,,tcp", usage),
                ("flowscope,export,json,x", "csv, eve or zeek"), ("flowscope,export,cs,x", usage),
                ("flowscope,exports,csv,x", "accepted are"),
                ("flowscope,export,csv,/proc/none/x", "cannot write /proc/none/x"),
                ("flowscope,export,csv," + home, "cannot write " + home),
                ("flowscope,export,csv,%s/untouched,tcp ===" % home, "bad display filter")):
            done = self.tshark.run("-q", "-r", self.http, "-z", argument)
            lines = [line for line in done.stderr.splitlines() if "flowscope" in line]
            self.check(done.returncode != 0 and len(lines) == 1 and expected in lines[0],
                       "-z %s: returned %d, said %s" % (argument, done.returncode, lines))
        self.check(not os.path.exists(os.path.join(home, "untouched")), "a bad filter makes a file")
        same = ("-z", "flowscope,export,csv,%s/same" % home)
        done = self.tshark.run("-q", "-r", self.http, *same, *same)
        self.check(done.returncode != 0 and "already" in done.stderr, "the same file twice: " + done.stderr)

    def complaint(self, done, expected):
        lines = [line for line in done.stderr.splitlines() if "flowscope" in line]
        self.check(done.returncode == 1 and len(lines) == 1 and expected in lines[0],
                   "%s: returned %d, said %s" % (expected, done.returncode, done.stderr))

    def test_full(self):
        """What fits is there, in whole lines, and other exports go on."""
        home = os.path.join(self.tshark.folder, "home")
        script = ('ulimit -f 8; trap "" XFSZ; tshark -n -q -r "$0" -z "flowscope,export,csv,$1" '
                  '-z flowscope,export,zeek,- -o flowscope.timeout_tcp:1 | cat; exit ${PIPESTATUS[0]}')
        whole = self.export("csv", self.many, "-o", "flowscope.timeout_tcp:1")
        path = os.path.join(home, "full.csv")
        done = self.tshark.run("-c", script, self.many, path, program="bash")
        self.complaint(done, "cannot write " + path)
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        self.check(len(whole.encode()) > 8192 and 0 < len(text) <= 8192 and text.endswith("\r\n") and len(csv_rows(text)) > 1,
                   "the file of a full disk ends with " + repr(text[-40:]))
        self.check(len(zeek_rows(done.stdout)) > len(csv_rows(text)), "another export ended with the one that failed")
        done = self.tshark.run("-q", "-r", self.many, "-z", "flowscope,export,csv,/dev/full")
        self.complaint(done, "cannot write /dev/full")
        self.complaint(self.tshark.run("-c", 'tshark -n -q -r "$0" -z flowscope,export,eve,- > /dev/full', self.many,
                                       program="bash"), "cannot write standard output")

    def test_closed_pipe(self):
        for form in FORMATS:
            read, write = os.pipe()
            os.close(read)
            # pylint: disable=subprocess-popen-preexec-fn
            done = subprocess.run(self.tshark.command("-q", "-r", self.many, "-z", "flowscope,export,%s,-" % form),
                                  stdout=write, stderr=subprocess.PIPE, text=True, check=False, cwd=self.tshark.folder,
                                  env=self.tshark.environment, preexec_fn=self.tshark.drop)
            os.close(write)
            self.complaint(done, "cannot write standard output")
        done = self.tshark.run("-c", 'tshark -n -q -r "$0" -z flowscope,export,csv,- | head -n 1', self.many, program="bash")
        self.check(done.stdout.startswith("flow,uid,") and done.stdout.count("\n") == 1, "| head -n 1: " + done.stdout[:99])


def chosen_captures():
    """Ours, and some of those of others."""
    paths = glob.glob(os.path.join(PCAPS, "recorded", "*.pcap*")) + glob.glob(os.path.join(PCAPS, "generated", "*.pcap*"))
    folder = support.captures_folder()
    if folder:
        others = [path for path in support.all_captures(folder) if os.path.getsize(path) < 3 << 20]
        paths += others[::max(1, len(others) // SHARED)]
    return sorted(paths)


def check_captures(tshark, results):
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for capture in pool.map(lambda path: Capture(tshark, path).run(), chosen_captures()):
            results.check(not capture.problems, "\n  ".join(capture.problems[:5]))
            counts += capture.counts
    for name, count in sorted(counts.items()):
        print("%8d  %s" % (count, name))
    results.check(counts["captures whose records sum up to the file's bytes"] > 40, "few captures sum up")
    if not os.path.exists(support.REPLAY):
        results.skip("records are not held against the core's: no flowscope-replay")
        return
    results.check(counts["captures whose records equal the core's in all formats"] > 60, "few captures were compared")
    for kind in ("http", "tls", "dns", "anomaly"):
        results.check(counts["events of EVE: " + kind] > 0, "no capture has an event of " + kind)


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        tests = Tests(results, tshark)
        for name in [name for name in dir(tests) if name.startswith("test_")]:
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            try:
                getattr(tests, name)()
            except Exception as error:  # pylint: disable=broad-except
                results.check(False, "%s: %s: %s" % (name, type(error).__name__, error))
        if not sys.argv[1:]:
            check_captures(tshark, results)
    results.close()


if __name__ == "__main__":
    main()
