#!/usr/bin/env python3
"""`make ptcheck`: after each batch of random changes, three views of the live page tables agree, entry by entry.

    1. QEMU's:        `info tlb`, `info mem`, and `gva2gpa` for addresses in, at the edges of, and between leaves
    2. a walk of the  from CR3 through the guest's memory, which is a file here: page_walk.py, by the processor's manual
       tables
    3. the kernel's:  what each operation should have left (tests/kernel/ptcheck.c), over the serial line

All that is mapped is compared between 1 and 2. In the vmalloc window, 3 says every leaf. In the direct map, 3 says which pages
differ from their default; where none of a large leaf's pages does, the leaf must be whole. All else stays as it was.
The machine is stopped while it is looked at. The seed is printed, and repeats a run.
"""

import argparse
import mmap
import os
import random
import re
import struct
import sys
import tempfile
import time
from bisect import bisect_right
from collections import namedtuple
from dataclasses import dataclass, field

import page_walk
import qemu
from monitor import Monitor, MonitorError
from page_walk import level_size
from run_kernel import LOGS, Result, boot, end_when_told, name_the_end

SAMPLES = 12           # addresses per batch that QEMU translates one by one
SHOWN_MAX = 12         # differences of one kind

HELLO = re.compile(
    r"ptcheck: seed=\d+ batches=\d+ direct=([0-9a-f]+)-([0-9a-f]+) window=([0-9a-f]+)-([0-9a-f]+) "
    r"pat=([0-9a-f]+) physical_bits=(\d+)"
)


@dataclass
class Layout:
    """Where things are, as the kernel says."""

    direct: range
    window: range
    pat: int
    physical_bits: int

    @staticmethod
    def parse(line):
        match = HELLO.fullmatch(line)
        if not match:
            raise ValueError(f"not understood: `{line}`")
        *bounds, pat = (int(text, 16) for text in match.groups()[:5])
        return Layout(range(*bounds[:2]), range(*bounds[2:]), pat, int(match[6]))


@dataclass
class Belief:
    """What the kernel says of one batch."""

    operations: list = field(default_factory=list)
    maps: list = field(default_factory=list)     # (start, size, pa, access, type, level, serial)
    hidden: list = field(default_factory=list)   # (start, size)
    aliases: dict = field(default_factory=dict)  # physical page: access
    nr_tables: int = 0
    batch: int = 0

    def take(self, line):
        """Takes one line in. True if it is the last of a batch."""
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "op":
            self.operations.append(rest)
        elif kind == "map":
            start, size, pa, access, memory_type, level, serial = words
            self.maps.append((int(start, 16), int(size, 16), int(pa, 16), access, memory_type, int(level), int(serial)))
        elif kind == "hidden":
            self.hidden.append((int(words[0], 16), int(words[1], 16)))
        elif kind == "alias":
            start, size = int(words[0], 16), int(words[1], 16)
            self.aliases.update(dict.fromkeys(range(start, start + size, 4096), words[2]))
        elif kind == "ready":
            self.batch, self.nr_tables = int(words[0]), int(words[1])
            return True
        return False


class Mapped(namedtuple("Mapped", "pa level access memory_type unusual", defaults=[""])):
    """One leaf, in words; `unusual` are flags that no leaf of this kernel should have, or lack."""

    __slots__ = ()

    def __str__(self):
        return f"{page_walk.LEVEL_NAMES[self.level]} at {self.pa:x} {self.access} {self.memory_type}{self.unusual}"


def unusual(leaf):
    wrong = [name for name, bit in (("G", page_walk.G), ("D", page_walk.D), ("A", page_walk.A)) if not leaf.raw & bit]
    return (f" without {''.join(wrong)}" if wrong else "") + (" open to users" if leaf.user else "")


def join(lines):
    """Not more than anybody reads."""
    more = len(lines) - SHOWN_MAX
    return lines[:SHOWN_MAX] + ([f"… and {more} more"] if more > 0 else [])


