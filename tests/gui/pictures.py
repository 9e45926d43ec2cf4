#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Take the pictures of docs/ anew: docs/images/*.png and docs/wireshark.png. Look at each before it is committed.

    tests/gui/pictures.py [NAME...]"""
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from window import NEEDED, Screen, Wireshark, install_profiles, support  # noqa: E402

DOCS = os.path.join(support.ROOT, "docs")
PCAPS = os.path.join(support.ROOT, "pcaps")
# A picture is for reading in a page, where more than these would be scaled down until nothing is readable.
WIDTH, HEIGHT = 1590, 780


class Session:
    """A capture in the window, in the size of the pictures."""

    def __init__(self, screen, tshark, capture, *arguments):
        self.screen = screen
        plain = os.path.join(tshark.folder, os.path.basename(capture)) # the title is to be the name alone
        shutil.copy(tshark.readable(os.path.join(PCAPS, capture)), plain)
        self.wireshark = Wireshark(screen, tshark, plain, *arguments)
        screen.do("windowsize", "--sync", self.wireshark.main, str(WIDTH), str(HEIGHT))
        screen.do("windowmove", "--sync", self.wireshark.main, "2", "2")
        time.sleep(1)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.wireshark.close()

    def details(self, *keys):
        """Go through the packet details. A click below their last line selects nothing."""
        self.wireshark.to_front()
        self.screen.click(self.wireshark.main, 300, HEIGHT - 60)
        self.screen.keys(*keys)
        time.sleep(0.5)

    def save(self, name, window=None):
        path = os.path.join(DOCS, name)
        # The mouse leaves no tooltip and no highlighted row behind.
        self.screen.do("mousemove", "1599", "999")
        time.sleep(0.5)
        self.screen.photograph(path, window or self.wireshark.main)


def duplicates(screen, tshark):
    with Session(screen, tshark, "recorded/duplicates.pcapng") as session:
        session.wireshark.set_filter("flowscope.duplicate == 1")
        session.wireshark.select(26)
        session.details("End", "End", "Right")
        session.save("images/duplicates.png")


def loss(screen, tshark):
    with Session(screen, tshark, "recorded/loss.pcapng") as session:
        session.wireshark.set_filter('flowscope.segment != "in-order" || flowscope.session.message')
        session.wireshark.select(38)
        session.details("End", "End", "Right")
        session.save("images/loss.png")


def injected(screen, tshark):
    with Session(screen, tshark, "generated/tcp-injected.pcap") as session:
        session.wireshark.select(7)
        session.details("End", "End", "Right", "End")
        session.save("images/injected.png")


def flows(screen, tshark):
    """The README's: the window, and the table of flows before it."""
    with Session(screen, tshark, "recorded/http.pcapng") as session:
        session.wireshark.select(8)
        session.details("End", "End", "Right")
        window = session.wireshark.statistics("Flowscope Flows")
        screen.do("windowsize", "--sync", window, "1530", "250")
        screen.do("windowmove", "--sync", window, "40", "740")
        session.save("wireshark.png", "root")


PICTURES = {function.__name__: function for function in (duplicates, loss, injected, flows)}


def main():
    missing = [program for program in (*NEEDED, "import") if not shutil.which(program)]
    strange = [name for name in sys.argv[1:] if name not in PICTURES]
    if missing or strange:
        sys.exit("not installed: %s; no such picture: %s; there are %s" %
                 (", ".join(missing) or "-", ", ".join(strange) or "-", ", ".join(PICTURES)))
    with support.Tshark() as tshark:
        install_profiles(tshark)
        screen = Screen()
        try:
            for name in sys.argv[1:] or PICTURES:
                PICTURES[name](screen, tshark)
        finally:
            screen.close()


if __name__ == "__main__":
    main()
