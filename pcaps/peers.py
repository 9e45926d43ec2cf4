#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers and clients of the recordings, from the standard library.

    peers.py http-server ADDRESS PORT       serves /file/SIZE: SIZE bytes that only depend on SIZE
    peers.py http-get ADDRESS PORT [--source PORT] [--close client|server|abort] PATH...
    peers.py http-send ADDRESS PORT [--source PORT] TEXT...
                                            sends each text (\\r, \\n as in C), and reads until the server pauses
    peers.py dns-server ADDRESS PORT        knows *.example, over UDP and TCP
    peers.py dns-query ADDRESS PORT [--tcp] [--timeout S] [--tries N] NAME...
                                            NAME or NAME/TYPE; a truncated answer is asked for again over TCP
"""
import argparse
import http.client
import http.server
import random
import socket
import socketserver
import struct
import sys
import threading


def content(size):
    """The file of this size, which a reader of the capture must get back."""
    return random.Random(size).randbytes(size)


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

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
    http.server.ThreadingHTTPServer((options.address, options.port), Files).serve_forever()


def http_get(options):
    source = (("", options.source) if options.source else None)
    connection = http.client.HTTPConnection(options.address, options.port, timeout=30, source_address=source)
    try:
        connection.connect()
    except ConnectionRefusedError:
        print("refused")
        return
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
        name, _, type_ = text.partition("/")
        parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        query = struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + parts + struct.pack("!HH", int(type_ or 1), 1)
        answer = dns_ask(end, query, options.tries)
        if answer and answer[2] & 2:  # TC
            with dns_connect(options, socket.SOCK_STREAM) as stream:
                answer = dns_ask(stream, query, 1)
        print(len(answer))
    end.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("http-server", http_server), ("http-get", http_get), ("http-send", http_send),
                           ("dns-server", dns_server),
                           ("dns-query", dns_query)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("address")
        command.add_argument("port", type=int)
        if name in ("http-get", "http-send"):
            command.add_argument("--source", type=int, default=0)
        if name == "http-get":
            command.add_argument("--close", choices=("client", "server", "abort"), default="client")
        if name == "dns-query":
            command.add_argument("--tcp", action="store_true")
            command.add_argument("--timeout", type=float, default=2)
            command.add_argument("--tries", type=int, default=1)
        if name in ("http-get", "http-send", "dns-query"):
            command.add_argument("path", nargs="+")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
