#include "swapped_word.h"
#include <arch/cpu.h>
#include <arch/directmap.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vmalloc.h>
#include <test/test.h>

volatile uint64_t *word;

static struct vmap_area *area;
static struct page *old_page, *new_page;

static struct page *page_with(uint64_t first_word)
{
	struct page *page = alloc_page(GFP_KERNEL);

	assert_non_null(page);
	*(uint64_t *)page_address(page) = first_word;
	return page;
}

void map_word(void)
{
	old_page = page_with(old_word);
	new_page = page_with(new_word);
	area = get_vm_area(PAGE_SIZE, VM_MAP);
	assert_non_null(area);
	word = (volatile uint64_t *)area->va_start;
	assert_true(pagetable_map_pages(&kernel_pagetable, word_page().start, &old_page, 1, PAGE_KERNEL));
}

void unmap_word(void)
{
	if (!area)
		return;
	assert_true(pagetable_unmap(&kernel_pagetable, word_page(), NULL));
	free_vm_area(area);
	area = NULL;
	__free_page(old_page);
	__free_page(new_page);
}

struct vrange word_page(void)
{
	return vrange_sized(vaddr(area->va_start), PAGE_SIZE);
}

void swap_behind(void)
{
	vaddr_t va = word_page().start;
	pte_t *table = paddr_to_directmap(kernel_pagetable.root);

	for (unsigned level = paging_levels(); level > 1; level--)
		table = paddr_to_directmap(pte_table_paddr(table[pt_index(va, level)]));
	pte_t *entry = &table[pt_index(va, 1)];
	__atomic_store_n(&entry->raw, pte_leaf(page_to_paddr(new_page), PAGE_KERNEL, 1).raw,
	                 __ATOMIC_SEQ_CST);
}
