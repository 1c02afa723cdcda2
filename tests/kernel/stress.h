/*
 * All CPUs at once on the real machine: tests/common/smp_workload.c as work of each CPU, while each CPU's own timer
 * interrupts it, in a handler that allocates and frees as well.
 */
#ifndef TESTS_STRESS_H
#define TESTS_STRESS_H

#include <smp_workload.h>

struct stress {
	/* The caller's. */
	unsigned nr_cpus; /* at most those online */
	uint64_t seed;
	unsigned round;                             /* operations of each CPU between two checks */
	bool (*go_on)(const struct stress *stress); /* asked by the booting CPU after each check */
	/* What has been done so far; read at any time. */
	struct smp_workload workload;
	uint64_t checks;
};

/* NULL, or what went wrong first. On the booting CPU, interrupts enabled, no other stress running. */
const char *stress_run(struct stress *stress) MUST_USE;

/* Allocations made by timer handlers, since the stress began. */
uint64_t stress_handled(void);

#endif
