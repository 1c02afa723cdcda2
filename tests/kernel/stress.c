/*
 * The workload is shared with the hosted tests. Here each CPU is one, the barrier is a counter, and interrupts are real:
 * a tick allocates and frees objects and pages with GFP_ATOMIC, holds some of them until later ticks, and carries
 * patterns of its own.
 *
 * A verifier wants nobody else at work. The CPUs wait in the barrier for it, but their ticks go on: they are told to do
 * nothing first, and a call to every CPU shows that none is still in a handler.
 */
#include "stress.h"
#include <arch/apic.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <lib/rng.h>
#include <lib/string.h>

enum { TICKS_PER_SECOND = 500, HELD_MAX = 24 };

/*
 * What is interrupted must get on: where the host is busy, a tick's work takes longer than the next tick is away. So a tick
 * does nothing unless the workload has done so many operations since the last that did something.
 */
enum { OPERATIONS_PER_TICK = 4 };

/* What the handler of one CPU holds. */
struct ticker {
	struct rng rng;
	struct {
		uint64_t *words;
		size_t count;
		uint64_t tag;
		int order; /* of pages; -1: an object */
	} held[HELD_MAX];
	uint64_t served;
	uint64_t due;      /* at so many operations the next tick does something */
	const char *wrong; /* the first wrong pattern, in words */
} ALIGNED(64);

static struct ticker tickers[CPUS_MAX];
static struct stress *running;
static bool quiet; /* atomic: ticks do nothing */

/* ---- The barrier ------------------------------------------------------------------------------------------------- */

static unsigned arrived, generation; /* atomic */

static void meet(void *context)
{
	const struct stress *stress = context;
	unsigned mine = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == stress->nr_cpus) {
		__atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&generation, mine + 1, __ATOMIC_RELEASE);
		return;
	}
	/* Halted, so that those at work have the host's processors. Calls and ticks come in, and a tick looks again. */
	while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == mine)
		__asm__ volatile("hlt" : : : "memory");
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static void take(struct ticker *ticker, unsigned slot)
{
	int order = rng_below(&ticker->rng, 4) ? -1 : (int)rng_below(&ticker->rng, 4);
	size_t bytes = order < 0 ? 8 + rng_below(&ticker->rng, 1000) : PAGE_SIZE << order;
	void *memory = order < 0 ? kmalloc(bytes, GFP_ATOMIC | __GFP_NOWARN)
	                         : (void *)__get_free_pages(GFP_ATOMIC | __GFP_NOWARN, (unsigned)order);

	if (!memory)
		return;
	ticker->held[slot].words = memory;
	ticker->held[slot].count = bytes / sizeof(uint64_t);
	ticker->held[slot].tag = rng_next(&ticker->rng);
	ticker->held[slot].order = order;
	for (size_t i = 0; i < ticker->held[slot].count; i++)
		ticker->held[slot].words[i] = ticker->held[slot].tag + i;
	ticker->served++;
}

static void give(struct ticker *ticker, unsigned slot)
{
	uint64_t *words = ticker->held[slot].words;

	for (size_t i = 0; i < ticker->held[slot].count; i++) {
		if (words[i] != ticker->held[slot].tag + i)
			ticker->wrong = "a timer handler found its memory changed";
	}
	if (ticker->held[slot].order < 0)
		kfree(words);
	else
		free_pages((unsigned long)words, (unsigned)ticker->held[slot].order);
	ticker->held[slot].words = NULL;
}

/* Of this CPU, or of the first where this one has no part. */
static uint64_t operations_here(void)
{
	unsigned id = this_cpu()->id;
	const struct smp_counts *counts = &running->workload.counts[id < running->nr_cpus ? id : 0];

	return __atomic_load_n(&counts->operations, __ATOMIC_RELAXED);
}

