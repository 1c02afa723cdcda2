/*
 * Large leaves behind vmalloc areas: who gets them, what happens where they cannot be had, that leaf and block stay one and
 * the same while permissions change in parts of them, and that nothing of it shows from outside.
 */
#include <arch/machine.h>
#include <mm/fault_inject.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <mm/vm_map_ram.h>
#include <hoard.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"
#include "vm_access.h"

enum { ORDER = 9, BLOCK = 1 << ORDER }; /* pages of a large leaf */
#define QUIET (GFP_KERNEL | __GFP_NOWARN)

static struct hoard hoard;
static struct page *frames[4 * BLOCK + 3];

static void set_up(void)
{
	need_window(64UL << 20, "takes areas of some MiB");
	if (nr_free_pages() < 8 * BLOCK)
		test_skip("needs 16 MiB of free memory");
}

static void tear_down(void)
{
	hoard_release(&hoard);
}

/* Present or hidden; 0: nothing is mapped. */
static unsigned level_at(const char *address)
{
	struct translation t;
	return pagetable_find(&kernel_pagetable, vaddr_of(address), &t) ? t.level : 0;
}

static const char *access_at(const void *address)
{
	struct translation t;
	return pagetable_lookup(&kernel_pagetable, vaddr_of(address), &t) ? pgprot_access(t.prot) : "---";
}

static uint8_t mark(size_t page)
{
	return (uint8_t)(page * 7 + page / 256 + 1);
}

static void write_marks(char *area, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		vm_poke(area + page * PAGE_SIZE + page % PAGE_SIZE, mark(page));
}

/* Through the area, and through the direct map at the frame that vmalloc_to_page() names. */
static void assert_marks(char *area, size_t pages)
{
	for (size_t page = 0; page < pages; page++) {
		char *byte = area + page * PAGE_SIZE + page % PAGE_SIZE;
		assert_int_equal(vm_peek(byte), mark(page));
		assert_int_equal(((uint8_t *)page_address(vmalloc_to_page(byte)))[page % PAGE_SIZE],
		                 mark(page));
	}
}

/* Single frames are free, but no block of 2 MiB: what is not in the hoard are such blocks, each without its first frame. */
static void leave_no_block(size_t blocks)
{
	struct page *block[16];

	assert_at_most(blocks, ARRAY_SIZE(block));
	for (size_t i = 0; i < blocks; i++) {
		block[i] = alloc_pages(QUIET, ORDER);
		assert_non_null(block[i]);
	}
	hoard_take(&hoard, QUIET | __GFP_HIGH, 0);
	for (size_t i = 0; i < blocks; i++) {
		split_page(block[i], ORDER);
		hoard_add(&hoard, block[i]);
		for (size_t page = 1; page < BLOCK; page++)
			__free_page(block[i] + page);
	}
}

/* ---- Who gets them ---- */

static void memory_from_2_mib_on_is_blocks_behind_large_leaves(void)
{
	enum { PAGES = 2 * BLOCK + 3 };

	remember_memory();
	size_t owned = vmalloc_stats().nr_pages;
	char *area = vmalloc(PAGES * PAGE_SIZE - 5);
	assert_non_null(area);
	assert_true(is_aligned((uintptr_t)area, PMD_SIZE));
	assert_int_equal(vmalloc_stats().nr_pages, owned + PAGES);
	for (size_t page = 0; page < PAGES; page++)
		assert_int_equal(level_at(area + page * PAGE_SIZE), page < 2 * BLOCK ? 2 : 1);
	assert_int_equal(level_at(area + PAGES * PAGE_SIZE), 0);
	write_marks(area, PAGES);
	assert_marks(area, PAGES);
	for (size_t page = 1; page < BLOCK; page++)
		assert_ptr_equal(vmalloc_to_page(area + page * PAGE_SIZE), vmalloc_to_page(area) + page);
	assert_sound(mm_verify());
	vfree(area);
	assert_int_equal(level_at(area), 0);
	assert_like_before();
}

