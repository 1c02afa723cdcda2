/* Random changes of the page tables for an observer outside: the kernel parameter ptcheck=BATCHES. Defined in tests/kernel. */
#ifndef TEST_PTCHECK_H
#define TEST_PTCHECK_H

#include <lib/compiler.h>

/*
 * Maps, unmaps, protects and splits at random, in `batches` batches. Before the first one, after each, and when all has been
 * given back, prints what must be mapped now, and waits until the serial line answers: "g" to go on; "d" for a difference,
 * which prints the tables in the kernel's own words and ends it. tools/ptcheck.py is the other side. True if nothing failed
 * here. On the booting CPU, interrupts masked.
 */
bool ptcheck_run(uint64_t batches, uint64_t seed);

#endif
