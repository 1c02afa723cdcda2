"""What `make bench` found, for a terminal and as Markdown."""

import statistics


def number(value, unit="instructions"):
    """Three or more significant digits, never more than a reader can use."""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value:+.0f} %"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.1f}"
    return f"{value:.2g}"


def times(ratio):
    """5,584 / 120 as 46x, and 0.8x where Linux needs fewer."""
    if ratio is None:
        return ""
    return f"{number(ratio) if ratio < 10 else format(ratio, ',.0f')}x"


def heads(columns):
    return ["operation"] + [linux.column() for linux in columns] + ["best stripped", "Octavo", "ratio", "goal"]


def cells(compared):
    unit = compared.row.unit
    return (
        [compared.row.label] + [number(value, unit) for value in compared.linux]
        + [number(compared.stripped, unit), number(compared.octavo, unit), times(compared.ratio()),
           "" if compared.row.goal is None else number(compared.row.goal, unit) + (" met" if compared.meets_goal() else "")]
    )


def in_sections(rows):
    """(section, its rows) in order."""
    for row in rows:
        if row is rows[0] or row.section != last:
            last = row.section
            yield last, [other for other in rows if other.section == last]


def terminal_table(rows, columns):
    table = [heads(columns)] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]

    def line(texts):
        return "  ".join([texts[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(texts[1:], widths[1:])]).rstrip()

    out = [line(heads(columns))]
    for section, members in in_sections(rows):
        out += ["", section] + [line(cells(row)) for row in members]
    return "\n".join(out)


def markdown_table(rows, columns):
    head = heads(columns)
    out = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for section, members in in_sections(rows):
        out.append("| **" + section + "** |" + " |" * (len(head) - 1))
        for row in members:
            texts = cells(row)
            texts[-3] = f"**{texts[-3]}**"
            out.append("| " + " | ".join(text.strip() for text in texts) + " |")
    return "\n".join(out)


def summary(rows):
    """How the table comes out, in three lines."""
    with_goal = [row for row in rows if row.row.goal is not None and row.octavo is not None]
    ratios = [row.ratio() for row in rows if row.ratio() is not None and row.row.unit == "instructions"]
    distributed = [row.linux[-1] / row.octavo for row in rows
                   if row.row.unit == "instructions" and row.octavo and row.linux and row.linux[-1] is not None]
    out = [f"{sum(row.meets_goal() for row in with_goal)} of {len(with_goal)} goals are met."]
    if ratios:
        ten = sum(ratio >= 10 for ratio in ratios)
        out.append(f"Against the best stripped Linux: ten times fewer in {ten} of {len(ratios)} operations, fewer in "
                   f"{sum(ratio > 1 for ratio in ratios)}, median {times(statistics.median(ratios))}.")
    if distributed:
        out.append(f"Against the newest Linux as distributed: fewer in {sum(ratio > 1 for ratio in distributed)} of "
                   f"{len(distributed)}, median {times(statistics.median(distributed))}.")
    return out


def growth_table(growth):
    """How the cost grows, as Markdown."""
    out = []
    for panel in growth:
        out += [f"### {panel['title']}", "", "| " + panel["x"] + " | " + " | ".join(s["name"] for s in panel["series"]) + " |",
                "|---:|" + "---:|" * len(panel["series"])]
        known = [dict(map(tuple, series["points"])) for series in panel["series"]]
        for x in sorted({x for points in known for x in points}):
            out.append(f"| {x:,} | " + " | ".join(number(points.get(x)) for points in known) + " |")
        out.append("")
    return "\n".join(out)


def report(rows, columns, sources, left_out, growth):
    """report.md as a whole."""
    missing = [row.row.label for row in rows if row.octavo is None]
    out = ["# Octavo and Linux, side by side", "",
           "Guest instructions per operation, counted by QEMU; docs/performance.md says how, and how to read it.", "",
           markdown_table(rows, columns), ""]
    out += ["*ratio*: how many times fewer than the best stripped Linux, the lowest of its figures. A dash: not measured."]
    out += ["", "![the same as bars](chart.svg)", ""] + [f"* {line}" for line in summary(rows)]
    out += ["", "## Where the figures come from", ""] + [f"* {source}" for source in sources]
    if missing:
        out += [f"* Octavo has no such call, or no room for it here: {'; '.join(missing)}."]
    out += [f"* {line}" for line in left_out]
    if growth:
        out += ["", "## How cost grows", "", "![the same as curves](growth.svg)", "", growth_table(growth)]
    return "\n".join(out).rstrip() + "\n"
