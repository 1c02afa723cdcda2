/*
 * Short-lived mappings that change hands: each CPU maps frames of its own, and unmaps what another one mapped, while any of
 * them purges now and then. What a mapping shows is written by who made it and checked by who ends it, at the mapping's
 * address: a CPU that has not forgotten what was there before sees something else.
 *
 *	CPU 0   [ · ]  ◄──┐                        a parcel each: a mapping, or nothing
 *	                  ├──► [ · · · · · · ]     places: swapped with a parcel at random
 *	CPU n   [ · ]  ◄──┘
 *
 * The same source runs in the kernel and on threads. One relay at a time.
 */
#ifndef TESTS_RAM_RELAY_H
#define TESTS_RAM_RELAY_H

#include <lib/compiler.h>

enum { RELAY_CPUS_MAX = 16 };

/* On one CPU, before any runs. */
void ram_relay_begin(uint64_t seed);

/* CPU `cpu`'s part, below RELAY_CPUS_MAX. Interrupts may be masked. */
void ram_relay_run(unsigned cpu, unsigned rounds);

/* On one CPU, after all have run: unmaps what is left. NULL, or what went wrong first. */
const char *ram_relay_end(void) MUST_USE;

/* How many mappings were ended by another CPU than the one that made them. */
uint64_t ram_relay_handed_over(void);

#endif
