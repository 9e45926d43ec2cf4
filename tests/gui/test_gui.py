#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wireshark's own window with the plugin: what it shows is copied out of it and held against what tshark says of the
same capture. Without the programs that this needs (window.py) the test is skipped.

FLOWSCOPE_PICTURES names a folder for a picture of each window that is opened."""
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from window import NEEDED, Screen, Wireshark, install_profiles, support, wait_for  # noqa: E402

TABLES = {"Flowscope Flows": "flowscope,flows", "Flowscope Sessions": "flowscope,sessions",
          "Flowscope Anomalies": "flowscope,anomalies", "Flowscope Duplicates": "flowscope,duplicates"}


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
    return want == [row[:-1] if len(row) == len(other) + 1 and row[-1] == "-" else row for row, other in zip(shown, want)] \
        + shown[len(want):]


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
        if title == "Flowscope Flows":
            check_sorting(results, wireshark, window)
            check_filter_and_save(results, wireshark, tshark, capture, window)
        wireshark.close_window(window)
    window = wireshark.statistics("Flowscope Summary")
    if results.check(window, "Statistics has no summary"):
        rows = wireshark.table(window)
        text = "\n".join(" ".join(row) for row in rows)
        results.check(re.search(r"^.*[Ff]rames? .*\b42\b", text, re.M), "summary shows %r" % text)
        wireshark.close_window(window)


def check_sorting(results, wireshark, window):
    """By every column that fits on the screen: rows stay whole, and numbers are in the order of numbers."""
    screen = wireshark.screen
    screen.do("windowsize", "--sync", window, "1500", "300")
    time.sleep(0.5)
    rows = wireshark.table(window)
    orders = set()
    for x in range(30, 1480, 60):
        screen.click(window, x, 20)
        if x % 240 == 30:
            shown = wireshark.table(window)
            orders.add(tuple(row[0] for row in shown))
            results.check(sorted(shown) == sorted(rows), "sorted at %d: %r of %r" % (x, shown, rows))
            results.check(any(is_sorted([row[c] for row in shown]) for c in range(len(rows[0]))),
                          "sorted at %d: by no column: %r" % (x, shown))
        if not results.check(wireshark.is_running(), "sorting by the column at %d ends Wireshark" % x):
            return
    results.check(len(orders) > 1, "no click on a header sorts: %r" % orders)


def is_sorted(cells):
    if len(set(cells)) < 2 or not all(re.match(r"^(\d+(\.\d+)?|-)$", cell) for cell in cells):
        return False
    values = [-1 if cell == "-" else float(cell) for cell in cells]
    return values in (sorted(values), sorted(values, reverse=True))


def check_filter_and_save(results, wireshark, tshark, capture, window):
    wireshark.filter_table(window, "flowscope.flow == 2")
    rows, want = wireshark.table(window), tshark_table(tshark, "flowscope,flows,flowscope.flow == 2", capture)
    results.check(len(want) == 1 and same_rows(rows, want), "filtered: %r instead of %r" % (rows, want))
    path = os.path.join(tshark.environment["HOME"], "table.txt")
    wireshark.button(window, 143)
    results.check(wireshark.answer("Save Statistics As", path), "Save as... opens no dialog")
    saved = wait_for(lambda: os.path.exists(path) and open(path, encoding="utf-8").read(), 5) or ""
    results.check(" ".join(want[0]) in " ".join(saved.split()), "saved %r" % saved)
    wireshark.filter_table(window, "")
    results.check(same_rows(wireshark.table(window), tshark_table(tshark, "flowscope,flows", capture)), "all rows again")


def check_hierarchy(results, wireshark, tshark, capture):
    window = wireshark.tree("Hierarchy")
    if not results.check(window, "Statistics > Flowscope has no Hierarchy"):
        return

    def counts(text):
        return re.findall(r"^( *\S+) +(\d+) ", text, re.M)
    shown = counts(wireshark.copy_table(window))
    want = counts(tshark.run("-q", "-z", "flowscope_tree,tree", "-r", capture).stdout)
    results.check(want and sorted(shown) == sorted(want), "hierarchy shows %r instead of %r" % (shown, want))
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


def check_tools(results, wireshark, tshark, capture, frames):
    screen = wireshark.screen
    wireshark.select(22)
    flow = frames[21]["flowscope.flow"]
    wireshark.tools(0)
    results.check(wireshark.filter() == "flowscope.flow == " + flow,
                  "Tools: filter of the flow is %r" % wireshark.filter())
    wireshark.tools(2)
    results.check(wireshark.filter() == "flowscope.flow == %s && flowscope.session.message" % flow,
                  "Tools: filter of messages is %r" % wireshark.filter())
    wireshark.set_filter("")
    wireshark.tools(3)
    results.check(wireshark.answer("Filter Flows by Number", "0, 2-3", lines=[20]), "Tools: no dialog for numbers")
    results.check(wireshark.filter() == "flowscope.flow in {0, 2..3}", "Tools: flows by number: %r" % wireshark.filter())
    wireshark.set_filter("")
    path = os.path.join(tshark.environment["HOME"], "records.csv")
    wireshark.tools(5)
    results.check(wireshark.answer("Export Records", "csv", path, lines=[20, 48]), "Tools: no dialog for export")
    wait_for(lambda: os.path.exists(path), 5)
    window = screen.window("Flowscope Export", 5)
    if results.check(window and os.path.exists(path), "Tools: nothing exported: %r" % screen.titles()):
        wireshark.close_window(window)
        want = tshark.run("-q", "-2", "-r", capture, "-z", "flowscope,export,csv,-").stdout
        with open(path, encoding="utf-8") as file:
            results.check(sorted(file.read().splitlines()) == sorted(want.splitlines()) and want.count("\n") > 3,
                          "Tools: exported other records than tshark")
    for entry, title in ((1, "Wireshark · Flowscope$"), (6, "About Flowscope")):
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
        check_tools(results, wireshark, tshark, capture, frames)
        check_conversation_filter(results, wireshark, frames)
        check_conversations(results, wireshark, flows)
        check_tables(results, wireshark, tshark, capture)
        check_hierarchy(results, wireshark, tshark, capture)
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
            wireshark.tools(4)
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


def test_duplicates(results, screen, tshark):
    """Copies, and where they were captured."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "mirror-two-interfaces.pcapng"))
    text = tshark.run("-q", "-z", "flowscope,duplicates", "-r", capture).stdout
    copies, pairs = ([line.split() for line in part.split("\n")[2:]] for part in text.strip("\n").split("\n\n"))
    wireshark = Wireshark(screen, tshark, capture)
    try:
        for title, want in (("Flowscope Duplicates", copies), ("Flowscope Duplicates by Place", pairs)):
            window = wireshark.statistics(title)
            if results.check(window, "Statistics has no %r" % title):
                rows = wireshark.table(window)
                results.check(len(want) > 1 and rows == want, "%s shows %r instead of %r" % (title, rows[:3], want[:3]))
                wireshark.close_window(window)
        wireshark.select(int(copies[0][0]))
        results.check(wireshark.row()[0].get("Copy of") == copies[0][2], "row of a copy: %r" % wireshark.row()[0])
        wireshark.set_filter("flowscope.duplicate.pair == 1")
        results.check(wireshark.row()[0].get("No.") in {row[0] for row in copies if row[-1] == "1"},
                      "a pair's filter shows %r" % wireshark.row()[0])
    finally:
        wireshark.close()


