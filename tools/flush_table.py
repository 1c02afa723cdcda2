#!/usr/bin/env python3
"""`make flush-table`: turns off one flush after the other, and shows which tests notice, with 1 and with 4 CPUs.

The sites are those of <arch/flush_site.h>. Each is left out of a build of its own; every test that then fails, and does
not fail where all flushes are on, has caught it. So has a panic or a hang; the suite before it is told. A row that nothing
caught makes the run fail, but for the remote flushes with one CPU, where nobody is remote: there a catch does.
"""

import argparse
import os
import re
import subprocess
import sys

import qemu
from run_kernel import LOGS, end_when_told, read, run_tests

HEADER = "arch/x86_64/include/arch/flush_site.h"
TABLE = "build/flush-table.md"
CPUS = (1, 4)
LIMIT = 240     # seconds for all flushes on
HANG_TIMES = 3  # and so many times as long as that took, for one off: longer counts as a hang, which has noticed as well
HANG_LEAST = 60 # seconds
ENDS = ("hang", "panic", "triple fault", "missing exit status")  # of a machine, before all tests were done


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


def run(name, cpus, limit):
    """The result, and what went wrong: failed tests, and the one in which the machine hung or panicked."""
    machine = qemu.Machine(iso="build/flush-off/octavo.iso", cpus=cpus, cmdline="test exit")
    result = run_tests(machine, limit, f"{LOGS}/flush-off-{name}-{cpus}.log")
    wrong = []
    for problem in (text.split("\n")[0] for text in result.problems):
        if problem.startswith("failed test: "):
            wrong.append(problem.removeprefix("failed test: "))
        elif problem.startswith(ENDS):
            wrong.append(f"{re.split('[:;]', problem)[0]} after {result.names[-1] if result.names else 'boot'}")
        elif problem.startswith("QEMU"):
            sys.exit(problem)
    return result, wrong


def baseline():
    """What fails, and the limit that is fair, where all flushes are on, for each number of CPUs."""
    build(0)
    known, limits = {}, {}
    for cpus in CPUS:
        result, known[cpus] = run("none", cpus, LIMIT)
        if not result.names or any(wrong.startswith(ENDS) for wrong in known[cpus]):
            sys.exit(f"with all flushes on and {cpus} CPUs: {', '.join(known[cpus])}; {result.log}")
        limits[cpus] = max(HANG_LEAST, HANG_TIMES * result.seconds)
        print(f"all flushes on, {cpus} CPUs: {words(known[cpus])} failed, in {result.seconds:.0f} s", flush=True)
    return known, limits


def words(tests):
    """Two suites may have a case of one name: what flushes with 4 levels and with 5."""
    tests = list(dict.fromkeys(tests))
    if not tests:
        return "nothing"
    first = ", ".join(f"`{test}`" for test in tests[:3])
    return first + (f" and {len(tests) - 3} more" if len(tests) > 3 else "")


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    end_when_told()
    os.makedirs(LOGS, exist_ok=True)
    lines = ["| flush turned off | caught with 1 CPU by | caught with 4 CPUs by |", "|---|---|---|"]
    uncaught, unrelated = 0, 0
    known, limits = baseline()
    print("\n".join(lines), flush=True)
    for number, name in sites():
        build(number)
        row = [[test for test in run(name, cpus, limits[cpus])[1] if test not in known[cpus]] for cpus in CPUS]
        cells = [words(tests) for tests in row]
        unrelated += "REMOTE" in name and bool(row[0])
        if "REMOTE" in name and not row[0]:
            cells[0] = "(no other CPU)"
        uncaught += sum(cell == "nothing" for cell in cells)
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
        print(lines[-1], flush=True)
    with open(TABLE, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{len(sites())} sites, {uncaught} times nothing noticed, {unrelated} times what cannot; table: {TABLE}")
    sys.exit(1 if uncaught or unrelated else 0)


if __name__ == "__main__":
    main()
