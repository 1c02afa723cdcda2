#!/usr/bin/env python3
"""Writes the seeds of tests/host/fuzz_*.c: physical memories of a few KiB.

handoff: the information block's place is in the first 2 bytes.
acpi: the first 64 bytes are the root pointer, the memory map, and which tables are to be given a right checksum.

Usage: tools/make_corpus.py [tests/host/corpus]
"""
import pathlib
import struct
import sys

RAM, RESERVED, NVS = 1, 2, 4
TOP = 1 << 64
BLOCK = 0x400


def tag(kind, payload, size=None):
    body = struct.pack("<II", kind, 8 + len(payload) if size is None else size) + payload
    return body + b"\0" * (-len(body) % 8)


def mmap(*entries, stride=24):
    body = b"".join(struct.pack("<QQII", *e, 0) + b"\xaa" * (stride - 24) for e in entries)
    return tag(6, struct.pack("<II", stride, 0) + body)


def module(start, end, name=b"m\0"):
    return tag(3, struct.pack("<II", start, end) + name)


def section(kind, address=0, size=0, link=0, entry=0):
    return struct.pack("<IIQQQQIIQQ", 0, kind, 0, address, 0, size, link, 0, 8, entry)


def sections(*headers, count=None, size=64):
    return tag(9, struct.pack("<III", len(headers) if count is None else count, size, 0) + b"".join(headers))


def root_pointer(revision, rsdt=0, xsdt=0, length=36):
    raw = bytearray(b"RSD PTR \0seed  \0" + struct.pack("<IIQI", rsdt, length, xsdt, 0))
    raw[15] = revision
    raw[8] = -sum(raw[:20]) & 0xFF
    raw[32] = -sum(raw) & 0xFF
    return bytes(raw)


def rsdp(new):
    return tag(15, root_pointer(2)) if new else tag(14, root_pointer(0)[:20])


def framebuffer(at, bits=32, red=16):
    return tag(8, struct.pack("<QIIIBBH6B", at, 5120, 1280, 800, bits, 1, 0, red, 8, 8, 8, 0, 8))


def memory(*tags, end=True, total=None, at=BLOCK):
    body = b"".join(tags) + (tag(0, b"") if end else b"")
    block = struct.pack("<II", len(body) + 8 if total is None else total, 0) + body
    return struct.pack("<Q", at) + b"\0" * (at - 8) + block


PLAIN = mmap((0, 0x9FC00, RAM), (0x9FC00, 0x400, RESERVED), (0x100000, 0x3F00000, RAM))
SYMBOLS = [section(0), section(2, 0x100, 240, 2, 24), section(3, 0x300, 64)]
SEEDS = {
    "plain": memory(tag(1, b"test exit\0"), tag(2, b"GRUB 2.06\0"), PLAIN),
    "everything": memory(tag(1, b"test\0"), PLAIN, module(0x200000, 0x201234), sections(*SYMBOLS), rsdp(False),
                         rsdp(True), tag(8, struct.pack("<QIIIBBH", 0xB8000, 160, 80, 25, 16, 2, 0))),
    "uefi": memory(mmap((0, 0xA0000, RAM), (0x100000, 0x706000, RAM), (0x806000, 0x2000, NVS), (0x808000, 0x8000, RAM),
                        (0x810000, 0xF0000, NVS), (0x900000, 0xE1A0000, RAM), (0xF5EC000, 0x100000, 20),
                        (0xFFC00000, 0x400000, RESERVED)), tag(12, bytes(8)), rsdp(True)),
    "above_4g": memory(mmap((0x100000000, 0x40000000, RAM), (0xFD00000000, 0x300000000, RESERVED))),
    "above_limit": memory(mmap((0x100000, 0x10000, RAM), ((1 << 44) - 0x4000, 0x10000, RAM), (1 << 60, 0x1000, RAM))),
    "wrapping": memory(mmap((0x100000, 0x10000, RAM), (0x108001, TOP - 1, RESERVED), (0x1000, TOP - 1, RAM))),
    "overlapping": memory(mmap((0x100000, 0x100000, RAM), (0x180000, 0x100000, RAM), (0x140000, 0x1000, RESERVED),
                               (0x0, 0x101001, NVS))),
    "unaligned": memory(mmap((0x100001, 0x2FFF, RAM), (0x200FFF, 0x3002, RAM), (0x202FFF, 2, RESERVED))),
    "empty_ranges": memory(mmap((0x100000, 0, RAM), (0x200000, 0x10000, RAM), (0x208000, 0, RESERVED))),
    "wide_entries": memory(mmap((0x100000, 0x10000, RAM), (0x108000, 0x1000, RESERVED), stride=40)),
    "several_maps": memory(mmap((0x100000, 0x10000, RAM)), mmap((0x108000, 0x1000, RESERVED))),
    "many_ranges": memory(mmap(*((0x100000 + i * 0x3001, 0x2000, RAM if i % 5 else NVS) for i in range(80)))),
    "stride_zero": memory(tag(6, struct.pack("<II", 0, 0) + bytes(48))),
    "no_map": memory(tag(1, b"test\0")),
    "no_ram": memory(mmap((0, 0x100000, RESERVED))),
    "no_end": memory(PLAIN, end=False),
    "tag_of_size_0": memory(PLAIN, tag(4242, b"", size=0)),
    "tag_too_long": memory(PLAIN, tag(4242, b"", size=0xFFFFFFF8)),
    "total_too_large": memory(PLAIN, total=0xFFFFFFF8),
    "modules": memory(PLAIN, *(module(0x200000 + i * 0x1800, 0x201000 + i * 0x1800, b"n" * i) for i in range(18))),
    "module_backwards": memory(PLAIN, module(0x200000, 0x1FFFFF)),
    "strings_without_nul": memory(PLAIN, tag(1, b"x" * 1100), tag(2, b"y" * 70), module(1, 2, b"z" * 80)),
    "sections_count": memory(PLAIN, sections(*SYMBOLS, count=0xFFFFFFFF)),
    "sections_stride": memory(PLAIN, sections(*SYMBOLS, size=1)),
    "symbols_far": memory(PLAIN, sections(section(0), section(2, TOP - 8, 240, 2, 24), section(3, 0x300, 64))),
    "framebuffer": memory(PLAIN, framebuffer(0x80000000)),
    "framebuffer_in_ram": memory(framebuffer(0x3FFF000), PLAIN),
    "framebuffer_wraps": memory(PLAIN, framebuffer(TOP - 5120)),
    "framebuffer_colour_outside": memory(PLAIN, framebuffer(0x80000000, bits=16)),
    "block_at_0": memory(PLAIN, at=8),
}


