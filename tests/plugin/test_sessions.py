#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Messages of applications in tshark: held against the library's own over the same captures, against Wireshark's fields,
and from pass to pass."""
import collections
import csv
import io
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

RECORDED = os.path.join(support.ROOT, "pcaps", "recorded")
# Captures of others that hold the three protocols in plain packets, which both front ends decode alike.
OTHERS = ["http.pcapng", "dns.pcap", "tls-rdn-extract.pcap", "http_ipv6.pcap", "mdns.pcap", "whatsapp.pcap", "zoom.pcap",
          "dns_doh.pcap", "facebook.pcap", "instagram.pcap", "netflix.pcap", "signal.pcap", "1kxun.pcap",
          "http-lines-split.pcap", "dns2tcp_tunnel.pcap", "google_ssl.pcap", "tls_long_cert.pcap", "reddit.pcap"]
# The library alone looks for no duplicates, and gives up holes that are old.
LIKE_CORE = ("-o", "flowscope.duplicates:ignore", "-o", "flowscope.reassembly_deadline:1000")
FIELDS = ["frame.number", "flowscope.flow", "flowscope.session.message", "flowscope.session.request_in",
          "flowscope.session.response_in", "flowscope.session.time", "flowscope.session.unanswered"]


def fields(tshark, capture, *arguments):
    """{frame: {field: values}} of the frames with a message."""
    names = [word for field in FIELDS for word in ("-e", field)]
    # Messages hold commas.
    text = tshark.run(*arguments, "-r", capture, "-Y", "flowscope.session.message", "-T", "fields", "-E", "aggregator=;",
                      *names).stdout
    return {row[0]: dict(zip(FIELDS, row)) for row in (line.split("\t") for line in text.splitlines())}


def messages(capture):
    """Rows of the library's messages."""
    done = subprocess.run([support.REPLAY, "--messages", capture], capture_output=True, text=True, check=False)
    return list(csv.DictReader(io.StringIO(done.stdout))) if done.returncode == 0 else None


def check_front_ends(tshark, results, path):
    capture = tshark.readable(path)
    name = os.path.basename(path)
    core = messages(capture)
    if core is None:
        results.skip(name + ": libpcap cannot read it")
        return 0
    text = tshark.run("-q", "-r", capture, *LIKE_CORE, "-z", "flowscope,sessions").stdout
    head = re.search(r"Flowscope: (\d+) messages", text)
    shown = collections.Counter()
    for values in fields(tshark, capture, "-2", *LIKE_CORE).values():
        shown.update(values["flowscope.session.message"].split(";"))
    expected = collections.Counter(row["text"] for row in core if row["kind"] != "unanswered")
    # The fields of a frame are joined by a character that messages may hold, too.
    same = sum(shown.values()) >= sum(expected.values()) if any(";" in text for text in expected) else shown == expected
    results.check(same, "%s: messages only in tshark %s, only in the library %s" % (
        name, list((shown - expected).elements())[:3], list((expected - shown).elements())[:3]))
    requests = collections.Counter((row["flow"], row["exchange"]) for row in core if row["kind"] == "request")
    answers = {(row["flow"], row["exchange"]) for row in core if row["kind"] == "response"}
    rows = sum(row["kind"] in ("response", "notice") for row in core) + sum(
        1 if key[1] != "0" else count for key, count in requests.items() if key not in answers)  # sent again: one row
    results.check(head and int(head[1]) == rows, "%s: flowscope,sessions has %s rows, expected %d" % (
        name, head and head[1], rows))
    return sum(expected.values())


def check_passes(tshark, results):
    """Links and times: the second pass knows both directions, and nothing else changes."""
    for name in ("http", "dns", "tls"):
        capture = tshark.readable(os.path.join(RECORDED, name + ".pcapng"))
        one, two = fields(tshark, capture), fields(tshark, capture, "-2")
        # What the end of the capture cuts short is known on the second pass.
        whole = {frame for frame, row in two.items() if "incomplete" not in row["flowscope.session.message"]}
        results.check(one.keys() >= whole and one, name + ": messages differ from pass to pass")
        for frame, row in two.items():
            answer = row["flowscope.session.response_in"]
            results.check(not answer or two[answer]["flowscope.session.request_in"] == frame,
                          "%s: frames %s and %s are not linked" % (name, frame, answer))
            results.check(frame not in whole or one[frame]["flowscope.session.message"] == row["flowscope.session.message"],
                          "%s: frame %s has another message on the second pass" % (name, frame))


