#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The configuration profiles: everything that they name exists, and Flowscope Fast changes no flow."""
import glob
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

PROFILES = os.path.join(support.ROOT, "plugin", "profiles")
# Protocols that any Wireshark has, and what Fast is for.
SWITCHED_OFF = {"http", "tls", "dns", "nbss", "quic", "ssh", "sip"}
CARRIERS = {"vxlan", "geneve", "gtp", "teredo", "ip", "ipv6", "gre", "tcp", "udp"}


def read(profile, name):
    with open(os.path.join(PROFILES, profile, name), encoding="utf-8") as file:
        return file.read()


def column_fields(profile):
    return [field for field in re.findall(r'%Cus:([^:"]+)', read(profile, "preferences"))]


def filters(profile):
    found = [line.split("@")[2] for line in read(profile, "colorfilters").splitlines() if line.startswith("@")]
    buttons = re.findall(r'^"TRUE","[^"]*","([^"]*)","[^"]*"$', read(profile, "dfilter_buttons"), re.M)
    lines = [line for line in read(profile, "dfilter_buttons").splitlines() if line and not line.startswith("#")]
    assert len(buttons) == len(lines), "a line of dfilter_buttons is not understood"
    return found + [button.replace(r"\x22", '"') for button in buttons]


def install(tshark):
    folder = os.path.join(tshark.environment["HOME"], ".config", "wireshark", "profiles")
    shutil.copytree(PROFILES, folder)
    for path in [os.path.join(tshark.environment["HOME"], ".config")] + \
            glob.glob(os.path.join(tshark.environment["HOME"], ".config", "**"), recursive=True):
        os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)


def check_names(results, tshark):
    lines = tshark.describe("fields").stdout.splitlines()
    fields = {line.split("\t")[2] for line in lines if line.count("\t") > 2}
    named = {field for profile in ("Flowscope", "Flowscope Fast") for field in column_fields(profile)}
    results.check(len(named) > 5, "the profiles have columns")
    widths = set(re.findall(r'"%Cus:([^:"]+)"', read("Flowscope", "recent")))
    results.check(widths == set(column_fields("Flowscope")), "a width for each column, in recent: %r" % widths)
    for field in sorted(named):
        results.check(field in fields, "column %s: no such field" % field)
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "http.pcapng"))
    for text in filters("Flowscope"):
        done = tshark.run("-r", capture, "-c", "1", "-Y", text)
        results.check(done.returncode == 0, "filter %r: %s" % (text, done.stderr))


def check_colours(results, tshark):
    """tshark says which colour filters it could not compile."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "generated", "tcp-injected.pcap"))
    done = tshark.run("-C", "Flowscope", "--color", "-2", "-r", capture, "-T", "fields", "-e", "frame.number", "-e",
                      "frame.coloring_rule.name")
    unknown = re.findall(r'Could not compile "([^"]*)"', done.stderr)
    results.check(done.returncode == 0 and not unknown, "colour filters: %r %r" % (unknown, done.stderr))


def check_rows(results, tshark):
    """What a user sees first: the columns have values."""
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "http.pcapng"))
    done = tshark.run("-C", "Flowscope", "-r", capture)
    line = next((line for line in done.stdout.splitlines() if line.split()[:1] == ["8"]), "")
    want = r"HTTP\s+0 responder established in-order 154 .*GET 127\.0\.0\.1:8080/file/1000 → 200"
    results.check(re.search(want, line), "row of frame 8: %r %s" % (line, done.stderr))


def without_app(tshark, profile, capture):
    done = tshark.run(*(["-C", profile] if profile else []), "-q", "-z", "flowscope,flows", "-r", capture)
    rows = [line.split() for line in done.stdout.strip().splitlines()]
    return done.returncode, [row[:3] + row[4:] for row in rows], {row[3] for row in rows if len(row) > 20}


def check_fast(results, tshark):
    disabled = {line for line in read("Flowscope Fast", "disabled_protos").splitlines() if line and line[0] != "#"}
    results.check(SWITCHED_OFF <= disabled, "not switched off: %r" % (SWITCHED_OFF - disabled))
    results.check(not CARRIERS & disabled, "carriers switched off: %r" % (CARRIERS & disabled))
    known = {line.split("\t")[2] for line in tshark.describe("protocols").stdout.splitlines() if line.count("\t") > 1}
    # Each version lacks a few that the others have.
    strange = disabled - known
    results.check(len(strange) < len(disabled) // 8, "names of no protocol: %r" % sorted(strange))
    names = [os.path.join("recorded", name + ".pcapng") for name in ("http", "tls", "dns", "ssh", "loss", "vxlan")]
    names += [os.path.relpath(path, os.path.join(support.ROOT, "pcaps"))
              for path in sorted(glob.glob(os.path.join(support.ROOT, "pcaps", "generated", "tunnel-*.pcap")))]
    for name in names:
        capture = tshark.readable(os.path.join(support.ROOT, "pcaps", name))
        normal, fast = (without_app(tshark, profile, capture) for profile in ("", "Flowscope Fast"))
        results.check(normal[0] == 0 and len(normal[1]) > 1 and normal[1] == fast[1],
                      "%s: Flowscope Fast has other flows:\n%r\n%r" % (name, normal[1], fast[1]))
    capture = tshark.readable(os.path.join(support.ROOT, "pcaps", "recorded", "http.pcapng"))
    stacks = tshark.run("-C", "Flowscope Fast", "-r", capture, "-T", "fields", "-e", "frame.protocols").stdout
    results.check(stacks and "http" not in stacks, "Flowscope Fast still dissects HTTP")


def main():
    results = support.Results()
    with support.Tshark() as tshark:
        install(tshark)
        check_names(results, tshark)
        check_colours(results, tshark)
        check_rows(results, tshark)
        check_fast(results, tshark)
    results.close()


if __name__ == "__main__":
    main()
