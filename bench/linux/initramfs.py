#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a directory as a cpio archive in the "newc" format (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).

Owners, times and inode numbers are the same wherever it is made, so that the same guest boots.

    initramfs.py DIRECTORY > initramfs.cpio
"""
import os
import sys

DIRECTORY, FILE, TRAILER = 0o040755, 0o100755, "TRAILER!!!"


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def entry(inode, name, mode, content=b""):
    words = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % word for word in words)
    return padded(head + name.encode() + b"\0") + padded(content)


def archive(root):
    names = sorted(
        os.path.relpath(os.path.join(where, name), root) for where, folders, files in os.walk(root) for name in folders + files
    )
    for inode, name in enumerate(names, 1):
        path = os.path.join(root, name)
        if os.path.isdir(path):
            yield entry(inode, name, DIRECTORY)
        else:
            with open(path, "rb") as file:
                yield entry(inode, name, FILE, file.read())
    yield entry(0, TRAILER, 0)


if __name__ == "__main__":
    sys.stdout.buffer.writelines(archive(sys.argv[1]))
