/* What each modelled CPU owns. A thread of the process is a CPU. */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include <lib/compiler.h>
#include <lib/counters.h>

enum { CPUS_MAX = 64, HELD_LOCKS_MAX = 8, CACHE_LINE = 64 };

struct page_cpu;
struct spinlock;

struct cpu {
	uint32_t id;
	uint32_t interrupt_depth; /* a test raises it to stand in a handler */
	uint32_t held_locks, held_mutexes;
	bool irqs_enabled; /* atomic: others' flushes wait for a CPU that masks them, until it unmasks them */
	uint32_t nr_answers;    /* atomic: or waits for something itself, as it then answers */
	uint64_t asked_by;      /* atomic: the CPUs whose call waits here, as an interrupt would */
	struct page_cpu *pages; /* mm's: this CPU's own free pages; NULL until it has some */
	size_t line;            /* id * CACHE_LINE */
	uint64_t counters[CPU_COUNTERS];
	const struct spinlock *held[HELD_LOCKS_MAX];
	uintptr_t held_at[HELD_LOCKS_MAX];
};

/*
 * In smp.c. Local-exec is right, as this is always part of a program; and the default, initial-exec, is
 * wrong with UBSan: gcc 12 takes "is the address null" from the flags of an addition that ld relaxes to lea,
 * which sets none.
 */
extern struct cpu host_cpus[CPUS_MAX];
extern _Thread_local struct cpu *host_cpu __attribute__((tls_model("local-exec")));

static inline struct cpu *this_cpu(void)
{
	return host_cpu;
}

/* What the CPU reads afterwards, it reads masked: no flush that began before is still to come. */
static inline void host_set_irqs(bool enabled)
{
	__atomic_store_n(&this_cpu()->irqs_enabled, enabled, __ATOMIC_SEQ_CST);
}

/* This CPU waits, and so holds nobody's flush off. */
static inline void host_answer(void)
{
	uint32_t *own = &this_cpu()->nr_answers;
	__atomic_store_n(own, *own + 1, __ATOMIC_SEQ_CST);
}

#define this_cpu_read(field) (this_cpu()->field)

/* Atomic, as another thread may read the sum meanwhile. */
static ALWAYS_INLINE void cpu_count(enum cpu_counter counter, uint64_t n)
{
	uint64_t *own = &this_cpu()->counters[counter];
	__atomic_store_n(own, *own + n, __ATOMIC_RELAXED);
}

#endif
