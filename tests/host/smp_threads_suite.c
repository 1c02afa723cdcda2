/* The memory subsystem under all CPUs at once: tests/common/smp_workload.c on threads. */
#include <sched.h>
#include <arch/percpu.h>
#include <host/cpus.h>
#include <host/soft_mmu.h>
#include <lib/panic.h>
#include <lib/rng.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/pagetable_check.h>
#include <mm/ptdump.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <ram_relay.h>
#include <smp_workload.h>
#include <test/test.h>
#include "cpus.h"
#include "failing_source.h"

enum { ROUND = 1000, ROUNDS = 12 };

static struct smp_workload workload;
static struct meeting meeting;
static unsigned rounds_left;

static void everybody_meets(void *context)
{
	meet(context);
}

static bool rounds_are_left(void *context)
{
	(void)context;
	return --rounds_left > 0;
}

/* What CPUs remember of freed areas is no harm until somebody else gets the address or the frame: so ask after the flush. */
static const char *verify_all(void)
{
	const char *broken = mm_verify();

	if (broken)
		return broken;
	vm_unmap_aliases();
	return host_tlb_check();
}

static void run_workload(void *context)
{
	smp_workload_run(context, this_cpu()->id);
}

static void run_mix_on(unsigned nr_cpus)
{
	meeting = (struct meeting){.nr_cpus = nr_cpus};
	rounds_left = ROUNDS;
	workload = (struct smp_workload){
	        .nr_cpus = nr_cpus,
	        .seed = test_seed(),
	        .round = ROUND,
	        .go_on = rounds_are_left,
	        .check = verify_all,
	        .barrier = everybody_meets,
	        .context = &meeting,
	};
	assert_true(smp_workload_begin(&workload));
	test_warnings_begin(); /* vmap() cannot be told not to warn */
	run_on_cpus(nr_cpus, run_workload, &workload);
	test_warnings_end();
	struct smp_counts sum = smp_workload_counts(&workload);
	test_note(
	        "%lu operations: %lu served, %lu refused, %lu handed over, %lu in handlers; %lu times without memory",
	        sum.operations, sum.allocations, sum.refused, sum.swapped, sum.in_handler, sum.exhausted);
	test_note("%lu devices mapped, %lu conflicts refused, %lu limits set", sum.devices, sum.conflicts,
	          sum.limited);
	assert_true(sum.devices && sum.conflicts && sum.limited);
	assert_sound(smp_workload_end(&workload));
}

static void one_cpu_survives_the_mix(void)
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
	uint64_t delays = counter_sum(COUNT_RANGE_DELAYS);

	vmalloc_set_quarantine(128UL << 10);
	run_mix_on(4);
	assert_at_least(counter_sum(COUNT_RANGE_DELAYS) - delays, 100);
}

enum { SWITCHES = 3000 };

static unsigned switches_left; /* atomic */

static void free_areas_while_the_quarantine_is_switched(void *unused)
{
	(void)unused;
	if (this_cpu()->id != 0) {
		while (__atomic_load_n(&switches_left, __ATOMIC_RELAXED)) {
			vfree(vmalloc(128 * PAGE_SIZE));
			vfree(vmalloc(PAGE_SIZE));
		}
		return;
	}
	for (unsigned left = SWITCHES; left--; __atomic_store_n(&switches_left, left, __ATOMIC_RELAXED)) {
		vmalloc_set_quarantine(left % 2 ? 1UL << 20 : 0);
		for (unsigned i = 0; i < left % 16; i++)
			host_cpu_idle();
	}
}

/* In quarantine a range has no place to remember that its tables may be empty. */
static void a_quarantine_that_begins_during_a_flush_takes_no_unswept_range(void)
{
	switches_left = SWITCHES;
	run_on_cpus(2, free_areas_while_the_quarantine_is_switched, NULL);
	vmalloc_set_quarantine(0);
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
	assert_sound(mm_verify());
}

/* ---- One last-level table of all CPUs' ---- */

enum { TABLE_CPUS = 2, TABLE_ROUNDS = 40000, TABLE_PAGES = 4 };
#define TABLE_BASE 0xffffc00000000000UL

static struct failing_source source;
static struct pagetable shared_table;

