/*
 * The quarantine of freed ranges: that they come in and go out in order and in number as a list says, that they stay
 * unmapped and reserved meanwhile and are told with who freed them, and that nobody is refused anything for their sake.
 */
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include <vm_access.h>
#include "../../mm/vmalloc_internal.h"

static char words[4096];

static void tear_down(void)
{
	vmalloc_set_quarantine(0);
}

static void *take_at(size_t page, size_t pages, gfp_t gfp)
{
	uintptr_t start = remote() + page * PAGE_SIZE;

	return __vmalloc_node_range(pages * PAGE_SIZE, 1, start, start + (pages + 1) * PAGE_SIZE, gfp,
	                            PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);
}

/* Frees, and has every CPU forget it. */
static void free_now(void *area)
{
	vfree(area);
	vm_unmap_aliases();
}

static bool is_in_quarantine(const void *address)
{
	const struct vmap_area *area = va_space_find(&vmalloc_state.space, (uintptr_t)address);

	return area && (area_flags(area) & VM_GONE) == VM_QUARANTINED;
}

/* ---- First in, first out ------------------------------------------------------------------------------------------ */

static void the_oldest_range_goes_when_there_are_too_many_bytes(void)
{
	char *areas[4];

	vmalloc_set_quarantine(9 * PAGE_SIZE); /* with their guards, three of two pages */
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		areas[i] = take_at(3 * i, 2, GFP_KERNEL);
		assert_non_null(areas[i]);
	}
	for (size_t i = 0; i < 3; i++)
		free_now(areas[2 - i]);
	assert_int_equal(vmalloc_stats().quarantine_bytes, 9 * PAGE_SIZE);
	for (size_t i = 0; i < 3; i++)
		assert_true(is_in_quarantine(areas[i]));
	free_now(areas[3]);
	assert_false(is_in_quarantine(areas[2])); /* the first to be freed */
	assert_true(is_in_quarantine(areas[1]) && is_in_quarantine(areas[0]) && is_in_quarantine(areas[3]));
	assert_sound(vmalloc_check());
	vmalloc_set_quarantine(3 * PAGE_SIZE);
	assert_false(is_in_quarantine(areas[1]) || is_in_quarantine(areas[0]));
	assert_true(is_in_quarantine(areas[3]));
	vmalloc_set_quarantine(0);
	assert_false(is_in_quarantine(areas[3]));
	assert_int_equal(vmalloc_stats().quarantine_bytes, 0);
	assert_sound(vmalloc_check());
}

static void what_is_larger_than_the_quarantine_passes_it_by(void)
{
	char *small = take_at(0, 2, GFP_KERNEL), *large = take_at(3, 9, GFP_KERNEL);

	assert_true(small && large);
	vmalloc_set_quarantine(9 * PAGE_SIZE);
	free_now(small);
	free_now(large); /* ten pages, with its guard */
	assert_true(is_in_quarantine(small));
	assert_false(is_in_quarantine(large));
	assert_sound(vmalloc_check());
}

static void without_a_quarantine_nothing_stays(void)
{
	char *area = take_at(0, 2, GFP_KERNEL);

	assert_non_null(area);
	free_now(area);
	assert_null(va_space_find(&vmalloc_state.space, (uintptr_t)area));
	assert_int_equal(vmalloc_stats().quarantine_bytes, 0);
}

/* ---- Against a list ----------------------------------------------------------------------------------------------- */

enum { LIVE = 12, LISTED = 400 };
static struct {
	uintptr_t start[LISTED], end[LISTED];
	size_t first, last; /* those in quarantine: [first, last) */
	size_t bytes, limit;
} list;

static void list_trim(void)
{
	for (; list.bytes > list.limit; list.first++)
		list.bytes -= list.end[list.first] - list.start[list.first];
}

static void list_push(uintptr_t start, uintptr_t end)
{
	if (end - start > list.limit)
		return;
	assert_at_most(list.last + 1, LISTED);
	list.start[list.last] = start;
	list.end[list.last++] = end;
	list.bytes += end - start;
	list_trim();
}

static void assert_like_list(void)
{
	size_t count = 0;

	for (size_t i = list.first; i < list.last; i++) {
		const struct vmap_area *area = va_space_find(&vmalloc_state.space, list.start[i]);
		assert_non_null(area);
		assert_true(area->va_start == list.start[i] && area->va_end == list.end[i]);
		assert_true(is_in_quarantine((void *)list.start[i]));
	}
	for (const struct vmap_area *area = NULL; (area = va_space_next_busy(&vmalloc_state.space, area));)
		count += (area_flags(area) & VM_GONE) == VM_QUARANTINED;
	assert_int_equal(count, list.last - list.first);
	assert_int_equal(vmalloc_stats().quarantine_bytes, list.bytes);
	assert_sound(vmalloc_check());
}

