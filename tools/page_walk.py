"""The page tables in a machine's physical memory, read as the processor reads them.

Written from the Intel SDM, vol. 3A, chapter 4 (4-level and 5-level paging: sections 4.5 to 4.7, tables 4-12 to 4-20) and 12.12
(PAT), and from nothing of Octavo's: what Octavo believes about the format is what this is to check.
"""

import re
import struct
from collections import namedtuple

P, RW, US, PWT, PCD, A, D, PS, G = (1 << bit for bit in range(9))
PAT_SMALL, PAT_LARGE, XD = 1 << 7, 1 << 12, 1 << 63
ADDRESS = (1 << 52) - (1 << 12)
LEVEL_NAMES = {1: "4K", 2: "2M", 3: "1G"}
MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "UC-"}

CR0_PG, CR0_WP, CR4_LA57, EFER_LMA, EFER_NXE = 1 << 31, 1 << 16, 1 << 12, 1 << 10, 1 << 11

# A leaf: where, its level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB), its entry, and what all entries on the way to it allow.
Leaf = namedtuple("Leaf", "va level raw writable user executable")


SIZES = [0] + [1 << 12 + 9 * (level - 1) for level in range(1, 6)]


def level_size(level):
    """Bytes that an entry of that level spans."""
    return SIZES[level]


class Registers(namedtuple("Registers", "cr0 cr3 cr4 efer")):
    """What decides how a processor walks."""

    @property
    def levels(self):
        return 5 if self.cr4 & CR4_LA57 else 4

    @property
    def root(self):
        return self.cr3 & ADDRESS  # a PCID or cache bits are below

    def fault(self):
        """Why this processor is in no state to be looked at, or None."""
        for name, value, bit in [("CR0.PG", self.cr0, CR0_PG), ("CR0.WP", self.cr0, CR0_WP),
                                 ("EFER.LMA", self.efer, EFER_LMA), ("EFER.NXE", self.efer, EFER_NXE)]:
            if not value & bit:
                return f"{name} is 0"
        return None


def parse_registers(text):
    """Those of each CPU, from `info registers -a`."""
    values = {name: re.findall(rf"\b{name} *= *([0-9a-f]+)", text) for name in ("CR0", "CR3", "CR4", "EFER")}
    return [Registers(*(int(value, 16) for value in cpu)) for cpu in zip(*values.values())]


def canonical(va, levels):
    bits = 12 + 9 * levels
    return va | (1 << 64) - (1 << bits) if va >> (bits - 1) else va


class Walk:
    """Reads the tables once. `leaves` are in order of their addresses; `faults` say what no processor would accept."""

    def __init__(self, memory, registers, physical_bits):
        self.leaves, self.faults, self.nr_tables = [], [], 0
        self._memory, self._levels = memory, registers.levels
        self._reserved = (1 << 52) - (1 << physical_bits)
        self._table(registers.root, self._levels, 0, True, True, True)

    def _table(self, table, level, base, writable, user, executable):
        if table + 4096 > len(self._memory):
            self.faults.append(f"{canonical(base, self._levels):016x}: a table of level {level} at {table:x} is not in RAM")
            return
        self.nr_tables += 1
        size, leaves = level_size(level), self.leaves
        for index, raw in enumerate(struct.unpack_from("<512Q", self._memory, table)):
            if not raw & P:
                continue
            va = canonical(base + index * size, self._levels)
            leaf = level == 1 or raw & PS and level <= 3
            self._check(raw, level, leaf, va)
            if leaf:
                leaves.append(Leaf(va, level, raw, writable and raw & RW != 0, user and raw & US != 0,
                                   executable and raw & XD == 0))
            else:
                self._table(raw & ADDRESS, level - 1, base + index * size, writable and raw & RW != 0,
                            user and raw & US != 0, executable and raw & XD == 0)

    def _check(self, raw, level, leaf, va):
        reserved = self._reserved
        if level > 3:
            reserved |= PS
        elif leaf and level > 1:
            reserved |= level_size(level) - (1 << 13)  # bit 12 is the PAT's
        if raw & reserved:
            self.faults.append(f"{va:016x}: the entry {raw:016x} of level {level} has reserved bits set: {raw & reserved:x}")


ADDRESSES = [ADDRESS & -size for size in SIZES]


def leaf_address(level, raw):
    return raw & ADDRESSES[level]


def pat_index(level, raw):
    pat = raw & (PAT_SMALL if level == 1 else PAT_LARGE)
    return (4 if pat else 0) + (2 if raw & PCD else 0) + (1 if raw & PWT else 0)


def memory_type(level, raw, pat_msr):
    code = pat_msr >> 8 * pat_index(level, raw) & 7
    return MEMORY_TYPES.get(code, f"reserved type {code}")


def access(leaf):
    return "r" + ("w" if leaf.writable else "-") + ("x" if leaf.executable else "-")


def tlb_flags(level, raw):
    """As `info tlb` prints a leaf: it leaves out bit 7 of small ones, their PAT, and shows the PAT of none."""
    bits = [("X", XD), ("G", G), ("P", PS if level > 1 else 0), ("D", D), ("A", A), ("C", PCD), ("T", PWT), ("U", US), ("W", RW)]
    return "".join(letter if raw & bit else "-" for letter, bit in bits)


def tlb_entries(leaves):
    """What `info tlb` should say: (virtual address, physical address, flags) of each leaf."""
    seen, entries = {}, []
    for va, level, raw, *_ in leaves:
        key = (level > 1, raw & (XD | 0x1ff))
        flags = seen.get(key)
        if flags is None:
            flags = seen[key] = tlb_flags(level, raw)
        entries.append((va, raw & ADDRESSES[level], flags))
    return entries


def mem_ranges(leaves):
    """What `info mem` should say: (first, last, access) of ranges that touch and may be accessed alike on all levels."""
    ranges = []
    for va, level, _, writable, user, _ in leaves:
        what = ("u" if user else "-") + "r" + ("w" if writable else "-")
        last = va + level_size(level) - 1
        if ranges and ranges[-1][1] + 1 == va and ranges[-1][2] == what:
            ranges[-1] = (ranges[-1][0], last, what)
        else:
            ranges.append((va, last, what))
    return ranges


TLB_LINE = re.compile(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([XGPDACTUW-]{9})$", re.MULTILINE)
MEM_LINE = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16}) [0-9a-f]{16} ([u-]r[w-])$", re.MULTILINE)


def parse_lines(pattern, text, what):
    found = pattern.findall(text)
    if len(found) != len(text.splitlines()):
        strange = next((line for line in text.splitlines() if not pattern.fullmatch(line)), "")
        raise ValueError(f"`{what}` has a line that is not understood: `{strange}`")
    return found


def parse_tlb(text):
    """`info tlb`: (virtual address, physical address, flags) of each line."""
    return [(int(va, 16), int(pa, 16), flags) for va, pa, flags in parse_lines(TLB_LINE, text, "info tlb")]


def parse_mem(text):
    """`info mem`: (first, last, access) of each line."""
    return [(int(start, 16), (int(end, 16) - 1) % (1 << 64), what)
            for start, end, what in parse_lines(MEM_LINE, text, "info mem")]


def parse_gpa(text):
    """`gva2gpa`: the physical address, or None where nothing is mapped."""
    match = re.fullmatch(r"gpa: (0x[0-9a-f]+)", text.strip())
    if match:
        return int(match[1], 16)
    if text.strip() == "Unmapped":
        return None
    raise ValueError(f"`gva2gpa` is not understood: `{text.strip()}`")
