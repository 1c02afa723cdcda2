/*
 * Guard pages on both sides of an area, and objects that end where their last page ends: where they lie, what is mapped,
 * that only the very pointer that was given frees them, and what reports say of each byte around them.
 */
#include <arch/irq.h>
#include <arch/machine.h>
#include <arch/percpu.h>
#include <arch/smp.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <mm/vmalloc.h>
#include <expected.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"
#include "vm_access.h"

static char words[1024];

/* `pages` data pages, and a guard page on either side that are the area's too. */
static void assert_guarded(const struct vmap_area *area, size_t pages)
{
	uintptr_t start = area->va_start;

	assert_int_equal(area->va_end - start, (pages + 2) * PAGE_SIZE);
	assert_false(is_mapped(vaddr(start)));
	for (size_t page = 1; page <= pages; page++)
		assert_true(is_mapped(vaddr(start + page * PAGE_SIZE)));
	assert_false(is_mapped(vaddr(start + (pages + 1) * PAGE_SIZE)));
}

/* ---- Objects at the end of their pages ---------------------------------------------------------------------------- */

static void assert_object(char *object, size_t size, size_t align)
{
	size_t rounded = align_up(size, align), pages = align_up(rounded, PAGE_SIZE) >> PAGE_SHIFT;
	struct vmap_area *area = find_vm_area(object);

	assert_int_equal((uintptr_t)object % align, 0);
	assert_int_equal((uintptr_t)(object + rounded) % PAGE_SIZE, 0);
	assert_non_null(area);
	assert_guarded(area, pages);
	assert_int_equal(area->requested_size, rounded);
	assert_ptr_equal(vm_area_address(area), object);
	assert_ptr_equal(object + rounded, area->va_end - PAGE_SIZE);
	assert_true(is_vmalloc_addr(object));
	for (size_t at = 0; at < rounded;
	     at += at + 1 < rounded && at + 97 >= rounded ? rounded - 1 - at : 97)
		vm_poke(object + at, (uint8_t)(at * 7 + size));
	for (size_t at = 0; at < rounded;
	     at += at + 1 < rounded && at + 97 >= rounded ? rounded - 1 - at : 97) {
		assert_int_equal(vm_peek(object + at), (uint8_t)(at * 7 + size));
		struct page *page = vmalloc_to_page(object + at);
		assert_non_null(page);
		assert_ptr_equal(page_find_block(page_to_pfn(page))->owner, area);
	}
	assert_null(vmalloc_to_page(object + rounded));
}

static void an_object_ends_with_its_last_page_at_every_size_and_alignment(void)
{
	static const size_t sizes[] = {1, 7, 8, 100, 4095, 4096, 4097, 8192, 12345, 70 * 4096 - 3};
	unsigned step = 0;

	remember_memory();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t align = 1; align <= PAGE_SIZE; align *= align < 64 ? 2 : 4) {
			test_step(step++);
			char *object = vmalloc_guarded(sizes[i], align);
			assert_non_null(object);
			assert_object(object, sizes[i], align);
			assert_sound(vmalloc_check());
			vfree(object);
		}
	}
	assert_like_before();
}

static void no_alignment_is_one_of_a_byte(void)
{
	char *object = vmalloc_guarded(5, 0);

	assert_non_null(object);
	assert_object(object, 5, 1);
	kvfree(object);
}

/* A range that a CPU keeps has no guard before it. */
static void a_range_that_a_cpu_keeps_does_not_become_a_guarded_area(void)
{
	uint64_t purges = counter_sum(COUNT_RANGE_PURGES);

	while (counter_sum(COUNT_RANGE_PURGES) == purges) {
		void *area = vmalloc(PAGE_SIZE);
		assert_non_null(area);
		vfree(area);
	}
	uint64_t hits = counter_sum(COUNT_RANGE_HITS);
	char *object = vmalloc_guarded(100, 8);
	assert_non_null(object);
	assert_int_equal(counter_sum(COUNT_RANGE_HITS), hits);
	assert_object(object, 100, 8);
	void *area = vmalloc(PAGE_SIZE);
	assert_int_equal(counter_sum(COUNT_RANGE_HITS), hits + 1); /* one was there */
	vfree(area);
	vfree(object);
	assert_sound(vmalloc_check());
}

