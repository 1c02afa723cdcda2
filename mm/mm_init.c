/*
 * Bringing memory up, in the only order that works:
 *
 *	memblock      what is RAM, and what of it is taken; the tables below come out of it
 *	page tables   the final address space, built beside the boot loader's and then switched to
 *	frame array   appears at its window with the switch; one entry per GiB is written
 *	page_alloc    gets what is left, block by block; memblock retires
 *	slab, kmalloc objects, out of pages
 *	vmalloc       virtual areas, out of all of the above
 *
 * No stage's cost grows with RAM but by a constant per GiB: a direct-map leaf, two leaves of the frame array, one entry and
 * 512 bytes that say so, one free block. The frame array is backed by section (1 GiB of physical space, 4 MiB of array) and
 * only where there is RAM, so that holes cost nothing. Each stage is checked at its end in the debug build.
 */
#include <mm/mm.h>
#include <lib/bits.h>
#include <lib/panic.h>
#include <lib/string.h>
#include <mm/kmalloc.h>
#include <mm/pagetable_check.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include "mm_internal.h"

/* Firmware keeps its tables in the first MiB and some of it writes there behind our back. */
#define LOW_MEMORY_END (1UL << 20)

/* Below this there is no point in starting: slab, tables and one guarded stack need about half of it. */
#define RAM_MIN (4UL << 20)

/* Frames one 4 KiB page of the array describes: the array's end is rounded up to it. */
enum { ENTRIES_PER_PAGE = 256 };
_Static_assert(ENTRIES_PER_PAGE * sizeof(struct page) == PAGE_SIZE, "entries fill pages");
_Static_assert(MEMBLOCK_LIMIT >> PAGE_SHIFT <= PFN_NONE &&
                       (MEMBLOCK_LIMIT >> PAGE_SHIFT) % ENTRIES_PER_PAGE == 0,
               "no frame of the array, whose end is rounded up, is PFN_NONE");

struct mm_state mm_state;

static uint64_t backed_sections[SECTIONS_MAX / BITS_PER_WORD];

/* Page tables while booting: memblock's, below what the boot loader's tables reach. */
static paddr_t early_limit;

static bool early_take(struct page_source *source, paddr_t *frame)
{
	(void)source;
	if (!memblock_alloc(&mm_state.memblock, PAGE_SIZE, PAGE_SIZE, early_limit, MEMBLOCK_TABLES, frame))
		return false;
	mm_state.boot_tables++;
	return true;
}

/* Only a mapping that ran out gives back, and then this machine is refused: the frame may stay reserved. */
static void early_give(struct page_source *source, paddr_t frame)
{
	(void)source;
	(void)frame;
	mm_state.boot_tables--;
}

static struct page_source early_source = {early_take, early_give};

/* Page tables afterwards. The walk holds the page-table lock, so it cannot wait for reclaim; it may use the reserve. */
static bool live_take(struct page_source *source, paddr_t *frame)
{
	(void)source;
	struct page *page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
	if (!page)
		return false;
	page_set_type(page, PAGE_TABLE);
	*frame = page_to_paddr(page);
	return true;
}

/* A table that memblock gave has no block: it becomes free memory like any other. */
static void live_give(struct page_source *source, paddr_t frame)
{
	(void)source;
	struct page *page = pfn_to_page(paddr_to_pfn(frame));
	if (page_is_written(paddr_to_pfn(frame)) && page_is_head(page, PAGE_TABLE, 0)) {
		page_set_type(page, PAGE_HELD);
		__free_page(page);
		return;
	}
	mm_state.boot_tables--;
	page_alloc_add(prange(frame.raw, frame.raw + PAGE_SIZE));
}

static struct page_source live_source = {live_take, live_give};

/* Debug build: the stage's own verifier, and the reason to stop if it speaks. */
static void end_stage(const struct mm_boot_map *map, const char *stage, const char *broken)
{
	if (broken)
		panic("mm_init: after %s: %s", stage, broken);
	if (map->progress)
		map->progress(stage);
}

