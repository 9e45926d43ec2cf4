#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The plugin in every way in which Wireshark dissects: one pass, two passes, filters, live, redissected, disabled, sharkd."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from test_pcaps import table_rows  # noqa: E402

PCAPS = os.path.join(support.ROOT, "pcaps", "generated")
FIELDS = ["frame.number", "flowscope.flow", "flowscope.side", "flowscope.state", "flowscope.packets", "flowscope.bytes",
          "flowscope.previous_frame", "flowscope.rtt", "flowscope.anomaly"]


def fields(tshark, capture, names, *arguments):
    done = tshark.run("-r", capture, *arguments, "-T", "fields", *(part for name in names for part in ("-e", name)))
    return [line.split("\t") for line in done.stdout.splitlines()]


def table(tshark, capture, *arguments, argument="flowscope,flows"):
    return table_rows(tshark.run("-q", "-r", capture, *arguments, "-z", argument).stdout)


class Tests:
    def __init__(self, results, tshark):
        self.check, self.skip, self.tshark = results.check, results.skip, tshark
        self.tcp = tshark.readable(os.path.join(PCAPS, "many-flows.pcap"))
        self.vxlan = next(tshark.readable(os.path.join(PCAPS, name)) for name in sorted(os.listdir(PCAPS))
                          if name.startswith("tunnel-vxlan"))
        self.icmp = next(tshark.readable(os.path.join(PCAPS, name)) for name in sorted(os.listdir(PCAPS))
                         if name.startswith("icmp-unreachable"))

    def test_passes_agree(self):
        for capture in (self.tcp, self.vxlan, self.icmp):
            once = fields(self.tshark, capture, FIELDS)
            self.check(len(once) > 1 and any(row[1] for row in once), "no fields in one pass")
            self.check(fields(self.tshark, capture, FIELDS, "-2") == once, "two passes differ from one: " + capture)
            self.check(table(self.tshark, capture) == table(self.tshark, capture, "-2"),
                       "the table of two passes differs from that of one")

    def test_next_frame_is_known_on_the_second_pass(self):
        rows = fields(self.tshark, self.tcp, ["frame.number", "flowscope.previous_frame", "flowscope.next_frame"], "-2")
        following = {row[0]: row[2] for row in rows}
        wrong = [row for row in rows if row[1] and following[row[1]] != row[0]]
        self.check(not wrong and any(row[2] for row in rows), "next frames do not mirror previous ones: %s" % wrong[:3])

    def test_display_filter_changes_no_flow(self):
        every = {row[0]: row for row in fields(self.tshark, self.tcp, FIELDS)}
        chosen = fields(self.tshark, self.tcp, FIELDS, "-Y", "tcp.flags.fin == 1")
        self.check(chosen and all(row == every[row[0]] for row in chosen), "-Y changes fields")

    def test_read_filter(self):
        # Frame numbers are given again to what passes; the flows still saw every frame, as Wireshark's own do.
        done = fields(self.tshark, self.tcp, ["frame.number", "flowscope.flow", "tcp.stream", "udp.stream"], "-2", "-R",
                      "tcp.len > 0")
        flows = {}
        good = done and all(row[2] for row in done)
        for row in done:
            good = good and flows.setdefault(row[2], row[1]) == row[1]
        self.check(good and len(set(flows.values())) == len(flows), "-2 -R: flows and streams do not match")

    def test_same_output_in_every_run(self):
        first = self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope", "-z", "flowscope,flows").stdout
        self.check("Flow " in first and first == self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope", "-z",
                                                                 "flowscope,flows").stdout, "two runs differ")

    def test_sorted_by_first_packet_and_aligned(self):
        text = self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope,flows").stdout
        lines = text.splitlines()
        start = next(at for at, line in enumerate(lines) if line.startswith("Flow "))
        ids = [int(line.split()[0]) for line in lines[start + 1:] if line.strip()]
        self.check(ids == list(range(len(ids))) and len(ids) > 100, "rows are not in order of first packets")
        last = [line.rindex("  ") for line in lines[start:] if line.strip()]
        self.check(len(set(last)) == 1, "columns are not aligned")

    def test_filter_chooses_frames(self):
        rows = table(self.tshark, self.tcp, argument="flowscope,flows,tcp.flags.syn == 1 && tcp.flags.ack == 0")
        self.check(rows and all(row["packets_r"] == "0" and row["proto"] == "TCP" for row in rows),
                   "a filter does not choose the frames that are counted")
        stats = self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope,stats,udp").stdout
        self.check(re.search(r"^  UDP +\d+$", stats, re.M) and not re.search(r"^  TCP +\d+$", stats, re.M),
                   "a filter does not choose the frames of the summary")

    def test_several_tables_do_not_mix(self):
        one = self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope,stats").stdout
        two = self.tshark.run("-q", "-r", self.tcp, "-z", "flowscope,stats", "-z", "flowscope").stdout
        self.check(two == one + one, "two summaries differ from one, twice")

    def test_bad_arguments(self):
        cases = [("flowscope,foo", "accepted are"), ("flowscope,statsXYZ", "accepted are"),
                 ("flowscope,flowsXYZ", "accepted are"), ("flowscopefoo", None), ("flowscope,flows,ip.addr ===", "filter"),
                 ("flowscope,stats,no.such.field", "filter")]
        for argument, words in cases:
            done = self.tshark.run("-q", "-r", self.tcp, "-z", argument)
            said = [line for line in done.stderr.splitlines() if "flowscope" in line and line.strip() != "flowscope,flows"]
            self.check(done.returncode != 0, "-z %s is taken" % argument)
            if words:
                self.check(len(said) == 1 and words in said[0], "-z %s: %s" % (argument, done.stderr[-300:]))

    def test_unreadable_capture(self):
        done = self.tshark.run("-q", "-r", os.path.join(self.tshark.folder, "none.pcap"), "-z", "flowscope")
        self.check(done.returncode != 0 and "none.pcap" in done.stderr, "an unreadable capture is no error")

    def test_disabled_is_as_without(self):
        names = ["frame.number", "frame.protocols", "tcp.stream", "tcp.analysis.flags", "udp.length", "_ws.col.Info"]
        for capture in (self.tcp, self.vxlan, self.icmp):
            with support.Tshark(with_plugin=False) as plain:
                without = fields(plain, plain.readable(capture), names)
                text = plain.run("-r", plain.readable(capture), "-V").stdout
            self.check(without and fields(self.tshark, capture, names) == without, "the plugin changes other fields")
            disabled = ["--disable-protocol", "flowscope"]
            self.check(fields(self.tshark, capture, names, *disabled) == without, "disabled, it still changes fields")
            self.check(self.tshark.run("-r", capture, "-V", *disabled).stdout == text, "disabled, it is not as without")
            self.check(not any(row[1] for row in fields(self.tshark, capture, FIELDS[:2], *disabled)),
                       "disabled, it has fields")
            self.check(not any(row[1] for row in fields(self.tshark, capture, FIELDS[:2], "-o", "flowscope.track:FALSE")),
                       "switched off by preference, it has fields")

    def test_other_protocols_can_be_disabled(self):
        with support.Tshark(with_plugin=False) as plain:
            without = fields(plain, plain.readable(self.tcp), ["frame.protocols"], "--disable-protocol", "tcp")
        self.check(fields(self.tshark, self.tcp, ["frame.protocols"], "--disable-protocol", "tcp") == without,
                   "TCP cannot be disabled any more")

    def test_live_capture_from_a_pipe(self):
        with open(self.tcp, "rb") as capture:
            data = capture.read()
        # Text mode would spoil the bytes: hand them on as they are.
        done = self.tshark.run("-c", 'cat "$0" | tshark -n -i - -q -z flowscope,flows', self.tcp, program="sh")
        rows = table_rows(done.stdout) if "\nFlow " in done.stdout else []
        self.check(data and rows == table(self.tshark, self.tcp), "live capture: " + done.stderr[-300:])

    def test_sessions_start_anew(self):
        rows = fields(self.tshark, self.tcp, ["flowscope.flow", "flowscope.packets"], "-M", "50")
        self.check(rows and rows[0] == ["0", "1"] and rows[50] == ["0", "1"], "-M: dissection does not start anew")

    def test_conversations_and_endpoints(self):
        text = self.tshark.run("-q", "-r", self.tcp, "-z", "conv,flowscope").stdout
        found = len(re.findall(r"<->", text.partition("Flowscope Conversations")[2]))
        self.check(found == len(table(self.tshark, self.tcp)), "conv,flowscope has %d rows" % found)
        text = self.tshark.run("-q", "-r", self.tcp, "-z", "endpoints,flowscope").stdout
        self.check("Flowscope" in text and re.search(r"^\d+\.\d+\.\d+\.\d+ +\d+", text, re.M) is not None,
                   "endpoints,flowscope is empty")

    def test_columns(self):
        done = self.tshark.run("-r", self.tcp, "-c", "2", "-o",
                               'gui.column.format:"No.","%m","Flow","%Cus:flowscope.flow:0:R","State",'
                               '"%Cus:flowscope.state:0:R"')
        self.check(re.search(r"^ *1 +0 +\S+", done.stdout, re.M) is not None, "columns: " + done.stdout)

    def test_domains(self):
        vlan = self.tshark.readable(os.path.join(PCAPS, "vlan-collisions-udp.pcap"))
        apart = len(table(self.tshark, vlan, "-o", "flowscope.key_vlan:TRUE"))
        self.check(apart == 2 * len(table(self.tshark, vlan)), "VLANs are not kept apart")

    def test_limits(self):
        done = self.tshark.run("-q", "-r", self.tcp, "-o", "flowscope.max_flows:10", "-z", "flowscope,flows")
        self.check("were forgotten" in done.stdout and len(table_rows(done.stdout)) <= 20, "max_flows has no effect")
        rows = fields(self.tshark, self.tcp, FIELDS[:2], "-o", "flowscope.max_frames:5")
        self.check(all(row[1] for row in rows[:5]) and not any(row[1] for row in rows[5:]), "max_frames has no effect")
        rows = table(self.tshark, self.tcp, "-o", "flowscope.timeout_udp:0")
        self.check(len(rows) >= 100, "a timeout of 0 is not raised to 1")

    def test_quoted_packets(self):
        rows = fields(self.tshark, self.icmp, ["icmp.type", "flowscope.flow", "flowscope.quoted", "flowscope.packets"])
        errors = [row for row in rows if row[2]]
        self.check(errors and all(len(row[1].split(",")) == 2 and len(row[3].split(",")) == 1 for row in errors),
                   "an ICMP error does not name the flow that it quotes: %s" % errors[:2])

    def test_expert_infos_without_a_tree(self):
        text = self.tshark.run("-q", "-r", self.tshark.readable(os.path.join(PCAPS, "time-backwards.pcap")), "-z",
                               "expert").stdout
        self.check("Flowscope" in text, "no expert info")

    def test_sharkd(self):
        requests = [{"jsonrpc": "2.0", "id": 1, "method": "load", "params": {"file": self.tcp}},
                    {"jsonrpc": "2.0", "id": 2, "method": "frame", "params": {"frame": 1, "proto": True}},
                    {"jsonrpc": "2.0", "id": 3, "method": "tap", "params": {"tap0": "nstat:flowscope,flows"}},
                    {"jsonrpc": "2.0", "id": 4, "method": "tap", "params": {"tap0": "conv:Flowscope"}},
                    {"jsonrpc": "2.0", "id": 5, "method": "tap", "params": {"tap0": "nstat:flowscope,flows"}},
                    {"jsonrpc": "2.0", "id": 6, "method": "tap", "params": {"tap0": "nstat:flowscope,stats"}},
                    {"jsonrpc": "2.0", "id": 7, "method": "tap", "params": {"tap0": "nstat:flowscope,stats"}},
                    {"jsonrpc": "2.0", "id": 8, "method": "tap", "params": {"tap0": "nstat:flowscope,flows"}}]
        script = "\n".join(json.dumps(request) for request in requests) + "\n"
        done = self.tshark.run("-", program="sharkd", stdin=script)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not answers:
            self.skip("sharkd does not run here: " + done.stderr[-200:])
            return
        text = json.dumps(answers)
        self.check("Flowscope, flow 0" in text, "sharkd: no flow in the packet details")
        taps = [answer["result"]["taps"][0] for answer in answers if "taps" in answer.get("result", {})]
        flows = len(table(self.tshark, self.tcp))
        self.check(taps and len(taps[0]["tables"][0]["i"]) == flows, "sharkd: the table of flows is not complete")
        self.check(done.returncode == 0 and len(taps) == 6, "sharkd: a table cannot be asked for again: rc %d, %d tables" %
                   (done.returncode, len(taps)))
        self.check(len(taps) == 6 and taps[0] == taps[2] == taps[5] and taps[3] == taps[4],
                   "sharkd: the same table differs the second time")
        self.check(len(taps) > 1 and len(taps[1]["convs"]) == flows, "sharkd: conversations are not complete")


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
    results.close()


if __name__ == "__main__":
    main()