/* A kind of area each: how it is had, and how it is given back. */
static void *take_kind(unsigned kind, size_t pages, struct page *const *frames, uint64_t device)
{
	struct vmap_area *bare;

	switch (kind) {
	case 0:
		return vmalloc(pages * PAGE_SIZE);
	case 1:
		return vmalloc_guarded(pages * PAGE_SIZE - 100, 4);
	case 2:
		return vmap(frames, 1, VM_MAP, PAGE_KERNEL);
	case 3:
		return ioremap(device, pages * PAGE_SIZE);
	default:
		bare = get_vm_area(pages * PAGE_SIZE, VM_MAP);
		return bare ? vm_area_address(bare) : NULL;
	}
}

static void give_kind(unsigned kind, void *address)
{
	if (kind < 2)
		vfree(address);
	else if (kind == 2)
		vunmap(address);
	else if (kind == 3)
		iounmap(address);
	else
		free_vm_area(find_vm_area(address));
}

static void ranges_of_all_kinds_come_and_go_as_a_list_says(void)
{
	struct page *frame = alloc_page(GFP_KERNEL);
	static void *live[LIVE];
	unsigned kinds[LIVE];
	struct rng rng;

	assert_non_null(frame);
	remember_memory();
	memset(&list, 0, sizeof(list));
	memset(live, 0, sizeof(live));
	list.limit = 40 * PAGE_SIZE;
	vmalloc_set_quarantine(list.limit);
	rng_seed(&rng, test_seed());
	for (unsigned step = 0; step < LISTED - 10; step++) {
		test_step(step);
		size_t which = rng_below(&rng, LIVE);
		if (!live[which]) {
			kinds[which] = (unsigned)rng_below(&rng, 5);
			live[which] =
			        take_kind(kinds[which], 1 + rng_below(&rng, rng_below(&rng, 8) ? 8 : 60),
			                  &frame, no_ram());
			assert_non_null(live[which]);
		} else {
			const struct vmap_area *area = find_vm_area(live[which]);
			uintptr_t start = area->va_start, end = area->va_end;
			give_kind(kinds[which], live[which]);
			vm_unmap_aliases();
			list_push(start, end);
			live[which] = NULL;
		}
		if (rng_below(&rng, 40) == 0) {
			list.limit = rng_below(&rng, 60) * PAGE_SIZE;
			vmalloc_set_quarantine(list.limit);
			list_trim();
		}
		assert_like_list();
	}
	assert_at_least(list.first, 20); /* enough went out */
	for (size_t i = 0; i < LIVE; i++)
		if (live[i])
			give_kind(kinds[i], live[i]);
	assert_like_before(); /* with the quarantine on: who reclaims empties it */
	__free_page(frame);
}

/* ---- Meanwhile ---------------------------------------------------------------------------------------------------- */

static void its_frames_and_tables_are_free_and_its_addresses_are_not(void)
{
	reclaim_pages();
	size_t free_before = nr_free_pages(), tables = kernel_pagetable.nr_tables;
	vmalloc_set_quarantine(1UL << 20);
	char *area = take_at(0, 60, GFP_KERNEL);
	assert_non_null(area);
	free_now(area);
	assert_true(is_in_quarantine(area));
	assert_at_least(nr_free_pages(), free_before - 4); /* but for its descriptor's slab and magazines */
	assert_int_equal(kernel_pagetable.nr_tables, tables);
	for (size_t page = 0; page <= 60; page++)
		assert_false(is_mapped(vaddr((uintptr_t)area + page * PAGE_SIZE)));
	assert_null(find_vm_area(area));
	assert_null(vmalloc_to_page(area));
	assert_sound(mm_verify());
}

static const char *describe(const void *address)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, words, sizeof(words));
	assert_true(vmalloc_describe(vaddr_of(address), &buffer.printer));
	return words;
}

static void what_is_done_to_it_is_reported_with_both_callers(void)
{
	struct buffer_printer buffer;
	char *area = take_at(0, 2, GFP_KERNEL);

	assert_non_null(area);
	vmalloc_set_quarantine(1UL << 20);
	free_now(area);
	assert_matches(describe(area + 100),
	               "byte 100 of the vmalloc area 0x* (8192 bytes requested, allocated by *, freed by *)");
	expect_panic(
	        "vfree: 0x* was freed before, by *; it was in the vmalloc area 0x*-0x* allocated by *, from *",
	        vfree(area));
	expect_panic("vunmap: 0x* was freed before, by *", vunmap(area));
	buffer_printer_init(&buffer, words, sizeof(words));
	vmallocinfo_dump(&buffer.printer);
	assert_matches(words, "*   12288 * freed, in quarantine\n*");
	buffer_printer_init(&buffer, words, sizeof(words));
	vmalloc_picture(vrange(remote(), remote() + 4 * PAGE_SIZE), &buffer.printer);
	assert_matches(words, "*, q in quarantine, *0x* qqq.\n");
}

