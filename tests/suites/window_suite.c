/*
 * The vmalloc window: where it may lie and how that is drawn, on numbers alone; where the live one lies; random gaps
 * between its areas; and what happens when it is full, in a window that is small enough (vmalloc=2M).
 */
#include <arch/directmap.h>
#include <arch/machine.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <mm/vmalloc_window.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include <vm_access.h>
#include "../../mm/mm_internal.h"
#include "../../mm/vmalloc_internal.h"

#define REGION_SIZE (VMALLOC_REGION_END - VMALLOC_REGION_START)

/* ---- Places ------------------------------------------------------------------------------------------------------- */

/* Any size that there may be. */
static uint64_t some_size(struct rng *rng)
{
	uint64_t largest = REGION_SIZE >> rng_below(rng, 26);

	return (1 + rng_below(rng, largest / VMALLOC_WINDOW_ALIGN)) * VMALLOC_WINDOW_ALIGN;
}

static void assert_possible(struct vrange window, uint64_t size)
{
	assert_int_equal(vrange_size(window), size);
	assert_int_equal(window.start.raw % VMALLOC_WINDOW_ALIGN, 0);
	assert_at_least(window.start.raw, VMALLOC_REGION_START);
	assert_at_most(window.end.raw, VMALLOC_REGION_END);
	assert_null(vmalloc_window_fault(size, true, window.start.raw));
}

static void every_place_is_in_the_region_and_all_of_it_is_covered(void)
{
	struct rng rng;

	rng_seed(&rng, test_seed());
	for (unsigned step = 0; step < 2000; step++) {
		test_step(step);
		uint64_t size = some_size(&rng), places = vmalloc_window_places(size),
		         number = rng_next(&rng);
		assert_possible(vmalloc_window_at(size, number), size);
		assert_possible(vmalloc_window_fixed(size), size);
		assert_int_equal(vmalloc_window_at(size, 0).start.raw, VMALLOC_REGION_START);
		assert_int_equal(vmalloc_window_at(size, places - 1).end.raw, VMALLOC_REGION_END);
		assert_int_equal(vmalloc_window_at(size, places).start.raw, VMALLOC_REGION_START);
		number %= places;
		if (number + 1 < places)
			assert_int_equal(vmalloc_window_at(size, number + 1).start.raw,
			                 vmalloc_window_at(size, number).start.raw + VMALLOC_WINDOW_ALIGN);
	}
	assert_int_equal(vmalloc_window_places(REGION_SIZE), 1);
}

/* 4,096 draws in 16 parts: 256 in each, with a deviation of 15.5. */
static void draws_are_spread_over_the_region_evenly(void)
{
	enum { PARTS = 16, DRAWS = 4096, EXPECTED = DRAWS / PARTS, SIX_SIGMA = 96 };
	unsigned drawn[PARTS] = {0};
	struct rng rng;

	for (uint64_t seed = 0; seed < DRAWS; seed++) {
		rng_seed(&rng, test_seed() + seed);
		uint64_t start = vmalloc_window_at(VMALLOC_SIZE, rng_next(&rng)).start.raw;
		uint64_t part = (start - VMALLOC_REGION_START) / ((REGION_SIZE - VMALLOC_SIZE) / PARTS);
		drawn[min_u64(part, PARTS - 1)]++;
	}
	for (unsigned part = 0; part < PARTS; part++) {
		test_step(part);
		assert_at_least(drawn[part], EXPECTED - SIX_SIGMA);
		assert_at_most(drawn[part], EXPECTED + SIX_SIGMA);
	}
}

static void windows_that_cannot_be_are_refused_for_a_reason(void)
{
	uint64_t start = VMALLOC_REGION_START, end = VMALLOC_REGION_END;

	assert_string_equal(vmalloc_window_fault(0, false, 0), "less than 2 MiB");
	assert_string_equal(vmalloc_window_fault(PMD_SIZE - 1, false, 0), "less than 2 MiB");
	assert_string_equal(vmalloc_window_fault(PMD_SIZE + PAGE_SIZE, false, 0), "not a multiple of 2 MiB");
	assert_string_equal(vmalloc_window_fault(REGION_SIZE + PMD_SIZE, false, 0),
	                    "more than the whole region, 64 TiB");
	assert_string_equal(vmalloc_window_fault(PMD_SIZE, true, start + PAGE_SIZE),
	                    "the address is not a multiple of 2 MiB");
	assert_string_equal(vmalloc_window_fault(PMD_SIZE, true, start - PMD_SIZE),
	                    "outside the region 0xffffb00000000000-0xfffff00000000000");
	assert_string_equal(vmalloc_window_fault(PMD_SIZE, true, end),
	                    "outside the region 0xffffb00000000000-0xfffff00000000000");
	assert_string_equal(vmalloc_window_fault(2 * PMD_SIZE, true, end - PMD_SIZE),
	                    "outside the region 0xffffb00000000000-0xfffff00000000000");
	assert_null(vmalloc_window_fault(PMD_SIZE, true, end - PMD_SIZE));
	assert_null(vmalloc_window_fault(REGION_SIZE, true, start));
	assert_null(vmalloc_window_fault(PMD_SIZE, false, 1)); /* no address was asked for */
}

