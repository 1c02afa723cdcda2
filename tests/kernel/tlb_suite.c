/*
 * The processor remembers translations. Each case changes a page-table entry behind pagetable.c's back and shows what a
 * missing flush does, or that the flush in question is one.
 */
#include <arch/cpu.h>
#include <arch/directmap.h>
#include <arch/irq.h>
#include <arch/tlb.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <test/test.h>

static struct vmap_area *area;
static struct page *pages[2];
static volatile uint64_t *word; /* maps pages[0], or pages[1] after swap_behind() */
static irqflags_t flags_before;

static const uint64_t contents[2] = {0xaaaaaaaaaaaaaaaaUL, 0xbbbbbbbbbbbbbbbbUL};

static void map_first_page(void)
{
	for (unsigned i = 0; i < 2; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		assert_non_null(pages[i]);
		*(uint64_t *)page_address(pages[i]) = contents[i];
	}
	area = get_vm_area(PAGE_SIZE, VM_MAP);
	assert_non_null(area);
	word = (volatile uint64_t *)area->va_start;
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr(area->va_start), pages, 1, PAGE_KERNEL));
	flags_before = irq_save(); /* a tick in between could evict what is to be remembered */
}

static void unmap_pages(void)
{
	irq_restore(flags_before);
	if (!area)
		return;
	assert_true(pagetable_unmap(&kernel_pagetable, vrange_sized(vaddr(area->va_start), PAGE_SIZE), NULL));
	free_vm_area(area);
	area = NULL;
	for (unsigned i = 0; i < 2; i++)
		__free_page(pages[i]);
}

/* The entry now leads to `page`; the processor has not been told. */
static void swap_behind(const struct page *page)
{
	vaddr_t va = vaddr(area->va_start);
	pte_t *table = paddr_to_directmap(kernel_pagetable.root);

	for (unsigned level = paging_levels(); level > 1; level--)
		table = paddr_to_directmap(pte_table_paddr(table[pt_index(va, level)]));
	*(volatile uint64_t *)&table[pt_index(va, 1)].raw = pte_leaf(page_to_paddr(page), PAGE_KERNEL, 1).raw;
}

static void a_changed_entry_stays_hidden_without_a_flush(void)
{
	assert_int_equal(*word, contents[0]);
	swap_behind(pages[1]);
	uint64_t seen = *word;
	if (seen != contents[0])
		test_skip("this processor forgot the translation on its own, as it may");
	tlb_flush_range(vrange_sized(vaddr(area->va_start), PAGE_SIZE));
	assert_int_equal(*word, contents[1]);
}

static void flushing_a_page_shows_the_change(void)
{
	assert_int_equal(*word, contents[0]);
	swap_behind(pages[1]);
	tlb_flush_range(vrange_sized(vaddr(area->va_start), PAGE_SIZE));
	assert_int_equal(*word, contents[1]);
}

static void a_full_flush_shows_the_change_of_a_global_entry(void)
{
	assert_int_equal(*word, contents[0]);
	swap_behind(pages[1]);
	tlb_flush_all();
	assert_int_equal(*word, contents[1]);
}

static void a_large_range_takes_one_full_flush(void)
{
	struct tlb_stats before = tlb_stats();

	assert_int_equal(*word, contents[0]);
	swap_behind(pages[1]);
	tlb_flush_range(vrange_sized(vaddr(area->va_start), (TLB_FLUSH_SINGLE_MAX + 1) * PAGE_SIZE));
	assert_int_equal(*word, contents[1]);
	assert_int_equal(tlb_stats().full, before.full + 1);
	assert_int_equal(tlb_stats().single, before.single);
}

static void a_small_range_takes_one_flush_per_page(void)
{
	struct tlb_stats before = tlb_stats();

	tlb_flush_range(vrange_sized(vaddr(area->va_start), TLB_FLUSH_SINGLE_MAX * PAGE_SIZE));
	assert_int_equal(tlb_stats().single, before.single + TLB_FLUSH_SINGLE_MAX);
	assert_int_equal(tlb_stats().full, before.full);
}

static void an_empty_range_takes_none(void)
{
	struct tlb_stats before = tlb_stats();

	tlb_flush_range(vrange_sized(vaddr(area->va_start), 0));
	assert_int_equal(tlb_stats().single, before.single);
	assert_int_equal(tlb_stats().full, before.full);
}

static void a_full_flush_leaves_the_control_registers_as_they_were(void)
{
	uint64_t cr3 = read_cr3().raw, cr4 = read_cr4();

	tlb_flush_all();
	assert_int_equal(read_cr3().raw, cr3);
	assert_int_equal(read_cr4(), cr4);
}

static const struct test_case cases[] = {
        TEST_CASE(a_changed_entry_stays_hidden_without_a_flush),
        TEST_CASE(flushing_a_page_shows_the_change),
        TEST_CASE(a_full_flush_shows_the_change_of_a_global_entry),
        TEST_CASE(a_large_range_takes_one_full_flush),
        TEST_CASE(a_small_range_takes_one_flush_per_page),
        TEST_CASE(an_empty_range_takes_none),
        TEST_CASE(a_full_flush_leaves_the_control_registers_as_they_were),
};

const struct test_suite tlb_suite =
        TEST_SUITE("tlb", cases, .set_up = map_first_page, .tear_down = unmap_pages);
