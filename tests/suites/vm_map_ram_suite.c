/*
 * Mappings that do not last, on the live system: what they show, that hundreds of them cost one flush, that blocks come and
 * go, what each mistake is told, and that the verifier sees each kind of damage.
 */
#include <arch/irq.h>
#include <arch/smp.h>
#include <expect_broken.h>
#include <expected.h>
#include <scarcity.h>
#include <no_trace.h>
#include <mm/ioremap.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/set_memory.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vm_map_ram_internal.h"
#include "../../mm/vmalloc_internal.h"
#include "vm_access.h"

enum {
	FRAMES = 200,                                          /* more than a block's mapping may have */
	ONES_A_BLOCK = (RAM_BLOCK_PAGES - RAM_FIRST_PAGE) / 2, /* mappings of one page */
	LARGEST_A_BLOCK = RAM_BLOCK_PAGES / (RAM_MAPPING_PAGES + 1UL), /* of RAM_MAPPING_PAGES */
};

static struct page *frames[FRAMES];
static char *held[ONES_A_BLOCK];

/* ---- Helpers ------------------------------------------------------------------------------------------------------ */

/* Frames in an order that no allocator would choose, and nothing left of mappings before. */
static void begin(void)
{
	struct rng rng;

	need_window(64UL << 20, "takes blocks of 2 MiB on each CPU");
	vm_unmap_aliases();
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, FRAMES, frames), FRAMES);
	rng_seed(&rng, test_seed());
	for (size_t i = FRAMES - 1; i; i--) {
		size_t other = rng_below(&rng, i + 1);
		struct page *page = frames[i];
		frames[i] = frames[other];
		frames[other] = page;
	}
	for (size_t i = 0; i < FRAMES; i++)
		*(uint64_t *)page_address(frames[i]) = i;
}

static void end(void)
{
	if (frames[0]) /* else the case was skipped */
		free_pages_bulk(FRAMES, frames);
}

/* frames[first] and those after it */
static char *map_from(size_t first, unsigned count)
{
	char *mapping = vm_map_ram(frames + first, count, NUMA_NO_NODE);
	assert_non_null(mapping);
	return mapping;
}

static char *map(unsigned count)
{
	return map_from(0, count);
}

static bool shows(const char *mapping, size_t first, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (vmalloc_to_page(mapping + i * PAGE_SIZE) != frames[first + i])
			return false;
	return !is_mapped(vaddr_of(mapping + count * PAGE_SIZE)) && !is_mapped(vaddr_of(mapping - 1));
}

static bool is_gone(const char *mapping, unsigned count)
{
	for (unsigned i = 0; i <= count; i++)
		if (is_mapped(vaddr_of(mapping + i * PAGE_SIZE)))
			return false;
	return true;
}

static char *block_of(const void *mapping)
{
	return vaddr_pointer(vaddr(align_down((uintptr_t)mapping, RAM_BLOCK_SIZE)));
}

static struct ram_block *records_of(const void *mapping)
{
	return page_address(vmalloc_to_page(block_of(mapping)));
}

static uint64_t nr_flushes(void)
{
	return counter_sum(COUNT_FLUSH_FULL) / nr_cpus_online();
}

/* ---- What it gives ------------------------------------------------------------------------------------------------ */

static void frames_show_in_the_given_order_between_absent_pages(void)
{
	static const unsigned counts[] = {1, 2, 3, 33, 63, 64, 65, FRAMES};

	remember_memory();
	for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
		test_step(n);
		unsigned count = counts[n];
		char *mapping = map(count);
		assert_true(is_vmalloc_addr(mapping) && is_aligned((uintptr_t)mapping, PAGE_SIZE));
		assert_true(shows(mapping, 0, count));
		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(vm_peek(mapping + i * PAGE_SIZE), i);
			vm_poke(mapping + i * PAGE_SIZE + 77, (uint8_t)(i + 1));
			assert_int_equal(((uint8_t *)page_address(frames[i]))[77], (uint8_t)(i + 1));
		}
		assert_sound(mm_verify());
		vm_unmap_ram(mapping, count);
		assert_true(is_gone(mapping, count));
		assert_int_equal(frames[0]->type, PAGE_HELD);
		assert_sound(mm_verify());
	}
	assert_like_before();
}

static void one_frame_may_show_many_times(void)
{
	struct page *same[3] = {frames[0], frames[0], frames[0]};
	char *mapping = vm_map_ram(same, 3, 0);

	assert_non_null(mapping);
	vm_poke(mapping + 5, 77);
	assert_int_equal(vm_peek(mapping + 2 * PAGE_SIZE + 5), 77);
	vm_unmap_ram(mapping, 3);
}