/* ---- The live window ---------------------------------------------------------------------------------------------- */

static void the_window_lies_in_its_region_with_nothing_mapped_on_either_side(void)
{
	struct vrange ram = vrange(DIRECTMAP_BASE, DIRECTMAP_BASE + DIRECTMAP_SIZE);
	struct vrange array = vrange(FRAMES_BASE, FRAMES_BASE + page_array_end().raw * sizeof(struct page));
	/* A gap of its smallest size on either side. */
	struct vrange around =
	        vrange(VMALLOC_START - VMALLOC_WINDOW_ALIGN, VMALLOC_END + VMALLOC_WINDOW_ALIGN);

	assert_possible(vmalloc_window, VMALLOC_END - VMALLOC_START);
	assert_int_equal(mm_state.vmalloc.start.raw, VMALLOC_START);
	assert_int_equal(vmalloc_state.space.start, VMALLOC_START);
	assert_int_equal(vmalloc_state.space.end, VMALLOC_END);
	assert_false(vrange_overlaps(ram, around));
	assert_false(vrange_overlaps(array, around));
	assert_at_most(around.end.raw, KIMAGE_BASE);
	for (uint64_t at = 0; at < VMALLOC_WINDOW_ALIGN; at += PAGE_SIZE) {
		assert_false(is_mapped(vaddr(around.start.raw + at)));
		assert_false(is_mapped(vaddr(VMALLOC_END + at)));
	}
}

static void the_last_page_of_the_window_is_nobodys(void)
{
	uintptr_t last = VMALLOC_END - PAGE_SIZE;

	assert_null(__vmalloc_node_range(PAGE_SIZE, 1, last, VMALLOC_END, GFP_KERNEL | __GFP_NOWARN,
	                                 PAGE_KERNEL, VM_NO_GUARD, NUMA_NO_NODE, NULL));
	void *area = __vmalloc_node_range(PAGE_SIZE, 1, last - PAGE_SIZE, VMALLOC_END, GFP_KERNEL,
	                                  PAGE_KERNEL, VM_NO_GUARD, NUMA_NO_NODE, NULL);
	assert_ptr_equal(area, last - PAGE_SIZE);
	assert_false(is_mapped(vaddr(last)));
	vfree(area);
}

/* ---- Gaps --------------------------------------------------------------------------------------------------------- */

enum { AREAS = 40, GAP = 7 };
static struct vmap_area *areas[AREAS];

/* Ascending, as nothing is freed between them; offsets into the window. */
static void take_with_gaps(uint64_t seed, uintptr_t *offsets)
{
	reclaim_pages(); /* no range is kept that would do */
	vmalloc_set_gaps(GAP, seed);
	for (size_t i = 0; i < AREAS; i++) {
		areas[i] = get_vm_area((1 + i % 3) * PAGE_SIZE, VM_MAP);
		assert_non_null(areas[i]);
		offsets[i] = areas[i]->va_start - VMALLOC_START;
	}
	vmalloc_set_gaps(0, 0);
	assert_sound(vmalloc_check());
	for (size_t i = 0; i < AREAS; i++)
		free_vm_area(areas[i]);
}

static void gaps_repeat_with_the_seed_and_differ_without(void)
{
	static uintptr_t one[AREAS], again[AREAS], other[AREAS];

	remember_memory();
	take_with_gaps(11, one);
	take_with_gaps(11, again);
	take_with_gaps(12, other);
	assert_true(memcmp(one, again, sizeof(one)) == 0);
	assert_true(memcmp(one, other, sizeof(one)) != 0);
	assert_like_before();
}

/*
 * Where the window is free throughout, which is where no smaller hole is below: each gap is one of 0 to GAP pages, and
 * each of these comes up, as 40 draws of 8 values leave one out once in 26 times.
 */
static void gaps_are_of_every_length_up_to_the_one_given_and_free(void)
{
	uint32_t seen = 0;
	struct rng rng;

	need_window(4UL << 20, "takes areas of 2 MiB");
	rng_seed(&rng, test_seed());
	reclaim_pages();
	for (unsigned round = 0; round < 5; round++) {
		vmalloc_set_gaps(GAP, rng_next(&rng));
		uintptr_t end = vmalloc_used_range().end.raw;
		for (size_t i = 0; i < AREAS; i++) {
			/* With its guard larger than any gap, so that it comes to lie behind all others. */
			areas[i] = get_vm_area(GAP * PAGE_SIZE, VM_MAP);
			assert_non_null(areas[i]);
			size_t gap = (areas[i]->va_start - end) >> PAGE_SHIFT;
			assert_at_most(gap, GAP);
			seen |= 1U << gap;
			if (gap) {
				assert_null(find_vm_area((void *)end));
				assert_null(find_vm_area((void *)(areas[i]->va_start - 1)));
			}
			end = areas[i]->va_end;
		}
		vmalloc_set_gaps(0, 0);
		assert_sound(vmalloc_check());
		for (size_t i = 0; i < AREAS; i++)
			free_vm_area(areas[i]);
		reclaim_pages();
	}
	assert_int_equal(seen, (1U << (GAP + 1)) - 1);
}

