/*
 * All CPUs together: who runs, and how one makes the others do something. Shared by both machines; on the host a thread
 * is a CPU.
 *
 * CPU ids are dense: 0 is the CPU that booted. CPUs come online one after the other, late in boot, and stay.
 */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include <arch/percpu.h>

/* A set of CPUs: bit n is CPU n. */
typedef uint64_t cpuset_t;
_Static_assert(CPUS_MAX <= 64, "a set of CPUs is one word");

/* The lowest CPU of a set that is not empty. */
static inline unsigned cpuset_first(cpuset_t set)
{
	return (unsigned)__builtin_ctzll(set);
}
#define for_each_cpu(id, set) \
	for (cpuset_t rest_ = (set); rest_ && ((id) = cpuset_first(rest_), true); rest_ &= rest_ - 1)

/* One past the highest id that a CPU may ever have; known before mm_init(), constant afterwards. 1 to CPUS_MAX. */
unsigned cpus_possible(void);

/* The CPUs that run: they answer flushes and calls. Grows only. */
cpuset_t cpus_online(void);

/* How many: ids are dense. */
static inline unsigned nr_cpus_online(void)
{
	return 64 - (unsigned)__builtin_clzll(cpus_online());
}

/* What CPU `id` owns; NULL if it never came online. pre: id < CPUS_MAX */
struct cpu *cpu_by_id(unsigned id);

/* The same, online or not: for what must be there before the CPU is. */
struct cpu *cpu_storage(unsigned id);

/*
 * Runs `fn(context)` once on each online CPU of `set`, with interrupts masked there, and returns when all have. The
 * calling CPU, if it is in the set, calls it directly. While waiting it serves what others ask of it, so that two callers
 * do not wait for each other. `fn` may take locks but must not call this.
 *
 * pre: no spinlock held, not in an interrupt handler. Interrupts may be masked.
 */
void cpu_call(cpuset_t set, void (*fn)(void *context), void *context);

/*
 * Runs `fn(context)` on CPU `id` outside of any handler: in its idle loop, on its own kernel stack, interrupts enabled.
 * It may do what any kernel code may, and take its time. One piece of work per CPU at a time.
 *
 * pre: `id` is online, is not the calling CPU and not the boot CPU, which has no idle loop, and has no work
 */
void cpu_start_work(unsigned id, void (*fn)(void *context), void *context);

/* Has CPU `id` nothing left to do? What its work wrote is then visible here. */
bool cpu_work_done(unsigned id);

/* Waits until it has, serving calls and flushes meanwhile. pre: as for cpu_call() */
void cpu_wait_work(unsigned id);

/* Answers calls and flushes: for whoever waits for another CPU with interrupts masked. pre: no spinlock held */
void cpu_serve(void);

/* The sum over all CPUs; and all of them, a line each, with names. */
uint64_t counter_sum(enum cpu_counter counter);
struct printer;
void counters_dump(struct printer *out);

/* Called by whoever spins, at each turn: answers TLB flushes, and nothing else, whatever this CPU has masked or holds. */
void cpu_relax(void);

#endif
