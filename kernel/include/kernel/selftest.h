/*
 * The in-kernel test runner: KTAP version 1 on the console, one subtest per suite. The suites are handed in, so that
 * the kernel names none of them; their language is <test/test.h>, whose kernel half lives in selftest.c.
 */
#ifndef KERNEL_SELFTEST_H
#define KERNEL_SELFTEST_H

#include <lib/compiler.h>

struct test_suite;

/*
 * Runs what `glob` selects, by `suite` or by `suite.case`, of the suites in `tables`: a NULL-terminated array of
 * NULL-terminated arrays. True if something was selected and nothing failed. A panic or a fault that no case expected is
 * not survived: its report ends the machine with EXIT_PANIC, because nothing after it could be trusted.
 *
 * A timer ticks on every CPU meanwhile: every case is one that gets interrupted.
 *
 * pre: mm_init() has run, on the booting CPU and its own stack, no interrupt handler, interrupts masked.
 */
bool selftest_run(const struct test_suite *const *const *tables, const char *glob, uint64_t seed);

#endif