static void a_mapping_is_writable_and_does_not_execute(void)
{
	struct translation leaf;

	for (unsigned count = 64; count <= 65; count++) {
		char *mapping = map(count);
		assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(mapping), &leaf));
		assert_int_equal(leaf.prot.raw, PAGE_KERNEL.raw);
		assert_int_equal(leaf.level, 1);
		vm_unmap_ram(mapping, count);
	}
}

static void mappings_of_a_cpu_stand_side_by_side_with_a_guard_between(void)
{
	char *first = map_from(0, 3), *second = map_from(10, 1), *third = map_from(20, 64);
	char *fourth = map_from(30, 1);

	assert_ptr_equal(first, block_of(first) + RAM_FIRST_PAGE * PAGE_SIZE);
	assert_ptr_equal(second, first + 4 * PAGE_SIZE);
	assert_ptr_equal(third, second + 2 * PAGE_SIZE);
	assert_ptr_equal(fourth, third + 65 * PAGE_SIZE);
	assert_true(shows(first, 0, 3) && shows(second, 10, 1) && shows(third, 20, 64) &&
	            shows(fourth, 30, 1));
	vm_unmap_ram(second, 1);
	assert_true(shows(first, 0, 3) && is_gone(second, 1) && shows(third, 20, 64));
	/* What is absent stays so until the whole block is flushed. */
	char *fifth = map(1);
	assert_ptr_equal(fifth, fourth + 2 * PAGE_SIZE);
	vm_unmap_ram(fifth, 1);
	vm_unmap_ram(third, 64);
	vm_unmap_ram(first, 3);
	vm_unmap_ram(fourth, 1);
}

/* What runs off the first mapping of a block must not meet what the block is made of. */
static void a_blocks_own_page_is_read_only_and_has_a_guard(void)
{
	char *mapping = map(1), *block = block_of(mapping);
	struct translation leaf;

	assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(block), &leaf));
	assert_int_equal(leaf.prot.raw, PAGE_KERNEL_RO.raw);
	assert_false(is_mapped(vaddr_of(block + PAGE_SIZE)));
	vm_unmap_ram(mapping, 1);
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------- */

static void map_and_unmap(unsigned times, unsigned count)
{
	while (times--)
		vm_unmap_ram(map(count), count);
}

static void a_used_up_block_costs_one_flush_and_none_before(void)
{
	static const struct {
		unsigned pages, a_block;
	} sizes[] = {{1, ONES_A_BLOCK}, {16, 510 / 17}, {32, 510 / 33}};

	for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
		test_step(n);
		vm_unmap_aliases();
		uint64_t flushes = nr_flushes(), asked = counter_sum(COUNT_SHOOTDOWNS);
		map_and_unmap(sizes[n].a_block, sizes[n].pages);
		assert_int_equal(nr_flushes(), flushes);
		assert_int_equal(counter_sum(COUNT_SHOOTDOWNS), asked);
		map_and_unmap(10 * sizes[n].a_block, sizes[n].pages);
		assert_int_equal(nr_flushes(), flushes + 10);
		assert_int_equal(counter_sum(COUNT_SHOOTDOWNS), asked + (nr_cpus_online() > 1 ? 10 : 0));
		assert_sound(mm_verify());
	}
}

static void what_fits_no_more_goes_into_the_next_block(void)
{
	size_t n = 0;

	remember_memory();
	for (; n < LARGEST_A_BLOCK; n++)
		held[n] = map(RAM_MAPPING_PAGES);
	char *first_of_next = map(RAM_MAPPING_PAGES);
	assert_ptr_equal(block_of(held[n - 1]), block_of(held[0]));
	assert_ptr_not_equal(block_of(first_of_next), block_of(held[0]));
	assert_sound(mm_verify());
	while (n--)
		vm_unmap_ram(held[n], RAM_MAPPING_PAGES);
	assert_null(find_vm_area(block_of(held[0]))); /* with its last mapping */
	vm_unmap_ram(first_of_next, RAM_MAPPING_PAGES);
	assert_non_null(find_vm_area(block_of(first_of_next)));
	assert_like_before();
}

/* The last page of a block is the last mapping's guard. */
static void a_block_is_used_to_its_last_page(void)
{
	for (size_t n = 0; n < ONES_A_BLOCK; n++)
		held[n] = map(1);
	assert_ptr_equal(held[ONES_A_BLOCK - 1] + 2 * PAGE_SIZE, block_of(held[0]) + RAM_BLOCK_SIZE);
	assert_sound(mm_verify());
	for (size_t n = 0; n < ONES_A_BLOCK; n++)
		vm_unmap_ram(held[n], 1);
}

