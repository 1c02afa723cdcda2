/* The stress of all CPUs for as long as one likes: the kernel parameter soak=MINUTES. Defined in tests/kernel. */
#ifndef TEST_SOAK_H
#define TEST_SOAK_H

#include <lib/compiler.h>

/*
 * All online CPUs, and their timer handlers, allocate and free at once for `minutes`. A line per second says what was done,
 * how much memory is free, what failed and how much time is left; the verifier runs all along, and in the end memory must
 * be as it was. True if nothing failed. On the booting CPU, interrupts masked.
 */
bool soak_run(uint64_t minutes, uint64_t seed);

#endif
