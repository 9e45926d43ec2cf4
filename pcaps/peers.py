#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers and clients of the recordings, from the standard library.

    peers.py http-server ADDRESS PORT [--lossy]
                                            serves /file/SIZE: SIZE bytes that only depend on SIZE; takes the same
    peers.py http-get ADDRESS PORT [--source PORT] [--close client|server|abort] [--lossy] PATH...
    peers.py http-put ADDRESS PORT [--source PORT] PATH...
                                            --lossy: a filter in the kernel drops 10 % of the segments that are received
    peers.py http-send ADDRESS PORT [--source PORT] TEXT...
                                            sends each text (\\r, \\n as in C), and reads until the server pauses
    peers.py dns-server ADDRESS PORT        knows *.example, over UDP and TCP
    peers.py dns-query ADDRESS PORT [--tcp] [--timeout S] [--tries N] NAME...
                                            NAME or NAME/TYPE; a truncated answer is asked for again over TCP
    peers.py idle ADDRESS PORT              a connection with keep-alives for 3.5 s
    peers.py ping ADDRESS [--count N] [--pause S] [--same]
                                            echo requests; the same one each time
    peers.py repeat ADDRESS PORT [--connect] [--hops N] NAME
                                            a DNS query, the same each time, 0, 0.05, 0.3, 0.9, 2, 5 and 9 ms apart
    peers.py syns SOURCE ADDRESS            SYNs of a scanner with a constant identification, each twice
