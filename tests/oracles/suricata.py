#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Our EVE of every case of ../shared/oracles/suricata, held against the filters of its test.yaml that ask for flows, and
for what HTTP, TLS and DNS said.

A filter says how many events have certain values. Filters that ask for the application need the plugin, which knows what
Wireshark takes a flow for; without it, they know what the core's parsers found. Values that only rules know
(KNOWN_BY_RULES) are left out; a filter that asked for them then says a least number. Each filter that fails must be
listed in DIFFERENCES with the reason that docs/differences.md gives; a listed one that holds must be taken out.
"""
import glob
import json
import os
import re
import subprocess
import sys

import support

try:
    import yaml
except ImportError:
    print("skipped: needs Python's yaml (Debian: python3-yaml)")
    sys.exit(support.SKIPPED)

KNOWN_BY_RULES = re.compile(r"traffic\.|metadata\.|flow\.action$")
KINDS = ("flow", "http", "tls", "dns", "anomaly")

# (case, number of the filter among those of the case that are looked at, from 1): heading in docs/differences.md
DIFFERENCES = {
    ("app-layer-template", 1): "Application",
    **{("dns__v2__dns-invalid-opcode", number): "DNS of unassigned opcodes" for number in range(1, 7)},
    ("firewall__app-layer-protocol-unknown-tls-boundary", 1): "Application",
}
# What the case's own suricata.yaml sets: arguments of flowscope-replay, and of tshark.
CONFIGURED = {"community-id-sameip": (["--community-seed=1"], ["-o", "flowscope.community_id_seed:1"])}
AT_LEAST = 0.9
PLUGIN = os.environ.get("FLOWSCOPE_PLUGIN_SO", os.path.join(support.BUILD, "plugin", "flowscope.so"))
TSHARK = os.path.join(support.ROOT, "scripts", "tshark")


def value_of(record, path):
    """The value at a.b[0].c; None if there is none."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            record = record[name] if name else record[int(index)]
        except (KeyError, IndexError, TypeError):
            return None
    return record


def matches(event, wanted):
    return all(value_of(event, path) == value for path, value in wanted.items())


def version_2(event):
    """A DNS event as Suricata writes it with `version: 2`, which is what the cases of that name ask for."""
    dns = event["dns"]
    dns.update(dns.get("queries", [{}])[0])
    dns["type"] = "answer" if dns.pop("type") == "response" else "query"
    dns["version"] = 2
    if dns["type"] == "query":
        del dns["version"]
    return event


def events_of(name, captures, with_plugin):
    replayed, dissected = CONFIGURED.get(name, ([], []))
    if with_plugin:
        done = subprocess.run([TSHARK, "-n", "-q", "-r", *captures, "-o", "flowscope.timeouts_like:suricata", "-o",
                               "flowscope.key_vlan:TRUE", *dissected, "-z", "flowscope,export,eve,-"], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120)
        lines = done.stdout.splitlines()
    else:
        lines = support.replay("--timeouts-like=suricata", "--domain=vlan", "--export=eve:-", *replayed,
                               *captures).splitlines()
    events = [json.loads(line) for line in lines]
    return [version_2(event) if "dns" in event and "__v2__" in name else event for event in events]


def filters_of(case):
    with open(os.path.join(case, "test.yaml"), encoding="utf-8") as file:
        checks = yaml.safe_load(file)["checks"]
    filters = [check["filter"] for check in checks if "filter" in check]
    return [f for f in filters if f.get("match", {}).get("event_type") in KINDS]


def run(case):
    name = os.path.basename(case)
    captures = [path for path in glob.glob(os.path.join(case, "*")) if not path.endswith(".yaml")]
    events = events_of(name, captures, False)
    dissected = events_of(name, captures, True) if os.path.exists(PLUGIN) else events
    results = []
    for wanted in filters_of(case):
        match = {path: value for path, value in wanted["match"].items()
                 if not KNOWN_BY_RULES.match(path) and (path, value) != ("flow.alerted", True)}
        partial = len(match) < len(wanted["match"])
        count = sum(matches(event, match) for event in (dissected if "app_proto" in match else events))
        agrees = count >= wanted["count"] if partial else count == wanted["count"]
        results.append((match["event_type"], agrees, count, wanted["count"], partial, len(match), len(wanted["match"])))
    return name, results


def main():
    cases = sorted(glob.glob(os.path.join(support.folder("oracles", "suricata"), "*", "")))
    rows = [("case", "filter", "of", "events", "expected", "values", "result")]
    problems = []
    held, total, whole = ({"flow": 0, "other": 0} for _ in range(3))
    for name, results in support.each(run, [case.rstrip("/") for case in cases]):
        for number, (kind, agrees, count, expected, partial, used, asked) in enumerate(results, 1):
            group = "flow" if kind == "flow" else "other"
            total[group] += 1
            held[group] += agrees
            whole[group] += agrees and not partial
            why = DIFFERENCES.get((name, number))
            result = "ok" if agrees else why or "FAILED"
            rows.append((name, str(number), kind, str(count), f"{'>= ' if partial else ''}{expected}", f"{used}/{asked}",
                         result))
            if agrees and why:
                problems.append(f"{name}, filter {number} holds: take it out of DIFFERENCES")
            if not agrees and not why:
                problems.append(f"{name}, filter {number}: {count} events, not {expected}")
    support.table(rows)
    for group, text in (("flow", "of flows"), ("other", "of messages and anomalies")):
        print(f"{held[group]} of {total[group]} filters {text} hold, {whole[group]} of them with every value that they "
              "ask for")
    if not os.path.exists(PLUGIN):
        print(f"no plugin at {PLUGIN}: applications are those that the core's parsers found")
    if not total["flow"] or held["flow"] < AT_LEAST * total["flow"]:
        problems.append(f"less than {AT_LEAST:.0%} of the filters hold")
    return support.verdict(problems)


if __name__ == "__main__":
    sys.exit(main())