/* All of what is left but the guard; a page more would have none. */
static void what_is_left_of_a_block_includes_a_guard(void)
{
	for (unsigned excess = 0; excess < 2; excess++) {
		vm_unmap_aliases();
		char *first = map(1);
		uint32_t next = records_of(first)->next;
		for (; RAM_BLOCK_PAGES - next > RAM_MAPPING_PAGES; next += 21)
			vm_unmap_ram(map(20), 20);
		unsigned count = RAM_BLOCK_PAGES - next - 1 + excess;
		char *last = map(count);
		assert_int_equal(block_of(last) == block_of(first), !excess);
		assert_false(is_mapped(vaddr_of(last + count * PAGE_SIZE)));
		assert_sound(mm_verify());
		vm_unmap_ram(last, count);
		vm_unmap_ram(first, 1);
	}
}

static void a_block_goes_with_its_last_mapping_in_whatever_order(void)
{
	struct rng rng;

	rng_seed(&rng, test_seed());
	remember_memory();
	for (size_t n = 0; n < ONES_A_BLOCK; n++)
		held[n] = map_from(n % FRAMES, 1);
	char *next = map(1);
	for (size_t left = ONES_A_BLOCK; left;) {
		size_t n = rng_below(&rng, left);
		char *mapping = held[n];
		assert_true(vmalloc_to_page(mapping) != NULL);
		vm_unmap_ram(mapping, 1);
		held[n] = held[--left];
		assert_int_equal(find_vm_area(mapping) != NULL, left > 0);
	}
	vm_unmap_ram(next, 1);
	assert_like_before();
}

static void a_block_costs_one_frame_and_one_table(void)
{
	struct vmalloc_stats empty = vmalloc_stats();
	size_t tables = kernel_pagetable.nr_tables;
	char *mapping = map(1);
	struct vmalloc_stats stats = vmalloc_stats();

	assert_int_equal(stats.areas, empty.areas + 1);
	assert_int_equal(stats.used_bytes, empty.used_bytes + RAM_BLOCK_SIZE);
	assert_int_equal(stats.nr_pages, empty.nr_pages + 1);
	assert_at_most(kernel_pagetable.nr_tables,
	               tables + kernel_pagetable.levels - 1); /* its own, and those on the way there */
	vm_unmap_ram(mapping, 1);
	vm_unmap_aliases();
	stats = vmalloc_stats();
	assert_int_equal(stats.areas, empty.areas);
	assert_int_equal(stats.nr_pages, empty.nr_pages);
	assert_int_equal(kernel_pagetable.nr_tables, tables);
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
}

static void a_purge_takes_a_block_that_nobody_uses_and_leaves_others(void)
{
	char *used = map(5), *unused = map(7);

	vm_unmap_ram(unused, 7);
	uint64_t flushes = nr_flushes();
	vm_unmap_aliases();
	assert_at_least(nr_flushes(), flushes + 1); /* what was unmapped beside it */
	flushes = nr_flushes();
	vm_unmap_aliases();
	assert_int_equal(nr_flushes(), flushes); /* and only once */
	assert_true(shows(used, 0, 5));
	char *more = map(1); /* in the same block: it is still this CPU's */
	assert_ptr_equal(block_of(more), block_of(used));
	vm_unmap_ram(used, 5);
	vm_unmap_ram(more, 1);
	assert_non_null(find_vm_area(used));
	vm_unmap_aliases();
	assert_null(find_vm_area(used));
}

/* A block that nobody uses is in the way of the only hole that is large enough. */
static void virtual_space_that_runs_short_is_taken_from_unused_blocks(void)
{
	size_t largest = vmalloc_stats().largest_hole;
	char *mapping = map(1);

	assert_at_most(vmalloc_stats().largest_hole, largest - RAM_BLOCK_SIZE);
	expect_warning("get_vm_area: *: no virtual space",
	               assert_null(get_vm_area(largest - PAGE_SIZE, VM_MAP)));
	vm_unmap_ram(mapping, 1);
	struct vmap_area *area = get_vm_area(largest - PAGE_SIZE, VM_MAP);
	assert_non_null(area);
	free_vm_area(area);
}

/* ---- Refusals and failures ---------------------------------------------------------------------------------------- */