static void less_and_other_protections_are_pages_unless_asked_for(void)
{
	char *areas[4];

	areas[0] = vmalloc((BLOCK - 1) * PAGE_SIZE);
	areas[1] = __vmalloc(BLOCK * PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL_RO);
	areas[2] = vmalloc_huge(PAGE_SIZE, GFP_KERNEL);
	areas[3] = __vmalloc_node_range(BLOCK * PAGE_SIZE, 1, VMALLOC_START, VMALLOC_END, GFP_KERNEL,
	                                PAGE_KERNEL_ROX, VM_ALLOW_HUGE_VMAP, NUMA_NO_NODE, SOMEWHERE);
	for (size_t i = 0; i < 4; i++) {
		assert_non_null(areas[i]);
		assert_int_equal(level_at(areas[i]), i == 3 ? 2 : 1);
	}
	assert_string_equal(access_at(areas[3] + PAGE_SIZE), "r-x");
	assert_sound(mm_verify());
	for (size_t i = 0; i < 4; i++)
		vfree(areas[i]);
}

static void zeroed_blocks_are_zero(void)
{
	char *area = vmalloc(BLOCK * PAGE_SIZE);

	assert_non_null(area);
	write_marks(area, BLOCK);
	vfree(area);
	vm_unmap_aliases();
	area = vzalloc(BLOCK * PAGE_SIZE);
	assert_non_null(area);
	assert_int_equal(level_at(area), 2);
	for (size_t page = 0; page < BLOCK; page++)
		assert_int_equal(vm_peek(area + page * PAGE_SIZE + page % PAGE_SIZE), 0);
	vfree(area);
}

/* ---- Where they cannot be had ---- */

