/*
 * Page tables, on private roots that no CPU loads: each promise by itself, then everything at random against an array
 * of pages, then the verifier against every kind of damage it names. Physical addresses are invented except where frames
 * are collected: nothing reads through these tables. So one run has tables of 4 and of 5 levels, whatever its CPUs walk.
 */
#include <arch/tlb.h>
#include <mm/pagetable.h>
#include <mm/pagetable_check.h>
#include <test/test.h>
#include "expected.h"
#include "failing_source.h"
#include "pagetable_model.h"

#define BASE           0xffffc00000000000UL /* aligned to 512 GiB */
#define MEMORY         0x0000010000000000UL /* physical, invented, aligned to 512 GiB */
#define BEYOND_48_BITS 0xff91000000000000UL /* aligned to 256 TiB */
#define KIB            (1UL << 10)
#define MIB            (1UL << 20)
#define GIB            (1UL << 30)

static struct failing_source source;
static struct pagetable pt;

static void set_up(unsigned levels)
{
	failing_source_init(&source);
	assert_true(pagetable_init(&pt, &source.source, levels));
}

static void set_up_4_levels(void)
{
	set_up(4);
}

static void set_up_5_levels(void)
{
	set_up(5);
}

static void tear_down(void)
{
	pagetable_destroy(&pt);
	assert_int_equal(source.held, 0);
	assert_int_equal(pt.nr_tables, 0);
}

/* The structure holds, and no table is unaccounted for on either side. */
static void assert_table(void)
{
	assert_sound(pagetable_check(&pt));
	assert_int_equal(source.held, pt.nr_tables);
}

/* How many tables there are where 4 levels would need `tables`, if all that is mapped lies in the last 256 TiB. */
static size_t with_root(size_t tables)
{
	return tables + (pt.levels - 4);
}

/* Bytes of one half of the address space. */
static uint64_t half(void)
{
	return 1UL << (pt_address_bits(pt.levels) - 1);
}

static struct vrange span(uint64_t start, uint64_t size)
{
	return vrange_sized(vaddr(start), size);
}

static void map(uint64_t va, uint64_t pa, uint64_t size, unsigned max_level)
{
	assert_true(pagetable_map(&pt, span(va, size), paddr(pa), PAGE_KERNEL, max_level));
	assert_table();
}

static void unmap(uint64_t va, uint64_t size)
{
	assert_true(pagetable_unmap(&pt, span(va, size), NULL));
	assert_table();
}

static void assert_absent(uint64_t va)
{
	struct translation t;
	assert_false(pagetable_lookup(&pt, vaddr(va), &t));
}

static void assert_maps(uint64_t va, uint64_t pa, pgprot_t prot, unsigned level)
{
	struct translation t;
	if (!pagetable_lookup(&pt, vaddr(va), &t))
		fail_msg("0x%lx is not mapped", va);
	assert_int_equal(t.pa.raw, pa);
	assert_int_equal(t.prot.raw, prot.raw);
	assert_int_equal(t.level, level);
}

struct overlap {
	struct vrange range;
	bool found;
};

static bool visit_for_overlap(const struct mapping *mapping, void *context)
{
	struct overlap *overlap = context;
	overlap->found = vrange_overlaps(mapping->va, overlap->range);
	return !overlap->found;
}

static bool anything_mapped_in(struct vrange range)
{
	struct overlap overlap = {.range = range};
	address_space_walk(pt.root, pt.levels, visit_for_overlap, &overlap);
	return overlap.found;
}

/* ---- Mapping and looking up ---- */

static void an_empty_table_translates_nothing(void)
{
	assert_absent(0);
	assert_absent(BASE);
	assert_absent(UINT64_MAX);
	assert_int_equal(pt.nr_tables, 1);
	assert_table();
}

static void an_address_translates_with_its_offset_and_protection(void)
{
	assert_true(
	        pagetable_map(&pt, span(BASE + 5 * PAGE_SIZE, PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL_RO, 3));
	assert_maps(BASE + 5 * PAGE_SIZE + 0x123, MEMORY + 0x123, PAGE_KERNEL_RO, 1);
	assert_absent(BASE + 4 * PAGE_SIZE + 0xfff);
	assert_absent(BASE + 6 * PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(4));
	assert_table();
}

static void non_canonical_addresses_translate_to_nothing(void)
{
	map(BASE, MEMORY, PAGE_SIZE, 1);
	assert_absent(BASE & (2 * half() - 1)); /* the same indices */
	assert_absent(BASE ^ 2 * half());
	assert_absent(BASE & 0x7fffffffffffffff);
}

static void each_part_gets_the_largest_leaf_that_fits(void)
{
	/* 4 KiB, 2 MiB, 1 GiB, 2 MiB, 4 KiB around one GiB border pair */
	uint64_t start = GIB - 2 * MIB - 4 * KIB, size = GIB + 4 * MIB + 8 * KIB;
	map(BASE + start, MEMORY + start, size, 3);
	assert_maps(BASE + start, MEMORY + start, PAGE_KERNEL, 1);
	assert_maps(BASE + GIB - 2 * MIB, MEMORY + GIB - 2 * MIB, PAGE_KERNEL, 2);
	assert_maps(BASE + GIB + 12345, MEMORY + GIB + 12345, PAGE_KERNEL, 3);
	assert_maps(BASE + 2 * GIB, MEMORY + 2 * GIB, PAGE_KERNEL, 2);
	assert_maps(BASE + 2 * GIB + 2 * MIB, MEMORY + 2 * GIB + 2 * MIB, PAGE_KERNEL, 1);
	assert_absent(BASE + start - 1);
	assert_absent(BASE + start + size);
	assert_int_equal(pt.nr_tables, with_root(6)); /* root, level 3, two of level 2, two of level 1 */
}

static void leaves_are_no_larger_than_asked_for(void)
{
	map(BASE, MEMORY, 2 * MIB, 1);
	assert_maps(BASE + MIB, MEMORY + MIB, PAGE_KERNEL, 1);
	map(BASE + 4 * GIB, MEMORY, GIB, 2);
	assert_maps(BASE + 4 * GIB + MIB, MEMORY + MIB, PAGE_KERNEL, 2);
	assert_int_equal(pt.nr_tables, with_root(5));
}

static void leaves_are_small_where_physical_alignment_differs(void)
{
	map(BASE, MEMORY + PAGE_SIZE, 4 * MIB, 3);
	assert_maps(BASE + 2 * MIB, MEMORY + 2 * MIB + PAGE_SIZE, PAGE_KERNEL, 1);
	map(BASE + GIB, MEMORY + 2 * MIB, GIB, 3);
	assert_maps(BASE + GIB, MEMORY + 2 * MIB, PAGE_KERNEL, 2);
}

static void pages_are_mapped_one_by_one_across_tables(void)
{
	static struct page *pages[1030];
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = pfn_to_page(pfn(1000000 - 7 * i));
	uint64_t start = BASE + 510 * PAGE_SIZE; /* four last-level tables */
	assert_true(pagetable_map_pages(&pt, vaddr(start), pages, ARRAY_SIZE(pages), PAGE_KERNEL));
	assert_table();
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		assert_maps(start + i * PAGE_SIZE, (1000000 - 7 * i) << PAGE_SHIFT, PAGE_KERNEL, 1);
	assert_absent(start - PAGE_SIZE);
	assert_absent(start + ARRAY_SIZE(pages) * PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(7));
}

static void empty_ranges_do_nothing(void)
{
	map(BASE, MEMORY, 2 * MIB, 3);
	uint64_t flushes = flush_count();
	assert_true(pagetable_map(&pt, span(BASE, 0), paddr(0), PAGE_KERNEL, 3));
	assert_true(pagetable_map_pages(&pt, vaddr(BASE), NULL, 0, PAGE_KERNEL));
	assert_true(pagetable_unmap(&pt, span(BASE + PAGE_SIZE, 0), NULL));
	assert_true(pagetable_protect(&pt, span(BASE + PAGE_SIZE, 0), PAGE_KERNEL_RO));
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 2);
	assert_int_equal(flush_count(), flushes);
	assert_table();
}

/* ---- Unmapping ---- */

