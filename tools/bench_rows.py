"""The table of `make bench`: which operations, what is compared in Linux with what here, and the goals.

A row reads its figure out of Octavo's BENCH lines by name, and out of Linux's results (bench/linux/collect.py) by workload
and operation. None stands for a figure that is not there.
"""

import glob
import json
import os
import re
from dataclasses import dataclass
from typing import Callable, Optional

REFERENCE = "bench/linux/reference"
PAGES_PER_GIB = 1 << 18
BOOTS = {"2G": 2, "8G": 8}  # two guests' RAM in GiB: what a further page costs
AREAS = 100000  # of a page each: what describes one


def ours(name, field=None):
    """A BENCH line's field; without one, its figure: instructions, or bytes."""

    def read(figures):
        line = figures.get(name, {})
        return line.get(field) if field else line.get("insns", line.get("bytes"))

    return read


def theirs(workload, *operations, field="median", each=1):
    """The sum of a workload's operations; a record without medians has its mean."""

    def read(table):
        records = [table.get((workload, operation)) for operation in operations]
        if None in records:
            return None
        return sum(record.get(field, record.get("mean")) for record in records) / each

    return read


def pair(workload, field="median", each=1):
    return theirs(workload, "alloc", "free", field=field, each=each)


def percent_more(more, base):
    """By how much one figure is above another."""

    def read(source):
        above, below = more(source), base(source)
        return None if above is None or below is None else (above / below - 1) * 100

    return read


def per_page_of_ram(small, large):
    def read(source):
        less, more = small(source), large(source)
        pages = (BOOTS["8G"] - BOOTS["2G"]) * PAGES_PER_GIB
        return None if less is None or more is None else (more - less) / pages

    return read


def behind_an_area(table):
    """Bytes that the page allocator gave beyond the areas' own pages, per area."""
    record = table.get(("memory/vmalloc-1-pages", "value"))
    return None if record is None else (record["used_pages"] - record["payload_pages"]) * 4096 / record["objects"]


@dataclass(frozen=True)
class Row:
    label: str
    octavo: Callable
    linux: Optional[Callable] = None
    goal: Optional[float] = None
    unit: str = "instructions"  # or "bytes" or "%"


def amortised(pages):
    return theirs(f"vmalloc/{pages}-pages/amortised", "pair", field="mean")


def scenario(name):
    return theirs(f"scenario/{name}", "iteration", field="mean")


def live_pair(areas):
    return pair(f"arena/live-{areas}/1-page-pair-purged")


def boot(mem):
    return theirs(f"boot/{mem}", "boot", field="first_user_instruction")


