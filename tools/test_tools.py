#!/usr/bin/env python3
"""Tests of the test tools: each way to fail is shown to be seen, and named as what it was."""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import bench
import bench_chart
import bench_host
import bench_report
import bench_rows
import flush_table
import page_walk
import ptcheck
import qemu
import run_kernel
import screen
from ktap import KtapReader

HERE = os.path.dirname(os.path.abspath(__file__))

GOOD = """KTAP version 1
1..2
  KTAP version 1
  1..2
  ok 1 first
  # something said
  ok 2 second # SKIP needs more memory
ok 1 suite_a
  KTAP version 1
  1..1
  ok 1 third
ok 2 suite_b
"""


def read_ktap(text):
    reader = KtapReader()
    for line in text.splitlines():
        reader.feed(line)
    reader.end()
    return reader


class Ktap(unittest.TestCase):
    def assert_problem(self, text, words):
        reader = read_ktap(text)
        self.assertGreater(reader.failed, 0)
        self.assertIn(words, "\n".join(reader.problems))

    def test_a_complete_run_counts_its_leaves(self):
        reader = read_ktap("SeaBIOS\n" + GOOD + "goodbye\n")
        self.assertEqual((reader.passed, reader.failed, reader.problems), (2, 0, []))
        self.assertEqual(reader.skipped, ["second needs more memory"])
        self.assertEqual(reader.names, ["suite_a", "suite_b"])

    def test_silence_is_a_failure(self):
        self.assert_problem("hello\n", "no KTAP output")

    def test_an_empty_plan_is_a_failure(self):
        self.assert_problem("KTAP version 1\n1..0\n", "not one test ran")

    def test_a_truncated_inner_plan_is_named(self):
        self.assert_problem(GOOD.replace("  1..2", "  1..3"), "truncated plan: 2 of 3 results, the last one `second`")

    def test_a_truncated_outer_plan_is_named(self):
        self.assert_problem(GOOD.replace("ok 2 suite_b\n", ""), "truncated plan: 1 of 2 results")

    def test_a_missing_plan_is_named(self):
        self.assert_problem(GOOD.replace("  1..1\n", ""), "no plan")

    def test_a_skipped_number_is_named(self):
        self.assert_problem(GOOD.replace("ok 2 second", "ok 3 second"), "has number 3, expected 2")

    def test_a_failed_test_comes_with_what_was_said(self):
        text = GOOD.replace("ok 2 second # SKIP needs more memory", "not ok 2 second").replace("ok 1 suite_a", "not ok 1 suite_a")
        reader = read_ktap(text)
        self.assertEqual((reader.passed, reader.failed), (2, 1))
        self.assertEqual(reader.problems, ["failed test: second\n    # something said"])

    def test_ok_over_a_failed_subtest_is_a_lie(self):
        self.assert_problem(GOOD.replace("ok 1 third", "not ok 1 third"), "`suite_b` claims ok, but 1 of its subtests failed")

    def test_a_suite_may_fail_on_its_own(self):
        self.assert_problem(GOOD.replace("ok 2 suite_b", "not ok 2 suite_b"), "failed test: suite_b")

    def test_another_version_is_refused(self):
        self.assert_problem(GOOD.replace("KTAP version 1", "KTAP version 2"), "version 2, expected 1")


# Real-mode instructions that end the machine in each way that there is.
HANG = b"\xeb\xfe"                                       # jmp $
TRIPLE_FAULT = b"\x2e\x0f\x01\x1e\x00\x40\xcc"           # lidt [cs:0x4000], where zeroes lie; int3
RESET = b"\xb0\xfe\xe6\x64" + HANG                       # mov al, 0xfe; out 0x64, al


def leave(value):
    return b"\xb0" + bytes([value]) + b"\xba\xf4\x00\xee" + HANG  # mov al, value; mov dx, 0xf4; out dx, al


def firmware(says, ending):
    """64 KiB that the processor starts in: print on COM1, then end."""
    text = says.replace("\n", "\r\n").encode() + b"\0"
    # mov si, 0x1000; mov dx, 0x3f8; next: cs lodsb; test al, al; jz done; out dx, al; jmp next; done:
    code = b"\xbe\x00\x10\xba\xf8\x03\x2e\xac\x84\xc0\x74\x03\xee\xeb\xf7" + ending
    image = code.ljust(0x1000, b"\0") + text
    return image.ljust(0xFFF0, b"\0") + b"\xe9\x0d\x00".ljust(16, b"\0")  # jmp 0, modulo 64 KiB