static void tick(void)
{
	struct ticker *ticker = &tickers[this_cpu()->id];

	if (__atomic_load_n(&quiet, __ATOMIC_ACQUIRE) || operations_here() < ticker->due)
		return;
	ticker->due = operations_here() + OPERATIONS_PER_TICK;
	if (this_cpu()->id < running->nr_cpus)
		smp_workload_interrupt(&running->workload, this_cpu()->id);
	for (unsigned n = 1 + (unsigned)rng_below(&ticker->rng, 4); n; n--) {
		unsigned slot = (unsigned)rng_below(&ticker->rng, HELD_MAX);
		if (ticker->held[slot].words)
			give(ticker, slot);
		else
			take(ticker, slot);
	}
}

static void start_ticking(void *seed)
{
	struct ticker *ticker = &tickers[this_cpu()->id];

	memset(ticker, 0, sizeof(*ticker));
	rng_seed(&ticker->rng, *(uint64_t *)seed + this_cpu()->id);
	cpu_timer_start(TICKS_PER_SECOND, tick);
}

/* Each CPU's timer goes back to who had it. */
static struct timer timers_before[CPUS_MAX];

static void note_timer(void *unused)
{
	(void)unused;
	timers_before[this_cpu()->id] = cpu_timer_running();
}

static void stop_ticking(void *unused)
{
	struct ticker *ticker = &tickers[this_cpu()->id];
	const struct timer *before = &timers_before[this_cpu()->id];

	(void)unused;
	if (before->hz)
		cpu_timer_start(before->hz, before->tick);
	else
		cpu_timer_stop();
	for (unsigned slot = 0; slot < HELD_MAX; slot++) {
		if (ticker->held[slot].words)
			give(ticker, slot);
	}
}

uint64_t stress_handled(void)
{
	uint64_t sum = 0;
	for (unsigned id = 0; id < CPUS_MAX; id++)
		sum += __atomic_load_n(&tickers[id].served, __ATOMIC_RELAXED);
	return sum;
}

static const char *wrong_in_handlers(void)
{
	for (unsigned id = 0; id < CPUS_MAX; id++) {
		if (tickers[id].wrong)
			return tickers[id].wrong;
	}
	return NULL;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void nothing(void *unused)
{
	(void)unused;
}

/* All others wait in the barrier. */
static const char *verify_quietly(void)
{
	__atomic_store_n(&quiet, true, __ATOMIC_RELEASE);
	cpu_call(cpus_online(), nothing, NULL); /* whoever answers is in no other handler */
	const char *broken = mm_verify();
	if (!broken)
		broken = wrong_in_handlers();
	__atomic_store_n(&quiet, false, __ATOMIC_RELEASE);
	return broken;
}

static bool go_on(void *context)
{
	struct stress *stress = context;
	stress->checks++;
	return stress->go_on(stress);
}

static void run_here(void *context)
{
	struct stress *stress = context;
	smp_workload_run(&stress->workload, this_cpu()->id);
}

const char *stress_run(struct stress *stress)
{
	cpuset_t timed = apic_is_present() ? cpus_online() : 0;

	stress->checks = 0;
	stress->workload = (struct smp_workload){
	        .nr_cpus = stress->nr_cpus,
	        .seed = stress->seed,
	        .round = stress->round,
	        .go_on = go_on,
	        .check = verify_quietly,
	        .barrier = meet,
	        .context = stress,
	};
	running = stress;
	if (!smp_workload_begin(&stress->workload))
		return "no memory for the workload";
	cpu_call(timed, note_timer, NULL);
	cpu_call(timed, start_ticking, &stress->seed);
	for (unsigned id = 1; id < stress->nr_cpus; id++)
		cpu_start_work(id, run_here, stress);
	run_here(stress);
	for (unsigned id = 1; id < stress->nr_cpus; id++)
		cpu_wait_work(id);
	cpu_call(timed, stop_ticking, NULL);
	const char *broken = smp_workload_end(&stress->workload);
	return broken ? broken : wrong_in_handlers();
}
