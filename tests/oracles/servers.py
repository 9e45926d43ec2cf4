#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold the messages of recorded servers against the servers' own logs (pcaps/recorded/*.log): nginx, openssl s_server
and unbound. Everything that the log says must be found, with the same values, and nothing else.
"""
import csv
import hashlib
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "plugin"))
import support  # noqa: E402

RECORDED = os.path.join(ROOT, "pcaps", "recorded")
RETRY_RANDOM = "CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C"  # RFC 8446, 4.1.3


def run(*arguments):
    return subprocess.run([support.REPLAY, *arguments], check=True, capture_output=True, text=True).stdout


def messages_of(capture):
    return [json.loads(line) for line in run("--messages=json", os.path.join(RECORDED, capture)).splitlines()]


def flows_of(capture):
    return {int(row["id"]): row for row in csv.DictReader(run("--flows", os.path.join(RECORDED, capture)).splitlines())}


def log_of(name):
    with open(os.path.join(RECORDED, name), encoding="utf-8") as file:
        return file.read()


def compare(results, what, found, logged):
    """Two lists of tuples, in order."""
    for number, (one, other) in enumerate(zip(found, logged), 1):
        results.check(one == other, "%s, message %d: found %s, the log has %s" % (what, number, one, other))
    results.check(len(found) == len(logged), "%s: %d messages, the log has %d" % (what, len(found), len(logged)))


# ---- nginx ----

def http_logged(row):
    """Of a line of the log: what the request was, and what the response."""
    is_chunked = row["method"] == "GET" and row["uri"].startswith("/chunked/")
    body = int(re.search(r"\d+", row["uri"])[0]) if is_chunked else None
    version = row["protocol"].partition("/")[2] or "0.9"
    request = (row["method"], row["uri"], row["host"], version, row["request_length"])
    response = (row["status"] if version != "0.9" else 0, row["bytes_sent"], row["body_bytes_sent"], body, is_chunked)
    return request, response


def http_found(request, responses, server_port):
    """The same of a request's messages. nginx counts all that follows the last head's start as one, interim responses as
    body, and a body with its framing."""
    asked, last = request["detail"], responses[-1]
    said = last["detail"]
    is_chunked = "chunked" in said["flags"]
    sent = sum(response["bytes"] for response in responses)
    # The empty line after the last chunk counts as header here, and as body there.
    body_sent = sent - said["header_bytes"] + (2 if is_chunked else 0)
    interim = sum(response["bytes"] for response in responses[:-1])
    body = said["body_bytes"] if is_chunked else None
    if not is_chunked and said["body_bytes"] != body_sent - interim:
        body = said["body_bytes"]
    # The second server answers before it reads a body, and counts the head alone.
    length = asked["header_bytes"] if server_port == 8081 else request["bytes"]
    return ((asked["method"], asked["target"], asked.get("host", ""), asked["version"], length),
            (said["status"], sent, body_sent, body, is_chunked))


def check_nginx(results, capture, log):
    flows = flows_of(capture)
    messages = messages_of(capture)
    found, responses, requests = {}, {}, {}
    for message in messages:
        ends = flows[message["flow"]]
        key = (int(ends["initiator_port"]), int(ends["responder_port"]), message["exchange"])
        if message["kind"] == "response":
            responses.setdefault(key, []).append(message)
        elif message["kind"] == "request":
            requests[key] = message
        results.check(message["protocol"] == "http" and message["kind"] != "unanswered" and message["exchange"] > 0 and
                      not message["incomplete"] and not message["detail"]["body_missing"],
                      "%s: frame %d is not a whole message" % (capture, message["frame"]))
    for key, request in requests.items():
        found[key] = http_found(request, responses[key], key[1])
    logged = {}
    for row in map(json.loads, log_of(log).splitlines()):
        logged[row["client_port"], row["server_port"], row["request"]] = http_logged(row)
    compare(results, capture, sorted(found.items()), sorted(logged.items()))
    return [message["detail"].get("status") for message in messages if message["kind"] == "response"]


# ---- openssl s_server -trace ----

def extensions_of(lines):
    """[(type, lines of its content)] of a hello in the trace."""
    result = []
    for line in lines:
        found = re.match(r" {8}extension_type=.*\((\d+)\), length=", line)
        if found:
            result.append((int(found[1]), []))
        elif result and line.startswith(" " * 10):
            result[-1][1].append(line.strip())
    return result


def numbers(lines):
    return [int(re.search(r"\((\d+)\)$", line)[1]) for line in lines if line.endswith(")")]


def bytes_of(lines):
    return bytes.fromhex("".join(re.sub(r"^\S+ - ", "", line)[:47].replace("-", " ").split("   ")[0] for line in lines))


def ja3_of(version, ciphers, extensions):
    known = dict(extensions)
    parts = [[version], ciphers, [kind for kind, _ in extensions], numbers(known.get(10, [])), numbers(known.get(11, []))]
    text = ",".join("-".join(map(str, part)) for part in parts)
    return hashlib.md5(text.encode()).hexdigest()


def tls_name(version):
    return "TLS 1.%d" % (version - 0x301)


def client_hello(lines, length):
    text = "\n".join(lines)
    version = int(re.search(r"client_version=(0x\w+)", text)[1], 16)
    ciphers = [int(high + low, 16) for high, low in
               re.findall(r"^ {8}\{0x(\w\w), 0x(\w\w)\}", text, re.M)]
    extensions = extensions_of(lines)
    known = dict(extensions)
    name = bytes_of(known[0])[5:].decode() if known.get(0) else None
    highest = max(numbers(known[43])) if 43 in known else version
    return ("client-hello", tls_name(highest), name, tuple(known.get(16, ())), None,
            ja3_of(version, ciphers, extensions), length)


def server_hello(lines, length):
    text = "\n".join(lines)
    random = "".join(re.search(r"gmt_unix_time=0x(\w+)\s+random_bytes \(len=28\): (\w+)", text).groups())
    cipher = int("".join(re.search(r"cipher_suite \{0x(\w\w), 0x(\w\w)\}", text).groups()), 16)
    known = dict(extensions_of(lines))
    version = int(re.search(r"server_version=(0x\w+)", text)[1], 16)
    highest = max(numbers(known[43])) if 43 in known else version
    kind = "hello-retry-request" if random == RETRY_RANDOM else "server-hello"
    return (kind, tls_name(highest), None, tuple(known.get(16, ())), cipher, None, length)


def tls_logged(text):
    """The hellos and plaintext alerts of the trace. Encrypted alerts fill more than two bytes of their record."""
    for record in re.split(r"^(?=(?:Received|Sent) Record$)", text, flags=re.M):
        lines = record.splitlines()
        length = re.search(r"^  Length = (\d+)", record, re.M)
        hello = re.search(r"^    (Client|Server)Hello, Length=(\d+)", record, re.M)
        alert = re.search(r"^    Level=\w+\((\d+)\), description=.*\((\d+)\)", record, re.M)
        if hello:
            yield (client_hello if hello[1] == "Client" else server_hello)(lines, int(hello[2]) + 9)
        elif alert and length[1] == "2":
            yield ("alert", int(alert[1]), int(alert[2]))


def tls_found(message):
    detail = message["detail"]
    if detail["type"] == "alert":
        return ("alert", detail["alert_level"], detail["alert"])
    is_client = detail["type"] == "client-hello"
    return (detail["type"], detail["version"], detail.get("sni") if is_client else None, tuple(detail["alpn"]),
            None if is_client else detail["cipher_suite"], detail["ja3"] if is_client else None, message["bytes"])


def check_openssl(results):
    messages = messages_of("openssl.pcapng")
    text = log_of("openssl.log")
    logged = list(tls_logged(text))
    compare(results, "openssl", [tls_found(message) for message in messages if message["kind"] != "unanswered"], logged)
    # What s_server says in its own words of those names that reach it, with and after a retry.
    names = [message["detail"]["sni"] for message in messages
             if message["kind"] == "request" and "sni" in message["detail"]]
    printed = re.findall(r'^Hostname in TLS extension: "(.*)"', text, re.M)
    results.check(set(names) == set(printed) and len(printed) > 5, "openssl: other names: %s, %s" % (names, printed))
    unanswered = {message["flow"] for message in messages if message["kind"] == "unanswered"}
    refused = {message["flow"] for message in messages if message["detail"].get("alert_level") == 2}
    results.check(unanswered == refused and len(refused) == 3, "openssl: others are unanswered than were refused")
    kinds = [entry[0] for entry in logged]
    results.check(kinds.count("hello-retry-request") == 2 and kinds.count("server-hello") == 8,
                  "openssl: the log was not understood: %s" % kinds)
    # "Resumed" is a mark: 0x40. The log has "Reused session-id" once for each.
    resumed = sum(message["detail"]["flags"] >> 6 & 1 for message in messages if message["kind"] == "response")
    results.check(resumed == len(re.findall("^Reused session-id", text, re.M)) == 2, "openssl: %d resumed" % resumed)


# ---- unbound ----

TYPES = {"A": 1, "NS": 2, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65, "CAA": 257}
RCODES = {"NOERROR": 0, "NXDOMAIN": 3, "REFUSED": 5}


def dns_logged(text):
    for line in text.splitlines():
        found = re.search(r"info: 127\.0\.0\.1 (\S+)\. (\w+) IN(?: (\w+) [\d.]+ \d (\d+))?$", line)
        if found and found[3]:
            yield ("response", found[1], TYPES[found[2]], RCODES[found[3]], int(found[4]))
        elif found:
            yield ("request", found[1], TYPES[found[2]], 0, None)


def check_unbound(results):
    flows = flows_of("unbound.pcapng")
    messages = messages_of("unbound.pcapng")
    found, pairs = [], []
    for message in messages:
        detail = message["detail"]
        framing = 2 if flows[message["flow"]]["proto"] == "TCP" else 0
        is_response = message["kind"] == "response"
        if message["kind"] != "unanswered":
            found.append((message["kind"], detail["name"], detail["type"], detail["rcode"],
                          message["bytes"] - framing if is_response else None))
            pairs.append(message["request_frame"] if is_response else message["frame"])
    logged = list(dns_logged(log_of("unbound.log")))
    compare(results, "unbound", found, logged)
    for number, entry in enumerate(logged):
        if entry[0] == "response":
            results.check(pairs[number] == pairs[number - 1] and logged[number - 1][1:3] == entry[1:3],
                          "unbound: response %d is not that of the query before it" % number)
    # A query is unanswered if the log has no response after it; sent twice, it is one.
    silent = {entry[1:3] for entry, after in zip(logged, logged[1:] + [("request",)])
              if entry[0] == "request" and after[0] == "request"}
    unanswered = [(message["detail"]["name"], message["detail"]["type"], message["detail"]["retries"])
                  for message in messages if message["kind"] == "unanswered"]
    results.check(unanswered == [(*silent.pop(), 1)] and not silent, "unbound: unanswered are %s" % unanswered)
    # The one that did not fit is asked for again over TCP, and comes whole.
    cut = [(number, message) for number, message in enumerate(messages)
           if message["kind"] == "response" and message["detail"]["flags"] & 0x200]
    results.check(len(cut) == 1 and flows[messages[cut[0][0] + 1]["flow"]]["proto"] == "TCP" and
                  len(messages[cut[0][0] + 2]["detail"]["records"]) == 7, "unbound: the truncated answer is not one")
    results.check("TXT big.example → truncated" in run("--messages", os.path.join(RECORDED, "unbound.pcapng")),
                  "unbound: the line of the truncated answer does not say so")
    aliases = [message for message in messages if message["kind"] == "response" and
               message["detail"]["name"] == "one.example"]
    for message in aliases:
        texts = [record["text"] for record in message["detail"]["records"] if record["section"] == 1]
        results.check(texts[:3] == ["two.example", "three.example", "www.example"] and len(texts) == 4,
                      "unbound: the aliases are %s" % texts)


def main():
    if not os.path.exists(support.REPLAY):
        print("skipped: no flowscope-replay (-DFLOWSCOPE_BENCH=ON)")
        return support.SKIPPED
    results = support.Results()
    statuses = check_nginx(results, "nginx.pcapng", "nginx.log")
    results.check({0, 100, 200, 201, 204, 206, 301, 304, 400, 404} == set(statuses), "nginx: statuses: %s" % statuses)
    check_nginx(results, "nginx-large.pcapng.gz", "nginx-large.log")
    check_openssl(results)
    check_unbound(results)
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
