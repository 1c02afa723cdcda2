#!/usr/bin/env python3
"""`make bench-host`: Octavo's allocators and others of their kind on this machine's processor, in nanoseconds.

    bench_host.py [--rounds N] [--ms N]

Each contender is a process (bench/host). In a round every row is asked of one after the other, A B C D; the next round has
new processes. docs/performance.md says what is measured, and how to read it.
"""

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

from bench_report import number
from run_kernel import Result, end_when_told

OUT = "build/bench"
PROGRAM = "build/host-bench/host-bench"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
ROUNDS, MS = 11, 25
LIMIT = 120  # seconds until a contender counts as hung


@dataclass(frozen=True)
class Contender:
    name: str
    argument: str  # bench/host's name for it
    library: str = ""  # preloaded
    package: str = ""
    floor: bool = False  # allocates nothing: what a row costs by itself


@dataclass(frozen=True)
class Row:
    name: str
    label: str
    without: tuple = ()  # contenders that cannot do it


@dataclass(frozen=True)
class Family:
    title: str
    contenders: tuple  # Octavo's first
    rows: tuple


CALIBRATION = "calibration"

FAMILIES = (
    Family(
        "Objects: one taken and given back",
        (
            Contender("kmalloc", "kmalloc"),
            Contender("mimalloc", "malloc", "libmimalloc.so.2", "libmimalloc2.0"),
            Contender("jemalloc", "malloc", "libjemalloc.so.2", "libjemalloc2"),
            Contender("glibc", "malloc", "", "libc6"),
            Contender("nothing", "nothing", floor=True),
        ),
        (
            Row("pair.64", "64 bytes, one at a time"),
            Row("pair.mixed", "8 to 4,096 bytes, one at a time"),
            Row("lifo.64", "64 bytes, 1,024 at a time, last in, first out"),
            Row("fifo.64", "64 bytes, 1,024 at a time, first in, first out"),
            Row("random.64", "64 bytes, 1,024 at a time, random order"),
            Row("lifo.mixed", "8 to 4,096 bytes, 1,024 at a time, last in, first out"),
            Row("fifo.mixed", "8 to 4,096 bytes, 1,024 at a time, first in, first out"),
            Row("random.mixed", "8 to 4,096 bytes, 1,024 at a time, random order"),
            Row("churn.10000", "8 to 4,096 bytes, any of 10,000 replaced"),
            Row("churn.100000", "8 to 4,096 bytes, any of 100,000 replaced"),
            Row("ring.64", "64 bytes, taken by one CPU, given back by another"),
            Row("ring.mixed", "8 to 4,096 bytes, taken by one CPU, given back by another"),
        ),
    ),
    Family(
        "Page frames: a block taken and given back",
        (Contender("buddy", "buddy"), Contender("free list", "frame-list"), Contender("bitmap", "bitmap")),
        (
            Row("order0.batch", "order 0, 256 at a time, random order"),
            Row("order0.churn", "order 0, any of 49,152 of 65,536 frames replaced"),
            Row("mixed.batch", "orders 0 to 9, 256 at a time, random order", ("free list",)),
            Row("mixed.churn", "orders 0 to 9, any of 4,096 blocks replaced", ("free list",)),
        ),
    ),
    Family(
        "Ranges of addresses, the lowest fit: any of the live areas replaced",
        (Contender("va_space", "va_space"), Contender("list", "list"), Contender("plain tree", "tree")),
        (
            Row("live10", "10 areas of 1 to 16 pages"),
            Row("live1000", "1,000 areas of 1 to 16 pages"),
            Row("live100000", "100,000 areas of 1 to 16 pages"),
        ),
    ),
)


# ---- Asking ----------------------------------------------------------------------------------------------------------