static void without_a_block_at_hand_an_area_is_made_of_pages(void)
{
	remember_memory();
	leave_no_block(5); /* more than a zone keeps in reserve */
	char *area = vmalloc_huge((BLOCK + 9) * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(area);
	for (size_t page = 0; page < BLOCK + 9; page++)
		assert_int_equal(level_at(area + page * PAGE_SIZE), 1);
	write_marks(area, BLOCK + 9);
	assert_marks(area, BLOCK + 9);
	assert_sound(mm_verify());
	vfree(area);
	hoard_release(&hoard);
	assert_like_before();
}

static void where_no_large_leaf_can_begin_an_area_is_made_of_pages(void)
{
	uintptr_t start = VMALLOC_END - PGD_SIZE + PAGE_SIZE;
	char *area = __vmalloc_node_range(BLOCK * PAGE_SIZE, 1, start, start + (BLOCK + 1) * PAGE_SIZE,
	                                  GFP_KERNEL, PAGE_KERNEL, 0, NUMA_NO_NODE, SOMEWHERE);

	assert_ptr_equal(area, start);
	assert_int_equal(level_at(area), 1);
	write_marks(area, BLOCK);
	assert_marks(area, BLOCK);
	assert_sound(mm_verify());
	vfree(area);
}

/* ---- Parts of a block ---- */

static void a_permission_of_a_part_splits_its_leaf_and_its_block_only(void)
{
	remember_memory();
	char *area = vmalloc(3 * BLOCK * PAGE_SIZE);
	assert_non_null(area);
	write_marks(area, 3 * BLOCK);
	struct page *block = vmalloc_to_page(area + BLOCK * PAGE_SIZE);
	assert_true(set_memory_ro((unsigned long)area + (BLOCK + 5) * PAGE_SIZE, 3));
	assert_sound(mm_verify());
	for (size_t page = 0; page < 3 * BLOCK; page++) {
		bool changed = page >= BLOCK + 5 && page < BLOCK + 8;
		char *byte = area + page * PAGE_SIZE;
		assert_int_equal(level_at(byte), page / BLOCK == 1 ? 1 : 2);
		assert_string_equal(access_at(byte), changed ? "r--" : "rw-");
		assert_string_equal(access_at(page_address(vmalloc_to_page(byte))), changed ? "r--" : "rw-");
	}
	for (size_t page = 0; page < BLOCK; page++) {
		assert_true(page_is_head(block + page, PAGE_VMALLOC, 0));
		assert_ptr_equal(block[page].owner, find_vm_area(area));
	}
	assert_marks(area, 3 * BLOCK);
	assert_true(set_memory_rw((unsigned long)area + (BLOCK + 5) * PAGE_SIZE, 3));
	assert_sound(mm_verify());
	vfree(area);
	assert_like_before();
}

static void a_range_that_cuts_two_blocks_splits_both(void)
{
	remember_memory();
	char *area = vmalloc(4 * BLOCK * PAGE_SIZE);
	assert_non_null(area);
	write_marks(area, 4 * BLOCK);
	assert_true(set_memory_nx((unsigned long)area + PAGE_SIZE, 3 * BLOCK)); /* changes nothing */
	assert_sound(mm_verify());
	assert_true(set_memory_ro((unsigned long)area + PAGE_SIZE, 3 * BLOCK));
	assert_sound(mm_verify());
	assert_int_equal(level_at(area), 1);
	assert_int_equal(level_at(area + BLOCK * PAGE_SIZE), 2);
	assert_int_equal(level_at(area + 2 * BLOCK * PAGE_SIZE), 2);
	assert_int_equal(level_at(area + 3 * BLOCK * PAGE_SIZE), 1);
	assert_string_equal(access_at(area), "rw-");
	assert_string_equal(access_at(area + 3 * BLOCK * PAGE_SIZE), "r--");
	assert_string_equal(access_at(area + (3 * BLOCK + 1) * PAGE_SIZE), "rw-");
	assert_marks(area, 4 * BLOCK);
	vfree(area);
	assert_like_before();
}

static void a_hidden_block_is_freed_like_any_other(void)
{
	remember_memory();
	char *area = vmalloc(2 * BLOCK * PAGE_SIZE);
	assert_non_null(area);
	assert_true(set_memory_np((unsigned long)area, BLOCK));
	assert_int_equal(level_at(area), 2);
	assert_string_equal(access_at(area), "---");
	assert_string_equal(access_at(area + BLOCK * PAGE_SIZE), "rw-");
	assert_sound(mm_verify());
	vfree(area);
	assert_like_before();
}

static char *sweep_area;

static void a_split_that_cannot_be_had_changes_nothing(void)
{
	need_injected_failures();
	sweep_area = vmalloc(2 * BLOCK * PAGE_SIZE);
	assert_non_null(sweep_area);
	write_marks(sweep_area, 2 * BLOCK);
	for (unsigned nth = 1;; nth++) {
		test_step(nth);
		remember_memory();
		fault_inject_arm(nth);
		bool done = set_memory_ro((unsigned long)sweep_area + PAGE_SIZE, BLOCK);
		bool delivered = fault_inject_disarm();
		assert_int_equal(done, !delivered);
		assert_sound(mm_verify());
		if (done)
			break;
		assert_int_equal(level_at(sweep_area), 2);
		assert_int_equal(level_at(sweep_area + BLOCK * PAGE_SIZE), 2);
		assert_true(memory_is_like_before());
	}
	assert_int_equal(level_at(sweep_area), 1);
	assert_marks(sweep_area, 2 * BLOCK);
	vfree(sweep_area);
}

/* Its leaves are alike again, but the block behind them is gone: nothing may make them one. */
static void what_was_split_stays_split(void)
{
	unsigned long area = (unsigned long)vmalloc(2 * BLOCK * PAGE_SIZE);

	assert_true(area);
	assert_true(set_memory_ro(area, 1) && set_memory_rw(area, 1));
	assert_int_equal(level_at((char *)area), 1);
	fault_inject_arm(1);
	bool done = set_memory_nx(area, BLOCK + 1);
	bool delivered = fault_inject_disarm();
	assert_int_equal(done, !delivered);
	assert_int_equal(level_at((char *)area), 1);
	assert_sound(mm_verify());
	assert_true(set_memory_np(area, 2 * BLOCK) && set_memory_p(area, 2 * BLOCK));
	assert_int_equal(level_at((char *)area), 1);
	vfree((void *)area);
}

/* ---- Giving back ---- */

static void mistakes_are_those_of_any_other_area(void)
{
	static char *area;

	area = vmalloc(BLOCK * PAGE_SIZE);
	assert_non_null(area);
	expect_panic("vfree: 0x* is 1048576 bytes inside the vmalloc area *", vfree(area + (1UL << 20)));
	expect_panic("__free_pages: pfn 0x* order 9: belongs to vmalloc, order 9, by *",
	             __free_pages(vmalloc_to_page(area), ORDER));
	vfree(area);
	expect_panic("vfree: 0x* was freed before, by *", vfree(area));
}

static void a_handler_may_free_it(void)
{
	remember_memory();
	char *area = vmalloc(2 * BLOCK * PAGE_SIZE);
	assert_non_null(area);
	this_cpu()->interrupt_depth++;
	vfree(area);
	this_cpu()->interrupt_depth--;
	assert_sound(mm_verify());
	assert_like_before();
}

static void every_failure_inside_leaves_pages_or_no_trace(void)
{
	enum { PAGES = BLOCK + 71 }; /* and a single frame at the end */
	unsigned smaller = 0, refused = 0;

	need_injected_failures();
	for (unsigned nth = 1;; nth++) {
		test_step(nth);
		remember_memory();
		fault_inject_arm(nth);
		char *area = __vmalloc(PAGES * PAGE_SIZE, QUIET, PAGE_KERNEL);
		bool delivered = fault_inject_disarm();
		assert_sound(mm_verify());
		if (area) {
			smaller += delivered && level_at(area) == 1;
			write_marks(area, PAGES);
			assert_marks(area, PAGES);
			vfree(area);
		} else {
			refused++;
		}
		assert_like_before();
		if (!delivered) {
			assert_non_null(area);
			break;
		}
	}
	assert_at_least(smaller, 1); /* no block, or no table for its leaf: pages */
	assert_at_least(refused, 4);
}

/* ---- vmap ---- */

static void take_block(struct page **at, unsigned order)
{
	struct page *block = alloc_pages(GFP_KERNEL, order);

	assert_non_null(block);
	for (size_t page = 0; page < 1UL << order; page++)
		at[page] = block + page;
}

static void assert_shows_frames(char *area, size_t count)
{
	for (size_t page = 0; page < count; page++)
		assert_ptr_equal(vmalloc_to_page(area + page * PAGE_SIZE), frames[page]);
}

static void vmap_maps_runs_of_frames_by_large_leaves(void)
{
	remember_memory();
	take_block(frames, ORDER);
	frames[BLOCK] = alloc_page(GFP_KERNEL);
	assert_non_null(frames[BLOCK]);
	char *area = vmap(frames, BLOCK + 1, VM_MAP, PAGE_KERNEL);
	assert_non_null(area);
	assert_true(is_aligned((uintptr_t)area, PMD_SIZE));
	assert_int_equal(level_at(area), 2);
	assert_int_equal(level_at(area + BLOCK * PAGE_SIZE), 1);
	assert_int_equal(level_at(area + (BLOCK + 1) * PAGE_SIZE), 0);
	assert_shows_frames(area, BLOCK + 1);
	write_marks(area, BLOCK + 1);
	assert_marks(area, BLOCK + 1);
	assert_sound(mm_verify());
	vunmap(area);
	assert_true(page_is_head(frames[0], PAGE_HELD, ORDER));
	__free_page(frames[BLOCK]);
	__free_pages(frames[0], ORDER);
	assert_like_before();
}

/* First and last say that there is a run; two in its middle have changed places. */
static void vmap_is_not_deceived_by_the_ends_of_a_run(void)
{
	remember_memory();
	take_block(frames, ORDER);
	struct page *first = frames[0], *other = frames[200];
	frames[200] = frames[300];
	frames[300] = other;
	char *area = vmap(frames, BLOCK, VM_MAP, PAGE_KERNEL);
	assert_non_null(area);
	assert_int_equal(level_at(area), 1);
	assert_shows_frames(area, BLOCK);
	assert_sound(mm_verify());
	vunmap(area);
	__free_pages(first, ORDER);
	assert_like_before();
}

static void frames_that_an_area_takes_over_stay_single(void)
{
	remember_memory();
	take_block(frames, ORDER);
	split_page(frames[0], ORDER);
	char *area = vmap(frames, BLOCK, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	assert_non_null(area);
	assert_int_equal(level_at(area), 1);
	assert_sound(mm_verify());
	vfree(area);
	assert_like_before();
}

static void a_block_of_1_gib_is_one_leaf(void)
{
	static struct page *run[1UL << MAX_PAGE_ORDER];
	struct translation direct;
	struct page *block = alloc_pages(QUIET, MAX_PAGE_ORDER);

	if (!block)
		test_skip("needs a free block of 1 GiB");
	for (size_t page = 0; page < ARRAY_SIZE(run); page++)
		run[page] = block + page;
	assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(page_address(block)), &direct));
	char *area = vmap(run, ARRAY_SIZE(run), VM_MAP, PAGE_KERNEL);
	assert_non_null(area);
	assert_int_equal(level_at(area), direct.level); /* 2 on a CPU without such leaves */
	for (size_t page = 0; page < ARRAY_SIZE(run); page += 77777)
		assert_ptr_equal(vmalloc_to_page(area + page * PAGE_SIZE), block + page);
	vunmap(area);
	__free_pages(block, MAX_PAGE_ORDER);
}

