#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/reference.md names every field and preference, and no other."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402


def main():
    results = support.Results()
    done = subprocess.run([os.path.join(support.ROOT, "scripts", "reference"), "--check"], capture_output=True, text=True,
                          check=False)
    results.check(done.returncode == 0, "scripts/reference would change docs/reference.md:\n" + done.stdout + done.stderr)
    with open(os.path.join(support.ROOT, "docs", "reference.md"), encoding="utf-8") as page:
        text = page.read()
    results.check(text.count("`flowscope.flow.initiator.") > 5 and text.count("| `flowscope.timeout_tcp`") == 1,
                  "docs/reference.md lists no fields or preferences")
    results.close()


if __name__ == "__main__":
    main()