def check_wireshark(tshark, results):
    """Wireshark's own links between requests and responses."""
    for name, protocol, time in (("http", "http", None), ("dns", "dns", "dns.time")):
        capture = tshark.readable(os.path.join(RECORDED, name + ".pcapng"))
        request_in = protocol + (".request_in" if protocol == "http" else ".response_to")
        text = tshark.run("-2", "-r", capture, "-Y", request_in, "-T", "fields", "-e", "frame.number", "-e", request_in,
                          *(["-e", time] if time else [])).stdout
        ours = fields(tshark, capture, "-2")
        for line in text.splitlines():
            frame, request, *times = line.split("\t")
            results.check(ours.get(frame, {}).get("flowscope.session.request_in") == request,
                          "%s: frame %s answers %s for Wireshark" % (name, frame, request))
            if times:
                results.check(abs(float(ours[frame]["flowscope.session.time"]) - float(times[0])) < 1e-6,
                              "%s: frame %s: other response time" % (name, frame))


def check_table(tshark, results):
    dns = tshark.readable(os.path.join(RECORDED, "dns.pcapng"))
    text = tshark.run("-q", "-r", dns, "-z", "flowscope,sessions").stdout
    results.check("requests without a response: 1" in text and " unanswered " in text, "no unanswered request:\n" + text)
    results.check(re.search(r"^dns 127\.0\.0\.1:53 +6 ", text, re.M), "no response times:\n" + text)
    ssh = tshark.readable(os.path.join(RECORDED, "ssh.pcapng"))
    text = tshark.run("-q", "-r", ssh, "-d", "tcp.port==2222,ssh", "-z", "flowscope,sessions", "-z",
                      "flowscope,flows").stdout
    results.check(re.search(r"^ssh, turns 127\.0\.0\.1:2222 +\d+ ", text, re.M), "no turns of SSH:\n" + text)
    results.check(re.search(r" TCP +ssh +127", text), "SSH is not the application of its flow:\n" + text)
    chosen = tshark.run("-q", "-r", dns, "-z", "flowscope,sessions,dns.qry.type == 28").stdout
    results.check("Flowscope: 2 messages" in chosen, "the filter does not choose:\n" + chosen)
    few = tshark.run("-q", "-r", dns, "-o", "flowscope.max_messages:3", "-z", "flowscope,sessions").stdout
    results.check("messages were not kept" in few, "max_messages says nothing:\n" + few)
    off = tshark.run("-q", "-r", dns, "-o", "flowscope.sessions:FALSE", "-z", "flowscope,sessions").stdout
    results.check("Flowscope: 0 messages" in off, "sessions cannot be switched off")
    tls = tshark.readable(os.path.join(RECORDED, "tls.pcapng"))
    text = tshark.run("-r", tls, "-Y", "flowscope.session.ja4", "-T", "fields", "-e", "flowscope.session.ja3", "-e",
                      "tls.handshake.ja3").stdout
    results.check(text and all(len(set(line.split("\t"))) == 1 for line in text.splitlines()),
                  "JA3 is not Wireshark's: " + text)


def check_one_side(tshark, results):
    """Of a capture of one side there is a row for each message, which says what it lacks."""
    whole = tshark.readable(os.path.join(RECORDED, "http.pcapng"))
    for side, expected, other in (("dst", "unanswered", "no-request"), ("src", "no-request", "unanswered")):
        capture = os.path.join(tshark.folder, "home", "one-side.pcap")
        tshark.run("-r", whole, "-w", capture, "-F", "pcap", "-Y", "tcp.%sport == 8080" % side)
        text = tshark.run("-q", "-r", capture, "-z", "flowscope,sessions").stdout
        rows = [line for line in text.splitlines() if re.match(r" *\d+ +\d+\.\d+ ", line)]
        results.check(rows and all(expected in row and other not in row for row in rows),
                      "one side (%s): the rows are\n%s" % (side, text))


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        check_passes(tshark, results)
        check_wireshark(tshark, results)
        check_table(tshark, results)
        check_one_side(tshark, results)
        count = 0
        for name in sorted(os.listdir(RECORDED)):
            if name.endswith(".pcapng"):
                count += check_front_ends(tshark, results, os.path.join(RECORDED, name))
        folder = support.captures_folder()
        if not folder:
            results.skip("captures of others: no ../shared/captures")
        for path in support.all_captures(folder) if folder else ():
            if os.path.basename(path) in OTHERS:
                count += check_front_ends(tshark, results, path)
    print("%8d  messages compared with the library's" % count)
    results.close()


if __name__ == "__main__":
    main()