static void two_pages_512_gib_apart_live_and_die_apart(void)
{
	map(BASE, MEMORY, PAGE_SIZE, 1);
	map(BASE + 512 * GIB, MEMORY + PAGE_SIZE, PAGE_SIZE, 1);
	assert_int_equal(pt.nr_tables, with_root(7));
	unmap(BASE, PAGE_SIZE);
	assert_absent(BASE);
	assert_maps(BASE + 512 * GIB, MEMORY + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_int_equal(pt.nr_tables, with_root(4));
}

static void a_table_goes_with_its_last_page_and_not_before(void)
{
	for (uint64_t i = 0; i < 3; i++)
		map(BASE + i * 100 * PAGE_SIZE, MEMORY, PAGE_SIZE, 1);
	assert_int_equal(pt.nr_tables, with_root(4));
	unmap(BASE + 100 * PAGE_SIZE, PAGE_SIZE);
	unmap(BASE, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(4));
	unmap(BASE + 200 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, 1);
}

static void tables_of_other_ranges_stay(void)
{
	map(BASE, MEMORY, 8 * MIB, 1);
	unmap(BASE + MIB, 6 * MIB);
	assert_maps(BASE + MIB - PAGE_SIZE, MEMORY + MIB - PAGE_SIZE, PAGE_KERNEL, 1);
	assert_maps(BASE + 7 * MIB, MEMORY + 7 * MIB, PAGE_KERNEL, 1);
	assert_absent(BASE + MIB);
	assert_absent(BASE + 7 * MIB - PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(5)); /* the two tables wholly inside are gone */
}

static void unmapping_an_empty_half_is_quick_and_flushes_nothing(void)
{
	uint64_t flushes = flush_count();
	for (unsigned i = 0; i < 100; i++)
		assert_true(pagetable_unmap(&pt, vrange(-half(), -PAGE_SIZE), NULL));
	assert_int_equal(flush_count(), flushes);
	map(BASE + 300 * GIB, MEMORY, PAGE_SIZE, 1);
	unmap(-half(), half() - PAGE_SIZE);
	assert_int_equal(flush_count(), flushes + 1);
	assert_int_equal(pt.nr_tables, 1);
}

static void a_flush_comes_before_tables_are_given_back(void)
{
	map(BASE + 510 * PAGE_SIZE, MEMORY, 4 * MIB, 1);
	failing_source_watch_order(&source);
	unmap(BASE, 8 * MIB);
	assert_int_equal(pt.nr_tables, 1);
	assert_int_equal(source.given_unflushed, 0);
	assert_int_not_equal(flush_count(), source.flushes_seen);
}

static void one_page_is_flushed_by_itself(void)
{
	map(BASE, MEMORY, 2 * PAGE_SIZE, 1);
	struct tlb_stats before = tlb_stats();
	unmap(BASE, PAGE_SIZE);
	struct tlb_stats after = tlb_stats();
	assert_int_equal(after.single - before.single, 1);
	assert_int_equal(after.full, before.full);
}

static void the_frame_with_which_each_leaf_begins_is_collected(void)
{
	enum { FRAMES = 24, LARGE = FRAMES }; /* the last one is that of the large leaf */
	struct page *pages[FRAMES + 1];
	uint64_t start = BASE + 4 * MIB - 10 * PAGE_SIZE;
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, FRAMES, pages), FRAMES);
	pages[LARGE] = alloc_pages(GFP_KERNEL, PT_INDEX_BITS);
	assert_non_null(pages[LARGE]);
	assert_true(pagetable_map_pages(&pt, vaddr(start), pages, FRAMES, PAGE_KERNEL));
	map(BASE, page_to_paddr(pages[LARGE]).raw, 2 * MIB, 2);
	unmap(start + 5 * PAGE_SIZE, PAGE_SIZE); /* a hole */

	struct page_list frames = PAGE_LIST_INIT;
	assert_true(pagetable_unmap(&pt, span(BASE, 8 * MIB), &frames));
	assert_int_equal(frames.count, FRAMES);
	assert_int_equal(pt.nr_tables, 1);
	unsigned seen = 0;
	for (struct page *page; (page = page_list_take(&frames)) != NULL; seen++) {
		unsigned i = 0;
		while (i <= LARGE && pages[i] != page)
			i++;
		assert_true(i <= LARGE && i != 5);
		pages[i] = NULL;
		__free_pages(page, page->order);
	}
	assert_int_equal(seen, FRAMES);
	__free_page(pages[5]);
}

/* Blocks of 8, 1 and 4 frames, the first one from two pages before a table's end on, and how many frames that is. */
enum { BLOCKS = 3, BLOCK_FRAMES = 8 + 1 + 4 };
static const unsigned block_orders[BLOCKS] = {3, 0, 2};

static struct vrange map_some_blocks(struct page *blocks[BLOCKS])
{
	struct vrange range = span(BASE + 2 * MIB - 2 * PAGE_SIZE, BLOCK_FRAMES * PAGE_SIZE);

	for (unsigned i = 0; i < BLOCKS; i++) {
		blocks[i] = alloc_pages(GFP_KERNEL, block_orders[i]);
		assert_non_null(blocks[i]);
	}
	assert_true(pagetable_map_blocks(&pt, range, blocks, PAGE_KERNEL));
	assert_table();
	return range;
}

static void assert_blocks_collected(struct page_list *frames, struct page *const blocks[BLOCKS])
{
	assert_int_equal(frames->count, BLOCKS);
	for (unsigned i = BLOCKS; i--;) {
		struct page *block = page_list_take(frames); /* the latest first */
		assert_ptr_equal(block, blocks[i]);
		assert_true(page_is_head(block, PAGE_HELD, block_orders[i]));
		block->unflushed = false; /* as its collector does */
		__free_pages(block, block_orders[i]);
	}
}

static void blocks_are_mapped_whole_and_collected_by_their_heads(void)
{
	struct page *blocks[BLOCKS];
	struct page_list frames = PAGE_LIST_INIT;
	struct vrange range = map_some_blocks(blocks);
	uint64_t va = range.start.raw;

	for (unsigned i = 0; i < BLOCKS; i++) {
		for (uint64_t n = 0; n < 1UL << block_orders[i]; n++, va += PAGE_SIZE)
			assert_maps(va, page_to_paddr(blocks[i] + n).raw, PAGE_KERNEL, 1);
	}
	assert_int_equal(va, range.end.raw);
	assert_absent(range.start.raw - PAGE_SIZE);
	assert_absent(range.end.raw);
	assert_true(pagetable_unmap(&pt, range, &frames));
	assert_blocks_collected(&frames, blocks);
	assert_int_equal(pt.nr_tables, 1);
}

static void a_block_is_collected_once_though_it_is_cleared_in_parts(void)
{
	struct page *blocks[BLOCKS];
	struct page_list frames = PAGE_LIST_INIT;
	struct vrange range = map_some_blocks(blocks);

	for (uint64_t va = range.start.raw, end; va < range.end.raw; va = end) {
		end = min_u64(va + 3 * PAGE_SIZE,
		              range.end.raw); /* none of the parts begins where a block does */
		pagetable_clear(&pt, vrange(va, end), &frames);
	}
	assert_int_equal(pt.nr_unswept, BLOCK_FRAMES);
	pagetable_sweep(&pt, &range, 1, false);
	assert_blocks_collected(&frames, blocks);
	assert_int_equal(pt.nr_tables, 1);
	assert_table();
}

static void a_range_may_end_within_its_last_block(void)
{
	struct page *block = alloc_pages(GFP_KERNEL, 3);
	struct vrange range = span(BASE, 5 * PAGE_SIZE);

	assert_non_null(block);
	assert_true(pagetable_map_blocks(&pt, range, &block, PAGE_KERNEL));
	assert_maps(BASE + 4 * PAGE_SIZE, page_to_paddr(block + 4).raw, PAGE_KERNEL, 1);
	assert_absent(BASE + 5 * PAGE_SIZE);
	unmap(BASE, 5 * PAGE_SIZE);
	__free_pages(block, 3);
}

/* ---- In two halves ---- */

