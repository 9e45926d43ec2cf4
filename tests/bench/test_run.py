#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The harness of bench/: its statistics, how it runs programs, what it concludes, and what it writes."""
import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import statistics
import stat
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from importlib.machinery import SourceFileLoader

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "bench")
sys.path.insert(0, BENCH)
sys.dont_write_bytecode = True
from harness import figures, markdown, page, processes, rows, targets  # noqa: E402


def script(name):
    """A program without a suffix, as a module."""
    loader = SourceFileLoader("bench_" + name, os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def row(*samples, **counters):
    return {"samples": list(samples), "counters": counters}


class Statistics(unittest.TestCase):
    def test_quantiles_lie_between_samples(self):
        self.assertEqual(figures.quartiles([4, 1, 3, 2]), (1.75, 2.5, 3.25))
        self.assertEqual(figures.quartiles([7]), (7, 7, 7))
        self.assertAlmostEqual(figures.spread([9, 10, 11]), 0.1)

    def test_equal_values_share_their_rank(self):
        self.assertEqual(figures.ranks([10, 30, 20, 20]), ([1, 4, 2.5, 2.5], [1, 2, 1]))

    def test_u_test_agrees_with_counting_all_arrangements(self):
        # Exact: of all ways to choose which 6 of 12 ranks are the later ones, the share whose U is at least as large.
        before, now = [1, 2, 3, 5, 6, 9], [4, 7, 8, 10, 11, 12]
        every = [sum(choice) for choice in itertools.combinations(range(1, 13), 6)]
        exact = sum(total >= sum(now) for total in every) / len(every)
        self.assertAlmostEqual(figures.mann_whitney(before, now), exact, delta=0.003)

    def test_u_test_of_known_samples(self):
        # By hand: U = 25, mean 12.5, variance 25 * 11 / 12, z = 2.507.
        self.assertAlmostEqual(figures.mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 0.00609, places=5)
        # Two groups of three equals: U = 13, mean 8, variance 16 / 12 * (9 - 48 / 56), z = 1.366.
        self.assertAlmostEqual(figures.mann_whitney([1, 2, 2, 3], [2, 3, 3, 4]), 0.0860, places=4)

    def test_u_test_is_one_sided(self):
        self.assertGreater(figures.mann_whitney([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]), 0.99)

    def test_u_test_of_equal_samples_shows_nothing(self):
        self.assertEqual(figures.mann_whitney([5, 5, 5], [5, 5, 5]), 1.0)
        self.assertRaises(ValueError, figures.mann_whitney, [], [1])

    def test_ratio_of_medians_and_of_rounds(self):
        self.assertEqual(figures.ratio_of([10, 20, 40], [1, 2, 4]), (10, 10, 10))


class Regressions(unittest.TestCase):
    before = [100, 101, 99, 102, 98, 100, 101]

    def slower(self, now):
        return figures.regressions({"row": self.before}, {"row": now})

    def test_slower_and_sure(self):
        (name, factor, p), = self.slower([value * 1.2 for value in self.before])
        self.assertEqual(name, "row")
        self.assertAlmostEqual(factor, 1.2)
        self.assertLess(p, 0.01)

    def test_slower_by_less_than_the_limit(self):
        self.assertFalse(self.slower([value * 1.08 for value in self.before]))

    def test_slower_but_not_sure(self):
        self.assertFalse(self.slower([80, 150, 90, 160, 85, 112, 155]))

    def test_faster(self):
        self.assertFalse(self.slower([value * 0.5 for value in self.before]))

    def test_five_rounds_can_show_it(self):
        self.assertTrue(figures.regressions({"row": [1, 2, 3, 4, 5]}, {"row": [6, 7, 8, 9, 10]}))

    def test_rows_of_one_run_only_are_left_out(self):
        self.assertFalse(figures.regressions({"old": [1] * 9}, {"new": [9] * 9}))


class Targets(unittest.TestCase):
    def test_speed_up(self):
        target = targets.Target("t", "ours", "other", 10)
        self.assertTrue(target.judge({"ours": row(2, 2), "other": row(20, 20)})["met"])
        self.assertFalse(target.judge({"ours": row(2, 2), "other": row(19, 19)})["met"])

    def test_cost(self):
        target = targets.Target("t", "ours", "other", 1.5, cost=True)
        self.assertTrue(target.judge({"ours": row(3), "other": row(2)})["met"])
        self.assertFalse(target.judge({"ours": row(3.1), "other": row(2)})["met"])

    def test_the_faster_build_of_the_crate_counts(self):
        target = targets.against_crate("t", "extractor/x", 5)
        result = target.judge({"extractor/x": row(1), "peer/flowscope-rs/extractor/x": row(6),
                               "peer/flowscope-rs-lto/extractor/x": row(4), "peer/flowscope-rs-0.26/extractor/x": row(1)})
        self.assertEqual(result["other"], "peer/flowscope-rs-lto/extractor/x")
        self.assertFalse(result["met"])

    def test_a_name_is_matched_whole(self):
        self.assertIsNone(targets.find({"tracker/n_flows/100": row(1)}, "tracker/n_flows/10"))

    def test_missing_rows_are_no_success(self):
        self.assertTrue(all(result is None for _, result in targets.judge({"x": row(1)})))


# A benchmark program: lists two rows, of which one fails, and says on which processor it ran.
FAKE = """#!/usr/bin/env python3
import json, os, re, sys
names = ["a/b-c/10", "a/b-c/100", "bad"]
if "--benchmark_list_tests" in sys.argv:
    print("\\n".join(names))
    sys.exit()
wanted = next(a.split("=", 1)[1] for a in sys.argv if a.startswith("--benchmark_filter="))
out = []
for name in names:
    if re.search(wanted, name):
        entry = {"name": name, "run_type": "iteration", "cpu_time": 2.5, "time_unit": "us", "iterations": 7,
                 "allowed": len(os.sched_getaffinity(0))}
        if name == "bad":
            entry.update(error_occurred=True, error_message="broken")
        if name.endswith("/100"):
            entry["time/packet"] = 3e-9
        out.append(entry)
print(json.dumps({"benchmarks": out}))
"""


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="flowscope-bench.")
        self.addCleanup(self.folder.cleanup)
        os.mkdir(os.path.join(self.folder.name, "bench"))
        for name in ("bench_fake", "bench_peers"):
            path = os.path.join(self.folder.name, "bench", name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(FAKE if name == "bench_fake" else FAKE.replace('"a/', '"peer/'))
            os.chmod(path, stat.S_IRWXU)

    def test_every_program_is_found(self):
        names = [name for _, name in rows.discover(self.folder.name, "")]
        self.assertEqual(names, ["a/b-c/10", "a/b-c/100", "bad", "peer/b-c/10", "peer/b-c/100"])
        self.assertEqual(len(rows.discover(self.folder.name, "", peers=False)), 3)
        self.assertEqual([name for _, name in rows.discover(self.folder.name, "^a.*00$")], ["a/b-c/100"])

    def test_a_row_runs_alone_and_pinned(self):
        cpu = min(os.sched_getaffinity(0))
        measured, errors = rows.run(self.folder.name, "^a", 3, cpu, progress=None)
        self.assertEqual(errors, {})
        self.assertEqual(measured["a/b-c/10"], row(2500.0, 2500.0, 2500.0, allowed=1))
        self.assertEqual(measured["a/b-c/100"]["samples"], [3.0, 3.0, 3.0]) # a packet, not an iteration

    def test_a_row_that_fails_is_named(self):
        measured, errors = rows.run(self.folder.name, "", 2, None, progress=None)
        self.assertNotIn("bad", measured)
        self.assertIn("broken", errors["bad"])


class Loads(HTMLParser):
    """What a page would fetch, and whether its tags are closed."""
    VOID = {"meta", "line", "rect", "circle", "polyline", "br", "hr"}

    def __init__(self):
        super().__init__()
        self.fetched, self.open, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.fetched += [value for key, value in attrs if key in ("src", "href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


RESULTS = {"machine": {"processor": "A <fast> one", "rustc": None}, "command": "bench/run --peers", "repeat": 3,
           "rows": {"extractor/five_tuple_ipv4_tcp": row(10, 11, 12),
                    "peer/flowscope-rs/extractor/five_tuple_ipv4_tcp": row(50, 55, 60),
                    "tracker/n_flows/10": row(50, 51, 52, **{"bytes/flow": 330}), "tracker/n_flows/1000": row(60, 61, 62, **{"bytes/flow": 320}),
                    "tracker/n_flows/100000": row(90, 91, 92, **{"bytes/flow": 310})},
           "errors": {"x": "did <not> run"}, "capture": "a.pcap (1 MB)",
           "processes": {"softflowd": {"ours": [1.0], "theirs": [3.0], "ratio": 3.0, "low": 2.9, "high": 3.1,
                                       "command": "softflowd -r CAPTURE", "options": "flowscope-replay CAPTURE"},
                         "argus": {"missing": "not installed (Debian: argus-server)"}}}


class Reports(unittest.TestCase):
    def test_the_page_loads_nothing(self):
        text = page.render(RESULTS)
        loads = Loads()
        loads.feed(text)
        self.assertEqual(loads.fetched, [])
        self.assertEqual(loads.open, [])
        self.assertNotIn("script", loads.tags)
        self.assertNotIn("@import", text)
        self.assertNotIn("url(", text)

    def test_the_page_says_what_was_measured(self):
        text = page.render(RESULTS)
        self.assertIn("A &lt;fast&gt; one", text)
        self.assertIn("did &lt;not&gt; run", text)
        self.assertEqual(len(re.findall("<svg", text)), 4) # peers, flows, memory, spread
        self.assertIn("5.00 × (5.00–5.00)", text)
        self.assertIn('<span class="missed">missed</span>', text)
        self.assertNotIn("nan", text)

    def test_the_page_of_a_run_without_peers(self):
        loads = Loads()
        loads.feed(page.render(dict(RESULTS, rows={"x": row(1.0, 1.0)}, processes={}, errors={})))
        self.assertEqual(loads.open, [])

    def test_units(self):
        self.assertEqual([page.short(ns) for ns in (0.2731, 52.81, 1234, 2.5e6, 3e9)],
                         ["0.273 ns", "52.8 ns", "1.23 µs", "2.5 ms", "3 s"])

    def test_the_document(self):
        text = markdown.render(RESULTS, {"gcc-12-x86_64": {"extract": 218.0}}, "## Why\n\nBecause.")
        self.assertIn("| extractor, TCP, over the crate | ≥ 15 × | 5.00 × | 5.00–5.00 | 11 ns / 55 ns | **missed** |", text)
        self.assertIn("3.00 × (2.90–3.10) | aim ≥ 2 ×: met |", text)
        self.assertIn("left out: not installed", text)
        self.assertIn("| `extract` | 218 |", text)
        self.assertIn("Because.", text)


class Processes(unittest.TestCase):
    def test_cpu_time_and_failure(self):
        seconds, why = processes.cpu_seconds([sys.executable, "-c", "sum(range(10**6))"], None)
        self.assertGreater(seconds, 0)
        self.assertIsNone(why)
        seconds, why = processes.cpu_seconds(["sh", "-c", "echo broken >&2; exit 3"], None)
        self.assertIsNone(seconds)
        self.assertIn("3: broken", why)

    def test_a_missing_program_is_said_with_its_package(self):
        result = processes.compare("/bin/true", ("no-such-program", "its-package", [], []), "x", 1, None)
        self.assertEqual(result, {"missing": "not installed (Debian: its-package)"})

    def test_arguments(self):
        self.assertEqual(processes.fill(["-r", "CAPTURE", "FILE"], "/c", "/f"), ["-r", "/c", "/f/out"])


class Scripts(unittest.TestCase):
    def test_options_that_cannot_work_are_refused(self):
        run = script("run")
        for wrong in (["--filter", "("], ["--repeat", "0"], ["--against", "x", "--repeat", "4"], ["--save", "../x"]):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                run.arguments(wrong)

    def test_comparison_with_a_saved_run(self):
        run = script("run")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            run.BASELINES = folder
            run.store(run.baseline("before"), {"rows": {"a": row(*[10.0 + i / 10 for i in range(9)])}})
            self.assertEqual(run.compare("before", {"a": row(*[20.0 + i / 10 for i in range(9)])}), 1)
            self.assertEqual(run.compare("before", {"a": row(*[10.0 + i / 10 for i in range(9)])}), 0)
            with self.assertRaises(SystemExit):
                run.compare("before", {"b": row(1)})
        self.assertIn("1 rows in both; 1 slower", out.getvalue())

    def test_instruction_counts(self):
        worse = script("instructions").worse
        self.assertEqual(worse({"a": 106, "b": 104, "new": 9}, {"a": 100, "b": 100, "gone": 1}, 5), ["a"])

    def test_committed_counts_are_of_paths_that_exist(self):
        with open(os.path.join(BENCH, "instructions.json"), encoding="utf-8") as file:
            committed = json.load(file)
        with open(os.path.join(BENCH, "instructions.cc"), encoding="utf-8") as file:
            paths = set(re.findall(r'\{"(\w+)", \w+\}', file.read()))
        self.assertIn("gcc-12-x86_64", committed)
        for counts in committed.values():
            self.assertLessEqual(set(counts), paths)
            self.assertTrue(all(value > 0 for value in counts.values()))


if __name__ == "__main__":
    unittest.main()