static void guarded_requests_that_make_no_sense_fail_with_one_warning_each(void)
{
	remember_memory();
	expect_warning("vmalloc_guarded: 0 bytes, gfp 0x8, from *: zero size",
	               assert_null(vmalloc_guarded(0, 8)));
	expect_warning("vmalloc_guarded: 1 bytes, gfp 0x8, from *: bad alignment",
	               assert_null(vmalloc_guarded(1, 3)));
	expect_warning("vmalloc_guarded: 1 bytes, gfp 0x8, from *: bad alignment",
	               assert_null(vmalloc_guarded(1, 2 * PAGE_SIZE)));
	expect_warning("vmalloc_guarded: 18446744073709551615 bytes, gfp 0x8, from *: more than all RAM",
	               assert_null(vmalloc_guarded(SIZE_MAX, PAGE_SIZE)));
	expect_warning("vmalloc_guarded: 18446744073709551600 bytes, gfp 0x8, from *: more than all RAM",
	               assert_null(vmalloc_guarded(SIZE_MAX - 15, 8)));
	assert_like_before();
}

/* ---- Giving back -------------------------------------------------------------------------------------------------- */

static char *victim; /* 100 bytes at the end of one page */
enum { VICTIM_SIZE = 104, VICTIM_OFFSET = 2 * 4096 - 104 /* into its area */ };

static void take_victim(void)
{
	victim = vmalloc_guarded(100, 8);
	assert_non_null(victim);
}

/* The text for vfree(victim + offset), which is not the victim's address. */
static const char *complaint(long offset)
{
	const struct vmap_area *area = find_vm_area(victim);

	if (offset > 0)
		return expected("vfree: 0x%lx is %ld bytes inside the vmalloc area 0x%lx-0x%lx allocated by "
		                "*, from *",
		                (uintptr_t)victim + (uintptr_t)offset, offset, area->va_start, area->va_end);
	return expected("vfree: 0x%lx is %ld bytes before what lies at 0x%lx in the vmalloc area 0x%lx-0x%lx "
	                "allocated by *, from *",
	                (uintptr_t)victim + (uintptr_t)offset, -offset, (uintptr_t)victim, area->va_start,
	                area->va_end);
}

static void only_the_very_pointer_frees_a_guarded_object(void)
{
	static const long offsets[] = {-1,
	                               1,
	                               -8,
	                               8,
	                               VICTIM_SIZE - 1, /* its last byte */
	                               VICTIM_SIZE,     /* its guard, */
	                               VICTIM_SIZE + 4095,
	                               -(VICTIM_OFFSET - 4096), /* the slack's first byte, */
	                               -(VICTIM_OFFSET - 4095), /* the guard's last */
	                               -VICTIM_OFFSET};
	static size_t i;

	take_victim();
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		test_step(i);
		expect_panic(complaint(offsets[i]), vfree(victim + offsets[i]));
	}
	assert_sound(vmalloc_check());
	assert_object(victim, 100, 8);
	vfree(victim);
	expect_panic("vfree: 0x* was freed before, by *; it was in the vmalloc area *", vfree(victim));
	vm_unmap_aliases();
	expect_panic("vfree: 0x* is in no area: freed twice, or never allocated; from *", vfree(victim));
}

static void a_handler_may_free_a_guarded_object(void)
{
	remember_memory();
	take_victim();
	this_cpu()->interrupt_depth++;
	vfree(victim);
	this_cpu()->interrupt_depth--;
	assert_sound(vmalloc_check());
	expect_panic("vfree: 0x* was freed before, by *", vfree(victim));
	assert_like_before();
}

