#!/usr/bin/env python3
"""`make bench`: Octavo and Linux side by side, in guest instructions; `make bench-check`: has anything become dearer?

    bench.py run [--linux auto|reference|again] [--no-growth]
    bench.py check            compares with bench/counts.json; status 1 if a row rose
    bench.py update           writes bench/counts.json

QEMU counts the instructions (-icount shift=0), so a figure is the same on every machine and in every run; another compiler
makes another kernel. docs/performance.md says what is measured, and how to read it.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import bench_chart
import bench_report
import bench_rows
import qemu
from run_kernel import LOGS, Result, end_when_told, run_bench

OUT = "build/bench"
ISO = "build/release/octavo.iso"
COUNTS = "bench/counts.json"
CPU = "max,erms=off"  # as in bench/linux/run.sh: `rep stosq` instead of `rep stosb`, each round of which counts
LIMIT = 900  # seconds per machine
LINUX_LIMIT = 3600
TOLERANCE = 0.02
LINUX_GROUPS = "boot page kmalloc cache vmalloc arena vmap big scenario memory"

GROWTH_BOOTS = ["128M", "512M", "2G", "8G", "16G", "64G", "256G", "1T"]
GROWTH_MEM = "16G"
GROWTH_ROWS = ["page.order*.pair", "arena.live*.pair"]
LIVE = [0, 1000, 10000, 100000, 1000000]


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Progress:
    """On a terminal, the row that has just been measured."""

    def __init__(self):
        self.count, self.live = 0, sys.stdout.isatty()

    def __call__(self, line):
        self.count += 1
        if self.live:
            print(f"\r\x1b[K  {self.count} rows, {line[len('BENCH '):][:90]}", end="", flush=True)

    def end(self):
        if self.live:
            print("\r\x1b[K", end="", flush=True)


def measure(mem, cmdline, name):
    """What one machine measures. A run that goes wrong ends the whole: half a table would mislead."""
    progress = Progress()
    machine = qemu.Machine(iso=ISO, mem=mem, cpu=CPU, icount=0, cmdline=cmdline)
    result = run_bench(machine, LIMIT, f"{LOGS}/bench-{name}.log", progress)
    progress.end()
    if result.failed:
        raise SystemExit("\n".join([f"bench: {name}:"] + result.problems + [f"serial output: {result.log}"]))
    return result


def left_out(results):
    return sorted({line[len("bench: "):] for result in results for line in result.lines if line.startswith("bench: ")})


# ---- Octavo ----------------------------------------------------------------------------------------------------------


def octavo():
    """(figures by name, what was left out): every row with 2 GiB, those of 1 GiB and more with 4 GiB, as for Linux."""
    small, big = measure("2G", "bench exit", "2g"), measure("4G", "bench=big.* exit", "4g")
    figures = dict(small.figures)
    figures.update({name: figure for name, figure in big.figures.items() if name.startswith("big.")})
    if figures["bench.calibration"].get("insns") != 2.0:
        raise SystemExit("bench: QEMU does not count instructions here: bench.calibration is not 2.00")
    return figures, left_out([small, big])


def boots(mems):
    """boot.SIZE: instructions until memory is ready."""
    figures = {}
    for mem in mems:
        say(f"Octavo boots with {mem}")
        figures[f"boot.{mem}"] = dict(measure(mem, "exit", f"boot-{mem}").figures["boot.mm_ready"], name=f"boot.{mem}")
    return figures


def compiler():
    words = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout
    return words.splitlines()[0]


# ---- Linux -----------------------------------------------------------------------------------------------------------


def distribution_kernel():
    """The kernel that apt would give this machine, or None if it knows of none."""
    try:
        found = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    match = re.search(r"Depends: linux-image-(\S+)", found.stdout)
    return match[1] if match else None


def cached_linux(kernel=None):
    """What was measured on this machine before, of `kernel` if that is told, else the newest; or None."""
    found = glob.glob(f"{OUT}/linux-{kernel or '*'}.jsonl")
    return bench_rows.load_linux(max(found, key=os.path.getmtime), here=True) if found else None


def measure_linux():
    """The distribution's kernel, downloaded and not installed. (results, None), or (None, why not)."""
    scratch = f"{OUT}/linux"
    os.makedirs(scratch, exist_ok=True)
    say("Linux: some minutes; the results are kept for the next time")
    command = ["bench/linux/run.sh", "--groups", LINUX_GROUPS, scratch]
    last = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        try:
            for words in run.stderr:
                last = words.strip()
                print(f"{last[:8]} Linux: {last[9:]}" if last[2:3] == ":" else last, flush=True)
        except BaseException:
            os.killpg(run.pid, 15)
            raise
    if run.returncode != 0:
        return None, last.partition(" ")[2] or f"bench/linux/run.sh ended with status {run.returncode}"
    results = bench_rows.load_linux(f"{scratch}/results.jsonl", here=True)
    os.replace(f"{scratch}/results.jsonl", f"{OUT}/linux-{results.kernel}.jsonl")
    shutil.rmtree(f"{scratch}/work")
    return results, None


