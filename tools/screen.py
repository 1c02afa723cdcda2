"""What a person sees: QEMU's screenshots, read with the kernel's own font, against what the serial line said."""

import os
import re
import tempfile
import time

from monitor import Monitor, MonitorError
from run_kernel import Result, boot, read

FONT = "kernel/font.c"
WIDTH, HEIGHT, BESIDE, ABOVE, DRAWN = 8, 16, 12, 2, 13  # as there
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
PATIENCE = 20  # seconds: the serial line is ahead of the screen


def font():
    """Character by its rows: a number each, whose bit 7 is the leftmost pixel."""
    picture = re.findall(r'^\t"([ #]+)",$', read(FONT), re.MULTILINE)
    known = {}
    for glyph in range(len(picture) // DRAWN * BESIDE):
        left, top = glyph % BESIDE * WIDTH, glyph // BESIDE * DRAWN
        drawn = [row[left : left + WIDTH].replace(" ", "0").replace("#", "1") for row in picture[top : top + DRAWN]]
        rows = bytes(ABOVE) + bytes(int(row, 2) for row in drawn) + bytes(HEIGHT - ABOVE - DRAWN)
        known[rows] = chr(ord(" ") + glyph)
    return known


def read_text(shot, known):
    """The rows of text in a binary PPM, as (columns, rows without blanks at their ends)."""
    with open(shot, "rb") as file:
        magic, size, most, pixels = file.read().split(b"\n", 3)
    if magic != b"P6" or most != b"255":
        raise ValueError(f"{shot} is not a binary PPM")
    width, height = map(int, size.split())
    lit = bytes(any(pixels[at : at + 3]) for at in range(0, 3 * width * height, 3))
    rows = []
    for top in range(0, height - HEIGHT + 1, HEIGHT):
        text = ""
        for left in range(0, width - WIDTH + 1, WIDTH):
            lines = (lit[y * width + left : y * width + left + WIDTH] for y in range(top, top + HEIGHT))
            text += known.get(bytes(int("".join(map(str, line)), 2) for line in lines), UNKNOWN)
        rows.append(text.rstrip())
    return width // WIDTH, rows


def compare(columns, rows, lines):
    """None, or how what stands on the screen differs from the end of `lines`."""
    while rows and not rows[-1]:
        rows = rows[:-1]
    told = [line[at : at + columns].rstrip() for line in lines for at in range(0, max(len(line), 1), columns)]
    if not rows or len(told) < len(rows):
        return f"{len(rows)} rows on the screen, {len(told)} were told"
    for row, (seen, expected) in enumerate(zip(rows, told[-len(rows) :])):
        if seen != expected:
            return f"row {row} of the screen is `{seen}`, but `{expected}` was told"
    return None


def look(monitor, lines, scratch):
    """What is wrong with the screen of the machine at `monitor`, and is not right within a while."""
    shot, known, deadline = os.path.join(scratch, "shot.ppm"), font(), time.monotonic() + PATIENCE
    while True:
        monitor.execute("screendump", filename=shot)
        columns, rows = read_text(shot, known)
        wrong = compare(columns, rows, lines)
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.5)


def run_screen(machine, last, limit, log):
    """The machine, which does not leave QEMU by itself, tells `last`; then its screen ends as the serial line did."""
    result, seen, started = Result(log=log), [], time.monotonic()

    with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
        machine.monitor = os.path.join(scratch, "monitor")

        def watch(line):
            result.lines.append(line)
            if line.startswith(last) and not seen:
                monitor = Monitor(machine.monitor)
                seen.append(look(monitor, result.lines, scratch))
                try:
                    monitor.execute("quit")
                except MonitorError:  # gone before it answered
                    pass

        boot(machine, limit, log, watch)
    complaints = [line for line in result.lines if re.match("WARNING|error:", line)]
    if not seen:
        result.fail(f"no line `{last}` within the time limit")
    elif seen[0]:
        result.fail(seen[0])
    elif complaints:
        result.fail(f"the boot loader complains: {complaints[0]}")
    else:
        result.passed = 1
    result.seconds = time.monotonic() - started
    return result
