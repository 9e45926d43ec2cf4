#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the tests of the plugin, each in its own process, and add up their closing lines.

FLOWSCOPE_BUILD_DIR, FLOWSCOPE_PLUGIN_SO and FLOWSCOPE_REPLAY say what is tested; by default build/release.
"""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402


def main():
    environment = {**os.environ, "FLOWSCOPE_PLUGIN_SO": support.PLUGIN,
                   "FLOWSCOPE_TSHARK": os.path.join(support.ROOT, "scripts", "tshark")}
    if os.path.exists(support.REPLAY):
        environment["FLOWSCOPE_REPLAY"] = support.REPLAY
    totals = [0, 0, 0]
    for test in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py"))):
        name = os.path.basename(test)
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        print("== " + name, flush=True)
        done = subprocess.run([sys.executable, test], stdout=subprocess.PIPE, text=True, check=False, env=environment)
        print(done.stdout, end="", flush=True)
        counts = re.search(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", done.stdout, re.M)
        if counts:
            totals = [total + int(count or 0) for total, count in zip(totals, counts.groups())]
        if not counts or (done.returncode not in (0, support.SKIPPED) and counts[2] == "0"):
            print("FAILED: %s returned %d" % (name, done.returncode))
            totals[1] += 1
    print("%d passed, %d failed, %d skipped" % tuple(totals))
    if totals[1] or not any(totals):
        return 1
    return 0 if totals[0] else support.SKIPPED


if __name__ == "__main__":
    sys.exit(main())