def linux_results(how):
    """(columns to show, stripped kernels, where they come from)"""
    references = bench_rows.references()
    stripped = [linux for linux in references if linux.config == "tiny"]
    distributed = [linux for linux in references if linux.config == "lean4"]
    here, why = None, "not asked for"
    if how == "auto":
        here = cached_linux(distribution_kernel())
    if not here and how != "reference":
        here, why = measure_linux()
        here = here or cached_linux()
    sources = []
    if here:
        columns = [here] + [linux for linux in distributed[-1:] if linux.version() != here.version()]
        sources.append(f"Linux {here.kernel}, the distribution's, was measured on this machine.")
    else:
        columns = [distributed[0], distributed[-1]]
        sources.append(f"Linux was not measured here ({why}): all of its figures are references.")
    names = ", ".join(f"{linux.kernel} ({linux.config})" for linux in references)
    sources.append(f"References, measured once and committed (bench/linux/reference): {names}.")
    sources.append("Linux as distributed runs with its mitigations and hardening switched off as far as boot options go.")
    return columns, stripped, sources


# ---- Growth ----------------------------------------------------------------------------------------------------------


def linux_points(linux, xs, read):
    values = [(x, read(x)(linux.table)) for x in xs]
    return [(x, y) for x, y in values if y is not None]


def grow(columns, stripped):
    """How cost grows with RAM, with live areas and with a block's order: panels for the chart, and what was left out."""
    figures = boots(GROWTH_BOOTS)
    results = []
    for rows in GROWTH_ROWS:
        say(f"Octavo measures {rows} with {GROWTH_MEM}")
        results.append(measure(GROWTH_MEM, f"bench={rows} exit", "growth"))
    for result in results:
        figures.update(result.figures)
    kernels = [columns[-1]] + stripped[-1:]
    names = [f"Linux {linux.version()}" + (", stripped" if linux in stripped else "") for linux in kernels]

    def mine(name, xs):
        return [(x, figures[name.format(x)]["insns"]) for x in xs if name.format(x) in figures]

    def panel(title, x, points, xs, read):
        series = [{"name": "Octavo", "points": points}]
        series += [{"name": name, "points": linux_points(linux, xs, read)} for name, linux in zip(names, kernels)]
        return {"title": title, "x": x, "series": [one for one in series if one["points"]]}

    mib = {mem: qemu.Machine(None, mem=mem).memory_bytes() >> 20 for mem in GROWTH_BOOTS}
    boot_points = [(mib[mem], figures[f"boot.{mem}"]["insns"]) for mem in GROWTH_BOOTS]
    panels = [
        panel("Boot to memory ready (Linux: to its first process)", "MiB of RAM", boot_points, [2048, 8192],
              lambda x: bench_rows.boot(f"{x >> 10}G")),
        panel("vmalloc(1 page), vfree", "live areas", mine("arena.live{}.pair", LIVE), LIVE, bench_rows.live_pair),
        panel("alloc_pages(), free", "pages in a block", [(1 << x, y) for x, y in mine("page.order{}.pair", range(19))],
              [1 << order for order in range(19)],
              lambda x: bench_rows.pair(f"page/order-{x.bit_length() - 1}/pair")),
    ]
    return panels, left_out(results)


# ---- Commands --------------------------------------------------------------------------------------------------------


def write(name, text):
    os.makedirs(OUT, exist_ok=True)
    with open(f"{OUT}/{name}", "w", encoding="utf-8") as file:
        file.write(text)


def plain(columns, row):
    return {
        "operation": row.row.label, "section": row.section, "unit": row.row.unit, "octavo": row.octavo,
        "linux": {f"{linux.kernel} {linux.config}": value for linux, value in zip(columns, row.linux)},
        "best_stripped": row.stripped, "ratio": row.ratio(), "goal": row.row.goal,
    }