static void a_run_that_cannot_be_mapped_leaves_no_trace(void)
{
	need_injected_failures();
	take_block(frames, ORDER);
	frames[BLOCK] = alloc_page(GFP_KERNEL);
	assert_non_null(frames[BLOCK]);
	for (unsigned nth = 1;; nth++) {
		test_step(nth);
		remember_memory();
		refuse_allocation(nth);
		char *area = vmap(frames, BLOCK + 1, VM_MAP, PAGE_KERNEL);
		bool refused = was_refused(area);
		assert_sound(mm_verify());
		if (area) {
			assert_shows_frames(area, BLOCK + 1);
			vunmap(area);
		}
		assert_like_before();
		if (!refused)
			break;
	}
	__free_page(frames[BLOCK]);
	__free_pages(frames[0], ORDER);
}

static char *map_parts(struct page **list, unsigned pages, bool as_ram)
{
	return as_ram ? vm_map_ram(list, pages, NUMA_NO_NODE) : vmap(list, pages, VM_MAP, PAGE_KERNEL);
}

static void unmap_parts(char *area, unsigned pages, bool as_ram)
{
	if (as_ram)
		vm_unmap_ram(area, pages);
	else
		vunmap(area);
}

/* Mapped 16 MiB at a time, with interrupts let in between: two parts and a rest. Tables run out in each of them. */
static void a_mapping_of_several_parts_is_all_or_nothing(void)
{
	enum { PART = 4096, PAGES = 2 * PART + 3, TABLES = PAGES / BLOCK };
	static struct page *list[PAGES];
	unsigned refused = 0;
	char *area = NULL;

	if (nr_managed_pages() < PAGES)
		test_skip("needs more than 32 MiB of memory");
	take_block(frames, 1);
	for (size_t page = 0; page < PAGES; page++)
		list[page] = frames[page / PART & 1];
	for (size_t left = 0; !area; left += 2) {
		assert_at_most(left, nr_managed_pages());
		bool as_ram = left & 2;
		test_step(left);
		remember_memory();
		hoard_take(&hoard, QUIET | __GFP_HIGH, left);
		test_warnings_begin();
		area = map_parts(list, PAGES, as_ram);
		refused += test_warnings_end();
		for (size_t page = 0; area && page <= PAGES; page++)
			assert_ptr_equal(vmalloc_to_page(area + page * PAGE_SIZE),
			                 page < PAGES ? list[page] : NULL);
		if (area)
			unmap_parts(area, PAGES, as_ram);
		hoard_release(&hoard);
		assert_like_before();
	}
	assert_at_least(refused, TABLES / 2);
	__free_pages(frames[0], 1);
}