def differences(ours, theirs, who, whom):
    """Two mappings from addresses to anything that can be printed: where they differ, in words."""
    return [
        f"{va:016x}: {who}: {ours.get(va, 'nothing')}; {whom}: {theirs.get(va, 'nothing')}"
        for va in sorted(ours.keys() | theirs.keys()) if ours.get(va) != theirs.get(va)
    ]


class Comparison:
    """Keeps what was mapped before the first batch, and compares each batch with that and with itself."""

    def __init__(self, layout, memory):
        self.layout, self.memory = layout, memory
        self.entries = 0
        self.first = None       # the leaves before the first batch
        self._at_first = {}     # the same, by address
        self._words = {}        # entry bits without the address: their Mapped without it

    # ---- What each side says, in the same words ----

    def _mapped(self, leaf):
        key = (leaf.level, leaf.raw & ~page_walk.ADDRESS | leaf.raw & page_walk.PAT_LARGE * (leaf.level > 1),
               leaf.writable, leaf.user, leaf.executable)
        words = self._words.get(key)
        if words is None:
            words = self._words[key] = (
                page_walk.access(leaf), page_walk.memory_type(leaf.level, leaf.raw, self.layout.pat), unusual(leaf))
        return Mapped(page_walk.leaf_address(leaf.level, leaf.raw), leaf.level, *words)

    @staticmethod
    def _expand(maps):
        for start, size, pa, access, memory_type, level, serial in maps:
            step = level_size(level)
            for offset in range(0, size, step):
                yield start + offset, Mapped(pa + offset, level, access, memory_type), serial

    def _in_direct_map(self, va):
        return va in self.layout.direct

    # ---- The views ----

    def compare(self, walk, belief, tlb, mem):
        """What differs, as (heading, lines); empty if nothing does. `tlb` and `mem` are QEMU's texts; `mem` may be None."""
        if self.first is None:
            self.first = walk.leaves
            self._at_first = {leaf.va: leaf for leaf in walk.leaves}
        window = [leaf for leaf in walk.leaves if leaf.va in self.layout.window]
        found = [
            ("no processor would accept", walk.faults),
            ("`info tlb` and the walk differ", self._against_tlb(walk, tlb)),
            ("`info mem` and the walk differ", [] if mem is None else self._against_mem(walk, mem)),
            ("the kernel and the walk differ in the vmalloc window", self._window(window, belief)),
            ("what an address shows is not what was written there", self._contents(window, belief)),
            ("the kernel and the walk differ in the direct map", self._direct_map(walk, belief)),
            ("changed, though nobody asked for it", self._elsewhere(walk)),
        ]
        if walk.nr_tables != belief.nr_tables:
            found.append(("tables", [f"the walk met {walk.nr_tables}, the kernel owns {belief.nr_tables}"]))
        return [(heading, join(lines)) for heading, lines in found if lines]

    def compare_last(self, walk):
        """Everything was given back: each leaf is as before the first batch."""
        ours = {leaf.va: self._mapped(leaf) for leaf in self.first}
        theirs = {leaf.va: self._mapped(leaf) for leaf in walk.leaves}
        self.entries += len(theirs)
        lines = differences(ours, theirs, "at first", "in the end")
        return [("given back, but not as it was", join(lines))] if lines else []

    def _against_tlb(self, walk, text):
        ours, theirs = page_walk.tlb_entries(walk.leaves), page_walk.parse_tlb(text)
        self.entries += len(theirs)
        if ours == theirs:
            return []
        say = lambda entries: {va: f"{pa:x} {flags}" for va, pa, flags in entries}
        return differences(say(ours), say(theirs), "walk", "QEMU") or ["the same entries in another order, or twice"]

    @staticmethod
    def _against_mem(walk, text):
        ours, theirs = page_walk.mem_ranges(walk.leaves), page_walk.parse_mem(text)
        say = lambda ranges: {first: f"up to {last:x} {what}" for first, last, what in ranges}
        return differences(say(ours), say(theirs), "walk", "QEMU") if ours != theirs else []

    def _window(self, window, belief):
        theirs = {leaf.va: self._mapped(leaf) for leaf in window}
        ours = {va: self._mapped(leaf) for va, leaf in self._at_first.items() if va in self.layout.window}
        for va, mapped, _ in self._expand(belief.maps):
            ours[va] = mapped
        self.entries += len(theirs)
        if ours == theirs:
            return []
        hidden = [range(start, start + size) for start, size in belief.hidden]
        lines = differences(ours, theirs, "kernel", "tables")
        return [line + (" (hidden)" if any(int(line[:16], 16) in part for part in hidden) else "") for line in lines]

    def _contents(self, window, belief):
        at = {leaf.va: leaf for leaf in window}
        lines = []
        for start, mapped, serial in self._expand([line for line in belief.maps if line[-1]]):
            if start not in at:
                continue  # which was told
            first = page_walk.leaf_address(at[start].level, at[start].raw)
            for offset in range(0, level_size(mapped.level), 4096):
                va, pa = start + offset, first + offset
                words = struct.unpack_from("<QQ", self.memory, pa) if pa + 16 <= len(self.memory) else "no RAM"
                if words != (va, serial):
                    lines.append(f"{va:016x}: written {va:x}, {serial}; at {pa:x} there is {words}")
        return lines

    def _direct_map(self, walk, belief):
        """Pages that differ are as the kernel says, all others as at first, in leaves as large as at first if they may be."""
        lines, covered = [], 0
        pages, aliases = sorted(belief.aliases), belief.aliases
        first = [leaf for leaf in self.first if self._in_direct_map(leaf.va)]
        starts = [leaf.va for leaf in first]
        for leaf in filter(lambda leaf: self._in_direct_map(leaf.va), walk.leaves):
            pa, size = leaf.va - self.layout.direct.start, level_size(leaf.level)
            if leaf == self._at_first.get(leaf.va) and size == 4096 and pa not in aliases:
                covered += size
                continue
            index = bisect_right(starts, leaf.va) - 1
            origin = first[index] if index >= 0 else None
            if not origin or leaf.va + size > origin.va + level_size(origin.level):
                lines.append(f"{leaf.va:016x}: {self._mapped(leaf)}, where nothing such was at first")
                continue
            covered += size
            default, mapped = self._mapped(origin), self._mapped(leaf)
            low, high = bisect_right(pages, pa - 1), bisect_right(pages, pa + size - 1)
            access = {aliases[page] for page in pages[low:high]}
            if high - low < size >> 12:
                access.add(default.access)
            if access != {mapped.access} or mapped != (pa, leaf.level, mapped.access, *default[3:]):
                lines.append(f"{leaf.va:016x}: kernel: {pa:x} {' and '.join(sorted(access))} "
                             f"{default.memory_type}{default.unusual}; tables: {mapped}")
            elif leaf.level < origin.level:
                lines += self._must_be_whole(leaf, origin, pages)
        absent = sum(access == "---" for access in belief.aliases.values()) << 12
        total = sum(level_size(leaf.level) for leaf in first)
        self.entries += len(pages)
        if covered + absent != total:
            lines.append(f"{covered} bytes are mapped and {absent} hidden, of {total}")
        return lines

    def _must_be_whole(self, leaf, origin, pages):
        """A smaller leaf than at first has a reason: a page that differs, in the next larger leaf that there could be."""
        size = level_size(leaf.level + 1)
        base = leaf.va - leaf.va % size
        if leaf.va != max(base, origin.va):
            return []  # once is enough
        pa = base - self.layout.direct.start
        if bisect_right(pages, pa - 1) < bisect_right(pages, pa + size - 1):
            return []
        return [f"{base:016x}: nothing differs in {page_walk.LEVEL_NAMES[leaf.level + 1]}, but it is not one leaf"]

    def _elsewhere(self, walk):
        def others(leaves):
            return [leaf for leaf in leaves if leaf.va not in self.layout.window and not self._in_direct_map(leaf.va)]

        ours, theirs = others(self.first), others(walk.leaves)
        if ours == theirs:
            return []
        say = lambda leaves: {leaf.va: self._mapped(leaf) for leaf in leaves}
        return differences(say(ours), say(theirs), "at first", "now") or ["an entry differs in bits that nobody names"]


