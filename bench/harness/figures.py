# SPDX-License-Identifier: MIT
"""Statistics over samples of a noisy machine."""
import math
import statistics


def quantile(samples, part):
    """Linear between the nearest two; part is 0 to 1."""
    ordered = sorted(samples)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def quartiles(samples):
    return quantile(samples, 0.25), statistics.median(samples), quantile(samples, 0.75)


def spread(samples):
    """Distance of the quartiles over the median."""
    low, middle, high = quartiles(samples)
    return (high - low) / middle if middle else 0.0


def ranks(values):
    """Rank of each value from 1, equal ones sharing the mean of theirs; and the sizes of the groups of equals."""
    order = sorted(range(len(values)), key=values.__getitem__)
    out, ties = [0.0] * len(values), []
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            out[place] = (start + 1 + end) / 2
        ties.append(end - start)
        start = end
    return out, ties


def mann_whitney(before, now):
    """Probability of samples this much larger if nothing had changed: one-sided Mann-Whitney U test of `now` being
    larger, by the normal approximation with corrections for ties and for continuity."""
    n, m = len(before), len(now)
    if not n or not m:
        raise ValueError("no samples")
    order, ties = ranks(list(before) + list(now))
    u = sum(order[n:]) - m * (m + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - sum(t ** 3 - t for t in ties) / (total * (total - 1))) if total > 1 else 0
    if variance <= 0:
        return 1.0 # all are equal
    z = (u - n * m / 2 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))


def ratio_of(over, under):
    """Ratio of the medians, and the quartiles of the ratios of the rounds, in which machine and noise are shared."""
    pairs = [a / b for a, b in zip(over, under) if b]
    return statistics.median(over) / statistics.median(under), quantile(pairs, 0.25), quantile(pairs, 0.75)


def regressions(before, now, percent=10.0, probability=0.01):
    """Rows that are slower: (name, factor, probability), of {name: samples}."""
    found = []
    for name in sorted(set(before) & set(now)):
        factor = statistics.median(now[name]) / statistics.median(before[name])
        p = mann_whitney(before[name], now[name])
        if factor > 1 + percent / 100 and p < probability:
            found.append((name, factor, p))
    return found
