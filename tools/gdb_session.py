#!/usr/bin/env python3
"""A gdb session that nobody has to type: stop in vmalloc, look at the backtrace and the local variables, leave.

gdb starts QEMU itself and speaks with it through a pipe, so that both end together and no port is taken.
"""

import os
import re
import subprocess
import sys
import tempfile

import qemu
from run_kernel import LOGS, Result

LIMIT = 120
SCRIPT = "tools/gdb/session.gdb"
DEMANDS = {
    "stop at the breakpoint": r"^Breakpoint 1, __vmalloc_node_range \(",
    "name the function and its line in the backtrace": r"^#0 .*__vmalloc_node_range \(.*\) at (\./)?mm/vmalloc\.c:\d+",
    "name the caller in the backtrace": r"^#1 +0x[0-9a-f]+ in \w+ \(.*\) at (\./)?\w+/.*\.c:\d+",
    "reach the kernel's main function in the backtrace": r"^#\d+ .*\bmain\.c:\d+",
    "show arguments by name": r"^size = \d+",
    "show local variables by name": r"(?s)== locals\n\w+ = .*== end",
    "list the zones' free blocks": r"^Node 0, zone +DMA( +\d+){19}",
    "list the object caches": r"^kmalloc-64 +\d+",
    "list the vmalloc areas": r"^0xffff\w+-0xffff\w+ +\d+ \w+\+\d+ pages=\d+ (vmalloc|vmap|ioremap)",
    "tell freed ranges from areas": r"(?s)== freed\n.*^0xffff\w+-0xffff\w+ +\d+ \S+ freed, to be flushed$",
    "say what a code address is": r"^kernel image: __vmalloc_node_range",
    "say what a slab pointer is": r"^direct map, frame .* in a slab block .*: slot \d+ of cache \w+, 0 bytes past",
}


def run(build, log, levels=4):
    result = Result(log=log)
    with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
        machine = qemu.Machine(iso=f"{build}/octavo.iso", levels=levels, cmdline="test=vmalloc* exit")
        words = machine.command(scratch) + ["-display", "none", "-serial", f"file:{scratch}/serial", "-gdb", "stdio", "-S"]
        remote = "target remote | " + " ".join(f"'{word}'" for word in words)
        command = ["gdb", "-nx", "-q", "-batch", "-ex", "set pagination off", f"{build}/octavo.elf"]
        try:
            done = subprocess.run(
                command + ["-ex", remote, "-x", SCRIPT],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
            )
            text = done.stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired as expired:
            text = (expired.stdout or b"").decode("utf-8", "replace")
            result.fail("hang: gdb did not end within the time limit")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        file.write(text)
    for demand, pattern in DEMANDS.items():
        if re.search(pattern, text, re.MULTILINE):
            result.passed += 1
        else:
            result.fail(f"the session did not {demand}")
    if result.failed:
        result.problems.append(text)
    return result


if __name__ == "__main__":
    outcome = run("build/debug", f"{LOGS}/gdb-session.log")
    print("\n".join(outcome.problems) or open(outcome.log, encoding="utf-8").read())
    print(f"{outcome.passed} passed, {outcome.failed} failed")
    sys.exit(1 if outcome.failed else 0)