SECTIONS = [
    ("Pages", [
        Row("order 0: allocate, free", ours("page.order0.pair"), pair("page/order-0/pair"), 40),
        Row("order 0: 65,536 allocated, then freed; per pair", ours("page.order0.batch"),
            pair("page/order-0/batch-65536-fifo", "mean"), 100),
        Row("512 pages in one call, per page", ours("page.bulk", "alloc"),
            theirs("page/bulk-512", "alloc", each=512), 6),
        Row("those freed one by one, per page", ours("page.bulk", "free"), theirs("page/bulk-512", "free", each=512)),
        Row("order 3: 512 allocated, then freed; per pair", ours("page.order3.batch"),
            pair("page/order-3/batch-512-fifo", "mean")),
        Row("order 9: 64 allocated, then freed; per pair", ours("page.order9.batch"),
            pair("page/order-9/batch-64-fifo", "mean"), 120),
    ]),
    ("Objects", [
        Row("kmalloc(64), kfree: size known to the compiler", ours("kmalloc.64.pair"), pair("kmalloc/64/pair"), 24),
        Row("kmalloc(64), kfree: size not known", ours("kmalloc.64.pair.variable"),
            pair("kmalloc/64/pair-variable-size"), 32),
        Row("kmalloc(64) x 1,000, then kfree in that order", ours("kmalloc.64.batch"),
            pair("kmalloc/64/batch-1000-fifo", "mean"), 45),
        Row("kmalloc(64) x 1,000, then kfree in random order", ours("kmalloc.64.batch.random"),
            pair("kmalloc/64/batch-1000-random", "mean"), 50),
        Row("kmalloc(4096) x 1,000, then kfree in that order", ours("kmalloc.4096.batch"),
            pair("kmalloc/4096/batch-1000-fifo", "mean")),
        Row("kmalloc(64 KiB), kfree", ours("kmalloc.65536.pair"), pair("kmalloc/65536/pair-variable-size")),
        Row("kmem_cache of 64 bytes: allocate, free", ours("cache.64.pair"), pair("cache/64/pair"), 22),
        Row("kmem_cache of 64 bytes: 64 per call, per object", ours("cache.64.bulk"),
            pair("cache/64/bulk-64", each=64), 8),
    ]),
    ("vmalloc", [
        Row("vmalloc(1 page), vfree; flushes paid", ours("vmalloc.1.pair"), amortised(1), 250),
        Row("vmalloc(16 pages), vfree; flushes paid", ours("vmalloc.16.pair"), amortised(16), 600),
        Row("vmalloc(64 pages), vfree; flushes paid", ours("vmalloc.64.pair"), amortised(64), 1600),
        Row("vmalloc(512 pages), vfree; flushes paid", ours("vmalloc.512.pair"), amortised(512), 2500),
        Row("vmalloc_huge(2 MiB), vfree", ours("vmalloc_huge.512.purged"), pair("vmalloc_huge/512-pages/pair-purged")),
        Row("1 page: what 100,000 live areas add",
            percent_more(ours("arena.live100000.pair"), ours("arena.live0.pair")),
            percent_more(live_pair(100000), live_pair(0)), 5, "%"),
        Row("2 pages among 50,000 holes of one: allocate", ours("arena.holes50000.kept2", "alloc"),
            theirs("arena/holes-50000/2-page-kept-1000", "alloc"), 350),
        Row("find the area of an address among 100,000", ours("arena.live100000.find"),
            theirs("arena/live-100000/find_vm_area", "find"), 40),
        Row("1 GiB: vmalloc, vfree; per page", ours("big.vmalloc"),
            theirs("big/vmalloc", "alloc-per-page", "free-per-page", field="mean"), 1),
        Row("1 GiB: vmalloc_huge, vfree; per page", ours("big.vmalloc_huge"),
            theirs("big/vmalloc_huge", "alloc-per-page", "free-per-page", field="mean")),
    ]),
    ("Mapping", [
        Row("vmap, vunmap of 16 pages", ours("vmap.16.pair"), pair("vmap/16-pages/pair-purged"), 300),
        Row("vmap, vunmap of 512 pages", ours("vmap.512.pair"), pair("vmap/512-pages/pair-purged"), 4000),
        Row("vm_map_ram, vm_unmap_ram of 16 pages; flushes paid", ours("vm_map_ram.16.pair"), scenario("vm_map_ram-16")),
        Row("map one page of a run of 1 GiB", ours("big.vmap", "alloc"),
            theirs("big/vmap", "alloc-per-page", field="mean"), 6),
        Row("unmap one page of a run of 1 GiB", ours("big.vmap", "free"),
            theirs("big/vmap", "free-per-page", field="mean"), 3),
        Row("vmalloc_to_page", ours("walk.4k"), theirs("vmalloc_to_page/4-KiB-leaf", "find"), 18),
    ]),
    ("Linux's vmalloc test, per iteration", [
        Row("fix_size_alloc", ours("vmalloc.fix_size"), scenario("fix_size_alloc"), 250),
        Row("full_fit_alloc", ours("vmalloc.full_fit"), scenario("full_fit_alloc"), 300),
        Row("long_busy_list_alloc", ours("vmalloc.long_busy_list"), scenario("long_busy_list_alloc"), 2000),
        Row("random_size_alloc", ours("vmalloc.random_size"), scenario("random_size_alloc"), 1500),
        Row("fix_align_alloc", ours("vmalloc.fix_align"), scenario("fix_align_alloc")),
        Row("fix_align_alloc, not zeroed", ours("vmalloc.fix_align.dirty"), scenario("fix_align_alloc-not-zeroed")),
        Row("random_size_align_alloc", ours("vmalloc.random_size_align"), scenario("random_size_align_alloc")),
        Row("random_size_align_alloc, not zeroed", ours("vmalloc.random_size_align.dirty"),
            scenario("random_size_align_alloc-not-zeroed")),
    ]),
    ("Boot and memory", [
        Row("boot: per further 4 KiB page of RAM", per_page_of_ram(ours("boot.2G"), ours("boot.8G")),
            per_page_of_ram(boot("2G"), boot("8G")), 0.001),
        Row("what describes a page frame, bytes", ours("memory.frame"), theirs("sizeof", "value", field="page"), 16,
            "bytes"),
        Row("what stands behind an area of one page, bytes", ours("memory.area"), behind_an_area, 64, "bytes"),
    ]),
]


@dataclass
class Linux:
    """Results of one kernel."""

    kernel: str
    config: str
    here: bool  # measured on this machine, by this run or an earlier one
    table: dict

    def version(self):
        return ".".join(re.findall(r"\d+", self.kernel)[:2])

    def column(self):
        return f"Linux {self.version()}{' here' if self.here else ', reference'}"


def load_linux(path, here=False):
    """A file of JSON lines, or of one JSON array of the same."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    records = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    meta = next(record for record in records if record.get("meta"))
    table = {(record["workload"], record["op"]): record for record in records if not record.get("meta")}
    return Linux(meta["kernel"], meta["config"], here, table)


def references():
    """Every committed result: as distributed and with its hardening off (lean4), and stripped (tiny)."""
    found = [load_linux(path) for path in glob.glob(os.path.join(REFERENCE, "linux-*.json"))]
    return sorted(found, key=lambda linux: ([int(part) for part in linux.version().split(".")], linux.config))


@dataclass
class Compared:
    """A row with its figures."""

    row: Row
    section: str
    octavo: Optional[float]
    linux: list  # one per column
    stripped: Optional[float]  # the lowest of the stripped kernels

    def ratio(self):
        """How many times fewer than the best stripped kernel. None where that makes no sense."""
        if self.row.unit == "%" or self.stripped is None or self.octavo is None or self.octavo <= 0:
            return None
        return self.stripped / self.octavo

    def meets_goal(self):
        return self.octavo is not None and self.row.goal is not None and self.octavo <= self.row.goal


def compare(figures, columns, stripped):
    """Every row, with Linux's `columns` and the best of `stripped` beside Octavo's figures."""
    result = []
    for section, rows in SECTIONS:
        for row in rows:
            read = row.linux or (lambda table: None)
            bare = [value for value in (read(linux.table) for linux in stripped) if value is not None]
            result.append(Compared(row, section, row.octavo(figures), [read(linux.table) for linux in columns],
                                   min(bare, default=None)))
    return result
