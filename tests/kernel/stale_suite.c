/*
 * What a missing flush would do, seen from every CPU: each remembers a translation, the page table changes it through its
 * public calls, and each must then see what is so. Where several CPUs run, the others look in a call; a CPU that looks
 * for itself cannot see for them. `make flush-table` turns off one flush after the other and shows which case notices.
 */
#include <remote.h>
#include "expect_fault.h"
#include <arch/irq.h>
#include <arch/smp.h>
#include <arch/tlb.h>
#include <mm/page_alloc.h>
#include <mm/pagetable.h>
#include <mm/vm_map_ram.h>
#include <mm/vmalloc.h>

/* Below and above what is flushed page by page. */
enum { FEW = 3, MANY = TLB_FLUSH_SINGLE_MAX + 7 };

static struct vmap_area *area;
static struct page *pages[2][MANY]; /* what is mapped first, and then */
static size_t count;

static volatile uint64_t *word_of(size_t page)
{
	return (volatile uint64_t *)(area->va_start + (page << PAGE_SHIFT));
}

static struct vrange range(void)
{
	return vrange_sized(vaddr(area->va_start), count << PAGE_SHIFT);
}

/* The first word of frame n of either set. */
static uint64_t contents(unsigned set, size_t n)
{
	return 0x1000000UL * (set + 1) + n;
}

static void map(unsigned set)
{
	assert_true(pagetable_map_pages(&kernel_pagetable, range().start, pages[set], count, PAGE_KERNEL));
}

static void begin(size_t nr_pages)
{
	count = nr_pages;
	for (unsigned set = 0; set < 2; set++) {
		assert_int_equal(alloc_pages_bulk(GFP_KERNEL, count, pages[set]), count);
		for (size_t n = 0; n < count; n++)
			*(uint64_t *)page_address(pages[set][n]) = contents(set, n);
	}
	area = get_vm_area(count << PAGE_SHIFT, VM_MAP);
	assert_non_null(area);
	map(0);
}

static void end(void)
{
	if (!area)
		return;
	assert_true(pagetable_unmap(&kernel_pagetable, range(), NULL));
	tlb_flush_all(); /* whatever a build without some flush has left */
	free_vm_area(area);
	area = NULL;
	for (unsigned set = 0; set < 2; set++)
		free_pages_bulk(count, pages[set]);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------ */

static size_t wrong[CPUS_MAX]; /* pages of which a CPU did not see what it should */

static void look(void *set)
{
	size_t seen_wrong = 0;

	for (size_t n = 0; n < count; n++)
		seen_wrong += *word_of(n) != contents(*(unsigned *)set, n);
	wrong[this_cpu()->id] = seen_wrong;
}

static void everybody_sees(unsigned set)
{
	cpu_call(cpus_online(), look, &set);
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		if (wrong[id])
			fail_msg("CPU %u sees %zu of %zu pages as they were", id, wrong[id], count);
	}
}

/* ---- Cases -------------------------------------------------------------------------------------------------------- */

static void unmap_and_map_again(size_t nr_pages)
{
	begin(nr_pages);
	everybody_sees(0);
	assert_true(pagetable_unmap(&kernel_pagetable, range(), NULL));
	map(1);
	everybody_sees(1);
}

static void a_few_pages_unmapped_and_mapped_again_show_their_new_frames(void)
{
	unmap_and_map_again(FEW);
}

static void many_pages_unmapped_and_mapped_again_show_their_new_frames(void)
{
	unmap_and_map_again(MANY);
}

static void clear_sweep_and_map_again(size_t nr_pages)
{
	begin(nr_pages);
	everybody_sees(0);
	struct vrange swept = range();
	pagetable_clear(&kernel_pagetable, swept, NULL);
	pagetable_sweep(&kernel_pagetable, &swept, 1, false);
	map(1);
	everybody_sees(1);
}

static void a_few_pages_cleared_swept_and_mapped_again_show_their_new_frames(void)
{
	clear_sweep_and_map_again(FEW);
}

static void many_pages_cleared_swept_and_mapped_again_show_their_new_frames(void)
{
	clear_sweep_and_map_again(MANY);
}

static bool faulted[CPUS_MAX];

static void try_to_write(void *unused)
{
	(void)unused;
	try_to_fault(*word_of(count - 1) = *word_of(count - 1));
	faulted[this_cpu()->id] = expected_fault.faulted && expected_fault.frame.vector == TRAP_PAGE_FAULT &&
	                          expected_fault.frame.error == (FAULT_PRESENT | FAULT_WRITE) &&
	                          expected_fault.address.raw == (uintptr_t)word_of(count - 1);
}

static void protect_everywhere(size_t nr_pages)
{
	begin(nr_pages);
	for (unsigned id = 0; id < nr_cpus_online(); id++) { /* one at a time: there is one expectation */
		cpu_call(1ULL << id, try_to_write, NULL);
		assert_false(faulted[id]);
	}
	assert_true(pagetable_protect(&kernel_pagetable, range(), PAGE_KERNEL_RO));
	for (unsigned id = 0; id < nr_cpus_online(); id++) {
		cpu_call(1ULL << id, try_to_write, NULL);
		if (!faulted[id])
			fail_msg("CPU %u can still write", id);
	}
}

static void a_few_pages_made_read_only_cannot_be_written(void)
{
	protect_everywhere(FEW);
}

static void many_pages_made_read_only_cannot_be_written(void)
{
	protect_everywhere(MANY);
}