class Endings(unittest.TestCase):
    def run_one(self, says, ending, run=run_kernel.run_tests, *more):
        with tempfile.TemporaryDirectory() as scratch:
            rom = os.path.join(scratch, "rom")
            with open(rom, "wb") as file:
                file.write(firmware(says, ending))
            machine = qemu.Machine(iso=None, rom=rom, mem="32M")
            return run(machine, 5, os.path.join(scratch, "log"), *more)

    def assert_named(self, result, words):
        self.assertGreater(result.failed, 0)
        self.assertIn(words, "\n".join(result.problems))

    def test_a_good_run_passes(self):
        result = self.run_one(GOOD, leave(0x10))
        self.assertEqual((result.passed, result.failed, result.problems), (2, 0, []))

    def test_a_hang_is_named(self):
        self.assert_named(self.run_one(GOOD, HANG), "hang: no exit within the time limit; the last line was `ok 2 suite_b`")

    def test_a_triple_fault_is_named(self):
        self.assert_named(self.run_one(GOOD, TRIPLE_FAULT), "triple fault; the last line was")

    def test_a_missing_exit_status_is_named(self):
        self.assert_named(self.run_one(GOOD, RESET), "missing exit status")

    def test_a_panic_shows_its_report(self):
        self.assert_named(self.run_one("KTAP version 1\n1..1\npanic: I3 is broken\n", leave(0x12)), "panic: I3 is broken")

    def test_a_truncated_plan_is_named_despite_a_good_status(self):
        result = self.run_one(GOOD.replace("1..2", "1..3", 1), leave(0x10))
        self.assert_named(result, "truncated plan")
        self.assert_named(result, "exit status 33 (all passed) despite the above")

    def test_a_failed_status_without_a_failed_test_is_named(self):
        self.assert_named(self.run_one(GOOD, leave(0x11)), "exit status 35 (some failed), but KTAP names no failure")

    def test_a_report_must_have_its_lines_in_order(self):
        says = "panic: one\ntwo\n"
        good = self.run_one(says, leave(0x12), run_kernel.run_report, ["panic: *", "two"])
        self.assertEqual((good.passed, good.failed), (1, 0))
        bad = self.run_one(says, leave(0x12), run_kernel.run_report, ["two", "panic: *"])
        self.assert_named(bad, "no line like `panic: *`")

    def test_there_must_be_one_report(self):
        says = "PANIC on CPU 0: one\nPANIC on CPU 1: two\n"
        result = self.run_one(says, leave(0x12), run_kernel.run_report, ["PANIC on CPU ?: one"])
        self.assert_named(result, "2 reports instead of one")

    def test_a_report_must_end_with_its_status(self):
        result = self.run_one("panic: one\n", leave(0x10), run_kernel.run_report, ["panic: one"])
        self.assert_named(result, "exit status 33 (all passed), expected 37")


PAT = sum(memory_type << 8 * n for n, memory_type in enumerate([6, 1, 7, 0, 6, 5, 7, 4]))  # WB WC UC- UC WB WP UC- WT
PRESENT, WRITE, USER, PWT, PCD, ACCESSED, DIRTY, LARGE, GLOBAL = (1 << bit for bit in range(9))
NX = 1 << 63
DATA = PRESENT | ACCESSED | DIRTY | GLOBAL  # what all of Octavo's leaves are
TABLE = PRESENT | WRITE | ACCESSED


class Memory:
    """Physical memory with tables made by hand: table n lies in frame n, the root in frame 1."""

    def __init__(self, frames=16):
        self.bytes = bytearray(frames * 4096)

    def set(self, table, index, entry):
        struct.pack_into("<Q", self.bytes, table * 4096 + index * 8, entry)

    def walk(self, levels=4, physical_bits=40):
        cr4 = 1 << 12 if levels == 5 else 0
        registers = page_walk.Registers(1 << 31 | 1 << 16, 0x1018, cr4, 1 << 11 | 1 << 10)  # PCD and PWT in CR3 are not address
        return page_walk.Walk(self.bytes, registers, physical_bits)


