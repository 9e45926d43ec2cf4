# SPDX-License-Identifier: MIT
"""What the comparisons with other systems share: where their data is, and flowscope-replay."""
import concurrent.futures
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FLOWSCOPE_BUILD_DIR", os.path.join(ROOT, "build", "release"))
REPLAY = os.environ.get("FLOWSCOPE_REPLAY", os.path.join(BUILD, "bench", "flowscope-replay"))
SHARED = os.environ.get("FLOWSCOPE_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
SKIPPED = 77


def folder(*parts):
    """A folder of the data of others; without it the test is skipped, and says so."""
    path = os.path.join(SHARED, *parts)
    if not os.path.isdir(path):
        print(f"skipped: no {path}, which holds what other systems say; FLOWSCOPE_SHARED names another place")
        sys.exit(SKIPPED)
    return path


def replay(*arguments):
    """Standard output of flowscope-replay, as bytes."""
    done = subprocess.run([REPLAY, *arguments], capture_output=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"flowscope-replay {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def each(function, items):
    """function(item) of every item, in their order, as many at once as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return list(pool.map(function, items))


def table(rows):
    """Print rows of texts in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([cell.ljust(width) for cell, width in zip(row, widths)] + [row[-1]]).rstrip())


def verdict(problems):
    """Exit status for a list of sentences."""
    for problem in problems:
        print("FAILED:", problem)
    return 1 if problems else 0
