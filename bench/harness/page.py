# SPDX-License-Identifier: MIT
"""The report: one HTML page that loads nothing, with its pictures as inline SVG."""
import html
import math
import re
import statistics

from . import figures, targets

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1d2329 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tr { border-bottom: 1px solid #e3e7ea } .met { color: #18713a } .missed { color: #b3261e } .none { color: #6b757d }
svg { display: block; max-width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #3d464d }
code { font-size: .9em }
"""
COLOURS = ["#1f6fb2", "#c2571a", "#2e8b57", "#8e4bb0", "#a88a00", "#555f66", "#c0397a", "#008b8b", "#7a4a21", "#4455cc"]


def escape(value):
    return html.escape(str(value), quote=True)


def short(ns):
    """Nanoseconds in three digits."""
    for limit, unit, divisor in ((1e3, "ns", 1), (1e6, "µs", 1e3), (1e9, "ms", 1e6)):
        if ns < limit:
            return "%.3g %s" % (ns / divisor, unit)
    return "%.3g s" % (ns / 1e9)


def amount(number):
    return "%s" % int(number) if number < 1000 else "%gk" % (number / 1000) if number < 1e6 else "%gM" % (number / 1e6)


# ---- pictures ----


def boxes(rows):
    """One line a row: quartiles as a box, extremes as whiskers, each sample as a dot; over its own median."""
    left, width, step = 380, 460, 22
    height = step * len(rows) + 30
    spans = [abs(value / statistics.median(row["samples"]) - 1) for row in rows.values() for value in row["samples"]]
    reach = min(max(max(spans, default=0.0), 0.05), 1.0) * 1.05

    def x(value, middle):
        return left + width / 2 * (1 + max(-1.0, min(1.0, (value / middle - 1) / reach)))

    out = ['<svg viewBox="0 0 %d %d" width="%d" role="img" aria-label="spread of each row">' % (
        left + width + 110, height, left + width + 110)]
    for part in (-1, -0.5, 0, 0.5, 1):
        at = left + width / 2 * (1 + part)
        out.append('<line x1="%.1f" x2="%.1f" y1="0" y2="%d" stroke="#dde2e6"/><text x="%.1f" y="%d" '
                   'text-anchor="middle">%+.0f %%</text>' % (at, at, height - 22, at, height - 6, part * reach * 100))
    for number, (name, row) in enumerate(rows.items()):
        low, middle, high = figures.quartiles(row["samples"])
        y = number * step + step / 2
        out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (left - 10, y + 4, escape(name)))
        if middle:
            places = [x(value, middle) for value in (min(row["samples"]), low, middle, high, max(row["samples"]))]
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#6b7b88"/>' % (
                places[0], places[4], y, y))
            out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="12" fill="#bcd6ea" stroke="#1f6fb2"/>' % (
                places[1], y - 6, max(places[3] - places[1], 0.5)))
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#123e63" stroke-width="2"/>' % (
                places[2], places[2], y - 6, y + 6))
            out.extend('<circle cx="%.1f" cy="%.1f" r="1.6" fill="#123e63" fill-opacity=".5"/>' % (x(value, middle), y)
                       for value in row["samples"])
        out.append('<text x="%d" y="%.1f">%s</text>' % (left + width + 10, y + 4, escape(short(middle))))
    out.append("</svg>")
    return "\n".join(out)


def families(rows, value):
    """{name without its last number: [(number, value)]}, where there are three or more."""
    found = {}
    for name, row in rows.items():
        match = re.fullmatch(r"(.*)/(\d+)", name)
        if match and value(row) is not None:
            found.setdefault(match.group(1), []).append((int(match.group(2)), value(row)))
    return {name: sorted(points) for name, points in found.items() if len(points) >= 3}


def curves(series, unit):
    """Both axes logarithmic."""
    points = [point for line in series.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return "<p>No rows.</p>"
    left, top, width, height = 70, 10, 520, 300
    x0, x1 = (math.log10(f(p[0] for p in points)) for f in (min, max))
    y0, y1 = (math.log10(f(p[1] for p in points)) for f in (min, max))
    x1 = max(x1, x0 + 0.1)
    margin = max((y1 - y0) * 0.08, 0.05)
    y0, y1 = y0 - margin, y1 + margin

    def place(point):
        return (left + (math.log10(point[0]) - x0) / (x1 - x0) * width,
                top + height - (math.log10(point[1]) - y0) / (y1 - y0) * height)

    out = ['<svg viewBox="0 0 960 %d" width="960" role="img" aria-label="%s by number">' % (
        max(height + 60, 20 * len(series) + 30), escape(unit))]
    for power in range(math.ceil(x0), math.floor(x1) + 1):
        at, _ = place((10 ** power, 10 ** y0))
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#dde2e6"/><text x="%.1f" y="%d" '
                   'text-anchor="middle">%s</text>' % (at, at, top, top + height, at, top + height + 18,
                                                       amount(10 ** power)))
    for power in range(math.floor(y0), math.ceil(y1) + 1):
        for digit in (1, 2, 5):
            if y0 <= math.log10(digit * 10 ** power) <= y1:
                _, at = place((10 ** x0, digit * 10 ** power))
                out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dde2e6"/><text x="%d" y="%.1f" '
                           'text-anchor="end">%g</text>' % (left, left + width, at, at, left - 8, at + 4,
                                                            digit * 10 ** power))
    out.append('<text x="%d" y="%d" text-anchor="middle">number (flows, or frames remembered)</text>' % (
        left + width // 2, top + height + 38))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [place(point) for point in line]
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % point for point in at)))
        out.extend('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (*point, colour) for point in at)
        out.append('<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>' % (
            left + width + 20, top + 20 * number, colour, left + width + 38, top + 20 * number + 10, escape(name)))
    out.append("</svg>")
    return "\n".join(out)


def bars(pairs):
    """Pairs of ours and the other's time, each over the longer of the two."""
    left, width, step = 320, 420, 46
    out = ['<svg viewBox="0 0 900 %d" width="900" role="img" aria-label="beside the peers">' % (step * len(pairs) + 4)]
    for number, (target, result) in enumerate(pairs):
        top = number * step
        longest = max(result["ours_ns"], result["other_ns"])
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (left - 10, top + 22, escape(target.name)))
        for line, (label, ns, colour) in enumerate((("ours", result["ours_ns"], COLOURS[0]),
                                                    ("other", result["other_ns"], COLOURS[1]))):
            length = max(ns / longest * width, 1)
            out.append('<rect x="%d" y="%d" width="%.1f" height="15" fill="%s"/><text x="%.1f" y="%d">%s %s</text>' % (
                left, top + 4 + line * 17, length, colour, left + length + 6, top + 16 + line * 17, label,
                escape(short(ns))))
    out.append("</svg>")
    return "\n".join(out)


# ---- tables ----


def table(heads, lines, numbers=()):
    def cells(tag, line):
        return "".join('<%s%s>%s</%s>' % (tag, ' class="n"' if i in numbers else "", cell, tag)
                       for i, cell in enumerate(line))
    return "<table><thead><tr>%s</tr></thead><tbody>%s</tbody></table>" % (
        cells("th", heads), "".join("<tr>%s</tr>" % cells("td", line) for line in lines))


def target_lines(judged):
    for target, result in judged:
        if result is None:
            yield [escape(target.name), target.aim(), "", "", "", '<span class="none">not run</span>']
            continue
        word = "met" if result["met"] else "missed"
        yield [escape(target.name), target.aim(), "%.2f × (%.2f–%.2f)" % (result["ratio"], result["low"], result["high"]),
               escape(short(result["ours_ns"])), escape(short(result["other_ns"])),
               '<span class="%s">%s</span>' % (word, word)]


def row_lines(rows):
    for name, row in rows.items():
        low, middle, high = figures.quartiles(row["samples"])
        counters = ", ".join("%s %.4g" % (key, value) for key, value in sorted(row["counters"].items()))
        yield ["<code>%s</code>" % escape(name), escape(short(middle)), "%s–%s" % (escape(short(low)), escape(short(high))),
               "%.1f %%" % (100 * figures.spread(row["samples"])), escape(counters)]


def process_lines(processes):
    for name, result in processes.items():
        if "missing" in result:
            yield [escape(name), "", "", "", '<span class="none">left out: %s</span>' % escape(result["missing"])]
            continue
        yield [escape(name), "%.3f s" % statistics.median(result["ours"]), "%.3f s" % statistics.median(result["theirs"]),
               "%.2f × (%.2f–%.2f)" % (result["ratio"], result["low"], result["high"]),
               "<code>%s</code> beside <code>%s</code>" % (escape(result["options"]), escape(result["command"]))]


def render(results):
    """The page, of what bench/run keeps of a run."""
    rows = results["rows"]
    judged = targets.judge(rows)
    compared = [(target, result) for target, result in judged if result]
    out = ['<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>flowscope: measurements</title>',
           "<style>%s</style></head><body><h1>flowscope: measurements</h1>" % STYLE,
           table(["", ""], [[escape(key), escape(value)] for key, value in results["machine"].items()
                            if value is not None]),
           "<p>Command: <code>%s</code>. %d rounds; in each, every row runs in a process of its own, in random order. "
           "CPU time of one packet, or of one iteration where a row counts none. Medians; in brackets the quartiles.</p>"
           % (escape(results["command"]), results["repeat"]),
           "<h2>Targets</h2>", table(["target", "aim", "reached", "ours", "other", ""], target_lines(judged), (2, 3, 4))]
    if compared:
        out += ["<h2>Beside the peers</h2>", bars(compared)]
    out += ["<h2>Over the number of flows</h2>",
            curves(families({name: row for name, row in rows.items() if "sweep" not in name},
                            lambda row: statistics.median(row["samples"])), "ns/packet"),
            "<h2>Memory over the number of flows</h2><p>Bytes a flow, index included.</p>",
            curves(families(rows, lambda row: row["counters"].get("bytes/flow")), "bytes/flow")]
    if results.get("processes"):
        out += ["<h2>Whole programs</h2><p>CPU time over %s.</p>" % escape(results.get("capture", "a capture")),
                table(["program", "ours", "other", "other over ours", ""], process_lines(results["processes"]), (1, 2, 3))]
    out += ["<h2>Spread</h2><p>Each row over its own median.</p>", boxes(rows),
            "<h2>Rows</h2>", table(["row", "median", "quartiles", "spread", "counters"], row_lines(rows), (1, 2, 3))]
    if results.get("errors"):
        out += ["<h2>Failed</h2>", table(["row", "why"], [[escape(k), escape(v)] for k, v in results["errors"].items()])]
    out.append("</body></html>\n")
    return "\n".join(out)