LIST, MADT = 0x40, 0xC0
WHOLE = 0xFFFF  # as the end of a range: the end of all addresses
ENABLED, ONLINE_CAPABLE = 1, 2


def table(signature, body, length=None):
    raw = bytearray(signature + struct.pack("<I", 36 + len(body) if length is None else length) + bytes(28) + body)
    raw[9] = -sum(raw) & 0xFF
    return bytes(raw)


def apic(number, flags=ENABLED, length=8):
    return struct.pack("<BBBBI", 0, length, 0, number, flags)


def x2apic(number, flags=ENABLED):
    return struct.pack("<BBHIII", 9, 16, 0, number, flags, 0)


def madt(*entries, registers=0xFEE00000, length=None):
    return table(b"APIC", struct.pack("<II", registers, 1) + b"".join(entries), length)


def pointers(signature, *at, length=None):
    return table(signature, b"".join(struct.pack("<Q" if signature == b"XSDT" else "<I", a) for a in at), length)


def firmware(*tables, revision=2, size=36, ranges=((0x40, WHOLE, 3),), length=36):
    """`tables` are (address, bytes): the first is the list, as XSDT or RSDT; all get a right checksum."""
    at = tables[0][0]
    plan = root_pointer(revision, at if revision < 2 else 0, at, length) + struct.pack("<BBH", size | 0x80, len(ranges), 0)
    plan += b"".join(struct.pack("<HHH", *r) for r in ranges).ljust(18, b"\0")
    plan += b"".join(struct.pack("<H", a) for a, _ in tables[:3]).ljust(6, b"\0")
    raw = bytearray(plan)
    for place, body in tables:
        raw[len(raw) :] = bytes(max(0, place + len(body) - len(raw)))
        raw[place : place + len(body)] = body
    return bytes(raw)


CPUS = madt(apic(0), apic(1), apic(2, 0), apic(3, ONLINE_CAPABLE))
XSDT = (LIST, pointers(b"XSDT", 0x80, MADT))
ACPI_SEEDS = {
    "xsdt": firmware(XSDT, (MADT, CPUS)),
    "rsdt": firmware((LIST, pointers(b"RSDT", 0, MADT)), (MADT, CPUS), revision=0, size=20),
    "x2apic": firmware(XSDT, (MADT, madt(x2apic(0), x2apic(0x100), apic(0), x2apic(0xFFFFFFFF), apic(255)))),
    "override": firmware(XSDT, (MADT, madt(apic(0), struct.pack("<BBHQ", 5, 12, 0, 0x100000000)))),
    "registers_in_ram": firmware(XSDT, (MADT, CPUS), ranges=((0x40, 0x200, 3), (0x1000, WHOLE, RAM))),
    "many_cpus": firmware(XSDT, (MADT, madt(*(x2apic(n) for n in range(300))))),
    "entry_of_length_0": firmware(XSDT, (MADT, madt(apic(0), apic(1, length=0)))),
    "entry_too_long": firmware(XSDT, (MADT, madt(apic(0), apic(1, length=9)))),
    "no_cpu": firmware(XSDT, (MADT, madt(apic(0, ONLINE_CAPABLE)))),
    "no_madt": firmware((LIST, pointers(b"XSDT", 0x80, 0x90, TOP - 1))),
    "madt_too_long": firmware(XSDT, (MADT, madt(apic(0), length=(1 << 20) + 1))),
    "madt_past_its_range": firmware(XSDT, (MADT, CPUS), ranges=((0x40, MADT + 50, 3), (MADT + 50, WHOLE, 3))),
    "list_too_long": firmware((LIST, pointers(b"XSDT", *[MADT] * 4, length=36 + 8 * 1025)), (MADT, CPUS)),
    "list_ends_within_a_pointer": firmware((LIST, pointers(b"XSDT", MADT, MADT, length=47)), (MADT, CPUS)),
    "root_too_long": firmware(XSDT, (MADT, CPUS), length=40),
}

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/host/corpus")
for target, seeds in (("handoff", SEEDS), ("acpi", ACPI_SEEDS)):
    (folder / target).mkdir(parents=True, exist_ok=True)
    for name, seed in seeds.items():
        (folder / target / name).write_bytes(seed)
    print(f"{len(seeds)} seeds in {folder / target}")