"""
import argparse
import ctypes
import http.client
import http.server
import random
import socket
import socketserver
import struct
import sys
import threading
import time

SO_ATTACH_FILTER = 26


def content(size):
    """The file of this size, which a reader of the capture must get back."""
    return random.Random(size).randbytes(size)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def lose(end):
    """Let a TCP socket's filter drop 10 % of the segments: loss in the kernel, on a line as short as that of a veth."""
    rand = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
    program = [(0x20, 0, 0, rand), (0x35, 0, 1, 0xFFFFFFFF // 10), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lossy = False

    def setup(self):
        if self.lossy:
            lose(self.request)
        super().setup()

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201 if body == content(len(body)) else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        kind, _, size = self.path.lstrip("/").partition("/")
        if kind != "file" or not size.isdigit():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(content(int(size)))

    def log_message(self, *_):
        pass


def http_server(options):
    Files.lossy = options.lossy
    http.server.ThreadingHTTPServer.address_family = family(options.address)
    http.server.ThreadingHTTPServer((options.address, options.port), Files).serve_forever()


def http_get(options):
    source = (("", options.source) if options.source else None)
    connection = http.client.HTTPConnection(options.address, options.port, timeout=30, source_address=source)
    try:
        connection.connect()
    except ConnectionRefusedError:
        print("refused")
        return
    if options.lossy:
        lose(connection.sock)
    for path in options.path:
        headers = {"Connection": "close"} if options.close == "server" and path == options.path[-1] else {}
        connection.request("GET", path, headers=headers)
        if options.close == "abort":
            connection.sock.recv(1000)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            break
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200 and body != content(len(body)):
            sys.exit("the content of %s is not what it should be" % path)
        print(answer.status, len(body))
    connection.close()


def http_put(options):
    source = (("", options.source) if options.source else None)
    connection = http.client.HTTPConnection(options.address, options.port, timeout=30, source_address=source)
    for path in options.path:
        connection.request("PUT", path, body=content(int(path.rpartition("/")[2])))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            sys.exit("%s arrived as something else" % path)
    connection.close()


def http_send(options):
    """The texts as they are: pipelined, malformed, in pieces. The server answers within the pause."""
    received = 0
    with socket.create_connection((options.address, options.port), source_address=("", options.source)) as end:
        end.settimeout(0.3)
        for text in options.path:
            end.sendall(text.encode("latin-1").decode("unicode_escape").encode("latin-1"))
            try:
                while data := end.recv(65536):
                    received += len(data)
            except TimeoutError:
                pass
    print(received)


def dns_answer(query):
    end = query.index(b"\0", 12) + 5
    name = query[12:end - 4]
    (kind,) = struct.unpack("!H", query[end - 4:end - 2])
    known = name.endswith(b"\x07example\0")
    answer = {1: bytes([198, 51, 100, 7]), 28: bytes.fromhex("20010db8" + "0" * 22 + "07"), 16: b"\x0bhello world"}
    data = answer.get(kind) if known else None
    head = query[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8583, 1, 1 if data else 0, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if data else b""
    return head + query[12:end] + record


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self):
        data, end = self.request
        end.sendto(dns_answer(data), self.client_address)


class DnsTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            answer = dns_answer(self.rfile.read(struct.unpack("!H", length)[0]))
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


def dns_server(options):
    socketserver.TCPServer.allow_reuse_address = True
    tcp = socketserver.TCPServer((options.address, options.port), DnsTcp)
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    socketserver.UDPServer((options.address, options.port), DnsUdp).serve_forever()


def question(number, text):
    name, _, type_ = text.partition("/")
    parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + parts + struct.pack("!HH", int(type_ or 1), 1)


def dns_connect(options, kind):
    end = socket.socket(socket.AF_INET, kind)
    end.settimeout(options.timeout)
    end.connect((options.address, options.port))
    return end


def dns_ask(end, query, tries):
    """The answer; nothing if all tries time out."""
    for _ in range(tries):
        is_stream = end.type == socket.SOCK_STREAM
        end.send(struct.pack("!H", len(query)) + query if is_stream else query)
        try:
            return end.recv(65535)[2 if is_stream else 0:]
        except OSError as error:
            print(error)
    return b""


def dns_query(options):
    end = dns_connect(options, socket.SOCK_STREAM if options.tcp else socket.SOCK_DGRAM)
    for number, text in enumerate(options.path, 1):
        query = question(number, text)
        answer = dns_ask(end, query, options.tries)
        if answer and answer[2] & 2:  # TC
            with dns_connect(options, socket.SOCK_STREAM) as stream:
                answer = dns_ask(stream, query, 1)
        print(len(answer))
    end.close()


def idle(options):
    with socket.create_connection((options.address, options.port)) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            end.setsockopt(socket.IPPROTO_TCP, name, 1)
        time.sleep(3.5)


def internet_checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(options):
    version6 = family(options.address) == socket.AF_INET6
    protocol, request = (socket.IPPROTO_ICMPV6, 128) if version6 else (socket.IPPROTO_ICMP, 8)
    with socket.socket(family(options.address), socket.SOCK_RAW, protocol) as end:
        for number in range(options.count):
            body = struct.pack("!HH", 77, 0 if options.same else number) + bytes(range(48))
            checksum = 0 if version6 else internet_checksum(struct.pack("!BBH", request, 0, 0) + body)
            end.sendto(struct.pack("!BBH", request, 0, checksum) + body, (options.address, 0))
            time.sleep(options.pause)


def repeat(options):
    query = question(4711, options.name)
    with socket.socket(family(options.address), socket.SOCK_DGRAM) as end:
        if options.hops:
            end.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, options.hops)
        if options.connect:
            end.connect((options.address, options.port))
        for pause in (0, 0, 0, 0.00005, 0.0003, 0.0009, 0.002, 0.005, 0.009):
            time.sleep(pause)
            try:
                end.send(query) if options.connect else end.sendto(query, (options.address, options.port))
            except ConnectionRefusedError:
                print("refused")


def syns(options):
    source, target = socket.inet_aton(options.source), socket.inet_aton(options.address)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as end:
        for port in range(1000, 1020):
            tcp = struct.pack("!HHIIBBHHH", 44321, port, 0x1000000 + port, 0, 0x50, 2, 65535, 0, 0)
            checksum = internet_checksum(source + target + struct.pack("!HH", 6, len(tcp)) + tcp)
            tcp = tcp[:16] + struct.pack("!H", checksum) + tcp[18:]
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 54321, 0, 64, 6, 0) + source + target
            for _ in range(2):
                end.sendto(ip + tcp, (options.address, 0))
                time.sleep(0.0001)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("http-server", http_server), ("http-get", http_get), ("http-put", http_put),
                           ("http-send", http_send),
                           ("dns-server", dns_server), ("dns-query", dns_query), ("idle", idle), ("ping", ping),
                           ("repeat", repeat), ("syns", syns)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        if name == "syns":
            command.add_argument("source")
        command.add_argument("address")
        if name not in ("ping", "syns"):
            command.add_argument("port", type=int)
        if name in ("http-server", "http-get"):
            command.add_argument("--lossy", action="store_true")
        if name in ("http-get", "http-put", "http-send"):
            command.add_argument("--source", type=int, default=0)
        if name == "ping":
            command.add_argument("--count", type=int, default=5)
            command.add_argument("--pause", type=float, default=0)
            command.add_argument("--same", action="store_true")
        if name == "repeat":
            command.add_argument("--connect", action="store_true")
            command.add_argument("--hops", type=int, default=0)
            command.add_argument("name")
        if name == "http-get":
            command.add_argument("--close", choices=("client", "server", "abort"), default="client")
        if name == "dns-query":
            command.add_argument("--tcp", action="store_true")
            command.add_argument("--timeout", type=float, default=2)
            command.add_argument("--tries", type=int, default=1)
        if name in ("http-get", "http-put", "http-send", "dns-query"):
            command.add_argument("path", nargs="+")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