static void settle_memory_map(const struct mm_boot_map *map)
{
	struct memblock *mb = &mm_state.memblock;

	memblock_init(mb);
	for (size_t i = 0; i < map->nr_available; i++)
		memblock_add(mb, map->available[i]);
	for (size_t i = 0; i < map->nr_unavailable; i++)
		memblock_remove(mb, map->unavailable[i]);

	memblock_reserve(mb, prange(0, LOW_MEMORY_END));
	for (size_t i = 0; i < map->nr_reserved; i++)
		memblock_reserve(mb, map->reserved[i].range);
	for (size_t i = 0; i < map->nr_image; i++) {
		const struct mm_segment *segment = &map->image[i];
		uint64_t size = vrange_size(segment->va);
		memblock_reserve(mb, prange(segment->pa.raw, segment->pa.raw + size));
	}
}

/* Frames of sections [first, last) that the array must describe. */
static uint64_t section_run_entries(size_t first, size_t last, uint64_t end)
{
	return min_u64((uint64_t)last << SECTION_ORDER, end) - ((uint64_t)first << SECTION_ORDER);
}

/* Which sections hold RAM, and where the array ends: one past the last frame of RAM, in whole pages of entries. */
static pfn_t find_sections(void)
{
	const struct memblock_ranges *ram = &mm_state.memblock.ram;
	uint64_t end = 0;

	memset(backed_sections, 0, sizeof(backed_sections));
	for (size_t i = 0; i < ram->count; i++) {
		end = paddr_to_pfn(ram->at[i].end).raw;
		for (uint64_t s = paddr_to_pfn(ram->at[i].start).raw >> SECTION_ORDER;
		     s <= (end - 1) >> SECTION_ORDER; s++)
			bit_set(backed_sections, s);
	}
	return pfn(align_up(end, ENTRIES_PER_PAGE));
}

/* Backs the array for one run of sections with one piece of RAM, or halves the run until pieces are found. */
static bool back_sections(size_t first, size_t last, uint64_t end)
{
	uint64_t bytes = section_run_entries(first, last, end) * sizeof(struct page);
	vaddr_t va = vaddr(FRAMES_BASE + ((uint64_t)first << SECTION_ORDER) * sizeof(struct page));
	uint64_t align = bytes >= PMD_SIZE ? PMD_SIZE : PAGE_SIZE;
	paddr_t pa;

	if (memblock_alloc(&mm_state.memblock, bytes, align, paddr(UINT64_MAX), MEMBLOCK_FRAMES, &pa))
		return pagetable_map(&kernel_pagetable, vrange_sized(va, bytes), pa, PAGE_KERNEL, 2);
	if (last - first == 1)
		return false;
	size_t middle = first + (last - first) / 2;
	return back_sections(first, middle, end) && back_sections(middle, last, end);
}

/* The array up to `end`, and the bytes that tell of it, which are reached by the direct map. */
static bool map_frame_array(uint64_t end)
{
	size_t sections = (end + SECTION_FRAMES - 1) >> SECTION_ORDER;
	uint64_t bytes = align_up(page_array_groups(end), PAGE_SIZE);
	paddr_t written;

	for (size_t first = 0; first < sections; first++) {
		if (!bit_test(backed_sections, first))
			continue;
		size_t last = first + 1;
		while (last < sections && bit_test(backed_sections, last))
			last++;
		if (!back_sections(first, last, end))
			return false;
		first = last;
	}
	if (!memblock_alloc(&mm_state.memblock, bytes, PAGE_SIZE, paddr(UINT64_MAX), MEMBLOCK_FRAMES,
	                    &written))
		return false;
	page_array = (struct page_array){pfn_to_page(pfn(0)), paddr_to_directmap(written), end};
	return true;
}

