/*
 * The workloads of Linux's vmalloc test on the live system, beside a model that says where each area may lie; each twice: in
 * a part of the window, where it must lie as low as it can, and anywhere, where a CPU may have a range of its own ready. And
 * areas all over the window, which need a page table each, and leave none.
 *
 * The benchmark runs the same workloads in full. Here rounds are fewer, and in the debug build less stays.
 */
#include <arch/machine.h>
#include <lib/rng.h>
#include <mm/mm.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <area_model.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include <test/vmalloc_workload.h>
#include "../../mm/vmalloc_internal.h"
#include "pagetable_model.h"
#include "vm_access.h"

/* A case is to take a second at most, emulated or under the sanitizers. */
enum { ROUNDS_LEFT_OUT = IS_DEBUG ? 16 : 4, STAYING_LEFT_OUT = IS_DEBUG ? 16 : 1 };

/* ---- Serving, with the model beside ------------------------------------------------------------------------------- */

enum { OTHER_AREAS_MAX = 256, CHECKS = 4, LOWEST_EVERY = 16 };

static struct {
	struct area_model model;
	void *memory; /* the model's ranges, and behind them the areas that stay */
	size_t bytes;
	void **staying;
	struct vrange within; /* where areas are asked for; of the whole window: anywhere */
	uint32_t taken;       /* so far: the tag of the next */
	bool settling;
} serving;

static struct vrange whole_window(void)
{
	return vrange(VMALLOC_START, VMALLOC_END);
}

/* Less than the whole, in which every request is served as low as it can. */
static struct vrange part_of_window(void)
{
	return vrange(VMALLOC_START, VMALLOC_END - PMD_SIZE);
}

static bool is_anywhere(void)
{
	return serving.within.end.raw == VMALLOC_END;
}

/* The areas of others, for good. */
static void enter_what_is_there(void)
{
	struct vmap_area area = {.va_end = VMALLOC_START};

	vm_unmap_aliases();
	while (vmap_area_copy(area.va_end, &area))
		assert_sound(area_model_take(&serving.model, vrange(area.va_start, area.va_end), 0));
	assert_at_most(serving.model.count, OTHER_AREAS_MAX);
}

static void begin_serving(struct vrange within, size_t staying)
{
	size_t ranges = OTHER_AREAS_MAX + 2 * staying + 1024;

	need_window(4 * PGD_SIZE, "serves thousands of areas, aligned to up to terabytes");
	serving.bytes = ranges * sizeof(struct area_range) + 2 * staying * sizeof(void *);
	serving.memory = alloc_pages_exact(serving.bytes, GFP_KERNEL);
	assert_non_null(serving.memory);
	serving.staying = (void **)((struct area_range *)serving.memory + ranges);
	serving.within = within;
	serving.taken = 0;
	area_model_init(&serving.model, serving.memory, ranges);
	enter_what_is_there();
}

static void end_serving(void)
{
	if (serving.memory)
		free_pages_exact(serving.memory, serving.bytes);
	serving.memory = NULL;
}

static void purge(void)
{
	vm_unmap_aliases();
	area_model_purge(&serving.model);
}

/* The bytes that are looked at: the first, the last, and one that differs from area to area. */
enum { PROBES = 3 };

static size_t probe(size_t size, uint32_t tag, unsigned n)
{
	return n == 0 ? 0 : n == 1 ? size - 1 : tag * 2654435761U % size;
}

static uint8_t contents(uint32_t tag, unsigned n)
{
	return (uint8_t)(tag * 3 + n + 1);
}

static void *ask(struct vmalloc_request want)
{
	if (is_anywhere())
		return workload_vmalloc(want);
	return __vmalloc_node_range(want.size, want.align, serving.within.start.raw, serving.within.end.raw,
	                            want.gfp, PAGE_KERNEL, 0, NUMA_NO_NODE, SOMEWHERE);
}

