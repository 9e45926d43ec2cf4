#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wireshark's own window with the plugin: what it shows is copied out of it and held against what tshark says of the
same capture. Without the programs that this needs (window.py) the test is skipped."""
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from window import NEEDED, Screen, Wireshark, install_profiles, support  # noqa: E402

TABLES = {"Flowscope Flows": "flowscope,flows", "Flowscope Sessions": "flowscope,sessions",
          "Flowscope Anomalies": "flowscope,anomalies"}


def tshark_table(tshark, argument, capture):
    """Rows of a -z table of tshark: those below its header, up to an empty line."""
    lines = tshark.run("-q", "-z", argument, "-r", capture).stdout.strip("\n").split("\n")
    start = next(n for n, line in enumerate(lines) if re.match(r"\s*(Flow|Frame)\s", line))
    rows = []
    for line in lines[start + 1:]:
        if not line.strip():
            break
        rows.append(line.split())
    return rows


def same_rows(shown, want):
    """The window has a column Domain, which tshark prints only where preferences give flows one."""
    shown = [row[:-1] if len(row) == len(other) + 1 and row[-1] == "-" else row for row, other in zip(shown, want)] \
        + shown[len(want):]
    return as_numbers(shown) == as_numbers(want)


def as_numbers(rows):
    """4.0 and 4.4 show numbers with six decimals; tshark with three."""
    def number(cell):
        return float(cell) if re.match(r"^\d+\.\d+$", cell) else cell
    return [[number(cell) for cell in row] for row in rows]


def tshark_frames(tshark, capture, *fields):
    options = [option for field in fields for option in ("-e", field)]
    text = tshark.run("-2", "-r", capture, "-T", "fields", *options).stdout
    return [dict(zip(fields, line.split("\t"))) for line in text.split("\n")[:-1]]


def check_rows(results, wireshark, frames):
    for number in (1, 8, 22):
        wireshark.select(number)
        row, raw = wireshark.row()
        want = frames[number - 1]
        shown = {"flowscope.flow": row.get("Flow"), "flowscope.state": row.get("State"),
                 "flowscope.segment": row.get("Segment"), "flowscope.stream_offset": row.get("Offset"),
                 "flowscope.session.message": row.get("Message")}
        want = {field: want[field] for field in shown}
        results.check(row.get("No.") == str(number) and shown == want,
                      "row %d shows %r instead of %r (copied: %r)" % (number, shown, want, raw))


def check_details(results, wireshark):
    wireshark.select(8)
    text = wireshark.copy("ctrl+alt+shift+a") or ""
    results.check(re.search(r"^\[?Flowscope, flow 0, TCP 127\.0\.0\.1:40001 [→←] 127\.0\.0\.1:8080", text, re.M),
                  "packet details have no flow: %r" % text)


def check_tables(results, wireshark, tshark, capture):
    for title, argument in TABLES.items():
        window = wireshark.statistics(title)
        if not results.check(window, "Statistics has no %r" % title):
            continue
        results.check(re.search(wireshark.name, wireshark.screen.titles()[window]), "title of %r" % title)
        rows = wireshark.table(window)
        want = tshark_table(tshark, argument, capture)
        results.check(same_rows(rows, want), "%s shows\n%r\ninstead of\n%r" % (title, rows, want))
        wireshark.close_window(window)
    window = wireshark.statistics("Flowscope Summary")
    if results.check(window, "Statistics has no summary"):
        rows = wireshark.table(window)
        text = "\n".join(" ".join(row) for row in rows)
        results.check(re.search(r"^.*[Ff]rames? .*\b42\b", text, re.M), "summary shows %r" % text)
        wireshark.close_window(window)


def check_conversations(results, wireshark, flows):
    wireshark.to_front()
    wireshark.screen.keys("alt+s", "c")
    window = wireshark.screen.window("Conversations", 20)
    if not results.check(window, "Statistics > Conversations did not open"):
        return
    # The first tab is in front; Address A and the packets of each side tell whose rows they are.
    shown = sorted((row["Address A"] + ":" + row.get("Port A", "?"), row["Address B"] + ":" + row.get("Port B", "?"),
                    row["Packets A → B"], row["Packets B → A"]) for row in wireshark.conversations(window))
    # Columns of flowscope,flows: initiator and responder, packets of each.
    want = sorted((row[4], row[5], row[10], row[11]) for row in flows)
    results.check(shown == want, "Conversations show %r instead of %r" % (shown, want))
    wireshark.close_window(window)


def check_tools(results, wireshark, frames):
    wireshark.select(22)
    flow = frames[21]["flowscope.flow"]
    wireshark.tools(0)
    results.check(wireshark.filter() == "flowscope.flow == " + flow,
                  "Tools: filter of the flow is %r" % wireshark.filter())
    wireshark.tools(2)
    results.check(wireshark.filter() == "flowscope.flow == %s && flowscope.session.message" % flow,
                  "Tools: filter of messages is %r" % wireshark.filter())
    wireshark.set_filter("")
    for entry, title in ((1, "Wireshark · Flowscope$"), (4, "About Flowscope")):
        wireshark.select(22)
        wireshark.tools(entry)
        window = wireshark.screen.window(title, 20)
        if results.check(window, "Tools: entry %d opens no %r: %r" % (entry, title, wireshark.screen.titles())):
            wireshark.close_window(window)


def check_conversation_filter(results, wireshark, frames):
    """Analyze > Conversation Filter: the entry is found by what it does."""
    want = "flowscope.flow == " + frames[21]["flowscope.flow"]
    seen = []
    for down in (6, 5, 7):
        for place in range(12):
            wireshark.set_filter("")
            wireshark.select(22)
            wireshark.screen.keys("alt+a", *["Down"] * down, "Right", *["Down"] * place, "Return")
            time.sleep(0.7)
            seen.append(wireshark.filter())
            if seen[-1] == want:
                results.check(True, "")
                wireshark.set_filter("")
                return
            wireshark.screen.keys("Escape", "Escape")
            if not seen[-1] or (place and seen[-1] == seen[0]):
                break
    results.check(False, "Conversation Filter has no Flowscope flow: %r" % seen)


def test_http(results, screen, tshark):
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "http.pcapng"))
    frames = tshark_frames(tshark, capture, "frame.number", "flowscope.flow", "flowscope.state", "flowscope.segment",
                           "flowscope.stream_offset", "flowscope.session.message")
    flows = tshark_table(tshark, "flowscope,flows", capture)
    wireshark = Wireshark(screen, tshark, capture)
    try:
        check_rows(results, wireshark, frames)
        check_details(results, wireshark)
        check_tools(results, wireshark, frames)
        check_conversation_filter(results, wireshark, frames)
        check_conversations(results, wireshark, flows)
        check_tables(results, wireshark, tshark, capture)
        results.check(wireshark.is_running(), "Wireshark ended")
    finally:
        wireshark.close()


def test_anomalies(results, screen, tshark):
    """Tables by -z, carriers, and going from anomaly to anomaly."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tcp-blind-reset.pcap"))
    want = tshark_table(tshark, "flowscope,anomalies", capture)
    wireshark = Wireshark(screen, tshark, capture, "-z", "flowscope,anomalies")
    try:
        window = screen.window("Flowscope Anomalies")
        if results.check(window, "-z flowscope,anomalies opens no window"):
            rows = wireshark.table(window)
            results.check(same_rows(rows, want), "-z flowscope,anomalies shows\n%r\ninstead of\n%r" % (rows, want))
            wireshark.close_window(window)
        wireshark.select(1)
        went = []
        for _ in range(len(want) + 1):
            wireshark.tools(3)
            went.append(wireshark.row()[0].get("No."))
        results.check(went == [row[0] for row in want + want[:1]], "Next Anomaly went to %r" % went)
    finally:
        wireshark.close()


def test_carrier(results, screen, tshark):
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tunnel-vxlan.pcap"))
    flows = tshark_table(tshark, "flowscope,flows", capture)
    parent = next(row[1] for row in flows if row[1] != "-")
    wireshark = Wireshark(screen, tshark, capture)
    try:
        wireshark.select(2)
        wireshark.tools(1)
        results.check(wireshark.filter() == "flowscope.flow == " + parent,
                      "filter of the carrier: %r" % wireshark.filter())
    finally:
        wireshark.close()


def main():
    results = support.Results()
    missing = [program for program in NEEDED if not shutil.which(program)]
    if missing:
        results.skip("no %s (scripts/deps ci installs them)" % ", ".join(missing))
        results.close()
    with support.Tshark() as tshark:
        install_profiles(tshark)
        screen = None
        try:
            screen = Screen()
            for test in (test_http, test_anomalies, test_carrier):
                test(results, screen, tshark)
        except RuntimeError as error:
            results.check(False, str(error))
        finally:
            if screen:
                screen.close()
    results.close()


if __name__ == "__main__":
    main()
