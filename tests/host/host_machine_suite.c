/*
 * The hosted machine itself: were its processor wrong, every claim about page tables and flushes would be
 * worth little. Tables are written by hand, word by word, below one slot of a root that otherwise equals the
 * live one, so that the windows mm/ works through stay open meanwhile. All of it is done with 4 levels and with 5,
 * whichever the live tables have.
 */
#include <arch/irq.h>
#include <arch/pte.h>
#include <arch/spinlock.h>
#include <arch/tlb.h>
#include <host/machine.h>
#include <host/soft_mmu.h>
#include <lib/panic.h>
#include <mm/ioremap.h>
#include <mm/pagetable.h>
#include <test/test.h>
#include "expected.h"

enum { TABLES = 5, SLOT = 1 };

/* The lowest address that the private slot translates. */
#define SLOT_BASE (SLOT * pt_level_size(levels))

/* Tables by level (5 first, which is idle if the root is of level 4), then two frames of data. */
static struct page *frames[TABLES + 2];
static uint64_t *table[TABLES + 1];
static unsigned levels;
static paddr_t data[2];

static void link_table(unsigned level, unsigned index, unsigned below)
{
	table[level][index] = page_to_paddr(frames[TABLES - below]).raw | PTE_PRESENT | PTE_WRITE;
}

/* The live root's contents, if both are of one level; else what concerns the lower half, in which the host's windows are. */
static void copy_live_root(void)
{
	const pte_t *live = paddr_to_directmap(kernel_pagetable.root);

	if (kernel_pagetable.levels < levels) {
		table[levels][0] = pte_table(kernel_pagetable.root).raw;
		return;
	}
	if (kernel_pagetable.levels > levels)
		live = paddr_to_directmap(pte_table_paddr(live[0]));
	memcpy(table[levels], live, PAGE_SIZE);
}

static void build_tables(unsigned how_many)
{
	levels = how_many;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		frames[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		assert_non_null(frames[i]);
	}
	for (unsigned level = TABLES; level > 0; level--)
		table[level] = page_address(frames[TABLES - level]);
	data[0] = page_to_paddr(frames[TABLES]);
	data[1] = page_to_paddr(frames[TABLES + 1]);

	copy_live_root();
	assert_int_equal(table[levels][SLOT], 0);
	for (unsigned level = levels; level > 1; level--)
		link_table(level, level == levels ? SLOT : 0, level - 1);
	table[1][0] = data[0].raw | PTE_PRESENT | PTE_WRITE;
	host_mmu_load_root(page_to_paddr(frames[TABLES - levels]), levels);
}

static void build_4_levels(void)
{
	build_tables(4);
}

static void build_5_levels(void)
{
	build_tables(5);
}

static void drop_tables(void)
{
	host_mmu_load_root(kernel_pagetable.root, kernel_pagetable.levels);
	free_pages_bulk(ARRAY_SIZE(frames), frames);
}

static void assert_reaches(uint64_t va, enum host_access access, uint64_t expected)
{
	paddr_t pa;
	struct host_fault fault = {0};
	if (!host_mmu_translate(vaddr(va), access, &pa, &fault))
		fail_msg("0x%lx faults: vector %u, error 0x%x", va, fault.vector, fault.error);
	assert_int_equal(pa.raw, expected);
}

static void assert_faults(uint64_t va, enum host_access access, unsigned vector, unsigned error)
{
	paddr_t pa;
	struct host_fault fault = {0};
	assert_false(host_mmu_translate(vaddr(va), access, &pa, &fault));
	assert_int_equal(fault.vector, vector);
	assert_int_equal(fault.error, error);
}

/* ---- Translation ---- */

static void a_small_page_translates_and_holds_what_was_written(void)
{
	uint8_t byte = 0;

	assert_reaches(SLOT_BASE + 0x123, HOST_READ, data[0].raw + 0x123);
	assert_true(host_mmu_write(vaddr(SLOT_BASE + 5), 42, NULL));
	assert_int_equal(*((uint8_t *)paddr_to_directmap(data[0]) + 5), 42);
	assert_true(host_mmu_read(vaddr(SLOT_BASE + 5), &byte, NULL));
	assert_int_equal(byte, 42);
	assert_faults(SLOT_BASE + PAGE_SIZE, HOST_READ, TRAP_PAGE_FAULT, 0);
	assert_false(host_mmu_write(vaddr(SLOT_BASE + PAGE_SIZE), 1, NULL));
}