/* All RAM at its constant offset; what the image holds read-only is read-only here too. */
static bool map_direct(const struct mm_boot_map *map)
{
	const struct memblock_ranges *ram = &mm_state.memblock.ram;

	for (size_t i = 0; i < ram->count; i++) {
		struct vrange va =
		        vrange(DIRECTMAP_BASE + ram->at[i].start.raw, DIRECTMAP_BASE + ram->at[i].end.raw);
		if (!pagetable_map(&kernel_pagetable, va, ram->at[i].start, PAGE_KERNEL, map->max_level))
			return false;
	}
	for (size_t i = 0; i < map->nr_image; i++) {
		const struct mm_segment *segment = &map->image[i];
		vaddr_t alias = vaddr(DIRECTMAP_BASE + segment->pa.raw);
		if (!(segment->prot.raw & PTE_WRITE) &&
		    !pagetable_protect(&kernel_pagetable, vrange_sized(alias, vrange_size(segment->va)),
		                       PAGE_KERNEL_RO))
			return false;
	}
	return true;
}

static bool map_image(const struct mm_boot_map *map)
{
	for (size_t i = 0; i < map->nr_image; i++) {
		const struct mm_segment *segment = &map->image[i];
		if (!pagetable_map(&kernel_pagetable, segment->va, segment->pa, segment->prot, 1))
			return false;
	}
	return true;
}

static void keep_description(const struct mm_boot_map *map)
{
	ASSERT(map->nr_image <= MM_SEGMENTS_MAX && map->nr_reserved <= MM_RESERVATIONS_MAX);
	memcpy(mm_state.image, map->image, map->nr_image * sizeof(*map->image));
	mm_state.nr_image = map->nr_image;
	memcpy(mm_state.reserved, map->reserved, map->nr_reserved * sizeof(*map->reserved));
	mm_state.nr_reserved = map->nr_reserved;
	mm_state.vmalloc = map->vmalloc;
	mm_state.max_level = map->max_level;
	mm_state.physical_bits = map->physical_bits;
	mm_state.pat = map->pat;
}

static void free_remaining_memory(void)
{
	paddr_t cursor = paddr(0);
	struct prange range;

	while (memblock_next_free(&mm_state.memblock, &cursor, &range))
		page_alloc_add(range);
	memblock_retire(&mm_state.memblock);
	page_alloc_ready();
}

const char *mm_init(const struct mm_boot_map *map)
{
	keep_description(map);
	settle_memory_map(map);
	if (memblock_ram_bytes(&mm_state.memblock) < RAM_MIN)
		return "less than 4 MiB of usable RAM in the memory map";
	end_stage(map, "memblock", IS_DEBUG ? memblock_check(&mm_state.memblock) : NULL);

	early_limit = map->early_limit;
	pfn_t end = find_sections();
	if (!pagetable_init(&kernel_pagetable, &early_source, map->levels) || !map_direct(map) ||
	    !map_image(map))
		return "no usable RAM below the boot loader's reach for page tables";
	if (!map_frame_array(end.raw))
		return "no room for the frame array (16 bytes per 4 KiB of RAM)";
	map->activate(kernel_pagetable.root);
	end_stage(map, "page tables", IS_DEBUG ? pagetable_check(&kernel_pagetable) : NULL);

	page_array_init(&page_array, backed_sections);
	end_stage(map, "frame array", NULL);

	page_alloc_init(end);
	free_remaining_memory();
	kernel_pagetable.source = &live_source;
	if (nr_free_pages() == 0)
		return "all RAM is taken by the kernel, the boot loader and the firmware";
	end_stage(map, "page allocator", IS_DEBUG ? page_alloc_check() : NULL);

	slab_init();
	end_stage(map, "slab", IS_DEBUG ? slab_check() : NULL);
	kmalloc_init();
	end_stage(map, "kmalloc", IS_DEBUG ? slab_check() : NULL);
	vmalloc_init(map->vmalloc);
	end_stage(map, "vmalloc", IS_DEBUG ? mm_verify() : NULL);
	return NULL;
}

const struct memblock *mm_memblock(void)
{
	return &mm_state.memblock;
}
