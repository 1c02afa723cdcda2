/* The memory subsystem under all CPUs and their interrupts at once; what it costs in locks; and that nothing is stranded. */
#include "stress.h"
#include <arch/apic.h>
#include <arch/irq.h>
#include <arch/smp.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/vmalloc.h>
#include <hoard.h>
#include <test/test.h>

static struct stress stress;

static void need_cpus(unsigned count)
{
	if (nr_cpus_online() < count)
		test_skip("%u CPUs are online, this needs %u", nr_cpus_online(), count);
}

/* Operations of each CPU between two verifications: what many CPUs do, contending for few processors, takes its time. */
enum { ROUND_MAX = 400, ROUND_OF_ALL = 1600, ROUNDS = 8, MORE_ROUNDS = 100 };

static unsigned round_of(unsigned nr_cpus)
{
	return (unsigned)min_u64(ROUND_MAX, ROUND_OF_ALL / nr_cpus);
}

static uint64_t counted_before[CPU_COUNTERS];

static void begin_counting(void)
{
	for (unsigned counter = 0; counter < CPU_COUNTERS; counter++)
		counted_before[counter] = counter_sum(counter);
}

static uint64_t counted(enum cpu_counter counter)
{
	return counter_sum(counter) - counted_before[counter];
}

/* Contention is counted, not timed. */
static void note_contention(void)
{
	test_note(
	        "locks: %lu taken, %lu waited for; %lu IPIs, %lu shootdowns, %lu single and %lu full flushes",
	        counted(COUNT_LOCKS), counted(COUNT_LOCKS_CONTENDED), counted(COUNT_IPIS),
	        counted(COUNT_SHOOTDOWNS), counted(COUNT_FLUSH_SINGLE), counted(COUNT_FLUSH_FULL));
	test_note(
	        "page lists: %lu refills, %lu drains; magazines: %lu exchanges, %lu refills, %lu drains; ranges: %lu hits, %lu purges",
	        counted(COUNT_PAGE_REFILLS), counted(COUNT_PAGE_DRAINS), counted(COUNT_DEPOT_EXCHANGES),
	        counted(COUNT_SLAB_REFILLS), counted(COUNT_SLAB_DRAINS), counted(COUNT_RANGE_HITS),
	        counted(COUNT_RANGE_PURGES));
}

/* Ticks are the host's to deliver, which may be busy: they are waited for, if not for ever. */
static bool rounds_are_left(const struct stress *running)
{
	bool ticked = !apic_is_present() ||
	              (stress_handled() && smp_workload_counts(&running->workload).by_interrupts);

	return running->checks < ROUNDS || (!ticked && running->checks < ROUNDS * MORE_ROUNDS);
}

static void run_mix_on(unsigned nr_cpus)
{
	need_cpus(nr_cpus);
	stress = (struct stress){
	        .nr_cpus = nr_cpus,
	        .seed = test_seed(),
	        .round = round_of(nr_cpus),
	        .go_on = rounds_are_left,
	};
	test_warnings_begin(); /* refusals are part of the mix */
	begin_counting();
	const char *broken = stress_run(&stress);
	test_warnings_end();
	struct smp_counts sum = smp_workload_counts(&stress.workload);
	test_note(
	        "%lu operations: %lu served, %lu refused, %lu handed over; %lu in handlers, %lu by ticks; %lu times without memory",
	        sum.operations, sum.allocations, sum.refused, sum.swapped, sum.in_handler, stress_handled(),
	        sum.exhausted);
	test_note("%lu devices mapped, %lu conflicts refused, %lu limits set, %lu areas freed by ticks",
	          sum.devices, sum.conflicts, sum.limited, sum.by_interrupts);
	note_contention();
	assert_sound(broken);
	assert_true(sum.devices && sum.conflicts && sum.limited);
	if (apic_is_present()) {
		assert_at_least(stress_handled(), 1);
		assert_at_least(sum.by_interrupts, 1);
	}
	assert_int_equal(sum.operations > (uint64_t)nr_cpus * round_of(nr_cpus) * (ROUNDS - 1), true);
}

static void one_cpu_and_its_interrupts_survive_the_mix(void)
{
	run_mix_on(1);
}

static void two_cpus_free_each_others_memory(void)
{
	run_mix_on(2);
}

static void four_cpus_free_each_others_memory(void)
{
	run_mix_on(4);
}

static void eight_cpus_free_each_others_memory(void)
{
	run_mix_on(8);
}

/* Ranges of all CPUs go through one queue, which is emptied each time that one of them runs short. */
static void four_cpus_share_a_quarantine(void)
{
	need_cpus(4);
	vmalloc_set_quarantine(128UL << 10);
	run_mix_on(4);
	assert_at_least(counted(COUNT_RANGE_DELAYS), 1);
	assert_sound(vmalloc_check());
}

/* ---- Contention -------------------------------------------------------------------------------------------------- */

enum { MIX_OPERATIONS = 20000, MIX_HELD = 64, MIX_WARM = 2000 };

static struct mix {
	void *held[MIX_HELD];
	bool is_page[MIX_HELD];
	uint64_t locks, waited;
	bool refused;
} mixes[4];

static void mix_step(struct mix *mix, struct rng *rng)
{
	static const size_t sizes[] = {16, 64, 100, 192, 512, 1024, 2048};
	unsigned slot = (unsigned)rng_below(rng, MIX_HELD);

	if (mix->held[slot]) {
		if (mix->is_page[slot])
			free_pages((unsigned long)mix->held[slot], 0);
		else
			kfree(mix->held[slot]);
		mix->held[slot] = NULL;
		return;
	}
	mix->is_page[slot] = rng_below(rng, 3) == 0;
	mix->held[slot] = mix->is_page[slot] ? (void *)__get_free_pages(GFP_KERNEL, 0)
	                                     : kmalloc(sizes[rng_below(rng, ARRAY_SIZE(sizes))], GFP_KERNEL);
	mix->refused |= !mix->held[slot];
}