def small_tables(levels=4):
    """One leaf of each size: 4 KiB read-only, 2 MiB WC that may be executed, 1 GiB WT."""
    memory = Memory()
    root = 1
    if levels == 5:
        memory.set(1, 511, 6 << 12 | TABLE)
        root = 6
    memory.set(root, 256, 2 << 12 | TABLE | 3 << 52)  # bits 61:52 are ignored
    memory.set(2, 0, 3 << 12 | TABLE)
    memory.set(2, 1, 0x80_0000_0000 | DATA | WRITE | NX | LARGE | PWT | PCD | 1 << 12)
    memory.set(3, 0, 4 << 12 | TABLE)
    memory.set(3, 7, 0x12_3400_0000 | DATA | LARGE | PWT)
    memory.set(4, 5, 0x9000 | DATA | NX)
    memory.set(4, 6, 0xa000 | 1 << 11)  # not present: nothing
    return memory


class PageWalk(unittest.TestCase):
    def words(self, walk):
        return [(f"{leaf.va:x}", leaf.level, page_walk.access(leaf), page_walk.memory_type(leaf.level, leaf.raw, PAT))
                for leaf in walk.leaves]

    def test_four_levels_are_read(self):
        walk = small_tables().walk()
        self.assertEqual(self.words(walk), [
            ("ffff800000005000", 1, "r--", "WB"), ("ffff800000e00000", 2, "r-x", "WC"), ("ffff800040000000", 3, "rw-", "WT")])
        self.assertEqual((walk.faults, walk.nr_tables), ([], 4))

    def test_five_levels_are_read(self):
        walk = small_tables(5).walk(5)
        self.assertEqual([f"{leaf.va:x}" for leaf in walk.leaves], ["ffff800000005000", "ffff800000e00000", "ffff800040000000"])
        self.assertEqual((walk.faults, walk.nr_tables), ([], 5))

    def test_addresses_are_canonical_for_their_number_of_levels(self):
        self.assertEqual(page_walk.canonical(1 << 47, 4), 0xffff_8000_0000_0000)
        self.assertEqual(page_walk.canonical(1 << 47, 5), 1 << 47)
        self.assertEqual(page_walk.canonical(1 << 56, 5), 0xff00_0000_0000_0000)

    def test_five_levels_read_as_four_are_something_else(self):
        self.assertNotEqual(self.words(small_tables(5).walk(4)), self.words(small_tables(5).walk(5)))

    def test_the_PAT_bit_is_elsewhere_in_large_leaves(self):
        self.assertEqual(page_walk.memory_type(1, DATA | 1 << 7 | PWT, PAT), "WP")
        self.assertEqual(page_walk.memory_type(2, DATA | LARGE | PWT, PAT), "WC")
        self.assertEqual(page_walk.memory_type(2, DATA | LARGE | PWT | 1 << 12, PAT), "WP")
        self.assertEqual(page_walk.leaf_address(2, 0x20_0000 | 1 << 12), 0x20_0000)

    def test_what_any_level_denies_is_denied(self):
        memory = small_tables()
        memory.set(3, 0, 4 << 12 | TABLE & ~WRITE)
        memory.set(4, 5, 0x9000 | DATA | WRITE | USER)
        leaf = memory.walk().leaves[0]
        self.assertEqual((page_walk.access(leaf), leaf.user), ("r-x", False))

    def test_reserved_bits_are_named(self):
        for table, index, entry, wrong in [
            (4, 5, 1 << 40 | DATA, "level 1 has reserved bits set: 10000000000"),
            (3, 7, 1 << 13 | DATA | LARGE, "level 2 has reserved bits set: 2000"),
            (2, 1, 1 << 29 | DATA | LARGE, "level 3 has reserved bits set: 20000000"),
            (1, 256, 2 << 12 | TABLE | LARGE, "level 4 has reserved bits set: 80"),
        ]:
            memory = small_tables()
            memory.set(table, index, entry)
            self.assertIn(wrong, "\n".join(memory.walk().faults))

    def test_a_table_beyond_RAM_is_named(self):
        memory = small_tables()
        memory.set(3, 0, 0x7f00_0000 | TABLE)
        self.assertEqual(memory.walk().faults, ["ffff800000000000: a table of level 1 at 7f000000 is not in RAM"])

    def test_registers_of_all_processors_are_read(self):
        text = "CPU#{}\nCR0=80010011 CR2=0000000000000000 CR3=0000000003fde000 CR4=00301{}e0\nEFER=0000000000000d00\n"
        one, two = page_walk.parse_registers(text.format(0, "0") + text.format(1, "8"))
        self.assertEqual((one.root, one.levels, one.fault()), (0x3fde000, 5, None))
        self.assertEqual(page_walk.Registers(1 << 31, 0, 0, 0xd00).fault(), "CR0.WP is 0")
        self.assertEqual(two.cr4, 0x3018e0)