static void clearing_keeps_tables_and_sweeping_takes_them(void)
{
	map(BASE, MEMORY, 3 * PAGE_SIZE, 1);
	map(BASE + GIB, MEMORY, 2 * PAGE_SIZE, 1);
	size_t tables = pt.nr_tables;
	struct vrange swept[] = {span(BASE, 3 * PAGE_SIZE), span(BASE + GIB, PAGE_SIZE)};

	pagetable_clear(&pt, swept[0], NULL);
	pagetable_clear(&pt, swept[1], NULL);
	assert_absent(BASE);
	assert_absent(BASE + 2 * PAGE_SIZE);
	assert_absent(BASE + GIB);
	assert_maps(BASE + GIB + PAGE_SIZE, MEMORY + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_int_equal(pt.nr_tables, tables);
	assert_table(); /* an empty table is none of the verifier's business yet */

	failing_source_watch_order(&source);
	struct tlb_stats before = tlb_stats();
	pagetable_sweep(&pt, swept, 2, false);
	assert_int_equal(tlb_stats().full, before.full + 1); /* one flush for both */
	assert_int_equal(source.given_unflushed, 0);
	assert_int_equal(pt.nr_tables, tables - 2); /* the last page of the second table is still mapped */
	assert_maps(BASE + GIB + PAGE_SIZE, MEMORY + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_table();
}

static void a_sweep_flushes_even_where_no_table_goes(void)
{
	map(BASE, MEMORY, 3 * PAGE_SIZE, 1);
	struct vrange one = span(BASE, PAGE_SIZE);

	pagetable_clear(&pt, one, NULL);
	struct tlb_stats before = tlb_stats();
	pagetable_sweep(&pt, &one, 1, false);
	assert_int_equal(tlb_stats().single, before.single + 1);
	pagetable_sweep(&pt, &one, 0, false);
	assert_int_equal(tlb_stats().single, before.single + 1);
	assert_int_equal(pt.nr_unswept, 0);
	assert_table();
}

static void a_flushed_range_keeps_its_tables_until_it_is_mapped_again_or_swept(void)
{
	struct vrange range = span(BASE, 3 * PAGE_SIZE);
	size_t empty = pt.nr_tables;

	map(BASE, MEMORY, 3 * PAGE_SIZE, 1);
	size_t tables = pt.nr_tables;
	pagetable_clear(&pt, range, NULL);
	struct tlb_stats before = tlb_stats();
	pagetable_flush(&range, 1);
	assert_int_equal(tlb_stats().single, before.single + 3);
	assert_int_equal(pt.nr_tables, tables);
	assert_table();

	pagetable_reuse(&pt, 3);
	assert_int_equal(pt.nr_unswept, 0);
	map(BASE, MEMORY, 3 * PAGE_SIZE, 1);
	pagetable_clear(&pt, range, NULL);
	pagetable_flush(&range, 1);
	map(BASE + 3 * PAGE_SIZE, MEMORY, PAGE_SIZE, 1);
	before = tlb_stats();
	assert_int_equal(pagetable_sweep(&pt, &range, 1, true),
	                 0);                                 /* there is something else in the table: */
	assert_int_equal(tlb_stats().single, before.single); /* nothing to flush again for */
	range = span(BASE + 3 * PAGE_SIZE, PAGE_SIZE);
	pagetable_clear(&pt, range, NULL);
	failing_source_watch_order(&source);
	assert_int_equal(pagetable_sweep(&pt, &range, 1, true), tables - empty);
	assert_int_equal(source.given_unflushed, 0);
	assert_int_equal(pt.nr_unswept, 0);
	assert_table();
}

static void a_range_that_begins_in_a_table_in_use_may_leave_the_next_one_empty(void)
{
	struct vrange swept[] = {span(BASE + PAGE_SIZE, PAGE_SIZE),
	                         span(BASE + 2 * MIB - PAGE_SIZE, 2 * PAGE_SIZE)};

	map(BASE, MEMORY, 2 * PAGE_SIZE, 1);
	size_t tables = pt.nr_tables;
	map(BASE + 2 * MIB - PAGE_SIZE, MEMORY, 2 * PAGE_SIZE, 1);
	pagetable_clear(&pt, swept[0], NULL);
	pagetable_clear(&pt, swept[1], NULL);
	assert_int_equal(pagetable_sweep(&pt, swept, 2, false), 1);
	assert_int_equal(pt.nr_tables, tables);
	assert_table();
	unmap(BASE, PAGE_SIZE);
}

static void what_is_mapped_beside_a_cleared_range_survives_its_sweep(void)
{
	struct vrange range = span(BASE, 4 * MIB);

	map(BASE, MEMORY, 4 * MIB, 2);
	pagetable_clear(&pt, range, NULL);
	map(BASE + 4 * MIB, MEMORY, 2 * MIB, 2);
	map(BASE + 6 * MIB, MEMORY, PAGE_SIZE, 1);
	pagetable_sweep(&pt, &range, 1, false);
	assert_maps(BASE + 4 * MIB, MEMORY, PAGE_KERNEL, 2);
	assert_maps(BASE + 6 * MIB, MEMORY, PAGE_KERNEL, 1);
	assert_table();
}

static void clearing_collects_frames_and_marks_them_until_the_flush(void)
{
	struct page *pages[3];
	struct page_list frames = PAGE_LIST_INIT;

	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 3, pages), 3);
	assert_true(pagetable_map_pages(&pt, vaddr(BASE), pages, 3, PAGE_KERNEL));
	struct vrange range = span(BASE, 3 * PAGE_SIZE);
	pagetable_clear(&pt, range, &frames);
	assert_int_equal(frames.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pages[i]->unflushed, IS_DEBUG);
	pagetable_sweep(&pt, &range, 1, false);
	for (unsigned i = 0; i < 3; i++)
		pages[i]->unflushed = false; /* as its collector does */
	free_page_list(&frames);
}

/* ---- Splitting and protection ---- */

static void unmapping_the_middle_of_2_mib_keeps_the_rest(void)
{
	map(BASE, MEMORY, 2 * MIB, 2);
	assert_int_equal(pt.nr_tables, with_root(3));
	unmap(BASE + 100 * PAGE_SIZE, 7 * PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(4));
	for (uint64_t i = 0; i < 512; i++) {
		if (i >= 100 && i < 107)
			assert_absent(BASE + i * PAGE_SIZE);
		else
			assert_maps(BASE + i * PAGE_SIZE, MEMORY + i * PAGE_SIZE, PAGE_KERNEL, 1);
	}
}

static void unmapping_the_middle_of_1_gib_splits_only_what_it_must(void)
{
	map(BASE, MEMORY, GIB, 3);
	assert_int_equal(pt.nr_tables, with_root(2));
	unmap(BASE + 100 * MIB + PAGE_SIZE, 50 * MIB);
	/* one table of 2 MiB leaves, one of pages at either edge */
	assert_int_equal(pt.nr_tables, with_root(5));
	assert_maps(BASE + 100 * MIB - 1, MEMORY + 100 * MIB - 1, PAGE_KERNEL, 2);
	assert_maps(BASE + 100 * MIB, MEMORY + 100 * MIB, PAGE_KERNEL, 1);
	assert_absent(BASE + 100 * MIB + PAGE_SIZE);
	assert_absent(BASE + 150 * MIB);
	assert_maps(BASE + 150 * MIB + PAGE_SIZE, MEMORY + 150 * MIB + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_maps(BASE + 152 * MIB, MEMORY + 152 * MIB, PAGE_KERNEL, 2);
	unmap(BASE, GIB);
	assert_int_equal(pt.nr_tables, 1);
}

static void both_edges_in_one_2_mib_part_of_1_gib_share_their_tables(void)
{
	map(BASE, MEMORY, GIB, 3);
	assert_true(pagetable_protect(&pt, span(BASE + 2 * MIB + PAGE_SIZE, PAGE_SIZE), PAGE_KERNEL_RO));
	assert_table();
	assert_int_equal(pt.nr_tables, with_root(4));
	assert_maps(BASE + 2 * MIB, MEMORY + 2 * MIB, PAGE_KERNEL, 1);
	assert_maps(BASE + 2 * MIB + PAGE_SIZE, MEMORY + 2 * MIB + PAGE_SIZE, PAGE_KERNEL_RO, 1);
	assert_maps(BASE + 2 * MIB + 2 * PAGE_SIZE, MEMORY + 2 * MIB + 2 * PAGE_SIZE, PAGE_KERNEL, 1);
	assert_maps(BASE + 4 * MIB, MEMORY + 4 * MIB, PAGE_KERNEL, 2);
}

static void splitting_keeps_cache_bits_and_moves_pat(void)
{
	pgprot_t prot = {PAGE_KERNEL.raw | PTE_PAT | PTE_WRITE_THRU};
	assert_true(pagetable_map(&pt, span(BASE, GIB), paddr(MEMORY), prot, 3));
	assert_maps(BASE + GIB - 1, MEMORY + GIB - 1, prot, 3);
	assert_true(pagetable_unmap(&pt, span(BASE, PAGE_SIZE), NULL));
	assert_table();
	assert_maps(BASE + PAGE_SIZE, MEMORY + PAGE_SIZE, prot, 1);
	assert_maps(BASE + 2 * MIB, MEMORY + 2 * MIB, prot, 2);
}

static void a_split_is_flushed_before_its_parts_differ(void)
{
	map(BASE, MEMORY, 2 * MIB, 2);
	struct tlb_stats before = tlb_stats();
	unmap(BASE, PAGE_SIZE);
	struct tlb_stats after = tlb_stats();
	assert_int_equal(after.full - before.full, 1);     /* the leaf's 512 pages */
	assert_int_equal(after.single - before.single, 1); /* the page */
}

static void edges_that_fall_between_leaves_split_nothing(void)
{
	map(BASE, MEMORY, 6 * MIB, 2);
	unmap(BASE + 2 * MIB, 2 * MIB);
	assert_int_equal(pt.nr_tables, with_root(3));
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 2);
	assert_maps(BASE + 4 * MIB, MEMORY + 4 * MIB, PAGE_KERNEL, 2);
}

