#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wireshark's own window with the plugin, on an X server without a screen: what it shows is copied out of it, as a user
would, and held against what tshark says of the same capture.

Needs Xvfb, openbox, xdotool, xclip and wireshark (scripts/deps ci); without them the test is skipped."""
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "plugin"))
import support  # noqa: E402

NEEDED = ("Xvfb", "openbox", "xdotool", "xclip", "wireshark")
PATIENCE = 60  # seconds until a window must be there
PROFILES = os.path.join(support.ROOT, "plugin", "profiles")
TABLES = {"Flowscope Flows": "flowscope,flows", "Flowscope Sessions": "flowscope,sessions",
          "Flowscope Anomalies": "flowscope,anomalies"}


def wait_for(condition, patience=PATIENCE, step=0.2):
    """What the condition returns, as soon as that is something; None when patience is over."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value or None
        time.sleep(step)


class Screen:
    """An X server with a window manager; both are ours and end with us."""

    def __init__(self):
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"], pass_fds=[write],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        self.display = ":" + number
        self.environment = {**os.environ, "DISPLAY": self.display}
        self.manager = subprocess.Popen(["openbox"], env=self.environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def close(self):
        for process in (self.manager, self.server):
            process.terminate()
            process.wait(30)

    def do(self, *arguments):
        done = subprocess.run(["xdotool", *arguments], env=self.environment, capture_output=True, text=True,
                              check=False, timeout=PATIENCE)
        return done.stdout.split("\n")[:-1]

    def keys(self, *keys):
        self.do("key", "--delay", "60", *keys)

    def windows(self, title):
        return self.do("search", "--onlyvisible", "--name", title)

    def all_windows(self):
        """Menus, which have no title, too."""
        return set(self.do("search", "--onlyvisible", "--class", "."))

    def window(self, title, patience=PATIENCE):
        found = wait_for(lambda: self.windows(title), patience)
        return found[0] if found else None

    def raise_window(self, window):
        self.do("windowactivate", "--sync", window)
        time.sleep(0.3)

    def titles(self):
        return {window: "".join(self.do("getwindowname", window)) for window in self.windows(".")}

    def size(self, window):
        shell = dict(line.split("=") for line in self.do("getwindowgeometry", "--shell", window))
        return int(shell["WIDTH"]), int(shell["HEIGHT"])

    def click(self, window, x, y):
        self.do("mousemove", "--window", window, str(x), str(y), "click", "1")

    def empty_clipboard(self):
        subprocess.run(["xclip", "-selection", "clipboard", "-i"], env=self.environment, input="nothing was copied",
                       text=True, check=False, timeout=PATIENCE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def clipboard(self, patience=2):
        """What was copied since empty_clipboard(); None if nothing was."""
        def text():
            try:
                done = subprocess.run(["xclip", "-selection", "clipboard", "-o"], env=self.environment,
                                      capture_output=True, text=True, check=False, timeout=5)
            except subprocess.TimeoutExpired:
                return None
            return done.stdout if done.returncode == 0 and done.stdout != "nothing was copied" else None
        return wait_for(text, patience)


class Wireshark:
    """The program, as the same user as tshark, with the shipped profiles."""

    def __init__(self, screen, tshark, capture, *arguments):
        self.screen, self.name = screen, re.escape(os.path.basename(capture))
        runtime = os.path.join(tshark.folder, "runtime")
        if not os.path.isdir(runtime):
            os.mkdir(runtime, 0o700)
            if tshark.user:
                os.chown(runtime, tshark.user.pw_uid, tshark.user.pw_gid)
        self.process = subprocess.Popen(
            ["wireshark", "-n", "-C", "Flowscope", "-r", capture, *arguments], cwd=tshark.folder,
            preexec_fn=tshark.drop, env={**tshark.environment, "DISPLAY": screen.display, "XDG_RUNTIME_DIR": runtime},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.main = screen.window("^" + self.name)
        if not self.main:
            raise RuntimeError("no window of Wireshark; the screen has %r" % screen.titles())
        screen.do("windowsize", "--sync", self.main, "1580", "940")
        self.to_front()
        time.sleep(2)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def is_running(self):
        return self.process.poll() is None

    def to_front(self):
        self.screen.raise_window(self.main)

    def close_window(self, window):
        self.screen.raise_window(window)
        self.screen.keys("Escape")
        wait_for(lambda: window not in self.screen.windows("."), 5)

    def select(self, frame):
        self.to_front()
        self.screen.keys("ctrl+g")
        time.sleep(0.3)
        self.screen.do("type", "--delay", "30", str(frame))
        self.screen.keys("Return")
        time.sleep(0.5)

    def copy(self, *keys):
        self.to_front()
        self.screen.empty_clipboard()
        self.screen.keys(*keys)
        return self.screen.clipboard(10)

    def row(self):
        """The selected packet's row of the list, by Edit > Copy > As CSV: by column."""
        rows = list(csv.reader(io.StringIO(self.copy("alt+e", "Return", "c") or "")))
        return dict(zip(rows[0], rows[1])) if len(rows) > 1 else {"No.": "".join(rows[0]) if rows else ""}, rows

    def filter(self):
        """The display filter, out of its field."""
        return self.copy("ctrl+slash", "ctrl+a", "ctrl+c")

    def set_filter(self, text):
        self.to_front()
        self.screen.keys("ctrl+slash", "ctrl+a", "BackSpace")
        if text:
            self.screen.do("type", "--delay", "30", text)
        self.screen.keys("Return")
        time.sleep(1)

    def tools(self, entry):
        """Choose the n-th entry of Tools > Flowscope, which is the last one there."""
        self.to_front()
        self.screen.keys("alt+t", "Up", "Right", *["Down"] * entry, "Return")
        time.sleep(1)

    def statistics(self, title):
        """Open a table by the Statistics menu. Its place differs from version to version."""
        for place in range(9, 30):
            before = set(self.screen.windows("."))
            self.to_front()
            self.screen.keys("alt+s", *["Down"] * place, "Return")
            new = wait_for(lambda: set(self.screen.windows(".")) - before, 3)
            if new:
                window = new.pop()
                wait_for(lambda: self.screen.titles().get(window), 5)
                if title in self.screen.titles().get(window, ""):
                    return window
                self.close_window(window)
            else:
                self.screen.keys("Escape", "Escape", "Escape")
        return None

    def table(self, window):
        """The rows of a table, by its button Copy: lists of cells."""
        self.screen.raise_window(window)
        width, height = self.screen.size(window)
        for from_right in range(300, 180, -13):
            self.screen.empty_clipboard()
            self.screen.click(window, width - from_right, height - 24)
            text = self.screen.clipboard(1)
            if text:
                # A title between lines of "=", the header, and the rows between lines of "-".
                parts = re.split(r"^-{8,}$", text, flags=re.M)
                return [line.split() for line in parts[1].split("\n") if line.strip()] if len(parts) > 1 else []
        return []

    def conversations(self, window):
        """The rows of the tab in front, by Copy > as CSV."""
        self.screen.raise_window(window)
        for y in range(200, 300, 14):
            self.screen.empty_clipboard()
            before = self.screen.all_windows()
            self.screen.click(window, 100, y)
            # Beside the button, Return would close the dialog.
            if not wait_for(lambda: self.screen.all_windows() - before, 1):
                continue
            self.screen.keys("Down", "Return")
            text = self.screen.clipboard(1)
            if text:
                return list(csv.DictReader(io.StringIO(text)))
        return []


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
        profiles = os.path.join(tshark.environment["HOME"], ".config", "wireshark", "profiles")
        shutil.copytree(PROFILES, profiles)
        if tshark.user:
            for folder, _, names in os.walk(os.path.join(tshark.environment["HOME"], ".config")):
                for name in [folder] + [os.path.join(folder, name) for name in names]:
                    os.chown(name, tshark.user.pw_uid, tshark.user.pw_gid)
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