TLB = """ffff800000005000: 0000000000009000 XG-DA----
ffff800000e00000: 0000001234000000 -GPDA-T--
ffff800040000000: 0000008000000000 XGPDACT-W
"""
MEM = """ffff800000005000-ffff800000006000 0000000000001000 -r-
ffff800000e00000-ffff800001000000 0000000000200000 -r-
ffff800040000000-ffff800080000000 0000000040000000 -rw
"""


class MonitorTexts(unittest.TestCase):
    def test_info_tlb_is_read_and_foretold(self):
        self.assertEqual(page_walk.parse_tlb(TLB), page_walk.tlb_entries(small_tables().walk().leaves))
        self.assertEqual(page_walk.parse_tlb(TLB)[1], (0xffff800000e00000, 0x1234000000, "-GPDA-T--"))

    def test_info_mem_is_read_and_foretold(self):
        self.assertEqual(page_walk.parse_mem(MEM), page_walk.mem_ranges(small_tables().walk().leaves))

    def test_a_line_that_is_not_understood_is_not_overlooked(self):
        with self.assertRaisesRegex(ValueError, "`info tlb` has a line that is not understood: `PG disabled`"):
            page_walk.parse_tlb(TLB + "PG disabled\n")

    def test_a_translation_is_read(self):
        self.assertEqual(page_walk.parse_gpa("gpa: 0x1234\n"), 0x1234)
        self.assertIsNone(page_walk.parse_gpa("Unmapped\n"))
        with self.assertRaises(ValueError):
            page_walk.parse_gpa("No memory is mapped\n")


