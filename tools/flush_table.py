#!/usr/bin/env python3
"""`make flush-table`: turns off one flush after the other, and shows which tests notice, with 1 and with 4 CPUs.

The sites are those of <arch/flush_site.h>. Each is left out of a build of its own; every test that then fails has caught
it. A row that nothing caught makes the run fail, but for the remote flushes with one CPU, where nobody is remote.
"""

import os
import re
import subprocess
import sys

import qemu
from run_kernel import LOGS, end_when_told, read, run_tests

HEADER = "arch/x86_64/include/arch/flush_site.h"
TABLE = "build/flush-table.md"
CPUS = (1, 4)
LIMIT = 120  # seconds; a hang has been noticed as well


def sites():
    body = re.search(r"enum flush_site \{(.*?)\}", read(HEADER), re.DOTALL)[1]
    names = re.findall(r"^\s*(FLUSH_\w+)", body, re.MULTILINE)
    return [(number, name) for number, name in enumerate(names) if name not in ("FLUSH_NONE", "FLUSH_SITES")]


def build(number):
    done = subprocess.run(
        ["make", "--no-print-directory", "-s", f"-j{os.cpu_count()}", f"FLUSH_OFF={number}", "build/flush-off/octavo.iso"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    if done.returncode:
        sys.exit(done.stdout.decode("utf-8", "replace"))


def caught_by(name, cpus):
    machine = qemu.Machine(iso="build/flush-off/octavo.iso", cpus=cpus, cmdline="test exit")
    result = run_tests(machine, LIMIT, f"{LOGS}/flush-off-{name}-{cpus}.log")
    tests = [problem.split("\n")[0].removeprefix("failed test: ") for problem in result.problems]
    return tests


def words(tests):
    if not tests:
        return "nothing"
    first = ", ".join(f"`{test}`" for test in tests[:3])
    return first + (f" and {len(tests) - 3} more" if len(tests) > 3 else "")


def main():
    end_when_told()
    os.makedirs(LOGS, exist_ok=True)
    lines = ["| flush turned off | caught with 1 CPU by | caught with 4 CPUs by |", "|---|---|---|"]
    uncaught = 0
    print("\n".join(lines), flush=True)
    for number, name in sites():
        build(number)
        row = [caught_by(name, cpus) for cpus in CPUS]
        cells = [words(tests) for tests in row]
        if "REMOTE" in name and not row[0]:
            cells[0] = "(no other CPU)"
        uncaught += sum(cell == "nothing" for cell in cells)
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
        print(lines[-1], flush=True)
    with open(TABLE, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{len(sites())} sites, {uncaught} times nothing noticed; table: {TABLE}")
    sys.exit(1 if uncaught else 0)


if __name__ == "__main__":
    main()