def run(arguments):
    say("Octavo measures itself")
    figures, absent = octavo()
    figures.update(boots(bench_rows.BOOTS))
    columns, stripped, sources = linux_results(arguments.linux)
    growth = []
    if arguments.growth:
        growth, _ = grow(columns, stripped)
    rows = bench_rows.compare(figures, columns, stripped)
    sources.append(f"Octavo: the release build, by {compiler()}, measured in this run.")
    write("report.md", bench_report.report(rows, columns, sources, [f"Left out: {text}." for text in absent], growth))
    write("chart.svg", bench_chart.bars(rows, columns))
    if growth:
        write("growth.svg", bench_chart.curves(growth))
    results = {"rows": [plain(columns, row) for row in rows], "octavo": figures, "sources": sources, "growth": growth}
    write("results.json", json.dumps(results, indent=1) + "\n")
    print()
    print(bench_report.terminal_table(rows, columns))
    print("\nratio: how many times fewer than the best stripped Linux")
    for line in bench_report.summary(rows) + sources[:1]:
        print(line)
    made = ["report.md", "results.json", "chart.svg"] + (["growth.svg"] if growth else [])
    print("Written: " + " ".join(f"{OUT}/{name}" for name in made))
    return 0


def repeats(name):
    """Not what follows from where the image ends: how long boot takes, and how the buddy's memory happens to be split, which
    decides what a single block costs that no CPU keeps (orders 4 and up; batches of them repeat)."""
    return name != "boot.mm_ready" and not re.fullmatch(r"page\.order([4-9]|\d\d)\.pair", name)


def counts(figures):
    """What is committed: each row's figure, sorted by name."""
    return {name: figure.get("insns", figure.get("bytes")) for name, figure in sorted(figures.items()) if repeats(name)}


def differences(committed, measured):
    """(rises above the tolerance and rows that are gone, all other changes), in words."""
    worse, remarks = [], []
    for name, before in committed.items():
        now = measured.get(name)
        if now is None:
            worse.append(f"{name}: {before} committed, but no longer measured")
            continue
        change = f"{name}: {before} -> {now}" + (f" ({(now / before - 1) * 100:+.1f} %)" if before else "")
        if now > before * (1 + TOLERANCE):
            worse.append(f"dearer: {change}")
        elif now != before:
            remarks.append(("a little dearer: " if now > before else "cheaper: ") + change)
    remarks += [f"new: {name}: {now}" for name, now in measured.items() if name not in committed]
    return worse, remarks


def check():
    """As a Result, for tools/test.py too: one case per committed row."""
    result, started = Result(log=f"{LOGS}/bench-2g.log"), time.monotonic()
    with open(COUNTS, encoding="utf-8") as file:
        committed = json.load(file)
    if committed["compiler"] != compiler():
        result.skipped.append(f"bench_check the counts are those of {committed['compiler']}, this is {compiler()}")
        return result
    try:
        figures, _ = octavo()
    except SystemExit as error:
        result.fail(str(error))
        return result
    worse, result.remarks = differences(committed["counts"], counts(figures))
    for text in worse:
        result.fail(text)
    result.passed = len(committed["counts"]) - len(worse)
    result.seconds = time.monotonic() - started
    return result


def run_check():
    result = check()
    for text in result.problems:
        print(f"FAILURE {text}")
    for text in result.skipped:
        print(f"skipped: {text}")
    for text in result.remarks:
        print(text)
    if result.remarks:
        print("`make bench-update` writes these to bench/counts.json.")
    print(f"{result.passed} rows not dearer than committed, {result.failed} failed")
    return 1 if result.failed else 0


def update():
    figures, _ = octavo()
    with open(COUNTS, "w", encoding="utf-8") as file:
        json.dump({"compiler": compiler(), "counts": counts(figures)}, file, indent=1)
        file.write("\n")
    print(f"{COUNTS}: {len(counts(figures))} rows")
    return 0


def main():
    end_when_told()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--linux", default="auto", choices=["auto", "reference", "again"],
                         help="auto: measured once per kernel, then kept; reference: only what is committed")
    running.add_argument("--no-growth", dest="growth", action="store_false")
    commands.add_parser("check")
    commands.add_parser("update")
    arguments = parser.parse_args()
    if arguments.command == "run":
        sys.exit(run(arguments))
    sys.exit(run_check() if arguments.command == "check" else update())


if __name__ == "__main__":
    main()