class Comparing(unittest.TestCase):
    """The window begins with the second 2 MiB of the hand-made tables, the direct map is the first."""

    HELLO = ("ptcheck: seed=1 batches=9 direct=ffff800000000000-ffff800000200000 "
             f"window=ffff800000200000-ffff900000000000 pat={PAT:x} physical_bits=40")

    def compare(self, before, now, *said, tlb=None):
        """What is told of `now`, where the kernel says `said` and QEMU the truth unless `tlb` is given."""
        comparison = ptcheck.Comparison(ptcheck.Layout.parse(self.HELLO), now.bytes)
        for memory, lines in ((before, ["ready 0 4"]), (now, [*said, "ready 1 4"])):
            belief, walk = ptcheck.Belief(), memory.walk()
            self.assertTrue([belief.take(line) for line in lines][-1])
            entries = "".join(f"{va:016x}: {pa:016x} {flags}\n" for va, pa, flags in page_walk.tlb_entries(walk.leaves))
            mem = "".join(f"{first:016x}-{last + 1:016x} {last + 1 - first:016x} {what}\n"
                          for first, last, what in page_walk.mem_ranges(walk.leaves))
            found = comparison.compare(walk, belief, entries if memory is before else tlb or entries, mem)
        return [f"{heading}: {line}" for heading, lines in found for line in lines]

    def test_nothing_differs_where_nothing_changed(self):
        self.assertEqual(self.compare(small_tables(), small_tables()), [])

    def test_a_map_that_was_told_is_expected_and_its_words_are_read(self):
        now = small_tables()
        now.set(3, 1, 5 << 12 | TABLE)
        now.set(5, 3, 0xb000 | DATA | WRITE | NX | PCD)
        struct.pack_into("<QQ", now.bytes, 0xb000, 0xffff800000203000, 7)
        said = "map ffff800000203000 1000 b000 rw- UC- 1 7"
        told = self.compare(small_tables(), now, said)
        self.assertEqual(told, ["tables: the walk met 5, the kernel owns 4"])
        for wrong, where in [("1000 b000 r-- UC- 1 7", "r-- UC-"), ("1000 b000 rw- UC 1 7", "rw- UC;"),
                             ("1000 c000 rw- UC- 1 7", "4K at c000"), ("2000 b000 rw- UC- 1 7", "nothing"),
                             ("1000 b000 rw- UC- 1 8", "written ffff800000203000, 8")]:
            self.assertIn(where, "\n".join(self.compare(small_tables(), now, "map ffff800000203000 " + wrong)))

    def test_what_is_hidden_and_still_there_is_told(self):
        now = small_tables()
        now.set(3, 8, 0x4000_0000 | DATA | LARGE | NX)
        told = self.compare(small_tables(), now, "hidden ffff800001000000 200000")
        self.assertEqual(told, ["the kernel and the walk differ in the vmalloc window: ffff800001000000: kernel: nothing; "
                                "tables: 2M at 40000000 r-- WB (hidden)"])

    def direct(self, entry):
        """The direct map as a leaf of 2 MiB, or as the pages that entry(n) gives."""
        memory = small_tables()
        memory.set(3, 0, DATA | WRITE | NX | LARGE if not entry else 4 << 12 | TABLE)
        for n in range(512):
            memory.set(4, n, entry(n) if entry else 0)
        return memory

    def direct_map_tells(self, entry, *said):
        return "\n".join(line for line in self.compare(self.direct(None), self.direct(entry), *said) if "tables:" not in line[:7])

    def test_pages_of_the_direct_map_are_as_told(self):
        def entry(n):
            return n << 12 | DATA | NX | (0 if n == 3 else WRITE)

        self.assertEqual(self.direct_map_tells(entry, "alias 3000 1000 r--"), "")
        self.assertIn("ffff800000003000: kernel: 3000 rw- WB; tables: 4K at 3000 r-- WB", self.direct_map_tells(entry))
        self.assertIn("ffff800000005000: kernel: 5000 --- WB", self.direct_map_tells(entry, "alias 3000 1000 r--", "alias 5000 1000 ---"))

    def test_a_leaf_that_could_be_whole_must_be(self):
        told = self.direct_map_tells(lambda n: n << 12 | DATA | NX | WRITE)
        self.assertIn("ffff800000000000: nothing differs in 2M, but it is not one leaf", told)

    def test_a_leaf_that_hides_a_difference_is_told(self):
        self.assertIn("kernel: 0 r-- and rw- WB; tables: 2M at 0 rw- WB", self.direct_map_tells(None, "alias 3000 1000 r--"))

    def test_a_page_that_nobody_changed_must_stay(self):
        def entry(n):
            return 0 if n == 7 else n << 12 | DATA | NX | (0 if n == 3 else WRITE)

        self.assertIn("2093056 bytes are mapped and 0 hidden, of 2097152", self.direct_map_tells(entry, "alias 3000 1000 r--"))

    def test_QEMU_may_differ(self):
        told = self.compare(small_tables(), small_tables(), tlb=TLB.replace("XGPDACT-W", "XGPDA-T-W"))
        self.assertEqual(told, ["`info tlb` and the walk differ: ffff800040000000: walk: 8000000000 XGPDACT-W; "
                                "QEMU: 8000000000 XGPDA-T-W"])

    def test_samples_know_where_they_lead(self):
        leaves = small_tables().walk().leaves
        belief = ptcheck.Belief(maps=[(leaves[0].va, 4096, 0, "", "", 1, 0)], hidden=[(leaves[1].va - 4096, 4096)])
        places = [(leaf.va, page_walk.level_size(leaf.level), page_walk.leaf_address(leaf.level, leaf.raw)) for leaf in leaves]
        for seed in range(50):
            told = dict(ptcheck.samples(random.Random(seed), leaves, belief))
            for va, pa in told.items():
                self.assertEqual([to + va - start for start, size, to in places if start <= va < start + size], [pa] if pa else [])
            self.assertIsNone(told[leaves[0].va + 4096])
            self.assertTrue(any(leaves[1].va - 4096 <= va < leaves[1].va for va in told))