static void what_cannot_be_mapped_is_refused_with_one_warning(void)
{
	remember_memory();
	expect_warning("vm_map_ram: 0 bytes, gfp 0x8, from *: zero size",
	               assert_null(vm_map_ram(frames, 0, NUMA_NO_NODE)));
	expect_warning("vm_map_ram: 4096 bytes, gfp 0x8, from *: no such node",
	               assert_null(vm_map_ram(frames, 1, 1)));
	expect_warning("vm_map_ram: 17592186040320 bytes, gfp 0x8, from *: more than all RAM",
	               assert_null(vm_map_ram(frames, UINT32_MAX, 0)));
	assert_like_before();
}

static void every_failure_inside_leaves_no_trace_and_one_warning(void)
{
	static const unsigned counts[] = {1, 64, 65};
	bool reasons[3] = {false};

	need_injected_failures();
	for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
		bool refused = true;
		unsigned nth = 0;
		while (refused) {
			test_step(n * 100 + ++nth);
			remember_memory();
			refuse_allocation(nth);
			char *mapping = vm_map_ram(frames, counts[n], NUMA_NO_NODE);
			refused = was_refused(mapping);
			if (mapping)
				vm_unmap_ram(mapping, counts[n]);
			else if (glob_match("*no virtual space", test_warning_last()))
				reasons[0] = true;
			else if (glob_match("*no area descriptor", test_warning_last()))
				reasons[1] = true;
			else if (glob_match("vm_map_ram: *no frames", test_warning_last()))
				reasons[2] = true;
			assert_like_before();
		}
		assert_at_least(nth, 3);
	}
	assert_true(reasons[0] && reasons[1] && reasons[2]);
}

static void without_tables_there_is_no_block_but_what_is_there_goes_on(void)
{
	static const unsigned counts[] = {1, FRAMES};
	char *mapping;

	for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
		remember_memory();
		test_warnings_begin();
		take_all_tables(NULL);
		mapping = vm_map_ram(frames, counts[n], NUMA_NO_NODE);
		give_tables();
		if (mapping) /* the large one may have lain beside others, in tables that are there */
			vm_unmap_ram(mapping, counts[n]);
		assert_int_equal(test_warnings_end(), mapping ? 0 : 1);
		assert_true(n || !mapping);
		if (!mapping)
			assert_matches(test_warning_last(),
			               "vm_map_ram: *, gfp 0x8, from *: no page-table page");
		assert_like_before();
	}
	char *first = map(1);
	take_all_tables(NULL);
	mapping = vm_map_ram(frames, 64, NUMA_NO_NODE);
	give_tables();
	assert_non_null(mapping);
	vm_unmap_ram(mapping, 64);
	vm_unmap_ram(first, 1);
}

/* A block that cannot be had does not cost the one that is there: what fits into it still does. */
static void a_block_that_cannot_be_had_leaves_this_cpu_its_old_one(void)
{
	char *first = map(1);

	for (unsigned n = 0; n < LARGEST_A_BLOCK; n++)
		held[n] = map(63);
	test_warnings_begin();
	take_all_tables(NULL);
	char *refused = vm_map_ram(frames, 64, NUMA_NO_NODE);
	give_tables();
	assert_int_equal(test_warnings_end(), 1);
	assert_null(refused);
	char *last = map(50);
	assert_ptr_equal(block_of(last), block_of(first));
	for (unsigned n = 0; n < LARGEST_A_BLOCK; n++)
		vm_unmap_ram(held[n], 63);
	vm_unmap_ram(first, 1);
	vm_unmap_ram(last, 50);
}

/* ---- Mistakes ----------------------------------------------------------------------------------------------------- */

static char *victim;

static void a_wrong_count_is_reported_and_changes_nothing(void)
{
	static unsigned count;

	for (count = 3; count <= 65; count += 62) {
		victim = map(count);
		expect_panic(expected("vm_unmap_ram: %p has %u pages, not %u, mapped by *, from *",
		                      (void *)victim, count, count + 1),
		             vm_unmap_ram(victim, count + 1));
		expect_panic(expected("vm_unmap_ram: %p has %u pages, not 0, mapped by *, from *",
		                      (void *)victim, count),
		             vm_unmap_ram(victim, 0));
		assert_true(shows(victim, 0, count));
		assert_sound(mm_verify());
		vm_unmap_ram(victim, count);
	}
	victim = map(1);
	expect_panic(expected("vm_unmap_ram: %p has 1 page, not 64, mapped by *, from *", (void *)victim),
	             vm_unmap_ram(victim, 64));
	vm_unmap_ram(victim, 1);
}

