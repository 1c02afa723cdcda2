/*
 * What each CPU owns. GS points at the running CPU's struct cpu once arch_init_early() has run; its first field is its
 * own address, so that one load finds it. The host has a header of the same name, with a thread as a CPU.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include <lib/compiler.h>
#include <lib/counters.h>

enum { CPUS_MAX = 64, HELD_LOCKS_MAX = 8, CACHE_LINE = 64 };

struct page_cpu;
struct spinlock;

struct cpu {
	struct cpu *self;         /* at gs:0 */
	uint32_t id;              /* 0 is the CPU that booted */
	uint32_t interrupt_depth; /* nesting of handlers; trap.asm counts it. Offset asserted there */
	struct page_cpu *pages;   /* mm's: this CPU's own free pages; NULL until it has some */
	size_t line; /* id * CACHE_LINE: where its element is in an array of one line for each CPU */
	uint64_t counters[CPU_COUNTERS];
	uint32_t held_mutexes;
	/* Debug build: the spinlocks this CPU holds, in order of taking; and the code addresses where it took them. */
	uint32_t held_locks;
	const struct spinlock *held[HELD_LOCKS_MAX];
	uintptr_t held_at[HELD_LOCKS_MAX];
};

_Static_assert(offsetof(struct cpu, interrupt_depth) == 12, "trap.asm counts interrupt nesting at gs:12");

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;
	__asm__("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* A field that is constant once the CPU runs, in one instruction: id, pages or line. */
#define this_cpu_read(field)                                                                   \
	({                                                                                     \
		__typeof__(this_cpu()->field) value_;                                          \
		__asm__("mov %%gs:%c1, %0" : "=r"(value_) : "i"(offsetof(struct cpu, field))); \
		value_;                                                                        \
	})

/* One instruction, so that a handler of this CPU cannot come between. pre: `counter` is a constant */
static ALWAYS_INLINE void cpu_count(enum cpu_counter counter, uint64_t n)
{
	__asm__ volatile("addq %0, %%gs:%c1"
	                 :
	                 : "er"(n), "i"(offsetof(struct cpu, counters) + counter * sizeof(uint64_t))
	                 : "memory", "cc");
}

#endif