static void read_or_fault(void *address)
{
	try_to_fault(touch_read(address));
	faulted[this_cpu()->id] = expected_fault.faulted && expected_fault.frame.vector == TRAP_PAGE_FAULT &&
	                          expected_fault.address.raw == (uintptr_t)address;
}

static unsigned nr_cpus_that_reach(char *address)
{
	unsigned reach = 0;

	for (unsigned id = 0; id < nr_cpus_online(); id++) { /* one at a time: there is one expectation */
		cpu_call(1ULL << id, read_or_fault, address);
		reach += !faulted[id];
	}
	return reach;
}

/* The same through vfree(), which takes even the words that described the area. */
static void memory_that_was_freed_and_flushed_leads_nowhere_on_any_cpu(void)
{
	char *area_of_few = vmalloc(FEW << PAGE_SHIFT), *last = area_of_few + ((FEW - 1) << PAGE_SHIFT);

	assert_non_null(area_of_few);
	unsigned before = nr_cpus_that_reach(last);
	vfree(area_of_few);
	vm_unmap_aliases();
	assert_int_equal(before, nr_cpus_online());
	assert_int_equal(nr_cpus_that_reach(last), 0);
}

/* In a block that goes with it, and in one that stays because of another mapping: vm_unmap_aliases() promises it for both. */
static void unmap_ram_and_flush(bool with_neighbour)
{
	need_window(64UL << 20, "takes blocks of 2 MiB on each CPU");
	struct page *own[FEW], *other = alloc_page(GFP_KERNEL);

	vm_unmap_aliases();
	assert_non_null(other);
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, FEW, own), FEW);
	char *neighbour = with_neighbour ? vm_map_ram(&other, 1, NUMA_NO_NODE) : NULL;
	char *mapping = vm_map_ram(own, FEW, NUMA_NO_NODE), *last = mapping + ((FEW - 1) << PAGE_SHIFT);
	assert_non_null(mapping);
	unsigned before = nr_cpus_that_reach(last);
	vm_unmap_ram(mapping, FEW);
	vm_unmap_aliases();
	unsigned after = nr_cpus_that_reach(last);
	unsigned of_neighbour = with_neighbour ? nr_cpus_that_reach(neighbour) : 0;
	if (with_neighbour)
		vm_unmap_ram(neighbour, 1);
	free_pages_bulk(FEW, own);
	__free_page(other);
	assert_int_equal(before, nr_cpus_online());
	assert_int_equal(after, 0);
	assert_int_equal(of_neighbour, with_neighbour ? nr_cpus_online() : 0);
}

static void mappings_that_were_unmapped_and_flushed_lead_nowhere_on_any_cpu(void)
{
	unmap_ram_and_flush(false);
}

static void so_do_those_beside_a_mapping_that_stays(void)
{
	unmap_ram_and_flush(true);
}

static struct glance {
	const volatile uint64_t *word;
	uint64_t expected;
} glance;

static void look_once(void *unused)
{
	(void)unused;
	wrong[this_cpu()->id] = *glance.word != glance.expected;
}

/*
 * Blocks lie alternately at two places: each address of the third was the first's before, with a frame of the other set.
 * Nobody looks into those between, which a small TLB would remember instead.
 */
static void a_block_where_another_was_shows_its_own_frames(void)
{
	enum { BLOCKS = 3, MAPPINGS = 255, LOOK_EVERY = 15 };
	const void *first_of_first = NULL;
	unsigned stale = 0, again = 0;

	need_window(64UL << 20, "takes blocks of 2 MiB on each CPU");
	begin(1);
	vm_unmap_aliases();
	for (unsigned n = 0; n < BLOCKS * MAPPINGS; n++) {
		unsigned set = n / MAPPINGS / 2;
		void *mapping = vm_map_ram(&pages[set][0], 1, NUMA_NO_NODE);
		assert_non_null(mapping);
		if (!n)
			first_of_first = mapping;
		again += n && mapping == first_of_first;
		glance = (struct glance){mapping, contents(set, 0)};
		if (n / MAPPINGS % 2 == 0 && n % LOOK_EVERY == 0) {
			cpu_call(cpus_online(), look_once, NULL);
			for (unsigned id = 0; id < nr_cpus_online(); id++)
				stale += wrong[id] != 0;
		}
		vm_unmap_ram(mapping, 1);
	}
	assert_int_equal(again, 1);
	assert_int_equal(stale, 0);
}

static const struct test_case cases[] = {
        TEST_CASE(a_few_pages_unmapped_and_mapped_again_show_their_new_frames),
        TEST_CASE(many_pages_unmapped_and_mapped_again_show_their_new_frames),
        TEST_CASE(a_few_pages_cleared_swept_and_mapped_again_show_their_new_frames),
        TEST_CASE(many_pages_cleared_swept_and_mapped_again_show_their_new_frames),
        TEST_CASE(a_few_pages_made_read_only_cannot_be_written),
        TEST_CASE(many_pages_made_read_only_cannot_be_written),
        TEST_CASE(memory_that_was_freed_and_flushed_leads_nowhere_on_any_cpu),
        TEST_CASE(mappings_that_were_unmapped_and_flushed_lead_nowhere_on_any_cpu),
        TEST_CASE(so_do_those_beside_a_mapping_that_stays),
        TEST_CASE(a_block_where_another_was_shows_its_own_frames),
};

extern const struct test_suite stale_suite;
const struct test_suite stale_suite = TEST_SUITE("stale", cases, .tear_down = end);
