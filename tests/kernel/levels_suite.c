/*
 * How many levels of page tables the processors walk, and what that makes of addresses: tried out on the live tables. The
 * tables' own promises are in pagetable_suite.c, for both depths on any machine.
 */
#include <arch/cpu.h>
#include <arch/directmap.h>
#include <arch/smp.h>
#include <arch/trap.h>
#include <expected.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include "expect_fault.h"

/* What CPUs saw, each in its own element. */
static uint64_t seen[CPUS_MAX];

static void read_levels(void *unused)
{
	(void)unused;
	seen[this_cpu()->id] = paging_levels();
}

static void every_cpu_walks_five_levels_where_the_first_one_can(void)
{
	unsigned levels = cpu_features.la57 ? 5 : 4;

	assert_int_equal(kernel_pagetable.levels, levels);
	cpu_call(cpus_online(), read_levels, NULL);
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		test_step(id);
		assert_int_equal(seen[id], levels);
	}
}

static void the_way_to_an_address_begins_at_the_root(void)
{
	static char text[1024];
	struct buffer_printer out;

	buffer_printer_init(&out, text, sizeof(text));
	pagetable_dump_walk(&kernel_pagetable, vaddr_of(text), &out.printer);
	assert_matches(
	        text,
	        expected("  level %u table at 0x%lx, entry 511: 0x* table, *\n*  level 1 table *rw- WB*\n",
	                 paging_levels(), kernel_pagetable.root.raw));
}

/* ---- Addresses that only 57 bits reach ---- */

static struct page *frame;

static void read_word(void *address)
{
	seen[this_cpu()->id] = *(volatile uint64_t *)address;
}

static void assert_all_read(const uint64_t *address, uint64_t value)
{
	cpu_call(cpus_online(), read_word, (void *)(uintptr_t)address);
	for (unsigned id = 0; id < nr_cpus_online(); id++)
		assert_int_equal(seen[id], value);
}

static struct vrange page_at(uint64_t va)
{
	return vrange_sized(vaddr(va), PAGE_SIZE);
}

static void assert_is_memory_while_mapped(uint64_t va)
{
	uint64_t *word = (uint64_t *)va;

	expect_page_fault(va, 0, touch_read(word));
	assert_true(pagetable_map(&kernel_pagetable, page_at(va), page_to_paddr(frame), PAGE_KERNEL, 1));
	*word = va ^ 57;
	assert_int_equal(*(uint64_t *)page_address(frame), va ^ 57);
	assert_all_read(word, va ^ 57);
	expect_page_fault(va + PAGE_SIZE, FAULT_WRITE, *(volatile uint8_t *)(va + PAGE_SIZE) = 1);
	assert_true(pagetable_protect(&kernel_pagetable, page_at(va), PAGE_KERNEL_RO));
	expect_page_fault(va, FAULT_PRESENT | FAULT_WRITE, *(volatile uint64_t *)va = 1);
	assert_true(pagetable_unmap(&kernel_pagetable, page_at(va), NULL));
	expect_page_fault(va, 0, touch_read(word));
}

static void assert_is_no_address(uint64_t va)
{
	expect_fault(TRAP_GENERAL_PROTECTION, touch_read((const void *)va));
	assert_int_equal(expected_fault.frame.error, 0);
	expect_panic(
	        expected("pagetable_map: ?0x%lx, 0x%lx) is not a page-aligned range of one canonical half",
	                 va, va + PAGE_SIZE),
	        (void)!pagetable_map(&kernel_pagetable, page_at(va), page_to_paddr(frame), PAGE_KERNEL, 1));
}

static void addresses_of_57_bits_are_memory_with_5_levels_and_none_with_4(void)
{
	static const uint64_t places[] = {0x0000800000000000, 0x0080000012345000, 0xff00000000000000,
	                                  0xff80000012345000, 0xffff7fffffffe000};

	frame = alloc_page(GFP_KERNEL);
	assert_non_null(frame);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		test_step(i);
		if (paging_levels() == 5)
			assert_is_memory_while_mapped(places[i]);
		else
			assert_is_no_address(places[i]);
	}
	__free_page(frame);
}

static const struct test_case cases[] = {
        TEST_CASE(every_cpu_walks_five_levels_where_the_first_one_can),
        TEST_CASE(the_way_to_an_address_begins_at_the_root),
        TEST_CASE(addresses_of_57_bits_are_memory_with_5_levels_and_none_with_4),
};

extern const struct test_suite levels_suite;
const struct test_suite levels_suite = TEST_SUITE("levels", cases);
