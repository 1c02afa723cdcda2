/* A prompt on the serial line for looking at a living kernel; `help` lists the commands. */
#ifndef KERNEL_SHELL_H
#define KERNEL_SHELL_H

#include <lib/compiler.h>

struct test_suite;

/*
 * Reads and runs commands until `exit`; returns with a warning where nobody can type. `tables` and `seed` as for
 * selftest_run(), for the command `test`.
 */
void shell_run(const struct test_suite *const *const *tables, uint64_t seed);

#endif
