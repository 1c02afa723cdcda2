#!/usr/bin/env python3
"""Writes the seeds of tests/host/fuzz_handoff.c: physical memories of a few KiB, the block's place in the first 2 bytes.

Usage: tools/make_corpus.py [tests/host/corpus/handoff]
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


def rsdp(new):
    raw = bytearray(b"RSD PTR \0seed  \0\0\0\0\0" + bytes(16))
    raw[15] = 2 if new else 0
    raw[20] = 36
    raw[8] = -sum(raw[:20]) & 0xFF
    raw[32] = -sum(raw) & 0xFF
    return tag(15 if new else 14, bytes(raw if new else raw[:20]))


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
    "block_at_0": memory(PLAIN, at=8),
}

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/host/corpus/handoff")
folder.mkdir(parents=True, exist_ok=True)
for name, seed in SEEDS.items():
    (folder / name).write_bytes(seed)
print(f"{len(SEEDS)} seeds in {folder}")