static void protecting_changes_leaves_of_every_size_and_skips_holes(void)
{
	map(BASE + GIB - 2 * MIB, MEMORY + GIB - 2 * MIB, GIB + 4 * MIB + PAGE_SIZE, 3);
	size_t tables = pt.nr_tables;
	assert_true(pagetable_protect(&pt, span(BASE, 4 * GIB), PAGE_KERNEL_RO));
	assert_table();
	assert_int_equal(pt.nr_tables, tables);
	assert_absent(BASE);
	assert_maps(BASE + GIB - 2 * MIB, MEMORY + GIB - 2 * MIB, PAGE_KERNEL_RO, 2);
	assert_maps(BASE + GIB, MEMORY + GIB, PAGE_KERNEL_RO, 3);
	assert_maps(BASE + 2 * GIB + 2 * MIB, MEMORY + 2 * GIB + 2 * MIB, PAGE_KERNEL_RO, 1);
}

static void protecting_flushes_only_what_changed(void)
{
	map(BASE, MEMORY, PAGE_SIZE, 1);
	uint64_t flushes = flush_count();
	assert_true(pagetable_protect(&pt, span(BASE, PAGE_SIZE), PAGE_KERNEL));
	assert_true(pagetable_protect(&pt, span(BASE + PAGE_SIZE, 4 * MIB), PAGE_KERNEL_RO));
	assert_int_equal(flush_count(), flushes);
	/* one page changes, in the first of two tables */
	assert_true(pagetable_map(&pt, span(BASE + 2 * MIB, PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL_RO, 1));
	assert_true(pagetable_protect(&pt, span(BASE, 4 * MIB), PAGE_KERNEL_RO));
	assert_int_equal(flush_count(), flushes + 1);
}

/* ---- Hiding ---- */

static void change(uint64_t va, uint64_t size, uint64_t clear, uint64_t set)
{
	struct pagetable_change change = {.call = "test", .leaves = {clear, set}};
	assert_true(pagetable_change(&pt, span(va, size), &change));
	assert_table();
}

static void what_is_hidden_is_not_found_but_keeps_its_place_and_its_frame(void)
{
	map(BASE, MEMORY, 4 * MIB, 2);
	change(BASE + PAGE_SIZE, 2 * PAGE_SIZE, PTE_PRESENT, PTE_HIDDEN);
	change(BASE + 2 * MIB, 2 * MIB, PTE_PRESENT, PTE_HIDDEN);
	assert_absent(BASE + PAGE_SIZE);
	assert_absent(BASE + 3 * MIB);
	assert_maps(BASE + 3 * PAGE_SIZE, MEMORY + 3 * PAGE_SIZE, PAGE_KERNEL, 1);
	expect_panic(
	        "pagetable_map: 0xffffc00000001000 is already mapped to 0x10000001000",
	        (void)!pagetable_map(&pt, span(BASE + PAGE_SIZE, PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL, 1));
	unmap(BASE + 2 * MIB + PAGE_SIZE, PAGE_SIZE); /* splits what is hidden */
	change(BASE, 4 * MIB, PTE_HIDDEN, PTE_PRESENT);
	assert_maps(BASE + PAGE_SIZE, MEMORY + PAGE_SIZE, PAGE_KERNEL, 2); /* one leaf again */
	assert_maps(BASE + 2 * MIB, MEMORY + 2 * MIB, PAGE_KERNEL, 1);
	assert_absent(BASE + 2 * MIB + PAGE_SIZE);
	change(BASE + 2 * MIB, 2 * MIB, PTE_PRESENT, PTE_HIDDEN);
	assert_true(pagetable_protect(&pt, span(BASE + 3 * MIB, PAGE_SIZE), PAGE_KERNEL_RO));
	assert_maps(BASE + 3 * MIB, MEMORY + 3 * MIB, PAGE_KERNEL_RO, 1);
	unmap(BASE, 4 * MIB);
	assert_int_equal(pt.nr_tables, 1);
}

static void a_table_of_hidden_pages_is_not_empty(void)
{
	map(BASE, MEMORY, 2 * PAGE_SIZE, 1);
	change(BASE, 2 * PAGE_SIZE, PTE_PRESENT, PTE_HIDDEN);
	unmap(BASE + PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, with_root(4));
	unmap(BASE, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, 1);
}

/* ---- No memory for tables ---- */

/* Runs `operation` with the 1st, 2nd, … table refused until it succeeds; each refusal must change nothing at all. */
static unsigned sweep_refusals(bool (*operation)(void), const char *(*difference)(void))
{
	for (unsigned n = 1;; n++) {
		size_t tables = pt.nr_tables;
		test_step(n);
		failing_source_arm(&source, n);
		bool done = operation();
		bool refused = failing_source_disarm(&source);
		assert_int_equal(done, !refused);
		assert_table();
		if (done)
			return n - 1;
		assert_int_equal(pt.nr_tables, tables);
		assert_sound(difference());
	}
}

static struct vrange swept; /* where the operation works; outside it one page is mapped that shares tables */

static const char *anything_mapped_in_swept(void)
{
	return anything_mapped_in(swept) ? "something is mapped" : NULL;
}

static bool map_swept(void)
{
	return pagetable_map(&pt, swept, paddr(MEMORY + PAGE_SIZE), PAGE_KERNEL, 3);
}

static void mapping_without_memory_leaves_no_trace(void)
{
	/* Small leaves across a 512 GiB border: two tables of level 3, two of level 2, and four of level 1. */
	swept = span(BASE + 512 * GIB - 3 * MIB, 6 * MIB);
	assert_int_equal(sweep_refusals(map_swept, anything_mapped_in_swept), with_root(9) - 1);
	unmap(swept.start.raw, 6 * MIB);

	/* The same where most of the way is there already, for the sake of another page. */
	map(BASE + 512 * GIB - 4 * MIB, MEMORY, PAGE_SIZE, 1);
	assert_int_equal(sweep_refusals(map_swept, anything_mapped_in_swept), 5);
	assert_maps(BASE + 512 * GIB - 4 * MIB, MEMORY, PAGE_KERNEL, 1);
}

static bool map_pages_swept(void)
{
	static struct page *pages[600];
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = pfn_to_page(pfn(5000 + i));
	return pagetable_map_pages(&pt, swept.start, pages, vrange_size(swept) / PAGE_SIZE, PAGE_KERNEL);
}

static void mapping_pages_without_memory_leaves_no_trace(void)
{
	swept = span(BASE + GIB - 300 * PAGE_SIZE, 600 * PAGE_SIZE);
	assert_int_equal(sweep_refusals(map_pages_swept, anything_mapped_in_swept), with_root(6) - 1);
}

static struct mapping original;
static size_t nr_mappings;

static bool count_mapping(const struct mapping *mapping, void *context)
{
	(void)context;
	original = *mapping;
	nr_mappings++;
	return true;
}

/* One run of 1 GiB leaves over two GiB, as it was mapped. */
static const char *two_gib_changed(void)
{
	nr_mappings = 0;
	address_space_walk(pt.root, pt.levels, count_mapping, NULL);
	bool same = nr_mappings == 1 && original.va.start.raw == BASE && original.level == 3 &&
	            vrange_size(original.va) == 2 * GIB && original.pa.raw == MEMORY &&
	            original.prot.raw == PAGE_KERNEL.raw;
	return same ? NULL : "the mapping has changed";
}

static bool unmap_swept(void)
{
	return pagetable_unmap(&pt, swept, NULL);
}

static bool protect_swept(void)
{
	return pagetable_protect(&pt, swept, PAGE_KERNEL_RO);
}

static void unmapping_without_memory_for_a_split_changes_nothing(void)
{
	swept = vrange(BASE + MIB, BASE + 2 * GIB - MIB);
	map(BASE, MEMORY, 2 * GIB, 3);
	assert_int_equal(sweep_refusals(unmap_swept, two_gib_changed), 4);
	assert_maps(BASE + MIB - 1, MEMORY + MIB - 1, PAGE_KERNEL, 1);
	assert_absent(BASE + MIB);
	assert_absent(BASE + 2 * GIB - MIB - 1);
	assert_maps(BASE + 2 * GIB - MIB, MEMORY + 2 * GIB - MIB, PAGE_KERNEL, 1);
}

static void protecting_without_memory_for_a_split_changes_nothing(void)
{
	swept = vrange(BASE + MIB, BASE + GIB - MIB);
	map(BASE, MEMORY, 2 * GIB, 3);
	assert_int_equal(sweep_refusals(protect_swept, two_gib_changed), 3);
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 1);
	assert_maps(BASE + MIB, MEMORY + MIB, PAGE_KERNEL_RO, 1);
	assert_maps(BASE + 2 * MIB, MEMORY + 2 * MIB, PAGE_KERNEL_RO, 2);
	assert_maps(BASE + GIB, MEMORY + GIB, PAGE_KERNEL, 3);
}

static void an_address_space_without_memory_for_its_root_is_refused(void)
{
	static struct pagetable second;
	failing_source_arm(&source, 1);
	assert_false(pagetable_init(&second, &source.source, pt.levels));
	assert_true(failing_source_disarm(&source));
	assert_int_equal(source.held, 1);
}

/* ---- The root, and what only 5 levels translate ---- */

static void assert_refused(uint64_t va)
{
	expect_panic(
	        expected("pagetable_map: ?0x%lx, 0x%lx) is not a page-aligned range of one canonical half",
	                 va, va + PAGE_SIZE),
	        (void)!pagetable_map(&pt, span(va, PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL, 1));
	assert_absent(va);
	assert_int_equal(pt.nr_tables, 1);
}

static void assert_lives_alone(uint64_t va)
{
	map(va, MEMORY, PAGE_SIZE, 1);
	assert_maps(va + 0x123, MEMORY + 0x123, PAGE_KERNEL, 1);
	assert_true(anything_mapped_in(span(va, PAGE_SIZE)));
	assert_absent(va ^ 1UL << 48); /* the same indices but in the root */
	assert_int_equal(pt.nr_tables, 5);
	unmap(va, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, 1);
}

static void addresses_of_57_bits_are_mapped_by_5_levels_and_refused_by_4(void)
{
	/* In the middle and at the end of each half of 57 bits, around what 48 bits have of it. */
	static const uint64_t places[] = {0x0000800000000000, 0x0080000012345000, 0x00fffffffffff000,
	                                  0xff00000000000000, 0xff80000012345000, 0xffff7ffffffff000};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		test_step(i);
		if (pt.levels == 4)
			assert_refused(places[i]);
		else
			assert_lives_alone(places[i]);
	}
}

/* Where two entries of the root meet. */
static uint64_t root_border(void)
{
	return pt.levels == 4 ? BASE : BEYOND_48_BITS;
}

static void two_pages_below_two_entries_of_the_root_live_and_die_apart(void)
{
	map(root_border() - PAGE_SIZE, MEMORY, PAGE_SIZE, 1);
	map(root_border(), MEMORY + PAGE_SIZE, PAGE_SIZE, 1);
	assert_int_equal(pt.nr_tables, 1 + 2 * (pt.levels - 1));
	unmap(root_border() - PAGE_SIZE, PAGE_SIZE);
	assert_absent(root_border() - PAGE_SIZE);
	assert_maps(root_border(), MEMORY + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_int_equal(pt.nr_tables, pt.levels);
}

static void a_range_across_entries_of_the_root_goes_through_all_that_can_be_done_with_it(void)
{
	uint64_t border = root_border();

	swept = span(border - 3 * MIB, 6 * MIB);
	/* Tables: two of each level below the root, and two more of the lowest. */
	assert_int_equal(sweep_refusals(map_swept, anything_mapped_in_swept), 2 * (pt.levels - 1) + 2);
	assert_maps(border, MEMORY + 3 * MIB + PAGE_SIZE, PAGE_KERNEL, 1);
	assert_true(pagetable_protect(&pt, swept, PAGE_KERNEL_RO));
	assert_table();
	assert_maps(border - PAGE_SIZE, MEMORY + 3 * MIB, PAGE_KERNEL_RO, 1);
	assert_maps(border, MEMORY + 3 * MIB + PAGE_SIZE, PAGE_KERNEL_RO, 1);
	pagetable_clear(&pt, swept, NULL);
	assert_false(anything_mapped_in(swept));
	pagetable_sweep(&pt, &swept, 1, false);
	assert_int_equal(pt.nr_tables, 1);
	assert_table();
}

/* ---- Mistakes ---- */

static void depths_that_no_processor_has_are_refused(void)
{
	static struct pagetable second;

	expect_panic("pagetable_init: no processor walks 3 levels",
	             (void)!pagetable_init(&second, &source.source, 3));
	expect_panic("pagetable_init: no processor walks 6 levels",
	             (void)!pagetable_init(&second, &source.source, 6));
	assert_int_equal(source.held, 1);
}

static void mapping_over_something_is_reported_and_changes_nothing(void)
{
	map(BASE + 5 * MIB, MEMORY + 8 * MIB, PAGE_SIZE, 1);
	size_t tables = pt.nr_tables;
	expect_panic("pagetable_map: 0xffffc00000500000 is already mapped to 0x10000800000",
	             (void)!pagetable_map(&pt, span(BASE, 8 * MIB), paddr(MEMORY), PAGE_KERNEL, 3));
	assert_table();
	assert_int_equal(pt.nr_tables, tables);
	assert_false(anything_mapped_in(span(BASE, 5 * MIB)));
	assert_maps(BASE + 5 * MIB, MEMORY + 8 * MIB, PAGE_KERNEL, 1);
	assert_absent(BASE + 5 * MIB + PAGE_SIZE);
	/* the lock is free */
	unmap(BASE + 5 * MIB, PAGE_SIZE);
	assert_int_equal(pt.nr_tables, 1);
}

static void mapping_pages_over_a_page_is_reported_and_changes_nothing(void)
{
	struct page *pages[] = {pfn_to_page(pfn(77)), pfn_to_page(pfn(78)), pfn_to_page(pfn(79))};
	map(BASE + 2 * MIB, MEMORY, PAGE_SIZE, 1);
	expect_panic("pagetable_map_pages: 0xffffc00000200000 is already mapped to 0x10000000000",
	             (void)!pagetable_map_pages(&pt, vaddr(BASE + 2 * MIB - 2 * PAGE_SIZE), pages, 3,
	                                        PAGE_KERNEL));
	assert_table();
	assert_int_equal(pt.nr_tables, with_root(4));
	assert_absent(BASE + 2 * MIB - PAGE_SIZE);
	assert_maps(BASE + 2 * MIB, MEMORY, PAGE_KERNEL, 1);
}

static void mapping_over_a_large_leaf_is_reported(void)
{
	struct page *page = pfn_to_page(pfn(77));
	map(BASE, MEMORY, 2 * MIB, 2);
	expect_panic("pagetable_map_pages: 0xffffc00000003000 is already mapped to 0x10000003000",
	             (void)!pagetable_map_pages(&pt, vaddr(BASE + 0x3000), &page, 1, PAGE_KERNEL));
	expect_panic("pagetable_map: 0xffffc00000000000 is already mapped to 0x10000000000",
	             (void)!pagetable_map(&pt, span(BASE, GIB), paddr(MEMORY), PAGE_KERNEL, 3));
	assert_table();
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 2);
}

static void writable_and_executable_is_refused_everywhere(void)
{
	struct page *page = pfn_to_page(pfn(77));
	map(BASE, MEMORY, PAGE_SIZE, 1);
	expect_panic("pagetable_map: 0xffffc00000001000: writable and executable",
	             (void)!pagetable_map(&pt, span(BASE + PAGE_SIZE, PAGE_SIZE), paddr(MEMORY),
	                                  PAGE_KERNEL_EXEC, 1));
	expect_panic("pagetable_map_pages: 0xffffc00000001000: writable and executable",
	             (void)!pagetable_map_pages(&pt, vaddr(BASE + PAGE_SIZE), &page, 1, PAGE_KERNEL_EXEC));
	expect_panic("pagetable_protect: 0xffffc00000000000: writable and executable",
	             (void)!pagetable_protect(&pt, span(BASE, PAGE_SIZE), PAGE_KERNEL_EXEC));
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 1);
	assert_absent(BASE + PAGE_SIZE);
	assert_table();
}

