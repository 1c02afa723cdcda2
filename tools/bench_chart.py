"""Charts of `make bench`, as SVG: bars of every operation, and curves of what grows. Both axes of counts are logarithmic."""

import math
from html import escape

from bench_report import in_sections, number

INK, FAINT, GRID = "#222222", "#666666", "#dddddd"
OCTAVO, PALETTE = "#0b6e4f", ["#e07a1f", "#8d6cab", "#3b7dd8", "#b5485d"]
FONT = "font-family='Helvetica, Arial, sans-serif'"


def text(x, y, words, anchor="start", size=11, color=INK, more=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' fill='{color}' {more}>{escape(words)}</text>"


def line(x1, y1, x2, y2, color=GRID, width=1.0, more=""):
    return (f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{color}' stroke-width='{width}' {more}/>")


def box(x, y, width, height, color):
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0.0):.1f}' height='{height:.1f}' fill='{color}'/>"


def document(width, height, title, body):
    return "\n".join(
        [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' {FONT}>",
         f"<title>{escape(title)}</title>", box(0, 0, width, height, "#ffffff")] + body + ["</svg>", ""]
    )


def short(value):
    """10,000 as 10k."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:,.0f}{letter}"
    return f"{value:,.0f}"


class Log:
    """Values to positions, by their logarithm; what is below the least stands at it."""

    def __init__(self, least, most, start, end):
        self.low, self.high = math.floor(math.log10(least)), math.ceil(math.log10(most))
        self.high = max(self.high, self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        at = (math.log10(max(value, 10.0 ** self.low)) - self.low) / (self.high - self.low)
        return self.start + at * (self.end - self.start)

    def decades(self):
        return [10.0 ** exponent for exponent in range(self.low, self.high + 1)]


def bars(rows, columns):
    """One group per operation that counts instructions: Linux's columns, the best stripped one, Octavo; the goal as a tick."""
    rows = [row for row in rows if row.row.unit == "instructions" and (row.octavo is not None or row.stripped is not None)]
    names = [f"Linux {linux.version()}, as distributed" for linux in columns] + ["Linux, best stripped", "Octavo"]
    colors = (PALETTE * 2)[: len(names) - 1] + [OCTAVO]
    width, left, right, bar, gap, top = 1000, 350, 80, 9, 10, 76
    sections = list(in_sections(rows))
    height = top + len(rows) * (len(names) * bar + gap) + len(sections) * 26 + 40
    values = [v for row in rows for v in row.linux + [row.stripped, row.octavo] if v]
    scale = Log(1, max(values), left, width - right)
    body = [text(16, 26, "Guest instructions per operation: fewer is better", size=16, more="font-weight='bold'")]
    x = 16
    for name, color in zip(names, colors):
        body += [box(x, 40, 12, 12, color), text(x + 17, 50, name)]
        x += 40 + 6.4 * len(name)
    body += [line(x + 6, 38, x + 6, 54, INK, 2), text(x + 14, 50, "goal")]
    for decade in scale.decades():
        body += [line(scale(decade), top - 8, scale(decade), height - 30),
                 text(scale(decade), height - 14, f"{decade:,.0f}", "middle", color=FAINT)]
    y = top
    for section, members in sections:
        body.append(text(16, y + 14, section, size=12, more="font-weight='bold'"))
        y += 26
        for row in members:
            full = len(names) * bar
            body.append(text(left - 10, y + full / 2 + 4, row.row.label, "end"))
            for value, color in zip(row.linux + [row.stripped, row.octavo], colors):
                if value is not None:
                    body.append(box(left, y, scale(value) - left, bar - 1, color))
                    body.append(text(scale(value) + 4, y + bar - 1, number(value), size=8, color=FAINT))
                y += bar
            if row.row.goal is not None:
                goal = scale(row.row.goal)
                body.append(line(goal, y - full - 2, goal, y + 1, INK, 2))
            y += gap
    return document(width, height, "Octavo and Linux, guest instructions per operation", body)


def curves(panels):
    """panels: [{title, x, y, series: [{name, points: [(x, y)]}]}], side by side; x = 0 stands before the first decade."""
    width, height, each, top, bottom = 16 + 420 * len(panels), 430, 420, 60, 96
    body = [text(16, 26, "How cost grows (both axes logarithmic)", size=16, more="font-weight='bold'")]
    for place, panel in enumerate(panels):
        left, right = 16 + place * each + 56, 16 + (place + 1) * each - 24
        points = [point for series in panel["series"] for point in series["points"]]
        above = [x for x, _ in points if x > 0]
        zero = any(x == 0 for x, _ in points)
        across = Log(min(above), max(above), left + (24 if zero else 0), right)
        up = Log(max(min(y for _, y in points), 1), max(y for _, y in points), height - bottom, top)
        body.append(text(left, top - 12, panel["title"], size=12, more="font-weight='bold'"))
        for decade in up.decades():
            body += [line(left, up(decade), right, up(decade)),
                     text(left - 6, up(decade) + 4, short(decade), "end", size=9, color=FAINT)]
        for decade in across.decades():
            body += [line(across(decade), top, across(decade), height - bottom),
                     text(across(decade), height - bottom + 14, short(decade), "middle", size=9, color=FAINT)]
        if zero:
            body.append(text(left, height - bottom + 14, "0", "middle", size=9, color=FAINT))
        body.append(text((left + right) / 2, height - bottom + 30, panel["x"], "middle", color=FAINT))
        others = iter(PALETTE)
        for index, series in enumerate(panel["series"]):
            color = OCTAVO if series["name"] == "Octavo" else next(others)
            at = [(left if x == 0 else across(x), up(y)) for x, y in series["points"]]
            body.append(f"<polyline fill='none' stroke='{color}' stroke-width='2' points='"
                        + " ".join(f"{x:.1f},{y:.1f}" for x, y in at) + "'/>")
            body += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.5' fill='{color}'/>" for x, y in at]
            key = left + index * 120
            body += [box(key, height - 34, 10, 10, color), text(key + 14, height - 25, series["name"], size=10)]
    return document(width, height, "How Octavo's and Linux's cost grows", body)
