#!/usr/bin/env python3
"""`make test`: every test there is, two at a time, ending in one line `N passed, N failed`.

The rows below are the whole list. Each one is a function that returns a Result; N counts single test cases over all rows.
"""

import argparse
import filecmp
import glob
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase

import bench
import bench_host
import gdb_session
import ptcheck
import qemu
import screen
from run_kernel import LOGS, Result, read, run_report, run_tests

JOBS = 2
KERNEL_LIMIT = 480  # seconds until a kernel counts as hung; the slowest take about a tenth, more on a busy host
FUZZ_SECONDS = 10
BOOT_COST_PER_GIB = 260  # 0.001 a page
PTCHECK_BATCHES = 40
REPORTS = "tests/kernel/reports.txt"


def machine(build, **options):
    return qemu.Machine(iso=f"build/{build}/octavo.iso", **options)


# Every value of every column is met, in both builds; not every combination. The slowest come first.
MACHINES = [
    ("release, UEFI, 1 TiB, backed lazily", machine("release", firmware="uefi", mem="1T")),
    ("debug, UEFI, 4 CPUs", machine("debug", firmware="uefi", cpus=4)),
    ("release, BIOS, 4 CPUs", machine("release", cpus=4)),
    ("debug, 8 CPUs", machine("debug", cpus=8)),
    ("release, UEFI, 2 CPUs, qemu64", machine("release", firmware="uefi", cpus=2, cpu="qemu64")),
    ("release, UEFI, 1 CPU", machine("release", firmware="uefi")),
    ("debug, BIOS, 1 CPU", machine("debug")),
    ("debug, BIOS, 4 CPUs, 5 levels", machine("debug", cpus=4, levels=5)),
    ("debug, BIOS, 1 CPU, 5 levels", machine("debug", levels=5)),
    ("release, UEFI, 2 CPUs, 5 levels", machine("release", firmware="uefi", cpus=2, levels=5)),
    ("debug, 5 levels, another CPU that has 4", machine("debug", cpus=2, levels=5, weaker=True)),
    ("debug, 32 MiB", machine("debug", mem="32M")),
    ("release, 128 MiB", machine("release", mem="128M")),
    ("release, 3 GiB", machine("release", mem="3G")),
    ("debug, 5 GiB", machine("debug", mem="5G")),
    ("release, 64 GiB, backed lazily", machine("release", mem="64G")),
    ("debug, 1 TiB, backed lazily", machine("debug", mem="1T")),
    ("debug, qemu64: no 1 GiB pages, no SMEP, no SMAP", machine("debug", cpu="qemu64")),
    ("release, no local APIC", machine("release", cpu="qemu64,-apic")),
    ("debug, vmalloc window of 4 MiB, 4 CPUs", machine("debug", cpus=4, cmdline="vmalloc=4M")),
    ("debug, vmalloc window of 2 MiB, 1 CPU", machine("debug", cmdline="vmalloc=2M")),
]


def log_name(name):
    return f"{LOGS}/{re.sub('[^a-z0-9]+', '-', name.lower())}.log"


def kernel_row(name, target, seed):
    def run():
        target.cmdline = f"{target.cmdline} test exit{seed}"
        return run_tests(target, KERNEL_LIMIT, log_name(name))

    return name, run


def glob_row(seed):
    """`test=vmalloc*` runs the vmalloc suites, and nothing else."""
    name = "release, test=vmalloc*"

    def run():
        result = run_tests(machine("release", cmdline=f"test=vmalloc* exit{seed}"), KERNEL_LIMIT, log_name(name))
        strangers = [suite for suite in result.names if not fnmatchcase(suite, "vmalloc*")]
        if strangers:
            result.fail(f"test=vmalloc* also ran {', '.join(strangers)}")
        return result

    return name, run