static void each_failure_of_a_guarded_request_leaves_no_trace_and_one_warning(void)
{
	unsigned nth = 1;

	need_injected_failures();
	for (bool refused = true; refused; nth++) {
		test_step(nth);
		remember_memory();
		refuse_allocation(nth);
		void *object = vmalloc_guarded(70 * PAGE_SIZE + 1, 16);
		refused = was_refused(object);
		vfree(object);
		assert_like_before();
	}
	assert_at_least(nth, 4);
}

/* ---- Words -------------------------------------------------------------------------------------------------------- */

static const char *describe(const void *address)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, words, sizeof(words));
	assert_true(vmalloc_describe(vaddr_of(address), &buffer.printer));
	return words;
}

#define VICTIM_WORDS "the vmalloc area 0x* (104 bytes requested, at 0x*, allocated by *)"

static void every_byte_around_a_guarded_object_is_described(void)
{
	take_victim();
	char *guard = victim - VICTIM_OFFSET;
	assert_matches(describe(victim), "byte 0 of " VICTIM_WORDS);
	assert_matches(describe(victim + 103), "byte 103 of " VICTIM_WORDS);
	assert_matches(describe(victim + 104), "1 byte past the end of " VICTIM_WORDS ": its guard page*");
	assert_matches(describe(victim + 104 + 4095),
	               "4096 bytes past the end of " VICTIM_WORDS ": its guard page*");
	assert_matches(describe(victim - 1),
	               "1 byte before the start of " VICTIM_WORDS ": the slack of its first page");
	assert_matches(describe(guard + 4096),
	               "3992 bytes before the start of " VICTIM_WORDS ": the slack of its first page");
	assert_matches(describe(guard + 4095),
	               "3993 bytes before the start of " VICTIM_WORDS ": the guard page before it*");
	assert_matches(describe(guard),
	               "8088 bytes before the start of " VICTIM_WORDS ": the guard page before it*");
	vfree(victim);
	assert_matches(describe(victim),
	               "byte 0 of the vmalloc area 0x* (104 bytes requested, at 0x*, allocated by *, "
	               "freed by *)");
}

/* An area without a guard of its own is run out of into the next one's guard: both are named. */
static void a_guard_page_between_two_areas_is_both_theirs(void)
{
	uintptr_t start = remote();
	char *low = __vmalloc_node_range(5000, 1, start, VMALLOC_END, GFP_KERNEL, PAGE_KERNEL, VM_NO_GUARD,
	                                 NUMA_NO_NODE, NULL);
	char *high = __vmalloc_node_range(PAGE_SIZE, 1, start, VMALLOC_END, GFP_KERNEL, PAGE_KERNEL,
	                                  VM_GUARD_BEFORE, NUMA_NO_NODE, NULL);

	assert_ptr_equal(low, start);
	assert_ptr_equal(high, start + 3 * PAGE_SIZE);
	assert_guarded(find_vm_area(high), 1);
	assert_matches(
	        describe(low + 2 * PAGE_SIZE),
	        "4096 bytes before the start of the vmalloc area 0x* (4096 bytes requested, at 0x*: the guard "
	        "page before it; 3193 bytes past the end of the vmalloc area 0x* (5000 bytes requested, *");
	vfree(high);
	vfree(low);
}

static void vmallocinfo_says_which_areas_are_guarded(void)
{
	struct buffer_printer buffer;

	take_victim();
	const char *line =
	        expected("*0x%016lx-0x%016lx   12288 * pages=1 vmalloc guarded\n*",
	                 (uintptr_t)victim - VICTIM_OFFSET, (uintptr_t)victim + VICTIM_SIZE + PAGE_SIZE);
	buffer_printer_init(&buffer, words, sizeof(words));
	vmallocinfo_dump(&buffer.printer);
	assert_matches(words, line);
	vfree(victim);
}