class Process:
    """A contender that waits to be asked."""

    def __init__(self, contender, log=None):
        self.contender = contender
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "MALLOC_", "MIMALLOC_"))}
        if contender.library:
            environment["LD_PRELOAD"] = f"{LIBRARIES}/{contender.library}"
        self.child = subprocess.Popen([PROGRAM, contender.argument], env=environment, bufsize=0, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log)
        self.code = self._answer("its start").removeprefix("ready ")
        if os.path.basename(self.code).partition(".so")[0] not in (contender.library.partition(".so")[0], contender.argument, "libc"):
            raise SystemExit(f"bench-host: {contender.name} would be measured in {self.code}")

    def _answer(self, what):
        ready, _, _ = select.select([self.child.stdout], [], [], LIMIT)
        line = self.child.stdout.readline().decode() if ready else ""
        if not line.endswith("\n"):
            raise SystemExit(f"bench-host: {self.contender.name}: no answer to {what}")
        return line.strip()

    def ask(self, row, ms):
        """(nanoseconds an operation, sum of answers)"""
        try:
            self.child.stdin.write(f"{row} {int(ms * 1e6)}\n".encode())
        except BrokenPipeError:
            pass  # it has ended, and will not answer
        ns, operations, answers = (int(word) for word in self._answer(row).split())
        return ns / operations, answers

    def end(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


@dataclass
class Measured:
    """A row's figures: one list per contender, an element a round, in nanoseconds an operation."""

    family: Family
    row: Row
    ns: dict = field(default_factory=dict)
    answers: set = field(default_factory=set)

    def add(self, contender, ns, answers):
        self.ns.setdefault(contender.name, []).append(ns)
        if answers:
            self.answers.add(answers)
        if len(self.answers) > 1:
            raise SystemExit(f"bench-host: {self.row.label}: {contender.name} answers otherwise than the others")

    def octavo(self):
        return self.ns[self.family.contenders[0].name]

    def median(self, name):
        return statistics.median(self.ns[name]) if name in self.ns else None

    def ratio(self, name):
        """(of the medians, lowest and highest of a round): how many times Octavo's time another one needs. None: cannot."""
        if name not in self.ns:
            return None
        by_round = [theirs / ours for theirs, ours in zip(self.ns[name], self.octavo())]
        return self.median(name) / statistics.median(self.octavo()), min(by_round), max(by_round)


def rows_of(family):
    return (Row(CALIBRATION, "a loop that allocates nothing"),) + family.rows


def measure_round(families, ms, measured, show, log=None):
    """Adds one round to `measured`, by (family's title, row's name). Returns whose code ran, by contender.

    What contenders complain of goes to the file `log`, or to the terminal."""
    codes = {}
    for family in families:
        processes = []
        try:
            for contender in family.contenders:
                processes.append(Process(contender, log))
                codes[contender.name] = processes[-1].code
            for row in rows_of(family):
                entry = measured.setdefault((family.title, row.name), Measured(family, row))
                for process in processes:
                    if process.contender.name not in row.without:
                        show(f"{row.label}: {process.contender.name}")
                        entry.add(process.contender, *process.ask(row.name, ms))
        finally:
            for process in processes:
                process.end()
    return codes


# ---- Telling ---------------------------------------------------------------------------------------------------------


def times(ratio):
    """Two digits: 0.76x, 1.3x, 12x, 63,000x."""
    return f"{ratio:.2f}x" if ratio < 1 else f"{ratio:.1f}x" if ratio < 10 else f"{ratio:,.0f}x"


def spread(ratio):
    """0.76x (0.71-0.80), a dash where there is none."""
    return "-" if ratio is None else f"{times(ratio[0])} ({times(ratio[1])[:-1]}-{times(ratio[2])[:-1]})"


def in_ns(value):
    return "-" if value is None else number(value)


def rivals(family):
    return family.contenders[1:]


def of_family(measured, family):
    return [measured[(family.title, row.name)] for row in family.rows]


def noise(measured):
    """How far apart figures are that ought to be equal, in words."""
    calibrations = [entry for entry in measured.values() if entry.row.name == CALIBRATION]
    ratios = [entry.ratio(contender.name) for entry in calibrations for contender in rivals(entry.family)]
    spreads = [(max(entry.octavo()) / min(entry.octavo()) - 1) * 100
               for entry in measured.values() if entry.row.name != CALIBRATION]
    return [
        f"A loop that allocates nothing, in each process: {min(r[0] for r in ratios):.2f}x to {max(r[0] for r in ratios):.2f}x in "
        f"the median, {min(r[1] for r in ratios):.2f}x to {max(r[2] for r in ratios):.2f}x in single rounds. A ratio within "
        "that says nothing.",
        f"Octavo's own slowest round above its fastest: {statistics.median(spreads):.0f} % in the median of its rows, "
        f"{max(spreads):.0f} % at most.",
    ]


def summary(measured, families):
    """How it comes out, a line per rival that allocates."""
    out = []
    for family in families:
        for rival in rivals(family):
            ratios = [entry.ratio(rival.name)[0] for entry in of_family(measured, family) if rival.name in entry.ns]
            if not rival.floor:
                out.append(f"{family.contenders[0].name} takes less time than {rival.name} in {sum(r > 1 for r in ratios)} of "
                           f"{len(ratios)}; median {times(statistics.median(ratios))}.")
    return out


def terminal_table(measured, families):
    out = []
    for family in families:
        table = [[family.title] + [f"{c.name}, ns" for c in family.contenders[:1]] + [c.name for c in rivals(family)]]
        for entry in of_family(measured, family):
            table.append([entry.row.label, in_ns(entry.median(family.contenders[0].name))] + [
                "-" if c.name not in entry.ns else f"{in_ns(entry.median(c.name))}  {spread(entry.ratio(c.name))}"
                for c in rivals(family)])
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        out += ["  ".join([line[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(line[1:], widths[1:])]).rstrip()
                for line in table] + [""]
    return "\n".join(out).rstrip()


def markdown_table(measured, family, cells, heads):
    out = ["| " + " | ".join([family.title] + heads) + " |", "|---|" + "---:|" * len(heads)]
    return out + ["| " + " | ".join([entry.row.label] + cells(entry)) + " |" for entry in of_family(measured, family)] + [""]


def report(measured, families, sources):
    """host.md as a whole."""
    out = ["# On the host", "", "How many times Octavo's time another one needs: the ratio of medians, and its lowest and highest "
           "of a round. Below 1x it is faster than Octavo. docs/performance.md says how to read it.", ""]
    for family in families:
        out += markdown_table(measured, family, lambda entry: [spread(entry.ratio(c.name)) for c in rivals(entry.family)],
                              [c.name for c in rivals(family)])
    out += [f"* {line}" for line in summary(measured, families)] + ["", "## Noise", ""]
    out += [f"* {line}" for line in noise(measured)] + ["", "## Nanoseconds an operation, medians", ""]
    for family in families:
        out += markdown_table(measured, family, lambda entry: [in_ns(entry.median(c.name)) for c in entry.family.contenders],
                              [c.name for c in family.contenders])
    return "\n".join(out + ["## Where the figures come from", ""] + [f"* {line}" for line in sources]) + "\n"


def plain(entry):
    names = [c.name for c in entry.family.contenders if c.name in entry.ns]
    return {"family": entry.family.title, "row": entry.row.name, "operation": entry.row.label,
            "ns": {name: entry.ns[name] for name in names}, "median": {name: entry.median(name) for name in names},
            "ratio": {name: entry.ratio(name) for name in names[1:]}}


# ---- The machine and what runs on it ---------------------------------------------------------------------------------


def processor(cpuinfo):
    """Model and number of processors, as /proc/cpuinfo tells."""
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return f"{models[0]}, {len(models)} CPUs" if models else "a processor that /proc/cpuinfo does not name"


def version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
    return f"{package} {done.stdout or '(version unknown)'}"


def sources(families, codes, rounds, ms):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        out = [f"{processor(file.read())}; load average {os.getloadavg()[0]:.1f} at the end."]
    out.append(f"{rounds} rounds, each row {ms} ms or more of each contender in each of them, with new processes each round.")
    out += [f"{c.name}: {version(c.package)}, {codes[c.name]}." for family in families for c in family.contenders if c.package]
    return out


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Progress:
    def __init__(self, rounds):
        self.rounds, self.round, self.live = rounds, 0, sys.stdout.isatty()

    def begin(self, number_of_round):
        self.round = number_of_round
        if not self.live:
            say(f"round {self.round} of {self.rounds}")

    def __call__(self, text):
        if self.live:
            print(f"\r\x1b[K  round {self.round} of {self.rounds}, {text}"[:120], end="", flush=True)

    def end(self):
        if self.live:
            print("\r\x1b[K", end="", flush=True)


def run(rounds, ms):
    measured, progress = {}, Progress(rounds)
    for n in range(rounds):
        progress.begin(n + 1)
        codes = measure_round(FAMILIES, ms, measured, progress)
    progress.end()
    told = sources(FAMILIES, codes, rounds, ms)
    os.makedirs(OUT, exist_ok=True)
    with open(f"{OUT}/host.md", "w", encoding="utf-8") as file:
        file.write(report(measured, FAMILIES, told))
    with open(f"{OUT}/host.json", "w", encoding="utf-8") as file:
        json.dump({"rows": [plain(entry) for entry in measured.values()], "noise": noise(measured), "sources": told}, file, indent=1)
        file.write("\n")
    print()
    print(terminal_table(measured, FAMILIES))
    print("\nNanoseconds an operation, and how many times Octavo's time it is (lowest and highest of a round); below 1x: faster")
    for line in summary(measured, FAMILIES) + noise(measured) + told[:1]:
        print(line)
    print(f"Written: {OUT}/host.md {OUT}/host.json")


def smoke(log):
    """One round, as short as can be, as a Result for tools/test.py: one case per row and contender."""
    result, measured = Result(log=log), {}
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        try:
            measure_round(FAMILIES, 0.2, measured, lambda text: None, file)
        except SystemExit as error:
            result.fail(str(error))
    for family in FAMILIES:
        for row in rows_of(family):
            entry = measured.get((family.title, row.name), Measured(family, row))
            for contender in family.contenders:
                if contender.name in row.without:
                    continue
                if entry.ns.get(contender.name, [0])[0] > 0:
                    result.passed += 1
                else:
                    result.fail(f"not measured: {row.label}, {contender.name}")
    return result


def main():
    end_when_told()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--ms", type=int, default=MS, help="how long a row is repeated, at least")
    arguments = parser.parse_args()
    run(arguments.rounds, arguments.ms)


if __name__ == "__main__":
    main()