static void what_is_no_protection_is_refused(void)
{
	map(BASE, MEMORY, PAGE_SIZE, 1);
	expect_panic("pagetable_map: 0xffffc00000001000: protection 0x0 is not one",
	             (void)!pagetable_map(&pt, span(BASE + PAGE_SIZE, PAGE_SIZE), paddr(MEMORY),
	                                  (pgprot_t){0}, 1));
	expect_panic(
	        "pagetable_protect: 0xffffc00000000000: protection 0x8000000000000167 is not one",
	        (void)!pagetable_protect(&pt, span(BASE, PAGE_SIZE), (pgprot_t){PAGE_KERNEL.raw | PTE_USER}));
	assert_maps(BASE, MEMORY, PAGE_KERNEL, 1);
}

static void ranges_that_are_none_are_refused(void)
{
	expect_panic(
	        "pagetable_map: ?0xffffc00000000800, 0xffffc00000001800) is not a page-aligned range of one *",
	        (void)!pagetable_map(&pt, span(BASE + 0x800, PAGE_SIZE), paddr(MEMORY), PAGE_KERNEL, 1));
	expect_panic("pagetable_unmap: ?0x1000, 0x0) is not a page-aligned range of one canonical half",
	             (void)!pagetable_unmap(&pt, vrange(0x1000, 0), NULL));
	expect_panic(
	        "pagetable_unmap: ?0x0, 0xffffffffffff0000) is not a page-aligned range of one canonical half",
	        (void)!pagetable_unmap(&pt, vrange(0, 0xffffffffffff0000), NULL));
	expect_panic(
	        expected("pagetable_protect: ?0x%lx, 0x%lx) is not a page-aligned range of one *",
	                 half() - PAGE_SIZE, half() + PAGE_SIZE),
	        (void)!pagetable_protect(&pt, vrange(half() - PAGE_SIZE, half() + PAGE_SIZE), PAGE_KERNEL));
	expect_panic(expected("pagetable_unmap: ?0x%lx, 0x%lx) is not a page-aligned range of one *",
	                      -half() - PAGE_SIZE, -half()),
	             (void)!pagetable_unmap(&pt, vrange(-half() - PAGE_SIZE, -half()), NULL));
	expect_panic(
	        "pagetable_map_pages: ?0xffffc00000000001, *) is not a page-aligned range of one canonical half",
	        (void)!pagetable_map_pages(&pt, vaddr(BASE + 1), NULL, 1, PAGE_KERNEL));
	expect_panic(
	        "pagetable_unmap: ?0x8000000000000000, 0xffff800000001000) is not a page-aligned range of one *",
	        (void)!pagetable_unmap(&pt, vrange(0x8000000000000000, 0xffff800000001000), NULL));
	assert_int_equal(pt.nr_tables, 1);
}