class Feed:
    """A pipe that Wireshark captures from. When it is closed, the capture ends."""

    def __init__(self, path, data):
        self.pipe = os.open(path, os.O_RDWR)  # so that opening does not wait for Wireshark
        self.write(data)

    def write(self, data):
        os.write(self.pipe, data)

    def close(self):
        os.close(self.pipe)


def live_table(tshark, capture):
    """What is the end of the input to tshark still goes on in the window."""
    return [["live" if cell == "end-of-input" else cell for cell in row]
            for row in tshark_table(tshark, "flowscope,flows", capture)]


def check_live_table(results, wireshark, window, want, when):
    wireshark.button(window, 50, 53)  # Apply
    time.sleep(1)
    rows = wireshark.table(window)
    results.check(want and same_rows(rows, want), "%s: %r instead of %r" % (when, rows, want))


def test_live(results, screen, tshark):
    """Packets that arrive bit by bit through a pipe: the list, the tables when they are applied again; the end of the
    capture, dissecting anew, and another file after it."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "http.pcapng"))
    plain = os.path.join(tshark.environment["HOME"], "live.pcap")
    part = plain + ".part"
    tshark.run("-r", capture, "-F", "pcap", "-w", plain)
    tshark.run("-r", capture, "-c", "12", "-F", "pcap", "-w", part)
    with open(plain, "rb") as whole, open(part, "rb") as begin:
        data, first = whole.read(), len(begin.read())
    path = os.path.join(tshark.folder, "live.fifo")
    os.mkfifo(path)
    os.chmod(path, 0o666)
    source = Feed(path, data[:first])
    wireshark = Wireshark(screen, tshark, path, source="-k -i")
    try:
        wireshark.select(8)
        row = wireshark.row()[0]
        results.check(row.get("No.") == "8" and row.get("Flow") == "0" and "200" in row.get("Message", ""),
                      "live: row 8 is %r" % row)
        window = wireshark.statistics("Flowscope Flows")
        if not results.check(window, "live: no table of flows"):
            return
        check_live_table(results, wireshark, window, live_table(tshark, part), "live")
        source.write(data[first:])
        time.sleep(2)
        check_live_table(results, wireshark, window, live_table(tshark, plain), "live, applied again")
        source.close()
        time.sleep(2)
        check_live_table(results, wireshark, window, tshark_table(tshark, "flowscope,flows", plain), "at the end")
        wireshark.to_front()
        screen.keys("ctrl+shift+l")
        time.sleep(1)
        check_live_table(results, wireshark, window, tshark_table(tshark, "flowscope,flows", plain), "dissected anew")
        wireshark.close_window(window)
        check_next_file(results, wireshark, tshark)
        results.check(wireshark.is_running(), "live: Wireshark ended")
    finally:
        wireshark.close()


def discard(wireshark):
    """What was captured is not saved; it need not be."""
    if wireshark.screen.window("Unsaved packets", 5):
        wireshark.screen.keys("alt+w")


def check_next_file(results, wireshark, tshark):
    """Another file, opened in the same window: nothing is left of the one before."""
    screen = wireshark.screen
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tcp-injected.pcap"))
    wireshark.to_front()
    screen.keys("ctrl+o")
    results.check(wireshark.answer("Open Capture File", capture), "no dialog to open a file: %r" % screen.titles())
    discard(wireshark)
    wireshark.main = screen.window("^" + re.escape(os.path.basename(capture)), 10)
    if not results.check(wireshark.main, "the next file is not opened: %r" % screen.titles()):
        return
    time.sleep(1)
    window = wireshark.statistics("Flowscope Flows")
    rows, want = wireshark.table(window) if window else [], tshark_table(tshark, "flowscope,flows", capture)
    results.check(same_rows(rows, want), "next file: %r instead of %r" % (rows, want))


TESTS = (test_http, test_anomalies, test_carrier, test_duplicates, test_live)


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
            for test in TESTS:
                if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
                    test(results, screen, tshark)
        except RuntimeError as error:
            results.check(False, str(error))
        finally:
            if screen:
                screen.close()
    results.close()


if __name__ == "__main__":
    main()