static void large_leaves_translate_every_offset(void)
{
	table[2][1] = 0x800000 | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	table[3][1] = 0x40000000 | PTE_PRESENT | PTE_LARGE | PTE_NO_EXEC;
	assert_reaches(SLOT_BASE + PMD_SIZE, HOST_READ, 0x800000);
	assert_reaches(SLOT_BASE + 2 * PMD_SIZE - 1, HOST_WRITE, 0x9fffff);
	assert_reaches(SLOT_BASE + PUD_SIZE + 0x12345678, HOST_READ, 0x52345678);
	assert_faults(SLOT_BASE + PUD_SIZE, HOST_WRITE, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_WRITE);
	assert_faults(SLOT_BASE + PUD_SIZE, HOST_FETCH, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_FETCH);
}

static void permissions_are_the_least_of_all_levels(void)
{
	assert_reaches(SLOT_BASE, HOST_FETCH, data[0].raw);
	for (unsigned level = 1; level <= levels; level++) {
		uint64_t *entry = &table[level][level == levels ? SLOT : 0];
		*entry &= ~PTE_WRITE;
		tlb_flush_all();
		assert_faults(SLOT_BASE, HOST_WRITE, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_WRITE);
		*entry = (*entry | PTE_WRITE) | PTE_NO_EXEC;
		tlb_flush_all();
		assert_reaches(SLOT_BASE, HOST_WRITE, data[0].raw);
		assert_faults(SLOT_BASE, HOST_FETCH, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_FETCH);
		*entry &= ~PTE_NO_EXEC;
		tlb_flush_all();
	}
}

