# SPDX-License-Identifier: MIT
"""Runs the benchmark programs: every row in a process of its own, all rows in another order in each round, so that what
the machine does meanwhile, and where memory happens to lie, falls on all of them alike."""
import datetime
import glob
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys

SCALE = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
# Google Benchmark's own, and the one that is the sample itself.
NOT_COUNTERS = {"name", "run_name", "run_type", "repetitions", "repetition_index", "threads", "iterations", "real_time",
                "cpu_time", "time_unit", "family_index", "per_family_instance_index", "items_per_second",
                "bytes_per_second", "time/packet", "label", "error_occurred", "error_message"}


class Failed(Exception):
    """A row that does not run."""


def programs(build):
    return sorted(path for path in glob.glob(os.path.join(build, "bench", "bench_*")) if os.access(path, os.X_OK))


def discover(build, wanted, peers=True):
    """(program, row) of every row whose name the expression finds."""
    found, seen = [], set()
    for program in programs(build):
        if not peers and os.path.basename(program).startswith("bench_peers"):
            continue
        listed = subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True, check=True)
        for name in listed.stdout.split("\n"):
            if name and re.search(wanted, name) and name not in seen:
                seen.add(name)
                found.append((program, name))
    return found


def sample_of(entry):
    """Nanoseconds: of a packet if the row counts packets, else of an iteration; and the other counters."""
    if entry.get("error_occurred"):
        raise Failed("%s: %s" % (entry["name"], entry.get("error_message", "?")))
    if "time/packet" in entry:
        value = entry["time/packet"] * 1e9
    else:
        value = entry["cpu_time"] * SCALE[entry["time_unit"]]
    return value, {key: number for key, number in entry.items()
                   if key not in NOT_COUNTERS and isinstance(number, (int, float))}


def measure(program, name, cpu, seconds):
    command = [program, "--benchmark_filter=^%s$" % re.escape(name).replace("\\-", "-").replace("\\/", "/"),
               "--benchmark_format=json", "--benchmark_min_time=%g" % seconds]
    pin = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=pin)
    if done.returncode:
        raise Failed("%s: %s returned %d: %s" % (name, program, done.returncode, done.stderr.strip()[-300:]))
    entries = json.loads(done.stdout)["benchmarks"]
    if len(entries) != 1:
        raise Failed("%s: %d results" % (name, len(entries)))
    return sample_of(entries[0])


def run(build, wanted, repeat, cpu, seconds=0.05, peers=True, seed=None, progress=sys.stderr):
    """{row: {"samples": nanoseconds by round, "counters": medians}}, and {row: why it failed}."""
    todo = discover(build, wanted, peers)
    samples = {name: [] for _, name in todo}
    counters = {name: [] for _, name in todo}
    errors = {}
    shuffle = random.Random(seed)
    for number in range(repeat):
        shuffle.shuffle(todo)
        for program, name in todo:
            if name in errors:
                continue
            try:
                value, more = measure(program, name, cpu, seconds)
            except Failed as failure:
                errors[name] = str(failure)
                continue
            samples[name].append(value)
            counters[name].append(more)
        if progress:
            print("round %d of %d: %d rows" % (number + 1, repeat, len(todo)), file=progress, flush=True)
    rows = {}
    for name in sorted(samples):
        if name in errors:
            continue
        keys = counters[name][0]
        rows[name] = {"samples": samples[name],
                      "counters": {key: statistics.median(one[key] for one in counters[name]) for key in keys}}
    return rows, errors


# ---- the machine ----


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else None


def cache_entries(build):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as cache:
        pairs = (line.rstrip("\n").split("=", 1) for line in cache if "=" in line and line[0] not in "#/")
        return {key.split(":")[0]: value for key, value in pairs}


def processor():
    model = None
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    return model or platform.processor() or platform.machine()


def describe(build, cpu):
    """What a figure means nothing without."""
    entries = cache_entries(build)
    kind = entries.get("CMAKE_BUILD_TYPE", "")
    flags = "%s %s" % (entries.get("CMAKE_C_FLAGS", ""), entries.get("CMAKE_C_FLAGS_" + kind.upper(), ""))
    return {
        "when": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "processors": os.cpu_count(),
        "pinned to": cpu,
        "system": "%s %s %s" % (platform.system(), platform.release(), platform.machine()),
        "load": "%.2f %.2f %.2f" % os.getloadavg(),
        "compiler": first_line(entries.get("CMAKE_C_COMPILER", "cc"), "--version"),
        "build": "%s: %s" % (kind, flags.strip()),
        "rustc": first_line("rustc", "--version") if entries.get("FLOWSCOPE_PEERS") == "ON" else None,
    }
