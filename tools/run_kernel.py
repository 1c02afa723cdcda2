#!/usr/bin/env python3
"""Boot one kernel on one machine, read what it says, and name what went wrong.

A run can fail as: hang (time limit), triple fault, reset, missing exit status, panic, truncated or broken KTAP, failed
tests, a report that does not say what it must, or QEMU itself not starting. The serial output goes to a log file.
"""

import argparse
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Dict, List

import qemu
from ktap import KtapReader

LOGS = "build/logs"
BEGIN_OF_REPORT = re.compile(r"^(PANIC|FAULT) on CPU")
ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    problems: List[str] = field(default_factory=list)
    skipped: List[str] = field(default_factory=list)
    names: List[str] = field(default_factory=list)
    remarks: List[str] = field(default_factory=list)  # worth telling, no failure
    lines: List[str] = field(default_factory=list)
    figures: Dict[str, dict] = field(default_factory=dict)  # BENCH lines by name
    seconds: float = 0.0
    log: str = ""

    def fail(self, text):
        self.failed += 1
        self.problems.append(text)


def end_when_told():
    """A terminated tool ends by an exception, so that its QEMU does not outlive it. In the main thread."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def serial_lines(process, deadline):
    """Yields each line as it comes; returns at the end of output, raises TimeoutError at the deadline."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                if pending:
                    yield clean(pending)
                raise TimeoutError
            data = os.read(process.stdout.fileno(), 65536)
            *whole, pending = (pending + data).split(b"\n")
            yield from map(clean, whole)
            if not data:
                if pending:
                    yield clean(pending)
                return


def clean(raw):
    return ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r", "")


def boot(machine, limit, log, watch, stdin=subprocess.DEVNULL):
    """Runs QEMU; `watch` gets each line. Returns (status or None for a hang, what else QEMU had to say).

    What is written to `stdin`, a file, arrives on the serial line."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
        resets, errors = os.path.join(scratch, "resets"), os.path.join(scratch, "errors")
        command = machine.command(scratch)
        command += ["-display", "none", "-serial", "stdio", "-monitor", "none", "-d", "cpu_reset", "-D", resets]
        with open(errors, "wb") as error_file, open(log, "w", encoding="utf-8") as log_file:
            process = subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=error_file, start_new_session=True
            )
            try:
                for line in serial_lines(process, time.monotonic() + limit):
                    log_file.write(line + "\n")
                    log_file.flush()
                    watch(line)
                status = process.wait(10)
            except (TimeoutError, subprocess.TimeoutExpired):
                status = None
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
        tripped = os.path.exists(resets) and "Triple fault" in read(resets)
        return status, "triple fault" if tripped else read(errors).strip()


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def panic_report(lines):
    """From the panic's first line to the end; short of that, the last lines."""
    for index, line in enumerate(lines):
        if BEGIN_OF_REPORT.search(line) or re.search(r"\bpanic:", line):
            return lines[index : index + 60]
    return lines[-20:]


def name_the_end(result, status, remark, expected):
    """Adds a problem if the machine's end was not the expected one. True if there was nothing to say."""
    last = next((line for line in reversed(result.lines) if line.strip()), "")
    if status is None:
        result.fail(f"hang: no exit within the time limit; the last line was `{last}`")
    elif status == expected:
        return True
    elif remark == "triple fault":
        result.fail(f"triple fault; the last line was `{last}`")
    elif status == qemu.PANICKED:
        result.fail("\n    ".join(["panic:"] + panic_report(result.lines)))
    elif status == qemu.FAILED:
        return False  # KTAP says which
    elif status == 0:
        result.fail(f"missing exit status: the machine reset or went off; the last line was `{last}`")
    elif status == qemu.PASSED:
        result.fail(f"exit status {status} (all passed), expected {expected}")
    else:
        result.fail(f"QEMU ended with status {status}: {remark}")
    return False


def run_tests(machine, limit, log, show=lambda line, reader: None):
    """The machine runs test cases: counts them, and demands complete KTAP and an exit status that agrees with it."""
    result, reader, started = Result(log=log), KtapReader(), time.monotonic()

    def watch(line):
        result.lines.append(line)
        reader.feed(line)
        show(line, reader)

    status, remark = boot(machine, limit, log, watch)
    reader.end()
    result.passed, result.failed = reader.passed, reader.failed
    result.problems, result.skipped, result.names = reader.problems, reader.skipped, reader.names
    if name_the_end(result, status, remark, qemu.PASSED):
        if reader.failed:
            result.fail("exit status 33 (all passed) despite the above")
    elif status == qemu.FAILED and not reader.failed:
        result.fail("exit status 35 (some failed), but KTAP names no failure")
    result.seconds = time.monotonic() - started
    return result


