/*
 * vmalloc on the live system: what it gives, in which words it reports mistakes, that every failure leaves no trace, and
 * that its verifier sees each kind of damage.
 */
#include <arch/irq.h>
#include <arch/machine.h>
#include <arch/smp.h>
#include <mm/fault_inject.h>
#include <mm/kmalloc.h>
#include <mm/mm.h>
#include <mm/pagetable.h>
#include <mm/pagetable_check.h>
#include <mm/vmalloc.h>
#include <expect_broken.h>
#include <hoard.h>
#include <no_trace.h>
#include <remote.h>
#include <test/test.h>
#include "../../mm/vmalloc_internal.h"
#include "vm_access.h"

#define MIB   (1UL << 20)
#define QUIET (GFP_KERNEL | __GFP_NOWARN)

static char words[1024];

/* ---- Helpers ------------------------------------------------------------------------------------------------------ */

/* The pattern: position and seed, so that neither two pages nor two areas look alike. */
static uint8_t pattern(size_t offset, uint64_t seed)
{
	return (uint8_t)((offset >> PAGE_SHIFT) * 37 + offset + seed * 101);
}

/* The first and last byte of every page of [0, size), and one in between. */
static size_t next_probe(size_t offset, size_t size)
{
	size_t in_page = offset % PAGE_SIZE;
	size_t next = in_page == 0               ? offset + 1234
	              : in_page == PAGE_SIZE - 1 ? offset + 1
	                                         : offset - in_page + PAGE_SIZE - 1;
	return offset + 1 < size && next >= size ? size - 1 : next;
}

static void write_pattern(void *area, size_t size, uint64_t seed)
{
	for (size_t at = 0; at < size; at = next_probe(at, size))
		vm_poke((char *)area + at, pattern(at, seed));
}

static void assert_pattern(const void *area, size_t size, uint64_t seed)
{
	for (size_t at = 0; at < size; at = next_probe(at, size))
		assert_int_equal(vm_peek((const char *)area + at), pattern(at, seed));
}

/* Mapped from the first to the last byte, and not one page further. */
static void assert_mapped_exactly(const void *area, size_t size)
{
	uintptr_t start = (uintptr_t)area;
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		assert_true(is_mapped(vaddr(start + at)));
	assert_false(is_mapped(vaddr(start + align_up(size, PAGE_SIZE))));
}

static void *take_within(size_t size, size_t align, uintptr_t start, uintptr_t end, gfp_t gfp)
{
	return __vmalloc_node_range(size, align, start, end, gfp, PAGE_KERNEL, 0, NUMA_NO_NODE, SOMEWHERE);
}

#define WINDOW VMALLOC_START, VMALLOC_END

/* ---- What it gives ------------------------------------------------------------------------------------------------ */

static void every_size_reads_back_what_was_written_and_ends_in_an_absent_page(void)
{
	static const size_t sizes[] = {1,     2,         4095,      4096,           4097,
	                               12288, 64 * 4096, 65 * 4096, 513 * 4096 + 1, 4 * MIB};

	need_window(16 * MIB, "takes areas of up to 4 MiB");
	remember_memory();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		test_step(i);
		void *area = vmalloc(sizes[i]);
		assert_non_null(area);
		assert_true(is_aligned((uintptr_t)area, PAGE_SIZE));
		assert_mapped_exactly(area, sizes[i]);
		write_pattern(area, sizes[i], i);
		assert_pattern(area, sizes[i], i);
		assert_sound(vmalloc_check());
		vfree(area);
		assert_like_before();
	}
}

static void areas_side_by_side_keep_their_own_bytes(void)
{
	enum { AREAS = 20 };
	static void *areas[AREAS];

	for (size_t i = 0; i < AREAS; i++) {
		areas[i] = vmalloc((i + 1) * 1500);
		assert_non_null(areas[i]);
		write_pattern(areas[i], (i + 1) * 1500, i);
	}
	for (size_t i = 0; i < AREAS; i++) {
		assert_pattern(areas[i], (i + 1) * 1500, i);
		assert_mapped_exactly(areas[i], (i + 1) * 1500);
	}
	for (size_t i = 0; i < AREAS; i++)
		vfree(areas[i]);
}

static void a_freed_area_is_mapped_nowhere(void)
{
	char *area = vmalloc(70 * PAGE_SIZE);
	assert_non_null(area);
	vfree(area);
	for (size_t page = 0; page <= 70; page++)
		assert_false(is_mapped(vaddr((uintptr_t)area + page * PAGE_SIZE)));
	assert_null(find_vm_area(area));
	assert_false(vmalloc_to_page(area));
}

static void vzalloc_gives_zeroes_though_the_frames_were_dirty(void)
{
	size_t size = 40 * PAGE_SIZE;
	char *dirty = vmalloc(size);
	assert_non_null(dirty);
	for (size_t at = 0; at < size; at += 64)
		vm_poke(dirty + at, 0xff);
	vfree(dirty);
	char *clean = vzalloc(size);
	assert_non_null(clean);
	for (size_t at = 0; at < size; at += 64)
		assert_int_equal(vm_peek(clean + at), 0);
	vfree(clean);
}

static void areas_begin_at_the_alignment_asked_for(void)
{
	need_window(4 * PGD_SIZE, "aligns areas to up to 1 GiB");
	remember_memory();
	for (size_t align = 1; align <= PUD_SIZE; align *= 2) {
		void *area = take_within(3 * PAGE_SIZE, align, remote() + PAGE_SIZE, VMALLOC_END, GFP_KERNEL);
		assert_non_null(area);
		assert_true(is_aligned((uintptr_t)area, align < PAGE_SIZE ? PAGE_SIZE : align));
		write_pattern(area, 3 * PAGE_SIZE, align);
		assert_pattern(area, 3 * PAGE_SIZE, align);
		assert_mapped_exactly(area, 3 * PAGE_SIZE);
		assert_sound(vmalloc_check());
		vfree(area);
	}
	assert_like_before();
}

static void a_sub_range_is_kept_to_and_filled_to_its_last_page(void)
{
	uintptr_t start = remote(), end = start + 6 * PAGE_SIZE;
	void *low = take_within(2 * PAGE_SIZE, 1, start, end, GFP_KERNEL);
	void *high = take_within(2 * PAGE_SIZE, 1, start, end, GFP_KERNEL);

	assert_ptr_equal(low, start);
	assert_ptr_equal(high, start + 3 * PAGE_SIZE);
	assert_null(take_within(1, 1, start, end, QUIET));
	vfree(low);
	assert_null(take_within(2 * PAGE_SIZE + 1, 1, start, end, QUIET));
	low = take_within(2 * PAGE_SIZE, 1, start, end, GFP_KERNEL);
	assert_ptr_equal(low, start);
	vfree(high);
	vfree(low);
}