static void unmapping_twice_names_both(void)
{
	victim = map(2);
	vm_unmap_ram(victim, 2);
	for (unsigned count = 2; count <= 3; count++)
		expect_panic(
		        expected("vm_unmap_ram: %p was freed before, by *; it was in the vm_map_ram area "
		                 "%p-%p allocated by *, from *",
		                 (void *)victim, (void *)victim, (void *)(victim + 3 * PAGE_SIZE)),
		        vm_unmap_ram(victim, count));
	vm_unmap_aliases();
	expect_panic(expected("vm_unmap_ram: %p is in no area: freed twice, or never allocated; from *",
	                      (void *)victim),
	             vm_unmap_ram(victim, 2));
	victim = map(65);
	vm_unmap_ram(victim, 65);
	expect_panic(
	        expected(
	                "vm_unmap_ram: %p was freed before, by *; it was in the vm_map_ram area %p-%p allocated by *, from *",
	                (void *)victim, (void *)victim, (void *)(victim + 66 * PAGE_SIZE)),
	        vm_unmap_ram(victim, 65));
	vm_unmap_aliases();
	expect_panic(expected("vm_unmap_ram: %p is in no area: freed twice, or never allocated; from *",
	                      (void *)victim),
	             vm_unmap_ram(victim, 65));
}

static void an_address_inside_a_mapping_or_beside_one_is_reported(void)
{
	static const unsigned inside[] = {1, 4096, 2 * 4096, 2 * 4096 + 4095};

	victim = map(2);
	for (size_t n = 0; n < ARRAY_SIZE(inside); n++)
		expect_panic(expected("vm_unmap_ram: %p is %u bytes inside the vm_map_ram area %p-%p "
		                      "allocated by *, from *",
		                      (void *)(victim + inside[n]), inside[n], (void *)victim,
		                      (void *)(victim + 3 * PAGE_SIZE)),
		             vm_unmap_ram(victim + inside[n], 2));
	expect_panic(
	        expected("vm_unmap_ram: %p is in a block of vm_map_ram(), where nothing is mapped, from *",
	                 (void *)(victim + 3 * PAGE_SIZE)),
	        vm_unmap_ram(victim + 3 * PAGE_SIZE, 1));
	expect_panic(
	        expected("vm_unmap_ram: %p is in a block of vm_map_ram(), where nothing is mapped, from *",
	                 (void *)block_of(victim)),
	        vm_unmap_ram(block_of(victim), 1));
	expect_panic(
	        expected("vm_unmap_ram: %p is in a block of vm_map_ram(), where nothing is mapped, from *",
	                 (void *)(victim - PAGE_SIZE)),
	        vm_unmap_ram(victim - PAGE_SIZE, 1));
	assert_true(shows(victim, 0, 2));
	assert_sound(mm_verify());
	vm_unmap_ram(victim, 2);
}

static void addresses_of_others_are_reported(void)
{
	static char *area, *shown;
	static struct vmap_area *plain;

	area = vmalloc(PAGE_SIZE);
	shown = vmap(frames, 1, VM_MAP, PAGE_KERNEL);
	plain = get_vm_area(PAGE_SIZE, VM_IOREMAP);
	assert_true(area && shown && plain);
	expect_panic(
	        expected("vm_unmap_ram: %p is a vmalloc area allocated by *, to be freed by vfree(), from *",
	                 (void *)area),
	        vm_unmap_ram(area, 1));
	expect_panic(
	        expected("vm_unmap_ram: %p is a vmap area allocated by *, to be freed by vunmap(), from *",
	                 (void *)shown),
	        vm_unmap_ram(shown, 1));
	expect_panic(
	        expected("vm_unmap_ram: 0x%lx is a ioremap area allocated by *, to be freed by iounmap(), "
	                 "from *",
	                 plain->va_start),
	        vm_unmap_ram((void *)plain->va_start, 1));
	expect_panic("vm_unmap_ram: 0x0 is no vmalloc address, from *: NULL page, offset 0x0",
	             vm_unmap_ram(NULL, 1));
	expect_panic(expected("vm_unmap_ram: 0x%lx is no vmalloc address, from *: direct map, frame 0x%lx *",
	                      (uintptr_t)page_address(frames[0]), page_to_pfn(frames[0]).raw),
	             vm_unmap_ram(page_address(frames[0]), 1));
	free_vm_area(plain);
	vunmap(shown);
	vfree(area);
}