class Screen(unittest.TestCase):
    LINES = ["Octavo, 8 leaves", "~ and {more} than one row of", "", "end"]
    ROWS = ["Octavo, 8 leaves", "~ and {more} than on", "e row of", "", "end", ""]

    def read(self, rows, columns=20):
        """What is read from a picture of these rows, with some pixels to spare."""
        drawn = {character: pattern for pattern, character in screen.font().items()}
        width, height = columns * screen.WIDTH + 3, len(rows) * screen.HEIGHT + 2
        pixels = bytearray(3 * width * height)
        for row, text in enumerate(rows):
            for column, character in enumerate(text):
                for y, bits in enumerate(drawn[character]):
                    for x in (x for x in range(screen.WIDTH) if bits & 0x80 >> x):
                        at = 3 * ((row * screen.HEIGHT + y) * width + column * screen.WIDTH + x)
                        pixels[at : at + 3] = b"\xaa\xaa\xaa"
        with tempfile.NamedTemporaryFile() as file:
            file.write(f"P6\n{width} {height}\n255\n".encode() + pixels)
            file.flush()
            return screen.read_text(file.name, screen.font())

    def test_the_font_has_all_characters(self):
        self.assertEqual("".join(sorted(screen.font().values())), "".join(map(chr, range(32, 128))))

    def test_a_screenshot_is_read_and_found_right(self):
        self.assertEqual(self.read(self.ROWS), (20, self.ROWS))
        self.assertIsNone(screen.compare(20, self.ROWS, ["earlier"] + self.LINES))

    def test_another_row_than_was_told_is_named(self):
        told = self.LINES[:3] + ["End"]
        self.assertEqual(screen.compare(20, self.ROWS, told), "row 4 of the screen is `end`, but `End` was told")
        self.assertIn("row 4 of the screen is ``", screen.compare(20, self.ROWS[:4] + ["", "x"], self.LINES + ["x"]))

    def test_a_screen_that_shows_nothing_or_more_is_not_right(self):
        self.assertEqual(screen.compare(20, ["", ""], self.LINES), "0 rows on the screen, 5 were told")
        self.assertEqual(screen.compare(20, ["", "end"], ["end"]), "2 rows on the screen, 1 were told")