static void of_two_areas_512_GiB_apart_one_survives_the_other(void)
{
	need_window(4 * PGD_SIZE, "needs two areas 512 GiB apart");
	remember_memory();
	char *near = take_within(5 * PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	char *far = take_within(5 * PAGE_SIZE, 1, remote() + PGD_SIZE, VMALLOC_END, GFP_KERNEL);
	assert_non_null(near);
	assert_non_null(far);
	assert_int_equal(far - near, PGD_SIZE);
	write_pattern(near, 5 * PAGE_SIZE, 1);
	write_pattern(far, 5 * PAGE_SIZE, 2);
	vfree(near);
	assert_pattern(far, 5 * PAGE_SIZE, 2);
	assert_false(is_mapped(vaddr_of(near)));
	vfree(far);
	assert_like_before();
}

static void page_tables_come_with_an_area_and_go_with_it(void)
{
	need_window(4 * PGD_SIZE, "needs an area that is alone in its tables");
	size_t tables = kernel_pagetable.nr_tables;
	void *area = take_within(PMD_SIZE + PAGE_SIZE, PMD_SIZE, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	assert_at_least(kernel_pagetable.nr_tables, tables + 2);
	vfree(area);
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_tables, tables);
}

/* Else the verifier would let empty tables pass for good. */
static void an_area_that_was_cleared_in_parts_is_swept_as_one(void)
{
	need_window(64 * MIB, "takes an area of 20 MiB");
	void *area = vmalloc(20UL << 20); /* more than is cleared at a time */
	assert_non_null(area);
	vfree(area);
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
}

/* More ranges of 128 pages, and their guards, than fit one table, kept with their tables: one of these is theirs alone. */
static void a_kept_range_that_is_taken_for_nothing_loses_its_empty_tables(void)
{
	enum { KEPT = 8, PAGES = 128 };
	struct vmap_area *bare[KEPT];
	void *areas[KEPT];

	need_window(64 * MIB, "takes eight areas of 512 KiB");
	vm_unmap_aliases();
	for (size_t i = 0; i < KEPT; i++) {
		areas[i] = vmalloc(PAGES * PAGE_SIZE);
		assert_non_null(areas[i]);
	}
	for (size_t i = 0; i < KEPT; i++)
		vfree(areas[i]); /* the last one flushes for all */
	for (size_t i = 0; i < KEPT; i++) {
		bare[i] = get_vm_area(PAGES * PAGE_SIZE, VM_MAP);
		assert_non_null(bare[i]);
	}
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
	const char *broken = pagetable_check(&kernel_pagetable);
	for (size_t i = 0; i < KEPT; i++)
		free_vm_area(bare[i]);
	assert_sound(broken);
}

static void the_block_behind_each_page_holds_its_bytes_and_names_its_area(void)
{
	char *area = vmalloc(9 * PAGE_SIZE);
	assert_non_null(area);
	for (size_t i = 0; i < 9; i++) {
		char *byte = area + i * PAGE_SIZE + 17 * i;
		vm_poke(byte, (uint8_t)(0xa0 + i));
		struct page *page = vmalloc_to_page(byte);
		assert_non_null(page);
		assert_int_equal(page_to_pfn(page).raw, vmalloc_to_pfn(byte));
		assert_int_equal(((uint8_t *)page_address(page))[17 * i], 0xa0 + i);
		const struct page *block = page_find_block(page_to_pfn(page));
		assert_non_null(block);
		assert_int_equal(block->type, PAGE_VMALLOC);
		assert_ptr_equal(block->owner, find_vm_area(area));
	}
	assert_null(vmalloc_to_page(area + 9 * PAGE_SIZE));
	assert_int_equal(vmalloc_to_pfn(area + 9 * PAGE_SIZE), 0);
	vfree(area);
}

static void an_area_is_found_from_each_of_its_bytes_and_its_guard(void)
{
	char *area = take_within(5000, 1, remote(), VMALLOC_END, GFP_KERNEL);
	struct vmap_area *found = find_vm_area(area);
	assert_non_null(found);
	assert_ptr_equal(found->va_start, area);
	assert_int_equal(found->requested_size, 5000);
	assert_int_equal(found->va_end - found->va_start, 3 * PAGE_SIZE);
	assert_int_equal(found->caller, (uint32_t)(uintptr_t)SOMEWHERE);
	assert_ptr_equal(find_vm_area(area + 3 * PAGE_SIZE - 1), found);
	assert_null(find_vm_area(area + 3 * PAGE_SIZE));
	assert_null(find_vm_area(area - 1));
	vfree(area);
}

static void only_addresses_of_the_window_are_vmalloc_addresses(void)
{
	void *object = kmalloc(64, GFP_KERNEL);
	assert_false(is_vmalloc_addr(NULL));
	assert_false(is_vmalloc_addr(object));
	assert_false(is_vmalloc_addr((void *)(VMALLOC_START - 1)));
	assert_true(is_vmalloc_addr((void *)VMALLOC_START));
	assert_true(is_vmalloc_addr((void *)(VMALLOC_END - 1)));
	assert_false(is_vmalloc_addr((void *)VMALLOC_END));
	assert_null(vmalloc_to_page(object));
	assert_int_equal(vmalloc_to_pfn(object), 0);
	kfree(object);
}

static void without_a_guard_two_areas_touch(void)
{
	uintptr_t start = remote();
	char *first = __vmalloc_node_range(PAGE_SIZE, 1, start, VMALLOC_END, GFP_KERNEL, PAGE_KERNEL,
	                                   VM_NO_GUARD, 0, NULL);
	char *second = __vmalloc_node_range(PAGE_SIZE, 1, start, VMALLOC_END, GFP_KERNEL, PAGE_KERNEL,
	                                    VM_NO_GUARD, 0, NULL);
	assert_ptr_equal(first, start);
	assert_ptr_equal(second, start + PAGE_SIZE);
	assert_false(is_mapped(vaddr(start + 2 * PAGE_SIZE)));
	assert_sound(vmalloc_check());
	write_pattern(first, PAGE_SIZE, 1);
	write_pattern(second, PAGE_SIZE, 2);
	vfree(second);
	assert_pattern(first, PAGE_SIZE, 1);
	vfree(first);
}

static void an_area_has_the_protection_asked_for(void)
{
	static const pgprot_t prots[] = {{PAGE_KERNEL_BITS | PTE_NO_EXEC},
	                                 {PAGE_KERNEL_BITS},
	                                 {PAGE_KERNEL_BITS | PTE_WRITE | PTE_NO_EXEC}};
	struct translation translation;

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		void *area = __vmalloc(PAGE_SIZE, GFP_KERNEL, prots[i]);
		assert_non_null(area);
		assert_true(pagetable_lookup(&kernel_pagetable, vaddr_of(area), &translation));
		assert_int_equal(translation.prot.raw, prots[i].raw);
		assert_int_equal(translation.level, 1);
		vfree(area);
	}
}

static void frames_come_from_the_zone_asked_for(void)
{
	char *area = __vmalloc(5 * PAGE_SIZE, GFP_KERNEL | GFP_DMA, PAGE_KERNEL);
	assert_non_null(area);
	for (size_t i = 0; i < 5; i++)
		assert_at_most(vmalloc_to_pfn(area + i * PAGE_SIZE) << PAGE_SHIFT, ZONE_DMA_END - PAGE_SIZE);
	vfree(area);
	area = __vmalloc(5 * PAGE_SIZE, GFP_KERNEL | GFP_DMA32, PAGE_KERNEL);
	assert_non_null(area);
	for (size_t i = 0; i < 5; i++)
		assert_at_most(vmalloc_to_pfn(area + i * PAGE_SIZE) << PAGE_SHIFT,
		               ZONE_DMA32_END - PAGE_SIZE);
	vfree(area);
}

static void vfree_of_NULL_and_its_siblings_do_nothing(void)
{
	remember_memory();
	vfree(NULL);
	vunmap(NULL);
	iounmap(NULL);
	kvfree(NULL);
	assert_like_before();
}

/* ---- Mapping what is there already -------------------------------------------------------------------------------- */

enum { MAPPED = 33 };
static struct page *frames[MAPPED];