def boot_cost_row():
    """Bringing memory up costs next to nothing per GiB: guest instructions from entry to "mm ready", counted."""
    name = f"release, boot from 2 GiB to 1 TiB, less than {BOOT_COST_PER_GIB} instructions per GiB"

    def run():
        insns, gibibytes = [], {"2G": 2, "1T": 1024}
        for mem in gibibytes:
            result = run_report(
                machine("release", mem=mem, icount=0, cmdline="exit"), KERNEL_LIMIT, log_name(f"boot {mem}"),
                ['BENCH {"name":"boot.mm_ready"'], qemu.PASSED,
            )
            if result.failed:
                return result
            insns += [int(n) for line in result.lines for n in re.findall(r'"boot.mm_ready","insns":(\d+)', line)]
        per_gib = (insns[1] - insns[0]) / (gibibytes["1T"] - gibibytes["2G"])
        if per_gib >= BOOT_COST_PER_GIB:
            result.fail(f"{insns[0]} instructions with 2 GiB, {insns[1]} with 1 TiB: {per_gib:.0f} per GiB")
        return result

    return name, run


def ptcheck_rows(seed):
    """A short `make ptcheck`."""
    for name, target in [
        ("debug, three views of the page tables", machine("debug", mem="64M")),
        ("release, 4 CPUs, 5 levels, three views of the page tables", machine("release", mem="64M", cpus=4, levels=5)),
    ]:
        yield ptcheck_row(name, target, seed)


def ptcheck_row(name, target, seed):
    def run():
        number = int(seed, 0) if seed else random.randrange(1 << 32)
        return ptcheck.run_ptcheck(target, PTCHECK_BATCHES, number, KERNEL_LIMIT, log_name(name))[0]

    return name, run


def bench_row():
    """No operation costs more instructions than what is committed."""
    return "benchmark, no row dearer than bench/counts.json", bench.check


def bench_host_row():
    """Each row of `make bench-host` is measured once by each contender; how long it takes is no matter of right or wrong."""
    name = "hosted benchmark runs"
    return name, lambda: bench_host.smoke(log_name(name))


def bringup_rows():
    """The one line that says which CPUs run, or why no other does."""
    for name, says, options in [
        ("3 CPUs", "smp: 3 CPUs online (APIC ids 0 1 2)", {"cpus": 3}),
        ("64 CPUs", "smp: 64 CPUs online (APIC ids 0 1 2 3 * 63)", {"cpus": 64}),
        ("1 CPU", "smp: one CPU, because the firmware lists no other", {}),
        ("no local APIC", "smp: one CPU, because it has no local APIC", {"cpu": "qemu64,-apic"}),
        ("no ACPI", "smp: one CPU, because MADT: not among the listed tables", {"cpus": 2, "firmware": "uefi", "acpi": False}),
    ]:
        for build in ("debug", "release"):
            row = f"{build}, {name} reported at boot"
            yield report_row(row, machine(build, cmdline="exit", **options), [says], qemu.PASSED)


def levels_rows():
    """How deep the page tables are, and which CPU is left out because they are too deep for it."""
    left_out = "warning: smp: CPU with APIC id 2 has no 5-level paging, which the others use: left out"
    for name, says, options in [
        ("4-level paging", ["address bits, 4-level paging"], {}),
        ("5-level paging", ["address bits, 5-level paging", "smp: 3 CPUs online (APIC ids 0 1 2)"], {"cpus": 3, "levels": 5}),
        ("a CPU without LA57", ["5-level paging", left_out, "smp: 2 CPUs online"], {"cpus": 2, "levels": 5, "weaker": True}),
    ]:
        for build in ("debug", "release"):
            yield report_row(f"{build}, {name} reported at boot", machine(build, cmdline="exit", **options), says, qemu.PASSED)


def screen_rows():
    """Under UEFI, the framebuffer shows what the serial line says, and a report stays on it; the loader regrets nothing."""
    for name, parameters, last in [
        ("the boot log", "nokaslr", "Nothing left to do: "),
        ("a report", "crash=vmalloc-overflow nokaslr", "End of report: "),
    ]:
        yield screen_row(f"debug, UEFI, {name} on the screen", parameters, last)