/* Of the places whose number is this CPU's modulo all, TABLE_PAGES each: what is mapped here is of no other CPU's business. */
static void map_and_unmap_own_places(void *unused)
{
	struct rng rng;
	unsigned id = this_cpu()->id;

	(void)unused;
	rng_seed(&rng, test_seed() + id);
	meet(&meeting);
	for (unsigned i = 0; i < TABLE_ROUNDS; i++) {
		uint64_t place = rng_below(&rng, PT_ENTRIES / TABLE_PAGES / TABLE_CPUS) * TABLE_CPUS + id;
		struct vrange range = vrange_sized(vaddr(TABLE_BASE + place * TABLE_PAGES * PAGE_SIZE),
		                                   TABLE_PAGES * PAGE_SIZE);
		struct translation found;
		ASSERT(pagetable_map(&shared_table, range, paddr(place << 20), PAGE_KERNEL, 1));
		ASSERT(pagetable_lookup(&shared_table, range.start, &found) && found.pa.raw == place << 20);
		if (rng_below(&rng, 2)) {
			ASSERT(pagetable_unmap(&shared_table, range, NULL));
		} else {
			pagetable_clear(&shared_table, range, NULL);
			pagetable_sweep(&shared_table, &range, 1, false);
		}
		irqflags_t flags = irq_save(); /* nothing there keeps the table that the walk is in */
		ASSERT(!pagetable_lookup(&shared_table, range.start, &found));
		irq_restore(flags);
	}
}

/* It comes, is counted, and goes while others are on their way to it; in the end nobody has lost it, or kept it. */
static void a_last_level_table_that_all_cpus_use_is_counted_right(void)
{
	meeting = (struct meeting){.nr_cpus = TABLE_CPUS};
	failing_source_init(&source);
	assert_true(pagetable_init(&shared_table, &source.source, 4));
	run_on_cpus(TABLE_CPUS, map_and_unmap_own_places, NULL);
	assert_int_equal(shared_table.nr_unswept, 0);
	assert_sound(pagetable_check(&shared_table));
	assert_int_equal(shared_table.nr_tables, 1);
	pagetable_destroy(&shared_table);
	assert_int_equal(source.held, 0);
}

static bool lock_is_held, nothing_cleared; /* atomic */

/* CPU 0 is about to cut off the table; the other one clears where nothing is, and nothing counts, and so has to wait. */
static void clear_nothing_while_the_lock_is_held(void *clear)
{
	struct vrange nothing = vrange_sized(vaddr(TABLE_BASE), TABLE_PAGES * PAGE_SIZE);

	if (this_cpu()->id != 0) {
		while (!__atomic_load_n(&lock_is_held, __ATOMIC_ACQUIRE))
			host_cpu_idle();
		if (clear)
			pagetable_clear(&shared_table, nothing, NULL);
		else
			ASSERT(pagetable_unmap(&shared_table, nothing, NULL));
		__atomic_store_n(&nothing_cleared, true, __ATOMIC_RELEASE);
		return;
	}
	irqflags_t flags = spin_lock_irqsave(&shared_table.lock);
	__atomic_store_n(&lock_is_held, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2000 && !__atomic_load_n(&nothing_cleared, __ATOMIC_ACQUIRE); i++)
		sched_yield();
	bool waited = !__atomic_load_n(&nothing_cleared, __ATOMIC_ACQUIRE);
	spin_unlock_irqrestore(&shared_table.lock, flags);
	assert_true(waited);
}

static void who_clears_nothing_in_a_table_waits_for_its_lock(void)
{
	struct vrange page = vrange_sized(vaddr(TABLE_BASE + 100 * PAGE_SIZE), PAGE_SIZE);

	failing_source_init(&source);
	assert_true(pagetable_init(&shared_table, &source.source, 4));
	assert_true(pagetable_map(&shared_table, page, paddr(1UL << 20), PAGE_KERNEL, 1));
	for (unsigned clear = 0; clear < 2; clear++) {
		lock_is_held = nothing_cleared = false;
		run_on_cpus(TABLE_CPUS, clear_nothing_while_the_lock_is_held, clear ? &meeting : NULL);
	}
	assert_true(pagetable_unmap(&shared_table, page, NULL));
	pagetable_destroy(&shared_table);
	assert_int_equal(source.held, 0);
}

/* ---- Short-lived mappings that change hands ---- */

enum { RELAY_ROUNDS = 6000 };

static const char *relay_broken;

/* What is left is ended while all are online: the blocks in which they map can be purged only then. */
static void run_relay(void *unused)
{
	(void)unused;
	ram_relay_run(this_cpu()->id, RELAY_ROUNDS);
	meet(&meeting);
	if (this_cpu()->id != 0)
		return;
	relay_broken = mm_verify();
	const char *failure = ram_relay_end();
	relay_broken = relay_broken ? relay_broken : failure;
}

static void run_relay_on(unsigned nr_cpus)
{
	meeting = (struct meeting){.nr_cpus = nr_cpus};
	ram_relay_begin(test_seed());
	run_on_cpus(nr_cpus, run_relay, NULL);
	assert_sound(relay_broken);
	assert_at_least(ram_relay_handed_over(), RELAY_ROUNDS / 100);
	vm_unmap_aliases();
	assert_sound(host_tlb_check());
}

