/*
 * Everything at once: each CPU calls what <mm/> offers, in a random mix, and hands what it got to others, who free it.
 * All memory carries a pattern of its owner's while it is held. From time to time everybody stops, and one CPU verifies
 * the whole. The same source runs in the kernel and on threads; how CPUs meet, and how long it goes on, is the caller's.
 *
 *	CPU 0   [ · · · · · · ]  ◄──┐                     its items: memory it holds, or nothing
 *	                            ├──► [ · · · · ]      shared places: swapped with an item at random
 *	CPU n   [ · · · · · · ]  ◄──┘
 *
 * Of an area, some pages may be read-only, executable or hidden, whoever holds it; devices, of which there are none, are
 * mapped with types that others refuse. Where there are real interrupts, each frees an area that its CPU left to it.
 *
 * The last of several CPUs also takes all memory there is, every few rounds, works on for a while, and gives it back:
 * refusals are part of the mix. Of all mistakes a wrong pattern is noted here, as no CPU but the first can leave its
 * test; the others are panics, or the check's words.
 *
 * One workload at a time.
 */
#ifndef TESTS_SMP_WORKLOAD_H
#define TESTS_SMP_WORKLOAD_H

#include <lib/compiler.h>

struct kmem_cache;

enum { SMP_CPUS_MAX = 16, SMP_CACHES = 3 };

/* What one CPU did. Written by that CPU, and may be read at any time. */
struct smp_counts {
	uint64_t operations;
	uint64_t allocations; /* of these, those that were served */
	uint64_t refused;
	uint64_t swapped;       /* items put into a shared place or taken from one */
	uint64_t in_handler;    /* operations in interrupt context */
	uint64_t exhausted;     /* how often it took all memory */
	uint64_t devices;       /* mapped */
	uint64_t conflicts;     /* refused, as they must be, for being mapped with another type */
	uint64_t limited;       /* set_memory_*() on pages of areas */
	uint64_t by_interrupts; /* areas freed by smp_workload_interrupt() */
};

struct smp_workload {
	/* The caller's, constant from begin to end. */
	unsigned nr_cpus; /* 1 to SMP_CPUS_MAX */
	uint64_t seed;
	unsigned round;               /* operations of each CPU from one check to the next */
	bool (*go_on)(void *context); /* asked by one CPU after each round */
	const char *(*check)(void);   /* called by it while all others wait: NULL, or what is broken */
	void (*barrier)(
	        void *context); /* returns on each CPU when all nr_cpus have called it; orders memory */
	void *context;

	/* The workload's. */
	struct kmem_cache *caches[SMP_CACHES];
	uint64_t devices; /* physical address of no RAM */
	struct smp_counts counts[SMP_CPUS_MAX];
	bool stop;         /* (barrier) */
	bool failed;       /* atomic: `failure` has its writer */
	char failure[256]; /* (barrier) */
};

/* What the CPUs need in common; false if there is no memory for it. On one CPU, before any runs. */
bool smp_workload_begin(struct smp_workload *workload) MUST_USE;

/* CPU `cpu`'s part: 0 to nr_cpus - 1, at once. Returns when the workload has ended and this CPU holds nothing. */
void smp_workload_run(struct smp_workload *workload, unsigned cpu);

/* What CPU `cpu` does with an interrupt of its own: vfree() an area that was left to it. In the handler, on that CPU. */
void smp_workload_interrupt(struct smp_workload *workload, unsigned cpu);

/* Gives back what begin() took. NULL, or what went wrong first. On one CPU, after all have run. */
const char *smp_workload_end(struct smp_workload *workload) MUST_USE;

/* All CPUs' counts, added up. */
struct smp_counts smp_workload_counts(const struct smp_workload *workload);

#endif