static void physical_addresses_that_are_none_are_refused(void)
{
	expect_panic("pagetable_map: 0x10000000001 is not a page-aligned physical address that fits 52 bits",
	             (void)!pagetable_map(&pt, span(BASE, PAGE_SIZE), paddr(MEMORY + 1), PAGE_KERNEL, 1));
	expect_panic(
	        "pagetable_map: 0xffffffffff000 is not a page-aligned physical address that fits 52 bits",
	        (void)!pagetable_map(&pt, span(BASE, 2 * PAGE_SIZE), paddr(0xffffffffff000), PAGE_KERNEL, 1));
	map(BASE, 0xffffffffff000, PAGE_SIZE, 1);
	assert_maps(BASE, 0xffffffffff000, PAGE_KERNEL, 1);
}

/* ---- Everything at random, against an array of pages ---- */

static struct pagetable_model model;
static struct rng rng;

static const pgprot_t *random_prot(void)
{
	static pgprot_t prots[4];
	prots[0] = PAGE_KERNEL;
	prots[1] = PAGE_KERNEL_RO;
	prots[2] = PAGE_KERNEL_ROX;
	prots[3] = (pgprot_t){PAGE_KERNEL_NOCACHE.raw | PTE_PAT};
	return &prots[rng_below(&rng, ARRAY_SIZE(prots))];
}

/* A few pages, many, or the two 2 MiB blocks of a window exactly. */
static void random_pages(size_t *first, size_t *count)
{
	enum { BLOCK = 512, FIRST_BLOCK = MODEL_BORDER - BLOCK };
	uint64_t kind = rng_below(&rng, 4);
	if (kind == 0) {
		*first = FIRST_BLOCK + BLOCK * rng_below(&rng, 2);
		*count = BLOCK;
		return;
	}
	*first = rng_below(&rng, MODEL_PAGES);
	*count = 1 + rng_below(&rng, kind == 1 ? MODEL_PAGES : 8);
	if (*count > MODEL_PAGES - *first)
		*count = MODEL_PAGES - *first;
}

static void step_map(struct model_window *window, size_t first, size_t count)
{
	pgprot_t prot = *random_prot();
	vaddr_t va = model_address(window, first);
	/* Half of the time congruent to the address, so that large leaves fit. */
	uint64_t base = MEMORY + (rng_below(&rng, 1000) << PMD_SHIFT);
	paddr_t pa = paddr(base + (rng_below(&rng, 2) ? va.raw % PMD_SIZE : 0));
	if (!pagetable_map(&pt, model_range(window, first, count), pa, prot,
	                   1 + (unsigned)rng_below(&rng, 3)))
		return;
	for (size_t i = 0; i < count; i++)
		window->pages[first + i] = (struct model_page){paddr_add(pa, i << PAGE_SHIFT), prot};
}

static void step_map_pages(struct model_window *window, size_t first, size_t count)
{
	static struct page *pages[MODEL_PAGES];
	pgprot_t prot = *random_prot();
	for (size_t i = 0; i < count; i++)
		pages[i] = pfn_to_page(pfn(rng_below(&rng, 1UL << 31)));
	if (!pagetable_map_pages(&pt, model_address(window, first), pages, count, prot))
		return;
	for (size_t i = 0; i < count; i++)
		window->pages[first + i] = (struct model_page){page_to_paddr(pages[i]), prot};
}

static void step_unmap(struct model_window *window, size_t first, size_t count)
{
	if (pagetable_unmap(&pt, model_range(window, first, count), NULL))
		model_unmap(window, first, count);
}

static void step_protect(struct model_window *window, size_t first, size_t count)
{
	pgprot_t prot = *random_prot();
	if (pagetable_protect(&pt, model_range(window, first, count), prot))
		model_protect(window, first, count, prot);
}

static void step_conflict(struct model_window *window, size_t first, size_t count)
{
	expect_panic(
	        "pagetable_map: 0x* is already mapped to 0x*",
	        (void)!pagetable_map(&pt, model_range(window, first, count), paddr(MEMORY), PAGE_KERNEL, 3));
}

/* Windows that are cleared, and not yet swept. */
static bool cleared[MODEL_WINDOWS];

static void sweep_window(unsigned w)
{
	struct vrange range = model_range(&model.windows[w], 0, MODEL_PAGES);

	if (cleared[w])
		pagetable_sweep(&pt, &range, 1, false);
	cleared[w] = false;
}

static void clear_window(unsigned w)
{
	pagetable_clear(&pt, model_range(&model.windows[w], 0, MODEL_PAGES), NULL);
	model_unmap(&model.windows[w], 0, MODEL_PAGES);
	cleared[w] = true;
}

/* One operation, sometimes with a table refused: then it must have refused as a whole, else have been done. */
static void random_step(struct model_window *window)
{
	size_t first, count;
	random_pages(&first, &count);
	size_t absent = model_absent_run(window, first, count);
	size_t tables = pt.nr_tables;
	uint64_t choice = rng_below(&rng, 8);
	if (choice < 4 && absent < count && rng_below(&rng, 4) == 0) {
		step_conflict(window, first, count);
		assert_int_equal(pt.nr_tables, tables);
		return;
	}
	if (rng_below(&rng, 3) == 0)
		failing_source_arm(&source, 1 + (unsigned)rng_below(&rng, 4));
	if (choice < 3)
		step_map(window, first, absent);
	else if (choice < 4)
		step_map_pages(window, first, absent);
	else if (choice < 6)
		step_unmap(window, first, count);
	else
		step_protect(window, first, count);
	if (failing_source_disarm(&source))
		assert_int_equal(pt.nr_tables, tables);
	source.refused = false;
}

