/*
 * The hosted machine itself: were its processor wrong, every claim about page tables and flushes would be
 * worth little. Tables are written by hand, word by word, below one slot of a root that otherwise equals the
 * live one, so that the windows mm/ works through stay open meanwhile.
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

enum { TABLES = 4, SLOT = 1 };

/* The lowest address that the private slot translates. */
#define SLOT_BASE (SLOT * PGD_SIZE)

/* Tables by level (4 first), then two frames of data. */
static struct page *frames[TABLES + 2];
static uint64_t *table[PT_LEVELS + 1];
static paddr_t data[2];

static void link_table(unsigned level, unsigned index, unsigned below)
{
	table[level][index] = page_to_paddr(frames[PT_LEVELS - below]).raw | PTE_PRESENT | PTE_WRITE;
}

static void build_tables(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		frames[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		assert_non_null(frames[i]);
	}
	for (unsigned level = PT_LEVELS; level > 0; level--)
		table[level] = page_address(frames[PT_LEVELS - level]);
	data[0] = page_to_paddr(frames[TABLES]);
	data[1] = page_to_paddr(frames[TABLES + 1]);

	memcpy(table[4], paddr_to_directmap(kernel_pagetable.root), PAGE_SIZE);
	assert_int_equal(table[4][SLOT], 0);
	link_table(4, SLOT, 3);
	link_table(3, 0, 2);
	link_table(2, 0, 1);
	table[1][0] = data[0].raw | PTE_PRESENT | PTE_WRITE;
	host_mmu_load_root(page_to_paddr(frames[0]));
}

static void drop_tables(void)
{
	host_mmu_load_root(kernel_pagetable.root);
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
	for (unsigned level = 1; level <= PT_LEVELS; level++) {
		uint64_t *entry = &table[level][level == PT_LEVELS ? SLOT : 0];
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

	assert_faults(SLOT_BASE + 5 * PUD_SIZE, HOST_WRITE, TRAP_PAGE_FAULT, FAULT_WRITE);
	assert_faults(0x0000800000000000, HOST_READ, TRAP_GENERAL_PROTECTION, 0);
	assert_faults(0xffff7fffffffffff, HOST_READ, TRAP_GENERAL_PROTECTION, 0);

	table[1][2] = data[0].raw | beyond_processor | PTE_PRESENT;
	assert_faults(SLOT_BASE + 2 * PAGE_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	table[2][3] = 0x800000 | PAGE_SIZE << 1 | PTE_PRESENT | PTE_LARGE;
	assert_faults(SLOT_BASE + 3 * PMD_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	table[2][4] = 0x3ffffffff000 | PTE_PRESENT; /* a table where no RAM is */
	assert_faults(SLOT_BASE + 4 * PMD_SIZE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
	table[4][SLOT] |= PTE_LARGE;
	assert_faults(SLOT_BASE, HOST_READ, TRAP_PAGE_FAULT, FAULT_PRESENT | FAULT_RESERVED);
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
	assert_matches(host_tlb_check(), "TLB of CPU 0: 0x8000000000 was unmapped without a flush");
	table[1][0] = data[1].raw | PTE_PRESENT | PTE_WRITE;
	assert_matches(host_tlb_check(),
	               "TLB of CPU 0: 0x8000000000 was moved from frame 0x* to 0x* without a flush");
	table[1][0] = kept & ~PTE_WRITE;
	assert_matches(host_tlb_check(), "TLB of CPU 0: 0x8000000000 lost a permission without a flush");
	table[1][0] = kept | PTE_NO_EXEC;
	assert_matches(host_tlb_check(), "TLB of CPU 0: 0x8000000000 lost a permission without a flush");
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

	host_mmu_load_root(kernel_pagetable.root);
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

extern const struct test_suite host_machine_suite;
const struct test_suite host_machine_suite =
        TEST_SUITE("host_machine", cases, .set_up = build_tables, .tear_down = drop_tables);