static void other_calls_do_not_free_a_mapping(void)
{
	static unsigned count;

	for (count = 2; count <= 65; count += 63) {
		victim = map(count);
		expect_panic(expected("vfree: %p is a vm_map_ram area allocated by *, to be freed by "
		                      "vm_unmap_ram(), from *",
		                      (void *)victim),
		             vfree(victim));
		expect_panic(expected("vunmap: %p is a vm_map_ram area allocated by *, to be freed by "
		                      "vm_unmap_ram(), from *",
		                      (void *)victim),
		             vunmap(victim));
		expect_panic(expected("iounmap: %p is a vm_map_ram area allocated by *, to be freed by "
		                      "vm_unmap_ram(), from *",
		                      (void *)victim),
		             iounmap(victim));
		expect_panic(expected("free_vm_area: %p is *vm_map_ram*, from *",
		                      (void *)find_vm_area(victim)->va_start),
		             free_vm_area(find_vm_area(victim)));
		expect_panic(
		        expected("set_memory_ro: %p is in a vm_map_ram area, whose frames are not its own",
		                 (void *)victim),
		        (void)!set_memory_ro((uintptr_t)victim, 1));
		assert_true(shows(victim, 0, count));
		assert_sound(mm_verify());
		vm_unmap_ram(victim, count);
	}
	victim = map(1);
	expect_panic(expected("vunmap: %p is in a block of vm_map_ram(), where nothing is mapped, from *",
	                      (void *)block_of(victim)),
	             vunmap(block_of(victim)));
	expect_panic(expected("vfree: %p is in a block of vm_map_ram(), where nothing is mapped, from *",
	                      (void *)block_of(victim)),
	             vfree(block_of(victim)));
	vm_unmap_ram(victim, 1);
}

static void in_interrupt_context_both_calls_are_reported(void)
{
	victim = map(1);
	this_cpu()->interrupt_depth++;
	expect_panic("vm_map_ram: in interrupt context, from *", (void)!vm_map_ram(frames, 1, NUMA_NO_NODE));
	expect_panic("vm_unmap_ram: in interrupt context, from *", vm_unmap_ram(victim, 1));
	this_cpu()->interrupt_depth--;
	vm_unmap_ram(victim, 1);
}

/* ---- Views -------------------------------------------------------------------------------------------------------- */

static const char *description(const void *address)
{
	static char text[400];
	struct buffer_printer out;

	buffer_printer_init(&out, text, sizeof(text));
	assert_true(vmalloc_describe(vaddr_of(address), &out.printer));
	return text;
}

static void each_address_of_a_block_is_described(void)
{
	char *first = map(2), *second = map(1);

	assert_matches(
	        description(first + 5000),
	        expected("byte 5000 of the vm_map_ram area %p-%p (8192 bytes requested, allocated by *)",
	                 (void *)first, (void *)(first + 3 * PAGE_SIZE)));
	assert_matches(
	        description(first + 2 * PAGE_SIZE),
	        expected("1 byte past the end of the vm_map_ram area %p-%p (8192 *): its guard page; 4096 "
	                 "bytes before the start of the vm_map_ram area %p-%p (4096 *)",
	                 (void *)first, (void *)second, (void *)second, (void *)(second + 2 * PAGE_SIZE)));
	assert_matches(description(second + PAGE_SIZE), "1 byte past the end of *: its guard page");
	assert_matches(description(second + 2 * PAGE_SIZE),
	               expected("mapped by nobody, in a block of the vm_map_ram area %p-%p (2097152 bytes "
	                        "requested, allocated by *)",
	                        (void *)block_of(first), (void *)(block_of(first) + RAM_BLOCK_SIZE)));
	assert_matches(description(block_of(first)), "mapped by nobody, in a block of *");
	vm_unmap_ram(first, 2);
	assert_matches(description(first),
	               expected("byte 0 of the vm_map_ram area %p-%p (8192 bytes requested, allocated by *, "
	                        "freed by *)",
	                        (void *)first, (void *)second));
	vm_unmap_ram(second, 1);
}

static const char *info_line(const void *start)
{
	static char text[1 << 16];
	struct buffer_printer out;
	char begins[32];

	buffer_printer_init(&out, text, sizeof(text));
	vmallocinfo_dump(&out.printer);
	format_buffer(begins, sizeof(begins), "0x%016lx-*", (uintptr_t)start);
	for (char *line = text, *eol; (eol = strchr(line, '\n')); line = eol + 1) {
		*eol = '\0';
		if (glob_match(begins, line))
			return line;
	}
	return "(no such line)";
}

static void vmallocinfo_has_a_line_for_a_block_and_for_a_large_mapping(void)
{
	char *small = map(1), *large = map(100);

	assert_matches(info_line(block_of(small)),
	               expected("%p-%p 2097152 * vm_map_ram", (void *)block_of(small),
	                        (void *)(block_of(small) + RAM_BLOCK_SIZE)));
	assert_matches(info_line(large), "0x*-0x*  413696 * vm_map_ram");
	vm_unmap_ram(large, 100);
	vm_unmap_ram(small, 1);
}