static void random_operations_agree_with_an_array_of_pages(void)
{
	uint64_t steps = test_is_hosted() ? 4000 : 200;
	rng_seed(&rng, test_seed());
	pagetable_model_init(&model, pt.levels);
	memset(cleared, 0, sizeof(cleared));
	for (uint64_t step = 0; step < steps; step++) {
		unsigned w = (unsigned)rng_below(&rng, MODEL_WINDOWS);
		test_step(step);
		sweep_window(w); /* it must not be mapped again before */
		if (rng_below(&rng, 16) == 0)
			clear_window(w);
		else
			random_step(&model.windows[w]);
		assert_table();
		assert_sound(model_compare_lookups(&model.windows[w], &pt));
		assert_sound(model_compare_walk(&model, &pt));
	}
	for (unsigned w = 0; w < MODEL_WINDOWS; w++) {
		sweep_window(w);
		assert_true(pagetable_unmap(&pt, model_range(&model.windows[w], 0, MODEL_PAGES), NULL));
	}
	assert_int_equal(pt.nr_tables, 1);
	assert_table();
}

/* ---- The verifier ---- */

/* With `raw` in place of the `level` entry for `va`, the verifier must say just this; then all is repaired. */
static void expect_broken(uint64_t va, unsigned level, uint64_t raw, const char *words)
{
	pte_t *e = pagetable_entry(&pt, vaddr(va), level);
	assert_non_null(e);
	pte_t saved = *e;
	e->raw = raw;
	const char *broken = pagetable_check(&pt);
	bool still = e->raw == raw;
	*e = saved;
	assert_true(still); /* marks are taken back after a finding, too */
	assert_non_null(broken);
	assert_matches(broken, words);
	assert_table();
}

static void set_up_one_of_each(void)
{
	map(BASE, MEMORY, PAGE_SIZE, 1);
	map(BASE + 2 * MIB, MEMORY + 2 * MIB, 2 * MIB, 2);
	map(BASE + GIB, MEMORY + GIB, GIB, 3);
}

static uint64_t entry(uint64_t va, unsigned level)
{
	return pagetable_entry(&pt, vaddr(va), level)->raw;
}

static void the_verifier_finds_unknown_bits(void)
{
	set_up_one_of_each();
	expect_broken(BASE + PAGE_SIZE, 1, MEMORY,
	              "T1: 0xffffc00000001000: absent level 1 entry holds 0x10000000000");
	expect_broken(BASE, 1, entry(BASE, 1) | PTE_USER,
	              "T1: 0xffffc00000000000: level 1 leaf 0x* has unknown bits 0x4");
	expect_broken(BASE, 1, entry(BASE, 1) | PTE_HIDDEN,
	              "T1: 0xffffc00000000000: level 1 leaf 0x* is present and hidden");
	expect_broken(BASE + 2 * MIB, 2, entry(BASE + 2 * MIB, 2) | 1UL << 52,
	              "T1: 0xffffc00000200000: level 2 leaf 0x* has unknown bits 0x10000000000000");
	expect_broken(BASE, 2, entry(BASE, 2) | PTE_USER,
	              "T1: 0xffffc00000000000: level 2 table entry 0x* has unknown bits 0x4");
	expect_broken(BASE, 3, entry(BASE, 3) | PTE_NO_EXEC,
	              "T1: 0xffffc00000000000: level 3 table entry 0x* has unknown bits 0x8000000000000000");
	expect_broken(BASE, 2, (entry(BASE, 2) & ~PTE_ADDRESS) | 0x000f000000000000,
	              "T1: 0xffffc00000000000: level 2 entry 0x* points outside the direct map");
	paddr_t root = pt.root;
	pt.root.raw++;
	const char *broken = pagetable_check(&pt);
	pt.root = root;
	assert_matches(broken, "T1: no root can be at 0x*1");
}

static void the_verifier_finds_writable_and_executable_leaves(void)
{
	set_up_one_of_each();
	expect_broken(BASE, 1, entry(BASE, 1) & ~PTE_NO_EXEC,
	              "T2: 0xffffc00000000000: level 1 leaf is writable and executable");
	expect_broken(BASE + 2 * MIB, 2, entry(BASE + 2 * MIB, 2) & ~PTE_NO_EXEC,
	              "T2: 0xffffc00000200000: level 2 leaf is writable and executable");
	expect_broken(BASE + GIB, 3, entry(BASE + GIB, 3) & ~PTE_NO_EXEC,
	              "T2: 0xffffc00040000000: level 3 leaf is writable and executable");
}

static void the_verifier_finds_tables_reached_twice_and_survives_cycles(void)
{
	set_up_one_of_each();
	expect_broken(BASE + 4 * MIB, 2, entry(BASE, 2),
	              "T3: 0xffffc00000400000: the table at 0x* is reached a second time");
	/* From each level back to the root. */
	static const uint64_t absent[] = {
	        [2] = BASE + 6 * MIB, [3] = BASE + 6 * GIB, [4] = BASE + 512 * GIB, [5] = BEYOND_48_BITS};
	for (unsigned level = 2; level <= pt.levels; level++)
		expect_broken(absent[level], level, pte_table(pt.root).raw,
		              "T3: 0xff*: the table at 0x* is reached a second time");
}

static void the_verifier_finds_empty_and_miscounted_tables(void)
{
	set_up_one_of_each();
	expect_broken(BASE, 1, 0, "T4: 0xffffc00000000000: the level 1 table is empty");
	expect_broken(BASE, 2, entry(BASE, 2) + PTE_USED_ONE,
	              "T4: 0xffffc00000000000: the level 1 table has 1 entries, counted as 2");
	expect_broken(BASE, 4, entry(BASE, 4) - PTE_USED_ONE,
	              "T4: 0xffffc00000000000: the level 3 table has 2 entries, counted as 1");
	if (pt.levels == 5)
		expect_broken(BASE, 5, entry(BASE, 5) + PTE_USED_ONE,
		              "T4: 0xffff000000000000: the level 4 table has 1 entries, counted as 2");
}

static void the_verifier_counts_tables(void)
{
	set_up_one_of_each();
	pt.nr_tables++;
	const char *broken = pagetable_check(&pt);
	pt.nr_tables--;
	assert_string_equal(broken, expected("T5: the root reaches %zu tables, nr_tables is %zu",
	                                     with_root(4), with_root(5)));
	assert_table();
}

static void the_verifier_finds_leaves_in_wrong_places(void)
{
	set_up_one_of_each();
	expect_broken(BASE + 512 * GIB, 4, PAGE_KERNEL.raw | PTE_LARGE,
	              "T6: 0xffffc08000000000: level 4 entry 0x80000000000001e3 is a leaf");
	if (pt.levels == 5)
		expect_broken(BEYOND_48_BITS, 5, PAGE_KERNEL.raw | PTE_LARGE,
		              "T6: 0xff91000000000000: level 5 entry 0x80000000000001e3 is a leaf");
	expect_broken(BASE + 2 * MIB, 2, entry(BASE + 2 * MIB, 2) | 1UL << 20,
	              "T6: 0xffffc00000200000: level 2 leaf 0x* is not aligned to its size");
	expect_broken(BASE + GIB, 3, entry(BASE + GIB, 3) | 1UL << 29,
	              "T6: 0xffffc00040000000: level 3 leaf 0x* is not aligned to its size");
}

/* ---- The second walker, and words ---- */

static struct mapping seen[6];

static bool record_mapping(const struct mapping *mapping, void *context)
{
	size_t *limit = context;
	if (nr_mappings < ARRAY_SIZE(seen))
		seen[nr_mappings] = *mapping;
	return ++nr_mappings < *limit;
}

static size_t walk_up_to(size_t limit)
{
	nr_mappings = 0;
	address_space_walk(pt.root, pt.levels, record_mapping, &limit);
	return nr_mappings;
}