class Bench(unittest.TestCase):
    """The figures of a run are made of the committed counts: a row that reads the wrong name finds nothing."""

    def setUp(self):
        self.root = os.path.dirname(HERE)
        self.before = os.getcwd()
        os.chdir(self.root)
        self.references = bench_rows.references()
        with open(bench.COUNTS, encoding="utf-8") as file:
            counts = json.load(file)["counts"]
        self.figures = {name: {"insns": count, "alloc": count / 2, "free": count / 2} for name, count in counts.items()}
        self.figures.update({"boot.2G": {"insns": 1000}, "boot.8G": {"insns": 1600}})

    def tearDown(self):
        os.chdir(self.before)

    def compared(self):
        columns = [linux for linux in self.references if linux.config == "lean4"]
        return columns, bench_rows.compare(self.figures, columns, [r for r in self.references if r.config == "tiny"])

    def test_every_row_finds_its_figure_in_every_reference(self):
        self.assertEqual([linux.config for linux in self.references], ["lean4", "tiny", "lean4", "lean4", "tiny"])
        for row in self.compared()[1]:
            if row.row.linux:
                self.assertNotIn(None, row.linux + [row.stripped], row.row.label)

    def test_every_row_finds_octavos_figure(self):
        self.assertEqual([row.row.label for row in self.compared()[1] if row.octavo is None], [])

    def test_the_lower_of_the_stripped_kernels_counts(self):
        row = next(row for row in self.compared()[1] if row.row.label.startswith("order 9"))
        self.assertEqual(round(row.stripped), 5584)
        self.assertAlmostEqual(row.ratio(), row.stripped / row.octavo)

    def test_a_rise_above_two_percent_is_named_and_any_other_change_is_told(self):
        before = {"a": 100, "b": 100, "c": 100, "d": 100, "f": 100}
        worse, remarks = bench.differences(before, {"a": 102.1, "b": 102, "c": 90, "e": 5, "f": 100})
        self.assertEqual(worse, ["dearer: a: 100 -> 102.1 (+2.1 %)", "d: 100 committed, but no longer measured"])
        self.assertEqual(remarks, ["a little dearer: b: 100 -> 102 (+2.0 %)", "cheaper: c: 100 -> 90 (-10.0 %)", "new: e: 5"])

    def test_a_row_that_rose_fails_the_check(self):
        with tempfile.TemporaryDirectory() as scratch:
            counts, octavo = os.path.join(scratch, "counts.json"), bench.octavo
            with open(counts, "w", encoding="utf-8") as file:
                json.dump({"compiler": bench.compiler(), "counts": {"x": 100, "y": 5}}, file)
            committed, bench.COUNTS = bench.COUNTS, counts
            bench.octavo = lambda: ({"x": {"insns": 103}, "y": {"insns": 5}}, [])
            try:
                result = bench.check()
            finally:
                bench.COUNTS, bench.octavo = committed, octavo
        self.assertEqual((result.passed, result.problems), (1, ["dearer: x: 100 -> 103 (+3.0 %)"]))

    def test_charts_are_xml_with_every_operation(self):
        columns, rows = self.compared()
        words = "".join(xml.etree.ElementTree.fromstring(bench_chart.bars(rows, columns)).itertext())
        for row in rows:
            if row.row.unit == "instructions":
                self.assertIn(row.row.label, words)
        series = [{"name": "Octavo", "points": [(0, 5), (10, 7)]}]
        curves = bench_chart.curves([{"title": "t", "x": "areas", "series": series}])
        self.assertIn("areas", "".join(xml.etree.ElementTree.fromstring(curves).itertext()))

    def test_the_table_has_every_row_and_the_goals(self):
        columns, rows = self.compared()
        text = bench_report.terminal_table(rows, columns)
        for row in rows:
            self.assertIn(row.row.label, text)
        self.assertIn("16 met", text)
        self.assertEqual([bench_report.number(v) for v in (5584, 119.6, 39.44, 0.0073, None)],
                         ["5,584", "120", "39.4", "0.0073", "-"])

    def test_the_initramfs_holds_what_the_folder_holds(self):
        with tempfile.TemporaryDirectory() as scratch:
            os.mkdir(os.path.join(scratch, "dev"))
            with open(os.path.join(scratch, "init"), "wb") as file:
                file.write(b"program")
            command = [os.path.join(self.root, "bench/linux/initramfs.py"), scratch]
            archive = subprocess.run(command, capture_output=True, check=True).stdout
        found, at = {}, 0
        while at < len(archive):
            self.assertEqual(archive[at : at + 6], b"070701")
            size, name_size = int(archive[at + 54 : at + 62], 16), int(archive[at + 94 : at + 102], 16)
            name = archive[at + 110 : at + 110 + name_size - 1].decode()
            at = (at + 110 + name_size + 3) & ~3
            found[name] = archive[at : at + size]
            at = (at + size + 3) & ~3
        self.assertEqual(found, {"dev": b"", "init": b"program", "TRAILER!!!": b""})