/* Single frames in an order that no allocator would choose. */
static void take_shuffled_frames(void)
{
	struct rng rng;

	rng_seed(&rng, test_seed());
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, MAPPED, frames), MAPPED);
	for (size_t i = MAPPED - 1; i; i--) {
		size_t other = rng_below(&rng, i + 1);
		struct page *page = frames[i];
		frames[i] = frames[other];
		frames[other] = page;
	}
}

static void vmap_shows_given_frames_in_the_given_order(void)
{
	remember_memory();
	take_shuffled_frames();
	char *area = vmap(frames, MAPPED, VM_MAP, PAGE_KERNEL);
	assert_non_null(area);
	assert_mapped_exactly(area, MAPPED * PAGE_SIZE);
	write_pattern(area, MAPPED * PAGE_SIZE, 9);
	for (size_t i = 0; i < MAPPED; i++) {
		assert_ptr_equal(vmalloc_to_page(area + i * PAGE_SIZE), frames[i]);
		assert_int_equal(*(uint8_t *)page_address(frames[i]), pattern(i * PAGE_SIZE, 9));
	}
	assert_sound(mm_verify());
	vunmap(area);
	assert_false(is_mapped(vaddr_of(area)));
	assert_int_equal(frames[0]->type, PAGE_HELD);
	free_pages_bulk(MAPPED, frames);
	assert_like_before();
}

static void vmap_may_show_one_frame_many_times(void)
{
	struct page *same[3];
	same[0] = same[1] = same[2] = alloc_page(GFP_KERNEL);
	assert_non_null(same[0]);
	char *area = vmap(same, 3, VM_MAP, PAGE_KERNEL);
	assert_non_null(area);
	vm_poke(area + 5, 77);
	assert_int_equal(vm_peek(area + 2 * PAGE_SIZE + 5), 77);
	vunmap(area);
	__free_page(same[0]);
}

static void frames_given_away_to_vmap_are_freed_with_it(void)
{
	remember_memory();
	take_shuffled_frames();
	char *area = vmap(frames, MAPPED, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	assert_non_null(area);
	assert_int_equal(frames[3]->type, PAGE_VMALLOC);
	assert_ptr_equal(frames[3]->owner, find_vm_area(area));
	assert_sound(mm_verify());
	vfree(area);
	assert_like_before();
}

static void frames_that_cannot_be_given_away_are_reported_and_stay(void)
{
	struct page *large = alloc_pages(GFP_KERNEL, 1);

	take_shuffled_frames();
	assert_non_null(large);
	remember_memory();
	struct page *kept = frames[20];
	frames[20] = frames[4];
	expect_panic("vmap: frame 0x*, listed twice, cannot be given away as a single frame, from *",
	             (void)!vmap(frames, MAPPED, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL));
	frames[20] = large;
	expect_panic("vmap: frame 0x*, held, cannot be given away as a single frame, from *",
	             (void)!vmap(frames, MAPPED, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL));
	frames[20] = kept;
	assert_like_before();
	__free_pages(large, 1);
	free_pages_bulk(MAPPED, frames);
}

static void a_bare_area_is_filled_by_its_owner_and_emptied_with_it(void)
{
	remember_memory();
	struct vmap_area *area = get_vm_area(3 * PAGE_SIZE, VM_MAP);
	assert_non_null(area);
	assert_int_equal(area->va_end - area->va_start, 4 * PAGE_SIZE);
	assert_false(is_mapped(vaddr(area->va_start)));
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 2, frames), 2);
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr(area->va_start + PAGE_SIZE), frames, 2,
	                                PAGE_KERNEL));
	vm_poke((char *)area->va_start + PAGE_SIZE, 5);
	assert_int_equal(*(uint8_t *)page_address(frames[0]), 5);
	assert_sound(mm_verify());
	uintptr_t start = area->va_start;
	free_vm_area(area);
	assert_false(is_mapped(vaddr(start + PAGE_SIZE)));
	free_pages_bulk(2, frames);
	assert_like_before();
}

/* ---- kvmalloc ----------------------------------------------------------------------------------------------------- */