static void who_names_a_range_has_it_without_a_gap(void)
{
	uintptr_t start = remote();
	void *areas_there[2];

	vmalloc_set_gaps(VMALLOC_GAPS_MAX, 1);
	for (size_t i = 0; i < 2; i++)
		areas_there[i] = __vmalloc_node_range(PAGE_SIZE, 1, start, VMALLOC_END, GFP_KERNEL,
		                                      PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);
	vmalloc_set_gaps(0, 0);
	assert_ptr_equal(areas_there[0], start);
	assert_ptr_equal(areas_there[1], start + 2 * PAGE_SIZE);
	vfree(areas_there[0]);
	vfree(areas_there[1]);
}

/* ---- A full window ------------------------------------------------------------------------------------------------ */

static struct vmap_area *chain; /* of bare areas, each with the next one's address as its device's */

static size_t fill_the_window(void)
{
	size_t count = 0;

	for (;;) {
		struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_MAP | VM_NO_GUARD);
		if (!area)
			return count;
		area->phys_addr = (uintptr_t)chain;
		chain = area;
		count++;
	}
}

static void empty_the_window(void)
{
	while (chain) {
		struct vmap_area *area = chain;
		chain = (struct vmap_area *)area->phys_addr;
		area->phys_addr = 0;
		free_vm_area(area);
	}
}

static void assert_everyone_is_refused(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	assert_non_null(page);
	expect_warning("vmalloc: 1 bytes, gfp 0x8, from *: no virtual space", assert_null(vmalloc(1)));
	expect_warning("vmalloc: 1 bytes, gfp 0x10, from *: no virtual space",
	               assert_null(__vmalloc(1, GFP_ATOMIC, PAGE_KERNEL)));
	expect_warning("vmap: 4096 bytes, gfp 0x8, from *: no virtual space",
	               assert_null(vmap(&page, 1, VM_MAP, PAGE_KERNEL)));
	expect_warning("ioremap: 4096 bytes, gfp 0x8, from *: no virtual space",
	               assert_null(ioremap(no_ram(), PAGE_SIZE)));
	void *block = kvmalloc(4 * PAGE_SIZE, GFP_KERNEL); /* one block will do */
	assert_non_null(block);
	assert_false(is_vmalloc_addr(block));
	kvfree(block);
	__free_page(page);
}

/* With gaps or without: every page but the last is somebody's before anybody is refused. */
static void a_full_window_refuses_and_serves_again_when_it_is_empty(void)
{
	if (VMALLOC_END - VMALLOC_START > 16UL << 20)
		test_skip("fills the window: one of at most 16 MiB, this has %lu",
		          (VMALLOC_END - VMALLOC_START) >> 20);
	remember_memory();
	for (unsigned gaps = 0; gaps <= GAP; gaps += GAP) {
		size_t free = (VMALLOC_END - VMALLOC_START - vmalloc_stats().used_bytes) >> PAGE_SHIFT;
		vmalloc_set_gaps(gaps, test_seed());
		test_warnings_begin();
		assert_int_equal(fill_the_window(), free - 1);
		assert_int_equal(test_warnings_end(), 1);
		assert_matches(test_warning_last(),
		               "get_vm_area: 4096 bytes, gfp 0x8, from *: no virtual space");
		assert_everyone_is_refused();
		assert_sound(vmalloc_check());
		empty_the_window();
		vmalloc_set_gaps(0, 0);
		void *area = vmalloc(100 * PAGE_SIZE);
		assert_non_null(area);
		vfree(area);
		assert_like_before();
	}
}

static void tear_down(void)
{
	vmalloc_set_gaps(0, 0);
	empty_the_window();
}

static const struct test_case cases[] = {
        TEST_CASE(every_place_is_in_the_region_and_all_of_it_is_covered),
        TEST_CASE(draws_are_spread_over_the_region_evenly),
        TEST_CASE(windows_that_cannot_be_are_refused_for_a_reason),
        TEST_CASE(the_window_lies_in_its_region_with_nothing_mapped_on_either_side),
        TEST_CASE(the_last_page_of_the_window_is_nobodys),
        TEST_CASE(gaps_repeat_with_the_seed_and_differ_without),
        TEST_CASE(gaps_are_of_every_length_up_to_the_one_given_and_free),
        TEST_CASE(who_names_a_range_has_it_without_a_gap),
        TEST_CASE(a_full_window_refuses_and_serves_again_when_it_is_empty),
};

extern const struct test_suite window_suite;
const struct test_suite window_suite = TEST_SUITE("vmalloc_window", cases, .tear_down = tear_down);