/* ---- At random ---------------------------------------------------------------------------------------------------- */

enum { SLOTS = 40, STEPS = 1500 };

static struct slot {
	char *mapping; /* NULL: none */
	size_t first;
	unsigned count;
} slots[SLOTS];

/* No page of two mappings is the same, guards included; each shows its own frames still. */
static void assert_as_listed(const struct slot *changed)
{
	for (const struct slot *slot = slots; slot < slots + SLOTS; slot++) {
		if (!slot->mapping)
			continue;
		assert_true(shows(slot->mapping, slot->first, slot->count));
		size_t size = (slot->count + 1) * PAGE_SIZE;
		if (slot != changed && changed->mapping)
			assert_true(changed->mapping >= slot->mapping + size ||
			            slot->mapping >= changed->mapping + (changed->count + 1) * PAGE_SIZE);
	}
}

static void a_long_random_life_agrees_with_a_list(void)
{
	struct rng rng;
	size_t purged = 0;

	remember_memory();
	memset(slots, 0, sizeof(slots));
	rng_seed(&rng, test_seed());
	for (size_t step = 0; step < STEPS + SLOTS; step++) {
		test_step(step);
		struct slot *slot = &slots[step < STEPS ? rng_below(&rng, SLOTS) : step - STEPS];
		if (slot->mapping) {
			vm_unmap_ram(slot->mapping, slot->count);
			assert_true(is_gone(slot->mapping, slot->count));
			slot->mapping = NULL;
		} else if (step < STEPS) {
			slot->count = 1 + (unsigned)rng_below(&rng, rng_below(&rng, 8) ? 20 : 70);
			slot->first = rng_below(&rng, FRAMES - slot->count);
			slot->mapping = map_from(slot->first, slot->count);
		}
		if (rng_below(&rng, 50) == 0) {
			vm_unmap_aliases();
			purged++;
		}
		assert_as_listed(slot);
		if (step % 16 == 0)
			assert_sound(vmalloc_check());
	}
	assert_at_least(purged, 5);
	assert_like_before();
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

#define expect_broken(pattern, damage, repair) expect_broken_by(vmalloc_check(), pattern, damage, repair)

static struct ram_block *records; /* of the victim: three pages in use, then one unmapped */

static void set_up_victim(void)
{
	victim = map(3);
	vm_unmap_ram(map(1), 1);
	records = records_of(victim);
}

static void free_victim(void)
{
	assert_sound(vmalloc_check());
	vm_unmap_ram(victim, 3);
}

static void protect(char *page, pgprot_t prot)
{
	assert_true(pagetable_protect(&kernel_pagetable, vrange_sized(vaddr_of(page), PAGE_SIZE), prot));
}

static void unmap_page(char *page)
{
	assert_true(pagetable_unmap(&kernel_pagetable, vrange_sized(vaddr_of(page), PAGE_SIZE), NULL));
}

static void map_page(char *page, size_t n)
{
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr_of(page), &frames[n], 1, PAGE_KERNEL));
}

static void the_verifier_sees_W1_a_block_that_is_none(void)
{
	static struct vmap_area *area;

	set_up_victim();
	area = records->area;
	expect_broken("W1: 0x*-0x* is no block", records->area = NULL, records->area = area);
	expect_broken("W1: 0x*-0x* is no block", protect(block_of(victim), PAGE_KERNEL),
	              protect(block_of(victim), PAGE_KERNEL_RO));
	expect_broken("W1: 0x*-0x* is no block", virt_to_page(records)->owner = NULL,
	              virt_to_page(records)->owner = area);
	free_victim();
}

static void the_verifier_sees_W2_what_is_mapped_and_should_not_be(void)
{
	set_up_victim();
	char *stray[] = {victim - PAGE_SIZE, victim + 3 * PAGE_SIZE, victim + 4 * PAGE_SIZE,
	                 victim + 6 * PAGE_SIZE, block_of(victim) + RAM_BLOCK_SIZE - PAGE_SIZE};
	for (size_t n = 0; n < ARRAY_SIZE(stray); n++) {
		test_step(n);
		expect_broken(
		        n ? expected("W2: %p belongs to no mapping and is mapped", (void *)stray[n])
		          : expected("W2: the guard %p of the block's own page is mapped", (void *)stray[n]),
		        map_page(stray[n], 9), unmap_page(stray[n]));
	}
	free_victim();
}