def screen_row(name, parameters, last):
    target = machine("debug", firmware="uefi", cmdline=parameters, debug_exit=False)
    return name, lambda: screen.run_screen(target, last, KERNEL_LIMIT, log_name(name))


def window_rows():
    """Where the vmalloc window lies, and from where that was drawn."""
    drawn = "vmalloc window: at one of 16777217 places, 24 bits of entropy, from "
    size = "34359738368 kB vmalloc window"
    for name, parameters, cpu, says in [
        ("random number", "", "max", [size, f"{drawn}RD????"]),
        ("time stamp counter", "", "qemu64", [size, f"{drawn}the time stamp counter: fewer for who *"]),
        ("seed", "seed=5", "max", [f"0xffffb9e337400000-0xffffd9e337400000    {size}", f"{drawn}the seed: none for who knows it"]),
        ("nokaslr", "nokaslr seed=5", "max", [f"0xffffc00000000000-0xffffe00000000000    {size}", "vmalloc window: at a fixed place"]),
        ("vmalloc=2M@…", "vmalloc=2M@0xffffefffffe00000", "max", ["0xffffefffffe00000-0xfffff00000000000           2048 kB vmalloc window"]),
        ("vmalloc=3M", "vmalloc=3M", "max", ['warning: command line: vmalloc: bad value "3M": not a multiple of 2 MiB', size]),
    ]:
        target = machine("release", cmdline=f"{parameters} exit", cpu=cpu)
        yield report_row(f"release, vmalloc window by {name}", target, says, qemu.PASSED)
    full = machine("release", cmdline="vmalloc=2M exit", cpus=64)
    says = ["smp: no memory for the stacks of the CPU with APIC id ??: left out", "smp: ?? CPUs online"]
    yield report_row("release, vmalloc window of 2 MiB, too small for 64 CPUs", full, says, qemu.PASSED)


def report_rows():
    """tests/kernel/reports.txt: `[parameter]`, perhaps ` cpus=N`, ` levels=5`, then the report's lines, as globs, in order."""
    if not os.path.exists(REPORTS):
        return
    text = "\n".join(line for line in read(REPORTS).splitlines() if not line.startswith("#"))
    section = r"^\[(.+)\]((?: \w+=\d+)*)\n((?:(?!\[.+\](?: \w+=\d+)*$).*\n?)*)"
    for parameter, words, body in re.findall(section, text, re.MULTILINE):
        options = {option: int(number) for option, number in (word.split("=") for word in words.split())}
        patterns = [line.strip() for line in body.splitlines() if line.strip()]
        for build in ("debug", "release"):
            name = ", ".join([build, parameter] + words.split())
            # The vmalloc window where it is easy to tell: the reports' addresses are patterns.
            yield report_row(name, machine(build, cmdline=f"{parameter} nokaslr", **options), patterns)


def report_row(name, target, patterns, status=qemu.PANICKED):
    return name, lambda: run_report(target, KERNEL_LIMIT, log_name(name), patterns, status)