static void the_walk_merges_runs_and_stops_when_told(void)
{
	map(0x200000, MEMORY, PAGE_SIZE, 1);
	map(BASE + 2 * MIB - PAGE_SIZE, MEMORY + PAGE_SIZE, 2 * PAGE_SIZE,
	    1); /* across two tables: one run */
	map(BASE + 2 * MIB + PAGE_SIZE, MEMORY + 8 * PAGE_SIZE, PAGE_SIZE, 1); /* adjacent, from elsewhere */
	assert_true(pagetable_map(&pt, span(BASE + 2 * MIB + 2 * PAGE_SIZE, PAGE_SIZE),
	                          paddr(MEMORY + 9 * PAGE_SIZE), PAGE_KERNEL_RO,
	                          1));                                 /* continues, read-only */
	map(BASE + 4 * MIB, MEMORY + 4 * MIB, 2 * MIB + PAGE_SIZE, 2); /* adjacent, of another size */
	assert_int_equal(walk_up_to(10), 6);
	assert_int_equal(seen[0].va.start.raw, 0x200000);
	assert_int_equal(seen[1].va.start.raw, BASE + 2 * MIB - PAGE_SIZE);
	assert_int_equal(vrange_size(seen[1].va), 2 * PAGE_SIZE);
	assert_int_equal(seen[1].pa.raw, MEMORY + PAGE_SIZE);
	assert_int_equal(vrange_size(seen[2].va), PAGE_SIZE);
	assert_int_equal(seen[3].prot.raw, PAGE_KERNEL_RO.raw);
	assert_int_equal(seen[4].level, 2);
	assert_int_equal(vrange_size(seen[4].va), 2 * MIB);
	assert_int_equal(seen[5].level, 1);
	assert_int_equal(walk_up_to(1), 1);
	assert_int_equal(walk_up_to(3), 3);
}

static void a_dump_of_the_way_names_every_level(void)
{
	static char text[1024];
	struct buffer_printer out;
	set_up_one_of_each();
	buffer_printer_init(&out, text, sizeof(text));
	pagetable_dump_walk(&pt, vaddr(BASE + PAGE_SIZE), &out.printer);
	assert_matches(text, pt.levels == 4
	                             ? "  level 4*"
	                             : "  level 5 table at 0x*, entry 511: 0x* table, 1 used\n  level 4*");
	assert_matches(text, "*  level 4 table at 0x*, entry 384: 0x* table, 2 used\n"
	                     "  level 3 table at 0x*, entry 0: 0x* table, 2 used\n"
	                     "  level 2 table at 0x*, entry 0: 0x* table, 1 used\n"
	                     "  level 1 table at 0x*, entry 1: 0x0000000000000000 not present\n");
	buffer_printer_init(&out, text, sizeof(text));
	pagetable_dump_walk(&pt, vaddr(BASE + GIB + 5), &out.printer);
	assert_matches(text,
	               "*level 3 table at 0x*, entry 1: 0x* 1 GiB page at 0x10040000000 rw- WB global\n");
}

static void a_dump_stops_at_a_table_that_cannot_be(void)
{
	static char text[1024];
	struct buffer_printer out;
	set_up_one_of_each();
	pte_t *e = pagetable_entry(&pt, vaddr(BASE), 3);
	pte_t saved = *e;
	e->raw |= 0x000f000000000000;
	buffer_printer_init(&out, text, sizeof(text));
	pagetable_dump_walk(&pt, vaddr(BASE), &out.printer);
	*e = saved;
	assert_matches(text, "*\n  level 2 table at 0xf*: not in the direct map\n");
}

static const struct test_case cases[] = {
        TEST_CASE(an_empty_table_translates_nothing),
        TEST_CASE(an_address_translates_with_its_offset_and_protection),
        TEST_CASE(non_canonical_addresses_translate_to_nothing),
        TEST_CASE(each_part_gets_the_largest_leaf_that_fits),
        TEST_CASE(leaves_are_no_larger_than_asked_for),
        TEST_CASE(leaves_are_small_where_physical_alignment_differs),
        TEST_CASE(pages_are_mapped_one_by_one_across_tables),
        TEST_CASE(empty_ranges_do_nothing),
        TEST_CASE(two_pages_512_gib_apart_live_and_die_apart),
        TEST_CASE(a_table_goes_with_its_last_page_and_not_before),
        TEST_CASE(tables_of_other_ranges_stay),
        TEST_CASE(unmapping_an_empty_half_is_quick_and_flushes_nothing),
        TEST_CASE(a_flush_comes_before_tables_are_given_back),
        TEST_CASE(one_page_is_flushed_by_itself),
        TEST_CASE(the_frame_with_which_each_leaf_begins_is_collected),
        TEST_CASE(blocks_are_mapped_whole_and_collected_by_their_heads),
        TEST_CASE(a_block_is_collected_once_though_it_is_cleared_in_parts),
        TEST_CASE(a_range_may_end_within_its_last_block),
        TEST_CASE(clearing_keeps_tables_and_sweeping_takes_them),
        TEST_CASE(a_sweep_flushes_even_where_no_table_goes),
        TEST_CASE(a_flushed_range_keeps_its_tables_until_it_is_mapped_again_or_swept),
        TEST_CASE(a_range_that_begins_in_a_table_in_use_may_leave_the_next_one_empty),
        TEST_CASE(what_is_mapped_beside_a_cleared_range_survives_its_sweep),
        TEST_CASE(clearing_collects_frames_and_marks_them_until_the_flush),
        TEST_CASE(unmapping_the_middle_of_2_mib_keeps_the_rest),
        TEST_CASE(unmapping_the_middle_of_1_gib_splits_only_what_it_must),
        TEST_CASE(both_edges_in_one_2_mib_part_of_1_gib_share_their_tables),
        TEST_CASE(splitting_keeps_cache_bits_and_moves_pat),
        TEST_CASE(a_split_is_flushed_before_its_parts_differ),
        TEST_CASE(edges_that_fall_between_leaves_split_nothing),
        TEST_CASE(protecting_changes_leaves_of_every_size_and_skips_holes),
        TEST_CASE(protecting_flushes_only_what_changed),
        TEST_CASE(what_is_hidden_is_not_found_but_keeps_its_place_and_its_frame),
        TEST_CASE(a_table_of_hidden_pages_is_not_empty),
        TEST_CASE(mapping_without_memory_leaves_no_trace),
        TEST_CASE(mapping_pages_without_memory_leaves_no_trace),
        TEST_CASE(unmapping_without_memory_for_a_split_changes_nothing),
        TEST_CASE(protecting_without_memory_for_a_split_changes_nothing),
        TEST_CASE(an_address_space_without_memory_for_its_root_is_refused),
        TEST_CASE(addresses_of_57_bits_are_mapped_by_5_levels_and_refused_by_4),
        TEST_CASE(two_pages_below_two_entries_of_the_root_live_and_die_apart),
        TEST_CASE(a_range_across_entries_of_the_root_goes_through_all_that_can_be_done_with_it),
        TEST_CASE(depths_that_no_processor_has_are_refused),
        TEST_CASE(mapping_over_something_is_reported_and_changes_nothing),
        TEST_CASE(mapping_pages_over_a_page_is_reported_and_changes_nothing),
        TEST_CASE(mapping_over_a_large_leaf_is_reported),
        TEST_CASE(writable_and_executable_is_refused_everywhere),
        TEST_CASE(what_is_no_protection_is_refused),
        TEST_CASE(ranges_that_are_none_are_refused),
        TEST_CASE(physical_addresses_that_are_none_are_refused),
        TEST_CASE(random_operations_agree_with_an_array_of_pages),
        TEST_CASE(the_verifier_finds_unknown_bits),
        TEST_CASE(the_verifier_finds_writable_and_executable_leaves),
        TEST_CASE(the_verifier_finds_tables_reached_twice_and_survives_cycles),
        TEST_CASE(the_verifier_finds_empty_and_miscounted_tables),
        TEST_CASE(the_verifier_counts_tables),
        TEST_CASE(the_verifier_finds_leaves_in_wrong_places),
        TEST_CASE(the_walk_merges_runs_and_stops_when_told),
        TEST_CASE(a_dump_of_the_way_names_every_level),
        TEST_CASE(a_dump_stops_at_a_table_that_cannot_be),
};

const struct test_suite pagetable_suite =
        TEST_SUITE("pagetable", cases, .set_up = set_up_4_levels, .tear_down = tear_down);

const struct test_suite pagetable_5_levels_suite =
        TEST_SUITE("pagetable_5_levels", cases, .set_up = set_up_5_levels, .tear_down = tear_down);