static void the_verifier_sees_W2_what_is_not_mapped_as_it_should_be(void)
{
	set_up_victim();
	char *second = victim + PAGE_SIZE;
	expect_broken(expected("W2: %p belongs to a mapping and is not mapped as one", (void *)second),
	              unmap_page(second), map_page(second, 1));
	expect_broken(expected("W2: %p belongs to a mapping and is not mapped as one", (void *)second),
	              protect(second, PAGE_KERNEL_RO), protect(second, PAGE_KERNEL));
	struct ram_mapping *mapping = &records->mappings[RAM_FIRST_PAGE / 2];
	expect_broken(expected("W2: no mapping begins at %p", (void *)victim), mapping->first++,
	              mapping->first--);
	expect_broken(expected("W2: no mapping begins at %p", (void *)victim), mapping->pages = 0,
	              mapping->pages = 3);
	expect_broken("W2: no mapping begins at 0x*", records->next++, records->next--);
	free_victim();
}

static void the_verifier_sees_W3_a_wrong_number_of_users(void)
{
	set_up_victim();
	expect_broken("W3: the block 0x*-0x* has 2 users, counted as 3", records->users++, records->users--);
	expect_broken("W3: the block 0x*-0x* has 2 users, counted as 0", records->users = 0,
	              records->users = 2);
	expect_broken("W3: the block 0x*-0x* has 1 users, counted as 2", ram_current[this_cpu()->id] = NULL,
	              ram_current[this_cpu()->id] = records);
	free_victim();
}

static void the_verifier_sees_W4_blocks_that_are_nobodys_or_of_two(void)
{
	set_up_victim();
	expect_broken("W4: 2 CPUs map in the block 0x*-0x*", ram_current[CPUS_MAX - 1] = records,
	              ram_current[CPUS_MAX - 1] = NULL);
	expect_broken(expected("W4: CPU %u maps in 0x*, which is no block", CPUS_MAX - 1),
	              ram_current[CPUS_MAX - 1] = page_address(frames[0]), ram_current[CPUS_MAX - 1] = NULL);
	free_victim();
}

static const struct test_case cases[] = {
        TEST_CASE(frames_show_in_the_given_order_between_absent_pages),
        TEST_CASE(one_frame_may_show_many_times),
        TEST_CASE(a_mapping_is_writable_and_does_not_execute),
        TEST_CASE(mappings_of_a_cpu_stand_side_by_side_with_a_guard_between),
        TEST_CASE(a_blocks_own_page_is_read_only_and_has_a_guard),
        TEST_CASE(a_used_up_block_costs_one_flush_and_none_before),
        TEST_CASE(what_fits_no_more_goes_into_the_next_block),
        TEST_CASE(a_block_is_used_to_its_last_page),
        TEST_CASE(what_is_left_of_a_block_includes_a_guard),
        TEST_CASE(a_block_goes_with_its_last_mapping_in_whatever_order),
        TEST_CASE(a_block_costs_one_frame_and_one_table),
        TEST_CASE(a_purge_takes_a_block_that_nobody_uses_and_leaves_others),
        TEST_CASE(virtual_space_that_runs_short_is_taken_from_unused_blocks),
        TEST_CASE(what_cannot_be_mapped_is_refused_with_one_warning),
        TEST_CASE(every_failure_inside_leaves_no_trace_and_one_warning),
        TEST_CASE(without_tables_there_is_no_block_but_what_is_there_goes_on),
        TEST_CASE(a_block_that_cannot_be_had_leaves_this_cpu_its_old_one),
        TEST_CASE(a_wrong_count_is_reported_and_changes_nothing),
        TEST_CASE(unmapping_twice_names_both),
        TEST_CASE(an_address_inside_a_mapping_or_beside_one_is_reported),
        TEST_CASE(addresses_of_others_are_reported),
        TEST_CASE(other_calls_do_not_free_a_mapping),
        TEST_CASE(in_interrupt_context_both_calls_are_reported),
        TEST_CASE(each_address_of_a_block_is_described),
        TEST_CASE(vmallocinfo_has_a_line_for_a_block_and_for_a_large_mapping),
        TEST_CASE(a_long_random_life_agrees_with_a_list),
        TEST_CASE(the_verifier_sees_W1_a_block_that_is_none),
        TEST_CASE(the_verifier_sees_W2_what_is_mapped_and_should_not_be),
        TEST_CASE(the_verifier_sees_W2_what_is_not_mapped_as_it_should_be),
        TEST_CASE(the_verifier_sees_W3_a_wrong_number_of_users),
        TEST_CASE(the_verifier_sees_W4_blocks_that_are_nobodys_or_of_two),
};

extern const struct test_suite vm_map_ram_suite;
const struct test_suite vm_map_ram_suite = TEST_SUITE("vm_map_ram", cases, .set_up = begin, .tear_down = end);
