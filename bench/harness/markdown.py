# SPDX-License-Identifier: MIT
"""docs/performance.md, of a run."""
import statistics

from . import figures, processes, targets
from .page import short

HEAD = """# Performance

<!-- Written by `bench/run --markdown`: change bench/harness/markdown.py or bench/notes.md, not this file. -->

What one run measured on one machine. Other machines give other nanoseconds; ratios of rows of one run travel better.
[bench/README.md](../bench/README.md) says what each row does and how to run it.
"""


def table(heads, lines):
    out = ["| %s |" % " | ".join(heads), "| %s |" % " | ".join("---" for _ in heads)]
    out += ["| %s |" % " | ".join(str(cell).replace("|", "\\|") for cell in line) for line in lines]
    return "\n".join(out)


def machine(results):
    lines = [[key, value] for key, value in results["machine"].items() if value is not None]
    lines.append(["command", "`%s`" % results["command"]])
    return table(["", ""], lines)


def target_table(rows):
    lines = []
    for target, result in targets.judge(rows):
        if result is None:
            lines.append([target.name, target.aim(), "not run", "", "", ""])
            continue
        lines.append([target.name, target.aim(), "%.2f ×" % result["ratio"],
                      "%.2f–%.2f" % (result["low"], result["high"]),
                      "%s / %s" % (short(result["ours_ns"]), short(result["other_ns"])),
                      "met" if result["met"] else "**missed**"])
    return table(["target", "aim", "reached", "quartiles by round", "ours / other", ""], lines)


def process_table(results):
    lines = []
    for name, result in results.items():
        if "missing" in result:
            lines.append([name, "left out: " + result["missing"], "", "", "", ""])
            continue
        limit = processes.LIMITS.get(name)
        verdict = "" if limit is None else "aim ≥ %g ×: %s" % (limit, "met" if result["ratio"] >= limit else "**missed**")
        lines.append(["`%s`" % result["command"], "`%s`" % result["options"], "%.3f s" % statistics.median(result["theirs"]),
                      "%.3f s" % statistics.median(result["ours"]),
                      "%.2f × (%.2f–%.2f)" % (result["ratio"], result["low"], result["high"]), verdict])
    return table(["other", "ours", "other, CPU", "ours, CPU", "other over ours", ""], lines)


def row_table(rows):
    lines = []
    for name, row in rows.items():
        low, middle, high = figures.quartiles(row["samples"])
        counters = ", ".join("%s %.4g" % pair for pair in sorted(row["counters"].items()))
        lines.append(["`%s`" % name, short(middle), "%s–%s" % (short(low), short(high)), counters])
    return table(["row", "median", "quartiles", "counters"], lines)


def instruction_table(counts):
    return table(["path", "instructions/packet"], [["`%s`" % path, "%g" % value] for path, value in counts.items()])


def render(results, counts=None, notes=""):
    """`counts`: {compiler: {path: instructions}}; `notes`: what the figures do not say by themselves."""
    repeat = results["repeat"]
    out = [HEAD, "## Machine\n", machine(results), "",
           "Medians of %d rounds. In each, every row runs in a process of its own, in random order, so that what else the "
           "machine does falls on all alike. CPU time of one packet, or of one iteration where a row counts none.\n" % repeat,
           "## Targets\n",
           "“The crate” is the faster of two builds of the Rust crate flowscope 0.3.0: cargo's release profile, and with "
           "link-time optimisation. Its timed loops are inside Rust.\n",
           target_table(results["rows"]), ""]
    if results.get("processes"):
        out += ["## Whole programs\n",
                "User and system time over %s, in pairs, one after the other; lowest and highest ratio in brackets.\n" %
                results.get("capture", "one capture"), process_table(results["processes"]), ""]
    if notes:
        out += [notes.strip(), ""]
    for compiler, paths in sorted((counts or {}).items()):
        out += ["## Instructions: %s\n" % compiler,
                "Counted by callgrind (`bench/instructions`); CI holds every change against them.\n",
                instruction_table(paths), ""]
    out += ["## Rows\n", row_table(results["rows"]), ""]
    return "\n".join(out)