static void *take_checked(struct vmalloc_request want, bool written)
{
	size_t span = want.size + PAGE_SIZE, align = max_u64(want.align, PAGE_SIZE);
	uintptr_t lowest = UINTPTR_MAX;
	uint32_t tag = serving.taken++;

	(void)written; /* always, here */
	if (!is_anywhere() && (!serving.settling || tag % LOWEST_EVERY == 0))
		assert_true(area_model_lowest(&serving.model, span, align, serving.within, &lowest));
	char *area = ask(want);
	assert_non_null(area);
	uintptr_t start = (uintptr_t)area;
	assert_true(is_aligned(start, align));
	assert_true(vrange_contains(serving.within, vaddr(start)) && serving.within.end.raw - start >= span);
	assert_at_most(start, lowest);
	assert_sound(area_model_take(&serving.model, vrange(start, start + span), tag));
	assert_false(is_mapped(vaddr(start + want.size)));
	for (unsigned n = 0; n < PROBES; n++)
		if (want.gfp & __GFP_ZERO)
			assert_int_equal(vm_peek(area + probe(want.size, tag, n)), 0);
	for (unsigned n = 0; n < PROBES; n++)
		vm_poke(area + probe(want.size, tag, PROBES - 1 - n), contents(tag, PROBES - 1 - n));
	return area;
}

/* What was written last at a place that two probes share is the first probe's. */
static void assert_contents(const char *area, size_t size, uint32_t tag)
{
	size_t middle = probe(size, tag, 2);

	assert_int_equal(vm_peek(area), contents(tag, 0));
	assert_int_equal(vm_peek(area + size - 1), contents(tag, 1));
	if (middle && middle != size - 1)
		assert_int_equal(vm_peek(area + middle), contents(tag, 2));
}

static void give_checked(void *area)
{
	uintptr_t start = (uintptr_t)area;
	const struct area_range *range = area_model_find(&serving.model, start);

	assert_non_null(range);
	size_t size = range->end - range->start - PAGE_SIZE;
	assert_contents(area, size, range->tag);
	vfree(area);
	area_model_give(&serving.model, start);
	assert_false(is_mapped(vaddr(start)) || is_mapped(vaddr(start + size - PAGE_SIZE)));
}

static const struct workload_server checked_server = {take_checked, give_checked};

/* ---- Workloads ---------------------------------------------------------------------------------------------------- */

/* As many as stay of a workload that has any: not more than an eighth of the free memory. */
static size_t nr_staying(const struct vmalloc_workload *workload)
{
	size_t room = nr_free_pages() / 8 / (workload->spaced ? 2 : 1);
	return min_u64(workload->staying / STAYING_LEFT_OUT, room);
}

/* Four checks of everything; after each, nothing lingers, and the lowest place is one. */
static void run_rounds(const struct vmalloc_workload *workload, size_t rounds)
{
	uint32_t random = (uint32_t)test_seed() | 1;

	for (size_t round = 0; round < rounds; round++) {
		test_step(round);
		workload_round(workload, &random, &checked_server);
		if (round % (rounds / CHECKS) == 0) {
			assert_sound(mm_verify());
			purge();
		}
	}
}

static void run_within(const struct vmalloc_workload *workload, struct vrange within)
{
	size_t rounds = workload->rounds / ROUNDS_LEFT_OUT, staying = nr_staying(workload);
	begin_serving(within, staying);
	serving.settling = true;
	assert_true(workload_settle(workload, staying, serving.staying, &checked_server));
	serving.settling = false;
	purge();
	assert_sound(mm_verify());
	run_rounds(workload, rounds);
	for (size_t i = 0; i < staying; i++)
		give_checked(serving.staying[i]);
	end_serving();
	test_note("%s, %s: %zu of %u rounds, %zu of %u areas stay", workload->name,
	          is_anywhere() ? "anywhere" : "as low as possible", rounds, workload->rounds, staying,
	          workload->staying);
}

static void run(const struct vmalloc_workload *workload)
{
	remember_memory();
	run_within(workload, part_of_window());
	assert_like_before();
	run_within(workload, whole_window());
	assert_like_before();
}

static void fix_size_alloc_gives_one_page_again_and_again(void)
{
	run(&fix_size_workload);
}

static void full_fit_alloc_fits_between_many_that_stay(void)
{
	run(&full_fit_workload);
}

static void long_busy_list_alloc_finds_room_past_many_that_stay(void)
{
	run(&long_busy_list_workload);
}

static void random_size_alloc_gives_every_size_up_to_100_pages(void)
{
	run(&random_size_workload);
}

static void fix_align_alloc_lies_at_multiples_of_32_KiB_and_is_zero(void)
{
	run(&fix_align_workload);
}

static void random_size_align_alloc_lies_at_multiples_of_up_to_4_MiB(void)
{
	run(&random_size_align_workload);
}