/* In parts, but not one for each 16 MiB of nothing. */
static void a_large_area_that_nothing_is_mapped_in_goes_at_once(void)
{
	enum { TERABYTES = 8 };

	if (!IS_DEBUG)
		test_skip("the debug build counts locks");
	need_window(2UL * TERABYTES << 40, "takes an area of 8 TiB");
	struct vmap_area *area = get_vm_area((size_t)TERABYTES << 40, VM_MAP);
	assert_non_null(area);
	uint64_t locks = this_cpu()->counters[COUNT_LOCKS];
	free_vm_area(area);
	assert_at_most(this_cpu()->counters[COUNT_LOCKS] - locks, 20 * TERABYTES);
}

/* ---- At random ---- */

enum { AREAS = 5, STEPS = 60 };

static struct {
	char *area;
	size_t pages;
	bool hidden;
} live[AREAS];

static void change_some(struct rng *rng, unsigned i)
{
	size_t first = rng_below(rng, live[i].pages), count = 1 + rng_below(rng, live[i].pages - first);
	unsigned long at = (unsigned long)live[i].area + first * PAGE_SIZE;

	switch (rng_below(rng, 4)) {
	case 0:
		assert_true(set_memory_ro(at, (int)count));
		break;
	case 1:
		assert_true(set_memory_rw(at, (int)count));
		break;
	case 2:
		assert_true(set_memory_np(at, (int)count));
		live[i].hidden = true;
		break;
	default:
		assert_true(set_memory_p((unsigned long)live[i].area, (int)live[i].pages));
		live[i].hidden = false;
	}
}