def samples(rng, leaves, belief):
    """Addresses to look at, and where they lead: None is nowhere. Bytes of leaves, edges, and what lies beside them."""
    starts = [leaf.va for leaf in leaves]

    def lookup(va):
        index = bisect_right(starts, va) - 1
        if index < 0 or va >= starts[index] + level_size(leaves[index].level):
            return va, None
        leaf = leaves[index]
        return va, page_walk.leaf_address(leaf.level, leaf.raw) + va - leaf.va

    wanted = []
    for _ in range(SAMPLES // 3):
        leaf = rng.choice(leaves)
        size = level_size(leaf.level)
        wanted += [leaf.va + rng.randrange(size), leaf.va + size - 1]
    for start, size, *_ in rng.sample(belief.maps, min(len(belief.maps), SAMPLES // 6)):
        wanted += [start + size, start - 1]  # a guard page, mostly, and the one before
    for start, size in rng.sample(belief.hidden, min(len(belief.hidden), 2)):
        wanted.append(start + rng.randrange(size))
    return [lookup(va) for va in wanted if 0 <= va < 1 << 64]


class Session:
    """One machine: gathers the kernel's lines, looks at each batch, and answers."""

    def __init__(self, machine, batches, seed, go, show):
        self.machine, self.batches, self.go, self.show = machine, batches, go, show
        self.rng = random.Random(seed)
        self.monitor = self.memory = self.comparison = None
        self.belief = Belief()
        self.lines, self.found, self.log_tail = [], [], []
        self.done = 0

    def close(self):
        if self.monitor:
            self.monitor.close()
        if self.memory:
            self.memory.close()

    def watch(self, line):
        self.lines.append(line)
        if line.startswith("ptcheck: seed="):
            self._begin(Layout.parse(line))
        elif self.comparison and self.belief.take(line):
            self._look()

    def _begin(self, layout):
        self.monitor = Monitor(self.machine.monitor)
        with open(self.machine.ram_file, "rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.comparison = Comparison(layout, self.memory)

    def _look(self):
        belief, self.belief = self.belief, Belief()
        self.monitor.execute("stop")
        self.found = self._compare(belief)
        if self.found:
            self._report(belief)
        else:
            self.done = min(belief.batch, self.batches)
            self.show(self)
        self.lines = self.lines[-200:]
        self.monitor.execute("cont")
        os.write(self.go, b"d" if self.found else b"g")  # now: after the last one, QEMU may be gone at any moment

    def _compare(self, belief):
        comparison, cpu = self.comparison, belief.batch % self.machine.cpus
        processors = page_walk.parse_registers(self.monitor.human("info registers -a"))
        if len(processors) != self.machine.cpus:
            return [("processors", [f"QEMU shows {len(processors)} of {self.machine.cpus}"])]
        roots = {registers.root for registers in processors}
        faults = [f"CPU {n}: {r.fault()}" for n, r in enumerate(processors) if r.fault()]
        if len(roots) > 1 or faults:
            return [("processors", faults + [f"{len(roots)} roots in use: {', '.join(f'{root:x}' for root in roots)}"])]
        if {registers.levels for registers in processors} != {self.machine.levels}:
            return [("processors", [f"CR4.LA57 says other than {self.machine.levels} levels, which the machine has"])]
        walk = page_walk.Walk(self.memory, processors[cpu], comparison.layout.physical_bits)
        # With 5 levels, QEMU 7.2's `info mem` takes absent entries for tables and tables for absent: half a minute for nothing.
        mem = self.monitor.human("info mem", cpu) if processors[cpu].levels == 4 else None
        found = comparison.compare(walk, belief, self.monitor.human("info tlb", cpu), mem)
        found += self._translate(walk, belief, cpu)
        return found + (comparison.compare_last(walk) if belief.batch > self.batches else [])

    def _translate(self, walk, belief, cpu):
        lines = []
        for va, pa in samples(self.rng, walk.leaves, belief):
            told = page_walk.parse_gpa(self.monitor.human(f"gva2gpa {va:#x}", cpu))
            if told != pa:
                say = lambda where: "nowhere" if where is None else f"{where:x}"
                lines.append(f"{va:016x}: QEMU translates it to {say(told)}, the walk to {say(pa)}")
        return [("`gva2gpa` and the walk differ", lines)] if lines else []

    def _report(self, belief):
        what = f"after batch {belief.batch}" if belief.batch <= self.batches else "with everything given back"
        self.log_tail = [f"{what}, the views differ:"]
        for heading, lines in self.found:
            self.log_tail += [f"{heading}:"] + [f"    {line}" for line in lines]
        self.log_tail += ["the operations of this batch:"] + [f"    {line}" for line in belief.operations]

    def verdict(self):
        return f"ptcheck: {self.done:,} batches, {self.comparison.entries if self.comparison else 0:,} entries compared"


class Progress:
    """A line that is renewed, on a terminal; else one every ten seconds."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.started = self.shown = time.monotonic()

    def __call__(self, session):
        now = time.monotonic()
        if now - self.shown < (0.2 if self.live else 10):
            return
        self.shown = now
        text = (f"ptcheck: {session.done:,} of {session.batches:,} batches, {session.comparison.entries:,} entries, "
                f"{now - self.started:.0f} s")
        print(f"\r\x1b[K{text}" if self.live else text, end="" if self.live else "\n", flush=True)

    def end(self):
        if self.live:
            print("\r\x1b[K", end="")


def scratch_directory():
    """The guest's memory is best kept in memory."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run_ptcheck(machine, batches, seed, limit, log, show=lambda session: None):
    """Boots the machine for `batches` batches, `show` after each. Returns (Result, what to say in the end)."""
    result, started = Result(log=log), time.monotonic()
    machine.cmdline = f"ptcheck={batches} seed={seed} exit"
    with tempfile.TemporaryDirectory(prefix="octavo-", dir=scratch_directory()) as scratch:
        machine.monitor, machine.ram_file = os.path.join(scratch, "monitor"), os.path.join(scratch, "ram")
        serial, go = os.pipe()
        session = Session(machine, batches, seed, go, show)
        try:
            status, remark = boot(machine, limit, log, session.watch, serial)
        except (MonitorError, OSError, ValueError) as error:
            status, remark = -1, f"{type(error).__name__}: {error}"
        finally:
            session.close()
            os.close(serial)
            os.close(go)
    result.lines, result.seconds = session.lines, time.monotonic() - started
    if session.found:
        result.fail("\n    ".join(session.log_tail + [f"again with SEED={seed} BATCHES={batches}"]))
    elif name_the_end(result, status, remark, qemu.PASSED) and "ptcheck: passed" in session.lines and session.done == batches:
        result.passed = 1
    elif not result.failed:
        told = [line for line in session.lines if "FAILED" in line or "DIFFERS" in line] or session.lines[-10:]
        result.fail("\n    ".join([f"the kernel's side did not pass, after {session.done} batches:"] + told))
    return result, session.verdict() + (", no difference" if result.passed else "")


def main():
    end_when_told()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    qemu.add_machine_arguments(parser)
    parser.set_defaults(mem="64M")
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--seed", default="", help="repeats a run")
    parser.add_argument("--limit", type=float, default=1800, help="seconds until it counts as a hang")
    parser.add_argument("--log", default=f"{LOGS}/ptcheck.log", help="where the serial output goes")
    arguments = parser.parse_args()
    machine = qemu.machine_from(arguments)
    if machine.memory_bytes() > 2 << 30:
        sys.exit("ptcheck: MEM must be 2G or less: above, the file of the guest's memory has a hole less than its addresses")
    seed = int(arguments.seed, 0) if arguments.seed else random.SystemRandom().randrange(1 << 32)
    print(f"ptcheck: {arguments.batches:,} batches, seed {seed}, {machine.cpus} CPU(s), {machine.levels} levels, {machine.mem}", flush=True)
    progress = Progress()
    result, verdict = run_ptcheck(machine, arguments.batches, seed, arguments.limit, arguments.log, progress)
    progress.end()
    for problem in result.problems:
        print(f"FAILURE {problem}")
    print(f"(serial output: {arguments.log}; {result.seconds:.0f} s)")
    print(verdict + ("" if result.passed else ", FAILED"))
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main()