static void run_mix(void *unused)
{
	(void)unused;
	struct mix *mix = &mixes[this_cpu()->id];
	const uint64_t *counters = this_cpu()->counters;
	struct rng rng;

	rng_seed(&rng, test_seed() + this_cpu()->id);
	for (unsigned i = 0; i < MIX_WARM; i++)
		mix_step(mix, &rng);
	mix->locks = counters[COUNT_LOCKS];
	mix->waited = counters[COUNT_LOCKS_CONTENDED];
	for (unsigned i = 0; i < MIX_OPERATIONS; i++)
		mix_step(mix, &rng);
	mix->locks = counters[COUNT_LOCKS] - mix->locks;
	mix->waited = counters[COUNT_LOCKS_CONTENDED] - mix->waited;
	for (unsigned slot = 0; slot < MIX_HELD; slot++) {
		if (mix->held[slot])
			mix_step(mix, &rng); /* perhaps another; the rest below */
	}
	for (unsigned slot = 0; slot < MIX_HELD; slot++) {
		if (!mix->held[slot])
			continue;
		if (mix->is_page[slot])
			free_pages((unsigned long)mix->held[slot], 0);
		else
			kfree(mix->held[slot]);
		mix->held[slot] = NULL;
	}
}

static void a_mix_of_objects_and_pages_takes_few_locks(void)
{
	enum { LOCKS_PER_THOUSAND = 20 };
	unsigned nr_cpus = nr_cpus_online() < ARRAY_SIZE(mixes) ? nr_cpus_online() : ARRAY_SIZE(mixes);
	uint64_t locks = 0, waited = 0, operations = (uint64_t)nr_cpus * MIX_OPERATIONS;

	if (!IS_DEBUG)
		test_skip("the debug build counts locks");
	memset(mixes, 0, sizeof(mixes));
	for (unsigned id = 1; id < nr_cpus; id++)
		cpu_start_work(id, run_mix, NULL);
	run_mix(NULL);
	for (unsigned id = 1; id < nr_cpus; id++)
		cpu_wait_work(id);
	for (unsigned id = 0; id < nr_cpus; id++) {
		assert_false(mixes[id].refused);
		locks += mixes[id].locks;
		waited += mixes[id].waited;
	}
	test_note("%lu operations on %u CPUs took %lu locks, %lu.%lu per 1000; %lu had to wait", operations,
	          nr_cpus, locks, locks * 1000 / operations, locks * 10000 / operations % 10, waited);
	assert_at_most(locks * 1000, operations * (LOCKS_PER_THOUSAND - 1));
}

/* ---- Nothing is stranded ----------------------------------------------------------------------------------------- */

/* Leaves this CPU's page lists, magazines and freed ranges full. */
static void fill_own_lists(void *unused)
{
	static void *objects[CPUS_MAX][512];
	void **mine = objects[this_cpu()->id];

	(void)unused;
	for (unsigned order = 0; order < 4; order++) {
		for (unsigned i = 0; i < 200U >> order; i++)
			mine[i] = (void *)__get_free_pages(GFP_KERNEL | __GFP_NOWARN, order);
		for (unsigned i = 0; i < 200U >> order; i++)
			free_pages((unsigned long)mine[i], order);
	}
	for (size_t size = 64; size <= 8192; size *= 2) {
		for (unsigned i = 0; i < 64; i++)
			mine[i] = kmalloc(size, GFP_KERNEL | __GFP_NOWARN);
		for (unsigned i = 0; i < 64; i++)
			kfree(mine[i]);
	}
	for (unsigned i = 0; i < 40; i++)
		vfree(vmalloc((1 + i % 7) * PAGE_SIZE));
}

static void one_cpu_gets_every_last_page_while_the_others_keep_theirs_full(void)
{
	struct hoard hoard = {0};

	reclaim_pages();
	size_t free_before = nr_free_pages();
	for (unsigned id = 1; id < nr_cpus_online(); id++)
		cpu_start_work(id, fill_own_lists, NULL);
	fill_own_lists(NULL);
	for (unsigned id = 1; id < nr_cpus_online(); id++)
		cpu_wait_work(id);
	assert_at_most(nr_free_pages(), free_before - 1); /* some of it is in magazines and freed ranges */

	hoard_take(&hoard, GFP_KERNEL | __GFP_HIGH, 0);
	size_t left = nr_free_pages(), frames = hoard.frames;
	hoard_release(&hoard);
	test_note("%zu of %zu frames, with %u CPUs keeping some", frames, free_before, nr_cpus_online());
	assert_int_equal(left, 0);
	assert_int_equal(frames, free_before);
}

static void tear_down(void)
{
	vmalloc_set_quarantine(0);
}

static const struct test_case cases[] = {
        TEST_CASE(one_cpu_and_its_interrupts_survive_the_mix),
        TEST_CASE(two_cpus_free_each_others_memory),
        TEST_CASE(four_cpus_free_each_others_memory),
        TEST_CASE(four_cpus_share_a_quarantine),
        TEST_CASE(eight_cpus_free_each_others_memory),
        TEST_CASE(a_mix_of_objects_and_pages_takes_few_locks),
        TEST_CASE(one_cpu_gets_every_last_page_while_the_others_keep_theirs_full),
};

extern const struct test_suite stress_suite;
const struct test_suite stress_suite = TEST_SUITE("stress", cases, .tear_down = tear_down);