def run_process(command, log, limit, **options):
    """(status or None for a hang, output); the output goes to `log` too."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit, **options
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        status, output = None, expired.stdout or b""
    text = output.decode("utf-8", "replace")
    with open(log, "w", encoding="utf-8") as file:
        file.write(text)
    return status, text


def host_rows(seed):
    program = ["build/host/octavo-tests"]
    return [
        hosted_row("hosted suites, ASan and UBSan", program, seed),
        hosted_row("hosted suites, ASan and UBSan, 5 levels", program + ["--levels", "5"], seed),
    ]


def tsan_row(seed):
    """ThreadSanitizer finds no place for its shadow where addresses are randomised by more than 28 bits."""
    fixed = ["setarch", "-R"]
    may_fix = subprocess.run(fixed + ["true"], capture_output=True).returncode == 0
    command = (fixed if may_fix else []) + ["build/tsan/octavo-tests", "smp*"]
    return hosted_row("hosted suites with several CPUs, ThreadSanitizer", command, seed)


def hosted_row(name, program, seed):
    def run():
        result = Result(log=log_name(name))
        command = program + (["--seed", seed] if seed else [])
        status, text = run_process(command, result.log, KERNEL_LIMIT)
        lines = text.splitlines()
        begun = None
        for index, line in enumerate(lines):
            verdict = re.match(r"\[ *(RUN|OK|FAILED|SKIPPED) *\] (\S+)", line)
            if not verdict:
                continue
            what, case = verdict.groups()
            if what == "RUN":
                begun = index
            elif begun is not None:  # cmocka lists failures again at the end of a group
                if what == "OK":
                    result.passed += 1
                elif what == "SKIPPED":
                    result.skipped.append("; ".join([case] + lines[begun + 1 : index]))
                else:
                    result.fail("\n    ".join([f"failed test: {case}"] + lines[begun + 1 : index][-40:]))
                begun = None
        promised = sum(int(count) for count in re.findall(r"^\[=+\].*Running (\d+) test", text, re.MULTILINE))
        seen = result.passed + result.failed + len(result.skipped)
        if status is None:
            result.fail(f"hang: no exit within the time limit; the last line was `{lines[-1] if lines else ''}`")
        elif seen != promised or not seen or (status != 0 and not result.failed):
            result.fail("\n    ".join([f"status {status} after {seen} of {promised} tests:"] + lines[-60:]))
        return result

    return name, run


def tools_row():
    name = "tests of the test tools"

    def run():
        result = Result(log=log_name(name))
        status, text = run_process([sys.executable, "tools/test_tools.py", "-v"], result.log, 120)
        result.passed = len(re.findall(r"\.\.\. ok$", text, re.MULTILINE))
        if status != 0 or not result.passed:
            result.fail(text)
        return result

    return name, run


def gdb_rows():
    for name, levels in (("gdb session", 4), ("gdb session, 5 levels", 5)):
        yield gdb_row(name, levels)


def gdb_row(name, levels):
    return name, lambda: gdb_session.run("build/debug", log_name(name), levels)


def fuzz_rows():
    for source in sorted(glob.glob("tests/host/fuzz_*.c")):
        yield fuzz_row(os.path.basename(source)[:-2])


def fuzz_row(target):
    name = f"libFuzzer, {target}, kept corpus and {FUZZ_SECONDS} s of new inputs"

    def run():
        result = Result(log=log_name(target))
        with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
            command = [f"build/fuzz/{target}", f"-max_total_time={FUZZ_SECONDS}", f"-artifact_prefix={scratch}/", scratch]
            corpus = f"tests/host/corpus/{target[len('fuzz_'):]}"
            status, text = run_process(command + ([corpus] if os.path.isdir(corpus) else []), result.log, 120)
        if status == 0 and re.search(r"^Done \d+ runs", text, re.MULTILINE):
            result.passed = 1
        else:
            result.fail("\n    ".join([f"status {status}:"] + text.splitlines()[-60:]))
        return result

    return name, run


def reproducible_row():
    """The same sources in another directory give the same bytes."""
    name = "reproducible build"

    def run():
        result = Result(log=log_name(name))
        with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
            for part in ("Makefile", "linker.ld", "lib", "arch", "mm", "boot", "kernel", "bench", "tests", "iso", "tools"):
                if os.path.isdir(part):
                    shutil.copytree(part, os.path.join(scratch, part))
                elif os.path.exists(part):
                    shutil.copy(part, scratch)
            command = ["make", "-C", scratch, "BUILD=release", f"SOURCE_DATE_EPOCH={os.environ['SOURCE_DATE_EPOCH']}"]
            clean = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
            status, text = run_process(command + ["build/release/octavo.iso"], result.log, 300, env=clean)
            if status != 0:
                result.fail("\n    ".join(["the second build failed:"] + text.splitlines()[-20:]))
                return result
            for product in ("octavo.elf", "octavo.iso"):
                ours, theirs = f"build/release/{product}", os.path.join(scratch, "build/release", product)
                if filecmp.cmp(ours, theirs, shallow=False):
                    result.passed += 1
                else:
                    result.fail(f"two builds differ in {product}")
        return result

    return name, run


def rows(only, seed):
    seeded = f" seed={seed}" if seed else ""
    host, tsan = host_rows(seed), [tsan_row(seed)]
    if only:
        return host if only == "host" else tsan
    kernels = [kernel_row(name, target, seeded) for name, target in MACHINES] + [glob_row(seeded), boot_cost_row(), bench_row()]
    return (
        host + tsan + kernels + list(ptcheck_rows(seed)) + list(bringup_rows()) + list(levels_rows()) + list(window_rows())
        + list(screen_rows()) + list(report_rows()) + list(gdb_rows()) + [tools_row(), bench_host_row(), reproducible_row()] + list(fuzz_rows())
    )


def show_skipped(results):
    """Each reason once, with the number of cases that gave it; figures in a reason may differ between runs."""
    reasons = {}
    for text in (text for result in results for text in result.skipped):
        case, _, reason = text.partition(" ")
        reasons.setdefault(re.sub(r"\d+", "N", reason), []).append(case)
    for reason, cases in sorted(reasons.items()):
        print(f"skipped: {len(set(cases))} cases, {len(cases)} times: {reason}")


def show_remarks(results):
    remarks = [text for result in results for text in result.remarks]
    for text in remarks:
        print(text)
    if remarks:
        print("`make bench-update` writes these to bench/counts.json.")


class Show:
    """One line per finished row; on a terminal also one that says what is running."""

    def __init__(self):
        self.running = []
        self.live = sys.stdout.isatty()

    def begin(self, name):
        self.running.append(name)
        self._status()

    def end(self, name, result):
        self.running.remove(name)
        if self.live:
            print("\r\x1b[K", end="")
        verdict = "FAILED" if result.failed else "ok"
        skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
        print(f"{verdict:7}{name}: {result.passed} passed, {result.failed} failed{skipped} ({result.seconds:.0f} s)")
        for problem in result.problems:
            print(f"         {problem}".replace("\n", "\n         "))
        if result.failed:
            print(f"         log: {result.log}")
        sys.stdout.flush()
        self._status()

    def _status(self):
        if self.live and self.running:
            print(f"\r\x1b[K… {'; '.join(self.running)}"[:150], end="", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["host", "tsan"], help="the suites as a process, and no kernel")
    parser.add_argument("--match", default="*", help="run only the rows whose name matches this glob")
    parser.add_argument("--list", action="store_true", help="show their names, and run nothing")
    parser.add_argument("--seed", default="", help="of the randomised cases")
    arguments = parser.parse_args()
    chosen = [row for row in rows(arguments.only, arguments.seed) if fnmatchcase(row[0], arguments.match)]
    if not chosen:
        sys.exit(f"no row's name matches `{arguments.match}`; --list shows them")
    if arguments.list:
        print("\n".join(name for name, _ in chosen))
        return
    if "SOURCE_DATE_EPOCH" not in os.environ:  # as in the Makefile, which sets it for `make test`
        commit = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False)
        os.environ["SOURCE_DATE_EPOCH"] = commit.stdout.strip() or "315532800"
    show = Show()

    def run(row):
        name, function = row
        started = time.monotonic()
        show.begin(name)
        try:
            result = function()
        except Exception as error:  # a broken tool is a failure, not a reason to lose the other results
            result = Result()
            result.fail(f"{type(error).__name__}: {error}")
        result.seconds = time.monotonic() - started
        show.end(name, result)
        return result

    started = time.monotonic()
    with ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(run, chosen))
    show_skipped(results)
    show_remarks(results)
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    print(f"{len(results)} runs in {time.monotonic() - started:.0f} s; serial output and logs: {LOGS}/")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