static void align_shift_alloc_is_served_exactly_if_the_window_has_a_multiple_to_spare(void)
{
	unsigned served = 0;

	remember_memory();
	begin_serving(part_of_window(), 0);
	for (unsigned shift = 0; shift < ALIGN_SHIFTS; shift++) {
		struct vmalloc_request want = align_shift_request(shift);
		uintptr_t lowest = 0;

		test_step(shift);
		purge();
		bool fits = area_model_lowest(&serving.model, want.size + PAGE_SIZE,
		                              max_u64(want.align, PAGE_SIZE), serving.within, &lowest);
		void *area = ask(want);
		assert_ptr_equal(area, fits ? lowest : 0);
		vfree(area);
		purge();
		area = workload_vmalloc(
		        want); /* of the part that is left out, nothing is a multiple of much */
		assert_int_equal(area != NULL, fits);
		assert_true(is_aligned((uintptr_t)area, want.align));
		vfree(area);
		served += fits;
	}
	end_serving();
	test_note("%u of %u alignments are served", served, ALIGN_SHIFTS);
	assert_at_least(served, PUD_SHIFT + 1);
	assert_at_most(served, ALIGN_SHIFTS - 1); /* the half of all addresses is nobody's alignment */
	assert_like_before();
}

/* ---- The model ---------------------------------------------------------------------------------------------------- */

static void the_model_knows_the_lowest_place_and_names_what_is_in_the_way(void)
{
	static struct area_range ranges[8];
	struct area_model model;
	struct vrange within = vrange(0x10000, 0x20000);
	uintptr_t start;

	area_model_init(&model, ranges, ARRAY_SIZE(ranges));
	assert_sound(area_model_take(&model, vrange(0x13000, 0x15000), 1));
	assert_sound(area_model_take(&model, vrange(0x10000, 0x12000), 2));
	assert_true(area_model_lowest(&model, 0x1000, 0x1000, within, &start));
	assert_int_equal(start, 0x12000);
	assert_true(area_model_lowest(&model, 0x2000, 0x1000, within, &start));
	assert_int_equal(start, 0x15000);
	assert_true(area_model_lowest(&model, 0x2000, 0x4000, within, &start));
	assert_int_equal(start, 0x18000);
	assert_false(area_model_lowest(&model, 0xc000, 0x1000, within, &start));
	assert_false(
	        area_model_lowest(&model, 0x1000, 1UL << 63, vrange(0xffffc00000000000, -4096UL), &start));

	assert_string_equal(area_model_take(&model, vrange(0x14000, 0x16000), 3),
	                    "0x14000-0x16000 overlaps 0x13000-0x15000, which is in use");
	assert_string_equal(area_model_take(&model, vrange(0x11000, 0x12000), 3),
	                    "0x11000-0x12000 overlaps 0x10000-0x12000, which is in use");
	assert_null(area_model_find(&model, 0x14000));
	area_model_give(&model, 0x10000);
	assert_null(area_model_find(&model, 0x10000));
	assert_true(area_model_lowest(&model, 0x1000, 0x1000, within, &start));
	assert_int_equal(start, 0x12000); /* what lingers is not surely free, */
	assert_sound(area_model_take(&model, vrange(0x11000, 0x12000), 3)); /* nor in the way */
	assert_int_equal(area_model_find(&model, 0x11000)->tag, 3);
	assert_true(area_model_lowest(&model, 0x1000, 0x1000, within, &start));
	assert_int_equal(start, 0x10000);
	area_model_give(&model, 0x13000);
	area_model_purge(&model);
	assert_true(area_model_lowest(&model, 0x3000, 0x1000, within, &start));
	assert_int_equal(start, 0x12000);
}

/* ---- Page tables -------------------------------------------------------------------------------------------------- */

enum { SCATTERED = 100000, SCATTERED_FEWEST = 100, PAGES_EACH = 4 };

static void **scattered; /* in an allocation of its own */
static size_t nr_scattered;

/*
 * An area takes its frame, a table of its own, parts of two above and of two nodes: less than PAGES_EACH. Where memory does
 * not allow for all, a quarter of it is used, so that the case stays quick.
 */
static size_t how_many_to_scatter(void)
{
	size_t room = nr_free_pages() / PAGES_EACH;
	return room >= SCATTERED ? SCATTERED : room / 4;
}

/* Tables that are not there and that a page at `va` needs. */
static size_t tables_missing(uintptr_t va)
{
	size_t missing = 0;

	for (unsigned level = 1; level < kernel_pagetable.levels; level++)
		missing += !pagetable_entry(&kernel_pagetable, vaddr(va), level);
	return missing;
}