static void areas_of_blocks_and_pages_come_change_and_go_at_random(void)
{
	struct rng rng;

	remember_memory();
	rng_seed(&rng, test_seed());
	for (unsigned step = 0; step < STEPS; step++) {
		test_step(step);
		unsigned i = (unsigned)rng_below(&rng, AREAS);
		if (!live[i].area) {
			live[i].pages = 1 + rng_below(&rng, 3 * BLOCK / 2);
			live[i].hidden = false;
			live[i].area = __vmalloc(live[i].pages * PAGE_SIZE, QUIET, PAGE_KERNEL);
			if (live[i].area)
				write_marks(live[i].area, live[i].pages);
		} else if (rng_below(&rng, 3)) {
			change_some(&rng, i);
		} else {
			if (!live[i].hidden)
				assert_marks(live[i].area, live[i].pages);
			vfree(live[i].area);
			live[i].area = NULL;
		}
		assert_sound(mm_verify());
	}
	for (unsigned i = 0; i < AREAS; i++) {
		vfree(live[i].area);
		live[i].area = NULL;
	}
	assert_like_before();
}

static const struct test_case cases[] = {
        TEST_CASE(memory_from_2_mib_on_is_blocks_behind_large_leaves),
        TEST_CASE(less_and_other_protections_are_pages_unless_asked_for),
        TEST_CASE(zeroed_blocks_are_zero),
        TEST_CASE(without_a_block_at_hand_an_area_is_made_of_pages),
        TEST_CASE(where_no_large_leaf_can_begin_an_area_is_made_of_pages),
        TEST_CASE(a_permission_of_a_part_splits_its_leaf_and_its_block_only),
        TEST_CASE(a_range_that_cuts_two_blocks_splits_both),
        TEST_CASE(a_hidden_block_is_freed_like_any_other),
        TEST_CASE(a_split_that_cannot_be_had_changes_nothing),
        TEST_CASE(what_was_split_stays_split),
        TEST_CASE(mistakes_are_those_of_any_other_area),
        TEST_CASE(a_handler_may_free_it),
        TEST_CASE(every_failure_inside_leaves_pages_or_no_trace),
        TEST_CASE(vmap_maps_runs_of_frames_by_large_leaves),
        TEST_CASE(vmap_is_not_deceived_by_the_ends_of_a_run),
        TEST_CASE(frames_that_an_area_takes_over_stay_single),
        TEST_CASE(a_block_of_1_gib_is_one_leaf),
        TEST_CASE(a_run_that_cannot_be_mapped_leaves_no_trace),
        TEST_CASE(a_mapping_of_several_parts_is_all_or_nothing),
        TEST_CASE(a_large_area_that_nothing_is_mapped_in_goes_at_once),
        TEST_CASE(areas_of_blocks_and_pages_come_change_and_go_at_random),
};

const struct test_suite vmalloc_huge_suite =
        TEST_SUITE("vmalloc_huge", cases, .set_up = set_up, .tear_down = tear_down);