/* Else the address of the next area of its size would be its own. */
static void no_address_is_used_twice_while_there_is_room(void)
{
	enum { ROUNDS = 100 };
	static uintptr_t seen[ROUNDS];

	vmalloc_set_quarantine(2 * ROUNDS * PAGE_SIZE);
	reclaim_pages();
	for (size_t round = 0; round < ROUNDS; round++) {
		void *area = vmalloc(PAGE_SIZE);
		assert_non_null(area);
		seen[round] = (uintptr_t)area;
		for (size_t i = 0; i < round; i++)
			assert_int_not_equal(seen[i], seen[round]);
		free_now(area);
	}
	assert_int_equal(vmalloc_stats().quarantine_bytes, 2 * ROUNDS * PAGE_SIZE);
	assert_sound(vmalloc_check());
}

/* ---- Nobody is refused for its sake ------------------------------------------------------------------------------- */

static void who_runs_out_of_addresses_empties_it(void)
{
	static const gfp_t gfps[] = {GFP_KERNEL, GFP_ATOMIC};

	vmalloc_set_quarantine(1UL << 20);
	for (size_t i = 0; i < ARRAY_SIZE(gfps); i++) {
		char *area = take_at(0, 5, GFP_KERNEL);
		assert_non_null(area);
		free_now(area);
		assert_true(is_in_quarantine(area));
		char *again = take_at(0, 5, gfps[i]);
		assert_ptr_equal(again, area);
		assert_int_equal(vmalloc_stats().quarantine_bytes, 0);
		vfree(again);
	}
	/* What was freed but not flushed goes through it, and out of it at once. */
	char *again = take_at(0, 5, GFP_KERNEL);
	assert_non_null(again);
	vfree(again);
	assert_sound(vmalloc_check());
}

static void who_runs_out_of_memory_empties_it(void)
{
	vmalloc_set_quarantine(1UL << 20);
	remember_memory();
	for (unsigned i = 0; i < 20; i++) {
		void *area = vmalloc((1 + i % 4) * PAGE_SIZE);
		assert_non_null(area);
		free_now(area);
	}
	assert_at_least(vmalloc_stats().quarantine_bytes, 20 * 2 * PAGE_SIZE);
	reclaim_pages();
	assert_int_equal(vmalloc_stats().quarantine_bytes, 0);
	assert_like_before();
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

static void the_verifier_sees_what_is_wrong_with_a_quarantine(void)
{
	char *first = take_at(0, 2, GFP_KERNEL), *second = take_at(3, 2, GFP_KERNEL);

	assert_true(first && second);
	vmalloc_set_quarantine(1UL << 20);
	free_now(first);
	free_now(second);
	struct vmap_area *area = va_space_find(&vmalloc_state.space, (uintptr_t)first);
	uint32_t flags = area->flags, next = area->frames;

	area->flags = (flags & ~(uint32_t)VM_QUARANTINED) | VM_SPARE;
	assert_matches(vmalloc_check(), "Q1: 0x*-0x* is in quarantine, flags 0x*");
	area->flags = flags ^ (1U << 13); /* another place in the frame */
	assert_matches(vmalloc_check(), "Q?: *");
	area->flags = flags;
	area->frames = PFN_NONE;
	assert_matches(vmalloc_check(), "Q3: the queue does not end with its newest area");
	area->frames = next;
	quarantine.bytes += PAGE_SIZE;
	assert_matches(vmalloc_check(),
	               "Q2: 2 areas of 24576 bytes are in quarantine, counted as 2 of 28672");
	quarantine.bytes -= PAGE_SIZE;
	quarantine.nr--;
	assert_matches(vmalloc_check(), "L3: the CPUs keep 0 ranges, counted as 1");
	assert_matches(quarantine_check(), "Q2: more than the 1 areas that were counted are in quarantine");
	quarantine.nr++;
	quarantine.limit = 3 * PAGE_SIZE;
	assert_matches(vmalloc_check(), "Q2: 24576 bytes are in quarantine, which is one of 12288");
	quarantine.limit = 1UL << 20;
	assert_sound(vmalloc_check());
}

static const struct test_case cases[] = {
        TEST_CASE(the_oldest_range_goes_when_there_are_too_many_bytes),
        TEST_CASE(what_is_larger_than_the_quarantine_passes_it_by),
        TEST_CASE(without_a_quarantine_nothing_stays),
        TEST_CASE(ranges_of_all_kinds_come_and_go_as_a_list_says),
        TEST_CASE(its_frames_and_tables_are_free_and_its_addresses_are_not),
        TEST_CASE(what_is_done_to_it_is_reported_with_both_callers),
        TEST_CASE(no_address_is_used_twice_while_there_is_room),
        TEST_CASE(who_runs_out_of_addresses_empties_it),
        TEST_CASE(who_runs_out_of_memory_empties_it),
        TEST_CASE(the_verifier_sees_what_is_wrong_with_a_quarantine),
};

extern const struct test_suite quarantine_suite;
const struct test_suite quarantine_suite = TEST_SUITE("vmalloc_quarantine", cases, .tear_down = tear_down);