static void two_cpus_end_each_others_mappings(void)
{
	run_relay_on(2);
}

static void six_cpus_end_each_others_mappings(void)
{
	run_relay_on(6);
}

/* ---- Caches that are destroyed and looked at while others reclaim ---- */

enum { LIVES = 500, OBJECTS = 600 };

static unsigned lives_left;

static void fill_and_drain(struct kmem_cache *cache)
{
	void *held[OBJECTS];
	size_t nr = 0;

	while (nr < OBJECTS && (held[nr] = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOWARN)))
		nr++;
	while (nr)
		kmem_cache_free(cache, held[--nr]);
}

static void live_and_destroy(void *context)
{
	(void)context;
	if (this_cpu()->id == 0) {
		for (unsigned n = 0; n < LIVES; n++) {
			struct kmem_cache *cache = kmem_cache_create("test-short", 64, 0, 0, NULL);
			assert_non_null(cache);
			fill_and_drain(cache);
			kmem_cache_destroy(cache);
		}
		__atomic_store_n(&lives_left, 0, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&lives_left, __ATOMIC_ACQUIRE))
		reclaim_pages();
}

static void a_cache_may_be_destroyed_while_other_cpus_reclaim(void)
{
	lives_left = 1;
	run_on_cpus(4, live_and_destroy, NULL);
}

static void look(const struct slab_stats *stats, void *context)
{
	size_t *most = context;

	if (strcmp(stats->name, "test-looked-at") == 0 && stats->cached_objects > *most)
		*most = stats->cached_objects;
}

static void live_and_look(void *context)
{
	size_t most = 0;

	if (this_cpu()->id == 0) {
		for (unsigned n = 0; n < LIVES; n++) {
			fill_and_drain(context);
			kmem_cache_shrink(context);
		}
		__atomic_store_n(&lives_left, 0, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&lives_left, __ATOMIC_ACQUIRE))
		slab_for_each_cache(look, &most);
	assert_at_most(most, 2 * OBJECTS); /* a magazine may be seen in two places, garbage in none */
}

static void caches_may_be_looked_at_while_magazines_come_and_go(void)
{
	struct kmem_cache *cache = kmem_cache_create("test-looked-at", 64, 0, 0, NULL);

	assert_non_null(cache);
	lives_left = 1;
	run_on_cpus(2, live_and_look, cache);
	kmem_cache_destroy(cache);
}

/* ---- Views while others map and unmap ---- */

static void drop(struct printer *printer, const char *text, size_t length)
{
	(void)printer;
	(void)text;
	(void)length;
}

/* Each area brings tables of its own and, flushed at once, gives them back for others to overwrite. */
static void live_and_dump(void *context)
{
	struct printer nowhere = {.write = drop};

	(void)context;
	if (this_cpu()->id == 0) {
		for (unsigned n = 0; n < LIVES; n++) {
			void *area = vmalloc(PMD_SIZE + PAGE_SIZE);
			assert_non_null(area);
			vfree(area);
			vm_unmap_aliases();
		}
		__atomic_store_n(&lives_left, 0, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&lives_left, __ATOMIC_ACQUIRE)) {
		ptdump(&kernel_pagetable, &nowhere);
		vmalloc_picture(vmalloc_used_range(), &nowhere);
	}
}

static void views_may_be_printed_while_areas_and_page_tables_come_and_go(void)
{
	lives_left = 1;
	run_on_cpus(3, live_and_dump, NULL);
}

static void tear_down(void)
{
	vmalloc_set_quarantine(0);
}

static const struct test_case cases[] = {
        TEST_CASE(one_cpu_survives_the_mix),
        TEST_CASE(two_cpus_free_each_others_memory),
        TEST_CASE(four_cpus_free_each_others_memory),
        TEST_CASE(eight_cpus_free_each_others_memory),
        TEST_CASE(two_cpus_end_each_others_mappings),
        TEST_CASE(six_cpus_end_each_others_mappings),
        TEST_CASE(four_cpus_share_a_quarantine),
        TEST_CASE(a_quarantine_that_begins_during_a_flush_takes_no_unswept_range),
        TEST_CASE(a_last_level_table_that_all_cpus_use_is_counted_right),
        TEST_CASE(who_clears_nothing_in_a_table_waits_for_its_lock),
        TEST_CASE(a_cache_may_be_destroyed_while_other_cpus_reclaim),
        TEST_CASE(caches_may_be_looked_at_while_magazines_come_and_go),
        TEST_CASE(views_may_be_printed_while_areas_and_page_tables_come_and_go),
};

extern const struct test_suite smp_threads_suite;
const struct test_suite smp_threads_suite = TEST_SUITE("smp_threads", cases, .tear_down = tear_down);
