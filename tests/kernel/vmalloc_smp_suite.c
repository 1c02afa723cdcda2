/* What CPUs do to each other's ranges. */
#include <arch/cpu.h>
#include <arch/smp.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"
#include "other_cpus.h"

enum {
	AREAS = 64,
	PAGES = 16
}; /* as many as a CPU leaves lazy until it flushes, and of a size to be kept afterwards */

static char *areas[AREAS];

static uint64_t shootdowns_of(unsigned id)
{
	return __atomic_load_n(&cpu_by_id(id)->counters[COUNT_SHOOTDOWNS], __ATOMIC_RELAXED);
}

static void free_areas(void *count)
{
	for (size_t i = 0; i < *(size_t *)count; i++)
		vfree(areas[i]);
}

/* Where nobody keeps any. Free pages before. */
static size_t make_areas(void)
{
	need_window(16UL << 20, "takes areas of 4 MiB");
	need_another_cpu();
	reclaim_pages();
	size_t before = nr_free_pages();
	for (unsigned i = 0; i < AREAS; i++) {
		areas[i] = vmalloc(PAGES * PAGE_SIZE);
		assert_non_null(areas[i]);
	}
	return before;
}

/* CPU 1 has freed some areas and is about to flush for them, which this CPU, masked, holds up. The counts before them. */
static size_t begin_flush_elsewhere(void)
{
	static size_t count = AREAS;
	size_t before = make_areas();

	uint64_t shootdowns = shootdowns_of(1);
	irq_disable();
	cpu_start_work(1, free_areas, &count);
	while (shootdowns_of(1) == shootdowns)
		__builtin_ia32_pause(); /* and no answer */
	return before;
}

static void who_wants_no_aliases_waits_for_flushes_that_others_have_begun(void)
{
	begin_flush_elsewhere();
	vm_unmap_aliases();
	size_t waiting = counter_sum(COUNT_GONE_AREAS);
	irq_enable();
	wait_for_others();
	assert_int_equal(waiting, 0);
}

static void who_needs_memory_waits_for_frames_that_others_are_freeing(void)
{
	size_t before = begin_flush_elsewhere();
	size_t freed = reclaim_pages();
	size_t after = nr_free_pages();
	irq_enable();
	wait_for_others();
	assert_at_least(freed, 1); /* so that who may not fail tries again */
	assert_at_least(after, before);
}

static struct page *shown;
static char *mapped;

/* With an area that waits for a flush, and with a mapping gone, so that another flush comes before any list is looked at. */
static void unmap_aliases_when_told(void *unused)
{
	(void)unused;
	vfree(vmalloc(PAGE_SIZE));
	mapped = vm_map_ram(&shown, 1, NUMA_NO_NODE);
	vm_unmap_ram(vm_map_ram(&shown, 1, NUMA_NO_NODE), 1);
	set_stage(1);
	await_stage(2);
	vm_unmap_aliases();
}

/*
 * CPU 1 looks into this CPU's lists while this one flushes what was in them, and waits for others when that is over: its own
 * flush, in between, has to wait for this CPU.
 */
static void who_looks_where_a_flush_is_under_way_looks_again_though_it_has_ended_since(void)
{
	make_areas();
	shown = alloc_page(GFP_KERNEL);
	assert_non_null(shown);
	for (unsigned i = 1; i < AREAS; i++)
		vfree(areas[i]);
	cpu_start_work(1, unmap_aliases_when_told, NULL);
	await_stage(1);
	irq_disable();
	uint64_t shootdowns = shootdowns_of(1);
	set_stage(2);
	while (shootdowns_of(1) == shootdowns)
		__builtin_ia32_pause();
	vfree(areas[0]); /* CPU 1 has waited for others, and now waits for answers to a flush */
	irq_enable();
	wait_for_others();
	size_t waiting = counter_sum(COUNT_GONE_AREAS);
	vm_unmap_ram(mapped, 1);
	__free_page(shown);
	assert_int_equal(waiting, 0);
}

static const struct test_case cases[] = {
        TEST_CASE(who_wants_no_aliases_waits_for_flushes_that_others_have_begun),
        TEST_CASE(who_needs_memory_waits_for_frames_that_others_are_freeing),
        TEST_CASE(who_looks_where_a_flush_is_under_way_looks_again_though_it_has_ended_since),
};

extern const struct test_suite vmalloc_smp_suite;
const struct test_suite vmalloc_smp_suite =
        TEST_SUITE("vmalloc_smp", cases, .set_up = begin_with_others, .tear_down = end_with_others);