class BenchHost(unittest.TestCase):
    """Two contenders and one that allocates nothing, three rounds."""

    FAMILY = bench_host.Family(
        "Things",
        (bench_host.Contender("ours", "a"), bench_host.Contender("theirs", "b"), bench_host.Contender("none", "c", floor=True)),
        (bench_host.Row("x", "one"), bench_host.Row("y", "two", ("theirs",))),
    )
    NS = {"x": {"ours": [10, 20, 40], "theirs": [20, 10, 60], "none": [1, 2, 4]}, "y": {"ours": [5, 5, 5], "none": [1, 1, 1]},
          bench_host.CALIBRATION: {"ours": [100, 100, 100], "theirs": [98, 100, 103], "none": [100, 100, 100]}}

    def setUp(self):
        self.measured = {}
        for row in bench_host.rows_of(self.FAMILY):
            entry = self.measured[("Things", row.name)] = bench_host.Measured(self.FAMILY, row)
            for contender in self.FAMILY.contenders:
                for ns in self.NS[row.name].get(contender.name, []):
                    entry.add(contender, ns, 0)

    def test_a_ratio_is_that_of_medians_with_its_lowest_and_highest_round(self):
        entry = self.measured[("Things", "x")]
        self.assertEqual(entry.ratio("theirs"), (1, 0.5, 2))
        self.assertEqual(bench_host.spread(entry.ratio("theirs")), "1.0x (0.50-2.0)")
        self.assertEqual(bench_host.spread(self.measured[("Things", "y")].ratio("theirs")), "-")
        self.assertEqual([bench_host.times(ratio) for ratio in (0.756, 1.26, 12.4, 63000)], ["0.76x", "1.3x", "12x", "63,000x"])

    def test_rows_are_counted_and_who_allocates_nothing_is_no_rival(self):
        self.assertEqual(bench_host.summary(self.measured, (self.FAMILY,)),
                         ["ours takes less time than theirs in 0 of 1; median 1.0x."])

    def test_noise_is_told(self):
        loop, rounds = bench_host.noise(self.measured)
        self.assertIn("1.00x to 1.00x in the median, 0.98x to 1.03x in single rounds", loop)
        self.assertIn("150 % in the median of its rows, 300 % at most", rounds)

    def test_tables_have_every_row_and_the_report_where_figures_come_from(self):
        for text in (bench_host.terminal_table(self.measured, (self.FAMILY,)),
                     bench_host.report(self.measured, (self.FAMILY,), ["somewhere"])):
            for words in ("one", "two", "1.0x (0.50-2.0)", "theirs"):
                self.assertIn(words, text)
        self.assertIn("| two | - | 0.20x (0.20-0.20) |", text)
        self.assertTrue(text.endswith("* somewhere\n"))

    def test_contenders_that_must_agree_and_do_not_end_the_run(self):
        entry = bench_host.Measured(self.FAMILY, self.FAMILY.rows[0])
        entry.add(self.FAMILY.contenders[0], 1, 7)
        with self.assertRaisesRegex(SystemExit, "one: theirs answers otherwise"):
            entry.add(self.FAMILY.contenders[1], 1, 8)

    def test_a_row_that_is_not_there_is_named(self):
        with tempfile.TemporaryDirectory() as scratch:
            program = os.path.join(scratch, "host-bench")
            with open(program, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\necho ready $1\nwhile read row ns; do [ $row = y ] && exit; echo 9 3 0; done\n')
            os.chmod(program, 0o755)
            real, families = (bench_host.PROGRAM, bench_host.FAMILIES)
            bench_host.PROGRAM, bench_host.FAMILIES = program, (self.FAMILY,)
            try:
                result = bench_host.smoke(os.path.join(scratch, "log"))
            finally:
                bench_host.PROGRAM, bench_host.FAMILIES = real, families
        self.assertEqual(result.passed, 6)
        self.assertEqual(result.problems, ["bench-host: ours: no answer to y", "not measured: two, ours", "not measured: two, none"])

    def test_the_processor_is_named(self):
        text = "processor\t: 0\nmodel name\t: Some CPU\nprocessor\t: 1\nmodel name\t: Some CPU\n"
        self.assertEqual(bench_host.processor(text), "Some CPU, 2 CPUs")


class Tools(unittest.TestCase):
    def run_script(self, *words, path=None):
        environment = dict(os.environ, **({"PATH": path} if path else {}))
        done = subprocess.run([os.path.join(HERE, words[0]), *words[1:]], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_a_missing_tool_is_named_with_its_package_and_the_remedy(self):
        with tempfile.TemporaryDirectory() as scratch:
            for tool in ("sh", "awk", "dirname"):
                os.symlink(shutil.which(tool), os.path.join(scratch, tool))
            status, text = self.run_script("need", "sh", "grub-mkrescue", path=scratch)
        self.assertEqual((status, text), (1, "grub-mkrescue is missing (Debian package grub-common): run `make setup`.\n"))

    def test_nothing_is_said_of_tools_that_are_there(self):
        self.assertEqual(self.run_script("need", "sh", "/dev/null"), (0, ""))

    def test_setup_does_nothing_the_second_time(self):
        self.assertEqual(self.run_script("setup"), (0, "setup: every tool is here, nothing to do\n"))

    def test_a_glob_that_no_row_matches_is_named(self):
        words = "no row's name matches `gdb sessions`; --list shows them\n"
        self.assertEqual(self.run_script("test.py", "--match", "gdb sessions"), (1, words))

    def test_rows_are_listed_by_name(self):
        self.assertEqual(self.run_script("test.py", "--list", "--match", "gdb*"), (0, "gdb session\ngdb session, 5 levels\n"))

    def test_the_flush_table_names_a_case_of_two_suites_once(self):
        self.assertEqual(flush_table.words(["a", "b", "a", "c", "d"]), "`a`, `b`, `c` and 1 more")


if __name__ == "__main__":
    unittest.main()
