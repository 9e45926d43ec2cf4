# SPDX-License-Identifier: MIT
"""What is aimed at, as ratios of rows of one run."""
import re
import statistics

from . import figures

CRATE = "peer/flowscope-rs"


class Target:
    """`ours` and `other` are expressions for whole names of rows. A speed-up is other over ours and must reach `limit`;
    a cost is ours over other and must not pass it. Where several rows of others are found, the fastest counts: the
    crate is built in two ways."""

    def __init__(self, name, ours, other, limit, cost=False):
        self.name = name
        self.ours = ours
        self.other = other
        self.limit = limit
        self.cost = cost

    def aim(self):
        return ("≤ %g ×" if self.cost else "≥ %g ×") % self.limit

    def judge(self, rows):
        """None if a row is missing, else what was reached."""
        ours = find(rows, self.ours)
        other = find(rows, self.other)
        if not ours or not other:
            return None
        a, b = rows[ours]["samples"], rows[other]["samples"]
        ratio, low, high = figures.ratio_of(a, b) if self.cost else figures.ratio_of(b, a)
        met = ratio <= self.limit if self.cost else ratio >= self.limit
        return {"ours": ours, "other": other, "ours_ns": statistics.median(a), "other_ns": statistics.median(b),
                "ratio": ratio, "low": low, "high": high, "met": met}


def find(rows, expression):
    """The fastest row whose whole name the expression matches."""
    names = [name for name in rows if re.fullmatch(expression, name)]
    return min(names, key=lambda name: statistics.median(rows[name]["samples"]), default=None)


def crate(row):
    return "%s(-lto)?/%s" % (CRATE, row)


def against_crate(name, row, limit, ours=None):
    return Target(name + ", over the crate", ours or re.escape(row), crate(re.escape(row)), limit)


TARGETS = [
    against_crate("extractor, TCP", "extractor/five_tuple_ipv4_tcp", 15),
    against_crate("extractor, UDP", "extractor/five_tuple_ipv4_udp", 15),
    against_crate("tracker, one flow", "tracker/monoflow", 10),
    Target("tracker, one flow, over a bare parse and one cached probe", "tracker/monoflow",
           "bare/parse_ipv4_tcp_and_probe", 2.5, cost=True),
    against_crate("tracker, 10 flows", "tracker/n_flows/10", 10),
    against_crate("tracker, 100 flows", "tracker/n_flows/100", 10),
    against_crate("tracker, 1,000 flows", "tracker/n_flows/1000", 10),
    against_crate("tracker, 10,000 flows", "tracker/n_flows/10000", 10),
    Target("tracker, 1,000,000 flows, batched over single", "tracker/n_flows_batched/1000000", "tracker/n_flows/1000000",
           2.5),
    Target("the table alone, 1,000,000 flows shuffled, batched over single", "tracker/table_batched_shuffled/1000000",
           "tracker/table_single_shuffled/1000000", 2.5),
    Target("reassembler in order, over a copy", "reassembler/in_order_1500_uncapped", "reassembler/memcpy_1500_through_1m",
           1.5, cost=True),
    Target("reassembler in order and capped, over a copy", "reassembler/in_order_1500_capped_1m",
           "reassembler/memcpy_1500_through_1m", 1.5, cost=True),
    Target("reassembler in order without a buffer, over a copy", "reassembler/zero_copy_in_order",
           "reassembler/memcpy_1500_through_1m", 0.5, cost=True),
    Target("reassembler, 10 % out of order, over a copy", "reassembler/ooo_10pct", "reassembler/memcpy_1500_through_1m", 3,
           cost=True),
    against_crate("reassembler in order", "reassembler/in_order_1500_uncapped", 1),
    against_crate("reassembler in order and capped", "reassembler/in_order_1500_capped_1m", 1),
    against_crate("reassembler, segments ahead dropped", "reassembler/ooo_drops", 1),
    against_crate("reassembler, stopped", "reassembler/drop_flow_poisoned", 1),
    # The same window of 256 frames as the crate's.
    against_crate("duplicates, 64 bytes unique", "dedup/unique_64", 20, "dedup/unique_64(/256)?"),
    against_crate("duplicates, 1,500 bytes unique", "dedup/unique_1500", 8, "dedup/unique_1500(/256)?"),
    against_crate("duplicates, 1,500 bytes equal", "dedup/duplicate_1500", 2, "dedup/duplicate_1500(/256)?"),
    against_crate("session, nothing parsed", "session_driver/passthrough", 8, "session/passthrough/1"),
]


def judge(rows):
    """[(target, what was reached or None)]"""
    return [(target, target.judge(rows)) for target in TARGETS]