def run_report(machine, limit, log, patterns, status=qemu.PANICKED):
    """The machine is to print lines that match `patterns` (globs), in this order, and to end with `status`."""
    result, started = Result(log=log), time.monotonic()
    ended, remark = boot(machine, limit, log, result.lines.append)
    name_the_end(result, ended, remark, status)
    reports = [line for line in result.lines if BEGIN_OF_REPORT.search(line) or " within the report: " in line]
    if len(reports) > 1:
        result.fail("\n    ".join([f"{len(reports)} reports instead of one:"] + reports))
    rest = iter(result.lines)
    for pattern in patterns:
        if not any(fnmatchcase(line, f"*{pattern}*") for line in rest):
            result.fail("\n    ".join([f"no line like `{pattern}` where it was expected in:"] + panic_report(result.lines)))
            break
    if not result.failed:
        result.passed = 1
    result.seconds = time.monotonic() - started
    return result


def run_bench(machine, limit, log, show=lambda line: print(line, flush=True)):
    """The machine measures: shows each BENCH line, and demands that they parse and say what was measured."""
    result, started = Result(log=log), time.monotonic()

    def watch(line):
        result.lines.append(line)
        if not line.startswith("BENCH "):
            return
        show(line)
        try:
            figure = json.loads(line[len("BENCH ") :])
            missing = {"name", "n"} - figure.keys()
        except (ValueError, AttributeError) as error:
            result.fail(f"`{line}` is not JSON: {error}")
            return
        if missing:
            result.fail(f"`{line}` lacks {', '.join(sorted(missing))}")
            return
        result.figures[figure["name"]] = figure
        result.passed += 1

    ended, remark = boot(machine, limit, log, watch)
    name_the_end(result, ended, remark, qemu.PASSED)
    if not result.passed:
        result.fail("no BENCH line")
    result.seconds = time.monotonic() - started
    return result


def run_soak(machine, limit, log):
    """The machine is under stress: shows its lines, and demands the verdict that it gives at the end."""
    result = Result(log=log)

    def watch(line):
        result.lines.append(line)
        if line.startswith("soak: "):
            print(line, flush=True)

    ended, remark = boot(machine, limit, log, watch)
    name_the_end(result, ended, remark, qemu.PASSED)
    if "soak: passed" in result.lines:
        result.passed = 1
    elif not result.failed:
        result.fail("the soak did not pass")
    return result


def progress(line, reader):
    if sys.stdout.isatty():
        text = f"{reader.passed} passed, {reader.failed} failed  {line.strip()}"
        print(f"\r\x1b[K{text[:100]}", end="", flush=True)


def main():
    end_when_told()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    qemu.add_machine_arguments(parser)
    parser.add_argument("--limit", type=float, default=300, help="seconds until it counts as a hang")
    parser.add_argument("--log", help="where the serial output goes")
    parser.add_argument("--verbose", action="store_true", help="show the serial output as it comes")
    parser.add_argument("--bench", action="store_true", help="expect BENCH lines under -icount instead of tests")
    parser.add_argument("--soak", action="store_true", help="expect the soak test's lines instead of tests")
    arguments = parser.parse_args()
    machine = qemu.machine_from(arguments)
    kind = "bench" if arguments.bench else "soak" if arguments.soak else "kernel"
    log = arguments.log or f"{LOGS}/{kind}.log"

    if arguments.bench:
        machine.icount = 0
        result = run_bench(machine, arguments.limit, log)
    elif arguments.soak:
        result = run_soak(machine, arguments.limit, log)
    else:
        show = (lambda line, reader: print(line, flush=True)) if arguments.verbose else progress
        result = run_tests(machine, arguments.limit, log, show)
        if sys.stdout.isatty() and not arguments.verbose:
            print("\r\x1b[K", end="")
    for problem in result.problems:
        print(f"FAILURE {problem}")
    for skipped in result.skipped:
        print(f"skipped: {skipped}")
    print(f"(serial output: {log})")
    print(f"{result.passed} passed, {result.failed} failed")
    sys.exit(1 if result.failed else 0)


if __name__ == "__main__":
    main()
