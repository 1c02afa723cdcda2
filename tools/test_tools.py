#!/usr/bin/env python3
"""Tests of the test tools: each way to fail is shown to be seen, and named as what it was."""

import os
import shutil
import subprocess
import tempfile
import unittest

import qemu
import run_kernel
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


if __name__ == "__main__":
    unittest.main()
