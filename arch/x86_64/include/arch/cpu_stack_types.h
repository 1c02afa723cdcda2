/* What <arch/cpu_stack.h> works on. Shared by both machines, which differ in how they push and pop. */
#ifndef ARCH_CPU_STACK_TYPES_H
#define ARCH_CPU_STACK_TYPES_H

#include <lib/compiler.h>

/* A stack of pointers. */
struct cpu_stack {
	uint32_t count, capacity;
	void *items[];
};

/*
 * A stack of pairs, which the CPU reaches through a pointer that handlers may exchange: a magazine. In bytes, so that
 * an index needs no shift.
 */
struct cpu_pair {
	void *first, *second;
};
struct cpu_magazine {
	uint32_t used, size; /* bytes of pairs[] */
	struct cpu_magazine *next;
	struct cpu_pair pairs[];
};

#endif