static void the_picture_shows_a_guard_on_either_side(void)
{
	struct buffer_printer buffer;

	take_victim();
	uintptr_t guard = (uintptr_t)victim - VICTIM_OFFSET;
	buffer_printer_init(&buffer, words, sizeof(words));
	vmalloc_picture(vrange(guard, guard + 3 * PAGE_SIZE), &buffer.printer);
	assert_matches(words, "*0x* |#|\n");
	vfree(victim);
}

/* ---- A guard before areas of each kind ---------------------------------------------------------------------------- */

static void what_is_aligned_is_the_first_page_behind_the_guard(void)
{
	uintptr_t start = remote_for(3 * PMD_SIZE);

	remember_memory();
	for (size_t align = PAGE_SIZE; align <= PMD_SIZE; align *= 8) {
		char *area = __vmalloc_node_range(3 * PAGE_SIZE, align, start, VMALLOC_END, GFP_KERNEL,
		                                  PAGE_KERNEL, VM_GUARD_BEFORE, NUMA_NO_NODE, NULL);
		assert_non_null(area);
		assert_int_equal((uintptr_t)area % align, 0);
		assert_at_least((uintptr_t)area, start + PAGE_SIZE);
		assert_guarded(find_vm_area(area), 3);
		assert_sound(vmalloc_check());
		vfree(area);
	}
	assert_like_before();
}

static void both_guards_must_fit_into_the_range_asked_for(void)
{
	uintptr_t start = remote();

	assert_null(__vmalloc_node_range(3 * PAGE_SIZE, 1, start, start + 4 * PAGE_SIZE,
	                                 GFP_KERNEL | __GFP_NOWARN, PAGE_KERNEL, VM_GUARD_BEFORE,
	                                 NUMA_NO_NODE, NULL));
	char *area = __vmalloc_node_range(3 * PAGE_SIZE, 1, start, start + 5 * PAGE_SIZE, GFP_KERNEL,
	                                  PAGE_KERNEL, VM_GUARD_BEFORE, NUMA_NO_NODE, NULL);
	assert_ptr_equal(area, start + PAGE_SIZE);
	vfree(area);
	/* Without one behind, the one before stays. */
	area = __vmalloc_node_range(3 * PAGE_SIZE, 1, start, start + 4 * PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL,
	                            VM_GUARD_BEFORE | VM_NO_GUARD, NUMA_NO_NODE, NULL);
	assert_ptr_equal(area, start + PAGE_SIZE);
	assert_false(is_mapped(vaddr(start)));
	vfree(area);
}

static void mapped_frames_may_have_a_guard_before_them(void)
{
	struct page *pages[3];

	remember_memory();
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 3, pages), 3);
	char *mapped = vmap(pages, 3, VM_MAP | VM_GUARD_BEFORE, PAGE_KERNEL);
	assert_non_null(mapped);
	assert_guarded(find_vm_area(mapped), 3);
	assert_ptr_equal(vmalloc_to_page(mapped + 2 * PAGE_SIZE), pages[2]);
	expect_panic("vunmap: 0x* is 4096 bytes before what lies at 0x* in the vmap area *",
	             vunmap(mapped - PAGE_SIZE));
	vunmap(mapped);
	mapped = vmap(pages, 3, VM_MAP | VM_MAP_PUT_PAGES | VM_GUARD_BEFORE, PAGE_KERNEL);
	assert_non_null(mapped);
	assert_guarded(find_vm_area(mapped), 3);
	vfree(mapped);
	assert_like_before();
}

