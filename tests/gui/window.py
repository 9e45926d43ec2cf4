# SPDX-License-Identifier: MIT
"""Wireshark's own window with the plugin, on an X server without a screen, driven by keys and the mouse; what it shows
is copied out of it, as a user would.

Needs Xvfb, openbox, xdotool, xclip and wireshark (scripts/deps ci); pictures need ImageMagick too."""
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


def wait_for(condition, patience=PATIENCE, step=0.2):
    """What the condition returns, as soon as that is something; None when patience is over."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value or None
        time.sleep(step)


def install_profiles(tshark):
    """Where the user has profiles of his own."""
    configuration = os.path.join(tshark.environment["HOME"], ".config")
    shutil.copytree(PROFILES, os.path.join(configuration, "wireshark", "profiles"))
    if not tshark.user:
        return
    for folder, _, names in os.walk(configuration):
        for name in [folder] + [os.path.join(folder, name) for name in names]:
            os.chown(name, tshark.user.pw_uid, tshark.user.pw_gid)


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

    def photograph(self, path, window="root"):
        subprocess.run(["import", "-window", window, *([] if window == "root" else ["-frame"]), "-depth", "8", "-strip",
                        "-quality", "95", path],
                       env=self.environment, check=True, timeout=PATIENCE)

    def keep_picture(self, window):
        """For whoever wants to see what was tested."""
        folder = os.environ.get("FLOWSCOPE_PICTURES")
        if folder and shutil.which("import"):
            title = re.sub(r"[^A-Za-z]+", "-", self.titles().get(window, "window")).strip("-")
            time.sleep(0.5)
            self.photograph(os.path.join(folder, "%02d-%s.png" % (len(os.listdir(folder)), title)))

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

    places = {}  # of entries in the Statistics menu, found so far

    def __init__(self, screen, tshark, capture, *arguments, source="-r", profile="Flowscope", patience=PATIENCE):
        self.screen, self.name = screen, re.escape(os.path.basename(capture))
        runtime = os.path.join(tshark.folder, "runtime")
        if not os.path.isdir(runtime):
            os.mkdir(runtime, 0o700)
            if tshark.user:
                os.chown(runtime, tshark.user.pw_uid, tshark.user.pw_gid)
        self.process = subprocess.Popen(
            ["wireshark", "-n", "-C", profile, *source.split(), capture, *arguments], cwd=tshark.folder,
            preexec_fn=tshark.drop, env={**tshark.environment, "DISPLAY": screen.display, "XDG_RUNTIME_DIR": runtime},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.main = screen.window("^" + self.name if source == "-r" else "^Capturing from ", patience)
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

    def choose_statistics(self, *keys):
        """What window an entry of the Statistics menu opens; None if none."""
        before = set(self.screen.windows("."))
        self.to_front()
        self.screen.keys("alt+s", *keys)
        new = wait_for(lambda: set(self.screen.windows(".")) - before, 3)
        if not new:
            self.screen.keys("Escape", "Escape", "Escape")
            return None
        window = new.pop()
        wait_for(lambda: self.screen.titles().get(window), 5)
        return window

    def statistics(self, name):
        """Open a table by the Statistics menu. Its place differs from version to version."""
        title = "· %s ·" % name
        # Those of one kind are neighbours.
        known = self.places.get(name)
        for place in [known] if known else [n for n in range(9, 30) if n not in self.places.values()]:
            window = self.choose_statistics(*["Down"] * place, "Return")
            shown = self.screen.titles().get(window, "") if window else ""
            if window:
                self.places[re.sub(r".*· (.*) ·.*", r"\1", shown)] = place
            if title in shown:
                self.screen.keep_picture(window)
                return window
            if window:
                self.close_window(window)
        return None

    def tree(self, name):
        """Open a stats tree: the first entry of the last submenu of Statistics, or of one before."""
        for up in (1, 2, 3):
            window = self.choose_statistics(*["Up"] * up, "Right", "Return")
            if window and name in self.screen.titles().get(window, ""):
                self.screen.keep_picture(window)
                return window
            if window:
                self.close_window(window)
        return None

    def button(self, window, from_right, from_bottom=24):
        width, height = self.screen.size(window)
        self.screen.raise_window(window)
        self.screen.click(window, width - from_right, height - from_bottom)

    def copy_table(self, window):
        """The text that the button Copy gives; it is near the right, before Save and Close."""
        for from_right in (235, *range(300, 180, -13)):
            self.screen.empty_clipboard()
            self.button(window, from_right)
            text = self.screen.clipboard(1)
            if text:
                return text
        return ""

    def table(self, window):
        """The rows of a table: lists of cells."""
        # A title between lines of "=", the header, and the rows between lines of "-".
        parts = re.split(r"^-{8,}$", self.copy_table(window), flags=re.M)
        return [line.split() for line in parts[1].split("\n") if line.strip()] if len(parts) > 1 else []

    def filter_table(self, window, text):
        """Its own display filter, and Apply."""
        width, height = self.screen.size(window)
        self.screen.raise_window(window)
        self.screen.click(window, width // 2, height - 53)
        self.screen.keys("ctrl+a", "BackSpace")
        if text:
            self.screen.do("type", "--delay", "30", text)
        self.screen.keys("Return")
        time.sleep(0.7)
        self.button(window, 50, 53)
        time.sleep(1)

    def answer(self, title, *answers, lines=()):
        """Fill the fields of a dialog, and OK. Without the heights of their lines, the focus is in the first one."""
        window = self.screen.window(title, 20)
        if not window:
            return False
        self.screen.keep_picture(window)
        self.screen.raise_window(window)
        for line, answer in enumerate(answers):
            if lines:
                self.screen.click(window, self.screen.size(window)[0] - 60, lines[line])
            self.screen.keys("ctrl+a")
            self.screen.do("type", "--delay", "20", answer)
        self.screen.keys("Return")
        wait_for(lambda: window not in self.screen.windows("."), 5)
        time.sleep(0.7)
        return True

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