static void kvmalloc_prefers_kmalloc(void)
{
	void *small = kvmalloc(100, GFP_KERNEL), *large = kvmalloc(3 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(small);
	assert_non_null(large);
	assert_false(is_vmalloc_addr(small));
	assert_false(is_vmalloc_addr(large));
	kvfree(small);
	kvfree(large);
	assert_ptr_equal(kvmalloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	kvfree(ZERO_SIZE_PTR);
}

static void kvmalloc_falls_back_to_vmalloc_without_a_word(void)
{
	need_injected_failures();
	test_warnings_begin();
	fault_inject_arm(1);
	char *area = kvmalloc(5 * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
	assert_true(fault_inject_disarm());
	assert_int_equal(test_warnings_end(), 0);
	assert_true(is_vmalloc_addr(area));
	assert_mapped_exactly(area, 5 * PAGE_SIZE);
	assert_int_equal(vm_peek(area + 5 * PAGE_SIZE - 1), 0);
	kvfree(area);
}

static void writable_and_executable_memory_is_the_callers_mistake(void)
{
	remember_memory();
	expect_panic("vmalloc: protection 0x* is writable and executable, from *",
	             (void)!__vmalloc(PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL_EXEC));
	expect_panic("vmap: protection 0x* is writable and executable, from *",
	             (void)!vmap(frames, 1, VM_MAP, PAGE_KERNEL_EXEC));
	assert_like_before();
}

/* ---- Mistakes ----------------------------------------------------------------------------------------------------- */

static void what_may_not_be_called_in_an_interrupt_is_reported(void)
{
	static void *area;

	area = vmalloc(1);
	assert_non_null(area);
	this_cpu()->interrupt_depth++;
	expect_panic("vmalloc: in interrupt context, from *", (void)!vmalloc(1));
	expect_panic("vmalloc: in interrupt context, from *", (void)!__vmalloc(1, GFP_ATOMIC, PAGE_KERNEL));
	expect_panic("vunmap: in interrupt context, from *", vunmap(area));
	expect_panic("iounmap: in interrupt context, from *", iounmap(area));
	expect_panic("vmap: in interrupt context, from *", (void)!vmap(frames, 1, VM_MAP, PAGE_KERNEL));
	expect_panic("ioremap: in interrupt context, from *", (void)!ioremap(no_ram(), 1));
	expect_panic("get_vm_area: in interrupt context, from *", (void)!get_vm_area(1, VM_MAP));
	this_cpu()->interrupt_depth--;
	vfree(area);
}

/* As a handler would. */
static void vfree_in_interrupt(void *area)
{
	this_cpu()->interrupt_depth++;
	vfree(area);
	this_cpu()->interrupt_depth--;
}

static void what_a_handler_frees_goes_with_the_next_call_outside(void)
{
	static char *areas[20];

	vm_unmap_aliases();
	size_t pages_before = vmalloc_stats().nr_pages;
	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		areas[i] = vmalloc((1 + i) * PAGE_SIZE);
		assert_non_null(areas[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++)
		vfree_in_interrupt(areas[(i * 7) % ARRAY_SIZE(areas)]);
	assert_sound(vmalloc_check());
	assert_int_equal(vmalloc_stats().nr_pages, pages_before + 20 * 21 / 2);
	this_cpu()->interrupt_depth++;
	expect_panic("vfree: 0x* was freed before, by *", vfree(areas[3]));
	this_cpu()->interrupt_depth--;
	expect_panic("vfree: 0x* was freed before, by *", vfree(areas[3])); /* what waited has gone by now */
	assert_int_equal(vmalloc_stats().nr_pages, pages_before);
	assert_sound(vmalloc_check());
}

static void what_a_handler_frees_is_there_for_who_runs_short(void)
{
	struct hoard hoard = {0};
	char *large = vmalloc(200 * PAGE_SIZE);

	assert_non_null(large);
	hoard_take(&hoard, GFP_ATOMIC, 0);
	vfree_in_interrupt(large); /* its frames are all there is */
	size_t freed = reclaim_pages();
	size_t free_now = nr_free_pages();
	hoard_release(&hoard);
	assert_at_least(freed, 200);
	assert_at_least(free_now, 200);

	char *area = take_within(5 * PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(area);
	vfree_in_interrupt(area); /* its range is the only one */
	char *again = take_within(5 * PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_KERNEL);
	assert_ptr_equal(again, area);
	vfree(again);
}

static void the_verifier_sees_what_is_wrong_with_deferred_areas(void)
{
	char *area = vmalloc(PAGE_SIZE);

	assert_non_null(area);
	vfree_in_interrupt(area);
	struct vmap_area *node = vmalloc_to_page(area)->owner;
	node->flags &= ~(uint32_t)VM_DEFERRED;
	assert_matches(vmalloc_check(), "V2: * is only half there, flags 0x*");
	node->flags &= ~(uint32_t)VM_DYING;
	assert_matches(vmap_ranges_check(),
	               "L4: CPU *: 0x*, flags 0x*, is no deferred area that begins with frame 0x*");
	node->flags |= VM_DYING | VM_DEFERRED;
	struct page *frame = vmalloc_to_page(area);
	frame->owner = NULL;
	assert_matches(vmap_ranges_check(),
	               "L4: CPU *: frame 0x* in the chain of deferred areas is vmalloc, of no area");
	frame->owner = node;
	vmalloc_state.nr_deferred++;
	assert_matches(vmalloc_check(), "V8: 1 areas were given back in interrupts, counted as 2");
	assert_matches(vmap_ranges_check(), "L4: the CPUs have deferred 1 areas, counted as 2");
	vmalloc_state.nr_deferred--;
	assert_sound(vmalloc_check());
	vm_unmap_aliases();
	assert_sound(vmalloc_check());
}

static void vfree_of_memory_of_another_kind_is_reported(void)
{
	static void *object, *pages;

	object = kmalloc(64, GFP_KERNEL);
	pages = (void *)__get_free_pages(GFP_KERNEL, 0);
	assert_non_null(object);
	assert_non_null(pages);
	remember_memory();
	expect_panic("vfree: 0x* is no vmalloc address, from *: *kmalloc-64*", vfree(object));
	expect_panic("vfree: 0x* is no vmalloc address, from *: direct map, frame 0x* (held) *",
	             vfree(pages));
	expect_panic("vfree: 0x10 is no vmalloc address, from *: NULL page, offset 0x10",
	             vfree(ZERO_SIZE_PTR));
	assert_like_before();
	kfree(object);
	free_pages((unsigned long)pages, 0);
}

static void vfree_of_an_address_inside_an_area_is_reported(void)
{
	static char *area;

	area = take_within(2 * PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	remember_memory();
	expect_panic(
	        relocated(
	                "vfree: 0xffffc08000001000 is 4096 bytes inside the vmalloc area 0xffffc08000000000-0xffffc08000003000 "
	                "allocated by *, from *"),
	        vfree(area + PAGE_SIZE));
	expect_panic("vfree: 0x* is 1 bytes inside the vmalloc area *", vfree(area + 1));
	expect_panic("vfree: 0x* is 12287 bytes inside the vmalloc area *", vfree(area + 3 * PAGE_SIZE - 1));
	assert_like_before();
	vfree(area);
}

static void the_second_vfree_is_reported_late_or_early(void)
{
	static char *area;

	area = take_within(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	find_vm_area(area)->flags |= VM_DYING; /* as seen while the first one still runs elsewhere */
	expect_panic(relocated("vfree: 0xffffc08000000000 is being freed already, from *"), vfree(area));
	find_vm_area(area)->flags &= ~(uint32_t)VM_DYING;
	vfree(area);
	remember_memory();
	expect_panic(
	        relocated("vfree: 0xffffc08000000000 is in no area: freed twice, or never allocated; from *"),
	        vfree(area));
	assert_like_before();
}

static void an_area_that_is_still_being_filled_is_nobodys_to_free(void)
{
	static char *area;

	area = take_within(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	find_vm_area(area)->flags |= VM_UNINITIALIZED; /* as seen while vmalloc() still runs elsewhere */
	expect_panic(
	        relocated("vfree: 0xffffc08000000000 is in no area: freed twice, or never allocated; from *"),
	        vfree(area));
	find_vm_area(area)->flags &= ~(uint32_t)VM_UNINITIALIZED;
	vfree(area);
}

/* Stands in for the kernel's source of tables, and looks at an area when its tables come back. */
static struct page_source *real_source;
static struct vmap_area *watched;
static uint32_t flags_seen;

static bool watching_take(struct page_source *source, paddr_t *frame)
{
	(void)source;
	return real_source->take(real_source, frame);
}

static void watching_give(struct page_source *source, paddr_t frame)
{
	(void)source;
	flags_seen = watched->flags;
	real_source->give(real_source, frame);
}

static void an_area_is_marked_before_its_mappings_go(void)
{
	struct page_source watching = {.take = watching_take, .give = watching_give};
	need_window(4 * PGD_SIZE, "needs an area that is alone in its tables");
	void *area = take_within(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	watched = find_vm_area(area);
	flags_seen = 0;
	real_source = kernel_pagetable.source;
	kernel_pagetable.source = &watching;
	vfree(area);
	vm_unmap_aliases();
	kernel_pagetable.source = real_source;
	assert_int_equal(flags_seen, VM_ALLOC | VM_DYING | VM_LAZY);
}

/* ---- Between vfree and the flush ---------------------------------------------------------------------------------- */

enum { LAZY_ROUNDS = 256 };

static void frames_and_addresses_of_a_freed_area_wait_for_the_flush(void)
{
	reclaim_pages();
	size_t free_before = nr_free_pages();
	char *area = take_within(5 * PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(area);
	vfree(area);
	assert_null(find_vm_area(area));
	assert_null(vmalloc_to_page(area));
	assert_at_most(nr_free_pages(), free_before - 5); /* the tables wait as well */
	/* Who may not wait for others is not given the range either. */
	assert_null(take_within(PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_ATOMIC | __GFP_NOWARN));
	vm_unmap_aliases();
	assert_at_least(nr_free_pages(),
	                free_before - 4); /* what is left are the descriptor's slab and its magazines */
	reclaim_pages();
	assert_int_equal(nr_free_pages(), free_before);
}

static void kept_ranges_and_frames_are_given_back_before_anything_is_refused(void)
{
	char *area = take_within(5 * PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(area);
	vfree(area);
	char *again = take_within(5 * PAGE_SIZE, 1, remote(), remote() + 6 * PAGE_SIZE, GFP_KERNEL);
	assert_ptr_equal(again, area);
	vfree(again);

	char *large = vmalloc(200 * PAGE_SIZE);
	assert_non_null(large);
	struct hoard hoard = {0};
	hoard_take(&hoard, GFP_ATOMIC, 0);
	vfree(large); /* its frames are all there is */
	large = __vmalloc(200 * PAGE_SIZE, GFP_KERNEL | __GFP_HIGH, PAGE_KERNEL);
	hoard_release(&hoard);
	assert_non_null(large);
	vfree(large);
}

/* Of a page, at a multiple of 4 MiB: alone in its table, mostly. */
static char *take_alone(void)
{
	return __vmalloc_node_range(PAGE_SIZE, 4 * MIB, VMALLOC_START, VMALLOC_END, GFP_KERNEL, PAGE_KERNEL,
	                            0, NUMA_NO_NODE, SOMEWHERE);
}

static void a_range_that_is_kept_keeps_its_table_until_it_is_a_hole(void)
{
	enum { LAZY = 64 };
	static char *areas[LAZY];

	need_window(LAZY * 8 * MIB, "takes an area in each 4 MiB");
	vm_unmap_aliases();
	size_t tables = kernel_pagetable.nr_tables;
	for (unsigned i = 0; i < LAZY; i++)
		assert_non_null(areas[i] = take_alone());
	size_t with_areas = kernel_pagetable.nr_tables;
	for (unsigned i = 0; i < LAZY; i++)
		vfree(areas[i]);
	assert_int_equal(kernel_pagetable.nr_tables, with_areas); /* flushed by now */
	assert_ptr_equal(areas[0] = take_alone(), areas[LAZY - 1]);

	/* A vmap() that takes such a range, and cannot have its frame, makes it a hole. */
	vfree(areas[0]);
	for (unsigned i = 1; i < LAZY; i++) {
		assert_non_null(areas[i] = take_alone());
		vfree(areas[i]);
	}
	frames[0] = alloc_pages(GFP_KERNEL, 1);
	assert_non_null(frames[0]);
	expect_panic("vmap: frame 0x*, held, cannot be given away as a single frame, from *",
	             (void)!vmap(frames, 1, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL));
	assert_int_equal(kernel_pagetable.nr_tables, with_areas - 1);
	__free_pages(frames[0], 1);
	vm_unmap_aliases();
	assert_int_equal(kernel_pagetable.nr_tables, tables);
	assert_int_equal(kernel_pagetable.nr_unswept, 0);
}

static void many_areas_are_freed_with_one_flush(void)
{
	vm_unmap_aliases();
	uint64_t purges = counter_sum(COUNT_RANGE_PURGES), hits = counter_sum(COUNT_RANGE_HITS),
	         asked = counter_sum(COUNT_SHOOTDOWNS);

	for (unsigned round = 0; round < LAZY_ROUNDS; round++) {
		char *area = vmalloc((1 + round % 3) * PAGE_SIZE);
		assert_non_null(area);
		vm_poke(area, (uint8_t)round);
		vfree(area);
	}
	assert_int_equal(counter_sum(COUNT_RANGE_PURGES) - purges, LAZY_ROUNDS / 64);
	assert_at_most(counter_sum(COUNT_SHOOTDOWNS) - asked, 2 * LAZY_ROUNDS / 64);
	/* What a flush cleaned, up to 15 of a size, was used again. */
	assert_at_least(counter_sum(COUNT_RANGE_HITS) - hits, (LAZY_ROUNDS / 64 - 1) * 45);
	assert_sound(vmalloc_check());
}

static void freeing_an_area_twice_names_both(void)
{
	char *area = take_within(5 * PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);

	assert_non_null(area);
	vfree(area);
	expect_panic(relocated("vfree: 0xffffc08000000000 was freed before, by *; it was in the vmalloc area "
	                       "0xffffc08000000000-0xffffc08000006000 allocated by *, from *"),
	             vfree(area));
	vm_unmap_aliases();
	expect_panic(
	        relocated("vfree: 0xffffc08000000000 is in no area: freed twice, or never allocated; from *"),
	        vfree(area));
}

static void a_frame_that_some_cpu_may_still_reach_cannot_be_freed(void)
{
	if (!IS_DEBUG)
		test_skip("the debug build marks frames");
	char *area = vmalloc(PAGE_SIZE);
	assert_non_null(area);
	struct page *page = vmalloc_to_page(area);
	vfree(area);
	expect_panic("*page_alloc.c:*: assertion failed: !page->unflushed", __free_page(page));
}

static void each_kind_of_area_is_freed_by_its_own_call_only(void)
{
	static void *owned, *mapped, *device;
	static struct vmap_area *bare;

	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 1, frames), 1);
	owned = vmalloc(1);
	mapped = vmap(frames, 1, VM_MAP, PAGE_KERNEL);
	device = ioremap(no_ram(), 1);
	bare = get_vm_area(1, VM_MAP);
	assert_true(owned && mapped && device && bare);
	remember_memory();
	expect_panic("vunmap: 0x* is a vmalloc area allocated by *, to be freed by vfree(), from *",
	             vunmap(owned));
	expect_panic("iounmap: 0x* is a vmalloc area allocated by *, to be freed by vfree(), from *",
	             iounmap(owned));
	expect_panic("vfree: 0x* is a vmap area allocated by *, to be freed by vunmap(), from *",
	             vfree(mapped));
	expect_panic("vfree: 0x* is a ioremap area allocated by *, to be freed by iounmap(), from *",
	             vfree(device));
	expect_panic("vunmap: 0x* is a ioremap area allocated by *, to be freed by iounmap(), from *",
	             vunmap(device));
	expect_panic("free_vm_area: 0x* is a vmalloc area allocated by *, to be freed by vfree(), from *",
	             free_vm_area(find_vm_area(owned)));
	assert_like_before();
	free_vm_area(bare);
	expect_panic("free_vm_area: 0x* is no area, from *", free_vm_area(bare));
	iounmap(device);
	vunmap(mapped);
	vfree(owned);
	free_pages_bulk(1, frames);
}

static void kfree_of_a_vmalloc_address_is_reported(void)
{
	static void *area;

	area = vmalloc(1);
	assert_non_null(area);
	expect_panic("kfree: *", kfree(area));
	vfree(area);
}

/* ---- Failures on the way ------------------------------------------------------------------------------------------ */

static void *sweep_vmalloc(void)
{
	return vmalloc(5 * PAGE_SIZE);
}

static void *sweep_many_batches(void)
{
	return __vmalloc(600 * PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL_RO); /* never of large blocks */
}

static void *sweep_aligned(void)
{
	return take_within(3 * PAGE_SIZE, PUD_SIZE, remote() + PAGE_SIZE, VMALLOC_END, GFP_KERNEL);
}

static void *sweep_vzalloc(void)
{
	return vzalloc(PAGE_SIZE);
}

static void *sweep_atomic(void)
{
	return __vmalloc(70 * PAGE_SIZE, GFP_ATOMIC, PAGE_KERNEL);
}

/* Where no table is, and without the reclaim that would make up for a refused one. */
static void *sweep_atomic_remote(void)
{
	return take_within(3 * PAGE_SIZE, PUD_SIZE, remote() + PAGE_SIZE, VMALLOC_END, GFP_ATOMIC);
}

static void *sweep_vmap(void)
{
	return vmap(frames, MAPPED, VM_MAP, PAGE_KERNEL);
}

static void *sweep_vmap_put_pages(void)
{
	void *area = vmap(frames, MAPPED, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (!area) /* still ours */
		free_pages_bulk(MAPPED, frames);
	return area;
}

static void *sweep_ioremap(void)
{
	return ioremap(no_ram() + 5, 3 * PAGE_SIZE);
}

static void *sweep_get_vm_area(void)
{
	return get_vm_area(PAGE_SIZE, VM_MAP);
}

static void unmap_keeping_frames(void *area)
{
	vunmap(area);
}

static void give_vfree(void *area)
{
	vfree(area);
}

static void give_iounmap(void *area)
{
	iounmap(area);
}

static void give_vm_area(void *area)
{
	free_vm_area(area);
}

struct sweep {
	void *(*take)(void);
	void (*give)(void *area);
	bool own_frames, keep_frames; /* needs frames[]; and still has them afterwards */
	unsigned questions;           /* at least so many ways to fail there are */
};

static void seen_reason(const char *warning, unsigned *seen)
{
	static const char *const reasons[] = {"no virtual space", "no area descriptor", "no frames",
	                                      "no page-table page"};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		format_buffer(words, sizeof(words), "*: %s", reasons[i]);
		*seen |= (unsigned)glob_match(words, warning) << i;
	}
}

/* Refuses the 1st, 2nd, … allocation inside until none is left to refuse. */
static void sweep_failures(const struct sweep *sweep, unsigned *reasons)
{
	for (unsigned nth = 1;; nth++) {
		test_step(nth);
		remember_memory();
		if (sweep->own_frames)
			take_shuffled_frames();
		refuse_allocation(nth);
		void *area = sweep->take();
		bool refused = was_refused(area);
		if (!area)
			seen_reason(test_warning_last(), reasons);
		if (area)
			sweep->give(area);
		if (sweep->keep_frames)
			free_pages_bulk(MAPPED, frames);
		assert_like_before();
		if (!refused) {
			assert_at_least(nth, sweep->questions + 1);
			return;
		}
	}
}

static void every_failure_inside_leaves_no_trace_and_one_warning(void)
{
	static const struct sweep sweeps[] = {
	        {sweep_vmalloc, give_vfree, false, false, 3},
	        {sweep_many_batches, give_vfree, false, false, 10},
	        {sweep_aligned, give_vfree, false, false, 6},
	        {sweep_vzalloc, give_vfree, false, false, 3},
	        {sweep_atomic, give_vfree, false, false, 4},
	        {sweep_atomic_remote, give_vfree, false, false, 6},
	        {sweep_vmap, unmap_keeping_frames, true, true, 2},
	        {sweep_vmap_put_pages, give_vfree, true, false, 2},
	        {sweep_ioremap, give_iounmap, false, false, 2},
	        {sweep_get_vm_area, give_vm_area, false, false, 2},
	};
	unsigned reasons = 0;

	need_window(4 * PGD_SIZE, "needs an area that is alone in its tables");
	need_injected_failures();
	for (size_t i = 0; i < ARRAY_SIZE(sweeps); i++)
		sweep_failures(&sweeps[i], &reasons);
	assert_int_equal(reasons, 0xf); /* each of the four reasons was given at least once */
}

enum { EXHAUST_PIECES = 64 };

static void all_memory_can_be_taken_as_areas_and_comes_back(void)
{
	static void *pieces[EXHAUST_PIECES];
	size_t taken = 0, pages = nr_free_pages() / 16 + 1;

	need_window(2 * (nr_managed_pages() << PAGE_SHIFT), "takes all memory");
	if (nr_free_pages() << PAGE_SHIFT > 512 * MIB)
		test_skip("%zu MiB free: taking it all would take too long",
		          nr_free_pages() >> (20 - PAGE_SHIFT));
	remember_memory();
	/* Ever smaller pieces, until not even a page is left. */
	while (pages) {
		void *piece =
		        taken < EXHAUST_PIECES ? __vmalloc(pages * PAGE_SIZE, QUIET, PAGE_KERNEL) : NULL;
		if (piece)
			pieces[taken++] = piece;
		else
			pages /= 2;
	}
	assert_at_least(taken, 15);
	assert_at_most(taken, EXHAUST_PIECES - 1);
	assert_sound(mm_verify());
	test_warnings_begin();
	assert_null(vmalloc(PAGE_SIZE));
	assert_int_equal(test_warnings_end(), 1);
	while (taken)
		vfree(pieces[--taken]);
	assert_like_before();
}

/* ---- A long life -------------------------------------------------------------------------------------------------- */

enum { LIVE_MAX = 40 };

static struct {
	char *start;
	size_t size;
	uint64_t seed;
} live[LIVE_MAX];

/* Apart from every other live area by at least the guard page. */
static void assert_apart(size_t which)
{
	uintptr_t start = (uintptr_t)live[which].start,
	          end = start + align_up(live[which].size, PAGE_SIZE) + PAGE_SIZE;

	for (size_t i = 0; i < LIVE_MAX; i++) {
		uintptr_t other = (uintptr_t)live[i].start;
		uintptr_t other_end = other + align_up(live[i].size, PAGE_SIZE) + PAGE_SIZE;
		assert_true(i == which || !live[i].start || end <= other || other_end <= start);
	}
}

static void replace_area(struct rng *rng, size_t which, uint64_t step)
{
	if (live[which].start) {
		assert_pattern(live[which].start, live[which].size, live[which].seed);
		vfree(live[which].start);
		live[which].start = NULL;
		return;
	}
	size_t size = 1 + rng_below(rng, rng_below(rng, 8) ? 6 * PAGE_SIZE : 70 * PAGE_SIZE);
	size_t align = PAGE_SIZE << (rng_below(rng, 3) ? 0 : rng_below(rng, 19));
	char *start = rng_below(rng, 2) ? vmalloc(size) : take_within(size, align, WINDOW, GFP_KERNEL);
	assert_non_null(start);
	live[which].start = start;
	live[which].size = size;
	live[which].seed = step;
	write_pattern(start, size, step);
	assert_apart(which);
}

static void a_long_random_life_corrupts_nothing(void)
{
	uint64_t steps = test_is_hosted() ? 3000 : 400;
	struct rng rng;

	need_window(4 * PGD_SIZE, "aligns areas to up to 1 GiB");
	memset(live, 0, sizeof(live));
	rng_seed(&rng, test_seed());
	remember_memory();
	for (uint64_t step = 0; step < steps; step++) {
		test_step(step);
		replace_area(&rng, rng_below(&rng, LIVE_MAX), step);
		assert_sound(vmalloc_check());
		if (step % 64 == 0)
			assert_sound(mm_verify());
	}
	for (size_t i = 0; i < LIVE_MAX; i++)
		if (live[i].start)
			replace_area(&rng, i, steps);
	assert_like_before();
}

/* ---- Words -------------------------------------------------------------------------------------------------------- */

static const char *describe(const void *address)
{
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, words, sizeof(words));
	return vmalloc_describe(vaddr_of(address), &buffer.printer) ? words : "(not of the window)";
}

#define AREA_WORDS \
	"the vmalloc area 0xffffc08000000000-0xffffc08000004000 (9000 bytes requested, allocated by *)"
#define NEXT_WORDS \
	"the vmalloc area 0xffffc08000004000-0xffffc08000006000 (4096 bytes requested, allocated by *)"
#define LAST_WORDS \
	"the vmalloc area 0xffffc08000008000-0xffffc0800000a000 (1 bytes requested, allocated by *)"

static void every_address_of_the_window_is_described_from_its_nearest_area(void)
{
	char *area = take_within(9000, 1, remote(), VMALLOC_END, GFP_KERNEL);
	char *next = take_within(PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	char *last = take_within(1, 1, remote() + 8 * PAGE_SIZE, VMALLOC_END, GFP_KERNEL);

	assert_true(area && next == area + 4 * PAGE_SIZE && last == area + 8 * PAGE_SIZE);
	assert_matches(describe(area), relocated("byte 0 of " AREA_WORDS));
	assert_matches(describe(area + 8999), relocated("byte 8999 of " AREA_WORDS));
	assert_matches(describe(area + 9000),
	               relocated("1 byte past the end of " AREA_WORDS ": the slack of its last page"));
	assert_matches(describe(area + 3 * PAGE_SIZE),
	               relocated("3289 bytes past the end of " AREA_WORDS
	                         ": its guard page; 4096 bytes before the start of " NEXT_WORDS));
	assert_matches(describe(next - 1),
	               relocated("7384 bytes past the end of " AREA_WORDS
	                         ": its guard page; 1 byte before the start of " NEXT_WORDS));
	assert_matches(describe(next + PAGE_SIZE),
	               relocated("1 byte past the end of " NEXT_WORDS ": its guard page"));
	assert_matches(describe(next + 2 * PAGE_SIZE),
	               relocated("4097 bytes past the end of " NEXT_WORDS
	                         ": in no area; 8192 bytes before the start of " LAST_WORDS));
	assert_matches(describe(last + 3 * PAGE_SIZE),
	               relocated("12288 bytes past the end of " LAST_WORDS ": in no area*"));
	assert_string_equal(describe((void *)(VMALLOC_START - 1)), "(not of the window)");
	assert_string_equal(describe((void *)VMALLOC_END), "(not of the window)");
	vfree(last);
	vfree(next);
	vfree(area);
}

/* The line of words[] that begins at the area, cut at its end. */
static const char *info_line(const void *area)
{
	static char start[32];
	struct buffer_printer buffer;

	buffer_printer_init(&buffer, words, sizeof(words));
	vmallocinfo_dump(&buffer.printer);
	format_buffer(start, sizeof(start), "0x%016lx-", (unsigned long)area);
	for (char *line = words; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		char *end = strchr(line, '\n');
		if (strncmp(line, start, strlen(start)) != 0)
			continue;
		if (end)
			*end = '\0';
		return line;
	}
	return "(no such line)";
}

static void vmallocinfo_has_linuxs_line_for_each_kind_of_area(void)
{
	uint64_t phys = no_ram() + PAGE_SIZE;

	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 2, frames), 2);
	char *owned = take_within(9000, 1, remote(), VMALLOC_END, GFP_KERNEL);
	char *mapped = vmap(frames, 2, VM_MAP, PAGE_KERNEL);
	char *device = ioremap(phys, 8);
	assert_true(owned && mapped && device);
	assert_matches(info_line(owned),
	               relocated("0xffffc08000000000-0xffffc08000004000   16384 * pages=3 vmalloc"));
	assert_matches(info_line(mapped), "0x*-0x*   12288 * vmap");
	assert_matches(info_line(device), "0x*-0x*    8192 * phys=0x* ioremap");
	iounmap(device);
	vunmap(mapped);
	vfree(owned);
	assert_matches(info_line(owned),
	               relocated("0xffffc08000000000-0xffffc08000004000   16384 * freed, to be flushed"));
	vm_unmap_aliases();
	assert_string_equal(info_line(owned), "(no such line)");
	free_pages_bulk(2, frames);
}

static void the_totals_move_with_each_area(void)
{
	struct vmalloc_stats empty = vmalloc_stats();
	assert_int_equal(empty.total_bytes, VMALLOC_END - VMALLOC_START);
	void *area = vmalloc(5 * PAGE_SIZE);
	assert_non_null(area);
	struct vmalloc_stats stats = vmalloc_stats();
	assert_int_equal(stats.areas, empty.areas + 1);
	assert_int_equal(stats.used_bytes, empty.used_bytes + 6 * PAGE_SIZE);
	assert_int_equal(stats.nr_pages, empty.nr_pages + 5);
	assert_at_most(stats.largest_hole, stats.total_bytes - stats.used_bytes);
	vfree(area);
	stats = vmalloc_stats();
	assert_int_equal(stats.used_bytes, empty.used_bytes);
	assert_int_equal(stats.kept_bytes, empty.kept_bytes + 6 * PAGE_SIZE);
	vm_unmap_aliases();
	stats = vmalloc_stats();
	assert_int_equal(stats.kept_bytes, 0);
	assert_int_equal(stats.largest_hole, empty.largest_hole);
}

/* ---- The verifier ------------------------------------------------------------------------------------------------- */

static struct vmap_area *victim; /* four data pages and a guard, at remote() */

static void set_up_victim(void)
{
	char *area = take_within(4 * PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);
	assert_non_null(area);
	victim = find_vm_area(area);
	assert_sound(vmalloc_check());
}

static void free_victim(void)
{
	assert_sound(vmalloc_check());
	vfree((void *)victim->va_start);
}

#define expect_broken(pattern, damage, repair) \
	expect_broken_by(vmalloc_check(), relocated(pattern), damage, repair)

static void the_verifier_sees_V1_unsound_ranges(void)
{
	set_up_victim();
	expect_broken("S6: * busy areas, counted as *", vmalloc_state.space.nr_busy++,
	              vmalloc_state.space.nr_busy--);
	free_victim();
}

static void the_verifier_sees_V2_areas_of_the_wrong_size_or_kind(void)
{
	set_up_victim();
	expect_broken("V2: the area 0xffffc08000000000-0xffffc08000005000 is not what its 16385 bytes need",
	              victim->requested_size++, victim->requested_size--);
	expect_broken("V2: the area 0xffffc08000000000-0xffffc08000005000 is not what its 0 bytes need",
	              victim->requested_size = 0, victim->requested_size = 4 * PAGE_SIZE);
	expect_broken("V2: the area 0xffffc08000000000-0xffffc08000005000 has flags 0x5",
	              victim->flags = VM_MAP | VM_IOREMAP, victim->flags = VM_ALLOC);
	expect_broken("V2: the area 0xffffc08000000000-0xffffc08000005000 is only half there, flags 0x22",
	              victim->flags |= VM_UNINITIALIZED, victim->flags &= ~(uint32_t)VM_UNINITIALIZED);
	free_victim();
}

static void map_one(uintptr_t address)
{
	assert_true(pagetable_map_pages(&kernel_pagetable, vaddr(address), frames, 1, PAGE_KERNEL));
}

static void unmap_one(uintptr_t address)
{
	assert_true(pagetable_unmap(&kernel_pagetable, vrange_sized(vaddr(address), PAGE_SIZE), NULL));
}

static void remap_one(uintptr_t address, struct page *page)
{
	unmap_one(address);
	frames[0] = page;
	map_one(address);
}

static void the_verifier_sees_V3_a_mapped_guard_page(void)
{
	set_up_victim();
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 1, frames), 1);
	expect_broken(
	        "V3: the guard page 0xffffc08000004000 of the area 0xffffc08000000000-0xffffc08000005000 is mapped",
	        map_one(victim->va_end - PAGE_SIZE), unmap_one(victim->va_end - PAGE_SIZE));
	free_pages_bulk(1, frames);
	free_victim();
}

static void the_verifier_sees_V4_a_mapping_in_a_hole(void)
{
	set_up_victim();
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 1, frames), 1);
	expect_broken("V4: 0xffffc08000005000 is mapped, but in no area", map_one(victim->va_end),
	              unmap_one(victim->va_end));
	expect_broken("V4: 0xffffc07ffffff000 is mapped, but in no area",
	              map_one(victim->va_start - PAGE_SIZE), unmap_one(victim->va_start - PAGE_SIZE));
	free_pages_bulk(1, frames);
	free_victim();
}

static void the_verifier_sees_V5_pages_that_are_missing_or_not_the_areas(void)
{
	set_up_victim();
	uintptr_t first = victim->va_start, last = victim->va_end - 2 * PAGE_SIZE;
	struct page *page = vmalloc_to_page((void *)first);
	frames[0] = vmalloc_to_page((void *)last);
	assert_ptr_equal(frames[0], page + 3); /* one block */
	expect_broken("V5: the area 0xffffc08000000000-0xffffc08000005000 has 3 of its 4 pages mapped",
	              unmap_one(last), map_one(last));
	expect_broken(
	        "V5: 0xffffc08000003000 is mapped to the frame 0x*, and the block before it goes on with 0x*",
	        remap_one(last, page), remap_one(last, page + 3));
	expect_broken("V5: 0xffffc08000000000 is mapped to the frame 0x*, of type slab, order 2",
	              page->type = PAGE_SLAB, page->type = PAGE_VMALLOC);
	expect_broken("V5: 0xffffc08000000000 is mapped to the frame 0x* of another area", page->owner = NULL,
	              page->owner = victim);
	free_victim();
}

static void the_verifier_sees_V6_a_wrong_count_of_frames(void)
{
	set_up_victim();
	expect_broken("V6: areas own * frames, counted as *", cpu_count(COUNT_AREA_PAGES, 1),
	              cpu_count(COUNT_AREA_PAGES, -1UL));
	free_victim();
}

static void the_verifier_sees_what_is_wrong_with_kept_ranges(void)
{
	char *area = take_within(2 * PAGE_SIZE, 1, remote(), VMALLOC_END, GFP_KERNEL);

	assert_non_null(area);
	struct vmap_area *kept = find_vm_area(area);
	vfree(area);
	uint32_t flags = kept->flags;
	struct page *first = pfn_to_page(pfn(kept->frames));

	kept->flags = (flags & ~(uint32_t)VM_LAZY) | VM_SPARE;
	expect_broken("L1: CPU *: the area 0xffffc08000000000-0xffffc08000003000 is not lazy, flags 0x*",
	              (void)0, kept->flags = flags);
	cpu_count(COUNT_GONE_AREAS, 1);
	expect_broken("V7: * ranges of * bytes were given back and are kept, counted as * of *", (void)0,
	              cpu_count(COUNT_GONE_AREAS, -1UL));
	first->type = PAGE_SLAB;
	expect_broken("L1: CPU *: frame 0x* waits in 0xffffc08000000000-0xffffc08000003000, but is slab",
	              (void)0, first->type = PAGE_HELD);
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 1, frames), 1);
	expect_broken(
	        "V7: 0xffffc08000000000-0xffffc08000003000 was given back, but 1 pages are mapped in it",
	        map_one((uintptr_t)area), unmap_one((uintptr_t)area));
	free_pages_bulk(1, frames);
	vm_unmap_aliases();
}

static const struct test_case cases[] = {
        TEST_CASE(frames_and_addresses_of_a_freed_area_wait_for_the_flush),
        TEST_CASE(kept_ranges_and_frames_are_given_back_before_anything_is_refused),
        TEST_CASE(a_range_that_is_kept_keeps_its_table_until_it_is_a_hole),
        TEST_CASE(many_areas_are_freed_with_one_flush),
        TEST_CASE(freeing_an_area_twice_names_both),
        TEST_CASE(a_frame_that_some_cpu_may_still_reach_cannot_be_freed),
        TEST_CASE(the_verifier_sees_what_is_wrong_with_kept_ranges),
        TEST_CASE(every_size_reads_back_what_was_written_and_ends_in_an_absent_page),
        TEST_CASE(areas_side_by_side_keep_their_own_bytes),
        TEST_CASE(a_freed_area_is_mapped_nowhere),
        TEST_CASE(vzalloc_gives_zeroes_though_the_frames_were_dirty),
        TEST_CASE(areas_begin_at_the_alignment_asked_for),
        TEST_CASE(a_sub_range_is_kept_to_and_filled_to_its_last_page),
        TEST_CASE(of_two_areas_512_GiB_apart_one_survives_the_other),
        TEST_CASE(page_tables_come_with_an_area_and_go_with_it),
        TEST_CASE(an_area_that_was_cleared_in_parts_is_swept_as_one),
        TEST_CASE(a_kept_range_that_is_taken_for_nothing_loses_its_empty_tables),
        TEST_CASE(the_block_behind_each_page_holds_its_bytes_and_names_its_area),
        TEST_CASE(an_area_is_found_from_each_of_its_bytes_and_its_guard),
        TEST_CASE(only_addresses_of_the_window_are_vmalloc_addresses),
        TEST_CASE(without_a_guard_two_areas_touch),
        TEST_CASE(an_area_has_the_protection_asked_for),
        TEST_CASE(frames_come_from_the_zone_asked_for),
        TEST_CASE(vfree_of_NULL_and_its_siblings_do_nothing),
        TEST_CASE(vmap_shows_given_frames_in_the_given_order),
        TEST_CASE(vmap_may_show_one_frame_many_times),
        TEST_CASE(frames_given_away_to_vmap_are_freed_with_it),
        TEST_CASE(frames_that_cannot_be_given_away_are_reported_and_stay),
        TEST_CASE(a_bare_area_is_filled_by_its_owner_and_emptied_with_it),
        TEST_CASE(kvmalloc_prefers_kmalloc),
        TEST_CASE(kvmalloc_falls_back_to_vmalloc_without_a_word),
        TEST_CASE(writable_and_executable_memory_is_the_callers_mistake),
        TEST_CASE(what_may_not_be_called_in_an_interrupt_is_reported),
        TEST_CASE(what_a_handler_frees_goes_with_the_next_call_outside),
        TEST_CASE(what_a_handler_frees_is_there_for_who_runs_short),
        TEST_CASE(the_verifier_sees_what_is_wrong_with_deferred_areas),
        TEST_CASE(vfree_of_memory_of_another_kind_is_reported),
        TEST_CASE(vfree_of_an_address_inside_an_area_is_reported),
        TEST_CASE(the_second_vfree_is_reported_late_or_early),
        TEST_CASE(an_area_that_is_still_being_filled_is_nobodys_to_free),
        TEST_CASE(an_area_is_marked_before_its_mappings_go),
        TEST_CASE(each_kind_of_area_is_freed_by_its_own_call_only),
        TEST_CASE(kfree_of_a_vmalloc_address_is_reported),
        TEST_CASE(every_failure_inside_leaves_no_trace_and_one_warning),
        TEST_CASE(all_memory_can_be_taken_as_areas_and_comes_back),
        TEST_CASE(a_long_random_life_corrupts_nothing),
        TEST_CASE(every_address_of_the_window_is_described_from_its_nearest_area),
        TEST_CASE(vmallocinfo_has_linuxs_line_for_each_kind_of_area),
        TEST_CASE(the_totals_move_with_each_area),
        TEST_CASE(the_verifier_sees_V1_unsound_ranges),
        TEST_CASE(the_verifier_sees_V2_areas_of_the_wrong_size_or_kind),
        TEST_CASE(the_verifier_sees_V3_a_mapped_guard_page),
        TEST_CASE(the_verifier_sees_V4_a_mapping_in_a_hole),
        TEST_CASE(the_verifier_sees_V5_pages_that_are_missing_or_not_the_areas),
        TEST_CASE(the_verifier_sees_V6_a_wrong_count_of_frames),
};

extern const struct test_suite vmalloc_suite;
const struct test_suite vmalloc_suite = TEST_SUITE("vmalloc", cases);