/* Two free pages at a random place of the nth part of the window. */
static uintptr_t free_place(struct rng *rng, size_t nth)
{
	size_t part = align_down((VMALLOC_END - VMALLOC_START) / nr_scattered, PAGE_SIZE);
	uintptr_t at;

	do
		at = VMALLOC_START + nth * part + (rng_below(rng, (part >> PAGE_SHIFT) - 2) << PAGE_SHIFT);
	while (find_vm_area((void *)at) || find_vm_area((void *)(at + PAGE_SIZE)));
	return at;
}

static void scatter(struct rng *rng)
{
	for (size_t i = 0; i < nr_scattered; i++) {
		uintptr_t at = free_place(rng, i);
		size_t tables = kernel_pagetable.nr_tables, missing = tables_missing(at);

		test_step(i);
		scattered[i] = __vmalloc_node_range(PAGE_SIZE, 1, at, at + 2 * PAGE_SIZE, GFP_KERNEL,
		                                    PAGE_KERNEL, 0, NUMA_NO_NODE, SOMEWHERE);
		assert_ptr_equal(scattered[i], at);
		assert_int_equal(kernel_pagetable.nr_tables, tables + missing);
		vm_poke(scattered[i], (uint8_t)(at >> PAGE_SHIFT));
	}
}

static void shuffle(struct rng *rng)
{
	for (size_t i = nr_scattered; i > 1; i--) {
		size_t other = rng_below(rng, i);
		void *moved = scattered[i - 1];
		scattered[i - 1] = scattered[other];
		scattered[other] = moved;
	}
}

static void free_scattered(size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		assert_int_equal(vm_peek(scattered[i]), (uint8_t)((uintptr_t)scattered[i] >> PAGE_SHIFT));
		vfree(scattered[i]);
	}
	vm_unmap_aliases();
}

static void page_tables_of_areas_all_over_the_window_go_with_them(void)
{
	struct rng rng;

	need_window(4 * PGD_SIZE, "needs areas that are alone in their tables");
	remember_memory();
	nr_scattered = how_many_to_scatter();
	if (nr_scattered < SCATTERED_FEWEST)
		test_skip("memory for %zu areas of a table each, this needs %u", nr_scattered,
		          SCATTERED_FEWEST);
	size_t bytes = nr_scattered * sizeof(*scattered), half = nr_scattered / 2;
	scattered = alloc_pages_exact(bytes, GFP_KERNEL);
	assert_non_null(scattered);
	rng_seed(&rng, test_seed());
	size_t tables = kernel_pagetable.nr_tables;

	scatter(&rng);
	size_t peak = kernel_pagetable.nr_tables;
	shuffle(&rng);
	free_scattered(0, half);
	size_t rest = kernel_pagetable.nr_tables;
	assert_sound(mm_verify());
	free_scattered(half, nr_scattered);
	size_t end = kernel_pagetable.nr_tables;
	free_pages_exact(scattered, bytes);
	test_note("%zu areas of a page: %zu page tables before, %zu with all, %zu with half, %zu after",
	          nr_scattered, tables, peak, rest, end);
	assert_at_least(peak, tables + nr_scattered); /* one each, and those above */
	assert_at_most(rest, peak - half);
	assert_int_equal(end, tables);
	assert_like_before();
}

static const struct test_case cases[] = {
        TEST_CASE(the_model_knows_the_lowest_place_and_names_what_is_in_the_way),
        TEST_CASE(fix_size_alloc_gives_one_page_again_and_again),
        TEST_CASE(full_fit_alloc_fits_between_many_that_stay),
        TEST_CASE(long_busy_list_alloc_finds_room_past_many_that_stay),
        TEST_CASE(random_size_alloc_gives_every_size_up_to_100_pages),
        TEST_CASE(fix_align_alloc_lies_at_multiples_of_32_KiB_and_is_zero),
        TEST_CASE(random_size_align_alloc_lies_at_multiples_of_up_to_4_MiB),
        TEST_CASE(align_shift_alloc_is_served_exactly_if_the_window_has_a_multiple_to_spare),
        TEST_CASE(page_tables_of_areas_all_over_the_window_go_with_them),
};

extern const struct test_suite vmalloc_workload_suite;
const struct test_suite vmalloc_workload_suite =
        TEST_SUITE("vmalloc_workload", cases, .tear_down = end_serving);