static void a_bare_area_with_a_guard_before_says_where_it_begins(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	remember_memory();
	assert_non_null(page);
	struct vmap_area *area = get_vm_area(PAGE_SIZE, VM_MAP | VM_GUARD_BEFORE);
	assert_non_null(area);
	char *start = vm_area_address(area);
	assert_ptr_equal(start, area->va_start + PAGE_SIZE);
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr_of(start), &page, 1, PAGE_KERNEL));
	assert_guarded(area, 1);
	assert_sound(vmalloc_check());
	free_vm_area(area);
	assert_false(is_mapped(vaddr_of(start)));
	area = get_vm_area(5 * PAGE_SIZE, VM_IOREMAP | VM_GUARD_BEFORE);
	assert_non_null(area);
	assert_int_equal((uintptr_t)vm_area_address(area) % (8 * PAGE_SIZE), 0);
	free_vm_area(area);
	assert_like_before();
	__free_page(page);
}

static void permissions_change_within_the_guards_only(void)
{
	remember_memory();
	take_victim();
	uintptr_t page = (uintptr_t)victim & PAGE_MASK;
	assert_true(set_memory_ro(page, 1));
	expect_panic("set_memory_ro: ?0x*, 0x*) reaches out of the area 0x*",
	             (void)!set_memory_ro(page - PAGE_SIZE, 1));
	expect_panic("set_memory_ro: ?0x*, 0x*) reaches out of the area 0x*", (void)!set_memory_ro(page, 2));
	assert_sound(mm_verify());
	vfree(victim);
	assert_like_before();
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

static void the_verifier_sees_a_mapped_guard_before_and_an_object_that_cannot_end_there(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	assert_non_null(page);
	take_victim();
	struct vmap_area *area = find_vm_area(victim);
	uint32_t flags = area->flags;
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr(area->va_start), &page, 1, PAGE_KERNEL));
	const char *said = vmalloc_check();
	assert_true(pagetable_unmap(&kernel_pagetable, vrange_sized(vaddr(area->va_start), PAGE_SIZE), NULL));
	assert_non_null(said);
	assert_matches(said, "V3: the guard page 0x* of the area 0x*-0x* is mapped");
	area->flags = flags & ~(uint32_t)VM_GUARD_BEFORE;
	assert_matches(vmalloc_check(), "V2: the area 0x*-0x* is not what its 104 bytes need");
	area->flags = (flags & ~(uint32_t)VM_ALLOC) | VM_MAP;
	assert_matches(vmalloc_check(), "V2: the area 0x*-0x* has flags 0x*");
	area->flags = flags;
	assert_sound(vmalloc_check());
	vfree(victim);
	__free_page(page);
}

static const struct test_case cases[] = {
        TEST_CASE(an_object_ends_with_its_last_page_at_every_size_and_alignment),
        TEST_CASE(no_alignment_is_one_of_a_byte),
        TEST_CASE(a_range_that_a_cpu_keeps_does_not_become_a_guarded_area),
        TEST_CASE(guarded_requests_that_make_no_sense_fail_with_one_warning_each),
        TEST_CASE(only_the_very_pointer_frees_a_guarded_object),
        TEST_CASE(a_handler_may_free_a_guarded_object),
        TEST_CASE(each_failure_of_a_guarded_request_leaves_no_trace_and_one_warning),
        TEST_CASE(every_byte_around_a_guarded_object_is_described),
        TEST_CASE(a_guard_page_between_two_areas_is_both_theirs),
        TEST_CASE(vmallocinfo_says_which_areas_are_guarded),
        TEST_CASE(the_picture_shows_a_guard_on_either_side),
        TEST_CASE(what_is_aligned_is_the_first_page_behind_the_guard),
        TEST_CASE(both_guards_must_fit_into_the_range_asked_for),
        TEST_CASE(mapped_frames_may_have_a_guard_before_them),
        TEST_CASE(a_bare_area_with_a_guard_before_says_where_it_begins),
        TEST_CASE(permissions_change_within_the_guards_only),
        TEST_CASE(the_verifier_sees_a_mapped_guard_before_and_an_object_that_cannot_end_there),
};

extern const struct test_suite guard_suite;
const struct test_suite guard_suite = TEST_SUITE("vmalloc_guard", cases);