static void absent_entries_reserved_bits_and_wild_addresses_fault(void)
{
	static const uint64_t beyond_processor = 1UL << 51;
	uint64_t half = levels == 4 ? 1UL << 47 : 1UL << 56;

	assert_faults(SLOT_BASE + 5 * PUD_SIZE, HOST_WRITE, TRAP_PAGE_FAULT, FAULT_WRITE);
	assert_faults(half, HOST_READ, TRAP_GENERAL_PROTECTION, 0);
	assert_faults(-half - 1, HOST_READ, TRAP_GENERAL_PROTECTION, 0);
	assert_faults(half - 1, HOST_READ, TRAP_PAGE_FAULT, 0);
	assert_faults(-half, HOST_WRITE, TRAP_PAGE_FAULT, FAULT_WRITE);

	table[1][2] = data[0].raw | beyond_processor | PTE_PRESENT;
	assert_faults(SLOT_BASE + 2 * PAGE_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	table[2][3] = 0x800000 | PAGE_SIZE << 1 | PTE_PRESENT | PTE_LARGE;
	assert_faults(SLOT_BASE + 3 * PMD_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	table[2][4] = 0x3ffffffff000 | PTE_PRESENT; /* a table where no RAM is */
	assert_faults(SLOT_BASE + 4 * PMD_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	for (unsigned level = 4; level <= levels; level++) {
		uint64_t *entry = &table[level][level == levels ? SLOT : 0];
		uint64_t kept = *entry;
		/* At 0, which is aligned to any size: wrong for its size alone. */
		*entry = PTE_PRESENT | PTE_LARGE;
		assert_faults(SLOT_BASE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
		*entry = kept;
	}
}

static void addresses_of_57_bits_are_translated_by_5_levels_and_wild_with_4(void)
{
	static const uint64_t places[] = {0x0033000000000123, 0xff44000000000123};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		test_step(i);
		if (levels == 4) {
			assert_faults(places[i], HOST_READ, TRAP_GENERAL_PROTECTION, 0);
			continue;
		}
		assert_faults(places[i], HOST_READ, TRAP_PAGE_FAULT, 0);
		link_table(5, places[i] >> 48 & 511, 4);
		assert_reaches(places[i], HOST_READ, data[0].raw + 0x123);
	}
}

static void nothing_answers_where_there_is_no_ram(void)
{
	uint8_t byte = 0;

	table[1][0] = 0xfee00000 | PTE_PRESENT | PTE_WRITE;
	tlb_flush_all();
	assert_true(host_mmu_write(vaddr(SLOT_BASE), 1, NULL));
	assert_true(host_mmu_read(vaddr(SLOT_BASE), &byte, NULL));
	assert_int_equal(byte, 0xff);
}

/* ---- Remembering and forgetting ---- */

static void a_translation_is_remembered_until_it_is_flushed(void)
{
	assert_reaches(SLOT_BASE, HOST_READ, data[0].raw);
	assert_int_equal(host_tlb_cached(vrange(SLOT_BASE, SLOT_BASE + PGD_SIZE)), 1);
	assert_int_equal(host_tlb_leading_to(prange(data[0].raw, data[0].raw + PAGE_SIZE)), 1);

	table[1][0] = data[1].raw | PTE_PRESENT | PTE_WRITE;
	assert_reaches(SLOT_BASE, HOST_READ, data[0].raw);
	tlb_flush_range(vrange(SLOT_BASE + PAGE_SIZE, SLOT_BASE + 2 * PAGE_SIZE));
	assert_reaches(SLOT_BASE, HOST_READ, data[0].raw);
	tlb_flush_range(vrange(SLOT_BASE, SLOT_BASE + PAGE_SIZE));
	assert_int_equal(host_tlb_cached(vrange(SLOT_BASE, SLOT_BASE + PGD_SIZE)), 0);
	assert_reaches(SLOT_BASE, HOST_READ, data[1].raw);
}

static void an_absent_page_is_not_remembered(void)
{
	assert_faults(SLOT_BASE + PAGE_SIZE, HOST_READ, TRAP_PAGE_FAULT, 0);
	table[1][1] = data[1].raw | PTE_PRESENT;
	assert_reaches(SLOT_BASE + PAGE_SIZE, HOST_READ, data[1].raw);
}

static void flushes_count_as_single_up_to_a_limit_and_as_full_beyond(void)
{
	struct tlb_stats before = tlb_stats();

	tlb_flush_range(vrange(SLOT_BASE, SLOT_BASE + TLB_FLUSH_SINGLE_MAX * PAGE_SIZE));
	assert_int_equal(tlb_stats().single - before.single, TLB_FLUSH_SINGLE_MAX);
	assert_int_equal(tlb_stats().full, before.full);

	assert_reaches(SLOT_BASE, HOST_READ, data[0].raw);
	tlb_flush_range(vrange(SLOT_BASE, SLOT_BASE + (TLB_FLUSH_SINGLE_MAX + 1) * PAGE_SIZE));
	assert_int_equal(tlb_stats().single - before.single, TLB_FLUSH_SINGLE_MAX);
	assert_int_equal(tlb_stats().full - before.full, 1);
	assert_int_equal(host_tlb_cached(vrange(0, UINT64_MAX)), 0);
}

static void a_forgotten_flush_is_found(void)
{
	assert_reaches(SLOT_BASE, HOST_WRITE, data[0].raw);
	assert_sound(host_tlb_check());
	uint64_t kept = table[1][0];

	table[1][0] = 0;
	assert_matches(host_tlb_check(),
	               expected("TLB of CPU 0: 0x%lx was unmapped without a flush", SLOT_BASE));
	table[1][0] = data[1].raw | PTE_PRESENT | PTE_WRITE;
	assert_matches(
	        host_tlb_check(),
	        expected("TLB of CPU 0: 0x%lx was moved from frame 0x* to 0x* without a flush", SLOT_BASE));
	table[1][0] = kept & ~PTE_WRITE;
	assert_matches(host_tlb_check(),
	               expected("TLB of CPU 0: 0x%lx lost a permission without a flush", SLOT_BASE));
	table[1][0] = kept | PTE_NO_EXEC;
	assert_matches(host_tlb_check(),
	               expected("TLB of CPU 0: 0x%lx lost a permission without a flush", SLOT_BASE));
	table[1][0] = kept;
	assert_sound(host_tlb_check());
}

/* ---- RAM, and the harness ---- */

static void the_bus_reaches_ram_and_nothing_else(void)
{
	assert_non_null(host_bus(paddr(0), PAGE_SIZE));
	assert_non_null(host_bus(paddr((64UL << 20) - PAGE_SIZE), PAGE_SIZE));
	assert_null(host_bus(paddr((64UL << 20) - PAGE_SIZE), PAGE_SIZE + 1));
	assert_null(host_bus(paddr(64UL << 20), 1));
	assert_non_null(host_bus(paddr(4UL << 30), 1));
	assert_null(host_bus(paddr(UINT64_MAX), 2));
}

static void the_direct_map_shows_what_the_bus_shows(void)
{
	uint8_t *mapped = page_address(frames[TABLES]);
	uint8_t *bus = host_bus(data[0], PAGE_SIZE);

	assert_ptr_not_equal(mapped, bus);
	for (size_t i = 0; i < PAGE_SIZE; i += 97) {
		mapped[i] = (uint8_t)i;
		assert_int_equal(bus[i], (uint8_t)i);
	}
}

static void an_expected_panic_is_survived_with_interrupts_as_they_were(void)
{
	assert_true(irqs_enabled());
	expect_panic("three is 3, not *", {
		(void)irq_save();
		panic("three is %d, not %s", 3, "four");
	});
	assert_true(irqs_enabled());
}

static void warnings_are_counted_and_the_last_is_kept(void)
{
	expect_warning("disk ? is on fire", warn("disk %d is on fire", 4));
	test_warnings_begin();
	warn("one");
	warn("two");
	assert_int_equal(test_warnings_end(), 2);
	assert_string_equal(test_warning_last(), "two");
}

static void mm_and_the_processor_agree_about_every_leafs_type(void)
{
	static const struct {
		void *(*map)(uint64_t phys, size_t size);
		enum memory_type type;
	} calls[] = {{ioremap, MEMORY_UC_MINUS},
	             {ioremap_uc, MEMORY_UC},
	             {ioremap_wc, MEMORY_WC},
	             {ioremap_wt, MEMORY_WT},
	             {ioremap_cache, MEMORY_WB}};
	struct host_leaf leaf;

	host_mmu_load_root(kernel_pagetable.root, kernel_pagetable.levels);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		char *device = calls[i].map(1UL << 45, PUD_SIZE + PMD_SIZE + PAGE_SIZE);
		assert_non_null(device);
		const size_t offsets[] = {0, PUD_SIZE, PUD_SIZE + PMD_SIZE};
		for (size_t at = 0; at < ARRAY_SIZE(offsets); at++) {
			test_step(i * 10 + at);
			assert_true(host_mmu_walk(vaddr_of(device + offsets[at]), &leaf, NULL));
			assert_int_equal(leaf.pa.raw, (1UL << 45) + offsets[at]);
			assert_int_equal(leaf.type, calls[i].type);
		}
		iounmap(device);
	}
}

static const struct test_case cases[] = {
        TEST_CASE(a_small_page_translates_and_holds_what_was_written),
        TEST_CASE(large_leaves_translate_every_offset),
        TEST_CASE(permissions_are_the_least_of_all_levels),
        TEST_CASE(absent_entries_reserved_bits_and_wild_addresses_fault),
        TEST_CASE(addresses_of_57_bits_are_translated_by_5_levels_and_wild_with_4),
        TEST_CASE(nothing_answers_where_there_is_no_ram),
        TEST_CASE(a_translation_is_remembered_until_it_is_flushed),
        TEST_CASE(an_absent_page_is_not_remembered),
        TEST_CASE(flushes_count_as_single_up_to_a_limit_and_as_full_beyond),
        TEST_CASE(a_forgotten_flush_is_found),
        TEST_CASE(the_bus_reaches_ram_and_nothing_else),
        TEST_CASE(the_direct_map_shows_what_the_bus_shows),
        TEST_CASE(an_expected_panic_is_survived_with_interrupts_as_they_were),
        TEST_CASE(warnings_are_counted_and_the_last_is_kept),
        TEST_CASE(mm_and_the_processor_agree_about_every_leafs_type),
};

extern const struct test_suite host_machine_suite, host_machine_5_levels_suite;
const struct test_suite host_machine_suite =
        TEST_SUITE("host_machine", cases, .set_up = build_4_levels, .tear_down = drop_tables);
const struct test_suite host_machine_5_levels_suite =
        TEST_SUITE("host_machine_5_levels", cases, .set_up = build_5_levels, .tear_down = drop_tables);
