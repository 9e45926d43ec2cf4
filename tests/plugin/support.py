# SPDX-License-Identifier: MIT
"""What the tests of the plugin share: a tshark that has it, run without privileges."""
import glob
import gzip
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FLOWSCOPE_BUILD_DIR", os.path.join(ROOT, "build", "release"))
PLUGIN = os.environ.get("FLOWSCOPE_PLUGIN_SO", os.path.join(BUILD, "plugin", "flowscope.so"))
REPLAY = os.environ.get("FLOWSCOPE_REPLAY", os.path.join(BUILD, "bench", "flowscope-replay"))
SKIPPED = 77


def captures_folder():
    """Real captures of others, beside the checkout; None where they are not."""
    folder = os.environ.get("FLOWSCOPE_CAPTURES", os.path.join(os.path.dirname(ROOT), "shared", "captures"))
    return folder if os.path.isdir(folder) else None


class Tshark:
    """tshark with the plugin, or without it. As root, Wireshark loads no plugin but the system's, so it runs as nobody."""

    def __init__(self, with_plugin=True):
        self.folder = tempfile.mkdtemp(prefix="flowscope-test.")
        os.chmod(self.folder, 0o755)
        self.user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        home = os.path.join(self.folder, "home")
        os.mkdir(home)
        if self.user:
            os.chown(home, self.user.pw_uid, self.user.pw_gid)
        version = subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=True).stdout
        self.version = re.search(r"(\d+\.\d+)\.\d+", version)[1]
        plugins = os.path.join(self.folder, "plugins", self.version, "epan")
        os.makedirs(plugins)
        if with_plugin:
            shutil.copy(PLUGIN, os.path.join(plugins, "flowscope.so"))
            os.chmod(os.path.join(plugins, "flowscope.so"), 0o755)
        self.environment = {"PATH": os.environ["PATH"], "HOME": home, "TZ": "UTC", "LC_ALL": "C.UTF-8",
                            "WIRESHARK_PLUGIN_DIR": os.path.join(self.folder, "plugins")}

    def close(self):
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def readable(self, path):
        """The capture at a place that the user may read; .gz is unpacked, since frames are to be counted as they are."""
        # Captures of the same name lie in different folders.
        folder, name = os.path.split(os.path.abspath(path))
        copy = os.path.join(self.folder, os.path.basename(folder) + "." + name)
        if not os.path.exists(copy):
            opened = gzip.open(path) if path.endswith(".gz") else open(path, "rb")
            with opened as source, open(copy, "wb") as target:
                shutil.copyfileobj(source, target)
            os.chmod(copy, 0o644)
        return copy

    def command(self, *arguments):
        return ["tshark", "-n", *arguments]

    def drop(self):
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def describe(self, what):
        """tshark -G, which has to be the first argument."""
        return self.run("-G", what, program=shutil.which("tshark"))

    def run(self, *arguments, program="tshark", stdin=None, timeout=300, environment=None):
        command = [program, *arguments] if program != "tshark" else self.command(*arguments)
        return subprocess.run(command, stdin=subprocess.DEVNULL if stdin is None else None, input=stdin,
                              capture_output=True, text=True, errors="replace", check=False, timeout=timeout,
                              cwd=self.folder, env={**self.environment, **(environment or {})},
                              preexec_fn=self.drop)


class Results:
    """Counts, and the closing line."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, condition, message):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED: " + message, flush=True)
        return condition

    def skip(self, message):
        self.skipped += 1
        print("skipped: " + message, flush=True)

    def close(self):
        skipped = ", %d skipped" % self.skipped if self.skipped else ""
        print("%d passed, %d failed%s" % (self.passed, self.failed, skipped))
        sys.exit(1 if self.failed else 0 if self.passed else SKIPPED)


def all_captures(folder):
    names = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True))
    return [path for path in names if os.path.isfile(path) and not path.endswith(".txt")]
